/* SPDX-License-Identifier: Apache-2.0
 *
 * What a bench appends: payloads of which the first half is text and the second
 * half random, so that they compress to about half, and keys. Read-only once made.
 */
#ifndef ESTREAT_CLI_BENCH_POOL_H
#define ESTREAT_CLI_BENCH_POOL_H

#include "base/alloc.h"
#include "base/status.h"
#include "client/estreat.h"

#define BENCH_KEY_BYTES 12U

struct bench_pool {
    struct alloc *alloc;
    uint8_t *payloads; /* owned: payload_count × payload_bytes */
    size_t payload_bytes;
    uint32_t payload_count;
    char *keys; /* owned: key_count × BENCH_KEY_BYTES */
    uint32_t key_count;
};

enum status bench_pool_init(struct bench_pool *pool, size_t payload_bytes, uint32_t keys,
                            struct error *err) MUST_USE;
void bench_pool_release(struct bench_pool *pool);

/* Chooses by `random`, any 64 bits. */
static inline struct estreat_bytes bench_pool_key(const struct bench_pool *pool, uint64_t random)
{
    uint64_t index = ((random & UINT32_MAX) * pool->key_count) >> 32;
    return estreat_bytes(pool->keys + index * BENCH_KEY_BYTES, BENCH_KEY_BYTES);
}

static inline struct estreat_bytes bench_pool_payload(const struct bench_pool *pool,
                                                      uint64_t random)
{
    uint64_t index = ((random >> 32) * pool->payload_count) >> 32;
    return estreat_bytes(pool->payloads + index * pool->payload_bytes, pool->payload_bytes);
}

#endif
