/* Rows into tables: words, accesses and their closes, whose study it is. */

#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>

#include "index_internal.h"

#define DAY_MS INT64_C(86400000)

static const char *const sources[STATEMENTS] = {
    [STATEMENT_ENTRY] =
        "INSERT INTO entry (number, time, outcome, event, reason, user, "
        "facility, address, service, action, patient, study, session, purpose,"
        " opened, requests, bytes, instances, duration_ms, count, record_id) "
        "VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    [STATEMENT_ACCESS] =
        "INSERT INTO access (number, time, ended, user, facility, address, "
        "action, patient, study, purpose, session, requests, bytes, instances,"
        " closed, interrupted) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    [STATEMENT_CLOSE] =
        "UPDATE access SET ended = ?2, closed = ?3, requests = ?4, "
        "bytes = ?5, instances = ?6, interrupted = ?7, "
        "patient = coalesce(patient, ?8), study = coalesce(study, ?9) "
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
};

/* ---- Begin and end -------------------------------------------------------*/

static int
load_waiting(review_index_t *index)
{
    sqlite3_stmt *statement = NULL;
    waiting_t opening = {.used = false};
    int result, error = 0;

    if (sqlite3_prepare_v2(index->database,
                           "SELECT a.number, e.record_id, a.patient, a.study "
                           "FROM access a JOIN entry e ON e.number = a.number "
                           "WHERE a.closed IS NULL",
                           -1, &statement, NULL) != SQLITE_OK)
    {
        return index_failed(index, index->path);
    }
    while ((result = sqlite3_step(statement)) == SQLITE_ROW) {
        if (sqlite3_column_bytes(statement, 1) != OPENING_ID_SIZE) {
            continue;
        }
        opening.number = (uint64_t) sqlite3_column_int64(statement, 0);
        memcpy(opening.id, sqlite3_column_blob(statement, 1), OPENING_ID_SIZE);
        opening.patient = (uint32_t) sqlite3_column_int64(statement, 2);
        opening.study = (uint32_t) sqlite3_column_int64(statement, 3);
        if (!waiting_add(&index->waiting, &opening)) {
            error = -ENOMEM;
            break;
        }
    }
    if (error == 0 && result != SQLITE_DONE) {
        error = index_failed(index, index->path);
    }
    (void) sqlite3_finalize(statement);
    return error;
}


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
        error = load_waiting(index);
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

static void
bind_word(sqlite3_stmt *statement, int column, uint32_t word)
{
    if (word == 0) {
        (void) sqlite3_bind_null(statement, column);
    } else {
        (void) sqlite3_bind_int64(statement, column, word);
    }
}


static void
bind_number(sqlite3_stmt *statement, int column, int64_t number)
{
    if (number < 0) {
        (void) sqlite3_bind_null(statement, column);
    } else {
        (void) sqlite3_bind_int64(statement, column, number);
    }
}


static int
run(review_index_t *index, sqlite3_stmt *statement)
{
    int result = sqlite3_step(statement);

    (void) sqlite3_reset(statement);
    return result == SQLITE_DONE ? 0 : index_failed(index, index->path);
}


static int
add_entry(review_index_t *index, const row_t *row,
          word_t *const words[ROW_WORDS], const uint64_t *opened)
{
    sqlite3_stmt *statement = index->statements[STATEMENT_ENTRY];
    int column = 1;

    (void) sqlite3_bind_int64(statement, column++, (int64_t) row->number);
    (void) sqlite3_bind_int64(statement, column++, row->time);
    (void) sqlite3_bind_int(statement, column++, row->outcome);
    for (unsigned i = 0; i < ENTRY_WORDS; i++) {
        bind_word(statement, column++, words[i] == NULL ? 0 : words[i]->id);
    }
    bind_number(statement, column++, opened == NULL ? -1 : (int64_t) *opened);
    for (unsigned i = 0; i < ROW_NUMBERS; i++) {
        bind_number(statement, column++, row->numbers[i]);
    }
    (void) sqlite3_bind_blob(statement, column, row->id,
                             row->has_id ? OPENING_ID_SIZE : 0, SQLITE_STATIC);
    return run(index, statement);
}


