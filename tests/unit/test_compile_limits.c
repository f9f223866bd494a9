/* What compiles to the same, in which order, and how much there may be. */

#define _GNU_SOURCE
#include "policy_decided.h"

#include <errno.h>
#include <time.h>

static void
assert_same_image(const char *a, const char *b, bool same)
{
    policy_source_t *source = source_of(a), *other = source_of(b);
    size_t size, other_size;
    uint8_t *bytes = compiled_bytes(source, &size);
    uint8_t *other_bytes = compiled_bytes(other, &other_size);

    assert_int_equal(
        size == other_size && memcmp(bytes, other_bytes, size) == 0, same);
    free(bytes);
    free(other_bytes);
    policy_source_free(source);
    policy_source_free(other);
}

/* Refused with these messages, each with its place; nothing was made. */
static void
assert_refused(const policy_source_t *source, const char *told)
{
    report_t *report = report_new();
    uint8_t *bytes = (uint8_t *) &report;
    size_t size = 1;
    char *messages;

    assert_int_equal(policy_compile(source, report, &bytes, &size), -EINVAL);
    assert_null(bytes);
    assert_int_equal(size, 0);
    messages = printed(report);
    assert_string_equal(messages, told);
    free(messages);
}

static void
assert_text_refused(const char *text, const char *told)
{
    policy_source_t *source = source_of(text);

    assert_refused(source, told);
    policy_source_free(source);
}

/* ---- The same policy, the same bytes ------------------------------------ */

static const char ordinary[] =
    "timezone Europe/Berlin;\n"
    "facility a { network 198.51.100.0/24 2001:db8::/32;\n"
    "    hours mon-fri 08:00-19:00; users abe ito; device required;\n"
    "    certificate " PIN_11 "; }\n"
    "facility b { network 203.0.113.0/24; }\n";

static void
how_it_is_written_makes_no_difference(void **state)
{
    (void) state;
    assert_same_image(ordinary, ordinary, true);
    assert_same_image(
        ordinary,
        "# with groups, comments, zones and lines in another way\n"
        "facility a {\n"
        "  device required; certificate \"" PIN_11 "\";\n"
        "  users @g ito; network 2001:0db8::/32; network 198.51.100.0/24;\n"
        "  timezone Europe/Berlin; hours mon-wed,thu,fri 08:00-19:00;\n"
        "  actions view query; services desktop ssh web;\n"
        "  second-factor always; off-hours deny; mode enforce; }\n"
        "group g { abe; }\n"
        "facility b { network 203.0.113.0/24; timezone Europe/Berlin; }\n",
        true);
}

static void
what_it_says_makes_a_difference(void **state)
{
    static const char *const others[] = {
        "facility a { network 198.51.100.0/25; }",
        "facility a { network 198.51.101.0/24; }",
        "facility aa { network 198.51.100.0/24; }",
        "facility a { network 198.51.100.0/24; name x; }",
        "facility a { network 198.51.100.0/24; contact x; }",
        "facility a { network 198.51.100.0/24; users x; }",
        "facility a { network 198.51.100.0/24; mode dry-run; }",
        "facility a { network 198.51.100.0/24; services web; }",
        "facility a { network 198.51.100.0/24; session idle 15m; }",
        "facility a { network 198.51.100.0/24; session max 15m; }",
        "facility a { network 198.51.100.0/24; timezone Asia/Tokyo; }",
        "facility a { network local; services web ssh desktop; }",
    };

    (void) state;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_same_image("facility a { network 198.51.100.0/24; }", others[i],
                          false);
    }
}

static void
neither_time_nor_zone_of_the_machine_makes_a_difference(void **state)
{
    policy_source_t *source = source_of(ordinary);
    report_t *report = report_new();
    policy_source_t *later = policy_source_read_text(
        "another.conf", slice_of(ordinary), TEST_NOW + 86400 * 365, report);
    size_t size, later_size;
    uint8_t *bytes, *later_bytes;

    (void) state;
    assert_non_null(later);
    assert_int_equal(setenv("TZ", "Pacific/Kiritimati", 1), 0);
    tzset();
    bytes = compiled_bytes(source, &size);
    assert_string_equal(getenv("TZ"), "Pacific/Kiritimati");
    assert_int_equal(setenv("TZ", "America/New_York", 1), 0);
    tzset();
    later_bytes = compiled_bytes(later, &later_size);
    assert_int_equal(unsetenv("TZ"), 0);
    tzset();
    assert_int_equal(size, later_size);
    assert_memory_equal(bytes, later_bytes, size);
    free(bytes);
    free(later_bytes);
    policy_source_free(source);
    policy_source_free(later);
    report_free(report);
}

