/* SPDX-License-Identifier: Apache-2.0 */
#include "node/snapshot_source.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mpsc.h"
#include "node/signed_head.h"
#include "schema/snapshot.pb-c.h"
#include "storage/checkpoint.h"

#define HASH_STEP_BYTES (1 * MIB)

struct question {
    struct mpsc_node node; /* first */
    enum snapshot_method method;
    const ProtobufCMessage *request;
    snapshot_answer_fn done;
    void *context;
};

struct file_sum {
    char name[CHECKPOINT_NAME_BYTES];
    struct hash sum;
};

struct pin {
    uint64_t id; /* 0: free */
    struct checkpoint *checkpoint;
    uint64_t index;
    uint64_t term;
    uint64_t size;
    uint64_t total_bytes;
    uint64_t used_ns;
    /* Files [0, summed) have their hash; of the next one `offset` bytes were read. */
    struct file_sum *sums;
    size_t file_count;
    size_t summed;
    uint64_t offset;
};

struct snapshot_source {
    struct snapshot_source_options options;
    struct job job;
    struct mpsc questions;
    struct hasher hasher; /* of files: one is under way for long */
    struct hasher tree_hasher;
    struct pin *hashing; /* the one whose file the hasher is at; NULL: none */
    struct pin pins[SNAPSHOT_PINS_MAX];
    atomic_bool pinned; /* there may be some */
    uint64_t last_id;
    /* Of the immutable files of the checkpoint that was hashed last, sorted by name: the next one
     * has most of them, too. */
    struct file_sum *known;
    size_t known_count;
    uint8_t *piece; /* SNAPSHOT_PIECE_BYTES_MAX, while something is pinned */
    struct flush_request flush;
    atomic_bool flushing;
};

static uint64_t now(const struct snapshot_source *source)
{
    return clock_monotonic_ns(source->options.clock);
}

/* --- pins --------------------------------------------------------------------------------- */

static void let_go(struct snapshot_source *source, struct pin *pin)
{
    if (source->hashing == pin) {
        source->hashing = NULL;
    }
    checkpoint_release(pin->checkpoint);
    alloc_free(source->options.alloc, pin->sums);
    *pin = (struct pin){.id = 0};
}

static void let_go_of_idle(struct snapshot_source *source, uint64_t idle_ns)
{
    bool pinned = false;
    for (unsigned i = 0; i < SNAPSHOT_PINS_MAX; i++) {
        struct pin *pin = &source->pins[i];
        if (pin->id != 0 && now(source) - pin->used_ns >= idle_ns) {
            let_go(source, pin);
        }
        pinned = pinned || pin->id != 0;
    }
    if (!pinned) {
        alloc_free(source->options.alloc, source->piece);
        source->piece = NULL;
    }
    atomic_store(&source->pinned, pinned);
}

static struct pin *find_pin(struct snapshot_source *source, uint64_t id)
{
    for (unsigned i = 0; i < SNAPSHOT_PINS_MAX && id != 0; i++) {
        if (source->pins[i].id == id) {
            source->pins[i].used_ns = now(source);
            return &source->pins[i];
        }
    }
    return NULL;
}

/* The newest one that reaches `least_index`. */
static struct pin *find_reaching(struct snapshot_source *source, uint64_t least_index)
{
    struct pin *best = NULL;
    for (unsigned i = 0; i < SNAPSHOT_PINS_MAX; i++) {
        struct pin *pin = &source->pins[i];
        if (pin->id != 0 && pin->index >= least_index &&
            (best == NULL || pin->index > best->index)) {
            best = pin;
        }
    }
    return best == NULL ? NULL : find_pin(source, best->id);
}

/* A free place, or that of the one that was asked about the longest ago. */
static struct pin *place_for_pin(struct snapshot_source *source)
{
    struct pin *place = &source->pins[0];
    for (unsigned i = 1; i < SNAPSHOT_PINS_MAX; i++) {
        struct pin *pin = &source->pins[i];
        if (place->id != 0 && (pin->id == 0 || pin->used_ns < place->used_ns)) {
            place = pin;
        }
    }
    let_go(source, place);
    return place;
}

