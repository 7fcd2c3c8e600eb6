/* SPDX-License-Identifier: Apache-2.0 */
#include "node/event_log.h"

#include "base/check.h"

enum status event_log_read(struct engine *engine, uint64_t size, uint64_t position,
                           struct buf *value, struct event_record *out, struct error *err)
{
    if (position >= size) {
        return error_set(err, STATUS_NOT_FOUND, "position %lu is past the end; the log has %lu",
                         (unsigned long)position, (unsigned long)size);
    }
    uint8_t key[POSITION_KEY_BYTES];
    position_key(position, key);
    enum status status =
        engine_get(engine, NULL, KEYSPACE_EVENTS, slice_of(key, sizeof key), value, err);
    if (status == STATUS_NOT_FOUND) {
        return error_set(err, STATUS_DATA_LOSS, "the event at position %lu is missing",
                         (unsigned long)position);
    }
    if (status != STATUS_OK) {
        return status;
    }
    return event_record_decode(position, buf_slice(value), out, err);
}

/* --- by time ------------------------------------------------------------------------------- */

/* The first position whose time is not less than `time_ns` is in [begin, end]. */
struct time_search {
    uint64_t time_ns;
    uint64_t begin;
    uint64_t end;
    bool within_table; /* and in a table that knows where its times are */
    uint64_t last_ns;  /* that table's */
};

/* Times rise with the positions: a table that knows its times tells on which side of it, or between
 * which of its positions, the search goes on. Nothing is read for that. */
static enum status narrow(void *context, const struct engine_table *table, struct error *err)
{
    struct time_search *search = context;
    if (table->smallest.length != POSITION_KEY_BYTES ||
        table->largest.length != POSITION_KEY_BYTES) {
        return error_set(err, STATUS_CORRUPT, "%s: a key of keyspace events is malformed",
                         table->name);
    }
    uint64_t first = get_be64(table->smallest.data);
    uint64_t last = get_be64(table->largest.data);
    bool begins_before = table->times.known && table->times.smallest < search->time_ns;
    bool ends_before = table->times.known && table->times.largest < search->time_ns;
    if (begins_before) {
        uint64_t begin = (ends_before ? last : first) + 1;
        search->begin = search->begin < begin ? begin : search->begin;
    }
    if (table->times.known && !ends_before) {
        uint64_t end = begins_before ? last : first;
        search->end = search->end < end ? search->end : end;
    }
    if (begins_before && !ends_before) {
        search->within_table = true;
        search->last_ns = table->times.largest;
    }
    return STATUS_OK;
}

/* The table knows the times of its parts: a few blocks are read. No other has times in the range,
 * so none is opened. The last event of the table is search->end, unless that is nearer. */
static enum status search_table(struct engine *engine, struct time_search *search,
                                struct error *err)
{
    uint8_t begin_key[POSITION_KEY_BYTES];
    uint8_t end_key[POSITION_KEY_BYTES];
    position_key(search->begin, begin_key);
    position_key(search->end, end_key);
    const struct engine_iter_options options = {.begin = slice_of(begin_key, sizeof begin_key),
                                                .end = slice_of(end_key, sizeof end_key),
                                                .by_time = true,
                                                .time_begin = search->time_ns,
                                                .time_end = search->last_ns};
    struct engine_iter *iter = NULL;
    enum status status = engine_iter_new(engine, NULL, KEYSPACE_EVENTS, &options, &iter, err);
    if (status != STATUS_OK) {
        return status;
    }
    engine_iter_seek_first(iter);
    if (engine_iter_valid(iter)) {
        struct slice key = engine_iter_key(iter);
        if (key.length == POSITION_KEY_BYTES) {
            search->end = get_be64(key.data);
        } else {
            status = error_set(err, STATUS_CORRUPT, "a key of keyspace events is malformed");
        }
    } else {
        status = engine_iter_status(iter, err);
    }
    engine_iter_close(iter);
    return status;
}

static enum status search_positions(struct engine *engine, uint64_t size,
                                    struct time_search *search, struct error *err)
{
    enum status status = STATUS_OK;
    struct buf value;
    buf_init(&value, alloc_default(), CLIENT_FRAME_BYTES_MAX);
    while (search->begin < search->end && status == STATUS_OK) {
        uint64_t middle = search->begin + (search->end - search->begin) / 2;
        struct event_record record;
        status = event_log_read(engine, size, middle, &value, &record, err);
        if (status == STATUS_OK && record.time_ns < search->time_ns) {
            search->begin = middle + 1;
        } else {
            search->end = middle;
        }
    }
    buf_release(&value);
    return status;
}

enum status event_log_position_at(struct engine *engine, uint64_t size, uint64_t time_ns,
                                  uint64_t *position, struct error *err)
{
    struct time_search search = {.time_ns = time_ns, .begin = 0, .end = size};
    enum status status = engine_for_each_table(engine, KEYSPACE_EVENTS, narrow, &search, err);
    if (status == STATUS_OK && search.begin < search.end) {
        status = search.within_table ? search_table(engine, &search, err)
                                     : search_positions(engine, size, &search, err);
    }
    if (status == STATUS_OK) {
        *position = search.end;
    }
    return status;
}

/* --- by key -------------------------------------------------------------------------------- */

/* Steps back from the newest version until one lies below `size`. */
static enum status newest_below(struct engine_iter *iter, struct slice prefix, uint64_t size,
                                uint64_t *version, struct version_row *out, struct error *err)
{
    while (engine_iter_valid(iter)) {
        struct slice key = engine_iter_key(iter);
        if (key.length != prefix.length + 8 || !slice_starts_with(key, prefix)) {
            return error_set(err, STATUS_CORRUPT, "a key of keyspace versions is malformed");
        }
        struct version_row row;
        enum status status = version_row_decode(engine_iter_value(iter), &row, err);
        if (status != STATUS_OK) {
            return status;
        }
        if (row.position < size) {
            *version = get_be64(key.data + prefix.length);
            *out = row;
            return STATUS_OK;
        }
        engine_iter_prev(iter);
    }
    enum status status = engine_iter_status(iter, err);
    return status != STATUS_OK ? status : error_set(err, STATUS_NOT_FOUND, "the key has no events");
}

enum status event_log_newest(struct engine *engine, uint64_t size, struct slice key,
                             uint64_t *version, struct version_row *out, struct error *err)
{
    uint8_t begin[VERSION_KEY_BYTES_MAX];
    uint8_t end[VERSION_KEY_BYTES_MAX];
    size_t length = version_key(key, 0, begin);
    (void)version_key(key, UINT64_MAX, end);
    const struct engine_iter_options options = {.begin = slice_of(begin, length),
                                                .end = slice_of(end, length)};
    struct engine_iter *iter = NULL;
    enum status status = engine_iter_new(engine, NULL, KEYSPACE_VERSIONS, &options, &iter, err);
    if (status != STATUS_OK) {
        return status;
    }
    engine_iter_seek_last(iter);
    status = newest_below(iter, slice_of(begin, length - 8), size, version, out, err);
    engine_iter_close(iter);
    return status;
}
