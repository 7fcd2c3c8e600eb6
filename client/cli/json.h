/* SPDX-License-Identifier: Apache-2.0
 *
 * Json: writes one JSON value after the other to a stream, without building it in
 * memory. Members have names, elements of arrays have NULL. Errors of the stream
 * stay in it (ferror). One owner.
 */
#ifndef ESTREAT_CLI_JSON_H
#define ESTREAT_CLI_JSON_H

#include <stdio.h>

#include "client/estreat.h"

#define JSON_DEPTH_MAX 8U

struct json {
    FILE *out;
    unsigned depth;
    bool begun[JSON_DEPTH_MAX]; /* something was written at this depth */
};

void json_init(struct json *json, FILE *out);

/* After the outermost value: a newline. */
void json_end_line(struct json *json);

void json_open_object(struct json *json, const char *name);
void json_close_object(struct json *json);
void json_open_array(struct json *json, const char *name);
void json_close_array(struct json *json);

void json_null(struct json *json, const char *name);
void json_number(struct json *json, const char *name, uint64_t value);
/* With `decimals` digits behind the point. */
void json_fraction(struct json *json, const char *name, double value, int decimals);
/* Text that need not be UTF-8: what is not becomes U+FFFD. */
void json_text(struct json *json, const char *name, const char *text);
/* As `name` where the bytes are UTF-8, else as `name`_base64. */
void json_bytes(struct json *json, const char *name, struct estreat_bytes bytes);
void json_base64(struct json *json, const char *name, struct estreat_bytes bytes);
/* Nanoseconds since 1970 as a decimal string: they exceed 2^53. */
void json_time(struct json *json, const char *name, uint64_t time_ns);

#endif
