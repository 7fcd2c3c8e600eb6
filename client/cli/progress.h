/* SPDX-License-Identifier: Apache-2.0
 *
 * Progress: one line on a terminal that says how far long work is. Where the
 * stream is no terminal nothing is printed. Thread-safe.
 */
#ifndef ESTREAT_CLI_PROGRESS_H
#define ESTREAT_CLI_PROGRESS_H

#include <stdio.h>

#include "base/sync.h"

struct progress {
    struct mutex mutex;
    FILE *out;
    bool shown; /* there is a line to wipe */
    bool is_terminal;
    uint64_t begin_ns;
    uint64_t next_ns; /* not drawn before */
};

/* What is told. `total` 0: not known. */
struct progress_state {
    const char *what;
    uint64_t done;
    uint64_t total;
    uint64_t events;
};

void progress_init(struct progress *progress, FILE *out);

/* Draws the line, at most some ten times a second. */
void progress_show(struct progress *progress, const struct progress_state *state);

/* Wipes the line. It may be shown again. */
void progress_wipe(struct progress *progress);

/* Wipes the line and releases. */
void progress_release(struct progress *progress);

/* Writes the line for `state` after `seconds`; pure. */
void progress_format(const struct progress_state *state, double seconds, char *out, size_t size);

#endif
