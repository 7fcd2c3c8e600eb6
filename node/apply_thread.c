/* SPDX-License-Identifier: Apache-2.0 */
#include "node/apply_thread.h"

#include "base/sync.h"

struct apply_thread {
    struct alloc *alloc;
    struct applier *applier;
    pthread_t thread;
};

static void *run(void *context)
{
    struct apply_thread *thread = context;
    do {
        applier_wait(thread->applier);
    } while (applier_turn(thread->applier));
    return NULL;
}

enum status apply_thread_start(struct alloc *alloc, struct applier *applier,
                               struct apply_thread **out, struct error *err)
{
    struct apply_thread *thread = alloc_zeroed(alloc, 1, sizeof *thread);
    if (thread == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for the applier's thread");
    }
    thread->alloc = alloc;
    thread->applier = applier;
    if (!thread_start(&thread->thread, "apply", run, thread)) {
        alloc_free(alloc, thread);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no thread for the applier");
    }
    *out = thread;
    return STATUS_OK;
}

void apply_thread_stop(struct apply_thread *thread)
{
    if (thread == NULL) {
        return;
    }
    applier_ask_to_stop(thread->applier);
    thread_join(thread->thread);
    alloc_free(thread->alloc, thread);
}
