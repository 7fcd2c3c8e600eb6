/* SPDX-License-Identifier: Apache-2.0
 *
 * Damaged tables: cut, changed, moved about, and forged with checksums that hold.
 */
#include "storage/table/block.h"
#include "storage/table/table_format.h"
#include "table_file_fixture.h"
#include "testlib/fs_crash.h"

/* Files in memory: these tests write some thousands. */
static struct fs_crash *memory;
static struct fs *memory_fs;

static int memory_setup(void **state)
{
    (void)state;
    memory = fs_crash_new();
    memory_fs = fs_crash_fs(memory);
    return 0;
}

static int memory_teardown(void **state)
{
    (void)state;
    fs_crash_free(memory);
    return 0;
}

static struct table *open_in_memory(const char *path)
{
    struct error err = ERROR_INIT;
    struct table_open_options options = open_options(path);
    options.fs = memory_fs;
    struct table *table = NULL;
    assert_ok(table_open(&options, &table, &err), &err);
    return table;
}

enum outcome {
    OUTCOME_SAME,     /* every entry came back as it was written */
    OUTCOME_CORRUPT,  /* some call said CORRUPT */
    OUTCOME_DIFFERENT /* other entries, without complaint */
};

static bool is_corrupt(enum status status, const struct error *err, const char *path)
{
    if (status == STATUS_OK) {
        return false;
    }
    /* A footer that was forged may also claim a version of the future. */
    assert_true(status == STATUS_CORRUPT || status == STATUS_UNIMPLEMENTED);
    assert_non_null(strstr(err->text, path));
    assert_non_null(strstr(err->text, " at "));
    return true;
}

static enum outcome iterate(struct table *table, const struct reference *reference, bool backward)
{
    struct error err = ERROR_INIT;
    struct iter *iter = NULL;
    assert_ok(table_iter_new(table, NULL, &iter, &err), &err);
    enum outcome outcome = OUTCOME_SAME;
    size_t steps = 0;
    for (backward ? iter_seek_to_last(iter) : iter_seek_to_first(iter); iter_valid(iter);
         backward ? iter_prev(iter) : iter_next(iter)) {
        size_t i = backward ? reference->count - 1 - steps : steps;
        if (i >= reference->count || !slice_equal(iter_key(iter), reference->entries[i].key) ||
            !slice_equal(iter_value(iter), reference->entries[i].value)) {
            outcome = OUTCOME_DIFFERENT;
        }
        assert_true(++steps < 1000000);
    }
    if (is_corrupt(iter_status(iter, &err), &err, table_path(table))) {
        outcome = OUTCOME_CORRUPT;
    } else if (steps != reference->count) {
        outcome = OUTCOME_DIFFERENT;
    }
    iter_close(iter);
    return outcome;
}

static enum outcome look_up(struct table *table, const struct reference *reference)
{
    enum outcome outcome = OUTCOME_SAME;
    struct buf value;
    buf_init(&value, alloc_default(), VALUE_BYTES_MAX);
    for (size_t i = 0; i < reference->count; i += 7) {
        const struct entry *entry = &reference->entries[i];
        struct error err = ERROR_INIT;
        struct slice expected = slice_of(NULL, 0);
        enum lookup result = LOOKUP_ABSENT;
        uint64_t sequence = internal_key_sequence(entry->key);
        if (is_corrupt(table_get(table, internal_key_user(entry->key), sequence, NULL, &result,
                                 &value, &err),
                       &err, table_path(table))) {
            outcome = OUTCOME_CORRUPT;
        } else if (result != reference_get(reference, internal_key_user(entry->key), sequence,
                                           &expected) ||
                   (result == LOOKUP_FOUND && !slice_equal(buf_slice(&value), expected))) {
            outcome = outcome == OUTCOME_CORRUPT ? outcome : OUTCOME_DIFFERENT;
        }
    }
    buf_release(&value);
    return outcome;
}

static enum outcome worse(enum outcome a, enum outcome b)
{
    return a == OUTCOME_DIFFERENT || b == OUTCOME_SAME ? a : b;
}

