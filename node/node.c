/* SPDX-License-Identifier: Apache-2.0 */
#include "node/node.h"

#include "base/check.h"
#include "base/io_queue.h"
#include "base/log.h"
#include "node/data_dir.h"
#include "node/keyspaces.h"
#include "node/service.h"
#include "node/turns.h"
#include "rpc/endpoint.h"

#define READER_THREADS 2
#define ENGINE_THREADS 1
#define DRAIN_MS 1000
#define CLOSE_POLL_NS (5 * NS_PER_MS)

struct node {
    struct node_options options;
    const struct config *config;
    struct alloc *alloc;
    struct clock *clock;
    struct fs *fs;
    struct file *lock;
    char wal_dir[PATH_BYTES_MAX];
    char table_dir[PATH_BYTES_MAX];

    struct executor *engine_executor;
    struct engine *engine;
    struct buf seal_bytes;
    struct seal seal; /* what the engine began with; borrows from seal_bytes */
    struct io_queue *io;
    struct wal_notice wal_notice;
    struct wal *wal;
    struct wal_recovered recovered;
    struct tile_store *tiles;
    struct signer *signer;
    struct fault fault;

    struct intake_queue intake; /* the driver's */
    struct pending pending;
    struct applied applied;
    bool has_applied;
    struct applier *applier;
    struct rpc_loop *peer_loop;
    struct driver *driver;
    struct peers *peers;
    struct turns *turns;

    struct executor *readers;
    struct rpc_loop *loop;
    struct rpc_server *server;
    struct service service;
};

/* --- recovery ----------------------------------------------------------------------------- */

static const struct keyspace_options keyspaces[KEYSPACE_COUNT] = {
    /* Incompressible payloads cost LZ4 little; scans of events read block after block. */
    [KEYSPACE_EVENTS] = {.name = "events",
                         .layout = KEYSPACE_APPEND,
                         .block_bytes = 16 * KIB,
                         .codec_new = CODEC_LZ4,
                         .codec_old = CODEC_ZSTD},
    /* Each append looks its key up, and mostly in vain at first: the filter says so. */
    [KEYSPACE_LATEST] = {.name = "latest",
                         .layout = KEYSPACE_LEVELED,
                         .bloom_bits = 10,
                         .codec_new = CODEC_LZ4,
                         .codec_old = CODEC_LZ4},
    [KEYSPACE_VERSIONS] = {.name = "versions",
                           .layout = KEYSPACE_LEVELED,
                           .block_bytes = 8 * KIB,
                           .codec_new = CODEC_LZ4,
                           .codec_old = CODEC_LZ4},
    [KEYSPACE_SESSIONS] = {.name = "sessions",
                           .layout = KEYSPACE_LEVELED,
                           .codec_new = CODEC_LZ4,
                           .codec_old = CODEC_LZ4},
    /* Hashes do not compress. */
    [KEYSPACE_TILES] = {.name = "tiles",
                        .layout = KEYSPACE_APPEND,
                        .block_bytes = 8 * KIB,
                        .codec_new = CODEC_NONE,
                        .codec_old = CODEC_NONE},
    [KEYSPACE_META] = {.name = "meta",
                       .layout = KEYSPACE_LEVELED,
                       .codec_new = CODEC_NONE,
                       .codec_old = CODEC_NONE},
    [KEYSPACE_LOCAL] = {.name = "local",
                        .layout = KEYSPACE_LEVELED,
                        .codec_new = CODEC_NONE,
                        .codec_old = CODEC_NONE},
};

static void on_fatal(void *context, const struct error *err)
{
    struct node *node = context;
    node->options.on_fatal(node->options.context, err);
}

/* Tables are durable up to a seal. The applier is there: who seals has it started. */
static void on_flushed(void *context, struct slice state)
{
    struct node *node = context;
    struct error err = ERROR_INIT;
    struct seal seal;
    if (seal_decode(state, &seal, &err) != STATUS_OK) {
        on_fatal(node, &err);
        return;
    }
    applier_flushed(node->applier, seal.index);
}

