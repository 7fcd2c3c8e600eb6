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

static Estreat__V1__Role role_of(enum raft_role role)
{
    switch (role) {
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

static void fill_members(struct service *service, const struct driver_status *status,
                         Estreat__V1__Member *members, Estreat__V1__Member **pointers,
                         Estreat__V1__StatusResponse *response)
{
    const struct config *config = service->config;
    for (unsigned i = 0; i < config->member_count; i++) {
        estreat__v1__member__init(&members[i]);
        members[i].id = text_of(config->members[i].id);
        members[i].client_endpoint = text_of(config->members[i].client);
        members[i].peer_endpoint = text_of(config->members[i].peer);
        for (size_t j = 0; j < status->peer_count && status->raft.role == RAFT_LEADER; j++) {
            if (status->peers[j].id == config_raft_id(config, i)) {
                members[i].match_index = status->peers[j].match;
            }
        }
        if (config_raft_id(config, i) == status->raft.leader) {
            response->leader_id = members[i].id;
        }
        pointers[i] = &members[i];
    }
    response->n_members = config->member_count;
    response->members = pointers;
}

static void status(void *context, struct rpc_server_call *call, const ProtobufCMessage *message)
{
    struct service *service = context;
    struct driver_status now;
    struct error err = ERROR_INIT;
    Estreat__V1__Member members[MEMBERS_MAX];
    Estreat__V1__Member *pointers[MEMBERS_MAX];
    Estreat__V1__StatusResponse response = ESTREAT__V1__STATUS_RESPONSE__INIT;
    (void)message;
    driver_status(service->driver, &now);
    struct applied_point applied = applied_get(service->applied);
    char state[ERROR_TEXT_BYTES + 16] = "ok";
    char fault[FAULT_TEXT_BYTES];
    if (engine_background_error(service->engine, &err) != STATUS_OK) {
        (void)snprintf(state, sizeof state, "fault: %s", err.text);
    } else if (fault_get(service->fault, fault)) {
        (void)snprintf(state, sizeof state, "fault: %s", fault);
    } else if (applied.index < now.raft.commit) {
        (void)snprintf(state, sizeof state, "catching-up");
    }
    response.cluster = text_of(service->config->cluster);
    response.node_id = text_of(service->config->node_id);
    response.role = role_of(now.raft.role);
    response.term = now.raft.hard_state.term;
    response.size = applied.size;
    response.applied_index = applied.index;
    response.commit_index = now.raft.commit;
    response.last_index = now.raft.last_index;
    response.fdatasync_p50_ns = driver_fdatasync_p50_ns(service->driver);
    response.rss_bytes = resident_bytes();
    response.state = state;
    response.version = text_of(ESTREAT_VERSION);
    response.verifier_key = text_of(signer_verifier_key(service->signer));
    fill_members(service, &now, members, pointers, &response);
    rpc_call_reply(call, &response.base);
}

enum status service_cluster_register(struct service *service, struct rpc_server *server,
                                     struct error *err)
{
    const rpc_handler_fn handlers[] = {status};
    CHECK(sizeof handlers / sizeof handlers[0] == estreat__v1__cluster__descriptor.n_methods);
    return rpc_server_register(server, &estreat__v1__cluster__descriptor, handlers, service, err);
}
