/* The decision: conditions, their order, obligations, dry run, trace. */

#include "policy_build.h"

#define TUESDAY "2026-03-03T02:00:00Z"

static char japan[] = "JP", korea[] = "KR", states[] = "US";

static void
missing_policy_is_denied(void **state)
{
    policy_request_t request = build_request("203.0.113.1", TUESDAY);
    policy_decision_t decision;

    (void) state;
    policy_decide(NULL, &request, &decision, NULL);
    assert_int_equal(decision.verdict, POLICY_DENY);
    assert_int_equal(decision.reason, POLICY_POLICY_MISSING);
    assert_int_equal(decision.facility, POLICY_NO_FACILITY);
    assert_reason(NULL, &request, "policy-missing");
}

static void
empty_policy_knows_no_network(void **state)
{
    policy_request_t request = build_request("203.0.113.1", TUESDAY);
    policy_image_t *image;
    build_t build;

    (void) state;
    build_start(&build);
    image = build_image(&build);
    assert_reason(image, &request, "unknown-network");
    request.address = (address_t){.family = ADDRESS_NONE};
    assert_reason(image, &request, "unknown-network");
    request.address.family = ADDRESS_LOCAL;
    assert_reason(image, &request, "unknown-network");
    request.address.family = 77;
    assert_reason(image, &request, "unknown-network");
    policy_image_free(image);
    build_end(&build);
}

static void
allowed_entry_carries_what_it_owes(void **state)
{
    policy_request_t request = build_request("203.0.113.5", TUESDAY);
    policy_source_facility_t *facility;
    policy_decision_t decision;
    policy_image_t *image;
    build_t build;

    (void) state;
    build_start(&build);
    facility = build_facility(&build, "aoba");
    build_network(&build, facility, "203.0.113.0/28");
    facility->second_factor = true;
    facility->idle_seconds = 900;
    facility->max_seconds = 28800;
    image = build_image(&build);
    policy_decide(image, &request, &decision, NULL);
    assert_int_equal(decision.verdict, POLICY_ALLOW);
    assert_int_equal(decision.reason, POLICY_OK);
    assert_int_equal(decision.dry_run_reason, POLICY_REASON_NONE);
    assert_int_equal(decision.facility, 0);
    assert_true(decision.obligations.second_factor);
    assert_false(decision.obligations.factor_fresh);
    assert_false(decision.obligations.users_pending);
    assert_int_equal(decision.obligations.idle_seconds, 900);
    assert_int_equal(decision.obligations.max_seconds, 28800);
    assert_int_equal(decision.obligations.actions,
                     ACTION_BIT(ACTION_QUERY) | ACTION_BIT(ACTION_VIEW));
    policy_image_free(image);
    build_end(&build);
}

static void
denied_entry_owes_nothing(void **state)
{
    policy_request_t request = build_request("203.0.113.5", TUESDAY);
    static const policy_obligations_t nothing;
    policy_source_facility_t *facility;
    policy_decision_t decision;
    policy_image_t *image;
    slice_t users[] = {SLICE("tanaka")};
    build_t build;

    (void) state;
    build_start(&build);
    facility = build_facility(&build, "aoba");
    build_network(&build, facility, "203.0.113.0/28");
    build_hours(&build, facility, 5, 1, 0, 1440);
    facility->off_hours_factor = true;
    facility->second_factor = true;
    facility->has_users = true;
    facility->users = users;
    facility->users_count = 1;
    image = build_image(&build);
    /* Late: the factor would have been owed, had the user been listed. */
    request.factor = POLICY_FACTOR_LATER;
    policy_decide(image, &request, &decision, NULL);
    assert_int_equal(decision.reason, POLICY_USER_NOT_LISTED);
    assert_int_equal(decision.facility, 0);
    assert_memory_equal(&decision.obligations, &nothing, sizeof(nothing));
    policy_image_free(image);
    build_end(&build);
}

static bool
find_country(void *context, const address_t *address, char code[2])
{
    (void) address;
    if (context == NULL) {
        return false;
    }
    memcpy(code, context, 2);
    return true;
}

/* One facility that fails everything; what is repaired gives way to the next
 * reason, in the order of DESIGN.md section 3. */
