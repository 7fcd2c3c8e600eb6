/* SPDX-License-Identifier: Apache-2.0
 *
 * Flip: one bit of a file changed, as a disk may; a second time, and it is right again.
 */
#ifndef ESTREAT_TESTLIB_FLIP_H
#define ESTREAT_TESTLIB_FLIP_H

#include "base/fs.h"

/* The lowest bit of the byte at `offset`, which must be there; synced. Fails the test otherwise. */
void flip_bit(struct fs *fs, const char *path, uint64_t offset);

#endif
