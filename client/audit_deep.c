/* SPDX-License-Identifier: Apache-2.0
 *
 * The deep audit of one node: it streams how far it is and what it found.
 */
#include "client/audit.h"

#include "client/pull.h"
#include "schema/audit.pb-c.h"

enum { AUDIT_DEEP = 2 };

static void tell_progress(struct audit_node *node, uint64_t events)
{
    struct audit *audit = node->audit;
    uint64_t done = 0;
    uint64_t total = 0;
    mutex_lock(&audit->mutex);
    node->deep_events = events;
    for (unsigned i = 0; i < audit->count; i++) {
        if (audit->nodes[i].asked) {
            done += audit->nodes[i].deep_events;
            total += audit->size;
        }
    }
    if (audit->options->progress != NULL) {
        audit->options->progress(audit->options->progress_context, done, total);
    }
    mutex_unlock(&audit->mutex);
}

static void take_damage(struct audit_node *node, const Estreat__V1__DeepProgress *progress)
{
    for (size_t i = 0; i < progress->n_damaged; i++) {
        const Estreat__V1__PositionRange *range = progress->damaged[i];
        if (range->begin < range->end) {
            audit_range(node, range->begin, range->end);
        }
    }
    if (progress->n_damaged > 0) {
        audit_verdict(node, ESTREAT_DIVERGENT,
                      progress->cause[0] != '\0' ? progress->cause : "it reports damage");
    }
}

/* The end: the root that the node computed from what it read must be the one that it has told,
 * which was compared with the others'. */
static void take_end(struct audit_node *node, const Estreat__V1__DeepProgress *progress)
{
    struct hash root;
    struct slice bytes = slice_of(progress->root.data, progress->root.len);
    if (progress->size != node->audit->size) {
        audit_verdict(node, ESTREAT_INCONCLUSIVE, "it audited another size than it was asked to");
    } else if (!hash_from_slice(bytes, &root)) {
        audit_verdict(node, ESTREAT_DIVERGENT, "not all of its events can be read");
    } else if (node->row.root_known && !hash_equal(&root, &node->root)) {
        audit_verdict(node, ESTREAT_DIVERGENT,
                      "the events on its disk do not hash to the root that it tells");
    }
}

static enum status read_progress(struct audit_node *node, struct pull *pull, struct error *err)
{
    for (;;) {
        const ProtobufCMessage *message = NULL;
        enum status status = pull_next(pull, &message, err);
        if (status != STATUS_OK) {
            return status;
        }
        if (message == NULL) {
            return error_set(err, STATUS_UNAVAILABLE, "it ended the deep audit too early");
        }
        const Estreat__V1__DeepProgress *progress = (const Estreat__V1__DeepProgress *)message;
        node->row.bytes_read = progress->bytes_read;
        take_damage(node, progress);
        tell_progress(node, progress->events);
        if (progress->done) {
            take_end(node, progress);
            return STATUS_OK;
        }
    }
}

static enum status start(struct audit_node *node, struct pull *pull, struct error *err)
{
    struct rpc_channel *channel;
    Estreat__V1__DeepRequest request = ESTREAT__V1__DEEP_REQUEST__INIT;
    request.size = node->audit->size;
    enum status status = router_channel(&node->audit->client->router, node->route, &channel, err);
    if (status != STATUS_OK) {
        return status;
    }
    struct rpc_stream *call = rpc_channel_stream(channel, &estreat__v1__audit__descriptor,
                                                 AUDIT_DEEP, &request.base, NULL, NULL);
    if (call == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a stream");
    }
    pull_take(pull, call);
    return STATUS_OK;
}

void *audit_deep(void *context)
{
    struct audit_node *node = context;
    struct estreat_client *client = node->audit->client;
    uint32_t timeout_ms = node->audit->options->timeout_ms;
    struct error err = ERROR_INIT;
    struct pull pull;
    pull_init(&pull, client, (timeout_ms != 0 ? timeout_ms : client->timeout_ms) * NS_PER_MS);
    enum status status = start(node, &pull, &err);
    if (status == STATUS_OK) {
        status = read_progress(node, &pull, &err);
    }
    if (status != STATUS_OK) {
        audit_verdict(node, status == STATUS_DATA_LOSS ? ESTREAT_DIVERGENT : ESTREAT_INCONCLUSIVE,
                      err.text);
    }
    pull_release(&pull);
    return NULL;
}
