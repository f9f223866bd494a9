/*
 * Policies made by hand, for tests of what comes behind the language.
 *
 * A facility is made by build_facility() with the language's defaults and then
 * changed; everything it points to lives as long as the build_t.
 */

#ifndef SEKISHO_TESTS_POLICY_BUILD_H
#define SEKISHO_TESTS_POLICY_BUILD_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../lib/base/clock.h"
#include "../../lib/policy/decide.h"
#include "../../lib/policy/policy.h"
#include "unit.h"

#define BUILD_FACILITIES_MAX 4096

typedef struct {
    policy_source_t source;
    report_t *report;
    void **memory; /* to be freed at the end */
    size_t memory_count, memory_capacity;
} build_t;

static inline void *
build_memory(build_t *build, size_t size)
{
    void *memory = calloc(1, size + 1);

    assert_non_null(memory);
    if (build->memory_count == build->memory_capacity) {
        build->memory_capacity = 2 * build->memory_capacity + 64;
        build->memory = reallocarray(build->memory, build->memory_capacity,
                                     sizeof(*build->memory));
        assert_non_null(build->memory);
    }
    build->memory[build->memory_count++] = memory;
    return memory;
}

static inline void
build_start(build_t *build)
{
    *build = (build_t){0};
    build->report = report_new();
    assert_non_null(build->report);
    build->source.facilities = build_memory(
        build, BUILD_FACILITIES_MAX * sizeof(policy_source_facility_t));
}

static inline void
build_end(build_t *build)
{
    for (size_t i = 0; i < build->memory_count; i++) {
        free(build->memory[i]);
    }
    free(build->memory);
    report_free(build->report);
}

static inline slice_t
build_text(build_t *build, const char *text)
{
    char *copy = build_memory(build, strlen(text));

    memcpy(copy, text, strlen(text));
    return slice_of(copy);
}

/* Line n of "test.conf" is that of the n-th facility. */
static inline policy_source_facility_t *
build_facility(build_t *build, const char *id)
{
    size_t i = build->source.facilities_count++;
    policy_source_facility_t *facility = &build->source.facilities[i];

    assert_true(i < BUILD_FACILITIES_MAX);
    *facility = (policy_source_facility_t){
        .id = build_text(build, id),
        .place = {"test.conf", (uint32_t) i + 1, 1},
        .zone = SLICE("Etc/UTC"),
        .device = POLICY_DEVICE_NONE,
        .services = POLICY_SERVICE_BIT(POLICY_SERVICE_WEB) |
                    POLICY_SERVICE_BIT(POLICY_SERVICE_SSH) |
                    POLICY_SERVICE_BIT(POLICY_SERVICE_DESKTOP),
        .actions = ACTION_BIT(ACTION_QUERY) | ACTION_BIT(ACTION_VIEW),
        .valid_from = INT32_MIN,
        .valid_to = INT32_MAX,
    };
    return facility;
}

static inline void
build_prefix(build_t *build, policy_source_facility_t *facility,
             const prefix_t *prefix)
{
    size_t n = facility->networks_count;
    policy_source_network_t *networks;

    /* Doubled where the count is a power of two. */
    if ((n & (n - 1)) == 0) {
        networks = build_memory(build, (2 * n + 1) * sizeof(*networks));
        if (n > 0) {
            memcpy(networks, facility->networks, n * sizeof(*networks));
        }
        facility->networks = networks;
    }
    facility->networks[n] = (policy_source_network_t){
        *prefix, {"test.conf", facility->place.line, (uint32_t) n + 10}};
    facility->networks_count++;
}

static inline void
build_network(build_t *build, policy_source_facility_t *facility,
              const char *text)
{
    prefix_t prefix;

    assert_int_equal(prefix_parse(slice_of(text), &prefix), PREFIX_OK);
    build_prefix(build, facility, &prefix);
}

/* A SHA-256 whose bytes are all `byte`. */
static inline policy_fingerprint_t *
build_fingerprint(build_t *build, uint8_t byte, uint32_t line)
{
    policy_fingerprint_t *fingerprint = build_memory(build,
                                                     sizeof(*fingerprint));

    memset(fingerprint->sha256, byte, sizeof(fingerprint->sha256));
    fingerprint->place = (report_place_t){"test.conf", line, 40};
    return fingerprint;
}

