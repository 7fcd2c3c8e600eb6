/* SPDX-License-Identifier: Apache-2.0
 *
 * A log whose owner does not sync each group: chains, whose records follow each other without gap.
 */
#include "wal_fixture.h"

#include <errno.h>

#include "storage/wal/format.h"
#include "storage/wal/salvage.h"
#include "storage/wal/walk.h"
#include "testlib/fail_alloc.h"
#include "testlib/fs_faulty.h"

enum { RECORDS_MAX = 64 };

/* Each entry in a group of its own, and where it ends. */
struct written {
    uint64_t count; /* entries [1, count] */
    uint64_t ends[RECORDS_MAX];
};

static void start(struct wal_fixture *fx, uint64_t segment_bytes)
{
    fixture_init(fx, segment_bytes);
    fx->options.unsynced = true;
    fixture_open(fx);
}

static void write_entries(struct wal_fixture *fx, struct written *written, uint64_t to)
{
    uint64_t offset = written->count == 0 ? WAL_BLOCK_BYTES : written->ends[written->count];
    for (uint64_t i = written->count + 1; i < to; i++) {
        uint64_t before = counter_get(&wal_metrics(fx->wal)->bytes);
        fixture_append(fx, i, i + 1, 1);
        fixture_write(fx);
        offset += counter_get(&wal_metrics(fx->wal)->bytes) - before;
        written->ends[i] = offset;
        written->count = i;
    }
}

static void sync_now(struct wal_fixture *fx, struct written *written)
{
    uint64_t before = counter_get(&wal_metrics(fx->wal)->bytes);
    fixture_append(fx, written->count + 1, written->count + 2, 1);
    fixture_commit(fx);
    written->ends[written->count + 1] =
        written->ends[written->count] + counter_get(&wal_metrics(fx->wal)->bytes) - before;
    written->count++;
}

/* Zeros over [from, to). */
static void blank(struct wal_fixture *fx, uint64_t file, uint64_t from, uint64_t to)
{
    for (uint64_t at = from; at < to; at++) {
        fixture_poke(fx, file, at, 0);
    }
}

static void expect_damage(struct wal_fixture *fx, uint64_t from, uint64_t to)
{
    assert_status(fixture_try_open(fx), STATUS_CORRUPT, &fx->err);
    const char *name = strstr(fx->err.text, fixture_path(1));
    assert_non_null(name);
    const char *offset = strstr(name, "offset ");
    assert_non_null(offset);
    assert_in_range(strtoull(offset + strlen("offset "), NULL, 10), from, to);
}

/* A link costs its record and nothing else; the log is whole after a reopening. */
static void links_cost_their_bytes(void **state)
{
    struct wal_fixture fx;
    struct written written = {.count = 0};
    (void)state;
    start(&fx, 16 * KIB);
    write_entries(&fx, &written, 21);
    for (uint64_t i = 2; i < 21; i++) {
        size_t data = fx.entry_bytes + (size_t)((i * 7 + 1) % 60);
        assert_int_equal(written.ends[i] - written.ends[i - 1],
                         WAL_RECORD_HEADER_BYTES + WAL_NEXT_FIXED_BYTES + data);
    }
    assert_int_equal(fx.durable.index, 20);
    assert_int_equal(fixture_read(&fx, 1, 30), 21);
    assert_int_equal(fixture_read(&fx, 13, 15), 15);
    fixture_reopen(&fx);
    fixture_expect(&fx, 20);
    fixture_release(&fx);
}

/* A torn write at each byte of a chain that nothing attests: the log ends behind the last whole
 * record, and goes on from there. */
