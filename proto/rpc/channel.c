/* SPDX-License-Identifier: Apache-2.0
 *
 * The channel's life: connecting, losing the connection, connecting again.
 */
#include "rpc/channel.h"

#include "base/check.h"
#include "base/limits.h"
#include "rpc/channel_internal.h"

/* A connection that lived so long was a good one: the next is tried at once. */
enum { GOOD_CONNECTION_MS = 1000 };

#define FROM(type, member, pointer) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

static void connect_begin(struct rpc_channel *channel);

static void tell_state(struct rpc_channel *channel, bool connected)
{
    if (atomic_exchange(&channel->connected, connected) != connected &&
        channel->options.on_state != NULL) {
        channel->options.on_state(channel->options.context, connected);
    }
}

/* Ends the calls that wait for a connection; `all`: also those that would wait longer. */
static void fail_pending(struct rpc_channel *channel, enum status status, const char *text,
                         bool all)
{
    struct rpc_call_list list = channel->pending;
    channel->pending = (struct rpc_call_list){NULL, NULL};
    while (list.first != NULL) {
        struct rpc_client_call *call = list.first;
        rpc_call_list_remove(&list, call);
        if (call->wait_for_ready && !all) {
            rpc_call_list_append(&channel->pending, call);
        } else {
            rpc_client_call_end_with(call, status, text);
        }
    }
}

/* The pause doubles with each failure, and is spread so that clients do not come in step. */
static void back_off(struct rpc_channel *channel, enum status status, const char *what,
                     const char *text)
{
    channel->refused = channel->refused && status == STATUS_RESOURCE_EXHAUSTED;
    bool news = status != STATUS_UNAVAILABLE && status != channel->last_error.status;
    error_set(&channel->last_error, status, "%s: %s%s", channel->options.url, what, text);
    if (news && channel->options.on_refused != NULL) {
        channel->options.on_refused(channel->options.context, channel->last_error.text);
    }
    channel->state = CHANNEL_BACKOFF;
    uint64_t pause_ms = channel->options.backoff_min_ms;
    for (unsigned i = 0; i < channel->failures && pause_ms < channel->options.backoff_max_ms; i++) {
        pause_ms *= 2;
    }
    if (pause_ms > channel->options.backoff_max_ms) {
        pause_ms = channel->options.backoff_max_ms;
    }
    channel->failures++;
    uint64_t pause_ns = pause_ms * NS_PER_MS;
    pause_ns = pause_ns / 2 + rng_below(rpc_loop_rng(channel->loop), pause_ns / 2 + 1);
    rpc_timer_set(channel->loop, &channel->timer, rpc_loop_now_ns(channel->loop) + pause_ns);
    fail_pending(channel, status, channel->last_error.text, false);
}

/* Links. */

static void on_ready(void *context)
{
    struct rpc_link *link = context;
    struct rpc_channel *channel = link->channel;
    CHECK(link == channel->link);
    if (channel->options.accept_peer != NULL) {
        struct error error = ERROR_INIT;
        enum status status = channel->options.accept_peer(channel->options.context,
                                                          rpc_conn_peer(link->conn), &error);
        if (status != STATUS_OK) {
            rpc_conn_abort(link->conn, status, error.text); /* frees the link */
            return;
        }
    }
    channel->state = CHANNEL_READY;
    channel->last_error.status = STATUS_OK;
    rpc_timer_cancel(channel->loop, &channel->timer);
    tell_state(channel, true);
    while (channel->state == CHANNEL_READY && channel->pending.first != NULL) {
        struct rpc_client_call *call = channel->pending.first;
        rpc_call_list_remove(&channel->pending, call);
        rpc_client_call_send(call);
    }
}

/* The connection that took new calls does so no more. */
static void lost(struct rpc_channel *channel, bool was_good, enum status status, const char *text)
{
    channel->link = NULL;
    tell_state(channel, false);
    if (was_good) {
        channel->failures = 0;
        connect_begin(channel);
    } else {
        back_off(channel, status, "", text);
    }
}

static bool was_good(const struct rpc_link *link)
{
    return rpc_loop_now_ns(link->channel->loop) >=
           rpc_conn_ready_since_ns(link->conn) + GOOD_CONNECTION_MS * NS_PER_MS;
}

static void unlink_draining(struct rpc_link *link)
{
    struct rpc_link **place = &link->channel->draining;
    while (*place != link) {
        place = &(*place)->next;
    }
    *place = link->next;
}

