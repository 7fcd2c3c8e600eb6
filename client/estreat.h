/* SPDX-License-Identifier: Apache-2.0
 *
 * Estreat's client library: append events to a replicated, verifiable log, read them, and
 * check them without trusting a server.
 *
 *     struct estreat_client *client;
 *     struct estreat_error error;
 *     struct estreat_appended at;
 *     struct estreat_new_event event = {.key = estreat_text("account-7"),
 *                                       .payload = estreat_text("opened")};
 *     if (estreat_open("127.0.0.1:8970", NULL, &client, &error) == ESTREAT_OK &&
 *         estreat_append(client, &event, 1, NULL, &at, &error) == ESTREAT_OK)
 *         printf("position %llu\n", (unsigned long long)at.position);
 *     estreat_close(client);
 *
 * Conventions, which hold throughout:
 *
 * - Results. A function that can fail returns a code, ESTREAT_OK on success, and fills its
 *   last parameter (which may be NULL). On failure its other outputs are untouched.
 * - Time limits. A call ends within its time limit (`timeout_ms`; 0 means the client's
 *   default). Until then it is tried again, at other endpoints too, with growing random pauses,
 *   where the failure says that another try may help.
 * - Exactly once. An append is applied once, however often it had to be sent. If its time runs
 *   out, or it is refused after an attempt whose answer got lost, the answer is
 *   ESTREAT_DEADLINE_EXCEEDED or ESTREAT_UNAVAILABLE, and whether it was applied is unknown; sent
 *   anew by the application it would be a new append.
 * - Threads. A client may be used by any number of threads at once. A stream belongs to one
 *   thread at a time. Callbacks come on the library's threads: they must not block, must not
 *   call blocking functions of this header, and may call estreat_append_async().
 * - Ownership. Inputs are borrowed for the duration of the call (estreat_append_async copies
 *   them). What a function returns as owned is given back to the function named there.
 * - Units. Times are nanoseconds since 1970 UTC; intervals say theirs. Ranges are half-open,
 *   [from, to). Hashes are SHA-256, 32 bytes. Keys are 1 to 1,024 bytes, payloads up to
 *   524,288, types up to 255; all but types are binary.
 */
#ifndef ESTREAT_H
#define ESTREAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define ESTREAT_API __attribute__((visibility("default")))
#else
#define ESTREAT_API
#endif

#define ESTREAT_KEY_BYTES_MAX 1024
#define ESTREAT_PAYLOAD_BYTES_MAX 524288
#define ESTREAT_TYPE_BYTES_MAX 255
#define ESTREAT_EVENTS_PER_REQUEST_MAX 1024
#define ESTREAT_REQUEST_BYTES_MAX 1000000 /* keys, payloads and types of one request */
#define ESTREAT_IN_FLIGHT_MAX 1024
#define ESTREAT_HASH_BYTES 32

/* gRPC's codes, with gRPC's numbers. */
enum estreat_code {
    ESTREAT_OK = 0,
    ESTREAT_CANCELLED = 1,
    ESTREAT_UNKNOWN = 2,
    ESTREAT_INVALID_ARGUMENT = 3,
    ESTREAT_DEADLINE_EXCEEDED = 4,
    ESTREAT_NOT_FOUND = 5,
    ESTREAT_ALREADY_EXISTS = 6,
    ESTREAT_PERMISSION_DENIED = 7,
    ESTREAT_RESOURCE_EXHAUSTED = 8,
    ESTREAT_FAILED_PRECONDITION = 9,
    ESTREAT_ABORTED = 10,
    ESTREAT_OUT_OF_RANGE = 11,
    ESTREAT_UNIMPLEMENTED = 12,
    ESTREAT_INTERNAL = 13,
    ESTREAT_UNAVAILABLE = 14,
    ESTREAT_DATA_LOSS = 15,
    ESTREAT_UNAUTHENTICATED = 16
};

#define ESTREAT_ERROR_TEXT_BYTES 512

