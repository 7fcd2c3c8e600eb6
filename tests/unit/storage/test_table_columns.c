/* SPDX-License-Identifier: Apache-2.0
 *
 * Tables whose blocks are columns: what is in them, what they look like where a block has not the
 * shape, and what forged ones do.
 */
#include "storage/table/table_format.h"
#include "table_file_fixture.h"

enum { ENTRIES = 2000, PLACE = 1 };

static struct slice make_key(uint64_t i, uint8_t out[16])
{
    uint8_t position[8];
    put_be64(position, 3 * i);
    return slice_of(out, internal_key_put(out, slice_of(position, 8), 7 + i, KEY_PUT));
}

/* `odd`: of each 100 values one has no room for a number, so that its block stays as it is. */
static struct slice make_value(uint64_t i, bool odd, uint8_t out[64])
{
    if (odd && i % 100 == 50) {
        return slice_of(out, i % 8);
    }
    memset(out, 'v', 64);
    put_le64(out + PLACE, 1700000000000000000 + 12345 * i);
    return slice_of(out, PLACE + 8 + i % 50);
}

static uint64_t write_table(const char *path, bool columns, bool odd, enum codec codec)
{
    struct error err = ERROR_INIT;
    struct table_writer_options options = fixture_options(path, codec);
    struct table_writer *writer = NULL;
    struct table_info info;
    options.columns = columns;
    options.number_place = PLACE;
    options.index_partition_bytes = 100; /* an index of two levels */
    assert_ok(table_writer_open(&options, &writer, &err), &err);
    for (uint64_t i = 0; i < ENTRIES; i++) {
        uint8_t key[16];
        uint8_t value[64] = {0};
        assert_ok(table_writer_add(writer, make_key(i, key), make_value(i, odd, value), &err),
                  &err);
    }
    assert_ok(table_writer_finish(writer, &info, &err), &err);
    uint64_t bytes = info.file_bytes;
    table_info_release(&info);
    return bytes;
}

static void assert_content(struct table *table, bool odd)
{
    struct error err = ERROR_INIT;
    struct iter *iter = NULL;
    assert_ok(table_verify(table, NULL, &err), &err);
    assert_ok(table_iter_new(table, NULL, &iter, &err), &err);
    iter_seek_to_first(iter);
    for (uint64_t i = 0; i < ENTRIES; i++) {
        uint8_t key[16];
        uint8_t value[64] = {0};
        assert_true(iter_valid(iter));
        assert_slice_equal(iter_key(iter), make_key(i, key));
        assert_slice_equal(iter_value(iter), make_value(i, odd, value));
        iter_next(iter);
    }
    assert_false(iter_valid(iter));
    for (uint64_t i = 0; i < ENTRIES; i += 37) {
        uint8_t key[16];
        iter_seek(iter, make_key(i, key));
        assert_true(iter_valid(iter));
        assert_slice_equal(iter_key(iter), make_key(i, key));
    }
    iter_close(iter);
}

static void test_columns_hold_what_rows_hold(void **state)
{
    struct temp_dir *dir = *state;
    for (int codec = 0; codec < 3; codec++) {
        const char *path = temp_dir_path(dir, codec == 0 ? "a" : codec == 1 ? "b" : "c");
        uint64_t bytes = write_table(path, true, false, (enum codec)codec);
        struct table *table = open_table(path);
        assert_true(table_get_info(table)->columns);
        assert_int_equal(table_get_info(table)->number_place, PLACE);
        assert_content(table, false);
        table_unref(table);
        path = temp_dir_path(dir, codec == 0 ? "d" : codec == 1 ? "e" : "f");
        assert_true(bytes < write_table(path, false, false, (enum codec)codec));
    }
}

static void test_blocks_of_another_shape_stay(void **state)
{
    struct temp_dir *dir = *state;
    const char *path = temp_dir_path(dir, "t");
    (void)write_table(path, true, true, CODEC_ZSTD);
    struct table *table = open_table(path);
    assert_content(table, true);
    table_unref(table);
}

/* A program that knows only rows must not take such a table for a damaged one. */
static void test_version(void **state)
{
    struct temp_dir *dir = *state;
    const char *path = temp_dir_path(dir, "t");
    struct error err = ERROR_INIT;
    struct buf bytes;
    (void)write_table(path, true, false, CODEC_ZSTD);
    read_bytes(path, &bytes);
    uint8_t *footer = bytes.data + bytes.length - TABLE_FOOTER_BYTES;
    assert_int_equal(get_le32(footer + 56), 2);
    struct table_footer decoded;
    assert_ok(table_footer_decode(footer, bytes.length, &decoded, &err), &err);
    assert_true(decoded.columns);
    buf_release(&bytes);
}

/* Blocks with changed bytes and good checksums are CORRUPT, or yield what they say. */
static void test_forged_columns_do_no_harm(void **state)
{
    struct temp_dir *dir = *state;
    const char *path = temp_dir_path(dir, "t");
    struct rng_seeded seeded;
    struct error err = ERROR_INIT;
    struct buf bytes;
    unsigned refused = 0;
    rng_seeded_init(&seeded, test_seed());
    (void)write_table(path, true, false, CODEC_NONE);
    read_bytes(path, &bytes);
    struct table *table = open_table(path);
    struct iter *iter = NULL;
    table_unref(table);
    for (int round = 0; round < 400; round++) {
        /* The first block: it ends where its checksum holds. */
        size_t end = TABLE_BLOCK_TRAILER_BYTES + 1;
        while (get_le32(bytes.data + end + 1) != table_block_checksum(slice_of(bytes.data, end),
                                                                      bytes.data[end],
                                                                      FIXTURE_FILE_NUMBER, 0)) {
            end++;
        }
        size_t at = (size_t)rng_below(&seeded.rng, round % 2 == 0 ? 16 : end);
        uint8_t kept = bytes.data[at];
        bytes.data[at] ^= (uint8_t)(1 + rng_below(&seeded.rng, 255));
        seal_block(&bytes, 0, end);
        write_bytes(fs_posix(), path, buf_slice(&bytes));
        table = open_table(path);
        assert_ok(table_iter_new(table, NULL, &iter, &err), &err);
        for (iter_seek_to_first(iter); iter_valid(iter); iter_next(iter)) {
        }
        refused += iter_status(iter, &err) == STATUS_CORRUPT;
        iter_close(iter);
        table_unref(table);
        bytes.data[at] = kept;
        seal_block(&bytes, 0, end);
    }
    assert_in_range(refused, 50, 399);
    buf_release(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_columns_hold_what_rows_hold, temp_dir_setup,
                                        temp_dir_teardown),
        cmocka_unit_test_setup_teardown(test_blocks_of_another_shape_stay, temp_dir_setup,
                                        temp_dir_teardown),
        cmocka_unit_test_setup_teardown(test_version, temp_dir_setup, temp_dir_teardown),
        cmocka_unit_test_setup_teardown(test_forged_columns_do_no_harm, temp_dir_setup,
                                        temp_dir_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
