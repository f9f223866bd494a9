/*
 * The record of a policy's change.  It is on disk before the image is replaced:
 * after a crash in between the trail says more than what happened, never less,
 * and `sekisho audit status` tells that they differ.
 */

#define _GNU_SOURCE
#include <errno.h>

#include "policy_tools.h"
#include "trail_tools.h"

#define PEER_TEXT_MAX 32

struct recording_s {
    const char *command;
    place_t place;
    client_t *client; /* NULL: nothing is recorded */
    bool unrecorded;  /* --unrecorded: what cannot be is left out */
    bool recorded;    /* the change is in the trail */
    char user[USER_NAME_MAX];
    char peer[PEER_TEXT_MAX];
};

static const char *
why_not(const client_t *client, int error)
{
    return error == -ENOSPC && client != NULL ? client_reason(client)
           : error == -EPROTO ? "the daemon cut the connection: see its log"
                              : strerror(-error);
}

/* STATUS_OK if the administrator wants to do without. */
static int
do_without(const recording_t *recording, const char *where, const char *why)
{
    if (!recording->unrecorded) {
        return fail(recording->command,
                    "%s: %s; a change of the policy is recorded before it is "
                    "made, so nothing was changed: start sekishod, or apply it "
                    "unrecorded with --unrecorded",
                    where, why);
    }
    fprintf(stderr, "%swarning: this change is not recorded: ",
            style_on(stderr, STYLE_WARN));
    print_safe(stderr, slice_of(where));
    fputs(": ", stderr);
    print_safe(stderr, slice_of(why));
    fprintf(stderr, "%s\n", style_off(stderr, STYLE_WARN));
    return STATUS_OK;
}

/* Whether this host, or the caller, names a daemon at all.  A configuration
 * that cannot be read is one: it must not be the way around the record. */
static bool
is_configured(const arguments_t *arguments)
{
    return option_given(arguments, "--config") ||
           option_given(arguments, "--socket") ||
           access(CONFIG_FILE, F_OK) == 0 ||
           (errno != ENOENT && errno != ENOTDIR);
}

static int
connect_daemon(const arguments_t *arguments, recording_t *recording)
{
    place_t *place = &recording->place;
    int error;

    if (!is_configured(arguments)) {
        fputs("not recorded: there is no " CONFIG_FILE "\n", stderr);
        return STATUS_OK;
    }
    if (place_find(arguments, place) != STATUS_OK ||
        (place->config == NULL && !option_given(arguments, "--socket")))
    {
        const char *path = option_value(arguments, "--config");

        return do_without(recording, path == NULL ? CONFIG_FILE : path,
                          "cannot be used");
    }
    error = client_open(place->socket, SLICE("sekisho"), DAEMON_DEADLINE_MS,
                        &recording->client);
    if (error < 0) {
        recording->client = NULL;
        return do_without(recording, place->socket,
                          error == -ENOENT || error == -ECONNREFUSED
                              ? "no sekishod answers"
                              : why_not(NULL, error));
    }
    return STATUS_OK;
}

int
recording_open(const arguments_t *arguments, recording_t **result)
{
    recording_t *recording = calloc(1, sizeof(*recording));

    *result = recording;
    if (recording == NULL) {
        return fail(arguments->command->name, "out of memory");
    }
    recording->command = arguments->command->name;
    recording->unrecorded = option_given(arguments, "--unrecorded");
    caller_name(recording->user);
    (void) snprintf(recording->peer, sizeof(recording->peer), "%lu:%ld",
                    (unsigned long) getuid(), (long) getpid());
    return connect_daemon(arguments, recording);
}

void
recording_close(recording_t *recording)
{
    if (recording != NULL) {
        client_close(recording->client);
        place_free(&recording->place);
        free(recording);
    }
}

static int
send_change(recording_t *recording, const policy_change_t *change,
            slice_t outcome, slice_t reason)
{
    _cleanup_(cleanup_free) char *uri = NULL;
    record_t record = {0};

    if (asprintf(&uri, "file://%s", change->image) < 0) {
        uri = NULL;
        return -ENOMEM;
    }
    record.values[RECORD_EVENT] = slice_of(
        record_event_name(EVENT_POLICY_CHANGED));
    record.values[RECORD_OUTCOME] = outcome;
    record.values[RECORD_REASON] = reason;
    record.values[RECORD_USER] = slice_of(recording->user);
    record.values[RECORD_PEER] = slice_of(recording->peer);
    record.values[RECORD_ADDRESS] = SLICE("local");
    record.values[RECORD_URI] = slice_of(uri);
    record.values[RECORD_FILE] = slice_of(change->text);
    record.values[RECORD_POLICY] = slice_of(change->version);
    record.values[RECORD_OLD] = slice_of(change->old);
    record.values[RECORD_NOTE] = slice_of(change->note);
    return client_record(recording->client, &record);
}

int
recording_change(recording_t *recording, const policy_change_t *change)
{
    int error;

    if (recording->client == NULL) {
        return STATUS_OK;
    }
    error = send_change(recording, change, SLICE("0"), SLICE(""));
    if (error < 0) {
        return do_without(recording, recording->place.socket,
                          why_not(recording->client, error));
    }
    recording->recorded = true;
    return STATUS_OK;
}

void
recording_failure(recording_t *recording, const policy_change_t *change)
{
    int error;

    if (!recording->recorded) {
        return;
    }
    error = send_change(recording, change, SLICE("8"), SLICE("not-applied"));
    if (error < 0) {
        (void) fail(recording->command,
                    "the trail says that policy %s was put in force, and that "
                    "it failed could not be recorded: %s: apply it again",
                    change->version, why_not(recording->client, error));
    }
}
