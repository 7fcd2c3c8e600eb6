/* SPDX-License-Identifier: Apache-2.0 */
#include "node/snapshot_source.h"

#include <stdatomic.h>
#include <stdio.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mpsc.h"
#include "node/signed_head.h"
#include "node/snapshot_pins.h"
#include "schema/snapshot.pb-c.h"

struct question {
    struct mpsc_node node; /* first */
    enum snapshot_method method;
    const ProtobufCMessage *request;
    snapshot_answer_fn done;
    void *context;
};

struct snapshot_source {
    struct snapshot_source_options options;
    struct job job;
    struct mpsc questions;
    struct hasher hasher; /* of the tree */
    struct snapshot_pins pins;
    atomic_bool pinned;          /* there may be some */
    _Atomic uint64_t held_index; /* see snapshot_source_held_index */
    struct flush_request flush;
    atomic_bool flushing;
    atomic_int flush_status; /* of the last one; enum status */
    struct error failure;    /* why the last pin could not be prepared, until somebody is told */
};

static void on_flushed(struct flush_request *flush, enum status status)
{
    struct snapshot_source *source =
        (struct snapshot_source *)(void *)((char *)flush - offsetof(struct snapshot_source, flush));
    atomic_store(&source->flush_status, (int)status); /* who asks again is told, or served */
    atomic_store(&source->flushing, false);
}

/* Pins what the engine has now. OK without a pin: it does not reach so far yet, but will. */
static enum status take_pin(struct snapshot_source *source, uint64_t least_index,
                            struct snapshot_pin **out, struct error *err)
{
    const struct snapshot_source_options *options = &source->options;
    enum status status = snapshot_pins_take(&source->pins, least_index, out, err);
    if (status != STATUS_OK || *out != NULL) {
        atomic_store(&source->pinned, true);
        return status;
    }
    if (applied_get(options->applied).index < least_index) {
        return error_set(err, STATUS_FAILED_PRECONDITION, "this node is not so far itself");
    }
    if (!atomic_exchange(&source->flushing, true)) {
        source->flush.done = on_flushed;
        applier_flush(options->applier, &source->flush);
    }
    return STATUS_OK;
}

/* True if there is more to do. */
static bool hash_step(struct snapshot_source *source)
{
    bool more = false;
    struct error err = ERROR_INIT;
    enum status status = snapshot_pins_hash(&source->pins, &more, &err);
    if (status != STATUS_OK) {
        char text[ERROR_TEXT_BYTES];
        log_write("snapshot", LOG_WARN, "gives no snapshot", "error=%s",
                  log_quote(text, sizeof text, err.text));
        source->failure = err;
    }
    if (status == STATUS_CORRUPT) {
        fault_note(source->options.fault, err.text);
    }
    return more;
}

/* --- answers ------------------------------------------------------------------------------ */

static void answer(const struct question *question, enum status status, const char *text,
                   const ProtobufCMessage *message)
{
    const struct snapshot_answer answer = {.status = status, .text = text, .message = message};
    question->done(question->context, &answer);
}

static ProtobufCBinaryData binary(const void *data, size_t length)
{
    return (ProtobufCBinaryData){.len = length, .data = (uint8_t *)(uintptr_t)data};
}

/* What a description points to. */
struct sheet {
    Estreat__V1__SnapshotFile files[SNAPSHOT_FILES_LISTED];
    Estreat__V1__SnapshotFile *pointers[SNAPSHOT_FILES_LISTED];
    struct proof proof;
    ProtobufCBinaryData hashes[PROOF_HASHES_MAX];
};

static void list_files(struct snapshot_pin *pin, uint64_t from, struct sheet *sheet,
                       Estreat__V1__SnapshotDescription *out)
{
    for (uint64_t i = from; i < pin->file_count && out->n_files < SNAPSHOT_FILES_LISTED; i++) {
        Estreat__V1__SnapshotFile *to = &sheet->files[out->n_files];
        struct checkpoint_file file;
        checkpoint_file_at(pin->checkpoint, (size_t)i, &file);
        estreat__v1__snapshot_file__init(to);
        to->name = pin->sums[i].name;
        to->bytes = file.bytes;
        to->sha256 = binary(pin->sums[i].sum.bytes, HASH_BYTES);
        sheet->pointers[out->n_files++] = to;
    }
    out->files = sheet->pointers;
}

