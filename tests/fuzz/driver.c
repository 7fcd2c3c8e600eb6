/* SPDX-License-Identifier: Apache-2.0
 *
 * The driver: runs a target on what it begins with and on mutations of that, without
 * libFuzzer. A failure prints the input in hex; `NAME_driver HEX` runs that one again.
 *
 *   NAME_driver                      what it begins with, and mutations, from seed ESTREAT_SEED:
 *                                    ESTREAT_FUZZ_RUNS, or RUNS and as many as two seconds allow
 *   NAME_driver --write-seeds DIR    the inputs to begin with, as files, for libFuzzer
 *   NAME_driver --bytes-max          how long an input may be
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/rng.h"
#include "fuzz.h"
#include "seeds.h"

#ifdef __SANITIZE_ADDRESS__
enum { RUNS = 8000 };
#else
enum { RUNS = 20000 };
#endif
#define TIME_NS UINT64_C(2000000000)

static struct seeds seeds;
static struct buf input;

/* Called when all is lost: nothing but writes. */
static void show_input(int number)
{
    static const char digits[] = "0123456789abcdef";
    char text[2];
    (void)!write(STDERR_FILENO, "input: ", 7);
    for (size_t i = 0; i < input.length; i++) {
        text[0] = digits[input.data[i] >> 4];
        text[1] = digits[input.data[i] & 15];
        (void)!write(STDERR_FILENO, text, 2);
    }
    (void)!write(STDERR_FILENO, "\n", 1);
    (void)signal(number, SIG_DFL);
    (void)raise(number);
}

static int write_seeds(const char *dir)
{
    for (unsigned i = 0; i < seeds.count; i++) {
        char path[PATH_BYTES_MAX];
        char name[16];
        struct error err = ERROR_INIT;
        (void)snprintf(name, sizeof name, "seed-%03u", i);
        if (path_join(path, dir, name, &err) != STATUS_OK ||
            fs_replace_file(fs_posix(), dir, path, buf_slice(&seeds.of[i]), &err) != STATUS_OK) {
            (void)fprintf(stderr, "%s\n", err.text);
            return EXIT_FAILURE;
        }
    }
    return EXIT_SUCCESS;
}

/* A piece of the input in another place of it, or gone. */
static void move_piece(struct rng *rng)
{
    size_t from = (size_t)rng_below(rng, input.length);
    size_t length = 1 + (size_t)rng_below(rng, input.length - from);
    if (rng_below(rng, 2) == 0) {
        memmove(input.data + from, input.data + from + length, input.length - from - length);
        input.length -= length;
    } else {
        size_t to = (size_t)rng_below(rng, input.length - length + 1);
        memmove(input.data + to, input.data + from, length);
    }
}

static void mutate(struct rng *rng)
{
    static const uint8_t edges[] = {0, 1, 2, 4, 7, 8, 16, 0x7f, 0x80, 0xfe, 0xff};
    for (uint64_t changes = 1 + rng_below(rng, 6); changes > 0 && input.length > 0; changes--) {
        uint8_t *at = input.data + rng_below(rng, input.length);
        switch (rng_below(rng, 8)) {
        case 0:
        case 1:
        case 2:
            *at ^= (uint8_t)(1U << rng_below(rng, 8));
            break;
        case 3:
        case 4:
            *at = edges[rng_below(rng, sizeof edges)];
            break;
        case 5:
            *at = (uint8_t)(*at + rng_below(rng, 17) - 8);
            break;
        case 6:
            input.length = 1 + (size_t)rng_below(rng, input.length);
            break;
        default:
            move_piece(rng);
            break;
        }
    }
    if (input.length > 0 && rng_below(rng, 4) != 0) {
        input.data[0] |= 1;
    }
}

static int run_hex(const char *text)
{
    buf_clear(&input);
    for (; text[0] != '\0' && text[1] != '\0'; text += 2) {
        char pair[3] = {text[0], text[1], '\0'};
        buf_put_u8(&input, (uint8_t)strtoul(pair, NULL, 16));
    }
    return LLVMFuzzerTestOneInput(input.data, input.length);
}

/* Half of all begin with a golden one: the corpus is of many that stop early. */
static const struct buf *choose(struct rng *rng)
{
    return &seeds.of[rng_below(rng, rng_below(rng, 2) == 0 ? seeds.golden : seeds.count)];
}

static void run_one(uint64_t i, struct rng *rng)
{
    const struct buf *from = i < seeds.count ? &seeds.of[i] : choose(rng);
    buf_clear(&input);
    buf_append_slice(&input, buf_slice(from));
    if (i >= seeds.count) {
        mutate(rng);
    }
    (void)LLVMFuzzerTestOneInput(input.data, input.length);
}

static int run_many(void)
{
    const char *wanted = getenv("ESTREAT_FUZZ_RUNS");
    const char *replay = getenv("ESTREAT_SEED");
    uint64_t runs = wanted == NULL ? RUNS : strtoull(wanted, NULL, 10);
    uint64_t seed = replay == NULL ? rng_u64(rng_system()) : strtoull(replay, NULL, 10);
    uint64_t end_ns = clock_monotonic_ns(clock_system()) + (wanted == NULL ? TIME_NS : 0);
    struct rng_seeded rng;
    uint64_t i = 0;
    (void)printf("seed %llu\n", (unsigned long long)seed);
    rng_seeded_init(&rng, seed);
    while (i < runs || i < seeds.count || clock_monotonic_ns(clock_system()) < end_ns) {
        run_one(i++, &rng.rng);
    }
    (void)printf("%llu inputs\n", (unsigned long long)i);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    log_set_level(LOG_OFF);
    (void)signal(SIGABRT, show_input);
    (void)signal(SIGSEGV, show_input);
    buf_init(&input, alloc_default(), FUZZ_INPUT_BYTES_MAX);
    seeds_load(&seeds, FUZZ_TARGET);
    if (argc == 2 && strcmp(argv[1], "--bytes-max") == 0) {
        (void)printf("%lu\n", FUZZ_INPUT_BYTES_MAX);
        return EXIT_SUCCESS;
    }
    int result = argc == 3 && strcmp(argv[1], "--write-seeds") == 0 ? write_seeds(argv[2])
                 : argc == 2                                        ? run_hex(argv[1])
                                                                    : run_many();
    seeds_release(&seeds);
    buf_release(&input);
    return result;
}
