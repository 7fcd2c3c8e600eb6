/* SPDX-License-Identifier: Apache-2.0 */
#include "node/signer.h"

#include "base/check.h"
#include "base/sync.h"

enum { FILE_BYTES_MAX = 4096 };

struct signer {
    struct alloc *alloc;
    struct fs *fs;
    char dir[PATH_BYTES_MAX];
    char record_path[PATH_BYTES_MAX];
    struct note_signer key;
    char verifier_text[NOTE_VERIFIER_TEXT_BYTES_MAX];
    struct mutex mutex;
    uint64_t size; /* signed last; 0: nothing yet */
    struct hash root;
    struct buf checkpoint; /* of (size, root); empty if not made since the start */
};

static enum status key_write(struct signer *signer, const char *key_path, struct error *err)
{
    char secret[NOTE_SIGNER_TEXT_BYTES_MAX + 1];
    char public[NOTE_VERIFIER_TEXT_BYTES_MAX + 1];
    char public_path[PATH_BYTES_MAX];
    enum status status = path_join(public_path, signer->dir, "verifier-key", err);
    if (status != STATUS_OK) {
        return status;
    }
    size_t length = note_verifier_format(&signer->key.verifier, public);
    public[length++] = '\n';
    status = fs_replace_file(signer->fs, signer->dir, public_path, slice_of(public, length), err);
    if (status != STATUS_OK) {
        return status;
    }
    length = note_signer_format(&signer->key, secret);
    secret[length++] = '\n';
    return fs_replace_file(signer->fs, signer->dir, key_path, slice_of(secret, length), err);
}

static struct slice without_newline(struct slice text)
{
    if (text.length > 0 && text.data[text.length - 1] == '\n') {
        text.length--;
    }
    return text;
}

