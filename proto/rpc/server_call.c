/* SPDX-License-Identifier: Apache-2.0
 *
 * A call in its handler's hands. What a handler says is packed on its own thread
 * and handed to the loop, which owns everything else about the call. Handlers on the
 * loop's thread skip the hand-over.
 */
#include "base/check.h"
#include "base/limits.h"
#include "rpc/envelope.h"
#include "rpc/server_internal.h"

#define FROM(member, pointer)                                                                      \
    ((struct rpc_server_call *)(void *)((char *)(pointer)-offsetof(struct rpc_server_call, member)))

static struct rpc_loop *loop_of(const struct rpc_server_call *call)
{
    return call->session->server->loop;
}

/* The end of a call, on the loop. */

static void call_free(struct rpc_server_call *call)
{
    struct rpc_session *session = call->session;
    struct rpc_server *server = session->server;
    rpc_arena_release(&call->arena);
    alloc_free(server->alloc, call);
    rpc_session_unref(session);
}

static void unpin(struct rpc_server_call *call)
{
    CHECK(call->pins > 0);
    if (--call->pins == 0 && call->finished) {
        call_free(call);
    }
}

static void stop_waiting(struct rpc_server_call *call)
{
    if (call->waiting_place != NULL) {
        *call->waiting_place = call->waiting_next;
        if (call->waiting_next != NULL) {
            call->waiting_next->waiting_place = call->waiting_place;
        }
        call->waiting_place = NULL;
        call->waiting_next = NULL;
    }
}

static void complete(struct rpc_server_call *call, enum status status)
{
    struct rpc_session *session = call->session;
    struct rpc_server *server = session->server;
    CHECK(!call->finished);
    call->finished = true;
    call->writable.armed = false;
    call->cancel.armed = false;
    stop_waiting(call);
    if (call->in_map) {
        call->in_map = false;
        rpc_call_map_remove(&session->calls, &call->node);
    }
    uint64_t now_ns = clock_monotonic_ns(rpc_loop_clock(server->loop));
    histogram_record(&call->method->stats.latency_ns, now_ns - call->begin_ns);
    counter_add(&call->method->stats.by_status[status], 1);
    counter_add(&server->stats.calls_in_flight, (uint64_t)-1);
    counter_add(&server->stats.request_bytes, (uint64_t)-call->memory_bytes);
    server->request_bytes -= call->memory_bytes;
    server->calls_open--;
    if (server->closing) {
        /* May free the server's last sessions, but not this one: the call holds it. */
        rpc_server_check_closed(server);
    }
    if (call->pins == 0) {
        call_free(call);
    }
}

/* Sends `out` (may be NULL: nothing to send) unless nobody waits for it. */
static void send_or_drop(struct rpc_server_call *call, struct rpc_out *out)
{
    if (out == NULL) {
        return;
    }
    if (call->session->conn == NULL || atomic_load(&call->cancelled)) {
        rpc_out_free(out);
    } else {
        rpc_conn_send(call->session->conn, out);
    }
}

static void run_send(struct rpc_event *event)
{
    struct rpc_out *out =
        (struct rpc_out *)(void *)((char *)event - offsetof(struct rpc_out, event));
    send_or_drop(out->owner, out);
}

static void run_send_and_finish(struct rpc_event *event)
{
    struct rpc_out *out =
        (struct rpc_out *)(void *)((char *)event - offsetof(struct rpc_out, event));
    struct rpc_server_call *call = out->owner;
    enum status status = call->finish_status;
    send_or_drop(call, out);
    complete(call, status);
}

static void run_finish(struct rpc_event *event)
{
    struct rpc_server_call *call = FROM(finish_event, event);
    struct rpc_conn *conn = call->session->conn;
    if (call->in_map && !call->oneway && !atomic_load(&call->cancelled)) {
        rpc_conn_send(conn, NULL); /* no memory for the answer that the caller waits for */
    }
    complete(call, call->finish_status);
}

/* Hands the last frame to the loop, or NULL if there is none. */
static void finish_with(struct rpc_server_call *call, struct rpc_out *out, enum status status)
{
    struct rpc_event *event = &call->finish_event;
    call->finish_status = status;
    if (out != NULL) {
        out->owner = call;
        out->event.run = run_send_and_finish;
        event = &out->event;
    }
    if (rpc_loop_is_current(loop_of(call))) {
        event->run(event);
    } else {
        rpc_loop_post(loop_of(call), event);
    }
}

