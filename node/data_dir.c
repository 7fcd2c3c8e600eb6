/* SPDX-License-Identifier: Apache-2.0 */
#include "node/data_dir.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/check.h"

enum {
    IDENTITY_BYTES_MAX = 1024,
    MEMBERS_BYTES_MAX = 16 + MEMBERS_MAX * (NODE_ID_BYTES_MAX + 2),
    FILE_BYTES_MAX = 4096,
};

/* Syncs the directory that holds `path`. */
static enum status sync_parent(struct fs *fs, const char *path, struct error *err)
{
    char parent[PATH_BYTES_MAX];
    const char *slash = strrchr(path, '/');
    size_t length = slash == NULL ? 0 : (size_t)(slash - path);
    memcpy(parent, path, length);
    parent[length] = '\0';
    return fs_sync_dir(fs, length > 0 ? parent : slash == NULL ? "." : "/", err);
}

/* `is_last`: this is the data directory itself. Its name must be durable before anything in it is
 * acknowledged; who made it (perhaps we, killed before the sync) does not matter. */
static enum status make_one(struct fs *fs, const char *path, bool is_last, struct error *err)
{
    bool exists = false;
    enum status status = fs_exists(fs, path, &exists, err);
    if (status == STATUS_OK) {
        status = fs_make_dir(fs, path, err);
    }
    if (status != STATUS_OK || (exists && !is_last)) {
        return status;
    }
    status = sync_parent(fs, path, err);
    /* Somebody else's directory, in which we made nothing. */
    return status == STATUS_PERMISSION_DENIED && exists ? STATUS_OK : status;
}

static enum status make_parents(struct fs *fs, const char *path, struct error *err)
{
    char part[PATH_BYTES_MAX];
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof part) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "the data directory's path is too long");
    }
    memcpy(part, path, length + 1);
    for (size_t i = 1; i <= length; i++) {
        if (part[i] != '/' && part[i] != '\0') {
            continue;
        }
        char kept = part[i];
        part[i] = '\0';
        enum status status = make_one(fs, part, i == length, err);
        if (status != STATUS_OK) {
            return status;
        }
        part[i] = kept;
    }
    return STATUS_OK;
}

/* Up to the first newline, for printing. */
static int line_length(struct slice text)
{
    int length = 0;
    while ((size_t)length < text.length && text.data[length] != '\n') {
        length++;
    }
    return length;
}

