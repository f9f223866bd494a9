/*
 * Questions about persons and places, and their answers: the payload of
 * MESSAGE_ASK (to sekishod) and MESSAGE_ANSWER (from it), under the same
 * number.  Fields as in records: one byte of name, two of length (big-endian),
 * the bytes; each at most once.  Numbers are decimal text.
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
    ASK_PLACE,      /* user, service, address, local -> a verdict, facility */
    ASK_STATE,      /* user -> enrolled, pending, locked (root, and oneself) */
    ASK_GRACE,      /* user, service, address: entry without a code -> logins */
    ASK_ENROLL,     /* user, device, kind … -> secret, uri */
    ASK_CONFIRM,    /* user, device, code */
    ASK_REMOVE,     /* user, device, reason */
    ASK_UNLOCK,     /* user, reason */
    ASK_RECOVERY,   /* user -> text: ten lines */
    ASK_LIST,       /* user, after -> text: JSON lines; more */
    ASK_EXPORT,     /* root only: as list, with secrets */
    ASK_IMPORT,     /* root only: user, device, kind …, secret (base32) */
    ASK_REKEY,      /* root only -> left */
    ASK_LOCK_STATE, /* user -> locked: for `account` */
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
    ASK_AFTER,   /* list: users after this one */
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

#endif
