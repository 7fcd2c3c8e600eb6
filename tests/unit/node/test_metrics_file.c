/* SPDX-License-Identifier: Apache-2.0
 *
 * The file of metrics: whole whenever it is read, there after the stop, and no reason to fail.
 */
#include "testlib/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sync.h"
#include "node/data_dir.h"
#include "node/metrics_file.h"
#include "storage/metrics.h"
#include "testlib/fs_faulty.h"
#include "testlib/temp_dir.h"

enum { LINES = 20000, PATIENCE_NS = 20 * 1000 * 1000 * 1000LL };

struct world {
    struct temp_dir dir;
    struct fs_faulty faulty;
    struct metrics_file *file;
    struct buf found;       /* what was read last */
    size_t lines;           /* of each text; changed only while none is written */
    _Atomic unsigned texts; /* written so far */
};

/* The n-th text: its number in each line. */
static void write_text(void *context, struct buf *out)
{
    struct world *world = context;
    char line[32];
    int length = snprintf(line, sizeof line, "text %u\n", atomic_fetch_add(&world->texts, 1) + 1);
    for (size_t i = 0; i < world->lines; i++) {
        buf_append(out, line, (size_t)length);
    }
}

static void begin(struct world *world, uint64_t pause_ns, size_t lines)
{
    memset(world, 0, sizeof *world);
    temp_dir_init(&world->dir);
    fs_faulty_init(&world->faulty, fs_posix());
    buf_init(&world->found, alloc_default(), 4 * MIB);
    world->lines = lines;
    const struct metrics_file_options options = {.alloc = alloc_default(),
                                                 .fs = &world->faulty.fs,
                                                 .dir = world->dir.path,
                                                 .pause_ns = pause_ns,
                                                 .write = write_text,
                                                 .context = world};
    world->file = metrics_file_start(&options);
    assert_non_null(world->file);
}

static void end(struct world *world)
{
    buf_release(&world->found);
    fs_faulty_release(&world->faulty);
    temp_dir_release(&world->dir);
}

/* Number of the text that is there, each line of which must have it; 0: no file. */
static unsigned read_number(struct world *world)
{
    struct error err = ERROR_INIT;
    bool there = false;
    const char *path = temp_dir_path(&world->dir, "metrics");
    assert_ok(fs_exists(fs_posix(), path, &there, &err), &err);
    if (!there) {
        return 0;
    }
    buf_clear(&world->found);
    assert_ok(fs_read_file(fs_posix(), path, &world->found, &err), &err);
    buf_put_u8(&world->found, 0);
    char *rest = (char *)world->found.data;
    unsigned long number = strtoul(rest + strlen("text "), NULL, 10);
    char line[32];
    size_t lines = 0;
    int length = snprintf(line, sizeof line, "text %lu\n", number);
    for (; *rest != '\0'; rest += length) {
        assert_memory_equal(rest, line, (size_t)length);
        lines++;
    }
    assert_int_equal(lines, world->lines);
    return (unsigned)number;
}

static void nap(void)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = (long)NS_PER_MS}, NULL);
}

/* Waits for a text of that number or a later one. */
static unsigned await(struct world *world, unsigned number)
{
    uint64_t until_ns = clock_monotonic_ns(clock_system()) + PATIENCE_NS;
    unsigned found = read_number(world);
    for (; found < number; found = read_number(world)) {
        assert_true(clock_monotonic_ns(clock_system()) < until_ns);
        nap();
    }
    return found;
}

static bool is_left(struct world *world)
{
    bool left = true;
    assert_ok(fs_exists(fs_posix(), temp_dir_path(&world->dir, "metrics.new"), &left, NULL), NULL);
    return left;
}

/* However often it is read while it is written again and again, it is one text whole. */
static void readers_see_whole_texts(void **state)
{
    static struct world world;
    (void)state;
    begin(&world, NS_PER_MS / 10, LINES);
    unsigned first = await(&world, 2);
    (void)await(&world, first + 20);
    metrics_file_stop(world.file);
    assert_int_equal(read_number(&world), atomic_load(&world.texts));
    assert_false(is_left(&world));
    end(&world);
}

/* Before the first pause is over there is nothing, after the stop there is. */
static void a_stop_writes_it(void **state)
{
    static struct world world;
    (void)state;
    begin(&world, 3600 * NS_PER_S, 3);
    nap();
    assert_int_equal(read_number(&world), 0);
    metrics_file_stop(world.file);
    assert_int_equal(atomic_load(&world.texts), 1);
    assert_int_equal(read_number(&world), 1);
    metrics_file_stop(NULL);
    end(&world);
}