/* A head may have been signed beyond the checkpoint: then a proof leads from one to the other. */
static enum status prove(struct snapshot_source *source, const struct snapshot_pin *pin,
                         struct buf *checkpoint, struct sheet *sheet,
                         Estreat__V1__SnapshotDescription *out, struct error *err)
{
    const struct snapshot_source_options *options = &source->options;
    struct hash_source tree = tile_store_source(options->tiles);
    uint64_t size = 0;
    struct hash root;
    enum status status = signed_head_make(options->tiles, options->signer, &source->hasher, &size,
                                          &root, checkpoint, err);
    if (status == STATUS_OK) {
        status = proof_consistency(&tree, &source->hasher, pin->size, size, &sheet->proof, err);
    }
    if (status != STATUS_OK) {
        return status;
    }
    for (unsigned i = 0; i < sheet->proof.count; i++) {
        sheet->hashes[i] = binary(sheet->proof.hashes[i].bytes, HASH_BYTES);
    }
    out->head = binary(checkpoint->data, checkpoint->length);
    out->verifier_key = (char *)(uintptr_t)signer_verifier_key(options->signer);
    out->n_consistency = sheet->proof.count;
    out->consistency = sheet->hashes;
    return STATUS_OK;
}

static void describe_pin(struct snapshot_source *source, const struct question *question,
                         struct snapshot_pin *pin, uint64_t first_file)
{
    struct error err = ERROR_INIT;
    struct buf checkpoint;
    struct sheet *sheet = alloc_zeroed(source->options.alloc, 1, sizeof *sheet);
    Estreat__V1__SnapshotDescription out = ESTREAT__V1__SNAPSHOT_DESCRIPTION__INIT;
    if (sheet == NULL) {
        answer(question, STATUS_RESOURCE_EXHAUSTED, "no memory for a description", NULL);
        return;
    }
    buf_init(&checkpoint, source->options.alloc, NOTE_BYTES_MAX);
    enum status status =
        pin->size == 0 ? STATUS_OK : prove(source, pin, &checkpoint, sheet, &out, &err);
    out.checkpoint = pin->id;
    out.index = pin->index;
    out.term = pin->term;
    out.size = pin->size;
    out.file_count = pin->file_count;
    out.total_bytes = pin->total_bytes;
    list_files(pin, first_file, sheet, &out);
    answer(question, status, err.text, status == STATUS_OK ? &out.base : NULL);
    buf_release(&checkpoint);
    alloc_free(source->options.alloc, sheet);
}

/* True if this node has a fault: then the answer says so, and another node is asked. */
static bool refuses(struct snapshot_source *source, const struct question *question)
{
    char fault[FAULT_TEXT_BYTES];
    char text[ERROR_TEXT_BYTES + 64];
    struct error err = ERROR_INIT;
    if (fault_get(source->options.fault, fault)) {
        (void)snprintf(text, sizeof text, "gives no snapshots, since what it stores is damaged: %s",
                       fault);
    } else if (engine_background_error(source->options.engine, &err) != STATUS_OK) {
        (void)snprintf(text, sizeof text, "gives no snapshots, since its storage has failed: %s",
                       err.text);
    } else {
        return false;
    }
    answer(question, STATUS_FAILED_PRECONDITION, text, NULL);
    return true;
}

/* Who was told to wait for what failed since must learn of it, or would wait here for ever: another
 * node may have it. */
static enum status take_failure(struct snapshot_source *source, struct error *err)
{
    enum status flushed = (enum status)atomic_exchange(&source->flush_status, (int)STATUS_OK);
    enum status status = source->failure.status;
    if (status != STATUS_OK) {
        *err = source->failure;
        source->failure.status = STATUS_OK;
    } else if (flushed != STATUS_OK) {
        status = error_set(err, flushed, "its newest events could not be flushed");
    }
    return status;
}

static void describe(struct snapshot_source *source, const struct question *question)
{
    const Estreat__V1__SnapshotRequest *request =
        (const Estreat__V1__SnapshotRequest *)question->request;
    struct error err = ERROR_INIT;
    enum status status = STATUS_OK;
    struct snapshot_pin *pin = NULL;
    if (request->checkpoint != 0) {
        pin = snapshot_pins_find(&source->pins, request->checkpoint);
        status = pin == NULL ? error_set(&err, STATUS_NOT_FOUND, "no such checkpoint") : STATUS_OK;
    } else {
        status = take_failure(source, &err);
        pin = snapshot_pins_reaching(&source->pins, request->least_index);
        if (status == STATUS_OK && pin == NULL) {
            status = take_pin(source, request->least_index, &pin, &err);
        }
    }
    if (status != STATUS_OK) {
        answer(question, status, err.text, NULL);
    } else if (pin == NULL || !snapshot_pin_is_hashed(pin)) {
        Estreat__V1__SnapshotDescription wait = ESTREAT__V1__SNAPSHOT_DESCRIPTION__INIT;
        answer(question, STATUS_OK, "", &wait.base);
    } else {
        describe_pin(source, question, pin, request->first_file);
    }
}

