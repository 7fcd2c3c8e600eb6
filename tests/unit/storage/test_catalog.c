/* SPDX-License-Identifier: Apache-2.0
 *
 * Versions of the catalog, what becomes of their files, and what is picked for
 * compaction.
 */
#include "storage/table/key.h"
#include "storage/table/table_writer.h"
#include "storage/tree/catalog.h"
#include "storage/tree/pick.h"
#include "testlib/fs_crash.h"
#include "testlib/test.h"

struct fixture {
    struct fs_crash *memory;
    struct fs *fs;
    struct epoch epoch;
    struct edit edit;
    struct catalog *catalog;
    int dead;
};

static void note_dead(void *context)
{
    ((struct fixture *)context)->dead++;
}

static void fixture_init(struct fixture *fixture)
{
    struct error err = ERROR_INIT;
    memset(fixture, 0, sizeof *fixture);
    fixture->memory = fs_crash_new();
    fixture->fs = fs_crash_fs(fixture->memory);
    epoch_init(&fixture->epoch);
    edit_init(&fixture->edit, alloc_default());
    assert_ok(fs_make_dir(fixture->fs, "/c", &err), &err);
    struct catalog_options options = {.fs = fixture->fs,
                                      .alloc = alloc_default(),
                                      .epoch = &fixture->epoch,
                                      .dir = "/c",
                                      .keyspace_count = 2,
                                      .on_dead = note_dead,
                                      .context = fixture};
    assert_ok(catalog_open(&options, &fixture->catalog, &err), &err);
}

static void fixture_release(struct fixture *fixture)
{
    edit_release(&fixture->edit);
    catalog_close(fixture->catalog);
    epoch_release(&fixture->epoch);
    fs_crash_free(fixture->memory);
}

static struct slice put_key(uint8_t out[64], const char *user, uint64_t sequence)
{
    return slice_of(out, internal_key_put(out, slice_of_string(user), sequence, KEY_PUT));
}

/* A real table with two entries; returns its size. */
static uint64_t write_table(struct fixture *fixture, uint64_t number, const char *smallest,
                            const char *largest)
{
    struct error err = ERROR_INIT;
    char name[TABLE_FILE_NAME_BYTES];
    char path[PATH_BYTES_MAX];
    uint8_t key[64];
    assert_ok(path_join(path, "/c", table_file_name(name, number), &err), &err);
    struct table_writer_options options = {
        .fs = fixture->fs, .alloc = alloc_default(), .path = path, .file_number = number};
    struct table_writer *writer = NULL;
    struct table_info info;
    assert_ok(table_writer_open(&options, &writer, &err), &err);
    assert_ok(table_writer_add(writer, put_key(key, smallest, 9), slice_of_string("v"), &err),
              &err);
    assert_ok(table_writer_add(writer, put_key(key, largest, 8), slice_of_string("v"), &err), &err);
    assert_ok(table_writer_finish(writer, &info, &err), &err);
    uint64_t bytes = info.file_bytes;
    table_info_release(&info);
    return bytes;
}

static void add_to(struct edit *edit, unsigned keyspace, unsigned level, uint64_t number,
                   uint64_t bytes, const char *smallest, const char *largest)
{
    uint8_t low[64];
    uint8_t high[64];
    edit_add_table(edit, keyspace, level, number, bytes, 2, put_key(low, smallest, 9),
                   put_key(high, largest, 8));
}

static void add(struct edit *edit, unsigned level, uint64_t number, uint64_t bytes,
                const char *smallest, const char *largest)
{
    add_to(edit, 1, level, number, bytes, smallest, largest);
}

static void publish(struct fixture *fixture, const struct edit *edit)
{
    struct error err = ERROR_INIT;
    struct version *next = NULL;
    assert_ok(catalog_prepare(fixture->catalog, edit, &next, &err), &err);
    catalog_publish(fixture->catalog, next);
}

static bool file_exists(struct fixture *fixture, uint64_t number)
{
    struct error err = ERROR_INIT;
    char name[TABLE_FILE_NAME_BYTES];
    char path[PATH_BYTES_MAX];
    bool exists = false;
    assert_ok(path_join(path, "/c", table_file_name(name, number), &err), &err);
    assert_ok(fs_exists(fixture->fs, path, &exists, &err), &err);
    return exists;
}

