/* SPDX-License-Identifier: Apache-2.0
 *
 * Giving and taking snapshots: whatever breaks, what is staged in the end is one node's whole
 * checkpoint, and what was fetched before is not fetched again.
 */
#include "snapshot_nodes.h"

#include <errno.h>

#include "node/snapshot_questions.h"
#include "testlib/flip.h"

#define EVENTS 800U

static int setup(void **state)
{
    static struct nodes nodes;
    nodes_open(&nodes);
    for (unsigned i = 0; i < GIVERS; i++) {
        giver_append(&nodes.givers[i], EVENTS);
    }
    nodes.wanted = EVENTS / 2;
    *state = &nodes;
    return 0;
}

static int teardown(void **state)
{
    nodes_close(*state);
    return 0;
}

/* The process ends at once and starts again, with what the operating system had; or the power
 * fails. */
static void restart_taker(struct nodes *nodes, bool power_fails, uint64_t seed)
{
    if (power_fails) {
        fs_crash_stop(nodes->crash);
    }
    taker_close(nodes);
    if (power_fails) {
        fs_crash_now(nodes->crash, seed);
    }
    taker_open(nodes);
}

static enum status add_bytes(void *context, const char *name, struct error *err)
{
    struct nodes *nodes = *(struct nodes **)context;
    char path[PATH_BYTES_MAX];
    struct file *file = NULL;
    uint64_t bytes = 0;
    (void)snprintf(path, sizeof path, "data/incoming/%s", name);
    assert_ok(fs_open(&nodes->faulty.fs, path, FS_READ, &file, err), err);
    assert_ok(file_size(file, &bytes, err), err);
    file_close(file);
    ((uint64_t *)context)[1] += bytes;
    return STATUS_OK;
}

/* Bytes in DATA/incoming. */
static uint64_t staged_bytes(struct nodes *nodes)
{
    uint64_t context[2] = {(uint64_t)(uintptr_t)nodes, 0};
    bool exists = false;
    assert_ok(fs_exists(&nodes->faulty.fs, "data/incoming", &exists, &nodes->err), &nodes->err);
    if (exists) {
        assert_ok(fs_list(&nodes->faulty.fs, "data/incoming", add_bytes, context, &nodes->err),
                  &nodes->err);
    }
    return context[1];
}

static bool is_staging(struct nodes *nodes)
{
    bool exists = false;
    assert_ok(fs_exists(&nodes->faulty.fs, "data/incoming", &exists, &nodes->err), &nodes->err);
    return exists;
}

/* A node without anything gets all of it, a few pieces at a time. */
static void a_new_node_gets_everything(void **state)
{
    struct nodes *nodes = *state;
    struct snapshot_progress progress;
    assert_false(snapshot_pull_progress(nodes->pull, &progress));
    nodes_run(nodes);
    assert_true(snapshot_pull_progress(nodes->pull, &progress));
    assert_true(progress.verifying);
    assert_int_equal(nodes->link.piece_bytes, staged_bytes(nodes));
    assert_in_range(nodes->link.open_max, 2, SNAPSHOT_QUESTIONS_MAX);
    nodes_install(nodes, &nodes->givers[0]);
    assert_false(is_staging(nodes));
}

/* However long it takes to verify a snapshot, its source keeps the log that is to follow it. */
static void a_source_is_asked_while_its_snapshot_is_verified(void **state)
{
    struct nodes *nodes = *state;
    struct snapshot_progress progress = {.verifying = false};
    unsigned steps = 0;
    for (; nodes->staged == 0; steps++) {
        assert_true(steps < STEPS_MAX);
        nodes_step(nodes, steps);
        (void)snapshot_pull_progress(nodes->pull, &progress);
        if (progress.verifying) {
            clock_manual_advance(&nodes->clock, NS_PER_S);
            snapshot_source_poll(nodes->givers[0].source);
        }
    }
    assert_true(clock_monotonic_ns(&nodes->clock.clock) > 10 * NS_PER_S);
    assert_true(snapshot_source_held_index(nodes->givers[0].source) <= EVENTS);
    nodes_install(nodes, &nodes->givers[0]);
}

