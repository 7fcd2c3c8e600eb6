/* SPDX-License-Identifier: Apache-2.0 */
#include "client/audit.h"

#include "base/check.h"
#include "schema/audit.pb-c.h"
#include "schema/cluster.pb-c.h"

/* Methods in the order of schema/audit.proto. */
enum { AUDIT_ROOT = 0 };

const char *estreat_verdict_name(enum estreat_verdict verdict)
{
    static const char *const names[] = {"CONSISTENT", "DIVERGENT", "INCONCLUSIVE"};
    return (unsigned)verdict < sizeof names / sizeof names[0] ? names[verdict] : "UNKNOWN";
}

/* --- what the steps share ----------------------------------------------------------------- */

void audit_each(struct audit *audit, void *(*step)(void *node))
{
    for (unsigned i = 0; i < audit->count; i++) {
        struct audit_node *node = &audit->nodes[i];
        node->started = false;
        if (node->asked) {
            node->started = thread_start(&node->thread, "estreat-audit", step, node);
            if (!node->started) {
                (void)step(node);
            }
        }
    }
    for (unsigned i = 0; i < audit->count; i++) {
        if (audit->nodes[i].started) {
            thread_join(audit->nodes[i].thread);
        }
    }
}

void audit_verdict(struct audit_node *node, enum estreat_verdict verdict, const char *cause)
{
    static const int ranks[] = {
        [ESTREAT_CONSISTENT] = 0, [ESTREAT_INCONCLUSIVE] = 1, [ESTREAT_DIVERGENT] = 2};
    if (ranks[verdict] > ranks[node->row.verdict]) {
        node->row.verdict = verdict;
        (void)snprintf(node->row.cause, sizeof node->row.cause, "%s", cause);
    }
}

void audit_range(struct audit_node *node, uint64_t begin, uint64_t end)
{
    struct estreat_node_audit *row = &node->row;
    CHECK(row->ranges != NULL);
    struct estreat_range *last = row->range_count > 0 ? &row->ranges[row->range_count - 1] : NULL;
    if (last != NULL && begin >= last->begin &&
        (begin <= last->end || row->range_count == AUDIT_RANGES_MAX)) {
        last->end = last->end > end ? last->end : end;
        return;
    }
    if (row->range_count < AUDIT_RANGES_MAX) {
        row->ranges[row->range_count++] = (struct estreat_range){.begin = begin, .end = end};
    }
}

bool audit_ask(struct audit_node *node, const struct client_query *query, struct rpc_reply *reply)
{
    struct error err = ERROR_INIT;
    enum status status =
        client_ask_endpoint(node->audit->client, node->route, query, 3, reply, &err);
    if (status == STATUS_OK) {
        return true;
    }
    audit_verdict(node, status == STATUS_DATA_LOSS ? ESTREAT_DIVERGENT : ESTREAT_INCONCLUSIVE,
                  err.text);
    node->asked = false;
    return false;
}

/* --- roots -------------------------------------------------------------------------------- */

static void take_root(struct audit_node *node, const Estreat__V1__RootResponse *response,
                      uint64_t size)
{
    if (response->size != size ||
        !hash_from_slice(slice_of(response->root.data, response->root.len), &node->root)) {
        audit_verdict(node, ESTREAT_INCONCLUSIVE, "it sent a root that is not what was asked for");
        node->asked = false;
        return;
    }
    node->row.root_known = true;
    node->row.size = size;
    memcpy(node->row.root, node->root.bytes, sizeof node->row.root);
}

static struct client_query root_query(const struct audit_node *node,
                                      Estreat__V1__RootRequest *request, uint64_t size)
{
    estreat__v1__root_request__init(request);
    request->size = size;
    return (struct client_query){
        .service = &estreat__v1__audit__descriptor,
        .method = AUDIT_ROOT,
        .request = &request->base,
        .timeout_ms = node->audit->options->timeout_ms,
    };
}

