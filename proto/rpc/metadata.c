/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/metadata.h"

bool rpc_metadata_get(struct rpc_metadata_list list, const char *name, struct slice *value)
{
    for (size_t i = 0; i < list.count; i++) {
        if (strcmp(list.pairs[i].name, name) == 0) {
            *value = list.pairs[i].value;
            return true;
        }
    }
    return false;
}
