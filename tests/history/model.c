/* SPDX-License-Identifier: Apache-2.0 */
#include "model.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

#include "base/check.h"

bool model_break(const struct model *model, const char *rule, size_t line, size_t other,
                 const char *format, ...)
{
    struct violation *violation = model->violation;
    va_list arguments;
    violation->rule = rule;
    violation->line = line;
    violation->other = other;
    va_start(arguments, format);
    (void)vsnprintf(violation->text, sizeof violation->text, format, arguments);
    va_end(arguments);
    return false;
}

const char *model_name(const struct model *model, uint32_t event)
{
    static char names[4][80];
    static unsigned next;
    char *name = names[next++ % 4];
    struct slice id = history_slice(model->history, model->events[event].id);
    int shown = id.length > 64 ? 64 : (int)id.length;
    (void)snprintf(name, sizeof names[0], "\"%.*s\"", shown, (const char *)id.data);
    for (char *at = name; *at != '\0'; at++) {
        if (*at > 0 && *at < ' ') {
            *at = '?'; /* one line stays one line */
        }
    }
    return name;
}

/* --- events of appends ----------------------------------------------------------------------- */

static void merge_append(struct event *event, const struct history_append *append)
{
    if (event->line == 0) {
        event->line = append->line;
        event->id = append->id;
        event->key = append->key.number;
        event->invoke_ns = append->invoke_ns;
        event->result = append->result;
        return;
    }
    if (append->invoke_ns < event->invoke_ns) {
        event->invoke_ns = append->invoke_ns;
    }
    if (append->result == HISTORY_OK || event->result == HISTORY_FAIL) {
        event->result = append->result;
    }
}

static void see(struct event *event, uint64_t return_ns, size_t line)
{
    if (return_ns < event->visible_ns) {
        event->visible_ns = return_ns;
        event->visible_line = line;
    }
}

/* --- places ---------------------------------------------------------------------------------- */

static bool place(struct model *model, uint32_t number, uint64_t position, size_t line)
{
    struct event *event = &model->events[number];
    if (!event->placed) {
        event->placed = true;
        event->position = position;
        event->place_line = line;
        return true;
    }
    return event->position == position ||
           model_break(model, "exactly-once", line, event->place_line,
                       "id %s is at position %" PRIu64 " and at position %" PRIu64,
                       model_name(model, number), event->position, position);
}

static bool place_acknowledged(struct model *model)
{
    for (size_t i = 0; i < model->history->append_count; i++) {
        const struct history_append *append = &model->history->appends[i];
        if (append->result == HISTORY_OK) {
            see(&model->events[append->id.number], append->return_ns, append->line);
            if (!place(model, append->id.number, append->position, append->line)) {
                return false;
            }
        }
    }
    return true;
}

static bool place_seen(struct model *model)
{
    for (size_t i = 0; i < model->history->seen_count; i++) {
        const struct history_seen *seen = &model->history->seen[i];
        const struct history_read *read = &model->history->reads[seen->read];
        struct event *event = &model->events[seen->id.number];
        if (event->line == 0) {
            event->id = seen->id;
            return model_break(model, "read-origin", read->line, read->line,
                               "id %s at position %" PRIu64 " was appended by nobody",
                               model_name(model, seen->id.number), seen->position);
        }
        if (read->of_key && read->key.number != event->key) {
            return model_break(model, "read-origin", read->line, event->line,
                               "id %s was appended under another key",
                               model_name(model, seen->id.number));
        }
        if (event->result == HISTORY_FAIL) {
            return model_break(model, "read-failed", read->line, event->line,
                               "id %s at position %" PRIu64 " was refused",
                               model_name(model, seen->id.number), seen->position);
        }
        see(event, read->return_ns, read->line);
        if (!place(model, seen->id.number, seen->position, read->line)) {
            return false;
        }
    }
    return true;
}

/* --- the log --------------------------------------------------------------------------------- */

static int by_position(const void *a, const void *b, void *context)
{
    const struct model *model = context;
    const uint32_t *left = a;
    const uint32_t *right = b;
    const struct event *x = &model->events[*left];
    const struct event *y = &model->events[*right];
    if (x->position != y->position) {
        return x->position < y->position ? -1 : 1;
    }
    return (x->place_line > y->place_line) - (x->place_line < y->place_line);
}

static bool order_log(struct model *model)
{
    for (uint32_t i = 0; i < model->event_count; i++) {
        if (model->events[i].placed) {
            model->log[model->log_count++] = i;
        }
    }
    qsort_r(model->log, model->log_count, sizeof *model->log, by_position, model);
    for (size_t i = 1; i < model->log_count; i++) {
        const struct event *before = &model->events[model->log[i - 1]];
        const struct event *event = &model->events[model->log[i]];
        if (before->position == event->position) {
            bool both = before->result == HISTORY_OK && event->result == HISTORY_OK;
            return model_break(model, both ? "unique-position" : "read-prefix", event->place_line,
                               before->place_line, "position %" PRIu64 " has ids %s and %s",
                               event->position, model_name(model, model->log[i - 1]),
                               model_name(model, model->log[i]));
        }
    }
    return true;
}

bool model_init(struct model *model, const struct history *history, struct violation *violation)
{
    *model = (struct model){
        .history = history, .event_count = history->id_count, .violation = violation};
    model->events = calloc((size_t)history->id_count + 1, sizeof *model->events);
    model->log = calloc((size_t)history->id_count + 1, sizeof *model->log);
    CHECK(model->events != NULL && model->log != NULL);
    for (uint32_t i = 0; i < model->event_count; i++) {
        model->events[i].visible_ns = UINT64_MAX;
    }
    for (size_t i = 0; i < history->append_count; i++) {
        merge_append(&model->events[history->appends[i].id.number], &history->appends[i]);
    }
    return place_acknowledged(model) && place_seen(model) && order_log(model);
}

void model_release(struct model *model)
{
    free(model->events);
    free(model->log);
}
