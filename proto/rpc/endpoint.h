/* SPDX-License-Identifier: Apache-2.0
 *
 * Endpoint: the form in which people write addresses, HOST:PORT, and the URL that
 * the transport takes.
 */
#ifndef ESTREAT_RPC_ENDPOINT_H
#define ESTREAT_RPC_ENDPOINT_H

#include "base/status.h"

#define RPC_URL_BYTES_MAX 320

/* Writes "tcp://HOST:PORT" to `url`. Accepts "HOST:PORT", "[IPV6]:PORT", "HOST" if
 * `default_port` is not 0, and anything with "://" as it is. INVALID_ARGUMENT, naming the text,
 * for others. */
enum status rpc_endpoint_url(const char *endpoint, unsigned default_port,
                             char url[RPC_URL_BYTES_MAX], struct error *err) MUST_USE;

#endif
