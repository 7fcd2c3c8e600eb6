/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc_fixture.h"

static struct rpc_stream *open_stream(struct fixture *fixture, uint64_t limit, size_t payload,
                                      const char *key, size_t credit,
                                      const struct rpc_stream_callbacks *callbacks)
{
    Estreat__V1__Bound from = ESTREAT__V1__BOUND__INIT;
    from.at_case = ESTREAT__V1__BOUND__AT_POSITION;
    from.position = payload;
    Estreat__V1__Filter filter = ESTREAT__V1__FILTER__INIT;
    filter.key.data = (uint8_t *)(uintptr_t)key;
    filter.key.len = strlen(key);
    Estreat__V1__ReadRequest request = ESTREAT__V1__READ_REQUEST__INIT;
    request.from = &from;
    request.filter = &filter;
    request.limit = limit;
    struct rpc_call_options options = {.stream_credit_bytes = credit};
    struct rpc_stream *stream =
        rpc_channel_stream(fixture->channel, LOG, READ, &request.base, &options, callbacks);
    assert_non_null(stream);
    return stream;
}

/* Pulls one message; checks that it is the expected one. */
static void next_is(struct rpc_stream *stream, uint64_t position, size_t payload)
{
    const ProtobufCMessage *message = NULL;
    struct error error = ERROR_INIT;
    assert_ok(rpc_stream_next(stream, &message, &error), &error);
    assert_non_null(message);
    const Estreat__V1__EventBatch *batch = (const Estreat__V1__EventBatch *)message;
    assert_int_equal(batch->next_position, position);
    assert_int_equal(batch->events[0]->payload.len, payload);
}

static void end_is(struct rpc_stream *stream, enum status expected)
{
    const ProtobufCMessage *message = NULL;
    struct error error = ERROR_INIT;
    assert_status(rpc_stream_next(stream, &message, &error), expected, &error);
    assert_null(message);
}

/* A stream brings every message in order, then its end, with handlers on the loop and on other
 * threads, with messages far smaller and larger than the credit. */
static void whole(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_open(&fixture);
    static const size_t payloads[] = {0, 10, 1000, 70000, 300000};
    static const char *const keys[] = {"", "thread"};
    for (size_t i = 0; i < 5; i++) {
        for (size_t k = 0; k < 2; k++) {
            uint64_t count = payloads[i] > 1000 ? 20 : 300;
            struct rpc_stream *stream =
                open_stream(&fixture, count, payloads[i], keys[k], 100000, NULL);
            for (uint64_t p = 1; p <= count; p++) {
                next_is(stream, p, payloads[i]);
            }
            end_is(stream, STATUS_OK);
            end_is(stream, STATUS_OK);
            rpc_stream_free(stream);
        }
    }
    fixture_close(&fixture);
}

/* A stream may be empty, or fail with metadata. */
static void empty_and_failed(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_open(&fixture);
    struct rpc_stream *stream = open_stream(&fixture, 0, 0, "", 0, NULL);
    end_is(stream, STATUS_OK);
    rpc_stream_free(stream);
    stream = open_stream(&fixture, 0, 0, "fail", 0, NULL);
    end_is(stream, STATUS_OUT_OF_RANGE);
    struct slice value;
    assert_true(rpc_metadata_get(rpc_stream_metadata(stream), "why", &value));
    assert_true(slice_equal(value, slice_of_string("because")));
    rpc_stream_free(stream);
    fixture_close(&fixture);
}

/* A consumer that does not consume stops the sender: no more than the credit and one message is
 * under way, however long the stream; other calls go on. */
static void slow_consumer(void **state)
{
    (void)state;
    enum { CREDIT = 64 * 1024, PAYLOAD = 8000, MESSAGES = 2000 };
    struct fixture fixture;
    struct error error = ERROR_INIT;
    fixture_open(&fixture);
    struct rpc_stream *stream = open_stream(&fixture, MESSAGES, PAYLOAD, "thread", CREDIT, NULL);
    next_is(stream, 1, PAYLOAD);
    sleep_ms(100);
    unsigned sent = atomic_load(&fixture.sent);
    assert_in_range(sent, 2, CREDIT / PAYLOAD + 2);
    assert_ok(get(&fixture, "echo: meanwhile", NULL, &error), &error);
    for (uint64_t p = 2; p <= MESSAGES; p++) {
        next_is(stream, p, PAYLOAD);
        assert_in_range(atomic_load(&fixture.sent), p - 1, p + 2 * (CREDIT / PAYLOAD) + 2);
    }
    end_is(stream, STATUS_OK);
    rpc_stream_free(stream);
    fixture_close(&fixture);
}

