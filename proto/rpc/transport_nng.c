/* SPDX-License-Identifier: Apache-2.0
 *
 * The transport on NNG's byte streams. NNG's callbacks run on its own threads; they
 * note a result and post an event. An aio is stopped before what it belongs to is
 * freed, and what it belongs to is freed only after its posted event has run.
 */
#include "rpc/transport.h"

#include <nng/nng.h>

#include "base/check.h"
#include "base/log.h"

enum { ACCEPT_PAUSE_MS = 50 };

#if defined(__SANITIZE_THREAD__)
/* NNG's library is not built with the sanitizer, which therefore does not see the atomic counters
 * that order the last use of a dialer's mutex before its end. */
const char *__tsan_default_suppressions(void);
__attribute__((weak, visibility("default"))) const char *__tsan_default_suppressions(void)
{
    return "race_top:pthread_mutex_destroy\n";
}
#endif

#define CONTAINER(type, member, pointer)                                                           \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

static enum status fail(struct error *err, int code, const char *what, const char *url)
{
    enum status status = STATUS_UNAVAILABLE;
    if (code == NNG_ENOTSUP || code == NNG_EINVAL || code == NNG_EADDRINVAL) {
        status = STATUS_INVALID_ARGUMENT;
    } else if (code == NNG_ENOMEM || code == NNG_ENOFILES) {
        status = STATUS_RESOURCE_EXHAUSTED;
    }
    return error_set(err, status, "%s %s: %s", what, url, nng_strerror(code));
}

static enum status check_scheme(const char *url, struct error *err)
{
    if (strncmp(url, "tcp://", 6) == 0 || strncmp(url, "ipc://", 6) == 0) {
        return STATUS_OK;
    }
    if (strncmp(url, "tls+tcp://", 10) == 0) {
        return error_set(err, STATUS_UNIMPLEMENTED, "%s: TLS is not supported", url);
    }
    return error_set(err, STATUS_INVALID_ARGUMENT, "%s: not a tcp:// or ipc:// URL", url);
}

/* One operation that may be under way. */
struct operation {
    struct rpc_event event;
    struct rpc_loop *loop;
    nng_aio *aio;
    bool under_way; /* the loop's: begun, and its event has not run */
};

static void post(void *context)
{
    struct operation *operation = context;
    rpc_loop_post(operation->loop, &operation->event);
}

static bool operation_init(struct operation *operation, struct rpc_loop *loop,
                           void (*run)(struct rpc_event *event))
{
    *operation = (struct operation){.loop = loop, .event.run = run};
    return nng_aio_alloc(&operation->aio, post, operation) == 0;
}

/* Streams. */

/* Who tells whom that a write is done. IDLE → BUSY by the loop, when the system does not take all
 * at once; BUSY → WANTED by the loop, when it has more to write; the callback makes IDLE of BUSY,
 * and posts an event for WANTED. A failure always posts. */
enum write_state { WRITE_IDLE, WRITE_BUSY, WRITE_WANTED, WRITE_FAILED };

struct rpc_transport_stream {
    struct rpc_loop *loop;
    nng_stream *stream;
    struct rpc_transport_callbacks callbacks;
    struct operation read;
    struct rpc_event write_event;
    nng_aio *now_aio; /* writes what the system takes at once; has no callback */
    nng_aio *write_aio;
    _Atomic int write_state;
    _Atomic bool write_posted; /* the event was posted and has not run */
    int write_error;
    nng_iov write_iov[RPC_TRANSPORT_SLICES_MAX]; /* what is left to write */
    unsigned write_iov_count;
    bool closed;
    char peer[80];
};

static const char *ended_text(int code)
{
    return code == NNG_ECLOSED || code == NNG_ECONNSHUT ? "closed by the other side"
                                                        : nng_strerror(code);
}

static void stream_free_if_unused(struct rpc_transport_stream *stream)
{
    if (!stream->closed || stream->read.under_way || atomic_load(&stream->write_posted)) {
        return;
    }
    nng_aio_free(stream->read.aio);
    nng_aio_free(stream->now_aio);
    nng_aio_free(stream->write_aio);
    nng_stream_free(stream->stream);
    struct rpc_loop *loop = stream->loop;
    alloc_free(rpc_loop_alloc(loop), stream);
    rpc_loop_let_go(loop);
}

