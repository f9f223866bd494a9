/* `sekisho audit status`: how the trail and its daemon are. */

#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "audit_findings.h"
#include "audit_policy.h"

/* A value in the daemon's report, a flat object that our own writer made: text
 * without its quotes (escapes stay), or a number.  Size 0 if it is not there. */
static slice_t
report_value(slice_t report, const char *name)
{
    char needle[64];
    int size = snprintf(needle, sizeof(needle), "\"%s\":", name);
    const char *found = memmem(report.data, report.size, needle, (size_t) size);
    slice_t rest;
    size_t end = 0;
    bool text;

    /* in a value the quote before a name would be escaped */
    if (found == NULL || found == report.data || found[-1] == '\\') {
        return (slice_t){"", 0};
    }
    rest = slice_from(report, (size_t) (found - report.data) + (size_t) size);
    text = rest.size > 0 && rest.data[0] == '"';
    if (text) {
        rest = slice_from(rest, 1);
    }
    while (end < rest.size &&
           (text ? rest.data[end] != '"'
                 : rest.data[end] != ',' && rest.data[end] != '}'))
    {
        end += text && rest.data[end] == '\\' && end + 1 < rest.size ? 2 : 1;
    }
    return (slice_t){rest.data, end < rest.size ? end : rest.size};
}


typedef struct {
    char *report; /* of the daemon; NULL: it does not answer */
    size_t report_size;
    uint64_t sealed;
    int64_t age_seconds; /* of the checkpoint; -1: there is none */
    char origin[NOTE_NAME_MAX + 1];
    trail_problem_t problem; /* of the folder */
    policy_state_t policy;
    bool reviews_known; /* the index tells */
    review_state_t review;
} status_t;

static int
ask_daemon(const char *command, const place_t *place, status_t *status)
{
    _cleanup_(cleanup_client) client_t *client = NULL;
    int error;

    if (!place->live || (client = daemon_open(command, place)) == NULL) {
        return STATUS_OK;
    }
    error = client_report(client, &status->report, &status->report_size);
    return error == 0
               ? STATUS_OK
               : fail(command, "%s: %s", place->socket, strerror(-error));
}


/* What is not known of reviews is no reason to tell nothing of the trail. */
static void
look_at_reviews(const arguments_t *arguments, const place_t *place,
                trail_reader_t *reader, status_t *status)
{
    _cleanup_(cleanup_index) review_index_t *index = NULL;
    findings_settings_t settings;
    char why[256];

    if (settings_find(arguments, &settings) != STATUS_OK) {
        findings_defaults(&settings);
    }
    if (index_find(arguments, place, reader, &index, why) == STATUS_OK &&
        index != NULL)
    {
        status->reviews_known = review_state(index_handle(index), reader,
                                             &settings,
                                             (int64_t) time(NULL) * 1000,
                                             &status->review, why) == 0;
    }
}


static void
look_at_folder(const arguments_t *arguments, const place_t *place,
               status_t *status)
{
    _cleanup_(cleanup_reader) trail_reader_t *reader = NULL;
    _cleanup_(cleanup_free) char *path = NULL;
    const checkpoint_t *checkpoint;
    struct stat st;

    status->age_seconds = -1;
    if (trail_reader_open(place->folder, NULL, 0, &reader, &status->problem) <
        0) {
        return;
    }
    checkpoint = trail_reader_checkpoint(reader);
    status->sealed = checkpoint->size;
    (void) snprintf(status->origin, sizeof(status->origin), "%.*s",
                    SLICE_ARG(checkpoint->origin));
    if (asprintf(&path, "%s/checkpoint", place->folder) < 0) {
        path = NULL;
    } else if (stat(path, &st) == 0) {
        status->age_seconds = (int64_t) time(NULL) - (int64_t) st.st_mtime;
    }
    look_at_reviews(arguments, place, reader, status);
}


static void print_row(const char *name, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void
print_row(const char *name, const char *format, ...)
{
    _cleanup_(cleanup_free) char *text = NULL;
    va_list arguments;

    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0) {
        text = NULL;
    }
    va_end(arguments);
    printf("%-12s ", name);
    print_safe(stdout, slice_of(text));
    fputc('\n', stdout);
}


