/* Several facilities on one network, on `any` and on `local`: whose request is
 * it, and what is told to whom who is nobody's. */

#include "policy_decided.h"

static void
optional_candidate_is_the_open_one(void **state)
{
    policy_image_t *image = image_of(
        "facility optional { network 198.51.100.0/24; device optional;"
        "    certificate " PIN_22 "; }"
        "facility pinned   { network 198.51.100.0/24; device required;"
        "    certificate " PIN_11 "; }");
    policy_request_t request = request_from(HERE);
    policy_certificate_t shown = certificate_of(0x11);

    (void) state;
    assert_allowed(image, &request, 0);
    request.certificate = &shown;
    assert_allowed(image, &request, 1);
    shown = certificate_of(0x22);
    assert_allowed(image, &request, 0);
    /* One that is shown must match, also where none needs to be. */
    shown = certificate_of(0x33);
    assert_denied(image, &request, POLICY_DEVICE_UNKNOWN, 0);
    policy_image_free(image);
}

static void
without_device_certificates_are_ignored(void **state)
{
    policy_image_t *image = image_of("facility a { network 198.51.100.0/24; }");
    policy_request_t request = request_from(HERE);
    policy_certificate_t shown = certificate_of(0x33);

    (void) state;
    shown.not_after = TEST_NOW - 1;
    request.certificate = &shown;
    assert_allowed(image, &request, 0);
    policy_image_free(image);
}

static void
candidate_of_the_certificate_has_the_last_word(void **state)
{
    policy_image_t *image = image_of(
        "facility open   { network 198.51.100.0/24; }"
        "facility pinned { network 198.51.100.0/24; device required;"
        "    certificate " PIN_11 "; services ssh; }"
        "facility late   { network 198.51.100.0/24; device required;"
        "    certificate " PIN_22 "; }");
    policy_request_t request = request_from(HERE);
    policy_certificate_t shown = certificate_of(0x11);

    (void) state;
    request.certificate = &shown;
    /* Not let in as the open one, whose rule it would pass. */
    assert_denied(image, &request, POLICY_SERVICE_NOT_ALLOWED, 1);
    shown = certificate_of(0x22);
    shown.not_before = TEST_NOW + 1;
    assert_denied(image, &request, POLICY_DEVICE_UNKNOWN, 2);
    policy_image_free(image);
}

static void
certificate_opens_no_network_but_its_own(void **state)
{
    policy_image_t *image = image_of(
        "facility a { network 198.51.100.0/24; device required;"
        "    certificate " PIN_11 "; }"
        "facility b { network 203.0.113.0/24; device required;"
        "    certificate " PIN_22 "; }");
    policy_request_t request = request_from(HERE);
    policy_certificate_t shown = certificate_of(0x22);

    (void) state;
    request.certificate = &shown;
    assert_denied(image, &request, POLICY_DEVICE_UNKNOWN, 0);
    request.address = address_of("203.0.113.7");
    assert_allowed(image, &request, 1);
    policy_image_free(image);
}

static void
nobodys_request_is_admitted_if_all_are_in_dry_run(void **state)
{
    policy_image_t *image = image_of(
        "facility a { network 198.51.100.0/24 192.0.2.0/24; device required;"
        "    certificate " PIN_11 "; mode dry-run; }"
        "facility b { network 198.51.100.0/24; device required;"
        "    certificate " PIN_22 "; mode dry-run; }"
        "facility c { network 192.0.2.0/24; device required;"
        "    certificate " PIN_33 "; }");
    policy_request_t request = request_from(HERE);
    policy_certificate_t shown = certificate_of(0x44);

    (void) state;
    assert_dry_run(image, &request, POLICY_DEVICE_MISSING, NOBODY);
    assert_int_equal(decided(image, &request).obligations.actions, ACTION_ALL);
    request.certificate = &shown;
    assert_dry_run(image, &request, POLICY_DEVICE_UNKNOWN, NOBODY);
    request.address = address_of("192.0.2.1");
    assert_denied(image, &request, POLICY_DEVICE_UNKNOWN, NOBODY);
    request.certificate = NULL;
    assert_denied(image, &request, POLICY_DEVICE_MISSING, NOBODY);
    policy_image_free(image);
}

