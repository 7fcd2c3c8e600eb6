/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/table/block.h"

#include "base/check.h"
#include "storage/table/codec.h"

/* --- building ---------------------------------------------------------------------------- */

void block_builder_init(struct block_builder *builder, struct alloc *alloc,
                        uint32_t restart_interval)
{
    CHECK(restart_interval > 0);
    *builder = (struct block_builder){.restart_interval = restart_interval};
    buf_init(&builder->entries, alloc, CODEC_RAW_BYTES_MAX);
    buf_init(&builder->restarts, alloc, CODEC_RAW_BYTES_MAX);
    buf_init(&builder->last_key, alloc, INTERNAL_KEY_BYTES_MAX);
}

void block_builder_release(struct block_builder *builder)
{
    buf_release(&builder->entries);
    buf_release(&builder->restarts);
    buf_release(&builder->last_key);
}

void block_builder_reset(struct block_builder *builder)
{
    buf_clear(&builder->entries);
    buf_clear(&builder->restarts);
    buf_clear(&builder->last_key);
    builder->since_restart = 0;
    builder->count = 0;
}

static size_t common_prefix(struct slice a, struct slice b)
{
    size_t limit = a.length < b.length ? a.length : b.length;
    size_t common = 0;
    while (limit - common >= 8 && get_le64(a.data + common) == get_le64(b.data + common)) {
        common += 8;
    }
    while (common < limit && a.data[common] == b.data[common]) {
        common++;
    }
    return common;
}

bool block_builder_add(struct block_builder *builder, struct slice internal_key, struct slice value)
{
    CHECK(internal_key.length >= KEY_TRAILER_BYTES);
    CHECK(internal_key.length <= INTERNAL_KEY_BYTES_MAX);
    size_t shared = 0;
    if (builder->count == 0 || builder->since_restart == builder->restart_interval) {
        buf_put_le32(&builder->restarts, (uint32_t)builder->entries.length);
        builder->since_restart = 0;
    } else {
        shared = common_prefix(buf_slice(&builder->last_key), internal_key);
    }
    buf_put_varint(&builder->entries, shared);
    buf_put_varint(&builder->entries, internal_key.length - shared);
    buf_put_varint(&builder->entries, value.length);
    buf_append_slice(&builder->entries, slice_from(internal_key, shared));
    buf_append_slice(&builder->entries, value);
    buf_clear(&builder->last_key);
    buf_append_slice(&builder->last_key, internal_key);
    builder->since_restart++;
    builder->count++;
    return !buf_failed(&builder->entries) && !buf_failed(&builder->restarts) &&
           !buf_failed(&builder->last_key);
}

size_t block_builder_bytes(const struct block_builder *builder)
{
    return builder->entries.length + builder->restarts.length + 4;
}

struct slice block_builder_finish(struct block_builder *builder)
{
    CHECK(builder->count > 0);
    buf_append_slice(&builder->entries, buf_slice(&builder->restarts));
    buf_put_le32(&builder->entries, (uint32_t)(builder->restarts.length / 4));
    return buf_failed(&builder->entries) ? slice_of(NULL, 0) : buf_slice(&builder->entries);
}

/* --- reading ----------------------------------------------------------------------------- */

static void invalidate(struct block_iter *iter)
{
    iter->offset = iter->restarts_offset;
    iter->next_offset = iter->restarts_offset;
    iter->kept_count = 0;
    iter->key = slice_of(NULL, 0);
    iter->value = slice_of(NULL, 0);
}

static void damaged(struct block_iter *iter, const char *damage)
{
    invalidate(iter);
    iter->damage = damage;
}

static uint32_t restart_offset(const struct block_iter *iter, uint32_t index)
{
    return get_le32(iter->block.data + iter->restarts_offset + 4 * (size_t)index);
}

