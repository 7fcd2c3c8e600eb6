/* SPDX-License-Identifier: Apache-2.0 */
#include "merkle/utf8.h"

static size_t sequence_length(uint8_t lead)
{
    if (lead < 0x80) {
        return 1;
    }
    if (lead >= 0xc2 && lead <= 0xdf) {
        return 2;
    }
    if (lead >= 0xe0 && lead <= 0xef) {
        return 3;
    }
    return lead >= 0xf0 && lead <= 0xf4 ? 4 : 0;
}

size_t utf8_next(struct slice text, uint32_t *code_point)
{
    /* The smallest code point that needs each length: shorter ones are overlong. */
    static const uint32_t smallest[5] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = text.length == 0 ? 0 : sequence_length(text.data[0]);
    if (length == 0 || length > text.length) {
        return 0;
    }
    uint32_t value = length == 1 ? text.data[0] : text.data[0] & (0x7fU >> length);
    for (size_t i = 1; i < length; i++) {
        if ((text.data[i] & 0xc0) != 0x80) {
            return 0;
        }
        value = value << 6 | (text.data[i] & 0x3fU);
    }
    bool surrogate = value >= 0xd800 && value <= 0xdfff;
    if (value < smallest[length] || surrogate || value > 0x10ffff) {
        return 0;
    }
    *code_point = value;
    return length;
}

bool utf8_valid(struct slice text)
{
    while (text.length > 0) {
        uint32_t code_point;
        size_t length = utf8_next(text, &code_point);
        if (length == 0) {
            return false;
        }
        text = slice_from(text, length);
    }
    return true;
}

bool utf8_is_space(uint32_t code_point)
{
    switch (code_point) {
    case 0x20:
    case 0x85:
    case 0xa0:
    case 0x1680:
    case 0x2028:
    case 0x2029:
    case 0x202f:
    case 0x205f:
    case 0x3000:
        return true;
    default:
        return (code_point >= 0x09 && code_point <= 0x0d) ||
               (code_point >= 0x2000 && code_point <= 0x200a);
    }
}
