/* SPDX-License-Identifier: Apache-2.0
 *
 * Appends against nodes that refuse, lose answers and send elsewhere: each is
 * applied exactly once, or its caller is told that nobody knows.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "base/clock.h"
#include "base/limits.h"
#include "client/estreat.h"
#include "fake_log.h"
#include "testlib/test.h"

static struct estreat_client *open_client(const char *endpoints, uint32_t timeout_ms)
{
    const struct estreat_client_options options = {.timeout_ms = timeout_ms};
    struct estreat_client *client;
    struct estreat_error error;
    assert_int_equal(estreat_open(endpoints, &options, &client, &error), ESTREAT_OK);
    return client;
}

static struct estreat_new_event event_of(const char *key, const char *payload)
{
    return (struct estreat_new_event){.key = estreat_text(key), .payload = estreat_text(payload)};
}

/* The plain case: positions, sizes, versions, and a second request's number. */
static void test_plain(void **state)
{
    struct fake_log log;
    struct fake_node node;
    struct estreat_appended at;
    struct estreat_error error;
    (void)state;
    fake_log_init(&log, 1);
    fake_node_open(&node, &log);
    struct estreat_client *client = open_client(node.endpoint, 0);
    const struct estreat_new_event events[] = {event_of("a", "1"), event_of("b", "2")};
    assert_int_equal(estreat_append(client, events, 2, NULL, &at, &error), ESTREAT_OK);
    assert_int_equal(at.position, 0);
    assert_int_equal(at.size, 2);
    assert_int_equal(at.events, 2);
    assert_true(at.version_known);
    assert_int_equal(estreat_append(client, events, 1, NULL, &at, &error), ESTREAT_OK);
    assert_int_equal(at.position, 2);
    assert_string_equal(log.events[1].payload, "2");
    assert_string_equal(log.complaint, "");
    assert_int_equal(log.low, 2);
    estreat_close(client);
    fake_node_close(&node);
    fake_log_release(&log);
}

/* A node that does not lead names the leader, which need not be among the endpoints. */
static void test_redirect(void **state)
{
    struct fake_log log;
    struct fake_node follower;
    struct fake_node leader;
    struct estreat_appended at;
    struct estreat_error error;
    (void)state;
    fake_log_init(&log, 1);
    fake_node_open(&follower, &log);
    fake_node_open(&leader, &log);
    memcpy(follower.leader, leader.endpoint, sizeof follower.leader);
    struct estreat_client *client = open_client(follower.endpoint, 0);
    const struct estreat_new_event event = event_of("a", "1");
    for (int i = 0; i < 10; i++) {
        assert_int_equal(estreat_append(client, &event, 1, NULL, &at, &error), ESTREAT_OK);
    }
    assert_int_equal(log.size, 10);
    assert_int_equal(atomic_load(&follower.calls), 1);
    assert_int_equal(atomic_load(&leader.calls), 10);
    estreat_close(client);
    fake_node_close(&leader);
    fake_node_close(&follower);
    fake_log_release(&log);
}

/* Two nodes that name each other do not make a busy loop, and the call ends in time. */
static void test_redirect_loop(void **state)
{
    struct fake_log log;
    struct fake_node a;
    struct fake_node b;
    struct estreat_appended at;
    struct estreat_error error;
    (void)state;
    fake_log_init(&log, 1);
    fake_node_open(&a, &log);
    fake_node_open(&b, &log);
    memcpy(a.leader, b.endpoint, sizeof a.leader);
    memcpy(b.leader, a.endpoint, sizeof b.leader);
    struct estreat_client *client = open_client(a.endpoint, 500);
    const struct estreat_new_event event = event_of("a", "1");
    uint64_t begin_ns = clock_monotonic_ns(clock_system());
    (void)estreat_append(client, &event, 1, NULL, &at, &error);
    assert_true(error.code == ESTREAT_UNAVAILABLE || error.code == ESTREAT_DEADLINE_EXCEEDED);
    assert_true(clock_monotonic_ns(clock_system()) - begin_ns < 2 * NS_PER_S);
    assert_true(atomic_load(&a.calls) + atomic_load(&b.calls) < 100);
    estreat_close(client);
    fake_node_close(&b);
    fake_node_close(&a);
    fake_log_release(&log);
}