/* A table leaves the disk when the last version that names it is let go, not before; one that
 * moves a level keeps its file and its open handle. */
static void test_life(void **state)
{
    (void)state;
    struct fixture fixture;
    struct error err = ERROR_INIT;
    fixture_init(&fixture);
    uint64_t bytes = write_table(&fixture, 3, "b", "d");
    add(&fixture.edit, 0, 3, bytes, "b", "d");
    publish(&fixture, &fixture.edit);
    struct version *first = catalog_acquire(fixture.catalog);
    struct table *table = NULL;
    assert_int_equal(version_count(first, 1, 0), 1);
    assert_int_equal(version_bytes(first, 1, 0), bytes);
    assert_ok(table_file_open(version_at(first, 1, 0, 0), &table, &err), &err);

    edit_clear(&fixture.edit);
    edit_remove_table(&fixture.edit, 1, 0, 3);
    add(&fixture.edit, 1, 3, bytes, "b", "d");
    publish(&fixture, &fixture.edit);
    struct version *second = catalog_acquire(fixture.catalog);
    assert_int_equal(version_count(second, 1, 0), 0);
    struct table *moved = NULL;
    assert_ok(table_file_open(version_at(second, 1, 1, 0), &moved, &err), &err);
    assert_ptr_equal(moved, table);
    version_release(first);

    edit_clear(&fixture.edit);
    edit_remove_table(&fixture.edit, 1, 1, 3);
    publish(&fixture, &fixture.edit);
    catalog_remove_dead(fixture.catalog);
    assert_int_equal(fixture.dead, 0);
    assert_true(file_exists(&fixture, 3));
    version_release(second);
    assert_int_equal(fixture.dead, 1);
    assert_true(file_exists(&fixture, 3));
    catalog_remove_dead(fixture.catalog);
    assert_false(file_exists(&fixture, 3));
    fixture_release(&fixture);
}

/* Closing keeps live tables; a version that was prepared and not published leaves no trace. */
static void test_close(void **state)
{
    (void)state;
    struct fixture fixture;
    struct error err = ERROR_INIT;
    fixture_init(&fixture);
    uint64_t bytes = write_table(&fixture, 3, "b", "d");
    add(&fixture.edit, 0, 3, bytes, "b", "d");
    publish(&fixture, &fixture.edit);
    edit_clear(&fixture.edit);
    edit_remove_table(&fixture.edit, 1, 0, 3);
    struct version *next = NULL;
    assert_ok(catalog_prepare(fixture.catalog, &fixture.edit, &next, &err), &err);
    version_release(next);
    catalog_close(fixture.catalog);
    assert_true(file_exists(&fixture, 3));
    edit_release(&fixture.edit);
    fs_crash_free(fixture.memory);
}

/* Edits that do not fit are refused: overlaps below level 0, tables that are not there. */
static void test_refuses(void **state)
{
    (void)state;
    struct fixture fixture;
    struct error err = ERROR_INIT;
    fixture_init(&fixture);
    struct version *next = NULL;
    add(&fixture.edit, 1, 3, 10, "b", "d");
    add(&fixture.edit, 1, 4, 10, "d", "f");
    assert_status(catalog_prepare(fixture.catalog, &fixture.edit, &next, &err), STATUS_CORRUPT,
                  &err);
    edit_clear(&fixture.edit);
    edit_remove_table(&fixture.edit, 1, 1, 3);
    assert_status(catalog_prepare(fixture.catalog, &fixture.edit, &next, &err), STATUS_CORRUPT,
                  &err);
    edit_clear(&fixture.edit);
    add(&fixture.edit, 0, 3, 10, "b", "d");
    add(&fixture.edit, 0, 4, 10, "d", "f");
    publish(&fixture, &fixture.edit);
    fixture_release(&fixture);
}

