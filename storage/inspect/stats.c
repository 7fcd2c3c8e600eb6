/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/inspect/stats.h"

#include <inttypes.h>

#include "base/metrics.h"
#include "storage/inspect/tables.h"
#include "storage/metrics.h"
#include "storage/metrics_text.h"
#include "storage/tree/pick.h"
#include "storage/tree/shape.h"
#include "storage/wal/walk.h"

/* --- tables -------------------------------------------------------------------------------- */

struct sums {
    uint64_t tables;
    uint64_t bytes;
    uint64_t entries;
    uint64_t deletions;
    uint64_t raw_bytes;
    uint64_t data_bytes;
};

/* What compression made of keys and values; "-" where there are none. */
static void put_ratio(struct report *report, const struct sums *sums)
{
    if (sums->data_bytes == 0) {
        (void)fprintf(report->lines, " ratio=-");
    } else {
        (void)fprintf(report->lines, " ratio=%.2f",
                      (double)sums->raw_bytes / (double)sums->data_bytes);
    }
}

static void put_sums(struct report *report, const struct sums *sums)
{
    (void)fprintf(report->lines,
                  " bytes=%" PRIu64 " entries=%" PRIu64 " deletions=%" PRIu64 " raw_bytes=%" PRIu64
                  " data_bytes=%" PRIu64,
                  sums->bytes, sums->entries, sums->deletions, sums->raw_bytes, sums->data_bytes);
    put_ratio(report, sums);
}

static void add(struct sums *to, const struct sums *more)
{
    to->tables += more->tables;
    to->bytes += more->bytes;
    to->entries += more->entries;
    to->deletions += more->deletions;
    to->raw_bytes += more->raw_bytes;
    to->data_bytes += more->data_bytes;
}

static enum status put_table(const struct inspect_tables *tables, struct table_file *file,
                             unsigned level, struct report *report, struct sums *sums,
                             struct error *err)
{
    char name[TABLE_FILE_NAME_BYTES];
    struct table *table = NULL;
    struct error found = ERROR_INIT;
    enum status status = table_file_open(file, &table, &found);
    struct sums one = {.tables = 1, .bytes = file->bytes, .entries = file->entries};
    const char *codec = "unknown";
    if (status == STATUS_OK) {
        const struct table_info *info = table_get_info(table);
        one.deletions = info->deletions;
        one.raw_bytes = info->raw_bytes;
        one.data_bytes = info->data_bytes;
        codec = codec_name(info->codec);
    }
    (void)fprintf(report->lines, "table file=%s keyspace=%s level=%u codec=%s",
                  table_file_name(name, file->number), tables->state.keyspaces[file->keyspace].name,
                  level, codec);
    put_sums(report, &one);
    report_bytes(report, "smallest", internal_key_user(file->smallest));
    report_bytes(report, "largest", internal_key_user(file->largest));
    report_times(report, &file->times);
    (void)fputc('\n', report->lines);
    add(sums, &one);
    return report_end(report, status, &found, err);
}

static enum status put_keyspace(const struct inspect_tables *tables, unsigned keyspace,
                                struct report *report, struct error *err)
{
    const struct manifest_keyspace *what = &tables->state.keyspaces[keyspace];
    struct sums all = {.tables = 0};
    for (unsigned level = 0; level < TREE_LEVELS; level++) {
        struct sums sums = {.tables = 0};
        size_t count = version_count(tables->version, keyspace, level);
        for (size_t i = 0; i < count; i++) {
            enum status status = put_table(tables, version_at(tables->version, keyspace, level, i),
                                           level, report, &sums, err);
            if (status != STATUS_OK) {
                return status;
            }
        }
        if (count > 0) {
            (void)fprintf(report->lines, "level keyspace=%s level=%u tables=%" PRIu64, what->name,
                          level, sums.tables);
            put_sums(report, &sums);
            (void)fputc('\n', report->lines);
        }
        add(&all, &sums);
    }
    (void)fprintf(report->lines, "keyspace name=%s layout=%s tables=%" PRIu64, what->name,
                  what->layout == KEYSPACE_APPEND ? "append" : "leveled", all.tables);
    put_sums(report, &all);
    const struct shape shape = shape_of(tables->version, keyspace, what->layout);
    (void)fprintf(report->lines, " read_amplification=%zu space_amplification=%.3f", shape.runs,
                  metrics_ratio(shape.bytes, shape.live_bytes));
    const struct floor *floor = version_floor(tables->version, keyspace);
    if (floor->length > 0) {
        (void)fprintf(report->lines, " dead_bytes=%" PRIu64,
                      pick_dead_bytes(tables->version, keyspace, floor));
        report_bytes(report, "floor", floor_key(floor));
    }
    (void)fputc('\n', report->lines);
    return STATUS_OK;
}

