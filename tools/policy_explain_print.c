/* The explanation, for people and as JSON. */

#include "policy_explain.h"

#include "../lib/base/clock.h"
#include "../lib/base/wipe.h"

#define NAME_WIDTH 10


static const char *
reason_sentence(policy_reason_t reason)
{
    switch (reason) {
    case POLICY_OK:
        return "every condition is met";
    case POLICY_UNKNOWN_NETWORK:
        return "the address is in no facility's network";
    case POLICY_CLOSED:
        return "outside the facility's hours";
    case POLICY_HOLIDAY:
        return "the facility is closed on that day";
    case POLICY_NOT_VALID:
        return "outside the days for which the facility is valid";
    case POLICY_DEVICE_MISSING:
        return "a device certificate is needed, and none was shown";
    case POLICY_DEVICE_UNKNOWN:
        return "the certificate is not known to be the facility's, or its "
               "dates are over";
    case POLICY_WRONG_INGRESS:
        return "it did not arrive over the facility's line";
    case POLICY_WRONG_COUNTRY:
        return "the address is not in the facility's country";
    case POLICY_USER_NOT_LISTED:
        return "the user is not one of the facility's";
    case POLICY_SERVICE_NOT_ALLOWED:
        return "the facility may not use this service";
    case POLICY_ACTION_NOT_ALLOWED:
        return "the facility may not do this with images";
    case POLICY_PLAINTEXT:
        return "TLS is needed";
    case POLICY_FACTOR_MISSING:
        return "outside the hours a fresh second factor is needed";
    case POLICY_POLICY_MISSING:
        return "there is no policy";
    default:
        return policy_reason_name(reason);
    }
}


static const char *
outcome_name(policy_outcome_t outcome)
{
    switch (outcome) {
    case POLICY_NOT_ASKED:
        return "not-asked";
    case POLICY_PASSED:
        return "passed";
    case POLICY_FAILED:
        return "failed";
    case POLICY_POSTPONED:
        return "postponed";
    default:
        return "not-tried";
    }
}


static void
print_mark(policy_outcome_t outcome)
{
    switch (outcome) {
    case POLICY_PASSED:
        print_styled(stdout, STYLE_GOOD, output_mark("✓ ", "ok"));
        break;
    case POLICY_FAILED:
        print_styled(stdout, STYLE_BAD, output_mark("✗ ", "NO"));
        break;
    case POLICY_POSTPONED:
        print_styled(stdout, STYLE_WARN, output_mark("… ", "? "));
        break;
    default:
        print_styled(stdout, STYLE_DIM, output_mark("· ", "- "));
        break;
    }
}


/* Without a facility there is nobody whose rules could be told. */
static bool
is_shown(const explain_t *explain, policy_condition_t condition)
{
    policy_outcome_t outcome = explain->trace.outcome[condition];

    return explain->has_facility || outcome == POLICY_PASSED ||
           outcome == POLICY_FAILED;
}


static void
print_condition(const explain_t *explain, policy_condition_t condition,
                text_t *text)
{
    policy_outcome_t outcome = explain->trace.outcome[condition];
    FILE *out = text_begin(text);

    printf("  %-*s ", NAME_WIDTH, policy_condition_name(condition));
    print_mark(outcome);
    fputc(' ', stdout);
    write_rule(out, explain, condition);
    if (outcome == POLICY_NOT_TRIED) {
        fputs(" (not tried)", out);
    } else if (outcome != POLICY_NOT_ASKED) {
        fputs("; ", out);
        write_asked(out, explain, condition);
    }
    print_safe(stdout, text_end(text));
    fputc('\n', stdout);
}


static void
write_moment(FILE *out, const explain_t *explain, int64_t at, int32_t offset)
{
    char text[CLOCK_TEXT_MAX];

    write_local_day(out, at + offset);
    write_local_minute(out, at + offset);
    clock_format(at, offset, text);
    fprintf(out, " (%s, %.*s)", text, SLICE_ARG(explain->zone));
}


static int32_t
offset_then(const explain_t *explain, int64_t at)
{
    return explain->has_facility
               ? policy_facility_offset(explain->image,
                                        explain->decision.facility, at)
               : 0;
}


