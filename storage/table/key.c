/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/table/key.h"

#include "base/check.h"

bool internal_key_parse(struct slice internal, struct internal_key *out)
{
    if (internal.length < KEY_TRAILER_BYTES || internal.length > INTERNAL_KEY_BYTES_MAX) {
        return false;
    }
    uint64_t trailer = internal_key_trailer(internal);
    if (key_trailer_type(trailer) > KEY_PUT) {
        return false;
    }
    *out = (struct internal_key){.user = internal_key_user(internal),
                                 .sequence = key_trailer_sequence(trailer),
                                 .type = (enum key_type)key_trailer_type(trailer)};
    return true;
}

size_t internal_key_put(uint8_t *to, struct slice user, uint64_t sequence, enum key_type type)
{
    CHECK(sequence <= SEQUENCE_MAX);
    CHECK(type == KEY_PUT || type == KEY_DELETE);
    if (user.length > 0) {
        memcpy(to, user.data, user.length);
    }
    put_be64(to + user.length, key_trailer(sequence, type));
    return user.length + KEY_TRAILER_BYTES;
}

void internal_key_encode(struct buf *out, struct slice user, uint64_t sequence, enum key_type type)
{
    uint8_t *place = buf_extend(out, user.length + KEY_TRAILER_BYTES);
    if (place != NULL) {
        (void)internal_key_put(place, user, sequence, type);
    }
}
