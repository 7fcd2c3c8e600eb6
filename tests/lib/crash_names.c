/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib/crash_names.h"

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"

struct assignment {
    struct crash_inode *dir;   /* a reference */
    struct crash_inode *inode; /* a reference, or NULL: the name goes */
    char name[CRASH_NAME_BYTES_MAX + 1];
};

struct crash_change {
    struct crash_change *next;
    bool chosen;
    size_t count;
    struct assignment assignments[2];
};

void crash_names_init(struct crash_names *names, uint64_t *bytes_used)
{
    names->root = crash_inode_new(true, bytes_used);
    names->oldest = NULL;
    names->last = &names->oldest;
}

static void free_change(struct crash_change *change)
{
    for (size_t i = 0; i < change->count; i++) {
        crash_inode_unref(change->assignments[i].dir);
        crash_inode_unref(change->assignments[i].inode);
    }
    free(change);
}

void crash_names_release(struct crash_names *names)
{
    while (names->oldest != NULL) {
        struct crash_change *change = names->oldest;
        names->oldest = change->next;
        free_change(change);
    }
    crash_inode_unref(names->root);
}

int crash_names_find(struct crash_names *names, const char *path, struct crash_place *out)
{
    *out = (struct crash_place){.inode = names->root};
    for (;;) {
        path += strspn(path, "/");
        size_t length = strcspn(path, "/");
        if (length == 0) {
            return 0;
        }
        if (length == 1 && path[0] == '.') {
            path++;
            continue;
        }
        CHECK(!(length == 2 && path[0] == '.' && path[1] == '.')); /* nobody here needs it */
        if (out->inode == NULL) {
            return ENOENT;
        }
        if (!out->inode->is_directory) {
            return ENOTDIR;
        }
        if (length > CRASH_NAME_BYTES_MAX) {
            return ENAMETOOLONG;
        }
        out->dir = out->inode;
        memcpy(out->name, path, length);
        out->name[length] = '\0';
        out->inode = crash_entries_get(out->dir->now, out->name);
        path += length;
    }
}

static struct crash_change *add_change(struct crash_names *names)
{
    struct crash_change *change = calloc(1, sizeof *change);
    CHECK(change != NULL);
    *names->last = change;
    names->last = &change->next;
    return change;
}

static void add_assignment(struct crash_change *change, const struct crash_place *place,
                           struct crash_inode *inode)
{
    CHECK(place->dir != NULL);
    struct assignment *assignment = &change->assignments[change->count++];
    assignment->dir = crash_inode_ref(place->dir);
    assignment->inode = inode == NULL ? NULL : crash_inode_ref(inode);
    memcpy(assignment->name, place->name, sizeof assignment->name);
    crash_entries_set(&place->dir->now, place->name, inode);
}

void crash_names_assign(struct crash_names *names, const struct crash_place *place,
                        struct crash_inode *inode)
{
    add_assignment(add_change(names), place, inode);
}

void crash_names_rename(struct crash_names *names, const struct crash_place *from,
                        const struct crash_place *to)
{
    CHECK(from->inode != NULL);
    struct crash_change *change = add_change(names);
    add_assignment(change, to, from->inode);
    add_assignment(change, from, NULL);
}

static bool touches(const struct crash_change *change, const struct crash_inode *dir)
{
    for (size_t i = 0; i < change->count; i++) {
        if (change->assignments[i].dir == dir) {
            return true;
        }
    }
    return false;
}

static bool share_a_name(const struct crash_change *a, const struct crash_change *b)
{
    for (size_t i = 0; i < a->count; i++) {
        for (size_t j = 0; j < b->count; j++) {
            if (a->assignments[i].dir == b->assignments[j].dir &&
                strcmp(a->assignments[i].name, b->assignments[j].name) == 0) {
                return true;
            }
        }
    }
    return false;
}

static bool newer_one_needs(const struct crash_change *older)
{
    for (const struct crash_change *at = older->next; at != NULL; at = at->next) {
        if (at->chosen && share_a_name(older, at)) {
            return true;
        }
    }
    return false;
}

/* An older change of a name that a chosen one changes too must not come after it. */
static void choose_what_is_needed(struct crash_names *names)
{
    bool more = true;
    while (more) {
        more = false;
        for (struct crash_change *at = names->oldest; at != NULL; at = at->next) {
            if (!at->chosen && newer_one_needs(at)) {
                at->chosen = true;
                more = true;
            }
        }
    }
}

/* Puts the chosen changes on the disk, in their order, and takes them from the list. */
static void commit_chosen(struct crash_names *names)
{
    struct crash_change **link = &names->oldest;
    while (*link != NULL) {
        struct crash_change *change = *link;
        if (!change->chosen) {
            link = &change->next;
            continue;
        }
        for (size_t i = 0; i < change->count; i++) {
            struct assignment *assignment = &change->assignments[i];
            crash_entries_set(&assignment->dir->durable, assignment->name, assignment->inode);
        }
        *link = change->next;
        free_change(change);
    }
    names->last = link;
}

void crash_names_sync(struct crash_names *names, struct crash_inode *dir)
{
    for (struct crash_change *change = names->oldest; change != NULL; change = change->next) {
        change->chosen = touches(change, dir);
    }
    choose_what_is_needed(names);
    commit_chosen(names);
}

static void unlock_tree(struct crash_inode *inode)
{
    inode->locked = false;
    for (struct crash_entry *entry = inode->now; entry != NULL; entry = entry->next) {
        unlock_tree(entry->inode);
    }
}

void crash_names_unlock(struct crash_names *names)
{
    unlock_tree(names->root);
}

/* A journal keeps the changes up to some moment; other file systems any of them. */
static void choose_survivors(struct crash_names *names, struct rng *rng)
{
    enum { NONE, ALL, PREFIX, ANY, WAYS };
    uint64_t way = rng_below(rng, WAYS);
    bool alive = way != NONE;
    for (struct crash_change *change = names->oldest; change != NULL; change = change->next) {
        if (way == PREFIX && rng_below(rng, 4) == 0) {
            alive = false;
        }
        change->chosen = alive && (way != ANY || rng_below(rng, 2) == 0);
    }
}

static void crash_tree(struct crash_inode *inode, struct rng *rng)
{
    if (!inode->is_directory) {
        crash_inode_crash(inode, rng);
        return;
    }
    crash_entries_copy(&inode->now, inode->durable);
    for (struct crash_entry *entry = inode->now; entry != NULL; entry = entry->next) {
        crash_tree(entry->inode, rng);
    }
}

void crash_names_crash(struct crash_names *names, struct rng *rng)
{
    if (rng != NULL) {
        choose_survivors(names, rng);
        commit_chosen(names);
    }
    while (names->oldest != NULL) {
        struct crash_change *change = names->oldest;
        names->oldest = change->next;
        free_change(change);
    }
    names->last = &names->oldest;
    crash_tree(names->root, rng);
}
