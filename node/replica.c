/* SPDX-License-Identifier: Apache-2.0 */
#include "node/replica.h"

#include <stdio.h>

#include "base/check.h"
#include "base/log.h"
#include "node/data_dir.h"
#include "node/keyspaces.h"
#include "node/snapshot_install.h"

static void on_fatal(void *context, const struct error *err)
{
    const struct replica *replica = context;
    replica->options.on_fatal(replica->options.context, err);
}

/* Tables are durable up to a seal. The applier is there: who seals has it started. */
static void on_flushed(void *context, struct slice state)
{
    struct replica *replica = context;
    struct error err = ERROR_INIT;
    struct seal seal;
    if (seal_decode(state, &seal, &err) != STATUS_OK) {
        on_fatal(replica, &err);
        return;
    }
    applier_flushed(replica->applier, seal.index);
}

/* A merge of tables meets what a read would have met later; so does the applier. */
static void on_damage(void *context, const struct error *err)
{
    struct replica *replica = context;
    fault_note(&replica->fault, err->text);
}

static void on_wal_done(void *context)
{
    struct replica *replica = context;
    driver_wal_done(&replica->wal_notice);
}

static void on_wait(void *context)
{
    const struct replica *replica = context;
    replica->options.on_wait(replica->options.context);
}

static void (*wait_hook(const struct replica *replica))(void *context)
{
    return replica->options.on_wait == NULL ? NULL : on_wait;
}

static enum status open_engine(struct replica *replica, struct error *err)
{
    const struct config *config = replica->options.config;
    const struct engine_options options = {
        .fs = replica->options.fs,
        .alloc = replica->options.alloc,
        .clock = replica->options.clock,
        .executor = replica->options.engine,
        .dir = replica->table_dir,
        .keyspaces = keyspaces_layout(),
        .keyspace_count = KEYSPACE_COUNT,
        .memtable_bytes = config->memtable_bytes,
        .memtable_slack_bytes = APPLIER_OVERSHOOT_BYTES,
        .block_cache_bytes = config->block_cache_bytes,
        .on_flushed = on_flushed,
        .on_damage = on_damage,
        .on_wait = wait_hook(replica),
        .context = replica,
    };
    enum status status = engine_open(&options, &replica->engine, err);
    if (status == STATUS_OK) {
        buf_init(&replica->seal_bytes, replica->options.alloc, ENGINE_STATE_BYTES_MAX);
        status = engine_sealed_state(replica->engine, &replica->seal_bytes, err);
    }
    if (status == STATUS_OK) {
        status = seal_decode(buf_slice(&replica->seal_bytes), &replica->seal, err);
    }
    return status;
}

/* `others`: there are other voters, who have what this log has, and can lead. */
static enum status open_wal(struct replica *replica, bool others, struct error *err)
{
    char identity[WAL_IDENTITY_BYTES_MAX];
    uint64_t raft_id =
        config_raft_id(replica->options.config, config_self(replica->options.config));
    int length = snprintf(identity, sizeof identity, "%016lx/%.40s", (unsigned long)raft_id,
                          replica->options.config->cluster);
    replica->wal_notice.intake = &replica->intake;
    const struct wal_options options = {
        .fs = replica->options.fs,
        .io = replica->options.io,
        .alloc = replica->options.alloc,
        .executor = replica->options.engine,
        .dir = replica->wal_dir,
        .segment_bytes = replica->options.config->segment_bytes,
        .identity = slice_of(identity, (size_t)length),
        .rng = replica->options.rng,
        .on_complete = on_wal_done,
        .on_wait = wait_hook(replica),
        .context = replica,
    };
    enum status status =
        refill_load(&replica->refill, options.fs, replica->options.config->data, err);
    if (status == STATUS_OK) {
        status = refill_open_wal(&replica->refill, &options, others, replica->seal.index,
                                 replica->seal.term, &replica->recovered, &replica->wal, err);
    }
    if (status == STATUS_OK) {
        log_write("node", LOG_INFO, "recovered",
                  "size=%lu sealed_index=%lu first_index=%lu last_index=%lu term=%lu cut_bytes=%lu",
                  (unsigned long)replica->seal.size, (unsigned long)replica->seal.index,
                  (unsigned long)replica->recovered.first_index,
                  (unsigned long)replica->recovered.last_index,
                  (unsigned long)replica->recovered.term,
                  (unsigned long)replica->recovered.cut_bytes);
    }
    return status;
}

