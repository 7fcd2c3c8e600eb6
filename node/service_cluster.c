/* SPDX-License-Identifier: Apache-2.0
 *
 * The Cluster service: what this node knows of itself and of the others.
 */
#include <stdio.h>
#include <unistd.h>

#include "base/check.h"
#include "base/version.h"
#include "node/service.h"
#include "schema/cluster.pb-c.h"

/* Resident bytes of this process, 0 if the system does not say. */
static uint64_t resident_bytes(void)
{
    char text[128];
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL) {
        return 0;
    }
    char *read = fgets(text, sizeof text, file);
    (void)fclose(file);
    /* "total resident ...", in pages. */
    const char *resident = read == NULL ? NULL : strchr(text, ' ');
    return resident == NULL ? 0 : strtoull(resident, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}

static const struct member *self_of(const struct service *service,
                                    const struct driver_status *status)
{
    return members_named(&status->members, service->config->node_id);
}

static Estreat__V1__Role role_of(const struct service *service, const struct driver_status *status)
{
    const struct member *self = self_of(service, status);
    if (self == NULL || !self->voter) {
        return ESTREAT__V1__ROLE__ROLE_LEARNER;
    }
    switch (status->raft.role) {
    case RAFT_LEADER:
        return ESTREAT__V1__ROLE__ROLE_LEADER;
    case RAFT_CANDIDATE:
    case RAFT_PRE_CANDIDATE:
        return ESTREAT__V1__ROLE__ROLE_CANDIDATE;
    case RAFT_FOLLOWER:
        break;
    }
    return ESTREAT__V1__ROLE__ROLE_FOLLOWER;
}

static char *text_of(const char *text)
{
    return (char *)(uintptr_t)text; /* protobuf-c's structs are not const; packing only reads */
}

/* What a response points at. */
struct member_rows {
    Estreat__V1__Member of[RAFT_PEERS_MAX];
    Estreat__V1__Applied applied[RAFT_PEERS_MAX];
    Estreat__V1__Member *pointers[RAFT_PEERS_MAX];
};

static void fill_members(const struct driver_status *status, const struct applied_point *own,
                         struct member_rows *rows, Estreat__V1__StatusResponse *response)
{
    bool leads = status->raft.role == RAFT_LEADER;
    for (size_t i = 0; i < status->members.count; i++) {
        const struct member *member = &status->members.of[i];
        if (member->leaving) {
            continue;
        }
        Estreat__V1__Member *out = &rows->of[response->n_members];
        estreat__v1__member__init(out);
        out->id = text_of(member->at.id);
        out->client_endpoint = text_of(member->at.client);
        out->peer_endpoint = text_of(member->at.peer);
        out->learner = !member->voter;
        for (size_t j = 0; j < status->peer_count && leads; j++) {
            if (status->peers[j].id == member->raft_id) {
                out->match_index = status->peers[j].match;
            }
        }
        const struct applied_point *applied =
            member->raft_id == status->raft.id
                ? own
                : member_points_find(&status->points, member->raft_id);
        if (leads && applied != NULL) {
            out->applied = &rows->applied[response->n_members];
            estreat__v1__applied__init(out->applied);
            peer_applied(applied, out->applied);
        }
        if (member->raft_id == status->raft.leader) {
            response->leader_id = out->id;
        }
        rows->pointers[response->n_members++] = out;
    }
    response->members = rows->pointers;
}

/* What is damaged here, which both the log and the tables may be. False: nothing is known to be. */
static bool tell_faults(struct service *service, const struct raft_status *raft, char *out,
                        size_t out_bytes)
{
    struct error err = ERROR_INIT;
    char fault[FAULT_TEXT_BYTES];
    const char *tables = NULL;
    if (engine_background_error(service->engine, &err) != STATUS_OK) {
        tables = err.text;
    } else if (fault_get(service->fault, fault)) {
        tables = fault;
    }
    char log[96] = "";
    if (raft->refill_index != 0) {
        (void)snprintf(log, sizeof log, "log fault: refilling, %llu of %llu entries%s",
                       (unsigned long long)raft->stored_index,
                       (unsigned long long)raft->refill_index, tables != NULL ? "; " : "");
    }
    (void)snprintf(out, out_bytes, "%s%s%s", log, tables != NULL ? "fault: " : "",
                   tables != NULL ? tables : "");
    return out[0] != '\0';
}

