/* SPDX-License-Identifier: Apache-2.0 */
#include "node/reads.h"

#include "base/check.h"
#include "base/plant.h"

void reads_init(struct reads *reads, struct applied *applied)
{
    *reads = (struct reads){.applied = applied};
}

void reads_add(struct reads *reads, struct read_barrier *barrier)
{
    if (PLANTED(READ_LOCAL)) {
        barrier->ready(barrier, STATUS_OK, "");
        return;
    }
    barrier->round = 0;
    barrier->next = reads->waiting;
    reads->waiting = barrier;
    reads->any_new = true;
}

void reads_ask(struct reads *reads, struct raft *raft, uint64_t now_ns)
{
    if (!reads->any_new) {
        return;
    }
    struct error err = ERROR_INIT;
    if (raft_read(raft, reads->round + 1, &err) != STATUS_OK) {
        return; /* no leader yet, or too many rounds: reads_tick asks again */
    }
    reads->round++;
    reads->any_new = false;
    for (struct read_barrier *barrier = reads->waiting; barrier != NULL; barrier = barrier->next) {
        if (barrier->round == 0) {
            barrier->round = reads->round;
            barrier->asked_ns = now_ns;
        }
    }
}

static void on_applied(struct applied_wait *wait, enum status status)
{
    struct read_barrier *barrier =
        (struct read_barrier *)(void *)((char *)wait - offsetof(struct read_barrier, wait));
    barrier->ready(barrier, status,
                   status == STATUS_CANCELLED ? "the node is stopping"
                                              : "the node did not catch up in time");
}

void reads_answer(struct reads *reads, const struct raft_read_state *state)
{
    struct read_barrier **link = &reads->waiting;
    while (*link != NULL) {
        struct read_barrier *barrier = *link;
        if (barrier->round != state->context) {
            link = &barrier->next;
            continue;
        }
        if (!state->ok) {
            barrier->round = 0; /* the leader changed: another round */
            reads->any_new = true;
            link = &barrier->next;
            continue;
        }
        *link = barrier->next;
        barrier->wait = (struct applied_wait){.kind = APPLIED_INDEX,
                                              .target = state->index,
                                              .deadline_ns = barrier->deadline_ns,
                                              .ready = on_applied};
        applied_wait(reads->applied, &barrier->wait);
    }
}

void reads_tick(struct reads *reads, uint64_t now_ns, uint64_t patience_ns)
{
    struct read_barrier **link = &reads->waiting;
    while (*link != NULL) {
        struct read_barrier *barrier = *link;
        if (barrier->deadline_ns <= now_ns) {
            *link = barrier->next;
            barrier->ready(barrier, STATUS_UNAVAILABLE, "no leader answered in time");
            continue;
        }
        if (barrier->round != 0 && now_ns - barrier->asked_ns > patience_ns) {
            barrier->round = 0;
        }
        reads->any_new = reads->any_new || barrier->round == 0;
        link = &barrier->next;
    }
}

void reads_close(struct reads *reads)
{
    while (reads->waiting != NULL) {
        struct read_barrier *barrier = reads->waiting;
        reads->waiting = barrier->next;
        barrier->ready(barrier, STATUS_UNAVAILABLE, "the node is stopping");
    }
}
