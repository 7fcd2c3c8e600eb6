/* SPDX-License-Identifier: Apache-2.0
 *
 * estreat-check-history: judges what clients saw. See README.md.
 */
#include <stdio.h>

#include "check.h"

enum { EXIT_VIOLATION = 1, EXIT_USAGE = 64 };

static const char usage[] =
    "usage: estreat-check-history FILE\n"
    "\n"
    "FILE has one JSON object a line: {process,op,key,payload,id,invoke_ns,return_ns,result,\n"
    "position}; tests/history/README.md describes them and the rules. Exits 0 if a log can have\n"
    "answered so, 1 if not, naming the two lines and the rule, 64 if a line cannot be read.\n";

int main(int argc, char **argv)
{
    struct error err = ERROR_INIT;
    struct history history;
    struct violation violation;
    struct summary summary;
    if (argc != 2 || argv[1][0] == '-') {
        (void)fputs(usage, stderr);
        return EXIT_USAGE;
    }
    if (history_read_file(&history, argv[1], &err) != STATUS_OK) {
        (void)fprintf(stderr, "%s\n", err.text);
        return EXIT_USAGE;
    }
    bool valid = history_check(&history, &violation, &summary);
    if (valid) {
        (void)printf(
            "valid: %zu events (%zu acknowledged, %zu refused, %zu unknown of which %zu are"
            " there), %zu reads that saw %zu\n",
            summary.events, summary.acknowledged, summary.refused, summary.unknown,
            summary.unknown_seen, history.read_count, history.seen_count);
    } else {
        (void)printf("%s:%zu: %s: %s (see line %zu)\n", argv[1], violation.line, violation.rule,
                     violation.text, violation.other);
    }
    history_release(&history);
    return valid ? 0 : EXIT_VIOLATION;
}
