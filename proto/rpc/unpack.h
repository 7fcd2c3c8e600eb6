/* SPDX-License-Identifier: Apache-2.0
 *
 * Unpack: the one door through which bytes from a socket become messages. The
 * checks that must come before protobuf-c sees the bytes belong here.
 */
#ifndef ESTREAT_RPC_UNPACK_H
#define ESTREAT_RPC_UNPACK_H

#include "base/status.h"
#include "rpc/arena.h"

/* The arena budget for a message of `length` bytes: small messages of many fields grow about
 * tenfold when they are unpacked, and what grows more than this is an attack. */
static inline size_t rpc_unpack_budget(size_t length)
{
    return 16 * length + 64 * (size_t)1024;
}

/* Unpacks `bytes` into `arena`; the message copies what it needs and is valid as long as the
 * arena. INVALID_ARGUMENT if the bytes are no such message, RESOURCE_EXHAUSTED past the budget;
 * then `out` is untouched. */
enum status rpc_unpack(const ProtobufCMessageDescriptor *descriptor, struct slice bytes,
                       struct rpc_arena *arena, ProtobufCMessage **out, struct error *err) MUST_USE;

#endif
