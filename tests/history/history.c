/* SPDX-License-Identifier: Apache-2.0 */
#include "history.h"

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "line.h"

void *history_grow(void *array, size_t *capacity, size_t count, size_t each)
{
    if (count < *capacity) {
        return array;
    }
    size_t more = *capacity == 0 ? 1024 : *capacity;
    while (more <= count) {
        more *= 2;
    }
    void *larger = realloc(array, more * each);
    CHECK(larger != NULL);
    *capacity = more;
    return larger;
}

static int by_bytes(const void *a, const void *b, void *context)
{
    const struct history *history = context;
    const struct history_text *const *left = a;
    const struct history_text *const *right = b;
    return slice_compare(history_slice(history, **left), history_slice(history, **right));
}

/* Gives equal texts equal numbers. Returns how many there are. */
static uint32_t number_texts(struct history *history, struct history_text **texts, size_t count)
{
    uint32_t number = 0;
    qsort_r(texts, count, sizeof *texts, by_bytes, history);
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && !slice_equal(history_slice(history, *texts[i - 1]),
                                  history_slice(history, *texts[i]))) {
            number++;
        }
        texts[i]->number = number;
    }
    return count == 0 ? 0 : number + 1;
}

static void number_all(struct history *history)
{
    size_t room = history->append_count + history->seen_count + history->read_count;
    struct history_text **texts = calloc(room + 1, sizeof *texts);
    CHECK(texts != NULL);
    size_t count = 0;
    for (size_t i = 0; i < history->append_count; i++) {
        texts[count++] = &history->appends[i].id;
    }
    for (size_t i = 0; i < history->seen_count; i++) {
        texts[count++] = &history->seen[i].id;
    }
    history->id_count = number_texts(history, texts, count);
    count = 0;
    for (size_t i = 0; i < history->append_count; i++) {
        texts[count++] = &history->appends[i].key;
    }
    for (size_t i = 0; i < history->read_count; i++) {
        texts[count++] = &history->reads[i].key;
    }
    history->key_count = number_texts(history, texts, count);
    free(texts);
}

/* An id belongs to one event, and so to one key. */
static enum status one_key_each(const struct history *history, const char *path, struct error *err)
{
    const struct history_append **first = calloc((size_t)history->id_count + 1, sizeof *first);
    CHECK(first != NULL);
    enum status status = STATUS_OK;
    for (size_t i = 0; i < history->append_count && status == STATUS_OK; i++) {
        const struct history_append *append = &history->appends[i];
        if (first[append->id.number] == NULL) {
            first[append->id.number] = append;
        } else if (first[append->id.number]->key.number != append->key.number) {
            status = error_set(err, STATUS_INVALID_ARGUMENT,
                               "%s:%zu: line %zu has the same \"id\" with another \"key\"", path,
                               append->line, first[append->id.number]->line);
        }
    }
    free(first);
    return status;
}

static enum status read_lines(struct history *history, FILE *file, const char *path,
                              struct error *err)
{
    struct line_reader *reader = line_reader_new();
    char *line = NULL;
    size_t capacity = 0;
    ssize_t length = 0;
    const char *wrong = NULL;
    while (wrong == NULL && (length = getline(&line, &capacity, file)) >= 0) {
        history->line_count++;
        wrong = line_read(reader, slice_of(line, (size_t)length), history->line_count, history);
    }
    int errnum = errno;
    free(line);
    line_reader_free(reader);
    if (wrong != NULL) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "%s:%zu: %s", path, history->line_count,
                         wrong);
    }
    return ferror(file) ? error_set_errno(err, errnum, "%s", path) : STATUS_OK;
}

enum status history_read_file(struct history *history, const char *path, struct error *err)
{
    *history = (struct history){.appends = NULL};
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return error_set_errno(err, errno, "%s", path);
    }
    enum status status = read_lines(history, file, path, err);
    (void)fclose(file);
    if (status == STATUS_OK) {
        number_all(history);
        status = one_key_each(history, path, err);
    }
    if (status != STATUS_OK) {
        history_release(history);
    }
    return status;
}

void history_release(struct history *history)
{
    free(history->appends);
    free(history->reads);
    free(history->seen);
    free(history->bytes);
    *history = (struct history){.appends = NULL};
}
