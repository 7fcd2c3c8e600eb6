/* SPDX-License-Identifier: Apache-2.0
 *
 * World: simulated time. Everything that happens is an event at a moment; the earliest
 * runs next, those of one moment in the order of their posting. One thread, one
 * seed: the same seed gives the same events, which the trace hash shows.
 */
#ifndef ESTREAT_TESTS_SIM_WORLD_H
#define ESTREAT_TESTS_SIM_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/rng.h"

struct sim_event {
    uint64_t at_ns;
    uint64_t order;
    void (*run)(void *context, uint64_t argument);
    void *context;
    uint64_t argument;
    bool owned; /* the context is freed if it does not come to it */
};

struct world {
    uint64_t seed;
    struct rng_seeded rng;
    uint64_t now_ns;
    uint64_t order;
    uint64_t events_run;
    uint64_t trace; /* a hash of all that happened */
    bool tracing;   /* print it, too */
    struct sim_event *heap;
    size_t count;
    size_t capacity;
    const char *broken; /* the first invariant that did not hold; NULL: none */
    char broken_text[256];
};

void world_init(struct world *world, uint64_t seed, bool tracing);
void world_release(struct world *world);

/* After `delay_ns`, run(context, argument). */
void world_post(struct world *world, uint64_t delay_ns,
                void (*run)(void *context, uint64_t argument), void *context, uint64_t argument);

/* The same, and takes the context, which is malloc's: `run` frees it. */
void world_post_owned(struct world *world, uint64_t delay_ns,
                      void (*run)(void *context, uint64_t argument), void *context);

/* Runs the next event. False if there is none, or an invariant is broken. */
bool world_step(struct world *world);

/* The same, unless it is after `end_ns`: then that moment comes. */
bool world_step_before(struct world *world, uint64_t end_ns);

/* Uniform in [0, below) and true in so many of a thousand cases, by the seed. */
uint64_t world_draw(struct world *world, uint64_t below);
bool world_chance(struct world *world, unsigned of_thousand);

/* Something happened: into the trace, as "TIME WHAT a b" if it is printed. */
void world_note(struct world *world, const char *what, uint64_t a, uint64_t b);

/* Says that an invariant does not hold; the run ends. The first one counts. */
void world_break(struct world *world, const char *invariant, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
