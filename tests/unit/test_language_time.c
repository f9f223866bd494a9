/* Hours, closed days, validity and time zones of a facility. */

#define _GNU_SOURCE
#include "policy_text.h"

#define DAY  1440
#define WEEK 10080

static void
assert_windows(const char *hours, const policy_window_t *expected, size_t count,
               const char *told)
{
    char text[512];
    report_t *report = report_new();
    policy_source_t *source;
    char *messages;

    (void) snprintf(text, sizeof(text),
                    "facility a { timezone UTC; network 10.0.0.0/8;\n%s }",
                    hours);
    source = policy_source_read_text("f", slice_of(text), TEST_NOW, report);
    messages = printed(report);
    assert_string_equal(messages, told);
    free(messages);
    assert_non_null(source);
    assert_int_equal(source->facilities[0].hours_count, count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(source->facilities[0].hours[i].start,
                         expected[i].start);
        assert_int_equal(source->facilities[0].hours[i].end, expected[i].end);
    }
    policy_source_free(source);
}

static void
days_are_names_ranges_and_lists(void **state)
{
    static const policy_window_t week[] = {{480, 540},
                                           {DAY + 480, DAY + 540},
                                           {2 * DAY + 480, 3420},
                                           {3 * DAY + 480, 4860},
                                           {4 * DAY + 480, 6300},
                                           {5 * DAY + 480, 7740},
                                           {6 * DAY + 480, 9180}};
    static const policy_window_t wrapped[] = {
        {480, 540}, {4 * DAY + 480, 6300}, {6 * DAY + 480, 9180}};

    (void) state;
    assert_windows("hours daily 08:00-09:00;", week, 7, "");
    assert_windows("hours mon-sun 08:00-09:00;", week, 7, "");
    assert_windows("hours wed-tue 08:00-09:00;", week, 7, "");
    assert_windows("hours mon-fri 08:00-09:00 sat,sun 08:00-09:00;", week, 7,
                   "");
    /* over the week's end, with a hole in it */
    assert_windows("hours sun-mon,fri 08:00-09:00;", wrapped, 3, "");
}

static void
several_times_and_lines_add_up_in_order(void **state)
{
    static const policy_window_t expected[] = {
        {480, 720}, {780, 1140}, {DAY, 2 * DAY}};

    (void) state;
    assert_windows("hours tue 00:00-24:00;\n"
                   "hours mon 13:00-19:00 08:00-12:00;",
                   expected, 3, "");
}

static void
a_night_belongs_to_the_day_it_starts(void **state)
{
    static const policy_window_t friday[] = {{4 * DAY + 1320, 5 * DAY + 360}};
    static const policy_window_t sunday[] = {{6 * DAY + 1439, WEEK + 1438}};
    static const policy_window_t midnight[] = {{1320, 1440}};

    (void) state;
    assert_windows("hours fri 22:00-06:00;", friday, 1, "");
    assert_windows("hours sun 23:59-23:58;", sunday, 1, "");
    assert_windows("hours mon 22:00-24:00;", midnight, 1, "");
    assert_windows("hours mon 22:00-00:00;", midnight, 1, "");
}

static void
windows_of_one_day_are_joined(void **state)
{
    static const policy_window_t joined[] = {{480, 1140}};
    static const policy_window_t night[] = {{0, DAY + 360}};

    (void) state;
    /* that they meet needs no warning */
    assert_windows("hours mon 08:00-12:00 12:00-19:00;", joined, 1, "");
    assert_windows("hours mon 08:00-13:00 12:00-19:00;", joined, 1,
                   "f:2:23: warning: \"12:00-19:00\" overlaps "
                   "\"08:00-13:00\": they add up; write them as one to be "
                   "clear\n");
    assert_windows("hours mon 22:00-06:00 00:00-24:00;", night, 1,
                   "f:2:23: warning: \"00:00-24:00\" overlaps "
                   "\"22:00-06:00\": they add up; write them as one to be "
                   "clear\n");
}

/* A holiday on the one day must not close the other day's window. */
static void
windows_of_two_days_stay_apart(void **state)
{
    static const policy_window_t expected[] = {{1320, DAY + 360},
                                               {DAY + 300, DAY + 480}};
    static const policy_window_t meeting[] = {{1320, DAY + 360},
                                              {DAY + 360, DAY + 480}};
    static const policy_window_t weekend[] = {{300, 480},
                                              {6 * DAY + 1320, WEEK + 360}};

    (void) state;
    assert_windows("hours mon 22:00-06:00 tue 05:00-08:00;", expected, 2,
                   "f:2:27: warning: \"05:00-08:00\" overlaps "
                   "\"22:00-06:00\": they add up; write them as one to be "
                   "clear\n");
    assert_windows("hours mon 22:00-06:00 tue 06:00-08:00;", meeting, 2, "");
    assert_windows("hours mon 05:00-08:00 sun 22:00-06:00;", weekend, 2,
                   "f:2:27: warning: \"22:00-06:00\" overlaps "
                   "\"05:00-08:00\": they add up; write them as one to be "
                   "clear\n");
}

