/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/table/codec_adaptive.h"

#include "base/check.h"

/* A candidate takes the lead if it stores less by one part in this many. */
enum { LEAD_PART = 8 };

/* A share that differs from the remembered one by more than this is another kind of bytes. */
enum { SURPRISE_SHARE = ADAPTIVE_WHOLE / 8 };

/* A millisecond for a byte is as bad as any more, and can be doubled. */
#define COST_PS_MAX 1000000000U

_Static_assert(CODEC_NONE == 0 && CODEC_LZ4 == 1 && CODEC_ZSTD == 2 &&
                   ADAPTIVE_CANDIDATES == CODEC_ZSTD + 1,
               "candidates are the codecs' numbers, the cheapest first");

/* Picoseconds a byte, for want of a clock. */
static const uint32_t fixed_cost_ps[ADAPTIVE_CANDIDATES] = {0, 2000, 5000};

void codec_adaptive_init(struct codec_adaptive *adaptive, struct clock *clock, uint32_t budget_ps)
{
    *adaptive = (struct codec_adaptive){
        .clock = clock,
        .budget_ps = budget_ps != 0 ? budget_ps : ADAPTIVE_BUDGET_PS_DEFAULT,
        .choice = CODEC_LZ4,
        .interval = SAMPLE_INTERVAL_MIN,
    };
}

/* --- decisions ------------------------------------------------------------------------------- */

bool codec_adaptive_wants_sample(const struct codec_adaptive *adaptive)
{
    return adaptive->until_sample == 0;
}

static uint32_t share_of(size_t raw_bytes, size_t stored_bytes)
{
    CHECK(raw_bytes > 0);
    CHECK(stored_bytes <= raw_bytes);
    return (uint32_t)((uint64_t)stored_bytes * ADAPTIVE_WHOLE / raw_bytes);
}

static bool is_surprise(uint32_t expected, uint32_t share)
{
    uint32_t distance = expected > share ? expected - share : share - expected;
    return distance > SURPRISE_SHARE;
}

/* A quarter of the way. */
static uint32_t moved(uint32_t average, uint32_t value)
{
    return (uint32_t)(((uint64_t)average * 3 + value) / 4);
}

/* Other work on the machine only ever adds to a cost: less is believed at once, more by a quarter,
 * and as twice as much at most. */
static uint32_t moved_cost(uint32_t average, uint32_t cost)
{
    if (cost <= average) {
        return cost;
    }
    return moved(average, cost / 2 < average ? cost : average * 2);
}

void codec_adaptive_note_sample(struct codec_adaptive *adaptive, enum codec candidate,
                                size_t raw_bytes, size_t stored_bytes, uint64_t ns)
{
    CHECK(candidate < ADAPTIVE_CANDIDATES);
    struct candidate *remembered = &adaptive->remembered[candidate];
    uint32_t share = share_of(raw_bytes, stored_bytes);
    uint64_t measured_ps = ns < UINT32_MAX ? ns * 1000 / raw_bytes : COST_PS_MAX;
    uint32_t cost_ps = measured_ps < COST_PS_MAX ? (uint32_t)measured_ps : COST_PS_MAX;
    if (adaptive->clock == NULL) {
        cost_ps = fixed_cost_ps[candidate];
    }
    if (!adaptive->known || is_surprise(remembered->share, share)) {
        *remembered = (struct candidate){.share = share, .cost_ps = cost_ps};
    } else {
        remembered->share = moved(remembered->share, share);
        remembered->cost_ps = moved_cost(remembered->cost_ps, cost_ps);
    }
}

void codec_adaptive_choose(struct codec_adaptive *adaptive)
{
    enum codec lead = CODEC_NONE;
    uint32_t lead_share = ADAPTIVE_WHOLE;
    for (unsigned i = CODEC_LZ4; i < ADAPTIVE_CANDIDATES; i++) {
        uint32_t share = adaptive->remembered[i].share;
        if (adaptive->remembered[i].cost_ps <= adaptive->budget_ps &&
            share <= lead_share - lead_share / LEAD_PART) {
            lead = (enum codec)i;
            lead_share = share;
        }
    }
    bool confirmed = adaptive->known && lead == adaptive->choice;
    if (!confirmed) {
        adaptive->interval = SAMPLE_INTERVAL_MIN;
    } else if (adaptive->interval < SAMPLE_INTERVAL_MAX) {
        adaptive->interval *= 2;
    }
    adaptive->known = true;
    adaptive->choice = lead;
    adaptive->until_sample = adaptive->interval - 1;
}

void codec_adaptive_note(struct codec_adaptive *adaptive, size_t raw_bytes, size_t stored_bytes)
{
    CHECK(adaptive->until_sample > 0);
    adaptive->until_sample--;
    if (adaptive->choice == CODEC_NONE) {
        return; /* nothing was tried, so nothing is known */
    }
    uint32_t share = share_of(raw_bytes, stored_bytes);
    uint32_t *average = &adaptive->remembered[adaptive->choice].share;
    if (is_surprise(*average, share)) {
        uint32_t since = adaptive->interval - adaptive->until_sample;
        adaptive->interval = SAMPLE_INTERVAL_MIN;
        adaptive->until_sample = since < SAMPLE_INTERVAL_MIN ? SAMPLE_INTERVAL_MIN - since : 0;
    } else {
        *average = moved(*average, share);
    }
}

/* --- use ------------------------------------------------------------------------------------- */

static uint64_t now_ns(const struct codec_adaptive *adaptive)
{
    return adaptive->clock == NULL ? 0 : clock_monotonic_ns(adaptive->clock);
}

static enum status take_sample(struct codec_adaptive *adaptive, struct codec_context *context,
                               int zstd_level, struct slice raw, struct buf *scratch,
                               struct error *err)
{
    for (unsigned i = CODEC_LZ4; i < ADAPTIVE_CANDIDATES; i++) {
        enum codec used = CODEC_NONE;
        enum status status = STATUS_OK;
        if (!adaptive->known) { /* the context's memory comes with its first block: not timed */
            status =
                codec_compress(context, (enum codec)i, zstd_level, raw, scratch, &used, NULL, err);
        }
        uint64_t began_ns = now_ns(adaptive);
        if (status == STATUS_OK) {
            status =
                codec_compress(context, (enum codec)i, zstd_level, raw, scratch, &used, NULL, err);
        }
        if (status != STATUS_OK) {
            return status;
        }
        codec_adaptive_note_sample(adaptive, (enum codec)i, raw.length, scratch->length,
                                   now_ns(adaptive) - began_ns);
    }
    codec_adaptive_choose(adaptive);
    return STATUS_OK;
}

enum status codec_adaptive_compress(struct codec_adaptive *adaptive, struct codec_context *context,
                                    int zstd_level, struct slice raw, struct buf *out,
                                    enum codec *used, struct codec_counters *counters,
                                    struct error *err)
{
    CHECK(raw.length > 0);
    bool sample = codec_adaptive_wants_sample(adaptive);
    if (sample) {
        enum status status = take_sample(adaptive, context, zstd_level, raw, out, err);
        if (status != STATUS_OK) {
            return status;
        }
    }
    /* Once more after a sample, with the choice: simpler than a buffer for each candidate, and as
     * rare as samples are. */
    enum status status =
        codec_compress(context, adaptive->choice, zstd_level, raw, out, used, counters, err);
    if (status == STATUS_OK && !sample) {
        codec_adaptive_note(adaptive, raw.length, out->length);
    }
    return status;
}
