/* SPDX-License-Identifier: Apache-2.0
 *
 * Connections that misbehave, break, or meet the wrong party.
 */
#include "rpc_fixture.h"

struct outcome {
    _Atomic int status; /* -1: not ended */
    struct error error;
};

static void note(void *context, const struct rpc_result *result)
{
    struct outcome *outcome = context;
    error_set(&outcome->error, result->status, "%s", result->text);
    atomic_store(&outcome->status, (int)result->status);
}

static void get_async(struct fixture *fixture, const char *key,
                      const struct rpc_call_options *options, struct outcome *outcome)
{
    Estreat__V1__GetRequest request = ESTREAT__V1__GET_REQUEST__INIT;
    request.key.data = (uint8_t *)(uintptr_t)key;
    request.key.len = strlen(key);
    atomic_store(&outcome->status, -1);
    (void)rpc_channel_call(fixture->channel, LOG, GET, &request.base, options, note, outcome);
}

/* A port that speaks to those who speak something else closes on them at once, and serves on. */
static void garbage(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_open(&fixture);
    static const char *const texts[] = {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "ESTREAT\x02", "\n",
                                        "ESTREAT!", "SSH-2.0-OpenSSH_9.2\r\n"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        int fd = socket_connect(fixture.port);
        (void)socket_send(fd, texts[i], strlen(texts[i]));
        assert_true(socket_closed(fd, 2000));
        (void)close(fd);
        assert_serving(&fixture);
    }
    fixture_close(&fixture);
}

/* Random bytes after a good handshake end that connection with GOAWAY, and nothing else. */
static void garbage_after_hello(void **state)
{
    (void)state;
    struct fixture fixture;
    uint64_t seed = test_seed();
    struct rng_seeded rng;
    rng_seeded_init(&rng, seed);
    fixture_open(&fixture);
    for (int round = 0; round < 50; round++) {
        struct buf out;
        uint8_t noise[200];
        buf_init(&out, alloc_default(), 1 << 20);
        put_hello(&out, 1, 1, "");
        rng_fill(&rng.rng, noise, sizeof noise);
        put_le32(noise, (uint32_t)rng_below(&rng.rng, 100)); /* a length that is there */
        buf_append(&out, noise, sizeof noise);
        int fd = socket_connect(fixture.port);
        assert_true(socket_send(fd, out.data, out.length));
        assert_int_equal(shutdown(fd, SHUT_WR), 0); /* spares the server's lingering */
        uint8_t in[4096];
        bool closed = false;
        size_t length = socket_receive(fd, in, sizeof in, 2000, &closed);
        struct rpc_frame frame;
        assert_true(closed);
        assert_true(find_frame(slice_of(in, length), RPC_GOAWAY, &frame));
        (void)close(fd);
        buf_release(&out);
    }
    assert_serving(&fixture);
    fixture_close(&fixture);
}

/* Frames that have no place: each kind at a wrong moment, a call id twice, a HELLO twice. */
static void frames_out_of_place(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_open(&fixture);
    for (int which = 0; which < 7; which++) {
        struct buf out;
        buf_init(&out, alloc_default(), 1 << 20);
        if (which == 0) { /* a call before HELLO */
            buf_append(&out, RPC_PREFACE, RPC_PREFACE_BYTES);
            put_get(&out, 1, "echo");
        } else {
            put_hello(&out, 1, 1, "");
        }
        if (which == 1) {
            put_frame(&out, RPC_HELLO, 0, 0, NULL, 0);
        } else if (which == 2) {
            put_frame(&out, RPC_MESSAGE, 0, 1, NULL, 0);
        } else if (which == 3) {
            put_frame(&out, RPC_STATUS, 0, 1, NULL, 0);
        } else if (which == 4) {
            put_frame(&out, RPC_AUTH, 0, 0, NULL, 0);
        } else if (which == 5) {
            put_get(&out, 7, "hold");
            put_get(&out, 7, "echo");
        } else if (which == 6) {
            put_frame(&out, RPC_CALL, 0, 1, "\x7f", 1);
        }
        int fd = socket_connect(fixture.port);
        assert_true(socket_send(fd, out.data, out.length));
        assert_int_equal(shutdown(fd, SHUT_WR), 0); /* spares the server's lingering */
        uint8_t in[4096];
        bool closed = false;
        size_t length = socket_receive(fd, in, sizeof in, 2000, &closed);
        struct rpc_frame frame;
        assert_true(closed);
        assert_true(find_frame(slice_of(in, length), RPC_GOAWAY, &frame));
        Estreat__V1__GoAway *goaway =
            estreat__v1__go_away__unpack(NULL, frame.body.length, frame.body.data);
        assert_int_equal(goaway->code, STATUS_INVALID_ARGUMENT);
        estreat__v1__go_away__free_unpacked(goaway, NULL);
        (void)close(fd);
        buf_release(&out);
    }
    EVENTUALLY(atomic_load(&fixture.held) != NULL);
    EVENTUALLY(rpc_call_cancelled(atomic_load(&fixture.held)));
    rpc_call_fail(atomic_load(&fixture.held), STATUS_ABORTED, "");
    /* Credit and cancel for calls that are not there are late, not wrong. */
    struct buf out;
    buf_init(&out, alloc_default(), 1 << 20);
    put_hello(&out, 1, 1, "");
    put_frame(&out, RPC_CANCEL, 0, 9, NULL, 0);
    put_frame(&out, RPC_CREDIT, 0, 9, "\1\0\0\0\0\0\0\0", 8);
    put_get(&out, 10, "echo");
    int fd = socket_connect(fixture.port);
    assert_true(socket_send(fd, out.data, out.length));
    uint8_t in[4096];
    size_t length = socket_receive(fd, in, sizeof in, 200, NULL);
    struct rpc_frame frame;
    assert_true(find_frame(slice_of(in, length), RPC_MESSAGE, &frame));
    assert_int_equal(frame.call_id, 10);
    (void)close(fd);
    buf_release(&out);
    assert_serving(&fixture);
    fixture_close(&fixture);
}

