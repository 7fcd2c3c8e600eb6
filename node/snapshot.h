/* SPDX-License-Identifier: Apache-2.0
 *
 * Snapshot: what the two ends of a snapshot's way share. A node that lacks log which its
 * leader no longer has pulls (snapshot_pull.h) the files of another node's checkpoint
 * (snapshot_source.h) in calls of schema/snapshot.proto, over a link that is passed in: RPC
 * in estreatd (snapshot_link.h), the simulated network in the simulator.
 */
#ifndef ESTREAT_NODE_SNAPSHOT_H
#define ESTREAT_NODE_SNAPSHOT_H

#include <stdbool.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/status.h"

/* The methods of the service Snapshot, by their numbers in the schema. */
enum snapshot_method { SNAPSHOT_DESCRIBE, SNAPSHOT_READ };

/* A piece takes 4 ms at gigabit speed, so that nothing else waits behind it for long. */
#define SNAPSHOT_PIECE_BYTES (512 * KIB)
#define SNAPSHOT_PIECE_BYTES_MAX (1 * MIB)
/* The files that one description lists: 300 KiB of it. */
#define SNAPSHOT_FILES_LISTED 4096U
/* A source keeps its log from a snapshot on for so long after it was last asked about it: whoever
 * pulled starts again and connects within this. */
#define SNAPSHOT_LOG_HELD_NS (5 * NS_PER_S)
/* More is damage: the list is held in memory. */
#define SNAPSHOT_FILES_MAX 1000000U

_Static_assert(SNAPSHOT_PIECE_BYTES_MAX + 64 * KIB < PEER_FRAME_BYTES_MAX, "a piece fits a frame");
_Static_assert(SNAPSHOT_FILES_LISTED * 128UL + 256 * KIB < PEER_FRAME_BYTES_MAX,
               "a description fits a frame");

/* How a call ended. Valid during the call of the function that is told. */
struct snapshot_answer {
    enum status status;
    const char *text;                /* one line; "" for OK */
    const ProtobufCMessage *message; /* NULL unless OK */
};

typedef void (*snapshot_answer_fn)(void *context, const struct snapshot_answer *answer);

struct snapshot_link {
    /* Asks the member with this Raft id; `request` is packed before this returns. `done` is called
     * once, on any thread; within this call too, if it fails at once. A question that gets no
     * answer ends with a status. False: it could not be asked, and `done` is not called. */
    bool (*ask)(struct snapshot_link *link, uint64_t member, enum snapshot_method method,
                const ProtobufCMessage *request, snapshot_answer_fn done, void *context);
};

#endif
