/* SPDX-License-Identifier: Apache-2.0
 *
 * Store file: what a file of a store's directory is, by its name. Pure.
 */
#ifndef ESTREAT_STORAGE_TREE_STORE_FILE_H
#define ESTREAT_STORAGE_TREE_STORE_FILE_H

#include <stdint.h>

enum store_file {
    STORE_FILE_OTHER,       /* not ours */
    STORE_FILE_TABLE,       /* "000012.sst" */
    STORE_FILE_MANIFEST,    /* "MANIFEST-000012" */
    STORE_FILE_CURRENT,     /* "CURRENT" */
    STORE_FILE_CURRENT_NEW, /* left by a replacement of CURRENT that did not end */
};

/* *number is 0 unless the name has one. */
enum store_file store_file_of(const char *name, uint64_t *number);

#endif
