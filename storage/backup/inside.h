/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside: a backup under way, for the files that make it: backup.c (its life, and how it
 * becomes there), table.c (one table after another), older.c (what is there of
 * earlier ones).
 */
#ifndef ESTREAT_STORAGE_BACKUP_INSIDE_H
#define ESTREAT_STORAGE_BACKUP_INSIDE_H

#include "storage/backup/backup.h"
#include "storage/backup/copy.h"
#include "storage/backup/directory.h"
#include "storage/checkpoint.h"

#define BACKUP_PIECE_BYTES_MIN (128UL * KIB)

enum backup_phase {
    PHASE_TABLE,
    PHASE_COPY,
    PHASE_READ_BACK,
    PHASE_NAME,
    PHASE_REMOVE,
    PHASE_DONE
};

struct backup {
    struct job job; /* first: the step finds the rest from it */
    struct engine *engine;
    struct backup_options options; /* defaults filled in */
    struct backup_directory directory;
    struct backup_names names;
    struct checkpoint *checkpoint;
    struct manifest_state state; /* of the checkpoint's manifest */
    struct buf image;            /* its bytes */
    struct backup_manifest manifest;
    enum backup_phase phase;
    size_t table;            /* index of the present one, in state.tables */
    size_t *order;           /* index in the checkpoint of each table of state.tables */
    struct backup_file file; /* the present one */
    struct file_copy copy;
    uint8_t *piece; /* options.step_bytes, at least BACKUP_PIECE_BYTES_MIN */
    char path[PATH_BYTES_MAX];
    struct backup_made made;
    uint64_t bytes_all;   /* of all tables */
    uint64_t bytes_moved; /* copied and read back */
    bool found_damage;    /* of the engine's, not of the copy */
    bool stopped;         /* an error, or done */
    void (*on_end)(void *context, enum status status, const struct error *err);
    void *context;
};

static inline enum status backup_no_memory(struct error *err)
{
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a backup");
}

/* --- table.c: the steps of PHASE_TABLE, PHASE_COPY, PHASE_READ_BACK ------------------- */

/* The next table: there already, linked, or to be copied. When there is none: PHASE_NAME. */
enum status backup_begin_table(struct backup *backup, struct error *err) MUST_USE;
enum status backup_copy_table(struct backup *backup, struct error *err) MUST_USE;
enum status backup_read_back(struct backup *backup, struct error *err) MUST_USE;

/* --- older.c: the step of PHASE_REMOVE ------------------------------------------------ */

/* Removes the older ones that the policy does not keep, now that this one is there. */
enum status backup_remove_expired(struct backup *backup, struct error *err) MUST_USE;

#endif
