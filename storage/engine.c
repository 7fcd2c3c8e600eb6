/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/engine.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "storage/engine_internal.h"
#include "storage/table/key.h"
#include "storage/tree/store_file.h"

/* --- views --------------------------------------------------------------------------------- */

struct view *engine_view_acquire(struct engine *engine)
{
    struct epoch_guard guard = epoch_enter(&engine->epoch);
    struct view *view = atomic_load(&engine->view);
    view_ref(view);
    epoch_leave(&engine->epoch, guard);
    return view;
}

static void let_go(struct epoch_item *item)
{
    view_unref((struct view *)item);
}

void engine_view_retire(struct engine *engine, struct view *view)
{
    epoch_retire(&engine->epoch, &view->retired, let_go);
}

struct view *engine_writer_view(struct engine *engine)
{
    /* Equal pointers mean the same view: ours is referenced, so its memory is not used again. */
    if (atomic_load_explicit(&engine->view, memory_order_acquire) != engine->writer_view) {
        struct view *old = engine->writer_view;
        engine->writer_view = engine_view_acquire(engine);
        view_unref(old);
    }
    return engine->writer_view;
}

struct view *engine_view_replace_locked(struct engine *engine, struct view *next,
                                        struct mem_set *set_active, struct mem_set *flushed,
                                        struct version *version)
{
    struct view *now = atomic_load_explicit(&engine->view, memory_order_relaxed);
    struct mem_set *immutables[ENGINE_IMMUTABLE_MAX];
    size_t count = 0;
    struct pick_level0 level0 = now->level0;
    for (size_t i = 0; i < now->immutable_count; i++) {
        if (now->immutables[i] != flushed) {
            immutables[count++] = now->immutables[i];
        }
    }
    CHECK(flushed == NULL || now->immutables[0] == flushed);
    if (set_active != NULL) {
        CHECK(count < ENGINE_IMMUTABLE_MAX);
        immutables[count++] = now->active;
    } else {
        set_active = now->active;
    }
    if (version == NULL) {
        version = now->version;
    } else {
        level0 = pick_level0(version, engine->keyspaces, engine->options.keyspace_count);
    }
    view_fill(next, version, set_active, immutables, count, level0);
    atomic_store(&engine->view, next);
    condition_broadcast(&engine->changed);
    return now;
}

/* --- errors -------------------------------------------------------------------------------- */

void engine_fail(struct engine *engine, const struct error *err)
{
    CHECK(err->status != STATUS_OK);
    mutex_lock(&engine->mutex);
    bool first = !atomic_load(&engine->failed);
    if (first) {
        engine->failure = *err;
        atomic_store(&engine->failed, true);
    }
    condition_broadcast(&engine->changed);
    mutex_unlock(&engine->mutex);
    if (first) {
        char quoted[2 * ERROR_TEXT_BYTES];
        log_write("storage", LOG_ERROR, "writing stopped for good", "cause=%s",
                  log_quote(quoted, sizeof quoted, err->text));
    }
}

enum status engine_check_failed(struct engine *engine, struct error *err)
{
    if (!atomic_load_explicit(&engine->failed, memory_order_acquire)) {
        return STATUS_OK;
    }
    /* Written once, before the flag. */
    if (err != NULL) {
        *err = engine->failure;
    }
    return engine->failure.status;
}

enum status engine_background_error(struct engine *engine, struct error *err)
{
    return engine_check_failed(engine, err);
}

/* --- opening ------------------------------------------------------------------------------- */

static enum status no_memory(struct error *err)
{
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for the engine");
}

static size_t or_default(size_t value, size_t standard)
{
    return value == 0 ? standard : value;
}

/* Before writes are slowed down, whatever the numbers are. */
static size_t l0_latest(const struct engine_options *options)
{
    size_t twice = 2 * options->l0_trigger;
    return twice < options->l0_slowdown ? twice : options->l0_slowdown;
}

