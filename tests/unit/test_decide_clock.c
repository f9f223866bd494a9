/* Hours, calendars, validity, and the second factor outside of them. */

#include "../../lib/policy/zone.h"
#include "policy_build.h"

typedef struct {
    const char *time, *reason;
} moment_t;

static void
check_moments(const policy_image_t *image, const moment_t *moments,
              size_t count)
{
    policy_request_t request;

    for (size_t i = 0; i < count; i++) {
        request = build_request("203.0.113.5", moments[i].time);
        if (strcmp(policy_reason_name(build_reason(image, &request)),
                   moments[i].reason) != 0)
        {
            fail_msg("%s: %s instead of %s", moments[i].time,
                     policy_reason_name(build_reason(image, &request)),
                     moments[i].reason);
        }
    }
}

#define CHECK(image, ...)                                                      \
    do {                                                                       \
        const moment_t moments_[] = {__VA_ARGS__};                             \
        check_moments(image, moments_, sizeof(moments_) / sizeof(moment_t));   \
    } while (0)

static policy_source_facility_t *
start(build_t *build, const char *zone)
{
    policy_source_facility_t *facility;

    build_start(build);
    facility = build_facility(build, "a");
    build_network(build, facility, "203.0.113.0/24");
    facility->zone = slice_of(zone);
    return facility;
}

static void
hours_are_local_and_their_end_is_exclusive(void **state)
{
    policy_source_facility_t *facility;
    policy_image_t *image;
    build_t build;

    (void) state;
    facility = start(&build, "Asia/Tokyo");
    build_hours(&build, facility, 0, 5, 8 * 60, 19 * 60);
    build_hours(&build, facility, 5, 1, 8 * 60, 13 * 60);
    image = build_image(&build);
    CHECK(image, {"2026-03-03T07:59:59+09:00", "closed"},
          {"2026-03-03T08:00:00+09:00", "ok"},
          {"2026-03-03T18:59:59+09:00", "ok"},
          {"2026-03-03T19:00:00+09:00", "closed"},
          {"2026-03-02T23:00:00Z", "ok"}, /* Tuesday in Tokyo */
          {"2026-03-07T12:59:59+09:00", "ok"},
          {"2026-03-07T13:00:00+09:00", "closed"},
          {"2026-03-08T10:00:00+09:00", "closed"});
    policy_image_free(image);
    build_end(&build);
}

static void
window_runs_over_midnight_and_over_the_week(void **state)
{
    policy_source_facility_t *facility;
    policy_image_t *image;
    build_t build;

    (void) state;
    facility = start(&build, "Etc/UTC");
    build_hours(&build, facility, 6, 1, 22 * 60, 6 * 60); /* Sunday night */
    build_hours(&build, facility, 2, 1, 0, 24 * 60);      /* all Wednesday */
    image = build_image(&build);
    CHECK(image, {"2026-03-01T21:59:59Z", "closed"},
          {"2026-03-01T22:00:00Z", "ok"}, {"2026-03-02T00:00:00Z", "ok"},
          {"2026-03-02T05:59:59Z", "ok"}, {"2026-03-02T06:00:00Z", "closed"},
          {"2026-03-03T23:59:59Z", "closed"}, {"2026-03-04T00:00:00Z", "ok"},
          {"2026-03-04T23:59:59Z", "ok"}, {"2026-03-05T00:00:00Z", "closed"});
    policy_image_free(image);
    build_end(&build);
}

static void
window_of_a_whole_week_is_always_open(void **state)
{
    policy_window_t week = {2 * 1440 + 600, 2 * 1440 + 600 + 10080};
    policy_source_facility_t *facility;
    policy_image_t *image;
    build_t build;

    (void) state;
    facility = start(&build, "Etc/UTC");
    facility->has_hours = true;
    facility->hours = &week;
    facility->hours_count = 1;
    /* It starts on Wednesdays: what starts on that day is closed for a week. */
    build_closed(&build, facility, build_day("2026-03-04"),
                 build_day("2026-03-04"));
    image = build_image(&build);
    CHECK(image, {"2026-03-04T09:59:59Z", "ok"},
          {"2026-03-04T10:00:00Z", "holiday"},
          {"2026-03-11T09:59:59Z", "holiday"}, {"2026-03-11T10:00:00Z", "ok"});
    policy_image_free(image);
    build_end(&build);
}

