/* SPDX-License-Identifier: Apache-2.0
 *
 * Scenarios: each file in scripts/ is a run that a person can review: commands, and under each
 * what all cores gave out because of it. scripts/README.md has the language. A test compares
 * what a script does now with what it says; ESTREAT_REWRITE=1 writes down what it does now.
 */
#include <dirent.h>
#include <inttypes.h>

#include "base/buf.h"
#include "base/fs.h"
#include "cluster.h"

#define TRACE_BYTES_MAX (1024UL * 1024UL)
#define SCRIPTS_MAX 100U
#define SETTLE_MAX 10000U
#define TERMS_MAX 64U
#define LOADS_MAX 64U

/* A die that always shows the same: timeouts are election ticks + jitter. */
struct fixed_rng {
    struct rng rng;
    uint64_t value;
};

struct stage {
    struct buf trace;
    bool quiet;
    struct network network;
    size_t count;
    size_t voters; /* at the start; the others wait to be added */
    struct node nodes[NODES_MAX];
    struct fixed_rng rngs[NODES_MAX];
    struct raft_options options;
    bool manual_disk[NODES_MAX];
    bool cut[NODES_MAX][NODES_MAX];
    bool manual_loads;
    struct raft_load loads[NODES_MAX][LOADS_MAX]; /* asked for and not answered, in order */
    size_t load_count[NODES_MAX];
};

/* ---- Trace ----------------------------------------------------------------------------------- */

static void say(struct stage *stage, const char *format, ...) PRINTF_LIKE(2, 3);

static void say(struct stage *stage, const char *format, ...)
{
    char line[1024];
    va_list arguments;
    if (stage->quiet) {
        return;
    }
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    assert_true(length >= 0 && (size_t)length < sizeof line);
    buf_append(&stage->trace, line, (size_t)length);
    assert_false(buf_failed(&stage->trace));
}

static void say_entries(struct stage *stage, struct raft_entry *const *entries, size_t count)
{
    if (count == 0) {
        return;
    }
    say(stage, " entries=%" PRIu64 "/%" PRIu64, entries[0]->index, entries[0]->term);
    if (count > 1) {
        say(stage, "..%" PRIu64 "/%" PRIu64, entries[count - 1]->index, entries[count - 1]->term);
    }
}

static void say_message(struct stage *stage, const struct raft_message *message, const char *fate)
{
    say(stage, "  %" PRIu64 ">%" PRIu64 " %s term=%" PRIu64, message->from, message->to,
        raft_message_type_name(message->type), message->term);
    switch (message->type) {
    case RAFT_MESSAGE_APPEND:
        say(stage, " after=%" PRIu64 "/%" PRIu64 " commit=%" PRIu64, message->index,
            message->log_term, message->commit);
        say(stage, message->context == RAFT_APPEND_OLDEST ? " oldest" : "");
        say_entries(stage, message->entries, message->entry_count);
        break;
    case RAFT_MESSAGE_APPEND_REPLY:
        if (message->reject) {
            say(stage, " refused=%" PRIu64 " hint=%" PRIu64 "/%" PRIu64, message->index,
                message->hint_index, message->hint_term);
            say(stage, message->context == RAFT_REPLY_LOST ? " lost" : "");
        } else {
            say(stage, " index=%" PRIu64, message->index);
        }
        break;
    case RAFT_MESSAGE_PRE_VOTE:
    case RAFT_MESSAGE_VOTE:
        say(stage, " last=%" PRIu64 "/%" PRIu64 "%s", message->index, message->log_term,
            message->context == RAFT_VOTE_TRANSFER ? " transfer" : "");
        break;
    case RAFT_MESSAGE_PRE_VOTE_REPLY:
    case RAFT_MESSAGE_VOTE_REPLY:
        say(stage, message->reject ? " no" : " yes");
        break;
    case RAFT_MESSAGE_HEARTBEAT:
        say(stage, " commit=%" PRIu64 " retain=%" PRIu64 " round=%" PRIu64, message->commit,
            message->retain_index, message->context);
        break;
    case RAFT_MESSAGE_READ_INDEX_REPLY:
        say(stage, " round=%" PRIu64, message->context);
        if (message->reject) {
            say(stage, " no");
        } else {
            say(stage, " index=%" PRIu64, message->index);
        }
        break;
    case RAFT_MESSAGE_HEARTBEAT_REPLY:
    case RAFT_MESSAGE_READ_INDEX:
        say(stage, " round=%" PRIu64, message->context);
        break;
    case RAFT_MESSAGE_TIMEOUT_NOW:
        break;
    }
    say(stage, "%s\n", fate);
}

