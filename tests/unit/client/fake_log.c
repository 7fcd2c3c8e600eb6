/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_log.h"

#include <stdio.h>

#include "base/check.h"
#include "base/limits.h"

enum { TIME_BASE_NS = 1000000 };

/* --- the log ------------------------------------------------------------------------------ */

void fake_log_init(struct fake_log *log, uint64_t seed)
{
    struct alloc *alloc = alloc_default();
    *log = (struct fake_log){.batch = 10};
    mutex_init(&log->mutex);
    rng_seeded_init(&log->rng, seed);
    log->events = alloc_zeroed(alloc, FAKE_EVENTS_MAX, sizeof(struct fake_event));
    log->applied = alloc_zeroed(alloc, FAKE_SEQUENCES_MAX, sizeof(uint64_t));
    log->counts = alloc_zeroed(alloc, FAKE_SEQUENCES_MAX, sizeof(uint32_t));
    CHECK(log->events != NULL && log->applied != NULL && log->counts != NULL);
}

void fake_log_release(struct fake_log *log)
{
    alloc_free(alloc_default(), log->events);
    alloc_free(alloc_default(), log->applied);
    alloc_free(alloc_default(), log->counts);
    mutex_release(&log->mutex);
}

static void keep(char out[FAKE_TEXT_BYTES], const void *data, size_t length)
{
    size_t kept = length < FAKE_TEXT_BYTES - 1 ? length : FAKE_TEXT_BYTES - 1;
    if (kept > 0) {
        memcpy(out, data, kept);
    }
    out[kept] = '\0';
}

void fake_log_add(struct fake_log *log, const char *key, const char *payload)
{
    mutex_lock(&log->mutex);
    CHECK(log->size < FAKE_EVENTS_MAX);
    keep(log->events[log->size].key, key, strlen(key));
    keep(log->events[log->size].payload, payload, strlen(payload));
    log->size++;
    mutex_unlock(&log->mutex);
}

static void complain(struct fake_log *log, const char *text)
{
    if (log->complaint[0] == '\0') {
        (void)snprintf(log->complaint, sizeof log->complaint, "%s", text);
    }
}

static bool happens(struct fake_log *log, unsigned percent)
{
    return rng_below(&log->rng.rng, 100) < percent;
}

/* --- append ------------------------------------------------------------------------------- */

static void check_rules(struct fake_log *log, const Estreat__V1__AppendRequest *request)
{
    if (request->client_id.len != sizeof log->client_id) {
        complain(log, "a client id of another length");
        return;
    }
    if (!log->client_known) {
        memcpy(log->client_id, request->client_id.data, sizeof log->client_id);
        log->client_known = true;
    }
    if (memcmp(log->client_id, request->client_id.data, sizeof log->client_id) != 0) {
        complain(log, "the client's id changed");
    }
    if (request->sequence == 0 || request->sequence >= FAKE_SEQUENCES_MAX) {
        complain(log, "a sequence out of range");
    }
    if (request->acknowledged_below > request->sequence) {
        complain(log, "a sequence below the client's own mark");
    }
    if (request->sequence - request->acknowledged_below >= SESSION_WINDOW_MAX) {
        complain(log, "a sequence outside the window");
    }
    if (request->sequence < log->low) {
        complain(log, "a sequence that the client said it would not send again");
    }
    if (request->acknowledged_below > log->low) {
        log->low = request->acknowledged_below;
    }
}

static void apply(struct fake_log *log, const Estreat__V1__AppendRequest *request)
{
    CHECK(log->size + request->n_events <= FAKE_EVENTS_MAX);
    log->applied[request->sequence] = log->size + 1;
    log->counts[request->sequence] = (uint32_t)request->n_events;
    for (size_t i = 0; i < request->n_events; i++) {
        const Estreat__V1__NewEvent *event = request->events[i];
        keep(log->events[log->size].key, event->key.data, event->key.len);
        keep(log->events[log->size].payload, event->payload.data, event->payload.len);
        log->size++;
    }
}

