/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

#include <errno.h>
#include <stdarg.h>

#include "base/buf.h"
#include "base/limits.h"
#include "cli/format.h"
#include "merkle/base64.h"
#include "merkle/utf8.h"

/* A trust file has some lines of at most some hundred bytes. */
#define TRUST_FILE_BYTES_MAX (256UL * KIB)

enum exit_code exit_code_of(enum estreat_code code)
{
    switch (code) {
    case ESTREAT_OK:
        return EXIT_DONE;
    case ESTREAT_NOT_FOUND:
    case ESTREAT_ABORTED:
    case ESTREAT_ALREADY_EXISTS:
    case ESTREAT_FAILED_PRECONDITION:
    case ESTREAT_OUT_OF_RANGE:
    case ESTREAT_PERMISSION_DENIED:
    case ESTREAT_UNAUTHENTICATED:
    case ESTREAT_DATA_LOSS:
    case ESTREAT_RESOURCE_EXHAUSTED:
    case ESTREAT_UNIMPLEMENTED:
        return EXIT_NO;
    case ESTREAT_INVALID_ARGUMENT:
        return EXIT_USAGE;
    case ESTREAT_UNAVAILABLE:
    case ESTREAT_DEADLINE_EXCEEDED:
    case ESTREAT_UNKNOWN:
    case ESTREAT_INTERNAL:
    case ESTREAT_CANCELLED:
        break;
    }
    return EXIT_UNKNOWN;
}

enum exit_code cli_fail(struct cli *cli, enum exit_code code, const char *format, ...)
{
    struct error err = ERROR_INIT;
    char text[ERROR_TEXT_BYTES];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    (void)error_set(&err, STATUS_UNKNOWN, "%s", text); /* keeps it on one line */
    (void)fflush(cli->out);
    (void)fprintf(cli->err, "estreat: %s%s%s\n", cli->verb == NULL ? "" : cli->verb,
                  cli->verb == NULL ? "" : ": ", err.text);
    return code;
}

enum exit_code cli_fail_with(struct cli *cli, const struct estreat_error *error)
{
    return cli_fail(cli, exit_code_of(error->code), "%s: %s", estreat_code_name(error->code),
                    error->text);
}

enum exit_code cli_open(struct cli *cli, struct estreat_client **out)
{
    struct estreat_error error;
    const struct estreat_client_options options = {.timeout_ms = cli->timeout_ms};
    if (estreat_open(cli->endpoints, &options, out, &error) != ESTREAT_OK) {
        return cli_fail(cli, exit_code_of(error.code), "%s", error.text);
    }
    return EXIT_DONE;
}

enum status cli_read_file(const char *path, size_t bytes_max, char **data, size_t *length,
                          struct error *err)
{
    bool is_stdin = strcmp(path, "-") == 0;
    FILE *file = is_stdin ? stdin : fopen(path, "re");
    if (file == NULL) {
        return error_set_errno(err, errno, "%s", path);
    }
    struct buf bytes;
    buf_init(&bytes, alloc_default(), bytes_max + 1);
    enum status status = STATUS_OK;
    while (status == STATUS_OK && !buf_failed(&bytes)) {
        uint8_t chunk[16384];
        errno = 0;
        size_t got = fread(chunk, 1, sizeof chunk, file);
        if (got == 0 && ferror(file) != 0) {
            status = error_set_errno(err, errno, "%s", path);
        }
        if (got == 0) {
            break;
        }
        buf_append(&bytes, chunk, got);
    }
    buf_put_u8(&bytes, '\0');
    if (status == STATUS_OK && buf_failed(&bytes)) {
        status = error_set(err, STATUS_INVALID_ARGUMENT, "%s is larger than %zu bytes",
                           is_stdin ? "stdin" : path, bytes_max);
    }
    if (!is_stdin) {
        (void)fclose(file);
    }
    if (status != STATUS_OK) {
        buf_release(&bytes);
        return status;
    }
    *data = (char *)bytes.data;
    *length = bytes.length - 1;
    return STATUS_OK;
}

enum exit_code cli_trust(struct cli *cli, struct estreat_trust **out)
{
    struct error err = ERROR_INIT;
    struct estreat_error error;
    char *text;
    size_t length;
    *out = NULL;
    if (cli->trust_path == NULL) {
        return EXIT_DONE;
    }
    if (cli_read_file(cli->trust_path, TRUST_FILE_BYTES_MAX, &text, &length, &err) != STATUS_OK) {
        return cli_fail(cli, EXIT_USAGE, "trusted keys: %s", err.text);
    }
    enum estreat_code code = estreat_trust_parse(text, length, out, &error);
    alloc_free(alloc_default(), text);
    if (code != ESTREAT_OK) {
        return cli_fail(cli, EXIT_USAGE, "trusted keys: %s: %s", cli->trust_path, error.text);
    }
    return EXIT_DONE;
}

