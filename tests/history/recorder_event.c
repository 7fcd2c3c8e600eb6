/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "recorder.h"

uint64_t recorder_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

void make_event(const char *name, unsigned writer, uint64_t sequence, struct made *out)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz012345";
    (void)snprintf(out->id, sizeof out->id, "%s%u-%" PRIu64, name, writer, sequence);
    (void)snprintf(out->key, sizeof out->key, "%s%u.%" PRIu64, name, writer, sequence / KEY_EVENTS);
    int length = snprintf(out->payload, sizeof out->payload, "%s:", out->id);
    uint64_t state = sequence * 0x9e3779b97f4a7c15U + writer;
    size_t padding = (size_t)(state >> 32) % 500;
    out->payload_length = (size_t)length + padding;
    for (size_t i = (size_t)length; i < out->payload_length; i++) {
        state = state * 6364136223846793005U + 1442695040888963407U;
        out->payload[i] = letters[state >> 59];
    }
}

/* NAME, writer, "-", sequence, ":" */
static bool parse_id(const struct estreat_event *event, char name[NAME_BYTES_MAX + 1],
                     unsigned *writer, uint64_t *sequence)
{
    char text[ID_BYTES];
    size_t length =
        event->payload.length < sizeof text - 1 ? event->payload.length : sizeof text - 1;
    memcpy(text, event->payload.data, length);
    text[length] = '\0';
    size_t name_length = strspn(text, "abcdefghijklmnopqrstuvwxyz");
    if (name_length == 0 || name_length > NAME_BYTES_MAX) {
        return false;
    }
    memcpy(name, text, name_length);
    name[name_length] = '\0';
    char *end = NULL;
    unsigned long number = strtoul(text + name_length, &end, 10);
    if (*end != '-' || number >= WRITERS_MAX) {
        return false;
    }
    *writer = (unsigned)number;
    *sequence = strtoull(end + 1, &end, 10);
    return *end == ':';
}

static bool same(struct estreat_bytes bytes, const char *text, size_t length)
{
    return bytes.length == length && memcmp(bytes.data, text, length) == 0;
}

void recognize(const struct estreat_event *event, uint64_t version, char id[ID_BYTES])
{
    char name[NAME_BYTES_MAX + 1];
    unsigned writer = 0;
    uint64_t sequence = 0;
    struct made made;
    if (parse_id(event, name, &writer, &sequence)) {
        make_event(name, writer, sequence, &made);
        if (same(event->key, made.key, strlen(made.key)) &&
            same(event->payload, made.payload, made.payload_length) &&
            (version == UINT64_MAX || event->version == version)) {
            memcpy(id, made.id, ID_BYTES);
            return;
        }
    }
    (void)snprintf(id, ID_BYTES, "damaged at %" PRIu64 ", version %" PRIu64, event->position,
                   event->version);
}