/* Uses the file in every way. `*verified` is whether table_verify() found nothing. */
static enum outcome use_file(const char *path, const struct reference *reference,
                             uint64_t file_bytes, bool *verified)
{
    struct error err = ERROR_INIT;
    struct table_open_options open = open_options(path);
    open.fs = memory_fs;
    open.file_number = FIXTURE_FILE_NUMBER;
    open.file_bytes = file_bytes;
    struct table *table = NULL;
    *verified = false;
    if (is_corrupt(table_open(&open, &table, &err), &err, path)) {
        return OUTCOME_CORRUPT;
    }
    enum outcome outcome = iterate(table, reference, false);
    outcome = worse(outcome, iterate(table, reference, true));
    outcome = worse(outcome, look_up(table, reference));
    *verified = !is_corrupt(table_verify(table, NULL, &err), &err, path);
    table_unref(table);
    return outcome;
}

struct damage_case {
    struct reference reference;
    struct buf bytes; /* of the undamaged file */
    const char *path;
};

static struct table_footer footer_of(const struct damage_case *made)
{
    struct error err = ERROR_INIT;
    struct table_footer footer;
    assert_ok(table_footer_decode(made->bytes.data + made->bytes.length - TABLE_FOOTER_BYTES,
                                  made->bytes.length, &footer, &err),
              &err);
    return footer;
}

/* With an index of two levels if it comes to eight times `partition_bytes`; 0: of one. */
static void make_case_with(struct damage_case *made, struct rng *rng, enum codec codec,
                           size_t entries, uint32_t partition_bytes)
{
    struct error err = ERROR_INIT;
    reference_make(&made->reference, rng, entries, 40);
    made->path = "table";
    struct table_writer_options options = fixture_options(made->path, codec);
    options.fs = memory_fs;
    options.index_partition_bytes = partition_bytes;
    options.block_bytes = partition_bytes > 0 ? 150 : options.block_bytes;
    struct table_info info;
    assert_ok(write_reference(&options, &made->reference, &info, &err), &err);
    table_info_release(&info);
    read_bytes_of(memory_fs, made->path, &made->bytes);
    bool verified = false;
    assert_int_equal(use_file(made->path, &made->reference, 0, &verified), OUTCOME_SAME);
    assert_true(verified);
}

static void make_case(struct damage_case *made, struct rng *rng, enum codec codec, size_t entries)
{
    make_case_with(made, rng, codec, entries, 0);
}

/* Of two levels, with some partitions. */
static void make_two_levels(struct damage_case *made, struct rng *rng, enum codec codec,
                            size_t entries)
{
    make_case_with(made, rng, codec, entries, 40);
    assert_true(footer_of(made).two_levels);
}

static void release_case(struct damage_case *made)
{
    struct error err = ERROR_INIT;
    assert_ok(fs_unlink(memory_fs, made->path, &err), &err);
    buf_release(&made->bytes);
    reference_release(&made->reference);
}

static void cut_everywhere(const struct damage_case *made)
{
    for (size_t length = 0; length < made->bytes.length; length++) {
        bool verified = false;
        write_bytes(memory_fs, made->path, slice_of(made->bytes.data, length));
        assert_int_equal(use_file(made->path, &made->reference, 0, &verified), OUTCOME_CORRUPT);
        assert_int_equal(use_file(made->path, &made->reference, made->bytes.length, &verified),
                         OUTCOME_CORRUPT);
    }
}

/* A table cut anywhere is CORRUPT, whether its length is known or not. */
static void test_every_truncation_is_found(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    static struct damage_case made;
    make_case(&made, &seeded.rng, CODEC_LZ4, 60);
    cut_everywhere(&made);
    release_case(&made);
    make_two_levels(&made, &seeded.rng, CODEC_LZ4, 120);
    cut_everywhere(&made);
    release_case(&made);
}

static void flip_everywhere(struct damage_case *made, struct rng *rng)
{
    for (size_t at = 0; at < made->bytes.length; at++) {
        uint8_t bit = (uint8_t)(1U << rng_below(rng, 8));
        made->bytes.data[at] ^= bit;
        write_bytes(memory_fs, made->path, buf_slice(&made->bytes));
        made->bytes.data[at] ^= bit;
        bool verified = true;
        enum outcome outcome = use_file(made->path, &made->reference, 0, &verified);
        assert_int_equal(outcome, OUTCOME_CORRUPT);
        assert_false(verified);
    }
}

