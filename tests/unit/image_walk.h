/*
 * Walks through everything that an image tells, and decides with it.  Whatever
 * is in an image that was accepted, this must hold.
 */

#ifndef SEKISHO_TESTS_UNIT_IMAGE_WALK_H
#define SEKISHO_TESTS_UNIT_IMAGE_WALK_H

#include <stdlib.h>
#include <string.h>

#include "../../lib/policy/decide.h"
#include "../../lib/policy/policy.h"

#define WALK_ITEMS_MAX 64 /* of each list; the others are like them */

/* Returns what is wrong as text, from the function it stands in. */
#define WALK_REQUIRE(condition)                                                \
    do {                                                                       \
        if (!(condition)) {                                                    \
            return #condition;                                                 \
        }                                                                      \
    } while (0)

/* Every byte of it can be read. */
static inline bool
walk_slice(slice_t slice, size_t size_max)
{
    char *copy = malloc(slice.size + 1);
    bool ok;

    if (copy == NULL || slice.size > size_max) {
        free(copy);
        return copy == NULL;
    }
    if (slice.size > 0) {
        memcpy(copy, slice.data, slice.size);
    }
    ok = memcmp(copy, slice.data, slice.size) == 0;
    free(copy);
    return ok;
}

static inline bool
walk_prefix(const prefix_t *prefix)
{
    unsigned size = prefix->address.family == ADDRESS_IPV4   ? 32
                    : prefix->address.family == ADDRESS_IPV6 ? 128
                                                             : 0;

    if (size == 0 || prefix->bits > size) {
        return false;
    }
    for (unsigned i = prefix->bits; i < 128; i++) {
        if ((prefix->address.bytes[i / 8] & 0x80 >> i % 8) != 0) {
            return false;
        }
    }
    return true;
}

/* What one facility has, item by item, and nothing beyond. */
static inline const char *
walk_item(const policy_image_t *image, uint32_t number,
          const policy_facility_t *facility, uint32_t i)
{
    uint8_t sha256[32] = {0};
    uint16_t start = 0, end = 0;
    int32_t first = 0, last = 0;
    address_t address = {0};
    char code[2] = {0};
    slice_t user = {0};
    prefix_t prefix = {0};

    WALK_REQUIRE(policy_facility_network(image, number, i, &prefix) ==
                 (i < facility->networks_count));
    WALK_REQUIRE(i >= facility->networks_count || walk_prefix(&prefix));

    WALK_REQUIRE(policy_facility_via(image, number, i, &address) ==
                 (i < facility->via_count));
    WALK_REQUIRE(i >= facility->via_count || address.family == ADDRESS_IPV4 ||
                 address.family == ADDRESS_IPV6);

    WALK_REQUIRE(policy_facility_country(image, number, i, code) ==
                 (i < facility->countries_count));
    WALK_REQUIRE(
        i >= facility->countries_count ||
        (code[0] >= 'A' && code[0] <= 'Z' && code[1] >= 'A' && code[1] <= 'Z'));

    WALK_REQUIRE(policy_facility_pin(image, number, i, sha256) ==
                 (i < facility->pins_count));
    WALK_REQUIRE(policy_facility_authority(image, number, i, sha256) ==
                 (i < facility->authorities_count));

    WALK_REQUIRE(policy_facility_hours(image, number, i, &start, &end) ==
                 (i < facility->hours_count));
    WALK_REQUIRE(i >= facility->hours_count ||
                 (start < 10080 && start < end && end - start <= 10080));

    WALK_REQUIRE(policy_facility_closed(image, number, i, &first, &last) ==
                 (i < facility->closed_count));
    WALK_REQUIRE(i >= facility->closed_count || first <= last);

    WALK_REQUIRE(policy_facility_user(image, number, i, &user) ==
                 (i < facility->users_count));
    WALK_REQUIRE(i >= facility->users_count ||
                 (user.size > 0 && walk_slice(user, POLICY_USER_SIZE_MAX)));
    return NULL;
}

static inline uint32_t
walk_longest(const policy_facility_t *facility)
{
    const uint32_t counts[] = {
        facility->networks_count,    facility->via_count,
        facility->countries_count,   facility->pins_count,
        facility->authorities_count, facility->hours_count,
        facility->closed_count,      facility->users_count};
    uint32_t longest = 0;

    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        longest = counts[i] > longest ? counts[i] : longest;
    }
    return longest;
}

