/* SPDX-License-Identifier: Apache-2.0
 *
 * The index of two levels: when it is made, what of it is held, and each lie that checksums cannot
 * show. That such tables yield what others do is in test_table.c, that damage is found in
 * test_table_damage.c.
 */
#include "base/crc32c.h"
#include "storage/table/table_index.h"
#include "table_file_fixture.h"

enum { ENTRIES = 400, PARTITION_BYTES = 130, PARTITIONS_MAX = 400 };

static struct table_writer_options small_options(const char *path)
{
    struct table_writer_options options = fixture_options(path, CODEC_NONE);
    options.block_bytes = 128;
    options.index_partition_bytes = PARTITION_BYTES;
    return options;
}

static void footer_of(struct slice bytes, struct table_footer *footer)
{
    struct error err = ERROR_INIT;
    assert_ok(table_footer_decode(bytes.data + bytes.length - TABLE_FOOTER_BYTES, bytes.length,
                                  footer, &err),
              &err);
}

static struct slice contents_of(struct slice bytes, struct block_handle handle)
{
    return slice_of(bytes.data + handle.offset, (size_t)handle.length - TABLE_BLOCK_TRAILER_BYTES);
}

static void write_table(const struct table_writer_options *options,
                        const struct reference *reference)
{
    struct error err = ERROR_INIT;
    struct table_info info;
    assert_ok(write_reference(options, reference, &info, &err), &err);
    table_info_release(&info);
}

static void make_reference(struct reference *reference)
{
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    reference_make(reference, &seeded.rng, ENTRIES, 40);
}

/* --- when, and what is held ------------------------------------------------------------------ */

/* An index is cut if it is larger than INDEX_PARTITIONS_MIN partitions; data blocks and filter are
 * the same either way. */
static void test_large_indexes_have_two_levels(void **state)
{
    struct temp_dir *dir = *state;
    struct reference reference;
    make_reference(&reference);
    struct table_writer_options options = small_options(temp_dir_path(dir, "one"));
    options.index_partition_bytes = 0;
    write_table(&options, &reference);
    struct buf one;
    struct table_footer one_footer;
    read_bytes(options.path, &one);
    footer_of(buf_slice(&one), &one_footer);
    assert_false(one_footer.two_levels);
    size_t index_bytes = contents_of(buf_slice(&one), one_footer.index).length;
    for (int cut = 0; cut < 2; cut++) {
        options.path = temp_dir_path(dir, cut != 0 ? "cut" : "whole");
        /* At the limit it is not yet cut. */
        size_t partitions = INDEX_PARTITIONS_MIN;
        options.index_partition_bytes =
            (uint32_t)((index_bytes + partitions - 1) / partitions) - (uint32_t)cut;
        write_table(&options, &reference);
        struct buf bytes;
        struct table_footer footer;
        read_bytes(options.path, &bytes);
        footer_of(buf_slice(&bytes), &footer);
        assert_int_equal(footer.two_levels, cut != 0);
        assert_int_equal(footer.filter.offset, one_footer.filter.offset);
        assert_memory_equal(bytes.data, one.data, footer.filter.offset + footer.filter.length);
        buf_release(&bytes);
    }
    buf_release(&one);
    reference_release(&reference);
}

static void get_all(struct table *table, const struct reference *reference)
{
    struct buf value;
    buf_init(&value, alloc_default(), VALUE_BYTES_MAX);
    for (size_t i = 0; i < reference->count; i++) {
        struct error err = ERROR_INIT;
        struct slice key = reference->entries[i].key;
        enum lookup result = LOOKUP_ABSENT;
        assert_ok(table_get(table, internal_key_user(key), internal_key_sequence(key), NULL,
                            &result, &value, &err),
                  &err);
        assert_int_not_equal(result, LOOKUP_ABSENT);
    }
    buf_release(&value);
}

/* The open table holds the top level alone; partitions are blocks of the cache, which are read
 * once and counted as the index's. */
