/* Policies written in tests, compiled and asked: who may enter? */

#ifndef SEKISHO_TESTS_UNIT_POLICY_DECIDED_H
#define SEKISHO_TESTS_UNIT_POLICY_DECIDED_H

#include <stdlib.h>

#include "../../lib/policy/decide.h"
#include "policy_text.h"

/* A fingerprint of 32 equal bytes, as text. */
#define PIN_11                                                                 \
    "sha256:"                                                                  \
    "1111111111111111111111111111111111111111111111111111111111111111"
#define PIN_22                                                                 \
    "sha256:"                                                                  \
    "2222222222222222222222222222222222222222222222222222222222222222"
#define PIN_33                                                                 \
    "sha256:"                                                                  \
    "3333333333333333333333333333333333333333333333333333333333333333"

#define HERE "198.51.100.9" /* the usual client of these tests */

/* Warnings are of no interest here, errors are mistakes of the test. */
static inline policy_source_t *
source_of(const char *text)
{
    report_t *report = report_new();
    policy_source_t *source = policy_source_read_text("f", slice_of(text),
                                                      TEST_NOW, report);
    char *messages = printed(report);

    if (source == NULL) {
        fail_msg("%s", messages);
    }
    free(messages);
    return source;
}

/* malloc'ed bytes of the image. */
static inline uint8_t *
compiled_bytes(const policy_source_t *source, size_t *size)
{
    report_t *report = report_new();
    uint8_t *bytes = NULL;
    int result = policy_compile(source, report, &bytes, size);
    char *messages = printed(report);

    if (result != 0 || messages[0] != '\0') {
        fail_msg("compiling: %d, %s", result, messages);
    }
    free(messages);
    assert_non_null(bytes);
    return bytes;
}

static inline policy_image_t *
compiled(const policy_source_t *source)
{
    policy_image_t *image = NULL;
    size_t size;
    uint8_t *bytes = compiled_bytes(source, &size);

    assert_int_equal(policy_image_open(bytes, size, &image), POLICY_IMAGE_OK);
    assert_non_null(image);
    free(bytes);
    return image;
}

static inline policy_image_t *
image_of(const char *text)
{
    policy_source_t *source = source_of(text);
    policy_image_t *image = compiled(source);

    policy_source_free(source);
    return image;
}

/* Gives a facility the authority of 32 equal bytes: a text would have to name a
 * file for it. */
static inline void
set_authority(policy_source_t *source, size_t facility, uint8_t byte,
              policy_fingerprint_t *authority)
{
    *authority = (policy_fingerprint_t){.place = {"f", 1, 1}};
    memset(authority->sha256, byte, sizeof(authority->sha256));
    source->facilities[facility].authorities = authority;
    source->facilities[facility].authorities_count = 1;
}

static inline address_t
address_of(const char *text)
{
    address_t address = {0};

    if (text != NULL && !address_parse(slice_of(text), &address)) {
        fail_msg("\"%s\" is no address", text);
    }
    return address;
}

/* A terminal's certificate of today, its leaf 32 equal bytes, not verified. */
static inline policy_certificate_t
certificate_of(uint8_t byte)
{
    policy_certificate_t certificate = {.not_before = TEST_NOW - 86400,
                                        .not_after = TEST_NOW + 86400};

    memset(certificate.sha256, byte, sizeof(certificate.sha256));
    return certificate;
}

/* The same, with a verified chain to one issuer. */
static inline policy_certificate_t
certificate_from(uint8_t byte, uint8_t issuer)
{
    policy_certificate_t certificate = certificate_of(byte);

    certificate.verified = true;
    certificate.chain_count = 1;
    memset(certificate.chain_sha256[0], issuer, 32);
    return certificate;
}

/* Somebody at `address`, by TLS, who wants to look. */
static inline policy_request_t
request_from(const char *address)
{
    return (policy_request_t){
        .address = address_of(address),
        .now = TEST_NOW,
        .service = POLICY_SERVICE_WEB,
        .action = ACTION_VIEW,
        .transport = POLICY_TRANSPORT_ENCRYPTED,
    };
}

static inline policy_decision_t
decided(const policy_image_t *image, const policy_request_t *request)
{
    policy_decision_t decision;

    memset(&decision, 0xa5, sizeof(decision)); /* all of it must be set */
    policy_decide(image, request, &decision, NULL);
    return decision;
}

static inline void
assert_no_obligations(const policy_obligations_t *owed)
{
    assert_false(owed->second_factor);
    assert_false(owed->factor_fresh);
    assert_false(owed->users_pending);
    assert_int_equal(owed->idle_seconds, 0);
    assert_int_equal(owed->max_seconds, 0);
    assert_int_equal(owed->actions, 0);
}

#define NOBODY POLICY_NO_FACILITY

#define assert_allowed(image, request, facility)                               \
    assert_decided(image, request, POLICY_ALLOW, POLICY_OK,                    \
                   POLICY_REASON_NONE, facility, __FILE__, __LINE__)
#define assert_denied(image, request, reason, facility)                        \
    assert_decided(image, request, POLICY_DENY, reason, POLICY_REASON_NONE,    \
                   facility, __FILE__, __LINE__)
#define assert_dry_run(image, request, reason, facility)                       \
    assert_decided(image, request, POLICY_ALLOW, POLICY_DRY_RUN, reason,       \
                   facility, __FILE__, __LINE__)

static inline void
assert_decided(const policy_image_t *image, const policy_request_t *request,
               policy_verdict_t verdict, policy_reason_t reason,
               policy_reason_t dry_run_reason, uint32_t facility,
               const char *file, int line)
{
    policy_decision_t got = decided(image, request);

    if (got.verdict != verdict || got.reason != reason ||
        got.dry_run_reason != dry_run_reason || got.facility != facility)
    {
        fail_msg("%s:%d: %s %s (%s) facility %d, not %s %s (%s) facility %d",
                 file, line, policy_verdict_name(got.verdict),
                 policy_reason_name(got.reason),
                 policy_reason_name(got.dry_run_reason), (int) got.facility,
                 policy_verdict_name(verdict), policy_reason_name(reason),
                 policy_reason_name(dry_run_reason), (int) facility);
    }
    if (verdict != POLICY_ALLOW) {
        assert_no_obligations(&got.obligations);
    }
}

#endif