static enum status open_engine(struct node *node, struct error *err)
{
    const struct config *config = node->config;
    enum status status =
        executor_open_threads(node->alloc, "engine", ENGINE_THREADS, &node->engine_executor, err);
    if (status != STATUS_OK) {
        return status;
    }
    const struct engine_options options = {
        .fs = node->fs,
        .alloc = node->alloc,
        .clock = node->clock,
        .executor = node->engine_executor,
        .dir = node->table_dir,
        .keyspaces = keyspaces,
        .keyspace_count = KEYSPACE_COUNT,
        .memtable_bytes = config->memtable_bytes,
        .memtable_slack_bytes = APPLIER_OVERSHOOT_BYTES,
        .block_cache_bytes = config->block_cache_bytes,
        .on_flushed = on_flushed,
        .context = node,
    };
    status = engine_open(&options, &node->engine, err);
    if (status == STATUS_OK) {
        buf_init(&node->seal_bytes, node->alloc, ENGINE_STATE_BYTES_MAX);
        status = engine_sealed_state(node->engine, &node->seal_bytes, err);
    }
    if (status == STATUS_OK) {
        status = seal_decode(buf_slice(&node->seal_bytes), &node->seal, err);
    }
    return status;
}

static enum status open_wal(struct node *node, struct error *err)
{
    enum status status = io_queue_open_posix(node->alloc, node->clock, &node->io, err);
    if (status != STATUS_OK) {
        return status;
    }
    char identity[WAL_IDENTITY_BYTES_MAX];
    uint64_t raft_id = config_raft_id(node->config, config_self(node->config));
    int length = snprintf(identity, sizeof identity, "%016lx/%.40s", (unsigned long)raft_id,
                          node->config->cluster);
    node->wal_notice.intake = &node->intake;
    const struct wal_options options = {
        .fs = node->fs,
        .io = node->io,
        .alloc = node->alloc,
        .executor = node->engine_executor,
        .dir = node->wal_dir,
        .segment_bytes = node->config->segment_bytes,
        .identity = slice_of(identity, (size_t)length),
        .on_complete = driver_wal_done,
        .context = &node->wal_notice,
    };
    status =
        wal_open(&options, node->seal.index, node->seal.term, &node->recovered, &node->wal, err);
    if (status == STATUS_OK) {
        log_write("node", LOG_INFO, "recovered",
                  "size=%lu sealed_index=%lu first_index=%lu last_index=%lu term=%lu cut_bytes=%lu",
                  (unsigned long)node->seal.size, (unsigned long)node->seal.index,
                  (unsigned long)node->recovered.first_index,
                  (unsigned long)node->recovered.last_index, (unsigned long)node->recovered.term,
                  (unsigned long)node->recovered.cut_bytes);
    }
    return status;
}

/* A node that lost its log may have voted and acknowledged what it no longer knows of: it must not
 * come back under its id. The file "started" says that there was a log. */
static enum status check_log_not_lost(struct node *node, struct error *err)
{
    char path[PATH_BYTES_MAX];
    bool started = false;
    enum status status = path_join(path, node->config->data, "started", err);
    if (status == STATUS_OK) {
        status = fs_exists(node->fs, path, &started, err);
    }
    if (status == STATUS_OK && started && !node->recovered.existed) {
        return error_set(err, STATUS_DATA_LOSS,
                         "%s held a log and it is gone; set this member up anew, under a new id",
                         node->wal_dir);
    }
    if (status == STATUS_OK && !started) {
        status = fs_replace_file(node->fs, node->config->data, path, slice_of_string("1\n"), err);
    }
    return status;
}

