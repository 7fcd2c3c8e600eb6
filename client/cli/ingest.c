/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ingest.h"

#include "base/check.h"
#include "base/limits.h"
#include "base/sync.h"
#include "cli/lines.h"

struct ingest {
    struct estreat_client *client;
    const struct ingest_options *options;
    struct ingest_result *result;
    struct lines lines;
    struct estreat_new_event *events; /* owned; room for EVENTS_PER_REQUEST_MAX */
    size_t batch;                     /* the present size */
    uint64_t repeats_left;
    uint64_t request_line; /* of the request under way: its first line */
    size_t request_events;
    uint64_t request_bytes;

    struct mutex mutex;
    struct condition answered;
    bool under_way;
    struct estreat_appended appended;
    struct estreat_error error;
};

static void on_answer(void *context, const struct estreat_appended *appended,
                      const struct estreat_error *error)
{
    struct ingest *ingest = context;
    mutex_lock(&ingest->mutex);
    ingest->error = *error;
    if (appended != NULL) {
        ingest->appended = *appended;
    }
    ingest->under_way = false;
    condition_signal(&ingest->answered);
    mutex_unlock(&ingest->mutex);
}

static bool is_under_way(struct ingest *ingest)
{
    mutex_lock(&ingest->mutex);
    bool under_way = ingest->under_way;
    mutex_unlock(&ingest->mutex);
    return under_way;
}

static void count_answer(struct ingest *ingest)
{
    struct ingest_result *result = ingest->result;
    if (result->events == 0) {
        result->first = ingest->appended.position;
    }
    result->events += ingest->request_events;
    result->last = ingest->appended.position + ingest->request_events - 1;
    if (ingest->options->progress != NULL) {
        ingest->options->progress(ingest->options->context, ingest->request_events,
                                  ingest->request_bytes);
    }
    ingest->request_events = 0;
}

/* Waits for the request under way, if there is one, and counts its events. */
static enum status finish_request(struct ingest *ingest, struct error *err)
{
    if (ingest->request_events == 0) {
        return STATUS_OK;
    }
    mutex_lock(&ingest->mutex);
    while (ingest->under_way) {
        condition_wait(&ingest->answered, &ingest->mutex);
    }
    mutex_unlock(&ingest->mutex);
    if (ingest->error.code == ESTREAT_OK) {
        count_answer(ingest);
        return STATUS_OK;
    }
    uint64_t first_line = ingest->request_line;
    size_t events = ingest->request_events;
    ingest->request_events = 0;
    return error_set(err, (enum status)ingest->error.code,
                     "%s: lines %lu to %lu were not acknowledged: %s: %s", ingest->options->name,
                     (unsigned long)first_line, (unsigned long)(first_line + events - 1),
                     estreat_code_name(ingest->error.code), ingest->error.text);
}

static enum status send(struct ingest *ingest, size_t count, uint64_t first_line, uint64_t bytes,
                        struct error *err)
{
    const struct estreat_append_options options = {.timeout_ms = ingest->options->timeout_ms};
    /* Not ingest->error: that is the answer's, which may come before the call returns. */
    struct estreat_error refused;
    ingest->request_line = first_line;
    ingest->request_events = count;
    ingest->request_bytes = bytes;
    ingest->under_way = true;
    /* Few requests of a process are under way, so the window has room. */
    if (estreat_append_async(ingest->client, ingest->events, count, &options, on_answer, ingest,
                             &refused) == ESTREAT_OK) {
        return STATUS_OK;
    }
    ingest->under_way = false;
    ingest->request_events = 0;
    return error_set(err, (enum status)refused.code, "%s:%lu: %s", ingest->options->name,
                     (unsigned long)first_line, refused.text);
}

/* Lines that waited for the answer show that a larger batch would have carried them. */
static void adapt(struct ingest *ingest, size_t taken)
{
    if (ingest->options->batch == 0 && taken == ingest->batch &&
        ingest->batch < EVENTS_PER_REQUEST_MAX) {
        ingest->batch *= 2;
    }
}

/* Sends the lines that are there, once the request before them was answered. */
static enum status send_lines(struct ingest *ingest, size_t *sent, struct error *err)
{
    struct lines *lines = &ingest->lines;
    enum status status = finish_request(ingest, err);
    if (status != STATUS_OK) {
        return status;
    }
    uint64_t first_line = lines->line;
    uint64_t bytes = lines->bytes_given;
    status = lines_take(lines, ingest->options->key, ingest->events, ingest->batch, sent, err);
    if (status != STATUS_OK || *sent == 0) {
        return status;
    }
    adapt(ingest, *sent);
    return send(ingest, *sent, first_line, lines->bytes_given - bytes, err);
}

/* Reads ahead while a request is under way and the file has something to read. */
static enum status read_ahead(struct ingest *ingest, struct error *err)
{
    struct lines *lines = &ingest->lines;
    while (lines_want_more(lines) && lines_readable(lines)) {
        enum status status = lines_fill(lines, err);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

static enum status one_pass(struct ingest *ingest, struct error *err)
{
    struct lines *lines = &ingest->lines;
    while (!lines_done(lines)) {
        size_t sent = 0;
        enum status status = read_ahead(ingest, err);
        if (status == STATUS_OK) {
            status = send_lines(ingest, &sent, err);
        }
        if (status != STATUS_OK) {
            return status;
        }
        /* No whole line is there: wait for the rest of it. */
        if (sent == 0 && lines_want_more(lines)) {
            status = lines_fill(lines, err);
            if (status != STATUS_OK) {
                return status;
            }
        }
    }
    return STATUS_OK;
}

static enum status all_passes(struct ingest *ingest, struct error *err)
{
    for (uint64_t i = 0; i < ingest->options->repeat; i++) {
        if (i > 0) {
            enum status status = lines_rewind(&ingest->lines, err);
            if (status != STATUS_OK) {
                return status;
            }
        }
        enum status status = one_pass(ingest, err);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

enum status ingest_run(struct estreat_client *client, const struct ingest_options *options,
                       struct ingest_result *result, struct error *err)
{
    struct alloc *alloc = alloc_default();
    struct ingest ingest = {.client = client, .options = options, .result = result};
    CHECK(options->repeat > 0);
    CHECK(options->batch <= EVENTS_PER_REQUEST_MAX);
    *result = (struct ingest_result){.events = 0};
    ingest.batch = options->batch != 0 ? options->batch : INGEST_BATCH_DEFAULT;
    ingest.events = alloc_zeroed(alloc, EVENTS_PER_REQUEST_MAX, sizeof(struct estreat_new_event));
    if (ingest.events == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory to ingest %s", options->name);
    }
    lines_init(&ingest.lines, options->name, options->fd);
    mutex_init(&ingest.mutex);
    condition_init(&ingest.answered);
    enum status status = all_passes(&ingest, err);
    /* What is under way is waited for in any case: it may be acknowledged. */
    struct error last = ERROR_INIT;
    enum status last_status = finish_request(&ingest, &last);
    if (status == STATUS_OK && last_status != STATUS_OK) {
        *err = last;
        status = last_status;
    }
    CHECK(!is_under_way(&ingest));
    condition_release(&ingest.answered);
    mutex_release(&ingest.mutex);
    lines_release(&ingest.lines);
    alloc_free(alloc, ingest.events);
    return status;
}
