/* SPDX-License-Identifier: Apache-2.0 */
#include "client/pull.h"

#include <stddef.h>

#include "base/check.h"

#define PULL_OF(member, pointer)                                                                   \
    ((struct pull *)(void *)((char *)(pointer)-offsetof(struct pull, member)))

static void on_watchdog(struct rpc_timer *timer)
{
    struct pull *pull = PULL_OF(watchdog, timer);
    uint64_t now_ns = clock_monotonic_ns(pull->client->clock);
    uint64_t next_ns = now_ns + pull->silence_ns;
    mutex_lock(&pull->mutex);
    if (pull->silent_until_ns != 0 && now_ns >= pull->silent_until_ns) {
        pull->silent_too_long = true;
        pull->silent_until_ns = 0;
        rpc_stream_cancel(pull->call);
    } else if (pull->silent_until_ns != 0) {
        next_ns = pull->silent_until_ns;
    }
    mutex_unlock(&pull->mutex);
    rpc_timer_set(pull->client->loop, timer, next_ns);
}

static void run_arm(struct rpc_event *event)
{
    struct pull *pull = PULL_OF(arm, event);
    pull->watchdog.fire = on_watchdog;
    rpc_timer_set(pull->client->loop, &pull->watchdog,
                  clock_monotonic_ns(pull->client->clock) + pull->silence_ns);
}

static void run_disarm(struct rpc_event *event)
{
    struct pull *pull = PULL_OF(disarm, event);
    rpc_timer_cancel(pull->client->loop, &pull->watchdog);
    mutex_lock(&pull->mutex);
    pull->disarmed = true;
    condition_broadcast(&pull->woken);
    mutex_unlock(&pull->mutex);
}

void pull_init(struct pull *pull, struct estreat_client *client, uint64_t silence_ns)
{
    *pull = (struct pull){.client = client, .silence_ns = silence_ns};
    pull->arm.run = run_arm;
    pull->disarm.run = run_disarm;
    mutex_init(&pull->mutex);
    condition_init(&pull->woken);
    if (silence_ns != 0) {
        rpc_loop_post(client->loop, &pull->arm);
    }
}

void pull_release(struct pull *pull)
{
    CHECK(!rpc_loop_is_current(pull->client->loop));
    if (pull->silence_ns != 0) {
        /* It runs after the arming, which was posted before. */
        rpc_loop_post(pull->client->loop, &pull->disarm);
        mutex_lock(&pull->mutex);
        while (!pull->disarmed) {
            condition_wait(&pull->woken, &pull->mutex);
        }
        mutex_unlock(&pull->mutex);
    }
    pull_end(pull);
    condition_release(&pull->woken);
    mutex_release(&pull->mutex);
}

void pull_take(struct pull *pull, struct rpc_stream *call)
{
    mutex_lock(&pull->mutex);
    CHECK(pull->call == NULL);
    pull->call = call;
    pull->silent_too_long = false;
    if (pull->cancelled) {
        rpc_stream_cancel(call);
    }
    mutex_unlock(&pull->mutex);
}

void pull_end(struct pull *pull)
{
    mutex_lock(&pull->mutex);
    struct rpc_stream *call = pull->call;
    pull->call = NULL;
    pull->silent_until_ns = 0;
    mutex_unlock(&pull->mutex);
    rpc_stream_free(call);
}

enum status pull_next(struct pull *pull, const ProtobufCMessage **message, struct error *err)
{
    CHECK(pull->call != NULL);
    mutex_lock(&pull->mutex);
    if (pull->silence_ns != 0) {
        pull->silent_until_ns = clock_monotonic_ns(pull->client->clock) + pull->silence_ns;
    }
    mutex_unlock(&pull->mutex);
    enum status status = rpc_stream_next(pull->call, message, err);
    mutex_lock(&pull->mutex);
    pull->silent_until_ns = 0;
    if (pull->cancelled) {
        status = error_set(err, STATUS_CANCELLED, "the stream was cancelled");
    } else if (status == STATUS_CANCELLED && pull->silent_too_long) {
        status = error_set(err, STATUS_DEADLINE_EXCEEDED, "the node sent nothing for %lu ms",
                           (unsigned long)(pull->silence_ns / NS_PER_MS));
    }
    mutex_unlock(&pull->mutex);
    return status;
}

void pull_cancel(struct pull *pull)
{
    mutex_lock(&pull->mutex);
    pull->cancelled = true;
    if (pull->call != NULL) {
        rpc_stream_cancel(pull->call);
    }
    condition_broadcast(&pull->woken);
    mutex_unlock(&pull->mutex);
}

bool pull_cancelled(struct pull *pull)
{
    mutex_lock(&pull->mutex);
    bool cancelled = pull->cancelled;
    mutex_unlock(&pull->mutex);
    return cancelled;
}

void pull_pause(struct pull *pull, uint64_t pause_ns)
{
    uint64_t until_ns = clock_monotonic_ns(pull->client->clock) + pause_ns;
    mutex_lock(&pull->mutex);
    while (!pull->cancelled) {
        uint64_t now_ns = clock_monotonic_ns(pull->client->clock);
        if (now_ns >= until_ns) {
            break;
        }
        (void)condition_wait_for(&pull->woken, &pull->mutex, until_ns - now_ns);
    }
    mutex_unlock(&pull->mutex);
}
