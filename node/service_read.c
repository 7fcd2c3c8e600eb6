/* SPDX-License-Identifier: Apache-2.0
 *
 * The reading streams of the Log service: Read, History and Count. Each step of
 * a stream reads one page and sends it, so that no reader holds anything in the
 * engine while it waits for its caller, and long scans take turns.
 */
#include "base/check.h"
#include "node/event_log.h"
#include "node/event_page.h"
#include "node/request.h"
#include "node/service.h"

/* Rows looked at in one step; a filter may pass few of them. */
#define SCAN_ROWS 4096U
/* Rows that pass nothing before an empty message says how far the scan is. */
#define SILENT_ROWS_MAX 65536U

struct scan {
    struct request request; /* first */
    const Estreat__V1__Filter *filter;
    uint64_t position; /* the next to look at */
    uint64_t end;      /* of the range; UINT64_MAX: none */
    bool bounded;      /* begin and end are known */
    uint64_t left;     /* events that may still be sent */
    uint64_t count;    /* events that passed */
    uint64_t told;     /* next_position of the last message */
    struct event_page *page;
};

static void scan_release(struct request *request)
{
    event_page_free(((struct scan *)request)->page);
}

static enum status resolve(struct service *service, const Estreat__V1__Bound *bound, uint64_t size,
                           uint64_t fallback, uint64_t *out, struct error *err)
{
    *out = fallback;
    if (bound == NULL) {
        return STATUS_OK;
    }
    if (bound->at_case == ESTREAT__V1__BOUND__AT_POSITION) {
        *out = bound->position;
    } else if (bound->at_case == ESTREAT__V1__BOUND__AT_TIME_NS) {
        return event_log_position_at(service->engine, size, bound->time_ns, out, err);
    }
    return STATUS_OK;
}

static bool passes(const Estreat__V1__Filter *filter, const struct event_record *record)
{
    if (filter == NULL) {
        return true;
    }
    struct slice key = slice_of(filter->key.data, filter->key.len);
    struct slice prefix = slice_of(filter->key_prefix.data, filter->key_prefix.len);
    return (key.length == 0 || slice_equal(record->key, key)) &&
           slice_starts_with(record->key, prefix) &&
           record->severity >= (unsigned)filter->severity_min;
}

static bool is_open(const Estreat__V1__Filter *filter)
{
    return filter == NULL || (filter->key.len == 0 && filter->key_prefix.len == 0 &&
                              filter->severity_min == ESTREAT__V1__SEVERITY__SEVERITY_NONE);
}

/* Looks at rows from scan->position on, up to `end`; events that pass go to the page if there is
 * one. Stops where the page is full, the limit reached, or enough was looked at. */
static enum status scan_rows(struct scan *scan, uint64_t end, struct error *err)
{
    uint8_t begin_key[POSITION_KEY_BYTES];
    uint8_t end_key[POSITION_KEY_BYTES];
    position_key(scan->position, begin_key);
    position_key(end, end_key);
    const struct engine_iter_options options = {.begin = slice_of(begin_key, sizeof begin_key),
                                                .end = slice_of(end_key, sizeof end_key)};
    struct engine_iter *iter = NULL;
    enum status status =
        engine_iter_new(scan->request.service->engine, NULL, KEYSPACE_EVENTS, &options, &iter, err);
    if (status != STATUS_OK) {
        return status;
    }
    unsigned rows = 0;
    for (engine_iter_seek_first(iter);
         engine_iter_valid(iter) && status == STATUS_OK && rows < SCAN_ROWS && scan->left > 0 &&
         (scan->page == NULL || !event_page_full(scan->page));
         engine_iter_next(iter), rows++) {
        struct event_record record;
        struct slice key = engine_iter_key(iter);
        if (key.length != POSITION_KEY_BYTES || get_be64(key.data) != scan->position) {
            status = error_set(err, STATUS_DATA_LOSS, "the event at position %lu is missing",
                               (unsigned long)scan->position);
            break;
        }
        status = event_record_decode(scan->position, engine_iter_value(iter), &record, err);
        if (status == STATUS_OK && passes(scan->filter, &record)) {
            if (scan->page != NULL) {
                status = event_page_add(scan->page, scan->position, engine_iter_value(iter), err);
            }
            scan->count++;
            scan->left--;
        }
        scan->position++;
    }
    if (status == STATUS_OK) {
        status = engine_iter_status(iter, err);
    }
    if (status == STATUS_OK && rows == 0) {
        status = error_set(err, STATUS_DATA_LOSS, "the event at position %lu is missing",
                           (unsigned long)scan->position);
    }
    engine_iter_close(iter);
    return status;
}

