/* Between the verifier*.c files alone. */

#ifndef SEKISHO_DAEMON_VERIFIER_INTERNAL_H
#define SEKISHO_DAEMON_VERIFIER_INTERNAL_H

#include "../lib/base/address.h"
#include "../lib/base/wipe.h"
#include "../lib/otp/otp.h"
#include "emergency_spool.h"
#include "folding.h"
#include "places.h"
#include "verifier.h"

#define QUESTIONS_MAX   1024 /* of one group */
#define QUESTION_MAX    8192 /* bytes of one's payload */
#define SERVICE_MAX     64   /* bytes */
#define TTY_MAX         256
#define WORDS_MAX       1024 /* of a person's reason */
#define SECRET_TEXT_MAX 112  /* base32 of OTP_SECRET_MAX bytes, and a NUL */
#define URI_MAX         2048
#define SOURCE_TEXT_MAX 64
#define REKEY_AT_ONCE   2000 /* rows: some tens of milliseconds */
#define STORE_RETRY_MS  5000

typedef struct question_s question_t;

struct question_s {
    asker_t asker;
    uint64_t number; /* of the message */
    ask_operation_t operation;
    ask_t ask; /* into the payload */
    address_t address;
    char address_text[ADDRESS_TEXT_MAX];
    char source[SOURCE_TEXT_MAX]; /* whose failures are counted together */
    bool door;                    /* the rules of self-service hold */

    /* what came of it */
    const char *verdict;
    const char *why;
    bool code_seen; /* `outcome` is that of a code */
    otp_outcome_t outcome;
    const char *factor; /* "totp" "hotp" "recovery" */
    const char *state;  /* ASK_STATE_IS */
    place_t place;
    uint64_t left, logins;
    bool left_told, logins_told, more;
    char secret[SECRET_TEXT_MAX];
    char uri[URI_MAX];
    char *text; /* ASK_TEXT_MAX bytes, or NULL */
    size_t text_size;
    char after[OTP_USER_MAX]; /* the last user of a page */
    size_t after_size;

    size_t payload_size;
    uint8_t payload[];
};

struct verifier_s {
    const config_t *config;
    recorder_t *recorder;
    verifier_send_fn send;
    otp_store_t *store; /* NULL: closed */
    otp_keys_t keys;
    char *store_path;
    int64_t store_tried; /* ms */
    bool store_failing;  /* told in the log */
    bool commit_failing; /* the same */
    places_t *places;
    folding_t folding;
    emergency_spool_t spool;
    question_t *questions[QUESTIONS_MAX];
    size_t count;
    uint64_t asked, accepted, refused, unavailable;
};

/* ---- verifier_ask.c ----------------------------------------------------- */

/* Checks every field, and whether it is the asker's to ask: NULL, or the
 * verdict at once. */
const char *question_check(const verifier_t *verifier, question_t *question);

/* ---- verifier_run.c, verifier_manage.c: within a transaction ------------ */

void question_run(verifier_t *verifier, question_t *question, int64_t now_ms);

/* Looks at the question's code; true if it is accepted. */
bool question_code(verifier_t *verifier, question_t *question, int64_t now_ms);

/* Enrolment and all that changes or lists devices. */
void question_manage(verifier_t *verifier, question_t *question,
                     int64_t now_ms);

void question_set(question_t *question, const char *verdict, const char *why);
/* 0: yes; errno of lib/otp otherwise. */
void question_set_error(question_t *question, int error);

/* ---- verifier_record.c -------------------------------------------------- */

void question_record(verifier_t *verifier, const question_t *question,
                     int64_t now_ms);

/* Somebody asked what is not for him to ask. */
void question_record_refused(verifier_t *verifier, const question_t *question,
                             int64_t now_ms);

/* The store was not there and has been made: nobody is enrolled now. */
void verifier_record_made(verifier_t *verifier, int64_t now_ms);
/* The store was opened anew with other keys: the newest one's version. */
void verifier_record_keys(verifier_t *verifier, int64_t now_ms);

#endif
