/* SPDX-License-Identifier: Apache-2.0
 *
 * estreatd: one node. Exit codes: 0 clean stop, 64 usage or configuration, 1
 * refused to run or stopped by a fault.
 */
#include <getopt.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/version.h"
#include "node/node.h"

enum { EXIT_FAULT = 1, EXIT_USAGE = 64, OVERRIDES_MAX = 64 };

struct arguments {
    const char *config;
    bool dev;
    const char *data;
    const char *overrides[OVERRIDES_MAX];
    unsigned override_count;
};

static const char usage[] =
    "usage: estreatd --config FILE [--set SECTION.NAME=VALUE]...\n"
    "       estreatd --dev [--data DIR] [--set SECTION.NAME=VALUE]...\n"
    "       estreatd --version | --help\n"
    "\n"
    "  --config FILE   configuration (INI); see estreat.conf.example\n"
    "  --dev           one node on 127.0.0.1:8970, without a file\n"
    "  --data DIR      with --dev: its directory\n"
    "                  (default $XDG_STATE_HOME/estreat or ~/.local/state/estreat)\n"
    "  --set S.N=V     overrides a setting of the configuration\n";

/* Returns -1 to go on, else the exit code. */
static int parse(int argc, char **argv, struct arguments *out)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"dev", no_argument, NULL, 'd'},
        {"data", required_argument, NULL, 'D'},
        {"set", required_argument, NULL, 's'},
        {"version", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            out->config = optarg;
            break;
        case 'd':
            out->dev = true;
            break;
        case 'D':
            out->data = optarg;
            break;
        case 's':
            if (out->override_count == OVERRIDES_MAX) {
                (void)fprintf(stderr, "estreatd: too many --set\n");
                return EXIT_USAGE;
            }
            out->overrides[out->override_count++] = optarg;
            break;
        case 'v':
            (void)printf("estreatd %s\n", ESTREAT_VERSION);
            return 0;
        case 'h':
            (void)fputs(usage, stdout);
            return 0;
        default:
            return EXIT_USAGE; /* getopt has named it */
        }
    }
    if (optind < argc) {
        (void)fprintf(stderr, "estreatd: unexpected argument %s\n", argv[optind]);
        return EXIT_USAGE;
    }
    if ((out->config != NULL) == out->dev || (out->data != NULL && !out->dev)) {
        (void)fprintf(stderr, "estreatd: give either --config FILE or --dev [--data DIR]\n");
        return EXIT_USAGE;
    }
    return -1;
}

/* Nothing may be acknowledged after a fault, so the process ends at once; what was acknowledged
 * is durable. */
static void on_fatal(void *context, const struct error *err)
{
    char text[ERROR_TEXT_BYTES];
    (void)context;
    log_write("node", LOG_ERROR, "stopped by a fault", "status=%s error=%s",
              status_name(err->status), log_quote(text, sizeof text, err->text));
    _exit(EXIT_FAULT);
}

/* The signal by which a node says that it is to be opened again. */
#define SIGNAL_RESTART SIGUSR1

static void on_restart(void *context)
{
    (void)context;
    (void)kill(getpid(), SIGNAL_RESTART);
}

/* Serves until a signal comes; false: not at all. */
static bool serve_once(const struct config *config, const sigset_t *signals, int *signal)
{
    struct error err = ERROR_INIT;
    struct node *node = NULL;
    const struct node_options options = {
        .config = config, .on_fatal = on_fatal, .on_restart = on_restart};
    if (node_open(&options, &node, &err) != STATUS_OK) {
        (void)fprintf(stderr, "estreatd: %s\n", err.text);
        return false;
    }
    log_write("node", LOG_INFO, "serving", "node=%s client=%s data=%s verifier_key=%s",
              config->node_id, config->members[config_self(config)].client, config->data,
              node_verifier_key(node));
    (void)sigwait(signals, signal);
    log_write("node", LOG_INFO, *signal == SIGNAL_RESTART ? "restarting" : "stopping", "signal=%d",
              *signal);
    node_close(node);
    log_write("node", LOG_INFO, "stopped", NULL);
    return true;
}

static int serve(const struct config *config, const sigset_t *signals)
{
    int signal = SIGNAL_RESTART;
    while (signal == SIGNAL_RESTART) {
        if (!serve_once(config, signals, &signal)) {
            return EXIT_FAULT;
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct arguments arguments = {0};
    struct config config;
    struct error err = ERROR_INIT;
    int code = parse(argc, argv, &arguments);
    if (code >= 0) {
        return code;
    }
    enum status status = arguments.dev ? config_dev(arguments.data, arguments.overrides,
                                                    arguments.override_count, &config, &err)
                                       : config_load(arguments.config, arguments.overrides,
                                                     arguments.override_count, &config, &err);
    if (status != STATUS_OK) {
        (void)fprintf(stderr, "estreatd: %s\n", err.text);
        return EXIT_USAGE;
    }
    log_set_level(config.log_level);
    /* Keys and records are nobody else's business. */
    (void)umask(S_IRWXG | S_IRWXO);
    /* An arena for each thread would keep freed memory from the others. */
    (void)mallopt(M_ARENA_MAX, 2);
    /* All threads inherit this: signals come to sigwait alone. */
    sigset_t signals;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGNAL_RESTART);
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    return serve(&config, &signals);
}
