/* SPDX-License-Identifier: Apache-2.0
 *
 * From a frame to its handler. What is wrong with one call ends that call; what is
 * wrong with the protocol ends the connection.
 */
#include "base/check.h"
#include "base/coding.h"
#include "base/limits.h"
#include "rpc/envelope.h"
#include "rpc/server_internal.h"

#define FROM_NODE(pointer)                                                                         \
    ((struct rpc_server_call *)(void *)((char *)(pointer)-offsetof(struct rpc_server_call, node)))

/* Memory that comes with a call: enough for small requests. */
enum { CALL_MEMORY_BYTES = 1024 };

#define CREDIT_MAX (1LL << 40)

static void refuse_call(struct rpc_session *session, const struct rpc_frame *frame,
                        enum status status, const char *text)
{
    counter_add(&session->server->stats.calls_refused, 1);
    if ((frame->flags & RPC_FLAG_ONEWAY) == 0) {
        rpc_conn_send(session->conn,
                      rpc_out_status(session->server->alloc, frame->call_id, status, text,
                                     (struct rpc_metadata_list){NULL, 0}, &session->queued_bytes));
    }
}

static struct rpc_method *find_method(struct rpc_server *server,
                                      const Estreat__V1__CallHeader *header, void **context)
{
    for (struct rpc_service *service = server->services; service != NULL; service = service->next) {
        if (strcmp(service->descriptor->name, header->service) != 0) {
            continue;
        }
        for (unsigned i = 0; i < service->descriptor->n_methods; i++) {
            if (strcmp(service->descriptor->methods[i].name, header->method) == 0) {
                *context = service->context;
                return &service->methods[i];
            }
        }
    }
    return NULL;
}

static uint64_t deadline_after(uint64_t now_ns, uint64_t timeout_ms)
{
    if (timeout_ms == 0 || timeout_ms > (UINT64_MAX - now_ns) / NS_PER_MS) {
        return UINT64_MAX;
    }
    return now_ns + timeout_ms * NS_PER_MS;
}

static struct rpc_server_call *call_new(struct rpc_session *session, const struct rpc_frame *frame)
{
    struct rpc_server *server = session->server;
    struct rpc_server_call *call = alloc_new(server->alloc, sizeof *call + CALL_MEMORY_BYTES);
    if (call == NULL) {
        return NULL;
    }
    memset(call, 0, sizeof *call);
    call->node.id = frame->call_id;
    call->session = session;
    call->oneway = (frame->flags & RPC_FLAG_ONEWAY) != 0;
    call->begin_ns = rpc_loop_now_ns(server->loop);
    /* Unpacked, a request of many events is about as large again as its bytes. */
    rpc_arena_init_with(&call->arena, server->alloc, call->memory, CALL_MEMORY_BYTES,
                        frame->body.length + frame->body.length / 2 + CALL_MEMORY_BYTES,
                        rpc_unpack_budget(frame->body.length));
    rpc_server_call_init(call);
    return call;
}

/* Fills the call from the frame. On failure `err` says what the caller is told; `fatal` is set
 * if the connection cannot go on. */
static enum status unpack_call(struct rpc_server_call *call, const struct rpc_frame *frame,
                               void **context, ProtobufCMessage **request, bool *fatal,
                               struct error *err)
{
    const Estreat__V1__CallHeader *header = NULL;
    struct slice bytes;
    enum status status = rpc_call_split(frame->body, &call->arena, &header, &bytes, err);
    if (status != STATUS_OK) {
        *fatal = true;
        return status;
    }
    call->method = find_method(call->session->server, header, context);
    if (call->method == NULL || call->method->handler == NULL) {
        return error_set(err, STATUS_UNIMPLEMENTED, "no method %.100s/%.100s", header->service,
                         header->method);
    }
    status = rpc_metadata_unpack(header->metadata, header->n_metadata, &call->arena,
                                 &call->metadata, err);
    if (status != STATUS_OK) {
        return status;
    }
    status = rpc_unpack(call->method->input, bytes, &call->arena, request, err);
    if (status != STATUS_OK) {
        return status;
    }
    uint64_t credit = header->stream_credit == 0 ? STREAM_CREDIT_BYTES : header->stream_credit;
    atomic_store(&call->credit, credit > CREDIT_MAX ? CREDIT_MAX : (int64_t)credit);
    call->deadline_ns = deadline_after(call->begin_ns, header->timeout_ms);
    return STATUS_OK;
}

