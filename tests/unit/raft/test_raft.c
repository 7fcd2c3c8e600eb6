/* SPDX-License-Identifier: Apache-2.0
 *
 * The calls of raft.h against their contract, and the log and the quorums against the simplest
 * thing that does the same.
 */
#include "base/rng.h"
#include "cluster.h"
#include "raft/log.h"
#include "raft/progress.h"
#include "testlib/fail_alloc.h"

#define MODEL_ROUNDS 300U
#define MODEL_STEPS 200U
#define MODEL_MAX 1000U

/* Of voters 1 to `count`. */
static struct raft_options options_of(struct alloc *alloc, size_t count, struct rng *rng)
{
    return (struct raft_options){
        .id = 1,
        .membership = voters_up_to(count),
        .election_ticks = 10,
        .heartbeat_ticks = 2,
        .message_bytes_max = RAFT_MESSAGE_BYTES_DEFAULT,
        .inflight_bytes_max = RAFT_INFLIGHT_BYTES_DEFAULT,
        .inflight_messages_max = RAFT_INFLIGHT_MESSAGES_DEFAULT,
        .cache_bytes_max = RAFT_CACHE_BYTES_DEFAULT,
        .alloc = alloc,
        .rng = rng,
    };
}

static void refused(struct raft_options options, enum status expected)
{
    struct raft *raft = NULL;
    struct error err = ERROR_INIT;
    assert_status(raft_new(&options, &raft, &err), expected, &err);
    assert_null(raft);
    assert_true(err.text[0] != '\0');
}

/* Options that cannot work are refused with a text. */
static void test_options_are_checked(void **state)
{
    (void)state;
    struct rng_seeded rng;
    rng_seeded_init(&rng, 1);
    const struct raft_options good = options_of(alloc_default(), 3, &rng.rng);
    struct raft_options bad;
#define REFUSED(field, value)                                                                      \
    bad = good;                                                                                    \
    bad.field = (value);                                                                           \
    refused(bad, STATUS_INVALID_ARGUMENT)
    REFUSED(id, 0);
    REFUSED(election_ticks, 2);
    REFUSED(heartbeat_ticks, 0);
    REFUSED(message_bytes_max, 0);
    REFUSED(inflight_bytes_max, 0);
    REFUSED(inflight_messages_max, 0);
    REFUSED(inflight_messages_max, 5000);
#undef REFUSED
    bad = good;
    bad.membership = slice_of_string("nonsense");
    refused(bad, STATUS_CORRUPT);
}

/* Recovered values that contradict each other come from a damaged disk: DATA_LOSS. */
static void test_recovered_state_is_checked(void **state)
{
    (void)state;
    struct rng_seeded rng;
    rng_seeded_init(&rng, 1);
    struct raft_options good = options_of(alloc_default(), 3, &rng.rng);
    struct raft_term_run runs[] = {{6, 2}, {8, 4}};
    good.hard_state = (struct raft_hard_state){.term = 4};
    good.snapshot_index = 5;
    good.snapshot_term = 2;
    good.applied_index = 7;
    good.last_index = 9;
    good.runs = runs;
    good.run_count = 2;
    struct raft *raft = NULL;
    struct error err = ERROR_INIT;
    assert_ok(raft_new(&good, &raft, &err), &err);
    uint64_t term = 0;
    assert_true(raft_term_at(raft, 5, &term) && term == 2);
    assert_true(raft_term_at(raft, 7, &term) && term == 2);
    assert_true(raft_term_at(raft, 9, &term) && term == 4);
    assert_false(raft_term_at(raft, 4, &term));
    assert_false(raft_term_at(raft, 10, &term));
    raft_free(raft);
    struct raft_options bad = good;
    bad.applied_index = 4;
    refused(bad, STATUS_CORRUPT);
    bad.applied_index = 10;
    refused(bad, STATUS_CORRUPT);
    bad = good;
    bad.hard_state.term = 3;
    refused(bad, STATUS_CORRUPT);
    bad = good;
    bad.run_count = 0;
    refused(bad, STATUS_CORRUPT);
    bad = good;
    bad.snapshot_term = 3;
    refused(bad, STATUS_CORRUPT);
    bad = good;
    bad.last_index = 7;
    refused(bad, STATUS_CORRUPT);
    /* But a snapshot alone may be of a later term than the node's: that is adopted, without a vote.
     */
    bad = good;
    bad.run_count = 0;
    bad.snapshot_index = bad.applied_index = bad.last_index = 9;
    bad.snapshot_term = 6;
    bad.hard_state = (struct raft_hard_state){.term = 4, .vote = 2};
    struct raft_ready ready;
    assert_ok(raft_new(&bad, &raft, &err), &err);
    assert_true(raft_ready(raft, &ready));
    assert_true(ready.has_hard_state);
    assert_int_equal(ready.hard_state.term, 6);
    assert_int_equal(ready.hard_state.vote, 0);
    raft_free(raft);
    runs[0].first_index = 7;
    refused(good, STATUS_CORRUPT);
    runs[0] = (struct raft_term_run){6, 4};
    refused(good, STATUS_CORRUPT);
}