static void torn_at_every_byte(void **state)
{
    struct wal_fixture fx;
    struct written written = {.count = 0};
    static uint8_t kept[4096];
    (void)state;
    start(&fx, 8 * KIB);
    write_entries(&fx, &written, 6);
    fixture_close(&fx);
    uint64_t end = written.ends[5];
    for (uint64_t at = WAL_BLOCK_BYTES; at < end; at++) {
        kept[at - WAL_BLOCK_BYTES] = fixture_peek(&fx, 1, at);
    }
    for (uint64_t from = WAL_BLOCK_BYTES; from < end; from++) {
        uint64_t whole = 0;
        while (whole < 5 && written.ends[whole + 1] <= from) {
            whole++;
        }
        blank(&fx, 1, from, end);
        fixture_open(&fx);
        fixture_expect(&fx, whole);
        if (from % 7 == 0) {
            fixture_append(&fx, whole + 1, whole + 3, 2);
            fixture_write(&fx);
            fixture_append(&fx, whole + 3, whole + 4, 2);
            fixture_write(&fx);
            fixture_reopen(&fx);
            fixture_expect(&fx, whole + 3);
            for (uint64_t i = 1; i < 6; i++) {
                fx.model.entry_terms[i] = 1;
            }
            fixture_close(&fx);
            blank(&fx, 1, WAL_BLOCK_BYTES, 4 * KIB);
        } else {
            fixture_close(&fx);
        }
        for (uint64_t at = WAL_BLOCK_BYTES; at < end; at++) {
            fixture_poke(&fx, 1, at, kept[at - WAL_BLOCK_BYTES]);
        }
    }
    fixture_open(&fx);
    fixture_expect(&fx, 5);
    fixture_release(&fx);
}

/* The same byte of each record of a chain: damage if a later group attests it, else the end of the
 * log, whatever of the chain lies behind it. */
static void each_side_of_the_rule(void **state)
{
    struct wal_fixture fx;
    struct written written = {.count = 0};
    (void)state;
    start(&fx, 16 * KIB);
    write_entries(&fx, &written, 9);
    fixture_close(&fx);
    for (uint64_t i = 1; i < 9; i++) {
        uint64_t at = written.ends[i] - 10;
        uint8_t was = fixture_peek(&fx, 1, at);
        fixture_poke(&fx, 1, at, was ^ 4);
        fixture_open(&fx);
        fixture_expect(&fx, i - 1);
        fixture_close(&fx);
        fixture_poke(&fx, 1, at, was);
    }
    /* Opening made it durable, but only the next group says so. */
    fixture_open(&fx);
    fixture_append(&fx, 9, 10, 1);
    fixture_write(&fx);
    fixture_close(&fx);
    uint64_t from = WAL_BLOCK_BYTES;
    for (uint64_t i = 1; i < 9; from = written.ends[i++]) {
        for (uint64_t at = from; at < written.ends[i]; at++) {
            uint8_t was = fixture_peek(&fx, 1, at);
            fixture_poke(&fx, 1, at, was ^ 4);
            expect_damage(&fx, from, at);
            fixture_poke(&fx, 1, at, was);
        }
    }
    fixture_open(&fx);
    fixture_expect(&fx, 9);
    fixture_release(&fx);
}

struct looking {
    uint64_t index;
    uint64_t offset;
};

static enum status note_place(void *context, struct wal_position place,
                              const struct wal_record *record, struct error *err)
{
    struct looking *looking = context;
    struct wal_entry entry;
    (void)err;
    if (wal_entry_get(record, &entry) && entry.index == looking->index) {
        looking->offset = place.offset;
    }
    return STATUS_OK;
}

/* Where the entry's record is; the log is closed. */
static uint64_t place_of(struct wal_fixture *fx, uint64_t index)
{
    struct looking looking = {.index = index};
    struct wal_walk walk;
    const struct wal_walk_options options = {.fs = fx->fs,
                                             .alloc = alloc_default(),
                                             .dir = FIXTURE_DIR,
                                             .on_record = note_place,
                                             .context = &looking};
    assert_ok(wal_walk(&options, &walk, &fx->err), &fx->err);
    assert_true(looking.offset > 0);
    return looking.offset;
}

/* A sync ends the chain: it is durable, and attested once the next group is there. A quiet log is
 * made durable by the first wal_idle(), and attested by the second. */
