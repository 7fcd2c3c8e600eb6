/* SPDX-License-Identifier: Apache-2.0
 *
 * Golden tables: files of each released version of the format open for ever. To make those of a
 * new version: ESTREAT_GOLDEN_DIR=DIR makes this test write them there.
 */
#include "table_file_fixture.h"

enum { ENTRIES = 300 };

static const char *const names[] = {"table_v1_none.sst", "table_v1_lz4.sst", "table_v1_zstd.sst"};

/* Entry i of the golden tables, without a random generator, so that it never changes. */
static size_t golden_key(uint64_t i, uint8_t *to)
{
    int length = snprintf((char *)to, 32, "golden/%05llu", (unsigned long long)(i / 3));
    return internal_key_put(to, slice_of(to, (size_t)length), 1000 - i,
                            i % 10 == 9 ? KEY_DELETE : KEY_PUT);
}

static size_t golden_value(uint64_t i, uint8_t *to)
{
    size_t length = i % 10 == 9 ? 0 : i % 40;
    for (size_t at = 0; at < length; at++) {
        to[at] = (uint8_t)(at < 10 ? i * 31 + at * 17 : 'v');
    }
    return length;
}

static void write_golden(const char *path, enum codec codec)
{
    struct error err = ERROR_INIT;
    struct table_writer_options options = fixture_options(path, codec);
    options.zstd_level = 1;
    struct table_writer *writer = NULL;
    assert_ok(table_writer_open(&options, &writer, &err), &err);
    for (uint64_t i = 0; i < ENTRIES; i++) {
        uint8_t key[64];
        uint8_t value[64];
        size_t key_length = golden_key(i, key);
        size_t value_length = golden_value(i, value);
        assert_ok(table_writer_add(writer, slice_of(key, key_length), slice_of(value, value_length),
                                   &err),
                  &err);
    }
    struct table_info info;
    assert_ok(table_writer_finish(writer, &info, &err), &err);
    table_info_release(&info);
}

static const char *golden_path(char *out, int codec)
{
    char relative[64];
    (void)snprintf(relative, sizeof relative, "tests/golden/%s", names[codec]);
    return test_source_path(out, relative);
}

/* Tables of version 1 open, verify and yield their entries. */
static void test_version_1_opens(void **state)
{
    (void)state;
    for (int codec = 0; codec < 3; codec++) {
        char path[PATH_BYTES_MAX];
        struct error err = ERROR_INIT;
        struct table *table = open_table(golden_path(path, codec));
        assert_int_equal(table_get_info(table)->file_number, FIXTURE_FILE_NUMBER);
        assert_int_equal(table_get_info(table)->codec, codec);
        assert_int_equal(table_get_info(table)->entries, ENTRIES);
        assert_int_equal(table_get_info(table)->deletions, ENTRIES / 10);
        assert_ok(table_verify(table, NULL, &err), &err);
        struct iter *iter = NULL;
        assert_ok(table_iter_new(table, NULL, &iter, &err), &err);
        iter_seek_to_first(iter);
        for (uint64_t i = 0; i < ENTRIES; i++) {
            uint8_t key[64];
            uint8_t value[64];
            assert_true(iter_valid(iter));
            assert_slice_equal(iter_key(iter), slice_of(key, golden_key(i, key)));
            assert_slice_equal(iter_value(iter), slice_of(value, golden_value(i, value)));
            iter_next(iter);
        }
        assert_false(iter_valid(iter));
        iter_close(iter);
        table_unref(table);
    }
}

/* The writer still makes version 1, byte for byte. Only without compression: what a codec makes is
 * its library's affair. */
static void test_writer_makes_version_1(void **state)
{
    struct temp_dir *dir = *state;
    char path[PATH_BYTES_MAX];
    struct buf golden;
    struct buf written;
    read_bytes(golden_path(path, CODEC_NONE), &golden);
    write_golden(temp_dir_path(dir, "t"), CODEC_NONE);
    read_bytes(temp_dir_path(dir, "t"), &written);
    assert_slice_equal(buf_slice(&written), buf_slice(&golden));
    buf_release(&written);
    buf_release(&golden);
}

int main(void)
{
    const char *directory = getenv("ESTREAT_GOLDEN_DIR");
    for (int codec = 0; directory != NULL && codec < 3; codec++) {
        char path[PATH_BYTES_MAX];
        struct error err = ERROR_INIT;
        if (path_join(path, directory, names[codec], &err) != STATUS_OK) {
            return EXIT_FAILURE;
        }
        write_golden(path, (enum codec)codec);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_version_1_opens),
        cmocka_unit_test_setup_teardown(test_writer_makes_version_1, temp_dir_setup,
                                        temp_dir_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