/* An endpoint where nobody listens is passed over. */
static void test_dead_endpoint(void **state)
{
    struct fake_log log;
    struct fake_node node;
    struct estreat_appended at;
    struct estreat_error error;
    char endpoints[64];
    (void)state;
    fake_log_init(&log, 1);
    fake_node_open(&node, &log);
    (void)snprintf(endpoints, sizeof endpoints, "127.0.0.1:1, 127.0.0.1:2 ,%s", node.endpoint);
    for (int i = 0; i < 4; i++) {
        struct estreat_client *client = open_client(endpoints, 0);
        const struct estreat_new_event event = event_of("a", "1");
        assert_int_equal(estreat_append(client, &event, 1, NULL, &at, &error), ESTREAT_OK);
        estreat_close(client);
        log.client_known = false;
        memset(log.applied, 0, FAKE_SEQUENCES_MAX * sizeof log.applied[0]);
    }
    fake_node_close(&node);
    fake_log_release(&log);
}

/* Attempts that were not made, or not taken, do not make the next one a repeat: a repeat may be
 * refused as of unknown outcome when the cluster has forgotten its time. One whose answer was lost
 * does. */
static void test_what_is_a_repeat(void **state)
{
    struct fake_log log;
    struct fake_node follower;
    struct fake_node leader;
    struct estreat_appended at;
    struct estreat_error error;
    char endpoints[64];
    (void)state;
    fake_log_init(&log, 1);
    fake_node_open(&follower, &log);
    fake_node_open(&leader, &log);
    memcpy(follower.leader, leader.endpoint, sizeof follower.leader);
    const struct estreat_new_event event = event_of("a", "1");
    /* Nobody listens at the first; the second names the leader; the leader is busy for a while. */
    (void)snprintf(endpoints, sizeof endpoints, "127.0.0.1:1,%s", follower.endpoint);
    log.refuse_percent = 50;
    log.pushback_ms = 1;
    for (uint64_t i = 0; i < 8; i++) {
        struct estreat_client *client = open_client(endpoints, 5000);
        log.client_known = false;
        log.low = 0;
        memset(log.applied, 0, FAKE_SEQUENCES_MAX * sizeof log.applied[0]);
        assert_int_equal(estreat_append(client, &event, 1, NULL, &at, &error), ESTREAT_OK);
        estreat_close(client);
    }
    assert_true(log.appends > 8);
    assert_int_equal(log.firsts, log.appends);
    struct estreat_client *client = open_client(endpoints, 5000);
    log.client_known = false;
    log.low = 0;
    memset(log.applied, 0, FAKE_SEQUENCES_MAX * sizeof log.applied[0]);
    log.refuse_percent = 0;
    log.lose_answers_percent = 100;
    log.appends = 0;
    log.firsts = 0;
    assert_int_equal(estreat_append(client, &event, 1, NULL, &at, &error), ESTREAT_OK);
    assert_int_equal(log.appends, 2);
    assert_int_equal(log.firsts, 1);
    assert_string_equal(log.complaint, "");
    estreat_close(client);
    fake_node_close(&leader);
    fake_node_close(&follower);
    fake_log_release(&log);
}

static void *close_soon(void *context)
{
    const struct timespec pause = {.tv_nsec = 300 * 1000000L};
    (void)nanosleep(&pause, NULL);
    estreat_close(context);
    return NULL;
}

/* A node that has no room for a connection is asked again until it has, or the time is over. */
static void test_too_many_connections(void **state)
{
    struct fake_log log;
    struct fake_node node;
    struct estreat_appended at;
    struct estreat_error error;
    pthread_t thread;
    (void)state;
    fake_log_init(&log, 1);
    fake_node_open_with(&node, &log, (struct rpc_server_options){.connections_max = 1});
    struct estreat_client *first = open_client(node.endpoint, 0);
    const struct estreat_new_event event = event_of("a", "1");
    assert_int_equal(estreat_append(first, &event, 1, NULL, &at, &error), ESTREAT_OK);
    memset(log.applied, 0, FAKE_SEQUENCES_MAX * sizeof log.applied[0]);
    log.client_known = false;
    log.low = 0;
    struct estreat_client *second = open_client(node.endpoint, 5000);
    const struct estreat_append_options brief = {.timeout_ms = 200};
    uint64_t begin_ns = clock_monotonic_ns(clock_system());
    assert_int_not_equal(estreat_append(second, &event, 1, &brief, &at, &error), ESTREAT_OK);
    assert_true(clock_monotonic_ns(clock_system()) - begin_ns > 50 * NS_PER_MS);
    struct estreat_got *got = NULL;
    const struct estreat_get_options brief_get = {.timeout_ms = 200};
    assert_int_not_equal(estreat_get(second, estreat_text("a"), &brief_get, &got, &error),
                         ESTREAT_OK);
    assert_non_null(strstr(error.text, "too many connections"));
    assert_int_equal(pthread_create(&thread, NULL, close_soon, first), 0);
    assert_int_equal(estreat_append(second, &event, 1, NULL, &at, &error), ESTREAT_OK);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(log.size, 2);
    assert_int_equal(log.firsts, log.appends);
    estreat_close(second);
    fake_node_close(&node);
    fake_log_release(&log);
}

