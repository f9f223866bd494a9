/* Reviews and quieted rules, out of the trail. */

#define _GNU_SOURCE
#include "reviews.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "../base/clock.h"
#include "../trail/record.h"
#include "findings_internal.h"
#include "index.h"

/* A trail of a hundred years has a few thousand; more is somebody's mischief,
 * and must not fill the memory. */
#define RECORDS_MAX 1000000

typedef struct {
    sqlite3 *db;
    trail_reader_t *reader;
    reviews_t *reviews;
    memory_t *memory;
    size_t reviews_capacity, decisions_capacity, quiets_capacity;
    char *error;
    char *buffer; /* RECORD_SIZE_MAX */
} reading_t;

int32_t
review_day(int64_t unix_ms)
{
    time_t seconds = (time_t) (unix_ms / 1000);
    struct tm local;

    if (localtime_r(&seconds, &local) == NULL) {
        return day_of(unix_ms);
    }
    return day_of(unix_ms + (int64_t) local.tm_gmtoff * 1000);
}

int32_t
review_due_day(const review_t *last, const findings_settings_t *settings)
{
    return last->next_day != INT32_MIN
               ? last->next_day
               : review_day(last->time_ms) + (int32_t) settings->review_days;
}

/* Room for one more in a growing list; NULL: out of memory. */
static void *
one_more(void *list_pointer, size_t *count, size_t *capacity, size_t size)
{
    void **list = list_pointer;
    void *place;

    if (*count == *capacity) {
        size_t larger = *capacity == 0 ? 32 : *capacity * 2;
        void *grown = realloc(*list, larger * size);

        if (grown == NULL) {
            return NULL;
        }
        *list = grown;
        *capacity = larger;
    }
    place = (char *) *list + *count * size;
    (*count)++;
    memset(place, 0, size);
    return place;
}

static int64_t
time_of(slice_t text)
{
    int64_t seconds;
    bool local;

    if (!clock_parse(text, &seconds, &local) || local) {
        return 0;
    }
    /* "2026-11-24T06:09:02.123Z" */
    return seconds * 1000 + (text.size == 24 ? (text.data[20] - '0') * 100 +
                                                   (text.data[21] - '0') * 10 +
                                                   (text.data[22] - '0')
                                             : 0);
}

static uint64_t
number_of(slice_t text)
{
    uint64_t number = 0;

    for (size_t i = 0;
         i < text.size && i < 19 && text.data[i] >= '0' && text.data[i] <= '9';
         i++)
    {
        number = number * 10 + (uint64_t) (text.data[i] - '0');
    }
    return number;
}

/* ---- Records -------------------------------------------------------------*/

static bool
read_decision(slice_t line, decision_t *decision)
{
    slice_t rest;

    if (line.size <= FINDING_ID_SIZE || line.data[FINDING_ID_SIZE] != '=') {
        return false;
    }
    memcpy(decision->id, line.data, FINDING_ID_SIZE);
    rest = slice_from(line, FINDING_ID_SIZE + 1);
    if (slice_starts(rest, SLICE("explained"))) {
        decision->decision = FINDING_EXPLAINED;
        rest = slice_from(rest, strlen("explained"));
    } else if (slice_starts(rest, SLICE("escalated"))) {
        decision->decision = FINDING_ESCALATED;
        rest = slice_from(rest, strlen("escalated"));
    } else {
        return false;
    }
    decision->text = rest.size > 0 && rest.data[0] == ':' ? slice_from(rest, 1)
                                                          : SLICE("");
    return true;
}

static int
take_decisions(reading_t *reading, const record_t *record, uint64_t number,
               int64_t time_ms, unsigned counts[FINDING_ESCALATED + 1])
{
    slice_t rest = record->values[RECORD_FINDINGS];

    while (rest.size > 0) {
        const char *end = memchr(rest.data, '\n', rest.size);
        slice_t line = {rest.data,
                        end == NULL ? rest.size : (size_t) (end - rest.data)};
        decision_t read = {.time_ms = time_ms, .number = number}, *decision;

        rest = slice_from(rest, end == NULL ? rest.size : line.size + 1);
        if (!read_decision(line, &read)) {
            continue;
        }
        counts[read.decision]++;
        read.text = memory_copy(reading->memory, read.text);
        read.by = memory_copy(reading->memory, record->values[RECORD_USER]);
        decision = one_more(&reading->reviews->decisions,
                            &reading->reviews->decisions_count,
                            &reading->decisions_capacity, sizeof(*decision));
        if (decision == NULL || read.text.data == NULL || read.by.data == NULL)
        {
            return -ENOMEM;
        }
        *decision = read;
    }
    return 0;
}

