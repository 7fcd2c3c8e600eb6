/* SPDX-License-Identifier: Apache-2.0
 *
 * Tables: a store's directory as its manifest says that it is, with no engine: nothing is
 * written, cut or removed, and any keyspaces will do.
 */
#ifndef ESTREAT_STORAGE_INSPECT_TABLES_H
#define ESTREAT_STORAGE_INSPECT_TABLES_H

#include "storage/inspect/place.h"
#include "storage/tree/catalog.h"
#include "storage/tree/manifest_read.h"

struct inspect_tables {
    const struct store_place *place;
    uint64_t number; /* of the manifest that CURRENT names */
    struct manifest_state state;
    struct manifest_reading reading;
    struct epoch epoch; /* the catalog's */
    struct catalog *catalog;
    struct version *version; /* the live tables */
};

/* How a manifest of this place is read. */
struct manifest_options inspect_manifest_options(const struct store_place *place);

/* Reads CURRENT and the manifest that it names, to release also after an error. NOT_FOUND: there is
 * no CURRENT. CORRUPT names file and offset. Borrows `place`. */
enum status inspect_tables_open(struct inspect_tables *tables, const struct store_place *place,
                                struct error *err) MUST_USE;

/* As above, but the manifest of that number, whatever CURRENT says. */
enum status inspect_tables_open_as(struct inspect_tables *tables, const struct store_place *place,
                                   uint64_t number, struct error *err) MUST_USE;
void inspect_tables_release(struct inspect_tables *tables);

bool inspect_tables_has(const struct inspect_tables *tables, uint64_t number);

#endif
