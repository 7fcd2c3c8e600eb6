/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/bench_pool.h"

#include "base/limits.h"
#include "base/rng.h"

/* Far more payloads than fit one block, so that blocks do not compress by repeats. */
#define POOL_BYTES_MAX (16UL * MIB)
#define PAYLOADS_MAX 8192UL
#define PAYLOADS_MIN 16UL

static const char sentence[] =
    "{\"level\":\"info\",\"service\":\"orders\",\"message\":\"state of the "
    "order changed\",\"customer\":\"customer\",\"data\":\"";

/* A fixed seed: two runs append the same bytes. */
enum { SEED = 20260 };

static void fill_payloads(struct bench_pool *pool)
{
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, SEED);
    for (uint32_t i = 0; i < pool->payload_count; i++) {
        uint8_t *payload = pool->payloads + i * pool->payload_bytes;
        size_t text = pool->payload_bytes / 2;
        for (size_t at = 0; at < text; at++) {
            payload[at] = (uint8_t)sentence[at % (sizeof sentence - 1)];
        }
        rng_fill(&seeded.rng, payload + text, pool->payload_bytes - text);
    }
}

static void fill_keys(struct bench_pool *pool)
{
    for (uint32_t i = 0; i < pool->key_count; i++) {
        char key[BENCH_KEY_BYTES + 1];
        (void)snprintf(key, sizeof key, "key-%08u", i % 100000000U);
        memcpy(pool->keys + i * (size_t)BENCH_KEY_BYTES, key, BENCH_KEY_BYTES);
    }
}

enum status bench_pool_init(struct bench_pool *pool, size_t payload_bytes, uint32_t keys,
                            struct error *err)
{
    struct alloc *alloc = alloc_default();
    size_t count = payload_bytes == 0 ? 1 : POOL_BYTES_MAX / payload_bytes;
    count = count > PAYLOADS_MAX ? PAYLOADS_MAX : count;
    count = count < PAYLOADS_MIN && payload_bytes > 0 ? PAYLOADS_MIN : count;
    *pool = (struct bench_pool){.alloc = alloc,
                                .payload_bytes = payload_bytes,
                                .payload_count = (uint32_t)count,
                                .key_count = keys};
    pool->payloads = alloc_new(alloc, count * payload_bytes + 1);
    pool->keys = alloc_new(alloc, keys * (size_t)BENCH_KEY_BYTES);
    if (pool->payloads == NULL || pool->keys == NULL) {
        bench_pool_release(pool);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for payloads and keys");
    }
    fill_payloads(pool);
    fill_keys(pool);
    return STATUS_OK;
}

void bench_pool_release(struct bench_pool *pool)
{
    alloc_free(pool->alloc, pool->payloads);
    alloc_free(pool->alloc, pool->keys);
}
