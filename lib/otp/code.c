#include "otp_internal.h"

#include <liboath/oath.h>
#include <openssl/crypto.h>

static const char *const names[OTP_RESULTS] = {
    [OTP_NONE] = "unavailable",          [OTP_ACCEPTED] = "ok",
    [OTP_WRONG] = "wrong-code",          [OTP_REPLAYED] = "code-used-twice",
    [OTP_THROTTLED] = "throttled",       [OTP_LOCKED] = "locked",
    [OTP_NOT_ENROLLED] = "not-enrolled", [OTP_CLOCK] = "clock",
    [OTP_UNAVAILABLE] = "unavailable",
};

const char *
otp_result_name(otp_result_t result)
{
    return (unsigned) result < OTP_RESULTS ? names[result]
                                           : names[OTP_UNAVAILABLE];
}

/* 0..9 and the letters without i, l, o, u; what people read for them counts
 * as them. */
static char
recovery_letter(char c)
{
    if (c >= 'A' && c <= 'Z') {
        c = (char) (c - 'A' + 'a');
    }
    if (c == 'o') {
        return '0';
    }
    if (c == 'i' || c == 'l') {
        return '1';
    }
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z' && c != 'u') ? c : 0;
}

code_t
code_read(slice_t typed)
{
    code_t code = {.shape = CODE_NONE};
    size_t used = 0, i;
    bool digits = true;

    if (typed.size > OTP_CODE_MAX) {
        return code;
    }
    for (i = 0; i < typed.size; i++) {
        char c = typed.data[i];

        if (c == ' ' || c == '-' || c == '\t') {
            continue;
        }
        digits = digits && c >= '0' && c <= '9';
        c = recovery_letter(c);
        if (c == 0 || used == RECOVERY_LETTERS) {
            code_wipe(&code);
            return code;
        }
        code.text[used++] = c;
    }
    if (used == RECOVERY_LETTERS) {
        code.shape = CODE_RECOVERY;
    } else if (digits && used >= CODE_DIGITS_MIN && used <= CODE_DIGITS_MAX) {
        code.shape = CODE_DIGITS;
    } else {
        code_wipe(&code);
    }
    return code;
}

bool
parameters_valid(const otp_parameters_t *parameters)
{
    return (parameters->kind == OTP_TOTP || parameters->kind == OTP_HOTP) &&
           (parameters->digest == OTP_SHA1 ||
            parameters->digest == OTP_SHA256 ||
            parameters->digest == OTP_SHA512) &&
           parameters->digits >= CODE_DIGITS_MIN &&
           parameters->digits <= CODE_DIGITS_MAX &&
           parameters->period_seconds >= 15 &&
           parameters->period_seconds <= 120 &&
           /* liboath counts in time_t */
           parameters->counter <= INT64_MAX / 2;
}

otp_parameters_t
parameters_default(const otp_parameters_t *parameters)
{
    otp_parameters_t full = {0};

    if (parameters != NULL) {
        full = *parameters;
    }
    if (full.kind == 0) {
        full.kind = OTP_TOTP;
    }
    if (full.digest == 0) {
        full.digest = OTP_SHA1;
    }
    if (full.digits == 0) {
        full.digits = 6;
    }
    if (full.period_seconds == 0) {
        full.period_seconds = 30;
    }
    return full;
}

int
code_make(const secret_t *secret, const otp_parameters_t *parameters,
          uint64_t step, char code[CODE_DIGITS_MAX])
{
    char text[CODE_DIGITS_MAX + 1] = "";
    int flags = 0, result;

    memset(code, 0, CODE_DIGITS_MAX);
    if (parameters->digits > CODE_DIGITS_MAX || step > INT64_MAX) {
        return -EINVAL;
    }
    if (parameters->digest == OTP_SHA256) {
        flags = OATH_TOTP_HMAC_SHA256;
    } else if (parameters->digest == OTP_SHA512) {
        flags = OATH_TOTP_HMAC_SHA512;
    }
    /* A period of one second makes the step itself the moving factor: the
     * same call serves HOTP with the digests its own call does not know. */
    result = oath_totp_generate2((const char *) secret->bytes, secret->size,
                                 (time_t) step, 1, 0, parameters->digits, flags,
                                 text);
    if (result == OATH_OK) {
        memcpy(code, text, parameters->digits);
    }
    wipe_bytes(text, sizeof(text));
    return result == OATH_OK ? 0 : -EIO;
}

int
code_match(const secret_t *secret, const otp_parameters_t *parameters,
           const code_window_t *window, const code_t *code, code_match_t *match)
{
    uint64_t i;
    int result = 0;

    *match = (code_match_t){0};
    /* one more than the window: the code used last, however long ago */
    for (i = 0; i <= window->count; i++) {
        char candidate[CODE_DIGITS_MAX];
        bool is_last = i == window->count;
        uint64_t step = is_last ? window->next - (window->next > 0)
                                : window->first + i;
        bool equal;

        if (code_make(secret, parameters, step, candidate) != 0) {
            result = -EIO;
        }
        equal = CRYPTO_memcmp(candidate, code->text, CODE_DIGITS_MAX) == 0 &&
                code->shape == CODE_DIGITS;
        wipe_bytes(candidate, sizeof(candidate));
        match->replayed |= equal && is_last && window->next > 0;
        if (!equal || is_last) {
            continue;
        }
        if (step < window->next) {
            /* all that could be right now is before the last one used: that
             * was used while the clock was ahead, and is nobody's guess */
            match->early |= window->next > window->first + window->count;
            continue;
        }
        if (step < window->floor) {
            match->early = true;
        } else if (!match->accepted) {
            match->accepted = true;
            match->step = step;
        }
    }
    if (result != 0) {
        *match = (code_match_t){0};
    }
    return result;
}
