/* SPDX-License-Identifier: Apache-2.0
 *
 * Clusters under random faults: lost, late, repeated and overtaken messages, one-way partitions,
 * pauses, slow disks, crashes that lose what was not durable, failed loads, purged logs and
 * failing allocations. The oracle watches every output; at the end all is healed and the cluster
 * must agree and go on.
 *
 *   ESTREAT_ROUNDS=5000 ESTREAT_SEED=1 unit_raft_simulation     from seed 1 on, by hand
 */
#include <inttypes.h>

#include "base/rng.h"
#include "oracle.h"

#define STEPS 800U
#define STEPS_TO_HEAL 900U
#define READS_MAX 30000U
#define LOADS_MAX 64U
#define ROUNDS_FIXED 250U
#define ROUNDS_FRESH 50U

/* How bad this run's world is; drawn from the seed. */
struct weather {
    unsigned drop_percent;
    unsigned repeat_percent;
    unsigned delay_max;
    unsigned disk_percent;   /* that a disk makes a write durable in a step */
    unsigned notice_percent; /* that the core is told of it in a step */
    unsigned crash_permille;
    unsigned loss_permille; /* that a crash damages the log */
    unsigned cut_permille;
    unsigned pause_permille;
    unsigned propose_percent;
    unsigned memory_permille; /* that an allocation fails */
};

struct pending_load {
    struct raft_load load;
    bool used;
};

/* The disk is done with something, and the core has not yet been told. */
struct completion {
    bool is_hard_state;
    struct raft_hard_state hard_state;
    uint64_t sequence;
    uint64_t index;
    uint64_t term;
};

struct completions {
    struct completion *items; /* in order */
    size_t count;
    size_t capacity;
};

struct weak_alloc {
    struct alloc alloc;
    struct rng *rng;
    unsigned permille;
};

struct sim {
    struct rng_seeded rng;
    struct weak_alloc memory;
    struct weather weather;
    struct oracle oracle;
    size_t count;
    struct node nodes[NODES_MAX];
    size_t voters; /* at the start; the others wait to be added */
    bool changes;  /* the membership changes */
    uint64_t paused_until[NODES_MAX];
    unsigned tick_permille[NODES_MAX]; /* clocks run at different speeds */
    struct pending_load loads[NODES_MAX][LOADS_MAX];
    struct completions completions[NODES_MAX];
    bool cut[NODES_MAX][NODES_MAX]; /* from, to */
    struct network network;
    struct raft_options options;
    uint64_t next_value;
    uint64_t read_floor[READS_MAX]; /* [context]: what was committed when it was asked */
    size_t read_count;
    size_t reads_ok;
    size_t reads_failed;
    size_t proposals;
    size_t loads_answered;
    size_t crashes;
    size_t losses;   /* of the end of a log, in a crash */
    size_t refilled; /* logs */
    size_t purges;
    size_t changes_made;
    bool short_logs;            /* nodes purge what others still need */
    uint64_t wanted[NODES_MAX]; /* a snapshot that reaches so far; 0: none */
    size_t snapshots;
};

static bool chance(struct sim *sim, unsigned of_thousand)
{
    return rng_below(&sim->rng.rng, 1000) < of_thousand;
}

static unsigned draw(struct sim *sim, unsigned below)
{
    return (unsigned)rng_below(&sim->rng.rng, below);
}

static void *weak_resize(struct alloc *alloc, void *memory, size_t bytes)
{
    struct weak_alloc *weak = (struct weak_alloc *)alloc;
    if (bytes == 0) {
        free(memory);
        return NULL;
    }
    if (weak->permille > 0 && rng_below(weak->rng, 1000) < weak->permille) {
        return NULL;
    }
    return realloc(memory, bytes);
}

/* Nothing but a lack of memory may go wrong, and only where memory may lack. */
static void tolerate(struct sim *sim, enum status status, const struct error *err)
{
    if (status != STATUS_OK && status != STATUS_RESOURCE_EXHAUSTED) {
        fail_msg("seed %" PRIu64 ", time %" PRIu64 ": %s: %s", sim->oracle.seed, sim->oracle.time,
                 status_name(status), err->text);
    }
}

/* ---- Outputs --------------------------------------------------------------------------------- */

