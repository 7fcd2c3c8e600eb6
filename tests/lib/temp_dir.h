/* SPDX-License-Identifier: Apache-2.0
 *
 * Temp_dir: a directory of the test's own that is gone afterwards.
 *
 *   struct temp_dir dir;
 *   temp_dir_init(&dir);
 *   const char *path = temp_dir_path(&dir, "data");    <dir>/data
 *   temp_dir_release(&dir);
 *
 * Or as a cmocka fixture, with a new directory for each case:
 *   cmocka_unit_test_setup_teardown(test_x, temp_dir_setup, temp_dir_teardown)
 *   struct temp_dir *dir = *state;
 */
#ifndef ESTREAT_TESTLIB_TEMP_DIR_H
#define ESTREAT_TESTLIB_TEMP_DIR_H

#include "base/fs.h"

struct temp_dir {
    char path[PATH_BYTES_MAX];
    char joined[4][PATH_BYTES_MAX]; /* temp_dir_path()'s */
    unsigned next;
};

/* Below $TMPDIR, else /tmp. Stops the test if it cannot be made. */
void temp_dir_init(struct temp_dir *dir);

/* Removes it with all that it holds. */
void temp_dir_release(struct temp_dir *dir);

/* <dir>/<name>; valid until the fourth next call. */
const char *temp_dir_path(struct temp_dir *dir, const char *name);

int temp_dir_setup(void **state);
int temp_dir_teardown(void **state);

#endif
