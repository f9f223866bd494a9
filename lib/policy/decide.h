/*
 * The one place that decides: who may enter from where, when, with what, for
 * what.  nginx, sekishod (for PAM) and `sekisho policy explain` all call
 * policy_decide(); nothing else compares an address or looks at a clock.
 */

#ifndef SEKISHO_POLICY_DECIDE_H
#define SEKISHO_POLICY_DECIDE_H

#include <stdint.h>

#include "../base/action.h"
#include "../base/address.h"
#include "image.h"

typedef enum {
    POLICY_SERVICE_NONE = 0,
    POLICY_SERVICE_WEB,
    POLICY_SERVICE_SSH,
    POLICY_SERVICE_DESKTOP,
    POLICY_SERVICE_COUNT
} policy_service_t;

#define POLICY_SERVICE_BIT(service) (1u << (service))

/* Zeroed memory is never a yes. */
typedef enum {
    POLICY_VERDICT_NONE = 0,
    POLICY_ALLOW,
    POLICY_DENY
} policy_verdict_t;

/* Stable names, for logs, pages, the trail: policy_reason_name(). */
typedef enum {
    POLICY_REASON_NONE = 0,
    POLICY_OK,
    POLICY_DRY_RUN,
    POLICY_UNKNOWN_NETWORK,
    POLICY_CLOSED,
    POLICY_HOLIDAY,
    POLICY_NOT_VALID,
    POLICY_DEVICE_MISSING,
    POLICY_DEVICE_UNKNOWN,
    POLICY_WRONG_INGRESS,
    POLICY_WRONG_COUNTRY,
    POLICY_USER_NOT_LISTED,
    POLICY_SERVICE_NOT_ALLOWED,
    POLICY_ACTION_NOT_ALLOWED,
    POLICY_PLAINTEXT,
    POLICY_FACTOR_MISSING,
    POLICY_POLICY_MISSING,
    POLICY_AUDIT_UNAVAILABLE,
    POLICY_REASON_COUNT
} policy_reason_t;

/* How the bytes travel. */
typedef enum {
    POLICY_TRANSPORT_PLAIN = 0,
    POLICY_TRANSPORT_ENCRYPTED,
    POLICY_TRANSPORT_WAIVED /* plain, and the administrator said so */
} policy_transport_t;

typedef enum {
    POLICY_USER_UNKNOWN = 0, /* nobody is named: fails a `users` rule */
    POLICY_USER_LATER,       /* to be asked again: passes, users_pending set */
    POLICY_USER_NAMED        /* `user` is certain */
} policy_user_state_t;

typedef enum {
    POLICY_FACTOR_MISSING_YET = 0, /* no fresh second factor was shown */
    POLICY_FACTOR_LATER, /* will be asked: passes, factor_fresh is set */
    POLICY_FACTOR_FRESH
} policy_factor_t;

#define POLICY_SHA256_BYTES 32
#define POLICY_CHAIN_MAX    8

/* A client certificate as the TLS library saw it. */
typedef struct {
    uint8_t sha256[POLICY_SHA256_BYTES]; /* of the leaf, DER */
    int64_t not_before;                  /* Unix seconds */
    int64_t not_after;
    bool verified; /* the chain was verified, up to a trusted anchor */
    uint8_t chain_count;
    /* of the issuers in that chain; only looked at if verified */
    uint8_t chain_sha256[POLICY_CHAIN_MAX][POLICY_SHA256_BYTES];
} policy_certificate_t;

/* Upper-case ISO 3166 code of `address` into code[0..1]; false: unknown. */
typedef bool (*policy_country_fn)(void *context, const address_t *address,
                                  char code[2]);

typedef struct {
    address_t address; /* of the client */
    address_t local;   /* it arrived on; ADDRESS_NONE fails a `via` rule */
    int64_t now;       /* Unix seconds */
    policy_service_t service;
    action_t action; /* ACTION_NONE: not asked */
    policy_transport_t transport;
    policy_factor_t factor;
    policy_user_state_t user_state;
    slice_t user;
    const policy_certificate_t *certificate; /* NULL: none was shown */
    policy_country_fn country;               /* NULL: unknown; called only if a
                                                facility asks for it */
    void *country_context;
} policy_request_t;

/* What an entry still owes, or may do. */
typedef struct {
    bool second_factor;    /* `second-factor always` */
    bool factor_fresh;     /* off-hours: not older than this entry */
    bool users_pending;    /* decide again when the name is certain */
    uint32_t idle_seconds; /* of a session; 0: not limited by the policy */
    uint32_t max_seconds;
    uint32_t actions; /* set of ACTION_BIT() that this facility allows */
} policy_obligations_t;

typedef struct {
    policy_verdict_t verdict;
    policy_reason_t reason;
    /* In `mode dry-run`: what `reason` would have been; else NONE. */
    policy_reason_t dry_run_reason;
    uint32_t facility; /* index for policy_facility(); or POLICY_NO_FACILITY */
    policy_obligations_t obligations; /* all 0 on a deny */
} policy_decision_t;

#define POLICY_NO_FACILITY UINT32_MAX

/* In the order in which they are tried. */
typedef enum {
    POLICY_CONDITION_NETWORK = 0,
    POLICY_CONDITION_VALID,
    POLICY_CONDITION_SERVICES,
    POLICY_CONDITION_VIA,
    POLICY_CONDITION_TRANSPORT,
    POLICY_CONDITION_DEVICE,
    POLICY_CONDITION_COUNTRY,
    POLICY_CONDITION_CALENDAR,
    POLICY_CONDITION_HOURS,
    POLICY_CONDITION_ACTIONS,
    POLICY_CONDITION_USERS,
    POLICY_CONDITION_COUNT
} policy_condition_t;

typedef enum {
    POLICY_NOT_TRIED = 0, /* an earlier one failed */
    POLICY_NOT_ASKED, /* the facility has no such rule, or no such question */
    POLICY_PASSED,
    POLICY_FAILED,
    POLICY_POSTPONED /* users or factor: later */
} policy_outcome_t;

/* The whole chain, for `explain`. */
typedef struct {
    policy_outcome_t outcome[POLICY_CONDITION_COUNT];
    prefix_t network;   /* that matched */
    bool network_any;   /* `network any` matched */
    bool network_local; /* `network local` matched */
    int32_t offset;     /* of the facility's zone from UTC now, seconds */
    char country[3];    /* as looked up; "" if it was not */
} policy_trace_t;

/*
 * Decides.  Never allocates, blocks or fails; a NULL image is a deny with
 * `policy-missing`.  `trace` may be NULL, and costs something if it is not.
 */
void policy_decide(const policy_image_t *image, const policy_request_t *request,
                   policy_decision_t *decision, policy_trace_t *trace);

const char *policy_verdict_name(policy_verdict_t verdict); /* "allow" "deny" */
const char *policy_reason_name(policy_reason_t reason);    /* never NULL */
const char *policy_condition_name(policy_condition_t condition);
const char *policy_service_name(policy_service_t service);
policy_service_t policy_service_parse(slice_t name);

#endif
