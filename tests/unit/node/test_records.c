/* SPDX-License-Identifier: Apache-2.0
 *
 * The byte layouts that the node owns: APPEND entries, stored events, keys and
 * rows, seals.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/append_entry.h"
#include "node/event_record.h"
#include "node/keyspaces.h"
#include "node/seal.h"

static struct slice text(const char *string)
{
    return slice_of_string(string);
}

static ProtobufCBinaryData binary(char *string)
{
    return (ProtobufCBinaryData){.len = strlen(string), .data = (uint8_t *)string};
}

struct entry_fixture {
    Estreat__V1__NewEvent events[2];
    Estreat__V1__NewEvent *pointers[2];
    Estreat__V1__AppendRequest request;
    uint8_t bytes[512];
    size_t length;
};

static void entry_fixture_init(struct entry_fixture *fixture, bool salted)
{
    struct rng_seeded rng;
    estreat__v1__append_request__init(&fixture->request);
    for (int i = 0; i < 2; i++) {
        estreat__v1__new_event__init(&fixture->events[i]);
        fixture->pointers[i] = &fixture->events[i];
    }
    fixture->events[0].key = binary("account-7");
    fixture->events[0].payload = binary("opened");
    fixture->events[0].type = "note";
    fixture->events[0].severity = ESTREAT__V1__SEVERITY__SEVERITY_WARN;
    fixture->events[0].event_id = binary("id-1");
    fixture->events[1].key = binary("k");
    fixture->events[1].expected_case = ESTREAT__V1__NEW_EVENT__EXPECTED_EXPECTED_VERSION;
    fixture->events[1].expected_version = 300;
    fixture->events[1].kind = ESTREAT__V1__KIND__KIND_DELETE;
    fixture->request.client_id = binary("0123456789abcdef");
    fixture->request.sequence = 200;
    fixture->request.acknowledged_below = 150;
    fixture->request.events = fixture->pointers;
    fixture->request.n_events = 2;
    rng_seeded_init(&rng, 1);
    fixture->length = append_entry_length(&fixture->request, salted);
    assert_true(fixture->length <= sizeof fixture->bytes);
    append_entry_encode(&fixture->request, salted, &rng.rng, fixture->bytes);
}

/* What a client asked for is what comes out of the entry, with the leader's time in it. */
static void an_entry_carries_its_request(void **state)
{
    struct entry_fixture fixture;
    struct error err = ERROR_INIT;
    struct append_entry entry;
    struct append_event event;
    (void)state;
    for (int salted = 0; salted < 2; salted++) {
        entry_fixture_init(&fixture, salted != 0);
        append_entry_set_time(fixture.bytes, 5000);
        struct slice bytes = slice_of(fixture.bytes, fixture.length);
        assert_int_equal(append_entry_last_time(bytes), 5001);
        assert_int_equal(append_entry_decode(bytes, &entry, &err), STATUS_OK);
        assert_int_equal(entry.time_ns, 5000);
        assert_int_equal(entry.count, 2);
        assert_int_equal(entry.sequence, 200);
        assert_int_equal(entry.acknowledged_below, 150);
        struct cursor cursor = cursor_of(entry.events);
        assert_int_equal(append_event_next(&entry, &cursor, &event, &err), STATUS_OK);
        assert_true(slice_equal(event.key, text("account-7")));
        assert_true(slice_equal(event.payload, text("opened")));
        assert_true(slice_equal(event.type, text("note")));
        assert_true(slice_equal(event.event_id, text("id-1")));
        assert_int_equal(event.severity, 4);
        assert_int_equal(event.expectation, EXPECT_ANY);
        assert_int_equal(event.salt.length, salted ? SALT_BYTES : 0);
        assert_int_equal(append_event_next(&entry, &cursor, &event, &err), STATUS_OK);
        assert_int_equal(event.expectation, EXPECT_VERSION);
        assert_int_equal(event.expected_version, 300);
        assert_int_equal(event.kind, 3);
        assert_int_equal(event.payload.length, 0);
        assert_true(cursor_done(&cursor));
    }
}

