/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/wal/scan.h"

#include <stdio.h>

#include "base/check.h"
#include "storage/wal/files.h"

enum { WINDOW_BYTES = 1 * MIB };

struct segment_file {
    uint64_t id;
    uint64_t bytes;
};

/* A group whose records are all sound. */
struct group {
    struct wal_group_content content;
    struct slice records; /* in the window */
    uint64_t offset;      /* of the GROUP record */
};

struct scanner {
    struct wal_scan *scan;
    struct segment_file *files; /* the log's, rising ids */
    size_t count;
    size_t capacity;
    size_t temporary_count;
    struct wal_position synced; /* the furthest that a group said to be durable */
    bool established;           /* the log's place is known */
    size_t at;                  /* index in `files` of the one that is open */
    struct file *file;
    char path[PATH_BYTES_MAX];
    uint8_t *window;
    size_t window_capacity;
    uint64_t window_offset;
    size_t window_length;
};

/* --- the directory ----------------------------------------------------------------------- */

static enum status add_file(struct scanner *scanner, uint64_t id, struct error *err)
{
    if (scanner->count == scanner->capacity) {
        size_t capacity = scanner->capacity == 0 ? 16 : scanner->capacity * 2;
        struct segment_file *files =
            alloc_resize(scanner->scan->alloc, scanner->files, capacity * sizeof *files);
        if (files == NULL) {
            return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a list of segments");
        }
        scanner->files = files;
        scanner->capacity = capacity;
    }
    size_t at = scanner->count++;
    for (; at > 0 && scanner->files[at - 1].id > id; at--) {
        scanner->files[at] = scanner->files[at - 1];
    }
    scanner->files[at] = (struct segment_file){.id = id};
    return STATUS_OK;
}

static bool is_temporary(const char *name)
{
    size_t length = strlen(name);
    size_t suffix = strlen(WAL_TEMPORARY_SUFFIX);
    return length > suffix && strcmp(name + length - suffix, WAL_TEMPORARY_SUFFIX) == 0;
}

static enum status each_name(void *context, const char *name, struct error *err)
{
    struct scanner *scanner = context;
    uint64_t id = 0;
    if (wal_segment_name_parse(name, &id)) {
        return add_file(scanner, id, err);
    }
    if (is_temporary(name)) {
        scanner->temporary_count++;
    }
    return STATUS_OK;
}

/* Takes one name at a time, since a directory is not to be changed while it is listed. */
struct one_name {
    char name[256];
    bool found;
};

static enum status each_temporary(void *context, const char *name, struct error *err)
{
    struct one_name *one = context;
    (void)err;
    if (!one->found && is_temporary(name) && strlen(name) < sizeof one->name) {
        memcpy(one->name, name, strlen(name) + 1);
        one->found = true;
    }
    return STATUS_OK;
}

static enum status remove_temporaries(struct scanner *scanner, struct error *err)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < scanner->temporary_count && status == STATUS_OK; i++) {
        struct one_name one = {.found = false};
        status = fs_list(scanner->scan->fs, scanner->scan->dir, each_temporary, &one, err);
        if (status == STATUS_OK && one.found) {
            status = path_join(scanner->path, scanner->scan->dir, one.name, err);
            if (status == STATUS_OK) {
                status = fs_unlink(scanner->scan->fs, scanner->path, err);
            }
        }
    }
    return status;
}

static enum status retire(struct scanner *scanner, const struct segment_file *file,
                          struct error *err)
{
    struct wal_segment *segment =
        wal_segment_new(scanner->scan->alloc, file->id, file->bytes, NULL);
    if (segment == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a segment");
    }
    segment->next = scanner->scan->gone;
    scanner->scan->gone = segment;
    return STATUS_OK;
}

/* Purging removes the oldest files, each on its own: after a crash some may be back and others not.
 * What is before a gap was therefore purged; whether that may be, the snapshot will tell. */
static enum status skip_before_gap(struct scanner *scanner, struct error *err)
{
    size_t begin = scanner->count;
    while (begin > 1 && scanner->files[begin - 2].id + 1 == scanner->files[begin - 1].id) {
        begin--;
    }
    begin = begin == 0 ? 0 : begin - 1;
    for (size_t i = 0; i < begin; i++) {
        enum status status = retire(scanner, &scanner->files[i], err);
        if (status != STATUS_OK) {
            return status;
        }
    }
    scanner->count -= begin;
    if (begin > 0) {
        memmove(scanner->files, scanner->files + begin, scanner->count * sizeof *scanner->files);
    }
    return STATUS_OK;
}