static void syncs_attest(void **state)
{
    struct wal_fixture fx;
    struct written written = {.count = 0};
    (void)state;
    start(&fx, 16 * KIB);
    write_entries(&fx, &written, 4);
    sync_now(&fx, &written);
    fs_crash_stop(fx.crash);
    fixture_close(&fx);
    fs_crash_now_losing_all(fx.crash);
    fixture_open(&fx);
    fixture_expect(&fx, 4);
    uint8_t was = fixture_peek(&fx, 1, written.ends[4] - 1);
    fixture_close(&fx);
    fixture_poke(&fx, 1, written.ends[4] - 1, was ^ 1); /* not attested: the end */
    fixture_open(&fx);
    fixture_expect(&fx, 3);
    fixture_close(&fx);
    fixture_poke(&fx, 1, written.ends[4] - 1, was);
    fixture_open(&fx);
    fixture_append(&fx, 5, 6, 1);
    fixture_write(&fx);
    uint64_t bytes = counter_get(&wal_metrics(fx.wal)->bytes);
    fixture_idle(&fx);
    fs_crash_stop(fx.crash);
    fixture_close(&fx);
    fs_crash_now_losing_all(fx.crash);
    fixture_open(&fx);
    fixture_expect(&fx, 5);
    fixture_append(&fx, 6, 7, 1);
    fixture_write(&fx);
    fixture_idle(&fx);
    fixture_idle(&fx);
    bytes = counter_get(&wal_metrics(fx.wal)->bytes);
    fixture_idle(&fx);
    assert_int_equal(counter_get(&wal_metrics(fx.wal)->bytes), bytes);
    fixture_close(&fx);
    /* Now the last record is attested, too. */
    uint64_t at = place_of(&fx, 6) + 20;
    was = fixture_peek(&fx, 1, at);
    fixture_poke(&fx, 1, at, was ^ 1);
    expect_damage(&fx, WAL_BLOCK_BYTES, at);
    fixture_poke(&fx, 1, at, was);
    fixture_open(&fx);
    fixture_expect(&fx, 6);
    fixture_release(&fx);
}

/* What a power failure left behind a lost record never comes back, though the new records are as
 * long as the old ones and lie where they lay. */
static void lost_links_stay_lost(void **state)
{
    (void)state;
    for (uint64_t lost = 1; lost < 9; lost++) {
        struct wal_fixture fx;
        struct written written = {.count = 0};
        start(&fx, 16 * KIB);
        fx.entry_bytes = 100;
        write_entries(&fx, &written, 10);
        fixture_close(&fx);
        fixture_poke(&fx, 1, written.ends[lost] - 1,
                     (uint8_t)~fixture_peek(&fx, 1, written.ends[lost] - 1));
        fixture_open(&fx);
        fixture_expect(&fx, lost - 1);
        fixture_append(&fx, lost, lost + 1, 1);
        fixture_write(&fx);
        fixture_reopen(&fx);
        fixture_expect(&fx, lost);
        fixture_release(&fx);
    }
}

/* The same with records of an older life right where the new chain ends: they lie whole behind it,
 * at their own places, and are not of this chain. */
static void older_chains_do_not_go_on(void **state)
{
    struct wal_fixture fx;
    struct written written = {.count = 0};
    static uint8_t old[4096];
    (void)state;
    start(&fx, 16 * KIB);
    write_entries(&fx, &written, 10);
    fixture_close(&fx);
    for (uint64_t at = WAL_BLOCK_BYTES; at < written.ends[9]; at++) {
        old[at - WAL_BLOCK_BYTES] = fixture_peek(&fx, 1, at);
    }
    /* Its first group is torn, and written anew with the very same entries. */
    fixture_poke(&fx, 1, WAL_BLOCK_BYTES + 8, (uint8_t)~old[8]);
    fixture_open(&fx);
    fixture_expect(&fx, 0);
    fixture_append(&fx, 1, 2, 1);
    fixture_write(&fx);
    fixture_append(&fx, 2, 3, 1);
    fixture_write(&fx);
    fixture_close(&fx);
    for (uint64_t at = written.ends[2]; at < written.ends[9]; at++) {
        assert_int_equal(fixture_peek(&fx, 1, at), old[at - WAL_BLOCK_BYTES]);
    }
    fixture_open(&fx);
    fixture_expect(&fx, 2);
    fixture_release(&fx);
}

