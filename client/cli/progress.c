/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/progress.h"

#include <unistd.h>

#include "base/banned.h"
#include "base/clock.h"

enum { BAR_WIDTH = 24, LINE_BYTES = 160 };

#define DRAW_INTERVAL_NS (100 * NS_PER_MS)

void progress_init(struct progress *progress, FILE *out)
{
    *progress = (struct progress){.out = out};
    mutex_init(&progress->mutex);
    progress->is_terminal = isatty(fileno(out)) == 1;
    progress->begin_ns = clock_monotonic_ns(clock_system());
    progress->next_ns = progress->begin_ns;
}

void progress_format(const struct progress_state *state, double seconds, char *out, size_t size)
{
    double rate = seconds > 0 ? (double)state->events / seconds : 0;
    char bar[BAR_WIDTH + 1];
    if (state->total == 0) {
        (void)snprintf(out, size, "%s: %lu events, %.0f/s", state->what,
                       (unsigned long)state->events, rate);
        return;
    }
    uint64_t done = state->done < state->total ? state->done : state->total;
    double part = (double)done / (double)state->total;
    double left = part > 0 ? seconds / part - seconds : 0;
    for (int i = 0; i < BAR_WIDTH; i++) {
        bar[i] = i < (int)(part * BAR_WIDTH) ? '#' : '.';
    }
    bar[BAR_WIDTH] = '\0';
    (void)snprintf(out, size, "%s [%s] %3.0f %%  %lu events, %.0f/s, %.0f s left", state->what, bar,
                   part * 100, (unsigned long)state->events, rate, left);
}

void progress_show(struct progress *progress, const struct progress_state *state)
{
    char line[LINE_BYTES];
    if (!progress->is_terminal) {
        return;
    }
    uint64_t now_ns = clock_monotonic_ns(clock_system());
    mutex_lock(&progress->mutex);
    if (now_ns >= progress->next_ns) {
        double seconds = (double)(now_ns - progress->begin_ns) / (double)NS_PER_S;
        progress_format(state, seconds, line, sizeof line);
        (void)fprintf(progress->out, "\r%s\033[K", line);
        (void)fflush(progress->out);
        progress->shown = true;
        progress->next_ns = now_ns + DRAW_INTERVAL_NS;
    }
    mutex_unlock(&progress->mutex);
}

void progress_wipe(struct progress *progress)
{
    mutex_lock(&progress->mutex);
    if (progress->shown) {
        (void)fprintf(progress->out, "\r\033[K");
        (void)fflush(progress->out);
        progress->shown = false;
    }
    mutex_unlock(&progress->mutex);
}

void progress_release(struct progress *progress)
{
    progress_wipe(progress);
    mutex_release(&progress->mutex);
}