/* A table with any bit of it flipped is CORRUPT to verify, and never yields other entries. */
static void test_every_flipped_bit_is_found(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    for (int codec = 0; codec < 3; codec++) {
        static struct damage_case made;
        make_case(&made, &seeded.rng, (enum codec)codec, 40);
        flip_everywhere(&made, &seeded.rng);
        release_case(&made);
        make_two_levels(&made, &seeded.rng, (enum codec)codec, 120);
        flip_everywhere(&made, &seeded.rng);
        release_case(&made);
    }
}

/* Finds the blocks of an undamaged file in [offset, end), which follow each other: the checksum
 * tells where one ends. */
static size_t find_blocks_in(const struct damage_case *made, uint64_t offset, uint64_t end,
                             struct block_handle *handles, size_t max)
{
    struct error err = ERROR_INIT;
    struct slice bytes = buf_slice(&made->bytes);
    size_t count = 0;
    while (offset < end && count < max) {
        uint64_t length = TABLE_BLOCK_TRAILER_BYTES + 1;
        struct slice contents;
        uint8_t codec = 0;
        while (table_block_unseal(slice_of(bytes.data + offset, length), FIXTURE_FILE_NUMBER,
                                  offset, &contents, &codec, &err) != STATUS_OK) {
            length++;
            assert_true(offset + length <= end);
        }
        handles[count++] = (struct block_handle){.offset = offset, .length = length};
        offset += length;
    }
    return count;
}

/* The data blocks. */
static size_t find_blocks(const struct damage_case *made, struct block_handle *handles, size_t max)
{
    return find_blocks_in(made, 0, footer_of(made).filter.offset, handles, max);
}

/* Blocks that are whole but in another place or from another file do not pass. */
static void test_blocks_in_the_wrong_place_are_found(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    /* Values of one length without compression: blocks of one length, to be exchanged. */
    struct table_writer_options options = fixture_options("a", CODEC_NONE);
    options.fs = memory_fs;
    options.restart_interval = 1;
    for (uint64_t file = 0; file < 2; file++) {
        options.path = file == 0 ? "a" : "b";
        options.file_number = FIXTURE_FILE_NUMBER + file;
        struct table_writer *writer = NULL;
        assert_ok(table_writer_open(&options, &writer, &err), &err);
        for (uint64_t i = 0; i < 100; i++) {
            uint8_t key[16];
            put_be64(key, i);
            (void)internal_key_put(key, slice_of(key, 8), i, KEY_PUT);
            uint8_t value[50];
            memset(value, (int)i, sizeof value);
            assert_ok(table_writer_add(writer, slice_of(key, 16), slice_of(value, 50), &err), &err);
        }
        struct table_info info;
        assert_ok(table_writer_finish(writer, &info, &err), &err);
        table_info_release(&info);
    }
    static struct damage_case made;
    made.path = "a";
    read_bytes_of(memory_fs, made.path, &made.bytes);
    struct block_handle blocks[4];
    assert_int_equal(find_blocks(&made, blocks, 4), 4);
    assert_int_equal(blocks[1].length, blocks[2].length);
    struct buf other;
    read_bytes_of(memory_fs, "b", &other);
    assert_int_equal(other.length, made.bytes.length);

    for (int from_other_file = 0; from_other_file < 2; from_other_file++) {
        struct table *table = open_in_memory(made.path);
        assert_ok(table_verify(table, NULL, &err), &err);
        table_unref(table);
        struct buf changed;
        buf_init(&changed, alloc_default(), 1UL << 26);
        buf_append_slice(&changed, buf_slice(&made.bytes));
        const uint8_t *from = from_other_file != 0 ? other.data + blocks[1].offset
                                                   : made.bytes.data + blocks[2].offset;
        memcpy(changed.data + blocks[1].offset, from, blocks[1].length);
        write_bytes(memory_fs, made.path, buf_slice(&changed));
        table = open_in_memory(made.path);
        assert_status(table_verify(table, NULL, &err), STATUS_CORRUPT, &err);
        assert_non_null(strstr(err.text, made.path));
        assert_non_null(strstr(err.text, "checksum"));
        table_unref(table);
        write_bytes(memory_fs, made.path, buf_slice(&made.bytes));
        buf_release(&changed);
    }
    buf_release(&other);
    buf_release(&made.bytes);
}