/* Ten times the log needs no more memory to be given and taken, but for the list of its files, what
 * the staged store must know of them, and a cache of 1 MiB which the small one does not fill. */
static void memory_does_not_grow_with_the_log(void **state)
{
    struct nodes *nodes = *state;
    nodes_run(nodes);
    uint64_t before = fail_alloc_bytes_most(&snapshot_memory);
    uint64_t bytes = nodes->link.piece_bytes;
    nodes_close(nodes);
    nodes_open(nodes);
    giver_append(&nodes->givers[0], 10 * EVENTS);
    nodes->wanted = 10 * EVENTS;
    nodes_run(nodes);
    uint64_t after = fail_alloc_bytes_most(&snapshot_memory);
    print_message("%lu bytes for %lu, %lu for %lu\n", before, bytes, after,
                  nodes->link.piece_bytes);
    assert_true(nodes->link.piece_bytes > 9 * bytes);
    assert_true(after < before + MIB);
}

/* What is behind what this node has itself by then is not worth the exchange. */
static void nothing_is_pulled_that_is_not_wanted(void **state)
{
    struct nodes *nodes = *state;
    nodes->wanted = 0;
    for (unsigned i = 0; i < 1000; i++) {
        nodes_step(nodes, i);
    }
    assert_int_equal(nodes->link.asked, 0);
    nodes->wanted = EVENTS / 2;
    nodes_run(nodes);
    nodes_install(nodes, &nodes->givers[0]);
    uint64_t asked = nodes->link.asked;
    for (unsigned i = 0; i < 1000; i++) {
        nodes_step(nodes, i);
    }
    assert_int_equal(nodes->link.asked, asked);
}

/* A source that has sealed nothing seals, one that is not so far refuses, and the next is asked. */
static void a_source_seals_if_it_must(void **state)
{
    struct nodes *nodes = *state;
    giver_append(&nodes->givers[1], 10);
    nodes->wanted = EVENTS + 10;
    nodes_run(nodes);
    nodes_install(nodes, &nodes->givers[1]);
}

/* The process is killed again and again, the power fails in between: each life goes on where the
 * last one ended, and in the end it was not much more than once the whole that was sent. */
static void a_break_costs_little(void **state)
{
    struct nodes *nodes = *state;
    unsigned lives = 0;
    unsigned life = 0;
    for (unsigned i = 0; nodes->staged == 0; i++) {
        assert_true(i < STEPS_MAX);
        nodes_step(nodes, i);
        if (life++ > 25 + 4 * lives) { /* what is there is looked through again each time */
            restart_taker(nodes, lives % 3 == 2, i);
            life = 0;
            lives++;
        }
    }
    uint64_t bytes = staged_bytes(nodes);
    assert_true(lives >= 3);
    assert_true(nodes->link.piece_bytes < 2 * bytes);
    nodes_install(nodes, &nodes->givers[0]);
}

/* The source dies in the middle: another one, whose files are others, gives the rest. */
static void another_source_serves(void **state)
{
    struct nodes *nodes = *state;
    for (unsigned i = 0; nodes->link.pieces < 3; i++) {
        assert_true(i < STEPS_MAX);
        nodes_step(nodes, i);
    }
    nodes->givers[0].dead = true;
    nodes_run(nodes);
    nodes_install(nodes, &nodes->givers[1]);
}

