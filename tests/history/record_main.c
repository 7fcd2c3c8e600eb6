/* SPDX-License-Identifier: Apache-2.0
 *
 * estreat-record-history: appends and reads, and writes down what came of it.
 */
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "recorder.h"

enum { EXIT_NOTHING = 1, EXIT_USAGE = 64 };

static const char usage[] =
    "usage: estreat-record-history --out FILE [--endpoints LIST] [--seconds N] [--writers N]\n"
    "           [--readers N] [--pause-ms N] [--timeout-ms N] [--name NAME] [--seed N]\n"
    "       estreat-record-history --read-all --out FILE [--endpoints LIST] [--timeout-ms N]\n"
    "\n"
    "  --out FILE       the history goes there, appended to what is there (README.md)\n"
    "  --endpoints LIST of the cluster; else $ESTREAT_ENDPOINTS\n"
    "  --seconds N      until then; else until SIGTERM or SIGINT\n"
    "  --writers N      1 to 64 [4]        --readers N    0 to 16 [2]\n"
    "  --pause-ms N     of a writer between two appends, on average [10]\n"
    "  --timeout-ms N   of each call [2000]\n"
    "  --name NAME      lower-case letters, at most 16, which begin the ids [w]\n"
    "  --seed N         of sizes and pauses [1]\n"
    "  --read-all       reads the whole log and all keys once, and appends nothing\n"
    "\n"
    "The cluster must hold no events but those of recorders. Prints what it counted; exits 1 if\n"
    "nothing was acknowledged, or a --read-all could not read.\n";

struct arguments {
    struct recorder_options recorder;
    const char *out;
    uint64_t seconds;
    bool read_all;
};

static bool number(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
    char *end = NULL;
    *out = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0' && *out >= min && *out <= max;
}

static bool take_option(int option, struct arguments *out)
{
    uint64_t value = 0;
    bool right = true;
    switch (option) {
    case 'o':
        out->out = optarg;
        break;
    case 'e':
        out->recorder.endpoints = optarg;
        break;
    case 'n':
        out->recorder.name = optarg;
        right = strspn(optarg, "abcdefghijklmnopqrstuvwxyz") == strlen(optarg) &&
                strlen(optarg) > 0 && strlen(optarg) <= NAME_BYTES_MAX;
        break;
    case 's':
        right = number(optarg, 1, 1000000, &out->seconds);
        break;
    case 'w':
        right = number(optarg, 1, WRITERS_MAX, &value);
        out->recorder.writers = (unsigned)value;
        break;
    case 'r':
        right = number(optarg, 0, READERS_MAX, &value);
        out->recorder.readers = (unsigned)value;
        break;
    case 'p':
        right = number(optarg, 0, 60000, &value);
        out->recorder.pause_ms = (uint32_t)value;
        break;
    case 't':
        right = number(optarg, 1, 600000, &value);
        out->recorder.timeout_ms = (uint32_t)value;
        break;
    case 'S':
        right = number(optarg, 0, UINT64_MAX, &out->recorder.seed);
        break;
    case 'a':
        out->read_all = true;
        break;
    default:
        right = false;
    }
    return right;
}

static bool parse(int argc, char **argv, struct arguments *out)
{
    static const struct option options[] = {
        {"out", required_argument, NULL, 'o'},
        {"endpoints", required_argument, NULL, 'e'},
        {"seconds", required_argument, NULL, 's'},
        {"writers", required_argument, NULL, 'w'},
        {"readers", required_argument, NULL, 'r'},
        {"pause-ms", required_argument, NULL, 'p'},
        {"timeout-ms", required_argument, NULL, 't'},
        {"name", required_argument, NULL, 'n'},
        {"seed", required_argument, NULL, 'S'},
        {"read-all", no_argument, NULL, 'a'},
        {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (!take_option(option, out)) {
            return false;
        }
    }
    return optind == argc && out->out != NULL && out->recorder.endpoints != NULL;
}

struct worker {
    pthread_t thread;
    struct recorder *recorder;
    unsigned number;
    void (*run)(struct recorder *recorder, unsigned number);
};

static void *run_worker(void *context)
{
    struct worker *worker = context;
    worker->run(worker->recorder, worker->number);
    return NULL;
}

static void await_end(uint64_t seconds, const sigset_t *signals)
{
    const struct timespec limit = {.tv_sec = (time_t)seconds};
    int signal = 0;
    if (seconds == 0) {
        (void)sigwait(signals, &signal);
    } else {
        (void)sigtimedwait(signals, NULL, &limit);
    }
}

static void record(struct recorder *recorder, uint64_t seconds, const sigset_t *signals)
{
    static struct worker workers[WRITERS_MAX + READERS_MAX];
    unsigned count = 0;
    for (unsigned i = 0; i < recorder->options.writers; i++) {
        workers[count++] =
            (struct worker){.recorder = recorder, .number = i, .run = recorder_write};
    }
    for (unsigned i = 0; i < recorder->options.readers; i++) {
        workers[count++] = (struct worker){.recorder = recorder, .number = i, .run = recorder_read};
    }
    for (unsigned i = 0; i < count; i++) {
        if (pthread_create(&workers[i].thread, NULL, run_worker, &workers[i]) != 0) {
            (void)fprintf(stderr, "cannot start a thread\n");
            exit(EXIT_NOTHING);
        }
    }
    await_end(seconds, signals);
    atomic_store(&recorder->stop, true);
    for (unsigned i = 0; i < count; i++) {
        (void)pthread_join(workers[i].thread, NULL);
    }
}

int main(int argc, char **argv)
{
    struct arguments arguments = {.recorder = {.endpoints = getenv("ESTREAT_ENDPOINTS"),
                                               .name = "w",
                                               .writers = 4,
                                               .readers = 2,
                                               .timeout_ms = 2000,
                                               .pause_ms = 10,
                                               .seed = 1}};
    if (!parse(argc, argv, &arguments)) {
        (void)fputs(usage, stderr);
        return EXIT_USAGE;
    }
    static struct recorder recorder = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    recorder.options = arguments.recorder;
    recorder.out = fopen(arguments.out, "ae");
    if (recorder.out == NULL) {
        perror(arguments.out);
        return EXIT_USAGE;
    }
    sigset_t signals;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
    bool good = false;
    if (arguments.read_all) {
        good = recorder_read_all(&recorder);
    } else {
        record(&recorder, arguments.seconds, &signals);
        good = recorder.acknowledged > 0;
    }
    (void)printf("acknowledged %" PRIu64 ", refused %" PRIu64 ", unknown %" PRIu64
                 ", reads %" PRIu64 " of which %" PRIu64
                 " failed; longest without an acknowledgement %" PRIu64 " ms\n",
                 recorder.acknowledged, recorder.refused, recorder.unknown, recorder.reads,
                 recorder.reads_failed, recorder.longest_ns / 1000000);
    return fclose(recorder.out) == 0 && good ? 0 : EXIT_NOTHING;
}
