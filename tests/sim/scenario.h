/* SPDX-License-Identifier: Apache-2.0
 *
 * Scenario: a run that a person can read: a text file of commands, and under each what
 * happened because of it. README.md has the language.
 *
 *     scenario.c   the file: what it says, and what happens now
 *     words.c      numbers, times, options
 *     commands.c   which commands there are; the cluster, time, clients
 *     inflict.c    what is done to links, nodes, disks
 *     operate.c    what an operator asks of the leader
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

/* --- words ---------------------------------------------------------------------------------- */

bool word_is(const char *word, const char *text);
bool word_count(const char *text, uint64_t *out);

/* "15ms", "3s", "10y", "200us". */
bool word_duration(const char *text, uint64_t *out);

/* The value of "name=value" among the words; NULL if it is not there. */
const char *word_option(const struct scenario_line *line, const char *name);

/* Whether the words of [begin, end) are such, with these names: "at events key". */
bool word_options(const struct scenario_line *line, unsigned begin, unsigned end,
                  const char *names);

/* Changes *out only if the option is there. False if its value is none. */
bool word_set_count(const struct scenario_line *line, const char *name, uint64_t *out);
bool word_set_duration(const struct scenario_line *line, const char *name, uint64_t *out);

/* Says what is wrong with the line; returns false. */
bool scenario_refuse(struct scenario *scenario, const char *problem);

/* --- commands -------------------------------------------------------------------------------- */

bool scenario_cut(struct scenario *scenario, const struct scenario_line *line);
bool scenario_join(struct scenario *scenario, const struct scenario_line *line);
bool scenario_clog(struct scenario *scenario, const struct scenario_line *line);
bool scenario_crash(struct scenario *scenario, struct sim_node *node,
                    const struct scenario_line *line);
bool scenario_start(struct scenario *scenario, struct sim_node *node,
                    const struct scenario_line *line);
bool scenario_pause(struct scenario *scenario, struct sim_node *node,
                    const struct scenario_line *line);
bool scenario_resume(struct scenario *scenario, struct sim_node *node,
                     const struct scenario_line *line);
bool scenario_clock(struct scenario *scenario, struct sim_node *node,
                    const struct scenario_line *line);
bool scenario_disk(struct scenario *scenario, struct sim_node *node,
                   const struct scenario_line *line);
bool scenario_memory(struct scenario *scenario, struct sim_node *node,
                     const struct scenario_line *line);
bool scenario_applier(struct scenario *scenario, struct sim_node *node,
                      const struct scenario_line *line);
bool scenario_member(struct scenario *scenario, const struct scenario_line *line);
bool scenario_transfer(struct scenario *scenario, struct sim_node *node,
                       const struct scenario_line *line);
bool scenario_audit(struct scenario *scenario, struct sim_node *node,
                    const struct scenario_line *line);

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