static bool has_other_voters(const struct raft_membership *membership, uint64_t raft_id)
{
    for (size_t i = 0; i < membership->count; i++) {
        if (membership->of[i].role == RAFT_VOTER && membership->of[i].id != raft_id) {
            return true;
        }
    }
    return membership->count == 0; /* others made the cluster */
}

/* Who the members are as of the seal. */
static enum status find_members(struct replica *replica, bool *others, struct error *err)
{
    const struct config *config = replica->options.config;
    struct raft_membership membership;
    buf_init(&replica->first_members, replica->options.alloc, MEMBERSHIP_BYTES_MAX);
    enum status status = data_dir_members(replica->options.fs, config, &replica->first, err);
    if (status == STATUS_OK) {
        status = members_encode(&replica->first, config, &replica->first_members, err);
    }
    if (status == STATUS_OK && replica->seal.membership.length == 0) {
        replica->seal.membership = buf_slice(&replica->first_members);
    }
    if (status == STATUS_OK) {
        status = raft_membership_decode(replica->seal.membership, &membership, err);
    }
    *others = status == STATUS_OK &&
              has_other_voters(&membership, config_raft_id(config, config_self(config)));
    return status;
}

static enum status recover(struct replica *replica, struct error *err)
{
    const struct config *config = replica->options.config;
    bool others = false;
    enum status status = data_dir_open(replica->options.fs, config->data, config->cluster,
                                       config->node_id, &replica->lock, err);
    if (status == STATUS_OK) {
        status = fault_open(&replica->fault, replica->options.fs, config->data, err);
    }
    if (status == STATUS_OK) {
        status = path_join(replica->wal_dir, config->data, "wal", err);
    }
    if (status == STATUS_OK) {
        status = path_join(replica->table_dir, config->data, "tables", err);
    }
    if (status == STATUS_OK) {
        status = snapshot_install(replica->options.fs, config->data, &replica->installed, err);
    }
    if (status == STATUS_OK) {
        status = open_engine(replica, err);
    }
    if (status == STATUS_OK && replica->installed) {
        log_write("snapshot", LOG_INFO, "installed", "index=%lu size=%lu",
                  (unsigned long)replica->seal.index, (unsigned long)replica->seal.size);
    }
    if (status == STATUS_OK) {
        status = find_members(replica, &others, err);
    }
    if (status == STATUS_OK) {
        status = data_dir_check_log(replica->options.fs, config->data, replica->wal_dir, err);
    }
    if (status == STATUS_OK) {
        status = open_wal(replica, others, err);
    }
    if (status == STATUS_OK) {
        status = tile_store_open(replica->options.alloc, replica->engine, replica->seal.tree,
                                 &replica->tiles, err);
    }
    if (status == STATUS_OK) {
        status = signer_open(replica->options.alloc, replica->options.fs, replica->options.rng,
                             config->data, config->origin, &replica->signer, err);
    }
    if (status == STATUS_OK) {
        status = data_dir_note_started(replica->options.fs, config->data, err);
    }
    if (status == STATUS_OK) {
        status = fs_sync_dir(replica->options.fs, config->data, err);
    }
    return status;
}

/* --- taking part -------------------------------------------------------------------------- */

/* What was signed was applied, so it was durable here. If log and tables cannot lead there any
 * more, the log has lost its end, and with it what this node acknowledged and voted for. */
