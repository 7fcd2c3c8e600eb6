/* SPDX-License-Identifier: Apache-2.0
 *
 * What a table says of the times of its values: right for any order of times, found again by any
 * range, and not believed when it is wrong.
 */
#include "storage/table/times.h"
#include "table_file_fixture.h"

enum { PLACE = 3, ENTRIES = 5000, VALUE_BYTES = 160 };

enum order { ORDER_RISING, ORDER_EQUAL, ORDER_NEARLY, ORDER_RANDOM, ORDERS };

struct entry_time {
    uint64_t position;
    uint64_t time;
};

static void random_times(struct entry_time *entries, enum order order, struct rng *rng)
{
    uint64_t position = 0;
    uint64_t time = 1000;
    for (unsigned i = 0; i < ENTRIES; i++) {
        position += 1 + rng_below(rng, 3);
        time += order == ORDER_EQUAL ? (i == ENTRIES / 2) : rng_below(rng, 5);
        entries[i] = (struct entry_time){.position = position, .time = time};
        if (order == ORDER_NEARLY && rng_below(rng, 50) == 0) {
            entries[i].time -= rng_below(rng, 1000);
        } else if (order == ORDER_RANDOM) {
            entries[i].time = rng_below(rng, 20) == 0 ? rng_u64(rng) : rng_below(rng, 100000);
        }
    }
}

static struct slice value_of(uint8_t out[VALUE_BYTES], uint64_t time)
{
    memset(out, 'v', VALUE_BYTES);
    put_le64(out + PLACE, time);
    return slice_of(out, VALUE_BYTES);
}

static size_t key_of(uint8_t *out, uint64_t position)
{
    uint8_t user[8];
    put_be64(user, position);
    return internal_key_put(out, slice_of(user, 8), position, KEY_PUT);
}

/* Writes them; `without`: the index of a value that has no time, or ENTRIES. */
static void write_times(const char *path, const struct entry_time *entries, unsigned without)
{
    struct error err = ERROR_INIT;
    struct table_writer_options options = fixture_options(path, CODEC_NONE);
    struct table_writer *writer = NULL;
    struct table_info info;
    options.timed = true;
    options.time_place = PLACE;
    options.index_partition_bytes = 100; /* an index of two levels */
    assert_ok(table_writer_open(&options, &writer, &err), &err);
    for (unsigned i = 0; i < ENTRIES; i++) {
        uint8_t key[16];
        uint8_t bytes[VALUE_BYTES];
        struct slice value = value_of(bytes, entries[i].time);
        value.length = i == without ? PLACE + 7 : value.length;
        size_t length = key_of(key, entries[i].position);
        assert_ok(table_writer_add(writer, slice_of(key, length), value, &err), &err);
    }
    assert_ok(table_writer_finish(writer, &info, &err), &err);
    assert_int_equal(info.times.known, without == ENTRIES);
    table_info_release(&info);
}

static bool rises(const struct entry_time *entries)
{
    for (unsigned i = 1; i < ENTRIES; i++) {
        if (entries[i].time < entries[i - 1].time) {
            return false;
        }
    }
    return true;
}

/* The run of the entry, by its key. */
static size_t run_of(const struct time_runs *runs, const struct entry_time *entry)
{
    uint8_t key[16];
    size_t length = key_of(key, entry->position);
    size_t run = time_runs_find(runs, slice_of(key, length));
    assert_true(run < runs->count);
    return run;
}

/* Walks over the runs of a range, both ways, meet exactly the runs whose bounds do, and each entry
 * of the range is in one of them. */
static void check_range(const struct time_runs *runs, const struct entry_time *entries,
                        const struct time_range *range)
{
    bool met[ENTRIES] = {false};
    size_t count = 0;
    for (size_t i = time_runs_next(runs, range, 0); i < runs->count;
         i = time_runs_next(runs, range, i + 1)) {
        assert_true(time_bounds_meet(&runs->runs[i].bounds, range));
        met[i] = true;
        count++;
    }
    for (size_t i = 0; i < runs->count; i++) {
        assert_int_equal(met[i], time_bounds_meet(&runs->runs[i].bounds, range));
        size_t next = i;
        while (next < runs->count && !met[next]) {
            next++;
        }
        assert_int_equal(time_runs_next(runs, range, i), next);
    }
    for (size_t i = time_runs_prev(runs, range, runs->count); i != SIZE_MAX;
         i = time_runs_prev(runs, range, i)) {
        assert_true(met[i]);
        count--;
    }
    assert_int_equal(count, 0);
    for (unsigned i = 0; i < ENTRIES; i++) {
        assert_true(!time_range_has(range, entries[i].time) || met[run_of(runs, &entries[i])]);
    }
}

/* Bounds are exact for times in any order, of the table and of its runs; what runs a range needs is
 * found, by binary search and without. */