static void
print_question(const explain_t *explain, text_t *text)
{
    char address[ADDRESS_TEXT_MAX];
    FILE *out = text_begin(text);

    address_format(&explain->request.address, address);
    fprintf(out, "%s, %s", address,
            policy_service_name(explain->request.service));
    if (explain->request.action != ACTION_NONE) {
        fprintf(out, ", %s", action_name(explain->request.action));
    }
    if (explain->request.user_state == POLICY_USER_NAMED) {
        fprintf(out, ", user %.*s", SLICE_ARG(explain->request.user));
    }
    fputs(", ", out);
    write_moment(out, explain, explain->request.now, explain->offset);
    print_safe(stdout, text_end(text));
    fputc('\n', stdout);
}


static void
print_time_kind(const explain_t *explain, text_t *text)
{
    FILE *out = text_begin(text);

    if (explain->time_kind == TIME_EXACT) {
        return;
    }
    if (explain->has_facility) {
        fprintf(out, "the time given is that of %.*s, the zone of %.*s",
                SLICE_ARG(explain->zone), SLICE_ARG(explain->facility.id));
    } else {
        fputs("the time given is taken as UTC, there being no one facility "
              "whose zone it could be",
              out);
    }
    if (explain->time_kind == TIME_TWICE) {
        fputs("; clocks show it twice on that day: the first is meant", out);
    } else if (explain->time_kind == TIME_SKIPPED) {
        fputs("; clocks skip it on that day", out);
    }
    print_safe(stdout, text_end(text));
    fputc('\n', stdout);
}


static void
print_facility(const explain_t *explain)
{
    fputs("policy ", stdout);
    fputs(policy_image_version(explain->image), stdout);
    fputs(", ", stdout);
    print_safe(stdout, slice_of(explain->path));
    if (explain->has_facility) {
        fputs("\nfacility ", stdout);
        print_safe(stdout, explain->facility.id);
        if (explain->facility.name.size > 0) {
            fputs(" \"", stdout);
            print_safe(stdout, explain->facility.name);
            fputc('"', stdout);
        }
    }
    fputs("\n\n", stdout);
}


static void
print_opening(const explain_t *explain, text_t *text)
{
    policy_reason_t reason;
    FILE *out;
    int64_t at;

    if (!explain_is_of_the_clock(explain_reason(explain))) {
        return;
    }
    if (!explain_opens(explain, &at, &reason)) {
        fputs("does not open within 400 days\n", stdout);
        return;
    }
    out = text_begin(text);
    fputs("opens ", out);
    write_moment(out, explain, at, offset_then(explain, at));
    if (reason != POLICY_OK) {
        fprintf(out, ", and is refused then for another reason: %s",
                policy_reason_name(reason));
    }
    print_safe(stdout, text_end(text));
    fputc('\n', stdout);
}


static void
print_due(const char *what)
{
    printf("due: %s\n", what);
}


static void
print_obligations(const explain_t *explain, text_t *text)
{
    const policy_obligations_t *owed = &explain->decision.obligations;
    FILE *out;

    if (explain->decision.verdict != POLICY_ALLOW) {
        return;
    }
    if (owed->users_pending) {
        print_due("the user's name, which must be one of those listed");
    }
    if (owed->factor_fresh) {
        print_due("a fresh second factor, being outside the hours");
    } else if (owed->second_factor) {
        print_due("a second factor");
    }
    if (owed->idle_seconds != 0 || owed->max_seconds != 0) {
        fputs("session:", stdout);
        if (owed->idle_seconds != 0) {
            fputs(" idle ", stdout);
            write_duration(stdout, owed->idle_seconds);
        }
        if (owed->max_seconds != 0) {
            fputs(" max ", stdout);
            write_duration(stdout, owed->max_seconds);
        }
        fputc('\n', stdout);
    }
    out = text_begin(text);
    write_actions(out, owed->actions);
    fputs("actions: ", stdout);
    print_safe(stdout, text_end(text));
    fputc('\n', stdout);
}


