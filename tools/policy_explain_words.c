/* Each condition in words: what the rule says, what the request has. */

#include "policy_explain.h"

#include "../lib/base/clock.h"

#define CLOSED_SHOWN_MAX 3


static void
write_address(FILE *out, const address_t *address)
{
    char text[ADDRESS_TEXT_MAX];

    address_format(address, text);
    fputs(text, out);
}


static int64_t
local_now(const explain_t *explain)
{
    return explain->request.now + explain->offset;
}


static int32_t
local_day(const explain_t *explain)
{
    int64_t local = local_now(explain);

    return (int32_t) (local / SECONDS_OF_DAY - (local % SECONDS_OF_DAY < 0));
}


/* ---- What the rule says ------------------------------------------------- */

static void
rule_network(FILE *out, const explain_t *explain)
{
    char text[PREFIX_TEXT_MAX];

    if (explain->trace.outcome[POLICY_CONDITION_NETWORK] != POLICY_PASSED) {
        fputs("no facility's network", out);
        return;
    }
    if (explain->trace.network_any) {
        fputs("any", out);
    } else if (explain->trace.network_local) {
        fputs("local", out);
    } else {
        prefix_format(&explain->trace.network, text);
        fputs(text, out);
    }
    if (explain->has_facility) {
        fprintf(out, " of %.*s", SLICE_ARG(explain->facility.id));
    } else if (explain->trace.network_any) {
        fputs(", by the certificate of a facility", out);
    } else {
        fputs(", of more than one facility, told apart by certificate", out);
    }
}


static void
rule_via(FILE *out, const explain_t *explain)
{
    for (uint32_t i = 0; i < explain->facility.via_count; i++) {
        address_t address;

        if (policy_facility_via(explain->image, explain->decision.facility, i,
                                &address))
        {
            fputs(i == 0 ? "" : " ", out);
            write_address(out, &address);
        }
    }
    if (explain->facility.via_count == 0) {
        fputs("any", out);
    }
}


static void
rule_device(FILE *out, const explain_t *explain)
{
    uint32_t pins = explain->facility.pins_count;
    uint32_t authorities = explain->facility.authorities_count;

    if (!explain->has_facility) {
        fputs("the certificate of one of the facilities", out);
        return;
    }
    fputs(device_name(explain->facility.device), out);
    if (explain->facility.device == POLICY_DEVICE_NONE) {
        return;
    }
    fputc(':', out);
    if (pins > 0) {
        fprintf(out, " %u %s", pins,
                pins == 1 ? "certificate" : "certificates");
    }
    if (authorities > 0) {
        fprintf(out, "%s %u %s", pins > 0 ? "," : "", authorities,
                authorities == 1 ? "authority" : "authorities");
    }
    if (pins == 0 && authorities == 0) {
        fputs(" none is known", out);
    }
}


static void
rule_country(FILE *out, const explain_t *explain)
{
    for (uint32_t i = 0; i < explain->facility.countries_count; i++) {
        char code[2];

        if (policy_facility_country(explain->image, explain->decision.facility,
                                    i, code))
        {
            fprintf(out, "%s%.2s", i == 0 ? "" : " ", code);
        }
    }
    if (explain->facility.countries_count == 0) {
        fputs("any", out);
    }
}


/* The holidays around the moment: of a long list these are what matters. */
static void
rule_calendar(FILE *out, const explain_t *explain)
{
    uint32_t count = explain->facility.closed_count, shown = 0;
    int32_t today = local_day(explain);

    if (count == 0) {
        fputs("never closed", out);
        return;
    }
    fputs("closed", out);
    for (uint32_t i = 0; i < count && shown < CLOSED_SHOWN_MAX; i++) {
        int32_t first, last;

        /* yesterday's too: a night's hours belong to the day they start */
        if (policy_facility_closed(explain->image, explain->decision.facility,
                                   i, &first, &last) &&
            (last >= today - 1 || count <= CLOSED_SHOWN_MAX))
        {
            fputc(' ', out);
            write_days(out, first, last);
            shown++;
        }
    }
    if (shown < count) {
        fprintf(out, "%s%u %s", shown == 0 ? " on " : " and on ", count - shown,
                shown == 0 ? "past days or spans" : "other days or spans");
    }
}


