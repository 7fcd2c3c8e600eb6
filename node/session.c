/* SPDX-License-Identifier: Apache-2.0 */
#include "node/session.h"

#include "base/check.h"
#include "base/crc32c.h"

enum {
    BUCKETS_MIN = 64, /* a power of two, as all that follow */
    ROW_LAYOUT = 1,
    SLOTS_MIN = 4,
    ROW_BYTES_MAX = CLIENT_ID_BYTES + 1 + 10 + 8, /* without results */
    RESULT_BYTES_MAX = 10 + 10 + 8 + 5 + 5,
};

_Static_assert((SESSION_WINDOW_MAX & (SESSION_WINDOW_MAX - 1)) == 0, "slots are masked");

struct session {
    uint8_t client_id[CLIENT_ID_BYTES];
    uint64_t acknowledged_below;
    uint64_t last_used_ns;        /* log time */
    struct session_result *slots; /* by sequence modulo slot_count; sequence 0 is empty */
    uint32_t slot_count;          /* a power of two */
    uint32_t kept;                /* slots that are not empty */
    bool changed;
    struct session *bucket_next;
};

/* Ids of clients that were forgotten since the last flush: their rows must go. */
struct gone {
    uint8_t (*ids)[CLIENT_ID_BYTES];
    size_t count;
    size_t capacity;
};

struct session_table {
    struct alloc *alloc;
    struct session **buckets;
    size_t bucket_count;
    size_t count;
    uint64_t floor_ns;
    struct gone gone;
    size_t changed_bytes; /* see session_changed_bytes_max() */
};

enum status session_table_new(struct alloc *alloc, struct session_table **out, struct error *err)
{
    struct session_table *table = alloc_zeroed(alloc, 1, sizeof *table);
    struct session **buckets = alloc_zeroed(alloc, BUCKETS_MIN, sizeof *buckets);
    if (table == NULL || buckets == NULL) {
        alloc_free(alloc, table);
        alloc_free(alloc, buckets);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for the session table");
    }
    table->alloc = alloc;
    table->buckets = buckets;
    table->bucket_count = BUCKETS_MIN;
    *out = table;
    return STATUS_OK;
}

static void session_free(struct session_table *table, struct session *session)
{
    alloc_free(table->alloc, session->slots);
    alloc_free(table->alloc, session);
}

void session_table_free(struct session_table *table)
{
    if (table == NULL) {
        return;
    }
    for (size_t i = 0; i < table->bucket_count; i++) {
        while (table->buckets[i] != NULL) {
            struct session *session = table->buckets[i];
            table->buckets[i] = session->bucket_next;
            session_free(table, session);
        }
    }
    alloc_free(table->alloc, table->buckets);
    alloc_free(table->alloc, table->gone.ids);
    alloc_free(table->alloc, table);
}

static size_t bucket_of(const uint8_t *client_id, size_t bucket_count)
{
    return crc32c_extend(0, client_id, CLIENT_ID_BYTES) & (bucket_count - 1);
}

static struct session *session_find(const struct session_table *table, const uint8_t *client_id)
{
    struct session *session = table->buckets[bucket_of(client_id, table->bucket_count)];
    while (session != NULL && memcmp(session->client_id, client_id, CLIENT_ID_BYTES) != 0) {
        session = session->bucket_next;
    }
    return session;
}

static struct session_result *slot_of(const struct session *session, uint64_t sequence)
{
    return &session->slots[sequence & (session->slot_count - 1)];
}

/* It may have been answered by a session that is forgotten, also where the client has another one
 * since: from a request that was under way with it. */
static bool is_forgotten(const struct session_table *table, uint64_t first_attempt_ns,
                         struct error *err)
{
    if (first_attempt_ns == 0 || first_attempt_ns >= table->floor_ns) {
        return false;
    }
    (void)error_set(err, STATUS_UNKNOWN,
                    "outcome unknown: the request was first tried before the sessions of that time "
                    "were forgotten");
    return true;
}

