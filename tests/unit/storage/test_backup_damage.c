/* SPDX-License-Identifier: Apache-2.0
 *
 * Damaged backups: whatever byte of whatever file is not what it was, a look finds it, and
 * nothing is restored from it as if it were whole. Names that are not ours are let be. And what the
 * store has of a backup, its LINEAGE: damaged it costs a copy of everything, and nothing else.
 */
#include "backup_fixture.h"
#include "storage/backup/directory.h"
#include "testlib/flip.h"

/* Tables are cut at each byte; under a sanitizer, which takes some times as long, at some. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { TABLE_STRIDE = 7 };
#else
enum { TABLE_STRIDE = 1 };
#endif

static int setup(void **state)
{
    static struct backup_fixture fixture;
    struct batch batch;
    struct rng_seeded rng;
    backup_fixture_init(&fixture, test_seed());
    rng_seeded_init(&rng, 1);
    batch_init(&batch, alloc_default());
    for (unsigned i = 0; i < 2; i++) {
        model_random_batch(&fixture.model, &batch, &rng.rng);
        assert_ok(engine_write(fixture.engine, &batch, &fixture.err), &fixture.err);
        backup_settle(&fixture);
        fixture.backup.link = i == 0; /* the second has a file of the first's, which links */
        (void)backup_make(&fixture);
    }
    batch_release(&batch);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    backup_fixture_release(*state);
    return 0;
}

static uint64_t bytes_of(struct backup_fixture *fx, const char *path)
{
    struct file *file = NULL;
    uint64_t bytes = 0;
    assert_ok(fs_open(fx->fs, path, FS_READ, &file, &fx->err), &fx->err);
    assert_ok(file_size(file, &bytes, &fx->err), &fx->err);
    file_close(file);
    return bytes;
}

/* Calls `spoil` for each file of the directory that is a backup's. */
static void for_each_file(struct backup_fixture *fx,
                          void (*spoil)(struct backup_fixture *fx, const char *path, bool is_table))
{
    static struct name_list list;
    unsigned files = 0;
    list_names(fx, BACKUPS, &list);
    for (size_t i = 0; i < list.count; i++) {
        char path[PATH_BYTES_MAX];
        uint64_t backup = 0;
        uint64_t table = 0;
        enum backup_name kind = backup_name_of(list.names[i], &backup, &table);
        assert_ok(path_join(path, BACKUPS, list.names[i], &fx->err), &fx->err);
        if (kind != BACKUP_NAME_OTHER) {
            spoil(fx, path, table != 0);
            files++;
        }
    }
    assert_true(files >= 6);
}

/* Both backups, of which one at least names the file, are not restored from it. */
static void expect_no_restore(struct backup_fixture *fx, const char *path)
{
    unsigned refused = 0;
    for (uint64_t number = 1; number <= 2; number++) {
        enum status status = restore_try(fx, number, "restored");
        if (status != STATUS_OK) {
            assert_status(status, STATUS_CORRUPT, &fx->err);
            const char *named = strstr(fx->err.text, path);
            assert_non_null(named);
            assert_non_null(strstr(named, " at ")); /* the offset */
            refused++;
        }
        remove_restored(fx);
    }
    assert_true(refused > 0);
}

static void flip_each_byte(struct backup_fixture *fx, const char *path, bool is_table)
{
    uint64_t bytes = bytes_of(fx, path);
    for (uint64_t at = 0; at < bytes; at++) {
        flip_bit(fx->fs, path, at);
        struct faults faults = verify_backups(fx, NULL);
        assert_true(faults.count > 0);
        assert_non_null(strstr(faults.first.text, path));
        if (at % (is_table ? 101 : 11) == 0) {
            expect_no_restore(fx, path);
        }
        flip_bit(fx->fs, path, at);
    }
    assert_sound(fx);
}

/* Each byte of each file: found by a look, and by a restore. */
static void each_flipped_byte_is_found(void **state)
{
    for_each_file(*state, flip_each_byte);
}

static void cut_everywhere(struct backup_fixture *fx, const char *path, bool is_table)
{
    struct buf bytes;
    buf_init(&bytes, alloc_default(), 1 * MIB);
    assert_ok(fs_read_file(fx->fs, path, &bytes, &fx->err), &fx->err);
    for (size_t length = 0; length < bytes.length; length += is_table ? TABLE_STRIDE : 1) {
        struct file *file = NULL;
        assert_ok(fs_open(fx->fs, path, FS_WRITE, &file, &fx->err), &fx->err);
        assert_ok(file_truncate(file, length, &fx->err), &fx->err);
        struct faults faults = verify_backups(fx, NULL);
        assert_true(faults.count > 0);
        assert_non_null(strstr(faults.first.text, path));
        if (length % (is_table ? 101 : 11) == 0) { /* restores take their time */
            expect_no_restore(fx, path);
        }
        assert_ok(file_write(file, 0, buf_slice(&bytes), &fx->err), &fx->err);
        file_close(file);
    }
    buf_release(&bytes);
    assert_sound(fx);
}

/* A file that ends at any byte before its end: told with the file and where. */
static void each_cut_is_found(void **state)
{
    for_each_file(*state, cut_everywhere);
}

static void take_away(struct backup_fixture *fx, const char *path, bool is_table)
{
    if (is_table) {
        assert_ok(fs_rename(fx->fs, path, BACKUPS "/away", &fx->err), &fx->err);
        struct faults faults = verify_backups(fx, NULL);
        assert_true(faults.count > 0);
        assert_non_null(strstr(faults.first.text, "missing"));
        expect_no_restore(fx, path);
        assert_ok(fs_rename(fx->fs, BACKUPS "/away", path, &fx->err), &fx->err);
    }
}

