/* `sekisho policy explain`: what would be decided, and why. */

#include "policy_explain.h"

#include <time.h>

#include "../lib/base/clock.h"
#include "../lib/base/wipe.h"

#define SEARCH_DAYS 400


/* ---- What is asked ------------------------------------------------------ */

static bool
country_given(void *context, const address_t *address, char code[2])
{
    const explain_t *explain = context;

    (void) address;
    memcpy(code, explain->country, 2);
    return true;
}


static bool
is_capital(char c)
{
    return c >= 'A' && c <= 'Z';
}


static int
read_country(explain_t *explain, const arguments_t *arguments)
{
    const char *code = option_value(arguments, "--country");
    const char *path = option_value(arguments, "--geoip");

    if (code != NULL && path != NULL) {
        return fail(explain->command, "--country and --geoip exclude each "
                                      "other");
    }
    if (code != NULL) {
        if (strlen(code) != 2 || !is_capital(code[0]) || !is_capital(code[1])) {
            return fail(explain->command,
                        "--country \"%s\": write two "
                        "capital letters, as JP",
                        code);
        }
        memcpy(explain->country, code, 2);
        explain->request.country = country_given;
        explain->request.country_context = explain;
    }
    if (path != NULL) {
        if (geoip_open(explain->command, path, &explain->geoip) != STATUS_OK) {
            return STATUS_ERROR;
        }
        explain->request.country = geoip_country;
        explain->request.country_context = explain->geoip;
    }
    return STATUS_OK;
}


static int
read_addresses(explain_t *explain, const arguments_t *arguments)
{
    const char *address = argument(arguments, 0);
    const char *via = option_value(arguments, "--via");

    if (!address_parse(slice_of(address), &explain->request.address)) {
        return fail(explain->command,
                    "\"%s\" is no address: write an IPv4 or "
                    "IPv6 address, or local",
                    address);
    }
    if (via != NULL && !address_parse(slice_of(via), &explain->request.local)) {
        return fail(explain->command, "--via \"%s\" is no address", via);
    }
    return STATUS_OK;
}


static int
read_question(explain_t *explain, const arguments_t *arguments)
{
    policy_request_t *request = &explain->request;
    const char *service = option_value(arguments, "--service");
    const char *action = option_value(arguments, "--action");
    const char *user = option_value(arguments, "--user");
    const char *factor = option_value(arguments, "--factor");

    request->service = service == NULL
                           ? POLICY_SERVICE_WEB
                           : policy_service_parse(slice_of(service));
    if (request->service == POLICY_SERVICE_NONE) {
        return fail(explain->command,
                    "--service \"%s\": write web, ssh or desktop", service);
    }
    /* Only the web door knows what is done with images. */
    request->action = action != NULL ? action_parse(slice_of(action))
                      : request->service == POLICY_SERVICE_WEB ? ACTION_VIEW
                                                               : ACTION_NONE;
    if (action != NULL && request->action == ACTION_NONE) {
        return fail(explain->command,
                    "--action \"%s\": write query, view, download, store, "
                    "delete or admin",
                    action);
    }
    request->transport = option_given(arguments, "--plain")
                             ? POLICY_TRANSPORT_PLAIN
                             : POLICY_TRANSPORT_ENCRYPTED;
    request->user_state = user == NULL ? POLICY_USER_LATER : POLICY_USER_NAMED;
    request->user = slice_of(user);
    if (factor == NULL) {
        request->factor = POLICY_FACTOR_LATER;
    } else if (strcmp(factor, "fresh") == 0) {
        request->factor = POLICY_FACTOR_FRESH;
    } else if (strcmp(factor, "none") == 0) {
        request->factor = POLICY_FACTOR_MISSING_YET;
    } else {
        return fail(explain->command, "--factor \"%s\": write fresh or none",
                    factor);
    }
    return STATUS_OK;
}


