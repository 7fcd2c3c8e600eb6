/* SPDX-License-Identifier: Apache-2.0
 *
 * Mirror_tree: the names that fs_mirror knows, as programs see them and as they
 * are durable, and the files below MIRROR that keep the latter (see fs_mirror.h).
 * The root of the tree is DIR's parent, of which only the name DIR is kept.
 *
 * Not thread-safe: fs_mirror's mutex guards all but what a struct mirror_inode
 * says has a mutex of its own. No memory left stops the process.
 */
#ifndef ESTREAT_TESTLIB_MIRROR_TREE_H
#define ESTREAT_TESTLIB_MIRROR_TREE_H

#include "base/fs.h"
#include "base/sync.h"
#include "testlib/mirror_dirt.h"

enum { MIRROR_NAME_BYTES_MAX = 255 };

struct mirror_entry;

struct mirror_inode {
    struct mirror_inode *next; /* in the tree's list of all */
    uint64_t id;
    size_t references; /* entries, open files */
    bool is_directory;
    /* a directory's */
    struct mirror_entry *now;
    struct mirror_entry *durable;
    /* a file's */
    struct mutex sync_mutex; /* one sync at a time: the second must not return before the first */
    bool synced;             /* under sync_mutex: it has been, once */
    struct mirror_dirt dirt;
};

struct mirror_entry {
    struct mirror_entry *next;
    struct mirror_inode *inode; /* a reference */
    char name[];
};

struct mirror_tree {
    const char *mirror; /* borrowed: the path of MIRROR */
    struct mirror_inode *root;
    struct mirror_inode *all;
    uint64_t next_id;
};

/* Where a path leads: `inode` is NULL if its last name is not there. */
struct mirror_place {
    struct mirror_inode *dir; /* NULL for the root itself */
    struct mirror_inode *inode;
    char name[MIRROR_NAME_BYTES_MAX + 1];
};

/* Reads what is durable; that is then also what programs see. NOT_FOUND if the mirror is new. */
enum status mirror_tree_load(struct mirror_tree *tree, const char *mirror,
                             struct error *err) MUST_USE;

/* Frees the memory; MIRROR stays as it is. All but names must have given back their references. */
void mirror_tree_release(struct mirror_tree *tree);

/* Makes an empty mirror in an existing directory. */
enum status mirror_tree_make(const char *mirror, struct error *err) MUST_USE;

/* Removes what a killed process left behind that no durable name leads to. */
enum status mirror_tree_sweep(struct mirror_tree *tree, struct error *err) MUST_USE;

/* Makes what the tree's durable names lead to, below `parent`. */
enum status mirror_tree_restore(struct mirror_tree *tree, const char *parent,
                                struct error *err) MUST_USE;

/* `path` is relative to the root. Returns 0 or an errno: ENOENT, ENOTDIR, ENAMETOOLONG. */
int mirror_tree_find(struct mirror_tree *tree, const char *path, struct mirror_place *out);

/* A new inode with no reference yet: it needs one soon. */
struct mirror_inode *mirror_tree_new(struct mirror_tree *tree, bool is_directory);

/* The name is `inode` from now on, as programs see it (NULL: gone). */
void mirror_tree_assign(struct mirror_tree *tree, const struct mirror_place *place,
                        struct mirror_inode *inode);

/* The directory's names as programs see them are durable. */
enum status mirror_tree_sync(struct mirror_tree *tree, struct mirror_inode *dir,
                             struct error *err) MUST_USE;

void mirror_inode_ref(struct mirror_inode *inode);

/* With the last one the inode and what MIRROR has of it go. */
void mirror_inode_unref(struct mirror_tree *tree, struct mirror_inode *inode);

/* MIRROR/inodes/ID into out[PATH_BYTES_MAX]. */
enum status mirror_content_path(const char *mirror, uint64_t id, char *out,
                                struct error *err) MUST_USE;

#endif