/* Step: waits a moment for a node that lags, so that what was just appended is audited too. */
static void *catch_up(void *context)
{
    struct audit_node *node = context;
    struct estreat_client *client = node->audit->client;
    uint64_t until_ns = clock_monotonic_ns(client->clock) + AUDIT_LAG_WAIT_MS * NS_PER_MS;
    while (node->asked && node->applied < node->audit->target &&
           clock_monotonic_ns(client->clock) < until_ns) {
        Estreat__V1__RootRequest request;
        struct client_query query = root_query(node, &request, 0);
        struct rpc_reply reply;
        client_pause(AUDIT_LAG_POLL_MS * NS_PER_MS);
        if (audit_ask(node, &query, &reply)) {
            node->applied = ((const Estreat__V1__RootResponse *)reply.message)->applied_size;
        }
        rpc_reply_release(&reply);
    }
    return NULL;
}

static void *ask_root(void *context)
{
    struct audit_node *node = context;
    Estreat__V1__RootRequest request;
    struct rpc_reply reply;
    /* Size 0 would ask for the newest; the root of nothing needs no question. */
    if (node->audit->size == 0) {
        node->row.size = 0;
        return NULL;
    }
    struct client_query query = root_query(node, &request, node->audit->size);
    if (audit_ask(node, &query, &reply)) {
        take_root(node, (const Estreat__V1__RootResponse *)reply.message, node->audit->size);
    }
    rpc_reply_release(&reply);
    return NULL;
}

static void find_common_size(struct audit *audit)
{
    for (unsigned i = 0; i < audit->count; i++) {
        if (audit->nodes[i].asked && audit->nodes[i].applied > audit->target) {
            audit->target = audit->nodes[i].applied;
        }
    }
    audit_each(audit, catch_up);
    audit->size = audit->target;
    for (unsigned i = 0; i < audit->count; i++) {
        if (audit->nodes[i].asked && audit->nodes[i].applied < audit->size) {
            audit->size = audit->nodes[i].applied;
        }
    }
}

/* Numbers the groups of equal roots from 0; returns how many there are. */
static unsigned group_roots(struct audit *audit)
{
    unsigned groups = 0;
    for (unsigned i = 0; i < audit->count; i++) {
        struct audit_node *node = &audit->nodes[i];
        if (!node->row.root_known) {
            continue;
        }
        node->group = groups;
        for (unsigned j = 0; j < i; j++) {
            const struct audit_node *other = &audit->nodes[j];
            if (other->row.root_known && hash_equal(&other->root, &node->root)) {
                node->group = other->group;
                break;
            }
        }
        groups += node->group == groups ? 1 : 0;
    }
    return groups;
}

/* --- who is right ------------------------------------------------------------------------- */

static const struct audit_node *first_of_group(const struct audit *audit, unsigned group)
{
    for (unsigned i = 0; i < audit->count; i++) {
        if (audit->nodes[i].row.root_known && audit->nodes[i].group == group) {
            return &audit->nodes[i];
        }
    }
    CHECK(false);
    return NULL;
}

/* The group that signed heads support: the only one that has any, or one for which more than
 * half of the members sign. A majority that signs nothing decides nothing. */
static bool supported_group(struct audit *audit, unsigned groups, unsigned *out)
{
    unsigned supported = 0;
    bool majority = false;
    if (audit->options->trust == NULL) {
        return false;
    }
    audit_each(audit, audit_attest);
    for (unsigned group = 0; group < groups && !majority; group++) {
        unsigned signers = 0;
        for (unsigned i = 0; i < audit->count; i++) {
            const struct audit_node *node = &audit->nodes[i];
            signers += node->row.root_known && node->group == group && node->attested ? 1 : 0;
        }
        supported += signers > 0 ? 1 : 0;
        majority = signers * 2 > audit->count;
        if (majority || (signers > 0 && supported == 1)) {
            *out = group;
        }
    }
    return majority || supported == 1;
}

