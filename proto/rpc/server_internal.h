/* SPDX-License-Identifier: Apache-2.0
 *
 * What the server's files share. server.c: life and connections; server_dispatch.c:
 * from a CALL frame to its handler; server_call.c: what handlers do with calls.
 *
 * Everything is the loop's, but what is marked atomic or constant. References
 * hold up: server ← session (one connection) ← call.
 */
#ifndef ESTREAT_RPC_SERVER_INTERNAL_H
#define ESTREAT_RPC_SERVER_INTERNAL_H

#include "rpc/arena.h"
#include "rpc/call_map.h"
#include "rpc/conn.h"
#include "rpc/latch.h"
#include "rpc/server.h"

struct rpc_method {
    rpc_handler_fn handler; /* may be NULL */
    const ProtobufCMessageDescriptor *input;
    bool streams;
    struct rpc_method_stats stats;
};

struct rpc_service {
    const ProtobufCServiceDescriptor *descriptor;
    void *context;
    struct rpc_service *next;
    struct rpc_method methods[];
};

struct rpc_session {
    struct rpc_server *server;
    struct rpc_conn *conn;                 /* NULL once it is closed */
    struct rpc_session *next;              /* of the open ones */
    struct rpc_session *previous;          /* NULL: the first */
    struct rpc_call_map calls;             /* known to the other side and not finished */
    struct rpc_server_call *waiting_first; /* for room to send */
    _Atomic size_t queued_bytes;
    size_t peer_frame_bytes_max; /* constant when there are calls, like peer_id */
    char peer_id[RPC_NAME_BYTES_MAX + 1];
    size_t refs; /* the connection and the calls */
    bool refused;
    bool accepted; /* by accept_peer */
};

struct rpc_server {
    struct rpc_loop *loop;
    struct alloc *alloc;
    struct rpc_server_options options; /* strings are owned */
    char *strings;
    struct rpc_transport_listener *listener; /* NULL once closing */
    uint16_t port;
    struct rpc_service *services; /* constant after start */
    struct rpc_server_stats stats;
    struct rpc_session *sessions;
    size_t session_count;
    size_t calls_open; /* handlers own them */
    size_t request_bytes;
    size_t refs; /* the owner and the sessions */
    bool closing;
    uint64_t warned_ns; /* when a refused connection was last logged as a warning */
    struct rpc_event start_event;
    struct rpc_event close_event;
    struct rpc_timer drain_timer;
    unsigned drain_ms;
    struct rpc_latch *closed; /* the closer's */
};

/* Something that a handler wants to hear of, once. */
struct rpc_call_wish {
    struct rpc_event event;
    void (*fn)(void *context);
    void *context;
    bool armed; /* the loop has it */
};

struct rpc_server_call {
    struct rpc_call_node node;
    struct rpc_session *session;
    struct rpc_method *method; /* NULL if there is none such */
    struct rpc_arena arena;
    size_t memory_bytes;
    struct rpc_metadata_list metadata;
    uint64_t begin_ns;
    uint64_t deadline_ns;
    bool oneway;
    bool in_map;
    bool finished;
    unsigned pins; /* functions of the loop that still look at it */
    _Atomic bool cancelled;
    _Atomic int64_t credit;
    _Atomic int cut_off; /* a status: the call could not send what it should, and ends so */
    struct rpc_event finish_event;
    enum status finish_status;
    struct rpc_call_wish writable;
    struct rpc_call_wish cancel;
    struct rpc_server_call *waiting_next; /* in the session's list while writable is armed */
    struct rpc_server_call **waiting_place;
    _Alignas(16) uint8_t memory[]; /* the arena's first */
};

/* server.c */
void rpc_session_unref(struct rpc_session *session);
/* After calls ended or sessions went: whether a closing server is done. */
void rpc_server_check_closed(struct rpc_server *server);

/* server_dispatch.c */
void rpc_session_on_frame(void *context, const struct rpc_frame *frame);

/* server_call.c */
void rpc_server_call_init(struct rpc_server_call *call);
/* Sets it cancelled and tells the handler. May free the call. */
void rpc_server_call_cancel(struct rpc_server_call *call);
/* More credit. May free the call. */
void rpc_server_call_credit(struct rpc_server_call *call, int64_t bytes);
/* The connection has written something: tells those who waited for that. */
void rpc_session_on_written(void *context);

#endif
