/* The Key URI format that phone applications read from a QR code. */

#include "otp_internal.h"

typedef struct {
    char *text;
    size_t capacity, used;
    bool full;
} buffer_t;

static void
add(buffer_t *buffer, const char *data, size_t size)
{
    if (buffer->full || buffer->capacity - buffer->used <= size) {
        buffer->full = true; /* one is left for the NUL */
        return;
    }
    memcpy(buffer->text + buffer->used, data, size);
    buffer->used += size;
}

static void
add_text(buffer_t *buffer, const char *text)
{
    add(buffer, text, strlen(text));
}

static void
add_number(buffer_t *buffer, uint64_t number)
{
    char text[24];
    int size = snprintf(text, sizeof(text), "%llu",
                        (unsigned long long) number);

    add(buffer, text, (size_t) size);
}

/* RFC 3986 2.1; all but the unreserved. */
static void
add_escaped(buffer_t *buffer, slice_t text)
{
    static const char hex[] = "0123456789ABCDEF";
    static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
    size_t i;

    for (i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char) text.data[i];
        char escaped[3] = {'%', hex[c >> 4], hex[c & 15]};

        if (c != 0 && strchr(plain, c) != NULL) {
            add(buffer, text.data + i, 1);
        } else {
            add(buffer, escaped, sizeof(escaped));
        }
    }
}

/* RFC 4648 6, without padding: the applications want none. */
static void
add_base32(buffer_t *buffer, const uint8_t *bytes, size_t size)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    uint32_t group = 0;
    unsigned bits = 0;
    size_t i;

    for (i = 0; i < size; i++) {
        group = (group << 8 | bytes[i]) & 0xfff;
        bits += 8;
        while (bits >= 5) {
            bits -= 5;
            add(buffer, &letters[group >> bits & 31], 1);
        }
    }
    if (bits > 0) {
        add(buffer, &letters[group << (5 - bits) & 31], 1);
    }
    wipe_bytes(&group, sizeof(group));
}

size_t
otp_uri(char *text, size_t capacity, slice_t issuer, slice_t user,
        const otp_parameters_t *parameters, const uint8_t *secret,
        size_t secret_size)
{
    const otp_parameters_t full = parameters_default(parameters);
    buffer_t buffer = {text, capacity, 0, capacity == 0};

    if (!parameters_valid(&full) || secret_size > OTP_SECRET_MAX) {
        buffer.full = true;
    }
    add_text(&buffer,
             full.kind == OTP_HOTP ? "otpauth://hotp/" : "otpauth://totp/");
    if (issuer.size > 0) {
        add_escaped(&buffer, issuer);
        add_text(&buffer, ":");
    }
    add_escaped(&buffer, user);
    add_text(&buffer, "?secret=");
    add_base32(&buffer, secret, buffer.full ? 0 : secret_size);
    if (issuer.size > 0) {
        add_text(&buffer, "&issuer=");
        add_escaped(&buffer, issuer);
    }
    /* what is as usual is left out: the QR code is smaller */
    if (full.digest != OTP_SHA1) {
        add_text(&buffer, full.digest == OTP_SHA256 ? "&algorithm=SHA256"
                                                    : "&algorithm=SHA512");
    }
    if (full.digits != 6) {
        add_text(&buffer, "&digits=");
        add_number(&buffer, full.digits);
    }
    if (full.kind == OTP_HOTP) {
        add_text(&buffer, "&counter=");
        add_number(&buffer, full.counter);
    } else if (full.period_seconds != 30) {
        add_text(&buffer, "&period=");
        add_number(&buffer, full.period_seconds);
    }
    if (buffer.full) {
        wipe_bytes(text, capacity);
        return 0;
    }
    text[buffer.used] = '\0';
    return buffer.used;
}
