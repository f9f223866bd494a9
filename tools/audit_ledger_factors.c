/* What people proved: read from the records, as audit.db has not got it. */

#include <stdlib.h>

#include "audit_ledger.h"

static const struct {
    const char *name;
    unsigned kind; /* a bit: knows, has, is */
} kinds[] = {
    {"password", 1},    {"pin", 1},      {"passphrase", 1}, {"totp", 2},
    {"hotp", 2},        {"recovery", 2}, {"emergency", 2},  {"publickey", 2},
    {"certificate", 2}, {"fido", 2},     {"smartcard", 2},  {"fingerprint", 4},
    {"face", 4},
};

bool
factors_are_two(slice_t factors)
{
    unsigned found = 0;

    while (factors.size > 0) {
        const char *comma = memchr(factors.data, ',', factors.size);
        slice_t one = {factors.data, comma == NULL
                                         ? factors.size
                                         : (size_t) (comma - factors.data)};

        factors = slice_from(factors, one.size + (comma == NULL ? 0 : 1));
        for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
            found |= slice_is(one, kinds[i].name) ? kinds[i].kind : 0;
        }
    }
    return (found & (found - 1)) != 0;
}


/* Only of what was let in; refused ones proved nothing. */
static const char wanted_sql[] =
    "SELECT number FROM r WHERE outcome = 0 AND event IN"
    " ('access', 'request', 'session', 'sign-in') ORDER BY number";

static const char table_sql[] =
    "CREATE TEMP TABLE proved (number INTEGER PRIMARY KEY, factors TEXT,"
    " two INTEGER NOT NULL)";

static const char insert_sql[] = "INSERT INTO proved VALUES (?1, ?2, ?3)";

/* Of several sign-ins of a session the last before the access counts. */
static const char inherit_sql[] =
    "UPDATE proved SET (factors, two) = (SELECT p.factors, p.two"
    " FROM r AS a JOIN r AS s ON s.session = a.session AND s.event = 'sign-in'"
    "  AND s.number < a.number JOIN proved p ON p.number = s.number"
    " WHERE a.number = proved.number ORDER BY s.number DESC LIMIT 1)"
    " WHERE factors IS NULL AND number IN (SELECT a.number FROM r AS a"
    "  JOIN r AS s ON s.session = a.session AND s.event = 'sign-in'"
    "  AND s.outcome = 0 AND s.number < a.number)";

static int
take_one(audit_report_t *report, sqlite3_stmt *insert, int64_t number,
         char *buffer)
{
    record_t record = {0};
    slice_t entry, factors;

    if (trail_reader_entry(report->reader, (uint64_t) number, &entry) < 0) {
        return fail(report->command, "%s",
                    trail_reader_problem(report->reader));
    }
    (void) record_parse(entry, &record, buffer);
    factors = record.values[RECORD_FACTORS];
    (void) sqlite3_reset(insert);
    (void) sqlite3_bind_int64(insert, 1, number);
    if (factors.size > 0) {
        (void) sqlite3_bind_text(insert, 2, factors.data, (int) factors.size,
                                 SQLITE_TRANSIENT);
    } else {
        (void) sqlite3_bind_null(insert, 2);
    }
    (void) sqlite3_bind_int(insert, 3, factors_are_two(factors));
    return report_step(report, insert) < 0 ? STATUS_ERROR : STATUS_OK;
}


int
factors_make(audit_report_t *report)
{
    _cleanup_(cleanup_statement) sqlite3_stmt *wanted = NULL;
    _cleanup_(cleanup_statement) sqlite3_stmt *insert = NULL;
    _cleanup_(cleanup_free) char *buffer = malloc(TRAIL_ENTRY_MAX);
    int result;

    if (buffer == NULL) {
        return fail(report->command, "out of memory");
    }
    if (report_run(report, table_sql) != STATUS_OK ||
        report_run(report, "CREATE INDEX temp.r_session ON r (session)") !=
            STATUS_OK ||
        (wanted = report_query(report, wanted_sql)) == NULL ||
        (insert = report_query(report, insert_sql)) == NULL)
    {
        return STATUS_ERROR;
    }
    while ((result = report_step(report, wanted)) == 1) {
        if (take_one(report, insert, sqlite3_column_int64(wanted, 0), buffer) !=
            STATUS_OK)
        {
            return STATUS_ERROR;
        }
    }
    return result < 0 ? STATUS_ERROR : report_run(report, inherit_sql);
}
