/* The figures of the overview, and what the charts show: from table `r`. */

#define _GNU_SOURCE
#include <stdlib.h>

#include "../lib/base/clock.h"
#include "policy_tools.h"
#include "report.h"

#define DORMANT_DAYS  90
#define HABIT_DAYS    90
#define CHART_USERS   15
#define LONG_SESSIONS 10
#define DAY_MS        INT64_C(86400000)

/* ---- Single numbers ------------------------------------------------------ */

#define HEARTBEATS                                                             \
    "(SELECT count(*) FROM entry WHERE event ="                                \
    " (SELECT id FROM word WHERE text = 'heartbeat')"                          \
    " AND number >= :first AND time >= :from AND time < :to)"

static const struct {
    const char *name;
    const char *sql;
} numbers[] = {
    {"records",
     "SELECT " INDEX_RECORDS_WHERE(
         ":first", "number >= :first AND time >= :from AND time < :to",
         "closed >= :first AND ended >= :from AND ended < :to") " -"
                                                                " " HEARTBEATS},
    {"rows", "SELECT count(*) FROM r"},
    {"accesses", "SELECT count(*) FROM r WHERE event IN ('access', 'request')"},
    {"views", "SELECT count(*) FROM r WHERE event IN ('access', 'request')"
              " AND action = (SELECT id FROM word WHERE text = 'view')"},
    {"users", "SELECT count(DISTINCT user) FROM r WHERE outcome = 0"},
    {"facilities", "SELECT count(DISTINCT facility) FROM r WHERE outcome = 0"},
    {"patients", "SELECT count(DISTINCT patient) FROM r"
                 " WHERE event IN ('access', 'request')"},
    {"studies", "SELECT count(DISTINCT study) FROM r"
                " WHERE event IN ('access', 'request')"},
    {"denied", "SELECT total(coalesce(count, 1)) FROM r"
               " WHERE event = 'denied'"},
    {"off_hours", "SELECT count(*) FROM r WHERE off"},
    {"failed_codes", "SELECT count(*) FROM r"
                     " WHERE (event = 'sign-in' AND outcome <> 0)"
                     " OR event = 'code-alert'"},
    {"exports", "SELECT count(*) FROM r WHERE event IN ('access', 'request')"
                " AND action = (SELECT id FROM word WHERE text = 'download')"},
    {"emergencies", "SELECT count(*) FROM r WHERE event = 'emergency-on'"},
    {"gaps", "SELECT count(*) FROM r WHERE event IN"
             " ('gap', 'tail-cut', 'lost', 'unrecorded', 'recording-off')"},
    {"policy_changes", "SELECT count(*) FROM r WHERE event IN"
                       " ('policy-changed', 'enrollment', 'key-changed')"},
    {"trail_reads", "SELECT count(*) FROM r WHERE event = 'trail-read'"},
    {"heartbeats", "SELECT " HEARTBEATS},
    {"first_number", "SELECT coalesce(min(number), -1) FROM r"},
    {"last_number", "SELECT coalesce(max(number), -1) FROM r"},
};

int
report_figures(audit_report_t *report, json_t *json)
{
    bool failed = false;

    json_object(json, "figures");
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        json_int(json, numbers[i].name,
                 report_number(report, numbers[i].sql, &failed));
    }
    json_end_object(json);
    return failed ? STATUS_ERROR : STATUS_OK;
}


/* ---- Lists --------------------------------------------------------------- */

/* Rows of a query as arrays: texts as text, numbers as numbers. */
static int
list(audit_report_t *report, json_t *json, const char *name, const char *sql)
{
    _cleanup_(cleanup_statement)
        sqlite3_stmt *statement = report_query(report, sql);
    int result = statement == NULL ? -1 : 1;

    json_array(json, name);
    while (result == 1 && (result = report_step(report, statement)) == 1) {
        json_array(json, NULL);
        for (int i = 0; i < sqlite3_column_count(statement); i++) {
            switch (sqlite3_column_type(statement, i)) {
            case SQLITE_NULL:
                json_null(json, NULL);
                break;
            case SQLITE_INTEGER:
            case SQLITE_FLOAT:
                json_int(json, NULL, sqlite3_column_int64(statement, i));
                break;
            default:
                json_text(json, NULL, row_text(statement, i));
            }
        }
        json_end_array(json);
    }
    json_end_array(json);
    return result < 0 ? STATUS_ERROR : STATUS_OK;
}


