/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/table/times.h"

#include "base/check.h"
#include "storage/table/key.h"

/* Some twenty bytes for each 128 KiB of the largest table. */
#define RUNS_BYTES_MAX (64UL * MIB)

static uint64_t zigzag(uint64_t difference)
{
    return (difference << 1) ^ (0 - (difference >> 63));
}

static uint64_t unzigzag(uint64_t number)
{
    return (number >> 1) ^ (0 - (number & 1));
}

/* --- making -------------------------------------------------------------------------------- */

void times_builder_init(struct times_builder *builder, struct alloc *alloc, uint32_t place)
{
    *builder = (struct times_builder){.place = place};
    buf_init(&builder->key_before, alloc, INTERNAL_KEY_BYTES_MAX);
    buf_init(&builder->runs, alloc, RUNS_BYTES_MAX);
}

void times_builder_release(struct times_builder *builder)
{
    buf_release(&builder->key_before);
    buf_release(&builder->runs);
}

void times_builder_add(struct times_builder *builder, struct slice value, size_t bytes)
{
    uint64_t time = 0;
    if (builder->missing || !value_time(value, builder->place, &time)) {
        builder->missing = true;
        return;
    }
    builder->fall = builder->fall || (builder->all.known && time < builder->last);
    builder->last = time;
    builder->run_bytes += bytes;
    time_bounds_add(&builder->all, time);
    time_bounds_add(&builder->run, time);
}

bool times_builder_end_block(struct times_builder *builder, struct slice last_key, bool final)
{
    if (builder->missing || !builder->run.known ||
        (!final && builder->run_bytes < TIME_RUN_BYTES)) {
        return true;
    }
    struct slice before = buf_slice(&builder->key_before);
    size_t shared = 0;
    while (shared < before.length && shared < last_key.length &&
           before.data[shared] == last_key.data[shared]) {
        shared++;
    }
    buf_put_varint(&builder->runs, shared);
    buf_put_prefixed(&builder->runs, slice_from(last_key, shared));
    buf_put_varint(&builder->runs, zigzag(builder->run.smallest - builder->smallest_before));
    buf_put_varint(&builder->runs, builder->run.largest - builder->run.smallest);
    builder->smallest_before = builder->run.smallest;
    buf_clear(&builder->key_before);
    buf_append_slice(&builder->key_before, last_key);
    builder->run = (struct time_bounds){.known = false};
    builder->run_bytes = 0;
    return !buf_failed(&builder->runs) && !buf_failed(&builder->key_before);
}

/* --- reading ------------------------------------------------------------------------------- */

/* One encoded run, its key in two parts. False: malformed. */
struct encoded_run {
    uint64_t shared;
    struct slice rest;
    struct time_bounds bounds;
};

static bool take_run(struct cursor *cursor, uint64_t *smallest, size_t key_before,
                     struct encoded_run *out)
{
    out->shared = cursor_varint(cursor);
    out->rest = cursor_prefixed(cursor);
    *smallest += unzigzag(cursor_varint(cursor));
    uint64_t span = cursor_varint(cursor);
    out->bounds =
        (struct time_bounds){.known = true, .smallest = *smallest, .largest = *smallest + span};
    return !cursor->failed && out->shared <= key_before && span <= UINT64_MAX - *smallest &&
           out->rest.length <= INTERNAL_KEY_BYTES_MAX - out->shared &&
           out->shared + out->rest.length >= KEY_TRAILER_BYTES;
}

/* How many runs there are, and the bytes of their keys. False: malformed. */
static bool measure(struct slice bytes, size_t *count, size_t *keys_bytes)
{
    struct cursor cursor = cursor_of(bytes);
    struct encoded_run run;
    uint64_t smallest = 0;
    size_t key_bytes = 0;
    *count = 0;
    *keys_bytes = 0;
    while (!cursor.failed && cursor_left(&cursor) > 0) {
        if (!take_run(&cursor, &smallest, key_bytes, &run)) {
            return false;
        }
        key_bytes = (size_t)run.shared + run.rest.length;
        *keys_bytes += key_bytes;
        (*count)++;
    }
    return cursor_done(&cursor) && *count > 0 && *keys_bytes <= RUNS_BYTES_MAX;
}

/* Fills the runs, whose memory is there; what they are taken together is *all. False: their keys do
 * not rise. */
static bool fill(struct slice bytes, struct time_runs *out, struct time_bounds *all)
{
    struct cursor cursor = cursor_of(bytes);
    struct encoded_run run;
    uint64_t smallest = 0;
    struct slice before = slice_of(NULL, 0);
    uint8_t *to = out->keys;
    for (size_t i = 0; i < out->count; i++) {
        bool taken = take_run(&cursor, &smallest, before.length, &run);
        CHECK(taken); /* as it was when it was measured */
        if (run.shared > 0) {
            memcpy(to, before.data, (size_t)run.shared);
        }
        if (run.rest.length > 0) {
            memcpy(to + run.shared, run.rest.data, run.rest.length);
        }
        struct slice key = slice_of(to, (size_t)run.shared + run.rest.length);
        if (i > 0 && internal_key_compare(before, key) >= 0) {
            return false;
        }
        if (out->rise && i > 0 && run.bounds.smallest < out->runs[i - 1].bounds.largest) {
            return false;
        }
        out->runs[i] = (struct time_run){.last_key = key, .bounds = run.bounds};
        time_bounds_add(all, run.bounds.smallest);
        time_bounds_add(all, run.bounds.largest);
        before = key;
        to += key.length;
    }
    return true;
}

