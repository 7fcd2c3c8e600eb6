/* SPDX-License-Identifier: Apache-2.0 */
#include "node/refill.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "base/log.h"

enum { LINE_BYTES_MAX = 512 };

/* --- the file ------------------------------------------------------------------------------ */

enum { FIELDS = 10 };

struct field {
    const char *name;
    uint64_t *value;
};

static void fields_of(struct refill *refill, struct field out[FIELDS])
{
    struct wal_salvage *salvage = &refill->salvage;
    const struct field fields[FIELDS] = {
        {"refill index", &refill->index},   {"term", &refill->term},
        {"hard_term", &salvage->term},      {"hard_vote", &salvage->vote},
        {"lost", &salvage->lost_index},     {"last", &salvage->last_index},
        {"last_term", &salvage->last_term}, {"file", &salvage->file},
        {"offset", &salvage->offset},       {"salt", &salvage->salt},
    };
    memcpy(out, fields, sizeof fields);
}

static size_t encode(struct refill *refill, char out[LINE_BYTES_MAX])
{
    struct field fields[FIELDS];
    int length = 0;
    fields_of(refill, fields);
    for (size_t i = 0; i < FIELDS; i++) {
        length += snprintf(out + length, LINE_BYTES_MAX - (size_t)length, "%s %" PRIu64 " ",
                           fields[i].name, *fields[i].value);
        CHECK(length < LINE_BYTES_MAX);
    }
    length += snprintf(out + length, LINE_BYTES_MAX - (size_t)length, "%s",
                       refill->cutting ? "cutting" : "refilling");
    CHECK(length < LINE_BYTES_MAX - 16);
    uint32_t crc = crc32c_extend(0, out, (size_t)length);
    length += snprintf(out + length, LINE_BYTES_MAX - (size_t)length, " %08" PRIx32 "\n", crc);
    return (size_t)length;
}

/* `text` ends with a NUL. What it would be written as again is what it is. */
static bool decode(struct refill *refill, const char *text, size_t length)
{
    char again[LINE_BYTES_MAX];
    struct field fields[FIELDS];
    const char *at = text;
    fields_of(refill, fields);
    for (size_t i = 0; i < FIELDS; i++) {
        size_t name = strlen(fields[i].name);
        char *end = NULL;
        if (strncmp(at, fields[i].name, name) != 0 || at[name] != ' ') {
            return false;
        }
        *fields[i].value = strtoull(at + name + 1, &end, 10);
        if (*end != ' ') {
            return false;
        }
        at = end + 1;
    }
    refill->cutting = strncmp(at, "cutting", strlen("cutting")) == 0;
    return encode(refill, again) == length && memcmp(again, text, length) == 0;
}

enum status refill_load(struct refill *refill, struct fs *fs, const char *dir, struct error *err)
{
    bool exists = false;
    struct buf text;
    *refill = (struct refill){.fs = fs, .dir = dir};
    enum status status = path_join(refill->path, dir, "refill", err);
    if (status == STATUS_OK) {
        status = fs_exists(fs, refill->path, &exists, err);
    }
    if (status != STATUS_OK || !exists) {
        return status;
    }
    buf_init(&text, alloc_default(), LINE_BYTES_MAX);
    status = fs_read_file(fs, refill->path, &text, err);
    size_t length = text.length;
    if (status == STATUS_OK) {
        buf_put_u8(&text, 0);
        if (buf_failed(&text) || !decode(refill, (const char *)text.data, length)) {
            status = error_set(err, STATUS_CORRUPT, "%s is damaged", refill->path);
        }
    }
    buf_release(&text);
    refill->on_disk = true;
    return status;
}

static enum status store(struct refill *refill, struct error *err)
{
    char line[LINE_BYTES_MAX];
    size_t length = encode(refill, line);
    enum status status =
        fs_replace_file(refill->fs, refill->dir, refill->path, slice_of(line, length), err);
    refill->on_disk = refill->on_disk || status == STATUS_OK;
    return status;
}

