/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/tree/catalog.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/sync.h"
#include "storage/table/key.h"

struct level {
    struct table_file **files;
    size_t count;
    uint64_t bytes;
};

struct version {
    struct catalog *catalog;
    _Atomic uint64_t references;
    struct table_file **files; /* all levels' arrays lie in here */
    struct level levels[];     /* keyspace_count * TREE_LEVELS */
};

struct catalog {
    struct catalog_options options;
    struct mutex mutex;      /* current, dead */
    struct mutex open_mutex; /* opening of tables */
    struct version *current;
    struct table_file *dead;
};

const char *table_file_name(char out[TABLE_FILE_NAME_BYTES], uint64_t number)
{
    (void)snprintf(out, TABLE_FILE_NAME_BYTES, "%06" PRIu64 ".sst", number);
    return out;
}

/* --- table files --------------------------------------------------------------------------- */

static struct table_file *file_new(struct catalog *catalog, const struct edit *edit,
                                   const struct edit_add *add)
{
    size_t key_bytes = add->smallest_length + add->largest_length;
    struct table_file *file = alloc_new(catalog->options.alloc, sizeof *file + key_bytes);
    if (file == NULL) {
        return NULL;
    }
    *file = (struct table_file){.number = add->number,
                                .keyspace = add->keyspace,
                                .bytes = add->bytes,
                                .entries = add->entries,
                                .catalog = catalog,
                                .references = 1};
    memcpy(file->key_bytes, edit_smallest(edit, add).data, add->smallest_length);
    memcpy(file->key_bytes + add->smallest_length, edit_largest(edit, add).data,
           add->largest_length);
    file->smallest = slice_of(file->key_bytes, add->smallest_length);
    file->largest = slice_of(file->key_bytes + add->smallest_length, add->largest_length);
    return file;
}

static void file_free(struct table_file *file)
{
    table_unref(atomic_load(&file->table));
    alloc_free(file->catalog->options.alloc, file);
}

static void file_unref(struct table_file *file)
{
    if (atomic_fetch_sub(&file->references, 1) > 1) {
        return;
    }
    if (!atomic_load(&file->dead)) {
        file_free(file);
        return;
    }
    struct catalog *catalog = file->catalog;
    mutex_lock(&catalog->mutex);
    file->next_dead = catalog->dead;
    catalog->dead = file;
    mutex_unlock(&catalog->mutex);
    if (catalog->options.on_dead != NULL) {
        catalog->options.on_dead(catalog->options.context);
    }
}

enum status table_file_open(struct table_file *file, struct table **out, struct error *err)
{
    struct table *table = atomic_load_explicit(&file->table, memory_order_acquire);
    if (table != NULL) {
        *out = table;
        return STATUS_OK;
    }
    struct catalog *catalog = file->catalog;
    char name[TABLE_FILE_NAME_BYTES];
    char path[PATH_BYTES_MAX];
    enum status status =
        path_join(path, catalog->options.dir, table_file_name(name, file->number), err);
    if (status != STATUS_OK) {
        return status;
    }
    mutex_lock(&catalog->open_mutex);
    table = atomic_load_explicit(&file->table, memory_order_acquire);
    if (table == NULL) {
        struct table_open_options options = {.fs = catalog->options.fs,
                                             .alloc = catalog->options.alloc,
                                             .path = path,
                                             .file_number = file->number,
                                             .file_bytes = file->bytes,
                                             .cache = catalog->options.cache,
                                             .counters = catalog->options.counters};
        status = table_open(&options, &table, err);
        if (status == STATUS_OK) {
            atomic_store_explicit(&file->table, table, memory_order_release);
        } else if (status == STATUS_NOT_FOUND) {
            /* The manifest names it: its absence is damage, not an answer. */
            status = error_set(err, STATUS_CORRUPT, "%s: the table is missing", path);
        }
    }
    mutex_unlock(&catalog->open_mutex);
    if (status == STATUS_OK) {
        *out = table;
    }
    return status;
}