struct estreat_error {
    enum estreat_code code;
    char text[ESTREAT_ERROR_TEXT_BYTES]; /* one line, NUL-terminated; "" after ESTREAT_OK */
};

/* The code's name, e.g. "NOT_FOUND". Static. */
ESTREAT_API const char *estreat_code_name(enum estreat_code code);

/* The library's version, e.g. "0.1.0". Static. */
ESTREAT_API const char *estreat_version(void);

/* Bytes that somebody else owns; `data` may be NULL if `length` is 0. */
struct estreat_bytes {
    const void *data;
    size_t length;
};

static inline struct estreat_bytes estreat_bytes(const void *data, size_t length)
{
    struct estreat_bytes bytes;
    bytes.data = data;
    bytes.length = length;
    return bytes;
}

static inline struct estreat_bytes estreat_text(const char *text)
{
    return estreat_bytes(text, strlen(text));
}

/* ---- Client ---------------------------------------------------------------------------- */

struct estreat_client;

/* All zero is the default. */
struct estreat_client_options {
    uint32_t timeout_ms;          /* of each call; 0: 10,000 */
    uint64_t in_flight_bytes_max; /* of appends under way; 0: 16 MiB */
};

/* Makes a client of the cluster whose nodes listen at `endpoints`: "HOST:PORT", separated by
 * commas; IPv6 hosts in brackets. One reachable node is enough to find the leader. Connects at
 * the first call, not here. `options` may be NULL. Returns owned: estreat_close().
 * INVALID_ARGUMENT if an endpoint cannot be read. */
ESTREAT_API enum estreat_code estreat_open(const char *endpoints,
                                           const struct estreat_client_options *options,
                                           struct estreat_client **out,
                                           struct estreat_error *error);

/* Calls that are under way end with CANCELLED, their callbacks included, before it returns.
 * Streams must have been closed and no other thread may use the client. NULL is allowed. Not
 * from a callback. */
ESTREAT_API void estreat_close(struct estreat_client *client);

/* ---- Append ---------------------------------------------------------------------------- */

enum estreat_kind {
    ESTREAT_KIND_AUTO = 0, /* CREATE if the key has no live event, else UPDATE */
    ESTREAT_KIND_CREATE = 1,
    ESTREAT_KIND_UPDATE = 2,
    ESTREAT_KIND_DELETE = 3,
    ESTREAT_KIND_SYSTEM = 4 /* the cluster's own; not for appends */
};

enum estreat_severity {
    ESTREAT_SEVERITY_NONE = 0,
    ESTREAT_SEVERITY_TRACE = 1,
    ESTREAT_SEVERITY_DEBUG = 2,
    ESTREAT_SEVERITY_INFO = 3,
    ESTREAT_SEVERITY_WARN = 4,
    ESTREAT_SEVERITY_ERROR = 5,
    ESTREAT_SEVERITY_FATAL = 6
};

/* Names in lower case, e.g. "create", "warn". Static; "unknown" outside the enum. */
ESTREAT_API const char *estreat_kind_name(enum estreat_kind kind);
ESTREAT_API const char *estreat_severity_name(enum estreat_severity severity);

enum estreat_expect {
    ESTREAT_EXPECT_ANY = 0,    /* no condition */
    ESTREAT_EXPECT_NONE = 1,   /* the key has no events, or its last one is a DELETE */
    ESTREAT_EXPECT_VERSION = 2 /* the key's newest version is `expected_version` */
};

struct estreat_new_event {
    struct estreat_bytes key;
    struct estreat_bytes payload;
    const char *type; /* NULL: none */
    enum estreat_severity severity;
    enum estreat_kind kind;
    enum estreat_expect expect;
    uint64_t expected_version;
};

struct estreat_append_options {
    uint32_t timeout_ms; /* 0: the client's */
};

