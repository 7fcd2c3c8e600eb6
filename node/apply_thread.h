/* SPDX-License-Identifier: Apache-2.0
 *
 * Apply_thread: gives the applier its turns, on a thread of its own.
 */
#ifndef ESTREAT_NODE_APPLY_THREAD_H
#define ESTREAT_NODE_APPLY_THREAD_H

#include "node/applier.h"

struct apply_thread;

/* Borrows the applier. Returns owned. RESOURCE_EXHAUSTED without memory or thread. */
enum status apply_thread_start(struct alloc *alloc, struct applier *applier,
                               struct apply_thread **out, struct error *err) MUST_USE;

/* Applies what was submitted, and ends the thread; batches go back to the driver, which has ended.
 * NULL is allowed. */
void apply_thread_stop(struct apply_thread *thread);

#endif
