/* SPDX-License-Identifier: Apache-2.0
 *
 * Ingest: one file's lines into the log, in the file's order.
 *
 * One request of a file is under way at a time, so neither a retry nor a change of
 * leader can reorder its lines; while it is, the next lines are read. Requests are
 * large, which is what keeps this fast.
 */
#ifndef ESTREAT_CLI_INGEST_H
#define ESTREAT_CLI_INGEST_H

#include "base/status.h"
#include "client/estreat.h"

/* Batches begin so large, and grow while lines come faster than answers. */
#define INGEST_BATCH_DEFAULT 256U

struct ingest_options {
    const char *name;         /* of the file, for errors */
    int fd;                   /* borrowed */
    struct estreat_bytes key; /* of the events */
    size_t batch;             /* events a request; 0: adaptive */
    uint64_t repeat;          /* times to read the file; at least 1 */
    uint32_t timeout_ms;      /* a request's, without progress */
    /* Told after each answer: events and bytes of the file that it covers. May be NULL. */
    void (*progress)(void *context, size_t events, uint64_t bytes);
    void *context;
};

/* What was acknowledged, also after a failure. */
struct ingest_result {
    uint64_t events;
    uint64_t first; /* positions; valid if events > 0 */
    uint64_t last;
};

/* Reads and appends until the end. On failure `result` says how far it came; the outcome of the
 * request that failed may be unknown, which the error says. */
enum status ingest_run(struct estreat_client *client, const struct ingest_options *options,
                       struct ingest_result *result, struct error *err) MUST_USE;

#endif