struct estreat_appended {
    uint64_t position; /* of the first event; the others follow without a gap */
    uint64_t time_ns;  /* of the first event; each further one is 1 ns later */
    uint64_t size;     /* of the log with these events in it */
    uint64_t version;  /* of the first event's key; valid if `version_known` */
    bool version_known;
    size_t events;
};

/* Appends all of `events` (1 to 1,024), at consecutive positions, or none. Returns when they
 * are on the disks of a quorum. ABORTED if a condition does not hold. `options` may be NULL.
 * Blocks also while the window (ESTREAT_IN_FLIGHT_MAX) is full. */
ESTREAT_API enum estreat_code estreat_append(struct estreat_client *client,
                                             const struct estreat_new_event *events, size_t count,
                                             const struct estreat_append_options *options,
                                             struct estreat_appended *out,
                                             struct estreat_error *error);

/* `appended` is NULL unless `error->code` is ESTREAT_OK; both are valid during the call. */
typedef void (*estreat_append_fn)(void *context, const struct estreat_appended *appended,
                                  const struct estreat_error *error);

/* As estreat_append, without waiting: copies the events, returns, and later calls `done` once,
 * on a thread of the library. Requests under way are independent: they may be applied in any
 * order. RESOURCE_EXHAUSTED, at once and without a callback, if the window or
 * `in_flight_bytes_max` is full: see estreat_wait(). `done` may have run before this returns, so
 * `error` must not be where `done` keeps the answer's. */
ESTREAT_API enum estreat_code
estreat_append_async(struct estreat_client *client, const struct estreat_new_event *events,
                     size_t count, const struct estreat_append_options *options,
                     estreat_append_fn done, void *context, struct estreat_error *error);

/* Blocks until at most `in_flight` appends are under way and there is room for another: 0 waits
 * for all of them. Each ends by its own time limit, so this ends too. */
ESTREAT_API void estreat_wait(struct estreat_client *client, size_t in_flight);

/* ---- Read ------------------------------------------------------------------------------ */

struct estreat_event {
    uint64_t position; /* from 0, dense over the whole log */
    uint64_t time_ns;  /* rises strictly with the position */
    struct estreat_bytes key;
    uint64_t version; /* from 0 among the events of the key */
    enum estreat_kind kind;
    enum estreat_severity severity;
    const char *type;              /* NUL-terminated; "" if none */
    struct estreat_bytes event_id; /* at most 64 bytes */
    struct estreat_bytes payload;
    struct estreat_bytes salt; /* empty or 16 bytes; goes into the payload's hash */
};

enum estreat_consistency_level {
    ESTREAT_LINEARIZABLE = 0, /* sees every append that was acknowledged before the call */
    ESTREAT_AT_LEAST = 1,     /* sees at least `size` events; waits for them */
    ESTREAT_LOCAL = 2         /* what the answering node has applied */
};

/* All zero is LINEARIZABLE. */
struct estreat_consistency {
    enum estreat_consistency_level level;
    uint64_t size;
};

/* Where a range begins or ends. */
enum estreat_bound_kind {
    ESTREAT_BOUND_NONE = 0, /* the log's beginning or end */
    ESTREAT_BOUND_POSITION = 1,
    ESTREAT_BOUND_TIME = 2 /* the first event whose time is not less than `value` */
};

struct estreat_bound {
    enum estreat_bound_kind kind;
    uint64_t value;
};

static inline struct estreat_bound estreat_position(uint64_t position)
{
    struct estreat_bound bound;
    bound.kind = ESTREAT_BOUND_POSITION;
    bound.value = position;
    return bound;
}

static inline struct estreat_bound estreat_time(uint64_t time_ns)
{
    struct estreat_bound bound;
    bound.kind = ESTREAT_BOUND_TIME;
    bound.value = time_ns;
    return bound;
}

/* All zero gets the newest, LINEARIZABLE. */
struct estreat_get_options {
    struct estreat_bound as_of; /* the newest at or before it; a position is included */
    struct estreat_consistency consistency;
    uint32_t timeout_ms;
};

