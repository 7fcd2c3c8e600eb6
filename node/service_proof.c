/* SPDX-License-Identifier: Apache-2.0
 *
 * The Proof service: signed tree heads, inclusion and consistency proofs.
 */
#include "base/check.h"
#include "merkle/verify.h"
#include "node/event_log.h"
#include "node/event_page.h"
#include "node/request.h"
#include "node/service.h"
#include "node/signed_head.h"
#include "schema/proof.pb-c.h"

/* What a proof is built with; released as a whole. */
struct workshop {
    struct hasher hasher;
    struct buf checkpoint;
    uint64_t size;
    struct hash root;
};

static enum status workshop_open(struct service *service, struct workshop *workshop,
                                 struct error *err)
{
    enum status status = hasher_init(&workshop->hasher, err);
    if (status != STATUS_OK) {
        return status;
    }
    buf_init(&workshop->checkpoint, service->alloc, NOTE_BYTES_MAX);
    status = signed_head_make(service->tiles, service->signer, &workshop->hasher, &workshop->size,
                              &workshop->root, &workshop->checkpoint, err);
    if (status != STATUS_OK) {
        buf_release(&workshop->checkpoint);
        hasher_release(&workshop->hasher);
    }
    return status;
}

static void workshop_close(struct workshop *workshop)
{
    buf_release(&workshop->checkpoint);
    hasher_release(&workshop->hasher);
}

static ProtobufCBinaryData binary_of_hash(struct hash *hash)
{
    return (ProtobufCBinaryData){.len = HASH_BYTES, .data = hash->bytes};
}

static ProtobufCBinaryData binary_of_buf(struct buf *buf)
{
    return (ProtobufCBinaryData){.len = buf->length, .data = buf->data};
}

static void list_hashes(struct proof *proof, ProtobufCBinaryData out[PROOF_HASHES_MAX])
{
    for (unsigned i = 0; i < proof->count; i++) {
        out[i] = binary_of_hash(&proof->hashes[i]);
    }
}

static enum job_result run_head(struct request *request)
{
    struct error err = ERROR_INIT;
    struct workshop workshop;
    enum status status = workshop_open(request->service, &workshop, &err);
    if (status != STATUS_OK) {
        return request_fail(request, status, err.text);
    }
    Estreat__V1__HeadResponse response = ESTREAT__V1__HEAD_RESPONSE__INIT;
    response.size = workshop.size;
    response.root = binary_of_hash(&workshop.root);
    response.checkpoint = binary_of_buf(&workshop.checkpoint);
    enum job_result result = request_reply(request, &response.base);
    workshop_close(&workshop);
    return result;
}

static enum status prove_event(struct service *service, struct workshop *workshop,
                               uint64_t position, struct buf *value, struct proof *proof,
                               struct error *err)
{
    const struct hash_source source = tile_store_source(service->tiles);
    struct event_record record;
    if (position >= workshop->size) {
        return error_set(err, STATUS_OUT_OF_RANGE, "position %lu is past the end; the log has %lu",
                         (unsigned long)position, (unsigned long)workshop->size);
    }
    enum status status =
        event_log_read(service->engine, workshop->size, position, value, &record, err);
    if (status == STATUS_OK) {
        status = proof_inclusion(&source, &workshop->hasher, position, workshop->size, proof, err);
    }
    if (status != STATUS_OK) {
        return status;
    }
    /* A node whose disk was changed must not hand out a proof that fails elsewhere. */
    const struct inclusion_claim claim = {
        .position = position,
        .size = workshop->size,
        .leaf = event_record_leaf(&workshop->hasher, &record),
        .root = workshop->root,
        .path = proof->hashes,
        .path_count = proof->count,
    };
    status = verify_inclusion(&workshop->hasher, &claim, err);
    if (status != STATUS_OK) {
        return error_set(err, STATUS_DATA_LOSS,
                         "what this node has stored at position %lu is not what the log has",
                         (unsigned long)position);
    }
    return STATUS_OK;
}

static enum job_result run_inclusion(struct request *request)
{
    const Estreat__V1__InclusionRequest *message =
        (const Estreat__V1__InclusionRequest *)request->message;
    struct service *service = request->service;
    struct error err = ERROR_INIT;
    struct workshop workshop;
    enum status status = workshop_open(service, &workshop, &err);
    if (status != STATUS_OK) {
        return request_fail(request, status, err.text);
    }
    struct proof proof;
    ProtobufCBinaryData hashes[PROOF_HASHES_MAX];
    struct buf value;
    struct event_page *page = event_page_new(service->alloc, &err);
    Estreat__V1__Event **events = NULL;
    buf_init(&value, service->alloc, CLIENT_FRAME_BYTES_MAX);
    status = page == NULL
                 ? err.status
                 : prove_event(service, &workshop, message->position, &value, &proof, &err);
    if (status == STATUS_OK) {
        status = event_page_add(page, message->position, buf_slice(&value), &err);
    }
    if (status == STATUS_OK) {
        status = event_page_events(page, &events, &err);
    }
    enum job_result result;
    if (status == STATUS_OK) {
        Estreat__V1__InclusionResponse response = ESTREAT__V1__INCLUSION_RESPONSE__INIT;
        list_hashes(&proof, hashes);
        response.event = events[0];
        response.size = workshop.size;
        response.n_hashes = proof.count;
        response.hashes = hashes;
        response.checkpoint = binary_of_buf(&workshop.checkpoint);
        result = request_reply(request, &response.base);
    } else {
        result = request_fail(request, status, err.text);
    }
    event_page_free(page);
    buf_release(&value);
    workshop_close(&workshop);
    return result;
}