static void send(struct sim *sim, const struct raft_message *message)
{
    if (sim->cut[message->from - 1][message->to - 1] ||
        chance(sim, sim->weather.drop_percent * 10)) {
        return;
    }
    uint64_t now = sim->oracle.time;
    network_post(&sim->network, message, now + draw(sim, sim->weather.delay_max + 1));
    if (chance(sim, sim->weather.repeat_percent * 10)) {
        network_post(&sim->network, message, now + draw(sim, sim->weather.delay_max * 4 + 1));
    }
}

static void take_reads(struct sim *sim, const struct raft_ready *ready)
{
    for (size_t i = 0; i < ready->read_count; i++) {
        const struct raft_read_state *read = &ready->reads[i];
        HOLDS(&sim->oracle, read->context < sim->read_count);
        HOLDS(&sim->oracle, sim->read_floor[read->context] != UINT64_MAX);
        if (read->ok) {
            HOLDS(&sim->oracle, read->index >= sim->read_floor[read->context]);
            sim->reads_ok++;
        } else {
            sim->reads_failed++;
        }
        sim->read_floor[read->context] = UINT64_MAX; /* answered once */
    }
}

static void take_loads(struct sim *sim, struct node *node, const struct raft_ready *ready)
{
    for (size_t i = 0; i < ready->load_count; i++) {
        const struct raft_load *load = &ready->loads[i];
        HOLDS(&sim->oracle, load->from_index < load->end_index);
        HOLDS(&sim->oracle, load->end_index <= disk_last(&node->disk) + 1);
        HOLDS(&sim->oracle, load->from_index > node->disk.base_index);
        size_t at = 0;
        while (sim->loads[node->id - 1][at].used) {
            at++;
            assert_true(at < LOADS_MAX);
        }
        sim->loads[node->id - 1][at] = (struct pending_load){.load = *load, .used = true};
    }
}

static void take_stores(struct sim *sim, struct node *node, const struct raft_ready *ready)
{
    HOLDS(&sim->oracle,
          (ready->store_sequence != 0) == (ready->has_hard_state || ready->entry_count > 0));
    if (ready->store_sequence == 0) {
        return;
    }
    for (size_t i = 0; i < ready->entry_count; i++) {
        uint64_t previous_term = 0;
        const struct raft_entry *entry = ready->entries[i];
        HOLDS(&sim->oracle, raft_term_at(node->raft, entry->index - 1, &previous_term));
        oracle_see_entry(&sim->oracle, entry, previous_term);
    }
    disk_submit(&node->disk, ready);
}

static void take_commit(struct sim *sim, struct node *node)
{
    struct raft_status status;
    raft_status(node->raft, &status);
    /* First all that the core takes for committed, whether or not it is durable here. */
    for (uint64_t index = sim->oracle.commit + 1; index <= status.commit; index++) {
        struct raft_entry *entry = node_fetch(node, index);
        oracle_see_commit(&sim->oracle, sim->nodes, node, entry);
        raft_entry_unref(entry);
    }
}

static void apply(struct sim *sim, struct node *node, uint64_t up_to)
{
    HOLDS(&sim->oracle, up_to <= disk_last(&node->disk));
    for (uint64_t index = node->applied + 1; index <= up_to; index++) {
        struct raft_entry *entry = node_fetch(node, index);
        oracle_see_commit(&sim->oracle, sim->nodes, node, entry);
        HOLDS(&sim->oracle, disk_has(&node->disk, index, entry->term));
        raft_entry_unref(entry);
    }
    if (up_to > node->applied) {
        node->applied = up_to;
        raft_applied(node->raft, up_to);
    }
}

/* What it had lost and was, or can have been, committed through it is on its disk again. */
static bool node_has_what_it_lost(struct sim *sim, const struct node *node)
{
    for (size_t i = 0; i < node->lost_count; i++) {
        const struct raft_entry *lost = node->lost[i];
        if (lost->index <= sim->oracle.commit &&
            sim->oracle.committed[lost->index].term == lost->term &&
            !disk_has(&node->disk, lost->index, lost->term)) {
            return false;
        }
    }
    return true;
}

