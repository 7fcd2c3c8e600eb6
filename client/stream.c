/* SPDX-License-Identifier: Apache-2.0
 *
 * Streams of events that survive the node that serves them.
 *
 * The caller's thread pulls messages and hands out their events. When the call
 * breaks, meets damage, or is silent for half of `timeout_ms`, it is made again at another node,
 * from the first event that was not handed out. A stream that follows the log may
 * be silent for ever.
 */
#include "base/check.h"
#include "base/limits.h"
#include "client/convert.h"
#include "client/pull.h"

/* Methods in the order of schema/log.proto. */
enum { LOG_HISTORY = 2, LOG_READ = 3 };

struct estreat_stream {
    struct estreat_client *client;
    /* What is asked for; `from` and `from_version` move on. */
    bool history;
    struct estreat_read_options read; /* its slices point to `key` and `prefix` */
    uint64_t from_version;
    uint64_t left; /* events still wanted; UINT64_MAX: no limit */
    uint8_t key[KEY_BYTES_MAX];
    uint8_t prefix[KEY_BYTES_MAX];

    struct pull pull;
    unsigned endpoint; /* of the present call, or the last one */
    const Estreat__V1__EventBatch *batch;
    size_t batch_next;
    struct estreat_event event;
    struct retry retry;
    struct client_detour detour; /* since the last message */
    bool ended;                  /* or failed */
    struct error end;            /* how, if it failed */
};

static uint64_t progress_ns(const struct estreat_stream *stream)
{
    uint64_t ms =
        stream->read.timeout_ms != 0 ? stream->read.timeout_ms : stream->client->timeout_ms;
    return ms * NS_PER_MS;
}

/* --- opening and closing ------------------------------------------------------------------ */

static enum status keep_bytes(struct estreat_bytes *bytes, uint8_t place[KEY_BYTES_MAX],
                              struct error *err)
{
    if (bytes->length > KEY_BYTES_MAX) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "a key of %zu bytes; the most is %lu",
                         bytes->length, KEY_BYTES_MAX);
    }
    if (bytes->length > 0) {
        memcpy(place, bytes->data, bytes->length);
    }
    bytes->data = place;
    return STATUS_OK;
}

static struct estreat_stream *stream_new(struct estreat_client *client, struct error *err)
{
    struct estreat_stream *stream = alloc_zeroed(client->alloc, 1, sizeof *stream);
    if (stream == NULL) {
        (void)error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a stream");
        return NULL;
    }
    stream->client = client;
    return stream;
}

static enum status stream_begin(struct estreat_stream *stream, struct error *err)
{
    enum status status = keep_bytes(&stream->read.filter.key, stream->key, err);
    if (status == STATUS_OK) {
        status = keep_bytes(&stream->read.filter.key_prefix, stream->prefix, err);
    }
    if (status != STATUS_OK) {
        return status;
    }
    stream->left = stream->read.limit == 0 ? UINT64_MAX : stream->read.limit;
    retry_init(&stream->retry, clock_monotonic_ns(stream->client->clock) + progress_ns(stream));
    pull_init(&stream->pull, stream->client, stream->read.follow ? 0 : progress_ns(stream) / 2);
    return STATUS_OK;
}

enum estreat_code estreat_read(struct estreat_client *client,
                               const struct estreat_read_options *options,
                               struct estreat_stream **out, struct estreat_error *error)
{
    struct error err = ERROR_INIT;
    struct estreat_stream *stream = stream_new(client, &err);
    if (stream == NULL) {
        return client_answer(err.status, &err, error);
    }
    if (options != NULL) {
        stream->read = *options;
    }
    enum status status = stream_begin(stream, &err);
    if (status != STATUS_OK) {
        alloc_free(client->alloc, stream);
        return client_answer(status, &err, error);
    }
    *out = stream;
    return client_answer(STATUS_OK, NULL, error);
}

