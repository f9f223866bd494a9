/* The stable names of verdicts, reasons, conditions and services. */

#include "decide.h"

#define NAME(names, i)                                                         \
    ((size_t) (i) < sizeof(names) / sizeof((names)[0]) && (names)[i] != NULL   \
         ? (names)[i]                                                          \
         : "none")

const char *
policy_verdict_name(policy_verdict_t verdict)
{
    static const char *const names[] = {
        [POLICY_ALLOW] = "allow",
        [POLICY_DENY] = "deny",
    };

    return NAME(names, verdict);
}

const char *
policy_reason_name(policy_reason_t reason)
{
    static const char *const names[POLICY_REASON_COUNT] = {
        [POLICY_OK] = "ok",
        [POLICY_DRY_RUN] = "dry-run",
        [POLICY_UNKNOWN_NETWORK] = "unknown-network",
        [POLICY_CLOSED] = "closed",
        [POLICY_HOLIDAY] = "holiday",
        [POLICY_NOT_VALID] = "not-valid",
        [POLICY_DEVICE_MISSING] = "device-missing",
        [POLICY_DEVICE_UNKNOWN] = "device-unknown",
        [POLICY_WRONG_INGRESS] = "wrong-ingress",
        [POLICY_WRONG_COUNTRY] = "wrong-country",
        [POLICY_USER_NOT_LISTED] = "user-not-listed",
        [POLICY_SERVICE_NOT_ALLOWED] = "service-not-allowed",
        [POLICY_ACTION_NOT_ALLOWED] = "action-not-allowed",
        [POLICY_PLAINTEXT] = "plaintext",
        [POLICY_FACTOR_MISSING] = "factor-missing",
        [POLICY_POLICY_MISSING] = "policy-missing",
        [POLICY_AUDIT_UNAVAILABLE] = "audit-unavailable",
    };

    return NAME(names, reason);
}

const char *
policy_condition_name(policy_condition_t condition)
{
    static const char *const names[POLICY_CONDITION_COUNT] = {
        [POLICY_CONDITION_NETWORK] = "network",
        [POLICY_CONDITION_VALID] = "valid",
        [POLICY_CONDITION_SERVICES] = "services",
        [POLICY_CONDITION_VIA] = "via",
        [POLICY_CONDITION_TRANSPORT] = "transport",
        [POLICY_CONDITION_DEVICE] = "device",
        [POLICY_CONDITION_COUNTRY] = "country",
        [POLICY_CONDITION_CALENDAR] = "calendar",
        [POLICY_CONDITION_HOURS] = "hours",
        [POLICY_CONDITION_ACTIONS] = "actions",
        [POLICY_CONDITION_USERS] = "users",
    };

    return NAME(names, condition);
}

static const char *const service_names[POLICY_SERVICE_COUNT] = {
    [POLICY_SERVICE_WEB] = "web",
    [POLICY_SERVICE_SSH] = "ssh",
    [POLICY_SERVICE_DESKTOP] = "desktop",
};

const char *
policy_service_name(policy_service_t service)
{
    return NAME(service_names, service);
}

policy_service_t
policy_service_parse(slice_t name)
{
    for (unsigned i = POLICY_SERVICE_WEB; i < POLICY_SERVICE_COUNT; i++) {
        if (slice_is(name, service_names[i])) {
            return (policy_service_t) i;
        }
    }
    return POLICY_SERVICE_NONE;
}