static void drain(struct sim *sim, struct node *node)
{
    struct raft_ready ready;
    unsigned rounds = 0;
    while (raft_ready(node->raft, &ready)) {
        assert_true(rounds++ < 100); /* a ready must not feed itself */
        if (ready.has_soft_state && ready.soft_state.role == RAFT_LEADER) {
            oracle_see_leader(&sim->oracle, node, ready.soft_state.term);
        }
        take_stores(sim, node, &ready);
        /* First, since what comes with it may be a vote of the refilled. */
        if (ready.refilled) {
            HOLDS(&sim->oracle, node_has_what_it_lost(sim, node));
            node_refilled(node);
            sim->refilled++;
        }
        for (size_t i = 0; i < ready.message_count; i++) {
            oracle_see_message(&sim->oracle, node, &ready.messages[i]);
            send(sim, &ready.messages[i]);
        }
        take_reads(sim, &ready);
        take_loads(sim, node, &ready);
        take_commit(sim, node);
        if (ready.snapshot_wanted != 0) {
            HOLDS(&sim->oracle, ready.snapshot_wanted > node->applied);
            sim->wanted[node->id - 1] = ready.snapshot_wanted;
        }
        if (ready.has_commit) {
            HOLDS(&sim->oracle, ready.commit > node->commit);
            node->commit = ready.commit;
        }
    }
}

/* ---- Inputs ---------------------------------------------------------------------------------- */

static bool is_running(const struct sim *sim, size_t at)
{
    return sim->nodes[at].raft != NULL && sim->paused_until[at] <= sim->oracle.time;
}

static void boot(struct sim *sim, struct node *node)
{
    struct error err = ERROR_INIT;
    sim->options.membership =
        node->id <= sim->voters ? voters_up_to(sim->voters) : slice_of_string("");
    tolerate(sim, node_boot(node, &sim->options, &err), &err);
}

/* The log is damaged, and lost what it had acknowledged; but of one node at a time, since one good
 * copy stays. */
static void lose(struct sim *sim, struct node *node)
{
    uint64_t last = disk_last(&node->disk);
    uint64_t from = node->disk.base_index;
    /* The others must be able to elect somebody: at least two, and none of them with a longer log
     * that says that it is no member any more. */
    bool may = sim->voters >= 3 && from < last;
    for (size_t i = 0; i < sim->count; i++) {
        may = may && sim->nodes[i].refill_index == 0;
    }
    if (may && node_overwritten_from(node) != 0 && chance(sim, 500)) {
        node_lose_to_overwritten(node);
        sim->losses++;
    } else if (may) {
        node_lose(node, from + draw(sim, (unsigned)(last - from)));
        sim->losses++;
    }
}

/* Any prefix of what was submitted may have reached the disk, cut within a write too. */
static void crash(struct sim *sim, struct node *node)
{
    struct disk *disk = &node->disk;
    while (disk->write_count > 0 && chance(sim, 400)) {
        disk_persist_first(disk, disk->writes[0].count);
        disk_drop_first(disk);
    }
    if (disk->write_count > 0 && chance(sim, 500)) {
        disk_persist_first(disk, draw(sim, (unsigned)disk->writes[0].count + 1));
    }
    while (disk->write_count > 0) {
        disk_drop_first(disk);
    }
    sim->completions[node->id - 1].count = 0;
    raft_free(node->raft);
    node->raft = NULL;
    memset(sim->loads[node->id - 1], 0, sizeof sim->loads[node->id - 1]);
    sim->wanted[node->id - 1] = 0;
    HOLDS(&sim->oracle, node->applied <= disk_last(disk));
    sim->crashes++;
    if (chance(sim, sim->weather.loss_permille)) {
        lose(sim, node);
    }
}

static void complete(struct sim *sim, const struct node *node, struct completion completion)
{
    struct completions *to = &sim->completions[node->id - 1];
    to->items = test_grow(to->items, &to->capacity, to->count + 1, sizeof *to->items);
    to->items[to->count++] = completion;
}

/* Writes become durable; several may be confirmed with one call, and a write in parts. */
static void disk_step(struct sim *sim, struct node *node)
{
    struct disk *disk = &node->disk;
    while (disk->write_count > 0 && chance(sim, sim->weather.disk_percent * 10)) {
        struct disk_write *write = &disk->writes[0];
        size_t upto = write->count;
        if (write->count > 1 && chance(sim, 200)) {
            upto = 1 + draw(sim, (unsigned)write->count - 1);
        }
        disk_persist_first(disk, upto);
        if (write->has_hard_state) {
            complete(sim, node,
                     (struct completion){.is_hard_state = true, .hard_state = write->hard_state});
            write->has_hard_state = false;
        }
        bool last = upto == write->count;
        bool silent = disk->write_count > 1 && last && chance(sim, 300);
        if (write->done > 0 && !silent) {
            const struct raft_entry *entry = write->entries[write->done - 1];
            complete(sim, node,
                     (struct completion){
                         .sequence = write->sequence, .index = entry->index, .term = entry->term});
        }
        if (last) {
            disk_drop_first(disk);
        }
    }
}

