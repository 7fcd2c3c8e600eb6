/* SPDX-License-Identifier: Apache-2.0 */
#include "node/log_writer.h"

#include "base/check.h"
#include "base/log.h"
#include "node/append_entry.h"
#include "node/apply.h"

static void note_time(struct log_writer *writer, uint32_t type, struct slice data)
{
    if (type == ENTRY_APPEND) {
        uint64_t time_ns = append_entry_last_time(data);
        writer->last_time_ns = time_ns > writer->last_time_ns ? time_ns : writer->last_time_ns;
    }
}

static enum status keep_change(struct log_writer *writer, const struct wal_entry *from,
                               struct error *err)
{
    struct raft_entry *entry = raft_entry_new(writer->alloc, from->index, from->term, from->type,
                                              (uint32_t)from->data.length);
    if (entry != NULL && writer->change_count == writer->change_capacity) {
        size_t capacity = writer->change_capacity * 2 + 4;
        struct raft_entry **changes =
            alloc_resize(writer->alloc, writer->changes, capacity * sizeof(struct raft_entry *));
        if (changes == NULL) {
            raft_entry_unref(entry);
            entry = NULL;
        } else {
            writer->changes = changes;
            writer->change_capacity = capacity;
        }
    }
    if (entry == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for the log's memberships");
    }
    if (from->data.length > 0) {
        memcpy(entry->data, from->data.data, from->data.length);
    }
    writer->changes[writer->change_count++] = entry;
    return STATUS_OK;
}

static enum status each_tail(void *context, const struct wal_entry *entry, struct error *err)
{
    struct log_writer *writer = context;
    if (entry->type == RAFT_ENTRY_MEMBERSHIP) {
        return keep_change(writer, entry, err);
    }
    note_time(writer, entry->type, entry->data);
    if (entry->type == ENTRY_APPEND) {
        writer->tail_events += append_entry_count(entry->data);
    }
    return STATUS_OK;
}

enum status log_writer_init(struct log_writer *writer, struct alloc *alloc, struct wal *wal,
                            uint64_t from_index, uint64_t last_index, uint64_t time_ns,
                            struct error *err)
{
    *writer = (struct log_writer){.alloc = alloc, .wal = wal, .last_time_ns = time_ns};
    if (from_index > last_index) {
        return STATUS_OK;
    }
    struct wal_reader *reader = NULL;
    enum status status = wal_reader_open(wal, &reader, err);
    if (status == STATUS_OK) {
        status = wal_read(reader, from_index, last_index + 1, SIZE_MAX, each_tail, writer, err);
    }
    wal_reader_close(reader);
    return status;
}

void log_writer_drop_changes(struct log_writer *writer)
{
    for (size_t i = 0; i < writer->change_count; i++) {
        raft_entry_unref(writer->changes[i]);
    }
    alloc_free(writer->alloc, writer->changes);
    writer->changes = NULL;
    writer->change_count = 0;
    writer->change_capacity = 0;
}

void log_writer_release(struct log_writer *writer)
{
    log_writer_drop_changes(writer);
    for (size_t i = writer->next; i < writer->count; i++) {
        raft_entry_unref(writer->entries[i]);
    }
    if (writer->entries != NULL) {
        alloc_free(writer->alloc, writer->entries);
    }
}

bool log_writer_ready(const struct log_writer *writer)
{
    return !writer->has_hard_state && writer->next == writer->count;
}

static void wait_for_space(struct log_writer *writer, const struct error *err)
{
    char text[ERROR_TEXT_BYTES];
    log_write("wal", LOG_ERROR, "the log waits for disk space", "error=%s",
              log_quote(text, sizeof text, err->text));
    writer->waits = true;
}

enum status log_writer_store(struct log_writer *writer, const struct raft_ready *ready,
                             struct error *err)
{
    CHECK(log_writer_ready(writer));
    if (ready->entry_count > writer->capacity) {
        struct raft_entry **entries = alloc_resize(
            writer->alloc, writer->entries, ready->entry_count * sizeof(struct raft_entry *));
        if (entries == NULL) {
            return error_set(err, STATUS_INTERNAL, "no memory to store entries");
        }
        writer->entries = entries;
        writer->capacity = ready->entry_count;
    }
    writer->has_hard_state = ready->has_hard_state;
    writer->hard_state = ready->hard_state;
    writer->sequence = ready->store_sequence;
    writer->next = 0;
    writer->count = ready->entry_count;
    for (size_t i = 0; i < ready->entry_count; i++) {
        writer->entries[i] = raft_entry_ref(ready->entries[i]);
    }
    return log_writer_go_on(writer, err);
}

enum status log_writer_go_on(struct log_writer *writer, struct error *err)
{
    enum status status = STATUS_OK;
    if (writer->has_hard_state) {
        status =
            wal_set_hard_state(writer->wal, writer->hard_state.term, writer->hard_state.vote, err);
        writer->has_hard_state = status != STATUS_OK;
    }
    while (status == STATUS_OK && writer->next < writer->count) {
        struct raft_entry *from = writer->entries[writer->next];
        const struct wal_entry entry = {.index = from->index,
                                        .term = from->term,
                                        .type = from->type,
                                        .data = raft_entry_slice(from)};
        status = wal_append(writer->wal, &entry, 1, err);
        if (status == STATUS_OK) {
            note_time(writer, entry.type, entry.data);
            writer->given_sequence = writer->sequence;
            raft_entry_unref(from);
            writer->next++;
        }
    }
    /* Too much waits for the disk already: the rest goes in after the group under way. */
    return status == STATUS_RESOURCE_EXHAUSTED ? STATUS_OK : status;
}

enum status log_writer_submit(struct log_writer *writer, struct error *err)
{
    if (writer->waits || wal_busy(writer->wal) || !wal_pending(writer->wal)) {
        return STATUS_OK;
    }
    if (!writer->group_again) {
        writer->submitted_sequence = writer->given_sequence;
    }
    enum status status = wal_submit(writer->wal, err);
    if (status == STATUS_OK) {
        writer->group_again = false;
    } else if (status == STATUS_RESOURCE_EXHAUSTED) {
        wait_for_space(writer, err);
        return STATUS_OK;
    }
    return status;
}

enum status log_writer_finish(struct log_writer *writer, struct log_stored *out, struct error *err)
{
    struct wal_durable durable;
    enum status status = wal_finish(writer->wal, &durable, err);
    if (status == STATUS_RESOURCE_EXHAUSTED) {
        /* Nothing is lost; the next submit writes this group again, alone. */
        writer->group_again = true;
        wait_for_space(writer, err);
    }
    if (status != STATUS_OK) {
        return status;
    }
    *out = (struct log_stored){
        .hard_state = {.term = durable.term, .vote = durable.vote},
        .sequence = durable.index > 0 ? writer->submitted_sequence : 0,
        .index = durable.index,
        .term = durable.entry_term,
    };
    return STATUS_OK;
}

void log_writer_tick(struct log_writer *writer)
{
    writer->waits = false;
}
