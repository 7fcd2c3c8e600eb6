/* SPDX-License-Identifier: Apache-2.0
 *
 * Readers. What a read saw is collected first and written as one line at its end.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "base/check.h"
#include "base/rng.h"
#include "recorder.h"

enum { PART_EVENTS = 10000, READ_PAUSE_MS = 20 };

/* A read under way. */
struct reading {
    char key[ID_BYTES]; /* "": the whole log */
    uint64_t from;
    uint64_t limit; /* 0: none */
    uint64_t invoke_ns;
    uint64_t end; /* behind the last event seen */
    uint64_t count;
    FILE *payload; /* writes into `text` */
    char *text;
    size_t text_length;
    char (*keys)[ID_BYTES]; /* owned by the caller: those met, or NULL */
    size_t *key_count;
};

static void note(struct recorder *recorder, unsigned reader, const struct reading *reading,
                 enum estreat_code code)
{
    uint64_t return_ns = recorder_now_ns();
    bool ok = code == ESTREAT_OK;
    (void)pthread_mutex_lock(&recorder->mutex);
    recorder->reads++;
    recorder->reads_failed += !ok;
    (void)fprintf(recorder->out,
                  "{\"process\":\"%s-reader-%u\",\"op\":\"read\",\"key\":\"%s\",\"payload\":[%s],"
                  "\"id\":\"%s-read-%" PRIu64 "\",\"invoke_ns\":%" PRIu64 ",\"return_ns\":%" PRIu64
                  ",\"result\":\"%s\",\"position\":%" PRIu64 ",\"from\":%" PRIu64 ",\"partial\":%s",
                  recorder->options.name, reader, reading->key, ok ? reading->text : "",
                  recorder->options.name, recorder->reads, reading->invoke_ns, return_ns,
                  ok ? "ok" : "fail", reading->end, reading->from,
                  reading->limit != 0 && reading->count == reading->limit ? "true" : "false");
    if (!ok) {
        (void)fprintf(recorder->out, ",\"code\":\"%s\"", estreat_code_name(code));
    }
    (void)fputs("}\n", recorder->out);
    (void)fflush(recorder->out);
    (void)pthread_mutex_unlock(&recorder->mutex);
}

/* Keys come in runs, one a writer: a key that was met is among the last ones. */
static void meet(struct reading *reading, struct estreat_bytes key)
{
    size_t count = *reading->key_count;
    size_t looked_at = count < 4 * WRITERS_MAX ? count : 4 * WRITERS_MAX;
    if (key.length >= ID_BYTES) {
        return; /* not one of ours: recognize() has said so */
    }
    for (size_t i = count - looked_at; i < count; i++) {
        if (strlen(reading->keys[i]) == key.length &&
            memcmp(reading->keys[i], key.data, key.length) == 0) {
            return;
        }
    }
    memcpy(reading->keys[count], key.data, key.length);
    reading->keys[count][key.length] = '\0';
    (*reading->key_count)++;
}

static void take(struct reading *reading, const struct estreat_event *event)
{
    char id[ID_BYTES];
    recognize(event, reading->key[0] != '\0' ? reading->count : UINT64_MAX, id);
    (void)fprintf(reading->payload, "%s\"%" PRIu64 ":%s\"", reading->count == 0 ? "" : ",",
                  event->position, id);
    reading->count++;
    reading->end = event->position + 1;
    if (reading->keys != NULL) {
        meet(reading, event->key);
    }
}

static enum estreat_code open_stream(struct estreat_client *client, const struct reading *reading,
                                     struct estreat_stream **stream, struct estreat_error *error)
{
    if (reading->key[0] != '\0') {
        return estreat_history(client, estreat_text(reading->key), NULL, stream, error);
    }
    const struct estreat_read_options options = {.from = estreat_position(reading->from),
                                                 .limit = reading->limit};
    return estreat_read(client, &options, stream, error);
}

