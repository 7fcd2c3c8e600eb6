/* SPDX-License-Identifier: Apache-2.0
 *
 * Conn: one connection, of either side, from its bytes to its frames.
 *
 *   HANDSHAKE ──▶ READY ──▶ FINISHING ──▶ CLOSED
 *       └────────────┴──────────┴────────────▲
 *
 * HANDSHAKE: both sides send preface and HELLO at once and wait for the other's.
 * READY: frames are handed on. FINISHING: what is queued is still sent, what
 * arrives is thrown away; then it waits a little for the other side to close, so
 * that the last frame is not lost to a reset. CLOSED: the callbacks were told.
 *
 * Frames that are sent in one turn of the loop, or while a write is under way,
 * leave in one write. A silent connection is probed with PING, and closed when it
 * stays silent; so is one whose handshake, frame or write takes too long.
 *
 * Loop's thread only. A conn frees itself some time after on_closed.
 */
#ifndef ESTREAT_RPC_CONN_H
#define ESTREAT_RPC_CONN_H

#include "base/metrics.h"
#include "rpc/frame.h"
#include "rpc/hello.h"
#include "rpc/out.h"
#include "rpc/transport.h"

struct rpc_conn;

struct rpc_conn_callbacks {
    /* The handshake is done; rpc_conn_peer() is known. */
    void (*on_ready)(void *context);
    /* A CALL, MESSAGE, STATUS, CANCEL or CREDIT. The frame is valid during the callback. */
    void (*on_frame)(void *context, const struct rpc_frame *frame);
    /* The other side takes no new calls; it ends those that it has, unless the connection
     * breaks. May be NULL. */
    void (*on_goaway)(void *context, enum status status, const char *text);
    /* Queued bytes were written. May be NULL. */
    void (*on_written)(void *context);
    /* The last one. The status is what GOAWAY said if it said more than "going away", else
     * UNAVAILABLE. `was_ready`: the handshake had been done. */
    void (*on_closed)(void *context, enum status status, const char *text, bool was_ready);
    void *context;
};

struct rpc_conn_options {
    struct rpc_loop *loop;
    bool is_server;
    const char *cluster_id; /* these three are copied */
    const char *own_id;
    const char *instance;
    size_t frame_bytes_max; /* of bodies that are taken */
    size_t queued_bytes_max;
    _Atomic size_t *queued_bytes; /* where frames of the conn itself count */
    unsigned handshake_ms;
    unsigned frame_ms;
    unsigned idle_ms;
    unsigned keepalive_ms;
    struct counter *bytes_in; /* these three may be NULL */
    struct counter *bytes_out;
    struct counter *writes;
};

/* Takes `stream` (also on failure) and begins the handshake. NULL without memory. */
struct rpc_conn *rpc_conn_new(struct rpc_transport_stream *stream,
                              const struct rpc_conn_options *options,
                              const struct rpc_conn_callbacks *callbacks);

/* Queues a frame for the end of the turn; takes it. A conn that does not send any more drops
 * it. A NULL frame (no memory) ends the connection, since the other side waits for it. */
void rpc_conn_send(struct rpc_conn *conn, struct rpc_out *out);

/* Sends GOAWAY and goes on: the calls under way may end. */
void rpc_conn_goaway(struct rpc_conn *conn, enum status status, const char *text);

/* Sends what is queued, then closes: FINISHING. on_closed comes later. */
void rpc_conn_finish(struct rpc_conn *conn);

/* GOAWAY with the reason, then as rpc_conn_finish(). on_closed tells the reason. */
void rpc_conn_refuse(struct rpc_conn *conn, enum status status, const char *text);

/* Closes at once; what is queued is dropped. on_closed comes within this call, unless it has
 * come. */
void rpc_conn_abort(struct rpc_conn *conn, enum status status, const char *text);

/* What the other side said. Valid until the conn is freed. */
const struct rpc_hello *rpc_conn_peer(const struct rpc_conn *conn);

/* Its address, for logs. */
const char *rpc_conn_address(const struct rpc_conn *conn);

bool rpc_conn_is_ready(const struct rpc_conn *conn);

/* When the handshake was done; monotonic. */
uint64_t rpc_conn_ready_since_ns(const struct rpc_conn *conn);

#endif