/* What a driver must not propose. */
static void test_proposals_are_checked(void **state)
{
    (void)state;
    struct rng_seeded rng;
    struct error err = ERROR_INIT;
    struct raft *raft = NULL;
    rng_seeded_init(&rng, 1);
    struct raft_options options = options_of(alloc_default(), 3, &rng.rng);
    assert_ok(raft_new(&options, &raft, &err), &err);
    struct raft_entry *entry = raft_entry_new(alloc_default(), 0, 0, RAFT_ENTRY_NOOP, 0);
    assert_status(raft_propose(raft, entry, &err), STATUS_INVALID_ARGUMENT, &err);
    entry->type = RAFT_ENTRY_TYPE_MAX + 1;
    assert_status(raft_propose(raft, entry, &err), STATUS_INVALID_ARGUMENT, &err);
    entry->type = RAFT_ENTRY_DATA;
    assert_status(raft_propose(raft, entry, &err), STATUS_FAILED_PRECONDITION, &err);
    assert_status(raft_read(raft, 1, &err), STATUS_UNAVAILABLE, &err);
    raft_entry_unref(entry);
    raft_free(raft);
}

/* Stores, applies and counts what one node has to do; everything is durable at once. */
static void serve_alone(struct raft *raft, uint64_t *commit, uint64_t *reads)
{
    struct raft_ready ready;
    struct error err = ERROR_INIT;
    while (raft_ready(raft, &ready)) {
        uint64_t sequence = ready.store_sequence;
        struct raft_hard_state hard_state = ready.hard_state;
        bool has_hard_state = ready.has_hard_state;
        uint64_t index = ready.entry_count == 0 ? 0 : ready.entries[ready.entry_count - 1]->index;
        uint64_t term = ready.entry_count == 0 ? 0 : ready.entries[ready.entry_count - 1]->term;
        *reads += ready.read_count;
        if (has_hard_state) {
            enum status status = raft_hard_state_stored(raft, hard_state, &err);
            assert_true(status == STATUS_OK || status == STATUS_RESOURCE_EXHAUSTED);
        }
        if (index > 0) {
            raft_stored(raft, sequence, index, term);
        }
        if (ready.has_commit) {
            *commit = ready.commit;
            raft_applied(raft, ready.commit);
        }
    }
}

/* What a follower answers a heartbeat with. */
static uint64_t told_applied(struct raft *raft, uint64_t leader)
{
    struct error err = ERROR_INIT;
    struct raft_ready ready;
    uint64_t told = 0;
    const struct raft_message heartbeat = {
        .type = RAFT_MESSAGE_HEARTBEAT, .from = leader, .to = 1, .term = 1};
    assert_ok(raft_receive(raft, &heartbeat, &err), &err);
    while (raft_ready(raft, &ready)) {
        for (size_t i = 0; i < ready.message_count; i++) {
            if (ready.messages[i].type == RAFT_MESSAGE_HEARTBEAT_REPLY) {
                told = ready.messages[i].applied;
            }
        }
        if (ready.has_hard_state) {
            assert_ok(raft_hard_state_stored(raft, ready.hard_state, &err), &err);
        }
    }
    return told;
}

