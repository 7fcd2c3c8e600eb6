/* SPDX-License-Identifier: Apache-2.0
 *
 * Transport: byte streams. transport_nng.c is the one file that knows whose.
 * The URL's scheme chooses the kind: "tcp://HOST:PORT", "ipc:///PATH";
 * "tls+tcp://" is refused until there is TLS.
 *
 * All functions belong to the loop's thread (listen may be called by any one
 * before accept), and all callbacks come on it, never within a function here.
 * After a close or cancel no callback comes any more; what it concerned is
 * freed when the transport has let go of it.
 */
#ifndef ESTREAT_RPC_TRANSPORT_H
#define ESTREAT_RPC_TRANSPORT_H

#include "base/slice.h"
#include "rpc/loop.h"

struct rpc_transport_stream;
struct rpc_transport_listener;
struct rpc_transport_dial;

/* Slices of one write. */
#define RPC_TRANSPORT_SLICES_MAX 8U

/* Binds and listens. Returns owned. UNAVAILABLE if the address is in use or not ours,
 * INVALID_ARGUMENT for a URL that is none, UNIMPLEMENTED for an unknown scheme. */
enum status rpc_transport_listen(struct rpc_loop *loop, const char *url,
                                 struct rpc_transport_listener **out, struct error *err) MUST_USE;

/* The bound TCP port; 0 if there is none. */
uint16_t rpc_transport_port(const struct rpc_transport_listener *listener);

/* Begins to accept, and goes on until close: `on_stream` returns owned streams. Accepting that
 * fails (too many files) is repeated after a pause. */
void rpc_transport_accept(struct rpc_transport_listener *listener,
                          void (*on_stream)(void *context, struct rpc_transport_stream *stream),
                          void *context);

void rpc_transport_listener_close(struct rpc_transport_listener *listener);

/* Connects. `done` gets an owned stream, or NULL and why (UNAVAILABLE). Returns a handle that is
 * good for rpc_transport_dial_cancel() until `done`. Statuses as listen. */
enum status rpc_transport_dial(struct rpc_loop *loop, const char *url,
                               void (*done)(void *context, struct rpc_transport_stream *stream,
                                            const struct error *err),
                               void *context, struct rpc_transport_dial **out,
                               struct error *err) MUST_USE;

void rpc_transport_dial_cancel(struct rpc_transport_dial *dial);

struct rpc_transport_callbacks {
    /* `length` bytes were read, or the stream ended (UNAVAILABLE; its text says how). */
    void (*on_read)(void *context, size_t length, enum status status, const char *text);
    /* A write that rpc_transport_write_idle() found under way is done, or failed. */
    void (*on_write_idle)(void *context, enum status status, const char *text);
    void *context;
};

/* Before anything else on the stream. */
void rpc_transport_set_callbacks(struct rpc_transport_stream *stream,
                                 const struct rpc_transport_callbacks *callbacks);

/* Reads what there is, at least one byte; one read at a time. Borrows `to` until on_read or
 * close. */
void rpc_transport_read(struct rpc_transport_stream *stream, void *to, size_t length_max);

/* Writes all of up to RPC_TRANSPORT_SLICES_MAX slices; only when idle. Borrows the bytes until it
 * is idle again, or close. Nobody is woken when the write is done. */
void rpc_transport_write(struct rpc_transport_stream *stream, const struct slice *slices,
                         unsigned count);

/* True when no write is under way. Else on_write_idle comes when it is done, once; with its
 * failure if it fails. A failed write never becomes idle. */
bool rpc_transport_write_idle(struct rpc_transport_stream *stream);

/* "127.0.0.1:40404", for logs. Valid until close. */
const char *rpc_transport_peer(const struct rpc_transport_stream *stream);

/* Ends reads and writes under way; the buffers are the caller's again when it returns. */
void rpc_transport_close(struct rpc_transport_stream *stream);

#endif
