/* SPDX-License-Identifier: Apache-2.0
 *
 * Tree heads and proofs from the cluster. A node is not believed: what it sends is
 * checked as `estreat verify` would, before anybody gets to see it. Without trusted
 * keys all is checked but who signed.
 */
#include "base/check.h"
#include "client/client.h"
#include "client/convert.h"
#include "client/trust.h"
#include "merkle/proof_file.h"
#include "merkle/verify.h"
#include "schema/proof.pb-c.h"

/* Methods in the order of schema/proof.proto. */
enum { PROOF_HEAD = 0, PROOF_INCLUSION = 1, PROOF_CONSISTENCY = 2 };

void estreat_free(void *text)
{
    alloc_free(alloc_default(), text);
}

static struct slice slice_of_binary(ProtobufCBinaryData binary)
{
    return slice_of(binary.data, binary.len);
}

/* The text that signatures of a note cover: up to its last empty line, which it includes as the
 * newline of its last line. */
static struct slice unsigned_text(struct slice note)
{
    for (size_t i = note.length; i > 1; i--) {
        if (note.data[i - 1] == '\n' && note.data[i - 2] == '\n') {
            return slice_of(note.data, i - 1);
        }
    }
    return slice_of(NULL, 0);
}

/* The head that a checkpoint states: signed, if keys are trusted. */
static enum status open_checkpoint(struct slice checkpoint, const struct estreat_trust *trust,
                                   struct tree_head *out, struct error *err)
{
    enum status status;
    if (trust != NULL) {
        status = tree_head_open(checkpoint, trust_keys(trust), out, NULL, err);
    } else {
        status = tree_head_parse(unsigned_text(checkpoint), out, err);
    }
    if (status == STATUS_INVALID_ARGUMENT) {
        return error_set(err, STATUS_DATA_LOSS, "the node sent a checkpoint that is none");
    }
    return status;
}

static enum status take_hash(ProtobufCBinaryData binary, struct hash *out, struct error *err)
{
    if (!hash_from_slice(slice_of_binary(binary), out)) {
        return error_set(err, STATUS_DATA_LOSS, "the node sent a hash of %zu bytes", binary.len);
    }
    return STATUS_OK;
}

