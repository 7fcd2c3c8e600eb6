/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib/mirror_tree.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/check.h"

enum { ROOT_ID = 1, LISTING_BYTES_MAX = 16 << 20, ID_NAME_BYTES = 32 };

/* --- inodes and entries ----------------------------------------------------------------- */

static struct mirror_inode *new_inode(struct mirror_tree *tree, uint64_t id, bool is_directory)
{
    struct mirror_inode *inode = calloc(1, sizeof *inode);
    CHECK(inode != NULL);
    inode->id = id;
    inode->is_directory = is_directory;
    mutex_init(&inode->sync_mutex);
    mirror_dirt_init(&inode->dirt);
    inode->next = tree->all;
    tree->all = inode;
    if (id >= tree->next_id) {
        tree->next_id = id + 1;
    }
    return inode;
}

struct mirror_inode *mirror_tree_new(struct mirror_tree *tree, bool is_directory)
{
    return new_inode(tree, tree->next_id, is_directory);
}

static struct mirror_inode *find_inode(const struct mirror_tree *tree, uint64_t id)
{
    struct mirror_inode *inode = tree->all;
    while (inode != NULL && inode->id != id) {
        inode = inode->next;
    }
    return inode;
}

static void free_inode(struct mirror_inode *inode)
{
    mutex_release(&inode->sync_mutex);
    mirror_dirt_release(&inode->dirt);
    free(inode);
}

static void free_entries(struct mirror_entry *entries)
{
    while (entries != NULL) {
        struct mirror_entry *entry = entries;
        entries = entry->next;
        free(entry);
    }
}

static void clear(struct mirror_tree *tree, struct mirror_entry **list)
{
    while (*list != NULL) {
        struct mirror_entry *entry = *list;
        *list = entry->next;
        mirror_inode_unref(tree, entry->inode);
        free(entry);
    }
}

static void add(struct mirror_entry **list, const char *name, struct mirror_inode *inode)
{
    size_t name_bytes = strlen(name) + 1;
    struct mirror_entry *entry = malloc(sizeof *entry + name_bytes);
    CHECK(entry != NULL);
    entry->next = *list;
    entry->inode = inode;
    memcpy(entry->name, name, name_bytes);
    mirror_inode_ref(inode);
    *list = entry;
}

static void copy(struct mirror_entry **to, const struct mirror_entry *from)
{
    for (; from != NULL; from = from->next) {
        add(to, from->name, from->inode);
    }
}

void mirror_inode_ref(struct mirror_inode *inode)
{
    inode->references++;
}

static enum status id_path(const char *mirror, const char *kind, uint64_t id, const char *suffix,
                           char *out, struct error *err)
{
    char name[ID_NAME_BYTES];
    (void)snprintf(name, sizeof name, "%s/%" PRIu64 "%s", kind, id, suffix);
    return path_join(out, mirror, name, err);
}

enum status mirror_content_path(const char *mirror, uint64_t id, char *out, struct error *err)
{
    return id_path(mirror, "inodes", id, "", out, err);
}

static enum status listing_path(const char *mirror, uint64_t id, char *out, struct error *err)
{
    return id_path(mirror, "dirs", id, "", out, err);
}

void mirror_inode_unref(struct mirror_tree *tree, struct mirror_inode *inode)
{
    char path[PATH_BYTES_MAX];
    CHECK(inode->references > 0);
    inode->references--;
    if (inode->references > 0) {
        return;
    }
    clear(tree, &inode->now);
    clear(tree, &inode->durable);
    /* Absent if nothing of it was ever synced; and what stays is swept the next time. */
    if ((inode->is_directory
             ? listing_path(tree->mirror, inode->id, path, NULL)
             : mirror_content_path(tree->mirror, inode->id, path, NULL)) == STATUS_OK) {
        (void)(fs_unlink(fs_posix(), path, NULL) == STATUS_OK);
    }
    struct mirror_inode **link = &tree->all;
    while (*link != inode) {
        link = &(*link)->next;
    }
    *link = inode->next;
    free_inode(inode);
}

/* --- names ------------------------------------------------------------------------------ */

