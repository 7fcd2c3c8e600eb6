/* SPDX-License-Identifier: Apache-2.0
 *
 * Engine: a log-structured merge tree of several keyspaces that share sequence
 * numbers, seals and one manifest. It keeps no log of its own: what was written
 * since the last flushed seal is gone when the process ends, and its owner writes
 * it again from the log (the WAL) that it keeps. For that, each seal carries a blob
 * of the owner's (index, term, tree edge ...), and the blob that engine_open() finds
 * is exactly that of the tables it finds.
 *
 * Life of a write: engine_write() puts a batch into the active memtables, one a
 * keyspace; engine_seal() freezes them together with the blob; a background job
 * flushes them to tables, syncs those, and makes tables and blob durable in one
 * manifest edit; compaction merges tables later.
 *
 * Threads
 * - The writer: one thread at a time calls engine_write, engine_seal, engine_flush,
 *   engine_get_by_writer and engine_should_seal. It keeps what it last looked at (memtables,
 *   tables) until its next call; a writer that may be idle for long calls engine_should_seal
 *   now and then, so that what was flushed or merged meanwhile is let go.
 * - Readers: any thread, any number; they never wait for the writer or a job, nor the
 *   writer for them.
 * - Jobs (flush, compaction, removal of dead files) run on the given executor, in steps of
 *   about a megabyte; of a table when damaged ones are looked for. Each step is finite but may
 *   wait for the disk.
 *
 * Invariants
 * - A batch is visible whole or not at all; visibility follows the order of writing.
 * - A reader without a snapshot sees all batches that were written before it began.
 * - After any crash the content is that of some seal, and engine_sealed_state() is its blob;
 *   no seal whose flush was reported (on_flushed, engine_flush) is lost.
 * - What lies below a keyspace's floor is gone for whoever sees the batch that set it; it stays for
 *   snapshots that do not, and on disk until the floor's seal is flushed: then whole tables are
 *   dropped, damaged or not, without reading or writing any, and partitions partly below rewritten
 *   by options of the keyspace. The edit that drops them needs room for a record in the manifest.
 * - A failed sync or read of a job is final: from then on engine_write, engine_seal and
 *   engine_flush return that error until the engine is opened anew; reads go on.
 *   A full disk is not: the job repeats itself with backoff, nothing is lost, and writes get
 *   RESOURCE_EXHAUSTED only once memory limits are reached.
 *   Nor is damage to a table that a compaction meets: its tables stay as they are, whatever can
 *   be merged without the damaged ones is, flushes go on, and the owner is told (on_damage).
 */
#ifndef ESTREAT_STORAGE_ENGINE_H
#define ESTREAT_STORAGE_ENGINE_H

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/job.h"
#include "base/slice.h"
#include "storage/batch.h"
#include "storage/keyspace.h"
#include "storage/snapshot.h"
#include "storage/table/times.h"

#define ENGINE_LEVELS 7
/* Sealed memtables that may wait for their flush; options.immutable_max is at most this. */
#define ENGINE_IMMUTABLE_MAX 8
#define ENGINE_COMPACTIONS_MAX 8
#define ENGINE_STATE_BYTES_MAX (4 * MIB)

struct engine;
struct engine_iter;

