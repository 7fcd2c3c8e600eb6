/* SPDX-License-Identifier: Apache-2.0
 *
 * Crash_inode: what fs_crash keeps of one file or directory: the content as
 * programs see it and as the disk has it. Not thread-safe; fs_crash's mutex
 * guards it. No memory left stops the test.
 */
#ifndef ESTREAT_TESTLIB_CRASH_INODE_H
#define ESTREAT_TESTLIB_CRASH_INODE_H

#include "base/rng.h"
#include "base/slice.h"

enum { CRASH_PAGE_BYTES = 4096, CRASH_SECTOR_BYTES = 512 };

struct crash_page {
    uint8_t *now;     /* NULL: zeros */
    uint8_t *durable; /* while dirty: as of the last sync; NULL: zeros */
    bool dirty;
    bool stale; /* while dirty: a sync of it failed, so that no later one makes it durable */
};

struct crash_inode;

struct crash_entry {
    struct crash_entry *next;
    struct crash_inode *inode; /* a reference */
    char name[];
};

struct crash_inode {
    size_t references; /* entries, pending changes, open files */
    bool is_directory;
    bool locked;
    /* a file's */
    uint64_t size;
    uint64_t size_durable;
    uint64_t *bytes_used;   /* the file system's sum of sizes */
    bool is_written;        /* since the last sync */
    uint64_t write_offset;  /* of the last write */
    uint64_t synced_offset; /* of the last write before the last sync */
    struct crash_page *pages;
    size_t page_count;
    size_t *dirty; /* numbers of the dirty pages */
    size_t dirty_count;
    size_t dirty_room;
    /* a directory's */
    struct crash_entry *now;
    struct crash_entry *durable;
};

/* One reference, the caller's. Borrows `bytes_used`. */
struct crash_inode *crash_inode_new(bool is_directory, uint64_t *bytes_used);
struct crash_inode *crash_inode_ref(struct crash_inode *inode);
/* Frees it with the last one. NULL is allowed. */
void crash_inode_unref(struct crash_inode *inode);

/* File content as programs see it. read returns how many bytes there were. */
size_t crash_inode_read(const struct crash_inode *inode, uint64_t offset, uint8_t *out,
                        size_t length);
void crash_inode_write(struct crash_inode *inode, uint64_t offset, struct slice data);
/* As crash_inode_write, and nothing but the size changes. */
void crash_inode_lose(struct crash_inode *inode, uint64_t offset, size_t length);
/* Bytes beyond a shrunk size are zeros when it grows again. */
void crash_inode_resize(struct crash_inode *inode, uint64_t size);

/* As crash_inode_write, but on the disk at once, and nobody knows of it. Within the size. */
void crash_inode_spoil(struct crash_inode *inode, uint64_t offset, struct slice data);

/* What programs see is durable. */
void crash_inode_sync(struct crash_inode *inode);
/* As after a writeback that failed: programs see what is there, and no later sync makes it durable,
 * unless it is written again. */
void crash_inode_sync_failed(struct crash_inode *inode);
/* Each unsynced sector and the size go back or stay; all go back if `rng` is NULL. What is left is
 * durable. */
void crash_inode_crash(struct crash_inode *inode, struct rng *rng);

/* Names of one of a directory's two lists. set with `inode` NULL removes. */
struct crash_inode *crash_entries_get(struct crash_entry *list, const char *name);
void crash_entries_set(struct crash_entry **list, const char *name, struct crash_inode *inode);
void crash_entries_clear(struct crash_entry **list);
void crash_entries_copy(struct crash_entry **to, struct crash_entry *from);

#endif
