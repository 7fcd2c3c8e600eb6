/* SPDX-License-Identifier: Apache-2.0 */
#include "node/event_page.h"

#include "base/check.h"

struct event_page *event_page_new(struct alloc *alloc, struct error *err)
{
    struct event_page *page = alloc_new(alloc, sizeof *page);
    if (page == NULL) {
        (void)error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a page of events");
        return NULL;
    }
    buf_init(&page->bytes, alloc, EVENT_PAGE_BYTES + 2 * CLIENT_FRAME_BYTES_MAX);
    page->count = 0;
    return page;
}

void event_page_free(struct event_page *page)
{
    if (page != NULL) {
        struct alloc *alloc = page->bytes.alloc;
        buf_release(&page->bytes);
        alloc_free(alloc, page);
    }
}

void event_page_clear(struct event_page *page)
{
    buf_clear(&page->bytes);
    page->count = 0;
}

bool event_page_full(const struct event_page *page)
{
    return page->count == EVENT_PAGE_EVENTS || page->bytes.length >= EVENT_PAGE_BYTES;
}

enum status event_page_add(struct event_page *page, uint64_t position, struct slice stored,
                           struct error *err)
{
    CHECK(!event_page_full(page));
    struct event_record record;
    enum status status = event_record_decode(position, stored, &record, err);
    if (status != STATUS_OK) {
        return status;
    }
    unsigned i = page->count;
    page->positions[i] = position;
    page->begins[i] = page->bytes.length;
    buf_append_slice(&page->bytes, stored);
    page->ends[i] = page->bytes.length;
    page->types[i] = page->bytes.length;
    buf_append_slice(&page->bytes, record.type);
    buf_put_u8(&page->bytes, 0);
    if (buf_failed(&page->bytes)) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a page of events");
    }
    page->count++;
    return STATUS_OK;
}

static ProtobufCBinaryData binary_of(struct slice slice)
{
    return (ProtobufCBinaryData){.len = slice.length, .data = (uint8_t *)(uintptr_t)slice.data};
}

enum status event_page_events(struct event_page *page, Estreat__V1__Event ***events,
                              struct error *err)
{
    for (unsigned i = 0; i < page->count; i++) {
        struct event_record record;
        enum status status = event_record_decode(
            page->positions[i],
            slice_of(page->bytes.data + page->begins[i], page->ends[i] - page->begins[i]), &record,
            err);
        if (status != STATUS_OK) {
            return status;
        }
        Estreat__V1__Event *event = &page->events[i];
        estreat__v1__event__init(event);
        event->position = record.position;
        event->time_ns = record.time_ns;
        event->key = binary_of(record.key);
        event->version = record.version;
        event->kind = (Estreat__V1__Kind)record.kind;
        event->severity = (Estreat__V1__Severity)record.severity;
        event->type = (char *)page->bytes.data + page->types[i];
        event->event_id = binary_of(record.event_id);
        event->payload = binary_of(record.payload);
        event->salt = binary_of(record.salt);
        page->pointers[i] = event;
    }
    *events = page->pointers;
    return STATUS_OK;
}
