/* SPDX-License-Identifier: Apache-2.0
 *
 * Plant: bugs for the simulator to find. PLANTED(x) is false, and costs nothing,
 * everywhere but in the simulator's own build of the code (ESTREAT_PLANTS), where it
 * asks whether this run has bug x. A simulator that does not find these would not
 * find others.
 */
#ifndef ESTREAT_BASE_PLANT_H
#define ESTREAT_BASE_PLANT_H

#include <stdbool.h>

/* name, what is wrong */
#define PLANTS(X)                                                                                  \
    X(ACK_BEFORE_SYNC, "ack-before-sync", "acknowledges entries before their fdatasync")           \
    X(ACK_UNCHECKED, "ack-unchecked", "acknowledges a tail that the leader may not have")          \
    X(APPEND_ANYWHERE, "append-anywhere", "takes entries whatever comes before them")              \
    X(CHANGE_UNGATED, "change-ungated", "changes members while earlier entries are open")          \
    X(COMMIT_OLD_TERM, "commit-old-term", "commits an earlier term's entry by count")              \
    X(FORGET_VOTE, "forget-vote", "forgets the vote at restart")                                   \
    X(VOTE_BEFORE_SYNC, "vote-before-sync", "votes before the vote is durable")                    \
    X(VOTE_TWICE, "vote-twice", "votes for everybody in a term")                                   \
    X(VOTE_BLIND, "vote-blind", "votes for candidates with less log")                              \
    X(VOTE_UNFILLED, "vote-unfilled", "votes though its damaged log is not refilled")              \
    X(LOST_HARD_STATE, "lost-hard-state", "takes a lost term and vote for new")                    \
    X(SKIP_DIR_SYNC, "skip-dir-sync", "does not sync directories")                                 \
    X(SKIP_TABLE_SYNC, "skip-table-sync", "does not sync tables")                                  \
    X(SKIP_LOG_SYNC, "skip-log-sync", "does not sync the log")                                     \
    X(PURGE_UNFLUSHED, "purge-unflushed", "purges log that is applied and not flushed")            \
    X(APPLY_NOT_DURABLE, "apply-not-durable", "applies past what is durable on the node")          \
    X(APPLY_TWICE, "apply-twice", "applies the last entry again after a restart")                  \
    X(FIRST_ROW, "first-row", "writes the first row of a key in a group alone")                    \
    X(UNREADABLE_NEW, "unreadable-new", "takes a key whose row cannot be read for a new one")      \
    X(ANSWER_FIRST, "answer-first", "answers a group's requests with the position of the first")   \
    X(DROP_SESSIONS, "drop-sessions", "seals without the sessions")                                \
    X(SNAPSHOT_NO_SESSIONS, "snapshot-no-sessions", "drops the sessions of a snapshot")            \
    X(SNAPSHOT_NO_SYNC, "snapshot-no-sync", "does not sync a snapshot's files")                    \
    X(NO_SESSIONS, "no-sessions", "applies repeated requests")                                     \
    X(CLOCK_TIME, "clock-time", "takes times from the clock as they come")                         \
    X(CLOCK_UNCHECKED, "clock-unchecked",                                                          \
      "takes a leader's clock for right, whatever others show")                                    \
    X(CUT_NOTHING, "cut-nothing", "keeps a tail that differs from the leader's")                   \
    X(READ_LOCAL, "read-local", "serves linearizable reads from what is applied")                  \
    X(GO_ON_AFTER_SYNC, "go-on-after-sync", "takes a failed fdatasync for done")                   \
    X(FOUND_IS_DURABLE, "found-is-durable", "takes what a file is found to hold for durable")      \
    X(CUT_DAMAGED, "cut-damaged", "cuts a damaged tail of the log though it was acknowledged")     \
    X(PURGE_VOTE, "purge-vote", "does not repeat the vote at the begin of a group")                \
    X(PURGE_PULLED, "purge-pulled", "purges log that who pulls a snapshot will need")              \
    X(EVICT_NOTHING, "evict-nothing", "keeps all entries in memory")                               \
    X(SEAL_NEVER, "seal-never", "lets memtables grow without end")                                 \
    X(SEND_UNBOUNDED, "send-unbounded", "sends a peer more than it has room for")                  \
    X(SKIP_CHECKSUM, "skip-checksum", "does not check the checksums of tables' blocks")

#define PLANT_ENUM(id, name, what) PLANT_##id,
enum plant { PLANTS(PLANT_ENUM) PLANT_COUNT };
#undef PLANT_ENUM

#ifdef ESTREAT_PLANTS
bool plant_is_on(enum plant plant); /* the simulator's */
#define PLANTED(id) plant_is_on(PLANT_##id)
#else
#define PLANTED(id) false
#endif

#endif
