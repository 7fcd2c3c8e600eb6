/* SPDX-License-Identifier: Apache-2.0
 *
 * The engine with a log of its own, written by many threads, on real files.
 */
#include "base/log.h"
#include "base/sync.h"
#include "storage/store.h"
#include "testlib/temp_dir.h"
#include "testlib/test.h"

enum { WRITERS = 8, WRITES = 150 };

struct writer {
    pthread_t thread;
    struct store *store;
    unsigned number;
};

static const struct keyspace_options keyed = {
    .name = "keyed", .layout = KEYSPACE_LEVELED, .bloom_bits = 10};

static struct slice writer_key(char out[32], unsigned writer, unsigned i)
{
    return slice_of(out, (size_t)snprintf(out, 32, "w%u/%u", writer, i));
}

static void *write_all(void *context)
{
    struct writer *writer = context;
    struct error err = ERROR_INIT;
    struct batch batch;
    struct buf value;
    batch_init(&batch, alloc_default());
    buf_init(&value, alloc_default(), KEYSPACE_VALUE_BYTES_MAX);
    for (unsigned i = 0; i < WRITES; i++) {
        char key[32];
        batch_clear(&batch);
        batch_put(&batch, 0, writer_key(key, writer->number, i), slice_of_string("value"));
        batch_put(&batch, 0, slice_of_string("last"), slice_of_string("value"));
        CHECK(store_write(writer->store, &batch, i % 4 == 0, &err) == STATUS_OK);
        CHECK(engine_get(store_engine(writer->store), NULL, 0, writer_key(key, writer->number, i),
                         &value, &err) == STATUS_OK);
        if (i % 50 == 49) {
            CHECK(store_flush(writer->store, &err) == STATUS_OK);
        }
    }
    buf_release(&value);
    batch_release(&batch);
    return NULL;
}

/* Writers of many threads share groups; each sees its own at once, and all is there afterwards. */
static void threads_share_groups(void **state)
{
    (void)state;
    struct temp_dir dir;
    struct error err = ERROR_INIT;
    struct store *store = NULL;
    struct writer writers[WRITERS];
    temp_dir_init(&dir);
    const struct store_options options = {
        .dir = temp_dir_path(&dir, "store"),
        .segment_bytes = 64 * KIB,
        .engine = {.keyspaces = &keyed, .keyspace_count = 1, .memtable_bytes = 64 * KIB}};
    assert_ok(store_open(&options, &store, &err), &err);
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.store = store, .number = i};
        assert_true(thread_start(&writers[i].thread, "writer", write_all, &writers[i]));
    }
    for (unsigned i = 0; i < WRITERS; i++) {
        thread_join(writers[i].thread);
    }
    struct wal_metrics *metrics = store_log_metrics(store);
    assert_int_equal(counter_get(&metrics->entries), WRITERS * WRITES);
    assert_true(atomic_load(&metrics->group_entries.total) < WRITERS * WRITES);
    store_close(store);
    assert_ok(store_open(&options, &store, &err), &err);
    struct buf value;
    buf_init(&value, alloc_default(), KEYSPACE_VALUE_BYTES_MAX);
    for (unsigned i = 0; i < WRITERS * WRITES; i++) {
        char key[32];
        assert_ok(engine_get(store_engine(store), NULL, 0,
                             writer_key(key, i % WRITERS, i / WRITERS), &value, &err),
                  &err);
    }
    buf_release(&value);
    store_close(store);
    temp_dir_release(&dir);
}

int main(void)
{
    log_set_level(LOG_OFF);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_share_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
