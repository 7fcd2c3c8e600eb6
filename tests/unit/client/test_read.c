/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads against nodes that break off: no event is left out or comes twice.
 */
#include "client/estreat.h"
#include "fake_log.h"
#include "testlib/test.h"

enum { EVENTS = 500 };

struct fixture {
    struct fake_log log;
    struct fake_node a;
    struct fake_node b;
    struct estreat_client *client;
};

static int setup(void **state)
{
    static struct fixture fixture;
    const struct estreat_client_options options = {.timeout_ms = 3000};
    char endpoints[80];
    fake_log_init(&fixture.log, 1);
    fake_node_open(&fixture.a, &fixture.log);
    fake_node_open(&fixture.b, &fixture.log);
    for (int i = 0; i < EVENTS; i++) {
        char payload[24];
        (void)snprintf(payload, sizeof payload, "%d", i);
        fake_log_add(&fixture.log, i % 3 == 0 ? "three" : "other", payload);
    }
    (void)snprintf(endpoints, sizeof endpoints, "%s,%s", fixture.a.endpoint, fixture.b.endpoint);
    if (estreat_open(endpoints, &options, &fixture.client, NULL) != ESTREAT_OK) {
        return -1;
    }
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    estreat_close(fixture->client);
    fake_node_close(&fixture->b);
    fake_node_close(&fixture->a);
    fake_log_release(&fixture->log);
    return 0;
}

/* Reads [from, to) by `step` and checks that just those come, in order. */
static void expect_range(struct estreat_stream *stream, uint64_t from, uint64_t to, uint64_t step)
{
    struct estreat_error error;
    const struct estreat_event *event;
    for (uint64_t i = from; i < to; i += step) {
        char payload[24];
        (void)snprintf(payload, sizeof payload, "%lu", (unsigned long)i);
        if (estreat_stream_next(stream, &event, &error) != ESTREAT_OK) {
            fail_msg("at %lu: %s", (unsigned long)i, error.text);
        }
        assert_non_null(event);
        assert_int_equal(event->position, i);
        assert_int_equal(event->payload.length, strlen(payload));
        assert_memory_equal(event->payload.data, payload, strlen(payload));
    }
    assert_int_equal(estreat_stream_next(stream, &event, &error), ESTREAT_OK);
    assert_null(event);
    assert_int_equal(estreat_stream_next(stream, &event, &error), ESTREAT_OK);
    assert_null(event);
    estreat_stream_close(stream);
}

static struct estreat_stream *open_read(struct fixture *fixture,
                                        const struct estreat_read_options *options)
{
    struct estreat_stream *stream;
    assert_int_equal(estreat_read(fixture->client, options, &stream, NULL), ESTREAT_OK);
    return stream;
}

/* Ranges, limits and filters come through whole. */
static void test_ranges(void **state)
{
    struct fixture *fixture = *state;
    expect_range(open_read(fixture, NULL), 0, EVENTS, 1);
    const struct estreat_read_options range = {.from = estreat_position(7),
                                               .to = estreat_position(33)};
    expect_range(open_read(fixture, &range), 7, 33, 1);
    const struct estreat_read_options limited = {.from = estreat_position(7), .limit = 25};
    expect_range(open_read(fixture, &limited), 7, 32, 1);
    const struct estreat_read_options filtered = {.filter = {.key = estreat_text("three")}};
    expect_range(open_read(fixture, &filtered), 0, EVENTS, 3);
    const struct estreat_read_options nothing = {.from = estreat_position(EVENTS)};
    expect_range(open_read(fixture, &nothing), 0, 0, 1);
}

/* Streams that break off after two messages each go on where they were. */
static void test_resume(void **state)
{
    struct fixture *fixture = *state;
    fixture->log.break_after = 2;
    expect_range(open_read(fixture, NULL), 0, EVENTS, 1);
    assert_true(fixture->log.streams >= EVENTS / 20);
    const struct estreat_read_options limited = {.from = estreat_position(3), .limit = 101};
    expect_range(open_read(fixture, &limited), 3, 104, 1);
    const struct estreat_read_options filtered = {.filter = {.key = estreat_text("three")},
                                                  .to = estreat_position(400)};
    expect_range(open_read(fixture, &filtered), 0, 400, 3);
}

/* So does a history, by version. */
static void test_history_resumes(void **state)
{
    struct fixture *fixture = *state;
    struct estreat_stream *stream;
    fixture->log.break_after = 1;
    assert_int_equal(estreat_history(fixture->client, estreat_text("three"), NULL, &stream, NULL),
                     ESTREAT_OK);
    expect_range(stream, 0, EVENTS, 3);
    const struct estreat_history_options options = {.from_version = 5, .limit = 30};
    assert_int_equal(
        estreat_history(fixture->client, estreat_text("three"), &options, &stream, NULL),
        ESTREAT_OK);
    expect_range(stream, 15, 15 + 90, 3);
}

/* A node that answers nothing but refusals is left for the other. */
static void test_other_node(void **state)
{
    struct fixture *fixture = *state;
    struct estreat_got *got;
    struct estreat_error error;
    uint64_t count;
    uint64_t size;
    for (int i = 0; i < 2; i++) {
        fixture->a.down = i == 0;
        fixture->b.down = i == 1;
        expect_range(open_read(fixture, NULL), 0, EVENTS, 1);
        assert_int_equal(estreat_get(fixture->client, estreat_text("three"), NULL, &got, &error),
                         ESTREAT_OK);
        assert_int_equal(estreat_got_event(got)->position, 498);
        assert_int_equal(estreat_got_event(got)->version, 166);
        estreat_got_free(got);
        assert_int_equal(estreat_count(fixture->client, NULL, &count, &size, &error), ESTREAT_OK);
        assert_int_equal(count, EVENTS);
    }
}

