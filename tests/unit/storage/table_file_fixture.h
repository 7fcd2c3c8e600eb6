/* SPDX-License-Identifier: Apache-2.0
 *
 * Table file fixture: tables written from a reference, and their bytes in hand.
 */
#ifndef ESTREAT_TESTS_TABLE_FILE_FIXTURE_H
#define ESTREAT_TESTS_TABLE_FILE_FIXTURE_H

#include "base/fs.h"
#include "storage/table/bloom.h"
#include "storage/table/table_format.h"
#include "storage/table/table_reader.h"
#include "storage/table/table_writer.h"
#include "table_fixture.h"
#include "testlib/temp_dir.h"

#define FIXTURE_FILE_NUMBER 77UL

static inline struct table_writer_options fixture_options(const char *path, enum codec codec)
{
    return (struct table_writer_options){.fs = fs_posix(),
                                         .alloc = alloc_default(),
                                         .path = path,
                                         .file_number = FIXTURE_FILE_NUMBER,
                                         .codec = codec,
                                         .block_bytes = 1024,
                                         .restart_interval = 4,
                                         .bloom_bits_per_key = BLOOM_BITS_PER_KEY_DEFAULT};
}

/* Writes all entries; the writer is gone afterwards. */
static inline enum status write_reference(const struct table_writer_options *options,
                                          const struct reference *reference,
                                          struct table_info *info, struct error *err)
{
    struct table_writer *writer = NULL;
    enum status status = table_writer_open(options, &writer, err);
    if (status != STATUS_OK) {
        return status;
    }
    for (size_t i = 0; i < reference->count; i++) {
        /* An error is sticky: finish returns it again. */
        if (table_writer_add(writer, reference->entries[i].key, reference->entries[i].value, err) !=
            STATUS_OK) {
            break;
        }
    }
    return table_writer_finish(writer, info, err);
}

static inline struct table_open_options open_options(const char *path)
{
    return (struct table_open_options){.fs = fs_posix(), .alloc = alloc_default(), .path = path};
}

static inline struct table *open_table(const char *path)
{
    struct error err = ERROR_INIT;
    struct table_open_options options = open_options(path);
    struct table *table = NULL;
    assert_ok(table_open(&options, &table, &err), &err);
    return table;
}

/* The bytes of a file, to be changed and written again. */
static inline void read_bytes_of(struct fs *fs, const char *path, struct buf *bytes)
{
    struct error err = ERROR_INIT;
    buf_init(bytes, alloc_default(), 1UL << 26);
    assert_ok(fs_read_file(fs, path, bytes, &err), &err);
}

static inline void read_bytes(const char *path, struct buf *bytes)
{
    read_bytes_of(fs_posix(), path, bytes);
}

static inline void write_bytes(struct fs *fs, const char *path, struct slice bytes)
{
    struct error err = ERROR_INIT;
    struct file *file = NULL;
    assert_ok(fs_open(fs, path, FS_WRITE | FS_CREATE | FS_TRUNCATE, &file, &err), &err);
    if (bytes.length > 0) {
        assert_ok(file_write(file, 0, bytes, &err), &err);
    }
    file_close(file);
}

/* Makes the checksum of the block at `offset` hold again; `contents` are its bytes before the
 * codec. */
static inline void seal_block(struct buf *bytes, uint64_t offset, size_t contents)
{
    uint8_t *block = bytes->data + offset;
    put_le32(block + contents + 1, table_block_checksum(slice_of(block, contents), block[contents],
                                                        FIXTURE_FILE_NUMBER, offset));
}

#endif
