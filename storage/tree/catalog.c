/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/tree/catalog.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/check.h"
#include "base/coding.h"
#include "base/sync.h"
#include "storage/table/key.h"
#include "storage/tree/cow_btree.h"

struct level {
    size_t begin; /* index of its first table among all */
    size_t count;
    uint64_t bytes;
};

struct version {
    struct epoch_item retired; /* first */
    struct catalog *catalog;
    _Atomic uint64_t references;
    uint64_t number; /* one more than that of the version before */
    struct cow_node *tables;
    struct cow_node *numbers;
    /* Until it is published: what the version before has and this one has not. Borrowed. */
    struct table_file **gone;
    size_t gone_count;
    struct floor *floors;  /* one a keyspace, behind the levels */
    struct level levels[]; /* keyspace_count * TREE_LEVELS */
};

struct catalog {
    struct catalog_options options;
    struct cow_btree tree;
    _Atomic(struct version *) current;
    _Atomic(struct table_file *) dead; /* a stack */
    struct mutex open_mutex;           /* opening of tables */
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
                                .times = add->times,
                                .catalog = catalog,
                                .references = 1};
    memcpy(file->key_bytes, edit_smallest(edit, add).data, add->smallest_length);
    memcpy(file->key_bytes + add->smallest_length, edit_largest(edit, add).data,
           add->largest_length);
    put_be64(file->newest_first, UINT64_MAX - add->number);
    file->smallest = slice_of(file->key_bytes, add->smallest_length);
    file->largest = slice_of(file->key_bytes + add->smallest_length, add->largest_length);
    return file;
}

static void file_free(struct table_file *file)
{
    table_unref(atomic_load(&file->table));
    alloc_free(file->catalog->options.alloc, file);
}

static void file_ref(void *of)
{
    struct table_file *file = of;
    uint64_t before = atomic_fetch_add(&file->references, 1);
    CHECK(before > 0);
}

static void file_unref(void *of)
{
    struct table_file *file = of;
    if (atomic_fetch_sub(&file->references, 1) > 1) {
        return;
    }
    if (!atomic_load(&file->dead)) {
        file_free(file);
        return;
    }
    struct catalog *catalog = file->catalog;
    file->next_dead = atomic_load(&catalog->dead);
    while (!atomic_compare_exchange_weak(&catalog->dead, &file->next_dead, file)) {
    }
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
                                             .counters = catalog->options.counters,
                                             .bloom_counters = catalog->options.bloom_counters};
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

void table_file_take(struct table_file *file, bool taken)
{
    atomic_store(&file->taken, taken);
}

bool table_file_is_taken(const struct table_file *file)
{
    return atomic_load(&file->taken);
}

/* --- versions ------------------------------------------------------------------------------ */

/* Where tables stand in version.tables: keyspace, level, order within the level. */
static struct cow_key place_of(unsigned keyspace, unsigned level, struct slice order)
{
    return (struct cow_key){.group = (uint64_t)keyspace * TREE_LEVELS + level, .bytes = order};
}

static struct cow_key place_of_file(const struct table_file *file, unsigned level)
{
    return place_of(file->keyspace, level,
                    level == 0 ? slice_of(file->newest_first, sizeof file->newest_first)
                               : internal_key_user(file->largest));
}

/* And in version.numbers. */
static struct cow_key place_of_number(uint64_t number)
{
    return (struct cow_key){.group = number};
}

