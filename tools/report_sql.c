/* Questions to the index, and the table of rows that a report is about. */

#define _GNU_SOURCE
#include <stdlib.h>

#include "audit_index.h"
#include "report.h"

#define WEEK_MINUTES 10080
#define DAY_MINUTES  1440

static int
told(const audit_report_t *report)
{
    return fail(report->command, "the index: %s", sqlite3_errmsg(report->db));
}


static void
bind_text(sqlite3_stmt *statement, const char *name, const char *value)
{
    int at = sqlite3_bind_parameter_index(statement, name);

    if (at > 0 && value != NULL) {
        (void) sqlite3_bind_text(statement, at, value, -1, SQLITE_STATIC);
    }
}


static void
bind_number(sqlite3_stmt *statement, const char *name, int64_t value)
{
    int at = sqlite3_bind_parameter_index(statement, name);

    if (at > 0) {
        (void) sqlite3_bind_int64(statement, at, value);
    }
}


sqlite3_stmt *
report_query(audit_report_t *report, const char *sql)
{
    sqlite3_stmt *statement = NULL;

    if (sqlite3_prepare_v2(report->db, sql, -1, &statement, NULL) != SQLITE_OK)
    {
        (void) told(report);
        return NULL;
    }
    bind_number(statement, ":from", report->from_ms);
    bind_number(statement, ":to", report->to_ms);
    bind_number(statement, ":first", report->first);
    bind_text(statement, ":facility", report->facility);
    bind_text(statement, ":user", report->user);
    bind_text(statement, ":patient", report->patient);
    bind_text(statement, ":issuer", report->issuer);
    return statement;
}


int
report_step(audit_report_t *report, sqlite3_stmt *statement)
{
    int result = sqlite3_step(statement);

    if (result == SQLITE_ROW) {
        return 1;
    }
    if (result != SQLITE_DONE) {
        (void) told(report);
        return -1;
    }
    return 0;
}


slice_t
row_text(sqlite3_stmt *statement, int column)
{
    const char *data = (const char *) sqlite3_column_text(statement, column);
    int size = sqlite3_column_bytes(statement, column);

    return data == NULL ? (slice_t){"", 0} : (slice_t){data, (size_t) size};
}


int64_t
report_number(audit_report_t *report, const char *sql, bool *failed)
{
    _cleanup_(cleanup_statement)
        sqlite3_stmt *statement = report_query(report, sql);
    int result = statement == NULL ? -1 : report_step(report, statement);

    *failed |= result < 0;
    return result == 1 ? sqlite3_column_int64(statement, 0) : 0;
}


int
report_run(audit_report_t *report, const char *sql)
{
    _cleanup_(cleanup_statement)
        sqlite3_stmt *statement = report_query(report, sql);

    if (statement == NULL || report_step(report, statement) < 0) {
        return STATUS_ERROR;
    }
    return STATUS_OK;
}


/* ---- Hours --------------------------------------------------------------- */

static bool
is_closed_day(const policy_image_t *policy, uint32_t facility, int64_t day)
{
    int32_t first, last;

    for (uint32_t i = 0;
         policy_facility_closed(policy, facility, i, &first, &last); i++)
    {
        if (day >= first && day <= last) {
            return true;
        }
    }
    return false;
}


/* 1970-01-01 was a Thursday; weeks begin on Monday. */
static int64_t
week_minute(int64_t local, int64_t *day)
{
    *day = local / 86400 - (local % 86400 < 0 ? 1 : 0);
    return (*day + 3) % 7 * DAY_MINUTES + (local - *day * 86400) / 60;
}


/* Windows belong to the day on which they start, as in the policy. */
static bool
in_windows(const policy_image_t *policy, uint32_t facility, int64_t local)
{
    int64_t day, minute = week_minute(local, &day);
    uint16_t start, end;

    for (uint32_t i = 0;
         policy_facility_hours(policy, facility, i, &start, &end); i++)
    {
        int64_t at = minute < start ? minute + WEEK_MINUTES : minute;
        int64_t days_ago = at / DAY_MINUTES - start / DAY_MINUTES;

        if (at >= start && at < end &&
            !is_closed_day(policy, facility, day - days_ago)) {
            return true;
        }
    }
    return false;
}


bool
report_off_hours(const audit_report_t *report, slice_t facility,
                 int64_t unix_ms)
{
    policy_facility_t found;
    uint32_t number;
    int64_t day, minute;

    if (report->policy != NULL) {
        number = policy_facility_find(report->policy, facility);
        if (policy_facility(report->policy, number, &found) &&
            (found.has_hours || found.closed_count > 0))
        {
            int64_t local = unix_ms / 1000 +
                            policy_facility_offset(report->policy, number,
                                                   unix_ms / 1000);

            if (found.has_hours) {
                return !in_windows(report->policy, number, local);
            }
            (void) week_minute(local, &day);
            return is_closed_day(report->policy, number, day);
        }
    }
    minute = week_minute(local_seconds(unix_ms), &day);
    return minute >= 5 * DAY_MINUTES || minute % DAY_MINUTES < 7 * 60 ||
           minute % DAY_MINUTES >= 19 * 60;
}


