/* SPDX-License-Identifier: Apache-2.0
 *
 * Envelope: what stands around messages in frame bodies: the header of a CALL,
 * and metadata in its two forms.
 */
#ifndef ESTREAT_RPC_ENVELOPE_H
#define ESTREAT_RPC_ENVELOPE_H

#include "base/limits.h"
#include "rpc/metadata.h"
#include "rpc/out.h"
#include "rpc/unpack.h"
#include "schema/rpc.pb-c.h"

/* Metadata in protobuf-c's form, without allocating. Points into itself: must not be moved. */
struct rpc_metadata_packer {
    Estreat__V1__Metadata messages[METADATA_PAIRS_MAX];
    Estreat__V1__Metadata *pointers[METADATA_PAIRS_MAX];
    size_t count;
};

/* Borrows the pairs; leaves out those past the limits. Returns false if it left some out. */
bool rpc_metadata_pack(struct rpc_metadata_packer *packer, struct rpc_metadata_list list);

/* The pairs of an unpacked message, in `arena`. RESOURCE_EXHAUSTED past the limits. */
enum status rpc_metadata_unpack(Estreat__V1__Metadata *const *messages, size_t count,
                                struct rpc_arena *arena, struct rpc_metadata_list *out,
                                struct error *err) MUST_USE;

struct rpc_call_envelope {
    const ProtobufCServiceDescriptor *service;
    unsigned method;
    uint64_t call_id;
    uint8_t flags;
    uint64_t timeout_ms;
    uint64_t stream_credit;
    struct rpc_metadata_list metadata;
};

/* A CALL frame. NULL without memory. */
struct rpc_out *rpc_out_call(struct alloc *alloc, const struct rpc_call_envelope *envelope,
                             const ProtobufCMessage *request, _Atomic size_t *queued_bytes);

/* Takes a CALL's body apart: the header, unpacked into `arena`, and the request's bytes. */
enum status rpc_call_split(struct slice body, struct rpc_arena *arena,
                           const Estreat__V1__CallHeader **header, struct slice *request,
                           struct error *err) MUST_USE;

#endif