/* Below level 0 a key finds its one table; level 0 is the newest first. */
static void test_find(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    add(&fixture.edit, 2, 7, 10, "m", "p");
    add(&fixture.edit, 2, 5, 10, "b", "d");
    add(&fixture.edit, 2, 6, 10, "f", "f");
    add(&fixture.edit, 0, 8, 10, "a", "z");
    add(&fixture.edit, 0, 12, 10, "a", "z");
    publish(&fixture, &fixture.edit);
    struct version *version = catalog_acquire(fixture.catalog);
    assert_int_equal(version_at(version, 1, 0, 0)->number, 12);
    assert_int_equal(version_at(version, 1, 0, 1)->number, 8);
    assert_null(version_find(version, 1, 2, slice_of_string("a")));
    assert_int_equal(version_find(version, 1, 2, slice_of_string("b"))->number, 5);
    assert_int_equal(version_find(version, 1, 2, slice_of_string("d"))->number, 5);
    assert_null(version_find(version, 1, 2, slice_of_string("da")));
    assert_int_equal(version_find(version, 1, 2, slice_of_string("f"))->number, 6);
    assert_int_equal(version_find(version, 1, 2, slice_of_string("oo"))->number, 7);
    assert_null(version_find(version, 1, 2, slice_of_string("pp")));
    assert_int_equal(version_lower_bound(version, 1, 2, slice_of_string("zz")), 3);
    version_release(version);
    fixture_release(&fixture);
}

static const struct keyspace_options keyspaces[2] = {
    {.name = "append", .layout = KEYSPACE_APPEND},
    {.name = "leveled", .layout = KEYSPACE_LEVELED},
};

static const struct pick_options pick_options = {.keyspaces = keyspaces,
                                                 .keyspace_count = 2,
                                                 .l0_trigger = 3,
                                                 .l0_latest = 5,
                                                 .level_base_bytes = 100,
                                                 .level_multiplier = 10};

static bool pick_after(struct fixture *fixture, const struct edit *edit, struct pick *pick)
{
    publish(fixture, edit);
    struct version *version = catalog_acquire(fixture->catalog);
    bool found = pick_compaction(version, &pick_options, pick);
    version_release(version);
    return found;
}

/* Level 0 goes down whole with all that overlaps it in level 1, once there are enough tables. */
static void test_pick_level0(void **state)
{
    (void)state;
    struct fixture fixture;
    struct pick pick;
    fixture_init(&fixture);
    add(&fixture.edit, 1, 2, 10, "a", "b");
    add(&fixture.edit, 1, 3, 10, "c", "d");
    add(&fixture.edit, 1, 4, 10, "e", "f");
    add(&fixture.edit, 1, 5, 10, "g", "h");
    add(&fixture.edit, 0, 6, 10, "d", "e");
    add(&fixture.edit, 0, 7, 10, "ee", "ef");
    assert_false(pick_after(&fixture, &fixture.edit, &pick));
    edit_clear(&fixture.edit);
    add(&fixture.edit, 0, 8, 10, "cc", "dd");
    assert_true(pick_after(&fixture, &fixture.edit, &pick));
    assert_int_equal(pick.keyspace, 1);
    assert_int_equal(pick.level, 0);
    assert_int_equal(pick.begin, 0);
    assert_int_equal(pick.end, 3);
    assert_int_equal(pick.below_begin, 1);
    assert_int_equal(pick.below_end, 3);
    assert_false(pick.move);
    fixture_release(&fixture);
}

/* Level 0 waits for more tables where most of what is written would be level 1's, but not for ever.
 */
static void test_pick_level0_that_pays(void **state)
{
    (void)state;
    struct fixture fixture;
    struct pick pick;
    fixture_init(&fixture);
    add(&fixture.edit, 1, 2, 31, "a", "c");
    add(&fixture.edit, 1, 3, 40, "x", "z"); /* nothing to do with it */
    add(&fixture.edit, 0, 4, 10, "a", "b");
    add(&fixture.edit, 0, 5, 10, "a", "b");
    add(&fixture.edit, 0, 6, 10, "a", "b");
    assert_false(pick_after(&fixture, &fixture.edit, &pick));
    struct version *version = catalog_acquire(fixture.catalog);
    assert_false(pick_level0_is_due(version, &pick_options));
    assert_int_equal(pick_debt(version, &pick_options), 0);
    struct pick_options options = pick_options;
    options.l0_latest = 3;
    assert_true(pick_compaction(version, &options, &pick));
    assert_int_equal(pick.level, 0);
    options = pick_options;
    options.whole = true;
    assert_true(pick_compaction(version, &options, &pick));
    version_release(version);
    edit_clear(&fixture.edit);
    add(&fixture.edit, 0, 7, 1, "a", "b");
    assert_true(pick_after(&fixture, &fixture.edit, &pick));
    assert_int_equal(pick.level, 0);
    assert_int_equal(pick.end, 4);
    version = catalog_acquire(fixture.catalog);
    assert_true(pick_level0_is_due(version, &pick_options));
    assert_int_equal(pick_debt(version, &pick_options), 31);
    table_file_note_damage(version_at(version, 1, 1, 1)); /* it would not be merged */
    assert_true(pick_level0_is_due(version, &pick_options));
    table_file_note_damage(version_at(version, 1, 1, 0));
    assert_false(pick_level0_is_due(version, &pick_options));
    assert_int_equal(pick_debt(version, &pick_options), 0);
    version_release(version);
    fixture_release(&fixture);
}

