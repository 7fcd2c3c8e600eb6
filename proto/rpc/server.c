/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/server.h"

#include "base/check.h"
#include "base/limits.h"
#include "base/log.h"
#include "rpc/server_internal.h"
#include "rpc/stream_methods.h"

/* Connections past the limit that may be under way to being told so. */
enum { REFUSED_MAX = 64 };

#define FROM(type, member, pointer) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* Life. */

static void server_unref(struct rpc_server *server)
{
    CHECK(server->refs > 0);
    if (--server->refs > 0) {
        return;
    }
    struct rpc_service *service = server->services;
    while (service != NULL) {
        struct rpc_service *next = service->next;
        alloc_free(server->alloc, service);
        service = next;
    }
    alloc_free(server->alloc, server->strings);
    alloc_free(server->alloc, server);
}

void rpc_session_unref(struct rpc_session *session)
{
    CHECK(session->refs > 0);
    if (--session->refs == 0) {
        struct rpc_server *server = session->server;
        alloc_free(server->alloc, session);
        server_unref(server);
    }
}

static size_t size_or(size_t value, size_t otherwise)
{
    return value == 0 ? otherwise : value;
}

static unsigned unsigned_or(unsigned value, unsigned otherwise)
{
    return value == 0 ? otherwise : value;
}

static void set_defaults(struct rpc_server_options *options)
{
    options->frame_bytes_max = size_or(options->frame_bytes_max, CLIENT_FRAME_BYTES_MAX);
    options->connections_max = size_or(options->connections_max, CONNECTIONS_MAX);
    options->calls_max = size_or(options->calls_max, CALLS_PER_CONNECTION_MAX);
    options->queued_bytes_max = size_or(options->queued_bytes_max, CONNECTION_QUEUED_BYTES_MAX);
    options->request_bytes_max = size_or(options->request_bytes_max, SERVER_REQUEST_BYTES_MAX);
    options->handshake_ms = unsigned_or(options->handshake_ms, HANDSHAKE_TIMEOUT_MS);
    options->frame_ms = unsigned_or(options->frame_ms, FRAME_TIMEOUT_MS);
    options->idle_ms = unsigned_or(options->idle_ms, IDLE_TIMEOUT_MS);
    options->keepalive_ms = unsigned_or(options->keepalive_ms, KEEPALIVE_INTERVAL_MS);
}

/* Copies the strings of the options into memory of the server's. */
static bool own_strings(struct rpc_server *server)
{
    const char *cluster = server->options.cluster_id == NULL ? "" : server->options.cluster_id;
    const char *node = server->options.node_id == NULL ? "" : server->options.node_id;
    const char *instance = server->options.instance == NULL ? "" : server->options.instance;
    size_t cluster_bytes = strlen(cluster) + 1;
    size_t node_bytes = strlen(node) + 1;
    size_t instance_bytes = strlen(instance) + 1;
    server->strings = alloc_new(server->alloc, cluster_bytes + node_bytes + instance_bytes);
    if (server->strings == NULL) {
        return false;
    }
    memcpy(server->strings, cluster, cluster_bytes);
    memcpy(server->strings + cluster_bytes, node, node_bytes);
    server->options.cluster_id = server->strings;
    server->options.node_id = server->strings + cluster_bytes;
    memcpy(server->strings + cluster_bytes + node_bytes, instance, instance_bytes);
    server->options.instance = server->strings + cluster_bytes + node_bytes;
    server->options.url = NULL;
    return true;
}

/* Connections. */

static void on_ready(void *context)
{
    struct rpc_session *session = context;
    const struct rpc_hello *peer = rpc_conn_peer(session->conn);
    memcpy(session->peer_id, peer->peer_id, sizeof session->peer_id);
    session->peer_frame_bytes_max =
        peer->frame_bytes_max > SIZE_MAX ? SIZE_MAX : (size_t)peer->frame_bytes_max;
    if (session->server->closing) {
        rpc_conn_refuse(session->conn, STATUS_UNAVAILABLE, "the server is shutting down");
        return;
    }
    const struct rpc_server_options *options = &session->server->options;
    struct error err = ERROR_INIT;
    session->accepted = options->accept_peer == NULL ||
                        options->accept_peer(options->context, peer, &err) == STATUS_OK;
    if (!session->accepted) {
        rpc_conn_refuse(session->conn, err.status, err.text);
    }
}

static void session_unlink(struct rpc_session *session)
{
    struct rpc_server *server = session->server;
    if (session->previous == NULL) {
        server->sessions = session->next;
    } else {
        session->previous->next = session->next;
    }
    if (session->next != NULL) {
        session->next->previous = session->previous;
    }
    server->session_count--;
    counter_add(&server->stats.connections_open, (uint64_t)-1);
}

