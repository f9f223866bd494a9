/* Findings on the terminal, and as JSON. */

#define _GNU_SOURCE
#include <time.h>

#include "audit_review.h"

/* "2025-10-14 09:30" in local time. */
static void
print_moment(int64_t unix_ms)
{
    time_t seconds = (time_t) (unix_ms / 1000);
    struct tm local;
    char text[32] = "?";

    if (localtime_r(&seconds, &local) != NULL) {
        (void) strftime(text, sizeof(text), "%Y-%m-%d %H:%M", &local);
    }
    fputs(text, stdout);
}


void
print_summary(const review_run_t *run)
{
    const reviews_t *reviews = &run->look.reviews;
    char text[COUNT_TEXT_MAX];

    if (reviews->reviews_count > 0) {
        const review_t *last = &reviews->reviews[reviews->reviews_count - 1];

        printf("Last review   ");
        print_moment(last->time_ms);
        printf(" by ");
        print_safe(stdout, last->user);
        printf("\n");
    } else {
        printf("Last review   none so far\n");
    }
    printf("Period        ");
    print_moment(run->from_ms);
    printf(" to ");
    print_moment(run->to_ms);
    printf(", trail of %s entries\n",
           count_text(index_size(run->look.index), text));
    printf("Findings      %llu, of which %zu open, %llu quieted, %llu decided "
           "before\n\n",
           (unsigned long long) run->outcome.found, review_open_count(run),
           (unsigned long long) run->outcome.quieted,
           (unsigned long long) run->outcome.decided);
}


/* Rules that could say nothing must not look like rules that found nothing. */
void
print_not_looked_at(const review_run_t *run)
{
    for (unsigned i = 1; i < FINDING_RULES; i++) {
        if (run->outcome.skipped[i]) {
            printf("Not looked at: %s%s\n",
                   finding_rule_name((finding_rule_t) i),
                   i == FINDING_NEW_COUNTRY && run->look.settings.on[i]
                       ? " (no database of countries: --geoip)"
                       : " (off in findings.conf)");
        }
    }
    if (run->outcome.short_history) {
        printf("The trail is young: who has no habit of %llu days yet is "
               "compared with nothing.\n",
               (unsigned long long) run->look.settings.learn_days);
    }
    if (run->outcome.dropped > 0) {
        printf("%llu more findings than can be shown: choose a shorter "
               "period.\n",
               (unsigned long long) run->outcome.dropped);
    }
}


static void
print_named(const char *name, slice_t value)
{
    if (value.size > 0) {
        printf("  %s ", name);
        print_safe(stdout, value);
    }
}


void
print_finding(const item_t *item)
{
    const finding_t *finding = &item->finding;
    char words[FINDING_WORDS_MAX];
    style_t style = finding->severity == FINDING_HIGH     ? STYLE_BAD
                    : finding->severity == FINDING_MEDIUM ? STYLE_WARN
                                                          : STYLE_NONE;

    printf("%s  ", finding->id);
    print_styled(stdout, style, finding_severity_name(finding->severity));
    printf("%*s", (int) (8 - strlen(finding_severity_name(finding->severity))),
           "");
    print_moment(finding->from_ms);
    printf("  %s", finding_title(finding->rule, false));
    print_named("user", finding->user);
    print_named("at", finding->facility);
    fputs("\n              ", stdout);
    print_safe(stdout, (slice_t){words, finding_words(finding, false, words)});
    printf(" (");
    for (unsigned i = 0; i < finding->entries_count; i++) {
        printf("%s#%llu", i == 0 ? "" : " ",
               (unsigned long long) finding->entries[i]);
    }
    printf(")\n");
    if (finding->quieted) {
        printf("              quieted until ");
        print_safe(stdout, finding->quieted_until);
        printf(" by ");
        print_safe(stdout, finding->quieted_by);
        printf(": ");
        print_safe(stdout, finding->quieted_reason);
        printf("\n");
    }
    if (finding->decided != FINDING_UNDECIDED) {
        printf("              %s by ", finding_decision_name(finding->decided));
        print_safe(stdout, finding->decided_by);
        printf(": ");
        print_safe(stdout, finding->decided_text);
        printf("\n");
    }
}


