/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib/test.h"

#include <errno.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/rng.h"

void test_assert_status(enum status status, enum status expected, const struct error *err,
                        const char *file, int line)
{
    if (status == expected) {
        return;
    }
    print_error("%s instead of %s: %s\n", status_name(status), status_name(expected),
                err == NULL || status == STATUS_OK ? "(no text)" : err->text);
    _assert_true(0, "status is as expected", file, line);
}

uint64_t test_seed(void)
{
    uint64_t seed = rng_u64(rng_system());
    const char *given = getenv("ESTREAT_SEED");
    if (given != NULL && given[0] != '\0') {
        char *end = NULL;
        errno = 0;
        seed = strtoull(given, &end, 10);
        if (errno != 0 || *end != '\0') {
            fail_msg("ESTREAT_SEED is not a number: %s", given);
        }
    }
    print_message("seed %llu\n", (unsigned long long)seed);
    return seed;
}

const char *test_source_path(char *out, const char *relative)
{
    const char *root = getenv("ESTREAT_SOURCE_DIR");
    if (root == NULL || root[0] == '\0') {
        root = ESTREAT_SOURCE_ROOT;
    }
    assert_ok(path_join(out, root, relative, NULL), NULL);
    return out;
}

bool test_data_path(char *out, const char *relative)
{
    char root[PATH_BYTES_MAX];
    assert_ok(path_join(out, test_source_path(root, "../shared/data"), relative, NULL), NULL);
    if (access(out, R_OK) != 0) {
        print_message("%s is not there: its cases are skipped\n", out);
        return false;
    }
    return true;
}
