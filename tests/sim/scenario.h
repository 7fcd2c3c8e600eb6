/* SPDX-License-Identifier: Apache-2.0
 *
 * Scenario: a run that a person can read: a text file of commands, and under each what
 * happened because of it. README.md has the language.
 *
 *     scenario.c   the file: what it says, and what happens now
 *     commands.c   what each command does
 *     expect.c     what can be waited for and expected
 */
#ifndef ESTREAT_TESTS_SIM_SCENARIO_H
#define ESTREAT_TESTS_SIM_SCENARIO_H

#include "base/buf.h"
#include "sim.h"

#define SCENARIO_WORDS_MAX 12U
#define SCENARIO_OPS_MAX 65536U

/* A command in words. */
struct scenario_line {
    unsigned count;
    char *words[SCENARIO_WORDS_MAX + 1]; /* NULL after the last */
};

struct scenario {
    struct sim sim;
    bool begun; /* there is a cluster */
    struct buf transcript;
    unsigned lines;      /* of the transcript, so far */
    bool failed;         /* something expected is not so */
    const char *problem; /* with the command, if it makes no sense */
};

/* One more line of the transcript. */
void scenario_say(struct scenario *scenario, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Does what the line says. False: it makes no sense, and scenario->problem says why. */
bool scenario_command(struct scenario *scenario, const struct scenario_line *line);

/* Whether the condition, the line's words from `at` on, holds now. *known is false if it is none.
 */
bool scenario_holds(struct scenario *scenario, const struct scenario_line *line, unsigned at,
                    bool *known);

/* "n3" -> the node; NULL if there is none. */
struct sim_node *scenario_node(struct scenario *scenario, const char *word);

/* The append of that name; NULL if there is none. */
struct sim_op *scenario_op(struct scenario *scenario, const char *name);

/* Runs the file and compares. ESTREAT_REWRITE=1 in the environment: writes what happens now
 * instead. Returns what result->broken is then: NULL if all is as it says. */
void scenario_run(const char *path, bool tracing, struct sim_result *result);

#endif