/* A cut entry is never taken for a whole one. */
static void a_cut_entry_is_refused(void **state)
{
    struct entry_fixture fixture;
    struct error err = ERROR_INIT;
    (void)state;
    entry_fixture_init(&fixture, true);
    for (size_t length = 0; length < fixture.length; length++) {
        struct append_entry entry;
        enum status status = append_entry_decode(slice_of(fixture.bytes, length), &entry, &err);
        if (status == STATUS_OK) {
            struct cursor cursor = cursor_of(entry.events);
            struct append_event event;
            for (uint32_t i = 0; i < entry.count && status == STATUS_OK; i++) {
                status = append_event_next(&entry, &cursor, &event, &err);
            }
        }
        assert_int_equal(status, STATUS_CORRUPT);
    }
}

/* Each limit is kept, and named. */
static void requests_outside_the_limits_are_refused(void **state)
{
    struct entry_fixture fixture;
    struct error err = ERROR_INIT;
    static char long_type[TYPE_BYTES_MAX + 2];
    static uint8_t long_key[KEY_BYTES_MAX + 1];
    (void)state;
    entry_fixture_init(&fixture, true);
    Estreat__V1__AppendRequest *request = &fixture.request;
    Estreat__V1__NewEvent *event = &fixture.events[0];
    assert_int_equal(append_request_check(request, &err), STATUS_OK);

    request->n_events = 0;
    assert_int_equal(append_request_check(request, &err), STATUS_INVALID_ARGUMENT);
    request->n_events = 2;
    event->key.len = 0;
    assert_int_equal(append_request_check(request, &err), STATUS_INVALID_ARGUMENT);
    event->key = (ProtobufCBinaryData){.len = sizeof long_key, .data = long_key};
    assert_int_equal(append_request_check(request, &err), STATUS_INVALID_ARGUMENT);
    event->key.len = KEY_BYTES_MAX;
    assert_int_equal(append_request_check(request, &err), STATUS_OK);
    event->payload.len = PAYLOAD_BYTES_MAX + 1;
    assert_int_equal(append_request_check(request, &err), STATUS_INVALID_ARGUMENT);
    event->payload.len = 0;
    memset(long_type, 'x', TYPE_BYTES_MAX + 1);
    event->type = long_type;
    assert_int_equal(append_request_check(request, &err), STATUS_INVALID_ARGUMENT);
    event->type = "not \xff text";
    assert_int_equal(append_request_check(request, &err), STATUS_INVALID_ARGUMENT);
    assert_non_null(strstr(err.text, "UTF-8"));
    event->type = "";
    event->kind = ESTREAT__V1__KIND__KIND_SYSTEM;
    assert_int_equal(append_request_check(request, &err), STATUS_INVALID_ARGUMENT);
    event->kind = ESTREAT__V1__KIND__KIND_AUTO;
    request->client_id.len = 15;
    assert_int_equal(append_request_check(request, &err), STATUS_INVALID_ARGUMENT);
    request->client_id.len = 16;
    request->sequence = 0;
    assert_int_equal(append_request_check(request, &err), STATUS_INVALID_ARGUMENT);
}

/* Stored events come back as they were, and their leaf covers the payload. */
static void a_stored_event_comes_back(void **state)
{
    uint8_t salt[SALT_BYTES] = {1, 2, 3};
    uint8_t bytes[256];
    struct error err = ERROR_INIT;
    struct hasher hasher;
    struct event_record back;
    (void)state;
    const struct event_record record = {
        .position = 12,
        .time_ns = 99,
        .version = 300,
        .kind = EVENT_KIND_UPDATE,
        .severity = 3,
        .key = text("key"),
        .type = text("type"),
        .event_id = text("id"),
        .salt = slice_of(salt, sizeof salt),
        .payload = text("payload"),
    };
    size_t length = event_record_length(&record);
    event_record_encode(&record, bytes);
    assert_int_equal(event_record_decode(12, slice_of(bytes, length), &back, &err), STATUS_OK);
    assert_int_equal(back.version, 300);
    assert_int_equal(back.time_ns, 99);
    assert_true(slice_equal(back.key, record.key));
    assert_true(slice_equal(back.type, record.type));
    assert_true(slice_equal(back.event_id, record.event_id));
    assert_true(slice_equal(back.salt, record.salt));
    assert_true(slice_equal(back.payload, record.payload));
    assert_int_equal(hasher_init(&hasher, &err), STATUS_OK);
    struct hash leaf = event_record_leaf(&hasher, &record);
    struct hash same = event_record_leaf(&hasher, &back);
    assert_true(hash_equal(&leaf, &same));
    bytes[length - 1] ^= 1;
    assert_int_equal(event_record_decode(12, slice_of(bytes, length), &back, &err), STATUS_OK);
    same = event_record_leaf(&hasher, &back);
    assert_false(hash_equal(&leaf, &same));
    hasher_release(&hasher);
    for (size_t cut = 0; cut < length - record.payload.length; cut++) {
        assert_int_equal(event_record_decode(12, slice_of(bytes, cut), &back, &err),
                         STATUS_CORRUPT);
    }
}

