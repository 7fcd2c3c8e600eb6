/* SPDX-License-Identifier: Apache-2.0 */
#include "model.h"

#include "merkle/tree_head.h"

#define ORIGIN "example.com/estreat"
#define ROOT "XcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg="

static struct note_signer signers[2];
static struct note_verifier verifiers[2];
static struct buf out;

static int set_up(void **state)
{
    (void)state;
    buf_init(&out, alloc_default(), 1 << 20);
    static const char *const names[2] = {ORIGIN, "example.com/other"};
    for (uint8_t i = 0; i < 2; i++) {
        uint8_t seed[NOTE_SEED_BYTES] = {i};
        if (note_signer_init(&signers[i], slice_of_string(names[i]), seed, NULL) != STATUS_OK) {
            return -1;
        }
        verifiers[i] = signers[i].verifier;
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    note_signer_release(&signers[0]);
    note_signer_release(&signers[1]);
    buf_release(&out);
    return 0;
}

static const struct note_trust trust = {.verifiers = verifiers, .count = 2};

/* Heads of all kinds of sizes read back from their text. */
static void heads_round_trip(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {0, 1, 9, 10, 1000000000, UINT64_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct tree_head head = {.origin = slice_of_string(ORIGIN), .size = sizes[i]};
        memset(head.root.bytes, (int)i, HASH_BYTES);
        struct tree_head back;
        struct note note;
        struct error err = ERROR_INIT;
        buf_clear(&out);
        tree_head_format(&head, &out);
        assert_ok(tree_head_parse(buf_slice(&out), &back, &err), &err);
        buf_clear(&out);
        assert_ok(tree_head_sign(&head, signers, 1, &out, &err), &err);
        assert_ok(tree_head_open(buf_slice(&out), trust, &back, &note, &err), &err);
        assert_true(slice_equal(back.origin, head.origin) && back.size == head.size &&
                    hash_equal(&back.root, &head.root) && back.extensions.length == 0);
        assert_true(note.signed_count == 1 && note.signed_by[0] == 0);
    }
}

/* Text that is not exactly one canonical head is refused; extension lines are kept. */
static void other_texts_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "\n",
        ORIGIN "\n",
        ORIGIN "\n8\n",
        ORIGIN "\n8\n" ROOT,
        "\n8\n" ROOT "\n",
        "a b\n8\n" ROOT "\n",
        "a+b\n8\n" ROOT "\n",
        ORIGIN "\n08\n" ROOT "\n",
        ORIGIN "\n+8\n" ROOT "\n",
        ORIGIN "\n-8\n" ROOT "\n",
        ORIGIN "\n8 \n" ROOT "\n",
        ORIGIN "\n0x8\n" ROOT "\n",
        ORIGIN "\n\n" ROOT "\n",
        ORIGIN "\n18446744073709551616\n" ROOT "\n",
        ORIGIN "\n99999999999999999999\n" ROOT "\n",
        ORIGIN "\n8\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg\n",
        ORIGIN "\n8\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyh=\n",
        ORIGIN "\n8\n" ROOT "\n\n",
        ORIGIN "\n8\n" ROOT "\next\n\next\n",
        ORIGIN "\n8\n" ROOT "\next",
        ORIGIN "\r\n8\r\n" ROOT "\r\n",
    };
    struct tree_head head;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_status(tree_head_parse(slice_of_string(bad[i]), &head, NULL),
                      STATUS_INVALID_ARGUMENT, NULL);
    }
    struct slice good = slice_of_string(ORIGIN "\n18446744073709551615\n" ROOT "\none\ntwo\n");
    assert_ok(tree_head_parse(good, &head, NULL), NULL);
    assert_true(head.size == UINT64_MAX);
    assert_true(slice_equal(head.extensions, slice_of_string("one\ntwo\n")));
}

/* A key that is trusted for one log cannot sign for another. */
static void only_keys_of_the_origin_sign(void **state)
{
    (void)state;
    struct tree_head head = {.origin = slice_of_string(ORIGIN), .size = 8};
    struct tree_head back;
    struct error err = ERROR_INIT;
    buf_clear(&out);
    assert_ok(tree_head_sign(&head, &signers[1], 1, &out, &err), &err);
    assert_status(tree_head_open(buf_slice(&out), trust, &back, NULL, &err), STATUS_UNAUTHENTICATED,
                  &err);
    buf_clear(&out);
    assert_ok(tree_head_sign(&head, signers, 2, &out, &err), &err);
    struct note note;
    assert_ok(tree_head_open(buf_slice(&out), trust, &back, &note, &err), &err);
    assert_int_equal(note.signed_count, 2);
}

/* A signed text that is no tree head is not opened as one. */
static void other_notes_are_refused(void **state)
{
    (void)state;
    struct tree_head back;
    buf_clear(&out);
    assert_ok(note_sign(slice_of_string(ORIGIN "\nnot a head\n"), signers, 1, &out, NULL), NULL);
    assert_status(tree_head_open(buf_slice(&out), trust, &back, NULL, NULL),
                  STATUS_INVALID_ARGUMENT, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_round_trip),
        cmocka_unit_test(other_texts_are_refused),
        cmocka_unit_test(only_keys_of_the_origin_sign),
        cmocka_unit_test(other_notes_are_refused),
    };
    return cmocka_run_group_tests_name("merkle.tree_head", tests, set_up, tear_down);
}
