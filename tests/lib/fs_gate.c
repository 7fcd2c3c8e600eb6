/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib/fs_gate.h"

#include <string.h>

#include "base/check.h"
#include "base/clock.h"

#define STAND_NS (10 * NS_PER_S)

static void stand(void *context, enum fs_call call, const char *path)
{
    struct fs_gate *gate = context;
    mutex_lock(&gate->mutex);
    if (gate->armed && gate->standing < gate->count && call == gate->call &&
        strstr(path, gate->path_contains) != NULL && !pthread_equal(pthread_self(), gate->owner)) {
        gate->standing++;
        condition_broadcast(&gate->changed);
        while (gate->armed && !gate->gave_up) {
            gate->gave_up = !condition_wait_for(&gate->changed, &gate->mutex, STAND_NS);
        }
    }
    mutex_unlock(&gate->mutex);
}

void fs_gate_init(struct fs_gate *gate, struct fs_faulty *faulty, enum fs_call call,
                  const char *path_contains, unsigned count)
{
    *gate = (struct fs_gate){.call = call, .path_contains = path_contains, .count = count};
    mutex_init(&gate->mutex);
    condition_init(&gate->changed);
    faulty->before = stand;
    faulty->context = gate;
}

void fs_gate_release(struct fs_gate *gate)
{
    condition_release(&gate->changed);
    mutex_release(&gate->mutex);
}

void fs_gate_arm(struct fs_gate *gate)
{
    mutex_lock(&gate->mutex);
    CHECK(gate->standing == 0);
    gate->owner = pthread_self();
    gate->armed = true;
    mutex_unlock(&gate->mutex);
}

bool fs_gate_wait(struct fs_gate *gate)
{
    mutex_lock(&gate->mutex);
    bool in_time = true;
    while (gate->standing < gate->count && in_time) {
        in_time = condition_wait_for(&gate->changed, &gate->mutex, STAND_NS);
    }
    bool all = gate->standing == gate->count && !gate->gave_up;
    mutex_unlock(&gate->mutex);
    return all;
}

bool fs_gate_open(struct fs_gate *gate)
{
    mutex_lock(&gate->mutex);
    gate->armed = false;
    bool gave_up = gate->gave_up;
    condition_broadcast(&gate->changed);
    mutex_unlock(&gate->mutex);
    return !gave_up;
}
