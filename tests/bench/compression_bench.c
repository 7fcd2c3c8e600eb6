/* SPDX-License-Identifier: Apache-2.0
 *
 * compression_bench: what logs take in the engine alone. The lines of each file, over and over up
 * to LINES (100,000), become events: the file's name is the key, the line the payload, and times
 * rise by 1 to 200 us. They are written in batches, flushed and compacted; then: bytes of the
 * lines, of tables and manifest, and their ratio. What is stored is read again and compared.
 *
 *   compression_bench [--salt] [--lines N] [--block BYTES] [--dictionary BYTES] FILE...
 *
 * With --salt each event has its 16 random bytes, as the node's default is; nothing makes those
 * smaller. --block and --dictionary are other settings than the node's for compacted events; 0: no
 * dictionary, which is the default here, since the repeats of a log would help one: for an honest
 * figure of a dictionary give no more --lines than the files have. Exits 1 if the mean of the
 * ratios is below 6 or one is below 3.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/job.h"
#include "base/rng.h"
#include "node/event_record.h"
#include "node/keyspaces.h"
#include "storage/engine.h"

#define GOAL_MEAN 6.0
#define GOAL_EACH 3.0
#define FILE_BYTES_MAX (256 * MIB)

enum { BATCH_EVENTS = 64, JOB_THREADS = 2, TIME_STEP_MAX_NS = 200000, EXIT_USAGE = 64 };

struct lines {
    char *bytes;
    struct slice *of;
    size_t count;
};

static void must(enum status status, const struct error *err)
{
    if (status != STATUS_OK) {
        fprintf(stderr, "%s: %s\n", status_name(status), err->text);
        exit(2);
    }
}

static void read_lines(const char *path, struct lines *out)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        exit(2);
    }
    out->bytes = malloc(FILE_BYTES_MAX);
    CHECK(out->bytes != NULL);
    size_t length = fread(out->bytes, 1, FILE_BYTES_MAX, file);
    CHECK(fclose(file) == 0);
    out->of = malloc((length + 1) * sizeof *out->of);
    CHECK(out->of != NULL);
    out->count = 0;
    for (size_t at = 0; at < length;) {
        const char *end = memchr(out->bytes + at, '\n', length - at);
        size_t bytes = end == NULL ? length - at : (size_t)(end - out->bytes) - at;
        out->of[out->count++] = slice_of((const uint8_t *)out->bytes + at, bytes);
        at += bytes + 1;
    }
    if (out->count == 0) {
        fprintf(stderr, "%s: no lines\n", path);
        exit(2);
    }
}

struct event_maker {
    const struct lines *lines;
    struct slice key;
    bool salted;
    struct rng_seeded rng;
    uint64_t time_ns;
    uint8_t salt[SALT_BYTES];
};

static struct event_record make_event(struct event_maker *maker, uint64_t position)
{
    maker->time_ns += 1000 + rng_below(&maker->rng.rng, TIME_STEP_MAX_NS);
    if (maker->salted) {
        rng_fill(&maker->rng.rng, maker->salt, sizeof maker->salt);
    }
    return (struct event_record){.position = position,
                                 .time_ns = maker->time_ns,
                                 .version = position + 1,
                                 .kind = position == 0 ? EVENT_KIND_CREATE : EVENT_KIND_UPDATE,
                                 .key = maker->key,
                                 .type = slice_of_string("log"),
                                 .salt = slice_of(maker->salt, maker->salted ? SALT_BYTES : 0),
                                 .payload = maker->lines->of[position % maker->lines->count]};
}

static void fill(struct engine *engine, struct event_maker *maker, uint64_t count)
{
    struct error err = ERROR_INIT;
    struct batch batch;
    batch_init(&batch, alloc_default());
    for (uint64_t i = 0; i < count; i++) {
        uint8_t key[POSITION_KEY_BYTES];
        struct event_record record = make_event(maker, i);
        position_key(i, key);
        uint8_t *to = batch_put_space(&batch, KEYSPACE_EVENTS, slice_of(key, sizeof key),
                                      event_record_length(&record));
        CHECK(to != NULL);
        event_record_encode(&record, to);
        if (i % BATCH_EVENTS == BATCH_EVENTS - 1 || i + 1 == count) {
            must(engine_write(engine, &batch, &err), &err);
            batch_clear(&batch);
        }
        if (engine_should_seal(engine)) {
            must(engine_seal(engine, slice_of(NULL, 0), &err), &err);
        }
    }
    batch_release(&batch);
    must(engine_seal(engine, slice_of(NULL, 0), &err), &err);
    must(engine_flush(engine, &err), &err);
    must(engine_compact(engine, &err), &err);
}

/* All events are there, as they were made. */
static void compare(struct engine *engine, struct event_maker *maker, uint64_t count)
{
    struct error err = ERROR_INIT;
    struct engine_iter *iter = NULL;
    uint64_t position = 0;
    must(engine_iter_new(engine, NULL, KEYSPACE_EVENTS, NULL, &iter, &err), &err);
    for (engine_iter_seek_first(iter); engine_iter_valid(iter); engine_iter_next(iter)) {
        struct event_record expected = make_event(maker, position);
        struct event_record found;
        must(event_record_decode(position, engine_iter_value(iter), &found, &err), &err);
        CHECK(found.time_ns == expected.time_ns && slice_equal(found.salt, expected.salt) &&
              slice_equal(found.payload, expected.payload));
        position++;
    }
    must(engine_iter_status(iter, &err), &err);
    CHECK(position == count);
    engine_iter_close(iter);
}

