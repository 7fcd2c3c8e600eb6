/* SPDX-License-Identifier: Apache-2.0
 *
 * Test: cmocka with the headers it wants, and what most unit tests need. One thread.
 *
 *   assert_ok(wal_open(..., &err), &err);
 *   assert_status(wal_open(..., &err), STATUS_CORRUPT, &err);
 *   uint64_t seed = test_seed();      ESTREAT_SEED replays a run
 */
#ifndef ESTREAT_TESTLIB_TEST_H
#define ESTREAT_TESTLIB_TEST_H

/* cmocka.h wants these first, in this order. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <stdbool.h>

#include "base/status.h"

/* Fails the test, showing the error's text, unless `status` is OK (or the one expected). */
#define assert_ok(status, err) test_assert_status((status), STATUS_OK, (err), __FILE__, __LINE__)
#define assert_status(status, expected, err)                                                       \
    test_assert_status((status), (expected), (err), __FILE__, __LINE__)

void test_assert_status(enum status status, enum status expected, const struct error *err,
                        const char *file, int line);

/* ESTREAT_SEED if it is set, else a new number. Prints "seed N", so that a failure can be
 * replayed. */
uint64_t test_seed(void);

/* Path of a file of the project ("tests/golden/x"), from ESTREAT_SOURCE_DIR or the root that the
 * build knew, into out[PATH_BYTES_MAX]. Returns out. */
const char *test_source_path(char *out, const char *relative);

/* As test_source_path for data that lies beside the project and may be absent
 * ("merkle/inclusion"). False, and says so, if it is: the test then skips what needs it. */
bool test_data_path(char *out, const char *relative);

#endif
