/* SPDX-License-Identifier: Apache-2.0
 *
 * Frame: what a connection's bytes are made of; the byte table is in
 * proto/PROTOCOL.md. Parsing is in place and incremental: the caller keeps the
 * bytes in a buffer and asks again when there are more.
 */
#ifndef ESTREAT_RPC_FRAME_H
#define ESTREAT_RPC_FRAME_H

#include "base/slice.h"
#include "base/status.h"

/* Sent once in each direction before the first frame: a name, and the generation of the frame
 * layout. */
#define RPC_PREFACE "ESTREAT\x01"
#define RPC_PREFACE_BYTES 8UL

#define RPC_FRAME_HEADER_BYTES 20UL

/* A frame before the handshake is done. */
#define RPC_HELLO_BYTES_MAX 4096UL

enum rpc_frame_kind {
    RPC_HELLO = 1,
    RPC_AUTH = 2, /* reserved */
    RPC_CALL = 3,
    RPC_MESSAGE = 4,
    RPC_STATUS = 5,
    RPC_CANCEL = 6,
    RPC_CREDIT = 7,
    RPC_PING = 8,
    RPC_GOAWAY = 9,
};
#define RPC_FRAME_KIND_MAX 9

enum rpc_frame_flags {
    RPC_FLAG_END = 1 << 0,    /* MESSAGE: the last one; the status is OK */
    RPC_FLAG_ONEWAY = 1 << 1, /* CALL: no answer is awaited */
    RPC_FLAG_ACK = 1 << 2,    /* PING: the answer to one */
};

struct rpc_frame {
    enum rpc_frame_kind kind;
    uint8_t flags;
    uint64_t call_id;  /* 0: the connection */
    struct slice body; /* borrows the parsed bytes */
};

/* Writes the header of a frame whose body of `body_length` bytes already stands at
 * frame + RPC_FRAME_HEADER_BYTES. */
void rpc_frame_seal(uint8_t *frame, size_t body_length, enum rpc_frame_kind kind, uint8_t flags,
                    uint64_t call_id);

enum rpc_parse_result {
    RPC_PARSE_FRAME, /* one frame */
    RPC_PARSE_MORE,  /* the frame is not whole yet */
    RPC_PARSE_BAD,   /* the connection cannot go on */
};

/* Parses the frame at the beginning of `in`. FRAME: fills `out`, and `bytes` with the frame's
 * length. MORE: `bytes` is how many the frame needs in all, as far as is known; never more than
 * a header and `body_max`. BAD: fills `err`; RESOURCE_EXHAUSTED for a body above `body_max`
 * (known from the header alone), else INVALID_ARGUMENT. */
enum rpc_parse_result rpc_frame_parse(struct slice in, size_t body_max, struct rpc_frame *out,
                                      size_t *bytes, struct error *err);

const char *rpc_frame_kind_name(enum rpc_frame_kind kind);

#endif
