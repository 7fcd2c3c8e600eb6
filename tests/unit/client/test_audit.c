/* SPDX-License-Identifier: Apache-2.0
 *
 * Audits and status of clusters whose nodes differ, are damaged, lag or are gone.
 */
#include "client/estreat.h"
#include "fake_audit.h"
#include "testlib/test.h"

enum { SIZE = 5000 };

struct fixture {
    struct fake_cluster cluster;
    struct estreat_client *client;
    struct estreat_trust *trust; /* all keys */
};

static int setup(void **state)
{
    static struct fixture fixture;
    const struct estreat_client_options options = {.timeout_ms = 2000};
    char keys[3 * NOTE_VERIFIER_TEXT_BYTES_MAX];
    size_t length = 0;
    fake_cluster_init(&fixture.cluster, 3, SIZE);
    for (unsigned i = 0; i < 3; i++) {
        length += note_verifier_format(&fixture.cluster.nodes[i].signer.verifier, keys + length);
        keys[length++] = '\n';
    }
    /* One endpoint is enough: it names the others. */
    if (estreat_trust_parse(keys, length, &fixture.trust, NULL) != ESTREAT_OK ||
        estreat_open(fixture.cluster.nodes[1].endpoint, &options, &fixture.client, NULL) !=
            ESTREAT_OK) {
        return -1;
    }
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    estreat_close(fixture->client);
    estreat_trust_free(fixture->trust);
    fake_cluster_release(&fixture->cluster);
    return 0;
}

static struct estreat_audit *run(struct fixture *fixture, bool deep, bool with_trust)
{
    const struct estreat_audit_options options = {.deep = deep,
                                                  .trust = with_trust ? fixture->trust : NULL};
    struct estreat_audit *audit;
    struct estreat_error error;
    if (estreat_audit(fixture->client, &options, &audit, &error) != ESTREAT_OK) {
        fail_msg("%s", error.text);
    }
    assert_int_equal(audit->node_count, 3);
    return audit;
}

static const struct estreat_node_audit *row_of(const struct estreat_audit *audit, const char *id)
{
    for (size_t i = 0; i < audit->node_count; i++) {
        if (strcmp(audit->nodes[i].id, id) == 0) {
            return &audit->nodes[i];
        }
    }
    fail_msg("there is no row of %s", id);
    return NULL;
}

static void expect_verdicts(const struct estreat_audit *audit, enum estreat_verdict all,
                            enum estreat_verdict n1, enum estreat_verdict n2,
                            enum estreat_verdict n3)
{
    assert_int_equal(audit->verdict, all);
    assert_int_equal(row_of(audit, "n1")->verdict, n1);
    assert_int_equal(row_of(audit, "n2")->verdict, n2);
    assert_int_equal(row_of(audit, "n3")->verdict, n3);
}

/* Equal nodes are consistent, over all that they hold, and the root is told. */
static void test_consistent(void **state)
{
    struct fixture *fixture = *state;
    for (int deep = 0; deep < 2; deep++) {
        struct estreat_audit *audit = run(fixture, deep == 1, false);
        expect_verdicts(audit, ESTREAT_CONSISTENT, ESTREAT_CONSISTENT, ESTREAT_CONSISTENT,
                        ESTREAT_CONSISTENT);
        assert_int_equal(audit->size, SIZE);
        assert_true(audit->root_known);
        assert_memory_equal(audit->root, audit->nodes[2].root, ESTREAT_HASH_BYTES);
        assert_int_equal(audit->nodes[0].bytes_read, deep == 1 ? 200 : 0);
        estreat_audit_free(audit);
    }
}