/* Voters, and learners in brackets. */
static void say_members(struct stage *stage, const struct node *node)
{
    uint64_t index = 0;
    const struct raft_membership *now = raft_members_now(node->raft, &index);
    say(stage, "  %" PRIu64 " members at %" PRIu64 ":", node->id, index);
    for (size_t i = 0; i < now->count; i++) {
        say(stage, now->of[i].role == RAFT_VOTER ? " %" PRIu64 : " (%" PRIu64 ")", now->of[i].id);
    }
    say(stage, "\n");
}

static void say_ready(struct stage *stage, const struct node *node, const struct raft_ready *ready)
{
    if (ready->has_soft_state) {
        say(stage, "  %" PRIu64 " %s, term %" PRIu64 ", leader %" PRIu64 "\n", node->id,
            raft_role_name(ready->soft_state.role), ready->soft_state.term,
            ready->soft_state.leader);
    }
    if (ready->store_sequence != 0) {
        say(stage, "  %" PRIu64 " store %" PRIu64 ":", node->id, ready->store_sequence);
        if (ready->has_hard_state) {
            say(stage, " term=%" PRIu64 " vote=%" PRIu64, ready->hard_state.term,
                ready->hard_state.vote);
        }
        say_entries(stage, ready->entries, ready->entry_count);
        say(stage, "\n");
    }
    if (ready->has_membership) {
        say_members(stage, node);
    }
    if (ready->has_commit) {
        say(stage, "  %" PRIu64 " commit %" PRIu64 "\n", node->id, ready->commit);
    }
    for (size_t i = 0; i < ready->read_count; i++) {
        const struct raft_read_state *read = &ready->reads[i];
        say(stage, "  %" PRIu64 " read %" PRIu64, node->id, read->context);
        if (read->ok) {
            say(stage, " at %" PRIu64 "\n", read->index);
        } else {
            say(stage, " failed\n");
        }
    }
    for (size_t i = 0; i < ready->load_count; i++) {
        const struct raft_load *load = &ready->loads[i];
        say(stage, "  %" PRIu64 " load for %" PRIu64 ": [%" PRIu64 ", %" PRIu64 ") %zu bytes\n",
            node->id, load->peer, load->from_index, load->end_index, load->bytes_max);
    }
    if (ready->refilled) {
        say(stage, "  %" PRIu64 " is refilled\n", node->id);
    }
    if (ready->snapshot_wanted != 0) {
        say(stage, "  %" PRIu64 " needs a snapshot up to %" PRIu64 " or more\n", node->id,
            ready->snapshot_wanted);
    }
}

static void say_status(struct stage *stage, const struct node *node, enum status status,
                       const struct error *err)
{
    if (status != STATUS_OK) {
        say(stage, "  %" PRIu64 " %s: %s\n", node->id, status_name(status), err->text);
    }
}

/* ---- Driving --------------------------------------------------------------------------------- */

static struct node *node_of(struct stage *stage, uint64_t id)
{
    assert_in_range(id, 1, stage->count);
    return &stage->nodes[id - 1];
}

/* Makes the first write durable and tells the core. */
static void sync_first(struct stage *stage, struct node *node)
{
    struct error err = ERROR_INIT;
    struct disk_write *write = &node->disk.writes[0];
    disk_persist_first(&node->disk, write->count);
    if (write->has_hard_state) {
        enum status status = raft_hard_state_stored(node->raft, write->hard_state, &err);
        say_status(stage, node, status, &err);
    }
    if (write->count > 0) {
        const struct raft_entry *entry = write->entries[write->count - 1];
        raft_stored(node->raft, write->sequence, entry->index, entry->term);
    }
    disk_drop_first(&node->disk);
}

static void post(struct stage *stage, const struct raft_message *message)
{
    bool lost = stage->cut[message->from - 1][message->to - 1];
    say_message(stage, message, lost ? " (lost)" : "");
    if (!lost) {
        network_post(&stage->network, message, 0);
    }
}

/* Answers the first load that the node has asked for. */
static void answer_load(struct stage *stage, struct node *node, bool failed)
{
    struct raft_load *loads = stage->loads[node->id - 1];
    size_t *left = &stage->load_count[node->id - 1];
    struct raft_entry *entries[TERMS_MAX];
    struct error err = ERROR_INIT;
    if (*left == 0) {
        say(stage, "  nothing to load\n");
        return;
    }
    struct raft_load first = loads[0];
    (*left)--;
    memmove(loads, loads + 1, *left * sizeof *loads);
    size_t count = failed ? 0 : node_read_load(node, &first, entries, TERMS_MAX);
    say_status(stage, node, raft_loaded(node->raft, &first, entries, count, &err), &err);
}

