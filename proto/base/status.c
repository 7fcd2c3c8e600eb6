/* SPDX-License-Identifier: Apache-2.0 */
#define ESTREAT_STATUS_C
#include "base/status.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

const char *status_name(enum status status)
{
    switch (status) {
#define X(code, number, name)                                                                      \
    case code:                                                                                     \
        return name;
        STATUS_TABLE(X)
#undef X
    }
    return "UNKNOWN";
}

int status_is_known(unsigned number)
{
    return number <= STATUS_UNAUTHENTICATED;
}

/* Errors are printed on one line; a file name or a peer's text may hold anything. */
static void keep_one_line(char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f) {
            *text = ' ';
        }
    }
}

static void error_format(struct error *err, const char *format, va_list args)
{
    (void)vsnprintf(err->text, sizeof err->text, format, args);
    keep_one_line(err->text);
}

enum status error_set(struct error *err, enum status status, const char *format, ...)
{
    if (err != NULL) {
        va_list args;
        va_start(args, format);
        err->status = status;
        error_format(err, format, args);
        va_end(args);
    }
    return status;
}

static enum status status_of_errno(int errnum)
{
    switch (errnum) {
    case ENOSPC:
    case EDQUOT:
    case ENOMEM:
    case EMFILE:
    case ENFILE:
        return STATUS_RESOURCE_EXHAUSTED;
    case ENOENT:
        return STATUS_NOT_FOUND;
    case EACCES:
    case EPERM:
    case EROFS:
        return STATUS_PERMISSION_DENIED;
    case EEXIST:
        return STATUS_ALREADY_EXISTS;
    default:
        return STATUS_INTERNAL;
    }
}

enum status error_set_errno(struct error *err, int errnum, const char *format, ...)
{
    enum status status = status_of_errno(errnum);
    if (err != NULL) {
        char buffer[128];
        const char *reason = strerror_r(errnum, buffer, sizeof buffer);
        va_list args;
        va_start(args, format);
        err->status = status;
        error_format(err, format, args);
        va_end(args);
        /* The cause is worth more than the end of a long path. */
        size_t room = sizeof err->text - sizeof ": " - strlen(reason);
        size_t length = strlen(err->text);
        length = length < room ? length : room;
        (void)snprintf(err->text + length, sizeof err->text - length, ": %s", reason);
    }
    return status;
}

enum status error_wrap(struct error *err, const char *format, ...)
{
    if (err == NULL) {
        return STATUS_INTERNAL;
    }
    char inner[ERROR_TEXT_BYTES];
    memcpy(inner, err->text, sizeof inner);
    va_list args;
    va_start(args, format);
    error_format(err, format, args);
    va_end(args);
    size_t length = strlen(err->text);
    (void)snprintf(err->text + length, sizeof err->text - length, ": %s", inner);
    return err->status;
}
