/* SPDX-License-Identifier: Apache-2.0
 *
 * Fake log: a server that keeps a log in memory and answers Log calls as a node
 * does, sessions included, and misbehaves as it is told: it says that somebody
 * else leads, is not there for a while, loses answers to what it did, and breaks
 * streams. Its handlers check what every client must keep: windows, marks, first
 * attempts.
 *
 * Settings are made while no call is under way; what it saw is read after that.
 */
#ifndef ESTREAT_TESTS_FAKE_LOG_H
#define ESTREAT_TESTS_FAKE_LOG_H

#include "base/rng.h"
#include "base/sync.h"
#include "rpc/server.h"
#include "schema/log.pb-c.h"

#define FAKE_EVENTS_MAX 65536U
#define FAKE_SEQUENCES_MAX 65536U
#define FAKE_TEXT_BYTES 32U

struct fake_event {
    char key[FAKE_TEXT_BYTES];
    char payload[FAKE_TEXT_BYTES];
};

/* What several nodes of one cluster share. */
struct fake_log {
    struct mutex mutex;
    struct rng_seeded rng;
    struct fake_event *events; /* owned */
    uint64_t size;
    uint64_t *applied; /* owned; by sequence: position + 1 */
    uint32_t *counts;  /* owned; events of it */
    uint64_t low;      /* the highest mark seen */
    uint8_t client_id[16];
    bool client_known;

    /* settings */
    unsigned lose_answers_percent; /* applied, and then UNAVAILABLE */
    unsigned refuse_percent;       /* UNAVAILABLE, not applied */
    unsigned pushback_ms;          /* refusals are RESOURCE_EXHAUSTED with this */
    unsigned batch;                /* events a message of a stream */
    unsigned break_after;          /* messages, then UNAVAILABLE; 0: never */

    /* what was seen */
    uint64_t appends;    /* attempts */
    uint64_t repeats;    /* of what had been applied */
    uint64_t streams;    /* begun */
    uint64_t firsts;     /* attempts that came with no first_attempt_ns */
    char complaint[128]; /* the first rule that the client broke; "" if none */
};

struct fake_node {
    struct fake_log *log;
    struct rpc_loop *loop;
    struct rpc_server *server;
    char endpoint[32];
    char leader[32]; /* "": this one leads; else it says so */
    bool down;       /* UNAVAILABLE to all */
    bool damaged;    /* DATA_LOSS to reads of the event at `damage` */
    uint64_t damage;
    _Atomic unsigned calls;
};

void fake_log_init(struct fake_log *log, uint64_t seed);
void fake_log_release(struct fake_log *log);

/* Appends without a call. */
void fake_log_add(struct fake_log *log, const char *key, const char *payload);

/* Serves on a free port. Borrows the log. */
void fake_node_open(struct fake_node *node, struct fake_log *log);

/* With more to say about its server than where it listens. */
void fake_node_open_with(struct fake_node *node, struct fake_log *log,
                         struct rpc_server_options options);
void fake_node_close(struct fake_node *node);

#endif
