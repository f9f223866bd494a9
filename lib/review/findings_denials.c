/* Bursts of denials: refused requests, wrong codes, codes not looked at. */

#include "findings_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct {
    int64_t time_ms;
    uint64_t count;
    uint64_t number;
} denial_t;

/* Who is denied: a user, or an address where none is named. */
typedef struct {
    uint64_t key;
    denial_t *window;
    size_t count, capacity;
    uint64_t sum;
    growing_t growing;
} denied_t;

typedef struct {
    run_t *run;
    table_t table;
    denied_t **list;
    size_t list_count, list_capacity;
} denials_t;

typedef struct {
    denial_t denial;
    uint32_t user, facility, address;
    slice_t reason;
} row_t;

#define OF_ADDRESS (UINT64_C(1) << 32) /* beside the word, in the key */

static denied_t *
denied_of(denials_t *denials, const row_t *row)
{
    uint64_t key = row->user != 0 ? row->user : OF_ADDRESS | row->address;
    denied_t *denied = table_get(&denials->table, key);

    if (denied == NULL || denied->key != 0) {
        return denied;
    }
    if (denials->list_count == denials->list_capacity) {
        size_t capacity = denials->list_capacity == 0
                              ? 64
                              : denials->list_capacity * 2;
        denied_t **list = realloc(denials->list, capacity * sizeof(*list));

        if (list == NULL) {
            return NULL;
        }
        denials->list = list;
        denials->list_capacity = capacity;
    }
    denials->list[denials->list_count++] = denied;
    denied->key = key;
    return denied;
}

static int
window_add(denied_t *denied, int64_t window_ms, const denial_t *denial)
{
    size_t gone = 0;

    while (gone < denied->count &&
           denied->window[gone].time_ms <= denial->time_ms - window_ms)
    {
        denied->sum -= denied->window[gone].count;
        gone++;
    }
    if (gone > 0) {
        denied->count -= gone;
        memmove(denied->window, denied->window + gone,
                denied->count * sizeof(*denied->window));
    }
    if (denied->count == denied->capacity) {
        size_t capacity = denied->capacity == 0 ? 8 : denied->capacity * 2;
        denial_t *window = realloc(denied->window, capacity * sizeof(*window));

        if (window == NULL) {
            return -ENOMEM;
        }
        denied->window = window;
        denied->capacity = capacity;
    }
    denied->window[denied->count++] = *denial;
    denied->sum += denial->count;
    return 0;
}

static int
end_growing(denials_t *denials, denied_t *denied)
{
    growing_t *growing = &denied->growing;
    run_t *run = denials->run;
    slice_t name = run_word(run, growing->user != 0 ? growing->user
                                                    : growing->address);
    char key[300];

    (void) snprintf(key, sizeof(key), "%s %.*s",
                    growing->user != 0 ? "user" : "address", (int) name.size,
                    name.data);
    return run_add(run, FINDING_DENIALS, growing, key);
}

static uint64_t
limit_of(const findings_settings_t *settings, const row_t *row)
{
    return row->user != 0       ? settings->denials.minimum
           : row->facility != 0 ? settings->denials.place
                                : settings->denials.strangers;
}

static int
look_at(denials_t *denials, const row_t *row)
{
    run_t *run = denials->run;
    denied_t *denied = denied_of(denials, row);
    growing_t *growing;
    uint64_t limit = limit_of(run->settings, row);
    int32_t day = day_of(run_local(run, row->denial.time_ms));
    int error;

    if (denied == NULL) {
        return -ENOMEM;
    }
    growing = &denied->growing;
    if (growing->count > 0 && growing->day < day) {
        error = end_growing(denials, denied);
        if (error < 0) {
            return error;
        }
    }
    error = window_add(denied, (int64_t) run->settings->denials.window * 1000,
                       &row->denial);
    if (error < 0 || denied->sum < limit) {
        return error;
    }
    if (growing->count > 0) {
        growing_add(growing, row->denial.time_ms, row->denial.count,
                    row->denial.number);
        return 0;
    }
    growing->day = day;
    growing->user = row->user;
    growing->facility = row->facility;
    growing->address = row->address;
    growing->limit = limit;
    growing->severity = row->user != 0 ? FINDING_MEDIUM : FINDING_LOW;
    (void) snprintf(growing->detail, sizeof(growing->detail), "%.*s",
                    (int) row->reason.size, row->reason.data);
    for (size_t i = 0; i < denied->count; i++) {
        growing_add(growing, denied->window[i].time_ms, denied->window[i].count,
                    denied->window[i].number);
    }
    return 0;
}

static const char sql[] =
    "SELECT e.number, e.time, max(coalesce(e.count, 1), 1), e.user,"
    " e.facility, e.address, r.text FROM entry e"
    " LEFT JOIN word r ON r.id = e.reason"
    " WHERE e.event > 4 AND e.event IN (SELECT id FROM word WHERE text IN"
    "  ('denied', 'sign-in', 'code-alert')) AND e.outcome != 0"
    " AND (r.text IS NULL OR r.text != 'code-used-twice')"
    " AND e.number >= ?1 AND e.time >= ?2 AND e.time < ?3"
    " ORDER BY e.number";

static int
walk(denials_t *denials)
{
    _cleanup_(cleanup_statement) sqlite3_stmt *statement = NULL;
    run_t *run = denials->run;
    int result, error = run_prepare(run, sql, &statement);

    if (error < 0) {
        return error;
    }
    /* from a day before: a burst over midnight is found by either day */
    (void) sqlite3_bind_int64(statement, 1, (sqlite3_int64) run->first);
    (void) sqlite3_bind_int64(statement, 2, run->from_ms - DAY_MS);
    (void) sqlite3_bind_int64(statement, 3, run->to_ms);
    while ((result = sqlite3_step(statement)) == SQLITE_ROW) {
        row_t row = {
            .denial = {.time_ms = sqlite3_column_int64(statement, 1),
                       .count = (uint64_t) sqlite3_column_int64(statement, 2),
                       .number = (uint64_t) sqlite3_column_int64(statement, 0)},
            .user = (uint32_t) sqlite3_column_int64(statement, 3),
            .facility = (uint32_t) sqlite3_column_int64(statement, 4),
            .address = (uint32_t) sqlite3_column_int64(statement, 5),
            .reason = {(const char *) sqlite3_column_text(statement, 6),
                       (size_t) sqlite3_column_bytes(statement, 6)},
        };

        error = look_at(denials, &row);
        if (error < 0) {
            return error;
        }
    }
    if (result != SQLITE_DONE) {
        return run_failed(run);
    }
    for (size_t i = 0; error == 0 && i < denials->list_count; i++) {
        error = end_growing(denials, denials->list[i]);
    }
    return error;
}

int
findings_denials(run_t *run)
{
    denials_t denials = {
        .run = run,
        .table = {.value_size = sizeof(denied_t), .memory = &run->memory},
    };
    int error = run->settings->on[FINDING_DENIALS] ? walk(&denials) : 0;

    for (size_t i = 0; i < denials.list_count; i++) {
        free(denials.list[i]->window);
    }
    free(denials.list);
    table_free(&denials.table);
    return error;
}