static void reply(struct fake_log *log, struct rpc_server_call *call,
                  const Estreat__V1__AppendRequest *request, bool repeated)
{
    Estreat__V1__AppendResponse response = ESTREAT__V1__APPEND_RESPONSE__INIT;
    uint64_t versions[EVENTS_PER_REQUEST_MAX] = {0};
    response.position = log->applied[request->sequence] - 1;
    response.time_ns = TIME_BASE_NS + response.position;
    response.size = log->size;
    response.repeated_request = repeated;
    response.n_versions = repeated ? 0 : request->n_events;
    response.versions = versions;
    rpc_call_reply(call, &response.base);
}

/* Refuses, or does it and loses the answer; false if the call goes its way. */
static bool misbehave(struct fake_log *log, struct rpc_server_call *call,
                      const Estreat__V1__AppendRequest *request)
{
    if (happens(log, log->refuse_percent)) {
        char text[16];
        (void)snprintf(text, sizeof text, "%u", log->pushback_ms);
        const struct rpc_metadata pair = {.name = "retry-after-ms", .value = slice_of_string(text)};
        rpc_call_fail_with(call,
                           log->pushback_ms != 0 ? STATUS_RESOURCE_EXHAUSTED : STATUS_UNAVAILABLE,
                           "refused", (struct rpc_metadata_list){&pair, log->pushback_ms != 0});
        return true;
    }
    if (log->applied[request->sequence] == 0 && happens(log, log->lose_answers_percent)) {
        apply(log, request);
        rpc_call_fail(call, STATUS_UNAVAILABLE, "the answer was lost");
        return true;
    }
    return false;
}

/* A node that is down, or that does not lead. */
static bool turned_away(struct fake_node *node, struct rpc_server_call *call, bool needs_leader)
{
    (void)atomic_fetch_add(&node->calls, 1);
    if (node->down) {
        rpc_call_fail(call, STATUS_UNAVAILABLE, "down");
        return true;
    }
    if (needs_leader && node->leader[0] != '\0') {
        const struct rpc_metadata pair = {.name = RPC_METADATA_LEADER_ENDPOINT,
                                          .value = slice_of_string(node->leader)};
        rpc_call_fail_with(call, STATUS_UNAVAILABLE, "this node does not lead",
                           (struct rpc_metadata_list){&pair, 1});
        return true;
    }
    return false;
}

static void on_append(void *context, struct rpc_server_call *call, const ProtobufCMessage *message)
{
    struct fake_node *node = context;
    struct fake_log *log = node->log;
    const Estreat__V1__AppendRequest *request = (const Estreat__V1__AppendRequest *)message;
    if (turned_away(node, call, true)) {
        return;
    }
    mutex_lock(&log->mutex);
    log->appends++;
    log->firsts += request->first_attempt_ns == 0 ? 1 : 0;
    check_rules(log, request);
    if (log->complaint[0] != '\0') {
        rpc_call_fail(call, STATUS_INTERNAL, log->complaint);
    } else if (!misbehave(log, call, request)) {
        bool repeated = log->applied[request->sequence] != 0;
        if (repeated) {
            log->repeats++;
            if (request->first_attempt_ns == 0) {
                complain(log, "a repeat that claims to be a first attempt");
            }
        } else {
            apply(log, request);
        }
        reply(log, call, request, repeated);
    }
    mutex_unlock(&log->mutex);
}

/* --- reads -------------------------------------------------------------------------------- */

static void fill_event(const struct fake_log *log, uint64_t position, Estreat__V1__Event *out)
{
    const struct fake_event *event = &log->events[position];
    estreat__v1__event__init(out);
    out->position = position;
    out->time_ns = TIME_BASE_NS + position;
    out->key = (ProtobufCBinaryData){strlen(event->key), (uint8_t *)(uintptr_t)event->key};
    out->payload =
        (ProtobufCBinaryData){strlen(event->payload), (uint8_t *)(uintptr_t)event->payload};
    out->kind = ESTREAT__V1__KIND__KIND_UPDATE;
    for (uint64_t i = 0; i < position; i++) {
        out->version += strcmp(log->events[i].key, event->key) == 0 ? 1 : 0;
    }
}

