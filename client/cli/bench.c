/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/bench.h"

#include <stdatomic.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/sync.h"
#include "cli/bench_pool.h"

/* How often the nodes are asked for their memory. */
#define POLL_NS (250 * NS_PER_MS)

struct bench;

struct slot {
    struct bench *bench;
    struct estreat_client *client;
    struct estreat_new_event *events; /* owned; events_per_request of them */
    size_t count;                     /* of the request under way */
    uint64_t begin_ns;
    uint64_t random; /* xorshift64 */
};

struct bench {
    const struct bench_options *options;
    struct clock *clock;
    struct bench_pool pool;
    struct estreat_client *clients[BENCH_CONNECTIONS_MAX];
    struct estreat_client *observer; /* asks for the status; a connection of its own */
    struct slot *slots;              /* owned; options->workload.in_flight of them */
    struct histogram latency_ns;
    uint64_t begin_ns;
    uint64_t stop_ns;       /* no request begins after it */
    _Atomic uint64_t taken; /* events that requests have begun with */
    _Atomic uint64_t events;
    _Atomic uint64_t errors;
    _Atomic uint64_t end_ns; /* of the last answer */

    struct mutex mutex;
    struct condition idle;
    unsigned busy; /* slots */
    struct estreat_error first_error;
};

static const struct bench_workload workloads[] = {
    {.name = "batch", .events_per_request = 256, .connections = 4, .in_flight = 16},
    {.name = "single", .events_per_request = 1, .connections = 1, .in_flight = 64},
    {.name = "serial", .events_per_request = 1, .connections = 1, .in_flight = 1},
};

const struct bench_workload *bench_workload_find(const char *name, size_t length)
{
    for (size_t i = 0; i < sizeof workloads / sizeof workloads[0]; i++) {
        if (strlen(workloads[i].name) == length && memcmp(workloads[i].name, name, length) == 0) {
            return &workloads[i];
        }
    }
    return NULL;
}

/* --- slots -------------------------------------------------------------------------------- */

static uint64_t next_random(struct slot *slot)
{
    uint64_t x = slot->random;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    slot->random = x;
    return x;
}

/* How many events the next request has; 0 at the end. */
static size_t take_events(struct bench *bench)
{
    uint64_t wanted = bench->options->workload.events_per_request;
    if (clock_monotonic_ns(bench->clock) >= bench->stop_ns) {
        return 0;
    }
    uint64_t taken = atomic_fetch_add(&bench->taken, wanted);
    if (bench->options->events == 0 || taken + wanted <= bench->options->events) {
        return (size_t)wanted;
    }
    return taken < bench->options->events ? (size_t)(bench->options->events - taken) : 0;
}

static void slot_idle(struct slot *slot)
{
    struct bench *bench = slot->bench;
    mutex_lock(&bench->mutex);
    CHECK(bench->busy > 0);
    bench->busy--;
    condition_signal(&bench->idle);
    mutex_unlock(&bench->mutex);
}

static void count_failure(struct slot *slot, const struct estreat_error *error)
{
    struct bench *bench = slot->bench;
    atomic_fetch_add(&bench->errors, slot->count);
    mutex_lock(&bench->mutex);
    if (bench->first_error.code == ESTREAT_OK) {
        bench->first_error = *error;
    }
    mutex_unlock(&bench->mutex);
}

static void on_answer(void *context, const struct estreat_appended *appended,
                      const struct estreat_error *error);

static void slot_send(struct slot *slot)
{
    struct bench *bench = slot->bench;
    struct estreat_error error;
    slot->count = take_events(bench);
    for (size_t i = 0; i < slot->count; i++) {
        uint64_t random = next_random(slot);
        slot->events[i].key = bench_pool_key(&bench->pool, random);
        slot->events[i].payload = bench_pool_payload(&bench->pool, random);
    }
    if (slot->count == 0) {
        slot_idle(slot);
        return;
    }
    slot->begin_ns = clock_monotonic_ns(bench->clock);
    if (estreat_append_async(slot->client, slot->events, slot->count, NULL, on_answer, slot,
                             &error) != ESTREAT_OK) {
        /* Only a defect or want of memory comes here: going on would spin. */
        count_failure(slot, &error);
        slot_idle(slot);
    }
}

static void on_answer(void *context, const struct estreat_appended *appended,
                      const struct estreat_error *error)
{
    struct slot *slot = context;
    struct bench *bench = slot->bench;
    uint64_t now_ns = clock_monotonic_ns(bench->clock);
    if (appended != NULL) {
        histogram_record(&bench->latency_ns, now_ns - slot->begin_ns);
        atomic_fetch_add_explicit(&bench->events, slot->count, memory_order_relaxed);
        atomic_store_explicit(&bench->end_ns, now_ns, memory_order_relaxed);
    } else {
        count_failure(slot, error);
    }
    slot_send(slot);
}

/* --- the run ------------------------------------------------------------------------------ */

/* Asks the nodes once; what does not answer is left out. */
static void observe(struct bench *bench, struct bench_result *result)
{
    struct estreat_status *status;
    if (estreat_status(bench->observer, 1000, &status, NULL) != ESTREAT_OK) {
        return;
    }
    for (size_t i = 0; i < status->node_count; i++) {
        if (status->nodes[i].rss_bytes > result->rss_bytes_max) {
            result->rss_bytes_max = status->nodes[i].rss_bytes;
        }
    }
    if (status->fdatasync_p50_ns != 0) {
        result->fdatasync_p50_ns = status->fdatasync_p50_ns;
    }
    estreat_status_free(status);
}

