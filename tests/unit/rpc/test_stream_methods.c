/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of streaming methods against what protoc itself read in the .proto files.
 */
#include "base/coding.h"
#include "rpc/stream_methods.h"
#include "testlib/test.h"

#include <limits.h>
#include <unistd.h>

/* Calls `each` for every length-delimited field `number` of a message; other fields are skipped.
 * A varint field is handed on as an empty slice if it is not 0. */
static void fields(struct slice message, uint64_t number,
                   void (*each)(void *context, struct slice value), void *context)
{
    struct cursor cursor = cursor_of(message);
    while (cursor_left(&cursor) > 0) {
        uint64_t tag = cursor_varint(&cursor);
        struct slice value = slice_of("", 0);
        bool given = true;
        if ((tag & 7) == 2) {
            value = cursor_prefixed(&cursor);
        } else {
            assert_int_equal(tag & 7, 0);
            given = cursor_varint(&cursor) != 0;
        }
        assert_false(cursor.failed);
        if (tag >> 3 == number && given) {
            each(context, value);
        }
    }
}

struct seen {
    char package[64];
    char service[128];
    char method[64];
    bool streams;
    unsigned methods;
    unsigned streaming;
};

static void copy(char *out, size_t size, struct slice text)
{
    assert_true(text.length < size);
    memcpy(out, text.data, text.length);
    out[text.length] = '\0';
}

static void on_package(void *context, struct slice value)
{
    struct seen *seen = context;
    copy(seen->package, sizeof seen->package, value);
}

static void on_method_name(void *context, struct slice value)
{
    struct seen *seen = context;
    copy(seen->method, sizeof seen->method, value);
}

static void on_streams(void *context, struct slice value)
{
    struct seen *seen = context;
    (void)value;
    seen->streams = true;
}

static void on_client_streams(void *context, struct slice value)
{
    (void)context;
    (void)value;
    fail_msg("a client-streaming method: this rpc layer has none");
}

static void on_method(void *context, struct slice value)
{
    struct seen *seen = context;
    seen->streams = false;
    fields(value, 1, on_method_name, seen);
    fields(value, 5, on_client_streams, seen);
    fields(value, 6, on_streams, seen);
    if (rpc_method_streams(seen->service, seen->method) != seen->streams) {
        fail_msg("%s/%s: protoc says %d, the table does not", seen->service, seen->method,
                 seen->streams);
    }
    seen->methods++;
    seen->streaming += seen->streams;
}

static void on_service_name(void *context, struct slice value)
{
    struct seen *seen = context;
    (void)snprintf(seen->service, sizeof seen->service, "%s.%.*s", seen->package, (int)value.length,
                   (const char *)value.data);
}

static void on_service(void *context, struct slice value)
{
    fields(value, 1, on_service_name, context);
    fields(value, 2, on_method, context);
}

static void on_file(void *context, struct slice value)
{
    fields(value, 2, on_package, context);
    fields(value, 6, on_service, context);
}

/* Each method of each .proto streams if and only if the table says so, and the table has no
 * other. */
static void table_is_right(void **state)
{
    (void)state;
    static uint8_t bytes[1 << 20];
    char root[PATH_MAX];
    char out[64];
    static char command[3 * PATH_MAX];
    struct seen seen = {.methods = 0};
    (void)snprintf(out, sizeof out, "/tmp/estreat-descriptors-%ld", (long)getpid());
    (void)snprintf(command, sizeof command,
                   "cd '%s' && protoc-c --descriptor_set_out=%s -I . schema/*.proto",
                   test_source_path(root, "proto"), out);
    assert_int_equal(system(command), 0);
    FILE *file = fopen(out, "rb");
    assert_non_null(file);
    size_t length = fread(bytes, 1, sizeof bytes, file);
    (void)fclose(file);
    (void)unlink(out);
    assert_in_range(length, 1, sizeof bytes - 1);
    fields(slice_of(bytes, length), 1, on_file, &seen);
    assert_true(seen.methods >= 10);
    assert_int_equal(seen.streaming, rpc_stream_methods_count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(table_is_right)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
