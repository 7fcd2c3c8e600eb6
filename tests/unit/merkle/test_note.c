/* SPDX-License-Identifier: Apache-2.0 */
#include "model.h"

#include "merkle/base64.h"
#include "merkle/note.h"
#include "merkle/text.h"

#define ORIGIN "example.com/estreat"
#define TEXT "first line\n\nlast line\n"

static struct note_signer signers[3];
static struct note_verifier verifiers[3];
static struct buf out;

static int set_up(void **state)
{
    (void)state;
    buf_init(&out, alloc_default(), 1 << 20);
    for (uint8_t i = 0; i < 3; i++) {
        uint8_t seed[NOTE_SEED_BYTES] = {i};
        if (note_signer_init(&signers[i], slice_of_string(ORIGIN), seed, NULL) != STATUS_OK) {
            return -1;
        }
        verifiers[i] = signers[i].verifier;
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        note_signer_release(&signers[i]);
    }
    buf_release(&out);
    return 0;
}

static struct note_trust trust_first(size_t count)
{
    return (struct note_trust){.verifiers = verifiers, .count = count};
}

static struct slice signed_note(const struct note_signer *by, size_t count)
{
    buf_clear(&out);
    assert_ok(note_sign(slice_of_string(TEXT), by, count, &out, NULL), NULL);
    return buf_slice(&out);
}

/* A note that several keys of one name signed is believed as far as the keys are trusted. */
static void keys_of_one_name_are_told_apart(void **state)
{
    (void)state;
    struct note note;
    struct error err = ERROR_INIT;
    struct slice bytes = signed_note(signers, 3);
    assert_ok(note_open(bytes, trust_first(3), &note, &err), &err);
    assert_true(slice_equal(note.text, slice_of_string(TEXT)));
    assert_int_equal(note.signed_count, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(note.signed_by[i], i);
    }
    assert_ok(note_open(bytes, trust_first(1), &note, &err), &err);
    assert_int_equal(note.signed_count, 1);

    bytes = signed_note(&signers[2], 1);
    assert_ok(note_open(bytes, trust_first(3), &note, &err), &err);
    assert_int_equal(note.signed_count, 1);
    assert_int_equal(note.signed_by[0], 2);
    assert_status(note_open(bytes, trust_first(2), &note, &err), STATUS_UNAUTHENTICATED, &err);
    assert_status(note_open(bytes, trust_first(0), &note, &err), STATUS_UNAUTHENTICATED, &err);
}

/* A key that signed twice counts once. */
static void repeated_signatures_count_once(void **state)
{
    (void)state;
    struct note note;
    struct note_signer twice[2] = {signers[0], signers[0]};
    assert_ok(note_open(signed_note(twice, 2), trust_first(1), &note, NULL), NULL);
    assert_int_equal(note.signed_count, 1);
}

/* The same public key under another name is another key. */
static void names_are_part_of_keys(void **state)
{
    (void)state;
    struct note note;
    struct note_signer other;
    uint8_t seed[NOTE_SEED_BYTES] = {0};
    assert_ok(note_signer_init(&other, slice_of_string("example.com/other"), seed, NULL), NULL);
    assert_memory_equal(other.verifier.public_key, verifiers[0].public_key, NOTE_PUBLIC_KEY_BYTES);
    assert_int_not_equal(other.verifier.id, verifiers[0].id);
    assert_status(note_open(signed_note(&other, 1), trust_first(3), &note, NULL),
                  STATUS_UNAUTHENTICATED, NULL);
    note_signer_release(&other);
}

/* Each changed bit of a note with one signature is refused; with a second good signature, what
 * is changed in the first makes it unknown at best. */