/* With signed heads the node that differs is named, with each position. */
static void test_divergent_named(void **state)
{
    struct fixture *fixture = *state;
    fake_alter(&fixture->cluster.nodes[2], 1234);
    fake_alter(&fixture->cluster.nodes[2], 1235);
    fake_alter(&fixture->cluster.nodes[2], SIZE - 1);
    struct estreat_audit *audit = run(fixture, false, true);
    expect_verdicts(audit, ESTREAT_DIVERGENT, ESTREAT_CONSISTENT, ESTREAT_CONSISTENT,
                    ESTREAT_DIVERGENT);
    const struct estreat_node_audit *row = row_of(audit, "n3");
    assert_int_equal(row->range_count, 2);
    assert_int_equal(row->ranges[0].begin, 1234);
    assert_int_equal(row->ranges[0].end, 1236);
    assert_int_equal(row->ranges[1].begin, SIZE - 1);
    assert_int_equal(row->ranges[1].end, SIZE);
    assert_non_null(strstr(row->cause, "1234"));
    assert_true(audit->root_known);
    assert_memory_equal(audit->root, row_of(audit, "n1")->root, ESTREAT_HASH_BYTES);
    estreat_audit_free(audit);
}

/* Without trusted keys two against one proves nothing: all are told to differ, and where. */
static void test_divergent_unnamed(void **state)
{
    struct fixture *fixture = *state;
    fake_alter(&fixture->cluster.nodes[0], 17);
    struct estreat_audit *audit = run(fixture, false, false);
    expect_verdicts(audit, ESTREAT_DIVERGENT, ESTREAT_DIVERGENT, ESTREAT_DIVERGENT,
                    ESTREAT_DIVERGENT);
    assert_false(audit->root_known);
    assert_non_null(strstr(audit->nodes[0].cause, "position 17"));
    assert_non_null(strstr(audit->nodes[0].cause, "n1"));
    estreat_audit_free(audit);
}

/* A log that was rewritten from some position on ends in one range, not in thousands. */
static void test_ranges_are_bounded(void **state)
{
    struct fixture *fixture = *state;
    for (uint64_t i = 100; i < 1000; i += 2) {
        fake_alter(&fixture->cluster.nodes[2], i);
    }
    struct estreat_audit *audit = run(fixture, false, true);
    const struct estreat_node_audit *row = row_of(audit, "n3");
    assert_int_equal(row->range_count, 64);
    assert_int_equal(row->ranges[0].begin, 100);
    assert_int_equal(row->ranges[63].end, 999);
    estreat_audit_free(audit);
}

/* Somebody who does not answer is never consistent, and hides no divergence. */
static void test_silent_node(void **state)
{
    struct fixture *fixture = *state;
    fake_stop(&fixture->cluster.nodes[2]);
    struct estreat_audit *audit = run(fixture, false, true);
    expect_verdicts(audit, ESTREAT_INCONCLUSIVE, ESTREAT_CONSISTENT, ESTREAT_CONSISTENT,
                    ESTREAT_INCONCLUSIVE);
    assert_string_not_equal(row_of(audit, "n3")->cause, "");
    estreat_audit_free(audit);
    fixture->cluster.nodes[0].deep = FAKE_DEEP_DAMAGED;
    audit = run(fixture, true, true);
    expect_verdicts(audit, ESTREAT_DIVERGENT, ESTREAT_DIVERGENT, ESTREAT_CONSISTENT,
                    ESTREAT_INCONCLUSIVE);
    estreat_audit_free(audit);
}

/* What a node finds on its own disk counts, although its tree agrees with the others'. */
static void test_deep_damage(void **state)
{
    struct fixture *fixture = *state;
    fixture->cluster.nodes[1].deep = FAKE_DEEP_DAMAGED;
    fixture->cluster.nodes[1].damage_begin = 70;
    struct estreat_audit *audit = run(fixture, false, false);
    assert_int_equal(audit->verdict, ESTREAT_CONSISTENT);
    estreat_audit_free(audit);
    audit = run(fixture, true, false);
    expect_verdicts(audit, ESTREAT_DIVERGENT, ESTREAT_CONSISTENT, ESTREAT_DIVERGENT,
                    ESTREAT_CONSISTENT);
    const struct estreat_node_audit *row = row_of(audit, "n2");
    assert_int_equal(row->range_count, 1);
    assert_int_equal(row->ranges[0].begin, 70);
    assert_int_equal(row->ranges[0].end, 72);
    assert_string_equal(row->cause, "payload hash mismatch");
    estreat_audit_free(audit);
}

