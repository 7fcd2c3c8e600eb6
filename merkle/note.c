/* SPDX-License-Identifier: Apache-2.0 */
#include "merkle/note.h"

#include <inttypes.h>
#include <sodium.h>

#include "base/check.h"
#include "merkle/base64.h"
#include "merkle/text.h"
#include "merkle/utf8.h"

/* c2sp.org/signed-note: the type of plain Ed25519 signatures. */
enum { KEY_TYPE_ED25519 = 1 };

enum {
    KEY_ID_BYTES = 4,
    SIGNATURE_BYTES = crypto_sign_BYTES,
    /* What a signature of another kind may take on its line: C2SP's largest have nearly 5 kB. */
    FOREIGN_SIGNATURE_BYTES_MAX = 8192,
};

static const char SIGNATURE_LINE_START[] = "\xe2\x80\x94 "; /* em dash, space */
static const char SIGNER_START[] = "PRIVATE+KEY+";

_Static_assert(crypto_sign_SEEDBYTES == NOTE_SEED_BYTES, "an Ed25519 seed");
_Static_assert(crypto_sign_PUBLICKEYBYTES == NOTE_PUBLIC_KEY_BYTES, "an Ed25519 public key");
_Static_assert(sizeof((struct note_signer *)0)->secret == crypto_sign_SECRETKEYBYTES,
               "an Ed25519 secret key");

bool note_key_name_valid(struct slice name)
{
    if (name.length == 0 || name.length > NOTE_KEY_NAME_BYTES_MAX) {
        return false;
    }
    while (name.length > 0) {
        uint32_t code_point;
        size_t length = utf8_next(name, &code_point);
        if (length == 0 || code_point < 0x20 || code_point == '+' || utf8_is_space(code_point)) {
            return false;
        }
        name = slice_from(name, length);
    }
    return true;
}

/* SHA-256(name || newline || type || public key), its first four bytes as a big-endian number. */
static uint32_t key_id(struct slice name, const uint8_t public_key[NOTE_PUBLIC_KEY_BYTES])
{
    const uint8_t middle[2] = {'\n', KEY_TYPE_ED25519};
    uint8_t digest[crypto_hash_sha256_BYTES];
    crypto_hash_sha256_state state;
    (void)crypto_hash_sha256_init(&state);
    (void)crypto_hash_sha256_update(&state, name.data, name.length);
    (void)crypto_hash_sha256_update(&state, middle, sizeof middle);
    (void)crypto_hash_sha256_update(&state, public_key, NOTE_PUBLIC_KEY_BYTES);
    (void)crypto_hash_sha256_final(&state, digest);
    return get_be32(digest);
}

static struct slice verifier_name(const struct note_verifier *verifier)
{
    return slice_of_string(verifier->name);
}

enum status note_verifier_init(struct note_verifier *verifier, struct slice name,
                               const uint8_t public_key[NOTE_PUBLIC_KEY_BYTES], struct error *err)
{
    if (!note_key_name_valid(name)) {
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "a key's name has 1 to %lu bytes of UTF-8 without spaces or plus",
                         NOTE_KEY_NAME_BYTES_MAX);
    }
    struct note_verifier made = {.id = key_id(name, public_key)};
    memcpy(made.name, name.data, name.length);
    memcpy(made.public_key, public_key, NOTE_PUBLIC_KEY_BYTES);
    *verifier = made;
    return STATUS_OK;
}

