/* SPDX-License-Identifier: Apache-2.0
 *
 * Ways: however many members come and go, there is one channel to each that is one now, where it is
 * now, and none to others.
 */
#include "../rpc/rpc_fixture.h"

#include "node/ways.h"

#define SELF 1U

struct places {
    struct fixture here; /* a server, and the loop that the channels are on */
    struct fixture there;
    struct ways *ways;
    char here_at[ENDPOINT_BYTES_MAX + 1];
    char there_at[ENDPOINT_BYTES_MAX + 1];
    _Atomic int connected; /* as channels say */
    _Atomic unsigned ended;
    _Atomic unsigned cancelled;
};

static void on_state(void *context, bool connected)
{
    const struct way *way = context;
    struct places *places = way->context;
    assert_int_not_equal(way->raft_id, SELF);
    atomic_fetch_add(&places->connected, connected ? 1 : -1);
}

static void open_at(struct places *places, bool at_once)
{
    struct error err = ERROR_INIT;
    const struct ways_options options = {.alloc = alloc_default(),
                                         .loop = places->here.client_loop,
                                         .self = SELF,
                                         .channel = {.on_state = on_state},
                                         .at_once = at_once,
                                         .context = places};
    assert_ok(ways_open(&options, &places->ways, &err), &err);
}

static void serve(struct fixture *fixture, char *endpoint)
{
    fixture_loops(fixture);
    fixture_serve(fixture, (struct rpc_server_options){.url = NULL});
    (void)snprintf(endpoint, ENDPOINT_BYTES_MAX, "127.0.0.1:%u", fixture->port);
}

static int setup(void **state)
{
    static struct places places;
    memset(&places, 0, sizeof places);
    serve(&places.here, places.here_at);
    serve(&places.there, places.there_at);
    open_at(&places, true);
    *state = &places;
    return 0;
}

static int teardown(void **state)
{
    struct places *places = *state;
    ways_close(places->ways);
    assert_int_equal(places->connected, 0);
    fixture_close(&places->here);
    fixture_close(&places->there);
    return 0;
}

/* `count` members from this id on, all at one address. */
static struct members members_at(uint64_t first, size_t count, const char *endpoint)
{
    struct members members = {.count = count};
    for (size_t i = 0; i < count; i++) {
        members.of[i].raft_id = first + i;
        (void)snprintf(members.of[i].at.peer, sizeof members.of[i].at.peer, "%s", endpoint);
    }
    return members;
}

static void set(struct places *places, uint64_t first, size_t count, const char *endpoint)
{
    struct members members = members_at(first, count, endpoint);
    ways_set(places->ways, &members);
}

static bool send_step(void *context, struct rpc_channel *channel)
{
    Estreat__V1__RaftMessage message = ESTREAT__V1__RAFT_MESSAGE__INIT;
    (void)context;
    return rpc_channel_send(channel, RAFT, 0, &message.base);
}

static bool send_to(struct places *places, uint64_t raft_id)
{
    return ways_use(places->ways, raft_id, send_step, NULL);
}

/* Sends one, as soon as the channel is connected. */
static void reach(struct places *places, uint64_t raft_id)
{
    bool sent = false;
    for (int tries = 0; tries < 10000 && !sent; tries++) {
        sent = send_to(places, raft_id);
        sleep_ms(sent ? 0 : 1);
    }
    assert_true(sent);
}

/* Far more come and go than are ever members together. Each is reached while it is one. */
static void members_come_and_go(void **state)
{
    struct places *places = *state;
    for (uint64_t id = 2; id <= 201; id++) {
        set(places, id, 3, places->here_at);
        assert_int_equal(ways_count(places->ways), 3);
        assert_false(send_to(places, id - 1));
    }
    EVENTUALLY(places->connected == 3);
    for (uint64_t id = 201; id <= 203; id++) {
        reach(places, id);
    }
    EVENTUALLY(places->here.oneways == 3);
}

/* Nobody waits for a connection to one who left before it was made. */
static void all_leave_at_once(void **state)
{
    struct places *places = *state;
    for (unsigned i = 0; i < 50; i++) {
        set(places, 2, 7, places->here_at);
        set(places, 2, 0, places->here_at);
    }
    assert_int_equal(ways_count(places->ways), 0);
    EVENTUALLY(places->connected == 0);
}