/* The core learns of what became durable some time after it did, in order. */
static void notice_step(struct sim *sim, struct node *node)
{
    struct completions *from = &sim->completions[node->id - 1];
    struct error err = ERROR_INIT;
    while (from->count > 0 && chance(sim, sim->weather.notice_percent * 10)) {
        struct completion first = from->items[0];
        from->count--;
        memmove(from->items, from->items + 1, from->count * sizeof *from->items);
        if (first.is_hard_state) {
            tolerate(sim, raft_hard_state_stored(node->raft, first.hard_state, &err), &err);
        } else {
            raft_stored(node->raft, first.sequence, first.index, first.term);
        }
    }
}

static void answer_loads(struct sim *sim, struct node *node)
{
    struct raft_entry *entries[64];
    struct error err = ERROR_INIT;
    for (size_t i = 0; i < LOADS_MAX; i++) {
        struct pending_load *pending = &sim->loads[node->id - 1][i];
        if (!pending->used || !chance(sim, 300)) {
            continue;
        }
        pending->used = false;
        size_t count = node_read_load(node, &pending->load, entries, 64);
        if (chance(sim, sim->weather.crash_permille * 5)) {
            count = 0; /* reading failed */
        }
        sim->loads_answered += count > 0;
        tolerate(sim, raft_loaded(node->raft, &pending->load, entries, count, &err), &err);
    }
}

static void propose(struct sim *sim, struct node *node)
{
    struct error err = ERROR_INIT;
    unsigned count = 1 + draw(sim, 6);
    for (unsigned i = 0; i < count; i++) {
        uint32_t length = 8 + draw(sim, 120);
        struct raft_entry *entry = raft_entry_new(alloc_default(), 0, 0, RAFT_ENTRY_DATA, length);
        assert_non_null(entry);
        memset(entry->data, (int)(length & 0xff), length);
        put_le64(entry->data, ++sim->next_value);
        enum status status = raft_propose(node->raft, entry, &err);
        if (status == STATUS_OK) {
            sim->proposals++;
            continue;
        }
        HOLDS(&sim->oracle, status == STATUS_FAILED_PRECONDITION || status == STATUS_UNAVAILABLE ||
                                status == STATUS_RESOURCE_EXHAUSTED);
        raft_entry_unref(entry);
    }
}

static void read(struct sim *sim, struct node *node)
{
    struct error err = ERROR_INIT;
    if (sim->read_count == READS_MAX) {
        return;
    }
    enum status status = raft_read(node->raft, sim->read_count, &err);
    if (status == STATUS_OK) {
        sim->read_floor[sim->read_count++] = sim->oracle.commit;
    } else {
        HOLDS(&sim->oracle, status == STATUS_UNAVAILABLE || status == STATUS_RESOURCE_EXHAUSTED);
    }
}

/* What nobody needs any more goes; nobody may need it, unless logs are kept short. */
static void purge(struct sim *sim, struct node *node)
{
    uint64_t index = raft_retain_index(node->raft);
    /* Who is no member counts for nothing there; who lost it has had it. */
    for (size_t i = 0; i < sim->count && index > 0 && !sim->changes; i++) {
        const struct node *other = &sim->nodes[i];
        HOLDS(&sim->oracle, disk_last(&other->disk) >= index || other->refill_index >= index);
    }
    if (sim->short_logs) {
        index = node->applied;
    }
    if (index > node->applied) {
        index = node->applied;
    }
    if (index > node->disk.base_index) {
        disk_purge(&node->disk, index);
        raft_purged(node->raft, index);
        sim->purges++;
    }
}

/* The node's state becomes what another one has applied, and it starts again: its log goes on
 * behind that if it has the entry there, else it is empty. Term and vote stay. */