enum estreat_code estreat_history(struct estreat_client *client, struct estreat_bytes key,
                                  const struct estreat_history_options *options,
                                  struct estreat_stream **out, struct estreat_error *error)
{
    struct error err = ERROR_INIT;
    if (key.length == 0) {
        (void)error_set(&err, STATUS_INVALID_ARGUMENT, "a key of 0 bytes; keys have 1 to %lu",
                        KEY_BYTES_MAX);
        return client_answer(err.status, &err, error);
    }
    struct estreat_stream *stream = stream_new(client, &err);
    if (stream == NULL) {
        return client_answer(err.status, &err, error);
    }
    stream->history = true;
    stream->read.filter.key = key;
    if (options != NULL) {
        stream->from_version = options->from_version;
        stream->read.limit = options->limit;
        stream->read.consistency = options->consistency;
        stream->read.timeout_ms = options->timeout_ms;
    }
    enum status status = stream_begin(stream, &err);
    if (status != STATUS_OK) {
        alloc_free(client->alloc, stream);
        return client_answer(status, &err, error);
    }
    *out = stream;
    return client_answer(STATUS_OK, NULL, error);
}

void estreat_stream_cancel(struct estreat_stream *stream)
{
    pull_cancel(&stream->pull);
}

void estreat_stream_close(struct estreat_stream *stream)
{
    if (stream != NULL) {
        pull_release(&stream->pull);
        alloc_free(stream->client->alloc, stream);
    }
}

/* --- pulling ------------------------------------------------------------------------------ */

static struct rpc_stream *start_history(struct estreat_stream *stream, struct rpc_channel *channel)
{
    Estreat__V1__HistoryRequest request = ESTREAT__V1__HISTORY_REQUEST__INIT;
    Estreat__V1__ReadConsistency consistency;
    request.key = convert_bytes(stream->read.filter.key);
    request.from_version = stream->from_version;
    request.limit = stream->left == UINT64_MAX ? 0 : stream->left;
    convert_consistency(stream->read.consistency, &consistency);
    request.consistency = &consistency;
    return rpc_channel_stream(channel, &estreat__v1__log__descriptor, LOG_HISTORY, &request.base,
                              NULL, NULL);
}

static struct rpc_stream *start_read(struct estreat_stream *stream, struct rpc_channel *channel)
{
    Estreat__V1__ReadRequest request = ESTREAT__V1__READ_REQUEST__INIT;
    Estreat__V1__Bound from;
    Estreat__V1__Bound to;
    Estreat__V1__Filter filter;
    Estreat__V1__ReadConsistency consistency;
    request.from = convert_bound(stream->read.from, &from);
    request.to = convert_bound(stream->read.to, &to);
    convert_filter(&stream->read.filter, &filter);
    request.filter = &filter;
    request.limit = stream->left == UINT64_MAX ? 0 : stream->left;
    request.follow = stream->read.follow;
    convert_consistency(stream->read.consistency, &consistency);
    request.consistency = &consistency;
    return rpc_channel_stream(channel, &estreat__v1__log__descriptor, LOG_READ, &request.base, NULL,
                              NULL);
}

static enum status start_call(struct estreat_stream *stream, struct error *err)
{
    struct estreat_client *client = stream->client;
    struct rpc_channel *channel;
    stream->endpoint = client_reads_at(client, &stream->detour);
    enum status status = router_channel(&client->router, stream->endpoint, &channel, err);
    if (status != STATUS_OK) {
        return status;
    }
    struct rpc_stream *call =
        stream->history ? start_history(stream, channel) : start_read(stream, channel);
    if (call == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a stream");
    }
    pull_take(&stream->pull, call);
    return STATUS_OK;
}

