/* Between the audit_review*.c files. */

#ifndef SEKISHO_AUDIT_REVIEW_H
#define SEKISHO_AUDIT_REVIEW_H

#include "audit_findings.h"

#define DECISION_TEXT_MAX 1000 /* bytes of a finding's text */
#define NOTE_TEXT_MAX     3000

/* A finding, with texts of its own, and what is decided now. */
typedef struct {
    finding_t finding;
    finding_decision_t decision;
    char *text; /* owned */
} item_t;

typedef struct {
    look_t look;
    int64_t from_ms, to_ms;
    findings_outcome_t outcome;
    item_t *items; /* in order of time */
    size_t count, capacity;
    const char *note; /* NULL: none */
    char *own_note;   /* typed in */
    int32_t next_day;
} review_run_t;

/* All findings of the period; an error is told. */
int review_find(review_run_t *run);
void review_free(review_run_t *run);

/* Whether somebody still has to decide about it. */
static inline bool
is_open(const item_t *item)
{
    return !item->finding.quieted &&
           item->finding.decided == FINDING_UNDECIDED &&
           item->decision == FINDING_UNDECIDED;
}

size_t review_open_count(const review_run_t *run);

/* ---- Shown (audit_review_print.c) ---------------------------------------- */

void print_summary(const review_run_t *run);
/* One finding in a few lines. */
void print_finding(const item_t *item);
/* All: open ones, or with `everything` the quieted and decided ones, too. */
void print_findings(const review_run_t *run, bool everything);
int print_findings_json(const review_run_t *run);
void print_not_looked_at(const review_run_t *run);

/* ---- Asked (audit_review_ask.c) ------------------------------------------ */

/* Asks about each open finding, note and date.  False: do not sign. */
bool ask_all(review_run_t *run);

#endif
