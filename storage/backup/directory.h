/* SPDX-License-Identifier: Apache-2.0
 *
 * Directory: where backups of a store are kept, as numbered manifests and the files that
 * they name, shared among them.
 *
 *   DIR/BACKUP-000003        the manifest of backup 3 (storage/backup/format.h)
 *   DIR/000002-000012.sst    table 12 as backup 2 copied it; backup 3 may name it, too
 *   DIR/000003-000014.link   a hard link to the store's table 14
 *   DIR/lock                 held while somebody makes, removes, verifies or restores
 *
 * A backup is there when its manifest is: that is written last, under another name, synced,
 * renamed, and its directory synced. So a crash leaves all others as they were, and files
 * that nothing names, which a sweep removes. A file is never changed once a manifest names it.
 *
 * If a manifest is damaged nothing is swept, since it is not known what it names.
 *
 * One thread at a time.
 */
#ifndef ESTREAT_STORAGE_BACKUP_DIRECTORY_H
#define ESTREAT_STORAGE_BACKUP_DIRECTORY_H

#include "base/fs.h"
#include "storage/backup/format.h"

/* Lists in memory: of some ten million files. What is longer is damage. */
#define BACKUP_LIST_BYTES_MAX (1024 * MIB)

struct backup_directory {
    struct fs *fs; /* borrowed, as the next */
    struct alloc *alloc;
    struct file *lock;
    struct buf numbers; /* uint64_t: of the manifests that are there, rising */
    char path[PATH_BYTES_MAX];
};

/* Looks what is there. With `make` the directory is made if it is not there (its parent must be),
 * else that is NOT_FOUND; with `lock` it is locked until the release: FAILED_PRECONDITION if
 * somebody else holds it. To release also after an error. */
enum status backup_directory_open(struct backup_directory *directory, struct fs *fs,
                                  struct alloc *alloc, const char *path, bool make, bool lock,
                                  struct error *err) MUST_USE;
void backup_directory_release(struct backup_directory *directory);

static inline size_t backup_directory_count(const struct backup_directory *directory)
{
    return directory->numbers.length / sizeof(uint64_t);
}

uint64_t backup_directory_number(const struct backup_directory *directory, size_t index);

/* Whether `path` is a directory with backups in it. */
enum status backup_directory_is(struct fs *fs, const char *path, bool *out,
                                struct error *err) MUST_USE;

/* A manifest as it was read. */
struct backup_read {
    struct buf bytes;
    struct backup_manifest manifest; /* borrows from bytes */
    struct manifest_state state;     /* of the store's manifest in it */
};

/* Reads backup `number`; to release also after an error. CORRUPT names file and offset; NOT_FOUND:
 * there is none. */
enum status backup_directory_read(const struct backup_directory *directory, uint64_t number,
                                  struct backup_read *out, struct error *err) MUST_USE;
void backup_read_release(struct backup_read *read);

/* --- what is named -------------------------------------------------------------------------- */

struct backup_known {
    struct backup_file file;
    uint8_t lineage[BACKUP_LINEAGE_BYTES];
};

/* All files that manifests name, each once. */
struct backup_names {
    struct buf known;    /* struct backup_known, by table, made_by, linked */
    struct buf made;     /* uint64_t: when each backup that could be read was made, as numbered */
    struct buf number;   /* uint64_t: its number */
    uint64_t increments; /* since the last full one */
    uint64_t last_sequence; /* of the newest */
    uint64_t damaged;       /* manifests that could not be read */
    struct error damage;    /* the first of them */
};

/* Reads all manifests; to release also after an error. Damage is counted, not returned. */
enum status backup_names_read(struct backup_names *names, const struct backup_directory *directory,
                              struct error *err) MUST_USE;
void backup_names_release(struct backup_names *names);

/* The same by hand: `names` are empty ones, of `alloc`; ask backup_names_failed(). */
void backup_names_init(struct backup_names *names, struct alloc *alloc);
void backup_names_add(struct backup_names *names, const struct backup_read *read);

static inline bool backup_names_failed(const struct backup_names *names)
{
    return buf_failed(&names->known) || buf_failed(&names->made) || buf_failed(&names->number);
}

/* What is known of the file of this table, maker and kind; NULL: nothing names it. Valid until
 * names change. */
const struct backup_file *backup_names_get(const struct backup_names *names,
                                           const struct backup_file *file);

/* The newest file of this lineage that holds `table` of `bytes`; links only if they will do. */
bool backup_names_find(const struct backup_names *names,
                       const uint8_t lineage[BACKUP_LINEAGE_BYTES], uint64_t table, uint64_t bytes,
                       bool links, struct backup_file *out);

/* Removes our files that nothing names; none if names->damaged. Requires the lock. */
enum status backup_directory_sweep(const struct backup_directory *directory,
                                   const struct backup_names *names, struct error *err) MUST_USE;

#endif