static inline const char *
walk_facility(const policy_image_t *image, uint32_t number)
{
    static const int64_t moments[] = {
        INT64_MIN, -1, 0, 1577836799, 1795500000, 3155760000, INT64_MAX};
    policy_facility_t facility;
    const uint32_t *count;
    const char *wrong;
    uint32_t longest;

    WALK_REQUIRE(policy_facility(image, number, &facility));
    WALK_REQUIRE(facility.id.size > 0 &&
                 walk_slice(facility.id, POLICY_ID_SIZE_MAX));
    WALK_REQUIRE(walk_slice(facility.name, POLICY_TEXT_SIZE_MAX));
    WALK_REQUIRE(walk_slice(facility.contact, POLICY_TEXT_SIZE_MAX));
    WALK_REQUIRE(facility.zone.size > 0 &&
                 walk_slice(facility.zone, POLICY_TEXT_SIZE_MAX));
    WALK_REQUIRE(facility.device >= POLICY_DEVICE_NONE &&
                 facility.device <= POLICY_DEVICE_REQUIRED);
    WALK_REQUIRE((facility.actions & ~ACTION_ALL) == 0);
    WALK_REQUIRE(facility.services >> POLICY_SERVICE_COUNT == 0);
    WALK_REQUIRE(policy_facility_find(image, facility.id) == number);
    for (size_t i = 0; i < sizeof(moments) / sizeof(moments[0]); i++) {
        int32_t offset = policy_facility_offset(image, number, moments[i]);

        WALK_REQUIRE(offset > -86400 && offset < 86400);
    }

    longest = walk_longest(&facility);
    for (uint32_t i = 0; i <= longest && i < WALK_ITEMS_MAX; i++) {
        wrong = walk_item(image, number, &facility, i);
        if (wrong != NULL) {
            return wrong;
        }
    }
    /* the last of each list, the first behind it, and far from it */
    count = &facility.networks_count;
    for (size_t list = 0; list < 8; list++) {
        const uint32_t far[] = {count[list] - 1, count[list], count[list] + 1,
                                UINT32_MAX - 1, UINT32_MAX};

        for (size_t i = 0; i < sizeof(far) / sizeof(far[0]); i++) {
            wrong = walk_item(image, number, &facility, far[i]);
            if (wrong != NULL) {
                return wrong;
            }
        }
    }
    return NULL;
}

_Static_assert(offsetof(policy_facility_t, users_count) ==
                   offsetof(policy_facility_t, networks_count) + 28,
               "the eight counts stand in a row");

static inline bool
walk_country(void *context, const address_t *address, char code[2])
{
    (void) context;
    memcpy(code, "JP", 2);
    return address->bytes[1] % 2 == 0;
}

static inline const char *
walk_decision(const policy_image_t *image, const policy_request_t *request)
{
    policy_decision_t plain, traced;
    policy_trace_t trace;
    unsigned failed = 0;

    memset(&plain, 0xa5, sizeof(plain));
    memset(&traced, 0x5a, sizeof(traced));
    memset(&trace, 0xa5, sizeof(trace));
    policy_decide(image, request, &plain, NULL);
    policy_decide(image, request, &traced, &trace);

    WALK_REQUIRE(plain.verdict == POLICY_ALLOW || plain.verdict == POLICY_DENY);
    WALK_REQUIRE((plain.verdict == POLICY_ALLOW) ==
                 (plain.reason == POLICY_OK || plain.reason == POLICY_DRY_RUN));
    WALK_REQUIRE(plain.reason > POLICY_REASON_NONE &&
                 plain.reason < POLICY_REASON_COUNT);
    WALK_REQUIRE((plain.reason == POLICY_DRY_RUN) ==
                 (plain.dry_run_reason != POLICY_REASON_NONE));
    WALK_REQUIRE(plain.facility == POLICY_NO_FACILITY ||
                 plain.facility < policy_facilities(image));
    WALK_REQUIRE(plain.reason != POLICY_OK ||
                 plain.facility != POLICY_NO_FACILITY);
    if (plain.verdict == POLICY_DENY) {
        const policy_obligations_t *owed = &plain.obligations;

        WALK_REQUIRE(!owed->second_factor && !owed->factor_fresh &&
                     !owed->users_pending && owed->idle_seconds == 0 &&
                     owed->max_seconds == 0 && owed->actions == 0);
    }
    WALK_REQUIRE(traced.verdict == plain.verdict);
    WALK_REQUIRE(traced.reason == plain.reason);
    WALK_REQUIRE(traced.dry_run_reason == plain.dry_run_reason);
    WALK_REQUIRE(traced.facility == plain.facility);
    WALK_REQUIRE(traced.obligations.actions == plain.obligations.actions);
    for (size_t i = 0; i < POLICY_CONDITION_COUNT; i++) {
        failed += trace.outcome[i] == POLICY_FAILED;
    }
    WALK_REQUIRE(failed == (plain.reason == POLICY_OK ? 0 : 1));
    return NULL;
}

