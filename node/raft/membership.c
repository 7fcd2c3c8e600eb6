/* SPDX-License-Identifier: Apache-2.0 */
#include "raft/membership.h"

#include "base/check.h"

enum { LAYOUT = 1 };

const char *raft_member_role_name(enum raft_member_role role)
{
    switch (role) {
    case RAFT_VOTER:
        return "voter";
    case RAFT_LEARNER:
        return "learner";
    }
    return "?";
}

void raft_membership_encode(const struct raft_membership *membership, struct buf *out)
{
    CHECK(membership->count <= MEMBERS_MAX);
    CHECK(membership->removed_count <= RAFT_REMOVED_MAX);
    buf_put_u8(out, LAYOUT);
    buf_put_u8(out, (uint8_t)membership->count);
    for (size_t i = 0; i < membership->count; i++) {
        const struct raft_member *member = &membership->of[i];
        CHECK(member->info.length <= UINT16_MAX);
        buf_put_le64(out, member->id);
        buf_put_u8(out, (uint8_t)member->role);
        buf_put_le16(out, (uint16_t)member->info.length);
        buf_append_slice(out, member->info);
    }
    buf_put_le16(out, (uint16_t)membership->removed_count);
    buf_append(out, membership->removed, membership->removed_count * 8);
}

static bool decode_member(struct cursor *cursor, uint64_t after, struct raft_member *member)
{
    member->id = cursor_le64(cursor);
    uint8_t role = cursor_u8(cursor);
    member->role = (enum raft_member_role)role;
    member->info = cursor_bytes(cursor, cursor_le16(cursor));
    return !cursor->failed && member->id > after && (role == RAFT_VOTER || role == RAFT_LEARNER);
}

static uint64_t removed_at(const struct raft_membership *membership, size_t i)
{
    return get_le64(membership->removed + i * 8);
}

static bool removed_in_order(const struct raft_membership *membership)
{
    for (size_t i = 0; i < membership->removed_count; i++) {
        uint64_t id = removed_at(membership, i);
        if ((i > 0 && id <= removed_at(membership, i - 1)) ||
            raft_membership_find(membership, id) != NULL) {
            return false;
        }
    }
    return true;
}

enum status raft_membership_decode(struct slice bytes, struct raft_membership *out,
                                   struct error *err)
{
    struct raft_membership found = {0};
    *out = found;
    if (bytes.length == 0) {
        return STATUS_OK;
    }
    struct cursor cursor = cursor_of(bytes);
    uint8_t layout = cursor_u8(&cursor);
    found.count = cursor_u8(&cursor);
    bool good = !cursor.failed && layout == LAYOUT && found.count <= MEMBERS_MAX;
    for (size_t i = 0; i < found.count && good; i++) {
        good = decode_member(&cursor, i == 0 ? 0 : found.of[i - 1].id, &found.of[i]);
    }
    if (good) {
        found.removed_count = cursor_le16(&cursor);
        struct slice removed = cursor_bytes(&cursor, found.removed_count * 8);
        found.removed = removed.data;
        good = !cursor.failed && cursor_left(&cursor) == 0 &&
               found.removed_count <= RAFT_REMOVED_MAX && removed_in_order(&found);
    }
    if (!good) {
        return error_set(err, STATUS_CORRUPT, "the bytes of a membership are malformed");
    }
    *out = found;
    return STATUS_OK;
}

const struct raft_member *raft_membership_find(const struct raft_membership *membership,
                                               uint64_t id)
{
    for (size_t i = 0; i < membership->count; i++) {
        if (membership->of[i].id == id) {
            return &membership->of[i];
        }
    }
    return NULL;
}

bool raft_membership_removed(const struct raft_membership *membership, uint64_t id)
{
    for (size_t i = 0; i < membership->removed_count; i++) {
        if (removed_at(membership, i) == id) {
            return true;
        }
    }
    return false;
}

size_t raft_membership_voters(const struct raft_membership *membership)
{
    size_t voters = 0;
    for (size_t i = 0; i < membership->count; i++) {
        voters += membership->of[i].role == RAFT_VOTER;
    }
    return voters;
}

/* ---- The three changes ----------------------------------------------------------------------- */

