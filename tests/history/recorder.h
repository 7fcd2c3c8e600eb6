/* SPDX-License-Identifier: Apache-2.0
 *
 * Recorder: clients that append and read, each on a thread of its own with a client
 * of its own, and write down what they did and saw (README.md).
 *
 * Events are a function of their ids, so that a reader knows what it must find. An
 * id is NAME, writer, "-", sequence; a payload the id, ":" and padding; a key holds
 * KEY_EVENTS events or a few more.
 */
#ifndef ESTREAT_HISTORY_RECORDER_H
#define ESTREAT_HISTORY_RECORDER_H

#include <estreat.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

enum {
    WRITERS_MAX = 64,
    READERS_MAX = 16,
    NAME_BYTES_MAX = 16,
    ID_BYTES = 64,
    PAYLOAD_BYTES = 1024,
    KEY_EVENTS = 200,
    BATCH_MAX = 4
};

struct recorder_options {
    const char *endpoints;
    const char *name; /* lower-case letters; another recorder of the same cluster has another */
    unsigned writers;
    unsigned readers;
    uint32_t timeout_ms; /* of each call */
    uint32_t pause_ms;   /* of a writer between two appends, on average */
    uint64_t seed;
};

struct recorder {
    struct recorder_options options;
    pthread_mutex_t mutex; /* of `out` and the counts */
    FILE *out;
    uint64_t acknowledged;
    uint64_t refused;
    uint64_t unknown;
    uint64_t reads;
    uint64_t reads_failed;
    uint64_t longest_ns; /* without an acknowledgement, from one to the next */
    uint64_t last_ns;
    atomic_bool stop;
    _Atomic uint64_t begun[WRITERS_MAX]; /* the next sequence of each writer */
};

/* One event's bytes. */
struct made {
    char id[ID_BYTES];
    char key[ID_BYTES];
    char payload[PAYLOAD_BYTES];
    size_t payload_length;
};

void make_event(const char *name, unsigned writer, uint64_t sequence, struct made *out);

/* Makes again what the id at the beginning of the payload says, and compares. Writes that id to
 * `id`, or, if anything differs, one that nobody has appended. `version` UINT64_MAX: any. */
void recognize(const struct estreat_event *event, uint64_t version, char id[ID_BYTES]);

/* CLOCK_MONOTONIC: one clock for all processes of a machine. */
uint64_t recorder_now_ns(void);

/* Appends until recorder->stop. `writer` < WRITERS_MAX. */
void recorder_write(struct recorder *recorder, unsigned writer);

/* Reads until recorder->stop: the log from where the last read ended, or a key's history. */
void recorder_read(struct recorder *recorder, unsigned reader);

/* Reads the whole log, in parts, and the history of each key that it met, each once. False: a read
 * failed. */
bool recorder_read_all(struct recorder *recorder);

#endif
