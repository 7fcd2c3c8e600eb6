/* SPDX-License-Identifier: Apache-2.0
 *
 * What the snapshots' tests share: nodes that hold a log and give it (engine, applier, tree,
 * signer, source), one that takes, and a link between them that the test cuts and spoils. One
 * thread; nothing happens but in nodes_step().
 */
#ifndef ESTREAT_TESTS_SNAPSHOT_NODES_H
#define ESTREAT_TESTS_SNAPSHOT_NODES_H

#include "testlib/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/job.h"
#include "node/append_entry.h"
#include "node/apply.h"
#include "node/keyspaces.h"
#include "node/snapshot_install.h"
#include "node/snapshot_pull.h"
#include "node/snapshot_source.h"
#include "schema/snapshot.pb-c.h"
#include "testlib/clock_manual.h"
#include "testlib/executor_manual.h"
#include "testlib/fail_alloc.h"
#include "testlib/fs_crash.h"
#include "testlib/fs_faulty.h"
#include "testlib/io_queue_manual.h"

#define GIVERS 2U
#define PAYLOAD_BYTES 4000U
#define ORIGIN "test.log"
#define STEPS_MAX 20000U

/* The memory of all that gives and takes snapshots. */
static struct fail_alloc snapshot_memory;

struct giver {
    struct fs_crash *crash;
    struct fs_faulty faulty;
    struct executor_manual background;
    struct executor_manual serving;
    struct clock_manual *clock;
    struct io_queue_manual io;
    struct rng_seeded rng;
    struct wal *wal;
    struct engine *engine;
    struct tile_store *tiles;
    struct pending pending;
    struct applied applied;
    struct intake_queue done;
    struct fault fault;
    struct signer *signer;
    struct applier *applier;
    struct snapshot_source *source;
    uint64_t index;
    size_t memtable_bytes;
    uint8_t fill; /* of its events' payloads: other bytes are another log */
    bool dead;
};

struct test_question {
    struct test_question *next;
    struct test_link *owner;
    struct giver *to;
    enum snapshot_method method;
    ProtobufCMessage *request;
    snapshot_answer_fn done;
    void *context;
    bool given; /* the source has it */
};

struct test_link {
    struct snapshot_link link; /* first */
    struct nodes *nodes;
    struct test_question *first;
    uint64_t asked;
    uint64_t pieces;
    uint64_t piece_bytes;
    uint64_t spoil_at; /* this piece comes with a bit flipped; 0: none */
    /* What a source says is changed before it arrives. */
    void (*lie)(Estreat__V1__SnapshotDescription *page, const struct giver *from);
    unsigned open;
    unsigned open_max;
    const struct giver *from; /* who answered last */
};

struct nodes {
    struct config config;
    struct clock_manual clock;
    struct giver givers[GIVERS]; /* n2, n3 */
    struct test_link link;
    /* n1, which takes. */
    struct fs_crash *crash;
    struct fs_faulty faulty;
    struct executor_manual background;
    struct executor_manual pulling;
    struct engine *engine; /* of what it has: a few events or nothing */
    struct tile_store *tiles;
    struct applied applied;
    struct snapshot_pull *pull;
    unsigned staged;
    uint64_t wanted; /* 0: the leader has what it lacks */
    bool leaderless; /* nobody leads, as far as n1 knows */
    bool alone;      /* nor does it know of any other member */
    struct error err;
};

/* --- givers ---------------------------------------------------------------------------------- */

static inline void giver_fatal(void *context, const struct error *err)
{
    (void)context;
    fail_msg("%s", err->text);
}

static inline void giver_wait(void *context)
{
    struct giver *giver = context;
    (void)executor_manual_step(&giver->background);
}

static inline void giver_flushed(void *context, struct slice state)
{
    struct error err = ERROR_INIT;
    struct giver *giver = context;
    struct seal seal;
    assert_ok(seal_decode(state, &seal, &err), &err);
    applier_flushed(giver->applier, seal.index);
}