/* A level that is too large gives down the table that is merged with the least for its own size,
 * not the oldest, nor the one with the least: a move if nothing overlaps. */
static void test_pick_level(void **state)
{
    (void)state;
    struct fixture fixture;
    struct pick pick;
    fixture_init(&fixture);
    add(&fixture.edit, 1, 4, 60, "a", "b");
    add(&fixture.edit, 1, 9, 60, "e", "f");
    add(&fixture.edit, 2, 2, 500, "a", "c");
    assert_true(pick_after(&fixture, &fixture.edit, &pick));
    assert_int_equal(pick.level, 1);
    assert_int_equal(pick.begin, 1);
    assert_int_equal(pick.end, 2);
    assert_true(pick.move);
    edit_clear(&fixture.edit);
    edit_remove_table(&fixture.edit, 1, 1, 9);
    add(&fixture.edit, 2, 9, 60, "e", "f");
    add(&fixture.edit, 1, 10, 6, "e", "f");
    add(&fixture.edit, 1, 11, 90, "g", "h");
    add(&fixture.edit, 2, 3, 400, "g", "h");
    assert_true(pick_after(&fixture, &fixture.edit, &pick));
    assert_int_equal(pick.begin, 2);
    assert_int_equal(pick.below_begin, 2);
    assert_int_equal(pick.below_end, 3);
    assert_false(pick.move);
    edit_clear(&fixture.edit);
    edit_remove_table(&fixture.edit, 1, 1, 11);
    assert_false(pick_after(&fixture, &fixture.edit, &pick));
    fixture_release(&fixture);
}

/* What is dear goes down in the end: when many tables were made since it was. */
static void test_pick_level_that_waits(void **state)
{
    (void)state;
    struct fixture fixture;
    struct pick pick;
    fixture_init(&fixture);
    add(&fixture.edit, 1, 4, 60, "a", "b"); /* deletions, say, of much of what is below */
    add(&fixture.edit, 1, 132, 60, "e", "f");
    add(&fixture.edit, 2, 2, 900, "a", "c");
    assert_true(pick_after(&fixture, &fixture.edit, &pick));
    assert_int_equal(pick.begin, 1);
    edit_clear(&fixture.edit);
    edit_remove_table(&fixture.edit, 1, 1, 132);
    add(&fixture.edit, 1, 133, 60, "e", "f");
    assert_true(pick_after(&fixture, &fixture.edit, &pick));
    assert_int_equal(pick.begin, 0);
    fixture_release(&fixture);
}

/* A compaction of the whole brings everything to the lowest level, a step at a time, and then ends;
 * a level 0 by itself goes to level 1. */
