/* The entries that may match, by the index; the trail's own lines decide. */

#define _GNU_SOURCE
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#include "audit_resolve.h"

#define SQL_SIZE 2048

static const struct {
    record_field_t field;
    const char *column;
} columns[] = {
    {RECORD_EVENT, "event"},     {RECORD_REASON, "reason"},
    {RECORD_USER, "user"},       {RECORD_FACILITY, "facility"},
    {RECORD_ADDRESS, "address"}, {RECORD_ACTION, "action"},
    {RECORD_SESSION, "session"}, {RECORD_STUDY, "study"},
};

#define COLUMNS (sizeof(columns) / sizeof(columns[0]))

static int
add(candidates_t *candidates, uint64_t number)
{
    if (candidates->count == candidates->capacity) {
        size_t capacity = candidates->capacity == 0 ? 1024
                                                    : 2 * candidates->capacity;
        uint64_t *numbers = reallocarray(candidates->numbers, capacity,
                                         sizeof(*numbers));

        if (numbers == NULL) {
            return -ENOMEM;
        }
        candidates->numbers = numbers;
        candidates->capacity = capacity;
    }
    candidates->numbers[candidates->count++] = number;
    return 0;
}


static int
add_all(candidates_t *candidates, sqlite3_stmt *statement)
{
    int result, error = 0;

    while (error == 0 && (result = sqlite3_step(statement)) != SQLITE_DONE) {
        error = result == SQLITE_ROW
                    ? add(candidates,
                          (uint64_t) sqlite3_column_int64(statement, 0))
                    : -EIO;
    }
    (void) sqlite3_finalize(statement);
    return error;
}


/* A query with one text. */
static int
add_by(candidates_t *candidates, review_index_t *index, const char *sql,
       slice_t text)
{
    sqlite3_stmt *statement = NULL;

    if (sqlite3_prepare_v2(index_handle(index), sql, -1, &statement, NULL) !=
        SQLITE_OK)
    {
        return -EIO;
    }
    (void) sqlite3_bind_text(statement, 1, text.data, (int) text.size,
                             SQLITE_STATIC);
    return add_all(candidates, statement);
}


/* An access, its close, and what is in `entry` alone. */
#define NUMBERS_BY(column, words)                                              \
    "SELECT number FROM access WHERE " column " IN " words                     \
    " UNION ALL SELECT closed FROM access WHERE closed IS NOT NULL "           \
    "AND " column " IN " words                                                 \
    " UNION ALL SELECT number FROM entry WHERE " column " IN " words           \
    " AND " column " IS NOT NULL AND event > 4"

int
candidates_of_study(candidates_t *candidates, review_index_t *index,
                    slice_t study)
{
    int error = add_by(
        candidates, index,
        "WITH w AS (SELECT id FROM word WHERE text = ?) " NUMBERS_BY(
            "study", "(SELECT id FROM w)"),
        study);

    /* Orthanc's id of a patient is learned as studies are */
    return error != 0
               ? error
               : add_by(candidates, index,
                        "WITH w AS (SELECT id FROM word WHERE text = "
                        "?) " NUMBERS_BY("patient", "(SELECT id FROM w)"),
                        study);
}


int
candidates_of_patient(candidates_t *candidates, review_index_t *index,
                      slice_t patient)
{
    int error = add_by(
        candidates, index,
        "WITH w AS (SELECT id FROM word WHERE text = ?) " NUMBERS_BY(
            "patient", "(SELECT id FROM w)"),
        patient);

    if (error == 0) {
        error = add_by(candidates, index,
                       "WITH w AS (SELECT study FROM study WHERE patient = "
                       "(SELECT id FROM word WHERE text = ?)) " NUMBERS_BY(
                           "study", "(SELECT study FROM w)"),
                       patient);
    }
    /* what named the patient by an id of Orthanc's */
    if (error == 0) {
        error = add_by(candidates, index,
                       "WITH w AS (SELECT study FROM study WHERE patient = "
                       "(SELECT id FROM word WHERE text = ?)) " NUMBERS_BY(
                           "patient", "(SELECT study FROM w)"),
                       patient);
    }
    return error;
}


static const char *
column_of(record_field_t field)
{
    for (size_t i = 0; i < COLUMNS; i++) {
        if (columns[i].field == field) {
            return columns[i].column;
        }
    }
    return NULL;
}


/* Heartbeats are not in the index; nor does it help with a time alone, which is
 * found by halving. */
bool
candidates_help(const filter_t *filter)
{
    if (filter->heartbeats) {
        return false;
    }
    for (unsigned i = 0; i < filter->count; i++) {
        if (column_of(filter->terms[i].field) != NULL) {
            return true;
        }
    }
    return filter->failures;
}


int
candidates_of_filter(candidates_t *candidates, review_index_t *index,
                     const filter_t *filter, uint64_t from, uint64_t to)
{
    sqlite3_stmt *statement = NULL;
    char sql[SQL_SIZE];
    int size;

    for (unsigned i = 0; i < filter->count; i++) {
        if (filter->terms[i].field == RECORD_STUDY) {
            return candidates_of_study(candidates, index,
                                       filter->terms[i].value);
        }
    }
    size = snprintf(sql, sizeof(sql),
                    "SELECT number FROM entry WHERE number >= %lld AND "
                    "number < %lld%s",
                    (long long) from,
                    to > INT64_MAX ? (long long) INT64_MAX : (long long) to,
                    filter->failures ? " AND outcome <> 0" : "");
    for (unsigned i = 0; i < filter->count; i++) {
        const char *column = column_of(filter->terms[i].field);

        if (column != NULL) {
            size += snprintf(sql + size, sizeof(sql) - (size_t) size,
                             " AND %s = (SELECT id FROM word WHERE text = ?%u)",
                             column, i + 1);
        }
    }
    if (sqlite3_prepare_v2(index_handle(index), sql, -1, &statement, NULL) !=
        SQLITE_OK)
    {
        return -EIO;
    }
    for (unsigned i = 0; i < filter->count; i++) {
        if (column_of(filter->terms[i].field) != NULL) {
            (void) sqlite3_bind_text(
                statement, (int) i + 1, filter->terms[i].value.data,
                (int) filter->terms[i].value.size, SQLITE_STATIC);
        }
    }
    return add_all(candidates, statement);
}


static int
compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

    return x < y ? -1 : x > y;
}


void
candidates_sort(candidates_t *candidates)
{
    size_t count = 0;

    if (candidates->count == 0) {
        return;
    }
    qsort(candidates->numbers, candidates->count, sizeof(*candidates->numbers),
          compare);
    for (size_t i = 0; i < candidates->count; i++) {
        if (count == 0 ||
            candidates->numbers[count - 1] != candidates->numbers[i]) {
            candidates->numbers[count++] = candidates->numbers[i];
        }
    }
    candidates->count = count;
}


void
candidates_free(candidates_t *candidates)
{
    free(candidates->numbers);
    *candidates = (candidates_t){0};
}