static void test_bounds_of_any_order(void **state)
{
    struct temp_dir *dir = *state;
    static struct entry_time entries[ENTRIES];
    struct rng_seeded rng;
    rng_seeded_init(&rng, test_seed());
    for (enum order order = 0; order < ORDERS; order++) {
        char name[16];
        struct error err = ERROR_INIT;
        (void)snprintf(name, sizeof name, "t%d", (int)order);
        random_times(entries, order, &rng.rng);
        write_times(temp_dir_path(dir, name), entries, ENTRIES);
        struct table *table = open_table(temp_dir_path(dir, name));
        const struct table_info *info = table_get_info(table);
        const struct time_runs *runs = table_get_time_runs(table);
        struct time_bounds all = {.known = false};
        for (unsigned i = 0; i < ENTRIES; i++) {
            time_bounds_add(&all, entries[i].time);
        }
        assert_true(info->times.known && info->time_place == PLACE);
        assert_int_equal(info->times.smallest, all.smallest);
        assert_int_equal(info->times.largest, all.largest);
        assert_int_equal(info->times_rise, rises(entries));
        assert_int_equal(info->times_rise, order == ORDER_RISING || order == ORDER_EQUAL);
        assert_in_range(runs->count, ENTRIES * VALUE_BYTES / TIME_RUN_BYTES,
                        ENTRIES * (VALUE_BYTES + 16) / TIME_RUN_BYTES + 1);
        assert_ok(table_verify(table, NULL, &err), &err);
        for (int i = 0; i < 60; i++) {
            uint64_t begin = entries[rng_below(&rng.rng, ENTRIES)].time;
            uint64_t wide = rng_below(&rng.rng, 3) == 0 ? UINT64_MAX - begin : 300;
            struct time_range range = {begin + rng_below(&rng.rng, 3) - 1, begin};
            range.end += rng_below(&rng.rng, wide);
            check_range(runs, entries, &range);
        }
        check_range(runs, entries, &(struct time_range){0, UINT64_MAX});
        check_range(runs, entries, &(struct time_range){0, 0});
        check_range(runs, entries, &(struct time_range){0, all.smallest});
        check_range(runs, entries, &(struct time_range){all.largest, all.largest + 1});
        table_unref(table);
    }
}

/* One value without a time, and the table says nothing. */
static void test_a_value_without_time(void **state)
{
    struct temp_dir *dir = *state;
    static struct entry_time entries[ENTRIES];
    static const unsigned without[] = {0, ENTRIES / 2, ENTRIES - 1};
    struct rng_seeded rng;
    rng_seeded_init(&rng, 1);
    random_times(entries, ORDER_RISING, &rng.rng);
    for (int i = 0; i < 3; i++) {
        char name[16];
        struct error err = ERROR_INIT;
        (void)snprintf(name, sizeof name, "t%d", i);
        write_times(temp_dir_path(dir, name), entries, without[i]);
        struct table *table = open_table(temp_dir_path(dir, name));
        assert_false(table_get_info(table)->times.known);
        assert_int_equal(table_get_time_runs(table)->count, 0);
        assert_ok(table_verify(table, NULL, &err), &err);
        table_unref(table);
    }
}

/* --- lies ---------------------------------------------------------------------------------- */

/* The file anew with properties that `info` and `runs` make, all checksums right. */
static void write_properties(const char *from, const char *to, const struct table_info *info,
                             struct slice runs)
{
    struct error err = ERROR_INIT;
    struct table_footer footer;
    struct buf bytes;
    uint8_t end[TABLE_FOOTER_BYTES];
    read_bytes(from, &bytes);
    assert_ok(table_footer_decode(bytes.data + bytes.length - TABLE_FOOTER_BYTES, bytes.length,
                                  &footer, &err),
              &err);
    bytes.length = (size_t)footer.properties.offset;
    table_properties_encode(&bytes, info);
    table_properties_encode_times(&bytes, info, runs);
    table_block_seal(&bytes, (size_t)footer.properties.offset, CODEC_NONE, FIXTURE_FILE_NUMBER,
                     footer.properties.offset);
    footer.properties.length = bytes.length - footer.properties.offset;
    table_footer_encode(&footer, end);
    buf_append(&bytes, end, sizeof end);
    write_bytes(fs_posix(), to, buf_slice(&bytes));
    buf_release(&bytes);
}

/* The runs of a table as they could be encoded, with bounds that `builder` was given. */
static void encode_runs(const struct time_runs *runs, size_t changed, int64_t smallest_by,
                        int64_t largest_by, struct times_builder *builder)
{
    for (size_t i = 0; i < runs->count; i++) {
        bool change = i == changed;
        builder->run = runs->runs[i].bounds;
        builder->run.smallest += change ? (uint64_t)smallest_by : 0;
        builder->run.largest += change ? (uint64_t)largest_by : 0;
        time_bounds_add(&builder->all, builder->run.smallest);
        time_bounds_add(&builder->all, builder->run.largest);
        assert_true(times_builder_end_block(builder, runs->runs[i].last_key, true));
    }
}

static enum status verify_file(const char *path, struct error *err)
{
    struct table *table = NULL;
    struct table_open_options options = open_options(path);
    enum status status = table_open(&options, &table, err);
    if (status == STATUS_OK) {
        status = table_verify(table, NULL, err);
    }
    table_unref(table);
    return status;
}

