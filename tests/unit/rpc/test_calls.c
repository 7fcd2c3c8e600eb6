/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc_fixture.h"

/* A call that the server answers comes back with the answer. */
static void unary(void **state)
{
    (void)state;
    struct fixture fixture;
    struct error error = ERROR_INIT;
    fixture_open(&fixture);
    assert_ok(get(&fixture, "echo: hello", NULL, &error), &error);
    assert_ok(get(&fixture, "echo: again", NULL, &error), &error);
    assert_ok(get(&fixture, "thread", NULL, &error), &error);
    assert_int_equal(atomic_load(&fixture.calls), 3);
    assert_true(rpc_channel_connected(fixture.channel));
    fixture_close(&fixture);
}

/* The same works over a local socket. */
static void unary_ipc(void **state)
{
    (void)state;
    struct fixture fixture;
    struct error error = ERROR_INIT;
    char url[64];
    (void)snprintf(url, sizeof url, "ipc:///tmp/estreat-test-%ld.sock", (long)getpid());
    fixture_loops(&fixture);
    fixture_serve(&fixture, (struct rpc_server_options){.url = url});
    fixture_connect(&fixture, (struct rpc_channel_options){.url = url});
    assert_ok(get(&fixture, "echo: local", NULL, &error), &error);
    assert_int_equal(rpc_server_port(fixture.server), 0);
    fixture_close(&fixture);
}

/* A failure brings its status, text and metadata to the caller. */
static void failure(void **state)
{
    (void)state;
    struct fixture fixture;
    struct error error = ERROR_INIT;
    fixture_open(&fixture);
    Estreat__V1__GetRequest request = ESTREAT__V1__GET_REQUEST__INIT;
    request.key.data = (uint8_t *)(uintptr_t) "fail";
    request.key.len = 4;
    struct rpc_reply reply;
    assert_status(
        rpc_channel_call_wait(fixture.channel, LOG, GET, &request.base, NULL, &reply, &error),
        STATUS_FAILED_PRECONDITION, &error);
    assert_string_equal(error.text, "not the leader");
    struct slice value;
    assert_true(rpc_metadata_get(reply.metadata, RPC_METADATA_LEADER_ENDPOINT, &value));
    assert_true(slice_equal(value, slice_of_string("10.0.0.1:8970")));
    assert_null(reply.message);
    rpc_reply_release(&reply);
    fixture_close(&fixture);
}

/* Metadata and the deadline travel with the call. */
static void metadata_and_deadline_travel(void **state)
{
    (void)state;
    struct fixture fixture;
    struct error error = ERROR_INIT;
    fixture_open(&fixture);
    struct rpc_metadata pair = {"tag", slice_of_string("blue")};
    struct rpc_call_options options = {.deadline_ms = 5000, .metadata = {&pair, 1}};
    assert_ok(get(&fixture, "echo", &options, &error), &error);
    assert_string_equal(fixture.metadata, "blue");
    assert_in_range(atomic_load(&fixture.timeout_ms), 4000, 5000);
    fixture_close(&fixture);
}

/* Methods without a handler, services that are not there and requests that are none fail alone. */
static void unimplemented(void **state)
{
    (void)state;
    struct fixture fixture;
    struct error error = ERROR_INIT;
    fixture_open(&fixture);
    Estreat__V1__CountRequest count = ESTREAT__V1__COUNT_REQUEST__INIT;
    struct rpc_reply reply;
    assert_status(
        rpc_channel_call_wait(fixture.channel, LOG, COUNT, &count.base, NULL, &reply, &error),
        STATUS_UNIMPLEMENTED, &error);
    rpc_reply_release(&reply);
    ProtobufCServiceDescriptor other = *LOG;
    other.name = "estreat.v1.Nothing";
    assert_status(
        rpc_channel_call_wait(fixture.channel, &other, COUNT, &count.base, NULL, &reply, &error),
        STATUS_UNIMPLEMENTED, &error);
    assert_non_null(strstr(error.text, "estreat.v1.Nothing/Count"));
    rpc_reply_release(&reply);
    /* Bytes that are no GetRequest: field 1 cut short. */
    Estreat__V1__Metadata wrong = ESTREAT__V1__METADATA__INIT;
    ProtobufCMessageUnknownField field = {.tag = 2,
                                          .wire_type = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED,
                                          .len = 2,
                                          .data = (uint8_t[]){1, 0xff}};
    wrong.base.n_unknown_fields = 1;
    wrong.base.unknown_fields = &field;
    assert_status(
        rpc_channel_call_wait(fixture.channel, LOG, GET, &wrong.base, NULL, &reply, &error),
        STATUS_INVALID_ARGUMENT, &error);
    rpc_reply_release(&reply);
    assert_ok(get(&fixture, "echo", NULL, &error), &error);
    fixture_close(&fixture);
}