/* Zero means the default in brackets. */
struct engine_options {
    struct fs *fs;             /* borrowed for the engine's life, as the next three */
    struct alloc *alloc;       /* [alloc_default()] */
    struct clock *clock;       /* [clock_system()] */
    struct executor *executor; /* runs the jobs; see engine_close */
    const char *dir;           /* copied; the owner holds the lock on it */
    const struct keyspace_options *keyspaces; /* copied; the names are borrowed */
    size_t keyspace_count;                    /* 1 to KEYSPACES_MAX */
    size_t memtable_bytes;                    /* sum over keyspaces; engine_should_seal [64 MiB] */
    /* Writes are refused when the active memtables hold twice memtable_bytes and this: room for
     * what the owner writes between a seal that is due and one that is made [1 MiB] */
    size_t memtable_slack_bytes;
    /* A fifth is for the newest tables of keyspaces that are timed. [64 MiB] */
    size_t block_cache_bytes;
    size_t immutable_max;      /* seals that wait for their flush [2] */
    size_t l0_trigger;         /* level-0 tables: compact, at twice as many at the latest [4] */
    size_t l0_slowdown;        /* each write is delayed [20] */
    size_t l0_stop;            /* writes wait [36] */
    uint64_t level_base_bytes; /* target of level 1 [256 MiB] */
    uint64_t level_multiplier; /* of each level to the next [10] */
    uint64_t table_bytes;      /* tables are split at this size, or from half of it on [64 MiB] */
    unsigned compactions;      /* at once, at most ENGINE_COMPACTIONS_MAX [2] */
    size_t step_bytes;         /* what a step of a job moves, about [1 MiB] */
    /* What flushes and compactions write in a second. Flushes and the merges of level 0 do not wait
     * for it; the levels below make room for them, and rest. [no limit] */
    uint64_t write_bytes_per_second;
    size_t rewrites_max; /* partitions that are rewritten after a floor has risen [4] */

    /* A seal became durable, tables and blob. Called on the executor's thread, in the order of
     * the seals, with no lock held; `owner_state` is valid during the call. May be NULL. */
    void (*on_flushed)(void *context, struct slice owner_state);
    /* A compaction, or the open, has met a table that is damaged or missing: `err` names file and
     * offset. Called once at most, on the executor's thread or within engine_open(), with no lock
     * held. May be NULL. */
    void (*on_damage)(void *context, const struct error *err);
    /* If given, called over and over instead of sleeping whenever the writer has to wait
     * (stalls, engine_flush): a simulation runs a step of its executor there. */
    void (*on_wait)(void *context);
    void *context; /* of all three */
};

/* --- life -------------------------------------------------------------------------------- */

/* Opens the store in options->dir, or makes a new one (the directory too; its parent must
 * exist, and is the caller's to sync). Files that no manifest names are removed.
 * A table that is missing is damage like any other: it is told (on_damage), and what needs it is
 * CORRUPT. Returns owned. Errors: CORRUPT (file and offset named) for a damaged manifest;
 * FAILED_PRECONDITION if the keyspaces are not those of the store. */
enum status engine_open(const struct engine_options *options, struct engine **out,
                        struct error *err) MUST_USE;

/* Flushes nothing. Requires that no thread is in the engine, that iterators and snapshots are
 * gone, and that the executor runs no step any more: close the executor first. NULL is allowed. */
void engine_close(struct engine *engine);

/* Appends a copy of the blob of the last flushed seal; nothing for a new store. Any thread. */
enum status engine_sealed_state(struct engine *engine, struct buf *out, struct error *err) MUST_USE;

/* The number of seals that were flushed since the store was made. Any thread. */
uint64_t engine_sealed_count(struct engine *engine);

/* Repeats background work whose backoff has passed. Writes do it too; an owner that may be
 * idle calls this now and then (every 100 ms, say). Any thread, cheap. */
void engine_poll(struct engine *engine);

/* The error that stopped the engine's writing, else OK. Any thread. */
enum status engine_background_error(struct engine *engine, struct error *err);

/* --- writing (the writer) ---------------------------------------------------------------- */

/* Applies the batch, which stays the caller's. May wait: a millisecond while level 0 is past
 * its slowdown, until compaction has caught up past its stop. On an error nothing is visible.
 * RESOURCE_EXHAUSTED: memory limits are reached; the batch may be tried again after a seal, or
 * once the disk has room. Also, at four times its stop, a level 0 that cannot be merged because of
 * damage: that does not pass before the engine is opened anew. INVALID_ARGUMENT: a failed batch, a
 * delete, a key out of order or below the floor in a KEYSPACE_APPEND, a floor that falls. No memory
 * in the middle of a batch is a final error. */
enum status engine_write(struct engine *engine, const struct batch *batch,
                         struct error *err) MUST_USE;

/* Refuses as engine_write() would, and waits where that must wait, not where it slows down; writes
 * nothing: for an owner that logs the batch in between. */