/* A piece that was spoilt on the way does not get in, wherever it is. */
static void a_spoilt_piece_is_found(void **state)
{
    struct nodes *nodes = *state;
    nodes->givers[1].dead = true;
    for (nodes->link.spoil_at = 1;; nodes->link.spoil_at++) {
        nodes->link.pieces = 0;
        nodes->link.piece_bytes = 0;
        nodes_run(nodes);
        /* Found by the file's hash, so only that file is fetched again. */
        assert_true(nodes->link.piece_bytes < staged_bytes(nodes) + 3 * MIB / 2);
        if (nodes->link.pieces < nodes->link.spoil_at) {
            break;
        }
        assert_ok(snapshot_staging_remove(&nodes->faulty.fs, "data", &nodes->err), &nodes->err);
        nodes->staged = 0;
        restart_taker(nodes, false, 0);
    }
    assert_true(nodes->link.spoil_at > 5);
    nodes_install(nodes, &nodes->givers[0]);
}

/* The leader went in the moment in which it said that a snapshot is needed: the others are asked.
 */
static void nobody_leads(void **state)
{
    struct nodes *nodes = *state;
    nodes->leaderless = true;
    nodes_run(nodes);
    nodes_install(nodes, nodes->link.from);
}

/* A node that does not know either who else there is waits until it does. */
static void nobody_can_be_asked(void **state)
{
    struct nodes *nodes = *state;
    struct snapshot_progress progress;
    nodes->leaderless = true;
    nodes->alone = true;
    for (unsigned i = 0; i < 1000; i++) {
        nodes_step(nodes, i);
    }
    assert_int_equal(nodes->link.asked, 0);
    assert_true(snapshot_pull_progress(nodes->pull, &progress));
    nodes->alone = false;
    nodes_run(nodes);
    nodes_install(nodes, nodes->link.from);
}

static enum status spoil_table(void *context, const char *name, struct error *err)
{
    struct giver *giver = context;
    char path[PATH_BYTES_MAX];
    (void)err;
    if (strstr(name, ".sst") != NULL) {
        (void)snprintf(path, sizeof path, "n/tables/%s", name);
        flip_bit(fs_crash_fs(giver->crash), path, 100);
    }
    return STATUS_OK;
}

static enum status remove_table(void *context, const char *name, struct error *err)
{
    struct giver *giver = context;
    char path[PATH_BYTES_MAX];
    (void)snprintf(path, sizeof path, "n/tables/%s", name);
    return strstr(name, ".sst") == NULL ? STATUS_OK
                                        : fs_unlink(fs_crash_fs(giver->crash), path, err);
}

static void each_table(struct giver *giver,
                       enum status (*what)(void *context, const char *name, struct error *err))
{
    struct error err = ERROR_INIT;
    assert_ok(fs_list(fs_crash_fs(giver->crash), "n/tables", what, giver, &err), &err);
}

/* What has rotten on a source's disk is not given, though it has a hash: the source finds out, and
 * says so from then on. */
static void a_damaged_source_is_left(void **state)
{
    struct nodes *nodes = *state;
    each_table(&nodes->givers[0], spoil_table);
    nodes_run(nodes);
    assert_true(fault_get(&nodes->givers[0].fault, NULL));
    assert_int_equal(nodes->link.piece_bytes, staged_bytes(nodes));
    nodes_install(nodes, &nodes->givers[1]);
}

struct nth_table {
    struct fs *fs;
    unsigned left;
    bool found;
};

static enum status spoil_nth_table(void *context, const char *name, struct error *err)
{
    struct nth_table *nth = context;
    char path[PATH_BYTES_MAX];
    (void)err;
    if (strstr(name, ".sst") != NULL && nth->left-- == 0) {
        (void)snprintf(path, sizeof path, "data/incoming/%s", name);
        flip_bit(nth->fs, path, 100);
        nth->found = true;
    }
    return STATUS_OK;
}

/* What rots on this node's disk between its arrival and its installation is found, whatever is in
 * that table, and fetched again. */
