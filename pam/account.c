/* `account`: locks, places, and what waits until all of `auth` is through. */

#define _GNU_SOURCE
#include "module.h"

#include <time.h>

/* Doors that people come in by; sudo, su and lockers stand behind them. */
static bool
has_place(const door_t *door)
{
    static const char *const doors[] = {
        "sshd", "login",         "lightdm",          "gdm",
        "sddm", "gdm-password",  "gdm-fingerprint",  "gdm-smartcard",
        "xdm",  "gdm-autologin", "lightdm-autologin"};

    switch (door->options->place) {
    case PLACE_OFF:
        return false;
    case PLACE_AUTO:
        break;
    default:
        return true;
    }
    for (size_t i = 0; i < sizeof(doors) / sizeof(doors[0]); i++) {
        if (strcmp(door->service, doors[i]) == 0) {
            return true;
        }
    }
    return false;
}

static int
deny(const door_t *door, const char *reason, const char *what)
{
    door_log(door, LOG_NOTICE, reason, "%s", what);
    return PAM_PERM_DENIED;
}

static int
on_no_answer(const door_t *door, const entry_t *entry, verdict_t verdict)
{
    if (verdict == VERDICT_NONE) {
        return PAM_SYSTEM_ERR;
    }
    if (entry != NULL && entry->kind == ENTRY_EMERGENCY) {
        /* that is what it is for, and it is on record */
        door_log(door, LOG_WARNING, "emergency",
                 "place and locks are not known: an emergency code was used");
        return PAM_SUCCESS;
    }
    if (door->options->unavailable_ignore) {
        door_log(door, LOG_WARNING, "unavailable-ignored",
                 "place and locks are not known: unavailable=ignore");
        return PAM_IGNORE;
    }
    return PAM_AUTHINFO_UNAVAIL;
}

/* PAM_SUCCESS; else what `account` answers. */
static int
check_lock(door_t *door, const entry_t *entry)
{
    ask_t ask = {0}, answer;
    verdict_t verdict = door_ask(door, ASK_LOCK_STATE, &ask, &answer);
    slice_t state = answer.values[ASK_STATE_IS];

    if (verdict == VERDICT_UNAVAILABLE || verdict == VERDICT_NONE) {
        return on_no_answer(door, entry, verdict);
    }
    if (verdict != VERDICT_YES || state.size == 0 ||
        memmem(state.data, state.size, "locked", 6) != NULL)
    {
        return deny(door, "locked",
                    "the user is locked: \"sekisho otp unlock\"");
    }
    return PAM_SUCCESS;
}

static int
check_place(door_t *door, const entry_t *entry)
{
    ask_t ask = {0}, answer;
    verdict_t verdict;

    if (!door->address_ok) {
        return deny(door, "no-address",
                    "where the user comes from is no literal address, or sshd "
                    "says two: set \"UseDNS no\" in sshd_config");
    }
    if (door->options->place == PLACE_SSH) {
        ask.values[ASK_SERVICE] = SLICE("ssh");
    } else if (door->options->place == PLACE_DESKTOP) {
        ask.values[ASK_SERVICE] = SLICE("desktop");
    }
    if (entry != NULL && entry->kind == ENTRY_CODE) {
        ask.values[ASK_FACTOR] = slice_of(entry->factor);
    }
    verdict = door_ask(door, ASK_PLACE, &ask, &answer);
    if (verdict == VERDICT_UNAVAILABLE || verdict == VERDICT_NONE) {
        return on_no_answer(door, entry, verdict);
    }
    if (verdict != VERDICT_YES) {
        slice_t why = answer.values[ASK_WHY];

        door_log(door, LOG_NOTICE, "place",
                 "not from %s: %.*s; see \"sekisho policy explain\"",
                 door->address, why.size > 64 ? 0 : (int) why.size,
                 why.size > 64 || why.size == 0 ? "" : why.data);
        return PAM_PERM_DENIED;
    }
    /* a stack that went around our line of `auth` ends here */
    if (slice_is(answer.values[ASK_SECOND_FACTOR], "always") &&
        !slice_is(answer.values[ASK_WHY], "dry-run") &&
        (entry == NULL || entry->kind == ENTRY_NONE))
    {
        return deny(door, "factor-missing",
                    "this place wants a second factor, and none was asked: is "
                    "the line of auth skipped?");
    }
    return PAM_SUCCESS;
}

static void
tell_recovery(const door_t *door, const entry_t *entry)
{
    if (entry != NULL && entry->kind == ENTRY_CODE &&
        strcmp(entry->factor, "recovery") == 0)
    {
        door_show(door, PAM_TEXT_INFO,
                  "A recovery code was used; %llu are left.",
                  (unsigned long long) entry->recovery_left);
    }
}

int
account_check(door_t *door)
{
    const entry_t *entry = door_entry(door);
    int result;

    if (!door->user_ok) {
        return deny(door, "bad-name", "no user can have such a name");
    }
    /* a module between may have set another user: the code was not his */
    if (entry != NULL && entry->kind != ENTRY_NONE &&
        strcmp(entry->user, door->user) != 0)
    {
        return deny(door, "user-changed",
                    "the user is another one than when the code was asked");
    }
    result = check_lock(door, entry);
    if (result == PAM_SUCCESS && has_place(door)) {
        result = check_place(door, entry);
    }
    if (result != PAM_SUCCESS) {
        return result;
    }
    tell_recovery(door, entry);
    return grace_settle(door, true);
}
