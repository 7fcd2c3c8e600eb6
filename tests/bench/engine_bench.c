/* SPDX-License-Identifier: Apache-2.0
 *
 * engine_bench: what the engine does by itself, under the names, flags and result lines
 * of RocksDB's db_bench, and with its keys, values and orders of access: see usage().
 * The engine writes to a log of its own (storage/store.h); one leveled keyspace, or, which db_bench
 * has not, one of events as a node's.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/metrics.h"
#include "base/rng.h"
#include "base/sync.h"
#include "storage/engine_metrics.h"
#include "storage/store.h"

enum {
    BENCH_KEY_MIN = 8,
    BENCH_KEY_MAX = 256,
    THREADS_MAX = 64,
    VALUES_BYTES = 1 << 20,
    PIECE_BYTES = 100, /* of a value: one half is random, the other repeats it */
    SETTLE_NS = 20000000,
    EVENT_KEY_BYTES = 8, /* its position */
    EVENT_TIME_PLACE = 1,
    EVENT_STEP_NS_MAX = 200000,
};

/* --- flags --------------------------------------------------------------------------------- */

static const char *benchmarks = "fillseq,fillrandom,overwrite,readrandom,readmissing,readseq,"
                                "readreverse,seekrandom,fillsync";
static const char *compression = "lz4";
static const char *db;
static uint64_t num = 1000000;
static uint64_t reads; /* 0: num */
static uint64_t thread_count = 1;
static uint64_t key_size = 16;
static uint64_t value_size = 300;
static uint64_t bloom_bits = 10;
static uint64_t cache_size = 64 * MIB;
static uint64_t write_buffer_size = 64 * MIB;
static uint64_t block_size = 4096;
static uint64_t seek_nexts = 50;
static uint64_t seed = 1;
static uint64_t use_existing_db;
static uint64_t want_histogram;
static uint64_t of_events;

static const struct {
    const char *name;
    uint64_t *value;
} numbers[] = {
    {"num", &num},
    {"reads", &reads},
    {"threads", &thread_count},
    {"key_size", &key_size},
    {"value_size", &value_size},
    {"bloom_bits", &bloom_bits},
    {"cache_size", &cache_size},
    {"write_buffer_size", &write_buffer_size},
    {"block_size", &block_size},
    {"seek_nexts", &seek_nexts},
    {"seed", &seed},
    {"use_existing_db", &use_existing_db},
    {"histogram", &want_histogram},
    {"events", &of_events},
};

static const struct {
    const char *name;
    const char **value;
} texts[] = {
    {"benchmarks", &benchmarks},
    {"compression_type", &compression},
    {"db", &db},
};

/* The terms on which db_bench is run, and the only ones here. */
static const struct {
    const char *name;
    const char *value;
} terms[] = {
    {"compression_ratio", "0.5"},
    {"disable_wal", "false"},
    {"max_background_jobs", "2"},
    {"verify_checksum", "true"},
};

static void usage(FILE *to)
{
    fputs("usage: engine_bench --db=DIRECTORY [--FLAG=VALUE]...\n"
          "\n"
          "Runs the --benchmarks of a list and prints a line for each, as RocksDB's db_bench:\n"
          "  fillseq fillrandom      a new store; --num puts in order, or of random keys\n"
          "  fillsync                the same, of --num / 1000 keys, each put on disk at once\n"
          "  overwrite               --num puts of random keys\n"
          "  readrandom readmissing  --reads gets of random keys; of such as are not there\n"
          "  readseq readreverse     --reads steps from the first, or the last, key\n"
          "  seekrandom              --reads seeks, with --seek_nexts steps after each\n"
          "  flush compact waitforcompaction stats\n"
          "  fillevents              a new store of events; --num of them, by one thread\n"
          "  open                    the store is closed, and opened again; that takes so long\n"
          "--num and --reads are of each thread. What is written is logged, and synced only by\n"
          "fillsync. Checksums are verified by each read from the disk. --histogram=1 prints how\n"
          "long operations took, in microseconds. --events=1: the store has events in place of "
          "keys, as\n"
          "fillevents makes them. Flags and defaults:\n"
          "  --db=DIRECTORY --benchmarks=NAME,... --compression_type=lz4|zstd|none|adaptive\n",
          to);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        fprintf(to, "  --%s=%" PRIu64 "%s\n", numbers[i].name, *numbers[i].value,
                numbers[i].value == &reads ? " (as --num)" : "");
    }
    for (size_t i = 0; i < sizeof terms / sizeof *terms; i++) {
        fprintf(to, "  --%s=%s, always\n", terms[i].name, terms[i].value);
    }
}

