/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/tree/manifest_format.h"

#include <inttypes.h>

#include "base/check.h"
#include "storage/table/key.h"

#define OWNER_STATE_BYTES_MAX MANIFEST_RECORD_BYTES_MAX

void manifest_state_init(struct manifest_state *state, struct alloc *alloc)
{
    *state = (struct manifest_state){.next_file = 1};
    edit_init(&state->tables, alloc);
    buf_init(&state->owner_state, alloc, OWNER_STATE_BYTES_MAX);
}

void manifest_state_release(struct manifest_state *state)
{
    edit_release(&state->tables);
    buf_release(&state->owner_state);
}

/* --- writing ------------------------------------------------------------------------------- */

static void encode_add(struct buf *out, const struct edit *edit, const struct edit_add *add)
{
    buf_put_u8(out, MANIFEST_ADD);
    buf_put_varint(out, add->keyspace);
    buf_put_varint(out, add->level);
    buf_put_varint(out, add->number);
    buf_put_varint(out, add->bytes);
    buf_put_varint(out, add->entries);
    buf_put_prefixed(out, edit_smallest(edit, add));
    buf_put_prefixed(out, edit_largest(edit, add));
}

void manifest_encode(struct buf *out, uint64_t synced_through, const struct edit *edit,
                     const struct keyspace_options *keyspaces, size_t keyspace_count)
{
    CHECK(!edit_failed(edit));
    buf_put_le64(out, synced_through);
    if (edit->full) {
        buf_put_u8(out, MANIFEST_FULL);
        for (size_t i = 0; i < keyspace_count; i++) {
            buf_put_u8(out, MANIFEST_KEYSPACE);
            buf_put_varint(out, i);
            buf_put_u8(out, (uint8_t)keyspaces[i].layout);
            buf_put_prefixed(out, slice_of_string(keyspaces[i].name));
        }
    }
    /* Removals come first: a table that changes its level is both. */
    for (size_t i = 0; i < edit_remove_count(edit); i++) {
        struct edit_remove removal = edit_remove_at(edit, i);
        buf_put_u8(out, MANIFEST_REMOVE);
        buf_put_varint(out, removal.keyspace);
        buf_put_varint(out, removal.level);
        buf_put_varint(out, removal.number);
    }
    for (size_t i = 0; i < edit_add_count(edit); i++) {
        struct edit_add add = edit_add_at(edit, i);
        encode_add(out, edit, &add);
    }
    if (edit->next_file != 0) {
        buf_put_u8(out, MANIFEST_NEXT_FILE);
        buf_put_varint(out, edit->next_file);
    }
    if (edit->last_sequence != 0) {
        buf_put_u8(out, MANIFEST_LAST_SEQUENCE);
        buf_put_varint(out, edit->last_sequence);
    }
    if (edit->has_seal) {
        buf_put_u8(out, MANIFEST_SEAL);
        buf_put_varint(out, edit->seal_count);
        buf_put_prefixed(out, edit->owner_state);
    }
}

/* --- reading ------------------------------------------------------------------------------- */

struct decoder {
    struct cursor cursor;
    const struct keyspace_options *keyspaces;
    size_t keyspace_count;
    struct manifest_state *state;
    struct error *err;
};

