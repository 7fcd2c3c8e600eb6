/* SPDX-License-Identifier: Apache-2.0
 *
 * Table internal: the open table, for the files of storage/table that share it.
 */
#ifndef ESTREAT_STORAGE_TABLE_TABLE_INTERNAL_H
#define ESTREAT_STORAGE_TABLE_TABLE_INTERNAL_H

#include <stdatomic.h>

#include "storage/table/table_meta.h"

/* Immutable once open, but for the counters. */
struct table {
    struct fs *fs;
    struct table_file file;
    struct table_meta meta;
    struct bloom_counters *bloom_counters; /* may be NULL */
    bool is_pinned;                        /* counted in the cache */
    _Atomic uint32_t references;
    _Atomic bool unlink_when_unused;
    char path[];
};

/* What a corrupt block's error says: file, offset, and `what`. */
enum status table_corrupt(const struct table *table, uint64_t offset, const char *what,
                          struct error *err);

#endif