struct consistency {
    struct hash old_root;
    struct hash new_root;
    struct proof old_to_new;
    struct proof new_to_head;
};

static enum status prove_consistency(struct service *service, struct workshop *workshop,
                                     uint64_t old_size, uint64_t new_size, struct consistency *out,
                                     struct error *err)
{
    const struct hash_source source = tile_store_source(service->tiles);
    if (old_size > new_size || new_size > workshop->size) {
        return error_set(
            err, STATUS_OUT_OF_RANGE, "sizes %lu and %lu do not rise up to the log's, %lu",
            (unsigned long)old_size, (unsigned long)new_size, (unsigned long)workshop->size);
    }
    enum status status = proof_root(&source, &workshop->hasher, old_size, &out->old_root, err);
    if (status == STATUS_OK) {
        status = proof_root(&source, &workshop->hasher, new_size, &out->new_root, err);
    }
    if (status == STATUS_OK) {
        status = proof_consistency(&source, &workshop->hasher, old_size, new_size, &out->old_to_new,
                                   err);
    }
    if (status == STATUS_OK) {
        status = proof_consistency(&source, &workshop->hasher, new_size, workshop->size,
                                   &out->new_to_head, err);
    }
    return status;
}

static enum job_result run_consistency(struct request *request)
{
    const Estreat__V1__ConsistencyRequest *message =
        (const Estreat__V1__ConsistencyRequest *)request->message;
    struct error err = ERROR_INIT;
    struct workshop workshop;
    enum status status = workshop_open(request->service, &workshop, &err);
    if (status != STATUS_OK) {
        return request_fail(request, status, err.text);
    }
    struct consistency found;
    uint64_t new_size = message->new_size == 0 ? workshop.size : message->new_size;
    status =
        prove_consistency(request->service, &workshop, message->old_size, new_size, &found, &err);
    enum job_result result;
    if (status == STATUS_OK) {
        ProtobufCBinaryData hashes[PROOF_HASHES_MAX];
        ProtobufCBinaryData head_hashes[PROOF_HASHES_MAX];
        Estreat__V1__ConsistencyResponse response = ESTREAT__V1__CONSISTENCY_RESPONSE__INIT;
        list_hashes(&found.old_to_new, hashes);
        list_hashes(&found.new_to_head, head_hashes);
        response.old_size = message->old_size;
        response.old_root = binary_of_hash(&found.old_root);
        response.new_size = new_size;
        response.new_root = binary_of_hash(&found.new_root);
        response.n_hashes = found.old_to_new.count;
        response.hashes = hashes;
        response.head_size = workshop.size;
        response.n_head_hashes = found.new_to_head.count;
        response.head_hashes = head_hashes;
        response.checkpoint = binary_of_buf(&workshop.checkpoint);
        result = request_reply(request, &response.base);
    } else {
        result = request_fail(request, status, err.text);
    }
    workshop_close(&workshop);
    return result;
}

static void begin(void *context, struct rpc_server_call *call, const ProtobufCMessage *message,
                  const Estreat__V1__ReadConsistency *consistency,
                  enum job_result (*run)(struct request *request))
{
    struct request *request = request_new(context, call, message, sizeof *request, run);
    if (request != NULL) {
        request_start(request, consistency);
    }
}

static void head(void *context, struct rpc_server_call *call, const ProtobufCMessage *message)
{
    begin(context, call, message, ((const Estreat__V1__HeadRequest *)message)->consistency,
          run_head);
}

static void inclusion(void *context, struct rpc_server_call *call, const ProtobufCMessage *message)
{
    begin(context, call, message, ((const Estreat__V1__InclusionRequest *)message)->consistency,
          run_inclusion);
}

static void consistency(void *context, struct rpc_server_call *call,
                        const ProtobufCMessage *message)
{
    begin(context, call, message, ((const Estreat__V1__ConsistencyRequest *)message)->consistency,
          run_consistency);
}

enum status service_proof_register(struct service *service, struct rpc_server *server,
                                   struct error *err)
{
    const rpc_handler_fn handlers[] = {head, inclusion, consistency};
    CHECK(sizeof handlers / sizeof handlers[0] == estreat__v1__proof__descriptor.n_methods);
    return rpc_server_register(server, &estreat__v1__proof__descriptor, handlers, service, err);
}
