/*
 * Findings: what is out of the ordinary in a period, by rules.
 *
 * A finding is a question to the officer and no verdict.  docs/findings.md
 * tells each rule, its settings and their reasons.  Everything is derived from
 * audit.db and, for quieted rules and earlier decisions, from the trail: the
 * same trail and settings give the same findings, with the same ids.
 */

#ifndef SEKISHO_REVIEW_FINDINGS_H
#define SEKISHO_REVIEW_FINDINGS_H

#include <stdint.h>

#include "../base/address.h"
#include "../base/report.h"
#include "../base/slice.h"
#include "../policy/image.h"
#include "../trail/reader.h"

struct sqlite3;

/* Stable names: finding_rule_name(). */
typedef enum {
    FINDING_NO_RULE = 0,
    FINDING_OFF_HOURS,       /* "off-hours" */
    FINDING_NEW_COUNTRY,     /* "new-country" */
    FINDING_NEW_ADDRESS,     /* "new-address" */
    FINDING_VOLUME,          /* "volume" */
    FINDING_MANY_PATIENTS,   /* "many-patients" */
    FINDING_TWO_PLACES,      /* "two-places" */
    FINDING_OWN_NAME,        /* "own-name" */
    FINDING_DENIALS,         /* "denials" */
    FINDING_CODE_USED_TWICE, /* "code-used-twice" */
    FINDING_EMERGENCY,       /* "emergency" */
    FINDING_NOT_WIPED,       /* "not-wiped" */
    FINDING_GAP,             /* "gap" */
    FINDING_RULES
} finding_rule_t;

const char *finding_rule_name(finding_rule_t rule); /* never NULL */
finding_rule_t finding_rule_find(slice_t name);     /* or FINDING_NO_RULE */

typedef enum {
    FINDING_LOW = 1, /* worth a look */
    FINDING_MEDIUM,  /* ask somebody */
    FINDING_HIGH     /* act today */
} finding_severity_t;

const char *finding_severity_name(finding_severity_t severity);

typedef enum {
    FINDING_UNDECIDED = 0,
    FINDING_EXPLAINED,
    FINDING_ESCALATED
} finding_decision_t;

const char *finding_decision_name(finding_decision_t decision);

#define FINDING_ID_SIZE     12 /* hexadecimal digits */
#define FINDING_ENTRIES_MAX 8
#define FINDINGS_MAX        20000 /* of one run; more are only counted */

typedef struct {
    finding_rule_t rule;
    finding_severity_t severity;
    /* The same for the same rule, who and day (or entry), in any run. */
    char id[FINDING_ID_SIZE + 1];

    /* Who, where, about whom; size 0: not said.  They hold for the callback. */
    slice_t user, facility, address, patient;
    slice_t other_facility, other_address; /* two-places: the second one */
    slice_t detail; /* new-country: its code; denials, gap: reason or event;
                       own-name: the patient's name, where kept */

    int64_t from_ms, to_ms; /* first and last of it */
    uint64_t count;         /* accesses, patients, denials … */
    uint64_t usual;         /* volume: the user's median day; 0: not said */
    uint64_t limit;         /* above which it is a finding; 0: not said */

    uint64_t entries[FINDING_ENTRIES_MAX]; /* the first few, by number */
    unsigned entries_count;

    /* By a record "finding-quieted" that holds for it. */
    bool quieted;
    slice_t quieted_until; /* "2027-01-31" */
    slice_t quieted_reason;
    slice_t quieted_by;

    /* By the latest record "review" that names it and is not older than it: a
     * finding that has grown since is undecided again. */
    finding_decision_t decided;
    slice_t decided_text;
    slice_t decided_by;
    int64_t decided_ms;
} finding_t;

/* False ends the run. */
typedef bool (*finding_fn)(void *context, const finding_t *finding);

/*
 * One sentence of plain text, with numbers and without the time, in English or
 * Japanese: "41 accesses in one day; usual are 9".  Returns its size.
 */
#define FINDING_WORDS_MAX 1024
size_t finding_words(const finding_t *finding, bool japanese,
                     char text[FINDING_WORDS_MAX]);

/* "Volume far from the user's habit"; static text. */
const char *finding_title(finding_rule_t rule, bool japanese);

/* ---- Settings (findings_settings.c) -------------------------------------- */

#define FINDINGS_FILE "/etc/sekisho/findings.conf"

typedef struct {
    uint64_t history_days; /* of the past that make a habit */
    uint64_t learn_days;   /* before that nobody has a habit */
    uint64_t review_days;  /* a review is due so long after the last */
    bool on[FINDING_RULES];
    struct {
        uint64_t minimum; /* accesses in a day */
        uint64_t share;   /* percent of days on which an hour is usual */
        uint64_t margin;  /* hours beside a usual one that are no finding */
    } off_hours;
    struct {
        uint64_t v4, v6;  /* prefix lengths within which a place is the same */
        uint64_t roaming; /* new places in the history of who has no fixed */
    } new_address;
    struct {
        uint64_t minimum; /* accesses in a day */
        uint64_t factor;  /* deviations above the median */
    } volume;
    struct {
        uint64_t patients;
        uint64_t window; /* seconds */
    } many_patients;
    struct {
        uint64_t overlap; /* seconds */
    } two_places;
    struct {
        bool family; /* the family name alone is enough */
    } own_name;
    struct {
        uint64_t minimum;   /* in the window, of a user who is named */
        uint64_t place;     /* … of a facility, without a user */
        uint64_t strangers; /* … of an address that belongs to nobody */
        uint64_t window;    /* seconds */
    } denials;
    struct {
        uint64_t after; /* seconds after which a session should have ended */
    } not_wiped;
} findings_settings_t;

void findings_defaults(findings_settings_t *settings);

/* Defaults, then the file: nginx's syntax.  Errors go to the report: -EINVAL.
 * A file that is not there is -ENOENT only if `required`. */
int findings_settings_read(const char *path, bool required,
                           findings_settings_t *settings, report_t *report);
int findings_settings_text(const char *name, slice_t text,
                           findings_settings_t *settings, report_t *report);

/* ---- Running (findings.c) ------------------------------------------------ */

typedef struct {
    struct sqlite3 *db;     /* of audit.db: index_handle() */
    trail_reader_t *reader; /* NULL: nothing is known of quieted rules and
                                decisions, nothing is so marked */
    const findings_settings_t *settings; /* NULL: the defaults */
    const policy_image_t *policy; /* hours of facilities; NULL: by habit */
    /* Country of an address, as a policy_country_fn; NULL: new-country is
     * skipped. */
    bool (*country)(void *context, const address_t *address, char code[2]);
    void *country_context;
} findings_input_t;

/* What a run says about itself. */
typedef struct {
    uint64_t found, quieted, decided;
    uint64_t accesses;           /* looked at, with those of the history */
    uint64_t dropped;            /* beyond FINDINGS_MAX */
    bool skipped[FINDING_RULES]; /* off, or without what it needs */
    bool no_country;             /* new-country: no database of countries */
    bool short_history; /* the trail begins less than learn_days before */
} findings_outcome_t;

/*
 * All findings that touch from_ms .. to_ms - 1 (Unix milliseconds), quieted and
 * decided ones too, in order of time.  `outcome` may be NULL.  0 or negative
 * errno, with one line in `error`.  Days are those of the host's time zone.
 */
int findings_run(const findings_input_t *input, int64_t from_ms, int64_t to_ms,
                 finding_fn found, void *context, findings_outcome_t *outcome,
                 char error[256]);

#endif
