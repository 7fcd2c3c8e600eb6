/* SPDX-License-Identifier: Apache-2.0 */
#include "node/deep_audit.h"

#include "base/check.h"
#include "node/event_record.h"
#include "node/keyspaces.h"

enum status deep_audit_init(struct deep_audit *audit, struct engine *engine,
                            struct tile_store *tiles, uint64_t size, struct error *err)
{
    *audit = (struct deep_audit){.engine = engine, .tiles = tiles, .size = size};
    log_tree_init(&audit->tree);
    return hasher_init(&audit->hasher, err);
}

void deep_audit_release(struct deep_audit *audit)
{
    hasher_release(&audit->hasher);
}

/* Adds [begin, end) to the piece's damage, to its last range if they touch or the list is full. */
static void note_damage(struct deep_audit *audit, uint64_t begin, uint64_t end, const char *cause)
{
    CHECK(begin < end);
    if (audit->damaged_count == 0) {
        (void)snprintf(audit->cause, sizeof audit->cause, "%s", cause);
    }
    struct damaged_range *last =
        audit->damaged_count == 0 ? NULL : &audit->damaged[audit->damaged_count - 1];
    if (last != NULL && (last->end == begin || audit->damaged_count == DEEP_DAMAGED_MAX)) {
        last->end = end;
        return;
    }
    audit->damaged[audit->damaged_count++] = (struct damaged_range){.begin = begin, .end = end};
}

static enum status open_at(struct deep_audit *audit, uint64_t begin, uint64_t end,
                           struct engine_iter **out, struct error *err)
{
    uint8_t begin_key[POSITION_KEY_BYTES];
    uint8_t end_key[POSITION_KEY_BYTES];
    position_key(begin, begin_key);
    position_key(end, end_key);
    const struct engine_iter_options options = {.begin = slice_of(begin_key, sizeof begin_key),
                                                .end = slice_of(end_key, sizeof end_key),
                                                .no_fill_cache = true,
                                                .past_cache = true};
    enum status status = engine_iter_new(audit->engine, NULL, KEYSPACE_EVENTS, &options, out, err);
    if (status == STATUS_OK) {
        engine_iter_seek_first(*out);
    }
    return status;
}

/* A tile above the leaves, against what the leaves make it. */
static enum status check_upper_tile(struct deep_audit *audit, unsigned level, uint64_t index,
                                    struct error *err)
{
    struct hash stored[TILE_HASHES];
    const uint64_t leaves = 1ULL << (TILE_HEIGHT * (level + 1));
    if (audit->edited_end > index * leaves) {
        return STATUS_OK; /* that is the damage; what is above it differs for it */
    }
    enum status status =
        tile_store_read_stored(audit->tiles, level, index, TILE_HASHES, stored, err);
    if (status == STATUS_RESOURCE_EXHAUSTED) {
        return status;
    }
    if (status == STATUS_OK && memcmp(stored, audit->tree.edge[level], sizeof stored) != 0) {
        status = error_set(err, STATUS_CORRUPT, "tile %u/%lu is not that of its leaves", level,
                           (unsigned long)index);
    }
    if (status != STATUS_OK) {
        note_damage(audit, index * leaves, (index + 1) * leaves, err->text);
    }
    return STATUS_OK;
}

/* The upper tiles that became full with the last leaf, if they are due: proofs go through them. The
 * tree has them until its next leaf comes. */
static enum status check_upper_tiles(struct deep_audit *audit, struct error *err)
{
    enum status status = STATUS_OK;
    for (unsigned level = 1; audit->upper_due && status == STATUS_OK; level++) {
        const uint64_t leaves = 1ULL << (TILE_HEIGHT * (level + 1));
        if (level + 1 == TILE_LEVELS || audit->position % leaves != 0) {
            break;
        }
        status = check_upper_tile(audit, level, audit->position / leaves - 1, err);
    }
    audit->upper_due = audit->upper_due && status != STATUS_OK;
    return status;
}

