/* SPDX-License-Identifier: Apache-2.0
 *
 * Snapshots on the simulated network: questions and answers as bytes, which get lost, are
 * late, or come from a node that has died meanwhile. Who asks is told in the end that there was no
 * answer, as RPC does it.
 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "schema/snapshot.pb-c.h"
#include "sim.h"

#define PATIENCE_NS (2 * NS_PER_S)

/* One question, as long as an event or the source holds it. */
struct sim_question {
    struct sim *sim;
    unsigned references;
    unsigned from;
    unsigned to;
    uint64_t life; /* of who asks */
    bool ended;    /* who asks was told something */
    enum snapshot_method method;
    snapshot_answer_fn done;
    void *context;
    ProtobufCMessage *request;
    enum status status;
    char text[ERROR_TEXT_BYTES];
    uint8_t *bytes; /* of the answer */
    size_t length;
};

static const ProtobufCMethodDescriptor *method_of(enum snapshot_method method)
{
    return &estreat__v1__snapshot__descriptor.methods[method];
}

static void unref(struct sim_question *question)
{
    if (--question->references == 0) {
        protobuf_c_message_free_unpacked(question->request, NULL);
        free(question->bytes);
        free(question);
    }
}

static bool is_lost(struct sim *sim, unsigned from, unsigned to)
{
    return sim->cut[from][to] || world_chance(&sim->world, sim->weather.loss_permille);
}

static void post(struct sim_question *question, void (*run)(void *context, uint64_t argument))
{
    struct sim *sim = question->sim;
    question->references++;
    world_post(&sim->world, 50000 + world_draw(&sim->world, sim->weather.delay_max_ns + 1), run,
               question, 0);
}

/* True if the event is put off, since the link from `from` is held up or `to` does nothing. */
static bool is_held_up(struct sim_question *question, unsigned from, unsigned to,
                       void (*run)(void *context, uint64_t argument))
{
    struct sim *sim = question->sim;
    const struct sim_node *node = &sim->nodes[to];
    uint64_t clear_ns = sim->clog_until_ns[from][to];
    uint64_t wait_ns = clear_ns > sim->world.now_ns ? clear_ns - sim->world.now_ns
                       : node->running              ? node_paused_ns(node)
                                                    : 0;
    if (wait_ns > 0) {
        world_post(&sim->world, wait_ns, run, question, 0);
    }
    return wait_ns > 0;
}

/* --- back to who asked ------------------------------------------------------------------------ */

static void tell(struct sim_question *question, enum status status, const char *text,
                 const ProtobufCMessage *message)
{
    struct sim_node *node = &question->sim->nodes[question->from];
    if (question->ended || !node->running || node->life != question->life) {
        return;
    }
    const struct snapshot_answer answer = {.status = status, .text = text, .message = message};
    question->ended = true;
    question->done(question->context, &answer);
    node_settle(node);
}

static void on_patience(void *context, uint64_t argument)
{
    struct sim_question *question = context;
    (void)argument;
    tell(question, STATUS_DEADLINE_EXCEEDED, "no answer", NULL);
    unref(question);
}

static void on_answer_here(void *context, uint64_t argument)
{
    struct sim_question *question = context;
    ProtobufCMessage *message = NULL;
    (void)argument;
    if (is_held_up(question, question->to, question->from, on_answer_here)) {
        return;
    }
    if (question->status == STATUS_OK) {
        message = protobuf_c_message_unpack(method_of(question->method)->output, NULL,
                                            question->length, question->bytes);
        CHECK(message != NULL);
    }
    world_note(&question->sim->world, "snapshot answer", question->from, question->length);
    tell(question, question->status, question->text, message);
    protobuf_c_message_free_unpacked(message, NULL);
    unref(question);
}

/* --- at the source ---------------------------------------------------------------------------- */

static void on_source_answer(void *context, const struct snapshot_answer *answer)
{
    struct sim_question *question = context;
    struct sim *sim = question->sim;
    if (!sim->nodes[question->to].dying && !is_lost(sim, question->to, question->from)) {
        question->status = answer->status;
        (void)snprintf(question->text, sizeof question->text, "%s", answer->text);
        if (answer->message != NULL) {
            question->length = protobuf_c_message_get_packed_size(answer->message);
            question->bytes = malloc(question->length + 1);
            CHECK(question->bytes != NULL);
            (void)protobuf_c_message_pack(answer->message, question->bytes);
        }
        post(question, on_answer_here);
    }
    unref(question);
}

static void on_question_there(void *context, uint64_t argument)
{
    struct sim_question *question = context;
    struct sim *sim = question->sim;
    struct sim_node *node = &sim->nodes[question->to];
    (void)argument;
    if (is_held_up(question, question->from, question->to, on_question_there)) {
        return;
    }
    if (node->running && !sim->cut[question->from][question->to]) {
        question->references++;
        snapshot_source_ask(node->replica->source, question->method, question->request,
                            on_source_answer, question);
        node_settle(node);
    }
    unref(question);
}

/* --- asking ----------------------------------------------------------------------------------- */

static bool ask(struct snapshot_link *link, uint64_t member, enum snapshot_method method,
                const ProtobufCMessage *request, snapshot_answer_fn done, void *context)
{
    struct sim_node *node = ((struct sim_link *)link)->node;
    struct sim *sim = node->sim;
    unsigned to = 0;
    if (node->dying) {
        return false;
    }
    while (raft_id_of(sim->nodes[to].config.node_id) != member) {
        to++;
        CHECK(to < sim->node_count);
    }
    struct sim_question *question = calloc(1, sizeof *question);
    CHECK(question != NULL);
    size_t length = protobuf_c_message_get_packed_size(request);
    uint8_t bytes[256];
    CHECK(length <= sizeof bytes);
    (void)protobuf_c_message_pack(request, bytes);
    *question = (struct sim_question){.sim = sim,
                                      .references = 1,
                                      .from = node->number,
                                      .to = to,
                                      .life = node->life,
                                      .method = method,
                                      .done = done,
                                      .context = context};
    question->request = protobuf_c_message_unpack(method_of(method)->input, NULL, length, bytes);
    CHECK(question->request != NULL);
    world_post(&sim->world, PATIENCE_NS, on_patience, question, 0);
    if (!is_lost(sim, node->number, to)) {
        post(question, on_question_there);
    }
    return true;
}

void snapshots_init(struct sim_node *node)
{
    node->link = (struct sim_link){.link = {.ask = ask}, .node = node};
}
