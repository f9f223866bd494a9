/* `sekisho audit verify`: whether the trail is what was signed, and whole. */

#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>

#include "../lib/base/file.h"
#include "../lib/trail/base64.h"
#include "audit_verify.h"

static const int statuses[] = {
    [VERIFY_ERROR] = STATUS_ERROR,       [VERIFY_OK] = STATUS_OK,
    [VERIFY_TAMPERED] = STATUS_TAMPERED, [VERIFY_GAP] = STATUS_GAP,
    [VERIFY_UNSEALED] = STATUS_UNSEALED,
};

typedef struct {
    const char *command;
    place_t place;
    keys_t keys;
    char *kept_bytes[VERIFY_KEPT_MAX];
    slice_t kept[VERIFY_KEPT_MAX];
    size_t kept_count;
    progress_t progress;
} job_t;

static void
on_progress(void *argument, uint64_t done, uint64_t size)
{
    progress_tell(argument, done, size);
}


static int
read_kept(const arguments_t *arguments, job_t *job)
{
    const char *path;

    for (unsigned i = 0;
         (path = option_nth(arguments, "--checkpoint", i)) != NULL; i++)
    {
        size_t at = job->kept_count;
        size_t size = 0;
        int error;

        if (at == VERIFY_KEPT_MAX) {
            return fail(job->command, "more than %d checkpoints",
                        VERIFY_KEPT_MAX);
        }
        error = file_read(path, NOTE_SIZE_MAX, &job->kept_bytes[at], &size);
        if (error < 0) {
            return fail(job->command, "%s: %s", path, strerror(-error));
        }
        job->kept[at] = (slice_t){job->kept_bytes[at], size};
        job->kept_count++;
    }
    return STATUS_OK;
}


/* A live trail is a moment behind: what is acknowledged is sealed first, as
 * far as it goes. */
static void
seal(const job_t *job)
{
    _cleanup_(cleanup_client) client_t *client = NULL;

    if (job->place.live && client_open(job->place.socket, SLICE("sekisho"),
                                       DAEMON_DEADLINE_MS, &client) == 0)
    {
        (void) client_checkpoint(client);
    }
}


static int
run_verify(job_t *job, bool json)
{
    verify_options_t options = {.keys = job->keys.keys,
                                .keys_count = job->keys.count,
                                .kept = job->kept,
                                .kept_count = job->kept_count,
                                .progress = on_progress,
                                .progress_argument = &job->progress};
    verify_report_t *report = calloc(1, sizeof(*report));
    numbers_t *numbers = numbers_new();
    verified_t verified = {.place = &job->place,
                           .report = report,
                           .numbers = numbers,
                           .kept = job->kept_count};
    uint64_t gaps;
    int status;

    if (report == NULL || numbers == NULL) {
        numbers_free(numbers);
        free(report);
        return fail(job->command, "out of memory");
    }
    seal(job);
    options.hook = numbers_hook(numbers);
    progress_begin(&job->progress, "verified");
    (void) trail_verify(job->place.folder, &options, report);
    progress_end(&job->progress);
    numbers_end(numbers);
    (void) numbers_findings(numbers, &gaps);
    if (gaps > 0 &&
        (report->result == VERIFY_OK || report->result == VERIFY_UNSEALED))
    {
        report->result = VERIFY_GAP;
    }
    status = statuses[report->result];
    if (report->result == VERIFY_ERROR) {
        (void) fail(job->command, "could not be verified: %s",
                    report->problem.text);
    } else if (json) {
        (void) verified_json(job->command, &verified);
    } else {
        verified_print(&verified);
    }
    numbers_free(numbers);
    free(report);
    return status;
}


static int
verify(const arguments_t *arguments)
{
    job_t *job = calloc(1, sizeof(*job));
    int status = STATUS_ERROR;

    if (job == NULL) {
        return fail(arguments->command->name, "out of memory");
    }
    job->command = arguments->command->name;
    if (place_find(arguments, &job->place) == STATUS_OK &&
        keys_find(arguments, &job->place, &job->keys) == STATUS_OK &&
        read_kept(arguments, job) == STATUS_OK)
    {
        status = job->keys.count == 0
                     ? fail(job->command,
                            "no verifier key: give it with --key; \"sekisho "
                            "trail key\" prints it on the host that keeps "
                            "the trail")
                     : run_verify(job, option_given(arguments, "--json"));
    }
    for (size_t i = 0; i < job->kept_count; i++) {
        free(job->kept_bytes[i]);
    }
    place_free(&job->place);
    free(job);
    return status;
}


static const option_t verify_options[] = {
    {"--key", "VKEY|FILE",
     "Verifier key of the trail, or a file of such, one a line; may be given "
     "again [those of the daemon's configuration]."},
    {"--checkpoint", "FILE",
     "A checkpoint of this trail kept elsewhere; may be given again. The trail "
     "must have grown from it."},
    {"--json", NULL, "Print JSON."},
    TRAIL_OPTION,
    CONFIG_OPTION,
    SOCKET_OPTION,
    {NULL, NULL, NULL},
};

const command_t audit_verify_command = {
    .name = "audit verify",
    .arguments = "",
    .summary = "Verify that the trail is whole and unchanged.",
    .details =
        "Derives every hash again from the entries, compares it with what is "
        "on the disk and with what was signed, and looks for numbers that are "
        "missing. It needs the folder, or a copy, and the verifier key.\n\n"
        "OK: everything is as it was signed. UNSEALED: so it is, and records "
        "follow the last checkpoint, which no signature covers yet. GAP: "
        "numbers of a front end have no record, or the trail itself tells so. "
        "TAMPERED: something was changed, removed or put in.\n\n"
        "Exit status: 0 OK; 2 it could not be verified; 3 TAMPERED; 4 GAP; 5 "
        "UNSEALED. The heaviest counts.",
    .options = verify_options,
    .repeatable = "--key --checkpoint",
    .run = verify,
};
