/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/wal/scanner.h"

#include <stdio.h>

#include "base/check.h"
#include "storage/wal/files.h"

enum { WINDOW_BYTES = 1 * MIB };

/* --- the directory ----------------------------------------------------------------------- */

static enum status add_file(struct wal_scanner *scanner, uint64_t id, struct error *err)
{
    if (scanner->count == scanner->capacity) {
        size_t capacity = scanner->capacity == 0 ? 16 : scanner->capacity * 2;
        struct wal_scanner_file *files =
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
    scanner->files[at] = (struct wal_scanner_file){.id = id};
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
    struct wal_scanner *scanner = context;
    uint64_t id = 0;
    if (wal_segment_name_parse(name, &id)) {
        return add_file(scanner, id, err);
    }
    if (is_temporary(name)) {
        scanner->temporary_count++;
    }
    return STATUS_OK;
}

enum status wal_scanner_list(struct wal_scanner *scanner, struct error *err)
{
    return fs_list(scanner->scan->fs, scanner->scan->dir, each_name, scanner, err);
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

enum status wal_scanner_remove_temporaries(struct wal_scanner *scanner, struct error *err)
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

enum status wal_scanner_retire(struct wal_scanner *scanner, const struct wal_scanner_file *file,
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
enum status wal_scanner_skip_before_gap(struct wal_scanner *scanner, struct error *err)
{
    size_t begin = scanner->count;
    while (begin > 1 && scanner->files[begin - 2].id + 1 == scanner->files[begin - 1].id) {
        begin--;
    }
    begin = begin == 0 ? 0 : begin - 1;
    for (size_t i = 0; i < begin; i++) {
        enum status status = wal_scanner_retire(scanner, &scanner->files[i], err);
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

void wal_scanner_close(struct wal_scanner *scanner)
{
    file_close(scanner->file);
    scanner->file = NULL;
    scanner->window_length = 0;
}

enum status wal_scanner_open(struct wal_scanner *scanner, size_t at, struct error *err)
{
    struct wal_scan *scan = scanner->scan;
    wal_scanner_close(scanner);
    enum status status = wal_segment_path(scanner->path, scan->dir, scanner->files[at].id, err);
    if (status == STATUS_OK) {
        int flags = scanner->read_only ? FS_READ : FS_READ | FS_WRITE;
        status = fs_open(scan->fs, scanner->path, flags, &scanner->file, err);
    }
    scanner->at = at;
    return status;
}

static bool grow_window(struct wal_scanner *scanner, size_t length)
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
static enum status bytes_at(struct wal_scanner *scanner, uint64_t offset, size_t length,
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

enum status wal_scanner_check_head(struct wal_scanner *scanner, struct error *err)
{
    struct wal_scan *scan = scanner->scan;
    struct wal_scanner_file *file = &scanner->files[scanner->at];
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
    if (scan->any_identity && !scanner->has_salt) {
        scan->head = head;
        scan->identity = slice_of(scan->head.identity, scan->head.identity_length);
    }
    if (!slice_equal(slice_of(head.identity, head.identity_length), scan->identity)) {
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "%.300s: this log belongs to another cluster or node", scanner->path);
    }
    if (head.file != file->id || (scanner->has_salt && head.salt != scan->salt)) {
        return error_set(err, STATUS_CORRUPT,
                         "%.300s: offset 0: the head is that of another file (%llu)", scanner->path,
                         (unsigned long long)head.file);
    }
    file->version = head.version;
    scan->salt = head.salt;
    scanner->has_salt = true;
    return STATUS_OK;
}

enum status wal_scanner_check_heads(struct wal_scanner *scanner, struct error *err)
{
    enum status status = STATUS_OK;
    scanner->bad_head = scanner->count;
    for (size_t i = 0; i < scanner->count && status == STATUS_OK; i++) {
        status = wal_scanner_open(scanner, i, err);
        if (status == STATUS_OK) {
            status = wal_scanner_check_head(scanner, err);
        }
        if (status == STATUS_CORRUPT && scanner->lenient) {
            scanner->bad_head = i < scanner->bad_head ? i : scanner->bad_head;
            status = STATUS_OK;
        }
    }
    if (status == STATUS_OK && !scanner->has_salt && scanner->count > 0) {
        return error_set(err, STATUS_CORRUPT, "%.300s: no segment has a head", scanner->scan->dir);
    }
    return status;
}

/* --- groups ------------------------------------------------------------------------------ */

/* A sound GROUP or CHAIN record at `offset`; *found is false if there is none. */
static enum status group_header_at(struct wal_scanner *scanner, uint64_t offset,
                                   struct wal_group_content *out, bool *found, struct error *err)
{
    struct slice bytes;
    struct wal_record record;
    struct wal_position place = {.file = scanner->files[scanner->at].id, .offset = offset};
    enum status status = bytes_at(scanner, offset, WAL_CHAIN_HEADER_BYTES, &bytes, err);
    if (status != STATUS_OK) {
        return status;
    }
    *found = wal_record_check(bytes, place, scanner->scan->salt, &record) &&
             wal_group_get(&record, out) && !wal_position_before(place, out->synced_through);
    return STATUS_OK;
}

enum status wal_scanner_group(struct wal_scanner *scanner, uint64_t offset,
                              struct wal_scanner_group *out, bool *found, uint64_t *bad,
                              struct error *err)
{
    uint64_t file_id = scanner->files[scanner->at].id;
    struct slice whole;
    *bad = offset;
    enum status status = group_header_at(scanner, offset, &out->content, found, err);
    if (status != STATUS_OK || !*found) {
        return status;
    }
    size_t header = wal_group_header_bytes(out->content.chain);
    size_t length = header + out->content.bytes;
    uint64_t salt = wal_chain_salt(scanner->scan->salt, out->content.chain);
    status = bytes_at(scanner, offset, length, &whole, err);
    if (status != STATUS_OK) {
        return status;
    }
    out->is_link = false;
    out->offset = offset;
    out->records_offset = offset + header;
    out->end = out->content.chain == 0 ? wal_block_up(offset + length) : offset + length;
    *found = whole.length == length;
    out->records = slice_from(whole, header);
    struct slice rest = out->records;
    uint32_t records = 0;
    *bad = out->records_offset;
    while (*found && rest.length > 0) {
        struct wal_record record;
        struct wal_position place = {.file = file_id, .offset = *bad};
        *found = wal_record_check(rest, place, salt, &record);
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

enum status wal_scanner_link(struct wal_scanner *scanner, uint64_t chain, uint64_t offset,
                             struct wal_scanner_group *out, bool *found, struct error *err)
{
    struct slice bytes;
    struct wal_record record;
    struct wal_position place = {.file = scanner->files[scanner->at].id, .offset = offset};
    uint64_t salt = wal_chain_salt(scanner->scan->salt, chain);
    *found = false;
    enum status status = bytes_at(scanner, offset, WAL_RECORD_HEADER_BYTES, &bytes, err);
    if (status != STATUS_OK || bytes.length < WAL_RECORD_HEADER_BYTES) {
        return status;
    }
    size_t length = wal_record_length(bytes.data);
    if (length == 0) {
        return STATUS_OK;
    }
    status = bytes_at(scanner, offset, length, &bytes, err);
    if (status != STATUS_OK || !wal_record_check(bytes, place, salt, &record)) {
        return status;
    }
    *found = record.type != WAL_RECORD_GROUP && record.type != WAL_RECORD_CHAIN;
    *out = (struct wal_scanner_group){.is_link = true,
                                      .content.chain = chain,
                                      .records = slice_of(bytes.data, length),
                                      .offset = offset,
                                      .records_offset = offset,
                                      .end = offset + length};
    return STATUS_OK;
}

/* Behind a chain, and where one begins, the group must say that all before it is durable. */
static bool follows_here(const struct wal_scanner *scanner, uint64_t offset,
                         const struct wal_group_content *content)
{
    struct wal_position says = content->synced_through;
    bool begins_file = offset == WAL_BLOCK_BYTES;
    bool needs = scanner->chain != 0 || content->chain != 0;
    return begins_file || !needs || scanner->any_group ||
           (says.file == scanner->files[scanner->at].id && says.offset == offset);
}

enum status wal_scanner_next(struct wal_scanner *scanner, uint64_t offset,
                             struct wal_scanner_group *out, bool *found, uint64_t *bad,
                             struct error *err)
{
    uint64_t bad_group = 0;
    enum status status = STATUS_OK;
    *found = false;
    *bad = offset;
    if (scanner->chain != 0 && offset > WAL_BLOCK_BYTES) {
        status = wal_scanner_link(scanner, scanner->chain, offset, out, found, err);
    }
    if (status != STATUS_OK || *found) {
        return status;
    }
    status = wal_scanner_group(scanner, wal_block_up(offset), out, found, &bad_group, err);
    if (status != STATUS_OK) {
        return status;
    }
    bool begins = bad_group > wal_block_up(offset); /* its header is sound */
    bool follows = begins && follows_here(scanner, offset, &out->content);
    *found = *found && follows;
    if (follows) {
        *bad = bad_group;
    }
    return STATUS_OK;
}

/* Looks in the open file, from `offset` on, for a group that says that the log was durable past
 * `place`. */
static enum status find_attestation(struct wal_scanner *scanner, uint64_t offset,
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

enum status wal_scanner_check_not_damage(struct wal_scanner *scanner, size_t at, uint64_t offset,
                                         uint64_t bad, struct error *err)
{
    struct wal_position place = {.file = scanner->files[at].id, .offset = offset};
    for (size_t i = at; i < scanner->count; i++) {
        struct wal_position says = {0};
        bool found = false;
        enum status status = wal_scanner_open(scanner, i, err);
        if (status == STATUS_OK) {
            uint64_t from = i == at ? wal_block_up(offset + 1) : WAL_BLOCK_BYTES;
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
        scanner->blames_next = !here;
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

enum status wal_scanner_goes_on(struct wal_scanner *scanner, size_t at, struct wal_position place,
                                bool *out, struct error *err)
{
    struct wal_scanner_group group;
    uint64_t bad = 0;
    *out = false;
    if (at + 1 == scanner->count) {
        return STATUS_OK;
    }
    enum status status = wal_scanner_open(scanner, at + 1, err);
    if (status == STATUS_OK) {
        status = wal_scanner_group(scanner, WAL_BLOCK_BYTES, &group, out, &bad, err);
    }
    if (status == STATUS_OK && *out) {
        bool durable = group.content.synced_through.file == place.file &&
                       group.content.synced_through.offset == place.offset;
        bool goes_on = group.content.chain != 0 && group.content.follows == place.offset &&
                       (durable || group.content.chain == scanner->chain);
        *out = group.content.chain == 0 ? durable : goes_on;
    }
    return status;
}