/* A member that moves is found where it is now, and not where it was. */
static void an_address_changes(void **state)
{
    struct places *places = *state;
    set(places, 2, 2, places->here_at);
    EVENTUALLY(places->connected == 2);
    struct members members = members_at(2, 2, places->here_at);
    memcpy(members.of[1].at.peer, places->there_at, sizeof places->there_at);
    ways_set(places->ways, &members);
    assert_int_equal(ways_count(places->ways), 2);
    reach(places, 3);
    EVENTUALLY(places->there.oneways == 1);
    reach(places, 2);
    EVENTUALLY(places->here.oneways == 1);
    assert_int_equal(places->there.oneways, 1);
    EVENTUALLY(places->connected == 2);
}

/* What was known stays connected, whatever is told again. */
static void nothing_changes(void **state)
{
    struct places *places = *state;
    set(places, 2, 3, places->here_at);
    EVENTUALLY(places->connected == 3);
    for (unsigned i = 0; i < 100; i++) {
        set(places, 2, 3, places->here_at);
        ways_meet(places->ways, 3, places->there_at); /* the membership knows better */
        assert_int_equal(places->connected, 3);
    }
    assert_true(send_to(places, 3));
    EVENTUALLY(places->here.oneways == 1);
}

/* This node itself, and members of whom nobody knows where they are, are none to connect to. */
static void there_is_no_way(void **state)
{
    struct places *places = *state;
    set(places, SELF, 1, places->here_at);
    ways_meet(places->ways, SELF, places->here_at);
    ways_meet(places->ways, 3, "");
    set(places, 4, 1, "");
    assert_int_equal(ways_count(places->ways), 0);
    assert_false(send_to(places, 3));
    set(places, 4, 1, "nowhere"); /* without a port */
    assert_false(send_to(places, 4));
    set(places, 4, 1, places->here_at);
    reach(places, 4);
}

/* A node that joins replays memberships of long ago, which do not have who leads now. */
static void a_stranger_stays(void **state)
{
    struct places *places = *state;
    ways_meet(places->ways, 50, places->here_at);
    for (uint64_t id = 2; id < 20; id++) {
        set(places, id, 3, places->there_at);
        assert_int_equal(ways_count(places->ways), 4);
    }
    reach(places, 50);
    EVENTUALLY(places->here.oneways == 1);
    /* It is where it says, until the membership says more, and goes when it leaves that. */
    ways_meet(places->ways, 50, places->there_at);
    reach(places, 50);
    EVENTUALLY(places->there.oneways == 1);
    set(places, 50, 1, places->here_at);
    reach(places, 50);
    EVENTUALLY(places->here.oneways == 2);
    set(places, 2, 1, places->here_at);
    assert_false(send_to(places, 50));
    assert_int_equal(ways_count(places->ways), 1);
}

/* Whoever claims to be whoever crowds out neither members nor who is heard of all the time. */
static void strangers_are_few(void **state)
{
    struct places *places = *state;
    set(places, 2, 3, places->here_at);
    for (uint64_t id = 100; id < 300; id++) {
        ways_meet(places->ways, 50, places->here_at);
        ways_meet(places->ways, id, places->there_at);
    }
    assert_int_equal(ways_count(places->ways), 3 + WAYS_STRANGERS_MAX);
    reach(places, 50);
    reach(places, 2);
    EVENTUALLY(places->connected == 3 + WAYS_STRANGERS_MAX);
}

static void on_result(void *context, const struct rpc_result *result)
{
    struct places *places = context;
    atomic_fetch_add(&places->cancelled, result->status == STATUS_CANCELLED ? 1U : 0U);
    atomic_fetch_add(&places->ended, 1);
}

static bool call_wait(void *context, struct rpc_channel *channel)
{
    static uint8_t key[] = "wait";
    Estreat__V1__GetRequest request = ESTREAT__V1__GET_REQUEST__INIT;
    const struct rpc_call_options options = {.deadline_ms = 60000, .wait_for_ready = true};
    request.key = (ProtobufCBinaryData){.len = 4, .data = key};
    (void)rpc_channel_call(channel, LOG, GET, &request.base, &options, on_result, context);
    return true;
}