static uint64_t write_files(struct wal_fixture *fx, uint64_t next, uint64_t files)
{
    uint64_t until = wal_bytes(fx->wal) + files * 4 * KIB;
    while (wal_bytes(fx->wal) < until) {
        fixture_append(fx, next, next + 1, 1);
        fixture_write(fx);
        next++;
    }
    return next;
}

/* A chain goes on over segments. A record lost in the first one ends the log there, though those
 * after it are there; what is then written is not continued by them. */
static void chains_span_segments(void **state)
{
    struct wal_fixture fx;
    (void)state;
    start(&fx, 4 * KIB);
    uint64_t next = write_files(&fx, 1, 3);
    assert_int_equal(fixture_read(&fx, 1, next), next);
    fixture_reopen(&fx);
    fixture_expect(&fx, next - 1);
    fixture_close(&fx);
    uint64_t at = 3000;
    fixture_poke(&fx, 1, at, (uint8_t)~fixture_peek(&fx, 1, at));
    fixture_open(&fx);
    uint64_t last = fx.recovered.last_index;
    assert_in_range(last, 5, 30);
    fixture_expect(&fx, last);
    uint64_t until = write_files(&fx, last + 1, 2);
    fixture_reopen(&fx);
    fixture_expect(&fx, until - 1);
    fixture_release(&fx);
}

/* One sync makes all of it durable, in however many segments it is. */
static void a_sync_covers_all_segments(void **state)
{
    (void)state;
    for (unsigned synced = 0; synced < 2; synced++) {
        struct wal_fixture fx;
        start(&fx, 4 * KIB);
        uint64_t next = write_files(&fx, 1, 4);
        if (synced == 1) {
            fixture_append(&fx, next, next + 1, 1);
            fixture_commit(&fx);
        }
        fs_crash_stop(fx.crash);
        fixture_close(&fx);
        fs_crash_now_losing_all(fx.crash);
        fixture_open(&fx);
        fixture_expect(&fx, synced == 1 ? next : 0);
        fixture_release(&fx);
    }
}

/* At each place of a segment the group that does not fit any more may be the synced one. */
static void synced_groups_end_segments(void **state)
{
    (void)state;
    for (size_t bytes = 100; bytes < 1400; bytes++) {
        struct wal_fixture fx;
        start(&fx, 4 * KIB);
        uint64_t next = 1;
        for (unsigned i = 0; i < 30; i++, next++) {
            fx.entry_bytes = i % 3 == 2 ? bytes : 150;
            fixture_append(&fx, next, next + 1, 1);
            if (i % 3 == 2) {
                fixture_commit(&fx);
            } else {
                fixture_write(&fx);
            }
        }
        uint64_t last = next - 1;
        fs_crash_stop(fx.crash);
        fixture_close(&fx);
        fs_crash_now_losing_all(fx.crash);
        fixture_open(&fx);
        assert_int_equal(fx.recovered.last_index, last);
        assert_true(wal_bytes(fx.wal) > 8 * KIB);
        fixture_release(&fx);
    }
}

static enum status open_at(struct wal_fixture *fx, uint64_t index)
{
    return wal_open(&fx->options, index, index == 0 ? 0 : 1, &fx->recovered, &fx->wal, &fx->err);
}

/* Segments that were never synced are purged like others, and not reused; if the power fails then,
 * and nothing of the newest one is left, the log begins where storage ends. */