static inline void giver_open_engine(struct giver *giver, struct error *err)
{
    const struct engine_options options = {.fs = &giver->faulty.fs,
                                           .clock = &giver->clock->clock,
                                           .executor = &giver->background.executor,
                                           .dir = "n/tables",
                                           .keyspaces = keyspaces_layout(),
                                           .keyspace_count = KEYSPACE_COUNT,
                                           .memtable_bytes = giver->memtable_bytes,
                                           .memtable_slack_bytes = 4 * MIB,
                                           .on_flushed = giver_flushed,
                                           .on_wait = giver_wait,
                                           .context = giver};
    assert_ok(engine_open(&options, &giver->engine, err), err);
}

/* It applies from `start` on, and gives. */
static inline void giver_begin(struct giver *giver, const struct seal *start, struct error *err)
{
    assert_ok(tile_store_open(alloc_default(), giver->engine, start->tree, &giver->tiles, err),
              err);
    pending_init(&giver->pending, alloc_default());
    applied_init(&giver->applied, (struct applied_point){.index = start->index,
                                                         .term = start->term,
                                                         .size = start->size,
                                                         .time_ns = start->time_ns});
    const struct applier_options options = {.alloc = alloc_default(),
                                            .clock = &giver->clock->clock,
                                            .engine = giver->engine,
                                            .wal = giver->wal,
                                            .tiles = giver->tiles,
                                            .pending = &giver->pending,
                                            .applied = &giver->applied,
                                            .done = &giver->done,
                                            .start = start,
                                            .on_fatal = giver_fatal,
                                            .on_wait = giver_wait,
                                            .context = giver};
    assert_ok(applier_new(&options, &giver->applier, err), err);
    const struct snapshot_source_options source_options = {.alloc = &snapshot_memory.alloc,
                                                           .clock = &giver->clock->clock,
                                                           .executor = &giver->serving.executor,
                                                           .engine = giver->engine,
                                                           .applier = giver->applier,
                                                           .applied = &giver->applied,
                                                           .tiles = giver->tiles,
                                                           .signer = giver->signer,
                                                           .fault = &giver->fault};
    assert_ok(snapshot_source_open(&source_options, &giver->source, err), err);
}

static inline void giver_open(struct giver *giver, struct clock_manual *clock, uint64_t seed,
                              size_t memtable_bytes)
{
    static const struct seal start = {.index = 0};
    struct error err = ERROR_INIT;
    struct wal_recovered recovered;
    *giver =
        (struct giver){.crash = fs_crash_new(), .clock = clock, .memtable_bytes = memtable_bytes};
    fs_faulty_init(&giver->faulty, fs_crash_fs(giver->crash));
    struct fs *fs = &giver->faulty.fs;
    assert_ok(fs_make_dir(fs, "n", &err), &err);
    executor_manual_init(&giver->background, seed);
    executor_manual_init(&giver->serving, seed);
    io_queue_manual_init(&giver->io, &clock->clock);
    rng_seeded_init(&giver->rng, seed);
    const struct wal_options wal_options = {
        .fs = fs, .io = &giver->io.queue, .dir = "n/wal", .identity = slice_of_string("c/n")};
    assert_ok(wal_open(&wal_options, 0, 0, &recovered, &giver->wal, &err), &err);
    giver_open_engine(giver, &err);
    intake_init(&giver->done);
    fault_init(&giver->fault);
    assert_ok(signer_open(alloc_default(), fs, &giver->rng.rng, "n", ORIGIN, &giver->signer, &err),
              &err);
    giver_begin(giver, &start, &err);
}

static inline void giver_take_back(struct giver *giver)
{
    struct intake *item;
    while ((item = intake_take(&giver->done)) != NULL) {
        struct apply_batch *batch = (struct apply_batch *)item;
        for (size_t i = 0; i < batch->entry_count; i++) {
            raft_entry_unref(batch->entries[i]);
        }
        alloc_free(alloc_default(), batch);
    }
}

static inline void giver_end(struct giver *giver)
{
    snapshot_source_end(giver->source);
    applier_end(giver->applier);
    giver_take_back(giver);
}

static inline void giver_release(struct giver *giver)
{
    snapshot_source_close(giver->source);
    applier_free(giver->applier);
    tile_store_close(giver->tiles);
    applied_release(&giver->applied);
    pending_release(&giver->pending);
}