/* The index of the first live table with a number >= `number`; they are kept in that order. */
static size_t find_table(const struct edit *tables, uint64_t number)
{
    size_t low = 0;
    size_t high = edit_add_count(tables);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (edit_add_at(tables, middle).number < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool is_live(const struct edit *tables, size_t index, uint64_t number)
{
    return index < edit_add_count(tables) && edit_add_at(tables, index).number == number;
}

static enum status corrupt(struct decoder *decoder, const char *what)
{
    return error_set(decoder->err, STATUS_CORRUPT, "%s", what);
}

static enum status decode_keyspace(struct decoder *decoder)
{
    uint64_t index = cursor_varint(&decoder->cursor);
    uint8_t layout = cursor_u8(&decoder->cursor);
    struct slice name = cursor_prefixed(&decoder->cursor);
    if (decoder->cursor.failed || index != decoder->state->keyspace_count ||
        index >= KEYSPACES_MAX || name.length > KEYSPACE_NAME_BYTES_MAX) {
        return corrupt(decoder, "malformed keyspace");
    }
    if (index >= decoder->keyspace_count ||
        !slice_equal(name, slice_of_string(decoder->keyspaces[index].name)) ||
        layout != (uint8_t)decoder->keyspaces[index].layout) {
        return error_set(decoder->err, STATUS_FAILED_PRECONDITION,
                         "the store's keyspace %" PRIu64 " is \"%.*s\", not what is asked for",
                         index, (int)name.length, (const char *)name.data);
    }
    decoder->state->keyspace_count++;
    return STATUS_OK;
}

/* True if the keys are internal keys in order. */
static bool keys_make_sense(struct slice smallest, struct slice largest)
{
    struct internal_key low;
    struct internal_key high;
    return internal_key_parse(smallest, &low) && internal_key_parse(largest, &high) &&
           internal_key_compare(smallest, largest) <= 0;
}

static enum status decode_add(struct decoder *decoder)
{
    struct cursor *cursor = &decoder->cursor;
    uint64_t keyspace = cursor_varint(cursor);
    uint64_t level = cursor_varint(cursor);
    uint64_t number = cursor_varint(cursor);
    uint64_t bytes = cursor_varint(cursor);
    uint64_t entries = cursor_varint(cursor);
    struct slice smallest = cursor_prefixed(cursor);
    struct slice largest = cursor_prefixed(cursor);
    if (cursor->failed || keyspace >= decoder->state->keyspace_count || level >= TREE_LEVELS ||
        number == 0 || entries == 0 || !keys_make_sense(smallest, largest)) {
        return corrupt(decoder, "malformed addition of a table");
    }
    struct edit *tables = &decoder->state->tables;
    size_t index = find_table(tables, number);
    if (is_live(tables, index, number)) {
        return corrupt(decoder, "a table is added twice");
    }
    edit_add_table(tables, (unsigned)keyspace, (unsigned)level, number, bytes, entries, smallest,
                   largest);
    if (edit_failed(tables)) {
        return error_set(decoder->err, STATUS_RESOURCE_EXHAUSTED, "no memory for the manifest");
    }
    size_t last = edit_add_count(tables) - 1;
    struct edit_add add = edit_add_at(tables, last);
    uint8_t *place = tables->adds.data + index * sizeof add;
    memmove(place + sizeof add, place, (last - index) * sizeof add);
    memcpy(place, &add, sizeof add);
    return STATUS_OK;
}

static enum status decode_remove(struct decoder *decoder)
{
    struct cursor *cursor = &decoder->cursor;
    uint64_t keyspace = cursor_varint(cursor);
    uint64_t level = cursor_varint(cursor);
    uint64_t number = cursor_varint(cursor);
    struct edit *tables = &decoder->state->tables;
    size_t index = find_table(tables, number);
    if (cursor->failed || !is_live(tables, index, number)) {
        return corrupt(decoder, "removal of a table that is not there");
    }
    struct edit_add add = edit_add_at(tables, index);
    if (add.keyspace != keyspace || add.level != level) {
        return corrupt(decoder, "removal of a table from where it is not");
    }
    uint8_t *place = tables->adds.data + index * sizeof add;
    size_t after = edit_add_count(tables) - index - 1;
    memmove(place, place + sizeof add, after * sizeof add);
    tables->adds.length -= sizeof add;
    return STATUS_OK;
}

static enum status decode_seal(struct decoder *decoder)
{
    uint64_t count = cursor_varint(&decoder->cursor);
    struct slice owner_state = cursor_prefixed(&decoder->cursor);
    if (decoder->cursor.failed || count < decoder->state->seal_count) {
        return corrupt(decoder, "malformed seal");
    }
    decoder->state->seal_count = count;
    buf_clear(&decoder->state->owner_state);
    buf_append_slice(&decoder->state->owner_state, owner_state);
    if (buf_failed(&decoder->state->owner_state)) {
        return error_set(decoder->err, STATUS_RESOURCE_EXHAUSTED, "no memory for the manifest");
    }
    return STATUS_OK;
}

/* Numbers that only grow. */
static enum status decode_rising(struct decoder *decoder, uint64_t *out)
{
    uint64_t value = cursor_varint(&decoder->cursor);
    if (decoder->cursor.failed || value < *out) {
        return corrupt(decoder, "a number that must rise falls");
    }
    *out = value;
    return STATUS_OK;
}

static enum status decode_field(struct decoder *decoder, uint8_t tag)
{
    switch (tag) {
    case MANIFEST_KEYSPACE:
        return decode_keyspace(decoder);
    case MANIFEST_ADD:
        return decode_add(decoder);
    case MANIFEST_REMOVE:
        return decode_remove(decoder);
    case MANIFEST_NEXT_FILE:
        return decode_rising(decoder, &decoder->state->next_file);
    case MANIFEST_LAST_SEQUENCE:
        return decode_rising(decoder, &decoder->state->last_sequence);
    case MANIFEST_SEAL:
        return decode_seal(decoder);
    default:
        return error_set(decoder->err, STATUS_CORRUPT, "unknown field %u", tag);
    }
}

enum status manifest_decode(struct slice payload, bool first,
                            const struct keyspace_options *keyspaces, size_t keyspace_count,
                            struct manifest_state *state, struct error *err)
{
    struct decoder decoder = {.cursor = cursor_of(payload),
                              .keyspaces = keyspaces,
                              .keyspace_count = keyspace_count,
                              .state = state,
                              .err = err};
    (void)cursor_le64(&decoder.cursor); /* synced_through, for the framing */
    if (first && cursor_u8(&decoder.cursor) != MANIFEST_FULL) {
        return corrupt(&decoder, "the first record is no full state");
    }
    while (!decoder.cursor.failed && cursor_left(&decoder.cursor) > 0) {
        enum status status = decode_field(&decoder, cursor_u8(&decoder.cursor));
        if (status != STATUS_OK) {
            return status;
        }
    }
    return cursor_done(&decoder.cursor) ? STATUS_OK : corrupt(&decoder, "cut payload");
}
