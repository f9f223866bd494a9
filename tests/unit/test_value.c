/* Numbers with units, as they stand in configurations. */

#include "unit.h"

#include <stdbool.h>

#include "../../lib/base/value.h"

static void
lasts(const char *text, uint64_t seconds)
{
    uint64_t value;

    if (!value_duration(slice_of(text), &value) || value != seconds) {
        fail_msg("\"%s\" is no duration of %llu s", text,
                 (unsigned long long) seconds);
    }
}

static void
measures(const char *text, uint64_t bytes)
{
    uint64_t value;

    if (!value_size(slice_of(text), &value) || value != bytes) {
        fail_msg("\"%s\" is no size of %llu bytes", text,
                 (unsigned long long) bytes);
    }
}

static void
neither(const char *text)
{
    uint64_t value;

    if (value_duration(slice_of(text), &value)) {
        fail_msg("\"%s\" is taken for a duration", text);
    }
    if (value_size(slice_of(text), &value)) {
        fail_msg("\"%s\" is taken for a size", text);
    }
}

static void
a_duration_has_one_number_and_one_unit(void **state)
{
    (void) state;
    lasts("30s", 30);
    lasts("90m", 5400);
    lasts("8h", 28800);
    lasts("366d", 31622400);
    lasts("0s", 0);
    lasts("007m", 420);
}

static void
a_size_has_one_number_and_perhaps_a_unit(void **state)
{
    (void) state;
    measures("512", 512);
    measures("4k", 4096);
    measures("64m", UINT64_C(64) << 20);
    measures("4g", UINT64_C(4) << 30);
    measures("0", 0);
}

static void
nine_digits_are_as_many_as_may_be(void **state)
{
    (void) state;
    lasts("999999999s", 999999999);
    lasts("999999999d", UINT64_C(999999999) * 86400);
    lasts("000000001h", 3600);
    measures("999999999g", UINT64_C(999999999) << 30);
    neither("1000000000s");
    neither("0000000001m");
    neither("1000000000");
    neither("18446744073709551616m");
}

static void
everything_else_is_refused(void **state)
{
    static const char *const wrong[] = {
        "",    "s",   "m",     "-1m", "+1m", "1.5m", " 1m",       "1m ",
        "1 m", "1mm", "1h30m", "1M",  "1w",  "0x1m", "\xd9\xa1m", "1m\n"};

    (void) state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        neither(wrong[i]);
    }
}

static void
a_duration_without_a_unit_is_none(void **state)
{
    uint64_t value;

    (void) state;
    assert_false(value_duration(SLICE("60"), &value));
    assert_false(value_size(SLICE("60s"), &value));
}

/* A slice is not NUL-terminated: nothing behind it counts. */
static void
nothing_behind_the_slice_is_read(void **state)
{
    uint64_t value;

    (void) state;
    assert_false(value_duration((slice_t){"15m", 2}, &value));
    assert_true(value_size((slice_t){"15m", 2}, &value));
    assert_int_equal(value, 15);
}

UNIT_TESTS(cmocka_unit_test(a_duration_has_one_number_and_one_unit),
           cmocka_unit_test(a_size_has_one_number_and_perhaps_a_unit),
           cmocka_unit_test(nine_digits_are_as_many_as_may_be),
           cmocka_unit_test(everything_else_is_refused),
           cmocka_unit_test(a_duration_without_a_unit_is_none),
           cmocka_unit_test(nothing_behind_the_slice_is_read))
