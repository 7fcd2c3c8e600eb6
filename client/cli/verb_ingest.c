/* SPDX-License-Identifier: Apache-2.0
 *
 * The verb ingest: the files of each key in their order, by ingest.h; several keys at
 * the same time, each on a thread of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/sync.h"
#include "cli/cli.h"
#include "cli/ingest.h"
#include "cli/progress.h"

/* One request of each is under way: more would fill the leader's queue, not its disk. */
enum { FILES_AT_A_TIME = 4 };

/* A leader that dies is replaced within seconds, but a machine may take its time. */
enum { PROGRESS_TIMEOUT_MS = 60000, REACH_TIMEOUT_MS = 10000 };

struct ingest_file {
    const char *path;
    const char *key;
    struct stat info;
    int fd; /* -1: not open */
    enum status status;
    struct error err;
    struct ingest_result result;
};

struct ingest_job {
    struct cli *cli;
    struct estreat_client *client;
    struct ingest_file *files; /* owned */
    size_t count;
    uint64_t batch;
    uint64_t repeat;
    uint32_t timeout_ms; /* of a request */
    uint32_t reach_ms;   /* until the first answer */
    struct mutex mutex;
    size_t next; /* file */
    uint64_t events;
    uint64_t bytes;
    uint64_t bytes_total; /* 0: not known */
    struct progress progress;
};

static void on_progress(void *context, size_t events, uint64_t bytes)
{
    struct ingest_job *job = context;
    mutex_lock(&job->mutex);
    job->events += events;
    job->bytes += bytes;
    const struct progress_state state = {
        .what = "ingest", .done = job->bytes, .total = job->bytes_total, .events = job->events};
    mutex_unlock(&job->mutex);
    progress_show(&job->progress, &state);
}

static void ingest_file(struct ingest_job *job, struct ingest_file *file)
{
    const struct ingest_options options = {
        .name = file->fd == STDIN_FILENO ? "stdin" : file->path,
        .fd = file->fd,
        .key = estreat_text(file->key),
        .batch = (size_t)job->batch,
        .repeat = job->repeat,
        .timeout_ms = job->timeout_ms,
        .progress = on_progress,
        .context = job,
    };
    file->status = ingest_run(job->client, &options, &file->result, &file->err);
}

static bool is_first_of_key(const struct ingest_job *job, size_t index)
{
    for (size_t i = 0; i < index; i++) {
        if (strcmp(job->files[i].key, job->files[index].key) == 0) {
            return false;
        }
    }
    return true;
}

/* The files of one key go one after another, in the order of their naming: its history is theirs.
 * After one that failed the others would stand at the wrong place. */
static void ingest_key(struct ingest_job *job, size_t first)
{
    const char *failed = NULL;
    for (size_t i = first; i < job->count; i++) {
        struct ingest_file *file = &job->files[i];
        if (strcmp(file->key, job->files[first].key) != 0) {
            continue;
        }
        if (failed != NULL) {
            file->status = error_set(&file->err, STATUS_CANCELLED,
                                     "%s: not read, since %s before it failed", file->path, failed);
            continue;
        }
        ingest_file(job, file);
        failed = file->status == STATUS_OK ? NULL : file->path;
    }
}

static void *run_worker(void *context)
{
    struct ingest_job *job = context;
    for (;;) {
        mutex_lock(&job->mutex);
        while (job->next < job->count && !is_first_of_key(job, job->next)) {
            job->next++;
        }
        size_t index = job->next++;
        mutex_unlock(&job->mutex);
        if (index >= job->count) {
            return NULL;
        }
        ingest_key(job, index);
    }
}

static void run_workers(struct ingest_job *job)
{
    pthread_t threads[FILES_AT_A_TIME];
    size_t started = 0;
    /* The first worker is this thread. */
    while (started + 1 < job->count && started < FILES_AT_A_TIME - 1 &&
           thread_start(&threads[started], "estreat-ingest", run_worker, job)) {
        started++;
    }
    (void)run_worker(job);
    for (size_t i = 0; i < started; i++) {
        thread_join(threads[i]);
    }
}

