/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/wal/salvage.h"

#include <stdio.h>

#include "base/check.h"
#include "storage/wal/files.h"
#include "storage/wal/scanner.h"

#define COPY_BYTES (1 * MIB)

static enum status begin(struct wal_scanner *scanner, struct wal_scan *scan,
                         const struct wal_options *options, struct error *err)
{
    *scan = (struct wal_scan){
        .fs = options->fs,
        .alloc = options->alloc == NULL ? alloc_default() : options->alloc,
        .dir = options->dir,
        .identity = options->identity,
    };
    *scanner = (struct wal_scanner){.scan = scan, .lenient = true};
    wal_index_init(&scan->index, scan->alloc);
    wal_terms_init(&scan->terms, scan->alloc);
    enum status status = wal_scanner_list(scanner, err);
    return status == STATUS_OK ? wal_scanner_skip_before_gap(scanner, err) : status;
}

static void end(struct wal_scanner *scanner)
{
    wal_scanner_close(scanner);
    alloc_free(scanner->scan->alloc, scanner->window);
    alloc_free(scanner->scan->alloc, scanner->files);
    wal_scan_release(scanner->scan);
}

/* --- what comes after the damage ----------------------------------------------------------- */

struct after {
    struct wal_position attested; /* so far the log was durable once */
    bool known;                   /* `state` is that of the last group looked at */
    struct wal_state state;
};

/* The sound record at the begin of `records`, which moves past it. */
static struct wal_record next_record(struct slice *records)
{
    size_t length = wal_record_length(records->data); /* wal_scanner_group() has checked it */
    CHECK(length > 0);
    CHECK(length <= records->length);
    struct wal_record record = {
        .type = (enum wal_record_type)get_le32(records->data + 4),
        .content =
            slice_of(records->data + WAL_RECORD_HEADER_BYTES, length - WAL_RECORD_HEADER_BYTES),
    };
    *records = slice_from(*records, length);
    return record;
}

/* What a group begins with: the state before it. False if it is not there (old logs), or not whole.
 */
static bool take_head(struct after *after, struct slice *records)
{
    struct slice rest = *records;
    struct wal_state state = {0};
    if (rest.length < 2UL * WAL_PAIR_RECORD_BYTES) {
        return false;
    }
    struct wal_record first = next_record(&rest);
    if (first.type != WAL_RECORD_HARD_STATE || rest.length < WAL_PAIR_RECORD_BYTES) {
        return false;
    }
    struct wal_record second = next_record(&rest);
    if (second.type != WAL_RECORD_TRUNCATE || !wal_pair_get(&first, &state.term, &state.vote) ||
        !wal_pair_get(&second, &state.last_index, &state.last_term)) {
        return false;
    }
    after->state = state;
    after->known = true;
    *records = rest;
    return true;
}

/* What the rest of a whole group makes of it. */
static void take_records(struct after *after, struct slice records)
{
    while (records.length > 0) {
        struct wal_record record = next_record(&records);
        record.before_index = after->state.last_index;
        record.before_term = after->state.last_term;
        struct wal_entry entry;
        uint64_t first = 0;
        uint64_t second = 0;
        if (wal_entry_get(&record, &entry)) {
            after->state.last_index = entry.index;
            after->state.last_term = entry.term;
        } else if (wal_pair_get(&record, &first, &second)) {
            bool is_vote = record.type == WAL_RECORD_HARD_STATE;
            *(is_vote ? &after->state.term : &after->state.last_index) = first;
            *(is_vote ? &after->state.vote : &after->state.last_term) = second;
        }
    }
}

/* The links behind a CHAIN group; `after` may be NULL. *next is where to look for a group. */
static enum status take_links(struct wal_scanner *scanner, struct after *after,
                              const struct wal_scanner_group *group, uint64_t *next,
                              struct error *err)
{
    uint64_t end = group->end;
    uint64_t chain = group->content.chain;
    bool found = true;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && found) {
        struct wal_scanner_group link;
        status = wal_scanner_link(scanner, chain, end, &link, &found, err);
        if (status == STATUS_OK && found) {
            end = link.end;
            if (after != NULL) {
                take_records(after, link.records);
            }
        }
    }
    struct wal_position place = {.file = scanner->files[scanner->at].id, .offset = end};
    if (after != NULL && wal_position_before(place, after->attested)) {
        after->known = false; /* a link, or the end of the chain, which the next group tells */
    }
    *next = wal_block_up(end);
    return status;
}

