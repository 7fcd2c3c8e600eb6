/* SPDX-License-Identifier: Apache-2.0
 *
 * Failing calls while a log with content is opened, read, walked or looked at for salvage: what
 * could not be read is told as that, and taken neither for a torn tail nor for the log's end nor
 * for damage. Logs that are written while calls fail: test_wal_faults.c.
 */
#include "wal_fixture.h"

#include "storage/wal/salvage.h"
#include "storage/wal/walk.h"
#include "testlib/fail_alloc.h"
#include "testlib/fs_faulty.h"

struct kind {
    bool chains; /* one sync in the middle */
    uint64_t segment_bytes;
    size_t entry_bytes;
    uint64_t last;
    uint64_t purged;
};

/* Each has three segments or more. In the last one a file is more than one window of the scan's or
 * a reader's. Purging leaves files to be removed. */
static const struct kind kinds[] = {
    {.segment_bytes = 4 * KIB, .entry_bytes = 300, .last = 40, .purged = 9},
    {.chains = true, .segment_bytes = 4 * KIB, .entry_bytes = 100, .last = 90},
    {.segment_bytes = 1536 * KIB, .entry_bytes = 250000, .last = 16},
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

struct run {
    struct wal_fixture fx;
    struct fs_faulty faulty;
    struct fail_alloc memory;
    const struct kind *kind;
};

static uint64_t term_of(uint64_t index)
{
    return index == 0 ? 0 : 1 + index / 16;
}

/* A closed log, in which nothing attests the last group. */
static void begin(struct run *run, const struct kind *kind)
{
    struct wal_fixture *fx = &run->fx;
    run->kind = kind;
    fixture_init(fx, kind->segment_bytes);
    fs_faulty_init(&run->faulty, fx->fs);
    fail_alloc_init(&run->memory);
    fx->entry_bytes = kind->entry_bytes;
    fx->options.unsynced = kind->chains;
    fixture_open(fx);
    for (uint64_t next = 1; next <= kind->last; next++) {
        if (!kind->chains && next % 5 == 1) {
            fixture_vote(fx, next, 1);
        }
        fixture_append(fx, next, next + 1, term_of(next));
        if (kind->chains && next != kind->last / 2) {
            fixture_write(fx);
        } else {
            fixture_commit(fx);
        }
    }
    assert_true(wal_bytes(fx->wal) >= 3 * kind->segment_bytes);
    assert_ok(wal_purge(fx->wal, kind->purged, &fx->err), &fx->err);
    assert_int_equal(wal_first_index(fx->wal) > 1, kind->purged > 0);
    fixture_close(fx);
    fx->options.fs = &run->faulty.fs;
    fx->options.alloc = &run->memory.alloc;
}

static void end(struct run *run)
{
    fixture_close(&run->fx);
    fail_alloc_release(&run->memory);
    fs_faulty_release(&run->faulty);
    fixture_release(&run->fx);
}

/* Whether something was made to fail. From here on nothing is. */
static bool disarm(struct run *run)
{
    bool hit = fs_faulty_hit(&run->faulty) > 0 || fail_alloc_hit(&run->memory);
    fs_faulty_disarm(&run->faulty);
    fail_alloc_arm(&run->memory, FAIL_ALLOC_NEVER);
    return hit;
}

static void assert_told(const struct run *run, bool hit)
{
    const struct error *err = &run->fx.err;
    assert_true(hit);
    if (err->status != STATUS_RESOURCE_EXHAUSTED && strstr(err->text, "injected") == NULL) {
        fail_msg("a call failed, and this was said: %s", err->text);
    }
    assert_int_not_equal(err->status, STATUS_CORRUPT);
}

static enum status open_log(struct run *run)
{
    struct wal_fixture *fx = &run->fx;
    uint64_t index = run->kind->purged;
    return wal_open(&fx->options, index, term_of(index), &fx->recovered, &fx->wal, &fx->err);
}

static void expect_all(struct run *run)
{
    assert_true(run->fx.recovered.first_index <= run->kind->purged + 1);
    fixture_expect(&run->fx, run->kind->last);
}

/* --- opening ------------------------------------------------------------------------------- */

/* What has been begun is opened with the fault that was armed: all or an error. After it the log is
 * whole, also if the power fails: what was opened is durable, and what was synced. True if it came
 * to the fault. */
static bool try_open(struct run *run, bool machine)
{
    struct wal_fixture *fx = &run->fx;
    enum status status = open_log(run);
    bool hit = disarm(run);
    if (status == STATUS_OK) {
        expect_all(run);
    } else {
        assert_told(run, hit);
        fx->wal = NULL;
        assert_int_equal(fail_alloc_blocks(&run->memory), 0);
    }
    bool crash = machine && (status == STATUS_OK || !run->kind->chains);
    if (crash) {
        fs_crash_stop(fx->crash);
    }
    fixture_close(fx);
    if (crash) {
        fs_crash_now_losing_all(fx->crash);
    }
    assert_ok(open_log(run), &fx->err);
    expect_all(run);
    return hit;
}

/* Each call of an opening, once, and all from it on. */
static void each_call_of_an_opening_fails(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        /* Large logs take their time to be built. */
        unsigned turns = kinds[i].segment_bytes > MIB ? 1 : 4;
        for (unsigned turn = 0; turn < turns; turn++) {
            bool hit = true;
            uint64_t n = 0;
            for (; hit; n++) {
                struct run run;
                begin(&run, &kinds[i]);
                fs_faulty_arm(&run.faulty, (struct fs_fault){.at = n, .for_ever = turn % 2 == 1});
                hit = try_open(&run, turn / 2 == 1);
                end(&run);
            }
            assert_true(n > 20);
        }
    }
}