static void on_closed(void *context, enum status status, const char *text, bool was_ready)
{
    struct rpc_link *link = context;
    struct rpc_channel *channel = link->channel;
    bool good = was_ready && was_good(link);
    bool current = link == channel->link;
    struct error error = ERROR_INIT;
    error_set(&error, status, "%s: %s%s", channel->options.url,
              status == STATUS_UNAVAILABLE ? "connection lost: " : "", text);
    if (current) {
        channel->refused = status == STATUS_RESOURCE_EXHAUSTED && !link->heard;
    }
    link->conn = NULL;
    if (link->draining) {
        unlink_draining(link);
    }
    if (current) {
        channel->link = NULL;
        tell_state(channel, false);
    }
    struct rpc_call_node *node = NULL;
    while ((node = rpc_call_map_pop(&link->calls)) != NULL) {
        struct rpc_client_call *call = FROM(struct rpc_client_call, node, node);
        call->link = NULL;
        rpc_client_call_end_with(call, error.status, error.text);
    }
    alloc_free(channel->alloc, link);
    if (current && channel->state != CHANNEL_CLOSED) {
        lost(channel, good, status, text);
    }
}

static void on_goaway(void *context, enum status status, const char *text)
{
    struct rpc_link *link = context;
    struct rpc_channel *channel = link->channel;
    if (status != STATUS_UNAVAILABLE) {
        rpc_conn_abort(link->conn, status, text); /* it refused this connection: no answers come */
        return;
    }
    if (link->draining) {
        return;
    }
    link->draining = true;
    link->next = channel->draining;
    channel->draining = link;
    lost(channel, was_good(link), status, text);
    rpc_channel_link_left(link);
}

void rpc_channel_link_left(struct rpc_link *link)
{
    if (link->draining && link->calls.count == 0 && link->conn != NULL) {
        rpc_conn_abort(link->conn, STATUS_UNAVAILABLE, "drained");
    }
}

/* Connecting. */

static void link_open(struct rpc_channel *channel, struct rpc_transport_stream *stream)
{
    struct rpc_link *link = alloc_zeroed(channel->alloc, 1, sizeof *link);
    if (link == NULL) {
        rpc_transport_close(stream);
        back_off(channel, STATUS_UNAVAILABLE, "", "no memory for a connection");
        return;
    }
    link->channel = channel;
    struct rpc_conn_options options = {
        .loop = channel->loop,
        .is_server = false,
        .cluster_id = channel->options.cluster_id,
        .own_id = channel->options.peer_id,
        .instance = channel->options.instance,
        .frame_bytes_max = channel->options.frame_bytes_max,
        .queued_bytes_max = channel->options.queued_bytes_max + channel->options.frame_bytes_max,
        .queued_bytes = &channel->queued_bytes,
        .handshake_ms = channel->options.connect_ms,
        .frame_ms = channel->options.frame_ms,
        .idle_ms = channel->options.idle_ms,
        .keepalive_ms = channel->options.keepalive_ms,
    };
    struct rpc_conn_callbacks callbacks = {
        .on_ready = on_ready,
        .on_frame = rpc_channel_link_frame,
        .on_goaway = on_goaway,
        .on_closed = on_closed,
        .context = link,
    };
    link->conn = rpc_conn_new(stream, &options, &callbacks);
    if (link->conn == NULL) {
        alloc_free(channel->alloc, link);
        back_off(channel, STATUS_UNAVAILABLE, "", "no memory for a connection");
        return;
    }
    channel->link = link;
}

static void on_dialed(void *context, struct rpc_transport_stream *stream, const struct error *err)
{
    struct rpc_channel *channel = context;
    channel->dial = NULL;
    rpc_timer_cancel(channel->loop, &channel->timer);
    if (stream == NULL) {
        back_off(channel, STATUS_UNAVAILABLE, "cannot connect: ", err->text);
        return;
    }
    link_open(channel, stream);
}

static void connect_begin(struct rpc_channel *channel)
{
    struct error error = ERROR_INIT;
    channel->state = CHANNEL_CONNECTING;
    rpc_timer_set(channel->loop, &channel->timer,
                  rpc_loop_now_ns(channel->loop) + channel->options.connect_ms * NS_PER_MS);
    enum status status = rpc_transport_dial(channel->loop, channel->options.url, on_dialed, channel,
                                            &channel->dial, &error);
    if (status != STATUS_OK) {
        channel->dial = NULL;
        back_off(channel, status, "", error.text);
    }
}

static void on_timer(struct rpc_timer *timer)
{
    struct rpc_channel *channel = FROM(struct rpc_channel, timer, timer);
    if (channel->state == CHANNEL_BACKOFF) {
        connect_begin(channel);
    } else if (channel->state == CHANNEL_CONNECTING && channel->dial != NULL) {
        rpc_transport_dial_cancel(channel->dial);
        channel->dial = NULL;
        back_off(channel, STATUS_UNAVAILABLE, "", "cannot connect: no answer in time");
    }
}

static void connect_first(struct rpc_event *event)
{
    connect_begin(FROM(struct rpc_channel, connect_event, event));
}

/* Opening and closing. */

