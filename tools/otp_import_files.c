/* Files of pam_google_authenticator and pam_oath. */

#define _GNU_SOURCE
#include <ctype.h>

#include "otp_tools.h"

#define DIGITS_DEFAULT 6
#define PERIOD_DEFAULT 30
#define WORDS          7 /* of a line of the usersfile */

static void
set_defaults(import_t *device)
{
    memset(device, 0, sizeof(*device));
    device->digest = "SHA1";
    device->digits = DIGITS_DEFAULT;
    device->period_seconds = PERIOD_DEFAULT;
    memcpy(device->device, "imported", sizeof("imported"));
}


static bool
copy_text(slice_t text, char *to, size_t size)
{
    if (text.size >= size) {
        return false;
    }
    memcpy(to, text.data, text.size);
    to[text.size] = '\0';
    return true;
}


/* ---- ~/.google_authenticator ---------------------------------------------*/

/* `" NAME` or `" NAME VALUE`: the value, or a NULL slice. */
static slice_t
option_of(slice_t line, const char *name)
{
    size_t size = strlen(name);

    if (line.size < size + 2 || line.data[0] != '"' || line.data[1] != ' ' ||
        memcmp(line.data + 2, name, size) != 0)
    {
        return (slice_t){NULL, 0};
    }
    line = slice_from(line, size + 2);
    if (line.size > 0 && line.data[0] != ' ') {
        return (slice_t){NULL, 0};
    }
    while (line.size > 0 && line.data[0] == ' ') {
        line = slice_from(line, 1);
    }
    return line;
}


static bool
is_scratch(slice_t line)
{
    for (size_t i = 0; i < line.size; i++) {
        if (line.data[i] < '0' || line.data[i] > '9') {
            return false;
        }
    }
    return line.size == 8;
}


static slice_t
trim(slice_t line)
{
    while (line.size > 0 && isspace((unsigned char) line.data[line.size - 1])) {
        line.size--;
    }
    return line;
}


int
import_google(importer_t *importer, slice_t text)
{
    bool totp = false, hotp = false;
    unsigned scratch = 0;
    uint64_t number;
    import_t device;
    slice_t line;

    set_defaults(&device);
    if (!line_next(&text, &line) || trim(line).size == 0 ||
        !copy_text(trim(line), device.secret, sizeof(device.secret)))
    {
        return fail(importer->desk->command,
                    "%s: no file of google-authenticator: the first line is "
                    "the secret in base32",
                    importer->path);
    }
    while (line_next(&text, &line)) {
        slice_t value;

        line = trim(line);
        scratch += is_scratch(line);
        totp |= option_of(line, "TOTP_AUTH").data != NULL;
        value = option_of(line, "HOTP_COUNTER");
        if (value.data != NULL) {
            hotp = true;
            if (!ask_number_parse(value, INT64_MAX, &device.counter)) {
                return fail(importer->desk->command,
                            "%s: HOTP_COUNTER is no number", importer->path);
            }
        }
        value = option_of(line, "STEP_SIZE");
        if (value.data != NULL && ask_number_parse(value, 3600, &number)) {
            device.period_seconds = (uint32_t) number;
        }
    }
    if (totp == hotp) {
        wipe_bytes(&device, sizeof(device));
        return fail(importer->desk->command,
                    "%s: it says neither TOTP_AUTH nor HOTP_COUNTER, or both",
                    importer->path);
    }
    device.hotp = hotp;
    import_device(importer, &device);
    if (scratch > 0 && importer->skipped + importer->failed == 0) {
        fprintf(stderr,
                "%u emergency scratch codes were not taken: make new ones with "
                "sekisho otp recovery ",
                scratch);
        print_safe(stderr, slice_of(device.user));
        fputc('\n', stderr);
    }
    wipe_bytes(&device, sizeof(device));
    return STATUS_OK;
}


/* ---- usersfile -----------------------------------------------------------*/