static void drain(struct stage *stage, struct node *node)
{
    struct raft_ready ready;
    bool more = node->raft != NULL;
    for (unsigned rounds = 0; more; rounds++) {
        assert_true(rounds < 1000);
        more = raft_ready(node->raft, &ready);
        say_ready(stage, node, &ready);
        if (ready.store_sequence != 0) {
            disk_submit(&node->disk, &ready);
        }
        for (size_t i = 0; i < ready.message_count; i++) {
            post(stage, &ready.messages[i]);
        }
        for (size_t i = 0; i < ready.load_count; i++) {
            size_t *count = &stage->load_count[node->id - 1];
            assert_true(*count < LOADS_MAX);
            stage->loads[node->id - 1][(*count)++] = ready.loads[i];
        }
        if (ready.refilled) {
            node_refilled(node);
        }
        if (ready.has_commit) {
            node->commit = ready.commit;
            node->applied = ready.commit;
            raft_applied(node->raft, ready.commit);
        }
        while (!stage->manual_disk[node->id - 1] && node->disk.write_count > 0) {
            sync_first(stage, node);
            more = true;
        }
        while (!stage->manual_loads && stage->load_count[node->id - 1] > 0) {
            answer_load(stage, node, false);
            more = true;
        }
    }
}

static void hand_over(struct stage *stage, size_t at)
{
    struct letter letter = network_take(&stage->network, at);
    struct node *node = node_of(stage, letter.message.to);
    struct error err = ERROR_INIT;
    if (node->raft != NULL) {
        say_status(stage, node, raft_receive(node->raft, &letter.message, &err), &err);
        drain(stage, node);
    }
    letter_release(&letter);
}

static void settle(struct stage *stage)
{
    for (unsigned i = 0; stage->network.count > 0; i++) {
        assert_true(i < SETTLE_MAX);
        hand_over(stage, 0);
    }
}

/* ---- Arguments ------------------------------------------------------------------------------- */

/* The value of "key=value" among `arguments`, or `otherwise`. */
static uint64_t option(const char *arguments, const char *key, uint64_t otherwise)
{
    size_t length = strlen(key);
    for (const char *at = strstr(arguments, key); at != NULL; at = strstr(at + 1, key)) {
        if ((at == arguments || at[-1] == ' ') && at[length] == '=') {
            return strtoull(at + length + 1, NULL, 10);
        }
    }
    return otherwise;
}

/* The numbers of "terms=1,1,2"; returns how many. */
static size_t option_terms(const char *arguments, uint64_t *terms)
{
    const char *at = strstr(arguments, "terms=");
    if (at == NULL) {
        return 0;
    }
    size_t count = 0;
    at += strlen("terms=");
    for (;;) {
        char *end = NULL;
        assert_true(count < TERMS_MAX);
        terms[count++] = strtoull(at, &end, 10);
        assert_true(end > at);
        if (*end != ',') {
            return count;
        }
        at = end + 1;
    }
}

/* The n-th word if it is a number, else `otherwise`. */
static uint64_t number(const char *arguments, unsigned n, uint64_t otherwise)
{
    const char *at = arguments;
    for (unsigned i = 0; i < n && at != NULL; i++) {
        at = strchr(at, ' ');
        at = at == NULL ? NULL : at + 1;
    }
    return at == NULL || *at < '0' || *at > '9' ? otherwise : strtoull(at, NULL, 10);
}

/* "A>B" at the front. */
static void link_of(const char *arguments, uint64_t *from, uint64_t *to)
{
    char *end = NULL;
    *from = strtoull(arguments, &end, 10);
    assert_int_equal(*end, '>');
    *to = strtoull(end + 1, NULL, 10);
}

/* Entries with the given terms after `index`. */
static size_t make_entries(const char *arguments, uint64_t index, struct raft_entry **out)
{
    uint64_t terms[TERMS_MAX];
    size_t count = option_terms(arguments, terms);
    uint32_t bytes = (uint32_t)option(arguments, "bytes", 8);
    for (size_t i = 0; i < count; i++) {
        out[i] = raft_entry_new(alloc_default(), index + 1 + i, terms[i], RAFT_ENTRY_DATA, bytes);
        assert_non_null(out[i]);
        memset(out[i]->data, 0, bytes);
    }
    return count;
}

/* ---- Commands -------------------------------------------------------------------------------- */

static void fixed_fill(struct rng *rng, void *out, size_t length)
{
    memset(out, 0, length);
    memcpy(out, &((struct fixed_rng *)rng)->value, length < 8 ? length : 8);
}

