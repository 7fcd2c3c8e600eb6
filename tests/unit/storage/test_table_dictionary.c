/* SPDX-License-Identifier: Apache-2.0
 *
 * Tables with a dictionary of their own: kept where it pays and only there.
 */
#include "storage/table/held_blocks.h"
#include "table_file_fixture.h"
#include "testlib/fail_alloc.h"

enum { ENTRIES = 6000, VALUE_BYTES = 100 };

static size_t entry_key(uint64_t i, uint8_t *to)
{
    uint8_t user[8];
    put_be64(user, i);
    return internal_key_put(to, slice_of(user, sizeof user), 1000 + i, KEY_PUT);
}

/* Lines: alike from block to block, or random bytes. */
static size_t entry_value(uint64_t i, bool lines, uint8_t *to)
{
    static const char *const verbs[] = {"accepted password for", "connection closed by",
                                        "session opened for user", "received disconnect from"};
    struct rng_seeded rng;
    rng_seeded_init(&rng, i);
    if (!lines) {
        rng_fill(&rng.rng, to, VALUE_BYTES);
        return VALUE_BYTES;
    }
    return (size_t)snprintf((char *)to, VALUE_BYTES, "host-%u sshd[%u]: %s 10.%u.%u.7 port %u ssh2",
                            (unsigned)rng_below(&rng.rng, 9), (unsigned)rng_below(&rng.rng, 30000),
                            verbs[rng_below(&rng.rng, 4)], (unsigned)rng_below(&rng.rng, 200),
                            (unsigned)rng_below(&rng.rng, 200),
                            (unsigned)rng_below(&rng.rng, 60000));
}

