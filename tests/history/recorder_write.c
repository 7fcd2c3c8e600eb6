/* SPDX-License-Identifier: Apache-2.0
 *
 * A writer: one append at a time, of one event or of several at once.
 */
#include <inttypes.h>
#include <time.h>

#include "base/rng.h"
#include "recorder.h"

/* Codes by which the library says that an append may have been applied (estreat.h). */
static const char *result_of(enum estreat_code code)
{
    switch (code) {
    case ESTREAT_OK:
        return "ok";
    case ESTREAT_CANCELLED:
    case ESTREAT_UNKNOWN:
    case ESTREAT_DEADLINE_EXCEEDED:
    case ESTREAT_INTERNAL:
    case ESTREAT_UNAVAILABLE:
        return "unknown";
    default:
        return "fail";
    }
}

static void count_locked(struct recorder *recorder, const char *result, unsigned events)
{
    if (result[0] == 'f') {
        recorder->refused += events;
    } else if (result[0] == 'u') {
        recorder->unknown += events;
    } else {
        uint64_t now_ns = recorder_now_ns();
        if (recorder->last_ns != 0 && now_ns - recorder->last_ns > recorder->longest_ns) {
            recorder->longest_ns = now_ns - recorder->last_ns;
        }
        recorder->last_ns = now_ns;
        recorder->acknowledged += events;
    }
}

struct attempt {
    unsigned writer;
    unsigned count;
    struct made events[BATCH_MAX];
    uint64_t invoke_ns;
    uint64_t return_ns;
    struct estreat_error error;
    struct estreat_appended at;
};

static void note(struct recorder *recorder, const struct attempt *attempt)
{
    const char *result = result_of(attempt->error.code);
    (void)pthread_mutex_lock(&recorder->mutex);
    count_locked(recorder, result, attempt->count);
    for (unsigned i = 0; i < attempt->count; i++) {
        const struct made *event = &attempt->events[i];
        /* The payload goes without its padding. */
        (void)fprintf(recorder->out,
                      "{\"process\":\"%s%u\",\"op\":\"append\",\"key\":\"%s\",\"payload\":\"%s\","
                      "\"id\":\"%s\",\"invoke_ns\":%" PRIu64 ",\"return_ns\":%" PRIu64
                      ",\"result\":\"%s\",\"position\":",
                      recorder->options.name, attempt->writer, event->key, event->id, event->id,
                      attempt->invoke_ns, attempt->return_ns, result);
        if (attempt->error.code == ESTREAT_OK) {
            (void)fprintf(recorder->out, "%" PRIu64 "}\n", attempt->at.position + i);
        } else {
            (void)fprintf(recorder->out, "null,\"code\":\"%s\"}\n",
                          estreat_code_name(attempt->error.code));
        }
    }
    (void)fflush(recorder->out);
    (void)pthread_mutex_unlock(&recorder->mutex);
}

static void append_once(struct recorder *recorder, struct estreat_client *client,
                        struct attempt *attempt)
{
    struct estreat_new_event events[BATCH_MAX];
    uint64_t sequence = atomic_load(&recorder->begun[attempt->writer]);
    for (unsigned i = 0; i < attempt->count; i++) {
        struct made *made = &attempt->events[i];
        make_event(recorder->options.name, attempt->writer, sequence + i, made);
        events[i] = (struct estreat_new_event){
            .key = estreat_text(made->key),
            .payload = estreat_bytes(made->payload, made->payload_length),
        };
    }
    attempt->error = (struct estreat_error){.code = ESTREAT_OK};
    attempt->invoke_ns = recorder_now_ns();
    (void)estreat_append(client, events, attempt->count, NULL, &attempt->at, &attempt->error);
    attempt->return_ns = recorder_now_ns();
    atomic_store(&recorder->begun[attempt->writer], sequence + attempt->count);
}

void recorder_write(struct recorder *recorder, unsigned writer)
{
    const struct estreat_client_options options = {.timeout_ms = recorder->options.timeout_ms};
    struct estreat_client *client = NULL;
    struct estreat_error error;
    struct rng_seeded rng;
    struct attempt attempt = {.writer = writer};
    rng_seeded_init(&rng, recorder->options.seed * 1000 + writer);
    if (estreat_open(recorder->options.endpoints, &options, &client, &error) != ESTREAT_OK) {
        (void)fprintf(stderr, "writer %u: %s\n", writer, error.text);
        return;
    }
    while (!atomic_load(&recorder->stop)) {
        attempt.count =
            rng_below(&rng.rng, 8) == 0 ? 1 + (unsigned)rng_below(&rng.rng, BATCH_MAX) : 1;
        append_once(recorder, client, &attempt);
        note(recorder, &attempt);
        uint64_t pause_us = rng_below(&rng.rng, 2000 * (uint64_t)recorder->options.pause_ms + 1);
        const struct timespec pause = {.tv_sec = (time_t)(pause_us / 1000000),
                                       .tv_nsec = (long)(pause_us % 1000000 * 1000)};
        (void)nanosleep(&pause, NULL);
    }
    estreat_close(client);
}