static unsigned
split(slice_t line, slice_t words[WORDS])
{
    unsigned count = 0;
    size_t i = 0;

    while (i < line.size && count < WORDS) {
        size_t start;

        while (i < line.size && isspace((unsigned char) line.data[i])) {
            i++;
        }
        start = i;
        while (i < line.size && !isspace((unsigned char) line.data[i])) {
            i++;
        }
        if (i > start) {
            words[count++] = (slice_t){line.data + start, i - start};
        }
    }
    return count;
}


/* "HOTP", "HOTP/E/8", "HOTP/T30", "HOTP/T60/8". */
static bool
read_type(slice_t type, import_t *device)
{
    uint64_t number;
    slice_t part;
    const char *slash;

    if (!slice_starts(type, SLICE("HOTP"))) {
        return false;
    }
    type = slice_from(type, 4);
    device->hotp = true;
    if (type.size == 0) {
        return true;
    }
    if (type.data[0] != '/') {
        return false;
    }
    type = slice_from(type, 1);
    slash = memchr(type.data, '/', type.size);
    part = (slice_t){type.data,
                     slash == NULL ? type.size : (size_t) (slash - type.data)};
    if (part.size > 1 && part.data[0] == 'T') {
        if (!ask_number_parse(slice_from(part, 1), 3600, &number)) {
            return false;
        }
        device->hotp = false;
        device->period_seconds = (uint32_t) number;
    } else if (!slice_is(part, "E")) {
        return false;
    }
    if (slash == NULL) {
        return true;
    }
    if (!ask_number_parse(slice_from(type, part.size + 1), 8, &number)) {
        return false;
    }
    device->digits = (uint32_t) number;
    return true;
}


static int
hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char) (c | 32);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}


static bool
read_secret(slice_t text, import_t *device)
{
    uint8_t bytes[OTP_SECRET_MAX] = {0};
    size_t size = text.size / 2;
    bool good = text.size % 2 == 0 && size <= sizeof(bytes);

    for (size_t i = 0; good && i < size; i++) {
        int high = hex_value(text.data[2 * i]);
        int low = hex_value(text.data[2 * i + 1]);

        good = high >= 0 && low >= 0;
        bytes[i] = (uint8_t) (high << 4 | low);
    }
    good = good && ask_base32_write(device->secret, sizeof(device->secret),
                                    bytes, size) > 0;
    wipe_bytes(bytes, sizeof(bytes));
    return good;
}


static void
import_line(importer_t *importer, slice_t line)
{
    slice_t words[WORDS];
    unsigned count = split(line, words);
    import_t device;

    if (count == 0 || words[0].data[0] == '#') {
        return;
    }
    set_defaults(&device);
    if (count < 4 || !read_type(words[0], &device)) {
        import_skip(importer, "no line of a usersfile: a type such as "
                              "HOTP/T30/6, a user, a PIN or \"-\", a secret");
    } else if (!copy_text(words[1], device.user, sizeof(device.user))) {
        import_skip(importer, "the user's name is too long");
    } else if (!read_secret(words[3], &device)) {
        import_skip(importer,
                    "%s: the secret is no hexadecimal number of at "
                    "most %d bytes",
                    device.user, OTP_SECRET_MAX);
    } else if (device.hotp && count > 4 &&
               !ask_number_parse(words[4], INT64_MAX, &device.counter))
    {
        import_skip(importer, "%s: the counter is no number", device.user);
    } else {
        /* pam_oath leaves the counter at the code it accepted last, and keeps
         * that code beside it; ours is the next one */
        if (device.hotp && count > 5 && device.counter < INT64_MAX) {
            device.counter++;
        }
        if (!slice_is(words[2], "-") && !slice_is(words[2], "+")) {
            fail(importer->desk->command,
                 "%s:%u: %s: the PIN is not taken; the password stands for it",
                 importer->path, importer->line, device.user);
        }
        import_device(importer, &device);
    }
    wipe_bytes(&device, sizeof(device));
}


int
import_usersfile(importer_t *importer, slice_t text)
{
    slice_t line;

    while (line_next(&text, &line)) {
        importer->line++;
        import_line(importer, line);
    }
    return STATUS_OK;
}
