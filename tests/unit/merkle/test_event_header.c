/* SPDX-License-Identifier: Apache-2.0 */
#include "model.h"

#include "merkle/event_header.h"

static struct hasher hasher;

static int set_up(void **state)
{
    (void)state;
    return hasher_init(&hasher, NULL) == STATUS_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    hasher_release(&hasher);
    return 0;
}

static struct event_header sample(void)
{
    struct event_header header = {.position = 0x0102030405060708,
                                  .time_ns = 1700000000123456789,
                                  .version = 7,
                                  .kind = EVENT_KIND_UPDATE,
                                  .severity = 3,
                                  .payload_length = 5,
                                  .key = slice_of_string("user/42"),
                                  .type = slice_of_string("login"),
                                  .event_id = slice_of_string("e-1")};
    header.payload_hash = hash_payload(&hasher, slice_of(NULL, 0), slice_of_string("hello"));
    return header;
}

static void assert_same_header(const struct event_header *a, const struct event_header *b)
{
    assert_true(a->position == b->position && a->time_ns == b->time_ns &&
                a->version == b->version && a->kind == b->kind && a->severity == b->severity);
    assert_true(a->payload_length == b->payload_length &&
                hash_equal(&a->payload_hash, &b->payload_hash));
    assert_true(slice_equal(a->key, b->key) && slice_equal(a->type, b->type) &&
                slice_equal(a->event_id, b->event_id));
}

/* What is encoded decodes to the same fields, at the bounds of each. */
static void headers_survive_a_round_trip(void **state)
{
    (void)state;
    static uint8_t filler[KEY_BYTES_MAX];
    memset(filler, 0xfe, sizeof filler);
    uint8_t bytes[EVENT_HEADER_BYTES_MAX];
    for (unsigned which = 0; which < 16; which++) {
        struct event_header header = sample();
        header.key = slice_of(filler, (which & 1) != 0 ? KEY_BYTES_MAX : 1);
        header.type = slice_of(filler, (which & 2) != 0 ? TYPE_BYTES_MAX : 0);
        header.event_id = slice_of(filler, (which & 4) != 0 ? EVENT_ID_BYTES_MAX : 0);
        header.position = (which & 8) != 0 ? UINT64_MAX : 0;
        header.payload_length = (which & 8) != 0 ? UINT32_MAX : 0;
        header.kind = (uint8_t)(1 + which % 4);
        header.severity = (uint8_t)(which % 7);
        size_t length = event_header_encode(&header, bytes);
        assert_true(length <= EVENT_HEADER_BYTES_MAX);
        struct event_header back;
        struct error err = ERROR_INIT;
        assert_ok(event_header_decode(slice_of(bytes, length), &back, &err), &err);
        assert_same_header(&header, &back);
    }
}

/* Each field stands where FORMAT.md says. */
static void layout_is_frozen(void **state)
{
    (void)state;
    struct event_header header = sample();
    uint8_t bytes[EVENT_HEADER_BYTES_MAX];
    size_t length = event_header_encode(&header, bytes);
    assert_int_equal(length, 69 + 7 + 5 + 3);
    assert_memory_equal(bytes, "\x01\x02\x03\x08\x07\x06\x05\x04\x03\x02\x01", 11);
    assert_memory_equal(bytes + 11, "\x15\xcd\x85\x3d\xfe\x9c\x97\x17", 8);
    assert_memory_equal(bytes + 19, "\x07\0\0\0\0\0\0\0\x05\0\0\0", 12);
    assert_memory_equal(bytes + 31, header.payload_hash.bytes, 32);
    assert_memory_equal(bytes + 63, "\x07\0\x05\0\x03\0user/42logine-1", 6 + 15);
    struct hash by_hand = hash_leaf(&hasher, slice_of(bytes, length));
    struct hash leaf = event_leaf_hash(&hasher, &header);
    assert_true(hash_equal(&by_hand, &leaf));
}

/* Every prefix of a header, and one with a byte more, is refused. */
static void cut_headers_are_refused(void **state)
{
    (void)state;
    struct event_header header = sample();
    struct event_header back;
    uint8_t bytes[EVENT_HEADER_BYTES_MAX];
    size_t length = event_header_encode(&header, bytes);
    for (size_t cut = 0; cut < length; cut++) {
        assert_status(event_header_decode(slice_of(bytes, cut), &back, NULL), STATUS_CORRUPT, NULL);
    }
    bytes[length] = 0;
    assert_status(event_header_decode(slice_of(bytes, length + 1), &back, NULL), STATUS_CORRUPT,
                  NULL);
}

/* No two byte strings decode to one header: each flipped bit is refused or gives another header,
 * which encodes to just the flipped bytes, and has another leaf hash. */