static void read_done(struct rpc_event *event)
{
    struct rpc_transport_stream *stream = CONTAINER(struct rpc_transport_stream, read.event, event);
    stream->read.under_way = false;
    if (stream->closed) {
        stream_free_if_unused(stream);
        return;
    }
    int code = nng_aio_result(stream->read.aio);
    size_t length = nng_aio_count(stream->read.aio);
    if (code == 0 && length == 0) {
        code = NNG_ECLOSED;
    }
    stream->callbacks.on_read(stream->callbacks.context, code == 0 ? length : 0,
                              code == 0 ? STATUS_OK : STATUS_UNAVAILABLE,
                              code == 0 ? "" : ended_text(code));
}

static void write_event_run(struct rpc_event *event)
{
    struct rpc_transport_stream *stream =
        CONTAINER(struct rpc_transport_stream, write_event, event);
    atomic_store(&stream->write_posted, false);
    if (stream->closed) {
        stream_free_if_unused(stream);
        return;
    }
    bool failed = atomic_load(&stream->write_state) == WRITE_FAILED;
    stream->callbacks.on_write_idle(stream->callbacks.context,
                                    failed ? STATUS_UNAVAILABLE : STATUS_OK,
                                    failed ? ended_text(stream->write_error) : "");
}

static void write_post(struct rpc_transport_stream *stream)
{
    /* If it is on its way already, it sees what was just stored when it runs. */
    if (!atomic_exchange(&stream->write_posted, true)) {
        rpc_loop_post(stream->loop, &stream->write_event);
    }
}

/* Takes `count` written bytes off the front. True if there is more. */
static bool write_advance(struct rpc_transport_stream *stream, size_t count)
{
    unsigned first = 0;
    while (first < stream->write_iov_count && count >= stream->write_iov[first].iov_len) {
        count -= stream->write_iov[first].iov_len;
        first++;
    }
    stream->write_iov_count -= first;
    memmove(stream->write_iov, stream->write_iov + first,
            stream->write_iov_count * sizeof stream->write_iov[0]);
    if (stream->write_iov_count == 0) {
        return false;
    }
    stream->write_iov[0].iov_buf = (char *)stream->write_iov[0].iov_buf + count;
    stream->write_iov[0].iov_len -= count;
    return true;
}

static void write_submit(struct rpc_transport_stream *stream)
{
    int code = nng_aio_set_iov(stream->write_aio, stream->write_iov_count, stream->write_iov);
    CHECK(code == 0);
    nng_stream_send(stream->stream, stream->write_aio);
}

static void write_failed(struct rpc_transport_stream *stream, int code)
{
    stream->write_error = code;
    atomic_store(&stream->write_state, WRITE_FAILED);
    write_post(stream);
}

/* As a rule the socket has room. NNG tries to write before it arms its poller, so an operation
 * that is cancelled right after it began is either done or has written nothing; and one without a
 * callback wakes none of NNG's threads. Returns NNG_ECANCELED if the rest has to wait. */
static int write_now(struct rpc_transport_stream *stream)
{
    int code;
    do {
        code = nng_aio_set_iov(stream->now_aio, stream->write_iov_count, stream->write_iov);
        CHECK(code == 0);
        nng_stream_send(stream->stream, stream->now_aio);
        nng_aio_cancel(stream->now_aio);
        nng_aio_wait(stream->now_aio);
        code = nng_aio_result(stream->now_aio);
    } while (code == 0 && write_advance(stream, nng_aio_count(stream->now_aio)));
    return code;
}

/* On a thread of NNG's; the only one that is at the write's state but for the loop, which leaves
 * everything but `write_state` alone while a write is under way. */
static void write_callback(void *context)
{
    struct rpc_transport_stream *stream = context;
    int code = nng_aio_result(stream->write_aio);
    if (code == 0 && write_advance(stream, nng_aio_count(stream->write_aio))) {
        write_submit(stream);
        return;
    }
    if (code != 0) {
        write_failed(stream, code);
        return;
    }
    int expected = WRITE_BUSY;
    if (!atomic_compare_exchange_strong(&stream->write_state, &expected, WRITE_IDLE)) {
        atomic_store(&stream->write_state, WRITE_IDLE);
        write_post(stream);
    }
}

