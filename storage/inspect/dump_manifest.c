/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/inspect/dump_parts.h"

#include <inttypes.h>

#include "storage/table/key.h"
#include "storage/tree/manifest_read.h"

struct dumping {
    struct report *report;
    char name[MANIFEST_NAME_BYTES];
};

static void put_keyspace(struct report *report, const struct manifest_field *field)
{
    (void)fprintf(report->lines, " keyspace=%" PRIu64 " layout=%s", field->keyspace,
                  field->layout == KEYSPACE_APPEND    ? "append"
                  : field->layout == KEYSPACE_LEVELED ? "leveled"
                                                      : "unknown");
    report_bytes(report, "name", field->name);
}

/* An internal key's user key and sequence, or its bytes if it is none. */
static void put_key(struct report *report, const char *name, struct slice key)
{
    struct internal_key parsed;
    bool good = internal_key_parse(key, &parsed);
    report_bytes(report, name, good ? parsed.user : key);
    if (good) {
        (void)fprintf(report->lines, " %s_sequence=%" PRIu64, name, parsed.sequence);
    }
}

static void put_table(struct report *report, const struct manifest_field *field)
{
    (void)fprintf(report->lines, " keyspace=%" PRIu64 " level=%" PRIu64 " number=%" PRIu64,
                  field->keyspace, field->level, field->number);
    if (field->tag != MANIFEST_REMOVE) {
        (void)fprintf(report->lines, " bytes=%" PRIu64 " entries=%" PRIu64, field->bytes,
                      field->entries);
        put_key(report, "smallest", field->smallest);
        put_key(report, "largest", field->largest);
        report_times(report, &field->times);
    }
}

static void put_field(struct dumping *dumping, uint64_t offset, const struct manifest_field *field)
{
    static const char *const words[] = {[MANIFEST_FULL] = "full",
                                        [MANIFEST_KEYSPACE] = "keyspace",
                                        [MANIFEST_ADD] = "add",
                                        [MANIFEST_REMOVE] = "remove",
                                        [MANIFEST_NEXT_FILE] = "next_file",
                                        [MANIFEST_LAST_SEQUENCE] = "last_sequence",
                                        [MANIFEST_SEAL] = "seal",
                                        [MANIFEST_ADD_TIMED] = "add",
                                        [MANIFEST_FLOOR] = "floor"};
    struct report *report = dumping->report;
    (void)fprintf(report->lines, "%s file=%s offset=%" PRIu64, words[field->tag], dumping->name,
                  offset);
    switch (field->tag) {
    case MANIFEST_KEYSPACE:
        put_keyspace(report, field);
        break;
    case MANIFEST_ADD:
    case MANIFEST_ADD_TIMED:
    case MANIFEST_REMOVE:
        put_table(report, field);
        break;
    case MANIFEST_SEAL:
        (void)fprintf(report->lines, " count=%" PRIu64, field->value);
        report_bytes(report, "state", field->owner_state);
        break;
    case MANIFEST_NEXT_FILE:
    case MANIFEST_LAST_SEQUENCE:
        (void)fprintf(report->lines, " value=%" PRIu64, field->value);
        break;
    case MANIFEST_FLOOR:
        (void)fprintf(report->lines, " keyspace=%" PRIu64, field->keyspace);
        report_bytes(report, "key", field->floor);
        break;
    case MANIFEST_FULL:
    default:
        break;
    }
    (void)fputc('\n', report->lines);
}

static enum status on_record(void *context, uint64_t offset, struct slice payload,
                             struct error *err)
{
    struct dumping *dumping = context;
    struct cursor cursor = cursor_of(payload);
    uint64_t synced_through = cursor_le64(&cursor);
    (void)fprintf(dumping->report->lines,
                  "record file=%s offset=%" PRIu64 " synced_through=%" PRIu64 "\n", dumping->name,
                  offset, synced_through);
    while (!cursor.failed && cursor_left(&cursor) > 0) {
        struct manifest_field field;
        enum status status = manifest_field_next(&cursor, &field, err);
        if (status != STATUS_OK) {
            return status;
        }
        put_field(dumping, offset, &field);
    }
    return STATUS_OK;
}

enum status dump_manifest(struct fs *fs, struct alloc *alloc, const char *dir, uint64_t number,
                          struct report *report, struct error *err)
{
    struct dumping dumping = {.report = report};
    struct manifest_state state;
    struct manifest_reading reading;
    struct error found = ERROR_INIT;
    const struct manifest_options options = {.fs = fs, .alloc = alloc, .dir = dir};
    (void)manifest_file_name(dumping.name, number);
    manifest_state_init(&state, alloc);
    enum status status =
        manifest_read(&options, number, &state, on_record, &dumping, &reading, &found);
    manifest_state_release(&state);
    return report_end(report, status, &found, err);
}
