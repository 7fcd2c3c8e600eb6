/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/backup/digest.h"

#include <sodium.h>

#include "base/check.h"

_Static_assert(DIGESTER_BYTES >=
                   sizeof(crypto_generichash_state) + _Alignof(crypto_generichash_state),
               "the state fits, wherever the room begins");

/* The library wants its state at a multiple of 64; the allocator gives less. The room must not
 * move between the calls. */
static crypto_generichash_state *state_of(struct digester *digester)
{
    const uintptr_t alignment = _Alignof(crypto_generichash_state);
    uintptr_t at = (uintptr_t)digester->room;
    size_t skip = (size_t)((alignment - at % alignment) % alignment);
    return (crypto_generichash_state *)(void *)(digester->room + skip);
}

void digester_init(struct digester *digester)
{
    CHECK(sodium_init() >= 0);
    CHECK(crypto_generichash_init(state_of(digester), NULL, 0, DIGEST_BYTES) == 0);
}

void digester_update(struct digester *digester, struct slice bytes)
{
    CHECK(crypto_generichash_update(state_of(digester), bytes.data, bytes.length) == 0);
}

struct digest digester_final(struct digester *digester)
{
    struct digest digest;
    CHECK(crypto_generichash_final(state_of(digester), digest.bytes, DIGEST_BYTES) == 0);
    return digest;
}