void table_file_note_damage(struct table_file *file)
{
    atomic_store(&file->damaged, true);
}

bool table_file_is_damaged(const struct table_file *file)
{
    return atomic_load(&file->damaged);
}

/* --- versions ------------------------------------------------------------------------------ */

static struct version *version_new(struct catalog *catalog, size_t file_count)
{
    size_t levels = catalog->options.keyspace_count * TREE_LEVELS;
    struct version *version =
        alloc_zeroed(catalog->options.alloc, 1, sizeof *version + levels * sizeof(struct level));
    if (version == NULL) {
        return NULL;
    }
    version->catalog = catalog;
    version->references = 1;
    if (file_count > 0) {
        version->files = alloc_zeroed(catalog->options.alloc, file_count, sizeof(void *));
        if (version->files == NULL) {
            alloc_free(catalog->options.alloc, version);
            return NULL;
        }
    }
    return version;
}

static struct level *level_of(const struct version *version, unsigned keyspace, unsigned level)
{
    CHECK(keyspace < version->catalog->options.keyspace_count);
    CHECK(level < TREE_LEVELS);
    return (struct level *)&version->levels[keyspace * TREE_LEVELS + level];
}

struct version *catalog_acquire(struct catalog *catalog)
{
    mutex_lock(&catalog->mutex);
    struct version *version = catalog->current;
    version_ref(version);
    mutex_unlock(&catalog->mutex);
    return version;
}

void version_ref(struct version *version)
{
    uint64_t before = atomic_fetch_add(&version->references, 1);
    CHECK(before > 0);
}

void version_release(struct version *version)
{
    if (version == NULL || atomic_fetch_sub(&version->references, 1) > 1) {
        return;
    }
    struct catalog *catalog = version->catalog;
    for (size_t i = 0; i < catalog->options.keyspace_count * TREE_LEVELS; i++) {
        for (size_t j = 0; j < version->levels[i].count; j++) {
            file_unref(version->levels[i].files[j]);
        }
    }
    alloc_free(catalog->options.alloc, version->files);
    alloc_free(catalog->options.alloc, version);
}

size_t version_count(const struct version *version, unsigned keyspace, unsigned level)
{
    return level_of(version, keyspace, level)->count;
}

uint64_t version_bytes(const struct version *version, unsigned keyspace, unsigned level)
{
    return level_of(version, keyspace, level)->bytes;
}

struct table_file *version_at(const struct version *version, unsigned keyspace, unsigned level,
                              size_t index)
{
    struct level *at = level_of(version, keyspace, level);
    CHECK(index < at->count);
    return at->files[index];
}