void
explain_print(const explain_t *explain, text_t *text)
{
    const policy_decision_t *decision = &explain->decision;
    bool allowed = decision->verdict == POLICY_ALLOW;
    policy_reason_t reason = explain_reason(explain);

    print_question(explain, text);
    print_time_kind(explain, text);
    print_facility(explain);
    for (policy_condition_t c = POLICY_CONDITION_NETWORK;
         c < POLICY_CONDITION_COUNT; c++)
    {
        if (is_shown(explain, c)) {
            print_condition(explain, c, text);
        }
    }
    fputc('\n', stdout);
    print_styled(stdout, allowed ? STYLE_GOOD : STYLE_BAD,
                 policy_verdict_name(decision->verdict));
    printf(": %s", policy_reason_name(decision->reason));
    if (decision->dry_run_reason != POLICY_REASON_NONE) {
        printf(", enforced it would be denied: %s", policy_reason_name(reason));
    }
    printf(", %s\n", reason_sentence(reason));
    print_opening(explain, text);
    print_obligations(explain, text);
}


/* ---- JSON --------------------------------------------------------------- */

static void
json_moment(json_t *json, const char *name, int64_t at, int32_t offset)
{
    char text[CLOCK_TEXT_MAX];

    clock_format(at, offset, text);
    json_string(json, name, text);
}


static void
json_question(json_t *json, const explain_t *explain)
{
    const policy_request_t *request = &explain->request;
    char address[ADDRESS_TEXT_MAX];

    address_format(&request->address, address);
    json_string(json, "address", address);
    json_string(json, "service", policy_service_name(request->service));
    json_string(json, "action", action_name(request->action));
    if (request->user_state == POLICY_USER_NAMED) {
        json_text(json, "user", request->user);
    } else {
        json_null(json, "user");
    }
    json_moment(json, "at", request->now, explain->offset);
    json_int(json, "unix", request->now);
    json_text(json, "timezone", explain->zone);
}


static void
json_conditions(json_t *json, const explain_t *explain, text_t *text)
{
    json_array(json, "conditions");
    for (policy_condition_t c = POLICY_CONDITION_NETWORK;
         c < POLICY_CONDITION_COUNT; c++)
    {
        json_object(json, NULL);
        json_string(json, "name", policy_condition_name(c));
        json_string(json, "outcome", outcome_name(explain->trace.outcome[c]));
        if (is_shown(explain, c)) {
            write_rule(text_begin(text), explain, c);
            json_text(json, "rule", text_end(text));
            write_asked(text_begin(text), explain, c);
            json_text(json, "request", text_end(text));
        }
        json_end_object(json);
    }
    json_end_array(json);
}


static void
json_obligations(json_t *json, const explain_t *explain)
{
    const policy_obligations_t *owed = &explain->decision.obligations;

    json_object(json, "obligations");
    json_bool(json, "second_factor", owed->second_factor);
    json_bool(json, "factor_fresh", owed->factor_fresh);
    json_bool(json, "users_pending", owed->users_pending);
    json_int(json, "idle_seconds", owed->idle_seconds);
    json_int(json, "max_seconds", owed->max_seconds);
    json_array(json, "actions");
    for (action_t action = ACTION_QUERY; action < ACTION_COUNT; action++) {
        if (owed->actions & ACTION_BIT(action)) {
            json_string(json, NULL, action_name(action));
        }
    }
    json_end_array(json);
    json_end_object(json);
}


int
explain_json(const explain_t *explain, text_t *text)
{
    _cleanup_(cleanup_json) json_t json;
    const policy_decision_t *decision = &explain->decision;
    policy_reason_t then;
    int64_t opens;

    json_init(&json);
    json_object(&json, NULL);
    json_string(&json, "verdict", policy_verdict_name(decision->verdict));
    if (explain->has_facility) {
        json_text(&json, "facility", explain->facility.id);
        json_text(&json, "name", explain->facility.name);
    } else {
        json_null(&json, "facility");
        json_null(&json, "name");
    }
    json_string(&json, "reason", policy_reason_name(decision->reason));
    if (decision->dry_run_reason != POLICY_REASON_NONE) {
        json_string(&json, "dry_run_reason",
                    policy_reason_name(decision->dry_run_reason));
    } else {
        json_null(&json, "dry_run_reason");
    }
    json_question(&json, explain);
    json_conditions(&json, explain, text);
    json_obligations(&json, explain);
    if (explain_opens(explain, &opens, &then)) {
        json_moment(&json, "opens", opens, offset_then(explain, opens));
    } else {
        json_null(&json, "opens");
    }
    json_string(&json, "policy_version", policy_image_version(explain->image));
    json_end_object(&json);
    return print_json(explain->command, json_result(&json));
}
