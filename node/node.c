/* SPDX-License-Identifier: Apache-2.0 */
#include "node/node.h"

#include "node/apply_thread.h"
#include "node/backups.h"
#include "node/metrics_file.h"
#include "node/peers.h"
#include "node/replica.h"
#include "node/replier_rpc.h"
#include "node/service.h"
#include "node/snapshot_link.h"
#include "node/turns.h"
#include "rpc/endpoint.h"
#include "storage/metrics.h"

#define READER_THREADS 2
#define ENGINE_THREADS 2
#define DRAIN_MS 1000
#define CLOSE_POLL_NS (5 * NS_PER_MS)
#define LEAVE_NS_MAX (3 * NS_PER_S) /* the driver's own patience is shorter */

struct node {
    struct node_options options;
    const struct config *config;
    struct alloc *alloc;
    struct clock *clock;
    struct replier_rpc replier;
    struct replica *replica;
    struct snapshot_link_rpc *link;

    struct apply_thread *apply_thread;
    struct rpc_loop *peer_loop;
    struct incarnations *incarnations;
    struct peers *peers;
    struct turns *turns;

    struct executor *readers;
    struct backups *backups;      /* NULL: none are configured */
    struct metrics_file *metrics; /* NULL: it could not be started */
    struct rpc_loop *loop;        /* the clients' */
    struct rpc_server *server;
    struct service service;
};

/* --- recovery ----------------------------------------------------------------------------- */

static void on_fatal(void *context, const struct error *err)
{
    struct node *node = context;
    node->options.on_fatal(node->options.context, err);
}

static bool send_to_peer(void *context, const struct raft_message *message,
                         const struct peer_news *news)
{
    const struct node *node = context;
    return peers_send(node->peers, message, news);
}

static void on_members(void *context, const struct members *members)
{
    const struct node *node = context;
    peers_set(node->peers, members);
    snapshot_link_rpc_set(node->link, members);
}

static void on_met(void *context, uint64_t raft_id, const char *endpoint)
{
    const struct node *node = context;
    snapshot_link_rpc_meet(node->link, raft_id, endpoint);
}

static void on_restart(void *context)
{
    const struct node *node = context;
    node->options.on_restart(node->options.context);
}

static enum status open_replica(struct node *node, struct error *err)
{
    struct replica_options options = {
        .config = node->config,
        .alloc = node->alloc,
        .clock = node->clock,
        .rng = rng_system(),
        .fs = node->options.fs == NULL ? fs_posix() : node->options.fs,
        .replier = &node->replier.replier,
        .send = send_to_peer,
        .on_members = on_members,
        .on_fatal = on_fatal,
        .on_restart = on_restart,
        .context = node,
    };
    enum status status =
        snapshot_link_rpc_new(node->alloc, node->config, &node->link, &options.link, err);
    if (status == STATUS_OK) {
        status = executor_open_threads(node->alloc, "engine", ENGINE_THREADS, &options.engine, err);
    }
    if (status == STATUS_OK) {
        status = executor_open_threads(node->alloc, "snapshot", 1, &options.snapshots, err);
    }
    if (status == STATUS_OK) {
        status = executor_open_threads(node->alloc, "load", 1, &options.loads, err);
    }
    if (status == STATUS_OK) {
        status = io_queue_open(node->alloc, node->clock, node->config->io, &options.io, err);
    }
    if (status != STATUS_OK) {
        executor_close(options.engine);
        executor_close(options.snapshots);
        executor_close(options.loads);
        return status;
    }
    return replica_open(&options, &node->replica, err);
}

/* --- taking part -------------------------------------------------------------------------- */

