/* SPDX-License-Identifier: Apache-2.0 */
#include "model.h"

#include "merkle/proof_file.h"
#include "testlib/fail_alloc.h"

#define ORIGIN "example.com/estreat"
#define LOG_SIZE 300U
#define POSITION 123U

static struct model model;
static struct hash *leaves;
static struct store *store;
static struct hash_source source;
static struct note_signer signer;
static struct note_trust trust;
static struct buf checkpoint;
static struct buf out;
static struct inclusion_file sample;

static const uint8_t salt[SALT_BYTES] = {9, 8, 7};
static const char payload[] = "a payload\0with a zero";

static void sign_head(uint64_t size)
{
    struct tree_head head = {.origin = slice_of_string(ORIGIN), .size = size};
    assert_ok(proof_root(&source, &model.hasher, size, &head.root, NULL), NULL);
    buf_clear(&checkpoint);
    assert_ok(tree_head_sign(&head, &signer, 1, &checkpoint, NULL), NULL);
}

static struct inclusion_file inclusion(void)
{
    struct inclusion_file file = sample;
    assert_ok(proof_inclusion(&source, &model.hasher, POSITION, LOG_SIZE, &file.path, NULL), NULL);
    sign_head(LOG_SIZE);
    file.checkpoint = buf_slice(&checkpoint);
    return file;
}

static struct consistency_file consistency(uint64_t old_size, uint64_t new_size, uint64_t head_size)
{
    struct hasher *hasher = &model.hasher;
    struct consistency_file file = {
        .old_size = old_size, .new_size = new_size, .has_head_path = head_size != new_size};
    assert_ok(proof_root(&source, hasher, old_size, &file.old_root, NULL), NULL);
    assert_ok(proof_root(&source, hasher, new_size, &file.new_root, NULL), NULL);
    assert_ok(proof_consistency(&source, hasher, old_size, new_size, &file.path, NULL), NULL);
    assert_ok(proof_consistency(&source, hasher, new_size, head_size, &file.path_to_head, NULL),
              NULL);
    sign_head(head_size);
    file.checkpoint = buf_slice(&checkpoint);
    return file;
}

