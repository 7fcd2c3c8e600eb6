/* SPDX-License-Identifier: Apache-2.0
 *
 * Event_page: stored events on their way into one message of a stream. The page
 * owns the bytes, so that the iterator that gave them may move on.
 */
#ifndef ESTREAT_NODE_EVENT_PAGE_H
#define ESTREAT_NODE_EVENT_PAGE_H

#include "node/event_record.h"
#include "schema/log.pb-c.h"

#define EVENT_PAGE_EVENTS 256U
#define EVENT_PAGE_BYTES (64 * KIB) /* a page that has reached this is full */

struct event_page {
    struct buf bytes; /* stored events, and their types again with a NUL */
    unsigned count;
    uint64_t positions[EVENT_PAGE_EVENTS];
    size_t begins[EVENT_PAGE_EVENTS]; /* offsets of the stored events in `bytes` */
    size_t ends[EVENT_PAGE_EVENTS];
    size_t types[EVENT_PAGE_EVENTS];
    Estreat__V1__Event events[EVENT_PAGE_EVENTS];
    Estreat__V1__Event *pointers[EVENT_PAGE_EVENTS];
};

/* Returns owned, or NULL. */
struct event_page *event_page_new(struct alloc *alloc, struct error *err);
void event_page_free(struct event_page *page);

void event_page_clear(struct event_page *page);
bool event_page_full(const struct event_page *page);

/* Copies a stored event. CORRUPT if it is malformed. The page must not be full. */
enum status event_page_add(struct event_page *page, uint64_t position, struct slice stored,
                           struct error *err) MUST_USE;

/* The page's events, valid until it changes. */
enum status event_page_events(struct event_page *page, Estreat__V1__Event ***events,
                              struct error *err) MUST_USE;

#endif
