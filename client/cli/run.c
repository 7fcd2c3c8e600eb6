/* SPDX-License-Identifier: Apache-2.0
 *
 * A command line from its first word to its exit code: global options, the verb's
 * table, help.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/check.h"
#include "cli/cli.h"
#include "cli/format.h"

static const struct option_spec global_options[] = {
    {"endpoints", 0, "A,B,...",
     "nodes to ask, HOST:PORT (ESTREAT_ENDPOINTS; " ENDPOINT_DEFAULT ")"},
    {"trust", 0, "FILE", "verifier keys that are believed, one a line (ESTREAT_TRUST)"},
    {"output", 'o', "table|json|raw", "how results are printed (table)"},
    {"timeout", 0, "SECONDS", "the longest a request may take (10)"},
    {"help", 'h', NULL, "this help"},
    {NULL, 0, NULL, NULL},
};

static enum exit_code run_version(struct cli *cli);

static const struct verb verb_version = {
    .name = "version",
    .synopsis = "",
    .help = "print the version of this program",
    .run = run_version,
};

static const struct verb *const verbs[] = {
    &verb_append, &verb_ingest,   &verb_get,    &verb_history, &verb_read,    &verb_count,
    &verb_tail,   &verb_head,     &verb_prove,  &verb_verify,  &verb_audit,   &verb_status,
    &verb_member, &verb_transfer, &verb_backup, &verb_bench,   &verb_version,
};

enum { VERB_COUNT = sizeof verbs / sizeof verbs[0] };

static enum exit_code run_version(struct cli *cli)
{
    if (cli->output == OUTPUT_JSON) {
        struct json json;
        json_init(&json, cli->out);
        json_open_object(&json, NULL);
        json_text(&json, "version", estreat_version());
        json_close_object(&json);
        json_end_line(&json);
    } else {
        (void)fprintf(cli->out, "%s%s\n", cli->output == OUTPUT_TABLE ? "estreat " : "",
                      estreat_version());
    }
    return EXIT_DONE;
}

/* --- help --------------------------------------------------------------------------------- */

static void print_options(FILE *out, const struct option_spec *options)
{
    for (; options != NULL && options->name != NULL; options++) {
        char left[64];
        char letter[8] = "    ";
        if (options->letter != 0) {
            (void)snprintf(letter, sizeof letter, "-%c, ", options->letter);
        }
        (void)snprintf(left, sizeof left, "%s--%s%s%s", letter, options->name,
                       options->argument != NULL ? " " : "",
                       options->argument != NULL ? options->argument : "");
        (void)fprintf(out, "  %-34s %s\n", left, options->help);
    }
}

static void print_help(FILE *out)
{
    (void)fprintf(out, "usage: estreat [OPTION...] VERB [ARGUMENT...]\n\n");
    for (size_t i = 0; i < VERB_COUNT; i++) {
        (void)fprintf(out, "  %-9s %s\n", verbs[i]->name, verbs[i]->help);
    }
    (void)fprintf(out, "  %-9s %s\n\n", "help", "print the help of a verb: estreat help VERB");
    print_options(out, global_options);
    (void)fprintf(out, "\nExit codes: 0 done, 1 the answer is no, 2 could not tell, 64 usage.\n");
}

static void print_verb_help(FILE *out, const struct verb *verb)
{
    (void)fprintf(out, "usage: estreat %s%s%s\n\n%s\n", verb->name,
                  verb->synopsis[0] != '\0' ? " " : "", verb->synopsis, verb->help);
    if (verb->details != NULL) {
        (void)fprintf(out, "%s\n", verb->details);
    }
    (void)fputc('\n', out);
    print_options(out, verb->options);
    print_options(out, global_options);
}

static const struct verb *find_verb(const char *name)
{
    for (size_t i = 0; i < VERB_COUNT; i++) {
        if (strcmp(verbs[i]->name, name) == 0) {
            return verbs[i];
        }
    }
    return NULL;
}

static enum exit_code run_help(struct cli *cli, const char *name)
{
    const struct verb *verb = name == NULL ? NULL : find_verb(name);
    if (name != NULL && verb == NULL) {
        return cli_fail(cli, EXIT_USAGE, "there is no verb '%.100s'; see estreat help", name);
    }
    if (verb != NULL) {
        print_verb_help(cli->out, verb);
    } else {
        print_help(cli->out);
    }
    return EXIT_DONE;
}

