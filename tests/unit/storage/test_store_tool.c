/* SPDX-License-Identifier: Apache-2.0
 *
 * The program estreat-store, which stands beside this test's folder in the build: its verbs,
 * exit codes, and what it says to wrong input. What it finds is test_inspect.c's matter.
 */
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store_fixture.h"
#include "testlib/flip.h"
#include "testlib/temp_dir.h"

extern char **environ;

enum { SOUND = 0, DAMAGE = 1, OTHER = 2, USAGE = 64 };

struct fixture {
    struct store_fixture store;
    struct temp_dir dir;
    char program[PATH_BYTES_MAX];
    char data[PATH_BYTES_MAX]; /* the store */
    struct buf out;            /* of the last run: stdout and stderr */
};

/* <build>/tests/unit_... finds <build>/bin/estreat-store. */
static void find_program(char out[PATH_BYTES_MAX])
{
    char self[PATH_BYTES_MAX] = {0};
    struct error err = ERROR_INIT;
    assert_true(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    for (int i = 0; i < 2; i++) {
        char *slash = strrchr(self, '/');
        assert_non_null(slash);
        *slash = '\0';
    }
    assert_ok(path_join(out, self, "bin/estreat-store", &err), &err);
}

/* Runs it with arguments up to a NULL; `out` NULL: into the fixture's buf. Returns the exit code.
 */
static int run_all(struct fixture *fx, const char *out, const char *const given[])
{
    const char *arguments[8] = {fx->program};
    for (size_t i = 0; given[i] != NULL; i++) {
        assert_true(i + 2 < sizeof arguments / sizeof arguments[0]);
        arguments[i + 1] = given[i];
    }
    const char *path = out == NULL ? temp_dir_path(&fx->dir, "out") : out;
    posix_spawn_file_actions_t actions;
    pid_t pid = 0;
    int status = 0;
    assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
    const int flags = O_WRONLY | O_CREAT | (out == NULL ? O_TRUNC : 0);
    assert_int_equal(posix_spawn_file_actions_addopen(&actions, 1, path, flags, 0600), 0);
    assert_int_equal(posix_spawn_file_actions_adddup2(&actions, 1, 2), 0);
    assert_int_equal(
        posix_spawn(&pid, fx->program, &actions, NULL, (char *const *)arguments, environ), 0);
    (void)posix_spawn_file_actions_destroy(&actions);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (out == NULL) {
        struct error err = ERROR_INIT;
        buf_clear(&fx->out);
        assert_ok(fs_read_file(fs_posix(), path, &fx->out, &err), &err);
        buf_put_u8(&fx->out, '\0');
    }
    return WEXITSTATUS(status);
}

static int run_to(struct fixture *fx, const char *out, const char *first, const char *second,
                  const char *third)
{
    const char *const given[] = {first, second, third, NULL};
    return run_all(fx, out, given);
}

static void expect(struct fixture *fx, const char *verb, const char *path, int code,
                   const char *text)
{
    int got = run_to(fx, NULL, verb, path, NULL);
    const char *said = (const char *)fx->out.data;
    if (got != code || strstr(said, text) == NULL) {
        print_message("%s %s: exit %d:\n%s", verb, path == NULL ? "" : path, got, said);
    }
    assert_int_equal(got, code);
    assert_non_null(strstr(said, text));
}

/* The fixture's store, in the temporary directory. */
static void write_store(struct fixture *fx)
{
    struct store_fixture on_disk = {.fs = fs_posix()};
    static const char *const dirs[] = {"data", STORE_TABLES, STORE_LOG, STORE_COPY};
    for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++) {
        assert_ok(fs_make_dir(fs_posix(), temp_dir_path(&fx->dir, dirs[i]), &on_disk.err),
                  &on_disk.err);
    }
    for (size_t i = 0; i < fx->store.count; i++) {
        store_write_file(&on_disk, temp_dir_path(&fx->dir, fx->store.files[i].path),
                         buf_slice(&fx->store.files[i].bytes));
    }
}

static int setup(void **state)
{
    static struct fixture fixture;
    store_init(&fixture.store, 5, 60);
    temp_dir_init(&fixture.dir);
    find_program(fixture.program);
    buf_init(&fixture.out, alloc_default(), 64 * MIB);
    write_store(&fixture);
    (void)snprintf(fixture.data, sizeof fixture.data, "%s", temp_dir_path(&fixture.dir, "data"));
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fx = *state;
    buf_release(&fx->out);
    temp_dir_release(&fx->dir);
    store_release(&fx->store);
    return 0;
}

/* Flips a byte of a file below the temporary directory. */
static void spoil(struct fixture *fx, const char *dir, const char *part, size_t at)
{
    struct store_fixture on_disk = {.fs = fs_posix()};
    const struct store_file_bytes *file = store_find(&fx->store, dir, part);
    struct store_file_bytes real = *file;
    (void)snprintf(real.path, sizeof real.path, "%s", temp_dir_path(&fx->dir, file->path));
    store_flip(&on_disk, &real, at * 8);
}

