/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/mem/memtable.h"

#include <stdatomic.h>

#include "base/check.h"
#include "storage/mem/arena.h"
#include "storage/mem/key_index.h"
#include "storage/mem/skiplist.h"

/* A lookup at an old sequence steps over so many newer entries of its key before it searches. */
enum { STEPS_MAX = 8 };

struct memtable {
    struct alloc *alloc;
    _Atomic uint32_t references;
    _Atomic bool index_wanted;         /* set by the first lookup */
    _Atomic(struct key_index *) index; /* NULL: none; else it has every entry */
    struct key_index *index_owned;     /* writer only: the newest, also when it was given up */
    bool index_given_up;               /* writer only */
    _Atomic size_t index_bytes;
    struct arena arena;
    struct skiplist list;
};

struct memtable *memtable_new(struct alloc *alloc)
{
    struct memtable *memtable = alloc_zeroed(alloc, 1, sizeof *memtable);
    if (memtable == NULL) {
        return NULL;
    }
    memtable->alloc = alloc;
    atomic_init(&memtable->references, 1);
    arena_init(&memtable->arena, alloc);
    if (!skiplist_init(&memtable->list, &memtable->arena)) {
        arena_release(&memtable->arena);
        alloc_free(alloc, memtable);
        return NULL;
    }
    return memtable;
}

void memtable_ref(struct memtable *memtable)
{
    uint32_t before = atomic_fetch_add_explicit(&memtable->references, 1, memory_order_relaxed);
    CHECK(before > 0);
}

void memtable_unref(struct memtable *memtable)
{
    uint32_t before = atomic_fetch_sub_explicit(&memtable->references, 1, memory_order_acq_rel);
    CHECK(before > 0);
    if (before == 1) {
        struct alloc *alloc = memtable->alloc;
        key_index_free(alloc, memtable->index_owned);
        skiplist_release(&memtable->list);
        arena_release(&memtable->arena);
        alloc_free(alloc, memtable);
    }
}

/* Makes a new or a larger index. Without memory there is none from here on, and lookups search
 * the list: an index that lacks entries would deny them. */
static struct key_index *renew_index(struct memtable *memtable)
{
    struct key_index *older = memtable->index_owned;
    struct key_index *index = key_index_new(memtable->alloc, &memtable->list, older);
    if (index == NULL) {
        memtable->index_given_up = true;
    } else {
        memtable->index_owned = index;
        atomic_fetch_add_explicit(&memtable->index_bytes, key_index_bytes(index),
                                  memory_order_relaxed);
    }
    atomic_store_explicit(&memtable->index, index, memory_order_release);
    return index;
}

/* The index that an entry about to be added goes into; NULL: none is kept. */
static struct key_index *index_for_add(struct memtable *memtable)
{
    if (memtable->index_given_up ||
        !atomic_load_explicit(&memtable->index_wanted, memory_order_relaxed)) {
        return NULL;
    }
    struct key_index *index = memtable->index_owned;
    return index == NULL || key_index_is_full(index) ? renew_index(memtable) : index;
}

enum status memtable_add(struct memtable *memtable, uint64_t sequence, enum key_type type,
                         struct slice user_key, struct slice value, struct error *err)
{
    CHECK(sequence <= SEQUENCE_MAX);
    CHECK(type == KEY_PUT || value.length == 0);
    if (user_key.length > USER_KEY_BYTES_MAX || value.length > VALUE_BYTES_MAX) {
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "key of %zu or value of %zu bytes is too long", user_key.length,
                         value.length);
    }
    struct key_index *index = index_for_add(memtable);
    const struct skiplist_node *node =
        skiplist_insert(&memtable->list, user_key, sequence, type, value);
    if (node == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a memtable entry");
    }
    if (index != NULL) {
        key_index_put(index, key_index_hash(user_key), node);
    }
    return STATUS_OK;
}

/* The first of the key's entries with a sequence <= `sequence`, from its newest one on. */
static const struct skiplist_node *step_to(const struct memtable *memtable,
                                           const struct skiplist_node *node, struct slice user_key,
                                           uint64_t sequence)
{
    for (int steps = 0; node != NULL && steps < STEPS_MAX; steps++) {
        if (internal_key_sequence(skiplist_key(node)) <= sequence ||
            !slice_equal(internal_key_user(skiplist_key(node)), user_key)) {
            return node;
        }
        node = skiplist_next(node);
    }
    return node == NULL ? NULL
                        : skiplist_seek(&memtable->list, user_key, key_trailer(sequence, KEY_SEEK));
}