/* A call may come in single bytes. */
static void byte_by_byte(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_open(&fixture);
    struct buf out;
    buf_init(&out, alloc_default(), 1 << 20);
    put_hello(&out, 1, 1, "");
    put_get(&out, 1, "echo");
    int fd = socket_connect(fixture.port);
    for (size_t i = 0; i < out.length; i++) {
        assert_true(socket_send(fd, out.data + i, 1));
        if (i % 16 == 0) {
            sleep_ms(1);
        }
    }
    uint8_t in[4096];
    size_t length = socket_receive(fd, in, sizeof in, 100, NULL);
    struct rpc_frame frame;
    assert_true(find_frame(slice_of(in, length), RPC_MESSAGE, &frame));
    (void)close(fd);
    buf_release(&out);
    fixture_close(&fixture);
}

/* A client that goes away after any number of bytes of an exchange disturbs nobody, and a call
 * that it left behind is cancelled. */
static void disconnect_at_each_byte(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_open(&fixture);
    struct buf out;
    buf_init(&out, alloc_default(), 1 << 20);
    put_hello(&out, 1, 1, "");
    put_get(&out, 1, "wait");
    for (size_t cut = 0; cut <= out.length; cut++) {
        int fd = socket_connect(fixture.port);
        assert_true(socket_send(fd, out.data, cut));
        if (cut % 2 == 0) { /* a reset, not a close */
            struct linger reset = {.l_onoff = 1, .l_linger = 0};
            assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset), 0);
            if (cut == out.length) {
                EVENTUALLY(atomic_load(&fixture.held) != NULL);
            }
        }
        (void)close(fd);
    }
    buf_release(&out);
    EVENTUALLY(atomic_load(&fixture.cancelled) == atomic_load(&fixture.calls));
    assert_serving(&fixture);
    struct rpc_server_stats *stats =
        (struct rpc_server_stats *)(uintptr_t)rpc_server_stats(fixture.server);
    EVENTUALLY(counter_get(&stats->connections_open) == 1);
    assert_int_equal(counter_get(&stats->calls_in_flight), 0);
    fixture_close(&fixture);
}

/* A thousand connections that close at once, with and without a reset, leave the listener
 * listening. */
static void thousand_instant_closes(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_open(&fixture);
    for (int i = 0; i < 1000; i++) {
        int fd = socket_connect(fixture.port);
        struct linger reset = {.l_onoff = i % 2, .l_linger = 0};
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset), 0);
        (void)close(fd);
        if (i % 50 == 49) { /* or the kernel's queue overflows, and connecting takes seconds */
            sleep_ms(3);
        }
    }
    assert_serving(&fixture);
    struct rpc_server_stats *stats =
        (struct rpc_server_stats *)(uintptr_t)rpc_server_stats(fixture.server);
    EVENTUALLY(counter_get(&stats->connections_open) <= 1);
    fixture_close(&fixture);
}

