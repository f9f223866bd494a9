/* `sekisho audit report`: what happened, as one page that works anywhere. */

#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>

#include "../lib/base/file.h"
#include "audit_findings.h"
#include "audit_verify.h"
#include "report.h"

#define DEFAULT_POLICY "/var/lib/sekisho/policy.img"

/* A report names people: for whom it was made, and nobody else. */
#define REPORT_MODE 0600

static int
take_value(audit_report_t *report, const char *option, const char **value)
{
    *value = option_value(report->arguments, option);
    if (*value != NULL &&
        ((*value)[0] == '\0' || strlen(*value) > RECORD_VALUE_MAX))
    {
        return fail(report->command, "%s: a value has 1 to %d bytes", option,
                    RECORD_VALUE_MAX);
    }
    return STATUS_OK;
}


static int
take_options(audit_report_t *report)
{
    if (!option_given(report->arguments, "-o")) {
        return fail(report->command, "where to? give -o FILE.html");
    }
    if (take_value(report, "--facility", &report->facility) != STATUS_OK ||
        take_value(report, "--user", &report->user) != STATUS_OK ||
        take_value(report, "--patient", &report->patient) != STATUS_OK ||
        take_value(report, "--issuer", &report->issuer) != STATUS_OK)
    {
        return STATUS_ERROR;
    }
    if (report->patient != NULL &&
        (report->facility != NULL || report->user != NULL))
    {
        return fail(report->command,
                    "--patient makes the patient's own list, which is whole: "
                    "no --facility or --user with it");
    }
    if (report->issuer != NULL && report->patient == NULL) {
        return fail(report->command, "--issuer goes with --patient");
    }
    return words_find(report->arguments, &report->words) == STATUS_OK
               ? report_period(report)
               : STATUS_ERROR;
}


/* ---- What it is made from ------------------------------------------------ */

/* The policy names facilities and knows their hours. */
static int
open_policy(audit_report_t *report)
{
    const char *path = option_value(report->arguments, "--policy");
    policy_image_result_t result;

    if (path == NULL) {
        path = report->place.config != NULL &&
                       report->place.config->policy != NULL
                   ? report->place.config->policy
                   : DEFAULT_POLICY;
        if (access(path, R_OK) < 0) {
            return STATUS_OK;
        }
    }
    result = policy_image_open_file(path, &report->policy);
    if (result != POLICY_IMAGE_OK) {
        return fail(report->command, "%s: %s", path,
                    result == POLICY_IMAGE_SYSTEM
                        ? strerror(errno)
                        : policy_image_strerror(result));
    }
    return STATUS_OK;
}


static int
open_countries(audit_report_t *report)
{
    const char *path = option_value(report->arguments, "--geoip");
    geoip_t *geoip = NULL;
    int status = path == NULL ? STATUS_OK
                              : geoip_open(report->command, path, &geoip);

    report->geoip = geoip;
    return status;
}


/* ---- The page ------------------------------------------------------------ */

static void
heading(audit_report_t *report, json_t *json)
{
    const checkpoint_t *checkpoint = trail_reader_checkpoint(report->reader);
    char user[USER_NAME_MAX];

    caller_name(user);
    json_string(json, "lang", report->words.lang);
    words_json(&report->words, json, "words");
    json_int(json, "made", report->now_ms);
    json_string(json, "by", user);
    json_int(json, "from", report->from_ms);
    json_int(json, "to", report->to_ms);
    json_string(json, "zone", report->zone);
    zone_json(json, "offsets", report->from_ms, report->to_ms);
    json_text(json, "origin", checkpoint->origin);
    json_int(json, "tree_size", (int64_t) checkpoint->size);
    json_int(json, "index_size", (int64_t) index_size(report->index));
    json_string(json, "facility", report->facility);
    json_string(json, "user", report->user);
    json_bool(json, "hours", report->policy != NULL);
}


static int
officer(audit_report_t *report, page_t *page)
{
    _cleanup_(cleanup_json) json_t json;
    slice_t text;

    json_init(&json);
    json_object(&json, NULL);
    heading(report, &json);
    report_verdict(report, &json);
    if (report_select(report) != STATUS_OK ||
        report_findings(report, &json) != STATUS_OK ||
        report_figures(report, &json) != STATUS_OK ||
        report_charts(report, &json) != STATUS_OK ||
        report_people(report, &json) != STATUS_OK ||
        report_rows(report, &json) != STATUS_OK)
    {
        return STATUS_ERROR;
    }
    json_end_object(&json);
    text = json_result(&json);
    return text.size == 0 ? fail(report->command, "out of memory")
                          : page_officer(report, text, page);
}


