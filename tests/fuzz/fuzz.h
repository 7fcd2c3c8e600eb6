/* SPDX-License-Identifier: Apache-2.0
 *
 * Fuzz: what a fuzz target is. Each takes any bytes and returns; what must not be ends the
 * process: a CHECK, a sanitizer.
 *
 * An input's first byte says whether its checksums are made good first: mutated bytes do
 * not pass them, and what lies behind would never be seen.
 *
 * Two programs are made of a target: fuzz_NAME with libFuzzer, where the build has it
 * (preset fuzz), and NAME_driver, which has a small mutator of its own and runs in the tests.
 */
#ifndef ESTREAT_TESTS_FUZZ_FUZZ_H
#define ESTREAT_TESTS_FUZZ_FUZZ_H

#include "base/buf.h"
#include "base/check.h"

/* The longest input; "NAME_driver --bytes-max" tells it to minutes.sh. The longest golden file that
 * a target begins with takes 15,174: libFuzzer would cut longer ones. */
#define FUZZ_INPUT_BYTES_MAX 16384UL

/* The target, by the name that libFuzzer wants. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Appends the n-th input to begin with to `out`; false: there are no more. */
bool fuzz_seed(unsigned n, struct buf *out);

/* --- for targets ----------------------------------------------------------------------------- */

/* Fails above 1 MiB, so that lengths that bytes claim are seen to fail, and cost nothing. */
struct alloc *fuzz_alloc(void);

/* As the default one, but large pieces, through which files are read, are kept and given out again:
 * a sanitizer takes longer to map them than all the rest takes. */
struct alloc *fuzz_window_alloc(void);

/* The root of the sources: $ESTREAT_SOURCE_DIR, or where this was built. */
const char *fuzz_source_dir(void);

/* Appends a golden file, "store_v1/CURRENT". Ends the process if it is not there. */
void fuzz_golden(const char *name, struct buf *out);

static inline bool fuzz_is_sealed(struct slice input)
{
    return input.length > 0 && (input.data[0] & 1) != 0;
}

#endif