/* One block: a group that begins here, or none. Returns where to look next. */
static enum status take_block(struct wal_scanner *scanner, struct after *after, uint64_t offset,
                              bool only_attested, uint64_t *next, struct error *err)
{
    struct wal_scanner_group group = {.offset = 0};
    bool whole = false;
    uint64_t bad = 0;
    struct wal_position place = {.file = scanner->files[scanner->at].id, .offset = offset};
    enum status status = wal_scanner_group(scanner, offset, &group, &whole, &bad, err);
    if (status != STATUS_OK) {
        return status;
    }
    *next = offset + WAL_BLOCK_BYTES;
    bool begins = bad > offset; /* the GROUP record is sound */
    if (begins && wal_position_before(after->attested, group.content.synced_through)) {
        after->attested = group.content.synced_through;
    }
    if (whole) {
        *next = wal_block_up(group.end);
    }
    if (only_attested && whole && group.content.chain != 0) {
        return take_links(scanner, NULL, &group, next, err);
    }
    if (only_attested) {
        return STATUS_OK;
    }
    struct slice records = group.records;
    if (whole) {
        (void)take_head(after, &records);
        take_records(after, records);
        return group.content.chain == 0 ? STATUS_OK : take_links(scanner, after, &group, next, err);
    }
    if (wal_position_before(place, after->attested)) {
        after->known = false; /* here was a group, or the end of a file that the next one tells */
    } else if (begins) {
        /* A write that did not end: what it was to add was never durable. */
        records.length = (size_t)(bad - group.records_offset);
        (void)take_head(after, &records);
    }
    return STATUS_OK;
}

/* From `place`, which is in files[at], to the end. */
static enum status walk(struct wal_scanner *scanner, size_t at, uint64_t offset,
                        struct after *after, bool only_attested, struct error *err)
{
    enum status status = STATUS_OK;
    for (size_t i = at; i < scanner->count && status == STATUS_OK; i++) {
        status = wal_scanner_open(scanner, i, err);
        uint64_t here = i == at ? wal_block_up(offset) : WAL_BLOCK_BYTES;
        while (status == STATUS_OK && here + WAL_GROUP_HEADER_BYTES <= scanner->files[i].bytes) {
            status = take_block(scanner, after, here, only_attested, &here, err);
        }
    }
    return status;
}

static enum status look(struct wal_scanner *scanner, struct wal_salvage *out, struct error *err)
{
    struct wal_scan *scan = scanner->scan;
    size_t last = 0;
    bool damaged = false;
    struct after after = {.known = true};
    if (scanner->count == 0) {
        return error_set(err, STATUS_CORRUPT, "%.300s: there is no log", scan->dir);
    }
    enum status status = wal_scanner_check_heads(scanner, err);
    if (status == STATUS_OK) {
        status = wal_scan_segments(scanner, &last, &damaged, err);
    }
    if (status == STATUS_OK && !damaged) {
        return error_set(err, STATUS_CORRUPT, "%.300s: nothing in it is damaged", scan->dir);
    }
    after.state = scan->state;
    after.state.last_index = scan->terms.last_index;
    after.state.last_term = wal_terms_last(&scan->terms);
    /* Before any hard state was read there is none to go by. */
    after.known = scanner->established;
    if (status == STATUS_OK) {
        *out = (struct wal_salvage){
            .file = scan->end.file,
            .offset = scan->end.offset,
            .last_index = after.state.last_index,
            .last_term = after.state.last_term,
            .salt = scan->salt,
        };
        after.attested = scanner->synced;
        status = walk(scanner, last, scan->end.offset, &after, true, err);
    }
    if (status == STATUS_OK) {
        status = walk(scanner, last, scan->end.offset, &after, false, err);
    }
    if (status == STATUS_OK && !after.known) {
        return error_set(err, STATUS_CORRUPT,
                         "%.300s: no group after the damage is whole, so the node's last vote is "
                         "not known",
                         scan->dir);
    }
    if (status == STATUS_OK) {
        out->term = after.state.term;
        out->vote = after.state.vote;
        bool lost =
            after.state.last_index != out->last_index || after.state.last_term != out->last_term;
        out->lost_index = lost ? after.state.last_index : 0;
    }
    return status;
}

