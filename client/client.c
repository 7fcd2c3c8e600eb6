/* SPDX-License-Identifier: Apache-2.0 */
#include "client/client.h"

#include <time.h>

#include "base/check.h"
#include "base/limits.h"
#include "base/version.h"

#define IN_FLIGHT_BYTES_DEFAULT (16UL * MIB)

/* A server that is too busy says when to come again, but not for ever. */
#define PUSHBACK_MS_MAX 10000U

_Static_assert((int)ESTREAT_UNAUTHENTICATED == (int)STATUS_UNAUTHENTICATED, "one table of codes");
_Static_assert((int)ESTREAT_RESOURCE_EXHAUSTED == (int)STATUS_RESOURCE_EXHAUSTED,
               "one table of codes");
_Static_assert(ESTREAT_ERROR_TEXT_BYTES == ERROR_TEXT_BYTES, "texts are copied whole");

const char *estreat_code_name(enum estreat_code code)
{
    return status_name((enum status)code);
}

const char *estreat_version(void)
{
    return ESTREAT_VERSION;
}

enum estreat_code client_answer(enum status status, const struct error *err,
                                struct estreat_error *out)
{
    if (out != NULL) {
        out->code = (enum estreat_code)status;
        out->text[0] = '\0';
        if (status != STATUS_OK) {
            memcpy(out->text, err->text, sizeof out->text);
        }
    }
    return (enum estreat_code)status;
}

static enum status open_parts(struct estreat_client *client, const char *endpoints,
                              struct error *err)
{
    const struct rpc_loop_options options = {.name = "estreat-client"};
    enum status status = rpc_loop_open(&options, &client->loop, err);
    if (status != STATUS_OK) {
        return status;
    }
    /* What is admitted always fits the queue, so that only admission says no. */
    size_t queued_bytes_max = client->in_flight_bytes_max + 4 * CLIENT_FRAME_BYTES_MAX;
    status =
        router_init(&client->router, client->loop, endpoints, queued_bytes_max, client->rng, err);
    if (status != STATUS_OK) {
        rpc_loop_close(client->loop);
    }
    return status;
}

enum estreat_code estreat_open(const char *endpoints, const struct estreat_client_options *options,
                               struct estreat_client **out, struct estreat_error *error)
{
    struct error err = ERROR_INIT;
    struct alloc *alloc = alloc_default();
    struct estreat_client *client = alloc_zeroed(alloc, 1, sizeof *client);
    if (client == NULL) {
        enum status status =
            error_set(&err, STATUS_RESOURCE_EXHAUSTED, "no memory for an Estreat client");
        return client_answer(status, &err, error);
    }
    client->alloc = alloc;
    client->clock = clock_system();
    client->rng = rng_system();
    client->timeout_ms = DEADLINE_DEFAULT_MS;
    client->in_flight_bytes_max = IN_FLIGHT_BYTES_DEFAULT;
    if (options != NULL && options->timeout_ms != 0) {
        client->timeout_ms = options->timeout_ms;
    }
    if (options != NULL && options->in_flight_bytes_max != 0) {
        client->in_flight_bytes_max = options->in_flight_bytes_max;
    }
    enum status status = open_parts(client, endpoints, &err);
    if (status != STATUS_OK) {
        alloc_free(alloc, client);
        return client_answer(status, &err, error);
    }
    mutex_init(&client->mutex);
    condition_init(&client->changed);
    session_init(&client->session, client->rng);
    *out = client;
    return client_answer(STATUS_OK, NULL, error);
}

/* Runs on the loop's thread and tells the closing one. */
struct closing {
    struct rpc_event event;
    struct estreat_client *client;
    struct mutex mutex;
    struct condition changed;
    bool done;
};

static void run_closing(struct rpc_event *event)
{
    struct closing *closing = (struct closing *)event;
    closing->client->closing = true;
    appends_cancel(closing->client);
    mutex_lock(&closing->mutex);
    closing->done = true;
    condition_signal(&closing->changed);
    mutex_unlock(&closing->mutex);
}

