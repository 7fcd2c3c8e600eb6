/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/lines.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "base/check.h"
#include "base/limits.h"

#define READ_BYTES (256UL * KIB)
#define READ_AHEAD_BYTES (1UL * MIB)

_Static_assert(READ_AHEAD_BYTES > PAYLOAD_BYTES_MAX + 1, "reading ahead finds the longest line");
_Static_assert(LINES_BATCH_BYTES_MAX + KEY_BYTES_MAX <= ESTREAT_REQUEST_BYTES_MAX,
               "a batch fits a request");
_Static_assert(PAYLOAD_BYTES_MAX + KEY_BYTES_MAX <= ESTREAT_REQUEST_BYTES_MAX,
               "the longest line fits a request");

void lines_init(struct lines *lines, const char *name, int fd)
{
    *lines = (struct lines){.name = name, .fd = fd, .line = 1};
    buf_init(&lines->buf, alloc_default(), READ_AHEAD_BYTES + READ_BYTES);
}

void lines_release(struct lines *lines)
{
    buf_release(&lines->buf);
}

enum status lines_rewind(struct lines *lines, struct error *err)
{
    if (lseek(lines->fd, 0, SEEK_SET) != 0) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "%s: cannot be read again: %s", lines->name,
                         strerror(errno));
    }
    buf_clear(&lines->buf);
    lines->begin = 0;
    lines->searched = 0;
    lines->line = 1;
    lines->at_end = false;
    return STATUS_OK;
}

bool lines_want_more(const struct lines *lines)
{
    return !lines->at_end && lines->buf.length - lines->begin < READ_AHEAD_BYTES;
}

bool lines_readable(const struct lines *lines)
{
    struct pollfd poll_fd = {.fd = lines->fd, .events = POLLIN};
    return poll(&poll_fd, 1, 0) > 0;
}

static void drop_given(struct lines *lines)
{
    size_t left = lines->buf.length - lines->begin;
    if (lines->begin > 0 && left > 0) {
        memmove(lines->buf.data, lines->buf.data + lines->begin, left);
    }
    lines->searched -= lines->begin;
    lines->begin = 0;
    lines->buf.length = left;
}

enum status lines_fill(struct lines *lines, struct error *err)
{
    CHECK(lines_want_more(lines));
    drop_given(lines);
    uint8_t *place = buf_reserve(&lines->buf, READ_BYTES);
    if (place == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "%s: no memory to read it", lines->name);
    }
    ssize_t got;
    do {
        got = read(lines->fd, place, READ_BYTES);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "%s: %s", lines->name, strerror(errno));
    }
    lines->buf.length += (size_t)got;
    lines->at_end = got == 0;
    return STATUS_OK;
}

static enum status too_long(const struct lines *lines, struct error *err)
{
    return error_set(err, STATUS_INVALID_ARGUMENT,
                     "%s:%lu: the line is longer than %lu bytes, the most a payload may have",
                     lines->name, (unsigned long)lines->line, PAYLOAD_BYTES_MAX);
}

/* The next line; false if it is not whole yet. */
static bool find_line(struct lines *lines, size_t *length, size_t *with_newline)
{
    const uint8_t *data = lines->buf.data;
    size_t left = lines->buf.length - lines->searched;
    const uint8_t *newline = left == 0 ? NULL : memchr(data + lines->searched, '\n', left);
    if (newline != NULL) {
        *length = (size_t)(newline - data) - lines->begin;
        *with_newline = *length + 1;
        return true;
    }
    lines->searched = lines->buf.length;
    *length = lines->buf.length - lines->begin;
    *with_newline = *length;
    return lines->at_end && *length > 0;
}

enum status lines_take(struct lines *lines, struct estreat_bytes key,
                       struct estreat_new_event *events, size_t max, size_t *count,
                       struct error *err)
{
    size_t taken = 0;
    size_t bytes = 0;
    CHECK(max > 0);
    while (taken < max) {
        size_t length;
        size_t with_newline;
        bool whole = find_line(lines, &length, &with_newline);
        if (length > PAYLOAD_BYTES_MAX) {
            if (taken > 0) {
                break; /* what comes before it is not lost */
            }
            return too_long(lines, err);
        }
        if (!whole || (taken > 0 && bytes + key.length + length > LINES_BATCH_BYTES_MAX)) {
            break;
        }
        events[taken++] = (struct estreat_new_event){
            .key = key, .payload = estreat_bytes(lines->buf.data + lines->begin, length)};
        bytes += key.length + length;
        lines->begin += with_newline;
        lines->searched = lines->begin;
        lines->bytes_given += with_newline;
        lines->line++;
    }
    *count = taken;
    return STATUS_OK;
}

bool lines_done(const struct lines *lines)
{
    return lines->at_end && lines->begin == lines->buf.length;
}
