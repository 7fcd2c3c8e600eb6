/* SPDX-License-Identifier: Apache-2.0
 *
 * The membership and who leads: asked for, and changed at the leader.
 */
#include <stdlib.h>

#include "client/members.h"
#include "schema/cluster.pb-c.h"

/* Methods in the order of schema/cluster.proto. */
enum {
    CLUSTER_ADD_MEMBER = 1,
    CLUSTER_PROMOTE_MEMBER = 2,
    CLUSTER_REMOVE_MEMBER = 3,
    CLUSTER_TRANSFER = 4
};

_Static_assert(sizeof((struct estreat_member_list *)0)->members / sizeof(struct estreat_member) >=
                   MEMBERS_MAX,
               "room for all members");

/* ---- the list ------------------------------------------------------------------------------ */

/* The leader of the highest term knows best; without one, whoever has committed most. */
static const Estreat__V1__StatusResponse *best_answer(const struct members *members)
{
    const Estreat__V1__StatusResponse *best = NULL;
    for (unsigned i = 0; i < members->count; i++) {
        const struct member *member = &members->list[i];
        if (!member->answered) {
            continue;
        }
        const Estreat__V1__StatusResponse *now = (const void *)member->reply.message;
        bool leads = now->role == ESTREAT__V1__ROLE__ROLE_LEADER;
        bool best_leads = best != NULL && best->role == ESTREAT__V1__ROLE__ROLE_LEADER;
        if (best == NULL || (leads && !best_leads) ||
            (leads == best_leads &&
             (leads ? now->term > best->term : now->commit_index > best->commit_index))) {
            best = now;
        }
    }
    return best;
}

static int by_id(const void *a, const void *b)
{
    const struct estreat_member *left = a;
    const struct estreat_member *right = b;
    return strcmp(left->id, right->id);
}

static void fill_list(const Estreat__V1__StatusResponse *from, struct estreat_member_list *out)
{
    *out = (struct estreat_member_list){.count = 0};
    for (size_t i = 0; i < from->n_members && i < MEMBERS_MAX; i++) {
        const Estreat__V1__Member *named = from->members[i];
        struct estreat_member *member = &out->members[out->count++];
        (void)snprintf(member->id, sizeof member->id, "%s", named->id);
        (void)snprintf(member->endpoint, sizeof member->endpoint, "%s", named->client_endpoint);
        (void)snprintf(member->peer_endpoint, sizeof member->peer_endpoint, "%s",
                       named->peer_endpoint);
        member->voter = !named->learner;
        member->leads = strcmp(named->id, from->leader_id) == 0;
        member->match_index = named->match_index;
    }
    qsort(out->members, out->count, sizeof out->members[0], by_id);
}

enum estreat_code estreat_members(struct estreat_client *client, uint32_t timeout_ms,
                                  struct estreat_member_list *out, struct estreat_error *error)
{
    struct error err = ERROR_INIT;
    struct members members;
    enum status status = members_ask(client, timeout_ms, &members, &err);
    if (status == STATUS_OK) {
        status = members_check_one_cluster(&members, &err);
        const Estreat__V1__StatusResponse *best = best_answer(&members);
        if (status == STATUS_OK && best == NULL) {
            status = error_set(&err, STATUS_UNAVAILABLE, "none of %u nodes answers; %s",
                               members.count, members.list[0].err.text);
        }
        if (status == STATUS_OK) {
            fill_list(best, out);
        }
        members_release(&members);
    }
    return client_answer(status, &err, error);
}

/* ---- changes ------------------------------------------------------------------------------- */

static char *text_of(const char *text)
{
    return (char *)(uintptr_t)(text == NULL ? "" : text); /* packing only reads */
}

static enum estreat_code ask_leader(struct estreat_client *client, unsigned method,
                                    const ProtobufCMessage *request, uint32_t timeout_ms,
                                    struct estreat_error *error)
{
    struct error err = ERROR_INIT;
    struct rpc_reply reply;
    const struct client_query query = {
        .service = &estreat__v1__cluster__descriptor,
        .method = method,
        .request = request,
        .timeout_ms = timeout_ms,
        .leader = true,
    };
    enum status status = client_ask(client, &query, &reply, &err);
    rpc_reply_release(&reply);
    return client_answer(status, &err, error);
}

enum estreat_code estreat_member_add(struct estreat_client *client, const char *id,
                                     const char *endpoint, const char *peer_endpoint,
                                     uint32_t timeout_ms, struct estreat_error *error)
{
    Estreat__V1__AddMemberRequest request = ESTREAT__V1__ADD_MEMBER_REQUEST__INIT;
    request.id = text_of(id);
    request.client_endpoint = text_of(endpoint);
    request.peer_endpoint = text_of(peer_endpoint);
    return ask_leader(client, CLUSTER_ADD_MEMBER, &request.base, timeout_ms, error);
}

enum estreat_code estreat_member_promote(struct estreat_client *client, const char *id,
                                         uint32_t timeout_ms, struct estreat_error *error)
{
    Estreat__V1__PromoteMemberRequest request = ESTREAT__V1__PROMOTE_MEMBER_REQUEST__INIT;
    request.id = text_of(id);
    return ask_leader(client, CLUSTER_PROMOTE_MEMBER, &request.base, timeout_ms, error);
}

enum estreat_code estreat_member_remove(struct estreat_client *client, const char *id,
                                        uint32_t timeout_ms, struct estreat_error *error)
{
    Estreat__V1__RemoveMemberRequest request = ESTREAT__V1__REMOVE_MEMBER_REQUEST__INIT;
    request.id = text_of(id);
    return ask_leader(client, CLUSTER_REMOVE_MEMBER, &request.base, timeout_ms, error);
}

enum estreat_code estreat_transfer(struct estreat_client *client, const char *id,
                                   uint32_t timeout_ms, struct estreat_error *error)
{
    Estreat__V1__TransferRequest request = ESTREAT__V1__TRANSFER_REQUEST__INIT;
    request.id = text_of(id);
    return ask_leader(client, CLUSTER_TRANSFER, &request.base, timeout_ms, error);
}
