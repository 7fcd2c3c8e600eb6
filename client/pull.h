/* SPDX-License-Identifier: Apache-2.0
 *
 * Pull: a streaming call that one thread reads from, and that ends when the node
 * has been silent for too long while that thread waited. A watchdog on the loop
 * cancels the call; a pull with a silence of 0 waits for ever and has none.
 *
 * One consumer thread; pull_cancel() from any.
 */
#ifndef ESTREAT_CLIENT_PULL_H
#define ESTREAT_CLIENT_PULL_H

#include "client/client.h"

struct pull {
    struct estreat_client *client; /* borrowed */
    uint64_t silence_ns;           /* 0: no watchdog */
    struct rpc_stream *call;       /* owned; the consumer's, guarded for the others */
    struct mutex mutex;
    struct condition woken;
    bool cancelled;
    uint64_t silent_until_ns; /* while the consumer waits; else 0 */
    bool silent_too_long;
    struct rpc_timer watchdog; /* the loop's */
    struct rpc_event arm;
    struct rpc_event disarm;
    bool disarmed;
};

/* `pull` stays where it is until pull_release(). */
void pull_init(struct pull *pull, struct estreat_client *client, uint64_t silence_ns);

/* Ends the call. Not on the loop's thread. */
void pull_release(struct pull *pull);

/* Takes a call that was started (rpc_channel_stream without callbacks), in place of none. */
void pull_take(struct pull *pull, struct rpc_stream *call);

/* Frees the call, if there is one: messages and metadata that it gave are gone. */
void pull_end(struct pull *pull);

/* Waits for the next message, valid until the next call of this or pull_end(); NULL at the end.
 * DEADLINE_EXCEEDED after the silence, CANCELLED after pull_cancel(). */
enum status pull_next(struct pull *pull, const ProtobufCMessage **message,
                      struct error *err) MUST_USE;

/* Any thread: the present and all later pull_next() return CANCELLED. */
void pull_cancel(struct pull *pull);

bool pull_cancelled(struct pull *pull);

/* Sleeps on the consumer's thread, unless or until the pull is cancelled. */
void pull_pause(struct pull *pull, uint64_t pause_ns);

#endif
