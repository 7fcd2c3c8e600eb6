/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/endpoint.h"
#include "testlib/test.h"

/* What people write becomes the URL that they meant. */
static void accepted(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"127.0.0.1:8970", "tcp://127.0.0.1:8970"},
        {"node-1.example:1", "tcp://node-1.example:1"},
        {"localhost", "tcp://localhost:8970"},
        {"[::1]:65535", "tcp://[::1]:65535"},
        {"[::1]", "tcp://[::1]:8970"},
        {"tcp://a:1", "tcp://a:1"},
        {"ipc:///tmp/x", "ipc:///tmp/x"},
        {"127.0.0.1:0", "tcp://127.0.0.1:0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char url[RPC_URL_BYTES_MAX];
        struct error error = ERROR_INIT;
        assert_ok(rpc_endpoint_url(cases[i][0], 8970, url, &error), &error);
        assert_string_equal(url, cases[i][1]);
    }
}

/* What cannot be an endpoint is refused, and the error shows it. */
static void refused(void **state)
{
    (void)state;
    static const char *const cases[] = {"",      "a:",     ":1",      "a:65536", "a:x", "a:-1",
                                        "a b:1", "::1:80", "[::1:80", "[::1]80", "a",   "a:1 "};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char url[RPC_URL_BYTES_MAX];
        struct error error = ERROR_INIT;
        assert_status(rpc_endpoint_url(cases[i], 0, url, &error), STATUS_INVALID_ARGUMENT, &error);
        assert_non_null(strstr(error.text, cases[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(accepted), cmocka_unit_test(refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
