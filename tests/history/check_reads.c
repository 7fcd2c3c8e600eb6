/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads of the whole log are compared with model->log, reads of keys with its events
 * by key and then position. Each comparison costs what the read has seen.
 */
#include "check_reads.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/check.h"

/* --- read-future ----------------------------------------------------------------------------- */

static bool no_future(const struct model *model)
{
    const struct history *history = model->history;
    for (size_t i = 0; i < history->seen_count; i++) {
        const struct history_seen *seen = &history->seen[i];
        const struct history_read *read = &history->reads[seen->read];
        const struct event *event = &model->events[seen->id.number];
        if (event->invoke_ns > read->return_ns) {
            return model_break(model, "read-future", read->line, event->line,
                               "id %s was invoked after the read had returned",
                               model_name(model, seen->id.number));
        }
    }
    return true;
}

/* --- read-prefix ----------------------------------------------------------------------------- */

/* The events of a log, or of one key, by position. */
struct order {
    const uint32_t *events;
    size_t count;
};

/* The first one at or behind `position`. */
static size_t find(const struct model *model, struct order order, uint64_t position)
{
    size_t low = 0;
    size_t high = order.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (model->events[order.events[middle]].position < position) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* What a read saw ascends, within its bounds. */
static bool ascends(const struct model *model, const struct history_read *read)
{
    const struct history_seen *seen = model->history->seen + read->first;
    for (size_t i = 0; i < read->count; i++) {
        uint64_t position = seen[i].position;
        if (position < read->begin || position >= read->end) {
            return model_break(model, "read-prefix", read->line, read->line,
                               "position %" PRIu64 " is outside of [%" PRIu64 ", %" PRIu64 ")",
                               position, read->begin, read->end);
        }
        if (i > 0 && position <= seen[i - 1].position) {
            return model_break(model, "read-prefix", read->line, read->line,
                               "position %" PRIu64 " comes behind position %" PRIu64, position,
                               seen[i - 1].position);
        }
    }
    return true;
}

/* The order contains whatever a read saw, so the two differ first where the read leaves something
 * out. */
static bool leaves_nothing_out(const struct model *model, const struct history_read *read,
                               struct order order)
{
    const struct history_seen *seen = model->history->seen + read->first;
    size_t at = find(model, order, read->begin);
    for (size_t i = 0; i <= read->count; i++, at++) {
        uint64_t next = i < read->count ? seen[i].position : read->end;
        CHECK(i == read->count || at < order.count);
        if (at < order.count && model->events[order.events[at]].position < next) {
            const struct event *event = &model->events[order.events[at]];
            return model_break(model, "read-prefix", read->line, event->place_line,
                               "id %s at position %" PRIu64 " is left out",
                               model_name(model, order.events[at]), event->position);
        }
    }
    return true;
}

static int by_key_and_position(const void *a, const void *b, void *context)
{
    const struct model *model = context;
    const uint32_t *left = a;
    const uint32_t *right = b;
    const struct event *x = &model->events[*left];
    const struct event *y = &model->events[*right];
    if (x->key != y->key) {
        return x->key < y->key ? -1 : 1;
    }
    return (x->position > y->position) - (x->position < y->position);
}

/* first[k] is where key k begins in `events`; first[key_count] is the end. */
static void group_by_key(const struct model *model, uint32_t *events, size_t *first)
{
    size_t count = model->log_count;
    memcpy(events, model->log, count * sizeof *events);
    qsort_r(events, count, sizeof *events, by_key_and_position, (void *)model);
    uint32_t key = 0;
    for (size_t i = 0; i < count; i++) {
        for (; key <= model->events[events[i]].key; key++) {
            first[key] = i;
        }
    }
    for (; key <= model->history->key_count; key++) {
        first[key] = count;
    }
}

static bool exact_prefixes(const struct model *model)
{
    const struct history *history = model->history;
    uint32_t *by_key = calloc(model->log_count + 1, sizeof *by_key);
    size_t *first = calloc((size_t)history->key_count + 1, sizeof *first);
    CHECK(by_key != NULL && first != NULL);
    group_by_key(model, by_key, first);
    bool holds = true;
    for (size_t i = 0; i < history->read_count && holds; i++) {
        const struct history_read *read = &history->reads[i];
        struct order order = {.events = model->log, .count = model->log_count};
        if (read->of_key) {
            size_t begin = first[read->key.number];
            order = (struct order){.events = by_key + begin,
                                   .count = first[read->key.number + 1] - begin};
        }
        holds = ascends(model, read) && leaves_nothing_out(model, read, order);
    }
    free(by_key);
    free(first);
    return holds;
}

/* --- read-recent ----------------------------------------------------------------------------- */

/* Something that happens at a time: an event becomes visible, or a read is invoked. */
struct moment {
    uint32_t group; /* the key, or 0 for the whole log */
    uint64_t time_ns;
    const struct history_read *read; /* NULL: the event */
    const struct event *event;
};

/* At one time a read goes first: what becomes visible then is concurrent. */
static int by_group_and_time(const void *a, const void *b)
{
    const struct moment *x = a;
    const struct moment *y = b;
    if (x->group != y->group) {
        return x->group < y->group ? -1 : 1;
    }
    if (x->time_ns != y->time_ns) {
        return x->time_ns < y->time_ns ? -1 : 1;
    }
    return (x->read == NULL) - (y->read == NULL);
}

static bool sweep(const struct model *model, const struct moment *moments, size_t count)
{
    const struct event *last = NULL;
    for (size_t i = 0; i < count; i++) {
        const struct moment *moment = &moments[i];
        if (i > 0 && moment->group != moments[i - 1].group) {
            last = NULL;
        }
        if (moment->read == NULL) {
            if (last == NULL || moment->event->position > last->position) {
                last = moment->event;
            }
        } else if (last != NULL && last->position >= moment->read->end) {
            return model_break(model, "read-recent", moment->read->line, last->visible_line,
                               "id %s at position %" PRIu64
                               " was there before the read was invoked",
                               model_name(model, (uint32_t)(last - model->events)), last->position);
        }
    }
    return true;
}

/* Of reads of keys, or of those of the whole log. */
static bool recent(const struct model *model, bool of_key)
{
    const struct history *history = model->history;
    struct moment *moments = calloc(model->log_count + history->read_count + 1, sizeof *moments);
    CHECK(moments != NULL);
    size_t count = 0;
    for (size_t i = 0; i < model->log_count; i++) {
        const struct event *event = &model->events[model->log[i]];
        moments[count++] = (struct moment){
            .group = of_key ? event->key : 0, .time_ns = event->visible_ns, .event = event};
    }
    for (size_t i = 0; i < history->read_count; i++) {
        const struct history_read *read = &history->reads[i];
        if (read->of_key == of_key && !read->partial) {
            moments[count++] = (struct moment){
                .group = of_key ? read->key.number : 0, .time_ns = read->invoke_ns, .read = read};
        }
    }
    qsort(moments, count, sizeof *moments, by_group_and_time);
    bool holds = sweep(model, moments, count);
    free(moments);
    return holds;
}

bool check_reads(const struct model *model)
{
    return no_future(model) && exact_prefixes(model) && recent(model, false) && recent(model, true);
}
