/*
 * Reviews: the records by which an officer signs for having looked, and those
 * that quiet a rule.  Read from the trail itself, by the numbers that audit.db
 * has of them.
 */

#ifndef SEKISHO_REVIEW_REVIEWS_H
#define SEKISHO_REVIEW_REVIEWS_H

#include <stdint.h>

#include "findings.h"

/*
 * One review.  In the trail it is one record "review" with the note, the period
 * (first, last), tree_size and the next date (until); decisions that do not fit
 * come before it in records with reason "part" and the same session.  Each
 * line of `findings` is "ID=explained:TEXT" or "ID=escalated:TEXT".
 */
typedef struct {
    uint64_t number; /* entry */
    int64_t time_ms;
    int64_t first_ms, last_ms; /* the period */
    uint64_t tree_size;
    int32_t next_day; /* days since 1970-01-01, local; INT32_MIN: not said */
    slice_t user, note, peer;
    unsigned explained, escalated;
} review_t;

typedef struct {
    finding_rule_t rule;
    slice_t user, facility, address; /* one of them */
    int64_t from_ms;                 /* holds from the record on */
    int32_t until_day;               /* to the end of this local day */
    slice_t until, reason, by;
    uint64_t number;
} quiet_t;

typedef struct {
    char id[FINDING_ID_SIZE + 1];
    finding_decision_t decision;
    slice_t text, by;
    int64_t time_ms;
    uint64_t number;
} decision_t;

typedef struct {
    review_t *reviews; /* oldest first */
    size_t reviews_count;
    decision_t *decisions; /* sorted by id, then oldest first */
    size_t decisions_count;
    quiet_t *quiets; /* oldest first; a later one of the same replaces */
    size_t quiets_count;
    void *memory; /* owns all texts */
} reviews_t;

/* All of the trail, up to where audit.db holds.  0 or negative errno, with one
 * line in `error`.  reviews_free() in any case, takes zeroed ones. */
int reviews_read(struct sqlite3 *db, trail_reader_t *reader, reviews_t *reviews,
                 char error[256]);
void reviews_free(reviews_t *reviews);

/* The quiet that holds for this rule, who and moment, or NULL. */
const quiet_t *reviews_quiet(const reviews_t *reviews,
                             const finding_t *finding);

/* The latest decision about this id at or after `at_ms`, or NULL. */
const decision_t *reviews_decision(const reviews_t *reviews, const char *id,
                                   int64_t at_ms);

/* ---- For report, status and metrics -------------------------------------- */

typedef struct {
    bool any;                  /* somebody has reviewed */
    uint64_t number;           /* entry of the last review */
    int64_t time_ms;           /* when it was */
    int64_t first_ms, last_ms; /* its period */
    char user[256];            /* who */
    uint64_t tree_size;
    uint64_t new_entries; /* since then, heartbeats left out */
    int32_t due_day;      /* local day of the next; always set */
    bool overdue;
    int32_t days_overdue; /* 0 if not */
} review_state_t;

/*
 * How it stands now.  Without any review one is due review_days after the first
 * record.  0 or negative errno, with one line in `error`.
 */
int review_state(struct sqlite3 *db, trail_reader_t *reader,
                 const findings_settings_t *settings, int64_t now_ms,
                 review_state_t *state, char error[256]);

/* Local day (days since 1970-01-01) of a moment. */
int32_t review_day(int64_t unix_ms);

/* Local day on which the next one is due after this one: as the officer said,
 * or review_days later. */
int32_t review_due_day(const review_t *last,
                       const findings_settings_t *settings);

#endif
