/* SPDX-License-Identifier: Apache-2.0
 *
 * Golden tables: files of each released version of the format open for ever. To make those of a
 * new version: ESTREAT_GOLDEN_DIR=DIR makes this test write them there.
 */
#include "table_file_fixture.h"

enum { ENTRIES = 300, NUMBER_PLACE = 1 };

/* With a dictionary: enough for one, and blocks of columns besides. */
#define DICTIONARY_NAME "table_v3_zstd.sst"
enum { DICTIONARY_ENTRIES = 900, DICTIONARY_BYTES = 1536, DICTIONARY_VALUE_BYTES = 96 };

static const char *const names[][3] = {
    {"table_v1_none.sst", "table_v1_lz4.sst", "table_v1_zstd.sst"},
    {"table_v2_none.sst", "table_v2_lz4.sst", "table_v2_zstd.sst"},
};

#define TIMED_NAME "table_v1_times.sst"

/* With an index of two levels: the entries of version 1, in smaller blocks. */
#define TWO_LEVELS_NAME "table_v1_two_levels.sst"

/* Entry i of the golden tables, without a random generator, so that it never changes. */
static size_t golden_key(int version, uint64_t i, uint8_t *to)
{
    if (version == 2) { /* columns are of keys that are numbers */
        uint8_t number[8];
        put_be64(number, 1000 + i + i / 50);
        return internal_key_put(to, slice_of(number, sizeof number), 5000 + i, KEY_PUT);
    }
    int length = snprintf((char *)to, 32, "golden/%05llu", (unsigned long long)(i / 3));
    return internal_key_put(to, slice_of(to, (size_t)length), 1000 - i,
                            i % 10 == 9 ? KEY_DELETE : KEY_PUT);
}

static size_t golden_value(int version, uint64_t i, uint8_t *to)
{
    size_t length = i % 10 == 9 ? 0 : i % 40;
    length += version == 2 ? NUMBER_PLACE + 8 : 0;
    for (size_t at = 0; at < length; at++) {
        to[at] = (uint8_t)(at < 10 ? i * 31 + at * 17 : 'v');
    }
    if (version == 2) {
        put_le64(to + NUMBER_PLACE, 1700000000000000000 + i * 1001 - i % 7 * 5000);
    }
    return length;
}

static void write_golden_with(const struct table_writer_options *options, int version)
{
    struct error err = ERROR_INIT;
    struct table_writer *writer = NULL;
    assert_ok(table_writer_open(options, &writer, &err), &err);
    for (uint64_t i = 0; i < ENTRIES; i++) {
        uint8_t key[64];
        uint8_t value[64];
        size_t key_length = golden_key(version, i, key);
        size_t value_length = golden_value(version, i, value);
        assert_ok(table_writer_add(writer, slice_of(key, key_length), slice_of(value, value_length),
                                   &err),
                  &err);
    }
    struct table_info info;
    assert_ok(table_writer_finish(writer, &info, &err), &err);
    table_info_release(&info);
}

static void write_golden(const char *path, int version, enum codec codec)
{
    struct table_writer_options options = fixture_options(path, codec);
    options.zstd_level = 1;
    options.columns = version == 2;
    options.number_place = NUMBER_PLACE;
    write_golden_with(&options, version);
}

static void write_two_levels(const char *path)
{
    struct table_writer_options options = fixture_options(path, CODEC_NONE);
    options.block_bytes = 200;
    options.index_partition_bytes = 100;
    write_golden_with(&options, 1);
}

static const char *golden_path(char *out, int version, int codec)
{
    char relative[64];
    (void)snprintf(relative, sizeof relative, "tests/golden/%s", names[version - 1][codec]);
    return test_source_path(out, relative);
}

static void assert_table_opens(const char *path, int version, int codec)
{
    struct error err = ERROR_INIT;
    struct table *table = open_table(path);
    assert_int_equal(table_get_info(table)->file_number, FIXTURE_FILE_NUMBER);
    assert_int_equal(table_get_info(table)->codec, codec);
    assert_int_equal(table_get_info(table)->entries, ENTRIES);
    assert_int_equal(table_get_info(table)->deletions, version == 1 ? ENTRIES / 10 : 0);
    assert_int_equal(table_get_info(table)->columns, version == 2);
    assert_ok(table_verify(table, NULL, &err), &err);
    struct iter *iter = NULL;
    assert_ok(table_iter_new(table, NULL, &iter, &err), &err);
    iter_seek_to_first(iter);
    for (uint64_t i = 0; i < ENTRIES; i++) {
        uint8_t key[64];
        uint8_t value[64];
        assert_true(iter_valid(iter));
        assert_slice_equal(iter_key(iter), slice_of(key, golden_key(version, i, key)));
        assert_slice_equal(iter_value(iter), slice_of(value, golden_value(version, i, value)));
        iter_next(iter);
    }
    assert_false(iter_valid(iter));
    iter_close(iter);
    table_unref(table);
}

