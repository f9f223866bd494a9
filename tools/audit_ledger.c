/*
 * `sekisho audit checklist`, `exports`, `accounts`, `coverage`: the tables that
 * an inspection asks for, for people, for a spreadsheet or for a program.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "audit_ledger.h"

#define TIME_TEXT_MAX 32

/* What marks UTF-8 to a spreadsheet, which would guess wrong at Japanese. */
#define BYTE_ORDER_MARK "\xef\xbb\xbf"

/* ---- Cells --------------------------------------------------------------- */

static slice_t
heading(const ledger_t *ledger, const char *key)
{
    char text[64];

    (void) snprintf(text, sizeof(text), "ledger.%s", key);
    return word(&ledger->headings, text);
}


static const char *
category_of(slice_t event)
{
    static const struct {
        const char *event;
        const char *category;
    } categories[] = {
        {"access", "access"},
        {"request", "access"},
        {"unrecorded", "access"},
        {"sign-in", "sign-in"},
        {"session", "sign-in"},
        {"sign-out", "sign-out"},
        {"denied", "denied"},
        {"code-alert", "security"},
        {"emergency-on", "security"},
        {"emergency-off", "security"},
        {"wiped", "security"},
        {"lost", "security"},
        {"gap", "security"},
        {"enrollment", "administration"},
        {"key-changed", "administration"},
        {"policy-changed", "administration"},
        {"recording-on", "administration"},
        {"recording-off", "administration"},
        {"finding-quieted", "administration"},
        {"review", "trail"},
        {"trail-read", "trail"},
    };

    for (size_t i = 0; i < sizeof(categories) / sizeof(categories[0]); i++) {
        if (slice_is(event, categories[i].event)) {
            return categories[i].category;
        }
    }
    return "system";
}


static void
add_part(page_t *text, slice_t name, slice_t value)
{
    if (value.size > 0) {
        page_add(text, SLICE(" / "));
        page_add(text, name);
        page_add(text, SLICE(" "));
        page_add(text, value);
    }
}


/* "View / Patient 12345 / Study 1.2.3 / Facility aoba-clinic" */
static void
operation(const ledger_t *ledger, sqlite3_stmt *row, int column, page_t *text)
{
    slice_t event = row_text(row, column), action = row_text(row, column + 1);
    slice_t reason = row_text(row, column + 2);
    bool access = slice_is(event, "access") || slice_is(event, "request");

    page_add(text, access && action.size > 0
                       ? word_of(&ledger->events, "action", action)
                       : word_of(&ledger->events, "event", event));
    if (reason.size > 0) {
        page_add(text, SLICE(": "));
        page_add(text, word_of(&ledger->events, "reason", reason));
    }
    if (!access && action.size > 0) {
        page_add(text, SLICE(" / "));
        page_add(text, word_of(&ledger->events, "action", action));
    }
    add_part(text, heading(ledger, "patient"), row_text(row, column + 3));
    add_part(text, heading(ledger, "study"), row_text(row, column + 4));
    add_part(text, heading(ledger, "facility"), row_text(row, column + 5));
}


static void
time_text(int64_t ms, page_t *text)
{
    time_t local = (time_t) local_seconds(ms);
    char bytes[TIME_TEXT_MAX];
    struct tm tm;

    if (ms > 0 && gmtime_r(&local, &tm) != NULL) {
        page_add(text, (slice_t){bytes, strftime(bytes, sizeof(bytes),
                                                 "%Y-%m-%d %H:%M:%S", &tm)});
    }
}


static void
cell_text(ledger_t *ledger, sqlite3_stmt *row, const ledger_column_t *column,
          page_t *text)
{
    slice_t value = row_text(row, column->column);
    char key[64];

    switch (column->kind) {
    case CELL_TIME:
        time_text(sqlite3_column_int64(row, column->column), text);
        break;
    case CELL_NAME:
        page_add(text, names_find(&ledger->names, value));
        break;
    case CELL_CATEGORY:
        (void) snprintf(key, sizeof(key), "category.%s", category_of(value));
        page_add(text, word(&ledger->headings, key));
        break;
    case CELL_OPERATION:
        operation(ledger, row, column->column, text);
        break;
    case CELL_WORD:
        (void) snprintf(key, sizeof(key), "ledger.%.*s", SLICE_ARG(value));
        page_add(text, word(&ledger->headings, key));
        break;
    case CELL_TEXT:
    case CELL_COUNT:
        page_add(text, value);
        break;
    }
}


/* ---- Rows ---------------------------------------------------------------- */

