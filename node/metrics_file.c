/* SPDX-License-Identifier: Apache-2.0 */
#include "node/metrics_file.h"

#include "base/log.h"
#include "base/sync.h"
#include "storage/metrics.h"

struct metrics_file {
    struct metrics_file_options options;
    pthread_t thread;
    struct buf text; /* the thread's, as the next */
    bool failing;    /* and that was logged */
    struct mutex mutex;
    struct condition stop;
    bool stopping; /* with the mutex held */
};

static void warn(const char *message, const char *text)
{
    char quoted[2 * ERROR_TEXT_BYTES];
    log_write("metrics", LOG_WARN, message, "error=%s", log_quote(quoted, sizeof quoted, text));
}

static enum status write_file(struct metrics_file *file, struct error *err)
{
    const struct metrics_file_options *options = &file->options;
    char path[PATH_BYTES_MAX];
    buf_clear(&file->text);
    options->write(options->context, &file->text);
    if (buf_failed(&file->text)) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for the text of metrics");
    }
    enum status status = path_join(path, options->dir, STORAGE_METRICS_FILE, err);
    return status == STATUS_OK
               ? fs_replace_file_unsynced(options->fs, path, buf_slice(&file->text), err)
               : status;
}

static void write_or_warn(struct metrics_file *file)
{
    struct error err = ERROR_INIT;
    bool failed = write_file(file, &err) != STATUS_OK;
    if (failed && !file->failing) {
        warn("cannot be written", err.text);
    }
    file->failing = failed;
}

/* Returns false at the stop, which ends the pause. */
static bool pause_or_stop(struct metrics_file *file)
{
    mutex_lock(&file->mutex);
    bool timed_out = false;
    while (!file->stopping && !timed_out) {
        timed_out = !condition_wait_for(&file->stop, &file->mutex, file->options.pause_ns);
    }
    bool stopping = file->stopping;
    mutex_unlock(&file->mutex);
    return !stopping;
}

static void *run(void *context)
{
    struct metrics_file *file = context;
    while (pause_or_stop(file)) {
        write_or_warn(file);
    }
    write_or_warn(file);
    return NULL;
}

static void release(struct metrics_file *file)
{
    condition_release(&file->stop);
    mutex_release(&file->mutex);
    buf_release(&file->text);
    alloc_free(file->options.alloc, file);
}

struct metrics_file *metrics_file_start(const struct metrics_file_options *options)
{
    struct metrics_file *file = alloc_zeroed(options->alloc, 1, sizeof *file);
    if (file == NULL) {
        warn("are not written", "no memory");
        return NULL;
    }
    file->options = *options;
    file->options.pause_ns = options->pause_ns == 0 ? METRICS_FILE_PAUSE_NS : options->pause_ns;
    buf_init(&file->text, options->alloc, STORAGE_METRICS_BYTES_MAX);
    mutex_init(&file->mutex);
    condition_init(&file->stop);
    if (!thread_start(&file->thread, "metrics", run, file)) {
        warn("are not written", "no thread");
        release(file);
        return NULL;
    }
    return file;
}

void metrics_file_stop(struct metrics_file *file)
{
    if (file == NULL) {
        return;
    }
    mutex_lock(&file->mutex);
    file->stopping = true;
    condition_signal(&file->stop);
    mutex_unlock(&file->mutex);
    thread_join(file->thread);
    release(file);
}