/* Who applies nothing any more says so in place of how far it has applied. */
static void test_stop_applying(void **state)
{
    (void)state;
    struct rng_seeded rng;
    struct raft *raft = NULL;
    struct error err = ERROR_INIT;
    rng_seeded_init(&rng, 1);
    struct raft_options options = options_of(alloc_default(), 3, &rng.rng);
    struct raft_term_run runs[] = {{1, 1}};
    options.hard_state = (struct raft_hard_state){.term = 1};
    options.applied_index = 2;
    options.last_index = 3;
    options.runs = runs;
    options.run_count = 1;
    assert_ok(raft_new(&options, &raft, &err), &err);
    assert_int_equal(told_applied(raft, 2), 2);
    raft_stop_applying(raft);
    assert_true(told_applied(raft, 2) == RAFT_APPLIES_NOTHING);
    struct raft_status status;
    raft_status(raft, &status);
    assert_int_equal(status.applied_index, 2);
    raft_free(raft);
}

/* A node elects itself, commits three entries and answers a read, whichever allocation fails on
 * the way; nothing is lost and nothing leaks. */
static void test_each_allocation_fails(void **state)
{
    (void)state;
    struct fail_alloc fail;
    fail_alloc_init(&fail);
    bool hit = true;
    for (uint64_t n = 0; hit; n++) {
        struct rng_seeded rng;
        struct error err = ERROR_INIT;
        struct raft *raft = NULL;
        uint64_t commit = 0;
        uint64_t reads = 0;
        rng_seeded_init(&rng, 1);
        struct raft_options options = options_of(&fail.alloc, 1, &rng.rng);
        fail_alloc_arm(&fail, n);
        while (raft == NULL) {
            if (raft_new(&options, &raft, &err) != STATUS_OK) {
                assert_int_equal(fail_alloc_blocks(&fail), 0);
            }
        }
        uint64_t proposed = 0;
        bool asked = false;
        for (unsigned step = 0; commit < 4 || reads == 0; step++) {
            assert_true(step < 200);
            enum status status = raft_tick(raft, &err);
            assert_true(status == STATUS_OK || status == STATUS_RESOURCE_EXHAUSTED);
            serve_alone(raft, &commit, &reads);
            struct raft_entry *entry =
                proposed < 3 ? raft_entry_new(&fail.alloc, 0, 0, RAFT_ENTRY_DATA, 100) : NULL;
            if (entry != NULL && raft_propose(raft, entry, &err) == STATUS_OK) {
                proposed++;
            } else {
                raft_entry_unref(entry);
            }
            asked = asked || raft_read(raft, 7, &err) == STATUS_OK;
            serve_alone(raft, &commit, &reads);
        }
        assert_int_equal(proposed, 3);
        assert_int_equal(reads, 1);
        raft_free(raft);
        assert_int_equal(fail_alloc_blocks(&fail), 0);
        hit = fail_alloc_hit(&fail);
    }
    fail_alloc_release(&fail);
}

