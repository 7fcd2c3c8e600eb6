/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tests of a leader's duties share: one Raft core, of node n1, that leads voters and
 * learners which are played here. Its disk is instant; the others store and answer at once whatever
 * comes, unless they are silent, and have applied as much as the test says. One thread; nothing
 * happens but in core_settle().
 */
#ifndef ESTREAT_TESTS_LEADING_CORE_H
#define ESTREAT_TESTS_LEADING_CORE_H

#include "testlib/test.h"

#include <stdio.h>

#include "node/members.h"
#include "raft/raft.h"

#define CORE_MEMBERS 3U
#define CORE_MESSAGES_MAX 256U

struct leading_core {
    struct config config;
    struct members members;
    struct rng_seeded rng;
    struct raft *raft;
    uint64_t id[CORE_MEMBERS]; /* of n1, n2, n3 */
    bool silent[CORE_MEMBERS];
    uint64_t applied[CORE_MEMBERS]; /* as n2 and n3 say */
    uint64_t commit;
};

static inline void core_receive(struct leading_core *core, const struct raft_message *message)
{
    struct error err = ERROR_INIT;
    assert_ok(raft_receive(core->raft, message, &err), &err);
}

/* What n2 or n3 answers to a message. */
static inline void core_answer(struct leading_core *core, unsigned member,
                               const struct raft_message *asked)
{
    struct raft_message reply = {.from = core->id[member],
                                 .to = core->id[0],
                                 .term = asked->term,
                                 .applied = core->applied[member],
                                 .context = asked->context};
    switch (asked->type) {
    case RAFT_MESSAGE_PRE_VOTE:
        reply.type = RAFT_MESSAGE_PRE_VOTE_REPLY;
        break;
    case RAFT_MESSAGE_VOTE:
        reply.type = RAFT_MESSAGE_VOTE_REPLY;
        break;
    case RAFT_MESSAGE_APPEND:
        reply.type = RAFT_MESSAGE_APPEND_REPLY;
        reply.index = asked->index + asked->entry_count;
        reply.context = 0;
        break;
    case RAFT_MESSAGE_HEARTBEAT:
        reply.type = RAFT_MESSAGE_HEARTBEAT_REPLY;
        break;
    default:
        return;
    }
    core_receive(core, &reply);
}

/* Until nothing is left to do. */
static inline void core_settle(struct leading_core *core)
{
    static struct raft_message messages[CORE_MESSAGES_MAX];
    struct error err = ERROR_INIT;
    struct raft_ready ready;
    while (raft_ready(core->raft, &ready)) {
        size_t count = ready.message_count;
        assert_true(count <= CORE_MESSAGES_MAX);
        for (size_t i = 0; i < count; i++) {
            messages[i] = ready.messages[i];
            messages[i].entries = NULL; /* only their number is of interest */
        }
        core->commit = ready.has_commit ? ready.commit : core->commit;
        if (ready.has_hard_state) {
            assert_ok(raft_hard_state_stored(core->raft, ready.hard_state, &err), &err);
        }
        if (ready.entry_count > 0) {
            const struct raft_entry *last = ready.entries[ready.entry_count - 1];
            raft_stored(core->raft, ready.store_sequence, last->index, last->term);
        }
        for (size_t i = 0; i < count; i++) {
            for (unsigned member = 1; member < CORE_MEMBERS; member++) {
                if (messages[i].to == core->id[member] && !core->silent[member]) {
                    core_answer(core, member, &messages[i]);
                }
            }
        }
    }
}

static inline void core_tick(struct leading_core *core)
{
    struct error err = ERROR_INIT;
    assert_ok(raft_tick(core->raft, &err), &err);
    core_settle(core);
}

/* n1 leads when this returns. n2 is a voter; so is n3, or it is a learner. */
static inline void core_open(struct leading_core *core, bool learner)
{
    struct error err = ERROR_INIT;
    struct member_names names = {.count = learner ? 2 : 3};
    struct buf bytes;
    struct buf with_learner;
    struct raft_membership membership;
    struct raft_status status;
    *core = (struct leading_core){.config = {.member_count = CORE_MEMBERS, .election_ms = 600}};
    (void)snprintf(core->config.node_id, sizeof core->config.node_id, "n1");
    for (unsigned i = 0; i < CORE_MEMBERS; i++) {
        struct config_member *member = &core->config.members[i];
        (void)snprintf(member->id, sizeof member->id, "n%u", i + 1);
        (void)snprintf(member->client, sizeof member->client, "127.0.0.1:%u", i + 1);
        (void)snprintf(member->peer, sizeof member->peer, "127.0.0.1:%u", i + 11);
        (void)snprintf(names.of[i], sizeof names.of[i], "n%u", i + 1);
        core->id[i] = raft_id_of(member->id);
    }
    buf_init(&bytes, alloc_default(), MEMBERSHIP_BYTES_MAX);
    buf_init(&with_learner, alloc_default(), MEMBERSHIP_BYTES_MAX);
    assert_ok(members_encode(&names, &core->config, &bytes, &err), &err);
    if (learner) {
        struct buf info;
        buf_init(&info, alloc_default(), MEMBERSHIP_BYTES_MAX);
        member_info_encode(&core->config.members[2], &info);
        assert_ok(raft_membership_decode(buf_slice(&bytes), &membership, &err), &err);
        assert_ok(
            raft_membership_add(&membership, core->id[2], buf_slice(&info), &with_learner, &err),
            &err);
        buf_release(&info);
    }
    rng_seeded_init(&core->rng, 1);
    const struct raft_options options = {
        .id = core->id[0],
        .membership = learner ? buf_slice(&with_learner) : buf_slice(&bytes),
        .election_ticks = 30,
        .heartbeat_ticks = 5,
        .message_bytes_max = RAFT_MESSAGE_BYTES_DEFAULT,
        .inflight_bytes_max = RAFT_INFLIGHT_BYTES_DEFAULT,
        .inflight_messages_max = RAFT_INFLIGHT_MESSAGES_DEFAULT,
        .cache_bytes_max = RAFT_CACHE_BYTES_DEFAULT,
        .alloc = alloc_default(),
        .rng = &core->rng.rng,
    };
    assert_ok(raft_new(&options, &core->raft, &err), &err);
    buf_release(&bytes);
    buf_release(&with_learner);
    for (unsigned i = 0; i < 100; i++) {
        core_tick(core);
    }
    raft_status(core->raft, &status);
    assert_int_equal(status.role, RAFT_LEADER);
    assert_int_equal(core->commit, status.last_index);
    raft_applied(core->raft, core->commit);

    struct raft_peer peers[RAFT_PEERS_MAX];
    uint64_t index = 0;
    size_t count = raft_peers(core->raft, peers, RAFT_PEERS_MAX);
    const struct raft_membership *now = raft_members_now(core->raft, &index);
    members_fill(&core->members, now, index, peers, count, &core->config);
    assert_int_equal(core->members.count, CORE_MEMBERS);
}

static inline void core_close(struct leading_core *core)
{
    raft_free(core->raft);
}

#endif