/* One event, owned: estreat_got_free(). */
struct estreat_got;

/* The newest event of a key. NOT_FOUND if there is none or if it is a DELETE. */
ESTREAT_API enum estreat_code estreat_get(struct estreat_client *client, struct estreat_bytes key,
                                          const struct estreat_get_options *options,
                                          struct estreat_got **out, struct estreat_error *error);

/* Valid until estreat_got_free(). */
ESTREAT_API const struct estreat_event *estreat_got_event(const struct estreat_got *got);

/* NULL is allowed. */
ESTREAT_API void estreat_got_free(struct estreat_got *got);

/* All zero passes everything. */
struct estreat_filter {
    struct estreat_bytes key; /* exactly this key, if not empty */
    struct estreat_bytes key_prefix;
    enum estreat_severity severity_min; /* events of no severity pass only SEVERITY_NONE */
};

struct estreat_read_options {
    struct estreat_bound from;
    struct estreat_bound to;
    struct estreat_filter filter;
    uint64_t limit; /* 0: none */
    bool follow;    /* goes on with new events until the stream is closed */
    struct estreat_consistency consistency;
    uint32_t timeout_ms; /* without progress; a follower that waits for events is not late */
};

struct estreat_history_options {
    uint64_t from_version;
    uint64_t limit; /* 0: none */
    struct estreat_consistency consistency;
    uint32_t timeout_ms; /* without progress */
};

/* Events that come one after the other. If the connection breaks, the stream goes on at another
 * node where it was: no event is left out or comes twice. */
struct estreat_stream;

/* The events of [from, to) that pass the filter, by position. Returns owned:
 * estreat_stream_close(). Does not block; what is wrong with the request shows at the first
 * estreat_stream_next(). `options` may be NULL: everything. */
ESTREAT_API enum estreat_code estreat_read(struct estreat_client *client,
                                           const struct estreat_read_options *options,
                                           struct estreat_stream **out,
                                           struct estreat_error *error);

/* The events of one key, by version. As estreat_read. */
ESTREAT_API enum estreat_code estreat_history(struct estreat_client *client,
                                              struct estreat_bytes key,
                                              const struct estreat_history_options *options,
                                              struct estreat_stream **out,
                                              struct estreat_error *error);

/* Waits for the next event. `*out` is NULL at the end; else valid until the next call or close.
 * After a failure the stream can only be closed. */
ESTREAT_API enum estreat_code estreat_stream_next(struct estreat_stream *stream,
                                                  const struct estreat_event **out,
                                                  struct estreat_error *error);

/* Any thread: estreat_stream_next() does not wait any more; once what has arrived is handed out
 * it returns CANCELLED. */
ESTREAT_API void estreat_stream_cancel(struct estreat_stream *stream);

/* NULL is allowed. */
ESTREAT_API void estreat_stream_close(struct estreat_stream *stream);

struct estreat_count_options {
    struct estreat_bound from;
    struct estreat_bound to;
    struct estreat_filter filter;
    struct estreat_consistency consistency;
    uint32_t timeout_ms;
};

/* `size` (may be NULL) is the log's at that moment. `options` may be NULL: everything. */
ESTREAT_API enum estreat_code estreat_count(struct estreat_client *client,
                                            const struct estreat_count_options *options,
                                            uint64_t *count, uint64_t *size,
                                            struct estreat_error *error);

/* ---- Proofs ---------------------------------------------------------------------------- */

/* Frees text that a function of this header returned as owned. NULL is allowed. */
ESTREAT_API void estreat_free(void *text);

/* The keys whose signatures count. Immutable; any thread. */
struct estreat_trust;

/* Reads C2SP verifier keys, one a line; empty lines and lines that begin with # are left out.
 * Returns owned: estreat_trust_free(). INVALID_ARGUMENT names the line that cannot be read, or
 * says that there is no key at all. */
ESTREAT_API enum estreat_code estreat_trust_parse(const char *text, size_t length,
                                                  struct estreat_trust **out,
                                                  struct estreat_error *error);

