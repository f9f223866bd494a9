#include "unit.h"

#include <stdlib.h>

#include "../../lib/trail/record.h"

static slice_t
rendered(const record_t *record, char line[RECORD_SIZE_MAX])
{
    size_t size = record_render(record, line, RECORD_SIZE_MAX);

    assert_true(size > 0);
    assert_null(memchr(line, '\n', size));
    return (slice_t){line, size};
}

static record_t
round_trip(const record_t *record, uint8_t bytes[RECORD_SIZE_MAX])
{
    record_t back;
    size_t size = record_encode(record, bytes, RECORD_SIZE_MAX);

    assert_true(size > 0);
    assert_true(record_decode(bytes, size, &back));
    return back;
}

static void
renders_fields_in_order_with_their_types(void **state)
{
    char line[RECORD_SIZE_MAX];
    record_t record = {.values = {[RECORD_STATUS] = SLICE("200"),
                                  [RECORD_ID] = SLICE("ab"),
                                  [RECORD_USER] = SLICE("12")}};

    (void) state;
    assert_string_equal(rendered(&record, line).data,
                        "{\"id\":\"ab\",\"user\":\"12\",\"status\":200}");
}

static void
a_number_that_is_none_stays_text(void **state)
{
    static const char *const bad[] = {
        "", "-", "1e5", "0x1", "007", "+1", "9999999999999999999", "1 "};
    char line[RECORD_SIZE_MAX];

    (void) state;
    for (size_t i = 1; i < sizeof(bad) / sizeof(bad[0]); i++) {
        record_t record = {.values = {[RECORD_STATUS] = slice_of(bad[i])}};

        assert_non_null(strstr(rendered(&record, line).data, "\"status\":\""));
    }
}

static void
outside_text_cannot_break_the_line(void **state)
{
    char line[RECORD_SIZE_MAX];
    record_t record = {
        .values = {[RECORD_AGENT] = SLICE("x\"}\n{\"event\":\"start\xff")}};

    (void) state;
    assert_string_equal(
        rendered(&record, line).data,
        "{\"agent\":\"x\\\"}\\n{\\\"event\\\":\\\"start\xef\xbf\xbd\"}");
}

static void
what_is_encoded_comes_back(void **state)
{
    uint8_t bytes[RECORD_SIZE_MAX];
    record_t record = {
        .values = {[RECORD_ID] = SLICE("a"), [RECORD_LOST] = SLICE("17")}};
    record_t back = round_trip(&record, bytes);

    (void) state;
    assert_true(slice_is(back.values[RECORD_ID], "a"));
    assert_true(slice_is(back.values[RECORD_LOST], "17"));
    assert_int_equal(back.values[RECORD_USER].size, 0);
    assert_false(back.any_cut);
}

static void
a_long_value_is_cut_between_characters_and_marked(void **state)
{
    uint8_t bytes[RECORD_SIZE_MAX];
    char line[RECORD_SIZE_MAX], *text = malloc(6000);
    record_t record = {0}, back;

    (void) state;
    for (size_t i = 0; i < 6000; i += 3) {
        memcpy(text + i, "関", 3);
    }
    record.values[RECORD_URI] = (slice_t){text, 6000};
    back = round_trip(&record, bytes);
    assert_int_equal(back.values[RECORD_URI].size, 4095);
    assert_non_null(
        strstr(rendered(&back, line).data, "関\",\"cut\":[\"uri\"]}"));
    free(text);
}

static void
the_largest_record_still_fits(void **state)
{
    uint8_t bytes[RECORD_SIZE_MAX];
    char line[RECORD_SIZE_MAX], *text = calloc(1, 100000);
    record_t record = {0}, back;

    (void) state;
    memset(text, 1, 100000); /* each byte becomes six */
    for (unsigned i = 0; i < RECORD_FIELDS; i++) {
        record.values[i] = (slice_t){text, 100000};
    }
    back = round_trip(&record, bytes);
    assert_true(rendered(&back, line).size > RECORD_SIZE_MAX / 8);
    assert_int_equal(line[rendered(&back, line).size - 1], '}');
    free(text);
}

