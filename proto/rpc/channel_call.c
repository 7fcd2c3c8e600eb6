/* SPDX-License-Identifier: Apache-2.0
 *
 * A call on the client's side: packed by the thread that makes it, then the loop's
 * until it ends.
 */
#include "base/check.h"
#include "base/limits.h"
#include "rpc/channel.h"
#include "rpc/channel_internal.h"
#include "rpc/envelope.h"

/* Small answers are unpacked on the stack. */
enum { REPLY_MEMORY_BYTES = 2048 };

#define FROM(type, member, pointer) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

void rpc_call_list_append(struct rpc_call_list *list, struct rpc_client_call *call)
{
    call->pending = true;
    call->next = NULL;
    call->previous = list->last;
    if (list->last == NULL) {
        list->first = call;
    } else {
        list->last->next = call;
    }
    list->last = call;
}

void rpc_call_list_remove(struct rpc_call_list *list, struct rpc_client_call *call)
{
    CHECK(call->pending);
    call->pending = false;
    if (call->previous == NULL) {
        list->first = call->next;
    } else {
        call->previous->next = call->next;
    }
    if (call->next == NULL) {
        list->last = call->previous;
    } else {
        call->next->previous = call->previous;
    }
}

/* The end. */

void rpc_client_call_end(struct rpc_client_call *call, const struct rpc_result *result,
                         struct rpc_arena *arena)
{
    struct rpc_channel *channel = call->channel;
    struct rpc_link *link = call->link;
    CHECK(!call->ended);
    call->ended = true;
    call->channel = NULL;
    call->link = NULL;
    rpc_timer_cancel(channel->loop, &call->timer);
    rpc_out_free(call->out);
    call->out = NULL;
    if (call->pending) {
        rpc_call_list_remove(&channel->pending, call);
    }
    if (link != NULL) {
        rpc_call_map_remove(&link->calls, &call->node);
    }
    (void)atomic_fetch_sub(&channel->calls, 1);
    if (link != NULL) {
        rpc_channel_link_left(link);
    }
    call->on_end(call, result, arena);
}

void rpc_client_call_end_with(struct rpc_client_call *call, enum status status, const char *text)
{
    /* Before the first answer of a connection, RESOURCE_EXHAUSTED is the server's refusal of it. */
    bool refused = status == STATUS_RESOURCE_EXHAUSTED && call->channel->refused;
    struct rpc_result result = {.status = status,
                                .text = text,
                                .refused = refused && call->early.status == STATUS_OK,
                                .sent = call->sent && !refused};
    rpc_client_call_end(call, &result, NULL);
}

void rpc_client_call_abandon(struct rpc_client_call *call, enum status status, const char *text)
{
    struct rpc_channel *channel = call->channel;
    /* A conn outlives this turn of the loop, even if the call was its last one. */
    struct rpc_conn *conn = call->link == NULL ? NULL : call->link->conn;
    uint64_t id = call->node.id;
    rpc_client_call_end_with(call, status, text);
    if (conn != NULL) {
        rpc_conn_send(
            conn, rpc_out_message(channel->alloc, RPC_CANCEL, 0, id, NULL, &channel->queued_bytes));
    }
}

static void on_deadline(struct rpc_timer *timer)
{
    rpc_client_call_abandon(FROM(struct rpc_client_call, timer, timer), STATUS_DEADLINE_EXCEEDED,
                            "no answer before the deadline");
}

/* The beginning. */

void rpc_client_call_send(struct rpc_client_call *call)
{
    struct rpc_link *link = call->channel->link;
    uint64_t takes = rpc_conn_peer(link->conn)->frame_bytes_max;
    size_t length = call->out->length - RPC_FRAME_HEADER_BYTES;
    if (takes != 0 && length > takes) {
        char text[ERROR_TEXT_BYTES];
        (void)snprintf(text, sizeof text, "the request of %zu bytes exceeds the server's limit",
                       length);
        rpc_client_call_end_with(call, STATUS_INVALID_ARGUMENT, text);
        return;
    }
    struct rpc_out *out = call->out;
    call->out = NULL;
    call->link = link;
    call->sent = true;
    rpc_call_map_insert(&link->calls, &call->node);
    rpc_conn_send(link->conn, out);
}

