/*
 * Any bytes as a policy.  What is accepted must keep the language's promises,
 * which the compiler relies on; what is refused must say why.
 *
 * What opens files is left out: `include`, and `certificate` and `device-ca`
 * with anything else than a fingerprint first.
 */

#define _GNU_SOURCE
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../lib/base/action.h"
#include "../../lib/policy/decide.h"
#include "../../lib/policy/policy.h"

#define NOW          INT64_C(1795500000) /* 2026-11-24T06:00:00Z */
#define DAY_MINUTES  1440
#define WEEK_MINUTES 10080

#define REQUIRE(condition)                                                     \
    do {                                                                       \
        if (!(condition)) {                                                    \
            abort();                                                           \
        }                                                                      \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
compare(slice_t a, slice_t b)
{
    int order = memcmp(a.data, b.data, a.size < b.size ? a.size : b.size);

    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

static void
check_networks(const policy_source_facility_t *facility)
{
    for (size_t i = 0; i < facility->networks_count; i++) {
        prefix_t prefix = facility->networks[i].prefix;
        char text[PREFIX_TEXT_MAX];
        prefix_t again;

        REQUIRE(prefix.bits > 0);
        REQUIRE(facility->networks[i].place.line > 0);
        REQUIRE(prefix_format(&prefix, text) > 0);
        /* no host bits, no mapped form: its text is the same prefix */
        REQUIRE(prefix_parse(slice_of(text), &again) == PREFIX_OK);
        REQUIRE(memcmp(&again, &prefix, sizeof(prefix)) == 0);
    }
}

static void
check_times(const policy_source_facility_t *facility)
{
    for (size_t i = 0; i < facility->hours_count; i++) {
        const policy_window_t *window = &facility->hours[i];

        REQUIRE(window->start < WEEK_MINUTES);
        REQUIRE(window->end > window->start);
        /* joined with a night it may be longer than a day, but not reach
         * beyond the day after the one that it starts on */
        REQUIRE(window->end < (window->start / DAY_MINUTES + 2) * DAY_MINUTES);
        if (i > 0) {
            const policy_window_t *before = window - 1;

            REQUIRE(before->start < window->start);
            REQUIRE(before->end < window->start ||
                    before->start / DAY_MINUTES != window->start / DAY_MINUTES);
        }
    }
    for (size_t i = 0; i < facility->closed_count; i++) {
        REQUIRE(facility->closed[i].first <= facility->closed[i].last);
        REQUIRE(i == 0 ||
                facility->closed[i - 1].last + 1 < facility->closed[i].first);
    }
    REQUIRE(facility->valid_from <= facility->valid_to);
    REQUIRE(facility->has_hours == (facility->hours_count > 0));
}

static void
check_facility(const policy_source_facility_t *facility)
{
    bool known = facility->pins_count > 0 || facility->authorities_count > 0;

    REQUIRE(facility->id.size > 0 && facility->id.size <= POLICY_ID_SIZE_MAX);
    REQUIRE(facility->zone.size > 0);
    REQUIRE(facility->name.data != NULL && facility->contact.data != NULL);
    REQUIRE(facility->name.size <= POLICY_TEXT_SIZE_MAX);

    /* exactly one of the three kinds of places */
    REQUIRE((facility->networks_count > 0) + facility->any + facility->local ==
            1);
    REQUIRE(!facility->any || facility->device == POLICY_DEVICE_REQUIRED);
    REQUIRE((facility->device == POLICY_DEVICE_NONE) != known);
    REQUIRE(!facility->local || facility->via_count == 0);

    REQUIRE(facility->services != 0 && facility->actions != 0);
    REQUIRE((facility->actions & ~ACTION_ALL) == 0);
    REQUIRE((facility->services & ~((1u << POLICY_SERVICE_COUNT) - 2)) == 0);

    REQUIRE(facility->has_users == (facility->users_count > 0));
    for (size_t i = 0; i < facility->users_count; i++) {
        REQUIRE(facility->users[i].size > 0);
        REQUIRE(facility->users[i].size <= POLICY_USER_SIZE_MAX);
        REQUIRE(i == 0 ||
                compare(facility->users[i - 1], facility->users[i]) < 0);
    }
    check_networks(facility);
    check_times(facility);
}

static bool
names_a_file(const uint8_t *data, size_t size)
{
    static const char *const words[] = {"include", "device-ca", "certificate"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        const uint8_t *p = data;
        size_t left = size, n = strlen(words[i]);

        while (left >= n && (p = memmem(p, left, words[i], n)) != NULL) {
            left = size - (size_t) (p - data) - n;
            p += n;
            if (i == 0 || left < 8 || memcmp(p, " sha256:", 8) != 0) {
                return true;
            }
        }
    }
    return false;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    report_t *report;
    policy_source_t *source;

    if (names_a_file(data, size)) {
        return 0;
    }
    report = report_new();
    REQUIRE(report != NULL);
    source = policy_source_read_text("f", (slice_t){(const char *) data, size},
                                     NOW, report);
    REQUIRE((source != NULL) == (report_errors(report) == 0));
    if (source != NULL) {
        for (size_t i = 0; i < source->facilities_count; i++) {
            check_facility(&source->facilities[i]);
        }
    }
    policy_source_free(source);
    report_free(report);
    return 0;
}