/* What handlers call. */

void rpc_call_fail_with(struct rpc_server_call *call, enum status status, const char *text,
                        struct rpc_metadata_list metadata)
{
    CHECK(status != STATUS_OK);
    struct rpc_session *session = call->session;
    struct rpc_out *out = NULL;
    if (!call->oneway && !atomic_load(&call->cancelled)) {
        out = rpc_out_status(session->server->alloc, call->node.id, status, text, metadata,
                             &session->queued_bytes);
    }
    finish_with(call, out, status);
}

void rpc_call_fail(struct rpc_server_call *call, enum status status, const char *text)
{
    rpc_call_fail_with(call, status, text, (struct rpc_metadata_list){NULL, 0});
}

static void fail_too_large(struct rpc_server_call *call, size_t length)
{
    char text[ERROR_TEXT_BYTES];
    (void)snprintf(text, sizeof text, "the response of %zu bytes exceeds the caller's limit of %zu",
                   length, call->session->peer_frame_bytes_max);
    rpc_call_fail(call, STATUS_RESOURCE_EXHAUSTED, text);
}

static bool fits_peer(const struct rpc_server_call *call, size_t length)
{
    return call->session->peer_frame_bytes_max == 0 ||
           length <= call->session->peer_frame_bytes_max;
}

void rpc_call_reply(struct rpc_server_call *call, const ProtobufCMessage *response)
{
    CHECK(!call->method->streams);
    if (call->oneway || atomic_load(&call->cancelled)) {
        finish_with(call, NULL, STATUS_OK);
        return;
    }
    size_t length = protobuf_c_message_get_packed_size(response);
    if (!fits_peer(call, length)) {
        fail_too_large(call, length);
        return;
    }
    struct rpc_session *session = call->session;
    struct rpc_out *out = rpc_out_message(session->server->alloc, RPC_MESSAGE, RPC_FLAG_END,
                                          call->node.id, response, &session->queued_bytes);
    if (out == NULL) {
        rpc_call_fail(call, STATUS_RESOURCE_EXHAUSTED, "no memory for the response");
        return;
    }
    finish_with(call, out, STATUS_OK);
}

/* Room for more on the connection: half of its bound, so that streams leave room for others. */
static bool connection_has_room(const struct rpc_server_call *call)
{
    return atomic_load(&call->session->queued_bytes) <=
           call->session->server->options.queued_bytes_max / 2;
}

static bool may_send(struct rpc_server_call *call)
{
    return atomic_load(&call->credit) > 0 && connection_has_room(call);
}

bool rpc_call_send(struct rpc_server_call *call, const ProtobufCMessage *message)
{
    CHECK(call->method->streams);
    struct rpc_session *session = call->session;
    if (atomic_load(&call->cancelled) || atomic_load(&call->cut_off) != STATUS_OK) {
        return false;
    }
    size_t length = protobuf_c_message_get_packed_size(message);
    struct rpc_out *out = NULL;
    if (fits_peer(call, length) &&
        atomic_load(&session->queued_bytes) <= session->server->options.queued_bytes_max) {
        out = rpc_out_message(session->server->alloc, RPC_MESSAGE, 0, call->node.id, message,
                              &session->queued_bytes);
    }
    if (out == NULL) {
        atomic_store(&call->cut_off, STATUS_RESOURCE_EXHAUSTED);
        return false;
    }
    (void)atomic_fetch_sub(&call->credit, (int64_t)length);
    bool more = may_send(call);
    out->owner = call;
    out->event.run = run_send;
    if (rpc_loop_is_current(loop_of(call))) {
        run_send(&out->event);
    } else {
        rpc_loop_post(loop_of(call), &out->event);
    }
    return more;
}