static void
first_failing_condition_gives_the_reason(void **state)
{
    policy_request_t request = build_request("203.0.113.5", TUESDAY);
    char countries[][2] = {{'J', 'P'}, {'U', 'S'}};
    slice_t users[] = {SLICE("suzuki"), SLICE("tanaka")};
    policy_certificate_t certificate = {.not_before = 0,
                                        .not_after = INT64_MAX};
    policy_source_facility_t *facility;
    address_t via[1];
    policy_image_t *image;
    build_t build;

    (void) state;
    build_start(&build);
    facility = build_facility(&build, "aoba");
    build_network(&build, facility, "203.0.113.0/28");
    facility->valid_from = facility->valid_to = build_day("2026-03-04");
    facility->services = POLICY_SERVICE_BIT(POLICY_SERVICE_WEB);
    assert_true(address_parse(SLICE("10.8.0.1"), &via[0]));
    facility->via = via;
    facility->via_count = 1;
    facility->device = POLICY_DEVICE_REQUIRED;
    build_pin(&build, facility, 0xaa);
    facility->countries = countries;
    facility->countries_count = 2;
    build_closed(&build, facility, build_day("2026-03-04"),
                 build_day("2026-03-04"));
    build_hours(&build, facility, 0, 5, 480, 1140);
    facility->has_users = true;
    facility->users = users;
    facility->users_count = 2;
    image = build_image(&build);

    request.address.bytes[3] = 99;
    request.service = POLICY_SERVICE_SSH;
    request.transport = POLICY_TRANSPORT_PLAIN;
    request.action = ACTION_DELETE;
    assert_reason(image, &request, "unknown-network");
    request.address.bytes[3] = 5;
    assert_reason(image, &request, "not-valid");
    request.now += 86400 - 7200; /* Wednesday, 00:00 */
    assert_reason(image, &request, "service-not-allowed");
    request.service = POLICY_SERVICE_WEB;
    assert_reason(image, &request, "wrong-ingress");
    request.local = via[0];
    assert_reason(image, &request, "plaintext");
    request.transport = POLICY_TRANSPORT_ENCRYPTED;
    assert_reason(image, &request, "device-missing");
    request.certificate = &certificate;
    assert_reason(image, &request, "device-unknown");
    memset(certificate.sha256, 0xaa, sizeof(certificate.sha256));
    assert_reason(image, &request, "wrong-country");
    request.country = find_country;
    assert_reason(image, &request, "wrong-country");
    request.country_context = korea;
    assert_reason(image, &request, "wrong-country");
    request.country_context = states;
    assert_reason(image, &request, "holiday");
    policy_image_free(image);

    facility->closed_count = 0;
    image = build_image(&build);
    assert_reason(image, &request, "closed");
    request.now += 9 * 3600;
    assert_reason(image, &request, "action-not-allowed");
    request.action = ACTION_VIEW;
    assert_reason(image, &request, "user-not-listed");
    request.user_state = POLICY_USER_NAMED;
    request.user = SLICE("tanak");
    assert_reason(image, &request, "user-not-listed");
    request.user = SLICE("tanaka");
    assert_reason(image, &request, "ok");
    policy_image_free(image);
    build_end(&build);
}

static void
service_outside_the_known_is_denied(void **state)
{
    policy_request_t request = build_request("203.0.113.5", TUESDAY);
    policy_image_t *image;
    build_t build;

    (void) state;
    build_start(&build);
    build_network(&build, build_facility(&build, "a"), "203.0.113.0/28");
    image = build_image(&build);
    request.service = POLICY_SERVICE_NONE;
    assert_reason(image, &request, "service-not-allowed");
    request.service = (policy_service_t) 33;
    assert_reason(image, &request, "service-not-allowed");
    request.service = POLICY_SERVICE_SSH;
    assert_reason(image, &request, "ok");
    request.action = (action_t) 40;
    assert_reason(image, &request, "action-not-allowed");
    request.action = ACTION_NONE;
    assert_reason(image, &request, "ok");
    policy_image_free(image);
    build_end(&build);
}

static void
transport_is_asked_of_the_web_alone(void **state)
{
    policy_request_t request = build_request("203.0.113.5", TUESDAY);
    policy_image_t *image;
    build_t build;

    (void) state;
    build_start(&build);
    build_network(&build, build_facility(&build, "a"), "203.0.113.0/28");
    image = build_image(&build);
    request.transport = POLICY_TRANSPORT_PLAIN;
    assert_reason(image, &request, "plaintext");
    request.transport = POLICY_TRANSPORT_WAIVED;
    assert_reason(image, &request, "ok");
    request.transport = (policy_transport_t) 9;
    assert_reason(image, &request, "plaintext");
    request.transport = POLICY_TRANSPORT_PLAIN;
    request.service = POLICY_SERVICE_DESKTOP;
    assert_reason(image, &request, "ok");
    policy_image_free(image);
    build_end(&build);
}

