/*
 * A record: what happened, in fields.  docs/record.md is the schema.
 *
 * Front ends fill a record_t, lib/ipc carries its fields as they are, and
 * sekishod alone renders it to the one line of JSON that becomes an entry of
 * the trail.  So no front end can write a line that is no JSON, or two lines.
 */

#ifndef SEKISHO_TRAIL_RECORD_H
#define SEKISHO_TRAIL_RECORD_H

#include <stdint.h>

#include "../base/json.h"
#include "../base/slice.h"

/* The rendered line, with everything; the trail's own bound is 65,535. */
#define RECORD_SIZE_MAX 32768

/* Of one value as it came in; more is cut, and the field named in `cut`. */
#define RECORD_VALUE_MAX 4096

#define RECORD_ID_SIZE 32 /* hexadecimal digits: 128 random bits */

/*
 * The numbers travel in messages and must never change; new ones go to the
 * end.  The order is that of the rendered line.
 */
typedef enum {
    RECORD_ID = 0,
    RECORD_TIME, /* RFC 3339 with milliseconds, UTC */
    RECORD_HOST,
    RECORD_SOURCE, /* "nginx", "pam", "sekishod", "sekisho" */
    RECORD_NUMBER, /* of this front end, from 1, without a hole */
    RECORD_FRONT,  /* the front end's own id, 16 hexadecimal digits */
    RECORD_EVENT,
    RECORD_OUTCOME,
    RECORD_REASON,
    RECORD_USER,
    RECORD_FACTORS,
    RECORD_FACILITY,
    RECORD_ADDRESS,
    RECORD_SERVICE,
    RECORD_SESSION,
    RECORD_PURPOSE,
    RECORD_ACTION,
    RECORD_PATIENT,
    RECORD_STUDY,
    RECORD_SERIES,
    RECORD_INSTANCE,
    RECORD_OPEN,     /* id of the opening record that this one closes */
    RECORD_METHOD,   /* HTTP */
    RECORD_URI,      /* request target as it came */
    RECORD_QUERY,    /* terms of a search */
    RECORD_STATUS,   /* HTTP status; of a close: of the last answer */
    RECORD_STATUSES, /* "200:24 404:1" */
    RECORD_UPSTREAM_STATUS,
    RECORD_BYTES,       /* sent to the client */
    RECORD_DURATION_MS, /* of the request, of the access, of the session */
    RECORD_REQUESTS,    /* folded into this record */
    RECORD_INSTANCES,   /* distinct instances seen */
    RECORD_FIRST,       /* RFC 3339 */
    RECORD_LAST,
    RECORD_COUNT_FOLDED, /* denials folded into this one */
    RECORD_TLS,          /* "TLSv1.3" */
    RECORD_CERTIFICATE,  /* SHA-256 of the client's leaf, hexadecimal */
    RECORD_AGENT,        /* User-Agent */
    RECORD_SERVER,       /* server_name of the virtual host */
    RECORD_PHASE,        /* "log" where only the LOG phase saw it */
    RECORD_TICKET,       /* number shown on a denial page */
    RECORD_POLICY,       /* version of the policy that decided */
    RECORD_NOTE,         /* a person's words */
    RECORD_MISSING,      /* gap: how many numbers */
    RECORD_FROM_NUMBER,  /* gap: the first that is missing */
    RECORD_CUT_BYTES,    /* torn tail: bytes cut from the write-ahead file */
    RECORD_COUNTERS,     /* heartbeat: "front:number front:number" */
    RECORD_CLOCK,        /* "synchronised" or "unsynchronised" */
    RECORD_CLOCK_ERROR_US,
    RECORD_TREE_SIZE,
    RECORD_KEY,      /* verifier key */
    RECORD_OLD,      /* value before a change */
    RECORD_PEER,     /* uid:pid of a local program */
    RECORD_VERSION,  /* of the program */
    RECORD_LOST,     /* requests served without a record (audit_fail allow) */
    RECORD_SKIPPED,  /* numbers of this front end just before this record that
                       rightly have none: they were refused */
    RECORD_OF_FRONT, /* gap: the front end that it is about */
    RECORD_FILE,     /* policy-changed: the policy's text */
    RECORD_DEVICE,   /* of one-time codes: its name */
    RECORD_TTY,      /* terminal, seat or display of a session */
    RECORD_FILES,    /* wiped: how many files and folders went */
    RECORD_FAILURES, /* consecutive wrong codes; wiped: what could not go */
    RECORD_ISSUER,   /* of the Patient ID */
    RECORD_NAME,     /* of the patient, where names are kept */
    RECORD_RULE,     /* of findings: the rule's name */
    RECORD_UNTIL,    /* RFC 3339 day: quiet until; the next review is due */
    RECORD_FINDINGS, /* review: "ID=explained ID=escalated" */
    RECORD_BY,       /* enrollment: who did it; `user` is whose it is */
    RECORD_FIELDS
} record_field_t;