static void
print_cell(const ledger_t *ledger, size_t at, slice_t text)
{
    bool last = at + 1 == ledger->columns_count;

    if (ledger->format == LEDGER_CSV) {
        print_csv_cell(text);
        fputs(last ? "\r\n" : ",", stdout);
    } else if (last) {
        print_safe(stdout, text);
        putchar('\n');
    } else {
        print_padded(stdout, text,
                     ledger->columns[at].kind == CELL_TIME ? 19 : 16);
        fputs("  ", stdout);
    }
}


static void
print_heading(ledger_t *ledger)
{
    if (ledger->format == LEDGER_JSON) {
        json_array(&ledger->json, NULL);
        return;
    }
    if (ledger->format == LEDGER_CSV) {
        fputs(BYTE_ORDER_MARK, stdout);
    }
    for (size_t i = 0; i < ledger->columns_count; i++) {
        print_cell(ledger, i, heading(ledger, ledger->columns[i].key));
    }
}


static int
print_row(ledger_t *ledger, sqlite3_stmt *row)
{
    page_t text = {0};

    ledger->rows++;
    if (ledger->format == LEDGER_JSON) {
        json_object(&ledger->json, NULL);
    }
    for (size_t i = 0; i < ledger->columns_count; i++) {
        const ledger_column_t *column = &ledger->columns[i];

        text.size = 0;
        cell_text(ledger, row, column, &text);
        if (ledger->format != LEDGER_JSON) {
            print_cell(ledger, i, (slice_t){text.data, text.size});
        } else if (column->kind == CELL_COUNT) {
            json_int(&ledger->json, column->key,
                     sqlite3_column_int64(row, column->column));
        } else {
            json_text(&ledger->json, column->key,
                      (slice_t){text.data, text.size});
        }
    }
    if (ledger->format == LEDGER_JSON) {
        json_end_object(&ledger->json);
    }
    free(text.data);
    return text.failed ? fail(ledger->report->command, "out of memory")
                       : STATUS_OK;
}


static int
print_rows(ledger_t *ledger, const char *sql)
{
    _cleanup_(cleanup_statement)
        sqlite3_stmt *row = report_query(ledger->report, sql);
    int result = row == NULL ? -1 : 1;

    print_heading(ledger);
    while (result == 1 && ferror(stdout) == 0 &&
           (result = report_step(ledger->report, row)) == 1)
    {
        if (print_row(ledger, row) != STATUS_OK) {
            return STATUS_ERROR;
        }
    }
    if (result < 0) {
        return STATUS_ERROR;
    }
    if (ledger->format == LEDGER_JSON) {
        json_end_array(&ledger->json);
        return print_json(ledger->report->command, json_result(&ledger->json));
    }
    return STATUS_OK;
}


/* ---- What it is made from ------------------------------------------------ */

static int
take_format(ledger_t *ledger)
{
    bool csv = option_given(ledger->arguments, "--csv");
    bool json = option_given(ledger->arguments, "--json");

    if (csv && json) {
        return fail(ledger->report->command,
                    "--json and --csv are two formats: give one");
    }
    ledger->format = csv ? LEDGER_CSV : json ? LEDGER_JSON : LEDGER_TABLE;
    return STATUS_OK;
}


/* Table `r` with its words as text. */
static const char texts_sql[] =
    "CREATE TEMP VIEW t AS SELECT r.number, r.time, r.event, r.outcome,"
    " r.requests, r.instances, r.bytes, u.text AS user, f.text AS facility,"
    " d.text AS address, a.text AS action, o.text AS reason,"
    " p.text AS patient, s.text AS study, w.text AS purpose"
    " FROM r LEFT JOIN word u ON u.id = r.user"
    " LEFT JOIN word f ON f.id = r.facility"
    " LEFT JOIN word d ON d.id = r.address"
    " LEFT JOIN word a ON a.id = r.action"
    " LEFT JOIN word o ON o.id = r.reason"
    " LEFT JOIN word p ON p.id = r.patient"
    " LEFT JOIN word s ON s.id = r.study"
    " LEFT JOIN word w ON w.id = r.purpose";

static int
ledger_open(ledger_t *ledger)
{
    audit_report_t *report = ledger->report;
    const arguments_t *arguments = ledger->arguments;

    report->facility = option_value(arguments, "--facility");
    report->user = option_value(arguments, "--user");
    if (take_format(ledger) != STATUS_OK ||
        words_find(arguments, &report->words) != STATUS_OK ||
        report_period(report) != STATUS_OK ||
        names_read(arguments, &ledger->names) != STATUS_OK ||
        place_find(arguments, &report->place) != STATUS_OK ||
        reader_open(report->command, &report->place, &report->reader) !=
            STATUS_OK ||
        report_open_index(report, "this is") != STATUS_OK ||
        read_recorded(arguments, &report->place) != STATUS_OK)
    {
        return STATUS_ERROR;
    }
    ledger->events = report->words;
    ledger->headings = (words_t){
        report->words.lang, evidence_file_words(report->words.lang[0] == 'j')};
    return report_select(report) == STATUS_OK ? report_run(report, texts_sql)
                                              : STATUS_ERROR;
}