static void install_snapshot(struct sim *sim, struct node *node)
{
    const struct node *from = &sim->nodes[draw(sim, (unsigned)sim->count)];
    struct disk *disk = &node->disk;
    uint64_t index = from->applied;
    if (index < sim->wanted[node->id - 1]) {
        return; /* not so far itself; another time another one is asked */
    }
    sim->wanted[node->id - 1] = 0;
    crash(sim, node);
    if (index > node->applied) {
        uint64_t term = sim->oracle.committed[index].term;
        const struct raft_entry *entry = disk_at(disk, index);
        if (entry != NULL && entry->term == term) {
            disk_purge(disk, index);
        } else {
            disk_cut(disk, disk->base_index + 1);
            disk->base_index = index;
            disk->base_term = term;
            struct raft_entry *membership = disk_membership(&from->disk, index);
            raft_entry_unref(disk->membership);
            disk->membership = membership == NULL ? NULL : raft_entry_ref(membership);
        }
        node->applied = index;
        sim->snapshots++;
    }
    boot(sim, node);
}

static void transfer(struct sim *sim, struct node *node)
{
    struct error err = ERROR_INIT;
    uint64_t target = 1 + draw(sim, (unsigned)sim->count);
    enum status status = raft_transfer(node->raft, target, &err);
    HOLDS(&sim->oracle, status == STATUS_OK || status == STATUS_FAILED_PRECONDITION ||
                            status == STATUS_INVALID_ARGUMENT);
}

/* Adds, promotes or removes somebody, if that is possible now. Three voters stay at least, so that
 * a crash does not end the run. */
static void change_members(struct sim *sim, struct node *node)
{
    struct error err = ERROR_INIT;
    uint64_t index = 0;
    uint64_t id = 1 + draw(sim, (unsigned)sim->count);
    const struct raft_membership *now = raft_members_now(node->raft, &index);
    const struct raft_member *member = raft_membership_find(now, id);
    struct buf bytes;
    buf_init(&bytes, alloc_default(), 4096);
    enum status status = STATUS_FAILED_PRECONDITION;
    if (member == NULL) {
        status = raft_membership_add(now, id, slice_of_string("info"), &bytes, &err);
    } else if (member->role == RAFT_LEARNER && chance(sim, 800)) {
        status = raft_membership_promote(now, id, &bytes, &err);
    } else if (raft_membership_voters(now) > 3) {
        status = raft_membership_remove(now, id, &bytes, &err);
    }
    if (status == STATUS_OK) {
        struct raft_entry *entry =
            raft_entry_new(alloc_default(), 0, 0, RAFT_ENTRY_MEMBERSHIP, (uint32_t)bytes.length);
        assert_non_null(entry);
        memcpy(entry->data, bytes.data, bytes.length);
        status = raft_change(node->raft, entry, &err);
        HOLDS(&sim->oracle, status == STATUS_OK || status == STATUS_FAILED_PRECONDITION ||
                                status == STATUS_UNAVAILABLE ||
                                status == STATUS_RESOURCE_EXHAUSTED);
        if (status == STATUS_OK) {
            sim->changes_made++;
        } else {
            raft_entry_unref(entry);
        }
    }
    buf_release(&bytes);
}

static void deliver(struct sim *sim)
{
    /* What is due arrives in any order. */
    for (;;) {
        size_t due = 0;
        size_t at = 0;
        for (size_t i = 0; i < sim->network.count; i++) {
            if (sim->network.letters[i].due <= sim->oracle.time &&
                draw(sim, (unsigned)++due) == 0) {
                at = i;
            }
        }
        if (due == 0) {
            return;
        }
        struct letter letter = network_take(&sim->network, at);
        size_t to = (size_t)letter.message.to - 1;
        if (sim->paused_until[to] > sim->oracle.time) {
            letter.due = sim->paused_until[to];
            network_post(&sim->network, &letter.message, letter.due);
        } else if (sim->nodes[to].raft != NULL) {
            struct error err = ERROR_INIT;
            tolerate(sim, raft_receive(sim->nodes[to].raft, &letter.message, &err), &err);
            if (chance(sim, 600)) {
                drain(sim, &sim->nodes[to]);
            }
        }
        letter_release(&letter);
    }
}

