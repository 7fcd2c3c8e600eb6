/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib/flip.h"

#include "testlib/test.h"

void flip_bit(struct fs *fs, const char *path, uint64_t offset)
{
    struct error err = ERROR_INIT;
    struct file *file = NULL;
    uint8_t byte = 0;
    size_t read = 0;
    assert_ok(fs_open(fs, path, FS_READ | FS_WRITE, &file, &err), &err);
    assert_ok(file_read(file, offset, &byte, 1, &read, &err), &err);
    assert_int_equal(read, 1);
    byte ^= 1;
    assert_ok(file_write(file, offset, slice_of(&byte, 1), &err), &err);
    assert_ok(file_sync(file, &err), &err);
    file_close(file);
}
