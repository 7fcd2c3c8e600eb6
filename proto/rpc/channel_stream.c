/* SPDX-License-Identifier: Apache-2.0
 *
 * A stream on the client's side. The loop receives; the consumer is a callback on
 * the loop, or a thread that pulls. Credit bounds what can wait for a consumer.
 *
 * References: the owner's, the loop's while the call has not ended, and one for
 * each posted event.
 */
#include "base/check.h"
#include "base/coding.h"
#include "base/limits.h"
#include "base/sync.h"
#include "rpc/channel.h"
#include "rpc/channel_internal.h"
#include "rpc/unpack.h"

#define FROM(member, pointer)                                                                      \
    ((struct rpc_stream *)(void *)((char *)(pointer)-offsetof(struct rpc_stream, member)))

struct received {
    struct received *next;
    struct rpc_arena arena;
    const ProtobufCMessage *message;
    size_t bytes;
};

struct rpc_stream {
    struct rpc_client_call call;
    struct rpc_loop *loop;
    struct alloc *alloc;
    struct rpc_stream_callbacks callbacks;
    bool pulled; /* no callbacks */
    size_t window;
    _Atomic unsigned refs;
    _Atomic bool let_go; /* by the owner: no further callbacks */
    _Atomic bool cancel_posted;
    struct rpc_event cancel_event;
    _Atomic size_t consumed; /* not yet given back */
    _Atomic bool credit_posted;
    struct rpc_event credit_event;
    int64_t credit;     /* what the server may still send; the loop's */
    struct mutex mutex; /* guards what follows */
    struct condition condition;
    struct received *first;
    struct received **last;
    bool ended;
    struct error end;
    struct rpc_metadata_list end_metadata;
    bool end_refused;
    struct rpc_arena end_arena;
    /* the consumer's */
    struct received *current;
};

static void received_free(struct rpc_stream *stream, struct received *received)
{
    if (received != NULL) {
        rpc_arena_release(&received->arena);
        alloc_free(stream->alloc, received);
    }
}

static void unref(struct rpc_stream *stream)
{
    if (atomic_fetch_sub(&stream->refs, 1) > 1) {
        return;
    }
    while (stream->first != NULL) {
        struct received *next = stream->first->next;
        received_free(stream, stream->first);
        stream->first = next;
    }
    received_free(stream, stream->current);
    rpc_arena_release(&stream->end_arena);
    condition_release(&stream->condition);
    mutex_release(&stream->mutex);
    alloc_free(stream->alloc, stream);
}

/* Credit. */

static void run_credit(struct rpc_event *event)
{
    struct rpc_stream *stream = FROM(credit_event, event);
    atomic_store(&stream->credit_posted, false);
    size_t bytes = atomic_exchange(&stream->consumed, 0);
    struct rpc_client_call *call = &stream->call;
    if (bytes > 0 && !call->ended && call->link != NULL) {
        stream->credit += (int64_t)bytes;
        struct rpc_out *out = rpc_out_new(stream->alloc, 8, &call->channel->queued_bytes);
        if (out != NULL) {
            put_le64(rpc_out_body(out), bytes);
            rpc_frame_seal(out->bytes, 8, RPC_CREDIT, 0, call->node.id);
        }
        rpc_conn_send(call->link->conn, out);
    }
    unref(stream);
}

void rpc_stream_consumed(struct rpc_stream *stream, size_t bytes)
{
    /* Half a window at a time: few frames, and the server never runs dry for long. */
    size_t total = atomic_fetch_add(&stream->consumed, bytes) + bytes;
    if (total >= stream->window / 2 && !atomic_exchange(&stream->credit_posted, true)) {
        (void)atomic_fetch_add(&stream->refs, 1);
        rpc_loop_post(stream->loop, &stream->credit_event);
    }
}

/* What arrives; on the loop. */

static struct received *unpack(struct rpc_stream *stream, struct slice body, struct error *err)
{
    struct received *received = alloc_new(stream->alloc, sizeof *received);
    if (received == NULL) {
        error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a message");
        return NULL;
    }
    *received = (struct received){.bytes = body.length};
    rpc_arena_init(&received->arena, stream->alloc, body.length + body.length / 2 + 256,
                   rpc_unpack_budget(body.length));
    ProtobufCMessage *message = NULL;
    if (rpc_unpack(stream->call.output, body, &received->arena, &message, err) != STATUS_OK) {
        received_free(stream, received);
        return NULL;
    }
    received->message = message;
    return received;
}

static void on_message(struct rpc_client_call *call, struct slice body)
{
    struct rpc_stream *stream = FROM(call, call);
    struct error error = ERROR_INIT;
    if (stream->credit <= 0) {
        rpc_client_call_abandon(call, STATUS_INTERNAL, "the server sends more than its credit");
        return;
    }
    stream->credit -= (int64_t)body.length;
    struct received *received = unpack(stream, body, &error);
    if (received == NULL) {
        rpc_client_call_abandon(call, STATUS_INTERNAL, error.text);
        return;
    }
    if (stream->pulled) {
        mutex_lock(&stream->mutex);
        *stream->last = received;
        stream->last = &received->next;
        condition_signal(&stream->condition);
        mutex_unlock(&stream->mutex);
        return;
    }
    (void)atomic_fetch_add(&stream->refs, 1);
    if (!atomic_load(&stream->let_go) &&
        stream->callbacks.on_message(stream->callbacks.context, stream, received->message,
                                     received->bytes)) {
        rpc_stream_consumed(stream, received->bytes);
    }
    received_free(stream, received);
    unref(stream);
}