bool block_iter_init(struct block_iter *iter, struct slice block)
{
    iter->block = block;
    iter->restarts_offset = 0;
    iter->restarts_count = 0;
    iter->restart_index = 0;
    iter->damage = NULL;
    invalidate(iter);
    if (block.length < 8 || block.length > CODEC_RAW_BYTES_MAX) {
        damaged(iter, "block is too short or too long");
        return false;
    }
    uint32_t count = get_le32(block.data + block.length - 4);
    if (count == 0 || count > (block.length - 4) / 4) {
        damaged(iter, "number of restart points is out of range");
        return false;
    }
    iter->restarts_count = count;
    iter->restarts_offset = (uint32_t)(block.length - 4 - 4 * (size_t)count);
    invalidate(iter);
    if (iter->restarts_offset == 0 || restart_offset(iter, 0) != 0) {
        damaged(iter, "block does not begin with an entry");
        return false;
    }
    return true;
}

/* The three lengths before an entry's bytes, which mostly have one byte each. */
static const uint8_t *read_lengths(const uint8_t *at, const uint8_t *end, uint64_t lengths[3])
{
    for (int i = 0; i < 3; i++) {
        if (at < end && *at < 0x80) {
            lengths[i] = *at++;
            continue;
        }
        size_t length = get_varint(at, end, &lengths[i]);
        if (length == 0) {
            return NULL;
        }
        at += length;
    }
    return at;
}

/* Reads the entry at `offset`; `iter->key` is the key of the entry before it, or empty at a
 * restart point. False: there is none, or it is damaged. */
static bool read_entry(struct block_iter *iter, uint32_t offset)
{
    if (offset >= iter->restarts_offset) {
        invalidate(iter);
        return false;
    }
    const uint8_t *end = iter->block.data + iter->restarts_offset;
    uint64_t lengths[3] = {0};
    const uint8_t *at = read_lengths(iter->block.data + offset, end, lengths);
    size_t left = at == NULL ? 0 : (size_t)(end - at);
    uint64_t shared = lengths[0];
    uint64_t unshared = lengths[1];
    if (at == NULL || unshared > left || lengths[2] > left - unshared) {
        damaged(iter, "entry is cut or its lengths are out of range");
        return false;
    }
    if (shared > iter->key.length || unshared > INTERNAL_KEY_BYTES_MAX ||
        shared + unshared > INTERNAL_KEY_BYTES_MAX || shared + unshared < KEY_TRAILER_BYTES) {
        damaged(iter, "key length is out of range");
        return false;
    }
    if (shared == 0) {
        iter->key = slice_of(at, unshared);
    } else {
        if (iter->key.data != iter->key_bytes) {
            memcpy(iter->key_bytes, iter->key.data, shared);
        }
        memcpy(iter->key_bytes + shared, at, unshared);
        iter->key = slice_of(iter->key_bytes, shared + unshared);
    }
    if (key_trailer_type(internal_key_trailer(iter->key)) > KEY_PUT) {
        damaged(iter, "key has an unknown type");
        return false;
    }
    iter->value = slice_of(at + unshared, lengths[2]);
    iter->offset = offset;
    iter->next_offset = (uint32_t)(at - iter->block.data + (ptrdiff_t)(unshared + lengths[2]));
    CHECK(iter->next_offset > offset && iter->next_offset <= iter->restarts_offset);
    return true;
}

static bool read_restart(struct block_iter *iter, uint32_t index)
{
    CHECK(index < iter->restarts_count);
    uint32_t offset = restart_offset(iter, index);
    if (offset >= iter->restarts_offset) {
        damaged(iter, "restart point is out of range");
        return false;
    }
    iter->key = slice_of(NULL, 0);
    iter->restart_index = index;
    iter->kept_count = 0;
    return read_entry(iter, offset);
}

/* To the next entry. False at the end, or at damage. */
static bool read_next(struct block_iter *iter)
{
    if (!read_entry(iter, iter->next_offset)) {
        return false;
    }
    while (iter->restart_index + 1 < iter->restarts_count &&
           restart_offset(iter, iter->restart_index + 1) <= iter->offset) {
        iter->restart_index++;
    }
    return true;
}