size_t version_lower_bound(const struct version *version, unsigned keyspace, unsigned level,
                           struct slice user_key)
{
    CHECK(level > 0);
    struct level *at = level_of(version, keyspace, level);
    size_t low = 0;
    size_t high = at->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (slice_compare(internal_key_user(at->files[middle]->largest), user_key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct table_file *version_find(const struct version *version, unsigned keyspace, unsigned level,
                                struct slice user_key)
{
    size_t index = version_lower_bound(version, keyspace, level, user_key);
    struct level *at = level_of(version, keyspace, level);
    if (index == at->count ||
        slice_compare(internal_key_user(at->files[index]->smallest), user_key) > 0) {
        return NULL;
    }
    return at->files[index];
}

void version_describe(const struct version *version, struct edit *edit)
{
    size_t keyspaces = version->catalog->options.keyspace_count;
    for (unsigned keyspace = 0; keyspace < keyspaces; keyspace++) {
        for (unsigned level = 0; level < TREE_LEVELS; level++) {
            struct level *at = level_of(version, keyspace, level);
            for (size_t i = 0; i < at->count; i++) {
                struct table_file *file = at->files[i];
                edit_add_table(edit, keyspace, level, file->number, file->bytes, file->entries,
                               file->smallest, file->largest);
            }
        }
    }
}

/* --- editing ------------------------------------------------------------------------------- */

static int compare_newest_first(const void *a, const void *b)
{
    const struct table_file *left = *(struct table_file *const *)a;
    const struct table_file *right = *(struct table_file *const *)b;
    return left->number < right->number ? 1 : left->number > right->number ? -1 : 0;
}

static int compare_ascending(const void *a, const void *b)
{
    const struct table_file *left = *(struct table_file *const *)a;
    const struct table_file *right = *(struct table_file *const *)b;
    return internal_key_compare(left->smallest, right->smallest);
}

/* True if `edit` removes the table from this level. */
static bool is_removed(const struct edit *edit, unsigned keyspace, unsigned level, uint64_t number)
{
    for (size_t i = 0; i < edit_remove_count(edit); i++) {
        struct edit_remove removal = edit_remove_at(edit, i);
        if (removal.number == number && removal.keyspace == keyspace && removal.level == level) {
            return true;
        }
    }
    return false;
}

/* A table that changes its level is the same file, with its open handle. */
static struct table_file *find_moved(const struct version *current, const struct edit *edit,
                                     const struct edit_add *add)
{
    for (size_t i = 0; i < edit_remove_count(edit); i++) {
        struct edit_remove removal = edit_remove_at(edit, i);
        if (removal.number != add->number || removal.keyspace != add->keyspace) {
            continue;
        }
        struct level *level = level_of(current, removal.keyspace, removal.level);
        for (size_t j = 0; j < level->count; j++) {
            if (level->files[j]->number == add->number) {
                return level->files[j];
            }
        }
    }
    return NULL;
}

static enum status sort_and_check(struct level *level, unsigned depth, struct error *err)
{
    if (level->count < 2) {
        return STATUS_OK;
    }
    qsort(level->files, level->count, sizeof(void *),
          depth == 0 ? compare_newest_first : compare_ascending);
    for (size_t i = 1; depth > 0 && i < level->count; i++) {
        const struct table_file *left = level->files[i - 1];
        const struct table_file *right = level->files[i];
        if (slice_compare(internal_key_user(left->largest), internal_key_user(right->smallest)) >=
            0) {
            return error_set(err, STATUS_CORRUPT,
                             "tables %06" PRIu64 " and %06" PRIu64 " overlap in level %u",
                             left->number, right->number, depth);
        }
    }
    return STATUS_OK;
}

/* Fills one level of `next` from the current one and the edit. `*room` is where its array goes. */
static enum status fill_level(struct catalog *catalog, struct version *next,
                              const struct edit *edit, unsigned keyspace, unsigned depth,
                              struct table_file ***room, size_t *removed, struct error *err)
{
    struct level *from = level_of(catalog->current, keyspace, depth);
    struct level *to = level_of(next, keyspace, depth);
    to->files = *room;
    bool changed = false;
    for (size_t i = 0; i < from->count; i++) {
        if (is_removed(edit, keyspace, depth, from->files[i]->number)) {
            (*removed)++;
            continue;
        }
        atomic_fetch_add(&from->files[i]->references, 1);
        to->files[to->count++] = from->files[i];
        to->bytes += from->files[i]->bytes;
    }
    for (size_t i = 0; i < edit_add_count(edit); i++) {
        struct edit_add add = edit_add_at(edit, i);
        if (add.keyspace != keyspace || add.level != depth) {
            continue;
        }
        struct table_file *file = find_moved(catalog->current, edit, &add);
        if (file != NULL) {
            atomic_fetch_add(&file->references, 1);
        } else {
            file = file_new(catalog, edit, &add);
        }
        if (file == NULL) {
            return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for the catalog");
        }
        to->files[to->count++] = file;
        to->bytes += file->bytes;
        changed = true;
    }
    *room += to->count;
    return changed ? sort_and_check(to, depth, err) : STATUS_OK;
}

enum status catalog_prepare(struct catalog *catalog, const struct edit *edit, struct version **out,
                            struct error *err)
{
    CHECK(!edit_failed(edit));
    size_t count = edit_add_count(edit);
    size_t keyspaces = catalog->options.keyspace_count;
    for (size_t i = 0; i < keyspaces * TREE_LEVELS; i++) {
        count += catalog->current->levels[i].count;
    }
    struct version *next = version_new(catalog, count);
    if (next == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for the catalog");
    }
    struct table_file **room = next->files;
    size_t removed = 0;
    for (unsigned keyspace = 0; keyspace < keyspaces; keyspace++) {
        for (unsigned level = 0; level < TREE_LEVELS; level++) {
            enum status status =
                fill_level(catalog, next, edit, keyspace, level, &room, &removed, err);
            if (status != STATUS_OK) {
                version_release(next);
                return status;
            }
        }
    }
    if (removed != edit_remove_count(edit)) {
        version_release(next);
        return error_set(err, STATUS_CORRUPT, "an edit removes a table that is not there");
    }
    *out = next;
    return STATUS_OK;
}

/* Marks what `next` no longer names. */
static void mark_dead(const struct version *current, const struct version *next)
{
    size_t levels = current->catalog->options.keyspace_count * TREE_LEVELS;
    for (size_t i = 0; i < levels; i++) {
        for (size_t j = 0; j < current->levels[i].count; j++) {
            atomic_store(&current->levels[i].files[j]->dead, true);
        }
    }
    for (size_t i = 0; i < levels; i++) {
        for (size_t j = 0; j < next->levels[i].count; j++) {
            atomic_store(&next->levels[i].files[j]->dead, false);
        }
    }
}

void catalog_publish(struct catalog *catalog, struct version *next)
{
    CHECK(next->catalog == catalog);
    /* The mark is read only when the last reference goes, and both versions hold theirs. */
    mark_dead(catalog->current, next);
    mutex_lock(&catalog->mutex);
    struct version *old = catalog->current;
    catalog->current = next;
    mutex_unlock(&catalog->mutex);
    version_release(old);
}

/* --- life ---------------------------------------------------------------------------------- */

enum status catalog_open(const struct catalog_options *options, struct catalog **out,
                         struct error *err)
{
    CHECK(options->keyspace_count > 0);
    struct catalog *catalog = alloc_zeroed(options->alloc, 1, sizeof *catalog);
    if (catalog == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for the catalog");
    }
    catalog->options = *options;
    catalog->current = version_new(catalog, 0);
    if (catalog->current == NULL) {
        alloc_free(options->alloc, catalog);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for the catalog");
    }
    mutex_init(&catalog->mutex);
    mutex_init(&catalog->open_mutex);
    *out = catalog;
    return STATUS_OK;
}

static void remove_file(struct catalog *catalog, struct table_file *file)
{
    char name[TABLE_FILE_NAME_BYTES];
    char path[PATH_BYTES_MAX];
    if (catalog->options.cache != NULL) {
        block_cache_erase_file(catalog->options.cache, file->number);
    }
    if (path_join(path, catalog->options.dir, table_file_name(name, file->number), NULL) ==
        STATUS_OK) {
        /* What stays is no manifest's, and the next open removes it. */
        (void)(fs_unlink(catalog->options.fs, path, NULL) == STATUS_OK);
    }
    file_free(file);
}

void catalog_remove_dead(struct catalog *catalog)
{
    mutex_lock(&catalog->mutex);
    struct table_file *dead = catalog->dead;
    catalog->dead = NULL;
    mutex_unlock(&catalog->mutex);
    while (dead != NULL) {
        struct table_file *next = dead->next_dead;
        remove_file(catalog, dead);
        dead = next;
    }
}

void catalog_close(struct catalog *catalog)
{
    if (catalog == NULL) {
        return;
    }
    CHECK(atomic_load(&catalog->current->references) == 1);
    catalog->options.on_dead = NULL;
    version_release(catalog->current);
    catalog_remove_dead(catalog);
    mutex_release(&catalog->open_mutex);
    mutex_release(&catalog->mutex);
    alloc_free(catalog->options.alloc, catalog);
}