/* A call that is not answered ends at its deadline, and the server learns of it. */
static void deadline(void **state)
{
    (void)state;
    struct fixture fixture;
    struct error error = ERROR_INIT;
    fixture_open(&fixture);
    struct rpc_call_options options = {.deadline_ms = 50};
    uint64_t start_ns = clock_monotonic_ns(clock_system());
    assert_status(get(&fixture, "wait", &options, &error), STATUS_DEADLINE_EXCEEDED, &error);
    uint64_t took_ms = (clock_monotonic_ns(clock_system()) - start_ns) / NS_PER_MS;
    assert_in_range(took_ms, 49, 2000);
    EVENTUALLY(atomic_load(&fixture.cancelled) == 1);
    assert_ok(get(&fixture, "echo", NULL, &error), &error);
    fixture_close(&fixture);
}

struct outcome {
    _Atomic int status; /* -1: not ended */
    _Atomic unsigned times;
};

static void note(void *context, const struct rpc_result *result)
{
    struct outcome *outcome = context;
    (void)atomic_fetch_add(&outcome->times, 1);
    atomic_store(&outcome->status, (int)result->status);
}

static uint64_t get_async(struct fixture *fixture, const char *key,
                          const struct rpc_call_options *options, struct outcome *outcome)
{
    Estreat__V1__GetRequest request = ESTREAT__V1__GET_REQUEST__INIT;
    request.key.data = (uint8_t *)(uintptr_t)key;
    request.key.len = strlen(key);
    atomic_store(&outcome->status, -1);
    atomic_store(&outcome->times, 0);
    return rpc_channel_call(fixture->channel, LOG, GET, &request.base, options, note, outcome);
}

/* A cancelled call ends once, with CANCELLED, and the server learns of it; cancelling what has
 * ended does nothing. */
static void cancel(void **state)
{
    (void)state;
    struct fixture fixture;
    struct error error = ERROR_INIT;
    struct outcome outcome;
    fixture_open(&fixture);
    uint64_t call = get_async(&fixture, "wait", NULL, &outcome);
    EVENTUALLY(atomic_load(&fixture.held) != NULL);
    rpc_channel_cancel(fixture.channel, call);
    EVENTUALLY(atomic_load(&outcome.status) == STATUS_CANCELLED);
    EVENTUALLY(atomic_load(&fixture.cancelled) == 1);
    rpc_channel_cancel(fixture.channel, call);
    assert_ok(get(&fixture, "echo", NULL, &error), &error);
    assert_int_equal(atomic_load(&outcome.times), 1);
    fixture_close(&fixture);
}

/* An answer to a call that was cancelled is thrown away. */
static void late_answer(void **state)
{
    (void)state;
    struct fixture fixture;
    struct error error = ERROR_INIT;
    struct outcome outcome;
    fixture_open(&fixture);
    uint64_t call = get_async(&fixture, "hold", NULL, &outcome);
    EVENTUALLY(atomic_load(&fixture.held) != NULL);
    rpc_channel_cancel(fixture.channel, call);
    EVENTUALLY(atomic_load(&outcome.status) == STATUS_CANCELLED);
    struct rpc_server_call *held = atomic_exchange(&fixture.held, NULL);
    EVENTUALLY(rpc_call_cancelled(held));
    Estreat__V1__GetResponse response = ESTREAT__V1__GET_RESPONSE__INIT;
    rpc_call_reply(held, &response.base);
    assert_ok(get(&fixture, "echo", NULL, &error), &error);
    assert_int_equal(atomic_load(&outcome.times), 1);
    fixture_close(&fixture);
}

