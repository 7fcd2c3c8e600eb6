/* SPDX-License-Identifier: Apache-2.0
 *
 * Out: one frame on its way to a socket, packed by the thread that says it. Its
 * bytes count against a bound from its making to its end, so that any thread
 * can see how much is queued.
 */
#ifndef ESTREAT_RPC_OUT_H
#define ESTREAT_RPC_OUT_H

#include <protobuf-c/protobuf-c.h>

#include "rpc/frame.h"
#include "rpc/loop.h"
#include "rpc/metadata.h"

struct rpc_out {
    struct rpc_event event; /* for whoever hands it to the loop */
    void *owner;            /* for the event */
    struct rpc_out *next;   /* the connection's queue */
    struct alloc *alloc;
    _Atomic size_t *queued_bytes; /* may be NULL */
    size_t length;
    uint8_t bytes[]; /* the frame, or the preface */
};

/* Room for a frame with such a body. Adds its length to `queued_bytes` (borrowed until free, may
 * be NULL). Returns owned, or NULL. */
struct rpc_out *rpc_out_new(struct alloc *alloc, size_t body_length, _Atomic size_t *queued_bytes);

/* NULL is allowed. */
void rpc_out_free(struct rpc_out *out);

static inline uint8_t *rpc_out_body(struct rpc_out *out)
{
    return out->bytes + RPC_FRAME_HEADER_BYTES;
}

/* A frame whose body is `message`; NULL is an empty one. */
struct rpc_out *rpc_out_message(struct alloc *alloc, enum rpc_frame_kind kind, uint8_t flags,
                                uint64_t call_id, const ProtobufCMessage *message,
                                _Atomic size_t *queued_bytes);

/* A STATUS (of a call) or GOAWAY (call id 0) frame. Text and metadata are cut to their limits. */
struct rpc_out *rpc_out_status(struct alloc *alloc, uint64_t call_id, enum status status,
                               const char *text, struct rpc_metadata_list metadata,
                               _Atomic size_t *queued_bytes);

#endif