static void changed_notes_are_refused(void **state)
{
    (void)state;
    struct note note;
    uint8_t bytes[512];
    struct slice signed_bytes = signed_note(signers, 1);
    size_t length = signed_bytes.length;
    assert_true(length <= sizeof bytes);
    memcpy(bytes, signed_bytes.data, length);
    for (size_t bit = 0; bit < 8 * length; bit++) {
        struct error err = ERROR_INIT;
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        enum status status = note_open(slice_of(bytes, length), trust_first(3), &note, &err);
        assert_true(status == STATUS_UNAUTHENTICATED || status == STATUS_INVALID_ARGUMENT);
        assert_int_equal(err.status, status);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t cut = 0; cut < length; cut++) {
        assert_status(note_open(slice_of(bytes, cut), trust_first(3), &note, NULL),
                      STATUS_INVALID_ARGUMENT, NULL);
    }
    assert_ok(note_open(slice_of(bytes, length), trust_first(3), &note, NULL), NULL);
}

/* A trusted key's signature that does not fit spoils the note, whoever else signed. */
static void bad_signatures_of_known_keys_spoil(void **state)
{
    (void)state;
    struct note note;
    struct error err = ERROR_INIT;
    struct note_signer forged[2] = {signers[0], signers[1]};
    forged[1].secret[0] ^= 1; /* signs with another key than it says */
    struct slice bytes = signed_note(forged, 2);
    assert_status(note_open(bytes, trust_first(2), &note, &err), STATUS_UNAUTHENTICATED, &err);
    assert_non_null(strstr(err.text, "does not fit"));
    assert_ok(note_open(bytes, trust_first(1), &note, &err), &err);
}

static enum status open_text(const char *first, const char *second)
{
    static char text[4096];
    struct note note;
    int length = snprintf(text, sizeof text, "%s%s", first, second);
    assert_true(length >= 0 && (size_t)length < sizeof text);
    return note_open(slice_of(text, (size_t)length), trust_first(3), &note, NULL);
}

/* Lines that are almost signatures make a note malformed; signatures of kinds and keys that
 * nobody here knows are passed over. */
static void hostile_lines_are_malformed(void **state)
{
    (void)state;
    char good[512];
    struct slice bytes = signed_note(signers, 1);
    memcpy(good, bytes.data, bytes.length);
    good[bytes.length] = '\0';
    assert_ok(open_text(good, ""), NULL);
    assert_ok(open_text(good, "\xe2\x80\x94 other AAAAAAE=\n"), NULL);
    assert_ok(open_text(good, "\xe2\x80\x94 " ORIGIN " AAAAAAE=\n"), NULL);
    static const char *const bad[] = {
        "\n",
        "x\n",
        "\xe2\x80\x94\n",
        "\xe2\x80\x94 \n",
        "\xe2\x80\x94 name\n",
        "\xe2\x80\x94 name \n",
        "\xe2\x80\x94 name AAAAAA==\n",
        "\xe2\x80\x94 name AAAAAAE\n",
        "\xe2\x80\x94 name AAAAAAF=\n",
        "\xe2\x80\x94 name AAAAAAE= \n",
        "\xe2\x80\x94  AAAAAAE=\n",
        "\xe2\x80\x94 na+me AAAAAAE=\n",
        "\xe2\x80\x94 na\xc2\xa0me AAAAAAE=\n",
        "\xe2\x80\x94 na\xffme AAAAAAE=\n",
        "\xe2\x80\x94 na\tme AAAAAAE=\n",
        "\xe2\x80\x93 name AAAAAAE=\n",
        "- name AAAAAAE=\n",
        "\xe2\x80\x94 name AAAAAAE=",
        "\xe2\x80\x94 name AAAAAAE=\r\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_status(open_text(good, bad[i]), STATUS_INVALID_ARGUMENT, NULL);
    }
    assert_status(open_text("", ""), STATUS_INVALID_ARGUMENT, NULL);
    assert_status(open_text("\n", ""), STATUS_INVALID_ARGUMENT, NULL);
    assert_status(open_text("\n\n", ""), STATUS_INVALID_ARGUMENT, NULL);
    assert_status(open_text("\n\n\n", ""), STATUS_INVALID_ARGUMENT, NULL);
    assert_status(open_text(TEXT, ""), STATUS_INVALID_ARGUMENT, NULL);
    assert_status(open_text(strchr(good, '\n'), ""), STATUS_UNAUTHENTICATED, NULL);
}

