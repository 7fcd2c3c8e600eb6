/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/endpoint.h"

#include <stdio.h>
#include <string.h>

/* "1" to "65535", nothing else; 0 if it is none. A listener may ask for port "0". */
static int port_is_valid(const char *text)
{
    size_t length = strspn(text, "0123456789");
    return length > 0 && length <= 5 && text[length] == '\0' && strtol(text, NULL, 10) <= 65535;
}

static enum status refuse(const char *endpoint, const char *why, struct error *err)
{
    return error_set(err, STATUS_INVALID_ARGUMENT, "endpoint \"%.200s\": %s", endpoint, why);
}

enum status rpc_endpoint_url(const char *endpoint, unsigned default_port,
                             char url[RPC_URL_BYTES_MAX], struct error *err)
{
    size_t length = strlen(endpoint);
    if (length == 0 || length > RPC_URL_BYTES_MAX - 32) {
        return refuse(endpoint, "empty or too long", err);
    }
    if (strcspn(endpoint, " \t\r\n") != length) {
        return refuse(endpoint, "contains white space", err);
    }
    if (strstr(endpoint, "://") != NULL) {
        memcpy(url, endpoint, length + 1);
        return STATUS_OK;
    }
    const char *host_end = endpoint[0] == '[' ? strchr(endpoint, ']') : endpoint;
    if (host_end == NULL) {
        return refuse(endpoint, "lacks the ] of an IPv6 address", err);
    }
    const char *colon = strrchr(host_end, ':');
    if (colon == NULL) {
        if (default_port == 0) {
            return refuse(endpoint, "lacks a port (HOST:PORT)", err);
        }
        (void)snprintf(url, RPC_URL_BYTES_MAX, "tcp://%s:%u", endpoint, default_port);
        return STATUS_OK;
    }
    if (endpoint[0] != '[' && strchr(endpoint, ':') != colon) {
        return refuse(endpoint, "write an IPv6 address as [ADDRESS]:PORT", err);
    }
    if (colon == endpoint || (endpoint[0] == '[' && colon != host_end + 1)) {
        return refuse(endpoint, "lacks a host (HOST:PORT)", err);
    }
    if (!port_is_valid(colon + 1)) {
        return refuse(endpoint, "the port is not a number below 65536", err);
    }
    (void)snprintf(url, RPC_URL_BYTES_MAX, "tcp://%s", endpoint);
    return STATUS_OK;
}