static void tell_state(struct service *service, const struct driver_status *now,
                       const struct applied_point *applied, char *out, size_t out_bytes)
{
    struct snapshot_progress progress;
    if (tell_faults(service, &now->raft, out, out_bytes)) {
        return;
    }
    if (snapshot_pull_progress(service->pull, &progress)) {
        (void)snprintf(out, out_bytes, "%s snapshot: %u %%",
                       progress.verifying ? "verifying" : "installing", progress.percent);
    } else if (self_of(service, now) == NULL) {
        (void)snprintf(out, out_bytes, "%s",
                       now->members.count == 0 ? "waits to be added" : "removed");
    } else {
        (void)snprintf(out, out_bytes, "%s",
                       applied->index < now->raft.commit ? "catching-up" : "ok");
    }
}

static void status(void *context, struct rpc_server_call *call, const ProtobufCMessage *message)
{
    struct service *service = context;
    struct driver_status now;
    struct member_rows rows;
    Estreat__V1__StatusResponse response = ESTREAT__V1__STATUS_RESPONSE__INIT;
    (void)message;
    driver_status(service->driver, &now);
    struct applied_point applied = applied_get(service->applied);
    char state[ERROR_TEXT_BYTES + 128]; /* a fault of the tables, behind one of the log */
    tell_state(service, &now, &applied, state, sizeof state);
    response.cluster = text_of(service->config->cluster);
    response.node_id = text_of(service->config->node_id);
    response.role = role_of(service, &now);
    response.term = now.raft.hard_state.term;
    response.size = applied.size;
    response.applied_index = applied.index;
    response.applied_bytes = applied.log_bytes;
    response.applied_time_ns = applied.time_ns;
    response.commit_index = now.raft.commit;
    response.last_index = now.raft.last_index;
    response.fdatasync_p50_ns = driver_fdatasync_p50_ns(service->driver);
    response.rss_bytes = resident_bytes();
    response.state = state;
    response.version = text_of(ESTREAT_VERSION);
    response.verifier_key = text_of(signer_verifier_key(service->signer));
    fill_members(&now, &applied, &rows, &response);
    rpc_call_reply(call, &response.base);
}

/* ---- changes ------------------------------------------------------------------------------- */

struct change {
    struct admin_request request; /* first */
    struct alloc *alloc;
    struct rpc_server_call *call;
};

static void on_changed(struct admin_request *request, const struct append_failure *failure)
{
    struct change *change = (struct change *)request;
    Estreat__V1__ChangeResponse response = ESTREAT__V1__CHANGE_RESPONSE__INIT;
    struct rpc_metadata pair = {.name = RPC_METADATA_LEADER_ENDPOINT};
    struct rpc_metadata_list metadata = {.pairs = &pair, .count = 0};
    if (failure == NULL) {
        rpc_call_reply(change->call, &response.base);
    } else {
        if (failure->leader_endpoint != NULL) {
            pair.value = slice_of_string(failure->leader_endpoint);
            metadata.count = 1;
        }
        rpc_call_fail_with(change->call, failure->status, failure->text, metadata);
    }
    alloc_free(change->alloc, change);
}

static bool is_id(const char *id)
{
    size_t length = strlen(id);
    return length > 0 && length <= NODE_ID_BYTES_MAX && config_is_name(id);
}

static bool is_endpoint(const char *endpoint)
{
    return strlen(endpoint) <= ENDPOINT_BYTES_MAX && config_is_endpoint(endpoint);
}

