/* A decision upon what nobody should ever ask: it is no. */

#include "policy_decided.h"

static void
zeroed_memory_is_no_allow(void **state)
{
    policy_image_t *image = image_of("facility a { network 198.51.100.0/24; }");
    policy_decision_t decision = {0};
    policy_request_t request = {0};

    (void) state;
    assert_int_not_equal(decision.verdict, POLICY_ALLOW);
    assert_int_not_equal(decision.reason, POLICY_OK);
    assert_string_equal(policy_verdict_name(decision.verdict), "none");
    assert_int_not_equal(POLICY_IMAGE_OK, 0);

    /* nor is a request that says nothing, or nothing but its address */
    assert_denied(image, &request, POLICY_UNKNOWN_NETWORK, NOBODY);
    request.address = address_of(HERE);
    assert_denied(image, &request, POLICY_SERVICE_NOT_ALLOWED, 0);
    request.service = POLICY_SERVICE_WEB;
    assert_denied(image, &request, POLICY_PLAINTEXT, 0);
    policy_image_free(image);
}

static void
without_an_image_nothing_is_left_as_it_was(void **state)
{
    policy_request_t request = request_from(HERE);
    policy_decision_t decision;
    policy_trace_t trace;

    (void) state;
    assert_denied(NULL, &request, POLICY_POLICY_MISSING, NOBODY);
    memset(&decision, 0xa5, sizeof(decision));
    memset(&trace, 0xa5, sizeof(trace));
    policy_decide(NULL, &request, &decision, &trace);
    assert_int_equal(decision.verdict, POLICY_DENY);
    assert_no_obligations(&decision.obligations);
    for (unsigned i = 0; i < POLICY_CONDITION_COUNT; i++) {
        assert_int_equal(trace.outcome[i], POLICY_NOT_TRIED);
    }
    assert_int_equal(trace.network.address.family, ADDRESS_NONE);
    assert_string_equal(trace.country, "");
}

static void
values_that_nobody_knows_are_denied(void **state)
{
    policy_image_t *image = image_of(
        "timezone UTC; facility a { network 198.51.100.0/24; users tanaka;"
        "    hours mon 00:00-00:01; off-hours second-factor;"
        "    actions query view download store delete admin; }");
    policy_request_t good = request_from(HERE), request;

    (void) state;
    good.user_state = POLICY_USER_NAMED;
    good.user = SLICE("tanaka");
    good.factor = POLICY_FACTOR_FRESH;
    assert_allowed(image, &good, 0);

    request = good;
    request.service = (policy_service_t) POLICY_SERVICE_COUNT;
    assert_denied(image, &request, POLICY_SERVICE_NOT_ALLOWED, 0);
    request.service = (policy_service_t) (POLICY_SERVICE_WEB + 32);
    assert_denied(image, &request, POLICY_SERVICE_NOT_ALLOWED, 0);

    request = good;
    request.transport = (policy_transport_t) 3;
    assert_denied(image, &request, POLICY_PLAINTEXT, 0);

    request = good;
    request.action = (action_t) ACTION_COUNT;
    assert_denied(image, &request, POLICY_ACTION_NOT_ALLOWED, 0);
    request.action = (action_t) (ACTION_VIEW + 32);
    assert_denied(image, &request, POLICY_ACTION_NOT_ALLOWED, 0);

    request = good;
    request.user_state = (policy_user_state_t) 3;
    assert_denied(image, &request, POLICY_USER_NOT_LISTED, 0);

    request = good;
    request.factor = (policy_factor_t) 3;
    assert_denied(image, &request, POLICY_FACTOR_MISSING, 0);

    request = good;
    request.address.family = 77;
    assert_denied(image, &request, POLICY_UNKNOWN_NETWORK, NOBODY);
    policy_image_free(image);
}

static void
names_must_be_listed_to_the_last_byte(void **state)
{
    policy_image_t *image = image_of(
        "facility a { network 198.51.100.0/24; users tanaka yamada; }");
    static const slice_t others[] = {
        SLICE(""),  SLICE("tanak"),    SLICE("tanaka2"),
        SLICE("a"), SLICE("Tanaka"),   SLICE("tanaka "),
        SLICE("z"), SLICE("tanaka\0"), SLICE("\0tanaka"),
        {NULL, 0},
    };
    policy_request_t request = request_from(HERE);

    (void) state;
    request.user = SLICE("tanaka"); /* a name that nobody vouches for */
    assert_denied(image, &request, POLICY_USER_NOT_LISTED, 0);
    request.user_state = POLICY_USER_NAMED;
    assert_allowed(image, &request, 0);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        request.user = others[i];
        assert_denied(image, &request, POLICY_USER_NOT_LISTED, 0);
    }
    policy_image_free(image);
}

