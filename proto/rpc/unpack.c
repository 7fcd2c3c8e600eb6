/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/unpack.h"

enum status rpc_unpack(const ProtobufCMessageDescriptor *descriptor, struct slice bytes,
                       struct rpc_arena *arena, ProtobufCMessage **out, struct error *err)
{
    ProtobufCAllocator allocator = rpc_arena_protobuf(arena);
    static const uint8_t nothing[1];
    ProtobufCMessage *message = protobuf_c_message_unpack(descriptor, &allocator, bytes.length,
                                                          bytes.length == 0 ? nothing : bytes.data);
    if (message == NULL && arena->exhausted) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED,
                         "%s of %zu bytes needs too much memory when unpacked", descriptor->name,
                         bytes.length);
    }
    if (message == NULL) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "%zu bytes are no %s", bytes.length,
                         descriptor->name);
    }
    *out = message;
    return STATUS_OK;
}