static void fill_options(struct engine *engine, const struct engine_options *given)
{
    struct engine_options *options = &engine->options;
    *options = *given;
    options->alloc = engine->alloc;
    options->clock = given->clock == NULL ? clock_system() : given->clock;
    options->keyspaces = engine->keyspaces;
    options->dir = engine->dir;
    options->memtable_bytes = or_default(given->memtable_bytes, 64 * MIB);
    options->memtable_slack_bytes = or_default(given->memtable_slack_bytes, 1 * MIB);
    options->block_cache_bytes = or_default(given->block_cache_bytes, 64 * MIB);
    options->immutable_max = or_default(given->immutable_max, 2);
    options->l0_trigger = or_default(given->l0_trigger, 4);
    options->l0_slowdown = or_default(given->l0_slowdown, 20);
    options->l0_stop = or_default(given->l0_stop, 36);
    options->level_base_bytes = or_default(given->level_base_bytes, 256 * MIB);
    options->level_multiplier = or_default(given->level_multiplier, 10);
    options->table_bytes = or_default(given->table_bytes, 64 * MIB);
    options->step_bytes = or_default(given->step_bytes, 1 * MIB);
    options->compactions = given->compactions == 0 ? 2 : given->compactions;
    CHECK(options->compactions <= ENGINE_COMPACTIONS_MAX);
    options->rewrites_max = or_default(given->rewrites_max, 4);
    atomic_store(&engine->rewrites_left, (unsigned)options->rewrites_max);
    CHECK(options->immutable_max <= ENGINE_IMMUTABLE_MAX);
    CHECK(options->l0_trigger <= options->l0_slowdown && options->l0_slowdown <= options->l0_stop);
    engine->codec_counters.clock = options->clock;
    engine->place = (struct output_place){.fs = options->fs,
                                          .alloc = engine->alloc,
                                          .dir = engine->dir,
                                          .next_file = &engine->next_file,
                                          .counters = &engine->codec_counters,
                                          .codecs = &engine->codec_memory,
                                          .table_bytes = options->table_bytes};
    engine->pick_options = (struct pick_options){.keyspaces = engine->keyspaces,
                                                 .keyspace_count = options->keyspace_count,
                                                 .l0_trigger = options->l0_trigger,
                                                 .l0_latest = l0_latest(options),
                                                 .level_base_bytes = options->level_base_bytes,
                                                 .level_multiplier = options->level_multiplier,
                                                 .table_bytes = options->table_bytes};
}

static void check_keyspaces(const struct engine_options *options)
{
    CHECK(options->keyspace_count > 0 && options->keyspace_count <= KEYSPACES_MAX);
    for (size_t i = 0; i < options->keyspace_count; i++) {
        size_t length = strlen(options->keyspaces[i].name);
        CHECK(length > 0 && length <= KEYSPACE_NAME_BYTES_MAX);
        CHECK(options->keyspaces[i].block_bytes <= TABLE_BLOCK_BYTES_MAX);
    }
}

/* Memory of everything but manifest, catalog and view. */
static enum status allocate(struct engine *engine, const struct engine_options *options,
                            struct error *err)
{
    size_t dir_bytes = strlen(options->dir) + 1;
    engine->dir = alloc_new(engine->alloc, dir_bytes);
    engine->keyspaces =
        alloc_zeroed(engine->alloc, options->keyspace_count, sizeof *engine->keyspaces);
    if (engine->dir == NULL || engine->keyspaces == NULL) {
        return no_memory(err);
    }
    memcpy(engine->dir, options->dir, dir_bytes);
    memcpy(engine->keyspaces, options->keyspaces,
           options->keyspace_count * sizeof *engine->keyspaces);
    fill_options(engine, options);
    engine->cache = block_cache_new(engine->alloc, engine->options.block_cache_bytes);
    if (engine->cache == NULL) {
        return no_memory(err);
    }
    for (size_t i = 0; i < options->keyspace_count; i++) {
        if (engine->keyspaces[i].layout == KEYSPACE_APPEND) {
            /* All at once, so that remembering a key cannot fail later. */
            if (buf_reserve(&engine->append_last[i], KEYSPACE_KEY_BYTES_MAX) == NULL) {
                return no_memory(err);
            }
        }
    }
    return STATUS_OK;
}