/* Connections find the leader before the clock runs. */
static enum status open_clients(struct bench *bench, struct error *err)
{
    const struct bench_options *options = bench->options;
    const struct estreat_client_options client_options = {.timeout_ms = options->timeout_ms};
    struct estreat_error error;
    if (estreat_open(options->endpoints, &client_options, &bench->observer, &error) != ESTREAT_OK) {
        return error_set(err, (enum status)error.code, "%s", error.text);
    }
    for (unsigned i = 0; i < options->workload.connections; i++) {
        const struct estreat_new_event event = {.key = estreat_text("bench"),
                                                .payload = estreat_text("connected")};
        struct estreat_appended appended;
        if (estreat_open(options->endpoints, &client_options, &bench->clients[i], &error) !=
                ESTREAT_OK ||
            estreat_append(bench->clients[i], &event, 1, NULL, &appended, &error) != ESTREAT_OK) {
            return error_set(err, (enum status)error.code, "%s", error.text);
        }
    }
    return STATUS_OK;
}

static enum status make_slots(struct bench *bench, struct error *err)
{
    struct alloc *alloc = alloc_default();
    const struct bench_workload *workload = &bench->options->workload;
    bench->slots = alloc_zeroed(alloc, workload->in_flight, sizeof(struct slot));
    for (unsigned i = 0; i < workload->in_flight && bench->slots != NULL; i++) {
        struct slot *slot = &bench->slots[i];
        slot->bench = bench;
        slot->client = bench->clients[i % workload->connections];
        slot->random = 0x9e3779b97f4a7c15ULL * (i + 1);
        slot->events =
            alloc_zeroed(alloc, workload->events_per_request, sizeof(struct estreat_new_event));
        if (slot->events == NULL) {
            return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for requests");
        }
    }
    return bench->slots != NULL
               ? STATUS_OK
               : error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for requests");
}

/* Watches until all slots are idle. */
static void watch(struct bench *bench, struct bench_result *result)
{
    mutex_lock(&bench->mutex);
    while (bench->busy > 0) {
        (void)condition_wait_for(&bench->idle, &bench->mutex, POLL_NS);
        mutex_unlock(&bench->mutex);
        uint64_t now_ns = clock_monotonic_ns(bench->clock);
        if (bench->options->progress != NULL) {
            bench->options->progress(bench->options->context, atomic_load(&bench->events),
                                     (double)(now_ns - bench->begin_ns) / (double)NS_PER_S);
        }
        observe(bench, result);
        mutex_lock(&bench->mutex);
    }
    mutex_unlock(&bench->mutex);
    observe(bench, result);
}

static void measure(struct bench *bench, struct bench_result *result)
{
    const struct bench_options *options = bench->options;
    bench->begin_ns = clock_monotonic_ns(bench->clock);
    bench->stop_ns =
        options->duration_ns == 0 ? UINT64_MAX : bench->begin_ns + options->duration_ns;
    bench->busy = options->workload.in_flight;
    for (unsigned i = 0; i < options->workload.in_flight; i++) {
        slot_send(&bench->slots[i]);
    }
    watch(bench, result);
    uint64_t end_ns = atomic_load(&bench->end_ns);
    result->seconds =
        end_ns > bench->begin_ns ? (double)(end_ns - bench->begin_ns) / (double)NS_PER_S : 0;
    result->events = atomic_load(&bench->events);
    result->errors = atomic_load(&bench->errors);
    result->events_per_s = result->seconds > 0 ? (double)result->events / result->seconds : 0;
    result->p50_ns = histogram_quantile(&bench->latency_ns, 0.5);
    result->p99_ns = histogram_quantile(&bench->latency_ns, 0.99);
    result->p999_ns = histogram_quantile(&bench->latency_ns, 0.999);
    result->first_error = bench->first_error;
}

static void release(struct bench *bench)
{
    struct alloc *alloc = alloc_default();
    const struct bench_workload *workload = &bench->options->workload;
    /* Callbacks have left before what they point to goes. */
    for (unsigned i = 0; i < workload->connections; i++) {
        estreat_close(bench->clients[i]);
    }
    estreat_close(bench->observer);
    for (unsigned i = 0; i < workload->in_flight && bench->slots != NULL; i++) {
        alloc_free(alloc, bench->slots[i].events);
    }
    alloc_free(alloc, bench->slots);
    condition_release(&bench->idle);
    mutex_release(&bench->mutex);
    bench_pool_release(&bench->pool);
    alloc_free(alloc, bench);
}

enum status bench_run(const struct bench_options *options, struct bench_result *result,
                      struct error *err)
{
    const struct bench_workload *workload = &options->workload;
    CHECK(workload->connections > 0 && workload->connections <= BENCH_CONNECTIONS_MAX);
    CHECK(workload->in_flight >= workload->connections);
    struct bench *bench = alloc_zeroed(alloc_default(), 1, sizeof *bench);
    if (bench == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a bench");
    }
    bench->options = options;
    bench->clock = clock_system();
    *result = (struct bench_result){.seconds = 0};
    enum status status = bench_pool_init(&bench->pool, options->payload_bytes, options->keys, err);
    if (status != STATUS_OK) {
        alloc_free(alloc_default(), bench);
        return status;
    }
    mutex_init(&bench->mutex);
    condition_init(&bench->idle);
    status = open_clients(bench, err);
    if (status == STATUS_OK) {
        status = make_slots(bench, err);
    }
    if (status == STATUS_OK) {
        measure(bench, result);
    }
    release(bench);
    return status;
}
