/* SPDX-License-Identifier: Apache-2.0 */
#include "client/router.h"

#include "base/check.h"
#include "base/limits.h"

static enum status add_locked(struct router *router, struct slice name, unsigned *index,
                              struct error *err)
{
    struct router_endpoint *endpoint = &router->endpoints[router->count];
    char text[ROUTER_NAME_BYTES];
    char url[RPC_URL_BYTES_MAX];
    if (name.length == 0 || name.length >= sizeof text) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "an endpoint of %zu bytes; HOST:PORT is one",
                         name.length);
    }
    memcpy(text, name.data, name.length);
    text[name.length] = '\0';
    enum status status = rpc_endpoint_url(text, 0, url, err);
    if (status != STATUS_OK) {
        return status;
    }
    for (unsigned i = 0; i < router->count; i++) {
        if (strcmp(router->endpoints[i].url, url) == 0) {
            *index = i;
            return STATUS_OK;
        }
    }
    if (router->count == ROUTER_ENDPOINTS_MAX) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "more than %u endpoints",
                         ROUTER_ENDPOINTS_MAX);
    }
    *endpoint = (struct router_endpoint){.router = router, .foreign = ERROR_INIT};
    memcpy(endpoint->name, text, name.length + 1);
    memcpy(endpoint->url, url, sizeof url);
    *index = router->count++;
    return STATUS_OK;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n';
}

/* The text up to the next comma, without the spaces around it. */
static struct slice next_part(const char **at)
{
    const char *begin = *at;
    const char *end = strchrnul(begin, ',');
    *at = *end == ',' ? end + 1 : end;
    while (begin < end && is_space(*begin)) {
        begin++;
    }
    while (begin < end && is_space(end[-1])) {
        end--;
    }
    return slice_of(begin, (size_t)(end - begin));
}

enum status router_init(struct router *router, struct rpc_loop *loop, const char *endpoints,
                        size_t queued_bytes_max, struct rng *rng, struct error *err)
{
    *router = (struct router){.loop = loop, .queued_bytes_max = queued_bytes_max};
    const char *at = endpoints;
    do {
        unsigned index;
        enum status status = add_locked(router, next_part(&at), &index, err);
        if (status != STATUS_OK) {
            return error_wrap(err, "endpoints '%.200s'", endpoints);
        }
    } while (*at != '\0');
    router->given = router->count;
    /* Clients with the same list must not all read from its first node. */
    unsigned first = (unsigned)rng_below(rng, router->count);
    router->chosen[ROUTE_LEADER] = first;
    router->chosen[ROUTE_ANY] = first;
    mutex_init(&router->mutex);
    return STATUS_OK;
}

void router_release(struct router *router)
{
    for (unsigned i = 0; i < router->count; i++) {
        rpc_channel_close(router->endpoints[i].channel);
    }
    mutex_release(&router->mutex);
}

unsigned router_pick(struct router *router, enum route route)
{
    mutex_lock(&router->mutex);
    unsigned index = router->chosen[route];
    mutex_unlock(&router->mutex);
    CHECK(index < ROUTER_ENDPOINTS_MAX);
    return index;
}

bool router_failed(struct router *router, enum route route, unsigned failed, struct slice leader)
{
    struct error ignored;
    unsigned named = failed;
    mutex_lock(&router->mutex);
    CHECK(failed < router->count);
    bool redirected = leader.length > 0 &&
                      add_locked(router, leader, &named, &ignored) == STATUS_OK && named != failed;
    if (redirected) {
        router->chosen[route] = named;
    } else if (router->chosen[route] == failed) {
        router->chosen[route] = (failed + 1) % router->count;
    }
    mutex_unlock(&router->mutex);
    return redirected;
}

bool router_elsewhere(struct router *router, enum route route, unsigned failed, uint32_t tried,
                      unsigned *index)
{
    bool found = false;
    mutex_lock(&router->mutex);
    CHECK(failed < router->count);
    for (unsigned i = 1; i < router->count && !found; i++) {
        unsigned next = (failed + i) % router->count;
        if ((tried >> next & 1) == 0) {
            router->chosen[route] = next;
            *index = next;
            found = true;
        }
    }
    mutex_unlock(&router->mutex);
    return found;
}

bool router_find(struct router *router, const char *name, unsigned *index)
{
    struct error ignored;
    mutex_lock(&router->mutex);
    enum status status = add_locked(router, slice_of_string(name), index, &ignored);
    mutex_unlock(&router->mutex);
    return status == STATUS_OK;
}

unsigned router_given(struct router *router)
{
    return router->given;
}

const char *router_name(struct router *router, unsigned index)
{
    CHECK(index < ROUTER_ENDPOINTS_MAX);
    return router->endpoints[index].name;
}

/* On the loop's thread, so that one handshake is the first. */
static enum status accept_peer(void *context, const struct rpc_hello *server, struct error *err)
{
    const char *cluster = server->cluster_id;
    struct router_endpoint *endpoint = context;
    struct router *router = endpoint->router;
    enum status status = STATUS_OK;
    mutex_lock(&router->mutex);
    if (router->cluster[0] == '\0') {
        (void)snprintf(router->cluster, sizeof router->cluster, "%s", cluster);
        router->cluster_from = (unsigned)(endpoint - router->endpoints);
    }
    endpoint->foreign = (struct error)ERROR_INIT;
    if (cluster[0] != '\0' && strcmp(cluster, router->cluster) != 0) {
        status = error_set(err, STATUS_FAILED_PRECONDITION,
                           "%.100s belongs to cluster '%.100s', and %.100s to '%.100s'",
                           router->endpoints[router->cluster_from].name, router->cluster,
                           endpoint->name, cluster);
        endpoint->foreign = *err;
    }
    mutex_unlock(&router->mutex);
    return status;
}

enum status router_check_cluster(struct router *router, unsigned index, struct error *err)
{
    mutex_lock(&router->mutex);
    CHECK(index < router->count);
    enum status status = router->endpoints[index].foreign.status;
    if (status != STATUS_OK) {
        *err = router->endpoints[index].foreign;
    }
    mutex_unlock(&router->mutex);
    return status;
}

enum status router_channel(struct router *router, unsigned index, struct rpc_channel **out,
                           struct error *err)
{
    enum status status = STATUS_OK;
    mutex_lock(&router->mutex);
    CHECK(index < router->count);
    struct router_endpoint *endpoint = &router->endpoints[index];
    if (endpoint->channel == NULL) {
        const struct rpc_channel_options options = {
            .url = endpoint->url,
            .queued_bytes_max = router->queued_bytes_max,
            .accept_peer = accept_peer,
            .context = endpoint,
        };
        status = rpc_channel_open(router->loop, &options, &endpoint->channel, err);
    }
    if (status == STATUS_OK) {
        *out = endpoint->channel;
    }
    mutex_unlock(&router->mutex);
    return status;
}