static void
via_needs_a_known_local_address(void **state)
{
    policy_request_t request = build_request("2001:db8::1", TUESDAY);
    policy_source_facility_t *facility;
    policy_image_t *image;
    address_t via[2];
    build_t build;

    (void) state;
    build_start(&build);
    facility = build_facility(&build, "a");
    build_network(&build, facility, "2001:db8::/32");
    assert_true(address_parse(SLICE("10.8.0.1"), &via[0]));
    assert_true(address_parse(SLICE("2001:db8:ffff::1"), &via[1]));
    facility->via = via;
    facility->via_count = 2;
    image = build_image(&build);
    assert_true(policy_uses_via(image));
    assert_reason(image, &request, "wrong-ingress");
    request.local.family = ADDRESS_LOCAL;
    assert_reason(image, &request, "wrong-ingress");
    assert_true(address_parse(SLICE("10.8.0.2"), &request.local));
    assert_reason(image, &request, "wrong-ingress");
    request.local = via[0];
    assert_reason(image, &request, "ok");
    request.local = via[1];
    assert_reason(image, &request, "ok");
    policy_image_free(image);
    build_end(&build);
}

static void
user_to_be_known_later_is_pending(void **state)
{
    policy_request_t request = build_request("203.0.113.5", TUESDAY);
    slice_t users[] = {SLICE("suzuki")};
    policy_source_facility_t *facility;
    policy_decision_t decision;
    policy_trace_t trace;
    policy_image_t *image;
    build_t build;

    (void) state;
    build_start(&build);
    facility = build_facility(&build, "a");
    build_network(&build, facility, "203.0.113.0/28");
    facility->has_users = true;
    facility->users = users;
    facility->users_count = 1;
    image = build_image(&build);
    request.user_state = POLICY_USER_LATER;
    policy_decide(image, &request, &decision, &trace);
    assert_int_equal(decision.reason, POLICY_OK);
    assert_true(decision.obligations.users_pending);
    assert_int_equal(trace.outcome[POLICY_CONDITION_USERS], POLICY_POSTPONED);
    policy_image_free(image);

    facility->users_count = 0; /* a list of nobody lets nobody in */
    image = build_image(&build);
    request.user_state = POLICY_USER_NAMED;
    request.user = SLICE("suzuki");
    assert_reason(image, &request, "user-not-listed");
    request.user = (slice_t){NULL, 0};
    assert_reason(image, &request, "user-not-listed");
    policy_image_free(image);
    build_end(&build);
}

static void
dry_run_allows_and_tells_what_would_have_been(void **state)
{
    policy_request_t request = build_request("203.0.113.5", TUESDAY);
    policy_source_facility_t *facility;
    policy_decision_t decision;
    policy_image_t *image;
    build_t build;

    (void) state;
    build_start(&build);
    facility = build_facility(&build, "a");
    build_network(&build, facility, "203.0.113.0/28");
    facility->dry_run = true;
    facility->second_factor = true;
    image = build_image(&build);
    policy_decide(image, &request, &decision, NULL);
    assert_int_equal(decision.verdict, POLICY_ALLOW);
    assert_int_equal(decision.reason, POLICY_OK);
    assert_int_equal(decision.dry_run_reason, POLICY_REASON_NONE);

    request.action = ACTION_DELETE;
    policy_decide(image, &request, &decision, NULL);
    assert_int_equal(decision.verdict, POLICY_ALLOW);
    assert_int_equal(decision.reason, POLICY_DRY_RUN);
    assert_int_equal(decision.dry_run_reason, POLICY_ACTION_NOT_ALLOWED);
    assert_int_equal(decision.facility, 0);
    assert_true(decision.obligations.second_factor);

    /* Nobody's space is nobody's dry run. */
    request.address.bytes[0] = 1;
    policy_decide(image, &request, &decision, NULL);
    assert_int_equal(decision.verdict, POLICY_DENY);
    assert_int_equal(decision.reason, POLICY_UNKNOWN_NETWORK);
    assert_int_equal(decision.dry_run_reason, POLICY_REASON_NONE);
    policy_image_free(image);
    build_end(&build);
}

