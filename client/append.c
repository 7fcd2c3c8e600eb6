/* SPDX-License-Identifier: Apache-2.0
 *
 * Append: one request's life.
 *
 *   begun ──attempt──▶ under way ──answer──▶ ended (callback)
 *                          │  ▲
 *                   failure▼  │pause is over
 *                        waiting
 *
 * A request takes its session number when it begins and keeps it through all
 * attempts. The first attempt is made on the caller's thread; all else happens on
 * the loop's. An attempt whose outcome is unknown is repeated with the same
 * number, so it does no harm if it had been applied. One that certainly had no
 * effect (no connection took it, or a node refused it) leaves the next one a first.
 */
#include "base/check.h"
#include "client/client.h"
#include "client/request.h"

struct append {
    struct rpc_timer timer; /* first: the pause before the next attempt */
    struct estreat_client *client;
    struct append *next; /* in client->waiting */
    struct append **link;
    struct retry retry;
    uint64_t sequence;
    uint64_t first_attempt_ns; /* log time */
    unsigned endpoint;         /* of the attempt under way */
    bool repeated;             /* an attempt was made whose outcome is unknown */
    estreat_append_fn done;
    void *context;
    size_t events;
    size_t packed_bytes;
    uint8_t packed[];
};

static void attempt(struct append *append);

static void append_end(struct append *append, const struct estreat_appended *appended,
                       const struct error *err)
{
    struct estreat_client *client = append->client;
    struct estreat_error error;
    (void)client_answer(appended != NULL ? STATUS_OK : err->status, err, &error);
    mutex_lock(&client->mutex);
    session_end(&client->session, append->sequence);
    if (appended != NULL) {
        session_saw_time(&client->session, appended->time_ns + appended->events - 1);
    }
    client->in_flight_bytes -= append->packed_bytes;
    mutex_unlock(&client->mutex);
    /* The window has room for what the callback may append; estreat_wait() counts the request
     * until the callback has returned. */
    append->done(append->context, appended, &error);
    alloc_free(client->alloc, append);
    mutex_lock(&client->mutex);
    client->in_flight--;
    condition_broadcast(&client->changed);
    mutex_unlock(&client->mutex);
}

static void waiting_remove(struct append *append)
{
    *append->link = append->next;
    if (append->next != NULL) {
        append->next->link = append->link;
    }
}

static void on_pause_over(struct rpc_timer *timer)
{
    struct append *append = (struct append *)timer;
    waiting_remove(append);
    attempt(append);
}

/* On the loop's thread. A pause of 0 also goes through the timer: the answer to a call may come
 * within the call, and attempts must not nest. */
static void wait_for(struct append *append, uint64_t pause_ns)
{
    struct estreat_client *client = append->client;
    append->link = &client->waiting;
    append->next = client->waiting;
    if (append->next != NULL) {
        append->next->link = &append->next;
    }
    client->waiting = append;
    append->timer = (struct rpc_timer){.fire = on_pause_over};
    rpc_timer_set(client->loop, &append->timer, clock_monotonic_ns(client->clock) + pause_ns);
}

void appends_cancel(struct estreat_client *client)
{
    struct error err = ERROR_INIT;
    (void)error_set(&err, STATUS_CANCELLED, "the client is closed; outcome unknown");
    while (client->waiting != NULL) {
        struct append *append = client->waiting;
        waiting_remove(append);
        rpc_timer_cancel(client->loop, &append->timer);
        append_end(append, NULL, &err);
    }
}

/* Whether the cluster may have taken an attempt that failed so. A node that does not lead, or asks
 * to come again, says with its metadata that it did not. */
static bool outcome_is_unknown(const struct rpc_result *result)
{
    struct slice ignored;
    return result->sent &&
           !rpc_metadata_get(result->metadata, RPC_METADATA_LEADER_ENDPOINT, &ignored) &&
           !rpc_metadata_get(result->metadata, RPC_METADATA_RETRY_AFTER_MS, &ignored);
}