static enum status check_signed_is_held(struct replica *replica, struct error *err)
{
    uint64_t size = 0;
    struct hash root;
    uint64_t held = replica->seal.size + driver_tail_events(replica->driver);
    signer_last(replica->signer, &size, &root);
    if (size <= held || replica->refill.index != 0) {
        return STATUS_OK; /* or what is lacking is known, and comes back */
    }
    return error_set(err, STATUS_DATA_LOSS,
                     "%s lost its end: this node signed a tree head of %lu events, and has %lu at "
                     "most; set this member up anew, under a new id",
                     replica->wal_dir, (unsigned long)size, (unsigned long)held);
}

/* --- snapshots ---------------------------------------------------------------------------- */

static void on_snapshot_wanted(void *context, const struct members *members, uint64_t leader,
                               uint64_t least_index)
{
    const struct replica *replica = context;
    snapshot_pull_want(replica->pull, members, leader, least_index);
}

static uint64_t log_needed_past(void *context)
{
    const struct replica *replica = context;
    return replica->source == NULL ? UINT64_MAX : snapshot_source_held_index(replica->source);
}

static void on_refilled(void *context)
{
    struct replica *replica = context;
    refill_end(&replica->refill, replica->options.engine);
}

static void on_house(void *context)
{
    const struct replica *replica = context;
    snapshot_pull_poll(replica->pull);
    snapshot_source_poll(replica->source);
}

static void on_staged(void *context)
{
    const struct replica *replica = context;
    replica->options.on_restart(replica->options.context);
}

static enum status open_snapshots(struct replica *replica, struct error *err)
{
    const struct replica_options *options = &replica->options;
    const struct snapshot_source_options source_options = {
        .alloc = options->alloc,
        .clock = options->clock,
        .executor = options->snapshots,
        .engine = replica->engine,
        .applier = replica->applier,
        .applied = &replica->applied,
        .tiles = replica->tiles,
        .signer = replica->signer,
        .fault = &replica->fault,
    };
    const struct snapshot_pull_options pull_options = {
        .alloc = options->alloc,
        .clock = options->clock,
        .fs = options->fs,
        .config = options->config,
        .executor = options->snapshots,
        .link = options->link,
        .applied = &replica->applied,
        .tiles = replica->tiles,
        .on_staged = on_staged,
        .context = replica,
    };
    enum status status = snapshot_source_open(&source_options, &replica->source, err);
    return status == STATUS_OK ? snapshot_pull_open(&pull_options, &replica->pull, err) : status;
}

void replica_stop_pull(struct replica *replica)
{
    if (replica != NULL) {
        snapshot_pull_stop(replica->pull);
    }
}

void replica_end_snapshots(struct replica *replica)
{
    executor_close(replica->options.snapshots);
    replica->options.snapshots = NULL;
    snapshot_source_end(replica->source);
}

/* Nothing moves any more, so now it can be said which is further. */
static void commit_snapshot(struct replica *replica)
{
    struct error err = ERROR_INIT;
    uint64_t index = 0;
    if (!snapshot_pull_staged(replica->pull, &index) ||
        index <= applied_get(&replica->applied).index) {
        return;
    }
    if (snapshot_commit(replica->options.fs, replica->options.config->data, &err) != STATUS_OK) {
        char text[ERROR_TEXT_BYTES];
        log_write("snapshot", LOG_WARN, "not installed", "error=%s",
                  log_quote(text, sizeof text, err.text));
    }
}