static void encoding_is_injective(void **state)
{
    (void)state;
    struct event_header header = sample();
    uint8_t bytes[EVENT_HEADER_BYTES_MAX];
    uint8_t again[EVENT_HEADER_BYTES_MAX];
    size_t length = event_header_encode(&header, bytes);
    struct hash leaf = event_leaf_hash(&hasher, &header);
    unsigned decoded = 0;
    for (size_t bit = 0; bit < 8 * length; bit++) {
        struct event_header back;
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (event_header_decode(slice_of(bytes, length), &back, NULL) == STATUS_OK) {
            decoded++;
            assert_int_equal(event_header_encode(&back, again), length);
            assert_memory_equal(bytes, again, length);
            struct hash other = event_leaf_hash(&hasher, &back);
            assert_false(hash_equal(&leaf, &other));
        }
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_true(decoded > 8 * 60);
}

/* Fields out of bounds are named, as the caller's fault or, when read, the data's. */
static void fields_out_of_bounds_are_named(void **state)
{
    (void)state;
    static uint8_t filler[KEY_BYTES_MAX + 1];
    struct error err = ERROR_INIT;
    struct event_header header = sample();
    header.kind = 0;
    assert_status(event_header_check(&header, &err), STATUS_INVALID_ARGUMENT, &err);
    assert_non_null(strstr(err.text, "kind"));
    header = sample();
    header.severity = 7;
    assert_status(event_header_check(&header, &err), STATUS_INVALID_ARGUMENT, &err);
    assert_non_null(strstr(err.text, "severity"));
    header = sample();
    header.key = slice_of(filler, 0);
    assert_status(event_header_check(&header, &err), STATUS_INVALID_ARGUMENT, &err);
    assert_non_null(strstr(err.text, "key"));
    header.key = slice_of(filler, KEY_BYTES_MAX + 1);
    assert_status(event_header_check(&header, &err), STATUS_INVALID_ARGUMENT, &err);
    header = sample();
    header.type = slice_of(filler, TYPE_BYTES_MAX + 1);
    assert_status(event_header_check(&header, &err), STATUS_INVALID_ARGUMENT, &err);
    assert_non_null(strstr(err.text, "type"));
    header = sample();
    header.event_id = slice_of(filler, EVENT_ID_BYTES_MAX + 1);
    assert_status(event_header_check(&header, &err), STATUS_INVALID_ARGUMENT, &err);
    assert_non_null(strstr(err.text, "id"));

    uint8_t bytes[EVENT_HEADER_BYTES_MAX];
    header = sample();
    size_t length = event_header_encode(&header, bytes);
    bytes[1] = 5;
    assert_status(event_header_decode(slice_of(bytes, length), &header, &err), STATUS_CORRUPT,
                  &err);
    assert_int_equal(err.status, STATUS_CORRUPT);
}

/* A payload matches only with its salt, its length and each of its bits. */
static void payloads_are_bound_to_headers(void **state)
{
    (void)state;
    static const uint8_t salt[SALT_BYTES] = {1, 2, 3};
    uint8_t payload[] = "hello";
    struct event_header header = sample();
    assert_true(event_payload_matches(&hasher, &header, slice_of(NULL, 0), slice_of(payload, 5)));
    assert_false(event_payload_matches(&hasher, &header, slice_of(NULL, 0), slice_of(payload, 4)));
    assert_false(event_payload_matches(&hasher, &header, slice_of(salt, 16), slice_of(payload, 5)));
    assert_false(event_payload_matches(&hasher, &header, slice_of(salt, 3), slice_of(payload, 5)));
    for (unsigned bit = 0; bit < 40; bit++) {
        payload[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(
            event_payload_matches(&hasher, &header, slice_of(NULL, 0), slice_of(payload, 5)));
        payload[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    /* Salt bytes moved into the payload hash alike, but the length gives it away. */
    uint8_t joined[SALT_BYTES + 5];
    memcpy(joined, salt, SALT_BYTES);
    memcpy(joined + SALT_BYTES, "hello", sizeof joined - SALT_BYTES);
    header.payload_hash = hash_payload(&hasher, slice_of(salt, 16), slice_of(payload, 5));
    assert_true(event_payload_matches(&hasher, &header, slice_of(salt, 16), slice_of(payload, 5)));
    assert_false(event_payload_matches(&hasher, &header, slice_of(NULL, 0), slice_of(joined, 21)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_survive_a_round_trip),
        cmocka_unit_test(layout_is_frozen),
        cmocka_unit_test(cut_headers_are_refused),
        cmocka_unit_test(encoding_is_injective),
        cmocka_unit_test(fields_out_of_bounds_are_named),
        cmocka_unit_test(payloads_are_bound_to_headers),
    };
    return cmocka_run_group_tests_name("merkle.event_header", tests, set_up, tear_down);
}