static struct engine *new_engine(struct alloc *alloc, const struct engine_options *options)
{
    struct engine *engine = alloc_zeroed(alloc, 1, sizeof *engine);
    if (engine == NULL) {
        return NULL;
    }
    engine->alloc = alloc;
    epoch_init(&engine->epoch);
    mutex_init(&engine->edit_mutex);
    mutex_init(&engine->mutex);
    condition_init(&engine->changed);
    buf_init(&engine->owner_state, alloc, ENGINE_STATE_BYTES_MAX);
    edit_init(&engine->flush_edit, alloc);
    mutex_init(&engine->pick_mutex);
    rate_limit_init(&engine->rate, options->write_bytes_per_second);
    codec_memory_init(&engine->codec_memory,
                      options->clock == NULL ? clock_system() : options->clock);
    for (size_t i = 0; i < KEYSPACES_MAX; i++) {
        buf_init(&engine->append_last[i], alloc, KEYSPACE_KEY_BYTES_MAX);
    }
    engine_jobs_init(engine);
    return engine;
}

/* What is in the directory against what the manifest names. */
struct inventory {
    struct engine *engine;
    const struct edit *tables; /* ascending by number */
    struct buf found;          /* bool for each table */
    uint64_t number_most;
};

static void mark_found(struct inventory *inventory, uint64_t number, bool *is_live)
{
    size_t index = 0;
    *is_live = edit_find_add(inventory->tables, number, &index);
    if (*is_live) {
        inventory->found.data[index] = 1;
    }
}

/* Files that are not ours are left alone. */
static enum status look_at_file(void *context, const char *name, struct error *err)
{
    struct inventory *inventory = context;
    struct engine *engine = inventory->engine;
    uint64_t number = 0;
    bool keep = true;
    enum store_file kind = store_file_of(name, &number);
    if (kind == STORE_FILE_TABLE) {
        mark_found(inventory, number, &keep);
    } else if (kind == STORE_FILE_MANIFEST) {
        keep = number == manifest_number(engine->manifest);
    } else if (kind == STORE_FILE_CURRENT_NEW) {
        keep = false;
    }
    /* Numbers of files that could not be removed are not given out again either. */
    if (number > inventory->number_most) {
        inventory->number_most = number;
    }
    if (keep) {
        return STATUS_OK;
    }
    char path[PATH_BYTES_MAX];
    enum status status = path_join(path, engine->dir, name, err);
    if (status == STATUS_OK) {
        (void)(fs_unlink(engine->options.fs, path, NULL) == STATUS_OK);
    }
    return status;
}

/* Removes orphans; notes if a table is missing. */
static enum status take_inventory(struct engine *engine, const struct manifest_state *state,
                                  struct error *err)
{
    struct inventory inventory = {.engine = engine, .tables = &state->tables};
    size_t count = edit_add_count(&state->tables);
    buf_init(&inventory.found, engine->alloc, SIZE_MAX / 2);
    uint8_t *found = buf_extend(&inventory.found, count);
    enum status status = STATUS_OK;
    if (count > 0 && found == NULL) {
        status = no_memory(err);
    }
    if (status == STATUS_OK) {
        if (count > 0) {
            memset(found, 0, count);
        }
        status = fs_list(engine->options.fs, engine->dir, look_at_file, &inventory, err);
    }
    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        if (inventory.found.data[i] == 0 && engine->missing.status == STATUS_OK) {
            char name[TABLE_FILE_NAME_BYTES];
            (void)error_set(&engine->missing, STATUS_CORRUPT, "%s/%s at 0: the table is missing",
                            engine->dir,
                            table_file_name(name, edit_add_at(&state->tables, i).number));
        }
    }
    buf_release(&inventory.found);
    uint64_t next = state->next_file;
    next = inventory.number_most >= next ? inventory.number_most + 1 : next;
    atomic_store(&engine->next_file, next);
    return status;
}

/* A directory with tables and no CURRENT is no new store: somebody lost a file. */
static enum status refuse_tables(void *context, const char *name, struct error *err)
{
    uint64_t number = 0;
    if (store_file_of(name, &number) == STORE_FILE_TABLE) {
        return error_set(err, STATUS_CORRUPT, "%s/CURRENT at 0: missing, but there is %s",
                         (const char *)context, name);
    }
    return STATUS_OK;
}