static enum status key_load(struct signer *signer, struct rng *rng, const char *origin,
                            struct error *err)
{
    char path[PATH_BYTES_MAX];
    bool exists = false;
    enum status status = path_join(path, signer->dir, "signing-key", err);
    if (status == STATUS_OK) {
        status = fs_exists(signer->fs, path, &exists, err);
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (!exists) {
        bool started = false;
        char started_path[PATH_BYTES_MAX];
        status = path_join(started_path, signer->dir, "started", err);
        if (status == STATUS_OK) {
            status = fs_exists(signer->fs, started_path, &started, err);
        }
        if (status == STATUS_OK && started) {
            /* A new key would be nobody's whom auditors trust. */
            status = error_set(err, STATUS_DATA_LOSS,
                               "%s is gone; bring it back, or set this member up anew, under a "
                               "new id",
                               path);
        }
        if (status != STATUS_OK) {
            return status;
        }
        uint8_t seed[NOTE_SEED_BYTES];
        rng_fill(rng, seed, sizeof seed);
        status = note_signer_init(&signer->key, slice_of_string(origin), seed, err);
        explicit_bzero(seed, sizeof seed);
        return status == STATUS_OK ? key_write(signer, path, err) : status;
    }
    struct buf text;
    buf_init(&text, signer->alloc, FILE_BYTES_MAX);
    status = fs_read_file(signer->fs, path, &text, err);
    if (status == STATUS_OK) {
        status = note_signer_parse(without_newline(buf_slice(&text)), &signer->key, err);
        if (status != STATUS_OK) {
            (void)error_wrap(err, "%s", path);
        } else if (strcmp(signer->key.verifier.name, origin) != 0) {
            status =
                error_set(err, STATUS_FAILED_PRECONDITION, "%s signs for origin %s, not for %s",
                          path, signer->key.verifier.name, origin);
        }
    }
    if (text.data != NULL) {
        explicit_bzero(text.data, text.length);
    }
    buf_release(&text);
    return status;
}

static enum status record_load(struct signer *signer, struct error *err)
{
    bool exists = false;
    enum status status = fs_exists(signer->fs, signer->record_path, &exists, err);
    if (status != STATUS_OK || !exists) {
        return status;
    }
    struct buf text;
    struct tree_head head;
    buf_init(&text, signer->alloc, FILE_BYTES_MAX);
    status = fs_read_file(signer->fs, signer->record_path, &text, err);
    if (status == STATUS_OK) {
        status = tree_head_parse(buf_slice(&text), &head, err);
        if (status != STATUS_OK) {
            status = error_set(err, STATUS_CORRUPT, "%s is not a tree head", signer->record_path);
        }
    }
    if (status == STATUS_OK) {
        signer->size = head.size;
        signer->root = head.root;
    }
    buf_release(&text);
    return status;
}

enum status signer_open(struct alloc *alloc, struct fs *fs, struct rng *rng, const char *dir,
                        const char *origin, struct signer **out, struct error *err)
{
    struct signer *signer = alloc_zeroed(alloc, 1, sizeof *signer);
    if (signer == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for the signer");
    }
    signer->alloc = alloc;
    signer->fs = fs;
    mutex_init(&signer->mutex);
    buf_init(&signer->checkpoint, alloc, NOTE_BYTES_MAX);
    (void)snprintf(signer->dir, sizeof signer->dir, "%s", dir);
    enum status status = path_join(signer->record_path, dir, "signed-head", err);
    if (status == STATUS_OK) {
        status = key_load(signer, rng, origin, err);
    }
    if (status == STATUS_OK) {
        status = record_load(signer, err);
    }
    if (status != STATUS_OK) {
        signer_close(signer);
        return status;
    }
    (void)note_verifier_format(&signer->key.verifier, signer->verifier_text);
    *out = signer;
    return STATUS_OK;
}

void signer_close(struct signer *signer)
{
    if (signer != NULL) {
        note_signer_release(&signer->key);
        buf_release(&signer->checkpoint);
        mutex_release(&signer->mutex);
        alloc_free(signer->alloc, signer);
    }
}

static enum status record_write(struct signer *signer, const struct tree_head *head,
                                struct error *err)
{
    struct buf text;
    buf_init(&text, signer->alloc, FILE_BYTES_MAX);
    tree_head_format(head, &text);
    enum status status =
        buf_failed(&text)
            ? error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a tree head")
            : fs_replace_file(signer->fs, signer->dir, signer->record_path, buf_slice(&text), err);
    buf_release(&text);
    return status;
}

static enum status sign_locked(struct signer *signer, uint64_t size, const struct hash *root,
                               struct error *err)
{
    if (size < signer->size) {
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "a tree head of size %lu was signed already; this node is at %lu",
                         (unsigned long)signer->size, (unsigned long)size);
    }
    if (size == signer->size && size > 0 && !hash_equal(root, &signer->root)) {
        return error_set(err, STATUS_DATA_LOSS,
                         "this node signed another root of size %lu before; its log changed",
                         (unsigned long)size);
    }
    struct tree_head head = {
        .origin = slice_of_string(signer->key.verifier.name), .size = size, .root = *root};
    if (size > signer->size) {
        enum status status = record_write(signer, &head, err);
        if (status != STATUS_OK) {
            return status;
        }
    }
    signer->size = size;
    signer->root = *root;
    buf_clear(&signer->checkpoint);
    return tree_head_sign(&head, &signer->key, 1, &signer->checkpoint, err);
}

enum status signer_sign(struct signer *signer, uint64_t size, const struct hash *root,
                        struct buf *out, struct error *err)
{
    enum status status = STATUS_OK;
    mutex_lock(&signer->mutex);
    bool made =
        signer->checkpoint.length > 0 && signer->size == size && hash_equal(&signer->root, root);
    if (!made) {
        status = sign_locked(signer, size, root, err);
        if (status != STATUS_OK) {
            buf_clear(&signer->checkpoint);
        }
    }
    if (status == STATUS_OK) {
        buf_append_slice(out, buf_slice(&signer->checkpoint));
        if (buf_failed(out)) {
            status = error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a checkpoint");
        }
    }
    mutex_unlock(&signer->mutex);
    return status;
}

void signer_last(struct signer *signer, uint64_t *size, struct hash *root)
{
    mutex_lock(&signer->mutex);
    *size = signer->size;
    *root = signer->root;
    mutex_unlock(&signer->mutex);
}

const char *signer_verifier_key(const struct signer *signer)
{
    return signer->verifier_text;
}
