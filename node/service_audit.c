/* SPDX-License-Identifier: Apache-2.0
 *
 * The Audit service: this node's roots and subtree hashes at sizes that an
 * auditor chooses. The deep audit is in service_deep.c.
 */
#include "base/check.h"
#include "node/request.h"
#include "node/service.h"
#include "schema/audit.pb-c.h"

#define HASHES_MAX 1024U

static enum status root_at(struct service *service, uint64_t asked, uint64_t *size,
                           struct hash *root, struct error *err)
{
    struct hasher hasher;
    const struct hash_source source = tile_store_source(service->tiles);
    uint64_t applied = tile_store_size(service->tiles);
    *size = asked == 0 ? applied : asked;
    if (*size > applied) {
        return error_set(err, STATUS_OUT_OF_RANGE, "this node has applied %lu events, not %lu",
                         (unsigned long)applied, (unsigned long)*size);
    }
    enum status status = hasher_init(&hasher, err);
    if (status == STATUS_OK) {
        status = proof_root(&source, &hasher, *size, root, err);
        hasher_release(&hasher);
    }
    return status;
}

static enum job_result run_root(struct request *request)
{
    const Estreat__V1__RootRequest *message = (const Estreat__V1__RootRequest *)request->message;
    struct service *service = request->service;
    struct error err = ERROR_INIT;
    uint64_t size = 0;
    struct hash root;
    enum status status = root_at(service, message->size, &size, &root, &err);
    if (status != STATUS_OK) {
        return request_fail(request, status, err.text);
    }
    Estreat__V1__RootResponse response = ESTREAT__V1__ROOT_RESPONSE__INIT;
    char node_id[NODE_ID_BYTES_MAX + 1];
    memcpy(node_id, service->config->node_id, sizeof node_id);
    response.node_id = node_id;
    response.size = size;
    response.root = (ProtobufCBinaryData){.len = HASH_BYTES, .data = root.bytes};
    response.applied_size = tile_store_size(service->tiles);
    return request_reply(request, &response.base);
}

static enum status hash_list(struct service *service, const Estreat__V1__HashesRequest *message,
                             struct hash *out, struct error *err)
{
    struct hasher hasher;
    const struct hash_source source = tile_store_source(service->tiles);
    uint64_t size = tile_store_size(service->tiles);
    uint64_t complete = message->level < 64 ? size >> message->level : 0;
    if (message->count > HASHES_MAX || message->begin > complete ||
        message->count > complete - message->begin) {
        return error_set(err, STATUS_OUT_OF_RANGE,
                         "level %u has %lu complete subtrees; at most %u can be asked at a time",
                         message->level, (unsigned long)complete, HASHES_MAX);
    }
    enum status status = hasher_init(&hasher, err);
    if (status != STATUS_OK) {
        return status;
    }
    for (uint64_t i = 0; i < message->count && status == STATUS_OK; i++) {
        const struct node_id id = {.level = message->level, .index = message->begin + i};
        status = proof_subtree(&source, &hasher, id, &out[i], err);
    }
    hasher_release(&hasher);
    return status;
}

static enum job_result run_hashes(struct request *request)
{
    const Estreat__V1__HashesRequest *message =
        (const Estreat__V1__HashesRequest *)request->message;
    struct error err = ERROR_INIT;
    struct hash hashes[HASHES_MAX];
    ProtobufCBinaryData list[HASHES_MAX];
    enum status status = hash_list(request->service, message, hashes, &err);
    if (status != STATUS_OK) {
        return request_fail(request, status, err.text);
    }
    for (size_t i = 0; i < message->count; i++) {
        list[i] = (ProtobufCBinaryData){.len = HASH_BYTES, .data = hashes[i].bytes};
    }
    Estreat__V1__HashesResponse response = ESTREAT__V1__HASHES_RESPONSE__INIT;
    response.n_hashes = message->count;
    response.hashes = list;
    return request_reply(request, &response.base);
}

/* An audit asks for what this node itself has: its consistency is LOCAL. */
static void begin(void *context, struct rpc_server_call *call, const ProtobufCMessage *message,
                  enum job_result (*run)(struct request *request))
{
    Estreat__V1__ReadConsistency local = ESTREAT__V1__READ_CONSISTENCY__INIT;
    local.level = ESTREAT__V1__CONSISTENCY_LEVEL__LOCAL;
    struct request *request = request_new(context, call, message, sizeof *request, run);
    if (request != NULL) {
        request->audits = true;
        request_start(request, &local);
    }
}

static void root(void *context, struct rpc_server_call *call, const ProtobufCMessage *message)
{
    begin(context, call, message, run_root);
}

static void hashes(void *context, struct rpc_server_call *call, const ProtobufCMessage *message)
{
    begin(context, call, message, run_hashes);
}

enum status service_audit_register(struct service *service, struct rpc_server *server,
                                   struct error *err)
{
    const rpc_handler_fn handlers[] = {root, hashes, service_deep};
    CHECK(sizeof handlers / sizeof handlers[0] == estreat__v1__audit__descriptor.n_methods);
    return rpc_server_register(server, &estreat__v1__audit__descriptor, handlers, service, err);
}
