/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/backup/directory.h"

#include <stdlib.h>

#include "base/check.h"
#include "storage/inspect/place.h"

/* --- listing ------------------------------------------------------------------------------- */

static enum status no_memory(struct error *err)
{
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a list of backups");
}

static int compare_numbers(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

static enum status each_name(void *context, const char *name, struct error *err)
{
    struct buf *numbers = context;
    uint64_t backup = 0;
    uint64_t table = 0;
    (void)err;
    if (backup_name_of(name, &backup, &table) == BACKUP_NAME_MANIFEST) {
        buf_append(numbers, &backup, sizeof backup);
    }
    return STATUS_OK;
}

static enum status list(struct fs *fs, const char *path, struct buf *numbers, struct error *err)
{
    enum status status = fs_list(fs, path, each_name, numbers, err);
    if (status == STATUS_OK && buf_failed(numbers)) {
        return no_memory(err);
    }
    if (status == STATUS_OK && numbers->length > 0) {
        qsort(numbers->data, numbers->length / sizeof(uint64_t), sizeof(uint64_t), compare_numbers);
    }
    return status;
}

static enum status make(const struct backup_directory *directory, struct error *err)
{
    char parent[PATH_BYTES_MAX];
    enum status status = fs_make_dir(directory->fs, directory->path, err);
    if (status == STATUS_OK) {
        status = store_place_parent(parent, directory->path, err);
    }
    /* Also if it is there: who made it may not have come so far. */
    return status == STATUS_OK ? fs_sync_dir(directory->fs, parent, err) : status;
}

static enum status take_lock(struct backup_directory *directory, struct error *err)
{
    char path[PATH_BYTES_MAX];
    enum status status = path_join(path, directory->path, "lock", err);
    if (status == STATUS_OK) {
        status = fs_lock(directory->fs, path, &directory->lock, err);
    }
    if (status == STATUS_FAILED_PRECONDITION) {
        return error_set(err, status, "%.300s: in use: a backup is being made, or looked at", path);
    }
    return status;
}

enum status backup_directory_open(struct backup_directory *directory, struct fs *fs,
                                  struct alloc *alloc, const char *path, bool make_it, bool lock,
                                  struct error *err)
{
    *directory = (struct backup_directory){.fs = fs, .alloc = alloc};
    buf_init(&directory->numbers, alloc, BACKUP_LIST_BYTES_MAX);
    size_t length = strlen(path);
    if (length == 0 || length >= PATH_BYTES_MAX - BACKUP_NAME_BYTES) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "a directory's name of %zu bytes", length);
    }
    memcpy(directory->path, path, length + 1);
    enum status status = make_it ? make(directory, err) : STATUS_OK;
    if (status == STATUS_OK && !make_it) {
        status = list(fs, path, &directory->numbers, err);
        buf_clear(&directory->numbers); /* only whether it is there */
    }
    if (status == STATUS_OK && lock) {
        status = take_lock(directory, err);
    }
    return status == STATUS_OK ? list(fs, path, &directory->numbers, err) : status;
}

void backup_directory_release(struct backup_directory *directory)
{
    buf_release(&directory->numbers);
    file_close(directory->lock);
    directory->lock = NULL;
}

uint64_t backup_directory_number(const struct backup_directory *directory, size_t index)
{
    uint64_t number;
    CHECK(index < backup_directory_count(directory));
    memcpy(&number, directory->numbers.data + index * sizeof number, sizeof number);
    return number;
}

enum status backup_directory_is(struct fs *fs, const char *path, bool *out, struct error *err)
{
    struct buf numbers;
    buf_init(&numbers, alloc_default(), BACKUP_LIST_BYTES_MAX);
    enum status status = list(fs, path, &numbers, err);
    *out = status == STATUS_OK && numbers.length > 0;
    buf_release(&numbers);
    return status;
}

/* --- reading ------------------------------------------------------------------------------- */