static void set_defaults(struct rpc_channel_options *options)
{
#define DEFAULT(field, value) options->field = options->field == 0 ? (value) : options->field
    DEFAULT(frame_bytes_max, CLIENT_FRAME_BYTES_MAX);
    DEFAULT(calls_max, CALLS_PER_CONNECTION_MAX);
    DEFAULT(queued_bytes_max, CONNECTION_QUEUED_BYTES_MAX);
    DEFAULT(connect_ms, HANDSHAKE_TIMEOUT_MS);
    DEFAULT(frame_ms, FRAME_TIMEOUT_MS);
    DEFAULT(idle_ms, IDLE_TIMEOUT_MS);
    DEFAULT(keepalive_ms, KEEPALIVE_INTERVAL_MS);
    DEFAULT(backoff_min_ms, RECONNECT_BACKOFF_MIN_MS);
    DEFAULT(backoff_max_ms, RECONNECT_BACKOFF_MAX_MS);
#undef DEFAULT
}

static bool own_strings(struct rpc_channel *channel)
{
    const char *from[4] = {channel->options.url, channel->options.cluster_id,
                           channel->options.peer_id, channel->options.instance};
    const char **to[4] = {&channel->options.url, &channel->options.cluster_id,
                          &channel->options.peer_id, &channel->options.instance};
    size_t bytes = 0;
    for (int i = 0; i < 4; i++) {
        from[i] = from[i] == NULL ? "" : from[i];
        bytes += strlen(from[i]) + 1;
    }
    channel->strings = alloc_new(channel->alloc, bytes);
    if (channel->strings == NULL) {
        return false;
    }
    char *at = channel->strings;
    for (int i = 0; i < 4; i++) {
        size_t length = strlen(from[i]) + 1;
        memcpy(at, from[i], length);
        *to[i] = at;
        at += length;
    }
    return true;
}

static void close_all(struct rpc_event *event)
{
    struct rpc_channel *channel = FROM(struct rpc_channel, close_event, event);
    channel->state = CHANNEL_CLOSED;
    rpc_timer_cancel(channel->loop, &channel->timer);
    if (channel->dial != NULL) {
        rpc_transport_dial_cancel(channel->dial);
    }
    fail_pending(channel, STATUS_CANCELLED, "the channel was closed", true);
    while (channel->link != NULL || channel->draining != NULL) {
        struct rpc_link *link = channel->link != NULL ? channel->link : channel->draining;
        struct rpc_call_node *node = NULL;
        while ((node = rpc_call_map_pop(&link->calls)) != NULL) {
            struct rpc_client_call *call = FROM(struct rpc_client_call, node, node);
            call->link = NULL;
            rpc_client_call_end_with(call, STATUS_CANCELLED, "the channel was closed");
        }
        rpc_conn_abort(link->conn, STATUS_UNAVAILABLE, "the channel was closed");
    }
    void (*done)(void *context) = channel->on_closed;
    void *context = channel->closed_context;
    alloc_free(channel->alloc, channel->strings);
    alloc_free(channel->alloc, channel);
    done(context);
}

enum status rpc_channel_open(struct rpc_loop *loop, const struct rpc_channel_options *options,
                             struct rpc_channel **out, struct error *err)
{
    if (strncmp(options->url, "tcp://", 6) != 0 && strncmp(options->url, "ipc://", 6) != 0) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "%.200s: not a tcp:// or ipc:// URL",
                         options->url);
    }
    struct alloc *alloc = rpc_loop_alloc(loop);
    struct rpc_channel *channel = alloc_zeroed(alloc, 1, sizeof *channel);
    if (channel == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a channel");
    }
    channel->loop = loop;
    channel->alloc = alloc;
    channel->options = *options;
    channel->state = CHANNEL_CONNECTING;
    channel->timer.fire = on_timer;
    channel->connect_event.run = connect_first;
    channel->close_event.run = close_all;
    atomic_store(&channel->next_call_id, 1);
    set_defaults(&channel->options);
    if (!own_strings(channel)) {
        alloc_free(alloc, channel);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a channel");
    }
    *out = channel;
    rpc_loop_post(loop, &channel->connect_event);
    return STATUS_OK;
}

void rpc_channel_close_later(struct rpc_channel *channel, void (*done)(void *context),
                             void *context)
{
    channel->on_closed = done;
    channel->closed_context = context;
    rpc_loop_post(channel->loop, &channel->close_event);
}

static void open_latch(void *context)
{
    rpc_latch_open(context);
}

void rpc_channel_close(struct rpc_channel *channel)
{
    if (channel == NULL) {
        return;
    }
    CHECK(!rpc_loop_is_current(channel->loop));
    struct rpc_latch closed;
    rpc_latch_init(&closed);
    rpc_channel_close_later(channel, open_latch, &closed);
    rpc_latch_wait(&closed);
}

bool rpc_channel_connected(const struct rpc_channel *channel)
{
    return atomic_load(&channel->connected);
}

const char *rpc_channel_url(const struct rpc_channel *channel)
{
    return channel->options.url;
}

size_t rpc_channel_queued_bytes(const struct rpc_channel *channel)
{
    return atomic_load(&channel->queued_bytes);
}