enum { THREADS = 4, CALLS_EACH = 500 };

static void *many(void *context)
{
    struct fixture *fixture = context;
    struct error error = ERROR_INIT;
    for (unsigned i = 0; i < CALLS_EACH; i++) {
        char key[40];
        (void)snprintf(key, sizeof key, "echo: %p %u", (void *)&error, i);
        assert_ok(get(fixture, key, NULL, &error), &error);
    }
    return NULL;
}

/* Calls of several threads share a connection, and each gets its own answer. */
static void several_threads(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_open(&fixture);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, many, &fixture), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(atomic_load(&fixture.calls), THREADS * CALLS_EACH);
    assert_int_equal(
        counter_get(
            (struct counter *)(uintptr_t)&rpc_server_stats(fixture.server)->connections_accepted),
        1);
    fixture_close(&fixture);
}

/* Many calls in flight are answered, and leave in few writes. */
static void many_in_flight(void **state)
{
    (void)state;
    enum { CALLS = 1000 };
    struct fixture fixture;
    struct error error = ERROR_INIT;
    static struct outcome outcomes[CALLS];
    fixture_open(&fixture);
    assert_ok(get(&fixture, "echo", NULL, &error), &error);
    struct rpc_server_stats *stats =
        (struct rpc_server_stats *)(uintptr_t)rpc_server_stats(fixture.server);
    uint64_t writes = counter_get(&stats->writes);
    for (int i = 0; i < CALLS; i++) {
        (void)get_async(&fixture, "echo", NULL, &outcomes[i]);
    }
    for (int i = 0; i < CALLS; i++) {
        EVENTUALLY(atomic_load(&outcomes[i].status) == STATUS_OK);
    }
    assert_true(counter_get(&stats->writes) - writes < CALLS / 2);
    fixture_close(&fixture);
}

/* Requests and responses of any size up to the frame's limit pass; larger ones fail alone, with
 * the numbers. */
static void sizes(void **state)
{
    (void)state;
    struct fixture fixture;
    struct error error = ERROR_INIT;
    fixture_open(&fixture);
    static const size_t sizes[] = {0,     1,      100,        8100,       8192,
                                   65000, 262144, 300 * 1024, 512 * 1024, 1000 * 1000};
    static uint8_t payload[2 << 20];
    Estreat__V1__NewEvent event = ESTREAT__V1__NEW_EVENT__INIT;
    Estreat__V1__NewEvent *events[] = {&event};
    Estreat__V1__AppendRequest append = ESTREAT__V1__APPEND_REQUEST__INIT;
    append.events = events;
    append.n_events = 1;
    event.payload.data = payload;
    Estreat__V1__Bound size = ESTREAT__V1__BOUND__INIT;
    Estreat__V1__GetRequest large = ESTREAT__V1__GET_REQUEST__INIT;
    size.at_case = ESTREAT__V1__BOUND__AT_POSITION;
    large.key.data = (uint8_t *)(uintptr_t) "large";
    large.key.len = 5;
    large.as_of = &size;
    struct rpc_reply reply;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        event.payload.len = sizes[i];
        assert_ok(
            rpc_channel_call_wait(fixture.channel, LOG, APPEND, &append.base, NULL, &reply, &error),
            &error);
        assert_int_equal(((const Estreat__V1__AppendResponse *)reply.message)->size, sizes[i]);
        rpc_reply_release(&reply);
        size.position = sizes[i];
        assert_ok(
            rpc_channel_call_wait(fixture.channel, LOG, GET, &large.base, NULL, &reply, &error),
            &error);
        assert_int_equal(((const Estreat__V1__GetResponse *)reply.message)->event->payload.len,
                         sizes[i]);
        rpc_reply_release(&reply);
    }
    event.payload.len = sizeof payload;
    assert_status(
        rpc_channel_call_wait(fixture.channel, LOG, APPEND, &append.base, NULL, &reply, &error),
        STATUS_INVALID_ARGUMENT, &error);
    rpc_reply_release(&reply);
    size.position = 2 << 20;
    assert_status(
        rpc_channel_call_wait(fixture.channel, LOG, GET, &large.base, NULL, &reply, &error),
        STATUS_RESOURCE_EXHAUSTED, &error);
    assert_non_null(strstr(error.text, "exceeds"));
    rpc_reply_release(&reply);
    assert_ok(get(&fixture, "echo", NULL, &error), &error);
    fixture_close(&fixture);
}

