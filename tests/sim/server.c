/* SPDX-License-Identifier: Apache-2.0
 *
 * A node's end of calls: the real services, registered with a server that takes its frames from
 * the simulated network. So rpc/server.h is implemented here once more, and of rpc/loop.h what
 * services use: without a thread what is posted to a loop runs at once.
 */
#include "rpc/server.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "node/service.h"
#include "node/service_snapshot.h"
#include "rpc/envelope.h"
#include "rpc/unpack.h"
#include "sim.h"

/* Log, Cluster, Snapshot. */
#define SERVICES_MAX 3U
#define METHODS_MAX 8U

struct registered {
    const ProtobufCServiceDescriptor *descriptor;
    rpc_handler_fn handlers[METHODS_MAX];
    void *context;
};

struct rpc_server {
    struct sim_node *node;
    struct service service;
    struct registered services[SERVICES_MAX];
    unsigned count;
    struct rpc_server_call *calls; /* that have not ended */
};

struct rpc_server_call {
    struct rpc_server_call *next;
    struct rpc_server_call **link;
    struct rpc_server *server;
    struct sim_call *call; /* where the answer goes */
    uint64_t id;
    uint64_t deadline_ns;
    ProtobufCMessage *request;
    struct rpc_arena arena; /* owns it */
};

/* --- what comes ------------------------------------------------------------------------------- */

static rpc_handler_fn find(const struct rpc_server *server, const Estreat__V1__CallHeader *header,
                           const ProtobufCMessageDescriptor **input, void **context)
{
    for (unsigned s = 0; s < server->count; s++) {
        const struct registered *at = &server->services[s];
        for (unsigned i = 0; i < at->descriptor->n_methods; i++) {
            if (strcmp(at->descriptor->name, header->service) == 0 &&
                strcmp(at->descriptor->methods[i].name, header->method) == 0) {
                *input = at->descriptor->methods[i].input;
                *context = at->context;
                return at->handlers[i];
            }
        }
    }
    return NULL;
}

void server_take(struct rpc_server *server, struct sim_call *from, struct slice bytes)
{
    struct rpc_server_call *call = calloc(1, sizeof *call);
    const Estreat__V1__CallHeader *header = NULL;
    const ProtobufCMessageDescriptor *input = NULL;
    struct error err = ERROR_INIT;
    struct rpc_frame frame;
    struct slice request;
    void *context = NULL;
    size_t length = 0;
    CHECK(call != NULL);
    CHECK(rpc_frame_parse(bytes, PEER_FRAME_BYTES_MAX, &frame, &length, &err) == RPC_PARSE_FRAME);
    CHECK(length == bytes.length && frame.kind == RPC_CALL);
    *call = (struct rpc_server_call){.next = server->calls,
                                     .link = &server->calls,
                                     .server = server,
                                     .call = from,
                                     .id = frame.call_id,
                                     .deadline_ns = UINT64_MAX};
    if (call->next != NULL) {
        call->next->link = &call->next;
    }
    server->calls = call;
    rpc_arena_init(&call->arena, alloc_default(), 2 * length + 512, rpc_unpack_budget(length));
    enum status status = rpc_call_split(frame.body, &call->arena, &header, &request, &err);
    CHECK(status == STATUS_OK);
    rpc_handler_fn handler = find(server, header, &input, &context);
    CHECK(handler != NULL);
    status = rpc_unpack(input, request, &call->arena, &call->request, &err);
    CHECK(status == STATUS_OK);
    if (header->timeout_ms > 0) {
        call->deadline_ns =
            clock_monotonic_ns(&server->node->clock.clock) + header->timeout_ms * NS_PER_MS;
    }
    handler(context, call, call->request);
}

/* --- rpc/server.h: what handlers say ---------------------------------------------------------- */

/* Takes the frame. The dead say nothing. */
static void finish(struct rpc_server_call *call, struct rpc_out *frame)
{
    CHECK(frame != NULL);
    if (call->server->node->dying) {
        rpc_out_free(frame);
        frame = NULL;
    }
    calls_answer(call->call, frame);
    *call->link = call->next;
    if (call->next != NULL) {
        call->next->link = call->link;
    }
    rpc_arena_release(&call->arena);
    free(call);
}

