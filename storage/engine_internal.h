/* SPDX-License-Identifier: Apache-2.0
 *
 * The engine's inside, shared by the engine_*.c files.
 *
 * Locks, in the order in which they may be taken:
 *   pick_mutex   who takes tables for a compaction, or gives them back
 *   edit_mutex   who changes manifest and catalog; held over the manifest's sync
 *   mutex        who replaces the current view, snapshots, the last seal, errors, backoffs;
 *                held for a few instructions
 *   the catalog's own, the epoch's
 * A reader takes none of them for its view.
 */
#ifndef ESTREAT_STORAGE_ENGINE_INTERNAL_H
#define ESTREAT_STORAGE_ENGINE_INTERNAL_H

#include "base/epoch.h"
#include "base/metrics.h"
#include "base/rate_limit.h"
#include "base/sync.h"
#include "storage/engine.h"
#include "storage/engine_metrics.h"
#include "storage/engine_view.h"
#include "storage/table/block_cache.h"
#include "storage/tree/compact.h"
#include "storage/tree/flush.h"
#include "storage/tree/manifest.h"
#include "storage/tree/pick.h"

#define ENGINE_BACKOFF_MIN_NS (100 * NS_PER_MS)
#define ENGINE_BACKOFF_MAX_NS (5 * NS_PER_S)

/* Work of one kind that waits for what it wants, space or memory. Under engine->mutex. */
struct backoff {
    bool on;
    uint64_t until_ns;
    uint64_t length_ns; /* of the last one; 0 after a success */
    struct error cause;
    void (*submit)(struct engine *engine); /* has the work tried again */
};

/* A background job of the engine. */
struct background {
    struct job job; /* first: the step finds the rest from it */
    struct engine *engine;
    struct backoff *backoff; /* of its kind; NULL: it never fails */
};

/* Snapshots as a job saw them when it began. */
struct snapshot_copy {
    uint64_t *sequences;
    size_t count;
};

/* The tables of a compaction that met damage. Which of them are damaged is found out by reading
 * each of them whole, one a step. */
struct suspects {
    struct version *version; /* referenced; NULL: there are none */
    struct pick pick;
    size_t next;       /* of all tables of the pick, to be read */
    bool found;        /* damage, in those before */
    struct error what; /* the compaction met, or else the first damage found */
};

/* One of the jobs that compact, and what it has under way. Only its steps touch it, but for what is
 * said to be of the mutexes. */
struct compaction {
    struct background background; /* first */
    bool working;
    struct snapshot_copy snapshots;
    struct edit edit;
    struct compact compact;
    struct suspects suspects;
    uint64_t began_ns;
    uint64_t charged;  /* bytes written of which the rate limit knows */
    bool in_debt;      /* mutex: the rate limit's, when it last looked, until */
    uint64_t until_ns; /* mutex */
};

struct engine {
    struct engine_options options; /* defaults filled in */
    struct keyspace_options *keyspaces;
    char *dir;
    struct alloc *alloc;
    struct block_cache *cache;
    struct codec_counters codec_counters;
    struct codec_memory codec_memory;
    struct bloom_counters bloom_counters;
    struct output_place place;
    struct pick_options pick_options;
    _Atomic uint64_t next_file;

    struct epoch epoch; /* of readers on their way to a view, or to a version of the catalog */
    struct mutex edit_mutex;
    struct manifest *manifest;
    struct catalog *catalog;   /* edits under edit_mutex */
    uint64_t durable_sequence; /* edit_mutex: of the last flushed seal */

    struct mutex mutex;
    struct condition changed; /* a view was replaced, a job failed */
    _Atomic(struct view *) view;
    struct snapshot_list snapshots;
    struct buf owner_state; /* of the last flushed seal */
    uint64_t sealed_count;  /* flushed */
    atomic_bool failed;
    struct error failure;
    atomic_bool closing;
    bool floors_held; /* snapshots keep what is below a durable floor */
    bool compact_due; /* they keep it no longer: see engine_poll */

    _Atomic uint64_t last_sequence; /* what readers see */

    /* The writer's. */
    struct view *writer_view; /* a reference of its own, perhaps behind `view` */
    uint64_t seal_number;
    struct buf append_last[KEYSPACES_MAX]; /* highest key of each KEYSPACE_APPEND */
    struct floor append_floor[KEYSPACES_MAX];

    struct background flush_job;
    struct background remove_job;
    struct backoff flush_backoff;
    struct backoff compact_backoff;

    /* The flush job's. */
    bool flushing;
    uint64_t flush_began_ns;
    struct mem_set *flush_set;
    struct snapshot_copy flush_snapshots;
    struct edit flush_edit;
    struct flush flush;

    /* The compactions'. */
    struct compaction compactions[ENGINE_COMPACTIONS_MAX]; /* options.compactions of them */
    struct mutex pick_mutex;
    atomic_uint compacting;         /* how many have taken tables; changed under pick_mutex */
    _Atomic unsigned rewrites_left; /* partitions of this round; a durable floor begins the next */
    atomic_bool compact_whole;      /* engine_compact waits; a job unsets it */
    struct rate_limit rate;
    atomic_bool damage_told;
    struct error missing; /* OK, or a table that was not there at the open */

