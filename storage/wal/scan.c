/* SPDX-License-Identifier: Apache-2.0
 *
 * What the groups say, one after the other, and where the log ends.
 */
#include "storage/wal/scan.h"

#include "base/check.h"
#include "base/plant.h"
#include "storage/wal/scanner.h"

/* --- what the records say ---------------------------------------------------------------- */

static enum status impossible(const struct wal_scanner *scanner, uint64_t offset, const char *what,
                              uint64_t index, struct error *err)
{
    return error_set(err, STATUS_CORRUPT, "%.300s: offset %llu: %s (index %llu, log ends at %llu)",
                     scanner->path, (unsigned long long)offset, what, (unsigned long long)index,
                     (unsigned long long)scanner->scan->terms.last_index);
}

static void establish(struct wal_scanner *scanner, uint64_t index, uint64_t term)
{
    struct wal_scan *scan = scanner->scan;
    wal_terms_reset(&scan->terms, index, term);
    wal_index_reset(&scan->index, index);
    scanner->established = true;
    scan->fresh = true;
}

static enum status apply_truncate(struct wal_scanner *scanner, uint64_t offset, uint64_t index,
                                  uint64_t term, struct error *err)
{
    struct wal_scan *scan = scanner->scan;
    uint64_t known = 0;
    /* All up to `index` may have been purged, and what is above is removed now. */
    if (!scanner->established || index < scan->terms.base_index) {
        establish(scanner, index, term);
        return STATUS_OK;
    }
    if (!wal_terms_at(&scan->terms, index, &known) || known != term) {
        return impossible(scanner, offset, "removes entries after one that is not there", index,
                          err);
    }
    if (index < scan->terms.last_index) {
        wal_terms_truncate(&scan->terms, index);
        wal_index_truncate(&scan->index, index);
        scan->fresh = true;
    }
    return STATUS_OK;
}

static enum status apply_entry(struct wal_scanner *scanner, const struct wal_entry *entry,
                               uint64_t offset, uint64_t group_end, struct error *err)
{
    struct wal_scan *scan = scanner->scan;
    struct wal_segment *segment = wal_index_newest(&scan->index);
    if (!scanner->established || entry->index != scan->terms.last_index + 1 ||
        entry->term < wal_terms_last(&scan->terms)) {
        return impossible(scanner, offset, "entry out of order", entry->index, err);
    }
    if (!wal_terms_reserve(&scan->terms, 1) || !wal_segment_reserve(scan->alloc, segment, 1)) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for the log's index");
    }
    wal_terms_append(&scan->terms, entry->term);
    struct wal_point point = {.index = entry->index,
                              .term = entry->term,
                              .offset = offset,
                              .group_end = group_end,
                              .chain = scanner->chain};
    wal_segment_note(segment, point, scan->fresh);
    scan->index.last_index = entry->index;
    scan->fresh = false;
    return STATUS_OK;
}

static enum status apply_record(struct wal_scanner *scanner, const struct wal_record *record,
                                uint64_t offset, uint64_t group_end, struct error *err)
{
    struct wal_scan *scan = scanner->scan;
    struct wal_entry entry;
    uint64_t first = 0;
    uint64_t second = 0;
    if (wal_entry_get(record, &entry)) {
        return apply_entry(scanner, &entry, offset, group_end, err);
    }
    if (record->type == WAL_RECORD_SYNCED) {
        return STATUS_OK;
    }
    if (!wal_pair_get(record, &first, &second)) {
        return impossible(scanner, offset, "record of an impossible shape", 0, err);
    }
    switch (record->type) {
    case WAL_RECORD_HARD_STATE:
        scan->state.term = first;
        scan->state.vote = second;
        return STATUS_OK;
    case WAL_RECORD_TRUNCATE:
        return apply_truncate(scanner, offset, first, second, err);
    default:
        CHECK(record->type == WAL_RECORD_RESET);
        establish(scanner, first, second);
        return STATUS_OK;
    }
}

