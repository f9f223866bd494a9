/*
 * "Who opened my images": for the patient, in plain words, and nothing about
 * anybody else.  Plain HTML without a script, made to be printed.
 */

#define _GNU_SOURCE
#include <stdlib.h>
#include <time.h>

#include "report.h"

#define TIME_TEXT_MAX 96

/* An answer of the PACS tells best whose a study is; then the request. */
#define WHOSE                                                                  \
    "CASE WHEN s.learned THEN s.patient"                                       \
    " ELSE coalesce(a.patient, s.patient) END"
#define OF_PATIENT "(SELECT id FROM word WHERE text = :patient)"
#define OF_ISSUER  "(SELECT id FROM word WHERE text = :issuer)"

static const char accesses_sql[] =
    "SELECT a.time, u.text, f.text, p.text, c.text, a.instances,"
    " a.address IS (SELECT id FROM word WHERE text = 'local')"
    " FROM (SELECT number FROM access WHERE patient = " OF_PATIENT
    "  UNION SELECT x.number FROM study t JOIN access x ON x.study = t.study"
    "  WHERE t.patient = " OF_PATIENT
    "  UNION SELECT x.number FROM study t JOIN access x ON x.patient = t.study"
    "  WHERE t.patient = " OF_PATIENT " AND x.study IS NULL) n"
    " JOIN access a ON a.number = n.number"
    " LEFT JOIN study s ON s.study = coalesce(a.study, a.patient)"
    " LEFT JOIN word u ON u.id = a.user LEFT JOIN word f ON f.id = a.facility"
    " LEFT JOIN word p ON p.id = a.purpose LEFT JOIN word c ON c.id = a.action"
    " WHERE a.time >= :from AND a.time < :to AND " WHOSE " = " OF_PATIENT
    " AND (:issuer IS NULL OR s.issuer = " OF_ISSUER ")"
    " ORDER BY a.number";

/* One Patient ID may be two people's, of two issuers. */
static const char issuers_sql[] =
    "SELECT DISTINCT coalesce(w.text, '') FROM study s"
    " LEFT JOIN word w ON w.id = s.issuer WHERE s.patient = " OF_PATIENT
    " AND s.issuer IS NOT NULL ORDER BY 1";

static int
check_issuer(audit_report_t *report)
{
    _cleanup_(cleanup_statement)
        sqlite3_stmt *statement = report_query(report, issuers_sql);
    char first[128] = "";
    int result = statement == NULL ? -1 : report_step(report, statement);

    if (result == 1 && report->issuer == NULL) {
        slice_t text = row_text(statement, 0);

        (void) snprintf(first, sizeof(first), "%.*s", SLICE_ARG(text));
        result = report_step(report, statement);
        if (result == 1) {
            text = row_text(statement, 0);
            return fail(report->command,
                        "--patient: this number was given out by more than "
                        "one issuer: say whose with --issuer \"%s\" or "
                        "\"%.*s\"",
                        first, SLICE_ARG(text));
        }
    }
    return result < 0 ? STATUS_ERROR : STATUS_OK;
}


/* ---- Words --------------------------------------------------------------- */

static void
say(page_t *page, const audit_report_t *report, const char *key)
{
    page_escape(page, word(&report->words, key));
}


/* A sentence with {0} and {1} filled in. */
static void
say_with(page_t *page, const audit_report_t *report, const char *key,
         const char *first, const char *second)
{
    slice_t text = word(&report->words, key);

    while (text.size > 0) {
        const char *mark = memchr(text.data, '{', text.size);
        size_t size = mark == NULL ? text.size : (size_t) (mark - text.data);

        page_escape(page, (slice_t){text.data, size});
        text = slice_from(text, size);
        if (text.size >= 3) {
            page_escape(page, slice_of(text.data[1] == '0' ? first : second));
            text = slice_from(text, 3);
        }
    }
}


static void
date_text(const audit_report_t *report, int64_t ms, bool clock,
          char text[TIME_TEXT_MAX])
{
    static const char *const months[] = {
        "January", "February", "March",     "April",   "May",      "June",
        "July",    "August",   "September", "October", "November", "December"};
    static const char *const days[] = {"日", "月", "火", "水",
                                       "木", "金", "土"};
    time_t local = (time_t) local_seconds(ms);
    struct tm tm = {0};
    int size;

    (void) gmtime_r(&local, &tm);
    if (report->words.lang[0] == 'j') {
        size = snprintf(text, TIME_TEXT_MAX, "%d年%d月%d日(%s)",
                        tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
                        days[tm.tm_wday]);
    } else {
        size = snprintf(text, TIME_TEXT_MAX, "%d %s %d", tm.tm_mday,
                        months[tm.tm_mon], tm.tm_year + 1900);
    }
    if (clock && size > 0 && size < TIME_TEXT_MAX) {
        (void) snprintf(text + size, TIME_TEXT_MAX - (size_t) size,
                        report->words.lang[0] == 'j' ? " %d:%02d" : ", %d:%02d",
                        tm.tm_hour, tm.tm_min);
    }
}


/* ---- The table ----------------------------------------------------------- */

static void
add_cell(page_t *page, const audit_report_t *report, const char *key)
{
    page_add(page, SLICE("<td data-label=\""));
    say(page, report, key);
    page_add(page, SLICE("\">"));
}


