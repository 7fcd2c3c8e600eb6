/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/arena.h"
#include "rpc/unpack.h"
#include "schema/log.pb-c.h"
#include "testlib/fail_alloc.h"
#include "testlib/test.h"

enum { EVENTS = 256, PAYLOAD = 300 };

/* A packed AppendRequest of EVENTS events; the caller frees it. */
static struct slice packed_request(size_t payload)
{
    static uint8_t bytes[PAYLOAD];
    Estreat__V1__NewEvent events[EVENTS];
    Estreat__V1__NewEvent *pointers[EVENTS];
    for (size_t i = 0; i < EVENTS; i++) {
        events[i] = (Estreat__V1__NewEvent)ESTREAT__V1__NEW_EVENT__INIT;
        events[i].key.data = bytes;
        events[i].key.len = payload == 0 ? 0 : 16;
        events[i].payload.data = bytes;
        events[i].payload.len = payload;
        pointers[i] = &events[i];
    }
    Estreat__V1__AppendRequest request = ESTREAT__V1__APPEND_REQUEST__INIT;
    request.events = pointers;
    request.n_events = EVENTS;
    size_t length = estreat__v1__append_request__get_packed_size(&request);
    uint8_t *out = malloc(length);
    assert_non_null(out);
    (void)estreat__v1__append_request__pack(&request, out);
    return slice_of(out, length);
}

/* Memory is aligned, apart, and within the budget; past it there is none, for good. */
static void budget(void **state)
{
    (void)state;
    struct rpc_arena arena;
    rpc_arena_init(&arena, alloc_default(), 100, 1000);
    uint8_t *last = NULL;
    size_t count = 0;
    uint8_t *memory = NULL;
    while ((memory = rpc_arena_alloc(&arena, 17)) != NULL) {
        assert_int_equal((uintptr_t)memory % 16, 0);
        memset(memory, (int)count, 17);
        assert_true(last == NULL || last[16] == (uint8_t)(count - 1));
        last = memory;
        count++;
    }
    assert_in_range(count, 10, 1000 / 32);
    assert_true(arena.exhausted);
    assert_null(rpc_arena_alloc(&arena, SIZE_MAX));
    assert_null(rpc_arena_alloc(&arena, SIZE_MAX - 20));
    rpc_arena_release(&arena);
}

/* A request of 256 events is unpacked with a handful of allocations. */
static void few_allocations(void **state)
{
    (void)state;
    struct fail_alloc fail;
    struct rpc_arena arena;
    struct error error = ERROR_INIT;
    ProtobufCMessage *message = NULL;
    struct slice bytes = packed_request(PAYLOAD);
    fail_alloc_init(&fail);
    rpc_arena_init(&arena, &fail.alloc, bytes.length + bytes.length / 2,
                   rpc_unpack_budget(bytes.length));
    assert_ok(rpc_unpack(&estreat__v1__append_request__descriptor, bytes, &arena, &message, &error),
              &error);
    const Estreat__V1__AppendRequest *request = (const Estreat__V1__AppendRequest *)message;
    assert_int_equal(request->n_events, EVENTS);
    assert_int_equal(request->events[EVENTS - 1]->payload.len, PAYLOAD);
    assert_in_range(atomic_load(&fail.calls), 1, 3);
    rpc_arena_release(&arena);
    fail_alloc_release(&fail);
    free((void *)(uintptr_t)bytes.data);
}

/* Many empty events in few bytes do not become much memory. */
static void amplification(void **state)
{
    (void)state;
    struct rpc_arena arena;
    struct error error = ERROR_INIT;
    ProtobufCMessage *message = NULL;
    static uint8_t bytes[200000];
    for (size_t i = 0; i < sizeof bytes; i += 2) {
        bytes[i] = 5 << 3 | 2; /* events: an empty one */
        bytes[i + 1] = 0;
    }
    size_t budget_bytes = rpc_unpack_budget(sizeof bytes);
    rpc_arena_init(&arena, alloc_default(), sizeof bytes, budget_bytes);
    assert_status(rpc_unpack(&estreat__v1__append_request__descriptor,
                             slice_of(bytes, sizeof bytes), &arena, &message, &error),
                  STATUS_RESOURCE_EXHAUSTED, &error);
    assert_null(message);
    assert_true(arena.bytes <= budget_bytes);
    rpc_arena_release(&arena);
}

/* Any beginning of a request is either a request or refused; nothing is leaked. */
static void truncations(void **state)
{
    (void)state;
    struct slice bytes = packed_request(1);
    struct fail_alloc fail;
    fail_alloc_init(&fail);
    for (size_t length = 0; length <= bytes.length; length += length < 200 ? 1 : 97) {
        struct rpc_arena arena;
        ProtobufCMessage *message = NULL;
        struct error error = ERROR_INIT;
        rpc_arena_init(&arena, &fail.alloc, 1000, rpc_unpack_budget(length));
        enum status status = rpc_unpack(&estreat__v1__append_request__descriptor,
                                        slice_of(bytes.data, length), &arena, &message, &error);
        assert_true(status == STATUS_OK || status == STATUS_INVALID_ARGUMENT);
        assert_true((status == STATUS_OK) == (message != NULL));
        rpc_arena_release(&arena);
    }
    fail_alloc_release(&fail);
    free((void *)(uintptr_t)bytes.data);
}

/* Without memory at any allocation, unpacking says so and leaks nothing. */
static void no_memory(void **state)
{
    (void)state;
    struct slice bytes = packed_request(PAYLOAD);
    struct fail_alloc fail;
    fail_alloc_init(&fail);
    for (uint64_t n = 0;; n++) {
        struct rpc_arena arena;
        ProtobufCMessage *message = NULL;
        struct error error = ERROR_INIT;
        fail_alloc_arm(&fail, n);
        rpc_arena_init(&arena, &fail.alloc, 1000, rpc_unpack_budget(bytes.length));
        enum status status =
            rpc_unpack(&estreat__v1__append_request__descriptor, bytes, &arena, &message, &error);
        rpc_arena_release(&arena);
        if (!fail_alloc_hit(&fail)) {
            assert_ok(status, &error);
            break;
        }
        assert_status(status, STATUS_RESOURCE_EXHAUSTED, &error);
    }
    fail_alloc_release(&fail);
    free((void *)(uintptr_t)bytes.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(budget),        cmocka_unit_test(few_allocations),
        cmocka_unit_test(amplification), cmocka_unit_test(truncations),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
