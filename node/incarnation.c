/* SPDX-License-Identifier: Apache-2.0 */
#include "node/incarnation.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/check.h"
#include "node/config.h"
#include "rpc/hello.h"

#define DIRECTORY_TEXT_BYTES 33
#define DRAW_TEXT_BYTES 17
#define PAST_DRAW_BYTES 8U /* of a draw, in the history: enough for an accident */
#define PAST_BYTES_MAX ((size_t)INCARNATION_HISTORY * PAST_DRAW_BYTES)
#define KNOWN_MAX INCARNATION_KNOWN_MAX
#define FILE_BYTES_MAX (192 * KIB)
/* "ID DIRECTORY RUN DRAW\n" */
#define KNOWN_LINE_BYTES_MAX                                                                       \
    (NODE_ID_BYTES_MAX + 1 + DIRECTORY_TEXT_BYTES + 20 + 1 + DRAW_TEXT_BYTES)

struct incarnation {
    char directory[DIRECTORY_TEXT_BYTES]; /* hexadecimal */
    uint64_t run;
    char draw[DRAW_TEXT_BYTES]; /* hexadecimal */
};

/* The draws of the runs before, the newest first. */
struct past {
    char draws[PAST_BYTES_MAX + 1];
};

struct known {
    char id[NODE_ID_BYTES_MAX + 1];
    struct incarnation seen;
    unsigned connections; /* of that run, to this node */
};

_Static_assert(DIRECTORY_TEXT_BYTES + 21 + DRAW_TEXT_BYTES + PAST_BYTES_MAX + 1 <=
                   INCARNATION_TEXT_BYTES,
               "the text holds the largest count and the whole history");
_Static_assert(KNOWN_MAX *KNOWN_LINE_BYTES_MAX < FILE_BYTES_MAX, "the file holds all members");
_Static_assert(INCARNATION_TEXT_BYTES <= RPC_INSTANCE_BYTES_MAX + 1, "it can be told in HELLO");

struct incarnations {
    struct alloc *alloc;
    struct fs *fs;
    char dir[PATH_BYTES_MAX];
    char own[INCARNATION_TEXT_BYTES];
    struct known known[KNOWN_MAX];
    size_t known_count;
};

static void draw_hex(struct rng *rng, char *out, size_t size)
{
    for (size_t i = 0; i + 1 < size; i++) {
        out[i] = "0123456789abcdef"[rng_below(rng, 16)];
    }
    out[size - 1] = '\0';
}

static bool take_hex(const char **at, char *out, size_t size)
{
    size_t length = strspn(*at, "0123456789abcdef");
    if (length + 1 != size) {
        return false;
    }
    memcpy(out, *at, length);
    out[length] = '\0';
    *at += length;
    return true;
}

static void print(const struct incarnation *run, const struct past *past, char *out)
{
    int length = snprintf(out, INCARNATION_TEXT_BYTES, "%s %lu %s%s%s", run->directory,
                          (unsigned long)run->run, run->draw, past->draws[0] == '\0' ? "" : " ",
                          past->draws);
    CHECK(length > 0 && length < INCARNATION_TEXT_BYTES);
}

/* "DIRECTORY RUN DRAW[ PAST]"; false if it is anything else. */
static bool parse(const char *text, struct incarnation *out, struct past *past)
{
    char again[INCARNATION_TEXT_BYTES];
    char *end = NULL;
    const char *at = text;
    past->draws[0] = '\0';
    if (!take_hex(&at, out->directory, sizeof out->directory) || *at != ' ') {
        return false;
    }
    out->run = strtoull(at + 1, &end, 10);
    at = end;
    if (*at != ' ' || (at++, !take_hex(&at, out->draw, sizeof out->draw))) {
        return false;
    }
    if (*at == ' ') {
        at++;
        size_t length = strspn(at, "0123456789abcdef");
        /* No more runs than there were. */
        if (length > PAST_BYTES_MAX || length % PAST_DRAW_BYTES != 0 ||
            length / PAST_DRAW_BYTES >= out->run) {
            return false;
        }
        (void)take_hex(&at, past->draws, length + 1);
    }
    print(out, past, again);
    return strcmp(again, text) == 0; /* no other spelling of the number, and nothing behind */
}

static enum status damaged(const char *path, struct error *err)
{
    return error_set(err, STATUS_CORRUPT, "%s is damaged", path);
}

