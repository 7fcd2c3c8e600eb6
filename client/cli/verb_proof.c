/* SPDX-License-Identifier: Apache-2.0
 *
 * The verbs about proofs: head, prove, verify.
 */
#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "cli/cli.h"
#include "cli/format.h"
#include "merkle/proof_file.h"

#define PATH_BYTES_MAX 4096U

/* --- head --------------------------------------------------------------------------------- */

static void print_head(struct cli *cli, const struct estreat_head *head)
{
    char root[HASH_TEXT_BYTES];
    struct json json;
    switch (cli->output) {
    case OUTPUT_TABLE:
        (void)fprintf(cli->out, "size %lu\nroot %s\n\n", (unsigned long)head->size,
                      cli_hash_text(head->root, root));
        (void)fwrite(head->checkpoint, 1, head->checkpoint_length, cli->out);
        break;
    case OUTPUT_JSON:
        json_init(&json, cli->out);
        json_open_object(&json, NULL);
        json_number(&json, "size", head->size);
        json_text(&json, "root", cli_hash_text(head->root, root));
        json_bytes(&json, "checkpoint", estreat_bytes(head->checkpoint, head->checkpoint_length));
        json_open_array(&json, "cosignatures");
        json_close_array(&json);
        json_close_object(&json);
        json_end_line(&json);
        break;
    case OUTPUT_RAW:
        (void)fwrite(head->checkpoint, 1, head->checkpoint_length, cli->out);
        break;
    }
}

static enum exit_code run_head(struct cli *cli)
{
    struct estreat_client *client;
    struct estreat_trust *trust;
    struct estreat_head head;
    struct estreat_error error;
    enum exit_code code = cli_trust(cli, &trust);
    if (code != EXIT_DONE) {
        return code;
    }
    code = cli_open(cli, &client);
    if (code == EXIT_DONE) {
        if (estreat_head(client, NULL, trust, &head, &error) == ESTREAT_OK) {
            print_head(cli, &head);
            estreat_free(head.checkpoint);
        } else {
            code = cli_fail_with(cli, &error);
        }
        estreat_close(client);
    }
    estreat_trust_free(trust);
    return code;
}

const struct verb verb_head = {
    .name = "head",
    .synopsis = "",
    .help = "print the newest signed tree head",
    .details = "With trusted keys its signature is checked. -o raw prints the C2SP checkpoint.",
    .run = run_head,
};

/* --- prove -------------------------------------------------------------------------------- */

struct request {
    bool consistency;
    uint64_t numbers[2]; /* position; or old and new size */
};

static bool take_request(struct cli *cli, struct request *out)
{
    out->consistency = cli->args.count == 2;
    for (size_t i = 0; i < cli->args.count; i++) {
        if (!parse_number(cli->args.positional[i], &out->numbers[i])) {
            (void)cli_fail(cli, EXIT_USAGE, "'%.100s' is no %s", cli->args.positional[i],
                           out->consistency ? "size" : "position");
            return false;
        }
    }
    if (out->consistency && out->numbers[0] == 0) {
        (void)cli_fail(cli, EXIT_USAGE,
                       "there is nothing to prove from size 0: every log continues the empty one");
        return false;
    }
    if (out->consistency && out->numbers[1] < out->numbers[0]) {
        (void)cli_fail(cli, EXIT_USAGE, "the old size comes first, and is not larger");
        return false;
    }
    return true;
}

static enum exit_code write_file(struct cli *cli, const char *path, const char *text, size_t length)
{
    FILE *file = fopen(path, "we");
    if (file == NULL) {
        return cli_fail(cli, EXIT_USAGE, "%s: %s", path, strerror(errno));
    }
    bool written = fwrite(text, 1, length, file) == length;
    int failure = errno;
    if (fclose(file) != 0) {
        failure = errno;
        written = false;
    }
    return written ? EXIT_DONE : cli_fail(cli, EXIT_UNKNOWN, "%s: %s", path, strerror(failure));
}

