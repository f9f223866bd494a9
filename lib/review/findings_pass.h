/* Between the files of the pass over accesses, findings_pass.c and
 * findings_rules.c, alone. */

#ifndef SEKISHO_REVIEW_FINDINGS_PASS_H
#define SEKISHO_REVIEW_FINDINGS_PASS_H

#include "findings_internal.h"

#define OPEN_MAX 32 /* accesses of one user that may be open at once */

/* A network that a user came from. */
typedef struct {
    uint64_t key;
    int32_t first_day;
    int32_t last_day;
} seen_t;

typedef struct {
    seen_t *list;
    size_t count, capacity;
} seen_list_t;

typedef struct {
    int64_t time_ms;
    uint32_t person;
    uint64_t number;
} opened_t;

typedef struct {
    int64_t from_ms, to_ms;
    uint32_t facility, address;
    uint64_t number;
} stay_t;

typedef struct {
    uint32_t word;
    habit_t habit;
    seen_list_t places, countries;
    growing_t growing[FINDING_RULES];
    growing_t today; /* all accesses of the day, for volume */
    opened_t *window;
    size_t window_count, window_capacity;
    int64_t many_until; /* the window that was told of ends here */
    stay_t stays[OPEN_MAX];
    unsigned stays_count;
} user_t;

typedef struct {
    bool known;
    uint32_t index; /* in the policy */
    habit_t habit;
} facility_t;

typedef struct {
    bool known;
    address_t address;
    uint64_t place;
    uint64_t country; /* two letters; 0: not known */
} place_t;

typedef struct {
    uint64_t number;
    int64_t time_ms, end_ms;
    uint32_t user, facility, address, person, name, patient;
    bool access;  /* not a sign-in or session */
    bool opens;   /* view, download, delete: images of somebody */
    bool machine; /* store: modalities send at night */
} row_t;

typedef struct {
    run_t *run;
    table_t users, facilities, places;
    user_t **list; /* of all users, to end what grows */
    size_t list_count, list_capacity;
} pass_t;


/* Network and country of an address; NULL: out of memory. */
const place_t *place_of(pass_t *pass, uint32_t word);

/* What grows on this day; another day's is ended first.  NULL: out of
 * memory. */
growing_t *grow(pass_t *pass, user_t *user, finding_rule_t rule, int32_t day,
                const row_t *row);

/* ---- The rules (findings_rules.c): 0 or negative errno ------------------- */

int rule_off_hours(pass_t *pass, user_t *user, facility_t *facility,
                   int32_t day, unsigned hour, const row_t *row);
int rule_places(pass_t *pass, user_t *user, facility_t *facility, int32_t day,
                const row_t *row);
int rule_two_places(pass_t *pass, user_t *user, int32_t day, const row_t *row);
int rule_many_patients(pass_t *pass, user_t *user, int32_t day,
                       const row_t *row);
int rule_own_name(pass_t *pass, user_t *user, int32_t day, const row_t *row);

#endif