/* --- a command line ----------------------------------------------------------------------- */

static const char *from_environment(const char *name, const char *fallback)
{
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : fallback;
}

/* Takes over the global options that were given so far. */
static enum exit_code take_globals(struct cli *cli)
{
    struct error err = ERROR_INIT;
    const char *output = args_value(&cli->args, "output");
    const char *timeout = args_value(&cli->args, "timeout");
    const char *endpoints = args_value(&cli->args, "endpoints");
    const char *trust = args_value(&cli->args, "trust");
    cli->endpoints =
        endpoints != NULL ? endpoints : from_environment("ESTREAT_ENDPOINTS", ENDPOINT_DEFAULT);
    cli->trust_path = trust != NULL ? trust : from_environment("ESTREAT_TRUST", NULL);
    if (output == NULL || strcmp(output, "table") == 0) {
        cli->output = OUTPUT_TABLE;
    } else if (strcmp(output, "json") == 0) {
        cli->output = OUTPUT_JSON;
    } else if (strcmp(output, "raw") == 0) {
        cli->output = OUTPUT_RAW;
    } else {
        return cli_fail(cli, EXIT_USAGE, "--output: '%.100s' is none of table, json, raw", output);
    }
    if (timeout != NULL &&
        parse_seconds("--timeout", timeout, &cli->timeout_ms, &err) != STATUS_OK) {
        return cli_fail(cli, EXIT_USAGE, "%s", err.text);
    }
    return EXIT_DONE;
}

static enum exit_code run_verb(struct cli *cli, const struct verb *verb, int argc,
                               char *const *argv)
{
    struct error err = ERROR_INIT;
    int read;
    cli->verb = verb->name;
    cli->args.tables[1] = verb->options;
    if (args_parse(&cli->args, argc, argv, false, &read, &err) != STATUS_OK) {
        return cli_fail(cli, EXIT_USAGE, "%s; see estreat help %s", err.text, verb->name);
    }
    if (args_flag(&cli->args, "help")) {
        print_verb_help(cli->out, verb);
        return EXIT_DONE;
    }
    enum exit_code code = take_globals(cli);
    if (code != EXIT_DONE) {
        return code;
    }
    if (cli->args.count < verb->arguments_min || cli->args.count > verb->arguments_max) {
        return cli_fail(cli, EXIT_USAGE, "usage: estreat %s %s", verb->name, verb->synopsis);
    }
    return verb->run(cli);
}

static enum exit_code dispatch(struct cli *cli, int argc, char *const *argv)
{
    struct error err = ERROR_INIT;
    int read = 0;
    if (args_parse(&cli->args, argc, argv, true, &read, &err) != STATUS_OK) {
        return cli_fail(cli, EXIT_USAGE, "%s; see estreat help", err.text);
    }
    const char *name = read < argc ? argv[read] : NULL;
    if (args_flag(&cli->args, "help") && name == NULL) {
        return run_help(cli, NULL);
    }
    if (name == NULL) {
        return cli_fail(cli, EXIT_USAGE, "which verb? see estreat help");
    }
    if (strcmp(name, "help") == 0) {
        return run_help(cli, read + 1 < argc ? argv[read + 1] : NULL);
    }
    const struct verb *verb = find_verb(name);
    if (verb == NULL) {
        return cli_fail(cli, EXIT_USAGE, "there is no verb '%.100s'; see estreat help", name);
    }
    return run_verb(cli, verb, argc - read - 1, argv + read + 1);
}

enum exit_code cli_run(int argc, char *const *argv, FILE *out, FILE *err)
{
    struct alloc *alloc = alloc_default();
    struct cli cli = {.out = out, .err = err, .args = {.tables = {global_options, NULL}}};
    CHECK(argc > 0);
    cli.args.positional = alloc_zeroed(alloc, (size_t)argc, sizeof(char *));
    if (cli.args.positional == NULL) {
        return cli_fail(&cli, EXIT_UNKNOWN, "no memory");
    }
    enum exit_code code = dispatch(&cli, argc - 1, argv + 1);
    alloc_free(alloc, cli.args.positional);
    errno = 0;
    if (fflush(out) != 0 || ferror(out) != 0) {
        return cli_fail(&cli, EXIT_UNKNOWN, "cannot write the output: %s", strerror(errno));
    }
    return code;
}
