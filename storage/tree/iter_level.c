/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/tree/iter_level.h"

#include "base/check.h"
#include "storage/table/key.h"
#include "storage/tree/iter_time.h"

struct level_iter {
    struct iter iter;
    struct alloc *alloc;
    const struct version *version;
    unsigned keyspace;
    unsigned level;
    size_t begin;
    size_t end;
    struct table_read_options options;
    bool by_time;
    struct time_range range; /* then: other tables are passed over */
    size_t index;            /* of the table that `entries` walks */
    struct iter *entries;    /* NULL: none */
    struct error failure;    /* of opening a table */
};

static struct level_iter *self_of(const struct iter *iter)
{
    return (struct level_iter *)iter;
}

static void leave(struct level_iter *self)
{
    iter_close(self->entries);
    self->entries = NULL;
}

/* Enters the table at `index`. False: it cannot be opened. */
static bool enter(struct level_iter *self, size_t index)
{
    CHECK(index >= self->begin && index < self->end);
    if (self->entries != NULL && self->index == index) {
        return true;
    }
    leave(self);
    struct table_file *file = version_at(self->version, self->keyspace, self->level, index);
    struct table *table = NULL;
    struct iter *entries = NULL;
    enum status status = table_file_open(file, &table, &self->failure);
    if (status == STATUS_OK) {
        status = self->by_time ? iter_time_new(self->alloc, table, &self->options, &self->range,
                                               &entries, &self->failure)
                               : table_iter_new(table, &self->options, &entries, &self->failure);
    }
    if (status != STATUS_OK) {
        self->failure.status = status;
        return false;
    }
    self->entries = entries;
    self->index = index;
    return true;
}

static bool is_wanted(const struct level_iter *self, size_t index)
{
    return !self->by_time ||
           time_bounds_meet(&version_at(self->version, self->keyspace, self->level, index)->times,
                            &self->range);
}

/* The first table at or behind `index` that is wanted; end: none. */
static size_t wanted_from(const struct level_iter *self, size_t index)
{
    while (index < self->end && !is_wanted(self, index)) {
        index++;
    }
    return index;
}

/* One more than the last table before `index` that is wanted; begin: none. */
static size_t wanted_before(const struct level_iter *self, size_t index)
{
    while (index > self->begin && !is_wanted(self, index - 1)) {
        index--;
    }
    return index;
}

/* True if the walk in the present table has come to its end, and not to an error. */
static bool ended(const struct level_iter *self)
{
    return self->entries != NULL && !iter_valid(self->entries) &&
           iter_status(self->entries, NULL) == STATUS_OK;
}

/* A table is never empty, but one that is damaged may seem so, or have nothing in the range. */
static void skip_forward(struct level_iter *self)
{
    while (ended(self)) {
        size_t next = wanted_from(self, self->index + 1);
        if (next >= self->end) {
            leave(self);
        } else if (enter(self, next)) {
            iter_seek_to_first(self->entries);
        }
    }
}

static void skip_backward(struct level_iter *self)
{
    while (ended(self)) {
        size_t next = wanted_before(self, self->index);
        if (next == self->begin) {
            leave(self);
        } else if (enter(self, next - 1)) {
            iter_seek_to_last(self->entries);
        }
    }
}

static void level_seek(struct iter *iter, struct slice target)
{
    struct level_iter *self = self_of(iter);
    self->failure = (struct error)ERROR_INIT;
    size_t index =
        version_lower_bound(self->version, self->keyspace, self->level, internal_key_user(target));
    if (index < self->begin) {
        index = self->begin;
    }
    index = wanted_from(self, index);
    if (index >= self->end) {
        leave(self);
        return;
    }
    if (enter(self, index)) {
        iter_seek(self->entries, target);
        skip_forward(self);
    }
}

static void level_seek_to_first(struct iter *iter)
{
    struct level_iter *self = self_of(iter);
    self->failure = (struct error)ERROR_INIT;
    size_t index = wanted_from(self, self->begin);
    if (index >= self->end) {
        leave(self);
    } else if (enter(self, index)) {
        iter_seek_to_first(self->entries);
        skip_forward(self);
    }
}

static void level_seek_to_last(struct iter *iter)
{
    struct level_iter *self = self_of(iter);
    self->failure = (struct error)ERROR_INIT;
    size_t index = wanted_before(self, self->end);
    if (index == self->begin) {
        leave(self);
    } else if (enter(self, index - 1)) {
        iter_seek_to_last(self->entries);
        skip_backward(self);
    }
}

static void level_next(struct iter *iter)
{
    struct level_iter *self = self_of(iter);
    CHECK(self->entries != NULL);
    iter_next(self->entries);
    skip_forward(self);
}

static void level_prev(struct iter *iter)
{
    struct level_iter *self = self_of(iter);
    CHECK(self->entries != NULL);
    iter_prev(self->entries);
    skip_backward(self);
}

static bool level_valid(const struct iter *iter)
{
    const struct level_iter *self = self_of(iter);
    return self->entries != NULL && iter_valid(self->entries);
}

static struct slice level_key(const struct iter *iter)
{
    return iter_key(self_of(iter)->entries);
}

static struct slice level_value(const struct iter *iter)
{
    return iter_value(self_of(iter)->entries);
}

static enum status level_status(const struct iter *iter, struct error *err)
{
    const struct level_iter *self = self_of(iter);
    if (self->failure.status != STATUS_OK) {
        if (err != NULL) {
            *err = self->failure;
        }
        return self->failure.status;
    }
    return self->entries == NULL ? STATUS_OK : iter_status(self->entries, err);
}

static void level_close(struct iter *iter)
{
    struct level_iter *self = self_of(iter);
    leave(self);
    alloc_free(self->alloc, self);
}

static const struct iter_ops level_ops = {
    .seek = level_seek,
    .seek_to_first = level_seek_to_first,
    .seek_to_last = level_seek_to_last,
    .next = level_next,
    .prev = level_prev,
    .valid = level_valid,
    .key = level_key,
    .value = level_value,
    .status = level_status,
    .close = level_close,
};

void iter_level_set_times(struct iter *iter, const struct time_range *range)
{
    struct level_iter *self = self_of(iter);
    CHECK(iter->ops == &level_ops && self->entries == NULL);
    self->by_time = true;
    self->range = *range;
}

enum status iter_level_new(struct alloc *alloc, const struct version *version, unsigned keyspace,
                           unsigned level, size_t begin, size_t end,
                           const struct table_read_options *options, struct iter **out,
                           struct error *err)
{
    CHECK(level > 0);
    CHECK(begin <= end && end <= version_count(version, keyspace, level));
    struct level_iter *self = alloc_new(alloc, sizeof *self);
    if (self == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for an iterator");
    }
    *self = (struct level_iter){.iter = {.ops = &level_ops},
                                .alloc = alloc,
                                .version = version,
                                .keyspace = keyspace,
                                .level = level,
                                .begin = begin,
                                .end = end,
                                .options = *options,
                                .failure = ERROR_INIT};
    *out = &self->iter;
    return STATUS_OK;
}
