/*
 * `sekisho otp emergency seal | list`: codes that open this host when sekishod
 * is dead.  Works without the daemon; it makes the record when it is there.
 */

#define _GNU_SOURCE
#include "otp_emergency.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "../lib/base/clock.h"
#include "../lib/base/value.h"
#include "../lib/base/wipe.h"
#include "../lib/otp/emergency.h"
#include "otp_tools.h"

#define COUNT_DEFAULT 10
#define VALID_DEFAULT (UINT64_C(365) * 86400)
#define VALID_MAX     (UINT64_C(10) * 365 * 86400)

/* Texts of codes, wiped and freed. */
typedef struct {
    char (*texts)[EMERGENCY_TEXT_SIZE];
    size_t size;
} codes_t;

static void
cleanup_codes(codes_t *codes)
{
    if (codes->texts != NULL) {
        wipe_bytes(codes->texts, codes->size);
        free(codes->texts);
    }
}

static int
read_numbers(const arguments_t *arguments, uint64_t *count, uint64_t *valid)
{
    const char *command = arguments->command->name;
    const char *text = option_value(arguments, "--count");

    *count = COUNT_DEFAULT;
    *valid = VALID_DEFAULT;
    if (text != NULL &&
        (!ask_number_parse(slice_of(text), EMERGENCY_CODES_MAX, count) ||
         *count == 0))
    {
        return fail(command, "--count \"%s\": write a number between 1 and %d",
                    text, EMERGENCY_CODES_MAX);
    }
    text = option_value(arguments, "--valid");
    if (text != NULL && (!value_duration(slice_of(text), valid) ||
                         *valid == 0 || *valid > VALID_MAX))
    {
        return fail(command,
                    "--valid \"%s\": write a time span up to 3650d, as 90d",
                    text);
    }
    return STATUS_OK;
}

static const char *
folder_of(const arguments_t *arguments, const place_t *place)
{
    const char *folder = option_value(arguments, "--folder");

    if (folder != NULL) {
        return folder;
    }
    return place->config != NULL && place->config->emergency != NULL
               ? place->config->emergency
               : EMERGENCY_FOLDER;
}

static void
print_day(FILE *out, int64_t seconds)
{
    char text[CLOCK_TEXT_MAX];

    (void) clock_format(seconds, 0, text);
    fputs(text, out);
}

static void
print_codes(FILE *out, const codes_t *codes, uint64_t count, int64_t until)
{
    char host[256] = "";

    (void) gethostname(host, sizeof(host) - 1);
    fprintf(out, "Emergency codes of %s, valid until ", host);
    print_day(out, until);
    fputs("\n\n", out);
    for (uint64_t i = 0; i < count; i++) {
        fprintf(out, "    %s\n", codes->texts[i]);
    }
    fputs("\nEach opens one door once, when sekishod does not answer: type it "
          "where the\none-time code is asked, then say why. Seal this list "
          "away; every use is\nrecorded. All codes before these are void.\n",
          out);
}

static int
seal(const arguments_t *arguments)
{
    const char *command = arguments->command->name;
    _cleanup_(place_free) place_t place = {NULL, NULL, NULL, false};
    _cleanup_(cleanup_codes) codes_t codes = {NULL, 0};
    char error[EMERGENCY_ERROR_MAX] = "", by[USER_NAME_MAX];
    uint64_t count, valid;
    int64_t now = time(NULL);
    struct stat owner;
    FILE *out;

    if (read_numbers(arguments, &count, &valid) != STATUS_OK ||
        place_find(arguments, &place) != STATUS_OK)
    {
        return STATUS_ERROR;
    }
    if (geteuid() != 0) {
        return fail(command, "only root seals codes: run it with sudo");
    }
    /* the daemon's user has the trail's folder, and shall have the spool */
    if (place.folder == NULL || stat(place.folder, &owner) < 0) {
        owner.st_uid = 0;
        owner.st_gid = 0;
    }
    codes.size = (size_t) count * EMERGENCY_TEXT_SIZE;
    codes.texts = calloc((size_t) count, EMERGENCY_TEXT_SIZE);
    if (codes.texts == NULL) {
        return fail(command, "out of memory");
    }
    /* first: codes that could not be shown would have voided the old ones */
    out = secret_open(arguments);
    if (out == NULL) {
        return STATUS_ERROR;
    }
    caller_name(by);
    if (emergency_seal(folder_of(arguments, &place), (unsigned) count, now,
                       (int64_t) valid, owner.st_uid, owner.st_gid,
                       slice_of(by), codes.texts, error) < 0)
    {
        (void) secret_close(command, out);
        return fail(command, "%s", error);
    }
    print_codes(out, &codes, count, now + (int64_t) valid);
    return secret_close(command, out);
}

