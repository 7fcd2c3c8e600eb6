/* SPDX-License-Identifier: Apache-2.0
 *
 * Turns: gives the driver its turns on the loop of the connections between nodes.
 * What a peer says is a message that the driver takes in the same turn of the loop,
 * and what the driver says leaves in it: no thread is woken on that way. All
 * messages that a turn of the loop received are one turn of the driver's.
 *
 * The driver never waits (driver.h), so it does not delay the connections.
 */
#ifndef ESTREAT_NODE_TURNS_H
#define ESTREAT_NODE_TURNS_H

#include "node/driver.h"
#include "rpc/loop.h"

struct turns;

/* Borrows all; `intake` is the driver's. Returns owned. RESOURCE_EXHAUSTED without memory. */
enum status turns_start(struct rpc_loop *loop, struct driver *driver, struct intake_queue *intake,
                        struct turns **out, struct error *err) MUST_USE;

/* Asks the driver to stop and waits for its last turn; the loop is not called any more. Not on the
 * loop's thread. NULL is allowed. */
void turns_stop(struct turns *turns);

#endif