static const char *
number(const status_t *status, const char *name, char text[COUNT_TEXT_MAX])
{
    slice_t value = report_value((slice_t){status->report, status->report_size},
                                 name);
    uint64_t n = 0;

    for (size_t i = 0; i < value.size && i < 19 && value.data[i] >= '0' &&
                       value.data[i] <= '9';
         i++)
    {
        n = n * 10 + (uint64_t) (value.data[i] - '0');
    }
    return count_text(n, text);
}


/* The index hurts nobody but who searches: it changes no exit status. */
static void
print_index(slice_t report)
{
    slice_t path = report_value(report, "index");
    slice_t state = report_value(report, "index_state");
    slice_t problem = report_value(report, "index_problem");
    slice_t size = report_value(report, "index_size");

    if (path.size == 0) {
        return; /* an older daemon */
    }
    if (slice_is(path, "off")) {
        print_row("index", "off");
    } else if (slice_is(state, "running")) {
        print_row("index", "%.*s, holds at tree size %.*s", SLICE_ARG(path),
                  SLICE_ARG(size));
    } else {
        print_row("index", "%.*s, not kept up to date: %.*s", SLICE_ARG(path),
                  SLICE_ARG(problem));
    }
}


static void
print_daemon(const status_t *status)
{
    slice_t report = {status->report, status->report_size};
    slice_t state = report_value(report, "state");
    slice_t version = report_value(report, "version");
    slice_t problem = report_value(report, "problem");
    char a[COUNT_TEXT_MAX], b[COUNT_TEXT_MAX];

    printf(
        "%-12s %s", "daemon",
        style_on(stdout, slice_is(state, "running") ? STYLE_GOOD : STYLE_BAD));
    print_safe(stdout, state);
    printf("%s, sekishod ", style_off(stdout, STYLE_GOOD));
    print_safe(stdout, version);
    fputc('\n', stdout);
    if (problem.size > 0) {
        print_row("problem", "%.*s", SLICE_ARG(problem));
    }
    if (slice_is(report_value(report, "accept_times"), "true")) {
        print_row("times", "made up: the daemon runs with --accept-times");
    }
    print_row("front ends", "%s, %s connected", number(status, "front_ends", a),
              number(status, "peers", b));
    print_row("accesses", "%s open", number(status, "open_accesses", a));
    print_row("records", "%s received since the start, %s refused",
              number(status, "received", a), number(status, "refused", b));
    print_index(report);
    print_row("waiting", "%s bytes of %s in the journal",
              number(status, "journal_used", a),
              number(status, "journal_bytes", b));
    print_row("peers", "%s cut off", number(status, "cut_off", a));
}


static void
print_review(const review_state_t *review)
{
    char due[CLOCK_TEXT_MAX], last[CLOCK_TEXT_MAX], number[COUNT_TEXT_MAX];

    if (review->any) {
        print_row("last review", "%s by %s, %s records ago",
                  day_text(review_day(review->time_ms), last), review->user,
                  count_text(review->new_entries, number));
    } else {
        print_row("last review", "none so far");
    }
    printf("%-12s %s, ", "next review", day_text(review->due_day, due));
    if (review->overdue) {
        printf("%soverdue%s by %d day%s\n", style_on(stdout, STYLE_BAD),
               style_off(stdout, STYLE_BAD), review->days_overdue,
               review->days_overdue == 1 ? "" : "s");
    } else {
        printf("not overdue\n");
    }
}


static void
print_review_json(json_t *json, const review_state_t *review)
{
    char day[CLOCK_TEXT_MAX], text[RECORD_TIME_TEXT_MAX];

    json_object(json, "review");
    if (review->any) {
        (void) record_time(review->time_ms, text);
        json_string(json, "time", text);
        json_string(json, "user", review->user);
        json_int(json, "entry", (int64_t) review->number);
        json_int(json, "tree_size", (int64_t) review->tree_size);
    }
    json_int(json, "new_entries", (int64_t) review->new_entries);
    json_string(json, "due", day_text(review->due_day, day));
    json_bool(json, "overdue", review->overdue);
    json_int(json, "days_overdue", review->days_overdue);
    json_end_object(json);
}


