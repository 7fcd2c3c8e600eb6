/* SPDX-License-Identifier: Apache-2.0
 *
 * Config: what a node is told at its start: an INI file, then --set overrides.
 * Any error is fatal and names file and line. The result is immutable.
 *
 *   [node]      id = n1            data = /var/lib/estreat      cluster = NAME
 *               join = on|off      (waits to be added to a cluster that is there)
 *   [member.n1] client = HOST:PORT peer = HOST:PORT             (one for each member)
 *   [raft]      heartbeat_ms, election_ms
 *   [storage]   memtable_mib, block_cache_mib, segment_mib, retain_mib, reserve_mib,
 *               io = posix|uring  (how the log is written; posix where uring is refused)
 *   [backup]    dir = PATH         (nothing else of it without), entries, age_s, full_every, keep,
 *               keep_s, rate_mib
 *   [log]       salt = on|off      origin = NAME                (of the tree heads)
 *   [server]    log_level = debug|info|warn|error
 */
#ifndef ESTREAT_NODE_CONFIG_H
#define ESTREAT_NODE_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fs.h"
#include "base/io_queue.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/status.h"
#include "storage/backup/policy.h"

#define NODE_ID_BYTES_MAX 64
#define ENDPOINT_BYTES_MAX 300
#define CLUSTER_BYTES_MAX 128

struct config_member {
    char id[NODE_ID_BYTES_MAX + 1];
    char client[ENDPOINT_BYTES_MAX + 1]; /* HOST:PORT */
    char peer[ENDPOINT_BYTES_MAX + 1];
};

struct config_backup {
    char dir[PATH_BYTES_MAX]; /* "": none are made */
    struct backup_policy policy;
    uint64_t bytes_per_second; /* read and written for them */
};

struct config {
    char node_id[NODE_ID_BYTES_MAX + 1];
    char data[PATH_BYTES_MAX];
    char cluster[CLUSTER_BYTES_MAX + 1];
    char origin[CLUSTER_BYTES_MAX + 1];
    struct config_member members[MEMBERS_MAX]; /* sorted by id; this node is one of them */
    unsigned member_count;
    bool join; /* at its first start it is no member of anything */
    uint32_t heartbeat_ms;
    uint32_t election_ms;
    /* No settings; see raft/raft.h. */
    uint64_t append_bytes;   /* entries of one message to a peer */
    uint64_t inflight_bytes; /* entries sent to one peer and not yet acknowledged */
    uint64_t entry_cache_bytes;
    uint64_t memtable_bytes;
    uint64_t block_cache_bytes;
    uint64_t segment_bytes;
    uint64_t retain_bytes;  /* log kept for members that lag */
    uint64_t reserve_bytes; /* free disk that appends leave; see config_free_bytes_min() */
    enum io_form io;
    struct config_backup backup;
    bool salt;
    enum log_level log_level;
};

/* Reads `path`, then applies `overrides` ("section.name=value"). INVALID_ARGUMENT or NOT_FOUND
 * names path and line. */
enum status config_load(const char *path, const char *const *overrides, unsigned override_count,
                        struct config *out, struct error *err) MUST_USE;

/* One node on loopback, 127.0.0.1:8970 and :8971, no file. `data` NULL: the default directory,
 * $XDG_STATE_HOME/estreat or ~/.local/state/estreat. */
enum status config_dev(const char *data, const char *const *overrides, unsigned override_count,
                       struct config *out, struct error *err) MUST_USE;

/* Free disk below which appends are refused: the reserve, and room for what the memtables hold to
 * become tables; else what is committed could not be applied, and reads would wait for it. */
static inline uint64_t config_free_bytes_min(const struct config *config)
{
    return config->reserve_bytes + config->memtable_bytes;
}

/* What a member's id and its endpoints look like. */
bool config_is_name(const char *text);
bool config_is_endpoint(const char *text); /* HOST:PORT */

/* Index of this node in `members`. */
unsigned config_self(const struct config *config);

/* The number by which Raft knows a member: FNV-1a of its id, so that it does not depend on who
 * else is a member. Two members with the same number are refused when the file is read. */
uint64_t raft_id_of(const char *member_id);
uint64_t config_raft_id(const struct config *config, unsigned member);

#endif