static void
a_chain_ends_where_its_room_does(void **state)
{
    policy_source_t *source = source_of(
        "facility a { network 198.51.100.0/24; device required;"
        "    certificate " PIN_11 "; }");
    policy_fingerprint_t authority;
    policy_certificate_t *shown = calloc(1, sizeof(*shown));
    policy_request_t request = request_from(HERE);
    policy_image_t *image;

    (void) state;
    assert_non_null(shown); /* its end is the end of the memory */
    set_authority(source, 0, 0xaa, &authority);
    image = compiled(source);
    request.certificate = shown;

    /* the leaf itself is no issuer of its own */
    *shown = certificate_from(0xaa, 0x55);
    assert_denied(image, &request, POLICY_DEVICE_UNKNOWN, 0);
    /* the last that fits, and a count that cannot be */
    shown->chain_count = POLICY_CHAIN_MAX;
    memset(shown->chain_sha256[POLICY_CHAIN_MAX - 1], 0xaa, 32);
    assert_allowed(image, &request, 0);
    shown->chain_count = POLICY_CHAIN_MAX - 1;
    assert_denied(image, &request, POLICY_DEVICE_UNKNOWN, 0);
    memset(shown->chain_sha256, 0x55, sizeof(shown->chain_sha256));
    shown->chain_count = UINT8_MAX;
    assert_denied(image, &request, POLICY_DEVICE_UNKNOWN, 0);
    /* who verified nothing has no chain */
    *shown = certificate_from(0x55, 0xaa);
    assert_allowed(image, &request, 0);
    shown->verified = false;
    assert_denied(image, &request, POLICY_DEVICE_UNKNOWN, 0);
    policy_image_free(image);
    policy_source_free(source);
    free(shown);
}

static void
certificates_of_never_are_unknown(void **state)
{
    policy_image_t *image = image_of(
        "facility a { network 198.51.100.0/24; device required;"
        "    certificate " PIN_11 "; }");
    policy_certificate_t own = certificate_of(0x11);
    policy_request_t request = request_from(HERE);

    (void) state;
    request.certificate = &own;
    own.not_before = own.not_after = TEST_NOW;
    assert_allowed(image, &request, 0);
    request.now = TEST_NOW - 1;
    assert_denied(image, &request, POLICY_DEVICE_UNKNOWN, 0);
    request.now = TEST_NOW + 1;
    assert_denied(image, &request, POLICY_DEVICE_UNKNOWN, 0);
    own.not_before = TEST_NOW + 100;
    own.not_after = TEST_NOW - 100;
    request.now = TEST_NOW;
    assert_denied(image, &request, POLICY_DEVICE_UNKNOWN, 0);
    own.not_before = INT64_MIN;
    own.not_after = INT64_MAX;
    request.now = INT64_MIN;
    assert_allowed(image, &request, 0);
    request.now = INT64_MAX;
    assert_allowed(image, &request, 0);
    policy_image_free(image);
}

static void
a_deny_forgets_what_would_have_been_due(void **state)
{
    policy_image_t *image = image_of(
        "timezone UTC;"
        "facility a { network 198.51.100.0/24; hours mon 08:00-09:00;"
        "    off-hours second-factor; users tanaka; session idle 15m; }");
    policy_request_t request = request_from(HERE);

    (void) state;
    /* the factor is postponed before the name fails (assert_denied looks) */
    request.factor = POLICY_FACTOR_LATER;
    request.user_state = POLICY_USER_NAMED;
    assert_denied(image, &request, POLICY_USER_NOT_LISTED, 0);
    policy_image_free(image);
}

UNIT_TESTS(cmocka_unit_test(zeroed_memory_is_no_allow),
           cmocka_unit_test(without_an_image_nothing_is_left_as_it_was),
           cmocka_unit_test(values_that_nobody_knows_are_denied),
           cmocka_unit_test(names_must_be_listed_to_the_last_byte),
           cmocka_unit_test(a_chain_ends_where_its_room_does),
           cmocka_unit_test(certificates_of_never_are_unknown),
           cmocka_unit_test(a_deny_forgets_what_would_have_been_due))
