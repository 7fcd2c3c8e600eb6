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
    buf_put_u8(out, add->times.known ? MANIFEST_ADD_TIMED : MANIFEST_ADD);
    buf_put_varint(out, add->keyspace);
    buf_put_varint(out, add->level);
    buf_put_varint(out, add->number);
    buf_put_varint(out, add->bytes);
    buf_put_varint(out, add->entries);
    buf_put_prefixed(out, edit_smallest(edit, add));
    buf_put_prefixed(out, edit_largest(edit, add));
    if (add->times.known) {
        buf_put_varint(out, add->times.smallest);
        buf_put_varint(out, add->times.largest - add->times.smallest);
    }
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
    for (size_t i = 0; i < edit_floor_count(edit); i++) {
        struct edit_floor floor = edit_floor_at(edit, i);
        buf_put_u8(out, MANIFEST_FLOOR);
        buf_put_varint(out, floor.keyspace);
        buf_put_prefixed(out, floor_key(&floor.floor));
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

static enum status cut_field(const char *what, struct error *err)
{
    return error_set(err, STATUS_CORRUPT, "%s", what);
}

/* False: cut, or times that no table has. */
static bool take_add(struct cursor *cursor, struct manifest_field *out)
{
    out->keyspace = cursor_varint(cursor);
    out->level = cursor_varint(cursor);
    out->number = cursor_varint(cursor);
    out->bytes = cursor_varint(cursor);
    out->entries = cursor_varint(cursor);
    out->smallest = cursor_prefixed(cursor);
    out->largest = cursor_prefixed(cursor);
    if (out->tag == MANIFEST_ADD_TIMED) {
        uint64_t smallest = cursor_varint(cursor);
        uint64_t span = cursor_varint(cursor);
        if (span > UINT64_MAX - smallest) {
            return false;
        }
        out->times =
            (struct time_bounds){.known = true, .smallest = smallest, .largest = smallest + span};
    }
    return !cursor->failed;
}

enum status manifest_field_next(struct cursor *cursor, struct manifest_field *out,
                                struct error *err)
{
    uint8_t tag = cursor_u8(cursor);
    *out = (struct manifest_field){.tag = (enum manifest_tag)tag};
    switch (tag) {
    case MANIFEST_FULL:
        return STATUS_OK;
    case MANIFEST_KEYSPACE:
        out->keyspace = cursor_varint(cursor);
        out->layout = cursor_u8(cursor);
        out->name = cursor_prefixed(cursor);
        return cursor->failed ? cut_field("malformed keyspace", err) : STATUS_OK;
    case MANIFEST_ADD:
    case MANIFEST_ADD_TIMED:
        return take_add(cursor, out) ? STATUS_OK : cut_field("malformed addition of a table", err);
    case MANIFEST_REMOVE:
        out->keyspace = cursor_varint(cursor);
        out->level = cursor_varint(cursor);
        out->number = cursor_varint(cursor);
        return cursor->failed ? cut_field("malformed removal of a table", err) : STATUS_OK;
    case MANIFEST_NEXT_FILE:
    case MANIFEST_LAST_SEQUENCE:
        out->value = cursor_varint(cursor);
        return cursor->failed ? cut_field("malformed number", err) : STATUS_OK;
    case MANIFEST_SEAL:
        out->value = cursor_varint(cursor);
        out->owner_state = cursor_prefixed(cursor);
        return cursor->failed ? cut_field("malformed seal", err) : STATUS_OK;
    case MANIFEST_FLOOR:
        out->keyspace = cursor_varint(cursor);
        out->floor = cursor_prefixed(cursor);
        return cursor->failed ? cut_field("malformed floor", err) : STATUS_OK;
    default:
        return error_set(err, STATUS_CORRUPT, "unknown field %u", tag);
    }
}

struct decoder {
    const struct keyspace_options *keyspaces; /* NULL: any */
    size_t keyspace_count;
    struct manifest_state *state;
    struct error *err;
};

static enum status corrupt(struct decoder *decoder, const char *what)
{
    return error_set(decoder->err, STATUS_CORRUPT, "%s", what);
}

/* For what no caller expects by name. */
static bool is_keyspace_name(struct slice name)
{
    bool good = name.length > 0;
    for (size_t i = 0; good && i < name.length; i++) {
        uint8_t byte = name.data[i];
        good = (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte == '_';
    }
    return good;
}

static enum status apply_keyspace(struct decoder *decoder, const struct manifest_field *field)
{
    struct manifest_state *state = decoder->state;
    if (field->keyspace != state->keyspace_count || field->keyspace >= KEYSPACES_MAX ||
        field->name.length > KEYSPACE_NAME_BYTES_MAX) {
        return corrupt(decoder, "malformed keyspace");
    }
    const struct keyspace_options *wanted = decoder->keyspaces;
    if (wanted == NULL && (!is_keyspace_name(field->name) || field->layout > KEYSPACE_APPEND)) {
        return corrupt(decoder, "malformed keyspace");
    }
    if (wanted != NULL &&
        (field->keyspace >= decoder->keyspace_count ||
         !slice_equal(field->name, slice_of_string(wanted[field->keyspace].name)) ||
         field->layout != (uint8_t)wanted[field->keyspace].layout)) {
        return error_set(decoder->err, STATUS_FAILED_PRECONDITION,
                         "the store's keyspace %" PRIu64 " is \"%.*s\", not what is asked for",
                         field->keyspace, (int)field->name.length, (const char *)field->name.data);
    }
    struct manifest_keyspace *keyspace = &state->keyspaces[state->keyspace_count++];
    keyspace->layout = (enum keyspace_layout)field->layout;
    memcpy(keyspace->name, field->name.data, field->name.length);
    keyspace->name[field->name.length] = '\0';
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

static enum status apply_add(struct decoder *decoder, const struct manifest_field *field)
{
    if (field->keyspace >= decoder->state->keyspace_count || field->level >= TREE_LEVELS ||
        field->number == 0 || field->entries == 0 ||
        !keys_make_sense(field->smallest, field->largest)) {
        return corrupt(decoder, "malformed addition of a table");
    }
    struct edit *tables = &decoder->state->tables;
    size_t index = 0;
    if (edit_find_add(tables, field->number, &index)) {
        return corrupt(decoder, "a table is added twice");
    }
    edit_add_table(tables, (unsigned)field->keyspace, (unsigned)field->level, field->number,
                   field->bytes, field->entries, field->smallest, field->largest);
    edit_set_times(tables, &field->times);
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

static enum status apply_remove(struct decoder *decoder, const struct manifest_field *field)
{
    struct edit *tables = &decoder->state->tables;
    size_t index = 0;
    if (!edit_find_add(tables, field->number, &index)) {
        return corrupt(decoder, "removal of a table that is not there");
    }
    struct edit_add add = edit_add_at(tables, index);
    if (add.keyspace != field->keyspace || add.level != field->level) {
        return corrupt(decoder, "removal of a table from where it is not");
    }
    uint8_t *place = tables->adds.data + index * sizeof add;
    size_t after = edit_add_count(tables) - index - 1;
    memmove(place, place + sizeof add, after * sizeof add);
    tables->adds.length -= sizeof add;
    return STATUS_OK;
}

static enum status apply_seal(struct decoder *decoder, const struct manifest_field *field)
{
    struct manifest_state *state = decoder->state;
    if (field->value < state->seal_count) {
        return corrupt(decoder, "malformed seal");
    }
    state->seal_count = field->value;
    buf_clear(&state->owner_state);
    buf_append_slice(&state->owner_state, field->owner_state);
    if (buf_failed(&state->owner_state)) {
        return error_set(decoder->err, STATUS_RESOURCE_EXHAUSTED, "no memory for the manifest");
    }
    return STATUS_OK;
}

static enum status apply_floor(struct decoder *decoder, const struct manifest_field *field)
{
    const struct manifest_state *state = decoder->state;
    struct edit *tables = &decoder->state->tables;
    if (field->keyspace >= state->keyspace_count ||
        state->keyspaces[field->keyspace].layout != KEYSPACE_APPEND || field->floor.length == 0 ||
        field->floor.length > FLOOR_BYTES_MAX) {
        return corrupt(decoder, "malformed floor");
    }
    struct floor before = edit_floor_of(tables, (unsigned)field->keyspace);
    if (floor_hides(&before, field->floor)) {
        return corrupt(decoder, "a floor falls");
    }
    edit_set_floor(tables, (unsigned)field->keyspace, field->floor);
    if (edit_failed(tables)) {
        return error_set(decoder->err, STATUS_RESOURCE_EXHAUSTED, "no memory for the manifest");
    }
    return STATUS_OK;
}

/* Numbers that only grow. */
static enum status apply_rising(struct decoder *decoder, uint64_t value, uint64_t *out)
{
    if (value < *out) {
        return corrupt(decoder, "a number that must rise falls");
    }
    *out = value;
    return STATUS_OK;
}

static enum status apply_field(struct decoder *decoder, const struct manifest_field *field)
{
    switch (field->tag) {
    case MANIFEST_KEYSPACE:
        return apply_keyspace(decoder, field);
    case MANIFEST_ADD:
    case MANIFEST_ADD_TIMED:
        return apply_add(decoder, field);
    case MANIFEST_FLOOR:
        return apply_floor(decoder, field);
    case MANIFEST_REMOVE:
        return apply_remove(decoder, field);
    case MANIFEST_NEXT_FILE:
        return apply_rising(decoder, field->value, &decoder->state->next_file);
    case MANIFEST_LAST_SEQUENCE:
        return apply_rising(decoder, field->value, &decoder->state->last_sequence);
    case MANIFEST_SEAL:
        return apply_seal(decoder, field);
    default: /* FULL comes first and is not applied */
        return corrupt(decoder, "a full state within a record");
    }
}

enum status manifest_decode(struct slice payload, bool first,
                            const struct keyspace_options *keyspaces, size_t keyspace_count,
                            struct manifest_state *state, struct error *err)
{
    struct decoder decoder = {
        .keyspaces = keyspaces, .keyspace_count = keyspace_count, .state = state, .err = err};
    struct cursor cursor = cursor_of(payload);
    struct manifest_field field;
    (void)cursor_le64(&cursor); /* synced_through, for the framing */
    if (first &&
        (manifest_field_next(&cursor, &field, err) != STATUS_OK || field.tag != MANIFEST_FULL)) {
        return corrupt(&decoder, "the first record is no full state");
    }
    while (!cursor.failed && cursor_left(&cursor) > 0) {
        enum status status = manifest_field_next(&cursor, &field, err);
        if (status == STATUS_OK) {
            status = apply_field(&decoder, &field);
        }
        if (status != STATUS_OK) {
            return status;
        }
    }
    return cursor_done(&cursor) ? STATUS_OK : corrupt(&decoder, "cut payload");
}
