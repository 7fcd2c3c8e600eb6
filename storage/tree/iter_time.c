/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/tree/iter_time.h"

#include "base/check.h"

struct time_iter {
    struct iter iter;
    struct alloc *alloc;
    struct time_range range;
    const struct time_runs *runs; /* of the table that `entries` holds */
    struct iter *entries;
    size_t run; /* of the entry; count: at an end */
};

static struct time_iter *self_of(const struct iter *iter)
{
    return (struct time_iter *)iter;
}

/* To the first entry of `run`, if it is one. */
static void enter_at_first(struct time_iter *self, size_t run)
{
    self->run = run;
    if (run == 0) {
        iter_seek_to_first(self->entries);
    } else if (run < self->runs->count) {
        struct slice before = self->runs->runs[run - 1].last_key;
        iter_seek(self->entries, before);
        if (iter_valid(self->entries) && slice_equal(iter_key(self->entries), before)) {
            iter_next(self->entries);
        }
    }
}

/* To the last one: a run's last key is an entry's. */
static void enter_at_last(struct time_iter *self, size_t run)
{
    self->run = run;
    if (run < self->runs->count) {
        iter_seek(self->entries, self->runs->runs[run].last_key);
    }
}

static bool in_run(const struct time_iter *self)
{
    struct slice key = iter_key(self->entries);
    const struct time_run *runs = self->runs->runs;
    return internal_key_compare(key, runs[self->run].last_key) <= 0 &&
           (self->run == 0 || internal_key_compare(key, runs[self->run - 1].last_key) > 0);
}

static void time_seek_to_first(struct iter *iter)
{
    struct time_iter *self = self_of(iter);
    enter_at_first(self, time_runs_next(self->runs, &self->range, 0));
}

static void time_seek_to_last(struct iter *iter)
{
    struct time_iter *self = self_of(iter);
    size_t run = time_runs_prev(self->runs, &self->range, self->runs->count);
    enter_at_last(self, run == SIZE_MAX ? self->runs->count : run);
}

static void time_seek(struct iter *iter, struct slice target)
{
    struct time_iter *self = self_of(iter);
    size_t at = time_runs_find(self->runs, target);
    size_t run = time_runs_next(self->runs, &self->range, at);
    if (run != at || run == self->runs->count) {
        enter_at_first(self, run);
        return;
    }
    self->run = run;
    iter_seek(self->entries, target);
}

static bool time_valid(const struct iter *iter)
{
    const struct time_iter *self = self_of(iter);
    return self->run < self->runs->count && iter_valid(self->entries);
}

static void time_next(struct iter *iter)
{
    struct time_iter *self = self_of(iter);
    CHECK(time_valid(iter));
    iter_next(self->entries);
    if (!iter_valid(self->entries)) {
        if (iter_status(self->entries, NULL) == STATUS_OK) {
            self->run = self->runs->count;
        }
    } else if (!in_run(self)) {
        size_t next = time_runs_next(self->runs, &self->range, self->run + 1);
        if (next == self->run + 1) {
            self->run = next; /* it stands there already */
        } else {
            enter_at_first(self, next);
        }
    }
}

static void time_prev(struct iter *iter)
{
    struct time_iter *self = self_of(iter);
    CHECK(time_valid(iter));
    iter_prev(self->entries);
    if (!iter_valid(self->entries)) {
        if (iter_status(self->entries, NULL) == STATUS_OK) {
            self->run = self->runs->count;
        }
    } else if (!in_run(self)) {
        size_t prev = time_runs_prev(self->runs, &self->range, self->run);
        if (prev == self->run - 1) {
            self->run = prev;
        } else {
            enter_at_last(self, prev == SIZE_MAX ? self->runs->count : prev);
        }
    }
}

static struct slice time_key(const struct iter *iter)
{
    return iter_key(self_of(iter)->entries);
}

static struct slice time_value(const struct iter *iter)
{
    return iter_value(self_of(iter)->entries);
}

static enum status time_status(const struct iter *iter, struct error *err)
{
    const struct time_iter *self = self_of(iter);
    /* At an end it does not matter where the entries stand. */
    return self->run == self->runs->count ? STATUS_OK : iter_status(self->entries, err);
}

static void time_close(struct iter *iter)
{
    struct time_iter *self = self_of(iter);
    iter_close(self->entries);
    alloc_free(self->alloc, self);
}

static const struct iter_ops time_ops = {
    .seek = time_seek,
    .seek_to_first = time_seek_to_first,
    .seek_to_last = time_seek_to_last,
    .next = time_next,
    .prev = time_prev,
    .valid = time_valid,
    .key = time_key,
    .value = time_value,
    .status = time_status,
    .close = time_close,
};

enum status iter_time_new(struct alloc *alloc, struct table *table,
                          const struct table_read_options *options, const struct time_range *range,
                          struct iter **out, struct error *err)
{
    const struct time_runs *runs = table_get_time_runs(table);
    if (runs->count == 0) {
        return table_iter_new(table, options, out, err);
    }
    struct time_iter *self = alloc_new(alloc, sizeof *self);
    if (self == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for an iterator");
    }
    *self = (struct time_iter){.iter = {.ops = &time_ops},
                               .alloc = alloc,
                               .range = *range,
                               .runs = runs,
                               .run = runs->count};
    enum status status = table_iter_new(table, options, &self->entries, err);
    if (status != STATUS_OK) {
        alloc_free(alloc, self);
        return status;
    }
    *out = &self->iter;
    return STATUS_OK;
}
