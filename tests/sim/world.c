/* SPDX-License-Identifier: Apache-2.0 */
#include "world.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

void world_init(struct world *world, uint64_t seed, bool tracing)
{
    *world = (struct world){.seed = seed, .tracing = tracing, .trace = 0xcbf29ce484222325U};
    rng_seeded_init(&world->rng, seed);
}

void world_release(struct world *world)
{
    for (size_t i = 0; i < world->count; i++) {
        if (world->heap[i].owned) {
            free(world->heap[i].context);
        }
    }
    free(world->heap);
    world->heap = NULL;
}

static bool is_before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

static void post(struct world *world, struct sim_event event)
{
    if (world->count == world->capacity) {
        world->capacity = world->capacity == 0 ? 1024 : world->capacity * 2;
        world->heap = realloc(world->heap, world->capacity * sizeof *world->heap);
        CHECK(world->heap != NULL);
    }
    size_t at = world->count++;
    while (at > 0 && is_before(&event, &world->heap[(at - 1) / 2])) {
        world->heap[at] = world->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    world->heap[at] = event;
}

void world_post(struct world *world, uint64_t delay_ns,
                void (*run)(void *context, uint64_t argument), void *context, uint64_t argument)
{
    post(world, (struct sim_event){.at_ns = world->now_ns + delay_ns,
                                   .order = world->order++,
                                   .run = run,
                                   .context = context,
                                   .argument = argument});
}

void world_post_owned(struct world *world, uint64_t delay_ns,
                      void (*run)(void *context, uint64_t argument), void *context)
{
    post(world, (struct sim_event){.at_ns = world->now_ns + delay_ns,
                                   .order = world->order++,
                                   .run = run,
                                   .context = context,
                                   .owned = true});
}

static struct sim_event take_first(struct world *world)
{
    struct sim_event first = world->heap[0];
    struct sim_event last = world->heap[--world->count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= world->count) {
            break;
        }
        if (child + 1 < world->count && is_before(&world->heap[child + 1], &world->heap[child])) {
            child++;
        }
        if (!is_before(&world->heap[child], &last)) {
            break;
        }
        world->heap[at] = world->heap[child];
        at = child;
    }
    world->heap[at] = last;
    return first;
}

bool world_step(struct world *world)
{
    if (world->count == 0 || world->broken != NULL) {
        return false;
    }
    struct sim_event event = take_first(world);
    CHECK(event.at_ns >= world->now_ns);
    world->now_ns = event.at_ns;
    world->events_run++;
    event.run(event.context, event.argument);
    return world->broken == NULL;
}

bool world_step_before(struct world *world, uint64_t end_ns)
{
    if (world->broken == NULL && (world->count == 0 || world->heap[0].at_ns > end_ns)) {
        world->now_ns = end_ns > world->now_ns ? end_ns : world->now_ns;
        return false;
    }
    return world_step(world);
}

uint64_t world_draw(struct world *world, uint64_t below)
{
    return rng_below(&world->rng.rng, below);
}

bool world_chance(struct world *world, unsigned of_thousand)
{
    return world_draw(world, 1000) < of_thousand;
}

static void fold(struct world *world, uint64_t value)
{
    world->trace = (world->trace ^ value) * 0x100000001b3U;
    world->trace ^= world->trace >> 29;
}

void world_note(struct world *world, const char *what, uint64_t a, uint64_t b)
{
    fold(world, world->now_ns);
    for (const char *at = what; *at != '\0'; at++) {
        fold(world, (uint8_t)*at);
    }
    fold(world, a);
    fold(world, b);
    if (world->tracing) {
        printf("%12.6f %s %" PRIu64 " %" PRIu64 "\n", (double)world->now_ns / 1e9, what, a, b);
    }
}

void world_break(struct world *world, const char *invariant, const char *format, ...)
{
    if (world->broken != NULL) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(world->broken_text, sizeof world->broken_text, format, arguments);
    va_end(arguments);
    world->broken = invariant;
}
