/* SPDX-License-Identifier: Apache-2.0
 *
 * Hello: the first frame in each direction. It settles the protocol version and
 * tells the sides who they talk to, before any call.
 */
#ifndef ESTREAT_RPC_HELLO_H
#define ESTREAT_RPC_HELLO_H

#include "base/buf.h"
#include "base/rng.h"
#include "base/status.h"

/* The versions that this build speaks. */
#define RPC_VERSION_MIN 1U
#define RPC_VERSION_MAX 1U

#define RPC_NAME_BYTES_MAX 255UL
#define RPC_INSTANCE_BYTES_MAX 1023UL
#define RPC_NONCE_BYTES 32UL

struct rpc_hello {
    unsigned version_min;
    unsigned version_max;
    char cluster_id[RPC_NAME_BYTES_MAX + 1];   /* "": whichever */
    char peer_id[RPC_NAME_BYTES_MAX + 1];      /* "": anonymous */
    char instance[RPC_INSTANCE_BYTES_MAX + 1]; /* of a node's data directory; "": none */
    uint8_t nonce[RPC_NONCE_BYTES];
    uint64_t features;
    uint64_t frame_bytes_max; /* the largest body that the sender takes */
};

/* Fills our side's. Names that are too long are programmer's errors; NULL is "". */
void rpc_hello_init(struct rpc_hello *hello, const char *cluster_id, const char *peer_id,
                    const char *instance, size_t frame_bytes_max, struct rng *rng);

/* Appends the body of a HELLO frame. */
void rpc_hello_encode(const struct rpc_hello *hello, struct buf *out);

/* INVALID_ARGUMENT if the bytes are no HELLO; then `out` is untouched. */
enum status rpc_hello_decode(struct slice body, struct alloc *alloc, struct rpc_hello *out,
                             struct error *err) MUST_USE;

/* Whether the two sides may talk: FAILED_PRECONDITION if no version is common, or if both name
 * a cluster and not the same. On OK `version` is the highest common one. */
enum status rpc_hello_check(const struct rpc_hello *ours, const struct rpc_hello *theirs,
                            unsigned *version, struct error *err) MUST_USE;

#endif
