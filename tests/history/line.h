/* SPDX-License-Identifier: Apache-2.0
 *
 * Line: one JSON line of a history, checked and added to it.
 */
#ifndef ESTREAT_HISTORY_LINE_H
#define ESTREAT_HISTORY_LINE_H

#include "history.h"

struct line_reader;

/* Returns owned: line_reader_free(). */
struct line_reader *line_reader_new(void);
void line_reader_free(struct line_reader *reader);

/* Adds the line to `history`. Returns NULL, or what is wrong with it (static); the history is then
 * of no further use. */
const char *line_read(struct line_reader *reader, struct slice line, size_t number,
                      struct history *history);

#endif
