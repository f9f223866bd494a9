/* The rules about single events: codes used twice, emergencies, terminals that
 * were not wiped, and holes in the trail. */

#include "findings_internal.h"

#include <stdio.h>

/*
 * Each query gives number, time, user, facility, address, detail, count, in the
 * order of who and when.  ?1 first entry, ?2 from, ?3 to, ?4 the rule's own.
 */
typedef struct {
    finding_rule_t rule;
    finding_severity_t severity;
    bool each; /* an event is a finding, not a day */
    const char *sql;
} query_t;

#define COLUMNS                                                                \
    "SELECT e.number, e.time, e.user, e.facility, e.address, r.text,"          \
    " max(coalesce(e.count, 1), 1) FROM entry e"                               \
    " LEFT JOIN word r ON r.id = e.reason WHERE e.event > 4 AND "
#define IN_TIME                                                                \
    " AND e.number >= ?1 AND e.time >= ?2 AND e.time < ?3 AND ?4 >= 0"
#define OF_EVENT(names)                                                        \
    "e.event IN (SELECT id FROM word WHERE text IN (" names "))"
#define BY_USER " ORDER BY e.user, e.address, e.number"

static const query_t queries[] = {
    {FINDING_CODE_USED_TWICE, FINDING_HIGH, false,
     COLUMNS OF_EVENT(
         "'code-alert', 'sign-in'") " AND r.text = 'code-used-twice'" IN_TIME
         BY_USER},
    {FINDING_EMERGENCY, FINDING_HIGH, true,
     COLUMNS OF_EVENT("'emergency-on'") IN_TIME " ORDER BY e.number"},
    /* what could not be removed, or not looked at */
    {FINDING_NOT_WIPED, FINDING_MEDIUM, false,
     COLUMNS OF_EVENT("'wiped'") " AND e.outcome != 0" IN_TIME BY_USER},
    /* The same event may be told again and again: a day is one finding.  The
     * daemon's own number gaps, cut tails, unrecorded answers and recording
     * that was switched off are all holes. */
    {FINDING_GAP, FINDING_HIGH, false,
     "SELECT e.number, e.time, NULL, NULL, NULL, w.text,"
     " max(coalesce(e.count, 1), 1) FROM entry e"
     " JOIN word w ON w.id = e.event WHERE e.event > 4 AND " OF_EVENT(
         "'gap', 'tail-cut', 'lost', 'recording-off'") IN_TIME
     " ORDER BY e.event, e.number"},
};

/*
 * Sessions that are over, or should be, of which nothing was wiped; of those
 * services alone (lightdm, gdm-password …) of which half of the sessions that
 * are over were.
 */
static const char unwiped[] =
    "WITH kinds AS (SELECT id, text FROM word WHERE text IN"
    "  ('session', 'sign-out', 'wiped')),"
    " began AS (SELECT e.* FROM entry e WHERE e.event > 4 AND e.event ="
    "  (SELECT id FROM kinds WHERE text = 'session')"
    "  AND e.session IS NOT NULL AND e.number >= ?1 AND e.time < ?3),"
    " ended AS (SELECT DISTINCT session FROM entry WHERE event > 4"
    "  AND event = (SELECT id FROM kinds WHERE text = 'sign-out')"
    "  AND session IS NOT NULL AND number >= ?1),"
    " wiped AS (SELECT DISTINCT session FROM entry WHERE event > 4"
    "  AND event = (SELECT id FROM kinds WHERE text = 'wiped')"
    "  AND session IS NOT NULL AND number >= ?1),"
    " state AS (SELECT b.*, b.session IN ended AS over,"
    "  b.session IN wiped AS clean FROM began b),"
    " services AS (SELECT service FROM state WHERE over OR clean"
    "  GROUP BY service HAVING 2 * sum(clean) >= count(*))"
    " SELECT e.number, e.time, e.user, e.facility, e.address, 'never', 1"
    " FROM state e WHERE NOT e.clean AND e.service IN services"
    " AND e.time >= ?2 AND (e.over OR e.time < ?3 - ?4)"
    " ORDER BY e.user, e.address, e.number";