/* A note may carry many signatures, but not any number, and not any size. */
static void notes_are_bounded(void **state)
{
    (void)state;
    struct note note;
    struct buf many;
    buf_init(&many, alloc_default(), 1 << 20);
    buf_append_slice(&many, signed_note(signers, 1));
    for (unsigned i = 1; i < NOTE_SIGNATURES_MAX; i++) {
        text_put(&many, "\xe2\x80\x94 other AAAAAAE=\n");
    }
    assert_ok(note_open(buf_slice(&many), trust_first(1), &note, NULL), NULL);
    text_put(&many, "\xe2\x80\x94 other AAAAAAE=\n");
    assert_status(note_open(buf_slice(&many), trust_first(1), &note, NULL), STATUS_INVALID_ARGUMENT,
                  NULL);

    buf_clear(&many);
    while (many.length <= NOTE_BYTES_MAX) {
        text_put(&many, "a line\n");
    }
    buf_clear(&out);
    assert_ok(note_sign(buf_slice(&many), signers, 1, &out, NULL), NULL);
    assert_status(note_open(buf_slice(&out), trust_first(1), &note, NULL), STATUS_INVALID_ARGUMENT,
                  NULL);

    /* A post-quantum signature of somebody else fits a line; a huge one does not. */
    static uint8_t huge[9000] = {1};
    for (size_t bytes = 5000; bytes <= 9000; bytes += 4000) {
        buf_clear(&many);
        buf_append_slice(&many, signed_note(signers, 1));
        text_put(&many, "\xe2\x80\x94 other ");
        base64_append(&many, slice_of(huge, bytes));
        text_put(&many, "\n");
        assert_int_equal(note_open(buf_slice(&many), trust_first(1), &note, NULL),
                         bytes == 5000 ? STATUS_OK : STATUS_INVALID_ARGUMENT);
    }
    buf_release(&many);
}

/* Text that no note can hold is not signed. */
static void unsuitable_text_is_not_signed(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "no newline",
                                      "tab\there\n",
                                      "\xff\n",
                                      "\xed\xa0\x80\n",
                                      "\xc0\x80\n",
                                      "\xf4\x90\x80\x80\n",
                                      "\xe0\x80\xaf\n",
                                      "\xf0\x80\x80\xaf\n",
                                      "cut \xe2\x80\n"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        buf_clear(&out);
        assert_status(note_sign(slice_of_string(bad[i]), signers, 1, &out, NULL),
                      STATUS_INVALID_ARGUMENT, NULL);
        assert_int_equal(out.length, 0);
    }
    struct buf small;
    buf_init(&small, alloc_default(), 40);
    assert_status(note_sign(slice_of_string(TEXT), signers, 1, &small, NULL),
                  STATUS_RESOURCE_EXHAUSTED, NULL);
    buf_release(&small);
}

