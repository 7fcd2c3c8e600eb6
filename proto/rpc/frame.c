/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/frame.h"

#include "base/check.h"
#include "base/coding.h"
#include "base/crc32c.h"

enum {
    AT_LENGTH = 0,
    AT_CRC = 4,
    AT_KIND = 8,
    AT_FLAGS = 9,
    AT_RESERVED = 10,
    AT_CALL_ID = 12,
};

_Static_assert(sizeof RPC_PREFACE - 1 == RPC_PREFACE_BYTES, "the preface has a fixed length");
_Static_assert(AT_CALL_ID + 8 == RPC_FRAME_HEADER_BYTES, "the call id ends the header");

static uint32_t checksum(const uint8_t *frame, size_t body_length)
{
    uint32_t crc = crc32c_extend(0, frame + AT_LENGTH, AT_CRC - AT_LENGTH);
    return crc32c_extend(crc, frame + AT_KIND, RPC_FRAME_HEADER_BYTES - AT_KIND + body_length);
}

/* Which flags a kind may carry: an unknown flag changes what a frame means, so it is refused. */
static uint8_t flags_allowed(unsigned kind)
{
    switch (kind) {
    case RPC_MESSAGE:
        return RPC_FLAG_END;
    case RPC_CALL:
        return RPC_FLAG_ONEWAY;
    case RPC_PING:
        return RPC_FLAG_ACK;
    default:
        return 0;
    }
}

void rpc_frame_seal(uint8_t *frame, size_t body_length, enum rpc_frame_kind kind, uint8_t flags,
                    uint64_t call_id)
{
    CHECK(body_length <= UINT32_MAX);
    CHECK((flags & ~flags_allowed(kind)) == 0);
    put_le32(frame + AT_LENGTH, (uint32_t)body_length);
    frame[AT_KIND] = (uint8_t)kind;
    frame[AT_FLAGS] = flags;
    put_le16(frame + AT_RESERVED, 0);
    put_le64(frame + AT_CALL_ID, call_id);
    put_le32(frame + AT_CRC, checksum(frame, body_length));
}

static enum rpc_parse_result bad(struct error *err, enum status status, const char *why,
                                 size_t number)
{
    error_set(err, status, "%s (%zu)", why, number);
    return RPC_PARSE_BAD;
}

enum rpc_parse_result rpc_frame_parse(struct slice in, size_t body_max, struct rpc_frame *out,
                                      size_t *bytes, struct error *err)
{
    if (in.length < RPC_FRAME_HEADER_BYTES) {
        *bytes = RPC_FRAME_HEADER_BYTES;
        return RPC_PARSE_MORE;
    }
    const uint8_t *frame = in.data;
    size_t length = get_le32(frame + AT_LENGTH);
    unsigned kind = frame[AT_KIND];
    uint8_t flags = frame[AT_FLAGS];
    if (length > body_max) {
        error_set(err, STATUS_RESOURCE_EXHAUSTED, "frame of %zu bytes exceeds the limit of %zu",
                  length, body_max);
        return RPC_PARSE_BAD;
    }
    if (in.length - RPC_FRAME_HEADER_BYTES < length) {
        *bytes = RPC_FRAME_HEADER_BYTES + length;
        return RPC_PARSE_MORE;
    }
    if (get_le32(frame + AT_CRC) != checksum(frame, length)) {
        return bad(err, STATUS_INVALID_ARGUMENT, "frame with a wrong checksum, length", length);
    }
    if (kind < RPC_HELLO || kind > RPC_FRAME_KIND_MAX) {
        return bad(err, STATUS_INVALID_ARGUMENT, "frame of unknown kind", kind);
    }
    if ((flags & ~flags_allowed(kind)) != 0 || get_le16(frame + AT_RESERVED) != 0) {
        return bad(err, STATUS_INVALID_ARGUMENT, "frame with unknown flags", flags);
    }
    *out = (struct rpc_frame){
        .kind = (enum rpc_frame_kind)kind,
        .flags = flags,
        .call_id = get_le64(frame + AT_CALL_ID),
        .body = slice_of(frame + RPC_FRAME_HEADER_BYTES, length),
    };
    *bytes = RPC_FRAME_HEADER_BYTES + length;
    return RPC_PARSE_FRAME;
}

const char *rpc_frame_kind_name(enum rpc_frame_kind kind)
{
    static const char *const names[RPC_FRAME_KIND_MAX + 1] = {
        "?", "HELLO", "AUTH", "CALL", "MESSAGE", "STATUS", "CANCEL", "CREDIT", "PING", "GOAWAY"};
    return (unsigned)kind <= RPC_FRAME_KIND_MAX ? names[kind] : names[0];
}