static void what_is_purged_needs_no_sync(void **state)
{
    struct wal_fixture fx;
    (void)state;
    start(&fx, 4 * KIB);
    uint64_t next = write_files(&fx, 1, 4);
    assert_ok(wal_purge(fx.wal, next - 1, &fx.err), &fx.err);
    assert_true(wal_first_index(fx.wal) > 20);
    assert_int_equal(counter_get(&wal_metrics(fx.wal)->segments_recycled), 0);
    next = write_files(&fx, next, 1);
    assert_int_equal(counter_get(&wal_metrics(fx.wal)->segments_recycled), 0);
    fs_crash_stop(fx.crash);
    fixture_close(&fx);
    fs_crash_now_losing_all(fx.crash);
    assert_status(open_at(&fx, 0), STATUS_CORRUPT, &fx.err);
    assert_ok(open_at(&fx, next - 1), &fx.err);
    assert_int_equal(fx.recovered.last_index, next - 1);
    fixture_append(&fx, next, next + 1, 1);
    fixture_commit(&fx);
    fixture_close(&fx);
    assert_ok(open_at(&fx, next - 1), &fx.err);
    assert_int_equal(fx.recovered.last_index, next);
    assert_int_equal(fixture_read(&fx, next, next + 1), next + 1);
    fixture_release(&fx);
}

/* What was synced after a purge survives, though a crash may bring purged files back. */
static void purged_segments_do_not_hide_synced_ones(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct wal_fixture fx;
        start(&fx, 4 * KIB);
        uint64_t next = write_files(&fx, 1, 3);
        assert_ok(wal_purge(fx.wal, next - 1, &fx.err), &fx.err);
        fixture_append(&fx, next, next + 1, 1);
        fixture_commit(&fx);
        fs_crash_stop(fx.crash);
        fixture_close(&fx);
        fs_crash_now(fx.crash, seed);
        assert_ok(open_at(&fx, next - 1), &fx.err);
        assert_int_equal(fx.recovered.last_index, next);
        assert_int_equal(fixture_read(&fx, next, next + 1), next + 1);
        fixture_release(&fx);
    }
}

/* A removal of entries that is not durable yet keeps what it would need from being purged. */
static void unsynced_removals_hold_a_purge(void **state)
{
    struct wal_fixture fx;
    (void)state;
    start(&fx, 4 * KIB);
    uint64_t next = write_files(&fx, 1, 3);
    fixture_append(&fx, next - 2, next, 2);
    fixture_write(&fx);
    assert_ok(wal_purge(fx.wal, next - 1, &fx.err), &fx.err);
    assert_int_equal(wal_first_index(fx.wal), 1);
    fixture_append(&fx, next, next + 1, 2);
    fixture_commit(&fx);
    assert_ok(wal_purge(fx.wal, next, &fx.err), &fx.err);
    assert_true(wal_first_index(fx.wal) > 1);
    fixture_close(&fx);
    assert_ok(wal_open(&fx.options, next, 2, &fx.recovered, &fx.wal, &fx.err), &fx.err);
    assert_int_equal(fx.recovered.last_index, next);
    fixture_release(&fx);
}

static uint32_t version_of(struct wal_fixture *fx, uint64_t file)
{
    return fixture_peek(fx, file, 8);
}

/* A log of the old version is gone on with: chains only in segments of the new one. And back. */
static void versions_follow_each_other(void **state)
{
    struct wal_fixture fx;
    (void)state;
    fixture_init(&fx, 4 * KIB);
    fixture_open(&fx);
    fixture_append(&fx, 1, 4, 1);
    fixture_commit(&fx);
    fixture_close(&fx);
    assert_int_equal(version_of(&fx, 1), WAL_VERSION_GROUPS);
    assert_int_equal(version_of(&fx, 2), WAL_VERSION_GROUPS);
    fx.options.unsynced = true;
    fixture_open(&fx);
    fixture_expect(&fx, 3);
    fixture_append(&fx, 4, 5, 1);
    fixture_commit(&fx);
    fixture_append(&fx, 5, 6, 1);
    fixture_write(&fx);
    fixture_append(&fx, 6, 7, 1);
    fixture_write(&fx);
    fixture_reopen(&fx);
    fixture_expect(&fx, 6);
    assert_int_equal(version_of(&fx, 1), WAL_VERSION_GROUPS);
    assert_int_equal(version_of(&fx, 2), WAL_VERSION_CHAINS);
    fixture_close(&fx);
    fx.options.unsynced = false;
    fixture_open(&fx);
    fixture_expect(&fx, 6);
    for (uint64_t next = 7; next < 60; next++) {
        fixture_append(&fx, next, next + 1, 1);
        fixture_commit(&fx);
    }
    fixture_reopen(&fx);
    fixture_expect(&fx, 59);
    assert_int_equal(version_of(&fx, 4), WAL_VERSION_GROUPS);
    fixture_release(&fx);
}

