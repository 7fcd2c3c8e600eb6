/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib/crash_inode.h"

#include <stdlib.h>

#include "base/check.h"

static void *zeroed(size_t bytes)
{
    void *memory = calloc(1, bytes);
    CHECK(memory != NULL);
    return memory;
}

struct crash_inode *crash_inode_new(bool is_directory, uint64_t *bytes_used)
{
    struct crash_inode *inode = zeroed(sizeof *inode);
    inode->references = 1;
    inode->is_directory = is_directory;
    inode->bytes_used = bytes_used;
    return inode;
}

struct crash_inode *crash_inode_ref(struct crash_inode *inode)
{
    inode->references++;
    return inode;
}

void crash_inode_unref(struct crash_inode *inode)
{
    if (inode == NULL) {
        return;
    }
    CHECK(inode->references > 0);
    inode->references--;
    if (inode->references > 0) {
        return;
    }
    for (size_t i = 0; i < inode->page_count; i++) {
        free(inode->pages[i].now);
        free(inode->pages[i].durable);
    }
    crash_entries_clear(&inode->now);
    crash_entries_clear(&inode->durable);
    *inode->bytes_used -= inode->size;
    free(inode->pages);
    free(inode->dirty);
    free(inode);
}

/* --- content ------------------------------------------------------------------------ */

static void set_size(struct crash_inode *inode, uint64_t size)
{
    *inode->bytes_used += size - inode->size;
    inode->size = size;
}

static void ensure_pages(struct crash_inode *inode, size_t count)
{
    if (count <= inode->page_count) {
        return;
    }
    size_t wanted = inode->page_count * 2 > count ? inode->page_count * 2 : count;
    struct crash_page *pages = realloc(inode->pages, wanted * sizeof *pages);
    CHECK(pages != NULL);
    memset(pages + inode->page_count, 0, (wanted - inode->page_count) * sizeof *pages);
    inode->pages = pages;
    inode->page_count = wanted;
}

/* Remembers the durable content of a page that is about to change. */
static void make_dirty(struct crash_inode *inode, size_t number)
{
    struct crash_page *page = &inode->pages[number];
    if (page->dirty) {
        page->stale = false;
        return;
    }
    if (page->now != NULL) {
        page->durable = zeroed(CRASH_PAGE_BYTES);
        memcpy(page->durable, page->now, CRASH_PAGE_BYTES);
    }
    page->dirty = true;
    if (inode->dirty_count == inode->dirty_room) {
        inode->dirty_room = inode->dirty_room * 2 + 16;
        inode->dirty = realloc(inode->dirty, inode->dirty_room * sizeof *inode->dirty);
        CHECK(inode->dirty != NULL);
    }
    inode->dirty[inode->dirty_count++] = number;
}

size_t crash_inode_read(const struct crash_inode *inode, uint64_t offset, uint8_t *out,
                        size_t length)
{
    if (offset >= inode->size) {
        return 0;
    }
    if (length > inode->size - offset) {
        length = (size_t)(inode->size - offset);
    }
    size_t done = 0;
    while (done < length) {
        size_t number = (size_t)((offset + done) / CRASH_PAGE_BYTES);
        size_t within = (size_t)((offset + done) % CRASH_PAGE_BYTES);
        size_t step = CRASH_PAGE_BYTES - within;
        step = step < length - done ? step : length - done;
        const uint8_t *now = number < inode->page_count ? inode->pages[number].now : NULL;
        if (now == NULL) {
            memset(out + done, 0, step);
        } else {
            memcpy(out + done, now + within, step);
        }
        done += step;
    }
    return done;
}

static void note_write(struct crash_inode *inode, uint64_t offset, size_t length)
{
    if (offset + length > inode->size) {
        set_size(inode, offset + length);
    }
    inode->is_written = true;
    inode->write_offset = offset;
}

void crash_inode_write(struct crash_inode *inode, uint64_t offset, struct slice data)
{
    if (data.length == 0) {
        return;
    }
    ensure_pages(inode, (size_t)((offset + data.length - 1) / CRASH_PAGE_BYTES) + 1);
    size_t done = 0;
    while (done < data.length) {
        size_t number = (size_t)((offset + done) / CRASH_PAGE_BYTES);
        size_t within = (size_t)((offset + done) % CRASH_PAGE_BYTES);
        size_t step = CRASH_PAGE_BYTES - within;
        step = step < data.length - done ? step : data.length - done;
        make_dirty(inode, number);
        struct crash_page *page = &inode->pages[number];
        if (page->now == NULL) {
            page->now = zeroed(CRASH_PAGE_BYTES);
        }
        memcpy(page->now + within, data.data + done, step);
        done += step;
    }
    note_write(inode, offset, data.length);
}

void crash_inode_lose(struct crash_inode *inode, uint64_t offset, size_t length)
{
    note_write(inode, offset, length);
}

void crash_inode_spoil(struct crash_inode *inode, uint64_t offset, struct slice data)
{
    CHECK(offset + data.length <= inode->size);
    ensure_pages(inode, (size_t)((offset + data.length - 1) / CRASH_PAGE_BYTES) + 1);
    for (size_t i = 0; i < data.length; i++) {
        struct crash_page *page = &inode->pages[(offset + i) / CRASH_PAGE_BYTES];
        size_t within = (size_t)((offset + i) % CRASH_PAGE_BYTES);
        if (page->now == NULL) {
            page->now = zeroed(CRASH_PAGE_BYTES);
        }
        if (page->dirty && page->durable == NULL) {
            page->durable = zeroed(CRASH_PAGE_BYTES);
        }
        page->now[within] = data.data[i];
        if (page->dirty) {
            page->durable[within] = data.data[i];
        }
    }
}

