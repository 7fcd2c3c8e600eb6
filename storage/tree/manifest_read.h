/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading a manifest, without changing anything: for the open, which then cuts what is
 * torn, and for tools, which look only. The bytes are untrusted.
 *
 * Pure functions but for the file system's calls. Errors name file and offset.
 */
#ifndef ESTREAT_STORAGE_TREE_MANIFEST_READ_H
#define ESTREAT_STORAGE_TREE_MANIFEST_READ_H

#include "storage/tree/manifest.h"

/* What a file was found to be. */
struct manifest_reading {
    uint64_t bytes;      /* of the file */
    uint64_t synced;     /* a record says that it was durable up to here */
    uint64_t end;        /* behind the last sound record; what follows, if anything, is torn */
    uint64_t full_bytes; /* where the first record, the full state, ends */
    uint64_t records;    /* attestations included */
    uint32_t version;    /* of the file */
};

/* Called for each sound record, before it is applied. Returns OK to go on. */
typedef enum status (*manifest_record_fn)(void *context, uint64_t offset, struct slice payload,
                                          struct error *err);

/* The number of the manifest that CURRENT names. NOT_FOUND: no CURRENT. CORRUPT: it names none. */
enum status manifest_read_current(const struct manifest_options *options, uint64_t *number,
                                  struct error *err) MUST_USE;

/* Reads the file of that number into `state` (initialised by the caller); `each` may be NULL, and
 * so may options->keyspaces: any then. CORRUPT also if it is not there. */
enum status manifest_read(const struct manifest_options *options, uint64_t number,
                          struct manifest_state *state, manifest_record_fn each, void *context,
                          struct manifest_reading *out, struct error *err) MUST_USE;

/* The same of bytes in memory; the error names only the offset. */
enum status manifest_replay(const struct manifest_options *options, uint64_t number,
                            struct slice bytes, struct manifest_state *state,
                            manifest_record_fn each, void *context, struct manifest_reading *out,
                            struct error *err) MUST_USE;

/* Covers where the record is as well, so that one of another file or place is not believed.
 * `length_bytes` are the record's first four. */
uint32_t manifest_record_crc(uint64_t number, uint64_t offset, const uint8_t *length_bytes,
                             struct slice payload);

#endif
