/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check.h"
#include "storage/table/block.h"
#include "storage/table/table_internal.h"

struct table_iter {
    struct iter iter;
    struct table *table;
    struct block_loader loader;
    size_t index;               /* of `block`; blocks_count: none is loaded */
    struct cached_block *block; /* referenced */
    struct error failure;       /* OK: none */
    struct block_iter entries;  /* of `block` */
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
    self->index = self->table->meta.blocks_count;
}

static void fail_at(struct table_iter *self, const char *what)
{
    uint64_t offset = self->table->meta.blocks[self->index].handle.offset;
    (void)table_corrupt(self->table, offset, what, &self->failure);
    drop_block(self);
}

/* Makes `index` the loaded block. False: it cannot be read. */
static bool load_block(struct table_iter *self, size_t index)
{
    CHECK(index < self->table->meta.blocks_count);
    if (self->block != NULL && self->index == index) {
        return true;
    }
    drop_block(self);
    enum status status = block_loader_load(&self->loader, self->table->meta.blocks[index].handle,
                                           &self->block, &self->failure);
    if (status != STATUS_OK) {
        self->block = NULL;
        return false;
    }
    self->index = index;
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

static void begin_seek(struct table_iter *self)
{
    self->failure.status = STATUS_OK;
    self->failure.text[0] = '\0';
}

static void iter_do_seek(struct iter *iter, struct slice target)
{
    struct table_iter *self = self_of(iter);
    begin_seek(self);
    size_t index = table_meta_find(&self->table->meta, target);
    if (index == self->table->meta.blocks_count) {
        drop_block(self);
        return;
    }
    if (load_block(self, index)) {
        block_iter_seek(&self->entries, target);
        expect_entry(self);
    }
}

static void iter_do_seek_to_first(struct iter *iter)
{
    struct table_iter *self = self_of(iter);
    begin_seek(self);
    if (load_block(self, 0)) {
        block_iter_seek_to_first(&self->entries);
        expect_entry(self);
    }
}

static void iter_do_seek_to_last(struct iter *iter)
{
    struct table_iter *self = self_of(iter);
    begin_seek(self);
    if (load_block(self, self->table->meta.blocks_count - 1)) {
        block_iter_seek_to_last(&self->entries);
        expect_entry(self);
    }
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
    size_t next = self->index + 1;
    if (next == self->table->meta.blocks_count) {
        drop_block(self);
        return;
    }
    if (load_block(self, next)) {
        block_iter_seek_to_first(&self->entries);
        expect_entry(self);
    }
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
    if (self->index == 0) {
        drop_block(self);
        return;
    }
    if (load_block(self, self->index - 1)) {
        block_iter_seek_to_last(&self->entries);
        expect_entry(self);
    }
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
    self->index = table->meta.blocks_count;
    self->block = NULL;
    begin_seek(self);
    block_loader_init(&self->loader, &table->file, options, table->meta.data_end);
    table_ref(table);
    *out = &self->iter;
    return STATUS_OK;
}
