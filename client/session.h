/* SPDX-License-Identifier: Apache-2.0
 *
 * Session: what makes an append apply exactly once. A client has a random id and
 * numbers its requests from 1; the cluster remembers the answers of the numbers
 * that the client has not yet acknowledged, and answers a repeat from memory.
 *
 *   ... answered ...   low ............ next
 *                       └ at most SESSION_WINDOW_MAX numbers, some answered
 *
 * `low` is the low-water mark: every lower number has ended and is never sent
 * again. It travels with each request as acknowledged_below. A number that ends
 * without an answer (its time ran out) ends all the same: it is not sent again.
 *
 * Invariant: low <= next <= low + SESSION_WINDOW_MAX; numbers below low and from
 * next on have no bit set. Not thread-safe.
 */
#ifndef ESTREAT_CLIENT_SESSION_H
#define ESTREAT_CLIENT_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/rng.h"

struct session {
    uint8_t client_id[CLIENT_ID_BYTES];
    uint64_t low;
    uint64_t next;
    uint64_t log_time_ns; /* the newest log time that an answer told; 0: none yet */
    uint64_t ended[SESSION_WINDOW_MAX / 64]; /* a ring of bits, by number */
};

void session_init(struct session *session, struct rng *rng);

/* True if session_begin() may be called. */
bool session_has_room(const struct session *session);

/* Takes the next number. */
uint64_t session_begin(struct session *session);

/* `sequence` will not be sent again. Once for each number that began. */
void session_end(struct session *session, uint64_t sequence);

/* An answer told that the log had reached this time. */
void session_saw_time(struct session *session, uint64_t log_time_ns);

#endif
