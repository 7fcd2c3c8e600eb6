/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading durable entries beside the writer. The lock is taken to find a stretch of
 * entries (index.h) and given back before the file is read; what was read is then
 * checked record by record, so that a file that was reused or removed meanwhile
 * shows itself.
 */
#include "base/check.h"
#include "storage/wal/inside.h"

enum { WINDOW_BYTES = 256 * KIB };

struct wal_reader {
    struct wal *wal;
    struct file *file; /* of file_id; NULL if none */
    uint64_t file_id;
    uint64_t salt;
    uint8_t *window;
    size_t window_capacity;
    uint64_t window_offset;
    size_t window_length;
    char path[PATH_BYTES_MAX];
};

/* One call of wal_read. */
struct reading {
    uint64_t next; /* the next entry to come */
    uint64_t to;
    size_t bytes_left;
    bool any;      /* one came already */
    uint64_t cuts; /* of the index when it began */
    wal_each_fn each;
    void *context;
    struct wal_stretch stretch;
    uint64_t limit; /* bytes of the file from here on may be unwritten */
};

/* Why a record did not do. */
enum outcome { OUTCOME_GOOD, OUTCOME_BAD, OUTCOME_ERROR };

enum status wal_reader_open(struct wal *wal, struct wal_reader **out, struct error *err)
{
    struct wal_reader *reader = alloc_zeroed(wal->options.alloc, 1, sizeof *reader);
    if (reader == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "open log reader: no memory");
    }
    reader->wal = wal;
    reader->salt = wal->files.head.salt;
    (void)atomic_fetch_add(&wal->readers, 1);
    *out = reader;
    return STATUS_OK;
}

void wal_reader_close(struct wal_reader *reader)
{
    if (reader == NULL) {
        return;
    }
    struct alloc *alloc = reader->wal->options.alloc;
    unsigned before = atomic_fetch_sub(&reader->wal->readers, 1);
    CHECK(before > 0);
    file_close(reader->file);
    alloc_free(alloc, reader->window);
    alloc_free(alloc, reader);
}

/* --- bytes ------------------------------------------------------------------------------- */

static enum status open_file(struct wal_reader *reader, uint64_t file_id, struct error *err)
{
    if (reader->file != NULL && reader->file_id == file_id) {
        return STATUS_OK;
    }
    file_close(reader->file);
    reader->file = NULL;
    reader->window_length = 0;
    enum status status = wal_segment_path(reader->path, reader->wal->dir, file_id, err);
    if (status == STATUS_OK) {
        status = fs_open(reader->wal->options.fs, reader->path, FS_READ, &reader->file, err);
    }
    reader->file_id = file_id;
    return status;
}

/* Bytes below the limit do not change while the file is the log's, so a window stays good from call
 * to call. */
static enum status bytes_at(struct wal_reader *reader, uint64_t offset, size_t length,
                            uint64_t limit, struct slice *out, struct error *err)
{
    uint64_t left = offset < limit ? limit - offset : 0;
    length = length < left ? length : (size_t)left;
    uint64_t window_end = reader->window_offset + reader->window_length;
    if (offset < reader->window_offset || offset + length > window_end) {
        size_t wanted = length > WINDOW_BYTES ? length : WINDOW_BYTES;
        if (reader->window_capacity < wanted) {
            uint8_t *window = alloc_resize(reader->wal->options.alloc, reader->window, wanted);
            if (window == NULL) {
                return error_set(err, STATUS_RESOURCE_EXHAUSTED, "read log: no memory");
            }
            reader->window = window;
            reader->window_capacity = wanted;
        }
        wanted = wanted < left ? wanted : (size_t)left;
        reader->window_length = 0;
        reader->window_offset = offset;
        enum status status =
            file_read(reader->file, offset, reader->window, wanted, &reader->window_length, err);
        if (status != STATUS_OK) {
            reader->window_length = 0;
            return status;
        }
        length = length < reader->window_length ? length : reader->window_length;
    }
    *out = slice_of(reader->window + (offset - reader->window_offset), length);
    return STATUS_OK;
}

/* --- records ----------------------------------------------------------------------------- */

/* Where a walk is. */
struct place {
    uint64_t offset;
    uint64_t group_end; /* records follow up to here for sure */
    uint64_t chain;     /* that they, and links behind them, belong to; 0: none */
    uint64_t term;      /* of the last entry before */
};

