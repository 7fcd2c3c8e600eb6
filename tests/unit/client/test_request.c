/* SPDX-License-Identifier: Apache-2.0 */
#include "client/request.h"

#include "base/rng.h"
#include "testlib/test.h"

static Estreat__V1__AppendRequest *through_the_wire(const struct estreat_new_event *events,
                                                    size_t count)
{
    struct error err = ERROR_INIT;
    Estreat__V1__AppendRequest request = ESTREAT__V1__APPEND_REQUEST__INIT;
    ProtobufCMessageUnknownField field;
    uint8_t client_id[CLIENT_ID_BYTES] = "0123456789abcde";
    size_t bytes;
    assert_ok(request_measure(events, count, &bytes, &err), &err);
    uint8_t *packed = test_malloc(bytes);
    request_pack(events, count, packed, bytes);
    request.client_id = (ProtobufCBinaryData){.len = sizeof client_id, .data = client_id};
    request.sequence = 9;
    request.acknowledged_below = 8;
    request.first_attempt_ns = 7;
    request_attach(&request, &field, slice_of(packed, bytes));
    size_t length = estreat__v1__append_request__get_packed_size(&request);
    uint8_t *wire = test_malloc(length);
    assert_int_equal(estreat__v1__append_request__pack(&request, wire), length);
    Estreat__V1__AppendRequest *read = estreat__v1__append_request__unpack(NULL, length, wire);
    assert_non_null(read);
    assert_int_equal(read->sequence, 9);
    assert_int_equal(read->acknowledged_below, 8);
    assert_int_equal(read->first_attempt_ns, 7);
    assert_int_equal(read->client_id.len, CLIENT_ID_BYTES);
    assert_int_equal(read->n_events, count);
    assert_int_equal(read->base.n_unknown_fields, 0);
    test_free(wire);
    test_free(packed);
    return read;
}

static bool equal(ProtobufCBinaryData read, struct estreat_bytes written)
{
    return slice_equal(slice_of(read.data, read.len), slice_of(written.data, written.length));
}

/* What is packed by hand is what protobuf-c reads, field by field. */
static void test_fields(void **state)
{
    const struct estreat_new_event events[] = {
        {.key = estreat_text("k")},
        {.key = estreat_bytes("\0b", 2),
         .payload = estreat_text("payload"),
         .type = "note",
         .severity = ESTREAT_SEVERITY_WARN,
         .kind = ESTREAT_KIND_DELETE,
         .expect = ESTREAT_EXPECT_VERSION,
         .expected_version = UINT64_MAX},
        {.key = estreat_text("k3"), .expect = ESTREAT_EXPECT_NONE, .kind = ESTREAT_KIND_CREATE},
        {.key = estreat_text("k4"), .expect = ESTREAT_EXPECT_VERSION, .expected_version = 0},
    };
    (void)state;
    Estreat__V1__AppendRequest *read = through_the_wire(events, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_true(equal(read->events[i]->key, events[i].key));
        assert_true(equal(read->events[i]->payload, events[i].payload));
        assert_string_equal(read->events[i]->type, events[i].type == NULL ? "" : events[i].type);
        assert_int_equal(read->events[i]->severity, events[i].severity);
        assert_int_equal(read->events[i]->kind, events[i].kind);
    }
    assert_int_equal(read->events[0]->expected_case, ESTREAT__V1__NEW_EVENT__EXPECTED__NOT_SET);
    assert_int_equal(read->events[1]->expected_case,
                     ESTREAT__V1__NEW_EVENT__EXPECTED_EXPECTED_VERSION);
    assert_int_equal(read->events[1]->expected_version, UINT64_MAX);
    assert_int_equal(read->events[2]->expected_case,
                     ESTREAT__V1__NEW_EVENT__EXPECTED_EXPECTED_NONE);
    assert_true(read->events[2]->expected_none);
    assert_int_equal(read->events[3]->expected_case,
                     ESTREAT__V1__NEW_EVENT__EXPECTED_EXPECTED_VERSION);
    assert_int_equal(read->events[3]->expected_version, 0);
    estreat__v1__append_request__free_unpacked(read, NULL);
}