static enum status put_tables(const struct store_place *place, struct report *report,
                              struct error *err)
{
    struct inspect_tables tables;
    struct error found = ERROR_INIT;
    char name[MANIFEST_NAME_BYTES];
    enum status status = inspect_tables_open(&tables, place, &found);
    if (status == STATUS_OK) {
        (void)fprintf(
            report->lines,
            "manifest file=%s bytes=%" PRIu64 " records=%" PRIu64 " torn_bytes=%" PRIu64
            " seals=%" PRIu64 " last_sequence=%" PRIu64 " next_file=%" PRIu64 " state_bytes=%zu\n",
            manifest_file_name(name, tables.number), tables.reading.bytes, tables.reading.records,
            tables.reading.bytes - tables.reading.end, tables.state.seal_count,
            tables.state.last_sequence, tables.state.next_file, tables.state.owner_state.length);
        for (unsigned i = 0; i < tables.state.keyspace_count && status == STATUS_OK; i++) {
            status = put_keyspace(&tables, i, report, err);
        }
        if (status != STATUS_OK && err != NULL) {
            found = *err;
        }
    }
    inspect_tables_release(&tables);
    return report_end(report, status, &found, err);
}

/* --- the log ------------------------------------------------------------------------------- */

/* How large the writes were that made the log. */
struct sizes {
    struct histogram all;
    uint64_t largest;
};

struct log_lines {
    struct report *report;
    uint64_t file; /* the segment under way; 0: none yet */
    uint64_t bytes;
    uint64_t entries;
    uint64_t first; /* entry in it */
    uint64_t last;
    struct sizes write_bytes; /* of all segments */
    struct sizes write_records;
};

static void end_segment(struct log_lines *lines)
{
    if (lines->file != 0) {
        (void)fprintf(lines->report->lines,
                      "segment file=%016" PRIx64 ".wal bytes=%" PRIu64 " entries=%" PRIu64
                      " first=%" PRIu64 " last=%" PRIu64 "\n",
                      lines->file, lines->bytes, lines->entries, lines->first, lines->last);
    }
}

static enum status on_segment(void *context, const struct wal_head *head, uint64_t bytes,
                              struct error *err)
{
    struct log_lines *lines = context;
    (void)err;
    end_segment(lines);
    lines->file = head->file;
    lines->bytes = bytes;
    lines->entries = lines->first = lines->last = 0;
    return STATUS_OK;
}

static void note_size(struct sizes *sizes, uint64_t size)
{
    histogram_record(&sizes->all, size);
    sizes->largest = size > sizes->largest ? size : sizes->largest;
}

static void on_write(void *context, uint64_t bytes, uint64_t records)
{
    struct log_lines *lines = context;
    note_size(&lines->write_bytes, bytes);
    note_size(&lines->write_records, records);
}

/* As near as the histogram has it, and no more than the largest, which is exact. */
static uint64_t size_at(struct sizes *sizes, double quantile)
{
    uint64_t size = histogram_quantile(&sizes->all, quantile);
    return size < sizes->largest ? size : sizes->largest;
}

