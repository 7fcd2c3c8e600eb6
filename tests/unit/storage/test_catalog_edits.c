/* SPDX-License-Identifier: Apache-2.0
 *
 * Random edits of the catalog against an array of tables.
 */
#include "catalog_model.h"
#include "testlib/fail_alloc.h"

enum { EDITS = 4000, KEPT = 6 };

/* A version that is held, and what it should show. */
struct kept {
    struct version *version;
    struct model model;
};

static void check_level(const struct version *version, unsigned keyspace, unsigned level,
                        const struct model_table *tables, size_t count)
{
    assert_int_equal(version_count(version, keyspace, level), count);
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        const struct table_file *file = version_at(version, keyspace, level, i);
        uint8_t key[32];
        assert_int_equal(file->number, tables[i].number);
        assert_int_equal(file->keyspace, keyspace);
        assert_true(slice_equal(file->smallest, model_key(key, tables[i].smallest, 9)));
        assert_true(slice_equal(file->largest, model_key(key, tables[i].largest, 8)));
        bytes += tables[i].bytes;
    }
    assert_int_equal(version_bytes(version, keyspace, level), bytes);
}

static void check_lookup(const struct version *version, unsigned keyspace, unsigned level,
                         const struct model_table *tables, size_t count, uint16_t user)
{
    uint8_t key[32];
    struct slice wanted = internal_key_user(model_key(key, user, 1));
    size_t index = 0;
    while (index < count && tables[index].largest < user) {
        index++;
    }
    assert_int_equal(version_lower_bound(version, keyspace, level, wanted), index);
    const struct table_file *found = version_find(version, keyspace, level, wanted);
    if (index < count && tables[index].smallest <= user) {
        assert_non_null(found);
        assert_int_equal(found->number, tables[index].number);
    } else {
        assert_null(found);
    }
}

static void check_version(const struct version *version, const struct model *model, struct rng *rng)
{
    const struct model_table *at = model->tables;
    const struct model_table *end = at + model->count;
    for (unsigned keyspace = 0; keyspace < MODEL_KEYSPACES; keyspace++) {
        for (unsigned level = 0; level < TREE_LEVELS; level++) {
            size_t count = 0;
            while (at + count < end && at[count].keyspace == keyspace && at[count].level == level) {
                count++;
            }
            check_level(version, keyspace, level, at, count);
            for (int i = 0; level > 0 && i < 10; i++) {
                check_lookup(version, keyspace, level, at, count,
                             (uint16_t)rng_below(rng, MODEL_KEYS));
            }
            at += count;
        }
    }
    assert_ptr_equal(at, end);
    struct edit edit;
    edit_init(&edit, alloc_default());
    version_describe(version, &edit);
    assert_int_equal(edit_add_count(&edit), model->count);
    for (size_t i = 0; i < model->count; i++) {
        assert_int_equal(edit_add_at(&edit, i).number, model->tables[i].number);
        assert_int_equal(edit_add_at(&edit, i).level, model->tables[i].level);
        assert_int_equal(edit_add_at(&edit, i).keyspace, model->tables[i].keyspace);
    }
    edit_release(&edit);
}

static bool names(const struct model *model, uint64_t number)
{
    for (size_t i = 0; i < model->count; i++) {
        if (model->tables[i].number == number) {
            return true;
        }
    }
    return false;
}

/* A file is there if and only if a version that is held names it. */
static void check_files(struct model_catalog *model, const struct kept *kept)
{
    catalog_remove_dead(model->catalog);
    for (uint64_t number = 1; number <= model->last_number; number++) {
        bool named = names(&model->now, number);
        for (size_t i = 0; !named && i < KEPT; i++) {
            named = kept[i].version != NULL && names(&kept[i].model, number);
        }
        assert_int_equal(model_file_exists(model, number), named);
    }
}

/* Versions show what edits made of them, also those that were kept while others followed; files go
 * with the last version that names them, and live ones outlast the catalog. */
static void test_random_edits(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    struct model_catalog *model = calloc(1, sizeof *model);
    struct kept *kept = calloc(KEPT, sizeof *kept);
    struct model *next = calloc(1, sizeof *next);
    assert_true(model != NULL && kept != NULL && next != NULL);
    model_init(model, alloc_default(), &seeded.rng, NULL, NULL);
    struct edit edit;
    edit_init(&edit, alloc_default());
    for (int i = 0; i < EDITS; i++) {
        struct error err = ERROR_INIT;
        struct version *version = NULL;
        model_random_edit(model, i / 500 % 2 == 0 ? 70 : 20, &edit, next);
        model_make_files(model, &edit);
        assert_ok(catalog_prepare(model->catalog, &edit, &version, &err), &err);
        model_publish(model, version, next);
        if (rng_below(&seeded.rng, 20) == 0) {
            version = catalog_acquire(model->catalog);
            check_version(version, &model->now, &seeded.rng);
            struct kept *old = &kept[rng_below(&seeded.rng, KEPT)];
            if (old->version != NULL) {
                check_version(old->version, &old->model, &seeded.rng);
            }
            version_release(old->version);
            *old = (struct kept){.version = version, .model = model->now};
        }
        if (i % 400 == 0) {
            check_files(model, kept);
        }
    }
    for (size_t i = 0; i < KEPT; i++) {
        version_release(kept[i].version);
        kept[i].version = NULL;
    }
    check_files(model, kept);
    catalog_close(model->catalog);
    model->catalog = NULL;
    for (size_t i = 0; i < model->now.count; i++) {
        assert_true(model_file_exists(model, model->now.tables[i].number));
    }
    edit_release(&edit);
    model_release(model);
    free(next);
    free(kept);
    free(model);
}