/* A file under another's number, or of another size than the manifest says, is CORRUPT. */
static void test_the_wrong_file_is_found(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    static struct damage_case made;
    make_case(&made, &seeded.rng, CODEC_LZ4, 60);
    struct error err = ERROR_INIT;
    struct table_open_options open = open_options(made.path);
    open.fs = memory_fs;
    struct table *table = NULL;
    open.file_number = FIXTURE_FILE_NUMBER + 1;
    assert_status(table_open(&open, &table, &err), STATUS_CORRUPT, &err);
    assert_non_null(strstr(err.text, "expected 78"));
    open.file_number = FIXTURE_FILE_NUMBER;
    open.file_bytes = made.bytes.length + 1;
    assert_status(table_open(&open, &table, &err), STATUS_CORRUPT, &err);
    assert_non_null(strstr(err.text, made.path));
    open.path = "absent";
    assert_status(table_open(&open, &table, &err), STATUS_NOT_FOUND, &err);
    release_case(&made);
}

/* Changes bytes of one block's contents and makes its checksum hold again. */
static void forge_block(struct buf *bytes, struct block_handle handle, struct rng *rng)
{
    uint8_t *block = bytes->data + handle.offset;
    size_t contents_length = (size_t)handle.length - TABLE_BLOCK_TRAILER_BYTES;
    for (uint64_t changes = 1 + rng_below(rng, 3); changes > 0; changes--) {
        block[rng_below(rng, contents_length)] ^= (uint8_t)(1 + rng_below(rng, 255));
    }
    if (rng_below(rng, 10) == 0) {
        block[contents_length] = (uint8_t)rng_below(rng, 5); /* another codec */
    }
    if (rng_below(rng, 10) == 0) {
        block[contents_length] |= TABLE_BLOCK_COLUMNS; /* of columns, it says */
    }
    seal_block(bytes, handle.offset, contents_length);
}

/* Blocks of every kind, forged so that checksums hold, are CORRUPT or yield what they say: never
 * a crash or a read outside of a block, which ASan would show. */
static void test_forged_blocks_do_no_harm(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    for (int i = 0; i < 6; i++) {
        static struct damage_case made;
        enum codec codec = (enum codec)(i % 3);
        i < 3 ? make_case(&made, &seeded.rng, codec, 120)
              : make_two_levels(&made, &seeded.rng, codec, 120);
        struct block_handle handles[131];
        struct table_footer footer = footer_of(&made);
        size_t count = find_blocks(&made, handles, 64);
        assert_true(count > 2);
        count += find_blocks_in(&made, footer.filter.offset + footer.filter.length,
                                footer.index.offset, handles + count, 64);
        handles[count++] = footer.filter;
        handles[count++] = footer.index;
        handles[count++] = footer.properties;
        struct buf changed;
        buf_init(&changed, alloc_default(), 1UL << 26);
        int corrupt = 0;
        for (int n = 0; n < 1000; n++) {
            buf_clear(&changed);
            buf_append_slice(&changed, buf_slice(&made.bytes));
            forge_block(&changed, handles[rng_below(&seeded.rng, count)], &seeded.rng);
            write_bytes(memory_fs, made.path, buf_slice(&changed));
            bool verified = false;
            corrupt += use_file(made.path, &made.reference, 0, &verified) == OUTCOME_CORRUPT;
        }
        assert_true(corrupt > 150);
        buf_release(&changed);
        release_case(&made);
    }
}