/* Past the bounds of calls, on either side, the answer is RESOURCE_EXHAUSTED at once. */
static void bounds(void **state)
{
    (void)state;
    struct fixture fixture;
    struct error error = ERROR_INIT;
    struct outcome outcomes[2];
    fixture_loops(&fixture);
    fixture_serve(&fixture, (struct rpc_server_options){.calls_max = 2});
    fixture_connect(&fixture, (struct rpc_channel_options){.calls_max = 3});
    (void)get_async(&fixture, "hold", NULL, &outcomes[0]);
    EVENTUALLY(atomic_load(&fixture.held) != NULL);
    struct rpc_server_call *first = atomic_exchange(&fixture.held, NULL);
    (void)get_async(&fixture, "hold", NULL, &outcomes[1]);
    EVENTUALLY(atomic_load(&fixture.held) != NULL);
    assert_status(get(&fixture, "echo", NULL, &error), STATUS_RESOURCE_EXHAUSTED, &error);
    assert_non_null(strstr(error.text, "too many calls"));
    rpc_call_fail(first, STATUS_ABORTED, "");
    rpc_call_fail(atomic_exchange(&fixture.held, NULL), STATUS_ABORTED, "");
    EVENTUALLY(atomic_load(&outcomes[0].status) == STATUS_ABORTED &&
               atomic_load(&outcomes[1].status) == STATUS_ABORTED);
    assert_ok(get(&fixture, "echo", NULL, &error), &error);
    fixture_close(&fixture);

    fixture_loops(&fixture);
    fixture_serve(&fixture, (struct rpc_server_options){.url = NULL});
    fixture_connect(&fixture, (struct rpc_channel_options){.calls_max = 1});
    (void)get_async(&fixture, "hold", NULL, &outcomes[0]);
    EVENTUALLY(atomic_load(&fixture.held) != NULL);
    assert_status(get(&fixture, "echo", NULL, &error), STATUS_RESOURCE_EXHAUSTED, &error);
    rpc_call_fail(atomic_exchange(&fixture.held, NULL), STATUS_ABORTED, "");
    EVENTUALLY(atomic_load(&outcomes[0].status) == STATUS_ABORTED);
    assert_ok(get(&fixture, "echo", NULL, &error), &error);
    fixture_close(&fixture);
}

/* Requests that handlers hold are bounded in memory over all connections. */
static void request_memory(void **state)
{
    (void)state;
    struct fixture fixture;
    struct error error = ERROR_INIT;
    struct outcome outcome;
    fixture_loops(&fixture);
    fixture_serve(&fixture, (struct rpc_server_options){.request_bytes_max = 4000});
    fixture_connect(&fixture, (struct rpc_channel_options){.url = NULL});
    (void)get_async(&fixture, "hold", NULL, &outcome);
    EVENTUALLY(atomic_load(&fixture.held) != NULL);
    char key[1001];
    memset(key, 'k', 1000);
    memcpy(key, "echo", 4);
    key[1000] = '\0';
    assert_status(get(&fixture, key, NULL, &error), STATUS_RESOURCE_EXHAUSTED, &error);
    Estreat__V1__GetResponse response = ESTREAT__V1__GET_RESPONSE__INIT;
    rpc_call_reply(atomic_exchange(&fixture.held, NULL), &response.base);
    EVENTUALLY(atomic_load(&outcome.status) == STATUS_OK);
    assert_ok(get(&fixture, "echo", NULL, &error), &error);
    assert_int_equal(
        counter_get((struct counter *)(uintptr_t)&rpc_server_stats(fixture.server)->request_bytes),
        0);
    fixture_close(&fixture);
}

/* One-way messages arrive in order and unanswered; they are dropped when there is no
 * connection. */