/* Entries outlive the core for whoever holds a reference. */
static void test_entries_are_shared(void **state)
{
    (void)state;
    struct fail_alloc fail;
    struct rng_seeded rng;
    struct error err = ERROR_INIT;
    struct raft *raft = NULL;
    uint64_t commit = 0;
    uint64_t reads = 0;
    fail_alloc_init(&fail);
    rng_seeded_init(&rng, 1);
    struct raft_options options = options_of(&fail.alloc, 1, &rng.rng);
    assert_ok(raft_new(&options, &raft, &err), &err);
    assert_ok(raft_tick(raft, &err), &err);
    serve_alone(raft, &commit, &reads);
    struct raft_entry *entry = raft_entry_new(&fail.alloc, 0, 0, RAFT_ENTRY_DATA, 5);
    memcpy(entry->data, "hello", 5);
    assert_ok(raft_propose(raft, entry, &err), &err);
    assert_int_equal(entry->index, 2);
    assert_int_equal(entry->term, 1);
    struct raft_entry *got[4] = {NULL};
    assert_int_equal(raft_entries(raft, 2, 10, got), 1);
    assert_int_equal(raft_entries(raft, 3, 10, got + 1), 0);
    assert_ptr_equal(got[0], entry);
    raft_free(raft);
    assert_memory_equal(raft_entry_slice(got[0]).data, "hello", 5);
    raft_entry_unref(got[0]);
    assert_int_equal(fail_alloc_blocks(&fail), 0);
    fail_alloc_release(&fail);
}

/* ---- The log against arrays ------------------------------------------------------------------ */

struct model {
    uint64_t snapshot;
    uint64_t last;
    uint64_t terms[MODEL_MAX]; /* [index]; 0 up to where nothing is */
};

static void compare(const struct raft_log *log, const struct model *model, struct rng *rng)
{
    uint64_t term = 0;
    assert_int_equal(log->last_index, model->last);
    assert_int_equal(log->snapshot_index, model->snapshot);
    for (uint64_t index = model->snapshot; index <= model->last; index++) {
        assert_true(raft_log_term_at(log, index, &term));
        assert_int_equal(term, model->terms[index]);
        if (raft_log_cached(log, index)) {
            assert_int_equal(raft_log_at(log, index)->index, index);
            assert_int_equal(raft_log_at(log, index)->term, term);
        } else {
            assert_true(index <= log->stored_index);
        }
    }
    assert_false(raft_log_term_at(log, model->last + 1, &term));
    uint64_t from = rng_below(rng, model->last + 3);
    uint64_t limit = rng_below(rng, 12);
    uint64_t expected = from < model->last ? from : model->last;
    while (expected > model->snapshot && model->terms[expected] > limit) {
        expected--;
    }
    if (expected < model->snapshot) {
        expected = model->snapshot;
    }
    assert_int_equal(raft_log_agreement(log, from, limit), expected);
}

static void append_some(struct raft_log *log, struct model *model, struct rng *rng)
{
    uint64_t count = 1 + rng_below(rng, 8);
    assert_true(raft_log_reserve(log, count));
    for (uint64_t i = 0; i < count && model->last + 1 < MODEL_MAX; i++) {
        uint64_t term = model->terms[model->last] + (rng_below(rng, 6) == 0);
        term = term == 0 ? 1 : term;
        model->terms[++model->last] = term;
        raft_log_append(log, raft_entry_new(alloc_default(), model->last, term, RAFT_ENTRY_DATA,
                                            (uint32_t)rng_below(rng, 50)));
    }
}

static void change(struct raft_log *log, struct model *model, struct rng *rng, uint64_t *sequence)
{
    switch (rng_below(rng, 6)) {
    case 0:
    case 1:
        append_some(log, model, rng);
        break;
    case 2: /* hand out and confirm */
        log->handed_index = log->last_index;
        (*sequence)++;
        if (log->last_index > log->snapshot_index) {
            uint64_t span = log->last_index - log->stored_index;
            uint64_t index = log->stored_index + (span == 0 ? 0 : rng_below(rng, span + 1));
            (void)raft_log_stored(log, *sequence, index, model->terms[index]);
            assert_true(log->stored_index >= index);
        }
        break;
    case 3:
        if (model->last > model->snapshot) {
            uint64_t span = model->last - model->snapshot;
            uint64_t from = model->last - rng_below(rng, span < 5 ? span : 5);
            raft_log_truncate(log, from, *sequence + 1);
            model->last = from - 1;
        }
        break;
    case 4:
        raft_log_evict(log, rng_below(rng, model->last + 1), 100 + rng_below(rng, 2000));
        break;
    case 5:
        if (rng_below(rng, 4) == 0 && log->stored_index > model->snapshot) {
            model->snapshot += 1 + rng_below(rng, log->stored_index - model->snapshot);
            raft_log_purge(log, model->snapshot);
        }
        break;
    }
}