static void what_rots_while_staged_is_found(void **state)
{
    struct nodes *nodes = *state;
    struct fs *fs = fs_crash_fs(nodes->crash);
    struct snapshot_progress progress;
    for (unsigned i = 0;; i++) {
        struct nth_table nth = {.fs = fs, .left = i};
        for (unsigned step = 0;
             !snapshot_pull_progress(nodes->pull, &progress) || !progress.verifying; step++) {
            assert_true(step < STEPS_MAX);
            nodes_step(nodes, step);
        }
        assert_ok(fs_list(fs, "data/incoming", spoil_nth_table, &nth, &nodes->err), &nodes->err);
        if (!nth.found) {
            assert_true(i > 3);
            break;
        }
        nodes->link.piece_bytes = 0;
        nodes_run(nodes);
        assert_true(nodes->link.piece_bytes > 0);
        assert_ok(snapshot_staging_remove(&nodes->faulty.fs, "data", &nodes->err), &nodes->err);
        nodes->staged = 0;
        restart_taker(nodes, false, 0);
    }
    nodes_run(nodes);
    nodes_install(nodes, nodes->link.from);
}

/* A source whose disk does not give what is whole says so: who waits for it asks another. */
static void a_source_that_cannot_read_is_left(void **state)
{
    struct nodes *nodes = *state;
    fs_faulty_arm(&nodes->givers[0].faulty, (struct fs_fault){.call = FS_CALL_READ,
                                                              .errnum = EIO,
                                                              .for_ever = true,
                                                              .path_contains = ".sst"});
    nodes_run(nodes);
    assert_true(fs_faulty_hit(&nodes->givers[0].faulty) > 0);
    fs_faulty_disarm(&nodes->givers[0].faulty);
    assert_false(fault_get(&nodes->givers[0].fault, NULL));
    nodes_install(nodes, &nodes->givers[1]);
}

static void pull_some(struct nodes *nodes)
{
    for (unsigned i = 0; nodes->link.pieces < 3; i++) {
        assert_true(i < STEPS_MAX);
        nodes_step(nodes, i);
    }
    assert_true(nodes->link.from == &nodes->givers[0]);
}

/* A source that gets to know of damage in the middle gives nothing more. */
static void a_source_learns_of_damage(void **state)
{
    struct nodes *nodes = *state;
    pull_some(nodes);
    fault_note(&nodes->givers[0].fault, "a table is damaged");
    uint64_t pieces = nodes->link.pieces;
    for (unsigned i = 0; nodes->link.pieces == pieces; i++) {
        assert_true(i < STEPS_MAX);
        nodes_step(nodes, i);
    }
    assert_true(nodes->link.from == &nodes->givers[1]);
    nodes_run(nodes);
    nodes_install(nodes, &nodes->givers[1]);
}

/* Tables that have gone since they were listed are damage, and no reason to ask for the list again
 * and again. */
static void a_source_loses_its_tables(void **state)
{
    struct nodes *nodes = *state;
    pull_some(nodes);
    each_table(&nodes->givers[0], remove_table);
    nodes_run(nodes);
    assert_true(fault_get(&nodes->givers[0].fault, NULL));
    nodes_install(nodes, &nodes->givers[1]);
}

/* What is there under a file's name and is something else is fetched again, from the same source.
 */
static void a_wrong_beginning_is_fetched_again(void **state)
{
    struct nodes *nodes = *state;
    struct giver *giver = &nodes->givers[0];
    nodes_run(nodes);
    restart_taker(nodes, false, 0);
    nodes->staged = 0;
    nodes->link.piece_bytes = 0;
    nodes->givers[1].dead = true;
    struct giver staged = {.crash = nodes->crash};
    assert_ok(fs_make_dir(fs_crash_fs(nodes->crash), "n", &nodes->err), &nodes->err);
    assert_ok(fs_rename(fs_crash_fs(nodes->crash), "data/incoming", "n/tables", &nodes->err),
              &nodes->err);
    assert_ok(fs_list(fs_crash_fs(nodes->crash), "n/tables", spoil_table, &staged, &nodes->err),
              &nodes->err);
    assert_ok(fs_rename(fs_crash_fs(nodes->crash), "n/tables", "data/incoming", &nodes->err),
              &nodes->err);
    uint64_t asked = nodes->link.asked;
    uint64_t pieces = nodes->link.pieces;
    nodes_run(nodes);
    /* One list: no attempt failed. */
    assert_int_equal(nodes->link.asked - asked, nodes->link.pieces - pieces + 1);
    nodes_install(nodes, giver);
}

