/*
 * Hours, holidays, validity where clocks are set.  The moments are literal
 * values, calculated with Python's zoneinfo; what the wall clock shows then
 * stands beside them.
 */

#include "policy_decided.h"

#define DAY INT64_C(86400)

typedef struct {
    int64_t now;
    policy_reason_t reason; /* POLICY_OK: allowed */
} moment_t;

static policy_image_t *
in_zone(const char *zone, const char *rules)
{
    char text[512];

    (void) snprintf(text, sizeof(text),
                    "facility a { network 198.51.100.0/24; timezone %s; %s }",
                    zone, rules);
    return image_of(text);
}

#define assert_moments(zone, rules, moments)                                   \
    assert_all(in_zone(zone, rules), moments,                                  \
               sizeof(moments) / sizeof((moments)[0]), __LINE__)

/* Frees the image. */
static void
assert_all(policy_image_t *image, const moment_t *moments, size_t count,
           int line)
{
    policy_request_t request = request_from(HERE);
    policy_decision_t got;

    for (size_t i = 0; i < count; i++) {
        request.now = moments[i].now;
        got = decided(image, &request);
        if (got.reason != moments[i].reason || got.facility != 0 ||
            (got.verdict == POLICY_ALLOW) != (got.reason == POLICY_OK))
        {
            fail_msg("moments of line %d, number %zu, %lld: %s, not %s", line,
                     i, (long long) moments[i].now,
                     policy_reason_name(got.reason),
                     policy_reason_name(moments[i].reason));
        }
    }
    policy_image_free(image);
}

static void
a_sundays_night_ends_on_monday(void **state)
{
    static const moment_t moments[] = {
        {1795896000, POLICY_CLOSED},       /* Sun 2026-11-29 05:00 */
        {1795957199, POLICY_CLOSED},       /* Sun 21:59:59 */
        {1795957200, POLICY_OK},           /* Sun 22:00:00 */
        {1795964399, POLICY_OK},           /* Sun 23:59:59 */
        {1795964400, POLICY_OK},           /* Mon 00:00:00 */
        {1795985999, POLICY_OK},           /* Mon 05:59:59 */
        {1795986000, POLICY_CLOSED},       /* Mon 06:00:00 */
        {1795964400 + DAY, POLICY_CLOSED}, /* Tue 00:00:00 */
    };

    (void) state;
    assert_moments("Asia/Tokyo", "hours sun 22:00-06:00;", moments);
}

static void
a_night_before_a_holiday_takes_place_to_its_end(void **state)
{
    static const moment_t moments[] = {
        {1799589600, POLICY_OK},      /* Sun 2027-01-10 23:00 */
        {1799593200, POLICY_OK},      /* Mon 00:00:00, the holiday */
        {1799614799, POLICY_OK},      /* Mon 05:59:59 */
        {1799614800, POLICY_HOLIDAY}, /* Mon 06:00: nothing, on a holiday */
        {1799672400, POLICY_HOLIDAY}, /* Mon 22:00: would begin */
        {1799679600, POLICY_HOLIDAY}, /* Tue 00:00: still Monday's night */
        {1799701199, POLICY_HOLIDAY}, /* Tue 05:59:59 */
        {1799701200, POLICY_CLOSED},  /* Tue 06:00:00 */
        {1799758800, POLICY_OK},      /* Tue 22:00 */
    };
    static const moment_t with_mornings[] = {
        {1799613000, POLICY_OK},      /* Mon 05:30: Sunday's night */
        {1799616600, POLICY_HOLIDAY}, /* Mon 06:30: Monday's morning */
        {1799690400, POLICY_HOLIDAY}, /* Tue 03:00: Monday's night */
        {1799699400, POLICY_OK},      /* Tue 05:30: Tuesday's morning */
        {1799722800, POLICY_CLOSED},  /* Tue 12:00 */
    };

    (void) state;
    assert_moments("Asia/Tokyo", "hours daily 22:00-06:00; closed 2027-01-11;",
                   moments);
    assert_moments("Asia/Tokyo",
                   "hours daily 22:00-06:00 05:00-09:00; closed 2027-01-11;",
                   with_mornings);
}

static void
hours_that_clocks_skip_do_not_take_place(void **state)
{
    static const moment_t skipped[] = {
        {1806195599, POLICY_CLOSED}, /* Sun 2027-03-28 01:59:59 +01:00 */
        {1806195600, POLICY_CLOSED}, /* 03:00:00 +02:00 */
    };
    static const moment_t around[] = {
        {1806191999, POLICY_CLOSED}, /* 00:59:59 +01:00 */
        {1806192000, POLICY_OK},     /* 01:00:00 +01:00 */
        {1806195599, POLICY_OK},     /* 01:59:59 +01:00 */
        {1806195600, POLICY_OK},     /* 03:00:00 +02:00 */
        {1806199199, POLICY_OK},     /* 03:59:59 +02:00 */
        {1806199200, POLICY_CLOSED}, /* 04:00:00 +02:00 */
    };
    static const moment_t ends[] = {
        {1806195599, POLICY_OK},     /* 01:59:59 +01:00 */
        {1806195600, POLICY_CLOSED}, /* 03:00:00 +02:00: past the end */
    };

    (void) state;
    assert_moments("Europe/Berlin", "hours sun 02:00-03:00;", skipped);
    assert_moments("Europe/Berlin", "hours sun 01:00-04:00;", around);
    assert_moments("Europe/Berlin", "hours sun 00:00-02:30;", ends);
}

