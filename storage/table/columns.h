/* SPDX-License-Identifier: Apache-2.0
 *
 * Columns: another form of a raw data block (table/block.h) that a codec makes more of. For blocks
 * whose user keys are 8-byte numbers, and whose values have an 8-byte number at one place, as a
 * log's positions and times are: keys, sequences and these numbers, which grow by a little from
 * entry to entry and would lie scattered between the payloads, become columns of differences.
 *
 * Bytes, in storage/FORMAT.md: varint length of the raw block, restart interval, place of the
 * number, count, and the bytes that each of the first three columns takes; the columns of keys,
 * trailers, numbers (zigzag varints of the difference to the entry before, from 0), and of the
 * values' lengths (varints); then the values without their numbers.
 *
 * Pure functions. Unpacking gives back the very block that was packed.
 */
#ifndef ESTREAT_STORAGE_TABLE_COLUMNS_H
#define ESTREAT_STORAGE_TABLE_COLUMNS_H

#include "base/buf.h"
#include "base/slice.h"
#include "base/status.h"

/* The largest place of the number in a value. */
#define COLUMNS_PLACE_MAX 64U

/* Appends the form of a block that a block_builder has made with that interval. False: some key is
 * no 8-byte number, or a value too short to have one at `place`; or there is no memory (the buf has
 * failed). What was appended is then of no use. */
bool columns_pack(struct slice raw, uint32_t restart_interval, uint32_t place,
                  struct buf *out) MUST_USE;

/* The length that the untrusted bytes claim for the raw block; 0: none that one can have. */
size_t columns_raw_length(struct slice packed);

/* Writes the raw block of exactly `raw_length` bytes. False: the untrusted bytes are no packed form
 * of such a block. */
bool columns_unpack(struct slice packed, uint8_t *raw, size_t raw_length) MUST_USE;

#endif
