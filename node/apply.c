/* SPDX-License-Identifier: Apache-2.0 */
#include "node/apply.h"

#include "base/check.h"
#include "base/plant.h"
#include "node/append_entry.h"
#include "node/event_record.h"
#include "raft/entry.h"

/* The newest row of a key: from the cache, if it changed since the last seal, or the engine. */
static enum status latest_lookup(struct apply_state *state, struct slice key,
                                 struct latest_row *out, struct error *err)
{
    const struct latest_row *known = latest_cache_get(state->latest, key);
    if (known != NULL) {
        *out = *known;
        return STATUS_OK;
    }
    enum status status =
        engine_get_by_writer(state->engine, KEYSPACE_LATEST, key, &state->value, err);
    if (status == STATUS_NOT_FOUND || (PLANTED(UNREADABLE_NEW) && status != STATUS_OK)) {
        *out = (struct latest_row){.position = LATEST_ABSENT};
        return STATUS_OK;
    }
    if (status == STATUS_OK) {
        status = latest_row_decode(buf_slice(&state->value), out, err);
    }
    state->damaged = state->damaged || status == STATUS_CORRUPT;
    return status;
}

static bool is_live(const struct latest_row *row)
{
    return row->position != LATEST_ABSENT && row->kind != EVENT_KIND_DELETE;
}

static uint64_t next_version(const struct latest_row *row)
{
    return row->position == LATEST_ABSENT ? 0 : row->version + 1;
}

/* Whether the event's expectation holds; fills `result` if not. */
static bool expectation_holds(const struct append_event *event, const struct latest_row *row,
                              uint32_t i, struct apply_result *result)
{
    if (event->expectation == EXPECT_NONE && is_live(row)) {
        result->status = error_set(&result->error, STATUS_ABORTED,
                                   "event %u: the key exists; its version is %lu", i,
                                   (unsigned long)row->version);
        return false;
    }
    if (event->expectation == EXPECT_VERSION) {
        if (row->position == LATEST_ABSENT) {
            result->status = error_set(&result->error, STATUS_ABORTED,
                                       "event %u: version %lu was expected; the key has no events",
                                       i, (unsigned long)event->expected_version);
            return false;
        }
        if (row->version != event->expected_version) {
            result->status = error_set(
                &result->error, STATUS_ABORTED, "event %u: version %lu was expected; it is %lu", i,
                (unsigned long)event->expected_version, (unsigned long)row->version);
            return false;
        }
    }
    return true;
}

static uint8_t kind_of(const struct append_event *event, const struct latest_row *row)
{
    if (event->kind != 0) {
        return event->kind;
    }
    return is_live(row) ? EVENT_KIND_UPDATE : EVENT_KIND_CREATE;
}

/* The rows that earlier events of the same request would give a key, while it is not yet sure
 * that the request is applied at all. */
struct trial {
    struct slice key;
    struct latest_row row;
};

/* Checks all expectations before anything is written: a request is applied whole or not at all.
 * Later events of a request see the versions that earlier ones would get. Quadratic in the
 * events of a request that expects something, which is bounded. */
static enum status check_expectations(struct apply_state *state, const struct append_entry *entry,
                                      struct apply_result *result, struct error *err)
{
    struct trial *trials = NULL;
    struct cursor cursor = cursor_of(entry->events);
    bool any = false;
    enum status status = STATUS_OK;
    for (uint32_t i = 0; i < entry->count && status == STATUS_OK; i++) {
        struct append_event event;
        status = append_event_next(entry, &cursor, &event, err);
        any = any || (status == STATUS_OK && event.expectation != EXPECT_ANY);
    }
    if (status == STATUS_OK && !cursor_done(&cursor)) {
        status = error_set(err, STATUS_CORRUPT, "an APPEND entry has bytes past its events");
    }
    if (status != STATUS_OK || !any) {
        return status;
    }
    trials = alloc_zeroed(state->alloc, entry->count, sizeof *trials);
    if (trials == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory to check expectations");
    }
    cursor = cursor_of(entry->events);
    for (uint32_t i = 0; i < entry->count && status == STATUS_OK; i++) {
        struct append_event event;
        struct latest_row row;
        status = append_event_next(entry, &cursor, &event, err);
        if (status != STATUS_OK) {
            break;
        }
        uint32_t j = i;
        while (j > 0 && !slice_equal(trials[j - 1].key, event.key)) {
            j--;
        }
        if (j > 0) {
            row = trials[j - 1].row;
        } else {
            status = latest_lookup(state, event.key, &row, err);
        }
        if (status != STATUS_OK || !expectation_holds(&event, &row, i, result)) {
            break;
        }
        trials[i].key = event.key;
        trials[i].row = (struct latest_row){.version = next_version(&row),
                                            .position = state->size + i,
                                            .kind = kind_of(&event, &row)};
    }
    alloc_free(state->alloc, trials);
    return status;
}

