/* SPDX-License-Identifier: Apache-2.0 */
#include "merkle/proof_file.h"

#include <inttypes.h>

#include "base/check.h"
#include "merkle/base64.h"
#include "merkle/text.h"
#include "merkle/verify.h"

static const char INCLUSION_LINE[] = "c2sp.org/tlog-proof@v1";
static const char CONSISTENCY_LINE[] = "estreat/consistency-proof@v1";
static const char HEAD_LINE[] = "head";

enum { EVENT_FORMAT = 1, EVENT_HAS_PAYLOAD = 1 };

/* Format, flags, header, salt and payload with their lengths. */
#define EVENT_BYTES_MAX (9UL + EVENT_HEADER_BYTES_MAX + SALT_BYTES + PAYLOAD_BYTES_MAX)

_Static_assert(EVENT_BYTES_MAX / 3 * 4 + NOTE_BYTES_MAX + 8 * KIB < PROOF_FILE_BYTES_MAX,
               "the proof of the largest event fits its file");
_Static_assert(EVENT_HEADER_BYTES_MAX <= UINT16_MAX, "a header's length fits its field");

static enum status damaged(struct error *err, const char *reason)
{
    return error_set(err, STATUS_DATA_LOSS, "damaged proof file: %s", reason);
}

/* ---- the event in the extra line ---- */

static void event_encode(const struct inclusion_file *file, struct buf *out)
{
    uint8_t header[EVENT_HEADER_BYTES_MAX];
    size_t header_length = event_header_encode(&file->event, header);
    buf_put_u8(out, EVENT_FORMAT);
    buf_put_u8(out, file->has_payload ? EVENT_HAS_PAYLOAD : 0);
    buf_put_le16(out, (uint16_t)header_length);
    buf_append(out, header, header_length);
    if (file->has_payload) {
        buf_put_u8(out, (uint8_t)file->salt.length);
        buf_append_slice(out, file->salt);
        buf_put_le32(out, (uint32_t)file->payload.length);
        buf_append_slice(out, file->payload);
    }
}

static enum status event_decode(struct slice bytes, struct inclusion_file *file, struct error *err)
{
    struct cursor cursor = cursor_of(bytes);
    uint8_t format = cursor_u8(&cursor);
    uint8_t flags = cursor_u8(&cursor);
    struct slice header = cursor_bytes(&cursor, cursor_le16(&cursor));
    if (cursor.failed || format != EVENT_FORMAT || (flags & ~EVENT_HAS_PAYLOAD) != 0) {
        return damaged(err, "its event is cut or of an unknown format");
    }
    file->has_payload = flags == EVENT_HAS_PAYLOAD;
    if (file->has_payload) {
        file->salt = cursor_bytes(&cursor, cursor_u8(&cursor));
        file->payload = cursor_bytes(&cursor, cursor_le32(&cursor));
    }
    if (!cursor_done(&cursor) || (file->salt.length != 0 && file->salt.length != SALT_BYTES)) {
        return damaged(err, "its event is cut or too long");
    }
    return event_header_decode(header, &file->event, err);
}

/* ---- writing ---- */

static void put_path(struct buf *out, const struct proof *path)
{
    CHECK(path->count <= PROOF_HASHES_MAX);
    for (unsigned i = 0; i < path->count; i++) {
        char text[HASH_BASE64_BYTES + 1];
        hash_to_base64(&path->hashes[i], text);
        text_put(out, text);
        buf_put_u8(out, '\n');
    }
}

static enum status put_checkpoint(struct buf *out, struct slice checkpoint, struct error *err)
{
    buf_put_u8(out, '\n');
    buf_append_slice(out, checkpoint);
    return buf_failed(out)
               ? error_set(err, STATUS_RESOURCE_EXHAUSTED, "the proof file does not fit")
               : STATUS_OK;
}

enum status proof_file_format_inclusion(const struct inclusion_file *file, struct buf *out,
                                        struct error *err)
{
    enum status status = event_header_check(&file->event, err);
    if (status != STATUS_OK) {
        return status;
    }
    if (file->payload.length > PAYLOAD_BYTES_MAX ||
        (file->salt.length != 0 && file->salt.length != SALT_BYTES)) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "event payload or salt is out of bounds");
    }
    struct buf event;
    buf_init(&event, out->alloc, EVENT_BYTES_MAX);
    event_encode(file, &event);
    if (buf_failed(&event)) {
        buf_release(&event);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a proof file");
    }
    text_put(out, INCLUSION_LINE);
    text_put(out, "\nextra ");
    base64_append(out, buf_slice(&event));
    text_put(out, "\nindex ");
    text_put_number(out, file->event.position);
    buf_put_u8(out, '\n');
    put_path(out, &file->path);
    buf_release(&event);
    return put_checkpoint(out, file->checkpoint, err);
}