static void test_pick_whole(void **state)
{
    (void)state;
    struct fixture fixture;
    struct pick pick;
    fixture_init(&fixture);
    struct pick_options options = pick_options;
    options.whole = true;
    add(&fixture.edit, 1, 4, 10, "a", "b");
    add(&fixture.edit, 3, 2, 10, "f", "i");
    assert_false(pick_after(&fixture, &fixture.edit, &pick));
    struct version *version = catalog_acquire(fixture.catalog);
    assert_true(pick_compaction(version, &options, &pick));
    assert_int_equal(pick.level, 1);
    assert_true(pick.move);
    version_release(version);
    edit_clear(&fixture.edit);
    edit_remove_table(&fixture.edit, 1, 1, 4);
    add(&fixture.edit, 3, 4, 10, "a", "b");
    publish(&fixture, &fixture.edit);
    version = catalog_acquire(fixture.catalog);
    assert_false(pick_compaction(version, &options, &pick));
    version_release(version);
    edit_clear(&fixture.edit);
    edit_remove_table(&fixture.edit, 1, 3, 4);
    edit_remove_table(&fixture.edit, 1, 3, 2);
    add(&fixture.edit, 0, 5, 10, "a", "b");
    publish(&fixture, &fixture.edit);
    version = catalog_acquire(fixture.catalog);
    assert_true(pick_compaction(version, &options, &pick));
    assert_int_equal(pick.level, 0);
    version_release(version);
    fixture_release(&fixture);
}

/* Of what is appended: fresh tables, when there are three, and the partition before them if it is
 * not the larger part. */
static void test_pick_fresh(void **state)
{
    (void)state;
    struct fixture fixture;
    struct pick pick;
    fixture_init(&fixture);
    add_to(&fixture.edit, 0, 2, 1, 31, "a", "b");
    add_to(&fixture.edit, 0, 1, 2, 10, "c", "d");
    add_to(&fixture.edit, 0, 1, 3, 10, "e", "f");
    assert_false(pick_after(&fixture, &fixture.edit, &pick));
    edit_clear(&fixture.edit);
    add_to(&fixture.edit, 0, 1, 4, 10, "g", "h");
    assert_true(pick_after(&fixture, &fixture.edit, &pick));
    assert_int_equal(pick.keyspace, 0);
    assert_int_equal(pick.level, 1);
    assert_int_equal(pick.begin, 0);
    assert_int_equal(pick.end, 3);
    assert_int_equal(pick.below_begin, pick.below_end);
    assert_false(pick.move);
    edit_clear(&fixture.edit);
    add_to(&fixture.edit, 0, 1, 5, 1, "i", "j");
    assert_true(pick_after(&fixture, &fixture.edit, &pick));
    assert_int_equal(pick.end, 4);
    assert_int_equal(pick.below_begin, 0);
    assert_int_equal(pick.below_end, 1);
    fixture_release(&fixture);
}

static void take_one(struct fixture *fixture, unsigned level, size_t index, bool taken)
{
    struct version *version = catalog_acquire(fixture->catalog);
    table_file_take(version_at(version, 0, level, index), taken);
    version_release(version);
}

/* While some fresh tables are gathered no others are: these could come to lie around those,
 * together with a partition that only they let grow. */
static void test_pick_fresh_once(void **state)
{
    (void)state;
    struct fixture fixture;
    struct pick pick;
    fixture_init(&fixture);
    add_to(&fixture.edit, 0, 2, 1, 31, "a", "b");
    add_to(&fixture.edit, 0, 1, 2, 10, "c", "d");
    for (unsigned i = 0; i < 6; i++) {
        const char *const keys[] = {"e", "f", "g", "h", "i", "j"};
        add_to(&fixture.edit, 0, 1, 3 + i, 10, keys[i], keys[i]);
    }
    publish(&fixture, &fixture.edit);
    take_one(&fixture, 1, 0, true);
    edit_clear(&fixture.edit);
    assert_false(pick_after(&fixture, &fixture.edit, &pick));
    take_one(&fixture, 1, 0, false);
    assert_true(pick_after(&fixture, &fixture.edit, &pick));
    assert_int_equal(pick.begin, 0);
    assert_int_equal(pick.end, 7);
    assert_int_equal(pick.below_begin, 0);
    assert_int_equal(pick.below_end, 1);
    fixture_release(&fixture);
}

/* Partitions grow back over several that are no larger than what follows, but not past one that is
 * large enough, that another merge has, or that would span too much time. */
