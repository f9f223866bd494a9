/* Rows into tables. */

#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>

#include "../dicom/orthanc_id.h"
#include "index_internal.h"

#define DAY_MS INT64_C(86400000)

static const char *const sources[STATEMENTS] = {
    [STATEMENT_ENTRY] =
        "INSERT INTO entry (number, time, outcome, event, reason, user, "
        "facility, address, service, action, patient, study, session, purpose,"
        " opened, requests, bytes, instances, duration_ms, count, record_id) "
        "VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    [STATEMENT_ACCESS] =
        "INSERT INTO access (number, time, outcome, event, reason, user, "
        "facility, address, service, action, patient, study, session, purpose,"
        " closed, ended, end_outcome, end_reason, requests, bytes, instances,"
        " duration_ms, interrupted, record_id) "
        "VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    [STATEMENT_CLOSE] =
        "UPDATE access SET ended = ?2, closed = ?3, requests = ?4, "
        "bytes = ?5, instances = ?6, interrupted = ?7, "
        "patient = coalesce(patient, ?8), study = coalesce(study, ?9), "
        "end_outcome = ?10, end_reason = ?11, duration_ms = ?12 "
        "WHERE number = ?1",
    [STATEMENT_DAY] = "INSERT INTO day (day, number) VALUES (?, ?) "
                      "ON CONFLICT DO NOTHING",
    [STATEMENT_LEARNED] =
        "INSERT INTO study (study, patient, issuer, name, number, learned) "
        "VALUES (?1, ?2, ?3, ?4, ?5, 1) ON CONFLICT (study) DO UPDATE SET "
        "patient = excluded.patient, "
        "issuer = CASE WHEN patient = excluded.patient AND learned "
        "THEN coalesce(excluded.issuer, issuer) ELSE excluded.issuer END, "
        "name = CASE WHEN patient = excluded.patient AND learned "
        "THEN coalesce(excluded.name, name) ELSE excluded.name END, "
        "number = CASE WHEN patient = excluded.patient AND learned "
        "THEN number ELSE excluded.number END, learned = 1",
    [STATEMENT_REQUESTED] =
        "INSERT INTO study (study, patient, issuer, name, number, learned) "
        "VALUES (?1, ?2, ?3, ?4, ?5, 0) ON CONFLICT (study) DO NOTHING",
    [STATEMENT_PART] =
        "INSERT INTO part (part, whole) VALUES (?1, ?2) "
        "ON CONFLICT (part) DO UPDATE SET whole = excluded.whole",
    /* no deeper than instance, series, study: a circle ends, too */
    [STATEMENT_PARTS] =
        "INSERT INTO study (study, patient, issuer, name, number, learned) "
        "WITH RECURSIVE below (part, depth) AS ("
        " SELECT part, 1 FROM part WHERE whole = ?1 UNION "
        " SELECT p.part, depth + 1 FROM below b JOIN part p "
        "  ON p.whole = b.part WHERE depth < 2) "
        "SELECT b.part, s.patient, s.issuer, s.name, s.number, s.learned "
        "FROM study s JOIN below b WHERE s.study = ?1 AND b.part <> ?1 "
        "ON CONFLICT (study) DO UPDATE SET patient = excluded.patient, "
        "issuer = excluded.issuer, name = excluded.name, "
        "number = excluded.number, learned = excluded.learned",
};

/* ---- Begin and end -------------------------------------------------------*/

int
tables_begin(review_index_t *index)
{
    int error = 0;

    if (index->ready) {
        return 0;
    }
    index->last_day = INT64_MIN;
    index->accesses_count = 0;
    index->accesses = malloc(ACCESSES_MAX * sizeof(*index->accesses));
    if (index->accesses == NULL) {
        error = -ENOMEM;
    }
    for (unsigned i = 0; error == 0 && i < STATEMENTS; i++) {
        if (sqlite3_prepare_v3(index->database, sources[i], -1,
                               SQLITE_PREPARE_PERSISTENT, &index->statements[i],
                               NULL) != SQLITE_OK)
        {
            error = index_failed(index, index->path);
        }
    }
    if (error == 0) {
        error = words_init(&index->words, index->database, WORDS_BYTES_MAX);
    }
    if (error == 0) {
        error = waiting_load(index);
    }
    if (error == 0) {
        error = parts_load(index);
    }
    index->ready = error == 0;
    if (error < 0) {
        tables_end(index);
    }
    return error;
}


