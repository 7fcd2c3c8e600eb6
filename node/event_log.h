/* SPDX-License-Identifier: Apache-2.0
 *
 * Event_log: reading events out of the engine: by position, by key, by time.
 * Pure reading, any thread. `size` bounds what is seen: nothing at or past that
 * position exists for the caller, although the engine may hold it.
 */
#ifndef ESTREAT_NODE_EVENT_LOG_H
#define ESTREAT_NODE_EVENT_LOG_H

#include "node/event_record.h"
#include "node/keyspaces.h"
#include "storage/engine.h"

/* Reads the event at `position`; the record borrows from `value`. NOT_FOUND past the end.
 * DATA_LOSS if it should be there and is not, or is damaged. */
enum status event_log_read(struct engine *engine, uint64_t size, uint64_t position,
                           struct buf *value, struct event_record *out, struct error *err) MUST_USE;

/* The first position in [0, size] whose event's time is not less than `time_ns`; `size` if there
 * is none. Times rise strictly with the positions: of what lies in tables that know their times one
 * is read, and of that the part that has the time; the rest is searched by halves. */
enum status event_log_position_at(struct engine *engine, uint64_t size, uint64_t time_ns,
                                  uint64_t *position, struct error *err) MUST_USE;

/* The newest version of `key` whose position is below `size`. NOT_FOUND if it has none. */
enum status event_log_newest(struct engine *engine, uint64_t size, struct slice key,
                             uint64_t *version, struct version_row *out,
                             struct error *err) MUST_USE;

#endif
