/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_audit.h"

#include <stdio.h>

#include "base/check.h"
#include "base/limits.h"
#include "merkle/range.h"
#include "merkle/tree_head.h"
#include "schema/audit.pb-c.h"
#include "schema/cluster.pb-c.h"
#include "schema/proof.pb-c.h"

static char *text_of(const char *text)
{
    return (char *)(uintptr_t)text;
}

static ProtobufCBinaryData binary_of(struct hash *hash)
{
    return (ProtobufCBinaryData){.len = HASH_BYTES, .data = hash->bytes};
}

/* --- the tree ----------------------------------------------------------------------------- */

static void hash_up(struct fake_auditee *node)
{
    for (unsigned level = 1; level < FAKE_LEVELS; level++) {
        for (uint64_t i = 0; i < node->size >> level; i++) {
            node->levels[level][i] = hash_node(&node->hasher, &node->levels[level - 1][2 * i],
                                               &node->levels[level - 1][2 * i + 1]);
        }
    }
}

static void set_leaf(struct fake_auditee *node, uint64_t position, const char *word)
{
    char text[40];
    (void)snprintf(text, sizeof text, "%s %lu", word, (unsigned long)position);
    node->levels[0][position] = hash_leaf(&node->hasher, slice_of_string(text));
}

void fake_alter(struct fake_auditee *node, uint64_t position)
{
    set_leaf(node, position, "altered");
    hash_up(node);
}

static struct hash root_at(struct fake_auditee *node, uint64_t size)
{
    struct range range;
    range_init(&range, 0);
    while (range.end < size) {
        struct node_id id = node_id_largest(range.end, size);
        range_append_node(&range, &node->hasher, id.level, &node->levels[id.level][id.index], NULL);
    }
    return size == 0 ? hash_empty(&node->hasher) : range_root(&range, &node->hasher);
}

static enum status read_tile(void *ctx, unsigned level, uint64_t index, unsigned width,
                             struct hash *out, struct error *err)
{
    const struct fake_auditee *node = ctx;
    unsigned tree_level = level * 8;
    (void)err;
    CHECK(tree_level < FAKE_LEVELS);
    memcpy(out, &node->levels[tree_level][index * 256], width * sizeof *out);
    return STATUS_OK;
}

/* --- services ----------------------------------------------------------------------------- */

static uint64_t applied(const struct fake_auditee *node)
{
    return node->size - node->lag;
}

static void on_status(void *context, struct rpc_server_call *call, const ProtobufCMessage *message)
{
    struct fake_auditee *node = context;
    Estreat__V1__StatusResponse response = ESTREAT__V1__STATUS_RESPONSE__INIT;
    Estreat__V1__Member members[FAKE_NODES_MAX];
    Estreat__V1__Member *list[FAKE_NODES_MAX];
    (void)message;
    for (unsigned i = 0; i < node->cluster->count; i++) {
        estreat__v1__member__init(&members[i]);
        members[i].id = node->cluster->nodes[i].id;
        members[i].client_endpoint = node->cluster->nodes[i].endpoint;
        list[i] = &members[i];
    }
    response.n_members = node->cluster->count;
    response.members = list;
    response.cluster = node->cluster_name;
    response.node_id = node->claimed_id[0] != '\0' ? node->claimed_id : node->id;
    response.leader_id = node->cluster->nodes[0].id;
    response.role = node == &node->cluster->nodes[0] ? ESTREAT__V1__ROLE__ROLE_LEADER
                                                     : ESTREAT__V1__ROLE__ROLE_FOLLOWER;
    response.term = 3;
    response.size = applied(node);
    response.fdatasync_p50_ns = 1000;
    response.state = text_of("ok");
    rpc_call_reply(call, &response.base);
}

