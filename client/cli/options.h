/* SPDX-License-Identifier: Apache-2.0
 *
 * Options: the command line after its verb, read by tables. Options may stand
 * anywhere; "--" ends them; "-" alone is an argument. An option that is given twice
 * counts the last time. Borrows argv throughout.
 */
#ifndef ESTREAT_CLI_OPTIONS_H
#define ESTREAT_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

#define OPTIONS_MAX 24U

struct option_spec {
    const char *name;     /* without the dashes; NULL ends a table */
    char letter;          /* 0: none */
    const char *argument; /* what its value is called in the help; NULL: it is a flag */
    const char *help;
};

struct args {
    const struct option_spec *tables[2]; /* of all verbs, and of this one (may be NULL) */
    const char *values[2][OPTIONS_MAX];  /* "" for a flag that was given */
    const char **positional;             /* owned by the caller: room for argc */
    size_t count;
};

/* Reads argv[0..argc). With `stop_at_positional` it stops before the first argument that is no
 * option. `*read` is how many were read. INVALID_ARGUMENT names what is wrong. */
enum status args_parse(struct args *args, int argc, char *const *argv, bool stop_at_positional,
                       int *read, struct error *err) MUST_USE;

/* The value of an option that stands in a table; NULL if it was not given. */
const char *args_value(const struct args *args, const char *name);

bool args_flag(const struct args *args, const char *name);

#endif