static inline void giver_close(struct giver *giver)
{
    executor_close(&giver->serving.executor);
    giver_end(giver);
    wal_close(giver->wal);
    executor_close(&giver->background.executor);
    giver_release(giver);
    signer_close(giver->signer);
    engine_close(giver->engine);
    fault_release(&giver->fault);
    fs_faulty_release(&giver->faulty);
    fs_crash_free(giver->crash);
}

/* The payload is the same in every node's log, unless `fill` says otherwise. */
static inline struct raft_entry *entry_of(uint64_t index, uint8_t fill)
{
    uint8_t payload[PAYLOAD_BYTES];
    struct rng_seeded rng;
    rng_seeded_init(&rng, index);
    rng_fill(&rng.rng, payload, sizeof payload);
    payload[0] = fill;
    Estreat__V1__AppendRequest request = ESTREAT__V1__APPEND_REQUEST__INIT;
    Estreat__V1__NewEvent event = ESTREAT__V1__NEW_EVENT__INIT;
    Estreat__V1__NewEvent *events[] = {&event};
    event.key = (ProtobufCBinaryData){.len = sizeof index, .data = (uint8_t *)&index};
    event.payload = (ProtobufCBinaryData){.len = sizeof payload, .data = payload};
    request.n_events = 1;
    request.events = events;
    size_t length = append_entry_length(&request, false);
    struct raft_entry *entry =
        raft_entry_new(alloc_default(), index, 1, ENTRY_APPEND, (uint32_t)length);
    assert_non_null(entry);
    append_entry_encode(&request, false, NULL, entry->data);
    append_entry_set_time(entry->data, 1000 * index);
    return entry;
}

/* Applies that many more events, with some of the background's work in between. */
static inline void giver_append(struct giver *giver, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct apply_batch *batch = alloc_zeroed(alloc_default(), 1, sizeof *batch);
        assert_non_null(batch);
        batch->begin = giver->index + 1;
        batch->end = giver->index + 2;
        batch->entries[batch->entry_count++] = entry_of(++giver->index, giver->fill);
        applier_submit(giver->applier, batch);
        assert_true(applier_turn(giver->applier));
        (void)executor_manual_step(&giver->background);
        giver_take_back(giver);
    }
}

/* --- the link -----------------------------------------------------------------------------------
 */

static inline bool test_ask(struct snapshot_link *link, uint64_t member,
                            enum snapshot_method method, const ProtobufCMessage *request,
                            snapshot_answer_fn done, void *context)
{
    struct test_link *self = (struct test_link *)link;
    struct test_question *question = calloc(1, sizeof *question);
    assert_non_null(question);
    uint8_t bytes[256];
    size_t length = protobuf_c_message_get_packed_size(request);
    assert_true(length <= sizeof bytes);
    (void)protobuf_c_message_pack(request, bytes);
    *question =
        (struct test_question){.owner = self, .method = method, .done = done, .context = context};
    question->request = protobuf_c_message_unpack(request->descriptor, NULL, length, bytes);
    for (unsigned i = 0; i < GIVERS; i++) {
        if (config_raft_id(&self->nodes->config, i + 1) == member) {
            question->to = &self->nodes->givers[i];
        }
    }
    assert_non_null(question->to);
    struct test_question **last = &self->first;
    while (*last != NULL) {
        last = &(*last)->next;
    }
    *last = question;
    self->asked++;
    self->open++;
    self->open_max = self->open > self->open_max ? self->open : self->open_max;
    return true;
}

static inline void question_free(struct test_question *question)
{
    struct test_question **link = &question->owner->first;
    while (*link != question) {
        link = &(*link)->next;
    }
    *link = question->next;
    question->owner->open--;
    protobuf_c_message_free_unpacked(question->request, NULL);
    free(question);
}

static inline void on_given(void *context, const struct snapshot_answer *answer)
{
    struct test_question *question = context;
    struct test_link *link = question->owner;
    link->from = question->to;
    if (question->method == SNAPSHOT_READ && answer->message != NULL) {
        const Estreat__V1__SnapshotPiece *piece =
            (const Estreat__V1__SnapshotPiece *)answer->message;
        link->pieces++;
        link->piece_bytes += piece->data.len;
        if (link->pieces == link->spoil_at) {
            piece->data.data[piece->data.len / 2] ^= 1;
        }
    }
    if (question->method == SNAPSHOT_DESCRIBE && answer->message != NULL && link->lie != NULL) {
        link->lie((Estreat__V1__SnapshotDescription *)(uintptr_t)answer->message, question->to);
    }
    if (question->done != NULL) {
        question->done(question->context, answer);
    }
    question_free(question);
}

