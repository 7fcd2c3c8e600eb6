/* SPDX-License-Identifier: Apache-2.0
 *
 * The Log service: Append and Get; the rest is in service_read.c.
 */
#include "base/check.h"
#include "node/event_log.h"
#include "node/event_page.h"
#include "node/replier_rpc.h"
#include "node/request.h"
#include "node/service.h"

static void append(void *context, struct rpc_server_call *call, const ProtobufCMessage *message)
{
    struct service *service = context;
    const Estreat__V1__AppendRequest *request = (const Estreat__V1__AppendRequest *)message;
    struct error err = ERROR_INIT;
    struct proposal *proposal = NULL;
    enum status status = proposal_new(service->alloc, request, service->config->salt, service->rng,
                                      append_call_of(call), &proposal, &err);
    if (status != STATUS_OK) {
        rpc_call_fail(call, status, err.text);
        return;
    }
    *service->proposals_last = proposal;
    service->proposals_last = &proposal->next;
    rpc_loop_run_late(service->loop, &service->propose);
}

static void propose(struct rpc_late *late)
{
    struct service *service =
        (struct service *)(void *)((char *)late - offsetof(struct service, propose));
    struct proposal *first = service->proposals;
    service->proposals = NULL;
    service->proposals_last = &service->proposals;
    driver_propose(service->driver, first);
}

/* The log's size as of a bound: events at or before a position, or up to a time. */
static enum status size_as_of(struct service *service, const Estreat__V1__Bound *bound,
                              uint64_t size, uint64_t *out, struct error *err)
{
    *out = size;
    if (bound == NULL) {
        return STATUS_OK;
    }
    switch (bound->at_case) {
    case ESTREAT__V1__BOUND__AT_POSITION:
        if (bound->position < size) {
            *out = bound->position + 1;
        }
        return STATUS_OK;
    case ESTREAT__V1__BOUND__AT_TIME_NS:
        if (bound->time_ns == UINT64_MAX) {
            return STATUS_OK;
        }
        return event_log_position_at(service->engine, size, bound->time_ns + 1, out, err);
    default:
        return STATUS_OK;
    }
}

static enum job_result get_event(struct request *request, uint64_t position, struct buf *value)
{
    struct service *service = request->service;
    struct error err = ERROR_INIT;
    struct event_record record;
    enum status status =
        event_log_read(service->engine, position + 1, position, value, &record, &err);
    if (status != STATUS_OK) {
        return request_fail(request, status, err.text);
    }
    struct event_page *page = event_page_new(service->alloc, &err);
    Estreat__V1__Event **events = NULL;
    if (page == NULL) {
        return request_fail(request, err.status, err.text);
    }
    status = event_page_add(page, position, buf_slice(value), &err);
    if (status == STATUS_OK) {
        status = event_page_events(page, &events, &err);
    }
    enum job_result result;
    if (status == STATUS_OK) {
        Estreat__V1__GetResponse response = ESTREAT__V1__GET_RESPONSE__INIT;
        response.event = events[0];
        result = request_reply(request, &response.base);
    } else {
        result = request_fail(request, status, err.text);
    }
    event_page_free(page);
    return result;
}

static enum job_result run_get(struct request *request)
{
    struct service *service = request->service;
    const Estreat__V1__GetRequest *message = (const Estreat__V1__GetRequest *)request->message;
    struct error err = ERROR_INIT;
    uint64_t size = 0;
    uint64_t version = 0;
    struct version_row row;
    enum status status =
        size_as_of(service, message->as_of, applied_get(service->applied).size, &size, &err);
    if (status == STATUS_OK) {
        status =
            event_log_newest(service->engine, size, slice_of(message->key.data, message->key.len),
                             &version, &row, &err);
    }
    if (status != STATUS_OK) {
        return request_fail(request, status, err.text);
    }
    if (row.kind == EVENT_KIND_DELETE) {
        char text[96];
        (void)snprintf(text, sizeof text, "the key was deleted at position %lu",
                       (unsigned long)row.position);
        return request_fail(request, STATUS_NOT_FOUND, text);
    }
    struct buf value;
    buf_init(&value, service->alloc, CLIENT_FRAME_BYTES_MAX);
    enum job_result result = get_event(request, row.position, &value);
    buf_release(&value);
    return result;
}

static void get(void *context, struct rpc_server_call *call, const ProtobufCMessage *message)
{
    const Estreat__V1__GetRequest *get_request = (const Estreat__V1__GetRequest *)message;
    if (get_request->key.len == 0 || get_request->key.len > KEY_BYTES_MAX) {
        rpc_call_fail(call, STATUS_INVALID_ARGUMENT, "a key has 1 to 1024 bytes");
        return;
    }
    struct request *request = request_new(context, call, message, sizeof *request, run_get);
    if (request != NULL) {
        request_start(request, get_request->consistency);
    }
}

enum status service_log_register(struct service *service, struct rpc_server *server,
                                 struct error *err)
{
    service->propose.run = propose;
    service->proposals_last = &service->proposals;
    const rpc_handler_fn handlers[] = {append, get, service_history, service_read, service_count};
    CHECK(sizeof handlers / sizeof handlers[0] == estreat__v1__log__descriptor.n_methods);
    return rpc_server_register(server, &estreat__v1__log__descriptor, handlers, service, err);
}
