/*
 * Questions about persons and places, and their answers: the payload of
 * MESSAGE_ASK (to sekishod) and MESSAGE_ANSWER (from it), under the same
 * number.  Fields as in records: one byte of name, two of length (big-endian),
 * the bytes; each at most once, none empty.  Numbers are decimal text.
 *
 * Secrets travel in these two alone: whoever holds such a packet wipes it.
 */

#ifndef SEKISHO_IPC_OTP_MESSAGE_H
#define SEKISHO_IPC_OTP_MESSAGE_H

#include "message.h"

/* The numbers travel in messages; new ones go to the end. */
typedef enum {
    ASK_NONE = 0,
    ASK_VERIFY,     /* user, code, service, address, tty -> a verdict */
    ASK_PLACE,      /* user, service, address, local; factor: if a code was
                       accepted for this entry -> a verdict, facility, idle,
                       max, second-factor */
    ASK_STATE,      /* user -> enrolled, pending, locked (root, and oneself) */
    ASK_GRACE,      /* user, service, address: entry without a code; left: how
                       many are allowed in all -> logins so far */
    ASK_ENROLL,     /* user, device, digest … ; code, if one is due: for
                       oneself, or through a door (service is given), when
                       there is a device already -> secret, uri */
    ASK_CONFIRM,    /* user, device, code; kind "recovery": new recovery codes
                       as well -> text */
    ASK_REMOVE,     /* user, device, reason */
    ASK_UNLOCK,     /* user, reason */
    ASK_RECOVERY,   /* user; code as in ASK_ENROLL -> text: ten lines */
    ASK_LIST,       /* user, after -> text: JSON lines; more, after */
    ASK_EXPORT,     /* root only: as list, with secrets */
    ASK_IMPORT,     /* root only: user, device, kind …, secret (base32); with
                       a reason and no secret one is made, and nothing has to
                       be confirmed -> secret, uri */
    ASK_REKEY,      /* root only -> left */
    ASK_LOCK_STATE, /* user -> locked: for `account` */
    ASK_CLOCK,      /* root only: reason; the clock is right, the store too */
    ASK_OPERATIONS
} ask_operation_t;

typedef enum {
    ASK_OPERATION = 1, /* number of ask_operation_t */
    ASK_USER,
    ASK_CODE,
    ASK_SERVICE, /* PAM's service name, "web" */
    ASK_ADDRESS, /* literal address, "local"; no name ever */
    ASK_LOCAL,   /* address on which it arrived, if known */
    ASK_TTY,
    ASK_DEVICE,
    ASK_REASON, /* a person's words */
    ASK_KIND,   /* "totp" "hotp" */
    ASK_DIGEST, /* "SHA1" "SHA256" "SHA512" */
    ASK_DIGITS,
    ASK_PERIOD,  /* seconds */
    ASK_COUNTER, /* HOTP */
    ASK_SECRET,  /* base32 */
    ASK_AFTER,   /* list: users after this one; in an answer that has more:
                    what to ask with */
    /* answers */
    ASK_VERDICT,  /* "yes" "no" "unavailable" "not-allowed" "bad-request" */
    ASK_WHY,      /* stable reason; to root and the officer's tools only, never
                     to be shown at a door */
    ASK_TEXT,     /* lines for people, or JSON lines */
    ASK_URI,      /* otpauth:// */
    ASK_FACTOR,   /* "totp" "hotp" "recovery" */
    ASK_LEFT,     /* recovery codes, rows */
    ASK_STATE_IS, /* "enrolled" "pending" "none"; with ",locked" */
    ASK_LOGINS,
    ASK_FACILITY,
    ASK_IDLE, /* seconds; a place's session limits */
    ASK_MAX,
    ASK_MORE,          /* "1": ask again with `after` */
    ASK_RECORD,        /* id of the record that tells of it */
    ASK_SECOND_FACTOR, /* place: "always" or "never" as the policy says */
    /* questions again */
    ASK_FACTORS, /* what the door has seen before: "password" "publickey";
                    for the record alone */
    ASK_BY,      /* root: the person for whom it asks (behind sudo) */
    ASK_FIELDS
} ask_field_t;

typedef struct ask_s {
    slice_t values[ASK_FIELDS]; /* size 0: not there; never owned */
} ask_t;

/* The bound of one value; a list's text may be larger. */
#define ASK_VALUE_MAX 4096
#define ASK_TEXT_MAX  60000

/* Writes a whole message of that type; 0 if it does not fit. */
size_t ask_write(uint8_t *bytes, size_t capacity, message_type_t type,
                 uint64_t number, const ask_t *ask);
/* Values point into the packet.  False for what is none: an unknown or
 * repeated field, a length beyond the end, a value too long. */
bool ask_parse(const message_t *message, ask_t *ask);

const char *ask_operation_name(ask_operation_t operation); /* never NULL */

/* Numbers as they travel: the text begins at what is returned. */
#define ASK_NUMBER_SIZE 24
const char *ask_number(uint64_t number, char text[ASK_NUMBER_SIZE]);
/* 1 to 19 digits and nothing else, at most `max`. */
bool ask_number_parse(slice_t text, uint64_t max, uint64_t *number);

/*
 * RFC 4648 6, without padding.  Writing: the size without the NUL, 0 if it
 * does not fit.  Reading: either case; spaces, hyphens and padding are passed
 * over; 0 if it is none, is empty or does not fit.
 */
size_t ask_base32_write(char *text, size_t capacity, const uint8_t *bytes,
                        size_t size);
size_t ask_base32_read(slice_t text, uint8_t *bytes, size_t capacity);

/*
 * A name that may be asked about: 1 to `max` bytes, none of them a control
 * character (ASCII).  PAM's user names are bytes; nothing is folded, so that
 * two accounts never become one.
 */
bool ask_name_ok(slice_t name, size_t max);

#endif
