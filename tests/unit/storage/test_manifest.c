/* SPDX-License-Identifier: Apache-2.0
 *
 * The manifest: every truncation, every flipped byte, torn tails, rewriting.
 */
#include "base/log.h"
#include "engine_model.h"
#include "storage/table/key.h"
#include "storage/tree/manifest.h"
#include "testlib/fs_crash.h"
#include "testlib/fs_faulty.h"

struct fixture {
    struct fs_crash *crash;
    struct fs *fs;
    struct manifest_options options;
    struct manifest *manifest;
    struct manifest_state state;
};

static void reopen(struct fixture *fixture)
{
    struct error err = ERROR_INIT;
    manifest_close(fixture->manifest);
    fixture->manifest = NULL;
    manifest_state_release(&fixture->state);
    manifest_state_init(&fixture->state, alloc_default());
    assert_ok(manifest_open(&fixture->options, &fixture->state, &fixture->manifest, &err), &err);
}

static void fixture_init(struct fixture *fixture)
{
    struct error err = ERROR_INIT;
    memset(fixture, 0, sizeof *fixture);
    fixture->crash = fs_crash_new();
    fixture->fs = fs_crash_fs(fixture->crash);
    assert_ok(fs_make_dir(fixture->fs, "/m", &err), &err);
    assert_ok(fs_sync_dir(fixture->fs, "/", &err), &err);
    fixture->options = (struct manifest_options){.fs = fixture->fs,
                                                 .alloc = alloc_default(),
                                                 .dir = "/m",
                                                 .keyspaces = model_keyspaces,
                                                 .keyspace_count = KS_COUNT};
    manifest_state_init(&fixture->state, alloc_default());
    reopen(fixture);
}

static void fixture_release(struct fixture *fixture)
{
    manifest_close(fixture->manifest);
    manifest_state_release(&fixture->state);
    fs_crash_free(fixture->crash);
}

/* A table with keys that tell its number. */
static void add_table(struct edit *edit, uint64_t number)
{
    uint8_t smallest[64];
    uint8_t largest[64];
    char text[64];
    size_t low = internal_key_put(smallest, model_key(text, (uint32_t)number), 7, KEY_PUT);
    size_t high = internal_key_put(largest, model_key(text, (uint32_t)number + 1), 5, KEY_DELETE);
    edit_add_table(edit, KS_LATEST, number % 3 == 0 ? 0 : 1, number, number * 100, number,
                   slice_of(smallest, low), slice_of(largest, high));
}

static void assert_table(const struct manifest_state *state, size_t index, uint64_t number)
{
    struct edit expected;
    edit_init(&expected, alloc_default());
    add_table(&expected, number);
    struct edit_add left = edit_add_at(&expected, 0);
    struct edit_add right = edit_add_at(&state->tables, index);
    assert_int_equal(right.number, number);
    assert_int_equal(right.level, left.level);
    assert_int_equal(right.bytes, left.bytes);
    assert_int_equal(right.entries, left.entries);
    assert_true(
        slice_equal(edit_smallest(&expected, &left), edit_smallest(&state->tables, &right)));
    assert_true(slice_equal(edit_largest(&expected, &left), edit_largest(&state->tables, &right)));
    edit_release(&expected);
}

/* Seal n adds table 10 + n, and from the third on removes table 10 + n - 2. */
static enum status try_append_seal(struct fixture *fixture, uint64_t n, struct error *err)
{
    struct edit edit;
    char blob[64];
    int length = snprintf(blob, sizeof blob, "state %lu", (unsigned long)n);
    edit_init(&edit, alloc_default());
    add_table(&edit, 10 + n);
    if (n >= 3) {
        edit_remove_table(&edit, KS_LATEST, (10 + n - 2) % 3 == 0 ? 0 : 1, 10 + n - 2);
    }
    edit.has_seal = true;
    edit.seal_count = n;
    edit.owner_state = slice_of(blob, (size_t)length);
    edit.next_file = 11 + n;
    edit.last_sequence = 1000 * n;
    enum status status = manifest_append(fixture->manifest, &edit, err);
    edit_release(&edit);
    return status;
}

static void append_seal(struct fixture *fixture, uint64_t n)
{
    struct error err = ERROR_INIT;
    assert_ok(try_append_seal(fixture, n, &err), &err);
}