/* Who connects and says nothing, or half a HELLO, is closed when the handshake's time is up. */
static void half_open(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_loops(&fixture);
    fixture_serve(&fixture, (struct rpc_server_options){.handshake_ms = 100});
    int silent = socket_connect(fixture.port);
    int half = socket_connect(fixture.port);
    assert_true(socket_send(half, RPC_PREFACE, RPC_PREFACE_BYTES));
    assert_serving(&fixture);
    assert_true(socket_closed(silent, 2000));
    assert_true(socket_closed(half, 2000));
    (void)close(silent);
    (void)close(half);
    assert_serving(&fixture);
    fixture_close(&fixture);
}

/* A frame that does not come to its end is given up, and a silent connection is closed; one that
 * answers PING lives on. */
static void frame_and_idle_timeouts(void **state)
{
    (void)state;
    struct fixture fixture;
    struct error error = ERROR_INIT;
    fixture_loops(&fixture);
    fixture_serve(&fixture, (struct rpc_server_options){
                                .frame_ms = 100, .idle_ms = 300, .keepalive_ms = 100});
    struct buf out;
    buf_init(&out, alloc_default(), 1 << 20);
    put_hello(&out, 1, 1, "");
    int silent = socket_connect(fixture.port);
    assert_true(socket_send(silent, out.data, out.length));
    put_get(&out, 1, "echo");
    int slow = socket_connect(fixture.port);
    assert_true(socket_send(slow, out.data, out.length - 1));
    fixture_connect(&fixture, (struct rpc_channel_options){.keepalive_ms = 5000});
    assert_ok(get(&fixture, "echo", NULL, &error), &error);
    uint8_t in[4096];
    bool closed = false;
    size_t length = socket_receive(slow, in, sizeof in, 2000, &closed);
    struct rpc_frame frame;
    assert_true(closed);
    assert_true(find_frame(slice_of(in, length), RPC_GOAWAY, &frame));
    length = socket_receive(silent, in, sizeof in, 2000, &closed);
    assert_true(closed);
    assert_true(find_frame(slice_of(in, length), RPC_PING, &frame));
    sleep_ms(500);
    struct rpc_server_stats *stats =
        (struct rpc_server_stats *)(uintptr_t)rpc_server_stats(fixture.server);
    assert_true(rpc_channel_connected(fixture.channel));
    assert_int_equal(counter_get(&stats->connections_open), 1);
    (void)close(silent);
    (void)close(slow);
    buf_release(&out);
    fixture_close(&fixture);
}

/* The client, too, notices a server that has fallen silent. */
static void silent_server(void **state)
{
    (void)state;
    struct fixture fixture;
    struct error error = ERROR_INIT;
    fixture_loops(&fixture);
    uint16_t port = 0;
    int listener = socket_listen(&port);
    (void)snprintf(fixture.url, sizeof fixture.url, "tcp://127.0.0.1:%u", port);
    fixture_connect(&fixture, (struct rpc_channel_options){.idle_ms = 200, .keepalive_ms = 50});
    int fd = accept(listener, NULL, NULL);
    struct buf out;
    buf_init(&out, alloc_default(), 1 << 20);
    put_hello(&out, 1, 1, "");
    assert_true(socket_send(fd, out.data, out.length));
    assert_status(get(&fixture, "echo", NULL, &error), STATUS_UNAVAILABLE, &error);
    assert_non_null(strstr(error.text, "silent"));
    (void)close(fd);
    (void)close(listener);
    buf_release(&out);
    fixture_close(&fixture);
}

/* A frame above the limit is refused from its header, with RESOURCE_EXHAUSTED; the server then
 * waits for us to close, reading on, so that its reason is not lost to a reset. */
static void oversized(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_open(&fixture);
    struct buf out;
    buf_init(&out, alloc_default(), 1 << 20);
    put_hello(&out, 1, 1, "");
    size_t at = out.length;
    put_frame(&out, RPC_CALL, 0, 1, NULL, 0);
    put_le32(out.data + at, CLIENT_FRAME_BYTES_MAX + 1);
    int fd = socket_connect(fixture.port);
    assert_true(socket_send(fd, out.data, out.length));
    uint64_t start_ns = clock_monotonic_ns(clock_system());
    static uint8_t flood[100000];
    for (int i = 0; i < 20 && socket_send(fd, flood, sizeof flood); i++) {
    }
    uint8_t in[4096];
    bool closed = false;
    size_t length = socket_receive(fd, in, sizeof in, 2000, &closed);
    assert_true(closed);
    assert_true(clock_monotonic_ns(clock_system()) - start_ns > 400 * NS_PER_MS);
    struct rpc_frame frame;
    assert_true(find_frame(slice_of(in, length), RPC_GOAWAY, &frame));
    Estreat__V1__GoAway *goaway =
        estreat__v1__go_away__unpack(NULL, frame.body.length, frame.body.data);
    assert_int_equal(goaway->code, STATUS_RESOURCE_EXHAUSTED);
    estreat__v1__go_away__free_unpacked(goaway, NULL);
    (void)close(fd);
    buf_release(&out);
    assert_serving(&fixture);
    fixture_close(&fixture);
}

