/* What a person types, key files, URIs and QR codes: the first byte chooses. */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "../../lib/otp/keys.h"
#include "../../lib/otp/otp_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void
fuzz_code(slice_t bytes)
{
    code_t code = code_read(bytes), again;
    size_t length = 0, i;

    while (length < sizeof(code.text) && code.text[length] != 0) {
        length++;
    }
    for (i = length; i < sizeof(code.text); i++) {
        require(code.text[i] == 0);
    }
    switch (code.shape) {
    case CODE_NONE:
        require(length == 0);
        return;
    case CODE_DIGITS:
        require(length >= CODE_DIGITS_MIN && length <= CODE_DIGITS_MAX);
        require(strspn(code.text, "0123456789") == length);
        break;
    case CODE_RECOVERY:
        require(length == RECOVERY_LETTERS);
        for (i = 0; i < length; i++) {
            require(strchr(recovery_alphabet, code.text[i]) != NULL);
        }
        break;
    default:
        abort();
    }
    /* what was made canonical is read as itself */
    again = code_read((slice_t){code.text, length});
    require(again.shape == code.shape &&
            memcmp(again.text, code.text, sizeof(code.text)) == 0);
}

static void
fuzz_keys(slice_t bytes)
{
    char text[OTP_KEYS_FILE_MAX + 1];
    otp_keys_t keys, again;
    uint32_t line, i, k;
    const char *why = NULL;
    size_t size;

    if (otp_keys_parse(bytes, &keys, &line, &why) != 0) {
        require(why != NULL && keys.count == 0);
        return;
    }
    require(keys.count > 0 && keys.count <= OTP_KEYS_MAX);
    for (i = 0; i < keys.count; i++) {
        require(keys.version[i] > 0);
        for (k = 0; k < i; k++) {
            require(keys.version[k] != keys.version[i]);
        }
    }
    size = otp_keys_format(&keys, text);
    require(size <= OTP_KEYS_FILE_MAX);
    require(otp_keys_parse((slice_t){text, size}, &again, &line, &why) == 0);
    require(memcmp(&keys, &again, sizeof(keys)) == 0);
}

/* The bytes: sizes of issuer and user, parameters, then all of them. */
static void
fuzz_uri(slice_t bytes)
{
    const uint8_t *p = (const uint8_t *) bytes.data;
    char text[1024], qr[OTP_QR_TEXT_MAX];
    otp_parameters_t parameters = {0};
    slice_t issuer, user;
    size_t size, secret, capacity;

    if (bytes.size < 8) {
        return;
    }
    parameters.kind = p[0];
    parameters.digest = p[1];
    parameters.digits = p[2];
    parameters.period_seconds = p[3];
    parameters.counter = p[4];
    capacity = (size_t) p[5] * 4;
    bytes = slice_from(bytes, 8);
    issuer = (slice_t){bytes.data, p[6] < bytes.size ? p[6] : bytes.size};
    bytes = slice_from(bytes, issuer.size);
    user = (slice_t){bytes.data, p[7] < bytes.size ? p[7] : bytes.size};
    bytes = slice_from(bytes, user.size);
    secret = bytes.size < OTP_SECRET_MAX ? bytes.size : OTP_SECRET_MAX;
    size = otp_uri(text, capacity, issuer, user, &parameters,
                   (const uint8_t *) bytes.data, secret);
    if (size == 0) {
        return;
    }
    require(size < capacity && strlen(text) == size);
    require(strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                         "0123456789-._~%:/?=&") == size);
    require(strncmp(text, "otpauth://", 10) == 0);
    size = otp_qr_text(qr, sizeof(qr), (slice_t){text, size});
    require(size == 0 || strlen(qr) == size);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    slice_t bytes;

    if (size == 0) {
        return 0;
    }
    bytes = (slice_t){(const char *) data + 1, size - 1};
    switch (data[0] % 3) {
    case 0:
        fuzz_code(bytes);
        break;
    case 1:
        fuzz_keys(bytes);
        break;
    default:
        fuzz_uri(bytes);
        break;
    }
    return 0;
}
