/* SPDX-License-Identifier: Apache-2.0
 *
 * Report: where a look at a store goes: lines that grep can use, and what was wrong.
 *
 *   word name=value name="any bytes, \\x00 escaped" ...
 *   damage: FILE offset N: cause
 */
#ifndef ESTREAT_STORAGE_INSPECT_REPORT_H
#define ESTREAT_STORAGE_INSPECT_REPORT_H

#include <stdio.h>

#include "base/slice.h"
#include "base/status.h"
#include "storage/table/times.h"

struct report {
    FILE *lines;    /* borrowed, as the next */
    FILE *messages; /* "damage: ..." and "note: ..." */
    uint64_t faults;
    uint64_t unread; /* what could not be read for another reason than damage */
};

/* Appends to the line: ` name="..."`; what is not printable ASCII, `"` and `\` are \xNN. */
void report_bytes(struct report *report, const char *name, struct slice bytes);

/* Appends ` smallest_time=N largest_time=N`, if times are known. */
void report_times(struct report *report, const struct time_bounds *times);

/* "damage: ..." and counted. `report` is a struct report: the form of the callbacks of those who
 * look. */
void report_fault(void *report, const struct error *fault);

/* What a read ended with: CORRUPT is a fault, no memory is returned, and anything else is noted
 * and counted as unread, so that the rest is looked at. */
enum status report_end(struct report *report, enum status status, const struct error *found,
                       struct error *err) MUST_USE;

#endif
