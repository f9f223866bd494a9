/* The tables of audit.db; docs/audit-db.md says the same for people. */

#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>

#include "index_internal.h"

static const char tables[] =
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;"
    "CREATE TABLE word (id INTEGER PRIMARY KEY, text TEXT NOT NULL);"
    "CREATE TABLE access ("
    " number INTEGER PRIMARY KEY, time INTEGER NOT NULL,"
    " event INTEGER NOT NULL, outcome INTEGER NOT NULL, reason INTEGER,"
    " user INTEGER, facility INTEGER, address INTEGER, service INTEGER,"
    " action INTEGER, patient INTEGER, study INTEGER, session INTEGER,"
    " purpose INTEGER, closed INTEGER, ended INTEGER, end_outcome INTEGER,"
    " end_reason INTEGER, requests INTEGER, bytes INTEGER, instances INTEGER,"
    " duration_ms INTEGER, interrupted INTEGER NOT NULL,"
    " record_id BLOB NOT NULL);"
    "CREATE TABLE entry ("
    " number INTEGER PRIMARY KEY, time INTEGER NOT NULL,"
    " event INTEGER NOT NULL, outcome INTEGER NOT NULL, reason INTEGER,"
    " user INTEGER, facility INTEGER, address INTEGER, service INTEGER,"
    " action INTEGER, patient INTEGER, study INTEGER, session INTEGER,"
    " purpose INTEGER, opened INTEGER, requests INTEGER, bytes INTEGER,"
    " instances INTEGER, duration_ms INTEGER, count INTEGER,"
    " record_id BLOB NOT NULL);"
    "CREATE TABLE study ("
    " study INTEGER PRIMARY KEY, patient INTEGER NOT NULL, issuer INTEGER,"
    " name INTEGER, number INTEGER NOT NULL, learned INTEGER NOT NULL)"
    " WITHOUT ROWID;"
    "CREATE TABLE part (part INTEGER PRIMARY KEY, whole INTEGER NOT NULL)"
    " WITHOUT ROWID;"
    "CREATE TABLE day (day INTEGER PRIMARY KEY, number INTEGER NOT NULL);"

    /* A close is a row here as it is one of the trail. */
    "CREATE VIEW events AS SELECT e.number,"
    " strftime('%Y-%m-%dT%H:%M:%f', e.time / 1000.0, 'unixepoch',"
    "  'localtime') AS time,"
    " w1.text AS event, e.outcome, w2.text AS reason, w3.text AS user,"
    " w4.text AS facility, w5.text AS address, w6.text AS service,"
    " w7.text AS action, w8.text AS patient, w9.text AS study,"
    " w10.text AS session, w11.text AS purpose, e.opened, e.requests,"
    " e.bytes, e.instances, e.duration_ms, e.count,"
    " lower(hex(e.record_id)) AS id"
    " FROM (SELECT number, time, event, outcome, reason, user, facility,"
    "  address, service, action, patient, study, session, purpose, opened,"
    "  requests, bytes, instances, duration_ms, count, record_id FROM entry"
    " UNION ALL SELECT number, time, event, outcome, reason, user, facility,"
    "  address, service, action, patient, study, session, purpose, NULL,"
    "  iif(closed IS number, requests, NULL),"
    "  iif(closed IS number, bytes, NULL),"
    "  iif(closed IS number, instances, NULL),"
    "  iif(closed IS number, duration_ms, NULL), NULL, record_id FROM access"
    " UNION ALL SELECT closed, ended, event + 1, end_outcome, end_reason,"
    "  user, facility, address, service, action, patient, study, session,"
    "  purpose, number, requests, bytes, instances, duration_ms, NULL, NULL"
    "  FROM access a WHERE closed > number"
    "  AND NOT EXISTS (SELECT 1 FROM entry e WHERE e.number = a.closed)) e"
    " LEFT JOIN word w1 ON w1.id = e.event"
    " LEFT JOIN word w2 ON w2.id = e.reason"
    " LEFT JOIN word w3 ON w3.id = e.user"
    " LEFT JOIN word w4 ON w4.id = e.facility"
    " LEFT JOIN word w5 ON w5.id = e.address"
    " LEFT JOIN word w6 ON w6.id = e.service"
    " LEFT JOIN word w7 ON w7.id = e.action"
    " LEFT JOIN word w8 ON w8.id = e.patient"
    " LEFT JOIN word w9 ON w9.id = e.study"
    " LEFT JOIN word w10 ON w10.id = e.session"
    " LEFT JOIN word w11 ON w11.id = e.purpose;"

    "CREATE VIEW accesses AS SELECT a.number,"
    " strftime('%Y-%m-%dT%H:%M:%f', a.time / 1000.0, 'unixepoch',"
    "  'localtime') AS time,"
    " strftime('%Y-%m-%dT%H:%M:%f', a.ended / 1000.0, 'unixepoch',"
    "  'localtime') AS ended,"
    " w1.text AS user, w2.text AS facility, w3.text AS address,"
    " w4.text AS action, w5.text AS patient, w9.text AS issuer,"
    " w10.text AS name, w6.text AS study,"
    " w7.text AS purpose, w8.text AS session, a.requests, a.bytes,"
    " a.instances, a.closed, a.interrupted"
    " FROM access a LEFT JOIN study s ON s.study = coalesce(a.study, a.patient)"
    " LEFT JOIN part p ON p.part = a.study"
    " LEFT JOIN part q ON q.part = p.whole"
    " LEFT JOIN word w1 ON w1.id = a.user"
    " LEFT JOIN word w2 ON w2.id = a.facility"
    " LEFT JOIN word w3 ON w3.id = a.address"
    " LEFT JOIN word w4 ON w4.id = a.action"
    " LEFT JOIN word w5 ON w5.id = CASE WHEN s.learned THEN s.patient"
    "  ELSE coalesce(a.patient, s.patient) END"
    " LEFT JOIN word w6 ON w6.id = coalesce(q.whole, p.whole, a.study)"
    " LEFT JOIN word w7 ON w7.id = a.purpose"
    " LEFT JOIN word w8 ON w8.id = a.session"
    " LEFT JOIN word w9 ON w9.id = s.issuer"
    " LEFT JOIN word w10 ON w10.id = s.name;";