static void failed(struct append *append, const struct rpc_result *result)
{
    struct estreat_client *client = append->client;
    struct error err = ERROR_INIT;
    uint64_t pause_ns;
    bool earlier_unknown = append->repeated;
    (void)error_set(&err, result->status, "%s", result->text);
    append->repeated = append->repeated || outcome_is_unknown(result);
    struct retry_failure failure = client_failure(
        client, ROUTE_LEADER, append->endpoint, result->status, result->refused, result->metadata);
    if (!client->closing && retry_again(&append->retry, &failure, clock_monotonic_ns(client->clock),
                                        client->rng, &pause_ns)) {
        wait_for(append, pause_ns);
        return;
    }
    (void)client_explain(client, append->endpoint, &append->retry, &err);
    if (earlier_unknown && err.status == STATUS_RESOURCE_EXHAUSTED) {
        /* Refused before anybody looked whether it has been applied: it may have been. */
        (void)error_wrap(&err, "outcome unknown; the last attempt got RESOURCE_EXHAUSTED");
        err.status = STATUS_UNAVAILABLE;
    }
    append_end(append, NULL, &err);
}

static void on_result(void *context, const struct rpc_result *result)
{
    struct append *append = context;
    if (result->status != STATUS_OK) {
        failed(append, result);
        return;
    }
    const Estreat__V1__AppendResponse *response =
        (const Estreat__V1__AppendResponse *)result->message;
    const struct estreat_appended appended = {
        .position = response->position,
        .time_ns = response->time_ns,
        .size = response->size,
        .version = response->n_versions > 0 ? response->versions[0] : 0,
        .version_known = response->n_versions > 0,
        .events = append->events,
    };
    append_end(append, &appended, NULL);
}

/* The log time of the first attempt that the cluster may have taken, or a bound below it: an expiry
 * of sessions after that time makes the cluster refuse a repeat rather than apply it twice. Before
 * the first answer the client knows no log time and takes its own clock. */
static void note_first_attempt(struct append *append, uint64_t log_time_ns)
{
    append->first_attempt_ns =
        log_time_ns != 0 ? log_time_ns : clock_realtime_ns(append->client->clock);
}

static void attempt(struct append *append)
{
    struct estreat_client *client = append->client;
    struct error err = ERROR_INIT;
    struct rpc_channel *channel;
    Estreat__V1__AppendRequest request = ESTREAT__V1__APPEND_REQUEST__INIT;
    ProtobufCMessageUnknownField field;
    mutex_lock(&client->mutex);
    request.acknowledged_below = client->session.low;
    uint64_t log_time_ns = client->session.log_time_ns;
    mutex_unlock(&client->mutex);
    if (append->repeated) {
        request.first_attempt_ns = append->first_attempt_ns;
    } else {
        note_first_attempt(append, log_time_ns);
    }
    request.client_id = (ProtobufCBinaryData){.len = sizeof client->session.client_id,
                                              .data = client->session.client_id};
    request.sequence = append->sequence;
    request_attach(&request, &field, slice_of(append->packed, append->packed_bytes));
    append->endpoint = router_pick(&client->router, ROUTE_LEADER);
    if (router_channel(&client->router, append->endpoint, &channel, &err) != STATUS_OK) {
        failed(append, &(struct rpc_result){.status = err.status, .text = err.text});
        return;
    }
    const struct rpc_call_options options = {
        .deadline_ms = retry_attempt_ms(&append->retry, false, clock_monotonic_ns(client->clock)),
    };
    /* The append may have ended when this returns. */
    (void)rpc_channel_call(channel, &estreat__v1__log__descriptor, 0, &request.base, &options,
                           on_result, append);
}

static bool has_room_locked(const struct estreat_client *client, size_t bytes)
{
    return session_has_room(&client->session) &&
           (client->in_flight == 0 || client->in_flight_bytes == 0 ||
            client->in_flight_bytes + bytes <= client->in_flight_bytes_max);
}

/* Waits for room until `deadline_ns`, or not at all if it is 0. */
static bool admit(struct append *append, uint64_t deadline_ns)
{
    struct estreat_client *client = append->client;
    mutex_lock(&client->mutex);
    bool room = has_room_locked(client, append->packed_bytes);
    while (!room && deadline_ns != 0) {
        uint64_t now_ns = clock_monotonic_ns(client->clock);
        if (now_ns >= deadline_ns) {
            break;
        }
        (void)condition_wait_for(&client->changed, &client->mutex, deadline_ns - now_ns);
        room = has_room_locked(client, append->packed_bytes);
    }
    if (room) {
        append->sequence = session_begin(&client->session);
        client->in_flight++;
        client->in_flight_bytes += append->packed_bytes;
    }
    mutex_unlock(&client->mutex);
    return room;
}

