/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc_fixture.h"
#include "testlib/fail_alloc.h"

/* One exchange of everything; each step may fail for want of memory, but only so. Returns the
 * number of things that failed. */
static unsigned exchange(struct fixture *fixture)
{
    unsigned failures = 0;
    struct error error = ERROR_INIT;
    struct rpc_call_options options = {.deadline_ms = 1000};
    Estreat__V1__ReadRequest request = ESTREAT__V1__READ_REQUEST__INIT;
    Estreat__V1__RaftMessage oneway = ESTREAT__V1__RAFT_MESSAGE__INIT;
    request.limit = 3;
    static const char *const keys[] = {"echo", "fail"};
    for (int i = 0; i < 2; i++) {
        enum status status = get(fixture, keys[i], &options, &error);
        assert_true(status == STATUS_OK || status == STATUS_FAILED_PRECONDITION ||
                    status == STATUS_RESOURCE_EXHAUSTED || status == STATUS_UNAVAILABLE ||
                    status == STATUS_INTERNAL);
        failures += status != (i == 0 ? STATUS_OK : STATUS_FAILED_PRECONDITION);
    }
    failures += !rpc_channel_send(fixture->channel, RAFT, 0, &oneway.base);
    struct rpc_stream *stream =
        rpc_channel_stream(fixture->channel, LOG, READ, &request.base, &options, NULL);
    if (stream == NULL) {
        return failures + 1;
    }
    const ProtobufCMessage *message = NULL;
    enum status status = STATUS_OK;
    while ((status = rpc_stream_next(stream, &message, &error)) == STATUS_OK && message != NULL) {
    }
    failures += status != STATUS_OK;
    rpc_stream_free(stream);
    return failures;
}

/* Whichever allocation fails, on either side: calls end, nothing leaks, and the next exchange
 * works. */
static void each_allocation(void **state)
{
    (void)state;
    unsigned hits = 0;
    for (uint64_t n = 0;; n++) {
        struct fixture fixture;
        struct fail_alloc fail;
        struct error error = ERROR_INIT;
        fail_alloc_init(&fail);
        memset(&fixture, 0, sizeof fixture);
        struct rpc_loop_options loop = {.name = "server", .alloc = &fail.alloc};
        assert_ok(rpc_loop_open(&loop, &fixture.loop, &error), &error);
        loop.name = "client";
        assert_ok(rpc_loop_open(&loop, &fixture.client_loop, &error), &error);
        fixture_serve(&fixture, (struct rpc_server_options){.url = NULL});
        fail_alloc_arm(&fail, n);
        struct rpc_channel_options options = {.url = fixture.url, .backoff_min_ms = 1};
        enum status status =
            rpc_channel_open(fixture.client_loop, &options, &fixture.channel, &error);
        unsigned failures = 0;
        if (status == STATUS_OK) {
            failures = exchange(&fixture);
        } else {
            assert_int_equal(status, STATUS_RESOURCE_EXHAUSTED);
        }
        bool hit = fail_alloc_hit(&fail);
        fail_alloc_arm(&fail, FAIL_ALLOC_NEVER);
        if (status == STATUS_OK) {
            struct rpc_call_options patient = {.deadline_ms = 5000, .wait_for_ready = true};
            assert_ok(get(&fixture, "echo", &patient, &error), &error);
        }
        fixture_close(&fixture);
        fail_alloc_release(&fail);
        hits += hit;
        if (!hit) {
            assert_int_equal(failures, 0);
            break;
        }
    }
    assert_true(hits > 20);
}

/* Without memory a server does not open, says so, and leaves nothing behind. */
static void server_open(void **state)
{
    (void)state;
    struct fail_alloc fail;
    struct rpc_loop *loop = NULL;
    struct error error = ERROR_INIT;
    fail_alloc_init(&fail);
    struct rpc_loop_options loop_options = {.name = "loop", .alloc = &fail.alloc};
    fail_alloc_arm(&fail, 0);
    assert_status(rpc_loop_open(&loop_options, &loop, &error), STATUS_RESOURCE_EXHAUSTED, &error);
    fail_alloc_arm(&fail, FAIL_ALLOC_NEVER);
    assert_ok(rpc_loop_open(&loop_options, &loop, &error), &error);
    for (uint64_t n = 0;; n++) {
        struct rpc_server *server = NULL;
        struct rpc_server_options options = {.url = "tcp://127.0.0.1:0"};
        const rpc_handler_fn none[5] = {NULL};
        fail_alloc_arm(&fail, n);
        enum status status = rpc_server_open(loop, &options, &server, &error);
        if (status == STATUS_OK) {
            status = rpc_server_register(server, LOG, none, NULL, &error);
        }
        rpc_server_close(server, 0);
        if (!fail_alloc_hit(&fail)) {
            assert_ok(status, &error);
            break;
        }
        assert_status(status, STATUS_RESOURCE_EXHAUSTED, &error);
    }
    rpc_loop_close(loop);
    fail_alloc_release(&fail);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_allocation),
                                       cmocka_unit_test(server_open)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