static void
local_candidates_are_told_apart_too(void **state)
{
    policy_image_t *image = image_of(
        "facility open   { network local; services web desktop; }"
        "facility pinned { network local; services web desktop;"
        "    device required; certificate " PIN_11 "; }");
    policy_request_t request = request_from("local");
    policy_certificate_t shown = certificate_of(0x11);

    (void) state;
    assert_allowed(image, &request, 0);
    request.certificate = &shown;
    assert_allowed(image, &request, 1);
    /* A desktop has no certificate to be told apart by. */
    request.service = POLICY_SERVICE_DESKTOP;
    assert_allowed(image, &request, 0);
    policy_image_free(image);
}

static void
any_matches_by_a_certificate_of_its_own(void **state)
{
    policy_image_t *image = image_of(
        "facility home  { network any; device required;"
        "    certificate " PIN_11 "; }"
        "facility other { network any; device required;"
        "    certificate " PIN_22 "; }"
        "facility site  { network 198.51.100.0/24 2001:db8::/32; }");
    policy_request_t request = request_from("8.8.8.8");
    policy_certificate_t shown = certificate_of(0x11);

    (void) state;
    assert_denied(image, &request, POLICY_UNKNOWN_NETWORK, NOBODY);
    request.certificate = &shown;
    assert_allowed(image, &request, 0);
    shown = certificate_of(0x22);
    assert_allowed(image, &request, 1);
    request.address = address_of("2a00::1");
    assert_allowed(image, &request, 1);
    shown = certificate_of(0x33);
    assert_denied(image, &request, POLICY_DEVICE_UNKNOWN, NOBODY);
    /* Not where a prefix is, nor where no network is. */
    shown = certificate_of(0x11);
    request.address = address_of(HERE);
    assert_allowed(image, &request, 2);
    request.address = address_of("local");
    assert_denied(image, &request, POLICY_UNKNOWN_NETWORK, NOBODY);
    request.address = address_of(NULL);
    assert_denied(image, &request, POLICY_UNKNOWN_NETWORK, NOBODY);
    policy_image_free(image);
}

static void
any_in_dry_run_admits_no_stranger(void **state)
{
    policy_image_t *image = image_of(
        "facility home { network any; device required;"
        "    certificate " PIN_11 "; mode dry-run; services ssh; }");
    policy_request_t request = request_from("8.8.8.8");
    policy_certificate_t shown = certificate_of(0x33);

    (void) state;
    assert_denied(image, &request, POLICY_UNKNOWN_NETWORK, NOBODY);
    request.certificate = &shown;
    assert_denied(image, &request, POLICY_DEVICE_UNKNOWN, NOBODY);
    shown = certificate_of(0x11);
    assert_dry_run(image, &request, POLICY_SERVICE_NOT_ALLOWED, 0);
    policy_image_free(image);
}

static bool
count_look_ups(void *context, const address_t *address, char code[2])
{
    (void) address;
    ++*(unsigned *) context;
    memcpy(code, "JP", 2);
    return true;
}

static void
country_is_not_looked_up_without_need(void **state)
{
    policy_image_t *image = image_of(
        "facility a { network 198.51.100.0/24; country JP; via 10.8.0.1; }"
        "facility b { network 203.0.113.0/24; }");
    policy_request_t request = request_from(HERE);
    unsigned count = 0;

    (void) state;
    request.country = count_look_ups;
    request.country_context = &count;
    assert_denied(image, &request, POLICY_WRONG_INGRESS, 0);
    request.address = address_of("203.0.113.7");
    assert_allowed(image, &request, 1);
    assert_int_equal(count, 0);
    request.address = address_of(HERE);
    request.local = address_of("10.8.0.1");
    assert_allowed(image, &request, 0);
    assert_int_equal(count, 1);
    policy_image_free(image);
}

UNIT_TESTS(cmocka_unit_test(optional_candidate_is_the_open_one),
           cmocka_unit_test(without_device_certificates_are_ignored),
           cmocka_unit_test(candidate_of_the_certificate_has_the_last_word),
           cmocka_unit_test(certificate_opens_no_network_but_its_own),
           cmocka_unit_test(nobodys_request_is_admitted_if_all_are_in_dry_run),
           cmocka_unit_test(local_candidates_are_told_apart_too),
           cmocka_unit_test(any_matches_by_a_certificate_of_its_own),
           cmocka_unit_test(any_in_dry_run_admits_no_stranger),
           cmocka_unit_test(country_is_not_looked_up_without_need))