/* An append whose answer was lost is not repeated at a node of another cluster, where it would be
 * new. Whichever node comes first decides which cluster the client talks to. */
static void test_two_clusters(void **state)
{
    struct fake_log logs[2];
    struct fake_node nodes[2];
    struct estreat_appended at;
    struct estreat_error error;
    char endpoints[80];
    (void)state;
    for (int i = 0; i < 2; i++) {
        fake_log_init(&logs[i], 1);
        fake_node_open_with(&nodes[i], &logs[i],
                            (struct rpc_server_options){.cluster_id = i == 0 ? "ours" : "theirs"});
    }
    (void)snprintf(endpoints, sizeof endpoints, "%s,%s", nodes[0].endpoint, nodes[1].endpoint);
    struct estreat_client *client = open_client(endpoints, 2000);
    const struct estreat_new_event event = event_of("a", "1");
    assert_int_equal(estreat_append(client, &event, 1, NULL, &at, &error), ESTREAT_OK);
    int mine = logs[0].size == 1 ? 0 : 1;
    logs[mine].lose_answers_percent = 100;
    assert_int_equal(estreat_append(client, &event, 1, NULL, &at, &error),
                     ESTREAT_FAILED_PRECONDITION);
    assert_int_equal(logs[mine].size, 2);
    assert_int_equal(logs[1 - mine].size, 0);
    assert_int_equal(atomic_load(&nodes[1 - mine].calls), 0);
    assert_non_null(strstr(error.text, "'ours'"));
    assert_non_null(strstr(error.text, "'theirs'"));
    assert_non_null(strstr(error.text, nodes[1 - mine].endpoint));
    estreat_close(client);
    for (int i = 0; i < 2; i++) {
        fake_node_close(&nodes[i]);
        fake_log_release(&logs[i]);
    }
}

struct tally {
    struct estreat_client *client;
    _Atomic unsigned ok;
    _Atomic unsigned failed;
    _Atomic unsigned codes[17];
};

static void count_answer(void *context, const struct estreat_appended *appended,
                         const struct estreat_error *error)
{
    struct tally *tally = context;
    (void)atomic_fetch_add(appended != NULL ? &tally->ok : &tally->failed, 1);
    (void)atomic_fetch_add(&tally->codes[error->code], 1);
}

static void append_many(struct tally *tally, unsigned count)
{
    struct estreat_error error;
    for (unsigned i = 0; i < count; i++) {
        char payload[24];
        (void)snprintf(payload, sizeof payload, "%u", i);
        const struct estreat_new_event event = event_of("k", payload);
        while (estreat_append_async(tally->client, &event, 1, NULL, count_answer, tally, &error) ==
               ESTREAT_RESOURCE_EXHAUSTED) {
            estreat_wait(tally->client, ESTREAT_IN_FLIGHT_MAX - 1);
        }
        assert_int_equal(error.code, ESTREAT_OK);
    }
    estreat_wait(tally->client, 0);
}

static void expect_each_once(const struct fake_log *log, unsigned count)
{
    static unsigned seen[FAKE_EVENTS_MAX];
    memset(seen, 0, sizeof seen);
    assert_int_equal(log->size, count);
    for (uint64_t i = 0; i < log->size; i++) {
        seen[strtoul(log->events[i].payload, NULL, 10)]++;
    }
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(seen[i], 1);
    }
}

/* Thousands in flight while answers get lost and requests are refused: each event is there once,
 * and the client keeps its window, its marks and its first attempts. */
