/* SPDX-License-Identifier: Apache-2.0 */
#include "node/version_rows.h"

#include "base/check.h"
#include "base/plant.h"

/* Far above what a group can collect: its entries, each of the largest size. */
#define BYTES_MAX (64 * MIB)

struct version_row_place {
    uint64_t prefix; /* of the key, big-endian: decides most comparisons */
    uint32_t begin;
    uint16_t key_length;
    uint16_t value_length;
    const uint8_t *bytes; /* set before sorting, when `bytes` moves no more */
};

void version_rows_init(struct version_rows *rows, struct alloc *alloc)
{
    buf_init(&rows->bytes, alloc, BYTES_MAX);
    buf_init(&rows->offsets, alloc, BYTES_MAX);
}

void version_rows_release(struct version_rows *rows)
{
    buf_release(&rows->bytes);
    buf_release(&rows->offsets);
}

void version_rows_add(struct version_rows *rows, struct slice key, uint64_t version,
                      const struct version_row *row)
{
    uint8_t bytes[VERSION_KEY_BYTES_MAX + VERSION_ROW_BYTES_MAX];
    size_t key_length = version_key(key, version, bytes);
    size_t value_length = version_row_encode(row, bytes + key_length);
    const struct version_row_place place = {.prefix = get_be64(bytes),
                                            .begin = (uint32_t)rows->bytes.length,
                                            .key_length = (uint16_t)key_length,
                                            .value_length = (uint16_t)value_length};
    buf_append(&rows->bytes, bytes, key_length + value_length);
    buf_append(&rows->offsets, &place, sizeof place);
}

static int by_key(const void *a, const void *b)
{
    const struct version_row_place *left = a;
    const struct version_row_place *right = b;
    if (left->prefix != right->prefix) {
        return left->prefix < right->prefix ? -1 : 1;
    }
    return slice_compare(slice_of(left->bytes, left->key_length),
                         slice_of(right->bytes, right->key_length));
}

/* Two versions of one key. */
static bool is_of_same_key(const struct version_row_place *a, const struct version_row_place *b)
{
    return slice_equal(slice_of(a->bytes, a->key_length - 8),
                       slice_of(b->bytes, b->key_length - 8));
}

enum status version_rows_put(struct version_rows *rows, struct batch *batch, struct error *err)
{
    if (buf_failed(&rows->bytes) || buf_failed(&rows->offsets)) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for the rows of a group");
    }
    struct version_row_place *places = (void *)rows->offsets.data;
    size_t count = rows->offsets.length / sizeof *places;
    for (size_t i = 0; i < count; i++) {
        places[i].bytes = rows->bytes.data + places[i].begin;
    }
    if (count > 0) {
        qsort(places, count, sizeof *places, by_key);
    }
    for (size_t i = 0; i < count; i++) {
        if (PLANTED(FIRST_ROW) && i > 0 && is_of_same_key(&places[i - 1], &places[i])) {
            continue;
        }
        batch_put(batch, KEYSPACE_VERSIONS, slice_of(places[i].bytes, places[i].key_length),
                  slice_of(places[i].bytes + places[i].key_length, places[i].value_length));
    }
    buf_clear(&rows->bytes);
    buf_clear(&rows->offsets);
    return STATUS_OK;
}
