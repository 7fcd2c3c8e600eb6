/* SPDX-License-Identifier: Apache-2.0
 *
 * Request: a call that reads. It first waits until the node is as far as the
 * caller's consistency asks (LINEARIZABLE: a ReadIndex round; AT_LEAST: the log's
 * size; LOCAL: not at all), then runs as a job on the readers' threads.
 *
 * A handler embeds a request at the beginning of its own state, allocates it with
 * request_new(), and ends it with request_end() after it finished the call.
 */
#ifndef ESTREAT_NODE_REQUEST_H
#define ESTREAT_NODE_REQUEST_H

#include "base/job.h"
#include "node/reads.h"
#include "node/service.h"
#include "schema/log.pb-c.h"

struct request {
    struct job job;
    struct service *service;
    struct rpc_server_call *call;
    const ProtobufCMessage *message; /* valid until the call is finished */
    enum job_result (*run)(struct request *request);
    void (*release)(struct request *request); /* of the handler's own members; may be NULL */
    struct read_barrier barrier;
    struct applied_wait wait;
    bool audits;        /* is about what this node holds, damaged or not */
    enum status status; /* of the wait */
    char text[128];
};

/* `bytes` is the size of the handler's state. Fails the call and returns NULL without memory. */
void *request_new(struct service *service, struct rpc_server_call *call,
                  const ProtobufCMessage *message, size_t bytes,
                  enum job_result (*run)(struct request *request));

/* Begins to wait; the request runs when that is over. If it fails, so does the call. */
void request_start(struct request *request, const Estreat__V1__ReadConsistency *consistency);

/* Runs it again once the call takes more messages, or was cancelled. Return JOB_WAIT. */
enum job_result request_wait_writable(struct request *request);

/* Runs it again once the log has `size` events, or after a second. Return JOB_WAIT. */
enum job_result request_wait_size(struct request *request, uint64_t size);

/* Fails the call and ends the request. Returns JOB_DONE. */
enum job_result request_fail(struct request *request, enum status status, const char *text);

/* Replies and ends the request. Returns JOB_DONE. */
enum job_result request_reply(struct request *request, const ProtobufCMessage *response);

/* Ends the stream well, and the request. Returns JOB_DONE. */
enum job_result request_finish(struct request *request);

#endif
