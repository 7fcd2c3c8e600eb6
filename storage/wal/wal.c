/* SPDX-License-Identifier: Apache-2.0
 *
 * What the owner's thread does while the log is open.
 */
#include "base/check.h"
#include "storage/wal/inside.h"

static enum status poisoned(const struct wal *wal, struct error *err)
{
    if (wal->poison != STATUS_OK && err != NULL) {
        *err = wal->poison_error;
    }
    return wal->poison;
}

static void poison(struct wal *wal, enum status status, const struct error *why)
{
    wal->poison = status;
    wal->poison_error = *why;
    wal->poison_error.status = status;
}

/* --- collecting -------------------------------------------------------------------------- */

/* Readers see at once that entries are gone; the records that say so to the disk are the
 * caller's. */
static void cut(struct wal *wal, uint64_t last_index, bool reset)
{
    mutex_lock(&wal->mutex);
    if (reset) {
        wal_index_reset(&wal->index, last_index);
    } else {
        wal_index_truncate(&wal->index, last_index);
    }
    if (wal->flight != NULL) {
        /* A reset may go forward: nothing of the flight is above it then, but all of it is gone. */
        wal_group_forget_above(wal->flight, reset ? 0 : last_index);
        if (reset) {
            wal->flight->readable_last = last_index;
        }
    }
    mutex_unlock(&wal->mutex);
    wal_group_forget_above(wal->pending, reset ? 0 : last_index);
    wal->fresh = true;
}

static size_t count_terms(const struct wal_entry *entries, size_t count)
{
    size_t terms = 1;
    for (size_t i = 1; i < count; i++) {
        terms += entries[i].term != entries[i - 1].term;
    }
    return terms;
}

static enum status check_entries(const struct wal *wal, const struct wal_entry *entries,
                                 size_t count, size_t *bytes, struct error *err)
{
    CHECK(entries[0].index >= wal_first_index(wal));
    CHECK(entries[0].index <= wal->terms.last_index + 1);
    *bytes = WAL_PAIR_RECORD_BYTES;
    for (size_t i = 0; i < count; i++) {
        CHECK(entries[i].index == entries[0].index + i);
        CHECK(i == 0 || entries[i].term >= entries[i - 1].term);
        if (entries[i].data.length > ENTRY_BYTES_MAX) {
            return error_set(err, STATUS_INVALID_ARGUMENT, "log: entry of %zu bytes",
                             entries[i].data.length);
        }
        *bytes += WAL_ENTRY_OVERHEAD_BYTES + entries[i].data.length;
    }
    return STATUS_OK;
}

static void truncate_before(struct wal *wal, uint64_t index)
{
    uint64_t term = 0;
    bool known = wal_terms_at(&wal->terms, index - 1, &term);
    CHECK(known);
    cut(wal, index - 1, false);
    wal_terms_truncate(&wal->terms, index - 1);
    wal_group_pair(wal->pending, WAL_RECORD_TRUNCATE, index - 1, term);
}

enum status wal_append(struct wal *wal, const struct wal_entry *entries, size_t count,
                       struct error *err)
{
    if (wal->poison != STATUS_OK) {
        return poisoned(wal, err);
    }
    if (count == 0) {
        return STATUS_OK;
    }
    size_t bytes = 0;
    enum status status = check_entries(wal, entries, count, &bytes, err);
    if (status == STATUS_OK) {
        status = wal_group_reserve(wal->pending, bytes, count, err);
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (!wal_terms_reserve(&wal->terms, count_terms(entries, count))) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "log: no memory for its terms");
    }
    if (entries[0].index <= wal->terms.last_index) {
        truncate_before(wal, entries[0].index);
    }
    for (size_t i = 0; i < count; i++) {
        bool next = wal->options.unsynced && entries[i].term == wal_terms_last(&wal->terms);
        wal_terms_append(&wal->terms, entries[i].term);
        wal_group_entry(wal->pending, &entries[i], wal->fresh, next);
        wal->fresh = false;
    }
    wal->state.last_index = wal->terms.last_index;
    wal->state.last_term = wal_terms_last(&wal->terms);
    CHECK(wal->state.last_index == entries[count - 1].index);
    return STATUS_OK;
}