enum status wal_scan_apply(struct wal_scanner *scanner, const struct wal_scanner_group *group,
                           struct error *err)
{
    struct wal_scan *scan = scanner->scan;
    struct slice rest = group->records;
    uint64_t offset = group->records_offset;
    uint64_t group_end = offset + group->records.length;
    scanner->chain = group->content.chain;
    scanner->any_group = false;
    enum status status = STATUS_OK;
    while (rest.length > 0 && status == STATUS_OK) {
        size_t length = wal_record_length(rest.data); /* wal_scanner_group() has checked it */
        CHECK(length > 0);
        CHECK(length <= rest.length);
        struct wal_record record = {
            .type = (enum wal_record_type)get_le32(rest.data + 4),
            .content =
                slice_of(rest.data + WAL_RECORD_HEADER_BYTES, length - WAL_RECORD_HEADER_BYTES),
            .before_index = scan->terms.last_index,
            .before_term = wal_terms_last(&scan->terms),
        };
        status = apply_record(scanner, &record, offset, group_end, err);
        scan->attested = record.type == WAL_RECORD_SYNCED && group->content.chain == 0;
        rest = slice_from(rest, length);
        offset += length;
    }
    if (!group->is_link && wal_position_before(scanner->synced, group->content.synced_through)) {
        scanner->synced = group->content.synced_through;
    }
    return status;
}

/* --- the whole log ----------------------------------------------------------------------- */

enum status wal_scan_enter(struct wal_scanner *scanner, size_t at, struct error *err)
{
    struct wal_scan *scan = scanner->scan;
    const struct wal_scanner_file *file = &scanner->files[at];
    if (!wal_index_reserve(&scan->index, 1)) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for the log's index");
    }
    struct wal_segment *segment = wal_segment_new(scan->alloc, file->id, file->bytes, NULL);
    if (segment == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a segment");
    }
    segment->version = file->version;
    wal_index_add(&scan->index, segment);
    return STATUS_OK;
}

/* All groups and links of the file. *end is where they end, *bad the first record that is not
 * sound. */
static enum status scan_segment(struct wal_scanner *scanner, size_t at, uint64_t *end,
                                uint64_t *bad, struct error *err)
{
    uint64_t offset = WAL_BLOCK_BYTES;
    enum status status = wal_scanner_open(scanner, at, err);
    if (status == STATUS_OK) {
        status = wal_scan_enter(scanner, at, err);
    }
    while (status == STATUS_OK) {
        struct wal_scanner_group group;
        bool found = false;
        status = wal_scanner_next(scanner, offset, &group, &found, bad, err);
        if (status != STATUS_OK || !found) {
            break;
        }
        status = wal_scan_apply(scanner, &group, err);
        offset = group.end;
    }
    *end = offset;
    return status;
}

enum status wal_scan_segments(struct wal_scanner *scanner, size_t *last, bool *damaged,
                              struct error *err)
{
    struct wal_scan *scan = scanner->scan;
    *damaged = scanner->bad_head < scanner->count;
    for (size_t at = 0;; at++) {
        uint64_t end = WAL_BLOCK_BYTES;
        uint64_t bad = 0;
        bool goes_on = false;
        enum status status = STATUS_OK;
        /* Without its head a file is not of the log; what its groups say is looked at elsewhere. */
        if (at < scanner->bad_head) {
            status = scan_segment(scanner, at, &end, &bad, err);
        }
        if (status != STATUS_OK) {
            return status;
        }
        struct wal_position place = {.file = scanner->files[at].id, .offset = end};
        if (at + 1 < scanner->bad_head) {
            status = wal_scanner_goes_on(scanner, at, place, &goes_on, err);
        }
        if (status == STATUS_OK && !goes_on) {
            status = PLANTED(CUT_DAMAGED)
                         ? STATUS_OK
                         : wal_scanner_check_not_damage(scanner, at, end, bad, err);
            scan->end = place;
            scan->cut_bytes = bad > end ? bad - end : 0;
            *last = at;
            if (status == STATUS_CORRUPT && scanner->lenient) {
                *damaged = true;
                return STATUS_OK;
            }
        }
        if (status != STATUS_OK || !goes_on) {
            return status;
        }
    }
}

/* What was read may be in the system's cache only (the process was killed, the machine was not),
 * and a sync of it may have failed. */
static enum status make_durable(struct wal_scanner *scanner, size_t last, struct error *err)
{
    enum status status = fs_sync_dir(scanner->scan->fs, scanner->scan->dir, err);
    for (size_t i = 0; i <= last && status == STATUS_OK; i++) {
        if (scanner->files[i].id >= scanner->synced.file) {
            status = wal_scanner_open(scanner, i, err);
            const struct wal_scanner_file *file = &scanner->files[i];
            uint64_t begin = file->id == scanner->synced.file ? scanner->synced.offset : 0;
            uint64_t end = i == last ? scanner->scan->end.offset : file->bytes;
            if (status == STATUS_OK) {
                status = file_write_again(scanner->file, begin, end, err);
            }
        }
    }
    return status;
}