/* Bytes from `size` on become zeros. */
static void clear_from(struct crash_inode *inode, uint64_t size)
{
    for (size_t i = (size_t)(size / CRASH_PAGE_BYTES); i < inode->page_count; i++) {
        if (inode->pages[i].now == NULL) {
            continue;
        }
        make_dirty(inode, i);
        uint64_t begin = (uint64_t)i * CRASH_PAGE_BYTES;
        size_t kept = size > begin ? (size_t)(size - begin) : 0;
        if (kept == 0) {
            free(inode->pages[i].now);
            inode->pages[i].now = NULL;
        } else {
            memset(inode->pages[i].now + kept, 0, CRASH_PAGE_BYTES - kept);
        }
    }
}

void crash_inode_resize(struct crash_inode *inode, uint64_t size)
{
    if (size < inode->size) {
        clear_from(inode, size);
    }
    set_size(inode, size);
}

void crash_inode_sync(struct crash_inode *inode)
{
    size_t stale = 0;
    for (size_t i = 0; i < inode->dirty_count; i++) {
        struct crash_page *page = &inode->pages[inode->dirty[i]];
        if (page->stale) {
            inode->dirty[stale++] = inode->dirty[i];
            continue;
        }
        free(page->durable);
        page->durable = NULL;
        page->dirty = false;
    }
    inode->dirty_count = stale;
    inode->size_durable = inode->size;
    inode->synced_offset = inode->is_written ? inode->write_offset : inode->synced_offset;
    inode->is_written = false;
}

void crash_inode_sync_failed(struct crash_inode *inode)
{
    for (size_t i = 0; i < inode->dirty_count; i++) {
        inode->pages[inode->dirty[i]].stale = true;
    }
}

static void lose_sector(struct crash_page *page, size_t begin)
{
    if (page->now == NULL) {
        if (page->durable == NULL) {
            return;
        }
        page->now = zeroed(CRASH_PAGE_BYTES);
    }
    if (page->durable == NULL) {
        memset(page->now + begin, 0, CRASH_SECTOR_BYTES);
    } else {
        memcpy(page->now + begin, page->durable + begin, CRASH_SECTOR_BYTES);
    }
}

static uint64_t size_after(const struct crash_inode *inode, struct rng *rng)
{
    uint64_t small = inode->size < inode->size_durable ? inode->size : inode->size_durable;
    uint64_t large = inode->size < inode->size_durable ? inode->size_durable : inode->size;
    switch (rng_below(rng, 3)) {
    case 0:
        return inode->size_durable;
    case 1:
        return inode->size;
    default:
        return small + rng_below(rng, large - small + 1);
    }
}

void crash_inode_crash(struct crash_inode *inode, struct rng *rng)
{
    /* One disk loses nearly all, another nearly nothing: each has its own defects to show. */
    static const uint64_t lost_of_eight[] = {0, 1, 4, 7, 8};
    uint64_t lost = 8;
    uint64_t size = inode->size_durable;
    if (rng != NULL) {
        lost = lost_of_eight[rng_below(rng, sizeof lost_of_eight / sizeof lost_of_eight[0])];
        size = size_after(inode, rng);
    }
    for (size_t i = 0; i < inode->dirty_count; i++) {
        struct crash_page *page = &inode->pages[inode->dirty[i]];
        for (size_t begin = 0; begin < CRASH_PAGE_BYTES; begin += CRASH_SECTOR_BYTES) {
            if (rng == NULL || rng_below(rng, 8) < lost) {
                lose_sector(page, begin);
            }
        }
        page->stale = false;
    }
    clear_from(inode, size);
    set_size(inode, size);
    inode->is_written = false; /* whether it is there nobody was told */
    crash_inode_sync(inode);
    inode->locked = false;
}

/* --- names -------------------------------------------------------------------------- */

struct crash_inode *crash_entries_get(struct crash_entry *list, const char *name)
{
    while (list != NULL && strcmp(list->name, name) != 0) {
        list = list->next;
    }
    return list == NULL ? NULL : list->inode;
}

void crash_entries_set(struct crash_entry **list, const char *name, struct crash_inode *inode)
{
    if (inode != NULL) { /* first: it may be the entry's own */
        (void)crash_inode_ref(inode);
    }
    while (*list != NULL && strcmp((*list)->name, name) != 0) {
        list = &(*list)->next;
    }
    struct crash_entry *entry = *list;
    if (entry != NULL) {
        *list = entry->next;
        crash_inode_unref(entry->inode);
        free(entry);
    }
    if (inode != NULL) {
        size_t name_bytes = strlen(name) + 1;
        entry = zeroed(sizeof *entry + name_bytes);
        memcpy(entry->name, name, name_bytes);
        entry->inode = inode;
        entry->next = *list;
        *list = entry;
    }
}

void crash_entries_clear(struct crash_entry **list)
{
    while (*list != NULL) {
        struct crash_entry *entry = *list;
        *list = entry->next;
        crash_inode_unref(entry->inode);
        free(entry);
    }
}

void crash_entries_copy(struct crash_entry **to, struct crash_entry *from)
{
    crash_entries_clear(to);
    for (; from != NULL; from = from->next) {
        crash_entries_set(to, from->name, from->inode);
    }
}