static void
an_overlap_on_all_days_is_told_once(void **state)
{
    report_t *report = report_new();
    policy_source_t *source = policy_source_read_text(
        "f",
        SLICE("facility a { timezone UTC; network 10.0.0.0/8; hours daily "
              "08:00-12:00 11:00-13:00; }"),
        TEST_NOW, report);

    (void) state;
    assert_non_null(source);
    assert_int_equal(report_warnings(report), 1);
    policy_source_free(source);
    report_free(report);
}

static void
bad_hours_are_errors(void **state)
{
    static const struct {
        const char *hours;
        const char *told;
    } cases[] = {
        {"mon 08:00-08:00", "2:11: error: empty hours \"08:00-08:00\": write "
                            "00:00-24:00 for the whole day"},
        {"mon 24:00-24:00", "2:11: error: empty hours \"24:00-24:00\": write "
                            "00:00-24:00 for the whole day"},
        {"mon 24:00-06:00", "2:11: error: \"24:00-06:00\" starts at 24:00: "
                            "write 00:00 on the next day"},
        {"mon 8:00-19:00", "2:11: error: \"8:00-19:00\" is no span of hours: "
                           "write HH:MM-HH:MM, as 08:00-19:00"},
        {"mon 08:00-24:01", "2:11: error: \"08:00-24:01\" is no span of "
                            "hours: write HH:MM-HH:MM, as 08:00-19:00"},
        {"mon 08:60-09:00", "2:11: error: \"08:60-09:00\" is no span of "
                            "hours: write HH:MM-HH:MM, as 08:00-19:00"},
        {"mon 08:00-12:00,13:00-19:00",
         "2:11: error: \"08:00-12:00,13:00-19:00\" is no span of hours: write "
         "HH:MM-HH:MM, as 08:00-19:00"},
        {"08:00-19:00", "2:7: error: \"08:00-19:00\" has no days before it: "
                        "write daily 08:00-19:00, or mon-fri 08:00-19:00"},
        {"mon-fri", "2:7: error: \"mon-fri\" has no hours: write mon-fri "
                    "08:00-19:00"},
        {"mon tue 08:00-19:00", "2:7: error: \"mon\" has no hours: write mon "
                                "08:00-19:00"},
        {"Monday 08:00-19:00",
         "2:7: error: \"Monday\" is no day of the week: write mon"},
        {"mon-FRI 08:00-19:00",
         "2:7: error: \"FRI\" is no day of the week: write fri"},
        {"mon-wed-fri 08:00-19:00",
         "2:7: error: \"mon-wed-fri\" are no days of the week: write mon, "
         "mon-fri, sat,sun or daily"},
        {"mon, 08:00-19:00", "2:7: error: \"mon,\" are no days of the week: "
                             "write mon, mon-fri, sat,sun or daily"},
        {"weekdays 08:00-19:00",
         "2:7: error: \"weekdays\" are no days of the week: write mon, "
         "mon-fri, sat,sun or daily"},
    };
    char text[256], told[256];

    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        (void) snprintf(text, sizeof(text),
                        "facility a { timezone UTC; network 10.0.0.0/8;\n"
                        "hours %s; }",
                        cases[i].hours);
        (void) snprintf(told, sizeof(told), "f:%s\n", cases[i].told);
        assert_errors(text, told);
    }
}

static void
all_errors_of_one_line_are_told(void **state)
{
    (void) state;
    assert_errors("facility a { timezone UTC; network 10.0.0.0/8;\n"
                  "hours Mon 9-17 sat 9-12 sun; }",
                  "f:2:7: error: \"Mon\" is no day of the week: write mon\n"
                  "f:2:11: error: \"9-17\" is no span of hours: write "
                  "HH:MM-HH:MM, as 08:00-19:00\n"
                  "f:2:20: error: \"9-12\" is no span of hours: write "
                  "HH:MM-HH:MM, as 08:00-19:00\n"
                  "f:2:25: error: \"sun\" has no hours: write sun "
                  "08:00-19:00\n");
}

