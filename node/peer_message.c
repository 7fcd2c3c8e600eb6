/* SPDX-License-Identifier: Apache-2.0 */
#include "node/peer_message.h"

#include <string.h>

/* The entries of one message: the driver's bound in bytes, divided by the least entry. */
#define ENTRIES_PER_MESSAGE_MAX 65536U

void peer_message_free(struct peer_message *message)
{
    for (size_t i = 0; i < message->message.entry_count; i++) {
        raft_entry_unref(message->entries[i]);
    }
    alloc_free(message->alloc, message);
}

static struct raft_message message_of(const Estreat__V1__RaftMessage *wire)
{
    return (struct raft_message){
        .type = (enum raft_message_type)wire->type,
        .reject = wire->reject,
        .from = wire->from,
        .to = wire->to,
        .term = wire->term,
        .index = wire->index,
        .log_term = wire->log_term,
        .commit = wire->commit,
        .hint_index = wire->hint_index,
        .hint_term = wire->hint_term,
        .context = wire->context,
        .applied = wire->applied,
        .retain_index = wire->retain_index,
    };
}

static struct peer_news news_of(const Estreat__V1__RaftMessage *wire)
{
    struct peer_news news = {.clock_ns = wire->clock_ns};
    if (wire->applied_point != NULL) {
        news.tells_applied = true;
        news.applied = (struct applied_point){
            .index = wire->applied_point->index,
            .size = wire->applied_point->size,
            .log_bytes = wire->applied_point->bytes,
            .time_ns = wire->applied_point->time_ns,
        };
    }
    return news;
}

static bool take_entries(struct peer_message *message, const Estreat__V1__RaftMessage *wire)
{
    for (size_t i = 0; i < wire->n_entries; i++) {
        const Estreat__V1__RaftEntry *from = wire->entries[i];
        struct raft_entry *entry = raft_entry_new(message->alloc, wire->index + 1 + i, from->term,
                                                  from->type, (uint32_t)from->data.len);
        if (entry == NULL) {
            return false;
        }
        if (from->data.len > 0) {
            memcpy(entry->data, from->data.data, from->data.len);
        }
        message->entries[i] = entry;
        message->message.entry_count++;
    }
    message->message.entries = message->entries;
    return true;
}

struct peer_message *peer_message_new(struct alloc *alloc, const Estreat__V1__RaftMessage *wire)
{
    if (wire->n_entries > ENTRIES_PER_MESSAGE_MAX) {
        return NULL;
    }
    struct peer_message *message =
        alloc_new(alloc, sizeof *message + wire->n_entries * sizeof(struct raft_entry *));
    if (message == NULL) {
        return NULL;
    }
    *message = (struct peer_message){
        .alloc = alloc,
        .message = message_of(wire),
        .news = news_of(wire),
    };
    if (!take_entries(message, wire)) {
        peer_message_free(message);
        return NULL;
    }
    return message;
}

void peer_applied(const struct applied_point *applied, Estreat__V1__Applied *out)
{
    out->index = applied->index;
    out->size = applied->size;
    out->bytes = applied->log_bytes;
    out->time_ns = applied->time_ns;
}

/* The envelopes of a message's entries; most messages have few, so they fit the stack. */
#define ENVELOPES_ON_STACK 64U

static bool fill(const struct raft_message *message, const struct peer_news *news, peer_wire_fn use,
                 void *context, Estreat__V1__RaftEntry *envelopes,
                 Estreat__V1__RaftEntry **pointers)
{
    Estreat__V1__RaftMessage wire = ESTREAT__V1__RAFT_MESSAGE__INIT;
    Estreat__V1__Applied applied = ESTREAT__V1__APPLIED__INIT;
    wire.type = (Estreat__V1__RaftMessageType)message->type;
    wire.reject = message->reject;
    wire.from = message->from;
    wire.to = message->to;
    wire.term = message->term;
    wire.index = message->index;
    wire.log_term = message->log_term;
    wire.commit = message->commit;
    wire.hint_index = message->hint_index;
    wire.hint_term = message->hint_term;
    wire.context = message->context;
    wire.applied = message->applied;
    wire.retain_index = message->retain_index;
    wire.clock_ns = news->clock_ns;
    if (news->tells_applied) {
        peer_applied(&news->applied, &applied);
        wire.applied_point = &applied;
    }
    for (size_t i = 0; i < message->entry_count; i++) {
        struct raft_entry *entry = message->entries[i];
        estreat__v1__raft_entry__init(&envelopes[i]);
        envelopes[i].term = entry->term;
        envelopes[i].type = entry->type;
        envelopes[i].data.data = entry->data;
        envelopes[i].data.len = entry->length;
        pointers[i] = &envelopes[i];
    }
    wire.entries = pointers;
    wire.n_entries = message->entry_count;
    return use(context, &wire);
}

bool peer_wire(const struct raft_message *message, const struct peer_news *news,
               struct alloc *alloc, peer_wire_fn use, void *context)
{
    if (message->entry_count <= ENVELOPES_ON_STACK) {
        Estreat__V1__RaftEntry envelopes[ENVELOPES_ON_STACK];
        Estreat__V1__RaftEntry *pointers[ENVELOPES_ON_STACK];
        return fill(message, news, use, context, envelopes, pointers);
    }
    const size_t each = sizeof(Estreat__V1__RaftEntry) + sizeof(Estreat__V1__RaftEntry *);
    Estreat__V1__RaftEntry *envelopes = alloc_zeroed(alloc, message->entry_count, each);
    if (envelopes == NULL) {
        return false;
    }
    Estreat__V1__RaftEntry **pointers = (void *)(envelopes + message->entry_count);
    bool used = fill(message, news, use, context, envelopes, pointers);
    alloc_free(alloc, envelopes);
    return used;
}