void
tables_end(review_index_t *index)
{
    for (unsigned i = 0; i < STATEMENTS; i++) {
        (void) sqlite3_finalize(index->statements[i]);
        index->statements[i] = NULL;
    }
    words_free(&index->words);
    waiting_free(&index->waiting);
    free(index->accesses);
    index->accesses = NULL;
    index->accesses_count = 0;
    index->ready = false;
}


/* ---- Rows ----------------------------------------------------------------*/

void
bind_word(sqlite3_stmt *statement, int column, uint32_t word)
{
    if (word == 0) {
        (void) sqlite3_bind_null(statement, column);
    } else {
        (void) sqlite3_bind_int64(statement, column, word);
    }
}


void
bind_number(sqlite3_stmt *statement, int column, int64_t number)
{
    if (number < 0) {
        (void) sqlite3_bind_null(statement, column);
    } else {
        (void) sqlite3_bind_int64(statement, column, number);
    }
}


int
statement_run(review_index_t *index, sqlite3_stmt *statement)
{
    int result = sqlite3_step(statement);

    (void) sqlite3_reset(statement);
    return result == SQLITE_DONE ? 0 : index_failed(index, index->path);
}


static int
add_entry(review_index_t *index, const row_t *row,
          const uint32_t words[ENTRY_WORDS], uint64_t opened)
{
    sqlite3_stmt *statement = index->statements[STATEMENT_ENTRY];
    int column = 1;

    (void) sqlite3_bind_int64(statement, column++, (int64_t) row->number);
    (void) sqlite3_bind_int64(statement, column++, row->time);
    (void) sqlite3_bind_int(statement, column++, row->outcome);
    for (unsigned i = 0; i < ENTRY_WORDS; i++) {
        bind_word(statement, column++, words[i]);
    }
    bind_number(statement, column++,
                opened == UINT64_MAX ? -1 : (int64_t) opened);
    for (unsigned i = 0; i < ROW_NUMBERS; i++) {
        bind_number(statement, column++, row->numbers[i]);
    }
    (void) sqlite3_bind_blob(statement, column, row->id,
                             row->has_id ? OPENING_ID_SIZE : 0, SQLITE_STATIC);
    return statement_run(index, statement);
}


static int
note_day(review_index_t *index, const row_t *row)
{
    sqlite3_stmt *statement = index->statements[STATEMENT_DAY];
    int64_t day = row->time / DAY_MS;

    if (row->time == 0 || day == index->last_day) {
        return 0;
    }
    index->last_day = day;
    (void) sqlite3_bind_int64(statement, 1, day);
    (void) sqlite3_bind_int64(statement, 2, (int64_t) row->number);
    return statement_run(index, statement);
}


/* What named nothing but Orthanc's series or instance is found by that, once it
 * is known what it is a part of. */
static uint32_t
study_of(const row_t *row, word_t *const words[ROW_WORDS])
{
    uint8_t bytes[ORTHANC_ID_BYTES];

    for (unsigned i = COLUMN_SERIES; i <= COLUMN_INSTANCE; i++) {
        if (words[COLUMN_STUDY] == NULL && words[COLUMN_PATIENT] == NULL &&
            words[i] != NULL && orthanc_id_parse(row->words[i], bytes))
        {
            return words[i]->id;
        }
    }
    return words[COLUMN_STUDY] == NULL ? 0 : words[COLUMN_STUDY]->id;
}


int
tables_add(review_index_t *index, const row_t *row)
{
    word_t *words[ROW_WORDS] = {NULL};
    uint32_t ids[ENTRY_WORDS];
    uint64_t opened = UINT64_MAX;
    bool own = false;
    int error = 0;

    for (unsigned i = 0; error == 0 && i < ROW_WORDS; i++) {
        if (row->words[i].size > 0) {
            error = words_get(&index->words, row->words[i], row->hashes[i],
                              &words[i]);
        }
    }
    if (error == 0 && words[COLUMN_EVENT] == NULL) {
        return 0; /* no record of ours */
    }
    for (unsigned i = 0; error == 0 && i < ENTRY_WORDS; i++) {
        ids[i] = words[i] == NULL ? 0 : words[i]->id;
    }
    if (error == 0) {
        ids[COLUMN_STUDY] = study_of(row, words);
        error = accesses_note(index, row, ids, &own, &opened);
    }
    if (error == 0 && own) {
        error = add_entry(index, row, ids, opened);
    }
    if (error == 0) {
        error = studies_note(index, row, words);
    }
    if (error == 0) {
        error = note_day(index, row);
    }
    if (error == -EIO && index->error[0] == '\0') {
        (void) index_failed(index, index->path);
    }
    return error;
}
