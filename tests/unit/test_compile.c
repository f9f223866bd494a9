/* The compiler: what it refuses, what it shares, that it is deterministic. */

#include <errno.h>

#include "policy_build.h"
#include "printed.h"

/* The report's only message, and that nothing was made. */
static void
assert_refused(build_t *build, const char *message)
{
    uint8_t *bytes = (uint8_t *) build;
    size_t size = 1;
    char *messages;

    assert_int_equal(build_compile(build, &bytes, &size), -EINVAL);
    assert_null(bytes);
    assert_int_equal(size, 0);
    assert_int_equal(report_errors(build->report), 1);
    messages = printed(build->report);
    build->report = NULL; /* that freed it */
    if (strstr(messages, message) == NULL) {
        fail_msg("\"%s\" is not in \"%s\"", message, messages);
    }
    free(messages);
}

static void
same_policy_gives_the_same_bytes(void **state)
{
    uint8_t *bytes[2];
    size_t size[2];

    (void) state;
    for (int i = 0; i < 2; i++) {
        policy_source_facility_t *facility;
        build_t build;
        build_start(&build);
        /* Memory in another state must not come through. */
        memset(build_memory(&build, 100000), i == 0 ? 0x55 : 0xaa, 100000);
        for (int j = 0; j < 40; j++) {
            char id[16], network[32];
            snprintf(id, sizeof(id), "f%d", j);
            snprintf(network, sizeof(network), "10.%d.0.0/16", j);
            facility = build_facility(&build, id);
            build_network(&build, facility, network);
            snprintf(network, sizeof(network), "2001:db8:%x::/48", j);
            build_network(&build, facility, network);
            build_hours(&build, facility, 0, 5, 60u * (unsigned) (j % 3), 600);
            facility->zone = j % 2 == 0 ? SLICE("Asia/Tokyo")
                                        : SLICE("Europe/Berlin");
            facility->via_count = 0;
        }
        assert_int_equal(build_compile(&build, &bytes[i], &size[i]), 0);
        build_end(&build);
    }
    assert_int_equal(size[0], size[1]);
    assert_memory_equal(bytes[0], bytes[1], size[0]);
    free(bytes[0]);
    free(bytes[1]);
}

static void
two_open_facilities_on_one_prefix_are_refused(void **state)
{
    build_t build;

    (void) state;
    build_start(&build);
    build_network(&build, build_facility(&build, "a"), "203.0.113.0/24");
    build_network(&build, build_facility(&build, "b"), "203.0.0.0/16");
    build_network(&build, &build.source.facilities[1], "203.0.113.0/24");
    assert_refused(&build, "test.conf:2:11: error: facilities \"b\" and \"a\" "
                           "(test.conf:1:10) share network 203.0.113.0/24");
    build_end(&build);
}

static void
optional_device_does_not_tell_apart(void **state)
{
    build_t build;

    (void) state;
    build_start(&build);
    build_network(&build, build_facility(&build, "a"), "2001:db8::/48");
    build_network(&build, build_facility(&build, "b"), "2001:db8::/48");
    build.source.facilities[1].device = POLICY_DEVICE_OPTIONAL;
    build_pin(&build, &build.source.facilities[1], 1);
    assert_refused(&build, "share network 2001:db8::/48");
    build_end(&build);
}

static void
shared_certificate_on_one_prefix_is_refused(void **state)
{
    build_t build;

    (void) state;
    build_start(&build);
    for (int i = 0; i < 2; i++) {
        policy_source_facility_t *facility = build_facility(&build,
                                                            i == 0 ? "a" : "b");
        build_network(&build, facility, "203.0.113.0/24");
        facility->device = POLICY_DEVICE_REQUIRED;
        build_pin(&build, facility, 0x77);
    }
    assert_refused(&build,
                   "test.conf:2:40: error: facilities \"b\" and \"a\" "
                   "(test.conf:1:40) share network 203.0.113.0/24, and this "
                   "certificate too");
    build_end(&build);
}

static void
shared_authority_on_one_prefix_is_refused(void **state)
{
    build_t build;

    (void) state;
    build_start(&build);
    for (int i = 0; i < 2; i++) {
        policy_source_facility_t *facility = build_facility(&build,
                                                            i == 0 ? "a" : "b");
        facility->any = true;
        facility->device = POLICY_DEVICE_REQUIRED;
        build_authority(&build, facility, 0x77);
    }
    assert_refused(&build, "share \"network any\", and this device-ca too");
    build_end(&build);
}

static void
open_facilities_of_local_are_refused(void **state)
{
    build_t build;

    (void) state;
    build_start(&build);
    build_facility(&build, "a")->local = true;
    build_facility(&build, "b")->local = true;
    assert_refused(&build, "share \"network local\"");
    build_end(&build);
}

static void
shared_certificate_on_different_prefixes_is_allowed(void **state)
{
    policy_image_t *image;
    build_t build;

    (void) state;
    build_start(&build);
    for (int i = 0; i < 2; i++) {
        policy_source_facility_t *facility = build_facility(&build,
                                                            i == 0 ? "a" : "b");
        build_network(&build, facility,
                      i == 0 ? "203.0.113.0/24" : "203.0.113.0/25");
        facility->device = POLICY_DEVICE_REQUIRED;
        build_pin(&build, facility, 0x77);
    }
    image = build_image(&build);
    policy_image_free(image);
    build_end(&build);
}

static void
all_overlaps_are_told_in_one_go(void **state)
{
    uint8_t *bytes;
    size_t size;
    build_t build;

    (void) state;
    build_start(&build);
    for (int i = 0; i < 4; i++) {
        char id[] = {(char) ('a' + i), '\0'};
        build_network(&build, build_facility(&build, id),
                      i / 2 == 0 ? "203.0.113.0/24" : "2001:db8::/32");
        build.source.facilities[i].local = i < 2;
    }
    assert_int_equal(build_compile(&build, &bytes, &size), -EINVAL);
    assert_int_equal(report_errors(build.report), 3);
    build_end(&build);
}

