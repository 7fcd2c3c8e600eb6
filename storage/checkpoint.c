/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/checkpoint.h"

#include <stdio.h>

#include "base/check.h"
#include "storage/engine_internal.h"

/* What is made in memory, behind the tables. */
enum { FILE_MANIFEST, FILE_CURRENT, MADE_FILES };

struct checkpoint {
    struct engine *engine;
    struct version *version;
    struct table_file **tables; /* borrowed from the version */
    size_t table_count;
    struct buf state;
    struct buf manifest;
    char manifest_name[CHECKPOINT_NAME_BYTES];
    char current[CHECKPOINT_NAME_BYTES + 1];
};

static enum status no_memory(struct error *err)
{
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a checkpoint");
}

static enum status list_tables(struct checkpoint *checkpoint, struct error *err)
{
    const struct version *version = checkpoint->version;
    size_t keyspaces = checkpoint->engine->options.keyspace_count;
    size_t count = 0;
    for (unsigned keyspace = 0; keyspace < keyspaces; keyspace++) {
        for (unsigned level = 0; level < TREE_LEVELS; level++) {
            count += version_count(version, keyspace, level);
        }
    }
    checkpoint->tables =
        alloc_zeroed(checkpoint->engine->alloc, count + 1, sizeof *checkpoint->tables);
    if (checkpoint->tables == NULL) {
        return no_memory(err);
    }
    for (unsigned keyspace = 0; keyspace < keyspaces; keyspace++) {
        for (unsigned level = 0; level < TREE_LEVELS; level++) {
            for (size_t i = 0; i < version_count(version, keyspace, level); i++) {
                checkpoint->tables[checkpoint->table_count++] =
                    version_at(version, keyspace, level, i);
            }
        }
    }
    CHECK(checkpoint->table_count == count);
    return STATUS_OK;
}

/* The version, and what belongs to it, as of one moment. */
static enum status pin_locked(struct checkpoint *checkpoint, struct edit *full, struct error *err)
{
    struct engine *engine = checkpoint->engine;
    enum status status = engine_sealed_state(engine, &checkpoint->state, err);
    if (status != STATUS_OK) {
        return status;
    }
    checkpoint->version = catalog_acquire(engine->catalog);
    version_describe(checkpoint->version, full);
    full->full = true;
    full->seal_count = engine_sealed_count(engine);
    full->has_seal = full->seal_count > 0;
    full->owner_state = buf_slice(&checkpoint->state);
    full->last_sequence = engine->durable_sequence;
    /* The manifest's own number; whoever opens the store goes on behind it. */
    full->next_file = atomic_load(&engine->next_file) + 1;
    return STATUS_OK;
}

static enum status make_manifest(struct checkpoint *checkpoint, const struct edit *full,
                                 struct error *err)
{
    const struct engine *engine = checkpoint->engine;
    const struct manifest_options options = {.fs = engine->options.fs,
                                             .alloc = engine->alloc,
                                             .dir = engine->dir,
                                             .keyspaces = engine->keyspaces,
                                             .keyspace_count = engine->options.keyspace_count};
    uint64_t number = full->next_file - 1;
    if (edit_failed(full) || !manifest_image(&options, number, full, &checkpoint->manifest)) {
        return no_memory(err);
    }
    (void)manifest_file_name(checkpoint->manifest_name, number);
    (void)snprintf(checkpoint->current, sizeof checkpoint->current, "%s\n",
                   checkpoint->manifest_name);
    return STATUS_OK;
}