static enum status open_manifest(struct engine *engine, struct manifest_state *state,
                                 struct error *err)
{
    struct fs *fs = engine->options.fs;
    char current[PATH_BYTES_MAX];
    bool exists = false;
    enum status status = fs_make_dir(fs, engine->dir, err);
    if (status == STATUS_OK) {
        status = path_join(current, engine->dir, "CURRENT", err);
    }
    if (status == STATUS_OK) {
        status = fs_exists(fs, current, &exists, err);
    }
    if (status == STATUS_OK && !exists) {
        status = fs_list(fs, engine->dir, refuse_tables, engine->dir, err);
    }
    if (status != STATUS_OK) {
        return status;
    }
    struct manifest_options options = {.fs = fs,
                                       .alloc = engine->alloc,
                                       .dir = engine->dir,
                                       .keyspaces = engine->keyspaces,
                                       .keyspace_count = engine->options.keyspace_count};
    return manifest_open(&options, state, &engine->manifest, err);
}

static enum status open_catalog(struct engine *engine, const struct manifest_state *state,
                                struct error *err)
{
    struct catalog_options options = {.fs = engine->options.fs,
                                      .alloc = engine->alloc,
                                      .epoch = &engine->epoch,
                                      .dir = engine->dir,
                                      .cache = engine->cache,
                                      .counters = &engine->codec_counters,
                                      .bloom_counters = &engine->bloom_counters,
                                      .keyspace_count = engine->options.keyspace_count,
                                      .on_dead = engine_jobs_on_dead,
                                      .context = engine};
    enum status status = catalog_open(&options, &engine->catalog, err);
    if (status != STATUS_OK) {
        return status;
    }
    struct version *version = NULL;
    status = catalog_prepare(engine->catalog, &state->tables, &version, err);
    if (status != STATUS_OK) {
        return error_wrap(err, "%s/MANIFEST-%06" PRIu64 " at 0", engine->dir,
                          manifest_number(engine->manifest));
    }
    catalog_publish(engine->catalog, version);
    return STATUS_OK;
}

/* Of a KEYSPACE_APPEND; empty if it has no tables. */
static struct slice largest_key(const struct version *version, unsigned keyspace)
{
    struct slice largest = slice_of(NULL, 0);
    for (unsigned level = KEYSPACE_FRESH_LEVEL; level <= KEYSPACE_PARTITION_LEVEL; level++) {
        size_t count = version_count(version, keyspace, level);
        if (count > 0) {
            struct slice last =
                internal_key_user(version_at(version, keyspace, level, count - 1)->largest);
            largest = slice_compare(last, largest) > 0 ? last : largest;
        }
    }
    return largest;
}

static enum status open_view(struct engine *engine, struct error *err)
{
    struct view *view = view_new(engine->alloc);
    struct mem_set *active = mem_set_new(engine->alloc, engine->options.keyspace_count);
    if (view == NULL || active == NULL) {
        view_unref(view);
        mem_set_unref(active);
        return no_memory(err);
    }
    struct version *version = catalog_acquire(engine->catalog);
    view_fill(view, version, active, NULL, 0,
              pick_level0(version, engine->keyspaces, engine->options.keyspace_count));
    for (unsigned i = 0; i < engine->options.keyspace_count; i++) {
        if (engine->keyspaces[i].layout == KEYSPACE_APPEND) {
            buf_append_slice(&engine->append_last[i], largest_key(version, i));
            engine->append_floor[i] = *version_floor(version, i);
        }
    }
    engine_mark_hot(engine, version);
    mem_set_unref(active);
    version_release(version);
    atomic_store(&engine->view, view);
    return STATUS_OK;
}

/* Tables of a keyspace that the file's first record does not know would not be believed, and a
 * program that knows only the file's version would not know what is appended. */