static void test_partitions_go_through_the_cache(void **state)
{
    struct temp_dir *dir = *state;
    struct error err = ERROR_INIT;
    struct reference reference;
    make_reference(&reference);
    struct table *tables[2];
    struct block_cache *caches[2];
    for (int two = 0; two < 2; two++) {
        struct table_writer_options options = small_options(temp_dir_path(dir, two ? "b" : "a"));
        options.index_partition_bytes = two != 0 ? PARTITION_BYTES : 0;
        write_table(&options, &reference);
        struct table_open_options open = open_options(options.path);
        caches[two] = block_cache_new(alloc_default(), 1UL << 24);
        open.cache = caches[two];
        assert_ok(table_open(&open, &tables[two], &err), &err);
    }
    struct block_cache_stats before;
    struct block_cache_stats one;
    struct block_cache_stats two;
    block_cache_stats(caches[1], &before);
    get_all(tables[0], &reference);
    get_all(tables[1], &reference);
    block_cache_stats(caches[0], &one);
    block_cache_stats(caches[1], &two);
    assert_int_equal(one.kinds[BLOCK_INDEX].misses, 0);
    assert_true(two.kinds[BLOCK_INDEX].misses > 8);
    assert_int_equal(two.kinds[BLOCK_INDEX].insertions - before.kinds[BLOCK_INDEX].insertions,
                     two.kinds[BLOCK_INDEX].misses);
    assert_int_equal(two.kinds[BLOCK_INDEX].hits + two.kinds[BLOCK_INDEX].misses, reference.count);
    assert_int_equal(two.kinds[BLOCK_DATA].misses, one.kinds[BLOCK_DATA].misses);
    assert_true(two.kinds[BLOCK_INDEX].pinned_bytes * 2 < one.kinds[BLOCK_INDEX].pinned_bytes);
    for (int i = 0; i < 2; i++) {
        table_unref(tables[i]);
        block_cache_free(caches[i]);
    }
    reference_release(&reference);
}

/* --- lies ------------------------------------------------------------------------------------ */

enum lie {
    LIE_NONE,
    /* Of the top level: the table does not open. */
    LIE_TOP_KEY,        /* the last key is another */
    LIE_TOP_DATA_BEGIN, /* a partition without blocks */
    LIE_TOP_GAP,        /* a partition is left out */
    LIE_TOP_END,        /* the last partition is left out, and the one before has its key */
    LIE_TOP_ORDER,      /* two partitions change places */
    LIE_TOP_SHORT,      /* an entry does not say where the data begin */
    /* Of the partition in the middle: what needs it fails. */
    LIES_OF_A_PARTITION,
    LIE_TOP_LIMIT = LIES_OF_A_PARTITION, /* the top level says that data begin elsewhere */
    LIE_FOREIGN,                         /* it is the one behind it */
    LIE_FIRST,                           /* its first entry is left out */
    LIE_MIDDLE,                          /* an inner one */
    LIE_LAST,                            /* its last one */
    LIE_OFFSET,                          /* a block begins later than it does */
    LIE_LENGTH,                          /* a block is longer than it is */
    LIE_EMPTY,                           /* a block has no bytes, and the next one has them */
    LIE_KEYS_FALL,                       /* a key is that of the partition before */
    LIE_LAST_KEY,                        /* the last key is lower than it should be */
    LIE_HANDLE,                          /* an entry has no place of a block */
    LIE_RESTART,                         /* a restart point is at no entry */
    LIE_RESTART_SHARED,                  /* a restart point is at a key that is not whole */
    LIES,
};

struct forge {
    struct slice bytes; /* of the sound file */
    struct table_footer footer;
    struct index_entry parts[PARTITIONS_MAX];
    size_t count;
    size_t target;
    uint32_t shared;  /* in the target: where an entry is whose key is not whole */
    uint64_t emptied; /* bytes of the block that the lie leaves without any */
    enum lie lie;
    struct buf out;
    struct block_handle damaged; /* of the target, in `out` */
};

