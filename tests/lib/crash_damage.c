/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib/crash_damage.h"

#include <stdio.h>

#include "base/check.h"

void crash_damage_release(struct crash_damage *damage)
{
    crash_inode_unref(damage->lost.inode);
    crash_inode_unref(damage->hit.inode);
    *damage = (struct crash_damage){.armed = false};
}

/* --- files by name --------------------------------------------------------------------------- */

/* A name below `dir` that contains `name` leads to the file. */
static bool is_named(const struct crash_inode *dir, const struct crash_inode *inode,
                     const char *name)
{
    for (const struct crash_entry *entry = dir->now; entry != NULL; entry = entry->next) {
        if (entry->inode->is_directory
                ? is_named(entry->inode, inode, name)
                : entry->inode == inode && strstr(entry->name, name) != NULL) {
            return true;
        }
    }
    return false;
}

/* How much of the file may be hit. */
static uint64_t reach(const struct crash_damage *damage, const struct crash_inode *inode)
{
    return damage->is_log ? inode->synced_offset : inode->size_durable;
}

/* The `n`-th byte that may be hit of the files so named; NULL, and `n` less, if there are fewer. */
static struct crash_inode *find_byte(const struct crash_damage *damage,
                                     const struct crash_inode *dir, uint64_t *n)
{
    struct crash_inode *found = NULL;
    for (const struct crash_entry *entry = dir->now; entry != NULL && found == NULL;
         entry = entry->next) {
        struct crash_inode *inode = entry->inode;
        if (inode->is_directory) {
            found = find_byte(damage, inode, n);
        } else if (strstr(entry->name, damage->name) != NULL) {
            uint64_t bytes = reach(damage, inode);
            found = *n < bytes ? inode : NULL;
            *n -= found == NULL ? bytes : 0;
        }
    }
    return found;
}

static uint64_t bytes_of(const struct crash_damage *damage, const struct crash_names *names)
{
    uint64_t past = UINT64_MAX;
    struct crash_inode *none = find_byte(damage, names->root, &past);
    CHECK(none == NULL);
    return UINT64_MAX - past;
}

/* A byte of those files that is not zero: zeros may be padding, which nobody reads. */
static struct crash_inode *any_byte(struct crash_damage *damage, const struct crash_names *names,
                                    uint64_t *offset)
{
    enum { TRIES = 64 };
    uint64_t bytes = bytes_of(damage, names);
    for (unsigned i = 0; bytes > 0 && i < TRIES; i++) {
        uint8_t byte = 0;
        *offset = rng_below(&damage->rng.rng, bytes);
        struct crash_inode *inode = find_byte(damage, names->root, offset);
        CHECK(inode != NULL);
        if (crash_inode_read(inode, *offset, &byte, 1) == 1 && byte != 0) {
            return inode;
        }
    }
    return NULL;
}

/* --- what goes wrong ------------------------------------------------------------------------- */

static void note(struct crash_wrong *wrong, struct crash_inode *inode, uint64_t begin,
                 uint64_t length)
{
    CHECK(wrong->inode == NULL);
    *wrong = (struct crash_wrong){
        .inode = crash_inode_ref(inode), .begin = begin, .end = begin + length};
}

static bool flip(struct crash_damage *damage, const struct crash_names *names)
{
    uint64_t offset = 0;
    uint8_t byte = 0;
    struct crash_inode *inode = any_byte(damage, names, &offset);
    if (inode == NULL) {
        return false;
    }
    (void)crash_inode_read(inode, offset, &byte, 1);
    byte ^= (uint8_t)(1U << rng_below(&damage->rng.rng, 8));
    crash_inode_spoil(inode, offset, slice_of(&byte, 1));
    note(&damage->hit, inode, offset, 1);
    damage->done = true;
    return true;
}

bool crash_damage_begin(struct crash_damage *damage, const struct crash_names *names,
                        enum crash_damage_kind kind, const char *name, bool is_log, uint64_t seed)
{
    CHECK(!damage->armed);
    CHECK(!damage->done);
    damage->kind = kind;
    damage->is_log = is_log;
    (void)snprintf(damage->name, sizeof damage->name, "%s", name);
    rng_seeded_init(&damage->rng, seed);
    if (kind == CRASH_FLIP) {
        return flip(damage, names);
    }
    damage->armed = true;
    return true;
}