/* Somebody from there: by each service, at several times, with and without the
 * certificates that the image knows. */
static inline const char *
walk_address(const policy_image_t *image, const address_t *address)
{
    static const int64_t moments[] = {1795500000, 1799604000, 1806195600,
                                      INT64_MIN, INT64_MAX};
    policy_certificate_t certificate = {
        .not_before = INT64_MIN,
        .not_after = INT64_MAX,
        .verified = true,
        .chain_count = UINT8_MAX, /* more than there can be */
    };
    policy_facility_t facility = {0};
    const char *wrong = NULL;

    for (unsigned i = 0; i < 30 && wrong == NULL; i++) {
        uint32_t number = i / 3;
        policy_request_t request = {
            .address = *address,
            .local = *address,
            .now = moments[i % 5],
            .service = (policy_service_t) (i % 9 == 8 ? i % 4
                                                      : POLICY_SERVICE_WEB),
            .action = (action_t) (i % (ACTION_COUNT + 1)),
            .transport = (policy_transport_t) (i % 7 == 6 ? 0 : 1 + i % 2),
            .factor = (policy_factor_t) (i % 3),
            .user_state = (policy_user_state_t) (i % 3),
            .certificate = i % 3 == 0 ? NULL : &certificate,
            .country = walk_country,
        };

        (void) policy_facility_user(image, number, i, &request.user);
        (void) policy_facility_via(image, number, 0, &request.local);
        if (i % 3 == 1) {
            (void) policy_facility_pin(image, number, i % 2,
                                       certificate.sha256);
        } else {
            memset(certificate.sha256, 0xee, sizeof(certificate.sha256));
        }
        (void) policy_facility_authority(image, number, i % 2,
                                         certificate.chain_sha256[i % 8]);
        if (policy_facility(image, number, &facility) &&
            facility.services != 0 && i % 5 == 4)
        {
            request.service = (policy_service_t) __builtin_ctz(
                facility.services);
        }
        wrong = walk_decision(image, &request);
    }
    return wrong;
}

/* NULL, or what is wrong. */
static inline const char *
image_walk(const policy_image_t *image)
{
    uint32_t count = policy_facilities(image);
    policy_facility_t facility;
    prefix_t prefix;
    address_t address = {0};
    const char *wrong;

    WALK_REQUIRE(strlen(policy_image_version(image)) ==
                 POLICY_VERSION_TEXT_MAX - 1);
    WALK_REQUIRE(!policy_facility(image, count, &facility));
    WALK_REQUIRE(!policy_facility(image, UINT32_MAX, &facility));
    facility = (policy_facility_t){0};
    WALK_REQUIRE(walk_item(image, count, &facility, 0) == NULL);
    WALK_REQUIRE(walk_item(image, UINT32_MAX, &facility, 0) == NULL);
    WALK_REQUIRE(policy_facility_offset(image, count, 0) == 0);
    WALK_REQUIRE(policy_facility_find(image, SLICE("")) == POLICY_NO_FACILITY);
    WALK_REQUIRE(policy_facility_find(image, SLICE("\xff")) ==
                     POLICY_NO_FACILITY ||
                 count > 0);

    for (unsigned i = 0; i < 4 * 9; i++) {
        address.family = (uint8_t) (i / 9);
        memset(address.bytes, (int) (i % 9 * 0x1f + i % 9), 16);
        wrong = walk_address(image, &address);
        if (wrong != NULL) {
            return wrong;
        }
    }
    for (uint32_t i = 0; i < count && i < WALK_ITEMS_MAX; i++) {
        wrong = walk_facility(image, i);
        if (wrong != NULL) {
            return wrong;
        }
        for (uint32_t j = 0; j < 6; j++) {
            if (!policy_facility_network(image, i, j, &prefix)) {
                break;
            }
            address = prefix.address;
            wrong = walk_address(image, &address);
            for (unsigned k = prefix.bits; wrong == NULL && k < 128; k++) {
                address.bytes[k / 8] |= (uint8_t) (0x80 >> k % 8);
            }
            wrong = wrong != NULL ? wrong : walk_address(image, &address);
            if (wrong != NULL) {
                return wrong;
            }
        }
    }
    return NULL;
}

#endif
