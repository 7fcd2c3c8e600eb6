/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/table/bloom.h"

#include "base/check.h"
#include "base/coding.h"

/* Filter bytes: the bits, lowest of each byte first, then the number of probes (u8). */
enum { PROBES_MAX = 30, BITS_MIN = 64 };

/* The largest filter whose bits 32-bit probes reach. */
#define FILTER_BITS_MAX (UINT64_C(1) << 31)

/* Multiplier and finalizer of splitmix64 (S. Vigna): every input bit reaches every output bit. */
static uint64_t mix(uint64_t value)
{
    value ^= value >> 30;
    value *= 0xbf58476d1ce4e5b9U;
    value ^= value >> 27;
    value *= 0x94d049bb133111ebU;
    return value ^ (value >> 31);
}

uint64_t bloom_hash(struct slice key)
{
    const uint64_t gamma = 0x9e3779b97f4a7c15U;
    uint64_t hash = gamma * (key.length + 1);
    size_t at = 0;
    for (; key.length - at >= 8; at += 8) {
        hash = (hash ^ get_le64(key.data + at)) * gamma;
        hash ^= hash >> 29;
    }
    uint64_t rest = 0;
    for (size_t i = at; i < key.length; i++) {
        rest |= (uint64_t)key.data[i] << (8 * (i - at));
    }
    return mix(hash ^ rest);
}

/* The share of "perhaps" is least with ln 2 probes for each bit of a key. */
static uint8_t probes_for(unsigned bits_per_key)
{
    unsigned probes = (bits_per_key * 69 + 50) / 100;
    if (probes < 1) {
        return 1;
    }
    return (uint8_t)(probes > PROBES_MAX ? PROBES_MAX : probes);
}

/* Double hashing: probe i is at (low + i * high) scaled from 2^32 to the number of bits. */
struct prober {
    uint32_t at;
    uint32_t step;
    uint64_t bits;
};

static struct prober prober_of(uint64_t hash, uint64_t bits)
{
    return (struct prober){.at = (uint32_t)hash, .step = (uint32_t)(hash >> 32) | 1, .bits = bits};
}

static uint64_t prober_next(struct prober *prober)
{
    uint64_t bit = prober->at * prober->bits >> 32;
    prober->at += prober->step;
    return bit;
}

void bloom_build(struct buf *out, const uint64_t *hashes, size_t count, unsigned bits_per_key)
{
    CHECK(bits_per_key > 0 && bits_per_key <= BLOOM_BITS_PER_KEY_MAX);
    uint64_t bits = (uint64_t)count * bits_per_key;
    bits = bits < BITS_MIN ? BITS_MIN : bits;
    bits = bits > FILTER_BITS_MAX ? FILTER_BITS_MAX : (bits + 7) / 8 * 8;
    uint8_t *filter = buf_extend(out, bits / 8 + 1);
    if (filter == NULL) {
        return;
    }
    memset(filter, 0, bits / 8);
    uint8_t probes = probes_for(bits_per_key);
    filter[bits / 8] = probes;
    for (size_t i = 0; i < count; i++) {
        struct prober prober = prober_of(hashes[i], bits);
        for (uint8_t p = 0; p < probes; p++) {
            uint64_t bit = prober_next(&prober);
            filter[bit / 8] |= (uint8_t)(1U << (bit % 8));
        }
    }
}

bool bloom_is_well_formed(struct slice filter)
{
    if (filter.length < BITS_MIN / 8 + 1 || filter.length > FILTER_BITS_MAX / 8 + 1) {
        return false;
    }
    uint8_t probes = filter.data[filter.length - 1];
    return probes >= 1 && probes <= PROBES_MAX;
}

bool bloom_may_contain(struct slice filter, uint64_t hash)
{
    CHECK(filter.length > 1);
    uint8_t probes = filter.data[filter.length - 1];
    struct prober prober = prober_of(hash, (filter.length - 1) * 8);
    for (uint8_t p = 0; p < probes; p++) {
        uint64_t bit = prober_next(&prober);
        if ((filter.data[bit / 8] >> (bit % 8) & 1) == 0) {
            return false;
        }
    }
    return true;
}
