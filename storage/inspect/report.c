/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/inspect/report.h"

#include <inttypes.h>

void report_bytes(struct report *report, const char *name, struct slice bytes)
{
    (void)fprintf(report->lines, " %s=\"", name);
    for (size_t i = 0; i < bytes.length; i++) {
        uint8_t byte = bytes.data[i];
        if (byte >= ' ' && byte < 0x7f && byte != '"' && byte != '\\') {
            (void)fputc(byte, report->lines);
        } else {
            (void)fprintf(report->lines, "\\x%02x", byte);
        }
    }
    (void)fputc('"', report->lines);
}

void report_times(struct report *report, const struct time_bounds *times)
{
    if (times->known) {
        (void)fprintf(report->lines, " smallest_time=%" PRIu64 " largest_time=%" PRIu64,
                      times->smallest, times->largest);
    }
}

void report_fault(void *context, const struct error *fault)
{
    struct report *report = context;
    report->faults++;
    (void)fprintf(report->messages, "damage: %s\n", fault->text);
}

enum status report_end(struct report *report, enum status status, const struct error *found,
                       struct error *err)
{
    if (status == STATUS_CORRUPT) {
        report_fault(report, found);
        return STATUS_OK;
    }
    if (status == STATUS_RESOURCE_EXHAUSTED) {
        if (err != NULL) {
            *err = *found;
        }
        return status;
    }
    if (status != STATUS_OK) {
        report->unread++;
        (void)fprintf(report->messages, "unread: %s\n", found->text);
    }
    return STATUS_OK;
}
