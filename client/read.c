/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads that have one answer: get and count.
 */
#include "base/limits.h"
#include "client/client.h"
#include "client/convert.h"
#include "client/got.h"

/* Methods in the order of schema/log.proto. */
enum { LOG_GET = 1, LOG_COUNT = 4 };

static enum status check_key(struct estreat_bytes key, struct error *err)
{
    if (key.length == 0 || key.length > KEY_BYTES_MAX) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "a key of %zu bytes; keys have 1 to %lu",
                         key.length, KEY_BYTES_MAX);
    }
    return STATUS_OK;
}

static enum status get(struct estreat_client *client, struct estreat_bytes key,
                       const struct estreat_get_options *options, struct rpc_reply *reply,
                       struct error *err)
{
    Estreat__V1__GetRequest request = ESTREAT__V1__GET_REQUEST__INIT;
    Estreat__V1__Bound as_of;
    Estreat__V1__ReadConsistency consistency;
    request.key = convert_bytes(key);
    request.as_of = convert_bound(options->as_of, &as_of);
    convert_consistency(options->consistency, &consistency);
    request.consistency = &consistency;
    const struct client_query query = {
        .service = &estreat__v1__log__descriptor,
        .method = LOG_GET,
        .request = &request.base,
        .timeout_ms = options->timeout_ms,
    };
    enum status status = client_ask(client, &query, reply, err);
    if (status == STATUS_OK && ((const Estreat__V1__GetResponse *)reply->message)->event == NULL) {
        status = error_set(err, STATUS_INTERNAL, "the node answered without an event");
    }
    return status;
}

enum estreat_code estreat_get(struct estreat_client *client, struct estreat_bytes key,
                              const struct estreat_get_options *options, struct estreat_got **out,
                              struct estreat_error *error)
{
    static const struct estreat_get_options defaults = {.timeout_ms = 0};
    struct error err = ERROR_INIT;
    enum status status = check_key(key, &err);
    if (status != STATUS_OK) {
        return client_answer(status, &err, error);
    }
    struct estreat_got *got = alloc_zeroed(client->alloc, 1, sizeof *got);
    if (got == NULL) {
        status = error_set(&err, STATUS_RESOURCE_EXHAUSTED, "no memory for an event");
        return client_answer(status, &err, error);
    }
    got->alloc = client->alloc;
    got->from_reply = true;
    status = get(client, key, options == NULL ? &defaults : options, &got->reply, &err);
    if (status != STATUS_OK) {
        estreat_got_free(got);
        return client_answer(status, &err, error);
    }
    got->event = convert_event(((const Estreat__V1__GetResponse *)got->reply.message)->event);
    *out = got;
    return client_answer(STATUS_OK, NULL, error);
}

const struct estreat_event *estreat_got_event(const struct estreat_got *got)
{
    return &got->event;
}

void estreat_got_free(struct estreat_got *got)
{
    if (got == NULL) {
        return;
    }
    if (got->from_reply) {
        rpc_reply_release(&got->reply);
    } else {
        proof_verdict_release(&got->verdict);
    }
    alloc_free(got->alloc, got);
}

enum estreat_code estreat_count(struct estreat_client *client,
                                const struct estreat_count_options *options, uint64_t *count,
                                uint64_t *size, struct estreat_error *error)
{
    static const struct estreat_count_options defaults = {.timeout_ms = 0};
    struct error err = ERROR_INIT;
    Estreat__V1__CountRequest request = ESTREAT__V1__COUNT_REQUEST__INIT;
    Estreat__V1__Bound from;
    Estreat__V1__Bound to;
    Estreat__V1__Filter filter;
    Estreat__V1__ReadConsistency consistency;
    options = options == NULL ? &defaults : options;
    request.from = convert_bound(options->from, &from);
    request.to = convert_bound(options->to, &to);
    convert_filter(&options->filter, &filter);
    request.filter = &filter;
    convert_consistency(options->consistency, &consistency);
    request.consistency = &consistency;
    const struct client_query query = {
        .service = &estreat__v1__log__descriptor,
        .method = LOG_COUNT,
        .request = &request.base,
        .timeout_ms = options->timeout_ms,
        .slow = true,
    };
    struct rpc_reply reply;
    enum status status = client_ask(client, &query, &reply, &err);
    if (status == STATUS_OK) {
        const Estreat__V1__CountResponse *response =
            (const Estreat__V1__CountResponse *)reply.message;
        *count = response->count;
        if (size != NULL) {
            *size = response->size;
        }
    }
    rpc_reply_release(&reply);
    return client_answer(status, &err, error);
}
