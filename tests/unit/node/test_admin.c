/* SPDX-License-Identifier: Apache-2.0
 *
 * A learner is promoted by hand: what `estreat member promote` comes to between two times that the
 * leader looks for learners that have caught up.
 */
#include "node/admin.h"

#include "leading_core.h"

#define FAR_NS UINT64_MAX

struct asked {
    struct admin_request request; /* first */
    unsigned done;
    enum status status;
    char text[256];
};

static void on_done(struct admin_request *request, const struct append_failure *failure)
{
    struct asked *asked = (struct asked *)request;
    asked->done++;
    asked->status = failure == NULL ? STATUS_OK : failure->status;
    (void)snprintf(asked->text, sizeof asked->text, "%s", failure == NULL ? "" : failure->text);
}

static void ask_to_promote(struct admin *admin, const char *id, struct asked *asked)
{
    *asked =
        (struct asked){.request = {.kind = ADMIN_PROMOTE, .deadline_ns = FAR_NS, .done = on_done}};
    (void)snprintf(asked->request.member.id, sizeof asked->request.member.id, "%s", id);
    admin_add(admin, &asked->request);
}

static size_t voters(const struct leading_core *core)
{
    uint64_t index = 0;
    return raft_membership_voters(raft_members_now(core->raft, &index));
}

static void open_admin(struct leading_core *core, struct admin *admin)
{
    core_open(core, true);
    admin_init(admin, alloc_default(), core->raft, &core->config, &core->members);
}

/* Answered when the change is committed, and once; who asks again hears the same. */
static void test_promote(void **state)
{
    (void)state;
    static struct leading_core core;
    struct admin admin;
    struct asked asked;
    struct asked other;
    open_admin(&core, &admin);
    assert_int_equal(voters(&core), 2);
    core.silent[1] = true; /* nothing is committed meanwhile */
    ask_to_promote(&admin, "n3", &asked);
    assert_int_equal(voters(&core), 3); /* in force from the log on */
    admin_settle(&admin, core.commit, 0);
    assert_int_equal(asked.done, 0);
    ask_to_promote(&admin, "n3", &other);
    assert_int_equal(other.done, 1);
    assert_int_equal(other.status, STATUS_UNAVAILABLE);
    core_settle(&core); /* n1 and n3 are a quorum of the new three */
    admin_settle(&admin, core.commit, 0);
    assert_int_equal(asked.done, 1);
    assert_int_equal(asked.status, STATUS_OK);
    ask_to_promote(&admin, "n3", &other);
    assert_int_equal(other.done, 1);
    assert_int_equal(other.status, STATUS_OK);
    admin_promote(&admin); /* there is nobody left */
    core_settle(&core);
    assert_int_equal(voters(&core), 3);
    admin_settle(&admin, core.commit, 0);
    assert_int_equal(asked.done, 1);
    admin_close(&admin);
    core_close(&core);
}

/* As many entries as a learner may not lack, and it gets none of them. */
static void propose_without_learner(struct leading_core *core)
{
    struct error err = ERROR_INIT;
    core->silent[2] = true;
    for (unsigned i = 0; i < 257; i++) {
        struct raft_entry *entry = raft_entry_new(alloc_default(), 0, 0, RAFT_ENTRY_DATA, 0);
        assert_non_null(entry);
        assert_ok(raft_propose(core->raft, entry, &err), &err);
        core_settle(core);
        raft_applied(core->raft, core->commit);
    }
    core->silent[2] = false;
}

/* Not one that lags: its vote would be waited for. */
static void test_behind(void **state)
{
    (void)state;
    static struct leading_core core;
    struct admin admin;
    struct asked asked;
    open_admin(&core, &admin);
    propose_without_learner(&core);
    ask_to_promote(&admin, "n3", &asked);
    assert_int_equal(asked.done, 1);
    assert_int_equal(asked.status, STATUS_FAILED_PRECONDITION);
    assert_non_null(strstr(asked.text, "not caught up"));
    assert_int_equal(voters(&core), 2);
    for (unsigned i = 0; i < 30; i++) {
        core_tick(&core);
    }
    ask_to_promote(&admin, "n3", &asked);
    core_settle(&core);
    admin_settle(&admin, core.commit, 0);
    assert_int_equal(asked.done, 1);
    assert_int_equal(asked.status, STATUS_OK);
    assert_int_equal(voters(&core), 3);
    admin_close(&admin);
    core_close(&core);
}