static void boot(struct stage *stage, struct node *node)
{
    struct error err = ERROR_INIT;
    stage->options.rng = &stage->rngs[node->id - 1].rng;
    stage->options.membership =
        node->id <= stage->voters ? voters_up_to(stage->voters) : slice_of_string("");
    enum status status = node_boot(node, &stage->options, &err);
    say_status(stage, node, status, &err);
    if (status == STATUS_OK) {
        drain(stage, node);
    }
}

static void do_cluster(struct stage *stage, const char *arguments)
{
    assert_int_equal(stage->count, 0);
    size_t voters = number(arguments, 0, 3);
    stage->count = voters + option(arguments, "spare", 0);
    assert_in_range(stage->count, 1, NODES_MAX);
    for (size_t i = 0; i < stage->count; i++) {
        stage->nodes[i].id = i + 1;
        stage->rngs[i] = (struct fixed_rng){.rng.fill = fixed_fill};
    }
    stage->options = (struct raft_options){
        .election_ticks = (unsigned)option(arguments, "election", 8), /* a power of two */
        .heartbeat_ticks = (unsigned)option(arguments, "heartbeat", 2),
        .message_bytes_max = option(arguments, "message_bytes", 1000000),
        .inflight_bytes_max = option(arguments, "inflight_bytes", 8000000),
        .inflight_messages_max = option(arguments, "inflight_messages", 64),
        .cache_bytes_max = option(arguments, "cache_bytes", 64000000),
        .alloc = alloc_default(),
    };
    stage->voters = voters;
    stage->manual_loads = option(arguments, "manual_loads", 0) == 1;
    if (option(arguments, "boot", 1) == 1) {
        for (size_t i = 0; i < stage->count; i++) {
            boot(stage, &stage->nodes[i]);
        }
    }
}

/* node ID term=T vote=V terms=1,1,2 applied=N: its disk, and then the core on it. */
static void do_node(struct stage *stage, const char *arguments)
{
    struct node *node = node_of(stage, number(arguments, 0, 0));
    struct raft_entry *entries[TERMS_MAX];
    size_t count = make_entries(arguments, 0, entries);
    for (size_t i = 0; i < count; i++) {
        disk_put(&node->disk, entries[i]);
        raft_entry_unref(entries[i]);
    }
    node->disk.hard_state.term =
        option(arguments, "term", count == 0 ? 0 : entries[count - 1]->term);
    node->disk.hard_state.vote = option(arguments, "vote", 0);
    node->applied = option(arguments, "applied", 0);
    boot(stage, node);
}

static void tick(struct stage *stage, struct node *node, uint64_t count)
{
    struct error err = ERROR_INIT;
    for (uint64_t i = 0; i < count && node->raft != NULL; i++) {
        say_status(stage, node, raft_tick(node->raft, &err), &err);
        drain(stage, node);
    }
}

static void do_tick(struct stage *stage, const char *arguments)
{
    tick(stage, node_of(stage, number(arguments, 0, 0)), number(arguments, 1, 1));
}

static enum raft_role role_of(const struct node *node)
{
    struct raft_status status;
    raft_status(node->raft, &status);
    return status.role;
}

/* All others let their leader's lease run out; then ID campaigns and all is delivered. */
static void do_elect(struct stage *stage, const char *arguments)
{
    struct node *node = node_of(stage, number(arguments, 0, 0));
    unsigned ticks = stage->options.election_ticks;
    for (size_t i = 0; i < stage->count; i++) {
        struct node *other = &stage->nodes[i];
        if (other->raft != NULL && other != node && role_of(other) != RAFT_LEADER) {
            raft_set_electable(other->raft, false);
            tick(stage, other, ticks);
        }
    }
    for (unsigned i = 0; i < 2 * ticks && role_of(node) == RAFT_FOLLOWER; i++) {
        tick(stage, node, 1);
    }
    settle(stage);
    for (size_t i = 0; i < stage->count; i++) {
        if (stage->nodes[i].raft != NULL) {
            raft_set_electable(stage->nodes[i].raft, true);
        }
    }
}

/* After a command that may say "unready": nothing is given out yet, and what follows joins it. */
static void drain_unless_unready(struct stage *stage, struct node *node, const char *arguments)
{
    if (strstr(arguments, " unready") == NULL) {
        drain(stage, node);
    }
}