static void
decoding_refuses_every_broken_form(void **state)
{
    static const struct {
        uint8_t bytes[20];
        size_t size;
    } bad[] = {
        {{0}, 1}, /* no room for a head */
        {{0, 0}, 2},
        {{RECORD_FIELDS, 0, 1, 'a'}, 4},   /* unknown field */
        {{0, 0, 0}, 3},                    /* empty value */
        {{0, 0, 2, 'a'}, 4},               /* beyond the end */
        {{0, 0, 1, 'a', 0, 0, 1, 'b'}, 8}, /* repeated */
        {{0, 255, 255, 'a'}, 4},           /* too long */
        {{255, 0, 1, 1}, 4},               /* a mask of another size */
        {{255, 0, 16}, 19},                /* a mask of nothing */
        /* of a field that is none */
        {{255, 0, 16, 1, [18] = 128}, 19},
    };
    record_t record;

    (void) state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(record_decode(bad[i].bytes, bad[i].size, &record));
    }
}

static void
every_field_and_event_has_its_own_name(void **state)
{
    (void) state;
    for (unsigned i = 0; i < RECORD_FIELDS; i++) {
        assert_int_equal(
            record_field_find(slice_of(record_field_name((record_field_t) i))),
            i);
    }
    for (unsigned i = 1; i < EVENT_COUNT; i++) {
        assert_int_equal(
            record_event_find(slice_of(record_event_name((record_event_t) i))),
            i);
    }
    assert_int_equal(record_field_find(SLICE("nothing")), RECORD_FIELDS);
}

static void
events_have_the_codes_of_dicom(void **state)
{
    static const struct {
        record_event_t event;
        const char *action;
        unsigned id, type;
    } cases[] = {{EVENT_ACCESS, "view", 110103, 0},
                 {EVENT_ACCESS, "download", 110106, 0},
                 {EVENT_REQUEST, "store", 110104, 0},
                 {EVENT_REQUEST, "delete", 110105, 0},
                 {EVENT_ACCESS, "query", 110112, 0},
                 {EVENT_DENIED, "view", 110113, 0},
                 {EVENT_START, "", 110100, 110120},
                 {EVENT_STOP, "", 110100, 110121},
                 {EVENT_TRAIL_READ, "", 110101, 0},
                 {EVENT_POLICY_CHANGED, "", 110113, 110129}};

    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        unsigned id, type;

        record_event_codes(cases[i].event, slice_of(cases[i].action), &id,
                           &type);
        assert_int_equal(id, cases[i].id);
        assert_int_equal(type, cases[i].type);
    }
}

static void
times_have_milliseconds(void **state)
{
    char text[RECORD_TIME_TEXT_MAX];

    (void) state;
    assert_int_equal(record_time(1795500542007, text), 24);
    assert_string_equal(text, "2026-11-24T06:09:02.007Z");
    record_time(-1, text);
    assert_string_equal(text, "1969-12-31T23:59:59.999Z");
}

static void
a_rendered_line_is_read_back(void **state)
{
    char line[RECORD_SIZE_MAX], buffer[RECORD_SIZE_MAX];
    static const char text[] = "a\"\\\n\x01 関所 \xf0\x9f\x8f\xa5";
    record_t record = {
        .values = {
            [RECORD_STATUS] = SLICE("200"), [RECORD_USER] = SLICE("yamada")}};
    record_t back;

    (void) state;
    record_set_cut(&record, RECORD_URI);
    record_set_cut(&record, RECORD_FINDINGS);
    record.values[RECORD_AGENT] = (slice_t){text, sizeof(text)}; /* with NUL */
    assert_true(record_parse(rendered(&record, line), &back, buffer));
    for (unsigned i = 0; i < RECORD_FIELDS; i++) {
        assert_true(slice_equal(back.values[i], record.values[i]));
    }
    assert_memory_equal(back.cut, record.cut, RECORD_CUT_SIZE);
    assert_true(record_is_cut(&back, RECORD_URI));
    assert_false(record_is_cut(&back, RECORD_AGENT));
}