static void start(struct rpc_event *event)
{
    struct rpc_client_call *call = FROM(struct rpc_client_call, start_event, event);
    struct rpc_channel *channel = call->channel;
    if (call->early.status != STATUS_OK) {
        struct error early = call->early;
        rpc_client_call_end_with(call, early.status, early.text);
        return;
    }
    if (channel->state == CHANNEL_BACKOFF && !call->wait_for_ready) {
        rpc_client_call_end_with(call, channel->last_error.status, channel->last_error.text);
        return;
    }
    if (call->deadline_ns != UINT64_MAX) {
        rpc_timer_set(channel->loop, &call->timer, call->deadline_ns);
    }
    if (channel->state == CHANNEL_READY) {
        rpc_client_call_send(call);
    } else {
        rpc_call_list_append(&channel->pending, call);
    }
}

/* Whether the bounds allow one more call; else `early` says why not. */
static bool admit(struct rpc_client_call *call, struct rpc_channel *channel)
{
    size_t calls = atomic_fetch_add(&channel->calls, 1);
    size_t queued = atomic_load(&channel->queued_bytes);
    if (calls >= channel->options.calls_max) {
        error_set(&call->early, STATUS_RESOURCE_EXHAUSTED, "%s: %zu calls are in flight",
                  channel->options.url, calls);
        return false;
    }
    if (queued > channel->options.queued_bytes_max) {
        error_set(&call->early, STATUS_RESOURCE_EXHAUSTED, "%s: %zu bytes wait to be sent",
                  channel->options.url, queued);
        return false;
    }
    return true;
}

void rpc_client_call_init(struct rpc_client_call *call, struct rpc_channel *channel,
                          const ProtobufCServiceDescriptor *service, unsigned method,
                          const ProtobufCMessage *request, const struct rpc_call_options *options,
                          bool streams)
{
    CHECK(method < service->n_methods);
    static const struct rpc_call_options none;
    options = options == NULL ? &none : options;
    unsigned deadline_ms = options->deadline_ms;
    if (deadline_ms == 0 && !streams) {
        deadline_ms = DEADLINE_DEFAULT_MS;
    }
    call->node.id = atomic_fetch_add(&channel->next_call_id, 1);
    call->channel = channel;
    call->streams = streams;
    call->wait_for_ready = options->wait_for_ready;
    call->output = service->methods[method].output;
    call->start_event.run = start;
    call->timer.fire = on_deadline;
    call->deadline_ns = deadline_ms == 0 ? UINT64_MAX
                                         : clock_monotonic_ns(rpc_loop_clock(channel->loop)) +
                                               deadline_ms * NS_PER_MS;
    if (!admit(call, channel)) {
        return;
    }
    struct rpc_call_envelope envelope = {
        .service = service,
        .method = method,
        .call_id = call->node.id,
        .timeout_ms = deadline_ms,
        .stream_credit = options->stream_credit_bytes,
        .metadata = options->metadata,
    };
    call->out = rpc_out_call(channel->alloc, &envelope, request, &channel->queued_bytes);
    if (call->out == NULL) {
        error_set(&call->early, STATUS_RESOURCE_EXHAUSTED, "no memory for the request");
    } else if (call->out->length - RPC_FRAME_HEADER_BYTES > channel->options.frame_bytes_max) {
        error_set(&call->early, STATUS_INVALID_ARGUMENT,
                  "the request of %zu bytes exceeds the limit of %zu",
                  call->out->length - RPC_FRAME_HEADER_BYTES, channel->options.frame_bytes_max);
    }
}

void rpc_client_call_post(struct rpc_client_call *call)
{
    rpc_loop_post(call->channel->loop, &call->start_event);
}

/* What comes back. */

static void end_unpacked(struct rpc_client_call *call, struct rpc_result *result,
                         enum status status, const struct error *error, struct rpc_arena *arena)
{
    if (status != STATUS_OK) {
        /* A server whose answers cannot be read is broken, whatever the reason is called. */
        result->status = status == STATUS_RESOURCE_EXHAUSTED ? status : STATUS_INTERNAL;
        result->text = error->text;
        result->message = NULL;
    }
    rpc_client_call_end(call, result, arena);
}

static void on_reply(struct rpc_client_call *call, const struct rpc_frame *frame,
                     struct rpc_arena *arena)
{
    struct error error = ERROR_INIT;
    struct rpc_result result = {.status = STATUS_OK, .text = "", .sent = true};
    ProtobufCMessage *message = NULL;
    enum status status = STATUS_OK;
    if ((frame->flags & RPC_FLAG_END) == 0) {
        status = error_set(&error, STATUS_INTERNAL, "a stream came for a call of one answer");
    } else {
        status = rpc_unpack(call->output, frame->body, arena, &message, &error);
    }
    result.message = message;
    end_unpacked(call, &result, status, &error, arena);
}