static void test_pick_last_partitions(void **state)
{
    (void)state;
    struct keyspace_options own[2] = {keyspaces[0], keyspaces[1]};
    struct pick_options options = pick_options;
    struct fixture fixture;
    struct pick pick;
    own[0].timed = true;
    own[0].partition_bytes_min = 1;
    own[0].partition_span = 100;
    options.keyspaces = own;
    fixture_init(&fixture);
    for (unsigned i = 0; i < 3; i++) {
        const char *const keys[] = {"a", "b", "c"};
        add_to(&fixture.edit, 0, 2, 1 + i, i == 0 ? 100 : 40 - i * 10, keys[i], keys[i]);
        edit_set_times(&fixture.edit, &(struct time_bounds){true, 100 * i, 100 * i + 90});
    }
    for (unsigned i = 0; i < 3; i++) {
        const char *const keys[] = {"d", "e", "f"};
        add_to(&fixture.edit, 0, 1, 5 + i, 10, keys[i], keys[i]);
        edit_set_times(&fixture.edit, &(struct time_bounds){true, 210, 290});
    }
    publish(&fixture, &fixture.edit);
    struct version *version = catalog_acquire(fixture.catalog);
    assert_true(pick_compaction(version, &options, &pick));
    assert_int_equal(pick.below_begin, 2); /* "b" is too old */
    own[0].partition_span = 1000;
    assert_true(pick_compaction(version, &options, &pick));
    assert_int_equal(pick.below_begin, 1); /* "a" is the larger part */
    own[0].partition_bytes = 60;
    assert_true(pick_compaction(version, &options, &pick));
    assert_int_equal(pick.below_begin, 1);
    own[0].partition_bytes = 40;
    assert_true(pick_compaction(version, &options, &pick));
    assert_int_equal(pick.below_begin, 2);
    table_file_take(version_at(version, 0, 2, 2), true);
    assert_true(pick_compaction(version, &options, &pick));
    assert_int_equal(pick.below_begin, 3);
    version_release(version);
    fixture_release(&fixture);
}

/* What is below the floor is dropped first, damaged or not, but for what is being merged; the
 * partition that the floor divides is rewritten last, if enough of it is dead. */
static void test_pick_below_the_floor(void **state)
{
    (void)state;
    struct floor floors[2] = {{.length = 0}};
    struct keyspace_options own[2] = {keyspaces[0], keyspaces[1]};
    struct pick_options options = pick_options;
    struct fixture fixture;
    struct pick pick;
    own[0].rewrite_percent = 40;
    own[0].rewrite_bytes_min = 100;
    options.keyspaces = own;
    options.floors = floors;
    options.rewrite = true;
    fixture_init(&fixture);
    add_to(&fixture.edit, 0, 2, 1, 50, "aa", "ac");
    add_to(&fixture.edit, 0, 2, 2, 50, "ba", "bc");
    add_to(&fixture.edit, 0, 2, 3, 100, "ca", "cj"); /* ten keys */
    add_to(&fixture.edit, 0, 1, 4, 10, "ck", "cl");
    publish(&fixture, &fixture.edit);
    struct version *version = catalog_acquire(fixture.catalog);
    assert_false(pick_compaction(version, &options, &pick));
    floor_set(&floors[0], slice_of_string("bd"));
    table_file_note_damage(version_at(version, 0, 2, 0));
    assert_true(pick_compaction(version, &options, &pick));
    assert_true(pick.drop);
    assert_int_equal(pick.level, 2);
    assert_int_equal(pick.begin, 0);
    assert_int_equal(pick.end, 2);
    assert_int_equal(pick.below_begin, pick.below_end);
    table_file_take(version_at(version, 0, 2, 0), true);
    assert_true(pick_compaction(version, &options, &pick));
    assert_int_equal(pick.begin, 1);
    table_file_take(version_at(version, 0, 2, 1), true);
    assert_false(pick_compaction(version, &options, &pick));
    floor_set(&floors[0], slice_of_string("cd")); /* three of ten */
    assert_false(pick_compaction(version, &options, &pick));
    assert_in_range(pick_dead_bytes(version, 0, &floors[0]), 125, 135);
    floor_set(&floors[0], slice_of_string("cf"));
    assert_true(pick_compaction(version, &options, &pick));
    assert_false(pick.drop);
    assert_int_equal(pick.begin, pick.end);
    assert_int_equal(pick.below_begin, 2);
    assert_int_equal(pick.below_end, 3);
    assert_true(slice_equal(floor_key(&pick.floor), slice_of_string("cf")));
    options.rewrite = false;
    assert_false(pick_compaction(version, &options, &pick));
    options.rewrite = true;
    own[0].rewrite_bytes_min = 101;
    assert_false(pick_compaction(version, &options, &pick));
    floor_set(&floors[0], slice_of_string("d"));
    assert_true(pick_compaction(version, &options, &pick));
    assert_true(pick.drop);
    assert_int_equal(pick.level, 1);
    version_release(version);
    fixture_release(&fixture);
}

