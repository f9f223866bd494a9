/* Devices, recovery codes, locks: what changes or lists them. */

#include "verifier_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#define DEVICE_LINE_MAX 2048 /* JSON of one device, more than it can be */

void
question_set_error(question_t *question, int error)
{
    static const struct {
        int error;
        const char *verdict, *why;
    } known[] = {
        {0, "yes", "ok"},
        {-EAGAIN, "no", "wrong-code"},
        {-ENOENT, "no", "not-enrolled"},
        {-EEXIST, "no", "device-exists"},
        {-EDQUOT, "no", "too-many-devices"},
        {-ESTALE, "no", "clock"},
        {-EINVAL, "bad-request", "bad-request"},
    };

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (known[i].error == error) {
            question_set(question, known[i].verdict, known[i].why);
            return;
        }
    }
    question_set(question, "unavailable", "unavailable");
}

/* False if a word or number of the device is none that there is. */
static bool
read_parameters(const ask_t *ask, otp_parameters_t *parameters)
{
    static const struct {
        const char *name;
        otp_digest_t digest;
    } digests[] = {
        {"SHA1", OTP_SHA1}, {"SHA256", OTP_SHA256}, {"SHA512", OTP_SHA512}};
    slice_t kind = ask->values[ASK_KIND], digest = ask->values[ASK_DIGEST];
    uint64_t digits = 0, period = 0, counter = 0;

    *parameters = (otp_parameters_t){0};
    if (kind.size > 0) {
        parameters->kind = slice_is(kind, "totp")   ? OTP_TOTP
                           : slice_is(kind, "hotp") ? OTP_HOTP
                                                    : 0;
        if (parameters->kind == 0) {
            return false;
        }
    }
    if (digest.size > 0) {
        for (size_t i = 0; i < sizeof(digests) / sizeof(digests[0]); i++) {
            if (slice_is(digest, digests[i].name)) {
                parameters->digest = digests[i].digest;
            }
        }
        if (parameters->digest == 0) {
            return false;
        }
    }
    /* are numbers, as question_check() has seen */
    (void) ask_number_parse(ask->values[ASK_DIGITS], UINT32_MAX, &digits);
    (void) ask_number_parse(ask->values[ASK_PERIOD], UINT32_MAX, &period);
    (void) ask_number_parse(ask->values[ASK_COUNTER], INT64_MAX, &counter);
    parameters->digits = (uint32_t) digits;
    parameters->period_seconds = (uint32_t) period;
    parameters->counter = counter;
    return true;
}

/*
 * Somebody who is enrolled shows a code before a further device or new
 * recovery codes are made: the password alone must not be enough for them.
 */
static bool
may_change(verifier_t *verifier, question_t *question, int64_t now_ms)
{
    otp_user_t state = {0};
    int error;

    if (!question->door) {
        return true;
    }
    error = otp_user(verifier->store, question->ask.values[ASK_USER], &state);
    if (error < 0 && error != -ENOENT) {
        question_set_error(question, error);
        return false;
    }
    if (state.locked) {
        question_set(question, "no", "locked");
        return false;
    }
    return !state.enrolled || question_code(verifier, question, now_ms);
}

static void
tell_secret(const verifier_t *verifier, question_t *question,
            const otp_parameters_t *parameters, const uint8_t *secret,
            size_t size)
{
    (void) ask_base32_write(question->secret, sizeof(question->secret), secret,
                            size);
    (void) otp_uri(question->uri, sizeof(question->uri),
                   verifier->config->otp_issuer, question->ask.values[ASK_USER],
                   parameters, secret, size);
    /* for a door that can show lines: it has no library to draw them.  Without
     * memory for it there is still the secret to be typed. */
    question->text = malloc(ASK_TEXT_MAX);
    if (question->text != NULL) {
        question->text_size = otp_qr_text(question->text, OTP_QR_TEXT_MAX,
                                          slice_of(question->uri));
    }
}

static void
run_enroll(verifier_t *verifier, question_t *question, int64_t now_ms)
{
    slice_t user = question->ask.values[ASK_USER];
    otp_parameters_t parameters;
    uint8_t secret[OTP_SECRET_MAX];
    size_t size = 0;
    int error;

    if (!read_parameters(&question->ask, &parameters)) {
        question_set(question, "bad-request", "bad-request");
        return;
    }
    if (!may_change(verifier, question, now_ms)) {
        return;
    }
    error = otp_enroll(verifier->store, user, question->ask.values[ASK_DEVICE],
                       &parameters, now_ms, secret, &size);
    question_set_error(question, error);
    if (error == 0) {
        tell_secret(verifier, question, &parameters, secret, size);
    }
    wipe_bytes(secret, sizeof(secret));
}

