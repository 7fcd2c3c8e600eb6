/* SPDX-License-Identifier: Apache-2.0
 *
 * Backups of an engine that serves: when asked and by policy, at their pace, with what is applied
 * in them; refusals, failures, damage, and a stop in the middle.
 */
#include "testlib/test.h"

#include "node/backups.h"
#include "node/keyspaces.h"
#include "node/seal.h"
#include "storage/backup/directory.h"
#include "testlib/flip.h"
#include "testlib/fs_crash.h"
#include "testlib/fs_faulty.h"

#define DIR_OF_BACKUPS "backups"

enum { VALUE_BYTES = 1000, PATIENCE_MS = 20000 };

struct world {
    struct fs_crash *crash;
    struct fs_faulty faulty;
    struct fs *fs;
    struct executor *executor;
    struct engine *engine;
    struct mutex writer; /* who writes and seals */
    struct batch batch;
    struct fault fault;
    struct config_backup config;
    struct backups *backups;
    uint64_t events;
    enum status flush_status; /* what flushes end with */
    struct error err;
};

/* Stands for the applier. */
static void flush(void *context, struct flush_request *request)
{
    struct world *world = context;
    struct buf bytes;
    buf_init(&bytes, alloc_default(), MIB);
    mutex_lock(&world->writer);
    const struct seal seal = {.index = world->events, .size = world->events};
    enum status status = world->flush_status;
    seal_encode(&seal, &bytes);
    if (status == STATUS_OK) {
        status = engine_seal(world->engine, buf_slice(&bytes), NULL);
    }
    if (status == STATUS_OK) {
        status = engine_flush(world->engine, NULL);
    }
    mutex_unlock(&world->writer);
    buf_release(&bytes);
    request->done(request, status);
}

static void begin_backups(struct world *world)
{
    const struct backups_options options = {.alloc = alloc_default(),
                                            .clock = clock_system(),
                                            .config = &world->config,
                                            .engine = world->engine,
                                            .fault = &world->fault,
                                            .look_ns = 10 * NS_PER_MS,
                                            .flush = flush,
                                            .context = world};
    assert_ok(backups_open(&options, &world->backups, &world->err), &world->err);
}

static void world_open(struct world *world)
{
    memset(world, 0, sizeof *world);
    world->crash = fs_crash_new();
    fs_faulty_init(&world->faulty, fs_crash_fs(world->crash));
    world->fs = &world->faulty.fs;
    assert_ok(executor_open_threads(alloc_default(), "engine", 1, &world->executor, &world->err),
              &world->err);
    const struct engine_options options = {.fs = world->fs,
                                           .executor = world->executor,
                                           .dir = "tables",
                                           .keyspaces = keyspaces_layout(),
                                           .keyspace_count = KEYSPACE_COUNT};
    assert_ok(engine_open(&options, &world->engine, &world->err), &world->err);
    batch_init(&world->batch, alloc_default());
    fault_init(&world->fault);
    mutex_init(&world->writer);
    (void)snprintf(world->config.dir, sizeof world->config.dir, DIR_OF_BACKUPS);
    world->config.bytes_per_second = 1024 * MIB;
}

static void world_close(struct world *world)
{
    backups_close(world->backups);
    executor_close(world->executor);
    engine_close(world->engine);
    mutex_release(&world->writer);
    fault_release(&world->fault);
    batch_release(&world->batch);
    fs_faulty_release(&world->faulty);
    fs_crash_free(world->crash);
}

/* Values that do not compress. */
static void append(struct world *world, uint64_t count)
{
    struct rng_seeded rng;
    rng_seeded_init(&rng, world->events + 1);
    mutex_lock(&world->writer);
    batch_clear(&world->batch);
    for (uint64_t i = 0; i < count; i++) {
        uint8_t key[POSITION_KEY_BYTES];
        uint8_t value[VALUE_BYTES];
        position_key(world->events++, key);
        rng_fill(&rng.rng, value, sizeof value);
        batch_put(&world->batch, KEYSPACE_EVENTS, slice_of(key, sizeof key),
                  slice_of(value, sizeof value));
    }
    enum status status = engine_write(world->engine, &world->batch, &world->err);
    mutex_unlock(&world->writer);
    assert_ok(status, &world->err);
}

static uint64_t now_ms(void)
{
    return clock_monotonic_ns(clock_system()) / NS_PER_MS;
}

static void nap(void)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = (long)(2 * NS_PER_MS)}, NULL);
}

/* Waits until so many runs have ended. */
static struct backups_state await(struct world *world, uint64_t runs)
{
    struct backups_state state;
    uint64_t until_ms = now_ms() + PATIENCE_MS;
    for (;;) {
        backups_look(world->backups, &state);
        if (state.runs >= runs && !state.running) {
            return state;
        }
        assert_true(now_ms() < until_ms);
        nap();
    }
}

