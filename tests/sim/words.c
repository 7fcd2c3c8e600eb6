/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "scenario.h"

bool word_count(const char *text, uint64_t *out)
{
    char *end = NULL;
    if (text == NULL || text[0] < '0' || text[0] > '9') {
        return false;
    }
    errno = 0;
    *out = strtoull(text, &end, 10);
    return *end == '\0' && errno == 0;
}

/* "15ms", "3s", "10y", "200us". */
bool word_duration(const char *text, uint64_t *out)
{
    static const struct {
        const char *name;
        uint64_t ns;
    } units[] = {{"us", 1000}, {"ms", NS_PER_MS}, {"s", NS_PER_S}, {"y", 365 * 86400 * NS_PER_S}};
    char *end = NULL;
    if (text == NULL || text[0] < '0' || text[0] > '9') {
        return false;
    }
    uint64_t count = strtoull(text, &end, 10);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(end, units[i].name) == 0) {
            *out = count * units[i].ns;
            return count <= UINT64_MAX / units[i].ns;
        }
    }
    return false;
}

/* The value of "name=value" among the words; NULL if it is not there. */
const char *word_option(const struct scenario_line *line, const char *name)
{
    size_t length = strlen(name);
    for (unsigned i = 1; i < line->count; i++) {
        if (strncmp(line->words[i], name, length) == 0 && line->words[i][length] == '=') {
            return line->words[i] + length + 1;
        }
    }
    return NULL;
}

static bool is_among(const char *names, const char *word, size_t length)
{
    while (*names != '\0') {
        size_t size = strcspn(names, " ");
        if (size == length && strncmp(names, word, length) == 0) {
            return true;
        }
        names += size + (names[size] == ' ');
    }
    return false;
}

/* Whether the words of [begin, end) are options of these names: "at events key". */
bool word_options(const struct scenario_line *line, unsigned begin, unsigned end, const char *names)
{
    bool so = true;
    for (unsigned i = begin; i < end; i++) {
        size_t length = strcspn(line->words[i], "=");
        so = so && line->words[i][length] == '=' && is_among(names, line->words[i], length);
    }
    return so;
}

bool word_is(const char *word, const char *text)
{
    return word != NULL && strcmp(word, text) == 0;
}

bool scenario_refuse(struct scenario *scenario, const char *problem)
{
    scenario->problem = problem;
    return false;
}

struct sim_node *scenario_node(struct scenario *scenario, const char *word)
{
    struct sim *sim = &scenario->sim;
    uint64_t number = 0;
    if (word_is(word, "leader")) {
        struct sim_node *newest = NULL;
        for (unsigned i = 0; i < sim->node_count; i++) {
            struct sim_node *node = &sim->nodes[i];
            if (node->running && node->leads && (newest == NULL || node->term > newest->term)) {
                newest = node;
            }
        }
        return newest;
    }
    if (word == NULL || word[0] != 'n' || !word_count(word + 1, &number) || number == 0 ||
        number > sim->node_count) {
        return NULL;
    }
    return &sim->nodes[number - 1];
}

struct sim_op *scenario_op(struct scenario *scenario, const char *name)
{
    struct sim *sim = &scenario->sim;
    for (uint64_t i = 0; i < sim->ops_begun; i++) {
        if (sim->ops[i].name != NULL && word_is(name, sim->ops[i].name)) {
            return &sim->ops[i];
        }
    }
    return NULL;
}

bool word_set_duration(const struct scenario_line *line, const char *name, uint64_t *out)
{
    const char *value = word_option(line, name);
    return value == NULL || word_duration(value, out);
}

bool word_set_count(const struct scenario_line *line, const char *name, uint64_t *out)
{
    const char *value = word_option(line, name);
    return value == NULL || word_count(value, out);
}