/* The file's text, NUL-terminated; empty if there is none. */
static enum status read_text(struct fs *fs, const char *path, struct buf *out, struct error *err)
{
    bool exists = false;
    enum status status = fs_exists(fs, path, &exists, err);
    if (status == STATUS_OK && exists) {
        status = fs_read_file(fs, path, out, err);
    }
    if (status == STATUS_OK) {
        buf_put_u8(out, 0);
        if (buf_failed(out)) {
            status = error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory to read %s", path);
        } else if (exists && (out->length == 1 || strlen((char *)out->data) + 1 != out->length)) {
            status = damaged(path, err);
        }
    }
    return status;
}

/* ---- this node ----------------------------------------------------------------------------- */

/* The run that was the present one goes into the past, and the oldest is forgotten. */
static void end_run(const struct incarnation *run, struct past *past)
{
    size_t kept = strlen(past->draws);
    if (kept > PAST_BYTES_MAX - PAST_DRAW_BYTES) {
        kept = PAST_BYTES_MAX - PAST_DRAW_BYTES;
    }
    memmove(past->draws + PAST_DRAW_BYTES, past->draws, kept);
    memcpy(past->draws, run->draw, PAST_DRAW_BYTES);
    past->draws[PAST_DRAW_BYTES + kept] = '\0';
}

static enum status count_run(struct incarnations *incarnations, struct rng *rng, struct error *err)
{
    char path[PATH_BYTES_MAX];
    char text[INCARNATION_TEXT_BYTES + 1];
    struct incarnation own = {.run = 0};
    struct past past = {.draws = ""};
    struct buf old;
    buf_init(&old, incarnations->alloc, FILE_BYTES_MAX);
    enum status status = path_join(path, incarnations->dir, "incarnation", err);
    if (status == STATUS_OK) {
        status = read_text(incarnations->fs, path, &old, err);
    }
    if (status == STATUS_OK && old.length > 1) {
        old.data[strcspn((char *)old.data, "\n")] = '\0';
        status = parse((char *)old.data, &own, &past) ? STATUS_OK : damaged(path, err);
        if (status == STATUS_OK) {
            end_run(&own, &past);
        }
    } else if (status == STATUS_OK) {
        draw_hex(rng, own.directory, sizeof own.directory);
    }
    if (status == STATUS_OK) {
        own.run++;
        draw_hex(rng, own.draw, sizeof own.draw);
        print(&own, &past, incarnations->own);
        int length = snprintf(text, sizeof text, "%s\n", incarnations->own);
        status = fs_replace_file(incarnations->fs, incarnations->dir, path,
                                 slice_of(text, (size_t)length), err);
    }
    buf_release(&old);
    return status;
}

/* ---- the others ---------------------------------------------------------------------------- */

static bool parse_known(char *line, struct known *out)
{
    struct past none; /* lines have none */
    char *space = strchr(line, ' ');
    if (space == NULL || (size_t)(space - line) > NODE_ID_BYTES_MAX) {
        return false;
    }
    *space = '\0';
    (void)snprintf(out->id, sizeof out->id, "%s", line);
    return parse(space + 1, &out->seen, &none);
}

static enum status load_known(struct incarnations *incarnations, struct error *err)
{
    char path[PATH_BYTES_MAX];
    struct buf text;
    buf_init(&text, incarnations->alloc, FILE_BYTES_MAX);
    enum status status = path_join(path, incarnations->dir, "peers", err);
    if (status == STATUS_OK) {
        status = read_text(incarnations->fs, path, &text, err);
    }
    char *rest = NULL;
    char *line = status == STATUS_OK ? strtok_r((char *)text.data, "\n", &rest) : NULL;
    for (; line != NULL && status == STATUS_OK; line = strtok_r(NULL, "\n", &rest)) {
        if (incarnations->known_count == KNOWN_MAX ||
            !parse_known(line, &incarnations->known[incarnations->known_count])) {
            status = damaged(path, err);
        } else {
            incarnations->known_count++;
        }
    }
    buf_release(&text);
    return status;
}

static enum status store_known(struct incarnations *incarnations, struct error *err)
{
    char path[PATH_BYTES_MAX];
    char line[KNOWN_LINE_BYTES_MAX + 1];
    struct buf text;
    buf_init(&text, incarnations->alloc, FILE_BYTES_MAX);
    for (size_t i = 0; i < incarnations->known_count; i++) {
        const struct known *known = &incarnations->known[i];
        int length = snprintf(line, sizeof line, "%s %s %lu %s\n", known->id, known->seen.directory,
                              (unsigned long)known->seen.run, known->seen.draw);
        buf_append(&text, line, (size_t)length);
    }
    enum status status = buf_failed(&text) ? error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory")
                                           : path_join(path, incarnations->dir, "peers", err);
    if (status == STATUS_OK) {
        status = fs_replace_file(incarnations->fs, incarnations->dir, path, buf_slice(&text), err);
    }
    buf_release(&text);
    return status;
}