/* propose ID [N] [BYTES] [unready] */
static void do_propose(struct stage *stage, const char *arguments)
{
    struct node *node = node_of(stage, number(arguments, 0, 0));
    uint64_t count = number(arguments, 1, 1);
    uint32_t bytes = (uint32_t)number(arguments, 2, 8);
    struct error err = ERROR_INIT;
    for (uint64_t i = 0; i < count; i++) {
        struct raft_entry *entry = raft_entry_new(alloc_default(), 0, 0, RAFT_ENTRY_DATA, bytes);
        assert_non_null(entry);
        memset(entry->data, 0, bytes);
        enum status status = raft_propose(node->raft, entry, &err);
        if (status != STATUS_OK) {
            say_status(stage, node, status, &err);
            raft_entry_unref(entry);
        }
    }
    drain_unless_unready(stage, node, arguments);
}

/* member LEADER add|promote|remove ID [unready] */
static void do_member(struct stage *stage, const char *arguments)
{
    struct node *node = node_of(stage, number(arguments, 0, 0));
    uint64_t id = number(arguments, 2, 0);
    struct error err = ERROR_INIT;
    struct buf bytes;
    uint64_t index = 0;
    const struct raft_membership *now = raft_members_now(node->raft, &index);
    buf_init(&bytes, alloc_default(), 4096);
    enum status status;
    if (strstr(arguments, " add ") != NULL) {
        status = raft_membership_add(now, id, slice_of_string(""), &bytes, &err);
    } else if (strstr(arguments, " promote ") != NULL) {
        status = raft_membership_promote(now, id, &bytes, &err);
    } else {
        assert_non_null(strstr(arguments, " remove "));
        status = raft_membership_remove(now, id, &bytes, &err);
    }
    if (status == STATUS_OK) {
        struct raft_entry *entry =
            raft_entry_new(alloc_default(), 0, 0, RAFT_ENTRY_MEMBERSHIP, (uint32_t)bytes.length);
        assert_non_null(entry);
        memcpy(entry->data, bytes.data, bytes.length);
        status = raft_change(node->raft, entry, &err);
        if (status != STATUS_OK) {
            raft_entry_unref(entry);
        }
    }
    buf_release(&bytes);
    say_status(stage, node, status, &err);
    drain_unless_unready(stage, node, arguments);
}

static void do_members(struct stage *stage, const char *arguments)
{
    say_members(stage, node_of(stage, number(arguments, 0, 0)));
}

static size_t first_on_link(const struct stage *stage, uint64_t from, uint64_t to)
{
    size_t at = 0;
    while (at < stage->network.count && (stage->network.letters[at].message.from != from ||
                                         stage->network.letters[at].message.to != to)) {
        at++;
    }
    return at;
}

/* deliver A>B [N]: the first N letters on that link, or all that are there now. */
static void do_deliver(struct stage *stage, const char *arguments)
{
    uint64_t from, to;
    link_of(arguments, &from, &to);
    uint64_t count = 0;
    for (size_t i = 0; i < stage->network.count; i++) {
        count += stage->network.letters[i].message.from == from &&
                 stage->network.letters[i].message.to == to;
    }
    uint64_t wanted = number(arguments, 1, count);
    assert_true(wanted <= count);
    for (uint64_t i = 0; i < wanted; i++) {
        hand_over(stage, first_on_link(stage, from, to));
    }
}

static void do_drop(struct stage *stage, const char *arguments)
{
    uint64_t from, to;
    link_of(arguments, &from, &to);
    uint64_t left = number(arguments, 1, UINT64_MAX);
    for (size_t at = first_on_link(stage, from, to); left > 0 && at < stage->network.count;
         at = first_on_link(stage, from, to), left--) {
        struct letter letter = network_take(&stage->network, at);
        letter_release(&letter);
    }
}

/* repeat A>B: the first letter on the link is there twice (and comes again last). */
static void do_repeat(struct stage *stage, const char *arguments)
{
    uint64_t from, to;
    link_of(arguments, &from, &to);
    size_t at = first_on_link(stage, from, to);
    assert_true(at < stage->network.count);
    struct raft_message copy = stage->network.letters[at].message;
    network_post(&stage->network, &copy, 0);
}

/* overtake A>B: the first letter on the link falls behind all others on it. */
static void do_overtake(struct stage *stage, const char *arguments)
{
    uint64_t from, to;
    do_repeat(stage, arguments);
    link_of(arguments, &from, &to);
    struct letter letter = network_take(&stage->network, first_on_link(stage, from, to));
    letter_release(&letter);
}

/* cut A>B, join A>B: one direction. cut A, join A: everything to and from A. */
static void set_cut(struct stage *stage, const char *arguments, bool cut)
{
    uint64_t from, to;
    if (strchr(arguments, '>') != NULL) {
        link_of(arguments, &from, &to);
        stage->cut[from - 1][to - 1] = cut;
        return;
    }
    from = number(arguments, 0, 0);
    assert_in_range(from, 1, stage->count);
    for (size_t i = 0; i < stage->count; i++) {
        stage->cut[from - 1][i] = cut;
        stage->cut[i][from - 1] = cut;
    }
}

