/* `sekisho audit quiet`: a rule is silenced for somebody, and that is a
 * record. */

#define _GNU_SOURCE
#include <errno.h>
#include <time.h>

#include "audit_findings.h"

#define REASON_MAX 1000 /* bytes */
#define DAYS_MAX   366  /* for ever is no end date */

static const char *const targets[] = {"--user", "--facility", "--address"};

/* "user=yamada" of the one target that was given. */
static int
find_target(const arguments_t *arguments, char **text)
{
    const char *command = arguments->command->name;
    char canonical[ADDRESS_TEXT_MAX];
    const char *value = NULL, *name = NULL;
    address_t address;
    unsigned given = 0;

    for (unsigned i = 0; i < 3; i++) {
        const char *one = option_value(arguments, targets[i]);

        if (one != NULL) {
            value = one;
            name = targets[i] + 2;
            given++;
        }
    }
    if (given != 1) {
        return fail(command, "for whom? give one of --user, --facility and "
                             "--address");
    }
    if (check_words(command, name, slice_of(value), 256) != STATUS_OK) {
        return STATUS_ERROR;
    }
    if (strcmp(name, "address") == 0) {
        if (!address_parse(slice_of(value), &address)) {
            return fail(command, "--address %s: no literal address", value);
        }
        (void) address_format(&address, canonical);
        value = canonical;
    }
    return asprintf(text, "%s=%s", name, value) < 0
               ? fail(command, "out of memory")
               : STATUS_OK;
}


static int
check_rule(const char *command, const char *name)
{
    if (finding_rule_find(slice_of(name)) != FINDING_NO_RULE) {
        return STATUS_OK;
    }
    fail(command, "\"%s\" is no rule; these are:", name);
    for (unsigned i = 1; i < FINDING_RULES; i++) {
        fprintf(stderr, "  %-16s %s\n", finding_rule_name((finding_rule_t) i),
                finding_title((finding_rule_t) i, false));
    }
    return STATUS_ERROR;
}


static int
check_until(const char *command, const char *until)
{
    int32_t day, today = review_day((int64_t) time(NULL) * 1000);

    if (until == NULL) {
        return fail(command, "until when? give --until DATE");
    }
    if (!clock_parse_day(slice_of(until), &day)) {
        return fail(command, "--until %s: no date such as 2027-01-31", until);
    }
    if (day > today + DAYS_MAX) {
        return fail(command,
                    "--until %s: at most a year ahead; quiet it anew "
                    "then, with the reason of then",
                    until);
    }
    return STATUS_OK;
}


static int
send_quiet(const arguments_t *arguments, const place_t *place,
           const char *target)
{
    const char *command = arguments->command->name;
    const char *until = option_value(arguments, "--until");
    _cleanup_(cleanup_client) client_t *client = daemon_open(command, place);
    own_words_t own;
    record_t record;
    int error;

    if (client == NULL) {
        return daemon_absent(command, place, "a rule is quieted by a record");
    }
    own_record(EVENT_FINDING_QUIETED, &own, &record);
    record.values[RECORD_RULE] = slice_of(argument(arguments, 0));
    record.values[RECORD_UNTIL] = slice_of(until);
    record.values[RECORD_NOTE] = slice_of(option_value(arguments, "--reason"));
    record.values[RECORD_FINDINGS] = slice_of(target);
    error = client_record(client, &record);
    if (error == 0) {
        error = client_checkpoint(client);
    }
    if (error < 0) {
        return record_failed(command, place, client, error);
    }
    printf("%s is quiet for ", argument(arguments, 0));
    print_safe(stdout, slice_of(target));
    printf(" until the end of %s\n", until);
    return STATUS_OK;
}


static int
quiet(const arguments_t *arguments)
{
    const char *command = arguments->command->name;
    _cleanup_(place_free) place_t place = {NULL, NULL, NULL, false};
    _cleanup_(cleanup_free) char *target = NULL;

    if (check_rule(command, argument(arguments, 0)) != STATUS_OK ||
        find_target(arguments, &target) != STATUS_OK ||
        check_until(command, option_value(arguments, "--until")) != STATUS_OK ||
        check_words(command, "--reason",
                    slice_of(option_value(arguments, "--reason")),
                    REASON_MAX) != STATUS_OK ||
        place_find(arguments, &place) != STATUS_OK)
    {
        return STATUS_ERROR;
    }
    return send_quiet(arguments, &place, target);
}


static const option_t quiet_options[] = {
    {"--user", "NAME", "Findings about this user."},
    {"--facility", "ID", "Findings about this facility."},
    {"--address", "ADDRESS", "Findings about this address."},
    {"--until", "DATE",
     "The last day on which it is quiet, at most a year ahead. A day of the "
     "past ends it."},
    {"--reason", "TEXT", "Why; recorded, and shown with what is quieted."},
    TRAIL_OPTION,
    CONFIG_OPTION,
    SOCKET_OPTION,
    {NULL, NULL, NULL},
};

const command_t audit_quiet_command = {
    .name = "audit quiet",
    .arguments = "RULE",
    .arguments_min = 1,
    .arguments_max = 1,
    .summary = "Quiet a rule for somebody, with a reason and an end.",
    .details = "Findings of the rule about this user, facility or address are "
               "still made, and marked as quieted with the reason, from today "
               "on. What was found before stays to be decided. The quieting "
               "is a record (finding-quieted) of who, why and until when.\n\n"
               "Exit status: 0 recorded; 2 error.",
    .options = quiet_options,
    .run = quiet,
};
