/* SPDX-License-Identifier: Apache-2.0 */
#include "node/driver.h"

#include "base/check.h"
#include "base/log.h"
#include "base/plant.h"
#include "node/apply.h"
#include "node/duties.h"

#define TICK_NS DRIVER_TICK_NS
#define APPLYING_BYTES_MAX (32 * MIB) /* with the applier */
#define HOUSEKEEPING_NS (500 * NS_PER_MS)
#define SESSION_IDLE_NS (3600 * NS_PER_S)
#define SESSION_EXPIRY_INTERVAL_NS (600 * NS_PER_S)

struct driver {
    struct driver_options options;
    struct raft *raft;
    struct log_writer log;
    struct proposals proposals;
    struct reads reads;
    struct members members;
    struct member_clocks clocks;
    struct member_points points;
    struct admin admin;
    struct duties duties;
    bool members_news; /* on_members is to be told */
    struct intake leave_item;
    struct intake stop_item;

    uint64_t next_tick_ns;
    uint64_t next_housekeeping_ns;
    uint64_t next_expiry_ns;
    uint64_t commit;
    uint64_t
        recall_size;     /* it has applied so many events in an earlier life; 0: no more than now */
    uint64_t apply_next; /* the first index that the applier was not given */
    uint64_t applying_bytes;
    bool stopping;
    bool stopped; /* what still comes in is only given back */
    bool failed;
    struct raft_soft_state soft;

    struct mutex mutex; /* guards `status` */
    struct driver_status status;
};

static uint64_t now(const struct driver *driver)
{
    return clock_monotonic_ns(driver->options.clock);
}

static bool leads(const struct driver *driver)
{
    return driver->soft.role == RAFT_LEADER;
}

static void fatal(struct driver *driver, const struct error *err)
{
    if (!driver->failed) {
        driver->failed = true;
        driver->options.on_fatal(driver->options.context, err);
    }
}

void driver_wal_done(void *context)
{
    struct wal_notice *notice = context;
    intake_push(notice->intake, &notice->item, INTAKE_WAL_DONE);
}

/* --- proposals ----------------------------------------------------------------------------- */

void driver_propose(struct driver *driver, struct proposal *first)
{
    intake_push(driver->options.intake, &first->intake, INTAKE_PROPOSALS);
}

/* Old sessions are forgotten by an entry, so that all nodes forget the same ones. */
static void expire_sessions(struct driver *driver, uint64_t now_ns)
{
    if (!leads(driver) || now_ns < driver->next_expiry_ns) {
        return;
    }
    driver->next_expiry_ns = now_ns + SESSION_EXPIRY_INTERVAL_NS;
    if (driver->log.last_time_ns <= SESSION_IDLE_NS) {
        return;
    }
    struct raft_entry *entry =
        raft_entry_new(driver->options.alloc, 0, 0, ENTRY_EXPIRE_SESSIONS, 8);
    if (entry != NULL) {
        struct error err = ERROR_INIT;
        put_le64(entry->data, driver->log.last_time_ns - SESSION_IDLE_NS);
        if (raft_propose(driver->raft, entry, &err) != STATUS_OK) {
            raft_entry_unref(entry); /* the next time, then */
        }
    }
}

/* --- intake ------------------------------------------------------------------------------ */

/* Without disk space for them, entries count as lost on the way: the leader sends them again. Those
 * without events are small, and without a new leader's first one nobody could read or change the
 * members: they may use what is left. */
static bool has_no_room(const struct driver *driver, const struct raft_message *message)
{
    if (!driver->proposals.low_space || message->entry_count == 0) {
        return false;
    }
    bool has_events = false;
    for (size_t i = 0; i < message->entry_count; i++) {
        has_events = has_events || message->entries[i]->type == ENTRY_APPEND;
    }
    return has_events || log_writer_waits(&driver->log) || !wal_has_room(driver->options.wal);
}

