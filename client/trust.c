/* SPDX-License-Identifier: Apache-2.0 */
#include "client/trust.h"

#include "client/client.h"

static struct slice trim(struct slice line)
{
    while (line.length > 0 && (line.data[0] == ' ' || line.data[0] == '\t')) {
        line = slice_from(line, 1);
    }
    while (line.length > 0) {
        uint8_t last = line.data[line.length - 1];
        if (last != ' ' && last != '\t' && last != '\r') {
            break;
        }
        line.length--;
    }
    return line;
}

static enum status add_key(struct estreat_trust *trust, struct slice line, struct error *err)
{
    struct note_verifier verifier;
    if (trust->count == TRUST_KEYS_MAX) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "more than %u keys", TRUST_KEYS_MAX);
    }
    enum status status = note_verifier_parse(line, &verifier, err);
    if (status == STATUS_OK) {
        trust->verifiers[trust->count++] = verifier;
    }
    return status;
}

static enum status parse(struct estreat_trust *trust, struct slice text, struct error *err)
{
    for (unsigned number = 1; text.length > 0; number++) {
        const uint8_t *newline = memchr(text.data, '\n', text.length);
        size_t length = newline == NULL ? text.length : (size_t)(newline - text.data);
        struct slice line = trim(slice_of(text.data, length));
        text = slice_from(text, newline == NULL ? length : length + 1);
        if (line.length == 0 || line.data[0] == '#') {
            continue;
        }
        if (add_key(trust, line, err) != STATUS_OK) {
            return error_wrap(err, "line %u", number);
        }
    }
    if (trust->count == 0) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "there is no key in it");
    }
    return STATUS_OK;
}

enum estreat_code estreat_trust_parse(const char *text, size_t length, struct estreat_trust **out,
                                      struct estreat_error *error)
{
    struct error err = ERROR_INIT;
    struct alloc *alloc = alloc_default();
    struct estreat_trust *trust = alloc_zeroed(alloc, 1, sizeof *trust);
    if (trust == NULL) {
        (void)error_set(&err, STATUS_RESOURCE_EXHAUSTED, "no memory for the trusted keys");
        return client_answer(err.status, &err, error);
    }
    trust->alloc = alloc;
    enum status status = parse(trust, slice_of(text, length), &err);
    if (status != STATUS_OK) {
        estreat_trust_free(trust);
        return client_answer(status, &err, error);
    }
    *out = trust;
    return client_answer(STATUS_OK, NULL, error);
}

void estreat_trust_free(struct estreat_trust *trust)
{
    if (trust != NULL) {
        alloc_free(trust->alloc, trust);
    }
}