static bool meets_damage(const struct fake_node *node, uint64_t position)
{
    return node->damaged && node->damage == position;
}

struct stream {
    struct fake_node *node;
    struct fake_log *log;
    struct rpc_server_call *call;
    Estreat__V1__Event *events; /* room for log->batch */
    Estreat__V1__Event **list;
    size_t count;
    unsigned messages;
    bool broken;
};

/* Sends what is collected; at the break it ends the call instead. */
static void flush(struct stream *stream, uint64_t next_position)
{
    Estreat__V1__EventBatch batch = ESTREAT__V1__EVENT_BATCH__INIT;
    if (stream->broken || stream->count == 0) {
        return;
    }
    if (stream->log->break_after != 0 && stream->messages == stream->log->break_after) {
        rpc_call_fail(stream->call, STATUS_UNAVAILABLE, "broken off");
        stream->broken = true;
        return;
    }
    batch.n_events = stream->count;
    batch.events = stream->list;
    batch.next_position = next_position;
    (void)rpc_call_send(stream->call, &batch.base);
    stream->count = 0;
    stream->messages++;
}

static void stream_begin(struct stream *stream, struct fake_node *node,
                         struct rpc_server_call *call)
{
    struct fake_log *log = node->log;
    *stream = (struct stream){.node = node, .log = log, .call = call};
    stream->events = alloc_zeroed(alloc_default(), log->batch, sizeof(Estreat__V1__Event));
    stream->list = alloc_zeroed(alloc_default(), log->batch, sizeof(Estreat__V1__Event *));
    CHECK(stream->events != NULL && stream->list != NULL);
    log->streams++;
}

static void stream_end(struct stream *stream)
{
    flush(stream, 0);
    if (!stream->broken) {
        rpc_call_finish(stream->call);
    }
    alloc_free(alloc_default(), stream->events);
    alloc_free(alloc_default(), stream->list);
}

static void stream_add(struct stream *stream, uint64_t position, bool is_read)
{
    if (meets_damage(stream->node, position)) {
        flush(stream, is_read ? position : 0);
        if (!stream->broken) {
            rpc_call_fail(stream->call, STATUS_DATA_LOSS, "the table is damaged");
        }
        stream->broken = true;
        return;
    }
    fill_event(stream->log, position, &stream->events[stream->count]);
    stream->list[stream->count] = &stream->events[stream->count];
    stream->count++;
    if (stream->count == stream->log->batch) {
        flush(stream, is_read ? position + 1 : 0);
    }
}

static bool key_is(const struct fake_event *event, ProtobufCBinaryData key)
{
    return slice_equal(slice_of_string(event->key), slice_of(key.data, key.len));
}

static void on_read(void *context, struct rpc_server_call *call, const ProtobufCMessage *message)
{
    struct fake_node *node = context;
    struct fake_log *log = node->log;
    const Estreat__V1__ReadRequest *request = (const Estreat__V1__ReadRequest *)message;
    struct stream stream;
    if (turned_away(node, call, false)) {
        return;
    }
    mutex_lock(&log->mutex);
    stream_begin(&stream, node, call);
    uint64_t from = request->from == NULL ? 0 : request->from->position;
    uint64_t to = request->to == NULL ? log->size : request->to->position;
    uint64_t left = request->limit == 0 ? UINT64_MAX : request->limit;
    for (uint64_t i = from; i < to && i < log->size && left > 0 && !stream.broken; i++) {
        if (request->filter->key.len == 0 || key_is(&log->events[i], request->filter->key)) {
            stream_add(&stream, i, true);
            left--;
        }
    }
    stream_end(&stream);
    mutex_unlock(&log->mutex);
}