/* --- one file ---------------------------------------------------------------------------- */

static void close_file(struct scanner *scanner)
{
    file_close(scanner->file);
    scanner->file = NULL;
    scanner->window_length = 0;
}

static enum status open_file(struct scanner *scanner, size_t at, struct error *err)
{
    struct wal_scan *scan = scanner->scan;
    close_file(scanner);
    enum status status = wal_segment_path(scanner->path, scan->dir, scanner->files[at].id, err);
    if (status == STATUS_OK) {
        status = fs_open(scan->fs, scanner->path, FS_READ | FS_WRITE, &scanner->file, err);
    }
    scanner->at = at;
    return status;
}

static bool grow_window(struct scanner *scanner, size_t length)
{
    if (scanner->window_capacity >= length) {
        return true;
    }
    uint8_t *window = alloc_resize(scanner->scan->alloc, scanner->window, length);
    if (window == NULL) {
        return false;
    }
    scanner->window = window;
    scanner->window_capacity = length;
    return true;
}

/* Bytes of the open file from `offset` on: `length` of them, fewer only at the file's end. Valid
 * until the next call. */
static enum status bytes_at(struct scanner *scanner, uint64_t offset, size_t length,
                            struct slice *out, struct error *err)
{
    uint64_t window_end = scanner->window_offset + scanner->window_length;
    if (offset < scanner->window_offset || offset + length > window_end) {
        size_t wanted = length > WINDOW_BYTES ? length : WINDOW_BYTES;
        if (!grow_window(scanner, wanted)) {
            return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a group of %zu bytes",
                             length);
        }
        scanner->window_length = 0;
        scanner->window_offset = offset;
        enum status status =
            file_read(scanner->file, offset, scanner->window, wanted, &scanner->window_length, err);
        if (status != STATUS_OK) {
            scanner->window_length = 0;
            return status;
        }
        window_end = offset + scanner->window_length;
    }
    uint64_t available = window_end > offset ? window_end - offset : 0;
    *out = slice_of(scanner->window + (offset - scanner->window_offset),
                    available < length ? (size_t)available : length);
    return STATUS_OK;
}

static enum status check_head(struct scanner *scanner, struct error *err)
{
    struct wal_scan *scan = scanner->scan;
    struct segment_file *file = &scanner->files[scanner->at];
    struct wal_head head;
    struct slice bytes;
    enum status status = file_size(scanner->file, &file->bytes, err);
    if (status == STATUS_OK) {
        status = bytes_at(scanner, 0, WAL_BLOCK_BYTES, &bytes, err);
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (bytes.length < WAL_BLOCK_BYTES) {
        return error_set(err, STATUS_CORRUPT, "%.300s: offset 0: shorter than a head",
                         scanner->path);
    }
    status = wal_head_decode(bytes.data, scanner->path, &head, err);
    if (status != STATUS_OK) {
        return status;
    }
    if (!slice_equal(slice_of(head.identity, head.identity_length), scan->identity)) {
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "%.300s: this log belongs to another cluster or node", scanner->path);
    }
    if (head.file != file->id || (scanner->at > 0 && head.salt != scan->salt)) {
        return error_set(err, STATUS_CORRUPT,
                         "%.300s: offset 0: the head is that of another file (%llu)", scanner->path,
                         (unsigned long long)head.file);
    }
    scan->salt = head.salt;
    return STATUS_OK;
}

static enum status check_heads(struct scanner *scanner, struct error *err)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < scanner->count && status == STATUS_OK; i++) {
        status = open_file(scanner, i, err);
        if (status == STATUS_OK) {
            status = check_head(scanner, err);
        }
    }
    return status;
}

/* --- groups ------------------------------------------------------------------------------ */

