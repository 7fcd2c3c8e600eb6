/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

#define COLUMNS "%-12s %-22s %-10s %-6s %-12s %-8s %-8s %-9s %-7s %-8s "

/* A value, or "-" where it is not known. */
struct cell {
    char text[32];
};

static struct cell number(bool known, uint64_t value)
{
    struct cell cell = {"-"};
    if (known) {
        (void)snprintf(cell.text, sizeof cell.text, "%llu", (unsigned long long)value);
    }
    return cell;
}

static struct cell fraction(bool known, double value)
{
    struct cell cell = {"-"};
    if (known) {
        (void)snprintf(cell.text, sizeof cell.text, "%.1f", value);
    }
    return cell;
}

static void print_row(struct cli *cli, const struct estreat_node_status *node)
{
    const double mib = 1024.0 * 1024.0;
    bool has_time = node->lag_known && node->lag_ns != UINT64_MAX;
    (void)fprintf(cli->out, COLUMNS, node->id[0] != '\0' ? node->id : "?", node->endpoint,
                  node->answered ? node->role : "-", number(node->answered, node->term).text,
                  number(node->lag_known, node->size).text, number(node->lag_known, node->lag).text,
                  number(node->lag_known, node->lag_entries).text,
                  fraction(node->lag_known, (double)node->lag_bytes / mib).text,
                  fraction(has_time, (double)node->lag_ns / 1e9).text,
                  fraction(node->answered, (double)node->rss_bytes / mib).text);
    cli_print_text(cli->out, estreat_text(node->state));
    (void)fputc('\n', cli->out);
}

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
    (void)fprintf(cli->out, COLUMNS "%s\n", "ID", "ENDPOINT", "ROLE", "TERM", "SIZE", "LAG",
                  "LAG LOG", "LAG MIB", "LAG S", "RSS MIB", "STATE");
    for (size_t i = 0; i < status->node_count; i++) {
        print_row(cli, &status->nodes[i]);
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
    json_known(json, "applied", node->lag_known, node->applied_index);
    json_known(json, "commit", node->answered, node->commit_index);
    json_known(json, "lag", node->lag_known, node->lag);
    json_known(json, "lag_entries", node->lag_known, node->lag_entries);
    json_known(json, "lag_bytes", node->lag_known, node->lag_bytes);
    if (node->lag_known && node->lag_ns != UINT64_MAX) {
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
    .details =
        "Asks each endpoint, and each member that one of them names. LAG is in events, LAG LOG\n"
        "in entries of the log; of a node that does not answer, as it last told the leader.",
    .run = run_status,
};