/* The state is that after `n` seals, whole. */
static void assert_seals(const struct manifest_state *state, uint64_t n)
{
    char blob[64];
    int length = snprintf(blob, sizeof blob, "state %lu", (unsigned long)n);
    assert_int_equal(state->seal_count, n);
    assert_int_equal(state->last_sequence, 1000 * n);
    assert_int_equal(state->next_file, n == 0 ? 2 : 11 + n);
    assert_int_equal(state->keyspace_count, KS_COUNT);
    assert_true(slice_equal(buf_slice(&state->owner_state),
                            n == 0 ? slice_of(NULL, 0) : slice_of(blob, (size_t)length)));
    uint64_t live = n < 2 ? n : 2;
    assert_int_equal(edit_add_count(&state->tables), live);
    for (uint64_t i = 0; i < live; i++) {
        assert_table(state, i, 10 + n - live + 1 + i);
    }
}

enum { SEALS = 6 };

/* What was appended is there after each reopening, and appending goes on. */
static void test_append(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    assert_seals(&fixture.state, 0);
    for (uint64_t n = 1; n <= SEALS; n++) {
        append_seal(&fixture, n);
        if (n % 2 == 0) {
            reopen(&fixture);
            assert_seals(&fixture.state, n);
        }
    }
    fs_crash_stop(fixture.crash);
    manifest_close(fixture.manifest);
    fixture.manifest = NULL;
    fs_crash_now_losing_all(fixture.crash);
    reopen(&fixture);
    assert_seals(&fixture.state, SEALS);
    fixture_release(&fixture);
}

static void read_manifest(struct fixture *fixture, struct buf *bytes)
{
    struct error err = ERROR_INIT;
    buf_init(bytes, alloc_default(), MIB);
    assert_ok(fs_read_file(fixture->fs, "/m/MANIFEST-000001", bytes, &err), &err);
}

static void write_manifest(struct fixture *fixture, struct slice bytes)
{
    struct error err = ERROR_INIT;
    struct file *file = NULL;
    assert_ok(
        fs_open(fixture->fs, "/m/MANIFEST-000001", FS_WRITE | FS_CREATE | FS_TRUNCATE, &file, &err),
        &err);
    assert_ok(file_write(file, 0, bytes, &err), &err);
    file_close(file);
}

static enum status try_open(struct fixture *fixture, struct error *err)
{
    manifest_close(fixture->manifest);
    fixture->manifest = NULL;
    manifest_state_release(&fixture->state);
    manifest_state_init(&fixture->state, alloc_default());
    return manifest_open(&fixture->options, &fixture->state, &fixture->manifest, err);
}

/* Cut anywhere, the file gives the state after some whole number of seals, never fewer than lie
 * whole before the cut, and can be appended to; cut in its first record it is CORRUPT. */
static void test_truncation(void **state)
{
    (void)state;
    struct fixture fixture;
    struct buf bytes;
    struct error err = ERROR_INIT;
    fixture_init(&fixture);
    uint64_t ends[SEALS + 1];
    for (uint64_t n = 0; n <= SEALS; n++) {
        if (n > 0) {
            append_seal(&fixture, n);
        }
        read_manifest(&fixture, &bytes);
        ends[n] = bytes.length - 16; /* without the attestation */
        buf_release(&bytes);
    }
    read_manifest(&fixture, &bytes);
    for (size_t length = 0; length <= bytes.length; length++) {
        write_manifest(&fixture, slice_of(bytes.data, length));
        enum status status = try_open(&fixture, &err);
        if (length < ends[0]) {
            assert_status(status, STATUS_CORRUPT, &err);
            assert_non_null(strstr(err.text, "MANIFEST-000001"));
            assert_non_null(strstr(err.text, " at ")); /* the offset */
            continue;
        }
        assert_ok(status, &err);
        uint64_t whole = 0;
        while (whole < SEALS && ends[whole + 1] <= length) {
            whole++;
        }
        assert_seals(&fixture.state, whole);
        if (whole < SEALS) {
            append_seal(&fixture, whole + 1);
            reopen(&fixture);
            assert_seals(&fixture.state, whole + 1);
        }
    }
    buf_release(&bytes);
    fixture_release(&fixture);
}