static void on_history(void *context, struct rpc_server_call *call, const ProtobufCMessage *message)
{
    struct fake_node *node = context;
    struct fake_log *log = node->log;
    const Estreat__V1__HistoryRequest *request = (const Estreat__V1__HistoryRequest *)message;
    struct stream stream;
    uint64_t version = 0;
    if (turned_away(node, call, false)) {
        return;
    }
    mutex_lock(&log->mutex);
    stream_begin(&stream, node, call);
    uint64_t left = request->limit == 0 ? UINT64_MAX : request->limit;
    for (uint64_t i = 0; i < log->size && left > 0 && !stream.broken; i++) {
        if (key_is(&log->events[i], request->key) && version++ >= request->from_version) {
            stream_add(&stream, i, false);
            left--;
        }
    }
    stream_end(&stream);
    mutex_unlock(&log->mutex);
}

static void on_get(void *context, struct rpc_server_call *call, const ProtobufCMessage *message)
{
    struct fake_node *node = context;
    struct fake_log *log = node->log;
    const Estreat__V1__GetRequest *request = (const Estreat__V1__GetRequest *)message;
    Estreat__V1__Event event;
    Estreat__V1__GetResponse response = ESTREAT__V1__GET_RESPONSE__INIT;
    if (turned_away(node, call, false)) {
        return;
    }
    mutex_lock(&log->mutex);
    for (uint64_t i = log->size; i > 0 && response.event == NULL; i--) {
        if (key_is(&log->events[i - 1], request->key)) {
            fill_event(log, i - 1, &event);
            response.event = &event;
        }
    }
    if (response.event != NULL && meets_damage(node, event.position)) {
        rpc_call_fail(call, STATUS_DATA_LOSS, "the table is damaged");
    } else if (response.event != NULL) {
        rpc_call_reply(call, &response.base);
    } else {
        rpc_call_fail(call, STATUS_NOT_FOUND, "there is no such key");
    }
    mutex_unlock(&log->mutex);
}

static void on_count(void *context, struct rpc_server_call *call, const ProtobufCMessage *message)
{
    struct fake_node *node = context;
    Estreat__V1__CountResponse response = ESTREAT__V1__COUNT_RESPONSE__INIT;
    (void)message;
    if (turned_away(node, call, false)) {
        return;
    }
    mutex_lock(&node->log->mutex);
    response.count = node->log->size;
    response.size = node->log->size;
    mutex_unlock(&node->log->mutex);
    rpc_call_reply(call, &response.base);
}

/* --- the node ----------------------------------------------------------------------------- */

void fake_node_open(struct fake_node *node, struct fake_log *log)
{
    fake_node_open_with(node, log, (struct rpc_server_options){.url = NULL});
}

void fake_node_open_with(struct fake_node *node, struct fake_log *log,
                         struct rpc_server_options options)
{
    static const rpc_handler_fn handlers[] = {on_append, on_get, on_history, on_read, on_count};
    const struct rpc_loop_options loop_options = {.name = "fake-node"};
    struct error err = ERROR_INIT;
    options.url = "tcp://127.0.0.1:0";
    *node = (struct fake_node){.log = log};
    CHECK(rpc_loop_open(&loop_options, &node->loop, &err) == STATUS_OK);
    CHECK(rpc_server_open(node->loop, &options, &node->server, &err) == STATUS_OK);
    CHECK(rpc_server_register(node->server, &estreat__v1__log__descriptor, handlers, node, &err) ==
          STATUS_OK);
    rpc_server_start(node->server);
    (void)snprintf(node->endpoint, sizeof node->endpoint, "127.0.0.1:%u",
                   rpc_server_port(node->server));
}

void fake_node_close(struct fake_node *node)
{
    rpc_server_close(node->server, 1000);
    rpc_loop_close(node->loop);
}
