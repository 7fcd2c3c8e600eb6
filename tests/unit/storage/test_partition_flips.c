/* SPDX-License-Identifier: Apache-2.0
 *
 * Bits that flip, one at a time, in the files of a store with a timed keyspace: partitions with
 * columns, times and a dictionary, a manifest with times and a floor. Each is found and told with
 * the file's name and the offset, or makes no difference; no read yields another byte than was
 * written. ESTREAT_FLIPS: how many. Of other stores, and of logs: test_store_flips.c.
 */
#include <stdlib.h>

#include "base/log.h"
#include "partitions_model.h"
#include "storage/table/table_format.h"

/* Under ASan a part of them. */
#ifdef __SANITIZE_ADDRESS__
enum { FLIPS = 300, STRIDE = 13 };
#else
enum { FLIPS = 1500, STRIDE = 1 };
#endif
enum { FILES_MAX = 64, ROUNDS = 12, EVENTS_A_ROUND = 200 };

struct kept {
    char path[64];
    struct buf bytes;
};

struct flips {
    struct pm_world world;
    struct keyspace_options keyspaces[PM_COUNT];
    struct kept files[FILES_MAX];
    size_t count;
    uint64_t bits;
};

/* --- the store ------------------------------------------------------------------------------ */

static enum status keep_file(void *context, const char *name, struct error *err)
{
    struct flips *flips = context;
    struct kept *file = &flips->files[flips->count++];
    assert_true(flips->count <= FILES_MAX);
    (void)snprintf(file->path, sizeof file->path, "/store/%s", name);
    buf_init(&file->bytes, alloc_default(), MIB);
    assert_ok(fs_read_file(flips->world.fs, file->path, &file->bytes, err), err);
    flips->bits += file->bytes.length * 8;
    return STATUS_OK;
}

static bool has_dictionary(struct flips *flips)
{
    for (size_t i = 0; i < flips->count; i++) {
        struct slice bytes = buf_slice(&flips->files[i].bytes);
        struct table_footer footer;
        if (strstr(flips->files[i].path, ".sst") != NULL) {
            assert_ok(table_footer_decode(bytes.data + bytes.length - TABLE_FOOTER_BYTES,
                                          bytes.length, &footer, &flips->world.err),
                      &flips->world.err);
            if (footer.dictionary.length > 0 && footer.columns) {
                return true;
            }
        }
    }
    return false;
}

/* A floor that has dropped partitions and divides one, and fresh tables beside them. */
static void begin(struct flips *flips)
{
    struct engine_stats stats;
    struct pm_world *world = &flips->world;
    memset(flips, 0, sizeof *flips);
    pm_init(world, PM_NEARLY);
    memcpy(flips->keyspaces, pm_keyspaces, sizeof flips->keyspaces);
    flips->keyspaces[PM_EVENTS].codec_old = CODEC_ZSTD;
    flips->keyspaces[PM_EVENTS].dictionary_bytes_old = 1 * KIB;
    flips->keyspaces[PM_EVENTS].partition_bytes = 10 * KIB;
    flips->keyspaces[PM_EVENTS].partition_span = 0;
    world->options.keyspaces = flips->keyspaces;
    assert_ok(pm_open(world, 1), &world->err);
    for (unsigned round = 0; round < ROUNDS; round++) {
        assert_ok(pm_append(world, EVENTS_A_ROUND), &world->err);
        if (round == ROUNDS - 3) {
            assert_ok(pm_raise_floor(world, EVENTS_A_ROUND * 13 / 2), &world->err);
        }
        pm_settle(world);
    }
    engine_stats(world->engine, &stats);
    assert_true(stats.partitions >= 2);
    assert_true(stats.partitions_dropped > 0);
    assert_ok(engine_verify(world->engine, &world->err), &world->err);
    pm_close(world);
    assert_ok(fs_list(world->fs, "/store", keep_file, flips, &world->err), &world->err);
    assert_true(has_dictionary(flips));
}

static void end(struct flips *flips)
{
    for (size_t i = 0; i < flips->count; i++) {
        buf_release(&flips->files[i].bytes);
    }
    pm_release(&flips->world);
}

static enum status remove_file(void *context, const char *name, struct error *err)
{
    struct flips *flips = context;
    char path[64];
    (void)snprintf(path, sizeof path, "/store/%s", name);
    return fs_unlink(flips->world.fs, path, err);
}

static void write_file(struct flips *flips, const struct kept *file)
{
    struct file *handle = NULL;
    struct error err = ERROR_INIT;
    assert_ok(
        fs_open(flips->world.fs, file->path, FS_WRITE | FS_CREATE | FS_TRUNCATE, &handle, &err),
        &err);
    assert_ok(file_write(handle, 0, buf_slice(&file->bytes), &err), &err);
    file_close(handle);
}

static void put_all_back(struct flips *flips)
{
    struct error err = ERROR_INIT;
    assert_ok(fs_list(flips->world.fs, "/store", remove_file, flips, &err), &err);
    for (size_t i = 0; i < flips->count; i++) {
        write_file(flips, &flips->files[i]);
    }
}

/* --- what is read --------------------------------------------------------------------------- */