static void describe_peer(struct rpc_transport_stream *stream)
{
    nng_sockaddr address;
    (void)snprintf(stream->peer, sizeof stream->peer, "local");
    if (nng_stream_get_addr(stream->stream, NNG_OPT_REMADDR, &address) != 0) {
        return;
    }
    if (address.s_family == NNG_AF_INET) {
        const uint8_t *ip = (const uint8_t *)&address.s_in.sa_addr;
        const uint8_t *port = (const uint8_t *)&address.s_in.sa_port;
        (void)snprintf(stream->peer, sizeof stream->peer, "%u.%u.%u.%u:%u", ip[0], ip[1], ip[2],
                       ip[3], port[0] * 256U + port[1]);
    } else if (address.s_family == NNG_AF_INET6) {
        const uint8_t *ip = address.s_in6.sa_addr;
        const uint8_t *port = (const uint8_t *)&address.s_in6.sa_port;
        int length = snprintf(stream->peer, sizeof stream->peer, "[");
        for (int i = 0; i < 16; i += 2) {
            length += snprintf(stream->peer + length, sizeof stream->peer - (size_t)length, "%s%x",
                               i == 0 ? "" : ":", ip[i] * 256U + ip[i + 1]);
        }
        (void)snprintf(stream->peer + length, sizeof stream->peer - (size_t)length, "]:%u",
                       port[0] * 256U + port[1]);
    }
}

/* Takes `raw`; NULL without memory. */
static struct rpc_transport_stream *stream_new(struct rpc_loop *loop, nng_stream *raw)
{
    struct rpc_transport_stream *stream = alloc_zeroed(rpc_loop_alloc(loop), 1, sizeof *stream);
    if (stream == NULL) {
        goto fail;
    }
    stream->loop = loop;
    stream->stream = raw;
    stream->write_event.run = write_event_run;
    if (!operation_init(&stream->read, loop, read_done)) {
        goto fail;
    }
    if (nng_aio_alloc(&stream->now_aio, NULL, NULL) != 0) {
        nng_aio_free(stream->read.aio);
        goto fail;
    }
    if (nng_aio_alloc(&stream->write_aio, write_callback, stream) != 0) {
        nng_aio_free(stream->now_aio);
        nng_aio_free(stream->read.aio);
        goto fail;
    }
    describe_peer(stream);
    rpc_loop_hold(loop);
    return stream;
fail:
    alloc_free(rpc_loop_alloc(loop), stream);
    nng_stream_free(raw);
    return NULL;
}

void rpc_transport_set_callbacks(struct rpc_transport_stream *stream,
                                 const struct rpc_transport_callbacks *callbacks)
{
    stream->callbacks = *callbacks;
}

void rpc_transport_read(struct rpc_transport_stream *stream, void *to, size_t length_max)
{
    CHECK(!stream->closed);
    CHECK(!stream->read.under_way);
    nng_iov iov = {.iov_buf = to, .iov_len = length_max};
    int code = nng_aio_set_iov(stream->read.aio, 1, &iov);
    CHECK(code == 0);
    stream->read.under_way = true;
    nng_stream_recv(stream->stream, stream->read.aio);
}

void rpc_transport_write(struct rpc_transport_stream *stream, const struct slice *slices,
                         unsigned count)
{
    CHECK(!stream->closed);
    CHECK(count > 0 && count <= RPC_TRANSPORT_SLICES_MAX);
    CHECK(atomic_load(&stream->write_state) == WRITE_IDLE);
    for (unsigned i = 0; i < count; i++) {
        stream->write_iov[i] =
            (nng_iov){.iov_buf = (void *)(uintptr_t)slices[i].data, .iov_len = slices[i].length};
    }
    stream->write_iov_count = count;
    int code = write_now(stream);
    if (code == NNG_ECANCELED) {
        atomic_store(&stream->write_state, WRITE_BUSY);
        write_submit(stream);
    } else if (code != 0) {
        write_failed(stream, code);
    }
}

bool rpc_transport_write_idle(struct rpc_transport_stream *stream)
{
    int state = WRITE_BUSY;
    if (atomic_compare_exchange_strong(&stream->write_state, &state, WRITE_WANTED)) {
        return false;
    }
    return state == WRITE_IDLE;
}

const char *rpc_transport_peer(const struct rpc_transport_stream *stream)
{
    return stream->peer;
}

void rpc_transport_close(struct rpc_transport_stream *stream)
{
    CHECK(!stream->closed);
    stream->closed = true;
    nng_stream_close(stream->stream);
    nng_aio_stop(stream->read.aio);
    nng_aio_stop(stream->write_aio);
    stream_free_if_unused(stream);
}

/* Dialing. */

