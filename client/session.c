/* SPDX-License-Identifier: Apache-2.0 */
#include "client/session.h"

#include "base/check.h"

_Static_assert(SESSION_WINDOW_MAX % 64 == 0, "the ring is made of whole words");

static uint64_t *word_of(struct session *session, uint64_t sequence, uint64_t *bit)
{
    uint64_t place = sequence % SESSION_WINDOW_MAX;
    *bit = 1ULL << (place % 64);
    return &session->ended[place / 64];
}

void session_init(struct session *session, struct rng *rng)
{
    *session = (struct session){.low = 1, .next = 1};
    rng_fill(rng, session->client_id, sizeof session->client_id);
}

bool session_has_room(const struct session *session)
{
    CHECK(session->low <= session->next);
    return session->next - session->low < SESSION_WINDOW_MAX;
}

uint64_t session_begin(struct session *session)
{
    CHECK(session_has_room(session));
    return session->next++;
}

void session_end(struct session *session, uint64_t sequence)
{
    uint64_t bit;
    uint64_t *word = word_of(session, sequence, &bit);
    CHECK(sequence >= session->low && sequence < session->next);
    CHECK((*word & bit) == 0);
    *word |= bit;
    while (session->low < session->next) {
        word = word_of(session, session->low, &bit);
        if ((*word & bit) == 0) {
            break;
        }
        *word &= ~bit;
        session->low++;
    }
}

void session_saw_time(struct session *session, uint64_t log_time_ns)
{
    if (session->log_time_ns < log_time_ns) {
        session->log_time_ns = log_time_ns;
    }
}