void rpc_call_finish(struct rpc_server_call *call)
{
    CHECK(call->oneway || call->method->streams);
    if (call->oneway || atomic_load(&call->cancelled)) {
        finish_with(call, NULL, STATUS_OK);
        return;
    }
    if (atomic_load(&call->cut_off) != STATUS_OK) {
        rpc_call_fail(call, STATUS_RESOURCE_EXHAUSTED,
                      "a message of the stream was too large, or the stream was not read");
        return;
    }
    struct rpc_session *session = call->session;
    finish_with(call,
                rpc_out_status(session->server->alloc, call->node.id, STATUS_OK, "",
                               (struct rpc_metadata_list){NULL, 0}, &session->queued_bytes),
                STATUS_OK);
}

/* Wishes. */

static void grant(struct rpc_call_wish *wish)
{
    if (wish->armed) {
        wish->armed = false;
        wish->fn(wish->context);
    }
}

static void consider_writable(struct rpc_server_call *call)
{
    if (call->writable.armed && (atomic_load(&call->cancelled) ||
                                 atomic_load(&call->cut_off) != STATUS_OK || may_send(call))) {
        stop_waiting(call);
        grant(&call->writable); /* may end the call */
    }
}

static void start_waiting(struct rpc_server_call *call)
{
    struct rpc_session *session = call->session;
    call->waiting_next = session->waiting_first;
    call->waiting_place = &session->waiting_first;
    if (call->waiting_next != NULL) {
        call->waiting_next->waiting_place = &call->waiting_next;
    }
    session->waiting_first = call;
}

static void arm_writable(struct rpc_event *event)
{
    struct rpc_server_call *call = FROM(writable.event, event);
    call->writable.armed = true;
    start_waiting(call);
    consider_writable(call);
}

static void arm_cancel(struct rpc_event *event)
{
    struct rpc_server_call *call = FROM(cancel.event, event);
    call->cancel.armed = true;
    if (atomic_load(&call->cancelled)) {
        grant(&call->cancel);
    }
}

void rpc_server_call_init(struct rpc_server_call *call)
{
    call->finish_event.run = run_finish;
    call->writable.event.run = arm_writable;
    call->cancel.event.run = arm_cancel;
}

void rpc_call_on_writable(struct rpc_server_call *call, void (*fn)(void *context), void *context)
{
    call->writable.fn = fn;
    call->writable.context = context;
    rpc_loop_post(loop_of(call), &call->writable.event);
}

void rpc_call_on_cancel(struct rpc_server_call *call, void (*fn)(void *context), void *context)
{
    call->cancel.fn = fn;
    call->cancel.context = context;
    rpc_loop_post(loop_of(call), &call->cancel.event);
}

void rpc_server_call_cancel(struct rpc_server_call *call)
{
    if (atomic_exchange(&call->cancelled, true)) {
        return;
    }
    call->pins++;
    grant(&call->cancel);
    if (!call->finished) {
        consider_writable(call);
    }
    unpin(call);
}

void rpc_server_call_credit(struct rpc_server_call *call, int64_t bytes)
{
    (void)atomic_fetch_add(&call->credit, bytes);
    consider_writable(call);
}

void rpc_session_on_written(void *context)
{
    struct rpc_session *session = context;
    struct rpc_server_call *rest = session->waiting_first;
    if (rest == NULL) {
        return;
    }
    /* Those who wait move to a list of this function's, since a wish that is granted may end
     * any call, and a call that sends and waits again joins the session's. */
    session->waiting_first = NULL;
    rest->waiting_place = &rest;
    session->refs++;
    while (rest != NULL) {
        struct rpc_server_call *call = rest;
        stop_waiting(call);
        start_waiting(call);
        consider_writable(call);
    }
    rpc_session_unref(session);
}

/* What handlers ask. */

bool rpc_call_cancelled(const struct rpc_server_call *call)
{
    return atomic_load(&call->cancelled);
}

uint64_t rpc_call_deadline_ns(const struct rpc_server_call *call)
{
    return call->deadline_ns;
}

bool rpc_call_is_oneway(const struct rpc_server_call *call)
{
    return call->oneway;
}

struct rpc_metadata_list rpc_call_metadata(const struct rpc_server_call *call)
{
    return call->metadata;
}

const char *rpc_call_peer_id(const struct rpc_server_call *call)
{
    return call->session->peer_id;
}

const char *rpc_call_method_name(const struct rpc_server_call *call)
{
    return call->method->stats.name;
}