/* Footers of every kind, forged so that the checksum holds, do no harm. */
static void test_forged_footers_do_no_harm(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    static struct damage_case made;
    make_case(&made, &seeded.rng, CODEC_LZ4, 60);
    struct error err = ERROR_INIT;
    uint8_t *footer_bytes = made.bytes.data + made.bytes.length - TABLE_FOOTER_BYTES;
    struct table_footer original;
    uint8_t original_bytes[TABLE_FOOTER_BYTES];
    memcpy(original_bytes, footer_bytes, sizeof original_bytes);
    assert_ok(table_footer_decode(footer_bytes, made.bytes.length, &original, &err), &err);
    static const uint64_t numbers[] = {0, 1, 80, UINT64_MAX, UINT64_MAX - 79, 1UL << 63, 1UL << 32};
    for (int i = 0; i < 1500; i++) {
        struct table_footer footer = original;
        uint64_t *fields[] = {&footer.filter.offset,     &footer.filter.length,
                              &footer.index.offset,      &footer.index.length,
                              &footer.properties.offset, &footer.properties.length,
                              &footer.file_number};
        for (uint64_t changes = 1 + rng_below(&seeded.rng, 2); changes > 0; changes--) {
            uint64_t *field = fields[rng_below(&seeded.rng, 7)];
            *field = rng_below(&seeded.rng, 2) == 0 ? numbers[rng_below(&seeded.rng, 7)]
                                                    : *field + rng_below(&seeded.rng, 21) - 10;
        }
        table_footer_encode(&footer, footer_bytes);
        write_bytes(memory_fs, made.path, buf_slice(&made.bytes));
        bool verified = false;
        bool same = memcmp(footer_bytes, original_bytes, sizeof original_bytes) == 0;
        enum outcome outcome = use_file(made.path, &made.reference, 0, &verified);
        assert_int_equal(outcome, same ? OUTCOME_SAME : OUTCOME_CORRUPT);
    }
    release_case(&made);
}

/* --- forged with a purpose: each lie that checksums cannot show has a check of its own ----------
 */

enum lie {
    LIE_NONE,
    LIE_ENTRIES,   /* the properties count one entry more */
    LIE_DELETIONS, /* and so on */
    LIE_RAW_BYTES,
    LIE_SEQUENCE_SMALLEST,
    LIE_SEQUENCE_LARGEST,
    LIE_SMALLEST,  /* the properties' smallest key is another */
    LIE_INDEX_KEY, /* the index has a larger last key for the second block */
    LIE_INDEX_GAP, /* the index leaves a block out */
    LIE_FILTER,    /* the filter is empty */
    LIES,
};

static void append_sealed(struct buf *out, struct slice contents)
{
    size_t begin = out->length;
    buf_append_slice(out, contents);
    table_block_seal(out, begin, CODEC_NONE, FIXTURE_FILE_NUMBER, begin);
}

static struct slice stored_contents(const struct damage_case *made, struct block_handle handle)
{
    return slice_of(made->bytes.data + handle.offset,
                    (size_t)handle.length - TABLE_BLOCK_TRAILER_BYTES);
}

/* Appends the index anew, with or without a lie in it. */
static void append_index(struct buf *out, const struct damage_case *made,
                         struct block_handle handle, enum lie lie)
{
    static struct block_iter iter;
    struct block_builder builder;
    block_builder_init(&builder, alloc_default(), 1);
    assert_true(block_iter_init(&iter, stored_contents(made, handle)));
    size_t number = 0;
    for (block_iter_seek_to_first(&iter); block_iter_valid(&iter); block_iter_next(&iter)) {
        uint8_t key[FIXTURE_KEY_BYTES_MAX + KEY_TRAILER_BYTES + 1];
        size_t length = iter.key.length;
        memcpy(key, iter.key.data, length);
        if (lie == LIE_INDEX_KEY && number == 1) {
            /* The same user key at an older sequence sorts just behind. */
            struct slice user = slice_of(key, length - KEY_TRAILER_BYTES);
            uint64_t sequence = internal_key_sequence(iter.key);
            length = internal_key_put(key, user, sequence == 0 ? 0 : sequence - 1, KEY_DELETE);
        }
        if (lie != LIE_INDEX_GAP || number != 1) {
            assert_true(block_builder_add(&builder, slice_of(key, length), iter.value));
        }
        number++;
    }
    append_sealed(out, block_builder_finish(&builder));
    block_builder_release(&builder);
}

