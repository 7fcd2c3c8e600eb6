/* SPDX-License-Identifier: Apache-2.0
 *
 * The verbs about who belongs to the cluster and who leads: member, transfer.
 */
#include "cli/cli.h"

static void print_members(struct cli *cli, const struct estreat_member_list *list)
{
    struct json json;
    const struct estreat_member *leader = NULL;
    for (size_t i = 0; i < list->count; i++) {
        leader = list->members[i].leads ? &list->members[i] : leader;
    }
    if (cli->output == OUTPUT_JSON) {
        json_init(&json, cli->out);
        json_open_object(&json, NULL);
        if (leader != NULL) {
            json_text(&json, "leader", leader->id);
        } else {
            json_null(&json, "leader");
        }
        json_open_array(&json, "members");
        for (size_t i = 0; i < list->count; i++) {
            const struct estreat_member *member = &list->members[i];
            json_open_object(&json, NULL);
            json_text(&json, "id", member->id);
            json_text(&json, "endpoint", member->endpoint);
            json_text(&json, "peer", member->peer_endpoint);
            json_text(&json, "role", member->voter ? "voter" : "learner");
            json_number(&json, "match", member->match_index);
            json_close_object(&json);
        }
        json_close_array(&json);
        json_close_object(&json);
        json_end_line(&json);
        return;
    }
    (void)fprintf(cli->out, "%-12s %-22s %-22s %-8s %-6s %s\n", "ID", "ENDPOINT", "PEER", "ROLE",
                  "LEADS", "MATCH");
    for (size_t i = 0; i < list->count; i++) {
        const struct estreat_member *member = &list->members[i];
        (void)fprintf(cli->out, "%-12s %-22s %-22s %-8s %-6s %lu\n", member->id, member->endpoint,
                      member->peer_endpoint, member->voter ? "voter" : "learner",
                      member->leads ? "yes" : "-", (unsigned long)member->match_index);
    }
}

static enum estreat_code run_action(struct cli *cli, struct estreat_client *client,
                                    const char *action, const char *id, struct estreat_error *error)
{
    struct estreat_member_list list;
    enum estreat_code code;
    switch (action[0]) {
    case 'l':
        code = estreat_members(client, 0, &list, error);
        if (code == ESTREAT_OK) {
            print_members(cli, &list);
        }
        return code;
    case 'a':
        return estreat_member_add(client, id, args_value(&cli->args, "client"),
                                  args_value(&cli->args, "peer"), 0, error);
    case 'p':
        return estreat_member_promote(client, id, 0, error);
    default:
        return estreat_member_remove(client, id, 0, error);
    }
}

static enum exit_code run_member(struct cli *cli)
{
    static const char *const actions[] = {"list", "add", "promote", "remove"};
    const char *action = cli->args.positional[0];
    struct estreat_client *client;
    struct estreat_error error;
    size_t which = 0;
    while (which < 4 && strcmp(action, actions[which]) != 0) {
        which++;
    }
    if (which == 4) {
        return cli_fail(cli, EXIT_USAGE, "%s is neither list, add, promote nor remove", action);
    }
    if ((cli->args.count == 2) != (which > 0)) {
        return cli_fail(cli, EXIT_USAGE,
                        which > 0 ? "member %s needs an ID" : "member %s takes no ID", action);
    }
    bool given = args_value(&cli->args, "client") != NULL || args_value(&cli->args, "peer") != NULL;
    bool both = args_value(&cli->args, "client") != NULL && args_value(&cli->args, "peer") != NULL;
    if (which == 1 ? !both : given) {
        return cli_fail(cli, EXIT_USAGE,
                        which == 1 ? "member %s needs --client HOST:PORT and --peer HOST:PORT"
                                   : "member %s takes neither --client nor --peer",
                        action);
    }
    enum exit_code code = cli_open(cli, &client);
    if (code != EXIT_DONE) {
        return code;
    }
    if (run_action(cli, client, action, which > 0 ? cli->args.positional[1] : NULL, &error) !=
        ESTREAT_OK) {
        code = cli_fail_with(cli, &error);
    }
    estreat_close(client);
    return code;
}

static const struct option_spec member_options[] = {
    {"client", 0, "HOST:PORT", "add: where clients reach it"},
    {"peer", 0, "HOST:PORT", "add: where the other nodes reach it"},
    {NULL, 0, NULL, NULL},
};

const struct verb verb_member = {
    .name = "member",
    .synopsis = "list | add ID --client HOST:PORT --peer HOST:PORT | promote ID | remove ID",
    .help = "print or change who belongs to the cluster",
    .details =
        "A node that is to be added is started with join = on in its configuration. It comes\n"
        "as a learner, gets everything, and becomes a voter by itself when it has caught up.\n"
        "Who is removed is gone for good: its id is not used again.",
    .options = member_options,
    .arguments_min = 1,
    .arguments_max = 2,
    .run = run_member,
};

static enum exit_code run_transfer(struct cli *cli)
{
    struct estreat_client *client;
    struct estreat_error error;
    enum exit_code code = cli_open(cli, &client);
    if (code != EXIT_DONE) {
        return code;
    }
    const char *id = cli->args.count > 0 ? cli->args.positional[0] : NULL;
    if (estreat_transfer(client, id, 0, &error) != ESTREAT_OK) {
        code = cli_fail_with(cli, &error);
    }
    estreat_close(client);
    return code;
}

const struct verb verb_transfer = {
    .name = "transfer",
    .synopsis = "[ID]",
    .help = "hand leadership to another voter",
    .details = "Without an ID: to the one that has most of the log.",
    .arguments_max = 1,
    .run = run_transfer,
};
