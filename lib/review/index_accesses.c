/* Openings and closes: one row for both. */

#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>

#include "index_internal.h"

#define NOTHING UINT64_MAX

/* What an opening says of itself besides patient and study; with its close it
 * shares whether it is an access or a request (words 1 and 2, 3 and 4). */
static uint32_t
others_of(const uint32_t words[ENTRY_WORDS])
{
    static const uint8_t columns[] = {
        COLUMN_USER,   COLUMN_FACILITY, COLUMN_ADDRESS, COLUMN_SERVICE,
        COLUMN_ACTION, COLUMN_SESSION,  COLUMN_PURPOSE};
    uint64_t hash = (words[COLUMN_EVENT] + 1) / 2;

    for (size_t i = 0; i < sizeof(columns); i++) {
        hash = (hash ^ words[columns[i]]) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 32;
    }
    return (uint32_t) hash;
}


int
waiting_load(review_index_t *index)
{
    static const struct {
        uint8_t word;
        int column; /* of the query */
    } columns[] = {{COLUMN_USER, 4},     {COLUMN_FACILITY, 5},
                   {COLUMN_ADDRESS, 6},  {COLUMN_SERVICE, 7},
                   {COLUMN_ACTION, 8},   {COLUMN_SESSION, 9},
                   {COLUMN_PURPOSE, 10}, {COLUMN_EVENT, 11}};
    uint32_t words[ENTRY_WORDS] = {0};
    sqlite3_stmt *statement = NULL;
    waiting_t opening = {.used = false};
    int result, error = 0;

    if (sqlite3_prepare_v2(index->database,
                           "SELECT number, record_id, patient, study, user, "
                           "facility, address, service, action, session, "
                           "purpose, event FROM access WHERE closed IS NULL",
                           -1, &statement, NULL) != SQLITE_OK)
    {
        return index_failed(index, index->path);
    }
    while ((result = sqlite3_step(statement)) == SQLITE_ROW) {
        if (sqlite3_column_bytes(statement, 1) != OPENING_ID_SIZE) {
            continue;
        }
        for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
            words[columns[i].word] = (uint32_t) sqlite3_column_int64(
                statement, columns[i].column);
        }
        opening.number = (uint64_t) sqlite3_column_int64(statement, 0);
        memcpy(opening.id, sqlite3_column_blob(statement, 1), OPENING_ID_SIZE);
        opening.patient = (uint32_t) sqlite3_column_int64(statement, 2);
        opening.study = (uint32_t) sqlite3_column_int64(statement, 3);
        opening.others = others_of(words);
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


/* ---- Rows ----------------------------------------------------------------*/

static int
write_access(review_index_t *index, const access_t *access)
{
    sqlite3_stmt *statement = index->statements[STATEMENT_ACCESS];
    bool closed = access->closed != 0;
    int column = 1;

    (void) sqlite3_bind_int64(statement, column++, (int64_t) access->number);
    (void) sqlite3_bind_int64(statement, column++, access->time);
    (void) sqlite3_bind_int(statement, column++, access->outcome);
    for (unsigned i = 0; i < ENTRY_WORDS; i++) {
        bind_word(statement, column++, access->words[i]);
    }
    bind_number(statement, column++, closed ? (int64_t) access->closed : -1);
    bind_number(statement, column++, closed ? access->ended : -1);
    bind_number(statement, column++, closed ? access->end_outcome : -1);
    bind_word(statement, column++, access->end_reason);
    bind_number(statement, column++, access->requests);
    bind_number(statement, column++, access->bytes);
    bind_number(statement, column++, access->instances);
    bind_number(statement, column++, access->duration);
    (void) sqlite3_bind_int(statement, column++, access->interrupted);
    (void) sqlite3_bind_blob(statement, column, access->id,
                             access->has_id ? OPENING_ID_SIZE : 0,
                             SQLITE_STATIC);
    return statement_run(index, statement);
}


int
accesses_flush(review_index_t *index)
{
    int error = 0;

    for (size_t i = 0; error == 0 && i < index->accesses_count; i++) {
        error = write_access(index, &index->accesses[i]);
    }
    index->accesses_count = 0;
    return error;
}


/* How it ended. */
static void
put_end(access_t *access, const row_t *row, uint32_t reason)
{
    access->closed = row->number;
    access->ended = row->time;
    access->end_outcome = row->outcome;
    access->end_reason = reason;
    access->requests = row->numbers[COLUMN_REQUESTS];
    access->bytes = row->numbers[COLUMN_BYTES];
    access->instances = row->numbers[COLUMN_INSTANCES];
    access->duration = row->numbers[COLUMN_DURATION];
    access->interrupted = row->interrupted;
}


static int
add_access(review_index_t *index, const row_t *row,
           const uint32_t words[ENTRY_WORDS], bool closed)
{
    access_t *access;
    int error;

    if (index->accesses_count == ACCESSES_MAX) {
        error = accesses_flush(index);
        if (error < 0) {
            return error;
        }
    }
    access = &index->accesses[index->accesses_count++];
    access->number = row->number;
    memcpy(access->words, words, sizeof(access->words));
    access->outcome = row->outcome;
    access->has_id = row->has_id;
    memcpy(access->id, row->id, OPENING_ID_SIZE);
    put_end(access, row, closed ? words[COLUMN_REASON] : 0);
    access->time = closed && row->first != 0 ? row->first : row->time;
    if (!closed) {
        access->closed = 0;
        access->interrupted = false;
    }
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


static void
put_missing(uint32_t *word, uint32_t said)
{
    *word = *word == 0 ? said : *word;
}


static int
close_access(review_index_t *index, const row_t *row, uint64_t number,
             const uint32_t words[ENTRY_WORDS])
{
    access_t *access = find_access(index, number);
    sqlite3_stmt *statement = index->statements[STATEMENT_CLOSE];

    if (access != NULL) {
        put_end(access, row, words[COLUMN_REASON]);
        put_missing(&access->words[COLUMN_PATIENT], words[COLUMN_PATIENT]);
        put_missing(&access->words[COLUMN_STUDY], words[COLUMN_STUDY]);
        return 0;
    }
    (void) sqlite3_bind_int64(statement, 1, (int64_t) number);
    (void) sqlite3_bind_int64(statement, 2, row->time);
    (void) sqlite3_bind_int64(statement, 3, (int64_t) row->number);
    bind_number(statement, 4, row->numbers[COLUMN_REQUESTS]);
    bind_number(statement, 5, row->numbers[COLUMN_BYTES]);
    bind_number(statement, 6, row->numbers[COLUMN_INSTANCES]);
    (void) sqlite3_bind_int(statement, 7, row->interrupted);
    bind_word(statement, 8, words[COLUMN_PATIENT]);
    bind_word(statement, 9, words[COLUMN_STUDY]);
    (void) sqlite3_bind_int(statement, 10, row->outcome);
    bind_word(statement, 11, words[COLUMN_REASON]);
    bind_number(statement, 12, row->numbers[COLUMN_DURATION]);
    return statement_run(index, statement);
}


static bool
agrees(uint32_t a, uint32_t b)
{
    return a == 0 || b == 0 || a == b;
}


/*
 * A close whose opening is not known, or that tells of another study or patient
 * than it, is an access of its own: nothing that was opened may be missing from
 * the answers.  One that differs in another word, or comes late, is a row of
 * `entry`, too: whoever asks for that word, or from there on, finds it.
 */
static int
note_close(review_index_t *index, const row_t *row,
           const uint32_t words[ENTRY_WORDS], waiting_t *found, bool *own,
           uint64_t *opened)
{
    int error;

    if (found == NULL || !agrees(found->patient, words[COLUMN_PATIENT]) ||
        !agrees(found->study, words[COLUMN_STUDY]))
    {
        return add_access(index, row, words, true);
    }
    *opened = found->number;
    *own = found->others != others_of(words) ||
           row->number - found->number >= INDEX_CLOSE_DISTANCE;
    error = close_access(index, row, found->number, words);
    waiting_remove(&index->waiting, found);
    return error;
}


int
accesses_note(review_index_t *index, const row_t *row,
              const uint32_t words[ENTRY_WORDS], bool *own, uint64_t *opened)
{
    waiting_t opening = {.number = row->number,
                         .patient = words[COLUMN_PATIENT],
                         .study = words[COLUMN_STUDY]};
    waiting_t *found = row->has_open ? waiting_find(&index->waiting, row->open)
                                     : NULL;
    int error;

    *own = false;
    *opened = NOTHING;
    switch (row->event) {
    case EVENT_ACCESS:
    case EVENT_REQUEST:
        error = add_access(index, row, words, false);
        if (error == 0 && row->has_id) {
            memcpy(opening.id, row->id, OPENING_ID_SIZE);
            opening.others = others_of(words);
            error = waiting_add(&index->waiting, &opening) ? 0 : -ENOMEM;
        }
        return error;
    case EVENT_ACCESS_END:
    case EVENT_REQUEST_END:
        return note_close(index, row, words, found, own, opened);
    default:
        *own = true;
        *opened = found == NULL ? NOTHING : found->number;
        return 0;
    }
}