/* Of few entries: kept from the start, where making them later would read all
 * of a table once more for each. */
static const char *const small_indexes[] = {
    "CREATE INDEX entry_event ON entry (event, number)",
    "CREATE INDEX entry_user ON entry (user, number) WHERE user IS NOT NULL",
    "CREATE INDEX entry_study ON entry (study, number)"
    " WHERE study IS NOT NULL",
    "CREATE INDEX entry_patient ON entry (patient, number)"
    " WHERE patient IS NOT NULL",
    "CREATE INDEX part_whole ON part (whole)",
};

#define SMALL_INDEXES (sizeof(small_indexes) / sizeof(small_indexes[0]))

/* One by one, so that each can be stopped and is not made again. */
static const char *const indexes[] = {
    "CREATE UNIQUE INDEX IF NOT EXISTS word_text ON word (text)",
    "CREATE INDEX IF NOT EXISTS access_user ON access (user, number)"
    " WHERE user IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS access_study ON access (study, number)"
    " WHERE study IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS access_patient ON access (patient, number)"
    " WHERE patient IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS access_open ON access (number)"
    " WHERE closed IS NULL",
    "CREATE INDEX IF NOT EXISTS study_patient ON study (patient)",
};

#define INDEXES (sizeof(indexes) / sizeof(indexes[0]))

/* The words 1 to 4: an access opens, and closes with the word behind it. */
static const record_event_t common[] = {EVENT_ACCESS, EVENT_ACCESS_END,
                                        EVENT_REQUEST, EVENT_REQUEST_END};

int
index_run(review_index_t *index, const char *sql)
{
    return sqlite3_exec(index->database, sql, NULL, NULL, NULL) == SQLITE_OK
               ? 0
               : index_failed(index, index->path);
}


static int
prepare(review_index_t *index, const char *sql, sqlite3_stmt **statement)
{
    return sqlite3_prepare_v2(index->database, sql, -1, statement, NULL) ==
                   SQLITE_OK
               ? 0
               : index_failed(index, index->path);
}