/* NULL is allowed. */
ESTREAT_API void estreat_trust_free(struct estreat_trust *trust);

struct estreat_head {
    uint64_t size;
    uint8_t root[ESTREAT_HASH_BYTES];
    char *checkpoint; /* owned: estreat_free(). C2SP checkpoint, NUL-terminated */
    size_t checkpoint_length;
};

struct estreat_proof_options {
    struct estreat_consistency consistency;
    uint32_t timeout_ms;
};

/* The newest signed tree head. With `trust` (may be NULL) its signature is checked:
 * UNAUTHENTICATED if no trusted key signed it. DATA_LOSS if the answer contradicts itself. */
ESTREAT_API enum estreat_code estreat_head(struct estreat_client *client,
                                           const struct estreat_proof_options *options,
                                           const struct estreat_trust *trust,
                                           struct estreat_head *out, struct estreat_error *error);

/* Fetches the proof that the event at `position` is in the log, or that the log of `new_size`
 * (0: the newest) begins with the log of `old_size`. `*text` is a C2SP-style proof file, owned:
 * estreat_free(). It is checked before it is returned, its signature only if `trust` is given. */
ESTREAT_API enum estreat_code estreat_prove_inclusion(
    struct estreat_client *client, uint64_t position, const struct estreat_proof_options *options,
    const struct estreat_trust *trust, char **text, size_t *length, struct estreat_error *error);
ESTREAT_API enum estreat_code estreat_prove_consistency(struct estreat_client *client,
                                                        uint64_t old_size, uint64_t new_size,
                                                        const struct estreat_proof_options *options,
                                                        const struct estreat_trust *trust,
                                                        char **text, size_t *length,
                                                        struct estreat_error *error);

enum estreat_proof_kind { ESTREAT_PROOF_INCLUSION = 1, ESTREAT_PROOF_CONSISTENCY = 2 };

struct estreat_verified {
    enum estreat_proof_kind kind;
    uint64_t size; /* of the signed tree head that the proof leads to */
    uint8_t root[ESTREAT_HASH_BYTES];
    uint64_t position; /* INCLUSION: of the event */
    uint64_t old_size; /* CONSISTENCY: the log of this size is the beginning */
    uint64_t new_size; /* CONSISTENCY: of the log of this size */
};

/* Checks a proof file offline. OK: it holds, and a trusted key signed the head. DATA_LOSS or
 * UNAUTHENTICATED: it is refused. INVALID_ARGUMENT: it is no proof file. UNKNOWN: `trust` is
 * NULL, so that nothing can be told. `event` may be NULL, else it is set to the event that an
 * inclusion proof is about (its payload is empty if it was redacted), owned:
 * estreat_got_free(); to NULL for a consistency proof. */
ESTREAT_API enum estreat_code estreat_verify(const struct estreat_trust *trust, const char *text,
                                             size_t length, struct estreat_verified *out,
                                             struct estreat_got **event,
                                             struct estreat_error *error);

/* ---- Cluster --------------------------------------------------------------------------- */

#define ESTREAT_NAME_BYTES 256

struct estreat_node_status {
    char id[ESTREAT_NAME_BYTES];       /* "" if the node did not answer and nobody named it */
    char endpoint[ESTREAT_NAME_BYTES]; /* where it was asked */
    bool answered;
    char role[16]; /* "leader", "follower", "candidate", "learner" */
    /* "ok", "catching-up", "installing snapshot: 37 %", "verifying snapshot: 37 %", "waits to be
     * added", "removed", "unreachable: ...", "fault: ..." of the tables, "log fault: ..." of the
     * log, or both of these: "log fault: ...; fault: ..." */
    char state[ESTREAT_NAME_BYTES];
    char leader_id[ESTREAT_NAME_BYTES];
    uint64_t term;
    uint64_t size; /* events applied */
    uint64_t applied_index;
    uint64_t commit_index;
    /* How far it is behind whoever has applied most. Of one that did not answer, as it last told
     * the leader; `lag_known` is false if it did not since that one leads. */
    bool lag_known;
    uint64_t lag; /* events */
    uint64_t lag_entries;
    uint64_t lag_bytes; /* of the log's entries */
    /* How much older its newest event is than the newest one seen; UINT64_MAX: it has none. */
    uint64_t lag_ns;
    uint64_t applied_bytes;
    uint64_t applied_time_ns;
    uint64_t fdatasync_p50_ns;
    uint64_t rss_bytes;
    char version[32];
    char verifier_key[256];
};

