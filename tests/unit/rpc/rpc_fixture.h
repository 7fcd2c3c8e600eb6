/* SPDX-License-Identifier: Apache-2.0
 *
 * A server on a free port, with handlers whose behaviour the request's key names,
 * and a channel to it; and a bare socket for those who break the rules.
 */
#ifndef ESTREAT_TESTS_RPC_FIXTURE_H
#define ESTREAT_TESTS_RPC_FIXTURE_H

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/coding.h"
#include "base/limits.h"
#include "rpc/channel.h"
#include "rpc/frame.h"
#include "rpc/hello.h"
#include "rpc/server.h"
#include "schema/log.pb-c.h"
#include "schema/raft.pb-c.h"
#include "schema/rpc.pb-c.h"
#include "testlib/test.h"

enum { APPEND = 0, GET = 1, HISTORY = 2, READ = 3, COUNT = 4 };
#define LOG (&estreat__v1__log__descriptor)
#define RAFT (&estreat__v1__raft__descriptor)

struct fixture {
    struct rpc_loop *loop;        /* the server's */
    struct rpc_loop *client_loop; /* the channel's */
    struct rpc_server *server;
    struct rpc_channel *channel;
    char url[64];
    uint16_t port;
    /* what the handlers saw */
    _Atomic unsigned calls;
    _Atomic unsigned oneways;
    _Atomic unsigned cancelled;
    _Atomic unsigned sent; /* stream messages */
    _Atomic unsigned streams_ended;
    _Atomic uint64_t timeout_ms; /* that the last call came with */
    char metadata[32];
    _Atomic(struct rpc_server_call *) held; /* by "hold" */
};

static inline void sleep_ms(unsigned ms)
{
    (void)usleep(ms * 1000);
}

/* Waits until `condition`, at most 10 s. */
#define EVENTUALLY(condition)                                                                      \
    do {                                                                                           \
        for (int tries_ = 0; tries_ < 10000 && !(condition); tries_++) {                           \
            sleep_ms(1);                                                                           \
        }                                                                                          \
        assert_true(condition);                                                                    \
    } while (0)

static inline bool key_is(const Estreat__V1__GetRequest *request, const char *name)
{
    return slice_equal(slice_of(request->key.data, request->key.len), slice_of_string(name));
}

static inline void fixture_on_cancel(void *context)
{
    struct fixture *fixture = context;
    (void)atomic_fetch_add(&fixture->cancelled, 1);
    rpc_call_fail(atomic_exchange(&fixture->held, NULL), STATUS_CANCELLED, "cancelled");
}

static inline void *answer_elsewhere(void *context)
{
    struct rpc_server_call *call = context;
    Estreat__V1__GetResponse response = ESTREAT__V1__GET_RESPONSE__INIT;
    rpc_call_reply(call, &response.base);
    return NULL;
}

/* "echo…": the key comes back. "fail": FAILED_PRECONDITION with metadata. "hold": kept in
 * `held`. "wait": until it is cancelled. "thread": answered by another thread. "large": a
 * response of as_of.position bytes. */
static inline void on_get(void *context, struct rpc_server_call *call,
                          const ProtobufCMessage *message)
{
    struct fixture *fixture = context;
    const Estreat__V1__GetRequest *request = (const Estreat__V1__GetRequest *)message;
    Estreat__V1__Event event = ESTREAT__V1__EVENT__INIT;
    Estreat__V1__GetResponse response = ESTREAT__V1__GET_RESPONSE__INIT;
    response.event = &event;
    uint64_t deadline_ns = rpc_call_deadline_ns(call);
    atomic_store(
        &fixture->timeout_ms,
        deadline_ns == UINT64_MAX ? 0 : (deadline_ns - rpc_loop_now_ns(fixture->loop)) / NS_PER_MS);
    struct slice value;
    if (rpc_metadata_get(rpc_call_metadata(call), "tag", &value)) {
        (void)snprintf(fixture->metadata, sizeof fixture->metadata, "%.*s", (int)value.length,
                       (const char *)value.data);
    }
    (void)atomic_fetch_add(&fixture->calls, 1);
    if (key_is(request, "fail")) {
        struct rpc_metadata pair = {RPC_METADATA_LEADER_ENDPOINT, slice_of_string("10.0.0.1:8970")};
        rpc_call_fail_with(call, STATUS_FAILED_PRECONDITION, "not the leader",
                           (struct rpc_metadata_list){&pair, 1});
    } else if (key_is(request, "hold")) {
        atomic_store(&fixture->held, call);
    } else if (key_is(request, "wait")) {
        atomic_store(&fixture->held, call);
        rpc_call_on_cancel(call, fixture_on_cancel, fixture);
    } else if (key_is(request, "thread")) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, answer_elsewhere, call) == 0);
        CHECK(pthread_detach(thread) == 0);
    } else if (key_is(request, "large")) {
        event.payload.len = request->as_of->position;
        event.payload.data = calloc(1, event.payload.len + 1);
        rpc_call_reply(call, &response.base);
        free(event.payload.data);
    } else {
        event.key = request->key;
        rpc_call_reply(call, &response.base);
    }
}