static void put_side(struct buf *out, const char *name, uint64_t size, const struct hash *root)
{
    char text[HASH_BASE64_BYTES + 1];
    text_put(out, name);
    text_put_number(out, size);
    buf_put_u8(out, ' ');
    hash_to_base64(root, text);
    text_put(out, text);
    buf_put_u8(out, '\n');
}

enum status proof_file_format_consistency(const struct consistency_file *file, struct buf *out,
                                          struct error *err)
{
    text_put(out, CONSISTENCY_LINE);
    buf_put_u8(out, '\n');
    put_side(out, "old ", file->old_size, &file->old_root);
    put_side(out, "new ", file->new_size, &file->new_root);
    put_path(out, &file->path);
    if (file->has_head_path) {
        text_put(out, HEAD_LINE);
        buf_put_u8(out, '\n');
        put_path(out, &file->path_to_head);
    }
    return put_checkpoint(out, file->checkpoint, err);
}

/* ---- reading ---- */

/* Reads hash lines up to the first other line, which is left in `line`. */
static bool read_path(struct text_reader *reader, struct proof *path, struct slice *line)
{
    path->count = 0;
    while (text_line(reader, line)) {
        struct hash hash;
        if (!hash_from_base64(*line, &hash)) {
            return true;
        }
        if (path->count == PROOF_HASHES_MAX) {
            return false;
        }
        path->hashes[path->count++] = hash;
    }
    return false;
}

static enum status parse_inclusion(struct text_reader *reader, struct proof_file *out,
                                   struct error *err)
{
    struct inclusion_file *file = &out->inclusion;
    struct slice line;
    uint64_t index = 0;
    if (!text_line(reader, &line) || !text_skip(&line, "extra ")) {
        return damaged(err, "no event");
    }
    if (line.length > base64_length(EVENT_BYTES_MAX)) {
        return damaged(err, "its event is too large");
    }
    size_t capacity = line.length / 4 * 3;
    size_t length = 0;
    uint8_t *place = buf_reserve(&out->event_bytes, capacity + 1);
    if (place == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a proof file");
    }
    if (!base64_decode(line, place, capacity, &length)) {
        return damaged(err, "its event is not base64");
    }
    out->event_bytes.length = length;
    if (!text_line(reader, &line) || !text_skip(&line, "index ") || !text_number(line, &index)) {
        return damaged(err, "no index");
    }
    if (!read_path(reader, &file->path, &line) || line.length != 0) {
        return damaged(err, "its inclusion path is no list of hashes");
    }
    file->checkpoint = reader->rest;
    enum status status = event_decode(buf_slice(&out->event_bytes), file, err);
    if (status == STATUS_OK && index != file->event.position) {
        return damaged(err, "its index is not the position of its event");
    }
    return status;
}

static bool parse_side(struct text_reader *reader, const char *name, uint64_t *size,
                       struct hash *root)
{
    struct slice line;
    struct slice number;
    struct slice encoded;
    return text_line(reader, &line) && text_skip(&line, name) &&
           text_split(line, ' ', &number, &encoded) && text_number(number, size) &&
           hash_from_base64(encoded, root);
}

static enum status parse_consistency(struct text_reader *reader, struct consistency_file *file,
                                     struct error *err)
{
    struct slice line;
    if (!parse_side(reader, "old ", &file->old_size, &file->old_root)) {
        return damaged(err, "no old size and root");
    }
    if (!parse_side(reader, "new ", &file->new_size, &file->new_root)) {
        return damaged(err, "no new size and root");
    }
    bool read = read_path(reader, &file->path, &line);
    file->has_head_path = read && slice_equal(line, slice_of_string(HEAD_LINE));
    if (file->has_head_path) {
        read = read_path(reader, &file->path_to_head, &line);
    }
    if (!read || line.length != 0) {
        return damaged(err, "its consistency path is no list of hashes");
    }
    file->checkpoint = reader->rest;
    return STATUS_OK;
}