/* Under a load that never ends there is always more on its way than a learner may lack: one is
 * ready that has all that there was the last time. */
static void test_steady_load(void **state)
{
    (void)state;
    static struct leading_core core;
    struct admin admin;
    open_admin(&core, &admin);
    propose_without_learner(&core);
    admin_promote(&admin);
    assert_int_equal(voters(&core), 2);
    propose_without_learner(&core);
    admin_promote(&admin);
    assert_int_equal(voters(&core), 2); /* it got nothing meanwhile */
    for (unsigned i = 0; i < 30; i++) {
        core_tick(&core);
    }
    propose_without_learner(&core);
    admin_promote(&admin);
    assert_int_equal(voters(&core), 3);
    admin_close(&admin);
    core_close(&core);
}

/* Nor one that had all, but is not heard of any more: as a voter it would only be missed. */
static void test_silent(void **state)
{
    (void)state;
    static struct leading_core core;
    struct admin admin;
    struct asked asked;
    open_admin(&core, &admin);
    core.silent[2] = true;
    for (unsigned i = 0; i < 40; i++) {
        core_tick(&core);
    }
    admin_promote(&admin);
    assert_int_equal(voters(&core), 2);
    ask_to_promote(&admin, "n3", &asked);
    assert_int_equal(asked.status, STATUS_FAILED_PRECONDITION);
    assert_int_equal(voters(&core), 2);
    core.silent[2] = false;
    for (unsigned i = 0; i < 10; i++) {
        core_tick(&core);
    }
    admin_promote(&admin);
    assert_int_equal(voters(&core), 3);
    admin_close(&admin);
    core_close(&core);
}

/* By itself, without anybody asking; and one who asks then hears that it is done. */
static void test_by_itself(void **state)
{
    (void)state;
    static struct leading_core core;
    struct admin admin;
    struct asked asked;
    open_admin(&core, &admin);
    admin_promote(&admin);
    core_settle(&core);
    assert_int_equal(voters(&core), 3);
    ask_to_promote(&admin, "n3", &asked);
    assert_int_equal(asked.done, 1);
    assert_int_equal(asked.status, STATUS_OK);
    admin_close(&admin);
    core_close(&core);
}

/* Leadership is not handed to one that could not serve, whatever it has stored. */
static void test_heir_applies(void **state)
{
    (void)state;
    static struct leading_core core;
    struct admin admin;
    core_open(&core, false);
    admin_init(&admin, alloc_default(), core.raft, &core.config, &core.members);
    for (unsigned damaged = 1; damaged <= 2; damaged++) {
        core.applied[damaged] = RAFT_APPLIES_NOTHING;
        core.applied[3 - damaged] = 1;
        for (unsigned i = 0; i < 30; i++) {
            core_tick(&core); /* heartbeats ask; a transfer that nobody takes is given up */
        }
        assert_true(admin_hand_over(&admin));
        assert_int_equal(admin.heirs[admin.heir_count - 1], core.id[3 - damaged]);
    }
    core.applied[1] = RAFT_APPLIES_NOTHING;
    for (unsigned i = 0; i < 30; i++) {
        core_tick(&core);
    }
    assert_false(admin_hand_over(&admin));
    admin_close(&admin);
    core_close(&core);
}

/* Whoever hands over learns when all have been tried in vain. */
static void test_all_heirs_were_tried(void **state)
{
    (void)state;
    static struct leading_core core;
    struct admin admin;
    core_open(&core, false);
    admin_init(&admin, alloc_default(), core.raft, &core.config, &core.members);
    core.applied[1] = core.applied[2] = 1;
    for (unsigned tries = 0; tries < 4; tries++) {
        for (unsigned i = 0; i < 30; i++) {
            core_tick(&core);
        }
        assert_true(admin_hand_over(&admin));
        assert_int_equal(admin_tried_all(&admin), tries % 2 == 1);
    }
    admin_close(&admin);
    core_close(&core);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_promote),
        cmocka_unit_test(test_behind),
        cmocka_unit_test(test_steady_load),
        cmocka_unit_test(test_silent),
        cmocka_unit_test(test_by_itself),
        cmocka_unit_test(test_heir_applies),
        cmocka_unit_test(test_all_heirs_were_tried),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
