/* SPDX-License-Identifier: Apache-2.0
 *
 * The real threads: owner, I/O queue, executor and readers at once, on real files. Its worth is
 * under ThreadSanitizer.
 */
#include "wal_fixture.h"

#include "base/sync.h"
#include "testlib/fs_gate.h"
#include "testlib/temp_dir.h"

enum { READERS = 3, GROUPS = 300, ENTRIES_A_GROUP = 8 };

struct shared {
    struct wal *wal;
    struct mutex mutex;
    struct condition changed;
    unsigned completions; /* under the mutex */
    _Atomic uint64_t first;
    _Atomic uint64_t durable;
    _Atomic bool stop;
    unsigned submitted; /* the owner's: groups, by write_some() */
    struct io_queue *io;
    struct executor *executor;
    struct wal_options options;
};

static void completed(void *context)
{
    struct shared *shared = context;
    mutex_lock(&shared->mutex);
    shared->completions++;
    condition_signal(&shared->changed);
    mutex_unlock(&shared->mutex);
}

/* The log's owner is the caller; all else has its threads. */
static void begin(struct shared *shared, struct fs *fs, const char *dir)
{
    struct error err = ERROR_INIT;
    struct wal_recovered recovered;
    *shared = (struct shared){.first = 1};
    mutex_init(&shared->mutex);
    condition_init(&shared->changed);
    assert_ok(io_queue_open_posix(alloc_default(), clock_system(), &shared->io, &err), &err);
    assert_ok(executor_open_threads(alloc_default(), "files", 2, &shared->executor, &err), &err);
    shared->options = (struct wal_options){.fs = fs,
                                           .io = shared->io,
                                           .executor = shared->executor,
                                           .dir = dir,
                                           .segment_bytes = 16 * KIB,
                                           .identity = slice_of_string("c/n"),
                                           .on_complete = completed,
                                           .context = shared};
    assert_ok(wal_open(&shared->options, 0, 0, &recovered, &shared->wal, &err), &err);
}

static void end(struct shared *shared)
{
    wal_close(shared->wal);
    executor_close(shared->executor);
    io_queue_close(shared->io);
    condition_release(&shared->changed);
    mutex_release(&shared->mutex);
}

/* Data follow from index and term; the term is the index's, but for the last ones that are
 * removed from time to time. */
static struct wal_entry entry_of(uint64_t index, uint64_t term, uint8_t data[300])
{
    size_t length = 100 + (size_t)((index + term) % 200);
    memset(data, (int)(index * 3 + term), length);
    return (struct wal_entry){
        .index = index, .term = term, .type = 1, .data = slice_of(data, length)};
}

struct reading {
    uint64_t next;
    uint64_t last_term;
    bool wrong;
};

static enum status each(void *context, const struct wal_entry *entry, struct error *err)
{
    struct reading *reading = context;
    uint8_t data[300];
    (void)err;
    struct wal_entry expected = entry_of(entry->index, entry->term, data);
    if (entry->index != reading->next || entry->term < reading->last_term ||
        !slice_equal(entry->data, expected.data)) {
        reading->wrong = true;
    }
    reading->next++;
    reading->last_term = entry->term;
    return STATUS_OK;
}

struct reader_thread {
    struct shared *shared;
    pthread_t thread;
    uint64_t seed;
    uint64_t entries;
    bool wrong;
};

static void *read_on(void *context)
{
    struct reader_thread *self = context;
    struct shared *shared = self->shared;
    struct wal_reader *reader = NULL;
    struct rng_seeded rng;
    struct error err = ERROR_INIT;
    rng_seeded_init(&rng, self->seed);
    if (wal_reader_open(shared->wal, &reader, &err) != STATUS_OK) {
        self->wrong = true;
        return NULL;
    }
    while (!atomic_load(&shared->stop) && !self->wrong) {
        uint64_t first = atomic_load(&shared->first);
        uint64_t durable = atomic_load(&shared->durable);
        uint64_t from =
            first + rng_below(&rng.rng, durable + 10 > first ? durable + 10 - first : 1);
        struct reading reading = {.next = from};
        enum status status = wal_read(reader, from, from + 200, 20000, each, &reading, &err);
        self->wrong = reading.wrong || (status != STATUS_OK && status != STATUS_NOT_FOUND &&
                                        status != STATUS_ABORTED);
        self->entries += reading.next - from;
    }
    wal_reader_close(reader);
    return NULL;
}