/* Gives the oldest question to its node, or tells that there is none. */
static inline void link_step(struct test_link *link)
{
    struct test_question *question = link->first;
    while (question != NULL && question->given) {
        question = question->next;
    }
    if (question == NULL) {
        return;
    }
    question->given = true;
    if (question->to->dead) {
        const struct snapshot_answer answer = {.status = STATUS_UNAVAILABLE, .text = "dead"};
        question->done(question->context, &answer);
        question_free(question);
        return;
    }
    snapshot_source_ask(question->to->source, question->method, question->request, on_given,
                        question);
}

/* Who asked is gone. */
static inline void link_forget(struct test_link *link)
{
    struct test_question *question = link->first;
    while (question != NULL) {
        struct test_question *next = question->next;
        question->done = NULL;
        if (!question->given) {
            question_free(question);
        }
        question = next;
    }
}

/* --- who takes -----------------------------------------------------------------------------------
 */

static inline void taker_staged(void *context)
{
    struct nodes *nodes = context;
    nodes->staged++;
}

static inline void taker_open_engine(struct nodes *nodes)
{
    const struct engine_options options = {.fs = &nodes->faulty.fs,
                                           .clock = &nodes->clock.clock,
                                           .executor = &nodes->background.executor,
                                           .dir = "data/tables",
                                           .keyspaces = keyspaces_layout(),
                                           .keyspace_count = KEYSPACE_COUNT};
    struct buf state;
    struct seal seal;
    buf_init(&state, alloc_default(), ENGINE_STATE_BYTES_MAX);
    executor_manual_init(&nodes->background, 3);
    assert_ok(engine_open(&options, &nodes->engine, &nodes->err), &nodes->err);
    assert_ok(engine_sealed_state(nodes->engine, &state, &nodes->err), &nodes->err);
    assert_ok(seal_decode(buf_slice(&state), &seal, &nodes->err), &nodes->err);
    assert_ok(
        tile_store_open(alloc_default(), nodes->engine, seal.tree, &nodes->tiles, &nodes->err),
        &nodes->err);
    applied_init(&nodes->applied,
                 (struct applied_point){.index = seal.index, .term = seal.term, .size = seal.size});
    buf_release(&state);
}

static inline void taker_open(struct nodes *nodes)
{
    taker_open_engine(nodes);
    executor_manual_init(&nodes->pulling, 4);
    const struct snapshot_pull_options options = {.alloc = &snapshot_memory.alloc,
                                                  .clock = &nodes->clock.clock,
                                                  .fs = &nodes->faulty.fs,
                                                  .config = &nodes->config,
                                                  .executor = &nodes->pulling.executor,
                                                  .link = &nodes->link.link,
                                                  .applied = &nodes->applied,
                                                  .tiles = nodes->tiles,
                                                  .on_staged = taker_staged,
                                                  .context = nodes};
    assert_ok(snapshot_pull_open(&options, &nodes->pull, &nodes->err), &nodes->err);
}

static inline void taker_close(struct nodes *nodes)
{
    snapshot_pull_stop(nodes->pull);
    link_forget(&nodes->link);
    executor_close(&nodes->pulling.executor);
    snapshot_pull_close(nodes->pull);
    tile_store_close(nodes->tiles);
    executor_close(&nodes->background.executor);
    engine_close(nodes->engine);
    applied_release(&nodes->applied);
}

/* --- all of them -------------------------------------------------------------------------------
 */

