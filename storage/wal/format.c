/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/wal/format.h"

#include <stdio.h>

#include "base/check.h"
#include "base/crc32c.h"

static const uint8_t magic[8] = {'E', 'S', 'T', 'R', 'W', 'A', 'L', '\n'};

enum {
    HEAD_VERSION = 8,
    HEAD_FILE = 16,
    HEAD_SALT = 24,
    HEAD_IDENTITY_LENGTH = 32,
    HEAD_IDENTITY = 36,
    HEAD_CRC = WAL_BLOCK_BYTES - 4,

    RECORD_LENGTH = 0,
    RECORD_TYPE = 4,
    RECORD_CRC = 8,
};

_Static_assert(HEAD_IDENTITY + WAL_IDENTITY_BYTES_MAX <= HEAD_CRC, "the identity fits the head");

/* --- the head ---------------------------------------------------------------------------- */

void wal_head_encode(const struct wal_head *head, uint8_t out[WAL_BLOCK_BYTES])
{
    CHECK(head->identity_length <= WAL_IDENTITY_BYTES_MAX);
    CHECK(head->file > 0);
    CHECK(head->version == WAL_VERSION_GROUPS || head->version == WAL_VERSION_CHAINS);
    memset(out, 0, WAL_BLOCK_BYTES);
    memcpy(out, magic, sizeof magic);
    put_le32(out + HEAD_VERSION, head->version);
    put_le64(out + HEAD_FILE, head->file);
    put_le64(out + HEAD_SALT, head->salt);
    put_le32(out + HEAD_IDENTITY_LENGTH, (uint32_t)head->identity_length);
    memcpy(out + HEAD_IDENTITY, head->identity, head->identity_length);
    put_le32(out + HEAD_CRC, crc32c_extend(0, out, HEAD_CRC));
}

enum status wal_head_decode(const uint8_t bytes[WAL_BLOCK_BYTES], const char *path,
                            struct wal_head *out, struct error *err)
{
    if (memcmp(bytes, magic, sizeof magic) != 0) {
        return error_set(err, STATUS_CORRUPT, "%.300s: offset 0: not a log segment", path);
    }
    if (get_le32(bytes + HEAD_CRC) != crc32c_extend(0, bytes, HEAD_CRC)) {
        return error_set(err, STATUS_CORRUPT, "%.300s: offset 0: checksum mismatch in the head",
                         path);
    }
    uint32_t version = get_le32(bytes + HEAD_VERSION);
    if (version != WAL_VERSION_GROUPS && version != WAL_VERSION_CHAINS) {
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "%.300s: log format %u, this program knows %u and below", path, version,
                         WAL_VERSION_CHAINS);
    }
    uint32_t length = get_le32(bytes + HEAD_IDENTITY_LENGTH);
    if (length > WAL_IDENTITY_BYTES_MAX || get_le64(bytes + HEAD_FILE) == 0) {
        return error_set(err, STATUS_CORRUPT, "%.300s: offset 0: impossible head", path);
    }
    *out = (struct wal_head){.version = version,
                             .file = get_le64(bytes + HEAD_FILE),
                             .salt = get_le64(bytes + HEAD_SALT),
                             .identity_length = length};
    memcpy(out->identity, bytes + HEAD_IDENTITY, length);
    return STATUS_OK;
}

enum { NAME_DIGITS = 16 };

enum status wal_segment_path(char *out, const char *dir, uint64_t file, struct error *err)
{
    char name[NAME_DIGITS + sizeof ".wal"];
    (void)snprintf(name, sizeof name, "%016llx.wal", (unsigned long long)file);
    return path_join(out, dir, name, err);
}

