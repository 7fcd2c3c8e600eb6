/* SPDX-License-Identifier: Apache-2.0
 *
 * Fault: damage to what this node has stored that a read or an audit has met. It
 * stays until the node is restarted. A node with a fault goes on storing,
 * acknowledging and voting, so that the cluster keeps its quorum, but does not
 * lead if another can, and says so in its status. Thread-safe.
 */
#ifndef ESTREAT_NODE_FAULT_H
#define ESTREAT_NODE_FAULT_H

#include "base/sync.h"

#define FAULT_TEXT_BYTES 256

struct fault {
    struct mutex mutex;
    char text[FAULT_TEXT_BYTES]; /* of the first one; "" if there is none */
};

void fault_init(struct fault *fault);
void fault_release(struct fault *fault);

/* Notes and logs the first fault; later ones change nothing. */
void fault_note(struct fault *fault, const char *text);

/* False if there is none; else its text. `out` may be NULL. */
bool fault_get(struct fault *fault, char out[FAULT_TEXT_BYTES]);

#endif