/* --- the files ---------------------------------------------------------------------------- */

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

static enum exit_code open_file(struct ingest_job *job, struct ingest_file *file)
{
    const char *key = args_value(&job->cli->args, "key");
    bool is_stdin = strcmp(file->path, "-") == 0;
    if (is_stdin && key == NULL) {
        return cli_fail(job->cli, EXIT_USAGE, "the lines of stdin need a key: --key K");
    }
    if (is_stdin && job->repeat > 1) {
        return cli_fail(job->cli, EXIT_USAGE, "stdin cannot be read more than once");
    }
    file->key = key != NULL ? key : base_name(file->path);
    if (file->key[0] == '\0' || strlen(file->key) > KEY_BYTES_MAX) {
        return cli_fail(job->cli, EXIT_USAGE, "%s: a key of %zu bytes; keys have 1 to %lu",
                        file->path, strlen(file->key), KEY_BYTES_MAX);
    }
    file->fd = is_stdin ? STDIN_FILENO : open(file->path, O_RDONLY | O_CLOEXEC);
    if (file->fd < 0 || fstat(file->fd, &file->info) != 0) {
        return cli_fail(job->cli, EXIT_USAGE, "%s: %s", file->path, strerror(errno));
    }
    if (S_ISDIR(file->info.st_mode)) {
        return cli_fail(job->cli, EXIT_USAGE, "%s: it is a folder", file->path);
    }
    return EXIT_DONE;
}

/* All are opened before the first is read: a name that was mistyped must not cost half a run. */
static enum exit_code open_files(struct ingest_job *job)
{
    bool known = true;
    uint64_t total = 0;
    for (size_t i = 0; i < job->count; i++) {
        enum exit_code code = open_file(job, &job->files[i]);
        if (code != EXIT_DONE) {
            return code;
        }
        known = known && S_ISREG(job->files[i].info.st_mode);
        total += (uint64_t)job->files[i].info.st_size * job->repeat;
    }
    job->bytes_total = known ? total : 0;
    return EXIT_DONE;
}

static void close_files(struct ingest_job *job)
{
    for (size_t i = 0; i < job->count; i++) {
        if (job->files[i].fd > STDIN_FILENO) {
            (void)close(job->files[i].fd);
        }
    }
}

/* --- the result --------------------------------------------------------------------------- */

static void print_result(struct cli *cli, const struct ingest_result *result, double seconds)
{
    struct json json;
    double rate = seconds > 0 ? (double)result->events / seconds : 0;
    if (cli->output != OUTPUT_JSON) {
        (void)fprintf(cli->out, "%lu events", (unsigned long)result->events);
        if (result->events > 0) {
            (void)fprintf(cli->out, ", positions %lu to %lu,", (unsigned long)result->first,
                          (unsigned long)result->last);
        }
        (void)fprintf(cli->out, " in %.3f s: %.0f events/s\n", seconds, rate);
        return;
    }
    json_init(&json, cli->out);
    json_open_object(&json, NULL);
    json_number(&json, "events", result->events);
    if (result->events > 0) {
        json_number(&json, "first", result->first);
        json_number(&json, "last", result->last);
    } else {
        json_null(&json, "first");
        json_null(&json, "last");
    }
    json_fraction(&json, "seconds", seconds, 3);
    json_fraction(&json, "events_per_s", rate, 1);
    json_close_object(&json);
    json_end_line(&json);
}

/* Sums up and tells each failure; the first one's code is the program's. */
static enum exit_code conclude(struct ingest_job *job, double seconds)
{
    struct ingest_result sum = {.events = 0};
    enum exit_code code = EXIT_DONE;
    for (size_t i = 0; i < job->count; i++) {
        const struct ingest_file *file = &job->files[i];
        if (file->result.events > 0) {
            bool first = sum.events == 0;
            sum.first = first || file->result.first < sum.first ? file->result.first : sum.first;
            sum.last = first || file->result.last > sum.last ? file->result.last : sum.last;
            sum.events += file->result.events;
        }
        if (file->status != STATUS_OK) {
            /* Whatever keeps a file from being read is unreadable input. */
            enum exit_code of_file = exit_code_of((enum estreat_code)file->status);
            (void)cli_fail(job->cli, of_file, "%s", file->err.text);
            code = code == EXIT_DONE ? of_file : code;
        }
    }
    print_result(job->cli, &sum, seconds);
    return code;
}