/* A sound GROUP record at `offset`; *found is false if there is none. */
static enum status group_header_at(struct scanner *scanner, uint64_t offset,
                                   struct wal_group_content *out, bool *found, struct error *err)
{
    struct slice bytes;
    struct wal_record record;
    struct wal_position place = {.file = scanner->files[scanner->at].id, .offset = offset};
    enum status status = bytes_at(scanner, offset, WAL_GROUP_HEADER_BYTES, &bytes, err);
    if (status != STATUS_OK) {
        return status;
    }
    *found = wal_record_check(bytes, place, scanner->scan->salt, &record) &&
             wal_group_get(&record, out) && !wal_position_before(place, out->synced_through);
    return STATUS_OK;
}

/* The group at `offset`. Else *found is false and *bad the offset of the first record that is not
 * sound. */
static enum status group_at(struct scanner *scanner, uint64_t offset, struct group *out,
                            bool *found, uint64_t *bad, struct error *err)
{
    uint64_t file_id = scanner->files[scanner->at].id;
    struct slice whole;
    *bad = offset;
    enum status status = group_header_at(scanner, offset, &out->content, found, err);
    if (status != STATUS_OK || !*found) {
        return status;
    }
    size_t length = WAL_GROUP_HEADER_BYTES + out->content.bytes;
    status = bytes_at(scanner, offset, length, &whole, err);
    if (status != STATUS_OK) {
        return status;
    }
    out->offset = offset;
    out->records = slice_from(whole, WAL_GROUP_HEADER_BYTES);
    *found = whole.length == length;
    struct slice rest = out->records;
    uint32_t records = 0;
    *bad = offset + WAL_GROUP_HEADER_BYTES;
    while (*found && rest.length > 0) {
        struct wal_record record;
        struct wal_position place = {.file = file_id, .offset = *bad};
        *found = wal_record_check(rest, place, scanner->scan->salt, &record);
        if (*found) {
            size_t step = WAL_RECORD_HEADER_BYTES + record.content.length;
            rest = slice_from(rest, step);
            *bad += step;
            records++;
        }
    }
    *found = *found && records == out->content.records;
    return STATUS_OK;
}

/* Looks in the open file, from `offset` on, for a group that says that the log was durable past
 * `place`. */
static enum status find_attestation(struct scanner *scanner, uint64_t offset,
                                    struct wal_position place, bool *found,
                                    struct wal_position *says, struct error *err)
{
    uint64_t end = scanner->files[scanner->at].bytes;
    *found = false;
    for (; offset + WAL_GROUP_HEADER_BYTES <= end && !*found; offset += WAL_BLOCK_BYTES) {
        struct wal_group_content content;
        enum status status = group_header_at(scanner, offset, &content, found, err);
        if (status != STATUS_OK) {
            return status;
        }
        if (*found) {
            *found = wal_position_before(place, content.synced_through);
            *says = content.synced_through;
        }
    }
    return STATUS_OK;
}

/* Nothing sound at (file `at`, offset): was it durable once? `bad` is the first bad record. */
static enum status check_not_damage(struct scanner *scanner, size_t at, uint64_t offset,
                                    uint64_t bad, struct error *err)
{
    struct wal_position place = {.file = scanner->files[at].id, .offset = offset};
    for (size_t i = at; i < scanner->count; i++) {
        struct wal_position says = {0};
        bool found = false;
        enum status status = open_file(scanner, i, err);
        if (status == STATUS_OK) {
            uint64_t from = i == at ? offset + WAL_BLOCK_BYTES : WAL_BLOCK_BYTES;
            status = find_attestation(scanner, from, place, &found, &says, err);
        }
        if (status != STATUS_OK) {
            return status;
        }
        if (!found) {
            continue;
        }
        /* A statement about a later file alone: then this file may have ended here, and it is the
         * next one that begins badly. */
        bool here = says.file == place.file;
        char path[PATH_BYTES_MAX];
        status =
            wal_segment_path(path, scanner->scan->dir, here ? place.file : place.file + 1, err);
        if (status != STATUS_OK) {
            return status;
        }
        return error_set(err, STATUS_CORRUPT,
                         "%.300s: offset %llu: damaged (the log was durable up to file %llx "
                         "offset %llu)",
                         path, (unsigned long long)(here ? bad : WAL_BLOCK_BYTES),
                         (unsigned long long)says.file, (unsigned long long)says.offset);
    }
    return STATUS_OK;
}

/* True if the segment after `at` begins with a group that says that the log ended at `place`. It
 * must be whole: if it is torn, the log ends at `place`, and the next group will say so anew. */