static void
print_status(const place_t *place, const status_t *status)
{
    char a[COUNT_TEXT_MAX], b[COUNT_TEXT_MAX];

    print_row("trail", "%s", place->folder);
    if (status->age_seconds < 0) {
        print_row("problem", "%s", status->problem.text);
    } else {
        print_row("origin", "%s", status->origin);
    }
    if (status->report != NULL) {
        print_row("entries", "%s, %s of them sealed",
                  number(status, "tree_size", a), number(status, "sealed", b));
    } else {
        print_row("entries", "%s sealed", count_text(status->sealed, a));
    }
    if (status->age_seconds >= 0) {
        print_row("checkpoint", "%lld s ago", (long long) status->age_seconds);
    }
    if (status->policy.known) {
        printf("%-12s ", "policy");
        policy_state_print(&status->policy, stdout);
    }
    if (status->reviews_known) {
        print_review(&status->review);
    }
    if (status->report != NULL) {
        print_daemon(status);
    } else if (place->live) {
        printf("%-12s %snot running%s: nothing answers on ", "daemon",
               style_on(stdout, STYLE_BAD), style_off(stdout, STYLE_BAD));
        print_safe(stdout, slice_of(place->socket));
        fputc('\n', stdout);
    }
}


static int
print_status_json(const char *command, const place_t *place,
                  const status_t *status)
{
    _cleanup_(cleanup_json) json_t json;
    slice_t text;

    json_init(&json);
    json_object(&json, NULL);
    json_string(&json, "trail", place->folder);
    json_bool(&json, "live", place->live);
    if (status->age_seconds >= 0) {
        json_string(&json, "origin", status->origin);
        json_int(&json, "sealed", (int64_t) status->sealed);
        json_int(&json, "checkpoint_age_s", status->age_seconds);
    } else {
        json_string(&json, "problem", status->problem.text);
    }
    if (status->policy.known) {
        json_string(&json, "policy", status->policy.live);
        if (status->policy.recorded) {
            json_string(&json, "recorded_policy", status->policy.said);
            json_int(&json, "recorded_policy_index",
                     (int64_t) status->policy.index);
        } else {
            json_null(&json, "recorded_policy");
        }
    }
    if (status->reviews_known) {
        print_review_json(&json, &status->review);
    }
    if (status->report == NULL) {
        json_null(&json, "daemon");
    }
    json_end_object(&json);
    text = json_result(&json);
    if (status->report == NULL || text.size == 0) {
        return print_json(command, text);
    }
    /* the daemon's own object in the place of the closing brace */
    fwrite(text.data, 1, text.size - 1, stdout);
    printf(",\"daemon\":%.*s}\n", (int) status->report_size, status->report);
    return STATUS_OK;
}


static int
status(const arguments_t *arguments)
{
    const char *command = arguments->command->name;
    _cleanup_(place_free) place_t place = {NULL, NULL, NULL, false};
    status_t status = {.report = NULL};
    slice_t state;
    int result;

    if (place_find(arguments, &place) != STATUS_OK ||
        ask_daemon(command, &place, &status) != STATUS_OK ||
        policy_state(command, &place, &status.policy) != STATUS_OK)
    {
        free(status.report);
        return STATUS_ERROR;
    }
    look_at_folder(arguments, &place, &status);
    if (option_given(arguments, "--json")) {
        (void) print_status_json(command, &place, &status);
    } else {
        print_status(&place, &status);
    }
    state = status.report == NULL
                ? SLICE("")
                : report_value((slice_t){status.report, status.report_size},
                               "state");
    result = status.age_seconds < 0                      ? STATUS_ERROR
             : place.live && !slice_is(state, "running") ? STATUS_NO
             : policy_state_differs(&status.policy)      ? STATUS_NO
                                                         : STATUS_OK;
    free(status.report);
    return result;
}


static const option_t status_options[] = {
    {"--json", NULL, "Print JSON."},
    TRAIL_OPTION,
    CONFIG_OPTION,
    SOCKET_OPTION,
    {NULL, NULL, NULL},
};

const command_t audit_status_command = {
    .name = "audit status",
    .arguments = "",
    .summary = "Tell how the trail and its daemon are.",
    .details = "Exit status: 0 all is well; 1 the daemon does not answer or "
               "does not take records, or the policy in force is not the one "
               "that was recorded; 2 there is no trail, or another error.",
    .options = status_options,
    .run = status,
};
