/* SPDX-License-Identifier: Apache-2.0
 *
 * Batches: what was put comes out in order, and a failure is never taken for emptiness.
 */
#include "storage/batch.h"

#include "storage/table/key.h"
#include "testlib/fail_alloc.h"
#include "testlib/test.h"

static void expect_op(const struct batch *batch, size_t *offset, unsigned type, const char *key,
                      const char *value)
{
    struct batch_op op;
    assert_true(batch_next(batch, offset, &op));
    assert_int_equal(op.keyspace, 3);
    assert_int_equal(op.type, type);
    assert_true(slice_equal(op.key, slice_of_string(key)));
    assert_true(slice_equal(op.value, slice_of_string(value)));
}

static void operations_come_in_order(void **state)
{
    (void)state;
    struct batch batch;
    struct batch_op op;
    size_t offset = 0;
    batch_init(&batch, alloc_default());
    assert_true(batch_is_empty(&batch));
    assert_false(batch_next(&batch, &offset, &op));
    batch_put(&batch, 3, slice_of_string("b"), slice_of_string("one"));
    batch_delete(&batch, 3, slice_of_string("a"));
    uint8_t *space = batch_put_space(&batch, 3, slice_of_string("b"), 2);
    assert_non_null(space);
    space[0] = '2';
    space[1] = '!';
    batch_set_floor(&batch, 3, slice_of_string("c"));
    assert_false(batch_is_empty(&batch));
    expect_op(&batch, &offset, KEY_PUT, "b", "one");
    expect_op(&batch, &offset, KEY_DELETE, "a", "");
    expect_op(&batch, &offset, KEY_PUT, "b", "2!");
    expect_op(&batch, &offset, BATCH_SET_FLOOR, "c", "");
    assert_false(batch_next(&batch, &offset, &op));
    batch_clear(&batch);
    assert_true(batch_is_empty(&batch));
    batch_release(&batch);
}

/* One whose first operation found no memory is not empty, or who skips empty batches would take it
 * for written. It stays so until it is cleared. */
static void a_failed_batch_is_not_empty(void **state)
{
    (void)state;
    struct fail_alloc fail;
    struct batch batch;
    fail_alloc_init(&fail);
    batch_init(&batch, &fail.alloc);
    fail_alloc_arm(&fail, 0);
    batch_put(&batch, 3, slice_of_string("a"), slice_of_string("one"));
    assert_true(fail_alloc_hit(&fail));
    assert_false(batch_is_empty(&batch));
    batch_put(&batch, 3, slice_of_string("b"), slice_of_string("two")); /* there is memory now */
    assert_false(batch_is_empty(&batch));
    assert_true(buf_failed(&batch.bytes));
    batch_clear(&batch);
    assert_true(batch_is_empty(&batch));
    batch_put(&batch, 3, slice_of_string("b"), slice_of_string("two"));
    size_t offset = 0;
    expect_op(&batch, &offset, KEY_PUT, "b", "two");
    batch_release(&batch);
    assert_int_equal(fail_alloc_blocks(&fail), 0);
    fail_alloc_release(&fail);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operations_come_in_order),
        cmocka_unit_test(a_failed_batch_is_not_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