/* A flipped byte anywhere in what was attested is CORRUPT with its file; never another state. */
static void test_flips(void **state)
{
    (void)state;
    struct fixture fixture;
    struct buf bytes;
    struct error err = ERROR_INIT;
    fixture_init(&fixture);
    for (uint64_t n = 1; n <= SEALS; n++) {
        append_seal(&fixture, n);
    }
    read_manifest(&fixture, &bytes);
    for (size_t at = 0; at < bytes.length - 16; at++) {
        bytes.data[at] ^= (uint8_t)(1 << at % 8);
        write_manifest(&fixture, buf_slice(&bytes));
        bytes.data[at] ^= (uint8_t)(1 << at % 8);
        enum status status = try_open(&fixture, &err);
        if (status != STATUS_OK) {
            assert_true(status == STATUS_CORRUPT || status == STATUS_FAILED_PRECONDITION);
            assert_non_null(strstr(err.text, "MANIFEST-000001"));
        } else {
            fail_msg("a flip at %zu was not seen", at);
        }
    }
    /* The last attestation may be damaged: nothing attests past it. */
    bytes.data[bytes.length - 1] ^= 1;
    write_manifest(&fixture, buf_slice(&bytes));
    assert_ok(try_open(&fixture, &err), &err);
    assert_seals(&fixture.state, SEALS);
    buf_release(&bytes);
    fixture_release(&fixture);
}

/* An edit whose write was torn by a power failure, in any way, is either whole or not there. */
static void test_torn(void **state)
{
    (void)state;
    uint64_t seed = test_seed();
    for (uint64_t round = 0; round < 200; round++) {
        struct fixture fixture;
        struct error err = ERROR_INIT;
        struct rng_seeded rng;
        rng_seeded_init(&rng, seed + round);
        fixture_init(&fixture);
        uint64_t acknowledged = rng_below(&rng.rng, SEALS);
        for (uint64_t n = 1; n <= acknowledged; n++) {
            append_seal(&fixture, n);
        }
        fs_crash_stop_at(fixture.crash, 1 + rng_below(&rng.rng, 2));
        struct edit edit;
        edit_init(&edit, alloc_default());
        uint8_t blob[3000] = {1};
        edit.has_seal = true;
        edit.seal_count = acknowledged + 1;
        edit.owner_state = slice_of(blob, sizeof blob);
        bool ok = manifest_append(fixture.manifest, &edit, &err) == STATUS_OK;
        edit_release(&edit);
        fs_crash_stop(fixture.crash);
        manifest_close(fixture.manifest);
        fixture.manifest = NULL;
        fs_crash_now(fixture.crash, seed + round);
        reopen(&fixture);
        if (ok) {
            assert_int_equal(fixture.state.seal_count, acknowledged + 1);
        } else if (fixture.state.seal_count != acknowledged + 1) {
            assert_seals(&fixture.state, acknowledged);
        }
        if (fixture.state.seal_count == acknowledged + 1) {
            assert_int_equal(fixture.state.owner_state.length, sizeof blob);
        }
        fixture_release(&fixture);
    }
}

/* Rewriting keeps the state, leaves one file, and survives a power failure at each of its calls. */
static void test_rewrite(void **state)
{
    (void)state;
    bool finished = false;
    for (uint64_t n = 0; !finished; n++) {
        struct fixture fixture;
        struct error err = ERROR_INIT;
        fixture_init(&fixture);
        append_seal(&fixture, 1);
        struct edit full;
        edit_init(&full, alloc_default());
        add_table(&full, 11);
        full.full = true;
        full.has_seal = true;
        full.seal_count = 1;
        full.owner_state = slice_of_string("state 1");
        full.next_file = 12;
        full.last_sequence = 1000;
        fs_crash_stop_at(fixture.crash, n);
        enum status status = manifest_rewrite(fixture.manifest, 9, &full, &err);
        finished = !fs_crash_stopped(fixture.crash);
        fs_crash_stop_at(fixture.crash, UINT64_MAX);
        if (status == STATUS_OK && finished) {
            append_seal(&fixture, 2);
        }
        edit_release(&full);
        fs_crash_stop(fixture.crash);
        manifest_close(fixture.manifest);
        fixture.manifest = NULL;
        fs_crash_now(fixture.crash, n);
        reopen(&fixture);
        assert_seals(&fixture.state, finished ? 2 : 1);
        if (finished) {
            assert_int_equal(manifest_number(fixture.manifest), 9);
        }
        fixture_release(&fixture);
    }
}

/* A full disk fails the append and leaves no trace; the same edit succeeds once there is room. A
 * failed sync is for good. */