enum status checkpoint_take(struct engine *engine, struct checkpoint **out, struct error *err)
{
    struct checkpoint *checkpoint = alloc_zeroed(engine->alloc, 1, sizeof *checkpoint);
    if (checkpoint == NULL) {
        return no_memory(err);
    }
    checkpoint->engine = engine;
    buf_init(&checkpoint->state, engine->alloc, ENGINE_STATE_BYTES_MAX);
    buf_init(&checkpoint->manifest, engine->alloc, MANIFEST_RECORD_BYTES_MAX);
    struct edit full;
    edit_init(&full, engine->alloc);
    /* Under this lock no edit is between the manifest and the catalog. */
    mutex_lock(&engine->edit_mutex);
    enum status status = pin_locked(checkpoint, &full, err);
    mutex_unlock(&engine->edit_mutex);
    if (status == STATUS_OK) {
        status = make_manifest(checkpoint, &full, err);
    }
    if (status == STATUS_OK) {
        status = list_tables(checkpoint, err);
    }
    edit_release(&full);
    if (status != STATUS_OK) {
        checkpoint_release(checkpoint);
        return status;
    }
    *out = checkpoint;
    return STATUS_OK;
}

void checkpoint_release(struct checkpoint *checkpoint)
{
    if (checkpoint != NULL) {
        struct alloc *alloc = checkpoint->engine->alloc;
        version_release(checkpoint->version);
        alloc_free(alloc, checkpoint->tables);
        buf_release(&checkpoint->state);
        buf_release(&checkpoint->manifest);
        alloc_free(alloc, checkpoint);
    }
}

struct slice checkpoint_state(const struct checkpoint *checkpoint)
{
    return buf_slice(&checkpoint->state);
}

size_t checkpoint_file_count(const struct checkpoint *checkpoint)
{
    return checkpoint->table_count + MADE_FILES;
}

static struct slice made_file(const struct checkpoint *checkpoint, size_t index)
{
    return index - checkpoint->table_count == FILE_MANIFEST ? buf_slice(&checkpoint->manifest)
                                                            : slice_of_string(checkpoint->current);
}

void checkpoint_file_at(const struct checkpoint *checkpoint, size_t index,
                        struct checkpoint_file *out)
{
    CHECK(index < checkpoint_file_count(checkpoint));
    *out = (struct checkpoint_file){.bytes = 0};
    if (index < checkpoint->table_count) {
        _Static_assert(CHECKPOINT_NAME_BYTES >= TABLE_FILE_NAME_BYTES, "a file's name fits");
        (void)table_file_name(out->name, checkpoint->tables[index]->number);
        out->bytes = checkpoint->tables[index]->bytes;
        out->immutable = true;
        return;
    }
    (void)snprintf(out->name, sizeof out->name, "%s",
                   index - checkpoint->table_count == FILE_MANIFEST ? checkpoint->manifest_name
                                                                    : "CURRENT");
    out->bytes = made_file(checkpoint, index).length;
}

enum status checkpoint_read(struct checkpoint *checkpoint, size_t index, uint64_t offset, void *out,
                            size_t length, struct error *err)
{
    struct checkpoint_file of;
    checkpoint_file_at(checkpoint, index, &of);
    CHECK(offset <= of.bytes && length <= of.bytes - offset);
    if (index >= checkpoint->table_count) {
        memcpy(out, made_file(checkpoint, index).data + offset, length);
        return STATUS_OK;
    }
    struct engine *engine = checkpoint->engine;
    char path[PATH_BYTES_MAX];
    struct file *file = NULL;
    size_t read = 0;
    enum status status = path_join(path, engine->dir, of.name, err);
    if (status == STATUS_OK) {
        status = fs_open(engine->options.fs, path, FS_READ, &file, err);
    }
    if (status == STATUS_NOT_FOUND) {
        status = error_set(err, STATUS_CORRUPT, "%s at 0: the table is missing", path);
    }
    if (status == STATUS_OK) {
        status = file_read(file, offset, out, length, &read, err);
    }
    if (status == STATUS_OK && read < length) {
        status = error_set(err, STATUS_CORRUPT, "%s at %llu: the table is cut", path,
                           (unsigned long long)(offset + read));
    }
    file_close(file);
    return status;
}

enum status checkpoint_verify(struct checkpoint *checkpoint, size_t index, struct error *err)
{
    CHECK(index < checkpoint_file_count(checkpoint));
    return index < checkpoint->table_count ? engine_verify_table(checkpoint->tables[index], err)
                                           : STATUS_OK;
}