static void put_sizes(struct report *report, const char *name, struct sizes *sizes)
{
    (void)fprintf(report->lines, " %s_p50=%" PRIu64 " %s_p99=%" PRIu64 " %s_max=%" PRIu64, name,
                  size_at(sizes, 0.5), name, size_at(sizes, 0.99), name, sizes->largest);
}

static enum status on_record(void *context, struct wal_position place,
                             const struct wal_record *record, struct error *err)
{
    struct log_lines *lines = context;
    struct wal_entry entry;
    (void)place;
    (void)err;
    if (wal_entry_get(record, &entry)) {
        lines->first = lines->entries == 0 ? entry.index : lines->first;
        lines->last = entry.index;
        lines->entries++;
    }
    return STATUS_OK;
}

static void on_fault(void *context, const struct error *fault)
{
    report_fault(((struct log_lines *)context)->report, fault);
}

static enum status put_log(const struct store_place *place, struct report *report,
                           struct error *err)
{
    struct log_lines lines = {.report = report};
    struct wal_walk log;
    struct error found = ERROR_INIT;
    const struct wal_walk_options options = {.fs = place->fs,
                                             .alloc = place->alloc,
                                             .dir = place->log,
                                             .on_segment = on_segment,
                                             .on_write = on_write,
                                             .on_record = on_record,
                                             .on_fault = on_fault,
                                             .context = &lines};
    enum status status = wal_walk(&options, &log, &found);
    end_segment(&lines);
    if (status == STATUS_OK) {
        (void)fprintf(report->lines,
                      "log segments=%" PRIu64 " bytes=%" PRIu64 " groups=%" PRIu64
                      " entries=%" PRIu64 " entry_bytes=%" PRIu64 " first=%" PRIu64 " last=%" PRIu64
                      " last_term=%" PRIu64 " term=%" PRIu64 " vote=%" PRIu64
                      " end_file=%016" PRIx64 ".wal end_offset=%" PRIu64 " torn_bytes=%" PRIu64
                      " attested=%s",
                      log.segments, log.bytes, log.groups, log.entries, log.entry_bytes,
                      log.first_index, log.last_index, log.last_term, log.term, log.vote,
                      log.end.file, log.end.offset, log.torn_bytes, log.attested ? "yes" : "no");
        put_sizes(report, "write_records", &lines.write_records);
        put_sizes(report, "write_bytes", &lines.write_bytes);
        (void)fputc('\n', report->lines);
    }
    return report_end(report, status, &found, err);
}

/* --- what the node has done ---------------------------------------------------------------- */

/* As the node wrote it; bytes that a terminal might obey are left out. */
static enum status put_metrics(const struct store_place *place, struct report *report,
                               struct error *err)
{
    struct buf text;
    struct error found = ERROR_INIT;
    buf_init(&text, place->alloc, STORAGE_METRICS_BYTES_MAX);
    enum status status = fs_read_file(place->fs, place->metrics, &text, &found);
    status = status == STATUS_NOT_FOUND ? STATUS_OK : status;
    if (status == STATUS_RESOURCE_EXHAUSTED && !buf_failed(&text)) {
        /* As a rule: longer than any that a node writes. Not our want of memory: it is told, and
         * all else was shown. */
        status = STATUS_OUT_OF_RANGE;
    }
    for (size_t i = 0; i < text.length; i++) {
        uint8_t byte = text.data[i];
        if (byte == '\n' || (byte >= ' ' && byte < 0x7f)) {
            (void)fputc(byte, report->lines);
        }
    }
    buf_release(&text);
    return report_end(report, status, &found, err);
}

enum status inspect_stats(const struct store_place *place, struct report *report, struct error *err)
{
    enum status status = STATUS_OK;
    if (place->has_tables) {
        status = put_tables(place, report, err);
    }
    if (status == STATUS_OK && place->has_log) {
        status = put_log(place, report, err);
    }
    if (status == STATUS_OK && place->metrics[0] != '\0') {
        status = put_metrics(place, report, err);
    }
    return status;
}