static size_t backup_count(struct world *world)
{
    struct backup_directory directory;
    size_t count = 0;
    enum status status = backup_directory_open(&directory, world->fs, alloc_default(),
                                               DIR_OF_BACKUPS, false, false, &world->err);
    if (status == STATUS_OK) {
        count = backup_directory_count(&directory);
    } else {
        assert_int_equal(status, STATUS_NOT_FOUND);
    }
    backup_directory_release(&directory);
    return count;
}

static struct backups_state ask(struct world *world, bool full)
{
    struct backups_state before;
    backups_look(world->backups, &before);
    assert_ok(backups_begin(world->backups, full, &world->err), &world->err);
    return await(world, before.runs + 1);
}

/* --- asked for ------------------------------------------------------------------------------ */

/* What is applied is in it, though no memtable was full; the next one copies what is new, a full
 * one all. Nothing is made without being asked. */
static void one_is_made_when_asked(void **unused)
{
    struct world world;
    (void)unused;
    world_open(&world);
    begin_backups(&world);
    append(&world, 100);
    struct backups_state state = ask(&world, false);
    assert_int_equal(state.status, STATUS_OK);
    assert_int_equal(state.made.number, 1);
    assert_int_equal(state.events, 100);
    assert_true(state.made.bytes > 90 * VALUE_BYTES);
    assert_int_equal(state.made.bytes_copied, state.made.bytes);
    assert_int_equal(state.bytes, state.bytes_all);
    append(&world, 1);
    state = ask(&world, false);
    assert_int_equal(state.made.number, 2);
    assert_int_equal(state.events, 101);
    uint64_t bytes = state.made.bytes;
    state = ask(&world, true);
    assert_int_equal(state.made.bytes_copied, state.made.bytes);
    assert_true(state.made.bytes >= bytes / 2);
    for (int i = 0; i < 20; i++) {
        nap();
    }
    assert_int_equal(backup_count(&world), 3);
    world_close(&world);
}

/* No faster than allowed: copied and read back is twice the bytes, less what may be used at once.
 * Meanwhile another one is refused, and what is seen of it grows. */
static void it_keeps_its_pace(void **unused)
{
    struct world world;
    struct backups_state state;
    (void)unused;
    world_open(&world);
    world.config.bytes_per_second = 4 * MIB;
    begin_backups(&world);
    append(&world, 2000);
    uint64_t began_ms = now_ms();
    assert_ok(backups_begin(world.backups, false, &world.err), &world.err);
    assert_status(backups_begin(world.backups, false, &world.err), STATUS_FAILED_PRECONDITION,
                  &world.err);
    state = await(&world, 1);
    uint64_t took_ms = now_ms() - began_ms;
    assert_int_equal(state.status, STATUS_OK);
    assert_true(state.made.bytes > 1900 * VALUE_BYTES);
    /* The last step is not waited for. */
    uint64_t waited = 2 * state.made.bytes - state.made.bytes - world.config.bytes_per_second / 4;
    assert_true(took_ms >= waited * 1000 / world.config.bytes_per_second);
    world_close(&world);
}

/* A stop does not wait for the pace. What was copied is removed by the next one. */
static void a_stop_ends_it(void **unused)
{
    struct world world;
    struct backups_state state;
    (void)unused;
    world_open(&world);
    world.config.bytes_per_second = 1000;
    begin_backups(&world);
    append(&world, 2000);
    assert_ok(backups_begin(world.backups, false, &world.err), &world.err);
    do {
        nap();
        backups_look(world.backups, &state);
    } while (state.bytes_all == 0);
    uint64_t began_ms = now_ms();
    backups_stop(world.backups);
    assert_status(backups_begin(world.backups, false, &world.err), STATUS_UNAVAILABLE, &world.err);
    state = await(&world, 1);
    assert_int_equal(state.status, STATUS_CANCELLED);
    assert_true(now_ms() - began_ms < PATIENCE_MS / 2);
    backups_close(world.backups);
    assert_int_equal(backup_count(&world), 0);
    world.config.bytes_per_second = 1024 * MIB;
    begin_backups(&world);
    state = ask(&world, false);
    assert_int_equal(state.made.number, 1);
    world_close(&world);
}

/* --- by policy ------------------------------------------------------------------------------ */

/* The first comes at once, the next after so many writes, whether a memtable was full or not; so
 * many are kept. */
