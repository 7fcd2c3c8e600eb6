/* SPDX-License-Identifier: Apache-2.0
 *
 * Audit: what the files of an audit share. The order is: ask who there is
 * (members.h), wait for those that lag a moment, compare roots at one common size
 * (audit.c), find out whom a trusted head supports (audit_attest.c), descend to the
 * positions that differ (audit_compare.c), and let each node re-read its disk
 * (audit_deep.c).
 *
 * One thread directs; each step asks all nodes at the same time, a thread each,
 * and a node's row belongs to its thread until the step is over.
 */
#ifndef ESTREAT_CLIENT_AUDIT_H
#define ESTREAT_CLIENT_AUDIT_H

#include "client/members.h"
#include "client/trust.h"
#include "merkle/hash.h"

/* More are joined into the last one: what is wrong with a log is told by the first few. */
#define AUDIT_RANGES_MAX 64U
/* A follower that has fallen behind the leader by so long is audited where it is. */
#define AUDIT_LAG_WAIT_MS 5000U
#define AUDIT_LAG_POLL_MS 50U

struct audit;

struct audit_node {
    struct audit *audit;
    unsigned route;
    bool asked; /* it has answered so far: it can be asked more */
    uint64_t applied;
    struct hash root; /* at the common size, if row.root_known */
    unsigned group;   /* nodes with equal roots */
    bool attested;    /* a trusted key signed a head that continues this root */
    pthread_t thread;
    bool started;
    uint64_t deep_events; /* checked so far */
    struct estreat_node_audit row;
};

struct audit {
    struct estreat_client *client;
    const struct estreat_audit_options *options;
    uint64_t size; /* common to all that answered */
    uint64_t target;
    unsigned count;
    struct audit_node *nodes; /* owned */
    struct mutex mutex;       /* for progress */
};

/* Runs `step` for each node that can still be asked, at the same time; waits for all. */
void audit_each(struct audit *audit, void *(*step)(void *node));

/* Notes a verdict; a worse one stays. DIVERGENT outranks INCONCLUSIVE. The first cause of a
 * verdict stays. */
void audit_verdict(struct audit_node *node, enum estreat_verdict verdict, const char *cause);

/* Notes damaged or differing positions [begin, end), which come in rising order. */
void audit_range(struct audit_node *node, uint64_t begin, uint64_t end);

/* A question to one node. A failure is noted: DATA_LOSS as DIVERGENT, others as INCONCLUSIVE,
 * and the node is not asked again. `reply` is released by the caller in any case. */
bool audit_ask(struct audit_node *node, const struct client_query *query, struct rpc_reply *reply);

/* Step: whether a trusted key attests the node's root. Needs trusted keys. */
void *audit_attest(void *node);

/* Notes where `node` differs from `reference`, by their subtree hashes. Returns the first
 * differing position; `audit->size` if their answers do not lead to one. */
uint64_t audit_compare(const struct audit_node *reference, struct audit_node *node);

/* Step: the node re-reads and re-hashes all events. */
void *audit_deep(void *node);

#endif
