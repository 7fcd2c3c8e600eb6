/* SPDX-License-Identifier: Apache-2.0
 *
 * Scanner: the files of a log directory and the groups in them, for the scan. It
 * knows which bytes are sound and which of the others are damage, not what they mean.
 */
#ifndef ESTREAT_STORAGE_WAL_SCANNER_H
#define ESTREAT_STORAGE_WAL_SCANNER_H

#include "storage/wal/scan.h"

struct wal_scanner_file {
    uint64_t id;
    uint32_t version; /* 0: its head is not known */
    uint64_t bytes;
};

/* A group whose records are all sound; or a link: one record of a chain behind its group. */
struct wal_scanner_group {
    bool is_link;
    struct wal_group_content content; /* a link: only `chain` */
    struct slice records;             /* in the window */
    uint64_t offset;                  /* of the GROUP or CHAIN record, or the link */
    uint64_t records_offset;
    uint64_t end; /* where a link may follow; from the next block on, a group */
};

struct wal_scanner {
    struct wal_scan *scan;
    struct wal_scanner_file *files; /* the log's, rising ids */
    size_t count;
    size_t capacity;
    size_t temporary_count;
    struct wal_position synced; /* the furthest that a group said to be durable */
    bool read_only;             /* files are opened for reading alone: for tools */
    uint64_t chain;             /* that links may go on with after the last group; 0: none */
    bool established;           /* the log's place is known */
    bool any_group;             /* behind damage: the next group need not follow what was before */
    /* Damage is looked past (salvage.c), and not an error. */
    bool lenient;
    bool blames_next; /* of the last damage: it is the next file that begins with it */
    size_t bad_head;  /* lenient: index in `files` of the first one with a bad head, or `count` */
    bool has_salt;
    size_t at; /* index in `files` of the one that is open */
    struct file *file;
    char path[PATH_BYTES_MAX];
    uint8_t *window;
    size_t window_capacity;
    uint64_t window_offset;
    size_t window_length;
};

/* Fills `files` with the segments of the directory. */
enum status wal_scanner_list(struct wal_scanner *scanner, struct error *err) MUST_USE;

/* Leaves out what is before the last gap. */
enum status wal_scanner_skip_before_gap(struct wal_scanner *scanner, struct error *err) MUST_USE;

/* Every segment's head is sound and of this log. Learns the files' sizes and the salt. Lenient:
 * some are, and none is another's. */
enum status wal_scanner_check_heads(struct wal_scanner *scanner, struct error *err) MUST_USE;

/* The head of the file that is open alone. `any_identity` of the scan: the first one's counts. */
enum status wal_scanner_check_head(struct wal_scanner *scanner, struct error *err) MUST_USE;

/* Opens files[at] in place of the one that is open. */
enum status wal_scanner_open(struct wal_scanner *scanner, size_t at, struct error *err) MUST_USE;
void wal_scanner_close(struct wal_scanner *scanner);

/* What comes after what ended at `offset` of the open file: a link, or a group from the next block
 * on which says that it follows. Errors and results as wal_scanner_group(). */
enum status wal_scanner_next(struct wal_scanner *scanner, uint64_t offset,
                             struct wal_scanner_group *out, bool *found, uint64_t *bad,
                             struct error *err) MUST_USE;

/* The link of that chain at `offset` of the open file, as wal_scanner_group(). */
enum status wal_scanner_link(struct wal_scanner *scanner, uint64_t chain, uint64_t offset,
                             struct wal_scanner_group *out, bool *found,
                             struct error *err) MUST_USE;

/* The group at `offset` of the open file, valid until the next call. Else *found is false and *bad
 * the offset of the first record that is not sound. */
enum status wal_scanner_group(struct wal_scanner *scanner, uint64_t offset,
                              struct wal_scanner_group *out, bool *found, uint64_t *bad,
                              struct error *err) MUST_USE;

/* True if the segment after `at` begins with a group that says that the log ended at `place`, or
 * with the chain that the scanner is in, from there on. It must be whole: if it is torn, the log
 * ends at `place`, and the next group will say so anew. */
enum status wal_scanner_goes_on(struct wal_scanner *scanner, size_t at, struct wal_position place,
                                bool *out, struct error *err) MUST_USE;

/* Nothing sound at (files[at], offset): CORRUPT if it was durable once. `bad` is the first bad
 * record. */
enum status wal_scanner_check_not_damage(struct wal_scanner *scanner, size_t at, uint64_t offset,
                                         uint64_t bad, struct error *err) MUST_USE;

/* In scan.c: applies all sound groups from the first segment on, to scan->terms, state and end.
 * files[*last] has the last one. Lenient: OK also where damage ends them, and *damaged says so. */
enum status wal_scan_segments(struct wal_scanner *scanner, size_t *last, bool *damaged,
                              struct error *err) MUST_USE;

/* In scan.c: the groups that come next are those of files[at]; then one sound group after the
 * other. CORRUPT, naming file and offset, if it says what cannot be. */
enum status wal_scan_enter(struct wal_scanner *scanner, size_t at, struct error *err) MUST_USE;
enum status wal_scan_apply(struct wal_scanner *scanner, const struct wal_scanner_group *group,
                           struct error *err) MUST_USE;

/* The file is not part of the log any more. */
enum status wal_scanner_retire(struct wal_scanner *scanner, const struct wal_scanner_file *file,
                               struct error *err) MUST_USE;

/* Removes what was not finished. */
enum status wal_scanner_remove_temporaries(struct wal_scanner *scanner, struct error *err) MUST_USE;

#endif