/* Sends the page; false if the call takes no more for now. */
static enum status send_page(struct request *request, struct event_page *page,
                             uint64_t next_position, bool *more, struct error *err)
{
    Estreat__V1__EventBatch batch = ESTREAT__V1__EVENT_BATCH__INIT;
    enum status status = event_page_events(page, &batch.events, err);
    if (status != STATUS_OK) {
        return status;
    }
    batch.n_events = page->count;
    batch.next_position = next_position;
    *more = rpc_call_send(request->call, &batch.base);
    event_page_clear(page);
    return STATUS_OK;
}

static enum job_result run_read(struct request *request)
{
    struct scan *scan = (struct scan *)request;
    const Estreat__V1__ReadRequest *message = (const Estreat__V1__ReadRequest *)request->message;
    struct service *service = request->service;
    struct error err = ERROR_INIT;
    if (rpc_call_cancelled(request->call)) {
        return request_finish(request);
    }
    uint64_t size = applied_get(service->applied).size;
    enum status status = STATUS_OK;
    if (!scan->bounded) {
        status = resolve(service, message->from, size, 0, &scan->position, &err);
        if (status == STATUS_OK) {
            status = resolve(service, message->to, size, UINT64_MAX, &scan->end, &err);
        }
        if (!message->follow && scan->end > size) {
            scan->end = size; /* a read ends, however fast the log grows */
        }
        scan->bounded = true;
        scan->told = scan->position;
    }
    if (status != STATUS_OK) {
        return request_fail(request, status, err.text);
    }
    if (scan->position >= scan->end || scan->left == 0) {
        return request_finish(request);
    }
    uint64_t end = scan->end < size ? scan->end : size;
    if (scan->position >= end) {
        if (!message->follow) {
            return request_finish(request);
        }
        return request_wait_size(request, scan->position + 1);
    }
    bool more = true;
    status = scan_rows(scan, end, &err);
    /* A filter that lets nothing pass must not look like a node that hangs. */
    if (status == STATUS_OK &&
        (scan->page->count > 0 || scan->position - scan->told >= SILENT_ROWS_MAX)) {
        scan->told = scan->position;
        status = send_page(request, scan->page, scan->position, &more, &err);
    }
    if (status != STATUS_OK) {
        return request_fail(request, status, err.text);
    }
    return more ? JOB_AGAIN : request_wait_writable(request);
}

void service_read(void *context, struct rpc_server_call *call, const ProtobufCMessage *message)
{
    const Estreat__V1__ReadRequest *read = (const Estreat__V1__ReadRequest *)message;
    struct error err = ERROR_INIT;
    struct scan *scan = request_new(context, call, message, sizeof *scan, run_read);
    if (scan == NULL) {
        return;
    }
    scan->request.release = scan_release;
    scan->filter = read->filter;
    scan->left = read->limit == 0 ? UINT64_MAX : read->limit;
    scan->page = event_page_new(scan->request.service->alloc, &err);
    if (scan->page == NULL) {
        (void)request_fail(&scan->request, err.status, err.text);
        return;
    }
    request_start(&scan->request, read->consistency);
}

static enum job_result run_count(struct request *request)
{
    struct scan *scan = (struct scan *)request;
    const Estreat__V1__CountRequest *message = (const Estreat__V1__CountRequest *)request->message;
    struct service *service = request->service;
    struct error err = ERROR_INIT;
    enum status status = STATUS_OK;
    if (rpc_call_cancelled(request->call)) {
        return request_fail(request, STATUS_CANCELLED, "cancelled");
    }
    if (!scan->bounded) {
        uint64_t size = applied_get(service->applied).size;
        status = resolve(service, message->from, size, 0, &scan->position, &err);
        if (status == STATUS_OK) {
            status = resolve(service, message->to, size, size, &scan->end, &err);
        }
        scan->end = scan->end < size ? scan->end : size;
        scan->bounded = true;
        if (is_open(scan->filter) && scan->position < scan->end) {
            scan->count = scan->end - scan->position;
            scan->position = scan->end;
        }
    }
    if (status == STATUS_OK && scan->position < scan->end) {
        status = scan_rows(scan, scan->end, &err);
        if (status == STATUS_OK) {
            return JOB_AGAIN;
        }
    }
    if (status != STATUS_OK) {
        return request_fail(request, status, err.text);
    }
    Estreat__V1__CountResponse response = ESTREAT__V1__COUNT_RESPONSE__INIT;
    response.count = scan->count;
    response.size = applied_get(service->applied).size;
    return request_reply(request, &response.base);
}

