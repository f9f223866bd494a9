/*
 * A small audit.db made by hand, as docs/audit-db.md describes it, for tests of
 * the rules.  Hours and days are those of UTC: db_open() sets TZ.
 */

#ifndef SEKISHO_TESTS_FINDINGS_DB_H
#define SEKISHO_TESTS_FINDINGS_DB_H

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../lib/review/findings.h"
#include "unit.h"

#define DB_DAY    INT64_C(86400000)
#define DB_HOUR   INT64_C(3600000)
#define DB_MINUTE INT64_C(60000)
/* Monday 2026-01-05; days are counted from it. */
#define DB_FIRST INT64_C(1767571200000)

typedef struct {
    sqlite3 *sql;
    int64_t number;
    findings_settings_t settings;
    const policy_image_t *policy;
    bool (*country)(void *context, const address_t *address, char code[2]);
    findings_outcome_t outcome;
    finding_t found[64];
    size_t count;
    char texts[64][3][64]; /* user, address, detail */
} db_t;

static inline void
db_run(db_t *db, const char *sql)
{
    char *error = NULL;

    if (sqlite3_exec(db->sql, sql, NULL, NULL, &error) != SQLITE_OK) {
        fail_msg("%s: %s", sql, error);
    }
}

static inline void
db_open(db_t *db)
{
    (void) setenv("TZ", "UTC", 1);
    tzset();
    memset(db, 0, sizeof(*db));
    findings_defaults(&db->settings);
    assert_int_equal(sqlite3_open(":memory:", &db->sql), SQLITE_OK);
    db_run(db,
           "CREATE TABLE word (id INTEGER PRIMARY KEY, text TEXT UNIQUE);"
           "INSERT INTO word VALUES (1, 'access'), (2, 'access-end'),"
           " (3, 'request'), (4, 'request-end');"
           "CREATE TABLE entry (number INTEGER PRIMARY KEY, time, event,"
           " outcome DEFAULT 0, reason, user, facility, address, service,"
           " action, patient, study, session, purpose, opened, requests,"
           " bytes, instances, duration_ms, count, record_id DEFAULT x'00');"
           "CREATE TABLE access (number INTEGER PRIMARY KEY, time,"
           " event DEFAULT 1, outcome DEFAULT 0, reason, user, facility,"
           " address, service, action, patient, study, session, purpose,"
           " closed, ended, end_outcome, end_reason, requests, bytes,"
           " instances, duration_ms, interrupted DEFAULT 0,"
           " record_id DEFAULT x'00');"
           "CREATE TABLE study (study INTEGER PRIMARY KEY, patient, issuer,"
           " name, number, learned DEFAULT 1);"
           "CREATE TABLE day (day INTEGER PRIMARY KEY, number);");
}

static inline void
db_close(db_t *db)
{
    (void) sqlite3_close(db->sql);
}

static inline int64_t
db_at(int64_t day, int64_t minutes)
{
    return DB_FIRST + day * DB_DAY + minutes * DB_MINUTE;
}

/* A word's id as SQL; NULL is NULL. */
static inline const char *
db_word(db_t *db, const char *text, char sql[24])
{
    char insert[256];
    sqlite3_stmt *statement;

    if (text == NULL) {
        return "NULL";
    }
    (void) snprintf(insert, sizeof(insert),
                    "INSERT OR IGNORE INTO word (text) VALUES ('%s')", text);
    db_run(db, insert);
    assert_int_equal(sqlite3_prepare_v2(db->sql,
                                        "SELECT id FROM word WHERE text = ?",
                                        -1, &statement, NULL),
                     SQLITE_OK);
    (void) sqlite3_bind_text(statement, 1, text, -1, SQLITE_STATIC);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    (void) snprintf(sql, 24, "%d", sqlite3_column_int(statement, 0));
    (void) sqlite3_finalize(statement);
    return sql;
}

static inline void
db_day(db_t *db, int64_t time_ms)
{
    char sql[128];

    (void) snprintf(sql, sizeof(sql),
                    "INSERT OR IGNORE INTO day VALUES (%lld, %lld)",
                    (long long) (time_ms / DB_DAY), (long long) db->number);
    db_run(db, sql);
}

typedef struct {
    int64_t time_ms;
    const char *user, *facility, *address, *patient, *action, *name;
    int64_t seconds; /* how long */
} db_access_t;

