/* SPDX-License-Identifier: Apache-2.0
 *
 * What the client side's files share. channel.c: connecting and reconnecting;
 * channel_call.c: a call's way from any thread to its end; channel_stream.c: streams.
 *
 * Everything is the loop's, but what is marked atomic or constant. A link is one
 * connection with the calls that it carries; a channel has one that takes new
 * calls, and those that drain after a GOAWAY.
 */
#ifndef ESTREAT_RPC_CHANNEL_INTERNAL_H
#define ESTREAT_RPC_CHANNEL_INTERNAL_H

#include "rpc/call_map.h"
#include "rpc/channel.h"
#include "rpc/conn.h"
#include "rpc/latch.h"

struct rpc_link {
    struct rpc_channel *channel;
    struct rpc_conn *conn;
    struct rpc_call_map calls;
    struct rpc_link *next; /* among the draining ones */
    bool draining;
    bool heard; /* a frame came that belongs to a call */
};

/*   CONNECTING ──▶ READY ──▶ CONNECTING (it had been up for a while)
 *       │            │
 *       ▼            ▼
 *     BACKOFF ◀──────┘ ──▶ CONNECTING (the pause is over)              any ──▶ CLOSED */
enum rpc_channel_state { CHANNEL_CONNECTING, CHANNEL_READY, CHANNEL_BACKOFF, CHANNEL_CLOSED };

struct rpc_client_call;

struct rpc_call_list {
    struct rpc_client_call *first;
    struct rpc_client_call *last;
};

struct rpc_channel {
    struct rpc_loop *loop;
    struct alloc *alloc;
    struct rpc_channel_options options; /* strings are owned */
    char *strings;
    enum rpc_channel_state state;
    struct rpc_transport_dial *dial; /* NULL: none under way */
    struct rpc_link *link;           /* in handshake or ready; NULL: none */
    struct rpc_link *draining;
    struct rpc_timer timer; /* CONNECTING: gives up; BACKOFF: tries again */
    unsigned failures;      /* in a row */
    struct error last_error;
    bool refused;                 /* the last failure: the server had no room */
    struct rpc_call_list pending; /* wait for a connection */
    struct rpc_event connect_event;
    struct rpc_event close_event;
    void (*on_closed)(void *context);
    void *closed_context;
    _Atomic bool connected;
    _Atomic size_t queued_bytes;
    _Atomic size_t calls; /* not ended */
    _Atomic uint64_t next_call_id;
};

/* How a call ended: `arena` holds what `result` points to, and may be taken over by the call
 * if the call asked for that (own_reply). */
typedef void (*rpc_call_end_fn)(struct rpc_client_call *call, const struct rpc_result *result,
                                struct rpc_arena *arena);

struct rpc_client_call {
    struct rpc_call_node node;
    struct rpc_channel *channel;  /* NULL once ended */
    struct rpc_link *link;        /* NULL: not sent */
    struct rpc_client_call *next; /* among the pending ones */
    struct rpc_client_call *previous;
    bool pending;
    bool wait_for_ready;
    bool streams;
    bool own_reply;
    bool sent; /* a connection took it */
    bool ended;
    struct rpc_event start_event;
    struct rpc_timer timer;
    uint64_t deadline_ns; /* UINT64_MAX: none */
    struct rpc_out *out;  /* until it is sent */
    const ProtobufCMessageDescriptor *output;
    struct error early; /* not OK: it ends before it begins */
    rpc_call_end_fn on_end;
    /* For streams: one message's bytes. */
    void (*on_message)(struct rpc_client_call *call, struct slice body);
    rpc_result_fn done; /* for unary calls */
    void *context;
};

/* channel.c */
void rpc_channel_link_frame(void *context, const struct rpc_frame *frame); /* channel_call.c */
/* A call left the link: closes it if that was the last one of a draining link. */
void rpc_channel_link_left(struct rpc_link *link);

/* channel_call.c */
/* Fills the call (zeroed but for on_end, on_message, own_reply) and packs the frame; any thread. */
void rpc_client_call_init(struct rpc_client_call *call, struct rpc_channel *channel,
                          const ProtobufCServiceDescriptor *service, unsigned method,
                          const ProtobufCMessage *request, const struct rpc_call_options *options,
                          bool streams);
/* Hands it to the loop. */
void rpc_client_call_post(struct rpc_client_call *call);
/* Sends it on the channel's link. */
void rpc_client_call_send(struct rpc_client_call *call);
/* Ends it, and tells the server if that may still be at it. The call may be gone afterwards. */
void rpc_client_call_abandon(struct rpc_client_call *call, enum status status, const char *text);
void rpc_client_call_end(struct rpc_client_call *call, const struct rpc_result *result,
                         struct rpc_arena *arena);
void rpc_client_call_end_with(struct rpc_client_call *call, enum status status, const char *text);
void rpc_call_list_append(struct rpc_call_list *list, struct rpc_client_call *call);
void rpc_call_list_remove(struct rpc_call_list *list, struct rpc_client_call *call);

#endif
