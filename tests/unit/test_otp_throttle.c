/* Waiting, and sources. */

#define _GNU_SOURCE
#include "unit.h"

#include "otp_unit.h"

static int
start(void **state)
{
    *state = throttle_sources_new();
    return *state == NULL ? -1 : 0;
}

static int
stop(void **state)
{
    throttle_sources_free(*state);
    return 0;
}

static void
fail_times(throttle_sources_t *sources, const char *source, unsigned times,
           int64_t now_ms)
{
    otp_rules_t rules = otp_rules_default();

    while (times-- > 0) {
        throttle_source_failed(sources, &rules, slice_of(source), now_ms);
    }
}

static int64_t
wait_of(throttle_sources_t *sources, const char *source, int64_t now_ms)
{
    otp_rules_t rules = otp_rules_default();

    return throttle_source_wait(sources, &rules, slice_of(source), now_ms);
}

static void
waits_double_up_to_the_most(void **state)
{
    static const int64_t waits[] = {0,  0,  0,  1,   2,   4,   8,
                                    16, 32, 64, 128, 256, 300, 300};
    uint32_t i;

    (void) state;
    for (i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
        assert_int_equal(throttle_wait(i, 3, 300), waits[i]);
    }
    assert_int_equal(throttle_wait(UINT32_MAX, 1, 300), 300);
    assert_int_equal(throttle_wait(34, 3, UINT32_MAX), UINT32_MAX);
    assert_int_equal(throttle_wait(33, 3, UINT32_MAX), 1 << 30);
}

static void
a_source_waits_from_a_third_and_is_shut_at_its_limit(void **state)
{
    throttle_sources_t *sources = *state;

    fail_times(sources, "192.0.2.1", 32, NOW_MS);
    assert_int_equal(wait_of(sources, "192.0.2.1", NOW_MS), 0);
    fail_times(sources, "192.0.2.1", 1, NOW_MS);
    assert_int_equal(wait_of(sources, "192.0.2.1", NOW_MS), 1);
    assert_int_equal(wait_of(sources, "192.0.2.1", NOW_MS + 1000), 0);
    fail_times(sources, "192.0.2.1", 67, NOW_MS);
    assert_int_equal(wait_of(sources, "192.0.2.1", NOW_MS), 900);
    assert_int_equal(wait_of(sources, "192.0.2.1", NOW_MS + 899999), 1);
    assert_int_equal(wait_of(sources, "192.0.2.1", NOW_MS + 900000), 0);
    fail_times(sources, "192.0.2.1", 1, NOW_MS + 900000);
    assert_int_equal(wait_of(sources, "192.0.2.1", NOW_MS + 900000), 0);
}

static void
an_ipv6_source_is_its_network(void **state)
{
    throttle_sources_t *sources = *state;

    fail_times(sources, "2001:db8:1:2::1", 100, NOW_MS);
    assert_int_equal(wait_of(sources, "2001:db8:1:2:ffff::9", NOW_MS), 900);
    assert_int_equal(wait_of(sources, "2001:db8:1:3::1", NOW_MS), 0);
}

static void
a_mapped_address_is_its_ipv4_one(void **state)
{
    throttle_sources_t *sources = *state;

    fail_times(sources, "::ffff:192.0.2.1", 100, NOW_MS);
    assert_int_equal(wait_of(sources, "192.0.2.1", NOW_MS), 900);
}

static void
the_console_is_no_source(void **state)
{
    throttle_sources_t *sources = *state;

    fail_times(sources, "local", 1000, NOW_MS);
    assert_int_equal(wait_of(sources, "local", NOW_MS), 0);
    /* but what cannot be read is one */
    fail_times(sources, "", 1000, NOW_MS);
    assert_int_equal(wait_of(sources, "", NOW_MS), 900);
}

static void
a_flood_of_sources_does_not_free_the_latest(void **state)
{
    throttle_sources_t *sources = *state;
    char text[64];
    unsigned i, kept = 0;

    for (i = 0; i < 1000; i++) {
        (void) snprintf(text, sizeof(text), "198.51.%u.%u", i / 250, i % 250);
        fail_times(sources, text, 100, NOW_MS + 200000 + i);
    }
    for (i = 0; i < 200000; i++) { /* older ones, more than there is room */
        (void) snprintf(text, sizeof(text), "10.%u.%u.%u", i / 62500,
                        i / 250 % 250, i % 250);
        fail_times(sources, text, 1, NOW_MS + i);
    }
    for (i = 0; i < 1000; i++) {
        (void) snprintf(text, sizeof(text), "198.51.%u.%u", i / 250, i % 250);
        kept += wait_of(sources, text, NOW_MS + 201000) > 0;
    }
    assert_int_equal(kept, 1000);
}

#define SOURCE_TEST(function)                                                  \
    cmocka_unit_test_setup_teardown(function, start, stop)

UNIT_TESTS(cmocka_unit_test(waits_double_up_to_the_most),
           SOURCE_TEST(a_source_waits_from_a_third_and_is_shut_at_its_limit),
           SOURCE_TEST(an_ipv6_source_is_its_network),
           SOURCE_TEST(a_mapped_address_is_its_ipv4_one),
           SOURCE_TEST(the_console_is_no_source),
           SOURCE_TEST(a_flood_of_sources_does_not_free_the_latest))