/* A node that claims to be well is not believed: its recomputed root must be the root. And one
 * that breaks off has said nothing. */
static void test_deep_root(void **state)
{
    struct fixture *fixture = *state;
    fixture->cluster.nodes[0].deep = FAKE_DEEP_OTHER_ROOT;
    struct estreat_audit *audit = run(fixture, true, false);
    expect_verdicts(audit, ESTREAT_DIVERGENT, ESTREAT_DIVERGENT, ESTREAT_CONSISTENT,
                    ESTREAT_CONSISTENT);
    estreat_audit_free(audit);
    fixture->cluster.nodes[0].deep = FAKE_DEEP_BREAKS_OFF;
    audit = run(fixture, true, false);
    expect_verdicts(audit, ESTREAT_INCONCLUSIVE, ESTREAT_INCONCLUSIVE, ESTREAT_CONSISTENT,
                    ESTREAT_CONSISTENT);
    estreat_audit_free(audit);
}

/* A node that lags a little is waited for, so that the newest events are audited too. */
static void test_lag(void **state)
{
    struct fixture *fixture = *state;
    fixture->cluster.nodes[2].lag = 100;
    struct estreat_audit *audit = run(fixture, false, false);
    expect_verdicts(audit, ESTREAT_CONSISTENT, ESTREAT_CONSISTENT, ESTREAT_CONSISTENT,
                    ESTREAT_CONSISTENT);
    assert_int_equal(audit->size, SIZE);
    estreat_audit_free(audit);
}

/* Endpoints of two clusters are a mistake that is named. */
static void test_two_clusters(void **state)
{
    struct fixture *fixture = *state;
    struct estreat_audit *audit = NULL;
    struct estreat_error error;
    (void)snprintf(fixture->cluster.nodes[0].cluster_name,
                   sizeof fixture->cluster.nodes[0].cluster_name, "others");
    assert_int_equal(estreat_audit(fixture->client, NULL, &audit, &error),
                     ESTREAT_FAILED_PRECONDITION);
    assert_non_null(strstr(error.text, "others"));
    assert_null(audit);
}

/* Also where the two have nodes of the same names, as small clusters do. */
static void test_two_clusters_alike(void **state)
{
    struct fixture *fixture = *state;
    struct fake_cluster others;
    struct estreat_client *client;
    struct estreat_audit *audit = NULL;
    struct estreat_error error;
    char endpoints[128];
    fake_cluster_init(&others, 1, SIZE);
    (void)snprintf(others.nodes[0].cluster_name, sizeof others.nodes[0].cluster_name, "others");
    (void)snprintf(endpoints, sizeof endpoints, "%s,%s", fixture->cluster.nodes[0].endpoint,
                   others.nodes[0].endpoint);
    assert_int_equal(estreat_open(endpoints, NULL, &client, NULL), ESTREAT_OK);
    assert_int_equal(estreat_audit(client, NULL, &audit, &error), ESTREAT_FAILED_PRECONDITION);
    assert_non_null(strstr(error.text, "others"));
    assert_null(audit);
    struct estreat_status *status = NULL;
    assert_int_equal(estreat_status(client, 0, &status, &error), ESTREAT_FAILED_PRECONDITION);
    assert_non_null(strstr(error.text, "others"));
    assert_null(status);
    estreat_close(client);
    fake_cluster_release(&others);
}

/* A node whose log differs does not get out of the audit under another's name, nor does it put
 * that other out. */
