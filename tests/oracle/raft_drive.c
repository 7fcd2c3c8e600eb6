/* SPDX-License-Identifier: Apache-2.0
 *
 * raft-drive: runs scripts (README.md) on our Raft cores and prints what came of it, as the
 * program in etcd/ does on etcd's.
 *
 *   raft-drive [--plant NAME] [FILE]
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cores.h"
#include "plants.h"

#define LINE_BYTES_MAX 256U
#define EXIT_USAGE 64
#define NUMBERS_MAX 4U

struct line {
    char text[LINE_BYTES_MAX];
    char word[32];
    uint64_t numbers[NUMBERS_MAX];
    unsigned count; /* of numbers */
    char between;   /* what stands between the first and the second: ' ', '>' or '-' */
};

/* Takes a line apart: a word, then numbers. False if it is something else. */
static bool parse(struct line *line)
{
    int length = 0;
    if (sscanf(line->text, "%31s%n", line->word, &length) != 1) {
        return false;
    }
    const char *at = line->text + length;
    line->count = 0;
    line->between = ' ';
    while (*at != '\0') {
        char *end = NULL;
        if (line->count == 1) {
            line->between = *at;
        }
        uint64_t number = strtoull(at + 1, &end, 10);
        if (end == at + 1 || line->count == NUMBERS_MAX) {
            return false;
        }
        line->numbers[line->count++] = number;
        at = end;
    }
    return true;
}

static void between(struct cores *cores, const struct line *line,
                    void (*act)(struct cores *, uint64_t, uint64_t))
{
    act(cores, line->numbers[0], line->numbers[1]);
    if (line->between == '-') {
        act(cores, line->numbers[1], line->numbers[0]);
    }
}

/* At `id`, or, if that is 0, at all nodes that do not lead. */
static void tick(struct cores *cores, uint64_t id, uint64_t ticks)
{
    for (uint64_t other = 1; other <= cores->count; other++) {
        if (id == other || (id == 0 && cores->leads[other - 1] == 0)) {
            cores_tick(cores, other, ticks);
        }
    }
}

/* At `id`, or, if that is 0, at all nodes that lead. */
static void change(struct cores *cores, enum cores_change change, const struct line *line)
{
    for (uint64_t id = 1; id <= cores->count; id++) {
        if (line->numbers[0] == id || (line->numbers[0] == 0 && cores->leads[id - 1] != 0)) {
            cores_change(cores, change, id, line->numbers[1]);
        }
    }
}

/* At `id`, or, if that is 0, at all nodes that lead. */
static void propose(struct cores *cores, uint64_t id, uint64_t number)
{
    for (uint64_t other = 1; other <= cores->count; other++) {
        if (id == other || (id == 0 && cores->leads[other - 1] != 0)) {
            cores_propose(cores, other, number);
        }
    }
}

static void isolate(struct cores *cores, uint64_t id)
{
    for (uint64_t other = 1; other <= cores->count; other++) {
        if (other != id) {
            cores_cut(cores, id, other);
            cores_cut(cores, other, id);
        }
    }
}

static void deliver(struct cores *cores, const struct line *line)
{
    const uint64_t *n = line->numbers;
    if (line->between == '>') {
        cores_deliver_elections(cores, n[0], n[1]);
    } else {
        cores_exchange(cores, n[0], n[1], line->count == 3 ? n[2] : UINT64_MAX);
    }
}

struct command {
    const char *word;
    unsigned numbers_min;
    unsigned numbers_max;
    unsigned ids; /* how many of the numbers must be nodes', different ones */
};

enum {
    CAMPAIGN,
    TICK,
    PROPOSE,
    DELIVER,
    REPEAT,
    DROP,
    CUT,
    ISOLATE,
    HEAL,
    RESTART,
    TRANSFER,
    ADD,
    PROMOTE,
    REMOVE,
    STABILIZE,
    STATUS,
    COMMANDS
};

static const struct command commands[COMMANDS] = {
    [CAMPAIGN] = {"campaign", 1, 1, 1},
    [TICK] = {"tick", 2, 2, 0},
    [PROPOSE] = {"propose", 2, 2, 0},
    [DELIVER] = {"deliver", 2, 3, 2},
    [REPEAT] = {"repeat", 2, 2, 2},
    [DROP] = {"drop", 2, 2, 2},
    [CUT] = {"cut", 2, 2, 2},
    [ISOLATE] = {"isolate", 1, 1, 1},
    [HEAL] = {"heal", 0, 0, 0},
    [RESTART] = {"restart", 1, 1, 1},
    [TRANSFER] = {"transfer", 2, 2, 2},
    [ADD] = {"add", 2, 2, 0},
    [PROMOTE] = {"promote", 2, 2, 0},
    [REMOVE] = {"remove", 2, 2, 0},
    [STABILIZE] = {"stabilize", 0, 0, 0},
    [STATUS] = {"status", 0, 0, 0},
};

