/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/mem/arena.h"

#include <string.h>

#include "testlib/fail_alloc.h"
#include "testlib/test.h"

/* Pieces are aligned, do not overlap and keep their content until the release. */
static void test_pieces_are_apart(void **state)
{
    (void)state;
    enum { PIECES = 3000 };
    static uint8_t *pieces[PIECES];
    struct fail_alloc fail;
    fail_alloc_init(&fail);
    struct arena arena;
    arena_init(&arena, &fail.alloc);
    size_t sum = 0;
    for (size_t i = 0; i < PIECES; i++) {
        size_t bytes = i * 7 % 1500 + 1;
        pieces[i] = arena_new(&arena, bytes);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % ARENA_ALIGNMENT, 0);
        memset(pieces[i], (int)(i & 0xff), bytes);
        sum += bytes;
    }
    for (size_t i = 0; i < PIECES; i++) {
        size_t bytes = i * 7 % 1500 + 1;
        assert_int_equal(pieces[i][0], i & 0xff);
        assert_int_equal(pieces[i][bytes - 1], i & 0xff);
    }
    assert_true(arena_used_bytes(&arena) >= sum);
    assert_true(arena_used_bytes(&arena) < sum + PIECES * ARENA_ALIGNMENT);
    assert_int_equal(arena_bytes(&arena), fail_alloc_bytes(&fail));
    arena_release(&arena);
    fail_alloc_release(&fail);
}

/* An arena with one small piece holds one small chunk. */
static void test_a_small_arena_is_cheap(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, alloc_default());
    assert_int_equal(arena_bytes(&arena), 0);
    assert_non_null(arena_new(&arena, 100));
    assert_true(arena_bytes(&arena) <= ARENA_CHUNK_BYTES_MIN);
    arena_release(&arena);
    assert_int_equal(arena_bytes(&arena), 0);
}

/* A piece larger than any chunk gets memory of its own, and small ones go on as before. */
static void test_a_large_piece_wastes_nothing(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, alloc_default());
    assert_non_null(arena_new(&arena, 8));
    size_t before = arena_bytes(&arena);
    assert_non_null(arena_new(&arena, 4 * ARENA_CHUNK_BYTES_MAX));
    assert_true(arena_bytes(&arena) < before + 4 * ARENA_CHUNK_BYTES_MAX + 64);
    before = arena_bytes(&arena);
    assert_non_null(arena_new(&arena, 8));
    assert_int_equal(arena_bytes(&arena), before);
    arena_release(&arena);
}

/* Without memory a piece is refused, and the arena goes on when there is memory again. */
static void test_no_memory_leaves_the_arena_as_it_was(void **state)
{
    (void)state;
    struct fail_alloc fail;
    fail_alloc_init(&fail);
    struct arena arena;
    arena_init(&arena, &fail.alloc);
    fail_alloc_arm(&fail, 0);
    assert_null(arena_new(&arena, 100));
    assert_int_equal(arena_bytes(&arena), 0);
    assert_int_equal(arena_used_bytes(&arena), 0);
    assert_non_null(arena_new(&arena, 100));
    fail_alloc_arm(&fail, 0);
    assert_null(arena_new(&arena, 1UL << 20));
    assert_non_null(arena_new(&arena, 100));
    arena_release(&arena);
    fail_alloc_release(&fail);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces_are_apart),
        cmocka_unit_test(test_a_small_arena_is_cheap),
        cmocka_unit_test(test_a_large_piece_wastes_nothing),
        cmocka_unit_test(test_no_memory_leaves_the_arena_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
