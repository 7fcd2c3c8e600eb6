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

enum status event_log_position_at(struct engine *engine, uint64_t size, uint64_t time_ns,
                                  uint64_t *position, struct error *err)
{
    uint64_t begin = 0;
    uint64_t end = size;
    enum status status = STATUS_OK;
    struct buf value;
    buf_init(&value, alloc_default(), CLIENT_FRAME_BYTES_MAX);
    while (begin < end && status == STATUS_OK) {
        uint64_t middle = begin + (end - begin) / 2;
        struct event_record record;
        status = event_log_read(engine, size, middle, &value, &record, err);
        if (status == STATUS_OK && record.time_ns < time_ns) {
            begin = middle + 1;
        } else {
            end = middle;
        }
    }
    buf_release(&value);
    if (status == STATUS_OK) {
        *position = begin;
    }
    return status;
}

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