static int
take_review(reading_t *reading, const record_t *record, uint64_t number)
{
    int64_t time_ms = time_of(record->values[RECORD_TIME]);
    unsigned counts[FINDING_ESCALATED + 1] = {0};
    int error = take_decisions(reading, record, number, time_ms, counts);
    review_t *review;

    if (error < 0 || slice_is(record->values[RECORD_REASON], "part")) {
        return error;
    }
    review = one_more(&reading->reviews->reviews,
                      &reading->reviews->reviews_count,
                      &reading->reviews_capacity, sizeof(*review));
    if (review == NULL) {
        return -ENOMEM;
    }
    review->number = number;
    review->time_ms = time_ms;
    review->first_ms = time_of(record->values[RECORD_FIRST]);
    review->last_ms = time_of(record->values[RECORD_LAST]);
    review->tree_size = number_of(record->values[RECORD_TREE_SIZE]);
    review->explained = counts[FINDING_EXPLAINED];
    review->escalated = counts[FINDING_ESCALATED];
    if (!clock_parse_day(record->values[RECORD_UNTIL], &review->next_day)) {
        review->next_day = INT32_MIN;
    }
    review->user = memory_copy(reading->memory, record->values[RECORD_USER]);
    review->note = memory_copy(reading->memory, record->values[RECORD_NOTE]);
    review->peer = memory_copy(reading->memory, record->values[RECORD_PEER]);
    return review->user.data == NULL || review->note.data == NULL ||
                   review->peer.data == NULL
               ? -ENOMEM
               : 0;
}

/* "user=yamada": whose findings; the record's own user is who quiets them. */
static int
take_whose(reading_t *reading, slice_t text, quiet_t *quiet)
{
    const struct {
        slice_t prefix;
        slice_t *whose;
    } kinds[] = {
        {SLICE("user="), &quiet->user},
        {SLICE("facility="), &quiet->facility},
        {SLICE("address="), &quiet->address},
    };

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (slice_starts(text, kinds[i].prefix)) {
            *kinds[i].whose = memory_copy(
                reading->memory, slice_from(text, kinds[i].prefix.size));
            return kinds[i].whose->data == NULL ? -ENOMEM : 0;
        }
    }
    return 0;
}

/* What names no rule, nobody or no end quiets nothing. */
static int
take_quiet(reading_t *reading, const record_t *record, uint64_t number)
{
    finding_rule_t rule = finding_rule_find(record->values[RECORD_RULE]);
    memory_t *memory = reading->memory;
    quiet_t *quiet;
    int32_t until;
    int error;

    if (rule == FINDING_NO_RULE || record->values[RECORD_OUTCOME].size != 1 ||
        record->values[RECORD_OUTCOME].data[0] != '0' ||
        !clock_parse_day(record->values[RECORD_UNTIL], &until))
    {
        return 0;
    }
    quiet = one_more(&reading->reviews->quiets, &reading->reviews->quiets_count,
                     &reading->quiets_capacity, sizeof(*quiet));
    if (quiet == NULL) {
        return -ENOMEM;
    }
    quiet->rule = rule;
    quiet->number = number;
    quiet->from_ms = time_of(record->values[RECORD_TIME]);
    quiet->until_day = until;
    error = take_whose(reading, record->values[RECORD_FINDINGS], quiet);
    quiet->until = memory_copy(memory, record->values[RECORD_UNTIL]);
    quiet->reason = memory_copy(memory, record->values[RECORD_NOTE]);
    quiet->by = memory_copy(memory, record->values[RECORD_USER]);
    return error < 0 || quiet->until.data == NULL ||
                   quiet->reason.data == NULL || quiet->by.data == NULL
               ? -ENOMEM
               : 0;
}

