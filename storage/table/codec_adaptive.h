/* SPDX-License-Identifier: Apache-2.0
 *
 * Adaptive codec: chooses a codec for the blocks of one stream of output by what became of those
 * before. It is a choice, not a format: each block says on disk which codec it really has.
 *
 * Now and then a block is a sample: every candidate, from the cheapest (none, lz4, zstd at the
 * stream's level), compresses it, and what it stored and what it cost are remembered as moving
 * averages. The rule that chooses:
 *
 *   none leads. Each next candidate takes the lead if it costs at most the budget, in picoseconds
 *   a byte of raw, and stores at least an eighth less than the one that leads.
 *
 * An eighth is what a compressed block must save to be stored at all (codec.h). Between samples
 * blocks go through the chosen codec, or through none with no effort at all.
 *
 * The next sample is due after SAMPLE_INTERVAL_MIN blocks, and after twice as many each time that
 * one has confirmed the choice, up to SAMPLE_INTERVAL_MAX: so a change is met within that many
 * blocks, and samples of what does not compress cost a part in so many of what compressing it all
 * would. A block that the chosen codec makes much larger or smaller than it was used to makes the
 * next one a sample, if the last sample was SAMPLE_INTERVAL_MIN blocks before. A sample that is far
 * from what was remembered replaces it; others move it by a quarter.
 *
 * Cost is measured with the clock that is passed in; a clock that stands still during a step, as
 * a simulator's does, gives the same choices from the same blocks each time. Without a clock the
 * candidates have fixed costs, of a machine of 2020.
 *
 * One thread at a time. The decisions are a pure function of what was noted.
 */
#ifndef ESTREAT_STORAGE_TABLE_CODEC_ADAPTIVE_H
#define ESTREAT_STORAGE_TABLE_CODEC_ADAPTIVE_H

#include "storage/table/codec.h"

#define SAMPLE_INTERVAL_MIN 8U
#define SAMPLE_INTERVAL_MAX 64U

/* zstd's lower levels are within it on most machines, its higher ones on none. */
#define ADAPTIVE_BUDGET_PS_DEFAULT 10000U

/* Of CODEC_NONE, CODEC_LZ4, CODEC_ZSTD. */
#define ADAPTIVE_CANDIDATES 3U

struct codec_adaptive {
    struct clock *clock; /* borrowed; NULL: fixed costs */
    uint32_t budget_ps;  /* a byte */
    enum codec choice;
    bool known;            /* there was a sample */
    uint32_t until_sample; /* blocks */
    uint32_t interval;
    struct candidate {
        uint32_t share;   /* stored of raw bytes, in ADAPTIVE_WHOLE */
        uint32_t cost_ps; /* a byte */
    } remembered[ADAPTIVE_CANDIDATES];
};

#define ADAPTIVE_WHOLE 4096U

/* `budget_ps` 0: the default. Before its first sample the choice is CODEC_LZ4. */
void codec_adaptive_init(struct codec_adaptive *adaptive, struct clock *clock, uint32_t budget_ps);

/* --- decisions ------------------------------------------------------------------------------- */

/* True if the next block is a sample. */
bool codec_adaptive_wants_sample(const struct codec_adaptive *adaptive);

/* What one candidate made of a sample's `raw_bytes` (> 0), in `ns`; the latter is ignored without a
 * clock. Then, when all were noted, codec_adaptive_choose(). */
void codec_adaptive_note_sample(struct codec_adaptive *adaptive, enum codec candidate,
                                size_t raw_bytes, size_t stored_bytes, uint64_t ns);
void codec_adaptive_choose(struct codec_adaptive *adaptive);

/* A block that was no sample went through the choice. */
void codec_adaptive_note(struct codec_adaptive *adaptive, size_t raw_bytes, size_t stored_bytes);

/* --- use ------------------------------------------------------------------------------------- */

/* As codec_compress(), with the codec that it chooses. Samples are counted as the codec that was
 * chosen after them, as if the others had not been tried. */
enum status codec_adaptive_compress(struct codec_adaptive *adaptive, struct codec_context *context,
                                    int zstd_level, struct slice raw, struct buf *out,
                                    enum codec *used, struct codec_counters *counters,
                                    struct error *err) MUST_USE;

#endif
