/* SPDX-License-Identifier: Apache-2.0
 *
 * Snapshot_questions: a few questions under way at a time, whose answers are taken in the
 * order of asking. Answers come on the link's threads and are copied; everything else
 * is one owner's.
 */
#ifndef ESTREAT_NODE_SNAPSHOT_QUESTIONS_H
#define ESTREAT_NODE_SNAPSHOT_QUESTIONS_H

#include "base/buf.h"
#include "base/sync.h"
#include "node/snapshot.h"

#define SNAPSHOT_QUESTIONS_MAX 4U

struct snapshot_questions;

struct snapshot_question {
    struct snapshot_questions *questions;
    enum snapshot_method method;
    bool answered;
    enum status status;
    char text[ERROR_TEXT_BYTES];
    struct buf bytes; /* of a piece its data, of a description the message */
};

struct snapshot_questions {
    struct snapshot_link *link;
    void (*on_answer)(void *context); /* any thread */
    void *context;
    struct mutex asking; /* guards `stopped`; held while one is asked; taken before `mutex` */
    bool stopped;
    struct mutex mutex; /* guards what follows */
    unsigned first;     /* of a ring */
    unsigned count;     /* asked and not taken */
    struct snapshot_question of[SNAPSHOT_QUESTIONS_MAX];
};

/* Borrows all. */
void snapshot_questions_init(struct snapshot_questions *questions, struct alloc *alloc,
                             struct snapshot_link *link, void (*on_answer)(void *context),
                             void *context);

/* After the link's last answer. */
void snapshot_questions_release(struct snapshot_questions *questions);

/* Any thread: from now on nothing is asked. */
void snapshot_questions_stop(struct snapshot_questions *questions);

/* False: it could not be asked, or as many as may be are under way. */
bool snapshot_questions_ask(struct snapshot_questions *questions, uint64_t member,
                            enum snapshot_method method, const ProtobufCMessage *request);

/* How many are under way, not yet answered. */
unsigned snapshot_questions_open(struct snapshot_questions *questions);

/* How many may still be asked. */
unsigned snapshot_questions_room(struct snapshot_questions *questions);

/* Valid until the next question is asked. */
struct snapshot_reply {
    enum status status;
    const char *text;
    struct slice bytes;
};

/* Takes the answer of the oldest question. False: it has none yet, or there is no question. */
bool snapshot_questions_take(struct snapshot_questions *questions, struct snapshot_reply *out);

/* Forgets answers that were not taken. None may be open. */
void snapshot_questions_clear(struct snapshot_questions *questions);

#endif