/* Bounds that are too narrow or too wide by one, of any run and so of the table, an order that is
 * not there and a place that is another: each is CORRUPT when the table is verified, or before. */
static void test_lies_are_found(void **state)
{
    struct temp_dir *dir = *state;
    static struct entry_time entries[ENTRIES];
    struct rng_seeded rng;
    rng_seeded_init(&rng, 3);
    random_times(entries, ORDER_NEARLY, &rng.rng);
    char path[PATH_BYTES_MAX];
    (void)snprintf(path, sizeof path, "%s", temp_dir_path(dir, "true"));
    write_times(path, entries, ENTRIES);
    struct table *table = open_table(path);
    const struct time_runs *runs = table_get_time_runs(table);
    static const int64_t by[][2] = {{0, 0}, {1, 0}, {-1, 0}, {0, 1}, {0, -1}};
    unsigned lies = 0;
    for (size_t run = 0; run < runs->count; run++) {
        for (size_t i = 0; i < sizeof by / sizeof by[0]; i++) {
            for (unsigned what = 0; what < 3; what++) {
                struct error err = ERROR_INIT;
                struct times_builder builder;
                struct table_info info = *table_get_info(table);
                times_builder_init(&builder, alloc_default(), PLACE);
                encode_runs(runs, run, by[i][0], by[i][1], &builder);
                info.times = builder.all;
                info.times_rise = what == 1;
                info.time_place = what == 2 ? PLACE + 1 : PLACE;
                write_properties(path, temp_dir_path(dir, "lie"), &info, buf_slice(&builder.runs));
                enum status status = verify_file(temp_dir_path(dir, "lie"), &err);
                bool lie = i > 0 || what > 0;
                assert_status(status, lie ? STATUS_CORRUPT : STATUS_OK, &err);
                assert_true(!lie || strstr(err.text, "lie") != NULL);
                lies += lie;
                times_builder_release(&builder);
            }
        }
    }
    assert_true(lies >= 14 * ENTRIES * VALUE_BYTES / TIME_RUN_BYTES);
    /* Bounds of the table that are not those of its runs. */
    struct error err = ERROR_INIT;
    struct times_builder builder;
    struct table_info info = *table_get_info(table);
    times_builder_init(&builder, alloc_default(), PLACE);
    encode_runs(runs, SIZE_MAX, 0, 0, &builder);
    info.times.largest--;
    write_properties(path, temp_dir_path(dir, "lie"), &info, buf_slice(&builder.runs));
    assert_status(verify_file(temp_dir_path(dir, "lie"), &err), STATUS_CORRUPT, &err);
    times_builder_release(&builder);
    table_unref(table);
}

/* Runs cut at each byte, and with any one byte changed, are decoded to something in order or
 * refused. */
static void test_runs_are_untrusted(void **state)
{
    struct temp_dir *dir = *state;
    static struct entry_time entries[ENTRIES];
    struct rng_seeded rng;
    rng_seeded_init(&rng, 4);
    random_times(entries, ORDER_RISING, &rng.rng);
    write_times(temp_dir_path(dir, "t"), entries, ENTRIES);
    struct table *table = open_table(temp_dir_path(dir, "t"));
    const struct table_info *info = table_get_info(table);
    struct times_builder builder;
    times_builder_init(&builder, alloc_default(), PLACE);
    encode_runs(table_get_time_runs(table), SIZE_MAX, 0, 0, &builder);
    struct slice whole = buf_slice(&builder.runs);
    unsigned refused = 0;
    for (size_t cut = 0; cut <= whole.length; cut++) {
        struct error err = ERROR_INIT;
        struct time_runs runs;
        enum status status = time_runs_decode(slice_of(whole.data, cut), alloc_default(),
                                              info->largest, &info->times, true, &runs, &err);
        assert_status(status, cut == whole.length ? STATUS_OK : STATUS_CORRUPT, &err);
        if (status == STATUS_OK) {
            time_runs_release(&runs);
        }
    }
    for (size_t at = 0; at < whole.length; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            struct time_runs runs;
            builder.runs.data[at] ^= (uint8_t)(1U << bit);
            enum status status = time_runs_decode(whole, alloc_default(), info->largest,
                                                  &info->times, true, &runs, NULL);
            builder.runs.data[at] ^= (uint8_t)(1U << bit);
            if (status != STATUS_OK) {
                refused++;
                continue;
            }
            for (size_t i = 1; i < runs.count; i++) {
                assert_true(internal_key_compare(runs.runs[i - 1].last_key, runs.runs[i].last_key) <
                            0);
            }
            time_runs_release(&runs);
        }
    }
    assert_true(refused > whole.length);
    times_builder_release(&builder);
    table_unref(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_bounds_of_any_order, temp_dir_setup,
                                        temp_dir_teardown),
        cmocka_unit_test_setup_teardown(test_a_value_without_time, temp_dir_setup,
                                        temp_dir_teardown),
        cmocka_unit_test_setup_teardown(test_lies_are_found, temp_dir_setup, temp_dir_teardown),
        cmocka_unit_test_setup_teardown(test_runs_are_untrusted, temp_dir_setup, temp_dir_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