static void test_exactly_once(void **state)
{
    enum { APPENDS = 5000 };
    struct fake_log log;
    struct fake_node a;
    struct fake_node b;
    char endpoints[80];
    (void)state;
    fake_log_init(&log, test_seed());
    fake_node_open(&a, &log);
    fake_node_open(&b, &log);
    log.lose_answers_percent = 10;
    log.refuse_percent = 10;
    (void)snprintf(endpoints, sizeof endpoints, "%s,%s", a.endpoint, b.endpoint);
    struct tally tally = {.client = open_client(endpoints, 30000)};
    append_many(&tally, APPENDS);
    assert_string_equal(log.complaint, "");
    assert_int_equal(tally.ok, APPENDS);
    assert_true(log.repeats > 0);
    expect_each_once(&log, APPENDS);
    estreat_close(tally.client);
    fake_node_close(&b);
    fake_node_close(&a);
    fake_log_release(&log);
}

/* A server that is too busy and says when to come again is believed; without that word the answer
 * is final. */
static void test_pushback(void **state)
{
    struct fake_log log;
    struct fake_node node;
    struct estreat_appended at;
    struct estreat_error error;
    (void)state;
    fake_log_init(&log, test_seed());
    fake_node_open(&node, &log);
    log.refuse_percent = 50;
    log.pushback_ms = 1;
    struct tally tally = {.client = open_client(node.endpoint, 30000)};
    append_many(&tally, 200);
    assert_int_equal(tally.ok, 200);
    expect_each_once(&log, 200);
    const struct estreat_new_event event = event_of("k", "1");
    log.refuse_percent = 100;
    log.pushback_ms = 10000;
    assert_int_equal(estreat_append(tally.client, &event, 1,
                                    &(struct estreat_append_options){.timeout_ms = 100}, &at,
                                    &error),
                     ESTREAT_RESOURCE_EXHAUSTED);
    estreat_close(tally.client);
    fake_node_close(&node);
    fake_log_release(&log);
}

/* What a busy or full server refuses is not applied, unless an earlier attempt was whose answer got
 * lost: then the answer is that nobody knows. */
static void test_refused_after_lost_answer(void **state)
{
    enum { APPENDS = 200 };
    struct fake_log log;
    struct fake_node node;
    struct estreat_appended at;
    struct estreat_error error;
    unsigned refused = 0;
    unsigned unknown = 0;
    (void)state;
    fake_log_init(&log, test_seed());
    fake_node_open(&node, &log);
    log.lose_answers_percent = 50;
    log.refuse_percent = 50;
    log.pushback_ms = 60000; /* no time for another attempt */
    struct estreat_client *client = open_client(node.endpoint, 5000);
    for (unsigned i = 0; i < APPENDS; i++) {
        const struct estreat_new_event event = event_of("k", "1");
        uint64_t before = log.size;
        enum estreat_code code = estreat_append(client, &event, 1, NULL, &at, &error);
        if (code == ESTREAT_RESOURCE_EXHAUSTED) {
            assert_int_equal(log.size, before);
            refused++;
        } else if (code != ESTREAT_OK) {
            assert_int_equal(code, ESTREAT_UNAVAILABLE);
            assert_int_equal(log.size, before + 1);
            assert_non_null(strstr(error.text, "outcome unknown"));
            unknown++;
        }
    }
    assert_true(refused > 0);
    assert_true(unknown > 0);
    estreat_close(client);
    fake_node_close(&node);
    fake_log_release(&log);
}

/* The window is as wide as the header says; past it the answer is no, at once. */
static void test_window(void **state)
{
    struct fake_log log;
    struct fake_node node;
    struct estreat_error error;
    const struct estreat_new_event event = event_of("k", "1");
    (void)state;
    fake_log_init(&log, 1);
    fake_node_open(&node, &log);
    node.down = true;
    struct tally tally = {.client = open_client(node.endpoint, 700)};
    for (unsigned i = 0; i < ESTREAT_IN_FLIGHT_MAX; i++) {
        assert_int_equal(
            estreat_append_async(tally.client, &event, 1, NULL, count_answer, &tally, &error),
            ESTREAT_OK);
    }
    assert_int_equal(
        estreat_append_async(tally.client, &event, 1, NULL, count_answer, &tally, &error),
        ESTREAT_RESOURCE_EXHAUSTED);
    estreat_wait(tally.client, 0);
    assert_int_equal(tally.failed, ESTREAT_IN_FLIGHT_MAX);
    /* On a busy machine the last attempt may be cut by the end of the time. */
    assert_int_equal(tally.codes[ESTREAT_UNAVAILABLE] + tally.codes[ESTREAT_DEADLINE_EXCEEDED],
                     ESTREAT_IN_FLIGHT_MAX);
    estreat_close(tally.client);
    fake_node_close(&node);
    fake_log_release(&log);
}