void
write_rule(FILE *out, const explain_t *explain, policy_condition_t condition)
{
    switch (condition) {
    case POLICY_CONDITION_NETWORK:
        rule_network(out, explain);
        break;
    case POLICY_CONDITION_VALID:
        write_valid(out, explain->facility.valid_from,
                    explain->facility.valid_to);
        break;
    case POLICY_CONDITION_SERVICES:
        write_services(out, explain->facility.services);
        break;
    case POLICY_CONDITION_VIA:
        rule_via(out, explain);
        break;
    case POLICY_CONDITION_TRANSPORT:
        fputs(explain->request.service == POLICY_SERVICE_WEB ? "TLS" : "any",
              out);
        break;
    case POLICY_CONDITION_DEVICE:
        rule_device(out, explain);
        break;
    case POLICY_CONDITION_COUNTRY:
        rule_country(out, explain);
        break;
    case POLICY_CONDITION_CALENDAR:
        rule_calendar(out, explain);
        break;
    case POLICY_CONDITION_HOURS:
        write_hours(out, explain->image, explain->decision.facility);
        if (explain->facility.off_hours_factor) {
            fputs(", else a fresh second factor", out);
        }
        break;
    case POLICY_CONDITION_ACTIONS:
        write_actions(out, explain->facility.actions);
        break;
    case POLICY_CONDITION_USERS:
        if (explain->facility.has_users) {
            fprintf(out, "%u listed", explain->facility.users_count);
        } else {
            fputs("any", out);
        }
        break;
    default:
        break;
    }
}


/* ---- What the request has ----------------------------------------------- */

static void
asked_device(FILE *out, const explain_t *explain)
{
    const policy_certificate_t *certificate = &explain->device.certificate;
    char text[FINGERPRINT_TEXT_MAX], day[CLOCK_TEXT_MAX];

    if (explain->request.service != POLICY_SERVICE_WEB) {
        fprintf(out, "%s shows no certificate",
                policy_service_name(explain->request.service));
        return;
    }
    if (!explain->has_device) {
        fputs("it shows none", out);
        return;
    }
    fingerprint_format(certificate->sha256, text);
    fprintf(out, "it shows %s", text);
    if (explain->device.subject != NULL) {
        fprintf(out, " %s", explain->device.subject);
    }
    if (explain->device.dates_known) {
        clock_format(certificate->not_before, explain->offset, day);
        fprintf(out, ", from %s", day);
        clock_format(certificate->not_after, explain->offset, day);
        fprintf(out, " to %s", day);
    } else {
        fputs(", its dates not known", out);
    }
    if (explain->device.error != NULL) {
        fprintf(out, ", chain not verified: %s", explain->device.error);
    } else if (certificate->verified) {
        fputs(", chain verified", out);
    } else {
        fputs(", chain not checked (--verified-by)", out);
    }
}


static void
asked_user(FILE *out, const explain_t *explain)
{
    slice_t user = explain->request.user;
    policy_outcome_t outcome = explain->trace.outcome[POLICY_CONDITION_USERS];

    if (explain->request.user_state != POLICY_USER_NAMED) {
        fputs("not known yet (--user)", out);
        return;
    }
    fwrite(user.data, 1, user.size, out);
    fputs(outcome == POLICY_PASSED   ? " is one of them"
          : outcome == POLICY_FAILED ? " is not one of them"
                                     : "",
          out);
}


static void
asked_country(FILE *out, const explain_t *explain)
{
    if (explain->trace.country[0] != '\0') {
        fprintf(out, "it is in %s", explain->trace.country);
    } else if (explain->request.country == NULL) {
        fputs("not known (--country, --geoip)", out);
    } else {
        fputs("not known", out);
    }
}


void
write_asked(FILE *out, const explain_t *explain, policy_condition_t condition)
{
    switch (condition) {
    case POLICY_CONDITION_NETWORK:
        fputs("it comes from ", out);
        write_address(out, &explain->request.address);
        break;
    case POLICY_CONDITION_VALID:
    case POLICY_CONDITION_CALENDAR:
        fputs("it is ", out);
        write_local_day(out, local_now(explain));
        break;
    case POLICY_CONDITION_HOURS:
        fputs("it is ", out);
        write_local_day(out, local_now(explain));
        write_local_minute(out, local_now(explain));
        fprintf(out, " in %.*s", SLICE_ARG(explain->zone));
        break;
    case POLICY_CONDITION_SERVICES:
        fprintf(out, "it is %s", policy_service_name(explain->request.service));
        break;
    case POLICY_CONDITION_VIA:
        if (explain->request.local.family == ADDRESS_NONE) {
            fputs("not known (--via)", out);
        } else {
            fputs("it arrives on ", out);
            write_address(out, &explain->request.local);
        }
        break;
    case POLICY_CONDITION_TRANSPORT:
        if (explain->request.service != POLICY_SERVICE_WEB) {
            fputs("not asked", out);
        } else {
            fprintf(out, "it is %s",
                    explain->request.transport == POLICY_TRANSPORT_PLAIN
                        ? "plain"
                        : "TLS");
        }
        break;
    case POLICY_CONDITION_DEVICE:
        asked_device(out, explain);
        break;
    case POLICY_CONDITION_COUNTRY:
        asked_country(out, explain);
        break;
    case POLICY_CONDITION_ACTIONS:
        if (explain->request.action == ACTION_NONE) {
            fputs("not asked", out);
        } else {
            fprintf(out, "it is %s", action_name(explain->request.action));
        }
        break;
    case POLICY_CONDITION_USERS:
        asked_user(out, explain);
        break;
    default:
        break;
    }
}
