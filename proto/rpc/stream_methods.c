/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/stream_methods.h"

#include <string.h>

const struct rpc_stream_method rpc_stream_methods[] = {
    {"estreat.v1.Audit", "Deep"},
    {"estreat.v1.Log", "History"},
    {"estreat.v1.Log", "Read"},
};
const size_t rpc_stream_methods_count = sizeof rpc_stream_methods / sizeof rpc_stream_methods[0];

bool rpc_method_streams(const char *service, const char *method)
{
    for (size_t i = 0; i < rpc_stream_methods_count; i++) {
        if (strcmp(rpc_stream_methods[i].service, service) == 0 &&
            strcmp(rpc_stream_methods[i].method, method) == 0) {
            return true;
        }
    }
    return false;
}
