/* SPDX-License-Identifier: Apache-2.0
 *
 * Readers of the catalog beside its editor and the removal of files; mostly of use under the thread
 * sanitizer.
 */
#include <stdatomic.h>

#include "base/sync.h"
#include "catalog_model.h"

enum { READERS = 3, EDITS = 1500, WALKS = 1500, ACQUIRES = 100000 };

struct shared {
    struct model_catalog model;
    struct model next;
    atomic_bool stop;
    _Atomic uint64_t walks;
    _Atomic uint64_t dead;
};

static void note_dead(void *context)
{
    atomic_fetch_add(&((struct shared *)context)->dead, 1);
}

/* Every table of the version is on the disk, and in its order. */
static void walk(struct shared *shared, const struct version *version)
{
    for (unsigned keyspace = 0; keyspace < MODEL_KEYSPACES; keyspace++) {
        for (unsigned level = 0; level < 3; level++) {
            const struct table_file *before = NULL;
            for (size_t i = 0; i < version_count(version, keyspace, level); i++) {
                struct table_file *file = version_at(version, keyspace, level, i);
                CHECK(model_file_exists(&shared->model, file->number));
                if (level == 0) {
                    CHECK(before == NULL || before->number > file->number);
                } else {
                    CHECK(before == NULL || slice_compare(internal_key_user(before->largest),
                                                          internal_key_user(file->smallest)) < 0);
                    CHECK(version_find(version, keyspace, level,
                                       internal_key_user(file->smallest)) == file);
                }
                before = file;
            }
        }
    }
}

static void *read_on(void *context)
{
    struct shared *shared = context;
    while (!atomic_load(&shared->stop)) {
        struct version *version = catalog_acquire(shared->model.catalog);
        walk(shared, version);
        version_release(version);
        atomic_fetch_add(&shared->walks, 1);
    }
    return NULL;
}

/* A reader's version has its tables on the disk however many edits follow; in the end exactly the
 * live ones are there. */
static void test_readers_during_edits(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    struct shared *shared = calloc(1, sizeof *shared);
    assert_non_null(shared);
    struct model_catalog *model = &shared->model;
    model_init(model, alloc_default(), &seeded.rng, note_dead, shared);
    pthread_t threads[READERS];
    for (int i = 0; i < READERS; i++) {
        assert_true(thread_start(&threads[i], "reader", read_on, shared));
    }
    struct edit edit;
    edit_init(&edit, alloc_default());
    for (int i = 0; i < EDITS || atomic_load(&shared->walks) < WALKS; i++) {
        struct error err = ERROR_INIT;
        struct version *version = NULL;
        model_random_edit(model, model->now.count < 60 ? 60 : 30, &edit, &shared->next);
        model_make_files(model, &edit);
        assert_ok(catalog_prepare(model->catalog, &edit, &version, &err), &err);
        model_publish(model, version, &shared->next);
        if (atomic_exchange(&shared->dead, 0) > 0) {
            catalog_remove_dead(model->catalog);
        }
    }
    atomic_store(&shared->stop, true);
    for (int i = 0; i < READERS; i++) {
        thread_join(threads[i]);
    }
    catalog_remove_dead(model->catalog);
    uint64_t files = 0;
    for (uint64_t number = 1; number <= model->last_number; number++) {
        files += model_file_exists(model, number) ? 1 : 0;
    }
    assert_int_equal(files, model->now.count);
    edit_release(&edit);
    model_release(model);
    free(shared);
}

static void *acquire_on(void *context)
{
    struct shared *shared = context;
    while (!atomic_load(&shared->stop)) {
        version_release(catalog_acquire(shared->model.catalog));
        atomic_fetch_add(&shared->walks, 1);
    }
    return NULL;
}

/* Between finding a version and taking a reference a reader has nothing but its epoch. */
static void test_acquires_during_edits(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, 1);
    struct shared *shared = calloc(1, sizeof *shared);
    assert_non_null(shared);
    struct model_catalog *model = &shared->model;
    model_init(model, alloc_default(), &seeded.rng, NULL, NULL);
    pthread_t threads[READERS];
    for (int i = 0; i < READERS; i++) {
        assert_true(thread_start(&threads[i], "reader", acquire_on, shared));
    }
    struct edit edit;
    edit_init(&edit, alloc_default());
    for (int i = 0; i < ACQUIRES || atomic_load(&shared->walks) < ACQUIRES; i++) {
        struct error err = ERROR_INIT;
        struct version *version = NULL;
        assert_ok(catalog_prepare(model->catalog, &edit, &version, &err), &err);
        catalog_publish(model->catalog, version);
    }
    atomic_store(&shared->stop, true);
    for (int i = 0; i < READERS; i++) {
        thread_join(threads[i]);
    }
    edit_release(&edit);
    model_release(model);
    free(shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_readers_during_edits),
        cmocka_unit_test(test_acquires_during_edits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
