/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/json.h"

#include "base/buf.h"
#include "base/check.h"
#include "merkle/base64.h"
#include "merkle/utf8.h"

void json_init(struct json *json, FILE *out)
{
    *json = (struct json){.out = out};
}

void json_end_line(struct json *json)
{
    CHECK(json->depth == 0);
    (void)fputc('\n', json->out);
    json->begun[0] = false;
}

static void put_quoted(struct json *json, struct slice text)
{
    FILE *out = json->out;
    (void)fputc('"', out);
    while (text.length > 0) {
        /* The longest stretch that stands for itself. */
        size_t plain = 0;
        while (plain < text.length && text.data[plain] >= 0x20 && text.data[plain] < 0x7f &&
               text.data[plain] != '"' && text.data[plain] != '\\') {
            plain++;
        }
        (void)fwrite(text.data, 1, plain, out);
        text = slice_from(text, plain);
        if (text.length == 0) {
            break;
        }
        uint32_t code_point;
        size_t length = utf8_next(text, &code_point);
        if (length == 0) {
            (void)fputs("\\ufffd", out);
            length = 1;
        } else if (code_point == '"' || code_point == '\\') {
            (void)fprintf(out, "\\%c", (int)code_point);
        } else if (code_point == '\n') {
            (void)fputs("\\n", out);
        } else if (code_point == '\t') {
            (void)fputs("\\t", out);
        } else if (code_point == '\r') {
            (void)fputs("\\r", out);
        } else if (code_point < 0x20 || code_point == 0x7f) {
            (void)fprintf(out, "\\u%04x", code_point);
        } else {
            (void)fwrite(text.data, 1, length, out);
        }
        text = slice_from(text, length);
    }
    (void)fputc('"', out);
}

static void put_name(struct json *json, const char *name)
{
    CHECK(json->depth < JSON_DEPTH_MAX);
    if (json->begun[json->depth]) {
        (void)fputc(',', json->out);
    }
    json->begun[json->depth] = true;
    if (name != NULL) {
        put_quoted(json, slice_of_string(name));
        (void)fputc(':', json->out);
    }
}

static void open_level(struct json *json, const char *name, char bracket)
{
    put_name(json, name);
    (void)fputc(bracket, json->out);
    json->depth++;
    CHECK(json->depth < JSON_DEPTH_MAX);
    json->begun[json->depth] = false;
}

static void close_level(struct json *json, char bracket)
{
    CHECK(json->depth > 0);
    json->depth--;
    (void)fputc(bracket, json->out);
}

void json_open_object(struct json *json, const char *name)
{
    open_level(json, name, '{');
}

void json_close_object(struct json *json)
{
    close_level(json, '}');
}

void json_open_array(struct json *json, const char *name)
{
    open_level(json, name, '[');
}

void json_close_array(struct json *json)
{
    close_level(json, ']');
}

void json_null(struct json *json, const char *name)
{
    put_name(json, name);
    (void)fputs("null", json->out);
}

void json_number(struct json *json, const char *name, uint64_t value)
{
    put_name(json, name);
    (void)fprintf(json->out, "%lu", (unsigned long)value);
}

void json_fraction(struct json *json, const char *name, double value, int decimals)
{
    put_name(json, name);
    (void)fprintf(json->out, "%.*f", decimals, value);
}

void json_text(struct json *json, const char *name, const char *text)
{
    put_name(json, name);
    put_quoted(json, slice_of_string(text));
}

void json_base64(struct json *json, const char *name, struct estreat_bytes bytes)
{
    struct buf text;
    buf_init(&text, alloc_default(), base64_length(bytes.length) + 1);
    base64_append(&text, slice_of(bytes.data, bytes.length));
    CHECK(!buf_failed(&text));
    put_name(json, name);
    (void)fputc('"', json->out);
    if (text.length > 0) { /* without bytes nothing was allocated */
        (void)fwrite(text.data, 1, text.length, json->out);
    }
    (void)fputc('"', json->out);
    buf_release(&text);
}

void json_bytes(struct json *json, const char *name, struct estreat_bytes bytes)
{
    struct slice slice = slice_of(bytes.data, bytes.length);
    if (utf8_valid(slice)) {
        put_name(json, name);
        put_quoted(json, slice);
        return;
    }
    char encoded_name[64];
    (void)snprintf(encoded_name, sizeof encoded_name, "%s_base64", name);
    json_base64(json, encoded_name, bytes);
}

void json_time(struct json *json, const char *name, uint64_t time_ns)
{
    put_name(json, name);
    (void)fprintf(json->out, "\"%lu\"", (unsigned long)time_ns);
}