static void
times_need_a_zone(void **state)
{
    static const char *const directives[] = {
        "hours daily 08:00-09:00", "closed 2027-01-11", "valid 2026-01-01.."};
    char text[256], told[256];

    (void) state;
    for (size_t i = 0; i < 3; i++) {
        (void) snprintf(text, sizeof(text),
                        "facility a { network 10.0.0.0/8;\n%s; }\n"
                        "facility b { network 11.0.0.0/8;\n%s; }\n",
                        directives[i], directives[i]);
        /* told once: the cure at the top helps both */
        (void) snprintf(told, sizeof(told),
                        "f:2:1: error: \"%.*s\" without a time zone: add: "
                        "timezone Asia/Tokyo; (at the top of the file, or in "
                        "the facility)\n",
                        (int) strcspn(directives[i], " "), directives[i]);
        assert_errors(text, told);
    }
}

static void
a_facility_may_have_a_zone_of_its_own(void **state)
{
    policy_source_t *source = accepted(
        "timezone Asia/Tokyo;\n"
        "facility a { network 10.0.0.0/8; timezone Europe/Berlin; }\n"
        "facility b { network 11.0.0.0/8; }\n");

    (void) state;
    assert_true(slice_is(source->facilities[0].zone, "Europe/Berlin"));
    assert_true(slice_is(source->facilities[1].zone, "Asia/Tokyo"));
    policy_source_free(source);
}

static void
validity_may_be_open_at_one_end(void **state)
{
    policy_source_t *source = accepted(
        "timezone UTC;\n"
        "facility a { network 10.0.0.0/8; valid 2026-04-01..; }\n"
        "facility b { network 11.0.0.0/8; valid ..2027-03-31; }\n"
        "facility c { network 12.0.0.0/8; valid 2027-01-01..2027-01-01; }\n");

    (void) state;
    assert_int_equal(source->facilities[0].valid_from, 20544);
    assert_int_equal(source->facilities[0].valid_to, INT32_MAX);
    assert_int_equal(source->facilities[1].valid_from, INT32_MIN);
    assert_int_equal(source->facilities[1].valid_to, 20908);
    assert_int_equal(source->facilities[2].valid_from,
                     source->facilities[2].valid_to);
    policy_source_free(source);

    assert_errors("timezone UTC;\n"
                  "facility a { network 10.0.0.0/8; valid 2026-04-01; }\n"
                  "facility b { network 11.0.0.0/8; valid ..; }\n"
                  "facility c { network 12.0.0.0/8; valid "
                  "2027-01-02..2027-01-01; }\n",
                  "f:2:40: error: \"2026-04-01\" has no end or start: write "
                  "\"2026-04-01..\" or \"..2026-04-01\", or FROM..TO\n"
                  "f:3:40: error: \"..\" has no day: write FROM..TO, as "
                  "2026-04-01..2027-03-31\n"
                  "f:4:40: error: \"2027-01-02..2027-01-01\" ends before it "
                  "starts: write the earlier day first\n");
}

/* The last day is over when it is over there, not in UTC. */
static void
an_expired_facility_is_a_warning_by_its_own_clock(void **state)
{
    static const char *const text =
        "facility a { timezone Asia/Tokyo; network 10.0.0.0/8; valid "
        "..2026-11-23; }\n";
    const int64_t midnight = 1795446000; /* 2026-11-24T00:00:00+09:00 */

    (void) state;
    assert_told_at(midnight - 1, text, true, "");
    assert_told_at(midnight, text, true,
                   "f:1:61: warning: expired on 2026-11-23, so that nobody is "
                   "admitted: write a later day, or delete the facility\n");
}

static void
off_hours_without_hours_is_a_warning(void **state)
{
    (void) state;
    assert_warnings("facility a { network 10.0.0.0/8; off-hours deny; }\n",
                    "f:1:34: warning: \"off-hours\" without \"hours\" or "
                    "\"closed\" never counts: add hours, or delete the line\n");
    assert_warnings("timezone UTC;\nfacility a { network 10.0.0.0/8; off-hours "
                    "second-factor; closed 2027-01-11; }\n",
                    "");
}

UNIT_TESTS(cmocka_unit_test(days_are_names_ranges_and_lists),
           cmocka_unit_test(several_times_and_lines_add_up_in_order),
           cmocka_unit_test(a_night_belongs_to_the_day_it_starts),
           cmocka_unit_test(windows_of_one_day_are_joined),
           cmocka_unit_test(windows_of_two_days_stay_apart),
           cmocka_unit_test(an_overlap_on_all_days_is_told_once),
           cmocka_unit_test(bad_hours_are_errors),
           cmocka_unit_test(all_errors_of_one_line_are_told),
           cmocka_unit_test(times_need_a_zone),
           cmocka_unit_test(a_facility_may_have_a_zone_of_its_own),
           cmocka_unit_test(validity_may_be_open_at_one_end),
           cmocka_unit_test(an_expired_facility_is_a_warning_by_its_own_clock),
           cmocka_unit_test(off_hours_without_hours_is_a_warning))
