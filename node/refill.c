/* SPDX-License-Identifier: Apache-2.0 */
#include "node/refill.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "base/log.h"

enum { LINE_BYTES_MAX = 512 };

/* --- the file ------------------------------------------------------------------------------ */

static size_t encode(const struct refill *refill, char out[LINE_BYTES_MAX])
{
    const struct wal_salvage *salvage = &refill->salvage;
    int length =
        snprintf(out, LINE_BYTES_MAX,
                 "refill index %" PRIu64 " term %" PRIu64 " vote %" PRIu64 " file %" PRIu64
                 " offset %" PRIu64 " last %" PRIu64 " last_term %" PRIu64 " lost %" PRIu64
                 " hard_term %" PRIu64 " salt %" PRIu64 " %s",
                 refill->index, refill->term, salvage->vote, salvage->file, salvage->offset,
                 salvage->last_index, salvage->last_term, salvage->lost_index, salvage->term,
                 salvage->salt, refill->cutting ? "cutting" : "refilling");
    CHECK(length > 0 && length < LINE_BYTES_MAX - 16);
    uint32_t crc = crc32c_extend(0, (const uint8_t *)out, (size_t)length);
    length += snprintf(out + length, LINE_BYTES_MAX - (size_t)length, " %08" PRIx32 "\n", crc);
    return (size_t)length;
}

/* What it would be written as again is what it is. */
static bool decode(struct refill *refill, const char *text, size_t length)
{
    char again[LINE_BYTES_MAX];
    char state[16] = "";
    struct wal_salvage *salvage = &refill->salvage;
    int got = sscanf(text,
                     "refill index %" SCNu64 " term %" SCNu64 " vote %" SCNu64 " file %" SCNu64
                     " offset %" SCNu64 " last %" SCNu64 " last_term %" SCNu64 " lost %" SCNu64
                     " hard_term %" SCNu64 " salt %" SCNu64 " %15s",
                     &refill->index, &refill->term, &salvage->vote, &salvage->file,
                     &salvage->offset, &salvage->last_index, &salvage->last_term,
                     &salvage->lost_index, &salvage->term, &salvage->salt, state);
    refill->cutting = strcmp(state, "cutting") == 0;
    return got == 11 && encode(refill, again) == length && memcmp(again, text, length) == 0;
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
