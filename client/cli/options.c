/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/options.h"

#include <stdint.h>

#include "base/check.h"

struct place {
    const struct option_spec *spec;
    const char **value;
};

static bool find_name(struct args *args, const char *name, size_t length, struct place *out)
{
    for (unsigned t = 0; t < 2; t++) {
        for (unsigned i = 0; args->tables[t] != NULL && args->tables[t][i].name != NULL; i++) {
            const struct option_spec *spec = &args->tables[t][i];
            CHECK(i < OPTIONS_MAX);
            if (strlen(spec->name) == length && memcmp(spec->name, name, length) == 0) {
                *out = (struct place){.spec = spec, .value = &args->values[t][i]};
                return true;
            }
        }
    }
    return false;
}

static bool find_letter(struct args *args, char letter, struct place *out)
{
    for (unsigned t = 0; t < 2; t++) {
        for (unsigned i = 0; args->tables[t] != NULL && args->tables[t][i].name != NULL; i++) {
            CHECK(i < OPTIONS_MAX);
            if (args->tables[t][i].letter == letter) {
                *out = (struct place){.spec = &args->tables[t][i], .value = &args->values[t][i]};
                return true;
            }
        }
    }
    return false;
}

/* "--name", "--name=value", "--name value". `*used` is 1 or 2 arguments. */
static enum status parse_long(struct args *args, const char *text, const char *next, int *used,
                              struct error *err)
{
    struct place place;
    const char *name = text + 2;
    const char *equals = strchr(name, '=');
    size_t length = equals == NULL ? strlen(name) : (size_t)(equals - name);
    *used = 1;
    if (!find_name(args, name, length, &place)) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "unknown option %.100s", text);
    }
    if (place.spec->argument == NULL) {
        if (equals != NULL) {
            return error_set(err, STATUS_INVALID_ARGUMENT, "--%s takes no value", place.spec->name);
        }
        *place.value = "";
        return STATUS_OK;
    }
    if (equals == NULL && next == NULL) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "--%s needs a value (%s)", place.spec->name,
                         place.spec->argument);
    }
    *place.value = equals != NULL ? equals + 1 : next;
    *used = equals != NULL ? 1 : 2;
    return STATUS_OK;
}

/* "-f", "-fn10", "-n 10": letters in one word, of which only the last takes a value. */
static enum status parse_short(struct args *args, const char *text, const char *next, int *used,
                               struct error *err)
{
    *used = 1;
    for (const char *at = text + 1; *at != '\0'; at++) {
        struct place place;
        if (!find_letter(args, *at, &place)) {
            return error_set(err, STATUS_INVALID_ARGUMENT, "unknown option -%c", *at);
        }
        if (place.spec->argument == NULL) {
            *place.value = "";
            continue;
        }
        if (at[1] == '\0' && next == NULL) {
            return error_set(err, STATUS_INVALID_ARGUMENT, "-%c needs a value (%s)", *at,
                             place.spec->argument);
        }
        *place.value = at[1] != '\0' ? at + 1 : next;
        *used = at[1] != '\0' ? 1 : 2;
        return STATUS_OK;
    }
    return STATUS_OK;
}

enum status args_parse(struct args *args, int argc, char *const *argv, bool stop_at_positional,
                       int *read, struct error *err)
{
    bool ended = false;
    int i = 0;
    while (i < argc) {
        const char *text = argv[i];
        const char *next = i + 1 < argc ? argv[i + 1] : NULL;
        enum status status = STATUS_OK;
        int used = 1;
        if (ended || text[0] != '-' || text[1] == '\0') {
            if (stop_at_positional) {
                break;
            }
            args->positional[args->count++] = text;
        } else if (strcmp(text, "--") == 0) {
            ended = true;
        } else if (text[1] == '-') {
            status = parse_long(args, text, next, &used, err);
        } else {
            status = parse_short(args, text, next, &used, err);
        }
        if (status != STATUS_OK) {
            return status;
        }
        i += used;
    }
    *read = i;
    return STATUS_OK;
}

const char *args_value(const struct args *args, const char *name)
{
    struct place place;
    bool found = find_name((struct args *)(uintptr_t)args, name, strlen(name), &place);
    CHECK(found);
    return *place.value;
}

bool args_flag(const struct args *args, const char *name)
{
    return args_value(args, name) != NULL;
}