enum session_answer session_check(const struct session_table *table, struct slice client_id,
                                  uint64_t sequence, uint64_t acknowledged_below,
                                  uint64_t first_attempt_ns, struct session_result *result,
                                  struct error *err)
{
    CHECK(client_id.length == CLIENT_ID_BYTES);
    const struct session *session = session_find(table, client_id.data);
    if (session == NULL) {
        if (is_forgotten(table, first_attempt_ns, err)) {
            return SESSION_REFUSED;
        }
        if (sequence - acknowledged_below >= SESSION_WINDOW_MAX) {
            goto outside_window;
        }
        return SESSION_NEW;
    }
    if (sequence < session->acknowledged_below) {
        (void)error_set(err, STATUS_FAILED_PRECONDITION,
                        "sequence %lu was acknowledged before; its result is forgotten",
                        (unsigned long)sequence);
        return SESSION_REFUSED;
    }
    const struct session_result *kept = slot_of(session, sequence);
    if (kept->sequence == sequence) {
        *result = *kept;
        return SESSION_REPEAT;
    }
    if (is_forgotten(table, first_attempt_ns, err)) {
        return SESSION_REFUSED;
    }
    uint64_t low = acknowledged_below > session->acknowledged_below ? acknowledged_below
                                                                    : session->acknowledged_below;
    if (sequence - low < SESSION_WINDOW_MAX) {
        return SESSION_NEW;
    }
outside_window:
    (void)error_set(err, STATUS_RESOURCE_EXHAUSTED,
                    "sequence %lu is %lu or more past the oldest unacknowledged one",
                    (unsigned long)sequence, SESSION_WINDOW_MAX);
    return SESSION_REFUSED;
}

static size_t row_bytes_max(const struct session *session)
{
    return ROW_BYTES_MAX + session->kept * (size_t)RESULT_BYTES_MAX;
}

/* Room to note every session as gone, so that forgetting one cannot fail: a row that stayed would
 * come back with the next start, on this node only. */
static bool gone_reserve(struct session_table *table)
{
    struct gone *gone = &table->gone;
    size_t needed = gone->count + table->count + 1;
    if (needed <= gone->capacity) {
        return true;
    }
    size_t capacity = needed < 64 ? 64 : needed * 2;
    void *ids = alloc_resize(table->alloc, gone->ids, capacity * CLIENT_ID_BYTES);
    if (ids == NULL) {
        return false;
    }
    gone->ids = ids;
    gone->capacity = capacity;
    return true;
}

/* Unlinks and frees the session that `link` points to, and notes that its row must go. */
static void session_forget(struct session_table *table, struct session **link)
{
    struct session *session = *link;
    struct gone *gone = &table->gone;
    CHECK(gone->count < gone->capacity);
    memcpy(gone->ids[gone->count++], session->client_id, CLIENT_ID_BYTES);
    *link = session->bucket_next;
    table->changed_bytes -= session->changed ? row_bytes_max(session) : 0;
    session_free(table, session);
    CHECK(table->count > 0);
    table->count--;
}

void session_expire(struct session_table *table, uint64_t floor_ns)
{
    for (size_t i = 0; i < table->bucket_count; i++) {
        struct session **link = &table->buckets[i];
        while (*link != NULL) {
            if ((*link)->last_used_ns < floor_ns) {
                session_forget(table, link);
            } else {
                link = &(*link)->bucket_next;
            }
        }
    }
    session_set_floor_ns(table, floor_ns);
}

/* Equal tables must choose alike: the oldest use, then the smallest id. */
static bool older(const struct session *a, const struct session *b)
{
    if (a->last_used_ns != b->last_used_ns) {
        return a->last_used_ns < b->last_used_ns;
    }
    return memcmp(a->client_id, b->client_id, CLIENT_ID_BYTES) < 0;
}

static void forget_oldest(struct session_table *table)
{
    struct session **oldest = NULL;
    for (size_t i = 0; i < table->bucket_count; i++) {
        for (struct session **link = &table->buckets[i]; *link != NULL;
             link = &(*link)->bucket_next) {
            if (oldest == NULL || older(*link, *oldest)) {
                oldest = link;
            }
        }
    }
    CHECK(oldest != NULL);
    session_set_floor_ns(table, (*oldest)->last_used_ns + 1);
    session_forget(table, oldest);
}

/* Twice as many buckets. Without memory the chains get longer. */
static void buckets_grow(struct session_table *table)
{
    size_t count = table->bucket_count * 2;
    struct session **buckets = alloc_zeroed(table->alloc, count, sizeof *buckets);
    if (buckets == NULL) {
        return;
    }
    for (size_t i = 0; i < table->bucket_count; i++) {
        while (table->buckets[i] != NULL) {
            struct session *session = table->buckets[i];
            struct session **bucket = &buckets[bucket_of(session->client_id, count)];
            table->buckets[i] = session->bucket_next;
            session->bucket_next = *bucket;
            *bucket = session;
        }
    }
    alloc_free(table->alloc, table->buckets);
    table->buckets = buckets;
    table->bucket_count = count;
}

