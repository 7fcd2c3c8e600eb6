/* SPDX-License-Identifier: Apache-2.0
 *
 * Links: what is under way from one core to another, and what of it is lost (README.md). One
 * thread.
 */
#ifndef ESTREAT_TESTS_ORACLE_LINKS_H
#define ESTREAT_TESTS_ORACLE_LINKS_H

#include "cores.h"

/* True for what `deliver A>B` delivers. */
bool link_is_election(enum raft_message_type type);

/* Puts a copy on its link, unless it is lost. Prints "unsafe ..." if a crash of the sender could
 * take back what it promises. */
void link_post(struct cores *cores, const struct raft_message *message);

/* Takes all that is on a link now, which the caller owns; what comes meanwhile is behind it. */
struct network link_take(struct cores *cores, uint64_t from, uint64_t to);

/* `from` leads no longer: its appends and heartbeats are lost. */
void link_lose_leaders(struct cores *cores, uint64_t from);

#endif
