/* SPDX-License-Identifier: Apache-2.0
 *
 * The verbs that read events: get, history, read, count, tail.
 */
#include "cli/cli.h"
#include "cli/format.h"

/* How much of the end `tail` shows. */
enum { TAIL_EVENTS = 10 };

/* --- what they share ---------------------------------------------------------------------- */

static bool take_bound(struct cli *cli, const char *option, struct estreat_bound *out)
{
    struct error err = ERROR_INIT;
    char what[32];
    (void)snprintf(what, sizeof what, "--%s", option);
    if (parse_bound(what, args_value(&cli->args, option), out, &err) != STATUS_OK) {
        (void)cli_fail(cli, EXIT_USAGE, "%s", err.text);
        return false;
    }
    return true;
}

static bool take_filter(struct cli *cli, struct estreat_filter *out)
{
    const char *key = args_value(&cli->args, "key");
    const char *prefix = args_value(&cli->args, "prefix");
    const char *severity = args_value(&cli->args, "severity");
    *out = (struct estreat_filter){.severity_min = ESTREAT_SEVERITY_NONE};
    if (key != NULL) {
        out->key = estreat_text(key);
    }
    if (prefix != NULL) {
        out->key_prefix = estreat_text(prefix);
    }
    if (severity != NULL && !parse_severity(severity, &out->severity_min)) {
        (void)cli_fail(cli, EXIT_USAGE, "--severity: there is no severity '%.100s'", severity);
        return false;
    }
    return true;
}

static bool take_consistency(struct cli *cli, struct estreat_consistency *out)
{
    const char *text = args_value(&cli->args, "consistency");
    *out = (struct estreat_consistency){.level = ESTREAT_LINEARIZABLE};
    if (text == NULL || strcmp(text, "linearizable") == 0) {
        return true;
    }
    if (strcmp(text, "local") == 0) {
        out->level = ESTREAT_LOCAL;
        return true;
    }
    if (parse_number(text, &out->size)) {
        out->level = ESTREAT_AT_LEAST;
        return true;
    }
    (void)cli_fail(cli, EXIT_USAGE, "--consistency: '%.100s' is none of linearizable, local, SIZE",
                   text);
    return false;
}

/* Prints what comes until the stream or the reader ends. */
static enum exit_code print_stream(struct cli *cli, struct estreat_stream *stream, bool flush)
{
    struct estreat_error error;
    const struct estreat_event *event;
    cli_print_event_heading(cli);
    while (ferror(cli->out) == 0) {
        if (flush) {
            (void)fflush(cli->out);
        }
        if (estreat_stream_next(stream, &event, &error) != ESTREAT_OK) {
            return cli_fail_with(cli, &error);
        }
        if (event == NULL) {
            break;
        }
        cli_print_event(cli, event);
    }
    return EXIT_DONE;
}

static enum exit_code read_and_print(struct cli *cli, struct estreat_client *client,
                                     const struct estreat_read_options *options)
{
    struct estreat_stream *stream;
    struct estreat_error error;
    if (estreat_read(client, options, &stream, &error) != ESTREAT_OK) {
        return cli_fail_with(cli, &error);
    }
    enum exit_code code = print_stream(cli, stream, options->follow);
    estreat_stream_close(stream);
    return code;
}

#define OPTION_CONSISTENCY                                                                         \
    {                                                                                              \
        "consistency", 0, "C", "linearizable, local, or the size that must be seen (linearizable)" \
    }
#define OPTION_KEY                                                                                 \
    {                                                                                              \
        "key", 0, "K", "only events of this key"                                                   \
    }
#define OPTION_PREFIX                                                                              \
    {                                                                                              \
        "prefix", 0, "P", "only events whose key begins so"                                        \
    }
#define OPTION_SEVERITY                                                                            \
    {                                                                                              \
        "severity", 0, "S", "only events at least so severe"                                       \
    }
#define OPTION_FROM                                                                                \
    {                                                                                              \
        "from", 0, "P", "the first position, or a time: RFC 3339 or @NANOSECONDS"                  \
    }
