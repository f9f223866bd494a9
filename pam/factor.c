/* `auth`: the one-time code. */

#define _GNU_SOURCE
#include "module.h"

#include <stdlib.h>
#include <time.h>

#define RECOVERY_SIZE 19 /* "xxxx-xxxx-xxxx-xxxx" */

/*
 * Who cannot be asked about is asked about all the same, so that it takes the
 * same way and the same time: under a name that is nobody's, as no account can
 * have it.  Its verdict is not looked at.
 */
static const char nobody[] = " ";
/* The same for what is no code: wrong, whatever the codes are. */
static const char no_code[] = "?";

/*
 * sshd gives this instead of what was typed when it has decided that the user
 * shall not enter: its answer means nothing, and must not count against him.
 */
static const char dummy[] = "\b\n\r\177";

static bool
is_dummy(const char *answer)
{
    return strncmp(answer, dummy, sizeof(dummy) - 1) == 0;
}

/* ---- The code ------------------------------------------------------------ */

typedef struct {
    char *text; /* malloc'ed: what was typed; wiped */
    slice_t code;
    bool dummy; /* nobody's answer */
} typed_t;

static void
cleanup_typed(typed_t *typed)
{
    secret_free(&typed->text);
}

static bool
is_group(const char *text)
{
    for (unsigned i = 0; i < 4; i++) {
        char c = text[i];

        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
              (c >= 'A' && c <= 'Z')))
        {
            return false;
        }
    }
    return true;
}

static bool
ends_in_recovery(const char *end)
{
    return is_group(end - 19) && end[-15] == '-' && is_group(end - 14) &&
           end[-10] == '-' && is_group(end - 9) && end[-5] == '-' &&
           is_group(end - 4);
}

/*
 * Where in "password code" the code begins: its last `digits` bytes if they
 * are digits, however many stand before them; or a recovery code.  SIZE_MAX:
 * there is none.  Both cannot be: a recovery code has a hyphen in its last
 * five bytes.
 */
static size_t
find_code(const char *text, size_t digits)
{
    size_t size = strlen(text), i = 0;

    while (i < digits && i < size && text[size - 1 - i] >= '0' &&
           text[size - 1 - i] <= '9')
    {
        i++;
    }
    if (i == digits) {
        return size - digits;
    }
    if (size >= RECOVERY_SIZE && ends_in_recovery(text + size)) {
        return size - RECOVERY_SIZE;
    }
    return SIZE_MAX;
}

/*
 * One field for both: the code is cut off, and the password handed to the
 * next module.  Without a code the password is left as it is: the answer is a
 * no anyway, and the next module takes its time.
 */
static int
split_field(door_t *door, typed_t *typed)
{
    const void *item = NULL;
    size_t at;
    int result = pam_get_item(door->pamh, PAM_AUTHTOK, &item);

    if (result != PAM_SUCCESS) {
        return result;
    }
    if (item != NULL) {
        typed->text = strdup(item);
        if (typed->text == NULL) {
            return PAM_BUF_ERR;
        }
    } else {
        result = door_prompt(door, PAM_PROMPT_ECHO_OFF,
                             door->options->password_prompt, &typed->text);
        if (result != PAM_SUCCESS) {
            return result;
        }
    }
    typed->dummy = is_dummy(typed->text);
    at = find_code(typed->text, door->options->digits);
    if (at == SIZE_MAX || typed->dummy) {
        typed->code = (slice_t){"", 0};
        return pam_set_item(door->pamh, PAM_AUTHTOK, typed->text);
    }
    typed->code = slice_of(typed->text + at);
    {
        /* a copy: the code must outlive the cut */
        _cleanup_(secret_free) char *password = strndup(typed->text, at);

        if (password == NULL) {
            return PAM_BUF_ERR;
        }
        return pam_set_item(door->pamh, PAM_AUTHTOK, password);
    }
}

static int
ask_code(door_t *door, typed_t *typed)
{
    int result;

    if (door->options->one_prompt) {
        return split_field(door, typed);
    }
    result = door_prompt(door, PAM_PROMPT_ECHO_ON, door->options->prompt,
                         &typed->text);
    if (result != PAM_SUCCESS) {
        return result;
    }
    typed->code = slice_of(typed->text);
    typed->dummy = is_dummy(typed->text);
    return PAM_SUCCESS;
}

/* ---- What was there before us -------------------------------------------- */

/* A line "publickey …" among what sshd says it has accepted. */
static bool
has_publickey(const door_t *door)
{
    const char *line = pam_getenv(door->pamh, "SSH_AUTH_INFO_0");

    while (line != NULL && *line != '\0') {
        if (strncmp(line, "publickey ", sizeof("publickey ") - 1) == 0) {
            return true;
        }
        line = strchr(line, '\n');
        line = line == NULL ? NULL : line + 1;
    }
    return false;
}

/* For the record alone: it is not known whether the password was right. */
static slice_t
factors_before(const door_t *door)
{
    const void *item = NULL;

    if (has_publickey(door)) {
        return SLICE("publickey");
    }
    if (door->options->one_prompt ||
        (pam_get_item(door->pamh, PAM_AUTHTOK, &item) == PAM_SUCCESS &&
         item != NULL))
    {
        return SLICE("password");
    }
    return (slice_t){NULL, 0};
}

/* ---- The daemon's answer ------------------------------------------------- */

typedef struct {
    bool enrolled;
    bool grace; /* enters without a code, until `account` */
} standing_t;

/*
 * What the daemon knows of the user, where somebody without a device may
 * enter: asked before the code is, and of everybody, so that all take as long.
 */
