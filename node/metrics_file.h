/* SPDX-License-Identifier: Apache-2.0
 *
 * Metrics_file: the node's metrics as a file in its data directory, DATA/metrics, for whoever looks
 * at the node from outside: now and then, and at its stop, so that they are there after it.
 *
 * A thread of its own writes it, from its start to its stop, and nobody else does; so a disk that
 * is slow holds up nothing but the stop. Whoever reads the file sees one text whole. It is not
 * synced, and no start reads it.
 *
 * Nothing fails because of it: what cannot be written is logged, once until it can be again.
 */
#ifndef ESTREAT_NODE_METRICS_FILE_H
#define ESTREAT_NODE_METRICS_FILE_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"

#define METRICS_FILE_PAUSE_NS (10 * NS_PER_S)

struct metrics_file;

struct metrics_file_options {
    struct alloc *alloc; /* borrowed, as all that follows */
    struct fs *fs;
    const char *dir;   /* the data directory */
    uint64_t pause_ns; /* before the first time, and between; 0: METRICS_FILE_PAUSE_NS */
    /* Appends the text. On the thread; not after metrics_file_stop(). */
    void (*write)(void *context, struct buf *out);
    void *context;
};

/* Returns owned; NULL, which is logged, if there is no memory or no thread for it. */
struct metrics_file *metrics_file_start(const struct metrics_file_options *options) MUST_USE;

/* Writes it a last time, waits for that, frees. NULL is allowed. */
void metrics_file_stop(struct metrics_file *file);

#endif
