/*
 * From an address to its facility, against a search through all prefixes one
 * by one; and who is chosen where several share a prefix.
 */

#include "../../lib/base/endian.h"
#include "policy_build.h"
#include "random_numbers.h"

#define TUESDAY "2026-03-03T02:00:00Z"

static unsigned
size_of(const address_t *address)
{
    return address->family == ADDRESS_IPV4 ? 32 : 128;
}

static void
set_bit(address_t *address, unsigned bit, bool value)
{
    uint8_t mask = (uint8_t) (0x80 >> bit % 8);

    address->bytes[bit / 8] = (uint8_t) ((address->bytes[bit / 8] & ~mask) |
                                         (value ? mask : 0));
}

/* The facility of the longest prefix, as slowly as can be. */
static uint32_t
search(const build_t *build, const address_t *address)
{
    uint32_t found = POLICY_NO_FACILITY;
    int longest = -1;

    for (uint32_t i = 0; i < build->source.facilities_count; i++) {
        for (size_t j = 0; j < build->source.facilities[i].networks_count; j++)
        {
            const prefix_t
                *prefix = &build->source.facilities[i].networks[j].prefix;
            if (prefix->bits > longest && prefix_contains(prefix, address)) {
                longest = prefix->bits;
                found = i;
            }
        }
    }
    return found;
}

static void
check_address(const build_t *build, const policy_image_t *image,
              const address_t *address)
{
    policy_request_t request = {.address = *address,
                                .service = POLICY_SERVICE_SSH};
    policy_decision_t decision;
    char text[ADDRESS_TEXT_MAX];
    uint32_t wanted = search(build, address);

    policy_decide(image, &request, &decision, NULL);
    if (decision.facility != wanted ||
        decision.reason !=
            (wanted == POLICY_NO_FACILITY ? POLICY_UNKNOWN_NETWORK : POLICY_OK))
    {
        address_format(address, text);
        fail_msg("%s: facility %u instead of %u", text, decision.facility,
                 wanted);
    }
}

/* The first and the last address of each prefix, those around it, and some
 * within: where a search can go wrong. */
static void
check_all(const build_t *build, const policy_image_t *image, random_t *state)
{
    for (size_t i = 0; i < build->source.facilities_count; i++) {
        const policy_source_facility_t *facility = &build->source.facilities[i];
        for (size_t j = 0; j < facility->networks_count; j++) {
            const prefix_t *prefix = &facility->networks[j].prefix;
            address_t address = prefix->address;
            unsigned size = size_of(&address), bit;
            check_address(build, image, &address);
            for (bit = prefix->bits; bit < size; bit++) {
                set_bit(&address, bit, true);
            }
            check_address(build, image, &address);
            for (bit = prefix->bits; bit < size; bit++) {
                set_bit(&address, bit, random_next(state) % 2);
            }
            check_address(build, image, &address);
            /* One less than the first, one more than the last. */
            for (int more = 0; more < 2; more++) {
                address = prefix->address;
                bit = prefix->bits;
                while (bit > 0 &&
                       (address.bytes[(bit - 1) / 8] >> (7 - (bit - 1) % 8) &
                        1) == more)
                {
                    set_bit(&address, --bit, !more);
                }
                if (bit > 0) {
                    set_bit(&address, bit - 1, more);
                }
                for (bit = prefix->bits; bit < size; bit++) {
                    set_bit(&address, bit, !more);
                }
                check_address(build, image, &address);
            }
        }
    }
}

typedef struct {
    const char *within; /* prefixes are in this one */
    unsigned least, most, count;
} cluster_t;

/* Each facility owns some of the prefixes; a prefix that two drew is the
 * first one's. */
static void
check_clusters(const cluster_t *clusters, size_t count, uint64_t seed)
{
    policy_source_facility_t *facility;
    random_t state = {seed};
    policy_image_t *image;
    prefix_t within, prefix;
    bool taken;
    build_t build;

    build_start(&build);
    for (unsigned i = 0; i < 7; i++) {
        char id[] = {(char) ('a' + i), '\0'};
        build_facility(&build, id);
    }
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(prefix_parse(slice_of(clusters[i].within), &within),
                         PREFIX_OK);
        for (unsigned j = 0; j < clusters[i].count; j++) {
            prefix = within;
            prefix.bits = (uint8_t) (clusters[i].least +
                                     random_next(&state) %
                                         (clusters[i].most - clusters[i].least +
                                          1));
            for (unsigned bit = within.bits; bit < prefix.bits; bit++) {
                set_bit(&prefix.address, bit, random_next(&state) % 2);
            }
            taken = false;
            for (size_t k = 0; k < build.source.facilities_count; k++) {
                facility = &build.source.facilities[k];
                for (size_t l = 0; l < facility->networks_count; l++) {
                    taken |= memcmp(&facility->networks[l].prefix, &prefix,
                                    sizeof(prefix)) == 0;
                }
            }
            if (!taken) {
                build_prefix(&build,
                             &build.source.facilities[random_next(&state) % 7],
                             &prefix);
            }
        }
    }
    image = build_image(&build);
    check_all(&build, image, &state);
    for (unsigned i = 0; i < 1000; i++) {
        address_t address = {.family = i % 2 == 0 ? ADDRESS_IPV4
                                                  : ADDRESS_IPV6};
        for (unsigned bit = 0; bit < size_of(&address); bit++) {
            set_bit(&address, bit, random_next(&state) % 2);
        }
        check_address(&build, image, &address);
    }
    policy_image_free(image);
    build_end(&build);
}