static void
unknown_fields_are_passed_over(void **state)
{
    char buffer[64];
    record_t record;

    (void) state;
    assert_true(
        record_parse(SLICE("{\"new\":\"x\",\"id\":\"a\"}"), &record, buffer));
    assert_true(slice_is(record.values[RECORD_ID], "a"));
    assert_true(record_parse(SLICE("{}"), &record, buffer));
    assert_true(
        record_parse(SLICE("{\"user\":\"\\ud83c\\udfe5\"}"), &record, buffer));
    assert_true(slice_is(record.values[RECORD_USER], "\xf0\x9f\x8f\xa5"));
}

static void
what_no_daemon_writes_is_no_record(void **state)
{
    static const char *const bad[] = {
        "",
        "{",
        "[]",
        "{\"id\":\"a\"} ",
        "{\"id\":\"a\",}",
        "{\"id\":\"a\",\"id\":\"b\"}",
        "{\"id\":true}",
        "{\"id\":{}}",
        "{\"id\":\"\\x\"}",
        "{\"id\":\"\\ud800\"}",
        "{\"id\":\"\\udc00\"}",
        "{\"id\":\"\\u12\"}",
        "{\"id\":\"a\n\"}",
        "{\"id\":\"\\",
        "{\"cut\":[]}",
        "{\"cut\":[\"uri\"],\"cut\":[\"uri\"]}",
        "{id:\"a\"}",
    };
    char buffer[64];
    record_t record;

    (void) state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(record_parse(slice_of(bad[i]), &record, buffer));
    }
}

static void
a_value_is_limited_between_characters_and_marked(void **state)
{
    record_t record = {0};

    (void) state;
    record.values[RECORD_QUERY] = SLICE("PatientName=関所");
    record_limit(&record, RECORD_QUERY, 18);
    assert_true(slice_is(record.values[RECORD_QUERY], "PatientName=関所"));
    assert_false(record.any_cut);
    record_limit(&record, RECORD_QUERY, 17);
    assert_true(slice_is(record.values[RECORD_QUERY], "PatientName=関"));
    assert_true(record_is_cut(&record, RECORD_QUERY));
    assert_false(record_is_cut(&record, RECORD_URI));
}

/* What is no UTF-8 is cut where it was asked. */
static void
bytes_that_are_no_text_are_limited_too(void **state)
{
    record_t record = {0};

    (void) state;
    record.values[RECORD_QUERY] = SLICE("\x80\x80\x80\x80\x80\x80\x80\x80");
    record_limit(&record, RECORD_QUERY, 5);
    assert_int_equal(record.values[RECORD_QUERY].size, 5);
}

UNIT_TESTS(cmocka_unit_test(a_rendered_line_is_read_back),
           cmocka_unit_test(unknown_fields_are_passed_over),
           cmocka_unit_test(what_no_daemon_writes_is_no_record),
           cmocka_unit_test(renders_fields_in_order_with_their_types),
           cmocka_unit_test(a_number_that_is_none_stays_text),
           cmocka_unit_test(outside_text_cannot_break_the_line),
           cmocka_unit_test(what_is_encoded_comes_back),
           cmocka_unit_test(a_long_value_is_cut_between_characters_and_marked),
           cmocka_unit_test(a_value_is_limited_between_characters_and_marked),
           cmocka_unit_test(bytes_that_are_no_text_are_limited_too),
           cmocka_unit_test(the_largest_record_still_fits),
           cmocka_unit_test(decoding_refuses_every_broken_form),
           cmocka_unit_test(every_field_and_event_has_its_own_name),
           cmocka_unit_test(events_have_the_codes_of_dicom),
           cmocka_unit_test(times_have_milliseconds))
