/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/tree/compact.h"

#include "base/check.h"
#include "storage/table/key.h"
#include "storage/tree/iter_level.h"
#include "storage/tree/iter_merge.h"

/* Large reads: the inputs are read from end to end once. */
#define COMPACT_READAHEAD_BYTES (512 * KIB)

/* The first table of a level that does not end before the key, or NULL. It is asked of keys that
 * ascend, so the place only moves on. */
static const struct table_file *place_in_level(struct compact *compact, unsigned level,
                                               struct slice user_key)
{
    struct compact_below *below = &compact->below[level];
    size_t count = version_count(compact->version, compact->pick.keyspace, level);
    while (below->at < count) {
        if (below->file == NULL) {
            below->file = version_at(compact->version, compact->pick.keyspace, level, below->at);
        }
        if (slice_compare(internal_key_user(below->file->largest), user_key) >= 0) {
            break;
        }
        below->at++;
        below->file = NULL;
    }
    return below->file;
}

/* True if a level below the output may hold the key. */
static bool lies_below(void *context, struct slice user_key)
{
    struct compact *compact = context;
    for (unsigned level = compact->pick.level + 2; level < TREE_LEVELS; level++) {
        const struct table_file *file = place_in_level(compact, level, user_key);
        if (file != NULL && slice_compare(internal_key_user(file->smallest), user_key) <= 0) {
            return true;
        }
    }
    return false;
}

/* True if a table of the level below the output ends between the key and the one written before. */
static bool passes_a_table_below(struct compact *compact, struct slice user_key)
{
    unsigned level = compact->pick.level + 2;
    if (level >= TREE_LEVELS) {
        return false;
    }
    (void)place_in_level(compact, level, user_key);
    bool passes = compact->below[level].at != compact->last_at;
    compact->last_at = compact->below[level].at;
    return passes;
}

static const struct table_read_options read_options = {
    .fill_cache = false,
    .readahead_bytes = COMPACT_READAHEAD_BYTES,
};

static enum status open_level0(struct compact *compact, struct iter **children, size_t *count,
                               struct error *err)
{
    for (size_t i = compact->pick.begin; i < compact->pick.end; i++) {
        struct table *table = NULL;
        struct table_file *file = version_at(compact->version, compact->pick.keyspace, 0, i);
        enum status status = table_file_open(file, &table, err);
        if (status == STATUS_OK) {
            status = table_iter_new(table, &read_options, &children[*count], err);
        }
        if (status != STATUS_OK) {
            return status;
        }
        (*count)++;
    }
    return STATUS_OK;
}

static enum status open_run(struct compact *compact, struct alloc *alloc, unsigned level,
                            size_t begin, size_t end, struct iter **children, size_t *count,
                            struct error *err)
{
    if (begin == end) {
        return STATUS_OK;
    }
    enum status status = iter_level_new(alloc, compact->version, compact->pick.keyspace, level,
                                        begin, end, &read_options, &children[*count], err);
    *count += status == STATUS_OK ? 1 : 0;
    return status;
}

static enum status open_inputs(struct compact *compact, struct alloc *alloc, struct error *err)
{
    const struct pick *pick = &compact->pick;
    struct iter **children = alloc_zeroed(alloc, pick->end - pick->begin + 1, sizeof *children);
    if (children == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a compaction");
    }
    size_t count = 0;
    enum status status = STATUS_OK;
    if (pick->level == 0) {
        status = open_level0(compact, children, &count, err);
    } else {
        status =
            open_run(compact, alloc, pick->level, pick->begin, pick->end, children, &count, err);
    }
    if (status == STATUS_OK) {
        status = open_run(compact, alloc, pick->level + 1, pick->below_begin, pick->below_end,
                          children, &count, err);
    }
    if (status == STATUS_OK) {
        status = iter_merge_new(alloc, children, count, &compact->iter, err);
    } else {
        for (size_t i = 0; i < count; i++) {
            iter_close(children[i]);
        }
    }
    alloc_free(alloc, children);
    return status;
}

static void remove_inputs(struct compact *compact)
{
    const struct pick *pick = &compact->pick;
    for (size_t i = pick->begin; i < pick->end; i++) {
        edit_remove_table(compact->edit, pick->keyspace, pick->level,
                          version_at(compact->version, pick->keyspace, pick->level, i)->number);
    }
    for (size_t i = pick->below_begin; i < pick->below_end; i++) {
        edit_remove_table(compact->edit, pick->keyspace, pick->level + 1,
                          version_at(compact->version, pick->keyspace, pick->level + 1, i)->number);
    }
}

