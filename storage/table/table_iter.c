/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check.h"
#include "storage/table/block.h"
#include "storage/table/table_internal.h"

struct table_iter {
    struct iter iter;
    struct table *table;
    struct block_loader loader;
    struct block_loader index_loader; /* of the index's partitions, which lie elsewhere */
    struct index_iter index;          /* at the entry of `block`, if there is one */
    struct cached_block *block;       /* referenced; NULL: none */
    uint64_t offset;                  /* of `block` */
    struct error failure;             /* OK: none */
    struct block_iter entries;        /* of `block` */
};

static struct table_iter *self_of(struct iter *iter)
{
    return (struct table_iter *)iter;
}

static const struct table_iter *self_of_const(const struct iter *iter)
{
    return (const struct table_iter *)iter;
}

static void drop_block(struct table_iter *self)
{
    cached_block_unref(self->block);
    self->block = NULL;
}

static void fail_at(struct table_iter *self, const char *what)
{
    (void)table_corrupt(self->table, self->offset, what, &self->failure);
    drop_block(self);
}

/* The index has moved, with `status`. Makes the block that it is at the loaded one. False: there is
 * none, or it cannot be read. */
static bool load_block(struct table_iter *self, enum status status)
{
    if (status != STATUS_OK || !index_iter_valid(&self->index)) {
        drop_block(self);
        return false;
    }
    struct block_handle handle = self->index.entry.handle;
    if (self->block != NULL && self->offset == handle.offset) {
        return true;
    }
    drop_block(self);
    if (block_loader_load(&self->loader, handle, &self->block, &self->failure) != STATUS_OK) {
        return false;
    }
    self->offset = handle.offset;
    if (!block_iter_init(&self->entries, cached_block_slice(self->block))) {
        fail_at(self, self->entries.damage);
        return false;
    }
    return true;
}

/* After a seek within the loaded block, which must have found something. */
static void expect_entry(struct table_iter *self)
{
    if (!block_iter_valid(&self->entries)) {
        fail_at(self,
                self->entries.damage != NULL ? self->entries.damage : "index and block disagree");
    }
}

static void enter_at_first(struct table_iter *self, enum status status)
{
    if (load_block(self, status)) {
        block_iter_seek_to_first(&self->entries);
        expect_entry(self);
    }
}

static void enter_at_last(struct table_iter *self, enum status status)
{
    if (load_block(self, status)) {
        block_iter_seek_to_last(&self->entries);
        expect_entry(self);
    }
}

static void begin_seek(struct table_iter *self)
{
    self->failure.status = STATUS_OK;
    self->failure.text[0] = '\0';
}

static void iter_do_seek(struct iter *iter, struct slice target)
{
    struct table_iter *self = self_of(iter);
    begin_seek(self);
    if (load_block(self, index_iter_seek(&self->index, target, &self->failure))) {
        block_iter_seek(&self->entries, target);
        expect_entry(self);
    }
}

static void iter_do_seek_to_first(struct iter *iter)
{
    struct table_iter *self = self_of(iter);
    begin_seek(self);
    enter_at_first(self, index_iter_seek_to_first(&self->index, &self->failure));
}

static void iter_do_seek_to_last(struct iter *iter)
{
    struct table_iter *self = self_of(iter);
    begin_seek(self);
    enter_at_last(self, index_iter_seek_to_last(&self->index, &self->failure));
}

static bool iter_do_valid(const struct iter *iter)
{
    const struct table_iter *self = self_of_const(iter);
    return self->block != NULL && block_iter_valid(&self->entries);
}

static void iter_do_next(struct iter *iter)
{
    struct table_iter *self = self_of(iter);
    CHECK(iter_do_valid(iter));
    block_iter_next(&self->entries);
    if (block_iter_valid(&self->entries)) {
        return;
    }
    if (self->entries.damage != NULL) {
        fail_at(self, self->entries.damage);
        return;
    }
    enter_at_first(self, index_iter_next(&self->index, &self->failure));
}

static void iter_do_prev(struct iter *iter)
{
    struct table_iter *self = self_of(iter);
    CHECK(iter_do_valid(iter));
    block_iter_prev(&self->entries);
    if (block_iter_valid(&self->entries)) {
        return;
    }
    if (self->entries.damage != NULL) {
        fail_at(self, self->entries.damage);
        return;
    }
    enter_at_last(self, index_iter_prev(&self->index, &self->failure));
}

static struct slice iter_do_key(const struct iter *iter)
{
    CHECK(iter_do_valid(iter));
    return self_of_const(iter)->entries.key;
}

static struct slice iter_do_value(const struct iter *iter)
{
    CHECK(iter_do_valid(iter));
    return self_of_const(iter)->entries.value;
}

static enum status iter_do_status(const struct iter *iter, struct error *err)
{
    const struct table_iter *self = self_of_const(iter);
    if (self->failure.status != STATUS_OK && err != NULL) {
        *err = self->failure;
    }
    return self->failure.status;
}

static void iter_do_close(struct iter *iter)
{
    struct table_iter *self = self_of(iter);
    struct table *table = self->table;
    drop_block(self);
    index_iter_release(&self->index);
    block_loader_release(&self->index_loader);
    block_loader_release(&self->loader);
    alloc_free(table->file.alloc, self);
    table_unref(table);
}

static const struct iter_ops table_iter_ops = {
    .seek = iter_do_seek,
    .seek_to_first = iter_do_seek_to_first,
    .seek_to_last = iter_do_seek_to_last,
    .next = iter_do_next,
    .prev = iter_do_prev,
    .valid = iter_do_valid,
    .key = iter_do_key,
    .value = iter_do_value,
    .status = iter_do_status,
    .close = iter_do_close,
};

enum status table_iter_new(struct table *table, const struct table_read_options *options,
                           struct iter **out, struct error *err)
{
    struct table_iter *self = alloc_new(table->file.alloc, sizeof *self);
    if (self == NULL) {
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory to read table %s", table->path);
    }
    self->iter.ops = &table_iter_ops;
    self->table = table;
    self->block = NULL;
    begin_seek(self);
    block_loader_init(&self->loader, &table->file, options, table->meta.index.data_end);
    block_loader_init_beside(&self->index_loader, &self->loader);
    index_iter_init(&self->index, &table->meta.index, &self->index_loader);
    table_ref(table);
    *out = &self->iter;
    return STATUS_OK;
}
