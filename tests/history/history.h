/* SPDX-License-Identifier: Apache-2.0
 *
 * History: what clients did and saw, as README.md describes its lines. Read from a
 * file as a whole; texts become numbers, equal ones the same number, so that the
 * rules compare numbers. One owner, one thread. Memory that runs out ends the
 * program.
 */
#ifndef ESTREAT_HISTORY_HISTORY_H
#define ESTREAT_HISTORY_HISTORY_H

#include <stdio.h>

#include "base/slice.h"
#include "base/status.h"

/* Position of an append that was not acknowledged. */
#define HISTORY_NOWHERE UINT64_MAX

enum history_result { HISTORY_OK, HISTORY_FAIL, HISTORY_UNKNOWN };

/* Bytes of history->bytes. `number` is set when the whole file has been read. */
struct history_text {
    size_t at;
    uint32_t length;
    uint32_t number; /* dense, from 0, in the order of the bytes */
};

struct history_append {
    size_t line; /* from 1 */
    enum history_result result;
    struct history_text id;
    struct history_text key;
    uint64_t invoke_ns;
    uint64_t return_ns; /* UINT64_MAX unless `result` is HISTORY_OK */
    uint64_t position;  /* HISTORY_NOWHERE unless `result` is HISTORY_OK */
};

/* An event that a read saw. */
struct history_seen {
    size_t read; /* index */
    uint64_t position;
    struct history_text id;
};

/* Acknowledged ones only. */
struct history_read {
    size_t line;
    bool of_key;  /* else of the whole log */
    bool partial; /* broken off at `end` */
    struct history_text key;
    uint64_t invoke_ns;
    uint64_t return_ns;
    uint64_t begin; /* saw what is in [begin, end) */
    uint64_t end;
    size_t first; /* its events: seen[first, first + count) */
    size_t count;
};

struct history {
    struct history_append *appends;
    size_t append_count;
    size_t append_capacity;
    struct history_read *reads;
    size_t read_count;
    size_t read_capacity;
    struct history_seen *seen;
    size_t seen_count;
    size_t seen_capacity;
    uint8_t *bytes; /* of all texts, one behind the other */
    size_t byte_count;
    size_t byte_capacity;
    uint32_t id_count;
    uint32_t key_count;
    size_t line_count;
};

/* Reads the file at `path` to its end. Returns owned: history_release(). INVALID_ARGUMENT names
 * "path:line" and what is wrong; others: it cannot be read. */
enum status history_read_file(struct history *history, const char *path,
                              struct error *err) MUST_USE;
void history_release(struct history *history);

static inline struct slice history_slice(const struct history *history, struct history_text text)
{
    return slice_of(history->bytes + text.at, text.length);
}

/* Makes room in `array` for one more of `each` bytes behind `count`. */
void *history_grow(void *array, size_t *capacity, size_t count, size_t each);

#endif