static void each_missing_file_is_found(void **state)
{
    for_each_file(*state, take_away);
}

/* A sound table, and a sound manifest, in the place of others are seen to be others. */
static void what_is_exchanged_is_found(void **state)
{
    struct backup_fixture *fx = *state;
    struct faults faults;
    assert_ok(fs_rename(fx->fs, BACKUPS "/BACKUP-000002", BACKUPS "/BACKUP-000003", &fx->err),
              &fx->err);
    faults = verify_backups(fx, NULL);
    assert_int_equal(faults.count, 1);
    assert_non_null(strstr(faults.first.text, "manifest of another backup"));
    assert_status(restore_try(fx, 3, "restored"), STATUS_CORRUPT, &fx->err);
    assert_ok(fs_rename(fx->fs, BACKUPS "/BACKUP-000003", BACKUPS "/BACKUP-000002", &fx->err),
              &fx->err);
    assert_sound(fx);
}

/* What a restore leaves that did not end is no store that opens. */
static void half_a_restore_is_no_store(void **state)
{
    struct backup_fixture *fx = *state;
    struct restore *restore = NULL;
    const struct restore_options options = {
        .fs = fx->fs, .alloc = alloc_default(), .from = BACKUPS, .to = "restored"};
    bool done = false;
    unsigned steps = 0;
    for (unsigned stop = 1; !done; stop++) {
        assert_ok(restore_start(&options, &restore, &fx->err), &fx->err);
        for (steps = 0; steps < stop && !done; steps++) {
            assert_ok(restore_step(restore, &done, &fx->err), &fx->err);
        }
        restore_free(restore);
        bool current = false;
        assert_ok(fs_exists(fx->fs, "restored/CURRENT", &current, &fx->err), &fx->err);
        assert_int_equal(current, done);
        if (!done) {
            remove_restored(fx);
        }
    }
    assert_true(steps > 6);
    assert_store(fx, "restored", NULL);
}

/* The next backup takes nothing that is there for the same, is sound, and the one after it is an
 * increment again. */
static void expect_new_lineage(struct backup_fixture *fx)
{
    struct backup_made made = backup_make(fx);
    assert_true(made.tables > 1);
    assert_int_equal(made.tables_copied, made.tables);
    assert_backup(fx, made.number, &fx->model);
    made = backup_make(fx);
    assert_int_equal(made.tables_copied, 0);
    assert_sound(fx);
    assert_backup(fx, made.number, &fx->model);
}

/* LINEAGE is cut at each byte, has a flipped bit in each, and is missing. */
static void damaged_lineages_cost_a_copy(void **state)
{
    static const char path[] = "store/LINEAGE";
    struct backup_fixture *fx = *state;
    const uint64_t whole = bytes_of(fx, path);
    fx->backup.policy.keep = 3;
    (void)backup_make(fx);
    assert_int_equal(backup_make(fx).tables_copied, 0);
    for (uint64_t at = 0; at < whole; at++) {
        struct file *file = NULL;
        assert_ok(fs_open(fx->fs, path, FS_WRITE, &file, &fx->err), &fx->err);
        assert_ok(file_truncate(file, at, &fx->err), &fx->err);
        file_close(file);
        expect_new_lineage(fx);
        assert_int_equal(bytes_of(fx, path), whole);
        flip_bit(fx->fs, path, at); /* it may be another digit: that is another lineage */
        expect_new_lineage(fx);
    }
    assert_ok(fs_unlink(fx->fs, path, &fx->err), &fx->err);
    expect_new_lineage(fx);
}

/* Only names as they are written are ours; others are never removed. */
static void names_are_told_apart(void **state)
{
    static const struct {
        const char *name;
        enum backup_name kind;
        uint64_t backup;
        uint64_t table;
    } names[] = {
        {"BACKUP-000003", BACKUP_NAME_MANIFEST, 3, 0},
        {"BACKUP-000003.new", BACKUP_NAME_MANIFEST_NEW, 3, 0},
        {"BACKUP-1234567", BACKUP_NAME_MANIFEST, 1234567, 0},
        {"000003-000012.sst", BACKUP_NAME_COPY, 3, 12},
        {"000003-000012.link", BACKUP_NAME_LINK, 3, 12},
        {"BACKUP-3", BACKUP_NAME_OTHER, 0, 0},
        {"BACKUP-0000003", BACKUP_NAME_OTHER, 0, 0},
        {"BACKUP-000000", BACKUP_NAME_OTHER, 0, 0},
        {"BACKUP-000003.old", BACKUP_NAME_OTHER, 0, 0},
        {"BACKUP-", BACKUP_NAME_OTHER, 0, 0},
        {"3-12.sst", BACKUP_NAME_OTHER, 0, 0},
        {"000003-000000.sst", BACKUP_NAME_OTHER, 0, 0},
        {"000003-000012.sst.new", BACKUP_NAME_OTHER, 0, 0},
        {"000012.sst", BACKUP_NAME_OTHER, 0, 0},
        {"lock", BACKUP_NAME_OTHER, 0, 0},
        {"", BACKUP_NAME_OTHER, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        uint64_t backup = 1;
        uint64_t table = 1;
        assert_int_equal(backup_name_of(names[i].name, &backup, &table), names[i].kind);
        assert_int_equal(backup, names[i].backup);
        assert_int_equal(table, names[i].table);
    }
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(each_flipped_byte_is_found),       CASE(each_cut_is_found),
        CASE(each_missing_file_is_found),       CASE(what_is_exchanged_is_found),
        CASE(half_a_restore_is_no_store),       CASE(damaged_lineages_cost_a_copy),
        cmocka_unit_test(names_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
