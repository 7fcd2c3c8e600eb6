/* SPDX-License-Identifier: Apache-2.0
 *
 * The values of merkle/FORMAT.md: what the code makes is what the document
 * promises to other languages. check_format.py checks the document from the
 * other side.
 */
#include "model.h"

#include "base/fs.h"
#include "base/limits.h"
#include "merkle/proof_file.h"

#define ORIGIN "example.com/estreat"
#define DOCUMENT_BYTES_MAX (64 * KIB)

static struct model model;
static char document[DOCUMENT_BYTES_MAX + 1];

static int set_up(void **state)
{
    (void)state;
    char path[PATH_BYTES_MAX];
    FILE *file = fopen(test_source_path(path, "merkle/FORMAT.md"), "rb");
    if (file == NULL || hasher_init(&model.hasher, NULL) != STATUS_OK) {
        return -1;
    }
    size_t length = fread(document, 1, DOCUMENT_BYTES_MAX, file);
    document[length] = '\0';
    (void)fclose(file);
    return length > 0 && length < DOCUMENT_BYTES_MAX ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    hasher_release(&model.hasher);
    return 0;
}

/* The text of "name = ..." up to the end of its line. */
static struct slice value_text(const char *name)
{
    char start[64];
    (void)snprintf(start, sizeof start, "\n%s =", name);
    const char *at = strstr(document, start);
    if (at == NULL) {
        print_error("FORMAT.md has no value %s\n", name);
    }
    CHECK(at != NULL);
    assert_null(strstr(at + 1, start)); /* it stands once */
    at += strlen(start);
    at += strspn(at, " ");
    return slice_of(at, strcspn(at, "\n"));
}