/* Calls that are open when their member leaves end, each once, and nobody waits for them; one that
 * has reached the server, and those that wait for a connection. */
static void calls_are_open(void **state)
{
    struct places *places = *state;
    uint16_t port = 0;
    char silent[ENDPOINT_BYTES_MAX + 1];
    int fd = socket_listen(&port); /* takes connections, and says nothing */
    (void)snprintf(silent, sizeof silent, "127.0.0.1:%u", port);
    struct members members = members_at(2, 2, silent);
    memcpy(members.of[0].at.peer, places->here_at, sizeof places->here_at);
    ways_set(places->ways, &members);
    assert_true(ways_use(places->ways, 2, call_wait, places));
    for (unsigned i = 0; i < 100; i++) {
        assert_true(ways_use(places->ways, 3, call_wait, places));
    }
    EVENTUALLY(places->here.calls == 1);
    assert_int_equal(places->ended, 0);
    set(places, 4, 1, places->there_at);
    EVENTUALLY(places->ended == 101);
    assert_int_equal(places->cancelled, 101);
    EVENTUALLY(places->here.cancelled == 1);
    (void)close(fd);
}

/* The same at the end: none is left when the close returns, be it before or while it is made. */
static void the_end_comes_while_calls_are_open(void **state)
{
    struct places *places = *state;
    for (unsigned round = 0; round < 50; round++) {
        atomic_store(&places->ended, 0);
        set(places, 2, 2, places->here_at);
        ways_meet(places->ways, 9, "127.0.0.1:1"); /* where nobody is */
        assert_true(ways_use(places->ways, 9, call_wait, places));
        set(places, 3, 2, places->here_at);
        ways_meet(places->ways, 9, places->there_at);
        ways_close(places->ways);
        assert_int_equal(places->ended, 1);
        assert_int_equal(places->connected, 0);
        open_at(places, round % 2 == 0);
    }
}

struct change {
    struct rpc_event event;
    struct places *places;
    _Atomic bool done;
};

static void change_on_loop(struct rpc_event *event)
{
    struct change *change = (struct change *)event;
    set(change->places, 4, 2, change->places->there_at);
    atomic_store(&change->done, true);
}

/* The driver's turns, which tell of the members, are on the very loop that the channels are on. */
static void the_loop_itself_may_change_them(void **state)
{
    struct places *places = *state;
    struct change change = {.event.run = change_on_loop, .places = places};
    set(places, 2, 1, places->here_at);
    assert_true(ways_use(places->ways, 2, call_wait, places));
    EVENTUALLY(places->here.calls == 1);
    rpc_loop_post(places->here.client_loop, &change.event);
    EVENTUALLY(change.done);
    EVENTUALLY(places->cancelled == 1);
    reach(places, 5);
}

/* A channel that is not opened at once is when it is first used. */
static void a_way_is_opened_when_it_is_used(void **state)
{
    struct places *places = *state;
    ways_close(places->ways);
    open_at(places, false);
    set(places, 2, 2, places->here_at);
    assert_true(ways_use(places->ways, 3, call_wait, places));
    EVENTUALLY(places->here.calls == 1);
    assert_int_equal(places->connected, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(members_come_and_go, setup, teardown),
        cmocka_unit_test_setup_teardown(all_leave_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(an_address_changes, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_changes, setup, teardown),
        cmocka_unit_test_setup_teardown(there_is_no_way, setup, teardown),
        cmocka_unit_test_setup_teardown(a_stranger_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(strangers_are_few, setup, teardown),
        cmocka_unit_test_setup_teardown(calls_are_open, setup, teardown),
        cmocka_unit_test_setup_teardown(the_end_comes_while_calls_are_open, setup, teardown),
        cmocka_unit_test_setup_teardown(the_loop_itself_may_change_them, setup, teardown),
        cmocka_unit_test_setup_teardown(a_way_is_opened_when_it_is_used, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
