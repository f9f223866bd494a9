/*
 * What the administrator wrote: /etc/sekisho/pam.conf and the words behind
 * pam_sekisho.so, through one parser.
 */

#ifndef SEKISHO_PAM_OPTIONS_H
#define SEKISHO_PAM_OPTIONS_H

#include <stdint.h>
#include <sys/un.h>

#include "../lib/base/slice.h"

#include <security/pam_modules.h>

#define OPTIONS_FILE        "/etc/sekisho/pam.conf"
#define OPTIONS_TEXT_MAX    160 /* bytes of a prompt */
#define OPTIONS_PATH_MAX    256 /* bytes of a path */
#define OPTIONS_WIPES_MAX   32
#define OPTIONS_SECONDS_MAX 300

typedef enum {
    GRACE_NONE = 0, /* who is not enrolled does not enter */
    GRACE_DAY,      /* up to and with grace_day */
    GRACE_LOGINS
} grace_t;

typedef enum {
    PLACE_AUTO = 0, /* by the service's name */
    PLACE_OFF,
    PLACE_ON, /* the daemon maps the service's name */
    PLACE_SSH,
    PLACE_DESKTOP
} place_t;

typedef enum { QR_AUTO = 0, QR_ON, QR_OFF } qr_t;

typedef struct {
    char prompt[OPTIONS_TEXT_MAX];          /* for the code */
    char password_prompt[OPTIONS_TEXT_MAX]; /* one_prompt, if we must ask */
    uint32_t timeout_seconds;               /* of each question to the daemon */
    uint32_t digits;                        /* one_prompt: of a code */
    bool one_prompt;
    bool enroll; /* whose grace is over is enrolled by `account` */
    bool skip_for_publickey;
    bool unavailable_ignore;
    bool record_required; /* no session without its record */
    grace_t grace;
    int32_t grace_day;     /* days since 1970-01-01, local time */
    uint64_t grace_logins; /* GRACE_LOGINS */
    place_t place;
    qr_t qr;
    char socket[sizeof(((struct sockaddr_un *) NULL)->sun_path)];
    char emergency[OPTIONS_PATH_MAX]; /* folder; "": no emergency codes */
    char sessions[OPTIONS_PATH_MAX];  /* folder of marks of sessions */
    uint32_t wipe_from_uid;
    uint32_t wipe_seconds; /* a wipe takes no longer */
    uint32_t wipes_count;
    char wipes[OPTIONS_WIPES_MAX][OPTIONS_PATH_MAX]; /* below the home */
} options_t;

/*
 * Defaults, then the file, then its block for this service, then the words.
 * NULL after an error, which is in the log with its place and its cure: then
 * nothing is certain, and the answer is a no.  Freed by options_free().
 */
options_t *options_read(pam_handle_t *pamh, const char *service, int argc,
                        const char **argv);
void options_free(options_t *options); /* takes NULL */

static inline void
cleanup_options(options_t **options)
{
    options_free(*options);
}

#endif
