/* `sekisho otp remove | unlock | recovery | verify | clock`. */

#define _GNU_SOURCE
#include <stdlib.h>

#include "otp_tools.h"

#define REASON_OPTION                                                          \
    {                                                                          \
        "--reason", "TEXT", "Why, for the trail."                              \
    }

static int
run_one(const arguments_t *arguments, ask_operation_t operation, bool of_user,
        const char *done)
{
    char name[USER_NAME_MAX];
    ask_t ask = {0}, answer;
    desk_t desk;
    int status;

    if (option_value(arguments, "--reason") == NULL) {
        return fail(arguments->command->name,
                    "--reason is missing: say why, for the trail");
    }
    if (of_user &&
        desk_user(arguments, name, &ask.values[ASK_USER]) != STATUS_OK) {
        return STATUS_ERROR;
    }
    status = desk_open(arguments, &desk);
    if (status == STATUS_OK) {
        ask.values[ASK_DEVICE] = slice_of(option_value(arguments, "--device"));
        ask.values[ASK_REASON] = slice_of(option_value(arguments, "--reason"));
        status = desk_ask(&desk, operation, &ask, &answer, false);
    }
    if (status == STATUS_OK) {
        puts(done);
    }
    desk_close(&desk);
    return status;
}


static int
remove_device(const arguments_t *arguments)
{
    return run_one(arguments, ASK_REMOVE, true, "removed");
}


static const option_t remove_options[] = {
    {"--device", "NAME", "Only this one; else all, and the recovery codes."},
    REASON_OPTION,
    USER_OPTIONS,
    {NULL, NULL, NULL},
};

const command_t otp_remove_command = {
    .name = "otp remove",
    .arguments = "USER",
    .arguments_min = 1,
    .arguments_max = 1,
    .summary = "Remove a user's devices.",
    .details = "Root only. What that user may do without a device is up to the "
               "doors: see \"grace\" in pam_sekisho(8).\n\n"
               "Exit status: 0 removed; 1 there is none; 2 error.",
    .options = remove_options,
    .run = remove_device,
};


static int
unlock(const arguments_t *arguments)
{
    return run_one(arguments, ASK_UNLOCK, true, "unlocked");
}


static const option_t unlock_options[] = {
    REASON_OPTION,
    USER_OPTIONS,
    {NULL, NULL, NULL},
};

const command_t otp_unlock_command = {
    .name = "otp unlock",
    .arguments = "USER",
    .arguments_min = 1,
    .arguments_max = 1,
    .summary = "Let somebody in again who was locked after wrong codes.",
    .details = "Root only. Make sure first that it was that person who typed "
               "them: whoever tries codes has the password already.\n\n"
               "Exit status: 0 unlocked; 1 there is no such user; 2 error.",
    .options = unlock_options,
    .run = unlock,
};


static int
accept_clock(const arguments_t *arguments)
{
    return run_one(arguments, ASK_CLOCK, false, "accepted");
}


const command_t otp_clock_command = {
    .name = "otp clock",
    .arguments = "",
    .summary = "Say that the clock and the store are right again.",
    .details =
        "Root only. When the clock is set back, or an older copy of the store "
        "is put in its place, every code is refused: it may have been used "
        "before. Set the clock right first. Codes up to now are void then; "
        "make recovery codes anew that were used since the copy was made.\n\n"
        "Exit status: 0 accepted; 2 error.",
    .options = unlock_options,
    .run = accept_clock,
};


/* ---- recovery ------------------------------------------------------------*/