enum status wal_set_hard_state(struct wal *wal, uint64_t term, uint64_t vote, struct error *err)
{
    CHECK(!wal->options.unsynced);
    if (wal->poison != STATUS_OK) {
        return poisoned(wal, err);
    }
    enum status status = wal_group_reserve(wal->pending, WAL_PAIR_RECORD_BYTES, 0, err);
    if (status == STATUS_OK) {
        wal_group_pair(wal->pending, WAL_RECORD_HARD_STATE, term, vote);
        wal->state.term = term;
        wal->state.vote = vote;
    }
    return status;
}

enum status wal_reset(struct wal *wal, uint64_t index, uint64_t term, struct error *err)
{
    if (wal->poison != STATUS_OK) {
        return poisoned(wal, err);
    }
    enum status status = wal_group_reserve(wal->pending, WAL_PAIR_RECORD_BYTES, 0, err);
    if (status == STATUS_OK) {
        cut(wal, index, true);
        wal_terms_reset(&wal->terms, index, term);
        wal_group_pair(wal->pending, WAL_RECORD_RESET, index, term);
        wal->state.last_index = index;
        wal->state.last_term = term;
    }
    return status;
}

/* --- writing ----------------------------------------------------------------------------- */

static bool is_stalled(const struct wal *wal)
{
    /* Only the owner leaves NONE and STALLED, so it need not lock to recognise them. */
    return !wal->busy && wal->flight != NULL;
}

bool wal_pending(const struct wal *wal)
{
    return wal->pending->records > 0 || is_stalled(wal);
}

bool wal_busy(const struct wal *wal)
{
    return wal->busy;
}

/* The pending group becomes the flight, the other one collects what follows. */
static void swap_locked(struct wal *wal)
{
    CHECK(wal->flight_state == FLIGHT_NONE);
    struct wal_group *other = wal->pending == &wal->groups[0] ? &wal->groups[1] : &wal->groups[0];
    CHECK(other->records == 0);
    wal->flight = wal->pending;
    wal->flight->end = wal->state;
    wal->flight->readable_last = wal->state.last_index;
    wal->pending = other;
    wal_group_clear(other, wal->state);
}

static enum status submit(struct wal *wal, bool sync, struct error *err)
{
    struct error own = ERROR_INIT;
    if (wal->poison != STATUS_OK) {
        return poisoned(wal, err);
    }
    if (wal->busy || !wal_pending(wal)) {
        return STATUS_OK;
    }
    mutex_lock(&wal->mutex);
    if (wal->flight == NULL) {
        swap_locked(wal);
        wal->flight_sync = false;
    }
    wal->flight_sync = wal->flight_sync || sync;
    enum status status = wal_flight_start_locked(wal, &own);
    if (status != STATUS_OK) {
        wal->flight_state = FLIGHT_STALLED;
    }
    wal->busy = status == STATUS_OK;
    mutex_unlock(&wal->mutex);
    if (status == STATUS_OK) {
        wal_files_kick(&wal->files);
    } else if (status != STATUS_RESOURCE_EXHAUSTED) {
        poison(wal, status, &own);
    }
    if (status != STATUS_OK && err != NULL) {
        *err = own;
    }
    return status;
}

enum status wal_submit(struct wal *wal, struct error *err)
{
    return submit(wal, true, err);
}

enum status wal_submit_unsynced(struct wal *wal, struct error *err)
{
    CHECK(wal->options.unsynced);
    return submit(wal, false, err);
}

