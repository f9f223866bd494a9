/* Between the audit_ledger*.c files: tables that an inspection asks for. */

#ifndef SEKISHO_AUDIT_LEDGER_H
#define SEKISHO_AUDIT_LEDGER_H

#include "audit_evidence.h"

#define LEDGER_CELLS_MAX 12

typedef struct {
    slice_t id;   /* owned by `memory` of the names, as the name */
    slice_t name; /* "": not known */
} account_name_t;

/* Names of users: of --names, else of this host's accounts. */
typedef struct {
    account_name_t *names;
    size_t count;
    bool given; /* by a file: this host's accounts are not asked */
} account_names_t;

typedef struct ledger_s ledger_t;

/* What a cell is made of; its value is the column of the query at its place. */
typedef enum {
    CELL_TEXT = 1,
    CELL_TIME, /* Unix ms, local */
    CELL_COUNT,
    CELL_NAME,      /* of the user in the same column */
    CELL_CATEGORY,  /* of an event */
    CELL_OPERATION, /* event, action, reason, patient, study, facility: 6 */
    CELL_WORD       /* a text of words.en by its key */
} cell_kind_t;

typedef struct {
    const char *key; /* of the heading, and of JSON behind "ledger." */
    cell_kind_t kind;
    int column; /* of the query, from 0 */
} ledger_column_t;

struct ledger_s {
    const arguments_t *arguments;
    audit_report_t *report;
    words_t headings;
    words_t events; /* names of events and actions, those of reports */
    account_names_t names;
    enum { LEDGER_TABLE = 1, LEDGER_CSV, LEDGER_JSON } format;
    const ledger_column_t *columns;
    size_t columns_count;
    json_t json;
    uint64_t rows;
};

/* ---- Names (audit_ledger_names.c) ---------------------------------------- */

/* Of --names; the error is told. */
int names_read(const arguments_t *arguments, account_names_t *names);
/* "" if it is not known.  Valid until the next call. */
slice_t names_find(account_names_t *names, slice_t id);
void names_free(account_names_t *names);

/* ---- Factors (audit_ledger_factors.c) ------------------------------------ */

/* Whether "password,totp" are two of different kinds: what somebody knows, has
 * or is.  Two steps of one kind are one factor. */
bool factors_are_two(slice_t factors);

/* Makes the temporary table `proved` (number, factors, two) of the sign-ins,
 * accesses and sessions in table `r`; an access without factors of its own has
 * those of the sign-in of its session.  The error is told. */
int factors_make(audit_report_t *report);

#endif
