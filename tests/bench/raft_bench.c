/* SPDX-License-Identifier: Apache-2.0
 *
 * raft_bench: how many entries a second the Raft core takes through, on one thread, with storage
 * and network stubbed: what is to be stored is durable at once, a message is there at once, what
 * is committed is applied at once. An entry counts when the leader has committed and applied it;
 * its making, its bytes written once, and its freeing are measured as well.
 *
 *   leader alone   one core that leads three members; the others' acknowledgements are made here
 *   three cores    the leader's and both followers' work, one after another
 *
 *   raft_bench [ENTRIES [BYTES [GROUP]]]
 *       a run; its entries' bytes; how many are proposed between two readies, 0: several sizes
 *
 * Exits 1 if a leader alone takes less than 2,000,000 a second of CPU in groups of 16 or more.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/clock.h"
#include "raft/raft.h"

#define GOAL 2e6 /* entries a second, in groups of so many: */
#define GOAL_GROUP 16U

enum { MEMBERS = 3, LEADER = 1, ELECTION_TICKS = 10, GROUPS_PER_TICK = 1000 };

struct bench {
    struct raft *cores[MEMBERS + 1]; /* by id; NULL: answered here */
    uint64_t applied[MEMBERS + 1];
    bool leads;
    struct error err; /* one for all: making it costs as much as a message */
};

static void must(enum status status, const struct error *err)
{
    if (status != STATUS_OK) {
        fprintf(stderr, "%s: %s\n", status_name(status), err->text);
        exit(1);
    }
}

/* Of the calling thread. */
static uint64_t cpu_ns(void)
{
    struct timespec time;
    CHECK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time) == 0);
    return (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_nsec;
}

static void receive(struct bench *bench, const struct raft_message *message)
{
    must(raft_receive(bench->cores[message->to], message, &bench->err), &bench->err);
}

/* What a member without a core says to the leader. */
static void answer(struct bench *bench, const struct raft_message *message)
{
    struct raft_message reply = {.from = message->to, .to = message->from, .term = message->term};
    switch (message->type) {
    case RAFT_MESSAGE_APPEND:
        reply.type = RAFT_MESSAGE_APPEND_REPLY;
        reply.index = message->index + message->entry_count;
        reply.applied = message->commit < reply.index ? message->commit : reply.index;
        break;
    case RAFT_MESSAGE_HEARTBEAT:
        reply.type = RAFT_MESSAGE_HEARTBEAT_REPLY;
        reply.context = message->context;
        reply.applied = message->commit;
        break;
    case RAFT_MESSAGE_PRE_VOTE:
        reply.type = RAFT_MESSAGE_PRE_VOTE_REPLY;
        break;
    case RAFT_MESSAGE_VOTE:
        reply.type = RAFT_MESSAGE_VOTE_REPLY;
        break;
    default:
        CHECK(false); /* a leader of stubs has nothing else to say */
    }
    receive(bench, &reply);
}

static void carry_out(struct bench *bench, uint64_t id, const struct raft_ready *ready)
{
    struct raft *raft = bench->cores[id];
    for (size_t i = 0; i < ready->message_count; i++) {
        const struct raft_message *message = &ready->messages[i];
        if (bench->cores[message->to] != NULL) {
            receive(bench, message);
        } else {
            answer(bench, message);
        }
    }
    if (ready->has_hard_state) {
        must(raft_hard_state_stored(raft, ready->hard_state, &bench->err), &bench->err);
    }
    if (ready->entry_count > 0) {
        const struct raft_entry *last = ready->entries[ready->entry_count - 1];
        raft_stored(raft, ready->store_sequence, last->index, last->term);
    }
    if (ready->has_commit) {
        raft_applied(raft, ready->commit);
        bench->applied[id] = ready->commit;
    }
    if (ready->has_soft_state && id == LEADER) {
        bench->leads = ready->soft_state.role == RAFT_LEADER;
    }
    CHECK(ready->load_count == 0); /* nobody falls behind */
}

/* Until no core has anything to do. */
static void settle(struct bench *bench)
{
    bool more = true;
    while (more) {
        more = false;
        for (uint64_t id = 1; id <= MEMBERS; id++) {
            struct raft_ready ready;
            if (bench->cores[id] != NULL && raft_ready(bench->cores[id], &ready)) {
                carry_out(bench, id, &ready);
                more = true;
            }
        }
    }
}