bool wal_segment_name_parse(const char *name, uint64_t *file)
{
    uint64_t number = 0;
    size_t length = strlen(name);
    if (length != NAME_DIGITS + 4 || memcmp(name + NAME_DIGITS, ".wal", 4) != 0) {
        return false;
    }
    for (size_t i = 0; i < NAME_DIGITS; i++) {
        char c = name[i];
        if (c >= '0' && c <= '9') {
            number = number << 4 | (uint64_t)(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            number = number << 4 | (uint64_t)(c - 'a' + 10);
        } else {
            return false;
        }
    }
    *file = number;
    return number > 0;
}

/* --- records ----------------------------------------------------------------------------- */

/* The checksum covers the header before it, the content, and then the place, so that the first
 * two can be summed while they are in the cache, before the place is known. */
static void header_put(uint8_t *to, enum wal_record_type type, size_t content_length)
{
    CHECK(content_length <= UINT32_MAX);
    put_le32(to + RECORD_LENGTH, (uint32_t)content_length);
    put_le32(to + RECORD_TYPE, (uint32_t)type);
}

static uint32_t crc_of_bytes(const uint8_t *record, size_t content_length)
{
    uint32_t crc = crc32c_extend(0, record, RECORD_CRC);
    return crc32c_extend(crc, record + WAL_RECORD_HEADER_BYTES, content_length);
}

static uint32_t crc_with_place(uint32_t crc, struct wal_position place, uint64_t salt)
{
    uint8_t bytes[24];
    put_le64(bytes, place.file);
    put_le64(bytes + 8, place.offset);
    put_le64(bytes + 16, salt);
    return crc32c_extend(crc, bytes, sizeof bytes);
}

static size_t begin_crc(uint8_t *record, size_t content_length)
{
    put_le32(record + RECORD_CRC, crc_of_bytes(record, content_length));
    return WAL_RECORD_HEADER_BYTES + content_length;
}

size_t wal_entry_put(uint8_t *to, const struct wal_entry *entry)
{
    CHECK(entry->data.length <= ENTRY_BYTES_MAX);
    size_t length = WAL_ENTRY_FIXED_BYTES + entry->data.length;
    uint8_t *content = to + WAL_RECORD_HEADER_BYTES;
    header_put(to, WAL_RECORD_ENTRY, length);
    put_le64(content, entry->index);
    put_le64(content + 8, entry->term);
    put_le32(content + 16, entry->type);
    if (entry->data.length > 0) {
        memcpy(content + WAL_ENTRY_FIXED_BYTES, entry->data.data, entry->data.length);
    }
    return begin_crc(to, length);
}

size_t wal_next_put(uint8_t *to, const struct wal_entry *entry)
{
    CHECK(entry->data.length <= ENTRY_BYTES_MAX);
    CHECK(wal_is_brief(entry->type));
    size_t length = WAL_NEXT_FIXED_BYTES + entry->data.length;
    uint8_t *content = to + WAL_RECORD_HEADER_BYTES;
    header_put(to, WAL_RECORD_NEXT, length);
    content[0] = (uint8_t)entry->type;
    if (entry->data.length > 0) {
        memcpy(content + WAL_NEXT_FIXED_BYTES, entry->data.data, entry->data.length);
    }
    return begin_crc(to, length);
}

size_t wal_pair_put(uint8_t *to, enum wal_record_type type, uint64_t first, uint64_t second)
{
    CHECK(type == WAL_RECORD_HARD_STATE || type == WAL_RECORD_TRUNCATE || type == WAL_RECORD_RESET);
    header_put(to, type, WAL_PAIR_BYTES);
    put_le64(to + WAL_RECORD_HEADER_BYTES, first);
    put_le64(to + WAL_RECORD_HEADER_BYTES + 8, second);
    return begin_crc(to, WAL_PAIR_BYTES);
}

size_t wal_synced_put(uint8_t *to)
{
    header_put(to, WAL_RECORD_SYNCED, 0);
    return begin_crc(to, 0);
}

size_t wal_group_put(uint8_t *to, const struct wal_group_content *content)
{
    CHECK(content->bytes <= WAL_GROUP_BYTES_MAX);
    CHECK(content->records > 0);
    bool is_chain = content->chain != 0;
    size_t length = is_chain ? WAL_CHAIN_CONTENT_BYTES : WAL_GROUP_CONTENT_BYTES;
    uint8_t *at = to + WAL_RECORD_HEADER_BYTES;
    header_put(to, is_chain ? WAL_RECORD_CHAIN : WAL_RECORD_GROUP, length);
    put_le64(at, content->synced_through.file);
    put_le64(at + 8, content->synced_through.offset);
    put_le32(at + 16, content->bytes);
    put_le32(at + 20, content->records);
    if (is_chain) {
        put_le64(at + 24, content->chain);
        put_le64(at + 32, content->follows);
    }
    return begin_crc(to, length);
}

size_t wal_record_finish(uint8_t *at, struct wal_position place, uint64_t salt)
{
    size_t length = wal_record_length(at);
    CHECK(length >= WAL_RECORD_HEADER_BYTES);
    put_le32(at + RECORD_CRC, crc_with_place(get_le32(at + RECORD_CRC), place, salt));
    return length;
}

size_t wal_record_length(const uint8_t header[WAL_RECORD_HEADER_BYTES])
{
    size_t length = get_le32(header + RECORD_LENGTH);
    uint32_t type = get_le32(header + RECORD_TYPE);
    bool possible = type >= WAL_RECORD_GROUP && type <= WAL_RECORD_NEXT &&
                    length <= WAL_ENTRY_FIXED_BYTES + ENTRY_BYTES_MAX;
    return possible ? WAL_RECORD_HEADER_BYTES + length : 0;
}

bool wal_record_check(struct slice bytes, struct wal_position place, uint64_t salt,
                      struct wal_record *out)
{
    if (bytes.length < WAL_RECORD_HEADER_BYTES) {
        return false;
    }
    size_t length = wal_record_length(bytes.data);
    if (length == 0 || length > bytes.length) {
        return false;
    }
    size_t content_length = length - WAL_RECORD_HEADER_BYTES;
    uint32_t crc = crc_with_place(crc_of_bytes(bytes.data, content_length), place, salt);
    if (crc != get_le32(bytes.data + RECORD_CRC)) {
        return false;
    }
    *out = (struct wal_record){
        .type = (enum wal_record_type)get_le32(bytes.data + RECORD_TYPE),
        .content = slice_of(bytes.data + WAL_RECORD_HEADER_BYTES, content_length),
    };
    return true;
}

bool wal_group_get(const struct wal_record *record, struct wal_group_content *out)
{
    const uint8_t *content = record->content.data;
    bool is_chain = record->type == WAL_RECORD_CHAIN;
    size_t length = is_chain ? WAL_CHAIN_CONTENT_BYTES : WAL_GROUP_CONTENT_BYTES;
    if ((!is_chain && record->type != WAL_RECORD_GROUP) || record->content.length != length) {
        return false;
    }
    *out = (struct wal_group_content){
        .synced_through = {.file = get_le64(content), .offset = get_le64(content + 8)},
        .bytes = get_le32(content + 16),
        .records = get_le32(content + 20),
        .chain = is_chain ? get_le64(content + 24) : 0,
        .follows = is_chain ? get_le64(content + 32) : 0,
    };
    return out->bytes <= WAL_GROUP_BYTES_MAX && out->records > 0 && is_chain == (out->chain != 0);
}

bool wal_entry_get(const struct wal_record *record, struct wal_entry *out)
{
    const uint8_t *content = record->content.data;
    if (record->type == WAL_RECORD_NEXT && record->content.length >= WAL_NEXT_FIXED_BYTES) {
        *out = (struct wal_entry){
            .index = record->before_index + 1,
            .term = record->before_term,
            .type = content[0],
            .data = slice_from(record->content, WAL_NEXT_FIXED_BYTES),
        };
        return true;
    }
    if (record->type != WAL_RECORD_ENTRY || record->content.length < WAL_ENTRY_FIXED_BYTES) {
        return false;
    }
    *out = (struct wal_entry){
        .index = get_le64(content),
        .term = get_le64(content + 8),
        .type = get_le32(content + 16),
        .data = slice_from(record->content, WAL_ENTRY_FIXED_BYTES),
    };
    return true;
}

bool wal_pair_get(const struct wal_record *record, uint64_t *first, uint64_t *second)
{
    bool is_pair = record->type == WAL_RECORD_HARD_STATE || record->type == WAL_RECORD_TRUNCATE ||
                   record->type == WAL_RECORD_RESET;
    if (!is_pair || record->content.length != WAL_PAIR_BYTES) {
        return false;
    }
    *first = get_le64(record->content.data);
    *second = get_le64(record->content.data + 8);
    return true;
}
