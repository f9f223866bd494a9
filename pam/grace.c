/* Who is not enrolled yet: let through for a while, then enrolled. */

#define _GNU_SOURCE
#include "module.h"

#include <stdio.h>
#include <time.h>

#define TRIES         3
#define DEVICE        "phone"
#define SECRET_MAX    128 /* bytes of base32 */
#define CONFIRM_RETRY "That was not the code. Code of the new device: "

bool
grace_day_lasts(const options_t *options)
{
    time_t now = time(NULL);
    struct tm tm;
    int64_t days;

    if (localtime_r(&now, &tm) == NULL) {
        return false;
    }
    /* the local day, as a count: the wall clock's time read as if it were
     * UTC */
    days = (int64_t) timegm(&tm) / 86400;
    return days <= options->grace_day;
}

/* The entry is counted, or has become an enrolled one. */
static int
keep_counted(const door_t *door)
{
    entry_t entry = {.kind = ENTRY_COUNTED};

    return door_keep(door, &entry);
}

static int
count_entry(door_t *door, bool *over)
{
    const options_t *options = door->options;
    char left[ASK_NUMBER_SIZE];
    ask_t ask = {0}, answer;
    uint64_t logins = 0;
    verdict_t verdict;

    *over = false;
    if (options->grace == GRACE_NONE ||
        (options->grace == GRACE_DAY && !grace_day_lasts(options)))
    {
        *over = true;
        return PAM_SUCCESS;
    }
    if (geteuid() != 0) {
        /* a locker behind a door that has counted */
        return PAM_SUCCESS;
    }
    if (options->grace == GRACE_LOGINS) {
        ask.values[ASK_LEFT] = slice_of(
            ask_number(options->grace_logins, left));
    }
    verdict = door_ask(door, ASK_GRACE, &ask, &answer);
    if (verdict == VERDICT_NO) {
        *over = true;
        return PAM_SUCCESS;
    }
    if (verdict != VERDICT_YES ||
        !ask_number_parse(answer.values[ASK_LOGINS], INT64_MAX, &logins))
    {
        return verdict == VERDICT_UNAVAILABLE ? PAM_AUTHINFO_UNAVAIL
                                              : PAM_SYSTEM_ERR;
    }
    if (options->grace == GRACE_LOGINS) {
        door_show(
            door, PAM_TEXT_INFO,
            "You are not enrolled for one-time codes. Entries without one that "
            "are left: %llu. Enroll with \"sekisho otp enroll\".",
            (unsigned long long) (logins < options->grace_logins
                                      ? options->grace_logins - logins
                                      : 0));
    } else {
        char day[32] = "";
        time_t seconds = (time_t) options->grace_day * 86400;
        struct tm tm;

        if (gmtime_r(&seconds, &tm) != NULL) {
            (void) strftime(day, sizeof(day), "%Y-%m-%d", &tm);
        }
        door_show(door, PAM_TEXT_INFO,
                  "You are not enrolled for one-time codes. You can enter "
                  "without one until %s: enroll with \"sekisho otp enroll\".",
                  day);
    }
    return PAM_SUCCESS;
}

int
grace_settle(door_t *door, bool may_enroll)
{
    const entry_t *entry = door_entry(door);
    bool over = false;
    int result;

    if (entry == NULL || entry->kind != ENTRY_NOT_ENROLLED) {
        return PAM_SUCCESS;
    }
    result = count_entry(door, &over);
    if (result != PAM_SUCCESS) {
        return result;
    }
    if (over && may_enroll && door->options->enroll) {
        result = enroll_now(door);
    } else if (over) {
        door_log(door, LOG_NOTICE, "grace-over",
                 "the user is not enrolled: \"sekisho otp enroll\"");
        door_show(door, PAM_ERROR_MSG,
                  "You are not enrolled for one-time codes, and the time to do "
                  "it is over: ask your administrator.");
        result = PAM_PERM_DENIED;
    }
    return result == PAM_SUCCESS ? keep_counted(door) : result;
}

/* ---- Enrolment ----------------------------------------------------------- */

/* "ABCD EFGH …": groups of four, as people type. */
static void
group_secret(slice_t secret, char text[SECRET_MAX * 5 / 4 + 2])
{
    size_t used = 0;

    for (size_t i = 0; i < secret.size; i++) {
        if (i > 0 && i % 4 == 0) {
            text[used++] = ' ';
        }
        text[used++] = secret.data[i];
    }
    text[used] = '\0';
}