static int
write_access(review_index_t *index, const access_t *access)
{
    sqlite3_stmt *statement = index->statements[STATEMENT_ACCESS];

    (void) sqlite3_bind_int64(statement, 1, (int64_t) access->number);
    (void) sqlite3_bind_int64(statement, 2, access->time);
    bind_number(statement, 3, access->closed == 0 ? -1 : access->ended);
    bind_word(statement, 4, access->user);
    bind_word(statement, 5, access->facility);
    bind_word(statement, 6, access->address);
    bind_word(statement, 7, access->action);
    bind_word(statement, 8, access->patient);
    bind_word(statement, 9, access->study);
    bind_word(statement, 10, access->purpose);
    bind_word(statement, 11, access->session);
    bind_number(statement, 12, access->requests);
    bind_number(statement, 13, access->bytes);
    bind_number(statement, 14, access->instances);
    bind_number(statement, 15,
                access->closed == 0 ? -1 : (int64_t) access->closed);
    (void) sqlite3_bind_int(statement, 16, access->interrupted);
    return run(index, statement);
}


int
tables_flush(review_index_t *index)
{
    int error = 0;

    for (size_t i = 0; error == 0 && i < index->accesses_count; i++) {
        error = write_access(index, &index->accesses[i]);
    }
    index->accesses_count = 0;
    return error;
}


static uint32_t
word_id(const word_t *word)
{
    return word == NULL ? 0 : word->id;
}


static int
add_access(review_index_t *index, const row_t *row,
           word_t *const words[ROW_WORDS], bool closed)
{
    access_t *access;
    int error;

    if (index->accesses_count == ACCESSES_MAX) {
        error = tables_flush(index);
        if (error < 0) {
            return error;
        }
    }
    access = &index->accesses[index->accesses_count++];
    *access = (access_t){
        .number = row->number,
        .closed = closed ? row->number : 0,
        .time = closed && row->first != 0 ? row->first : row->time,
        .ended = closed ? row->time : 0,
        .user = word_id(words[COLUMN_USER]),
        .facility = word_id(words[COLUMN_FACILITY]),
        .address = word_id(words[COLUMN_ADDRESS]),
        .action = word_id(words[COLUMN_ACTION]),
        .patient = word_id(words[COLUMN_PATIENT]),
        .study = word_id(words[COLUMN_STUDY]),
        .purpose = word_id(words[COLUMN_PURPOSE]),
        .session = word_id(words[COLUMN_SESSION]),
        .requests = row->numbers[COLUMN_REQUESTS],
        .bytes = row->numbers[COLUMN_BYTES],
        .instances = row->numbers[COLUMN_INSTANCES],
        .interrupted = closed && row->interrupted,
    };
    return 0;
}