static enum status goes_on_in_next(struct scanner *scanner, size_t at, struct wal_position place,
                                   bool *out, struct error *err)
{
    struct group group;
    uint64_t bad = 0;
    *out = false;
    if (at + 1 == scanner->count) {
        return STATUS_OK;
    }
    enum status status = open_file(scanner, at + 1, err);
    if (status == STATUS_OK) {
        status = group_at(scanner, WAL_BLOCK_BYTES, &group, out, &bad, err);
    }
    if (status == STATUS_OK && *out) {
        *out = group.content.synced_through.file == place.file &&
               group.content.synced_through.offset == place.offset;
    }
    return status;
}

/* --- what the records say ---------------------------------------------------------------- */

static enum status impossible(const struct scanner *scanner, uint64_t offset, const char *what,
                              uint64_t index, struct error *err)
{
    return error_set(err, STATUS_CORRUPT, "%.300s: offset %llu: %s (index %llu, log ends at %llu)",
                     scanner->path, (unsigned long long)offset, what, (unsigned long long)index,
                     (unsigned long long)scanner->scan->terms.last_index);
}

static void establish(struct scanner *scanner, uint64_t index, uint64_t term)
{
    struct wal_scan *scan = scanner->scan;
    wal_terms_reset(&scan->terms, index, term);
    wal_index_reset(&scan->index, index);
    scanner->established = true;
    scan->fresh = true;
}

