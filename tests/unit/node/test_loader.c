/* SPDX-License-Identifier: Apache-2.0
 *
 * Loads of old entries: what they bring, and where they go when the loader ends first.
 */
#include "testlib/test.h"

#include "node/loader.h"
#include "testlib/clock_manual.h"
#include "testlib/fail_alloc.h"
#include "testlib/fs_crash.h"
#include "testlib/io_queue_manual.h"

#define ENTRIES 300U
#define LOADS 64U
#define PATIENCE_NS (5 * NS_PER_S)

struct fixture {
    struct fs_crash *crash;
    struct clock_manual clock;
    struct io_queue_manual io;
    struct wal *wal;
    struct fail_alloc alloc;
    struct intake_queue intake;
    struct loader *loader;
    struct error err;
};

static void append_entries(struct fixture *fx)
{
    struct wal_durable durable;
    for (uint64_t index = 1; index <= ENTRIES; index++) {
        const struct wal_entry entry = {
            .index = index, .term = 1, .type = 7, .data = slice_of(&index, sizeof index)};
        assert_ok(wal_append(fx->wal, &entry, 1, &fx->err), &fx->err);
    }
    assert_ok(wal_submit(fx->wal, &fx->err), &fx->err);
    (void)io_queue_manual_complete_all(&fx->io);
    assert_ok(wal_finish(fx->wal, &durable, &fx->err), &fx->err);
    assert_int_equal(durable.index, ENTRIES);
}

static int setup(void **state)
{
    static struct fixture fixture;
    struct fixture *fx = &fixture;
    struct wal_recovered recovered;
    *fx = (struct fixture){.crash = fs_crash_new()};
    clock_manual_init(&fx->clock, NS_PER_S);
    io_queue_manual_init(&fx->io, &fx->clock.clock);
    const struct wal_options options = {.fs = fs_crash_fs(fx->crash),
                                        .io = &fx->io.queue,
                                        .dir = "wal",
                                        .identity = slice_of_string("c/n")};
    assert_ok(wal_open(&options, 0, 0, &recovered, &fx->wal, &fx->err), &fx->err);
    append_entries(fx);
    intake_init(&fx->intake);
    fail_alloc_init(&fx->alloc);
    struct executor *executor = NULL;
    assert_ok(executor_open_threads(&fx->alloc.alloc, "load", 1, &executor, &fx->err), &fx->err);
    assert_ok(loader_open(&fx->alloc.alloc, fx->wal, &fx->intake, executor, &fx->loader, &fx->err),
              &fx->err);
    *state = fx;
    return 0;
}

/* fail_alloc_release() stops the test if the loader kept anything. */
static int teardown(void **state)
{
    struct fixture *fx = *state;
    loader_close(fx->loader);
    fail_alloc_release(&fx->alloc);
    wal_close(fx->wal);
    fs_crash_free(fx->crash);
    return 0;
}

static void submit(struct fixture *fx, uint64_t from, uint64_t end)
{
    const struct raft_load load = {
        .peer = 9, .from_index = from, .end_index = end, .bytes_max = SIZE_MAX};
    assert_true(loader_submit(fx->loader, &load));
}

static struct entry_load *take(struct fixture *fx)
{
    struct intake *item;
    while ((item = intake_take(&fx->intake)) == NULL) {
        mpsc_wait(&fx->intake.items, PATIENCE_NS);
    }
    assert_int_equal(item->kind, INTAKE_LOADED);
    return (struct entry_load *)item;
}

/* A load brings the entries that were asked for, with the bytes that were appended. */
static void a_load_brings_its_entries(void **state)
{
    struct fixture *fx = *state;
    submit(fx, 11, 31);
    struct entry_load *load = take(fx);
    assert_int_equal(load->load.peer, 9);
    assert_int_equal(load->count, 20);
    for (uint64_t i = 0; i < load->count; i++) {
        uint64_t index = 11 + i;
        assert_int_equal(load->entries[i]->index, index);
        assert_int_equal(load->entries[i]->term, 1);
        assert_int_equal(load->entries[i]->length, sizeof index);
        assert_memory_equal(load->entries[i]->data, &index, sizeof index);
    }
    entry_load_free(load);
}

/* What was loaded may be taken and freed after the loader was closed: the driver ends so. */
static void a_load_outlives_the_loader(void **state)
{
    struct fixture *fx = *state;
    submit(fx, 1, 2);
    struct entry_load *load = take(fx);
    loader_close(fx->loader);
    fx->loader = NULL;
    entry_load_free(load);
    assert_int_equal(fail_alloc_blocks(&fx->alloc), 0);
}

/* What lies before damage is loaded, and the load says that there is damage: the node must not lead
 * on as if this could pass. */
static void a_load_tells_of_damage(void **state)
{
    struct fixture *fx = *state;
    static const uint8_t wrong[64];
    struct file *file = NULL;
    assert_ok(fs_open(fs_crash_fs(fx->crash), "wal/0000000000000001.wal", FS_READ | FS_WRITE, &file,
                      &fx->err),
              &fx->err);
    assert_ok(file_write(file, 1500, slice_of(wrong, sizeof wrong), &fx->err), &fx->err);
    file_close(file);
    submit(fx, 1, ENTRIES + 1);
    struct entry_load *load = take(fx);
    assert_true(load->count < ENTRIES);
    assert_true(load->damaged);
    assert_int_equal(load->error.status, STATUS_DATA_LOSS);
    entry_load_free(load);
}

/* Of many loads some wait when the loader is closed: each is either given back or freed. */
static void loads_that_wait_are_freed(void **state)
{
    struct fixture *fx = *state;
    for (unsigned i = 0; i < LOADS; i++) {
        submit(fx, 1, ENTRIES + 1);
    }
    loader_close(fx->loader);
    fx->loader = NULL;
    unsigned back = 0;
    struct intake *item;
    while ((item = intake_take(&fx->intake)) != NULL) {
        entry_load_free((struct entry_load *)item);
        back++;
    }
    assert_true(back <= LOADS);
    assert_int_equal(fail_alloc_blocks(&fx->alloc), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_load_brings_its_entries, setup, teardown),
        cmocka_unit_test_setup_teardown(a_load_outlives_the_loader, setup, teardown),
        cmocka_unit_test_setup_teardown(a_load_tells_of_damage, setup, teardown),
        cmocka_unit_test_setup_teardown(loads_that_wait_are_freed, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