static int
take_entry(reading_t *reading, uint64_t number)
{
    record_t record = {0};
    slice_t entry;
    int error = trail_reader_entry(reading->reader, number, &entry);

    if (error < 0) {
        (void) snprintf(reading->error, 256, "entry %llu: %s",
                        (unsigned long long) number,
                        trail_reader_problem(reading->reader));
        return error;
    }
    if (entry.size > RECORD_SIZE_MAX ||
        !record_parse(entry, &record, reading->buffer))
    {
        return 0;
    }
    switch (record_event_find(record.values[RECORD_EVENT])) {
    case EVENT_REVIEW:
        return take_review(reading, &record, number);
    case EVENT_FINDING_QUIETED:
        return take_quiet(reading, &record, number);
    default:
        return 0;
    }
}

static int
compare_decisions(const void *a, const void *b)
{
    const decision_t *first = a, *second = b;
    int order = memcmp(first->id, second->id, sizeof(first->id));

    return order != 0 ? order
                      : (first->number > second->number) -
                            (first->number < second->number);
}

static int
read_entries(reading_t *reading)
{
    _cleanup_(cleanup_statement) sqlite3_stmt *statement = NULL;
    int result, error = 0;

    if (sqlite3_prepare_v2(
            reading->db,
            "SELECT number FROM entry WHERE event > 4 AND event IN (SELECT id "
            "FROM word WHERE text IN ('review', 'finding-quieted')) "
            "ORDER BY number LIMIT ?",
            -1, &statement, NULL) != SQLITE_OK)
    {
        (void) snprintf(reading->error, 256, "audit.db: %s",
                        sqlite3_errmsg(reading->db));
        return -EIO;
    }
    (void) sqlite3_bind_int64(statement, 1, RECORDS_MAX);
    while ((result = sqlite3_step(statement)) == SQLITE_ROW) {
        error = take_entry(reading,
                           (uint64_t) sqlite3_column_int64(statement, 0));
        if (error < 0) {
            return error;
        }
    }
    if (result != SQLITE_DONE) {
        (void) snprintf(reading->error, 256, "audit.db: %s",
                        sqlite3_errmsg(reading->db));
        return -EIO;
    }
    return 0;
}

int
reviews_read(struct sqlite3 *db, trail_reader_t *reader, reviews_t *reviews,
             char error_text[256])
{
    _cleanup_(cleanup_free) char *buffer = malloc(RECORD_SIZE_MAX);
    reading_t reading = {.db = db,
                         .reader = reader,
                         .reviews = reviews,
                         .error = error_text,
                         .buffer = buffer};
    int error;

    error_text[0] = '\0';
    *reviews = (reviews_t){.memory = calloc(1, sizeof(memory_t))};
    reading.memory = reviews->memory;
    if (buffer == NULL || reviews->memory == NULL) {
        (void) snprintf(error_text, 256, "out of memory");
        return -ENOMEM;
    }
    error = read_entries(&reading);
    if (error < 0 && error_text[0] == '\0') {
        (void) snprintf(error_text, 256, "%s", strerror(-error));
    }
    if (reviews->decisions_count > 0) {
        qsort(reviews->decisions, reviews->decisions_count,
              sizeof(*reviews->decisions), compare_decisions);
    }
    return error;
}

void
reviews_free(reviews_t *reviews)
{
    free(reviews->reviews);
    free(reviews->decisions);
    free(reviews->quiets);
    if (reviews->memory != NULL) {
        memory_free(reviews->memory);
    }
    free(reviews->memory);
    *reviews = (reviews_t){.memory = NULL};
}

/* ---- What holds for a finding --------------------------------------------*/

static bool
is_about(const quiet_t *quiet, const finding_t *finding)
{
    return quiet->rule == finding->rule &&
           (quiet->user.size > 0 || quiet->facility.size > 0 ||
            quiet->address.size > 0) &&
           (quiet->user.size == 0 || slice_equal(quiet->user, finding->user)) &&
           (quiet->facility.size == 0 ||
            slice_equal(quiet->facility, finding->facility)) &&
           (quiet->address.size == 0 ||
            slice_equal(quiet->address, finding->address));
}

static bool
same_target(const quiet_t *a, const quiet_t *b)
{
    return a->rule == b->rule && slice_equal(a->user, b->user) &&
           slice_equal(a->facility, b->facility) &&
           slice_equal(a->address, b->address);
}

