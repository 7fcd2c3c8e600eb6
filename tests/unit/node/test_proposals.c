/* SPDX-License-Identifier: Apache-2.0
 *
 * Holding back: what comes while a WAL group is under way waits for it, but not for long, and not
 * much of it. Admission: a leader takes no more appends while a quorum has too much to apply, and
 * goes on when it has applied it.
 */
#include "node/proposals.h"

#include "leading_core.h"
#include "testlib/clock_manual.h"
#include "testlib/fs_crash.h"
#include "testlib/io_queue_manual.h"

/* As in proposals.c. */
#define BYTES_MAX (48 * MIB)
#define LAG_BYTES_MAX (64 * MIB)
#define HELD_BYTES_MAX (256 * KIB)
#define HELD_NS_MAX (5 * NS_PER_MS)

#define PAYLOAD_BYTES (256 * KIB)
#define APPENDS_MAX 2000U

struct fixture {
    struct leading_core core;
    struct fs_crash *crash;
    struct clock_manual clock;
    struct member_clocks clocks;
    struct io_queue_manual io;
    struct wal *wal; /* idle, unless a test says otherwise: nothing is held back */
    struct log_writer log;
    struct pending pending;
    struct replier replier;
    struct proposals proposals;
    unsigned refused;
    struct append_failure failure; /* the last; its texts are not kept */
    uint64_t entry_bytes;          /* of one append */
    uint64_t wal_term;             /* of the hard state that a group stores */
    uint64_t looked_at_index;      /* the last one, when proposed() looked */
};

static struct fixture *refusing; /* whose test runs */

static void on_refuse(struct replier *replier, struct append_call *call,
                      const struct append_failure *failure)
{
    assert_ptr_equal(replier, &refusing->replier);
    assert_ptr_equal(call, refusing);
    refusing->refused++;
    refusing->failure = *failure;
}

static int setup(void **state)
{
    static struct fixture fixture;
    struct fixture *fx = &fixture;
    struct wal_recovered recovered;
    struct error err = ERROR_INIT;
    *fx = (struct fixture){.crash = fs_crash_new(), .replier = {.refuse = on_refuse}};
    refusing = fx;
    core_open(&fx->core, false);
    clock_manual_init(&fx->clock, NS_PER_S);
    io_queue_manual_init(&fx->io, &fx->clock.clock);
    const struct wal_options options = {.fs = fs_crash_fs(fx->crash),
                                        .io = &fx->io.queue,
                                        .dir = "wal",
                                        .identity = slice_of_string("c/n")};
    assert_ok(wal_open(&options, 0, 0, &recovered, &fx->wal, &err), &err);
    fx->log.wal = fx->wal;
    pending_init(&fx->pending, alloc_default());
    member_clocks_init(&fx->clocks, &fx->clock.clock, &fx->core.members, fx->core.id[0]);
    proposals_init(&fx->proposals, &fx->clocks, &fx->core.config, &fx->core.members, fx->core.raft,
                   &fx->log, &fx->pending, &fx->replier);
    proposals_set_leader(&fx->proposals, true, fx->core.id[0]);
    *state = fx;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fx = *state;
    core_close(&fx->core);
    proposals_fail_pending(&fx->proposals); /* if the case failed */
    (void)io_queue_manual_complete_all(&fx->io);
    pending_release(&fx->pending);
    wal_close(fx->wal);
    fs_crash_free(fx->crash);
    return 0;
}

/* n1 has applied all that is committed. */
static void apply(struct fixture *fx)
{
    struct raft_status status;
    raft_status(fx->core.raft, &status);
    for (uint64_t index = status.applied_index + 1; index <= fx->core.commit; index++) {
        struct pending_call call;
        assert_true(pending_take(&fx->pending, index, &call));
    }
    raft_applied(fx->core.raft, fx->core.commit);
}

/* One append is handed over. Returns the bytes of its entry. */
static size_t add(struct fixture *fx, size_t payload_bytes)
{
    static uint8_t payload[PAYLOAD_BYTES];
    struct error err = ERROR_INIT;
    Estreat__V1__NewEvent event = ESTREAT__V1__NEW_EVENT__INIT;
    Estreat__V1__NewEvent *events[] = {&event};
    Estreat__V1__AppendRequest request = ESTREAT__V1__APPEND_REQUEST__INIT;
    struct proposal *proposal = NULL;
    event.key.data = payload;
    event.key.len = 1;
    event.payload.data = payload;
    assert_true(payload_bytes <= sizeof payload);
    event.payload.len = payload_bytes;
    request.events = events;
    request.n_events = 1;
    assert_ok(proposal_new(alloc_default(), &request, false, &fx->core.rng.rng,
                           (struct append_call *)fx, &proposal, &err),
              &err);
    size_t entry_bytes = proposal->entry->length;
    proposals_add(&fx->proposals, proposal);
    proposals_go(&fx->proposals);
    return entry_bytes;
}

