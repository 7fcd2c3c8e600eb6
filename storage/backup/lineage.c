/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/backup/lineage.h"

#include <stdio.h>

enum { TEXT_BYTES = 2 * BACKUP_LINEAGE_BYTES + 1 };

static int digit_of(uint8_t character)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = character == '\0' ? NULL : strchr(digits, character);
    return at == NULL ? -1 : (int)(at - digits);
}

static bool parse(const uint8_t *text, size_t length, uint8_t out[BACKUP_LINEAGE_BYTES])
{
    if (length != TEXT_BYTES || text[TEXT_BYTES - 1] != '\n') {
        return false;
    }
    for (size_t i = 0; i < BACKUP_LINEAGE_BYTES; i++) {
        int high = digit_of(text[2 * i]);
        int low = digit_of(text[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        out[i] = (uint8_t)(high * 16 + low);
    }
    return true;
}

/* *found: there is one, and it is whole. */
static enum status load(struct fs *fs, const char *path, uint8_t out[BACKUP_LINEAGE_BYTES],
                        bool *found, struct error *err)
{
    uint8_t text[TEXT_BYTES + 1]; /* one more than there may be */
    struct file *file = NULL;
    size_t length = 0;
    enum status status = fs_open(fs, path, FS_READ, &file, err);
    if (status == STATUS_OK) {
        status = file_read(file, 0, text, sizeof text, &length, err);
        file_close(file);
    }
    *found = status == STATUS_OK && parse(text, length, out);
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

enum status lineage_of(struct fs *fs, struct rng *rng, const char *dir,
                       uint8_t out[BACKUP_LINEAGE_BYTES], struct error *err)
{
    char path[PATH_BYTES_MAX];
    char text[TEXT_BYTES + 1];
    bool found = false;
    enum status status = path_join(path, dir, "LINEAGE", err);
    if (status == STATUS_OK) {
        status = load(fs, path, out, &found, err);
    }
    if (status != STATUS_OK || found) {
        return status;
    }
    rng_fill(rng, out, BACKUP_LINEAGE_BYTES);
    for (size_t i = 0; i < BACKUP_LINEAGE_BYTES; i++) {
        (void)snprintf(text + 2 * i, 3, "%02x", out[i]);
    }
    text[TEXT_BYTES - 1] = '\n';
    return fs_replace_file(fs, dir, path, slice_of(text, TEXT_BYTES), err);
}
