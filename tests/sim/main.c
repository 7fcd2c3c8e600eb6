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

enum { EXIT_BROKEN = 1, EXIT_USAGE = 64, RUN_SECONDS_MAX = 300, STACK_BYTES = 64 * 1024 };

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
    "not hold. One that crashes or hangs is the last.\n";

struct arguments {
    uint64_t begin;
    uint64_t end;
    struct sim_options sim;
    const char *scenario;
    bool verbose;
    bool list_plants;
};

/* Of the seeds so far. */
struct account {
    uint64_t seeds;
    uint64_t failed;
    uint64_t trace;
    uint64_t ended; /* but for one that ended the process */
    uint64_t least_ops;
    uint64_t least_faults;
    uint64_t least_crashes;
};

static uint64_t lesser(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void count(struct account *account, const struct sim_result *result)
{
    bool first = account->ended == 0;
    account->seeds++;
    account->ended++;
    account->failed += result->broken != NULL;
    account->trace = (account->trace ^ result->trace) * 0x100000001b3U;
    account->least_ops = first ? result->ops : lesser(account->least_ops, result->ops);
    account->least_faults = first ? result->faults : lesser(account->least_faults, result->faults);
    account->least_crashes =
        first ? result->crashes : lesser(account->least_crashes, result->crashes);
}

#define SUM_BYTES 256U

static void sum_up(const struct account *account, bool least, char out[SUM_BYTES])
{
    int length = 0;
    if (least && account->ended > 0) {
        length = snprintf(out, SUM_BYTES,
                          "least: operations %" PRIu64 " faults %" PRIu64 " crashes %" PRIu64 "\n",
                          account->least_ops, account->least_faults, account->least_crashes);
    }
    (void)snprintf(out + length, SUM_BYTES - (size_t)length,
                   "seeds %" PRIu64 " failed %" PRIu64 " trace %016" PRIx64 "\n", account->seeds,
                   account->failed, account->trace);
}

/* --- a death --------------------------------------------------------------------------------- */

/* For the handler, which may not format: what runs, and the sum if that is the end. */
static char running[PATH_BYTES_MAX + 16];
static char last_sum[SUM_BYTES];

static void put(const char *text)
{
    size_t length = 0;
    while (text[length] != '\0') {
        length++;
    }
    (void)!write(STDOUT_FILENO, text, length);
}

/* An assertion or a bad access of the code under test is a find like any other, and so is a turn
 * that does not end. */
static void on_death(int signal)
{
    put(running);
    put(signal == SIGALRM ? " FAILED: it does not end\n"
                          : " FAILED: an assertion, or a bad access\n");
    put(last_sum);
    _exit(EXIT_BROKEN);
}

/* With a stack of its own: an overflow of the other one is a bad access, too. */
static void catch_death(void)
{
    static const int signals[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGALRM};
    static char memory[STACK_BYTES];
    const stack_t stack = {.ss_sp = memory, .ss_size = sizeof memory};
    struct sigaction action = {.sa_handler = on_death, .sa_flags = SA_ONSTACK};
    (void)sigfillset(&action.sa_mask);
    (void)sigaltstack(&stack, NULL);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        (void)sigaction(signals[i], &action, NULL);
    }
}

/* Before what may be the death of the process, or take for ever. */
static void expect_death(const struct account *so_far, bool least)
{
    struct account with_it = *so_far;
    with_it.seeds++;
    with_it.failed++;
    sum_up(&with_it, least, last_sum);
    (void)alarm(RUN_SECONDS_MAX);
}

/* --- the command line ------------------------------------------------------------------------ */

/* "A..B" */
static bool parse_range(char *text, struct arguments *out)
{
    char *dots = strstr(text, "..");
    if (dots == NULL) {
        return false;
    }
    *dots = '\0';
    return word_count(text, &out->begin) && word_count(dots + 2, &out->end);
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
            if (!word_count(optarg, &out->begin)) {
                return false;
            }
            out->end = out->begin + 1;
            break;
        case 'S':
            if (!parse_range(optarg, out)) {
                return false;
            }
            break;
        case 'c':
            out->scenario = optarg;
            break;
        case 'n':
            if (!word_count(optarg, &number) || number < 3 || number > MEMBERS_MAX) {
                return false;
            }
            out->sim.nodes = (unsigned)number;
            break;
        case 'o':
            if (!word_count(optarg, &out->sim.ops) || out->sim.ops == 0 || out->sim.ops > 1000000) {
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
    return optind == argc && out->begin < out->end;
}

/* --- runs ------------------------------------------------------------------------------------ */

static int end(const struct account *account, bool least)
{
    char sum[SUM_BYTES];
    sum_up(account, least, sum);
    (void)fputs(sum, stdout);
    return account->failed == 0 ? 0 : EXIT_BROKEN;
}

static void print_failure(const struct sim_result *result)
{
    if (result->broken != NULL) {
        printf("%s FAILED: %s: %s\n", running, result->broken, result->text);
    }
}

static int run_scenario(const struct arguments *arguments)
{
    struct account account = {.seeds = 0};
    struct sim_result result;
    (void)snprintf(running, sizeof running, "scenario %s", arguments->scenario);
    expect_death(&account, false);
    scenario_run(arguments->scenario, arguments->sim.tracing, &result);
    count(&account, &result);
    print_failure(&result);
    return end(&account, false);
}

static void print_counts(uint64_t seed, const struct sim_result *result)
{
    printf("seed %" PRIu64 " ops %" PRIu64 " faults %" PRIu64 " crashes %" PRIu64
           " repeats %" PRIu64 " reads %" PRIu64 " snapshots %" PRIu64 " changes %" PRIu64
           " compared %" PRIu64 " damaged %" PRIu64 " noticed %" PRIu64 " salvaged %" PRIu64
           " events %" PRIu64 " memory_kib %" PRIu64 " seconds %.1f trace %016" PRIx64 "\n",
           seed, result->ops, result->faults, result->crashes, result->repeats, result->reads,
           result->snapshots, result->changes, result->compared, result->damaged, result->noticed,
           result->salvaged, result->events, result->memory_most / KIB, result->seconds,
           result->trace);
}

static int run_seeds(struct arguments *arguments)
{
    struct account account = {.seeds = 0};
    bool alone = arguments->end - arguments->begin == 1;
    for (uint64_t seed = arguments->begin; seed < arguments->end; seed++) {
        struct sim_result result;
        arguments->sim.seed = seed;
        (void)snprintf(running, sizeof running, "seed %" PRIu64, seed);
        expect_death(&account, !alone);
        sim_run(&arguments->sim, &result);
        count(&account, &result);
        if (arguments->verbose || result.broken != NULL || alone) {
            print_counts(seed, &result);
        }
        print_failure(&result);
    }
    return end(&account, !alone);
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
    (void)setvbuf(stdout, NULL, _IOLBF, 0); /* a death loses nothing that was printed */
    catch_death();
    return arguments.scenario != NULL ? run_scenario(&arguments) : run_seeds(&arguments);
}
