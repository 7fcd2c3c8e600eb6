/* SPDX-License-Identifier: Apache-2.0
 *
 * Fault: damage to what this node has stored that a start, a read, an audit or the
 * merging of tables has met. It stays, also across restarts, in the file DIR/fault, until an
 * operator who has mended the damage removes that. A node with a fault goes on
 * storing, acknowledging and voting, so that the cluster keeps its quorum, but serves
 * no reads and does not lead if another can, and says so in its status and to audits.
 * Thread-safe.
 */
#ifndef ESTREAT_NODE_FAULT_H
#define ESTREAT_NODE_FAULT_H

#include "base/fs.h"
#include "base/sync.h"

#define FAULT_TEXT_BYTES 256

struct fault {
    struct fs *fs; /* NULL: nothing is kept */
    char dir[PATH_BYTES_MAX];
    char path[PATH_BYTES_MAX];
    struct mutex mutex;
    char text[FAULT_TEXT_BYTES]; /* of the first one; "" if there is none */
};

void fault_init(struct fault *fault);
void fault_release(struct fault *fault);

/* Takes up what DIR/fault says, and keeps what is noted from now on there. Borrows `fs`. */
enum status fault_open(struct fault *fault, struct fs *fs, const char *dir,
                       struct error *err) MUST_USE;

/* Notes, keeps and logs the first fault; later ones change nothing. Waits for the disk. */
void fault_note(struct fault *fault, const char *text);

/* False if there is none; else its text. `out` may be NULL. */
bool fault_get(struct fault *fault, char out[FAULT_TEXT_BYTES]);

#endif