enum status engine_check_write(struct engine *engine, const struct batch *batch,
                               struct error *err) MUST_USE;

/* True if damage keeps level 0 from being merged and engine_write() will refuse for it until the
 * engine is opened anew. */
bool engine_is_stuck(struct engine *engine);

/* True if the active memtables hold options.memtable_bytes. */
bool engine_should_seal(struct engine *engine);

/* Freezes the active memtables and gives them to the flush with `owner_state` (at most
 * ENGINE_STATE_BYTES_MAX, copied), also if they are empty. Waits while immutable_max seals
 * wait; RESOURCE_EXHAUSTED instead if their flush is failing for want of space. On an error
 * nothing has changed. */
enum status engine_seal(struct engine *engine, struct slice owner_state,
                        struct error *err) MUST_USE;

/* Waits until every seal is durable. RESOURCE_EXHAUSTED at once if the disk is full (the seals
 * stay queued and it may be tried again). */
enum status engine_flush(struct engine *engine, struct error *err) MUST_USE;

/* Merges the tables of each leveled keyspace until all of it is in one level; what damage keeps
 * from being merged stays. Takes as long as that takes. RESOURCE_EXHAUSTED at once if the disk is
 * full: what is done stays done. The memtables are not touched: seal and flush first. */
enum status engine_compact(struct engine *engine, struct error *err) MUST_USE;

/* --- reading (any thread) ----------------------------------------------------------------- */

/* Pins the present content: reads with it give the same answers for ever. Cheap to hold, but
 * what it sees is not compacted away. Returns owned; NULL if there is no memory. */
struct snapshot *engine_snapshot_new(struct engine *engine);
void engine_snapshot_free(struct engine *engine, struct snapshot *snapshot);

/* Replaces *value with the value of `key` at `snapshot` (NULL: now). NOT_FOUND (err is not
 * filled: it is an answer) if there is none; *value is then empty. Allocates only to grow
 * *value. CORRUPT names file and offset. */
enum status engine_get(struct engine *engine, const struct snapshot *snapshot, unsigned keyspace,
                       struct slice key, struct buf *value, struct error *err) MUST_USE;

/* Whether there is a value; it is not copied. Of a key that is not there the filters say so as a
 * rule, and nothing is read. CORRUPT and failed reads: *out is false, and says nothing. */
enum status engine_exists(struct engine *engine, const struct snapshot *snapshot, unsigned keyspace,
                          struct slice key, bool *out, struct error *err) MUST_USE;

/* As engine_get at the present, for the writer's thread: takes no lock and no reference. */
enum status engine_get_by_writer(struct engine *engine, unsigned keyspace, struct slice key,
                                 struct buf *value, struct error *err) MUST_USE;

/* Replaces *out with the floor of a KEYSPACE_APPEND at `snapshot` (NULL: now): keys below it are
 * gone. Empty: none was set (batch_set_floor). */
enum status engine_floor(struct engine *engine, const struct snapshot *snapshot, unsigned keyspace,
                         struct buf *out, struct error *err) MUST_USE;

struct engine_iter_options {
    struct slice begin; /* first key of the range; empty: from the start. Copied. */
    struct slice end;   /* the first key past it; empty: to the end. Copied. */
    bool no_fill_cache; /* blocks that are read are not cached: for long scans */
    bool past_cache;    /* every block is read from disk and checked: for audits */
    bool readahead;     /* reads large pieces ahead: for long forward scans */
    /* Only entries whose time is in [time_begin, time_end), of a keyspace that is timed; those
     * without a time are in no range. Partitions and parts of them that have no such time are not
     * read. */
    bool by_time;
    uint64_t time_begin;
    uint64_t time_end;
};

/* An iterator over the visible keys of [begin, end) at `snapshot` (NULL: now), which need not
 * outlive this call. Not positioned yet. `options` NULL: the whole keyspace. Returns owned.
 * The iterator belongs to one thread at a time and pins memtables and tables: close it. */