static void
prefixes_all_over_are_found(void **state)
{
    static const cluster_t clusters[] = {{"0.0.0.0/0", 1, 32, 700},
                                         {"::/0", 1, 128, 500}};

    (void) state;
    check_clusters(clusters, 2, 1);
    check_clusters(clusters, 2, 2);
}

/* Lines with more than fit, in each other's way. */
static void
crowded_space_is_searched_right(void **state)
{
    static const cluster_t hosts[] = {{"203.0.113.0/26", 26, 32, 90},
                                      {"203.0.0.0/16", 16, 32, 150},
                                      {"198.51.100.0/30", 30, 32, 7},
                                      {"10.0.0.0/8", 8, 12, 20},
                                      {"0.0.0.0/0", 0, 3, 6}};
    static const cluster_t sites[] = {{"2001:db8::/48", 48, 64, 200},
                                      {"2001:db8:1::/60", 60, 68, 60},
                                      {"2001:db8:2:3::/64", 64, 128, 100},
                                      {"2001:db8::/32", 32, 50, 60}};
    static const cluster_t far[] = {{"2001:db8::/32", 32, 128, 100},
                                    {"fd00::/8", 8, 128, 100},
                                    {"::/127", 127, 128, 3},
                                    {"ffff:ffff:ffff:ffff::/64", 64, 128, 40},
                                    {"255.255.255.0/24", 24, 32, 40},
                                    {"0.0.0.0/24", 24, 32, 40}};

    (void) state;
    for (uint64_t seed = 1; seed < 4; seed++) {
        check_clusters(hosts, 5, seed);
        check_clusters(sites, 4, seed);
        check_clusters(far, 6, seed);
    }
}

/* A prefix of each length, one within the other. */
static void
chain_of_all_lengths_is_searched_right(void **state)
{
    random_t seed = {3};
    policy_image_t *image;
    prefix_t prefix;
    build_t build;

    (void) state;
    build_start(&build);
    for (unsigned bits = 0; bits <= 128; bits++) {
        char id[8];
        snprintf(id, sizeof(id), "f%u", bits);
        policy_source_facility_t *facility = build_facility(&build, id);
        prefix = (prefix_t){.address.family = ADDRESS_IPV6,
                            .bits = (uint8_t) bits};
        for (unsigned bit = 0; bit < bits; bit++) {
            set_bit(&prefix.address, bit, bit % 3 != 0);
        }
        build_prefix(&build, facility, &prefix);
        if (bits <= 32) {
            prefix.address.family = ADDRESS_IPV4;
            memset(prefix.address.bytes + 4, 0, 12);
            build_prefix(&build, facility, &prefix);
        }
    }
    image = build_image(&build);
    check_all(&build, image, &seed);
    policy_image_free(image);
    build_end(&build);
}

static void
longer_prefix_takes_its_space_away(void **state)
{
    policy_request_t request = build_request("203.0.113.5", TUESDAY);
    policy_source_facility_t *facility;
    policy_image_t *image;
    build_t build;

    (void) state;
    build_start(&build);
    build_network(&build, build_facility(&build, "wide"), "203.0.0.0/16");
    facility = build_facility(&build, "narrow");
    build_network(&build, facility, "203.0.113.0/24");
    facility->services = POLICY_SERVICE_BIT(POLICY_SERVICE_SSH);
    image = build_image(&build);
    /* The wide one would let it in, and is not asked. */
    assert_reason(image, &request, "service-not-allowed");
    request.address.bytes[2] = 114;
    assert_reason(image, &request, "ok");
    policy_image_free(image);
    build_end(&build);
}

