/* SPDX-License-Identifier: Apache-2.0 */
#include "seeds.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "fuzz.h"

enum { NAME_BYTES_MAX = 64 };

struct names {
    char of[SEEDS_MAX][NAME_BYTES_MAX];
    unsigned count;
};

__attribute__((format(printf, 1, 2))) static void end(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    (void)fputc('\n', stderr);
    exit(EXIT_FAILURE);
}

static struct buf *add(struct seeds *seeds)
{
    if (seeds->count == SEEDS_MAX) {
        end("there are more than %u seeds: raise that in seeds.h", SEEDS_MAX);
    }
    struct buf *seed = &seeds->of[seeds->count++];
    buf_init(seed, alloc_default(), 1UL << 20);
    return seed;
}

/* libFuzzer would cut what is longer, and never see its end. */
static void check_length(const struct buf *seed, const char *what)
{
    CHECK(!buf_failed(seed));
    if (seed->length > FUZZ_INPUT_BYTES_MAX) {
        end("%s has %zu bytes, and an input %lu at most: see fuzz.h", what, seed->length,
            FUZZ_INPUT_BYTES_MAX);
    }
}

static void load_golden(struct seeds *seeds)
{
    char what[32];
    unsigned n = 0;
    for (struct buf *seed = add(seeds); fuzz_seed(n, seed); seed = add(seeds)) {
        (void)snprintf(what, sizeof what, "seed %u", n++);
        check_length(seed, what);
    }
    buf_release(&seeds->of[--seeds->count]);
    CHECK(n > 0 && n == seeds->count);
    seeds->golden = n;
}

static enum status take_name(void *context, const char *name, struct error *err)
{
    struct names *names = context;
    if (names->count == SEEDS_MAX || strlen(name) >= NAME_BYTES_MAX) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED,
                         "%.100s is one too many, or too long a name", name);
    }
    (void)snprintf(names->of[names->count++], NAME_BYTES_MAX, "%s", name);
    return STATUS_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* By name, so that a run can be replayed from its seed wherever the files lie. */
static void load_corpus(struct seeds *seeds, const char *dir)
{
    static struct names names;
    struct error err = ERROR_INIT;
    if (fs_list(fs_posix(), dir, take_name, &names, &err) != STATUS_OK) {
        end("%s", err.text);
    }
    if (names.count == 0) {
        end("%s: no inputs", dir);
    }
    qsort(names.of, names.count, NAME_BYTES_MAX, by_name);
    for (unsigned i = 0; i < names.count; i++) {
        char path[PATH_BYTES_MAX];
        struct buf *seed = add(seeds);
        if (path_join(path, dir, names.of[i], &err) != STATUS_OK ||
            fs_read_file(fs_posix(), path, seed, &err) != STATUS_OK) {
            end("%s", err.text);
        }
        check_length(seed, path);
    }
}

void seeds_load(struct seeds *seeds, const char *target)
{
    char dir[PATH_BYTES_MAX];
    seeds->count = 0;
    load_golden(seeds);
    (void)snprintf(dir, sizeof dir, "%.3000s/tests/fuzz/corpus/%.100s", fuzz_source_dir(), target);
    load_corpus(seeds, dir);
}

void seeds_release(struct seeds *seeds)
{
    for (unsigned i = 0; i < seeds->count; i++) {
        buf_release(&seeds->of[i]);
    }
}