static void describe_groups(const struct audit *audit, unsigned groups, char *out, size_t size)
{
    size_t length = 0;
    for (unsigned group = 0; group < groups; group++) {
        for (unsigned i = 0; i < audit->count; i++) {
            const struct audit_node *node = &audit->nodes[i];
            if (!node->row.root_known || node->group != group || length >= size) {
                continue;
            }
            bool first = node == first_of_group(audit, group);
            int written = snprintf(out + length, size - length, "%s%.64s",
                                   !first       ? ", "
                                   : group == 0 ? ""
                                                : " | ",
                                   node->row.id);
            length += written > 0 ? (size_t)written : 0;
        }
    }
}

/* Roots differ: says of each node what can be said. */
static void judge_difference(struct audit *audit, unsigned groups)
{
    char cause[ESTREAT_ERROR_TEXT_BYTES];
    char described[256] = "";
    unsigned right = 0;
    bool known = supported_group(audit, groups, &right);
    const struct audit_node *reference = first_of_group(audit, known ? right : 0);
    uint64_t first = audit->size;
    describe_groups(audit, groups, described, sizeof described);
    for (unsigned i = 0; i < audit->count; i++) {
        struct audit_node *node = &audit->nodes[i];
        if (node->row.root_known && node->group != reference->group) {
            uint64_t at = audit_compare(reference, node);
            first = at < first ? at : first;
        }
    }
    for (unsigned i = 0; i < audit->count; i++) {
        struct audit_node *node = &audit->nodes[i];
        if (!node->row.root_known || (known && node->group == right)) {
            continue;
        }
        if (known) {
            (void)snprintf(
                cause, sizeof cause,
                "its log differs from the signed log of %s, first at position %lu",
                reference->row.id,
                (unsigned long)(node->row.range_count > 0 ? node->row.ranges[0].begin : first));
        } else {
            (void)snprintf(cause, sizeof cause,
                           "the logs differ, first at position %lu, and no trusted head tells who "
                           "is right: %s",
                           (unsigned long)first, described);
        }
        audit_verdict(node, ESTREAT_DIVERGENT, cause);
    }
}

/* A recomputed root (audit_deep) is compared with the node's own in its row; here the nodes are
 * compared with each other. Returns true, with the root, if there is one that stands. */
static bool compare_roots(struct audit *audit, struct hash *root)
{
    unsigned groups = group_roots(audit);
    if (groups == 0) {
        return false;
    }
    if (groups > 1) {
        judge_difference(audit, groups);
    }
    for (unsigned i = 0; i < audit->count; i++) {
        if (audit->nodes[i].row.root_known &&
            (groups == 1 || audit->nodes[i].row.verdict == ESTREAT_CONSISTENT)) {
            *root = audit->nodes[i].root;
            return true;
        }
    }
    return false;
}

/* --- the whole ---------------------------------------------------------------------------- */

static void init_node(struct audit *audit, struct audit_node *node, const struct member *member)
{
    *node = (struct audit_node){.audit = audit, .route = member->route, .asked = member->answered};
    node->row.ranges =
        alloc_zeroed(audit->client->alloc, AUDIT_RANGES_MAX, sizeof(struct estreat_range));
    memcpy(node->row.id, member->id, sizeof node->row.id);
    memcpy(node->row.endpoint, member->endpoint, sizeof node->row.endpoint);
    if (member->answered) {
        const Estreat__V1__StatusResponse *status =
            (const Estreat__V1__StatusResponse *)member->reply.message;
        node->applied = status->size;
        /* What a node says of its own damage is believed. */
        if (strncmp(status->state, "fault: ", 7) == 0) {
            audit_verdict(node, ESTREAT_DIVERGENT, status->state + 7);
        }
    } else {
        audit_verdict(node, ESTREAT_INCONCLUSIVE, member->err.text);
    }
}