static void count_group(struct wal *wal)
{
    struct wal_metrics *metrics = &wal->metrics;
    uint64_t bytes = wal->flight_end.offset - wal->write.offset;
    if (wal->flight_sync) {
        histogram_record(&metrics->fdatasync_ns, wal->write.sync_ns);
    }
    histogram_record(&metrics->group_entries, wal->flight->entries);
    histogram_record(&metrics->group_bytes, bytes);
    counter_add(&metrics->entries, wal->flight->entries);
    counter_add(&metrics->bytes, bytes);
}

/* The flight is written: readers may have those of its entries that were not removed meanwhile. */
static void publish_locked(struct wal *wal)
{
    struct wal_group *flight = wal->flight;
    struct wal_segment *segment = wal_index_newest(&wal->index);
    const uint8_t *written = wal->write.data.data;
    uint64_t end = wal->write.offset + (uint64_t)(flight->data + flight->length - written);
    CHECK(segment->file_id == wal->flight_end.file);
    for (size_t i = 0; i < flight->point_count; i++) {
        const struct wal_group_point *from = &flight->points[i];
        struct wal_point point = {
            .index = from->index,
            .term = from->term,
            .offset = wal->write.offset + (uint64_t)(flight->data + from->offset - written),
            .group_end = end,
            .chain = wal->flight_chain,
        };
        wal_segment_note(segment, point, from->fresh);
    }
    wal->index.last_index = flight->readable_last;
    wal->end = wal->flight_end;
    if (wal->flight_sync) {
        wal->synced = wal->end;
        wal->chain = 0;
        wal->unsynced_cuts = false;
    } else {
        wal->chain = wal->flight_chain;
        wal->unsynced_cuts = wal->unsynced_cuts || flight->cuts;
    }
    CHECK(wal->index.last_index + 1 >= wal->index.first_index);
    CHECK(wal->index.last_index <= wal->terms.last_index);
}

static enum status finish_locked(struct wal *wal, struct error *err)
{
    if (wal->flight_state == FLIGHT_FAILED) {
        if (err != NULL) {
            *err = wal->flight_error;
        }
        wal->flight_state = FLIGHT_STALLED;
        return wal->flight_status;
    }
    CHECK(wal->flight_state == FLIGHT_FINISHED);
    wal->flight_state = FLIGHT_NONE;
    if (wal->flight_status != STATUS_OK) {
        if (err != NULL) {
            *err = wal->write.error;
            err->status = wal->flight_status;
        }
        return wal->flight_status;
    }
    publish_locked(wal);
    return STATUS_OK;
}

enum status wal_finish(struct wal *wal, struct wal_durable *out, struct error *err)
{
    struct error own = ERROR_INIT;
    if (wal->poison != STATUS_OK) {
        return poisoned(wal, err);
    }
    CHECK(wal->busy);
    mutex_lock(&wal->mutex);
    bool wrote = wal->flight_state == FLIGHT_FINISHED;
    enum status status = finish_locked(wal, &own);
    mutex_unlock(&wal->mutex);
    wal->busy = false;
    if (status != STATUS_OK) {
        if (wrote || status != STATUS_RESOURCE_EXHAUSTED) {
            /* That status is kept for what may be tried again; a write that found no room in a
             * reserved file may not. */
            status = status == STATUS_RESOURCE_EXHAUSTED ? STATUS_INTERNAL : status;
            own.status = status;
            poison(wal, status, &own);
        }
        if (err != NULL) {
            *err = own;
        }
        return status;
    }
    count_group(wal);
    wal->written = wal->flight->end;
    wal->attested = wal->flight->synced_only && wal->flight_form == GROUP_FORM_GROUP;
    mutex_lock(&wal->mutex);
    wal_group_clear(wal->flight, wal->written);
    wal->flight = NULL;
    mutex_unlock(&wal->mutex);
    *out = (struct wal_durable){.index = wal->written.last_index,
                                .entry_term = wal->written.last_term,
                                .term = wal->written.term,
                                .vote = wal->written.vote};
    return STATUS_OK;
}

