/* SPDX-License-Identifier: Apache-2.0
 *
 * estreatd-crash: estreatd for which kill -9 is a power failure (see
 * testlib/fs_mirror.h): each start goes on from what was durable. For tests.
 */
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "node/node.h"
#include "testlib/fs_mirror.h"

enum { EXIT_FAULT = 1, EXIT_USAGE = 64, OVERRIDES_MAX = 16 };

static const char usage[] =
    "usage: estreatd-crash --config FILE --mirror DIR [--no-sync | --no-later-sync]\n"
    "                      [--set SECTION.NAME=VALUE]...\n"
    "       estreatd-crash --restore MIRROR DIR\n"
    "\n"
    "  --config FILE, --set: as estreatd's\n"
    "  --mirror DIR      what is durable is kept there, and the data made of it at start\n"
    "  --no-sync         no file is synced, in truth\n"
    "  --no-later-sync   each file is synced once and never again, in truth\n"
    "  --restore         makes DIR what a power failure now would leave of it\n";

struct arguments {
    const char *config;
    const char *mirror;
    const char *restore;
    const char *dir;
    enum fs_mirror_lie lie;
    const char *overrides[OVERRIDES_MAX];
    unsigned override_count;
};

static bool parse(int argc, char **argv, struct arguments *out)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"mirror", required_argument, NULL, 'm'},
        {"restore", required_argument, NULL, 'r'},
        {"no-sync", no_argument, NULL, 'n'},
        {"no-later-sync", no_argument, NULL, 'l'},
        {"set", required_argument, NULL, 's'},
        {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            out->config = optarg;
            break;
        case 'm':
            out->mirror = optarg;
            break;
        case 'r':
            out->restore = optarg;
            break;
        case 'n':
            out->lie = FS_MIRROR_NO_SYNC;
            break;
        case 'l':
            out->lie = FS_MIRROR_NO_LATER_SYNC;
            break;
        case 's':
            if (out->override_count == OVERRIDES_MAX) {
                return false;
            }
            out->overrides[out->override_count++] = optarg;
            break;
        default:
            return false;
        }
    }
    if (out->restore != NULL && optind < argc) {
        out->dir = argv[optind++];
    }
    return optind == argc && (out->restore != NULL ? out->dir != NULL && out->config == NULL
                                                   : out->config != NULL && out->mirror != NULL);
}

static void on_fatal(void *context, const struct error *err)
{
    char text[ERROR_TEXT_BYTES];
    (void)context;
    log_write("node", LOG_ERROR, "stopped by a fault", "status=%s error=%s",
              status_name(err->status), log_quote(text, sizeof text, err->text));
    _exit(EXIT_FAULT);
}

static void on_restart(void *context)
{
    (void)context;
    (void)kill(getpid(), SIGUSR1);
}

/* Serves until a signal comes; after a snapshot was staged, again. */
static enum status serve_on(const struct config *config, struct fs *fs, const sigset_t *signals,
                            struct error *err)
{
    const struct node_options options = {
        .config = config, .fs = fs, .on_fatal = on_fatal, .on_restart = on_restart};
    int signal = SIGUSR1;
    while (signal == SIGUSR1) {
        struct node *node = NULL;
        enum status status = node_open(&options, &node, err);
        if (status != STATUS_OK) {
            return status;
        }
        log_write("node", LOG_INFO, "serving", "node=%s", config->node_id);
        (void)sigwait(signals, &signal);
        node_close(node);
    }
    return STATUS_OK;
}

static int serve(const struct arguments *arguments, const sigset_t *signals)
{
    struct error err = ERROR_INIT;
    struct config config;
    struct fs_mirror *mirror = NULL;
    enum status status = config_load(arguments->config, arguments->overrides,
                                     arguments->override_count, &config, &err);
    if (status == STATUS_OK) {
        log_set_level(config.log_level);
        const struct fs_mirror_options mirrored = {
            .dir = config.data, .mirror = arguments->mirror, .lie = arguments->lie};
        status = fs_mirror_open(&mirrored, &mirror, &err);
    }
    if (status == STATUS_OK) {
        log_write("node", LOG_INFO, "power on", "data=%s mirror=%s lie=%d", config.data,
                  arguments->mirror, (int)arguments->lie);
        status = serve_on(&config, fs_mirror_fs(mirror), signals, &err);
    }
    fs_mirror_close(mirror);
    if (status != STATUS_OK) {
        (void)fprintf(stderr, "estreatd-crash: %s\n", err.text);
        return EXIT_FAULT;
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct arguments arguments = {.lie = FS_MIRROR_HONEST};
    struct error err = ERROR_INIT;
    if (!parse(argc, argv, &arguments)) {
        (void)fputs(usage, stderr);
        return EXIT_USAGE;
    }
    if (arguments.restore != NULL) {
        if (fs_mirror_restore(arguments.restore, arguments.dir, &err) != STATUS_OK) {
            (void)fprintf(stderr, "estreatd-crash: %s\n", err.text);
            return EXIT_FAULT;
        }
        return 0;
    }
    (void)umask(S_IRWXG | S_IRWXO);
    sigset_t signals;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGUSR1);
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    return serve(&arguments, &signals);
}