static void damage(struct fixture *fixture, unsigned level, size_t index)
{
    struct version *version = catalog_acquire(fixture->catalog);
    table_file_note_damage(version_at(version, 0, level, index));
    version_release(version);
}

/* A damaged fresh table stays; what lies on its two sides is not mixed, nor with what has become of
 * one side already. */
static void test_pick_fresh_around_damage(void **state)
{
    (void)state;
    struct fixture fixture;
    struct pick pick;
    fixture_init(&fixture);
    add_to(&fixture.edit, 0, 1, 2, 10, "c", "d");
    add_to(&fixture.edit, 0, 1, 3, 10, "e", "f");
    publish(&fixture, &fixture.edit);
    damage(&fixture, 1, 1);
    edit_clear(&fixture.edit);
    add_to(&fixture.edit, 0, 1, 4, 10, "g", "h");
    assert_false(pick_after(&fixture, &fixture.edit, &pick)); /* none of them has a neighbour */
    edit_clear(&fixture.edit);
    add_to(&fixture.edit, 0, 1, 5, 10, "i", "j");
    assert_true(pick_after(&fixture, &fixture.edit, &pick));
    assert_int_equal(pick.begin, 2);
    assert_int_equal(pick.end, 4);
    edit_clear(&fixture.edit);
    edit_remove_table(&fixture.edit, 0, 1, 3); /* mended, by whatever */
    edit_remove_table(&fixture.edit, 0, 1, 4);
    add_to(&fixture.edit, 0, 2, 4, 10, "g", "h");
    add_to(&fixture.edit, 0, 1, 6, 10, "k", "l");
    assert_true(pick_after(&fixture, &fixture.edit, &pick));
    assert_int_equal(pick.begin, 1); /* "c" lies before the partition */
    assert_int_equal(pick.end, 3);
    assert_int_equal(pick.below_begin, 0);
    assert_int_equal(pick.below_end, 1);
    damage(&fixture, 2, 0);
    edit_clear(&fixture.edit);
    add_to(&fixture.edit, 0, 1, 7, 10, "m", "n");
    assert_true(pick_after(&fixture, &fixture.edit, &pick));
    assert_int_equal(pick.begin, 1);
    assert_int_equal(pick.end, 4);
    assert_int_equal(pick.below_begin, pick.below_end);
    fixture_release(&fixture);
}

/* What is damaged stays, and with it what cannot go without it; the rest goes down. */
static void test_pick_around_damage(void **state)
{
    (void)state;
    struct fixture fixture;
    struct pick pick;
    fixture_init(&fixture);
    add(&fixture.edit, 1, 4, 60, "a", "b");
    add(&fixture.edit, 1, 5, 60, "e", "f");
    add(&fixture.edit, 1, 6, 60, "h", "k");
    add(&fixture.edit, 2, 2, 500, "f", "i");
    assert_true(pick_after(&fixture, &fixture.edit, &pick));
    assert_int_equal(pick.begin, 0);
    struct version *version = catalog_acquire(fixture.catalog);
    table_file_note_damage(version_at(version, 1, 1, 0));
    assert_true(pick_compaction(version, &pick_options, &pick));
    assert_int_equal(pick.begin, 1);
    assert_int_equal(pick.below_end, 1);
    table_file_note_damage(version_at(version, 1, 2, 0));
    assert_false(pick_compaction(version, &pick_options, &pick));
    version_release(version);
    edit_clear(&fixture.edit);
    add(&fixture.edit, 0, 7, 10, "c", "c");
    add(&fixture.edit, 0, 8, 10, "d", "d");
    add(&fixture.edit, 0, 9, 10, "d", "d");
    assert_true(
        pick_after(&fixture, &fixture.edit, &pick)); /* no table of level 1 has these keys */
    assert_int_equal(pick.level, 0);
    version = catalog_acquire(fixture.catalog);
    assert_int_equal(pick_level0(version, keyspaces, 2).mergeable, 3);
    assert_int_equal(pick_level0(version, keyspaces, 2).stuck, 0);
    version_release(version);
    edit_clear(&fixture.edit);
    add(&fixture.edit, 0, 10, 10, "b", "c");
    assert_false(pick_after(&fixture, &fixture.edit, &pick));
    version = catalog_acquire(fixture.catalog);
    assert_int_equal(pick_level0(version, keyspaces, 2).mergeable, 0);
    assert_int_equal(pick_level0(version, keyspaces, 2).stuck, 4);
    version_release(version);
    fixture_release(&fixture);
}