static void append_sealed(struct forge *forge, struct slice contents, struct block_handle *handle)
{
    size_t begin = forge->out.length;
    buf_append_slice(&forge->out, contents);
    table_block_seal(&forge->out, begin, CODEC_NONE, FIXTURE_FILE_NUMBER, begin);
    *handle = (struct block_handle){.offset = begin, .length = forge->out.length - begin};
}

/* The key right before `key`, if there is room: the same user key, a sequence later. */
static struct slice key_below(struct slice key, uint8_t *to)
{
    uint64_t sequence = internal_key_sequence(key) + 1;
    return slice_of(to, internal_key_put(to, internal_key_user(key), sequence, KEY_DELETE));
}

/* True if every lie can be told in the partition: it has two restart points, a key that shares with
 * the one before, and room for a key below its last one. `*shared` is where that key's entry is. */
static bool is_good_target(struct slice raw, uint32_t *shared)
{
    static struct block_iter iter;
    uint8_t last[INTERNAL_KEY_BYTES_MAX];
    uint8_t below[INTERNAL_KEY_BYTES_MAX];
    struct slice before = slice_of(NULL, 0);
    bool has_room = false;
    *shared = 0;
    assert_true(block_iter_init(&iter, raw));
    for (block_iter_seek_to_first(&iter); block_iter_valid(&iter); block_iter_next(&iter)) {
        has_room =
            before.length > 0 && internal_key_compare(before, key_below(iter.key, below)) < 0;
        if (!block_iter_key_is_whole(&iter)) {
            *shared = iter.offset;
        }
        memcpy(last, iter.key.data, iter.key.length);
        before = slice_of(last, iter.key.length);
    }
    return iter.restarts_count == 2 && *shared > 0 && has_room;
}

/* Takes the top level of a sound file apart. The target is a partition in the middle. */
static void forge_init(struct forge *forge, struct slice bytes)
{
    static struct block_iter iter;
    *forge = (struct forge){.bytes = bytes};
    footer_of(bytes, &forge->footer);
    assert_true(forge->footer.two_levels);
    assert_true(block_iter_init(&iter, contents_of(bytes, forge->footer.index)));
    for (block_iter_seek_to_first(&iter); block_iter_valid(&iter); block_iter_next(&iter)) {
        struct cursor cursor = cursor_of(iter.value);
        struct index_entry *part = &forge->parts[forge->count++];
        part->last_key = iter.key;
        part->handle.offset = cursor_varint(&cursor);
        part->handle.length = cursor_varint(&cursor);
        part->data_begin = cursor_varint(&cursor);
        assert_true(cursor_done(&cursor));
        assert_true(forge->count < PARTITIONS_MAX);
    }
    forge->target = 2; /* a lie may concern the one before as well */
    while (
        !is_good_target(contents_of(bytes, forge->parts[forge->target].handle), &forge->shared)) {
        forge->target++;
        assert_true(forge->target + 1 < forge->count);
    }
}

/* The key of an entry of the target, as the lie has it. */
static struct slice forged_key(const struct forge *forge, struct slice key, size_t number,
                               bool is_last, uint8_t *to)
{
    if (forge->lie == LIE_KEYS_FALL && number == 0) {
        return forge->parts[forge->target - 1].last_key;
    }
    return forge->lie == LIE_LAST_KEY && is_last ? key_below(key, to) : key;
}

static void forged_value(struct forge *forge, struct slice value, size_t number, struct buf *out)
{
    struct block_handle handle;
    assert_true(table_handle_decode(value, &handle));
    if (forge->lie == LIE_EMPTY && number == 0) {
        forge->emptied = handle.length;
        handle.length = 0;
    } else if (forge->lie == LIE_EMPTY && number == 1) {
        handle.offset -= forge->emptied;
        handle.length += forge->emptied;
    }
    handle.offset += forge->lie == LIE_OFFSET && number == 1 ? 1 : 0;
    handle.length += forge->lie == LIE_LENGTH && number == 0 ? 1 : 0;
    buf_clear(out);
    table_handle_encode(out, handle);
    if (forge->lie == LIE_HANDLE && number == 1) {
        buf_put_u8(out, 0);
    }
}

