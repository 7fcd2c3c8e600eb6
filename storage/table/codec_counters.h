/* SPDX-License-Identifier: Apache-2.0
 *
 * Codec counters: what each codec was given, what it made of it, and how long it took.
 *
 * Blocks and bytes are counted for every block; time is taken of one block in
 * CODEC_TIMED_BLOCKS, since two looks at the clock would cost a cached read of 4 KiB some per
 * cent, and is scaled up by bytes when it is read. Any thread; relaxed atomics, so figures that
 * are read while others count may be a block apart.
 */
#ifndef ESTREAT_STORAGE_TABLE_CODEC_COUNTERS_H
#define ESTREAT_STORAGE_TABLE_CODEC_COUNTERS_H

#include <stdbool.h>

#include "base/clock.h"
#include "base/metrics.h"

/* One more than the largest codec on disk. */
#define CODEC_COUNT 5U

#define CODEC_TIMED_BLOCKS 16U

/* One direction of one codec. */
struct codec_counter {
    struct counter blocks;
    struct counter raw_bytes;
    struct counter stored_bytes;
    struct counter timed_bytes; /* raw bytes of the blocks that were timed */
    struct counter timed_ns;
};

/* Zeroed memory is a fresh set, without a clock. */
struct codec_counters {
    struct clock *clock; /* borrowed; NULL: nothing is timed */
    /* By the codec that was asked for: what did not shrink and was stored as it is counts here. */
    struct codec_counter compress[CODEC_COUNT];
    struct counter kept_blocks[CODEC_COUNT]; /* of these: stored as they are */
    /* By the codec that the block had. */
    struct codec_counter decompress[CODEC_COUNT];
};

/* One block under way. */
struct codec_lap {
    struct codec_counter *counter; /* NULL: nobody counts */
    struct clock *clock;           /* NULL: not timed */
    uint64_t began_ns;
};

/* Begins a block; `counters` may be NULL, and is else `compress` or `decompress` of one set. */
struct codec_lap codec_lap_begin(struct codec_counter *counter, struct clock *clock);

/* Counts it. A lap that is not ended counts as a block of no bytes. */
void codec_lap_end(const struct codec_lap *lap, uint64_t raw_bytes, uint64_t stored_bytes);

/* The figures of a counter at one moment. */
struct codec_figures {
    uint64_t blocks;
    uint64_t raw_bytes;
    uint64_t stored_bytes;
    uint64_t ns; /* of all blocks, estimated from those that were timed */
};

struct codec_figures codec_counter_read(struct codec_counter *counter);

#endif
