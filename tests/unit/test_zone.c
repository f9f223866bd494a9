#define _GNU_SOURCE
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../../lib/policy/zone.h"

#define YEAR_2026 INT64_C(1767225600)
#define YEAR_2037 INT64_C(2114380800)

/* The literal values below were computed with Python's zoneinfo, which reads
 * the tz database with code of its own. */

static void
assert_changes(const char *name, const zone_change_t *expected, size_t count)
{
    zone_change_t changes[ZONE_CHANGES_MAX];
    int found = zone_changes(slice_of(name), changes);
    size_t seen = 0;

    assert_true(found > 0);
    assert_int_equal(changes[0].at, ZONE_FROM);
    for (int i = 0; i < found; i++) {
        if (i > 0) {
            assert_true(changes[i].at > changes[i - 1].at);
            assert_int_not_equal(changes[i].offset, changes[i - 1].offset);
        }
        if (changes[i].at < YEAR_2026 || changes[i].at >= YEAR_2037) {
            continue;
        }
        assert_true(seen < count);
        assert_int_equal(changes[i].at, expected[seen].at);
        assert_int_equal(changes[i].offset, expected[seen].offset);
        seen++;
    }
    assert_int_equal(seen, count);
}

static void
tokyo_has_one_offset(void **state)
{
    zone_change_t changes[ZONE_CHANGES_MAX];

    (void) state;
    assert_int_equal(zone_changes(SLICE("Asia/Tokyo"), changes), 1);
    assert_int_equal(changes[0].at, ZONE_FROM);
    assert_int_equal(changes[0].offset, 9 * 3600);
}

static void
berlin_changes_to_the_second(void **state)
{
    static const zone_change_t expected[] = {
        {1774746000, 7200}, {1792890000, 3600}, {1806195600, 7200},
        {1824944400, 3600}, {1837645200, 7200}, {1856394000, 3600},
        {1869094800, 7200}, {1887843600, 3600}, {1901149200, 7200},
        {1919293200, 3600}, {1932598800, 7200}, {1950742800, 3600},
        {1964048400, 7200}, {1982797200, 3600}, {1995498000, 7200},
        {2014246800, 3600}, {2026947600, 7200}, {2045696400, 3600},
        {2058397200, 7200}, {2077146000, 3600}, {2090451600, 7200},
        {2108595600, 3600}};

    (void) state;
    assert_changes("Europe/Berlin", expected,
                   sizeof(expected) / sizeof(expected[0]));
}

static void
new_york_changes_to_the_second(void **state)
{
    static const zone_change_t expected[] = {
        {1772953200, -14400}, {1793512800, -18000}, {1805007600, -14400},
        {1825567200, -18000}, {1836457200, -14400}, {1857016800, -18000},
        {1867906800, -14400}, {1888466400, -18000}, {1899356400, -14400},
        {1919916000, -18000}, {1930806000, -14400}, {1951365600, -18000},
        {1962860400, -14400}, {1983420000, -18000}, {1994310000, -14400},
        {2014869600, -18000}, {2025759600, -14400}, {2046319200, -18000},
        {2057209200, -14400}, {2077768800, -18000}, {2088658800, -14400},
        {2109218400, -18000}};

    (void) state;
    assert_changes("America/New_York", expected,
                   sizeof(expected) / sizeof(expected[0]));
}

static void
lord_howe_changes_by_half_an_hour(void **state)
{
    static const zone_change_t expected[] = {
        {1775314800, 37800}, {1791041400, 39600}, {1806764400, 37800},
        {1822491000, 39600}, {1838214000, 37800}, {1853940600, 39600},
        {1869663600, 37800}, {1885995000, 39600}, {1901718000, 37800},
        {1917444600, 39600}, {1933167600, 37800}, {1948894200, 39600},
        {1964617200, 37800}, {1980343800, 39600}, {1996066800, 37800},
        {2011793400, 39600}, {2027516400, 37800}, {2043243000, 39600},
        {2058966000, 37800}, {2075297400, 39600}, {2091020400, 37800},
        {2106747000, 39600}};

    (void) state;
    assert_changes("Australia/Lord_Howe", expected,
                   sizeof(expected) / sizeof(expected[0]));
}

static void
summer_time_lasts_to_the_end_of_the_list(void **state)
{
    zone_change_t changes[ZONE_CHANGES_MAX];
    int count = zone_changes(SLICE("Europe/Berlin"), changes);

    (void) state;
    /* two a year for 50 years, and the first entry; 2069 comes out of the
     * POSIX rule at the end of the file, not out of its table */
    assert_int_equal(count, 101);
    assert_int_equal(changes[100].at, 3150061200); /* 2069-10-27T01:00:00Z */
    assert_int_equal(changes[100].offset, 3600);
}