static void wrong_usage(const char *what)
{
    fprintf(stderr, "engine_bench: %s; see --help\n", what);
    exit(64);
}

static uint64_t parse_number(const char *text)
{
    char *end = NULL;
    if (text[0] < '0' || text[0] > '9') {
        wrong_usage("a flag's value is not a number");
    }
    uint64_t value = strtoull(text, &end, 10);
    if (*end != '\0') {
        wrong_usage("a flag's value is not a number");
    }
    return value;
}

static bool parse_flag(const char *name, size_t length, const char *value)
{
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (strlen(numbers[i].name) == length && memcmp(numbers[i].name, name, length) == 0) {
            *numbers[i].value = parse_number(value);
            return true;
        }
    }
    for (size_t i = 0; i < sizeof terms / sizeof *terms; i++) {
        if (strlen(terms[i].name) == length && memcmp(terms[i].name, name, length) == 0) {
            if (strcmp(terms[i].value, value) != 0) {
                wrong_usage("a flag's value is none that there is here");
            }
            return true;
        }
    }
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (strlen(texts[i].name) == length && memcmp(texts[i].name, name, length) == 0) {
            *texts[i].value = value;
            return true;
        }
    }
    return false;
}

static void parse_flags(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *equals = strchr(argv[i], '=');
        if (strcmp(argv[i], "--help") == 0) {
            usage(stdout);
            exit(0);
        }
        if (strncmp(argv[i], "--", 2) != 0 || equals == NULL ||
            !parse_flag(argv[i] + 2, (size_t)(equals - argv[i]) - 2, equals + 1)) {
            fprintf(stderr, "engine_bench: unknown flag %s; see --help\n", argv[i]);
            exit(64);
        }
    }
    if (db == NULL) {
        wrong_usage("--db is missing");
    }
    if (key_size < BENCH_KEY_MIN || key_size > BENCH_KEY_MAX || value_size > VALUES_BYTES / 2 ||
        num == 0 || thread_count == 0 || thread_count > THREADS_MAX) {
        wrong_usage("a flag's value is out of range");
    }
    reads = reads == 0 ? num : reads;
}

static enum codec codec_of(const char *name)
{
    enum codec codec = CODEC_NONE;
    if (!codec_from_name(name, &codec)) {
        wrong_usage("--compression_type is not one of lz4, zstd, none, adaptive");
    }
    return codec;
}

/* --- the store ----------------------------------------------------------------------------- */

static struct store *store;
static uint8_t values[VALUES_BYTES];

static uint64_t now_ns(void)
{
    return clock_monotonic_ns(clock_system());
}

static void must(enum status status, const struct error *err)
{
    if (status != STATUS_OK) {
        fprintf(stderr, "engine_bench: %s: %s\n", status_name(status), err->text);
        exit(1);
    }
}

static void make_values(void)
{
    struct rng_seeded rng;
    rng_seeded_init(&rng, seed);
    for (size_t at = 0; at < VALUES_BYTES; at += PIECE_BYTES) {
        size_t length = VALUES_BYTES - at < PIECE_BYTES ? VALUES_BYTES - at : PIECE_BYTES;
        for (size_t i = 0; i < length; i++) {
            values[at + i] = i < PIECE_BYTES / 2 ? (uint8_t)(' ' + rng_below(&rng.rng, 95))
                                                 : values[at + i - PIECE_BYTES / 2];
        }
    }
}

struct removal {
    const char *dir;
};

static enum status remove_name(void *context, const char *name, struct error *err)
{
    const struct removal *removal = context;
    char path[PATH_BYTES_MAX];
    enum status status = path_join(path, removal->dir, name, err);
    return status == STATUS_OK ? fs_unlink(fs_posix(), path, err) : status;
}