static void keep_metadata(struct rpc_stream *stream, struct rpc_metadata_list list)
{
    struct rpc_metadata *pairs =
        list.count == 0 ? NULL : rpc_arena_alloc(&stream->end_arena, list.count * sizeof *pairs);
    size_t count = 0;
    for (size_t i = 0; pairs != NULL && i < list.count; i++) {
        const char *name = rpc_arena_copy(&stream->end_arena, slice_of_string(list.pairs[i].name));
        const char *value = rpc_arena_copy(&stream->end_arena, list.pairs[i].value);
        if (name != NULL && value != NULL) {
            pairs[count++] = (struct rpc_metadata){
                .name = name, .value = slice_of(value, list.pairs[i].value.length)};
        }
    }
    stream->end_metadata = (struct rpc_metadata_list){.pairs = pairs, .count = count};
}

static void on_end(struct rpc_client_call *call, const struct rpc_result *result,
                   struct rpc_arena *arena)
{
    (void)arena;
    struct rpc_stream *stream = FROM(call, call);
    mutex_lock(&stream->mutex);
    stream->ended = true;
    error_set(&stream->end, result->status, "%s", result->text);
    keep_metadata(stream, result->metadata);
    stream->end_refused = result->refused;
    condition_broadcast(&stream->condition);
    mutex_unlock(&stream->mutex);
    if (!stream->pulled && !atomic_load(&stream->let_go)) {
        stream->callbacks.on_end(stream->callbacks.context, stream, result);
    }
    unref(stream);
}

/* The owner's side. */

static void run_cancel(struct rpc_event *event)
{
    struct rpc_stream *stream = FROM(cancel_event, event);
    if (!stream->call.ended) {
        rpc_client_call_abandon(&stream->call, STATUS_CANCELLED, "cancelled by the caller");
    }
    unref(stream);
}

struct rpc_stream *rpc_channel_stream(struct rpc_channel *channel,
                                      const ProtobufCServiceDescriptor *service, unsigned method,
                                      const ProtobufCMessage *request,
                                      const struct rpc_call_options *options,
                                      const struct rpc_stream_callbacks *callbacks)
{
    struct rpc_stream *stream = alloc_zeroed(channel->alloc, 1, sizeof *stream);
    if (stream == NULL) {
        return NULL;
    }
    stream->loop = channel->loop;
    stream->alloc = channel->alloc;
    stream->pulled = callbacks == NULL;
    if (callbacks != NULL) {
        stream->callbacks = *callbacks;
    }
    stream->window = options == NULL ? 0 : options->stream_credit_bytes;
    if (stream->window == 0) {
        stream->window = STREAM_CREDIT_BYTES;
    }
    stream->credit = (int64_t)stream->window;
    atomic_store(&stream->refs, 2);
    stream->cancel_event.run = run_cancel;
    stream->credit_event.run = run_credit;
    stream->last = &stream->first;
    mutex_init(&stream->mutex);
    condition_init(&stream->condition);
    rpc_arena_init(&stream->end_arena, channel->alloc, 256,
                   METADATA_BYTES_MAX + METADATA_PAIRS_MAX * 128);
    stream->call.on_end = on_end;
    stream->call.on_message = on_message;
    rpc_client_call_init(&stream->call, channel, service, method, request, options, true);
    rpc_client_call_post(&stream->call);
    return stream;
}

enum status rpc_stream_next(struct rpc_stream *stream, const ProtobufCMessage **message,
                            struct error *err)
{
    CHECK(stream->pulled);
    CHECK(!rpc_loop_is_current(stream->loop));
    if (stream->current != NULL) {
        rpc_stream_consumed(stream, stream->current->bytes);
        received_free(stream, stream->current);
        stream->current = NULL;
    }
    mutex_lock(&stream->mutex);
    while (stream->first == NULL && !stream->ended) {
        condition_wait(&stream->condition, &stream->mutex);
    }
    stream->current = stream->first;
    if (stream->current != NULL) {
        stream->first = stream->current->next;
        if (stream->first == NULL) {
            stream->last = &stream->first;
        }
    }
    mutex_unlock(&stream->mutex);
    if (stream->current != NULL) {
        *message = stream->current->message;
        return STATUS_OK;
    }
    *message = NULL;
    if (stream->end.status != STATUS_OK) {
        return error_set(err, stream->end.status, "%s", stream->end.text);
    }
    return STATUS_OK;
}

struct rpc_metadata_list rpc_stream_metadata(const struct rpc_stream *stream)
{
    return stream->end_metadata;
}

bool rpc_stream_refused(const struct rpc_stream *stream)
{
    return stream->end_refused;
}

void rpc_stream_cancel(struct rpc_stream *stream)
{
    if (!atomic_exchange(&stream->cancel_posted, true)) {
        (void)atomic_fetch_add(&stream->refs, 1);
        rpc_loop_post(stream->loop, &stream->cancel_event);
    }
}

void rpc_stream_free(struct rpc_stream *stream)
{
    if (stream == NULL) {
        return;
    }
    atomic_store(&stream->let_go, true);
    rpc_stream_cancel(stream);
    unref(stream);
}
