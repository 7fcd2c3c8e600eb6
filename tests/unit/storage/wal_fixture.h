/* SPDX-License-Identifier: Apache-2.0
 *
 * Wal_fixture: a log with I/O that the test pumps, and a model of what it must hold.
 * An entry's bytes follow from its index and term, so that a wrong one shows.
 */
#ifndef ESTREAT_TESTS_WAL_FIXTURE_H
#define ESTREAT_TESTS_WAL_FIXTURE_H

#include <stdio.h>

#include "testlib/test.h"

#include "base/check.h"
#include "storage/wal/wal.h"
#include "testlib/clock_manual.h"
#include "testlib/fs_crash.h"
#include "testlib/io_queue_manual.h"

#define MODEL_ENTRIES_MAX 8192U
#define FIXTURE_DIR "log"

struct wal_model {
    uint64_t last;
    uint64_t entry_terms[MODEL_ENTRIES_MAX];
    uint64_t term;
    uint64_t vote;
};

struct wal_fixture {
    struct fs_crash *crash;
    struct fs *fs; /* the crash file system unless the test puts another one here */
    struct clock_manual clock;
    struct io_queue_manual io;
    struct rng_seeded rng;
    struct wal_options options;
    struct wal *wal;
    struct wal_recovered recovered;
    struct wal_durable durable;
    struct wal_model model;
    struct error err;
    unsigned completions;
    size_t entry_bytes; /* about */
};

static inline void fixture_completed(void *context)
{
    struct wal_fixture *fx = context;
    fx->completions++;
}

static inline void fixture_wait(void *context)
{
    struct wal_fixture *fx = context;
    (void)io_queue_manual_complete(&fx->io);
}

static inline void fixture_init(struct wal_fixture *fx, uint64_t segment_bytes)
{
    memset(fx, 0, sizeof *fx);
    fx->crash = fs_crash_new();
    fx->fs = fs_crash_fs(fx->crash);
    clock_manual_init(&fx->clock, 1700000000 * NS_PER_S);
    io_queue_manual_init(&fx->io, &fx->clock.clock);
    rng_seeded_init(&fx->rng, 7);
    fx->entry_bytes = 100;
    fx->options = (struct wal_options){
        .fs = fx->fs,
        .io = &fx->io.queue,
        .rng = &fx->rng.rng,
        .dir = FIXTURE_DIR,
        .segment_bytes = segment_bytes,
        .identity = {(const uint8_t *)"cluster-1/node-1", 16},
        .on_complete = fixture_completed,
        .on_wait = fixture_wait,
        .context = fx,
    };
}

static inline void fixture_release(struct wal_fixture *fx)
{
    wal_close(fx->wal);
    fx->wal = NULL;
    fs_crash_free(fx->crash);
}

static inline enum status fixture_try_open(struct wal_fixture *fx)
{
    return wal_open(&fx->options, 0, 0, &fx->recovered, &fx->wal, &fx->err);
}

static inline void fixture_open(struct wal_fixture *fx)
{
    assert_ok(fixture_try_open(fx), &fx->err);
}

static inline void fixture_close(struct wal_fixture *fx)
{
    wal_close(fx->wal);
    fx->wal = NULL;
}

/* --- entries ----------------------------------------------------------------------------- */

#define FIXTURE_DATA_MAX 262144U

static inline struct wal_entry fixture_entry(const struct wal_fixture *fx, uint64_t index,
                                             uint64_t term, uint8_t *data)
{
    size_t length = fx->entry_bytes + (size_t)((index * 7 + term) % 60);
    CHECK(length <= FIXTURE_DATA_MAX);
    for (size_t i = 0; i < length; i++) {
        data[i] = (uint8_t)(index * 31 + term * 17 + i);
    }
    return (struct wal_entry){.index = index,
                              .term = term,
                              .type = (uint32_t)(index % 3),
                              .data = slice_of(data, length)};
}

/* Appends [from, to) of that term, to the log and the model. */
static inline enum status fixture_try_append(struct wal_fixture *fx, uint64_t from, uint64_t to,
                                             uint64_t term)
{
    static uint8_t data[FIXTURE_DATA_MAX];
    enum status status = STATUS_OK;
    for (uint64_t index = from; index < to && status == STATUS_OK; index++) {
        struct wal_entry entry = fixture_entry(fx, index, term, data);
        status = wal_append(fx->wal, &entry, 1, &fx->err);
        if (status == STATUS_OK) {
            CHECK(index < MODEL_ENTRIES_MAX);
            fx->model.entry_terms[index] = term;
            fx->model.last = index;
        }
    }
    return status;
}

static inline void fixture_append(struct wal_fixture *fx, uint64_t from, uint64_t to, uint64_t term)
{
    assert_ok(fixture_try_append(fx, from, to, term), &fx->err);
}

static inline void fixture_vote(struct wal_fixture *fx, uint64_t term, uint64_t vote)
{
    assert_ok(wal_set_hard_state(fx->wal, term, vote, &fx->err), &fx->err);
    fx->model.term = term;
    fx->model.vote = vote;
}

/* Writes what is pending and waits for it. */
static inline enum status fixture_try_commit(struct wal_fixture *fx)
{
    unsigned before = fx->completions;
    enum status status = wal_submit(fx->wal, &fx->err);
    if (status != STATUS_OK || !wal_busy(fx->wal)) {
        return status;
    }
    (void)io_queue_manual_complete_all(&fx->io);
    assert_int_equal(fx->completions, before + 1);
    return wal_finish(fx->wal, &fx->durable, &fx->err);
}

static inline void fixture_commit(struct wal_fixture *fx)
{
    assert_ok(fixture_try_commit(fx), &fx->err);
}