static void
sql_off_hours(sqlite3_context *context, int count, sqlite3_value **values)
{
    const audit_report_t *report = sqlite3_user_data(context);
    const char *text = (const char *) sqlite3_value_text(values[0]);
    slice_t facility = {text == NULL ? "" : text,
                        (size_t) sqlite3_value_bytes(values[0])};

    (void) count;
    sqlite3_result_int(
        context,
        report_off_hours(report, facility, sqlite3_value_int64(values[1])));
}


static void
sql_local(sqlite3_context *context, int count, sqlite3_value **values)
{
    (void) count;
    sqlite3_result_int64(context,
                         local_seconds(sqlite3_value_int64(values[0])));
}


/* ---- The table of rows --------------------------------------------------- */

/*
 * `patient` as a report tells it: what an answer of the PACS said comes before
 * what a request said.  `off` is asked of what was let in.  A close that stands
 * alone is all that is left of an access.
 */
static const char select_accesses[] =
    "CREATE TEMP TABLE r AS "
    "SELECT a.number, a.time, local_seconds(a.time) AS local,"
    " iif(a.event > 2, 'request', 'access') AS event,"
    " a.outcome, a.reason, a.user, a.facility, a.address, a.service, a.action,"
    " CASE WHEN s.learned THEN s.patient"
    "  ELSE coalesce(a.patient, s.patient) END AS patient,"
    " coalesce(q.whole, p.whole, a.study) AS study, a.session, a.purpose,"
    " a.requests, a.bytes, a.instances,"
    " coalesce(a.ended - a.time, a.duration_ms) AS duration,"
    " a.closed, NULL AS count,"
    " CASE WHEN a.outcome = 0 THEN off_hours(f.text, a.time) ELSE 0 END AS off,"
    " a.record_id "
    "FROM access a LEFT JOIN word f ON f.id = a.facility"
    " LEFT JOIN study s ON s.study = coalesce(a.study, a.patient)"
    " LEFT JOIN part p ON p.part = a.study"
    " LEFT JOIN part q ON q.part = p.whole "
    "WHERE a.number >= :first AND a.time >= :from AND a.time < :to";

static const char select_others[] =
    " UNION ALL "
    "SELECT e.number, e.time, local_seconds(e.time), v.text,"
    " e.outcome, e.reason, e.user, e.facility, e.address, e.service, e.action,"
    " CASE WHEN s.learned THEN s.patient"
    "  ELSE coalesce(e.patient, s.patient) END,"
    " e.study, e.session, e.purpose, e.requests, e.bytes, e.instances,"
    " e.duration_ms, NULL, e.count,"
    " CASE WHEN e.outcome = 0 AND v.text IN ('session', 'sign-in')"
    "  THEN off_hours(f.text, e.time) ELSE 0 END, e.record_id "
    "FROM entry e JOIN word v ON v.id = e.event"
    " LEFT JOIN word f ON f.id = e.facility"
    " LEFT JOIN study s ON s.study = coalesce(e.study, e.patient) "
    "WHERE e.event > 4 AND e.number >= :first AND e.time >= :from"
    " AND e.time < :to AND v.text NOT IN ('access-joined', 'patient-learned',"
    "  'heartbeat')";

#define OF_FACILITY                                                            \
    " AND facility = (SELECT id FROM word WHERE text = :facility)"
#define OF_USER " AND user = (SELECT id FROM word WHERE text = :user)"

int
report_open_index(audit_report_t *report, const char *what)
{
    char why[256] = "";

    if (index_find(report->arguments, &report->place, report->reader,
                   &report->index, why) != STATUS_OK)
    {
        return STATUS_ERROR;
    }
    if (report->index == NULL) {
        return fail(report->command,
                    "%s: %s made from the index: make it with \"sekisho audit "
                    "index\"",
                    why, what);
    }
    report->db = index_handle(report->index);
    /* the file is open for reading alone; temporary tables are ours */
    return report_run(report, "PRAGMA query_only = OFF");
}


static int
find_first(audit_report_t *report)
{
    char sql[160];
    bool failed = false;

    /* Times are those of the front ends, so a day more is looked at. */
    (void) snprintf(sql, sizeof(sql),
                    "SELECT number FROM day WHERE day < %lld"
                    " ORDER BY day DESC LIMIT 1",
                    (long long) (report->from_ms / 86400000));
    report->first = report_number(report, sql, &failed);
    return failed ? STATUS_ERROR : STATUS_OK;
}


int
report_select(audit_report_t *report)
{
    char sql[sizeof(select_accesses) + sizeof(select_others) +
             2 * sizeof(OF_FACILITY OF_USER)];
    const char *of_facility = report->facility == NULL ? "" : OF_FACILITY;
    const char *of_user = report->user == NULL ? "" : OF_USER;

    (void) snprintf(sql, sizeof(sql), "%s%s%s%s%s%s", select_accesses,
                    of_facility, of_user, select_others, of_facility, of_user);
    if (sqlite3_create_function(report->db, "local_seconds", 1,
                                SQLITE_UTF8 | SQLITE_DIRECTONLY, NULL,
                                sql_local, NULL, NULL) != SQLITE_OK ||
        sqlite3_create_function(report->db, "off_hours", 2,
                                SQLITE_UTF8 | SQLITE_DIRECTONLY, report,
                                sql_off_hours, NULL, NULL) != SQLITE_OK)
    {
        return told(report);
    }
    if (find_first(report) != STATUS_OK) {
        return STATUS_ERROR;
    }
    return report_run(report, sql);
}
