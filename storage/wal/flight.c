/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check.h"
#include "base/plant.h"
#include "storage/wal/inside.h"

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

static bool fits(const struct wal *wal, const struct wal_segment *segment, uint64_t offset)
{
    return offset + wal_group_disk_bytes(wal->flight) <= segment->bytes;
}

/* The newest segment is over; the one that was made ahead takes its place. */
static struct wal_segment *take_next_locked(struct wal *wal)
{
    struct wal_segment *old = wal_index_newest(&wal->index);
    struct wal_segment *next = wal->files.next;
    if (old != NULL) {
        CHECK(old->file_id < next->file_id);
        file_close(old->file); /* all of it is durable */
        old->file = NULL;
    }
    wal->files.next = NULL;
    wal_index_add(&wal->index, next);
    wal_files_want_locked(&wal->files, next->file_id + 1, wal->files.segment_bytes);
    return next;
}

static void write_locked(struct wal *wal, struct wal_segment *segment, uint64_t offset)
{
    struct wal_position place = {.file = segment->file_id, .offset = offset};
    CHECK(!wal_position_before(place, wal->end));
    struct slice data = wal_group_seal(wal->flight, place, wal->end, wal->files.head.salt);
    CHECK(offset + data.length <= segment->bytes);
    wal->flight_end =
        (struct wal_position){.file = place.file, .offset = place.offset + data.length};
    wal->flight_state = FLIGHT_WRITING;
    wal->write = (struct io_write){.file = segment->file,
                                   .offset = offset,
                                   .data = data,
                                   .sync = !PLANTED(SKIP_LOG_SYNC),
                                   .done = write_done,
                                   .context = wal};
    io_submit(wal->options.io, &wal->write);
}

enum status wal_flight_start_locked(struct wal *wal, struct error *err)
{
    struct wal_segment *segment = wal_index_newest(&wal->index);
    uint64_t offset = wal->end.offset;
    CHECK(wal->flight != NULL);
    CHECK(segment->file_id == wal->end.file);
    if (!fits(wal, segment, offset)) {
        segment = wal->files.next;
        offset = WAL_BLOCK_BYTES;
        if (segment == NULL || !fits(wal, segment, offset)) {
            uint64_t bytes = WAL_BLOCK_BYTES + wal_group_disk_bytes(wal->flight);
            wal_files_want_locked(&wal->files, wal->end.file + 1,
                                  bytes > wal->files.segment_bytes ? bytes
                                                                   : wal->files.segment_bytes);
            wal->flight_state = FLIGHT_WAITING;
            return STATUS_OK;
        }
    }
    if (!wal_index_reserve(&wal->index, 1) ||
        !wal_segment_reserve(wal->options.alloc, segment, wal->flight->point_count)) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "log: no memory for its index");
    }
    if (segment == wal->files.next) {
        segment = take_next_locked(wal);
    }
    write_locked(wal, segment, offset);
    return STATUS_OK;
}

bool wal_flight_attempted_locked(void *context)
{
    struct wal *wal = context;
    if (wal->flight_state != FLIGHT_WAITING) {
        return false;
    }
    struct error err = wal->files.next_error;
    enum status status = wal->files.next_status;
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
    while (wal->flight_state == FLIGHT_WAITING || wal->flight_state == FLIGHT_WRITING ||
           wal->files.working) {
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