/* The versions of one key sort by number, and no other key's rows come between, whatever bytes
 * the keys have. */
static void version_keys_sort_by_key_then_version(void **state)
{
    static const char *const keys[] = {"a", "a\0", "a\0\0", "a\0\1", "a\0\xff", "a\1", "ab", "b"};
    static const size_t lengths[] = {1, 2, 3, 3, 3, 2, 2, 1};
    uint8_t previous[VERSION_KEY_BYTES_MAX];
    uint8_t next[VERSION_KEY_BYTES_MAX];
    size_t previous_length = 0;
    (void)state;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        for (uint64_t version = 0; version < 600; version += 255) {
            size_t length = version_key(slice_of(keys[i], lengths[i]), version, next);
            assert_true(slice_compare(slice_of(previous, previous_length), slice_of(next, length)) <
                        0);
            memcpy(previous, next, length);
            previous_length = length;
        }
    }
}

/* Tiles are written in the order in which they become full, so their keys ascend. */
static void tile_keys_ascend_as_tiles_fill(void **state)
{
    uint8_t leaf[TILE_KEY_BYTES];
    uint8_t parent[TILE_KEY_BYTES];
    uint8_t later[TILE_KEY_BYTES];
    (void)state;
    tile_key(0, 255, leaf);
    tile_key(1, 0, parent);
    tile_key(0, 256, later);
    assert_true(memcmp(leaf, parent, sizeof leaf) < 0);
    assert_true(memcmp(parent, later, sizeof leaf) < 0);
}

/* A seal comes back; a cut one is refused; none is a new node's. */
static void seals_come_back(void **state)
{
    struct error err = ERROR_INIT;
    struct buf bytes;
    struct seal back;
    (void)state;
    buf_init(&bytes, alloc_default(), 4096);
    const struct seal seal = {.index = 7,
                              .term = 3,
                              .size = 900,
                              .time_ns = 12345,
                              .session_floor_ns = 99,
                              .tree = text("tree")};
    seal_encode(&seal, &bytes);
    assert_int_equal(seal_decode(buf_slice(&bytes), &back, &err), STATUS_OK);
    assert_int_equal(back.index, 7);
    assert_int_equal(back.term, 3);
    assert_int_equal(back.size, 900);
    assert_int_equal(back.time_ns, 12345);
    assert_int_equal(back.session_floor_ns, 99);
    assert_true(slice_equal(back.tree, seal.tree));
    for (size_t cut = 1; cut < 41; cut++) {
        assert_int_equal(seal_decode(slice_of(bytes.data, cut), &back, &err), STATUS_CORRUPT);
    }
    assert_int_equal(seal_decode(slice_of(NULL, 0), &back, &err), STATUS_OK);
    assert_int_equal(back.index, 0);
    buf_release(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_entry_carries_its_request),
        cmocka_unit_test(a_cut_entry_is_refused),
        cmocka_unit_test(requests_outside_the_limits_are_refused),
        cmocka_unit_test(a_stored_event_comes_back),
        cmocka_unit_test(version_keys_sort_by_key_then_version),
        cmocka_unit_test(tile_keys_ascend_as_tiles_fill),
        cmocka_unit_test(seals_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
