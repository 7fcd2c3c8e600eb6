/* SPDX-License-Identifier: Apache-2.0 */
#include "json.h"

#include "base/coding.h"
#include "merkle/utf8.h"

static void skip_space(struct cursor *in)
{
    while (in->at < in->end &&
           (*in->at == ' ' || *in->at == '\t' || *in->at == '\r' || *in->at == '\n')) {
        in->at++;
    }
}

/* True, and past it, if the next character is `wanted`. */
static bool take(struct cursor *in, char wanted)
{
    skip_space(in);
    if (in->at == in->end || *in->at != (uint8_t)wanted) {
        return false;
    }
    in->at++;
    return true;
}

static bool take_word(struct cursor *in, const char *word)
{
    if (!slice_starts_with(slice_of(in->at, cursor_left(in)), slice_of_string(word))) {
        return false;
    }
    in->at += strlen(word);
    return true;
}

static bool hex4(struct cursor *in, uint32_t *out)
{
    struct slice digits = cursor_bytes(in, 4);
    *out = 0;
    for (size_t i = 0; i < digits.length; i++) {
        uint8_t c = digits.data[i];
        uint8_t lower = c | 0x20;
        if (c >= '0' && c <= '9') {
            *out = *out << 4 | (uint32_t)(c - '0');
        } else if (lower >= 'a' && lower <= 'f') {
            *out = *out << 4 | (uint32_t)(lower - 'a' + 10);
        } else {
            return false;
        }
    }
    return !in->failed;
}

static void put_utf8(struct json_object *out, uint32_t c)
{
    uint8_t *to = out->text + out->text_length;
    if (c < 0x80) {
        to[0] = (uint8_t)c;
        out->text_length += 1;
    } else if (c < 0x800) {
        to[0] = (uint8_t)(0xc0 | c >> 6);
        to[1] = (uint8_t)(0x80 | (c & 0x3f));
        out->text_length += 2;
    } else if (c < 0x10000) {
        to[0] = (uint8_t)(0xe0 | c >> 12);
        to[1] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
        to[2] = (uint8_t)(0x80 | (c & 0x3f));
        out->text_length += 3;
    } else {
        to[0] = (uint8_t)(0xf0 | c >> 18);
        to[1] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
        to[2] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
        to[3] = (uint8_t)(0x80 | (c & 0x3f));
        out->text_length += 4;
    }
}

/* What follows a backslash. It is never shorter than what it stands for, so the unescaped text
 * of a file always fits. */
static bool read_escape(struct cursor *in, struct json_object *out)
{
    static const char names[] = "\"\\/bfnrt";
    static const char meant[] = "\"\\/\b\f\n\r\t";
    uint8_t c = cursor_u8(in);
    const char *at = c == '\0' ? NULL : strchr(names, c);
    if (at != NULL) {
        out->text[out->text_length++] = (uint8_t)meant[at - names];
        return true;
    }
    uint32_t high = 0;
    uint32_t low = 0;
    if (c != 'u' || !hex4(in, &high) || (high >= 0xdc00 && high < 0xe000)) {
        return false;
    }
    if (high >= 0xd800 && high < 0xdc00) {
        if (!take_word(in, "\\u") || !hex4(in, &low) || low < 0xdc00 || low >= 0xe000) {
            return false;
        }
        high = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
    }
    put_utf8(out, high);
    return true;
}

static bool read_string(struct cursor *in, struct json_object *out, struct slice *string)
{
    if (!take(in, '"')) {
        return false;
    }
    size_t begin = out->text_length;
    for (uint8_t c = cursor_u8(in); !in->failed; c = cursor_u8(in)) {
        if (c == '"') {
            *string = slice_of(out->text + begin, out->text_length - begin);
            return utf8_valid(*string);
        }
        if (c == '\\') {
            if (!read_escape(in, out)) {
                return false;
            }
        } else if (c < 0x20) {
            return false;
        } else {
            out->text[out->text_length++] = c;
        }
    }
    return false;
}