static void receive(struct driver *driver, struct peer_message *message)
{
    struct error err = ERROR_INIT;
    member_clocks_heard(&driver->clocks, message->message.from, message->news.clock_ns);
    if (message->news.tells_applied) {
        member_points_heard(&driver->points, &driver->members, message->message.from,
                            &message->news.applied);
    }
    if (!has_no_room(driver, &message->message)) {
        enum status status = raft_receive(driver->raft, &message->message, &err);
        if (status == STATUS_DATA_LOSS) {
            fatal(driver, &err);
        }
    }
    peer_message_free(message);
}

static void wal_done(struct driver *driver)
{
    duties_log_idle(&driver->duties);
    if (driver->stopped) {
        return; /* a SYNCED record at the very end; the WAL may be closed by now */
    }
    struct error err = ERROR_INIT;
    struct log_stored stored;
    enum status status = log_writer_finish(&driver->log, &stored, &err);
    if (status == STATUS_RESOURCE_EXHAUSTED) {
        driver->proposals.low_space = true;
        return;
    }
    if (status == STATUS_OK) {
        status = raft_hard_state_stored(driver->raft, stored.hard_state, &err);
        if (status == STATUS_RESOURCE_EXHAUSTED) {
            status = STATUS_OK; /* it stands back from leading; nothing is lost */
        }
    }
    if (status != STATUS_OK) {
        fatal(driver, &err);
        return;
    }
    if (stored.sequence > 0) {
        raft_stored(driver->raft, stored.sequence, stored.index, stored.term);
    }
}

static void applied(struct driver *driver, struct apply_batch *batch)
{
    uint64_t index = batch->end - 1;
    CHECK(driver->applying_bytes >= batch->bytes);
    driver->applying_bytes -= batch->bytes;
    for (size_t i = 0; i < batch->entry_count; i++) {
        raft_entry_unref(batch->entries[i]);
    }
    alloc_free(driver->options.alloc, batch);
    if (!driver->failed) {
        raft_applied(driver->raft, index);
    }
}

static void loaded(struct driver *driver, struct entry_load *load)
{
    struct error err = ERROR_INIT;
    /* Without memory the core asks again. */
    (void)!raft_loaded(driver->raft, &load->load, load->entries, load->count, &err);
    if (load->damaged) {
        /* Leading on, it would keep others from what it cannot give them. */
        fatal(driver, &load->error);
    }
    entry_load_free(load);
}

static void leave(struct driver *driver)
{
    driver->proposals.closed = true;
    duties_leave(&driver->duties, now(driver));
}

static void take(struct driver *driver, struct intake *item)
{
    switch (item->kind) {
    case INTAKE_PROPOSALS:
        proposals_add(&driver->proposals, (struct proposal *)item);
        break;
    case INTAKE_MESSAGE:
        receive(driver, (struct peer_message *)item);
        break;
    case INTAKE_UNREACHABLE: {
        struct peer_lost *lost = (struct peer_lost *)item;
        raft_unreachable(driver->raft, lost->peer);
        alloc_free(lost->alloc, lost);
        break;
    }
    case INTAKE_READ:
        reads_add(&driver->reads, (struct read_barrier *)item);
        break;
    case INTAKE_WAL_DONE:
        wal_done(driver);
        break;
    case INTAKE_APPLIED:
        applied(driver, (struct apply_batch *)item);
        break;
    case INTAKE_LOADED:
        loaded(driver, (struct entry_load *)item);
        break;
    case INTAKE_ADMIN:
        admin_add(&driver->admin, (struct admin_request *)item);
        break;
    case INTAKE_LEAVE:
        leave(driver);
        break;
    case INTAKE_STOP:
        leave(driver);
        driver->stopping = true;
        break;
    }
}

/* --- what the core wants done ------------------------------------------------------------ */

