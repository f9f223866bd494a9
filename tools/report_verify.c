/* What a report says about the trail itself: verified or not, and reviewed. */

#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>

#include "../lib/trail/base64.h"
#include "report.h"

#define ROOT_TEXT_MAX (BASE64_SIZE(MERKLE_HASH_SIZE) + 1)

static void
on_progress(void *argument, uint64_t done, uint64_t size)
{
    progress_tell(argument, done, size);
}


/* A live trail is a moment behind: what is acknowledged is sealed first. */
static void
seal(const audit_report_t *report)
{
    _cleanup_(cleanup_client) client_t *client = NULL;

    if (report->place.live &&
        client_open(report->place.socket, SLICE("sekisho"), DAEMON_DEADLINE_MS,
                    &client) == 0)
    {
        (void) client_checkpoint(client);
    }
}


int
report_verify(audit_report_t *report)
{
    progress_t progress;
    verify_options_t options = {.progress = on_progress,
                                .progress_argument = &progress};
    numbers_t *numbers;
    uint64_t gaps;

    if (option_given(report->arguments, "--no-verify")) {
        return STATUS_OK;
    }
    if (keys_find(report->arguments, &report->place, &report->keys) !=
        STATUS_OK) {
        return STATUS_ERROR;
    }
    if (report->keys.count == 0) {
        return fail(report->command,
                    "no verifier key: give it with --key, or --no-verify for a "
                    "report that says that the trail was not verified");
    }
    numbers = numbers_new();
    report->verdict = calloc(1, sizeof(*report->verdict));
    if (numbers == NULL || report->verdict == NULL) {
        numbers_free(numbers);
        return fail(report->command, "out of memory");
    }
    options.keys = report->keys.keys;
    options.keys_count = report->keys.count;
    options.hook = numbers_hook(numbers);
    seal(report);
    progress_begin(&progress, "verified");
    (void) trail_verify(report->place.folder, &options, report->verdict);
    progress_end(&progress);
    numbers_end(numbers);
    (void) numbers_findings(numbers, &gaps);
    numbers_free(numbers);
    if (gaps > 0) {
        report->verdict->gaps = gaps;
        if (report->verdict->result == VERIFY_OK ||
            report->verdict->result == VERIFY_UNSEALED)
        {
            report->verdict->result = VERIFY_GAP;
        }
    }
    if (report->verdict->result == VERIFY_ERROR) {
        return fail(report->command, "could not be verified: %s",
                    report->verdict->problem.text);
    }
    report->verified = true;
    return STATUS_OK;
}


void
report_verdict(const audit_report_t *report, json_t *json)
{
    static const char *const results[] = {[VERIFY_ERROR] = "error",
                                          [VERIFY_OK] = "ok",
                                          [VERIFY_UNSEALED] = "unsealed",
                                          [VERIFY_GAP] = "gap",
                                          [VERIFY_TAMPERED] = "tampered"};
    const verify_report_t *verdict = report->verdict;
    const checkpoint_t *checkpoint = trail_reader_checkpoint(report->reader);
    char root[ROOT_TEXT_MAX];

    json_object(json, "verify");
    if (!report->verified) {
        json_string(json, "result", "none");
        json_int(json, "sealed", (int64_t) checkpoint->size);
        json_end_object(json);
        return;
    }
    root[base64_encode(verdict->root.bytes, MERKLE_HASH_SIZE, root)] = '\0';
    json_string(json, "result", results[verdict->result]);
    json_int(json, "sealed", (int64_t) verdict->sealed);
    json_int(json, "unsealed", (int64_t) verdict->unsealed);
    json_int(json, "gaps", (int64_t) verdict->gaps);
    json_string(json, "root", root);
    json_array(json, "findings");
    for (uint64_t i = 0; i < verdict->findings_count && i < VERIFY_FINDINGS_MAX;
         i++)
    {
        json_string(json, NULL, verdict->findings[i].text);
    }
    json_end_array(json);
    json_end_object(json);
}