static int
ledger_run(const arguments_t *arguments, const ledger_column_t *columns,
           size_t count, bool factors, const char *sql, const char *missed_sql)
{
    ledger_t ledger = {.arguments = arguments,
                       .report = calloc(1, sizeof(audit_report_t)),
                       .columns = columns,
                       .columns_count = count};
    audit_report_t *report = ledger.report;
    char size[COUNT_TEXT_MAX];
    bool failed = false;
    int status;

    if (report == NULL) {
        return fail(arguments->command->name, "out of memory");
    }
    report->arguments = arguments;
    report->command = arguments->command->name;
    json_init(&ledger.json);
    status = ledger_open(&ledger);
    if (status == STATUS_OK && factors) {
        status = factors_make(report);
    }
    if (status == STATUS_OK) {
        status = print_rows(&ledger, sql);
    }
    if (status == STATUS_OK) {
        fprintf(stderr, "holds at tree size %s\n",
                count_text(index_size(report->index), size));
        if (missed_sql != NULL &&
            report_number(report, missed_sql, &failed) > 0) {
            status = STATUS_NO;
        }
        status = failed ? STATUS_ERROR : status;
    }
    json_free(&ledger.json);
    names_free(&ledger.names);
    index_close(report->index);
    trail_reader_free(report->reader);
    place_free(&report->place);
    free(report);
    return status;
}


/* ---- The four tables ----------------------------------------------------- */

static const char checklist_sql[] =
    "SELECT user, time, event, action, reason, patient, study, facility FROM t"
    " WHERE user IS NOT NULL OR event IN ('denied', 'unrecorded')"
    " ORDER BY number";

/* The five columns of the ministry's checklist, in its order. */
static const ledger_column_t checklist_columns[] = {
    {"user", CELL_TEXT, 0},           {"name", CELL_NAME, 0},
    {"time", CELL_TIME, 1},           {"category", CELL_CATEGORY, 2},
    {"operation", CELL_OPERATION, 2},
};

static const char exports_sql[] =
    "SELECT user, time, facility, address, patient, study, instances, bytes,"
    " purpose, number FROM t WHERE event IN ('access', 'request')"
    " AND action = 'download' ORDER BY number";

static const ledger_column_t exports_columns[] = {
    {"time", CELL_TIME, 1},    {"user", CELL_TEXT, 0},
    {"name", CELL_NAME, 0},    {"facility", CELL_TEXT, 2},
    {"address", CELL_TEXT, 3}, {"patient", CELL_TEXT, 4},
    {"study", CELL_TEXT, 5},   {"instances", CELL_COUNT, 6},
    {"bytes", CELL_COUNT, 7},  {"purpose", CELL_TEXT, 8},
    {"entry", CELL_COUNT, 9},
};

/* Every user of the trail, by hops over the index: not by reading all of it.
 * Only what was let in is use. */
static const char accounts_sql[] =
    "WITH RECURSIVE " REPORT_USERS ","
    " seen AS (SELECT user, " REPORT_FIRST_USE " AS first,"
    "  " REPORT_LAST_USE " AS last FROM known WHERE user IS NOT NULL)"
    " SELECT w.text, first, last, (SELECT count(*) FROM r WHERE r.user ="
    "  seen.user AND r.event IN ('access', 'request')),"
    " (SELECT group_concat(f, ' ') FROM (SELECT DISTINCT p.factors AS f"
    "  FROM proved p JOIN r ON r.number = p.number WHERE r.user = seen.user"
    "  AND p.factors IS NOT NULL ORDER BY 1)),"
    " CASE WHEN last < :to - 7776000000 THEN 'dormant' ELSE 'active' END"
    " FROM seen JOIN word w ON w.id = seen.user"
    " WHERE last IS NOT NULL AND (:user IS NULL OR w.text = :user)"
    " ORDER BY last, w.text";

static const ledger_column_t accounts_columns[] = {
    {"user", CELL_TEXT, 0},      {"name", CELL_NAME, 0},
    {"first", CELL_TIME, 1},     {"last", CELL_TIME, 2},
    {"accesses", CELL_COUNT, 3}, {"state", CELL_WORD, 5},
    {"factors", CELL_TEXT, 4},
};