static void one_way(void **state)
{
    (void)state;
    struct fixture fixture;
    struct error error = ERROR_INIT;
    Estreat__V1__RaftMessage message = ESTREAT__V1__RAFT_MESSAGE__INIT;
    fixture_open(&fixture);
    assert_ok(get(&fixture, "echo", NULL, &error), &error);
    for (int i = 0; i < 100; i++) {
        assert_true(rpc_channel_send(fixture.channel, RAFT, 0, &message.base));
    }
    EVENTUALLY(atomic_load(&fixture.oneways) == 100);
    EVENTUALLY(rpc_channel_queued_bytes(fixture.channel) == 0);
    rpc_server_close(fixture.server, 100);
    fixture.server = NULL;
    EVENTUALLY(!rpc_channel_connected(fixture.channel));
    assert_false(rpc_channel_send(fixture.channel, RAFT, 0, &message.base));
    fixture_close(&fixture);
}

static void add_up(void *context, struct rpc_method_stats *stats)
{
    if (strcmp(stats->name, "estreat.v1.Log/Get") == 0) {
        uint64_t *counts = context;
        counts[0] = counter_get(&stats->by_status[STATUS_OK]);
        counts[1] = counter_get(&stats->by_status[STATUS_FAILED_PRECONDITION]);
        counts[2] = atomic_load(&stats->latency_ns.total);
    }
}

/* Calls are counted by method and status. */
static void counted(void **state)
{
    (void)state;
    struct fixture fixture;
    struct error error = ERROR_INIT;
    fixture_open(&fixture);
    assert_ok(get(&fixture, "echo", NULL, &error), &error);
    assert_ok(get(&fixture, "echo", NULL, &error), &error);
    assert_status(get(&fixture, "fail", NULL, &error), STATUS_FAILED_PRECONDITION, &error);
    uint64_t counts[3] = {0};
    rpc_server_each_method(fixture.server, add_up, counts);
    assert_int_equal(counts[0], 2);
    assert_int_equal(counts[1], 1);
    assert_int_equal(counts[2], 3);
    fixture_close(&fixture);
}

/* Closing a channel ends its calls with CANCELLED before it returns. */
static void close_ends_calls(void **state)
{
    (void)state;
    struct fixture fixture;
    struct outcome outcome;
    fixture_open(&fixture);
    (void)get_async(&fixture, "wait", NULL, &outcome);
    EVENTUALLY(atomic_load(&fixture.held) != NULL);
    rpc_channel_close(fixture.channel);
    fixture.channel = NULL;
    assert_int_equal(atomic_load(&outcome.status), STATUS_CANCELLED);
    EVENTUALLY(atomic_load(&fixture.cancelled) == 1);
    fixture_close(&fixture);
}

static void on_closed(void *context)
{
    struct outcome *outcome = context;
    CHECK(atomic_load(&outcome->status) == STATUS_CANCELLED); /* the calls end first */
    (void)atomic_fetch_add(&outcome->times, 10);
}

/* One that is closed later does not keep whoever closes it. */
static void close_later_ends_calls(void **state)
{
    (void)state;
    struct fixture fixture;
    struct outcome outcome;
    fixture_open(&fixture);
    (void)get_async(&fixture, "wait", NULL, &outcome);
    EVENTUALLY(atomic_load(&fixture.held) != NULL);
    rpc_channel_close_later(fixture.channel, on_closed, &outcome);
    fixture.channel = NULL;
    EVENTUALLY(atomic_load(&outcome.times) == 11);
    EVENTUALLY(atomic_load(&fixture.cancelled) == 1);
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unary),
        cmocka_unit_test(unary_ipc),
        cmocka_unit_test(failure),
        cmocka_unit_test(metadata_and_deadline_travel),
        cmocka_unit_test(unimplemented),
        cmocka_unit_test(deadline),
        cmocka_unit_test(cancel),
        cmocka_unit_test(late_answer),
        cmocka_unit_test(several_threads),
        cmocka_unit_test(many_in_flight),
        cmocka_unit_test(sizes),
        cmocka_unit_test(bounds),
        cmocka_unit_test(request_memory),
        cmocka_unit_test(one_way),
        cmocka_unit_test(counted),
        cmocka_unit_test(close_ends_calls),
        cmocka_unit_test(close_later_ends_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