/* The first sector of the data lands in a sector that was somebody else's. */
static bool misdirect(struct crash_damage *damage, const struct crash_names *names,
                      const struct crash_inode *inode, uint64_t offset, struct slice data)
{
    uint8_t before[CRASH_SECTOR_BYTES];
    uint64_t at = 0;
    struct crash_inode *other = any_byte(damage, names, &at);
    at -= at % CRASH_SECTOR_BYTES;
    size_t length = data.length < CRASH_SECTOR_BYTES ? data.length : CRASH_SECTOR_BYTES;
    if (other == NULL || (other == inode && at + length > offset) ||
        at + length > reach(damage, other) ||
        crash_inode_read(other, at, before, length) < length ||
        memcmp(before, data.data, length) == 0) {
        return false;
    }
    crash_inode_spoil(other, at, slice_of(data.data, length));
    note(&damage->hit, other, at, length);
    return true;
}

static void forget(struct crash_wrong *wrong)
{
    crash_inode_unref(wrong->inode);
    wrong->inode = NULL;
}

static void written_over(struct crash_wrong *wrong, const struct crash_inode *inode,
                         uint64_t offset, size_t length)
{
    if (wrong->inode == inode && offset < wrong->end && wrong->begin < offset + length) {
        forget(wrong);
    }
}

/* Nothing is lost with such a write. */
static bool is_there_already(const struct crash_inode *inode, uint64_t offset, struct slice data)
{
    uint8_t before[CRASH_SECTOR_BYTES];
    for (size_t at = 0; at < data.length; at += sizeof before) {
        size_t step = data.length - at < sizeof before ? data.length - at : sizeof before;
        if (crash_inode_read(inode, offset + at, before, step) < step ||
            memcmp(before, data.data + at, step) != 0) {
            return false;
        }
    }
    return true;
}

bool crash_damage_write(struct crash_damage *damage, const struct crash_names *names,
                        struct crash_inode *inode, uint64_t offset, struct slice data)
{
    if (damage->done) {
        written_over(&damage->lost, inode, offset, data.length);
        written_over(&damage->hit, inode, offset, data.length);
        return false;
    }
    if (!damage->armed || !is_named(names->root, inode, damage->name) ||
        is_there_already(inode, offset, data) ||
        (damage->kind == CRASH_MISDIRECT_WRITE && !misdirect(damage, names, inode, offset, data))) {
        return false;
    }
    note(&damage->lost, inode, offset, data.length);
    damage->armed = false;
    damage->done = true;
    return true;
}

void crash_damage_sync(struct crash_damage *damage, const struct crash_names *names,
                       const struct crash_inode *inode)
{
    if (damage->done && damage->lost.inode != NULL && inode->is_written && damage->synced < 2 &&
        is_named(names->root, inode, damage->name)) {
        damage->synced++;
    }
}

void crash_damage_renamed(struct crash_damage *damage, const struct crash_names *names)
{
    struct crash_wrong *wrongs[] = {&damage->lost, &damage->hit};
    for (size_t i = 0; damage->done && i < 2; i++) {
        if (wrongs[i]->inode != NULL && !is_named(names->root, wrongs[i]->inode, damage->name)) {
            forget(wrongs[i]);
        }
    }
}

void crash_damage_crashed(struct crash_damage *damage)
{
    if (damage->synced == 0 && damage->lost.inode != NULL) {
        forget(&damage->lost); /* nobody was told that it was there */
    }
}

static bool is_there(const struct crash_damage *damage, const struct crash_names *names,
                     const struct crash_wrong *wrong)
{
    return wrong->inode != NULL && wrong->begin < wrong->inode->size &&
           is_named(names->root, wrong->inode, damage->name);
}

enum crash_damage_state crash_damage_state(const struct crash_damage *damage,
                                           const struct crash_names *names)
{
    if (!damage->done) {
        return CRASH_DAMAGE_NONE;
    }
    bool lost = is_there(damage, names, &damage->lost);
    /* What a misdirected write has hit can be found, but says nothing of what is lost. */
    if (lost && damage->is_log && damage->synced == 1) {
        return CRASH_DAMAGE_FRESH;
    }
    if (is_there(damage, names, &damage->hit) ||
        (lost && (!damage->is_log || damage->synced >= 2))) {
        return CRASH_DAMAGE_THERE;
    }
    return CRASH_DAMAGE_GONE;
}

bool crash_damage_is_below(const struct crash_damage *damage, struct crash_names *names,
                           const char *path)
{
    struct crash_place place;
    if (crash_names_find(names, path, &place) != 0 || place.inode == NULL) {
        return false;
    }
    const struct crash_wrong *wrong = damage->lost.inode != NULL ? &damage->lost : &damage->hit;
    return wrong->inode != NULL && is_named(place.inode, wrong->inode, damage->name);
}