static void send_messages(struct driver *driver, const struct raft_ready *ready)
{
    for (size_t i = 0; i < ready->message_count; i++) {
        const struct raft_message *message = &ready->messages[i];
        struct peer_news news = {.clock_ns = clock_realtime_ns(driver->options.clock)};
        if (message->type == RAFT_MESSAGE_HEARTBEAT_REPLY) {
            news.tells_applied = true;
            news.applied = applied_get(driver->options.applied);
        }
        if (!driver->options.send(driver->options.send_context, message, &news) &&
            message->entry_count > 0) {
            raft_unreachable(driver->raft, message->to);
        }
    }
}

static void change_role(struct driver *driver, const struct raft_soft_state *soft)
{
    const struct member *leader = members_find(&driver->members, soft->leader);
    driver->soft = *soft;
    log_write("raft", LOG_INFO, "role", "role=%s term=%lu leader=%s", raft_role_name(soft->role),
              (unsigned long)soft->term, leader == NULL ? "none" : leader->at.id);
    proposals_set_leader(&driver->proposals, soft->role == RAFT_LEADER, soft->leader);
    driver->points = (struct member_points){0}; /* what was told before it led may be long past */
}

/* Asks the core who belongs to the cluster now. */
static void read_members(struct driver *driver)
{
    uint64_t index = 0;
    struct raft_peer peers[RAFT_PEERS_MAX];
    size_t count = raft_peers(driver->raft, peers, RAFT_PEERS_MAX);
    const struct raft_membership *now = raft_members_now(driver->raft, &index);
    members_fill(&driver->members, now, index, peers, count, driver->options.config);
    driver->members_news = true;
}

static void change_members(struct driver *driver)
{
    read_members(driver);
    for (size_t i = 0; i < driver->members.count; i++) {
        const struct member *member = &driver->members.of[i];
        log_write("raft", LOG_INFO, "member", "index=%lu id=%s role=%s peer=%s",
                  (unsigned long)driver->members.index, member->at.id,
                  member->leaving
                      ? "leaving"
                      : raft_member_role_name(member->voter ? RAFT_VOTER : RAFT_LEARNER),
                  member->at.peer);
    }
}

/* Gives the applier what is committed, as much as it should have at a time. */
static void feed_applier(struct driver *driver)
{
    while (driver->apply_next <= driver->commit && driver->applying_bytes < APPLYING_BYTES_MAX) {
        struct apply_batch *batch = alloc_new(driver->options.alloc, sizeof *batch);
        if (batch == NULL) {
            return; /* the next turn, then */
        }
        batch->begin = driver->apply_next;
        batch->end = driver->commit + 1;
        if (batch->end - batch->begin > APPLY_BATCH_ENTRIES) {
            batch->end = batch->begin + APPLY_BATCH_ENTRIES;
        }
        batch->entry_count = raft_entries(driver->raft, batch->begin, batch->end, batch->entries);
        batch->bytes = 0;
        if (batch->entry_count > 0) {
            batch->end = batch->begin + batch->entry_count;
            for (size_t i = 0; i < batch->entry_count; i++) {
                batch->bytes += batch->entries[i]->length;
            }
        } else {
            /* Of unknown size, so it counts as all that may be under way. */
            batch->bytes = APPLYING_BYTES_MAX;
        }
        driver->apply_next = batch->end;
        driver->applying_bytes += batch->bytes;
        applier_submit(driver->options.applier, batch);
    }
}

