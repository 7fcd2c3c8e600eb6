/* SPDX-License-Identifier: Apache-2.0
 *
 * Assertions, kept in release builds: a programmer's error stops the process
 * at once, before it can reach the disk or a peer. Bytes from disk or network
 * are never asserted; they return a status.
 */
#ifndef ESTREAT_BASE_CHECK_H
#define ESTREAT_BASE_CHECK_H

/* Prints file, line and condition to stderr and aborts. */
_Noreturn void check_failed(const char *file, int line, const char *condition);

#define CHECK(condition) ((condition) ? (void)0 : check_failed(__FILE__, __LINE__, #condition))

#endif