/* False if it says another draw for the run that was seen. */
static bool descends(const struct incarnation *now, const struct past *past,
                     const struct incarnation *seen)
{
    uint64_t back = now->run - seen->run; /* 1: the run before */
    if (back == 0) {
        return strcmp(now->draw, seen->draw) == 0;
    }
    return back > strlen(past->draws) / PAST_DRAW_BYTES || /* longer ago than it tells */
           memcmp(past->draws + (back - 1) * PAST_DRAW_BYTES, seen->draw, PAST_DRAW_BYTES) == 0;
}

static enum status check_same(const struct known *known, const struct incarnation *now,
                              const struct past *past, struct error *err)
{
    if (strcmp(known->seen.directory, now->directory) != 0) {
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "member %s came back with another data directory, without what it "
                         "acknowledged; set that machine up under a new id",
                         known->id);
    }
    if (now->run < known->seen.run) {
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "member %s runs on an older copy of its data directory, without what it "
                         "acknowledged since; set that machine up under a new id",
                         known->id);
    }
    if (!descends(now, past, &known->seen)) {
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         now->run == known->seen.run
                             ? "two copies of the data directory of member %s run; stop one, and "
                               "set it up under a new id"
                             : "member %s runs on a copy of its data directory that parted from "
                               "the one last seen, without what that acknowledged; set that "
                               "machine up under a new id",
                         known->id);
    }
    if (now->run > known->seen.run && known->connections > 0) {
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "member %s still runs, and was started again; if this goes on two copies "
                         "of its data directory run: stop the later one, and set it up under a "
                         "new id",
                         known->id);
    }
    return STATUS_OK;
}

static struct known *find(struct incarnations *incarnations, const char *id)
{
    for (size_t i = 0; i < incarnations->known_count; i++) {
        if (strcmp(incarnations->known[i].id, id) == 0) {
            return &incarnations->known[i];
        }
    }
    return NULL;
}

enum status incarnations_accept(struct incarnations *incarnations, const char *id, const char *text,
                                struct error *err)
{
    struct incarnation now;
    struct past past;
    if (!parse(text, &now, &past) || id[0] == '\0' || strlen(id) > NODE_ID_BYTES_MAX ||
        !config_is_name(id)) {
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "this port is for the cluster's nodes; clients have another");
    }
    struct known *known = find(incarnations, id);
    bool known_is_new = known == NULL;
    if (known != NULL) {
        enum status status = check_same(known, &now, &past, err);
        if (status != STATUS_OK || now.run == known->seen.run) {
            return status;
        }
    } else if (incarnations->known_count == KNOWN_MAX) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "%lu members are known already",
                         (unsigned long)KNOWN_MAX);
    } else {
        known = &incarnations->known[incarnations->known_count++];
        *known = (struct known){.connections = 0};
        (void)snprintf(known->id, sizeof known->id, "%s", id);
    }
    const struct incarnation before = known->seen;
    known->seen = now;
    enum status status = store_known(incarnations, err);
    if (status != STATUS_OK && known_is_new) {
        incarnations->known_count--;
    } else if (status != STATUS_OK) {
        known->seen = before;
    }
    return status;
}

enum status incarnations_arrive(struct incarnations *incarnations, const char *id, const char *text,
                                struct error *err)
{
    enum status status = incarnations_accept(incarnations, id, text, err);
    if (status == STATUS_OK) {
        find(incarnations, id)->connections++;
    }
    return status;
}

void incarnations_leave(struct incarnations *incarnations, const char *id)
{
    struct known *known = find(incarnations, id);
    CHECK(known != NULL && known->connections > 0);
    known->connections--;
}

/* ---- life ---------------------------------------------------------------------------------- */

enum status incarnations_open(struct alloc *alloc, struct fs *fs, struct rng *rng, const char *dir,
                              struct incarnations **out, struct error *err)
{
    struct incarnations *incarnations = alloc_zeroed(alloc, 1, sizeof *incarnations);
    if (incarnations == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for the incarnations");
    }
    incarnations->alloc = alloc;
    incarnations->fs = fs;
    (void)snprintf(incarnations->dir, sizeof incarnations->dir, "%s", dir);
    enum status status = load_known(incarnations, err);
    if (status == STATUS_OK) {
        status = count_run(incarnations, rng, err);
    }
    if (status != STATUS_OK) {
        incarnations_close(incarnations);
        return status;
    }
    *out = incarnations;
    return STATUS_OK;
}

void incarnations_close(struct incarnations *incarnations)
{
    if (incarnations != NULL) {
        alloc_free(incarnations->alloc, incarnations);
    }
}

const char *incarnations_own(const struct incarnations *incarnations)
{
    return incarnations->own;
}