/* One event against its leaf. */
static void check_event(struct deep_audit *audit, uint64_t position, struct slice stored,
                        const struct hash *expected)
{
    struct event_record record;
    struct error err = ERROR_INIT;
    audit->bytes_read += stored.length;
    if (event_record_decode(position, stored, &record, &err) != STATUS_OK) {
        audit->unreadable = true;
        note_damage(audit, position, position + 1, err.text);
        return;
    }
    struct hash leaf = event_record_leaf(&audit->hasher, &record);
    if (!hash_equal(&leaf, expected)) {
        audit->edited_end = position + 1;
        note_damage(audit, position, position + 1,
                    "the stored event does not hash to the leaf of the log tree");
    }
    if (!audit->unreadable) {
        enum status status = log_tree_append(&audit->tree, &audit->hasher, &leaf, NULL, &err);
        CHECK(status == STATUS_OK); /* it would be the sink's */
    }
}

/* Checks a stretch of one tile, up to `end`, against its leaves, or as far as it can be read. */
static enum status check_stretch(struct deep_audit *audit, uint64_t end, const struct hash *leaves,
                                 struct error *err)
{
    struct engine_iter *iter = NULL;
    enum status status = open_at(audit, audit->position, end, &iter, err);
    if (status != STATUS_OK) {
        return status;
    }
    for (; audit->position < end && engine_iter_valid(iter); engine_iter_next(iter)) {
        struct slice key = engine_iter_key(iter);
        if (key.length != POSITION_KEY_BYTES || get_be64(key.data) != audit->position) {
            break;
        }
        check_event(audit, audit->position, engine_iter_value(iter), leaves++);
        audit->position++;
    }
    if (audit->position < end) {
        status = engine_iter_status(iter, err);
        if (status == STATUS_OK) {
            status = error_set(err, STATUS_DATA_LOSS, "the event at position %lu is missing",
                               (unsigned long)audit->position);
        }
    }
    engine_iter_close(iter);
    return status;
}

/* Checks what is left before `end`, of one tile. */
static enum status check_tile(struct deep_audit *audit, uint64_t end, struct error *err)
{
    uint64_t begin = audit->position;
    uint64_t tile = begin / TILE_HASHES;
    unsigned skip = (unsigned)(begin - tile * TILE_HASHES);
    struct hash leaves[TILE_HASHES];
    enum status status = tile_store_read_stored(audit->tiles, 0, tile,
                                                (unsigned)(end - tile * TILE_HASHES), leaves, err);
    if (status == STATUS_RESOURCE_EXHAUSTED) {
        return status;
    }
    /* Without the tile no event of it can be checked against the tree. */
    if (status != STATUS_OK) {
        audit->unreadable = true;
        note_damage(audit, begin, end, err->text);
        audit->position = end;
        return STATUS_OK;
    }
    status = check_stretch(audit, end, leaves + skip, err);
    if (status == STATUS_OK || status == STATUS_RESOURCE_EXHAUSTED) {
        return status;
    }
    audit->unreadable = true;
    note_damage(audit, audit->position, audit->position + 1, err->text);
    audit->position++;
    return STATUS_OK;
}

enum status deep_audit_step(struct deep_audit *audit, bool *more, struct error *err)
{
    audit->damaged_count = 0;
    audit->cause[0] = '\0';
    uint64_t bytes_end = audit->bytes_read + DEEP_PIECE_BYTES;
    uint64_t piece_end = audit->position + DEEP_PIECE_EVENTS;
    piece_end = piece_end < audit->size ? piece_end : audit->size;
    enum status status = check_upper_tiles(audit, err); /* if memory was short for it before */
    while (status == STATUS_OK && audit->position < piece_end && audit->bytes_read < bytes_end) {
        uint64_t tile_end = (audit->position / TILE_HASHES + 1) * TILE_HASHES;
        status = check_tile(audit, tile_end < piece_end ? tile_end : piece_end, err);
        if (status == STATUS_OK) {
            audit->upper_due =
                !audit->unreadable && audit->position % ((uint64_t)TILE_HASHES * TILE_HASHES) == 0;
            status = check_upper_tiles(audit, err);
        }
    }
    *more = audit->position < audit->size || audit->upper_due;
    return status;
}

bool deep_audit_root(struct deep_audit *audit, struct hash *root)
{
    CHECK(audit->position == audit->size);
    if (audit->unreadable) {
        return false;
    }
    *root = log_tree_root(&audit->tree, &audit->hasher);
    return true;
}
