/* SPDX-License-Identifier: Apache-2.0 */
#include "node/ways.h"

#include <stdio.h>

#include "base/check.h"
#include "base/log.h"
#include "base/sync.h"
#include "rpc/endpoint.h"

struct open_way {
    struct way way; /* first */
    struct ways *ways;
    struct rpc_channel *channel; /* NULL: not opened yet */
    bool listed;                 /* in the membership; else a stranger */
    bool complained;             /* that it cannot be opened */
    uint64_t met;                /* a stranger: which meeting was the last */
    struct open_way *next;
};

struct ways {
    struct ways_options options;
    struct mutex mutex; /* guards what follows */
    struct open_way *first;
    uint64_t meetings;
    unsigned closing; /* channels */
    struct condition closed;
};

static struct open_way **find_locked(struct ways *ways, uint64_t raft_id)
{
    struct open_way **link = &ways->first;
    while (*link != NULL && (*link)->way.raft_id != raft_id) {
        link = &(*link)->next;
    }
    return link;
}

static void open_locked(struct open_way *open)
{
    struct ways *ways = open->ways;
    struct error err = ERROR_INIT;
    char url[RPC_URL_BYTES_MAX];
    struct rpc_channel_options options = ways->options.channel;
    options.url = url;
    options.context = &open->way;
    enum status status = rpc_endpoint_url(open->way.endpoint, 0, url, &err);
    if (status == STATUS_OK) {
        status = rpc_channel_open(ways->options.loop, &options, &open->channel, &err);
    }
    if (status != STATUS_OK && !open->complained) {
        char quoted[ERROR_TEXT_BYTES];
        open->complained = true;
        log_write("peers", LOG_WARN, "cannot connect to a member", "endpoint=%s error=%s",
                  open->way.endpoint, log_quote(quoted, sizeof quoted, err.text));
    }
}

/* On the loop's thread. */
static void on_closed(void *context)
{
    struct open_way *open = context;
    struct ways *ways = open->ways;
    alloc_free(ways->options.alloc, open);
    mutex_lock(&ways->mutex);
    ways->closing--;
    condition_broadcast(&ways->closed);
    mutex_unlock(&ways->mutex); /* the table may be gone from here on */
}

static void forget_locked(struct ways *ways, struct open_way **link)
{
    struct open_way *open = *link;
    *link = open->next;
    if (open->channel == NULL) {
        alloc_free(ways->options.alloc, open);
        return;
    }
    ways->closing++;
    rpc_channel_close_later(open->channel, on_closed, open);
}

/* The way to that member, at that address. NULL: there is none to this node itself, nor to
 * nowhere, nor without memory: then it is heard of again. */
static struct open_way *learn_locked(struct ways *ways, uint64_t raft_id, const char *endpoint)
{
    size_t length = strlen(endpoint);
    if (raft_id == ways->options.self || length == 0 || length > ENDPOINT_BYTES_MAX) {
        return NULL;
    }
    struct open_way **link = find_locked(ways, raft_id);
    if (*link != NULL && strcmp((*link)->way.endpoint, endpoint) == 0) {
        return *link;
    }
    struct open_way *open = alloc_zeroed(ways->options.alloc, 1, sizeof *open);
    if (open == NULL) {
        return NULL;
    }
    if (*link != NULL) {
        forget_locked(ways, link);
    }
    open->way.raft_id = raft_id;
    open->way.context = ways->options.context;
    memcpy(open->way.endpoint, endpoint, length + 1);
    open->ways = ways;
    open->next = ways->first;
    ways->first = open;
    if (ways->options.at_once) {
        open_locked(open);
    }
    return open;
}

static void bound_strangers_locked(struct ways *ways)
{
    unsigned strangers = 0;
    struct open_way **oldest = NULL;
    for (struct open_way **link = &ways->first; *link != NULL; link = &(*link)->next) {
        if (!(*link)->listed) {
            strangers++;
            oldest = oldest == NULL || (*link)->met < (*oldest)->met ? link : oldest;
        }
    }
    if (strangers > WAYS_STRANGERS_MAX) {
        forget_locked(ways, oldest);
    }
}

void ways_set(struct ways *ways, const struct members *members)
{
    mutex_lock(&ways->mutex);
    struct open_way **link = &ways->first;
    while (*link != NULL) {
        if ((*link)->listed && members_find(members, (*link)->way.raft_id) == NULL) {
            forget_locked(ways, link);
        } else {
            link = &(*link)->next;
        }
    }
    for (size_t i = 0; i < members->count; i++) {
        struct open_way *open = learn_locked(ways, members->of[i].raft_id, members->of[i].at.peer);
        if (open != NULL) {
            open->listed = true;
        }
    }
    mutex_unlock(&ways->mutex);
}

void ways_meet(struct ways *ways, uint64_t raft_id, const char *endpoint)
{
    mutex_lock(&ways->mutex);
    struct open_way *known = *find_locked(ways, raft_id);
    if (known == NULL || !known->listed) {
        struct open_way *open = learn_locked(ways, raft_id, endpoint);
        if (open != NULL) {
            open->met = ++ways->meetings;
            bound_strangers_locked(ways);
        }
    }
    mutex_unlock(&ways->mutex);
}

bool ways_use(struct ways *ways, uint64_t raft_id,
              bool (*use)(void *context, struct rpc_channel *channel), void *context)
{
    bool result = false;
    mutex_lock(&ways->mutex);
    struct open_way *open = *find_locked(ways, raft_id);
    if (open != NULL && open->channel == NULL) {
        open_locked(open);
    }
    if (open != NULL && open->channel != NULL) {
        result = use(context, open->channel);
    }
    mutex_unlock(&ways->mutex);
    return result;
}

unsigned ways_count(struct ways *ways)
{
    unsigned count = 0;
    mutex_lock(&ways->mutex);
    for (const struct open_way *open = ways->first; open != NULL; open = open->next) {
        count++;
    }
    mutex_unlock(&ways->mutex);
    return count;
}

enum status ways_open(const struct ways_options *options, struct ways **out, struct error *err)
{
    struct ways *ways = alloc_zeroed(options->alloc, 1, sizeof *ways);
    if (ways == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for the ways to members");
    }
    ways->options = *options;
    mutex_init(&ways->mutex);
    condition_init(&ways->closed);
    *out = ways;
    return STATUS_OK;
}

void ways_close(struct ways *ways)
{
    if (ways == NULL) {
        return;
    }
    CHECK(!rpc_loop_is_current(ways->options.loop));
    mutex_lock(&ways->mutex);
    while (ways->first != NULL) {
        forget_locked(ways, &ways->first);
    }
    while (ways->closing > 0) {
        condition_wait(&ways->closed, &ways->mutex);
    }
    mutex_unlock(&ways->mutex);
    condition_release(&ways->closed);
    mutex_release(&ways->mutex);
    alloc_free(ways->options.alloc, ways);
}