static int
write_page(audit_report_t *report, const page_t *page)
{
    const char *path = option_value(report->arguments, "-o");
    slice_t text = {page->data, page->size};
    int error;

    if (strcmp(path, "-") == 0) {
        fwrite(text.data, 1, text.size, stdout);
        return STATUS_OK; /* what could not be written is told by main */
    }
    error = file_write_atomic(path, text, REPORT_MODE);
    return error < 0 ? fail(report->command, "%s: %s", path, strerror(-error))
                     : STATUS_OK;
}


static int
verdict_status(const audit_report_t *report)
{
    if (!report->verified) {
        return STATUS_OK;
    }
    switch (report->verdict->result) {
    case VERIFY_TAMPERED:
        (void) fail(report->command, "the trail is TAMPERED: the report says "
                                     "so; see \"sekisho audit verify\"");
        return STATUS_TAMPERED;
    case VERIFY_GAP:
        (void) fail(report->command, "the trail has GAPS: the report says so; "
                                     "see \"sekisho audit verify\"");
        return STATUS_GAP;
    default:
        return STATUS_OK;
    }
}


static int
make(audit_report_t *report, page_t *page)
{
    bool empty = false;
    int status;

    if (take_options(report) != STATUS_OK ||
        place_find(report->arguments, &report->place) != STATUS_OK ||
        open_policy(report) != STATUS_OK ||
        open_countries(report) != STATUS_OK ||
        reader_open(report->command, &report->place, &report->reader) !=
            STATUS_OK ||
        report_open_index(report, "reports are") != STATUS_OK ||
        read_recorded(report->arguments, &report->place) != STATUS_OK ||
        report_verify(report) != STATUS_OK)
    {
        return STATUS_ERROR;
    }
    report->zone = zone_name(report->now_ms);
    if (report->zone == NULL) {
        return fail(report->command, "out of memory");
    }
    status = report->patient != NULL ? page_patient(report, page, &empty)
                                     : officer(report, page);
    if (status != STATUS_OK || write_page(report, page) != STATUS_OK) {
        return STATUS_ERROR;
    }
    status = verdict_status(report);
    if (empty && status == STATUS_OK) {
        (void) fail(report->command,
                    "no access to images of \"%s\" is known: is the number "
                    "right?",
                    report->patient);
        return STATUS_NO;
    }
    return status;
}


static int
audit_report(const arguments_t *arguments)
{
    audit_report_t *report = calloc(1, sizeof(*report));
    page_t page = {0};
    int status;

    if (report == NULL) {
        return fail(arguments->command->name, "out of memory");
    }
    report->arguments = arguments;
    report->command = arguments->command->name;
    status = make(report, &page);
    free(page.data);
    index_close(report->index);
    trail_reader_free(report->reader);
    policy_image_free(report->policy);
    geoip_close(report->geoip);
    place_free(&report->place);
    free(report->verdict);
    free(report->zone);
    free(report);
    return status;
}


static const option_t report_options[] = {
    {"--month", "MONTH", "Of this month, as 2026-11 [the last 30 days]."},
    {"--from", "TIME", "From then on: a day, a time, a span until now as 7d."},
    {"--to", "TIME", "Until then; a day means its end [now]."},
    {"--facility", "ID", "Only what this facility did."},
    {"--user", "NAME", "Only what this user did."},
    {"--patient", "ID",
     "For this patient, in plain words: who opened my images [of all times]."},
    {"--issuer", "NAME",
     "Who gave out the patient's number, where two did the same one."},
    {"--lang", "en|ja", "Language of the report [that of the locale]."},
    {"-o", "FILE", "The file to write, readable by you alone; - prints it."},
    INDEX_OPTION,
    {"--policy", "FILE",
     "Compiled policy: names and hours of the facilities "
     "[the daemon's, or " DEFAULT_POLICY ", if it is there]."},
    SETTINGS_OPTION,
    {"--geoip", "FILE", "MaxMind database, to tell countries."},
    {"--key", "VKEY|FILE",
     "Verifier key of the trail, or a file of such; may be given again [those "
     "of the daemon's configuration]."},
    {"--no-verify", NULL, "Do not verify the trail; the report says so."},
    TRAIL_OPTION,
    CONFIG_OPTION,
    SOCKET_OPTION,
    NOTE_OPTION,
    UNRECORDED_OPTION,
    {NULL, NULL, NULL},
};

const command_t audit_report_command = {
    .name = "audit report",
    .arguments = "",
    .summary = "Report of a period, or of a patient, as one HTML file.",
    .details =
        "Writes one file that needs no network and no other file: an overview "
        "with charts, and a table of the records that can be filtered. With "
        "--patient it is a list for the patient instead: who opened the "
        "images, from which facility, when and what for. The trail is "
        "verified first. The reading is recorded.\n\n"
        "Exit status: 0 written; 1 written, but nothing of such a patient is "
        "known; 2 error; 3 written, and the trail is TAMPERED; 4 written, and "
        "it has a GAP.",
    .options = report_options,
    .repeatable = "--key",
    .run = audit_report,
};
