/* SPDX-License-Identifier: Apache-2.0 */
#include "node/loader.h"

#include "base/check.h"
#include "base/log.h"
#include "base/sync.h"

struct loader {
    struct alloc *alloc;
    struct intake_queue *intake;
    struct executor *executor;
    struct wal_reader *reader; /* the executor's one thread */
    struct mutex mutex;        /* guards what follows */
    struct entry_load *loads;  /* submitted and not given back */
};

enum status loader_open(struct alloc *alloc, struct wal *wal, struct intake_queue *intake,
                        struct executor *executor, struct loader **out, struct error *err)
{
    struct loader *loader = alloc_zeroed(alloc, 1, sizeof *loader);
    if (loader == NULL) {
        executor_close(executor);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for the loader");
    }
    loader->alloc = alloc;
    loader->intake = intake;
    loader->executor = executor;
    mutex_init(&loader->mutex);
    enum status status = wal_reader_open(wal, &loader->reader, err);
    if (status != STATUS_OK) {
        loader_close(loader);
        return status;
    }
    *out = loader;
    return STATUS_OK;
}

void loader_close(struct loader *loader)
{
    if (loader == NULL) {
        return;
    }
    executor_close(loader->executor);
    while (loader->loads != NULL) {
        struct entry_load *load = loader->loads;
        loader->loads = load->next;
        entry_load_free(load);
    }
    wal_reader_close(loader->reader);
    mutex_release(&loader->mutex);
    alloc_free(loader->alloc, loader);
}

static void give_back(struct loader *loader, struct entry_load *load)
{
    mutex_lock(&loader->mutex);
    struct entry_load **link = &loader->loads;
    while (*link != load) {
        CHECK(*link != NULL);
        link = &(*link)->next;
    }
    *link = load->next;
    mutex_unlock(&loader->mutex);
    intake_push(loader->intake, &load->intake, INTAKE_LOADED);
}

static enum status each(void *context, const struct wal_entry *from, struct error *err)
{
    struct entry_load *load = context;
    if (load->count == LOAD_ENTRIES_MAX) {
        return STATUS_OK; /* the peer asks for the rest again */
    }
    struct raft_entry *entry = raft_entry_new(load->alloc, from->index, from->term, from->type,
                                              (uint32_t)from->data.length);
    if (entry == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for an entry");
    }
    if (from->data.length > 0) {
        memcpy(entry->data, from->data.data, from->data.length);
    }
    load->entries[load->count++] = entry;
    return STATUS_OK;
}

static enum job_result step(struct job *job)
{
    struct entry_load *load =
        (struct entry_load *)(void *)((char *)job - offsetof(struct entry_load, job));
    struct loader *loader = load->loader;
    struct error err = ERROR_INIT;
    enum status status = wal_read(loader->reader, load->load.from_index, load->load.end_index,
                                  load->load.bytes_max, each, load, &err);
    if (status != STATUS_OK) {
        /* What was read before the fault is good; with nothing the core asks again. */
        char text[ERROR_TEXT_BYTES];
        log_write("load", LOG_WARN, "reading old entries failed", "from=%lu error=%s",
                  (unsigned long)load->load.from_index, log_quote(text, sizeof text, err.text));
        load->damaged = status == STATUS_DATA_LOSS;
        load->error = err;
    }
    give_back(loader, load);
    return JOB_DONE;
}

bool loader_submit(struct loader *loader, const struct raft_load *load)
{
    struct entry_load *entry_load = alloc_zeroed(loader->alloc, 1, sizeof *entry_load);
    if (entry_load == NULL) {
        return false;
    }
    entry_load->alloc = loader->alloc;
    entry_load->loader = loader;
    entry_load->load = *load;
    job_init(&entry_load->job, step);
    mutex_lock(&loader->mutex);
    entry_load->next = loader->loads;
    loader->loads = entry_load;
    mutex_unlock(&loader->mutex);
    job_submit(loader->executor, &entry_load->job);
    return true;
}

void entry_load_free(struct entry_load *load)
{
    for (size_t i = 0; i < load->count; i++) {
        raft_entry_unref(load->entries[i]);
    }
    alloc_free(load->alloc, load);
}
