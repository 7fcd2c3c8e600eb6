/* SPDX-License-Identifier: Apache-2.0
 *
 * What reading ahead saves: a forward scan with it asks the file system for far fewer pieces than
 * one without, and yields the same.
 */
#include "base/log.h"
#include "engine_run.h"
#include "testlib/fs_faulty.h"

enum { EVENTS = 3000 };

/* Reads of the file system that a scan of all events makes, which leaves nothing in the cache. */
static uint64_t reads_of_a_scan(struct engine_run *run, struct fs_faulty *faulty, bool readahead)
{
    struct engine_iter *iter = NULL;
    struct engine_iter_options options = {.no_fill_cache = true, .readahead = readahead};
    uint64_t before = fs_faulty_calls(faulty, FS_CALL_READ);
    assert_ok(engine_iter_new(run->engine, NULL, KS_EVENTS, &options, &iter, &run->err), &run->err);
    uint32_t position = 0;
    for (engine_iter_seek_first(iter); engine_iter_valid(iter); engine_iter_next(iter)) {
        assert_value(engine_iter_value(iter), event_value_id(position));
        position++;
    }
    assert_int_equal(position, EVENTS);
    assert_ok(engine_iter_status(iter, &run->err), &run->err);
    engine_iter_close(iter);
    return fs_faulty_calls(faulty, FS_CALL_READ) - before;
}

static void scans_read_large_pieces(void **state)
{
    (void)state;
    struct engine_run run;
    struct fs_faulty faulty;
    engine_run_init(&run);
    fs_faulty_init(&faulty, run.options.fs);
    run.options.fs = &faulty.fs;
    run.options.table_bytes = 256 * KIB;
    engine_run_open(&run, 1);
    while (run.model.events < EVENTS) {
        batch_clear(&run.batch);
        model_append(&run.model, &run.batch);
        assert_ok(engine_write(run.engine, &run.batch, &run.err), &run.err);
        if (engine_should_seal(run.engine) || run.model.events == EVENTS) {
            engine_run_seal(&run);
        }
    }
    assert_ok(engine_flush(run.engine, &run.err), &run.err);
    (void)executor_manual_run(&run.executor, 100000);
    engine_run_close(&run);
    engine_run_open(&run, 1);
    (void)reads_of_a_scan(&run, &faulty, false); /* opens the tables */
    uint64_t without = reads_of_a_scan(&run, &faulty, false);
    uint64_t with = reads_of_a_scan(&run, &faulty, true);
    print_message("reads of a scan: %llu, with readahead %llu\n", (unsigned long long)without,
                  (unsigned long long)with);
    assert_true(with > 0);
    assert_true(without > 4 * with);
    engine_run_end(&run);
    fs_faulty_release(&faulty);
}

int main(void)
{
    log_set_level(LOG_OFF);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scans_read_large_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