    struct engine_metrics metrics;
};

/* --- engine.c ------------------------------------------------------------------------------- */

/* The current view, referenced. Any thread; waits for nobody. */
struct view *engine_view_acquire(struct engine *engine);

/* The current view, borrowed until the next call. The writer. */
struct view *engine_writer_view(struct engine *engine);

/* Makes `next` (view_new) the current view, out of the present one: `set_active` NULL: the
 * present active set stays, else it becomes the newest immutable; `flushed` (may be NULL) is
 * the oldest immutable and goes; `version` NULL: stays. With engine->mutex held; returns the
 * view to retire after unlocking. */
struct view *engine_view_replace_locked(struct engine *engine, struct view *next,
                                        struct mem_set *set_active, struct mem_set *flushed,
                                        struct version *version);

/* Gives back the engine's reference on a view that was replaced, when nobody can be about to take
 * one of his own. */
void engine_view_retire(struct engine *engine, struct view *view);

/* Records a final error (the first one counts). */
void engine_fail(struct engine *engine, const struct error *err);

/* OK, or the final error. */
enum status engine_check_failed(struct engine *engine, struct error *err) MUST_USE;

/* --- engine_floor.c ------------------------------------------------------------------------- */

/* The floor that a reader of this view sees at `sequence`, which he took after the view. */
struct floor engine_view_floor(const struct view *view, unsigned keyspace, uint64_t sequence);

/* The same for a reader who may have a snapshot (else NULL). */
struct floor engine_floor_at(const struct view *view, const struct snapshot *snapshot,
                             unsigned keyspace, uint64_t sequence);

/* How the next compaction is picked, `floors` being the memory for the floors below which nobody
 * needs anything: those of held snapshots and of the last flushed seal. */
struct pick_options engine_pick_options(struct engine *engine, const struct version *version,
                                        struct floor floors[KEYSPACES_MAX]);

/* --- engine_hot.c --------------------------------------------------------------------------- */

/* Tells the block cache which tables of `version` are hot. edit_mutex is held, or nobody else
 * knows the engine yet. */
void engine_mark_hot(struct engine *engine, const struct version *version);

/* --- engine_stats.c ------------------------------------------------------------------------- */

/* Reads the table whole and checks all of it, and that it is the one that the manifest means. */
enum status engine_verify_table(struct table_file *file, struct error *err) MUST_USE;

/* The latter alone: CORRUPT if `table` has other keys, counts or times than the manifest says. */
enum status engine_check_table_is(const struct table_file *file, const struct table *table,
                                  struct error *err) MUST_USE;

/* --- engine_damage.c: a compaction's --------------------------------------------------------- */

/* The compaction of `pick` of `version` has met `what`, CORRUPT; its tables stay taken. */
void engine_suspect(struct suspects *suspects, struct version *version, const struct pick *pick,
                    const struct error *what);

/* Looks at the next suspect, or, when all were looked at, makes it known which are damaged: they
 * are not merged any more, the owner is told, and *done set. An error other than damage: the same
 * step may be repeated. Requires that there are suspects. */
enum status engine_suspects_step(struct engine *engine, struct suspects *suspects, bool *done,
                                 struct error *err) MUST_USE;

void engine_suspects_release(struct suspects *suspects);

/* Logs it, and tells the owner if he does not know of any. Also by the open, before any job runs.
 */
void engine_tell_damage(struct engine *engine, const struct error *what);

/* --- engine_jobs.c -------------------------------------------------------------------------- */

void engine_jobs_init(struct engine *engine);

/* Lets go of what the jobs hold; the executor runs none any more. */
void engine_jobs_release(struct engine *engine);

/* The catalog's on_dead. */
void engine_jobs_on_dead(void *context);

/* What all jobs do: `job` as what it is the first field of. */
struct background *engine_background(struct job *job);

/* False while work of its kind backs off, or the engine has failed. */
bool engine_may_begin(struct background *background);
void engine_note_success(struct background *background);

/* Want of space or memory passes: a backoff begins. Everything else is final. */
void engine_note_failure(struct background *background, const char *what, enum status status,
                         struct error *err);

/* A snapshot that is taken later is of a sequence above all that the job reads, so the job need
 * not know of it. To be released, also after an error. */
enum status engine_copy_snapshots(struct engine *engine, struct snapshot_copy *copy,
                                  struct error *err) MUST_USE;
void engine_release_snapshots(struct engine *engine, struct snapshot_copy *copy);

/* Makes an edit durable, then seen. `flushed` (NULL: none) is the seal that became tables. After
 * an error other than RESOURCE_EXHAUSTED nobody knows whether the manifest has it. */
enum status engine_install_edit(struct engine *engine, struct edit *edit, struct mem_set *flushed,
                                struct error *err) MUST_USE;

/* --- engine_compact.c ----------------------------------------------------------------------- */

void engine_compactions_init(struct engine *engine);

/* Lets go of what they hold, as engine_jobs_release. */
void engine_compactions_release(struct engine *engine);

/* Has each look whether there is something to do. Any thread. */
void engine_submit_compactions(struct engine *engine);

/* Those that rest for the rate limit, and need not any more, go on. Any thread. */
void engine_poll_compactions(struct engine *engine, uint64_t now_ns);

#endif