static void on_root(void *context, struct rpc_server_call *call, const ProtobufCMessage *message)
{
    struct fake_auditee *node = context;
    const Estreat__V1__RootRequest *request = (const Estreat__V1__RootRequest *)message;
    Estreat__V1__RootResponse response = ESTREAT__V1__ROOT_RESPONSE__INIT;
    node->lag /= 2;
    response.size = request->size == 0 ? applied(node) : request->size;
    if (response.size > applied(node)) {
        rpc_call_fail(call, STATUS_OUT_OF_RANGE, "not so many events");
        return;
    }
    struct hash root = root_at(node, response.size);
    response.root = binary_of(&root);
    response.node_id = node->id;
    response.applied_size = applied(node);
    rpc_call_reply(call, &response.base);
}

static void on_hashes(void *context, struct rpc_server_call *call, const ProtobufCMessage *message)
{
    struct fake_auditee *node = context;
    const Estreat__V1__HashesRequest *request = (const Estreat__V1__HashesRequest *)message;
    Estreat__V1__HashesResponse response = ESTREAT__V1__HASHES_RESPONSE__INIT;
    ProtobufCBinaryData list[1024];
    CHECK(request->count <= 1024 && request->level < FAKE_LEVELS);
    CHECK(request->begin + request->count <= node->size >> request->level);
    for (size_t i = 0; i < request->count; i++) {
        list[i] = binary_of(&node->levels[request->level][request->begin + i]);
    }
    response.n_hashes = request->count;
    response.hashes = list;
    rpc_call_reply(call, &response.base);
}

static void on_deep(void *context, struct rpc_server_call *call, const ProtobufCMessage *message)
{
    struct fake_auditee *node = context;
    const Estreat__V1__DeepRequest *request = (const Estreat__V1__DeepRequest *)message;
    Estreat__V1__DeepProgress progress = ESTREAT__V1__DEEP_PROGRESS__INIT;
    Estreat__V1__PositionRange range = ESTREAT__V1__POSITION_RANGE__INIT;
    Estreat__V1__PositionRange *list[] = {&range};
    struct hash root = root_at(node, request->size);
    progress.events = request->size / 2;
    progress.bytes_read = 100;
    (void)rpc_call_send(call, &progress.base);
    if (node->deep == FAKE_DEEP_BREAKS_OFF) {
        rpc_call_finish(call);
        return;
    }
    if (node->deep == FAKE_DEEP_DAMAGED) {
        range.begin = node->damage_begin;
        range.end = node->damage_begin + 2;
        progress.n_damaged = 1;
        progress.damaged = list;
        progress.cause = text_of("payload hash mismatch");
    } else {
        root.bytes[0] ^= node->deep == FAKE_DEEP_OTHER_ROOT ? 1 : 0;
        progress.root = binary_of(&root);
    }
    progress.events = request->size;
    progress.bytes_read = 200;
    progress.done = true;
    progress.node_id = node->id;
    progress.size = request->size;
    (void)rpc_call_send(call, &progress.base);
    rpc_call_finish(call);
}

static void on_consistency(void *context, struct rpc_server_call *call,
                           const ProtobufCMessage *message)
{
    struct fake_auditee *node = context;
    const Estreat__V1__ConsistencyRequest *request =
        (const Estreat__V1__ConsistencyRequest *)message;
    Estreat__V1__ConsistencyResponse response = ESTREAT__V1__CONSISTENCY_RESPONSE__INIT;
    const struct hash_source source = {.read_tile = read_tile, .ctx = node};
    ProtobufCBinaryData list[PROOF_HASHES_MAX];
    struct error err = ERROR_INIT;
    struct proof proof;
    struct buf checkpoint;
    struct hash old_root = root_at(node, request->old_size);
    struct hash root = root_at(node, node->size);
    const struct tree_head head = {
        .origin = slice_of_string("log"), .size = node->size, .root = root};
    buf_init(&checkpoint, alloc_default(), NOTE_BYTES_MAX);
    CHECK(tree_head_sign(&head, &node->signer, 1, &checkpoint, &err) == STATUS_OK);
    CHECK(proof_consistency(&source, &node->hasher, request->old_size, node->size, &proof, &err) ==
          STATUS_OK);
    for (unsigned i = 0; i < proof.count; i++) {
        list[i] = binary_of(&proof.hashes[i]);
    }
    response.old_size = request->old_size;
    response.old_root = binary_of(&old_root);
    response.new_size = node->size;
    response.new_root = binary_of(&root);
    response.n_hashes = proof.count;
    response.hashes = list;
    response.head_size = node->size;
    response.checkpoint = (ProtobufCBinaryData){.len = checkpoint.length, .data = checkpoint.data};
    rpc_call_reply(call, &response.base);
    buf_release(&checkpoint);
}