enum status wal_salvage_look(const struct wal_options *options, struct wal_salvage *out,
                             struct error *err)
{
    struct wal_scanner scanner;
    struct wal_scan scan;
    struct wal_salvage found = {0};
    enum status status = begin(&scanner, &scan, options, err);
    if (status == STATUS_OK) {
        status = look(&scanner, &found, err);
    }
    end(&scanner);
    if (status != STATUS_OK) {
        return error_wrap(err, "salvage log");
    }
    *out = found;
    return STATUS_OK;
}

/* --- the cut ------------------------------------------------------------------------------- */

/* The group that the log will end with: it says what the hard state is. */
static enum status make_group(struct wal_group *group, const struct wal_salvage *salvage,
                              struct slice *out, struct error *err)
{
    const struct wal_position end_before = {.file = salvage->file, .offset = salvage->offset};
    const struct wal_group_place to = {
        .form = GROUP_FORM_GROUP,
        .place = {.file = salvage->file, .offset = wal_block_up(salvage->offset)},
        .synced_through = end_before,
        .salt = salvage->salt,
    };
    const struct wal_state state = {.last_index = salvage->last_index,
                                    .last_term = salvage->last_term,
                                    .term = salvage->term,
                                    .vote = salvage->vote};
    wal_group_clear(group, state);
    enum status status = wal_group_reserve(group, WAL_PAIR_RECORD_BYTES, 0, err);
    if (status == STATUS_OK) {
        wal_group_pair(group, WAL_RECORD_HARD_STATE, state.term, state.vote);
        *out = wal_group_seal(group, &to);
    }
    return status;
}

/* *done: the file is the new one already. */
static enum status is_cut(struct wal_scanner *scanner, size_t at, uint64_t offset,
                          struct slice group, bool *done, struct error *err)
{
    uint8_t found[WAL_BLOCK_BYTES];
    size_t got = 0;
    CHECK(group.length == sizeof found);
    enum status status = wal_scanner_open(scanner, at, err);
    if (status == STATUS_OK) {
        status = file_read(scanner->file, wal_block_up(offset), found, sizeof found, &got, err);
    }
    *done = status == STATUS_OK && slice_equal(slice_of(found, got), group);
    if (status == STATUS_OK && !*done) {
        enum status head = wal_scanner_check_head(scanner, NULL); /* learns version and size */
        status = head == STATUS_CORRUPT ? STATUS_OK : head;
    }
    return status == STATUS_OK ? file_size(scanner->file, &scanner->files[at].bytes, err) : status;
}

static enum status copy(struct wal_scanner *scanner, struct file *to, uint64_t end_offset,
                        struct error *err)
{
    enum status status = STATUS_OK;
    uint8_t *piece = alloc_new(scanner->scan->alloc, COPY_BYTES);
    if (piece == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory to copy a segment");
    }
    for (uint64_t at = WAL_BLOCK_BYTES; at < end_offset && status == STATUS_OK;) {
        uint64_t left = end_offset - at;
        size_t wanted = left < COPY_BYTES ? (size_t)left : COPY_BYTES;
        size_t got = 0;
        status = file_read(scanner->file, at, piece, wanted, &got, err);
        if (status == STATUS_OK && got < wanted) {
            status = error_set(err, STATUS_CORRUPT, "%.300s: ends at %llu", scanner->path,
                               (unsigned long long)(at + got));
        }
        if (status == STATUS_OK) {
            status = file_write(to, at, slice_of(piece, wanted), err);
        }
        at += wanted;
    }
    alloc_free(scanner->scan->alloc, piece);
    return status;
}

/* The open file's good part, the group, and zeros, as `path`. */
static enum status write_new(struct wal_scanner *scanner, const char *path,
                             const struct wal_salvage *salvage, struct slice group,
                             struct error *err)
{
    uint8_t block[WAL_BLOCK_BYTES];
    /* A file whose own head is bad has nothing in it that is kept. */
    uint32_t version = scanner->files[scanner->at].version;
    struct wal_head head = {.version = version == 0 ? WAL_VERSION_GROUPS : version,
                            .file = salvage->file,
                            .salt = salvage->salt};
    struct slice identity = scanner->scan->identity;
    CHECK(identity.length <= sizeof head.identity);
    head.identity_length = identity.length;
    if (identity.length > 0) {
        memcpy(head.identity, identity.data, identity.length);
    }
    wal_head_encode(&head, block);
    uint64_t bytes = wal_block_up(salvage->offset) + group.length;
    bytes = bytes > scanner->files[scanner->at].bytes ? bytes : scanner->files[scanner->at].bytes;
    struct file *file = NULL;
    enum status status =
        fs_open(scanner->scan->fs, path, FS_READ | FS_WRITE | FS_CREATE | FS_TRUNCATE, &file, err);
    if (status != STATUS_OK) {
        return status;
    }
    status = file_allocate(file, bytes, err);
    if (status == STATUS_OK) {
        status = file_write(file, 0, slice_of(block, sizeof block), err);
    }
    if (status == STATUS_OK) {
        status = copy(scanner, file, salvage->offset, err);
    }
    if (status == STATUS_OK) {
        status = file_write(file, wal_block_up(salvage->offset), group, err);
    }
    if (status == STATUS_OK) {
        status = file_sync(file, err);
    }
    file_close(file);
    return status;
}