static enum status add_all(struct table_writer *writer, uint64_t entries, bool lines,
                           struct error *err)
{
    for (uint64_t i = 0; i < entries; i++) {
        uint8_t key[32];
        uint8_t value[VALUE_BYTES];
        size_t key_length = entry_key(i, key);
        size_t value_length = entry_value(i, lines, value);
        enum status status =
            table_writer_add(writer, slice_of(key, key_length), slice_of(value, value_length), err);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

static struct table_writer_options options_of(const char *path, uint32_t dictionary_bytes)
{
    struct table_writer_options options = fixture_options(path, CODEC_ZSTD);
    options.dictionary_bytes = dictionary_bytes;
    options.index_partition_bytes = 200; /* an index of two levels */
    return options;
}

/* Returns the file's length. */
static uint64_t write_table(const struct table_writer_options *options, uint64_t entries,
                            bool lines)
{
    struct error err = ERROR_INIT;
    struct table_writer *writer = NULL;
    struct table_info info;
    assert_ok(table_writer_open(options, &writer, &err), &err);
    assert_ok(add_all(writer, entries, lines, &err), &err);
    assert_ok(table_writer_finish(writer, &info, &err), &err);
    uint64_t bytes = info.file_bytes;
    table_info_release(&info);
    return bytes;
}

static void assert_content(struct table *table, uint64_t entries, bool lines)
{
    struct error err = ERROR_INIT;
    struct iter *iter = NULL;
    struct buf found;
    uint64_t count = 0;
    assert_ok(table_verify(table, NULL, &err), &err);
    assert_ok(table_iter_new(table, NULL, &iter, &err), &err);
    for (iter_seek_to_first(iter); iter_valid(iter); iter_next(iter)) {
        uint8_t key[32];
        uint8_t value[VALUE_BYTES];
        assert_slice_equal(iter_key(iter), slice_of(key, entry_key(count, key)));
        assert_slice_equal(iter_value(iter), slice_of(value, entry_value(count, lines, value)));
        count++;
    }
    assert_ok(iter_status(iter, &err), &err);
    assert_int_equal(count, entries);
    iter_close(iter);
    buf_init(&found, alloc_default(), 1024);
    for (uint64_t i = 0; i < entries; i += 97) {
        uint8_t key[32];
        uint8_t value[VALUE_BYTES];
        enum lookup result = LOOKUP_ABSENT;
        size_t length = entry_key(i, key);
        assert_ok(table_get(table, internal_key_user(slice_of(key, length)), SEQUENCE_MAX, NULL,
                            &result, &found, &err),
                  &err);
        assert_int_equal(result, LOOKUP_FOUND);
        assert_slice_equal(buf_slice(&found), slice_of(value, entry_value(i, lines, value)));
    }
    buf_release(&found);
}

/* Where blocks have much in common a table has a dictionary, is smaller for it and needs nothing
 * but itself; also with columns, and if fewer blocks came than are waited for. */
static void test_it_pays(void **state)
{
    struct temp_dir *dir = *state;
    static const uint64_t entries[] = {ENTRIES, 3 * ENTRIES};
    static const char *const names[][2] = {{"a", "b"}, {"c", "d"}, {"e", "f"}, {"g", "h"}};
    for (size_t i = 0; i < 4; i++) {
        struct table_writer_options plain = options_of(temp_dir_path(dir, names[i][0]), 0);
        struct table_writer_options with = options_of(temp_dir_path(dir, names[i][1]), 8192);
        plain.columns = with.columns = i >= 2;
        uint64_t before = write_table(&plain, entries[i % 2], true);
        uint64_t after = write_table(&with, entries[i % 2], true);
        assert_true(after * 10 < before * 9);
        struct table *table = open_table(with.path);
        uint32_t dictionary = table_get_info(table)->dictionary_bytes;
        assert_true(dictionary >= CODEC_DICTIONARY_BYTES_MIN && dictionary <= 8192);
        assert_true(table_pinned_bytes(table) > dictionary);
        assert_content(table, entries[i % 2], true);
        table_unref(table);
    }
    assert_true(3 * ENTRIES * 60 > HELD_BYTES_MAX); /* the longer ones decide before their end */
}

/* Where they have not, and where there is little of them, there is none, and the file is the very
 * one that it would be if none had been asked for. */
static void test_it_does_not_pay(void **state)
{
    struct temp_dir *dir = *state;
    static const struct {
        uint64_t entries;
        bool lines;
    } cases[] = {{ENTRIES, false}, {3 * ENTRIES, false}, {10, true}, {100, true}};
    static const char *const names[][2] = {{"a", "b"}, {"c", "d"}, {"e", "f"}, {"g", "h"}};
    for (size_t i = 0; i < 4; i++) {
        struct table_writer_options plain = options_of(temp_dir_path(dir, names[i][0]), 0);
        struct table_writer_options with = options_of(temp_dir_path(dir, names[i][1]), 8192);
        struct buf bytes[2];
        (void)write_table(&plain, cases[i].entries, cases[i].lines);
        (void)write_table(&with, cases[i].entries, cases[i].lines);
        read_bytes(plain.path, &bytes[0]);
        read_bytes(with.path, &bytes[1]);
        assert_slice_equal(buf_slice(&bytes[0]), buf_slice(&bytes[1]));
        buf_release(&bytes[0]);
        buf_release(&bytes[1]);
    }
}

static void test_settings_are_checked(void **state)
{
    struct temp_dir *dir = *state;
    struct error err = ERROR_INIT;
    struct table_writer_options wrong[] = {
        options_of(temp_dir_path(dir, "t"), CODEC_DICTIONARY_BYTES_MIN - 1),
        options_of(temp_dir_path(dir, "t"), CODEC_DICTIONARY_BYTES_MAX + 1),
        options_of(temp_dir_path(dir, "t"), 8192),
    };
    wrong[2].codec = CODEC_LZ4;
    struct table_writer *writer = NULL;
    for (size_t i = 0; i < 3; i++) {
        assert_status(table_writer_open(&wrong[i], &writer, &err), STATUS_INVALID_ARGUMENT, &err);
    }
}

/* Any flipped bit of the dictionary's block, its trailer, or the footer's word about it is found
 * when the table is opened, and the error names the file. With the checksum made good, a changed
 * dictionary may be refused or not, but does no harm. */
static void test_damage_is_found(void **state)
{
    struct temp_dir *dir = *state;
    struct table_writer_options options = options_of(temp_dir_path(dir, "t"), 4096);
    (void)write_table(&options, ENTRIES, true);
    struct buf bytes;
    struct table_footer footer;
    struct error err = ERROR_INIT;
    read_bytes(options.path, &bytes);
    size_t footer_at = bytes.length - TABLE_FOOTER_BYTES;
    assert_ok(table_footer_decode(bytes.data + footer_at, bytes.length, &footer, &err), &err);
    assert_true(footer.dictionary.length > TABLE_BLOCK_TRAILER_BYTES);
    assert_int_equal(footer.dictionary.offset + footer.dictionary.length, footer.filter.offset);
    struct rng_seeded rng;
    rng_seeded_init(&rng, test_seed());
    size_t begin = (size_t)footer.dictionary.offset;
    size_t length = (size_t)footer.dictionary.length;
    for (int i = 0; i < 400; i++) {
        size_t at = i % 8 == 0 ? footer_at + 64 + (size_t)rng_below(&rng.rng, 4)
                               : begin + (size_t)rng_below(&rng.rng, length);
        uint8_t bit = (uint8_t)(1U << rng_below(&rng.rng, 8));
        bool sealed = i % 2 == 1 && at < begin + length - TABLE_BLOCK_TRAILER_BYTES;
        struct buf copy;
        struct table *table = NULL;
        buf_init(&copy, alloc_default(), 1UL << 26);
        buf_append_slice(&copy, buf_slice(&bytes));
        copy.data[at] ^= bit;
        if (sealed) {
            seal_block(&copy, begin, length - TABLE_BLOCK_TRAILER_BYTES);
        }
        write_bytes(fs_posix(), options.path, buf_slice(&copy));
        struct table_open_options open = open_options(options.path);
        enum status status = table_open(&open, &table, &err);
        if (status == STATUS_OK) {
            assert_true(sealed);
            (void)!table_verify(table, NULL, &err);
            table_unref(table);
        } else {
            assert_true(status == STATUS_CORRUPT ||
                        (sealed && status == STATUS_RESOURCE_EXHAUSTED));
            assert_non_null(strstr(err.text, options.path));
        }
        buf_release(&copy);
    }
    buf_release(&bytes);
}

/* Each failing allocation is an error, nothing leaks and no file stays. */
static void test_failures_are_said(void **state)
{
    struct temp_dir *dir = *state;
    struct table_writer_options options = options_of(temp_dir_path(dir, "t"), 4096);
    struct fail_alloc fail;
    fail_alloc_init(&fail);
    options.alloc = &fail.alloc;
    uint64_t failures = 0;
    enum status status = STATUS_RESOURCE_EXHAUSTED;
    while (status != STATUS_OK) {
        struct error err = ERROR_INIT;
        struct table_writer *writer = NULL;
        struct table_info info;
        bool exists = true;
        fail_alloc_arm(&fail, failures);
        status = table_writer_open(&options, &writer, &err);
        if (status == STATUS_OK) {
            (void)!add_all(writer, 1500, true, &err); /* sticky: finish says it again */
            status = table_writer_finish(writer, &info, &err);
        }
        if (status == STATUS_OK) {
            assert_true(info.dictionary_bytes > 0);
            table_info_release(&info);
            break;
        }
        assert_int_equal(status, STATUS_RESOURCE_EXHAUSTED);
        assert_ok(fs_exists(fs_posix(), options.path, &exists, &err), &err);
        assert_false(exists);
        failures++;
    }
    assert_true(failures > 20);
    fail_alloc_release(&fail);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, temp_dir_setup, temp_dir_teardown)
        IN_DIR(test_it_pays),
        IN_DIR(test_it_does_not_pay),
        IN_DIR(test_settings_are_checked),
        IN_DIR(test_damage_is_found),
        IN_DIR(test_failures_are_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
