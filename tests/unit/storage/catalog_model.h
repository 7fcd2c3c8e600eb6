/* SPDX-License-Identifier: Apache-2.0
 *
 * Catalog_model: a catalog whose tables are files of one byte, beside an array of the tables that
 * it should have; and random edits for both.
 */
#ifndef ESTREAT_TESTS_CATALOG_MODEL_H
#define ESTREAT_TESTS_CATALOG_MODEL_H

#include <stdlib.h>

#include "base/check.h"
#include "base/rng.h"
#include "storage/table/key.h"
#include "storage/tree/catalog.h"
#include "testlib/fs_crash.h"
#include "testlib/test.h"

enum { MODEL_KEYSPACES = 3, MODEL_KEYS = 4000, MODEL_TABLES_MAX = 600 };

/* User keys are numbers below MODEL_KEYS, in big-endian bytes. */
struct model_table {
    uint64_t number;
    unsigned keyspace;
    unsigned level;
    uint16_t smallest;
    uint16_t largest;
    uint64_t bytes;
};

/* In the order of versions: keyspace, level, and in the level. */
struct model {
    struct model_table tables[MODEL_TABLES_MAX];
    size_t count;
};

struct model_catalog {
    struct fs_crash *memory;
    struct fs *fs;
    struct epoch epoch;
    struct catalog *catalog;
    struct rng *rng;
    uint64_t last_number;
    struct model now;
};

static inline const char *model_path(char out[PATH_BYTES_MAX], uint64_t number)
{
    char name[TABLE_FILE_NAME_BYTES];
    struct error err = ERROR_INIT;
    enum status status = path_join(out, "/c", table_file_name(name, number), &err);
    CHECK(status == STATUS_OK);
    return out;
}

/* Any thread. */
static inline bool model_file_exists(struct model_catalog *model, uint64_t number)
{
    char path[PATH_BYTES_MAX];
    struct error err = ERROR_INIT;
    bool exists = false;
    enum status status = fs_exists(model->fs, model_path(path, number), &exists, &err);
    CHECK(status == STATUS_OK);
    return exists;
}

static inline void model_init(struct model_catalog *model, struct alloc *alloc, struct rng *rng,
                              void (*on_dead)(void *context), void *context)
{
    struct error err = ERROR_INIT;
    memset(model, 0, sizeof *model);
    model->rng = rng;
    model->memory = fs_crash_new();
    model->fs = fs_crash_fs(model->memory);
    assert_ok(fs_make_dir(model->fs, "/c", &err), &err);
    epoch_init(&model->epoch);
    struct catalog_options options = {.fs = model->fs,
                                      .alloc = alloc,
                                      .epoch = &model->epoch,
                                      .dir = "/c",
                                      .keyspace_count = MODEL_KEYSPACES,
                                      .on_dead = on_dead,
                                      .context = context};
    assert_ok(catalog_open(&options, &model->catalog, &err), &err);
}

static inline void model_release(struct model_catalog *model)
{
    catalog_close(model->catalog);
    epoch_release(&model->epoch);
    fs_crash_free(model->memory);
}

static inline int model_compare(const void *a, const void *b)
{
    const struct model_table *left = a;
    const struct model_table *right = b;
    if (left->keyspace != right->keyspace) {
        return left->keyspace < right->keyspace ? -1 : 1;
    }
    if (left->level != right->level) {
        return left->level < right->level ? -1 : 1;
    }
    if (left->level == 0) {
        return left->number > right->number ? -1 : 1;
    }
    return left->smallest < right->smallest ? -1 : 1;
}

static inline struct slice model_key(uint8_t out[32], uint16_t user, uint64_t sequence)
{
    uint8_t bytes[2] = {(uint8_t)(user >> 8), (uint8_t)user};
    return slice_of(out, internal_key_put(out, slice_of(bytes, 2), sequence, KEY_PUT));
}

static inline void model_add(struct edit *edit, const struct model_table *table)
{
    uint8_t low[32];
    uint8_t high[32];
    edit_add_table(edit, table->keyspace, table->level, table->number, table->bytes, 2,
                   model_key(low, table->smallest, 9), model_key(high, table->largest, 8));
}

static inline bool model_fits(const struct model *model, const struct model_table *table)
{
    for (size_t i = 0; table->level > 0 && i < model->count; i++) {
        const struct model_table *other = &model->tables[i];
        if (other->keyspace == table->keyspace && other->level == table->level &&
            other->smallest <= table->largest && table->smallest <= other->largest) {
            return false;
        }
    }
    return model->count < MODEL_TABLES_MAX;
}

static inline void model_place(struct model_catalog *model, struct model_table *table)
{
    table->keyspace = (unsigned)rng_below(model->rng, MODEL_KEYSPACES);
    table->level = (unsigned)rng_below(model->rng, 3);
    table->smallest = (uint16_t)rng_below(model->rng, MODEL_KEYS - 20);
    table->largest = (uint16_t)(table->smallest + rng_below(model->rng, 20));
}

/* Fills `edit` with removals, tables that change their level, and new ones, which fit; `next` gets
 * what there is after it. Makes no files. */
static inline void model_random_edit(struct model_catalog *model, unsigned adds_of_100,
                                     struct edit *edit, struct model *next)
{
    edit_clear(edit);
    *next = model->now;
    for (uint64_t i = rng_below(model->rng, 6); i > 0; i--) {
        if (rng_below(model->rng, 100) < adds_of_100) {
            struct model_table table = {.number = ++model->last_number,
                                        .bytes = 1 + rng_below(model->rng, 1000)};
            model_place(model, &table);
            if (model_fits(next, &table)) {
                model_add(edit, &table);
                next->tables[next->count++] = table;
            }
        } else if (next->count > 0) {
            struct model_table *at = &next->tables[rng_below(model->rng, next->count)];
            bool is_new = true; /* of this very edit: not to be removed by it */
            for (size_t j = 0; j < model->now.count; j++) {
                is_new = is_new && (model->now.tables[j].number != at->number ||
                                    model->now.tables[j].level != at->level);
            }
            if (is_new) {
                continue;
            }
            struct model_table table = *at;
            edit_remove_table(edit, table.keyspace, table.level, table.number);
            *at = next->tables[--next->count];
            table.level = (table.level + 1) % 3;
            if (rng_below(model->rng, 2) == 0 && model_fits(next, &table)) {
                model_add(edit, &table);
                next->tables[next->count++] = table;
            }
        }
    }
    qsort(next->tables, next->count, sizeof *next->tables, model_compare);
}

/* Makes the files of the tables that `edit` adds. */
static inline void model_make_files(struct model_catalog *model, const struct edit *edit)
{
    char path[PATH_BYTES_MAX];
    struct error err = ERROR_INIT;
    for (size_t i = 0; i < edit_add_count(edit); i++) {
        uint64_t number = edit_add_at(edit, i).number;
        assert_ok(
            fs_replace_file(model->fs, "/c", model_path(path, number), slice_of("t", 1), &err),
            &err);
    }
}

/* Publishes what was prepared. */
static inline void model_publish(struct model_catalog *model, struct version *version,
                                 const struct model *next)
{
    catalog_publish(model->catalog, version);
    model->now = *next;
}

#endif