/* Writes what is pending and does not sync it. */
static inline enum status fixture_try_write(struct wal_fixture *fx)
{
    enum status status = wal_submit_unsynced(fx->wal, &fx->err);
    if (status != STATUS_OK || !wal_busy(fx->wal)) {
        return status;
    }
    (void)io_queue_manual_complete_all(&fx->io);
    return wal_finish(fx->wal, &fx->durable, &fx->err);
}

static inline void fixture_write(struct wal_fixture *fx)
{
    assert_ok(fixture_try_write(fx), &fx->err);
}

static inline void fixture_idle(struct wal_fixture *fx)
{
    assert_ok(wal_idle(fx->wal, &fx->err), &fx->err);
    if (wal_busy(fx->wal)) {
        (void)io_queue_manual_complete_all(&fx->io);
        assert_ok(wal_finish(fx->wal, &fx->durable, &fx->err), &fx->err);
    }
}

/* --- checking ---------------------------------------------------------------------------- */

struct fixture_check {
    const struct wal_fixture *fx;
    const uint64_t *terms; /* of the entries up to the last */
    uint64_t last;
    uint64_t next;
    size_t bytes;
};

/* Of reads from `next` on, against the fixture's model. */
static inline struct fixture_check fixture_check_of(const struct wal_fixture *fx, uint64_t next)
{
    return (struct fixture_check){
        .fx = fx, .terms = fx->model.entry_terms, .last = MODEL_ENTRIES_MAX - 1, .next = next};
}

static inline enum status fixture_each(void *context, const struct wal_entry *entry,
                                       struct error *err)
{
    struct fixture_check *check = context;
    static _Thread_local uint8_t data[FIXTURE_DATA_MAX];
    bool expected_index = entry->index == check->next && entry->index <= check->last;
    uint64_t term = expected_index ? check->terms[entry->index] : 0;
    struct wal_entry expected = fixture_entry(check->fx, entry->index, term, data);
    if (!expected_index || entry->term != term || entry->type != expected.type ||
        !slice_equal(entry->data, expected.data)) {
        return error_set(err, STATUS_UNKNOWN, "entry %llu of term %llu is not the one expected",
                         (unsigned long long)entry->index, (unsigned long long)entry->term);
    }
    check->next++;
    check->bytes += entry->data.length;
    return STATUS_OK;
}

/* What a reader gets of [from, to) is exactly the model's. Returns where it ended. */
static inline uint64_t fixture_read(struct wal_fixture *fx, uint64_t from, uint64_t to)
{
    struct wal_reader *reader = NULL;
    struct fixture_check check = fixture_check_of(fx, from);
    assert_ok(wal_reader_open(fx->wal, &reader, &fx->err), &fx->err);
    assert_ok(wal_read(reader, from, to, SIZE_MAX, fixture_each, &check, &fx->err), &fx->err);
    wal_reader_close(reader);
    return check.next;
}

/* The whole log is the model's, up to `last`, in what was recovered and in what is read. */
static inline void fixture_expect(struct wal_fixture *fx, uint64_t last)
{
    uint64_t first = wal_first_index(fx->wal);
    assert_int_equal(fx->recovered.last_index, last);
    assert_int_equal(wal_last_index(fx->wal), last);
    assert_int_equal(fixture_read(fx, first, last + 100), last + 1);
    for (uint64_t index = first; index <= last; index++) {
        uint64_t term = 0;
        assert_true(wal_term_at(fx->wal, index, &term));
        assert_int_equal(term, fx->model.entry_terms[index]);
    }
    assert_int_equal(fx->recovered.term, fx->model.term);
    assert_int_equal(fx->recovered.vote, fx->model.vote);
}

/* True if the log that was opened has the entries from its first one to `last`, of these terms, and
 * no more: for tests with more than one model. */
static inline bool fixture_holds(struct wal_fixture *fx, const uint64_t *terms, uint64_t last)
{
    struct wal_reader *reader = NULL;
    struct fixture_check check = {
        .fx = fx, .terms = terms, .last = last, .next = fx->recovered.first_index};
    assert_ok(wal_reader_open(fx->wal, &reader, &fx->err), &fx->err);
    enum status status =
        wal_read(reader, check.next, last + 10, SIZE_MAX, fixture_each, &check, &fx->err);
    wal_reader_close(reader);
    return status == STATUS_OK && check.next == last + 1;
}

static inline void fixture_reopen(struct wal_fixture *fx)
{
    fixture_close(fx);
    fixture_open(fx);
}

/* --- files ------------------------------------------------------------------------------- */

static inline const char *fixture_path(uint64_t file)
{
    static char path[64];
    (void)snprintf(path, sizeof path, FIXTURE_DIR "/%016llx.wal", (unsigned long long)file);
    return path;
}

static inline uint8_t fixture_peek(struct wal_fixture *fx, uint64_t file, uint64_t offset)
{
    struct file *handle = NULL;
    uint8_t byte = 0;
    size_t got = 0;
    assert_ok(fs_open(fx->fs, fixture_path(file), FS_READ, &handle, &fx->err), &fx->err);
    assert_ok(file_read(handle, offset, &byte, 1, &got, &fx->err), &fx->err);
    assert_int_equal(got, 1);
    file_close(handle);
    return byte;
}

static inline void fixture_poke(struct wal_fixture *fx, uint64_t file, uint64_t offset,
                                uint8_t value)
{
    struct file *handle = NULL;
    assert_ok(fs_open(fx->fs, fixture_path(file), FS_READ | FS_WRITE, &handle, &fx->err), &fx->err);
    assert_ok(file_write(handle, offset, slice_of(&value, 1), &fx->err), &fx->err);
    assert_ok(file_sync(handle, &fx->err), &fx->err);
    file_close(handle);
}

#endif
