/* SPDX-License-Identifier: Apache-2.0 */
#include "node/snapshot_questions.h"

#include <stdio.h>

#include "base/check.h"
#include "schema/snapshot.pb-c.h"

void snapshot_questions_init(struct snapshot_questions *questions, struct alloc *alloc,
                             struct snapshot_link *link, void (*on_answer)(void *context),
                             void *context)
{
    *questions =
        (struct snapshot_questions){.link = link, .on_answer = on_answer, .context = context};
    mutex_init(&questions->asking);
    mutex_init(&questions->mutex);
    for (unsigned i = 0; i < SNAPSHOT_QUESTIONS_MAX; i++) {
        questions->of[i].questions = questions;
        buf_init(&questions->of[i].bytes, alloc, PEER_FRAME_BYTES_MAX);
    }
}

void snapshot_questions_release(struct snapshot_questions *questions)
{
    for (unsigned i = 0; i < SNAPSHOT_QUESTIONS_MAX; i++) {
        buf_release(&questions->of[i].bytes);
    }
    mutex_release(&questions->mutex);
    mutex_release(&questions->asking);
}

void snapshot_questions_stop(struct snapshot_questions *questions)
{
    mutex_lock(&questions->asking);
    questions->stopped = true;
    mutex_unlock(&questions->asking);
}

static void copy_answer(struct snapshot_question *question, const struct snapshot_answer *answer)
{
    question->status = answer->status;
    (void)snprintf(question->text, sizeof question->text, "%s", answer->text);
    if (answer->message == NULL) {
        return;
    }
    if (question->method == SNAPSHOT_READ) {
        const Estreat__V1__SnapshotPiece *piece =
            (const Estreat__V1__SnapshotPiece *)answer->message;
        buf_append(&question->bytes, piece->data.data, piece->data.len);
    } else {
        size_t length = protobuf_c_message_get_packed_size(answer->message);
        uint8_t *room = buf_extend(&question->bytes, length);
        if (room != NULL) {
            (void)protobuf_c_message_pack(answer->message, room);
        }
    }
    if (buf_failed(&question->bytes)) {
        question->status = STATUS_RESOURCE_EXHAUSTED;
        (void)snprintf(question->text, sizeof question->text, "no memory for an answer");
    }
}

static void on_answer(void *context, const struct snapshot_answer *answer)
{
    struct snapshot_question *question = context;
    struct snapshot_questions *questions = question->questions;
    mutex_lock(&questions->mutex);
    CHECK(!question->answered);
    copy_answer(question, answer);
    question->answered = true;
    mutex_unlock(&questions->mutex);
    questions->on_answer(questions->context);
}

/* NULL: as many as may be are under way. */
static struct snapshot_question *take_place(struct snapshot_questions *questions)
{
    struct snapshot_question *question = NULL;
    mutex_lock(&questions->mutex);
    if (questions->count < SNAPSHOT_QUESTIONS_MAX) {
        unsigned at = (questions->first + questions->count++) % SNAPSHOT_QUESTIONS_MAX;
        question = &questions->of[at];
        question->answered = false;
        buf_clear(&question->bytes);
    }
    mutex_unlock(&questions->mutex);
    return question;
}

static void give_back_last_place(struct snapshot_questions *questions)
{
    mutex_lock(&questions->mutex);
    questions->count--;
    mutex_unlock(&questions->mutex);
}

bool snapshot_questions_ask(struct snapshot_questions *questions, uint64_t member,
                            enum snapshot_method method, const ProtobufCMessage *request)
{
    bool asked = false;
    /* While asking, so that after a stop nothing is asked. The answer may come within the call. */
    mutex_lock(&questions->asking);
    struct snapshot_question *question = questions->stopped ? NULL : take_place(questions);
    if (question != NULL) {
        question->method = method;
        asked = questions->link->ask(questions->link, member, method, request, on_answer, question);
        if (!asked) {
            give_back_last_place(questions);
        }
    }
    mutex_unlock(&questions->asking);
    return asked;
}

unsigned snapshot_questions_open(struct snapshot_questions *questions)
{
    unsigned open = 0;
    mutex_lock(&questions->mutex);
    for (unsigned i = 0; i < questions->count; i++) {
        open += !questions->of[(questions->first + i) % SNAPSHOT_QUESTIONS_MAX].answered;
    }
    mutex_unlock(&questions->mutex);
    return open;
}

unsigned snapshot_questions_room(struct snapshot_questions *questions)
{
    mutex_lock(&questions->mutex);
    unsigned room = SNAPSHOT_QUESTIONS_MAX - questions->count;
    mutex_unlock(&questions->mutex);
    return room;
}

bool snapshot_questions_take(struct snapshot_questions *questions, struct snapshot_reply *out)
{
    mutex_lock(&questions->mutex);
    struct snapshot_question *question = &questions->of[questions->first];
    bool taken = questions->count > 0 && question->answered;
    if (taken) {
        *out = (struct snapshot_reply){.status = question->status,
                                       .text = question->text,
                                       .bytes = buf_slice(&question->bytes)};
        questions->first = (questions->first + 1) % SNAPSHOT_QUESTIONS_MAX;
        questions->count--;
    }
    mutex_unlock(&questions->mutex);
    return taken;
}

void snapshot_questions_clear(struct snapshot_questions *questions)
{
    CHECK(snapshot_questions_open(questions) == 0);
    mutex_lock(&questions->mutex);
    questions->count = 0;
    mutex_unlock(&questions->mutex);
}
