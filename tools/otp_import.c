/* `sekisho otp import`: devices from elsewhere, so that nobody enrolls anew. */

#define _GNU_SOURCE
#include <errno.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "../lib/base/file.h"
#include "otp_tools.h"

#define FILE_MAX (64u * 1024 * 1024)


void
import_skip(importer_t *importer, const char *format, ...)
{
    char text[512], line[24] = "";
    va_list arguments;

    va_start(arguments, format);
    (void) vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (importer->line > 0) {
        (void) snprintf(line, sizeof(line), ":%u", importer->line);
    }
    fail(importer->desk->command, "%s%s: %s", importer->path, line, text);
    importer->skipped++;
}


static bool
check_device(importer_t *importer, const import_t *device)
{
    uint8_t secret[OTP_SECRET_MAX];
    size_t size = ask_base32_read(slice_of(device->secret), secret,
                                  sizeof(secret));

    wipe_bytes(secret, sizeof(secret));
    if (!ask_name_ok(slice_of(device->user), OTP_USER_MAX)) {
        import_skip(importer, "no user is named: name one with --user");
        return false;
    }
    if (size < OTP_SECRET_IMPORTED) {
        import_skip(importer,
                    "%s: the secret is no base32 of %d to %d bytes: such a "
                    "device has to be enrolled anew",
                    device->user, OTP_SECRET_IMPORTED, OTP_SECRET_MAX);
        return false;
    }
    return true;
}


void
import_device(importer_t *importer, import_t *device)
{
    char digits[ASK_NUMBER_SIZE], period[ASK_NUMBER_SIZE];
    char counter[ASK_NUMBER_SIZE];
    ask_t ask = {0}, answer;

    if (importer->user != NULL) {
        (void) snprintf(device->user, sizeof(device->user), "%s",
                        importer->user);
    }
    if (importer->device != NULL) {
        (void) snprintf(device->device, sizeof(device->device), "%s",
                        importer->device);
    }
    if (!check_device(importer, device)) {
        return;
    }
    if (importer->dry_run) {
        importer->imported++;
        return;
    }
    ask.values[ASK_USER] = slice_of(device->user);
    ask.values[ASK_DEVICE] = slice_of(device->device);
    ask.values[ASK_KIND] = device->hotp ? SLICE("hotp") : SLICE("totp");
    ask.values[ASK_DIGEST] = slice_of(device->digest);
    ask.values[ASK_DIGITS] = slice_of(ask_number(device->digits, digits));
    if (device->hotp) {
        ask.values[ASK_COUNTER] = slice_of(
            ask_number(device->counter, counter));
    } else {
        ask.values[ASK_PERIOD] = slice_of(
            ask_number(device->period_seconds, period));
    }
    ask.values[ASK_SECRET] = slice_of(device->secret);
    switch (desk_ask(importer->desk, ASK_IMPORT, &ask, &answer, false)) {
    case STATUS_OK:
        importer->imported++;
        break;
    case STATUS_NO:
        importer->skipped++;
        break;
    default:
        importer->failed++;
        break;
    }
    client_wipe(importer->desk->client);
}


/* A home's .google_authenticator is its owner's. */
static int
find_owner(importer_t *importer, char name[USER_NAME_MAX])
{
    const struct passwd *account = NULL;
    struct stat st;

    if (importer->user == NULL && stat(importer->path, &st) == 0) {
        account = getpwuid(st.st_uid);
        if (account == NULL || strlen(account->pw_name) >= USER_NAME_MAX) {
            return fail(importer->desk->command,
                        "%s: its owner has no name: name the user with --user",
                        importer->path);
        }
        memcpy(name, account->pw_name, strlen(account->pw_name) + 1);
        importer->user = name;
    }
    return STATUS_OK;
}


static int
import_file(importer_t *importer, const char *from, const char *key)
{
    char owner[USER_NAME_MAX], *data = NULL;
    size_t size = 0;
    int error, status;

    if (strcmp(from, "pskc") == 0) {
        return import_pskc(importer, key);
    }
    error = file_read(importer->path, FILE_MAX, &data, &size);
    if (error < 0) {
        return fail(importer->desk->command, "%s: %s", importer->path,
                    strerror(-error));
    }
    if (strcmp(from, "usersfile") == 0) {
        status = import_usersfile(importer, (slice_t){data, size});
    } else {
        status = find_owner(importer, owner);
        if (status == STATUS_OK) {
            status = import_google(importer, (slice_t){data, size});
        }
    }
    wipe_bytes(data, size);
    free(data);
    return status;
}


static int
import(const arguments_t *arguments)
{
    const char *from = option_value(arguments, "--from");
    const char *key = option_value(arguments, "--key-file");
    desk_t desk;
    importer_t importer = {.desk = &desk,
                           .path = argument(arguments, 0),
                           .user = option_value(arguments, "--user"),
                           .device = option_value(arguments, "--device"),
                           .dry_run = option_given(arguments, "--dry-run")};
    int status;

    if (from == NULL ||
        (strcmp(from, "google-authenticator") != 0 &&
         strcmp(from, "usersfile") != 0 && strcmp(from, "pskc") != 0))
    {
        return fail(arguments->command->name,
                    "--from is google-authenticator, usersfile or pskc");
    }
    if (key != NULL && strcmp(from, "pskc") != 0) {
        return fail(arguments->command->name, "--key-file is for --from pskc");
    }
    status = desk_open(arguments, &desk);
    if (status == STATUS_OK) {
        status = import_file(&importer, from, key);
    }
    if (status == STATUS_OK) {
        printf("%u %simported, %u left out, %u failed\n", importer.imported,
               importer.dry_run ? "could be " : "", importer.skipped,
               importer.failed);
        status = importer.failed > 0    ? STATUS_ERROR
                 : importer.skipped > 0 ? STATUS_NO
                                        : STATUS_OK;
    }
    desk_close(&desk);
    return status;
}


static const option_t import_options[] = {
    {"--from", "FORMAT", "google-authenticator, usersfile or pskc."},
    {"--user", "NAME",
     "Whose the device is; default: as the file says, or for "
     "google-authenticator its owner."},
    {"--device", "NAME",
     "What it is called; default: as the file says, or \"imported\"."},
    {"--key-file", "FILE",
     "pskc: the pre-shared key, 32 or 64 hexadecimal digits."},
    {"--dry-run", NULL, "Only say what would be left out."},
    USER_OPTIONS,
    {NULL, NULL, NULL},
};

const command_t otp_import_command = {
    .name = "otp import",
    .arguments = "FILE",
    .arguments_min = 1,
    .arguments_max = 1,
    .summary = "Take devices over, so that nobody has to enroll anew.",
    .details =
        "Root only. google-authenticator: a ~/.google_authenticator; its "
        "emergency scratch codes are not taken, as eight digits are too few: "
        "make recovery codes. usersfile: of pam_oath. pskc: RFC 6030, plain or "
        "under a pre-shared key.\n\n"
        "Exit status: 0 all were taken; 1 some were left out, each was told; 2 "
        "error.",
    .options = import_options,
    .run = import,
};
