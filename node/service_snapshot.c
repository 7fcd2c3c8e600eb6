/* SPDX-License-Identifier: Apache-2.0 */
#include "node/service_snapshot.h"

#include "base/check.h"
#include "schema/snapshot.pb-c.h"

static void on_answer(void *context, const struct snapshot_answer *answer)
{
    struct rpc_server_call *call = context;
    if (answer->status == STATUS_OK) {
        rpc_call_reply(call, answer->message);
    } else {
        rpc_call_fail(call, answer->status, answer->text);
    }
}

static void describe(void *context, struct rpc_server_call *call, const ProtobufCMessage *request)
{
    snapshot_source_ask(context, SNAPSHOT_DESCRIBE, request, on_answer, call);
}

static void read_piece(void *context, struct rpc_server_call *call, const ProtobufCMessage *request)
{
    snapshot_source_ask(context, SNAPSHOT_READ, request, on_answer, call);
}

enum status service_snapshot_register(struct snapshot_source *source, struct rpc_server *server,
                                      struct error *err)
{
    const rpc_handler_fn handlers[] = {
        [SNAPSHOT_DESCRIBE] = describe, [SNAPSHOT_READ] = read_piece};
    CHECK(sizeof handlers / sizeof handlers[0] == estreat__v1__snapshot__descriptor.n_methods);
    return rpc_server_register(server, &estreat__v1__snapshot__descriptor, handlers, source, err);
}