static void
hours_that_clocks_show_twice_take_place_twice(void **state)
{
    static const moment_t twice[] = {
        {1792886399, POLICY_CLOSED}, /* Sun 2026-10-25 01:59:59 +02:00 */
        {1792886400, POLICY_OK},     /* 02:00:00 +02:00 */
        {1792889999, POLICY_OK},     /* 02:59:59 +02:00 */
        {1792890000, POLICY_OK},     /* 02:00:00 +01:00 */
        {1792893599, POLICY_OK},     /* 02:59:59 +01:00 */
        {1792893600, POLICY_CLOSED}, /* 03:00:00 +01:00 */
    };
    static const moment_t end_within[] = {
        {1792886400 + 1799, POLICY_OK}, /* 02:29:59 +02:00 */
        {1792886400 + 1800, POLICY_CLOSED},
        {1792890000, POLICY_OK},            /* 02:00:00 +01:00 */
        {1792890000 + 1800, POLICY_CLOSED}, /* 02:30:00 +01:00 */
    };

    (void) state;
    assert_moments("Europe/Berlin", "hours sun 02:00-03:00;", twice);
    assert_moments("Europe/Berlin", "hours sun 01:00-02:30;", end_within);
}

static void
summer_time_may_be_half_an_hour(void **state)
{
    static const moment_t skipped[] = {
        {1791041399, POLICY_CLOSED}, /* Sun 2026-10-04 01:59:59 +10:30 */
        {1791041400, POLICY_CLOSED}, /* 02:30:00 +11:00 */
    };
    static const moment_t after[] = {
        {1791041399, POLICY_CLOSED}, /* 01:59:59 +10:30 */
        {1791041400, POLICY_OK},     /* 02:30:00 +11:00 */
        {1791043199, POLICY_OK},     /* 02:59:59 +11:00 */
        {1791043200, POLICY_CLOSED}, /* 03:00:00 +11:00 */
    };
    static const moment_t twice[] = {
        {1806762599, POLICY_CLOSED}, /* Sun 2027-04-04 01:29:59 +11:00 */
        {1806762600, POLICY_OK},     /* 01:30:00 +11:00 */
        {1806764399, POLICY_OK},     /* 01:59:59 +11:00 */
        {1806764400, POLICY_OK},     /* 01:30:00 +10:30 */
        {1806766199, POLICY_OK},     /* 01:59:59 +10:30 */
        {1806766200, POLICY_CLOSED}, /* 02:00:00 +10:30 */
    };

    (void) state;
    assert_moments("Australia/Lord_Howe", "hours sun 02:00-02:30;", skipped);
    assert_moments("Australia/Lord_Howe", "hours sun 02:00-03:00;", after);
    assert_moments("Australia/Lord_Howe", "hours sun 01:30-02:00;", twice);
}

/* In Chile clocks go from 24:00 to 01:00, and from 24:00 back to 23:00. */
static void
days_may_have_no_midnight_or_two(void **state)
{
    static const moment_t spring[] = {
        {1788667199, POLICY_NOT_VALID}, /* Sat 2026-09-05 23:59:59 -04:00 */
        {1788667200, POLICY_OK},        /* Sun 2026-09-06 01:00:00 -03:00 */
        {1788749999, POLICY_OK},        /* Sun 23:59:59 -03:00 */
        {1788750000, POLICY_NOT_VALID}, /* Mon 2026-09-07 00:00:00 -03:00 */
    };
    static const moment_t autumn[] = {
        {1775357999, POLICY_OK},        /* Sat 2026-04-04 23:59:59 -03:00 */
        {1775358000, POLICY_OK},        /* Sat 23:00:00 -04:00, again */
        {1775361599, POLICY_OK},        /* Sat 23:59:59 -04:00 */
        {1775361600, POLICY_NOT_VALID}, /* Sun 2026-04-05 00:00:00 -04:00 */
    };
    static const moment_t closed[] = {
        {1788667199, POLICY_OK},      /* Sat 2026-09-05 23:59:59 -04:00 */
        {1788667200, POLICY_HOLIDAY}, /* Sun 2026-09-06 01:00:00 -03:00 */
        {1788750000, POLICY_OK},      /* Mon 2026-09-07 00:00:00 -03:00 */
    };

    (void) state;
    assert_moments("America/Santiago", "valid 2026-09-06..2026-09-06;", spring);
    assert_moments("America/Santiago", "valid ..2026-04-04;", autumn);
    assert_moments("America/Santiago", "closed 2026-09-06;", closed);
}