void service_count(void *context, struct rpc_server_call *call, const ProtobufCMessage *message)
{
    const Estreat__V1__CountRequest *count = (const Estreat__V1__CountRequest *)message;
    struct scan *scan = request_new(context, call, message, sizeof *scan, run_count);
    if (scan != NULL) {
        scan->filter = count->filter;
        scan->left = UINT64_MAX;
        request_start(&scan->request, count->consistency);
    }
}

/* --- history ------------------------------------------------------------------------------ */

struct history {
    struct request request; /* first */
    uint64_t version;       /* the next */
    uint64_t left;
    bool ended;
    struct event_page *page;
    struct buf value;
};

static void history_release(struct request *request)
{
    struct history *history = (struct history *)request;
    event_page_free(history->page);
    buf_release(&history->value);
}

static enum status history_page(struct history *history, uint64_t size, struct error *err)
{
    const Estreat__V1__HistoryRequest *message =
        (const Estreat__V1__HistoryRequest *)history->request.message;
    struct engine *engine = history->request.service->engine;
    struct slice key = slice_of(message->key.data, message->key.len);
    uint8_t begin[VERSION_KEY_BYTES_MAX];
    uint8_t end[VERSION_KEY_BYTES_MAX];
    size_t length = version_key(key, history->version, begin);
    (void)version_key(key, UINT64_MAX, end);
    const struct engine_iter_options options = {.begin = slice_of(begin, length),
                                                .end = slice_of(end, length)};
    struct engine_iter *iter = NULL;
    enum status status = engine_iter_new(engine, NULL, KEYSPACE_VERSIONS, &options, &iter, err);
    if (status != STATUS_OK) {
        return status;
    }
    engine_iter_seek_first(iter);
    while (status == STATUS_OK && history->left > 0 && !event_page_full(history->page)) {
        struct version_row row;
        struct event_record record;
        if (!engine_iter_valid(iter)) {
            history->ended = true;
            status = engine_iter_status(iter, err);
            break;
        }
        status = version_row_decode(engine_iter_value(iter), &row, err);
        if (status == STATUS_OK && row.position >= size) {
            history->ended = true;
            break;
        }
        if (status == STATUS_OK) {
            status = event_log_read(engine, size, row.position, &history->value, &record, err);
        }
        if (status == STATUS_OK) {
            status = event_page_add(history->page, row.position, buf_slice(&history->value), err);
        }
        if (status == STATUS_OK) {
            history->version = record.version + 1;
            history->left--;
        }
        engine_iter_next(iter);
    }
    engine_iter_close(iter);
    return status;
}

static enum job_result run_history(struct request *request)
{
    struct history *history = (struct history *)request;
    struct error err = ERROR_INIT;
    if (rpc_call_cancelled(request->call) || history->ended || history->left == 0) {
        return request_finish(request);
    }
    bool more = true;
    enum status status = history_page(history, applied_get(request->service->applied).size, &err);
    if (status == STATUS_OK && history->page->count > 0) {
        status = send_page(request, history->page, 0, &more, &err);
    }
    if (status != STATUS_OK) {
        return request_fail(request, status, err.text);
    }
    return more ? JOB_AGAIN : request_wait_writable(request);
}

void service_history(void *context, struct rpc_server_call *call, const ProtobufCMessage *message)
{
    const Estreat__V1__HistoryRequest *asked = (const Estreat__V1__HistoryRequest *)message;
    struct error err = ERROR_INIT;
    if (asked->key.len == 0 || asked->key.len > KEY_BYTES_MAX) {
        rpc_call_fail(call, STATUS_INVALID_ARGUMENT, "a key has 1 to 1024 bytes");
        return;
    }
    struct history *history = request_new(context, call, message, sizeof *history, run_history);
    if (history == NULL) {
        return;
    }
    history->request.release = history_release;
    buf_init(&history->value, history->request.service->alloc, CLIENT_FRAME_BYTES_MAX);
    history->version = asked->from_version;
    history->left = asked->limit == 0 ? UINT64_MAX : asked->limit;
    history->page = event_page_new(history->request.service->alloc, &err);
    if (history->page == NULL) {
        (void)request_fail(&history->request, err.status, err.text);
        return;
    }
    request_start(&history->request, asked->consistency);
}