#define OPTION_TO                                                                                  \
    {                                                                                              \
        "to", 0, "P", "the position or time before which to stop"                                  \
    }
#define OPTION_LIMIT                                                                               \
    {                                                                                              \
        "limit", 0, "N", "at most N events"                                                        \
    }
#define OPTIONS_END                                                                                \
    {                                                                                              \
        NULL, 0, NULL, NULL                                                                        \
    }

/* --- get ---------------------------------------------------------------------------------- */

static enum exit_code run_get(struct cli *cli)
{
    struct estreat_get_options options = {.timeout_ms = 0};
    struct estreat_client *client;
    struct estreat_got *got;
    struct estreat_error error;
    if (!take_bound(cli, "as-of", &options.as_of) || !take_consistency(cli, &options.consistency)) {
        return EXIT_USAGE;
    }
    enum exit_code code = cli_open(cli, &client);
    if (code != EXIT_DONE) {
        return code;
    }
    if (estreat_get(client, estreat_text(cli->args.positional[0]), &options, &got, &error) ==
        ESTREAT_OK) {
        cli_print_event_heading(cli);
        cli_print_event(cli, estreat_got_event(got));
        estreat_got_free(got);
    } else {
        code = cli_fail_with(cli, &error);
    }
    estreat_close(client);
    return code;
}

static const struct option_spec get_options[] = {
    {"as-of", 0, "P", "as it was at a position (included) or a time"},
    OPTION_CONSISTENCY,
    OPTIONS_END,
};

const struct verb verb_get = {
    .name = "get",
    .synopsis = "KEY [--as-of P]",
    .help = "print the newest event of a key; exits 1 if there is none or it is a delete",
    .options = get_options,
    .arguments_min = 1,
    .arguments_max = 1,
    .run = run_get,
};

/* --- history ------------------------------------------------------------------------------ */

static enum exit_code run_history(struct cli *cli)
{
    struct estreat_history_options options = {.timeout_ms = 0};
    struct estreat_client *client;
    struct estreat_stream *stream;
    struct estreat_error error;
    if (!cli_number(cli, "from-version", 0, 0, UINT64_MAX, &options.from_version) ||
        !cli_number(cli, "limit", 0, 1, UINT64_MAX, &options.limit) ||
        !take_consistency(cli, &options.consistency)) {
        return EXIT_USAGE;
    }
    enum exit_code code = cli_open(cli, &client);
    if (code != EXIT_DONE) {
        return code;
    }
    if (estreat_history(client, estreat_text(cli->args.positional[0]), &options, &stream, &error) ==
        ESTREAT_OK) {
        code = print_stream(cli, stream, false);
        estreat_stream_close(stream);
    } else {
        code = cli_fail_with(cli, &error);
    }
    estreat_close(client);
    return code;
}

static const struct option_spec history_options[] = {
    {"from-version", 0, "N", "begin with this version (0)"},
    OPTION_LIMIT,
    OPTION_CONSISTENCY,
    OPTIONS_END,
};

const struct verb verb_history = {
    .name = "history",
    .synopsis = "KEY [OPTION...]",
    .help = "print all events of a key, by version",
    .options = history_options,
    .arguments_min = 1,
    .arguments_max = 1,
    .run = run_history,
};

/* --- read --------------------------------------------------------------------------------- */

static enum exit_code run_read(struct cli *cli)
{
    struct estreat_read_options options = {.timeout_ms = 0};
    struct estreat_client *client;
    if (!take_bound(cli, "from", &options.from) || !take_bound(cli, "to", &options.to) ||
        !take_filter(cli, &options.filter) || !take_consistency(cli, &options.consistency) ||
        !cli_number(cli, "limit", 0, 1, UINT64_MAX, &options.limit)) {
        return EXIT_USAGE;
    }
    enum exit_code code = cli_open(cli, &client);
    if (code == EXIT_DONE) {
        code = read_and_print(cli, client, &options);
        estreat_close(client);
    }
    return code;
}

static const struct option_spec read_options[] = {
    OPTION_FROM,     OPTION_TO,    OPTION_KEY,         OPTION_PREFIX,
    OPTION_SEVERITY, OPTION_LIMIT, OPTION_CONSISTENCY, OPTIONS_END,
};