/* Hands a change to the driver; `member` is copied. */
static void ask(struct service *service, struct rpc_server_call *call, enum admin_kind kind,
                const char *id, const char *client, const char *peer)
{
    if (!is_id(id) && !(kind == ADMIN_TRANSFER && id[0] == '\0')) {
        rpc_call_fail(call, STATUS_INVALID_ARGUMENT,
                      "a member's id has 1 to 64 letters, digits, - _ .");
        return;
    }
    if (kind == ADMIN_ADD && (!is_endpoint(client) || !is_endpoint(peer))) {
        rpc_call_fail(call, STATUS_INVALID_ARGUMENT,
                      "a member needs a client and a peer endpoint, each HOST:PORT");
        return;
    }
    struct change *change = alloc_zeroed(service->alloc, 1, sizeof *change);
    if (change == NULL) {
        rpc_call_fail(call, STATUS_RESOURCE_EXHAUSTED, "no memory for the request");
        return;
    }
    change->alloc = service->alloc;
    change->call = call;
    change->request.kind = kind;
    change->request.done = on_changed;
    uint64_t latest = clock_monotonic_ns(service->clock) + DEADLINE_DEFAULT_MS * NS_PER_MS;
    uint64_t asked = rpc_call_deadline_ns(call);
    change->request.deadline_ns = asked < latest ? asked : latest;
    struct config_member *member = &change->request.member;
    (void)snprintf(member->id, sizeof member->id, "%s", id);
    (void)snprintf(member->client, sizeof member->client, "%s", client);
    (void)snprintf(member->peer, sizeof member->peer, "%s", peer);
    driver_admin(service->driver, &change->request);
}

static void add_member(void *context, struct rpc_server_call *call, const ProtobufCMessage *message)
{
    const Estreat__V1__AddMemberRequest *request = (const void *)message;
    ask(context, call, ADMIN_ADD, request->id, request->client_endpoint, request->peer_endpoint);
}

static void promote_member(void *context, struct rpc_server_call *call,
                           const ProtobufCMessage *message)
{
    ask(context, call, ADMIN_PROMOTE,
        ((const Estreat__V1__PromoteMemberRequest *)(const void *)message)->id, "", "");
}

static void remove_member(void *context, struct rpc_server_call *call,
                          const ProtobufCMessage *message)
{
    ask(context, call, ADMIN_REMOVE,
        ((const Estreat__V1__RemoveMemberRequest *)(const void *)message)->id, "", "");
}

static void transfer(void *context, struct rpc_server_call *call, const ProtobufCMessage *message)
{
    ask(context, call, ADMIN_TRANSFER,
        ((const Estreat__V1__TransferRequest *)(const void *)message)->id, "", "");
}

/* ---- backups -------------------------------------------------------------------------------- */

static void backup(void *context, struct rpc_server_call *call, const ProtobufCMessage *message)
{
    struct service *service = context;
    const Estreat__V1__BackupRequest *request = (const void *)message;
    Estreat__V1__BackupResponse response = ESTREAT__V1__BACKUP_RESPONSE__INIT;
    struct backups_state state;
    struct error err = ERROR_INIT;
    if (service->backups == NULL) {
        rpc_call_fail(call, STATUS_FAILED_PRECONDITION,
                      "this node makes no backups: its configuration has no [backup] dir");
        return;
    }
    if (request->begin && backups_begin(service->backups, request->full, &err) != STATUS_OK) {
        rpc_call_fail(call, err.status, err.text);
        return;
    }
    backups_look(service->backups, &state);
    response.since_ns = state.since_ns;
    response.runs = state.runs;
    response.running = state.running;
    response.done_bytes = state.bytes;
    response.total_bytes = state.bytes_all;
    response.status = (uint32_t)state.status;
    response.failure = state.text;
    response.made_at_ns = state.made_at_ns;
    response.number = state.made.number;
    response.events = state.events;
    response.tables = state.made.tables;
    response.bytes = state.made.bytes;
    response.copied_bytes = state.made.bytes_copied;
    response.removed = state.made.removed;
    rpc_call_reply(call, &response.base);
}

enum status service_cluster_register(struct service *service, struct rpc_server *server,
                                     struct error *err)
{
    const rpc_handler_fn handlers[] = {status,        add_member, promote_member,
                                       remove_member, transfer,   backup};
    CHECK(sizeof handlers / sizeof handlers[0] == estreat__v1__cluster__descriptor.n_methods);
    return rpc_server_register(server, &estreat__v1__cluster__descriptor, handlers, service, err);
}