/* A copy of `from`, with room for `gone_max` tables that go. NULL: an empty one. */
static struct version *version_new(struct catalog *catalog, const struct version *from,
                                   size_t gone_max)
{
    size_t levels = catalog->options.keyspace_count * TREE_LEVELS;
    size_t floors_bytes = catalog->options.keyspace_count * sizeof(struct floor);
    struct version *version = alloc_zeroed(
        catalog->options.alloc, 1, sizeof *version + levels * sizeof(struct level) + floors_bytes);
    if (version == NULL) {
        return NULL;
    }
    version->floors = (struct floor *)&version->levels[levels];
    version->catalog = catalog;
    version->references = 1;
    if (gone_max > 0) {
        version->gone = alloc_zeroed(catalog->options.alloc, gone_max, sizeof(void *));
        if (version->gone == NULL) {
            alloc_free(catalog->options.alloc, version);
            return NULL;
        }
    }
    if (from != NULL) {
        version->number = from->number + 1;
        version->tables = from->tables;
        version->numbers = from->numbers;
        cow_btree_ref(version->tables);
        cow_btree_ref(version->numbers);
        memcpy(version->levels, from->levels, levels * sizeof(struct level));
        memcpy(version->floors, from->floors, floors_bytes);
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
    struct epoch_guard guard = epoch_enter(catalog->options.epoch);
    struct version *version = atomic_load(&catalog->current);
    version_ref(version);
    epoch_leave(catalog->options.epoch, guard);
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
    cow_btree_unref(&catalog->tree, version->tables);
    cow_btree_unref(&catalog->tree, version->numbers);
    alloc_free(catalog->options.alloc, version->gone);
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
    const struct level *at = level_of(version, keyspace, level);
    CHECK(index < at->count);
    return cow_btree_at(version->tables, at->begin + index)->value;
}

size_t version_lower_bound(const struct version *version, unsigned keyspace, unsigned level,
                           struct slice user_key)
{
    CHECK(level > 0);
    const struct level *at = level_of(version, keyspace, level);
    if (at->count == 0) {
        return 0;
    }
    size_t index = cow_btree_rank(version->tables, place_of(keyspace, level, user_key)) - at->begin;
    CHECK(index <= at->count);
    return index;
}

struct table_file *version_find(const struct version *version, unsigned keyspace, unsigned level,
                                struct slice user_key)
{
    CHECK(level > 0);
    if (level_of(version, keyspace, level)->count == 0) {
        return NULL;
    }
    struct cow_key place = place_of(keyspace, level, user_key);
    const struct cow_entry *entry = cow_btree_ceiling(version->tables, place);
    if (entry == NULL || entry->key.group != place.group) {
        return NULL;
    }
    struct table_file *file = entry->value;
    return slice_compare(internal_key_user(file->smallest), user_key) <= 0 ? file : NULL;
}

const struct floor *version_floor(const struct version *version, unsigned keyspace)
{
    CHECK(keyspace < version->catalog->options.keyspace_count);
    return &version->floors[keyspace];
}

void version_describe(const struct version *version, struct edit *edit)
{
    struct cow_cursor cursor = cow_cursor_at(version->tables, 0);
    for (; cow_cursor_valid(&cursor); cow_cursor_next(&cursor)) {
        const struct cow_entry *entry = cow_cursor_entry(&cursor);
        const struct table_file *file = entry->value;
        edit_add_table(edit, file->keyspace, (unsigned)(entry->key.group % TREE_LEVELS),
                       file->number, file->bytes, file->entries, file->smallest, file->largest);
        edit_set_times(edit, &file->times);
    }
    for (unsigned i = 0; i < version->catalog->options.keyspace_count; i++) {
        if (version->floors[i].length > 0) {
            edit_set_floor(edit, i, floor_key(&version->floors[i]));
        }
    }
}

/* --- editing ------------------------------------------------------------------------------- */

static enum status no_memory(struct error *err)
{
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for the catalog");
}

static enum status remove_table(struct catalog *catalog, struct version *next,
                                struct edit_remove removal, struct error *err)
{
    struct cow_key number = place_of_number(removal.number);
    struct table_file *file = cow_btree_get(next->numbers, number);
    if (file == NULL || file->keyspace != removal.keyspace ||
        cow_btree_get(next->tables, place_of_file(file, removal.level)) != file) {
        return error_set(err, STATUS_CORRUPT,
                         "an edit removes table %06" PRIu64 ", not in level %u", removal.number,
                         removal.level);
    }
    struct cow_key place = place_of_file(file, removal.level);
    if (!cow_btree_remove(&catalog->tree, &next->tables, place) ||
        !cow_btree_remove(&catalog->tree, &next->numbers, number)) {
        return no_memory(err);
    }
    struct level *level = level_of(next, removal.keyspace, removal.level);
    CHECK(level->count > 0 && level->bytes >= file->bytes);
    level->count--;
    level->bytes -= file->bytes;
    next->gone[next->gone_count++] = file;
    return STATUS_OK;
}

/* A table that changes its level is the same file, with its open handle. */
static struct table_file *take_moved(struct version *next, const struct edit_add *add)
{
    for (size_t i = 0; i < next->gone_count; i++) {
        struct table_file *file = next->gone[i];
        if (file->number == add->number && file->keyspace == add->keyspace) {
            next->gone[i] = next->gone[--next->gone_count];
            file_ref(file);
            return file;
        }
    }
    return NULL;
}

static enum status overlap(const struct table_file *left, const struct table_file *right,
                           unsigned level, struct error *err)
{
    return error_set(err, STATUS_CORRUPT,
                     "tables %06" PRIu64 " and %06" PRIu64 " overlap in level %u", left->number,
                     right->number, level);
}

static enum status add_file(struct catalog *catalog, struct version *next, struct table_file *file,
                            unsigned level, struct error *err)
{
    struct cow_entry place = {.key = place_of_file(file, level), .value = file};
    struct cow_entry number = {.key = place_of_number(file->number), .value = file};
    if (cow_btree_get(next->numbers, number.key) != NULL) {
        return error_set(err, STATUS_CORRUPT, "an edit adds table %06" PRIu64 ", which is there",
                         file->number);
    }
    const struct table_file *same = cow_btree_get(next->tables, place.key);
    if (same != NULL) {
        return overlap(same, file, level, err);
    }
    if (!cow_btree_put(&catalog->tree, &next->tables, &place) ||
        !cow_btree_put(&catalog->tree, &next->numbers, &number)) {
        return no_memory(err);
    }
    struct level *at = level_of(next, file->keyspace, level);
    at->count++;
    at->bytes += file->bytes;
    return STATUS_OK;
}

static enum status add_table(struct catalog *catalog, struct version *next, const struct edit *edit,
                             const struct edit_add *add, struct error *err)
{
    struct table_file *file = take_moved(next, add);
    if (file == NULL) {
        file = file_new(catalog, edit, add);
    }
    if (file == NULL) {
        return no_memory(err);
    }
    enum status status = add_file(catalog, next, file, add->level, err);
    file_unref(file); /* the trees have theirs */
    return status;
}

/* True if both are tables of this place's level, and overlap. */
static bool overlaps(const struct cow_cursor *left, const struct cow_cursor *right, uint64_t group)
{
    if (!cow_cursor_valid(left) || !cow_cursor_valid(right) ||
        cow_cursor_entry(left)->key.group != group || cow_cursor_entry(right)->key.group != group) {
        return false;
    }
    const struct table_file *before = cow_cursor_entry(left)->value;
    const struct table_file *behind = cow_cursor_entry(right)->value;
    return slice_compare(internal_key_user(before->largest), internal_key_user(behind->smallest)) >=
           0;
}

/* A table that was added against its neighbours. */
static enum status check_disjoint(const struct version *next, const struct edit_add *add,
                                  struct error *err)
{
    const struct table_file *file = cow_btree_get(next->numbers, place_of_number(add->number));
    CHECK(file != NULL);
    if (add->level == 0) {
        return STATUS_OK;
    }
    struct cow_key place = place_of_file(file, add->level);
    struct cow_cursor here = cow_cursor_seek(next->tables, place);
    struct cow_cursor before = here;
    struct cow_cursor behind = here;
    cow_cursor_prev(&before);
    cow_cursor_next(&behind);
    if (overlaps(&before, &here, place.group)) {
        return overlap(cow_cursor_entry(&before)->value, file, add->level, err);
    }
    if (overlaps(&here, &behind, place.group)) {
        return overlap(file, cow_cursor_entry(&behind)->value, add->level, err);
    }
    return STATUS_OK;
}

static enum status raise_floors(struct version *next, const struct edit *edit, struct error *err)
{
    for (size_t i = 0; i < edit_floor_count(edit); i++) {
        struct edit_floor rise = edit_floor_at(edit, i);
        CHECK(rise.keyspace < next->catalog->options.keyspace_count);
        struct floor *floor = &next->floors[rise.keyspace];
        if (floor_hides(floor, floor_key(&rise.floor))) {
            return error_set(err, STATUS_CORRUPT, "an edit lets the floor of keyspace %u fall",
                             rise.keyspace);
        }
        *floor = rise.floor;
    }
    return STATUS_OK;
}

static enum status apply(struct catalog *catalog, struct version *next, const struct edit *edit,
                         struct error *err)
{
    enum status status = raise_floors(next, edit, err);
    for (size_t i = 0; status == STATUS_OK && i < edit_remove_count(edit); i++) {
        status = remove_table(catalog, next, edit_remove_at(edit, i), err);
    }
    for (size_t i = 0; status == STATUS_OK && i < edit_add_count(edit); i++) {
        struct edit_add add = edit_add_at(edit, i);
        status = add_table(catalog, next, edit, &add, err);
    }
    for (size_t i = 0; status == STATUS_OK && i < edit_add_count(edit); i++) {
        struct edit_add add = edit_add_at(edit, i);
        status = check_disjoint(next, &add, err);
    }
    return status;
}

enum status catalog_prepare(struct catalog *catalog, const struct edit *edit, struct version **out,
                            struct error *err)
{
    CHECK(!edit_failed(edit));
    struct version *next =
        version_new(catalog, atomic_load(&catalog->current), edit_remove_count(edit));
    if (next == NULL) {
        return no_memory(err);
    }
    enum status status = apply(catalog, next, edit, err);
    if (status != STATUS_OK) {
        version_release(next);
        return status;
    }
    size_t begin = 0;
    for (size_t i = 0; i < catalog->options.keyspace_count * TREE_LEVELS; i++) {
        next->levels[i].begin = begin;
        begin += next->levels[i].count;
    }
    CHECK(begin == cow_btree_count(next->tables) && begin == cow_btree_count(next->numbers));
    *out = next;
    return STATUS_OK;
}

static void let_go(struct epoch_item *item)
{
    version_release((struct version *)item);
}

void catalog_publish(struct catalog *catalog, struct version *next)
{
    struct version *old = atomic_load(&catalog->current);
    CHECK(next->catalog == catalog && next->number == old->number + 1);
    /* The mark is read only when the last reference goes, and the old version has one. */
    for (size_t i = 0; i < next->gone_count; i++) {
        atomic_store(&next->gone[i]->dead, true);
    }
    alloc_free(catalog->options.alloc, next->gone);
    next->gone = NULL;
    next->gone_count = 0;
    atomic_store(&catalog->current, next);
    epoch_retire(catalog->options.epoch, &old->retired, let_go);
}

/* --- life ---------------------------------------------------------------------------------- */

enum status catalog_open(const struct catalog_options *options, struct catalog **out,
                         struct error *err)
{
    CHECK(options->keyspace_count > 0 && options->epoch != NULL);
    struct catalog *catalog = alloc_zeroed(options->alloc, 1, sizeof *catalog);
    if (catalog == NULL) {
        return no_memory(err);
    }
    catalog->options = *options;
    catalog->tree =
        (struct cow_btree){.alloc = options->alloc, .ref = file_ref, .unref = file_unref};
    struct version *empty = version_new(catalog, NULL, 0);
    if (empty == NULL) {
        alloc_free(options->alloc, catalog);
        return no_memory(err);
    }
    atomic_store(&catalog->current, empty);
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
    struct table_file *dead = atomic_exchange(&catalog->dead, NULL);
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
    struct version *current = atomic_load(&catalog->current);
    CHECK(atomic_load(&current->references) == 1);
    catalog->options.on_dead = NULL;
    version_release(current);
    catalog_remove_dead(catalog);
    mutex_release(&catalog->open_mutex);
    alloc_free(catalog->options.alloc, catalog);
}