static enum status apply_event(struct apply_state *state, const struct append_event *event,
                               uint64_t time_ns, struct buf *versions, struct error *err)
{
    struct latest_row row;
    enum status status = latest_lookup(state, event->key, &row, err);
    if (status != STATUS_OK) {
        return status;
    }
    const struct event_record record = {
        .position = state->size,
        .time_ns = time_ns,
        .version = next_version(&row),
        .kind = kind_of(event, &row),
        .severity = event->severity,
        .key = event->key,
        .type = event->type,
        .event_id = event->event_id,
        .salt = event->salt,
        .payload = event->payload,
    };
    struct hash leaf = event_record_leaf(tile_store_hasher(state->tiles), &record);
    status = tile_store_append(state->tiles, &leaf, &state->batch, err);
    if (status != STATUS_OK) {
        return status;
    }
    uint8_t position[POSITION_KEY_BYTES];
    position_key(record.position, position);
    uint8_t *space =
        batch_put_space(&state->batch, KEYSPACE_EVENTS, slice_of(position, sizeof position),
                        event_record_length(&record));
    if (space != NULL) { /* a failed batch is refused by engine_write */
        event_record_encode(&record, space);
    }
    row = (struct latest_row){
        .version = record.version, .position = record.position, .kind = record.kind};
    const struct version_row version = {
        .position = record.position, .time_ns = time_ns, .kind = record.kind};
    version_rows_add(&state->version_rows, event->key, record.version, &version);
    if (!latest_cache_put(state->latest, event->key, &row)) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory to apply an event");
    }
    buf_append(versions, &record.version, sizeof record.version);
    state->size++;
    state->time_ns = time_ns;
    return STATUS_OK;
}

static enum status apply_events(struct apply_state *state, const struct append_entry *entry,
                                struct apply_result *result, struct buf *versions,
                                struct error *err)
{
    struct cursor cursor = cursor_of(entry->events);
    if (entry->time_ns <= state->time_ns) {
        return error_set(err, STATUS_CORRUPT,
                         "an entry's time %lu is not past the last event's, %lu",
                         (unsigned long)entry->time_ns, (unsigned long)state->time_ns);
    }
    result->position = state->size;
    result->time_ns = entry->time_ns;
    result->count = entry->count;
    result->versions_begin = versions->length / sizeof(uint64_t);
    for (uint32_t i = 0; i < entry->count; i++) {
        struct append_event event;
        enum status status = append_event_next(entry, &cursor, &event, err);
        if (status == STATUS_OK) {
            status = apply_event(state, &event, entry->time_ns + i, versions, err);
        }
        if (status != STATUS_OK) {
            return status;
        }
    }
    CHECK(tile_store_appended(state->tiles) == state->size);
    return STATUS_OK;
}

static enum status apply_append(struct apply_state *state, struct slice bytes,
                                struct apply_result *result, struct buf *versions,
                                struct error *err)
{
    struct append_entry entry;
    enum status status = append_entry_decode(bytes, &entry, err);
    if (status != STATUS_OK) {
        return status;
    }
    if (entry.client_id.length > 0 && !PLANTED(NO_SESSIONS)) {
        struct session_result kept;
        switch (session_check(state->sessions, entry.client_id, entry.sequence,
                              entry.acknowledged_below, entry.first_attempt_ns, &kept,
                              &result->error)) {
        case SESSION_NEW:
            break;
        case SESSION_REFUSED:
            result->status = result->error.status;
            return STATUS_OK;
        case SESSION_REPEAT:
            result->status = (enum status)kept.status;
            result->position = kept.position;
            result->time_ns = kept.time_ns;
            result->count = kept.count;
            result->repeated = true;
            (void)error_set(&result->error, result->status,
                            "the request was refused before, and stays so");
            return STATUS_OK;
        }
    }
    status = check_expectations(state, &entry, result, err);
    if (status == STATUS_OK && result->status == STATUS_OK) {
        status = apply_events(state, &entry, result, versions, err);
    }
    if (status == STATUS_OK && entry.client_id.length > 0) {
        const struct session_result record = {
            .sequence = entry.sequence,
            .position = result->position,
            .time_ns = entry.time_ns,
            .count = result->count,
            .status = (uint32_t)result->status,
        };
        status = session_record(state->sessions, entry.client_id, entry.acknowledged_below, &record,
                                err);
    }
    return status;
}

enum status apply_entry(struct apply_state *state, const struct apply_input *entry,
                        struct apply_result *result, struct buf *versions, struct error *err)
{
    struct slice bytes = entry->data;
    state->log_bytes += bytes.length;
    *result = (struct apply_result){.status = STATUS_OK};
    enum status status = STATUS_OK;
    switch (entry->type) {
    case ENTRY_NOOP:
        break;
    case ENTRY_APPEND:
        status = apply_append(state, bytes, result, versions, err);
        break;
    case ENTRY_EXPIRE_SESSIONS:
        if (bytes.length != 8) {
            status = error_set(err, STATUS_CORRUPT, "an EXPIRE_SESSIONS entry has %zu bytes",
                               bytes.length);
        } else {
            session_expire(state->sessions, get_le64(bytes.data));
        }
        break;
    case RAFT_ENTRY_MEMBERSHIP:
        buf_clear(&state->membership);
        buf_append_slice(&state->membership, bytes);
        if (buf_failed(&state->membership)) {
            status = error_set(err, STATUS_INTERNAL, "no memory for the membership");
        }
        break;
    default:
        status =
            error_set(err, STATUS_UNIMPLEMENTED,
                      "entry type %u is unknown: this node needs a newer version", entry->type);
    }
    if (status != STATUS_OK) {
        return error_wrap(err, "apply entry %lu of term %lu", (unsigned long)entry->index,
                          (unsigned long)entry->term);
    }
    return STATUS_OK;
}