static void
same_prefix_twice_in_a_facility_is_kept_once(void **state)
{
    policy_request_t request = build_request("203.0.113.5", TUESDAY);
    policy_source_facility_t *facility;
    policy_facility_t read;
    policy_image_t *image;
    build_t build;

    (void) state;
    build_start(&build);
    facility = build_facility(&build, "a");
    build_network(&build, facility, "203.0.113.0/24");
    build_network(&build, facility, "203.0.113.0/24");
    image = build_image(&build);
    assert_reason(image, &request, "ok");
    assert_true(policy_facility(image, 0, &read));
    assert_int_equal(read.networks_count, 1);
    policy_image_free(image);
    build_end(&build);
}

static policy_certificate_t
certificate(uint8_t leaf, bool verified, uint8_t issuer, uint8_t root)
{
    policy_certificate_t made = {
        .not_before = 0,
        .not_after = INT64_C(4000000000),
        .verified = verified,
        .chain_count = 2,
    };

    memset(made.sha256, leaf, 32);
    memset(made.chain_sha256[0], issuer, 32);
    memset(made.chain_sha256[1], root, 32);
    return made;
}

/* Two that need a certificate, and one that does not, on one prefix. */
static void
certificate_chooses_among_candidates(void **state)
{
    policy_request_t request = build_request("203.0.113.5", TUESDAY);
    policy_source_facility_t *facility;
    policy_certificate_t shown;
    policy_decision_t decision;
    policy_image_t *image;
    build_t build;

    (void) state;
    build_start(&build);
    facility = build_facility(&build, "pinned");
    build_network(&build, facility, "203.0.113.0/24");
    facility->device = POLICY_DEVICE_REQUIRED;
    build_pin(&build, facility, 0x11);
    build_authority(&build, facility, 0xc1);
    facility = build_facility(&build, "issued");
    build_network(&build, facility, "203.0.113.0/24");
    facility->device = POLICY_DEVICE_REQUIRED;
    build_authority(&build, facility, 0xc2);
    facility = build_facility(&build, "elsewhere");
    build_network(&build, facility, "198.51.100.0/24");
    facility->device = POLICY_DEVICE_REQUIRED;
    build_pin(&build, facility, 0x33);
    image = build_image(&build);

    assert_reason(image, &request, "device-missing");
    policy_decide(image, &request, &decision, NULL);
    assert_int_equal(decision.facility, POLICY_NO_FACILITY);

    request.certificate = &shown;
    shown = certificate(0x11, false, 0, 0);
    policy_decide(image, &request, &decision, NULL);
    assert_int_equal(decision.reason, POLICY_OK);
    assert_int_equal(decision.facility, 0);
    /* The pin is stronger than the chain. */
    shown = certificate(0x11, true, 0xc2, 0);
    policy_decide(image, &request, &decision, NULL);
    assert_int_equal(decision.facility, 0);
    shown = certificate(0x99, true, 0xc2, 0);
    policy_decide(image, &request, &decision, NULL);
    assert_int_equal(decision.reason, POLICY_OK);
    assert_int_equal(decision.facility, 1);
    /* The nearest to the leaf. */
    shown = certificate(0x99, true, 0xc2, 0xc1);
    policy_decide(image, &request, &decision, NULL);
    assert_int_equal(decision.facility, 1);
    shown = certificate(0x99, true, 0x77, 0xc1);
    policy_decide(image, &request, &decision, NULL);
    assert_int_equal(decision.facility, 0);
    /* A chain that nobody verified says nothing. */
    shown = certificate(0x99, false, 0xc2, 0);
    policy_decide(image, &request, &decision, NULL);
    assert_int_equal(decision.reason, POLICY_DEVICE_UNKNOWN);
    assert_int_equal(decision.facility, POLICY_NO_FACILITY);
    /* What is beyond the count is not looked at. */
    shown = certificate(0x99, true, 0x77, 0xc1);
    shown.chain_count = 1;
    assert_reason(image, &request, "device-unknown");
    shown.chain_count = 255;
    assert_reason(image, &request, "ok");
    /* Somebody else's terminal. */
    shown = certificate(0x33, false, 0, 0);
    assert_reason(image, &request, "device-unknown");
    policy_image_free(image);

    facility = build_facility(&build, "open");
    build_network(&build, facility, "203.0.113.0/24");
    image = build_image(&build);
    assert_reason(image, &request, "ok");
    policy_decide(image, &request, &decision, NULL);
    assert_int_equal(decision.facility, 3);
    request.certificate = NULL;
    policy_decide(image, &request, &decision, NULL);
    assert_int_equal(decision.reason, POLICY_OK);
    assert_int_equal(decision.facility, 3);
    /* No certificate is looked at where none can be shown. */
    shown = certificate(0x11, false, 0, 0);
    request.certificate = &shown;
    request.service = POLICY_SERVICE_SSH;
    policy_decide(image, &request, &decision, NULL);
    assert_int_equal(decision.facility, 3);
    policy_image_free(image);
    build_end(&build);
}