static enum status init_audit(struct audit *audit, const struct members *members, struct error *err)
{
    struct alloc *alloc = audit->client->alloc;
    audit->nodes = alloc_zeroed(alloc, members->count, sizeof(struct audit_node));
    if (audit->nodes == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for the audit");
    }
    audit->count = members->count;
    bool memory = true;
    for (unsigned i = 0; i < members->count; i++) {
        init_node(audit, &audit->nodes[i], &members->list[i]);
        memory = memory && audit->nodes[i].row.ranges != NULL;
    }
    return memory ? STATUS_OK
                  : error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for the audit");
}

static enum estreat_verdict overall(const struct audit *audit)
{
    enum estreat_verdict verdict = ESTREAT_CONSISTENT;
    for (unsigned i = 0; i < audit->count; i++) {
        enum estreat_verdict of_node = audit->nodes[i].row.verdict;
        if (of_node == ESTREAT_DIVERGENT || verdict == ESTREAT_CONSISTENT) {
            verdict = of_node;
        }
        if (verdict == ESTREAT_DIVERGENT) {
            break;
        }
    }
    return verdict;
}

static void run(struct audit *audit, struct estreat_audit *out)
{
    struct hash root;
    find_common_size(audit);
    audit_each(audit, ask_root);
    out->root_known = compare_roots(audit, &root);
    if (audit->options->deep && audit->size > 0) {
        audit_each(audit, audit_deep);
    }
    out->size = audit->size;
    out->verdict = overall(audit);
    if (out->root_known) {
        memcpy(out->root, root.bytes, sizeof out->root);
    }
    for (unsigned i = 0; i < audit->count; i++) {
        out->nodes[i] = audit->nodes[i].row;
        audit->nodes[i].row.ranges = NULL; /* given away */
    }
    out->node_count = audit->count;
}

static void release(struct audit *audit)
{
    for (unsigned i = 0; i < audit->count; i++) {
        alloc_free(audit->client->alloc, audit->nodes[i].row.ranges);
    }
    alloc_free(audit->client->alloc, audit->nodes);
    mutex_release(&audit->mutex);
}

static enum status audit_members(struct audit *audit, const struct members *members,
                                 struct estreat_audit **out, struct error *err)
{
    struct alloc *alloc = audit->client->alloc;
    enum status status = members_check_one_cluster(members, err);
    if (status == STATUS_OK) {
        status = init_audit(audit, members, err);
    }
    if (status != STATUS_OK) {
        return status;
    }
    struct estreat_audit *result = alloc_zeroed(alloc, 1, sizeof *result);
    struct estreat_node_audit *rows =
        alloc_zeroed(alloc, audit->count, sizeof(struct estreat_node_audit));
    if (result == NULL || rows == NULL) {
        alloc_free(alloc, result);
        alloc_free(alloc, rows);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for the audit");
    }
    result->nodes = rows;
    run(audit, result);
    *out = result;
    return STATUS_OK;
}

enum estreat_code estreat_audit(struct estreat_client *client,
                                const struct estreat_audit_options *options,
                                struct estreat_audit **out, struct estreat_error *error)
{
    static const struct estreat_audit_options defaults = {.deep = false};
    struct error err = ERROR_INIT;
    struct members members;
    struct audit audit = {.client = client, .options = options == NULL ? &defaults : options};
    enum status status = members_ask(client, audit.options->timeout_ms, &members, &err);
    if (status != STATUS_OK) {
        return client_answer(status, &err, error);
    }
    mutex_init(&audit.mutex);
    status = audit_members(&audit, &members, out, &err);
    release(&audit);
    members_release(&members);
    return client_answer(status, &err, error);
}

void estreat_audit_free(struct estreat_audit *audit)
{
    if (audit == NULL) {
        return;
    }
    for (size_t i = 0; i < audit->node_count; i++) {
        alloc_free(alloc_default(), audit->nodes[i].ranges);
    }
    alloc_free(alloc_default(), audit->nodes);
    alloc_free(alloc_default(), audit);
}
