/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/snapshot.h"

#include "base/check.h"

void snapshot_list_add(struct snapshot_list *list, struct snapshot *snapshot)
{
    CHECK(list->newest == NULL || list->newest->sequence <= snapshot->sequence);
    snapshot->older = list->newest;
    snapshot->newer = NULL;
    if (list->newest != NULL) {
        list->newest->newer = snapshot;
    } else {
        list->oldest = snapshot;
    }
    list->newest = snapshot;
    list->count++;
}

void snapshot_list_remove(struct snapshot_list *list, struct snapshot *snapshot)
{
    CHECK(list->count > 0);
    if (snapshot->older != NULL) {
        snapshot->older->newer = snapshot->newer;
    } else {
        CHECK(list->oldest == snapshot);
        list->oldest = snapshot->newer;
    }
    if (snapshot->newer != NULL) {
        snapshot->newer->older = snapshot->older;
    } else {
        CHECK(list->newest == snapshot);
        list->newest = snapshot->older;
    }
    list->count--;
}

size_t snapshot_list_sequences(const struct snapshot_list *list, uint64_t *out, size_t room)
{
    size_t count = 0;
    uint64_t last = 0;
    for (const struct snapshot *at = list->oldest; at != NULL; at = at->newer) {
        if (count > 0 && at->sequence == last) {
            continue;
        }
        last = at->sequence;
        if (count < room) {
            out[count] = last;
        }
        count++;
    }
    return count;
}

bool snapshot_between(const uint64_t *sequences, size_t count, uint64_t from, uint64_t to)
{
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (sequences[middle] < from) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < count && sequences[low] < to;
}