static enum status take_proof(const ProtobufCBinaryData *hashes, size_t count, struct proof *out,
                              struct error *err)
{
    if (count > PROOF_HASHES_MAX) {
        return error_set(err, STATUS_DATA_LOSS, "the node sent a proof of %zu hashes", count);
    }
    out->count = (unsigned)count;
    for (size_t i = 0; i < count; i++) {
        enum status status = take_hash(hashes[i], &out->hashes[i], err);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

/* --- head --------------------------------------------------------------------------------- */

static enum status take_head(const Estreat__V1__HeadResponse *response,
                             const struct estreat_trust *trust, struct estreat_head *out,
                             struct error *err)
{
    struct slice checkpoint = slice_of_binary(response->checkpoint);
    struct tree_head head;
    enum status status = open_checkpoint(checkpoint, trust, &head, err);
    if (status != STATUS_OK) {
        return status;
    }
    if (head.size != response->size ||
        !slice_equal(hash_slice(&head.root), slice_of_binary(response->root))) {
        return error_set(err, STATUS_DATA_LOSS,
                         "the node sent a checkpoint that is not of the head it names");
    }
    char *text = alloc_new(alloc_default(), checkpoint.length + 1);
    if (text == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a checkpoint");
    }
    memcpy(text, checkpoint.data, checkpoint.length);
    text[checkpoint.length] = '\0';
    out->size = head.size;
    memcpy(out->root, head.root.bytes, sizeof out->root);
    out->checkpoint = text;
    out->checkpoint_length = checkpoint.length;
    return STATUS_OK;
}

enum estreat_code estreat_head(struct estreat_client *client,
                               const struct estreat_proof_options *options,
                               const struct estreat_trust *trust, struct estreat_head *out,
                               struct estreat_error *error)
{
    static const struct estreat_proof_options defaults = {.timeout_ms = 0};
    struct error err = ERROR_INIT;
    Estreat__V1__HeadRequest request = ESTREAT__V1__HEAD_REQUEST__INIT;
    Estreat__V1__ReadConsistency consistency;
    options = options == NULL ? &defaults : options;
    convert_consistency(options->consistency, &consistency);
    request.consistency = &consistency;
    const struct client_query query = {
        .service = &estreat__v1__proof__descriptor,
        .method = PROOF_HEAD,
        .request = &request.base,
        .timeout_ms = options->timeout_ms,
    };
    struct rpc_reply reply;
    enum status status = client_ask(client, &query, &reply, &err);
    if (status == STATUS_OK) {
        status = take_head((const Estreat__V1__HeadResponse *)reply.message, trust, out, &err);
    }
    rpc_reply_release(&reply);
    return client_answer(status, &err, error);
}

/* --- proofs ------------------------------------------------------------------------------- */

static enum status header_of(const Estreat__V1__Event *event, struct hasher *hasher,
                             struct event_header *out, struct error *err)
{
    if (event->payload.len > PAYLOAD_BYTES_MAX ||
        (event->salt.len != 0 && event->salt.len != SALT_BYTES)) {
        return error_set(err, STATUS_DATA_LOSS, "the node sent an event that is out of bounds");
    }
    *out = (struct event_header){
        .position = event->position,
        .time_ns = event->time_ns,
        .version = event->version,
        .kind = (uint8_t)event->kind,
        .severity = (uint8_t)event->severity,
        .payload_length = (uint32_t)event->payload.len,
        .payload_hash =
            hash_payload(hasher, slice_of_binary(event->salt), slice_of_binary(event->payload)),
        .key = slice_of_binary(event->key),
        .type = slice_of_string(event->type),
        .event_id = slice_of_binary(event->event_id),
    };
    if (event_header_check(out, err) != STATUS_OK) {
        (void)error_wrap(err, "the node sent an event that is out of bounds");
        return err->status = STATUS_DATA_LOSS;
    }
    return STATUS_OK;
}

static enum status inclusion_text(const Estreat__V1__InclusionResponse *response, uint64_t position,
                                  const struct estreat_trust *trust, struct hasher *hasher,
                                  struct buf *out, struct error *err)
{
    struct inclusion_file file = {.has_payload = true};
    struct tree_head head;
    if (response->event == NULL || response->event->position != position) {
        return error_set(err, STATUS_DATA_LOSS, "the node sent another event's proof");
    }
    enum status status = header_of(response->event, hasher, &file.event, err);
    if (status == STATUS_OK) {
        status = take_proof(response->hashes, response->n_hashes, &file.path, err);
    }
    file.salt = slice_of_binary(response->event->salt);
    file.payload = slice_of_binary(response->event->payload);
    file.checkpoint = slice_of_binary(response->checkpoint);
    if (status == STATUS_OK) {
        status = open_checkpoint(file.checkpoint, trust, &head, err);
    }
    if (status != STATUS_OK) {
        return status;
    }
    const struct inclusion_claim claim = {
        .position = position,
        .size = head.size,
        .leaf = event_leaf_hash(hasher, &file.event),
        .root = head.root,
        .path = file.path.hashes,
        .path_count = file.path.count,
    };
    status = verify_inclusion(hasher, &claim, err);
    if (status != STATUS_OK) {
        return error_wrap(err, "the node sent a proof that does not hold");
    }
    return proof_file_format_inclusion(&file, out, err);
}

static enum status check_continues(struct hasher *hasher, uint64_t old_size, struct hash old_root,
                                   uint64_t new_size, struct hash new_root,
                                   const struct proof *proof, struct error *err)
{
    const struct consistency_claim claim = {
        .old_size = old_size,
        .new_size = new_size,
        .old_root = old_root,
        .new_root = new_root,
        .path = proof->hashes,
        .path_count = proof->count,
    };
    if (verify_consistency(hasher, &claim, err) != STATUS_OK) {
        return error_wrap(err, "the node sent a proof that does not hold");
    }
    return STATUS_OK;
}

static enum status take_consistency(const Estreat__V1__ConsistencyResponse *response,
                                    struct consistency_file *out, struct error *err)
{
    out->old_size = response->old_size;
    out->new_size = response->new_size;
    out->checkpoint = slice_of_binary(response->checkpoint);
    out->has_head_path = response->head_size != response->new_size;
    enum status status = take_hash(response->old_root, &out->old_root, err);
    if (status == STATUS_OK) {
        status = take_hash(response->new_root, &out->new_root, err);
    }
    if (status == STATUS_OK) {
        status = take_proof(response->hashes, response->n_hashes, &out->path, err);
    }
    if (status == STATUS_OK) {
        status =
            take_proof(response->head_hashes, response->n_head_hashes, &out->path_to_head, err);
    }
    return status;
}

static enum status consistency_text(const Estreat__V1__ConsistencyResponse *response,
                                    const struct estreat_trust *trust, struct hasher *hasher,
                                    struct buf *out, struct error *err)
{
    struct consistency_file file;
    struct tree_head head;
    enum status status = take_consistency(response, &file, err);
    if (status == STATUS_OK) {
        status = open_checkpoint(file.checkpoint, trust, &head, err);
    }
    if (status == STATUS_OK && head.size != response->head_size) {
        status = error_set(err, STATUS_DATA_LOSS, "the node sent a checkpoint of another size");
    }
    if (status == STATUS_OK) {
        status = check_continues(hasher, file.old_size, file.old_root, file.new_size, file.new_root,
                                 &file.path, err);
    }
    if (status == STATUS_OK) {
        status = check_continues(hasher, file.new_size, file.new_root, head.size, head.root,
                                 &file.path_to_head, err);
    }
    return status == STATUS_OK ? proof_file_format_consistency(&file, out, err) : status;
}

/* What a proof is made from, whichever it is. */
struct proof_work {
    struct client_query query;
    const struct estreat_trust *trust;
    uint64_t position; /* of an inclusion proof */
    uint64_t old_size; /* of a consistency proof */
    uint64_t new_size; /* 0: whatever the newest is */
};

static enum status proof_text(const struct proof_work *work, const ProtobufCMessage *message,
                              struct buf *out, struct error *err)
{
    struct hasher hasher;
    enum status status = hasher_init(&hasher, err);
    if (status != STATUS_OK) {
        return status;
    }
    if (work->query.method == PROOF_INCLUSION) {
        status = inclusion_text((const Estreat__V1__InclusionResponse *)message, work->position,
                                work->trust, &hasher, out, err);
    } else {
        const Estreat__V1__ConsistencyResponse *response =
            (const Estreat__V1__ConsistencyResponse *)message;
        if (response->old_size != work->old_size ||
            (work->new_size != 0 && response->new_size != work->new_size)) {
            status = error_set(err, STATUS_DATA_LOSS, "the node sent another proof");
        } else {
            status = consistency_text(response, work->trust, &hasher, out, err);
        }
    }
    hasher_release(&hasher);
    return status;
}

static enum estreat_code prove(struct estreat_client *client, const struct proof_work *work,
                               char **text, size_t *length, struct estreat_error *error)
{
    struct error err = ERROR_INIT;
    struct rpc_reply reply;
    struct buf out;
    buf_init(&out, alloc_default(), PROOF_FILE_BYTES_MAX + 1);
    enum status status = client_ask(client, &work->query, &reply, &err);
    if (status == STATUS_OK) {
        status = proof_text(work, reply.message, &out, &err);
    }
    rpc_reply_release(&reply);
    if (status == STATUS_OK) {
        buf_put_u8(&out, '\0');
        if (buf_failed(&out)) {
            status = error_set(&err, STATUS_RESOURCE_EXHAUSTED, "no memory for a proof");
        }
    }
    if (status == STATUS_OK) {
        *text = (char *)out.data;
        *length = out.length - 1;
    } else {
        buf_release(&out);
    }
    return client_answer(status, &err, error);
}

enum estreat_code estreat_prove_inclusion(struct estreat_client *client, uint64_t position,
                                          const struct estreat_proof_options *options,
                                          const struct estreat_trust *trust, char **text,
                                          size_t *length, struct estreat_error *error)
{
    Estreat__V1__InclusionRequest request = ESTREAT__V1__INCLUSION_REQUEST__INIT;
    Estreat__V1__ReadConsistency consistency = ESTREAT__V1__READ_CONSISTENCY__INIT;
    if (options != NULL) {
        convert_consistency(options->consistency, &consistency);
    }
    request.position = position;
    request.consistency = &consistency;
    const struct proof_work work = {
        .query = {.service = &estreat__v1__proof__descriptor,
                  .method = PROOF_INCLUSION,
                  .request = &request.base,
                  .timeout_ms = options == NULL ? 0 : options->timeout_ms},
        .trust = trust,
        .position = position,
    };
    return prove(client, &work, text, length, error);
}

enum estreat_code estreat_prove_consistency(struct estreat_client *client, uint64_t old_size,
                                            uint64_t new_size,
                                            const struct estreat_proof_options *options,
                                            const struct estreat_trust *trust, char **text,
                                            size_t *length, struct estreat_error *error)
{
    Estreat__V1__ConsistencyRequest request = ESTREAT__V1__CONSISTENCY_REQUEST__INIT;
    Estreat__V1__ReadConsistency consistency = ESTREAT__V1__READ_CONSISTENCY__INIT;
    if (options != NULL) {
        convert_consistency(options->consistency, &consistency);
    }
    request.old_size = old_size;
    request.new_size = new_size;
    request.consistency = &consistency;
    const struct proof_work work = {
        .query = {.service = &estreat__v1__proof__descriptor,
                  .method = PROOF_CONSISTENCY,
                  .request = &request.base,
                  .timeout_ms = options == NULL ? 0 : options->timeout_ms},
        .trust = trust,
        .old_size = old_size,
        .new_size = new_size,
    };
    return prove(client, &work, text, length, error);
}
