/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside: the WAL's state, for its own files (open.c, wal.c, flight.c, reader.c).
 *
 * A group's way: `pending` collects; wal_submit makes it `flight`; then
 *
 *   flight        wal_submit          the I/O queue   wal_finish
 *   NONE          WRITING or a wait   -               -
 *   WAITING       -                   -               -           for a segment file
 *     file made                       WRITING         -           (or SYNCING)
 *     no room                         FAILED          -
 *   SYNCING       -                   -               -           for older segments' syncs
 *     all synced                      WRITING         -           (or WAITING)
 *     one failed                      FAILED          -
 *   WRITING       -                   FINISHED        -
 *   FINISHED      -                   -               NONE
 *   FAILED        -                   -               STALLED (no room), else poison
 *   STALLED       WRITING or a wait   -               -
 *
 * Of a log that is always synced `synced` is `end` and `chain` 0, and nothing is ever SYNCING.
 */
#ifndef ESTREAT_STORAGE_WAL_INSIDE_H
#define ESTREAT_STORAGE_WAL_INSIDE_H

#include <stdatomic.h>

#include "base/sync.h"
#include "storage/wal/files.h"
#include "storage/wal/group.h"
#include "storage/wal/index.h"
#include "storage/wal/terms.h"

enum wal_flight_state {
    FLIGHT_NONE,
    FLIGHT_WAITING,
    FLIGHT_SYNCING,
    FLIGHT_WRITING,
    FLIGHT_FINISHED,
    FLIGHT_FAILED,
    FLIGHT_STALLED,
};

struct wal {
    struct wal_options options; /* dir points to the copy below */
    char dir[PATH_BYTES_MAX];
    struct wal_metrics metrics;

    /* the owner's */
    struct wal_terms terms;   /* with what is pending */
    struct wal_state state;   /* likewise */
    struct wal_state written; /* after the last finished group */
    struct wal_group groups[2];
    struct wal_group *pending;
    bool fresh;    /* the next entry does not follow the last one on disk */
    bool attested; /* some group says that the last one with content is durable */
    bool busy;
    struct wal_term_run *recovered_runs;
    enum status poison;
    struct error poison_error;

    struct mutex mutex;
    struct condition changed;
    /* under the mutex; the owner, who alone changes them, reads `index.first_index` without */
    struct wal_index index;
    struct wal_files files;
    struct wal_position end;    /* of what is written: the next group goes here or behind */
    struct wal_position synced; /* of what is durable */
    uint64_t chain;             /* that of what is not; 0: all is durable */
    bool unsynced_cuts;         /* what is not removes entries */
    struct wal_position blank;  /* up to here zeros are written in its file, behind `end` */
    enum wal_flight_state flight_state;
    struct wal_group *flight; /* the other group; NULL when nothing is under way */
    struct wal_position flight_end;
    enum wal_group_form flight_form;
    uint64_t flight_chain;
    bool flight_sync;
    struct io_write write;
    enum status flight_status; /* FINISHED, FAILED */
    struct error flight_error;

    _Atomic unsigned readers;
};

/* --- flight.c: what happens to a frozen group -------------------------------------------- */

/* The hook of wal_files, after each thing that a flight may wait for: true if the flight failed, of
 * which the owner is to be told. */
bool wal_flight_attempted_locked(void *wal);

/* In NONE or STALLED: begins to write `flight`, or to wait for a segment. RESOURCE_EXHAUSTED
 * without memory: nothing changed. */
enum status wal_flight_start_locked(struct wal *wal, struct error *err) MUST_USE;

/* Waits until nothing is under way. */
void wal_flight_wait(struct wal *wal);

#endif