static void on_status(struct rpc_client_call *call, const struct rpc_frame *frame,
                      struct rpc_arena *arena)
{
    struct error error = ERROR_INIT;
    struct rpc_result result = {.status = STATUS_UNKNOWN, .text = "", .sent = true};
    ProtobufCMessage *message = NULL;
    enum status status =
        rpc_unpack(&estreat__v1__call_status__descriptor, frame->body, arena, &message, &error);
    if (status == STATUS_OK) {
        const Estreat__V1__CallStatus *told = (const Estreat__V1__CallStatus *)message;
        result.status = status_is_known(told->code) ? (enum status)told->code : STATUS_UNKNOWN;
        result.text = told->message;
        status =
            rpc_metadata_unpack(told->metadata, told->n_metadata, arena, &result.metadata, &error);
        if (status == STATUS_OK && result.status == STATUS_OK && !call->streams) {
            status = error_set(&error, STATUS_INTERNAL, "the call ended without its answer");
        }
    }
    end_unpacked(call, &result, status, &error, arena);
}

/* Ends a call by its last frame. */
static void take_last(struct rpc_client_call *call, const struct rpc_frame *frame,
                      struct alloc *alloc)
{
    _Alignas(16) uint8_t memory[REPLY_MEMORY_BYTES];
    struct rpc_arena arena;
    size_t budget = rpc_unpack_budget(frame->body.length);
    if (call->own_reply) {
        rpc_arena_init(&arena, alloc, frame->body.length + frame->body.length / 2 + 256, budget);
    } else {
        rpc_arena_init_with(&arena, alloc, memory, sizeof memory,
                            frame->body.length + frame->body.length / 2 + 256, budget);
    }
    if (frame->kind == RPC_MESSAGE) {
        on_reply(call, frame, &arena);
    } else {
        on_status(call, frame, &arena);
    }
    rpc_arena_release(&arena); /* empty if the call took it over */
}

void rpc_channel_link_frame(void *context, const struct rpc_frame *frame)
{
    struct rpc_link *link = context;
    link->heard = true;
    struct alloc *alloc = link->channel->alloc;
    if (frame->kind != RPC_MESSAGE && frame->kind != RPC_STATUS) {
        rpc_conn_refuse(link->conn, STATUS_INVALID_ARGUMENT, "a frame that only clients send");
        return;
    }
    struct rpc_call_node *node = rpc_call_map_find(&link->calls, frame->call_id);
    if (node == NULL) {
        return; /* cancelled while this was on its way */
    }
    struct rpc_client_call *call = FROM(struct rpc_client_call, node, node);
    if (frame->kind == RPC_MESSAGE && call->streams) {
        call->on_message(call, frame->body);
        return;
    }
    take_last(call, frame, alloc);
}

/* Unary calls. */

struct unary {
    struct rpc_client_call call;
    struct alloc *alloc;
};

static void unary_done(struct rpc_client_call *call, const struct rpc_result *result,
                       struct rpc_arena *arena)
{
    (void)arena;
    struct unary *unary = FROM(struct unary, call, call);
    call->done(call->context, result);
    alloc_free(unary->alloc, unary);
}

uint64_t rpc_channel_call(struct rpc_channel *channel, const ProtobufCServiceDescriptor *service,
                          unsigned method, const ProtobufCMessage *request,
                          const struct rpc_call_options *options, rpc_result_fn done, void *context)
{
    struct unary *unary = alloc_zeroed(channel->alloc, 1, sizeof *unary);
    if (unary == NULL) {
        struct rpc_result result = {.status = STATUS_RESOURCE_EXHAUSTED,
                                    .text = "no memory for a call"};
        done(context, &result);
        return 0;
    }
    unary->alloc = channel->alloc;
    unary->call.on_end = unary_done;
    unary->call.done = done;
    unary->call.context = context;
    rpc_client_call_init(&unary->call, channel, service, method, request, options, false);
    uint64_t id = unary->call.node.id;
    rpc_client_call_post(&unary->call);
    return id;
}

struct cancel {
    struct rpc_event event;
    struct rpc_channel *channel;
    uint64_t call_id;
};

static struct rpc_client_call *find_call(struct rpc_channel *channel, uint64_t id)
{
    struct rpc_call_node *node =
        channel->link == NULL ? NULL : rpc_call_map_find(&channel->link->calls, id);
    for (struct rpc_link *link = channel->draining; node == NULL && link != NULL;
         link = link->next) {
        node = rpc_call_map_find(&link->calls, id);
    }
    if (node != NULL) {
        return FROM(struct rpc_client_call, node, node);
    }
    struct rpc_client_call *call = channel->pending.first;
    while (call != NULL && call->node.id != id) {
        call = call->next;
    }
    return call;
}

