/* SPDX-License-Identifier: Apache-2.0
 *
 * Calls on the simulated network, as who asks sees them: frames there and back, each once, as a
 * connection carries them. Their memory is the network's, and counted at no node.
 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "rpc/envelope.h"
#include "rpc/unpack.h"
#include "sim.h"

enum { ANSWER_MEMORY_BYTES = 2048 };

static void unref(struct sim_call *call)
{
    if (--call->references > 0) {
        return;
    }
    *call->link = call->next;
    if (call->next != NULL) {
        call->next->link = call->link;
    }
    rpc_out_free(call->frame);
    free(call);
}

/* --- on the way ------------------------------------------------------------------------------- */

static bool is_lost(struct sim *sim, unsigned from, unsigned to)
{
    return sim->cut[from][to] || world_chance(&sim->world, sim->weather.loss_permille);
}

/* Takes the frame; NULL: there is none. */
static void post(struct sim_call *call, struct rpc_out *frame, unsigned from, unsigned to,
                 void (*run)(void *context, uint64_t argument))
{
    struct sim *sim = call->sim;
    if (frame == NULL || is_lost(sim, from, to)) {
        rpc_out_free(frame);
        return;
    }
    CHECK(call->frame == NULL);
    call->frame = frame;
    call->references++;
    world_post(&sim->world, 50000 + weather_takes(sim, sim->weather.delay_max_ns), run, call, 0);
}

/* True if the event is put off, since `at` does nothing. */
static bool does_nothing(struct sim_call *call, unsigned at,
                         void (*run)(void *context, uint64_t argument))
{
    struct sim *sim = call->sim;
    bool runs = at != SIM_CLIENT && sim->nodes[at].running;
    uint64_t wait_ns = runs ? node_paused_ns(&sim->nodes[at]) : 0;
    if (wait_ns > 0) {
        world_post(&sim->world, wait_ns, run, call, 0);
    }
    return wait_ns > 0;
}

/* True if the event is put off, since the link from `from` is held up or `to` does nothing. */
static bool is_held_up(struct sim_call *call, unsigned from, unsigned to,
                       void (*run)(void *context, uint64_t argument))
{
    struct sim *sim = call->sim;
    uint64_t clear_ns = sim->clog_until_ns[from][to];
    if (clear_ns <= sim->world.now_ns) {
        return does_nothing(call, to, run);
    }
    world_post(&sim->world, clear_ns - sim->world.now_ns, run, call, 0);
    return true;
}

static void on_request(void *context, uint64_t argument)
{
    struct sim_call *call = context;
    struct sim *sim = call->sim;
    struct sim_node *node = &sim->nodes[call->to];
    (void)argument;
    if (is_held_up(call, call->from, call->to, on_request)) {
        return;
    }
    struct rpc_out *frame = call->frame;
    call->frame = NULL;
    if (node->running && !sim->cut[call->from][call->to]) {
        world_note(&sim->world, "call", call->to, call->id);
        call->references++;
        server_take(node->server, call, slice_of(frame->bytes, frame->length));
        node_settle(node);
    }
    rpc_out_free(frame);
    unref(call);
}

/* --- the end ---------------------------------------------------------------------------------- */

static void end(struct sim_call *call, const struct rpc_result *result)
{
    rpc_result_fn done = call->done;
    struct sim_node *node = call->from == SIM_CLIENT ? NULL : &call->sim->nodes[call->from];
    if (done == NULL || (node != NULL && (!node->running || node->life != call->life))) {
        return;
    }
    call->done = NULL;
    done(call->context, result);
    if (node != NULL) {
        node_settle(node);
    }
}

static void on_patience(void *context, uint64_t argument)
{
    struct sim_call *call = context;
    const struct rpc_result result = {
        .status = STATUS_DEADLINE_EXCEEDED, .text = "no answer", .sent = true};
    (void)argument;
    if (does_nothing(call, call->from, on_patience)) {
        return;
    }
    end(call, &result);
    unref(call);
}

