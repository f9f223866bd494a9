#include "unit.h"

#include <time.h>

#include "../../lib/base/clock.h"

static int64_t
parsed(const char *text)
{
    int64_t seconds;
    bool local;

    assert_true(clock_parse(slice_of(text), &seconds, &local));
    assert_false(local);
    return seconds;
}

static void
parses_rfc3339(void **state)
{
    (void) state;
    assert_int_equal(parsed("1970-01-01T00:00:00Z"), 0);
    assert_int_equal(parsed("2026-11-24T06:09:02Z"), 1795500542);
    assert_int_equal(parsed("2026-11-24T15:09:02+09:00"), 1795500542);
    assert_int_equal(parsed("2026-11-24T02:39:02.999-03:30"), 1795500542);
    assert_int_equal(parsed("2026-11-24 06:09Z"), 1795500540);
    assert_int_equal(parsed("1969-12-31T23:59:59Z"), -1);
    assert_int_equal(parsed("@1795500542"), 1795500542);
    assert_int_equal(parsed("@-5"), -5);
}

static void
without_offset_is_marked_local(void **state)
{
    int64_t seconds;
    bool local;

    (void) state;
    assert_true(clock_parse(SLICE("2026-11-24T06:09:02"), &seconds, &local));
    assert_true(local);
    assert_int_equal(seconds, 1795500542);
}

static void
rejects_what_is_no_time(void **state)
{
    static const char *const bad[] = {"",
                                      "2026-11-24",
                                      "2026-02-29T00:00:00Z",
                                      "2026-13-01T00:00:00Z",
                                      "2026-00-01T00:00Z",
                                      "2026-01-32T00:00Z",
                                      "2026-01-01T24:00Z",
                                      "2026-01-01T00:60Z",
                                      "2026-01-01T00:00:61Z",
                                      "2026-01-01T00:00:00.",
                                      "2026-01-01T00:00+9",
                                      "2026-01-01T00:00Zx",
                                      "@",
                                      "@12x",
                                      "@1234567890123",
                                      "26-01-01T00:00Z",
                                      "2026-1-1T00:00Z",
                                      "2026-04-31T00:00Z"};
    int64_t seconds;
    bool local;

    (void) state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(clock_parse(slice_of(bad[i]), &seconds, &local));
    }
}

static void
days_agree_with_the_c_library(void **state)
{
    char text[CLOCK_TEXT_MAX], expected[CLOCK_TEXT_MAX];

    (void) state;
    /* every day of four centuries and some: all leap rules */
    for (int32_t day = -150000; day < 30000; day++) {
        time_t seconds = (time_t) day * 86400;
        struct tm tm;
        int32_t back;

        assert_non_null(gmtime_r(&seconds, &tm));
        assert_true(strftime(expected, sizeof(expected), "%Y-%m-%d", &tm) > 0);
        clock_format_day(day, text);
        assert_string_equal(text, expected);
        assert_true(clock_parse_day(slice_of(text), &back));
        assert_int_equal(back, day);
    }
}

static void
formats_with_offsets(void **state)
{
    char text[CLOCK_TEXT_MAX];

    (void) state;
    clock_format(1795500542, 0, text);
    assert_string_equal(text, "2026-11-24T06:09:02Z");
    clock_format(1795500542, 32400, text);
    assert_string_equal(text, "2026-11-24T15:09:02+09:00");
    clock_format(1795500542, -12600, text);
    assert_string_equal(text, "2026-11-24T02:39:02-03:30");
}

static void
formatting_extremes_stays_in_four_digit_years(void **state)
{
    char text[CLOCK_TEXT_MAX];

    (void) state;
    assert_int_equal(clock_format(INT64_C(1) << 60, 0, text), 20);
    assert_string_equal(text, "9999-12-31T23:59:59Z");
    clock_format(-(INT64_C(1) << 60), 0, text);
    assert_string_equal(text, "0000-01-01T00:00:00Z");
}

UNIT_TESTS(cmocka_unit_test(parses_rfc3339),
           cmocka_unit_test(without_offset_is_marked_local),
           cmocka_unit_test(rejects_what_is_no_time),
           cmocka_unit_test(days_agree_with_the_c_library),
           cmocka_unit_test(formats_with_offsets),
           cmocka_unit_test(formatting_extremes_stays_in_four_digit_years))
