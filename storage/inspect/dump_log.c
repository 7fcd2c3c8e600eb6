/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/inspect/dump_parts.h"

#include <inttypes.h>

#include "storage/wal/walk.h"

/* What each line begins with. */
static void begin(struct report *report, const char *word, struct wal_position place)
{
    (void)fprintf(report->lines, "%s file=%016" PRIx64 ".wal offset=%" PRIu64, word, place.file,
                  place.offset);
}

static enum status on_segment(void *context, const struct wal_head *head, uint64_t bytes,
                              struct error *err)
{
    struct report *report = context;
    (void)err;
    (void)fprintf(report->lines,
                  "segment file=%016" PRIx64 ".wal number=%" PRIu64 " salt=%016" PRIx64, head->file,
                  head->file, head->salt);
    report_bytes(report, "identity", slice_of(head->identity, head->identity_length));
    (void)fprintf(report->lines, " bytes=%" PRIu64 "\n", bytes);
    return STATUS_OK;
}

static enum status on_group(void *context, struct wal_position place,
                            const struct wal_group_content *group, struct error *err)
{
    struct report *report = context;
    (void)err;
    begin(report, group->chain == 0 ? "group" : "chain", place);
    (void)fprintf(report->lines,
                  " synced_file=%016" PRIx64 ".wal synced_offset=%" PRIu64 " bytes=%" PRIu32
                  " records=%" PRIu32,
                  group->synced_through.file, group->synced_through.offset, group->bytes,
                  group->records);
    if (group->chain != 0) {
        (void)fprintf(report->lines, " chain=%016" PRIx64 " follows=%" PRIu64, group->chain,
                      group->follows);
    }
    (void)fputc('\n', report->lines);
    return STATUS_OK;
}

static enum status on_record(void *context, struct wal_position place,
                             const struct wal_record *record, struct error *err)
{
    struct report *report = context;
    struct wal_entry entry;
    uint64_t first = 0;
    uint64_t second = 0;
    (void)err;
    if (wal_entry_get(record, &entry)) {
        begin(report, "entry", place);
        (void)fprintf(report->lines, " index=%" PRIu64 " term=%" PRIu64 " type=%" PRIu32,
                      entry.index, entry.term, entry.type);
        report_bytes(report, "data", entry.data);
    } else if (wal_pair_get(record, &first, &second)) {
        bool is_vote = record->type == WAL_RECORD_HARD_STATE;
        begin(report,
              is_vote                               ? "hard_state"
              : record->type == WAL_RECORD_TRUNCATE ? "truncate"
                                                    : "reset",
              place);
        (void)fprintf(report->lines, " %s=%" PRIu64 " %s=%" PRIu64, is_vote ? "term" : "index",
                      first, is_vote ? "vote" : "term", second);
    } else {
        begin(report, record->type == WAL_RECORD_SYNCED ? "synced" : "unknown", place);
    }
    (void)fputc('\n', report->lines);
    return STATUS_OK;
}

enum status dump_log(struct fs *fs, struct alloc *alloc, const char *dir, uint64_t only,
                     struct report *report, struct error *err)
{
    struct error found = ERROR_INIT;
    struct wal_walk walk;
    const struct wal_walk_options options = {.fs = fs,
                                             .alloc = alloc,
                                             .dir = dir,
                                             .only = only,
                                             .on_segment = on_segment,
                                             .on_group = on_group,
                                             .on_record = on_record,
                                             .on_fault = report_fault,
                                             .context = report};
    enum status status = wal_walk(&options, &walk, &found);
    return report_end(report, status, &found, err);
}