static void
facilities_stay_in_the_order_of_the_file(void **state)
{
    static const char *const ids[] = {"m", "z", "a", "b2", "b10", "b"};
    policy_image_t *image = image_of("facility m { network 203.0.113.0/24; }"
                                     "facility z { network 10.0.0.0/8; }"
                                     "facility a { network local; }"
                                     "facility b2 { network 192.0.2.0/24; }"
                                     "facility b10 { network 192.0.3.0/24; }"
                                     "facility b { network ::1; }");
    policy_facility_t facility;

    (void) state;
    assert_int_equal(policy_facilities(image), 6);
    for (uint32_t i = 0; i < 6; i++) {
        assert_true(policy_facility(image, i, &facility));
        assert_true(slice_is(facility.id, ids[i]));
        assert_int_equal(policy_facility_find(image, slice_of(ids[i])), i);
    }
    policy_image_free(image);
}

/* ---- Overlaps; the messages name both places ---------------------------- */

static void
overlaps_name_both_places(void **state)
{
    (void) state;
    assert_text_refused(
        "facility a {\n    network 10.0.0.0/8\n        198.51.100.0/24;\n}\n"
        "facility b { network 198.51.100.0/24; }\n",
        "f:5:22: error: facilities \"b\" and \"a\" (f:3:9) share network "
        "198.51.100.0/24, and neither asks for a certificate: write \"device "
        "required\" into one of them, or give each its own network\n");
    assert_text_refused(
        "facility a { network 2001:db8::/32; device required;\n"
        "    certificate " PIN_11 "\n        " PIN_22 "; }\n"
        "facility b { network 2001:db8::/32; device required;\n"
        "    certificate " PIN_22 "; }\n",
        "f:5:17: error: facilities \"b\" and \"a\" (f:3:9) share network "
        "2001:db8::/32, and this certificate too: nothing tells them apart, "
        "give it to one of them\n");
    assert_text_refused(
        "facility a { network any; device required;\n"
        "    certificate " PIN_11 "; }\n"
        "facility b { network any; device required;\n"
        "    certificate " PIN_11 "; }\n",
        "f:4:17: error: facilities \"b\" and \"a\" (f:2:17) share \"network "
        "any\", and this certificate too: nothing tells them apart, give it to "
        "one of them\n");
    assert_text_refused(
        "facility a { network local; }\nfacility b { network local; }\n",
        "f:2:1: error: facilities \"b\" and \"a\" (f:1:1) share \"network "
        "local\", and neither asks for a certificate: write \"device "
        "required\" into one of them, or give each its own network\n");
}

static void
a_shared_authority_is_refused_only_on_a_shared_prefix(void **state)
{
    policy_source_t *source = source_of(
        "facility a { network 10.0.0.0/8; device required;\n"
        "    certificate " PIN_11 "; }\n"
        "facility b { network 10.0.0.0/9; device required;\n"
        "    certificate " PIN_22 "; }\n");
    policy_fingerprint_t authorities[2];

    (void) state;
    set_authority(source, 0, 0xaa, &authorities[0]);
    set_authority(source, 1, 0xaa, &authorities[1]);
    authorities[1].place.line = 7;
    policy_image_free(compiled(source)); /* one within the other */
    source->facilities[1].networks[0].prefix.bits = 8;
    assert_refused(source,
                   "f:7:1: error: facilities \"b\" and \"a\" (f:1:1) share "
                   "network 10.0.0.0/8, and this device-ca too: nothing tells "
                   "them apart, give it to one of them\n");
    /* a pin and an authority are not the same, though their bytes are */
    memset(authorities[1].sha256, 0x11, 32);
    policy_image_free(compiled(source));
    policy_source_free(source);
}

/* The language drops what is given twice; a program may not. */
static void
a_facility_does_not_overlap_itself(void **state)
{
    policy_source_t *source = source_of(
        "facility a { network 10.0.0.0/8; }"
        "facility b { network 10.0.0.0/8; device required;"
        "    certificate " PIN_11 "; }");
    policy_source_facility_t *b = &source->facilities[1];
    policy_source_network_t networks[2] = {b->networks[0], b->networks[0]};
    policy_fingerprint_t pins[2] = {b->pins[0], b->pins[0]};
    policy_certificate_t shown = certificate_of(0x11);
    policy_request_t request = request_from("10.0.0.1");
    policy_image_t *image;

    (void) state;
    b->networks = networks;
    b->networks_count = 2;
    b->pins = pins;
    b->pins_count = 2;
    image = compiled(source);
    assert_allowed(image, &request, 0);
    request.certificate = &shown;
    assert_allowed(image, &request, 1);
    policy_image_free(image);
    policy_source_free(source);
}

static void
no_set_of_overlaps_is_too_large(void **state)
{
    size_t count = 3000;
    policy_source_facility_t *facilities = calloc(count, sizeof(*facilities));
    char(*ids)[8] = calloc(count, sizeof(*ids));
    policy_source_network_t network = {.place = {"f", 1, 1}};
    policy_source_t source = {facilities, count};
    report_t *report = report_new();
    uint8_t *bytes;
    size_t size;

    (void) state;
    assert_non_null(facilities);
    assert_non_null(ids);
    assert_int_equal(prefix_parse(SLICE("10.0.0.0/8"), &network.prefix),
                     PREFIX_OK);
    for (size_t i = 0; i < count; i++) {
        int length = snprintf(ids[i], sizeof(ids[i]), "f%zu", i);

        facilities[i] = (policy_source_facility_t){
            .id = {ids[i], (size_t) length},
            .zone = SLICE("UTC"),
            .device = POLICY_DEVICE_NONE,
            .networks = &network,
            .networks_count = 1};
    }
    assert_int_equal(policy_compile(&source, report, &bytes, &size), -EINVAL);
    assert_null(bytes);
    assert_true(report_errors(report) >= REPORT_MESSAGES_MAX);
    report_free(report);
    free(facilities);
    free(ids);
}

