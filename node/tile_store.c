/* SPDX-License-Identifier: Apache-2.0 */
#include "node/tile_store.h"

#include "base/check.h"
#include "node/keyspaces.h"

struct tile_store {
    struct alloc *alloc;
    struct engine *engine;
    struct hasher hasher;      /* the applier's */
    struct log_tree appended;  /* the applier's */
    struct mutex mutex;        /* guards `published` */
    struct log_tree published; /* what readers see */
};

enum status tile_store_open(struct alloc *alloc, struct engine *engine, struct slice state,
                            struct tile_store **out, struct error *err)
{
    struct tile_store *store = alloc_new(alloc, sizeof *store);
    if (store == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for the log tree");
    }
    store->alloc = alloc;
    store->engine = engine;
    mutex_init(&store->mutex);
    enum status status = hasher_init(&store->hasher, err);
    if (status != STATUS_OK) {
        mutex_release(&store->mutex);
        alloc_free(alloc, store);
        return status;
    }
    log_tree_init(&store->appended);
    if (state.length > 0) {
        status = log_tree_decode(&store->appended, &store->hasher, state, err);
    }
    if (status != STATUS_OK) {
        tile_store_close(store);
        return error_wrap(err, "log tree");
    }
    log_tree_copy(&store->published, &store->appended);
    *out = store;
    return STATUS_OK;
}

void tile_store_close(struct tile_store *store)
{
    if (store != NULL) {
        hasher_release(&store->hasher);
        mutex_release(&store->mutex);
        alloc_free(store->alloc, store);
    }
}

struct hasher *tile_store_hasher(struct tile_store *store)
{
    return &store->hasher;
}

static enum status put_tile(void *context, unsigned level, uint64_t index,
                            const struct hash *hashes, struct error *err)
{
    struct batch *batch = context;
    uint8_t key[TILE_KEY_BYTES];
    (void)err;
    tile_key((uint8_t)level, index, key);
    /* A batch that fails is refused as a whole by engine_write. */
    batch_put(batch, KEYSPACE_TILES, slice_of(key, sizeof key), slice_of(hashes, TILE_BYTES_MAX));
    return STATUS_OK;
}

enum status tile_store_append(struct tile_store *store, const struct hash *leaf,
                              struct batch *batch, struct error *err)
{
    const struct tile_sink sink = {.put = put_tile, .ctx = batch};
    return log_tree_append(&store->appended, &store->hasher, leaf, &sink, err);
}

void tile_store_publish(struct tile_store *store)
{
    mutex_lock(&store->mutex);
    log_tree_copy(&store->published, &store->appended);
    mutex_unlock(&store->mutex);
}

uint64_t tile_store_appended(const struct tile_store *store)
{
    return log_tree_size(&store->appended);
}

void tile_store_encode(struct tile_store *store, struct buf *out)
{
    log_tree_encode(&store->appended, &store->hasher, out);
}

uint64_t tile_store_size(struct tile_store *store)
{
    mutex_lock(&store->mutex);
    uint64_t size = log_tree_size(&store->published);
    mutex_unlock(&store->mutex);
    return size;
}

static bool read_edge(struct tile_store *store, unsigned level, uint64_t index, unsigned width,
                      struct hash *out)
{
    mutex_lock(&store->mutex);
    bool found = log_tree_read_edge(&store->published, level, index, width, out);
    mutex_unlock(&store->mutex);
    return found;
}

static enum status copy_hashes(struct slice value, unsigned level, uint64_t index, unsigned width,
                               struct hash *out, struct error *err)
{
    if (value.length != TILE_BYTES_MAX) {
        return error_set(err, STATUS_CORRUPT, "tile %u/%lu has %zu bytes", level,
                         (unsigned long)index, value.length);
    }
    memcpy(out, value.data, width * HASH_BYTES);
    return STATUS_OK;
}

static enum status read_tile(void *context, unsigned level, uint64_t index, unsigned width,
                             struct hash *out, struct error *err)
{
    struct tile_store *store = context;
    if (read_edge(store, level, index, width, out)) {
        return STATUS_OK;
    }
    uint8_t key[TILE_KEY_BYTES];
    struct buf value;
    tile_key((uint8_t)level, index, key);
    buf_init(&value, store->alloc, TILE_BYTES_MAX);
    enum status status =
        engine_get(store->engine, NULL, KEYSPACE_TILES, slice_of(key, sizeof key), &value, err);
    if (status == STATUS_NOT_FOUND) {
        status = error_set(err, STATUS_OUT_OF_RANGE, "the tree has no tile %u/%lu", level,
                           (unsigned long)index);
    } else if (status == STATUS_OK) {
        status = copy_hashes(buf_slice(&value), level, index, width, out, err);
    }
    buf_release(&value);
    return status;
}

struct hash_source tile_store_source(struct tile_store *store)
{
    return (struct hash_source){.read_tile = read_tile, .ctx = store};
}

void tile_store_head(struct tile_store *store, struct hasher *hasher, uint64_t *size,
                     struct hash *root)
{
    mutex_lock(&store->mutex);
    *size = log_tree_size(&store->published);
    *root = log_tree_root(&store->published, hasher);
    mutex_unlock(&store->mutex);
}

enum status tile_store_read_stored(struct tile_store *store, unsigned level, uint64_t index,
                                   unsigned width, struct hash *out, struct error *err)
{
    if (read_edge(store, level, index, width, out)) {
        return STATUS_OK;
    }
    uint8_t key[TILE_KEY_BYTES];
    tile_key((uint8_t)level, index, key);
    const struct engine_iter_options options = {.past_cache = true, .no_fill_cache = true};
    struct engine_iter *iter = NULL;
    enum status status = engine_iter_new(store->engine, NULL, KEYSPACE_TILES, &options, &iter, err);
    if (status != STATUS_OK) {
        return status;
    }
    engine_iter_seek(iter, slice_of(key, sizeof key));
    status = engine_iter_status(iter, err);
    if (status == STATUS_OK && (!engine_iter_valid(iter) ||
                                !slice_equal(engine_iter_key(iter), slice_of(key, sizeof key)))) {
        status =
            error_set(err, STATUS_CORRUPT, "tile %u/%lu is missing", level, (unsigned long)index);
    }
    if (status == STATUS_OK) {
        status = copy_hashes(engine_iter_value(iter), level, index, width, out, err);
    }
    engine_iter_close(iter);
    return status;
}
