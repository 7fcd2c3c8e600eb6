/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/hello.h"
#include "schema/rpc.pb-c.h"
#include "testlib/test.h"

static struct rpc_hello hello(unsigned min, unsigned max, const char *cluster)
{
    struct rpc_hello made;
    rpc_hello_init(&made, cluster, "n1", "run 1", 1000, rng_system());
    made.version_min = min;
    made.version_max = max;
    return made;
}

/* A HELLO survives its encoding. */
static void round_trip(void **state)
{
    (void)state;
    struct rpc_hello made = hello(2, 5, "blue");
    struct rpc_hello read;
    struct buf body;
    struct error error = ERROR_INIT;
    buf_init(&body, alloc_default(), 4096);
    rpc_hello_encode(&made, &body);
    assert_false(buf_failed(&body));
    assert_ok(rpc_hello_decode(buf_slice(&body), alloc_default(), &read, &error), &error);
    assert_int_equal(read.version_min, 2);
    assert_int_equal(read.version_max, 5);
    assert_string_equal(read.cluster_id, "blue");
    assert_string_equal(read.peer_id, "n1");
    assert_string_equal(read.instance, "run 1");
    assert_int_equal(read.frame_bytes_max, 1000);
    assert_memory_equal(read.nonce, made.nonce, sizeof made.nonce);
    for (size_t length = 0; length < body.length; length++) {
        struct slice cut = slice_of(body.data, length);
        enum status status = rpc_hello_decode(cut, alloc_default(), &read, &error);
        assert_true(status == STATUS_OK || status == STATUS_INVALID_ARGUMENT);
    }
    buf_release(&body);
}

/* An instance may be longer than a name; one that is too long is refused. */
static void long_instance(void **state)
{
    (void)state;
    struct rpc_hello made = hello(1, 1, "blue");
    struct rpc_hello read;
    struct buf body;
    struct error error = ERROR_INIT;
    memset(made.instance, 'a', RPC_INSTANCE_BYTES_MAX);
    buf_init(&body, alloc_default(), 4096);
    rpc_hello_encode(&made, &body);
    assert_ok(rpc_hello_decode(buf_slice(&body), alloc_default(), &read, &error), &error);
    assert_string_equal(read.instance, made.instance);
    buf_clear(&body);
    char too_long[RPC_INSTANCE_BYTES_MAX + 2];
    memset(too_long, 'a', sizeof too_long - 1);
    too_long[sizeof too_long - 1] = '\0';
    Estreat__V1__Hello message = ESTREAT__V1__HELLO__INIT;
    message.version_min = 1;
    message.version_max = 1;
    message.nonce.data = made.nonce;
    message.nonce.len = sizeof made.nonce;
    message.instance = too_long;
    uint8_t *place = buf_extend(&body, estreat__v1__hello__get_packed_size(&message));
    assert_non_null(place);
    (void)estreat__v1__hello__pack(&message, place);
    assert_status(rpc_hello_decode(buf_slice(&body), alloc_default(), &read, &error),
                  STATUS_INVALID_ARGUMENT, &error);
    buf_release(&body);
}

/* Two sides agree on the highest common version, or not at all. */
static void versions(void **state)
{
    (void)state;
    for (unsigned a = 1; a <= 4; a++) {
        for (unsigned b = a; b <= 4; b++) {
            for (unsigned c = 1; c <= 4; c++) {
                for (unsigned d = c; d <= 4; d++) {
                    struct rpc_hello ours = hello(a, b, "");
                    struct rpc_hello theirs = hello(c, d, "");
                    struct error error = ERROR_INIT;
                    unsigned best = 0;
                    for (unsigned v = 1; v <= 4; v++) {
                        best = v >= a && v <= b && v >= c && v <= d ? v : best;
                    }
                    unsigned version = 0;
                    enum status status = rpc_hello_check(&ours, &theirs, &version, &error);
                    assert_int_equal(status, best == 0 ? STATUS_FAILED_PRECONDITION : STATUS_OK);
                    assert_int_equal(version, best);
                }
            }
        }
    }
}

/* Sides that both name a cluster must name the same. */
static void clusters(void **state)
{
    (void)state;
    struct rpc_hello red = hello(1, 1, "red");
    struct rpc_hello blue = hello(1, 1, "blue");
    struct rpc_hello any = hello(1, 1, "");
    struct error error = ERROR_INIT;
    unsigned version = 0;
    assert_status(rpc_hello_check(&red, &blue, &version, &error), STATUS_FAILED_PRECONDITION,
                  &error);
    assert_ok(rpc_hello_check(&red, &red, &version, &error), &error);
    assert_ok(rpc_hello_check(&red, &any, &version, &error), &error);
    assert_ok(rpc_hello_check(&any, &blue, &version, &error), &error);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(round_trip),
                                       cmocka_unit_test(long_instance), cmocka_unit_test(versions),
                                       cmocka_unit_test(clusters)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
