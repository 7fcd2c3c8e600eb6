/* SPDX-License-Identifier: Apache-2.0
 *
 * Json: one flat object of a test case, read exactly. jansson keeps integers in
 * 64 bits with a sign; sizes of trees go to 2^64 - 1, so a number stays the
 * text that it is until somebody asks. All memory is in the object; strings
 * may be escaped. One thread.
 */
#ifndef ESTREAT_MERKLE_TOOLS_JSON_H
#define ESTREAT_MERKLE_TOOLS_JSON_H

#include "base/slice.h"

#define JSON_FIELDS_MAX 32U
#ifndef JSON_ITEMS_MAX /* a program with longer arrays, or longer texts, has it compiled so */
#define JSON_ITEMS_MAX 1024U
#define JSON_FILE_BYTES_MAX (256UL * 1024UL)
#endif

enum json_kind {
    JSON_ABSENT,
    JSON_NULL,
    JSON_BOOL,
    JSON_NUMBER, /* text: as it stands */
    JSON_STRING, /* text: without quotes and escapes */
    JSON_ARRAY,  /* of strings, null being an empty one: items [first, first + count) */
};

struct json_value {
    enum json_kind kind;
    bool truth;
    struct slice text;
    unsigned first;
    unsigned count;
};

struct json_object {
    unsigned field_count;
    struct slice names[JSON_FIELDS_MAX];
    struct json_value values[JSON_FIELDS_MAX];
    unsigned item_count;
    struct slice items[JSON_ITEMS_MAX];
    size_t text_length;
    uint8_t text[JSON_FILE_BYTES_MAX]; /* unescaped strings */
};

/* Reads `bytes`, which the object points into afterwards. Returns NULL, or what is wrong: it is
 * not JSON, not one object, has a field twice, or holds more than strings, numbers, booleans,
 * null and arrays of strings. */
const char *json_read(struct slice bytes, struct json_object *out);

/* JSON_ABSENT if there is no such field. */
struct json_value json_get(const struct json_object *object, const char *name);

#endif
