/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check.h"
#include "base/plant.h"
#include "storage/wal/inside.h"

/* A small group that is synced brings that many zeros with it where none are, so that the next ones
 * overwrite blocks that are written already: their syncs take less than two thirds of the time,
 * since the file system has nothing to note down. One that only says what is durable brings none:
 * it may come after any other write. */
#define ZEROS_AHEAD_BYTES (128 * KIB)

/* The I/O queue's thread. */
static void write_done(struct io_write *write)
{
    struct wal *wal = write->context;
    void (*on_complete)(void *context) = wal->options.on_complete;
    void *context = wal->options.context;
    mutex_lock(&wal->mutex);
    CHECK(wal->flight_state == FLIGHT_WRITING);
    wal->flight_state = FLIGHT_FINISHED;
    wal->flight_status = PLANTED(GO_ON_AFTER_SYNC) ? STATUS_OK : write->status;
    condition_broadcast(&wal->changed);
    mutex_unlock(&wal->mutex);
    /* From here on the WAL may be closed by its owner. */
    if (on_complete != NULL) {
        on_complete(context);
    }
}

static bool fits(const struct wal *wal, const struct wal_segment *segment, uint64_t offset,
                 enum wal_group_form form)
{
    bool allowed = segment->version >= wal->files.head.version;
    return allowed && offset + wal_group_disk_bytes(wal->flight, form) <= segment->bytes;
}

/* The newest segment is over; the one that was made ahead takes its place. */
static struct wal_segment *take_next_locked(struct wal *wal)
{
    struct wal_segment *old = wal_index_newest(&wal->index);
    struct wal_segment *next = wal->files.next;
    if (old != NULL) {
        CHECK(old->file_id < next->file_id);
        if (!wal_position_before(wal->synced, wal->end)) {
            file_close(old->file); /* all of it is durable */
            old->file = NULL;
        }
    }
    wal->files.next = NULL;
    wal_index_add(&wal->index, next);
    wal_files_want_locked(&wal->files, next->file_id + 1, wal->files.segment_bytes);
    return next;
}

/* The chain that the flight belongs to once it is written. */
static uint64_t choose_chain(struct wal *wal, enum wal_group_form form)
{
    uint64_t chain = form == GROUP_FORM_GROUP ? 0 : wal->chain;
    while (form != GROUP_FORM_GROUP && chain == 0) {
        rng_fill(wal->options.rng, &chain, sizeof chain);
    }
    return chain;
}

/* Files of a log that is always synced are full of zeros from the beginning. Where something behind
 * was not synced, the owner does not sync one group after the other, and it would be a waste. */
static size_t zeros_behind(struct wal *wal, const struct wal_segment *segment, uint64_t end,
                           enum wal_group_form form)
{
    bool blank = wal->blank.file == segment->file_id && end <= wal->blank.offset;
    bool small = wal->flight->length <= ZEROS_AHEAD_BYTES / 4;
    if (!wal->options.unsynced || form != GROUP_FORM_GROUP || blank || !small ||
        wal->flight->synced_only) {
        return 0;
    }
    uint64_t room = segment->bytes - end;
    size_t zeros = room < ZEROS_AHEAD_BYTES ? (size_t)room : ZEROS_AHEAD_BYTES;
    return wal_group_reserve_zeros(wal->flight, zeros) ? zeros : 0;
}

static void write_locked(struct wal *wal, struct wal_segment *segment, uint64_t offset,
                         enum wal_group_form form)
{
    bool begins_file = offset == WAL_BLOCK_BYTES && wal->end.file != segment->file_id;
    uint64_t end = offset + wal_group_disk_bytes(wal->flight, form);
    size_t zeros = zeros_behind(wal, segment, end, form);
    const struct wal_group_place to = {
        .form = form,
        .place = {.file = segment->file_id, .offset = offset},
        .synced_through = wal->synced,
        .salt = wal->files.head.salt,
        .chain = choose_chain(wal, form),
        .follows = begins_file ? wal->end.offset : 0,
        .zeros = zeros,
    };
    CHECK(!wal_position_before(to.place, wal->end));
    CHECK(form != GROUP_FORM_GROUP || !wal_position_before(wal->synced, wal->end));
    struct slice data = wal_group_seal(wal->flight, &to);
    CHECK(offset + data.length <= segment->bytes);
    wal->flight_end = (struct wal_position){.file = segment->file_id, .offset = end};
    if (zeros > 0) {
        counter_add(&wal->metrics.zero_bytes, zeros);
        wal->blank =
            (struct wal_position){.file = segment->file_id, .offset = offset + data.length};
    }
    wal->flight_form = form;
    wal->flight_chain = to.chain;
    wal->flight_state = FLIGHT_WRITING;
    wal->write = (struct io_write){.file = segment->file,
                                   .offset = offset,
                                   .data = data,
                                   .sync = wal->flight_sync && !PLANTED(SKIP_LOG_SYNC),
                                   .done = write_done,
                                   .context = wal};
    io_submit(wal->options.io, &wal->write);
}

