/* SPDX-License-Identifier: Apache-2.0
 *
 * Server: one listening URL whose calls are handed to services that are named by
 * protobuf-c's descriptors.
 *
 *   open (binds) → register services → start (accepts) → close (drains)
 *
 * A call belongs to its handler from the moment the handler is entered until
 * rpc_call_reply, rpc_call_fail or rpc_call_finish, which every call gets exactly
 * once, also after it was cancelled or its connection died: then they merely
 * release it. Request and metadata stay valid until then, so a handler that goes
 * on elsewhere need not copy them.
 *
 * Handlers run on the loop's thread and must not block. Functions on a call may
 * be used by any thread, by one at a time.
 */
#ifndef ESTREAT_RPC_SERVER_H
#define ESTREAT_RPC_SERVER_H

#include <protobuf-c/protobuf-c.h>

#include "base/metrics.h"
#include "rpc/hello.h"
#include "rpc/loop.h"
#include "rpc/metadata.h"

struct rpc_server;
struct rpc_server_call;

struct rpc_server_options {
    const char *url;        /* "tcp://127.0.0.1:0" (0: any free port), "ipc:///path" */
    size_t frame_bytes_max; /* 0: CLIENT_FRAME_BYTES_MAX */
    const char *cluster_id; /* told in HELLO; another one is refused; "" or NULL: none */
    const char *node_id;    /* told in HELLO; "" or NULL: none */
    const char *instance;   /* told in HELLO; "" or NULL: none */
    /* Asked on the loop's thread after each handshake, before any call, with what the other side
     * said of itself. Anything but OK refuses the connection. May be NULL. */
    enum status (*accept_peer)(void *context, const struct rpc_hello *client, struct error *err);
    /* Told on the loop's thread when a connection that accept_peer let in has ended. May be NULL.
     */
    void (*on_peer_gone)(void *context, const struct rpc_hello *client);
    void *context;            /* of accept_peer and on_peer_gone */
    size_t connections_max;   /* 0: CONNECTIONS_MAX */
    size_t calls_max;         /* on one connection; 0: CALLS_PER_CONNECTION_MAX */
    size_t queued_bytes_max;  /* on one connection; 0: CONNECTION_QUEUED_BYTES_MAX */
    size_t request_bytes_max; /* of all calls in flight; 0: SERVER_REQUEST_BYTES_MAX */
    unsigned handshake_ms;    /* 0: HANDSHAKE_TIMEOUT_MS */
    unsigned frame_ms;        /* 0: FRAME_TIMEOUT_MS */
    unsigned idle_ms;         /* 0: IDLE_TIMEOUT_MS */
    unsigned keepalive_ms;    /* 0: KEEPALIVE_INTERVAL_MS */
};

/* Runs on the loop's thread. `request` is of the method's input type and valid until the call
 * is finished. The handler owns the call. */
typedef void (*rpc_handler_fn)(void *context, struct rpc_server_call *call,
                               const ProtobufCMessage *request);

/* Binds and listens; nothing is accepted yet. Copies the options. Returns owned.
 * UNAVAILABLE if the address is in use, INVALID_ARGUMENT for a URL that is none. */
enum status rpc_server_open(struct rpc_loop *loop, const struct rpc_server_options *options,
                            struct rpc_server **out, struct error *err) MUST_USE;

/* The bound TCP port; 0 for ipc. */
uint16_t rpc_server_port(const struct rpc_server *server);

/* Before start. `handlers` has one entry a method, in the descriptor's order; NULL entries
 * answer UNIMPLEMENTED. Copies the array, borrows descriptor and context until close.
 * RESOURCE_EXHAUSTED without memory. */
enum status rpc_server_register(struct rpc_server *server,
                                const ProtobufCServiceDescriptor *service,
                                const rpc_handler_fn *handlers, void *context,
                                struct error *err) MUST_USE;

/* Begins to accept. */
void rpc_server_start(struct rpc_server *server);