static void node_step(struct sim *sim, struct node *node)
{
    struct error err = ERROR_INIT;
    if (chance(sim, sim->tick_permille[node->id - 1])) {
        tolerate(sim, raft_tick(node->raft, &err), &err);
    }
    disk_step(sim, node);
    notice_step(sim, node);
    answer_loads(sim, node);
    if (chance(sim, sim->weather.propose_percent * 10)) {
        propose(sim, node);
    }
    if (chance(sim, 150)) {
        read(sim, node);
    }
    drain(sim, node);
    if (chance(sim, 700)) {
        uint64_t lag = chance(sim, 500) ? draw(sim, 5) : 0;
        if (node->commit > node->applied + lag) {
            apply(sim, node, node->commit - lag);
        }
    }
    if (chance(sim, 30)) {
        purge(sim, node);
    }
    if (sim->wanted[node->id - 1] != 0 && chance(sim, 50)) {
        install_snapshot(sim, node);
    }
}

/* Faults of leaders are the interesting ones: half of all go to one, if there is one. */
static struct node *pick_victim(struct sim *sim)
{
    size_t first = draw(sim, (unsigned)sim->count);
    for (size_t i = 0; i < sim->count && chance(sim, 850); i++) {
        struct node *node = &sim->nodes[(first + i) % sim->count];
        struct raft_status status;
        if (node->raft != NULL) {
            raft_status(node->raft, &status);
            if (status.role == RAFT_LEADER) {
                return node;
            }
        }
    }
    return &sim->nodes[first];
}

static void strike(struct sim *sim)
{
    struct node *node = pick_victim(sim);
    size_t at = (size_t)node->id - 1;
    if (chance(sim, sim->weather.crash_permille)) {
        if (node->raft != NULL) {
            crash(sim, node);
        }
    }
    struct node *down = &sim->nodes[draw(sim, (unsigned)sim->count)];
    if (down->raft == NULL && chance(sim, 60)) {
        boot(sim, down);
    }
    if (node->raft == NULL) {
        return;
    }
    if (chance(sim, sim->weather.pause_permille)) {
        sim->paused_until[at] = sim->oracle.time + draw(sim, 40);
    }
    if (chance(sim, sim->weather.cut_permille)) {
        /* One direction of one link, or everything from or to one node. */
        unsigned kind = draw(sim, 4);
        size_t other = draw(sim, (unsigned)sim->count);
        for (size_t i = 0; i < sim->count; i++) {
            if (i == other || kind >= 2) {
                sim->cut[at][i] = sim->cut[at][i] || kind != 3;
                sim->cut[i][at] = sim->cut[i][at] || kind == 1 || kind == 3;
            }
        }
    }
    if (chance(sim, sim->weather.cut_permille)) {
        memset(sim->cut, 0, sizeof sim->cut);
    }
    if (sim->paused_until[at] <= sim->oracle.time) {
        if (chance(sim, 2)) {
            transfer(sim, node);
        }
        if (sim->count > 1 && chance(sim, 5)) {
            uint64_t peer = 1 + (at + 1) % sim->count;
            raft_unreachable(node->raft, peer);
        }
        if (sim->changes && chance(sim, 200)) {
            change_members(sim, node);
        }
    }
}

static void step(struct sim *sim)
{
    sim->oracle.time++;
    deliver(sim);
    for (size_t i = 0; i < sim->count; i++) {
        if (is_running(sim, i)) {
            node_step(sim, &sim->nodes[i]);
        }
    }
}

/* ---- Runs ------------------------------------------------------------------------------------ */

static void draw_weather(struct sim *sim)
{
    static const unsigned drops[] = {0, 2, 10, 30};
    static const unsigned disks[] = {90, 60, 20, 5};
    struct weather *weather = &sim->weather;
    weather->drop_percent = drops[draw(sim, 4)];
    weather->repeat_percent = chance(sim, 500) ? 0 : 30;
    weather->delay_max = 1 + draw(sim, 6);
    weather->disk_percent = disks[draw(sim, 4)];
    weather->notice_percent = disks[draw(sim, 4)];
    weather->crash_permille = chance(sim, 300) ? 0 : 2 + draw(sim, 20);
    weather->cut_permille = chance(sim, 300) ? 0 : 5 + draw(sim, 25);
    weather->pause_permille = chance(sim, 500) ? 0 : 8;
    weather->propose_percent = 5 + draw(sim, 60);
    weather->loss_permille = chance(sim, 300) ? 0 : 900;
    weather->memory_permille = chance(sim, 700) ? 0 : 1 + draw(sim, 40);
}