static void read_piece(struct snapshot_source *source, const struct question *question)
{
    const Estreat__V1__SnapshotReadRequest *request =
        (const Estreat__V1__SnapshotReadRequest *)question->request;
    struct error err = ERROR_INIT;
    struct checkpoint_file file = {.bytes = 0};
    struct snapshot_pin *pin = snapshot_pins_find(&source->pins, request->checkpoint);
    if (pin == NULL) {
        answer(question, STATUS_NOT_FOUND, "no such checkpoint", NULL);
        return;
    }
    if (request->file < pin->file_count) {
        checkpoint_file_at(pin->checkpoint, (size_t)request->file, &file);
    }
    if (request->length == 0 || request->length > SNAPSHOT_PIECE_BYTES_MAX ||
        request->offset > file.bytes || request->length > file.bytes - request->offset) {
        answer(question, STATUS_INVALID_ARGUMENT, "no such piece", NULL);
        return;
    }
    enum status status = checkpoint_read(pin->checkpoint, (size_t)request->file, request->offset,
                                         source->pins.piece, request->length, &err);
    if (status == STATUS_CORRUPT) {
        fault_note(source->options.fault, err.text);
    }
    Estreat__V1__SnapshotPiece piece = ESTREAT__V1__SNAPSHOT_PIECE__INIT;
    piece.data = binary(source->pins.piece, request->length);
    answer(question, status, err.text, status == STATUS_OK ? &piece.base : NULL);
}

static enum job_result step(struct job *job)
{
    struct snapshot_source *source =
        (struct snapshot_source *)(void *)((char *)job - offsetof(struct snapshot_source, job));
    struct question *question = (struct question *)mpsc_pop(&source->questions);
    if (question != NULL) {
        if (!refuses(source, question)) {
            (question->method == SNAPSHOT_DESCRIBE ? describe : read_piece)(source, question);
        }
        alloc_free(source->options.alloc, question);
        atomic_store(&source->held_index,
                     snapshot_pins_least_index(&source->pins, SNAPSHOT_LOG_HELD_NS));
        return JOB_AGAIN;
    }
    atomic_store(&source->pinned, snapshot_pins_let_go(&source->pins, SNAPSHOT_PIN_IDLE_NS));
    atomic_store(&source->held_index,
                 snapshot_pins_least_index(&source->pins, SNAPSHOT_LOG_HELD_NS));
    return hash_step(source) ? JOB_AGAIN : JOB_WAIT;
}

/* --- life --------------------------------------------------------------------------------- */

enum status snapshot_source_open(const struct snapshot_source_options *options,
                                 struct snapshot_source **out, struct error *err)
{
    struct snapshot_source *source = alloc_zeroed(options->alloc, 1, sizeof *source);
    if (source == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for the snapshots' source");
    }
    source->options = *options;
    atomic_store(&source->held_index, UINT64_MAX);
    job_init(&source->job, step);
    mpsc_init(&source->questions);
    enum status status = hasher_init(&source->hasher, err);
    if (status == STATUS_OK) {
        status =
            snapshot_pins_init(&source->pins, options->alloc, options->clock, options->engine, err);
    }
    if (status != STATUS_OK) {
        snapshot_source_close(source);
        return status;
    }
    *out = source;
    return STATUS_OK;
}

void snapshot_source_ask(struct snapshot_source *source, enum snapshot_method method,
                         const ProtobufCMessage *request, snapshot_answer_fn done, void *context)
{
    struct question *question = alloc_zeroed(source->options.alloc, 1, sizeof *question);
    if (question == NULL) {
        const struct snapshot_answer answer = {.status = STATUS_RESOURCE_EXHAUSTED,
                                               .text = "no memory for a question"};
        done(context, &answer);
        return;
    }
    *question =
        (struct question){.method = method, .request = request, .done = done, .context = context};
    mpsc_push(&source->questions, &question->node);
    job_submit(source->options.executor, &source->job);
}

void snapshot_source_poll(struct snapshot_source *source)
{
    if (atomic_load(&source->pinned)) {
        job_submit(source->options.executor, &source->job);
    }
}

uint64_t snapshot_source_held_index(struct snapshot_source *source)
{
    return atomic_load(&source->held_index);
}

void snapshot_source_end(struct snapshot_source *source)
{
    if (source == NULL) {
        return;
    }
    struct question *question;
    while ((question = (struct question *)mpsc_pop(&source->questions)) != NULL) {
        answer(question, STATUS_CANCELLED, "the node stops", NULL);
        alloc_free(source->options.alloc, question);
    }
    atomic_store(&source->pinned, snapshot_pins_let_go(&source->pins, 0));
}

void snapshot_source_close(struct snapshot_source *source)
{
    if (source == NULL) {
        return;
    }
    CHECK(!atomic_load(&source->pinned));
    CHECK(!atomic_load(&source->flushing));
    hasher_release(&source->hasher);
    snapshot_pins_release(&source->pins);
    alloc_free(source->options.alloc, source);
}
