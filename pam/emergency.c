/* Emergency codes at the door: lib/otp/emergency.h. */

#define _GNU_SOURCE
#include "module.h"

#include <time.h>

#include "../lib/otp/emergency.h"

#define REASON_MIN 3 /* bytes: a word at least */

/*
 * A greeter with one field answers every question with what was typed there,
 * and that must not go on record.
 */
static bool
is_reason(const door_t *door, slice_t reason)
{
    const void *password = NULL;
    emergency_code_t code;
    bool shaped;

    if (reason.size < REASON_MIN || reason.size > EMERGENCY_REASON_MAX) {
        return false;
    }
    shaped = emergency_parse(reason, &code);
    wipe_bytes(&code, sizeof(code));
    if (shaped) {
        return false;
    }
    return pam_get_item(door->pamh, PAM_AUTHTOK, &password) == PAM_SUCCESS &&
           (password == NULL || *(const char *) password == '\0' ||
            memmem(reason.data, reason.size, password, strlen(password)) ==
                NULL);
}

static bool
use_code(const door_t *door, const emergency_code_t *code, slice_t reason)
{
    emergency_use_t use = {.user = slice_of(door->user),
                           .reason = reason,
                           .service = slice_of(door->service),
                           .address = slice_of(door->address),
                           .tty = slice_of(door->tty),
                           .now_seconds = time(NULL)};
    char error[EMERGENCY_ERROR_MAX] = "";
    emergency_result_t result = emergency_use(door->options->emergency, code,
                                              &use, error);

    if (result != EMERGENCY_ACCEPTED) {
        door_log(door, LOG_ERR, emergency_result_name(result), "%s", error);
        return false;
    }
    door_log(door, LOG_ALERT, emergency_result_name(result),
             "emergency code %u was used", code->number);
    return true;
}

bool
emergency_enter(door_t *door, slice_t typed, bool *had_shape)
{
    _cleanup_(secret_free) char *reason = NULL;
    emergency_code_t code;
    bool accepted = false;

    *had_shape = emergency_parse(typed, &code);
    if (!*had_shape) {
        return false;
    }
    if (geteuid() != 0 || door->options->emergency[0] == '\0' ||
        door->options->one_prompt)
    {
        door_log(door, LOG_ERR, "emergency-none",
                 "an emergency code was typed where none is taken: as the "
                 "user, with one-prompt, or with emergency=off");
    } else if (door_prompt(door, PAM_PROMPT_ECHO_ON,
                           "Why is an emergency code used? ",
                           &reason) != PAM_SUCCESS ||
               !is_reason(door, slice_of(reason)))
    {
        door_log(door, LOG_ERR, "emergency-no-reason",
                 "an emergency code takes a reason of 3 to 512 bytes");
    } else {
        accepted = use_code(door, &code, slice_of(reason));
    }
    wipe_bytes(&code, sizeof(code));
    return accepted;
}