static inline void
build_pin(build_t *build, policy_source_facility_t *facility, uint8_t byte)
{
    assert_int_equal(facility->pins_count, 0);
    facility->pins = build_fingerprint(build, byte, facility->place.line);
    facility->pins_count = 1;
}

static inline void
build_authority(build_t *build, policy_source_facility_t *facility,
                uint8_t byte)
{
    assert_int_equal(facility->authorities_count, 0);
    facility->authorities = build_fingerprint(build, byte,
                                              facility->place.line);
    facility->authorities_count = 1;
}

/* From Monday, so many days from `first`: "mon-fri" is 0, 5. */
static inline void
build_hours(build_t *build, policy_source_facility_t *facility, unsigned first,
            unsigned days, unsigned start, unsigned end)
{
    size_t n = facility->hours_count;
    policy_window_t *hours = build_memory(build,
                                          (n + days) * sizeof(policy_window_t));

    if (n > 0) {
        memcpy(hours, facility->hours, n * sizeof(*hours));
    }
    for (unsigned i = 0; i < days; i++) {
        unsigned day = (first + i) * 1440;
        hours[n + i] = (policy_window_t){
            (uint16_t) (day + start),
            (uint16_t) (day + end + (end <= start ? 1440 : 0))};
    }
    facility->hours = hours;
    facility->hours_count = n + days;
    facility->has_hours = true;
}

static inline void
build_closed(build_t *build, policy_source_facility_t *facility, int32_t first,
             int32_t last)
{
    size_t n = facility->closed_count;
    policy_days_t *closed = build_memory(build,
                                         (n + 1) * sizeof(policy_days_t));

    if (n > 0) {
        memcpy(closed, facility->closed, n * sizeof(*closed));
    }
    closed[n] = (policy_days_t){first, last};
    facility->closed = closed;
    facility->closed_count = n + 1;
}

static inline int32_t
build_day(const char *text)
{
    int32_t day;

    assert_true(clock_parse_day(slice_of(text), &day));
    return day;
}

static inline int
build_compile(build_t *build, uint8_t **bytes, size_t *size)
{
    return policy_compile(&build->source, build->report, bytes, size);
}

static inline policy_image_t *
build_image(build_t *build)
{
    policy_image_t *image = NULL;
    uint8_t *bytes;
    size_t size;

    if (build_compile(build, &bytes, &size) < 0) {
        report_print(build->report, stderr);
        fail_msg("the policy does not compile");
    }
    assert_int_equal(policy_image_open(bytes, size, &image), POLICY_IMAGE_OK);
    free(bytes);
    return image;
}

/* A request for a picture over TLS, without certificate and user. */
static inline policy_request_t
build_request(const char *address, const char *time)
{
    policy_request_t request = {
        .service = POLICY_SERVICE_WEB,
        .action = ACTION_VIEW,
        .transport = POLICY_TRANSPORT_ENCRYPTED,
    };
    bool local;

    assert_true(address_parse(slice_of(address), &request.address));
    assert_true(clock_parse(slice_of(time), &request.now, &local));
    assert_false(local);
    return request;
}

static inline policy_reason_t
build_reason(const policy_image_t *image, const policy_request_t *request)
{
    policy_decision_t decision, traced;
    policy_trace_t trace;

    policy_decide(image, request, &decision, NULL);
    /* A trace tells more, and changes nothing. */
    policy_decide(image, request, &traced, &trace);
    assert_int_equal(decision.verdict, traced.verdict);
    assert_int_equal(decision.reason, traced.reason);
    assert_int_equal(decision.dry_run_reason, traced.dry_run_reason);
    assert_int_equal(decision.facility, traced.facility);
    assert_int_equal(decision.verdict == POLICY_ALLOW,
                     decision.reason == POLICY_OK ||
                         decision.reason == POLICY_DRY_RUN);
    return decision.reason;
}

#define assert_reason(image, request, reason)                                  \
    assert_string_equal(policy_reason_name(build_reason(image, request)),      \
                        reason)

#endif