/* One append, which everybody stores and n1 applies. False if it was refused. */
static bool append(struct fixture *fx)
{
    unsigned refused = fx->refused;
    fx->entry_bytes = add(fx, PAYLOAD_BYTES);
    core_settle(&fx->core);
    apply(fx);
    return fx->refused == refused;
}

/* Bytes of the entries that are taken until one is refused. */
static uint64_t append_until_refused(struct fixture *fx)
{
    uint64_t bytes = 0;
    unsigned count = 0;
    while (append(fx)) {
        bytes += fx->entry_bytes;
        assert_true(++count < APPENDS_MAX);
    }
    assert_int_equal(fx->failure.status, STATUS_RESOURCE_EXHAUSTED);
    assert_true(fx->failure.retry_after_ms > 0);
    return bytes;
}

/* --- holding back ------------------------------------------------------------------------- */

/* A group is under way until end_group(). */
static void begin_group(struct fixture *fx)
{
    struct error err = ERROR_INIT;
    assert_ok(wal_set_hard_state(fx->wal, ++fx->wal_term, 0, &err), &err);
    assert_ok(wal_submit(fx->wal, &err), &err);
    assert_true(wal_busy(fx->wal));
}

static void end_group(struct fixture *fx)
{
    struct wal_durable durable;
    struct error err = ERROR_INIT;
    (void)io_queue_manual_complete_all(&fx->io);
    assert_ok(wal_finish(fx->wal, &durable, &err), &err);
    assert_false(wal_busy(fx->wal));
}

/* How many entries were proposed since the last look. */
static uint64_t proposed(struct fixture *fx)
{
    struct raft_status status;
    raft_status(fx->core.raft, &status);
    uint64_t count = status.last_index - fx->looked_at_index;
    fx->looked_at_index = status.last_index;
    return count;
}

/* What comes while a group is under way is proposed when that is done, or when the first of it has
 * waited for so long; those that come later neither shorten nor lengthen that. */
static void test_held_for_a_time(void **state)
{
    struct fixture *fx = *state;
    (void)proposed(fx);
    (void)add(fx, 1);
    assert_int_equal(proposed(fx), 1); /* nothing is under way */
    for (unsigned round = 0; round < 2; round++) {
        begin_group(fx);
        uint64_t due_ns = clock_monotonic_ns(&fx->clock.clock) + HELD_NS_MAX;
        assert_int_equal(proposals_due_ns(&fx->proposals), UINT64_MAX);
        (void)add(fx, 1);
        clock_manual_advance(&fx->clock, HELD_NS_MAX - 1);
        (void)add(fx, 1);
        assert_int_equal(proposals_due_ns(&fx->proposals), due_ns);
        assert_int_equal(proposed(fx), 0);
        clock_manual_advance(&fx->clock, 1);
        proposals_go(&fx->proposals);
        assert_int_equal(proposed(fx), 2);

        assert_true(wal_busy(fx->wal));
        (void)add(fx, 1);
        clock_manual_advance(&fx->clock, HELD_NS_MAX - 1);
        proposals_go(&fx->proposals);
        assert_int_equal(proposed(fx), 0);
        end_group(fx);
        proposals_go(&fx->proposals);
        assert_int_equal(proposed(fx), 1);
    }
    core_settle(&fx->core);
    apply(fx);
}

/* When so many bytes wait they all go at once, whatever the disk does. */
static void test_held_bytes(void **state)
{
    struct fixture *fx = *state;
    size_t small = add(fx, 1);
    size_t head = add(fx, PAYLOAD_BYTES / 2) - PAYLOAD_BYTES / 2;
    (void)proposed(fx);
    begin_group(fx);
    for (size_t missing = 0; missing < 2; missing++) {
        assert_int_equal(add(fx, HELD_BYTES_MAX - small - head - missing),
                         HELD_BYTES_MAX - small - missing);
        assert_int_equal(proposed(fx), 0);
        (void)add(fx, 1);
        assert_int_equal(proposed(fx), missing == 0 ? 2 : 0);
    }
    (void)add(fx, 1);
    assert_int_equal(proposed(fx), 3);
    (void)add(fx, 1);
    assert_int_equal(proposed(fx), 0); /* they are counted anew */
    proposals_set_leader(&fx->proposals, false, fx->core.id[1]);
    proposals_go(&fx->proposals);
    assert_int_equal(proposals_due_ns(&fx->proposals), UINT64_MAX); /* refused, and not held */
    end_group(fx);
}