/* Greeters have a line of text, terminals have room. */
static bool
shows_qr(const door_t *door)
{
    return door->options->qr == QR_ON ||
           (door->options->qr == QR_AUTO && strcmp(door->service, "sshd") == 0);
}

static int
show_secret(door_t *door, const ask_t *answer)
{
    slice_t secret = answer->values[ASK_SECRET];
    slice_t qr = answer->values[ASK_TEXT];
    char text[SECRET_MAX * 5 / 4 + 2];

    if (secret.size == 0 || secret.size > SECRET_MAX) {
        door_log(door, LOG_ERR, "bad-answer",
                 "sekishod gave no secret: is it of the same version?");
        return PAM_SYSTEM_ERR;
    }
    group_secret(secret, text);
    if (shows_qr(door) && qr.size > 0) {
        door_show(door, PAM_TEXT_INFO,
                  "Scan this with the application for one-time codes:\n%.*s",
                  SLICE_ARG(qr));
    }
    door_show(door, PAM_TEXT_INFO,
              "Secret for the application for one-time codes: %s", text);
    wipe_bytes(text, sizeof(text));
    return PAM_SUCCESS;
}

static verdict_t
confirm(door_t *door, const char *prompt, int *result)
{
    _cleanup_(secret_free) char *code = NULL;
    ask_t ask = {0}, answer;
    slice_t text;
    verdict_t verdict;

    *result = door_prompt(door, PAM_PROMPT_ECHO_ON, prompt, &code);
    if (*result != PAM_SUCCESS) {
        return VERDICT_NONE;
    }
    *result = PAM_SYSTEM_ERR;
    ask.values[ASK_DEVICE] = SLICE(DEVICE);
    ask.values[ASK_KIND] = SLICE("recovery");
    ask.values[ASK_CODE] = slice_of(code);
    if (ask.values[ASK_CODE].size == 0 ||
        ask.values[ASK_CODE].size > DOOR_CODE_MAX) {
        ask.values[ASK_CODE] = SLICE("?");
    }
    verdict = door_ask(door, ASK_CONFIRM, &ask, &answer);
    text = answer.values[ASK_TEXT];
    if (verdict == VERDICT_YES && text.size > 0) {
        _cleanup_(secret_free) char *enter = NULL;

        door_show(door, PAM_TEXT_INFO,
                  "Keep these recovery codes at a safe place; each is good "
                  "once:\n%.*s",
                  SLICE_ARG(text));
        /* sshd shows what was said together with the next question, and what
         * comes after the last one only to who has a terminal */
        (void) door_prompt(door, PAM_PROMPT_ECHO_ON,
                           "Press Enter when they are kept: ", &enter);
    }
    if (door->client != NULL) {
        client_wipe(door->client);
    }
    return verdict;
}

int
enroll_now(door_t *door)
{
    ask_t ask = {0}, answer;
    const char *prompt = "Code of the new device: ";
    verdict_t verdict;
    int result;

    ask.values[ASK_DEVICE] = SLICE(DEVICE);
    verdict = door_ask(door, ASK_ENROLL, &ask, &answer);
    if (verdict != VERDICT_YES) {
        door_log(door, LOG_ERR, "enroll",
                 "sekishod does not enroll this user: see its log");
        return verdict == VERDICT_UNAVAILABLE ? PAM_AUTHINFO_UNAVAIL
                                              : PAM_PERM_DENIED;
    }
    door_show(door, PAM_TEXT_INFO,
              "You must enroll for one-time codes before you enter.");
    result = show_secret(door, &answer);
    if (door->client != NULL) {
        client_wipe(door->client);
    }
    for (unsigned i = 0; result == PAM_SUCCESS && i < TRIES; i++) {
        verdict = confirm(door, prompt, &result);
        if (verdict == VERDICT_YES) {
            door_log(door, LOG_NOTICE, "enrolled", "device \"%s\"", DEVICE);
            return PAM_SUCCESS;
        }
        if (verdict != VERDICT_NO) {
            return verdict == VERDICT_UNAVAILABLE ? PAM_AUTHINFO_UNAVAIL
                                                  : result;
        }
        result = PAM_SUCCESS;
        prompt = CONFIRM_RETRY;
    }
    door_log(door, LOG_NOTICE, "enroll", "no code of the new device was right");
    return result == PAM_SUCCESS ? PAM_PERM_DENIED : result;
}