static bool is_first(const struct giver *from)
{
    return from->memtable_bytes == MIB;
}

static void lie_about_head(Estreat__V1__SnapshotDescription *page, const struct giver *from)
{
    if (is_first(from) && page->head.len > 0) {
        page->head.data[page->head.len - 10] ^= 1; /* in the signature */
    }
}

static void lie_about_proof(Estreat__V1__SnapshotDescription *page, const struct giver *from)
{
    if (is_first(from) && page->n_consistency > 0) {
        page->consistency[0].data[0] ^= 1;
    }
}

static void lie_about_size(Estreat__V1__SnapshotDescription *page, const struct giver *from)
{
    page->size -= is_first(from) && page->checkpoint != 0 ? 1 : 0;
}

static void lie_about_index(Estreat__V1__SnapshotDescription *page, const struct giver *from)
{
    page->index += is_first(from) && page->checkpoint != 0 ? 1 : 0;
}

static void lie_about_names(Estreat__V1__SnapshotDescription *page, const struct giver *from)
{
    static char elsewhere[] = "../tables/000001.sst";
    if (is_first(from) && page->n_files > 0) {
        page->files[0]->name = elsewhere;
    }
}

static void lie_about_key(Estreat__V1__SnapshotDescription *page, const struct giver *from)
{
    static char other[NOTE_VERIFIER_TEXT_BYTES_MAX];
    const uint8_t seed[NOTE_SEED_BYTES] = {1};
    struct error err = ERROR_INIT;
    struct note_signer signer;
    assert_ok(note_signer_init(&signer, slice_of_string("other.log"), seed, &err), &err);
    (void)note_verifier_format(&signer.verifier, other);
    note_signer_release(&signer);
    if (is_first(from) && page->checkpoint != 0) {
        page->verifier_key = other;
    }
}

/* A source whose words do not fit its files, or its log, is left for another. */
static void a_source_that_lies_is_left(void **state)
{
    struct nodes *nodes = *state;
    void (*const lies[])(Estreat__V1__SnapshotDescription *, const struct giver *) = {
        lie_about_head,  lie_about_proof, lie_about_size,
        lie_about_index, lie_about_names, lie_about_key,
    };
    nodes->wanted = EVENTS;
    nodes_run(nodes);
    giver_append(&nodes->givers[0], 3); /* so that the head is signed beyond the checkpoint */
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        nodes->link.lie = lies[i];
        nodes->staged = 0;
        restart_taker(nodes, false, 0);
        nodes_run(nodes);
        assert_true(nodes->link.from == &nodes->givers[1]);
    }
    nodes->link.lie = NULL;
    nodes_install(nodes, &nodes->givers[1]);
}

/* A source that knows that it is damaged gives nothing. */
static void a_faulty_source_gives_nothing(void **state)
{
    struct nodes *nodes = *state;
    fault_note(&nodes->givers[0].fault, "a table is damaged");
    nodes_run(nodes);
    nodes_install(nodes, &nodes->givers[1]);
}

/* This node's own log must be where the snapshot's begins. */
static void another_log_is_refused(void **state)
{
    struct nodes *nodes = *state;
    nodes_run(nodes);
    nodes_install(nodes, &nodes->givers[0]);
    nodes->givers[0].fill = 1; /* from here on it writes another history, also what follows */
    giver_close(&nodes->givers[0]);
    giver_open(&nodes->givers[0], &nodes->clock, 99, MIB);
    nodes->givers[0].fill = 1;
    giver_append(&nodes->givers[0], 2 * EVENTS);
    giver_append(&nodes->givers[1], EVENTS);
    nodes->wanted = EVENTS + 1;
    nodes_run(nodes);
    nodes_install(nodes, &nodes->givers[1]);
}