void rpc_call_reply(struct rpc_server_call *call, const ProtobufCMessage *response)
{
    struct sim_node *node = call->server->node;
    if (call->request->descriptor == &estreat__v1__append_request__descriptor && !node->dying) {
        checks_acknowledges(node, (const Estreat__V1__AppendRequest *)call->request,
                            (const Estreat__V1__AppendResponse *)response);
    }
    finish(call,
           rpc_out_message(alloc_default(), RPC_MESSAGE, RPC_FLAG_END, call->id, response, NULL));
}

void rpc_call_fail_with(struct rpc_server_call *call, enum status status, const char *text,
                        struct rpc_metadata_list metadata)
{
    finish(call, rpc_out_status(alloc_default(), call->id, status, text, metadata, NULL));
}

void rpc_call_fail(struct rpc_server_call *call, enum status status, const char *text)
{
    rpc_call_fail_with(call, status, text, (struct rpc_metadata_list){NULL, 0});
}

bool rpc_call_cancelled(const struct rpc_server_call *call)
{
    return call->server->node->dying;
}

uint64_t rpc_call_deadline_ns(const struct rpc_server_call *call)
{
    return call->deadline_ns;
}

/* Nobody in the simulator asks for streams. */

bool rpc_call_send(struct rpc_server_call *call, const ProtobufCMessage *message)
{
    (void)call;
    (void)message;
    abort();
}

void rpc_call_finish(struct rpc_server_call *call)
{
    (void)call;
    abort();
}

void rpc_call_on_writable(struct rpc_server_call *call, void (*fn)(void *context), void *context)
{
    (void)call;
    (void)fn;
    (void)context;
    abort();
}

/* --- rpc/loop.h ------------------------------------------------------------------------------- */

void rpc_loop_post(struct rpc_loop *loop, struct rpc_event *event)
{
    (void)loop;
    event->run(event);
}

void rpc_loop_run_late(struct rpc_loop *loop, struct rpc_late *late)
{
    (void)loop;
    late->run(late);
}

/* --- its life --------------------------------------------------------------------------------- */

enum status rpc_server_register(struct rpc_server *server,
                                const ProtobufCServiceDescriptor *service,
                                const rpc_handler_fn *handlers, void *context, struct error *err)
{
    (void)err;
    CHECK(server->count < SERVICES_MAX && service->n_methods <= METHODS_MAX);
    struct registered *at = &server->services[server->count++];
    *at = (struct registered){.descriptor = service, .context = context};
    memcpy(at->handlers, handlers, service->n_methods * sizeof handlers[0]);
    return STATUS_OK;
}

struct rpc_server *server_open(struct sim_node *node)
{
    struct replica *replica = node->replica;
    struct rpc_server *server = calloc(1, sizeof *server);
    struct error err = ERROR_INIT;
    CHECK(server != NULL);
    server->node = node;
    server->service = (struct service){
        .alloc = &node->memory.alloc,
        .clock = &node->clock.clock,
        .rng = &node->rng.rng,
        .config = &node->config,
        .engine = replica->engine,
        .tiles = replica->tiles,
        .signer = replica->signer,
        .fault = &replica->fault,
        .applied = &replica->applied,
        .applier = replica->applier,
        .driver = replica->driver,
        .pull = replica->pull,
        .readers = &node->readers.executor,
    };
    enum status status = service_log_register(&server->service, server, &err);
    CHECK(status == STATUS_OK);
    status = service_cluster_register(&server->service, server, &err);
    CHECK(status == STATUS_OK);
    status = service_snapshot_register(replica->source, server, &err);
    CHECK(status == STATUS_OK);
    return server;
}

void server_close(struct rpc_server *server)
{
    CHECK(server->calls == NULL && atomic_load(&server->service.requests) == 0);
    free(server);
}