static void carry_out(struct driver *driver, const struct raft_ready *ready)
{
    struct error err = ERROR_INIT;
    if (log_writer_store(&driver->log, ready, &err) != STATUS_OK) {
        fatal(driver, &err);
        return;
    }
    send_messages(driver, ready);
    for (size_t i = 0; i < ready->load_count; i++) {
        if (!loader_submit(driver->options.loader, &ready->loads[i])) {
            (void)!raft_loaded(driver->raft, &ready->loads[i], NULL, 0, &err);
        }
    }
    for (size_t i = 0; i < ready->read_count; i++) {
        reads_answer(&driver->reads, &ready->reads[i]);
    }
    if (ready->has_commit) {
        driver->commit = ready->commit;
    }
    if (ready->has_membership) {
        change_members(driver);
    }
    if (ready->has_soft_state) {
        change_role(driver, &ready->soft_state);
    }
    if (ready->refilled) {
        driver->options.on_refilled(driver->options.context);
    }
    if (ready->snapshot_wanted != 0) {
        driver->options.on_snapshot_wanted(driver->options.context, &driver->members,
                                           driver->soft.leader, ready->snapshot_wanted);
    }
}

/* --- time -------------------------------------------------------------------------------- */

static void watch_space(struct driver *driver)
{
    const struct config *config = driver->options.config;
    struct error err = ERROR_INIT;
    uint64_t free_bytes = 0;
    if (fs_free_bytes(driver->options.fs, config->data, &free_bytes, &err) != STATUS_OK) {
        return;
    }
    bool low = free_bytes < config_free_bytes_min(config) || log_writer_waits(&driver->log) ||
               !wal_has_room(driver->options.wal);
    if (low != driver->proposals.low_space) {
        log_write("node", low ? LOG_ERROR : LOG_INFO,
                  low ? "disk nearly full: appends are refused" : "disk has room again",
                  "free_mib=%lu wanted_mib=%lu", (unsigned long)(free_bytes / MIB),
                  (unsigned long)(config_free_bytes_min(config) / MIB));
        driver->proposals.low_space = low;
    }
}

/* The log is kept from the first entry that tables do not have, and from the first that some
 * member lacks, unless that would keep more than retain_bytes, or appends are refused for want of
 * space: a snapshot serves that member, too. */
static void purge(struct driver *driver)
{
    uint64_t flushed = applier_flushed_index(driver->options.applier);
    if (PLANTED(PURGE_UNFLUSHED)) {
        flushed = applied_get(driver->options.applied).index;
    }
    uint64_t wanted = raft_retain_index(driver->raft);
    if (wanted > flushed || driver->proposals.low_space ||
        wal_bytes(driver->options.wal) > driver->options.config->retain_bytes) {
        wanted = flushed;
    }
    /* Else it would find the log gone again, and pull for ever. */
    uint64_t held = driver->options.log_needed_past(driver->options.context);
    if (wanted > held && !driver->proposals.low_space && !PLANTED(PURGE_PULLED)) {
        wanted = held;
    }
    if (wanted + 1 <= wal_first_index(driver->options.wal)) {
        return;
    }
    struct error err = ERROR_INIT;
    if (wal_purge(driver->options.wal, wanted, &err) != STATUS_OK) {
        char text[ERROR_TEXT_BYTES];
        log_write("wal", LOG_WARN, "purge failed", "error=%s",
                  log_quote(text, sizeof text, err.text));
    }
    /* Also after a failure: what the log no longer gives out is to be looked for elsewhere. */
    uint64_t first = wal_first_index(driver->options.wal);
    if (first > 1) {
        raft_purged(driver->raft, first - 1);
    }
}

/* What the applier has met it does not get over: see applier.h. */
static void watch_applier(struct driver *driver)
{
    if (!driver->proposals.stands && applier_stands(driver->options.applier)) {
        raft_stop_applying(driver->raft);
        proposals_stand(&driver->proposals);
    }
}

static void keep_house(struct driver *driver, uint64_t now_ns)
{
    if (now_ns < driver->next_housekeeping_ns) {
        return;
    }
    driver->next_housekeeping_ns = now_ns + HOUSEKEEPING_NS;
    struct error err = ERROR_INIT;
    watch_space(driver);
    admin_promote(&driver->admin);
    purge(driver);
    expire_sessions(driver, now_ns);
    driver->options.on_house(driver->options.context);
    enum status status = wal_idle(driver->options.wal, &err);
    if (status != STATUS_OK && status != STATUS_RESOURCE_EXHAUSTED) {
        fatal(driver, &err);
    }
}

