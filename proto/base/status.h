/* SPDX-License-Identifier: Apache-2.0
 *
 * Status: the one table of error codes, and the error context that travels up.
 *
 * Every function that can fail returns an `enum status` and fills its last
 * parameter, a `struct error` that the caller owns (usually on its stack). The
 * lowest layer calls error_set(); each layer above may wrap the text with what
 * it was doing: "open data/000012.sst: read block at 4096: checksum mismatch".
 * Nothing here allocates. A NULL error pointer is allowed and ignored.
 *
 * The codes are gRPC's seventeen canonical ones, with gRPC's numbers, so that
 * a status crosses the wire unchanged.
 */
#ifndef ESTREAT_BASE_STATUS_H
#define ESTREAT_BASE_STATUS_H

#include <stdarg.h>

#include "base/banned.h"

/*        code                 number  wire name */
#define STATUS_TABLE(X)                                                                            \
    X(STATUS_OK, 0, "OK")                                                                          \
    X(STATUS_CANCELLED, 1, "CANCELLED")                                                            \
    X(STATUS_UNKNOWN, 2, "UNKNOWN")                                                                \
    X(STATUS_INVALID_ARGUMENT, 3, "INVALID_ARGUMENT")                                              \
    X(STATUS_DEADLINE_EXCEEDED, 4, "DEADLINE_EXCEEDED")                                            \
    X(STATUS_NOT_FOUND, 5, "NOT_FOUND")                                                            \
    X(STATUS_ALREADY_EXISTS, 6, "ALREADY_EXISTS")                                                  \
    X(STATUS_PERMISSION_DENIED, 7, "PERMISSION_DENIED")                                            \
    X(STATUS_RESOURCE_EXHAUSTED, 8, "RESOURCE_EXHAUSTED")                                          \
    X(STATUS_FAILED_PRECONDITION, 9, "FAILED_PRECONDITION")                                        \
    X(STATUS_ABORTED, 10, "ABORTED")                                                               \
    X(STATUS_OUT_OF_RANGE, 11, "OUT_OF_RANGE")                                                     \
    X(STATUS_UNIMPLEMENTED, 12, "UNIMPLEMENTED")                                                   \
    X(STATUS_INTERNAL, 13, "INTERNAL")                                                             \
    X(STATUS_UNAVAILABLE, 14, "UNAVAILABLE")                                                       \
    X(STATUS_DATA_LOSS, 15, "DATA_LOSS")                                                           \
    X(STATUS_UNAUTHENTICATED, 16, "UNAUTHENTICATED")

enum status {
#define X(code, number, name) code = number, /* NOLINT(bugprone-macro-parentheses) */
    STATUS_TABLE(X)
#undef X
};

/* Bytes on disk that fail a check. */
#define STATUS_CORRUPT STATUS_DATA_LOSS

#define MUST_USE __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

#define ERROR_TEXT_BYTES 512

struct error {
    enum status status;
    char text[ERROR_TEXT_BYTES]; /* always NUL-terminated, one line */
};

#define ERROR_INIT                                                                                 \
    {                                                                                              \
        .status = STATUS_OK, .text = ""                                                            \
    }

/* Returns the wire name, e.g. "NOT_FOUND"; "UNKNOWN" for a number outside the table. */
const char *status_name(enum status status);

/* True if `number` is one of the seventeen codes. */
int status_is_known(unsigned number);

/* Replaces the context. Returns `status`, so that `return error_set(...)` reads well. */
enum status error_set(struct error *err, enum status status, const char *format, ...)
    PRINTF_LIKE(3, 4);

/* As error_set, and appends ": " and strerror(errnum). The status is derived from errnum:
 * ENOSPC and EDQUOT give RESOURCE_EXHAUSTED, ENOENT NOT_FOUND, ENOMEM RESOURCE_EXHAUSTED,
 * EACCES and EPERM PERMISSION_DENIED, EEXIST ALREADY_EXISTS, others INTERNAL. */
enum status error_set_errno(struct error *err, int errnum, const char *format, ...)
    PRINTF_LIKE(3, 4);

/* Puts "<format>: " before the present text and keeps the status. Returns the status. */
enum status error_wrap(struct error *err, const char *format, ...) PRINTF_LIKE(2, 3);

#if defined(__clang_analyzer__) && !defined(ESTREAT_STATUS_C)
/* The analyser cannot look into status.c: without this it takes "return error_set(...)" for a
 * possible success, and everything that was not set then for garbage. */
static inline enum status error_is_no_success(enum status status)
{
    if (status == STATUS_OK) {
        __builtin_unreachable();
    }
    return status;
}
#define error_set(...) error_is_no_success(error_set(__VA_ARGS__))
#define error_set_errno(...) error_is_no_success(error_set_errno(__VA_ARGS__))
#define error_wrap(...) error_is_no_success(error_wrap(__VA_ARGS__))
#endif

#endif