/* The target anew, with the lie in it. */
static void append_target(struct forge *forge, struct block_handle *handle)
{
    static struct block_iter iter;
    struct block_builder builder;
    struct buf value;
    size_t from = forge->target + (forge->lie == LIE_FOREIGN ? 1 : 0);
    struct slice end = forge->parts[from].last_key;
    uint8_t bytes[INTERNAL_KEY_BYTES_MAX];
    buf_init(&value, alloc_default(), 64);
    block_builder_init(&builder, alloc_default(), INDEX_PARTITION_RESTARTS);
    assert_true(block_iter_init(&iter, contents_of(forge->bytes, forge->parts[from].handle)));
    size_t number = 0;
    for (block_iter_seek_to_first(&iter); block_iter_valid(&iter); block_iter_next(&iter)) {
        bool is_last = slice_equal(iter.key, end);
        bool left_out = (forge->lie == LIE_FIRST && number == 0) ||
                        (forge->lie == LIE_MIDDLE && number == 1) ||
                        (forge->lie == LIE_LAST && is_last);
        forged_value(forge, iter.value, number, &value);
        if (!left_out) {
            struct slice key = forged_key(forge, iter.key, number, is_last, bytes);
            assert_true(block_builder_add(&builder, key, buf_slice(&value)));
        }
        number++;
    }
    struct slice raw = block_builder_finish(&builder);
    if (forge->lie == LIE_RESTART || forge->lie == LIE_RESTART_SHARED) {
        put_le32((uint8_t *)(uintptr_t)raw.data + raw.length - 8,
                 forge->lie == LIE_RESTART ? 1 : forge->shared);
    }
    append_sealed(forge, raw, handle);
    block_builder_release(&builder);
    buf_release(&value);
}

static void append_top(struct forge *forge, const struct block_handle *handles)
{
    struct block_builder top;
    struct buf value;
    struct buf key;
    buf_init(&value, alloc_default(), 64);
    buf_init(&key, alloc_default(), INTERNAL_KEY_BYTES_MAX);
    block_builder_init(&top, alloc_default(), 1);
    for (size_t i = 0; i < forge->count; i++) {
        if (i == (forge->lie == LIE_TOP_GAP   ? forge->target
                  : forge->lie == LIE_TOP_END ? forge->count - 1
                                              : forge->count)) {
            continue;
        }
        uint64_t data_begin = forge->parts[i].data_begin;
        bool is_target = i == forge->target;
        data_begin += forge->lie == LIE_TOP_LIMIT && is_target ? 1 : 0;
        if (forge->lie == LIE_TOP_DATA_BEGIN && is_target) {
            data_begin = forge->parts[i - 1].data_begin;
        }
        size_t from = i;
        if (forge->lie == LIE_TOP_ORDER && (is_target || i == forge->target + 1)) {
            from = is_target ? i + 1 : i - 1;
        }
        buf_clear(&value);
        table_handle_encode(&value, handles[from]);
        if (forge->lie != LIE_TOP_SHORT || !is_target) {
            buf_put_varint(&value, data_begin);
        }
        buf_clear(&key);
        bool ends = forge->lie == LIE_TOP_END && i + 2 == forge->count;
        buf_append_slice(&key, forge->parts[ends ? i + 1 : i].last_key);
        if (forge->lie == LIE_TOP_KEY && i + 1 == forge->count) {
            put_be64(key.data + key.length - 8, key_trailer(SEQUENCE_MAX, KEY_PUT));
        }
        assert_true(block_builder_add(&top, buf_slice(&key), buf_slice(&value)));
    }
    append_sealed(forge, block_builder_finish(&top), &forge->footer.index);
    block_builder_release(&top);
    buf_release(&value);
    buf_release(&key);
}