struct estreat_status {
    char cluster[ESTREAT_NAME_BYTES];
    char leader_id[ESTREAT_NAME_BYTES]; /* "" if nobody knows one; of the highest term */
    uint64_t term;
    uint64_t size;             /* the largest */
    uint64_t fdatasync_p50_ns; /* the leader's */
    size_t node_count;
    struct estreat_node_status *nodes; /* owned by the struct */
};

/* Asks each endpoint itself, and each further member that one of them names. A node that does
 * not answer is a row with `answered` false. UNAVAILABLE if none answers. Returns owned:
 * estreat_status_free(). `timeout_ms` 0: the client's. */
ESTREAT_API enum estreat_code estreat_status(struct estreat_client *client, uint32_t timeout_ms,
                                             struct estreat_status **out,
                                             struct estreat_error *error);
ESTREAT_API void estreat_status_free(struct estreat_status *status);

/* ---- Membership ------------------------------------------------------------------------ */

struct estreat_member {
    char id[ESTREAT_NAME_BYTES];
    char endpoint[ESTREAT_NAME_BYTES];      /* for clients */
    char peer_endpoint[ESTREAT_NAME_BYTES]; /* for the other nodes */
    bool voter;                             /* else a learner: gets everything, counts nowhere */
    bool leads;
    uint64_t match_index; /* of the log, durable there as far as the leader knows */
};

struct estreat_member_list {
    size_t count;
    struct estreat_member members[16];
};

/* Who belongs to the cluster, as the leader says, or whoever of those that answer knows most.
 * UNAVAILABLE if none answers. */
ESTREAT_API enum estreat_code estreat_members(struct estreat_client *client, uint32_t timeout_ms,
                                              struct estreat_member_list *out,
                                              struct estreat_error *error);

/* Adds a node that was started with `join = on`, as a learner; once it has caught up it becomes a
 * voter by itself. One change at a time. These three return when the change is committed, and are
 * OK if it was made before. ALREADY_EXISTS: a member has this id and other endpoints;
 * FAILED_PRECONDITION: the id was removed once, there are too many members, or it would take the
 * last voter; NOT_FOUND. */
ESTREAT_API enum estreat_code estreat_member_add(struct estreat_client *client, const char *id,
                                                 const char *endpoint, const char *peer_endpoint,
                                                 uint32_t timeout_ms, struct estreat_error *error);

/* FAILED_PRECONDITION if it has not caught up: until then it would only hold up the others. */
ESTREAT_API enum estreat_code estreat_member_promote(struct estreat_client *client, const char *id,
                                                     uint32_t timeout_ms,
                                                     struct estreat_error *error);

/* For good: its id is not used again. A leader hands over first. */
ESTREAT_API enum estreat_code estreat_member_remove(struct estreat_client *client, const char *id,
                                                    uint32_t timeout_ms,
                                                    struct estreat_error *error);

/* Hands leadership to the voter `id`, or to whoever has most of the log (NULL); returns when it
 * leads. */
ESTREAT_API enum estreat_code estreat_transfer(struct estreat_client *client, const char *id,
                                               uint32_t timeout_ms, struct estreat_error *error);

/* ---- Backups --------------------------------------------------------------------------- */

struct estreat_backup_options {
    const char *node; /* its id; NULL: the only one there is */
    bool begin;       /* make one now; else only tell */
    bool full;        /* which takes nothing from earlier ones */
    uint32_t timeout_ms;
};

