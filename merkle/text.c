/* SPDX-License-Identifier: Apache-2.0 */
#include "merkle/text.h"

#include <inttypes.h>
#include <stdio.h>

bool text_line(struct text_reader *reader, struct slice *line)
{
    return text_split(reader->rest, '\n', line, &reader->rest);
}

bool text_split(struct slice line, char separator, struct slice *before, struct slice *after)
{
    const uint8_t *at =
        line.length == 0 ? NULL : memchr(line.data, (unsigned char)separator, line.length);
    if (at == NULL) {
        return false;
    }
    size_t length = (size_t)(at - line.data);
    *before = slice_of(line.data, length);
    *after = slice_from(line, length + 1);
    return true;
}

bool text_skip(struct slice *text, const char *prefix)
{
    struct slice head = slice_of_string(prefix);
    if (!slice_starts_with(*text, head)) {
        return false;
    }
    *text = slice_from(*text, head.length);
    return true;
}

bool text_number(struct slice text, uint64_t *out)
{
    uint64_t number = 0;
    if (text.length == 0 || (text.data[0] == '0' && text.length > 1)) {
        return false;
    }
    for (size_t i = 0; i < text.length; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
        unsigned digit = (unsigned)(text.data[i] - '0');
        if (number > (UINT64_MAX - digit) / 10) {
            return false;
        }
        number = number * 10 + digit;
    }
    *out = number;
    return true;
}

void text_put(struct buf *out, const char *text)
{
    buf_append(out, text, strlen(text));
}

void text_put_number(struct buf *out, uint64_t number)
{
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%" PRIu64, number);
    buf_append(out, digits, (size_t)length);
}