static void wait_for(struct shared *shared, unsigned completions)
{
    mutex_lock(&shared->mutex);
    while (shared->completions < completions) {
        condition_wait(&shared->changed, &shared->mutex);
    }
    mutex_unlock(&shared->mutex);
}

static void write_groups(struct shared *shared, struct error *err)
{
    uint8_t data[300];
    uint64_t term = 1;
    uint64_t next = 1;
    uint64_t safe = 0; /* never removed */
    for (unsigned group = 0; group < GROUPS; group++) {
        if (group % 10 == 9) {
            next -= 5;
            term++;
        } else if (group % 10 == 0) {
            safe = next - 1;
        }
        for (unsigned i = 0; i < ENTRIES_A_GROUP; i++, next++) {
            struct wal_entry entry = entry_of(next, term, data);
            assert_ok(wal_append(shared->wal, &entry, 1, err), err);
        }
        if (wal_busy(shared->wal)) {
            struct wal_durable durable;
            wait_for(shared, group);
            assert_ok(wal_finish(shared->wal, &durable, err), err);
            atomic_store(&shared->durable, durable.index);
        }
        assert_ok(wal_submit(shared->wal, err), err);
        if (group % 16 == 15 && safe > 200) {
            assert_ok(wal_purge(shared->wal, safe - 200, err), err);
            atomic_store(&shared->first, wal_first_index(shared->wal));
        }
        assert_true(wal_has_room(shared->wal));
    }
    struct wal_durable durable;
    wait_for(shared, GROUPS);
    assert_ok(wal_finish(shared->wal, &durable, err), err);
    assert_int_equal(durable.index, next - 1);
}

/* Readers beside a writer that appends, removes and purges see whole entries in order or an
 * error that says why not. */
static void test_readers_beside_writer(void **state)
{
    struct shared shared;
    struct error err = ERROR_INIT;
    struct wal_recovered recovered;
    struct reader_thread readers[READERS];
    uint64_t seed = test_seed();
    begin(&shared, fs_posix(), temp_dir_path(*state, "log"));
    for (unsigned i = 0; i < READERS; i++) {
        readers[i] = (struct reader_thread){.shared = &shared, .seed = seed + i};
        assert_true(thread_start(&readers[i].thread, "reader", read_on, &readers[i]));
    }
    write_groups(&shared, &err);
    atomic_store(&shared.stop, true);
    for (unsigned i = 0; i < READERS; i++) {
        thread_join(readers[i].thread);
        assert_false(readers[i].wrong);
        assert_true(readers[i].entries > 0);
    }
    assert_true(counter_get(&wal_metrics(shared.wal)->segments_recycled) > 0);
    uint64_t last = wal_last_index(shared.wal);
    uint64_t term = 0;
    uint64_t base = wal_first_index(shared.wal) - 1;
    assert_true(wal_term_at(shared.wal, base, &term));
    wal_close(shared.wal);
    assert_ok(wal_open(&shared.options, base, term, &recovered, &shared.wal, &err), &err);
    assert_int_equal(recovered.last_index, last);
    end(&shared);
}

/* --- a reader that stands ------------------------------------------------------------------ */

struct standing_reader {
    struct shared *shared;
    pthread_t thread;
    struct reading reading;
    enum status status;       /* of the call that stood */
    enum status status_after; /* of the next one, from the first entry on */
    uint64_t next_after;
};

static void *read_and_stand(void *context)
{
    struct standing_reader *self = context;
    struct shared *shared = self->shared;
    struct wal_reader *reader = NULL;
    struct error err = ERROR_INIT;
    self->reading = (struct reading){.next = 1};
    self->status = wal_reader_open(shared->wal, &reader, &err);
    if (self->status == STATUS_OK) {
        self->status = wal_read(reader, 1, UINT64_MAX, SIZE_MAX, each, &self->reading, &err);
        struct reading after = {.next = atomic_load(&shared->first)};
        self->status_after = wal_read(reader, after.next, UINT64_MAX, SIZE_MAX, each, &after, &err);
        self->next_after = after.wrong ? 0 : after.next;
    }
    wal_reader_close(reader);
    return NULL;
}