static void
offsets_are_those_of_the_tz_database(void **state)
{
    static const struct {
        const char *zone;
        int64_t now;
        int32_t offset;
    } cases[] = {
        {"UTC", 1795500000, 0},
        {"Asia/Tokyo", 1795500000, 32400},
        {"Asia/Kolkata", 1795458600, 19800},
        {"Asia/Kathmandu", 1795457700, 20700},
        {"Pacific/Kiritimati", 1795428000, 50400},
        {"America/New_York", 1805007599, -18000}, /* 2027-03-14 01:59:59 */
        {"America/New_York", 1805007600, -14400}, /* 03:00:00 */
        {"America/New_York", 1825567199, -14400}, /* 2027-11-07 01:59:59 */
        {"America/New_York", 1825567200, -18000}, /* 01:00:00 */
        {"America/New_York", 2066875200, -14400}, /* 2035-07-01 */
        {"Europe/Berlin", 3139855200, 7200},      /* 2069-07-01 */
        /* the nearest one beyond what is listed (zone.h) */
        {"Europe/Berlin", 3171391200, 3600}, /* 2070-07-01 */
        {"Europe/Berlin", 1561932000, 3600}, /* 2019-07-01 */
        {"Europe/Berlin", INT64_MAX, 3600},
        {"Europe/Berlin", INT64_MIN, 3600},
    };

    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        policy_image_t *image = in_zone(cases[i].zone, "");

        assert_int_equal(policy_facility_offset(image, 0, cases[i].now),
                         cases[i].offset);
        policy_image_free(image);
    }
}

static void
extreme_moments_are_decided_upon(void **state)
{
    static const int64_t extremes[] = {
        INT64_MIN,
        INT64_MIN + 1,
        -(INT64_C(1) << 60) - 1,
        -(INT64_C(1) << 60),
        -(INT64_C(1) << 47),
        -(INT64_C(1) << 32),
        -DAY - 1,
        -DAY,
        -1,
        0,
        1,
        INT64_C(1) << 31,
        (INT64_C(1) << 32) - 1,
        INT64_C(1) << 32,
        INT64_C(253402300800), /* 10000-01-01 */
        INT64_C(1) << 47,
        (INT64_C(1) << 60) - 1,
        INT64_C(1) << 60,
        INT64_MAX - 1,
        INT64_MAX,
    };
    policy_image_t *always = in_zone("Pacific/Kiritimati",
                                     "hours daily 00:00-24:00;"
                                     "closed 2027-01-11;");
    policy_image_t *west = in_zone("Etc/GMT+12", "hours daily 00:00-24:00;");
    policy_image_t *never = in_zone("UTC", "valid 2026-01-01..2026-12-31;");
    policy_request_t request = request_from(HERE);

    (void) state;
    for (size_t i = 0; i < sizeof(extremes) / sizeof(extremes[0]); i++) {
        request.now = extremes[i];
        assert_allowed(always, &request, 0);
        assert_allowed(west, &request, 0);
        assert_denied(never, &request, POLICY_NOT_VALID, 0);
    }
    policy_image_free(always);
    policy_image_free(west);
    policy_image_free(never);
}

static void
weeks_go_on_before_1970_and_beyond_2106(void **state)
{
    static const int64_t saturdays[] = {
        -INT64_C(2208556800), /* 1900-01-06 */
        -5 * DAY,             /* 1969-12-27 */
        2 * DAY,              /* 1970-01-03 */
        INT64_C(4294857600),  /* 2106-02-06 */
        INT64_C(4295462400),  /* 2106-02-13, beyond 32 bits */
        INT64_C(253401696000) /* 9999-12-25 */
    };
    policy_image_t *image = in_zone("UTC", "hours sat 10:00-11:00;");
    policy_request_t request = request_from(HERE);

    (void) state;
    for (size_t i = 0; i < sizeof(saturdays) / sizeof(saturdays[0]); i++) {
        request.now = saturdays[i] + 36000;
        assert_allowed(image, &request, 0);
        request.now--;
        assert_denied(image, &request, POLICY_CLOSED, 0);
        request.now += 3600;
        assert_allowed(image, &request, 0);
        request.now++;
        assert_denied(image, &request, POLICY_CLOSED, 0);
        request.now += DAY - 1800;
        assert_denied(image, &request, POLICY_CLOSED, 0);
    }
    policy_image_free(image);
}

UNIT_TESTS(cmocka_unit_test(a_sundays_night_ends_on_monday),
           cmocka_unit_test(a_night_before_a_holiday_takes_place_to_its_end),
           cmocka_unit_test(hours_that_clocks_skip_do_not_take_place),
           cmocka_unit_test(hours_that_clocks_show_twice_take_place_twice),
           cmocka_unit_test(summer_time_may_be_half_an_hour),
           cmocka_unit_test(days_may_have_no_midnight_or_two),
           cmocka_unit_test(offsets_are_those_of_the_tz_database),
           cmocka_unit_test(extreme_moments_are_decided_upon),
           cmocka_unit_test(weeks_go_on_before_1970_and_beyond_2106))