/* The command of a line; COMMANDS if it is none for this cluster. */
static int command_of(const struct cores *cores, const struct line *line)
{
    for (int i = 0; i < COMMANDS; i++) {
        const struct command *command = &commands[i];
        if (strcmp(line->word, command->word) != 0 || line->count < command->numbers_min ||
            line->count > command->numbers_max) {
            continue;
        }
        bool good = true;
        for (unsigned j = 0; j < command->ids; j++) {
            good = good && line->numbers[j] >= 1 && line->numbers[j] <= cores->count;
        }
        return good && (command->ids < 2 || line->numbers[0] != line->numbers[1]) ? i : COMMANDS;
    }
    return COMMANDS;
}

static bool run(struct cores *cores, const struct line *line)
{
    const uint64_t *n = line->numbers;
    switch (command_of(cores, line)) {
    case CAMPAIGN:
        cores_campaign(cores, n[0]);
        return true;
    case TICK:
        tick(cores, n[0], n[1]);
        return true;
    case PROPOSE:
        propose(cores, n[0], n[1]);
        return true;
    case DELIVER:
        deliver(cores, line);
        return true;
    case REPEAT:
        between(cores, line, cores_repeat);
        return true;
    case DROP:
        between(cores, line, cores_drop);
        return true;
    case CUT:
        between(cores, line, cores_cut);
        return true;
    case ISOLATE:
        isolate(cores, n[0]);
        return true;
    case HEAL:
        cores_heal(cores);
        return true;
    case RESTART:
        cores_restart(cores, n[0]);
        return true;
    case TRANSFER:
        cores_transfer(cores, n[0], n[1]);
        return true;
    case ADD:
        change(cores, CORES_ADD, line);
        return true;
    case PROMOTE:
        change(cores, CORES_PROMOTE, line);
        return true;
    case REMOVE:
        change(cores, CORES_REMOVE, line);
        return true;
    case STABILIZE:
        cores_stabilize(cores);
        cores_status(cores);
        return true;
    case STATUS:
        cores_status(cores);
        return true;
    default:
        return false;
    }
}

/* "nodes N [ENTRY-MESSAGES [SLOW-DISKS [VOTERS]]]" begins a cluster, in place of the one before. */
static bool begin(struct cores *cores, const struct line *line)
{
    const uint64_t *n = line->numbers;
    if (line->count < 1 || n[0] < 1 || n[0] > NODES_MAX) {
        return false;
    }
    uint64_t voters = line->count >= 4 ? n[3] : n[0];
    if (voters < 1 || voters > n[0]) {
        return false;
    }
    cores_release(cores);
    cores_init(cores, (size_t)n[0], (size_t)voters, line->count >= 2 && n[1] == 1,
               line->count >= 3 && n[2] == 1);
    return true;
}

static int run_file(FILE *file)
{
    struct cores *cores = calloc(1, sizeof *cores);
    struct line line;
    int code = 0;
    CHECK(cores != NULL);
    while (code == 0 && fgets(line.text, sizeof line.text, file) != NULL) {
        line.text[strcspn(line.text, "\n")] = '\0';
        if (line.text[0] == '#' || line.text[0] == '\0') {
            continue;
        }
        printf("> %s\n", line.text);
        if (!parse(&line)) {
            code = EXIT_USAGE;
        } else if (strcmp(line.word, "nodes") == 0) {
            code = begin(cores, &line) ? 0 : EXIT_USAGE;
        } else if (strcmp(line.word, "script") != 0) {
            code = run(cores, &line) ? 0 : EXIT_USAGE;
        }
    }
    if (code != 0) {
        fprintf(stderr, "raft-drive: not a command here: %s\n", line.text);
    }
    cores_release(cores);
    free(cores);
    return code;
}

int main(int argc, char **argv)
{
    int at = 1;
    if (argc > at + 1 && strcmp(argv[at], "--plant") == 0) {
        if (!plant_choose(argv[at + 1])) {
            fprintf(stderr, "raft-drive: no plant %s\n", argv[at + 1]);
            return EXIT_USAGE;
        }
        at += 2;
    }
    FILE *file = argc > at ? fopen(argv[at], "r") : stdin;
    if (file == NULL || argc > at + 1) {
        fprintf(stderr, "usage: raft-drive [--plant NAME] [FILE]\n");
        return EXIT_USAGE;
    }
    int code = run_file(file);
    fclose(file);
    return code;
}