void estreat_close(struct estreat_client *client)
{
    if (client == NULL) {
        return;
    }
    CHECK(!rpc_loop_is_current(client->loop));
    struct closing closing = {.event = {.run = run_closing}, .client = client};
    mutex_init(&closing.mutex);
    condition_init(&closing.changed);
    rpc_loop_post(client->loop, &closing.event);
    mutex_lock(&closing.mutex);
    while (!closing.done) {
        condition_wait(&closing.changed, &closing.mutex);
    }
    mutex_unlock(&closing.mutex);
    condition_release(&closing.changed);
    mutex_release(&closing.mutex);

    router_release(&client->router);
    rpc_loop_close(client->loop);
    CHECK(client->in_flight == 0);
    condition_release(&client->changed);
    mutex_release(&client->mutex);
    alloc_free(client->alloc, client);
}

uint64_t client_deadline_ns(const struct estreat_client *client, uint32_t timeout_ms)
{
    uint64_t ms = timeout_ms != 0 ? timeout_ms : client->timeout_ms;
    return clock_monotonic_ns(client->clock) + ms * NS_PER_MS;
}

static unsigned pushback_ms(struct rpc_metadata_list metadata)
{
    struct slice value;
    unsigned ms = 0;
    if (!rpc_metadata_get(metadata, RPC_METADATA_RETRY_AFTER_MS, &value)) {
        return 0;
    }
    for (size_t i = 0; i < value.length && ms < PUSHBACK_MS_MAX; i++) {
        if (value.data[i] < '0' || value.data[i] > '9') {
            return 0;
        }
        ms = ms * 10 + (unsigned)(value.data[i] - '0');
    }
    return ms < PUSHBACK_MS_MAX ? ms : PUSHBACK_MS_MAX;
}

struct retry_failure client_failure(struct estreat_client *client, enum route route,
                                    unsigned endpoint, enum status status, bool refused,
                                    struct rpc_metadata_list metadata)
{
    struct retry_failure failure = {
        .status = status, .refused = refused, .pushback_ms = pushback_ms(metadata)};
    if (status == STATUS_UNAVAILABLE || status == STATUS_DEADLINE_EXCEEDED || refused) {
        struct slice leader = slice_of(NULL, 0);
        (void)rpc_metadata_get(metadata, RPC_METADATA_LEADER_ENDPOINT, &leader);
        failure.redirected = router_failed(&client->router, route, endpoint, leader);
    }
    return failure;
}

enum status client_explain(struct estreat_client *client, unsigned endpoint,
                           const struct retry *retry, struct error *err)
{
    const struct retry_failure failure = {.status = err->status};
    const char *name = router_name(&client->router, endpoint);
    if (err->status == STATUS_UNIMPLEMENTED) {
        /* Peer ports speak the same protocol and serve other methods. */
        size_t text_length = strlen(err->text);
        (void)snprintf(err->text + text_length, sizeof err->text - text_length,
                       "; is %.100s a peer port?", name);
    }
    if (!retry_is_transient(&failure)) {
        return err->status;
    }
    if (strstr(err->text, name) == NULL) {
        (void)error_wrap(err, "%s", name);
    }
    size_t length = strlen(err->text);
    if (retry->attempts > 1) {
        (void)snprintf(err->text + length, sizeof err->text - length, " (after %u attempts)",
                       retry->attempts);
    }
    return err->status;
}

enum client_turn client_detour(struct estreat_client *client, struct client_detour *detour,
                               unsigned endpoint, struct error *err)
{
    const struct retry_failure failure = {.status = err->status};
    if (err->status != STATUS_DATA_LOSS && (detour->tried == 0 || !retry_is_transient(&failure))) {
        return CLIENT_TURN_NONE;
    }
    if (detour->tried == 0) {
        detour->first = *err;
        (void)error_wrap(&detour->first, "%s", router_name(&client->router, endpoint));
    }
    detour->tried |= UINT32_C(1) << endpoint;
    if (router_elsewhere(&client->router, ROUTE_ANY, endpoint, detour->tried, &detour->endpoint)) {
        return CLIENT_TURN_NEXT;
    }
    *err = detour->first;
    return CLIENT_TURN_OVER;
}

