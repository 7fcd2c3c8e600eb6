/* SPDX-License-Identifier: Apache-2.0 */
#include "node/snapshot_plan.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"

void snapshot_plan_init(struct snapshot_plan *plan, struct alloc *alloc)
{
    *plan = (struct snapshot_plan){.alloc = alloc};
    buf_init(&plan->head, alloc, NOTE_BYTES_MAX);
}

void snapshot_plan_release(struct snapshot_plan *plan)
{
    alloc_free(plan->alloc, plan->files);
    buf_release(&plan->head);
}

void snapshot_plan_clear(struct snapshot_plan *plan)
{
    struct alloc *alloc = plan->alloc;
    snapshot_plan_release(plan);
    snapshot_plan_init(plan, alloc);
}

static enum status wrong(struct error *err, const char *what)
{
    return error_set(err, STATUS_INVALID_ARGUMENT, "a snapshot's description with %s", what);
}

/* A name goes into a path: letters, digits and '-', with a '.' inside. */
static bool is_name(const char *name)
{
    size_t length = strlen(name);
    if (length == 0 || length >= SNAPSHOT_NAME_BYTES || name[0] == '.') {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        char c = name[i];
        bool fits = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                    c == '-' || c == '.';
        if (!fits) {
            return false;
        }
    }
    return strcmp(name, "COMPLETE") != 0;
}

static enum status begin(struct snapshot_plan *plan, const Estreat__V1__SnapshotDescription *page,
                         struct error *err)
{
    if (page->file_count > SNAPSHOT_FILES_MAX || page->index == 0) {
        return wrong(err, "no sense");
    }
    if (page->n_consistency > PROOF_HASHES_MAX ||
        strlen(page->verifier_key) >= sizeof plan->verifier_key) {
        return wrong(err, "a proof that is none");
    }
    for (size_t i = 0; i < page->n_consistency; i++) {
        struct slice hash = slice_of(page->consistency[i].data, page->consistency[i].len);
        if (!hash_from_slice(hash, &plan->path[i])) {
            return wrong(err, "a hash that is none");
        }
    }
    plan->path_count = (unsigned)page->n_consistency;
    (void)snprintf(plan->verifier_key, sizeof plan->verifier_key, "%s", page->verifier_key);
    buf_append(&plan->head, page->head.data, page->head.len);
    plan->files = alloc_zeroed(plan->alloc, (size_t)page->file_count + 1, sizeof *plan->files);
    if (plan->files == NULL || buf_failed(&plan->head)) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a snapshot's list");
    }
    plan->checkpoint = page->checkpoint;
    plan->index = page->index;
    plan->term = page->term;
    plan->size = page->size;
    plan->expected = (size_t)page->file_count;
    return STATUS_OK;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct snapshot_plan_file *)a)->name,
                  ((const struct snapshot_plan_file *)b)->name);
}

static enum status finish(struct snapshot_plan *plan, struct error *err)
{
    qsort(plan->files, plan->count, sizeof *plan->files, compare_names);
    for (size_t i = 1; i < plan->count; i++) {
        if (compare_names(&plan->files[i - 1], &plan->files[i]) == 0) {
            return wrong(err, "a file twice");
        }
    }
    return STATUS_OK;
}

enum status snapshot_plan_add(struct snapshot_plan *plan,
                              const Estreat__V1__SnapshotDescription *page, struct error *err)
{
    CHECK(!snapshot_plan_is_complete(plan));
    enum status status = STATUS_OK;
    if (page->checkpoint == 0 || (plan->checkpoint != 0 && plan->checkpoint != page->checkpoint)) {
        return wrong(err, "another checkpoint");
    }
    if (plan->checkpoint == 0) {
        status = begin(plan, page, err);
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (page->n_files == 0 || page->n_files > plan->expected - plan->count) {
        return wrong(err, "too many files or none");
    }
    for (size_t i = 0; i < page->n_files; i++) {
        const Estreat__V1__SnapshotFile *from = page->files[i];
        struct snapshot_plan_file *to = &plan->files[plan->count];
        if (!is_name(from->name) || from->bytes == 0 ||
            from->bytes > UINT64_MAX / 2 - plan->total_bytes ||
            !hash_from_slice(slice_of(from->sha256.data, from->sha256.len), &to->sum)) {
            return wrong(err, "a file that is none");
        }
        (void)snprintf(to->name, sizeof to->name, "%s", from->name);
        to->number = plan->count++;
        to->bytes = from->bytes;
        plan->total_bytes += from->bytes;
    }
    return snapshot_plan_is_complete(plan) ? finish(plan, err) : STATUS_OK;
}

struct snapshot_plan_file *snapshot_plan_find(struct snapshot_plan *plan, const char *name)
{
    struct snapshot_plan_file key = {.bytes = 0};
    CHECK(snapshot_plan_is_complete(plan));
    if (strlen(name) >= sizeof key.name) {
        return NULL;
    }
    (void)snprintf(key.name, sizeof key.name, "%s", name);
    return bsearch(&key, plan->files, plan->count, sizeof key, compare_names);
}

void snapshot_plan_carry(struct snapshot_plan *plan, struct snapshot_plan *earlier)
{
    for (size_t i = 0; i < plan->count; i++) {
        struct snapshot_plan_file *file = &plan->files[i];
        const struct snapshot_plan_file *known = snapshot_plan_find(earlier, file->name);
        if (known != NULL && known->bytes == file->bytes && hash_equal(&known->sum, &file->sum)) {
            file->fetched = known->fetched;
            file->verified = known->verified;
        }
    }
}
