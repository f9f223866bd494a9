#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "../../lib/ipc/otp_message.h"

static void
every_field_comes_back(void **state)
{
    uint8_t bytes[4096];
    char text[ASK_FIELDS][8];
    message_t message;
    ask_t ask = {0}, back;
    size_t size;

    (void) state;
    for (unsigned i = ASK_OPERATION; i < ASK_FIELDS; i++) {
        (void) snprintf(text[i], sizeof(text[i]), "v%u", i);
        ask.values[i] = slice_of(text[i]);
    }
    size = ask_write(bytes, sizeof(bytes), MESSAGE_ASK, 77, &ask);
    assert_int_equal(message_parse(bytes, size, &message), MESSAGE_OK);
    assert_int_equal(message.type, MESSAGE_ASK);
    assert_int_equal(message.number, 77);
    assert_true(ask_parse(&message, &back));
    for (unsigned i = ASK_OPERATION; i < ASK_FIELDS; i++) {
        assert_true(slice_equal(back.values[i], ask.values[i]));
    }
}

static void
what_does_not_fit_is_not_written(void **state)
{
    static char large[ASK_TEXT_MAX + 1];
    static uint8_t bytes[MESSAGE_SIZE_MAX];
    ask_t ask = {0};
    size_t size;

    (void) state;
    ask.values[ASK_USER] = SLICE("yamada");
    size = ask_write(bytes, sizeof(bytes), MESSAGE_ANSWER, 1, &ask);
    assert_int_equal(size, MESSAGE_HEAD_SIZE + 3 + 6);
    assert_int_equal(ask_write(bytes, size, MESSAGE_ANSWER, 1, &ask), size);
    assert_int_equal(ask_write(bytes, size - 1, MESSAGE_ANSWER, 1, &ask), 0);
    assert_int_equal(ask_write(bytes, 3, MESSAGE_ANSWER, 1, &ask), 0);
    ask.values[ASK_USER] = (slice_t){large, ASK_VALUE_MAX + 1};
    assert_int_equal(ask_write(bytes, sizeof(bytes), MESSAGE_ANSWER, 1, &ask),
                     0);
    ask.values[ASK_USER] = (slice_t){NULL, 0};
    ask.values[ASK_TEXT] = (slice_t){large, ASK_TEXT_MAX};
    assert_int_equal(ask_write(bytes, sizeof(bytes), MESSAGE_ANSWER, 1, &ask),
                     MESSAGE_HEAD_SIZE + 3 + ASK_TEXT_MAX);
    ask.values[ASK_TEXT].size++;
    assert_int_equal(ask_write(bytes, sizeof(bytes), MESSAGE_ANSWER, 1, &ask),
                     0);
}

static bool
parses(const char *payload, size_t size)
{
    /* of its own size on the heap, so that a sanitizer sees a byte too far */
    uint8_t *bytes = malloc(size == 0 ? 1 : size);
    message_t message = {
        .type = MESSAGE_ASK, .payload = bytes, .payload_size = size};
    ask_t ask;
    bool result;

    assert_non_null(bytes);
    memcpy(bytes, payload, size);
    result = ask_parse(&message, &ask);
    for (unsigned i = 0; !result && i < ASK_FIELDS; i++) {
        assert_int_equal(ask.values[i].size, 0);
    }
    free(bytes);
    return result;
}

static void
damaged_payloads_are_refused(void **state)
{
    static char large[3 + ASK_VALUE_MAX + 1] = {ASK_USER, 0x10, 0x01};

    (void) state;
    assert_true(parses("", 0));
    assert_true(parses("\x02\x00\x01x", 4));
    assert_false(parses("\x02\x00", 2));
    assert_false(parses("\x02\x00\x02x", 4));
    assert_false(parses("\x02\xff\xffx", 4));
    assert_false(parses("\x02\x00\x00", 3));
    assert_false(parses("\x00\x00\x01x", 4));
    assert_false(parses("\x3f\x00\x01x", 4));
    assert_false(parses("\xff\x00\x01x", 4));
    assert_false(parses("\x02\x00\x01x\x02\x00\x01y", 8));
    assert_false(parses("\x02\x00\x01x\x03", 5));
    assert_false(parses(large, sizeof(large)));
}

static void
other_messages_are_no_questions(void **state)
{
    message_t message = {.type = MESSAGE_RECORDS};
    ask_t ask;

    (void) state;
    assert_false(ask_parse(&message, &ask));
    message.type = MESSAGE_ANSWER;
    assert_true(ask_parse(&message, &ask));
}

static void
each_operation_has_a_name_of_its_own(void **state)
{
    (void) state;
    for (unsigned i = 0; i < ASK_OPERATIONS; i++) {
        assert_non_null(ask_operation_name((ask_operation_t) i));
        for (unsigned j = 0; j < i; j++) {
            assert_string_not_equal(ask_operation_name((ask_operation_t) i),
                                    ask_operation_name((ask_operation_t) j));
        }
    }
    assert_string_equal(ask_operation_name(ASK_OPERATIONS), "none");
}