static inline void nodes_open(struct nodes *nodes)
{
    *nodes = (struct nodes){.crash = fs_crash_new()};
    fail_alloc_init(&snapshot_memory);
    clock_manual_init(&nodes->clock, NS_PER_S);
    fs_faulty_init(&nodes->faulty, fs_crash_fs(nodes->crash));
    struct config *config = &nodes->config;
    (void)snprintf(config->node_id, sizeof config->node_id, "n1");
    (void)snprintf(config->data, sizeof config->data, "data");
    (void)snprintf(config->origin, sizeof config->origin, ORIGIN);
    config->member_count = GIVERS + 1;
    for (unsigned i = 0; i < config->member_count; i++) {
        (void)snprintf(config->members[i].id, sizeof config->members[i].id, "n%u", i + 1);
    }
    for (unsigned i = 0; i < GIVERS; i++) {
        /* The same log, in few large tables and in many small ones. */
        giver_open(&nodes->givers[i], &nodes->clock, 10 + i, i == 0 ? MIB : 128 * KIB);
    }
    nodes->link = (struct test_link){.link = {.ask = test_ask}, .nodes = nodes};
    assert_ok(fs_make_dir(&nodes->faulty.fs, "data", &nodes->err), &nodes->err);
    assert_ok(fs_sync_dir(&nodes->faulty.fs, "", &nodes->err), &nodes->err);
    taker_open(nodes);
}

static inline void nodes_close(struct nodes *nodes)
{
    taker_close(nodes);
    for (unsigned i = 0; i < GIVERS; i++) {
        giver_close(&nodes->givers[i]);
    }
    fs_faulty_release(&nodes->faulty);
    fs_crash_free(nodes->crash);
    fail_alloc_release(&snapshot_memory);
}

/* A little of everything, and one heartbeat in ten. */
static inline void nodes_step(struct nodes *nodes, unsigned number)
{
    if (number % 10 == 0) {
        clock_manual_advance(&nodes->clock, 100 * NS_PER_MS);
        if (nodes->wanted > 0) {
            unsigned known = nodes->alone ? 1 : nodes->config.member_count;
            uint64_t leader = nodes->leaderless ? 0 : config_raft_id(&nodes->config, 1);
            struct members members = {.count = known};
            for (unsigned i = 0; i < known; i++) {
                members.of[i] = (struct member){.raft_id = config_raft_id(&nodes->config, i),
                                                .voter = true,
                                                .at = nodes->config.members[i]};
            }
            snapshot_pull_want(nodes->pull, &members, leader, nodes->wanted);
        }
    }
    (void)executor_manual_step(&nodes->pulling);
    link_step(&nodes->link);
    for (unsigned i = 0; i < GIVERS; i++) {
        struct giver *giver = &nodes->givers[i];
        (void)executor_manual_step(&giver->serving);
        (void)executor_manual_step(&giver->background);
        (void)applier_turn(giver->applier);
        giver_take_back(giver);
    }
}

/* Until a snapshot is staged. */
static inline void nodes_run(struct nodes *nodes)
{
    for (unsigned i = 0; nodes->staged == 0; i++) {
        assert_true(i < STEPS_MAX);
        nodes_step(nodes, i);
    }
}

/* Installs what is staged, and compares it with what `giver` had at that index. */
static inline void nodes_install(struct nodes *nodes, const struct giver *giver)
{
    uint64_t index = 0;
    bool installed = false;
    struct hasher hasher;
    struct hash root;
    struct hash expected;
    uint64_t size = 0;
    assert_true(snapshot_pull_staged(nodes->pull, &index));
    assert_true(index >= nodes->wanted && index <= giver->index);
    taker_close(nodes);
    assert_ok(snapshot_commit(&nodes->faulty.fs, "data", &nodes->err), &nodes->err);
    assert_ok(snapshot_install(&nodes->faulty.fs, "data", &installed, &nodes->err), &nodes->err);
    assert_true(installed);
    nodes->staged = 0;
    taker_open(nodes);
    assert_int_equal(applied_get(&nodes->applied).index, index);
    assert_ok(engine_verify(nodes->engine, &nodes->err), &nodes->err);
    assert_ok(hasher_init(&hasher, &nodes->err), &nodes->err);
    tile_store_head(nodes->tiles, &hasher, &size, &root);
    assert_int_equal(size, index); /* an event an entry */
    const struct hash_source tree = tile_store_source(giver->tiles);
    assert_ok(proof_root(&tree, &hasher, size, &expected, &nodes->err), &nodes->err);
    assert_true(hash_equal(&root, &expected));
    hasher_release(&hasher);
}

#endif
