/* SPDX-License-Identifier: Apache-2.0
 *
 * Measures the rpc layer alone, over loopback, server and client in one process:
 *
 *   rpc_bench [SECONDS]
 *
 * serial: one call at a time, from a thread that blocks; small: 64 calls outstanding
 * on one connection, 300-byte payloads; append: 4 requests of 256 events outstanding;
 * stream: batches of 64 KiB to one consumer; oneway: messages of 100 KB.
 */
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "rpc/channel.h"
#include "rpc/server.h"
#include "schema/log.pb-c.h"
#include "schema/raft.pb-c.h"

enum { GET_METHOD = 1, READ_METHOD = 3, APPEND_METHOD = 0, PAYLOAD = 300, EVENTS = 256 };

static uint8_t payload[100000];
static _Atomic uint64_t oneway_received;

static void on_append(void *context, struct rpc_server_call *call, const ProtobufCMessage *message)
{
    (void)context;
    const Estreat__V1__AppendRequest *request = (const Estreat__V1__AppendRequest *)message;
    Estreat__V1__AppendResponse response = ESTREAT__V1__APPEND_RESPONSE__INIT;
    response.size = request->n_events;
    rpc_call_reply(call, &response.base);
}

static void on_get(void *context, struct rpc_server_call *call, const ProtobufCMessage *message)
{
    (void)context;
    (void)message;
    Estreat__V1__GetResponse response = ESTREAT__V1__GET_RESPONSE__INIT;
    rpc_call_reply(call, &response.base);
}

struct read_job {
    struct rpc_server_call *call;
    uint64_t left;
};

static void read_on(void *context)
{
    struct read_job *job = context;
    Estreat__V1__Event event = ESTREAT__V1__EVENT__INIT;
    event.payload.data = payload;
    event.payload.len = 64 * 1024UL;
    Estreat__V1__Event *events[1] = {&event};
    Estreat__V1__EventBatch batch = ESTREAT__V1__EVENT_BATCH__INIT;
    batch.events = events;
    batch.n_events = 1;
    while (job->left > 0 && !rpc_call_cancelled(job->call)) {
        job->left--;
        if (!rpc_call_send(job->call, &batch.base)) {
            rpc_call_on_writable(job->call, read_on, job);
            return;
        }
    }
    rpc_call_finish(job->call);
    free(job);
}

static void on_read(void *context, struct rpc_server_call *call, const ProtobufCMessage *message)
{
    (void)context;
    struct read_job *job = malloc(sizeof *job);
    CHECK(job != NULL);
    *job =
        (struct read_job){.call = call, .left = ((const Estreat__V1__ReadRequest *)message)->limit};
    read_on(job);
}

static void on_step(void *context, struct rpc_server_call *call, const ProtobufCMessage *message)
{
    (void)context;
    (void)message;
    atomic_fetch_add(&oneway_received, 1);
    rpc_call_finish(call);
}

static uint64_t now(void)
{
    return clock_monotonic_ns(clock_system());
}