/* Terms, agreement and cache after any mixture of appends, cuts, confirmations, evictions and
 * purges are those of plain arrays. */
static void test_log_against_arrays(void **state)
{
    (void)state;
    uint64_t seed = test_seed();
    for (uint64_t round = 0; round < MODEL_ROUNDS; round++) {
        static struct model model;
        struct raft_log log;
        struct rng_seeded rng;
        struct error err = ERROR_INIT;
        uint64_t sequence = 0;
        rng_seeded_init(&rng, seed + round);
        memset(&model, 0, sizeof model);
        struct raft_options options = options_of(alloc_default(), 3, &rng.rng);
        assert_ok(raft_log_init(&log, &options, &err), &err);
        for (unsigned i = 0; i < MODEL_STEPS; i++) {
            change(&log, &model, &rng.rng, &sequence);
            compare(&log, &model, &rng.rng);
        }
        raft_log_release(&log);
    }
}

/* The index that a quorum has is the middle one of all, for each number of members. */
static void test_quorum_match(void **state)
{
    (void)state;
    struct rng_seeded rng;
    rng_seeded_init(&rng, test_seed());
    for (size_t count = 1; count <= MEMBERS_MAX; count++) {
        struct raft_members members;
        struct error err = ERROR_INIT;
        struct raft_membership membership;
        assert_ok(raft_membership_decode(voters_up_to(count), &membership, &err), &err);
        raft_members_init(&members, alloc_default(), 16);
        raft_members_set(&members, &membership, 0, 0, 0);
        assert_int_equal(raft_members_quorum(&members), count / 2 + 1);
        for (unsigned round = 0; round < 500; round++) {
            uint64_t own = rng_below(&rng.rng, 10);
            for (size_t i = 0; i < count; i++) {
                members.of[i].match = rng_below(&rng.rng, 10);
                members.of[i].contact_tick = rng_below(&rng.rng, 10);
            }
            uint64_t since = rng_below(&rng.rng, 10);
            uint64_t match = raft_members_quorum_match(&members, 1, own);
            size_t have = 0;
            size_t have_more = 0;
            uint64_t least = own;
            uint64_t least_since = own;
            for (size_t i = 0; i < count; i++) {
                uint64_t at = members.of[i].id == 1 ? own : members.of[i].match;
                have += at >= match;
                have_more += at > match;
                least = at < least ? at : least;
                bool counts = members.of[i].id == 1 || members.of[i].contact_tick >= since;
                least_since = counts && at < least_since ? at : least_since;
            }
            assert_true(have >= count / 2 + 1);
            assert_true(have_more < count / 2 + 1);
            assert_int_equal(raft_members_least_match(&members, 1, own, 0), least);
            assert_int_equal(raft_members_least_match(&members, 1, own, since), least_since);
        }
        raft_members_release(&members);
    }
}

/* Names are for people; numbers that are none have a name too. */
static void test_names(void **state)
{
    (void)state;
    assert_string_equal(raft_role_name(RAFT_LEADER), "leader");
    assert_string_equal(raft_peer_state_name(RAFT_PEER_REPLICATE), "replicate");
    assert_string_equal(raft_message_type_name(RAFT_MESSAGE_TIMEOUT_NOW), "TIMEOUT_NOW");
    assert_string_equal(raft_message_type_name((enum raft_message_type)0), "?");
    assert_string_equal(raft_message_type_name((enum raft_message_type)99), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options_are_checked),
        cmocka_unit_test(test_recovered_state_is_checked),
        cmocka_unit_test(test_proposals_are_checked),
        cmocka_unit_test(test_stop_applying),
        cmocka_unit_test(test_each_allocation_fails),
        cmocka_unit_test(test_entries_are_shared),
        cmocka_unit_test(test_log_against_arrays),
        cmocka_unit_test(test_quorum_match),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