static void
certificates_dates_count_for_pin_and_authority(void **state)
{
    policy_request_t request = build_request("203.0.113.5", TUESDAY);
    policy_certificate_t shown = certificate(0x11, false, 0, 0);
    policy_source_facility_t *facility;
    policy_image_t *image;
    build_t build;

    (void) state;
    build_start(&build);
    facility = build_facility(&build, "a");
    build_network(&build, facility, "203.0.113.0/24");
    facility->device = POLICY_DEVICE_OPTIONAL;
    build_pin(&build, facility, 0x11);
    build_authority(&build, facility, 0xc1);
    image = build_image(&build);
    assert_true(policy_uses_certificates(image));
    assert_reason(image, &request, "ok"); /* optional: none was shown */
    request.certificate = &shown;
    for (int kind = 0; kind < 2; kind++) {
        shown.not_before = shown.not_after = request.now;
        assert_reason(image, &request, "ok");
        shown.not_before = request.now + 1;
        assert_reason(image, &request, "device-unknown");
        shown.not_before = 0;
        shown.not_after = request.now - 1;
        assert_reason(image, &request, "device-unknown");
        shown = certificate(0x22, true, 0xc1, 0);
    }
    shown = certificate(0x22, true, 0xc9, 0);
    assert_reason(image, &request, "device-unknown");
    request.service = POLICY_SERVICE_SSH;
    assert_reason(image, &request, "ok");
    policy_image_free(image);

    facility->device = POLICY_DEVICE_REQUIRED;
    image = build_image(&build);
    assert_reason(image, &request, "device-missing");
    policy_image_free(image);
    build_end(&build);
}

/* Thousands on one prefix, each with a terminal of its own. */
static void
one_of_thousands_is_found(void **state)
{
    policy_request_t request = build_request("203.0.113.5", TUESDAY);
    policy_certificate_t shown = certificate(0, false, 0, 0);
    policy_source_facility_t *facility;
    policy_decision_t decision;
    policy_image_t *image;
    build_t build;

    (void) state;
    build_start(&build);
    for (uint32_t i = 0; i < 4000; i++) {
        char id[16];
        snprintf(id, sizeof(id), "home-%u", i);
        facility = build_facility(&build, id);
        facility->device = POLICY_DEVICE_REQUIRED;
        build_network(&build, facility, "203.0.112.0/23");
        build_pin(&build, facility, 0x5a);
        store_be32(facility->pins[0].sha256 + 8, i * 7919);
    }
    image = build_image(&build);
    request.certificate = &shown;
    for (uint32_t i = 0; i < 4000; i += 7) {
        memset(shown.sha256, 0x5a, 32);
        store_be32(shown.sha256 + 8, i * 7919);
        policy_decide(image, &request, &decision, NULL);
        assert_int_equal(decision.reason, POLICY_OK);
        assert_int_equal(decision.facility, i);
    }
    store_be32(shown.sha256 + 8, 1);
    assert_reason(image, &request, "device-unknown");
    policy_image_free(image);
    build_end(&build);
}

static void
local_has_candidates_of_its_own(void **state)
{
    policy_request_t request = build_request("local", TUESDAY);
    policy_source_facility_t *facility;
    policy_decision_t decision;
    policy_trace_t trace;
    policy_image_t *image;
    build_t build;

    (void) state;
    build_start(&build);
    build_network(&build, build_facility(&build, "net"), "0.0.0.0/0");
    build_network(&build, &build.source.facilities[0], "::/0");
    facility = build_facility(&build, "room");
    facility->local = true;
    image = build_image(&build);
    policy_decide(image, &request, &decision, &trace);
    assert_int_equal(decision.reason, POLICY_OK);
    assert_int_equal(decision.facility, 1);
    assert_true(trace.network_local);
    assert_false(trace.network_any);
    policy_image_free(image);
    build_end(&build);
}

UNIT_TESTS(cmocka_unit_test(prefixes_all_over_are_found),
           cmocka_unit_test(crowded_space_is_searched_right),
           cmocka_unit_test(chain_of_all_lengths_is_searched_right),
           cmocka_unit_test(longer_prefix_takes_its_space_away),
           cmocka_unit_test(same_prefix_twice_in_a_facility_is_kept_once),
           cmocka_unit_test(certificate_chooses_among_candidates),
           cmocka_unit_test(certificates_dates_count_for_pin_and_authority),
           cmocka_unit_test(one_of_thousands_is_found),
           cmocka_unit_test(local_has_candidates_of_its_own))
