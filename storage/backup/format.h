/* SPDX-License-Identifier: Apache-2.0
 *
 * Format of a backup's manifest: the byte table is in storage/FORMAT.md, section "Backup".
 * It says all that a backup consists of: its files, and the store's manifest of that moment,
 * whole. Also the names of a backups directory's files.
 *
 * The bytes are untrusted: what a decoded manifest says fits together, its files are those
 * that the store's manifest means.
 */
#ifndef ESTREAT_STORAGE_BACKUP_FORMAT_H
#define ESTREAT_STORAGE_BACKUP_FORMAT_H

#include "base/buf.h"
#include "storage/backup/digest.h"
#include "storage/tree/manifest_format.h"

#define BACKUP_MAGIC "ESTRBKUP"
#define BACKUP_VERSION 1
#define BACKUP_HEADER_BYTES 20 /* magic, le32 version, le64 payload length */
#define BACKUP_CRC_BYTES 4     /* of all before, at the end */
/* The store's manifest, and less than 64 bytes for each table that it names with more than that. */
#define BACKUP_BYTES_MAX (2 * MANIFEST_RECORD_BYTES_MAX)
#define BACKUP_LINEAGE_BYTES 16
/* Work of one step, where its caller does not say. */
#define BACKUP_STEP_BYTES (1 * MIB)

/* A table of a backup, and which file of the directory it is. */
struct backup_file {
    uint64_t table; /* its number in the store */
    uint64_t bytes;
    uint64_t made_by;     /* the backup that made the file: this one or an earlier one */
    bool linked;          /* a hard link to the store's file, else a copy */
    struct digest digest; /* of a copy */
};

struct backup_manifest {
    uint64_t number;
    uint64_t made_at_ns;                   /* since 1970, as the clock was */
    bool full;                             /* took no file from an earlier backup */
    uint8_t lineage[BACKUP_LINEAGE_BYTES]; /* of the store: storage/backup/lineage.h */
    uint64_t store_manifest;               /* number of the store's manifest */
    struct slice image;                    /* its bytes; borrowed */
    struct buf files; /* struct backup_file, in the order of their tables' numbers */
};

/* Borrows `alloc`. */
void backup_manifest_init(struct backup_manifest *manifest, struct alloc *alloc);
void backup_manifest_release(struct backup_manifest *manifest);

static inline size_t backup_file_count(const struct backup_manifest *manifest)
{
    return manifest->files.length / sizeof(struct backup_file);
}

struct backup_file backup_file_at(const struct backup_manifest *manifest, size_t index);

/* Files must be added by rising numbers of tables. No memory: buf_failed(&manifest->files). */
void backup_file_add(struct backup_manifest *manifest, const struct backup_file *file);

/* Appends the file's bytes to `out`; ask buf_failed(). */
void backup_manifest_encode(const struct backup_manifest *manifest, struct buf *out);

/* Fills `out` (initialised) from bytes, which it borrows, and `state` (initialised) from the
 * store's manifest within: state->tables and the files are the same tables in the same order.
 * CORRUPT ("at OFFSET: ..."); UNIMPLEMENTED: a later version. */
enum status backup_manifest_decode(struct slice bytes, struct alloc *alloc,
                                   struct backup_manifest *out, struct manifest_state *state,
                                   struct error *err) MUST_USE;

/* --- names ---------------------------------------------------------------------------------- */

#define BACKUP_NAME_BYTES 64

enum backup_name {
    BACKUP_NAME_OTHER,        /* not ours */
    BACKUP_NAME_MANIFEST,     /* "BACKUP-000003" */
    BACKUP_NAME_MANIFEST_NEW, /* left by one that was not finished */
    BACKUP_NAME_COPY,         /* "000003-000012.sst": table 12 as backup 3 copied it */
    BACKUP_NAME_LINK,         /* "000003-000012.link" */
};

/* Each returns out. */
const char *backup_manifest_name(char out[BACKUP_NAME_BYTES], uint64_t number);
const char *backup_file_name(char out[BACKUP_NAME_BYTES], const struct backup_file *file);

/* *backup and *table are 0 unless the name has them. Only what the above make is ours. */
enum backup_name backup_name_of(const char *name, uint64_t *backup, uint64_t *table);

#endif