/* An event was edited together with its leaf, as who has the tables can; the tree above them, whose
 * root is signed, is the one that was agreed on. */
static void an_edited_event_with_its_leaf_is_found(void **state)
{
    struct nodes *nodes = *state;
    struct giver *giver = &nodes->givers[0];
    struct buf tree;
    buf_init(&tree, alloc_default(), MIB);
    giver_close(giver);
    giver_open(giver, &nodes->clock, 99, MIB);
    giver_append(giver, 99);
    giver->fill = 1;
    giver_append(giver, 1);
    giver->fill = 0;
    giver_append(giver, EVENTS - 100);
    tile_store_encode(nodes->givers[1].tiles, &tree);
    const struct seal start = {.index = EVENTS,
                               .term = 1,
                               .size = EVENTS,
                               .time_ns = 1000UL * EVENTS,
                               .tree = buf_slice(&tree)};
    giver_end(giver);
    giver_release(giver);
    giver_begin(giver, &start, &nodes->err);
    for (unsigned i = 0; i < GIVERS; i++) {
        giver_append(&nodes->givers[i], 3);
    }
    nodes->wanted = EVENTS + 3;
    nodes_run(nodes);
    assert_true(nodes->link.from == &nodes->givers[1]);
    nodes_install(nodes, &nodes->givers[1]);
    buf_release(&tree);
}

/* Two snapshots close together: while the first is fetched the leader purges past it. Most files of
 * the second are the same, and what is installed reaches far enough. */
static void a_second_snapshot_close_behind(void **state)
{
    struct nodes *nodes = *state;
    nodes->givers[1].dead = true;
    for (unsigned i = 0; nodes->link.pieces < 8; i++) {
        assert_true(i < STEPS_MAX);
        nodes_step(nodes, i);
    }
    giver_append(&nodes->givers[0], 5);
    nodes->wanted = EVENTS + 5;
    nodes_run(nodes);
    assert_true(nodes->link.piece_bytes < 2 * staged_bytes(nodes));
    nodes_install(nodes, &nodes->givers[0]);
}

/* Each call of this node's file system fails once: it is noticed, and what is installed is whole.
 */
static void this_nodes_disk_fails(void **state)
{
    struct nodes *nodes = *state;
    static const int errnums[] = {EIO, ENOSPC};
    for (uint64_t at = 0;; at += 1 + at / 20) {
        fs_faulty_arm(&nodes->faulty, (struct fs_fault){.at = at,
                                                        .errnum = errnums[at % 2],
                                                        .half = true,
                                                        .path_contains = "incoming"});
        nodes_run(nodes);
        bool hit = fs_faulty_hit(&nodes->faulty) > 0;
        fs_faulty_disarm(&nodes->faulty);
        if (!hit) {
            assert_true(at > 50);
            break;
        }
        assert_ok(snapshot_staging_remove(&nodes->faulty.fs, "data", &nodes->err), &nodes->err);
        nodes->staged = 0;
        restart_taker(nodes, false, 0);
    }
    nodes_install(nodes, &nodes->givers[0]);
}

/* A sync that failed says nothing about the file: it is fetched again. */
static void a_failed_sync_is_not_believed(void **state)
{
    struct nodes *nodes = *state;
    fs_faulty_arm(&nodes->faulty,
                  (struct fs_fault){.call = FS_CALL_SYNC, .path_contains = "incoming/0"});
    nodes_run(nodes);
    assert_int_equal(fs_faulty_hit(&nodes->faulty), 1);
    fs_faulty_disarm(&nodes->faulty);
    assert_true(nodes->link.piece_bytes > staged_bytes(nodes));
    /* All that counts as staged is there after a power failure. */
    fs_crash_stop(nodes->crash);
    fs_crash_now_losing_all(nodes->crash);
    uint64_t index = 0;
    assert_true(snapshot_pull_staged(nodes->pull, &index));
    nodes_install(nodes, &nodes->givers[0]);
}

