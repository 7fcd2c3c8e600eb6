/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/fs.h"

#define FUZZ_ALLOC_BYTES_MAX (1024UL * 1024UL)

static void *resize(struct alloc *alloc, void *memory, size_t bytes)
{
    (void)alloc;
    return bytes > FUZZ_ALLOC_BYTES_MAX ? NULL
                                        : alloc_default()->resize(alloc_default(), memory, bytes);
}

struct alloc *fuzz_alloc(void)
{
    static struct alloc alloc = {.resize = resize};
    return &alloc;
}

enum { WINDOWS = 8, WINDOW_BYTES = 17 * 1024 * 1024, WINDOW_BYTES_MIN = 128 * 1024 };

static uint8_t windows[WINDOWS][WINDOW_BYTES];
static bool window_used[WINDOWS];

/* NULL: all are given out. */
static void *take_window(void)
{
    for (size_t i = 0; i < WINDOWS; i++) {
        if (!window_used[i]) {
            window_used[i] = true;
            return windows[i];
        }
    }
    return NULL;
}

static void *resize_window(struct alloc *alloc, void *memory, size_t bytes)
{
    (void)alloc;
    for (size_t i = 0; i < WINDOWS; i++) {
        if (memory == windows[i]) {
            window_used[i] = bytes > 0;
            return bytes == 0 || bytes > WINDOW_BYTES ? NULL : memory;
        }
    }
    void *window =
        memory == NULL && bytes >= WINDOW_BYTES_MIN && bytes <= WINDOW_BYTES ? take_window() : NULL;
    return window != NULL ? window : alloc_default()->resize(alloc_default(), memory, bytes);
}

struct alloc *fuzz_window_alloc(void)
{
    static struct alloc alloc = {.resize = resize_window};
    return &alloc;
}

const char *fuzz_source_dir(void)
{
    const char *root = getenv("ESTREAT_SOURCE_DIR");
    return root == NULL ? ESTREAT_SOURCE_ROOT : root;
}

void fuzz_golden(const char *name, struct buf *out)
{
    char path[PATH_BYTES_MAX];
    struct error err = ERROR_INIT;
    (void)snprintf(path, sizeof path, "%.3000s/tests/golden/%.200s", fuzz_source_dir(), name);
    if (fs_read_file(fs_posix(), path, out, &err) != STATUS_OK) {
        (void)fprintf(stderr, "%s\n", err.text);
        exit(EXIT_FAILURE);
    }
}