static enum status take_part(struct node *node, struct error *err)
{
    struct replica *replica = node->replica;
    const struct rpc_loop_options loop_options = {
        .name = "peers", .alloc = node->alloc, .clock = node->clock};
    enum status status = incarnations_open(node->alloc, replica->options.fs, replica->options.rng,
                                           node->config->data, &node->incarnations, err);
    if (status == STATUS_OK) {
        status = snapshot_link_rpc_use(node->link, node->loop, incarnations_own(node->incarnations),
                                       err);
    }
    if (status == STATUS_OK) {
        status = rpc_loop_open(&loop_options, &node->peer_loop, err);
    }
    if (status == STATUS_OK) {
        const struct peers_options peers_options = {.alloc = node->alloc,
                                                    .config = node->config,
                                                    .loop = node->peer_loop,
                                                    .intake = &replica->intake,
                                                    .incarnations = node->incarnations,
                                                    .snapshots = replica->source,
                                                    .on_met = on_met,
                                                    .context = node};
        status = peers_open(&peers_options, &node->peers, err);
    }
    if (status == STATUS_OK) {
        status = apply_thread_start(node->alloc, replica->applier, &node->apply_thread, err);
    }
    if (status == STATUS_OK) {
        status = turns_start(node->peer_loop, replica->driver, &replica->intake, &node->turns, err);
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
        replier_rpc_init(&node->replier, node->loop);
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

static void flush_applier(void *context, struct flush_request *request)
{
    const struct node *node = context;
    applier_flush(node->replica->applier, request);
}

static enum status open_backups(struct node *node, struct error *err)
{
    const struct backups_options options = {.alloc = node->alloc,
                                            .clock = node->clock,
                                            .config = &node->config->backup,
                                            .engine = node->replica->engine,
                                            .fault = &node->replica->fault,
                                            .flush = flush_applier,
                                            .context = node};
    return options.config->dir[0] == '\0' ? STATUS_OK : backups_open(&options, &node->backups, err);
}

static void write_metrics(void *context, struct buf *out)
{
    const struct node *node = context;
    storage_metrics_write(node->replica->engine, wal_metrics(node->replica->wal),
                          clock_realtime_ns(node->clock), out);
}

static void start_metrics(struct node *node)
{
    const struct metrics_file_options options = {.alloc = node->alloc,
                                                 .fs = node->replica->options.fs,
                                                 .dir = node->config->data,
                                                 .write = write_metrics,
                                                 .context = node};
    node->metrics = metrics_file_start(&options);
}

static enum status serve(struct node *node, struct error *err)
{
    enum status status =
        executor_open_threads(node->alloc, "read", READER_THREADS, &node->readers, err);
    if (status == STATUS_OK) {
        status = open_backups(node, err);
    }
    if (status != STATUS_OK) {
        return status;
    }
    struct replica *replica = node->replica;
    node->service = (struct service){
        .alloc = node->alloc,
        .clock = node->clock,
        .rng = rng_system(),
        .config = node->config,
        .engine = replica->engine,
        .tiles = replica->tiles,
        .signer = replica->signer,
        .fault = &replica->fault,
        .applied = &replica->applied,
        .applier = replica->applier,
        .driver = replica->driver,
        .pull = replica->pull,
        .backups = node->backups,
        .loop = node->loop,
        .readers = node->readers,
    };
    status = register_services(node, err);
    if (status == STATUS_OK) {
        rpc_server_start(node->server);
        start_metrics(node);
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
    enum status status = open_replica(node, err);
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

/* Until `so`, or until_ns. */
static void poll_until(struct node *node, bool (*so)(struct node *node), uint64_t until_ns)
{
    struct mutex mutex;
    struct condition never;
    mutex_init(&mutex);
    condition_init(&never);
    mutex_lock(&mutex);
    while (!so(node) && clock_monotonic_ns(node->clock) < until_ns) {
        (void)condition_wait_for(&never, &mutex, CLOSE_POLL_NS);
    }
    mutex_unlock(&mutex);
    condition_release(&never);
    mutex_release(&mutex);
}

static bool have_requests_ended(struct node *node)
{
    return atomic_load(&node->service.requests) == 0;
}

static bool has_left(struct node *node)
{
    return driver_has_left(node->replica->driver);
}

/* While another takes over this node still tells clients where to go: what comes after may take as
 * long as the slowest call. */
static void leave(struct node *node)
{
    if (node->turns != NULL) {
        driver_ask_to_leave(node->replica->driver);
        poll_until(node, has_left, clock_monotonic_ns(node->clock) + LEAVE_NS_MAX);
    }
}

void node_close(struct node *node)
{
    if (node == NULL) {
        return;
    }
    backups_stop(node->backups);
    leave(node);
    rpc_server_close(node->server, DRAIN_MS);
    turns_stop(node->turns);
    peers_close(node->peers);
    replica_stop_pull(node->replica);
    snapshot_link_rpc_close(node->link);
    if (node->replica != NULL) {
        replica_end_snapshots(node->replica); /* it owes answers on the peers' loop */
    }
    rpc_loop_close(node->peer_loop);
    incarnations_close(node->incarnations);
    if (node->replica != NULL) {
        replica_end_driver(node->replica);
        apply_thread_stop(node->apply_thread);
        replica_end_applier(node->replica); /* who waits for a flush that cannot be is told */
    }
    backups_close(node->backups);
    poll_until(node, have_requests_ended, UINT64_MAX); /* they see that they were cancelled */
    executor_close(node->readers);
    rpc_loop_close(node->loop);
    metrics_file_stop(node->metrics);
    replica_close(node->replica);
    snapshot_link_rpc_free(node->link);
    alloc_free(node->alloc, node);
}

const char *node_verifier_key(const struct node *node)
{
    return signer_verifier_key(node->replica->signer);
}