static void do_cut(struct stage *stage, const char *arguments)
{
    set_cut(stage, arguments, true);
}

static void do_join(struct stage *stage, const char *arguments)
{
    set_cut(stage, arguments, false);
}

static void do_settle(struct stage *stage, const char *arguments)
{
    (void)arguments;
    settle(stage);
}

/* disk ID manual|auto */
static void do_disk(struct stage *stage, const char *arguments)
{
    struct node *node = node_of(stage, number(arguments, 0, 0));
    stage->manual_disk[node->id - 1] = strstr(arguments, "manual") != NULL;
    drain(stage, node);
}

/* sync ID [N]: the first N writes, or all. */
static void do_sync(struct stage *stage, const char *arguments)
{
    struct node *node = node_of(stage, number(arguments, 0, 0));
    uint64_t count = number(arguments, 1, node->disk.write_count);
    assert_true(count <= node->disk.write_count);
    for (uint64_t i = 0; i < count; i++) {
        sync_first(stage, node);
    }
    drain(stage, node);
}

/* ack ID SEQUENCE INDEX TERM: the disk says so, whatever it holds. */
static void do_ack(struct stage *stage, const char *arguments)
{
    struct node *node = node_of(stage, number(arguments, 0, 0));
    raft_stored(node->raft, number(arguments, 1, 0), number(arguments, 2, 0),
                number(arguments, 3, 0));
    drain(stage, node);
}

static void do_crash(struct stage *stage, const char *arguments)
{
    struct node *node = node_of(stage, number(arguments, 0, 0));
    raft_free(node->raft);
    node->raft = NULL;
    stage->load_count[node->id - 1] = 0;
    while (node->disk.write_count > 0) {
        disk_drop_first(&node->disk);
    }
}

/* lose ID INDEX|overwritten: the log of a node that is down is damaged after this entry, or from
 * where it overwrote a tail, which is there again. */
static void do_lose(struct stage *stage, const char *arguments)
{
    struct node *node = node_of(stage, number(arguments, 0, 0));
    if (strstr(arguments, "overwritten") != NULL) {
        node_lose_to_overwritten(node);
    } else {
        node_lose(node, number(arguments, 1, 0));
    }
}

static void do_boot(struct stage *stage, const char *arguments)
{
    boot(stage, node_of(stage, number(arguments, 0, 0)));
}

static void do_read(struct stage *stage, const char *arguments)
{
    struct node *node = node_of(stage, number(arguments, 0, 0));
    struct error err = ERROR_INIT;
    for (uint64_t i = 0; i < number(arguments, 2, 1); i++) {
        say_status(stage, node, raft_read(node->raft, number(arguments, 1, 0) + i, &err), &err);
    }
    drain(stage, node);
}

static void do_transfer(struct stage *stage, const char *arguments)
{
    struct node *node = node_of(stage, number(arguments, 0, 0));
    struct error err = ERROR_INIT;
    say_status(stage, node, raft_transfer(node->raft, number(arguments, 1, 0), &err), &err);
    drain(stage, node);
}

/* load ID [failed]: answers what it asked for first. */
static void do_load(struct stage *stage, const char *arguments)
{
    struct node *node = node_of(stage, number(arguments, 0, 0));
    answer_load(stage, node, strstr(arguments, "failed") != NULL);
    drain(stage, node);
}

static void do_purge(struct stage *stage, const char *arguments)
{
    struct node *node = node_of(stage, number(arguments, 0, 0));
    disk_purge(&node->disk, number(arguments, 1, 0));
    raft_purged(node->raft, number(arguments, 1, 0));
}

/* recall ID INDEX: it had applied this in an earlier life. */
static void do_recall(struct stage *stage, const char *arguments)
{
    struct node *node = node_of(stage, number(arguments, 0, 0));
    raft_recall_commit(node->raft, number(arguments, 1, 0));
    drain(stage, node);
}

static void do_unreachable(struct stage *stage, const char *arguments)
{
    struct node *node = node_of(stage, number(arguments, 0, 0));
    raft_unreachable(node->raft, number(arguments, 1, 0));
    drain(stage, node);
}

static void do_electable(struct stage *stage, const char *arguments)
{
    struct node *node = node_of(stage, number(arguments, 0, 0));
    raft_set_electable(node->raft, strstr(arguments, " no") == NULL);
}