/* --- admission ---------------------------------------------------------------------------- */

/* n2 and n3 say how far they have applied. */
static void others_applied(struct fixture *fx, uint64_t second, uint64_t third)
{
    fx->core.applied[1] = second;
    fx->core.applied[2] = third;
    for (unsigned i = 0; i < 6; i++) {
        core_tick(&fx->core); /* a heartbeat asks */
    }
}

/* What the leader itself has not applied is bounded, and no more once it has, from wherever. */
static void test_own_lag(void **state)
{
    struct fixture *fx = *state;
    for (unsigned round = 0; round < 2; round++) {
        uint64_t bytes = 0;
        unsigned refused = fx->refused;
        while (fx->refused == refused) {
            bytes += add(fx, PAYLOAD_BYTES);
            core_settle(&fx->core);
            others_applied(fx, fx->core.commit, fx->core.commit);
        }
        assert_true(bytes > BYTES_MAX - APPLY_LAG_MARK_BYTES);
        assert_true(bytes <= BYTES_MAX + 2 * PAYLOAD_BYTES);
        assert_true(proposals_wait(&fx->proposals));
        apply(fx);
        assert_false(proposals_wait(&fx->proposals));
    }
}

/* All is committed and applied by the leader, so nothing but the others' lag can refuse. */
static void test_quorum_lags(void **state)
{
    struct fixture *fx = *state;
    uint64_t bytes = append_until_refused(fx);
    assert_true(bytes > LAG_BYTES_MAX - APPLY_LAG_MARK_BYTES);
    assert_true(bytes <= LAG_BYTES_MAX + fx->entry_bytes);
    assert_false(append(fx)); /* and stays so */

    /* One of the others makes a quorum with the leader; it need not have applied all. */
    uint64_t half = fx->core.commit / 2;
    others_applied(fx, half, 0);
    bytes = append_until_refused(fx);
    assert_true(bytes > LAG_BYTES_MAX / 4 && bytes < LAG_BYTES_MAX * 3 / 4);

    others_applied(fx, half, fx->core.commit);
    bytes = append_until_refused(fx);
    assert_true(bytes > LAG_BYTES_MAX - APPLY_LAG_MARK_BYTES);
}

/* As long as a quorum keeps up, one that does not holds up nobody. */
static void test_one_lags(void **state)
{
    struct fixture *fx = *state;
    for (unsigned i = 0; i < 3 * LAG_BYTES_MAX / PAYLOAD_BYTES; i++) {
        fx->core.applied[1] = fx->core.commit;
        assert_true(append(fx));
    }
}

/* One that applies nothing any more does not keep a quorum from going on that it belongs to, though
 * the third is away. Once it has been started anew it is waited for again. */
static void test_one_applies_nothing(void **state)
{
    struct fixture *fx = *state;
    others_applied(fx, RAFT_APPLIES_NOTHING, 0);
    for (unsigned i = 0; i < 3 * LAG_BYTES_MAX / PAYLOAD_BYTES; i++) {
        assert_true(append(fx));
    }
    others_applied(fx, 1, 0);
    (void)append_until_refused(fx);
}

/* A leader that applies nothing any more takes nothing more, and keeps nobody waiting. */
static void test_leader_stands(void **state)
{
    struct fixture *fx = *state;
    assert_true(append(fx));
    assert_true(pending_reserve(&fx->pending, fx->core.commit + 1));
    pending_add(&fx->pending, (struct pending_call){.index = fx->core.commit + 1,
                                                    .term = 1,
                                                    .call = (struct append_call *)fx});
    proposals_stand(&fx->proposals);
    assert_int_equal(fx->refused, 1);
    assert_int_equal(fx->failure.status, STATUS_UNAVAILABLE);
    assert_null(fx->failure.leader_endpoint); /* it may be appended yet */
    assert_false(append(fx));
    assert_int_equal(fx->failure.status, STATUS_UNAVAILABLE);
    assert_non_null(fx->failure.leader_endpoint); /* it was not */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_held_for_a_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_held_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_own_lag, setup, teardown),
        cmocka_unit_test_setup_teardown(test_quorum_lags, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_lags, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_applies_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_leader_stands, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