/* A later record about the same replaces this one, also to end it early. */
static bool
is_replaced(const reviews_t *reviews, size_t i, int64_t at_ms)
{
    for (size_t k = i + 1; k < reviews->quiets_count; k++) {
        if (same_target(&reviews->quiets[i], &reviews->quiets[k]) &&
            reviews->quiets[k].from_ms <= at_ms)
        {
            return true;
        }
    }
    return false;
}

const quiet_t *
reviews_quiet(const reviews_t *reviews, const finding_t *finding)
{
    int32_t day = review_day(finding->from_ms);

    for (size_t i = reviews->quiets_count; i > 0; i--) {
        const quiet_t *quiet = &reviews->quiets[i - 1];

        /* what was found before it was quieted stays to be decided: from the
         * day of the record on, never backwards */
        if (is_about(quiet, finding) && day <= quiet->until_day &&
            day >= review_day(quiet->from_ms) &&
            !is_replaced(reviews, i - 1, finding->to_ms))
        {
            return quiet;
        }
    }
    return NULL;
}

const decision_t *
reviews_decision(const reviews_t *reviews, const char *id, int64_t at_ms)
{
    const decision_t *found = NULL;
    size_t low = 0, high = reviews->decisions_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (strcmp(reviews->decisions[middle].id, id) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    for (; low < reviews->decisions_count &&
           strcmp(reviews->decisions[low].id, id) == 0;
         low++)
    {
        if (reviews->decisions[low].time_ms >= at_ms) {
            found = &reviews->decisions[low];
        }
    }
    return found;
}

/* ---- How it stands -------------------------------------------------------*/

static int
query_number(sqlite3 *db, const char *sql, int64_t parameter, int64_t *number,
             char error[256])
{
    _cleanup_(cleanup_statement) sqlite3_stmt *statement = NULL;

    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK) {
        (void) snprintf(error, 256, "audit.db: %s", sqlite3_errmsg(db));
        return -EIO;
    }
    (void) sqlite3_bind_int64(statement, 1, parameter);
    if (sqlite3_step(statement) != SQLITE_ROW) {
        (void) snprintf(error, 256, "audit.db: %s", sqlite3_errmsg(db));
        return -EIO;
    }
    *number = sqlite3_column_int64(statement, 0);
    return 0;
}

static int
fill(sqlite3 *db, const reviews_t *reviews, const findings_settings_t *settings,
     int64_t now_ms, review_state_t *state, char error[256])
{
    int64_t entries = 0, first = now_ms;
    int result;

    if (reviews->reviews_count > 0) {
        const review_t *last = &reviews->reviews[reviews->reviews_count - 1];

        state->any = true;
        state->number = last->number;
        state->time_ms = last->time_ms;
        state->first_ms = last->first_ms;
        state->last_ms = last->last_ms;
        state->tree_size = last->tree_size;
        (void) snprintf(state->user, sizeof(state->user), "%.*s",
                        (int) last->user.size, last->user.data);
        state->due_day = review_due_day(last, settings);
    } else {
        result = query_number(db, "SELECT coalesce(" INDEX_FIRST_TIME ", ?)",
                              now_ms, &first, error);
        if (result < 0) {
            return result;
        }
        state->due_day = review_day(first) + (int32_t) settings->review_days;
    }
    result = query_number(
        db,
        "SELECT " INDEX_RECORDS_FROM(
            "?1") " - "
                  "(SELECT count(*) FROM entry WHERE event = "
                  "(SELECT id FROM word WHERE text = 'heartbeat') "
                  "AND number >= ?1)",
        (int64_t) state->tree_size, &entries, error);
    state->new_entries = (uint64_t) entries;
    if (review_day(now_ms) > state->due_day) {
        state->overdue = true;
        state->days_overdue = review_day(now_ms) - state->due_day;
    }
    return result;
}

int
review_state(struct sqlite3 *db, trail_reader_t *reader,
             const findings_settings_t *settings, int64_t now_ms,
             review_state_t *state, char error[256])
{
    findings_settings_t defaults;
    reviews_t reviews;
    int result;

    *state = (review_state_t){.any = false};
    findings_defaults(&defaults);
    result = reviews_read(db, reader, &reviews, error);
    if (result == 0) {
        result = fill(db, &reviews, settings == NULL ? &defaults : settings,
                      now_ms, state, error);
    }
    reviews_free(&reviews);
    return result;
}
