/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/mem/guide.h"

#include "base/check.h"
#include "storage/mem/node.h"

/* Some two thirds are taken when keys come in random order. */
enum { PAGE_ENTRIES = 32, CACHE_LINE_BYTES = 64 };

/* So many leaves before the place are looked at for a high node: it is in them four times in five
 * if it is four links high. */
enum { LOOK_BACK = 4 };

union guide_entry {
    struct skiplist_node *node; /* in a leaf */
    struct guide_page *page;
};

struct guide_page {
    uint32_t count;
    uint8_t heights[PAGE_ENTRIES]; /* of the nodes, in a leaf */
    uint64_t prefixes[PAGE_ENTRIES];
    union guide_entry entries[PAGE_ENTRIES];
};

_Static_assert(SKIPLIST_HEIGHT_MAX <= UINT8_MAX, "heights are bytes");

void guide_init(struct guide *guide, struct arena *nodes)
{
    *guide = (struct guide){.nodes = nodes};
    arena_init(&guide->pages, nodes->alloc);
}

void guide_release(struct guide *guide)
{
    arena_release(&guide->pages);
}

static struct guide_page *page_new(struct guide *guide)
{
    struct arena *arena = guide->root == NULL ? guide->nodes : &guide->pages;
    struct guide_page *page = arena_new(arena, sizeof *page);
    if (page != NULL) {
        page->count = 0;
    }
    return page;
}

/* The first node below an entry of a page that is `height` above the leaves. */
static const struct skiplist_node *first_node(const struct guide_page *page, unsigned height,
                                              unsigned at)
{
    CHECK(at < page->count);
    for (; height > 0; height--) {
        page = page->entries[at].page;
        at = 0;
    }
    return page->entries[at].node;
}

/* How many of the page's entries begin before the target: often all, if keys ascend; else found by
 * a loop that has no branch to mispredict. */
static unsigned count_before(const struct guide_page *page, unsigned height,
                             const struct node_target *target)
{
    if (page->count > 0 && page->prefixes[page->count - 1] < target->prefix) {
        return page->count;
    }
    unsigned before = 0;
    for (unsigned i = 0; i < page->count; i++) {
        before += page->prefixes[i] < target->prefix ? 1 : 0;
    }
    unsigned end = before;
    while (end < page->count && page->prefixes[end] == target->prefix) {
        end++;
    }
    while (before < end) {
        unsigned middle = before + (end - before) / 2;
        if (node_is_before_in_full(first_node(page, height, middle), target)) {
            before = middle + 1;
        } else {
            end = middle;
        }
    }
    return before;
}

static void move(struct guide_page *to, unsigned to_at, const struct guide_page *from,
                 unsigned from_at, unsigned count)
{
    CHECK(to_at + count <= PAGE_ENTRIES);
    memmove(&to->prefixes[to_at], &from->prefixes[from_at], count * sizeof to->prefixes[0]);
    memmove(&to->entries[to_at], &from->entries[from_at], count * sizeof to->entries[0]);
    memmove(&to->heights[to_at], &from->heights[from_at], count * sizeof to->heights[0]);
}

static void put(struct guide_page *page, unsigned at, uint64_t prefix, union guide_entry entry,
                int height)
{
    CHECK(at <= page->count);
    CHECK(page->count < PAGE_ENTRIES);
    move(page, at + 1, page, at, page->count - at);
    page->prefixes[at] = prefix;
    page->entries[at] = entry;
    page->heights[at] = (uint8_t)height;
    page->count++;
}

/* Takes the upper half off a full page; of one that is about to grow at its end only the last
 * entry, so that keys that ascend leave full pages behind them. */
static struct guide_page *split(struct guide *guide, struct guide_page *page, unsigned height,
                                const struct node_target *target)
{
    bool ascends = node_is_before(first_node(page, height, PAGE_ENTRIES - 1), target);
    unsigned kept = ascends ? PAGE_ENTRIES - 1 : PAGE_ENTRIES / 2;
    struct guide_page *upper = page_new(guide);
    if (upper != NULL) {
        move(upper, 0, page, kept, PAGE_ENTRIES - kept);
        upper->count = PAGE_ENTRIES - kept;
        page->count = kept;
    }
    return upper;
}

/* The root has room, or a new one above it has. */
static bool grow_root(struct guide *guide)
{
    bool full = guide->root != NULL && guide->root->count == PAGE_ENTRIES;
    if (guide->root != NULL && !full) {
        return true;
    }
    struct guide_page *root = page_new(guide);
    if (root == NULL) {
        return false;
    }
    if (full) {
        put(root, 0, guide->root->prefixes[0], (union guide_entry){.page = guide->root}, 0);
        guide->height++;
    }
    guide->root = root;
    return true;
}

/* Asks for all of a page at once, as what is found in its one part says where the next is. */
static void fetch(const struct guide_page *page)
{
    for (size_t at = 0; at < sizeof *page; at += CACHE_LINE_BYTES) {
        __builtin_prefetch((const uint8_t *)page + at, 1);
    }
}

/* Pages are split on the way down, so that there is room for the upper half in the page above. */
bool guide_seek(struct guide *guide, const struct node_target *target, struct guide_place *out)
{
    if (!grow_root(guide)) {
        return false;
    }
    struct guide_place place = {.leaf = guide->root};
    for (unsigned height = guide->height; height > 0; height--) {
        struct guide_page *page = place.leaf;
        unsigned before = count_before(page, height, target);
        unsigned at = before == 0 ? 0 : before - 1;
        if (before == 0) {
            page->prefixes[0] = target->prefix; /* it will be the first below all of them */
        }
        struct guide_page *below = page->entries[at].page;
        fetch(below);
        if (below->count == PAGE_ENTRIES) {
            struct guide_page *upper = split(guide, below, height - 1, target);
            if (upper == NULL) {
                return false;
            }
            put(page, at + 1, upper->prefixes[0], (union guide_entry){.page = upper}, 0);
            if (node_is_before(first_node(page, height, at + 1), target)) {
                below = upper;
                at++;
            }
        }
        place = (struct guide_place){.leaf = below, .above = page, .above_at = at};
    }
    place.at = count_before(place.leaf, 0, target);
    *out = place;
    return true;
}

/* The last of the first `end` entries of a leaf that is more than `level` high. */
static struct skiplist_node *last_above(const struct guide_page *leaf, unsigned end, int level)
{
    while (end > 0 && leaf->heights[end - 1] <= level) {
        end--;
    }
    return end == 0 ? NULL : leaf->entries[end - 1].node;
}

struct skiplist_node *guide_before(const struct guide_place *place, int level)
{
    struct skiplist_node *node = NULL;
    if (level == 0) {
        return place->at == 0 ? NULL : place->leaf->entries[place->at - 1].node;
    }
    node = last_above(place->leaf, place->at, level);
    for (unsigned back = 1; node == NULL && back <= place->above_at && back <= LOOK_BACK; back++) {
        const struct guide_page *leaf = place->above->entries[place->above_at - back].page;
        node = last_above(leaf, leaf->count, level);
    }
    return node;
}

void guide_put(const struct guide_place *place, struct skiplist_node *node, int height)
{
    put(place->leaf, place->at, node->prefix, (union guide_entry){.node = node}, height);
}