void wal_forget(struct wal *wal)
{
    CHECK(!wal->busy);
    CHECK(!wal->pending->cuts);
    mutex_lock(&wal->mutex);
    if (wal->flight != NULL) {
        CHECK(!wal->flight->cuts);
        wal_group_clear(wal->flight, wal->written);
        wal->flight = NULL;
        wal->flight_state = FLIGHT_NONE;
    }
    mutex_unlock(&wal->mutex);
    wal_group_clear(wal->pending, wal->written);
    wal_terms_truncate(&wal->terms, wal->written.last_index);
    wal->state = wal->written;
    wal->fresh = true;
}

enum status wal_idle(struct wal *wal, struct error *err)
{
    if (wal->poison != STATUS_OK) {
        return poisoned(wal, err);
    }
    if (wal->attested || wal->busy || wal_pending(wal)) {
        return STATUS_OK;
    }
    enum status status = wal_group_reserve(wal->pending, WAL_RECORD_HEADER_BYTES, 0, err);
    if (status != STATUS_OK) {
        return status;
    }
    wal_group_synced(wal->pending);
    return wal_submit(wal, err);
}

/* --- room -------------------------------------------------------------------------------- */

enum status wal_purge(struct wal *wal, uint64_t index, struct error *err)
{
    if (wal->poison != STATUS_OK) {
        return poisoned(wal, err);
    }
    /* While a removal of entries is not durable, a crash can bring them back, and then the files
     * that hold what is before them are needed still. It is asked again soon. */
    if (wal->pending->cuts || (wal->flight != NULL && wal->flight->cuts)) {
        return STATUS_OK;
    }
    mutex_lock(&wal->mutex);
    if (wal->unsynced_cuts) {
        mutex_unlock(&wal->mutex);
        return STATUS_OK;
    }
    index = index < wal->index.last_index ? index : wal->index.last_index;
    struct wal_segment *gone = wal_index_purge(&wal->index, index, wal->end.file);
    bool any = gone != NULL;
    wal_files_retire_locked(&wal->files, gone);
    enum status status = wal->files.remove_status;
    if (status != STATUS_OK && err != NULL) {
        *err = wal->files.remove_error;
    }
    wal->files.remove_status = STATUS_OK;
    mutex_unlock(&wal->mutex);
    if (wal->index.first_index > wal->terms.base_index + 1) {
        wal_terms_purge(&wal->terms, wal->index.first_index - 1);
    }
    if (any) {
        wal_files_kick(&wal->files);
    }
    return status;
}

bool wal_has_room(struct wal *wal)
{
    mutex_lock(&wal->mutex);
    bool room = wal->files.next_status == STATUS_OK;
    bool again = !room && wal->files.wanted;
    mutex_unlock(&wal->mutex);
    if (again) {
        wal_files_kick(&wal->files);
    }
    return room;
}

uint64_t wal_first_index(const struct wal *wal)
{
    return wal->index.first_index;
}

uint64_t wal_last_index(const struct wal *wal)
{
    return wal->terms.last_index;
}

bool wal_term_at(const struct wal *wal, uint64_t index, uint64_t *term)
{
    return wal_terms_at(&wal->terms, index, term);
}

uint64_t wal_bytes(struct wal *wal)
{
    uint64_t bytes = 0;
    mutex_lock(&wal->mutex);
    for (size_t i = 0; i < wal->index.count; i++) {
        bytes += wal->index.segments[i]->bytes;
    }
    mutex_unlock(&wal->mutex);
    return bytes;
}

struct wal_metrics *wal_metrics(struct wal *wal)
{
    return &wal->metrics;
}

uint64_t wal_fdatasync_p50_ns(struct wal *wal)
{
    return histogram_quantile(&wal->metrics.fdatasync_ns, 0.5);
}
