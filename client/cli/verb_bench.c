/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/limits.h"
#include "cli/bench.h"
#include "cli/cli.h"
#include "cli/format.h"
#include "cli/progress.h"

enum {
    WORKLOADS_MAX = 16,
    PAYLOAD_BYTES_DEFAULT = 300,
    KEYS_DEFAULT = 100000,
    DURATION_DEFAULT_MS = 10000,
    /* A request's events besides keys and payloads: tags and lengths. */
    EVENT_OVERHEAD_BYTES = 64,
};

struct plan {
    const struct bench_workload *workloads[WORKLOADS_MAX];
    size_t count;
    struct bench_options options;
    uint64_t connections; /* 0: the workload's own */
};

static bool take_workloads(struct cli *cli, struct plan *plan)
{
    const char *at = args_value(&cli->args, "workload");
    at = at == NULL ? "batch,single,serial" : at;
    while (*at != '\0') {
        size_t length = strcspn(at, ",");
        const struct bench_workload *workload = bench_workload_find(at, length);
        if (workload == NULL || plan->count == WORKLOADS_MAX) {
            (void)cli_fail(cli, EXIT_USAGE, "--workload: '%.*s' is none of batch, single, serial",
                           (int)(length < 100 ? length : 100), at);
            return false;
        }
        plan->workloads[plan->count++] = workload;
        at += length + (at[length] == ',' ? 1 : 0);
    }
    if (plan->count == 0) {
        (void)cli_fail(cli, EXIT_USAGE, "--workload: name batch, single or serial");
        return false;
    }
    return true;
}

static bool take_options(struct cli *cli, struct plan *plan)
{
    struct error err = ERROR_INIT;
    const char *duration = args_value(&cli->args, "duration");
    uint32_t duration_ms = 0;
    uint64_t payload_bytes;
    uint64_t keys;
    if (!take_workloads(cli, plan) ||
        !cli_number(cli, "events", 0, 1, UINT64_MAX / 2, &plan->options.events) ||
        !cli_number(cli, "payload", PAYLOAD_BYTES_DEFAULT, 0, PAYLOAD_BYTES_MAX, &payload_bytes) ||
        !cli_number(cli, "keys", KEYS_DEFAULT, 1, 100000000, &keys) ||
        !cli_number(cli, "connections", 0, 1, BENCH_CONNECTIONS_MAX, &plan->connections)) {
        return false;
    }
    if (duration != NULL &&
        parse_seconds("--duration", duration, &duration_ms, &err) != STATUS_OK) {
        (void)cli_fail(cli, EXIT_USAGE, "%s", err.text);
        return false;
    }
    if (duration == NULL && plan->options.events == 0) {
        duration_ms = DURATION_DEFAULT_MS;
    }
    plan->options.endpoints = cli->endpoints;
    plan->options.timeout_ms = cli->timeout_ms;
    plan->options.duration_ns = duration_ms * NS_PER_MS;
    plan->options.payload_bytes = (size_t)payload_bytes;
    plan->options.keys = (unsigned)keys;
    return true;
}

/* The workload as the options change it: other connections, and batches that fit a request. */
static struct bench_workload shape(const struct plan *plan, const struct bench_workload *workload)
{
    struct bench_workload shaped = *workload;
    size_t event_bytes = plan->options.payload_bytes + EVENT_OVERHEAD_BYTES;
    size_t fit = ESTREAT_REQUEST_BYTES_MAX / event_bytes;
    if (plan->connections != 0 && workload->in_flight > 1) {
        unsigned in_flight_each = workload->in_flight / workload->connections;
        shaped.connections = (unsigned)plan->connections;
        /* batch: as many on each connection; single: as many altogether. */
        if (workload->events_per_request > 1) {
            shaped.in_flight = in_flight_each * shaped.connections;
        } else if (shaped.in_flight < shaped.connections) {
            shaped.in_flight = shaped.connections;
        }
    }
    if (shaped.events_per_request > fit) {
        shaped.events_per_request = fit == 0 ? 1 : (unsigned)fit;
    }
    return shaped;
}

static double ms_of(uint64_t ns)
{
    return (double)ns / 1e6;
}

static void print_heading(struct cli *cli)
{
    if (cli->output != OUTPUT_JSON) {
        (void)fprintf(cli->out, "%-8s %10s %9s %9s %9s %11s %7s %13s %8s\n", "NAME", "EVENTS/S",
                      "P50 MS", "P99 MS", "P99.9 MS", "EVENTS", "ERRORS", "FDATASYNC MS",
                      "MIB MAX");
    }
}