static bool
make_text(question_t *question)
{
    question->text = malloc(ASK_TEXT_MAX);
    if (question->text == NULL) {
        question_set(question, "unavailable", "out-of-memory");
    }
    return question->text != NULL;
}

static void
make_recovery(verifier_t *verifier, question_t *question)
{
    char codes[OTP_RECOVERY_CODES][OTP_RECOVERY_SIZE];
    int error;

    if (!make_text(question)) {
        return;
    }
    error = otp_recovery(verifier->store, question->ask.values[ASK_USER],
                         codes);
    question_set_error(question, error);
    for (size_t i = 0; error == 0 && i < OTP_RECOVERY_CODES; i++) {
        size_t size = strnlen(codes[i], OTP_RECOVERY_SIZE);

        memcpy(question->text + question->text_size, codes[i], size);
        question->text[question->text_size + size] = '\n';
        question->text_size += size + 1;
    }
    wipe_bytes(codes, sizeof(codes));
}

static void
run_confirm(verifier_t *verifier, question_t *question, int64_t now_ms)
{
    int error = otp_confirm(verifier->store, question->ask.values[ASK_USER],
                            question->ask.values[ASK_DEVICE],
                            question->ask.values[ASK_CODE], now_ms);

    question_set_error(question, error);
    if (error == -ENOENT) {
        question->why = "not-pending";
    }
    if (error == 0 && slice_is(question->ask.values[ASK_KIND], "recovery")) {
        make_recovery(verifier, question);
    }
}

/* As long as the digest: RFC 4226 4 R6, RFC 6238 1.2. */
static size_t
make_secret(otp_digest_t digest, uint8_t secret[OTP_SECRET_MAX])
{
    size_t size = digest == OTP_SHA512 ? 64 : digest == OTP_SHA256 ? 32 : 20;

    return getrandom(secret, size, 0) == (ssize_t) size ? size : 0;
}

/* A secret from elsewhere; or none, and an administrator's word that the one
 * made here need not be confirmed. */
static void
run_import(verifier_t *verifier, question_t *question, int64_t now_ms)
{
    slice_t text = question->ask.values[ASK_SECRET];
    otp_parameters_t parameters;
    uint8_t secret[OTP_SECRET_MAX];
    size_t size;
    int error;

    if (!read_parameters(&question->ask, &parameters)) {
        question_set(question, "bad-request", "bad-request");
        return;
    }
    size = text.size == 0 ? make_secret(parameters.digest, secret)
                          : ask_base32_read(text, secret, sizeof(secret));
    if (size < OTP_SECRET_IMPORTED) {
        question_set(question, "bad-request", "bad-secret");
    } else {
        error = otp_import(verifier->store, question->ask.values[ASK_USER],
                           question->ask.values[ASK_DEVICE], &parameters,
                           secret, size, now_ms);
        question_set_error(question, error);
        if (error == 0 && text.size == 0) {
            tell_secret(verifier, question, &parameters, secret, size);
        }
    }
    wipe_bytes(secret, sizeof(secret));
}

/* ---- Lists ---------------------------------------------------------------*/

typedef struct {
    question_t *question;
    char user[OTP_USER_MAX]; /* of the line before */
    size_t user_size;
    size_t user_start; /* where its first line begins */
    bool secrets;
} lister_t;

static void
put_time(json_t *json, const char *name, int64_t ms)
{
    char text[RECORD_TIME_TEXT_MAX];

    if (ms > 0) {
        json_text(json, name, (slice_t){text, record_time(ms, text)});
    } else {
        json_null(json, name);
    }
}

static void
put_device(json_t *json, const otp_device_t *device)
{
    static const char *const digests[] = {"SHA1", "SHA1", "SHA256", "SHA512"};
    const otp_parameters_t *parameters = &device->parameters;

    json_text(json, "device", device->device);
    json_bool(json, "confirmed", device->confirmed);
    json_string(json, "kind", parameters->kind == OTP_HOTP ? "hotp" : "totp");
    json_string(json, "digest",
                (unsigned) parameters->digest < 4 ? digests[parameters->digest]
                                                  : "SHA1");
    json_int(json, "digits", parameters->digits);
    if (parameters->kind == OTP_HOTP) {
        json_int(json, "counter", (int64_t) parameters->counter);
    } else {
        json_int(json, "period", parameters->period_seconds);
    }
    put_time(json, "device_created", device->created_ms);
    put_time(json, "device_last_used", device->last_used_ms);
}

