/* SPDX-License-Identifier: Apache-2.0
 *
 * Bits that flip, one at a time, anywhere in a store's files: each is found and told with the
 * file's name, or makes no difference; no read yields another byte than was written; and what
 * estreat-store says is what the store itself says. ESTREAT_FLIPS: how many.
 */
#include <stdlib.h>

#include "storage/inspect/verify.h"
#include "store_fixture.h"

/* Under ASan, which takes four times as long, a part of them. STRIDE, in bits, is of the sweep over
 * a log of chains: it leaves out five bytes of thirteen, and seven bits or more of the others; to
 * flip one bit of each byte takes eight seconds. What it leaves out, random flips come to. */
#ifdef __SANITIZE_ADDRESS__
enum { FLIPS = 1000, STRIDE = 67 };
#else
enum { FLIPS = 5000, STRIDE = 13 };
#endif
enum { BATCHES = 60 };

static struct store_fixture fixture;

/* The error is damage of this file. */
static void assert_names(const struct store_file_bytes *file, const struct error *err)
{
    const char *name = strrchr(file->path, '/') + 1;
    if (err->status != STATUS_CORRUPT || strstr(err->text, name) == NULL) {
        fail_msg("%s was spoilt, and this was said: %s", file->path, err->text);
    }
    if (strstr(err->text, " at ") == NULL && strstr(err->text, "offset ") == NULL) {
        fail_msg("no offset: %s", err->text);
    }
}

/* --- tables -------------------------------------------------------------------------------- */

static void look_up(const struct store_file_bytes *file, unsigned keyspace, struct slice key,
                    uint32_t id)
{
    struct error err = ERROR_INIT;
    struct buf value;
    buf_init(&value, alloc_default(), KEYSPACE_VALUE_BYTES_MAX);
    enum status status = engine_get(fixture.engine, NULL, keyspace, key, &value, &err);
    if (status == STATUS_OK) {
        assert_true(id != 0);
        assert_value(buf_slice(&value), id);
    } else if (status == STATUS_NOT_FOUND) {
        assert_int_equal(id, 0);
    } else {
        assert_names(file, &err);
    }
    buf_release(&value);
}

/* Forward over the whole keyspace: what comes is right, and it ends at the end or with damage. */
static void walk(const struct store_file_bytes *file, unsigned keyspace, const uint32_t *ids)
{
    struct error err = ERROR_INIT;
    struct engine_iter *iter = NULL;
    if (engine_iter_new(fixture.engine, NULL, keyspace, NULL, &iter, &err) != STATUS_OK) {
        assert_names(file, &err);
        return;
    }
    engine_iter_seek_first(iter);
    uint32_t end = ids == NULL ? fixture.model.events : MODEL_KEYS;
    uint32_t at = ids == NULL ? 0 : model_next(ids, 0, end);
    while (engine_iter_valid(iter)) {
        char text[64];
        uint8_t position[8];
        assert_true(at < end);
        assert_true(slice_equal(engine_iter_key(iter),
                                ids == NULL ? model_event_key(position, at) : model_key(text, at)));
        assert_value(engine_iter_value(iter), ids == NULL ? event_value_id(at) : ids[at]);
        at = ids == NULL ? at + 1 : model_next(ids, at + 1, end);
        engine_iter_next(iter);
    }
    if (engine_iter_status(iter, &err) != STATUS_OK) {
        assert_names(file, &err);
    } else {
        assert_int_equal(at, end);
    }
    engine_iter_close(iter);
}

/* True if the store says that it is damaged. */
static bool use_tables(const struct store_file_bytes *file)
{
    struct error err = ERROR_INIT;
    if (store_open_engine(&fixture, file->dir) != STATUS_OK) {
        assert_names(file, &fixture.err);
        return true;
    }
    for (uint32_t key = 0; key < MODEL_KEYS; key += 3) {
        char text[64];
        look_up(file, KS_LATEST, model_key(text, key), fixture.model.latest[key]);
        look_up(file, KS_META, model_key(text, key), fixture.model.meta[key]);
    }
    walk(file, KS_LATEST, fixture.model.latest);
    walk(file, KS_META, fixture.model.meta);
    walk(file, KS_EVENTS, NULL);
    struct model sealed;
    read_sealed_model(fixture.engine, &sealed);
    assert_memory_equal(&sealed, &fixture.model, sizeof sealed);
    bool damaged = engine_verify(fixture.engine, &err) != STATUS_OK;
    if (damaged) {
        assert_names(file, &err);
    }
    store_close_engine(&fixture);
    return damaged;
}

/* --- the log ------------------------------------------------------------------------------- */

static bool use_log(const struct store_file_bytes *file)
{
    if (fixture_try_open(&fixture.log) != STATUS_OK) {
        assert_names(file, &fixture.log.err);
        fixture.log.wal = NULL;
        return true;
    }
    fixture_expect(&fixture.log, fixture.log_last);
    fixture_close(&fixture.log);
    return false;
}

/* --- flips --------------------------------------------------------------------------------- */