static void
no_window_at_all_is_always_closed(void **state)
{
    policy_source_facility_t *facility;
    policy_image_t *image;
    build_t build;

    (void) state;
    facility = start(&build, "Etc/UTC");
    facility->has_hours = true;
    image = build_image(&build);
    CHECK(image, {"2026-03-04T12:00:00Z", "closed"});
    policy_image_free(image);
    build_end(&build);
}

static void
window_belongs_to_the_day_it_starts(void **state)
{
    policy_source_facility_t *facility;
    policy_image_t *image;
    build_t build;

    (void) state;
    facility = start(&build, "Etc/UTC");
    build_hours(&build, facility, 0, 7, 22 * 60, 6 * 60);
    build_closed(&build, facility, build_day("2026-03-04"),
                 build_day("2026-03-04"));
    image = build_image(&build);
    CHECK(image, {"2026-03-03T23:00:00Z", "ok"},
          {"2026-03-04T05:59:59Z", "ok"},      /* still Tuesday's night */
          {"2026-03-04T06:00:00Z", "holiday"}, /* outside, on a closed day */
          {"2026-03-04T22:00:00Z", "holiday"},
          {"2026-03-05T05:59:59Z", "holiday"}, /* Wednesday's night */
          {"2026-03-05T06:00:00Z", "closed"}, {"2026-03-05T22:00:00Z", "ok"});
    policy_image_free(image);
    build_end(&build);
}

static void
overlapping_window_of_an_open_day_passes(void **state)
{
    policy_source_facility_t *facility;
    policy_image_t *image;
    build_t build;

    (void) state;
    facility = start(&build, "Etc/UTC");
    build_hours(&build, facility, 2, 1, 0, 24 * 60); /* Wednesday, closed */
    build_hours(&build, facility, 1, 1, 22 * 60, 6 * 60);
    build_closed(&build, facility, build_day("2026-03-04"),
                 build_day("2026-03-04"));
    image = build_image(&build);
    CHECK(image, {"2026-03-04T05:59:59Z", "ok"},
          {"2026-03-04T06:00:00Z", "holiday"});
    policy_image_free(image);
    build_end(&build);
}

static void
calendar_alone_closes_whole_local_days(void **state)
{
    policy_source_facility_t *facility;
    policy_image_t *image;
    build_t build;

    (void) state;
    facility = start(&build, "Asia/Tokyo");
    build_closed(&build, facility, build_day("2026-12-29"),
                 build_day("2027-01-03"));
    build_closed(&build, facility, build_day("2027-01-11"),
                 build_day("2027-01-11"));
    image = build_image(&build);
    CHECK(image, {"2026-12-28T23:59:59+09:00", "ok"},
          {"2026-12-29T00:00:00+09:00", "holiday"},
          {"2027-01-03T23:59:59+09:00", "holiday"},
          {"2027-01-04T00:00:00+09:00", "ok"},
          {"2027-01-11T12:00:00+09:00", "holiday"},
          {"2027-01-12T00:00:00+09:00", "ok"});
    policy_image_free(image);
    build_end(&build);
}

static void
second_factor_stands_in_outside_the_hours(void **state)
{
    policy_request_t request = build_request("203.0.113.5",
                                             "2026-03-03T23:00:00Z");
    policy_source_facility_t *facility;
    policy_decision_t decision;
    policy_trace_t trace;
    policy_image_t *image;
    build_t build;

    (void) state;
    facility = start(&build, "Etc/UTC");
    build_hours(&build, facility, 0, 5, 8 * 60, 19 * 60);
    build_closed(&build, facility, build_day("2026-03-04"),
                 build_day("2026-03-04"));
    facility->off_hours_factor = true;
    image = build_image(&build);

    for (int day = 0; day < 2; day++) { /* closed, then holiday */
        request.factor = POLICY_FACTOR_MISSING_YET;
        policy_decide(image, &request, &decision, &trace);
        assert_int_equal(decision.reason, POLICY_FACTOR_MISSING);
        assert_int_equal(trace.outcome[POLICY_CONDITION_HOURS], POLICY_FAILED);
        request.factor = POLICY_FACTOR_FRESH;
        policy_decide(image, &request, &decision, &trace);
        assert_int_equal(decision.reason, POLICY_OK);
        assert_false(decision.obligations.factor_fresh);
        assert_int_equal(trace.outcome[POLICY_CONDITION_HOURS], POLICY_PASSED);
        request.factor = POLICY_FACTOR_LATER;
        policy_decide(image, &request, &decision, &trace);
        assert_int_equal(decision.reason, POLICY_OK);
        assert_true(decision.obligations.factor_fresh);
        assert_int_equal(trace.outcome[POLICY_CONDITION_HOURS],
                         POLICY_POSTPONED);
        request.factor = (policy_factor_t) 9;
        assert_reason(image, &request, "factor-missing");
        request.now += 12 * 3600;
    }
    /* Within the hours nothing is owed. */
    request = build_request("203.0.113.5", "2026-03-03T09:00:00Z");
    request.factor = POLICY_FACTOR_LATER;
    policy_decide(image, &request, &decision, NULL);
    assert_int_equal(decision.reason, POLICY_OK);
    assert_false(decision.obligations.factor_fresh);
    policy_image_free(image);
    build_end(&build);
}

