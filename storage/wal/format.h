/* SPDX-License-Identifier: Apache-2.0
 *
 * The bytes of a segment file, as storage/FORMAT.md gives them: a head block, then
 * groups of records, each group beginning at a block, and chains: a group and, behind
 * it without a gap, single records that were not synced. Pure functions.
 */
#ifndef ESTREAT_STORAGE_WAL_FORMAT_H
#define ESTREAT_STORAGE_WAL_FORMAT_H

#include "base/coding.h"
#include "base/status.h"
#include "storage/wal/wal.h"

#define WAL_VERSION_GROUPS 1U /* groups alone: what a log that is always synced has */
#define WAL_VERSION_CHAINS 2U
/* What disks write whole: a torn write of a later group cannot reach into an earlier one. */
#define WAL_BLOCK_BYTES 512U
#define WAL_RECORD_HEADER_BYTES 12U
#define WAL_GROUP_CONTENT_BYTES 24U
#define WAL_CHAIN_CONTENT_BYTES 40U
#define WAL_ENTRY_FIXED_BYTES 20U
#define WAL_NEXT_FIXED_BYTES 1U
#define WAL_PAIR_BYTES 16U /* HARD_STATE, TRUNCATE, RESET */

#define WAL_GROUP_HEADER_BYTES (WAL_RECORD_HEADER_BYTES + WAL_GROUP_CONTENT_BYTES)
#define WAL_CHAIN_HEADER_BYTES (WAL_RECORD_HEADER_BYTES + WAL_CHAIN_CONTENT_BYTES)
#define WAL_PAIR_RECORD_BYTES (WAL_RECORD_HEADER_BYTES + WAL_PAIR_BYTES)
#define WAL_ENTRY_OVERHEAD_BYTES (WAL_RECORD_HEADER_BYTES + WAL_ENTRY_FIXED_BYTES)

enum wal_record_type {
    WAL_RECORD_NONE = 0, /* padding */
    WAL_RECORD_GROUP = 1,
    WAL_RECORD_ENTRY = 2,
    WAL_RECORD_HARD_STATE = 3,
    WAL_RECORD_TRUNCATE = 4,
    WAL_RECORD_SYNCED = 5,
    WAL_RECORD_RESET = 6,
    WAL_RECORD_CHAIN = 7, /* in place of GROUP: others may follow it, unsynced */
    WAL_RECORD_NEXT = 8,  /* an ENTRY, right above the log's last one and of its term */
};

/* Places are ordered by file, then offset. */
struct wal_position {
    uint64_t file;
    uint64_t offset;
};

static inline bool wal_position_before(struct wal_position a, struct wal_position b)
{
    return a.file != b.file ? a.file < b.file : a.offset < b.offset;
}

static inline uint64_t wal_block_up(uint64_t offset)
{
    return (offset + WAL_BLOCK_BYTES - 1) / WAL_BLOCK_BYTES * WAL_BLOCK_BYTES;
}

/* --- the head ---------------------------------------------------------------------------- */

struct wal_head {
    uint32_t version;
    uint64_t file;
    uint64_t salt;
    uint8_t identity[WAL_IDENTITY_BYTES_MAX];
    size_t identity_length;
};

void wal_head_encode(const struct wal_head *head, uint8_t out[WAL_BLOCK_BYTES]);

/* `path` is for the error: CORRUPT, or FAILED_PRECONDITION for another version. */
enum status wal_head_decode(const uint8_t bytes[WAL_BLOCK_BYTES], const char *path,
                            struct wal_head *out, struct error *err) MUST_USE;

/* "<dir>/<16 hexadecimal digits>.wal" into out[PATH_BYTES_MAX]. */
enum status wal_segment_path(char *out, const char *dir, uint64_t file, struct error *err) MUST_USE;

/* The number in a segment's file name; false if it is none. */
bool wal_segment_name_parse(const char *name, uint64_t *file);

/* --- records ----------------------------------------------------------------------------- */

/* Writes header and fixed content of an ENTRY and copies its data; `to` has room for
 * WAL_ENTRY_OVERHEAD_BYTES + data. The checksum is unfinished: the place is not known yet.
 * Each returns the bytes written. */
size_t wal_entry_put(uint8_t *to, const struct wal_entry *entry);
size_t wal_next_put(uint8_t *to, const struct wal_entry *entry);
size_t wal_pair_put(uint8_t *to, enum wal_record_type type, uint64_t first, uint64_t second);
size_t wal_synced_put(uint8_t *to);
/* `bytes` is what all records after the GROUP record take. */

/* What a GROUP or CHAIN record says. */
struct wal_group_content {
    struct wal_position synced_through;
    uint32_t bytes; /* that all records after this one take */
    uint32_t records;
    uint64_t chain;   /* 0: a GROUP; else a CHAIN, whose records have it in their checksums */
    uint64_t follows; /* a CHAIN that begins a file: where the one before ended; else 0 */
};
size_t wal_group_put(uint8_t *to, const struct wal_group_content *content);

/* Of the GROUP or CHAIN record. */
static inline size_t wal_group_header_bytes(uint64_t chain)
{
    return chain == 0 ? WAL_GROUP_HEADER_BYTES : WAL_CHAIN_HEADER_BYTES;
}

/* What the checksums of a chain's records cover in place of the salt alone, so that none of an
 * older chain passes that once was there; 0: no chain. */
static inline uint64_t wal_chain_salt(uint64_t salt, uint64_t chain)
{
    return salt ^ chain;
}

/* Finishes the checksum of the record at `at`, which goes to `place`. Returns its whole length. */
size_t wal_record_finish(uint8_t *at, struct wal_position place, uint64_t salt);

/* An entry of this type may be a NEXT. */
static inline bool wal_is_brief(uint32_t type)
{
    return type <= UINT8_MAX;
}

struct wal_record {
    enum wal_record_type type;
    struct slice content; /* borrows the bytes */
    /* The log's last entry before a NEXT: who walks the log says it. */
    uint64_t before_index;
    uint64_t before_term;
};

/* The length of the record of which `header` is the header, with it; 0 if it cannot be one. */
size_t wal_record_length(const uint8_t header[WAL_RECORD_HEADER_BYTES]);

/* False if `bytes` do not begin with a whole, sound record that belongs to `place`. */
bool wal_record_check(struct slice bytes, struct wal_position place, uint64_t salt,
                      struct wal_record *out);

/* The parts of a checked record; false if it is not of that type or not of its shape. */
bool wal_group_get(const struct wal_record *record, struct wal_group_content *out);
/* Of an ENTRY, and of a NEXT. */
bool wal_entry_get(const struct wal_record *record, struct wal_entry *out);
bool wal_pair_get(const struct wal_record *record, uint64_t *first, uint64_t *second);

#endif
