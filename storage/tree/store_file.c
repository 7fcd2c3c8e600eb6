/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/tree/store_file.h"

#include <stdbool.h>
#include <string.h>

/* "<prefix><digits><suffix>" */
static bool parse_number(const char *name, const char *prefix, const char *suffix, uint64_t *number)
{
    size_t prefix_length = strlen(prefix);
    if (strncmp(name, prefix, prefix_length) != 0) {
        return false;
    }
    uint64_t value = 0;
    size_t digits = 0;
    const char *at = name + prefix_length;
    for (; *at >= '0' && *at <= '9' && digits < 18; at++, digits++) {
        value = value * 10 + (uint64_t)(*at - '0');
    }
    if (digits == 0 || strcmp(at, suffix) != 0) {
        return false;
    }
    *number = value;
    return true;
}

enum store_file store_file_of(const char *name, uint64_t *number)
{
    *number = 0;
    if (parse_number(name, "", ".sst", number)) {
        return STORE_FILE_TABLE;
    }
    if (parse_number(name, "MANIFEST-", "", number)) {
        return STORE_FILE_MANIFEST;
    }
    if (strcmp(name, "CURRENT") == 0) {
        return STORE_FILE_CURRENT;
    }
    return strcmp(name, "CURRENT.new") == 0 ? STORE_FILE_CURRENT_NEW : STORE_FILE_OTHER;
}
