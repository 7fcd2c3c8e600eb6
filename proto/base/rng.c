/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rng.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/check.h"
#include "base/coding.h"

static void system_fill(struct rng *rng, void *out, size_t length)
{
    (void)rng;
    uint8_t *at = out;
    while (length > 0) {
        ssize_t got = getrandom(at, length, 0);
        if (got < 0) {
            CHECK(errno == EINTR); /* a machine without random numbers cannot make keys */
            continue;
        }
        at += got;
        length -= (size_t)got;
    }
}

struct rng *rng_system(void)
{
    static struct rng system_rng = {.fill = system_fill};
    return &system_rng;
}

static uint64_t rotate_left(uint64_t value, unsigned bits)
{
    return (value << bits) | (value >> (64 - bits));
}

/* xoshiro256**: Blackman and Vigna, "Scrambled linear pseudorandom number generators". */
static uint64_t seeded_next(struct rng_seeded *seeded)
{
    uint64_t *s = seeded->state;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t shifted = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotate_left(s[3], 45);
    return result;
}

static void seeded_fill(struct rng *rng, void *out, size_t length)
{
    struct rng_seeded *seeded = (struct rng_seeded *)rng;
    uint8_t *at = out;
    while (length > 0) {
        uint8_t bytes[8];
        size_t count = length < sizeof bytes ? length : sizeof bytes;
        put_le64(bytes, seeded_next(seeded));
        memcpy(at, bytes, count);
        at += count;
        length -= count;
    }
}

void rng_seeded_init(struct rng_seeded *seeded, uint64_t seed)
{
    seeded->rng.fill = seeded_fill;
    /* splitmix64 spreads the seed, so that no seed gives the all-zero state. */
    for (int i = 0; i < 4; i++) {
        seed += 0x9e3779b97f4a7c15ULL;
        uint64_t mixed = seed;
        mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9ULL;
        mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebULL;
        seeded->state[i] = mixed ^ (mixed >> 31);
    }
}

uint64_t rng_u64(struct rng *rng)
{
    uint8_t bytes[8];
    rng_fill(rng, bytes, sizeof bytes);
    return get_le64(bytes);
}

uint64_t rng_below(struct rng *rng, uint64_t bound)
{
    CHECK(bound > 0);
    /* The first 2^64 mod bound values would make small results likelier: draw again. */
    uint64_t skipped = (0 - bound) % bound;
    uint64_t value;
    do {
        value = rng_u64(rng);
    } while (value < skipped);
    return value % bound;
}