/* Damage on a node sends a read to the others; a stream goes on there where it was. */
static void test_damaged_node(void **state)
{
    struct fixture *fixture = *state;
    struct estreat_got *got;
    struct estreat_error error;
    struct estreat_stream *stream;
    for (int i = 0; i < 2; i++) {
        fixture->a.damaged = i == 0;
        fixture->b.damaged = i == 1;
        fixture->a.damage = 498;
        fixture->b.damage = 498;
        assert_int_equal(estreat_get(fixture->client, estreat_text("three"), NULL, &got, &error),
                         ESTREAT_OK);
        assert_int_equal(estreat_got_event(got)->position, 498);
        estreat_got_free(got);
        fixture->a.damage = 207;
        fixture->b.damage = 207;
        expect_range(open_read(fixture, NULL), 0, EVENTS, 1);
        assert_int_equal(
            estreat_history(fixture->client, estreat_text("three"), NULL, &stream, NULL),
            ESTREAT_OK);
        expect_range(stream, 0, EVENTS, 3);
    }
    /* At different places: each has what the other lacks. */
    fixture->a.damaged = true;
    fixture->a.damage = 100;
    expect_range(open_read(fixture, NULL), 0, EVENTS, 1);
}

/* Damage on all of them is told after one try of each. */
static void test_damage_everywhere(void **state)
{
    struct fixture *fixture = *state;
    struct estreat_got *got = NULL;
    struct estreat_error error;
    const struct estreat_event *event;
    fixture->a.damaged = true;
    fixture->b.damaged = true;
    fixture->a.damage = 498;
    fixture->b.damage = 498;
    assert_int_equal(estreat_get(fixture->client, estreat_text("three"), NULL, &got, &error),
                     ESTREAT_DATA_LOSS);
    assert_non_null(strstr(error.text, "127.0.0.1:"));
    assert_int_equal(atomic_load(&fixture->a.calls), 1);
    assert_int_equal(atomic_load(&fixture->b.calls), 1);
    const struct estreat_read_options at_end = {.from = estreat_position(495)};
    struct estreat_stream *stream = open_read(fixture, &at_end);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(estreat_stream_next(stream, &event, &error), ESTREAT_OK);
    }
    assert_int_equal(estreat_stream_next(stream, &event, &error), ESTREAT_DATA_LOSS);
    assert_int_equal(estreat_stream_next(stream, &event, &error), ESTREAT_DATA_LOSS);
    estreat_stream_close(stream);
}

/* When all are down the call ends in its time and says where it tried. */
static void test_all_down(void **state)
{
    struct fixture *fixture = *state;
    struct estreat_error error;
    struct estreat_got *got = NULL;
    const struct estreat_event *event;
    fixture->a.down = true;
    fixture->b.down = true;
    const struct estreat_get_options options = {.timeout_ms = 200};
    /* On a busy machine the last attempt may be cut by the end of the time. */
    (void)estreat_get(fixture->client, estreat_text("k"), &options, &got, &error);
    assert_true(error.code == ESTREAT_UNAVAILABLE || error.code == ESTREAT_DEADLINE_EXCEEDED);
    assert_null(got);
    assert_non_null(strstr(error.text, "127.0.0.1:"));
    const struct estreat_read_options read_options = {.timeout_ms = 200};
    struct estreat_stream *stream = open_read(fixture, &read_options);
    enum estreat_code code = estreat_stream_next(stream, &event, &error);
    assert_true(code == ESTREAT_UNAVAILABLE || code == ESTREAT_DEADLINE_EXCEEDED);
    assert_int_equal(estreat_stream_next(stream, &event, &error), code);
    estreat_stream_close(stream);
}

/* An answer is an answer: it is not asked for elsewhere. */
static void test_not_found(void **state)
{
    struct fixture *fixture = *state;
    struct estreat_error error;
    struct estreat_got *got = NULL;
    assert_int_equal(estreat_get(fixture->client, estreat_text("nobody"), NULL, &got, &error),
                     ESTREAT_NOT_FOUND);
    assert_int_equal(atomic_load(&fixture->a.calls) + atomic_load(&fixture->b.calls), 1);
    assert_int_equal(estreat_get(fixture->client, estreat_text(""), NULL, &got, &error),
                     ESTREAT_INVALID_ARGUMENT);
}

/* A cancelled stream ends for its reader, also if it is cancelled before it began. */
static void test_cancel(void **state)
{
    struct fixture *fixture = *state;
    struct estreat_error error;
    const struct estreat_event *event;
    struct estreat_stream *stream = open_read(fixture, NULL);
    estreat_stream_cancel(stream);
    assert_int_equal(estreat_stream_next(stream, &event, &error), ESTREAT_CANCELLED);
    estreat_stream_close(stream);
    /* Closed in the middle, and never read. */
    stream = open_read(fixture, NULL);
    assert_int_equal(estreat_stream_next(stream, &event, &error), ESTREAT_OK);
    estreat_stream_close(stream);
    estreat_stream_close(open_read(fixture, NULL));
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_ranges),     CASE(test_resume),       CASE(test_history_resumes),
        CASE(test_other_node), CASE(test_all_down),     CASE(test_not_found),
        CASE(test_cancel),     CASE(test_damaged_node), CASE(test_damage_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