static enum exit_code print_proof(struct cli *cli, const struct request *request, const char *text,
                                  size_t length)
{
    const char *path = args_value(&cli->args, "out");
    enum exit_code code = EXIT_DONE;
    struct json json;
    if (path != NULL) {
        code = write_file(cli, path, text, length);
    }
    if (code != EXIT_DONE) {
        return code;
    }
    if (cli->output == OUTPUT_JSON) {
        json_init(&json, cli->out);
        json_open_object(&json, NULL);
        if (request->consistency) {
            json_number(&json, "old_size", request->numbers[0]);
            json_number(&json, "new_size", request->numbers[1]);
        } else {
            json_number(&json, "position", request->numbers[0]);
        }
        if (path != NULL) {
            json_text(&json, "file", path);
        } else {
            json_bytes(&json, "proof", estreat_bytes(text, length));
        }
        json_close_object(&json);
        json_end_line(&json);
    } else if (path == NULL) {
        (void)fwrite(text, 1, length, cli->out);
    } else if (cli->output == OUTPUT_TABLE) {
        (void)fprintf(cli->out, "%s: %zu bytes\n", path, length);
    }
    return EXIT_DONE;
}

static enum exit_code prove(struct cli *cli, struct estreat_client *client,
                            const struct request *request, const struct estreat_trust *trust)
{
    struct estreat_error error;
    char *text = NULL;
    size_t length = 0;
    enum estreat_code result =
        request->consistency
            ? estreat_prove_consistency(client, request->numbers[0], request->numbers[1], NULL,
                                        trust, &text, &length, &error)
            : estreat_prove_inclusion(client, request->numbers[0], NULL, trust, &text, &length,
                                      &error);
    if (result != ESTREAT_OK) {
        return cli_fail_with(cli, &error);
    }
    enum exit_code code = print_proof(cli, request, text, length);
    estreat_free(text);
    return code;
}

static enum exit_code run_prove(struct cli *cli)
{
    struct request request = {.consistency = false};
    struct estreat_client *client;
    struct estreat_trust *trust;
    if (!take_request(cli, &request)) {
        return EXIT_USAGE;
    }
    enum exit_code code = cli_trust(cli, &trust);
    if (code != EXIT_DONE) {
        return code;
    }
    code = cli_open(cli, &client);
    if (code == EXIT_DONE) {
        code = prove(cli, client, &request, trust);
        estreat_close(client);
    }
    estreat_trust_free(trust);
    return code;
}

static const struct option_spec prove_options[] = {
    {"out", 0, "FILE", "write the proof to a file instead of stdout"},
    {NULL, 0, NULL, NULL},
};

const struct verb verb_prove = {
    .name = "prove",
    .synopsis = "POSITION | OLD NEW [--out FILE]",
    .help = "print the proof that an event is in the log, or that one log begins with another",
    .details = "The proof is checked before it is printed; with trusted keys its signature too.",
    .options = prove_options,
    .arguments_min = 1,
    .arguments_max = 2,
    .run = run_prove,
};

/* --- verify ------------------------------------------------------------------------------- */

static void print_table_row(struct cli *cli, const char *path,
                            const struct estreat_verified *verified, const struct estreat_got *got)
{
    char root[HASH_TEXT_BYTES];
    char time[TIME_TEXT_BYTES];
    (void)fprintf(cli->out, "VERIFIED %s: ", path);
    if (verified->kind == ESTREAT_PROOF_INCLUSION) {
        const struct estreat_event *event = estreat_got_event(got);
        (void)fprintf(cli->out, "position %lu, %s, key ", (unsigned long)verified->position,
                      format_time(event->time_ns, time));
        cli_print_text(cli->out, event->key);
    } else {
        (void)fprintf(cli->out, "the log of size %lu begins with the log of size %lu",
                      (unsigned long)verified->new_size, (unsigned long)verified->old_size);
    }
    (void)fprintf(cli->out, "; signed size %lu, root %s\n", (unsigned long)verified->size,
                  cli_hash_text(verified->root, root));
}

static void print_json_row(struct cli *cli, const char *file,
                           const struct estreat_verified *verified,
                           const struct estreat_error *error)
{
    char root[HASH_TEXT_BYTES];
    struct json json;
    json_init(&json, cli->out);
    json_open_object(&json, NULL);
    json_text(&json, "verdict", verified != NULL ? "VERIFIED" : "REFUSED");
    if (verified != NULL) {
        json_number(&json, "size", verified->size);
        json_text(&json, "root", cli_hash_text(verified->root, root));
    } else {
        json_null(&json, "size");
        json_null(&json, "root");
    }
    if (verified != NULL && verified->kind == ESTREAT_PROOF_INCLUSION) {
        json_number(&json, "position", verified->position);
    } else {
        json_null(&json, "position");
    }
    if (verified != NULL && verified->kind == ESTREAT_PROOF_CONSISTENCY) {
        json_number(&json, "old_size", verified->old_size);
        json_number(&json, "new_size", verified->new_size);
    }
    if (verified == NULL) {
        json_text(&json, "cause", error->text);
    }
    if (file != NULL) {
        json_text(&json, "file", file);
    }
    json_close_object(&json);
    json_end_line(&json);
}