static bool is_digit(const struct cursor *in)
{
    return in->at < in->end && *in->at >= '0' && *in->at <= '9';
}

static void skip_digits(struct cursor *in)
{
    while (is_digit(in)) {
        in->at++;
    }
}

/* RFC 8259, section 6. */
static bool read_number(struct cursor *in, struct slice *number)
{
    const uint8_t *begin = in->at;
    (void)take_word(in, "-");
    if (!is_digit(in)) {
        return false;
    }
    if (!take_word(in, "0")) {
        skip_digits(in);
    }
    if (take_word(in, ".")) {
        if (!is_digit(in)) {
            return false;
        }
        skip_digits(in);
    }
    if (take_word(in, "e") || take_word(in, "E")) {
        if (!take_word(in, "+")) {
            (void)take_word(in, "-");
        }
        if (!is_digit(in)) {
            return false;
        }
        skip_digits(in);
    }
    *number = slice_of(begin, (size_t)(in->at - begin));
    return true;
}

static bool read_array(struct cursor *in, struct json_object *out, struct json_value *value)
{
    value->kind = JSON_ARRAY;
    value->first = out->item_count;
    if (!take(in, '[')) {
        return false;
    }
    if (take(in, ']')) {
        return true;
    }
    do {
        if (out->item_count == JSON_ITEMS_MAX) {
            return false;
        }
        skip_space(in);
        out->items[out->item_count] = slice_of(NULL, 0);
        if (!take_word(in, "null") && !read_string(in, out, &out->items[out->item_count])) {
            return false;
        }
        out->item_count++;
        value->count++;
    } while (take(in, ','));
    return take(in, ']');
}

static bool read_value(struct cursor *in, struct json_object *out, struct json_value *value)
{
    *value = (struct json_value){.kind = JSON_NULL};
    skip_space(in);
    if (in->at == in->end) {
        return false;
    }
    switch (*in->at) {
    case '"':
        value->kind = JSON_STRING;
        return read_string(in, out, &value->text);
    case '[':
        return read_array(in, out, value);
    case 'n':
        return take_word(in, "null");
    case 't':
        value->kind = JSON_BOOL;
        value->truth = true;
        return take_word(in, "true");
    case 'f':
        value->kind = JSON_BOOL;
        return take_word(in, "false");
    default:
        value->kind = JSON_NUMBER;
        return read_number(in, &value->text);
    }
}

static const char *read_field(struct cursor *in, struct json_object *out)
{
    struct slice name;
    if (out->field_count == JSON_FIELDS_MAX) {
        return "too many fields";
    }
    if (!read_string(in, out, &name) || !take(in, ':')) {
        return "not a JSON object";
    }
    for (unsigned i = 0; i < out->field_count; i++) {
        if (slice_equal(out->names[i], name)) {
            return "a field stands twice";
        }
    }
    if (!read_value(in, out, &out->values[out->field_count])) {
        return "a field's value cannot be read";
    }
    out->names[out->field_count++] = name;
    return NULL;
}

const char *json_read(struct slice bytes, struct json_object *out)
{
    if (bytes.length > JSON_FILE_BYTES_MAX) {
        return "too long";
    }
    struct cursor in = cursor_of(bytes);
    out->field_count = 0;
    out->item_count = 0;
    out->text_length = 0;
    if (!take(&in, '{')) {
        return "not a JSON object";
    }
    if (!take(&in, '}')) {
        do {
            const char *wrong = read_field(&in, out);
            if (wrong != NULL) {
                return wrong;
            }
        } while (take(&in, ','));
        if (!take(&in, '}')) {
            return "not a JSON object";
        }
    }
    skip_space(&in);
    return in.at == in.end ? NULL : "something follows the object";
}

struct json_value json_get(const struct json_object *object, const char *name)
{
    for (unsigned i = 0; i < object->field_count; i++) {
        if (slice_equal(object->names[i], slice_of_string(name))) {
            return object->values[i];
        }
    }
    return (struct json_value){.kind = JSON_ABSENT};
}
