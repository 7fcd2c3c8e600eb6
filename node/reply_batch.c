/* SPDX-License-Identifier: Apache-2.0 */
#include "node/reply_batch.h"

#include "base/check.h"

struct reply_batch *reply_batch_new(struct alloc *alloc, size_t capacity, struct slice versions)
{
    CHECK(capacity > 0);
    size_t replies_bytes = capacity * sizeof(struct append_reply);
    struct reply_batch *batch = alloc_new(alloc, sizeof *batch + replies_bytes + versions.length);
    if (batch == NULL) {
        return NULL;
    }
    *batch = (struct reply_batch){.alloc = alloc};
    batch->versions = (uint64_t *)(void *)(batch->replies + capacity);
    if (versions.length > 0) {
        memcpy(batch->versions, versions.data, versions.length);
    }
    return batch;
}

Estreat__V1__AppendResponse reply_batch_response(const struct reply_batch *batch, size_t i)
{
    const struct append_reply *reply = &batch->replies[i];
    Estreat__V1__AppendResponse response = ESTREAT__V1__APPEND_RESPONSE__INIT;
    response.position = reply->position;
    response.time_ns = reply->time_ns;
    response.repeated_request = reply->repeated;
    response.size = reply->position + reply->count;
    if (!reply->repeated) {
        response.n_versions = reply->count;
        response.versions = batch->versions + reply->versions_begin;
    }
    return response;
}

void reply_batch_free(struct reply_batch *batch)
{
    alloc_free(batch->alloc, batch);
}
