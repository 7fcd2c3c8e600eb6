/* SPDX-License-Identifier: Apache-2.0
 *
 * The verb about backups of a node that runs: backup.
 */
#include <time.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/progress.h"

#define ASK_AGAIN_NS ((long)(200 * NS_PER_MS))

static void print_backup(struct cli *cli, const struct estreat_backup *backup)
{
    struct json json;
    if (cli->output == OUTPUT_JSON) {
        json_init(&json, cli->out);
        json_open_object(&json, NULL);
        json_text(&json, "node", backup->node);
        json_number(&json, "number", backup->number);
        json_number(&json, "events", backup->events);
        json_number(&json, "tables", backup->tables);
        json_number(&json, "bytes", backup->bytes);
        json_number(&json, "copied", backup->copied_bytes);
        json_number(&json, "removed", backup->removed);
        json_close_object(&json);
        json_end_line(&json);
        return;
    }
    (void)fprintf(cli->out,
                  "backup %lu of %s: %lu events, %lu tables of %lu bytes, %lu bytes copied, "
                  "%lu older ones removed\n",
                  (unsigned long)backup->number, backup->node, (unsigned long)backup->events,
                  (unsigned long)backup->tables, (unsigned long)backup->bytes,
                  (unsigned long)backup->copied_bytes, (unsigned long)backup->removed);
}

static bool is_same_run(const struct estreat_backup *a, const struct estreat_backup *b)
{
    return a->since_ns == b->since_ns && a->runs == b->runs;
}

/* Asks until the run that was begun has ended; `state` is what the node said of it. */
static enum estreat_code await(struct cli *cli, struct estreat_client *client,
                               struct estreat_backup *state, struct estreat_error *error)
{
    struct progress progress;
    const struct estreat_backup run = *state;
    const char *node = args_value(&cli->args, "node");
    const struct estreat_backup_options options = {.node = node};
    enum estreat_code code = ESTREAT_OK;
    progress_init(&progress, cli->err);
    while (code == ESTREAT_OK && state->running && is_same_run(state, &run)) {
        progress_show(&progress, &(struct progress_state){.what = "backup",
                                                          .done = state->done_bytes,
                                                          .total = state->total_bytes});
        (void)nanosleep(&(struct timespec){.tv_nsec = ASK_AGAIN_NS}, NULL);
        code = estreat_backup(client, &options, state, error);
    }
    progress_release(&progress);
    if (code == ESTREAT_OK && !is_same_run(state, &run)) {
        *error = (struct estreat_error){.code = ESTREAT_UNKNOWN};
        (void)snprintf(error->text, sizeof error->text,
                       "the node was started again, or made another one: look at what is there");
        return error->code;
    }
    if (code == ESTREAT_OK && state->failure.code != ESTREAT_OK) {
        *error = state->failure;
        return error->code;
    }
    return code;
}

static enum exit_code run_backup(struct cli *cli)
{
    const char *action = cli->args.positional[0];
    struct estreat_client *client;
    struct estreat_backup state;
    struct estreat_error error;
    const struct estreat_backup_options options = {
        .node = args_value(&cli->args, "node"),
        .begin = true,
        .full = args_flag(&cli->args, "full"),
    };
    if (strcmp(action, "create") != 0) {
        return cli_fail(cli, EXIT_USAGE,
                        "%s is not create; estreat-store lists, verifies and restores backups",
                        action);
    }
    enum exit_code code = cli_open(cli, &client);
    if (code != EXIT_DONE) {
        return code;
    }
    if (estreat_backup(client, &options, &state, &error) == ESTREAT_OK &&
        await(cli, client, &state, &error) == ESTREAT_OK) {
        print_backup(cli, &state);
    } else {
        code = cli_fail_with(cli, &error);
    }
    estreat_close(client);
    return code;
}

static const struct option_spec backup_options[] = {
    {"node", 0, "ID", "whose (the only one, if there is one)"},
    {"full", 0, NULL, "copy everything, also what earlier ones have"},
    {NULL, 0, NULL, NULL},
};

const struct verb verb_backup = {
    .name = "backup",
    .synopsis = "create",
    .help = "make a backup of a node that runs",
    .details =
        "It goes where the node's configuration says ([backup] dir), and has all that is applied\n"
        "when it begins. An increment copies what earlier ones have not. It goes on if this\n"
        "command is ended. estreat-store backups|verify|restore DIR: list them, check them, make\n"
        "a node's tables of one.",
    .options = backup_options,
    .arguments_min = 1,
    .arguments_max = 1,
    .run = run_backup,
};
