/* SPDX-License-Identifier: Apache-2.0 */
#include "node/fault.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"

void fault_init(struct fault *fault)
{
    mutex_init(&fault->mutex);
    fault->text[0] = '\0';
}

void fault_release(struct fault *fault)
{
    mutex_release(&fault->mutex);
}

void fault_note(struct fault *fault, const char *text)
{
    char quoted[2 * FAULT_TEXT_BYTES];
    mutex_lock(&fault->mutex);
    bool first = fault->text[0] == '\0';
    if (first) {
        (void)snprintf(fault->text, sizeof fault->text, "%s", text);
    }
    mutex_unlock(&fault->mutex);
    if (first) {
        log_write("node", LOG_ERROR, "stored data is damaged", "error=%s",
                  log_quote(quoted, sizeof quoted, text));
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
