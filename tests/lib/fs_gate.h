/* SPDX-License-Identifier: Apache-2.0
 *
 * Fs_gate: where calls of a file system stand until the test lets them through, so
 * that it can see what others do meanwhile. None stands for ever.
 *
 *   fs_gate_init(&gate, &faulty, FS_CALL_READ, ".table", 2);
 *   fs_gate_arm(&gate);
 *   ... start threads that read ...
 *   assert_true(fs_gate_wait(&gate));     two of them stand
 *   ...
 *   assert_true(fs_gate_open(&gate));     and stood until now
 *   ... end the threads ...
 *   fs_gate_release(&gate);
 */
#ifndef ESTREAT_TESTLIB_FS_GATE_H
#define ESTREAT_TESTLIB_FS_GATE_H

#include "testlib/fs_faulty.h"

struct fs_gate {
    enum fs_call call;
    const char *path_contains;
    unsigned count;
    struct mutex mutex;
    struct condition changed;
    /* under the mutex */
    pthread_t owner; /* who armed it */
    bool armed;
    unsigned standing; /* since it was armed */
    bool gave_up;
};

/* The first `count` calls of a kind, on paths with `path_contains` (borrowed) in them, are to
 * stand. Sets what `faulty` calls before each call, so nothing may have been called yet. */
void fs_gate_init(struct fs_gate *gate, struct fs_faulty *faulty, enum fs_call call,
                  const char *path_contains, unsigned count);
void fs_gate_release(struct fs_gate *gate);

/* From here on calls stand, but for those of the thread that calls this. Once. */
void fs_gate_arm(struct fs_gate *gate);

/* Waits until all of them stand. False: they did not within ten seconds. */
bool fs_gate_wait(struct fs_gate *gate);

/* Lets them through, and all that come. False: one stood for more than ten seconds, and went on by
 * itself: who was to let it through waits for it, perhaps. */
bool fs_gate_open(struct fs_gate *gate);

#endif