/* The log ends in files[last]: keeps its file open, and the one made ahead. */
static enum status keep_tail(struct wal_scanner *scanner, size_t last, struct error *err)
{
    struct wal_scan *scan = scanner->scan;
    enum status status = wal_scanner_open(scanner, last, err);
    if (status != STATUS_OK) {
        return status;
    }
    wal_index_newest(&scan->index)->file = scanner->file;
    scanner->file = NULL;
    if (last + 1 < scanner->count) {
        const struct wal_scanner_file *file = &scanner->files[last + 1];
        status = wal_scanner_open(scanner, last + 1, err);
        if (status != STATUS_OK) {
            return status;
        }
        scan->next = wal_segment_new(scan->alloc, file->id, file->bytes, scanner->file);
        if (scan->next == NULL) {
            return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a segment");
        }
        scan->next->version = file->version;
        scanner->file = NULL;
    }
    return STATUS_OK;
}

/* Segments behind the end, of a chain that a crash cut in an older one. They go durably: if what is
 * next written there were lost, and all before it purged, the old chain would be the log. The
 * newest goes first, since what is before a gap would be taken for what a purge was removing. */
static enum status remove_behind(struct wal_scanner *scanner, size_t last, struct error *err)
{
    struct wal_scan *scan = scanner->scan;
    struct wal_scanner_group group;
    uint64_t bad = 0;
    bool used = false; /* the one that may have been made ahead */
    enum status status = STATUS_OK;
    if (last + 1 < scanner->count && scanner->files[last + 1].version == WAL_VERSION_CHAINS) {
        status = wal_scanner_open(scanner, last + 1, err);
        if (status == STATUS_OK) {
            status = wal_scanner_group(scanner, WAL_BLOCK_BYTES, &group, &used, &bad, err);
        }
    }
    size_t kept = used ? last + 1 : last + 2;
    for (; scanner->count > kept && status == STATUS_OK; scanner->count--) {
        size_t i = scanner->count;
        char path[PATH_BYTES_MAX];
        status = wal_segment_path(path, scan->dir, scanner->files[i - 1].id, err);
        if (status == STATUS_OK) {
            status = fs_unlink(scan->fs, path, err);
        }
        if (status == STATUS_OK) {
            status = fs_sync_dir(scan->fs, scan->dir, err);
        }
    }
    return status;
}

static enum status scan_log(struct wal_scanner *scanner, struct error *err)
{
    struct wal_scan *scan = scanner->scan;
    size_t last = 0;
    bool damaged = false;
    enum status status = wal_scan_segments(scanner, &last, &damaged, err);
    if (status != STATUS_OK) {
        return status;
    }
    /* The first segment of all may be empty still; of others, purging leaves one with groups, but
     * where those need not be durable. */
    bool empty = !scanner->established && scanner->files[0].id != 1;
    scan->headless = empty && scanner->files[0].version == WAL_VERSION_CHAINS;
    if (empty && !scan->headless) {
        return error_set(err, STATUS_CORRUPT, "%.300s: no log before segment %llx, which is empty",
                         scan->dir, (unsigned long long)scanner->files[0].id);
    }
    scan->state.last_index = scan->terms.last_index;
    scan->state.last_term = wal_terms_last(&scan->terms);
    status = make_durable(scanner, last, err);
    if (status == STATUS_OK) {
        status = remove_behind(scanner, last, err);
    }
    return status == STATUS_OK ? keep_tail(scanner, last, err) : status;
}

enum status wal_scan_run(struct wal_scan *scan, struct error *err)
{
    struct wal_scanner scanner = {.scan = scan};
    wal_index_init(&scan->index, scan->alloc);
    wal_terms_init(&scan->terms, scan->alloc);
    scan->fresh = true;
    enum status status = wal_scanner_list(&scanner, err);
    if (status == STATUS_OK) {
        status = wal_scanner_skip_before_gap(&scanner, err);
    }
    scan->existed = scanner.count > 0;
    if (status == STATUS_OK && scan->existed) {
        status = wal_scanner_check_heads(&scanner, err);
    }
    if (status == STATUS_OK && scan->existed) {
        status = scan_log(&scanner, err);
    }
    if (status == STATUS_OK) {
        status = wal_scanner_remove_temporaries(&scanner, err);
    }
    wal_scanner_close(&scanner);
    alloc_free(scan->alloc, scanner.window);
    alloc_free(scan->alloc, scanner.files);
    return status;
}

void wal_scan_release(struct wal_scan *scan)
{
    wal_index_release(&scan->index);
    wal_terms_release(&scan->terms);
    wal_segment_free(scan->alloc, scan->next);
    scan->next = NULL;
    while (scan->gone != NULL) {
        struct wal_segment *segment = scan->gone;
        scan->gone = segment->next;
        wal_segment_free(scan->alloc, segment);
    }
}