static const struct skiplist_node *find(struct memtable *memtable, struct slice user_key,
                                        uint64_t sequence)
{
    const struct key_index *index = atomic_load_explicit(&memtable->index, memory_order_acquire);
    if (index != NULL) {
        const struct skiplist_node *newest =
            key_index_find(index, user_key, key_index_hash(user_key));
        return step_to(memtable, newest, user_key, sequence);
    }
    if (!atomic_load_explicit(&memtable->index_wanted, memory_order_relaxed)) {
        atomic_store_explicit(&memtable->index_wanted, true, memory_order_relaxed);
    }
    return skiplist_seek(&memtable->list, user_key, key_trailer(sequence, KEY_SEEK));
}

enum lookup memtable_get(struct memtable *memtable, struct slice user_key, uint64_t sequence,
                         struct slice *value)
{
    const struct skiplist_node *node = find(memtable, user_key, sequence);
    if (node == NULL) {
        return LOOKUP_ABSENT;
    }
    struct slice found = skiplist_key(node);
    if (!slice_equal(internal_key_user(found), user_key)) {
        return LOOKUP_ABSENT;
    }
    CHECK(internal_key_sequence(found) <= sequence);
    if (internal_key_type(found) == KEY_DELETE) {
        return LOOKUP_DELETED;
    }
    *value = skiplist_value(node);
    return LOOKUP_FOUND;
}

size_t memtable_bytes(const struct memtable *memtable)
{
    return sizeof *memtable + arena_bytes(&memtable->arena) +
           skiplist_guide_bytes(&memtable->list) +
           atomic_load_explicit(&memtable->index_bytes, memory_order_relaxed);
}

uint64_t memtable_count(const struct memtable *memtable)
{
    return skiplist_count(&memtable->list);
}

/* --- iterator ---------------------------------------------------------------------------- */

struct memtable_iter {
    struct iter iter;
    struct memtable *memtable;
    const struct skiplist_node *node; /* NULL: invalid */
};

static struct memtable_iter *self_of(struct iter *iter)
{
    return (struct memtable_iter *)iter;
}

static const struct memtable_iter *self_of_const(const struct iter *iter)
{
    return (const struct memtable_iter *)iter;
}

static void iter_do_seek(struct iter *iter, struct slice target)
{
    struct memtable_iter *self = self_of(iter);
    CHECK(target.length >= KEY_TRAILER_BYTES);
    self->node = skiplist_seek(&self->memtable->list, internal_key_user(target),
                               internal_key_trailer(target));
}

static void iter_do_seek_to_first(struct iter *iter)
{
    struct memtable_iter *self = self_of(iter);
    self->node = skiplist_first(&self->memtable->list);
}

static void iter_do_seek_to_last(struct iter *iter)
{
    struct memtable_iter *self = self_of(iter);
    self->node = skiplist_last(&self->memtable->list);
}

static void iter_do_next(struct iter *iter)
{
    struct memtable_iter *self = self_of(iter);
    CHECK(self->node != NULL);
    self->node = skiplist_next(self->node);
}

static void iter_do_prev(struct iter *iter)
{
    struct memtable_iter *self = self_of(iter);
    CHECK(self->node != NULL);
    self->node = skiplist_prev(&self->memtable->list, self->node);
}

static bool iter_do_valid(const struct iter *iter)
{
    return self_of_const(iter)->node != NULL;
}

static struct slice iter_do_key(const struct iter *iter)
{
    CHECK(self_of_const(iter)->node != NULL);
    return skiplist_key(self_of_const(iter)->node);
}

static struct slice iter_do_value(const struct iter *iter)
{
    CHECK(self_of_const(iter)->node != NULL);
    return skiplist_value(self_of_const(iter)->node);
}

static enum status iter_do_status(const struct iter *iter, struct error *err)
{
    (void)iter;
    (void)err;
    return STATUS_OK;
}

static void iter_do_close(struct iter *iter)
{
    struct memtable_iter *self = self_of(iter);
    struct memtable *memtable = self->memtable;
    alloc_free(memtable->alloc, self);
    memtable_unref(memtable);
}

static const struct iter_ops memtable_iter_ops = {
    .seek = iter_do_seek,
    .seek_to_first = iter_do_seek_to_first,
    .seek_to_last = iter_do_seek_to_last,
    .next = iter_do_next,
    .prev = iter_do_prev,
    .valid = iter_do_valid,
    .key = iter_do_key,
    .value = iter_do_value,
    .status = iter_do_status,
    .close = iter_do_close,
};

struct iter *memtable_iter_new(struct memtable *memtable)
{
    struct memtable_iter *self = alloc_new(memtable->alloc, sizeof *self);
    if (self == NULL) {
        return NULL;
    }
    *self = (struct memtable_iter){.iter.ops = &memtable_iter_ops, .memtable = memtable};
    memtable_ref(memtable);
    return &self->iter;
}