static void print_result(struct cli *cli, const char *name, const struct bench_result *result)
{
    struct json json;
    if (cli->output != OUTPUT_JSON) {
        (void)fprintf(cli->out, "%-8s %10.0f %9.3f %9.3f %9.3f %11lu %7lu %13.3f %8.1f\n", name,
                      result->events_per_s, ms_of(result->p50_ns), ms_of(result->p99_ns),
                      ms_of(result->p999_ns), (unsigned long)result->events,
                      (unsigned long)result->errors, ms_of(result->fdatasync_p50_ns),
                      (double)result->rss_bytes_max / (double)MIB);
        (void)fflush(cli->out);
        return;
    }
    json_init(&json, cli->out);
    json_open_object(&json, NULL);
    json_text(&json, "name", name);
    json_fraction(&json, "events_per_s", result->events_per_s, 1);
    json_fraction(&json, "p50_ms", ms_of(result->p50_ns), 3);
    json_fraction(&json, "p99_ms", ms_of(result->p99_ns), 3);
    json_fraction(&json, "p999_ms", ms_of(result->p999_ns), 3);
    json_number(&json, "events", result->events);
    json_number(&json, "errors", result->errors);
    json_fraction(&json, "fdatasync_p50_ms", ms_of(result->fdatasync_p50_ns), 3);
    json_number(&json, "rss_max_bytes", result->rss_bytes_max);
    json_close_object(&json);
    json_end_line(&json);
    (void)fflush(cli->out);
}

struct telling {
    struct progress progress;
    const char *name;
    const struct bench_options *options;
};

static void on_progress(void *context, uint64_t events, double seconds)
{
    struct telling *telling = context;
    uint64_t duration_ms = telling->options->duration_ns / NS_PER_MS;
    const struct progress_state state = {
        .what = telling->name,
        .done = duration_ms != 0 ? (uint64_t)(seconds * 1000) : events,
        .total = duration_ms != 0 ? duration_ms : telling->options->events,
        .events = events,
    };
    progress_show(&telling->progress, &state);
}

static enum exit_code run_workload(struct cli *cli, const struct plan *plan, size_t index)
{
    struct error err = ERROR_INIT;
    struct bench_result result;
    struct bench_options options = plan->options;
    struct telling telling = {.name = plan->workloads[index]->name, .options = &options};
    options.workload = shape(plan, plan->workloads[index]);
    options.progress = on_progress;
    options.context = &telling;
    progress_init(&telling.progress, cli->err);
    enum status status = bench_run(&options, &result, &err);
    progress_release(&telling.progress);
    if (status != STATUS_OK) {
        return cli_fail(cli, exit_code_of((enum estreat_code)status), "%s: %s", telling.name,
                        err.text);
    }
    print_result(cli, telling.name, &result);
    if (result.errors > 0) {
        return cli_fail(cli, exit_code_of(result.first_error.code),
                        "%s: %lu events were not acknowledged: %s", telling.name,
                        (unsigned long)result.errors, result.first_error.text);
    }
    return EXIT_DONE;
}

static enum exit_code run_bench(struct cli *cli)
{
    struct plan plan = {.count = 0};
    enum exit_code code = EXIT_DONE;
    if (!take_options(cli, &plan)) {
        return EXIT_USAGE;
    }
    print_heading(cli);
    for (size_t i = 0; i < plan.count; i++) {
        enum exit_code of_workload = run_workload(cli, &plan, i);
        code = code == EXIT_DONE ? of_workload : code;
    }
    return code;
}

static const struct option_spec options[] = {
    {"workload", 0, "NAME,...", "of batch, single, serial (all three)"},
    {"events", 0, "N", "stop each workload after N events"},
    {"duration", 0, "SECONDS", "stop each workload after so long (10, unless --events)"},
    {"payload", 0, "BYTES", "of each event, half of them incompressible (300)"},
    {"keys", 0, "N", "distinct keys (100000)"},
    {"connections", 0, "C", "of batch (4) and single (1)"},
    {NULL, 0, NULL, NULL},
};

const struct verb verb_bench = {
    .name = "bench",
    .synopsis = "[OPTION...]",
    .help = "measure appends: events/s acknowledged and latencies of requests",
    .details = "batch: 256 events a request, 4 requests under way on each connection.\n"
               "single: 1 event a request, 64 requests under way. serial: one at a time.\n"
               "What it appends stays in the log.",
    .options = options,
    .run = run_bench,
};
