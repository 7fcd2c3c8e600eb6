/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/wal/walk.h"

#include "base/check.h"
#include "storage/wal/scanner.h"

struct walker {
    const struct wal_walk_options *options;
    struct wal_walk *out;
    struct wal_scan scan;
    struct wal_scanner scanner;
    uint64_t last_index; /* as the records say so far, the next NEXT goes on from there */
    uint64_t last_term;
    struct error
        next_begins_badly; /* found at a file's end; told unless the next one's walk does */
};

static void tell(struct walker *walker, const struct error *fault)
{
    walker->out->faults++;
    if (walker->options->on_fault != NULL) {
        walker->options->on_fault(walker->options->context, fault);
    }
}

/* --- files --------------------------------------------------------------------------------- */

static enum status choose_files(struct walker *walker, struct error *err)
{
    struct wal_scanner *scanner = &walker->scanner;
    enum status status = wal_scanner_list(scanner, err);
    if (status != STATUS_OK) {
        return status;
    }
    if (walker->options->only == 0) {
        size_t before = scanner->count;
        status = wal_scanner_skip_before_gap(scanner, err);
        walker->out->stale = before - scanner->count;
        return status;
    }
    for (size_t i = 0; i < scanner->count; i++) {
        if (scanner->files[i].id == walker->options->only) {
            scanner->files[0] = scanner->files[i];
            scanner->count = 1;
            return STATUS_OK;
        }
    }
    return error_set(err, STATUS_NOT_FOUND, "%.300s: no segment %llx", walker->options->dir,
                     (unsigned long long)walker->options->only);
}

/* A head that is damaged or another log's is a fault; the others tell the salt. */
static enum status look_at_heads(struct walker *walker, struct error *err)
{
    struct wal_scanner *scanner = &walker->scanner;
    enum status status = STATUS_OK;
    for (size_t i = 0; i < scanner->count && status == STATUS_OK; i++) {
        struct error fault = ERROR_INIT;
        status = wal_scanner_open(scanner, i, err);
        if (status == STATUS_OK) {
            status = wal_scanner_check_head(scanner, &fault);
            walker->out->bytes += scanner->files[i].bytes;
            if (status == STATUS_CORRUPT) {
                tell(walker, &fault);
                status = STATUS_OK;
            } else if (status != STATUS_OK && err != NULL) {
                *err = fault;
            }
        }
    }
    walker->out->segments = scanner->count;
    scanner->bad_head = scanner->count;
    return status;
}

/* --- groups -------------------------------------------------------------------------------- */

static enum status show_records(struct walker *walker, const struct wal_scanner_group *group,
                                struct error *err)
{
    const struct wal_walk_options *options = walker->options;
    struct slice rest = group->records;
    struct wal_position place = {.file = walker->scanner.files[walker->scanner.at].id,
                                 .offset = group->records_offset};
    enum status status = STATUS_OK;
    uint64_t count = 0;
    while (rest.length > 0 && status == STATUS_OK) {
        size_t length = wal_record_length(rest.data); /* wal_scanner_group() has checked it */
        CHECK(length > 0);
        CHECK(length <= rest.length);
        struct wal_entry entry;
        struct wal_record record = {
            .type = (enum wal_record_type)get_le32(rest.data + 4),
            .content =
                slice_of(rest.data + WAL_RECORD_HEADER_BYTES, length - WAL_RECORD_HEADER_BYTES),
            .before_index = walker->last_index,
            .before_term = walker->last_term,
        };
        uint64_t first = 0;
        uint64_t second = 0;
        if (wal_entry_get(&record, &entry)) {
            walker->out->entries++;
            walker->out->entry_bytes += entry.data.length;
            walker->last_index = entry.index;
            walker->last_term = entry.term;
        } else if (record.type != WAL_RECORD_HARD_STATE && wal_pair_get(&record, &first, &second)) {
            walker->last_index = first;
            walker->last_term = second;
        }
        if (options->on_record != NULL) {
            status = options->on_record(options->context, place, &record, err);
        }
        rest = slice_from(rest, length);
        place.offset += length;
        count++;
    }
    if (status == STATUS_OK && options->on_write != NULL) {
        options->on_write(options->context, group->records.length, count);
    }
    return status;
}

