/* Whose study it is. */

#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>

#include "index_internal.h"

static uint32_t
id_of(const word_t *word)
{
    return word == NULL ? 0 : word->id;
}


int
parts_load(review_index_t *index)
{
    sqlite3_stmt *statement = NULL;

    if (sqlite3_prepare_v2(index->database, "SELECT 1 FROM part LIMIT 1", -1,
                           &statement, NULL) != SQLITE_OK)
    {
        return index_failed(index, index->path);
    }
    index->any_parts = sqlite3_step(statement) == SQLITE_ROW;
    (void) sqlite3_finalize(statement);
    return 0;
}


/* What is a part of `whole` is of the same patient. */
static int
tell_parts(review_index_t *index, uint32_t whole)
{
    sqlite3_stmt *statement = index->statements[STATEMENT_PARTS];

    if (!index->any_parts) {
        return 0;
    }
    bind_word(statement, 1, whole);
    return statement_run(index, statement);
}


static int
note_part(review_index_t *index, const word_t *part, const word_t *whole)
{
    sqlite3_stmt *statement = index->statements[STATEMENT_PART];
    int error;

    if (part == NULL || whole == NULL || part == whole) {
        return 0;
    }
    bind_word(statement, 1, part->id);
    bind_word(statement, 2, whole->id);
    error = statement_run(index, statement);
    index->any_parts = true;
    return error < 0 ? error : tell_parts(index, whole->id);
}


/* The words stay valid: a row has fewer than a generation holds. */
static int
note_parts(review_index_t *index, word_t *const words[ROW_WORDS])
{
    const word_t *series = words[COLUMN_SERIES];
    int error = note_part(index, series, words[COLUMN_STUDY]);

    return error < 0 ? error
                     : note_part(index, words[COLUMN_INSTANCE],
                                 series != NULL ? series : words[COLUMN_STUDY]);
}


static bool
is_access(record_event_t event)
{
    return event == EVENT_ACCESS || event == EVENT_ACCESS_END ||
           event == EVENT_REQUEST || event == EVENT_REQUEST_END;
}


/*
 * What an answer of the PACS told counts more than what a request claimed, a
 * later answer more than an earlier one, and among requests the first: nobody
 * can take an access from a patient by asking again under another name.
 */
int
studies_note(review_index_t *index, const row_t *row,
             word_t *const words[ROW_WORDS])
{
    bool learned = row->event == EVENT_PATIENT_LEARNED;
    word_t *study = words[COLUMN_STUDY], *patient = words[COLUMN_PATIENT];
    sqlite3_stmt *statement =
        index->statements[learned ? STATEMENT_LEARNED : STATEMENT_REQUESTED];
    int error;

    if (row->outcome != 0 || (!learned && !is_access(row->event))) {
        return 0;
    }
    if (learned && patient == NULL) {
        return note_parts(index, words);
    }
    if (study == NULL || patient == NULL) {
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
    bind_word(statement, 3, id_of(words[COLUMN_ISSUER]));
    bind_word(statement, 4, id_of(words[COLUMN_NAME]));
    (void) sqlite3_bind_int64(statement, 5, (int64_t) row->number);
    /* of a request that came second the patient is not the one in the table,
     * but that there is one is all that matters then */
    study->patient = patient->id;
    study->learned = learned;
    error = statement_run(index, statement);
    return error < 0 ? error : tell_parts(index, study->id);
}