static void remove_store(void)
{
    static const char *const names[] = {"tables", "log"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct error err = ERROR_INIT;
        char path[PATH_BYTES_MAX];
        bool exists = false;
        must(path_join(path, db, names[i], &err), &err);
        must(fs_exists(fs_posix(), path, &exists, &err), &err);
        if (exists) {
            struct removal removal = {.dir = path};
            must(fs_list(fs_posix(), path, remove_name, &removal, &err), &err);
        }
    }
}

static struct keyspace_options keyed_keyspace(void)
{
    enum codec codec = codec_of(compression);
    return (struct keyspace_options){.name = "default",
                                     .layout = KEYSPACE_LEVELED,
                                     .bloom_bits = (unsigned)bloom_bits,
                                     .block_bytes = block_size,
                                     .codec_new = codec,
                                     .codec_old = codec};
}

/* As node/keyspaces.c has it. */
static struct keyspace_options events_keyspace(void)
{
    return (struct keyspace_options){.name = "events",
                                     .layout = KEYSPACE_APPEND,
                                     .block_bytes = 16 * KIB,
                                     .codec_new = CODEC_LZ4,
                                     .codec_old = CODEC_ZSTD,
                                     .zstd_level_old = 1,
                                     .block_bytes_old = 48 * KIB,
                                     .columns_old = true,
                                     .timed = true,
                                     .number_place = EVENT_TIME_PLACE};
}

static void open_store(bool fresh)
{
    struct error err = ERROR_INIT;
    if (store != NULL && !fresh) {
        return;
    }
    store_close(store);
    store = NULL;
    if (fresh && use_existing_db == 0) {
        remove_store();
    }
    struct keyspace_options keyspace = of_events != 0 ? events_keyspace() : keyed_keyspace();
    struct store_options options = {.dir = db,
                                    .engine = {.memtable_bytes = write_buffer_size,
                                               .block_cache_bytes = cache_size,
                                               .keyspaces = &keyspace,
                                               .keyspace_count = 1}};
    must(store_open(&options, &store, &err), &err);
}

/* --- workloads ----------------------------------------------------------------------------- */

struct worker {
    pthread_t thread;
    struct rng_seeded rng;
    size_t value_at;
    uint64_t done;
    uint64_t bytes;
    uint64_t found;
    uint64_t busy_ns;
    uint64_t last_ns; /* --histogram: */
    uint64_t least_ns;
    uint64_t most_ns;
    double squares_us;
    struct histogram latencies;
};

static uint64_t key_count; /* of the workload that runs */
static bool missing;
static bool synced;
static bool in_order;

/* As db_bench's: the number in big-endian order, then zeros in ASCII. */
static struct slice make_key(uint64_t number, uint8_t out[BENCH_KEY_MAX + 1])
{
    size_t length = key_size + (missing ? 1 : 0);
    memset(out, '0', length);
    put_be64(out, number);
    return slice_of(out, length);
}

static struct slice next_value(struct worker *worker)
{
    if (worker->value_at + value_size > VALUES_BYTES) {
        worker->value_at = 0;
    }
    struct slice value = slice_of(values + worker->value_at, value_size);
    worker->value_at += value_size;
    return value;
}

static void count(struct worker *worker, size_t bytes)
{
    worker->done++;
    worker->bytes += bytes;
    if (want_histogram != 0) {
        uint64_t now = now_ns();
        uint64_t took = now - worker->last_ns;
        histogram_record(&worker->latencies, took);
        worker->least_ns = took < worker->least_ns ? took : worker->least_ns;
        worker->most_ns = took > worker->most_ns ? took : worker->most_ns;
        worker->squares_us += (double)took / 1e3 * ((double)took / 1e3);
        worker->last_ns = now;
    }
}