static void append_properties(struct buf *out, const struct damage_case *made,
                              struct block_handle handle, enum lie lie)
{
    struct error err = ERROR_INIT;
    struct table_info info;
    assert_ok(table_properties_decode(stored_contents(made, handle), alloc_default(), &info, &err),
              &err);
    info.entries += lie == LIE_ENTRIES ? 1 : 0;
    info.deletions += lie == LIE_DELETIONS ? 1 : 0;
    info.raw_bytes += lie == LIE_RAW_BYTES ? 1 : 0;
    info.sequence_smallest += lie == LIE_SEQUENCE_SMALLEST ? 1 : 0;
    info.sequence_largest += lie == LIE_SEQUENCE_LARGEST ? 1 : 0;
    if (lie == LIE_SMALLEST) {
        assert_true(table_info_set_keys(&info, alloc_default(), made->reference.entries[1].key,
                                        made->reference.entries[made->reference.count - 1].key));
    }
    struct buf encoded;
    buf_init(&encoded, alloc_default(), 1UL << 20);
    table_properties_encode(&encoded, &info);
    append_sealed(out, buf_slice(&encoded));
    buf_release(&encoded);
    table_info_release(&info);
}

static void write_lie(const struct damage_case *made, enum lie lie)
{
    struct error err = ERROR_INIT;
    struct table_footer footer;
    assert_ok(table_footer_decode(made->bytes.data + made->bytes.length - TABLE_FOOTER_BYTES,
                                  made->bytes.length, &footer, &err),
              &err);
    struct buf out;
    buf_init(&out, alloc_default(), 1UL << 26);
    buf_append(&out, made->bytes.data, footer.filter.offset);
    struct slice filter = stored_contents(made, footer.filter);
    uint8_t *copy = alloc_new(alloc_default(), filter.length);
    assert_non_null(copy);
    memcpy(copy, filter.data, filter.length);
    if (lie == LIE_FILTER) {
        memset(copy, 0, filter.length - 1);
    }
    append_sealed(&out, slice_of(copy, filter.length));
    alloc_free(alloc_default(), copy);
    struct block_handle index = {.offset = out.length};
    append_index(&out, made, footer.index, lie);
    index.length = out.length - index.offset;
    struct block_handle properties = {.offset = out.length};
    append_properties(&out, made, footer.properties, lie);
    properties.length = out.length - properties.offset;
    footer.index = index;
    footer.properties = properties;
    uint8_t bytes[TABLE_FOOTER_BYTES];
    table_footer_encode(&footer, bytes);
    buf_append(&out, bytes, sizeof bytes);
    assert_false(buf_failed(&out));
    write_bytes(memory_fs, made->path, buf_slice(&out));
    buf_release(&out);
}

/* Whatever index, filter and properties say that the entries do not bear out is found by verify. */
static void test_every_lie_is_found(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    static struct damage_case made;
    make_case(&made, &seeded.rng, CODEC_NONE, 300);
    for (int lie = LIE_NONE; lie < LIES; lie++) {
        write_lie(&made, (enum lie)lie);
        bool verified = false;
        (void)use_file(made.path, &made.reference, 0, &verified);
        assert_int_equal(verified, lie == LIE_NONE);
    }
    release_case(&made);
}

/* An entry that is damaged within a block whose checksum was made good stops an iterator in either
 * direction: it must not go on with the next block as if this one had ended. */
static void test_a_damaged_entry_stops_iterators(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    static struct damage_case made;
    make_case(&made, &seeded.rng, CODEC_NONE, 300);
    struct block_handle handles[64] = {{0}};
    assert_true(find_blocks(&made, handles, 64) > 3);
    uint8_t *block = made.bytes.data + handles[1].offset;
    size_t contents_length = (size_t)handles[1].length - TABLE_BLOCK_TRAILER_BYTES;
    static struct block_iter iter;
    assert_true(block_iter_init(&iter, slice_of(block, contents_length)));
    block_iter_seek_to_first(&iter);
    block_iter_next(&iter);
    assert_true(block_iter_valid(&iter));
    memset(block + iter.offset, 0xff, 12); /* lengths that are no varints */
    seal_block(&made.bytes, handles[1].offset, contents_length);
    write_bytes(memory_fs, made.path, buf_slice(&made.bytes));
    struct table *table = open_in_memory(made.path);
    assert_int_equal(iterate(table, &made.reference, false), OUTCOME_CORRUPT);
    assert_int_equal(iterate(table, &made.reference, true), OUTCOME_CORRUPT);
    table_unref(table);
    release_case(&made);
}