int
schema_create(review_index_t *index)
{
    sqlite3_stmt *statement = NULL;
    int error = index_run(index, tables);

    for (size_t i = 0; error == 0 && i < SMALL_INDEXES; i++) {
        error = index_run(index, small_indexes[i]);
    }
    if (error == 0) {
        error = prepare(index, "INSERT INTO word (id, text) VALUES (?, ?)",
                        &statement);
    }
    for (size_t i = 0; error == 0 && i < sizeof(common) / sizeof(common[0]);
         i++) {
        (void) sqlite3_bind_int64(statement, 1, (sqlite3_int64) i + 1);
        (void) sqlite3_bind_text(statement, 2, record_event_name(common[i]), -1,
                                 SQLITE_STATIC);
        if (sqlite3_step(statement) != SQLITE_DONE) {
            error = index_failed(index, index->path);
        }
        (void) sqlite3_reset(statement);
    }
    (void) sqlite3_finalize(statement);
    return error;
}


bool
schema_is_finished(review_index_t *index)
{
    sqlite3_stmt *statement = NULL;
    bool finished = false;

    if (prepare(index,
                "SELECT count(*) FROM sqlite_schema WHERE type = 'index' "
                "AND sql IS NOT NULL",
                &statement) == 0 &&
        sqlite3_step(statement) == SQLITE_ROW)
    {
        finished = sqlite3_column_int64(statement, 0) ==
                   (int64_t) (INDEXES + SMALL_INDEXES);
    }
    (void) sqlite3_finalize(statement);
    return finished;
}


int
schema_finish(review_index_t *index)
{
    int error = 0;

    for (size_t i = 0; error == 0 && i < INDEXES; i++) {
        error = index_run(index, indexes[i]);
    }
    return error < 0 ? error : index_share(index);
}


/* ---- meta ----------------------------------------------------------------*/

static sqlite3_stmt *
meta_find(review_index_t *index, const char *name)
{
    sqlite3_stmt *statement = NULL;

    if (prepare(index, "SELECT value FROM meta WHERE name = ?", &statement) < 0)
    {
        return NULL;
    }
    (void) sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
    if (sqlite3_step(statement) != SQLITE_ROW) {
        (void) sqlite3_finalize(statement);
        return NULL;
    }
    return statement;
}


char *
meta_text(review_index_t *index, const char *name)
{
    sqlite3_stmt *statement = meta_find(index, name);
    char *copy = NULL;

    if (statement != NULL) {
        const char *text = (const char *) sqlite3_column_text(statement, 0);

        copy = text == NULL ? NULL : strdup(text);
    }
    (void) sqlite3_finalize(statement);
    return copy;
}


int64_t
meta_number(review_index_t *index, const char *name)
{
    sqlite3_stmt *statement = meta_find(index, name);
    int64_t number = statement == NULL ? 0 : sqlite3_column_int64(statement, 0);

    (void) sqlite3_finalize(statement);
    return number;
}


static int
meta_set(review_index_t *index, sqlite3_stmt *statement, const char *name)
{
    int error = 0;

    (void) sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
    if (sqlite3_step(statement) != SQLITE_DONE) {
        error = index_failed(index, index->path);
    }
    (void) sqlite3_finalize(statement);
    return error;
}


static const char replace[] = "INSERT INTO meta (name, value) VALUES (?, ?) "
                              "ON CONFLICT (name) DO UPDATE SET value = "
                              "excluded.value";

int
meta_set_text(review_index_t *index, const char *name, slice_t text)
{
    sqlite3_stmt *statement = NULL;
    int error = prepare(index, replace, &statement);

    if (error < 0) {
        return error;
    }
    (void) sqlite3_bind_text(statement, 2, text.data, (int) text.size,
                             SQLITE_STATIC);
    return meta_set(index, statement, name);
}


int
meta_set_number(review_index_t *index, const char *name, int64_t number)
{
    sqlite3_stmt *statement = NULL;
    int error = prepare(index, replace, &statement);

    if (error < 0) {
        return error;
    }
    (void) sqlite3_bind_int64(statement, 2, number);
    return meta_set(index, statement, name);
}