static enum status remove_file(struct refill *refill, struct error *err)
{
    enum status status = fs_unlink(refill->fs, refill->path, err);
    return status == STATUS_OK ? fs_sync_dir(refill->fs, refill->dir, err) : status;
}

/* --- opening ------------------------------------------------------------------------------- */

static enum status carry_out(struct refill *refill, const struct wal_options *options,
                             struct error *err)
{
    enum status status = wal_salvage_cut(options, &refill->salvage, err);
    if (status == STATUS_OK) {
        refill->cutting = false;
        refill->salvaged = true;
        status = store(refill, err);
    }
    return status;
}

/* `damage` is what wal_open said. */
static enum status salvage(struct refill *refill, const struct wal_options *options,
                           const struct error *damage, struct error *err)
{
    struct wal_salvage found;
    char text[ERROR_TEXT_BYTES];
    struct error why = ERROR_INIT;
    enum status status = wal_salvage_look(options, &found, &why);
    if (status == STATUS_CORRUPT) {
        return error_set(err, status, "%.240s; %.240s", damage->text, why.text);
    }
    if (status != STATUS_OK) {
        *err = why;
        return status;
    }
    /* It may have been refilling already. */
    refill->index = found.lost_index > refill->index ? found.lost_index : refill->index;
    refill->term = found.term;
    refill->salvage = found;
    refill->cutting = true;
    log_write("wal", LOG_ERROR, "log is damaged: it is cut, and refilled by the other members",
              "error=%s last_index=%" PRIu64 " lost_index=%" PRIu64 " term=%" PRIu64
              " kept_as=%s/*%s",
              log_quote(text, sizeof text, damage->text), found.last_index, refill->index,
              found.term, options->dir, WAL_DAMAGED_SUFFIX);
    status = store(refill, err);
    return status == STATUS_OK ? carry_out(refill, options, err) : status;
}

/* What the tables hold is committed, so all that is to come has it. */
static enum status settle(struct refill *refill, uint64_t index, uint64_t term, struct error *err)
{
    enum status status = STATUS_OK;
    if (refill->on_disk && (refill->index <= index || term > refill->term)) {
        refill->index = 0;
        refill->term = 0;
        status = remove_file(refill, err);
        refill->on_disk = status != STATUS_OK;
    }
    return status;
}

enum status refill_open_wal(struct refill *refill, const struct wal_options *options, bool others,
                            uint64_t snapshot_index, uint64_t snapshot_term,
                            struct wal_recovered *recovered, struct wal **out, struct error *err)
{
    enum status status = refill->cutting ? carry_out(refill, options, err) : STATUS_OK;
    if (status != STATUS_OK) {
        return status;
    }
    struct error damage = ERROR_INIT;
    status = wal_open(options, snapshot_index, snapshot_term, recovered, out, &damage);
    if (status != STATUS_OK && (status != STATUS_CORRUPT || !others)) {
        *err = damage;
    } else if (status != STATUS_OK) {
        status = salvage(refill, options, &damage, err);
        if (status == STATUS_OK) {
            status = wal_open(options, snapshot_index, snapshot_term, recovered, out, err);
        }
    }
    return status == STATUS_OK ? settle(refill, snapshot_index, snapshot_term, err) : status;
}

/* --- the end ------------------------------------------------------------------------------- */

static enum job_result forget(struct job *job)
{
    struct refill *refill = (struct refill *)job;
    struct error err = ERROR_INIT;
    char text[ERROR_TEXT_BYTES];
    if (remove_file(refill, &err) != STATUS_OK) {
        log_write("wal", LOG_WARN, "it is not noted that the log is refilled", "error=%s",
                  log_quote(text, sizeof text, err.text));
    }
    return JOB_DONE;
}

void refill_end(struct refill *refill, struct executor *executor)
{
    log_write("wal", LOG_INFO, "the log is refilled", "index=%" PRIu64, refill->index);
    job_init(&refill->job, forget);
    job_submit(executor, &refill->job);
}