static void do_write(struct worker *worker)
{
    struct error err = ERROR_INIT;
    struct batch batch;
    batch_init(&batch, alloc_default());
    for (uint64_t i = 0; i < num; i++) {
        uint8_t key[BENCH_KEY_MAX + 1];
        uint64_t number = in_order ? i : rng_below(&worker->rng.rng, key_count);
        struct slice name = make_key(number, key);
        batch_clear(&batch);
        batch_put(&batch, 0, name, next_value(worker));
        must(store_write(store, &batch, synced, &err), &err);
        count(worker, name.length + value_size);
    }
    batch_release(&batch);
}

/* A byte, the time, then the value: positions rise by one, times by up to 200 us. */
static void do_write_events(struct worker *worker)
{
    struct error err = ERROR_INIT;
    struct batch batch;
    uint64_t time_ns = UINT64_C(1700000000000000000);
    batch_init(&batch, alloc_default());
    for (uint64_t position = 0; position < num; position++) {
        uint8_t key[EVENT_KEY_BYTES];
        struct slice value = next_value(worker);
        put_be64(key, position);
        time_ns += rng_below(&worker->rng.rng, EVENT_STEP_NS_MAX);
        batch_clear(&batch);
        uint8_t *to = batch_put_space(&batch, 0, slice_of(key, sizeof key),
                                      EVENT_TIME_PLACE + TIME_BYTES + value.length);
        CHECK(to != NULL);
        memset(to, 0, EVENT_TIME_PLACE);
        put_le64(to + EVENT_TIME_PLACE, time_ns);
        memcpy(to + EVENT_TIME_PLACE + TIME_BYTES, value.data, value.length);
        must(store_write(store, &batch, false, &err), &err);
        count(worker, sizeof key + EVENT_TIME_PLACE + TIME_BYTES + value.length);
    }
    batch_release(&batch);
}

static void do_read(struct worker *worker)
{
    struct error err = ERROR_INIT;
    struct buf value;
    buf_init(&value, alloc_default(), KEYSPACE_VALUE_BYTES_MAX);
    for (uint64_t i = 0; i < reads; i++) {
        uint8_t key[BENCH_KEY_MAX + 1];
        struct slice name = make_key(rng_below(&worker->rng.rng, key_count), key);
        enum status status = engine_get(store_engine(store), NULL, 0, name, &value, &err);
        if (status == STATUS_OK) {
            worker->found++;
            count(worker, name.length + value.length);
            continue;
        }
        if (status != STATUS_NOT_FOUND) {
            must(status, &err);
        }
        count(worker, 0);
    }
    buf_release(&value);
}

static size_t take_pair(const struct engine_iter *iter, uint8_t *out)
{
    struct slice key = engine_iter_key(iter);
    struct slice value = engine_iter_value(iter);
    if (out != NULL) {
        CHECK(key.length <= BENCH_KEY_MAX);
        CHECK(value.length <= VALUES_BYTES);
        memcpy(out, key.data, key.length);
        memcpy(out + key.length, value.data, value.length);
    }
    return key.length + value.length;
}

static void walk(struct worker *worker, bool backward)
{
    struct error err = ERROR_INIT;
    struct engine_iter *iter = NULL;
    struct engine_iter_options options = {.readahead = true};
    must(engine_iter_new(store_engine(store), NULL, 0, &options, &iter, &err), &err);
    backward ? engine_iter_seek_last(iter) : engine_iter_seek_first(iter);
    for (uint64_t i = 0; i < reads && engine_iter_valid(iter); i++) {
        count(worker, take_pair(iter, NULL));
        backward ? engine_iter_prev(iter) : engine_iter_next(iter);
    }
    must(engine_iter_status(iter, &err), &err);
    engine_iter_close(iter);
}

static void do_read_seq(struct worker *worker)
{
    walk(worker, false);
}

static void do_read_reverse(struct worker *worker)
{
    walk(worker, true);
}

