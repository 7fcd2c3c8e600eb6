/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

static void print_table(struct cli *cli, const struct estreat_status *status)
{
    char fdatasync[32] = "-"; /* nobody leads, or nothing was written */
    if (status->fdatasync_p50_ns > 0) {
        (void)snprintf(fdatasync, sizeof fdatasync, "%.3f ms",
                       (double)status->fdatasync_p50_ns / 1e6);
    }
    (void)fprintf(cli->out, "cluster %s  leader %s  term %lu  size %lu  fdatasync p50 %s\n\n",
                  status->cluster, status->leader_id[0] != '\0' ? status->leader_id : "none",
                  (unsigned long)status->term, (unsigned long)status->size, fdatasync);
    (void)fprintf(cli->out, "%-12s %-22s %-10s %-6s %-12s %-8s %-9s %-7s %-9s %s\n", "ID",
                  "ENDPOINT", "ROLE", "TERM", "SIZE", "LAG", "LAG MIB", "LAG S", "MIB", "STATE");
    for (size_t i = 0; i < status->node_count; i++) {
        const struct estreat_node_status *node = &status->nodes[i];
        char lag[32] = "-";
        if (node->lag_ns != UINT64_MAX) {
            (void)snprintf(lag, sizeof lag, "%.1f", (double)node->lag_ns / 1e9);
        }
        (void)fprintf(cli->out, "%-12s %-22s ", node->id[0] != '\0' ? node->id : "?",
                      node->endpoint);
        if (node->answered) {
            (void)fprintf(cli->out, "%-10s %-6lu %-12lu %-8lu %-9.1f %-7s %-9.1f ", node->role,
                          (unsigned long)node->term, (unsigned long)node->size,
                          (unsigned long)node->lag, (double)node->lag_bytes / (1024.0 * 1024.0),
                          lag, (double)node->rss_bytes / (1024.0 * 1024.0));
        } else {
            (void)fprintf(cli->out, "%-10s %-6s %-12s %-8s %-9s %-7s %-9s ", "-", "-", "-", "-",
                          "-", "-", "-");
        }
        cli_print_text(cli->out, estreat_text(node->state));
        (void)fputc('\n', cli->out);
    }
}

static void json_known(struct json *json, const char *name, bool known, uint64_t value)
{
    if (known) {
        json_number(json, name, value);
    } else {
        json_null(json, name);
    }
}

static void print_json_node(struct json *json, const struct estreat_node_status *node)
{
    json_open_object(json, NULL);
    json_text(json, "id", node->id);
    json_text(json, "endpoint", node->endpoint);
    if (node->answered) {
        json_text(json, "role", node->role);
    } else {
        json_null(json, "role");
    }
    json_known(json, "term", node->answered, node->term);
    json_known(json, "applied", node->answered, node->applied_index);
    json_known(json, "commit", node->answered, node->commit_index);
    json_known(json, "lag", node->answered, node->lag);
    json_known(json, "lag_bytes", node->answered, node->lag_bytes);
    if (node->answered && node->lag_ns != UINT64_MAX) {
        json_fraction(json, "lag_s", (double)node->lag_ns / 1e9, 3);
    } else {
        json_null(json, "lag_s");
    }
    json_text(json, "state", node->state);
    json_close_object(json);
}

static void print_json(struct cli *cli, const struct estreat_status *status)
{
    struct json json;
    json_init(&json, cli->out);
    json_open_object(&json, NULL);
    json_text(&json, "cluster", status->cluster);
    if (status->leader_id[0] != '\0') {
        json_text(&json, "leader", status->leader_id);
    } else {
        json_null(&json, "leader");
    }
    json_number(&json, "term", status->term);
    json_number(&json, "size", status->size);
    json_fraction(&json, "fdatasync_p50_ms", (double)status->fdatasync_p50_ns / 1e6, 3);
    json_open_array(&json, "nodes");
    for (size_t i = 0; i < status->node_count; i++) {
        print_json_node(&json, &status->nodes[i]);
    }
    json_close_array(&json);
    json_close_object(&json);
    json_end_line(&json);
}

static enum exit_code run_status(struct cli *cli)
{
    struct estreat_client *client;
    struct estreat_status *status;
    struct estreat_error error;
    enum exit_code code = cli_open(cli, &client);
    if (code != EXIT_DONE) {
        return code;
    }
    if (estreat_status(client, 0, &status, &error) == ESTREAT_OK) {
        if (cli->output == OUTPUT_JSON) {
            print_json(cli, status);
        } else {
            print_table(cli, status);
        }
        estreat_status_free(status);
    } else {
        code = cli_fail_with(cli, &error);
    }
    estreat_close(client);
    return code;
}

const struct verb verb_status = {
    .name = "status",
    .synopsis = "",
    .help = "print who is there, who leads, and how far everybody is",
    .details = "Asks each endpoint, and each member that one of them names.",
    .run = run_status,
};
