/* SPDX-License-Identifier: Apache-2.0
 *
 * Audit.Deep: seals and flushes, so that what was appended last lies on disk too,
 * then streams the progress of a deep audit.
 */
#include "node/deep_audit.h"
#include "node/request.h"
#include "node/service.h"
#include "schema/audit.pb-c.h"

/* A message about this often, or when there is damage to tell. */
#define PROGRESS_EVENTS 65536U

struct deep {
    struct request request; /* first */
    struct flush_request flush;
    struct deep_audit audit;
    bool auditing; /* `audit` is initialised */
    uint64_t told; /* events at the last message */
};

static void deep_release(struct request *request)
{
    struct deep *deep = (struct deep *)request;
    if (deep->auditing) {
        deep_audit_release(&deep->audit);
    }
}

static bool send_progress(struct deep *deep, bool done)
{
    struct deep_audit *audit = &deep->audit;
    Estreat__V1__DeepProgress message = ESTREAT__V1__DEEP_PROGRESS__INIT;
    Estreat__V1__PositionRange ranges[DEEP_DAMAGED_MAX];
    Estreat__V1__PositionRange *pointers[DEEP_DAMAGED_MAX];
    struct hash root;
    char node_id[NODE_ID_BYTES_MAX + 1];
    for (unsigned i = 0; i < audit->damaged_count; i++) {
        estreat__v1__position_range__init(&ranges[i]);
        ranges[i].begin = audit->damaged[i].begin;
        ranges[i].end = audit->damaged[i].end;
        pointers[i] = &ranges[i];
    }
    if (audit->damaged_count > 0) {
        fault_note(deep->request.service->fault, audit->cause);
    }
    message.events = audit->position;
    message.bytes_read = audit->bytes_read;
    message.n_damaged = audit->damaged_count;
    message.damaged = pointers;
    message.cause = audit->cause;
    message.done = done;
    if (done) {
        memcpy(node_id, deep->request.service->config->node_id, sizeof node_id);
        message.node_id = node_id;
        message.size = audit->size;
        if (deep_audit_root(audit, &root)) {
            message.root = (ProtobufCBinaryData){.len = HASH_BYTES, .data = root.bytes};
        }
    }
    deep->told = audit->position;
    return rpc_call_send(deep->request.call, &message.base);
}

/* Events are done. What no position is behind is read through, too: versions, newest rows,
 * sessions, filters, indexes. */
static enum job_result finish_audit(struct deep *deep)
{
    struct error err = ERROR_INIT;
    if (deep->audit.damaged_count > 0) {
        (void)send_progress(deep, false);
    }
    enum status status = engine_verify(deep->request.service->engine, &err);
    if (status != STATUS_OK) {
        return request_fail(&deep->request, status == STATUS_CORRUPT ? STATUS_DATA_LOSS : status,
                            err.text);
    }
    (void)send_progress(deep, true);
    return request_finish(&deep->request);
}

static enum job_result run_audit(struct request *request)
{
    struct deep *deep = (struct deep *)request;
    if (rpc_call_cancelled(request->call)) {
        return request_finish(request);
    }
    struct error err = ERROR_INIT;
    bool more = false;
    enum status status = deep_audit_step(&deep->audit, &more, &err);
    if (status != STATUS_OK) {
        if (deep->audit.damaged_count > 0) {
            (void)send_progress(deep, false);
        }
        return request_fail(request, status, err.text);
    }
    if (!more) {
        return finish_audit(deep);
    }
    bool worth_telling =
        deep->audit.damaged_count > 0 || deep->audit.position - deep->told >= PROGRESS_EVENTS;
    if (worth_telling && !send_progress(deep, false)) {
        return request_wait_writable(request);
    }
    return JOB_AGAIN;
}

static void on_flushed(struct flush_request *flush, enum status status)
{
    struct deep *deep = (struct deep *)(void *)((char *)flush - offsetof(struct deep, flush));
    deep->request.status = status;
    (void)snprintf(deep->request.text, sizeof deep->request.text,
                   "the newest events could not be flushed, so not audited: %s",
                   status_name(status));
    job_submit(deep->request.service->readers, &deep->request.job);
}

static enum job_result run_flush(struct request *request)
{
    struct deep *deep = (struct deep *)request;
    const Estreat__V1__DeepRequest *message = (const Estreat__V1__DeepRequest *)request->message;
    struct service *service = request->service;
    struct error err = ERROR_INIT;
    uint64_t applied = tile_store_size(service->tiles);
    uint64_t size = message->size == 0 ? applied : message->size;
    if (size > applied) {
        return request_fail(request, STATUS_OUT_OF_RANGE,
                            "this node has not applied so many events");
    }
    enum status status = deep_audit_init(&deep->audit, service->engine, service->tiles, size, &err);
    if (status != STATUS_OK) {
        return request_fail(request, status, err.text);
    }
    deep->auditing = true;
    request->run = run_audit;
    deep->flush.done = on_flushed;
    applier_flush(service->applier, &deep->flush);
    return JOB_WAIT;
}

void service_deep(void *context, struct rpc_server_call *call, const ProtobufCMessage *message)
{
    Estreat__V1__ReadConsistency local = ESTREAT__V1__READ_CONSISTENCY__INIT;
    local.level = ESTREAT__V1__CONSISTENCY_LEVEL__LOCAL;
    struct deep *deep = request_new(context, call, message, sizeof *deep, run_flush);
    if (deep != NULL) {
        deep->request.release = deep_release;
        deep->request.audits = true;
        request_start(&deep->request, &local);
    }
}
