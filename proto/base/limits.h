/* SPDX-License-Identifier: Apache-2.0
 *
 * Limits: every bound of the system, each with its reason. Relations between
 * them are asserted at the end, so that changing one shows what it breaks.
 */
#ifndef ESTREAT_BASE_LIMITS_H
#define ESTREAT_BASE_LIMITS_H

#define KIB 1024UL
#define MIB (1024UL * KIB)

/* Events. A payload is a record, not a file: larger ones belong in an object store. */
#define KEY_BYTES_MAX 1024UL
#define TYPE_BYTES_MAX 255UL
#define EVENT_ID_BYTES_MAX 64UL
#define PAYLOAD_BYTES_MAX (512UL * KIB)
#define SALT_BYTES 16UL
#define EVENTS_PER_REQUEST_MAX 1024UL

/* Frames: what a stranger may make us allocate before a checksum was looked at. */
#define CLIENT_FRAME_BYTES_MAX (1UL * MIB)
#define PEER_FRAME_BYTES_MAX (4UL * MIB)
#define METADATA_PAIRS_MAX 64UL
#define METADATA_BYTES_MAX (8UL * KIB)
#define MESSAGE_DEPTH_MAX 4

/* Connections. */
#define CONNECTIONS_MAX 1024UL
#define CALLS_PER_CONNECTION_MAX 1024UL
#define HANDSHAKE_TIMEOUT_MS 5000
#define FRAME_TIMEOUT_MS 10000
#define IDLE_TIMEOUT_MS 60000
#define KEEPALIVE_INTERVAL_MS 20000
/* Replies that wait for a slow reader; past it the connection's calls are refused. */
#define CONNECTION_QUEUED_BYTES_MAX (16UL * MIB)
#define STREAM_CREDIT_BYTES (1UL * MIB)
#define DEADLINE_DEFAULT_MS 10000
/* Unpacked requests that handlers hold, over all connections of one server. */
#define SERVER_REQUEST_BYTES_MAX (128UL * MIB)
/* A client must notice a restarted node soon, and not hammer a dead one. */
#define RECONNECT_BACKOFF_MIN_MS 20
#define RECONNECT_BACKOFF_MAX_MS 1000

/* One Raft entry holds one request; it fits a peer's frame together with its envelope. */
#define ENTRY_BYTES_MAX (CLIENT_FRAME_BYTES_MAX + 64UL * KIB)
#define MEMBERS_MAX 7UL

/* Sessions: requests of one client whose results are kept for a repeat. */
#define SESSION_WINDOW_MAX 1024UL
#define SESSIONS_MAX 10000UL
#define CLIENT_ID_BYTES 16UL

_Static_assert(PAYLOAD_BYTES_MAX + KEY_BYTES_MAX + TYPE_BYTES_MAX + 4 * KIB <
                   CLIENT_FRAME_BYTES_MAX,
               "one event of the largest size fits a client's frame");
_Static_assert(ENTRY_BYTES_MAX + 64 * KIB < PEER_FRAME_BYTES_MAX,
               "the largest entry fits a peer's frame");

#endif
