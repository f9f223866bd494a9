/* `sekisho otp list`: who is enrolled with what. */

#define _GNU_SOURCE
#include <stdlib.h>

#include "otp_tools.h"

#define TEXT_MAX 512

typedef struct {
    bool json;
    bool any;
} listing_t;


static void
print_value(slice_t line, const char *name, const char *none, size_t width)
{
    char buffer[TEXT_MAX];
    slice_t value = line_value(line, name, buffer, sizeof(buffer));

    print_padded(stdout, value.size == 0 ? slice_of(none) : value, width);
    fputs("  ", stdout);
}


/* "2026-11-24 06:09Z" of RFC 3339 with milliseconds. */
static void
print_time(slice_t line, const char *name)
{
    char buffer[TEXT_MAX];
    slice_t value = line_value(line, name, buffer, sizeof(buffer));

    if (value.size >= 16) {
        printf("%.10s %.5sZ  ", value.data, value.data + 11);
    } else {
        printf("%-17s  ", "never");
    }
}


static void
print_kind(slice_t line)
{
    char kind[8], digest[8], text[64];
    char digits[8], period[8];
    slice_t k = line_value(line, "kind", kind, sizeof(kind));
    slice_t d = line_value(line, "digest", digest, sizeof(digest));
    slice_t n = line_value(line, "digits", digits, sizeof(digits));
    slice_t p = line_value(line, "period", period, sizeof(period));

    if (k.size == 0) {
        printf("%-19s  ", "-");
        return;
    }
    (void) snprintf(text, sizeof(text), "%.*s %.*s/%.*s%s%.*s%s", SLICE_ARG(k),
                    SLICE_ARG(d), SLICE_ARG(n), p.size > 0 ? "/" : "",
                    SLICE_ARG(p), p.size > 0 ? "s" : "");
    printf("%-19s  ", text);
}


static void
print_state(slice_t line)
{
    char buffer[16];
    slice_t device = line_value(line, "device", buffer, 0);
    bool confirmed = slice_is(
        line_value(line, "confirmed", buffer, sizeof(buffer)), "true");

    (void) device;
    if (slice_is(line_value(line, "locked", buffer, sizeof(buffer)), "true")) {
        print_styled(stdout, STYLE_BAD, "locked");
    } else if (line_value(line, "kind", buffer, sizeof(buffer)).size == 0) {
        fputs("no device", stdout);
    } else {
        print_styled(stdout, confirmed ? STYLE_GOOD : STYLE_WARN,
                     confirmed ? "enrolled" : "unconfirmed");
    }
}


static int
print_line(void *context, slice_t line)
{
    listing_t *listing = context;

    if (listing->json) {
        return print_json("otp list", line);
    }
    if (!listing->any) {
        printf("%-16s  %-12s  %-19s  %-17s  %8s  %8s  %s\n", "USER", "DEVICE",
               "KIND", "LAST USED", "FAILURES", "RECOVERY", "STATE");
    }
    listing->any = true;
    print_value(line, "user", "", 16);
    print_value(line, "device", "-", 12);
    print_kind(line);
    print_time(line, "device_last_used");
    print_value(line, "failures", "0", 8);
    print_value(line, "recovery_left", "0", 8);
    print_state(line);
    fputc('\n', stdout);
    return STATUS_OK;
}


static int
list(const arguments_t *arguments)
{
    listing_t listing = {.json = option_given(arguments, "--json")};
    slice_t user = slice_of(argument(arguments, 0));
    desk_t desk;
    int status = desk_open(arguments, &desk);

    if (status == STATUS_OK) {
        status = desk_list(&desk, ASK_LIST, user, print_line, &listing);
    }
    desk_close(&desk);
    return status;
}


static const option_t list_options[] = {
    {"--json", NULL, "One JSON object a line; docs/record.md has its kin."},
    USER_OPTIONS,
    {NULL, NULL, NULL},
};

const command_t otp_list_command = {
    .name = "otp list",
    .arguments = "[USER]",
    .arguments_max = 1,
    .summary = "List users, their devices and locks; never a secret.",
    .details = "Root only.\n\n"
               "Exit status: 0 listed; 1 there is no such user; 2 error.",
    .options = list_options,
    .run = list,
};
