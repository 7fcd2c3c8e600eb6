/* SPDX-License-Identifier: Apache-2.0
 *
 * Stream methods: which methods answer with a stream. protoc-c drops the word
 * `stream` from its descriptors, so it is repeated here, in one table that a test
 * holds against protoc's own descriptors.
 */
#ifndef ESTREAT_RPC_STREAM_METHODS_H
#define ESTREAT_RPC_STREAM_METHODS_H

#include <stdbool.h>
#include <stddef.h>

struct rpc_stream_method {
    const char *service; /* "estreat.v1.Log" */
    const char *method;  /* "Read" */
};

extern const struct rpc_stream_method rpc_stream_methods[];
extern const size_t rpc_stream_methods_count;

bool rpc_method_streams(const char *service, const char *method);

#endif
