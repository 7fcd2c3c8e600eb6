/* SPDX-License-Identifier: Apache-2.0 */
#include "base/crc32c.h"

#include <pthread.h>
#include <string.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

static uint32_t table[256];
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static void table_fill(void)
{
    const uint32_t reversed_polynomial = 0x82f63b78U;
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? reversed_polynomial : 0);
        }
        table[byte] = crc;
    }
}

static uint32_t extend_by_table(uint32_t crc, const uint8_t *data, size_t length)
{
    (void)pthread_once(&table_once, table_fill);
    for (size_t i = 0; i < length; i++) {
        crc = table[(crc ^ data[i]) & 0xff] ^ (crc >> 8);
    }
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t
extend_by_instruction(uint32_t crc, const uint8_t *data, size_t length)
{
    uint64_t wide = crc;
    while (length >= 8) {
        uint64_t word;
        memcpy(&word, data, sizeof word);
        wide = _mm_crc32_u64(wide, word);
        data += 8;
        length -= 8;
    }
    crc = (uint32_t)wide;
    while (length > 0) {
        crc = _mm_crc32_u8(crc, *data);
        data++;
        length--;
    }
    return crc;
}
#endif

uint32_t crc32c_extend_by_table(uint32_t crc, const void *data, size_t length)
{
    return ~extend_by_table(~crc, data, length);
}

uint32_t crc32c_extend(uint32_t crc, const void *data, size_t length)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2")) {
        return ~extend_by_instruction(~crc, data, length);
    }
#endif
    return crc32c_extend_by_table(crc, data, length);
}
