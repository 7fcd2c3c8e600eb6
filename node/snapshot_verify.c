/* SPDX-License-Identifier: Apache-2.0 */
#include "node/snapshot_verify.h"

#include "merkle/tree_head.h"
#include "merkle/verify.h"
#include "node/deep_audit.h"
#include "node/keyspaces.h"
#include "node/seal.h"
#include "storage/checkpoint.h"

#define CACHE_BYTES (1 * MIB)
/* A step of the audit: so many pieces, or bytes. */
#define STEP_PIECES 64U
#define STEP_BYTES (16 * MIB)

struct snapshot_verify {
    struct snapshot_verify_options options;
    struct executor idle; /* the staged engine's: it must not compact there */
    struct hasher hasher;
    struct engine *engine;
    struct checkpoint *checkpoint;
    struct tile_store *tiles;
    struct deep_audit audit;
    size_t next; /* file to be checked */
};

static void idle_submit(struct executor *executor, struct job *job)
{
    (void)executor;
    (void)job;
}

static const struct executor_ops idle_ops = {.submit = idle_submit};

static enum status open_engine(struct snapshot_verify *verify, struct error *err)
{
    const struct engine_options options = {
        .fs = verify->options.fs,
        .alloc = verify->options.alloc,
        .clock = verify->options.clock,
        .executor = &verify->idle,
        .dir = verify->options.dir,
        .keyspaces = keyspaces_layout(),
        .keyspace_count = KEYSPACE_COUNT,
        .block_cache_bytes = CACHE_BYTES,
    };
    enum status status = engine_open(&options, &verify->engine, err);
    return status == STATUS_OK ? checkpoint_take(verify->engine, &verify->checkpoint, err) : status;
}

/* The seal says what the plan says, and its tree is whole. */
static enum status open_tree(struct snapshot_verify *verify, struct error *err)
{
    const struct snapshot_plan *plan = verify->options.plan;
    struct seal seal;
    enum status status = seal_decode(checkpoint_state(verify->checkpoint), &seal, err);
    if (status == STATUS_OK &&
        (seal.index != plan->index || seal.term != plan->term || seal.size != plan->size)) {
        status = error_set(err, STATUS_CORRUPT,
                           "the snapshot ends at entry %lu of term %lu with %lu events, not at "
                           "%lu of %lu with %lu as was said",
                           (unsigned long)seal.index, (unsigned long)seal.term,
                           (unsigned long)seal.size, (unsigned long)plan->index,
                           (unsigned long)plan->term, (unsigned long)plan->size);
    }
    if (status == STATUS_OK) {
        status =
            tile_store_open(verify->options.alloc, verify->engine, seal.tree, &verify->tiles, err);
    }
    if (status == STATUS_OK && tile_store_size(verify->tiles) != plan->size) {
        status = error_set(err, STATUS_CORRUPT, "the snapshot's tree has another size");
    }
    if (status == STATUS_OK) {
        status = deep_audit_init(&verify->audit, verify->engine, verify->tiles, plan->size, err);
    }
    return status;
}

enum status snapshot_verify_open(const struct snapshot_verify_options *options,
                                 struct snapshot_verify **out, struct error *err)
{
    struct snapshot_verify *verify = alloc_zeroed(options->alloc, 1, sizeof *verify);
    if (verify == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory to verify a snapshot");
    }
    verify->options = *options;
    verify->idle.ops = &idle_ops;
    enum status status = hasher_init(&verify->hasher, err);
    if (status == STATUS_OK) {
        status = open_engine(verify, err);
    }
    if (status == STATUS_OK) {
        status = open_tree(verify, err);
    }
    if (status != STATUS_OK) {
        snapshot_verify_close(verify);
        return status;
    }
    *out = verify;
    return STATUS_OK;
}

uint64_t snapshot_verify_events(const struct snapshot_verify *verify)
{
    return verify->audit.position;
}

void snapshot_verify_close(struct snapshot_verify *verify)
{
    if (verify != NULL) {
        deep_audit_release(&verify->audit);
        tile_store_close(verify->tiles);
        checkpoint_release(verify->checkpoint);
        engine_close(verify->engine);
        hasher_release(&verify->hasher);
        alloc_free(verify->options.alloc, verify);
    }
}

