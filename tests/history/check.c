/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/check.h"
#include "check_reads.h"
#include "model.h"

static int by_invocation(const void *a, const void *b, void *context)
{
    const struct event *const *left = a;
    const struct event *const *right = b;
    (void)context;
    return ((*left)->invoke_ns > (*right)->invoke_ns) - ((*left)->invoke_ns < (*right)->invoke_ns);
}

static int by_visibility(const void *a, const void *b, void *context)
{
    const struct event *const *left = a;
    const struct event *const *right = b;
    (void)context;
    return ((*left)->visible_ns > (*right)->visible_ns) -
           ((*left)->visible_ns < (*right)->visible_ns);
}

/* What was visible before an append was invoked has the smaller position: a sweep over time, which
 * keeps the largest position that was visible so far. */
static bool real_time_order(const struct model *model)
{
    size_t count = model->log_count;
    const struct event **invoked = calloc(2 * count + 1, sizeof *invoked);
    CHECK(invoked != NULL);
    const struct event **visible = invoked + count;
    for (size_t i = 0; i < count; i++) {
        invoked[i] = &model->events[model->log[i]];
        visible[i] = invoked[i];
    }
    qsort_r(invoked, count, sizeof *invoked, by_invocation, NULL);
    qsort_r(visible, count, sizeof *visible, by_visibility, NULL);
    const struct event *largest = NULL;
    bool holds = true;
    for (size_t i = 0, v = 0; i < count && holds; i++) {
        for (; v < count && visible[v]->visible_ns < invoked[i]->invoke_ns; v++) {
            if (largest == NULL || visible[v]->position > largest->position) {
                largest = visible[v];
            }
        }
        if (largest != NULL && largest->position > invoked[i]->position) {
            holds = model_break(
                model, "real-time-order", invoked[i]->line, largest->visible_line,
                "id %s at position %" PRIu64 " was invoked when id %s was there,"
                " at position %" PRIu64,
                model_name(model, (uint32_t)(invoked[i] - model->events)), invoked[i]->position,
                model_name(model, (uint32_t)(largest - model->events)), largest->position);
        }
    }
    free(invoked);
    return holds;
}

static void sum_up(const struct model *model, struct summary *summary)
{
    *summary = (struct summary){.events = model->event_count};
    for (uint32_t i = 0; i < model->event_count; i++) {
        const struct event *event = &model->events[i];
        summary->acknowledged += event->result == HISTORY_OK;
        summary->refused += event->result == HISTORY_FAIL;
        summary->unknown += event->result == HISTORY_UNKNOWN;
        summary->unknown_seen += event->result == HISTORY_UNKNOWN && event->placed;
    }
}

bool history_check(const struct history *history, struct violation *violation,
                   struct summary *summary)
{
    struct model model;
    *violation = (struct violation){.rule = NULL};
    bool holds =
        model_init(&model, history, violation) && real_time_order(&model) && check_reads(&model);
    if (holds) {
        sum_up(&model, summary);
    }
    model_release(&model);
    return holds;
}