/* What a node says of its backups. */
struct estreat_backup {
    char node[ESTREAT_NAME_BYTES];
    uint64_t since_ns; /* the node's start: with `runs` it names a run */
    uint64_t runs;     /* that have begun since */
    bool running;      /* the last of them has not ended */
    uint64_t done_bytes;
    uint64_t total_bytes;         /* 0: not known yet */
    struct estreat_error failure; /* of the last one that ended; code ESTREAT_OK: it was made */
    /* The last one that was made; 0: none since the node's start. */
    uint64_t made_at_ns;
    uint64_t number;
    uint64_t events; /* in it: positions [0, events) */
    uint64_t tables;
    uint64_t bytes;
    uint64_t copied_bytes; /* the rest lies in earlier ones */
    uint64_t removed;      /* older ones that went */
};

/* Asks one node about its backups, or to make one; where they are kept is in its configuration.
 * Returns at once: who waits for the end asks again until it is another run, or not `running`.
 * FAILED_PRECONDITION: one is being made, none are configured, or the node has a fault; NOT_FOUND:
 * no such node; INVALID_ARGUMENT: there are several, and `node` is NULL. */
ESTREAT_API enum estreat_code estreat_backup(struct estreat_client *client,
                                             const struct estreat_backup_options *options,
                                             struct estreat_backup *out,
                                             struct estreat_error *error);

/* ---- Audit ----------------------------------------------------------------------------- */

enum estreat_verdict {
    ESTREAT_CONSISTENT = 0,
    ESTREAT_DIVERGENT = 1,
    ESTREAT_INCONCLUSIVE = 2 /* somebody did not answer */
};

/* "CONSISTENT", "DIVERGENT", "INCONCLUSIVE". Static. */
ESTREAT_API const char *estreat_verdict_name(enum estreat_verdict verdict);

struct estreat_range {
    uint64_t begin;
    uint64_t end; /* exclusive */
};

struct estreat_node_audit {
    char id[ESTREAT_NAME_BYTES];
    char endpoint[ESTREAT_NAME_BYTES];
    enum estreat_verdict verdict;
    uint64_t size; /* that was compared */
    bool root_known;
    uint8_t root[ESTREAT_HASH_BYTES];
    uint64_t bytes_read; /* from its disk, by a deep audit */
    size_t range_count;
    struct estreat_range *ranges; /* positions that are damaged or differ; owned by the struct */
    char cause[ESTREAT_ERROR_TEXT_BYTES]; /* "" if consistent */
};

struct estreat_audit {
    enum estreat_verdict verdict;
    uint64_t size;
    bool root_known; /* one root that all agree on, or that a trusted head proves */
    uint8_t root[ESTREAT_HASH_BYTES];
    size_t node_count;
    struct estreat_node_audit *nodes; /* owned by the struct */
};

/* How far a deep audit is: events checked by all nodes together, of how many. Calls come on
 * several threads, one at a time. */
typedef void (*estreat_audit_progress_fn)(void *context, uint64_t events, uint64_t events_total);

struct estreat_audit_options {
    bool deep;           /* each node re-reads and re-hashes every byte from its disk */
    uint32_t timeout_ms; /* of each question; of a deep audit: without progress */
    const struct estreat_trust *trust; /* may be NULL; tells who is right where roots differ */
    estreat_audit_progress_fn progress;
    void *progress_context;
};

/* Compares what the nodes hold, asking each of them itself: all members that the endpoints name.
 * OK whatever the verdict. Returns owned: estreat_audit_free(). `options` may be NULL. */
ESTREAT_API enum estreat_code estreat_audit(struct estreat_client *client,
                                            const struct estreat_audit_options *options,
                                            struct estreat_audit **out,
                                            struct estreat_error *error);
ESTREAT_API void estreat_audit_free(struct estreat_audit *audit);

#ifdef __cplusplus
}
#endif

#endif
