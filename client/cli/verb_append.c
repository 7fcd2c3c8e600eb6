/* SPDX-License-Identifier: Apache-2.0 */
#include "base/alloc.h"
#include "cli/cli.h"
#include "cli/format.h"

static const struct option_spec options[] = {
    {"type", 0, "T", "the application's name for this type of event"},
    {"severity", 0, "S", "trace, debug, info, warn, error or fatal"},
    {"kind", 0, "K", "create, update, delete or auto (auto)"},
    {"expect", 0, "N|none|any", "append only if the key's newest version is N, or it has none"},
    {NULL, 0, NULL, NULL},
};

static bool take_options(struct cli *cli, struct estreat_new_event *event)
{
    const char *severity = args_value(&cli->args, "severity");
    const char *kind = args_value(&cli->args, "kind");
    const char *expect = args_value(&cli->args, "expect");
    event->type = args_value(&cli->args, "type");
    if (severity != NULL && !parse_severity(severity, &event->severity)) {
        (void)cli_fail(cli, EXIT_USAGE, "--severity: there is no severity '%.100s'", severity);
        return false;
    }
    if (kind != NULL && !parse_kind(kind, &event->kind)) {
        (void)cli_fail(cli, EXIT_USAGE, "--kind: there is no kind '%.100s'", kind);
        return false;
    }
    if (expect != NULL && !parse_expect(expect, &event->expect, &event->expected_version)) {
        (void)cli_fail(cli, EXIT_USAGE, "--expect: '%.100s' is no version, none or any", expect);
        return false;
    }
    return true;
}

static void print_appended(struct cli *cli, const struct estreat_appended *appended)
{
    char time[TIME_TEXT_BYTES];
    struct json json;
    switch (cli->output) {
    case OUTPUT_TABLE:
        (void)fprintf(cli->out, "position %lu", (unsigned long)appended->position);
        if (appended->version_known) {
            (void)fprintf(cli->out, "  version %lu", (unsigned long)appended->version);
        }
        (void)fprintf(cli->out, "  time %s  size %lu\n", format_time(appended->time_ns, time),
                      (unsigned long)appended->size);
        break;
    case OUTPUT_JSON:
        json_init(&json, cli->out);
        json_open_object(&json, NULL);
        json_number(&json, "position", appended->position);
        if (appended->version_known) {
            json_number(&json, "version", appended->version);
        } else {
            json_null(&json, "version");
        }
        json_time(&json, "time", appended->time_ns);
        json_number(&json, "size", appended->size);
        json_close_object(&json);
        json_end_line(&json);
        break;
    case OUTPUT_RAW:
        (void)fprintf(cli->out, "%lu\n", (unsigned long)appended->position);
        break;
    }
}

static enum exit_code append(struct cli *cli, const struct estreat_new_event *event)
{
    struct estreat_client *client;
    struct estreat_appended appended;
    struct estreat_error error;
    enum exit_code code = cli_open(cli, &client);
    if (code != EXIT_DONE) {
        return code;
    }
    if (estreat_append(client, event, 1, NULL, &appended, &error) == ESTREAT_OK) {
        print_appended(cli, &appended);
    } else {
        code = cli_fail_with(cli, &error);
    }
    estreat_close(client);
    return code;
}

static enum exit_code run_append(struct cli *cli)
{
    struct error err = ERROR_INIT;
    struct estreat_new_event event = {.key = estreat_text(cli->args.positional[0])};
    const char *payload = cli->args.count > 1 ? cli->args.positional[1] : "-";
    char *read = NULL;
    size_t length;
    if (!take_options(cli, &event)) {
        return EXIT_USAGE;
    }
    if (strcmp(payload, "-") != 0) {
        event.payload = estreat_text(payload);
    } else if (cli_read_file("-", ESTREAT_PAYLOAD_BYTES_MAX, &read, &length, &err) == STATUS_OK) {
        event.payload = estreat_bytes(read, length);
    } else {
        return cli_fail(cli, EXIT_USAGE, "the payload: %s", err.text);
    }
    enum exit_code code = append(cli, &event);
    alloc_free(alloc_default(), read);
    return code;
}

const struct verb verb_append = {
    .name = "append",
    .synopsis = "KEY [PAYLOAD|-] [OPTION...]",
    .help = "append one event; the payload is an argument or stdin",
    .options = options,
    .arguments_min = 1,
    .arguments_max = 2,
    .run = run_append,
};