static inline void on_append(void *context, struct rpc_server_call *call,
                             const ProtobufCMessage *message)
{
    const Estreat__V1__AppendRequest *request = (const Estreat__V1__AppendRequest *)message;
    struct fixture *fixture = context;
    (void)atomic_fetch_add(&fixture->calls, 1);
    Estreat__V1__AppendResponse response = ESTREAT__V1__APPEND_RESPONSE__INIT;
    for (size_t i = 0; i < request->n_events; i++) {
        response.size += request->events[i]->payload.len;
    }
    rpc_call_reply(call, &response.base);
}

struct read_job {
    struct fixture *fixture;
    struct rpc_server_call *call;
    uint64_t position;
    uint64_t limit;
    size_t payload;
    bool elsewhere; /* runs on threads of its own */
};

static inline void read_on(void *context);

static inline void *read_elsewhere(void *context)
{
    struct read_job *job = context;
    static uint8_t payload[300000];
    Estreat__V1__Event event = ESTREAT__V1__EVENT__INIT;
    event.payload.data = payload;
    event.payload.len = job->payload;
    Estreat__V1__Event *events[1] = {&event};
    Estreat__V1__EventBatch batch = ESTREAT__V1__EVENT_BATCH__INIT;
    batch.events = events;
    batch.n_events = 1;
    while (job->position < job->limit && !rpc_call_cancelled(job->call)) {
        batch.next_position = ++job->position;
        bool more = rpc_call_send(job->call, &batch.base);
        (void)atomic_fetch_add(&job->fixture->sent, 1);
        if (!more && !rpc_call_cancelled(job->call)) {
            rpc_call_on_writable(job->call, read_on, job);
            return NULL;
        }
    }
    if (rpc_call_cancelled(job->call)) {
        (void)atomic_fetch_add(&job->fixture->cancelled, 1);
    }
    (void)atomic_fetch_add(&job->fixture->streams_ended, 1);
    rpc_call_finish(job->call);
    free(job);
    return NULL;
}

static inline void read_on(void *context)
{
    struct read_job *job = context;
    if (!job->elsewhere) {
        (void)read_elsewhere(job);
        return;
    }
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, read_elsewhere, job) == 0);
    CHECK(pthread_detach(thread) == 0);
}

/* `limit` messages with payloads of from.position bytes; a filter key "fail" fails at once, one
 * "thread" sends from other threads. */
static inline void on_read(void *context, struct rpc_server_call *call,
                           const ProtobufCMessage *message)
{
    struct fixture *fixture = context;
    const Estreat__V1__ReadRequest *request = (const Estreat__V1__ReadRequest *)message;
    (void)atomic_fetch_add(&fixture->calls, 1);
    struct slice key = request->filter == NULL
                           ? slice_of(NULL, 0)
                           : slice_of(request->filter->key.data, request->filter->key.len);
    if (slice_equal(key, slice_of_string("fail"))) {
        struct rpc_metadata pair = {"why", slice_of_string("because")};
        rpc_call_fail_with(call, STATUS_OUT_OF_RANGE, "beyond the end",
                           (struct rpc_metadata_list){&pair, 1});
        return;
    }
    struct read_job *job = calloc(1, sizeof *job);
    CHECK(job != NULL);
    job->fixture = fixture;
    job->call = call;
    job->limit = request->limit;
    job->payload = request->from == NULL ? 0 : (size_t)request->from->position;
    job->elsewhere = slice_equal(key, slice_of_string("thread"));
    read_on(job);
}

