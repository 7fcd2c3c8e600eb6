/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/mem/memtable.h"

#include <stdatomic.h>

#include "base/check.h"
#include "storage/mem/arena.h"
#include "storage/mem/key_filter.h"
#include "storage/mem/skiplist.h"
#include "storage/table/bloom.h"

/* Filters grow by this factor, so that all older ones together are a third of the newest. */
enum { FILTER_KEYS_MIN = 1024, FILTER_GROWTH = 4 };

struct memtable {
    struct alloc *alloc;
    _Atomic uint32_t references;
    _Atomic bool filter_wanted; /* set by the first lookup */
    _Atomic(struct key_filter *) filter;
    uint64_t filter_retry_count; /* writer only: no new filter below this many entries */
    _Atomic size_t filter_bytes;
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
        key_filter_free(alloc, atomic_load_explicit(&memtable->filter, memory_order_relaxed));
        arena_release(&memtable->arena);
        alloc_free(alloc, memtable);
    }
}

/* Makes a filter with room to grow, and fills it from the list. Without memory the old one
 * stays: it goes on telling the truth, only with more "perhaps". */
static struct key_filter *filter_renew(struct memtable *memtable, struct key_filter *older)
{
    uint64_t count = skiplist_count(&memtable->list);
    uint64_t keys_max = FILTER_KEYS_MIN;
    while (keys_max <= count) {
        keys_max *= FILTER_GROWTH;
    }
    memtable->filter_retry_count = keys_max;
    struct key_filter *filter = key_filter_new(memtable->alloc, keys_max, older);
    if (filter == NULL) {
        return older;
    }
    for (const struct skiplist_node *node = skiplist_first(&memtable->list); node != NULL;
         node = skiplist_next(node)) {
        key_filter_add(filter, bloom_hash(internal_key_user(skiplist_key(node))));
    }
    atomic_fetch_add_explicit(&memtable->filter_bytes, key_filter_bytes(filter),
                              memory_order_relaxed);
    atomic_store_explicit(&memtable->filter, filter, memory_order_release);
    return filter;
}

/* Before the entry is linked: who can see the entry then also sees its bits. */
static void filter_add(struct memtable *memtable, struct slice user_key)
{
    if (!atomic_load_explicit(&memtable->filter_wanted, memory_order_relaxed)) {
        return;
    }
    struct key_filter *filter = atomic_load_explicit(&memtable->filter, memory_order_relaxed);
    if (skiplist_count(&memtable->list) >= memtable->filter_retry_count) {
        filter = filter_renew(memtable, filter);
    }
    if (filter != NULL) {
        key_filter_add(filter, bloom_hash(user_key));
    }
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
    filter_add(memtable, user_key);
    if (!skiplist_insert(&memtable->list, user_key, sequence, type, value)) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a memtable entry");
    }
    return STATUS_OK;
}

static bool certainly_absent(struct memtable *memtable, struct slice user_key)
{
    struct key_filter *filter = atomic_load_explicit(&memtable->filter, memory_order_acquire);
    if (filter == NULL) {
        if (!atomic_load_explicit(&memtable->filter_wanted, memory_order_relaxed)) {
            atomic_store_explicit(&memtable->filter_wanted, true, memory_order_relaxed);
        }
        return false;
    }
    return !key_filter_may_contain(filter, bloom_hash(user_key));
}

enum lookup memtable_get(struct memtable *memtable, struct slice user_key, uint64_t sequence,
                         struct slice *value)
{
    if (certainly_absent(memtable, user_key)) {
        return LOOKUP_ABSENT;
    }
    const struct skiplist_node *node =
        skiplist_seek(&memtable->list, user_key, key_trailer(sequence, KEY_SEEK));
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
           atomic_load_explicit(&memtable->filter_bytes, memory_order_relaxed);
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
