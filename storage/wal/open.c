/* SPDX-License-Identifier: Apache-2.0
 *
 * Opening, closing, and how a log connects to the snapshot that storage holds.
 */
#include "base/check.h"
#include "base/plant.h"
#include "storage/wal/inside.h"
#include "storage/wal/scan.h"

static enum status init(struct wal *wal, const struct wal_options *options, struct error *err)
{
    size_t length = strlen(options->dir);
    CHECK(options->fs != NULL);
    CHECK(options->io != NULL);
    if (length == 0 || length >= sizeof wal->dir) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "log: directory name of %zu bytes", length);
    }
    if (options->identity.length > WAL_IDENTITY_BYTES_MAX) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "log: identity of %zu bytes",
                         options->identity.length);
    }
    uint64_t segment_bytes =
        options->segment_bytes == 0 ? WAL_SEGMENT_BYTES_DEFAULT : options->segment_bytes;
    if (segment_bytes < WAL_SEGMENT_BYTES_MIN || segment_bytes % WAL_BLOCK_BYTES != 0) {
        return error_set(err, STATUS_INVALID_ARGUMENT, "log: segments of %llu bytes",
                         (unsigned long long)segment_bytes);
    }
    memcpy(wal->dir, options->dir, length + 1);
    wal->options = *options;
    wal->options.dir = wal->dir;
    wal->options.rng = options->rng == NULL ? rng_system() : options->rng;
    wal->files = (struct wal_files){.fs = options->fs,
                                    .alloc = wal->options.alloc,
                                    .executor = options->executor,
                                    .metrics = &wal->metrics,
                                    .mutex = &wal->mutex,
                                    .changed = &wal->changed,
                                    .dir = wal->dir,
                                    .index = &wal->index,
                                    .segment_bytes = segment_bytes,
                                    .attempted_locked = wal_flight_attempted_locked,
                                    .context = wal,
                                    .notify = options->on_complete,
                                    .notify_context = options->context};
    struct wal_head *head = &wal->files.head;
    head->version = options->unsynced ? WAL_VERSION_CHAINS : WAL_VERSION_GROUPS;
    head->identity_length = options->identity.length;
    if (head->identity_length > 0) {
        memcpy(head->identity, options->identity.data, head->identity_length);
    }
    wal->options.identity = slice_of(head->identity, head->identity_length);
    return STATUS_OK;
}

/* The directory's own name must survive, too. */
static enum status make_dir(struct wal *wal, struct error *err)
{
    char parent[PATH_BYTES_MAX];
    bool exists = false;
    enum status status = fs_exists(wal->options.fs, wal->dir, &exists, err);
    if (status != STATUS_OK || exists) {
        return status;
    }
    status = fs_make_dir(wal->options.fs, wal->dir, err);
    if (status != STATUS_OK) {
        return status;
    }
    memcpy(parent, wal->dir, sizeof parent);
    char *slash = strrchr(parent, '/');
    if (slash == NULL) {
        memcpy(parent, ".", 2);
    } else {
        slash[slash == parent ? 1 : 0] = '\0';
    }
    return fs_sync_dir(wal->options.fs, parent, err);
}

/* Takes over what the scan found. */
static void adopt(struct wal *wal, struct wal_scan *scan)
{
    wal->index = scan->index;
    wal->terms = scan->terms;
    wal->state = scan->state;
    if (PLANTED(FORGET_VOTE) || PLANTED(LOST_HARD_STATE)) {
        wal->state.vote = 0;
    }
    if (PLANTED(LOST_HARD_STATE)) {
        wal->state.term = wal->state.last_term;
    }
    wal->end = scan->end;
    wal->synced = scan->end;
    wal->fresh = scan->fresh;
    wal->attested = scan->attested;
    wal->files.head.salt = scan->salt;
    if (scan->next != NULL && scan->next->version < wal->files.head.version) {
        file_close(scan->next->file); /* empty, and to be made anew */
        scan->next->file = NULL;
        scan->next->next = scan->gone;
        scan->gone = scan->next;
        scan->next = NULL;
    }
    wal->files.next = scan->next;
    wal_files_retire_locked(&wal->files, scan->gone);
    wal_index_init(&scan->index, scan->alloc);
    wal_terms_init(&scan->terms, scan->alloc);
    scan->next = NULL;
    scan->gone = NULL;
}

static enum status begin_new(struct wal *wal, struct error *err)
{
    struct wal_segment *segment = NULL;
    rng_fill(wal->options.rng, &wal->files.head.salt, sizeof wal->files.head.salt);
    if (!wal_index_reserve(&wal->index, 1)) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for the log's index");
    }
    /* Small, so that a new log begins at once though its file is filled first. */
    uint64_t bytes = wal->files.segment_bytes;
    bytes = bytes < WAL_FIRST_SEGMENT_BYTES ? bytes : WAL_FIRST_SEGMENT_BYTES;
    enum status status = wal_files_make(&wal->files, 1, bytes, &segment, err);
    if (status == STATUS_OK) {
        wal_index_add(&wal->index, segment);
        wal->end = (struct wal_position){.file = 1, .offset = WAL_BLOCK_BYTES};
        wal->synced = wal->end;
        wal->attested = true; /* there is nothing yet */
    }
    return status;
}

/* Entries that were not synced may all be gone, and with them what the log's first segment began
 * with; then it begins where storage ends. A vote may not be lost that way. */
