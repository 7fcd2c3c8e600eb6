/* SPDX-License-Identifier: Apache-2.0 */
#include "merkle/tree_head.h"

#include "base/check.h"
#include "merkle/base64.h"
#include "merkle/text.h"

/* Origin, size, root and what others add to them. */
#define TREE_HEAD_TEXT_BYTES_MAX (16UL * 1024UL)

void tree_head_format(const struct tree_head *head, struct buf *out)
{
    char root[HASH_BASE64_BYTES + 1];
    CHECK(note_key_name_valid(head->origin));
    buf_append_slice(out, head->origin);
    buf_put_u8(out, '\n');
    text_put_number(out, head->size);
    buf_put_u8(out, '\n');
    hash_to_base64(&head->root, root);
    text_put(out, root);
    buf_put_u8(out, '\n');
    buf_append_slice(out, head->extensions);
}

static enum status malformed(struct error *err, const char *reason)
{
    return error_set(err, STATUS_INVALID_ARGUMENT, "malformed tree head: %s", reason);
}

enum status tree_head_parse(struct slice text, struct tree_head *out, struct error *err)
{
    struct text_reader reader = {.rest = text};
    struct tree_head head;
    struct slice line;
    if (text.length > TREE_HEAD_TEXT_BYTES_MAX) {
        return malformed(err, "too long");
    }
    if (!text_line(&reader, &head.origin) || !note_key_name_valid(head.origin)) {
        return malformed(err, "bad origin");
    }
    if (!text_line(&reader, &line) || !text_number(line, &head.size)) {
        return malformed(err, "bad size");
    }
    if (!text_line(&reader, &line) || !hash_from_base64(line, &head.root)) {
        return malformed(err, "bad root");
    }
    head.extensions = reader.rest;
    while (text_line(&reader, &line)) {
        if (line.length == 0) {
            return malformed(err, "empty line");
        }
    }
    if (reader.rest.length != 0) {
        return malformed(err, "last line is cut");
    }
    *out = head;
    return STATUS_OK;
}

enum status tree_head_sign(const struct tree_head *head, const struct note_signer *signers,
                           size_t count, struct buf *out, struct error *err)
{
    struct buf text;
    buf_init(&text, out->alloc, TREE_HEAD_TEXT_BYTES_MAX);
    tree_head_format(head, &text);
    enum status status =
        buf_failed(&text) ? error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a tree head")
                          : note_sign(buf_slice(&text), signers, count, out, err);
    buf_release(&text);
    return status;
}

enum status tree_head_open(struct slice bytes, struct note_trust trust, struct tree_head *out,
                           struct note *note, struct error *err)
{
    struct note opened = {.signed_count = 0};
    struct tree_head head = {.size = 0};
    enum status status = note_open(bytes, trust, &opened, err);
    if (status != STATUS_OK) {
        return status;
    }
    status = tree_head_parse(opened.text, &head, err);
    if (status != STATUS_OK) {
        return status;
    }
    /* A key that is trusted for another log says nothing about this one. */
    bool by_the_log = false;
    for (unsigned i = 0; i < opened.signed_count; i++) {
        const struct note_verifier *verifier = &trust.verifiers[opened.signed_by[i]];
        by_the_log = by_the_log || slice_equal(slice_of_string(verifier->name), head.origin);
    }
    if (!by_the_log) {
        return error_set(err, STATUS_UNAUTHENTICATED, "no trusted key of %.*s signed this",
                         (int)head.origin.length, (const char *)head.origin.data);
    }
    *out = head;
    if (note != NULL) {
        *note = opened;
    }
    return STATUS_OK;
}
