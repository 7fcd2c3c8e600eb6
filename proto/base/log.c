/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"

/* A longer line is cut: one write of at most a page stays whole on a pipe. */
enum { LINE_BYTES_MAX = 4096, MESSAGE_BYTES_MAX = 512 };

static const char *const level_names[] = {"debug", "info", "warn", "error", "off"};

/* The one mutable global: standard error is one for the process as well. */
static _Atomic int level_least = LOG_INFO;

void log_set_level(enum log_level level)
{
    CHECK(level >= LOG_DEBUG && level <= LOG_OFF);
    atomic_store_explicit(&level_least, (int)level, memory_order_relaxed);
}

bool log_level_parse(const char *text, enum log_level *out)
{
    for (int i = 0; i <= LOG_OFF; i++) {
        if (strcmp(text, level_names[i]) == 0) {
            *out = (enum log_level)i;
            return true;
        }
    }
    return false;
}

/* Adds formatted text at *length, leaving room for the end of the line. */
static void line_add_args(char *line, size_t *length, const char *format, va_list args)
{
    size_t room = LINE_BYTES_MAX - 1 - *length;
    int wanted = vsnprintf(line + *length, room, format, args);
    if (wanted > 0) {
        *length += (size_t)wanted < room ? (size_t)wanted : room - 1;
    }
}

static void line_add(char *line, size_t *length, const char *format, ...) PRINTF_LIKE(3, 4);

static void line_add(char *line, size_t *length, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    line_add_args(line, length, format, args);
    va_end(args);
}

static void line_add_time(char *line, size_t *length)
{
    struct timespec now;
    struct tm parts;
    CHECK(clock_gettime(CLOCK_REALTIME, &now) == 0);
    CHECK(gmtime_r(&now.tv_sec, &parts) != NULL);
    char seconds[32];
    CHECK(strftime(seconds, sizeof seconds, "%Y-%m-%dT%H:%M:%S", &parts) > 0);
    line_add(line, length, "%s.%06ldZ", seconds, now.tv_nsec / 1000);
}

void log_write(const char *module, enum log_level level, const char *message, const char *fields,
               ...)
{
    CHECK(level >= LOG_DEBUG && level < LOG_OFF);
    if ((int)level < atomic_load_explicit(&level_least, memory_order_relaxed)) {
        return;
    }
    int errno_before = errno;
    char line[LINE_BYTES_MAX];
    char quoted[MESSAGE_BYTES_MAX];
    size_t length = 0;
    line_add_time(line, &length);
    line_add(line, &length, " %s %s %s", level_names[level], module,
             log_quote(quoted, sizeof quoted, message));
    if (fields != NULL) {
        line_add(line, &length, " ");
        va_list args;
        va_start(args, fields);
        line_add_args(line, &length, fields, args);
        va_end(args);
    }
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f) {
            line[i] = ' ';
        }
    }
    line[length++] = '\n';
    /* One write, not a loop: a rest would be torn from its line by other threads. */
    while (write(STDERR_FILENO, line, length) < 0 && errno == EINTR) {
    }
    errno = errno_before;
}

/* Writes the escaped form of `byte` into out[4]; returns its length. */
static size_t escape(char *out, unsigned char byte)
{
    static const char digits[] = "0123456789abcdef";
    char letter = '\0';
    if (byte == '"' || byte == '\\') {
        letter = (char)byte;
    } else if (byte == '\n') {
        letter = 'n';
    } else if (byte == '\t') {
        letter = 't';
    } else if (byte == '\r') {
        letter = 'r';
    } else if (byte >= 0x20 && byte != 0x7f) {
        out[0] = (char)byte;
        return 1;
    }
    out[0] = '\\';
    if (letter != '\0') {
        out[1] = letter;
        return 2;
    }
    out[1] = 'x';
    out[2] = digits[byte >> 4];
    out[3] = digits[byte & 0xf];
    return 4;
}

const char *log_quote(char *out, size_t size, const char *text)
{
    CHECK(size >= 3);
    size_t length = 0;
    out[length++] = '"';
    for (; *text != '\0'; text++) {
        char escaped[4];
        size_t count = escape(escaped, (unsigned char)*text);
        if (length + count + 2 > size) { /* the closing quote and the NUL must fit */
            break;
        }
        memcpy(out + length, escaped, count);
        length += count;
    }
    out[length++] = '"';
    out[length] = '\0';
    return out;
}