/* A vote could be lost with the segment that held it. */
static void votes_are_refused(void **state)
{
    struct wal_fixture fx;
    (void)state;
    fixture_init(&fx, 4 * KIB);
    fixture_open(&fx);
    fixture_vote(&fx, 3, 1);
    fixture_commit(&fx);
    fixture_close(&fx);
    fx.options.unsynced = true;
    assert_status(fixture_try_open(&fx), STATUS_FAILED_PRECONDITION, &fx.err);
    fx.wal = NULL;
    fixture_release(&fx);
}

/* The n-th call fails: no false success. What was synced is there; if a sync failed, no later one
 * succeeds. */
static void each_call_fails_once(void **state)
{
    (void)state;
    for (uint64_t n = 0;; n++) {
        struct wal_fixture fx;
        struct fs_faulty faulty;
        uint64_t synced = 0;
        uint64_t purged = 0;
        fixture_init(&fx, 4 * KIB);
        fs_faulty_init(&faulty, fx.fs);
        fx.options.fs = &faulty.fs;
        fx.options.unsynced = true;
        fs_faulty_arm(&faulty, (struct fs_fault){.at = n});
        enum status status = fixture_try_open(&fx);
        bool opened = status == STATUS_OK;
        for (uint64_t next = 1; status == STATUS_OK && next < 90; next++) {
            status = fixture_try_append(&fx, next, next + 1, 1);
            if (status == STATUS_OK && next % 40 == 0) {
                status = fixture_try_commit(&fx);
                synced = status == STATUS_OK ? next : synced;
            } else if (status == STATUS_OK) {
                status = fixture_try_write(&fx);
            }
            if (status == STATUS_OK && next % 30 == 0) {
                purged = next - 10;
                status = wal_purge(fx.wal, purged, &fx.err);
                status = status == STATUS_INTERNAL ? STATUS_OK : status; /* told, and it goes on */
            }
        }
        bool hit = fs_faulty_hit(&faulty);
        fs_crash_stop(fx.crash);
        if (opened) {
            fixture_close(&fx);
        }
        fx.wal = NULL;
        fx.options.fs = fx.fs;
        fs_crash_now_losing_all(fx.crash);
        if (opened) {
            assert_ok(open_at(&fx, purged), &fx.err);
            assert_true(fx.recovered.last_index >= purged);
            assert_true(fx.recovered.last_index >= synced);
        }
        fixture_release(&fx);
        fs_faulty_release(&faulty);
        if (!hit) {
            assert_int_equal(synced, 80);
            break;
        }
    }
}