static enum status join(struct replica *replica, struct error *err)
{
    const struct replica_options *options = &replica->options;
    applied_init(&replica->applied, (struct applied_point){.index = replica->seal.index,
                                                           .term = replica->seal.term,
                                                           .size = replica->seal.size,
                                                           .log_bytes = replica->seal.log_bytes,
                                                           .time_ns = replica->seal.time_ns});
    replica->has_applied = true;
    const struct applier_options applier_options = {
        .alloc = options->alloc,
        .clock = options->clock,
        .engine = replica->engine,
        .wal = replica->wal,
        .tiles = replica->tiles,
        .pending = &replica->pending,
        .applied = &replica->applied,
        .replier = options->replier,
        .done = &replica->intake,
        .start = &replica->seal,
        .from_snapshot = replica->installed,
        .on_fatal = on_fatal,
        .on_damage = on_damage,
        .on_wait = wait_hook(replica),
        .context = replica,
    };
    enum status status = applier_new(&applier_options, &replica->applier, err);
    if (status == STATUS_OK) {
        status = loader_open(options->alloc, replica->wal, &replica->intake, options->loads,
                             &replica->loader, err);
        replica->options.loads = NULL;
    }
    if (status == STATUS_OK) {
        uint64_t signed_size = 0;
        struct hash signed_root;
        signer_last(replica->signer, &signed_size, &signed_root);
        const struct driver_options driver_options = {
            .alloc = options->alloc,
            .clock = options->clock,
            .rng = options->rng,
            .fs = options->fs,
            .config = options->config,
            .intake = &replica->intake,
            .wal = replica->wal,
            .recovered = &replica->recovered,
            .refill = &replica->refill,
            .signed_size = signed_size,
            .start = &replica->seal,
            .send = options->send,
            .send_context = options->context,
            .on_members = options->on_members,
            .loader = replica->loader,
            .applier = replica->applier,
            .pending = &replica->pending,
            .applied = &replica->applied,
            .replier = options->replier,
            .fault = &replica->fault,
            .on_snapshot_wanted = on_snapshot_wanted,
            .log_needed_past = log_needed_past,
            .on_refilled = on_refilled,
            .on_house = on_house,
            .on_fatal = on_fatal,
            .context = replica,
        };
        status = driver_new(&driver_options, &replica->driver, err);
    }
    if (status == STATUS_OK) {
        status = driver_check_config(replica->driver, &replica->first, err);
    }
    if (status == STATUS_OK) {
        status = check_signed_is_held(replica, err);
    }
    return status == STATUS_OK ? open_snapshots(replica, err) : status;
}

enum status replica_open(const struct replica_options *options, struct replica **out,
                         struct error *err)
{
    struct replica *replica = alloc_zeroed(options->alloc, 1, sizeof *replica);
    if (replica == NULL) {
        executor_close(options->snapshots);
        executor_close(options->loads);
        executor_close(options->engine);
        io_queue_close(options->io);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for the replica");
    }
    replica->options = *options;
    intake_init(&replica->intake);
    pending_init(&replica->pending, options->alloc);
    fault_init(&replica->fault);
    enum status status = recover(replica, err);
    if (status == STATUS_OK) {
        status = join(replica, err);
    }
    if (status != STATUS_OK) {
        if (replica->applier != NULL) {
            applier_end(replica->applier);
        }
        replica_close(replica);
        return status;
    }
    *out = replica;
    return STATUS_OK;
}

/* --- the end ------------------------------------------------------------------------------ */

void replica_end_driver(struct replica *replica)
{
    loader_close(replica->loader);
    replica->loader = NULL;
    driver_end(replica->driver);
    applied_close(&replica->applied);
}

void replica_end_applier(struct replica *replica)
{
    applier_end(replica->applier);
    commit_snapshot(replica);
}

void replica_close(struct replica *replica)
{
    if (replica == NULL) {
        return;
    }
    executor_close(replica->options.snapshots);
    snapshot_source_end(replica->source);
    snapshot_pull_close(replica->pull);
    loader_close(replica->loader);
    executor_close(replica->options.loads);
    wal_close(replica->wal);
    executor_close(replica->options.engine); /* from here on nothing is reported as flushed */
    driver_free(replica->driver);
    snapshot_source_close(replica->source);
    applier_free(replica->applier);
    io_queue_close(replica->options.io);
    signer_close(replica->signer);
    tile_store_close(replica->tiles);
    engine_close(replica->engine);
    if (replica->seal_bytes.alloc != NULL) {
        buf_release(&replica->seal_bytes);
    }
    if (replica->first_members.alloc != NULL) {
        buf_release(&replica->first_members);
    }
    if (replica->has_applied) {
        applied_release(&replica->applied);
    }
    pending_release(&replica->pending);
    fault_release(&replica->fault);
    file_close(replica->lock);
    alloc_free(replica->options.alloc, replica);
}