enum status backup_directory_read(const struct backup_directory *directory, uint64_t number,
                                  struct backup_read *out, struct error *err)
{
    char name[BACKUP_NAME_BYTES];
    char path[PATH_BYTES_MAX];
    buf_init(&out->bytes, directory->alloc, BACKUP_BYTES_MAX);
    backup_manifest_init(&out->manifest, directory->alloc);
    manifest_state_init(&out->state, directory->alloc);
    enum status status = path_join(path, directory->path, backup_manifest_name(name, number), err);
    if (status == STATUS_OK) {
        status = fs_read_file(directory->fs, path, &out->bytes, err);
    }
    if (status != STATUS_OK) {
        return status;
    }
    status = backup_manifest_decode(buf_slice(&out->bytes), directory->alloc, &out->manifest,
                                    &out->state, err);
    if (status != STATUS_OK) {
        return error_wrap(err, "%.300s", path);
    }
    if (out->manifest.number != number) {
        return error_set(err, STATUS_CORRUPT, "%.300s at %d: it is the manifest of another backup",
                         path, BACKUP_HEADER_BYTES);
    }
    return STATUS_OK;
}

void backup_read_release(struct backup_read *read)
{
    buf_release(&read->bytes);
    backup_manifest_release(&read->manifest);
    manifest_state_release(&read->state);
}

/* --- what is named ------------------------------------------------------------------------- */

static int compare_files(const struct backup_file *a, const struct backup_file *b)
{
    if (a->table != b->table) {
        return a->table < b->table ? -1 : 1;
    }
    if (a->made_by != b->made_by) {
        return a->made_by < b->made_by ? -1 : 1;
    }
    return (int)a->linked - (int)b->linked;
}

static int compare_known(const void *a, const void *b)
{
    return compare_files(&((const struct backup_known *)a)->file,
                         &((const struct backup_known *)b)->file);
}

static size_t known_count(const struct backup_names *names)
{
    return names->known.length / sizeof(struct backup_known);
}

/* The buf's memory is the allocator's, and so aligned. */
static struct backup_known *known_at(const struct backup_names *names, size_t index)
{
    return (struct backup_known *)(void *)names->known.data + index;
}

/* In order, each once: so that they take no more room than there are files. */
static void put_in_order(struct backup_names *names)
{
    size_t count = known_count(names);
    size_t kept = 0;
    if (count == 0) {
        return;
    }
    qsort(names->known.data, count, sizeof(struct backup_known), compare_known);
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || compare_known(known_at(names, kept - 1), known_at(names, i)) != 0) {
            *known_at(names, kept++) = *known_at(names, i);
        }
    }
    names->known.length = kept * sizeof(struct backup_known);
}

void backup_names_add(struct backup_names *names, const struct backup_read *read)
{
    const struct backup_manifest *manifest = &read->manifest;
    for (size_t i = 0; i < backup_file_count(manifest); i++) {
        struct backup_known known = {.file = backup_file_at(manifest, i)};
        memcpy(known.lineage, manifest->lineage, sizeof known.lineage);
        buf_append(&names->known, &known, sizeof known);
    }
    put_in_order(names);
    buf_append(&names->made, &manifest->made_at_ns, sizeof manifest->made_at_ns);
    buf_append(&names->number, &manifest->number, sizeof manifest->number);
    names->increments = manifest->full ? 0 : names->increments + 1;
    names->last_sequence = read->state.last_sequence;
}

void backup_names_init(struct backup_names *names, struct alloc *alloc)
{
    *names = (struct backup_names){.damaged = 0};
    buf_init(&names->known, alloc, BACKUP_LIST_BYTES_MAX);
    buf_init(&names->made, alloc, BACKUP_LIST_BYTES_MAX);
    buf_init(&names->number, alloc, BACKUP_LIST_BYTES_MAX);
}