/* inject A>B TYPE field=value ... [reject=1] [terms=...]: a message that nobody sent. */
static void do_inject(struct stage *stage, const char *arguments)
{
    struct raft_message message = {0};
    struct raft_entry *entries[TERMS_MAX];
    char type[32];
    link_of(arguments, &message.from, &message.to);
    assert_int_equal(sscanf(arguments, "%*s %31s", type), 1);
    for (int i = RAFT_MESSAGE_APPEND; i <= RAFT_MESSAGE_TIMEOUT_NOW; i++) {
        if (strcmp(type, raft_message_type_name((enum raft_message_type)i)) == 0) {
            message.type = (enum raft_message_type)i;
        }
    }
    message.term = option(arguments, "term", 0);
    message.index = option(arguments, "index", 0);
    message.log_term = option(arguments, "log_term", 0);
    message.commit = option(arguments, "commit", 0);
    message.reject = option(arguments, "reject", 0) == 1;
    message.hint_index = option(arguments, "hint_index", 0);
    message.hint_term = option(arguments, "hint_term", 0);
    message.context = option(arguments, "context", 0);
    message.entries = entries;
    message.entry_count =
        make_entries(arguments, option(arguments, "first", message.index + 1) - 1, entries);
    /* Not through the network: the target may be no node at all. */
    struct node *node = node_of(stage, option(arguments, "at", message.to));
    struct error err = ERROR_INIT;
    say_status(stage, node, raft_receive(node->raft, &message, &err), &err);
    drain(stage, node);
    for (size_t i = 0; i < message.entry_count; i++) {
        raft_entry_unref(entries[i]);
    }
}

static void do_status(struct stage *stage, const char *arguments)
{
    struct node *node = node_of(stage, number(arguments, 0, 0));
    struct raft_status status;
    raft_status(node->raft, &status);
    say(stage,
        "  %" PRIu64 " %s term=%" PRIu64 " leader=%" PRIu64 " commit=%" PRIu64 " stored=%" PRIu64
        " last=%" PRIu64 "/%" PRIu64 " cache=[%" PRIu64 ", %" PRIu64 ")",
        node->id, raft_role_name(status.role), status.hard_state.term, status.leader, status.commit,
        status.stored_index, status.last_index, status.last_term, status.cache_first_index,
        status.last_index + 1);
    if (status.refill_index != 0) {
        say(stage, " refills up to %" PRIu64, status.refill_index);
    }
    say(stage, "\n");
    struct raft_peer peers[NODES_MAX];
    size_t count = raft_peers(node->raft, peers, NODES_MAX);
    for (size_t i = 0; i < count && status.role == RAFT_LEADER; i++) {
        if (peers[i].id != node->id) {
            say(stage,
                "    %" PRIu64 " %s match=%" PRIu64 " next=%" PRIu64 " in flight: %zu messages, "
                "%zu bytes\n",
                peers[i].id, raft_peer_state_name(peers[i].state), peers[i].match, peers[i].next,
                peers[i].inflight_messages, peers[i].inflight_bytes);
        }
    }
}

/* log ID: the terms of all entries, in memory; and what of it is durable. */
static void do_log(struct stage *stage, const char *arguments)
{
    struct node *node = node_of(stage, number(arguments, 0, 0));
    struct raft_status status;
    raft_status(node->raft, &status);
    say(stage, "  %" PRIu64 " log", node->id);
    for (uint64_t index = status.snapshot_index + 1; index <= status.last_index; index++) {
        uint64_t term = 0;
        assert_true(raft_term_at(node->raft, index, &term));
        say(stage, " %" PRIu64, term);
    }
    say(stage, "\n");
}

static const struct command {
    const char *name;
    void (*run)(struct stage *stage, const char *arguments);
} commands[] = {
    {"cluster", do_cluster},   {"node", do_node},
    {"tick", do_tick},         {"elect", do_elect},
    {"propose", do_propose},   {"deliver", do_deliver},
    {"drop", do_drop},         {"repeat", do_repeat},
    {"overtake", do_overtake}, {"cut", do_cut},
    {"join", do_join},         {"settle", do_settle},
    {"disk", do_disk},         {"sync", do_sync},
    {"ack", do_ack},           {"crash", do_crash},
    {"boot", do_boot},         {"read", do_read},
    {"transfer", do_transfer}, {"load", do_load},
    {"purge", do_purge},       {"unreachable", do_unreachable},
    {"inject", do_inject},     {"electable", do_electable},
    {"status", do_status},     {"log", do_log},
    {"member", do_member},     {"members", do_members},
    {"lose", do_lose},         {"recall", do_recall},
};