static void tick(struct driver *driver)
{
    uint64_t now_ns = now(driver);
    while (driver->next_tick_ns <= now_ns) {
        struct error err = ERROR_INIT;
        /* Without memory it is tried again at the next tick. */
        (void)!raft_tick(driver->raft, &err);
        driver->next_tick_ns += TICK_NS;
        if (now_ns > driver->next_tick_ns + 10 * TICK_NS) {
            driver->next_tick_ns = now_ns; /* it slept: one tick, not hundreds */
        }
    }
    reads_tick(&driver->reads, now_ns, driver->options.config->election_ms * NS_PER_MS);
    applied_expire(driver->options.applied, now_ns);
    watch_applier(driver);
    duties_watch(&driver->duties, driver->commit, now_ns);
    keep_house(driver, now_ns);
    log_writer_tick(&driver->log);
}

/* What this node signed it had applied, so that was committed. It need not wait for a leader to say
 * so: one that leads and whose followers need its snapshot would wait for ever, since it gives none
 * before it is as far as what it signed. An entry has EVENTS_PER_REQUEST_MAX events at most, so
 * so many entries at least lead there. */
static void recall_commit(struct driver *driver)
{
    if (driver->recall_size == 0) {
        return;
    }
    struct applied_point applied = applied_get(driver->options.applied);
    struct raft_status status;
    if (applied.size >= driver->recall_size) {
        driver->recall_size = 0;
        return;
    }
    raft_status(driver->raft, &status);
    uint64_t index =
        applied.index + 1 + (driver->recall_size - applied.size - 1) / EVENTS_PER_REQUEST_MAX;
    if (index <= status.stored_index) {
        raft_recall_commit(driver->raft, index);
    }
}

static void publish_status(struct driver *driver)
{
    struct driver_status status;
    raft_status(driver->raft, &status.raft);
    status.peer_count = raft_peers(driver->raft, status.peers, RAFT_PEERS_MAX);
    mutex_lock(&driver->mutex);
    driver->status.raft = status.raft;
    driver->status.peer_count = status.peer_count;
    driver->status.points = driver->points;
    driver->status.left = duties_left(&driver->duties, leads(driver), now(driver));
    memcpy(driver->status.peers, status.peers, status.peer_count * sizeof status.peers[0]);
    if (driver->members_news) {
        driver->status.members = driver->members;
    }
    mutex_unlock(&driver->mutex);
}

/* --- turns ------------------------------------------------------------------------------- */

static void take_all(struct driver *driver)
{
    struct intake *item;
    while ((item = intake_take(driver->options.intake)) != NULL) {
        take(driver, item);
    }
}

static bool may_stop(const struct driver *driver)
{
    bool left = duties_left(&driver->duties, leads(driver), now(driver));
    return driver->stopping && (driver->failed || (left && !wal_busy(driver->options.wal)));
}

static void work(struct driver *driver)
{
    if (now(driver) >= driver->next_tick_ns) {
        tick(driver);
    }
    duties_hand_over(&driver->duties, leads(driver), now(driver));
    proposals_go(&driver->proposals);
    reads_ask(&driver->reads, driver->raft, now(driver));
    recall_commit(driver);
    struct error err = ERROR_INIT;
    enum status status = log_writer_go_on(&driver->log, &err);
    struct raft_ready ready;
    while (status == STATUS_OK && !driver->failed && log_writer_ready(&driver->log) &&
           raft_ready(driver->raft, &ready)) {
        carry_out(driver, &ready);
    }
    feed_applier(driver);
    admin_settle(&driver->admin, driver->commit, now(driver));
    if (status == STATUS_OK && !driver->failed) {
        status = log_writer_submit(&driver->log, &err);
        if (wal_busy(driver->options.wal)) {
            duties_log_busy(&driver->duties, now(driver));
        }
    }
    if (status != STATUS_OK) {
        fatal(driver, &err);
    }
    publish_status(driver);
    if (driver->members_news && driver->options.on_members != NULL) {
        driver->options.on_members(driver->options.send_context, &driver->members);
    }
    driver->members_news = false;
}

