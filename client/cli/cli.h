/* SPDX-License-Identifier: Apache-2.0
 *
 * Cli: what the verbs of `estreat` share: the context of one run, exit codes, the
 * connection, and how results are printed. Results go to stdout, all else to
 * stderr; an error is one line.
 */
#ifndef ESTREAT_CLI_CLI_H
#define ESTREAT_CLI_CLI_H

#include <stdio.h>

#include "cli/json.h"
#include "cli/options.h"
#include "client/estreat.h"

#define ENDPOINT_DEFAULT "127.0.0.1:8970"

enum exit_code {
    EXIT_DONE = 0,
    EXIT_NO = 1,      /* the answer is no */
    EXIT_UNKNOWN = 2, /* could not tell */
    EXIT_USAGE = 64,  /* usage, invalid arguments, unreadable input */
};

enum exit_code exit_code_of(enum estreat_code code);

enum output { OUTPUT_TABLE, OUTPUT_JSON, OUTPUT_RAW };

struct cli {
    const char *endpoints;
    const char *trust_path; /* NULL: none */
    enum output output;
    uint32_t timeout_ms; /* 0: not given */
    const char *verb;
    struct args args;
    FILE *out;
    FILE *err;
};

/* One verb, in the table of main.c. */
struct verb {
    const char *name;
    const char *synopsis; /* its arguments */
    const char *help;     /* one line */
    const char *details;  /* more lines, or NULL */
    const struct option_spec *options;
    size_t arguments_min;
    size_t arguments_max;
    enum exit_code (*run)(struct cli *cli);
};

extern const struct verb verb_append;
extern const struct verb verb_ingest;
extern const struct verb verb_get;
extern const struct verb verb_history;
extern const struct verb verb_read;
extern const struct verb verb_count;
extern const struct verb verb_tail;
extern const struct verb verb_head;
extern const struct verb verb_prove;
extern const struct verb verb_verify;
extern const struct verb verb_audit;
extern const struct verb verb_status;
extern const struct verb verb_member;
extern const struct verb verb_transfer;
extern const struct verb verb_backup;
extern const struct verb verb_bench;

/* Runs a command line, argv[0] being the program. Borrows all. */
enum exit_code cli_run(int argc, char *const *argv, FILE *out, FILE *err);

/* Prints "estreat: VERB: text" on one line and returns the code. */
enum exit_code cli_fail(struct cli *cli, enum exit_code code, const char *format, ...)
    PRINTF_LIKE(3, 4);

/* The same for an error of the library. */
enum exit_code cli_fail_with(struct cli *cli, const struct estreat_error *error);

/* Opens a client; on failure prints why. The caller closes it. */
enum exit_code cli_open(struct cli *cli, struct estreat_client **out);

/* Reads the trusted keys: NULL if the user named no file. The caller frees them. */
enum exit_code cli_trust(struct cli *cli, struct estreat_trust **out);

/* Reads a whole file ("-": stdin) of at most `bytes_max` into owned memory, with a NUL behind
 * it. INVALID_ARGUMENT if it is larger. */
enum status cli_read_file(const char *path, size_t bytes_max, char **data, size_t *length,
                          struct error *err) MUST_USE;

/* One event: a row, a JSON line, or its payload and a newline. */
void cli_print_event(struct cli *cli, const struct estreat_event *event);

/* The heading of a table of events; nothing in other forms of output. */
void cli_print_event_heading(struct cli *cli);

/* Bytes of strangers, safe for a terminal: what is not printable text is escaped. */
void cli_print_text(FILE *out, struct estreat_bytes bytes);

/* Base64 of a hash; returns `out`. */
#define HASH_TEXT_BYTES 45
const char *cli_hash_text(const uint8_t hash[ESTREAT_HASH_BYTES], char out[HASH_TEXT_BYTES]);

/* A number in [min, max] from an option, or `fallback` if it was not given. False, after the
 * error was printed. */
bool cli_number(struct cli *cli, const char *option, uint64_t fallback, uint64_t min, uint64_t max,
                uint64_t *out);

#endif