int mirror_tree_find(struct mirror_tree *tree, const char *path, struct mirror_place *out)
{
    *out = (struct mirror_place){.inode = tree->root};
    for (;;) {
        path += strspn(path, "/");
        size_t length = strcspn(path, "/");
        if (length == 0) {
            return 0;
        }
        CHECK(path[0] != '.' || (length > 1 && path[1] != '.')); /* nobody here needs it */
        CHECK(memchr(path, '\n', length) == NULL);               /* ends a line of a listing */
        if (out->inode == NULL) {
            return ENOENT;
        }
        if (!out->inode->is_directory) {
            return ENOTDIR;
        }
        if (length > MIRROR_NAME_BYTES_MAX) {
            return ENAMETOOLONG;
        }
        out->dir = out->inode;
        memcpy(out->name, path, length);
        out->name[length] = '\0';
        const struct mirror_entry *entry = out->dir->now;
        while (entry != NULL && strcmp(entry->name, out->name) != 0) {
            entry = entry->next;
        }
        out->inode = entry == NULL ? NULL : entry->inode;
        path += length;
    }
}

void mirror_tree_assign(struct mirror_tree *tree, const struct mirror_place *place,
                        struct mirror_inode *inode)
{
    CHECK(place->dir != NULL);
    if (inode != NULL) {
        mirror_inode_ref(inode); /* before the old one goes: it may be the same */
    }
    struct mirror_entry **link = &place->dir->now;
    while (*link != NULL && strcmp((*link)->name, place->name) != 0) {
        link = &(*link)->next;
    }
    if (*link != NULL) {
        struct mirror_entry *entry = *link;
        *link = entry->next;
        mirror_inode_unref(tree, entry->inode);
        free(entry);
    }
    if (inode != NULL) {
        add(&place->dir->now, place->name, inode);
        mirror_inode_unref(tree, inode);
    }
}

/* --- listings: "f ID NAME" or "d ID NAME", one a line ------------------------------------- */

static enum status write_listing(const char *mirror, uint64_t id, const struct mirror_entry *list,
                                 struct error *err)
{
    char path[PATH_BYTES_MAX];
    char path_new[PATH_BYTES_MAX];
    struct buf text;
    struct file *file = NULL;
    buf_init(&text, alloc_default(), LISTING_BYTES_MAX);
    for (; list != NULL; list = list->next) {
        char start[ID_NAME_BYTES];
        int length = snprintf(start, sizeof start, "%c %" PRIu64 " ",
                              list->inode->is_directory ? 'd' : 'f', list->inode->id);
        buf_append(&text, start, (size_t)length);
        buf_append_slice(&text, slice_of_string(list->name));
        buf_put_u8(&text, '\n');
    }
    CHECK(!buf_failed(&text));
    enum status status = listing_path(mirror, id, path, err);
    if (status == STATUS_OK) {
        status = id_path(mirror, "dirs", id, ".new", path_new, err);
    }
    if (status == STATUS_OK) {
        status = fs_open(fs_posix(), path_new, FS_WRITE | FS_CREATE | FS_TRUNCATE, &file, err);
    }
    if (status == STATUS_OK) {
        status = file_write(file, 0, buf_slice(&text), err);
        file_close(file);
    }
    if (status == STATUS_OK) {
        status = fs_rename(fs_posix(), path_new, path, err); /* the moment of durability */
    }
    buf_release(&text);
    return status;
}

enum status mirror_tree_sync(struct mirror_tree *tree, struct mirror_inode *dir, struct error *err)
{
    CHECK(dir->is_directory);
    enum status status = write_listing(tree->mirror, dir->id, dir->now, err);
    if (status != STATUS_OK) {
        return status;
    }
    struct mirror_entry *before = dir->durable;
    dir->durable = NULL;
    copy(&dir->durable, dir->now);
    clear(tree, &before);
    return STATUS_OK;
}

static enum status load_dir(struct mirror_tree *tree, struct mirror_inode *dir, struct error *err);

static enum status load_line(struct mirror_tree *tree, struct mirror_inode *dir, char *line,
                             struct error *err)
{
    char *end = NULL;
    uint64_t id = line[0] == '\0' ? 0 : strtoull(line + 1, &end, 10);
    if ((line[0] != 'f' && line[0] != 'd') || id <= ROOT_ID || *end != ' ' || end[1] == '\0') {
        return error_set(err, STATUS_CORRUPT, "a line that says nothing: %.80s", line);
    }
    bool is_directory = line[0] == 'd';
    struct mirror_inode *inode = find_inode(tree, id);
    bool is_new = inode == NULL;
    if (is_new) {
        inode = new_inode(tree, id, is_directory);
    }
    if (inode->is_directory != is_directory || (is_directory && !is_new)) {
        return error_set(err, STATUS_CORRUPT, "%.80s: the inode is there, and not like that", line);
    }
    add(&dir->now, end + 1, inode);
    add(&dir->durable, end + 1, inode);
    if (is_directory) {
        return load_dir(tree, inode, err);
    }
    char path[PATH_BYTES_MAX];
    enum status status = mirror_content_path(tree->mirror, id, path, err);
    return status == STATUS_OK ? fs_exists(fs_posix(), path, &inode->synced, err) : status;
}

