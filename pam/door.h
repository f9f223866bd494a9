/*
 * One call of the module: who stands at which door, what is said to him, and
 * what the daemon says of him.
 */

#ifndef SEKISHO_PAM_DOOR_H
#define SEKISHO_PAM_DOOR_H

#include <syslog.h>

#include <security/pam_ext.h>
#include <security/pam_modules.h>

#include "../lib/base/address.h"
#include "../lib/base/wipe.h"
#include "../lib/ipc/client.h"
#include "../lib/ipc/otp_message.h"
#include "options.h"

#define DOOR_USER_MAX    256 /* bytes, as the daemon has it */
#define DOOR_SERVICE_MAX 64
#define DOOR_TTY_MAX     256
#define DOOR_CODE_MAX    64 /* bytes that a person may type */

/* How somebody got past `auth`, for `account` and `setcred` of the same
 * entry.  Zeroed memory is not past it. */
typedef enum {
    ENTRY_NONE = 0,
    ENTRY_CODE,
    ENTRY_EMERGENCY,
    ENTRY_NOT_ENROLLED, /* as `grace` and `enroll` allow; not yet counted */
    ENTRY_COUNTED,      /* the same, counted or enrolled */
    ENTRY_SKIPPED,      /* a public key, as the administrator wrote */
    ENTRY_UNAVAILABLE   /* let through as the administrator wrote */
} entry_kind_t;

typedef struct {
    entry_kind_t kind;
    char user[DOOR_USER_MAX + 1];
    char factor[16];        /* "totp" "hotp" "recovery" */
    uint64_t recovery_left; /* of a recovery code: to be shown */
} entry_t;

typedef struct {
    pam_handle_t *pamh;
    const options_t *options;
    const char *user;                     /* as PAM has it, never NULL */
    const char *service;                  /* never NULL */
    const char *tty;                      /* "" if there is none */
    bool user_ok;                         /* a name that there can be */
    bool address_ok;                      /* literal, or local */
    char address[ADDRESS_TEXT_MAX];       /* "" if it is not known */
    char local_address[ADDRESS_TEXT_MAX]; /* where it arrived, or "" */
    client_t *client;                     /* once it was asked */
} door_t;

/* PAM_SUCCESS, or why PAM does not tell the user.  The user may be prompted
 * for its name. */
int door_open(door_t *door, pam_handle_t *pamh, const options_t *options);
void door_close(door_t *door);

/* Logs "REASON: what": reasons are stable. */
void door_log(const door_t *door, int level, const char *reason,
              const char *format, ...) __attribute__((format(printf, 4, 5)));

/* What was answered to this entry's `auth`; NULL if it did not come to one. */
const entry_t *door_entry(const door_t *door);
/* PAM_SUCCESS if it is kept. */
int door_keep(const door_t *door, const entry_t *entry);

/* Zeroed memory is no yes. */
typedef enum {
    VERDICT_NONE = 0, /* we ourselves failed, or it was no answer */
    VERDICT_YES,
    VERDICT_NO,
    VERDICT_UNAVAILABLE
} verdict_t;

/*
 * Asks; user (if it is not set), service, address and terminal are put in.
 * `answer` lasts until the next question.
 */
verdict_t door_ask(door_t *door, ask_operation_t operation, ask_t *ask,
                   ask_t *answer);

/*
 * Prompts.  *answer is malloc'ed, never NULL after PAM_SUCCESS, and freed by
 * secret_free().
 */
int door_prompt(const door_t *door, int style, const char *prompt,
                char **answer);
/* Shows a text of one or more lines; what cannot be shown is not. */
void door_show(const door_t *door, int style, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

void secret_free(char **secret); /* wipes; takes a pointer to NULL */

static inline void
cleanup_door(door_t *door)
{
    door_close(door);
}

#endif
