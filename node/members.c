/* SPDX-License-Identifier: Apache-2.0 */
#include "node/members.h"

#include <stdio.h>

#include "base/check.h"

static void put_text(struct buf *out, const char *text)
{
    size_t length = strlen(text);
    buf_put_le16(out, (uint16_t)length);
    buf_append(out, text, length);
}

void member_info_encode(const struct config_member *member, struct buf *out)
{
    put_text(out, member->id);
    put_text(out, member->client);
    put_text(out, member->peer);
}

/* What does not fit or is cut reads as empty: nobody can be reached there. */
static void take_text(struct cursor *cursor, char *out, size_t size)
{
    struct slice text = cursor_bytes(cursor, cursor_le16(cursor));
    size_t length = cursor->failed || text.length >= size ? 0 : text.length;
    if (length > 0) {
        memcpy(out, text.data, length);
    }
    out[length] = '\0';
}

static void info_decode(struct slice info, struct config_member *out)
{
    struct cursor cursor = cursor_of(info);
    take_text(&cursor, out->id, sizeof out->id);
    take_text(&cursor, out->client, sizeof out->client);
    take_text(&cursor, out->peer, sizeof out->peer);
}

static const struct config_member *configured(const struct config *config, uint64_t raft_id)
{
    for (unsigned i = 0; i < config->member_count; i++) {
        if (raft_id_of(config->members[i].id) == raft_id) {
            return &config->members[i];
        }
    }
    return NULL;
}

enum status members_encode(const struct member_names *names, const struct config *config,
                           struct buf *out, struct error *err)
{
    size_t count = names->count;
    struct raft_membership membership = {.count = count};
    size_t begins[MEMBERS_MAX + 1] = {0};
    struct buf infos;
    CHECK(count <= MEMBERS_MAX);
    if (count == 0) {
        return STATUS_OK;
    }
    buf_init(&infos, out->alloc, MEMBERSHIP_BYTES_MAX);
    size_t order[MEMBERS_MAX];
    for (size_t i = 0; i < count; i++) {
        size_t at = i;
        while (at > 0 && raft_id_of(names->of[order[at - 1]]) > raft_id_of(names->of[i])) {
            order[at] = order[at - 1];
            at--;
        }
        order[at] = i;
    }
    for (size_t i = 0; i < count; i++) {
        struct config_member member;
        memset(&member, 0, sizeof member);
        const struct config_member *known = configured(config, raft_id_of(names->of[order[i]]));
        if (known != NULL) {
            member = *known;
        }
        (void)snprintf(member.id, sizeof member.id, "%s", names->of[order[i]]);
        membership.of[i] = (struct raft_member){.id = raft_id_of(member.id), .role = RAFT_VOTER};
        member_info_encode(&member, &infos);
        begins[i + 1] = infos.length;
    }
    enum status status = STATUS_OK;
    for (size_t i = 0; i < count; i++) {
        membership.of[i].info = slice_of(infos.data + begins[i], begins[i + 1] - begins[i]);
        if (i > 0 && membership.of[i].id == membership.of[i - 1].id) {
            status = error_set(err, STATUS_CORRUPT, "members %s and %s have one number",
                               names->of[order[i - 1]], names->of[order[i]]);
        }
    }
    if (status == STATUS_OK) {
        raft_membership_encode(&membership, out);
    }
    if (status == STATUS_OK && (buf_failed(out) || buf_failed(&infos))) {
        status = error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for the membership");
    }
    buf_release(&infos);
    return status;
}

static bool is_first(const struct member_names *first, const char *id)
{
    for (size_t i = 0; i < first->count; i++) {
        if (strcmp(first->of[i], id) == 0) {
            return true;
        }
    }
    return false;
}

enum status members_check_config(const struct config *config, const struct member_names *first,
                                 const struct raft_membership *membership, struct error *err)
{
    for (unsigned i = 0; i < config->member_count && membership->count > 0; i++) {
        const char *id = config->members[i].id;
        uint64_t number = raft_id_of(id);
        if (strcmp(id, config->node_id) != 0 && !is_first(first, id) &&
            raft_membership_find(membership, number) == NULL &&
            !raft_membership_removed(membership, number)) {
            return error_set(err, STATUS_FAILED_PRECONDITION,
                             "the configuration names %s, which is no member of the cluster in %s; "
                             "add it with: estreat member add %s",
                             id, config->data, id);
        }
    }
    return STATUS_OK;
}

static bool is_leaving(const struct raft_peer *peers, size_t count, uint64_t raft_id)
{
    for (size_t i = 0; i < count; i++) {
        if (peers[i].id == raft_id) {
            return peers[i].leaving;
        }
    }
    return false;
}

void members_fill(struct members *out, const struct raft_membership *membership, uint64_t index,
                  const struct raft_peer *peers, size_t peer_count, const struct config *config)
{
    struct members next = {.index = index};
    for (size_t i = 0; i < membership->count; i++) {
        const struct raft_member *from = &membership->of[i];
        struct member *member = &next.of[next.count++];
        *member = (struct member){.raft_id = from->id, .voter = from->role == RAFT_VOTER};
        info_decode(from->info, &member->at);
        const struct config_member *known = configured(config, from->id);
        if (known != NULL) {
            member->at = *known;
        }
    }
    for (size_t i = 0; i < out->count && next.count < RAFT_PEERS_MAX; i++) {
        if (members_find(&next, out->of[i].raft_id) == NULL &&
            is_leaving(peers, peer_count, out->of[i].raft_id)) {
            next.of[next.count] = out->of[i];
            next.of[next.count].voter = false;
            next.of[next.count++].leaving = true;
        }
    }
    *out = next;
}

size_t members_voters(const struct members *members)
{
    size_t voters = 0;
    for (size_t i = 0; i < members->count; i++) {
        voters += members->of[i].voter;
    }
    return voters;
}

const struct member *members_find(const struct members *members, uint64_t raft_id)
{
    for (size_t i = 0; i < members->count; i++) {
        if (members->of[i].raft_id == raft_id) {
            return &members->of[i];
        }
    }
    return NULL;
}

const struct member *members_named(const struct members *members, const char *name)
{
    const struct member *member = members_find(members, raft_id_of(name));
    return member != NULL && !member->leaving && strcmp(member->at.id, name) == 0 ? member : NULL;
}