/* Cancelling ends the stream on both sides; so does letting go of it. */
static void cancelled(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_open(&fixture);
    struct rpc_stream *stream = open_stream(&fixture, UINT64_MAX, 1000, "", 10000, NULL);
    next_is(stream, 1, 1000);
    rpc_stream_cancel(stream);
    const ProtobufCMessage *message = NULL;
    struct error error = ERROR_INIT;
    while (rpc_stream_next(stream, &message, &error) == STATUS_OK) {
        assert_non_null(message); /* what had arrived before */
    }
    assert_int_equal(error.status, STATUS_CANCELLED);
    rpc_stream_free(stream);
    EVENTUALLY(atomic_load(&fixture.cancelled) == 1);

    stream = open_stream(&fixture, UINT64_MAX, 1000, "thread", 10000, NULL);
    next_is(stream, 1, 1000);
    rpc_stream_free(stream);
    EVENTUALLY(atomic_load(&fixture.cancelled) == 2);
    EVENTUALLY(atomic_load(&fixture.streams_ended) == 2);
    fixture_close(&fixture);
}

/* A stream whose server goes away ends with UNAVAILABLE, after what had arrived. */
static void server_gone(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_open(&fixture);
    struct rpc_stream *stream = open_stream(&fixture, UINT64_MAX, 1000, "", 10000, NULL);
    next_is(stream, 1, 1000);
    rpc_server_close(fixture.server, 20);
    fixture.server = NULL;
    const ProtobufCMessage *message = NULL;
    struct error error = ERROR_INIT;
    while (rpc_stream_next(stream, &message, &error) == STATUS_OK) {
        assert_non_null(message);
    }
    assert_int_equal(error.status, STATUS_UNAVAILABLE);
    assert_non_null(strstr(error.text, fixture.url));
    rpc_stream_free(stream);
    EVENTUALLY(atomic_load(&fixture.streams_ended) == 1);
    fixture_close(&fixture);
}

struct pushed {
    _Atomic unsigned messages;
    _Atomic int end; /* -1: not ended */
    bool automatic;
    _Atomic size_t owed; /* bytes not yet given back */
};

static bool on_pushed(void *context, struct rpc_stream *stream, const ProtobufCMessage *message,
                      size_t bytes)
{
    struct pushed *pushed = context;
    (void)stream;
    assert_int_equal(((const Estreat__V1__EventBatch *)message)->next_position,
                     atomic_load(&pushed->messages) + 1);
    (void)atomic_fetch_add(&pushed->messages, 1);
    (void)atomic_fetch_add(&pushed->owed, bytes);
    return pushed->automatic;
}

static void on_pushed_end(void *context, struct rpc_stream *stream, const struct rpc_result *result)
{
    struct pushed *pushed = context;
    (void)stream;
    atomic_store(&pushed->end, (int)result->status);
}

/* Callbacks get every message and one end. Those that do not give credit back at once stop the
 * stream until they do. */
static void callbacks(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_open(&fixture);
    struct pushed pushed = {.end = -1, .automatic = true};
    struct rpc_stream_callbacks with = {on_pushed, on_pushed_end, &pushed};
    struct rpc_stream *stream = open_stream(&fixture, 500, 1000, "", 10000, &with);
    EVENTUALLY(atomic_load(&pushed.end) == STATUS_OK);
    assert_int_equal(atomic_load(&pushed.messages), 500);
    rpc_stream_free(stream);

    struct pushed slow = {.end = -1, .automatic = false};
    with.context = &slow;
    stream = open_stream(&fixture, 50, 1000, "", 10000, &with);
    EVENTUALLY(atomic_load(&slow.messages) == 10);
    sleep_ms(30);
    assert_int_equal(atomic_load(&slow.messages), 10);
    while (atomic_load(&slow.end) == -1) {
        rpc_stream_consumed(stream, atomic_exchange(&slow.owed, 0));
        sleep_ms(1);
    }
    assert_int_equal(atomic_load(&slow.messages), 50);
    assert_int_equal(atomic_load(&slow.end), STATUS_OK);
    rpc_stream_free(stream);
    fixture_close(&fixture);
}

/* Many streams and calls share one connection, and each is whole. */
static void many_streams(void **state)
{
    (void)state;
    enum { STREAMS = 20, MESSAGES = 100 };
    struct fixture fixture;
    struct error error = ERROR_INIT;
    struct rpc_stream *streams[STREAMS];
    fixture_open(&fixture);
    for (int i = 0; i < STREAMS; i++) {
        streams[i] = open_stream(&fixture, MESSAGES, 5000, i % 2 == 0 ? "" : "thread", 20000, NULL);
    }
    for (uint64_t p = 1; p <= MESSAGES; p++) {
        for (int i = 0; i < STREAMS; i++) {
            next_is(streams[i], p, 5000);
        }
        assert_ok(get(&fixture, "echo", NULL, &error), &error);
    }
    for (int i = 0; i < STREAMS; i++) {
        end_is(streams[i], STATUS_OK);
        rpc_stream_free(streams[i]);
    }
    fixture_close(&fixture);
}