/* Salvage of a damaged chain: it ends before the damage, and the log opens. */
static void damaged_chains_are_salvaged(void **state)
{
    struct wal_fixture fx;
    struct written written = {.count = 0};
    struct wal_salvage found;
    (void)state;
    start(&fx, 16 * KIB);
    write_entries(&fx, &written, 9);
    sync_now(&fx, &written);
    fixture_append(&fx, 10, 11, 1);
    fixture_write(&fx);
    fixture_close(&fx);
    uint64_t at = written.ends[5] + 20;
    fixture_poke(&fx, 1, at, (uint8_t)~fixture_peek(&fx, 1, at));
    expect_damage(&fx, written.ends[5], at);
    assert_ok(wal_salvage_look(&fx.options, &found, &fx.err), &fx.err);
    assert_int_equal(found.offset, written.ends[5]);
    assert_int_equal(found.last_index, 5);
    assert_int_equal(found.lost_index, 10);
    assert_ok(wal_salvage_cut(&fx.options, &found, &fx.err), &fx.err);
    assert_ok(wal_salvage_cut(&fx.options, &found, &fx.err), &fx.err);
    fixture_open(&fx);
    fixture_expect(&fx, 5);
    fixture_append(&fx, 6, 7, 1);
    fixture_write(&fx);
    fixture_reopen(&fx);
    fixture_expect(&fx, 6);
    fixture_release(&fx);
}

/* The tool's walk sees the same log, link by link. */
static void walks_see_links(void **state)
{
    struct wal_fixture fx;
    struct written written = {.count = 0};
    struct wal_walk walk;
    (void)state;
    start(&fx, 16 * KIB);
    write_entries(&fx, &written, 9);
    sync_now(&fx, &written);
    fixture_append(&fx, 10, 11, 1);
    fixture_write(&fx);
    fixture_close(&fx);
    const struct wal_walk_options options = {
        .fs = fx.fs, .alloc = alloc_default(), .dir = FIXTURE_DIR};
    assert_ok(wal_walk(&options, &walk, &fx.err), &fx.err);
    assert_int_equal(walk.faults, 0);
    assert_int_equal(walk.groups, 2);
    assert_int_equal(walk.entries, 10);
    assert_int_equal(walk.last_index, 10);
    uint64_t at = written.ends[5] + 20;
    fixture_poke(&fx, 1, at, (uint8_t)~fixture_peek(&fx, 1, at));
    assert_ok(wal_walk(&options, &walk, &fx.err), &fx.err);
    assert_int_equal(walk.faults, 1);
    assert_int_equal(walk.groups, 2);
    assert_int_equal(walk.entries, 6);
    fixture_release(&fx);
}

/* Of 64 KiB's every 512th byte behind the log's end. */
static unsigned dirty_behind(struct wal_fixture *fx, uint64_t end)
{
    unsigned dirty = 0;
    for (uint64_t at = end + 100; at < end + 64 * KIB; at += 512) {
        dirty += fixture_peek(fx, 1, at) != 0;
    }
    return dirty;
}

static void soil_behind(struct wal_fixture *fx, uint64_t end)
{
    for (uint64_t at = end + 100; at < end + 64 * KIB; at += 512) {
        fixture_poke(fx, 1, at, 0xaa);
    }
}

/* What a write brings is seen by what it makes of dirt behind the log's end. */
static void small_syncs_write_zeros_ahead(void **state)
{
    struct wal_fixture fx;
    (void)state;
    start(&fx, 256 * KIB);
    uint64_t end = WAL_BLOCK_BYTES;
    soil_behind(&fx, end);
    fixture_append(&fx, 1, 2, 1);
    fixture_write(&fx); /* unsynced: nothing but its bytes */
    assert_int_equal(dirty_behind(&fx, end + WAL_BLOCK_BYTES), 127);
    fixture_append(&fx, 2, 3, 1);
    fixture_commit(&fx); /* synced, behind what was not: likewise */
    assert_int_equal(dirty_behind(&fx, end + 2 * WAL_BLOCK_BYTES), 126);
    fixture_append(&fx, 3, 4, 1);
    fixture_commit(&fx); /* one sync after the other */
    assert_int_equal(dirty_behind(&fx, end + 3 * WAL_BLOCK_BYTES), 0);
    soil_behind(&fx, end + 4 * WAL_BLOCK_BYTES);
    fixture_append(&fx, 4, 5, 1);
    fixture_commit(&fx); /* into the zeros: no more of them */
    assert_int_equal(dirty_behind(&fx, end + 4 * WAL_BLOCK_BYTES), 128);
    assert_int_equal(counter_get(&wal_metrics(fx.wal)->zero_bytes), 128 * KIB);
    fixture_reopen(&fx);
    fixture_expect(&fx, 4);
    fixture_release(&fx);
}