bool driver_turn(struct driver *driver, uint64_t *due_ns)
{
    intake_begin(driver->options.intake);
    take_all(driver);
    if (!driver->failed) {
        work(driver);
    }
    *due_ns =
        UINT64_MAX; /* after a failure: only to give back what comes in, until it is stopped */
    if (!driver->failed) {
        uint64_t held_ns = proposals_due_ns(&driver->proposals);
        *due_ns = held_ns < driver->next_tick_ns ? held_ns : driver->next_tick_ns;
    }
    return !may_stop(driver);
}

/* --- life -------------------------------------------------------------------------------- */

static enum status core_new(struct driver *driver, struct error *err)
{
    const struct driver_options *options = &driver->options;
    const struct config *config = options->config;
    const struct wal_recovered *recovered = options->recovered;
    uint64_t base_term = 0;
    if (!wal_term_at(options->wal, recovered->first_index - 1, &base_term) &&
        recovered->run_count > 0) {
        /* Nobody can hold that entry with this term and differ below, so a wrong guess only
         * makes a probe fail. */
        base_term = recovered->runs[0].term;
    }
    struct raft_term_run *runs = NULL;
    if (recovered->run_count > 0) {
        runs = alloc_zeroed(options->alloc, recovered->run_count, sizeof *runs);
        if (runs == NULL) {
            return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for the log's terms");
        }
    }
    for (size_t i = 0; i < recovered->run_count; i++) {
        runs[i] = (struct raft_term_run){.first_index = recovered->runs[i].first_index,
                                         .term = recovered->runs[i].term};
    }
    const struct raft_options raft_options = {
        .id = config_raft_id(config, config_self(config)),
        .membership = options->start->membership,
        .changes = driver->log.changes,
        .change_count = driver->log.change_count,
        .election_ticks = (unsigned)(config->election_ms * NS_PER_MS / TICK_NS),
        .heartbeat_ticks = (unsigned)((config->heartbeat_ms * NS_PER_MS + TICK_NS - 1) / TICK_NS),
        .message_bytes_max = config->append_bytes,
        .inflight_bytes_max = config->inflight_bytes,
        .inflight_messages_max = RAFT_INFLIGHT_MESSAGES_DEFAULT,
        .cache_bytes_max = config->entry_cache_bytes,
        .alloc = options->alloc,
        .rng = options->rng,
        .hard_state = {.term = recovered->term, .vote = recovered->vote},
        .snapshot_index = recovered->first_index - 1,
        .snapshot_term = base_term,
        .applied_index = options->start->index,
        .last_index = recovered->last_index,
        .runs = runs,
        .run_count = recovered->run_count,
        .refill_index = options->refill->index,
        .refill_term = options->refill->term,
    };
    enum status status = raft_new(&raft_options, &driver->raft, err);
    alloc_free(options->alloc, runs);
    log_writer_drop_changes(&driver->log);
    return status;
}