static enum status recover(struct node *node, struct error *err)
{
    const struct config *config = node->config;
    enum status status =
        data_dir_open(node->fs, config->data, config->cluster, config->node_id, &node->lock, err);
    if (status == STATUS_OK) {
        status = path_join(node->wal_dir, config->data, "wal", err);
    }
    if (status == STATUS_OK) {
        status = path_join(node->table_dir, config->data, "tables", err);
    }
    if (status == STATUS_OK) {
        status = open_engine(node, err);
    }
    if (status == STATUS_OK) {
        status = open_wal(node, err);
    }
    if (status == STATUS_OK) {
        status = check_log_not_lost(node, err);
    }
    if (status == STATUS_OK) {
        status = tile_store_open(node->alloc, node->engine, node->seal.tree, &node->tiles, err);
    }
    if (status == STATUS_OK) {
        status = signer_open(node->alloc, node->fs, rng_system(), config->data, config->origin,
                             &node->signer, err);
    }
    if (status == STATUS_OK) {
        status = fs_sync_dir(node->fs, config->data, err);
    }
    return status;
}

/* --- taking part -------------------------------------------------------------------------- */

static enum status take_part(struct node *node, struct error *err)
{
    applied_init(&node->applied, (struct applied_point){.index = node->seal.index,
                                                        .term = node->seal.term,
                                                        .size = node->seal.size,
                                                        .time_ns = node->seal.time_ns});
    node->has_applied = true;
    const struct applier_options applier_options = {
        .alloc = node->alloc,
        .clock = node->clock,
        .engine = node->engine,
        .wal = node->wal,
        .tiles = node->tiles,
        .pending = &node->pending,
        .applied = &node->applied,
        .clients = node->loop,
        .done = &node->intake,
        .start = &node->seal,
        .on_fatal = on_fatal,
        .context = node,
    };
    enum status status = applier_start(&applier_options, &node->applier, err);
    if (status == STATUS_OK) {
        const struct rpc_loop_options loop_options = {
            .name = "peers", .alloc = node->alloc, .clock = node->clock};
        status = rpc_loop_open(&loop_options, &node->peer_loop, err);
    }
    if (status == STATUS_OK) {
        const struct peers_options peers_options = {.alloc = node->alloc,
                                                    .clock = node->clock,
                                                    .config = node->config,
                                                    .loop = node->peer_loop,
                                                    .intake = &node->intake};
        status = peers_open(&peers_options, &node->peers, err);
    }
    if (status == STATUS_OK) {
        const struct driver_options driver_options = {
            .alloc = node->alloc,
            .clock = node->clock,
            .rng = rng_system(),
            .fs = node->fs,
            .config = node->config,
            .intake = &node->intake,
            .wal = node->wal,
            .recovered = &node->recovered,
            .start = &node->seal,
            .peers = node->peers,
            .applier = node->applier,
            .pending = &node->pending,
            .applied = &node->applied,
            .fault = &node->fault,
            .on_fatal = on_fatal,
            .context = node,
        };
        status = driver_new(&driver_options, &node->driver, err);
    }
    if (status == STATUS_OK) {
        status = turns_start(node->peer_loop, node->driver, &node->intake, &node->turns, err);
    }
    return status;
}

static enum status register_services(struct node *node, struct error *err)
{
    enum status status = service_log_register(&node->service, node->server, err);
    if (status == STATUS_OK) {
        status = service_proof_register(&node->service, node->server, err);
    }
    if (status == STATUS_OK) {
        status = service_audit_register(&node->service, node->server, err);
    }
    if (status == STATUS_OK) {
        status = service_cluster_register(&node->service, node->server, err);
    }
    return status;
}

