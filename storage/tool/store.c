/* SPDX-License-Identifier: Apache-2.0
 *
 * estreat-store: looks at a store offline. Exit codes: 0 sound, 1 damage, 64 usage or
 * nothing of ours there, 2 otherwise (in use, unreadable).
 */
#include <getopt.h>
#include <stdio.h>

#include "base/log.h"
#include "base/version.h"
#include "storage/inspect/dump.h"
#include "storage/inspect/repair.h"
#include "storage/inspect/stats.h"
#include "storage/inspect/verify.h"

enum { EXIT_SOUND = 0, EXIT_DAMAGE = 1, EXIT_OTHER = 2, EXIT_USAGE = 64 };

static const char usage[] =
    "usage: estreat-store stats DIR\n"
    "       estreat-store verify DIR\n"
    "       estreat-store dump DIR|FILE\n"
    "       estreat-store repair DIR\n"
    "       estreat-store --version | --help\n"
    "\n"
    "Looks at a store offline. DIR is a node's data directory, or one of tables (CURRENT, *.sst), "
    "or\n"
    "one of a log (*.wal); FILE is one *.sst, MANIFEST-* or *.wal.\n"
    "\n"
    "  stats    manifest, keyspaces, levels, tables and segments: sizes, keys, what compression "
    "made\n"
    "           of them; each a line of name=value\n"
    "  verify   reads everything and checks it: each record of log and manifest, each block, index "
    "and\n"
    "           filter of each table; a line \"damage: \" with file, offset and cause for each "
    "fault.\n"
    "           Whether log and tables fit each other only the node knows\n"
    "  dump     what is stored, a line for each thing; bytes that are not printable are \\xNN\n"
    "  repair   does what a start does (cuts what a write left unfinished, removes what nothing\n"
    "           names), and names a lost CURRENT anew where that is proven; else says what to do.\n"
    "           What is damaged is left as it is\n"
    "\n"
    "verify and repair refuse the directory of a running node; stats and dump do not, and may "
    "then\n"
    "see what is half written as damage.\n"
    "\n"
    "Exit codes: 0 sound, 1 damage, 64 usage or nothing to look at, 2 otherwise.\n";

/* --- verbs --------------------------------------------------------------------------------- */

struct run {
    struct store_place place;
    struct report report;
    struct error err;
};

static enum status find(struct run *run, const char *dir)
{
    return store_place_find(&run->place, fs_posix(), alloc_default(), dir, &run->err);
}

static enum status stats(struct run *run, const char *dir)
{
    enum status status = find(run, dir);
    return status == STATUS_OK ? inspect_stats(&run->place, &run->report, &run->err) : status;
}

static enum status dump(struct run *run, const char *path)
{
    enum status status =
        inspect_dump_file(fs_posix(), alloc_default(), path, &run->report, &run->err);
    if (status != STATUS_INVALID_ARGUMENT) {
        return status;
    }
    /* No file of ours by its name: a directory, or nothing. */
    struct error err = ERROR_INIT;
    status = store_place_find(&run->place, fs_posix(), alloc_default(), path, &err);
    if (status != STATUS_OK) {
        /* Not a directory: then what was said of its name is the better answer. */
        if (status == STATUS_NOT_FOUND) {
            run->err = err;
        }
        return run->err.status;
    }
    return inspect_dump(&run->place, &run->report, &run->err);
}

static void sum_up(const struct verified *found)
{
    (void)printf("read %llu tables of %llu bytes, %llu segments of %llu bytes with %llu groups\n",
                 (unsigned long long)found->tables, (unsigned long long)found->table_bytes,
                 (unsigned long long)found->log.segments, (unsigned long long)found->log.bytes,
                 (unsigned long long)found->log.groups);
}

static enum status verify(struct run *run, const char *dir)
{
    struct verified found;
    enum status status = find(run, dir);
    if (status == STATUS_OK) {
        status = store_place_lock(&run->place, false, &run->err);
    }
    if (status == STATUS_OK) {
        status = inspect_verify(&run->place, &run->report, &found, &run->err);
    }
    if (status == STATUS_OK) {
        sum_up(&found);
    }
    return status;
}

static enum status repair(struct run *run, const char *dir)
{
    enum status status = find(run, dir);
    if (status == STATUS_OK) {
        status = store_place_lock(&run->place, true, &run->err);
    }
    return status == STATUS_OK ? inspect_repair(&run->place, &run->report, &run->err) : status;
}

struct verb {
    const char *name;
    enum status (*run)(struct run *run, const char *path);
    bool is_verdict; /* its messages are its result: on stdout, and with a last word */
};

static const struct verb verbs[] = {
    {"stats", stats, false},
    {"dump", dump, false},
    {"verify", verify, true},
    {"repair", repair, true},
};

/* --- the program --------------------------------------------------------------------------- */

static int result(const struct verb *verb, struct run *run, enum status status)
{
    if (status != STATUS_OK) {
        (void)fprintf(stderr, "estreat-store: %s\n", run->err.text);
    }
    if (fflush(stdout) != 0 || ferror(stdout) != 0) {
        (void)fprintf(stderr, "estreat-store: cannot write the output\n");
        return EXIT_OTHER;
    }
    if (run->report.faults > 0) {
        return EXIT_DAMAGE;
    }
    if (status == STATUS_INVALID_ARGUMENT || status == STATUS_NOT_FOUND) {
        return EXIT_USAGE;
    }
    if (status != STATUS_OK || run->report.unread > 0) {
        return status == STATUS_CORRUPT ? EXIT_DAMAGE : EXIT_OTHER;
    }
    if (verb->is_verdict) {
        (void)puts("sound");
    }
    return fflush(stdout) == 0 ? EXIT_SOUND : EXIT_OTHER;
}

static int run_verb(const struct verb *verb, const char *path)
{
    static struct run run;
    run.report = (struct report){.lines = stdout, .messages = verb->is_verdict ? stdout : stderr};
    enum status status = verb->run(&run, path);
    store_place_release(&run.place);
    return result(verb, &run, status);
}

/* Returns -1 to go on, else the exit code. */
static int parse_options(int argc, char **argv)
{
    static const struct option options[] = {
        {"version", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'v':
            (void)printf("estreat-store %s\n", ESTREAT_VERSION);
            return EXIT_SOUND;
        case 'h':
            (void)fputs(usage, stdout);
            return EXIT_SOUND;
        default:
            return EXIT_USAGE; /* getopt has named it */
        }
    }
    return -1;
}

int main(int argc, char **argv)
{
    log_set_level(LOG_OFF);
    int code = parse_options(argc, argv);
    if (code >= 0) {
        return code;
    }
    if (argc - optind != 2) {
        (void)fputs(usage, stderr);
        return EXIT_USAGE;
    }
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        if (strcmp(argv[optind], verbs[i].name) == 0) {
            return run_verb(&verbs[i], argv[optind + 1]);
        }
    }
    (void)fprintf(stderr, "estreat-store: no verb %s; see --help\n", argv[optind]);
    return EXIT_USAGE;
}
