/* SPDX-License-Identifier: Apache-2.0
 *
 * Cow_fixture: a copy-on-write tree of counted values beside an array of what it should hold.
 */
#ifndef ESTREAT_TESTS_COW_FIXTURE_H
#define ESTREAT_TESTS_COW_FIXTURE_H

#include <stdatomic.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/rng.h"
#include "storage/tree/cow_btree.h"
#include "testlib/test.h"

/* --- values and keys ------------------------------------------------------------------------ */

enum { KEY_BYTES_MAX = 6, UNIVERSE_MAX = 3000 };

/* A value with its key's bytes, as users of the tree have them. */
struct value {
    _Atomic uint64_t references;
    _Atomic uint64_t *alive; /* how many values there are */
    uint64_t number;
    struct cow_key key;
    uint8_t bytes[KEY_BYTES_MAX];
};

static inline void value_ref(void *value)
{
    uint64_t before = atomic_fetch_add(&((struct value *)value)->references, 1);
    CHECK(before > 0);
}

static inline void value_unref(void *value)
{
    struct value *self = value;
    if (atomic_fetch_sub(&self->references, 1) == 1) {
        atomic_fetch_sub(self->alive, 1);
        memset(self->bytes, 0xee, sizeof self->bytes);
        free(self);
    }
}

static inline struct value *value_new(_Atomic uint64_t *alive, struct cow_key key, uint64_t number)
{
    struct value *value = calloc(1, sizeof *value);
    CHECK(value != NULL && key.bytes.length <= KEY_BYTES_MAX);
    value->references = 1;
    value->alive = alive;
    value->number = number;
    if (key.bytes.length > 0) {
        memcpy(value->bytes, key.bytes.data, key.bytes.length);
    }
    value->key =
        (struct cow_key){.group = key.group, .bytes = slice_of(value->bytes, key.bytes.length)};
    atomic_fetch_add(alive, 1);
    return value;
}

/* All keys that a test uses, in order. */
struct universe {
    struct cow_key keys[UNIVERSE_MAX];
    uint8_t bytes[UNIVERSE_MAX][KEY_BYTES_MAX];
    size_t count;
};

static inline int compare_keys(const void *a, const void *b)
{
    return cow_key_compare(*(const struct cow_key *)a, *(const struct cow_key *)b);
}

/* Bytes of few kinds, so that keys are prefixes of others, in few groups. */
static inline void universe_fill(struct universe *universe, struct rng *rng, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t length = (size_t)rng_below(rng, KEY_BYTES_MAX + 1);
        for (size_t j = 0; j < length; j++) {
            universe->bytes[i][j] = (uint8_t)(rng_below(rng, 5) * 63);
        }
        universe->keys[i] = (struct cow_key){.group = rng_below(rng, 3) * 7,
                                             .bytes = slice_of(universe->bytes[i], length)};
    }
    qsort(universe->keys, count, sizeof *universe->keys, compare_keys);
    universe->count = 0;
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || compare_keys(&universe->keys[i], &universe->keys[universe->count - 1]) > 0) {
            universe->keys[universe->count++] = universe->keys[i];
        }
    }
}

/* --- a version and what it should hold ------------------------------------------------------- */

struct version {
    struct cow_node *root;
    uint64_t numbers[UNIVERSE_MAX]; /* by the key's place in the universe; 0: absent */
    size_t count;
};

struct world {
    struct cow_btree tree;
    struct universe universe;
    _Atomic uint64_t alive;
    uint64_t last_number;
    struct version now;
};

static inline struct world *world_new(struct alloc *alloc, struct rng *rng, size_t keys)
{
    struct world *world = calloc(1, sizeof *world);
    CHECK(world != NULL);
    world->tree = (struct cow_btree){.alloc = alloc, .ref = value_ref, .unref = value_unref};
    universe_fill(&world->universe, rng, keys);
    return world;
}

static inline void world_free(struct world *world)
{
    cow_btree_unref(&world->tree, world->now.root);
    assert_int_equal(atomic_load(&world->alive), 0);
    free(world);
}

static inline bool put(struct world *world, size_t place)
{
    struct value *value =
        value_new(&world->alive, world->universe.keys[place], ++world->last_number);
    struct cow_entry entry = {.key = value->key, .value = value};
    bool done = cow_btree_put(&world->tree, &world->now.root, &entry);
    value_unref(value);
    if (done) {
        world->now.count += world->now.numbers[place] == 0 ? 1 : 0;
        world->now.numbers[place] = world->last_number;
    }
    return done;
}

static inline bool take_out(struct world *world, size_t place)
{
    bool done = cow_btree_remove(&world->tree, &world->now.root, world->universe.keys[place]);
    if (done) {
        world->now.count -= world->now.numbers[place] == 0 ? 0 : 1;
        world->now.numbers[place] = 0;
    }
    return done;
}

#endif