/* Minutes are cut off: local hours of the week from Monday 00. */
static const char week_sql[] =
    "SELECT (local / 3600 + 72) % 168 AS hour, count(*) FROM r"
    " WHERE event IN ('access', 'request') GROUP BY hour ORDER BY hour";

static const char days_sql[] =
    "SELECT local / 86400 AS day,"
    " total(event IN ('access', 'request')),"
    " total(CASE WHEN event = 'denied' THEN coalesce(count, 1) ELSE 0 END)"
    " FROM r GROUP BY day ORDER BY day";

static const char reasons_sql[] =
    "SELECT coalesce(text, ''), total(coalesce(count, 1)) AS much, count(*)"
    " FROM r LEFT JOIN word ON id = reason WHERE event = 'denied'"
    " GROUP BY reason ORDER BY much DESC, text";

/* Of each user: accesses, days with any, and the same of the time before. */
static const char habits_make[] =
    "CREATE TEMP TABLE habit AS SELECT user, time >= :from"
    " AS now, local_seconds(time) / 86400 AS day, count(*) AS much FROM access"
    " WHERE number >= :before AND time >= :since AND time < :to"
    " AND user IS NOT NULL GROUP BY 1, 2, 3";

static const char habits_sql[] =
    "SELECT text, total(CASE WHEN now THEN much END),"
    " sum(now), total(CASE WHEN NOT now THEN much END), sum(NOT now)"
    " FROM habit JOIN word ON id = user"
    " WHERE user IN (SELECT user FROM r WHERE user IS NOT NULL"
    "  AND event = 'access')"
    " GROUP BY user ORDER BY 2 DESC, text LIMIT :most";

static int
make_habits(audit_report_t *report)
{
    _cleanup_(cleanup_statement) sqlite3_stmt *statement = NULL;
    int64_t since = report->from_ms - HABIT_DAYS * DAY_MS, before;
    char sql[160];
    bool failed = false;

    (void) snprintf(sql, sizeof(sql),
                    "SELECT number FROM day WHERE day < %lld"
                    " ORDER BY day DESC LIMIT 1",
                    (long long) (since / DAY_MS));
    before = report_number(report, sql, &failed);
    statement = failed ? NULL : report_query(report, habits_make);
    if (statement == NULL) {
        return STATUS_ERROR;
    }
    (void) sqlite3_bind_int64(
        statement, sqlite3_bind_parameter_index(statement, ":since"), since);
    (void) sqlite3_bind_int64(
        statement, sqlite3_bind_parameter_index(statement, ":before"), before);
    return report_step(report, statement) < 0 ? STATUS_ERROR : STATUS_OK;
}


int
report_charts(audit_report_t *report, json_t *json)
{
    char sql[sizeof(habits_sql) + 16];
    int status;

    (void) snprintf(sql, sizeof(sql), "%.*s%d",
                    (int) (strstr(habits_sql, ":most") - habits_sql),
                    habits_sql, CHART_USERS);
    json_object(json, "charts");
    status = list(report, json, "week", week_sql) == STATUS_OK &&
                     list(report, json, "days", days_sql) == STATUS_OK &&
                     list(report, json, "reasons", reasons_sql) == STATUS_OK &&
                     make_habits(report) == STATUS_OK &&
                     list(report, json, "habits", sql) == STATUS_OK
                 ? STATUS_OK
                 : STATUS_ERROR;
    json_end_object(json);
    return status;
}


/* ---- People and places --------------------------------------------------- */

