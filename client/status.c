/* SPDX-License-Identifier: Apache-2.0 */
#include "client/members.h"
#include "schema/cluster.pb-c.h"

static const char *role_name(Estreat__V1__Role role)
{
    switch (role) {
    case ESTREAT__V1__ROLE__ROLE_FOLLOWER:
        return "follower";
    case ESTREAT__V1__ROLE__ROLE_CANDIDATE:
        return "candidate";
    case ESTREAT__V1__ROLE__ROLE_LEADER:
        return "leader";
    case ESTREAT__V1__ROLE__ROLE_LEARNER:
        return "learner";
    default:
        return "unknown";
    }
}

static void fill_node(const struct member *member, struct estreat_node_status *out)
{
    *out =
        (struct estreat_node_status){.answered = member->answered, .lag_known = member->answered};
    memcpy(out->id, member->id, sizeof out->id);
    memcpy(out->endpoint, member->endpoint, sizeof out->endpoint);
    if (!member->answered) {
        (void)snprintf(out->state, sizeof out->state, "unreachable: %.200s", member->err.text);
        return;
    }
    const Estreat__V1__StatusResponse *response =
        (const Estreat__V1__StatusResponse *)member->reply.message;
    (void)snprintf(out->role, sizeof out->role, "%s", role_name(response->role));
    (void)snprintf(out->state, sizeof out->state, "%s", response->state);
    (void)snprintf(out->leader_id, sizeof out->leader_id, "%s", response->leader_id);
    (void)snprintf(out->version, sizeof out->version, "%s", response->version);
    (void)snprintf(out->verifier_key, sizeof out->verifier_key, "%s", response->verifier_key);
    out->term = response->term;
    out->size = response->size;
    out->applied_index = response->applied_index;
    out->commit_index = response->commit_index;
    out->applied_bytes = response->applied_bytes;
    out->applied_time_ns = response->applied_time_ns;
    out->fdatasync_p50_ns = response->fdatasync_p50_ns;
    out->rss_bytes = response->rss_bytes;
}

/* What the leader was last told by one that does not answer. */
static void fill_from_leader(const Estreat__V1__StatusResponse *leader,
                             struct estreat_node_status *node)
{
    for (size_t i = 0; i < leader->n_members; i++) {
        const Estreat__V1__Member *member = leader->members[i];
        if (member->applied != NULL && strcmp(member->id, node->id) == 0) {
            node->lag_known = true;
            node->size = member->applied->size;
            node->applied_index = member->applied->index;
            node->applied_bytes = member->applied->bytes;
            node->applied_time_ns = member->applied->time_ns;
        }
    }
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void measure_lag(struct estreat_status *status)
{
    uint64_t entries = 0;
    uint64_t bytes = 0;
    uint64_t time_ns = 0;
    for (size_t i = 0; i < status->node_count; i++) {
        const struct estreat_node_status *node = &status->nodes[i];
        status->size = larger(status->size, node->size);
        entries = larger(entries, node->applied_index);
        bytes = larger(bytes, node->applied_bytes);
        time_ns = larger(time_ns, node->applied_time_ns);
    }
    for (size_t i = 0; i < status->node_count; i++) {
        struct estreat_node_status *node = &status->nodes[i];
        if (!node->lag_known) {
            continue;
        }
        node->lag = status->size - node->size;
        node->lag_entries = entries - node->applied_index;
        node->lag_bytes = bytes - node->applied_bytes;
        node->lag_ns = node->applied_time_ns == 0 && time_ns > 0 ? UINT64_MAX
                                                                 : time_ns - node->applied_time_ns;
    }
}

/* What the nodes say together. A leader of an old term may not know yet that it was replaced, so
 * the highest term speaks. */
static void summarize(const struct members *members, struct estreat_status *status)
{
    bool leader_found = false;
    for (size_t i = 0; i < status->node_count; i++) {
        const struct estreat_node_status *node = &status->nodes[i];
        if (!node->answered) {
            continue;
        }
        if (status->cluster[0] == '\0') {
            (void)snprintf(
                status->cluster, sizeof status->cluster, "%s",
                ((const Estreat__V1__StatusResponse *)members->list[i].reply.message)->cluster);
        }
        if (node->term > status->term) {
            status->term = node->term;
            status->leader_id[0] = '\0';
            leader_found = false;
        }
        bool leads = strcmp(node->role, "leader") == 0;
        if (node->term == status->term && (leads || !leader_found) &&
            (leads || node->leader_id[0] != '\0')) {
            memcpy(status->leader_id, leads ? node->id : node->leader_id, sizeof status->leader_id);
            leader_found = leads;
        }
    }
    const Estreat__V1__StatusResponse *leader = NULL;
    for (size_t i = 0; i < status->node_count && leader_found; i++) {
        if (status->nodes[i].answered && strcmp(status->nodes[i].id, status->leader_id) == 0) {
            leader = (const Estreat__V1__StatusResponse *)members->list[i].reply.message;
            status->fdatasync_p50_ns = leader->fdatasync_p50_ns;
        }
    }
    for (size_t i = 0; i < status->node_count && leader != NULL; i++) {
        if (!status->nodes[i].answered) {
            fill_from_leader(leader, &status->nodes[i]);
        }
    }
    measure_lag(status);
}

static enum status first_failure(const struct members *members, struct error *err)
{
    const struct error *first = &members->list[0].err;
    if (members->count == 1) {
        *err = *first;
        return first->status;
    }
    (void)error_set(err, STATUS_UNAVAILABLE, "none of %u nodes answers; %s", members->count,
                    first->text);
    return err->status;
}

static enum status make_status(const struct members *members, struct alloc *alloc,
                               struct estreat_status **out, struct error *err)
{
    bool answered = false;
    struct estreat_status *status = alloc_zeroed(alloc, 1, sizeof *status);
    struct estreat_node_status *nodes =
        alloc_zeroed(alloc, members->count, sizeof(struct estreat_node_status));
    if (status == NULL || nodes == NULL) {
        alloc_free(alloc, status);
        alloc_free(alloc, nodes);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for the status");
    }
    for (unsigned i = 0; i < members->count; i++) {
        fill_node(&members->list[i], &nodes[i]);
        answered = answered || nodes[i].answered;
    }
    status->nodes = nodes;
    status->node_count = members->count;
    if (!answered) {
        estreat_status_free(status);
        return first_failure(members, err);
    }
    summarize(members, status);
    *out = status;
    return STATUS_OK;
}

enum estreat_code estreat_status(struct estreat_client *client, uint32_t timeout_ms,
                                 struct estreat_status **out, struct estreat_error *error)
{
    struct error err = ERROR_INIT;
    struct members members;
    enum status status = members_ask(client, timeout_ms, &members, &err);
    if (status == STATUS_OK) {
        status = members_check_one_cluster(&members, &err);
        if (status == STATUS_OK) {
            status = make_status(&members, client->alloc, out, &err);
        }
        members_release(&members);
    }
    return client_answer(status, &err, error);
}

void estreat_status_free(struct estreat_status *status)
{
    if (status != NULL) {
        alloc_free(alloc_default(), status->nodes);
        alloc_free(alloc_default(), status);
    }
}