static void run_cancel(struct rpc_event *event)
{
    struct cancel *cancel = FROM(struct cancel, event, event);
    struct rpc_client_call *call = find_call(cancel->channel, cancel->call_id);
    alloc_free(cancel->channel->alloc, cancel);
    if (call != NULL) {
        rpc_client_call_abandon(call, STATUS_CANCELLED, "cancelled by the caller");
    }
}

void rpc_channel_cancel(struct rpc_channel *channel, uint64_t call)
{
    struct cancel *cancel = alloc_new(channel->alloc, sizeof *cancel);
    if (cancel == NULL) {
        return; /* the deadline ends it */
    }
    *cancel = (struct cancel){.event.run = run_cancel, .channel = channel, .call_id = call};
    rpc_loop_post(channel->loop, &cancel->event);
}

/* Blocking calls. */

struct wait {
    struct rpc_client_call call;
    struct rpc_latch latch;
    struct rpc_reply *reply;
    struct error *err;
    enum status status;
};

static void wait_end(struct rpc_client_call *call, const struct rpc_result *result,
                     struct rpc_arena *arena)
{
    struct wait *wait = FROM(struct wait, call, call);
    wait->status = result->status;
    if (result->status != STATUS_OK) {
        error_set(wait->err, result->status, "%s", result->text);
    }
    wait->reply->message = result->message;
    wait->reply->metadata = result->metadata;
    wait->reply->refused = result->refused;
    if (arena != NULL) {
        wait->reply->arena = *arena;
        arena->blocks = NULL;
    }
    rpc_latch_open(&wait->latch);
}

enum status rpc_channel_call_wait(struct rpc_channel *channel,
                                  const ProtobufCServiceDescriptor *service, unsigned method,
                                  const ProtobufCMessage *request,
                                  const struct rpc_call_options *options, struct rpc_reply *reply,
                                  struct error *err)
{
    CHECK(!rpc_loop_is_current(channel->loop));
    struct wait wait;
    memset(&wait, 0, sizeof wait);
    *reply = (struct rpc_reply){.message = NULL};
    reply->arena.alloc = channel->alloc;
    wait.call.on_end = wait_end;
    wait.call.own_reply = true;
    wait.reply = reply;
    wait.err = err;
    rpc_latch_init(&wait.latch);
    rpc_client_call_init(&wait.call, channel, service, method, request, options, false);
    rpc_client_call_post(&wait.call);
    rpc_latch_wait(&wait.latch);
    return wait.status;
}

void rpc_reply_release(struct rpc_reply *reply)
{
    rpc_arena_release(&reply->arena);
    reply->message = NULL;
    reply->metadata = (struct rpc_metadata_list){NULL, 0};
}

/* One-way calls. */

static void run_send(struct rpc_event *event)
{
    struct rpc_out *out = FROM(struct rpc_out, event, event);
    struct rpc_channel *channel = out->owner;
    if (channel->state == CHANNEL_READY) {
        uint64_t takes = rpc_conn_peer(channel->link->conn)->frame_bytes_max;
        if (takes == 0 || out->length - RPC_FRAME_HEADER_BYTES <= takes) {
            rpc_conn_send(channel->link->conn, out);
            return;
        }
    }
    rpc_out_free(out);
}

bool rpc_channel_send(struct rpc_channel *channel, const ProtobufCServiceDescriptor *service,
                      unsigned method, const ProtobufCMessage *message)
{
    if (!atomic_load(&channel->connected) ||
        atomic_load(&channel->queued_bytes) > channel->options.queued_bytes_max) {
        return false;
    }
    struct rpc_call_envelope envelope = {
        .service = service,
        .method = method,
        .call_id = atomic_fetch_add(&channel->next_call_id, 1),
        .flags = RPC_FLAG_ONEWAY,
    };
    struct rpc_out *out = rpc_out_call(channel->alloc, &envelope, message, &channel->queued_bytes);
    if (out == NULL || out->length - RPC_FRAME_HEADER_BYTES > channel->options.frame_bytes_max) {
        rpc_out_free(out);
        return false;
    }
    out->owner = channel;
    out->event.run = run_send;
    rpc_loop_post(channel->loop, &out->event);
    return true;
}