static void test_no_space(void **state)
{
    (void)state;
    struct fixture fixture;
    struct error err = ERROR_INIT;
    fixture_init(&fixture);
    append_seal(&fixture, 1);
    struct edit edit;
    edit_init(&edit, alloc_default());
    uint8_t blob[3000] = {1};
    edit.has_seal = true;
    edit.seal_count = 2;
    edit.owner_state = slice_of(blob, sizeof blob);
    fs_crash_set_capacity(fixture.crash, 2000);
    assert_status(manifest_append(fixture.manifest, &edit, &err), STATUS_RESOURCE_EXHAUSTED, &err);
    edit_release(&edit);
    fs_crash_set_capacity(fixture.crash, UINT64_MAX);
    append_seal(&fixture, 2);
    reopen(&fixture);
    assert_seals(&fixture.state, 2);
    fs_crash_stop_at(fixture.crash, 1);
    edit_init(&edit, alloc_default());
    assert_true(manifest_append(fixture.manifest, &edit, &err) != STATUS_OK);
    fs_crash_now(fixture.crash, 1);
    assert_true(manifest_append(fixture.manifest, &edit, &err) != STATUS_OK);
    edit_release(&edit);
    fixture_release(&fixture);
}

/* CURRENT that names nothing, or a manifest that is not there, is CORRUPT and nothing is made anew
 * over it. */
static void test_current(void **state)
{
    (void)state;
    struct fixture fixture;
    struct error err = ERROR_INIT;
    fixture_init(&fixture);
    const char *texts[] = {
        "",
        "MANIFEST-",
        "MANIFEST-000001",
        "MANIFEST-000007\n",
        "MANIFEST-000001\n\n",
        "nonsense\n",
        "MANIFEST-000001 and much more, past all that a name of a manifest could ever be\n"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_ok(fs_replace_file(fixture.fs, "/m", "/m/CURRENT", slice_of_string(texts[i]), &err),
                  &err);
        assert_status(try_open(&fixture, &err), STATUS_CORRUPT, &err);
    }
    assert_ok(
        fs_replace_file(fixture.fs, "/m", "/m/CURRENT", slice_of_string("MANIFEST-000001\n"), &err),
        &err);
    reopen(&fixture);
    fixture_release(&fixture);
}

/* The bytes are those of storage/FORMAT.md: a change of the format fails here. */
static void test_golden(void **state)
{
    (void)state;
    struct fixture fixture;
    struct buf bytes;
    fixture_init(&fixture);
    read_manifest(&fixture, &bytes);
    static const uint8_t head[] = "ESTRMANI\x01\x00\x00\x00";
    assert_memory_equal(bytes.data, head, 12);
    static const uint8_t first[] = {
        0, 0, 0, 0, 0,   0,   0,   0,             /* synced through */
        1,                                        /* full */
        2, 0, 0, 6, 'l', 'a', 't', 'e', 's', 't', /* keyspaces */
        2, 1, 1, 6, 'e', 'v', 'e', 'n', 't', 's', /* */
        2, 2, 0, 4, 'm', 'e', 't', 'a', 5,   2,   /* and the next file */
    };
    assert_int_equal(get_le32(bytes.data + 16), sizeof first);
    assert_memory_equal(bytes.data + 24, first, sizeof first);
    assert_int_equal(bytes.length, 24 + sizeof first + 16);
    buf_release(&bytes);
    fixture_release(&fixture);
}

/* --- times and floors ---------------------------------------------------------------------- */

static const struct keyspace_options timed_keyspaces[KS_COUNT] = {
    {.name = "latest", .layout = KEYSPACE_LEVELED},
    {.name = "events", .layout = KEYSPACE_APPEND, .timed = true},
    {.name = "meta", .layout = KEYSPACE_LEVELED},
};

static enum status append_floor(struct fixture *fixture, const char *key, uint64_t table,
                                struct error *err)
{
    struct edit edit;
    edit_init(&edit, alloc_default());
    if (table > 0) {
        add_table(&edit, table);
        edit_set_times(&edit, &(struct time_bounds){true, 1000 + table, UINT64_MAX - table});
    }
    edit_set_floor(&edit, KS_EVENTS, slice_of_string("0"));
    edit_set_floor(&edit, KS_EVENTS, slice_of_string(key)); /* the last one counts */
    assert_int_equal(edit_floor_count(&edit), 1);
    enum status status = manifest_append(fixture->manifest, &edit, err);
    edit_release(&edit);
    return status;
}

static void assert_floor(const struct manifest_state *state, const char *key)
{
    struct floor floor = edit_floor_of(&state->tables, KS_EVENTS);
    assert_true(slice_equal(floor_key(&floor), slice_of_string(key)));
    assert_int_equal(edit_floor_of(&state->tables, KS_LATEST).length, 0);
}

