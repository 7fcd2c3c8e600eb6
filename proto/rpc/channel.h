/* SPDX-License-Identifier: Apache-2.0
 *
 * Channel: the client's side of one endpoint. It connects in the background,
 * connects again with growing pauses when the connection breaks, and carries many
 * calls at a time on one connection.
 *
 * A call ends exactly once, with a status:
 * - what the server said; or
 * - UNAVAILABLE, naming endpoint and reason, when it could not connect, or the
 *   connection broke (the server may have acted on the call or not). While the
 *   channel pauses after a failure, new calls fail at once with that failure,
 *   unless they say wait_for_ready;
 * - DEADLINE_EXCEEDED, CANCELLED;
 * - RESOURCE_EXHAUSTED at once, past a bound.
 * A handshake that the server refused (version, cluster) ends calls with the
 * server's status.
 *
 * Functions may be used by any thread; callbacks run on the loop's thread and
 * must not block (the _wait forms and rpc_stream_next must not be used there).
 */
#ifndef ESTREAT_RPC_CHANNEL_H
#define ESTREAT_RPC_CHANNEL_H

#include <protobuf-c/protobuf-c.h>

#include "rpc/arena.h"
#include "rpc/hello.h"
#include "rpc/loop.h"
#include "rpc/metadata.h"

struct rpc_channel;

struct rpc_channel_options {
    const char *url;         /* "tcp://HOST:PORT", "ipc:///path"; see endpoint.h */
    size_t frame_bytes_max;  /* of what is received and sent; 0: CLIENT_FRAME_BYTES_MAX */
    const char *cluster_id;  /* another one is refused; "" or NULL: whichever */
    const char *peer_id;     /* told in HELLO; "" or NULL: anonymous */
    const char *instance;    /* told in HELLO; "" or NULL: none */
    size_t calls_max;        /* waiting or in flight; 0: CALLS_PER_CONNECTION_MAX */
    size_t queued_bytes_max; /* not yet written; 0: CONNECTION_QUEUED_BYTES_MAX */
    unsigned connect_ms;     /* dial and handshake; 0: HANDSHAKE_TIMEOUT_MS */
    unsigned frame_ms;       /* 0: FRAME_TIMEOUT_MS */
    unsigned idle_ms;        /* silent for so long: dead; 0: IDLE_TIMEOUT_MS */
    unsigned keepalive_ms;   /* silent for so long: PING; 0: KEEPALIVE_INTERVAL_MS */
    unsigned backoff_min_ms; /* 0: RECONNECT_BACKOFF_MIN_MS */
    unsigned backoff_max_ms; /* 0: RECONNECT_BACKOFF_MAX_MS */
    /* Told on the loop's thread whenever the connection is up or down; may be NULL. */
    void (*on_state)(void *context, bool connected);
    /* Told once when the server, which is there, begins to refuse connections, with the reason; may
     * be NULL. */
    void (*on_refused)(void *context, const char *text);
    /* Asked on the loop's thread after each handshake, before any call is sent, with what the
     * server said of itself. Anything but OK refuses the connection: calls end with that. May be
     * NULL. */
    enum status (*accept_peer)(void *context, const struct rpc_hello *server, struct error *err);
    void *context;
};

/* Begins to connect. Copies the options. Returns owned. INVALID_ARGUMENT for a URL that is
 * none. */
enum status rpc_channel_open(struct rpc_loop *loop, const struct rpc_channel_options *options,
                             struct rpc_channel **out, struct error *err) MUST_USE;

/* Ends all calls with CANCELLED (their callbacks have run when this returns), closes the
 * connection, frees. Streams end, and stay their owners' to free. Blocks; not on the loop's
 * thread. NULL is allowed. */
void rpc_channel_close(struct rpc_channel *channel);

/* The same on any thread, also the loop's: returns at once, and calls `done` on the loop's thread
 * when all that has happened; it is the last callback. The loop lives until then. */
void rpc_channel_close_later(struct rpc_channel *channel, void (*done)(void *context),
                             void *context);

/* Handshake done, and not yet broken as far as is known. */
bool rpc_channel_connected(const struct rpc_channel *channel);

/* The URL it was opened with. Valid until close. */
const char *rpc_channel_url(const struct rpc_channel *channel);

struct rpc_call_options {
    unsigned deadline_ms; /* 0: DEADLINE_DEFAULT_MS for unary calls, none for streams */
    bool wait_for_ready;  /* wait for a connection until the deadline instead of failing */
    struct rpc_metadata_list metadata;
    size_t stream_credit_bytes; /* 0: STREAM_CREDIT_BYTES */
};

