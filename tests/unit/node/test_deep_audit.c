/* SPDX-License-Identifier: Apache-2.0
 *
 * A deep audit finds what does not fit: an event that is not its leaf, a tile above the leaves that
 * is not theirs. Enough events for one full tile of level 1.
 */
#include "node/deep_audit.h"

#include "testlib/test.h"

#include "node/event_record.h"
#include "node/keyspaces.h"
#include "testlib/clock_manual.h"
#include "testlib/executor_manual.h"
#include "testlib/fs_crash.h"

#define EVENTS ((uint64_t)TILE_HASHES * TILE_HASHES)
#define NOBODY UINT64_MAX

struct store {
    struct fs_crash *crash;
    struct clock_manual clock;
    struct executor_manual background;
    struct engine *engine;
    struct tile_store *tiles;
    uint64_t edited;     /* this event is stored otherwise than it was hashed */
    bool upper_is_wrong; /* so is the tile above all leaves */
    struct hash leaves[TILE_HASHES];
    struct error err;
};

static void on_wait(void *context)
{
    struct store *store = context;
    (void)executor_manual_step(&store->background);
}

static void put_event(struct store *store, uint64_t position, struct batch *batch,
                      struct batch *hashed)
{
    uint8_t bytes[64];
    uint8_t key[POSITION_KEY_BYTES];
    struct event_record record = {.position = position,
                                  .time_ns = 1000 + position,
                                  .version = position,
                                  .kind = EVENT_KIND_CREATE,
                                  .key = slice_of_string("k"),
                                  .payload = slice_of_string("what was said")};
    struct hash *leaf = &store->leaves[position % TILE_HASHES];
    *leaf = event_record_leaf(tile_store_hasher(store->tiles), &record);
    assert_ok(tile_store_append(store->tiles, leaf, hashed, &store->err), &store->err);
    if (position == store->edited) {
        record.payload = slice_of_string("what is said");
    }
    size_t length = event_record_length(&record);
    assert_true(length <= sizeof bytes);
    event_record_encode(&record, bytes);
    position_key(position, key);
    batch_put(batch, KEYSPACE_EVENTS, slice_of(key, sizeof key), slice_of(bytes, length));
}

/* The events of a tile of leaves. Its last leaf may fill the tile above, too. */
static void put_tile(struct store *store, uint64_t index)
{
    struct batch batch;
    struct batch hashed;
    uint8_t key[TILE_KEY_BYTES];
    batch_init(&batch, alloc_default());
    batch_init(&hashed, alloc_default());
    for (uint64_t i = 0; i < TILE_HASHES; i++) {
        put_event(store, index * TILE_HASHES + i, &batch, &hashed);
    }
    assert_ok(engine_write(store->engine, &batch, &store->err), &store->err);
    if (index + 1 == TILE_HASHES && store->upper_is_wrong) {
        batch_clear(&hashed);
        for (uint8_t level = 0; level < 2; level++) { /* the same hashes for both */
            tile_key(level, level == 0 ? index : 0, key);
            batch_put(&hashed, KEYSPACE_TILES, slice_of(key, sizeof key),
                      slice_of(store->leaves, TILE_BYTES_MAX));
        }
    }
    assert_ok(engine_write(store->engine, &hashed, &store->err), &store->err);
    batch_release(&batch);
    batch_release(&hashed);
}

static void open_store(struct store *store, uint64_t edited, bool upper_is_wrong)
{
    *store =
        (struct store){.crash = fs_crash_new(), .edited = edited, .upper_is_wrong = upper_is_wrong};
    clock_manual_init(&store->clock, NS_PER_S);
    executor_manual_init(&store->background, 1);
    const struct engine_options options = {.fs = fs_crash_fs(store->crash),
                                           .clock = &store->clock.clock,
                                           .executor = &store->background.executor,
                                           .dir = "tables",
                                           .keyspaces = keyspaces_layout(),
                                           .keyspace_count = KEYSPACE_COUNT,
                                           .memtable_bytes = 64 * MIB,
                                           .on_wait = on_wait,
                                           .context = store};
    assert_ok(engine_open(&options, &store->engine, &store->err), &store->err);
    assert_ok(tile_store_open(alloc_default(), store->engine, slice_of(NULL, 0), &store->tiles,
                              &store->err),
              &store->err);
    for (uint64_t i = 0; i < TILE_HASHES; i++) {
        put_tile(store, i);
    }
    tile_store_publish(store->tiles);
}

static void close_store(struct store *store)
{
    tile_store_close(store->tiles);
    executor_close(&store->background.executor);
    engine_close(store->engine);
    fs_crash_free(store->crash);
}

/* Audits all of it; returns the only damage, if there is some, and the root of what was read. */
static struct damaged_range audit_all(struct store *store, char *cause, size_t cause_bytes,
                                      struct hash *root)
{
    static struct deep_audit audit;
    struct damaged_range damaged = {.begin = NOBODY, .end = NOBODY};
    bool more = true;
    assert_ok(deep_audit_init(&audit, store->engine, store->tiles, EVENTS, &store->err),
              &store->err);
    while (more) {
        assert_ok(deep_audit_step(&audit, &more, &store->err), &store->err);
        if (audit.damaged_count > 0) {
            assert_int_equal(audit.damaged_count, 1);
            assert_int_equal(damaged.begin, NOBODY);
            damaged = audit.damaged[0];
            (void)snprintf(cause, cause_bytes, "%s", audit.cause);
        }
    }
    assert_true(deep_audit_root(&audit, root));
    deep_audit_release(&audit);
    return damaged;
}

static void check(uint64_t edited, bool upper_is_wrong, uint64_t begin, uint64_t end,
                  const char *cause)
{
    static struct store store;
    char said[256] = "";
    uint64_t size = 0;
    struct hash root;
    struct hash expected;
    open_store(&store, edited, upper_is_wrong);
    struct damaged_range damaged = audit_all(&store, said, sizeof said, &root);
    assert_int_equal(damaged.begin, begin);
    assert_int_equal(damaged.end, end);
    assert_non_null(strstr(said, cause));
    tile_store_head(store.tiles, tile_store_hasher(store.tiles), &size, &expected);
    assert_int_equal(size, EVENTS);
    assert_int_equal(hash_equal(&root, &expected), edited == NOBODY);
    close_store(&store);
}

static void nothing_is_wrong(void **state)
{
    (void)state;
    check(NOBODY, false, NOBODY, NOBODY, "");
}

static void an_event_is_edited(void **state)
{
    (void)state;
    check(4711, false, 4711, 4712, "does not hash to the leaf");
}

static void an_upper_tile_is_wrong(void **state)
{
    (void)state;
    check(NOBODY, true, 0, EVENTS, "tile 1/0 is not that of its leaves");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_wrong),
        cmocka_unit_test(an_event_is_edited),
        cmocka_unit_test(an_upper_tile_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