static void sim_init(struct sim *sim, uint64_t seed)
{
    memset(sim, 0, sizeof *sim);
    rng_seeded_init(&sim->rng, seed);
    sim->oracle.seed = seed;
    sim->memory = (struct weak_alloc){.alloc.resize = weak_resize, .rng = &sim->rng.rng};
    draw_weather(sim);
    static const size_t counts[] = {3, 3, 3, 5, 5, 1, 2, 4};
    sim->voters = counts[draw(sim, 8)];
    sim->changes = chance(sim, 400);
    sim->count =
        sim->voters + (sim->changes ? 1 + draw(sim, NODES_MAX - (unsigned)sim->voters) : 0);
    for (size_t i = 0; i < sim->count; i++) {
        sim->nodes[i].id = i + 1;
        sim->tick_permille[i] = chance(sim, 700) ? 950 : 200;
    }
    sim->short_logs = chance(sim, 300);
    bool narrow = chance(sim, 500);
    sim->options = (struct raft_options){
        .election_ticks = 10 + draw(sim, 10),
        .heartbeat_ticks = 1 + draw(sim, 4),
        .message_bytes_max = narrow ? 200 + draw(sim, 400) : 4000,
        .inflight_bytes_max = narrow ? 300 + draw(sim, 2000) : 100000,
        .inflight_messages_max = narrow ? 1 + draw(sim, 8) : 64,
        .cache_bytes_max = chance(sim, 500) ? draw(sim, 1500) : 1000000,
        .alloc = &sim->memory.alloc,
        .rng = &sim->rng.rng,
    };
    for (size_t i = 0; i < sim->count; i++) {
        boot(sim, &sim->nodes[i]);
    }
}

static void sim_release(struct sim *sim)
{
    for (size_t i = 0; i < sim->count; i++) {
        raft_free(sim->nodes[i].raft);
        node_refilled(&sim->nodes[i]);
        disk_release(&sim->nodes[i].disk);
        free(sim->completions[i].items);
    }
    network_release(&sim->network);
    oracle_release(&sim->oracle);
}

/* The membership that the one leader goes by and that is committed; NULL if there is none. */
static const struct raft_membership *settled_members(const struct sim *sim)
{
    const struct raft_membership *found = NULL;
    for (size_t i = 0; i < sim->count; i++) {
        struct raft_status status;
        uint64_t index = 0;
        raft_status(sim->nodes[i].raft, &status);
        if (status.role != RAFT_LEADER) {
            continue;
        }
        const struct raft_membership *now = raft_members_now(sim->nodes[i].raft, &index);
        if (found != NULL || index > status.commit) {
            return NULL;
        }
        found = now;
    }
    return found;
}

/* Who is no member (any more) need not have anything, and disturbs nobody. */
static bool is_settled(struct sim *sim, uint64_t goal)
{
    const struct raft_membership *members = settled_members(sim);
    for (size_t i = 0; members != NULL && i < members->count; i++) {
        if (sim->nodes[members->of[i].id - 1].applied < goal) {
            return false;
        }
    }
    return members != NULL;
}

/* With all faults over the cluster must elect, commit something new, answer a read on each node
 * and agree. */
static void heal(struct sim *sim)
{
    memset(sim->cut, 0, sizeof sim->cut);
    memset(sim->paused_until, 0, sizeof sim->paused_until);
    sim->memory.permille = 0;
    sim->weather = (struct weather){
        .delay_max = 1, .disk_percent = 90, .notice_percent = 90, .propose_percent = 20};
    for (size_t i = 0; i < sim->count; i++) {
        sim->tick_permille[i] = 950;
        if (sim->nodes[i].raft == NULL) {
            boot(sim, &sim->nodes[i]);
        }
    }
    uint64_t goal = sim->oracle.commit + 20;
    uint64_t steps_max = STEPS_TO_HEAL;
    for (size_t i = 0; i < sim->count; i++) {
        struct raft_status status;
        raft_status(sim->nodes[i].raft, &status);
        /* A narrow window moves a long tail slowly: an entry in a round trip. */
        if (STEPS_TO_HEAL + 6 * status.last_index > steps_max) {
            steps_max = STEPS_TO_HEAL + 6 * status.last_index;
        }
    }
    size_t reads_before = sim->reads_ok;
    uint64_t steps = 0;
    while (!is_settled(sim, goal) || sim->reads_ok == reads_before) {
        HOLDS(&sim->oracle, steps++ < steps_max);
        step(sim);
    }
    const struct raft_membership *members = settled_members(sim);
    for (size_t i = 0; i < members->count; i++) {
        const struct disk *disk = &sim->nodes[members->of[i].id - 1].disk;
        for (uint64_t index = disk->base_index + 1; index <= goal; index++) {
            HOLDS(&sim->oracle, disk_at(disk, index)->term == sim->oracle.committed[index].term);
            HOLDS(&sim->oracle,
                  entry_value(disk_at(disk, index)) == sim->oracle.committed[index].value);
        }
    }
}

