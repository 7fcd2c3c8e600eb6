/* SPDX-License-Identifier: Apache-2.0
 *
 * Metrics_lines: the values in a text of metrics, each line of which must be well formed.
 */
#ifndef ESTREAT_TESTS_METRICS_LINES_H
#define ESTREAT_TESTS_METRICS_LINES_H

#include <stdlib.h>

#include "storage/metrics_text.h"
#include "testlib/test.h"

/* Fails unless the line is "estreat_storage_NAME VALUE" or a comment. Returns the name's length, 0
 * for a comment. */
static inline size_t metrics_line(const char *line, double *value)
{
    const size_t prefix = strlen(METRICS_TEXT_PREFIX);
    if (line[0] == '#') {
        return 0;
    }
    assert_int_equal(strncmp(line, METRICS_TEXT_PREFIX, prefix), 0);
    char *end = NULL;
    const char *space = strchr(line, ' ');
    assert_non_null(space);
    *value = strtod(space + 1, &end);
    assert_ptr_equal(end, strchr(line, '\n'));
    return (size_t)(space - line) - prefix;
}

/* The value of `name`, given without prefix; fails if it is not there. */
static inline double metrics_value(const struct buf *text, const char *name)
{
    assert_false(buf_failed(text));
    assert_true(text->length > 0 && text->data[text->length - 1] == '\n');
    char *lines = strndup((const char *)text->data, text->length);
    assert_non_null(lines);
    bool found = false;
    double value = 0;
    for (const char *line = lines; *line != '\0'; line = strchr(line, '\n') + 1) {
        double one = 0;
        size_t length = metrics_line(line, &one);
        if (length == strlen(name) &&
            strncmp(line + strlen(METRICS_TEXT_PREFIX), name, length) == 0) {
            assert_false(found); /* each once */
            found = true;
            value = one;
        }
    }
    if (!found) {
        print_message("no line of %s in:\n%s", name, lines);
    }
    assert_true(found);
    free(lines);
    return value;
}

#endif