/* How a call ended. Valid during the callback. */
struct rpc_result {
    enum status status;
    const char *text; /* one line; "" for OK */
    struct rpc_metadata_list metadata;
    const ProtobufCMessage *message; /* NULL unless OK */
    bool refused; /* the server had no room for the connection; another time it may */
    bool sent;    /* a connection took the request: the server may have acted on it */
};

typedef void (*rpc_result_fn)(void *context, const struct rpc_result *result);

/* Starts a unary call. `request` is packed before this returns. `options` may be NULL. `done`
 * runs exactly once, always on the loop's thread, never within this function unless this is
 * called on the loop's thread. Returns the call's number, for rpc_channel_cancel. */
uint64_t rpc_channel_call(struct rpc_channel *channel, const ProtobufCServiceDescriptor *service,
                          unsigned method, const ProtobufCMessage *request,
                          const struct rpc_call_options *options, rpc_result_fn done,
                          void *context);

/* Ends a unary call with CANCELLED unless it has ended, and tells the server. */
void rpc_channel_cancel(struct rpc_channel *channel, uint64_t call);

/* An answer that outlives its call. */
struct rpc_reply {
    const ProtobufCMessage *message; /* NULL unless OK */
    struct rpc_metadata_list metadata;
    bool refused;           /* see rpc_result */
    struct rpc_arena arena; /* owns message and metadata */
};

/* A unary call that blocks. `reply` is always filled (metadata comes with failures too) and
 * released by the caller with rpc_reply_release(). */
enum status rpc_channel_call_wait(struct rpc_channel *channel,
                                  const ProtobufCServiceDescriptor *service, unsigned method,
                                  const ProtobufCMessage *request,
                                  const struct rpc_call_options *options, struct rpc_reply *reply,
                                  struct error *err) MUST_USE;

void rpc_reply_release(struct rpc_reply *reply);

/* Sends a call that has no answer, best effort and in order: false, and dropped, when the channel
 * is not connected or the bound of queued bytes is reached. The message is packed before this
 * returns. */
bool rpc_channel_send(struct rpc_channel *channel, const ProtobufCServiceDescriptor *service,
                      unsigned method, const ProtobufCMessage *message);

/* Bytes handed over and not yet written to the socket. */
size_t rpc_channel_queued_bytes(const struct rpc_channel *channel);

struct rpc_stream;

struct rpc_stream_callbacks {
    /* One message; valid during the callback. True: it is consumed. False: the consumer calls
     * rpc_stream_consumed() with `bytes` when it is ready for as many more. */
    bool (*on_message)(void *context, struct rpc_stream *stream, const ProtobufCMessage *message,
                       size_t bytes);
    /* The last callback. result->message is NULL. */
    void (*on_end)(void *context, struct rpc_stream *stream, const struct rpc_result *result);
    void *context;
};

/* Starts a server-streaming call. With `callbacks` messages are pushed; with NULL they are
 * pulled with rpc_stream_next(). Returns owned; NULL only without memory. */
struct rpc_stream *rpc_channel_stream(struct rpc_channel *channel,
                                      const ProtobufCServiceDescriptor *service, unsigned method,
                                      const ProtobufCMessage *request,
                                      const struct rpc_call_options *options,
                                      const struct rpc_stream_callbacks *callbacks);

/* Pull form: blocks for the next message, which is valid until the next call or free. OK with
 * NULL: the stream ended well; any other status: how it ended. What arrived before the end is
 * delivered first. One thread at a time. */
enum status rpc_stream_next(struct rpc_stream *stream, const ProtobufCMessage **message,
                            struct error *err) MUST_USE;

/* Metadata of the status that ended the stream, after rpc_stream_next() said so. Valid until
 * free. */
struct rpc_metadata_list rpc_stream_metadata(const struct rpc_stream *stream);

/* As rpc_result says it of the stream's end, after rpc_stream_next() told that. */
bool rpc_stream_refused(const struct rpc_stream *stream);

/* Gives credit back; see on_message. */
void rpc_stream_consumed(struct rpc_stream *stream, size_t bytes);

/* Ends the stream with CANCELLED unless it has ended, and tells the server. */
void rpc_stream_cancel(struct rpc_stream *stream);

/* Cancels if need be, and lets go of the stream. With callbacks: none begins after this returns,
 * if called on the loop's thread; from elsewhere one may be under way, so wait for on_end first.
 * NULL is allowed. */
void rpc_stream_free(struct rpc_stream *stream);

#endif