struct append_input {
    const struct estreat_new_event *events;
    size_t count;
    uint32_t timeout_ms;
    bool blocking; /* waits for room */
};

static enum status append_start(struct estreat_client *client, const struct append_input *input,
                                estreat_append_fn done, void *context, struct error *err)
{
    size_t bytes = 0;
    enum status status = request_measure(input->events, input->count, &bytes, err);
    if (status != STATUS_OK) {
        return status;
    }
    struct append *append = alloc_new(client->alloc, sizeof *append + bytes);
    if (append == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for an append of %zu bytes",
                         bytes);
    }
    *append = (struct append){.client = client,
                              .done = done,
                              .context = context,
                              .events = input->count,
                              .packed_bytes = bytes};
    request_pack(input->events, input->count, append->packed, bytes);
    retry_init(&append->retry, client_deadline_ns(client, input->timeout_ms));
    if (!admit(append, input->blocking ? append->retry.deadline_ns : 0)) {
        alloc_free(client->alloc, append);
        return input->blocking
                   ? error_set(err, STATUS_DEADLINE_EXCEEDED,
                               "the appends under way did not end in time; not appended")
                   : error_set(err, STATUS_RESOURCE_EXHAUSTED,
                               "too many appends are under way; see estreat_wait()");
    }
    attempt(append);
    return STATUS_OK;
}

enum estreat_code estreat_append_async(struct estreat_client *client,
                                       const struct estreat_new_event *events, size_t count,
                                       const struct estreat_append_options *options,
                                       estreat_append_fn done, void *context,
                                       struct estreat_error *error)
{
    struct error err = ERROR_INIT;
    const struct append_input input = {
        .events = events,
        .count = count,
        .timeout_ms = options == NULL ? 0 : options->timeout_ms,
    };
    enum status status = append_start(client, &input, done, context, &err);
    return client_answer(status, &err, error);
}

/* A caller that sleeps until its append has ended. */
struct append_waiter {
    struct mutex mutex;
    struct condition ended;
    bool done;
    struct estreat_appended appended;
    struct estreat_error error;
};

static void wake_waiter(void *context, const struct estreat_appended *appended,
                        const struct estreat_error *error)
{
    struct append_waiter *waiter = context;
    mutex_lock(&waiter->mutex);
    if (appended != NULL) {
        waiter->appended = *appended;
    }
    waiter->error = *error;
    waiter->done = true;
    condition_signal(&waiter->ended);
    mutex_unlock(&waiter->mutex);
}

enum estreat_code estreat_append(struct estreat_client *client,
                                 const struct estreat_new_event *events, size_t count,
                                 const struct estreat_append_options *options,
                                 struct estreat_appended *out, struct estreat_error *error)
{
    CHECK(!rpc_loop_is_current(client->loop));
    struct error err = ERROR_INIT;
    struct append_waiter waiter = {.done = false};
    const struct append_input input = {
        .events = events,
        .count = count,
        .timeout_ms = options == NULL ? 0 : options->timeout_ms,
        .blocking = true,
    };
    mutex_init(&waiter.mutex);
    condition_init(&waiter.ended);
    enum status status = append_start(client, &input, wake_waiter, &waiter, &err);
    enum estreat_code code = client_answer(status, &err, error);
    if (status == STATUS_OK) {
        mutex_lock(&waiter.mutex);
        while (!waiter.done) {
            condition_wait(&waiter.ended, &waiter.mutex);
        }
        mutex_unlock(&waiter.mutex);
        code = waiter.error.code;
        if (code == ESTREAT_OK) {
            *out = waiter.appended;
        }
        if (error != NULL) {
            *error = waiter.error;
        }
    }
    condition_release(&waiter.ended);
    mutex_release(&waiter.mutex);
    return code;
}

void estreat_wait(struct estreat_client *client, size_t in_flight)
{
    CHECK(!rpc_loop_is_current(client->loop));
    mutex_lock(&client->mutex);
    while (client->in_flight > in_flight || !session_has_room(&client->session)) {
        condition_wait(&client->changed, &client->mutex);
    }
    mutex_unlock(&client->mutex);
}
