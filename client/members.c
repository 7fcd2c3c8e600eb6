/* SPDX-License-Identifier: Apache-2.0 */
#include "client/members.h"

#include "base/check.h"
#include "schema/cluster.pb-c.h"

static void keep_text(char out[ESTREAT_NAME_BYTES], const char *text)
{
    (void)snprintf(out, ESTREAT_NAME_BYTES, "%s", text);
}

static const Estreat__V1__StatusResponse *answer_of(const struct member *member)
{
    return member->answered ? (const Estreat__V1__StatusResponse *)member->reply.message : NULL;
}

static void *ask_one(void *context)
{
    struct member *member = context;
    Estreat__V1__StatusRequest request = ESTREAT__V1__STATUS_REQUEST__INIT;
    const struct client_query query = {
        .service = &estreat__v1__cluster__descriptor,
        .method = 0,
        .request = &request.base,
        .timeout_ms = member->timeout_ms,
    };
    /* A second try, since the first may have met a channel that pauses after a failure. */
    enum status status =
        client_ask_endpoint(member->client, member->route, &query, 2, &member->reply, &member->err);
    member->answered = status == STATUS_OK;
    if (member->answered) {
        keep_text(member->id, answer_of(member)->node_id);
    }
    return NULL;
}

static struct member *add(struct members *members, struct estreat_client *client,
                          uint32_t timeout_ms, const char *endpoint)
{
    CHECK(members->count < MEMBERS_ASKED_MAX);
    struct member *member = &members->list[members->count++];
    *member = (struct member){.client = client, .timeout_ms = timeout_ms};
    rpc_arena_init(&member->reply.arena, members->alloc, 4096, 4096);
    keep_text(member->endpoint, endpoint);
    return member;
}

/* Asks [begin, count), each on a thread of its own, and waits for all. */
static void ask_from(struct members *members, unsigned begin)
{
    for (unsigned i = begin; i < members->count; i++) {
        struct member *member = &members->list[i];
        if (!member->has_route) {
            (void)error_set(&member->err, STATUS_UNAVAILABLE, "no endpoint of it is known");
            continue;
        }
        member->started = thread_start(&member->thread, "estreat-ask", ask_one, member);
        if (!member->started) {
            (void)ask_one(member);
        }
    }
    for (unsigned i = begin; i < members->count; i++) {
        if (members->list[i].started) {
            thread_join(members->list[i].thread);
        }
    }
}

/* Whether somebody says that another node than this one is at its endpoint. A node may say of
 * itself what it likes: it must not pass for a second endpoint of another. */
static bool is_named_otherwise(const struct members *members, const struct member *member)
{
    for (unsigned i = 0; i < members->count; i++) {
        const Estreat__V1__StatusResponse *response = answer_of(&members->list[i]);
        for (size_t j = 0; response != NULL && j < response->n_members; j++) {
            if (strcmp(response->members[j]->client_endpoint, member->endpoint) == 0 &&
                strcmp(response->members[j]->id, member->id) != 0) {
                return true;
            }
        }
    }
    return false;
}

/* Whether the node that others name is in the list already, under this or another endpoint. */
static bool is_known(const struct members *members, const Estreat__V1__Member *named)
{
    for (unsigned i = 0; i < members->count; i++) {
        const struct member *member = &members->list[i];
        if ((member->answered && strcmp(member->endpoint, named->client_endpoint) == 0) ||
            (strcmp(member->id, named->id) == 0 && !is_named_otherwise(members, member))) {
            return true;
        }
    }
    return false;
}

/* An endpoint that did not answer gets the id that others give to it. */
static bool name_silent(struct members *members, const char *id, const char *endpoint)
{
    for (unsigned i = 0; i < members->count; i++) {
        struct member *member = &members->list[i];
        if (!member->answered && member->id[0] == '\0' && endpoint[0] != '\0' &&
            strcmp(member->endpoint, endpoint) == 0) {
            keep_text(member->id, id);
            return true;
        }
    }
    return false;
}

static void add_named(struct members *members, struct estreat_client *client, uint32_t timeout_ms,
                      const Estreat__V1__StatusResponse *response)
{
    for (size_t i = 0; i < response->n_members; i++) {
        const Estreat__V1__Member *named = response->members[i];
        if (is_known(members, named) || members->count == MEMBERS_ASKED_MAX ||
            name_silent(members, named->id, named->client_endpoint)) {
            continue;
        }
        struct member *member = add(members, client, timeout_ms, named->client_endpoint);
        keep_text(member->id, named->id);
        member->has_route = router_find(&client->router, named->client_endpoint, &member->route);
    }
}

static bool are_one_node(const struct members *members, const struct member *a,
                         const struct member *b)
{
    return a->answered && b->answered && strcmp(a->id, b->id) == 0 &&
           strcmp(answer_of(a)->cluster, answer_of(b)->cluster) == 0 &&
           !is_named_otherwise(members, a) && !is_named_otherwise(members, b);
}

/* Two endpoints of one node are one row. */
static void drop_repeated(struct members *members)
{
    for (unsigned i = 1; i < members->count; i++) {
        for (unsigned j = 0; j < i; j++) {
            if (are_one_node(members, &members->list[i], &members->list[j])) {
                rpc_reply_release(&members->list[i].reply);
                members->count--;
                memmove(&members->list[i], &members->list[i + 1],
                        (members->count - i) * sizeof members->list[0]);
                i--;
                break;
            }
        }
    }
}

enum status members_ask(struct estreat_client *client, uint32_t timeout_ms, struct members *out,
                        struct error *err)
{
    struct members members = {.alloc = client->alloc};
    members.list = alloc_zeroed(client->alloc, MEMBERS_ASKED_MAX, sizeof members.list[0]);
    if (members.list == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for the members");
    }
    for (unsigned i = 0; i < router_given(&client->router); i++) {
        struct member *member = add(&members, client, timeout_ms, router_name(&client->router, i));
        member->route = i;
        member->has_route = true;
    }
    ask_from(&members, 0);
    drop_repeated(&members);
    unsigned asked = members.count;
    for (unsigned i = 0; i < asked; i++) {
        if (answer_of(&members.list[i]) != NULL) {
            add_named(&members, client, timeout_ms, answer_of(&members.list[i]));
        }
    }
    ask_from(&members, asked);
    drop_repeated(&members);
    *out = members;
    return STATUS_OK;
}

enum status members_check_one_cluster(const struct members *members, struct error *err)
{
    const struct member *first = NULL;
    for (unsigned i = 0; i < members->count; i++) {
        const struct member *member = &members->list[i];
        if (!member->answered) {
            enum status status = member->has_route ? router_check_cluster(&member->client->router,
                                                                          member->route, err)
                                                   : STATUS_OK;
            if (status != STATUS_OK) {
                return status;
            }
            continue;
        }
        if (first == NULL) {
            first = member;
        }
        const char *mine = answer_of(member)->cluster;
        const char *other = answer_of(first)->cluster;
        if (strcmp(mine, other) != 0) {
            return error_set(err, STATUS_FAILED_PRECONDITION,
                             "%.100s belongs to cluster '%.100s', and %.100s to '%.100s'",
                             first->endpoint, other, member->endpoint, mine);
        }
    }
    return STATUS_OK;
}

void members_release(struct members *members)
{
    for (unsigned i = 0; i < members->count; i++) {
        rpc_reply_release(&members->list[i].reply);
    }
    alloc_free(members->alloc, members->list);
    members->list = NULL;
    members->count = 0;
}