static verdict_t
ask_standing(door_t *door, slice_t user, standing_t *standing)
{
    const options_t *options = door->options;
    ask_t ask = {0}, answer;
    uint64_t logins = 0;
    verdict_t verdict;
    slice_t state;
    bool lasts, counted;

    ask.values[ASK_USER] = user;
    verdict = door_ask(door, ASK_STATE, &ask, &answer);
    if (verdict != VERDICT_YES) {
        return verdict;
    }
    state = answer.values[ASK_STATE_IS];
    counted = ask_number_parse(answer.values[ASK_LOGINS], INT64_MAX, &logins);
    lasts = options->grace == GRACE_DAY ? grace_day_lasts(options)
            : options->grace == GRACE_LOGINS
                ? counted && logins < options->grace_logins
                : false;
    standing->grace = (slice_is(state, "none") || slice_is(state, "pending")) &&
                      (lasts || options->enroll);
    return VERDICT_YES;
}

static bool
is_code(const typed_t *typed)
{
    return typed->code.size > 0 && typed->code.size <= DOOR_CODE_MAX;
}

static verdict_t
ask_verdict(door_t *door, const typed_t *typed, slice_t user, entry_t *entry)
{
    ask_t ask = {0}, answer;
    verdict_t verdict;
    slice_t factor;

    ask.values[ASK_USER] = user;
    ask.values[ASK_CODE] = typed->code;
    if (!is_code(typed)) {
        ask.values[ASK_CODE] = SLICE(no_code);
    }
    ask.values[ASK_FACTORS] = factors_before(door);
    verdict = door_ask(door, ASK_VERIFY, &ask, &answer);
    if (verdict == VERDICT_YES) {
        factor = answer.values[ASK_FACTOR];
        if (factor.size == 0 || factor.size >= sizeof(entry->factor)) {
            factor = SLICE("totp");
        }
        memcpy(entry->factor, factor.data, factor.size);
        (void) ask_number_parse(answer.values[ASK_LEFT], INT64_MAX,
                                &entry->recovery_left);
    } else if (verdict == VERDICT_NO) {
        slice_t why = answer.values[ASK_WHY];

        door_log(door, LOG_NOTICE, "denied", "the code was not accepted: %.*s",
                 why.size > 64 || why.size == 0 ? 7 : (int) why.size,
                 why.size > 64 || why.size == 0 ? "no code" : why.data);
    }
    if (door->client != NULL) {
        client_wipe(door->client);
    }
    return verdict;
}

/* Without a code, as the administrator wrote. */
static int
enter_without(door_t *door, entry_kind_t kind, const char *reason,
              const char *what)
{
    entry_t entry = {.kind = kind};

    if (door_keep(door, &entry) != PAM_SUCCESS) {
        return PAM_BUF_ERR;
    }
    door_log(door, LOG_WARNING, reason, "%s", what);
    return PAM_IGNORE;
}

static int
on_unavailable(door_t *door, const typed_t *typed, bool real, entry_t *entry)
{
    bool had_shape = false;

    if (real && emergency_enter(door, typed->code, &had_shape)) {
        entry->kind = ENTRY_EMERGENCY;
        return PAM_SUCCESS;
    }
    if (!had_shape && door->options->unavailable_ignore) {
        return enter_without(door, ENTRY_UNAVAILABLE, "unavailable-ignored",
                             "entered without a code: unavailable=ignore");
    }
    return PAM_AUTHINFO_UNAVAIL;
}

int
factor_authenticate(door_t *door)
{
    _cleanup_(cleanup_typed) typed_t typed = {0};
    entry_t entry = {.kind = ENTRY_NONE};
    standing_t standing = {0};
    verdict_t verdict;
    slice_t user;
    bool real;
    int result;

    /* what an earlier try of this application left is not this one's */
    result = door_keep(door, &entry);
    if (result != PAM_SUCCESS) {
        return result;
    }
    if (door->options->skip_for_publickey && has_publickey(door)) {
        return enter_without(door, ENTRY_SKIPPED, "skipped",
                             "a public key was accepted before: "
                             "skip-for-publickey");
    }
    result = ask_code(door, &typed);
    if (result != PAM_SUCCESS) {
        door_log(door, LOG_NOTICE, "no-code", "%s",
                 pam_strerror(door->pamh, result));
        return result;
    }
    real = door->user_ok && !typed.dummy;
    user = real ? slice_of(door->user) : SLICE(nobody);

    verdict = VERDICT_YES;
    if (door->options->grace != GRACE_NONE || door->options->enroll) {
        verdict = ask_standing(door, user, &standing);
    }
    if (verdict == VERDICT_YES) {
        verdict = ask_verdict(door, &typed, user, &entry);
    }
    if (verdict == VERDICT_UNAVAILABLE) {
        result = on_unavailable(door, &typed, real, &entry);
        if (result != PAM_SUCCESS) {
            return result;
        }
    } else if (verdict == VERDICT_YES && real && is_code(&typed)) {
        entry.kind = ENTRY_CODE;
    } else if (verdict == VERDICT_NO && standing.grace && real) {
        return enter_without(door, ENTRY_NOT_ENROLLED, "grace",
                             "not enrolled: enters without a code, if the "
                             "rest is right");
    } else {
        return verdict == VERDICT_NONE ? PAM_SYSTEM_ERR : PAM_AUTH_ERR;
    }
    result = door_keep(door, &entry);
    if (result != PAM_SUCCESS) {
        return result;
    }
    return entry.kind == ENTRY_CODE || entry.kind == ENTRY_EMERGENCY
               ? PAM_SUCCESS
               : PAM_AUTH_ERR;
}