static void
add_place(page_t *page, const audit_report_t *report, slice_t facility,
          bool local)
{
    policy_facility_t found;

    if (facility.size == 0) {
        say(page, report, local ? "patient.here" : "patient.place_unknown");
    } else if (report->policy != NULL &&
               policy_facility(report->policy,
                               policy_facility_find(report->policy, facility),
                               &found) &&
               found.name.size > 0)
    {
        page_escape(page, found.name);
    } else {
        page_escape(page, facility);
    }
}


static void
add_access(page_t *page, const audit_report_t *report, sqlite3_stmt *row)
{
    slice_t user = row_text(row, 1), purpose = row_text(row, 3);
    char text[TIME_TEXT_MAX], count[COUNT_TEXT_MAX];
    int64_t images = sqlite3_column_int64(row, 5);

    date_text(report, sqlite3_column_int64(row, 0), true, text);
    page_add(page, SLICE("<tr>"));
    add_cell(page, report, "patient.when");
    page_escape(page, slice_of(text));
    page_add(page, SLICE("</td>"));
    add_cell(page, report, "patient.who");
    if (user.size == 0) {
        say(page, report, "patient.user_unknown");
    } else {
        page_escape(page, user);
    }
    page_add(page, SLICE("</td>"));
    add_cell(page, report, "patient.place");
    add_place(page, report, row_text(row, 2),
              sqlite3_column_int64(row, 6) != 0);
    page_add(page, SLICE("</td>"));
    add_cell(page, report, "patient.did");
    page_escape(page,
                word_of(&report->words, "patient.action", row_text(row, 4)));
    if (images > 0) {
        page_add(page, SLICE(" <span class=\"quiet\">"));
        say_with(page, report, images == 1 ? "patient.image" : "patient.images",
                 count_text((uint64_t) images, count), "");
        page_add(page, SLICE("</span>"));
    }
    page_add(page, SLICE("</td>"));
    add_cell(page, report, "patient.purpose");
    if (purpose.size == 0) {
        say(page, report, "patient.purpose_unknown");
    } else {
        page_escape(page, word_of(&report->words, "patient.purpose", purpose));
    }
    page_add(page, SLICE("</td></tr>\n"));
}


static int
add_table(audit_report_t *report, page_t *page, uint64_t *count)
{
    static const char *const columns[] = {"patient.when", "patient.who",
                                          "patient.place", "patient.did",
                                          "patient.purpose"};
    _cleanup_(cleanup_statement)
        sqlite3_stmt *statement = report_query(report, accesses_sql);
    int result = statement == NULL ? -1 : 1;

    page_add(page, SLICE("<table class=\"cards\"><caption>"));
    say(page, report, "patient.caption");
    page_add(page, SLICE("</caption><thead><tr>"));
    for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
        page_add(page, SLICE("<th scope=\"col\">"));
        say(page, report, columns[i]);
        page_add(page, SLICE("</th>"));
    }
    page_add(page, SLICE("</tr></thead><tbody>\n"));
    *count = 0;
    while (result == 1 && (result = report_step(report, statement)) == 1) {
        add_access(page, report, statement);
        (*count)++;
    }
    page_add(page, SLICE("</tbody></table>\n"));
    return result < 0 ? STATUS_ERROR : STATUS_OK;
}


static void
add_paragraph(page_t *page, const audit_report_t *report, const char *key,
              const char *first, const char *second)
{
    page_add(page, SLICE("<p>"));
    say_with(page, report, key, first, second);
    page_add(page, SLICE("</p>\n"));
}


/* What the check of the trail means to a patient. */
static const char *
verdict_key(const audit_report_t *report)
{
    if (!report->verified) {
        return "patient.unchecked";
    }
    return report->verdict->result == VERIFY_OK ||
                   report->verdict->result == VERIFY_UNSEALED
               ? "patient.checked"
               : "patient.check_failed";
}


/* The period, in words: until today, or until the last day asked for. */
static void
add_period(page_t *page, audit_report_t *report)
{
    char from[TIME_TEXT_MAX], to[TIME_TEXT_MAX];

    date_text(report, report->from_ms, false, from);
    date_text(report,
              report->to_ms > report->now_ms ? report->now_ms
                                             : report->to_ms - 1,
              false, to);
    add_paragraph(page, report,
                  report->whole ? "patient.all" : "patient.period",
                  report->whole ? to : from, to);
}


int
page_patient(audit_report_t *report, page_t *page, bool *empty)
{
    page_t table = {0}, body = {0};
    char number[COUNT_TEXT_MAX];
    uint64_t count = 0;
    int status = STATUS_ERROR;

    if (check_issuer(report) == STATUS_OK &&
        add_table(report, &table, &count) == STATUS_OK)
    {
        add_paragraph(&body, report, "patient.number", report->patient, "");
        add_period(&body, report);
        page_add(&body, SLICE("<p class=\"lead\">"));
        say_with(&body, report,
                 count == 0   ? "patient.none"
                 : count == 1 ? "patient.once"
                              : "patient.times",
                 count_text(count, number), "");
        page_add(&body, SLICE("</p>\n"));
        if (count > 0) {
            page_add(&body, (slice_t){table.data, table.size});
        }
        add_paragraph(&body, report, verdict_key(report), "", "");
        add_paragraph(&body, report, "patient.refused", "", "");
        add_paragraph(&body, report, "patient.zone", report->zone, "");
        body.failed |= table.failed;
        status = body.failed
                     ? fail(report->command, "out of memory")
                     : page_template(report, report_file_patient(),
                                     "patient.title",
                                     (slice_t){body.data, body.size}, page);
    }
    *empty = count == 0;
    free(table.data);
    free(body.data);
    return status;
}
