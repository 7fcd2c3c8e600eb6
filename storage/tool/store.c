/* SPDX-License-Identifier: Apache-2.0
 *
 * estreat-store: looks at a store offline, backs it up and restores it. Exit codes: 0 sound,
 * 1 damage, 64 usage or nothing of ours there, 2 otherwise (in use, unreadable).
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/version.h"
#include "storage/backup/directory.h"
#include "storage/inspect/backups.h"
#include "storage/inspect/dump.h"
#include "storage/inspect/repair.h"
#include "storage/inspect/stats.h"
#include "storage/inspect/verify.h"

enum { EXIT_SOUND = 0, EXIT_DAMAGE = 1, EXIT_OTHER = 2, EXIT_USAGE = 64 };

static const char usage[] =
    "usage: estreat-store stats DIR\n"
    "       estreat-store verify DIR|BACKUPS\n"
    "       estreat-store dump DIR|FILE|BACKUPS\n"
    "       estreat-store repair DIR\n"
    "       estreat-store backup DIR BACKUPS [--keep N] [--full] [--link]\n"
    "       estreat-store backups BACKUPS\n"
    "       estreat-store restore BACKUPS DIR [--number N]\n"
    "       estreat-store --version | --help\n"
    "\n"
    "Looks at a store offline. DIR is a node's data directory, or one of tables (CURRENT, *.sst), "
    "or\n"
    "one of a log (*.wal); FILE is one *.sst, MANIFEST-* or *.wal. BACKUPS is a directory of "
    "backups.\n"
    "\n"
    "  stats    manifest, keyspaces, levels, tables and segments: sizes, keys, what compression "
    "made\n"
    "           of them; each a line of name=value. And what a node or store had done when it was\n"
    "           closed: operations, latencies, stalls, caches, filters, writes of the log\n"
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
    "  backup   adds a backup of the tables to BACKUPS: what no backup there has yet is copied, "
    "synced\n"
    "           and read back. --keep removes all but the N newest; --full copies everything; "
    "--link\n"
    "           makes hard links instead of copies, which share the disk's faults. The log is not "
    "in it\n"
    "  backups  lists them\n"
    "  restore  makes DIR, which must not be there or be empty, the tables of the newest backup, "
    "or "
    "of\n"
    "           number N. A node that begins with them (as DATA/tables, nothing else there) begins "
    "where\n"
    "           they end; in a cluster that runs it needs a new id\n"
    "\n"
    "verify, repair and backup refuse the directory of a running node; stats and dump do not, and "
    "may\n"
    "then see what is half written as damage.\n"
    "\n"
    "Exit codes: 0 sound, 1 damage, 64 usage or nothing to look at, 2 otherwise.\n";

/* --- verbs --------------------------------------------------------------------------------- */

struct run {
    struct store_place place;
    struct report report;
    struct error err;
    const char *second; /* the second directory of verbs that have two */
    struct inspect_backup_options backup;
    uint64_t number; /* of the backup to restore; 0: the newest */
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

static bool is_backups(const char *path)
{
    bool is = false;
    return path[0] != '\0' && backup_directory_is(fs_posix(), path, &is, NULL) == STATUS_OK && is;
}

static enum status dump(struct run *run, const char *path)
{
    if (is_backups(path)) {
        return inspect_backups(fs_posix(), alloc_default(), path, true, &run->report, &run->err);
    }
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
    if (is_backups(dir)) {
        return inspect_backups_verify(fs_posix(), alloc_default(), dir, &run->report, &run->err);
    }
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

static enum status backup(struct run *run, const char *dir)
{
    enum status status = find(run, dir);
    if (status == STATUS_OK) {
        status = store_place_lock(&run->place, true, &run->err);
    }
    return status == STATUS_OK
               ? inspect_backup(&run->place, run->second, &run->backup, &run->report, &run->err)
               : status;
}

static enum status backups(struct run *run, const char *dir)
{
    return inspect_backups(fs_posix(), alloc_default(), dir, false, &run->report, &run->err);
}

static enum status restore(struct run *run, const char *dir)
{
    return inspect_restore(fs_posix(), alloc_default(), dir, run->number, run->second, &run->report,
                           &run->err);
}

struct verb {
    const char *name;
    enum status (*run)(struct run *run, const char *path);
    int paths;
    bool is_verdict;     /* its messages are its result: on stdout, and with a last word */
    const char *options; /* that it takes, by their letters */
};

static const struct verb verbs[] = {
    {"stats", stats, 1, false, ""},      {"dump", dump, 1, false, ""},
    {"verify", verify, 1, true, ""},     {"repair", repair, 1, true, ""},
    {"backup", backup, 2, false, "kfl"}, {"backups", backups, 1, false, ""},
    {"restore", restore, 2, false, "n"},
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

static int run_verb(const struct verb *verb, struct run *run, const char *path)
{
    run->report = (struct report){.lines = stdout, .messages = verb->is_verdict ? stdout : stderr};
    enum status status = verb->run(run, path);
    store_place_release(&run->place);
    return result(verb, run, status);
}

/* A number from 1. */
static bool parse_number(const char *text, uint64_t *out)
{
    char *end = NULL;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    *out = value;
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0 && value > 0;
}

/* Returns -1 to go on, else the exit code. `given` gets the letters of the verbs' options. */
static int parse_options(int argc, char **argv, struct run *run, char given[8])
{
    static const struct option options[] = {
        {"version", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},
        {"keep", required_argument, NULL, 'k'},
        {"full", no_argument, NULL, 'f'},
        {"link", no_argument, NULL, 'l'},
        {"number", required_argument, NULL, 'n'},
        {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        bool good = true;
        switch (option) {
        case 'v':
            (void)printf("estreat-store %s\n", ESTREAT_VERSION);
            return EXIT_SOUND;
        case 'h':
            (void)fputs(usage, stdout);
            return EXIT_SOUND;
        case 'k':
            good = parse_number(optarg, &run->backup.keep);
            break;
        case 'n':
            good = parse_number(optarg, &run->number);
            break;
        case 'f':
            run->backup.full = true;
            break;
        case 'l':
            run->backup.link = true;
            break;
        default:
            return EXIT_USAGE; /* getopt has named it */
        }
        if (!good) {
            (void)fprintf(stderr, "estreat-store: %s: not a number from 1\n", optarg);
            return EXIT_USAGE;
        }
        if (strchr(given, option) == NULL) {
            given[strlen(given)] = (char)option;
        }
    }
    return -1;
}

static const struct verb *find_verb(const char *name)
{
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        if (strcmp(name, verbs[i].name) == 0) {
            return &verbs[i];
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    static struct run run;
    char given[8] = "";
    log_set_level(LOG_OFF);
    int code = parse_options(argc, argv, &run, given);
    if (code >= 0) {
        return code;
    }
    const struct verb *verb = optind < argc ? find_verb(argv[optind]) : NULL;
    if (verb == NULL && optind < argc) {
        (void)fprintf(stderr, "estreat-store: no verb %s; see --help\n", argv[optind]);
        return EXIT_USAGE;
    }
    if (verb == NULL || argc - optind != 1 + verb->paths ||
        strspn(given, verb->options) != strlen(given)) {
        (void)fputs(usage, stderr);
        return EXIT_USAGE;
    }
    run.second = argv[argc - 1];
    return run_verb(verb, &run, argv[optind + 1]);
}