/* Writes the table anew, with the lie. */
static void forge_file(struct forge *forge, const char *path, enum lie lie)
{
    static struct block_handle handles[PARTITIONS_MAX];
    struct table_footer sound = forge->footer;
    forge->lie = lie;
    buf_init(&forge->out, alloc_default(), 1UL << 26);
    buf_append(&forge->out, forge->bytes.data, sound.filter.offset + sound.filter.length);
    for (size_t i = 0; i < forge->count; i++) {
        if (i == forge->target) {
            append_target(forge, &handles[i]);
            forge->damaged = handles[i];
        } else {
            append_sealed(forge, contents_of(forge->bytes, forge->parts[i].handle), &handles[i]);
        }
    }
    append_top(forge, handles);
    append_sealed(forge, contents_of(forge->bytes, sound.properties), &forge->footer.properties);
    uint8_t bytes[TABLE_FOOTER_BYTES];
    table_footer_encode(&forge->footer, bytes);
    buf_append(&forge->out, bytes, sizeof bytes);
    assert_false(buf_failed(&forge->out));
    write_bytes(fs_posix(), path, buf_slice(&forge->out));
    buf_release(&forge->out);
    forge->footer = sound;
}

/* True if the key's data block is in the target. */
static bool is_in_target(const struct forge *forge, struct slice key)
{
    return internal_key_compare(key, forge->parts[forge->target].last_key) <= 0 &&
           internal_key_compare(key, forge->parts[forge->target - 1].last_key) > 0;
}

static void assert_names(const struct forge *forge, const struct error *err, const char *path)
{
    char place[64];
    (void)snprintf(place, sizeof place,
                   "block at %llu: ", (unsigned long long)forge->damaged.offset);
    assert_int_equal(err->status, STATUS_CORRUPT);
    assert_non_null(strstr(err->text, path));
    assert_non_null(strstr(err->text, place));
}

/* Keys of the target are CORRUPT; those of other partitions are found. */
static void assert_gets(const struct forge *forge, struct table *table,
                        const struct reference *reference)
{
    size_t corrupt = 0;
    for (size_t i = 0; i < reference->count; i++) {
        struct error err = ERROR_INIT;
        struct slice key = reference->entries[i].key;
        enum lookup result = LOOKUP_ABSENT;
        enum status status = table_get(table, internal_key_user(key), internal_key_sequence(key),
                                       NULL, &result, NULL, &err);
        if (is_in_target(forge, key)) {
            assert_int_equal(status, STATUS_CORRUPT);
            assert_names(forge, &err, table_path(table));
            corrupt++;
        } else if (forge->lie != LIE_TOP_LIMIT) {
            assert_ok(status, &err);
            assert_int_not_equal(result, LOOKUP_ABSENT);
        }
    }
    assert_true(corrupt > 2);
}

/* A walk from either end comes as far as the target, and no further. */
static void assert_walks(const struct forge *forge, struct table *table,
                         const struct reference *reference, bool forward)
{
    struct error err = ERROR_INIT;
    struct iter *iter = NULL;
    assert_ok(table_iter_new(table, NULL, &iter, &err), &err);
    size_t steps = 0;
    for (forward ? iter_seek_to_first(iter) : iter_seek_to_last(iter); iter_valid(iter);
         forward ? iter_next(iter) : iter_prev(iter)) {
        const struct entry *expected =
            &reference->entries[forward ? steps : reference->count - 1 - steps];
        assert_slice_equal(iter_key(iter), expected->key);
        assert_false(is_in_target(forge, expected->key));
        steps++;
    }
    assert_true(steps > 0 && steps < reference->count);
    assert_status(iter_status(iter, &err), STATUS_CORRUPT, &err);
    if (forge->lie != LIE_TOP_LIMIT) {
        assert_names(forge, &err, table_path(table));
    }
    iter_close(iter);
}

struct faults {
    size_t count;
    struct error first;
};

static void on_fault(void *context, const struct error *fault)
{
    struct faults *faults = context;
    if (faults->count++ == 0) {
        faults->first = *fault;
    }
}

/* Each lie is found by what needs it, whatever the checksums say, and named; and verify finds all
 * of them, and goes on behind them. */
