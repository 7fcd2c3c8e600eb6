/* SPDX-License-Identifier: Apache-2.0
 *
 * Golden_block: the contents of a block of a golden table (tests/golden), for targets of blocks.
 */
#ifndef ESTREAT_TESTS_FUZZ_GOLDEN_BLOCK_H
#define ESTREAT_TESTS_FUZZ_GOLDEN_BLOCK_H

#include "base/buf.h"

enum golden_block { GOLDEN_INDEX, GOLDEN_PROPERTIES, GOLDEN_DATA /* the first one */ };

/* Appends the contents as they are stored: without the trailer, compressed if they are. Ends the
 * process if there is no such table. */
void golden_block(const char *table, enum golden_block which, struct buf *out);

#endif
