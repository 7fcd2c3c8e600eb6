/* SPDX-License-Identifier: Apache-2.0
 *
 * Report_lines: what a tool has told, as lines.
 */
#ifndef ESTREAT_TESTS_REPORT_LINES_H
#define ESTREAT_TESTS_REPORT_LINES_H

#include <stdlib.h>

#include "testlib/test.h"

/* Those that begin so. */
static inline size_t report_count(const char *text, const char *begin)
{
    size_t count = 0;
    size_t length = strlen(begin);
    for (const char *line = text; line != NULL && *line != '\0';) {
        count += strncmp(line, begin, length) == 0 ? 1 : 0;
        line = strchr(line, '\n');
        line = line == NULL ? NULL : line + 1;
    }
    return count;
}

/* The number behind `name`, where that stands first after `from`; fails if either is not there. */
static inline unsigned long long report_number(const char *text, const char *from, const char *name)
{
    const char *line = strstr(text, from);
    assert_non_null(line);
    const char *at = strstr(line, name);
    assert_non_null(at);
    return strtoull(at + strlen(name), NULL, 10);
}

#endif