/* A segment's name, and the other one that it gets. */
static enum status names_of(const struct wal_scanner *scanner, uint64_t id,
                            char path[PATH_BYTES_MAX], char aside[PATH_BYTES_MAX],
                            struct error *err)
{
    char name[32];
    (void)snprintf(name, sizeof name, "%016llx" WAL_DAMAGED_SUFFIX, (unsigned long long)id);
    enum status status = wal_segment_path(path, scanner->scan->dir, id, err);
    return status == STATUS_OK ? path_join(aside, scanner->scan->dir, name, err) : status;
}

/* The newest goes first, so that what is left never has a gap. */
static enum status put_aside(struct wal_scanner *scanner, size_t at, struct error *err)
{
    struct fs *fs = scanner->scan->fs;
    char path[PATH_BYTES_MAX];
    char aside[PATH_BYTES_MAX];
    enum status status = STATUS_OK;
    for (size_t i = scanner->count; i > at && status == STATUS_OK; i--) {
        bool exists = false;
        status = names_of(scanner, scanner->files[i - 1].id, path, aside, err);
        if (status == STATUS_OK) {
            status = fs_exists(fs, aside, &exists, err);
        }
        if (status == STATUS_OK && exists) {
            status = fs_unlink(fs, aside, err); /* of an earlier salvage, or try */
        }
        if (status == STATUS_OK) {
            /* The first one keeps its name until the new one takes it. */
            status = i - 1 == at ? fs_link(fs, path, aside, err) : fs_rename(fs, path, aside, err);
        }
        if (status == STATUS_OK) {
            status = fs_sync_dir(fs, scanner->scan->dir, err);
        }
    }
    return status;
}

static enum status cut(struct wal_scanner *scanner, const struct wal_salvage *salvage,
                       struct slice group, struct error *err)
{
    struct fs *fs = scanner->scan->fs;
    const char *dir = scanner->scan->dir;
    char path[PATH_BYTES_MAX];
    char temporary[PATH_BYTES_MAX];
    bool done = false;
    size_t at = 0;
    while (at < scanner->count && scanner->files[at].id != salvage->file) {
        at++;
    }
    if (at == scanner->count) {
        return error_set(err, STATUS_CORRUPT, "%.300s: segment %llx is gone", dir,
                         (unsigned long long)salvage->file);
    }
    enum status status = is_cut(scanner, at, salvage->offset, group, &done, err);
    if (status != STATUS_OK || done) {
        return status == STATUS_OK ? fs_sync_dir(fs, dir, err) : status;
    }
    status = wal_segment_path(path, dir, salvage->file, err);
    if (status == STATUS_OK) {
        status = path_join(temporary, dir, "salvage" WAL_TEMPORARY_SUFFIX, err);
    }
    if (status == STATUS_OK) {
        status = write_new(scanner, temporary, salvage, group, err);
    }
    if (status == STATUS_OK) {
        status = put_aside(scanner, at, err);
    }
    if (status == STATUS_OK) {
        status = fs_rename(fs, temporary, path, err);
    }
    return status == STATUS_OK ? fs_sync_dir(fs, dir, err) : status;
}

enum status wal_salvage_cut(const struct wal_options *options, const struct wal_salvage *salvage,
                            struct error *err)
{
    struct wal_scanner scanner;
    struct wal_scan scan;
    struct wal_group group;
    struct slice bytes;
    enum status status = begin(&scanner, &scan, options, err);
    wal_group_init(&group, scan.alloc);
    if (status == STATUS_OK) {
        status = make_group(&group, salvage, &bytes, err);
    }
    if (status == STATUS_OK) {
        status = cut(&scanner, salvage, bytes, err);
    }
    wal_group_release(&group);
    end(&scanner);
    return status == STATUS_OK ? STATUS_OK : error_wrap(err, "salvage log");
}