static void
one_pair_is_told_once_however_many_prefixes(void **state)
{
    uint8_t *bytes;
    size_t size;
    build_t build;

    (void) state;
    build_start(&build);
    build_facility(&build, "a");
    build_facility(&build, "b");
    for (int i = 0; i < 50; i++) {
        char network[32];
        snprintf(network, sizeof(network), "10.%d.0.0/16", i);
        build_network(&build, &build.source.facilities[0], network);
        build_network(&build, &build.source.facilities[1], network);
    }
    assert_int_equal(build_compile(&build, &bytes, &size), -EINVAL);
    assert_int_equal(report_errors(build.report), 1);
    build_end(&build);
}

static void
what_the_language_never_lets_through_is_refused(void **state)
{
    policy_window_t windows[] = {{10080, 10081}, {600, 600}, {0, 10081}};
    slice_t users[] = {SLICE("b"), SLICE("a")},
            twice[] = {SLICE("a"), SLICE("a")};
    policy_days_t days[] = {{5, 4}}, order[] = {{5, 9}, {9, 10}};
    char countries[][2] = {{'j', 'p'}};
    address_t via = {.family = ADDRESS_LOCAL};

    (void) state;
    for (int i = 0; i < 14; i++) {
        policy_source_facility_t *facility;
        uint8_t *bytes;
        size_t size;
        build_t build;
        build_start(&build);
        facility = build_facility(&build, "a");
        switch (i) {
        case 0:
        case 1:
        case 2:
            facility->hours = &windows[i];
            facility->hours_count = 1;
            facility->has_hours = true;
            break;
        case 3:
            facility->users = users;
            facility->users_count = 2;
            break;
        case 4:
            facility->users = twice;
            facility->users_count = 2;
            break;
        case 5:
            facility->closed = days;
            facility->closed_count = 1;
            break;
        case 6:
            facility->closed = order;
            facility->closed_count = 2;
            break;
        case 7:
            facility->countries = countries;
            facility->countries_count = 1;
            break;
        case 8:
            facility->via = &via;
            facility->via_count = 1;
            break;
        case 9:
            facility->zone = SLICE("Asia/Nowhere");
            break;
        case 10:
            facility->device = (policy_device_t) 0;
            break;
        case 11:
            build_facility(&build, "a"); /* the same id */
            break;
        case 12:
            facility->id = SLICE("");
            break;
        default:
            build_network(&build, facility, "10.0.0.0/8");
            facility->networks[0].prefix.address.bytes[3] = 1; /* a host bit */
            break;
        }
        if (build_compile(&build, &bytes, &size) != -EINVAL) {
            fail_msg("case %d is not refused", i);
        }
        assert_int_equal(report_errors(build.report), 1);
        build_end(&build);
    }
}

static size_t
size_of_copies(unsigned facilities)
{
    policy_source_facility_t *facility;
    slice_t users[] = {SLICE("abe"), SLICE("ito"), SLICE("kato")};
    uint8_t *bytes;
    size_t size;
    build_t build;

    build_start(&build);
    for (unsigned i = 0; i < facilities; i++) {
        char id[16];
        snprintf(id, sizeof(id), "f%04u", i);
        facility = build_facility(&build, id);
        facility->zone = SLICE("Europe/Berlin");
        facility->contact = SLICE("IT desk, +81-3-0000-0000");
        build_hours(&build, facility, 0, 6, 480, 1140);
        for (int32_t day = 0; day < 60; day += 2) {
            build_closed(&build, facility, 20000 + day, 20000 + day);
        }
        facility->has_users = true;
        facility->users = users;
        facility->users_count = 3;
    }
    assert_int_equal(build_compile(&build, &bytes, &size), 0);
    free(bytes);
    build_end(&build);
    return size;
}

static void
what_facilities_have_in_common_is_kept_once(void **state)
{
    /* A facility of its own: two records of 64 bytes, its id, its place in the
     * order of ids, and some lines of 64 bytes for the number's width. */
    size_t one = size_of_copies(1), many = size_of_copies(1001);

    (void) state;
    assert_true(many - one < 1000 * (2 * 64 + 5 + 4 + 128) + 64 * 40);
}

static void
image_of_a_policy_of_nobody_can_be_opened(void **state)
{
    policy_image_t *image;
    build_t build;

    (void) state;
    build_start(&build);
    image = build_image(&build);
    assert_int_equal(policy_facilities(image), 0);
    assert_int_equal(policy_facility_find(image, SLICE("a")),
                     POLICY_NO_FACILITY);
    policy_image_free(image);
    build_end(&build);
}

UNIT_TESTS(
    cmocka_unit_test(same_policy_gives_the_same_bytes),
    cmocka_unit_test(two_open_facilities_on_one_prefix_are_refused),
    cmocka_unit_test(optional_device_does_not_tell_apart),
    cmocka_unit_test(shared_certificate_on_one_prefix_is_refused),
    cmocka_unit_test(shared_authority_on_one_prefix_is_refused),
    cmocka_unit_test(open_facilities_of_local_are_refused),
    cmocka_unit_test(shared_certificate_on_different_prefixes_is_allowed),
    cmocka_unit_test(all_overlaps_are_told_in_one_go),
    cmocka_unit_test(one_pair_is_told_once_however_many_prefixes),
    cmocka_unit_test(what_the_language_never_lets_through_is_refused),
    cmocka_unit_test(what_facilities_have_in_common_is_kept_once),
    cmocka_unit_test(image_of_a_policy_of_nobody_can_be_opened))
