/* SPDX-License-Identifier: Apache-2.0
 *
 * Message: what the cores of two nodes say to each other, as plain values. The
 * driver converts to and from proto/schema/raft.proto; numbers and meanings
 * are the same there. (`clock_ns` of the schema is the driver's own affair.)
 *
 * Every message is one-way and may be lost, repeated, delayed or overtaken.
 *
 *   APPEND            index, log_term: the entry before `entries`; commit;
 *                     context: RAFT_APPEND_OLDEST
 *   APPEND_REPLY      index: durable and checked up to here; applied
 *                     with reject: index is the refused one, hint_index and
 *                     hint_term say where the logs may still agree; index 0: only
 *                     the term counts; context: RAFT_REPLY_LOST
 *   HEARTBEAT         commit: at most what the receiver is known to hold;
 *                     context: read round; retain_index
 *   HEARTBEAT_REPLY   context repeated; applied. It says nothing about the log.
 *   PRE_VOTE, VOTE    term asked for; index, log_term: end of the sender's log;
 *                     VOTE context: RAFT_VOTE_TRANSFER if a leader asked for it
 *   ..._VOTE_REPLY    reject. A granted PRE_VOTE repeats the term asked for.
 *   READ_INDEX        context: the follower's round of reads
 *   READ_INDEX_REPLY  context repeated; index; reject
 *   TIMEOUT_NOW       the receiver is to campaign at once
 */
#ifndef ESTREAT_RAFT_MESSAGE_H
#define ESTREAT_RAFT_MESSAGE_H

#include <stdbool.h>

#include "raft/entry.h"

/* The numbers are those of RaftMessageType in proto/schema/raft.proto. */
enum raft_message_type {
    RAFT_MESSAGE_APPEND = 1,
    RAFT_MESSAGE_APPEND_REPLY = 2,
    RAFT_MESSAGE_PRE_VOTE = 3,
    RAFT_MESSAGE_PRE_VOTE_REPLY = 4,
    RAFT_MESSAGE_VOTE = 5,
    RAFT_MESSAGE_VOTE_REPLY = 6,
    RAFT_MESSAGE_HEARTBEAT = 7,
    RAFT_MESSAGE_HEARTBEAT_REPLY = 8,
    RAFT_MESSAGE_READ_INDEX = 9,
    RAFT_MESSAGE_READ_INDEX_REPLY = 10,
    RAFT_MESSAGE_TIMEOUT_NOW = 11,
};

/* Context of an APPEND without entries: the sender's log begins behind `index`, so a receiver that
 * does not have that entry needs a snapshot. */
#define RAFT_APPEND_OLDEST 1U
/* Context of a refusal: the sender has nothing past hint_index any more, whatever it acknowledged.
 * If index is 0 nothing was asked: it says so by itself. */
#define RAFT_REPLY_LOST 1U
#define RAFT_VOTE_TRANSFER 1U /* context of a VOTE that may break a leader's lease */

struct raft_message {
    enum raft_message_type type;
    bool reject;
    uint64_t from;
    uint64_t to;
    uint64_t term;
    uint64_t index;
    uint64_t log_term;
    uint64_t commit;
    uint64_t hint_index;
    uint64_t hint_term;
    uint64_t context;
    uint64_t applied;
    uint64_t retain_index;
    struct raft_entry *const *entries; /* borrowed; consecutive from index + 1 */
    size_t entry_count;
};

/* The word for a type, e.g. "APPEND"; "?" for a number that is none. */
const char *raft_message_type_name(enum raft_message_type type);

#endif