/* The next message; `*message` NULL at the end. */
static enum status pull_message(struct estreat_stream *stream, const ProtobufCMessage **message,
                                struct error *err)
{
    if (stream->pull.call == NULL) {
        enum status status = start_call(stream, err);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return pull_next(&stream->pull, message, err);
}

/* After a failure: true if the call is to be made again. */
static bool recover(struct estreat_stream *stream, enum status status, struct error *err)
{
    struct estreat_client *client = stream->client;
    struct rpc_metadata_list metadata = {0};
    bool refused = false;
    uint64_t pause_ns;
    if (pull_cancelled(&stream->pull)) {
        (void)error_set(err, STATUS_CANCELLED, "the stream was cancelled");
        return false;
    }
    enum client_turn turn = client_detour(client, &stream->detour, stream->endpoint, err);
    if (turn != CLIENT_TURN_NONE) {
        pull_end(&stream->pull);
        return turn == CLIENT_TURN_NEXT;
    }
    if (stream->pull.call != NULL) {
        metadata = rpc_stream_metadata(stream->pull.call);
        refused = rpc_stream_refused(stream->pull.call);
    }
    struct retry_failure failure =
        client_failure(client, ROUTE_ANY, stream->endpoint, status, refused, metadata);
    uint64_t now_ns = clock_monotonic_ns(client->clock);
    /* A follower may have been silent for hours before its connection broke. */
    if (stream->read.follow && stream->retry.attempts == 0) {
        retry_progress(&stream->retry, now_ns + progress_ns(stream));
    }
    if (!retry_again(&stream->retry, &failure, now_ns, client->rng, &pause_ns)) {
        (void)client_explain(client, stream->endpoint, &stream->retry, err);
        return false;
    }
    pull_end(&stream->pull);
    pull_pause(&stream->pull, pause_ns);
    return true;
}

/* What was handed out is not asked for again, and a node that lags behind it must wait. */
static void move_on(struct estreat_stream *stream, uint64_t next_position)
{
    struct estreat_consistency *consistency = &stream->read.consistency;
    stream->read.from = estreat_position(next_position);
    if (consistency->level != ESTREAT_LINEARIZABLE &&
        (consistency->level == ESTREAT_LOCAL || consistency->size < next_position)) {
        *consistency =
            (struct estreat_consistency){.level = ESTREAT_AT_LEAST, .size = next_position};
    }
}

static void take_event(struct estreat_stream *stream)
{
    stream->event = convert_event(stream->batch->events[stream->batch_next++]);
    if (stream->left != UINT64_MAX) {
        stream->left--;
    }
    if (stream->history) {
        stream->from_version = stream->event.version + 1;
    } else {
        move_on(stream, stream->event.position + 1);
    }
}

/* A message arrived: the stream is alive. */
static void take_batch(struct estreat_stream *stream, const ProtobufCMessage *message)
{
    stream->batch = (const Estreat__V1__EventBatch *)message;
    stream->batch_next = 0;
    stream->retry.attempts = 0;
    stream->detour.tried = 0;
    retry_progress(&stream->retry, clock_monotonic_ns(stream->client->clock) + progress_ns(stream));
}

static bool at_end(const struct estreat_stream *stream)
{
    const struct estreat_bound *to = &stream->read.to;
    return stream->left == 0 || (!stream->history && to->kind == ESTREAT_BOUND_POSITION &&
                                 stream->read.from.kind == ESTREAT_BOUND_POSITION &&
                                 stream->read.from.value >= to->value);
}

static enum status next_batch(struct estreat_stream *stream, struct error *err)
{
    if (stream->batch != NULL && !stream->history && stream->batch->next_position > 0 &&
        (stream->read.from.kind != ESTREAT_BOUND_POSITION ||
         stream->batch->next_position > stream->read.from.value)) {
        move_on(stream, stream->batch->next_position);
    }
    stream->batch = NULL;
    for (;;) {
        const ProtobufCMessage *message = NULL;
        if (at_end(stream)) {
            stream->ended = true;
            return STATUS_OK;
        }
        enum status status = pull_message(stream, &message, err);
        if (status == STATUS_OK && message != NULL) {
            take_batch(stream, message);
            return STATUS_OK;
        }
        /* A node that stops ends what it serves; a follower without an end goes on elsewhere. */
        if (status == STATUS_OK && stream->read.follow &&
            stream->read.to.kind == ESTREAT_BOUND_NONE) {
            status = error_set(err, STATUS_UNAVAILABLE, "the node ended the stream");
        }
        if (status == STATUS_OK) {
            stream->ended = true;
            return STATUS_OK;
        }
        if (!recover(stream, status, err)) {
            stream->ended = true;
            stream->end = *err;
            return err->status;
        }
    }
}

enum estreat_code estreat_stream_next(struct estreat_stream *stream,
                                      const struct estreat_event **out, struct estreat_error *error)
{
    struct error err = ERROR_INIT;
    while (!stream->ended && (stream->batch == NULL ||
                              stream->batch_next == stream->batch->n_events || stream->left == 0)) {
        enum status status = next_batch(stream, &err);
        if (status != STATUS_OK) {
            return client_answer(status, &err, error);
        }
    }
    if (stream->ended && stream->end.status != STATUS_OK) {
        return client_answer(stream->end.status, &stream->end, error);
    }
    if (stream->ended) {
        *out = NULL;
    } else {
        take_event(stream);
        *out = &stream->event;
    }
    return client_answer(STATUS_OK, NULL, error);
}