/* --- nodes -------------------------------------------------------------------------------- */

static void open_node(struct fake_auditee *node, unsigned number, uint64_t size)
{
    /* One for each method of the service. */
    static const rpc_handler_fn cluster_handlers[6] = {on_status};
    static const rpc_handler_fn audit_handlers[] = {on_root, on_hashes, on_deep};
    static const rpc_handler_fn proof_handlers[] = {NULL, NULL, on_consistency};
    const struct rpc_loop_options loop_options = {.name = "fake-node"};
    const struct rpc_server_options options = {.url = "tcp://127.0.0.1:0"};
    struct error err = ERROR_INIT;
    uint8_t seed[NOTE_SEED_BYTES];
    memset(seed, (int)number + 1, sizeof seed);
    (void)snprintf(node->id, sizeof node->id, "n%u", number + 1);
    (void)snprintf(node->cluster_name, sizeof node->cluster_name, "fakes");
    CHECK(hasher_init(&node->hasher, &err) == STATUS_OK);
    CHECK(note_signer_init(&node->signer, slice_of_string("log"), seed, &err) == STATUS_OK);
    node->size = size;
    for (unsigned level = 0; level < FAKE_LEVELS; level++) {
        node->levels[level] =
            alloc_zeroed(alloc_default(), (size >> level) + 1, sizeof(struct hash));
        CHECK(node->levels[level] != NULL);
    }
    for (uint64_t i = 0; i < size; i++) {
        set_leaf(node, i, "event");
    }
    hash_up(node);
    CHECK(rpc_loop_open(&loop_options, &node->loop, &err) == STATUS_OK);
    CHECK(rpc_server_open(node->loop, &options, &node->server, &err) == STATUS_OK);
    CHECK(rpc_server_register(node->server, &estreat__v1__cluster__descriptor, cluster_handlers,
                              node, &err) == STATUS_OK);
    CHECK(rpc_server_register(node->server, &estreat__v1__audit__descriptor, audit_handlers, node,
                              &err) == STATUS_OK);
    CHECK(rpc_server_register(node->server, &estreat__v1__proof__descriptor, proof_handlers, node,
                              &err) == STATUS_OK);
    (void)snprintf(node->endpoint, sizeof node->endpoint, "127.0.0.1:%u",
                   rpc_server_port(node->server));
}

void fake_cluster_init(struct fake_cluster *cluster, unsigned count, uint64_t size)
{
    CHECK(count <= FAKE_NODES_MAX && size < 1U << FAKE_LEVELS);
    *cluster = (struct fake_cluster){.count = count};
    for (unsigned i = 0; i < count; i++) {
        cluster->nodes[i].cluster = cluster;
        open_node(&cluster->nodes[i], i, size);
    }
    for (unsigned i = 0; i < count; i++) {
        rpc_server_start(cluster->nodes[i].server);
    }
}

void fake_stop(struct fake_auditee *node)
{
    rpc_server_close(node->server, 100);
    node->server = NULL;
}

void fake_cluster_release(struct fake_cluster *cluster)
{
    for (unsigned i = 0; i < cluster->count; i++) {
        struct fake_auditee *node = &cluster->nodes[i];
        fake_stop(node);
        rpc_loop_close(node->loop);
        hasher_release(&node->hasher);
        note_signer_release(&node->signer);
        for (unsigned level = 0; level < FAKE_LEVELS; level++) {
            alloc_free(alloc_default(), node->levels[level]);
        }
    }
}