/* Versions that do not overlap and another cluster are refused, and the caller sees why. */
static void refused_handshakes(void **state)
{
    (void)state;
    struct fixture fixture;
    struct error error = ERROR_INIT;
    fixture_loops(&fixture);
    fixture_serve(&fixture, (struct rpc_server_options){.cluster_id = "red"});
    fixture_connect(&fixture, (struct rpc_channel_options){.cluster_id = "blue"});
    assert_status(get(&fixture, "echo", NULL, &error), STATUS_FAILED_PRECONDITION, &error);
    assert_non_null(strstr(error.text, "red"));
    assert_non_null(strstr(error.text, "blue"));
    assert_false(rpc_channel_connected(fixture.channel));
    assert_serving(&fixture); /* a client that names no cluster */
    struct buf out;
    buf_init(&out, alloc_default(), 1 << 20);
    put_hello(&out, 7, 9, "red");
    int fd = socket_connect(fixture.port);
    assert_true(socket_send(fd, out.data, out.length));
    uint8_t in[4096];
    bool closed = false;
    size_t length = socket_receive(fd, in, sizeof in, 2000, &closed);
    struct rpc_frame frame;
    assert_true(closed);
    assert_true(find_frame(slice_of(in, length), RPC_GOAWAY, &frame));
    Estreat__V1__GoAway *goaway =
        estreat__v1__go_away__unpack(NULL, frame.body.length, frame.body.data);
    assert_int_equal(goaway->code, STATUS_FAILED_PRECONDITION);
    assert_non_null(strstr(goaway->message, "7 to 9"));
    estreat__v1__go_away__free_unpacked(goaway, NULL);
    (void)close(fd);
    buf_release(&out);
    fixture_close(&fixture);
}

/* A client whose version the server does not speak hears so, whoever notices first. */
static void old_client(void **state)
{
    (void)state;
    struct fixture fixture;
    struct error error = ERROR_INIT;
    fixture_loops(&fixture);
    uint16_t port = 0;
    int listener = socket_listen(&port);
    (void)snprintf(fixture.url, sizeof fixture.url, "tcp://127.0.0.1:%u", port);
    for (int first = 0; first < 2; first++) {
        fixture_connect(&fixture, (struct rpc_channel_options){.url = NULL});
        int fd = accept(listener, NULL, NULL);
        struct buf out;
        buf_init(&out, alloc_default(), 1 << 20);
        if (first == 0) {
            put_hello(&out, 2, 3, "");
        } else {
            Estreat__V1__GoAway goaway = ESTREAT__V1__GO_AWAY__INIT;
            uint8_t body[200];
            goaway.code = STATUS_FAILED_PRECONDITION;
            goaway.message = (char *)(uintptr_t) "this server speaks 2 to 3";
            size_t length = estreat__v1__go_away__pack(&goaway, body);
            buf_append(&out, RPC_PREFACE, RPC_PREFACE_BYTES);
            put_frame(&out, RPC_GOAWAY, 0, 0, body, length);
        }
        assert_true(socket_send(fd, out.data, out.length));
        assert_status(get(&fixture, "echo", NULL, &error), STATUS_FAILED_PRECONDITION, &error);
        assert_non_null(strstr(error.text, "2 to 3"));
        (void)close(fd);
        buf_release(&out);
        rpc_channel_close(fixture.channel);
        fixture.channel = NULL;
    }
    (void)close(listener);
    fixture_close(&fixture);
}

/* Calls to a port where nobody listens fail at once, naming the endpoint and the reason; those
 * that wait for a connection get it when the server comes. */
