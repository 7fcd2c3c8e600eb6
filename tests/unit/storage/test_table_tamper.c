/* SPDX-License-Identifier: Apache-2.0
 *
 * The program estreat-tamper, which stands beside this test's folder in the build.
 */
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "table_file_fixture.h"

extern char **environ;

/* <build>/tests/unit_... finds <build>/bin/estreat-tamper. */
static void tamper_path(char out[PATH_BYTES_MAX])
{
    char self[PATH_BYTES_MAX] = {0};
    assert_true(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    for (int i = 0; i < 2; i++) {
        char *slash = strrchr(self, '/');
        assert_non_null(slash);
        *slash = '\0';
    }
    struct error err = ERROR_INIT;
    assert_ok(path_join(out, self, "bin/estreat-tamper", &err), &err);
}

/* Runs it with its output in the file `out`; returns the exit code. */
static int run_tamper(const char *out, const char *table, const char *option, const char *value)
{
    char program[PATH_BYTES_MAX];
    tamper_path(program);
    const char *arguments[] = {program, table, option, value, NULL};
    posix_spawn_file_actions_t actions;
    assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
    const int flags = O_WRONLY | O_CREAT | O_TRUNC;
    assert_int_equal(posix_spawn_file_actions_addopen(&actions, 1, out, flags, 0600), 0);
    pid_t pid = 0;
    assert_int_equal(posix_spawn(&pid, program, &actions, NULL, (char *const *)arguments, environ),
                     0);
    (void)posix_spawn_file_actions_destroy(&actions);
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void assert_output_is_hex(const char *out, struct slice key)
{
    struct buf text;
    read_bytes(out, &text);
    assert_int_equal(text.length, 2 * key.length + 1);
    char digits[3];
    for (size_t i = 0; i < key.length; i++) {
        (void)snprintf(digits, sizeof digits, "%02x", key.data[i]);
        assert_memory_equal(text.data + 2 * i, digits, 2);
    }
    buf_release(&text);
}

/* The index of the one entry whose value differs, in one byte. */
static size_t find_changed(const char *path, const struct reference *reference)
{
    struct error err = ERROR_INIT;
    struct table *table = open_table(path);
    assert_ok(table_verify(table, NULL, &err), &err);
    struct iter *iter = NULL;
    assert_ok(table_iter_new(table, NULL, &iter, &err), &err);
    size_t changed = SIZE_MAX;
    iter_seek_to_first(iter);
    for (size_t i = 0; i < reference->count; i++) {
        assert_true(iter_valid(iter));
        assert_slice_equal(iter_key(iter), reference->entries[i].key);
        struct slice value = iter_value(iter);
        struct slice original = reference->entries[i].value;
        assert_int_equal(value.length, original.length);
        size_t bytes = 0;
        for (size_t at = 0; at < value.length; at++) {
            bytes += value.data[at] != original.data[at] ? 1 : 0;
        }
        if (bytes > 0) {
            assert_int_equal(bytes, 1);
            assert_int_equal(changed, SIZE_MAX);
            changed = i;
        }
        iter_next(iter);
    }
    assert_false(iter_valid(iter));
    iter_close(iter);
    table_unref(table);
    return changed;
}

/* One byte of one value is changed, the file keeps number and size, and verifies. */
static void test_changes_one_byte_and_keeps_the_size(void **state)
{
    struct temp_dir *dir = *state;
    struct error err = ERROR_INIT;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    struct reference reference;
    reference_make(&reference, &seeded.rng, 500, 120);
    size_t given = 100;
    while (reference.entries[given].value.length < 40) {
        given++;
    }
    char number[24];
    (void)snprintf(number, sizeof number, "%zu", given);
    for (int codec = 0; codec < 3; codec++) {
        for (int with_entry = 0; with_entry < 2; with_entry++) {
            const char *path = temp_dir_path(dir, "table");
            const char *out = temp_dir_path(dir, "out");
            struct table_writer_options options = fixture_options(path, (enum codec)codec);
            struct table_info info;
            assert_ok(write_reference(&options, &reference, &info, &err), &err);
            int code = with_entry != 0 ? run_tamper(out, path, "--entry", number)
                                       : run_tamper(out, path, NULL, NULL);
            assert_int_equal(code, 0);
            size_t changed = find_changed(path, &reference);
            assert_true(changed < reference.count);
            assert_true(with_entry == 0 || changed == given);
            assert_output_is_hex(out, internal_key_user(reference.entries[changed].key));
            struct table *table = open_table(path);
            assert_int_equal(table_get_info(table)->file_bytes, info.file_bytes);
            assert_int_equal(table_get_info(table)->file_number, info.file_number);
            table_unref(table);
            table_info_release(&info);
            assert_ok(fs_unlink(fs_posix(), path, &err), &err);
        }
    }
    reference_release(&reference);
}

/* What it cannot do, it says by its exit code, and the table is as it was. */
static void test_refusals_leave_the_table(void **state)
{
    struct temp_dir *dir = *state;
    struct error err = ERROR_INIT;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    struct reference reference;
    reference_make(&reference, &seeded.rng, 50, 120);
    const char *path = temp_dir_path(dir, "table");
    const char *out = temp_dir_path(dir, "out");
    struct table_writer_options options = fixture_options(path, CODEC_LZ4);
    struct table_info info;
    assert_ok(write_reference(&options, &reference, &info, &err), &err);
    assert_int_equal(run_tamper(out, path, "--entry", "1000000"), 1);
    assert_int_equal(run_tamper(out, path, "--entry", "x"), 64);
    assert_int_equal(run_tamper(out, path, "--frobnicate", "1"), 64);
    assert_int_equal(run_tamper(out, temp_dir_path(dir, "absent"), NULL, NULL), 1);
    assert_int_equal(run_tamper(out, path, "--info", NULL), 0);
    assert_int_equal(find_changed(path, &reference), SIZE_MAX);
    table_info_release(&info);
    reference_release(&reference);
}

/* As the engine keeps a log file's lines: by position, behind random bytes, much alike. */
static void reference_make_log(struct reference *reference, struct rng *rng, size_t count)
{
    enum { RANDOM_BYTES = 48, ENTRY_BYTES = 160 };
    reference->entries = alloc_zeroed(alloc_default(), count, sizeof(struct entry));
    reference->memory = alloc_zeroed(alloc_default(), count, ENTRY_BYTES);
    reference->count = count;
    assert_non_null(reference->entries);
    assert_non_null(reference->memory);
    for (size_t i = 0; i < count; i++) {
        uint8_t user[8] = {[6] = (uint8_t)(i >> 8), [7] = (uint8_t)i};
        uint8_t *key = reference->memory + i * ENTRY_BYTES;
        size_t key_length = internal_key_put(key, slice_of(user, sizeof user), i, KEY_PUT);
        uint8_t *value = key + key_length;
        rng_fill(rng, value, RANDOM_BYTES);
        int text = snprintf((char *)value + RANDOM_BYTES, ENTRY_BYTES - RANDOM_BYTES - key_length,
                            "2005-06-09 06:07:%02zu status installed libc-bin:amd64 2.36", i % 60);
        assert_true(text > 0);
        reference->entries[i] =
            (struct entry){slice_of(key, key_length), slice_of(value, RANDOM_BYTES + (size_t)text)};
    }
}

/* It finds a byte to change also where nearly all of them repeat earlier ones, at the cost of
 * compressing blocks, not tables. */
static void test_finds_a_byte_in_a_large_table_of_a_log(void **state)
{
    struct temp_dir *dir = *state;
    struct error err = ERROR_INIT;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    struct reference reference;
    reference_make_log(&reference, &seeded.rng, 60000);
    const char *path = temp_dir_path(dir, "table");
    const char *out = temp_dir_path(dir, "out");
    struct table_writer_options options = fixture_options(path, CODEC_LZ4);
    options.block_bytes = (uint32_t)TABLE_BLOCK_BYTES_DEFAULT;
    struct table_info info;
    assert_ok(write_reference(&options, &reference, &info, &err), &err);
    assert_int_equal(run_tamper(out, path, "--byte", "-3"), 0);
    size_t changed = find_changed(path, &reference);
    assert_true(changed < reference.count);
    assert_output_is_hex(out, internal_key_user(reference.entries[changed].key));
    table_info_release(&info);
    reference_release(&reference);
}

#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, temp_dir_setup, temp_dir_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIR(test_changes_one_byte_and_keeps_the_size),
        IN_DIR(test_finds_a_byte_in_a_large_table_of_a_log),
        IN_DIR(test_refusals_leave_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
