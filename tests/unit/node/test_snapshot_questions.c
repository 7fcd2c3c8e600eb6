/* SPDX-License-Identifier: Apache-2.0
 *
 * Questions and answers of a node that pulls a snapshot, with a link that answers within the call,
 * as the real one does without memory, or not at all.
 */
#include "node/snapshot_questions.h"

#include "schema/snapshot.pb-c.h"
#include "testlib/test.h"

struct hasty_link {
    struct snapshot_link link; /* first */
    bool takes;
    unsigned asked;
};

static bool ask(struct snapshot_link *link, uint64_t member, enum snapshot_method method,
                const ProtobufCMessage *request, snapshot_answer_fn done, void *context)
{
    struct hasty_link *hasty = (struct hasty_link *)link;
    (void)member;
    (void)method;
    (void)request;
    if (hasty->takes) {
        hasty->asked++;
        done(context,
             &(struct snapshot_answer){.status = STATUS_RESOURCE_EXHAUSTED, .text = "no memory"});
    }
    return hasty->takes;
}

static void on_answer(void *context)
{
    (*(unsigned *)context)++;
}

static bool ask_once(struct snapshot_questions *questions)
{
    const Estreat__V1__SnapshotRequest request = ESTREAT__V1__SNAPSHOT_REQUEST__INIT;
    return snapshot_questions_ask(questions, 2, SNAPSHOT_DESCRIBE, &request.base);
}

static void test_answered_within_the_call(void **state)
{
    struct hasty_link link = {.link = {.ask = ask}, .takes = true};
    struct snapshot_questions questions;
    struct snapshot_reply reply;
    unsigned answers = 0;
    (void)state;
    snapshot_questions_init(&questions, alloc_default(), &link.link, on_answer, &answers);
    for (unsigned i = 0; i < SNAPSHOT_QUESTIONS_MAX; i++) {
        assert_true(ask_once(&questions));
    }
    assert_false(ask_once(&questions)); /* none was taken yet */
    assert_int_equal(answers, SNAPSHOT_QUESTIONS_MAX);
    assert_int_equal(snapshot_questions_open(&questions), 0);
    for (unsigned i = 0; i < SNAPSHOT_QUESTIONS_MAX; i++) {
        assert_true(snapshot_questions_take(&questions, &reply));
        assert_int_equal(reply.status, STATUS_RESOURCE_EXHAUSTED);
        assert_string_equal(reply.text, "no memory");
    }
    assert_false(snapshot_questions_take(&questions, &reply));
    snapshot_questions_release(&questions);
}

/* What could not be asked takes no place, and after a stop nothing is asked. */
static void test_not_asked(void **state)
{
    struct hasty_link link = {.link = {.ask = ask}};
    struct snapshot_questions questions;
    unsigned answers = 0;
    (void)state;
    snapshot_questions_init(&questions, alloc_default(), &link.link, on_answer, &answers);
    assert_false(ask_once(&questions));
    assert_int_equal(snapshot_questions_room(&questions), SNAPSHOT_QUESTIONS_MAX);
    link.takes = true;
    snapshot_questions_stop(&questions);
    assert_false(ask_once(&questions));
    assert_int_equal(link.asked, 0);
    assert_int_equal(answers, 0);
    snapshot_questions_release(&questions);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answered_within_the_call),
        cmocka_unit_test(test_not_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