static enum outcome group_begins(struct wal_reader *reader, const struct reading *reading,
                                 struct place *at, struct error *err)
{
    uint64_t offset = wal_block_up(at->offset);
    struct slice bytes = {.length = 0};
    struct wal_record record;
    struct wal_group_content content;
    struct wal_position place = {.file = reader->file_id, .offset = offset};
    if (bytes_at(reader, offset, WAL_CHAIN_HEADER_BYTES, reading->limit, &bytes, err) !=
        STATUS_OK) {
        return OUTCOME_ERROR;
    }
    if (!wal_record_check(bytes, place, reader->salt, &record) ||
        !wal_group_get(&record, &content)) {
        return OUTCOME_BAD;
    }
    at->offset = offset + wal_group_header_bytes(content.chain);
    at->group_end = at->offset + content.bytes;
    at->chain = content.chain;
    return OUTCOME_GOOD;
}

/* The record at `offset`, whole; its checksum is verified unless it is only to be walked over. */
static enum outcome record_at(struct wal_reader *reader, const struct reading *reading,
                              const struct place *at, bool verify, struct wal_record *out,
                              size_t *length, struct error *err)
{
    struct slice bytes = {.length = 0};
    uint64_t offset = at->offset;
    struct wal_position place = {.file = reader->file_id, .offset = offset};
    uint64_t salt = wal_chain_salt(reader->salt, at->chain);
    uint64_t limit = at->group_end < reading->limit ? at->group_end : reading->limit;
    if (bytes_at(reader, offset, WAL_RECORD_HEADER_BYTES, limit, &bytes, err) != STATUS_OK) {
        return OUTCOME_ERROR;
    }
    *length = bytes.length < WAL_RECORD_HEADER_BYTES ? 0 : wal_record_length(bytes.data);
    if (*length == 0) {
        return OUTCOME_BAD;
    }
    size_t needed = verify ? *length : WAL_ENTRY_OVERHEAD_BYTES;
    needed = needed < *length ? needed : *length;
    if (bytes_at(reader, offset, needed, limit, &bytes, err) != STATUS_OK) {
        return OUTCOME_ERROR;
    }
    if (bytes.length < needed) {
        return OUTCOME_BAD;
    }
    if (verify) {
        return wal_record_check(bytes, place, salt, out) ? OUTCOME_GOOD : OUTCOME_BAD;
    }
    out->type = (enum wal_record_type)get_le32(bytes.data + 4);
    out->content = slice_from(bytes, WAL_RECORD_HEADER_BYTES);
    return OUTCOME_GOOD;
}

static enum status deliver(struct reading *reading, const struct wal_entry *entry, bool *full,
                           struct error *err)
{
    *full = reading->any && entry->data.length > reading->bytes_left;
    if (*full) {
        return STATUS_OK;
    }
    enum status status = reading->each(reading->context, entry, err);
    reading->any = true;
    reading->next = entry->index + 1;
    reading->bytes_left -=
        entry->data.length < reading->bytes_left ? entry->data.length : reading->bytes_left;
    return status;
}

/* Behind the last record that was known to follow: a link, which only its checksum tells from what
 * was there before, or a group. */
static enum outcome go_on(struct wal_reader *reader, const struct reading *reading,
                          struct place *at, struct error *err)
{
    struct wal_record record;
    struct place link = {.offset = at->offset, .group_end = UINT64_MAX, .chain = at->chain};
    size_t length = 0;
    enum outcome outcome = OUTCOME_BAD;
    if (at->chain != 0) {
        outcome = record_at(reader, reading, &link, true, &record, &length, err);
    }
    if (outcome == OUTCOME_GOOD) {
        at->group_end = at->offset + length;
    }
    return outcome == OUTCOME_BAD ? group_begins(reader, reading, at, err) : outcome;
}

/* Walks the stretch. *bad is set if a record did not do, with its offset; *full when bytes_max is
 * reached. */