struct rpc_transport_dial {
    struct rpc_loop *loop;
    nng_stream_dialer *dialer;
    struct operation operation;
    void (*done)(void *context, struct rpc_transport_stream *stream, const struct error *err);
    void *context;
    bool cancelled;
    char url[];
};

static void dial_free(struct rpc_transport_dial *dial)
{
    nng_aio_free(dial->operation.aio);
    nng_stream_dialer_free(dial->dialer);
    struct rpc_loop *loop = dial->loop;
    alloc_free(rpc_loop_alloc(loop), dial);
    rpc_loop_let_go(loop);
}

static void dial_done(struct rpc_event *event)
{
    struct rpc_transport_dial *dial = CONTAINER(struct rpc_transport_dial, operation.event, event);
    int code = nng_aio_result(dial->operation.aio);
    nng_stream *raw = code == 0 ? nng_aio_get_output(dial->operation.aio, 0) : NULL;
    if (dial->cancelled) {
        if (raw != NULL) {
            nng_stream_free(raw);
        }
        dial_free(dial);
        return;
    }
    struct error error = ERROR_INIT;
    struct rpc_transport_stream *stream = NULL;
    if (raw == NULL) {
        error_set(&error, STATUS_UNAVAILABLE, "%s", nng_strerror(code));
    } else {
        stream = stream_new(dial->loop, raw);
        if (stream == NULL) {
            error_set(&error, STATUS_UNAVAILABLE, "no memory for a connection");
        }
    }
    void (*done)(void *, struct rpc_transport_stream *, const struct error *) = dial->done;
    void *context = dial->context;
    dial_free(dial);
    done(context, stream, &error);
}

enum status rpc_transport_dial(struct rpc_loop *loop, const char *url,
                               void (*done)(void *context, struct rpc_transport_stream *stream,
                                            const struct error *err),
                               void *context, struct rpc_transport_dial **out, struct error *err)
{
    enum status status = check_scheme(url, err);
    if (status != STATUS_OK) {
        return status;
    }
    size_t length = strlen(url);
    struct rpc_transport_dial *dial = alloc_new(rpc_loop_alloc(loop), sizeof *dial + length + 1);
    if (dial == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "connect to %s: no memory", url);
    }
    *dial = (struct rpc_transport_dial){.loop = loop, .done = done, .context = context};
    memcpy(dial->url, url, length + 1);
    int code = nng_stream_dialer_alloc(&dial->dialer, url);
    if (code != 0) {
        alloc_free(rpc_loop_alloc(loop), dial);
        return fail(err, code, "connect to", url);
    }
    /* Kinds of streams without Nagle's algorithm do not know the option. */
    (void)nng_stream_dialer_set_bool(dial->dialer, NNG_OPT_TCP_NODELAY, true);
    if (!operation_init(&dial->operation, loop, dial_done)) {
        nng_stream_dialer_free(dial->dialer);
        alloc_free(rpc_loop_alloc(loop), dial);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "connect to %s: no memory", url);
    }
    *out = dial;
    rpc_loop_hold(loop);
    nng_stream_dialer_dial(dial->dialer, dial->operation.aio);
    return STATUS_OK;
}

void rpc_transport_dial_cancel(struct rpc_transport_dial *dial)
{
    dial->cancelled = true;
    nng_stream_dialer_close(dial->dialer);
    nng_aio_cancel(dial->operation.aio);
}

/* Listening. */

/* Several at a time, so that a burst of connections does not overflow the kernel's queue. */
enum { ACCEPTS = 16 };

struct accept {
    struct operation operation;
    struct rpc_transport_listener *listener;
    struct rpc_timer pause;
};

struct rpc_transport_listener {
    struct rpc_loop *loop;
    nng_stream_listener *listener;
    struct accept accepts[ACCEPTS];
    void (*on_stream)(void *context, struct rpc_transport_stream *stream);
    void *context;
    bool closed;
    uint16_t port;
    char url[];
};

static void listener_free_if_unused(struct rpc_transport_listener *listener)
{
    for (int i = 0; i < ACCEPTS; i++) {
        if (listener->accepts[i].operation.under_way) {
            return;
        }
    }
    for (int i = 0; i < ACCEPTS; i++) {
        nng_aio_free(listener->accepts[i].operation.aio);
    }
    nng_stream_listener_free(listener->listener);
    struct rpc_loop *loop = listener->loop;
    alloc_free(rpc_loop_alloc(loop), listener);
    rpc_loop_let_go(loop);
}

