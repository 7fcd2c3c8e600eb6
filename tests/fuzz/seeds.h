/* SPDX-License-Identifier: Apache-2.0
 *
 * Seeds: the inputs that a target's driver begins with: those that the target makes of golden files
 * (fuzz_seed), then the files of tests/fuzz/corpus/NAME, by name.
 *
 * What is in that corpus: inputs that libFuzzer found, few and short, which reach what all reached
 * and golden files do not (minutes.sh says how that is made), and such as once showed a bug.
 */
#ifndef ESTREAT_TESTS_FUZZ_SEEDS_H
#define ESTREAT_TESTS_FUZZ_SEEDS_H

#include "base/buf.h"

#define SEEDS_MAX 256U

struct seeds {
    struct buf of[SEEDS_MAX]; /* the golden ones first */
    unsigned golden;
    unsigned count;
};

/* Ends the process, and says why, if one is longer than FUZZ_INPUT_BYTES_MAX, if there are more
 * than SEEDS_MAX, or the corpus has none. */
void seeds_load(struct seeds *seeds, const char *target);
void seeds_release(struct seeds *seeds);

#endif