void
print_findings(const review_run_t *run, bool everything)
{
    size_t shown = 0;

    for (size_t i = 0; i < run->count; i++) {
        if (everything || is_open(&run->items[i])) {
            print_finding(&run->items[i]);
            shown++;
        }
    }
    if (shown > 0) {
        printf("\n");
    }
}


static void
put_text(json_t *json, const char *name, slice_t text)
{
    if (text.size > 0) {
        json_text(json, name, text);
    }
}


static void
put_time(json_t *json, const char *name, int64_t unix_ms)
{
    char text[RECORD_TIME_TEXT_MAX];

    (void) record_time(unix_ms, text);
    json_string(json, name, text);
}


static void
put_finding(json_t *json, const finding_t *finding)
{
    char words[FINDING_WORDS_MAX];

    json_object(json, NULL);
    json_string(json, "id", finding->id);
    json_string(json, "rule", finding_rule_name(finding->rule));
    json_string(json, "severity", finding_severity_name(finding->severity));
    put_text(json, "user", finding->user);
    put_text(json, "facility", finding->facility);
    put_text(json, "address", finding->address);
    put_text(json, "patient", finding->patient);
    put_text(json, "other_facility", finding->other_facility);
    put_text(json, "other_address", finding->other_address);
    put_text(json, "detail", finding->detail);
    put_time(json, "from", finding->from_ms);
    put_time(json, "to", finding->to_ms);
    json_int(json, "count", (int64_t) finding->count);
    if (finding->usual > 0) {
        json_int(json, "usual", (int64_t) finding->usual);
    }
    if (finding->limit > 0) {
        json_int(json, "limit", (int64_t) finding->limit);
    }
    json_array(json, "entries");
    for (unsigned i = 0; i < finding->entries_count; i++) {
        json_int(json, NULL, (int64_t) finding->entries[i]);
    }
    json_end_array(json);
    (void) finding_words(finding, false, words);
    json_string(json, "words", words);
    if (finding->quieted) {
        put_text(json, "quieted_until", finding->quieted_until);
        put_text(json, "quieted_by", finding->quieted_by);
        put_text(json, "quieted_reason", finding->quieted_reason);
    }
    json_string(json, "decided", finding_decision_name(finding->decided));
    put_text(json, "decided_by", finding->decided_by);
    put_text(json, "decided_text", finding->decided_text);
    json_end_object(json);
}


int
print_findings_json(const review_run_t *run)
{
    _cleanup_(cleanup_json) json_t json;
    int status;

    json_init(&json);
    json_object(&json, NULL);
    put_time(&json, "from", run->from_ms);
    put_time(&json, "to", run->to_ms);
    json_int(&json, "tree_size", (int64_t) index_size(run->look.index));
    json_int(&json, "open", (int64_t) review_open_count(run));
    json_int(&json, "accesses", (int64_t) run->outcome.accesses);
    json_bool(&json, "short_history", run->outcome.short_history);
    json_array(&json, "skipped");
    for (unsigned i = 1; i < FINDING_RULES; i++) {
        if (run->outcome.skipped[i]) {
            json_string(&json, NULL, finding_rule_name((finding_rule_t) i));
        }
    }
    json_end_array(&json);
    json_array(&json, "findings");
    for (size_t i = 0; i < run->count; i++) {
        put_finding(&json, &run->items[i].finding);
    }
    json_end_array(&json);
    json_end_object(&json);
    status = print_json(run->look.arguments->command->name, json_result(&json));
    return status != STATUS_OK          ? status
           : review_open_count(run) > 0 ? STATUS_NO
                                        : STATUS_OK;
}
