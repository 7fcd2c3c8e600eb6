/* SPDX-License-Identifier: Apache-2.0
 *
 * merkle-vectors DIR...: runs the proof verification over test cases of others.
 *
 * A case is a .json file: an inclusion proof (leafIdx, treeSize, root,
 * leafHash, proof) or a consistency proof (size1, size2, root1, root2, proof),
 * hashes in base64, and wantErr: whether it is to be refused. Folders are read
 * with all below them, in the order of their names. Each case that comes out
 * wrong, or cannot be read, is named. Exit 0 if all came out right, 1 if not or
 * if there are none, 64 without arguments.
 */
#include <errno.h>
#include <fts.h>

#include "base/check.h"
#include "json.h"
#include "merkle/base64.h"
#include "merkle/text.h"
#include "merkle/verify.h"

enum { EXIT_USAGE = 64 };

/* ---- one case ---- */

/* The bytes of a base64 field; a wrong length for a hash is for the verification to refuse. */
struct opaque {
    size_t length;
    uint8_t bytes[JSON_FILE_BYTES_MAX];
};

struct vector {
    struct hasher *hasher;
    struct json_object json;
    struct hash path[JSON_ITEMS_MAX];
    struct opaque fields[2];
    struct opaque item;
    uint8_t file[JSON_FILE_BYTES_MAX + 1];
};

static bool read_size(const struct vector *vector, const char *name, uint64_t *out)
{
    struct json_value value = json_get(&vector->json, name);
    return value.kind == JSON_NUMBER && text_number(value.text, out);
}

/* An absent or null field is an empty one. */
static bool read_bytes(const struct vector *vector, const char *name, struct opaque *out)
{
    struct json_value value = json_get(&vector->json, name);
    out->length = 0;
    if (value.kind == JSON_ABSENT || value.kind == JSON_NULL) {
        return true;
    }
    return value.kind == JSON_STRING &&
           base64_decode(value.text, out->bytes, sizeof out->bytes, &out->length);
}

/* Reads the path into vector->path. `fits` is false if it holds what is no hash. */
static bool read_path(struct vector *vector, size_t *count, bool *fits)
{
    struct opaque *item = &vector->item;
    struct json_value value = json_get(&vector->json, "proof");
    *count = 0;
    *fits = true;
    if (value.kind == JSON_ABSENT || value.kind == JSON_NULL) {
        return true;
    }
    if (value.kind != JSON_ARRAY) {
        return false;
    }
    for (unsigned i = 0; i < value.count; i++) {
        struct slice text = vector->json.items[value.first + i];
        if (!base64_decode(text, item->bytes, sizeof item->bytes, &item->length)) {
            return false;
        }
        *fits = *fits && hash_from_slice(slice_of(item->bytes, item->length), &vector->path[i]);
    }
    *count = value.count;
    return true;
}

static bool to_hash(const struct opaque *from, struct hash *to)
{
    return hash_from_slice(slice_of(from->bytes, from->length), to);
}

/* Each of the next two says in `accepted` what verification says of the case; false if the case
 * cannot be read. What has not the length of a hash is refused. */
static bool run_inclusion(struct vector *vector, bool *accepted)
{
    struct opaque *leaf = &vector->fields[0];
    struct opaque *root = &vector->fields[1];
    struct inclusion_claim claim = {.path = vector->path};
    bool fits;
    if (!read_size(vector, "leafIdx", &claim.position) ||
        !read_size(vector, "treeSize", &claim.size) || !read_bytes(vector, "leafHash", leaf) ||
        !read_bytes(vector, "root", root) || !read_path(vector, &claim.path_count, &fits)) {
        return false;
    }
    *accepted = fits && to_hash(leaf, &claim.leaf) && to_hash(root, &claim.root) &&
                verify_inclusion(vector->hasher, &claim, NULL) == STATUS_OK;
    return true;
}

/* At one size roots are compared and never hashed, and the makers of these cases put words in
 * their place. A hash of each word is as equal or different as the words. */
static void stand_for_hashes(struct vector *vector)
{
    struct opaque *roots = vector->fields;
    if (roots[0].length == HASH_BYTES || roots[1].length == HASH_BYTES) {
        return;
    }
    for (unsigned i = 0; i < 2; i++) {
        struct hash hash = hash_bytes(vector->hasher, slice_of(roots[i].bytes, roots[i].length));
        memcpy(roots[i].bytes, hash.bytes, HASH_BYTES);
        roots[i].length = HASH_BYTES;
    }
}