static bool hex_id(struct slice text, uint32_t *out)
{
    uint32_t id = 0;
    if (text.length != (size_t)2 * KEY_ID_BYTES) {
        return false;
    }
    for (size_t i = 0; i < text.length; i++) {
        unsigned char c = text.data[i];
        if (c >= '0' && c <= '9') {
            id = id << 4 | (uint32_t)(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            id = id << 4 | (uint32_t)(c - 'a' + 10);
        } else {
            return false;
        }
    }
    *out = id;
    return true;
}

/* Takes "name+id+base64(0x01 || key)" apart: what verifiers and signers have in common. */
static bool key_text_parse(struct slice text, struct slice *name, uint32_t *id, uint8_t key[32])
{
    struct slice rest;
    struct slice hex;
    struct slice encoded;
    uint8_t typed_key[1 + 32];
    size_t length = 0;
    if (!text_split(text, '+', name, &rest) || !text_split(rest, '+', &hex, &encoded) ||
        !note_key_name_valid(*name) || !hex_id(hex, id) ||
        !base64_decode(encoded, typed_key, sizeof typed_key, &length) ||
        length != sizeof typed_key || typed_key[0] != KEY_TYPE_ED25519) {
        sodium_memzero(typed_key, sizeof typed_key);
        return false;
    }
    memcpy(key, typed_key + 1, 32);
    sodium_memzero(typed_key, sizeof typed_key);
    return true;
}

static size_t key_text_format(const char *start, const struct note_verifier *verifier,
                              const uint8_t key[32], char *out, size_t capacity)
{
    uint8_t typed_key[1 + 32] = {KEY_TYPE_ED25519};
    memcpy(typed_key + 1, key, 32);
    int length =
        snprintf(out, capacity, "%s%s+%08" PRIx32 "+", start, verifier->name, verifier->id);
    CHECK(length > 0 && (size_t)length + base64_length(sizeof typed_key) < capacity);
    (void)sodium_bin2base64(out + length, capacity - (size_t)length, typed_key, sizeof typed_key,
                            sodium_base64_VARIANT_ORIGINAL);
    sodium_memzero(typed_key, sizeof typed_key);
    return strlen(out);
}

enum status note_verifier_parse(struct slice text, struct note_verifier *out, struct error *err)
{
    struct slice name;
    uint32_t id = 0;
    uint8_t public_key[NOTE_PUBLIC_KEY_BYTES];
    if (!key_text_parse(text, &name, &id, public_key)) {
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "not an Ed25519 verifier key, name+hash+base64");
    }
    if (id != key_id(name, public_key)) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "verifier key: its hash does not fit");
    }
    return note_verifier_init(out, name, public_key, err);
}

size_t note_verifier_format(const struct note_verifier *verifier,
                            char out[NOTE_VERIFIER_TEXT_BYTES_MAX])
{
    return key_text_format("", verifier, verifier->public_key, out, NOTE_VERIFIER_TEXT_BYTES_MAX);
}

enum status note_signer_init(struct note_signer *signer, struct slice name,
                             const uint8_t seed[NOTE_SEED_BYTES], struct error *err)
{
    if (sodium_init() < 0) {
        return error_set(err, STATUS_INTERNAL, "libsodium cannot be initialised");
    }
    struct note_signer made;
    uint8_t public_key[NOTE_PUBLIC_KEY_BYTES];
    CHECK(crypto_sign_seed_keypair(public_key, made.secret, seed) == 0);
    enum status status = note_verifier_init(&made.verifier, name, public_key, err);
    if (status == STATUS_OK) {
        *signer = made;
    }
    note_signer_release(&made);
    return status;
}

enum status note_signer_parse(struct slice text, struct note_signer *out, struct error *err)
{
    struct slice name;
    uint32_t id = 0;
    uint8_t seed[NOTE_SEED_BYTES];
    if (!text_skip(&text, SIGNER_START) || !key_text_parse(text, &name, &id, seed)) {
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "not an Ed25519 signer key, %sname+hash+base64", SIGNER_START);
    }
    struct note_signer made = {.verifier = {.id = 0}};
    enum status status = note_signer_init(&made, name, seed, err);
    sodium_memzero(seed, sizeof seed);
    if (status != STATUS_OK) {
        return status;
    }
    if (id != made.verifier.id) {
        status = error_set(err, STATUS_INVALID_ARGUMENT, "signer key: its hash does not fit");
    } else {
        *out = made;
    }
    note_signer_release(&made);
    return status;
}

size_t note_signer_format(const struct note_signer *signer, char out[NOTE_SIGNER_TEXT_BYTES_MAX])
{
    /* libsodium's secret key is the seed and the public key. */
    return key_text_format(SIGNER_START, &signer->verifier, signer->secret, out,
                           NOTE_SIGNER_TEXT_BYTES_MAX);
}

void note_signer_release(struct note_signer *signer)
{
    sodium_memzero(signer->secret, sizeof signer->secret);
}

/* UTF-8 whose only control character is the newline that ends it. */
static bool text_valid(struct slice text)
{
    if (text.length == 0 || text.data[text.length - 1] != '\n') {
        return false;
    }
    for (size_t i = 0; i < text.length; i++) {
        if (text.data[i] < 0x20 && text.data[i] != '\n') {
            return false;
        }
    }
    return utf8_valid(text);
}