static void run_command(struct stage *stage, const char *line)
{
    static const char quiet[] = "quiet ";
    stage->quiet = strncmp(line, quiet, sizeof quiet - 1) == 0;
    if (stage->quiet) {
        line += sizeof quiet - 1;
    }
    size_t length = strcspn(line, " ");
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strlen(commands[i].name) == length && strncmp(line, commands[i].name, length) == 0) {
            commands[i].run(stage, line[length] == ' ' ? line + length + 1 : line + length);
            stage->quiet = false;
            return;
        }
    }
    fail_msg("no such command: %s", line);
}

/* ---- Scripts --------------------------------------------------------------------------------- */

static char *read_script(const char *path)
{
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    char *text = calloc(1, TRACE_BYTES_MAX);
    assert_non_null(text);
    size_t length = fread(text, 1, TRACE_BYTES_MAX - 1, file);
    assert_true(length < TRACE_BYTES_MAX - 1);
    fclose(file);
    return text;
}

static void stage_release(struct stage *stage)
{
    for (size_t i = 0; i < stage->count; i++) {
        raft_free(stage->nodes[i].raft);
        node_refilled(&stage->nodes[i]);
        disk_release(&stage->nodes[i].disk);
    }
    network_release(&stage->network);
    buf_release(&stage->trace);
}

/* Runs the commands of `text`; the trace is the text as it should be. */
static void perform(struct stage *stage, const char *text)
{
    buf_init(&stage->trace, alloc_default(), TRACE_BYTES_MAX);
    while (*text != '\0') {
        size_t length = strcspn(text, "\n");
        if (*text == '>') {
            char line[1024];
            assert_true(length >= 2 && length < sizeof line);
            snprintf(line, sizeof line, "%.*s", (int)length - 2, text + 2);
            say(stage, "> %s\n", line);
            run_command(stage, line);
        } else if (*text == '#' || *text == '\n') {
            say(stage, "%.*s\n", (int)length, text);
        }
        text += length + (text[length] == '\n');
    }
}

static void show_difference(const char *name, const char *expected, const char *actual)
{
    unsigned line = 1;
    for (;;) {
        size_t there = strcspn(expected, "\n");
        size_t here = strcspn(actual, "\n");
        if (there != here || strncmp(expected, actual, here) != 0 || *actual == '\0') {
            fail_msg("%s:%u differs\n   expected: %.*s\n   but got:  %.*s", name, line, (int)there,
                     expected, (int)here, actual);
        }
        expected += there + (expected[there] == '\n');
        actual += here + (actual[here] == '\n');
        line++;
    }
}

static void run_script(void **state)
{
    const char *path = *state;
    char *text = read_script(path);
    struct stage *stage = calloc(1, sizeof *stage);
    assert_non_null(stage);
    perform(stage, text);
    buf_put_u8(&stage->trace, '\0');
    const char *actual = (const char *)stage->trace.data;
    if (getenv("ESTREAT_REWRITE") != NULL) {
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fputs(actual, file);
        fclose(file);
    } else if (strcmp(text, actual) != 0) {
        show_difference(strrchr(path, '/') + 1, text, actual);
    }
    stage_release(stage);
    free(stage);
    free(text);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static size_t find_scripts(char **paths)
{
    char directory[PATH_BYTES_MAX];
    DIR *listing = opendir(test_source_path(directory, "tests/unit/raft/scripts"));
    size_t count = 0;
    for (struct dirent *item = listing == NULL ? NULL : readdir(listing); item != NULL;
         item = readdir(listing)) {
        const char *dot = strrchr(item->d_name, '.');
        if (dot != NULL && strcmp(dot, ".txt") == 0 && count < SCRIPTS_MAX) {
            size_t bytes = strlen(directory) + strlen(item->d_name) + 2;
            paths[count] = calloc(1, bytes);
            snprintf(paths[count++], bytes, "%s/%s", directory, item->d_name);
        }
    }
    if (listing != NULL) {
        closedir(listing);
    }
    qsort(paths, count, sizeof paths[0], by_name);
    return count;
}

int main(void)
{
    char *paths[SCRIPTS_MAX];
    struct CMUnitTest tests[SCRIPTS_MAX];
    size_t count = find_scripts(paths);
    if (count == 0) {
        print_error("no scripts were found\n");
        return 1;
    }
    for (size_t i = 0; i < count; i++) {
        tests[i] = (struct CMUnitTest){
            .name = strrchr(paths[i], '/') + 1, .test_func = run_script, .initial_state = paths[i]};
    }
    int failed = _cmocka_run_group_tests("scenarios", tests, count, NULL, NULL);
    for (size_t i = 0; i < count; i++) {
        free(paths[i]);
    }
    return failed;
}
