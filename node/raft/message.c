/* SPDX-License-Identifier: Apache-2.0 */
#include "raft/message.h"

#include <stddef.h>

static const char *const names[] = {
    [RAFT_MESSAGE_APPEND] = "APPEND",
    [RAFT_MESSAGE_APPEND_REPLY] = "APPEND_REPLY",
    [RAFT_MESSAGE_PRE_VOTE] = "PRE_VOTE",
    [RAFT_MESSAGE_PRE_VOTE_REPLY] = "PRE_VOTE_REPLY",
    [RAFT_MESSAGE_VOTE] = "VOTE",
    [RAFT_MESSAGE_VOTE_REPLY] = "VOTE_REPLY",
    [RAFT_MESSAGE_HEARTBEAT] = "HEARTBEAT",
    [RAFT_MESSAGE_HEARTBEAT_REPLY] = "HEARTBEAT_REPLY",
    [RAFT_MESSAGE_READ_INDEX] = "READ_INDEX",
    [RAFT_MESSAGE_READ_INDEX_REPLY] = "READ_INDEX_REPLY",
    [RAFT_MESSAGE_TIMEOUT_NOW] = "TIMEOUT_NOW",
};

const char *raft_message_type_name(enum raft_message_type type)
{
    size_t number = (size_t)type;
    if (number >= sizeof names / sizeof names[0] || names[number] == NULL) {
        return "?";
    }
    return names[number];
}
