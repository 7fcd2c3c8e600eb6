/* SPDX-License-Identifier: Apache-2.0
 *
 * Backups of one node: it is found among the members, then asked itself, since each makes its own.
 */
#include "client/members.h"
#include "schema/cluster.pb-c.h"

enum { CLUSTER_BACKUP = 5 }; /* in the order of schema/cluster.proto */

/* The member that is meant, if it answers; without an id, the only one there is. NULL: `err` says
 * why. */
static const struct member *find_node(const struct members *members, const char *id,
                                      struct error *err)
{
    const struct member *found = NULL;
    for (unsigned i = 0; i < members->count; i++) {
        const struct member *member = &members->list[i];
        if (id == NULL || strcmp(member->id, id) == 0) {
            found = member;
        }
    }
    if (id == NULL && members->count != 1) {
        (void)error_set(err, STATUS_INVALID_ARGUMENT,
                        "there are %u nodes, and each makes its own backups: say which",
                        members->count);
        return NULL;
    }
    if (found == NULL) {
        (void)error_set(err, STATUS_NOT_FOUND, "there is no node %.100s", id);
        return NULL;
    }
    if (!found->answered) {
        *err = found->err;
        return NULL;
    }
    return found;
}

static void fill(const Estreat__V1__BackupResponse *from, const char *node,
                 struct estreat_backup *out)
{
    *out = (struct estreat_backup){.since_ns = from->since_ns,
                                   .runs = from->runs,
                                   .running = from->running,
                                   .done_bytes = from->done_bytes,
                                   .total_bytes = from->total_bytes,
                                   .made_at_ns = from->made_at_ns,
                                   .number = from->number,
                                   .events = from->events,
                                   .tables = from->tables,
                                   .bytes = from->bytes,
                                   .copied_bytes = from->copied_bytes,
                                   .removed = from->removed};
    (void)snprintf(out->node, sizeof out->node, "%s", node);
    if (from->status != STATUS_OK) {
        struct error err = ERROR_INIT;
        /* A code of a later version is an error, too. */
        enum status status =
            status_is_known(from->status) ? (enum status)from->status : STATUS_UNKNOWN;
        (void)error_set(&err, status, "%s", from->failure);
        (void)client_answer(status, &err, &out->failure);
    }
}

static enum status ask_node(struct estreat_client *client, const struct member *member,
                            const struct estreat_backup_options *options,
                            struct estreat_backup *out, struct error *err)
{
    struct rpc_reply reply;
    Estreat__V1__BackupRequest request = ESTREAT__V1__BACKUP_REQUEST__INIT;
    request.begin = options->begin;
    request.full = options->full;
    const struct client_query query = {
        .service = &estreat__v1__cluster__descriptor,
        .method = CLUSTER_BACKUP,
        .request = &request.base,
        .timeout_ms = options->timeout_ms,
    };
    /* Once: a second asking to begin would only hear that one is being made. */
    enum status status = client_ask_endpoint(client, member->route, &query, 1, &reply, err);
    if (status == STATUS_OK) {
        fill((const Estreat__V1__BackupResponse *)(const void *)reply.message, member->id, out);
    }
    rpc_reply_release(&reply);
    return status;
}

enum estreat_code estreat_backup(struct estreat_client *client,
                                 const struct estreat_backup_options *options,
                                 struct estreat_backup *out, struct estreat_error *error)
{
    struct error err = ERROR_INIT;
    struct members members;
    enum status status = members_ask(client, options->timeout_ms, &members, &err);
    if (status != STATUS_OK) {
        return client_answer(status, &err, error);
    }
    status = members_check_one_cluster(&members, &err);
    if (status == STATUS_OK) {
        const struct member *member = find_node(&members, options->node, &err);
        status = member == NULL ? err.status : ask_node(client, member, options, out, &err);
    }
    members_release(&members);
    return client_answer(status, &err, error);
}