static void want_next_locked(struct wal *wal, enum wal_group_form form)
{
    uint64_t bytes = WAL_BLOCK_BYTES + wal_group_disk_bytes(wal->flight, form);
    bytes = bytes > wal->files.segment_bytes ? bytes : wal->files.segment_bytes;
    wal_files_want_locked(&wal->files, wal->end.file + 1, bytes);
    wal->flight_state = FLIGHT_WAITING;
}

/* What the flight makes durable is no use while something before it is not. False if it has to wait
 * until all below `file_id` is. */
static bool synced_below_locked(struct wal *wal, uint64_t file_id)
{
    bool durable = !wal_position_before(wal->synced, wal->end);
    if (!wal->flight_sync || durable || wal_files_synced_locked(&wal->files, file_id)) {
        return true;
    }
    wal_files_sync_locked(&wal->files, file_id);
    wal->flight_state = FLIGHT_SYNCING;
    return false;
}

enum status wal_flight_start_locked(struct wal *wal, struct error *err)
{
    struct wal_segment *segment = wal_index_newest(&wal->index);
    enum wal_group_form begin = wal->flight_sync ? GROUP_FORM_GROUP : GROUP_FORM_CHAIN;
    enum wal_group_form form = wal->chain != 0 ? GROUP_FORM_LINKS : begin;
    uint64_t offset = form == GROUP_FORM_LINKS ? wal->end.offset : wal_block_up(wal->end.offset);
    CHECK(wal->flight != NULL);
    CHECK(segment->file_id == wal->end.file);
    if (wal->files.sync_status != STATUS_OK) {
        if (err != NULL) {
            *err = wal->files.sync_error;
        }
        return wal->files.sync_status;
    }
    if (!fits(wal, segment, offset, form)) {
        segment = wal->files.next;
        form = begin;
        offset = WAL_BLOCK_BYTES;
        if (segment == NULL || !fits(wal, segment, offset, form)) {
            want_next_locked(wal, form);
            return STATUS_OK;
        }
    }
    if (!synced_below_locked(wal, segment->file_id)) {
        return STATUS_OK;
    }
    if (!wal_index_reserve(&wal->index, 1) ||
        !wal_segment_reserve(wal->options.alloc, segment, wal->flight->point_count)) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "log: no memory for its index");
    }
    if (form == GROUP_FORM_GROUP) {
        wal->synced = wal->end; /* if it was not yet, it is in files before, and those are synced */
        wal->chain = 0;
    }
    if (segment == wal->files.next) {
        segment = take_next_locked(wal);
    }
    write_locked(wal, segment, offset, form);
    return STATUS_OK;
}

bool wal_flight_attempted_locked(void *context)
{
    struct wal *wal = context;
    bool syncing = wal->flight_state == FLIGHT_SYNCING;
    if (wal->flight_state != FLIGHT_WAITING && !syncing) {
        return false;
    }
    struct error err = syncing ? wal->files.sync_error : wal->files.next_error;
    enum status status = syncing ? wal->files.sync_status : wal->files.next_status;
    if (status == STATUS_OK) {
        status = wal_flight_start_locked(wal, &err);
        if (status == STATUS_OK) {
            return false;
        }
    }
    wal->flight_state = FLIGHT_FAILED;
    wal->flight_status = status;
    wal->flight_error = err;
    condition_broadcast(&wal->changed);
    return true;
}

void wal_flight_wait(struct wal *wal)
{
    mutex_lock(&wal->mutex);
    while (wal->flight_state == FLIGHT_WAITING || wal->flight_state == FLIGHT_SYNCING ||
           wal->flight_state == FLIGHT_WRITING || wal->files.working) {
        if (wal->options.on_wait != NULL) {
            mutex_unlock(&wal->mutex);
            wal->options.on_wait(wal->options.context);
            mutex_lock(&wal->mutex);
        } else {
            condition_wait(&wal->changed, &wal->mutex);
        }
    }
    mutex_unlock(&wal->mutex);
}
