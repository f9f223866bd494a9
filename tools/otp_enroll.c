/* `sekisho otp enroll`: a new device, shown once, confirmed by its first code. */

#define _GNU_SOURCE
#include <stdlib.h>

#include "otp_tools.h"

#define TRIES 3

typedef struct {
    const arguments_t *arguments;
    desk_t desk;
    slice_t user, device;
    qr_form_t qr;
    bool unconfirmed;
    bool recovery; /* has none yet: they are made with the first code */
} enrolment_t;


static int
read_options(const arguments_t *arguments, enrolment_t *enrolment)
{
    const char *command = arguments->command->name;
    const char *qr = option_value(arguments, "--qr");
    const char *device = option_value(arguments, "--device");
    bool file = option_given(arguments, "--output");

    enrolment->device = slice_of(device == NULL ? "phone" : device);
    enrolment->unconfirmed = option_given(arguments, "--no-confirm");
    enrolment->qr = file || !output_utf8() ? QR_NONE : QR_TERMINAL;
    if (qr != NULL && !qr_form_parse(qr, &enrolment->qr)) {
        return fail(command, "--qr is terminal, svg, png or none, not \"%s\"",
                    qr);
    }
    if ((enrolment->qr == QR_SVG || enrolment->qr == QR_PNG) && !file) {
        return fail(command, "--qr %s needs a file: --output FILE", qr);
    }
    if (!ask_name_ok(enrolment->device, OTP_DEVICE_MAX)) {
        return fail(command,
                    "--device is a name of 1 to %d bytes, without control "
                    "characters",
                    OTP_DEVICE_MAX);
    }
    if (enrolment->unconfirmed != option_given(arguments, "--reason")) {
        return fail(command, "--no-confirm and --reason go together: who "
                             "trusts a device unseen says why");
    }
    return STATUS_OK;
}


/* Somebody who has a device already shows one of its codes. */
static int
ask_old_code(enrolment_t *enrolment, char code[CODE_LINE_MAX], ask_t *ask)
{
    ask_t state = {0}, answer;
    slice_t is;
    int status;

    state.values[ASK_USER] = enrolment->user;
    status = desk_ask(&enrolment->desk, ASK_STATE, &state, &answer, false);
    if (status != STATUS_OK) {
        return status;
    }
    is = answer.values[ASK_STATE_IS];
    enrolment->recovery = !slice_starts(is, SLICE("enrolled"));
    if (enrolment->recovery || geteuid() == 0) {
        return STATUS_OK;
    }
    if (read_answer("A code of a device that you have: ", code) <= 0) {
        return fail(enrolment->desk.command, "no code was given");
    }
    ask->values[ASK_CODE] = slice_of(code);
    return STATUS_OK;
}


static void
put_options(const enrolment_t *enrolment, ask_t *ask)
{
    static const struct {
        const char *option;
        ask_field_t field;
    } numbers[] = {{"--digits", ASK_DIGITS},
                   {"--period", ASK_PERIOD},
                   {"--algorithm", ASK_DIGEST},
                   {"--reason", ASK_REASON}};

    ask->values[ASK_USER] = enrolment->user;
    ask->values[ASK_DEVICE] = enrolment->device;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        ask->values[numbers[i].field] = slice_of(
            option_value(enrolment->arguments, numbers[i].option));
    }
    if (option_given(enrolment->arguments, "--hotp")) {
        ask->values[ASK_KIND] = SLICE("hotp");
    }
}


/* Groups of four, as a person types them. */
static void
print_secret(FILE *out, slice_t secret)
{
    for (size_t i = 0; i < secret.size; i += 4) {
        size_t size = secret.size - i < 4 ? secret.size - i : 4;

        fprintf(out, "%s%.*s", i == 0 ? "" : " ", (int) size, secret.data + i);
    }
}


static int
show(const enrolment_t *enrolment, FILE *out, const ask_t *answer)
{
    slice_t uri = answer->values[ASK_URI], secret = answer->values[ASK_SECRET];
    int error = qr_write(out, enrolment->qr, uri);

    if (error < 0) {
        return fail(enrolment->desk.command, "no QR code could be made: %s",
                    strerror(-error));
    }
    if (enrolment->qr != QR_SVG && enrolment->qr != QR_PNG) {
        fprintf(out, "%s\nSecret  ", enrolment->qr == QR_NONE ? "" : "\n");
        print_secret(out, secret);
        fprintf(out, "\nURI     %.*s\n", SLICE_ARG(uri));
    }
    return STATUS_OK;
}


static void
print_recovery(FILE *out, slice_t text)
{
    fputs("\nRecovery codes: each opens one door once, if the device is lost. "
          "They are shown\nthis once; keep them on paper.\n\n",
          out);
    fwrite(text.data, 1, text.size, out);
}


