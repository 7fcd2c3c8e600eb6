/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory_fs: a directory of some files that are bytes in memory, as cheap as a fuzzer wants
 * it. Whatever the path, the last part of it names the file. Truncating works, writing only
 * of what is there already; what makes durable does nothing.
 */
#ifndef ESTREAT_TESTS_FUZZ_MEMORY_FS_H
#define ESTREAT_TESTS_FUZZ_MEMORY_FS_H

#include "base/fs.h"

#define MEMORY_FILES_MAX 8

struct memory_bytes {
    char name[32];
    struct slice bytes; /* borrowed */
};

struct memory_fs {
    struct fs fs; /* pass &memory.fs */
    struct memory_bytes files[MEMORY_FILES_MAX];
    size_t count;
};

void memory_fs_init(struct memory_fs *memory);
void memory_fs_add(struct memory_fs *memory, const char *name, struct slice bytes);

#endif
