/* Who reads the trail is itself recorded, before a line of it is shown. */

#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>

#include "audit_tools.h"

int
reader_open(const char *command, const place_t *place, trail_reader_t **reader)
{
    trail_problem_t problem = {""};
    int error = trail_reader_open(place->folder, NULL, 0, reader, &problem);

    if (error == 0) {
        return STATUS_OK;
    }
    return fail(command, "%s%s%s", place->folder, ": ",
                problem.text[0] != '\0' ? problem.text : strerror(-error));
}


/* Whether an option says what is read, not only where or how. */
static bool
is_query(const char *name)
{
    static const char *const others[] = {"--config", "--trail",      "--socket",
                                         "--note",   "--unrecorded", "-o",
                                         "--index"};

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (strcmp(name, others[i]) == 0) {
            return false;
        }
    }
    return true;
}


/* "audit search --user yamada": what was asked, as it was asked. */
static char *
query_text(const arguments_t *arguments)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    if (out == NULL) {
        return NULL;
    }
    fputs(arguments->command->name, out);
    for (unsigned i = 0; i < arguments->count; i++) {
        fprintf(out, " %s", arguments->arguments[i]);
    }
    for (unsigned i = 0; arguments->command->options[i].name != NULL; i++) {
        const option_t *option = &arguments->command->options[i];

        if (arguments->values[i] == NULL || !is_query(option->name)) {
            continue;
        }
        fprintf(out, option->value == NULL ? " %s" : " %s %s", option->name,
                arguments->values[i]);
    }
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}


static int
send_record(const arguments_t *arguments, client_t *client)
{
    _cleanup_(cleanup_free) char *query = query_text(arguments);
    const char *note = option_value(arguments, "--note");
    char user[USER_NAME_MAX], peer[32];
    record_t record = {0};

    if (query == NULL) {
        return -ENOMEM;
    }
    caller_name(user);
    (void) snprintf(peer, sizeof(peer), "%lu:%ld", (unsigned long) getuid(),
                    (long) getpid());
    record.values[RECORD_EVENT] = slice_of(record_event_name(EVENT_TRAIL_READ));
    record.values[RECORD_OUTCOME] = SLICE("0");
    record.values[RECORD_USER] = slice_of(user);
    record.values[RECORD_ADDRESS] = SLICE("local");
    record.values[RECORD_PEER] = slice_of(peer);
    record.values[RECORD_QUERY] = slice_of(query);
    record.values[RECORD_NOTE] = slice_of(note);
    return client_record(client, &record);
}


int
read_recorded(const arguments_t *arguments, const place_t *place)
{
    const char *command = arguments->command->name;
    _cleanup_(cleanup_client) client_t *client = NULL;
    const char *reason = "no sekishod answers";
    int error;

    if (!place->live) {
        return STATUS_OK;
    }
    client = daemon_open(command, place);
    if (client != NULL) {
        error = send_record(arguments, client);
        if (error == 0) {
            return STATUS_OK;
        }
        reason = error == -ENOSPC ? client_reason(client)
                 : error == -EPROTO
                     ? "the daemon cut the connection; see its log"
                     : strerror(-error);
    }
    if (!option_given(arguments, "--unrecorded")) {
        return fail(command,
                    "%s: %s; who reads the trail is recorded, so nothing is "
                    "shown: start sekishod, or read unrecorded with "
                    "--unrecorded",
                    place->socket, reason);
    }
    fprintf(stderr, "%swarning: this reading is not recorded: ",
            style_on(stderr, STYLE_WARN));
    print_safe(stderr, slice_of(reason));
    fprintf(stderr, "%s\n", style_off(stderr, STYLE_WARN));
    return STATUS_OK;
}


int
listing_open(const arguments_t *arguments, listing_t *listing)
{
    listing->command = arguments->command->name;
    return filter_make(arguments, &listing->filter) == STATUS_OK &&
                   printer_make(arguments, &listing->printer) == STATUS_OK &&
                   place_find(arguments, &listing->place) == STATUS_OK &&
                   reader_open(listing->command, &listing->place,
                               &listing->reader) == STATUS_OK &&
                   read_recorded(arguments, &listing->place) == STATUS_OK
               ? STATUS_OK
               : STATUS_ERROR;
}


void
listing_close(listing_t *listing)
{
    trail_reader_free(listing->reader);
    filter_free(&listing->filter);
    printer_free(&listing->printer);
    place_free(&listing->place);
}