static int
confirm(enrolment_t *enrolment, FILE *out)
{
    char code[CODE_LINE_MAX];
    int status = STATUS_NO;

    for (unsigned i = 0; i < TRIES && status == STATUS_NO; i++) {
        ask_t ask = {0}, answer;

        if (read_answer("The code that the device shows now: ", code) <= 0) {
            fail(enrolment->desk.command,
                 "no code was given: the device is not enrolled");
            status = STATUS_ERROR;
            break;
        }
        ask.values[ASK_USER] = enrolment->user;
        ask.values[ASK_DEVICE] = enrolment->device;
        ask.values[ASK_CODE] = slice_of(code);
        ask.values[ASK_KIND] = enrolment->recovery ? SLICE("recovery")
                                                   : (slice_t){NULL, 0};
        status = desk_ask(&enrolment->desk, ASK_CONFIRM, &ask, &answer, false);
        if (status == STATUS_OK && answer.values[ASK_TEXT].size > 0) {
            print_recovery(out, answer.values[ASK_TEXT]);
        }
        client_wipe(enrolment->desk.client);
    }
    wipe_bytes(code, sizeof(code));
    return status;
}


static int
enroll_into(enrolment_t *enrolment, FILE *out)
{
    char code[CODE_LINE_MAX] = "";
    ask_t ask = {0}, answer;
    int status = ask_old_code(enrolment, code, &ask);

    if (status == STATUS_OK) {
        put_options(enrolment, &ask);
        status = desk_ask(&enrolment->desk,
                          enrolment->unconfirmed ? ASK_IMPORT : ASK_ENROLL,
                          &ask, &answer, false);
    }
    wipe_bytes(code, sizeof(code));
    if (status != STATUS_OK) {
        return status;
    }
    status = show(enrolment, out, &answer);
    client_wipe(enrolment->desk.client);
    if (status == STATUS_OK && !enrolment->unconfirmed) {
        fflush(out);
        /* recovery codes would spoil a picture */
        status = confirm(enrolment, out == stdout || enrolment->qr == QR_NONE ||
                                            enrolment->qr == QR_TERMINAL
                                        ? out
                                        : stdout);
    }
    if (status == STATUS_OK) {
        fflush(out);
        fprintf(stderr, "%.*s: ", SLICE_ARG(enrolment->user));
        print_safe(stderr, enrolment->device);
        fputs(" is enrolled\n", stderr);
    }
    return status;
}


static int
enroll(const arguments_t *arguments)
{
    enrolment_t enrolment = {.arguments = arguments};
    char name[USER_NAME_MAX];
    FILE *out = NULL;
    int status = read_options(arguments, &enrolment);

    if (status == STATUS_OK) {
        status = desk_user(arguments, name, &enrolment.user);
    }
    if (status == STATUS_OK) {
        status = desk_open(arguments, &enrolment.desk);
    }
    /* before anything is made that nobody would see */
    if (status == STATUS_OK && (out = secret_open(arguments)) == NULL) {
        status = STATUS_ERROR;
    }
    if (status == STATUS_OK) {
        status = enroll_into(&enrolment, out);
        if (secret_close(arguments->command->name, out) != STATUS_OK) {
            status = STATUS_ERROR;
        }
    }
    desk_close(&enrolment.desk);
    return status;
}


static const option_t enroll_options[] = {
    {"--device", "NAME",
     "What the device is called, if there will be several [phone]."},
    {"--qr", "FORM",
     "The QR code: terminal, svg or png (these two with --output), or none. "
     "[terminal]"},
    {"--digits", "N", "6 to 8 [6]; many applications know 6 alone."},
    {"--algorithm", "NAME",
     "SHA1, SHA256 or SHA512 [SHA1]; many applications take the others for "
     "SHA1 without a word."},
    {"--period", "SECONDS", "15 to 120 [30]; many applications know 30 alone."},
    {"--hotp", NULL, "Codes by a counter (RFC 4226) instead of by time."},
    {"--no-confirm", NULL,
     "Trust the device without having seen a code of it (root, with "
     "--reason)."},
    {"--reason", "TEXT", "Why, for the trail."},
    {"--output", "FILE", "Write secret and QR code to this new file (0600)."},
    {"--force", NULL,
     "Write them to standard output although it is no "
     "terminal."},
    USER_OPTIONS,
    {NULL, NULL, NULL},
};

const command_t otp_enroll_command = {
    .name = "otp enroll",
    .arguments = "[USER]",
    .arguments_max = 1,
    .summary = "Enroll a device for one-time codes.",
    .details =
        "Shows the new secret as a QR code and as text, once, and asks for the "
        "code that the device shows. Only then is it enrolled. Users may do so "
        "for themselves (the default of USER); whoever has a device already is "
        "asked for one of its codes. With the first device come ten recovery "
        "codes.\n\n"
        "Exit status: 0 enrolled; 1 the code was not right; 2 error.",
    .options = enroll_options,
    .run = enroll,
};