typedef struct {
    int64_t now;
    unsigned unused, expired;
} listing_t;

static bool
print_entry(void *context, const emergency_entry_t *entry)
{
    listing_t *listing = context;
    bool expired = entry->until_seconds <= listing->now;

    printf("em%02u  sealed ", entry->number);
    print_day(stdout, entry->sealed_seconds);
    fputs("  valid until ", stdout);
    print_day(stdout, entry->until_seconds);
    puts(expired ? "  expired" : "");
    listing->unused += !expired;
    listing->expired += expired;
    return true;
}

static int
list(const arguments_t *arguments)
{
    const char *command = arguments->command->name;
    _cleanup_(place_free) place_t place = {NULL, NULL, NULL, false};
    listing_t listing = {.now = time(NULL)};
    const char *folder;
    int error;

    if (place_find(arguments, &place) != STATUS_OK) {
        return STATUS_ERROR;
    }
    folder = folder_of(arguments, &place);
    error = emergency_list(folder, print_entry, &listing);
    if (error < 0) {
        return fail(command, "%s: %s%s", folder, strerror(-error),
                    error == -ENOENT ? "; \"sekisho otp emergency seal\" makes "
                                       "codes"
                                     : "");
    }
    printf("%u can be used, %u are over\n", listing.unused, listing.expired);
    return listing.unused > 0 ? STATUS_OK : STATUS_NO;
}

static int
emergency(const arguments_t *arguments)
{
    const char *what = argument(arguments, 0);

    if (strcmp(what, "seal") == 0) {
        return seal(arguments);
    }
    if (strcmp(what, "list") == 0) {
        return list(arguments);
    }
    return fail(arguments->command->name, "\"%s\": write seal or list", what);
}

static const option_t options[] = {
    {"--count", "N", "seal: how many codes, 1 to 99. Default: 10."},
    {"--valid", "SPAN", "seal: for how long, as 90d. Default: 365d."},
    {"--output", "FILE", "seal: write the codes to a new file of mode 0600."},
    {"--force", NULL, "seal: print the codes although that is no terminal."},
    {"--folder", "DIR",
     "Folder of the codes. Default: that of the configuration, or "
     "/var/lib/sekisho/emergency."},
    {"--config", "FILE", "Configuration of the daemon."},
    {"--trail", "DIR",
     "Folder of the trail, whose owner gets the spool of uses."},
    {NULL, NULL, NULL},
};

const command_t otp_emergency_command = {
    .name = "otp emergency",
    .arguments = "seal | list",
    .arguments_min = 1,
    .arguments_max = 1,
    .summary = "Codes that open this host when sekishod does not answer.",
    .details =
        "seal makes new codes and prints them once; all codes before are void. "
        "Each is good once, on this host, for root's doors (sshd, login, "
        "greeters, sudo), and only while the daemon does not answer. Whoever "
        "uses one is asked why; that becomes a record as soon as the daemon "
        "is back.\n\nlist shows which are left, never the codes.",
    .options = options,
    .run = emergency,
};

int
otp_emergency_main(int argc, char **argv)
{
    return command_run(&otp_emergency_command, argc, argv);
}
