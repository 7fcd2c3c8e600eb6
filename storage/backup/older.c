/* SPDX-License-Identifier: Apache-2.0
 *
 * The backups that are there beside the one under way: which of them go, and whether the next is
 * due.
 */
#include "storage/backup/inside.h"
#include "storage/engine_internal.h"

static uint64_t number_in(const struct buf *numbers, size_t index)
{
    uint64_t number;
    memcpy(&number, numbers->data + index * sizeof number, sizeof number);
    return number;
}

/* The manifests of the oldest, `count` of them; what only they named is left over then. */
static enum status remove_manifests(struct backup *backup, size_t count, struct error *err)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        char name[BACKUP_NAME_BYTES];
        (void)backup_manifest_name(name, number_in(&backup->names.number, i));
        status = path_join(backup->path, backup->directory.path, name, err);
        if (status == STATUS_OK) {
            status = fs_unlink(backup->directory.fs, backup->path, err);
        }
    }
    /* A manifest that a crash brings back must find its files. */
    if (status == STATUS_OK) {
        status = fs_sync_dir(backup->directory.fs, backup->directory.path, err);
    }
    backup->made.removed = status == STATUS_OK ? count : 0;
    return status;
}

/* What the manifests name that are there now. */
static enum status look_again(struct backup *backup, struct error *err)
{
    backup_names_release(&backup->names);
    backup->names = (struct backup_names){.damaged = 0};
    struct backup_directory now;
    const struct backup_directory *then = &backup->directory;
    enum status status =
        backup_directory_open(&now, then->fs, then->alloc, then->path, false, false, err);
    if (status == STATUS_OK) {
        status = backup_names_read(&backup->names, &now, err);
    }
    backup_directory_release(&now);
    return status;
}

enum status backup_remove_expired(struct backup *backup, struct error *err)
{
    struct backup_names *names = &backup->names;
    uint64_t made_at_ns = backup->manifest.made_at_ns;
    buf_append(&names->made, &made_at_ns, sizeof made_at_ns);
    if (buf_failed(&names->made)) {
        return backup_no_memory(err);
    }
    /* The allocator's memory is aligned. */
    size_t expired =
        backup_expired(&backup->options.policy, (const uint64_t *)(const void *)names->made.data,
                       names->made.length / sizeof(uint64_t), made_at_ns);
    if (expired == 0) {
        return STATUS_OK;
    }
    enum status status = remove_manifests(backup, expired, err);
    if (status == STATUS_OK) {
        status = look_again(backup, err);
    }
    if (status == STATUS_OK) {
        status = backup_directory_sweep(&backup->directory, names, err);
    }
    return status;
}

/* --- when the next one is due -------------------------------------------------------------- */

enum status backup_look(struct engine *engine, const char *dir, struct clock *clock,
                        struct backup_figures *out, struct error *err)
{
    struct backup_directory directory;
    struct backup_names names = {.damaged = 0};
    enum status status = backup_directory_open(&directory, engine->options.fs, engine->alloc, dir,
                                               false, false, err);
    if (status == STATUS_OK) {
        status = backup_names_read(&names, &directory, err);
    } else if (status == STATUS_NOT_FOUND) {
        status = STATUS_OK;
    }
    if (status == STATUS_OK) {
        size_t count = names.made.length / sizeof(uint64_t);
        mutex_lock(&engine->edit_mutex);
        uint64_t sequence = engine->durable_sequence;
        mutex_unlock(&engine->edit_mutex);
        *out = (struct backup_figures){
            .has_last = count > 0,
            .last_ns = count > 0 ? number_in(&names.made, count - 1) : 0,
            .last_sequence = names.last_sequence,
            .increments = names.increments,
            .now_ns = clock_realtime_ns(clock == NULL ? clock_system() : clock),
            .sequence = sequence};
    }
    backup_names_release(&names);
    backup_directory_release(&directory);
    return status;
}
