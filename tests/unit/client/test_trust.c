/* SPDX-License-Identifier: Apache-2.0 */
#include "client/trust.h"

#include "merkle/proof_file.h"
#include "testlib/test.h"

static void make_key(const char *name, uint8_t seed_byte, struct note_signer *signer,
                     char text[NOTE_VERIFIER_TEXT_BYTES_MAX])
{
    struct error err = ERROR_INIT;
    uint8_t seed[NOTE_SEED_BYTES];
    memset(seed, seed_byte, sizeof seed);
    assert_ok(note_signer_init(signer, slice_of_string(name), seed, &err), &err);
    (void)note_verifier_format(&signer->verifier, text);
}

/* Keys, comments, empty lines, spaces and CRs; the last line may lack its newline. */
static void test_file(void **state)
{
    char a[NOTE_VERIFIER_TEXT_BYTES_MAX];
    char b[NOTE_VERIFIER_TEXT_BYTES_MAX];
    char text[2048];
    struct note_signer signer;
    struct estreat_trust *trust;
    struct estreat_error error;
    (void)state;
    make_key("log", 1, &signer, a);
    make_key("log", 2, &signer, b);
    int length = snprintf(text, sizeof text, "# the log's keys\n\n  %s \r\n\t\n%s", a, b);
    assert_int_equal(estreat_trust_parse(text, (size_t)length, &trust, &error), ESTREAT_OK);
    assert_int_equal(trust->count, 2);
    assert_string_equal(trust->verifiers[1].name, "log");
    assert_int_equal(trust->verifiers[1].id, signer.verifier.id);
    estreat_trust_free(trust);
}

/* A line that is no key is named; a file without keys is refused. */
static void test_bad_files(void **state)
{
    char key[NOTE_VERIFIER_TEXT_BYTES_MAX];
    char text[2048];
    struct note_signer signer;
    struct estreat_trust *trust = NULL;
    struct estreat_error error;
    (void)state;
    make_key("log", 1, &signer, key);
    int length = snprintf(text, sizeof text, "%s\n\nlog+12345678+nonsense\n", key);
    assert_int_equal(estreat_trust_parse(text, (size_t)length, &trust, &error),
                     ESTREAT_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "line 3"));
    assert_int_equal(estreat_trust_parse("# none\n", 7, &trust, &error), ESTREAT_INVALID_ARGUMENT);
    assert_int_equal(estreat_trust_parse("", 0, &trust, &error), ESTREAT_INVALID_ARGUMENT);
    assert_null(trust);
}

/* A log of one event: its header's leaf is the root. */
static size_t make_proof(const struct note_signer *signer, char *out, size_t size)
{
    struct error err = ERROR_INIT;
    struct hasher hasher;
    struct buf checkpoint;
    struct buf text;
    assert_ok(hasher_init(&hasher, &err), &err);
    buf_init(&checkpoint, alloc_default(), NOTE_BYTES_MAX);
    buf_init(&text, alloc_default(), PROOF_FILE_BYTES_MAX);
    struct inclusion_file file = {.has_payload = true, .payload = slice_of_string("opened")};
    file.event = (struct event_header){
        .time_ns = 12345,
        .kind = EVENT_KIND_CREATE,
        .payload_length = 6,
        .payload_hash = hash_payload(&hasher, slice_of(NULL, 0), file.payload),
        .key = slice_of_string("account-7"),
        .type = slice_of_string("note"),
    };
    const struct tree_head head = {
        .origin = slice_of_string("log"), .size = 1, .root = event_leaf_hash(&hasher, &file.event)};
    assert_ok(tree_head_sign(&head, signer, 1, &checkpoint, &err), &err);
    file.checkpoint = buf_slice(&checkpoint);
    assert_ok(proof_file_format_inclusion(&file, &text, &err), &err);
    assert_true(text.length < size);
    memcpy(out, text.data, text.length);
    size_t length = text.length;
    buf_release(&text);
    buf_release(&checkpoint);
    hasher_release(&hasher);
    return length;
}

/* A proof counts if a trusted key signed it; not without keys, nor under another's, nor changed. */
static void test_verify(void **state)
{
    static char proof[8192];
    char key[NOTE_VERIFIER_TEXT_BYTES_MAX];
    char other_key[NOTE_VERIFIER_TEXT_BYTES_MAX];
    struct note_signer signer;
    struct note_signer other;
    struct estreat_trust *trust;
    struct estreat_trust *other_trust;
    struct estreat_error error;
    struct estreat_verified verified;
    struct estreat_got *got;
    (void)state;
    make_key("log", 1, &signer, key);
    make_key("log", 2, &other, other_key);
    assert_int_equal(estreat_trust_parse(key, strlen(key), &trust, &error), ESTREAT_OK);
    assert_int_equal(estreat_trust_parse(other_key, strlen(other_key), &other_trust, &error),
                     ESTREAT_OK);
    size_t length = make_proof(&signer, proof, sizeof proof);

    assert_int_equal(estreat_verify(trust, proof, length, &verified, &got, &error), ESTREAT_OK);
    assert_int_equal(verified.kind, ESTREAT_PROOF_INCLUSION);
    assert_int_equal(verified.size, 1);
    assert_int_equal(verified.position, 0);
    const struct estreat_event *event = estreat_got_event(got);
    assert_memory_equal(event->key.data, "account-7", 9);
    assert_memory_equal(event->payload.data, "opened", 6);
    assert_string_equal(event->type, "note");
    assert_int_equal(event->time_ns, 12345);
    estreat_got_free(got);
    assert_int_equal(estreat_verify(trust, proof, length, &verified, NULL, &error), ESTREAT_OK);

    assert_int_equal(estreat_verify(NULL, proof, length, &verified, NULL, &error), ESTREAT_UNKNOWN);
    assert_int_equal(estreat_verify(other_trust, proof, length, &verified, NULL, &error),
                     ESTREAT_UNAUTHENTICATED);
    assert_int_equal(estreat_verify(trust, "no proof", 8, &verified, NULL, &error),
                     ESTREAT_INVALID_ARGUMENT);
    char *extra = strstr(proof, "extra ");
    assert_non_null(extra);
    extra[20] = extra[20] == 'A' ? 'B' : 'A';
    assert_int_not_equal(estreat_verify(trust, proof, length, &verified, NULL, &error), ESTREAT_OK);
    estreat_trust_free(trust);
    estreat_trust_free(other_trust);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_verify),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