static bool tool_finds_damage(const struct store_file_bytes *file)
{
    static struct store_place place;
    struct error err = ERROR_INIT;
    struct verified found;
    FILE *nowhere = fopen("/dev/null", "w");
    assert_non_null(nowhere);
    struct report report = {.lines = nowhere, .messages = nowhere};
    assert_ok(store_place_find(&place, fixture.fs, alloc_default(), file->dir, &err), &err);
    assert_ok(inspect_verify(&place, &report, &found, &err), &err);
    assert_int_equal(report.unread, 0);
    (void)fclose(nowhere);
    return report.faults > 0;
}

/* Which bit of all files' the n-th is. */
static const struct store_file_bytes *find_bit(uint64_t *bit)
{
    size_t i = 0;
    while (*bit >= fixture.files[i].bytes.length * 8) {
        *bit -= fixture.files[i].bytes.length * 8;
        i++;
        assert_true(i < fixture.count);
    }
    return &fixture.files[i];
}

/* Returns whether it was found; else it made no difference. */
static bool try_flip(const struct store_file_bytes *file, uint64_t bit)
{
    bool is_log = strcmp(file->dir, STORE_LOG) == 0;
    store_flip(&fixture, file, bit);
    bool told = tool_finds_damage(file);
    bool damaged = is_log ? use_log(file) : use_tables(file);
    if (told != damaged) {
        fail_msg("%s bit %llu: the store says %s, the tool %s", file->path, (unsigned long long)bit,
                 damaged ? "damaged" : "sound", told ? "damaged" : "sound");
    }
    store_write_file(&fixture, file->path, buf_slice(&file->bytes));
    return damaged;
}

static void flip_some(uint64_t flips)
{
    uint64_t seed = test_seed();
    struct rng_seeded rng;
    rng_seeded_init(&rng, seed);
    store_init(&fixture, seed, BATCHES);
    uint64_t bits = 0;
    uint64_t found = 0;
    uint64_t in_tables = 0;
    for (size_t i = 0; i < fixture.count; i++) {
        bits += fixture.files[i].bytes.length * 8;
    }
    for (uint64_t i = 0; i < flips; i++) {
        uint64_t bit = rng_below(&rng.rng, bits);
        const struct store_file_bytes *file = find_bit(&bit);
        bool damaged = try_flip(file, bit);
        bool is_table = strstr(file->path, ".sst") != NULL;
        /* No byte of a table is without a checksum. */
        assert_true(damaged || !is_table);
        found += damaged ? 1 : 0;
        in_tables += is_table ? 1 : 0;
    }
    print_message("%llu flips in %zu files of %llu bytes: %llu found (%llu of %llu in tables), "
                  "%llu harmless\n",
                  (unsigned long long)flips, fixture.count, (unsigned long long)bits / 8,
                  (unsigned long long)found, (unsigned long long)in_tables,
                  (unsigned long long)in_tables, (unsigned long long)(flips - found));
    assert_true(found > flips / 4);
    store_release(&fixture);
}

static void flips_are_found_or_harmless(void **state)
{
    (void)state;
    const char *wanted = getenv("ESTREAT_FLIPS");
    flip_some(wanted == NULL ? FLIPS : strtoull(wanted, NULL, 10));
}

/* Bits of a log of chains: each is found, but for those of what no group needs. */
static void flips_in_chains_are_found(void **state)
{
    (void)state;
    uint64_t flips = 0;
    uint64_t found = 0;
    store_init_log(&fixture, 1, 12, true);
    for (size_t i = 0; i < fixture.count; i++) {
        const struct store_file_bytes *file = &fixture.files[i];
        bool is_log = strcmp(file->dir, STORE_LOG) == 0;
        for (uint64_t bit = 0; is_log && bit < file->bytes.length * 8; bit += STRIDE) {
            found += try_flip(file, bit) ? 1 : 0;
            flips++;
        }
    }
    assert_true(found > flips / 3);
    store_release(&fixture);
}

/* Every bit of the small files, whose flips are few among all: CURRENT, manifests, heads. */
static void every_bit_of_what_is_small(void **state)
{
    (void)state;
    store_init(&fixture, 1, 12);
    uint64_t harmless = 0;
    for (size_t i = 0; i < fixture.count; i++) {
        const struct store_file_bytes *file = &fixture.files[i];
        bool is_table = strstr(file->path, ".sst") != NULL;
        bool is_log = strcmp(file->dir, STORE_LOG) == 0;
        uint64_t bytes = is_log ? WAL_BLOCK_BYTES : file->bytes.length;
        bytes = is_table || bytes > 1024 ? 0 : bytes;
        for (uint64_t at = 0; at < bytes; at++) {
            harmless += try_flip(file, at * 8 + at % 8) ? 0 : 1;
        }
    }
    /* Only the last attestation, 16 bytes, which nothing attests. */
    assert_true(harmless <= 16);
    store_release(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flips_are_found_or_harmless),
        cmocka_unit_test(flips_in_chains_are_found),
        cmocka_unit_test(every_bit_of_what_is_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