/* One read, written down. */
static enum estreat_code read_once(struct recorder *recorder, unsigned reader,
                                   struct estreat_client *client, struct reading *reading)
{
    struct estreat_stream *stream = NULL;
    struct estreat_error error = {.code = ESTREAT_OK};
    const struct estreat_event *event = NULL;
    reading->payload = open_memstream(&reading->text, &reading->text_length);
    CHECK(reading->payload != NULL);
    reading->count = 0;
    reading->end = reading->from;
    reading->invoke_ns = recorder_now_ns();
    enum estreat_code code = open_stream(client, reading, &stream, &error);
    while (code == ESTREAT_OK) {
        code = estreat_stream_next(stream, &event, &error);
        if (code != ESTREAT_OK || event == NULL) {
            break;
        }
        take(reading, event);
    }
    if (code == ESTREAT_NOT_FOUND && reading->count == 0) {
        code = ESTREAT_OK; /* a key that has no events */
    }
    (void)fclose(reading->payload);
    note(recorder, reader, reading, code);
    estreat_stream_close(stream);
    free(reading->text);
    return code;
}

static void choose_key(struct recorder *recorder, struct rng *rng, char key[ID_BYTES])
{
    unsigned writer = (unsigned)rng_below(rng, recorder->options.writers);
    uint64_t last = atomic_load(&recorder->begun[writer]) / KEY_EVENTS;
    /* The one that grows, as a rule. */
    uint64_t chosen = rng_below(rng, 4) == 0 ? rng_below(rng, last + 1) : last;
    (void)snprintf(key, ID_BYTES, "%s%u.%" PRIu64, recorder->options.name, writer, chosen);
}

void recorder_read(struct recorder *recorder, unsigned reader)
{
    const struct estreat_client_options options = {.timeout_ms = recorder->options.timeout_ms};
    const struct timespec pause = {.tv_nsec = READ_PAUSE_MS * 1000000L};
    struct estreat_client *client = NULL;
    struct estreat_error error;
    struct rng_seeded rng;
    uint64_t read_to = 0;
    rng_seeded_init(&rng, recorder->options.seed * 1000 + WRITERS_MAX + reader);
    if (estreat_open(recorder->options.endpoints, &options, &client, &error) != ESTREAT_OK) {
        (void)fprintf(stderr, "reader %u: %s\n", reader, error.text);
        return;
    }
    while (!atomic_load(&recorder->stop)) {
        struct reading reading = {.from = 0};
        if (rng_below(&rng.rng, 2) == 0) {
            choose_key(recorder, &rng.rng, reading.key);
        } else {
            reading.from = read_to;
            reading.limit = PART_EVENTS;
        }
        enum estreat_code code = read_once(recorder, reader, client, &reading);
        if (code == ESTREAT_OK && reading.key[0] == '\0') {
            read_to = reading.end;
        }
        (void)nanosleep(&pause, NULL);
    }
    estreat_close(client);
}

/* --- at the end ------------------------------------------------------------------------------ */

static enum estreat_code read_log(struct recorder *recorder, struct estreat_client *client,
                                  char (**keys)[ID_BYTES], size_t *key_count)
{
    uint64_t from = 0;
    enum estreat_code code;
    bool over = false;
    do {
        struct reading reading = {.from = from, .limit = PART_EVENTS, .key_count = key_count};
        *keys = realloc(*keys, (*key_count + PART_EVENTS) * sizeof **keys);
        CHECK(*keys != NULL);
        reading.keys = *keys;
        code = read_once(recorder, 0, client, &reading);
        from = reading.end;
        over = reading.count < PART_EVENTS;
    } while (code == ESTREAT_OK && !over);
    return code;
}

bool recorder_read_all(struct recorder *recorder)
{
    const struct estreat_client_options options = {.timeout_ms = recorder->options.timeout_ms};
    struct estreat_client *client = NULL;
    struct estreat_error error;
    char(*keys)[ID_BYTES] = NULL;
    size_t key_count = 0;
    if (estreat_open(recorder->options.endpoints, &options, &client, &error) != ESTREAT_OK) {
        (void)fprintf(stderr, "%s\n", error.text);
        return false;
    }
    enum estreat_code code = read_log(recorder, client, &keys, &key_count);
    for (size_t i = 0; i < key_count && code == ESTREAT_OK; i++) {
        struct reading reading = {.from = 0};
        memcpy(reading.key, keys[i], ID_BYTES);
        code = read_once(recorder, 0, client, &reading);
    }
    free(keys);
    estreat_close(client);
    return code == ESTREAT_OK;
}
