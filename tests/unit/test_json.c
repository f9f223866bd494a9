#include "unit.h"

#include "../../lib/base/json.h"

static void
writes_nested_values_with_commas(void **state)
{
    json_t json;

    (void) state;
    json_init(&json);
    json_object(&json, NULL);
    json_string(&json, "a", "x");
    json_array(&json, "b");
    json_int(&json, NULL, -1);
    json_bool(&json, NULL, true);
    json_object(&json, NULL);
    json_end_object(&json);
    json_end_array(&json);
    json_null(&json, "c");
    json_end_object(&json);
    assert_string_equal(json_result(&json).data,
                        "{\"a\":\"x\",\"b\":[-1,true,{}],\"c\":null}");
    json_free(&json);
}

static slice_t
escaped(json_t *json, slice_t text)
{
    json_init(json);
    json_escape(json, text);
    return json_result(json);
}

static void
escapes_what_rfc8259_asks_for(void **state)
{
    json_t json;

    (void) state;
    assert_string_equal(
        escaped(&json, (slice_t){"\"\\\n\r\t\0\x1f\x7f/", 9}).data,
        "\\\"\\\\\\n\\r\\t\\u0000\\u001f\\u007f/");
    json_free(&json);
}

static void
keeps_valid_utf8(void **state)
{
    json_t json;
    const char *text = "関所 é \xf0\x9f\x8f\xa5";

    (void) state;
    assert_string_equal(escaped(&json, slice_of(text)).data, text);
    json_free(&json);
}

static void
replaces_every_byte_that_is_no_utf8(void **state)
{
    /* RFC 3629: overlong, surrogate, above U+10FFFF, cut, stray, never legal */
    static const struct {
        const char *in;
        unsigned replaced;
    } cases[] = {{"\xc0\xaf", 2},     {"\xe0\x80\xaf", 3},
                 {"\xed\xa0\x80", 3}, {"\xf4\x90\x80\x80", 4},
                 {"\xe3\x81", 2},     {"\x80", 1},
                 {"\xff", 1},         {"\xf0\x80\x80\x80", 4}};

    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        json_t json;
        slice_t result = escaped(&json, slice_of(cases[i].in));

        assert_int_equal(result.size, 3 * cases[i].replaced);
        for (size_t k = 0; k < result.size; k += 3) {
            assert_memory_equal(result.data + k, "\xef\xbf\xbd", 3);
        }
        json_free(&json);
    }
}

static void
fixed_buffer_fails_instead_of_growing(void **state)
{
    char buffer[8];
    json_t json;

    (void) state;
    json_init_fixed(&json, buffer, sizeof(buffer));
    json_string(&json, NULL, "12345");
    assert_string_equal(json_result(&json).data, "\"12345\"");
    json_init_fixed(&json, buffer, sizeof(buffer));
    json_string(&json, NULL, "123456");
    assert_true(json.failed);
    assert_int_equal(json_result(&json).size, 0);
}

static void
unbalanced_or_too_deep_is_no_result(void **state)
{
    json_t json;

    (void) state;
    json_init(&json);
    json_array(&json, NULL);
    assert_int_equal(json_result(&json).size, 0);
    for (int i = 0; i < JSON_DEPTH_MAX; i++) {
        json_array(&json, NULL);
    }
    assert_true(json.failed);
    json_free(&json);
    json_init(&json);
    json_end_object(&json);
    assert_true(json.failed);
    json_free(&json);
}

/* Sixteen bytes are looked at in one step, then eight, the rest one by one; all
 * must be what comes of one byte alone. */
static void
each_byte_is_escaped_alike_at_every_place(void **state)
{
    char text[40], expected[sizeof(text) * 6 + 7], data[sizeof(text) * 6 + 1];

    (void) state;
    for (unsigned byte = 0; byte < 0x100; byte++) {
        json_t one, whole;
        size_t alone;
        char c = (char) byte, escaped[7];

        json_init_fixed(&one, escaped, sizeof(escaped));
        json_escape(&one, (slice_t){&c, 1});
        alone = json_result(&one).size;
        assert_true(alone > 0);
        for (size_t length = 1; length <= sizeof(text); length++) {
            for (size_t at = 0; at < length; at++) {
                memset(text, 'a', sizeof(text));
                text[at] = c;
                memset(expected, 'a', sizeof(expected));
                memcpy(expected + at, escaped, alone);
                json_init_fixed(&whole, data, sizeof(data));
                json_escape(&whole, (slice_t){text, length});
                assert_false(whole.failed);
                assert_int_equal(whole.size, length - 1 + alone);
                assert_memory_equal(data, expected, whole.size);
            }
        }
    }
}

static void
members_with_ready_names_are_those_of_other_ways(void **state)
{
    static const char name[JSON_NAME_SIZE] = "member";
    const char *texts[] = {"", "x", "a \"quoted\" word",
                           "a text that is longer than sixteen bytes", "関所"};

    (void) state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        /* from far too small a buffer to more than enough */
        for (size_t capacity = 1; capacity < 200; capacity++) {
            char ready[200], other[200];
            json_t one, two;

            json_init_fixed(&one, ready, capacity);
            json_init_fixed(&two, other, capacity);
            json_object(&one, NULL);
            json_object(&two, NULL);
            for (unsigned turn = 0; turn < 2; turn++) {
                json_member_text(&one, name, slice_of(texts[i]));
                json_string(&two, "member", texts[i]);
                json_member(&one, name, SLICE("-12"));
                json_int(&two, "member", -12);
            }
            json_end_object(&one);
            json_end_object(&two);
            assert_int_equal(one.failed, two.failed);
            assert_string_equal(json_result(&one).data, json_result(&two).data);
        }
    }
}

static void
members_make_a_buffer_grow(void **state)
{
    static const char name[JSON_NAME_SIZE] = "n";
    json_t json;

    (void) state;
    json_init(&json);
    json_object(&json, NULL);
    for (unsigned i = 0; i < 1000; i++) {
        json_member_text(&json, name, SLICE("0123456789"));
    }
    json_end_object(&json);
    assert_int_equal(json_result(&json).size, 1 + 1000 * 17);
    json_free(&json);
}

static void
numbers_are_written_from_the_least_to_the_greatest(void **state)
{
    json_t json;

    (void) state;
    json_init(&json);
    json_array(&json, NULL);
    json_int(&json, NULL, INT64_MIN);
    json_int(&json, NULL, -10);
    json_int(&json, NULL, 0);
    json_int(&json, NULL, 7);
    json_int(&json, NULL, INT64_MAX);
    json_end_array(&json);
    assert_string_equal(json_result(&json).data,
                        "[-9223372036854775808,-10,0,7,9223372036854775807]");
    json_free(&json);
}

UNIT_TESTS(cmocka_unit_test(writes_nested_values_with_commas),
           cmocka_unit_test(escapes_what_rfc8259_asks_for),
           cmocka_unit_test(each_byte_is_escaped_alike_at_every_place),
           cmocka_unit_test(members_with_ready_names_are_those_of_other_ways),
           cmocka_unit_test(members_make_a_buffer_grow),
           cmocka_unit_test(numbers_are_written_from_the_least_to_the_greatest),
           cmocka_unit_test(keeps_valid_utf8),
           cmocka_unit_test(replaces_every_byte_that_is_no_utf8),
           cmocka_unit_test(fixed_buffer_fails_instead_of_growing),
           cmocka_unit_test(unbalanced_or_too_deep_is_no_result))