static void test_borrowed_name(void **state)
{
    struct fixture *fixture = *state;
    struct fake_auditee *liar = &fixture->cluster.nodes[2];
    (void)snprintf(liar->claimed_id, sizeof liar->claimed_id, "n1");
    fake_alter(liar, 1234);
    char endpoints[128];
    (void)snprintf(endpoints, sizeof endpoints, "%s,%s", fixture->cluster.nodes[1].endpoint,
                   liar->endpoint);
    const char *const lists[] = {fixture->cluster.nodes[1].endpoint, endpoints};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        struct estreat_client *client;
        struct estreat_audit *audit;
        unsigned found = 0;
        assert_int_equal(estreat_open(lists[i], NULL, &client, NULL), ESTREAT_OK);
        assert_int_equal(estreat_audit(client, NULL, &audit, NULL), ESTREAT_OK);
        assert_int_equal(audit->verdict, ESTREAT_DIVERGENT);
        assert_int_equal(audit->node_count, 3);
        for (size_t j = 0; j < audit->node_count; j++) {
            found += strcmp(audit->nodes[j].endpoint, liar->endpoint) == 0;
            found += strcmp(audit->nodes[j].endpoint, fixture->cluster.nodes[0].endpoint) == 0;
        }
        assert_int_equal(found, 2);
        estreat_audit_free(audit);
        estreat_close(client);
    }
}

static void count_progress(void *context, uint64_t events, uint64_t events_total)
{
    uint64_t *last = context;
    assert_int_equal(events_total, 3 * SIZE);
    assert_true(events >= *last);
    *last = events;
}

/* Progress rises to the whole. */
static void test_progress(void **state)
{
    struct fixture *fixture = *state;
    uint64_t last = 0;
    struct estreat_audit *audit;
    const struct estreat_audit_options options = {
        .deep = true, .progress = count_progress, .progress_context = &last};
    assert_int_equal(estreat_audit(fixture->client, &options, &audit, NULL), ESTREAT_OK);
    assert_int_equal(last, 3 * SIZE);
    estreat_audit_free(audit);
}

/* A row for each member, whoever was named; what is unknown is said to be. */
static void test_status(void **state)
{
    struct fixture *fixture = *state;
    struct estreat_status *status;
    struct estreat_error error;
    fixture->cluster.nodes[2].lag = 64;
    assert_int_equal(estreat_status(fixture->client, 0, &status, &error), ESTREAT_OK);
    assert_string_equal(status->cluster, "fakes");
    assert_string_equal(status->leader_id, "n1");
    assert_int_equal(status->term, 3);
    assert_int_equal(status->size, SIZE);
    assert_int_equal(status->fdatasync_p50_ns, 1000);
    assert_int_equal(status->node_count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_true(status->nodes[i].answered);
        assert_int_equal(status->nodes[i].lag, strcmp(status->nodes[i].id, "n3") == 0 ? 64 : 0);
    }
    estreat_status_free(status);
    fake_stop(&fixture->cluster.nodes[2]);
    assert_int_equal(estreat_status(fixture->client, 0, &status, &error), ESTREAT_OK);
    assert_int_equal(status->node_count, 3);
    for (size_t i = 0; i < 3; i++) {
        bool stopped = strcmp(status->nodes[i].id, "n3") == 0;
        assert_int_equal(status->nodes[i].answered, !stopped);
        assert_int_equal(strstr(status->nodes[i].state, "unreachable") != NULL, stopped);
    }
    estreat_status_free(status);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_consistent),
        CASE(test_divergent_named),
        CASE(test_divergent_unnamed),
        CASE(test_ranges_are_bounded),
        CASE(test_silent_node),
        CASE(test_deep_damage),
        CASE(test_deep_root),
        CASE(test_lag),
        CASE(test_two_clusters),
        CASE(test_two_clusters_alike),
        CASE(test_borrowed_name),
        CASE(test_progress),
        CASE(test_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
