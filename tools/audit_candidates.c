/* The entries that may match, by the index; the trail's own lines decide. */

#define _GNU_SOURCE
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#include "audit_resolve.h"

#define SQL_SIZE 4096

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


/* An access, its close, and what is in `entry`. */
#define NUMBERS_BY(column, words)                                              \
    "SELECT number FROM access WHERE " column " IN " words                     \
    " UNION ALL SELECT closed FROM access WHERE closed IS NOT NULL "           \
    "AND " column " IN " words                                                 \
    " UNION ALL SELECT number FROM entry WHERE " column " IN " words           \
    " AND " column " IS NOT NULL"

int
candidates_of_study(candidates_t *candidates, review_index_t *index,
                    slice_t study)
{
    int error = add_by(
        candidates, index,
        "WITH i AS (SELECT id FROM word WHERE text = ?),"
        " p AS (SELECT part FROM part WHERE whole IN (SELECT id FROM i)),"
        " w AS (SELECT id FROM i UNION ALL SELECT part FROM p UNION ALL "
        "SELECT part FROM part WHERE whole IN (SELECT part FROM "
        "p)) " NUMBERS_BY("study", "(SELECT id FROM w)"),
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


/* It does not help with a time alone, which is found by halving. */
bool
candidates_help(const filter_t *filter)
{
    for (unsigned i = 0; i < filter->count; i++) {
        if (column_of(filter->terms[i].field) != NULL) {
            return true;
        }
    }
    return filter->failures;
}


/* Where a record may be, and what its columns are called there. */
typedef struct {
    const char *table;
    const char *number;
    int64_t before; /* rows may be so many entries before `number` */
    const char *also;
    const char *event;
    const char *reason;
    const char *outcome;
} part_t;

static const part_t parts[] = {
    {"entry", "number", 0, "", "event", "reason", "outcome"},
    {"access", "number", 0, "", "event", "reason", "outcome"},
    /* what closes later than that is in `entry` */
    {"access", "closed", INDEX_CLOSE_DISTANCE, " AND closed > number",
     "event + 1", "end_reason", "end_outcome"},
};

static int
add_part(char sql[SQL_SIZE], int size, const part_t *part,
         const filter_t *filter, uint64_t from, uint64_t to)
{
    int64_t first = from > INT64_MAX ? INT64_MAX : (int64_t) from;
    int64_t end = to > INT64_MAX ? INT64_MAX : (int64_t) to;

    size += snprintf(sql + size, SQL_SIZE - (size_t) size,
                     "%sSELECT %s FROM %s WHERE number >= %lld AND %s >= %lld "
                     "AND %s < %lld%s",
                     size == 0 ? "" : " UNION ALL ", part->number, part->table,
                     (long long) (first - part->before), part->number,
                     (long long) first, part->number, (long long) end,
                     part->also);
    if (filter->failures) {
        size += snprintf(sql + size, SQL_SIZE - (size_t) size, " AND %s <> 0",
                         part->outcome);
    }
    for (unsigned i = 0; i < filter->count; i++) {
        record_field_t field = filter->terms[i].field;
        const char *column = field == RECORD_EVENT    ? part->event
                             : field == RECORD_REASON ? part->reason
                                                      : column_of(field);

        if (column != NULL) {
            size += snprintf(sql + size, SQL_SIZE - (size_t) size,
                             " AND %s = (SELECT id FROM word WHERE text = ?%u)",
                             column, i + 1);
        }
    }
    return size;
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
    size = 0;
    for (size_t part = 0; part < sizeof(parts) / sizeof(parts[0]); part++) {
        size = add_part(sql, size, &parts[part], filter, from, to);
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