static void each_allocation_of_an_opening_fails(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        bool hit = true;
        uint64_t n = 0;
        for (; hit; n++) {
            struct run run;
            begin(&run, &kinds[i]);
            fail_alloc_arm(&run.memory, n);
            hit = try_open(&run, false);
            end(&run);
        }
        assert_true(n > 8);
    }
}

/* --- reading ------------------------------------------------------------------------------- */

/* One reader, over the whole log: an error or all of it; after an error it reads the rest. */
static bool try_read(struct run *run)
{
    struct wal_fixture *fx = &run->fx;
    struct wal_reader *reader = NULL;
    uint64_t last = run->kind->last;
    struct fixture_check check = fixture_check_of(fx, wal_first_index(fx->wal));
    enum status status = wal_reader_open(fx->wal, &reader, &fx->err);
    if (status == STATUS_OK) {
        status = wal_read(reader, check.next, last + 10, SIZE_MAX, fixture_each, &check, &fx->err);
    }
    bool hit = disarm(run);
    if (status == STATUS_OK) {
        assert_false(hit);
    } else {
        assert_told(run, hit);
    }
    if (reader != NULL) {
        assert_ok(wal_read(reader, check.next, last + 10, SIZE_MAX, fixture_each, &check, &fx->err),
                  &fx->err);
        assert_int_equal(check.next, last + 1);
    }
    wal_reader_close(reader);
    return hit;
}

static void each_call_of_a_reader_fails(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        struct run run;
        bool hit = true;
        uint64_t n = 0;
        begin(&run, &kinds[i]);
        assert_ok(open_log(&run), &run.fx.err);
        for (; hit; n++) {
            fs_faulty_arm(&run.faulty, (struct fs_fault){.at = n});
            hit = try_read(&run);
        }
        assert_true(n > 6);
        for (n = 0, hit = true; hit; n++) {
            fail_alloc_arm(&run.memory, n);
            hit = try_read(&run);
        }
        assert_true(n > 2);
        end(&run);
    }
}

/* --- looking ------------------------------------------------------------------------------- */

/* A look at a damaged log finds what it finds without the fault, or nothing: a vote that is
 * overlooked could be given anew. */
static void each_call_of_a_salvage_fails(void **state)
{
    (void)state;
    for (unsigned chains = 0; chains < 2; chains++) {
        struct run run;
        struct wal_salvage expected;
        struct wal_salvage found;
        struct wal_fixture *fx = &run.fx;
        bool hit = true;
        uint64_t n = 0;
        begin(&run, &kinds[chains]);
        fixture_poke(fx, 2 - chains, 1100, (uint8_t)~fixture_peek(fx, 2 - chains, 1100));
        assert_ok(wal_salvage_look(&fx->options, &expected, &fx->err), &fx->err);
        assert_int_equal(expected.lost_index, run.kind->last);
        for (; hit; n++) {
            fs_faulty_arm(&run.faulty, (struct fs_fault){.at = n});
            enum status status = wal_salvage_look(&fx->options, &found, &fx->err);
            hit = disarm(&run);
            if (status == STATUS_OK) {
                assert_memory_equal(&found, &expected, sizeof found);
            } else {
                assert_told(&run, hit);
            }
        }
        assert_true(n > 20);
        end(&run);
    }
}

/* Nor does the tools' walk tell of damage, or of less than there is. */
static void each_call_of_a_walk_fails(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        struct run run;
        struct wal_walk walk;
        struct wal_fixture *fx = &run.fx;
        bool hit = true;
        uint64_t n = 0;
        begin(&run, &kinds[i]);
        const struct wal_walk_options options = {
            .fs = fx->options.fs, .alloc = fx->options.alloc, .dir = FIXTURE_DIR};
        for (; hit; n++) {
            fs_faulty_arm(&run.faulty, (struct fs_fault){.at = n});
            enum status status = wal_walk(&options, &walk, &fx->err);
            hit = disarm(&run);
            if (status == STATUS_OK) {
                assert_false(hit);
                assert_int_equal(walk.faults, 0);
                assert_int_equal(walk.last_index, run.kind->last);
            } else {
                assert_told(&run, hit);
            }
        }
        assert_true(n > 10);
        end(&run);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_call_of_an_opening_fails),
        cmocka_unit_test(each_allocation_of_an_opening_fails),
        cmocka_unit_test(each_call_of_a_reader_fails),
        cmocka_unit_test(each_call_of_a_salvage_fails),
        cmocka_unit_test(each_call_of_a_walk_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