static void do_seek(struct worker *worker)
{
    struct error err = ERROR_INIT;
    uint8_t *pair = malloc(BENCH_KEY_MAX + VALUES_BYTES);
    CHECK(pair != NULL);
    for (uint64_t i = 0; i < reads; i++) {
        uint8_t key[BENCH_KEY_MAX + 1];
        struct slice name = make_key(rng_below(&worker->rng.rng, key_count), key);
        struct engine_iter *iter = NULL;
        size_t bytes = 0;
        must(engine_iter_new(store_engine(store), NULL, 0, NULL, &iter, &err), &err);
        engine_iter_seek(iter, name);
        if (engine_iter_valid(iter) && slice_equal(engine_iter_key(iter), name)) {
            worker->found++;
        }
        for (uint64_t step = 0; step < seek_nexts && engine_iter_valid(iter); step++) {
            bytes += take_pair(iter, pair);
            engine_iter_next(iter);
        }
        must(engine_iter_status(iter, &err), &err);
        engine_iter_close(iter);
        count(worker, bytes);
    }
    free(pair);
}

/* --- what is not measured ------------------------------------------------------------------ */

static void do_flush(void)
{
    struct error err = ERROR_INIT;
    must(store_flush(store, &err), &err);
}

static void do_wait(void)
{
    struct engine_stats stats;
    do {
        struct timespec time = {.tv_nsec = SETTLE_NS};
        (void)nanosleep(&time, NULL);
        engine_stats(store_engine(store), &stats);
    } while (stats.immutable_count > 0 || stats.compaction_due);
}

static void do_compact(void)
{
    struct error err = ERROR_INIT;
    do_flush();
    must(store_compact(store, &err), &err);
}

/* Its log is written again into memtables: what was not flushed. */
static void do_open(void)
{
    open_store(false);
}

static void do_stats(void)
{
    struct buf text;
    buf_init(&text, alloc_default(), 1 * MIB);
    engine_metrics_write(store_engine(store), &text);
    printf("%.*s", (int)text.length, (const char *)text.data);
    printf("estreat_wal_bytes_total %" PRIu64 "\n", counter_get(&store_log_metrics(store)->bytes));
    buf_release(&text);
}

/* --- running ------------------------------------------------------------------------------- */

struct workload {
    const char *name;
    void (*each)(struct worker *worker); /* on each thread */
    void (*once)(void);
    bool fresh;
    bool in_order;
    bool synced;
    bool missing;
    bool counts_found;
    bool events;  /* the store is of events from then on */
    bool reopens; /* begins with the store closed */
};

static const struct workload workloads[] = {
    {.name = "fillseq", .each = do_write, .fresh = true, .in_order = true},
    {.name = "fillrandom", .each = do_write, .fresh = true},
    {.name = "fillsync", .each = do_write, .fresh = true, .synced = true},
    {.name = "overwrite", .each = do_write},
    {.name = "readrandom", .each = do_read, .counts_found = true},
    {.name = "readmissing", .each = do_read, .missing = true, .counts_found = true},
    {.name = "readseq", .each = do_read_seq},
    {.name = "readreverse", .each = do_read_reverse},
    {.name = "seekrandom", .each = do_seek, .counts_found = true},
    {.name = "flush", .once = do_flush},
    {.name = "compact", .once = do_compact},
    {.name = "waitforcompaction", .once = do_wait},
    {.name = "stats", .once = do_stats},
    {.name = "fillevents", .each = do_write_events, .fresh = true, .events = true},
    {.name = "open", .once = do_open, .reopens = true},
};

static const struct workload *running;
static uint64_t threads_started; /* of all workloads: each has numbers of its own */

static void *run_worker(void *context)
{
    struct worker *worker = context;
    uint64_t began = now_ns();
    worker->last_ns = began;
    running->each(worker);
    worker->busy_ns = now_ns() - began;
    return NULL;
}

static void print_result(const struct worker *sum, double seconds)
{
    char found[64] = "";
    if (running->counts_found) {
        (void)snprintf(found, sizeof found, " (%" PRIu64 " of %" PRIu64 " found)", sum->found,
                       sum->done);
    }
    printf(
        "%-12s : %11.3f micros/op %.0f ops/sec %.3f seconds %" PRIu64 " operations; %6.1f MB/s%s\n",
        running->name, (double)sum->busy_ns / 1e3 / (double)sum->done, (double)sum->done / seconds,
        seconds, sum->done, (double)sum->bytes / (double)MIB / seconds, found);
}

static double quantile_us(struct worker *sum, double quantile)
{
    return (double)histogram_quantile(&sum->latencies, quantile) / 1e3;
}