enum status raft_membership_add(const struct raft_membership *from, uint64_t id, struct slice info,
                                struct buf *out, struct error *err)
{
    if (raft_membership_find(from, id) != NULL) {
        return error_set(err, STATUS_ALREADY_EXISTS, "it is a member already");
    }
    if (raft_membership_removed(from, id)) {
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "a member of this id was removed; ids are not used again");
    }
    if (from->count == MEMBERS_MAX) {
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "there are %zu members already, as many as there may be", from->count);
    }
    struct raft_membership to = *from;
    size_t at = to.count++;
    while (at > 0 && to.of[at - 1].id > id) {
        to.of[at] = to.of[at - 1];
        at--;
    }
    to.of[at] = (struct raft_member){.id = id, .role = RAFT_LEARNER, .info = info};
    raft_membership_encode(&to, out);
    return STATUS_OK;
}

enum status raft_membership_promote(const struct raft_membership *from, uint64_t id,
                                    struct buf *out, struct error *err)
{
    struct raft_membership to = *from;
    for (size_t i = 0; i < to.count; i++) {
        if (to.of[i].id != id) {
            continue;
        }
        if (to.of[i].role == RAFT_VOTER) {
            return error_set(err, STATUS_ALREADY_EXISTS, "it is a voter already");
        }
        to.of[i].role = RAFT_VOTER;
        raft_membership_encode(&to, out);
        return STATUS_OK;
    }
    return error_set(err, STATUS_NOT_FOUND, "there is no such member");
}

enum status raft_membership_remove(const struct raft_membership *from, uint64_t id, struct buf *out,
                                   struct error *err)
{
    struct raft_membership to = *from;
    const struct raft_member *member = raft_membership_find(from, id);
    if (member == NULL) {
        return error_set(err, STATUS_NOT_FOUND, "there is no such member");
    }
    if (member->role == RAFT_VOTER && raft_membership_voters(from) == 1) {
        return error_set(err, STATUS_FAILED_PRECONDITION, "it is the last voter");
    }
    if (from->removed_count == RAFT_REMOVED_MAX) {
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "%u members were removed, as many as there may be", RAFT_REMOVED_MAX);
    }
    uint8_t removed[RAFT_REMOVED_MAX * 8];
    size_t at = 0;
    while (at < from->removed_count && removed_at(from, at) < id) {
        at++;
    }
    if (at > 0) {
        memcpy(removed, from->removed, at * 8);
    }
    put_le64(removed + at * 8, id);
    if (at < from->removed_count) {
        memcpy(removed + (at + 1) * 8, from->removed + at * 8, (from->removed_count - at) * 8);
    }
    to.removed = removed;
    to.removed_count = from->removed_count + 1;
    size_t place = (size_t)(member - from->of);
    to.count--;
    memmove(to.of + place, to.of + place + 1, (to.count - place) * sizeof to.of[0]);
    raft_membership_encode(&to, out);
    return STATUS_OK;
}

/* ---- The rule -------------------------------------------------------------------------------- */

enum status raft_membership_check_step(const struct raft_membership *from,
                                       const struct raft_membership *to, struct error *err)
{
    size_t changed = 0;
    for (size_t i = 0; i < to->count; i++) {
        const struct raft_member *before = raft_membership_find(from, to->of[i].id);
        bool voter = to->of[i].role == RAFT_VOTER;
        changed += before == NULL || before->role != to->of[i].role;
        if ((voter && before == NULL) || (before != NULL && !voter && before->role == RAFT_VOTER) ||
            raft_membership_removed(from, to->of[i].id)) {
            return error_set(err, STATUS_FAILED_PRECONDITION,
                             "a member comes as a learner, stays a voter, and goes for good");
        }
    }
    for (size_t i = 0; i < from->count; i++) {
        bool gone = raft_membership_find(to, from->of[i].id) == NULL;
        changed += gone;
        if (gone && !raft_membership_removed(to, from->of[i].id)) {
            return error_set(err, STATUS_FAILED_PRECONDITION, "who goes is noted as removed");
        }
    }
    for (size_t i = 0; i < from->removed_count; i++) {
        if (!raft_membership_removed(to, removed_at(from, i))) {
            return error_set(err, STATUS_FAILED_PRECONDITION, "who was removed is forgotten");
        }
    }
    if (changed > 1 || raft_membership_voters(to) == 0) {
        return error_set(err, STATUS_FAILED_PRECONDITION, "%zu changes at once; one is possible",
                         changed);
    }
    return STATUS_OK;
}