/* The row of an access that is not in its table yet. */
static access_t *
find_access(review_index_t *index, uint64_t number)
{
    size_t low = 0, high = index->accesses_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (index->accesses[middle].number < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < index->accesses_count && index->accesses[low].number == number
               ? &index->accesses[low]
               : NULL;
}


static int
close_access(review_index_t *index, const row_t *row, uint64_t number,
             uint32_t patient, uint32_t study)
{
    access_t *access = find_access(index, number);
    sqlite3_stmt *statement = index->statements[STATEMENT_CLOSE];

    if (access != NULL) {
        access->closed = row->number;
        access->ended = row->time;
        access->requests = row->numbers[COLUMN_REQUESTS];
        access->bytes = row->numbers[COLUMN_BYTES];
        access->instances = row->numbers[COLUMN_INSTANCES];
        access->interrupted = row->interrupted;
        access->patient = access->patient == 0 ? patient : access->patient;
        access->study = access->study == 0 ? study : access->study;
        return 0;
    }
    (void) sqlite3_bind_int64(statement, 1, (int64_t) number);
    (void) sqlite3_bind_int64(statement, 2, row->time);
    (void) sqlite3_bind_int64(statement, 3, (int64_t) row->number);
    bind_number(statement, 4, row->numbers[COLUMN_REQUESTS]);
    bind_number(statement, 5, row->numbers[COLUMN_BYTES]);
    bind_number(statement, 6, row->numbers[COLUMN_INSTANCES]);
    (void) sqlite3_bind_int(statement, 7, row->interrupted);
    bind_word(statement, 8, patient);
    bind_word(statement, 9, study);
    return run(index, statement);
}


static bool
agrees(uint32_t a, uint32_t b)
{
    return a == 0 || b == 0 || a == b;
}


/*
 * What opens, closes or joins.  A close whose opening is not known, or that
 * tells of another study or patient than it, is an access of its own: nothing
 * that was opened may be missing from the answers.
 */
static int
note_access(review_index_t *index, const row_t *row,
            word_t *const words[ROW_WORDS], uint64_t *number, bool *opened)
{
    uint32_t patient = word_id(words[COLUMN_PATIENT]);
    uint32_t study = word_id(words[COLUMN_STUDY]);
    waiting_t opening = {
        .number = row->number, .patient = patient, .study = study};
    waiting_t *found = row->has_open ? waiting_find(&index->waiting, row->open)
                                     : NULL;
    int error;

    *opened = found != NULL && row->event != EVENT_ACCESS &&
              row->event != EVENT_REQUEST;
    if (*opened) {
        *number = found->number;
    }
    switch (row->event) {
    case EVENT_ACCESS:
    case EVENT_REQUEST:
        error = add_access(index, row, words, false);
        if (error == 0 && row->has_id) {
            memcpy(opening.id, row->id, OPENING_ID_SIZE);
            error = waiting_add(&index->waiting, &opening) ? 0 : -ENOMEM;
        }
        return error;
    case EVENT_ACCESS_END:
    case EVENT_REQUEST_END:
        if (found == NULL || !agrees(found->patient, patient) ||
            !agrees(found->study, study))
        {
            *opened = false;
            return add_access(index, row, words, true);
        }
        error = close_access(index, row, found->number, patient, study);
        waiting_remove(&index->waiting, found);
        return error;
    default:
        return 0;
    }
}


/*
 * Whose study it is.  What an answer of the PACS told counts more than what a
 * request claimed, a later answer more than an earlier one, and among requests
 * the first: nobody can take an access from a patient by asking again under
 * another name.
 */
static int
note_study(review_index_t *index, const row_t *row,
           word_t *const words[ROW_WORDS])
{
    bool learned = row->event == EVENT_PATIENT_LEARNED;
    word_t *study = words[COLUMN_STUDY], *patient = words[COLUMN_PATIENT];
    sqlite3_stmt *statement =
        index->statements[learned ? STATEMENT_LEARNED : STATEMENT_REQUESTED];

    if (study == NULL || patient == NULL || row->outcome != 0 ||
        (!learned && row->event != EVENT_ACCESS &&
         row->event != EVENT_ACCESS_END && row->event != EVENT_REQUEST &&
         row->event != EVENT_REQUEST_END))
    {
        return 0;
    }
    if (!learned && study->patient != 0) {
        return 0; /* known: a request changes nothing */
    }
    if (learned && study->learned && study->patient == patient->id &&
        words[COLUMN_ISSUER] == NULL && words[COLUMN_NAME] == NULL)
    {
        return 0;
    }
    bind_word(statement, 1, study->id);
    bind_word(statement, 2, patient->id);
    bind_word(statement, 3, word_id(words[COLUMN_ISSUER]));
    bind_word(statement, 4, word_id(words[COLUMN_NAME]));
    (void) sqlite3_bind_int64(statement, 5, (int64_t) row->number);
    /* of a request that came second the patient is not the one in the table,
     * but that there is one is all that matters then */
    study->patient = patient->id;
    study->learned = learned;
    return run(index, statement);
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
    return run(index, statement);
}


int
tables_add(review_index_t *index, const row_t *row)
{
    word_t *words[ROW_WORDS] = {NULL};
    uint64_t number = 0;
    bool opened = false;
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
    if (error == 0) {
        error = note_access(index, row, words, &number, &opened);
    }
    if (error == 0) {
        error = add_entry(index, row, words, opened ? &number : NULL);
    }
    if (error == 0) {
        error = note_study(index, row, words);
    }
    if (error == 0) {
        error = note_day(index, row);
    }
    if (error == -EIO && index->error[0] == '\0') {
        (void) index_failed(index, index->path);
    }
    return error;
}
