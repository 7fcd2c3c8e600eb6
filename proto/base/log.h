/* SPDX-License-Identifier: Apache-2.0
 *
 * Log: one structured line per happening, logfmt on stderr:
 *
 *   2026-11-22T14:05:06.123456Z info node "became leader" term=4 index=120
 *
 * log_write("node", LOG_INFO, "became leader", "term=%lu index=%lu", ...).
 * Thread-safe: a line is one write(2). Text values that may hold spaces are
 * quoted by the caller with log_quote().
 */
#ifndef ESTREAT_BASE_LOG_H
#define ESTREAT_BASE_LOG_H

#include <stdbool.h>

#include "base/status.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_OFF };

/* Process-wide, set once by main(): less severe lines are dropped. Default LOG_INFO. */
void log_set_level(enum log_level level);

/* "debug", "info", "warn", "error", "off"; false for anything else. */
bool log_level_parse(const char *text, enum log_level *out);

/* `fields` is a printf format for space-separated key=value pairs, or NULL. */
void log_write(const char *module, enum log_level level, const char *message, const char *fields,
               ...) PRINTF_LIKE(4, 5);

/* Writes `text` to out[size], quoted and escaped so that it is one logfmt value. Returns out. */
const char *log_quote(char *out, size_t size, const char *text);

#endif