/* Takes the clients' port before the node takes part: one that cannot serve must not campaign. */
static enum status bind_port(struct node *node, struct error *err)
{
    const struct config *config = node->config;
    const char *endpoint = config->members[config_self(config)].client;
    char url[RPC_URL_BYTES_MAX];
    const struct rpc_loop_options loop_options = {
        .name = "clients", .alloc = node->alloc, .clock = node->clock};
    enum status status = rpc_loop_open(&loop_options, &node->loop, err);
    if (status == STATUS_OK) {
        status = rpc_endpoint_url(endpoint, 0, url, err);
    }
    if (status != STATUS_OK) {
        return status;
    }
    const struct rpc_server_options options = {
        .url = url, .cluster_id = config->cluster, .node_id = config->node_id};
    status = rpc_server_open(node->loop, &options, &node->server, err);
    return status == STATUS_OK ? status : error_wrap(err, "client port %s", endpoint);
}

static enum status serve(struct node *node, struct error *err)
{
    enum status status =
        executor_open_threads(node->alloc, "read", READER_THREADS, &node->readers, err);
    if (status != STATUS_OK) {
        return status;
    }
    node->service = (struct service){
        .alloc = node->alloc,
        .clock = node->clock,
        .rng = rng_system(),
        .config = node->config,
        .engine = node->engine,
        .tiles = node->tiles,
        .signer = node->signer,
        .fault = &node->fault,
        .applied = &node->applied,
        .applier = node->applier,
        .driver = node->driver,
        .loop = node->loop,
        .readers = node->readers,
    };
    status = register_services(node, err);
    if (status == STATUS_OK) {
        rpc_server_start(node->server);
    }
    return status;
}

enum status node_open(const struct node_options *options, struct node **out, struct error *err)
{
    struct node *node = alloc_zeroed(alloc_default(), 1, sizeof *node);
    if (node == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for the node");
    }
    node->options = *options;
    node->config = options->config;
    node->alloc = alloc_default();
    node->clock = clock_system();
    node->fs = options->fs == NULL ? fs_posix() : options->fs;
    intake_init(&node->intake);
    pending_init(&node->pending);
    fault_init(&node->fault);
    enum status status = recover(node, err);
    if (status == STATUS_OK) {
        status = bind_port(node, err);
    }
    if (status == STATUS_OK) {
        status = take_part(node, err);
    }
    if (status == STATUS_OK) {
        status = serve(node, err);
    }
    if (status != STATUS_OK) {
        node_close(node);
        return status;
    }
    *out = node;
    return STATUS_OK;
}

/* --- the end ------------------------------------------------------------------------------ */

/* Reading calls end by themselves once they see that they were cancelled. */
static void wait_for_requests(struct node *node)
{
    struct mutex mutex;
    struct condition never;
    mutex_init(&mutex);
    condition_init(&never);
    mutex_lock(&mutex);
    while (atomic_load(&node->service.requests) > 0) {
        (void)condition_wait_for(&never, &mutex, CLOSE_POLL_NS);
    }
    mutex_unlock(&mutex);
    condition_release(&never);
    mutex_release(&mutex);
}

void node_close(struct node *node)
{
    if (node == NULL) {
        return;
    }
    rpc_server_close(node->server, DRAIN_MS);
    turns_stop(node->turns);
    peers_close(node->peers);
    rpc_loop_close(node->peer_loop);
    if (node->has_applied) {
        applied_close(&node->applied);
    }
    applier_stop(node->applier); /* flushes; who waits for a flush that cannot be is told */
    wait_for_requests(node);
    executor_close(node->readers);
    rpc_loop_close(node->loop);
    wal_close(node->wal);
    executor_close(node->engine_executor); /* from here on nothing is reported as flushed */
    driver_free(node->driver);
    applier_free(node->applier);
    io_queue_close(node->io);
    signer_close(node->signer);
    tile_store_close(node->tiles);
    engine_close(node->engine);
    if (node->seal_bytes.alloc != NULL) {
        buf_release(&node->seal_bytes);
    }
    if (node->has_applied) {
        applied_release(&node->applied);
    }
    pending_release(&node->pending);
    fault_release(&node->fault);
    file_close(node->lock);
    alloc_free(node->alloc, node);
}

const char *node_verifier_key(const struct node *node)
{
    return signer_verifier_key(node->signer);
}
