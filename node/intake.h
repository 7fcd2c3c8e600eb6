/* SPDX-License-Identifier: Apache-2.0
 *
 * Intake: what reaches the driver's thread. Each kind of item embeds a `struct
 * intake` as its first member and is the driver's from the push on; how it ends
 * stands with its type.
 */
#ifndef ESTREAT_NODE_INTAKE_H
#define ESTREAT_NODE_INTAKE_H

#include "base/mpsc.h"

enum intake_kind {
    INTAKE_PROPOSAL,    /* struct proposal: an admitted append */
    INTAKE_MESSAGE,     /* struct peer_message: from another node */
    INTAKE_UNREACHABLE, /* struct peer_lost: a connection broke */
    INTAKE_READ,        /* struct read_barrier: a linearizable read */
    INTAKE_WAL_DONE,    /* the driver's own: a group is durable */
    INTAKE_APPLIED,     /* struct apply_batch: comes back from the applier */
    INTAKE_LOADED,      /* struct entry_load: comes back from the loader */
    INTAKE_STOP,        /* the driver's own: shut down */
};

struct intake {
    struct mpsc_node node; /* first: the queue gives it back */
    enum intake_kind kind;
};

#endif