static inline void on_step(void *context, struct rpc_server_call *call,
                           const ProtobufCMessage *message)
{
    struct fixture *fixture = context;
    (void)message;
    (void)atomic_fetch_add(&fixture->oneways, 1);
    CHECK(rpc_call_is_oneway(call));
    rpc_call_finish(call);
}

/* Opens and starts a server; options.url NULL: any free port. */
static inline void fixture_serve(struct fixture *fixture, struct rpc_server_options options)
{
    struct error error = ERROR_INIT;
    options.url = options.url == NULL ? "tcp://127.0.0.1:0" : options.url;
    assert_ok(rpc_server_open(fixture->loop, &options, &fixture->server, &error), &error);
    const rpc_handler_fn log[] = {on_append, on_get, NULL, on_read, NULL};
    const rpc_handler_fn raft[] = {on_step};
    assert_ok(rpc_server_register(fixture->server, LOG, log, fixture, &error), &error);
    assert_ok(rpc_server_register(fixture->server, RAFT, raft, fixture, &error), &error);
    rpc_server_start(fixture->server);
    fixture->port = rpc_server_port(fixture->server);
    if (fixture->port != 0) {
        (void)snprintf(fixture->url, sizeof fixture->url, "tcp://127.0.0.1:%u", fixture->port);
    }
}

static inline void fixture_loops(struct fixture *fixture)
{
    struct error error = ERROR_INIT;
    memset(fixture, 0, sizeof *fixture);
    struct rpc_loop_options server = {.name = "server"};
    struct rpc_loop_options client = {.name = "client"};
    assert_ok(rpc_loop_open(&server, &fixture->loop, &error), &error);
    assert_ok(rpc_loop_open(&client, &fixture->client_loop, &error), &error);
}

/* options.url NULL: the fixture's server. */
static inline void fixture_connect(struct fixture *fixture, struct rpc_channel_options options)
{
    struct error error = ERROR_INIT;
    options.url = options.url == NULL ? fixture->url : options.url;
    assert_ok(rpc_channel_open(fixture->client_loop, &options, &fixture->channel, &error), &error);
}

static inline void fixture_open(struct fixture *fixture)
{
    fixture_loops(fixture);
    fixture_serve(fixture, (struct rpc_server_options){.url = NULL});
    fixture_connect(fixture, (struct rpc_channel_options){.url = NULL});
}

static inline void fixture_close(struct fixture *fixture)
{
    rpc_channel_close(fixture->channel);
    rpc_server_close(fixture->server, 2000);
    rpc_loop_close(fixture->client_loop);
    rpc_loop_close(fixture->loop);
}

/* A blocking Get with that key; checks that an OK answer echoes it. */
static inline enum status get(struct fixture *fixture, const char *key,
                              const struct rpc_call_options *options, struct error *err)
{
    Estreat__V1__GetRequest request = ESTREAT__V1__GET_REQUEST__INIT;
    request.key.data = (uint8_t *)(uintptr_t)key;
    request.key.len = strlen(key);
    struct rpc_reply reply;
    enum status status =
        rpc_channel_call_wait(fixture->channel, LOG, GET, &request.base, options, &reply, err);
    if (status == STATUS_OK && strncmp(key, "echo", 4) == 0) {
        const Estreat__V1__GetResponse *response = (const Estreat__V1__GetResponse *)reply.message;
        assert_non_null(response->event);
        assert_int_equal(response->event->key.len, strlen(key));
        assert_memory_equal(response->event->key.data, key, strlen(key));
    }
    rpc_reply_release(&reply);
    return status;
}

/* The server answers a fresh, well-behaved channel. */
static inline void assert_serving(struct fixture *fixture)
{
    struct error error = ERROR_INIT;
    struct rpc_channel_options options = {.url = fixture->url};
    struct rpc_channel *before = fixture->channel;
    assert_ok(rpc_channel_open(fixture->client_loop, &options, &fixture->channel, &error), &error);
    assert_ok(get(fixture, "echo: still there", NULL, &error), &error);
    rpc_channel_close(fixture->channel);
    fixture->channel = before;
}

/* Bare sockets. */

