/* SPDX-License-Identifier: Apache-2.0
 *
 * Slice: bytes that somebody else owns. It is valid as long as its owner says.
 */
#ifndef ESTREAT_BASE_SLICE_H
#define ESTREAT_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    const uint8_t *data; /* may be NULL if length is 0 */
    size_t length;
};

static inline struct slice slice_of(const void *data, size_t length)
{
    return (struct slice){.data = data, .length = length};
}

static inline struct slice slice_of_string(const char *text)
{
    return slice_of(text, strlen(text));
}

static inline bool slice_equal(struct slice a, struct slice b)
{
    return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

/* Orders as unsigned bytes, a prefix before what it begins. Returns <0, 0 or >0. */
static inline int slice_compare(struct slice a, struct slice b)
{
    size_t common = a.length < b.length ? a.length : b.length;
    int order = common == 0 ? 0 : memcmp(a.data, b.data, common);
    if (order != 0) {
        return order;
    }
    return a.length < b.length ? -1 : a.length > b.length;
}

static inline bool slice_starts_with(struct slice whole, struct slice prefix)
{
    return whole.length >= prefix.length &&
           (prefix.length == 0 || memcmp(whole.data, prefix.data, prefix.length) == 0);
}

/* The bytes from `offset` on; `offset` must not exceed the length. */
static inline struct slice slice_from(struct slice whole, size_t offset)
{
    return slice_of(whole.data == NULL ? NULL : whole.data + offset, whole.length - offset);
}

#endif