enum status engine_iter_new(struct engine *engine, const struct snapshot *snapshot,
                            unsigned keyspace, const struct engine_iter_options *options,
                            struct engine_iter **out, struct error *err) MUST_USE;
void engine_iter_close(struct engine_iter *iter); /* NULL is allowed */

/* To the first key >= `key` (clamped into the range), the first key, the last key. */
void engine_iter_seek(struct engine_iter *iter, struct slice key);
void engine_iter_seek_first(struct engine_iter *iter);
void engine_iter_seek_last(struct engine_iter *iter);
/* To the last key < `key`. */
void engine_iter_seek_before(struct engine_iter *iter, struct slice key);

/* Requires valid. The direction may change at any step. */
void engine_iter_next(struct engine_iter *iter);
void engine_iter_prev(struct engine_iter *iter);

/* False past either end, before the first seek, and after an error: ask engine_iter_status. */
bool engine_iter_valid(const struct engine_iter *iter);

/* Require valid; valid until the iterator moves. */
struct slice engine_iter_key(const struct engine_iter *iter);
struct slice engine_iter_value(const struct engine_iter *iter);

/* OK unless a read failed since the last seek. */
enum status engine_iter_status(const struct engine_iter *iter, struct error *err);

/* --- looking at it (any thread) ------------------------------------------------------------ */

struct engine_stats {
    uint64_t tables;
    uint64_t bytes; /* of all tables */
    uint64_t level_tables[ENGINE_LEVELS];
    uint64_t level_bytes[ENGINE_LEVELS];
    uint64_t memtable_bytes;  /* active */
    uint64_t immutable_count; /* seals that wait for their flush */
    uint64_t immutable_bytes;
    uint64_t stall_ns; /* the writer waited */
    uint64_t stalls;   /* times that it waited */
    uint64_t writes;   /* batches */
    uint64_t flushes;
    uint64_t flush_bytes_written;
    uint64_t compactions; /* merges, and moves that rewrote nothing */
    uint64_t compaction_bytes_read;
    uint64_t compaction_bytes_written;
    uint64_t compactions_now;    /* under way */
    uint64_t compaction_debt;    /* bytes that levels hold above their targets */
    bool compaction_due;         /* or under way */
    uint64_t partitions;         /* of all KEYSPACE_APPEND, but for fresh tables */
    uint64_t dead_bytes;         /* of theirs, below the durable floor; estimated from positions */
    uint64_t partitions_dropped; /* whole below a floor; fresh tables too */
    uint64_t partition_bytes_dropped;
    uint64_t partitions_rewritten; /* partly below */
    uint64_t partition_bytes_rewritten;
    uint64_t background_retries; /* for want of space */
    uint64_t block_cache_bytes;
    uint64_t block_cache_hits;
    uint64_t block_cache_misses;
    uint64_t last_sequence;
    /* By enum codec; since the open. */
    struct engine_codec_stats {
        struct codec_figures compress; /* as the codec that was asked for */
        uint64_t kept_blocks;          /* of these: did not shrink, stored as they are */
        struct codec_figures decompress;
    } codecs[CODEC_COUNT];
};

void engine_stats(struct engine *engine, struct engine_stats *out);

struct engine_table {
    uint64_t number;
    char name[32]; /* of the file in options.dir, e.g. "000012.sst" */
    unsigned level;
    struct slice smallest; /* user keys, both included; valid during the call */
    struct slice largest;
    uint64_t entries;
    uint64_t bytes;
    struct time_bounds times; /* of its values; both included */
};

typedef enum status (*engine_table_fn)(void *context, const struct engine_table *table,
                                       struct error *err);

/* Calls `each` for the keyspace's live tables, top level first, until it returns other than
 * OK, which is then returned. The tables stay on disk during the call. */
enum status engine_for_each_table(struct engine *engine, unsigned keyspace, engine_table_fn each,
                                  void *context, struct error *err) MUST_USE;

/* Reads every live table whole, past the caches, and checks checksums, order, key ranges and
 * counts against the manifest. Long; CORRUPT names the first damaged file and offset. */
enum status engine_verify(struct engine *engine, struct error *err) MUST_USE;

#endif