static void start_call(struct rpc_session *session, struct rpc_server_call *call,
                       const struct rpc_frame *frame)
{
    struct rpc_server *server = session->server;
    struct error error = ERROR_INIT;
    void *context = NULL;
    ProtobufCMessage *request = NULL;
    bool fatal = false;
    enum status status = unpack_call(call, frame, &context, &request, &fatal, &error);
    call->memory_bytes = sizeof *call + CALL_MEMORY_BYTES + call->arena.bytes;
    if (status == STATUS_OK &&
        call->memory_bytes > server->options.request_bytes_max - server->request_bytes) {
        status = error_set(&error, STATUS_RESOURCE_EXHAUSTED,
                           "the server holds too many requests in memory");
    }
    if (status != STATUS_OK) {
        if (call->method != NULL) {
            counter_add(&call->method->stats.by_status[status], 1);
        }
        rpc_arena_release(&call->arena);
        alloc_free(server->alloc, call);
        if (fatal) {
            rpc_conn_refuse(session->conn, status, error.text);
        } else {
            refuse_call(session, frame, status, error.text);
        }
        return;
    }
    call->in_map = true;
    rpc_call_map_insert(&session->calls, &call->node);
    session->refs++;
    server->calls_open++;
    server->request_bytes += call->memory_bytes;
    counter_add(&server->stats.calls_in_flight, 1);
    counter_add(&server->stats.request_bytes, call->memory_bytes);
    call->method->handler(context, call, request);
}

static void on_call(struct rpc_session *session, const struct rpc_frame *frame)
{
    struct rpc_server *server = session->server;
    if (frame->call_id == 0 || rpc_call_map_find(&session->calls, frame->call_id) != NULL) {
        rpc_conn_refuse(session->conn, STATUS_INVALID_ARGUMENT, "a call id that is in use");
        return;
    }
    if (server->closing) {
        refuse_call(session, frame, STATUS_UNAVAILABLE, "the server is shutting down");
        return;
    }
    if (session->calls.count >= server->options.calls_max) {
        refuse_call(session, frame, STATUS_RESOURCE_EXHAUSTED,
                    "too many calls in flight on one connection");
        return;
    }
    if (atomic_load(&session->queued_bytes) > server->options.queued_bytes_max) {
        refuse_call(session, frame, STATUS_RESOURCE_EXHAUSTED,
                    "too many replies wait to be read on this connection");
        return;
    }
    struct rpc_server_call *call = server->request_bytes >= server->options.request_bytes_max
                                       ? NULL
                                       : call_new(session, frame);
    if (call == NULL) {
        refuse_call(session, frame, STATUS_RESOURCE_EXHAUSTED,
                    "the server holds too many requests in memory");
        return;
    }
    start_call(session, call, frame);
}

static void on_credit(struct rpc_session *session, const struct rpc_frame *frame)
{
    if (frame->body.length != 8) {
        rpc_conn_refuse(session->conn, STATUS_INVALID_ARGUMENT, "CREDIT of a wrong length");
        return;
    }
    uint64_t bytes = get_le64(frame->body.data);
    struct rpc_call_node *node = rpc_call_map_find(&session->calls, frame->call_id);
    if (node == NULL) {
        return; /* it ended while the credit was on its way */
    }
    struct rpc_server_call *call = FROM_NODE(node);
    if (bytes > CREDIT_MAX || atomic_load(&call->credit) + (int64_t)bytes > CREDIT_MAX) {
        rpc_conn_refuse(session->conn, STATUS_INVALID_ARGUMENT, "too much CREDIT");
        return;
    }
    rpc_server_call_credit(call, (int64_t)bytes);
}

void rpc_session_on_frame(void *context, const struct rpc_frame *frame)
{
    struct rpc_session *session = context;
    struct rpc_call_node *node = NULL;
    switch (frame->kind) {
    case RPC_CALL:
        on_call(session, frame);
        return;
    case RPC_CREDIT:
        on_credit(session, frame);
        return;
    case RPC_CANCEL:
        node = rpc_call_map_find(&session->calls, frame->call_id);
        if (node != NULL) {
            rpc_server_call_cancel(FROM_NODE(node));
        }
        return;
    default:
        rpc_conn_refuse(session->conn, STATUS_INVALID_ARGUMENT, "a frame that only servers send");
        return;
    }
}