static enum status count_table(void *context, const char *name, struct error *err)
{
    (void)err;
    *(uint64_t *)context += strstr(name, ".sst") != NULL;
    return STATUS_OK;
}

/* Tables on a source's disk that are not its engine's any more. */
static uint64_t dead_tables(struct giver *giver)
{
    struct error err = ERROR_INIT;
    struct engine_stats stats;
    uint64_t files = 0;
    (void)executor_manual_run(&giver->background, 10000);
    assert_true(applier_turn(giver->applier)); /* the engine's writer lets go of old tables */
    (void)executor_manual_run(&giver->background, 10000);
    engine_stats(giver->engine, &stats);
    assert_ok(fs_list(fs_crash_fs(giver->crash), "n/tables", count_table, &files, &err), &err);
    assert_true(files >= stats.tables);
    return files - stats.tables;
}

/* What is staged and not wanted any more goes away after a while; so do the source's pins. */
static void leftovers_go(void **state)
{
    struct nodes *nodes = *state;
    struct giver *giver = &nodes->givers[0];
    for (unsigned i = 0; nodes->link.pieces < 3; i++) {
        assert_true(i < STEPS_MAX);
        nodes_step(nodes, i);
    }
    giver_append(giver, EVENTS);
    assert_true(dead_tables(giver) > 0);
    nodes->givers[0].dead = true;
    nodes->givers[1].dead = true;
    nodes->wanted = 0;
    restart_taker(nodes, false, 0);
    assert_true(is_staging(nodes));
    for (unsigned i = 0; i < 2000; i++) {
        nodes_step(nodes, i);
        clock_manual_advance(&nodes->clock, 100 * NS_PER_MS);
        snapshot_pull_poll(nodes->pull);
        snapshot_source_poll(giver->source);
    }
    assert_false(is_staging(nodes));
    assert_int_equal(dead_tables(giver), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_new_node_gets_everything, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_is_pulled_that_is_not_wanted, setup, teardown),
        cmocka_unit_test_setup_teardown(a_source_seals_if_it_must, setup, teardown),
        cmocka_unit_test_setup_teardown(a_break_costs_little, setup, teardown),
        cmocka_unit_test_setup_teardown(another_source_serves, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_leads, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_can_be_asked, setup, teardown),
        cmocka_unit_test_setup_teardown(a_spoilt_piece_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(a_damaged_source_is_left, setup, teardown),
        cmocka_unit_test_setup_teardown(what_rots_while_staged_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(a_source_that_cannot_read_is_left, setup, teardown),
        cmocka_unit_test_setup_teardown(a_source_learns_of_damage, setup, teardown),
        cmocka_unit_test_setup_teardown(a_source_loses_its_tables, setup, teardown),
        cmocka_unit_test_setup_teardown(a_wrong_beginning_is_fetched_again, setup, teardown),
        cmocka_unit_test_setup_teardown(a_source_is_asked_while_its_snapshot_is_verified, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(memory_does_not_grow_with_the_log, setup, teardown),
        cmocka_unit_test_setup_teardown(a_source_that_lies_is_left, setup, teardown),
        cmocka_unit_test_setup_teardown(a_faulty_source_gives_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(another_log_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(an_edited_event_with_its_leaf_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(a_second_snapshot_close_behind, setup, teardown),
        cmocka_unit_test_setup_teardown(this_nodes_disk_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failed_sync_is_not_believed, setup, teardown),
        cmocka_unit_test_setup_teardown(leftovers_go, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
