/* SPDX-License-Identifier: Apache-2.0
 *
 * CRC-32C (Castagnoli), the checksum of every frame, block and record. Uses the
 * processor's instruction where it has one. Pure; any thread.
 */
#ifndef ESTREAT_BASE_CRC32C_H
#define ESTREAT_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* The checksum of A followed by B is crc32c_extend(crc32c_extend(0, A), B).
 * crc32c_extend(0, "123456789") is 0xe3069283. */
uint32_t crc32c_extend(uint32_t crc, const void *data, size_t length);

/* The same on any processor, and slower: what crc32c_extend does without the instruction. */
uint32_t crc32c_extend_by_table(uint32_t crc, const void *data, size_t length);

#endif