/* `in_folder` tells whether the JSON names the file. */
static enum exit_code verify_file(struct cli *cli, const struct estreat_trust *trust,
                                  const char *path, bool in_folder)
{
    struct error err = ERROR_INIT;
    struct estreat_error error;
    struct estreat_verified verified;
    struct estreat_got *got;
    char *text;
    size_t length;
    if (cli_read_file(path, PROOF_FILE_BYTES_MAX, &text, &length, &err) != STATUS_OK) {
        return cli_fail(cli, EXIT_USAGE, "%s", err.text);
    }
    enum estreat_code result = estreat_verify(trust, text, length, &verified, &got, &error);
    enum exit_code code = exit_code_of(result);
    if (result == ESTREAT_OK) {
        if (cli->output == OUTPUT_JSON) {
            print_json_row(cli, in_folder ? path : NULL, &verified, NULL);
        } else if (cli->output == OUTPUT_TABLE) {
            print_table_row(cli, path, &verified, got);
        } else if (got != NULL) {
            cli_print_event(cli, estreat_got_event(got));
        }
        estreat_got_free(got);
    } else if (code == EXIT_NO) {
        if (cli->output == OUTPUT_JSON) {
            print_json_row(cli, in_folder ? path : NULL, NULL, &error);
        }
        (void)cli_fail(cli, code, "REFUSED %s: %s", path, error.text);
    } else {
        (void)cli_fail(cli, code, "%s: %s", path, error.text);
    }
    alloc_free(alloc_default(), text);
    return code;
}

/* A refused proof outranks one that cannot be read, and that one outranks not being able to
 * tell. */
static enum exit_code worse(enum exit_code a, enum exit_code b)
{
    static const enum exit_code order[] = {EXIT_NO, EXIT_USAGE, EXIT_UNKNOWN};
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        if (a == order[i] || b == order[i]) {
            return order[i];
        }
    }
    return EXIT_DONE;
}

static int plain_name(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* The files of a folder in the order of their names; hidden ones and folders are left out. */
static enum exit_code verify_folder(struct cli *cli, const struct estreat_trust *trust,
                                    const char *path)
{
    struct dirent **entries;
    enum exit_code code = EXIT_DONE;
    unsigned files = 0;
    int count = scandir(path, &entries, plain_name, alphasort);
    if (count < 0) {
        return cli_fail(cli, EXIT_USAGE, "%s: %s", path, strerror(errno));
    }
    for (int i = 0; i < count; i++) {
        char file[PATH_BYTES_MAX];
        struct stat info;
        (void)snprintf(file, sizeof file, "%s/%s", path, entries[i]->d_name);
        if (stat(file, &info) != 0 || !S_ISDIR(info.st_mode)) {
            files++;
            code = worse(code, verify_file(cli, trust, file, true));
        }
        free(entries[i]);
    }
    free(entries);
    return files > 0 ? code : cli_fail(cli, EXIT_USAGE, "there is no file in %s", path);
}

static enum exit_code run_verify(struct cli *cli)
{
    const char *path = cli->args.positional[0];
    struct estreat_trust *trust;
    struct stat info = {.st_mode = 0};
    enum exit_code code = cli_trust(cli, &trust);
    if (code != EXIT_DONE) {
        return code;
    }
    if (strcmp(path, "-") != 0 && stat(path, &info) != 0) {
        code = cli_fail(cli, EXIT_USAGE, "%s: %s", path, strerror(errno));
    } else if (trust == NULL) {
        code = cli_fail(cli, EXIT_UNKNOWN,
                        "no keys are trusted: name a file of verifier keys with --trust or "
                        "ESTREAT_TRUST");
    } else if (strcmp(path, "-") != 0 && S_ISDIR(info.st_mode)) {
        code = verify_folder(cli, trust, path);
    } else {
        code = verify_file(cli, trust, path, false);
    }
    estreat_trust_free(trust);
    return code;
}

const struct verb verb_verify = {
    .name = "verify",
    .synopsis = "FILE|DIR",
    .help = "check a proof, or each in a folder, without the cluster",
    .details = "Exits 1 if one is refused, 2 without trusted keys. -o raw prints the event's "
               "payload.",
    .arguments_min = 1,
    .arguments_max = 1,
    .run = run_verify,
};
