/* What the entry points in pam_sekisho.c call. */

#ifndef SEKISHO_PAM_MODULE_H
#define SEKISHO_PAM_MODULE_H

#include "door.h"

/*
 * `auth`: the code.  PAM_SUCCESS stands on one line, which is reached with a
 * code that was accepted just now.  PAM_IGNORE only where the administrator
 * wrote `grace`, `enroll`, `skip-for-publickey` or `unavailable=ignore`.
 */
int factor_authenticate(door_t *door);

/* An emergency code that was typed where the daemon did not answer; asks why
 * it is used.  True if it was accepted and is on record. */
bool emergency_enter(door_t *door, slice_t typed, bool *had_shape);

/* `account`: locks, place, and what is to be told or done now that the whole
 * of `auth` is through. */
int account_check(door_t *door);

/*
 * Somebody who is not enrolled: counts this entry and warns, or, when the
 * grace is over, enrols.  Once per entry: by `account`, or by `setcred` where
 * the stack has no line of `account`.  libpam does not listen to a no of
 * `setcred` after an ignored `auth`: there the next `auth` is the no.
 */
int grace_settle(door_t *door, bool may_enroll);
/* In the conversation; PAM_SUCCESS if a device is confirmed. */
int enroll_now(door_t *door);
/* Whether the grace of GRACE_DAY lasts today. */
bool grace_day_lasts(const options_t *options);

/* `session`. */
int session_begin(door_t *door);
int session_end(door_t *door);

#endif