static void nobody_listens(void **state)
{
    (void)state;
    struct fixture fixture;
    struct error error = ERROR_INIT;
    fixture_loops(&fixture);
    uint16_t port = 0;
    (void)close(socket_listen(&port)); /* a port that was free a moment ago */
    (void)snprintf(fixture.url, sizeof fixture.url, "tcp://127.0.0.1:%u", port);
    fixture_connect(&fixture, (struct rpc_channel_options){.url = NULL});
    uint64_t start_ns = clock_monotonic_ns(clock_system());
    assert_status(get(&fixture, "echo", NULL, &error), STATUS_UNAVAILABLE, &error);
    assert_true(clock_monotonic_ns(clock_system()) - start_ns < NS_PER_S);
    assert_non_null(strstr(error.text, fixture.url));
    assert_non_null(strstr(error.text, "refused"));
    struct outcome outcome;
    struct rpc_call_options patient = {.deadline_ms = 5000, .wait_for_ready = true};
    get_async(&fixture, "echo", &patient, &outcome);
    struct outcome late;
    struct rpc_call_options short_ = {.deadline_ms = 30, .wait_for_ready = true};
    get_async(&fixture, "echo", &short_, &late);
    EVENTUALLY(atomic_load(&late.status) == STATUS_DEADLINE_EXCEEDED);
    assert_int_equal(atomic_load(&outcome.status), -1);
    fixture_serve(&fixture, (struct rpc_server_options){.url = fixture.url});
    EVENTUALLY(atomic_load(&outcome.status) == STATUS_OK);
    fixture_close(&fixture);
}

/* A second server on the same port is refused with a clear error; so are URLs that are none. */
static void bad_addresses(void **state)
{
    (void)state;
    struct fixture fixture;
    struct error error = ERROR_INIT;
    fixture_open(&fixture);
    struct rpc_server *other = NULL;
    struct rpc_server_options options = {.url = fixture.url};
    assert_status(rpc_server_open(fixture.loop, &options, &other, &error), STATUS_UNAVAILABLE,
                  &error);
    assert_non_null(strstr(error.text, fixture.url));
    options.url = "tls+tcp://127.0.0.1:0";
    assert_status(rpc_server_open(fixture.loop, &options, &other, &error), STATUS_UNIMPLEMENTED,
                  &error);
    options.url = "http://127.0.0.1:0";
    assert_status(rpc_server_open(fixture.loop, &options, &other, &error), STATUS_INVALID_ARGUMENT,
                  &error);
    struct rpc_channel *channel = NULL;
    struct rpc_channel_options client = {.url = "127.0.0.1:1"};
    assert_status(rpc_channel_open(fixture.client_loop, &client, &channel, &error),
                  STATUS_INVALID_ARGUMENT, &error);
    assert_null(other);
    assert_null(channel);
    fixture_close(&fixture);
}

/* A call in flight on a connection that breaks ends with UNAVAILABLE, and the channel finds the
 * server again when it is back. */
static void reconnect(void **state)
{
    (void)state;
    struct fixture fixture;
    struct error error = ERROR_INIT;
    fixture_open(&fixture);
    for (int round = 0; round < 3; round++) {
        struct outcome outcome;
        get_async(&fixture, "wait", &(struct rpc_call_options){.wait_for_ready = true}, &outcome);
        EVENTUALLY(atomic_load(&fixture.held) != NULL);
        rpc_server_close(fixture.server, 0);
        EVENTUALLY(atomic_load(&outcome.status) == STATUS_UNAVAILABLE);
        assert_non_null(strstr(outcome.error.text, fixture.url));
        EVENTUALLY(atomic_load(&fixture.held) == NULL);
        fixture_serve(&fixture, (struct rpc_server_options){.url = fixture.url});
        struct rpc_call_options patient = {.deadline_ms = 5000, .wait_for_ready = true};
        assert_ok(get(&fixture, "echo", &patient, &error), &error);
    }
    assert_int_equal(atomic_load(&fixture.cancelled), 3);
    fixture_close(&fixture);
}

static void *answer_soon(void *context)
{
    struct fixture *fixture = context;
    sleep_ms(100);
    Estreat__V1__GetResponse response = ESTREAT__V1__GET_RESPONSE__INIT;
    rpc_call_reply(atomic_exchange(&fixture->held, NULL), &response.base);
    return NULL;
}

/* A server that closes lets the calls in flight end, tells clients to go away, and is done soon
 * after the last answer. */