static void
numbers_come_back(void **state)
{
    static const uint64_t numbers[] = {0, 9, 10, 4294967296, INT64_MAX};
    char text[ASK_NUMBER_SIZE];
    uint64_t back;

    (void) state;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        assert_true(ask_number_parse(slice_of(ask_number(numbers[i], text)),
                                     INT64_MAX, &back));
        assert_int_equal(back, numbers[i]);
    }
}

static void
what_is_no_number_is_refused(void **state)
{
    static const char *const bad[] = {
        "", "-1", "+1", " 1", "1 ", "0x", "101", "1a", "99999999999999999999"};
    uint64_t number = 7;

    (void) state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(ask_number_parse(slice_of(bad[i]), 100, &number));
    }
    assert_int_equal(number, 7);
    assert_true(ask_number_parse(SLICE("100"), 100, &number));
}

/* RFC 4648 10, without the padding. */
static void
base32_is_that_of_the_rfc(void **state)
{
    static const struct {
        const char *bytes, *text;
    } known[] = {{"f", "MY"},           {"fo", "MZXQ"},
                 {"foo", "MZXW6"},      {"foob", "MZXW6YQ"},
                 {"fooba", "MZXW6YTB"}, {"foobar", "MZXW6YTBOI"}};
    char text[16];
    uint8_t bytes[16];

    (void) state;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        size_t size = strlen(known[i].bytes);

        assert_int_equal(ask_base32_write(text, sizeof(text),
                                          (const uint8_t *) known[i].bytes,
                                          size),
                         strlen(known[i].text));
        assert_string_equal(text, known[i].text);
        assert_int_equal(ask_base32_read(slice_of(text), bytes, sizeof(bytes)),
                         size);
        assert_memory_equal(bytes, known[i].bytes, size);
    }
}

static void
base32_of_every_byte_comes_back(void **state)
{
    uint8_t bytes[64], back[64];
    char text[128];

    (void) state;
    for (unsigned start = 0; start < 256; start += 64) {
        for (unsigned i = 0; i < 64; i++) {
            bytes[i] = (uint8_t) (start + i);
        }
        assert_int_equal(ask_base32_write(text, sizeof(text), bytes, 64), 103);
        assert_int_equal(ask_base32_read(slice_of(text), back, 64), 64);
        assert_memory_equal(back, bytes, 64);
    }
}

static void
base32_is_read_as_people_type_it(void **state)
{
    uint8_t bytes[8];

    (void) state;
    assert_int_equal(ask_base32_read(SLICE("mzxw 6ytb-OI======"), bytes, 8), 6);
    assert_memory_equal(bytes, "foobar", 6);
    assert_int_equal(ask_base32_read(SLICE("MZXW1"), bytes, 8), 0);
    assert_int_equal(ask_base32_read(SLICE("MZXW\xc3\xa9"), bytes, 8), 0);
    assert_int_equal(ask_base32_read(SLICE("MZXW6YTBOI"), bytes, 5), 0);
    assert_int_equal(ask_base32_read(SLICE(""), bytes, 8), 0);
}

static void
base32_that_does_not_fit_is_not_written(void **state)
{
    char text[9];

    (void) state;
    assert_int_equal(ask_base32_write(text, 8, (const uint8_t *) "fooba", 5),
                     0);
    assert_int_equal(ask_base32_write(text, 9, (const uint8_t *) "fooba", 5),
                     8);
}

static void
names_have_no_control_characters(void **state)
{
    (void) state;
    assert_true(ask_name_ok(SLICE("yamada"), 6));
    assert_true(ask_name_ok(SLICE("caf\xe9"), 6));
    assert_false(ask_name_ok(SLICE("yamada"), 5));
    assert_false(ask_name_ok(SLICE(""), 5));
    assert_false(ask_name_ok(SLICE("a\nb"), 5));
    assert_false(ask_name_ok(SLICE("a\x7f"), 5));
    assert_false(ask_name_ok((slice_t){"a\0b", 3}, 5));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_comes_back),
        cmocka_unit_test(what_does_not_fit_is_not_written),
        cmocka_unit_test(damaged_payloads_are_refused),
        cmocka_unit_test(other_messages_are_no_questions),
        cmocka_unit_test(each_operation_has_a_name_of_its_own),
        cmocka_unit_test(numbers_come_back),
        cmocka_unit_test(what_is_no_number_is_refused),
        cmocka_unit_test(base32_is_that_of_the_rfc),
        cmocka_unit_test(base32_of_every_byte_comes_back),
        cmocka_unit_test(base32_is_read_as_people_type_it),
        cmocka_unit_test(base32_that_does_not_fit_is_not_written),
        cmocka_unit_test(names_have_no_control_characters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