static enum status renew_manifest(struct engine *engine, const struct manifest_state *state,
                                  struct error *err)
{
    if (state->keyspace_count == engine->options.keyspace_count &&
        !manifest_is_too_old(engine->manifest)) {
        return STATUS_OK;
    }
    struct edit full;
    edit_init(&full, engine->alloc);
    struct version *version = catalog_acquire(engine->catalog);
    uint64_t number = atomic_fetch_add(&engine->next_file, 1);
    version_describe(version, &full);
    full.full = true;
    full.has_seal = state->seal_count > 0;
    full.seal_count = state->seal_count;
    full.owner_state = buf_slice(&state->owner_state);
    full.last_sequence = state->last_sequence;
    full.next_file = number + 1;
    enum status status = manifest_rewrite(engine->manifest, number, &full, err);
    version_release(version);
    edit_release(&full);
    return status;
}

static enum status recover(struct engine *engine, struct error *err)
{
    struct manifest_state state;
    manifest_state_init(&state, engine->alloc);
    enum status status = open_manifest(engine, &state, err);
    if (status == STATUS_OK) {
        status = take_inventory(engine, &state, err);
    }
    if (status == STATUS_OK) {
        status = open_catalog(engine, &state, err);
    }
    if (status == STATUS_OK) {
        status = renew_manifest(engine, &state, err);
    }
    if (status == STATUS_OK) {
        status = open_view(engine, err);
    }
    if (status == STATUS_OK) {
        buf_append_slice(&engine->owner_state, buf_slice(&state.owner_state));
        status = buf_failed(&engine->owner_state) ? no_memory(err) : STATUS_OK;
        engine->sealed_count = state.seal_count;
        engine->seal_number = state.seal_count;
        engine->durable_sequence = state.last_sequence;
        atomic_store(&engine->last_sequence, state.last_sequence);
    }
    manifest_state_release(&state);
    return status;
}

enum status engine_open(const struct engine_options *options, struct engine **out,
                        struct error *err)
{
    CHECK(options->fs != NULL && options->executor != NULL);
    check_keyspaces(options);
    struct alloc *alloc = options->alloc == NULL ? alloc_default() : options->alloc;
    struct engine *engine = new_engine(alloc, options);
    if (engine == NULL) {
        return no_memory(err);
    }
    enum status status = allocate(engine, options, err);
    if (status == STATUS_OK) {
        status = recover(engine, err);
    }
    if (status != STATUS_OK) {
        engine_close(engine);
        return status;
    }
    engine->writer_view = engine_view_acquire(engine);
    if (engine->missing.status != STATUS_OK) {
        engine_tell_damage(engine, &engine->missing);
    }
    engine_submit_compactions(engine);
    *out = engine;
    return STATUS_OK;
}

void engine_close(struct engine *engine)
{
    if (engine == NULL) {
        return;
    }
    CHECK(engine->snapshots.count == 0);
    atomic_store(&engine->closing, true);
    engine_jobs_release(engine);
    view_unref(engine->writer_view);
    view_unref(atomic_load(&engine->view));
    catalog_close(engine->catalog);
    epoch_release(&engine->epoch);
    manifest_close(engine->manifest);
    block_cache_free(engine->cache);
    edit_release(&engine->flush_edit);
    for (size_t i = 0; i < KEYSPACES_MAX; i++) {
        buf_release(&engine->append_last[i]);
    }
    buf_release(&engine->owner_state);
    condition_release(&engine->changed);
    rate_limit_release(&engine->rate);
    mutex_release(&engine->mutex);
    mutex_release(&engine->edit_mutex);
    codec_memory_release(&engine->codec_memory);
    mutex_release(&engine->pick_mutex);
    alloc_free(engine->alloc, engine->keyspaces);
    alloc_free(engine->alloc, engine->dir);
    alloc_free(engine->alloc, engine);
}

/* --- the last seal ------------------------------------------------------------------------- */

enum status engine_sealed_state(struct engine *engine, struct buf *out, struct error *err)
{
    mutex_lock(&engine->mutex);
    buf_append_slice(out, buf_slice(&engine->owner_state));
    mutex_unlock(&engine->mutex);
    return buf_failed(out) ? no_memory(err) : STATUS_OK;
}

uint64_t engine_sealed_count(struct engine *engine)
{
    mutex_lock(&engine->mutex);
    uint64_t count = engine->sealed_count;
    mutex_unlock(&engine->mutex);
    return count;
}