/* Stable names: record_event_name().  The numbers may change. */
typedef enum {
    EVENT_NONE = 0,
    EVENT_ACCESS,        /* opening: written before the first byte leaves */
    EVENT_ACCESS_END,    /* close of an opening */
    EVENT_ACCESS_JOINED, /* the same opening, from another worker */
    EVENT_REQUEST,       /* audit_detail request: before */
    EVENT_REQUEST_END,   /* … and its outcome */
    EVENT_UNRECORDED,    /* answered before the audit could hold it */
    EVENT_DENIED,
    EVENT_LOST,  /* served without a record, as configured */
    EVENT_START, /* of a program */
    EVENT_STOP,
    EVENT_RECORDING_ON,
    EVENT_RECORDING_OFF,
    EVENT_HEARTBEAT,
    EVENT_GAP,
    EVENT_TAIL_CUT,
    EVENT_KEY_CHANGED,
    EVENT_POLICY_CHANGED,
    EVENT_TRAIL_READ,
    EVENT_SIGN_IN,      /* a second factor was asked: outcome 0 or 4 */
    EVENT_CODE_ALERT,   /* not looked at (throttled, locked), or used twice */
    EVENT_SESSION,      /* a session at a host began */
    EVENT_SIGN_OUT,     /* … and ended: duration */
    EVENT_WIPED,        /* what a session left on the terminal was removed */
    EVENT_ENROLLMENT,   /* devices, recovery codes, locks: action, who, whose */
    EVENT_EMERGENCY_ON, /* an emergency code was used */
    EVENT_EMERGENCY_OFF,   /* … its time is over, or the codes sealed anew */
    EVENT_PATIENT_LEARNED, /* an answer told whose study it is */
    EVENT_REVIEW,          /* an officer has looked, and signs for it */
    EVENT_FINDING_QUIETED, /* a rule is silenced for somebody, with a reason */
    EVENT_COUNT
} record_event_t;

#define RECORD_CUT_SIZE 16 /* bytes: a bit per field */

typedef struct {
    slice_t values[RECORD_FIELDS]; /* size 0: not there; never owned */
    uint8_t cut[RECORD_CUT_SIZE];  /* the fields that were cut on their way */
    bool any_cut;
} record_t;

static inline void
record_set_cut(record_t *record, unsigned field)
{
    record->cut[field / 8] |= (uint8_t) (1u << field % 8);
    record->any_cut = true;
}

static inline bool
record_is_cut(const record_t *record, unsigned field)
{
    return record->any_cut && (record->cut[field / 8] >> field % 8 & 1) != 0;
}

/* Cuts a value to at most `limit` bytes, not within a UTF-8 sequence, and marks
 * the field as cut if that takes anything away. */
void record_limit(record_t *record, unsigned field, size_t limit);

const char *record_field_name(record_field_t field); /* never NULL */
bool record_field_is_number(record_field_t field);
/* The field of that name, or RECORD_FIELDS. */
record_field_t record_field_find(slice_t name);

const char *record_event_name(record_event_t event);
record_event_t record_event_find(slice_t name);

/* DICOM PS3.15 A.5 EventID and EventTypeCode (DCM) of an event with an action
 * ("view" …); 0 where there is none. */
void record_event_codes(record_event_t event, slice_t action, unsigned *id,
                        unsigned *type);

/* Must last at once: a checkpoint follows it immediately. */
bool record_event_is_security(record_event_t event);
/* May use the reserve when the disk is full. */
bool record_event_is_privileged(record_event_t event);

/*
 * Encodes the fields as they travel: per field one byte of number, two of
 * length (big-endian), the bytes; fields that were cut follow under the number
 * 255 as a mask of 16 bytes, the bit of field n being bit n % 8 of byte n / 8.  Values are cut (on a UTF-8 boundary) to
 * RECORD_VALUE_MAX, and further, the longest first, until the whole is at most
 * RECORD_SIZE_MAX bytes.  Returns the size, or 0 if `capacity` is too small.
 */
size_t record_encode(const record_t *record, uint8_t *bytes, size_t capacity);

/*
 * The opposite; values point into `bytes`.  False for what is no record: an
 * unknown or repeated field, a length beyond the end, a value too long.
 */
bool record_decode(const uint8_t *bytes, size_t size, record_t *record);

/*
 * Renders one line of JSON without a newline.  Numbers that are none become
 * text.  If the line would be longer than RECORD_SIZE_MAX, the longest values
 * are cut until it fits; what was cut here or before is named in "cut".
 * Returns its size; 0 only if `capacity` is below RECORD_SIZE_MAX.
 */
size_t record_render(const record_t *record, char *line, size_t capacity);

/*
 * Reads a line of the trail back: the opposite of record_render(), and no
 * general JSON reader.  Values point into the line, or, where an escape had to
 * be undone, into `buffer`, which has room for at least the line's size.
 * Unknown fields are passed over (a newer version's); false if the line is not
 * a flat object of strings, numbers and a "cut" array, or a field repeats.
 */
bool record_parse(slice_t line, record_t *record, char *buffer);

/* "2026-11-24T06:09:02.123Z" (24 bytes and a NUL) of Unix milliseconds. */
#define RECORD_TIME_TEXT_MAX 32
size_t record_time(int64_t unix_milliseconds, char text[RECORD_TIME_TEXT_MAX]);

#endif