static uint32_t file_version(struct fixture *fixture, uint64_t number)
{
    struct error err = ERROR_INIT;
    char name[MANIFEST_NAME_BYTES];
    char path[PATH_BYTES_MAX];
    struct buf bytes;
    assert_ok(path_join(path, "/m", manifest_file_name(name, number), &err), &err);
    buf_init(&bytes, alloc_default(), MIB);
    assert_ok(fs_read_file(fixture->fs, path, &bytes, &err), &err);
    uint32_t version = get_le32(bytes.data + 8);
    buf_release(&bytes);
    return version;
}

/* Times of tables and floors are there after reopening and after a rewrite; a floor that falls is
 * CORRUPT, and so is one of a keyspace whose keys do not ascend. */
static void test_times_and_floors(void **state)
{
    (void)state;
    struct fixture fixture;
    struct error err = ERROR_INIT;
    fixture_init(&fixture);
    append_seal(&fixture, 1);
    reopen(&fixture);
    assert_false(manifest_is_too_old(fixture.manifest));
    fixture.options.keyspaces = timed_keyspaces;
    reopen(&fixture);
    assert_true(manifest_is_too_old(fixture.manifest));
    struct edit full;
    edit_init(&full, alloc_default());
    full.full = true;
    full.next_file = 100;
    assert_ok(manifest_rewrite(fixture.manifest, 99, &full, &err), &err);
    edit_release(&full);
    assert_false(manifest_is_too_old(fixture.manifest));
    assert_int_equal(file_version(&fixture, 99), MANIFEST_VERSION_TIMES);
    assert_ok(append_floor(&fixture, "b", 120, &err), &err);
    assert_ok(append_floor(&fixture, "b", 0, &err), &err); /* the same: no fall */
    assert_ok(append_floor(&fixture, "bb", 121, &err), &err);
    reopen(&fixture);
    assert_false(manifest_is_too_old(fixture.manifest));
    assert_floor(&fixture.state, "bb");
    for (uint64_t i = 0; i < 2; i++) {
        struct edit_add add = edit_add_at(&fixture.state.tables, i);
        assert_true(add.times.known);
        assert_int_equal(add.times.smallest, 1120 + i);
        assert_int_equal(add.times.largest, UINT64_MAX - 120 - i);
    }
    assert_ok(append_floor(&fixture, "ba", 0, &err), &err); /* nobody checks what is written */
    manifest_close(fixture.manifest);
    fixture.manifest = NULL;
    manifest_state_release(&fixture.state);
    manifest_state_init(&fixture.state, alloc_default());
    assert_status(manifest_open(&fixture.options, &fixture.state, &fixture.manifest, &err),
                  STATUS_CORRUPT, &err);
    assert_non_null(strstr(err.text, "a floor falls"));
    fixture_release(&fixture);
}

/* A sync failed, and the next process finds the edit in the system's cache, where no sync of its
 * own makes it durable. What it goes by is on the disk all the same. */
static void test_failed_sync(void **state)
{
    (void)state;
    struct fixture fixture;
    struct fs_faulty faulty;
    struct error err = ERROR_INIT;
    fixture_init(&fixture);
    fs_faulty_init(&faulty, fixture.fs);
    faulty.sync_failed = fs_crash_sync_failed;
    fixture.options.fs = &faulty.fs;
    reopen(&fixture);
    append_seal(&fixture, 1);
    fs_faulty_arm(&faulty, (struct fs_fault){.call = FS_CALL_SYNC});
    assert_int_not_equal(try_append_seal(&fixture, 2, &err), STATUS_OK);
    fs_faulty_disarm(&faulty);
    reopen(&fixture);
    assert_seals(&fixture.state, 2);
    fs_crash_stop(fixture.crash);
    manifest_close(fixture.manifest);
    fixture.manifest = NULL;
    fs_crash_now_losing_all(fixture.crash);
    reopen(&fixture);
    assert_seals(&fixture.state, 2);
    manifest_close(fixture.manifest);
    fixture.manifest = NULL;
    fs_faulty_release(&faulty);
    fixture_release(&fixture);
}

int main(void)
{
    log_set_level(LOG_OFF);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_append),      cmocka_unit_test(test_truncation),
        cmocka_unit_test(test_flips),       cmocka_unit_test(test_torn),
        cmocka_unit_test(test_rewrite),     cmocka_unit_test(test_no_space),
        cmocka_unit_test(test_failed_sync), cmocka_unit_test(test_current),
        cmocka_unit_test(test_golden),      cmocka_unit_test(test_times_and_floors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