enum status backup_names_read(struct backup_names *names, const struct backup_directory *directory,
                              struct error *err)
{
    backup_names_init(names, directory->alloc);
    for (size_t i = 0; i < backup_directory_count(directory); i++) {
        struct backup_read read;
        struct error found = ERROR_INIT;
        enum status status =
            backup_directory_read(directory, backup_directory_number(directory, i), &read, &found);
        if (status == STATUS_OK) {
            backup_names_add(names, &read);
        }
        backup_read_release(&read);
        if (status == STATUS_CORRUPT || status == STATUS_UNIMPLEMENTED) {
            names->damage = names->damaged == 0 ? found : names->damage;
            names->damaged++;
        } else if (status != STATUS_OK) {
            if (err != NULL) {
                *err = found;
            }
            return status;
        }
        if (backup_names_failed(names)) {
            return no_memory(err);
        }
    }
    return STATUS_OK;
}

void backup_names_release(struct backup_names *names)
{
    buf_release(&names->known);
    buf_release(&names->made);
    buf_release(&names->number);
}

/* The first that is not before `file`. */
static size_t lower_bound(const struct backup_names *names, const struct backup_file *file)
{
    size_t low = 0;
    size_t high = known_count(names);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_files(&known_at(names, middle)->file, file) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

const struct backup_file *backup_names_get(const struct backup_names *names,
                                           const struct backup_file *file)
{
    size_t at = lower_bound(names, file);
    bool found = at < known_count(names) && compare_files(&known_at(names, at)->file, file) == 0;
    return found ? &known_at(names, at)->file : NULL;
}

bool backup_names_find(const struct backup_names *names,
                       const uint8_t lineage[BACKUP_LINEAGE_BYTES], uint64_t table, uint64_t bytes,
                       bool links, struct backup_file *out)
{
    const struct backup_file first = {.table = table};
    bool found = false;
    for (size_t at = lower_bound(names, &first);
         at < known_count(names) && known_at(names, at)->file.table == table; at++) {
        const struct backup_known *known = known_at(names, at);
        /* A copy is better than a link, which shares its faults with the store. */
        if (known->file.bytes == bytes && (links || !known->file.linked) &&
            !(found && !out->linked && known->file.linked) &&
            memcmp(known->lineage, lineage, BACKUP_LINEAGE_BYTES) == 0) {
            *out = known->file;
            found = true;
        }
    }
    return found;
}

/* --- sweeping ------------------------------------------------------------------------------ */

struct sweep {
    const struct backup_directory *directory;
    const struct backup_names *names;
    bool removed;
};

static enum status sweep_one(void *context, const char *name, struct error *err)
{
    struct sweep *sweep = context;
    struct backup_file file = {.bytes = 0};
    enum backup_name kind = backup_name_of(name, &file.made_by, &file.table);
    file.linked = kind == BACKUP_NAME_LINK;
    bool is_table = kind == BACKUP_NAME_COPY || kind == BACKUP_NAME_LINK;
    bool left = is_table && backup_names_get(sweep->names, &file) == NULL;
    if (kind != BACKUP_NAME_MANIFEST_NEW && !left) {
        return STATUS_OK;
    }
    char path[PATH_BYTES_MAX];
    enum status status = path_join(path, sweep->directory->path, name, err);
    sweep->removed = true;
    return status == STATUS_OK ? fs_unlink(sweep->directory->fs, path, err) : status;
}

enum status backup_directory_sweep(const struct backup_directory *directory,
                                   const struct backup_names *names, struct error *err)
{
    struct sweep sweep = {.directory = directory, .names = names};
    CHECK(directory->lock != NULL);
    if (names->damaged > 0) {
        return STATUS_OK;
    }
    enum status status = fs_list(directory->fs, directory->path, sweep_one, &sweep, err);
    return status == STATUS_OK && sweep.removed ? fs_sync_dir(directory->fs, directory->path, err)
                                                : status;
}