static void
validity_is_inclusive_in_the_facilitys_zone(void **state)
{
    policy_source_facility_t *facility;
    policy_image_t *image;
    build_t build;

    (void) state;
    facility = start(&build, "Asia/Tokyo");
    facility->valid_from = build_day("2026-04-01");
    facility->valid_to = build_day("2027-03-31");
    image = build_image(&build);
    CHECK(image, {"2026-03-31T23:59:59+09:00", "not-valid"},
          {"2026-04-01T00:00:00+09:00", "ok"},
          {"2027-03-31T23:59:59+09:00", "ok"},
          {"2027-04-01T00:00:00+09:00", "not-valid"});
    policy_image_free(image);

    facility->valid_from = INT32_MIN;
    image = build_image(&build);
    CHECK(image, {"1969-12-31T00:00:00Z", "ok"},
          {"2027-04-01T00:00:00+09:00", "not-valid"});
    policy_image_free(image);
    build_end(&build);
}

static void
moments_far_away_are_counted_right(void **state)
{
    policy_request_t request = build_request("203.0.113.5",
                                             "2026-03-03T09:00:00Z");
    policy_source_facility_t *facility;
    policy_image_t *image;
    build_t build;

    (void) state;
    facility = start(&build, "Etc/UTC");
    /* 1969-12-29 was a Monday; open on Mondays from 00:00 to 00:01. */
    build_hours(&build, facility, 0, 1, 0, 1);
    image = build_image(&build);
    request.now = -3 * 86400;
    assert_reason(image, &request, "ok");
    request.now += 59;
    assert_reason(image, &request, "ok");
    request.now += 1;
    assert_reason(image, &request, "closed");
    request.now = -3 * 86400 - 1;
    assert_reason(image, &request, "closed");
    /* Before and behind the 32 bits that the short way takes. */
    request.now = INT64_C(4) * 86400 + INT64_C(7) * 86400 * 1000000;
    assert_reason(image, &request, "ok");
    request.now = INT64_C(4) * 86400 - INT64_C(7) * 86400 * 1000000;
    assert_reason(image, &request, "ok");
    request.now = INT64_MAX;
    (void) build_reason(image, &request);
    request.now = INT64_MIN;
    (void) build_reason(image, &request);
    policy_image_free(image);

    facility->has_hours = false;
    facility->hours_count = 0;
    facility->valid_from = INT32_MIN + 1;
    facility->valid_to = INT32_MAX - 1;
    image = build_image(&build);
    request.now = INT64_C(86400) * (INT32_MIN + INT64_C(1));
    assert_reason(image, &request, "ok");
    request.now--;
    assert_reason(image, &request, "not-valid");
    request.now = INT64_MIN;
    assert_reason(image, &request, "not-valid");
    request.now = INT64_C(86400) * INT32_MAX - 1;
    assert_reason(image, &request, "ok");
    request.now++;
    assert_reason(image, &request, "not-valid");
    request.now = INT64_MAX;
    assert_reason(image, &request, "not-valid");
    policy_image_free(image);

    facility->valid_from = INT32_MIN;
    facility->valid_to = INT32_MAX;
    build_closed(&build, facility, INT32_MIN, -1000000);
    build_closed(&build, facility, 1000000, INT32_MAX);
    image = build_image(&build);
    request.now = INT64_C(86400) * INT32_MIN;
    assert_reason(image, &request, "holiday");
    request.now = INT64_C(86400) * -1000000 + 86399;
    assert_reason(image, &request, "holiday");
    request.now++;
    assert_reason(image, &request, "ok");
    request.now = INT64_C(86400) * INT32_MAX;
    assert_reason(image, &request, "holiday");
    policy_image_free(image);
    build_end(&build);
}

