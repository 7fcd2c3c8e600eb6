/* SPDX-License-Identifier: Apache-2.0 */
#include "node/request.h"

#include "base/check.h"
#include "base/limits.h"

#define FOLLOW_INTERVAL_NS NS_PER_S

static void request_free(struct request *request)
{
    struct service *service = request->service;
    if (request->release != NULL) {
        request->release(request);
    }
    alloc_free(service->alloc, request);
    atomic_fetch_sub(&service->requests, 1);
}

enum job_result request_fail(struct request *request, enum status status, const char *text)
{
    if (status == STATUS_DATA_LOSS) {
        fault_note(request->service->fault, text);
    }
    rpc_call_fail(request->call, status, text);
    request_free(request);
    return JOB_DONE;
}

enum job_result request_reply(struct request *request, const ProtobufCMessage *response)
{
    rpc_call_reply(request->call, response);
    request_free(request);
    return JOB_DONE;
}

enum job_result request_finish(struct request *request)
{
    rpc_call_finish(request->call);
    request_free(request);
    return JOB_DONE;
}

static enum job_result step(struct job *job)
{
    struct request *request = (struct request *)job;
    if (request->status != STATUS_OK) {
        return request_fail(request, request->status, request->text);
    }
    return request->run(request);
}

void *request_new(struct service *service, struct rpc_server_call *call,
                  const ProtobufCMessage *message, size_t bytes,
                  enum job_result (*run)(struct request *request))
{
    CHECK(bytes >= sizeof(struct request));
    struct request *request = alloc_zeroed(service->alloc, 1, bytes);
    if (request == NULL) {
        rpc_call_fail(call, STATUS_RESOURCE_EXHAUSTED, "no memory for the request");
        return NULL;
    }
    atomic_fetch_add(&service->requests, 1);
    job_init(&request->job, step);
    request->service = service;
    request->call = call;
    request->message = message;
    request->run = run;
    return request;
}

static void run_with(struct request *request, enum status status, const char *text)
{
    request->status = status;
    (void)snprintf(request->text, sizeof request->text, "%s", text);
    job_submit(request->service->readers, &request->job);
}

static void on_barrier(struct read_barrier *barrier, enum status status, const char *text)
{
    struct request *request =
        (struct request *)(void *)((char *)barrier - offsetof(struct request, barrier));
    run_with(request, status, text);
}

static void on_size(struct applied_wait *wait, enum status status)
{
    struct request *request =
        (struct request *)(void *)((char *)wait - offsetof(struct request, wait));
    run_with(request, status,
             status == STATUS_CANCELLED ? "the node is stopping"
                                        : "the log did not reach that size in time");
}

static uint64_t deadline_of(const struct request *request)
{
    uint64_t latest = clock_monotonic_ns(request->service->clock) + DEADLINE_DEFAULT_MS * NS_PER_MS;
    uint64_t asked = rpc_call_deadline_ns(request->call);
    return asked < latest ? asked : latest;
}

void request_start(struct request *request, const Estreat__V1__ReadConsistency *consistency)
{
    Estreat__V1__ConsistencyLevel level =
        consistency == NULL ? ESTREAT__V1__CONSISTENCY_LEVEL__LINEARIZABLE : consistency->level;
    struct service *service = request->service;
    char fault[FAULT_TEXT_BYTES];
    if (!request->audits && fault_get(service->fault, fault) && !driver_is_alone(service->driver)) {
        char text[sizeof request->text];
        (void)snprintf(text, sizeof text, "what this node stores is damaged: %.80s", fault);
        run_with(request, STATUS_DATA_LOSS, text);
        return;
    }
    switch (level) {
    case ESTREAT__V1__CONSISTENCY_LEVEL__LINEARIZABLE:
        request->barrier.deadline_ns = deadline_of(request);
        request->barrier.ready = on_barrier;
        driver_read(service->driver, &request->barrier);
        return;
    case ESTREAT__V1__CONSISTENCY_LEVEL__AT_LEAST:
        request->wait = (struct applied_wait){.kind = APPLIED_SIZE,
                                              .target = consistency->size,
                                              .deadline_ns = deadline_of(request),
                                              .ready = on_size};
        applied_wait(service->applied, &request->wait);
        return;
    case ESTREAT__V1__CONSISTENCY_LEVEL__LOCAL:
        run_with(request, STATUS_OK, "");
        return;
    default:
        run_with(request, STATUS_INVALID_ARGUMENT, "there is no such consistency level");
    }
}

static void resume(void *context)
{
    struct request *request = context;
    job_submit(request->service->readers, &request->job);
}

enum job_result request_wait_writable(struct request *request)
{
    rpc_call_on_writable(request->call, resume, request);
    return JOB_WAIT;
}

static void on_followed(struct applied_wait *wait, enum status status)
{
    struct request *request =
        (struct request *)(void *)((char *)wait - offsetof(struct request, wait));
    /* A second without news is no failure: the stream looks whether its caller is still there. */
    enum status outcome = status == STATUS_CANCELLED ? STATUS_UNAVAILABLE : STATUS_OK;
    run_with(request, outcome, "the node is stopping");
}

enum job_result request_wait_size(struct request *request, uint64_t size)
{
    request->wait = (struct applied_wait){
        .kind = APPLIED_SIZE,
        .target = size,
        .deadline_ns = clock_monotonic_ns(request->service->clock) + FOLLOW_INTERVAL_NS,
        .ready = on_followed};
    applied_wait(request->service->applied, &request->wait);
    return JOB_WAIT;
}