void block_iter_seek_to_first(struct block_iter *iter)
{
    iter->damage = NULL;
    (void)read_restart(iter, 0);
}

void block_iter_seek_to_last(struct block_iter *iter)
{
    iter->damage = NULL;
    if (!read_restart(iter, iter->restarts_count - 1)) {
        return;
    }
    while (iter->next_offset < iter->restarts_offset) {
        if (!read_next(iter)) {
            return;
        }
    }
}

void block_iter_seek(struct block_iter *iter, struct slice target)
{
    CHECK(target.length >= KEY_TRAILER_BYTES);
    iter->damage = NULL;
    /* The last restart point whose key is before the target; the first one if none is. */
    uint32_t low = 0;
    uint32_t high = iter->restarts_count - 1;
    while (low < high) {
        uint32_t middle = low + (high - low + 1) / 2;
        if (!read_restart(iter, middle)) {
            return;
        }
        if (internal_key_compare(iter->key, target) < 0) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    if (!read_restart(iter, low)) {
        return;
    }
    while (internal_key_compare(iter->key, target) < 0) {
        if (!read_next(iter)) {
            return;
        }
    }
}

void block_iter_next(struct block_iter *iter)
{
    CHECK(block_iter_valid(iter));
    iter->kept_count = 0;
    (void)read_next(iter);
}

/* Keeps the current entry behind those that are kept; if there is no room, instead of them. */
static void keep(struct block_iter *iter)
{
    bool copied = iter->key.data == iter->key_bytes; /* else it lies in the block */
    size_t bytes = copied ? iter->key.length : 0;
    if (iter->kept_count == 0 || iter->kept_count == BLOCK_KEPT_MAX ||
        bytes > BLOCK_KEPT_KEY_BYTES - iter->kept_key_bytes) {
        iter->kept_count = 0;
        iter->kept_key_bytes = 0;
    }
    if (bytes > BLOCK_KEPT_KEY_BYTES) {
        return;
    }
    struct block_kept *kept = &iter->kept[iter->kept_count++];
    *kept = (struct block_kept){iter->offset, iter->next_offset, iter->key, iter->value};
    if (copied) {
        kept->key.data = iter->kept_keys + iter->kept_key_bytes;
        memcpy(iter->kept_keys + iter->kept_key_bytes, iter->key.data, bytes);
        iter->kept_key_bytes += (uint32_t)bytes;
    }
}

/* To the last entry that is kept. */
static void go_to_kept(struct block_iter *iter)
{
    const struct block_kept *kept = &iter->kept[--iter->kept_count];
    CHECK(kept->next_offset == iter->offset);
    iter->offset = kept->offset;
    iter->next_offset = kept->next_offset;
    iter->key = kept->key;
    iter->value = kept->value;
}

void block_iter_prev(struct block_iter *iter)
{
    CHECK(block_iter_valid(iter));
    if (iter->kept_count > 0) {
        go_to_kept(iter);
        return;
    }
    uint32_t original = iter->offset;
    uint32_t index = iter->restart_index;
    while (index > 0 && restart_offset(iter, index) >= original) {
        index--;
    }
    if (restart_offset(iter, index) >= original) {
        invalidate(iter);
        return;
    }
    if (!read_restart(iter, index)) {
        return;
    }
    while (iter->next_offset < original) {
        keep(iter);
        if (!read_next(iter)) {
            return;
        }
    }
    if (iter->next_offset != original) {
        damaged(iter, "restart point is not at an entry");
    }
}

bool block_iter_at_restart(const struct block_iter *iter, uint32_t index)
{
    CHECK(block_iter_valid(iter));
    return index < iter->restarts_count && restart_offset(iter, index) == iter->offset;
}

bool block_iter_key_is_whole(const struct block_iter *iter)
{
    CHECK(block_iter_valid(iter));
    return iter->block.data[iter->offset] == 0;
}
