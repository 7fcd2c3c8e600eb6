/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/inspect/start.h"
static void ignore_job(struct executor *executor, struct job *job)
{
    (void)executor;
    (void)job;
}

static void ignore_close(struct executor *executor)
{
    (void)executor;
}

enum status inspect_start(const struct inspect_tables *tables, struct engine **engine,
                          struct error *err)
{
    static const struct executor_ops ops = {.submit = ignore_job, .close = ignore_close};
    static struct executor executor = {.ops = &ops};
    const struct store_place *place = tables->place;
    const struct manifest_state *state = &tables->state;
    struct keyspace_options keyspaces[KEYSPACES_MAX];
    if (state->keyspace_count == 0) {
        return error_set(err, STATUS_FAILED_PRECONDITION, "%.300s: no keyspaces", place->tables);
    }
    for (size_t i = 0; i < state->keyspace_count; i++) {
        keyspaces[i] = (struct keyspace_options){.name = state->keyspaces[i].name,
                                                 .layout = state->keyspaces[i].layout};
    }
    const struct engine_options options = {.fs = place->fs,
                                           .alloc = place->alloc,
                                           .executor = &executor,
                                           .dir = place->tables,
                                           .keyspaces = keyspaces,
                                           .keyspace_count = state->keyspace_count,
                                           .block_cache_bytes = 1 * MIB};
    return engine_open(&options, engine, err);
}