static int
make_recovery(const arguments_t *arguments, desk_t *desk, slice_t user,
              FILE *out)
{
    char code[CODE_LINE_MAX] = "";
    ask_t ask = {0}, answer;
    int status;

    ask.values[ASK_USER] = user;
    if (geteuid() != 0) {
        if (read_answer("A code of your device: ", code) <= 0) {
            return fail(desk->command, "no code was given");
        }
        ask.values[ASK_CODE] = slice_of(code);
    }
    ask.values[ASK_REASON] = slice_of(option_value(arguments, "--reason"));
    status = desk_ask(desk, ASK_RECOVERY, &ask, &answer, false);
    wipe_bytes(code, sizeof(code));
    if (status == STATUS_OK) {
        slice_t text = answer.values[ASK_TEXT];

        fwrite(text.data, 1, text.size, out);
        fputs("Shown this once; those before are void.\n", stderr);
    }
    client_wipe(desk->client);
    return status;
}


static int
recovery(const arguments_t *arguments)
{
    char name[USER_NAME_MAX];
    slice_t user;
    desk_t desk = {.client = NULL};
    FILE *out;
    int status = desk_user(arguments, name, &user);

    if (status == STATUS_OK) {
        status = desk_open(arguments, &desk);
    }
    if (status == STATUS_OK) {
        out = secret_open(arguments);
        status = out == NULL ? STATUS_ERROR
                             : make_recovery(arguments, &desk, user, out);
        if (secret_close(arguments->command->name, out) != STATUS_OK) {
            status = STATUS_ERROR;
        }
    }
    desk_close(&desk);
    return status;
}


static const option_t recovery_options[] = {
    REASON_OPTION,
    {"--output", "FILE", "Write them to this new file (0600)."},
    {"--force", NULL,
     "Write them to standard output although it is no "
     "terminal."},
    USER_OPTIONS,
    {NULL, NULL, NULL},
};

const command_t otp_recovery_command = {
    .name = "otp recovery",
    .arguments = "[USER]",
    .arguments_max = 1,
    .summary = "Make ten new recovery codes.",
    .details = "Each is good once, in place of a code of the device. Users may "
               "do so for themselves, with a code.\n\n"
               "Exit status: 0 made; 1 refused; 2 error.",
    .options = recovery_options,
    .run = recovery,
};


/* ---- verify --------------------------------------------------------------*/

static int
verify_code(desk_t *desk, slice_t user)
{
    char code[CODE_LINE_MAX];
    ask_t ask = {0}, answer;
    int status;

    if (read_answer("Code: ", code) <= 0) {
        return fail(desk->command, "no code was given");
    }
    ask.values[ASK_USER] = user;
    ask.values[ASK_CODE] = slice_of(code);
    ask.values[ASK_SERVICE] = SLICE("sekisho");
    ask.values[ASK_ADDRESS] = SLICE("local");
    status = desk_ask(desk, ASK_VERIFY, &ask, &answer, false);
    wipe_bytes(code, sizeof(code));
    if (status == STATUS_OK) {
        slice_t left = answer.values[ASK_LEFT];

        printf("right (%.*s); it is used up now",
               SLICE_ARG(answer.values[ASK_FACTOR]));
        if (left.size > 0) {
            printf(", %.*s recovery codes are left", SLICE_ARG(left));
        }
        putchar('\n');
    }
    return status;
}


static int
verify(const arguments_t *arguments)
{
    char name[USER_NAME_MAX];
    slice_t user;
    desk_t desk = {.client = NULL};
    int status = desk_user(arguments, name, &user);

    if (status == STATUS_OK) {
        status = desk_open(arguments, &desk);
    }
    if (status == STATUS_OK) {
        status = verify_code(&desk, user);
    }
    desk_close(&desk);
    return status;
}


static const option_t verify_options[] = {
    USER_OPTIONS,
    {NULL, NULL, NULL},
};

const command_t otp_verify_command = {
    .name = "otp verify",
    .arguments = "[USER]",
    .arguments_max = 1,
    .summary = "Look whether a code is right: for support.",
    .details = "The code is read from the terminal or standard input, never "
               "from the command line. It counts like one at a door: it is "
               "used up, or charged as a failure, and on record.\n\n"
               "Exit status: 0 right; 1 not; 2 error.",
    .options = verify_options,
    .run = verify,
};