enum status note_sign(struct slice text, const struct note_signer *signers, size_t count,
                      struct buf *out, struct error *err)
{
    CHECK(count >= 1 && count <= NOTE_SIGNATURES_MAX);
    if (!text_valid(text)) {
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "a note is UTF-8 lines without control characters");
    }
    buf_append_slice(out, text);
    buf_put_u8(out, '\n');
    for (size_t i = 0; i < count; i++) {
        uint8_t signature[KEY_ID_BYTES + SIGNATURE_BYTES];
        put_be32(signature, signers[i].verifier.id);
        CHECK(crypto_sign_detached(signature + KEY_ID_BYTES, NULL, text.data, text.length,
                                   signers[i].secret) == 0);
        text_put(out, SIGNATURE_LINE_START);
        text_put(out, signers[i].verifier.name);
        buf_put_u8(out, ' ');
        base64_append(out, slice_of(signature, sizeof signature));
        buf_put_u8(out, '\n');
    }
    return buf_failed(out) ? error_set(err, STATUS_RESOURCE_EXHAUSTED, "the note does not fit")
                           : STATUS_OK;
}

static enum status malformed(struct error *err, const char *reason)
{
    return error_set(err, STATUS_INVALID_ARGUMENT, "malformed note: %s", reason);
}

/* Cuts a note behind its last empty line. */
static bool note_cut(struct slice bytes, struct slice *text, struct slice *signatures)
{
    for (size_t i = bytes.length; i >= 2; i--) {
        if (bytes.data[i - 1] == '\n' && bytes.data[i - 2] == '\n') {
            *text = slice_of(bytes.data, i - 1);
            *signatures = slice_from(bytes, i);
            return true;
        }
    }
    return false;
}

static void count_signer(struct note *note, size_t verifier)
{
    for (unsigned i = 0; i < note->signed_count; i++) {
        if (note->signed_by[i] == verifier) {
            return;
        }
    }
    CHECK(note->signed_count < NOTE_SIGNATURES_MAX);
    note->signed_by[note->signed_count++] = (uint16_t)verifier;
}

/* Checks one signature against the trusted keys of its name and id; there is at most one such
 * key unless somebody made ids collide, then any of them may fit. */
static enum status check_signature(struct slice name, struct slice signature,
                                   struct note_trust trust, struct note *note, struct error *err)
{
    bool known = false;
    for (size_t i = 0; i < trust.count; i++) {
        const struct note_verifier *verifier = &trust.verifiers[i];
        if (verifier->id != get_be32(signature.data) ||
            !slice_equal(name, verifier_name(verifier))) {
            continue;
        }
        known = true;
        if (signature.length == KEY_ID_BYTES + SIGNATURE_BYTES &&
            crypto_sign_verify_detached(signature.data + KEY_ID_BYTES, note->text.data,
                                        note->text.length, verifier->public_key) == 0) {
            count_signer(note, i);
            return STATUS_OK;
        }
    }
    if (known) {
        return error_set(err, STATUS_UNAUTHENTICATED, "the signature of %.*s does not fit",
                         (int)name.length, (const char *)name.data);
    }
    return STATUS_OK;
}

static enum status open_line(struct slice line, struct note_trust trust, struct note *note,
                             struct error *err)
{
    struct slice name;
    struct slice encoded;
    uint8_t bytes[FOREIGN_SIGNATURE_BYTES_MAX];
    size_t length = 0;
    if (!text_skip(&line, SIGNATURE_LINE_START) || !text_split(line, ' ', &name, &encoded)) {
        return malformed(err, "bad signature line");
    }
    if (!note_key_name_valid(name)) {
        return malformed(err, "bad key name");
    }
    if (!base64_decode(encoded, bytes, sizeof bytes, &length) || length <= KEY_ID_BYTES) {
        return malformed(err, "bad signature");
    }
    return check_signature(name, slice_of(bytes, length), trust, note, err);
}

enum status note_open(struct slice bytes, struct note_trust trust, struct note *out,
                      struct error *err)
{
    CHECK(trust.count <= UINT16_MAX);
    if (sodium_init() < 0) {
        return error_set(err, STATUS_INTERNAL, "libsodium cannot be initialised");
    }
    if (bytes.length > NOTE_BYTES_MAX) {
        return malformed(err, "too long");
    }
    if (!text_valid(bytes)) {
        return malformed(err, "not lines of UTF-8 without control characters");
    }
    struct note note = {.signed_count = 0};
    struct text_reader reader;
    if (!note_cut(bytes, &note.text, &reader.rest) || reader.rest.length == 0) {
        return malformed(err, "no signatures");
    }
    struct slice line;
    for (unsigned count = 0; text_line(&reader, &line); count++) {
        if (count == NOTE_SIGNATURES_MAX) {
            return malformed(err, "too many signatures");
        }
        enum status status = open_line(line, trust, &note, err);
        if (status != STATUS_OK) {
            return status;
        }
    }
    if (note.signed_count == 0) {
        return error_set(err, STATUS_UNAUTHENTICATED, "no trusted key signed this");
    }
    *out = note;
    return STATUS_OK;
}