/* The patience that a fail-over needs is not for a mistyped endpoint: somebody must answer within
 * the usual time. */
static enum exit_code find_cluster(struct ingest_job *job)
{
    struct estreat_error error;
    struct estreat_head head;
    const struct estreat_proof_options options = {.consistency = {.level = ESTREAT_LOCAL},
                                                  .timeout_ms = job->reach_ms};
    enum estreat_code code = estreat_head(job->client, &options, NULL, &head, &error);
    if (code == ESTREAT_OK) {
        estreat_free(head.checkpoint);
        return EXIT_DONE;
    }
    if (code == ESTREAT_RESOURCE_EXHAUSTED) {
        return EXIT_DONE; /* one whose disk is full; the leader's may not be */
    }
    return cli_fail_with(job->cli, &error);
}

static enum exit_code run_job(struct ingest_job *job)
{
    enum exit_code code = open_files(job);
    if (code == EXIT_DONE) {
        code = cli_open(job->cli, &job->client);
    }
    if (code != EXIT_DONE) {
        return code;
    }
    code = find_cluster(job);
    if (code != EXIT_DONE) {
        estreat_close(job->client);
        return code;
    }
    uint64_t begin_ns = clock_monotonic_ns(clock_system());
    mutex_init(&job->mutex);
    progress_init(&job->progress, job->cli->err);
    run_workers(job);
    /* Callbacks have left before what they point to goes. */
    estreat_close(job->client);
    progress_release(&job->progress);
    mutex_release(&job->mutex);
    uint64_t end_ns = clock_monotonic_ns(clock_system());
    return conclude(job, (double)(end_ns - begin_ns) / (double)NS_PER_S);
}

static enum exit_code run_ingest(struct cli *cli)
{
    struct ingest_job job = {.cli = cli, .count = cli->args.count};
    job.reach_ms = cli->timeout_ms != 0 ? cli->timeout_ms : REACH_TIMEOUT_MS;
    job.timeout_ms = cli->timeout_ms != 0 ? cli->timeout_ms : PROGRESS_TIMEOUT_MS;
    if (!cli_number(cli, "batch", 0, 1, EVENTS_PER_REQUEST_MAX, &job.batch) ||
        !cli_number(cli, "repeat", 1, 1, 1000000000, &job.repeat)) {
        return EXIT_USAGE;
    }
    job.files = alloc_zeroed(alloc_default(), job.count, sizeof(struct ingest_file));
    if (job.files == NULL) {
        return cli_fail(cli, EXIT_UNKNOWN, "no memory for %zu files", job.count);
    }
    for (size_t i = 0; i < job.count; i++) {
        job.files[i].path = cli->args.positional[i];
        job.files[i].fd = -1;
    }
    enum exit_code code = run_job(&job);
    close_files(&job);
    alloc_free(alloc_default(), job.files);
    return code;
}

static const struct option_spec options[] = {
    {"key", 0, "K", "the events' key (the file's base name)"},
    {"batch", 0, "N", "events a request, 1 to 1024 (256, growing while the disk keeps up)"},
    {"repeat", 0, "N", "read the files N times (1)"},
    {NULL, 0, NULL, NULL},
};

const struct verb verb_ingest = {
    .name = "ingest",
    .synopsis = "FILE|-... [OPTION...]",
    .help = "append each line of files as an event, in order",
    .details = "Only the LF is removed from a line: CR, NUL and empty lines are kept. \"-\" is "
               "stdin. Files of one key are appended one after another, others at the same time.",
    .options = options,
    .arguments_min = 1,
    .arguments_max = SIZE_MAX,
    .run = run_ingest,
};
