/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/envelope.h"

#include "base/check.h"
#include "base/coding.h"

bool rpc_metadata_pack(struct rpc_metadata_packer *packer, struct rpc_metadata_list list)
{
    size_t bytes = 0;
    packer->count = 0;
    for (size_t i = 0; i < list.count; i++) {
        const struct rpc_metadata *pair = &list.pairs[i];
        bytes += strlen(pair->name) + pair->value.length;
        if (packer->count == METADATA_PAIRS_MAX || bytes > METADATA_BYTES_MAX) {
            return false;
        }
        Estreat__V1__Metadata *message = &packer->messages[packer->count];
        *message = (Estreat__V1__Metadata)ESTREAT__V1__METADATA__INIT;
        message->name = (char *)(uintptr_t)pair->name;
        message->value.data = (uint8_t *)(uintptr_t)pair->value.data;
        message->value.len = pair->value.length;
        packer->pointers[packer->count] = message;
        packer->count++;
    }
    return true;
}

enum status rpc_metadata_unpack(Estreat__V1__Metadata *const *messages, size_t count,
                                struct rpc_arena *arena, struct rpc_metadata_list *out,
                                struct error *err)
{
    if (count == 0) {
        *out = (struct rpc_metadata_list){.pairs = NULL, .count = 0};
        return STATUS_OK;
    }
    if (count > METADATA_PAIRS_MAX) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "%zu metadata pairs exceed the limit",
                         count);
    }
    struct rpc_metadata *pairs = rpc_arena_alloc(arena, count * sizeof *pairs);
    if (pairs == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for metadata");
    }
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        pairs[i].name = messages[i]->name;
        pairs[i].value = slice_of(messages[i]->value.data, messages[i]->value.len);
        bytes += strlen(pairs[i].name) + pairs[i].value.length;
    }
    if (bytes > METADATA_BYTES_MAX) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "metadata of %zu bytes exceed the limit",
                         bytes);
    }
    *out = (struct rpc_metadata_list){.pairs = pairs, .count = count};
    return STATUS_OK;
}

struct rpc_out *rpc_out_call(struct alloc *alloc, const struct rpc_call_envelope *envelope,
                             const ProtobufCMessage *request, _Atomic size_t *queued_bytes)
{
    CHECK(envelope->method < envelope->service->n_methods);
    struct rpc_metadata_packer packer;
    (void)rpc_metadata_pack(&packer, envelope->metadata);
    Estreat__V1__CallHeader header = ESTREAT__V1__CALL_HEADER__INIT;
    header.service = (char *)(uintptr_t)envelope->service->name;
    header.method = (char *)(uintptr_t)envelope->service->methods[envelope->method].name;
    header.timeout_ms = envelope->timeout_ms;
    header.stream_credit = envelope->stream_credit;
    header.metadata = packer.pointers;
    header.n_metadata = packer.count;
    size_t header_length = estreat__v1__call_header__get_packed_size(&header);
    size_t request_length = protobuf_c_message_get_packed_size(request);
    size_t length = varint_length(header_length) + header_length + request_length;
    struct rpc_out *out = rpc_out_new(alloc, length, queued_bytes);
    if (out == NULL) {
        return NULL;
    }
    uint8_t *at = rpc_out_body(out);
    at += put_varint(at, header_length);
    at += estreat__v1__call_header__pack(&header, at);
    (void)protobuf_c_message_pack(request, at);
    rpc_frame_seal(out->bytes, length, RPC_CALL, envelope->flags, envelope->call_id);
    return out;
}

enum status rpc_call_split(struct slice body, struct rpc_arena *arena,
                           const Estreat__V1__CallHeader **header, struct slice *request,
                           struct error *err)
{
    struct cursor cursor = cursor_of(body);
    struct slice header_bytes = cursor_prefixed(&cursor);
    if (cursor.failed) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "CALL frame with a cut header");
    }
    ProtobufCMessage *message = NULL;
    enum status status =
        rpc_unpack(&estreat__v1__call_header__descriptor, header_bytes, arena, &message, err);
    if (status != STATUS_OK) {
        return status;
    }
    *header = (const Estreat__V1__CallHeader *)message;
    *request = slice_of(cursor.at, cursor_left(&cursor));
    return STATUS_OK;
}