enum status proof_file_parse(struct slice text, struct alloc *alloc, struct proof_file *out,
                             struct error *err)
{
    struct text_reader reader = {.rest = text};
    struct slice line;
    struct proof_file file;
    memset(&file, 0, sizeof file);
    if (!text_line(&reader, &line)) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "not a proof file");
    }
    if (slice_equal(line, slice_of_string(INCLUSION_LINE))) {
        file.kind = PROOF_FILE_INCLUSION;
    } else if (slice_equal(line, slice_of_string(CONSISTENCY_LINE))) {
        file.kind = PROOF_FILE_CONSISTENCY;
    } else {
        return error_set(err, STATUS_INVALID_ARGUMENT, "not a proof file");
    }
    if (text.length > PROOF_FILE_BYTES_MAX) {
        return damaged(err, "too long");
    }
    buf_init(&file.event_bytes, alloc, PROOF_FILE_BYTES_MAX);
    enum status status = file.kind == PROOF_FILE_INCLUSION
                             ? parse_inclusion(&reader, &file, err)
                             : parse_consistency(&reader, &file.consistency, err);
    if (status != STATUS_OK) {
        proof_file_release(&file);
        return status;
    }
    *out = file;
    return STATUS_OK;
}

void proof_file_release(struct proof_file *file)
{
    buf_release(&file->event_bytes);
}

/* ---- checking ---- */

static enum status verify_event(const struct inclusion_file *file, const struct tree_head *head,
                                struct hasher *hasher, struct error *err)
{
    const struct event_header *event = &file->event;
    if (file->has_payload && file->payload.length != event->payload_length) {
        return error_set(err, STATUS_DATA_LOSS,
                         "the payload has %zu bytes, the event's header says %" PRIu32,
                         file->payload.length, event->payload_length);
    }
    if (file->has_payload && !event_payload_matches(hasher, event, file->salt, file->payload)) {
        return error_set(err, STATUS_DATA_LOSS, "the payload is not the one that was logged");
    }
    struct inclusion_claim claim = {.position = event->position,
                                    .size = head->size,
                                    .leaf = event_leaf_hash(hasher, event),
                                    .root = head->root,
                                    .path = file->path.hashes,
                                    .path_count = file->path.count};
    return verify_inclusion(hasher, &claim, err);
}

static enum status verify_history(const struct consistency_file *file, const struct tree_head *head,
                                  struct hasher *hasher, struct error *err)
{
    struct consistency_claim claim = {.old_size = file->old_size,
                                      .new_size = file->new_size,
                                      .old_root = file->old_root,
                                      .new_root = file->new_root,
                                      .path = file->path.hashes,
                                      .path_count = file->path.count};
    enum status status = verify_consistency(hasher, &claim, err);
    if (status != STATUS_OK) {
        return status;
    }
    if (file->has_head_path != (head->size != file->new_size)) {
        return error_set(err, STATUS_DATA_LOSS,
                         "size %" PRIu64 " is not connected to the signed size %" PRIu64,
                         file->new_size, head->size);
    }
    struct consistency_claim to_head = {.old_size = file->new_size,
                                        .new_size = head->size,
                                        .old_root = file->new_root,
                                        .new_root = head->root,
                                        .path = file->path_to_head.hashes,
                                        .path_count = file->path_to_head.count};
    return verify_consistency(hasher, &to_head, err);
}

static enum status verify_parsed(const struct proof_file *file, struct note_trust trust,
                                 struct hasher *hasher, struct tree_head *head, struct error *err)
{
    bool inclusion = file->kind == PROOF_FILE_INCLUSION;
    struct slice checkpoint = inclusion ? file->inclusion.checkpoint : file->consistency.checkpoint;
    enum status status = tree_head_open(checkpoint, trust, head, NULL, err);
    if (status == STATUS_INVALID_ARGUMENT) {
        /* The file is a proof file; a part of it that cannot be read is damage. */
        if (err != NULL) {
            err->status = STATUS_DATA_LOSS;
        }
        return STATUS_DATA_LOSS;
    }
    if (status != STATUS_OK) {
        return status;
    }
    return inclusion ? verify_event(&file->inclusion, head, hasher, err)
                     : verify_history(&file->consistency, head, hasher, err);
}

enum status proof_file_verify(struct slice text, struct note_trust trust, struct hasher *hasher,
                              struct alloc *alloc, struct proof_verdict *out, struct error *err)
{
    struct proof_verdict verdict = {.head = {.size = 0}};
    enum status status = proof_file_parse(text, alloc, &verdict.file, err);
    if (status != STATUS_OK) {
        return status;
    }
    if (trust.count == 0) {
        status = error_set(err, STATUS_UNKNOWN, "no trusted keys: nothing can be told");
    } else {
        status = verify_parsed(&verdict.file, trust, hasher, &verdict.head, err);
    }
    if (status != STATUS_OK) {
        proof_file_release(&verdict.file);
        return status;
    }
    *out = verdict;
    return STATUS_OK;
}

void proof_verdict_release(struct proof_verdict *verdict)
{
    proof_file_release(&verdict->file);
}
