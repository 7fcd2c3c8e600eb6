/* SPDX-License-Identifier: Apache-2.0 */
#include "model.h"

#include "merkle/base64.h"

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

/* Plain SHA-256 gives NIST's values, for the empty text too. */
static void plain_hashes_are_sha256(void **state)
{
    (void)state;
    assert_hash(hash_empty(&hasher),
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_hash(hash_bytes(&hasher, slice_of_string("abc")),
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

/* Leaves, nodes and payloads with the same content have different hashes. */
static void prefixes_keep_kinds_apart(void **state)
{
    (void)state;
    assert_hash(hash_leaf(&hasher, slice_of("", 0)),
                "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
    struct hash zero = {{0}};
    uint8_t both[64] = {0};
    struct hash node = hash_node(&hasher, &zero, &zero);
    struct hash leaf = hash_leaf(&hasher, slice_of(both, sizeof both));
    struct hash payload = hash_payload(&hasher, slice_of("", 0), slice_of(both, sizeof both));
    struct hash plain = hash_bytes(&hasher, slice_of(both, sizeof both));
    assert_false(hash_equal(&node, &leaf));
    assert_false(hash_equal(&node, &payload));
    assert_false(hash_equal(&leaf, &payload));
    assert_false(hash_equal(&leaf, &plain));
}

/* Each length, also around where data is no longer copied together, hashes as prefix and data in
 * one piece. */
static void all_lengths_hash_as_one_piece(void **state)
{
    (void)state;
    static uint8_t data[1 + 16 + 4096];
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (uint8_t)(i * 7);
    }
    for (size_t length = 0; length <= 4096; length += length < 1200 ? 1 : 419) {
        data[0] = 0x00;
        struct hash whole = hash_bytes(&hasher, slice_of(data, 1 + length));
        struct hash leaf = hash_leaf(&hasher, slice_of(data + 1, length));
        assert_true(hash_equal(&whole, &leaf));
        data[0] = 0x02;
        whole = hash_bytes(&hasher, slice_of(data, 1 + 16 + length));
        struct hash payload =
            hash_payload(&hasher, slice_of(data + 1, 16), slice_of(data + 17, length));
        assert_true(hash_equal(&whole, &payload));
        whole = hash_bytes(&hasher, slice_of(data, 1 + length));
        payload = hash_payload(&hasher, slice_of(NULL, 0), slice_of(data + 1, length));
        assert_true(hash_equal(&whole, &payload));
    }
}

/* Base64 of a hash reads back, and each other text of it is refused. */
static void base64_is_canonical(void **state)
{
    (void)state;
    struct hash hash = hash_empty(&hasher);
    struct hash back;
    char text[HASH_BASE64_BYTES + 1];
    hash_to_base64(&hash, text);
    assert_string_equal(text, "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    assert_true(hash_from_base64(slice_of_string(text), &back));
    assert_true(hash_equal(&hash, &back));
    const char *const bad[] = {"",
                               "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU",
                               "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV=",
                               "47DEQpj8HBSa-/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
                               "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuF==",
                               " 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU",
                               "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
                               "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFVV"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(hash_from_base64(slice_of_string(bad[i]), &back));
    }
}

/* Of all bytes just the 64 of the alphabet can stand in a text, each for a value of its own. */
static void base64_has_one_alphabet(void **state)
{
    (void)state;
    unsigned accepted = 0;
    bool seen[64] = {false};
    for (unsigned byte = 0; byte < 256; byte++) {
        const uint8_t text[4] = {'A', 'A', 'A', (uint8_t)byte};
        uint8_t bytes[3] = {0};
        size_t length = 0;
        if (base64_decode(slice_of(text, sizeof text), bytes, sizeof bytes, &length) &&
            length == 3) {
            assert_false(seen[bytes[2]]);
            seen[bytes[2]] = true;
            accepted++;
        }
    }
    assert_int_equal(accepted, 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_hashes_are_sha256),
        cmocka_unit_test(prefixes_keep_kinds_apart),
        cmocka_unit_test(all_lengths_hash_as_one_piece),
        cmocka_unit_test(base64_is_canonical),
        cmocka_unit_test(base64_has_one_alphabet),
    };
    return cmocka_run_group_tests_name("merkle.hash", tests, set_up, tear_down);
}