/* Batches of random sizes come back whole, also where lengths need longer varints. */
static void test_random_batches(void **state)
{
    enum { EVENTS = 300, BYTES_MAX = 3000 };
    static uint8_t bytes[BYTES_MAX];
    static struct estreat_new_event events[EVENTS];
    struct rng_seeded seeded;
    (void)state;
    rng_seeded_init(&seeded, test_seed());
    rng_fill(&seeded.rng, bytes, sizeof bytes);
    for (int round = 0; round < 20; round++) {
        size_t count = 1 + (size_t)rng_below(&seeded.rng, EVENTS);
        for (size_t i = 0; i < count; i++) {
            events[i] = (struct estreat_new_event){
                .key = estreat_bytes(bytes, 1 + (size_t)rng_below(&seeded.rng, KEY_BYTES_MAX)),
                .payload = estreat_bytes(bytes, (size_t)rng_below(&seeded.rng, BYTES_MAX))};
        }
        size_t packed;
        struct error err = ERROR_INIT;
        if (request_measure(events, count, &packed, &err) != STATUS_OK) {
            assert_int_equal(err.status, STATUS_INVALID_ARGUMENT);
            continue;
        }
        Estreat__V1__AppendRequest *read = through_the_wire(events, count);
        for (size_t i = 0; i < count; i++) {
            assert_true(equal(read->events[i]->key, events[i].key));
            assert_true(equal(read->events[i]->payload, events[i].payload));
        }
        estreat__v1__append_request__free_unpacked(read, NULL);
    }
}

static void refused(const struct estreat_new_event *events, size_t count, const char *text)
{
    struct error err = ERROR_INIT;
    size_t bytes = 77;
    assert_status(request_measure(events, count, &bytes, &err), STATUS_INVALID_ARGUMENT, &err);
    assert_non_null(strstr(err.text, text));
    assert_int_equal(bytes, 77);
}

/* Each limit holds, is named, and is not one too small. */
static void test_limits(void **state)
{
    static char large[PAYLOAD_BYTES_MAX + 1];
    static char type[TYPE_BYTES_MAX + 2];
    static struct estreat_new_event many[EVENTS_PER_REQUEST_MAX + 1];
    struct error err = ERROR_INIT;
    size_t bytes;
    (void)state;
    memset(type, 't', TYPE_BYTES_MAX + 1);
    struct estreat_new_event event = {.key = estreat_bytes(large, 0)};
    refused(&event, 1, "key of 0 bytes");
    event.key = estreat_bytes(large, KEY_BYTES_MAX + 1);
    refused(&event, 1, "key of 1025 bytes");
    event.key = estreat_bytes(large, KEY_BYTES_MAX);
    event.payload = estreat_bytes(large, PAYLOAD_BYTES_MAX + 1);
    refused(&event, 1, "payload of 524289 bytes");
    event.payload.length--;
    assert_ok(request_measure(&event, 1, &bytes, &err), &err);
    event.type = type;
    refused(&event, 1, "type");
    event.type = type + 1;
    assert_ok(request_measure(&event, 1, &bytes, &err), &err);
    event.kind = ESTREAT_KIND_SYSTEM;
    refused(&event, 1, "kind");
    refused(&event, 0, "0 events");
    for (size_t i = 0; i <= EVENTS_PER_REQUEST_MAX; i++) {
        many[i] = (struct estreat_new_event){.key = estreat_text("k"),
                                             .payload = estreat_bytes(large, 900)};
    }
    refused(many, EVENTS_PER_REQUEST_MAX + 1, "1025 events");
    assert_ok(request_measure(many, EVENTS_PER_REQUEST_MAX, &bytes, &err), &err);
    many[7].payload.length = PAYLOAD_BYTES_MAX;
    refused(many, EVENTS_PER_REQUEST_MAX, "fewer events");
}

/* What the public header allows by its sum of bytes is allowed, with the dearest overhead. */
static void test_header_promise(void **state)
{
    static char large[2000];
    static struct estreat_new_event many[EVENTS_PER_REQUEST_MAX];
    struct error err = ERROR_INIT;
    size_t bytes;
    size_t each = ESTREAT_REQUEST_BYTES_MAX / EVENTS_PER_REQUEST_MAX;
    (void)state;
    for (size_t i = 0; i < EVENTS_PER_REQUEST_MAX; i++) {
        many[i] = (struct estreat_new_event){.key = estreat_bytes(large, 200),
                                             .payload = estreat_bytes(large, each - 200 - 140),
                                             .type = "0123456789012345678901234567890123456789"
                                                     "0123456789012345678901234567890123456789"
                                                     "0123456789012345678901234567890123456789"
                                                     "01234567890123456789",
                                             .severity = ESTREAT_SEVERITY_FATAL,
                                             .kind = ESTREAT_KIND_UPDATE,
                                             .expect = ESTREAT_EXPECT_VERSION,
                                             .expected_version = UINT64_MAX};
    }
    assert_ok(request_measure(many, EVENTS_PER_REQUEST_MAX, &bytes, &err), &err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_random_batches),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_header_promise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