static struct session *session_add(struct session_table *table, const uint8_t *client_id)
{
    if (!gone_reserve(table)) {
        return NULL;
    }
    if (table->count == SESSIONS_MAX) {
        forget_oldest(table);
    }
    struct session *session = alloc_zeroed(table->alloc, 1, sizeof *session);
    struct session_result *slots =
        alloc_zeroed(table->alloc, SLOTS_MIN, sizeof(struct session_result));
    if (session == NULL || slots == NULL) {
        alloc_free(table->alloc, session);
        alloc_free(table->alloc, slots);
        return NULL;
    }
    memcpy(session->client_id, client_id, CLIENT_ID_BYTES);
    session->slots = slots;
    session->slot_count = SLOTS_MIN;
    if (table->count >= table->bucket_count) {
        buckets_grow(table);
    }
    struct session **bucket = &table->buckets[bucket_of(client_id, table->bucket_count)];
    session->bucket_next = *bucket;
    *bucket = session;
    table->count++;
    return session;
}

static void forget_below(struct session *session, uint64_t acknowledged_below)
{
    if (acknowledged_below <= session->acknowledged_below) {
        return;
    }
    session->acknowledged_below = acknowledged_below;
    for (uint32_t i = 0; i < session->slot_count; i++) {
        if (session->slots[i].sequence != 0 && session->slots[i].sequence < acknowledged_below) {
            session->slots[i] = (struct session_result){0};
            session->kept--;
        }
    }
}

/* Its slot is there. */
static void keep(struct session *session, const struct session_result *result)
{
    struct session_result *slot = slot_of(session, result->sequence);
    session->kept += slot->sequence == 0;
    *slot = *result;
}

/* Makes room so that `sequence` and all kept results have slots of their own. */
static bool slots_for(struct session_table *table, struct session *session, uint64_t sequence)
{
    uint32_t needed = session->slot_count;
    while (sequence - session->acknowledged_below >= needed) {
        needed *= 2;
    }
    if (needed == session->slot_count) {
        return true;
    }
    CHECK(needed <= SESSION_WINDOW_MAX);
    struct session_result *slots =
        alloc_zeroed(table->alloc, needed, sizeof(struct session_result));
    if (slots == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < session->slot_count; i++) {
        if (session->slots[i].sequence != 0) {
            slots[session->slots[i].sequence & (needed - 1)] = session->slots[i];
        }
    }
    alloc_free(table->alloc, session->slots);
    session->slots = slots;
    session->slot_count = needed;
    return true;
}

enum status session_record(struct session_table *table, struct slice client_id,
                           uint64_t acknowledged_below, const struct session_result *result,
                           struct error *err)
{
    CHECK(client_id.length == CLIENT_ID_BYTES);
    CHECK(result->sequence > 0);
    struct session *session = session_find(table, client_id.data);
    if (session == NULL) {
        session = session_add(table, client_id.data);
    }
    if (session == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a session");
    }
    table->changed_bytes -= session->changed ? row_bytes_max(session) : 0;
    session->changed = false;
    forget_below(session, acknowledged_below);
    CHECK(result->sequence >= session->acknowledged_below);
    if (!slots_for(table, session, result->sequence)) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a session's results");
    }
    keep(session, result);
    if (result->time_ns > session->last_used_ns) {
        session->last_used_ns = result->time_ns;
    }
    session->changed = true;
    table->changed_bytes += row_bytes_max(session);
    return STATUS_OK;
}

uint64_t session_floor_ns(const struct session_table *table)
{
    return table->floor_ns;
}

void session_set_floor_ns(struct session_table *table, uint64_t floor_ns)
{
    if (floor_ns > table->floor_ns) {
        table->floor_ns = floor_ns;
    }
}

size_t session_count(const struct session_table *table)
{
    return table->count;
}

size_t session_changed_bytes_max(const struct session_table *table)
{
    return table->changed_bytes;
}