typedef struct {
    run_t *run;
    const query_t *query;
    growing_t growing;
    char detail[64];
} walk_t;

static int
end_growing(walk_t *walk)
{
    run_t *run = walk->run;
    growing_t *growing = &walk->growing;
    slice_t user = run_word(run, growing->user);
    slice_t address = run_word(run, growing->address);
    char key[600];

    if (growing->count == 0) {
        return 0;
    }
    if (walk->query->each) {
        (void) snprintf(key, sizeof(key), "#%llu",
                        (unsigned long long) growing->entries[0]);
    } else {
        (void) snprintf(key, sizeof(key), "%.*s\n%.*s\n%s", (int) user.size,
                        user.data, (int) address.size, address.data,
                        growing->detail);
    }
    growing->severity = walk->query->severity;
    return run_add(run, walk->query->rule, growing, key);
}

static int
look_at(walk_t *walk, sqlite3_stmt *statement)
{
    growing_t *growing = &walk->growing;
    int64_t time_ms = sqlite3_column_int64(statement, 1);
    int32_t day = day_of(run_local(walk->run, time_ms));
    uint32_t user = (uint32_t) sqlite3_column_int64(statement, 2);
    uint32_t address = (uint32_t) sqlite3_column_int64(statement, 4);
    const char *detail = (const char *) sqlite3_column_text(statement, 5);
    int error = 0;

    detail = detail == NULL ? "" : detail;
    if (growing->count > 0 &&
        (walk->query->each || growing->day != day || growing->user != user ||
         growing->address != address ||
         strncmp(growing->detail, detail, sizeof(growing->detail) - 1) != 0))
    {
        error = end_growing(walk);
    }
    if (growing->count == 0) {
        growing->day = day;
        growing->user = user;
        growing->address = address;
        growing->facility = (uint32_t) sqlite3_column_int64(statement, 3);
        (void) snprintf(growing->detail, sizeof(growing->detail), "%s", detail);
    }
    growing_add(growing, time_ms, (uint64_t) sqlite3_column_int64(statement, 6),
                (uint64_t) sqlite3_column_int64(statement, 0));
    return error;
}

static int
run_query(run_t *run, const query_t *query, int64_t from_ms, int64_t own)
{
    _cleanup_(cleanup_statement) sqlite3_stmt *statement = NULL;
    walk_t walk = {.run = run, .query = query};
    int result, error = run_prepare(run, query->sql, &statement);

    if (error < 0) {
        return error;
    }
    (void) sqlite3_bind_int64(statement, 1, (sqlite3_int64) run->first);
    (void) sqlite3_bind_int64(statement, 2, from_ms);
    (void) sqlite3_bind_int64(statement, 3, run->to_ms);
    (void) sqlite3_bind_int64(statement, 4, own);
    while (error == 0 && (result = sqlite3_step(statement)) == SQLITE_ROW) {
        error = look_at(&walk, statement);
    }
    if (error == 0 && result != SQLITE_DONE) {
        return run_failed(run);
    }
    return error == 0 ? end_growing(&walk) : error;
}

int
findings_events(run_t *run)
{
    static const query_t never = {FINDING_NOT_WIPED, FINDING_MEDIUM, false,
                                  unwiped};
    const findings_settings_t *settings = run->settings;
    /* whole days, so that a day's finding is the same in any period */
    int64_t from_ms = run->from_ms - DAY_MS;
    int error = 0;

    for (size_t i = 0; error == 0 && i < sizeof(queries) / sizeof(queries[0]);
         i++) {
        if (settings->on[queries[i].rule]) {
            error = run_query(run, &queries[i], from_ms, 0);
        }
    }
    if (error == 0 && settings->on[FINDING_NOT_WIPED]) {
        error = run_query(run, &never, from_ms,
                          (int64_t) settings->not_wiped.after * 1000);
    }
    return error;
}