/* Of all in the directory: tables and manifest. */
static uint64_t directory_bytes(const char *dir)
{
    char command[PATH_BYTES_MAX + 32];
    uint64_t bytes = 0;
    (void)snprintf(command, sizeof command, "du -sb --apparent-size '%s'/*", dir);
    FILE *pipe = popen(command, "r");
    CHECK(pipe != NULL);
    char line[512];
    while (fgets(line, sizeof line, pipe) != NULL) {
        bytes += strtoull(line, NULL, 10);
    }
    CHECK(pclose(pipe) == 0);
    return bytes;
}

static struct keyspace_options keyspaces[KEYSPACE_COUNT];

static double measure(const char *path, uint64_t count, bool salted)
{
    struct error err = ERROR_INIT;
    struct lines lines;
    char dir[] = "/tmp/estreat-compression.XXXXXX";
    read_lines(path, &lines);
    CHECK(mkdtemp(dir) != NULL);
    const char *name = strrchr(path, '/') == NULL ? path : strrchr(path, '/') + 1;
    struct event_maker maker = {.lines = &lines, .key = slice_of_string(name), .salted = salted};
    maker.time_ns = 1700000000 * NS_PER_S;
    rng_seeded_init(&maker.rng, 1);
    struct event_maker again = maker;
    rng_seeded_init(&again.rng, 1);
    struct executor *executor = NULL;
    must(executor_open_threads(alloc_default(), "jobs", JOB_THREADS, &executor, &err), &err);
    struct engine *engine = NULL;
    const struct engine_options options = {.fs = fs_posix(),
                                           .executor = executor,
                                           .dir = dir,
                                           .keyspaces = keyspaces,
                                           .keyspace_count = KEYSPACE_COUNT,
                                           .memtable_bytes = 4 * MIB};
    must(engine_open(&options, &engine, &err), &err);
    uint64_t raw = 0;
    for (uint64_t i = 0; i < count; i++) {
        raw += lines.of[i % lines.count].length + 1;
    }
    uint64_t began_ns = clock_monotonic_ns(clock_system());
    fill(engine, &maker, count);
    double fill_s = (double)(clock_monotonic_ns(clock_system()) - began_ns) / 1e9;
    began_ns = clock_monotonic_ns(clock_system());
    compare(engine, &again, count);
    double read_s = (double)(clock_monotonic_ns(clock_system()) - began_ns) / 1e9;
    executor_close(executor);
    engine_close(engine);
    uint64_t stored = directory_bytes(dir);
    double ratio = (double)raw / (double)stored;
    printf("%-20s %10" PRIu64 " bytes -> %9" PRIu64
           ": %5.2f (filled and compacted in %.2f s, read in "
           "%.2f s)\n",
           name, raw, stored, ratio, fill_s, read_s);
    char command[PATH_BYTES_MAX];
    (void)snprintf(command, sizeof command, "rm -r '%s'", dir);
    CHECK(system(command) == 0);
    free(lines.bytes);
    free(lines.of);
    return ratio;
}

int main(int argc, char **argv)
{
    uint64_t count = 100000;
    bool salted = false;
    int at = 1;
    memcpy(keyspaces, keyspaces_layout(), sizeof keyspaces);
    keyspaces[KEYSPACE_EVENTS].dictionary_bytes_old = 0;
    for (; at < argc && argv[at][0] == '-'; at++) {
        if (strcmp(argv[at], "--salt") == 0) {
            salted = true;
        } else if (strcmp(argv[at], "--lines") == 0 && at + 1 < argc) {
            count = strtoull(argv[++at], NULL, 10);
        } else if (strcmp(argv[at], "--block") == 0 && at + 1 < argc) {
            keyspaces[KEYSPACE_EVENTS].block_bytes_old = strtoull(argv[++at], NULL, 10);
        } else if (strcmp(argv[at], "--dictionary") == 0 && at + 1 < argc) {
            keyspaces[KEYSPACE_EVENTS].dictionary_bytes_old =
                (unsigned)strtoull(argv[++at], NULL, 10);
        } else {
            count = 0;
        }
    }
    if (at == argc || count == 0) {
        fprintf(stderr, "usage: compression_bench [--salt] [--lines N] [--block BYTES] "
                        "[--dictionary BYTES] FILE...\n");
        return EXIT_USAGE;
    }
    double sum = 0;
    bool each = true;
    int files = argc - at;
    for (; at < argc; at++) {
        double ratio = measure(argv[at], count, salted);
        sum += ratio;
        each = each && ratio >= GOAL_EACH;
    }
    printf("mean %.2f (goal %.0f), each at least %.0f: %s\n", sum / files, GOAL_MEAN, GOAL_EACH,
           each ? "yes" : "no");
    return sum / files >= GOAL_MEAN && each ? 0 : 1;
}