static void assert_opens(int version)
{
    for (int codec = 0; codec < 3; codec++) {
        char path[PATH_BYTES_MAX];
        assert_table_opens(golden_path(path, version, codec), version, codec);
    }
}

/* Tables of each version open, verify and yield their entries. */
static void test_versions_open(void **state)
{
    (void)state;
    assert_opens(1);
    assert_opens(2);
}

/* The writer still makes each version, byte for byte. Only without compression: what a codec makes
 * is its library's affair. */
static void test_writer_makes_versions(void **state)
{
    struct temp_dir *dir = *state;
    for (int version = 1; version <= 2; version++) {
        char path[PATH_BYTES_MAX];
        struct buf golden;
        struct buf written;
        read_bytes(golden_path(path, version, CODEC_NONE), &golden);
        write_golden(temp_dir_path(dir, version == 1 ? "t1" : "t2"), version, CODEC_NONE);
        read_bytes(temp_dir_path(dir, version == 1 ? "t1" : "t2"), &written);
        assert_slice_equal(buf_slice(&written), buf_slice(&golden));
        buf_release(&written);
        buf_release(&golden);
    }
}

/* A table with an index of two levels opens, and the writer still makes it, byte for byte. */
static void test_two_levels_open(void **state)
{
    struct temp_dir *dir = *state;
    char path[PATH_BYTES_MAX];
    struct error err = ERROR_INIT;
    struct buf golden;
    struct buf written;
    struct table_footer footer;
    assert_table_opens(test_source_path(path, "tests/golden/" TWO_LEVELS_NAME), 1, CODEC_NONE);
    read_bytes(path, &golden);
    assert_ok(table_footer_decode(golden.data + golden.length - TABLE_FOOTER_BYTES, golden.length,
                                  &footer, &err),
              &err);
    assert_true(footer.two_levels);
    write_two_levels(temp_dir_path(dir, "t"));
    read_bytes(temp_dir_path(dir, "t"), &written);
    assert_slice_equal(buf_slice(&written), buf_slice(&golden));
    buf_release(&written);
    buf_release(&golden);
}

/* --- version 3 ------------------------------------------------------------------------------- */

static size_t dictionary_key(uint64_t i, uint8_t *to)
{
    uint8_t number[8];
    put_be64(number, 1000 + i + i / 50);
    return internal_key_put(to, slice_of(number, sizeof number), 5000 + i, KEY_PUT);
}

