/* Between the findings*.c files alone. */

#ifndef SEKISHO_REVIEW_FINDINGS_INTERNAL_H
#define SEKISHO_REVIEW_FINDINGS_INTERNAL_H

#include <sqlite3.h>

#include "findings.h"
#include "reviews.h"

#define DAY_MS INT64_C(86400000)

/* ---- Memory that goes at the end of a run (findings_memory.c) ------------ */

typedef struct block_s block_t;

typedef struct {
    block_t *blocks;
} memory_t;

void *memory_take(memory_t *memory, size_t size); /* zeroed; NULL: no more */
void memory_free(memory_t *memory);
/* A copy with a NUL behind its end; data NULL: out of memory. */
slice_t memory_copy(memory_t *memory, slice_t text);

/* A table from numbers to things of one size, that are made zeroed and never
 * move. */
typedef struct {
    uint64_t key;
    void *value;
} slot_t;

typedef struct {
    slot_t *slots;
    size_t size; /* slots, a power of 2 */
    size_t count;
    size_t value_size;
    memory_t *memory;
} table_t;

/* NULL: out of memory. */
void *table_get(table_t *table, uint64_t key);
void table_free(table_t *table); /* its slots; values are the memory's */

/* ---- A run --------------------------------------------------------------- */

/* A finding that still grows: one day of one rule and somebody. */
typedef struct {
    int32_t day;
    uint64_t count;
    int64_t from_ms, to_ms;
    uint32_t user, facility, address, patient, name; /* words */
    uint32_t other_facility, other_address;
    uint64_t entries[FINDING_ENTRIES_MAX];
    unsigned entries_count;
    uint64_t usual, limit;
    char detail[64];
    finding_severity_t severity;
} growing_t;

typedef struct {
    const findings_input_t *input;
    const findings_settings_t *settings;
    sqlite3 *db;
    int64_t from_ms, to_ms;
    int64_t history_ms; /* the habit begins here */
    uint64_t first;     /* entry at or before history_ms */
    memory_t memory;
    table_t words; /* slice_t by id */
    sqlite3_stmt *word;
    finding_t *list;
    size_t count, capacity;
    findings_outcome_t outcome;
    reviews_t reviews;
    char *error; /* 256 */
    /* local time, kept for a quarter of an hour */
    int64_t quarter;
    int64_t offset_ms;
} run_t;

int run_error(run_t *run, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* -EIO with SQLite's reason. */
int run_failed(run_t *run);

int run_prepare(run_t *run, const char *sql, sqlite3_stmt **statement);

static inline void
cleanup_statement(sqlite3_stmt **statement)
{
    (void) sqlite3_finalize(*statement);
}

/* Text of a word; "" for 0.  Holds for the run. */
slice_t run_word(run_t *run, uint32_t id);

/* Milliseconds of the wall clock, as if they were UTC. */
int64_t run_local(run_t *run, int64_t unix_ms);

static inline int32_t
day_of(int64_t local_ms)
{
    return (int32_t) (local_ms >= 0 ? local_ms / DAY_MS
                                    : (local_ms - DAY_MS + 1) / DAY_MS);
}

/* Takes another event into what grows. */
void growing_add(growing_t *growing, int64_t time_ms, uint64_t count,
                 uint64_t number);

/*
 * Ends it: a finding if it touches the period.  `key` (who, or a number) and
 * the day make its id.  Zeroes `growing`.  0 or -ENOMEM.
 */
int run_add(run_t *run, finding_rule_t rule, growing_t *growing,
            const char *key);

/* ---- Rules --------------------------------------------------------------- */

/* Those about accesses and habits (findings_pass.c). */
int findings_pass(run_t *run);

/* Whether a moment is outside of a facility's hours by the policy: 1, 0, or -1
 * where that says nothing (findings_hours.c). */
int policy_off_hours(const policy_image_t *policy, uint32_t facility,
                     int64_t unix_ms);

/* Days on which a user or facility was active, and in which hours. */
typedef struct {
    int32_t day;
    uint32_t hours; /* a bit each */
    uint32_t count; /* accesses */
} habit_day_t;

#define HABIT_DAYS_MAX 400

typedef struct {
    habit_day_t *days; /* a ring of history_days */
    int32_t first_day;
    bool begun;
    /* the usual hours, as of one day */
    bool asked;
    int32_t asked_day;
    uint32_t usual;
} habit_t;

int habit_note(run_t *run, habit_t *habit, int32_t day, unsigned hour,
               uint32_t count);
/* Whether so many days of habit lie before `day`. */
bool habit_known(const run_t *run, const habit_t *habit, int32_t day);
/* Whether somebody was hardly ever there in that hour of such days: weekdays,
 * Saturdays, Sundays; `any_day`: of all days. */
bool habit_unusual(run_t *run, habit_t *habit, int32_t day, unsigned hour,
                   bool any_day);
/* Median of the active days before `day` and the limit above which a day is
 * far from it; false: too few days. */
bool habit_volume(run_t *run, const habit_t *habit, int32_t day,
                  uint64_t *median, uint64_t *limit);

/* Those about single events (findings_events.c). */
int findings_events(run_t *run);

/* Bursts of denials (findings_denials.c). */
int findings_denials(run_t *run);

/* Whether a name of a patient is the user's (findings_names.c). */
bool names_same(slice_t user, slice_t name, bool family);

#endif
