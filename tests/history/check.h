/* SPDX-License-Identifier: Apache-2.0
 *
 * Check: whether a log can have answered as a history says. The rules are those of
 * README.md, tried in this order; the first that is broken is reported.
 */
#ifndef ESTREAT_HISTORY_CHECK_H
#define ESTREAT_HISTORY_CHECK_H

#include "history.h"

struct violation {
    const char *rule; /* NULL: there is none */
    size_t line;      /* the two lines that contradict each other */
    size_t other;
    char text[ERROR_TEXT_BYTES];
};

/* Numbers for people. */
struct summary {
    size_t events; /* ids */
    size_t acknowledged;
    size_t refused;
    size_t unknown;
    size_t unknown_seen; /* of those: in the log all the same */
};

/* True if it can. Fills one of the two. */
bool history_check(const struct history *history, struct violation *violation,
                   struct summary *summary);

#endif
