/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "node/config.h"

static const char valid[] = "[node]\nid = n2\ndata = /var/lib/x\ncluster = c\n"
                            "[member.n2]\nclient = 127.0.0.1:1\npeer = 127.0.0.1:2\n"
                            "[member.n1]\nclient = [::1]:3\npeer = host.example:4\n"
                            "[storage]\nmemtable_mib = 7\n[log]\nsalt = off\n";

static enum status load(const char *text, const char *const *overrides, unsigned override_count,
                        struct config *config, struct error *err)
{
    char path[] = "/tmp/estreat-config-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(close(fd), 0);
    enum status status = config_load(path, overrides, override_count, config, err);
    assert_int_equal(unlink(path), 0);
    return status;
}

/* A whole file is read, members sorted by id, and what is not said has its default. */
static void a_file_is_read(void **state)
{
    struct config config;
    struct error err = ERROR_INIT;
    (void)state;
    assert_int_equal(load(valid, NULL, 0, &config, &err), STATUS_OK);
    assert_string_equal(config.node_id, "n2");
    assert_int_equal(config.member_count, 2);
    assert_string_equal(config.members[0].id, "n1");
    assert_string_equal(config.members[0].client, "[::1]:3");
    assert_int_equal(config_self(&config), 1);
    assert_true(config_raft_id(&config, 0) != config_raft_id(&config, 1));
    assert_int_equal(config.memtable_bytes, 7 * MIB);
    assert_false(config.salt);
    assert_int_equal(config.io, IO_POSIX);
    assert_int_equal(config.heartbeat_ms, 100);
    assert_string_equal(config.origin, "c");
    assert_string_equal(config.backup.dir, "");
}

/* What is said of backups, in the units of their policy. */
static void backups_are_configured(void **state)
{
    static const char *const overrides[] = {
        "backup.dir=/backups", "backup.entries=1000", "backup.age_s=3600", "backup.full_every=7",
        "backup.keep=14",      "backup.keep_s=86400", "backup.rate_mib=20"};
    struct config config;
    struct error err = ERROR_INIT;
    (void)state;
    assert_int_equal(load(valid, overrides, 1, &config, &err), STATUS_OK);
    assert_int_equal(config.backup.bytes_per_second, 64 * MIB);
    assert_int_equal(config.backup.policy.age_ns, 0);
    assert_int_equal(load(valid, overrides, 7, &config, &err), STATUS_OK);
    assert_string_equal(config.backup.dir, "/backups");
    assert_int_equal(config.backup.policy.entries, 1000);
    assert_int_equal(config.backup.policy.age_ns, 3600000000000);
    assert_int_equal(config.backup.policy.full_every, 7);
    assert_int_equal(config.backup.policy.keep, 14);
    assert_int_equal(config.backup.policy.keep_ns, 86400000000000);
    assert_int_equal(config.backup.bytes_per_second, 20 * MIB);
}

/* Overrides win over the file; member ids in them may hold dots. */
static void overrides_win(void **state)
{
    static const char *const overrides[] = {"storage.memtable_mib=9", "member.n1.peer=h:5",
                                            "node.cluster=a=b", "storage.io=uring"};
    struct config config;
    struct error err = ERROR_INIT;
    (void)state;
    assert_int_equal(load(valid, overrides, 4, &config, &err), STATUS_OK);
    assert_int_equal(config.memtable_bytes, 9 * MIB);
    assert_string_equal(config.members[0].peer, "h:5");
    assert_string_equal(config.cluster, "a=b");
    assert_int_equal(config.io, IO_URING);
}

/* Each mistake is fatal and the message names its line. */
static void mistakes_are_named(void **state)
{
    static const struct {
        const char *text;
        const char *in_message;
    } cases[] = {
        {"[node]\nid = n1\ncolour = red\n", ":3"},
        {"[node]\nid\n", ":2"},
        {"[nodes]\nid = n1\n", ":2"},
        {"[raft]\nheartbeat_ms = soon\n", ":2"},
        {"[raft]\nheartbeat_ms = -5\n", ":2"},
        {"[storage]\nmemtable_mib = 99999999999999999999\n", ":2"},
        {"[storage]\nio = fast\n", ":2"},
        {"[member.n1]\nclient = nowhere\n", ":2"},
        {"[member.n1]\nclient = host:70000\n", ":2"},
        {"[member.a b]\nclient = host:1\n", ":2"},
        {"[log]\norigin = two words\n", ":2"},
        {"[log]\nsalt = maybe\n", ":2"},
        {"[server]\nlog_level = loud\n", ":2"},
        {"[backup]\nkeep = 0\n", ":2"},
        {"[backup]\nage_s = 99999999999999\n", ":2"},
        {"[backup]\nevery = 3\n", ":2"},
        {"[member.n1]\nclient = h:1\n[node]\nid = n1\n[member.n1]\nclient = h:2\n", ":6"},
        {"[raft]\nheartbeat_ms = 100\nheartbeat_ms = 200\n", "twice"},
        {"", "id is missing"},
        {"[node]\nid = n1\ndata = /x\ncluster = c\n", "member.n1"},
        {"[node]\nid = n1\ndata = /x\ncluster = c\n[member.n1]\nclient = h:1\n", "peer"},
        {"[node]\nid = n1\ndata = /x\ncluster = c\n[member.n1]\nclient = h:1\npeer = h:2\n"
         "[raft]\nelection_ms = 100\n",
         "three times"},
        {"[node]\nid = n1\ndata = /x\ncluster = c\n[member.n1]\nclient = h:1\npeer = h:2\n"
         "[backup]\nkeep = 3\n",
         "[backup] dir is missing"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct config config;
        struct error err = ERROR_INIT;
        assert_int_equal(load(cases[i].text, NULL, 0, &config, &err), STATUS_INVALID_ARGUMENT);
        if (strstr(err.text, cases[i].in_message) == NULL) {
            fail_msg("case %zu: \"%s\" does not say \"%s\"", i, err.text, cases[i].in_message);
        }
    }
}

/* A file that is not there is named. */
static void a_missing_file_is_named(void **state)
{
    struct config config;
    struct error err = ERROR_INIT;
    (void)state;
    assert_int_equal(config_load("/nonexistent/estreat.conf", NULL, 0, &config, &err),
                     STATUS_NOT_FOUND);
    assert_non_null(strstr(err.text, "/nonexistent/estreat.conf"));
}

/* --dev needs no file, and takes overrides like any other. */
static void dev_needs_no_file(void **state)
{
    static const char *const overrides[] = {"member.dev.client=127.0.0.1:9"};
    static const char *const wrong[] = {"storage"};
    struct config config;
    struct error err = ERROR_INIT;
    (void)state;
    assert_int_equal(config_dev("/tmp/x", overrides, 1, &config, &err), STATUS_OK);
    assert_string_equal(config.data, "/tmp/x");
    assert_string_equal(config.members[0].client, "127.0.0.1:9");
    assert_int_equal(config_dev("/tmp/x", wrong, 1, &config, &err), STATUS_INVALID_ARGUMENT);
    assert_int_equal(setenv("XDG_STATE_HOME", "/state", 1), 0);
    assert_int_equal(config_dev(NULL, NULL, 0, &config, &err), STATUS_OK);
    assert_string_equal(config.data, "/state/estreat");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_read),          cmocka_unit_test(backups_are_configured),
        cmocka_unit_test(overrides_win),           cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(a_missing_file_is_named), cmocka_unit_test(dev_needs_no_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
