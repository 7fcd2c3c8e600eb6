/* SPDX-License-Identifier: Apache-2.0 */
#include "links.h"

#include <inttypes.h>
#include <stdio.h>

bool link_is_election(enum raft_message_type type)
{
    return type == RAFT_MESSAGE_PRE_VOTE || type == RAFT_MESSAGE_PRE_VOTE_REPLY ||
           type == RAFT_MESSAGE_VOTE || type == RAFT_MESSAGE_VOTE_REPLY ||
           type == RAFT_MESSAGE_TIMEOUT_NOW;
}

static bool is_leaders(enum raft_message_type type)
{
    return type == RAFT_MESSAGE_APPEND || type == RAFT_MESSAGE_HEARTBEAT;
}

/* Loses the letters of a link that are an APPEND, or also those that are a HEARTBEAT. */
static void lose(struct network *link, bool heartbeats)
{
    struct network kept = {0};
    for (size_t i = 0; i < link->count; i++) {
        struct letter *letter = &link->letters[i];
        bool lost = heartbeats ? is_leaders(letter->message.type)
                               : letter->message.type == RAFT_MESSAGE_APPEND;
        if (lost) {
            letter_release(letter);
        } else {
            link->letters[kept.count++] = *letter;
        }
    }
    link->count = kept.count;
}

/* A vote or an acknowledgement that a crash could take back. */
static bool is_rash(const struct node *node, const struct raft_message *message)
{
    const struct raft_hard_state *hard = &node->disk.hard_state;
    if (message->reject) {
        return false;
    }
    return (message->type == RAFT_MESSAGE_VOTE_REPLY &&
            (hard->term != message->term || hard->vote != message->to)) ||
           (message->type == RAFT_MESSAGE_APPEND_REPLY && disk_last(&node->disk) < message->index);
}

/* True if `to` is on its way out of the cluster that `from` leads. */
static bool is_leaving(const struct node *from, uint64_t to)
{
    struct raft_peer peers[RAFT_PEERS_MAX];
    size_t count = raft_peers(from->raft, peers, RAFT_PEERS_MAX);
    bool leaving = false;
    for (size_t i = 0; i < count; i++) {
        leaving = leaving || (peers[i].id == to && peers[i].leaving);
    }
    return leaving;
}

void link_post(struct cores *cores, const struct raft_message *message)
{
    const struct node *sender = cores_node(cores, message->from);
    if (is_rash(sender, message)) {
        printf("unsafe node %" PRIu64 " promises what is not on its disk\n", message->from);
    }
    size_t from = (size_t)message->from - 1;
    size_t to = (size_t)message->to - 1;
    bool half = cores->cut[to][from] && message->type == RAFT_MESSAGE_APPEND;
    if (cores->cut[from][to] || half) {
        return;
    }
    if (is_leaders(message->type) && is_leaving(sender, message->to)) {
        printf("allowed removed-is-told\n");
    } else {
        network_post(&cores->links[from][to], message, 0);
    }
}

void link_lose_leaders(struct cores *cores, uint64_t from)
{
    for (size_t to = 0; to < cores->count; to++) {
        lose(&cores->links[from - 1][to], true);
    }
}

struct network link_take(struct cores *cores, uint64_t from, uint64_t to)
{
    struct network taken = cores->links[from - 1][to - 1];
    cores->links[from - 1][to - 1] = (struct network){0};
    return taken;
}

void cores_repeat(struct cores *cores, uint64_t from, uint64_t to)
{
    struct network *link = &cores->links[from - 1][to - 1];
    size_t count = link->count;
    for (size_t i = 0; i < count; i++) {
        struct raft_message message = link->letters[i].message;
        network_post(link, &message, 0);
    }
}

void cores_drop(struct cores *cores, uint64_t from, uint64_t to)
{
    network_release(&cores->links[from - 1][to - 1]);
}

void cores_cut(struct cores *cores, uint64_t from, uint64_t to)
{
    cores->cut[from - 1][to - 1] = true;
    cores_drop(cores, from, to);
    lose(&cores->links[to - 1][from - 1], false);
}

void cores_heal(struct cores *cores)
{
    memset(cores->cut, 0, sizeof cores->cut);
}