/* As db_bench does, without its table. */
static void print_latencies(struct worker *sum)
{
    double average = (double)sum->busy_ns / 1e3 / (double)sum->done;
    double variance = sum->squares_us / (double)sum->done - average * average;
    printf("Microseconds per %s:\n",
           running->each == do_write || running->events ? "write" : "read");
    printf("Count: %" PRIu64 " Average: %.4f  StdDev: %.2f\n", sum->done, average,
           sqrt(variance < 0 ? 0 : variance));
    printf("Min: %" PRIu64 "  Median: %.4f  Max: %" PRIu64 "\n", sum->least_ns / 1000,
           quantile_us(sum, 0.5), sum->most_ns / 1000);
    printf("Percentiles: P50: %.2f P75: %.2f P99: %.2f P99.9: %.2f P99.99: %.2f\n",
           quantile_us(sum, 0.5), quantile_us(sum, 0.75), quantile_us(sum, 0.99),
           quantile_us(sum, 0.999), quantile_us(sum, 0.9999));
}

static void add_latencies(struct worker *sum, struct worker *worker)
{
    histogram_merge(&sum->latencies, &worker->latencies);
    sum->least_ns = worker->least_ns < sum->least_ns ? worker->least_ns : sum->least_ns;
    sum->most_ns = worker->most_ns > sum->most_ns ? worker->most_ns : sum->most_ns;
    sum->squares_us += worker->squares_us;
}

static void run_threads(void)
{
    struct worker *workers = calloc(thread_count + 1, sizeof *workers);
    CHECK(workers != NULL);
    struct worker *sum = &workers[thread_count];
    sum->least_ns = UINT64_MAX;
    uint64_t began = now_ns();
    for (uint64_t i = 0; i < thread_count; i++) {
        workers[i].least_ns = UINT64_MAX;
        rng_seeded_init(&workers[i].rng, seed * 1000 + threads_started++);
        CHECK(thread_start(&workers[i].thread, "worker", run_worker, &workers[i]));
    }
    for (uint64_t i = 0; i < thread_count; i++) {
        thread_join(workers[i].thread);
        sum->done += workers[i].done;
        sum->bytes += workers[i].bytes;
        sum->found += workers[i].found;
        sum->busy_ns += workers[i].busy_ns;
        add_latencies(sum, &workers[i]);
    }
    print_result(sum, (double)(now_ns() - began) / 1e9);
    if (want_histogram != 0) {
        print_latencies(sum);
    }
    free(workers);
}

static void run(const struct workload *workload)
{
    running = workload;
    in_order = workload->in_order;
    synced = workload->synced;
    missing = workload->missing;
    key_count = synced && num >= 1000 ? num / 1000 : num;
    if (workload->events) {
        of_events = 1;
    }
    if (of_events != 0 && (thread_count > 1 || (workload->each != NULL && !workload->events))) {
        wrong_usage(
            "a store of events is filled by one thread, and then opened, flushed, compacted");
    }
    if (workload->reopens) {
        store_close(store);
        store = NULL;
    } else {
        open_store(workload->fresh);
    }
    uint64_t began = now_ns();
    if (workload->each != NULL) {
        run_threads();
    } else {
        workload->once();
        printf("%-12s : %.3f seconds\n", workload->name, (double)(now_ns() - began) / 1e9);
    }
    (void)fflush(stdout);
}

static const struct workload *find_workload(const char *name, size_t length)
{
    for (size_t i = 0; i < sizeof workloads / sizeof *workloads; i++) {
        if (strlen(workloads[i].name) == length && memcmp(workloads[i].name, name, length) == 0) {
            return &workloads[i];
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    parse_flags(argc, argv);
    make_values();
    for (const char *name = benchmarks; *name != '\0';) {
        size_t length = strcspn(name, ",");
        const struct workload *workload = find_workload(name, length);
        if (workload == NULL) {
            wrong_usage("--benchmarks has an unknown name");
        } else {
            run(workload);
        }
        name += length + (name[length] == ',' ? 1 : 0);
    }
    store_close(store);
    return 0;
}
