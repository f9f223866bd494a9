/* The period of a report, and the zone that its times are in. */

#define _GNU_SOURCE
#include <limits.h>
#include <stdlib.h>
#include <time.h>

#include "../lib/base/clock.h"
#include "report.h"

#define DAY_SECONDS   86400
#define DEFAULT_DAYS  30
#define ZONE_TEXT_MAX 256
#define YEAR_MAX      9999

int64_t
local_seconds(int64_t unix_ms)
{
    time_t seconds = (time_t) (unix_ms / 1000);
    struct tm tm;

    if (localtime_r(&seconds, &tm) == NULL) {
        return (int64_t) seconds;
    }
    return (int64_t) seconds + tm.tm_gmtoff;
}


/* Midnight of a wall clock -> Unix milliseconds. */
static int64_t
midnight_ms(int year, int month, int day)
{
    struct tm tm = {.tm_year = year - 1900,
                    .tm_mon = month - 1,
                    .tm_mday = day,
                    .tm_isdst = -1};

    return (int64_t) mktime(&tm) * 1000;
}


static int
take_month(audit_report_t *report, const char *text)
{
    char day[16];
    int32_t number;
    int year, month;

    (void) snprintf(day, sizeof(day), "%s-01", text);
    if (strlen(text) != 7 || !clock_parse_day(slice_of(day), &number)) {
        return fail(report->command, "--month: \"%s\" is none: write 2026-11",
                    text);
    }
    year = atoi(text);
    month = atoi(text + 5);
    report->from_ms = midnight_ms(year, month, 1);
    report->to_ms = midnight_ms(year, month + 1, 1);
    return STATUS_OK;
}


static int
take_time(audit_report_t *report, const char *option, bool end, int64_t *ms)
{
    const char *value = option_value(report->arguments, option);
    int64_t seconds;

    if (value == NULL) {
        return STATUS_OK;
    }
    if (!time_argument(slice_of(value), end, &seconds) || seconds < 0 ||
        seconds > INT64_C(253402300799))
    {
        return fail(report->command,
                    "%s: \"%s\" is no time: write 2026-11-24, "
                    "2026-11-24T06:09, the same with Z or +09:00, or a span of "
                    "time until now as 7d",
                    option, value);
    }
    *ms = seconds * 1000;
    return STATUS_OK;
}


int
report_period(audit_report_t *report)
{
    const char *month = option_value(report->arguments, "--month");
    bool from = option_given(report->arguments, "--from");
    bool to = option_given(report->arguments, "--to");
    struct timespec now;

    (void) clock_gettime(CLOCK_REALTIME, &now);
    report->now_ms = (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
    if (month != NULL) {
        if (from || to) {
            return fail(report->command,
                        "--month and --from or --to contradict each other");
        }
        return take_month(report, month);
    }
    report->whole = report->patient != NULL && !from && !to;
    report->to_ms = report->now_ms + 1;
    if (take_time(report, "--to", true, &report->to_ms) != STATUS_OK) {
        return STATUS_ERROR;
    }
    report->from_ms = report->patient != NULL
                          ? 0
                          : report->to_ms -
                                (int64_t) DEFAULT_DAYS * DAY_SECONDS * 1000;
    if (take_time(report, "--from", false, &report->from_ms) != STATUS_OK) {
        return STATUS_ERROR;
    }
    if (report->from_ms >= report->to_ms) {
        return fail(report->command, "--from is not before --to");
    }
    return STATUS_OK;
}


/* The part of /usr/share/zoneinfo/Asia/Tokyo behind that folder. */
static const char *
zone_part(const char *path)
{
    const char *found = strstr(path, "zoneinfo/");

    return found == NULL ? NULL : found + strlen("zoneinfo/");
}


char *
zone_name(int64_t now_ms)
{
    const char *tz = getenv("TZ");
    char path[PATH_MAX], *text = NULL;
    int64_t offset = local_seconds(now_ms) - now_ms / 1000;
    const char *part = NULL;

    if (tz != NULL && tz[0] != '\0') {
        part = tz[0] == ':' ? tz + 1 : tz;
        part = part[0] == '/' ? zone_part(part) : part;
    } else if (realpath("/etc/localtime", path) != NULL) {
        part = zone_part(path);
    }
    if (part != NULL && part[0] != '\0' && strlen(part) < ZONE_TEXT_MAX) {
        return strdup(strcmp(part, "Etc/UTC") == 0 ? "UTC" : part);
    }
    return asprintf(&text, "UTC%c%02lld:%02lld", offset < 0 ? '-' : '+',
                    llabs((long long) offset) / 3600,
                    llabs((long long) offset) / 60 % 60) < 0
               ? NULL
               : text;
}


static int64_t
offset_minutes(int64_t ms)
{
    return (local_seconds(ms) - ms / 1000) / 60;
}


static void
zone_step(json_t *json, int64_t ms, int64_t minutes)
{
    json_array(json, NULL);
    json_int(json, NULL, ms);
    json_int(json, NULL, minutes);
    json_end_array(json);
}


/* A change is found by halving the day in which it is. */
static int64_t
change_at(int64_t low, int64_t high)
{
    int64_t before = offset_minutes(low);

    while (high - low > 1000) {
        int64_t middle = low + (high - low) / 2;

        if (offset_minutes(middle) == before) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return high / 1000 * 1000;
}


void
zone_json(json_t *json, const char *name, int64_t from_ms, int64_t to_ms)
{
    const int64_t day = (int64_t) DAY_SECONDS * 1000;
    int64_t at = from_ms - from_ms % 1000;

    json_array(json, name);
    zone_step(json, at, offset_minutes(at));
    for (; at < to_ms; at += day) {
        if (offset_minutes(at) != offset_minutes(at + day)) {
            int64_t change = change_at(at, at + day);

            zone_step(json, change, offset_minutes(change));
        }
    }
    json_end_array(json);
}
