/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/tree/flush.h"

#include "base/check.h"

void flush_init(struct flush *flush, const struct output_place *place,
                const struct keyspace_options *keyspaces, size_t keyspace_count,
                struct memtable *const *memtables, const uint64_t *snapshots, size_t snapshot_count,
                struct edit *edit)
{
    CHECK(keyspace_count > 0);
    *flush = (struct flush){.place = place,
                            .keyspaces = keyspaces,
                            .keyspace_count = keyspace_count,
                            .memtables = memtables,
                            .edit = edit};
    /* Deletions stay: older versions may lie in any level. */
    retain_init(&flush->retain, place->alloc, snapshots, snapshot_count, NULL, NULL);
}

static enum status begin_keyspace(struct flush *flush, struct error *err)
{
    const struct keyspace_options *keyspace = &flush->keyspaces[flush->keyspace];
    flush->iter = memtable_iter_new(flush->memtables[flush->keyspace]);
    if (flush->iter == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for an iterator");
    }
    retain_reset(&flush->retain);
    output_init(&flush->output, flush->place, keyspace, flush->keyspace,
                keyspace->layout == KEYSPACE_APPEND ? KEYSPACE_FRESH_LEVEL : 0, flush->edit);
    iter_seek_to_first(flush->iter);
    return STATUS_OK;
}

static void end_keyspace(struct flush *flush)
{
    if (flush->iter != NULL) {
        iter_close(flush->iter);
        flush->iter = NULL;
        flush->written += flush->output.written;
        output_release(&flush->output);
    }
}

/* Moves up to *bytes of the keyspace under way and takes them off. */
static enum status move(struct flush *flush, size_t *bytes, struct error *err)
{
    while (*bytes > 0 && iter_valid(flush->iter)) {
        struct slice key = iter_key(flush->iter);
        struct slice value = iter_value(flush->iter);
        bool keep = false;
        enum status status = retain_next(&flush->retain, key, &keep, err);
        if (status == STATUS_OK && keep) {
            status = output_add(&flush->output, key, value, false, err);
        }
        if (status != STATUS_OK) {
            return status;
        }
        size_t moved = key.length + value.length;
        *bytes -= moved < *bytes ? moved : *bytes;
        iter_next(flush->iter);
    }
    return STATUS_OK;
}

enum status flush_step(struct flush *flush, size_t bytes, bool *done, struct error *err)
{
    CHECK(bytes > 0);
    *done = false;
    while (bytes > 0 && flush->keyspace < flush->keyspace_count) {
        enum status status = STATUS_OK;
        if (flush->iter == NULL) {
            if (memtable_count(flush->memtables[flush->keyspace]) == 0) {
                flush->keyspace++;
                continue;
            }
            status = begin_keyspace(flush, err);
        }
        if (status == STATUS_OK) {
            status = move(flush, &bytes, err);
        }
        if (status == STATUS_OK && !iter_valid(flush->iter)) {
            status = output_finish(&flush->output, err);
            if (status == STATUS_OK) {
                end_keyspace(flush);
                flush->keyspace++;
            }
        }
        if (status != STATUS_OK) {
            return status;
        }
    }
    *done = flush->keyspace == flush->keyspace_count;
    return STATUS_OK;
}

void flush_release(struct flush *flush)
{
    end_keyspace(flush);
    retain_release(&flush->retain);
}
