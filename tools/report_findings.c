/* What is out of the ordinary, and whether somebody has looked at it. */

#define _GNU_SOURCE
#include <stdlib.h>

#include "audit_findings.h"
#include "report.h"

typedef struct {
    const audit_report_t *report;
    json_t *json;
} telling_t;

/* Of a report about one user or facility, only theirs. */
static bool
concerns(const audit_report_t *report, const finding_t *finding)
{
    if (report->user != NULL && !slice_is(finding->user, report->user)) {
        return false;
    }
    return report->facility == NULL ||
           slice_is(finding->facility, report->facility) ||
           slice_is(finding->other_facility, report->facility);
}


static void
tell_state(json_t *json, const finding_t *finding)
{
    if (finding->quieted) {
        json_string(json, "state", "quieted");
        json_text(json, "until", finding->quieted_until);
        json_text(json, "by", finding->quieted_by);
        json_text(json, "said", finding->quieted_reason);
    } else if (finding->decided != FINDING_UNDECIDED) {
        json_string(json, "state", finding_decision_name(finding->decided));
        json_text(json, "by", finding->decided_by);
        json_text(json, "said", finding->decided_text);
    } else {
        json_string(json, "state", "open");
    }
}


static bool
tell(void *context, const finding_t *finding)
{
    telling_t *telling = context;
    bool japanese = telling->report->words.lang[0] == 'j';
    json_t *json = telling->json;
    char text[FINDING_WORDS_MAX];
    size_t size;

    if (!concerns(telling->report, finding)) {
        return true;
    }
    size = finding_words(finding, japanese, text);
    json_object(json, NULL);
    json_string(json, "id", finding->id);
    json_string(json, "title", finding_title(finding->rule, japanese));
    json_string(json, "severity", finding_severity_name(finding->severity));
    json_int(json, "time", finding->from_ms);
    json_text(json, "user", finding->user);
    json_text(json, "facility", finding->facility);
    json_text(json, "text", (slice_t){text, size});
    json_array(json, "numbers");
    for (unsigned i = 0; i < finding->entries_count; i++) {
        json_int(json, NULL, (int64_t) finding->entries[i]);
    }
    json_end_array(json);
    tell_state(json, finding);
    json_end_object(json);
    return !json->failed;
}


/* The last review, and when the next one is due. */
static int
reviews(audit_report_t *report, const findings_settings_t *settings,
        json_t *json)
{
    review_state_t *state = calloc(1, sizeof(*state));
    char problem[256] = "", day[CLOCK_TEXT_MAX];
    int error;

    if (state == NULL) {
        return fail(report->command, "out of memory");
    }
    error = review_state(report->db, report->reader, settings, report->now_ms,
                         state, problem);
    if (error == 0) {
        (void) clock_format_day(state->due_day, day);
        json_object(json, "review");
        json_bool(json, "any", state->any);
        json_int(json, "time", state->time_ms);
        json_string(json, "user", state->user);
        json_string(json, "due", day);
        json_bool(json, "overdue", state->overdue);
        json_end_object(json);
    }
    free(state);
    return error == 0 ? STATUS_OK : fail(report->command, "%s", problem);
}


int
report_findings(audit_report_t *report, json_t *json)
{
    findings_settings_t settings;
    findings_input_t input = {.db = report->db,
                              .reader = report->reader,
                              .settings = &settings,
                              .policy = report->policy,
                              .country = report->geoip == NULL ? NULL
                                                               : geoip_country,
                              .country_context = report->geoip};
    telling_t telling = {report, json};
    findings_outcome_t outcome = {0};
    char problem[256] = "";
    int error;

    if (settings_find(report->arguments, &settings) != STATUS_OK ||
        reviews(report, &settings, json) != STATUS_OK)
    {
        return STATUS_ERROR;
    }
    json_array(json, "findings");
    error = findings_run(&input, report->from_ms, report->to_ms, tell, &telling,
                         &outcome, problem);
    if (error < 0) {
        return fail(report->command, "%s", problem);
    }
    json_end_array(json);
    json_int(json, "findings_dropped", (int64_t) outcome.dropped);
    json_bool(json, "findings_short", outcome.short_history);
    return STATUS_OK;
}
