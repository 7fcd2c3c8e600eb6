/* SPDX-License-Identifier: Apache-2.0
 *
 * Text: taking lines and numbers out of untrusted text. A reader borrows the
 * text; a line comes without its newline, and text that does not end in one
 * has no last line. No allocation.
 */
#ifndef ESTREAT_MERKLE_TEXT_H
#define ESTREAT_MERKLE_TEXT_H

#include "base/buf.h"

struct text_reader {
    struct slice rest;
};

/* The next line; false at the end, or if what is left has no newline. */
bool text_line(struct text_reader *reader, struct slice *line);

/* The bytes of `line` before and after its first `separator`; false if it has none. */
bool text_split(struct slice line, char separator, struct slice *before, struct slice *after);

/* Takes `prefix` off the beginning of `text`; false, with it untouched, if it is not there. */
bool text_skip(struct slice *text, const char *prefix);

/* A decimal number as C2SP writes it: digits only, no leading zero but for 0 itself, below
 * 2^64. */
bool text_number(struct slice text, uint64_t *out);

void text_put(struct buf *out, const char *text);

void text_put_number(struct buf *out, uint64_t number);

#endif