enum status driver_new(const struct driver_options *options, struct driver **out, struct error *err)
{
    struct driver *driver = alloc_zeroed(options->alloc, 1, sizeof *driver);
    if (driver == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for the driver");
    }
    driver->options = *options;
    mutex_init(&driver->mutex);
    reads_init(&driver->reads, options->applied);
    driver->commit = options->start->index;
    driver->apply_next = options->start->index + 1;
    driver->recall_size = options->signed_size;
    driver->next_tick_ns = now(driver);
    driver->next_expiry_ns = driver->next_tick_ns + SESSION_EXPIRY_INTERVAL_NS;
    enum status status =
        log_writer_init(&driver->log, options->alloc, options->wal, options->start->index + 1,
                        options->recovered->last_index, options->start->time_ns, err);
    if (status == STATUS_OK) {
        status = core_new(driver, err);
    }
    if (status == STATUS_OK) {
        admin_init(&driver->admin, options->alloc, driver->raft, options->config, &driver->members);
        member_clocks_init(&driver->clocks, options->clock, &driver->members,
                           config_raft_id(options->config, config_self(options->config)));
        proposals_init(&driver->proposals, &driver->clocks, options->config, &driver->members,
                       driver->raft, &driver->log, options->pending, options->replier);
        duties_init(&driver->duties, options->config, &driver->members, driver->raft,
                    &driver->admin, &driver->proposals, options->applied, options->fault,
                    options->recovered->last_index, now(driver));
        read_members(driver);
    }
    if (status == STATUS_OK) {
        watch_space(driver);
        publish_status(driver);
        if (options->config->join && driver->members.count == 0) {
            log_write("node", LOG_INFO, "waits to be added",
                      "run=\"estreat member add %s --client HOST:PORT --peer HOST:PORT\"",
                      options->config->node_id);
        }
    }
    if (status != STATUS_OK) {
        driver_free(driver);
        return status;
    }
    *out = driver;
    return STATUS_OK;
}

/* Ends or gives back all that waits or came in after the last turn. */
static void drain(struct driver *driver)
{
    take_all(driver);
    driver->proposals.closed = true;
    proposals_refuse_held(&driver->proposals);
    reads_close(&driver->reads);
    admin_close(&driver->admin);
    proposals_fail_pending(&driver->proposals);
}

enum status driver_check_config(const struct driver *driver, const struct member_names *first,
                                struct error *err)
{
    uint64_t index = 0;
    return members_check_config(driver->options.config, first,
                                raft_members_now(driver->raft, &index), err);
}

uint64_t driver_tail_events(const struct driver *driver)
{
    return driver->log.tail_events;
}

void driver_ask_to_leave(struct driver *driver)
{
    intake_push(driver->options.intake, &driver->leave_item, INTAKE_LEAVE);
}

bool driver_has_left(struct driver *driver)
{
    mutex_lock(&driver->mutex);
    bool left = driver->status.left;
    mutex_unlock(&driver->mutex);
    return left;
}

void driver_ask_to_stop(struct driver *driver)
{
    intake_push(driver->options.intake, &driver->stop_item, INTAKE_STOP);
}

void driver_end(struct driver *driver)
{
    driver->stopped = true;
    drain(driver);
}

void driver_free(struct driver *driver)
{
    if (driver == NULL) {
        return;
    }
    if (driver->raft != NULL) {
        drain(driver);
    }
    log_writer_release(&driver->log);
    raft_free(driver->raft);
    mutex_release(&driver->mutex);
    alloc_free(driver->options.alloc, driver);
}

void driver_read(struct driver *driver, struct read_barrier *barrier)
{
    intake_push(driver->options.intake, &barrier->intake, INTAKE_READ);
}

void driver_admin(struct driver *driver, struct admin_request *request)
{
    intake_push(driver->options.intake, &request->intake, INTAKE_ADMIN);
}

bool driver_is_alone(struct driver *driver)
{
    size_t staying = 0;
    mutex_lock(&driver->mutex);
    const struct members *members = &driver->status.members;
    for (size_t i = 0; i < members->count; i++) {
        staying += !members->of[i].leaving;
    }
    mutex_unlock(&driver->mutex);
    return staying <= 1;
}

void driver_status(struct driver *driver, struct driver_status *out)
{
    mutex_lock(&driver->mutex);
    *out = driver->status;
    mutex_unlock(&driver->mutex);
}

uint64_t driver_fdatasync_p50_ns(const struct driver *driver)
{
    return wal_fdatasync_p50_ns(driver->options.wal);
}