/* The tree is that of a head which was signed for this log, or that one continues it. */
static enum status check_head(struct snapshot_verify *verify, const struct hash *root,
                              struct error *err)
{
    const struct snapshot_plan *plan = verify->options.plan;
    struct note_verifier key;
    struct tree_head head;
    enum status status = note_verifier_parse(slice_of_string(plan->verifier_key), &key, err);
    if (status == STATUS_OK && strcmp(key.name, verify->options.origin) != 0) {
        status = error_set(err, STATUS_CORRUPT, "the snapshot's head is of log %.200s", key.name);
    }
    if (status == STATUS_OK) {
        const struct note_trust trust = {.verifiers = &key, .count = 1};
        status = tree_head_open(buf_slice(&plan->head), trust, &head, NULL, err);
    }
    if (status != STATUS_OK) {
        return status;
    }
    const struct consistency_claim claim = {.old_size = plan->size,
                                            .new_size = head.size,
                                            .old_root = *root,
                                            .new_root = head.root,
                                            .path = plan->path,
                                            .path_count = plan->path_count};
    return verify_consistency(&verify->hasher, &claim, err);
}

/* What this node has applied itself is where the snapshot's log begins. */
static enum status check_prefix(struct snapshot_verify *verify, struct error *err)
{
    uint64_t own_size = 0;
    struct hash own_root;
    struct hash root;
    tile_store_head(verify->options.own, &verify->hasher, &own_size, &own_root);
    if (own_size == 0 || own_size > verify->options.plan->size) {
        return STATUS_OK; /* one that is behind will not be installed */
    }
    const struct hash_source tree = tile_store_source(verify->tiles);
    enum status status = proof_root(&tree, &verify->hasher, own_size, &root, err);
    if (status == STATUS_OK && !hash_equal(&root, &own_root)) {
        status = error_set(err, STATUS_CORRUPT,
                           "the snapshot's log is another one than this node's: their roots of %lu "
                           "events differ",
                           (unsigned long)own_size);
    }
    return status;
}

/* The tables may be whole and yet not hold what was agreed on: each event is hashed again, and must
 * be the leaf that the tree has for it. */
static enum status check_events(struct snapshot_verify *verify, bool *more, struct error *err)
{
    enum status status = STATUS_OK;
    uint64_t bytes_end = verify->audit.bytes_read + STEP_BYTES;
    *more = true;
    for (unsigned i = 0;
         status == STATUS_OK && *more && i < STEP_PIECES && verify->audit.bytes_read < bytes_end;
         i++) {
        status = deep_audit_step(&verify->audit, more, err);
        if (status == STATUS_OK && verify->audit.damaged_count > 0) {
            const struct damaged_range *first = &verify->audit.damaged[0];
            status = error_set(err, STATUS_CORRUPT, "the snapshot's events [%lu, %lu): %s",
                               (unsigned long)first->begin, (unsigned long)first->end,
                               verify->audit.cause);
        }
    }
    return status;
}

/* The tree of the events as they were read is the tree that the seal has. */
static enum status check_tree(struct snapshot_verify *verify, struct error *err)
{
    uint64_t size = 0;
    struct hash root;
    struct hash read;
    tile_store_head(verify->tiles, &verify->hasher, &size, &root);
    if (size == 0) {
        return STATUS_OK;
    }
    if (!deep_audit_root(&verify->audit, &read) || !hash_equal(&read, &root)) {
        return error_set(err, STATUS_CORRUPT,
                         "the snapshot's events have another root than its tree");
    }
    enum status status = check_head(verify, &root, err);
    return status == STATUS_OK ? check_prefix(verify, err) : status;
}

static enum status verify_file(struct snapshot_verify *verify, size_t index, struct error *err)
{
    struct checkpoint_file of;
    checkpoint_file_at(verify->checkpoint, index, &of);
    struct snapshot_plan_file *file = snapshot_plan_find(verify->options.plan, of.name);
    if (file == NULL || file->verified) {
        return STATUS_OK; /* the manifest of the staged store itself has another name */
    }
    enum status status = checkpoint_verify(verify->checkpoint, index, err);
    file->verified = status == STATUS_OK;
    return status;
}

enum status snapshot_verify_step(struct snapshot_verify *verify, bool *done, struct error *err)
{
    *done = false;
    if (verify->next < checkpoint_file_count(verify->checkpoint)) {
        return verify_file(verify, verify->next++, err);
    }
    bool more = false;
    enum status status = check_events(verify, &more, err);
    if (status == STATUS_OK && !more) {
        status = check_tree(verify, err);
        *done = status == STATUS_OK;
    }
    return status;
}
