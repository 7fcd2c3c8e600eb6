/* SPDX-License-Identifier: Apache-2.0 */
#include "scenario.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define FILE_BYTES_MAX (1 * MIB)

void scenario_say(struct scenario *scenario, const char *format, ...)
{
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    CHECK(length >= 0);
    buf_append_slice(&scenario->transcript, slice_of_string("  "));
    buf_append_slice(&scenario->transcript, slice_of_string(line));
    buf_append_slice(&scenario->transcript, slice_of_string("\n"));
}

static void on_tell(void *context, const char *line)
{
    scenario_say(context, "%s", line);
}

/* --- the file -------------------------------------------------------------------------------- */

static char *read_all(const char *path)
{
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        return NULL;
    }
    char *text = calloc(1, FILE_BYTES_MAX + 1);
    CHECK(text != NULL);
    size_t length = fread(text, 1, FILE_BYTES_MAX, file);
    bool ok = ferror(file) == 0 && length < FILE_BYTES_MAX;
    (void)fclose(file);
    if (!ok) {
        free(text);
        return NULL;
    }
    return text;
}

static bool split(char *text, struct scenario_line *line)
{
    char *rest = NULL;
    *line = (struct scenario_line){.count = 0};
    for (char *word = strtok_r(text, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        if (line->count == SCENARIO_WORDS_MAX) {
            return false;
        }
        line->words[line->count++] = word;
    }
    return line->count > 0;
}

/* Copies what is not an outcome; runs what is a command. False: the line makes no sense. */
static bool run_line(struct scenario *scenario, const char *begin, size_t length)
{
    if (length > 2 && strncmp(begin, "  ", 2) == 0) {
        return true; /* an outcome: what happens now takes its place */
    }
    buf_append_slice(&scenario->transcript, slice_of((const uint8_t *)begin, length));
    buf_append_slice(&scenario->transcript, slice_of_string("\n"));
    if (length == 0 || begin[0] == '#') {
        return true;
    }
    char words[512];
    struct scenario_line line;
    if (length < 3 || strncmp(begin, "> ", 2) != 0 || length >= sizeof words) {
        scenario->problem = "neither a command, nor an outcome, nor a comment";
        return false;
    }
    memcpy(words, begin + 2, length - 2);
    words[length - 2] = '\0';
    scenario->problem = "too many words, or none";
    return split(words, &line) && scenario_command(scenario, &line);
}

/* Returns the number of the line that makes no sense, or 0. */
static unsigned run_lines(struct scenario *scenario, const char *text)
{
    unsigned number = 1;
    for (const char *at = text; *at != '\0'; number++) {
        size_t length = strcspn(at, "\n");
        if (scenario->sim.world.broken != NULL) {
            buf_append_slice(&scenario->transcript, slice_of((const uint8_t *)at, strlen(at)));
            return 0;
        }
        if (!run_line(scenario, at, length)) {
            return number;
        }
        at += length + (at[length] == '\n' ? 1 : 0);
    }
    return 0;
}

/* --- against what it says -------------------------------------------------------------------- */

static void compare(struct scenario *scenario, const char *text, struct sim_result *result)
{
    const char *now = (const char *)scenario->transcript.data;
    const char *line = text;
    unsigned number = 1;
    size_t at = 0;
    while (text[at] == now[at] && text[at] != '\0') {
        if (text[at] == '\n') {
            line = text + at + 1;
            number++;
        }
        at++;
    }
    if (text[at] != now[at]) {
        const char *now_line = now + (line - text);
        result->broken = "it happens as the scenario says";
        (void)snprintf(result->text, sizeof result->text, "line %u: \"%.*s\", and not \"%.*s\"",
                       number, (int)strcspn(now_line, "\n"), now_line, (int)strcspn(line, "\n"),
                       line);
    }
}

static void rewrite(const char *path, const struct scenario *scenario)
{
    FILE *file = fopen(path, "w");
    CHECK(file != NULL);
    size_t length = scenario->transcript.length - 1;
    bool ok = fwrite(scenario->transcript.data, 1, length, file) == length;
    CHECK(ok);
    CHECK(fclose(file) == 0);
}

static void judge(struct scenario *scenario, const char *path, const char *text,
                  struct sim_result *result)
{
    static const uint8_t nul = 0;
    buf_append(&scenario->transcript, &nul, 1);
    CHECK(!buf_failed(&scenario->transcript));
    if (scenario->sim.world.broken != NULL) {
        result->broken = scenario->sim.world.broken;
        memcpy(result->text, scenario->sim.world.broken_text, sizeof result->text);
    } else if (getenv("ESTREAT_REWRITE") != NULL) {
        rewrite(path, scenario);
    } else {
        compare(scenario, text, result);
    }
    if (result->broken == NULL && scenario->failed) {
        result->broken = "what the scenario expects";
        (void)snprintf(result->text, sizeof result->text, "see the lines that say NOT SO");
    }
}

void scenario_run(const char *path, bool tracing, struct sim_result *result)
{
    *result = (struct sim_result){.broken = NULL};
    char *text = read_all(path);
    struct scenario *scenario = calloc(1, sizeof *scenario);
    CHECK(scenario != NULL);
    if (text == NULL) {
        result->broken = "the file can be read";
        (void)snprintf(result->text, sizeof result->text, "%.200s", path);
        free(scenario);
        return;
    }
    buf_init(&scenario->transcript, alloc_default(), 4 * FILE_BYTES_MAX);
    scenario->sim.world.tracing = tracing;
    scenario->sim.tell = on_tell;
    scenario->sim.tell_context = scenario;
    unsigned bad = run_lines(scenario, text);
    if (bad != 0) {
        result->broken = "the scenario makes sense";
        (void)snprintf(result->text, sizeof result->text, "line %u: %s", bad, scenario->problem);
    } else {
        judge(scenario, path, text, result);
    }
    result->trace = scenario->sim.world.trace;
    if (scenario->begun) {
        sim_release(&scenario->sim);
    }
    buf_release(&scenario->transcript);
    free(scenario);
    free(text);
}