/* In the order of the sequences: nodes whose tables grew differently have equal rows. */
static void row_encode(const struct session *session, struct buf *row)
{
    buf_clear(row);
    buf_put_u8(row, ROW_LAYOUT);
    buf_put_varint(row, session->acknowledged_below);
    buf_put_le64(row, session->last_used_ns);
    for (uint32_t i = 0; i < session->slot_count; i++) {
        uint64_t sequence = session->acknowledged_below + i;
        const struct session_result *result = &session->slots[sequence & (session->slot_count - 1)];
        if (result->sequence != 0) {
            buf_put_varint(row, result->sequence);
            buf_put_varint(row, result->position);
            buf_put_le64(row, result->time_ns);
            buf_put_varint(row, result->count);
            buf_put_varint(row, result->status);
        }
    }
}

static enum status each_session(const struct session_table *table, bool changed_only,
                                session_row_fn each, void *context, struct error *err)
{
    enum status status = STATUS_OK;
    struct buf row;
    buf_init(&row, table->alloc, SESSION_WINDOW_MAX * 64);
    for (size_t i = 0; i < table->bucket_count && status == STATUS_OK; i++) {
        for (const struct session *session = table->buckets[i];
             session != NULL && status == STATUS_OK; session = session->bucket_next) {
            if (changed_only && !session->changed) {
                continue;
            }
            row_encode(session, &row);
            status = buf_failed(&row)
                         ? error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a session row")
                         : each(context, slice_of(session->client_id, CLIENT_ID_BYTES),
                                buf_slice(&row), err);
        }
    }
    buf_release(&row);
    return status;
}

enum status session_each(const struct session_table *table, session_row_fn each, void *context,
                         struct error *err)
{
    return each_session(table, false, each, context, err);
}

enum status session_flush(struct session_table *table, session_row_fn each, void *context,
                          struct error *err)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < table->gone.count && status == STATUS_OK; i++) {
        /* The client may have come back since. */
        if (session_find(table, table->gone.ids[i]) == NULL) {
            status = each(context, slice_of(table->gone.ids[i], CLIENT_ID_BYTES), slice_of(NULL, 0),
                          err);
        }
    }
    if (status == STATUS_OK) {
        status = each_session(table, true, each, context, err);
    }
    if (status == STATUS_OK) {
        table->gone.count = 0;
        table->changed_bytes = 0;
        for (size_t i = 0; i < table->bucket_count; i++) {
            for (struct session *at = table->buckets[i]; at != NULL; at = at->bucket_next) {
                at->changed = false;
            }
        }
    }
    return status;
}

static bool result_decode(struct cursor *cursor, struct session_result *out)
{
    out->sequence = cursor_varint(cursor);
    out->position = cursor_varint(cursor);
    out->time_ns = cursor_le64(cursor);
    uint64_t count = cursor_varint(cursor);
    uint64_t status = cursor_varint(cursor);
    out->count = (uint32_t)count;
    out->status = (uint32_t)status;
    return !cursor->failed && out->sequence > 0 && count <= EVENTS_PER_REQUEST_MAX &&
           status_is_known((unsigned)status);
}

enum status session_load(struct session_table *table, struct slice client_id, struct slice row,
                         struct error *err)
{
    if (client_id.length != CLIENT_ID_BYTES) {
        return error_set(err, STATUS_CORRUPT, "a session row's key has %zu bytes",
                         client_id.length);
    }
    if (table->count >= SESSIONS_MAX || session_find(table, client_id.data) != NULL) {
        return error_set(err, STATUS_CORRUPT, "a session row is one too many");
    }
    struct session *session = session_add(table, client_id.data);
    if (session == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a session");
    }
    struct cursor cursor = cursor_of(row);
    uint8_t layout = cursor_u8(&cursor);
    session->acknowledged_below = cursor_varint(&cursor);
    session->last_used_ns = cursor_le64(&cursor);
    while (!cursor.failed && layout == ROW_LAYOUT && cursor_left(&cursor) > 0) {
        struct session_result result;
        if (!result_decode(&cursor, &result) || result.sequence < session->acknowledged_below ||
            result.sequence - session->acknowledged_below >= SESSION_WINDOW_MAX) {
            cursor.failed = true;
            break;
        }
        if (!slots_for(table, session, result.sequence)) {
            return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a session's results");
        }
        keep(session, &result);
    }
    if (cursor.failed || layout != ROW_LAYOUT) {
        return error_set(err, STATUS_CORRUPT, "a session row is malformed");
    }
    return STATUS_OK;
}