static enum status fill_pin(struct snapshot_source *source, struct pin *pin,
                            struct checkpoint *checkpoint, const struct seal *seal,
                            struct error *err)
{
    size_t count = checkpoint_file_count(checkpoint);
    struct file_sum *sums = alloc_zeroed(source->options.alloc, count, sizeof *sums);
    if (source->piece == NULL) {
        source->piece = alloc_new(source->options.alloc, SNAPSHOT_PIECE_BYTES_MAX);
    }
    if (sums == NULL || source->piece == NULL || count > SNAPSHOT_FILES_MAX) {
        alloc_free(source->options.alloc, sums);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a snapshot");
    }
    *pin = (struct pin){.id = ++source->last_id,
                        .checkpoint = checkpoint,
                        .index = seal->index,
                        .term = seal->term,
                        .size = seal->size,
                        .used_ns = now(source),
                        .sums = sums,
                        .file_count = count};
    for (size_t i = 0; i < count; i++) {
        struct checkpoint_file file;
        checkpoint_file_at(checkpoint, i, &file);
        memcpy(sums[i].name, file.name, sizeof sums[i].name);
        pin->total_bytes += file.bytes;
    }
    atomic_store(&source->pinned, true);
    return STATUS_OK;
}

static void on_flushed(struct flush_request *flush, enum status status)
{
    struct snapshot_source *source =
        (struct snapshot_source *)(void *)((char *)flush - offsetof(struct snapshot_source, flush));
    (void)status; /* who asks again sees how far it is */
    atomic_store(&source->flushing, false);
}

/* Pins what the engine has now. OK without a pin: it does not reach so far yet, but will. */
static enum status take_pin(struct snapshot_source *source, uint64_t least_index, struct pin **out,
                            struct error *err)
{
    const struct snapshot_source_options *options = &source->options;
    struct checkpoint *checkpoint = NULL;
    struct seal seal;
    enum status status = checkpoint_take(options->engine, &checkpoint, err);
    if (status != STATUS_OK) {
        return status;
    }
    status = seal_decode(checkpoint_state(checkpoint), &seal, err);
    bool reaches = checkpoint_state(checkpoint).length > 0 && seal.index >= least_index;
    if (status == STATUS_OK && reaches) {
        struct pin *place = place_for_pin(source);
        status = fill_pin(source, place, checkpoint, &seal, err);
        if (status == STATUS_OK) {
            *out = place;
            return STATUS_OK;
        }
    } else if (status == STATUS_OK && applied_get(options->applied).index < least_index) {
        status = error_set(err, STATUS_FAILED_PRECONDITION, "this node is not so far itself");
    } else if (status == STATUS_OK && !atomic_exchange(&source->flushing, true)) {
        source->flush.done = on_flushed;
        applier_flush(options->applier, &source->flush);
    }
    checkpoint_release(checkpoint);
    return status;
}

/* --- hashing ------------------------------------------------------------------------------ */

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct file_sum *)a)->name, ((const struct file_sum *)b)->name);
}

/* Keeps the hashes for the next checkpoint. Without memory they are made again. */
static void remember(struct snapshot_source *source, const struct pin *pin)
{
    struct file_sum *known = alloc_zeroed(source->options.alloc, pin->file_count, sizeof *known);
    size_t count = 0;
    for (size_t i = 0; known != NULL && i < pin->file_count; i++) {
        struct checkpoint_file file;
        checkpoint_file_at(pin->checkpoint, i, &file);
        if (file.immutable) {
            known[count++] = pin->sums[i];
        }
    }
    if (known != NULL) {
        qsort(known, count, sizeof *known, compare_names);
        alloc_free(source->options.alloc, source->known);
        source->known = known;
        source->known_count = count;
    }
}

static bool is_known(struct snapshot_source *source, struct file_sum *sum)
{
    const struct file_sum *found =
        source->known_count == 0
            ? NULL
            : bsearch(sum, source->known, source->known_count, sizeof *sum, compare_names);
    if (found != NULL) {
        sum->sum = found->sum;
    }
    return found != NULL;
}

/* Hashes on by one step. */
static enum status hash_on(struct snapshot_source *source, struct pin *pin, struct error *err)
{
    struct checkpoint_file file;
    checkpoint_file_at(pin->checkpoint, pin->summed, &file);
    if (source->hashing != pin) {
        pin->offset = 0; /* another one was hashed in between */
        source->hashing = pin;
    }
    if (pin->offset == 0) {
        if (file.immutable && is_known(source, &pin->sums[pin->summed])) {
            pin->summed++;
            return STATUS_OK;
        }
        hash_begin(&source->hasher);
    }
    uint64_t left = file.bytes - pin->offset;
    size_t length = left < HASH_STEP_BYTES ? (size_t)left : HASH_STEP_BYTES;
    enum status status =
        checkpoint_read(pin->checkpoint, pin->summed, pin->offset, source->piece, length, err);
    if (status != STATUS_OK) {
        return status;
    }
    hash_more(&source->hasher, slice_of(source->piece, length));
    pin->offset += length;
    if (pin->offset == file.bytes) {
        pin->sums[pin->summed++].sum = hash_end(&source->hasher);
        pin->offset = 0;
    }
    if (pin->summed == pin->file_count) {
        remember(source, pin);
    }
    return STATUS_OK;
}