static void assert_names(const struct kept *file, const struct error *err)
{
    if (err->status != STATUS_CORRUPT || strstr(err->text, strrchr(file->path, '/') + 1) == NULL ||
        (strstr(err->text, " at ") == NULL && strstr(err->text, "offset ") == NULL)) {
        fail_msg("%s was spoilt, and this was said: %s", file->path, err->text);
    }
}

/* What comes is right, and it ends at the end or with damage. */
static void walk(struct flips *flips, const struct kept *file,
                 const struct engine_iter_options *options)
{
    struct error err = ERROR_INIT;
    struct engine_iter *iter = NULL;
    const struct pm_model *model = &flips->world.model;
    if (engine_iter_new(flips->world.engine, NULL, PM_EVENTS, options, &iter, &err) != STATUS_OK) {
        assert_names(file, &err);
        return;
    }
    uint64_t at = model->floor;
    for (engine_iter_seek_first(iter); engine_iter_valid(iter); engine_iter_next(iter)) {
        while (at < model->count && !pm_in(model, at, options)) {
            at++;
        }
        pm_assert_at(iter, model, at++);
    }
    if (engine_iter_status(iter, &err) != STATUS_OK) {
        assert_names(file, &err);
    } else {
        for (; at < model->count; at++) {
            assert_false(pm_in(model, at, options));
        }
    }
    engine_iter_close(iter);
}

static void look_up(struct flips *flips, const struct kept *file)
{
    struct error err = ERROR_INIT;
    struct buf value;
    const struct pm_model *model = &flips->world.model;
    buf_init(&value, alloc_default(), 1 * KIB);
    for (uint64_t i = 3; i < model->count; i += 29) {
        uint8_t key[8];
        uint8_t bytes[512];
        enum status status =
            engine_get(flips->world.engine, NULL, PM_EVENTS, pm_key(key, i), &value, &err);
        if (status == STATUS_OK) {
            assert_true(i >= model->floor);
            assert_true(slice_equal(buf_slice(&value), pm_value(bytes, model->times, i)));
        } else if (status == STATUS_NOT_FOUND) {
            assert_true(i < model->floor);
        } else {
            assert_names(file, &err);
        }
    }
    buf_release(&value);
}

/* Returns whether the store finds that it is damaged. */
static bool use(struct flips *flips, const struct kept *file)
{
    struct pm_world *world = &flips->world;
    if (pm_open(world, 1) != STATUS_OK) {
        assert_names(file, &world->err);
        executor_close(&world->executor.executor);
        return true;
    }
    uint64_t middle = (world->model.floor + world->model.count) / 2;
    const struct engine_iter_options all = {.readahead = true};
    const struct engine_iter_options by_time = {.by_time = true,
                                                .time_begin = pm_time(PM_RISING, middle),
                                                .time_end = pm_time(PM_RISING, middle + 60)};
    walk(flips, file, &all);
    walk(flips, file, &by_time);
    look_up(flips, file);
    bool damaged = engine_verify(world->engine, &world->err) != STATUS_OK;
    if (damaged) {
        assert_names(file, &world->err);
    }
    pm_close(world);
    return damaged;
}

static bool flip(struct flips *flips, struct kept *file, uint64_t bit)
{
    file->bytes.data[bit / 8] ^= (uint8_t)(1U << bit % 8);
    write_file(flips, file);
    bool found = use(flips, file);
    file->bytes.data[bit / 8] ^= (uint8_t)(1U << bit % 8);
    put_all_back(flips);
    bool is_table = strstr(file->path, ".sst") != NULL;
    assert_true(found || !is_table); /* no byte of a table is without a checksum */
    return found;
}

static void flips_are_found_or_harmless(void **state)
{
    static struct flips flips;
    struct rng_seeded rng;
    uint64_t found = 0;
    const char *wanted = getenv("ESTREAT_FLIPS");
    uint64_t count = wanted == NULL ? FLIPS : strtoull(wanted, NULL, 10);
    (void)state;
    rng_seeded_init(&rng, test_seed());
    begin(&flips);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t bit = rng_below(&rng.rng, flips.bits);
        struct kept *file = flips.files;
        for (; bit >= file->bytes.length * 8; file++) {
            bit -= file->bytes.length * 8;
        }
        found += flip(&flips, file, bit);
    }
    print_message("%llu flips in %zu files of %llu bytes: %llu found\n", (unsigned long long)count,
                  flips.count, (unsigned long long)flips.bits / 8, (unsigned long long)found);
    assert_true(found > count * 9 / 10);
    end(&flips);
}

/* Each bit of what is not a table: CURRENT, and the manifest with its times and floor. */
static void every_bit_of_a_manifest(void **state)
{
    static struct flips flips;
    uint64_t harmless = 0;
    (void)state;
    begin(&flips);
    for (size_t i = 0; i < flips.count; i++) {
        struct kept *file = &flips.files[i];
        if (strstr(file->path, ".sst") == NULL) {
            for (uint64_t bit = 0; bit < file->bytes.length * 8; bit += STRIDE) {
                harmless += !flip(&flips, file, bit);
            }
        }
    }
    /* Only the last attestation, 16 bytes, which nothing attests. */
    assert_true(harmless <= 16 * 8);
    end(&flips);
}

int main(void)
{
    log_set_level(LOG_OFF);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flips_are_found_or_harmless),
        cmocka_unit_test(every_bit_of_a_manifest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
