/* SPDX-License-Identifier: Apache-2.0
 *
 * UTF-8, as far as signed notes need it: is it valid, and is a code point a
 * space. No state; any thread.
 */
#ifndef ESTREAT_MERKLE_UTF8_H
#define ESTREAT_MERKLE_UTF8_H

#include "base/slice.h"

/* Reads one code point from the beginning of `text`. Returns its length in bytes, 0 if `text` is
 * empty or does not begin with a well-formed code point (Unicode 15, table 3-7). */
size_t utf8_next(struct slice text, uint32_t *code_point);

bool utf8_valid(struct slice text);

/* True for Unicode's White_Space property. */
bool utf8_is_space(uint32_t code_point);

#endif