/* Appends groups from *next on, one after the other, and waits for each. */
static void write_some(struct shared *shared, uint64_t *next, uint64_t term, unsigned groups)
{
    uint8_t data[300];
    struct wal_durable durable;
    struct error err = ERROR_INIT;
    for (unsigned group = 0; group < groups; group++) {
        for (unsigned i = 0; i < ENTRIES_A_GROUP; i++, (*next)++) {
            struct wal_entry entry = entry_of(*next, term, data);
            assert_ok(wal_append(shared->wal, &entry, 1, &err), &err);
        }
        shared->submitted++;
        assert_ok(wal_submit(shared->wal, &err), &err);
        wait_for(shared, shared->submitted);
        assert_ok(wal_finish(shared->wal, &durable, &err), &err);
        assert_int_equal(durable.index, *next - 1);
    }
}

static void append_beside(struct shared *shared, uint64_t *next)
{
    write_some(shared, next, 1, 20);
}

static void purge_beside(struct shared *shared, uint64_t *next)
{
    struct error err = ERROR_INIT;
    for (uint64_t index = 1; wal_first_index(shared->wal) == 1; index++) {
        assert_ok(wal_purge(shared->wal, index, &err), &err);
    }
    /* Only the reader's file is there to be used again, and is written over. */
    while (counter_get(&wal_metrics(shared->wal)->segments_recycled) == 0) {
        write_some(shared, next, 1, 1);
    }
    write_some(shared, next, 1, 20);
    assert_ok(wal_purge(shared->wal, *next - 10, &err), &err);
    assert_true(wal_first_index(shared->wal) > 200);
    atomic_store(&shared->first, wal_first_index(shared->wal));
}

static void remove_beside(struct shared *shared, uint64_t *next)
{
    *next -= 20;
    write_some(shared, next, 2, 10);
}

/* The writer does not wait for a reader that stands in its file's read or open: it appends, removes
 * and purges, and the files are used again. The reader then goes on with the right entries, or with
 * the error that says what became of them. */
static void test_reader_that_stands(void **state)
{
    struct temp_dir *dir = *state;
    const struct {
        void (*meddle)(struct shared *shared, uint64_t *next);
        enum status status;
    } cases[] = {{append_beside, STATUS_OK},
                 {purge_beside, STATUS_NOT_FOUND},
                 {remove_beside, STATUS_ABORTED}};
    static const enum fs_call calls[] = {FS_CALL_READ, FS_CALL_OPEN};
    for (size_t i = 0; i < 6; i++) {
        static struct shared shared; /* its threads go on if the case fails */
        static struct fs_faulty files;
        static struct fs_gate gate;
        struct standing_reader reader = {.shared = &shared};
        char name[] = "log-0";
        uint64_t next = 1;
        name[4] = (char)('0' + i);
        fs_faulty_init(&files, fs_posix());
        fs_gate_init(&gate, &files, calls[i / 3], "0000000000000001.wal", 1);
        begin(&shared, &files.fs, temp_dir_path(dir, name));
        write_some(&shared, &next, 1, 40);
        fs_gate_arm(&gate);
        assert_true(thread_start(&reader.thread, "reader", read_and_stand, &reader));
        assert_true(fs_gate_wait(&gate));
        cases[i % 3].meddle(&shared, &next);
        assert_true(fs_gate_open(&gate));
        thread_join(reader.thread);
        assert_int_equal(reader.status, cases[i % 3].status);
        assert_false(reader.reading.wrong);
        assert_true(reader.status == STATUS_OK ? reader.reading.next == next
                                               : reader.reading.next < next);
        assert_int_equal(reader.status_after, STATUS_OK);
        assert_int_equal(reader.next_after, next);
        end(&shared);
        fs_gate_release(&gate);
        fs_faulty_release(&files);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_readers_beside_writer, temp_dir_setup,
                                        temp_dir_teardown),
        cmocka_unit_test_setup_teardown(test_reader_that_stands, temp_dir_setup, temp_dir_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
