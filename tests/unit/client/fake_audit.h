/* SPDX-License-Identifier: Apache-2.0
 *
 * Fake audit: nodes that hold hashes of a log of small events and answer Cluster,
 * Audit and Proof calls. Single events can be made to differ on a node, and a deep
 * audit can be told what to find.
 *
 * Settings are made before the node is opened, or while no call is under way.
 */
#ifndef ESTREAT_TESTS_FAKE_AUDIT_H
#define ESTREAT_TESTS_FAKE_AUDIT_H

#include "merkle/note.h"
#include "merkle/proof.h"
#include "rpc/server.h"

#define FAKE_LEVELS 16U
#define FAKE_NODES_MAX 8U

enum fake_deep {
    FAKE_DEEP_WELL,
    FAKE_DEEP_DAMAGED,    /* reports [damage_begin, damage_begin + 2), no root */
    FAKE_DEEP_OTHER_ROOT, /* reports nothing, computes another root */
    FAKE_DEEP_BREAKS_OFF, /* ends before it is done */
};

struct fake_cluster;

struct fake_auditee {
    struct fake_cluster *cluster;
    char id[8];
    char claimed_id[8]; /* says that it is this one; "": it is honest */
    char cluster_name[16];
    char endpoint[32];
    struct rpc_loop *loop;
    struct rpc_server *server; /* NULL: nobody listens */
    struct hasher hasher;      /* the loop's */
    struct note_signer signer;
    struct hash *levels[FAKE_LEVELS]; /* owned; complete subtrees */
    uint64_t size;
    uint64_t lag; /* events not applied yet; shrinks with each question for a root */
    enum fake_deep deep;
    uint64_t damage_begin;
};

struct fake_cluster {
    struct fake_auditee nodes[FAKE_NODES_MAX];
    unsigned count;
};

/* Makes `count` nodes n1, n2, ... of `size` equal events. */
void fake_cluster_init(struct fake_cluster *cluster, unsigned count, uint64_t size);
void fake_cluster_release(struct fake_cluster *cluster);

/* Another event at `position` of a node. */
void fake_alter(struct fake_auditee *node, uint64_t position);

/* Stops to listen. */
void fake_stop(struct fake_auditee *node);

#endif
