/* SPDX-License-Identifier: Apache-2.0
 *
 * TIMEOUT_NOW: handing leadership over (dissertation 3.10). The leader brings the target's log up
 * to date, and has it campaign without waiting. Until the target has acknowledged what there was at
 * the request it takes proposals as ever: a slow target holds nobody up. For the rest it takes no
 * more.
 */
#include "base/check.h"
#include "raft/core.h"

enum status raft_transfer(struct raft *raft, uint64_t target, struct error *err)
{
    if (raft->role != RAFT_LEADER) {
        return error_set(err, STATUS_FAILED_PRECONDITION, "not the leader");
    }
    if (target == raft->id || !raft_members_is_voter(&raft->members, target)) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "%llu is not another voter",
                         (unsigned long long)target);
    }
    if (raft->transfer_target == target) {
        return STATUS_OK; /* under way; who asks again must not keep it so for ever */
    }
    raft->transfer_target = target;
    raft->transfer_index = raft->log.last_index;
    raft->transfer_elapsed = 0;
    raft_continue_transfer(raft);
    return STATUS_OK;
}

void raft_continue_transfer(struct raft *raft)
{
    if (raft->transfer_target == 0) {
        return;
    }
    CHECK(raft->role == RAFT_LEADER);
    const struct raft_progress *target = raft_members_find(&raft->members, raft->transfer_target);
    CHECK(target != NULL); /* no change of the members meanwhile */
    if (target->match >= raft->transfer_index) {
        raft->transfer_index = 0;
    }
    if (raft->transfer_index == 0 && target->match == raft->log.last_index) {
        raft_send(raft, (struct raft_message){
                            .type = RAFT_MESSAGE_TIMEOUT_NOW,
                            .to = target->id,
                            .term = raft->hard.term,
                        });
    }
}

void raft_tick_transfer(struct raft *raft)
{
    if (raft->transfer_target == 0) {
        return;
    }
    CHECK(raft->role == RAFT_LEADER);
    raft->transfer_elapsed++;
    if (raft->transfer_elapsed >= raft->election_ticks) {
        raft->transfer_target = 0; /* the target does not make it; go on leading */
    }
}

enum status raft_receive_timeout_now(struct raft *raft, const struct raft_message *message,
                                     struct error *err)
{
    CHECK(message->type == RAFT_MESSAGE_TIMEOUT_NOW);
    if (raft->role != RAFT_FOLLOWER || raft->leader != message->from || !raft->electable ||
        raft_is_refilling(raft) || !raft_members_is_voter(&raft->members, raft->id)) {
        return STATUS_OK;
    }
    return raft_campaign(raft, RAFT_CAMPAIGN_TRANSFER, err);
}
