/* SPDX-License-Identifier: Apache-2.0
 *
 * Backup: an engine's durable content at one moment, kept in a directory of backups
 * (storage/backup/directory.h) that is best on another disk. Each is whole by its manifest;
 * an increment copies only the tables that no backup before it has there.
 *
 * What it holds is a checkpoint (storage/checkpoint.h): the tables as of the last flushed seal,
 * which stay on disk meanwhile, and that seal's blob. Not the owner's log: the blob says
 * where in the log the tables stand, and a store that is restored begins there. Who wants
 * more in a backup seals and flushes first.
 *
 * What a node needs that begins with restored tables (DATA/tables, nothing else in DATA):
 * - Its log is empty: wal_open() begins it after the seal's (index, term). Its term and vote
 *   are gone, so in a running cluster it must come under a new id, as the others insist
 *   (node/incarnation.h); they send what lies behind the seal, or a newer snapshot.
 * - The seal's members are in force. The sole member of a cluster of one is elected alone. Of a
 *   larger one, one backup of one member is restored for a majority of the members, under their
 *   ids; the others may begin empty. None may have kept anything else.
 * - What was acknowledged after the seal is lost, and the log may go on differently. So the
 *   old signing key must not sign for it: a head that was signed past the seal may be
 *   contradicted.
 *
 * Copies are durable and were read back, with all their checksums, before the manifest is
 * written; a damaged table of the store is found by that, and ends the backup. Links (on the
 * same file system) cost nothing, are looked at by a verification only, and share the faults
 * of the store's disk: for a moment to come back to, not for safety.
 *
 * Long work is done in steps of options.step_bytes, or of one table when it is read back; who
 * calls them, or submits the job, decides how fast. The engine goes on meanwhile. A crash, or an
 * end in the middle, leaves all older backups, and files that the next backup removes.
 *
 * Threads: one at a time calls start, step and free; the job's executor counts as one.
 */
#ifndef ESTREAT_STORAGE_BACKUP_BACKUP_H
#define ESTREAT_STORAGE_BACKUP_BACKUP_H

#include "base/rng.h"
#include "storage/backup/policy.h"
#include "storage/engine.h"

struct backup;

/* Zero means the default in brackets. */
struct backup_options {
    const char *dir;     /* copied; made if it is not there, its parent must be */
    struct clock *clock; /* [clock_system()] */
    struct rng *rng;     /* [rng_system()] */
    bool link;           /* tables that no backup has are linked, not copied */
    bool full;           /* nothing is taken from earlier backups */
    /* Which of the older ones go when this one is made: keep and keep_ns [none] */
    struct backup_policy policy;
    size_t step_bytes; /* [1 MiB] */
};

struct backup_made {
    uint64_t number;
    uint64_t tables; /* of the backup */
    uint64_t bytes;
    uint64_t tables_copied; /* or linked */
    uint64_t bytes_copied;
    uint64_t removed; /* older backups */
    /* Manifests of older ones that are damaged: they are let be, and so is all that nothing may
     * name any more. `damage` is the first of them. */
    uint64_t damaged;
    struct error damage;
};

/* Pins the engine's content. Returns owned; free it before engine_close(). FAILED_PRECONDITION:
 * another backup is being made there. */
enum status backup_start(struct engine *engine, const struct backup_options *options,
                         struct backup **out, struct error *err) MUST_USE;

/* Does the next piece. When *done, the backup is there and durable. After an error it is not, and
 * no step follows; but if only the removal of older ones failed it is there, as the error says.
 * CORRUPT names the store's table that is damaged. */
enum status backup_step(struct backup *backup, bool *done, struct error *err) MUST_USE;

/* True once it is durably there, also if a step failed after that. */
bool backup_is_made(const struct backup *backup);

/* After an error: what could not be read, or is damaged, is the engine's own; else it is of the
 * backups. */
bool backup_found_damage(const struct backup *backup);

struct backup_progress {
    uint64_t bytes; /* of tables that are in the backup so far, and of all */
    uint64_t bytes_all;
    uint64_t bytes_moved; /* copied, and read back: what this costs the disks */
};
void backup_progress(const struct backup *backup, struct backup_progress *out);

/* The blob of the seal that it stands for; empty if there was none. Valid until it is freed. */
struct slice backup_owner_state(const struct backup *backup);

/* All steps. */
enum status backup_run(struct backup *backup, struct error *err) MUST_USE;

/* All steps as a job; `on_end` is called once, on the executor's thread, unless the executor is
 * closed before; then nothing of it is touched any more, and on_end may free the backup. */
void backup_submit(struct backup *backup, struct executor *executor,
                   void (*on_end)(void *context, enum status status, const struct error *err),
                   void *context);

/* Valid once it is made. */
const struct backup_made *backup_result(const struct backup *backup);

/* Ends it, done or not, and lets the engine's tables go. NULL is allowed. */
void backup_free(struct backup *backup);

/* What backup_due() decides on, of the backups in `dir` (that it is not there is none of them) and
 * the engine. The newest that can be read counts. */
enum status backup_look(struct engine *engine, const char *dir, struct clock *clock,
                        struct backup_figures *out, struct error *err) MUST_USE;

#endif