static enum status show_group(struct walker *walker, const struct wal_scanner_group *group,
                              struct error *err)
{
    const struct wal_walk_options *options = walker->options;
    struct wal_position place = {.file = walker->scanner.files[walker->scanner.at].id,
                                 .offset = group->offset};
    walker->out->groups += group->is_link ? 0 : 1;
    if (!group->is_link && options->on_group != NULL) {
        enum status status = options->on_group(options->context, place, &group->content, err);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return show_records(walker, group, err);
}

/* The next group says anew where the log stands; what links before it say, nobody knows. */
static void lose_place(struct wal_scanner *scanner)
{
    scanner->established = false;
    scanner->chain = 0;
    scanner->any_group = true;
}

/* A sound group or link: shown, and held against what came before. */
static enum status take_group(struct walker *walker, const struct wal_scanner_group *group,
                              struct error *err)
{
    enum status status = show_group(walker, group, err);
    if (status != STATUS_OK) {
        return status;
    }
    struct error fault = ERROR_INIT;
    status = wal_scan_apply(&walker->scanner, group, &fault);
    if (status == STATUS_CORRUPT) {
        tell(walker, &fault);
        lose_place(&walker->scanner);
        return STATUS_OK;
    }
    if (status != STATUS_OK && err != NULL) {
        *err = fault;
    }
    return status;
}

/* The first sound group of the open file at or behind `offset`. */
static enum status find_group(struct walker *walker, uint64_t offset, uint64_t *at, bool *found,
                              struct error *err)
{
    struct wal_scanner *scanner = &walker->scanner;
    uint64_t end = scanner->files[scanner->at].bytes;
    enum status status = STATUS_OK;
    *found = false;
    while (offset + WAL_GROUP_HEADER_BYTES <= end && !*found && status == STATUS_OK) {
        struct wal_scanner_group group;
        uint64_t bad = 0;
        *at = offset;
        status = wal_scanner_group(scanner, offset, &group, found, &bad, err);
        offset += WAL_BLOCK_BYTES;
    }
    return status;
}

enum after { AFTER_HERE, AFTER_NEXT_FILE, AFTER_END };

/* Nothing sound at files[at], *offset: the file's end, damage, or the log's end. */
static enum status look_past(struct walker *walker, size_t at, uint64_t *offset, uint64_t bad,
                             enum after *out, struct error *err)
{
    struct wal_scanner *scanner = &walker->scanner;
    struct wal_position place = {.file = scanner->files[at].id, .offset = *offset};
    struct error fault = ERROR_INIT;
    bool goes_on = false;
    walker->scan.end = place;
    walker->scan.cut_bytes = bad > *offset ? bad - *offset : 0;
    enum status status = wal_scanner_goes_on(scanner, at, place, &goes_on, err);
    if (status != STATUS_OK || goes_on) {
        *out = AFTER_NEXT_FILE;
        return status;
    }
    status = wal_scanner_check_not_damage(scanner, at, *offset, bad, &fault);
    if (status == STATUS_CORRUPT && scanner->blames_next) {
        walker->next_begins_badly = fault;
        lose_place(scanner);
        *out = AFTER_NEXT_FILE;
        return STATUS_OK;
    }
    if (status != STATUS_CORRUPT) {
        *out = AFTER_END;
        if (status != STATUS_OK && err != NULL) {
            *err = fault;
        }
        return status;
    }
    tell(walker, &fault);
    lose_place(scanner);
    bool found = false;
    status = wal_scanner_open(scanner, at, err);
    if (status == STATUS_OK) {
        status = find_group(walker, wal_block_up(*offset + 1), offset, &found, err);
    }
    *out = found ? AFTER_HERE : AFTER_NEXT_FILE;
    return status;
}

/* What the file before had to say of this one's begin, where nothing else was told of it. */
static void tell_bad_begin(struct walker *walker, uint64_t faults_before)
{
    if (walker->next_begins_badly.status != STATUS_OK && walker->out->faults == faults_before) {
        tell(walker, &walker->next_begins_badly);
    }
    walker->next_begins_badly.status = STATUS_OK;
}

static enum status walk_segment(struct walker *walker, size_t at, bool *ends, struct error *err)
{
    struct wal_scanner *scanner = &walker->scanner;
    uint64_t offset = WAL_BLOCK_BYTES;
    enum after after = AFTER_HERE;
    enum status status = wal_scanner_open(scanner, at, err);
    if (status == STATUS_OK && walker->options->on_segment != NULL) {
        struct wal_head head = walker->scan.head;
        head.file = scanner->files[at].id;
        head.version = scanner->files[at].version;
        status = walker->options->on_segment(walker->options->context, &head,
                                             scanner->files[at].bytes, err);
    }
    if (status == STATUS_OK) {
        status = wal_scan_enter(scanner, at, err);
    }
    for (bool first = true; status == STATUS_OK && after == AFTER_HERE; first = false) {
        struct wal_scanner_group group;
        bool found = false;
        uint64_t bad = 0;
        uint64_t faults = walker->out->faults;
        status = wal_scanner_next(scanner, offset, &group, &found, &bad, err);
        if (status == STATUS_OK && found) {
            status = take_group(walker, &group, err);
            offset = group.end;
        } else if (status == STATUS_OK) {
            status = look_past(walker, at, &offset, bad, &after, err);
        }
        if (first) {
            tell_bad_begin(walker, faults);
        }
    }
    *ends = after == AFTER_END;
    return status;
}

static enum status walk_all(struct walker *walker, struct error *err)
{
    struct wal_scanner *scanner = &walker->scanner;
    enum status status = look_at_heads(walker, err);
    bool ends = !scanner->has_salt; /* without it no record can be known */
    for (size_t at = 0; at < scanner->count && status == STATUS_OK && !ends; at++) {
        status = walk_segment(walker, at, &ends, err);
    }
    if (status == STATUS_OK && walker->options->only == 0 && walker->out->faults == 0 &&
        !scanner->established && scanner->count > 0 && scanner->files[0].id != 1 &&
        scanner->files[0].version != WAL_VERSION_CHAINS) {
        struct error fault = ERROR_INIT;
        (void)error_set(&fault, STATUS_CORRUPT,
                        "%.300s: no log before segment %llx, which is empty", walker->options->dir,
                        (unsigned long long)scanner->files[0].id);
        tell(walker, &fault);
    }
    return status;
}

static void sum_up(const struct wal_scan *scan, struct wal_walk *out)
{
    out->first_index = scan->terms.base_index + 1;
    out->last_index = scan->terms.last_index;
    out->last_term = wal_terms_last(&scan->terms);
    out->term = scan->state.term;
    out->vote = scan->state.vote;
    out->end = scan->end;
    out->torn_bytes = scan->cut_bytes;
    out->attested = scan->attested;
}

enum status wal_walk(const struct wal_walk_options *options, struct wal_walk *out,
                     struct error *err)
{
    *out = (struct wal_walk){0};
    struct walker walker = {.options = options,
                            .out = out,
                            .scan = {.fs = options->fs,
                                     .alloc = options->alloc,
                                     .dir = options->dir,
                                     .any_identity = true,
                                     .fresh = true},
                            .scanner = {.read_only = true}};
    walker.scanner.scan = &walker.scan;
    wal_index_init(&walker.scan.index, options->alloc);
    wal_terms_init(&walker.scan.terms, options->alloc);
    enum status status = choose_files(&walker, err);
    if (status == STATUS_OK) {
        status = walk_all(&walker, err);
    }
    if (status == STATUS_OK) {
        sum_up(&walker.scan, out);
    }
    wal_scanner_close(&walker.scanner);
    alloc_free(options->alloc, walker.scanner.window);
    alloc_free(options->alloc, walker.scanner.files);
    wal_scan_release(&walker.scan);
    return status;
}
