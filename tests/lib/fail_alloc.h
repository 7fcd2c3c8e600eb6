/* SPDX-License-Identifier: Apache-2.0
 *
 * Fail_alloc: an allocator that fails at the n-th allocation and counts what was
 * not freed. Memory that it did not give out, or that was freed twice, stops the
 * test. Thread-safe but for init and release.
 *
 *   struct fail_alloc fail;
 *   fail_alloc_init(&fail);
 *   for (uint64_t n = 0;; n++) {
 *       fail_alloc_arm(&fail, n);
 *       enum status status = thing_open(&fail.alloc, &thing, NULL);
 *       if (!fail_alloc_hit(&fail)) { assert_ok(...); thing_close(thing); break; }
 *       assert_status(status, STATUS_RESOURCE_EXHAUSTED, NULL);
 *       assert_int_equal(fail_alloc_blocks(&fail), 0);
 *   }
 *   fail_alloc_release(&fail);
 */
#ifndef ESTREAT_TESTLIB_FAIL_ALLOC_H
#define ESTREAT_TESTLIB_FAIL_ALLOC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/alloc.h"

#define FAIL_ALLOC_NEVER UINT64_MAX

struct fail_alloc {
    struct alloc alloc; /* pass &fail.alloc */
    _Atomic uint64_t calls;
    _Atomic uint64_t blocks;
    _Atomic uint64_t bytes;
    _Atomic uint64_t bytes_most;
    _Atomic uint64_t fail_at;
    _Atomic bool fail_after; /* set after arming: all later allocations fail too */
};

/* Fails nothing until armed. */
void fail_alloc_init(struct fail_alloc *fail);

/* Stops the test if a block was not freed. */
void fail_alloc_release(struct fail_alloc *fail);

/* The n-th allocation or growth from now on (from 0) fails, FAIL_ALLOC_NEVER none. */
void fail_alloc_arm(struct fail_alloc *fail, uint64_t n);

/* True if an allocation failed since the last arming. */
bool fail_alloc_hit(struct fail_alloc *fail);

/* Blocks and bytes given out and not freed; the most bytes at any time. */
uint64_t fail_alloc_blocks(struct fail_alloc *fail);
uint64_t fail_alloc_bytes(struct fail_alloc *fail);
uint64_t fail_alloc_bytes_most(struct fail_alloc *fail);

#endif