/* What the frame says, in the arena. */
static struct rpc_result read_answer(const struct sim_call *call, struct slice bytes,
                                     struct rpc_arena *arena)
{
    struct rpc_result result = {.text = "", .sent = true};
    struct error err = ERROR_INIT;
    struct rpc_frame frame;
    ProtobufCMessage *message = NULL;
    size_t length = 0;
    CHECK(rpc_frame_parse(bytes, PEER_FRAME_BYTES_MAX, &frame, &length, &err) == RPC_PARSE_FRAME);
    CHECK(length == bytes.length && frame.call_id == call->id);
    bool answers = frame.kind == RPC_MESSAGE;
    enum status status =
        rpc_unpack(answers ? call->method->output : &estreat__v1__call_status__descriptor,
                   frame.body, arena, &message, &err);
    if (status == STATUS_OK && answers) {
        result.message = message;
    } else if (status == STATUS_OK) {
        const Estreat__V1__CallStatus *told = (const Estreat__V1__CallStatus *)message;
        result.status = (enum status)told->code;
        result.text = told->message;
        status =
            rpc_metadata_unpack(told->metadata, told->n_metadata, arena, &result.metadata, &err);
    }
    CHECK(status == STATUS_OK);
    return result;
}

static void on_answer(void *context, uint64_t argument)
{
    struct sim_call *call = context;
    _Alignas(16) uint8_t memory[ANSWER_MEMORY_BYTES];
    struct rpc_arena arena;
    (void)argument;
    if (is_held_up(call, call->to, call->from, on_answer)) {
        return;
    }
    struct rpc_out *frame = call->frame;
    call->frame = NULL;
    rpc_arena_init_with(&arena, alloc_default(), memory, sizeof memory, frame->length,
                        rpc_unpack_budget(frame->length));
    if (!call->sim->cut[call->to][call->from]) {
        const struct rpc_result result =
            read_answer(call, slice_of(frame->bytes, frame->length), &arena);
        world_note(&call->sim->world, "answer", call->id, result.status);
        end(call, &result);
    }
    rpc_arena_release(&arena);
    rpc_out_free(frame);
    unref(call);
}

void calls_answer(struct sim_call *call, struct rpc_out *frame)
{
    post(call, frame, call->to, call->from, on_answer);
    unref(call);
}

/* --- the beginning ---------------------------------------------------------------------------- */

void calls_ask(struct sim *sim, const struct sim_asking *asking)
{
    struct sim_call *call = calloc(1, sizeof *call);
    CHECK(call != NULL);
    CHECK(asking->context_bytes <= sizeof call->context);
    *call = (struct sim_call){.next = sim->calls,
                              .link = &sim->calls,
                              .sim = sim,
                              .references = 1,
                              .from = asking->from,
                              .to = asking->to,
                              .id = ++sim->call_count,
                              .method = &asking->service->methods[asking->method],
                              .done = asking->done};
    CHECK(asking->request->descriptor == call->method->input);
    if (call->next != NULL) {
        call->next->link = &call->next;
    }
    sim->calls = call;
    memcpy(call->context, asking->context, asking->context_bytes);
    if (call->from != SIM_CLIENT) {
        call->life = sim->nodes[call->from].life;
    }
    bool waits = asking->patience_ns != UINT64_MAX;
    const struct rpc_call_envelope envelope = {
        .service = asking->service,
        .method = asking->method,
        .call_id = call->id,
        .timeout_ms = waits ? asking->patience_ns / NS_PER_MS : 0,
    };
    if (waits) {
        call->references++;
        world_post(&sim->world, asking->patience_ns, on_patience, call, 0);
    }
    struct rpc_out *frame = rpc_out_call(alloc_default(), &envelope, asking->request, NULL);
    CHECK(frame != NULL);
    post(call, frame, call->from, call->to, on_request);
    unref(call);
}

void calls_release(struct sim *sim)
{
    while (sim->calls != NULL) {
        sim->calls->references = 1;
        unref(sim->calls);
    }
}