static int
read_device(explain_t *explain, const arguments_t *arguments)
{
    const char *source = option_value(arguments, "--certificate");
    const char *authority = option_value(arguments, "--verified-by");

    if (source == NULL) {
        return authority == NULL ? STATUS_OK
                                 : fail(explain->command,
                                        "--verified-by needs --certificate");
    }
    if (device_open(explain->command, source, authority, &explain->device) !=
        STATUS_OK)
    {
        return STATUS_ERROR;
    }
    explain->has_device = true;
    explain->request.certificate = &explain->device.certificate;
    return STATUS_OK;
}


/* ---- The decision, and the zone of its time ----------------------------- */

static void
decide(explain_t *explain)
{
    device_verify(&explain->device, explain->request.now);
    policy_decide(explain->image, &explain->request, &explain->decision,
                  &explain->trace);
    explain->has_facility = policy_facility(
        explain->image, explain->decision.facility, &explain->facility);
    explain->zone = explain->has_facility ? explain->facility.zone
                                          : SLICE("UTC");
    explain->offset = explain->has_facility
                          ? policy_facility_offset(explain->image,
                                                   explain->decision.facility,
                                                   explain->request.now)
                          : 0;
}


static int32_t
offset_at(const explain_t *explain, int64_t at)
{
    return explain->has_facility
               ? policy_facility_offset(explain->image,
                                        explain->decision.facility, at)
               : 0;
}


/* A wall clock's time in the facility's zone; one change of it near by. */
static void
resolve_time(explain_t *explain)
{
    int64_t written = explain->written;
    int32_t before = offset_at(explain, written - SECONDS_OF_DAY);
    int32_t after = offset_at(explain, written + SECONDS_OF_DAY);
    bool is_before = offset_at(explain, written - before) == before;
    bool is_after = offset_at(explain, written - after) == after;

    explain->time_kind = TIME_LOCAL;
    if (before != after && is_before && is_after) {
        explain->time_kind = TIME_TWICE;
    } else if (!is_before && !is_after) {
        explain->time_kind = TIME_SKIPPED;
    }
    explain->request.now = written - (is_before || !is_after ? before : after);
}


/*
 * Without an offset the time is the facility's, which is known once it was
 * decided; and a certificate may be another facility's at another time.
 */
static void
decide_at(explain_t *explain)
{
    bool local = explain->time_kind == TIME_LOCAL;

    decide(explain);
    for (int i = 0; local && i < 2; i++) {
        resolve_time(explain);
        decide(explain);
    }
}


static int
read_time(explain_t *explain, const arguments_t *arguments)
{
    const char *at = option_value(arguments, "--at");
    bool local = false;

    explain->request.now = time(NULL);
    if (at != NULL && !clock_parse(slice_of(at), &explain->request.now, &local))
    {
        return fail(explain->command,
                    "--at \"%s\" is no time: write 2026-11-24T10:00, with an "
                    "offset as 2026-11-24T10:00+09:00, or @SECONDS",
                    at);
    }
    explain->written = explain->request.now;
    explain->time_kind = local ? TIME_LOCAL : TIME_EXACT;
    return STATUS_OK;
}


policy_reason_t
explain_reason(const explain_t *explain)
{
    return explain->decision.dry_run_reason != POLICY_REASON_NONE
               ? explain->decision.dry_run_reason
               : explain->decision.reason;
}


bool
explain_is_of_the_clock(policy_reason_t reason)
{
    return reason == POLICY_CLOSED || reason == POLICY_HOLIDAY ||
           reason == POLICY_NOT_VALID || reason == POLICY_FACTOR_MISSING;
}


/* Minute by minute, by the one function that decides. */
bool
explain_opens(const explain_t *explain, int64_t *at, policy_reason_t *reason)
{
    policy_request_t request = explain->request;
    policy_certificate_t certificate;
    policy_decision_t decision;

    if (!explain_is_of_the_clock(explain_reason(explain))) {
        return false;
    }
    if (request.certificate != NULL) {
        /* it may be renewed by then */
        certificate = *request.certificate;
        certificate.not_before = INT64_MIN;
        certificate.not_after = INT64_MAX;
        request.certificate = &certificate;
    }
    request.now -= ((request.now % 60) + 60) % 60;
    for (int i = 0; i < SEARCH_DAYS * MINUTES_OF_DAY; i++) {
        request.now += 60;
        policy_decide(explain->image, &request, &decision, NULL);
        *reason = decision.dry_run_reason != POLICY_REASON_NONE
                      ? decision.dry_run_reason
                      : decision.reason;
        if (!explain_is_of_the_clock(*reason)) {
            *at = request.now;
            return true;
        }
    }
    return false;
}