static void test_every_lie_is_found(void **state)
{
    struct temp_dir *dir = *state;
    struct reference reference;
    make_reference(&reference);
    struct table_writer_options options = small_options(temp_dir_path(dir, "t"));
    write_table(&options, &reference);
    struct buf sound;
    static struct forge forge;
    read_bytes(options.path, &sound);
    forge_init(&forge, buf_slice(&sound));
    assert_true(forge.count > 5);
    for (int lie = LIE_NONE; lie < LIES; lie++) {
        struct error err = ERROR_INIT;
        struct table_open_options open = open_options(options.path);
        struct table *table = NULL;
        forge_file(&forge, options.path, (enum lie)lie);
        enum status status = table_open(&open, &table, &err);
        if (lie != LIE_NONE && lie < LIES_OF_A_PARTITION) {
            assert_status(status, STATUS_CORRUPT, &err);
            assert_non_null(strstr(err.text, options.path));
            continue;
        }
        assert_ok(status, &err);
        struct faults faults = {.count = 0};
        assert_ok(table_find_faults(table, on_fault, &faults, &err), &err);
        if (lie == LIE_NONE) {
            get_all(table, &reference);
            assert_ok(table_verify(table, NULL, &err), &err);
            assert_int_equal(faults.count, 0);
        } else {
            assert_gets(&forge, table, &reference);
            assert_walks(&forge, table, &reference, true);
            assert_walks(&forge, table, &reference, false);
            assert_status(table_verify(table, NULL, &err), STATUS_CORRUPT, &err);
            /* Where the data begin is the affair of two partitions. */
            assert_int_equal(faults.count, lie == LIE_TOP_LIMIT ? 2 : 1);
            if (lie != LIE_TOP_LIMIT) {
                assert_names(&forge, &faults.first, options.path);
            }
        }
        table_unref(table);
    }
    buf_release(&sound);
    reference_release(&reference);
}

/* Behind the first partition, which is damaged, verify goes on as if it knew its keys. */
static void test_damage_at_the_begin_is_one_fault(void **state)
{
    struct temp_dir *dir = *state;
    struct reference reference;
    make_reference(&reference);
    struct table_writer_options options = small_options(temp_dir_path(dir, "t"));
    write_table(&options, &reference);
    struct buf sound;
    static struct forge forge;
    read_bytes(options.path, &sound);
    forge_init(&forge, buf_slice(&sound));
    forge.target = 0;
    forge_file(&forge, options.path, LIE_LENGTH);
    struct error err = ERROR_INIT;
    struct faults faults = {.count = 0};
    struct table *table = open_table(options.path);
    assert_ok(table_find_faults(table, on_fault, &faults, &err), &err);
    assert_int_equal(faults.count, 1);
    assert_names(&forge, &faults.first, options.path);
    table_unref(table);
    buf_release(&sound);
    reference_release(&reference);
}

/* An index type of the future is UNIMPLEMENTED. */
static void test_types_of_the_future_are_refused(void **state)
{
    struct temp_dir *dir = *state;
    struct reference reference;
    make_reference(&reference);
    struct table_writer_options options = small_options(temp_dir_path(dir, "t"));
    write_table(&options, &reference);
    struct buf bytes;
    read_bytes(options.path, &bytes);
    uint8_t *footer = bytes.data + bytes.length - TABLE_FOOTER_BYTES;
    assert_int_equal(get_le32(footer + 60), TABLE_INDEX_TWO_LEVELS);
    for (uint32_t type = 0; type <= 3; type += 3) {
        struct error err = ERROR_INIT;
        struct table_open_options open = open_options(options.path);
        struct table *table = NULL;
        put_le32(footer + 60, type);
        put_le32(footer + 68, crc32c_extend(0, footer, 68));
        write_bytes(fs_posix(), options.path, buf_slice(&bytes));
        assert_status(table_open(&open, &table, &err), STATUS_UNIMPLEMENTED, &err);
    }
    buf_release(&bytes);
    reference_release(&reference);
}

#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, temp_dir_setup, temp_dir_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIR(test_large_indexes_have_two_levels),
        IN_DIR(test_partitions_go_through_the_cache),
        IN_DIR(test_every_lie_is_found),
        IN_DIR(test_damage_at_the_begin_is_one_fault),
        IN_DIR(test_types_of_the_future_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