static enum status load_dir(struct mirror_tree *tree, struct mirror_inode *dir, struct error *err)
{
    char path[PATH_BYTES_MAX];
    struct buf text;
    enum status status = listing_path(tree->mirror, dir->id, path, err);
    if (status != STATUS_OK) {
        return status;
    }
    buf_init(&text, alloc_default(), LISTING_BYTES_MAX);
    status = fs_read_file(fs_posix(), path, &text, err);
    if (status == STATUS_NOT_FOUND && dir != tree->root) {
        buf_release(&text);
        return STATUS_OK; /* it was never synced */
    }
    buf_put_u8(&text, 0);
    for (char *line = (char *)text.data; status == STATUS_OK && *line != '\0';) {
        char *end = strchr(line, '\n');
        if (end == NULL) {
            status = error_set(err, STATUS_CORRUPT, "%.200s: the last line is cut", path);
            break;
        }
        *end = '\0';
        status = load_line(tree, dir, line, err);
        line = end + 1;
    }
    buf_release(&text);
    return status;
}

enum status mirror_tree_load(struct mirror_tree *tree, const char *mirror, struct error *err)
{
    *tree = (struct mirror_tree){.mirror = mirror, .next_id = ROOT_ID};
    tree->root = new_inode(tree, ROOT_ID, true);
    mirror_inode_ref(tree->root);
    enum status status = load_dir(tree, tree->root, err);
    if (status != STATUS_OK) {
        mirror_tree_release(tree);
    }
    return status;
}

enum status mirror_tree_make(const char *mirror, struct error *err)
{
    char path[PATH_BYTES_MAX];
    static const char *const kinds[] = {"inodes", "dirs"};
    enum status status = STATUS_OK;
    for (size_t i = 0; i < 2 && status == STATUS_OK; i++) {
        status = path_join(path, mirror, kinds[i], err);
        if (status == STATUS_OK) {
            status = fs_make_dir(fs_posix(), path, err);
        }
    }
    return status == STATUS_OK ? write_listing(mirror, ROOT_ID, NULL, err) : status;
}

void mirror_tree_release(struct mirror_tree *tree)
{
    while (tree->all != NULL) {
        struct mirror_inode *inode = tree->all;
        tree->all = inode->next;
        free_entries(inode->now);
        free_entries(inode->durable);
        free_inode(inode);
    }
    tree->root = NULL;
}

/* --- sweeping ---------------------------------------------------------------------------- */

struct sweep {
    const struct mirror_tree *tree;
    const char *dir;
    bool is_directory;
};

static enum status sweep_one(void *context, const char *name, struct error *err)
{
    const struct sweep *sweep = context;
    char path[PATH_BYTES_MAX];
    char *end = NULL;
    const struct mirror_inode *inode = find_inode(sweep->tree, strtoull(name, &end, 10));
    if (*end == '\0' && inode != NULL && inode->is_directory == sweep->is_directory) {
        return STATUS_OK;
    }
    enum status status = path_join(path, sweep->dir, name, err);
    return status == STATUS_OK ? fs_unlink(fs_posix(), path, err) : status;
}

enum status mirror_tree_sweep(struct mirror_tree *tree, struct error *err)
{
    char dir[PATH_BYTES_MAX];
    static const char *const kinds[] = {"inodes", "dirs"};
    enum status status = STATUS_OK;
    for (size_t i = 0; i < 2 && status == STATUS_OK; i++) {
        struct sweep sweep = {.tree = tree, .dir = dir, .is_directory = i == 1};
        status = path_join(dir, tree->mirror, kinds[i], err);
        if (status == STATUS_OK) {
            status = fs_list(fs_posix(), dir, sweep_one, &sweep, err);
        }
    }
    return status;
}