/* Stops listening, sends GOAWAY, waits until all calls have ended but no longer than
 * `drain_ms`, closes the connections. No handler runs afterwards; calls that handlers still own
 * are cancelled, and stay theirs to finish. Blocks; not on the loop's thread. NULL is allowed. */
void rpc_server_close(struct rpc_server *server, unsigned drain_ms);

/* Unary: sends the response and finishes the call. `response` may be of any memory; it is
 * packed before this returns. */
void rpc_call_reply(struct rpc_server_call *call, const ProtobufCMessage *response);

/* Ends the call with a status other than OK, and finishes it. Texts longer than an error's and
 * metadata past the limits are cut. */
void rpc_call_fail(struct rpc_server_call *call, enum status status, const char *text);
void rpc_call_fail_with(struct rpc_server_call *call, enum status status, const char *text,
                        struct rpc_metadata_list metadata);

/* Streaming: sends one message of the stream, always (it is packed before this returns).
 * False: that was the last one for now; the handler stops and asks rpc_call_on_writable(), or
 * sees that the call was cancelled. A handler that goes on regardless is cut off: past the
 * connection's bound of queued bytes the call ends with RESOURCE_EXHAUSTED. */
bool rpc_call_send(struct rpc_server_call *call, const ProtobufCMessage *message);

/* Streaming: ends the stream with OK. One-way: releases the call. Finishes it. */
void rpc_call_finish(struct rpc_server_call *call);

/* Runs `fn` once, on the loop's thread, as soon as the call may send again or was cancelled (at
 * once if that is so already). One request at a time; not after finishing. */
void rpc_call_on_writable(struct rpc_server_call *call, void (*fn)(void *context), void *context);

/* Runs `fn` once, on the loop's thread, when the call is cancelled: by CANCEL, with its
 * connection, or by the server's close (at once if it is so already). For handlers that wait for
 * something else than credit. It does not run after the call was finished on the loop's thread;
 * a handler that finishes on another thread must bear it until the loop knows. */
void rpc_call_on_cancel(struct rpc_server_call *call, void (*fn)(void *context), void *context);

/* The caller is gone: what is sent reaches nobody. */
bool rpc_call_cancelled(const struct rpc_server_call *call);

/* Monotonic time of the loop's clock after which the caller does not wait; UINT64_MAX: none. */
uint64_t rpc_call_deadline_ns(const struct rpc_server_call *call);

/* No answer is awaited: rpc_call_finish() is all there is to do. */
bool rpc_call_is_oneway(const struct rpc_server_call *call);

/* Valid until the call is finished. */
struct rpc_metadata_list rpc_call_metadata(const struct rpc_server_call *call);

/* The id that the other side gave in HELLO ("" if none). Valid until the call is finished. */
const char *rpc_call_peer_id(const struct rpc_server_call *call);

/* "estreat.v1.Log/Append", for logs. Valid until the server is closed. */
const char *rpc_call_method_name(const struct rpc_server_call *call);

struct rpc_server_stats {
    struct counter connections_accepted;
    struct counter connections_open; /* now */
    struct counter connections_refused;
    struct counter bytes_in;
    struct counter bytes_out;
    struct counter writes; /* calls a write: how much is coalesced */
    struct counter calls_in_flight;
    struct counter calls_refused; /* past a bound */
    struct counter request_bytes; /* held by calls in flight */
};

struct rpc_method_stats {
    const char *name; /* "estreat.v1.Log/Append" */
    struct counter by_status[17];
    struct histogram latency_ns; /* from the whole request to its finish */
};

/* Any thread, until close. */
const struct rpc_server_stats *rpc_server_stats(const struct rpc_server *server);

/* Any thread after start, until close: calls `each` for every method. */
void rpc_server_each_method(struct rpc_server *server,
                            void (*each)(void *context, struct rpc_method_stats *stats),
                            void *context);

#endif
