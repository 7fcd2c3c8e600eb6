/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/tree/iter_merge.h"

#include "base/check.h"
#include "storage/table/key.h"

struct child {
    struct iter *iter;
    struct slice key; /* of the child's entry, while it is in the heap */
};

struct merge {
    struct iter iter;
    struct alloc *alloc;
    bool backward;
    const struct iter *failed; /* the first child with an error */
    size_t heap_count;
    size_t count;
    struct child heap[]; /* all children; [0, heap_count) are valid, the first comes next */
};

static struct merge *merge_of(const struct iter *iter)
{
    return (struct merge *)iter;
}

/* True if `a` comes before `b` in the present direction. */
static bool precedes(const struct merge *merge, const struct child *a, const struct child *b)
{
    int order = internal_key_compare(a->key, b->key);
    return merge->backward ? order > 0 : order < 0;
}

static void sift_down(struct merge *merge, size_t at)
{
    struct child moving = merge->heap[at];
    for (;;) {
        size_t least = 2 * at + 1;
        if (least >= merge->heap_count) {
            break;
        }
        if (least + 1 < merge->heap_count &&
            precedes(merge, &merge->heap[least + 1], &merge->heap[least])) {
            least++;
        }
        if (!precedes(merge, &merge->heap[least], &moving)) {
            break;
        }
        merge->heap[at] = merge->heap[least];
        at = least;
    }
    merge->heap[at] = moving;
}

/* Orders the heap anew from where all children stand. An error of any child ends the walk: to go
 * on without it would skip its entries. */
static void build(struct merge *merge)
{
    merge->heap_count = 0;
    merge->failed = NULL;
    for (size_t i = 0; i < merge->count; i++) {
        if (iter_valid(merge->heap[i].iter)) {
            struct child child = {.iter = merge->heap[i].iter,
                                  .key = iter_key(merge->heap[i].iter)};
            merge->heap[i] = merge->heap[merge->heap_count];
            merge->heap[merge->heap_count++] = child;
        } else if (merge->failed == NULL && iter_status(merge->heap[i].iter, NULL) != STATUS_OK) {
            merge->failed = merge->heap[i].iter;
        }
    }
    if (merge->failed != NULL) {
        merge->heap_count = 0;
    }
    for (size_t i = merge->heap_count / 2; i > 0; i--) {
        sift_down(merge, i - 1);
    }
}

/* The top has moved. */
static void settle_top(struct merge *merge)
{
    struct iter *top = merge->heap[0].iter;
    if (iter_valid(top)) {
        merge->heap[0].key = iter_key(top);
        sift_down(merge, 0);
        return;
    }
    if (iter_status(top, NULL) != STATUS_OK) {
        merge->failed = top;
        merge->heap_count = 0;
        return;
    }
    struct child ended = merge->heap[0];
    merge->heap_count--;
    merge->heap[0] = merge->heap[merge->heap_count];
    merge->heap[merge->heap_count] = ended;
    if (merge->heap_count > 0) {
        sift_down(merge, 0);
    }
}

static void merge_seek(struct iter *iter, struct slice target)
{
    struct merge *merge = merge_of(iter);
    merge->backward = false;
    for (size_t i = 0; i < merge->count; i++) {
        iter_seek(merge->heap[i].iter, target);
    }
    build(merge);
}

static void merge_seek_to_first(struct iter *iter)
{
    struct merge *merge = merge_of(iter);
    merge->backward = false;
    for (size_t i = 0; i < merge->count; i++) {
        iter_seek_to_first(merge->heap[i].iter);
    }
    build(merge);
}

static void merge_seek_to_last(struct iter *iter)
{
    struct merge *merge = merge_of(iter);
    merge->backward = true;
    for (size_t i = 0; i < merge->count; i++) {
        iter_seek_to_last(merge->heap[i].iter);
    }
    build(merge);
}

/* Places all children but the top on the other side of the top's entry. */
static void turn(struct merge *merge, bool backward)
{
    struct iter *top = merge->heap[0].iter;
    /* The top does not move, so its key stays valid. */
    struct slice key = merge->heap[0].key;
    merge->backward = backward;
    for (size_t i = 0; i < merge->count; i++) {
        struct iter *other = merge->heap[i].iter;
        if (other == top) {
            continue;
        }
        iter_seek(other, key);
        if (!backward) {
            continue;
        }
        if (iter_valid(other)) {
            iter_prev(other);
        } else if (iter_status(other, NULL) == STATUS_OK) {
            iter_seek_to_last(other);
        }
    }
    build(merge);
}

static void merge_next(struct iter *iter)
{
    struct merge *merge = merge_of(iter);
    CHECK(merge->heap_count > 0);
    if (merge->backward) {
        turn(merge, false);
    }
    if (merge->heap_count > 0) {
        iter_next(merge->heap[0].iter);
        settle_top(merge);
    }
}

static void merge_prev(struct iter *iter)
{
    struct merge *merge = merge_of(iter);
    CHECK(merge->heap_count > 0);
    if (!merge->backward) {
        turn(merge, true);
    }
    if (merge->heap_count > 0) {
        iter_prev(merge->heap[0].iter);
        settle_top(merge);
    }
}

static bool merge_valid(const struct iter *iter)
{
    return merge_of(iter)->heap_count > 0;
}

static struct slice merge_key(const struct iter *iter)
{
    CHECK(merge_of(iter)->heap_count > 0);
    return merge_of(iter)->heap[0].key;
}

static struct slice merge_value(const struct iter *iter)
{
    CHECK(merge_of(iter)->heap_count > 0);
    return iter_value(merge_of(iter)->heap[0].iter);
}

static enum status merge_status(const struct iter *iter, struct error *err)
{
    const struct merge *merge = merge_of(iter);
    return merge->failed == NULL ? STATUS_OK : iter_status(merge->failed, err);
}

static void merge_close(struct iter *iter)
{
    struct merge *merge = merge_of(iter);
    for (size_t i = 0; i < merge->count; i++) {
        iter_close(merge->heap[i].iter);
    }
    alloc_free(merge->alloc, merge);
}

static const struct iter_ops merge_ops = {
    .seek = merge_seek,
    .seek_to_first = merge_seek_to_first,
    .seek_to_last = merge_seek_to_last,
    .next = merge_next,
    .prev = merge_prev,
    .valid = merge_valid,
    .key = merge_key,
    .value = merge_value,
    .status = merge_status,
    .close = merge_close,
};

enum status iter_merge_new(struct alloc *alloc, struct iter **children, size_t count,
                           struct iter **out, struct error *err)
{
    if (count == 1) {
        *out = children[0];
        return STATUS_OK;
    }
    struct merge *merge = alloc_zeroed(alloc, 1, sizeof *merge + count * sizeof(struct child));
    if (merge == NULL) {
        for (size_t i = 0; i < count; i++) {
            iter_close(children[i]);
        }
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for an iterator");
    }
    merge->iter.ops = &merge_ops;
    merge->alloc = alloc;
    merge->count = count;
    for (size_t i = 0; i < count; i++) {
        merge->heap[i].iter = children[i];
    }
    *out = &merge->iter;
    return STATUS_OK;
}