static double cpu_seconds(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

struct bench {
    struct rpc_channel *channel;
    struct rpc_server *server;
    double seconds;
    uint64_t until;
    struct histogram latency;
    const ProtobufCMessage *request;
    unsigned method;
    _Atomic uint64_t done;
    _Atomic unsigned running;
    double cpu;
    uint64_t begin;
    uint64_t writes;
};

static void begin(struct bench *bench)
{
    memset(&bench->latency, 0, sizeof bench->latency);
    atomic_store(&bench->done, 0);
    bench->cpu = cpu_seconds();
    bench->begin = now();
    bench->until = bench->begin + (uint64_t)(bench->seconds * 1e9);
    bench->writes =
        counter_get((struct counter *)(uintptr_t)&rpc_server_stats(bench->server)->writes);
}

static void report(struct bench *bench, const char *name, double bytes)
{
    double seconds = (double)(now() - bench->begin) * 1e-9;
    double done = (double)atomic_load(&bench->done);
    double cpu = cpu_seconds() - bench->cpu;
    uint64_t writes =
        counter_get((struct counter *)(uintptr_t)&rpc_server_stats(bench->server)->writes) -
        bench->writes;
    printf("%-7s %10.0f/s %8.1f MB/s  cpu %6.2f us each (%4.2f cores)  p50 %7.1f us  p99 %7.1f us"
           "  calls a server write %.1f\n",
           name, done / seconds, done * bytes / seconds * 1e-6, cpu * 1e6 / done, cpu / seconds,
           (double)histogram_quantile(&bench->latency, 0.5) * 1e-3,
           (double)histogram_quantile(&bench->latency, 0.99) * 1e-3,
           writes == 0 ? 0.0 : done / (double)writes);
}

static void serial(struct bench *bench)
{
    begin(bench);
    while (now() < bench->until) {
        uint64_t start = now();
        struct rpc_reply reply;
        struct error error = ERROR_INIT;
        enum status status =
            rpc_channel_call_wait(bench->channel, &estreat__v1__log__descriptor, bench->method,
                                  bench->request, NULL, &reply, &error);
        CHECK(status == STATUS_OK);
        rpc_reply_release(&reply);
        histogram_record(&bench->latency, now() - start);
        atomic_fetch_add(&bench->done, 1);
    }
}

struct slot {
    struct bench *bench;
    uint64_t start;
};

static void next_call(struct slot *slot);

static void call_done(void *context, const struct rpc_result *result)
{
    struct slot *slot = context;
    CHECK(result->status == STATUS_OK);
    uint64_t at = now();
    histogram_record(&slot->bench->latency, at - slot->start);
    atomic_fetch_add(&slot->bench->done, 1);
    if (at < slot->bench->until) {
        next_call(slot);
    } else {
        atomic_fetch_sub(&slot->bench->running, 1);
    }
}

static void next_call(struct slot *slot)
{
    slot->start = now();
    (void)rpc_channel_call(slot->bench->channel, &estreat__v1__log__descriptor, slot->bench->method,
                           slot->bench->request, NULL, call_done, slot);
}

static void outstanding(struct bench *bench, unsigned count)
{
    struct slot slots[256];
    begin(bench);
    atomic_store(&bench->running, count);
    for (unsigned i = 0; i < count; i++) {
        slots[i] = (struct slot){.bench = bench};
        next_call(&slots[i]);
    }
    while (atomic_load(&bench->running) > 0) {
        (void)usleep(1000);
    }
}

static void stream(struct bench *bench)
{
    begin(bench);
    Estreat__V1__ReadRequest request = ESTREAT__V1__READ_REQUEST__INIT;
    request.limit = (uint64_t)(bench->seconds * 10000);
    struct rpc_stream *opened = rpc_channel_stream(bench->channel, &estreat__v1__log__descriptor,
                                                   READ_METHOD, &request.base, NULL, NULL);
    CHECK(opened != NULL);
    const ProtobufCMessage *message = NULL;
    struct error error = ERROR_INIT;
    while (rpc_stream_next(opened, &message, &error) == STATUS_OK && message != NULL) {
        atomic_fetch_add(&bench->done, 1);
    }
    CHECK(error.status == STATUS_OK);
    rpc_stream_free(opened);
}

static void oneway(struct bench *bench)
{
    Estreat__V1__RaftEntry entry = ESTREAT__V1__RAFT_ENTRY__INIT;
    entry.data.data = payload;
    entry.data.len = sizeof payload;
    Estreat__V1__RaftEntry *entries[1] = {&entry};
    Estreat__V1__RaftMessage message = ESTREAT__V1__RAFT_MESSAGE__INIT;
    message.entries = entries;
    message.n_entries = 1;
    begin(bench);
    uint64_t before = atomic_load(&oneway_received);
    uint64_t sent = 0;
    while (now() < bench->until) {
        if (sent - (atomic_load(&oneway_received) - before) < 32 &&
            rpc_channel_send(bench->channel, &estreat__v1__raft__descriptor, 0, &message.base)) {
            sent++;
        } else {
            (void)usleep(20);
        }
    }
    while (atomic_load(&oneway_received) - before < sent) {
        (void)usleep(100);
    }
    atomic_store(&bench->done, sent);
}

int main(int argc, char **argv)
{
    static struct bench bench;
    struct error error = ERROR_INIT;
    struct rpc_loop *server_loop = NULL;
    struct rpc_loop *client_loop = NULL;
    CHECK(rpc_loop_open(&(struct rpc_loop_options){.name = "server"}, &server_loop, &error) == 0);
    CHECK(rpc_loop_open(&(struct rpc_loop_options){.name = "client"}, &client_loop, &error) == 0);
    struct rpc_server_options server_options = {.url = "tcp://127.0.0.1:0",
                                                .frame_bytes_max = 4UL << 20};
    CHECK(rpc_server_open(server_loop, &server_options, &bench.server, &error) == 0);
    const rpc_handler_fn log_handlers[] = {on_append, on_get, NULL, on_read, NULL};
    const rpc_handler_fn raft_handlers[] = {on_step};
    CHECK(rpc_server_register(bench.server, &estreat__v1__log__descriptor, log_handlers, NULL,
                              &error) == 0);
    CHECK(rpc_server_register(bench.server, &estreat__v1__raft__descriptor, raft_handlers, NULL,
                              &error) == 0);
    rpc_server_start(bench.server);
    char url[64];
    (void)snprintf(url, sizeof url, "tcp://127.0.0.1:%u", rpc_server_port(bench.server));
    CHECK(rpc_channel_open(client_loop, &(struct rpc_channel_options){.url = url}, &bench.channel,
                           &error) == 0);
    bench.seconds = argc > 1 ? strtod(argv[1], NULL) : 2.0;

    Estreat__V1__GetRequest get = ESTREAT__V1__GET_REQUEST__INIT;
    get.key.data = payload;
    get.key.len = PAYLOAD;
    static Estreat__V1__NewEvent events[EVENTS];
    static Estreat__V1__NewEvent *pointers[EVENTS];
    for (unsigned i = 0; i < EVENTS; i++) {
        events[i] = (Estreat__V1__NewEvent)ESTREAT__V1__NEW_EVENT__INIT;
        events[i].key.data = payload;
        events[i].key.len = 16;
        events[i].payload.data = payload;
        events[i].payload.len = PAYLOAD;
        pointers[i] = &events[i];
    }
    Estreat__V1__AppendRequest append = ESTREAT__V1__APPEND_REQUEST__INIT;
    append.events = pointers;
    append.n_events = EVENTS;

    bench.request = &get.base;
    bench.method = GET_METHOD;
    serial(&bench);
    report(&bench, "serial", PAYLOAD);
    outstanding(&bench, 64);
    report(&bench, "small", PAYLOAD);
    bench.request = &append.base;
    bench.method = APPEND_METHOD;
    outstanding(&bench, 4);
    report(&bench, "append", EVENTS * (PAYLOAD + 24.0));
    stream(&bench);
    report(&bench, "stream", 65536.0);
    oneway(&bench);
    report(&bench, "oneway", sizeof payload);

    rpc_channel_close(bench.channel);
    rpc_server_close(bench.server, 1000);
    rpc_loop_close(client_loop);
    rpc_loop_close(server_loop);
    return 0;
}