static void on_closed(void *context, enum status status, const char *text, bool was_ready)
{
    struct rpc_session *session = context;
    struct rpc_server *server = session->server;
    if (!was_ready && !session->refused) {
        counter_add(&server->stats.connections_refused, 1);
        log_write("rpc", LOG_DEBUG, "connection without handshake", "peer=%s status=%s why=\"%s\"",
                  rpc_conn_address(session->conn), status_name(status), text);
    } else if (status != STATUS_UNAVAILABLE) {
        char quoted[ERROR_TEXT_BYTES * 2];
        uint64_t now_ns = rpc_loop_now_ns(server->loop);
        /* One who tries for ever must not fill the log. */
        bool often = server->warned_ns != 0 && now_ns < server->warned_ns + NS_PER_S;
        server->warned_ns = often ? server->warned_ns : now_ns;
        log_write("rpc", often ? LOG_DEBUG : LOG_WARN, "connection refused",
                  "peer=%s status=%s why=%s", rpc_conn_address(session->conn), status_name(status),
                  log_quote(quoted, sizeof quoted, text));
    }
    if (session->accepted && server->options.on_peer_gone != NULL) {
        server->options.on_peer_gone(server->options.context, rpc_conn_peer(session->conn));
    }
    session->conn = NULL;
    session_unlink(session);
    struct rpc_call_node *node = NULL;
    while ((node = rpc_call_map_pop(&session->calls)) != NULL) {
        struct rpc_server_call *call = FROM(struct rpc_server_call, node, node);
        call->in_map = false;
        rpc_server_call_cancel(call);
    }
    server->refs++; /* the last session may take it along */
    rpc_session_unref(session);
    rpc_server_check_closed(server);
    server_unref(server);
}

static void on_stream(void *context, struct rpc_transport_stream *stream)
{
    struct rpc_server *server = context;
    counter_add(&server->stats.connections_accepted, 1);
    bool refuse = server->session_count >= server->options.connections_max;
    struct rpc_session *session =
        server->session_count >= server->options.connections_max + REFUSED_MAX
            ? NULL
            : alloc_zeroed(server->alloc, 1, sizeof *session);
    if (refuse || session == NULL) {
        counter_add(&server->stats.connections_refused, 1);
    }
    if (session == NULL) {
        rpc_transport_close(stream);
        return;
    }
    session->server = server;
    session->refs = 1;
    session->refused = refuse;
    struct rpc_conn_options options = {
        .loop = server->loop,
        .is_server = true,
        .cluster_id = server->options.cluster_id,
        .own_id = server->options.node_id,
        .instance = server->options.instance,
        .frame_bytes_max = server->options.frame_bytes_max,
        .queued_bytes_max = server->options.queued_bytes_max,
        .queued_bytes = &session->queued_bytes,
        .handshake_ms = server->options.handshake_ms,
        .frame_ms = server->options.frame_ms,
        .idle_ms = server->options.idle_ms,
        .keepalive_ms = server->options.keepalive_ms,
        .bytes_in = &server->stats.bytes_in,
        .bytes_out = &server->stats.bytes_out,
        .writes = &server->stats.writes,
    };
    struct rpc_conn_callbacks callbacks = {
        .on_ready = on_ready,
        .on_frame = rpc_session_on_frame,
        .on_written = rpc_session_on_written,
        .on_closed = on_closed,
        .context = session,
    };
    session->conn = rpc_conn_new(stream, &options, &callbacks);
    if (session->conn == NULL) {
        alloc_free(server->alloc, session);
        return;
    }
    server->refs++;
    session->next = server->sessions;
    if (session->next != NULL) {
        session->next->previous = session;
    }
    server->sessions = session;
    server->session_count++;
    counter_add(&server->stats.connections_open, 1);
    if (refuse) {
        rpc_conn_refuse(session->conn, STATUS_RESOURCE_EXHAUSTED, "too many connections");
    }
}

/* Opening and starting. */

static void start(struct rpc_event *event)
{
    struct rpc_server *server = FROM(struct rpc_server, start_event, event);
    rpc_transport_accept(server->listener, on_stream, server);
}

static void close_begin(struct rpc_event *event);
static void drain_over(struct rpc_timer *timer);

enum status rpc_server_open(struct rpc_loop *loop, const struct rpc_server_options *options,
                            struct rpc_server **out, struct error *err)
{
    struct alloc *alloc = rpc_loop_alloc(loop);
    struct rpc_server *server = alloc_zeroed(alloc, 1, sizeof *server);
    if (server == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a server");
    }
    server->loop = loop;
    server->alloc = alloc;
    server->options = *options;
    server->refs = 1;
    server->start_event.run = start;
    server->close_event.run = close_begin;
    server->drain_timer.fire = drain_over;
    set_defaults(&server->options);
    if (!own_strings(server)) {
        server_unref(server);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a server");
    }
    enum status status = rpc_transport_listen(loop, options->url, &server->listener, err);
    if (status != STATUS_OK) {
        server_unref(server);
        return status;
    }
    server->port = rpc_transport_port(server->listener);
    *out = server;
    return STATUS_OK;
}