/* What streams queue on one connection is bounded even when their credit is not: they stop at
 * half of the connection's bound, and go on when it is read. */
static void connection_bound(void **state)
{
    (void)state;
    enum { MESSAGES = 300, PAYLOAD = 100000, QUEUED = 1000000 };
    struct fixture fixture;
    fixture_loops(&fixture);
    fixture_serve(&fixture, (struct rpc_server_options){.queued_bytes_max = QUEUED});
    int fd = socket_connect(fixture.port);
    struct buf out;
    buf_init(&out, alloc_default(), 1 << 20);
    put_hello(&out, 1, 1, "");
    Estreat__V1__CallHeader header = ESTREAT__V1__CALL_HEADER__INIT;
    header.service = (char *)(uintptr_t) "estreat.v1.Log";
    header.method = (char *)(uintptr_t) "Read";
    header.stream_credit = 1ULL << 40;
    Estreat__V1__Bound from = ESTREAT__V1__BOUND__INIT;
    from.at_case = ESTREAT__V1__BOUND__AT_POSITION;
    from.position = PAYLOAD;
    Estreat__V1__ReadRequest request = ESTREAT__V1__READ_REQUEST__INIT;
    request.from = &from;
    request.limit = MESSAGES;
    uint8_t body[256];
    size_t length = put_varint(body, estreat__v1__call_header__get_packed_size(&header));
    length += estreat__v1__call_header__pack(&header, body + length);
    length += estreat__v1__read_request__pack(&request, body + length);
    put_frame(&out, RPC_CALL, 0, 1, body, length);
    assert_true(socket_send(fd, out.data, out.length));
    buf_release(&out);
    /* Nobody reads: the sender stops, long before the end. */
    EVENTUALLY(atomic_load(&fixture.sent) > 0);
    sleep_ms(200);
    unsigned sent = atomic_load(&fixture.sent);
    assert_true(sent < MESSAGES);
    sleep_ms(50);
    assert_int_equal(atomic_load(&fixture.sent), sent);
    /* Then it is read, to the end. */
    static uint8_t bytes[1 << 20];
    size_t total = 0;
    while (total < (size_t)MESSAGES * PAYLOAD) {
        size_t count = socket_receive(fd, bytes, sizeof bytes, 500, NULL);
        assert_true(count > 0);
        total += count;
    }
    EVENTUALLY(atomic_load(&fixture.streams_ended) == 1);
    (void)close(fd);
    fixture_close(&fixture);
}

/* A server that sends more than its credit is cut off. */
static void overrun(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_loops(&fixture);
    uint16_t port = 0;
    int listener = socket_listen(&port);
    (void)snprintf(fixture.url, sizeof fixture.url, "tcp://127.0.0.1:%u", port);
    fixture_connect(&fixture, (struct rpc_channel_options){.url = NULL});
    struct rpc_stream *stream = open_stream(&fixture, 1, 0, "", 100, NULL);
    int fd = accept(listener, NULL, NULL);
    struct buf out;
    buf_init(&out, alloc_default(), 1 << 20);
    put_hello(&out, 1, 1, "");
    uint8_t body[90];
    Estreat__V1__EventBatch batch = ESTREAT__V1__EVENT_BATCH__INIT;
    batch.next_position = 1;
    size_t length = estreat__v1__event_batch__pack(&batch, body);
    for (int i = 0; i < 51; i++) { /* 2 bytes each; 50 use the credit up */
        put_frame(&out, RPC_MESSAGE, 0, 1, body, length);
    }
    assert_true(socket_send(fd, out.data, out.length));
    buf_release(&out);
    const ProtobufCMessage *message = NULL;
    struct error error = ERROR_INIT;
    unsigned count = 0;
    while (rpc_stream_next(stream, &message, &error) == STATUS_OK) {
        assert_non_null(message);
        count++;
        if (count == 1) {
            sleep_ms(50);
        }
    }
    assert_int_equal(error.status, STATUS_INTERNAL);
    assert_int_equal(count, 50);
    rpc_stream_free(stream);
    (void)close(fd);
    (void)close(listener);
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole),         cmocka_unit_test(empty_and_failed),
        cmocka_unit_test(slow_consumer), cmocka_unit_test(cancelled),
        cmocka_unit_test(server_gone),   cmocka_unit_test(callbacks),
        cmocka_unit_test(many_streams),  cmocka_unit_test(connection_bound),
        cmocka_unit_test(overrun),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