static enum status walk(struct wal_reader *reader, struct reading *reading, bool *full, bool *bad,
                        uint64_t *offset, struct error *err)
{
    const struct wal_stretch *stretch = &reading->stretch;
    uint64_t expected = stretch->point.index;
    uint64_t end_index = stretch->end_index < reading->to ? stretch->end_index : reading->to;
    struct place at = {.offset = stretch->point.offset,
                       .group_end = stretch->point.group_end,
                       .chain = stretch->point.chain,
                       .term = stretch->point.term};
    while (expected < end_index && !*full) {
        struct wal_record record;
        struct wal_entry entry;
        size_t length = 0;
        bool wanted = expected >= reading->next;
        enum outcome outcome = OUTCOME_GOOD;
        *offset = at.offset;
        if (at.offset >= at.group_end) {
            *offset = at.chain == 0 ? wal_block_up(at.offset) : at.offset;
            outcome = go_on(reader, reading, &at, err);
        }
        if (outcome == OUTCOME_GOOD) {
            *offset = at.offset;
            outcome = record_at(reader, reading, &at, wanted, &record, &length, err);
        }
        bool is_entry = outcome == OUTCOME_GOOD &&
                        (record.type == WAL_RECORD_ENTRY || record.type == WAL_RECORD_NEXT);
        if (is_entry) {
            record.before_index = expected - 1;
            record.before_term = at.term;
            outcome = wal_entry_get(&record, &entry) && entry.index == expected ? OUTCOME_GOOD
                                                                                : OUTCOME_BAD;
        }
        if (outcome != OUTCOME_GOOD) {
            *bad = outcome == OUTCOME_BAD;
            return outcome == OUTCOME_BAD ? STATUS_CORRUPT : err->status;
        }
        if (is_entry) {
            at.term = entry.term;
            enum status status = wanted ? deliver(reading, &entry, full, err) : STATUS_OK;
            if (status != STATUS_OK) {
                return status;
            }
            expected++;
        }
        at.offset += length;
    }
    return STATUS_OK;
}

/* --- stretches --------------------------------------------------------------------------- */

/* Looks the next stretch up. *done if nothing (more) of the range is durable. */
static enum status look_up(struct wal_reader *reader, struct reading *reading, bool *done,
                           struct error *err)
{
    struct wal *wal = reader->wal;
    enum status status = STATUS_OK;
    mutex_lock(&wal->mutex);
    const struct wal_index *index = &wal->index;
    uint64_t first = index->first_index;
    if (reading->any && index->cuts != reading->cuts) {
        status = STATUS_ABORTED;
    } else if (reading->next < first) {
        status = STATUS_NOT_FOUND;
    } else if (reading->next > index->last_index || reading->next >= reading->to) {
        *done = true;
    } else {
        reading->cuts = index->cuts;
        wal_index_find(index, reading->next, &reading->stretch);
        reading->limit = reading->stretch.file_id == wal->end.file ? wal->end.offset
                                                                   : reading->stretch.file_bytes;
    }
    mutex_unlock(&wal->mutex);
    if (status == STATUS_ABORTED) {
        return error_set(err, status, "log entries were removed while entry %llu was read",
                         (unsigned long long)reading->next);
    }
    if (status == STATUS_NOT_FOUND) {
        return error_set(err, status, "log entry %llu was purged, the first is %llu",
                         (unsigned long long)reading->next, (unsigned long long)first);
    }
    return status;
}

static bool still_there(struct wal_reader *reader)
{
    struct wal *wal = reader->wal;
    mutex_lock(&wal->mutex);
    bool there = wal_index_has_file(&wal->index, reader->file_id);
    mutex_unlock(&wal->mutex);
    return there;
}

/* Reads the stretch. A file that went away meanwhile was purged, whatever could be read of it. */
static enum status read_stretch(struct wal_reader *reader, struct reading *reading, bool *full,
                                struct error *err)
{
    bool bad = false;
    uint64_t offset = 0;
    uint64_t file_id = reading->stretch.file_id;
    enum status status = open_file(reader, file_id, err);
    bool opened = status == STATUS_OK;
    if (opened) {
        status = walk(reader, reading, full, &bad, &offset, err);
    }
    if (status == STATUS_OK || (opened && !bad)) {
        return status;
    }
    if (!still_there(reader)) {
        return error_set(err, STATUS_NOT_FOUND, "log entry %llu was purged",
                         (unsigned long long)reading->next);
    }
    if (!opened) {
        return status;
    }
    reader->window_length = 0; /* what is bad in memory may be good on disk, the next time */
    return error_set(err, STATUS_CORRUPT, "%.300s: offset %llu: damaged (entry %llu)", reader->path,
                     (unsigned long long)offset, (unsigned long long)reading->next);
}

enum status wal_read(struct wal_reader *reader, uint64_t from, uint64_t to, size_t bytes_max,
                     wal_each_fn each, void *context, struct error *err)
{
    struct error own = ERROR_INIT; /* the walk looks at its status */
    struct reading reading = {
        .next = from, .to = to, .bytes_left = bytes_max, .each = each, .context = context};
    bool done = from >= to;
    bool full = false;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && !done && !full) {
        status = look_up(reader, &reading, &done, &own);
        if (status == STATUS_OK && !done) {
            status = read_stretch(reader, &reading, &full, &own);
        }
    }
    if (status != STATUS_OK && err != NULL) {
        *err = own;
    }
    return status;
}