/* ---- The command -------------------------------------------------------- */

static int
answer(explain_t *explain, bool as_json)
{
    text_t text;
    int status = STATUS_OK;

    if (text_open(&text) < 0) {
        return fail(explain->command, "out of memory");
    }
    if (as_json) {
        status = explain_json(explain, &text);
    } else {
        explain_print(explain, &text);
    }
    text_close(&text);
    if (status != STATUS_OK) {
        return status;
    }
    return explain->decision.verdict == POLICY_ALLOW ? STATUS_OK : STATUS_NO;
}


static void
cleanup_explain(explain_t *explain)
{
    device_close(&explain->device);
    geoip_close(explain->geoip);
    policy_image_free(explain->image);
}


static int
explain_run(const arguments_t *arguments)
{
    const char *path = option_value(arguments, "--policy");
    _cleanup_(cleanup_explain) explain_t explain = {
        .command = arguments->command->name,
        .path = path == NULL ? DEFAULT_IMAGE : path,
    };

    if (read_addresses(&explain, arguments) != STATUS_OK ||
        read_question(&explain, arguments) != STATUS_OK ||
        read_country(&explain, arguments) != STATUS_OK ||
        read_device(&explain, arguments) != STATUS_OK ||
        read_time(&explain, arguments) != STATUS_OK ||
        policy_open(explain.command, explain.path, &explain.image) != STATUS_OK)
    {
        return STATUS_ERROR;
    }
    decide_at(&explain);
    return answer(&explain, option_given(arguments, "--json"));
}


static const option_t explain_options[] = {
    {"--user", "NAME",
     "The user, as if signed in. Without it a rule about users is left open."},
    {"--at", "TIME",
     "The moment in question, as 2026-11-24T10:00, in the time zone of the "
     "facility that matches; with an offset, as 2026-11-24T10:00+09:00 or "
     "2026-11-24T01:00Z; or @SECONDS since 1970 [now]."},
    {"--service", "SERVICE", "web, ssh or desktop [web]."},
    {"--action", "ACTION",
     "query, view, download, store, delete or admin [view; of ssh and desktop "
     "none is asked]."},
    {"--via", "ADDRESS", "The local address at which the request arrives."},
    {"--certificate", "CERT",
     "The terminal's certificate: a file (PEM or DER; intermediate ones may "
     "follow in PEM), or sha256: and 64 hexadecimal digits."},
    {"--verified-by", "FILE",
     "Verify the certificate's chain up to the authorities in this PEM file, "
     "as the web server would. Without it no device-ca matches."},
    {"--country", "CC", "The country that the address is looked up as."},
    {"--geoip", "FILE", "Look the country up in this MaxMind DB file."},
    {"--factor", "STATE",
     "fresh: a second factor was just shown; none: it will not be [it will be "
     "asked for where it is due]."},
    {"--plain", NULL, "The request comes without TLS."},
    {"--policy", "FILE", "Policy image or text [" DEFAULT_IMAGE "]."},
    {"--json", NULL, "Print JSON."},
    {NULL, NULL, NULL},
};

const command_t policy_explain_command = {
    .name = "policy explain",
    .arguments = "ADDRESS",
    .arguments_min = 1,
    .arguments_max = 1,
    .summary = "Tell whether a request would be let in, and why.",
    .details =
        "ADDRESS is the client's IPv4 or IPv6 address, or local for a console "
        "or seat. Prints which network and facility match, each condition in "
        "the order in which it is tried with what the rule says and what the "
        "request has, the verdict, its reason, and what is still due.\n\n"
        "Exit status: 0 allowed; 1 denied; 2 error.",
    .options = explain_options,
    .run = explain_run,
};
