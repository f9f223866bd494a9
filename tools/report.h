/*
 * What the files behind `sekisho audit report` share.
 *
 * An officer's report is a page with its data in one JSON block, which the
 * page's own script shows; a patient's is plain HTML without any script.  Both
 * are one file that asks nobody for anything.
 */

#ifndef SEKISHO_REPORT_H
#define SEKISHO_REPORT_H

#include <sqlite3.h>

#include "../lib/policy/image.h"
#include "../lib/review/index.h"
#include "audit_tools.h"

/* Rows of the event table, the latest of the period: what a page can hold. */
#define REPORT_ROWS_MAX 100000


/* ---- Texts (report_words.c) ---------------------------------------------- */

typedef struct {
    const char *lang; /* "en" or "ja" */
    slice_t text;     /* the file of that language: "key = text" lines */
} words_t;

/* --lang, or the locale's; an error is told. */
int words_find(const arguments_t *arguments, words_t *words);

/* The text of a key; the key itself if there is none. */
slice_t word(const words_t *words, const char *key);

/* The text of PREFIX.NAME, or of an unknown name the name itself. */
slice_t word_of(const words_t *words, const char *prefix, slice_t name);

/* Every key and its text. */
void words_json(const words_t *words, json_t *json, const char *name);

/* Number `*at` of the lines, from 0, and on to the next; false at the end. */
bool words_next(slice_t *rest, slice_t *key, slice_t *text);

/* ---- The files that the program carries (report_files.c) ----------------- */

slice_t report_file_page(void);
slice_t report_file_patient(void);
slice_t report_file_style(void);
slice_t report_file_script(void);
slice_t report_file_charts(void); /* Chart.js */
slice_t report_file_words(bool japanese);

/* ---- What a report is about ---------------------------------------------- */

typedef struct {
    const arguments_t *arguments;
    const char *command;
    place_t place;
    keys_t keys;
    words_t words;
    trail_reader_t *reader;
    review_index_t *index;
    sqlite3 *db;            /* the index's */
    policy_image_t *policy; /* NULL: none */
    void *geoip;            /* geoip_t; NULL: none */
    int64_t from_ms;
    int64_t to_ms; /* exclusive */
    bool whole;    /* no period was asked for: all there is (patients) */
    int64_t first; /* no entry of the period is below this number */
    int64_t now_ms;
    const char *facility; /* NULL: all */
    const char *user;
    const char *patient; /* not NULL: the patient's own report */
    const char *issuer;
    bool verified;
    verify_report_t *verdict;
    char *zone; /* name of the host's time zone */
} audit_report_t;

/* ---- Times (report_time.c) ----------------------------------------------- */

/* The period of --month, --from and --to; an error is told. */
int report_period(audit_report_t *report);

/* The host's zone: "Asia/Tokyo", or "UTC+09:00" if it has no name. */
char *zone_name(int64_t now_ms);

/* Seconds of the wall clock, as if it were UTC. */
int64_t local_seconds(int64_t unix_ms);

/* [[ms, offset in minutes], …]: what holds from when on, in the period. */
void zone_json(json_t *json, const char *name, int64_t from_ms, int64_t to_ms);

/* ---- SQL (report_sql.c) -------------------------------------------------- */

static inline void
cleanup_statement(sqlite3_stmt **statement)
{
    (void) sqlite3_finalize(*statement);
}

/* A prepared statement with :from, :to, :first, :facility, :user, … bound as
 * far as it has them; NULL after the error was told. */
sqlite3_stmt *report_query(audit_report_t *report, const char *sql);

/* Whether there is another row; -1 after the error was told. */
int report_step(audit_report_t *report, sqlite3_stmt *statement);

/* Text of a column, NULL-safe. */
slice_t row_text(sqlite3_stmt *statement, int column);

/* One number; 0 and *failed where that could not be had. */
int64_t report_number(audit_report_t *report, const char *sql, bool *failed);

int report_run(audit_report_t *report, const char *sql);
/* Opens the index of the report's trail; without one it is told that `what`
 * ("reports are") made from it. */
int report_open_index(audit_report_t *report, const char *what);

/*
 * Makes the temporary table `r` of what the report is about: one row for each
 * record of the period but closing ones, which are in the row of their opening.
 */
int report_select(audit_report_t *report);

/*
 * SQL: every user of the trail, by hops over the indexes and not by reading all
 * of it (and 0, which is nobody); and when the known.user was first and last
 * let in.
 */
#define REPORT_USERS                                                           \
    "known (user) AS (SELECT 0 UNION ALL SELECT nullif(min("                   \
    "coalesce((SELECT min(e.user) FROM entry e WHERE e.user > "                \
    "known.user), " REPORT_NEVER                                               \
    "), coalesce((SELECT min(a.user) FROM access a WHERE a.user > "            \
    "known.user), " REPORT_NEVER ")), " REPORT_NEVER                           \
    ") FROM known WHERE known.user IS NOT NULL)"
#define REPORT_FIRST_USE                                                       \
    "nullif(min(coalesce((SELECT time FROM entry e WHERE e.user = known.user"  \
    " AND e.outcome = 0 ORDER BY number LIMIT 1), " REPORT_NEVER "),"          \
    " coalesce((SELECT time FROM access a WHERE a.user = known.user"           \
    " AND a.outcome = 0 ORDER BY number LIMIT 1), " REPORT_NEVER               \
    ")), " REPORT_NEVER ")"
#define REPORT_LAST_USE                                                        \
    "nullif(max(coalesce((SELECT time FROM entry e WHERE e.user = known.user"  \
    " AND e.outcome = 0 AND e.time < :to ORDER BY number DESC LIMIT 1), -1),"  \
    " coalesce((SELECT time FROM access a WHERE a.user = known.user"           \
    " AND a.outcome = 0 AND a.time < :to ORDER BY number DESC LIMIT 1), -1))," \
    " -1)"
#define REPORT_NEVER "9223372036854775807"

/* ---- Parts ---------------------------------------------------------------- */

/* Each adds members to the open object; STATUS_ERROR after it was told. */
int report_figures(audit_report_t *report, json_t *json);
int report_charts(audit_report_t *report, json_t *json);
int report_people(audit_report_t *report, json_t *json);
int report_rows(audit_report_t *report, json_t *json);
void report_verdict(const audit_report_t *report, json_t *json);
/* The findings of the period, and how the reviews stand. */
int report_findings(audit_report_t *report, json_t *json);

/* Verifies the trail as `audit verify` does. */
int report_verify(audit_report_t *report);

/* Whether this is outside of the facility's hours, or, without a policy or
 * hours, outside of Monday to Friday 07:00 to 19:00. */
bool report_off_hours(const audit_report_t *report, slice_t facility,
                      int64_t unix_ms);

/* ---- Pages (report_page.c) ----------------------------------------------- */

/* A growing text. */
typedef struct {
    char *data;
    size_t size;
    size_t capacity;
    bool failed;
} page_t;

void page_add(page_t *page, slice_t text);
/* With everything that means something to HTML written as a reference, and
 * what could hide or turn text made visible. */
void page_escape(page_t *page, slice_t text);
/* JSON such that nothing in it can end the block it stands in. */
void page_json(page_t *page, slice_t json);

/* The whole page: {{names}} of the template are filled in. */
int page_officer(audit_report_t *report, slice_t json, page_t *page);
int page_patient(audit_report_t *report, page_t *page, bool *empty);
int page_template(const audit_report_t *report, slice_t template,
                  const char *title, slice_t body, page_t *page);

#endif