static void
unknown_names_are_told_from_impossible_ones(void **state)
{
    static const struct {
        const char *name;
        int result;
    } cases[] = {
        {"Asia/Tokio", -ENOENT},
        {"asia/tokyo", -ENOENT},
        {"Asia", -ENOENT}, /* a folder */
        {"localtime", -ENOENT},
        {"posix/Asia/Tokyo", -ENOENT},
        {"right/Asia/Tokyo", -ENOENT},
        {"zone.tab", -EINVAL},
        {"", -EINVAL},
        {"/etc/passwd", -EINVAL},
        {"Asia/../Asia/Tokyo", -EINVAL},
        {"../etc/passwd", -EINVAL},
        {"Asia//Tokyo", -EINVAL},
        {"Asia/Tokyo/", -EINVAL},
        {"Asia/Tokyo ", -EINVAL},
        {":Asia/Tokyo", -EINVAL},
        {"Abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmn",
         -EINVAL},
    };
    zone_change_t changes[ZONE_CHANGES_MAX];

    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int result = zone_changes(slice_of(cases[i].name), changes);

        if (result != cases[i].result) {
            fail_msg("\"%s\": %d", cases[i].name, result);
        }
    }
    assert_int_equal(zone_changes((slice_t){"Asia/Tokyo\0x", 12}, changes),
                     -EINVAL);
}

static void
a_name_that_is_a_posix_rule_is_read_as_a_file(void **state)
{
    zone_change_t changes[ZONE_CHANGES_MAX];

    (void) state;
    /* the same rule without a file of that name is no zone */
    assert_int_equal(zone_changes(SLICE("JST-9"), changes), -ENOENT);
    /* Debian 13 has that file in tzdata-legacy */
    if (access("/usr/share/zoneinfo/EST5EDT", R_OK) == 0) {
        assert_true(zone_changes(SLICE("EST5EDT"), changes) > 1);
    } else {
        assert_int_equal(zone_changes(SLICE("EST5EDT"), changes), -ENOENT);
    }
}

static void
the_environment_is_as_before(void **state)
{
    zone_change_t changes[ZONE_CHANGES_MAX];
    time_t at = 1800000000;
    struct tm tm;

    (void) state;
    assert_int_equal(setenv("TZ", "America/New_York", 1), 0);
    tzset();
    assert_true(zone_changes(SLICE("Asia/Tokyo"), changes) > 0);
    assert_string_equal(getenv("TZ"), "America/New_York");
    assert_non_null(localtime_r(&at, &tm));
    assert_int_equal(tm.tm_gmtoff, -5 * 3600);

    assert_int_equal(unsetenv("TZ"), 0);
    tzset();
    assert_true(zone_changes(SLICE("Asia/Tokyo"), changes) > 0);
    assert_null(getenv("TZ"));
}

static void
a_file_that_is_no_zone_is_unknown(void **state)
{
    char folder[] = "/tmp/sekisho-zone-XXXXXX";
    char path[64];
    zone_change_t changes[ZONE_CHANGES_MAX];
    FILE *file;

    (void) state;
    assert_non_null(mkdtemp(folder));
    (void) snprintf(path, sizeof(path), "%s/Text", folder);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs("no zone", file) >= 0);
    assert_int_equal(fclose(file), 0);

    assert_int_equal(setenv("TZDIR", folder, 1), 0);
    /* glibc alone would take both for UTC */
    assert_int_equal(zone_changes(SLICE("Text"), changes), -ENOENT);
    assert_int_equal(zone_changes(SLICE("Asia/Tokyo"), changes), -ENOENT);
    assert_int_equal(unsetenv("TZDIR"), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

UNIT_TESTS(cmocka_unit_test(tokyo_has_one_offset),
           cmocka_unit_test(berlin_changes_to_the_second),
           cmocka_unit_test(new_york_changes_to_the_second),
           cmocka_unit_test(lord_howe_changes_by_half_an_hour),
           cmocka_unit_test(summer_time_lasts_to_the_end_of_the_list),
           cmocka_unit_test(unknown_names_are_told_from_impossible_ones),
           cmocka_unit_test(a_name_that_is_a_posix_rule_is_read_as_a_file),
           cmocka_unit_test(the_environment_is_as_before),
           cmocka_unit_test(a_file_that_is_no_zone_is_unknown))