static enum status apply_truncate(struct scanner *scanner, uint64_t offset, uint64_t index,
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

static enum status apply_entry(struct scanner *scanner, const struct wal_entry *entry,
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
    struct wal_point point = {.index = entry->index, .offset = offset, .group_end = group_end};
    wal_segment_note(segment, point, scan->fresh);
    scan->index.last_index = entry->index;
    scan->fresh = false;
    return STATUS_OK;
}

static enum status apply_record(struct scanner *scanner, const struct wal_record *record,
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

static enum status apply_group(struct scanner *scanner, const struct group *group,
                               struct error *err)
{
    struct wal_scan *scan = scanner->scan;
    struct slice rest = group->records;
    uint64_t offset = group->offset + WAL_GROUP_HEADER_BYTES;
    uint64_t group_end = offset + group->records.length;
    enum status status = STATUS_OK;
    while (rest.length > 0 && status == STATUS_OK) {
        size_t length = wal_record_length(rest.data); /* group_at() has checked it */
        CHECK(length > 0);
        CHECK(length <= rest.length);
        struct wal_record record = {
            .type = (enum wal_record_type)get_le32(rest.data + 4),
            .content =
                slice_of(rest.data + WAL_RECORD_HEADER_BYTES, length - WAL_RECORD_HEADER_BYTES),
        };
        status = apply_record(scanner, &record, offset, group_end, err);
        scan->attested = record.type == WAL_RECORD_SYNCED;
        rest = slice_from(rest, length);
        offset += length;
    }
    if (wal_position_before(scanner->synced, group->content.synced_through)) {
        scanner->synced = group->content.synced_through;
    }
    return status;
}

/* --- the whole log ----------------------------------------------------------------------- */

static enum status add_segment(struct scanner *scanner, size_t at, struct error *err)
{
    struct wal_scan *scan = scanner->scan;
    const struct segment_file *file = &scanner->files[at];
    if (!wal_index_reserve(&scan->index, 1)) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for the log's index");
    }
    struct wal_segment *segment = wal_segment_new(scan->alloc, file->id, file->bytes, NULL);
    if (segment == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a segment");
    }
    wal_index_add(&scan->index, segment);
    return STATUS_OK;
}

/* All groups of the file. *end is where they end, *bad the first record that is not sound. */
static enum status scan_segment(struct scanner *scanner, size_t at, uint64_t *end, uint64_t *bad,
                                struct error *err)
{
    uint64_t offset = WAL_BLOCK_BYTES;
    enum status status = open_file(scanner, at, err);
    if (status == STATUS_OK) {
        status = add_segment(scanner, at, err);
    }
    while (status == STATUS_OK) {
        struct group group;
        bool found = false;
        status = group_at(scanner, offset, &group, &found, bad, err);
        if (status != STATUS_OK || !found) {
            break;
        }
        status = apply_group(scanner, &group, err);
        offset = wal_block_up(offset + WAL_GROUP_HEADER_BYTES + group.content.bytes);
    }
    *end = offset;
    return status;
}

static enum status scan_segments(struct scanner *scanner, size_t *last, struct error *err)
{
    struct wal_scan *scan = scanner->scan;
    for (size_t at = 0;; at++) {
        uint64_t end = 0;
        uint64_t bad = 0;
        bool goes_on = false;
        enum status status = scan_segment(scanner, at, &end, &bad, err);
        if (status != STATUS_OK) {
            return status;
        }
        struct wal_position place = {.file = scanner->files[at].id, .offset = end};
        status = goes_on_in_next(scanner, at, place, &goes_on, err);
        if (status == STATUS_OK && !goes_on) {
            status = check_not_damage(scanner, at, end, bad, err);
            scan->end = place;
            scan->cut_bytes = bad > end ? bad - end : 0;
            *last = at;
        }
        if (status != STATUS_OK || !goes_on) {
            return status;
        }
    }
}

/* What was read may be in the system's cache only (the process was killed, the machine was not). */
static enum status make_durable(struct scanner *scanner, size_t last, struct error *err)
{
    enum status status = fs_sync_dir(scanner->scan->fs, scanner->scan->dir, err);
    for (size_t i = 0; i <= last && status == STATUS_OK; i++) {
        if (scanner->files[i].id >= scanner->synced.file) {
            status = open_file(scanner, i, err);
            if (status == STATUS_OK) {
                status = file_sync(scanner->file, err);
            }
        }
    }
    return status;
}

/* The log ends in files[last]: keeps its file open, and the one made ahead. */
static enum status keep_tail(struct scanner *scanner, size_t last, struct error *err)
{
    struct wal_scan *scan = scanner->scan;
    enum status status = open_file(scanner, last, err);
    if (status != STATUS_OK) {
        return status;
    }
    wal_index_newest(&scan->index)->file = scanner->file;
    scanner->file = NULL;
    if (last + 1 < scanner->count) {
        const struct segment_file *file = &scanner->files[last + 1];
        status = open_file(scanner, last + 1, err);
        if (status != STATUS_OK) {
            return status;
        }
        scan->next = wal_segment_new(scan->alloc, file->id, file->bytes, scanner->file);
        if (scan->next == NULL) {
            return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a segment");
        }
        scanner->file = NULL;
    }
    for (size_t i = last + 2; i < scanner->count && status == STATUS_OK; i++) {
        status = retire(scanner, &scanner->files[i], err);
    }
    return status;
}

static enum status scan_log(struct scanner *scanner, struct error *err)
{
    struct wal_scan *scan = scanner->scan;
    size_t last = 0;
    enum status status = scan_segments(scanner, &last, err);
    if (status != STATUS_OK) {
        return status;
    }
    /* The first segment of all may be empty still; of others, purging leaves one with groups. */
    if (!scanner->established && scanner->files[0].id != 1) {
        return error_set(err, STATUS_CORRUPT, "%.300s: no log before segment %llx, which is empty",
                         scan->dir, (unsigned long long)scanner->files[0].id);
    }
    scan->state.last_index = scan->terms.last_index;
    scan->state.last_term = wal_terms_last(&scan->terms);
    status = make_durable(scanner, last, err);
    return status == STATUS_OK ? keep_tail(scanner, last, err) : status;
}

enum status wal_scan_run(struct wal_scan *scan, struct error *err)
{
    struct scanner scanner = {.scan = scan};
    wal_index_init(&scan->index, scan->alloc);
    wal_terms_init(&scan->terms, scan->alloc);
    scan->fresh = true;
    enum status status = fs_list(scan->fs, scan->dir, each_name, &scanner, err);
    if (status == STATUS_OK) {
        status = skip_before_gap(&scanner, err);
    }
    scan->existed = scanner.count > 0;
    if (status == STATUS_OK && scan->existed) {
        status = check_heads(&scanner, err);
    }
    if (status == STATUS_OK && scan->existed) {
        status = scan_log(&scanner, err);
    }
    if (status == STATUS_OK) {
        status = remove_temporaries(&scanner, err);
    }
    close_file(&scanner);
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