static void
put_line(const lister_t *lister, json_t *json, const otp_device_t *device)
{
    const otp_user_t *state = &device->state;
    char secret[SECRET_TEXT_MAX];

    json_object(json, NULL);
    json_text(json, "user", device->user);
    if (device->device.size > 0) {
        put_device(json, device);
    }
    json_bool(json, "locked", state->locked);
    json_int(json, "failures", state->failures);
    json_int(json, "recovery_left", state->recovery_left);
    json_int(json, "grace_logins", state->grace_logins);
    put_time(json, "last_used", state->last_used_ms);
    put_time(json, "created", state->created_ms);
    if (lister->secrets && device->secret != NULL &&
        ask_base32_write(secret, sizeof(secret), device->secret,
                         device->secret_size) > 0)
    {
        json_string(json, "secret", secret);
        wipe_bytes(secret, sizeof(secret));
    }
    json_end_object(json);
}

/* All lines of a user, or none: the next page begins behind a user. */
static bool
list_device(void *context, const otp_device_t *device)
{
    lister_t *lister = context;
    question_t *question = lister->question;
    char line[DEVICE_LINE_MAX * 2];
    json_t json;
    slice_t text;
    bool fits;

    if (question->text_size == 0 ||
        !slice_equal(device->user, (slice_t){lister->user, lister->user_size}))
    {
        /* that user's lines are all there: a page may end here */
        memcpy(question->after, lister->user, lister->user_size);
        question->after_size = lister->user_size;
        lister->user_size = device->user.size < OTP_USER_MAX ? device->user.size
                                                             : OTP_USER_MAX;
        memcpy(lister->user, device->user.data, lister->user_size);
        lister->user_start = question->text_size;
    }
    json_init_fixed(&json, line, sizeof(line));
    put_line(lister, &json, device);
    text = json_result(&json);
    fits = text.size > 0 && text.size + 1 <= ASK_TEXT_MAX - question->text_size;
    if (fits) {
        memcpy(question->text + question->text_size, text.data, text.size);
        question->text[question->text_size + text.size] = '\n';
        question->text_size += text.size + 1;
    } else {
        question->text_size = lister->user_start;
        question->more = true;
    }
    wipe_bytes(line, sizeof(line));
    return fits;
}

static void
run_list(verifier_t *verifier, question_t *question)
{
    bool secrets = question->operation == ASK_EXPORT;
    lister_t lister = {.question = question, .secrets = secrets};
    const ask_t *ask = &question->ask;
    int error;

    if (!make_text(question)) {
        return;
    }
    error = (secrets ? otp_export
                     : otp_list)(verifier->store, ask->values[ASK_USER],
                                 ask->values[ASK_AFTER], list_device, &lister);
    question_set_error(question, error);
    if (error == 0 && question->more && question->text_size == 0) {
        question_set(question, "unavailable", "too-large");
    }
}

void
question_manage(verifier_t *verifier, question_t *question, int64_t now_ms)
{
    const ask_t *ask = &question->ask;

    switch (question->operation) {
    case ASK_ENROLL:
        run_enroll(verifier, question, now_ms);
        break;
    case ASK_CONFIRM:
        run_confirm(verifier, question, now_ms);
        break;
    case ASK_REMOVE:
        question_set_error(question,
                           otp_remove(verifier->store, ask->values[ASK_USER],
                                      ask->values[ASK_DEVICE]));
        break;
    case ASK_UNLOCK:
        question_set_error(question,
                           otp_unlock(verifier->store, ask->values[ASK_USER]));
        break;
    case ASK_RECOVERY:
        if (may_change(verifier, question, now_ms)) {
            make_recovery(verifier, question);
        }
        break;
    case ASK_LIST:
    case ASK_EXPORT:
        run_list(verifier, question);
        break;
    case ASK_IMPORT:
        run_import(verifier, question, now_ms);
        break;
    case ASK_CLOCK:
        question_set_error(question, otp_clock_accept(verifier->store, now_ms));
        break;
    case ASK_REKEY:
        question_set_error(question, otp_rekey(verifier->store, REKEY_AT_ONCE,
                                               &question->left));
        question->left_told = true;
        break;
    default:
        question_set(question, "bad-request", "bad-request");
        break;
    }
}