/* Restart points that are not at entries with a whole key, or not all of which are met in order,
 * make lookups miss keys that a walk finds: verify finds them, though the checksum was made good.
 */
static void test_wrong_restart_points_are_found(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    static struct damage_case made;
    make_case(&made, &seeded.rng, CODEC_NONE, 300);
    struct block_handle handles[64] = {{0}};
    assert_true(find_blocks(&made, handles, 64) > 3);
    uint8_t *block = made.bytes.data + handles[1].offset;
    size_t contents_length = (size_t)handles[1].length - TABLE_BLOCK_TRAILER_BYTES;
    uint32_t count = get_le32(block + contents_length - 4);
    assert_true(count > 3);
    uint8_t *restarts = block + contents_length - 4 - 4UL * count;
    static struct block_iter iter;
    assert_true(block_iter_init(&iter, slice_of(block, contents_length)));
    block_iter_seek_to_first(&iter);
    block_iter_next(&iter);
    const uint32_t right = get_le32(restarts + 4);
    /* An entry that shares nothing with the one before may be a restart point. */
    const uint32_t second_entry = block_iter_key_is_whole(&iter) ? right + 2 : iter.offset;
    const uint32_t wrong[] = {0, right + 1, second_entry, get_le32(restarts + 8), UINT32_MAX};
    for (size_t i = 0; i <= sizeof wrong / sizeof wrong[0]; i++) {
        bool is_right = i == sizeof wrong / sizeof wrong[0];
        put_le32(restarts + 4, is_right ? right : wrong[i]);
        seal_block(&made.bytes, handles[1].offset, contents_length);
        write_bytes(memory_fs, made.path, buf_slice(&made.bytes));
        bool verified = false;
        (void)use_file(made.path, &made.reference, 0, &verified);
        assert_int_equal(verified, is_right);
    }
    release_case(&made);
}

/* A value that was changed with all checksums made good is what only hashes above can tell:
 * the table opens and verifies, and yields the new value. */
static void test_a_rewritten_value_passes(void **state)
{
    (void)state;
    struct rng_seeded seeded;
    rng_seeded_init(&seeded, test_seed());
    static struct damage_case made;
    make_case(&made, &seeded.rng, CODEC_NONE, 120);
    struct block_handle handles[64] = {{0}};
    size_t count = find_blocks(&made, handles, 64);
    assert_true(count > 1);
    size_t target = 0;
    while (made.reference.entries[target].value.length < 20) {
        target++;
    }
    struct slice value = made.reference.entries[target].value;
    uint8_t *found = memmem(made.bytes.data, made.bytes.length, value.data, value.length);
    assert_non_null(found);
    size_t at = (size_t)(found - made.bytes.data);
    size_t i = 0;
    while (handles[i].offset + handles[i].length <= at) {
        i++;
    }
    found[0] ^= 1;
    size_t contents_length = (size_t)handles[i].length - TABLE_BLOCK_TRAILER_BYTES;
    seal_block(&made.bytes, handles[i].offset, contents_length);
    write_bytes(memory_fs, made.path, buf_slice(&made.bytes));
    bool verified = false;
    assert_int_equal(use_file(made.path, &made.reference, 0, &verified), OUTCOME_DIFFERENT);
    assert_true(verified);
    release_case(&made);
}

#define IN_MEMORY(test) cmocka_unit_test_setup_teardown(test, memory_setup, memory_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_MEMORY(test_every_truncation_is_found),
        IN_MEMORY(test_every_flipped_bit_is_found),
        IN_MEMORY(test_blocks_in_the_wrong_place_are_found),
        IN_MEMORY(test_the_wrong_file_is_found),
        IN_MEMORY(test_forged_blocks_do_no_harm),
        IN_MEMORY(test_forged_footers_do_no_harm),
        IN_MEMORY(test_every_lie_is_found),
        IN_MEMORY(test_a_damaged_entry_stops_iterators),
        IN_MEMORY(test_wrong_restart_points_are_found),
        IN_MEMORY(test_a_rewritten_value_passes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