struct totals {
    uint64_t commits;
    uint64_t elections;
    uint64_t reads_ok;
    uint64_t loads;
    uint64_t crashes;
    uint64_t losses;
    uint64_t refilled;
    uint64_t purges;
    uint64_t changes;
    uint64_t snapshots;
};

static void run(uint64_t seed, struct totals *totals)
{
    static struct sim sim;
    sim_init(&sim, seed);
    sim.memory.permille = sim.weather.memory_permille;
    for (unsigned i = 0; i < STEPS; i++) {
        strike(&sim);
        step(&sim);
    }
    heal(&sim);
    totals->commits += sim.oracle.commit;
    totals->elections += sim.oracle.elections;
    totals->reads_ok += sim.reads_ok;
    totals->loads += sim.loads_answered;
    totals->crashes += sim.crashes;
    totals->losses += sim.losses;
    totals->refilled += sim.refilled;
    totals->purges += sim.purges;
    totals->changes += sim.changes_made;
    totals->snapshots += sim.snapshots;
    sim_release(&sim);
}

static void run_range(uint64_t seed, uint64_t rounds)
{
    struct totals totals = {0};
    for (uint64_t i = 0; i < rounds; i++) {
        run(seed + i, &totals);
    }
    print_message("%" PRIu64 " seeds from %" PRIu64 ": %" PRIu64 " commits, %" PRIu64
                  " elections, %" PRIu64 " reads, %" PRIu64 " loads, %" PRIu64 " crashes, %" PRIu64
                  " logs damaged, %" PRIu64 " refilled, %" PRIu64 " purges, %" PRIu64
                  " changes of members, %" PRIu64 " snapshots\n",
                  rounds, seed, totals.commits, totals.elections, totals.reads_ok, totals.loads,
                  totals.crashes, totals.losses, totals.refilled, totals.purges, totals.changes,
                  totals.snapshots);
    /* A simulation in which nothing happens proves nothing. */
    assert_true(totals.commits > rounds * 50);
    assert_true(totals.elections > rounds);
    assert_true(totals.reads_ok > rounds * 2);
    if (rounds > 100) {
        assert_true(totals.loads > rounds);
        assert_true(totals.crashes > rounds);
        assert_true(totals.losses > rounds / 8);
        assert_true(totals.refilled > rounds / 8);
        assert_true(totals.purges > rounds);
        assert_true(totals.changes > rounds);
        assert_true(totals.snapshots > rounds / 10);
    }
}

/* Seeds that failed once. */
static void test_seeds_that_failed(void **state)
{
    static const uint64_t seeds[] = {
        73575660540491,  /* what a damaged log ended with had been overwritten, by entries below the
                            leader's log: no refusal led to a snapshot */
        203491941705288, /* the oracle counted by members that were asked for after the commit */
    };
    (void)state;
    for (size_t i = 0; i < sizeof seeds / sizeof seeds[0]; i++) {
        struct totals totals = {0};
        run(seeds[i], &totals);
        assert_true(totals.commits > 0);
    }
}

/* The same seeds each time, so that a change that breaks one is seen at once. */
static void test_fixed_seeds(void **state)
{
    (void)state;
    const char *rounds = getenv("ESTREAT_ROUNDS");
    if (rounds == NULL) {
        run_range(1, ROUNDS_FIXED);
    }
}

/* New seeds each time; ESTREAT_ROUNDS runs as many as wanted. */
static void test_fresh_seeds(void **state)
{
    (void)state;
    const char *rounds = getenv("ESTREAT_ROUNDS");
    run_range(test_seed() & 0xffffffffffffULL,
              rounds == NULL ? ROUNDS_FRESH : strtoull(rounds, NULL, 10));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seeds_that_failed),
        cmocka_unit_test(test_fixed_seeds),
        cmocka_unit_test(test_fresh_seeds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