/* All verbs, on a store that is sound and then is not. */
static void verbs_say_what_is(void **state)
{
    struct fixture *fx = *state;
    expect(fx, "stats", fx->data, SOUND, "keyspace name=events ");
    expect(fx, "dump", fx->data, SOUND, "\nentry file=0000000000000001.wal offset=");
    expect(fx, "verify", fx->data, SOUND, "\nsound\n");
    expect(fx, "repair", fx->data, SOUND, "\nsound\n");
    expect(fx, "verify", fx->data, SOUND, "\nsound\n"); /* with the lock's file there */
    expect(fx, "verify", temp_dir_path(&fx->dir, STORE_COPY), SOUND, "\nsound\n");
    spoil(fx, STORE_TABLES, ".sst", 10);
    expect(fx, "verify", fx->data, DAMAGE, "damage: table ");
    assert_null(strstr((const char *)fx->out.data, "sound"));
    expect(fx, "dump", fx->data, DAMAGE, "damage: table ");
    expect(fx, "repair", fx->data, DAMAGE, "take a snapshot from another member");
    assert_null(strstr((const char *)fx->out.data, "sound"));
    spoil(fx, STORE_TABLES, "MANIFEST", 40);
    expect(fx, "stats", fx->data, DAMAGE, "at 16: damaged record");
}

/* dump takes one file as well. */
static void dump_takes_a_file(void **state)
{
    struct fixture *fx = *state;
    const char *path = store_find(&fx->store, STORE_TABLES, ".sst")->path;
    expect(fx, "dump", temp_dir_path(&fx->dir, path), SOUND, "\nput file=");
    expect(fx, "dump", temp_dir_path(&fx->dir, STORE_TABLES "/CURRENT"), USAGE, "neither a table");
    expect(fx, "dump", temp_dir_path(&fx->dir, "absent.sst"), USAGE, "no such file");
}

static void wrong_use_is_64(void **state)
{
    struct fixture *fx = *state;
    expect(fx, "--help", NULL, SOUND, "usage: estreat-store stats DIR");
    expect(fx, "--version", NULL, SOUND, "estreat-store ");
    expect(fx, "--nonsense", fx->data, USAGE, "nonsense");
    expect(fx, "verify", NULL, USAGE, "usage: ");
    expect(fx, "destroy", fx->data, USAGE, "no verb destroy");
    assert_int_equal(run_to(fx, NULL, "verify", fx->data, fx->data), USAGE);
    static const char *const every[] = {"stats", "dump", "verify", "repair"};
    assert_ok(fs_make_dir(fs_posix(), temp_dir_path(&fx->dir, "empty"), NULL), NULL);
    for (size_t i = 0; i < 4; i++) {
        expect(fx, every[i], temp_dir_path(&fx->dir, "absent"), USAGE, "estreat-store: ");
        expect(fx, every[i], temp_dir_path(&fx->dir, "empty"), USAGE, "neither tables");
        expect(fx, every[i], "", USAGE, "estreat-store: ");
    }
}

static void expect_all(struct fixture *fx, int code, const char *text, const char *const given[])
{
    int got = run_all(fx, NULL, given);
    const char *said = (const char *)fx->out.data;
    if (got != code || strstr(said, text) == NULL) {
        print_message("%s: exit %d:\n%s", given[0], got, said);
    }
    assert_int_equal(got, code);
    assert_non_null(strstr(said, text));
}

#define EXPECT(fx, code, text, ...)                                                                \
    expect_all(fx, code, text, (const char *const[]){__VA_ARGS__, NULL})