enum status time_runs_decode(struct slice bytes, struct alloc *alloc, struct slice largest,
                             const struct time_bounds *all, bool rise, struct time_runs *out,
                             struct error *err)
{
    struct time_runs runs = {.alloc = alloc, .rise = rise};
    struct time_bounds found = {.known = false};
    if (!measure(bytes, &runs.count, &runs.keys_bytes)) {
        return error_set(err, STATUS_CORRUPT, "times of runs are malformed");
    }
    runs.runs = alloc_zeroed(alloc, runs.count, sizeof *runs.runs);
    runs.keys = alloc_new(alloc, runs.keys_bytes);
    enum status status = STATUS_OK;
    if (runs.runs == NULL || runs.keys == NULL) {
        status = error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for times of runs");
    } else if (!fill(bytes, &runs, &found) ||
               !slice_equal(runs.runs[runs.count - 1].last_key, largest) ||
               found.smallest != all->smallest || found.largest != all->largest) {
        status = error_set(err, STATUS_CORRUPT, "times of runs are not those of the table");
    }
    if (status != STATUS_OK) {
        time_runs_release(&runs);
        return status;
    }
    *out = runs;
    return STATUS_OK;
}

void time_runs_release(struct time_runs *runs)
{
    if (runs->alloc != NULL) {
        alloc_free(runs->alloc, runs->runs);
        alloc_free(runs->alloc, runs->keys);
    }
    *runs = (struct time_runs){.alloc = NULL};
}

size_t time_runs_bytes(const struct time_runs *runs)
{
    return runs->count * sizeof *runs->runs + runs->keys_bytes;
}

/* --- finding ------------------------------------------------------------------------------- */

/* The first run whose largest time is >= `time`; times rise. */
static size_t first_reaching(const struct time_runs *runs, uint64_t time)
{
    size_t low = 0;
    size_t high = runs->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (runs->runs[middle].bounds.largest < time) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

size_t time_runs_next(const struct time_runs *runs, const struct time_range *range, size_t index)
{
    if (runs->rise) {
        size_t first = first_reaching(runs, range->begin);
        index = index < first ? first : index;
        return index < runs->count && time_bounds_meet(&runs->runs[index].bounds, range)
                   ? index
                   : runs->count;
    }
    while (index < runs->count && !time_bounds_meet(&runs->runs[index].bounds, range)) {
        index++;
    }
    return index < runs->count ? index : runs->count;
}

size_t time_runs_prev(const struct time_runs *runs, const struct time_range *range, size_t index)
{
    CHECK(index <= runs->count);
    if (runs->rise && range->end > 0) {
        /* Behind the first run that reaches the end nothing is before it. */
        size_t last = first_reaching(runs, range->end);
        index = last < index ? last + 1 : index;
    }
    while (index > 0 && !time_bounds_meet(&runs->runs[index - 1].bounds, range)) {
        if (runs->rise && runs->runs[index - 1].bounds.largest < range->begin) {
            return SIZE_MAX;
        }
        index--;
    }
    return index > 0 ? index - 1 : SIZE_MAX;
}

size_t time_runs_find(const struct time_runs *runs, struct slice internal_key)
{
    size_t low = 0;
    size_t high = runs->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (internal_key_compare(runs->runs[middle].last_key, internal_key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* --- checking ------------------------------------------------------------------------------ */

static bool same_bounds(const struct time_bounds *a, const struct time_bounds *b)
{
    return a->known == b->known && a->smallest == b->smallest && a->largest == b->largest;
}

static void end_run(struct times_check *check)
{
    check->wide = check->wide || !same_bounds(&check->seen, &check->runs->runs[check->run].bounds);
    check->seen = (struct time_bounds){.known = false};
    check->run++;
}

const char *times_check_add(struct times_check *check, struct slice internal_key,
                            struct slice value)
{
    const struct time_runs *runs = check->runs;
    uint64_t time = 0;
    if (!value_time(value, check->place, &time)) {
        return "a value has no time, and the properties say that all have";
    }
    while (check->run < runs->count &&
           internal_key_compare(runs->runs[check->run].last_key, internal_key) < 0) {
        end_run(check);
    }
    if (check->run == runs->count) {
        return "a key is behind the last run of times";
    }
    const struct time_bounds *bounds = &runs->runs[check->run].bounds;
    if (time < bounds->smallest || time > bounds->largest) {
        return "a time is out of the bounds that the properties say";
    }
    if (runs->rise && check->started && time < check->last) {
        return "times fall, and the properties say that they do not";
    }
    check->started = true;
    check->last = time;
    time_bounds_add(&check->seen, time);
    return NULL;
}

bool times_check_ends(struct times_check *check)
{
    while (check->run < check->runs->count) {
        end_run(check);
    }
    return !check->wide;
}