static void take(struct version *version, const struct pick *pick, bool taken)
{
    for (size_t i = 0; i < pick_table_count(pick); i++) {
        table_file_take(pick_table_at(version, pick, i), taken);
    }
}

/* What one compaction has taken is not picked for another, nor what would have to be merged with
 * it. Level 0 that waits for tables of level 1 gets them before anybody else takes more. */
static void test_pick_beside_taken(void **state)
{
    (void)state;
    struct fixture fixture;
    struct pick first;
    struct pick second;
    struct pick third;
    fixture_init(&fixture);
    add(&fixture.edit, 1, 4, 60, "a", "c");
    add(&fixture.edit, 1, 5, 60, "d", "f");
    add(&fixture.edit, 1, 6, 50, "g", "k");
    add(&fixture.edit, 2, 2, 480, "b", "e"); /* below the first two */
    add(&fixture.edit, 2, 3, 490, "g", "k"); /* so it goes after them */
    assert_true(pick_after(&fixture, &fixture.edit, &first));
    assert_int_equal(first.begin, 0);
    struct version *version = catalog_acquire(fixture.catalog);
    take(version, &first, true);
    assert_true(pick_compaction(version, &pick_options, &second));
    assert_int_equal(second.begin, 2);
    take(version, &second, true);
    assert_false(pick_compaction(version, &pick_options, &third));
    take(version, &second, false);
    version_release(version);
    edit_clear(&fixture.edit);
    for (uint64_t number = 7; number < 12; number++) {
        add(&fixture.edit, 0, number, 10, "a", "d");
    }
    assert_false(pick_after(&fixture, &fixture.edit, &second)); /* not the one of "g" */
    struct pick_level0 level0 = {.mergeable = 0};
    version = catalog_acquire(fixture.catalog);
    level0 = pick_level0(version, keyspaces, 2);
    assert_int_equal(level0.mergeable, 5);
    assert_int_equal(level0.stuck, 0);
    take(version, &first, false);
    assert_true(pick_compaction(version, &pick_options, &second));
    struct pick_options options = pick_options;
    options.only_level0 = true;
    assert_true(pick_compaction(version, &options, &second));
    assert_int_equal(second.level, 0);
    take(version, &second, true);
    assert_false(pick_compaction(version, &options, &third));
    version_release(version);
    fixture_release(&fixture);
}

/* One fresh table of a keyspace that only appends is not due, however large. */
static void test_pick_append(void **state)
{
    (void)state;
    struct fixture fixture;
    struct pick pick;
    fixture_init(&fixture);
    uint8_t low[64];
    uint8_t high[64];
    edit_add_table(&fixture.edit, 0, 1, 9, 1 << 30, 2, put_key(low, "a", 9), put_key(high, "b", 8));
    assert_false(pick_after(&fixture, &fixture.edit, &pick));
    fixture_release(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life),
        cmocka_unit_test(test_close),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_pick_level0),
        cmocka_unit_test(test_pick_level0_that_pays),
        cmocka_unit_test(test_pick_level),
        cmocka_unit_test(test_pick_level_that_waits),
        cmocka_unit_test(test_pick_whole),
        cmocka_unit_test(test_pick_fresh),
        cmocka_unit_test(test_pick_fresh_once),
        cmocka_unit_test(test_pick_last_partitions),
        cmocka_unit_test(test_pick_below_the_floor),
        cmocka_unit_test(test_pick_fresh_around_damage),
        cmocka_unit_test(test_pick_around_damage),
        cmocka_unit_test(test_pick_beside_taken),
        cmocka_unit_test(test_pick_append),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