static void goaway_drains(void **state)
{
    (void)state;
    struct fixture fixture;
    struct outcome outcome;
    fixture_open(&fixture);
    get_async(&fixture, "hold", NULL, &outcome);
    EVENTUALLY(atomic_load(&fixture.held) != NULL);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, answer_soon, &fixture), 0);
    uint64_t start_ns = clock_monotonic_ns(clock_system());
    rpc_server_close(fixture.server, 5000);
    fixture.server = NULL;
    uint64_t took_ms = (clock_monotonic_ns(clock_system()) - start_ns) / NS_PER_MS;
    assert_in_range(took_ms, 90, 550); /* the client closes: no lingering */
    EVENTUALLY(atomic_load(&outcome.status) == STATUS_OK);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_false(rpc_channel_connected(fixture.channel));
    fixture_close(&fixture);
}

/* A call that its handler never ends does not hold the server beyond the time to drain; the
 * handler may end it afterwards. */
static void drain_is_bounded(void **state)
{
    (void)state;
    struct fixture fixture;
    struct outcome outcome;
    fixture_open(&fixture);
    get_async(&fixture, "hold", NULL, &outcome);
    EVENTUALLY(atomic_load(&fixture.held) != NULL);
    rpc_server_close(fixture.server, 50);
    fixture.server = NULL;
    EVENTUALLY(atomic_load(&outcome.status) == STATUS_UNAVAILABLE);
    assert_true(rpc_call_cancelled(atomic_load(&fixture.held)));
    Estreat__V1__GetResponse response = ESTREAT__V1__GET_RESPONSE__INIT;
    rpc_call_reply(atomic_load(&fixture.held), &response.base);
    fixture_close(&fixture);
}

/* Connections past the limit are told RESOURCE_EXHAUSTED; those within it work on. */
static void too_many_connections(void **state)
{
    (void)state;
    struct fixture fixture;
    struct error error = ERROR_INIT;
    fixture_loops(&fixture);
    fixture_serve(&fixture, (struct rpc_server_options){.connections_max = 1});
    fixture_connect(&fixture, (struct rpc_channel_options){.url = NULL});
    assert_ok(get(&fixture, "echo", NULL, &error), &error);
    struct rpc_channel *first = fixture.channel;
    fixture_connect(&fixture, (struct rpc_channel_options){.url = NULL});
    assert_status(get(&fixture, "echo", NULL, &error), STATUS_RESOURCE_EXHAUSTED, &error);
    assert_non_null(strstr(error.text, "too many connections"));
    rpc_channel_close(fixture.channel);
    fixture.channel = first;
    assert_ok(get(&fixture, "echo", NULL, &error), &error);
    fixture_close(&fixture);
}

/* A server that accepts and closes at once does not make the channel spin. */
static void closing_server(void **state)
{
    (void)state;
    struct fixture fixture;
    struct error error = ERROR_INIT;
    fixture_loops(&fixture);
    uint16_t port = 0;
    int listener = socket_listen(&port);
    (void)snprintf(fixture.url, sizeof fixture.url, "tcp://127.0.0.1:%u", port);
    fixture_connect(&fixture, (struct rpc_channel_options){.url = NULL});
    uint64_t end_ns = clock_monotonic_ns(clock_system()) + 300 * NS_PER_MS;
    unsigned accepted = 0;
    while (clock_monotonic_ns(clock_system()) < end_ns) {
        struct pollfd ready = {.fd = listener, .events = POLLIN};
        if (poll(&ready, 1, 10) > 0) {
            (void)close(accept(listener, NULL, NULL));
            accepted++;
        }
    }
    assert_in_range(accepted, 2, 12);
    assert_status(get(&fixture, "echo", NULL, &error), STATUS_UNAVAILABLE, &error);
    (void)close(listener);
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(garbage),
        cmocka_unit_test(garbage_after_hello),
        cmocka_unit_test(frames_out_of_place),
        cmocka_unit_test(byte_by_byte),
        cmocka_unit_test(disconnect_at_each_byte),
        cmocka_unit_test(thousand_instant_closes),
        cmocka_unit_test(half_open),
        cmocka_unit_test(frame_and_idle_timeouts),
        cmocka_unit_test(silent_server),
        cmocka_unit_test(oversized),
        cmocka_unit_test(refused_handshakes),
        cmocka_unit_test(old_client),
        cmocka_unit_test(nobody_listens),
        cmocka_unit_test(bad_addresses),
        cmocka_unit_test(reconnect),
        cmocka_unit_test(goaway_drains),
        cmocka_unit_test(drain_is_bounded),
        cmocka_unit_test(too_many_connections),
        cmocka_unit_test(closing_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
