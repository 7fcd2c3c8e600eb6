/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/out.h"

#include "rpc/envelope.h"
#include "schema/rpc.pb-c.h"

struct rpc_out *rpc_out_new(struct alloc *alloc, size_t body_length, _Atomic size_t *queued_bytes)
{
    size_t length = RPC_FRAME_HEADER_BYTES + body_length;
    struct rpc_out *out = alloc_new(alloc, sizeof *out + length);
    if (out == NULL) {
        return NULL;
    }
    *out = (struct rpc_out){.alloc = alloc, .queued_bytes = queued_bytes, .length = length};
    if (queued_bytes != NULL) {
        (void)atomic_fetch_add_explicit(queued_bytes, length, memory_order_relaxed);
    }
    return out;
}

void rpc_out_free(struct rpc_out *out)
{
    if (out == NULL) {
        return;
    }
    if (out->queued_bytes != NULL) {
        (void)atomic_fetch_sub_explicit(out->queued_bytes, out->length, memory_order_relaxed);
    }
    alloc_free(out->alloc, out);
}

struct rpc_out *rpc_out_message(struct alloc *alloc, enum rpc_frame_kind kind, uint8_t flags,
                                uint64_t call_id, const ProtobufCMessage *message,
                                _Atomic size_t *queued_bytes)
{
    size_t length = message == NULL ? 0 : protobuf_c_message_get_packed_size(message);
    struct rpc_out *out = rpc_out_new(alloc, length, queued_bytes);
    if (out == NULL) {
        return NULL;
    }
    if (message != NULL) {
        (void)protobuf_c_message_pack(message, rpc_out_body(out));
    }
    rpc_frame_seal(out->bytes, length, kind, flags, call_id);
    return out;
}

struct rpc_out *rpc_out_status(struct alloc *alloc, uint64_t call_id, enum status status,
                               const char *text, struct rpc_metadata_list metadata,
                               _Atomic size_t *queued_bytes)
{
    char line[ERROR_TEXT_BYTES];
    (void)snprintf(line, sizeof line, "%s", text == NULL ? "" : text);
    if (call_id == 0) {
        Estreat__V1__GoAway goaway = ESTREAT__V1__GO_AWAY__INIT;
        goaway.code = (uint32_t)status;
        goaway.message = line;
        return rpc_out_message(alloc, RPC_GOAWAY, 0, 0, &goaway.base, queued_bytes);
    }
    struct rpc_metadata_packer packer;
    rpc_metadata_pack(&packer, metadata);
    Estreat__V1__CallStatus message = ESTREAT__V1__CALL_STATUS__INIT;
    message.code = (uint32_t)status;
    message.message = line;
    message.metadata = packer.pointers;
    message.n_metadata = packer.count;
    return rpc_out_message(alloc, RPC_STATUS, 0, call_id, &message.base, queued_bytes);
}
