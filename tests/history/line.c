/* SPDX-License-Identifier: Apache-2.0 */
#include "line.h"

#include <stdlib.h>

#include "base/check.h"
#include "merkle/tools/json.h"

struct line_reader {
    struct json_object object; /* large: it has room for the longest line */
};

struct line_reader *line_reader_new(void)
{
    struct line_reader *reader = malloc(sizeof *reader);
    CHECK(reader != NULL);
    return reader;
}

void line_reader_free(struct line_reader *reader)
{
    free(reader);
}

/* All of `digits` as a number up to 2^64 - 1. */
static bool parse_u64(struct slice digits, uint64_t *out)
{
    uint64_t value = 0;
    for (size_t i = 0; i < digits.length; i++) {
        uint64_t digit = (uint64_t)(digits.data[i] - '0');
        if (digits.data[i] < '0' || digits.data[i] > '9' || value > (UINT64_MAX - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    *out = value;
    return digits.length > 0;
}

static bool get_u64(const struct json_object *object, const char *name, uint64_t *out)
{
    struct json_value value = json_get(object, name);
    return value.kind == JSON_NUMBER && parse_u64(value.text, out);
}

static struct history_text keep(struct history *history, struct slice text)
{
    struct history_text kept = {.at = history->byte_count, .length = (uint32_t)text.length};
    if (text.length > 0) {
        history->bytes = history_grow(history->bytes, &history->byte_capacity,
                                      history->byte_count + text.length - 1, 1);
        memcpy(history->bytes + kept.at, text.data, text.length);
        history->byte_count += text.length;
    }
    return kept;
}

/* What both kinds of lines have. */
struct fields {
    enum history_result result;
    struct slice id;
    struct slice key;
    uint64_t invoke_ns;
    uint64_t return_ns;
};

static bool get_result(const struct json_object *object, enum history_result *out)
{
    static const char *const names[] = {"ok", "fail", "unknown"};
    struct json_value value = json_get(object, "result");
    for (unsigned i = 0; value.kind == JSON_STRING && i < sizeof names / sizeof names[0]; i++) {
        if (slice_equal(value.text, slice_of_string(names[i]))) {
            *out = (enum history_result)i;
            return true;
        }
    }
    return false;
}

static bool is_name(struct json_value value)
{
    return value.kind == JSON_STRING || value.kind == JSON_NUMBER;
}

static const char *get_times(const struct json_object *object, struct fields *out)
{
    struct json_value end = json_get(object, "return_ns");
    if (!get_u64(object, "invoke_ns", &out->invoke_ns)) {
        return "\"invoke_ns\" must be a number from 0 to 2^64 - 1";
    }
    if (out->result == HISTORY_UNKNOWN && (end.kind == JSON_NULL || end.kind == JSON_ABSENT)) {
        out->return_ns = UINT64_MAX;
        return NULL;
    }
    if (!get_u64(object, "return_ns", &out->return_ns)) {
        return "\"return_ns\" must be a number from 0 to 2^64 - 1";
    }
    return out->return_ns < out->invoke_ns ? "\"return_ns\" is before \"invoke_ns\"" : NULL;
}

static const char *get_fields(const struct json_object *object, struct fields *out)
{
    struct json_value id = json_get(object, "id");
    struct json_value key = json_get(object, "key");
    if (!is_name(json_get(object, "process"))) {
        return "\"process\" must be a number or a text";
    }
    if (!is_name(id) || id.text.length == 0) {
        return "\"id\" must be a number or a text, and not empty";
    }
    if (!is_name(key) && key.kind != JSON_NULL) {
        return "\"key\" must be a text";
    }
    if (!get_result(object, &out->result)) {
        return "\"result\" must be \"ok\", \"fail\" or \"unknown\"";
    }
    out->id = id.text;
    out->key = key.kind == JSON_NULL ? slice_of(NULL, 0) : key.text;
    return get_times(object, out);
}

static const char *add_append(const struct json_object *object, const struct fields *fields,
                              size_t number, struct history *history)
{
    uint64_t position = HISTORY_NOWHERE;
    bool ok = fields->result == HISTORY_OK;
    if (fields->key.length == 0) {
        return "an append needs a \"key\"";
    }
    if (json_get(object, "payload").kind == JSON_ABSENT) {
        return "\"payload\" is missing";
    }
    if (ok && (!get_u64(object, "position", &position) || position == HISTORY_NOWHERE)) {
        return "\"position\" must be a number from 0 to 2^64 - 2 where \"result\" is \"ok\"";
    }
    history->appends = history_grow(history->appends, &history->append_capacity,
                                    history->append_count, sizeof *history->appends);
    history->appends[history->append_count++] = (struct history_append){
        .line = number,
        .result = fields->result,
        .id = keep(history, fields->id),
        .key = keep(history, fields->key),
        .invoke_ns = fields->invoke_ns,
        .return_ns = ok ? fields->return_ns : UINT64_MAX,
        .position = position,
    };
    return NULL;
}

/* "POSITION:ID" */
static bool add_seen(struct slice text, struct history *history)
{
    const uint8_t *colon = text.length == 0 ? NULL : memchr(text.data, ':', text.length);
    struct history_seen seen = {.read = history->read_count};
    if (colon == NULL ||
        !parse_u64(slice_of(text.data, (size_t)(colon - text.data)), &seen.position)) {
        return false;
    }
    struct slice id = slice_from(text, (size_t)(colon - text.data) + 1);
    if (id.length == 0 || seen.position == HISTORY_NOWHERE) {
        return false;
    }
    seen.id = keep(history, id);
    history->seen = history_grow(history->seen, &history->seen_capacity, history->seen_count,
                                 sizeof *history->seen);
    history->seen[history->seen_count++] = seen;
    return true;
}

static const char *add_read(const struct json_object *object, const struct fields *fields,
                            size_t number, struct history *history)
{
    struct json_value seen = json_get(object, "payload");
    struct json_value partial = json_get(object, "partial");
    struct history_read read = {
        .line = number,
        .of_key = fields->key.length > 0,
        .partial = partial.truth,
        .invoke_ns = fields->invoke_ns,
        .return_ns = fields->return_ns,
        .first = history->seen_count,
        .count = seen.count,
    };
    if (fields->result != HISTORY_OK) {
        return NULL;
    }
    if (seen.kind != JSON_ARRAY) {
        return "the \"payload\" of a read must be an array of \"POSITION:ID\"";
    }
    if (partial.kind != JSON_ABSENT && partial.kind != JSON_BOOL) {
        return "\"partial\" must be true or false";
    }
    if (json_get(object, "from").kind != JSON_ABSENT && !get_u64(object, "from", &read.begin)) {
        return "\"from\" must be a number from 0 to 2^64 - 1";
    }
    if (!get_u64(object, "position", &read.end) || read.end < read.begin) {
        return "\"position\" of a read must be a number, and not below \"from\"";
    }
    for (unsigned i = 0; i < seen.count; i++) {
        if (!add_seen(object->items[seen.first + i], history)) {
            return "the \"payload\" of a read must be an array of \"POSITION:ID\"";
        }
    }
    read.key = keep(history, fields->key);
    history->reads = history_grow(history->reads, &history->read_capacity, history->read_count,
                                  sizeof *history->reads);
    history->reads[history->read_count++] = read;
    return NULL;
}

const char *line_read(struct line_reader *reader, struct slice line, size_t number,
                      struct history *history)
{
    struct fields fields = {.result = HISTORY_OK};
    const struct json_object *object = &reader->object;
    const char *wrong = json_read(line, &reader->object);
    if (wrong == NULL) {
        wrong = get_fields(object, &fields);
    }
    if (wrong != NULL) {
        return wrong;
    }
    struct json_value op = json_get(object, "op");
    if (op.kind == JSON_STRING && slice_equal(op.text, slice_of_string("append"))) {
        return add_append(object, &fields, number, history);
    }
    if (op.kind == JSON_STRING && slice_equal(op.text, slice_of_string("read"))) {
        return add_read(object, &fields, number, history);
    }
    return "\"op\" must be \"append\" or \"read\"";
}