/* ---- Bounds ------------------------------------------------------------- */

typedef struct {
    policy_source_t source;
    policy_source_facility_t *facilities;
    policy_source_network_t *networks;
    char (*ids)[8];
} many_t;

/* Facility i has the host i of 10.0.0.0/8. */
static many_t
many(size_t count)
{
    many_t many = {
        .facilities = calloc(count, sizeof(*many.facilities)),
        .networks = calloc(count, sizeof(*many.networks)),
        .ids = calloc(count, sizeof(*many.ids)),
    };

    assert_non_null(many.facilities);
    assert_non_null(many.networks);
    assert_non_null(many.ids);
    for (size_t i = 0; i < count; i++) {
        int length = snprintf(many.ids[i], sizeof(many.ids[i]), "f%zu", i);

        many.networks[i] = (policy_source_network_t){
            {{ADDRESS_IPV4,
              {10, (uint8_t) (i >> 16), (uint8_t) (i >> 8), (uint8_t) i}},
             32},
            {"f", 1, 1}};
        many.facilities[i] = (policy_source_facility_t){
            .id = {many.ids[i], (size_t) length},
            .place = {"f", 1, 1},
            .zone = SLICE("UTC"),
            .device = POLICY_DEVICE_NONE,
            .services = POLICY_SERVICE_BIT(POLICY_SERVICE_WEB),
            .actions = ACTION_ALL,
            .valid_from = INT32_MIN,
            .valid_to = INT32_MAX,
            .networks = &many.networks[i],
            .networks_count = 1};
    }
    many.source = (policy_source_t){many.facilities, count};
    return many;
}

static void
free_many(many_t *many)
{
    free(many->facilities);
    free(many->networks);
    free(many->ids);
}

static void
as_many_facilities_as_there_may_be_are_told_apart(void **state)
{
    many_t most = many(POLICY_FACILITIES_MAX);
    policy_image_t *image = compiled(&most.source);

    (void) state;
    assert_int_equal(policy_facilities(image), POLICY_FACILITIES_MAX);
    for (uint32_t i = 0; i < POLICY_FACILITIES_MAX; i++) {
        policy_request_t request = request_from(NULL);
        policy_facility_t facility;

        request.address = most.networks[i].prefix.address;
        assert_allowed(image, &request, i);
        if (i % 997 == 0 || i + 1 == POLICY_FACILITIES_MAX) {
            assert_int_equal(policy_facility_find(image, most.facilities[i].id),
                             i);
            assert_true(policy_facility(image, i, &facility));
            assert_true(slice_equal(facility.id, most.facilities[i].id));
        }
    }
    policy_image_free(image);
    free_many(&most);
}

static void
more_facilities_than_there_may_be_are_refused(void **state)
{
    many_t more = many(POLICY_FACILITIES_MAX + 1);

    (void) state;
    assert_refused(&more.source,
                   "f: error: 100001 facilities are more than 100000: put "
                   "several places into one facility\n");
    free_many(&more);
}

static void
more_networks_than_there_may_be_are_refused(void **state)
{
    many_t more = many(41);
    policy_source_network_t *networks = calloc(POLICY_NETWORKS_MAX / 40,
                                               sizeof(*networks));

    (void) state;
    assert_non_null(networks);
    for (size_t i = 0; i < POLICY_NETWORKS_MAX / 40; i++) {
        networks[i] = more.networks[0];
    }
    for (size_t i = 0; i < 40; i++) {
        more.facilities[i].networks = networks;
        more.facilities[i].networks_count = POLICY_NETWORKS_MAX / 40;
    }
    assert_refused(&more.source, "f:1:1: error: 4000001 networks are more than "
                                 "4000000: write larger prefixes\n");
    free(networks);
    free_many(&more);
}

UNIT_TESTS(
    cmocka_unit_test(how_it_is_written_makes_no_difference),
    cmocka_unit_test(what_it_says_makes_a_difference),
    cmocka_unit_test(neither_time_nor_zone_of_the_machine_makes_a_difference),
    cmocka_unit_test(facilities_stay_in_the_order_of_the_file),
    cmocka_unit_test(overlaps_name_both_places),
    cmocka_unit_test(a_shared_authority_is_refused_only_on_a_shared_prefix),
    cmocka_unit_test(a_facility_does_not_overlap_itself),
    cmocka_unit_test(no_set_of_overlaps_is_too_large),
    cmocka_unit_test(as_many_facilities_as_there_may_be_are_told_apart),
    cmocka_unit_test(more_facilities_than_there_may_be_are_refused),
    cmocka_unit_test(more_networks_than_there_may_be_are_refused))
