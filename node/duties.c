/* SPDX-License-Identifier: Apache-2.0 */
#include "node/duties.h"

#include "base/log.h"

#define STOP_PATIENCE_NS (2 * NS_PER_S)
/* Before it hands over, a leader that stops answers the appends that it has taken. */
#define ANSWERING_NS (200 * NS_PER_MS)
#define HAND_OVER_REST_NS (30 * NS_PER_S)
/* Entries that are committed and not applied: whoever has more should not lead. */
#define LAGGARD_ENTRIES 4096U

/* After its start a node that must apply much of its log again leaves it to others to campaign, who
 * may have that in tables. When they had the time to, there are none, or none that can; a number
 * that is each node's own keeps those that have waited from campaigning all at once. */
static uint64_t others_first_ns(const struct config *config)
{
    uint64_t election_ms = config->election_ms;
    return (2 * election_ms + config_raft_id(config, config_self(config)) % election_ms) *
           NS_PER_MS;
}

void duties_init(struct duties *duties, const struct config *config, const struct members *members,
                 struct raft *raft, struct admin *admin, const struct proposals *proposals,
                 struct applied *applied, struct fault *fault, uint64_t found_index,
                 uint64_t now_ns)
{
    *duties = (struct duties){.config = config,
                              .members = members,
                              .raft = raft,
                              .admin = admin,
                              .proposals = proposals,
                              .applied = applied,
                              .fault = fault,
                              .found_index = found_index,
                              .others_first_until_ns = now_ns + others_first_ns(config)};
}

void duties_log_busy(struct duties *duties, uint64_t now_ns)
{
    if (duties->busy_since_ns == 0) {
        duties->busy_since_ns = now_ns;
    }
}

void duties_log_idle(struct duties *duties)
{
    duties->busy_since_ns = 0;
}

/* A disk that does not answer for two election timeouts may never: the others go on without it. */
static void watch_stall(struct duties *duties, uint64_t now_ns)
{
    uint64_t patience_ns = 2ULL * duties->config->election_ms * NS_PER_MS;
    bool stalled = duties->busy_since_ns != 0 && now_ns > duties->busy_since_ns + patience_ns;
    if (stalled != duties->stalled) {
        duties->stalled = stalled;
        duties->handed_over = false;
        log_write("wal", stalled ? LOG_ERROR : LOG_INFO,
                  stalled ? "the disk does not answer" : "the disk answers again", "busy_ms=%lu",
                  (unsigned long)((stalled ? now_ns - duties->busy_since_ns : 0) / NS_PER_MS));
    }
}

/* What is not known to be committed yet after a start, as nobody leads, was so most likely. */
static bool lags(const struct duties *duties, uint64_t commit, uint64_t now_ns)
{
    if (now_ns < duties->others_first_until_ns && commit < duties->found_index) {
        commit = duties->found_index;
    }
    return commit > applied_get(duties->applied).index + LAGGARD_ENTRIES;
}

void duties_watch(struct duties *duties, uint64_t commit, uint64_t now_ns)
{
    bool alone = members_voters(duties->members) <= 1;
    watch_stall(duties, now_ns);
    duties->faulty = duties->faulty || (!alone && fault_get(duties->fault, NULL));
    raft_set_electable(duties->raft, alone || !(duties->faulty || duties->stalled ||
                                                lags(duties, commit, now_ns)));
}

/* Again if whom it was given to did not take it. While it tries, the core takes no appends for much
 * of the time: who has tried all in vain leads on for a while. */
void duties_hand_over(struct duties *duties, bool leads, uint64_t now_ns)
{
    if (duties->handed_over && now_ns >= duties->hand_over_again_ns) {
        duties->handed_over = false;
    }
    if (!(duties->leaving || duties->faulty || duties->stalled) || duties->handed_over || !leads) {
        return;
    }
    if (duties->leaving && proposals_wait(duties->proposals) && now_ns < duties->hand_over_at_ns) {
        return; /* it is called again when those are applied */
    }
    duties->handed_over = true;
    duties->hand_over_again_ns = now_ns + duties->config->election_ms * NS_PER_MS;
    if (!admin_hand_over(duties->admin) && duties->leaving) {
        duties->leave_at_ns = now_ns; /* nobody takes over, so there is nothing to wait for */
    }
    if (!duties->leaving && admin_tried_all(duties->admin)) {
        duties->hand_over_again_ns = now_ns + HAND_OVER_REST_NS;
    }
}

void duties_leave(struct duties *duties, uint64_t now_ns)
{
    if (!duties->leaving) {
        duties->leaving = true;
        duties->hand_over_at_ns = now_ns + ANSWERING_NS;
        duties->leave_at_ns = now_ns + STOP_PATIENCE_NS;
    }
}

bool duties_left(const struct duties *duties, bool leads, uint64_t now_ns)
{
    return duties->leaving && (!leads || now_ns >= duties->leave_at_ns);
}
