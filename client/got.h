/* SPDX-License-Identifier: Apache-2.0
 *
 * Got: one event together with the memory that it points into.
 */
#ifndef ESTREAT_CLIENT_GOT_H
#define ESTREAT_CLIENT_GOT_H

#include "base/alloc.h"
#include "base/limits.h"
#include "client/estreat.h"
#include "merkle/proof_file.h"
#include "rpc/channel.h"

struct estreat_got {
    struct alloc *alloc;
    struct estreat_event event;
    char type[TYPE_BYTES_MAX + 1];
    bool from_reply; /* else from a proof */
    union {
        struct rpc_reply reply;
        struct proof_verdict verdict;
    };
};

#endif