static enum status check_kind(struct wal *wal, const struct wal_scan *scan, uint64_t snapshot_index,
                              struct error *err)
{
    if (wal->options.unsynced && wal->state.term > 0) {
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "%.300s: the log of a node, which must be synced", wal->dir);
    }
    if (scan->headless && snapshot_index == 0) {
        return error_set(err, STATUS_CORRUPT, "%.300s: no log before segment %llx, which is empty",
                         wal->dir, (unsigned long long)wal->end.file);
    }
    return STATUS_OK;
}

static enum status find_log(struct wal *wal, uint64_t snapshot_index,
                            struct wal_recovered *recovered, struct error *err)
{
    struct wal_scan scan = {.fs = wal->options.fs,
                            .alloc = wal->options.alloc,
                            .dir = wal->dir,
                            .identity = wal->options.identity};
    enum status status = make_dir(wal, err);
    if (status != STATUS_OK) {
        return status;
    }
    status = wal_scan_run(&scan, err);
    if (status == STATUS_OK) {
        recovered->existed = scan.existed;
        recovered->cut_bytes = scan.cut_bytes;
        adopt(wal, &scan);
        status =
            recovered->existed ? check_kind(wal, &scan, snapshot_index, err) : begin_new(wal, err);
    }
    wal_scan_release(&scan);
    return status;
}

static enum status connect(struct wal *wal, uint64_t index, uint64_t term,
                           struct wal_recovered *recovered, struct error *err)
{
    uint64_t found = 0;
    if (index < wal->terms.base_index) {
        return error_set(err, STATUS_CORRUPT,
                         "%.300s: the log begins at entry %llu, storage ends at %llu", wal->dir,
                         (unsigned long long)wal->terms.base_index + 1, (unsigned long long)index);
    }
    if (wal_terms_at(&wal->terms, index, &found) && found == term) {
        return STATUS_OK;
    }
    recovered->dropped = wal->terms.last_index > wal->terms.base_index;
    return wal_reset(wal, index, term, err);
}

static enum status report(struct wal *wal, struct wal_recovered *recovered, struct error *err)
{
    size_t count = wal->terms.count;
    if (count > 0) {
        wal->recovered_runs = alloc_zeroed(wal->options.alloc, count, sizeof *wal->recovered_runs);
        if (wal->recovered_runs == NULL) {
            return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for the log's terms");
        }
        memcpy(wal->recovered_runs, wal->terms.runs, count * sizeof *wal->recovered_runs);
    }
    CHECK(wal->index.first_index == wal->terms.base_index + 1);
    CHECK(wal->index.last_index == wal->terms.last_index);
    recovered->term = wal->state.term;
    recovered->vote = wal->state.vote;
    recovered->first_index = wal->index.first_index;
    recovered->last_index = wal->terms.last_index;
    recovered->last_term = wal_terms_last(&wal->terms);
    recovered->runs = wal->recovered_runs;
    recovered->run_count = count;
    return STATUS_OK;
}

static void release(struct wal *wal)
{
    struct alloc *alloc = wal->options.alloc;
    wal_files_release(&wal->files);
    wal_index_release(&wal->index);
    wal_terms_release(&wal->terms);
    wal_group_release(&wal->groups[0]);
    wal_group_release(&wal->groups[1]);
    alloc_free(alloc, wal->recovered_runs);
    condition_release(&wal->changed);
    mutex_release(&wal->mutex);
    alloc_free(alloc, wal);
}

enum status wal_open(const struct wal_options *options, uint64_t snapshot_index,
                     uint64_t snapshot_term, struct wal_recovered *recovered, struct wal **out,
                     struct error *err)
{
    struct alloc *alloc = options->alloc == NULL ? alloc_default() : options->alloc;
    struct wal_recovered found = {0};
    struct wal *wal = alloc_zeroed(alloc, 1, sizeof *wal);
    if (wal == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "open log: no memory");
    }
    wal->options.alloc = alloc;
    mutex_init(&wal->mutex);
    condition_init(&wal->changed);
    wal_index_init(&wal->index, alloc);
    wal_terms_init(&wal->terms, alloc);
    wal_group_init(&wal->groups[0], alloc);
    wal_group_init(&wal->groups[1], alloc);
    wal->pending = &wal->groups[0];
    struct wal_options with_alloc = *options;
    with_alloc.alloc = alloc;
    enum status status = init(wal, &with_alloc, err);
    if (status == STATUS_OK) {
        status = find_log(wal, snapshot_index, &found, err);
    }
    if (status == STATUS_OK) {
        wal->written = wal->state;
        wal_group_clear(wal->pending, wal->state);
        status = connect(wal, snapshot_index, snapshot_term, &found, err);
    }
    if (status == STATUS_OK) {
        status = report(wal, &found, err);
    }
    if (status != STATUS_OK) {
        release(wal);
        (void)error_wrap(err, "open log");
        return status;
    }
    if (wal->files.next == NULL) {
        wal_files_want_locked(&wal->files, wal->end.file + 1, wal->files.segment_bytes);
    }
    wal_files_kick(&wal->files);
    *recovered = found;
    *out = wal;
    return STATUS_OK;
}

void wal_close(struct wal *wal)
{
    if (wal == NULL) {
        return;
    }
    CHECK(atomic_load(&wal->readers) == 0);
    wal_flight_wait(wal);
    release(wal);
}
