/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/inspect/tables.h"

struct manifest_options inspect_manifest_options(const struct store_place *place)
{
    return (struct manifest_options){.fs = place->fs, .alloc = place->alloc, .dir = place->tables};
}

/* The tables as a version: so it is checked that they fit together. */
static enum status make_version(struct inspect_tables *tables, struct error *err)
{
    char name[MANIFEST_NAME_BYTES];
    size_t keyspaces = tables->state.keyspace_count;
    const struct catalog_options options = {.fs = tables->place->fs,
                                            .alloc = tables->place->alloc,
                                            .dir = tables->place->tables,
                                            .epoch = &tables->epoch,
                                            .keyspace_count = keyspaces == 0 ? 1 : keyspaces};
    enum status status = catalog_open(&options, &tables->catalog, err);
    if (status == STATUS_OK) {
        status = catalog_prepare(tables->catalog, &tables->state.tables, &tables->version, err);
        if (status != STATUS_OK) {
            (void)error_wrap(err, "%.300s/%s at 0", tables->place->tables,
                             manifest_file_name(name, tables->number));
        }
    }
    return status;
}

static void begin(struct inspect_tables *tables, const struct store_place *place)
{
    *tables = (struct inspect_tables){.place = place};
    epoch_init(&tables->epoch);
    manifest_state_init(&tables->state, place->alloc);
}

static enum status read_manifest(struct inspect_tables *tables, uint64_t number, struct error *err)
{
    const struct manifest_options options = inspect_manifest_options(tables->place);
    tables->number = number;
    enum status status =
        manifest_read(&options, number, &tables->state, NULL, NULL, &tables->reading, err);
    return status == STATUS_OK ? make_version(tables, err) : status;
}

enum status inspect_tables_open_as(struct inspect_tables *tables, const struct store_place *place,
                                   uint64_t number, struct error *err)
{
    begin(tables, place);
    return read_manifest(tables, number, err);
}

enum status inspect_tables_open(struct inspect_tables *tables, const struct store_place *place,
                                struct error *err)
{
    const struct manifest_options options = inspect_manifest_options(place);
    uint64_t number = 0;
    begin(tables, place);
    enum status status = manifest_read_current(&options, &number, err);
    return status == STATUS_OK ? read_manifest(tables, number, err) : status;
}

void inspect_tables_release(struct inspect_tables *tables)
{
    version_release(tables->version);
    catalog_close(tables->catalog);
    epoch_release(&tables->epoch);
    manifest_state_release(&tables->state);
}

bool inspect_tables_has(const struct inspect_tables *tables, uint64_t number)
{
    size_t index = 0;
    return edit_find_add(&tables->state.tables, number, &index);
}