/* Closing ends what is under way, callbacks included. */
static void test_close_cancels(void **state)
{
    struct fake_log log;
    struct fake_node node;
    struct estreat_error error;
    const struct estreat_new_event event = event_of("k", "1");
    (void)state;
    fake_log_init(&log, 1);
    fake_node_open(&node, &log);
    node.down = true;
    for (int round = 0; round < 5; round++) {
        struct tally tally = {.client = open_client(node.endpoint, 60000)};
        for (int i = 0; i < 100; i++) {
            assert_int_equal(
                estreat_append_async(tally.client, &event, 1, NULL, count_answer, &tally, &error),
                ESTREAT_OK);
        }
        estreat_close(tally.client);
        assert_int_equal(tally.failed, 100);
        assert_int_equal(tally.codes[ESTREAT_CANCELLED] + tally.codes[ESTREAT_UNAVAILABLE], 100);
    }
    fake_node_close(&node);
    fake_log_release(&log);
}

/* What breaks a limit is refused before anything is sent, and costs no number. */
static void test_refused_at_once(void **state)
{
    struct fake_log log;
    struct fake_node node;
    struct estreat_appended at = {.position = 77};
    struct estreat_error error;
    (void)state;
    fake_log_init(&log, 1);
    fake_node_open(&node, &log);
    struct estreat_client *client = open_client(node.endpoint, 0);
    struct estreat_new_event event = event_of("", "1");
    assert_int_equal(estreat_append(client, &event, 1, NULL, &at, &error),
                     ESTREAT_INVALID_ARGUMENT);
    assert_int_equal(at.position, 77);
    event = event_of("k", "1");
    assert_int_equal(estreat_append(client, &event, 1, NULL, &at, &error), ESTREAT_OK);
    assert_int_equal(log.applied[1], 1);
    estreat_close(client);
    fake_node_close(&node);
    fake_log_release(&log);
}

/* A chain of appends from callbacks, as a busy application makes them. */
struct chain {
    struct estreat_client *client;
    unsigned left;
};

static void next_link(void *context, const struct estreat_appended *appended,
                      const struct estreat_error *error)
{
    struct chain *chain = context;
    const struct estreat_new_event event = event_of("k", "1");
    assert_int_equal(error->code, ESTREAT_OK);
    assert_non_null(appended);
    if (--chain->left > 0) {
        assert_int_equal(
            estreat_append_async(chain->client, &event, 1, NULL, next_link, chain, NULL),
            ESTREAT_OK);
    }
}

static void test_append_from_callback(void **state)
{
    struct fake_log log;
    struct fake_node node;
    const struct estreat_new_event event = event_of("k", "1");
    (void)state;
    fake_log_init(&log, 1);
    fake_node_open(&node, &log);
    struct chain chain = {.client = open_client(node.endpoint, 0), .left = 500};
    assert_int_equal(estreat_append_async(chain.client, &event, 1, NULL, next_link, &chain, NULL),
                     ESTREAT_OK);
    estreat_wait(chain.client, 0);
    assert_int_equal(chain.left, 0);
    assert_int_equal(log.size, 500);
    estreat_close(chain.client);
    fake_node_close(&node);
    fake_log_release(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_redirect),
        cmocka_unit_test(test_redirect_loop),
        cmocka_unit_test(test_dead_endpoint),
        cmocka_unit_test(test_two_clusters),
        cmocka_unit_test(test_too_many_connections),
        cmocka_unit_test(test_what_is_a_repeat),
        cmocka_unit_test(test_exactly_once),
        cmocka_unit_test(test_pushback),
        cmocka_unit_test(test_refused_after_lost_answer),
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_close_cancels),
        cmocka_unit_test(test_refused_at_once),
        cmocka_unit_test(test_append_from_callback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
