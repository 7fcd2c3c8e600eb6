/* SPDX-License-Identifier: Apache-2.0 */
#include "node/snapshot_install.h"

#include "base/buf.h"

#define STAGING "incoming"
#define MARKER "COMPLETE"

struct clearing {
    struct fs *fs;
    const char *dir;
};

enum status snapshot_staging_path(const char *data, char *out, struct error *err)
{
    return path_join(out, data, STAGING, err);
}

enum status snapshot_staging_make(struct fs *fs, const char *data, struct error *err)
{
    char path[PATH_BYTES_MAX];
    enum status status = snapshot_staging_path(data, path, err);
    if (status == STATUS_OK) {
        status = fs_make_dir(fs, path, err);
    }
    return status == STATUS_OK ? fs_sync_dir(fs, data, err) : status;
}

static enum status remove_one(void *context, const char *name, struct error *err)
{
    const struct clearing *clearing = context;
    char path[PATH_BYTES_MAX];
    enum status status = path_join(path, clearing->dir, name, err);
    return status == STATUS_OK ? fs_unlink(clearing->fs, path, err) : status;
}

/* Durable, before anything takes its name. */
static enum status remove_dir(struct fs *fs, const char *data, const char *dir, struct error *err)
{
    bool exists = false;
    struct clearing clearing = {.fs = fs, .dir = dir};
    enum status status = fs_exists(fs, dir, &exists, err);
    if (status != STATUS_OK || !exists) {
        return status;
    }
    status = fs_list(fs, dir, remove_one, &clearing, err);
    if (status == STATUS_OK) {
        status = fs_remove_dir(fs, dir, err);
    }
    return status == STATUS_OK ? fs_sync_dir(fs, data, err) : status;
}

enum status snapshot_staging_remove(struct fs *fs, const char *data, struct error *err)
{
    char path[PATH_BYTES_MAX];
    enum status status = snapshot_staging_path(data, path, err);
    return status == STATUS_OK ? remove_dir(fs, data, path, err) : status;
}

enum status snapshot_commit(struct fs *fs, const char *data, struct error *err)
{
    char dir[PATH_BYTES_MAX];
    char marker[PATH_BYTES_MAX];
    enum status status = snapshot_staging_path(data, dir, err);
    if (status == STATUS_OK) {
        status = path_join(marker, dir, MARKER, err);
    }
    return status == STATUS_OK ? fs_replace_file(fs, dir, marker, slice_of_string("1\n"), err)
                               : status;
}

static enum status exchange(struct fs *fs, const char *data, const char *from, const char *to,
                            struct error *err)
{
    enum status status = remove_dir(fs, data, to, err);
    if (status == STATUS_OK) {
        status = fs_rename(fs, from, to, err);
    }
    return status == STATUS_OK ? fs_sync_dir(fs, data, err) : status;
}

static enum status has_marker(struct fs *fs, const char *dir, char *marker, bool *out,
                              struct error *err)
{
    enum status status = path_join(marker, dir, MARKER, err);
    return status == STATUS_OK ? fs_exists(fs, marker, out, err) : status;
}

enum status snapshot_install(struct fs *fs, const char *data, bool *installed, struct error *err)
{
    char staging[PATH_BYTES_MAX];
    char tables[PATH_BYTES_MAX];
    char marker[PATH_BYTES_MAX];
    bool complete = false;
    bool exchanged = false;
    enum status status = snapshot_staging_path(data, staging, err);
    if (status == STATUS_OK) {
        status = path_join(tables, data, "tables", err);
    }
    if (status == STATUS_OK) {
        status = has_marker(fs, staging, marker, &complete, err);
    }
    if (status == STATUS_OK && complete) {
        status = exchange(fs, data, staging, tables, err);
    }
    if (status == STATUS_OK) {
        status = has_marker(fs, tables, marker, &exchanged, err);
    }
    if (status == STATUS_OK && exchanged) {
        /* A crash may have come between the exchange and this. */
        status = fs_sync_dir(fs, data, err);
        if (status == STATUS_OK) {
            status = fs_unlink(fs, marker, err);
        }
        if (status == STATUS_OK) {
            status = fs_sync_dir(fs, tables, err);
        }
    }
    if (installed != NULL) {
        *installed = status == STATUS_OK && exchanged;
    }
    return status == STATUS_OK ? STATUS_OK : error_wrap(err, "install snapshot");
}