static void
trace_tells_the_whole_chain(void **state)
{
    policy_request_t request = build_request("203.0.113.5", TUESDAY);
    static const policy_outcome_t wanted[POLICY_CONDITION_COUNT] = {
        [POLICY_CONDITION_NETWORK] = POLICY_PASSED,
        [POLICY_CONDITION_VALID] = POLICY_NOT_ASKED,
        [POLICY_CONDITION_SERVICES] = POLICY_PASSED,
        [POLICY_CONDITION_VIA] = POLICY_NOT_ASKED,
        [POLICY_CONDITION_TRANSPORT] = POLICY_PASSED,
        [POLICY_CONDITION_DEVICE] = POLICY_NOT_ASKED,
        [POLICY_CONDITION_COUNTRY] = POLICY_PASSED,
        [POLICY_CONDITION_CALENDAR] = POLICY_NOT_ASKED,
        [POLICY_CONDITION_HOURS] = POLICY_FAILED,
        [POLICY_CONDITION_ACTIONS] = POLICY_NOT_TRIED,
        [POLICY_CONDITION_USERS] = POLICY_NOT_TRIED,
    };
    char countries[][2] = {{'J', 'P'}};
    policy_source_facility_t *facility;
    policy_decision_t decision;
    policy_trace_t trace;
    policy_image_t *image;
    char text[PREFIX_TEXT_MAX];
    build_t build;

    (void) state;
    build_start(&build);
    facility = build_facility(&build, "a");
    build_network(&build, facility, "203.0.112.0/22");
    build_network(&build, facility, "203.0.113.0/28");
    build_network(&build, facility, "203.0.113.128/25");
    facility->zone = SLICE("Asia/Tokyo");
    facility->countries = countries;
    facility->countries_count = 1;
    build_hours(&build, facility, 5, 1, 480, 1140);
    image = build_image(&build);
    request.country = find_country;
    request.country_context = japan;
    policy_decide(image, &request, &decision, &trace);
    assert_int_equal(decision.reason, POLICY_CLOSED);
    assert_memory_equal(trace.outcome, wanted, sizeof(wanted));
    prefix_format(&trace.network, text);
    assert_string_equal(text, "203.0.113.0/28");
    assert_false(trace.network_any);
    assert_false(trace.network_local);
    assert_int_equal(trace.offset, 9 * 3600);
    assert_string_equal(trace.country, "JP");

    request.address.bytes[2] = 112;
    policy_decide(image, &request, &decision, &trace);
    prefix_format(&trace.network, text);
    assert_string_equal(text, "203.0.112.0/22");

    request.address.bytes[0] = 1;
    policy_decide(image, &request, &decision, &trace);
    assert_int_equal(trace.outcome[POLICY_CONDITION_NETWORK], POLICY_FAILED);
    assert_int_equal(trace.outcome[POLICY_CONDITION_VALID], POLICY_NOT_TRIED);
    assert_int_equal(trace.network.address.family, ADDRESS_NONE);
    assert_string_equal(trace.country, "");
    policy_image_free(image);
    build_end(&build);
}

static void
names_are_those_of_the_design(void **state)
{
    static const char *const reasons[] = {"none",
                                          "ok",
                                          "dry-run",
                                          "unknown-network",
                                          "closed",
                                          "holiday",
                                          "not-valid",
                                          "device-missing",
                                          "device-unknown",
                                          "wrong-ingress",
                                          "wrong-country",
                                          "user-not-listed",
                                          "service-not-allowed",
                                          "action-not-allowed",
                                          "plaintext",
                                          "factor-missing",
                                          "policy-missing",
                                          "audit-unavailable"};

    (void) state;
    for (unsigned i = 0; i < POLICY_REASON_COUNT; i++) {
        assert_string_equal(policy_reason_name((policy_reason_t) i),
                            reasons[i]);
    }
    assert_string_equal(policy_reason_name(POLICY_REASON_COUNT), "none");
    assert_string_equal(policy_verdict_name(POLICY_ALLOW), "allow");
    assert_string_equal(policy_verdict_name(POLICY_DENY), "deny");
    assert_string_equal(policy_verdict_name(POLICY_VERDICT_NONE), "none");
    assert_string_equal(policy_condition_name(POLICY_CONDITION_NETWORK),
                        "network");
    assert_string_equal(policy_condition_name(POLICY_CONDITION_USERS), "users");
    assert_string_equal(policy_service_name(POLICY_SERVICE_DESKTOP), "desktop");
    assert_int_equal(policy_service_parse(SLICE("ssh")), POLICY_SERVICE_SSH);
    assert_int_equal(policy_service_parse(SLICE("ss")), POLICY_SERVICE_NONE);
    assert_int_equal(policy_service_parse(SLICE("")), POLICY_SERVICE_NONE);
}

UNIT_TESTS(cmocka_unit_test(missing_policy_is_denied),
           cmocka_unit_test(empty_policy_knows_no_network),
           cmocka_unit_test(allowed_entry_carries_what_it_owes),
           cmocka_unit_test(denied_entry_owes_nothing),
           cmocka_unit_test(first_failing_condition_gives_the_reason),
           cmocka_unit_test(service_outside_the_known_is_denied),
           cmocka_unit_test(transport_is_asked_of_the_web_alone),
           cmocka_unit_test(via_needs_a_known_local_address),
           cmocka_unit_test(user_to_be_known_later_is_pending),
           cmocka_unit_test(dry_run_allows_and_tells_what_would_have_been),
           cmocka_unit_test(trace_tells_the_whole_chain),
           cmocka_unit_test(names_are_those_of_the_design))
