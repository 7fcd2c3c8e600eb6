/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/hello.h"

#include "base/check.h"
#include "rpc/unpack.h"
#include "schema/rpc.pb-c.h"

static void copy_name(char *to, size_t bytes_max, const char *name)
{
    size_t length = name == NULL ? 0 : strlen(name);
    CHECK(length <= bytes_max);
    if (length > 0) {
        memcpy(to, name, length);
    }
    to[length] = '\0';
}

void rpc_hello_init(struct rpc_hello *hello, const char *cluster_id, const char *peer_id,
                    const char *instance, size_t frame_bytes_max, struct rng *rng)
{
    *hello = (struct rpc_hello){
        .version_min = RPC_VERSION_MIN,
        .version_max = RPC_VERSION_MAX,
        .frame_bytes_max = frame_bytes_max,
    };
    copy_name(hello->cluster_id, RPC_NAME_BYTES_MAX, cluster_id);
    copy_name(hello->peer_id, RPC_NAME_BYTES_MAX, peer_id);
    copy_name(hello->instance, RPC_INSTANCE_BYTES_MAX, instance);
    rng_fill(rng, hello->nonce, sizeof hello->nonce);
}

void rpc_hello_encode(const struct rpc_hello *hello, struct buf *out)
{
    Estreat__V1__Hello message = ESTREAT__V1__HELLO__INIT;
    message.version_min = hello->version_min;
    message.version_max = hello->version_max;
    message.cluster_id = (char *)(uintptr_t)hello->cluster_id;
    message.peer_id = (char *)(uintptr_t)hello->peer_id;
    message.instance = (char *)(uintptr_t)hello->instance;
    message.nonce.data = (uint8_t *)(uintptr_t)hello->nonce;
    message.nonce.len = sizeof hello->nonce;
    message.features = hello->features;
    message.frame_bytes_max = hello->frame_bytes_max;
    uint8_t *place = buf_extend(out, estreat__v1__hello__get_packed_size(&message));
    if (place != NULL) {
        (void)estreat__v1__hello__pack(&message, place);
    }
}

/* Names go into logs and errors: one line, no control characters. */
static bool name_is_fit(const char *name, size_t bytes_max)
{
    size_t length = strlen(name);
    if (length > bytes_max) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

enum status rpc_hello_decode(struct slice body, struct alloc *alloc, struct rpc_hello *out,
                             struct error *err)
{
    struct rpc_arena arena;
    rpc_arena_init(&arena, alloc, 1024, rpc_unpack_budget(body.length));
    ProtobufCMessage *unpacked = NULL;
    enum status status = rpc_unpack(&estreat__v1__hello__descriptor, body, &arena, &unpacked, err);
    if (status != STATUS_OK) {
        goto out;
    }
    const Estreat__V1__Hello *message = (const Estreat__V1__Hello *)unpacked;
    if (message->version_min == 0 || message->version_min > message->version_max ||
        message->nonce.len != RPC_NONCE_BYTES ||
        !name_is_fit(message->cluster_id, RPC_NAME_BYTES_MAX) ||
        !name_is_fit(message->peer_id, RPC_NAME_BYTES_MAX) ||
        !name_is_fit(message->instance, RPC_INSTANCE_BYTES_MAX)) {
        status = error_set(err, STATUS_INVALID_ARGUMENT, "HELLO with unfit fields");
        goto out;
    }
    *out = (struct rpc_hello){
        .version_min = message->version_min,
        .version_max = message->version_max,
        .features = message->features,
        .frame_bytes_max = message->frame_bytes_max,
    };
    copy_name(out->cluster_id, RPC_NAME_BYTES_MAX, message->cluster_id);
    copy_name(out->peer_id, RPC_NAME_BYTES_MAX, message->peer_id);
    copy_name(out->instance, RPC_INSTANCE_BYTES_MAX, message->instance);
    memcpy(out->nonce, message->nonce.data, RPC_NONCE_BYTES);
out:
    rpc_arena_release(&arena);
    return status;
}

enum status rpc_hello_check(const struct rpc_hello *ours, const struct rpc_hello *theirs,
                            unsigned *version, struct error *err)
{
    unsigned highest =
        ours->version_max < theirs->version_max ? ours->version_max : theirs->version_max;
    unsigned lowest =
        ours->version_min > theirs->version_min ? ours->version_min : theirs->version_min;
    if (lowest > highest) {
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "no common protocol version: this side speaks %u to %u, the other %u to "
                         "%u",
                         ours->version_min, ours->version_max, theirs->version_min,
                         theirs->version_max);
    }
    if (ours->cluster_id[0] != '\0' && theirs->cluster_id[0] != '\0' &&
        strcmp(ours->cluster_id, theirs->cluster_id) != 0) {
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "another cluster: this side belongs to \"%.100s\", the other to "
                         "\"%.100s\"",
                         ours->cluster_id, theirs->cluster_id);
    }
    *version = highest;
    return STATUS_OK;
}