/* Waits until so many texts were made. */
static void await_made(struct world *world, unsigned number)
{
    uint64_t until_ns = clock_monotonic_ns(clock_system()) + PATIENCE_NS;
    while (atomic_load(&world->texts) < number) {
        assert_true(clock_monotonic_ns(clock_system()) < until_ns);
        nap();
    }
}

static size_t count(const char *text, const char *word)
{
    size_t number = 0;
    for (const char *at = text; (at = strstr(at, word)) != NULL; at += strlen(word)) {
        number++;
    }
    return number;
}

/* What was said on standard error during `run`, into world->found. */
static void listen(struct world *world, void (*run)(struct world *world))
{
    struct error err = ERROR_INIT;
    char path[PATH_BYTES_MAX];
    (void)snprintf(path, sizeof path, "%s", temp_dir_path(&world->dir, "said"));
    (void)fflush(stderr);
    int saved = dup(STDERR_FILENO);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    assert_true(fd >= 0 && saved >= 0);
    assert_true(dup2(fd, STDERR_FILENO) >= 0);
    (void)close(fd);
    run(world);
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    (void)close(saved);
    buf_clear(&world->found);
    assert_ok(fs_read_file(fs_posix(), path, &world->found, &err), &err);
    buf_put_u8(&world->found, 0);
}

static void fail_go_on_and_fail(struct world *world)
{
    for (unsigned i = 0; i < 2; i++) {
        fs_faulty_arm(&world->faulty, (struct fs_fault){.call = FS_CALL_WRITE,
                                                        .errnum = ENOSPC,
                                                        .for_ever = true,
                                                        .half = true,
                                                        .path_contains = "metrics"});
        await_made(world, atomic_load(&world->texts) + 5);
        fs_faulty_disarm(&world->faulty);
        (void)await(world, atomic_load(&world->texts) + 1);
    }
    metrics_file_stop(world->file);
}

/* A disk that is full for a while is told once each time, and the file goes on when it can. */
static void failures_are_told_once(void **state)
{
    static struct world world;
    (void)state;
    begin(&world, NS_PER_MS, 3);
    (void)await(&world, 1);
    listen(&world, fail_go_on_and_fail);
    const char *said = (const char *)world.found.data;
    assert_int_equal(count(said, "warn metrics \"cannot be written\" error="), 2);
    assert_int_equal(count(said, "\n"), 2);
    assert_int_equal(count(said, "metrics.new"), 2);
    assert_int_equal(read_number(&world), atomic_load(&world.texts));
    assert_false(is_left(&world));
    end(&world);
}

static void be_too_long(struct world *world)
{
    await_made(world, atomic_load(&world->texts) + 3);
    metrics_file_stop(world->file);
}

/* A text that finds no memory leaves the file as it was. */
static void a_text_without_room_is_not_written(void **state)
{
    static struct world world;
    struct metrics_file_options options;
    (void)state;
    begin(&world, 3600 * NS_PER_S, 3);
    metrics_file_stop(world.file);
    options = (struct metrics_file_options){.alloc = alloc_default(),
                                            .fs = &world.faulty.fs,
                                            .dir = world.dir.path,
                                            .pause_ns = NS_PER_MS,
                                            .write = write_text,
                                            .context = &world};
    world.lines = STORAGE_METRICS_BYTES_MAX / strlen("text 1\n") + 1;
    world.file = metrics_file_start(&options);
    assert_non_null(world.file);
    listen(&world, be_too_long);
    assert_int_equal(count((const char *)world.found.data, "no memory for the text"), 1);
    world.lines = 3;
    assert_int_equal(read_number(&world), 1);
    end(&world);
}

/* The next start takes neither it nor what a crash has left of it for the node's state: the
 * directory is as one that holds nothing. */
static void it_is_no_state(void **state)
{
    static struct world world;
    struct error err = ERROR_INIT;
    struct file *lock = NULL;
    char wal[PATH_BYTES_MAX];
    (void)state;
    begin(&world, 3600 * NS_PER_S, 3);
    metrics_file_stop(world.file);
    assert_ok(fs_replace_file_unsynced(fs_posix(), temp_dir_path(&world.dir, "metrics.new"),
                                       slice_of_string("text"), &err),
              &err);
    assert_ok(path_join(wal, world.dir.path, "wal", &err), &err);
    assert_ok(data_dir_open(fs_posix(), world.dir.path, "c", "n1", &lock, &err), &err);
    assert_ok(data_dir_check_log(fs_posix(), world.dir.path, wal, &err), &err);
    file_close(lock);
    assert_int_equal(read_number(&world), 1);
    end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_see_whole_texts),
        cmocka_unit_test(a_stop_writes_it),
        cmocka_unit_test(failures_are_told_once),
        cmocka_unit_test(a_text_without_room_is_not_written),
        cmocka_unit_test(it_is_no_state),
    };
    log_set_level(LOG_WARN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
