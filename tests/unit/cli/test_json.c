/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/json.h"

#include <stdlib.h>

#include "cli/cli.h"
#include "testlib/test.h"

struct memory {
    FILE *file;
    char *text;
    size_t length;
};

static void memory_open(struct memory *memory)
{
    memory->file = open_memstream(&memory->text, &memory->length);
    assert_non_null(memory->file);
}

static void memory_expect(struct memory *memory, const char *expected)
{
    assert_int_equal(fclose(memory->file), 0);
    assert_string_equal(memory->text, expected);
    free(memory->text);
}

/* Nesting, commas, and one value a line. */
static void test_structure(void **state)
{
    struct memory memory;
    struct json json;
    (void)state;
    memory_open(&memory);
    json_init(&json, memory.file);
    json_open_object(&json, NULL);
    json_open_array(&json, "empty");
    json_close_array(&json);
    json_open_array(&json, "list");
    json_number(&json, NULL, 1);
    json_open_object(&json, NULL);
    json_close_object(&json);
    json_null(&json, NULL);
    json_close_array(&json);
    json_fraction(&json, "ms", 1.25, 3);
    json_close_object(&json);
    json_end_line(&json);
    json_number(&json, NULL, UINT64_MAX);
    json_end_line(&json);
    memory_expect(&memory, "{\"empty\":[],\"list\":[1,{},null],\"ms\":1.250}\n"
                           "18446744073709551615\n");
}

/* Control characters, quotes and backslashes are escaped; other text stands for itself. */
static void test_escapes(void **state)
{
    struct memory memory;
    struct json json;
    (void)state;
    memory_open(&memory);
    json_init(&json, memory.file);
    json_open_array(&json, NULL);
    json_text(&json, NULL, "a\"b\\c\n\r\t\x01\x7f");
    json_bytes(&json, NULL, estreat_bytes("nul\0in", 6));
    json_text(&json, NULL, "gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80");
    json_text(&json, NULL, "broken \xff here");
    json_text(&json, NULL, "");
    json_close_array(&json);
    json_end_line(&json);
    memory_expect(&memory, "[\"a\\\"b\\\\c\\n\\r\\t\\u0001\\u007f\",\"nul\\u0000in\","
                           "\"gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80\",\"broken \\ufffd here\","
                           "\"\"]\n");
}

/* Bytes are text where they are UTF-8, else base64 under a name that says so. */
static void test_bytes(void **state)
{
    struct memory memory;
    struct json json;
    (void)state;
    memory_open(&memory);
    json_init(&json, memory.file);
    json_open_object(&json, NULL);
    json_bytes(&json, "key", estreat_text("text"));
    json_bytes(&json, "payload", estreat_bytes("\xff\x00\x01", 3));
    json_bytes(&json, "surrogate", estreat_bytes("\xed\xa0\x80", 3));
    json_bytes(&json, "none", estreat_bytes(NULL, 0));
    json_time(&json, "time", 1795356306123456789);
    json_close_object(&json);
    json_end_line(&json);
    memory_expect(&memory, "{\"key\":\"text\",\"payload_base64\":\"/wAB\","
                           "\"surrogate_base64\":\"7aCA\",\"none\":\"\","
                           "\"time\":\"1795356306123456789\"}\n");
}

static const struct estreat_event event = {
    .position = 7,
    .time_ns = 1795356306123456789,
    .key = {"k\x1b[2J", 5},
    .version = 3,
    .kind = ESTREAT_KIND_UPDATE,
    .severity = ESTREAT_SEVERITY_WARN,
    .type = "note",
    .payload = {"line\r\0\xff", 7},
};

static void expect_event(enum output output, const char *expected, size_t length)
{
    struct memory memory;
    memory_open(&memory);
    struct cli cli = {.output = output, .out = memory.file};
    cli_print_event(&cli, &event);
    assert_int_equal(fclose(memory.file), 0);
    assert_int_equal(memory.length, length);
    assert_memory_equal(memory.text, expected, length);
    free(memory.text);
}

/* An event in each form: raw is its bytes, JSON as the design says, a table is harmless to a
 * terminal. */
static void test_event_forms(void **state)
{
    static const char table[] = "7          2026-11-22T14:05:06.123456789Z k\\x1b[2J              "
                                "  3        update  warn  [note] line\\x0d\\x00\\xff\n";
    static const char json[] = "{\"position\":7,\"time\":\"1795356306123456789\",\"key\":"
                               "\"k\\u001b[2J\",\"version\":3,\"kind\":\"update\",\"type\":"
                               "\"note\",\"severity\":\"warn\",\"payload_base64\":"
                               "\"bGluZQ0A/w==\"}\n";
    (void)state;
    expect_event(OUTPUT_RAW, "line\r\0\xff\n", 8);
    expect_event(OUTPUT_JSON, json, sizeof json - 1);
    expect_event(OUTPUT_TABLE, table, sizeof table - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_structure),
        cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_event_forms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
