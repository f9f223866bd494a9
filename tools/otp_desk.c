/* Questions to the daemon, and what its answers mean to a person. */

#define _GNU_SOURCE
#include <errno.h>
#include <pwd.h>
#include <stdlib.h>

#include "otp_tools.h"

int
desk_open(const arguments_t *arguments, desk_t *desk)
{
    int error;

    memset(desk, 0, sizeof(*desk));
    desk->command = arguments->command->name;
    if (place_find(arguments, &desk->place) != STATUS_OK) {
        return STATUS_ERROR;
    }
    caller_name(desk->by);
    /* no hello: a question is no record, and this program not remembered */
    error = client_open(desk->place.socket, (slice_t){NULL, 0},
                        DAEMON_DEADLINE_MS, &desk->client);
    if (error == -ENOENT || error == -ECONNREFUSED) {
        return daemon_absent(desk->command, &desk->place,
                             "it keeps the one-time codes: start it first");
    }
    return error == 0 ? STATUS_OK
                      : fail(desk->command, "%s: %s", desk->place.socket,
                             strerror(-error));
}


void
desk_close(desk_t *desk)
{
    client_close(desk->client);
    desk->client = NULL;
    place_free(&desk->place);
}


/* Stable reasons of the daemon -> what to do. */
static const struct {
    const char *why, *text;
} reasons[] = {
    {"wrong-code", "that is not its code now; look at the clock of the device "
                   "and at that of this host"},
    {"code-used-twice", "that code has been used already; wait for the next "
                        "one"},
    {"throttled", "too soon after wrong codes; wait a while"},
    {"locked", "locked after too many wrong codes; sekisho otp unlock"},
    {"not-enrolled", "nothing is enrolled under that name"},
    {"not-pending", "there is no such device waiting for its first code; "
                    "enroll again"},
    {"device-exists", "a device of that name is enrolled already; choose "
                      "another --device, or remove it first"},
    {"too-many-devices", "that user has as many devices as there may be; "
                         "remove one first"},
    {"clock", "the clock of this host, or the store, is behind what was seen "
              "before; set it right, then sekisho otp clock"},
    {"not-configured", "no \"otp_store\" in sekishod.conf(5)"},
    {"unavailable", "the daemon cannot write its store or its trail; its log "
                    "says why"},
    {"bad-secret", "the secret is no base32, too short or too long"},
    {"bad-request", "the daemon does not take such a value"},
    {"out-of-memory", "the daemon is out of memory"},
    {"too-large", "more than one answer can hold"},
};


static void
tell_reason(const desk_t *desk, const ask_t *ask, const ask_t *answer)
{
    slice_t verdict = answer->values[ASK_VERDICT],
            why = answer->values[ASK_WHY];
    slice_t user = ask->values[ASK_USER];
    const char *text = NULL;

    if (slice_is(verdict, "not-allowed")) {
        fail(desk->command, "that is root's to ask for%s",
             geteuid() == 0 ? "" : "; try sudo");
        return;
    }
    why = why.size > 0 ? why : verdict;
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        if (slice_is(why, reasons[i].why)) {
            text = reasons[i].text;
        }
    }
    if (user.size > 0) {
        fail(desk->command, "%.*s: %.*s%s%s", SLICE_ARG(user), SLICE_ARG(why),
             text == NULL ? "" : ": ", text == NULL ? "" : text);
    } else {
        fail(desk->command, "%.*s%s%s", SLICE_ARG(why),
             text == NULL ? "" : ": ", text == NULL ? "" : text);
    }
}


int
desk_ask(desk_t *desk, ask_operation_t operation, ask_t *ask, ask_t *answer,
         bool quiet)
{
    int error;

    ask->values[ASK_OPERATION] = slice_of(
        ask_number((uint64_t) operation, desk->number));
    ask->values[ASK_BY] = slice_of(desk->by);
    error = client_ask(desk->client, ask, answer);
    if (error == -EMSGSIZE) {
        return fail(desk->command, "a value is longer than %d bytes",
                    ASK_VALUE_MAX);
    }
    if (error < 0) {
        return fail(desk->command, "%s: %s", desk->place.socket,
                    error == -EPROTO
                        ? "the daemon cut the connection: see its log"
                        : strerror(-error));
    }
    if (slice_is(answer->values[ASK_VERDICT], "yes")) {
        return STATUS_OK;
    }
    if (slice_is(answer->values[ASK_VERDICT], "no")) {
        if (!quiet) {
            tell_reason(desk, ask, answer);
        }
        return STATUS_NO;
    }
    tell_reason(desk, ask, answer);
    return STATUS_ERROR;
}


int
desk_user(const arguments_t *arguments, char buffer[USER_NAME_MAX],
          slice_t *user)
{
    const char *name = argument(arguments, 0);

    if (name == NULL) {
        const struct passwd *account = getpwuid(getuid());

        if (account == NULL || strlen(account->pw_name) >= USER_NAME_MAX) {
            return fail(arguments->command->name,
                        "uid %lu has no name: name the user",
                        (unsigned long) getuid());
        }
        memcpy(buffer, account->pw_name, strlen(account->pw_name) + 1);
        name = buffer;
    }
    *user = slice_of(name);
    if (!ask_name_ok(*user, OTP_USER_MAX)) {
        return fail(arguments->command->name,
                    "\"%s\" is no user's name: 1 to %d bytes, no control "
                    "characters",
                    name, OTP_USER_MAX);
    }
    return STATUS_OK;
}