enum status compact_init(struct compact *compact, const struct output_place *place,
                         const struct keyspace_options *keyspaces, struct version *version,
                         const struct pick *pick, const uint64_t *snapshots, size_t snapshot_count,
                         struct edit *edit, struct error *err)
{
    CHECK(pick->begin < pick->end || pick->below_begin < pick->below_end);
    CHECK(edit_add_count(edit) == 0 && edit_remove_count(edit) == 0);
    *compact = (struct compact){.version = version, .pick = *pick, .edit = edit};
    remove_inputs(compact);
    if (!pick->move && !pick->drop) {
        enum status status = open_inputs(compact, place->alloc, err);
        if (status != STATUS_OK) {
            return status;
        }
    }
    version_ref(version);
    retain_init(&compact->retain, place->alloc, snapshots, snapshot_count, lies_below, compact);
    output_init(&compact->output, place, &keyspaces[pick->keyspace], pick->keyspace,
                pick->level + 1, edit);
    return STATUS_OK;
}

static enum status no_memory(struct error *err)
{
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for an edit");
}

static enum status move_down(struct compact *compact, struct error *err)
{
    const struct pick *pick = &compact->pick;
    const struct table_file *file =
        version_at(compact->version, pick->keyspace, pick->level, pick->begin);
    edit_add_table(compact->edit, pick->keyspace, pick->level + 1, file->number, file->bytes,
                   file->entries, file->smallest, file->largest);
    edit_set_times(compact->edit, &file->times);
    return edit_failed(compact->edit) ? no_memory(err) : STATUS_OK;
}

/* A value that all readers see, with nothing older below it, is as well of sequence 0: that is the
 * same for all keys and takes no room, where sequences take 2 to 3 bytes each that no codec
 * shrinks. It is then the only version of its key here: all readers see it, so older ones went. */
static enum status put_out(struct compact *compact, struct slice key, struct slice value,
                           struct error *err)
{
    uint8_t timeless[INTERNAL_KEY_BYTES_MAX];
    bool good_end = passes_a_table_below(compact, internal_key_user(key));
    if (internal_key_type(key) == KEY_PUT &&
        retain_is_seen_by_all(&compact->retain, internal_key_sequence(key)) &&
        !lies_below(compact, internal_key_user(key))) {
        size_t length = internal_key_put(timeless, internal_key_user(key), 0, KEY_PUT);
        key = slice_of(timeless, length);
    }
    return output_add(&compact->output, key, value, good_end, err);
}

/* What is below is not even read. */
static void begin_at_floor(struct compact *compact)
{
    uint8_t target[FLOOR_BYTES_MAX + KEY_TRAILER_BYTES];
    const struct floor *floor = &compact->pick.floor;
    if (floor->length == 0) {
        iter_seek_to_first(compact->iter);
        return;
    }
    size_t length = internal_key_put(target, floor_key(floor), SEQUENCE_MAX, KEY_SEEK);
    iter_seek(compact->iter, slice_of(target, length));
}

enum status compact_step(struct compact *compact, size_t bytes, bool *done, struct error *err)
{
    CHECK(bytes > 0);
    *done = false;
    if (compact->pick.move) {
        *done = true;
        return move_down(compact, err);
    }
    if (compact->pick.drop) {
        *done = !edit_failed(compact->edit);
        return *done ? STATUS_OK : no_memory(err);
    }
    if (!compact->positioned) {
        begin_at_floor(compact);
        compact->positioned = true;
    }
    while (bytes > 0 && iter_valid(compact->iter)) {
        struct slice key = iter_key(compact->iter);
        struct slice value = iter_value(compact->iter);
        bool keep = false;
        enum status status = retain_next(&compact->retain, key, &keep, err);
        if (status == STATUS_OK && keep) {
            status = put_out(compact, key, value, err);
        }
        if (status != STATUS_OK) {
            return status;
        }
        size_t moved = key.length + value.length;
        compact->read += moved;
        bytes -= moved < bytes ? moved : bytes;
        iter_next(compact->iter);
    }
    if (iter_valid(compact->iter)) {
        return STATUS_OK;
    }
    enum status status = iter_status(compact->iter, err);
    if (status == STATUS_OK) {
        status = output_finish(&compact->output, err);
    }
    if (status == STATUS_OK && edit_failed(compact->edit)) {
        status = no_memory(err);
    }
    *done = status == STATUS_OK;
    return status;
}

void compact_release(struct compact *compact)
{
    iter_close(compact->iter);
    compact->iter = NULL;
    output_release(&compact->output);
    retain_release(&compact->retain);
    version_release(compact->version);
    compact->version = NULL;
}