static inline int socket_connect(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static inline int socket_listen(uint16_t *port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    int on = 1;
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(*port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 16), 0);
    socklen_t length = sizeof address;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

/* False if the other side is gone. */
static inline bool socket_send(int fd, const void *data, size_t length)
{
    const uint8_t *at = data;
    while (length > 0) {
        ssize_t sent = send(fd, at, length, MSG_NOSIGNAL);
        if (sent <= 0) {
            return false;
        }
        at += sent;
        length -= (size_t)sent;
    }
    return true;
}

/* Bytes read into `out` until it is full, the other side closes, or nothing comes for
 * `timeout_ms`. `closed` may be NULL. */
static inline size_t socket_receive(int fd, uint8_t *out, size_t length_max, int timeout_ms,
                                    bool *closed)
{
    size_t length = 0;
    bool gone = false;
    while (length < length_max && !gone) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        if (poll(&ready, 1, timeout_ms) <= 0) {
            break;
        }
        ssize_t count = recv(fd, out + length, length_max - length, 0);
        gone = count <= 0;
        length += count > 0 ? (size_t)count : 0;
    }
    if (closed != NULL) {
        *closed = gone;
    }
    return length;
}

/* True when the other side has closed within `timeout_ms`. */
static inline bool socket_closed(int fd, int timeout_ms)
{
    uint8_t bytes[4096];
    bool closed = false;
    while (socket_receive(fd, bytes, sizeof bytes, timeout_ms, &closed) > 0 && !closed) {
    }
    return closed;
}

/* Appends a frame to `out`. */
static inline void put_frame(struct buf *out, enum rpc_frame_kind kind, uint8_t flags,
                             uint64_t call_id, const void *body, size_t length)
{
    uint8_t *frame = buf_extend(out, RPC_FRAME_HEADER_BYTES + length);
    CHECK(frame != NULL);
    if (length > 0) {
        memcpy(frame + RPC_FRAME_HEADER_BYTES, body, length);
    }
    rpc_frame_seal(frame, length, kind, flags, call_id);
}

/* Preface and HELLO. */
static inline void put_hello(struct buf *out, unsigned version_min, unsigned version_max,
                             const char *cluster)
{
    struct rpc_hello hello;
    rpc_hello_init(&hello, cluster, "tester", "", CLIENT_FRAME_BYTES_MAX, rng_system());
    hello.version_min = version_min;
    hello.version_max = version_max;
    struct buf body;
    buf_init(&body, alloc_default(), RPC_HELLO_BYTES_MAX);
    rpc_hello_encode(&hello, &body);
    buf_append(out, RPC_PREFACE, RPC_PREFACE_BYTES);
    put_frame(out, RPC_HELLO, 0, 0, body.data, body.length);
    buf_release(&body);
}

/* A CALL of Log/Get. */
static inline void put_get(struct buf *out, uint64_t call_id, const char *key)
{
    Estreat__V1__CallHeader header = ESTREAT__V1__CALL_HEADER__INIT;
    header.service = (char *)(uintptr_t) "estreat.v1.Log";
    header.method = (char *)(uintptr_t) "Get";
    Estreat__V1__GetRequest request = ESTREAT__V1__GET_REQUEST__INIT;
    request.key.data = (uint8_t *)(uintptr_t)key;
    request.key.len = strlen(key);
    uint8_t body[2048];
    size_t length = put_varint(body, estreat__v1__call_header__get_packed_size(&header));
    length += estreat__v1__call_header__pack(&header, body + length);
    length += estreat__v1__get_request__pack(&request, body + length);
    put_frame(out, RPC_CALL, 0, call_id, body, length);
}

/* Parses what a server sent: after the preface, finds the first frame of `kind` (any call).
 * False if there is none. */
static inline bool find_frame(struct slice in, enum rpc_frame_kind kind, struct rpc_frame *frame)
{
    if (in.length < RPC_PREFACE_BYTES) {
        return false;
    }
    in = slice_from(in, RPC_PREFACE_BYTES);
    size_t bytes = 0;
    struct error error = ERROR_INIT;
    while (rpc_frame_parse(in, 1 << 24, frame, &bytes, &error) == RPC_PARSE_FRAME) {
        if (frame->kind == kind) {
            return true;
        }
        in = slice_from(in, bytes);
    }
    return false;
}

#endif