bool cli_number(struct cli *cli, const char *option, uint64_t fallback, uint64_t min, uint64_t max,
                uint64_t *out)
{
    struct error err = ERROR_INIT;
    char what[64];
    const char *text = args_value(&cli->args, option);
    *out = fallback;
    (void)snprintf(what, sizeof what, "--%s", option);
    if (text != NULL && parse_number_in(what, text, min, max, out, &err) != STATUS_OK) {
        (void)cli_fail(cli, EXIT_USAGE, "%s", err.text);
        return false;
    }
    return true;
}

const char *cli_hash_text(const uint8_t hash[ESTREAT_HASH_BYTES], char out[HASH_TEXT_BYTES])
{
    struct hash value;
    memcpy(value.bytes, hash, sizeof value.bytes);
    hash_to_base64(&value, out);
    return out;
}

void cli_print_text(FILE *out, struct estreat_bytes bytes)
{
    struct slice text = slice_of(bytes.data, bytes.length);
    while (text.length > 0 && text.data != NULL) {
        uint32_t code_point;
        size_t length = utf8_next(text, &code_point);
        /* C1 controls move a terminal's cursor as the C0 ones do. */
        bool printable =
            length > 0 && code_point >= 0x20 && (code_point < 0x7f || code_point >= 0xa0);
        length = length == 0 ? 1 : length;
        if (printable && code_point != '\\') {
            (void)fwrite(text.data, 1, length, out);
        } else if (printable) {
            (void)fputs("\\\\", out);
        } else {
            for (size_t i = 0; i < length; i++) {
                (void)fprintf(out, "\\x%02x", text.data[i]);
            }
        }
        text = slice_from(text, length);
    }
}

void cli_print_event_heading(struct cli *cli)
{
    if (cli->output == OUTPUT_TABLE) {
        (void)fprintf(cli->out, "%-10s %-30s %-20s %-8s %-7s %-5s %s\n", "POSITION", "TIME", "KEY",
                      "VERSION", "KIND", "LEVEL", "PAYLOAD");
    }
}

static void print_row(struct cli *cli, const struct estreat_event *event)
{
    char time[TIME_TEXT_BYTES];
    (void)fprintf(cli->out, "%-10lu %-30s ", (unsigned long)event->position,
                  format_time(event->time_ns, time));
    cli_print_text(cli->out, event->key);
    for (size_t i = event->key.length; i < 20; i++) {
        (void)fputc(' ', cli->out);
    }
    (void)fprintf(
        cli->out, " %-8lu %-7s %-5s ", (unsigned long)event->version,
        estreat_kind_name(event->kind),
        event->severity == ESTREAT_SEVERITY_NONE ? "-" : estreat_severity_name(event->severity));
    if (event->type[0] != '\0') {
        (void)fputc('[', cli->out);
        cli_print_text(cli->out, estreat_text(event->type));
        (void)fputs("] ", cli->out);
    }
    cli_print_text(cli->out, event->payload);
    (void)fputc('\n', cli->out);
}

static void print_json(struct cli *cli, const struct estreat_event *event)
{
    struct json json;
    json_init(&json, cli->out);
    json_open_object(&json, NULL);
    json_number(&json, "position", event->position);
    json_time(&json, "time", event->time_ns);
    json_bytes(&json, "key", event->key);
    json_number(&json, "version", event->version);
    json_text(&json, "kind", estreat_kind_name(event->kind));
    json_text(&json, "type", event->type);
    json_text(&json, "severity", estreat_severity_name(event->severity));
    json_bytes(&json, "payload", event->payload);
    json_close_object(&json);
    json_end_line(&json);
}

void cli_print_event(struct cli *cli, const struct estreat_event *event)
{
    switch (cli->output) {
    case OUTPUT_TABLE:
        print_row(cli, event);
        break;
    case OUTPUT_JSON:
        print_json(cli, event);
        break;
    case OUTPUT_RAW:
        if (event->payload.length > 0) { /* an empty one has no address */
            (void)fwrite(event->payload.data, 1, event->payload.length, cli->out);
        }
        (void)fputc('\n', cli->out);
        break;
    }
}