/* Offsets by the C library, and by hand: Lord Howe moves by half an hour, on the
 * first Sunday of April and of October, at 2:00 local time. */
static void
summer_time_moves_the_wall_clock(void **state)
{
    policy_source_facility_t *facility;
    policy_image_t *image;
    build_t build;

    (void) state;
    facility = start(&build, "Australia/Lord_Howe");
    build_hours(&build, facility, 0, 7, 8 * 60, 9 * 60);
    image = build_image(&build);
    assert_int_equal(policy_facility_offset(image, 0, 1775311199), 39600);
    assert_int_equal(policy_facility_offset(image, 0, 1775314800), 37800);
    CHECK(image, {"2026-04-04T08:00:00+11:00", "ok"},
          {"2026-04-04T07:59:59+11:00", "closed"},
          {"2026-04-05T08:00:00+10:30", "ok"},
          {"2026-04-05T08:59:59+10:30", "ok"},
          {"2026-04-05T08:00:00+11:00", "closed"},
          {"2026-10-03T08:00:00+10:30", "ok"},
          {"2026-10-04T08:00:00+11:00", "ok"},
          {"2026-10-04T08:59:59+11:00", "ok"},
          {"2026-10-04T08:59:59+10:30", "closed"});
    assert_int_equal(policy_facility_offset(image, 99, 0), 0);
    policy_image_free(image);
    build_end(&build);
}

/* Each change of some zones, a second before and at it: the steps of the image
 * must lead to the same as the list they were made of. */

static void
offsets_are_those_of_the_zone(void **state)
{
    static const char *const zones[] = {
        "Asia/Tokyo",          "Europe/Berlin",
        "America/New_York",    "Africa/Casablanca",
        "Australia/Lord_Howe", "Asia/Gaza",
        "Antarctica/Troll",    "Etc/UTC",
        "America/Sao_Paulo"};
    zone_change_t changes[ZONE_CHANGES_MAX];
    policy_image_t *image;
    build_t build;
    int count;

    (void) state;
    build_start(&build);
    for (uint32_t i = 0; i < sizeof(zones) / sizeof(zones[0]); i++) {
        build_facility(&build, zones[i])->zone = slice_of(zones[i]);
    }
    image = build_image(&build);
    for (uint32_t i = 0; i < sizeof(zones) / sizeof(zones[0]); i++) {
        count = zone_changes(slice_of(zones[i]), changes);
        assert_true(count >= 1);
        assert_int_equal(policy_facility_offset(image, i, INT64_MIN),
                         changes[0].offset);
        assert_int_equal(policy_facility_offset(image, i, INT64_MAX),
                         changes[count - 1].offset);
        for (int j = 1; j < count; j++) {
            assert_int_equal(
                policy_facility_offset(image, i, changes[j].at - 1),
                changes[j - 1].offset);
            assert_int_equal(policy_facility_offset(image, i, changes[j].at),
                             changes[j].offset);
        }
    }
    policy_image_free(image);
    build_end(&build);
}

UNIT_TESTS(cmocka_unit_test(hours_are_local_and_their_end_is_exclusive),
           cmocka_unit_test(window_runs_over_midnight_and_over_the_week),
           cmocka_unit_test(window_of_a_whole_week_is_always_open),
           cmocka_unit_test(no_window_at_all_is_always_closed),
           cmocka_unit_test(window_belongs_to_the_day_it_starts),
           cmocka_unit_test(overlapping_window_of_an_open_day_passes),
           cmocka_unit_test(calendar_alone_closes_whole_local_days),
           cmocka_unit_test(second_factor_stands_in_outside_the_hours),
           cmocka_unit_test(validity_is_inclusive_in_the_facilitys_zone),
           cmocka_unit_test(moments_far_away_are_counted_right),
           cmocka_unit_test(summer_time_moves_the_wall_clock),
           cmocka_unit_test(offsets_are_those_of_the_zone))