/* Whichever allocation fails, the current version is what it was and nothing is lost. */
static void test_no_memory_changes_nothing(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    struct fail_alloc memory;
    fail_alloc_init(&memory);
    struct model_catalog *model = calloc(1, sizeof *model);
    struct model *next = calloc(1, sizeof *next);
    assert_true(model != NULL && next != NULL);
    model_init(model, &memory.alloc, &seeded.rng, NULL, NULL);
    struct edit edit;
    edit_init(&edit, alloc_default());
    for (int i = 0; i < 400; i++) {
        struct version *version = NULL;
        struct error err = ERROR_INIT;
        model_random_edit(model, i < 200 ? 80 : 20, &edit, next);
        uint64_t blocks = fail_alloc_blocks(&memory);
        for (uint64_t n = 0;; n++) {
            fail_alloc_arm(&memory, n);
            enum status status = catalog_prepare(model->catalog, &edit, &version, &err);
            if (!fail_alloc_hit(&memory)) {
                assert_ok(status, &err);
                break;
            }
            assert_status(status, STATUS_RESOURCE_EXHAUSTED, &err);
            assert_null(version);
            assert_int_equal(fail_alloc_blocks(&memory), blocks);
        }
        if (i % 40 == 0) {
            struct version *now = catalog_acquire(model->catalog);
            check_version(now, &model->now, &seeded.rng);
            version_release(now);
        }
        /* Every second edit is thought better of. */
        if (i % 2 == 0) {
            model_publish(model, version, next);
        } else {
            version_release(version);
            assert_int_equal(fail_alloc_blocks(&memory), blocks);
        }
    }
    edit_release(&edit);
    fail_alloc_arm(&memory, FAIL_ALLOC_NEVER);
    model_release(model);
    fail_alloc_release(&memory);
    free(next);
    free(model);
}

static void refuse(struct model_catalog *model, const struct edit *edit)
{
    struct version *version = NULL;
    struct error err = ERROR_INIT;
    assert_status(catalog_prepare(model->catalog, edit, &version, &err), STATUS_CORRUPT, &err);
    assert_null(version);
}

/* An edit with one thing in it that does not fit is refused whole. */
static void test_refuses_what_does_not_fit(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    struct model_catalog *model = calloc(1, sizeof *model);
    struct model *next = calloc(1, sizeof *next);
    assert_true(model != NULL && next != NULL);
    model_init(model, alloc_default(), &seeded.rng, NULL, NULL);
    struct edit edit;
    edit_init(&edit, alloc_default());
    for (int i = 0; i < 1000; i++) {
        struct version *version = NULL;
        struct error err = ERROR_INIT;
        model_random_edit(model, 70, &edit, next);
        assert_ok(catalog_prepare(model->catalog, &edit, &version, &err), &err);
        model_publish(model, version, next);
        if (model->now.count == 0) {
            continue;
        }
        model_random_edit(model, 70, &edit, next);
        struct model_table table =
            next->tables[next->count == 0 ? 0 : rng_below(model->rng, next->count)];
        if (next->count == 0) {
            continue;
        }
        uint64_t kind = rng_below(model->rng, 4);
        if (kind == 0) { /* a number twice */
            table.level = 0;
            model_add(&edit, &table);
            refuse(model, &edit);
        } else if (kind == 1) { /* not there */
            edit_remove_table(&edit, table.keyspace, table.level, model->last_number + 1);
            refuse(model, &edit);
        } else if (kind == 2) { /* in another level */
            edit_remove_table(&edit, table.keyspace, table.level + 1, table.number);
            refuse(model, &edit);
        } else if (table.level > 0) { /* one key in common, at either end */
            table.number = model->last_number + 1;
            if (rng_below(model->rng, 2) == 0 && table.smallest >= 5) {
                table.largest = table.smallest;
                table.smallest = (uint16_t)(table.smallest - rng_below(model->rng, 5));
            } else {
                table.smallest = table.largest;
                table.largest = (uint16_t)(table.largest + rng_below(model->rng, 5));
            }
            model_add(&edit, &table);
            refuse(model, &edit);
        }
    }
    struct version *version = catalog_acquire(model->catalog);
    check_version(version, &model->now, &seeded.rng);
    version_release(version);
    edit_release(&edit);
    model_release(model);
    free(next);
    free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_edits),
        cmocka_unit_test(test_no_memory_changes_nothing),
        cmocka_unit_test(test_refuses_what_does_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
