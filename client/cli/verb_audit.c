/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "cli/progress.h"

static enum exit_code exit_code_of_verdict(enum estreat_verdict verdict)
{
    switch (verdict) {
    case ESTREAT_CONSISTENT:
        return EXIT_DONE;
    case ESTREAT_DIVERGENT:
        return EXIT_NO;
    case ESTREAT_INCONCLUSIVE:
        break;
    }
    return EXIT_UNKNOWN;
}

static void print_ranges(struct cli *cli, const struct estreat_node_audit *node)
{
    for (size_t i = 0; i < node->range_count; i++) {
        const struct estreat_range *range = &node->ranges[i];
        if (range->end - range->begin == 1) {
            (void)fprintf(cli->out, "    position %lu\n", (unsigned long)range->begin);
        } else {
            (void)fprintf(cli->out, "    positions %lu to %lu\n", (unsigned long)range->begin,
                          (unsigned long)(range->end - 1));
        }
    }
}

static void print_table(struct cli *cli, const struct estreat_audit *audit)
{
    char root[HASH_TEXT_BYTES] = "-";
    if (audit->root_known) {
        (void)cli_hash_text(audit->root, root);
    }
    (void)fprintf(cli->out, "%s  size %lu  root %s\n\n", estreat_verdict_name(audit->verdict),
                  (unsigned long)audit->size, root);
    for (size_t i = 0; i < audit->node_count; i++) {
        const struct estreat_node_audit *node = &audit->nodes[i];
        (void)fprintf(cli->out, "%-12s %-22s %-12s", node->id[0] != '\0' ? node->id : "?",
                      node->endpoint, estreat_verdict_name(node->verdict));
        if (node->bytes_read > 0) {
            (void)fprintf(cli->out, " %.1f MiB read", (double)node->bytes_read / (1024 * 1024.0));
        }
        if (node->cause[0] != '\0') {
            (void)fputc(' ', cli->out);
            cli_print_text(cli->out, estreat_text(node->cause));
        }
        (void)fputc('\n', cli->out);
        print_ranges(cli, node);
    }
}

static void json_root(struct json *json, bool known, const uint8_t root[ESTREAT_HASH_BYTES])
{
    char text[HASH_TEXT_BYTES];
    if (known) {
        json_text(json, "root", cli_hash_text(root, text));
    } else {
        json_null(json, "root");
    }
}

static void print_json_node(struct json *json, const struct estreat_node_audit *node)
{
    json_open_object(json, NULL);
    json_text(json, "id", node->id);
    json_text(json, "endpoint", node->endpoint);
    json_text(json, "verdict", estreat_verdict_name(node->verdict));
    json_number(json, "size", node->size);
    json_root(json, node->root_known, node->root);
    json_number(json, "bytes_read", node->bytes_read);
    json_open_array(json, "ranges");
    for (size_t i = 0; i < node->range_count; i++) {
        json_open_object(json, NULL);
        json_number(json, "begin", node->ranges[i].begin);
        json_number(json, "end", node->ranges[i].end);
        json_close_object(json);
    }
    json_close_array(json);
    json_text(json, "cause", node->cause);
    json_close_object(json);
}

static void print_json(struct cli *cli, const struct estreat_audit *audit)
{
    struct json json;
    json_init(&json, cli->out);
    json_open_object(&json, NULL);
    json_text(&json, "verdict", estreat_verdict_name(audit->verdict));
    json_number(&json, "size", audit->size);
    json_root(&json, audit->root_known, audit->root);
    json_open_array(&json, "nodes");
    for (size_t i = 0; i < audit->node_count; i++) {
        print_json_node(&json, &audit->nodes[i]);
    }
    json_close_array(&json);
    json_close_object(&json);
    json_end_line(&json);
}

static void on_progress(void *context, uint64_t events, uint64_t events_total)
{
    const struct progress_state state = {
        .what = "audit", .done = events, .total = events_total, .events = events};
    progress_show(context, &state);
}

static enum exit_code audit(struct cli *cli, const struct estreat_trust *trust)
{
    struct estreat_client *client;
    struct estreat_audit *result;
    struct estreat_error error;
    struct progress progress;
    enum exit_code code = cli_open(cli, &client);
    if (code != EXIT_DONE) {
        return code;
    }
    progress_init(&progress, cli->err);
    const struct estreat_audit_options options = {
        .deep = args_flag(&cli->args, "deep"),
        .trust = trust,
        .progress = on_progress,
        .progress_context = &progress,
    };
    enum estreat_code status = estreat_audit(client, &options, &result, &error);
    progress_release(&progress);
    if (status == ESTREAT_OK) {
        if (cli->output == OUTPUT_JSON) {
            print_json(cli, result);
        } else {
            print_table(cli, result);
        }
        if (trust == NULL) {
            (void)fprintf(cli->err,
                          "estreat: no trusted keys were given (--trust), so no signature "
                          "was checked\n");
        }
        code = exit_code_of_verdict(result->verdict);
        estreat_audit_free(result);
    } else {
        code = cli_fail_with(cli, &error);
    }
    estreat_close(client);
    return code;
}

static enum exit_code run_audit(struct cli *cli)
{
    struct estreat_trust *trust;
    enum exit_code code = cli_trust(cli, &trust);
    if (code == EXIT_DONE) {
        code = audit(cli, trust);
        estreat_trust_free(trust);
    }
    return code;
}

static const struct option_spec options[] = {
    {"deep", 0, NULL, "each node re-reads its tables from disk and re-hashes every event"},
    {NULL, 0, NULL, NULL},
};

const struct verb verb_audit = {
    .name = "audit",
    .synopsis = "[--deep]",
    .help = "compare what the nodes hold, trusting none of them",
    .details = "Exits 0 CONSISTENT, 1 DIVERGENT, 2 INCONCLUSIVE: somebody did not answer.",
    .options = options,
    .run = run_audit,
};