static bool run_consistency(struct vector *vector, bool *accepted)
{
    struct opaque *roots = vector->fields;
    struct consistency_claim claim = {.path = vector->path};
    bool fits;
    if (!read_size(vector, "size1", &claim.old_size) ||
        !read_size(vector, "size2", &claim.new_size) || !read_bytes(vector, "root1", &roots[0]) ||
        !read_bytes(vector, "root2", &roots[1]) || !read_path(vector, &claim.path_count, &fits)) {
        return false;
    }
    if (claim.old_size == claim.new_size) {
        stand_for_hashes(vector);
    }
    *accepted = fits && to_hash(&roots[0], &claim.old_root) &&
                to_hash(&roots[1], &claim.new_root) &&
                verify_consistency(vector->hasher, &claim, NULL) == STATUS_OK;
    return true;
}

static bool has(const struct vector *vector, const char *name)
{
    return json_get(&vector->json, name).kind != JSON_ABSENT;
}

/* NULL if the case came out right, else what is wrong. */
static const char *run_case(struct vector *vector, struct slice bytes)
{
    bool accepted = false;
    const char *wrong = json_read(bytes, &vector->json);
    if (wrong != NULL) {
        return wrong;
    }
    bool inclusion = has(vector, "leafIdx") || has(vector, "treeSize");
    bool consistency = has(vector, "size1") || has(vector, "size2");
    struct json_value refuse = json_get(&vector->json, "wantErr");
    if (inclusion == consistency || refuse.kind != JSON_BOOL) {
        return "neither an inclusion nor a consistency case";
    }
    if (!(inclusion ? run_inclusion : run_consistency)(vector, &accepted)) {
        return "a field is missing or cannot be read";
    }
    if (accepted != refuse.truth) {
        return NULL;
    }
    return accepted ? "accepted, but is to be refused" : "refused, but is to be accepted";
}

static const char *run_file(struct vector *vector, const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return strerror(errno);
    }
    size_t length = fread(vector->file, 1, sizeof vector->file, file);
    bool failed = ferror(file) != 0;
    (void)fclose(file);
    return failed ? "cannot be read" : run_case(vector, slice_of(vector->file, length));
}

/* ---- all cases ---- */

struct tally {
    unsigned long right;
    unsigned long wrong;
};

static void count(struct tally *tally, const char *path, const char *wrong)
{
    if (wrong == NULL) {
        tally->right++;
    } else {
        printf("%s: %s\n", path, wrong);
        tally->wrong++;
    }
}

static bool is_case(const char *path)
{
    size_t length = strlen(path);
    return length >= 5 && strcmp(path + length - 5, ".json") == 0;
}

static int compare_names(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static void run_folder(struct vector *vector, char *path, struct tally *tally)
{
    char *const roots[] = {path, NULL};
    FTS *walk = fts_open(roots, FTS_LOGICAL | FTS_NOCHDIR, compare_names);
    if (walk == NULL) {
        count(tally, path, strerror(errno));
        return;
    }
    for (FTSENT *entry = fts_read(walk); entry != NULL; entry = fts_read(walk)) {
        switch (entry->fts_info) {
        case FTS_F:
            if (is_case(entry->fts_path)) {
                count(tally, entry->fts_path, run_file(vector, entry->fts_path));
            }
            break;
        case FTS_D:
        case FTS_DP:
        case FTS_DEFAULT:
            break;
        case FTS_DNR:
        case FTS_ERR:
        case FTS_NS:
            count(tally, entry->fts_path, strerror(entry->fts_errno));
            break;
        default: /* a link to nothing, or to a folder above */
            count(tally, entry->fts_path, "cannot be followed");
        }
    }
    (void)fts_close(walk);
}

int main(int argc, char **argv)
{
    struct hasher hasher;
    struct error err = ERROR_INIT;
    struct tally tally = {0};
    if (argc < 2 || argv[1][0] == '-') {
        (void)fprintf(stderr, "usage: merkle-vectors DIR...\n");
        return EXIT_USAGE;
    }
    if (hasher_init(&hasher, &err) != STATUS_OK) {
        (void)fprintf(stderr, "merkle-vectors: %s\n", err.text);
        return EXIT_FAILURE;
    }
    struct vector *vector = calloc(1, sizeof *vector);
    CHECK(vector != NULL);
    vector->hasher = &hasher;
    for (int i = 1; i < argc; i++) {
        run_folder(vector, argv[i], &tally);
    }
    free(vector);
    hasher_release(&hasher);
    printf("%lu right, %lu wrong\n", tally.right, tally.wrong);
    if (tally.right + tally.wrong == 0) {
        (void)fprintf(stderr, "merkle-vectors: no cases there\n");
        return EXIT_FAILURE; /* what looked at nothing has shown nothing */
    }
    return tally.wrong == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