uint16_t rpc_server_port(const struct rpc_server *server)
{
    return server->port;
}

enum status rpc_server_register(struct rpc_server *server,
                                const ProtobufCServiceDescriptor *descriptor,
                                const rpc_handler_fn *handlers, void *context, struct error *err)
{
    size_t names_bytes = 0;
    for (unsigned i = 0; i < descriptor->n_methods; i++) {
        names_bytes += strlen(descriptor->name) + strlen(descriptor->methods[i].name) + 2;
    }
    size_t methods_bytes = descriptor->n_methods * sizeof(struct rpc_method);
    struct rpc_service *service =
        alloc_zeroed(server->alloc, 1, sizeof *service + methods_bytes + names_bytes);
    if (service == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a service");
    }
    service->descriptor = descriptor;
    service->context = context;
    char *name = (char *)service->methods + methods_bytes;
    for (unsigned i = 0; i < descriptor->n_methods; i++) {
        const ProtobufCMethodDescriptor *from = &descriptor->methods[i];
        struct rpc_method *method = &service->methods[i];
        method->handler = handlers[i];
        method->input = from->input;
        method->streams = rpc_method_streams(descriptor->name, from->name);
        method->stats.name = name;
        size_t bytes = strlen(descriptor->name) + strlen(from->name) + 2;
        (void)snprintf(name, bytes, "%s/%s", descriptor->name, from->name);
        name += bytes;
    }
    service->next = server->services;
    server->services = service;
    return STATUS_OK;
}

void rpc_server_start(struct rpc_server *server)
{
    rpc_loop_post(server->loop, &server->start_event);
}

/* Closing. */

void rpc_server_check_closed(struct rpc_server *server)
{
    if (!server->closing || server->closed == NULL) {
        return;
    }
    if (server->calls_open == 0) {
        struct rpc_session *session = server->sessions;
        while (session != NULL) {
            struct rpc_session *next = session->next;
            rpc_conn_finish(session->conn); /* closes later, or does nothing */
            session = next;
        }
    }
    if (server->session_count == 0) {
        struct rpc_latch *closed = server->closed;
        server->closed = NULL;
        rpc_timer_cancel(server->loop, &server->drain_timer);
        server_unref(server);
        rpc_latch_open(closed);
    }
}

static void drain_over(struct rpc_timer *timer)
{
    struct rpc_server *server = FROM(struct rpc_server, drain_timer, timer);
    server->refs++;
    while (server->sessions != NULL) {
        rpc_conn_abort(server->sessions->conn, STATUS_UNAVAILABLE, "the server is shutting down");
    }
    server_unref(server);
}

static void close_begin(struct rpc_event *event)
{
    struct rpc_server *server = FROM(struct rpc_server, close_event, event);
    server->closing = true;
    rpc_transport_listener_close(server->listener);
    server->listener = NULL;
    server->refs++;
    rpc_timer_set(server->loop, &server->drain_timer,
                  rpc_loop_now_ns(server->loop) + server->drain_ms * NS_PER_MS);
    struct rpc_session *session = server->sessions;
    while (session != NULL) {
        struct rpc_session *next = session->next;
        if (rpc_conn_is_ready(session->conn)) {
            rpc_conn_goaway(session->conn, STATUS_UNAVAILABLE, "the server is shutting down");
        }
        session = next;
    }
    rpc_server_check_closed(server);
    server_unref(server);
}

void rpc_server_close(struct rpc_server *server, unsigned drain_ms)
{
    if (server == NULL) {
        return;
    }
    CHECK(!rpc_loop_is_current(server->loop));
    struct rpc_latch closed;
    rpc_latch_init(&closed);
    server->drain_ms = drain_ms;
    server->closed = &closed;
    rpc_loop_post(server->loop, &server->close_event);
    rpc_latch_wait(&closed);
}

/* Figures. */

const struct rpc_server_stats *rpc_server_stats(const struct rpc_server *server)
{
    return &server->stats;
}

void rpc_server_each_method(struct rpc_server *server,
                            void (*each)(void *context, struct rpc_method_stats *stats),
                            void *context)
{
    for (struct rpc_service *service = server->services; service != NULL; service = service->next) {
        for (unsigned i = 0; i < service->descriptor->n_methods; i++) {
            each(context, &service->methods[i].stats);
        }
    }
}