static void accept_next(struct accept *accept)
{
    accept->operation.under_way = true;
    nng_stream_listener_accept(accept->listener->listener, accept->operation.aio);
}

static void accept_again(struct rpc_timer *timer)
{
    accept_next(CONTAINER(struct accept, pause, timer));
}

static void accept_done(struct rpc_event *event)
{
    struct accept *accept = CONTAINER(struct accept, operation.event, event);
    struct rpc_transport_listener *listener = accept->listener;
    int code = nng_aio_result(accept->operation.aio);
    nng_stream *raw = code == 0 ? nng_aio_get_output(accept->operation.aio, 0) : NULL;
    accept->operation.under_way = false;
    if (listener->closed) {
        if (raw != NULL) {
            nng_stream_free(raw);
        }
        listener_free_if_unused(listener);
        return;
    }
    if (raw == NULL) {
        if (accept == listener->accepts) { /* one line for all */
            log_write("rpc", LOG_WARN, "cannot accept a connection", "url=%s error=\"%s\"",
                      listener->url, nng_strerror(code));
        }
        rpc_timer_set(listener->loop, &accept->pause,
                      rpc_loop_now_ns(listener->loop) + ACCEPT_PAUSE_MS * NS_PER_MS);
        return;
    }
    struct rpc_transport_stream *stream = stream_new(listener->loop, raw);
    accept_next(accept);
    if (stream != NULL) {
        listener->on_stream(listener->context, stream);
    }
}

/* Returns NNG's code; on failure nothing is left. */
static int accepts_init(struct rpc_transport_listener *listener)
{
    for (int i = 0; i < ACCEPTS; i++) {
        struct accept *accept = &listener->accepts[i];
        accept->listener = listener;
        accept->pause.fire = accept_again;
        if (!operation_init(&accept->operation, listener->loop, accept_done)) {
            while (i-- > 0) {
                nng_aio_free(listener->accepts[i].operation.aio);
            }
            return NNG_ENOMEM;
        }
    }
    return 0;
}

enum status rpc_transport_listen(struct rpc_loop *loop, const char *url,
                                 struct rpc_transport_listener **out, struct error *err)
{
    enum status status = check_scheme(url, err);
    if (status != STATUS_OK) {
        return status;
    }
    size_t length = strlen(url);
    struct rpc_transport_listener *listener =
        alloc_new(rpc_loop_alloc(loop), sizeof *listener + length + 1);
    if (listener == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "listen on %s: no memory", url);
    }
    *listener = (struct rpc_transport_listener){.loop = loop};
    memcpy(listener->url, url, length + 1);
    int code = nng_stream_listener_alloc(&listener->listener, url);
    if (code != 0) {
        alloc_free(rpc_loop_alloc(loop), listener);
        return fail(err, code, "listen on", url);
    }
    (void)nng_stream_listener_set_bool(listener->listener, NNG_OPT_TCP_NODELAY, true);
    code = nng_stream_listener_listen(listener->listener);
    if (code == 0) {
        code = accepts_init(listener);
    }
    if (code != 0) {
        nng_stream_listener_free(listener->listener);
        alloc_free(rpc_loop_alloc(loop), listener);
        return fail(err, code, "listen on", url);
    }
    int port = 0;
    if (nng_stream_listener_get_int(listener->listener, NNG_OPT_TCP_BOUND_PORT, &port) == 0) {
        listener->port = (uint16_t)port;
    }
    *out = listener;
    rpc_loop_hold(loop);
    return STATUS_OK;
}

uint16_t rpc_transport_port(const struct rpc_transport_listener *listener)
{
    return listener->port;
}

void rpc_transport_accept(struct rpc_transport_listener *listener,
                          void (*on_stream)(void *context, struct rpc_transport_stream *stream),
                          void *context)
{
    listener->on_stream = on_stream;
    listener->context = context;
    for (int i = 0; i < ACCEPTS; i++) {
        accept_next(&listener->accepts[i]);
    }
}

void rpc_transport_listener_close(struct rpc_transport_listener *listener)
{
    CHECK(!listener->closed);
    listener->closed = true;
    for (int i = 0; i < ACCEPTS; i++) {
        rpc_timer_cancel(listener->loop, &listener->accepts[i].pause);
    }
    nng_stream_listener_close(listener->listener);
    listener_free_if_unused(listener);
}