const struct verb verb_read = {
    .name = "read",
    .synopsis = "[OPTION...]",
    .help = "print events by position; ranges are half-open: [from, to)",
    .options = read_options,
    .run = run_read,
};

/* --- count -------------------------------------------------------------------------------- */

static void print_count(struct cli *cli, uint64_t count, uint64_t size)
{
    struct json json;
    if (cli->output != OUTPUT_JSON) {
        (void)fprintf(cli->out, "%lu\n", (unsigned long)count);
        return;
    }
    json_init(&json, cli->out);
    json_open_object(&json, NULL);
    json_number(&json, "count", count);
    json_number(&json, "size", size);
    json_close_object(&json);
    json_end_line(&json);
}

static enum exit_code run_count(struct cli *cli)
{
    struct estreat_count_options options = {.timeout_ms = 0};
    struct estreat_client *client;
    struct estreat_error error;
    uint64_t count;
    uint64_t size;
    if (!take_bound(cli, "from", &options.from) || !take_bound(cli, "to", &options.to) ||
        !take_filter(cli, &options.filter) || !take_consistency(cli, &options.consistency)) {
        return EXIT_USAGE;
    }
    enum exit_code code = cli_open(cli, &client);
    if (code != EXIT_DONE) {
        return code;
    }
    if (estreat_count(client, &options, &count, &size, &error) == ESTREAT_OK) {
        print_count(cli, count, size);
    } else {
        code = cli_fail_with(cli, &error);
    }
    estreat_close(client);
    return code;
}

static const struct option_spec count_options[] = {
    OPTION_FROM,     OPTION_TO,          OPTION_KEY,  OPTION_PREFIX,
    OPTION_SEVERITY, OPTION_CONSISTENCY, OPTIONS_END,
};

const struct verb verb_count = {
    .name = "count",
    .synopsis = "[OPTION...]",
    .help = "print how many events there are",
    .options = count_options,
    .run = run_count,
};

/* --- tail --------------------------------------------------------------------------------- */

static enum exit_code tail(struct cli *cli, struct estreat_client *client, uint64_t events,
                           struct estreat_read_options *options)
{
    struct estreat_error error;
    uint64_t count;
    uint64_t size;
    const struct estreat_count_options everything = {.consistency = options->consistency};
    if (options->from.kind == ESTREAT_BOUND_NONE) {
        if (estreat_count(client, &everything, &count, &size, &error) != ESTREAT_OK) {
            return cli_fail_with(cli, &error);
        }
        options->from = estreat_position(size > events ? size - events : 0);
    }
    return read_and_print(cli, client, options);
}

static enum exit_code run_tail(struct cli *cli)
{
    struct estreat_read_options options = {.follow = args_flag(&cli->args, "follow")};
    struct estreat_client *client;
    uint64_t events;
    if (!take_bound(cli, "from", &options.from) || !take_filter(cli, &options.filter) ||
        !take_consistency(cli, &options.consistency) ||
        !cli_number(cli, "lines", TAIL_EVENTS, 0, UINT64_MAX, &events)) {
        return EXIT_USAGE;
    }
    enum exit_code code = cli_open(cli, &client);
    if (code == EXIT_DONE) {
        code = tail(cli, client, events, &options);
        estreat_close(client);
    }
    return code;
}

static const struct option_spec tail_options[] = {
    {"follow", 'f', NULL, "go on with new events until interrupted"},
    {"lines", 'n', "N", "begin N positions before the end (10)"},
    {"from", 0, "P", "begin at a position or time instead"},
    OPTION_KEY,
    OPTION_PREFIX,
    OPTION_SEVERITY,
    OPTION_CONSISTENCY,
    OPTIONS_END,
};

const struct verb verb_tail = {
    .name = "tail",
    .synopsis = "[-f] [-n N] [OPTION...]",
    .help = "print the end of the log",
    .details = "Filters apply to the events from there on: fewer than N may be printed.",
    .options = tail_options,
    .run = run_tail,
};