static void tick(struct bench *bench)
{
    for (uint64_t id = 1; id <= MEMBERS; id++) {
        if (bench->cores[id] != NULL) {
            must(raft_tick(bench->cores[id], &bench->err), &bench->err);
        }
    }
    settle(bench);
}

static void propose(struct bench *bench, uint64_t number, uint32_t bytes)
{
    struct raft_entry *entry = raft_entry_new(alloc_default(), 0, 0, RAFT_ENTRY_DATA, bytes);
    CHECK(entry != NULL);
    memset(entry->data, (int)(number & 0xff), bytes);
    must(raft_propose(bench->cores[LEADER], entry, &bench->err), &bench->err);
}

static void open_cores(struct bench *bench, struct rng_seeded *rng, uint64_t count)
{
    struct raft_membership members = {.count = MEMBERS};
    for (uint64_t i = 0; i < MEMBERS; i++) {
        members.of[i] = (struct raft_member){.id = i + 1, .role = RAFT_VOTER};
    }
    struct buf membership;
    buf_init(&membership, alloc_default(), 4096);
    raft_membership_encode(&members, &membership);
    CHECK(!buf_failed(&membership));
    struct error err = ERROR_INIT;
    struct raft_options options = {
        .membership = buf_slice(&membership),
        .election_ticks = ELECTION_TICKS,
        .heartbeat_ticks = 1,
        .message_bytes_max = RAFT_MESSAGE_BYTES_DEFAULT,
        .inflight_bytes_max = RAFT_INFLIGHT_BYTES_DEFAULT,
        .inflight_messages_max = RAFT_INFLIGHT_MESSAGES_DEFAULT,
        .cache_bytes_max = RAFT_CACHE_BYTES_DEFAULT,
        .alloc = alloc_default(),
        .rng = &rng->rng,
    };
    for (uint64_t id = 1; id <= count; id++) {
        options.id = id;
        must(raft_new(&options, &bench->cores[id], &err), &err);
        raft_set_electable(bench->cores[id], id == LEADER);
    }
    buf_release(&membership);
    for (int i = 0; i < 2 * ELECTION_TICKS && !bench->leads; i++) {
        tick(bench);
    }
    CHECK(bench->leads);
}

/* Entries a second of CPU. */
static double run(const char *name, uint64_t core_count, uint64_t entries, uint32_t bytes,
                  uint64_t group)
{
    struct bench bench = {.err = ERROR_INIT};
    struct rng_seeded rng;
    rng_seeded_init(&rng, 1);
    open_cores(&bench, &rng, core_count);
    uint64_t before = bench.applied[LEADER];
    uint64_t began_ns = clock_monotonic_ns(clock_system());
    uint64_t began_cpu_ns = cpu_ns();
    uint64_t groups = entries / group;
    for (uint64_t i = 0; i < groups; i++) {
        for (uint64_t j = 0; j < group; j++) {
            propose(&bench, j, bytes);
        }
        settle(&bench);
        if (i % GROUPS_PER_TICK == 0) {
            tick(&bench);
        }
    }
    double cpu_s = (double)(cpu_ns() - began_cpu_ns) / 1e9;
    double wall_s = (double)(clock_monotonic_ns(clock_system()) - began_ns) / 1e9;
    double done = (double)(groups * group);
    printf("%s, %" PRIu32 " bytes, groups of %4" PRIu64 ": %5.2f M entries/s of CPU, %5.2f M/s of "
           "time\n",
           name, bytes, group, done / cpu_s / 1e6, done / wall_s / 1e6);
    CHECK(bench.applied[LEADER] == before + groups * group);
    tick(&bench);
    for (uint64_t id = 1; id <= core_count; id++) {
        CHECK(bench.applied[id] == bench.applied[LEADER]);
        raft_free(bench.cores[id]);
    }
    return done / cpu_s;
}

int main(int argc, char **argv)
{
    static const uint64_t groups[] = {1, 16, 64, 256, 1024};
    uint64_t entries = argc > 1 ? strtoull(argv[1], NULL, 10) : 4000000;
    uint32_t bytes = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 128;
    uint64_t one = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;
    bool reached = true;
    for (size_t i = 0; i < (one > 0 ? 1 : sizeof groups / sizeof *groups); i++) {
        uint64_t group = one > 0 ? one : groups[i];
        double alone = run("leader alone", 1, entries, bytes, group);
        reached = reached && (group < GOAL_GROUP || alone >= GOAL);
        (void)run("three cores ", MEMBERS, entries, bytes, group);
    }
    return reached ? 0 : 1;
}
