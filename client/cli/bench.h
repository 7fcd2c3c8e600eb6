/* SPDX-License-Identifier: Apache-2.0
 *
 * Bench: appends as fast as the cluster acknowledges, from a fixed number of
 * requests under way, and measures.
 *
 * Each request in flight is a slot that sends its next request from the callback
 * of the last, on the thread of its connection: no thread of ours is in the way.
 * Payloads and keys are prepared; an event costs the bench two pointers.
 */
#ifndef ESTREAT_CLI_BENCH_H
#define ESTREAT_CLI_BENCH_H

#include "base/metrics.h"
#include "base/status.h"
#include "client/estreat.h"

#define BENCH_CONNECTIONS_MAX 64U

/* How a workload loads the cluster. */
struct bench_workload {
    const char *name;
    unsigned events_per_request;
    unsigned connections; /* each a client of its own */
    unsigned in_flight;   /* requests, over all connections */
};

/* NULL if there is no workload of that name: "batch", "single", "serial". */
const struct bench_workload *bench_workload_find(const char *name, size_t length);

struct bench_options {
    const char *endpoints;
    uint32_t timeout_ms; /* of a request; 0: the client's default */
    struct bench_workload workload;
    uint64_t events;      /* stop after so many; 0: no such end */
    uint64_t duration_ns; /* stop after so long; 0: no such end */
    size_t payload_bytes;
    unsigned keys; /* distinct ones */
    /* Told some times a second on the caller's thread; may be NULL. */
    void (*progress)(void *context, uint64_t events, double seconds);
    void *context;
};

struct bench_result {
    double seconds;
    uint64_t events; /* acknowledged */
    uint64_t errors; /* events of requests that failed */
    double events_per_s;
    uint64_t p50_ns; /* of requests */
    uint64_t p99_ns;
    uint64_t p999_ns;
    uint64_t fdatasync_p50_ns; /* the leader's; 0: not known */
    uint64_t rss_bytes_max;    /* of any node, at any time during the run */
    struct estreat_error first_error;
};

/* Fails if the cluster cannot be reached at the beginning; failures later are counted. */
enum status bench_run(const struct bench_options *options, struct bench_result *result,
                      struct error *err) MUST_USE;

#endif