static const char sessions_sql[] =
    "SELECT s.text, u.text, min(r.time),"
    " max(max(coalesce(duration, 0)), max(r.time + coalesce(duration, 0))"
    " - min(r.time)) AS length, count(*)"
    " FROM r JOIN word s ON s.id = r.session LEFT JOIN word u ON u.id = r.user"
    " WHERE outcome = 0 GROUP BY r.session, r.user ORDER BY length DESC, "
    "min(r.time)"
    " LIMIT 10";

_Static_assert(LONG_SESSIONS == 10, "the query says so");

/* Who was let in, and never proved a second factor up to then. */
static const char no_factor_sql[] =
    "SELECT w.text, much FROM (SELECT user, count(*) AS much FROM r"
    " WHERE outcome = 0 AND user IS NOT NULL"
    " AND event IN ('access', 'request', 'session') GROUP BY user) AS p"
    " JOIN word w ON w.id = p.user"
    " WHERE p.user NOT IN (SELECT user FROM entry WHERE event > 4 AND event ="
    "  (SELECT id FROM word WHERE text = 'sign-in')"
    "  AND outcome = 0 AND time < :to AND user IS NOT NULL)"
    " ORDER BY much DESC, w.text";

/* Every user of the trail, by hops over the index: not by reading all of it. */
static const char dormant_sql[] =
    "WITH RECURSIVE " REPORT_USERS ","
    " seen AS (SELECT user, " REPORT_LAST_USE " AS last FROM known"
    "  WHERE user IS NOT NULL)"
    " SELECT text, last FROM seen JOIN word ON id = user"
    " WHERE last < :to - 7776000000 AND (:user IS NULL OR text = :user)"
    " ORDER BY last, text";

_Static_assert(DORMANT_DAYS *DAY_MS == 7776000000, "the query says so");

/* The names of the facilities as the policy has them. */
static int
facilities(audit_report_t *report, json_t *json)
{
    _cleanup_(cleanup_statement) sqlite3_stmt *statement = report_query(
        report, "SELECT DISTINCT text FROM r JOIN word ON id = facility");
    policy_facility_t facility;
    char id[256];
    int result = statement == NULL ? -1 : 1;

    json_object(json, "names");
    while (result == 1 && (result = report_step(report, statement)) == 1) {
        slice_t text = row_text(statement, 0);

        if (report->policy != NULL && text.size < sizeof(id) &&
            policy_facility(report->policy,
                            policy_facility_find(report->policy, text),
                            &facility) &&
            facility.name.size > 0)
        {
            (void) snprintf(id, sizeof(id), "%.*s", SLICE_ARG(text));
            json_text(json, id, facility.name);
        }
    }
    json_end_object(json);
    return result < 0 ? STATUS_ERROR : STATUS_OK;
}


/* The country of each address, where a database says it. */
static int
countries(audit_report_t *report, json_t *json)
{
    _cleanup_(cleanup_statement) sqlite3_stmt *statement = report_query(
        report, "SELECT DISTINCT text FROM r JOIN word ON id = address");
    int result = statement == NULL ? -1 : 1;

    if (report->geoip == NULL) {
        return STATUS_OK;
    }
    json_object(json, "countries");
    while (result == 1 && (result = report_step(report, statement)) == 1) {
        slice_t text = row_text(statement, 0);
        char name[ADDRESS_TEXT_MAX + 1], code[2];
        address_t address;

        if (text.size < sizeof(name) && address_parse(text, &address) &&
            geoip_country(report->geoip, &address, code))
        {
            (void) snprintf(name, sizeof(name), "%.*s", SLICE_ARG(text));
            json_text(json, name, (slice_t){code, 2});
        }
    }
    json_end_object(json);
    return result < 0 ? STATUS_ERROR : STATUS_OK;
}


int
report_people(audit_report_t *report, json_t *json)
{
    return list(report, json, "sessions", sessions_sql) == STATUS_OK &&
                   list(report, json, "no_factor", no_factor_sql) ==
                       STATUS_OK &&
                   list(report, json, "dormant", dormant_sql) == STATUS_OK &&
                   facilities(report, json) == STATUS_OK &&
                   countries(report, json) == STATUS_OK
               ? STATUS_OK
               : STATUS_ERROR;
}