static size_t dictionary_value(uint64_t i, uint8_t *to)
{
    uint64_t mixed = (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
    to[0] = 'v';
    put_le64(to + NUMBER_PLACE, 1700000000000000000 + i * 1001 - i % 7 * 5000);
    return NUMBER_PLACE + 8 +
           (size_t)snprintf((char *)to + NUMBER_PLACE + 8, DICTIONARY_VALUE_BYTES - 9,
                            "node-%u accepted append from client %04x, %u events, took %u us",
                            (unsigned)(mixed >> 62), (unsigned)(mixed >> 32 & 0xffff),
                            (unsigned)(mixed >> 20 & 31), (unsigned)(mixed & 0x1fff));
}

static void write_dictionary_golden(const char *path)
{
    struct error err = ERROR_INIT;
    struct table_writer_options options = fixture_options(path, CODEC_ZSTD);
    options.zstd_level = 1;
    options.columns = true;
    options.number_place = NUMBER_PLACE;
    options.dictionary_bytes = DICTIONARY_BYTES;
    struct table_writer *writer = NULL;
    assert_ok(table_writer_open(&options, &writer, &err), &err);
    for (uint64_t i = 0; i < DICTIONARY_ENTRIES; i++) {
        uint8_t key[64];
        uint8_t value[DICTIONARY_VALUE_BYTES];
        size_t key_length = dictionary_key(i, key);
        size_t value_length = dictionary_value(i, value);
        assert_ok(table_writer_add(writer, slice_of(key, key_length), slice_of(value, value_length),
                                   &err),
                  &err);
    }
    struct table_info info;
    assert_ok(table_writer_finish(writer, &info, &err), &err);
    assert_true(info.dictionary_bytes > 0);
    table_info_release(&info);
}

static void assert_dictionary_table(const char *path)
{
    struct error err = ERROR_INIT;
    struct table *table = open_table(path);
    assert_int_equal(table_get_info(table)->entries, DICTIONARY_ENTRIES);
    assert_true(table_get_info(table)->dictionary_bytes > 0);
    assert_true(table_get_info(table)->columns);
    assert_ok(table_verify(table, NULL, &err), &err);
    struct iter *iter = NULL;
    assert_ok(table_iter_new(table, NULL, &iter, &err), &err);
    iter_seek_to_first(iter);
    for (uint64_t i = 0; i < DICTIONARY_ENTRIES; i++) {
        uint8_t key[64];
        uint8_t value[DICTIONARY_VALUE_BYTES];
        assert_true(iter_valid(iter));
        assert_slice_equal(iter_key(iter), slice_of(key, dictionary_key(i, key)));
        assert_slice_equal(iter_value(iter), slice_of(value, dictionary_value(i, value)));
        iter_next(iter);
    }
    assert_false(iter_valid(iter));
    iter_close(iter);
    table_unref(table);
}

/* A table with a dictionary opens, by itself, and what the writer makes today holds the same. */
static void test_dictionary_opens(void **state)
{
    struct temp_dir *dir = *state;
    char path[PATH_BYTES_MAX];
    assert_dictionary_table(test_source_path(path, "tests/golden/" DICTIONARY_NAME));
    write_dictionary_golden(temp_dir_path(dir, "t3"));
    assert_dictionary_table(temp_dir_path(dir, "t3"));
}

/* --- times --------------------------------------------------------------------------------- */

enum { TIMED_ENTRIES = 400, TIMED_BYTES = 1000 };

static uint64_t golden_time(uint64_t i)
{
    return 1700000000000000000 + i * 1000003 - i % 11 * 7000000;
}

static void write_timed(const char *path)
{
    struct error err = ERROR_INIT;
    struct table_writer_options options = fixture_options(path, CODEC_ZSTD);
    struct table_writer *writer = NULL;
    struct table_info info;
    options.block_bytes = 16 * KIB;
    options.timed = true;
    options.time_place = NUMBER_PLACE;
    assert_ok(table_writer_open(&options, &writer, &err), &err);
    for (uint64_t i = 0; i < TIMED_ENTRIES; i++) {
        uint8_t key[64];
        uint8_t value[TIMED_BYTES];
        size_t length = golden_key(2, i, key);
        memset(value, 'v', sizeof value);
        put_le64(value + NUMBER_PLACE, golden_time(i));
        assert_ok(
            table_writer_add(writer, slice_of(key, length), slice_of(value, sizeof value), &err),
            &err);
    }
    assert_ok(table_writer_finish(writer, &info, &err), &err);
    table_info_release(&info);
}

/* A table that knows its times opens, with those of its runs; and today's writer says the same of
 * the same entries. */
static void test_times_open(void **state)
{
    struct temp_dir *dir = *state;
    char path[PATH_BYTES_MAX];
    write_timed(temp_dir_path(dir, "t"));
    struct table *golden = open_table(test_source_path(path, "tests/golden/" TIMED_NAME));
    struct table *written = open_table(temp_dir_path(dir, "t"));
    struct error err = ERROR_INIT;
    assert_ok(table_verify(golden, NULL, &err), &err);
    const struct table_info *info = table_get_info(golden);
    assert_true(info->times.known);
    assert_false(info->times_rise);
    assert_int_equal(info->time_place, NUMBER_PLACE);
    assert_int_equal(info->times.smallest, golden_time(10));
    assert_int_equal(info->times.largest, golden_time(396));
    const struct time_runs *runs = table_get_time_runs(golden);
    const struct time_runs *now = table_get_time_runs(written);
    assert_int_equal(runs->count, 3);
    assert_int_equal(now->count, runs->count);
    for (size_t i = 0; i < runs->count; i++) {
        assert_slice_equal(now->runs[i].last_key, runs->runs[i].last_key);
        assert_int_equal(now->runs[i].bounds.smallest, runs->runs[i].bounds.smallest);
        assert_int_equal(now->runs[i].bounds.largest, runs->runs[i].bounds.largest);
    }
    table_unref(golden);
    table_unref(written);
}

int main(void)
{
    const char *directory = getenv("ESTREAT_GOLDEN_DIR");
    for (int i = 0; directory != NULL && i < 6; i++) {
        char path[PATH_BYTES_MAX];
        struct error err = ERROR_INIT;
        if (path_join(path, directory, names[i / 3][i % 3], &err) != STATUS_OK) {
            return EXIT_FAILURE;
        }
        write_golden(path, 1 + i / 3, (enum codec)(i % 3));
    }
    if (directory != NULL) {
        char path[PATH_BYTES_MAX];
        struct error err = ERROR_INIT;
        if (path_join(path, directory, DICTIONARY_NAME, &err) != STATUS_OK) {
            return EXIT_FAILURE;
        }
        write_dictionary_golden(path);
        assert_ok(path_join(path, directory, TIMED_NAME, &err), &err);
        write_timed(path);
        assert_ok(path_join(path, directory, TWO_LEVELS_NAME, &err), &err);
        write_two_levels(path);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_versions_open),
        cmocka_unit_test_setup_teardown(test_dictionary_opens, temp_dir_setup, temp_dir_teardown),
        cmocka_unit_test_setup_teardown(test_two_levels_open, temp_dir_setup, temp_dir_teardown),
        cmocka_unit_test_setup_teardown(test_times_open, temp_dir_setup, temp_dir_teardown),
        cmocka_unit_test_setup_teardown(test_writer_makes_versions, temp_dir_setup,
                                        temp_dir_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