static int set_up(void **state)
{
    (void)state;
    const uint8_t seed[NOTE_SEED_BYTES] = {1};
    if (hasher_init(&model.hasher, NULL) != STATUS_OK ||
        note_signer_init(&signer, slice_of_string(ORIGIN), seed, NULL) != STATUS_OK) {
        return -1;
    }
    trust = (struct note_trust){.verifiers = &signer.verifier, .count = 1};
    buf_init(&checkpoint, alloc_default(), NOTE_BYTES_MAX);
    buf_init(&out, alloc_default(), PROOF_FILE_BYTES_MAX);
    sample = (struct inclusion_file){.event = {.position = POSITION,
                                               .time_ns = 1,
                                               .version = 2,
                                               .kind = EVENT_KIND_CREATE,
                                               .severity = 4,
                                               .payload_length = sizeof payload,
                                               .key = slice_of_string("k"),
                                               .type = slice_of_string("t")},
                                     .has_payload = true,
                                     .salt = slice_of(salt, sizeof salt),
                                     .payload = slice_of(payload, sizeof payload)};
    sample.event.payload_hash = hash_payload(&model.hasher, sample.salt, sample.payload);
    leaves = model_leaves(&model.hasher, LOG_SIZE);
    leaves[POSITION] = event_leaf_hash(&model.hasher, &sample.event);
    model.leaves = leaves;
    store = store_new();
    source = store_source(store);
    for (unsigned i = 0; i < LOG_SIZE; i++) {
        store_append(store, &model.hasher, &leaves[i]);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    store_free(store);
    free(leaves);
    buf_release(&out);
    buf_release(&checkpoint);
    note_signer_release(&signer);
    hasher_release(&model.hasher);
    return 0;
}

static enum status verify(struct slice text, struct error *err)
{
    struct proof_verdict verdict;
    enum status status =
        proof_file_verify(text, trust, &model.hasher, alloc_default(), &verdict, err);
    if (status == STATUS_OK) {
        proof_verdict_release(&verdict);
    }
    return status;
}

static struct slice write_inclusion(const struct inclusion_file *file)
{
    buf_clear(&out);
    assert_ok(proof_file_format_inclusion(file, &out, NULL), NULL);
    return buf_slice(&out);
}

static struct slice write_consistency(const struct consistency_file *file)
{
    buf_clear(&out);
    assert_ok(proof_file_format_consistency(file, &out, NULL), NULL);
    return buf_slice(&out);
}

/* An inclusion file that was written verifies, and gives the event back. */
static void inclusion_files_verify(void **state)
{
    (void)state;
    struct inclusion_file file = inclusion();
    struct proof_verdict verdict;
    struct error err = ERROR_INIT;
    assert_ok(proof_file_verify(write_inclusion(&file), trust, &model.hasher, alloc_default(),
                                &verdict, &err),
              &err);
    const struct inclusion_file *proved = &verdict.file.inclusion;
    assert_int_equal(verdict.file.kind, PROOF_FILE_INCLUSION);
    assert_int_equal(verdict.head.size, LOG_SIZE);
    assert_true(slice_equal(verdict.head.origin, slice_of_string(ORIGIN)));
    struct hash root = model_mth(&model, 0, LOG_SIZE);
    assert_true(hash_equal(&verdict.head.root, &root));
    assert_int_equal(proved->event.position, POSITION);
    assert_true(slice_equal(proved->event.key, sample.event.key));
    assert_true(slice_equal(proved->event.type, sample.event.type));
    assert_true(proved->has_payload && slice_equal(proved->payload, sample.payload));
    proof_verdict_release(&verdict);
}

/* Each flipped bit of an inclusion file is refused: as no proof file if it is in the first line,
 * else as damage or for its signature. */
static void flipped_bits_of_inclusion_are_refused(void **state)
{
    (void)state;
    struct inclusion_file file = inclusion();
    struct slice text = write_inclusion(&file);
    size_t first_line = strlen("c2sp.org/tlog-proof@v1\n");
    for (size_t bit = 0; bit < 8 * text.length; bit++) {
        struct error err = ERROR_INIT;
        out.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        enum status status = verify(text, &err);
        if (bit / 8 < first_line) {
            assert_status(status, STATUS_INVALID_ARGUMENT, &err);
        } else {
            assert_true(status == STATUS_DATA_LOSS || status == STATUS_UNAUTHENTICATED);
        }
        assert_true(err.status == status && err.text[0] != '\0');
        out.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_ok(verify(text, NULL), NULL);
    for (size_t cut = first_line; cut < text.length; cut++) {
        assert_status(verify(slice_of(text.data, cut), NULL), STATUS_DATA_LOSS, NULL);
    }
}

static void refused_for(struct slice text, enum status wanted, const char *reason)
{
    struct error err = ERROR_INIT;
    assert_status(verify(text, &err), wanted, &err);
    if (strstr(err.text, reason) == NULL) {
        print_error("reason \"%s\" lacks \"%s\"\n", err.text, reason);
    }
    assert_non_null(strstr(err.text, reason));
    assert_null(strchr(err.text, '\n'));
}

/* What does not fit is named: payload, header, path, index, signature. */
static void refusals_name_their_reason(void **state)
{
    (void)state;
    struct inclusion_file file = inclusion();
    file.payload = slice_of("A payload\0with a zero", sizeof payload);
    refused_for(write_inclusion(&file), STATUS_DATA_LOSS, "payload is not the one");
    file = inclusion();
    file.payload.length--;
    refused_for(write_inclusion(&file), STATUS_DATA_LOSS, "payload has 21 bytes");
    file = inclusion();
    file.salt.length = 0;
    refused_for(write_inclusion(&file), STATUS_DATA_LOSS, "payload is not the one");
    file = inclusion();
    file.event.time_ns++;
    refused_for(write_inclusion(&file), STATUS_DATA_LOSS, "does not lead to the root");
    file = inclusion();
    file.event.position = LOG_SIZE;
    refused_for(write_inclusion(&file), STATUS_DATA_LOSS, "not in a log of size");
    file = inclusion();
    file.path.count--;
    refused_for(write_inclusion(&file), STATUS_DATA_LOSS, "path is too short");
    file = inclusion();
    file.path.hashes[file.path.count++] = leaves[0];
    refused_for(write_inclusion(&file), STATUS_DATA_LOSS, "path is too long");
    file = inclusion();
    file.path.hashes[0].bytes[0] ^= 1;
    refused_for(write_inclusion(&file), STATUS_DATA_LOSS, "does not lead to the root");
    file = inclusion();
    write_inclusion(&file);
    uint8_t *index = memmem(out.data, out.length, "index 123", 9);
    assert_non_null(index);
    index[8] = '4';
    refused_for(buf_slice(&out), STATUS_DATA_LOSS, "index is not the position");
    file = inclusion();
    checkpoint.data[strlen(ORIGIN) + 1] = '4';
    refused_for(write_inclusion(&file), STATUS_UNAUTHENTICATED, "signature of " ORIGIN);

    struct note_signer stranger;
    const uint8_t seed[NOTE_SEED_BYTES] = {2};
    assert_ok(note_signer_init(&stranger, slice_of_string(ORIGIN), seed, NULL), NULL);
    file = inclusion();
    trust.verifiers = &stranger.verifier;
    refused_for(write_inclusion(&file), STATUS_UNAUTHENTICATED, "no trusted key");
    trust.count = 0;
    refused_for(buf_slice(&out), STATUS_UNKNOWN, "no trusted keys");
    trust = (struct note_trust){.verifiers = &signer.verifier, .count = 1};
    refused_for(slice_of_string("{\"a\": 1}\n"), STATUS_INVALID_ARGUMENT, "not a proof file");
    refused_for(slice_of("", 0), STATUS_INVALID_ARGUMENT, "not a proof file");
}

/* An event whose payload was erased is proved by its header. */
static void erased_payloads_leave_the_header(void **state)
{
    (void)state;
    struct inclusion_file file = inclusion();
    file.has_payload = false;
    struct proof_verdict verdict;
    assert_ok(proof_file_verify(write_inclusion(&file), trust, &model.hasher, alloc_default(),
                                &verdict, NULL),
              NULL);
    assert_false(verdict.file.inclusion.has_payload);
    assert_int_equal(verdict.file.inclusion.payload.length, 0);
    proof_verdict_release(&verdict);
    file.event.version++;
    refused_for(write_inclusion(&file), STATUS_DATA_LOSS, "does not lead to the root");

    /* A flag that nobody knows could change what the bytes mean: "AQBH" is 1, 0, 71 and
     * "AQJH" 1, 2, 71. */
    file = inclusion();
    file.has_payload = false;
    write_inclusion(&file);
    uint8_t *event = memmem(out.data, out.length, "extra AQ", 8);
    assert_non_null(event);
    assert_memory_equal(event + 8, "BH", 2);
    event[8] = 'J';
    refused_for(buf_slice(&out), STATUS_DATA_LOSS, "unknown format");
}

/* Writes an "x" on the empty line before the checkpoint. */
static struct slice spoil_empty_line(void)
{
    CHECK(buf_extend(&out, 1) != NULL);
    uint8_t *blank = memmem(out.data, out.length, "\n\n" ORIGIN, 2 + strlen(ORIGIN));
    CHECK(blank != NULL);
    memmove(blank + 2, blank + 1, (size_t)(out.data + out.length - blank) - 2);
    blank[1] = 'x';
    return buf_slice(&out);
}

/* The paths end with an empty line and with nothing else. */
static void other_lines_do_not_end_paths(void **state)
{
    (void)state;
    struct inclusion_file file = inclusion();
    write_inclusion(&file);
    refused_for(spoil_empty_line(), STATUS_DATA_LOSS, "no list of hashes");
    struct consistency_file other = consistency(100, 256, 300);
    write_consistency(&other);
    refused_for(spoil_empty_line(), STATUS_DATA_LOSS, "no list of hashes");
}

/* The largest event fits a proof file. */
static void largest_events_fit(void **state)
{
    (void)state;
    uint8_t *large = calloc(1, PAYLOAD_BYTES_MAX);
    CHECK(large != NULL);
    static uint8_t names[KEY_BYTES_MAX];
    struct inclusion_file file = sample;
    file.payload = slice_of(large, PAYLOAD_BYTES_MAX);
    file.event.payload_length = PAYLOAD_BYTES_MAX;
    file.event.key = slice_of(names, KEY_BYTES_MAX);
    file.event.type = slice_of(names, TYPE_BYTES_MAX);
    file.event.event_id = slice_of(names, EVENT_ID_BYTES_MAX);
    file.event.payload_hash = hash_payload(&model.hasher, file.salt, file.payload);
    file.event.position = 0;
    struct tree_head head = {.origin = slice_of_string(ORIGIN),
                             .size = 1,
                             .root = event_leaf_hash(&model.hasher, &file.event)};
    buf_clear(&checkpoint);
    assert_ok(tree_head_sign(&head, &signer, 1, &checkpoint, NULL), NULL);
    file.checkpoint = buf_slice(&checkpoint);
    struct error err = ERROR_INIT;
    assert_ok(verify(write_inclusion(&file), &err), &err);
    file.payload.length++;
    buf_clear(&out);
    assert_status(proof_file_format_inclusion(&file, &out, &err), STATUS_INVALID_ARGUMENT, &err);
    free(large);
}

/* Consistency files verify, whether the signed head is of the new size or further on. */
static void consistency_files_verify(void **state)
{
    (void)state;
    static const uint64_t sizes[][3] = {{1, 1, 1},       {1, 1, 300},     {1, 2, 300},
                                        {255, 256, 257}, {123, 300, 300}, {300, 300, 300},
                                        {256, 299, 300}, {7, 7, 8}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct consistency_file file = consistency(sizes[i][0], sizes[i][1], sizes[i][2]);
        struct proof_verdict verdict;
        struct error err = ERROR_INIT;
        assert_ok(proof_file_verify(write_consistency(&file), trust, &model.hasher, alloc_default(),
                                    &verdict, &err),
                  &err);
        const struct consistency_file *proved = &verdict.file.consistency;
        assert_int_equal(verdict.file.kind, PROOF_FILE_CONSISTENCY);
        assert_true(proved->old_size == sizes[i][0] && proved->new_size == sizes[i][1] &&
                    verdict.head.size == sizes[i][2]);
        assert_true(hash_equal(&proved->old_root, &file.old_root) &&
                    hash_equal(&proved->new_root, &file.new_root));
        proof_verdict_release(&verdict);
    }
}

/* Each flipped bit of a consistency file is refused. */
static void flipped_bits_of_consistency_are_refused(void **state)
{
    (void)state;
    struct consistency_file file = consistency(100, 256, 300);
    struct slice text = write_consistency(&file);
    size_t first_line = strlen("estreat/consistency-proof@v1\n");
    for (size_t bit = 0; bit < 8 * text.length; bit++) {
        struct error err = ERROR_INIT;
        out.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        enum status status = verify(text, &err);
        if (bit / 8 < first_line) {
            assert_status(status, STATUS_INVALID_ARGUMENT, &err);
        } else {
            assert_true(status == STATUS_DATA_LOSS || status == STATUS_UNAUTHENTICATED);
        }
        out.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t cut = first_line; cut < text.length; cut++) {
        assert_status(verify(slice_of(text.data, cut), NULL), STATUS_DATA_LOSS, NULL);
    }
}

/* The new size must be connected to the signed one, exactly. */
static void unconnected_heads_are_refused(void **state)
{
    (void)state;
    struct consistency_file file = consistency(100, 256, 300);
    file.has_head_path = false;
    refused_for(write_consistency(&file), STATUS_DATA_LOSS, "not connected to the signed size");
    file = consistency(100, 300, 300);
    file.has_head_path = true;
    refused_for(write_consistency(&file), STATUS_DATA_LOSS, "not connected to the signed size");
    file = consistency(100, 256, 300);
    sign_head(200);
    file.checkpoint = buf_slice(&checkpoint);
    refused_for(write_consistency(&file), STATUS_DATA_LOSS, "not before size");
    file = consistency(100, 256, 300);
    file.old_size = 0;
    refused_for(write_consistency(&file), STATUS_DATA_LOSS, "proves nothing");
}

/* Whichever allocation fails, the answer is RESOURCE_EXHAUSTED and nothing leaks. */
static void failed_allocations_are_reported(void **state)
{
    (void)state;
    struct inclusion_file file = inclusion();
    struct slice text = write_inclusion(&file);
    struct fail_alloc fail;
    fail_alloc_init(&fail);
    for (uint64_t n = 0;; n++) {
        struct proof_verdict verdict;
        fail_alloc_arm(&fail, n);
        enum status status =
            proof_file_verify(text, trust, &model.hasher, &fail.alloc, &verdict, NULL);
        if (!fail_alloc_hit(&fail)) {
            assert_ok(status, NULL);
            proof_verdict_release(&verdict);
            assert_true(n > 0);
            break;
        }
        assert_status(status, STATUS_RESOURCE_EXHAUSTED, NULL);
        assert_int_equal(fail_alloc_blocks(&fail), 0);
    }
    for (uint64_t n = 0;; n++) {
        struct buf written;
        fail_alloc_arm(&fail, n);
        buf_init(&written, &fail.alloc, PROOF_FILE_BYTES_MAX);
        enum status status = proof_file_format_inclusion(&file, &written, NULL);
        bool hit = fail_alloc_hit(&fail);
        assert_status(status, hit ? STATUS_RESOURCE_EXHAUSTED : STATUS_OK, NULL);
        buf_release(&written);
        assert_int_equal(fail_alloc_blocks(&fail), 0);
        if (!hit) {
            break;
        }
    }
    fail_alloc_release(&fail);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inclusion_files_verify),
        cmocka_unit_test(flipped_bits_of_inclusion_are_refused),
        cmocka_unit_test(refusals_name_their_reason),
        cmocka_unit_test(erased_payloads_leave_the_header),
        cmocka_unit_test(other_lines_do_not_end_paths),
        cmocka_unit_test(largest_events_fit),
        cmocka_unit_test(consistency_files_verify),
        cmocka_unit_test(flipped_bits_of_consistency_are_refused),
        cmocka_unit_test(unconnected_heads_are_refused),
        cmocka_unit_test(failed_allocations_are_reported),
    };
    return cmocka_run_group_tests_name("merkle.proof_file", tests, set_up, tear_down);
}