/* Keys read back from their text, and other text is refused. */
static void keys_round_trip(void **state)
{
    (void)state;
    char text[NOTE_VERIFIER_TEXT_BYTES_MAX];
    char secret[NOTE_SIGNER_TEXT_BYTES_MAX];
    struct note_verifier verifier;
    struct note_signer signer;
    struct error err = ERROR_INIT;
    size_t length = note_verifier_format(&verifiers[1], text);
    assert_int_equal(length, strlen(text));
    assert_ok(note_verifier_parse(slice_of(text, length), &verifier, &err), &err);
    assert_string_equal(verifier.name, ORIGIN);
    assert_int_equal(verifier.id, verifiers[1].id);
    assert_memory_equal(verifier.public_key, verifiers[1].public_key, NOTE_PUBLIC_KEY_BYTES);
    size_t secret_length = note_signer_format(&signers[1], secret);
    assert_ok(note_signer_parse(slice_of(secret, secret_length), &signer, &err), &err);
    assert_memory_equal(signer.secret, signers[1].secret, sizeof signer.secret);
    assert_string_equal(signer.verifier.name, ORIGIN);
    note_signer_release(&signer);

    assert_status(note_verifier_parse(slice_of(secret, secret_length), &verifier, &err),
                  STATUS_INVALID_ARGUMENT, &err);
    assert_status(note_signer_parse(slice_of(text, length), &signer, &err), STATUS_INVALID_ARGUMENT,
                  &err);
    for (size_t bit = 0; bit < 8 * length; bit++) {
        text[bit / 8] = (char)(text[bit / 8] ^ (1 << bit % 8));
        assert_status(note_verifier_parse(slice_of(text, length), &verifier, &err),
                      STATUS_INVALID_ARGUMENT, &err);
        text[bit / 8] = (char)(text[bit / 8] ^ (1 << bit % 8));
    }
    for (size_t cut = 0; cut < length; cut++) {
        assert_status(note_verifier_parse(slice_of(text, cut), &verifier, &err),
                      STATUS_INVALID_ARGUMENT, &err);
    }
    for (size_t bit = 0; bit < 8 * secret_length; bit++) {
        secret[bit / 8] = (char)(secret[bit / 8] ^ (1 << bit % 8));
        assert_status(note_signer_parse(slice_of(secret, secret_length), &signer, &err),
                      STATUS_INVALID_ARGUMENT, &err);
        secret[bit / 8] = (char)(secret[bit / 8] ^ (1 << bit % 8));
    }
    char longest[NOTE_KEY_NAME_BYTES_MAX + 2];
    memset(longest, 'n', sizeof longest);
    const uint8_t *key = verifiers[0].public_key;
    assert_ok(note_verifier_init(&verifier, slice_of(longest, NOTE_KEY_NAME_BYTES_MAX), key, &err),
              &err);
    length = note_verifier_format(&verifier, text);
    assert_ok(note_verifier_parse(slice_of(text, length), &verifier, &err), &err);
    assert_status(
        note_verifier_init(&verifier, slice_of(longest, NOTE_KEY_NAME_BYTES_MAX + 1), key, &err),
        STATUS_INVALID_ARGUMENT, &err);
}

/* The example in the specification of signed notes, whose key is published in Go's documentation
 * of the format, is ours to read. */
static void notes_of_others_verify(void **state)
{
    (void)state;
    static const char key[] = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    static const char note_text[] =
        "If you think cryptography is the answer to your problem,\n"
        "then you don't know what your problem is.\n"
        "\n"
        "\xe2\x80\x94 PeterNeumann "
        "x08go/ZJkuBS9UG/"
        "SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM"
        "=\n";
    struct note_verifier verifier;
    struct note note;
    struct error err = ERROR_INIT;
    assert_ok(note_verifier_parse(slice_of_string(key), &verifier, &err), &err);
    struct note_trust trust = {.verifiers = &verifier, .count = 1};
    assert_ok(note_open(slice_of_string(note_text), trust, &note, &err), &err);
    assert_int_equal(note.signed_count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_of_one_name_are_told_apart),
        cmocka_unit_test(repeated_signatures_count_once),
        cmocka_unit_test(names_are_part_of_keys),
        cmocka_unit_test(changed_notes_are_refused),
        cmocka_unit_test(bad_signatures_of_known_keys_spoil),
        cmocka_unit_test(hostile_lines_are_malformed),
        cmocka_unit_test(notes_are_bounded),
        cmocka_unit_test(unsuitable_text_is_not_signed),
        cmocka_unit_test(keys_round_trip),
        cmocka_unit_test(notes_of_others_verify),
    };
    return cmocka_run_group_tests_name("merkle.note", tests, set_up, tear_down);
}
