/* SPDX-License-Identifier: Apache-2.0
 *
 * estreat-sim: clusters under faults, each from one seed. See README.md.
 */
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "plants.h"
#include "scenario.h"
#include "sim.h"

enum { EXIT_BROKEN = 1, EXIT_USAGE = 64, SEED_SECONDS_MAX = 300 };

static const char usage[] =
    "usage: estreat-sim [--seed N | --seeds A..B] [--nodes N] [--ops N] [--plant NAME] [--trace]\n"
    "                   [--verbose]\n"
    "       estreat-sim --scenario FILE [--plant NAME] [--trace]\n"
    "       estreat-sim --list-plants\n"
    "\n"
    "  --seed N      one seed [1]\n"
    "  --seeds A..B  seeds from A up to, and without, B\n"
    "  --scenario F  runs the script, and compares with what it says (README.md)\n"
    "  --nodes N     3 to 7 [5]\n"
    "  --ops N       client operations of a seed [2000]\n"
    "  --plant NAME  with a bug; --list-plants names them\n"
    "  --trace       prints every event\n"
    "  --verbose     prints what each seed did, and the nodes' own log lines\n"
    "\n"
    "Ends with \"seeds N failed N trace HASH\"; exits 1 if a seed failed, naming it and what did\n"
    "not hold.\n";

struct arguments {
    uint64_t begin;
    uint64_t end;
    struct sim_options sim;
    const char *scenario;
    bool verbose;
    bool list_plants;
};

/* For the handler alone, which may not format. */
static char abort_line[96];
static char endless_line[96];

/* An assertion or a bad access of the code under test is a find like any other, and so is a turn
 * that does not end. */
static void on_death(int signal)
{
    const char *line = signal == SIGALRM ? endless_line : abort_line;
    size_t length = 0;
    while (line[length] != '\0') {
        length++;
    }
    (void)!write(STDOUT_FILENO, line, length);
    _exit(EXIT_BROKEN);
}

static bool parse_number(const char *text, const char *end_text, uint64_t *out)
{
    char *end = NULL;
    *out = strtoull(text, &end, 10);
    return end != text && *end == *end_text && text[0] != '-';
}

static bool parse(int argc, char **argv, struct arguments *out)
{
    static const struct option options[] = {
        {"seed", required_argument, NULL, 's'},     {"seeds", required_argument, NULL, 'S'},
        {"scenario", required_argument, NULL, 'c'}, {"nodes", required_argument, NULL, 'n'},
        {"ops", required_argument, NULL, 'o'},      {"trace", no_argument, NULL, 't'},
        {"verbose", no_argument, NULL, 'v'},        {"plant", required_argument, NULL, 'p'},
        {"list-plants", no_argument, NULL, 'l'},    {NULL, 0, NULL, 0},
    };
    uint64_t number = 0;
    int option;
    *out = (struct arguments){.begin = 1, .end = 2, .sim = {.nodes = 5, .ops = SIM_OPS_DEFAULT}};
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 's':
            if (!parse_number(optarg, "", &out->begin)) {
                return false;
            }
            out->end = out->begin + 1;
            break;
        case 'S': {
            const char *dots = strstr(optarg, "..");
            if (dots == NULL || !parse_number(optarg, ".", &out->begin) ||
                !parse_number(dots + 2, "", &out->end) || out->end <= out->begin) {
                return false;
            }
            break;
        }
        case 'c':
            out->scenario = optarg;
            break;
        case 'n':
            if (!parse_number(optarg, "", &number) || number < 3 || number > MEMBERS_MAX) {
                return false;
            }
            out->sim.nodes = (unsigned)number;
            break;
        case 'o':
            if (!parse_number(optarg, "", &out->sim.ops) || out->sim.ops == 0 ||
                out->sim.ops > 1000000) {
                return false;
            }
            break;
        case 'p':
            if (!plant_choose(optarg)) {
                fprintf(stderr, "estreat-sim: no plant %s; see --list-plants\n", optarg);
                return false;
            }
            break;
        case 'l':
            out->list_plants = true;
            break;
        case 't':
            out->sim.tracing = true;
            break;
        case 'v':
            out->verbose = true;
            break;
        default:
            return false;
        }
    }
    return optind == argc;
}

static int run_scenario(const struct arguments *arguments)
{
    struct sim_result result;
    (void)snprintf(abort_line, sizeof abort_line,
                   "scenario FAILED: an assertion or a bad access\n");
    scenario_run(arguments->scenario, arguments->sim.tracing, &result);
    if (result.broken != NULL) {
        printf("scenario %s FAILED: %s: %s\n", arguments->scenario, result.broken, result.text);
    }
    printf("seeds 1 failed %d trace %016" PRIx64 "\n", result.broken != NULL, result.trace);
    return result.broken == NULL ? 0 : EXIT_BROKEN;
}

int main(int argc, char **argv)
{
    struct arguments arguments;
    if (!parse(argc, argv, &arguments)) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    if (arguments.list_plants) {
        plant_list();
        return 0;
    }
    log_set_level(arguments.verbose ? LOG_INFO : LOG_OFF);
    (void)signal(SIGABRT, on_death);
    (void)signal(SIGSEGV, on_death);
    (void)signal(SIGBUS, on_death);
    (void)signal(SIGFPE, on_death);
    (void)signal(SIGALRM, on_death);
    if (arguments.scenario != NULL) {
        return run_scenario(&arguments);
    }
    uint64_t failed = 0;
    uint64_t trace = 0;
    for (uint64_t seed = arguments.begin; seed < arguments.end; seed++) {
        struct sim_result result;
        arguments.sim.seed = seed;
        (void)snprintf(abort_line, sizeof abort_line, "seed %" PRIu64 " FAILED: an assertion\n",
                       seed);
        (void)snprintf(endless_line, sizeof endless_line,
                       "seed %" PRIu64 " FAILED: it does not end\n", seed);
        (void)alarm(SEED_SECONDS_MAX);
        sim_run(&arguments.sim, &result);
        trace = (trace ^ result.trace) * 0x100000001b3U;
        if (arguments.verbose || result.broken != NULL || arguments.end - arguments.begin == 1) {
            printf("seed %" PRIu64 " ops %" PRIu64 " faults %" PRIu64 " crashes %" PRIu64
                   " repeats %" PRIu64 " reads %" PRIu64 " snapshots %" PRIu64 " changes %" PRIu64
                   " compared %" PRIu64 " damaged %" PRIu64 " noticed %" PRIu64 " salvaged %" PRIu64
                   " events %" PRIu64 " memory_kib %" PRIu64 " seconds %.1f trace %016" PRIx64 "\n",
                   seed, result.ops, result.faults, result.crashes, result.repeats, result.reads,
                   result.snapshots, result.changes, result.compared, result.damaged,
                   result.noticed, result.salvaged, result.events, result.memory_most / KIB,
                   result.seconds, result.trace);
        }
        if (result.broken != NULL) {
            failed++;
            printf("seed %" PRIu64 " FAILED: %s: %s\n", seed, result.broken, result.text);
        }
        fflush(stdout);
    }
    printf("seeds %" PRIu64 " failed %" PRIu64 " trace %016" PRIx64 "\n",
           arguments.end - arguments.begin, failed, trace);
    return failed == 0 ? 0 : EXIT_BROKEN;
}