/* A store is backed up, the backups are listed and verified, and one is a store again. */
static void backups_are_made_and_restored(void **state)
{
    struct fixture *fx = *state;
    char backups[PATH_BYTES_MAX];
    char again[PATH_BYTES_MAX];
    (void)snprintf(backups, sizeof backups, "%s", temp_dir_path(&fx->dir, "backups"));
    (void)snprintf(again, sizeof again, "%s", temp_dir_path(&fx->dir, "again"));
    EXPECT(fx, USAGE, "No such file", "backups", backups);
    EXPECT(fx, USAGE, "estreat-store: ", "restore", backups, again);
    EXPECT(fx, SOUND, "backup number=1 ", "backup", fx->data, backups);
    EXPECT(fx, SOUND, " copied=0 bytes_copied=0 removed=0\n", "backup", fx->data, backups);
    EXPECT(fx, SOUND, "number=3 ", "backup", "--full", "--link", fx->data, backups);
    EXPECT(fx, SOUND, " removed=2\n", "backup", fx->data, backups, "--keep", "2");
    EXPECT(fx, SOUND, "backup number=3 made=2", "backups", backups);
    EXPECT(fx, SOUND, " kind=increment tables=", "backups", backups);
    EXPECT(fx, SOUND, ".sst blake2b=", "dump", backups);
    EXPECT(fx, SOUND, ".link\n", "dump", backups);
    EXPECT(fx, SOUND, "\nsound\n", "verify", backups);
    EXPECT(fx, SOUND, "restored number=4 ", "restore", backups, again);
    EXPECT(fx, SOUND, "\nsound\n", "verify", again);
    EXPECT(fx, OTHER, "not empty", "restore", backups, again);
    EXPECT(fx, USAGE, "BACKUP-000001", "restore", backups, "--number", "1",
           temp_dir_path(&fx->dir, "third"));
    EXPECT(fx, SOUND, "restored number=3 ", "restore", backups, "--number", "3",
           temp_dir_path(&fx->dir, "third"));
    EXPECT(fx, SOUND, "\nsound\n", "verify", temp_dir_path(&fx->dir, "third"));
    flip_bit(fs_posix(), temp_dir_path(&fx->dir, "backups/BACKUP-000003"), 30);
    EXPECT(fx, DAMAGE, "damage: ", "verify", backups);
    EXPECT(fx, DAMAGE, "BACKUP-000003: at ", "backups", backups);
    EXPECT(fx, DAMAGE, "BACKUP-000003: at ", "backup", fx->data, backups);
    EXPECT(fx, DAMAGE, "BACKUP-000003: at ", "restore", backups, "--number", "3",
           temp_dir_path(&fx->dir, "fourth"));
    EXPECT(fx, SOUND, "restored number=5 ", "restore", backups, temp_dir_path(&fx->dir, "fourth"));
}

/* Of these verbs as well. */
static void wrong_use_of_backups_is_64(void **state)
{
    struct fixture *fx = *state;
    const char *backups = temp_dir_path(&fx->dir, "backups");
    EXPECT(fx, USAGE, "usage: ", "backup", fx->data);
    EXPECT(fx, USAGE, "usage: ", "backups", fx->data, backups);
    EXPECT(fx, USAGE, "usage: ", "verify", "--keep", "1", fx->data);
    EXPECT(fx, USAGE, "usage: ", "restore", "--full", backups, backups);
    EXPECT(fx, USAGE, "not a number", "backup", "--keep", "0", fx->data, backups);
    EXPECT(fx, USAGE, "not a number", "backup", "--keep", "1x", fx->data, backups);
    EXPECT(fx, USAGE, "not a number", "restore", "--number", "-1", backups, backups);
    EXPECT(fx, USAGE, "estreat-store: ", "backup", temp_dir_path(&fx->dir, "absent"), backups);
    EXPECT(fx, USAGE, "estreat-store: ", "backup", fx->data, "");
    EXPECT(fx, USAGE, "estreat-store: ", "restore", "", backups);
    EXPECT(fx, USAGE, "no backup", "backups", fx->data);
}

/* While somebody holds the lock, verify and repair cannot tell, and change nothing. */
static void a_running_node_is_refused(void **state)
{
    struct fixture *fx = *state;
    struct error err = ERROR_INIT;
    struct file *held = NULL;
    assert_ok(fs_lock(fs_posix(), temp_dir_path(&fx->dir, "data/lock"), &held, &err), &err);
    expect(fx, "verify", fx->data, OTHER, "in use: stop the node first");
    expect(fx, "repair", fx->data, OTHER, "in use: stop the node first");
    EXPECT(fx, OTHER, "in use: stop the node first", "backup", fx->data,
           temp_dir_path(&fx->dir, "backups"));
    expect(fx, "verify", temp_dir_path(&fx->dir, STORE_LOG), OTHER, "in use");
    expect(fx, "repair", temp_dir_path(&fx->dir, STORE_TABLES), OTHER, "in use");
    expect(fx, "stats", fx->data, SOUND, "manifest ");
    expect(fx, "dump", fx->data, SOUND, "group ");
    file_close(held);
    expect(fx, "repair", fx->data, SOUND, "\nsound\n");
}

/* Output that cannot be written is an error, not success. */
static void a_full_disk_is_noticed(void **state)
{
    struct fixture *fx = *state;
    static const char *const every[] = {"stats", "dump", "verify", "repair"};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(run_to(fx, "/dev/full", every[i], fx->data, NULL), OTHER);
    }
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(verbs_say_what_is),
        CASE(dump_takes_a_file),
        CASE(wrong_use_is_64),
        CASE(a_running_node_is_refused),
        CASE(a_full_disk_is_noticed),
        CASE(backups_are_made_and_restored),
        CASE(wrong_use_of_backups_is_64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