/* The file says what it said when the directory was first used. */
static enum status check_same(struct fs *fs, const char *dir, const char *name, const char *wrong,
                              struct slice expected, struct error *err)
{
    char path[PATH_BYTES_MAX];
    bool exists = false;
    enum status status = path_join(path, dir, name, err);
    if (status == STATUS_OK) {
        status = fs_exists(fs, path, &exists, err);
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (!exists) {
        return fs_replace_file(fs, dir, path, expected, err);
    }
    struct buf found;
    buf_init(&found, alloc_default(), FILE_BYTES_MAX);
    status = fs_read_file(fs, path, &found, err);
    if (status == STATUS_OK && !slice_equal(buf_slice(&found), expected)) {
        status =
            error_set(err, STATUS_FAILED_PRECONDITION, "%s %s: %s says \"%.*s\", this is \"%.*s\"",
                      dir, wrong, path, line_length(buf_slice(&found)), (const char *)found.data,
                      line_length(expected), (const char *)expected.data);
    }
    buf_release(&found);
    return status;
}

enum status data_dir_open(struct fs *fs, const char *path, const char *cluster, const char *node_id,
                          struct file **lock, struct error *err)
{
    char lock_path[PATH_BYTES_MAX];
    char identity[IDENTITY_BYTES_MAX];
    struct file *held = NULL;
    enum status status = make_parents(fs, path, err);
    if (status == STATUS_OK) {
        status = path_join(lock_path, path, "lock", err);
    }
    if (status == STATUS_OK) {
        status = fs_lock(fs, lock_path, &held, err);
        if (status == STATUS_FAILED_PRECONDITION) {
            (void)error_set(err, status, "%s is in use by another process", path);
        }
    }
    if (status != STATUS_OK) {
        return status;
    }
    int length = snprintf(identity, sizeof identity, "cluster %s node %s\n", cluster, node_id);
    status = check_same(fs, path, "identity", "belongs to another node",
                        slice_of(identity, (size_t)length), err);
    if (status != STATUS_OK) {
        file_close(held);
        return status;
    }
    *lock = held;
    return STATUS_OK;
}

/* The names that the file holds: "members", then each behind a space, then a newline. */
static enum status parse_members(const char *path, char *text, struct member_names *out,
                                 struct error *err)
{
    char *rest = NULL;
    char *newline = strchr(text, '\n');
    bool good = newline != NULL && newline[1] == '\0';
    if (good) {
        *newline = '\0';
        char *word = strtok_r(text, " ", &rest);
        good = word != NULL && strcmp(word, "members") == 0;
        out->count = 0;
        while (good && (word = strtok_r(NULL, " ", &rest)) != NULL) {
            good = out->count < MEMBERS_MAX && strlen(word) <= NODE_ID_BYTES_MAX;
            if (good) {
                memcpy(out->of[out->count++], word, strlen(word) + 1);
            }
        }
    }
    return good ? STATUS_OK : error_set(err, STATUS_CORRUPT, "%s is damaged", path);
}

static enum status write_members(struct fs *fs, const struct config *config, const char *path,
                                 struct error *err)
{
    char text[MEMBERS_BYTES_MAX];
    size_t length = (size_t)snprintf(text, sizeof text, "members");
    for (unsigned i = 0; i < config->member_count && !config->join; i++) {
        int more = snprintf(text + length, sizeof text - length, " %s", config->members[i].id);
        CHECK(more > 0 && (size_t)more < sizeof text - length);
        length += (size_t)more;
    }
    text[length++] = '\n';
    return fs_replace_file(fs, config->data, path, slice_of(text, length), err);
}

enum status data_dir_members(struct fs *fs, const struct config *config, struct member_names *out,
                             struct error *err)
{
    char path[PATH_BYTES_MAX];
    bool exists = false;
    struct buf found;
    buf_init(&found, alloc_default(), MEMBERS_BYTES_MAX);
    enum status status = path_join(path, config->data, "members", err);
    if (status == STATUS_OK) {
        status = fs_exists(fs, path, &exists, err);
    }
    if (status == STATUS_OK && !exists) {
        status = write_members(fs, config, path, err);
    }
    if (status == STATUS_OK) {
        status = fs_read_file(fs, path, &found, err);
    }
    if (status == STATUS_OK) {
        buf_put_u8(&found, 0);
        status = buf_failed(&found) ? error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory")
                                    : parse_members(path, (char *)found.data, out, err);
    }
    if (status == STATUS_OK && config->join && out->count > 0) {
        status = error_set(err, STATUS_FAILED_PRECONDITION,
                           "%s was begun without join = on, and has a log of its own; begin anew "
                           "in an empty directory",
                           config->data);
    }
    buf_release(&found);
    return status;
}

static enum status find_log_file(void *context, const char *name, struct error *err)
{
    bool *found = context;
    size_t length = strlen(name);
    (void)err;
    *found = *found || (length > 4 && strcmp(name + length - 4, ".wal") == 0);
    return STATUS_OK;
}

enum status data_dir_check_log(struct fs *fs, const char *path, const char *wal_dir,
                               struct error *err)
{
    char started_path[PATH_BYTES_MAX];
    bool started = false;
    bool there = false;
    enum status status = path_join(started_path, path, "started", err);
    if (status == STATUS_OK) {
        status = fs_exists(fs, started_path, &started, err);
    }
    if (status == STATUS_OK && started) {
        status = fs_exists(fs, wal_dir, &there, err);
    }
    if (status == STATUS_OK && there) {
        there = false;
        status = fs_list(fs, wal_dir, find_log_file, &there, err);
    }
    if (status == STATUS_OK && started && !there) {
        return error_set(err, STATUS_DATA_LOSS,
                         "%s held a log and it is gone; set this member up anew, under a new id",
                         wal_dir);
    }
    return status;
}

enum status data_dir_note_started(struct fs *fs, const char *path, struct error *err)
{
    char started_path[PATH_BYTES_MAX];
    bool started = false;
    enum status status = path_join(started_path, path, "started", err);
    if (status == STATUS_OK) {
        status = fs_exists(fs, started_path, &started, err);
    }
    if (status == STATUS_OK && !started) {
        status = fs_replace_file(fs, path, started_path, slice_of_string("1\n"), err);
    }
    return status;
}
