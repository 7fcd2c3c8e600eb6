/* SPDX-License-Identifier: Apache-2.0
 *
 * Iter: the one interface of everything that yields sorted entries: memtables, tables,
 * and the merges above them.
 *
 * An iterator is used by one thread at a time. It starts out invalid: call one of the
 * seeks first. key() and value() may be called only while valid(); what they return is
 * valid until the iterator moves or is closed. After an error (a corrupt block, a failed
 * read) valid() is false and status() returns the error, until a seek begins anew.
 * next() and prev() need valid(); moving past either end makes the iterator invalid.
 */
#ifndef ESTREAT_STORAGE_TABLE_ITER_H
#define ESTREAT_STORAGE_TABLE_ITER_H

#include <stdbool.h>

#include "base/slice.h"
#include "base/status.h"

struct iter;

struct iter_ops {
    /* To the first entry whose internal key is >= `target` (a well-formed internal key). */
    void (*seek)(struct iter *iter, struct slice target);
    void (*seek_to_first)(struct iter *iter);
    void (*seek_to_last)(struct iter *iter);
    void (*next)(struct iter *iter);
    void (*prev)(struct iter *iter);
    bool (*valid)(const struct iter *iter);
    struct slice (*key)(const struct iter *iter); /* the internal key */
    struct slice (*value)(const struct iter *iter);
    /* OK if the iterator is valid or has come to an end; else copies the error to `err`. */
    enum status (*status)(const struct iter *iter, struct error *err);
    /* Frees the iterator and lets go of what it reads from. */
    void (*close)(struct iter *iter);
};

struct iter {
    const struct iter_ops *ops;
};

static inline void iter_seek(struct iter *iter, struct slice target)
{
    iter->ops->seek(iter, target);
}
static inline void iter_seek_to_first(struct iter *iter)
{
    iter->ops->seek_to_first(iter);
}
static inline void iter_seek_to_last(struct iter *iter)
{
    iter->ops->seek_to_last(iter);
}
static inline void iter_next(struct iter *iter)
{
    iter->ops->next(iter);
}
static inline void iter_prev(struct iter *iter)
{
    iter->ops->prev(iter);
}
static inline bool iter_valid(const struct iter *iter)
{
    return iter->ops->valid(iter);
}
static inline struct slice iter_key(const struct iter *iter)
{
    return iter->ops->key(iter);
}
static inline struct slice iter_value(const struct iter *iter)
{
    return iter->ops->value(iter);
}
MUST_USE static inline enum status iter_status(const struct iter *iter, struct error *err)
{
    return iter->ops->status(iter, err);
}
/* NULL is allowed. */
static inline void iter_close(struct iter *iter)
{
    if (iter != NULL) {
        iter->ops->close(iter);
    }
}

#endif
