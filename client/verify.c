/* SPDX-License-Identifier: Apache-2.0
 *
 * Checking a proof file with no cluster at hand.
 */
#include "client/client.h"
#include "client/got.h"
#include "client/trust.h"

static struct estreat_bytes bytes_of(struct slice slice)
{
    return estreat_bytes(slice.data, slice.length);
}

static void fill_event(struct estreat_got *got)
{
    const struct inclusion_file *file = &got->verdict.file.inclusion;
    const struct event_header *header = &file->event;
    if (header->type.length > 0) {
        memcpy(got->type, header->type.data, header->type.length);
    }
    got->event = (struct estreat_event){
        .position = header->position,
        .time_ns = header->time_ns,
        .key = bytes_of(header->key),
        .version = header->version,
        .kind = (enum estreat_kind)header->kind,
        .severity = (enum estreat_severity)header->severity,
        .type = got->type,
        .event_id = bytes_of(header->event_id),
        .payload = bytes_of(file->payload),
        .salt = bytes_of(file->salt),
    };
}

static void fill_verified(const struct proof_verdict *verdict, struct estreat_verified *out)
{
    *out = (struct estreat_verified){.size = verdict->head.size};
    memcpy(out->root, verdict->head.root.bytes, sizeof out->root);
    if (verdict->file.kind == PROOF_FILE_INCLUSION) {
        out->kind = ESTREAT_PROOF_INCLUSION;
        out->position = verdict->file.inclusion.event.position;
    } else {
        out->kind = ESTREAT_PROOF_CONSISTENCY;
        out->old_size = verdict->file.consistency.old_size;
        out->new_size = verdict->file.consistency.new_size;
    }
}

static enum status verify(struct estreat_got *got, const struct estreat_trust *trust,
                          struct slice text, struct error *err)
{
    struct hasher hasher;
    enum status status = hasher_init(&hasher, err);
    if (status == STATUS_OK) {
        status =
            proof_file_verify(text, trust_keys(trust), &hasher, got->alloc, &got->verdict, err);
        hasher_release(&hasher);
    }
    return status;
}

enum estreat_code estreat_verify(const struct estreat_trust *trust, const char *text, size_t length,
                                 struct estreat_verified *out, struct estreat_got **event,
                                 struct estreat_error *error)
{
    struct error err = ERROR_INIT;
    struct alloc *alloc = alloc_default();
    struct estreat_got *got = alloc_zeroed(alloc, 1, sizeof *got);
    if (got == NULL) {
        (void)error_set(&err, STATUS_RESOURCE_EXHAUSTED, "no memory for a proof");
        return client_answer(err.status, &err, error);
    }
    got->alloc = alloc;
    enum status status = verify(got, trust, slice_of(text, length), &err);
    if (status != STATUS_OK) {
        alloc_free(alloc, got);
        return client_answer(status, &err, error);
    }
    fill_verified(&got->verdict, out);
    if (event != NULL) {
        *event = NULL;
    }
    if (event != NULL && got->verdict.file.kind == PROOF_FILE_INCLUSION) {
        fill_event(got);
        *event = got;
    } else {
        estreat_got_free(got);
    }
    return client_answer(STATUS_OK, NULL, error);
}
