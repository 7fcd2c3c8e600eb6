/* SPDX-License-Identifier: Apache-2.0
 *
 * Rng: the randomness seam. The system's one is the kernel's and fit for keys;
 * the seeded one repeats itself from its seed and is for tests and simulation.
 */
#ifndef ESTREAT_BASE_RNG_H
#define ESTREAT_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

struct rng {
    void (*fill)(struct rng *rng, void *out, size_t length);
};

/* The kernel's random numbers; thread-safe. Borrowed for ever. */
struct rng *rng_system(void);

/* xoshiro256**; not thread-safe, not for secrets. */
struct rng_seeded {
    struct rng rng; /* pass &seeded.rng */
    uint64_t state[4];
};

void rng_seeded_init(struct rng_seeded *seeded, uint64_t seed);

static inline void rng_fill(struct rng *rng, void *out, size_t length)
{
    rng->fill(rng, out, length);
}

uint64_t rng_u64(struct rng *rng);

/* Uniform in [0, bound); `bound` > 0. */
uint64_t rng_below(struct rng *rng, uint64_t bound);

#endif
