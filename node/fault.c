/* SPDX-License-Identifier: Apache-2.0 */
#include "node/fault.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"

enum { FILE_BYTES_MAX = 4096 };

void fault_init(struct fault *fault)
{
    *fault = (struct fault){.fs = NULL};
    mutex_init(&fault->mutex);
}

void fault_release(struct fault *fault)
{
    mutex_release(&fault->mutex);
}

static void say(const struct fault *fault)
{
    char quoted[2 * FAULT_TEXT_BYTES];
    log_write("node", LOG_ERROR, "stored data is damaged", "error=%s kept_in=%s",
              log_quote(quoted, sizeof quoted, fault->text), fault->fs == NULL ? "-" : fault->path);
}

enum status fault_open(struct fault *fault, struct fs *fs, const char *dir, struct error *err)
{
    bool exists = false;
    (void)snprintf(fault->dir, sizeof fault->dir, "%s", dir);
    enum status status = path_join(fault->path, dir, "fault", err);
    if (status == STATUS_OK) {
        status = fs_exists(fs, fault->path, &exists, err);
    }
    if (status != STATUS_OK) {
        return status;
    }
    fault->fs = fs;
    if (!exists) {
        return STATUS_OK;
    }
    struct buf text;
    buf_init(&text, alloc_default(), FILE_BYTES_MAX);
    status = fs_read_file(fs, fault->path, &text, err);
    if (status == STATUS_OK) {
        /* A file without a word is a fault, too. */
        (void)snprintf(fault->text, sizeof fault->text, "%.*s",
                       text.length == 0 ? 7 : (int)text.length,
                       text.length == 0 ? "unknown" : (const char *)text.data);
        fault->text[strcspn(fault->text, "\n")] = '\0';
        say(fault);
    }
    buf_release(&text);
    return status;
}

/* Without room for it the fault is told all the same; it is then met anew after a restart. */
static void keep(struct fault *fault)
{
    struct error err = ERROR_INIT;
    if (fault->fs != NULL) {
        (void)!fs_replace_file(fault->fs, fault->dir, fault->path, slice_of_string(fault->text),
                               &err);
    }
}

void fault_note(struct fault *fault, const char *text)
{
    mutex_lock(&fault->mutex);
    bool first = fault->text[0] == '\0';
    if (first) {
        (void)snprintf(fault->text, sizeof fault->text, "%s", text);
    }
    mutex_unlock(&fault->mutex);
    if (first) {
        keep(fault); /* `text` changes no more */
        say(fault);
    }
}

bool fault_get(struct fault *fault, char out[FAULT_TEXT_BYTES])
{
    mutex_lock(&fault->mutex);
    bool known = fault->text[0] != '\0';
    if (known && out != NULL) {
        memcpy(out, fault->text, sizeof fault->text);
    }
    mutex_unlock(&fault->mutex);
    return known;
}