static unsigned hex_digit(uint8_t c)
{
    assert_true((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'));
    return c <= '9' ? c - (unsigned)'0' : c - (unsigned)'a' + 10;
}

/* The bytes of a hexadecimal value; the next call but three overwrites them. */
static struct slice value(const char *name)
{
    static uint8_t bytes[4][1024];
    static unsigned turn;
    uint8_t *out = bytes[turn++ % 4];
    struct slice text = value_text(name);
    assert_true(text.length % 2 == 0 && text.length / 2 <= sizeof bytes[0]);
    for (size_t i = 0; i < text.length / 2; i++) {
        out[i] = (uint8_t)(hex_digit(text.data[2 * i]) << 4 | hex_digit(text.data[2 * i + 1]));
    }
    return slice_of(out, text.length / 2);
}

/* A quoted value is the text `wanted`. */
static void assert_text_value(const char *name, struct slice wanted)
{
    struct slice text = value_text(name);
    struct buf plain;
    buf_init(&plain, alloc_default(), DOCUMENT_BYTES_MAX);
    assert_true(text.length >= 2 && text.data[0] == '"' && text.data[text.length - 1] == '"');
    for (size_t i = 1; i < text.length - 1; i++) {
        bool newline = text.data[i] == '\\' && text.data[i + 1] == 'n';
        buf_put_u8(&plain, newline ? '\n' : text.data[i]);
        i += newline;
    }
    if (!slice_equal(buf_slice(&plain), wanted)) {
        print_error("%s is not\n%.*s\n", name, (int)wanted.length, (const char *)wanted.data);
    }
    assert_true(slice_equal(buf_slice(&plain), wanted));
    buf_release(&plain);
}

static void assert_value(const char *name, struct slice wanted)
{
    struct slice bytes = value(name);
    if (!slice_equal(bytes, wanted)) {
        print_error("%s differs\n", name);
    }
    assert_true(slice_equal(bytes, wanted));
}

static void assert_hash_value(const char *name, struct hash hash)
{
    assert_value(name, hash_slice(&hash));
}

static struct hash ct_leaf_hash(unsigned i)
{
    char name[16];
    (void)snprintf(name, sizeof name, "leaf%u", i);
    return hash_leaf(&model.hasher, value(name));
}

static struct event_header sample_event(void)
{
    struct slice payload = value("payload");
    return (struct event_header){.position = 5,
                                 .time_ns = 1700000000123456789,
                                 .version = 2,
                                 .kind = EVENT_KIND_UPDATE,
                                 .severity = 3,
                                 .payload_length = (uint32_t)payload.length,
                                 .payload_hash =
                                     hash_payload(&model.hasher, value("salt"), payload),
                                 .key = slice_of_string("user/42"),
                                 .type = slice_of_string("login"),
                                 .event_id = slice_of_string("e-1")};
}

/* Section 1: roots and payload hashes. */
static void hashes_are_as_documented(void **state)
{
    (void)state;
    struct range range;
    range_init(&range, 0);
    for (unsigned size = 0; size <= CT_LEAVES; size++) {
        char name[16];
        (void)snprintf(name, sizeof name, "root%u", size);
        assert_hash_value(name, range_root(&range, &model.hasher));
        if (size < CT_LEAVES) {
            (void)snprintf(name, sizeof name, "leaf%u", size);
            assert_value(name, ct_leaf(size));
            struct hash leaf = ct_leaf_hash(size);
            range_append(&range, &model.hasher, &leaf, NULL);
        }
    }
    assert_hash_value("payload_hash_unsalted",
                      hash_payload(&model.hasher, slice_of(NULL, 0), value("payload")));
    assert_hash_value("payload_hash_salted",
                      hash_payload(&model.hasher, value("salt"), value("payload")));
}

/* Section 2: event headers and their leaf hashes. */
static void event_headers_are_as_documented(void **state)
{
    (void)state;
    uint8_t bytes[EVENT_HEADER_BYTES_MAX];
    struct event_header header = sample_event();
    size_t length = event_header_encode(&header, bytes);
    assert_value("event_header", slice_of(bytes, length));
    assert_hash_value("event_leaf_hash", event_leaf_hash(&model.hasher, &header));
    struct slice none = slice_of(NULL, 0);
    header = (struct event_header){.position = UINT64_MAX,
                                   .time_ns = UINT64_C(1) << 63,
                                   .kind = EVENT_KIND_SYSTEM,
                                   .payload_hash = hash_payload(&model.hasher, none, none),
                                   .key = slice_of("", 1)};
    length = event_header_encode(&header, bytes);
    assert_value("system_header", slice_of(bytes, length));
    assert_hash_value("system_leaf_hash", event_leaf_hash(&model.hasher, &header));
}

/* Sections 3 and 4: tiles, compact ranges, log tree states. */
static void trees_are_as_documented(void **state)
{
    (void)state;
    struct store *store = store_new();
    struct hash *leaves = model_leaves(&model.hasher, 259);
    struct buf bytes;
    buf_init(&bytes, alloc_default(), LOG_TREE_STATE_BYTES_MAX);
    for (unsigned i = 0; i < 259; i++) {
        store_append(store, &model.hasher, &leaves[i]);
    }
    struct hash above;
    assert_hash_value("tile_sha256",
                      hash_bytes(&model.hasher, slice_of(store->full[0][0], TILE_BYTES_MAX)));
    assert_true(log_tree_read_edge(&store->tree, 1, 0, 1, &above));
    assert_hash_value("tile_root", above);
    log_tree_encode(&store->tree, &model.hasher, &bytes);
    assert_hash_value("state_259_sha256", hash_bytes(&model.hasher, buf_slice(&bytes)));

    struct range range;
    range_init(&range, 2);
    for (unsigned i = 2; i < 7; i++) {
        struct hash leaf = ct_leaf_hash(i);
        range_append(&range, &model.hasher, &leaf, NULL);
    }
    buf_clear(&bytes);
    range_encode(&range, &bytes);
    assert_value("range_2_7", buf_slice(&bytes));
    struct hash leaf = ct_leaf_hash(0);
    log_tree_init(&store->tree);
    assert_ok(log_tree_append(&store->tree, &model.hasher, &leaf, NULL, NULL), NULL);
    buf_clear(&bytes);
    log_tree_encode(&store->tree, &model.hasher, &bytes);
    assert_value("state_1", buf_slice(&bytes));
    buf_release(&bytes);
    free(leaves);
    store_free(store);
}

static void sign_head(struct store *store, const struct note_signer *signer, struct buf *out)
{
    struct tree_head head = {.origin = slice_of_string(ORIGIN),
                             .size = log_tree_size(&store->tree),
                             .root = log_tree_root(&store->tree, &model.hasher)};
    buf_clear(out);
    assert_ok(tree_head_sign(&head, signer, 1, out, NULL), NULL);
}

/* A log of the eight leaves, with the event in the place of number 5 if it is given. */
static struct store *sample_log(const struct event_header *event)
{
    struct store *store = store_new();
    for (unsigned i = 0; i < CT_LEAVES; i++) {
        struct hash leaf = ct_leaf_hash(i);
        if (event != NULL && i == event->position) {
            leaf = event_leaf_hash(&model.hasher, event);
        }
        store_append(store, &model.hasher, &leaf);
    }
    return store;
}

static struct note_signer sample_signer(void)
{
    struct note_signer signer;
    assert_ok(note_signer_init(&signer, slice_of_string(ORIGIN), value("seed").data, NULL), NULL);
    return signer;
}

/* Section 5: keys and checkpoints. */
static void tree_heads_are_as_documented(void **state)
{
    (void)state;
    struct note_signer signer = sample_signer();
    char text[NOTE_SIGNER_TEXT_BYTES_MAX];
    assert_value("public_key", slice_of(signer.verifier.public_key, NOTE_PUBLIC_KEY_BYTES));
    size_t length = note_verifier_format(&signer.verifier, text);
    assert_text_value("verifier_key", slice_of(text, length));
    length = note_signer_format(&signer, text);
    assert_text_value("signer_key", slice_of(text, length));
    struct store *store = sample_log(NULL);
    struct buf checkpoint;
    buf_init(&checkpoint, alloc_default(), NOTE_BYTES_MAX);
    sign_head(store, &signer, &checkpoint);
    assert_text_value("checkpoint", buf_slice(&checkpoint));
    buf_release(&checkpoint);
    store_free(store);
    note_signer_release(&signer);
}

/* Section 6: proof files. */
static void proof_files_are_as_documented(void **state)
{
    (void)state;
    struct hasher *hasher = &model.hasher;
    struct note_signer signer = sample_signer();
    struct event_header event = sample_event();
    struct store *store = sample_log(&event);
    struct hash_source source = store_source(store);
    struct buf checkpoint;
    struct buf text;
    buf_init(&checkpoint, alloc_default(), NOTE_BYTES_MAX);
    buf_init(&text, alloc_default(), PROOF_FILE_BYTES_MAX);
    sign_head(store, &signer, &checkpoint);

    struct inclusion_file inclusion = {.event = event,
                                       .has_payload = true,
                                       .salt = value("salt"),
                                       .payload = value("payload"),
                                       .checkpoint = buf_slice(&checkpoint)};
    assert_ok(proof_inclusion(&source, hasher, 5, 8, &inclusion.path, NULL), NULL);
    assert_ok(proof_file_format_inclusion(&inclusion, &text, NULL), NULL);
    assert_text_value("inclusion_file", buf_slice(&text));

    struct consistency_file consistency = {
        .old_size = 3, .new_size = 6, .has_head_path = true, .checkpoint = buf_slice(&checkpoint)};
    assert_ok(proof_root(&source, hasher, 3, &consistency.old_root, NULL), NULL);
    assert_ok(proof_root(&source, hasher, 6, &consistency.new_root, NULL), NULL);
    assert_ok(proof_consistency(&source, hasher, 3, 6, &consistency.path, NULL), NULL);
    assert_ok(proof_consistency(&source, hasher, 6, 8, &consistency.path_to_head, NULL), NULL);
    buf_clear(&text);
    assert_ok(proof_file_format_consistency(&consistency, &text, NULL), NULL);
    assert_text_value("consistency_file", buf_slice(&text));

    buf_release(&text);
    buf_release(&checkpoint);
    store_free(store);
    note_signer_release(&signer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_are_as_documented),
        cmocka_unit_test(event_headers_are_as_documented),
        cmocka_unit_test(trees_are_as_documented),
        cmocka_unit_test(tree_heads_are_as_documented),
        cmocka_unit_test(proof_files_are_as_documented),
    };
    return cmocka_run_group_tests_name("merkle.format", tests, set_up, tear_down);
}