static void the_policy_makes_them(void **unused)
{
    struct world world;
    struct backups_state state;
    (void)unused;
    world_open(&world);
    world.config.policy = (struct backup_policy){.entries = 50, .keep = 2};
    append(&world, 10);
    begin_backups(&world);
    state = await(&world, 1);
    assert_int_equal(state.made.number, 1);
    assert_int_equal(state.events, 10);
    for (uint64_t round = 2; round < 6; round++) {
        append(&world, 49);
        state = ask(&world, false); /* which flushes them */
        assert_int_equal(state.made.number, round);
    }
    for (int i = 0; i < 20; i++) {
        nap();
    }
    backups_look(world.backups, &state);
    assert_int_equal(state.runs, 5);
    assert_int_equal(backup_count(&world), 2);
    append(&world, 50); /* in memory */
    state = await(&world, 6);
    assert_int_equal(state.made.number, 6);
    assert_int_equal(state.events, 256);
    world_close(&world);
}

/* --- what fails ----------------------------------------------------------------------------- */

/* A flush that cannot be, and a directory that cannot be made, are told; the next run is another.
 */
static void failures_are_told(void **unused)
{
    struct world world;
    (void)unused;
    world_open(&world);
    begin_backups(&world);
    append(&world, 10);
    world.flush_status = STATUS_RESOURCE_EXHAUSTED;
    struct backups_state state = ask(&world, false);
    assert_int_equal(state.status, STATUS_RESOURCE_EXHAUSTED);
    assert_int_equal(state.made_at_ns, 0);
    assert_non_null(strstr(state.text, "flushed"));
    world.flush_status = STATUS_OK;
    (void)snprintf(world.config.dir, sizeof world.config.dir, "nowhere/backups");
    state = ask(&world, false);
    assert_int_equal(state.status, STATUS_NOT_FOUND);
    assert_non_null(strstr(state.text, "nowhere/backups"));
    (void)snprintf(world.config.dir, sizeof world.config.dir, DIR_OF_BACKUPS);
    state = ask(&world, false);
    assert_int_equal(state.status, STATUS_OK);
    assert_false(fault_get(&world.fault, NULL));
    world_close(&world);
}

/* It is made though the older one stays, and both are told. */
static void older_ones_that_stay_are_told(void **unused)
{
    struct world world;
    (void)unused;
    world_open(&world);
    world.config.policy.keep = 1;
    begin_backups(&world);
    append(&world, 10);
    assert_int_equal(ask(&world, false).status, STATUS_OK);
    append(&world, 10);
    fs_faulty_arm(
        &world.faulty,
        (struct fs_fault){.call = FS_CALL_UNLINK, .for_ever = true, .path_contains = "BACKUP-"});
    struct backups_state state = ask(&world, false);
    assert_int_not_equal(state.status, STATUS_OK);
    assert_non_null(strstr(state.text, "backup 2 is made"));
    assert_int_equal(state.made.number, 2);
    assert_int_equal(state.made.removed, 0);
    assert_int_equal(state.events, 20);
    assert_int_equal(backup_count(&world), 2);
    fs_faulty_disarm(&world.faulty);
    append(&world, 10);
    state = ask(&world, false);
    assert_int_equal(state.status, STATUS_OK);
    assert_int_equal(state.made.removed, 2);
    assert_int_equal(backup_count(&world), 1);
    world_close(&world);
}

static enum status find_table(void *context, const struct engine_table *table, struct error *err)
{
    (void)err;
    (void)snprintf(context, PATH_BYTES_MAX, "tables/%s", table->name);
    return STATUS_OK;
}

/* Damage of the store is the node's fault from then on, and with a fault none is made; the older
 * backup stays. */
static void damage_is_a_fault(void **unused)
{
    struct world world;
    char path[PATH_BYTES_MAX];
    char fault[FAULT_TEXT_BYTES];
    (void)unused;
    world_open(&world);
    begin_backups(&world);
    append(&world, 10);
    assert_int_equal(ask(&world, false).status, STATUS_OK);
    assert_ok(engine_for_each_table(world.engine, KEYSPACE_EVENTS, find_table, path, &world.err),
              &world.err);
    flip_bit(world.fs, path, 300);
    struct backups_state state = ask(&world, true);
    assert_int_equal(state.status, STATUS_CORRUPT);
    assert_true(fault_get(&world.fault, fault));
    assert_non_null(strstr(fault, path));
    assert_status(backups_begin(world.backups, false, &world.err), STATUS_FAILED_PRECONDITION,
                  &world.err);
    assert_int_equal(backup_count(&world), 1);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_is_made_when_asked),
        cmocka_unit_test(it_keeps_its_pace),
        cmocka_unit_test(a_stop_ends_it),
        cmocka_unit_test(the_policy_makes_them),
        cmocka_unit_test(failures_are_told),
        cmocka_unit_test(damage_is_a_fault),
        cmocka_unit_test(older_ones_that_stay_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