static inline void
db_access(db_t *db, const db_access_t *a)
{
    char sql[512], u[24], f[24], d[24], p[24], c[24], s[24], n[24], study[32];
    long long number = (long long) ++db->number;

    db_day(db, a->time_ms);
    (void) snprintf(study, sizeof(study), "1.2.%lld", number);
    (void) snprintf(
        sql, sizeof(sql),
        "INSERT INTO access (number, time, ended, user, facility, address,"
        " action, patient, study, closed, duration_ms) VALUES (%lld, %lld,"
        " %lld, %s, %s, %s, %s, %s, %s, %lld, %lld)",
        number, (long long) a->time_ms, (long long) a->time_ms + 900000,
        db_word(db, a->user, u), db_word(db, a->facility, f),
        db_word(db, a->address, d),
        db_word(db, a->action == NULL ? "view" : a->action, c),
        db_word(db, a->patient, p), db_word(db, study, s), number + 1,
        (long long) a->seconds * 1000);
    db_run(db, sql);
    db->number++;
    if (a->name != NULL) {
        (void) snprintf(sql, sizeof(sql),
                        "INSERT INTO study (study, patient, name, number)"
                        " VALUES (%s, %s, %s, %lld)",
                        s, p, db_word(db, a->name, n), number);
        db_run(db, sql);
    }
}

typedef struct {
    int64_t time_ms;
    const char *event, *reason, *user, *facility, *address, *service, *session;
    int outcome;
    int64_t count;
} db_event_t;

static inline void
db_event(db_t *db, const db_event_t *e)
{
    char sql[512], v[24], r[24], u[24], f[24], a[24], s[24], k[24], count[24];

    db->number++;
    db_day(db, e->time_ms);
    (void) snprintf(count, sizeof(count), "%lld", (long long) e->count);
    (void) snprintf(sql, sizeof(sql),
                    "INSERT INTO entry (number, time, event, reason, user,"
                    " facility, address, service, session, outcome, count)"
                    " VALUES (%lld, %lld, %s, %s, %s, %s, %s, %s, %s, %d, %s)",
                    (long long) db->number, (long long) e->time_ms,
                    db_word(db, e->event, v), db_word(db, e->reason, r),
                    db_word(db, e->user, u), db_word(db, e->facility, f),
                    db_word(db, e->address, a), db_word(db, e->service, s),
                    db_word(db, e->session, k), e->outcome,
                    e->count == 0 ? "NULL" : count);
    db_run(db, sql);
}

static inline bool
db_keep(void *context, const finding_t *finding)
{
    db_t *db = context;
    slice_t texts[3] = {finding->user, finding->address, finding->detail};

    assert_true(db->count < 64);
    db->found[db->count] = *finding;
    for (unsigned i = 0; i < 3; i++) {
        (void) snprintf(db->texts[db->count][i], 64, "%.*s",
                        SLICE_ARG(texts[i]));
    }
    db->count++;
    return true;
}

static inline void
db_find(db_t *db, int64_t from_ms, int64_t to_ms)
{
    findings_input_t input = {.db = db->sql,
                              .settings = &db->settings,
                              .policy = db->policy,
                              .country = db->country};
    char error[256];

    db->count = 0;
    if (findings_run(&input, from_ms, to_ms, db_keep, db, &db->outcome,
                     error) != 0) {
        fail_msg("%s", error);
    }
}

/* How many findings of a rule. */
static inline size_t
db_count(const db_t *db, finding_rule_t rule)
{
    size_t count = 0;

    for (size_t i = 0; i < db->count; i++) {
        count += db->found[i].rule == rule;
    }
    return count;
}

/* The one finding of a rule. */
static inline size_t
db_one(const db_t *db, finding_rule_t rule)
{
    size_t one = 64;

    assert_int_equal(db_count(db, rule), 1);
    for (size_t i = 0; i < db->count; i++) {
        one = db->found[i].rule == rule ? i : one;
    }
    return one;
}

/* Yamada's month: `count` accesses on each of so many days, 9:00 to 17:00. */
static inline void
db_habit(db_t *db, int64_t days, int count)
{
    for (int64_t day = 0; day < days; day++) {
        for (int i = 0; i < count; i++) {
            db_access(
                db, &(db_access_t){.time_ms = db_at(day, 540 + 480 * i / count),
                                   .user = "yamada",
                                   .facility = "aoba",
                                   .address = "203.0.113.7",
                                   .seconds = 30});
        }
    }
}

#endif