/* A sync of what was written before says what is durable in a group of its own: no zeros for that.
 */
static void sync_later_without_zeros(void **state)
{
    struct wal_fixture fx;
    (void)state;
    start(&fx, 256 * KIB);
    for (uint64_t i = 1; i < 4; i++) {
        fixture_append(&fx, i, i + 1, 1);
        fixture_write(&fx);
        fixture_idle(&fx);
        fixture_idle(&fx);
        fixture_idle(&fx);
    }
    assert_int_equal(counter_get(&wal_metrics(fx.wal)->zero_bytes), 0);
    fixture_release(&fx);
}

/* Zeros are no condition: a group is written without them where memory is short, and any other
 * allocation that fails ends it. */
static void no_memory_no_zeros(void **state)
{
    unsigned without = 0;
    bool hit = true;
    (void)state;
    for (uint64_t n = 0; hit; n++) {
        struct wal_fixture fx;
        struct fail_alloc fail;
        fail_alloc_init(&fail);
        fixture_init(&fx, 256 * KIB);
        fx.options.unsynced = true;
        fx.options.alloc = &fail.alloc;
        fixture_open(&fx);
        fixture_append(&fx, 1, 2, 1);
        fail_alloc_arm(&fail, n);
        enum status status = fixture_try_commit(&fx);
        hit = fail_alloc_hit(&fail);
        fail_alloc_arm(&fail, FAIL_ALLOC_NEVER);
        uint64_t zeros = counter_get(&wal_metrics(fx.wal)->zero_bytes);
        assert_true(hit || zeros == 128 * KIB);
        if (status == STATUS_OK) {
            without += zeros == 0;
            fixture_append(&fx, 2, 3, 1);
            fixture_commit(&fx);
            fixture_reopen(&fx);
            fixture_expect(&fx, 2);
        }
        fixture_release(&fx);
        fail_alloc_release(&fail);
    }
    assert_int_equal(without, 1);
}

/* Never past a segment's last byte; those of others, and of a reopened one, begin anew. */
static void zeros_end_with_the_segment(void **state)
{
    struct wal_fixture fx;
    (void)state;
    start(&fx, 16 * KIB);
    for (uint64_t i = 1; i < 120; i++) {
        fixture_append(&fx, i, i + 1, 1);
        fixture_commit(&fx);
        if (i % 10 == 0) {
            fixture_reopen(&fx);
        }
        assert_int_equal(fs_crash_used(fx.crash) % (16 * KIB), 0);
    }
    fixture_reopen(&fx);
    fixture_expect(&fx, 119);
    fixture_release(&fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(links_cost_their_bytes),
        cmocka_unit_test(torn_at_every_byte),
        cmocka_unit_test(each_side_of_the_rule),
        cmocka_unit_test(syncs_attest),
        cmocka_unit_test(lost_links_stay_lost),
        cmocka_unit_test(older_chains_do_not_go_on),
        cmocka_unit_test(chains_span_segments),
        cmocka_unit_test(a_sync_covers_all_segments),
        cmocka_unit_test(synced_groups_end_segments),
        cmocka_unit_test(what_is_purged_needs_no_sync),
        cmocka_unit_test(purged_segments_do_not_hide_synced_ones),
        cmocka_unit_test(unsynced_removals_hold_a_purge),
        cmocka_unit_test(versions_follow_each_other),
        cmocka_unit_test(votes_are_refused),
        cmocka_unit_test(each_call_fails_once),
        cmocka_unit_test(damaged_chains_are_salvaged),
        cmocka_unit_test(walks_see_links),
        cmocka_unit_test(small_syncs_write_zeros_ahead),
        cmocka_unit_test(sync_later_without_zeros),
        cmocka_unit_test(no_memory_no_zeros),
        cmocka_unit_test(zeros_end_with_the_segment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