/* In all, and then of each user who was let in with less. */
static const char coverage_sql[] =
    "WITH c AS (SELECT CASE event WHEN 'sign-in' THEN 'sign_ins'"
    "  WHEN 'session' THEN 'sessions' ELSE 'openings' END AS kind,"
    "  coalesce(user, '') AS user, two FROM proved JOIN t USING (number))"
    " SELECT kind, '' AS user, count(*), sum(two), sum(two) * 100 / count(*),"
    "  0 AS part FROM c GROUP BY kind"
    " UNION ALL SELECT kind, user, count(*), sum(two),"
    "  sum(two) * 100 / count(*), 1 FROM c GROUP BY kind, user"
    "  HAVING sum(two) < count(*)"
    " ORDER BY part, 1, 2";

static const char coverage_missed_sql[] =
    "SELECT count(*) FROM proved WHERE NOT two";

static const ledger_column_t coverage_columns[] = {
    {"kind", CELL_WORD, 0}, {"user", CELL_TEXT, 1},   {"all", CELL_COUNT, 2},
    {"two", CELL_COUNT, 3}, {"share", CELL_COUNT, 4},
};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static int
checklist(const arguments_t *arguments)
{
    return ledger_run(arguments, checklist_columns, COUNT_OF(checklist_columns),
                      false, checklist_sql, NULL);
}


static int
exports(const arguments_t *arguments)
{
    return ledger_run(arguments, exports_columns, COUNT_OF(exports_columns),
                      false, exports_sql, NULL);
}


static int
accounts(const arguments_t *arguments)
{
    return ledger_run(arguments, accounts_columns, COUNT_OF(accounts_columns),
                      true, accounts_sql, NULL);
}


static int
coverage(const arguments_t *arguments)
{
    return ledger_run(arguments, coverage_columns, COUNT_OF(coverage_columns),
                      true, coverage_sql, coverage_missed_sql);
}


#define NAMES_OPTION                                                           \
    {                                                                          \
        "--names", "FILE",                                                     \
            "Names of the users, a line of CSV each: id, name [of this "       \
            "host's "                                                          \
            "accounts]."                                                       \
    }

/* All four have the same; what one has not asked for does no harm. */
static const option_t ledger_options[] = {
    {"--month", "MONTH", "Of this month, as 2026-11 [the last 30 days]."},
    {"--from", "TIME", "From then on: a day, a time, a span until now as 7d."},
    {"--to", "TIME", "Until then; a day means its end [now]."},
    {"--facility", "ID", "Only of this facility."},
    {"--user", "NAME", "Only of this user."},
    NAMES_OPTION,
    {"--csv", NULL,
     "A table for spreadsheets, in UTF-8 with its mark, so that Excel reads "
     "Japanese."},
    {"--json", NULL, "Print JSON."},
    {"--lang", "en|ja", "Language of headings and words [the locale's]."},
    INDEX_OPTION,
    TRAIL_OPTION,
    CONFIG_OPTION,
    SOCKET_OPTION,
    NOTE_OPTION,
    UNRECORDED_OPTION,
    {NULL, NULL, NULL},
};

const command_t audit_checklist_command = {
    .name = "audit checklist",
    .arguments = "",
    .summary = "The table that an inspection asks for: who did what when.",
    .details = "Five columns: user id, name, time, category, operation. One "
               "row for each access, sign-in and refusal, and for what "
               "administrators did. The reading is recorded.\n\n"
               "Exit status: 0 done; 2 error.",
    .options = ledger_options,
    .run = checklist,
};

const command_t audit_exports_command = {
    .name = "audit exports",
    .arguments = "",
    .summary = "What was downloaded: the ledger of what was taken out.",
    .details = "One row for each download that was let in, with user, "
               "facility, patient, images, bytes and purpose. The reading is "
               "recorded.\n\n"
               "Exit status: 0 done; 2 error.",
    .options = ledger_options,
    .run = exports,
};

const command_t audit_accounts_command = {
    .name = "audit accounts",
    .arguments = "",
    .summary = "Which accounts are used, and which lie dormant.",
    .details = "Every user that the trail has ever let in: first and last "
               "use, accesses of the period, whether dormant (no use in the "
               "90 days before the period's end), and what they proved in the "
               "period. An account that was never used is not in the trail: "
               "compare with the list of accounts. The reading is "
               "recorded.\n\n"
               "Exit status: 0 done; 2 error.",
    .options = ledger_options,
    .run = accounts,
};

const command_t audit_coverage_command = {
    .name = "audit coverage",
    .arguments = "",
    .summary = "The share of sign-ins and accesses with two factors.",
    .details = "Two factors are of different kinds: what somebody knows "
               "(password) and has (a code, a key) or is; two of one kind "
               "count as one. An access without factors of its own has those "
               "of its session's sign-in. After the shares in all come the "
               "users who were let in with less. The reading is recorded.\n\n"
               "Exit status: 0 all with two; 1 some with less; 2 error.",
    .options = ledger_options,
    .run = coverage,
};