unsigned client_reads_at(struct estreat_client *client, const struct client_detour *detour)
{
    return detour->tried != 0 ? detour->endpoint : router_pick(&client->router, ROUTE_ANY);
}

void client_pause(uint64_t pause_ns)
{
    struct timespec left = {.tv_sec = (time_t)(pause_ns / NS_PER_S),
                            .tv_nsec = (long)(pause_ns % NS_PER_S)};
    while (nanosleep(&left, &left) != 0) {
    }
}

/* One attempt. A channel that cannot be opened fails as the call would. */
static enum status attempt(struct estreat_client *client, unsigned endpoint,
                           const struct client_query *query, unsigned deadline_ms,
                           struct rpc_reply *reply, struct error *err)
{
    struct rpc_channel *channel;
    enum status status = router_channel(&client->router, endpoint, &channel, err);
    if (status != STATUS_OK) {
        *reply = (struct rpc_reply){0};
        rpc_arena_init(&reply->arena, client->alloc, 4096, 4096);
        return status;
    }
    const struct rpc_call_options options = {.deadline_ms = deadline_ms};
    return rpc_channel_call_wait(channel, query->service, query->method, query->request, &options,
                                 reply, err);
}

enum status client_ask(struct estreat_client *client, const struct client_query *query,
                       struct rpc_reply *reply, struct error *err)
{
    struct retry retry;
    struct client_detour detour = {.tried = 0};
    enum route route = query->leader ? ROUTE_LEADER : ROUTE_ANY;
    retry_init(&retry, client_deadline_ns(client, query->timeout_ms));
    for (;;) {
        unsigned endpoint =
            query->leader ? router_pick(&client->router, route) : client_reads_at(client, &detour);
        uint64_t now_ns = clock_monotonic_ns(client->clock);
        unsigned attempt_ms = retry_attempt_ms(&retry, query->slow, now_ns);
        enum status status = attempt(client, endpoint, query, attempt_ms, reply, err);
        if (status == STATUS_OK) {
            return status;
        }
        enum client_turn turn =
            query->leader ? CLIENT_TURN_NONE : client_detour(client, &detour, endpoint, err);
        if (turn == CLIENT_TURN_OVER) {
            return err->status;
        }
        if (turn == CLIENT_TURN_NEXT) {
            rpc_reply_release(reply);
            continue;
        }
        uint64_t pause_ns;
        struct retry_failure failure =
            client_failure(client, route, endpoint, status, reply->refused, reply->metadata);
        if (!retry_again(&retry, &failure, clock_monotonic_ns(client->clock), client->rng,
                         &pause_ns)) {
            return client_explain(client, endpoint, &retry, err);
        }
        rpc_reply_release(reply);
        client_pause(pause_ns);
    }
}

enum status client_ask_endpoint(struct estreat_client *client, unsigned endpoint,
                                const struct client_query *query, unsigned attempts,
                                struct rpc_reply *reply, struct error *err)
{
    CHECK(attempts > 0);
    struct retry retry;
    retry_init(&retry, client_deadline_ns(client, query->timeout_ms));
    for (;;) {
        uint64_t now_ns = clock_monotonic_ns(client->clock);
        uint64_t left_ms =
            retry.deadline_ns > now_ns ? (retry.deadline_ns - now_ns) / NS_PER_MS + 1 : 1;
        enum status status = attempt(client, endpoint, query, (unsigned)left_ms, reply, err);
        if (status == STATUS_OK) {
            return status;
        }
        uint64_t pause_ns;
        const struct retry_failure failure = {.status = status,
                                              .refused = reply->refused,
                                              .pushback_ms = pushback_ms(reply->metadata)};
        if (!retry_again(&retry, &failure, clock_monotonic_ns(client->clock), client->rng,
                         &pause_ns) ||
            retry.attempts >= attempts) {
            return client_explain(client, endpoint, &retry, err);
        }
        rpc_reply_release(reply);
        client_pause(pause_ns);
    }
}