/* True if there is more to do. */
static bool hash_step(struct snapshot_source *source)
{
    for (unsigned i = 0; i < SNAPSHOT_PINS_MAX; i++) {
        struct pin *pin = &source->pins[i];
        struct error err = ERROR_INIT;
        if (pin->id == 0 || pin->summed == pin->file_count) {
            continue;
        }
        enum status status = hash_on(source, pin, &err);
        if (status != STATUS_OK) {
            char text[ERROR_TEXT_BYTES];
            log_write("snapshot", LOG_WARN, "the tables cannot be read", "error=%s",
                      log_quote(text, sizeof text, err.text));
            if (status == STATUS_CORRUPT) {
                fault_note(source->options.fault, err.text);
            }
            let_go(source, pin);
        }
        return true;
    }
    return false;
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

static void list_files(struct pin *pin, uint64_t from, struct sheet *sheet,
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
static enum status prove(struct snapshot_source *source, const struct pin *pin,
                         struct buf *checkpoint, struct sheet *sheet,
                         Estreat__V1__SnapshotDescription *out, struct error *err)
{
    const struct snapshot_source_options *options = &source->options;
    struct hash_source tree = tile_store_source(options->tiles);
    uint64_t size = 0;
    struct hash root;
    enum status status = signed_head_make(options->tiles, options->signer, &source->tree_hasher,
                                          &size, &root, checkpoint, err);
    if (status == STATUS_OK) {
        status =
            proof_consistency(&tree, &source->tree_hasher, pin->size, size, &sheet->proof, err);
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
                         struct pin *pin, uint64_t first_file)
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

static void describe(struct snapshot_source *source, const struct question *question)
{
    const Estreat__V1__SnapshotRequest *request =
        (const Estreat__V1__SnapshotRequest *)question->request;
    struct error err = ERROR_INIT;
    enum status status = STATUS_OK;
    struct pin *pin = NULL;
    if (fault_get(source->options.fault, NULL) ||
        engine_background_error(source->options.engine, &err) != STATUS_OK) {
        answer(question, STATUS_FAILED_PRECONDITION, "what this node has stored is damaged", NULL);
        return;
    }
    if (request->checkpoint != 0) {
        pin = find_pin(source, request->checkpoint);
        status = pin == NULL ? error_set(&err, STATUS_NOT_FOUND, "no such checkpoint") : STATUS_OK;
    } else {
        pin = find_reaching(source, request->least_index);
        if (pin == NULL) {
            status = take_pin(source, request->least_index, &pin, &err);
        }
    }
    if (status != STATUS_OK) {
        answer(question, status, err.text, NULL);
    } else if (pin == NULL || pin->summed < pin->file_count) {
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
    struct pin *pin = find_pin(source, request->checkpoint);
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
                                         source->piece, request->length, &err);
    if (status == STATUS_CORRUPT) {
        fault_note(source->options.fault, err.text);
    }
    Estreat__V1__SnapshotPiece piece = ESTREAT__V1__SNAPSHOT_PIECE__INIT;
    piece.data = binary(source->piece, request->length);
    answer(question, status, err.text, status == STATUS_OK ? &piece.base : NULL);
}

static enum job_result step(struct job *job)
{
    struct snapshot_source *source =
        (struct snapshot_source *)(void *)((char *)job - offsetof(struct snapshot_source, job));
    struct question *question = (struct question *)mpsc_pop(&source->questions);
    if (question != NULL) {
        if (question->method == SNAPSHOT_DESCRIBE) {
            describe(source, question);
        } else {
            read_piece(source, question);
        }
        alloc_free(source->options.alloc, question);
        return JOB_AGAIN;
    }
    let_go_of_idle(source, SNAPSHOT_PIN_IDLE_NS);
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
    job_init(&source->job, step);
    mpsc_init(&source->questions);
    enum status status = hasher_init(&source->hasher, err);
    if (status == STATUS_OK) {
        status = hasher_init(&source->tree_hasher, err);
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
    let_go_of_idle(source, 0);
}

void snapshot_source_close(struct snapshot_source *source)
{
    if (source == NULL) {
        return;
    }
    CHECK(!atomic_load(&source->pinned));
    CHECK(!atomic_load(&source->flushing));
    hasher_release(&source->hasher);
    hasher_release(&source->tree_hasher);
    alloc_free(source->options.alloc, source->known);
    alloc_free(source->options.alloc, source);
}
