/*
 * The decision once more, written from the documentation: slow, plain, and
 * without a line in common with lib/policy.  It reads the checked policy, not
 * the image, an address bit by bit, and knows summer time by its rules.
 */

#ifndef SEKISHO_TESTS_UNIT_POLICY_REFERENCE_H
#define SEKISHO_TESTS_UNIT_POLICY_REFERENCE_H

#include "../../lib/policy/decide.h"
#include "../../lib/policy/policy.h"

typedef struct {
    policy_verdict_t verdict;
    policy_reason_t reason;
    policy_reason_t dry_run_reason;
    uint32_t facility;
    policy_obligations_t owed;
    int bits; /* of the prefix that matched; -1: none */
} reference_t;

/* ---- Addresses ---------------------------------------------------------- */

static inline int
reference_bit(const uint8_t *bytes, int i)
{
    return bytes[i / 8] >> (7 - i % 8) & 1;
}

static inline bool
reference_contains(const prefix_t *prefix, const address_t *address)
{
    if (prefix->address.family != address->family) {
        return false;
    }
    for (int i = 0; i < prefix->bits; i++) {
        if (reference_bit(prefix->address.bytes, i) !=
            reference_bit(address->bytes, i)) {
            return false;
        }
    }
    return true;
}

static inline bool
reference_same_prefix(const prefix_t *a, const prefix_t *b)
{
    return a->bits == b->bits && reference_contains(a, &b->address);
}

/* ---- Time --------------------------------------------------------------- */

static inline int64_t
floor_divided(int64_t a, int64_t b)
{
    int64_t quotient = a / b;

    return a % b != 0 && (a % b < 0) != (b < 0) ? quotient - 1 : quotient;
}

static inline bool
is_leap_year(int year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* Days from 1970-01-01 to the first of a month (from 1), by counting. */
static inline int64_t
first_of_month(int year, int month)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30,
                                  31, 31, 30, 31, 30, 31};
    int64_t day = 0;

    for (int i = 1970; i < year; i++) {
        day += is_leap_year(i) ? 366 : 365;
    }
    for (int i = 1; i < month; i++) {
        day += lengths[i - 1] + (i == 2 && is_leap_year(year));
    }
    return day;
}

/* The n-th Sunday (from 1) on or after a day; 1970-01-01 was a Thursday. */
static inline int64_t
sunday(int64_t day, int n)
{
    while ((day + 4) % 7 != 0) {
        day++;
    }
    return day + 7 * (n - 1);
}

static inline int
year_of(int64_t now)
{
    int year = 1970;

    while (first_of_month(year + 1, 1) * 86400 <= now) {
        year++;
    }
    return year;
}

/* From 2020 to 2069. */
static inline int32_t
reference_offset(slice_t zone, int64_t now)
{
    int year = year_of(now);
    int64_t march = first_of_month(year, 3), april = first_of_month(year, 4);
    int64_t october = first_of_month(year, 10);
    int64_t november = first_of_month(year, 11);

    if (slice_is(zone, "Europe/Berlin")) {
        /* the last Sundays of March and October, at 01:00 UTC */
        return now >= sunday(april - 7, 1) * 86400 + 3600 &&
                       now < sunday(november - 7, 1) * 86400 + 3600
                   ? 7200
                   : 3600;
    }
    if (slice_is(zone, "America/New_York")) {
        /* second Sunday of March to first of November, at 02:00 local */
        return now >= sunday(march, 2) * 86400 + 7 * 3600 &&
                       now < sunday(november, 1) * 86400 + 6 * 3600
                   ? -14400
                   : -18000;
    }
    if (slice_is(zone, "Australia/Lord_Howe")) {
        /* first Sunday of April to first of October, at 02:00 local */
        return now >= sunday(april, 1) * 86400 + 2 * 3600 - 39600 &&
                       now < sunday(october, 1) * 86400 + 2 * 3600 - 37800
                   ? 37800
                   : 39600;
    }
    return slice_is(zone, "Asia/Tokyo")           ? 32400
           : slice_is(zone, "Asia/Kolkata")       ? 19800
           : slice_is(zone, "Pacific/Kiritimati") ? 50400
           : slice_is(zone, "Etc/GMT+12")         ? -43200
                                                  : 0;
}

static inline bool
reference_closed(const policy_source_facility_t *facility, int64_t day)
{
    for (size_t i = 0; i < facility->closed_count; i++) {
        if (facility->closed[i].first <= day && day <= facility->closed[i].last)
        {
            return true;
        }
    }
    return false;
}

/* POLICY_OK, POLICY_CLOSED or POLICY_HOLIDAY. */
static inline policy_reason_t
reference_opening(const policy_source_facility_t *facility, int64_t wall)
{
    int64_t minute = floor_divided(wall, 60),
            today = floor_divided(wall, 86400);
    bool covered = false;

    if (!facility->has_hours) {
        return reference_closed(facility, today) ? POLICY_HOLIDAY : POLICY_OK;
    }
    /* every window on every day on which one that covers now may begin */
    for (int64_t day = today - 8; day <= today; day++) {
        int64_t weekday = ((day + 3) % 7 + 7) % 7; /* from Monday */

        for (size_t i = 0; i < facility->hours_count; i++) {
            const policy_window_t *window = &facility->hours[i];
            int64_t start = day * 1440 + window->start % 1440;

            if (window->start / 1440 != weekday || minute < start ||
                minute >= start + (window->end - window->start))
            {
                continue;
            }
            covered = true;
            if (!reference_closed(facility, day)) {
                return POLICY_OK;
            }
        }
    }
    return covered || reference_closed(facility, today) ? POLICY_HOLIDAY
                                                        : POLICY_CLOSED;
}

/* ---- Certificates ------------------------------------------------------- */

static inline bool
has_fingerprint(const policy_fingerprint_t *list, size_t count,
                const uint8_t *sha256)
{
    for (size_t i = 0; i < count; i++) {
        if (memcmp(list[i].sha256, sha256, 32) == 0) {
            return true;
        }
    }
    return false;
}

static inline bool
has_pin(const policy_source_facility_t *facility, const uint8_t *sha256)
{
    return has_fingerprint(facility->pins, facility->pins_count, sha256);
}

static inline bool
has_authority(const policy_source_facility_t *facility, const uint8_t *sha256)
{
    return has_fingerprint(facility->authorities, facility->authorities_count,
                           sha256);
}

/* Which of the facilities marked owns it; by the nearest issuer. */
static inline uint32_t
reference_owner(const policy_source_t *source, const bool *candidates,
                const policy_certificate_t *certificate)
{
    for (uint32_t i = 0; i < source->facilities_count; i++) {
        if (candidates[i] &&
            has_pin(&source->facilities[i], certificate->sha256)) {
            return i;
        }
    }
    for (int j = 0; certificate->verified && j < certificate->chain_count; j++)
    {
        for (uint32_t i = 0; i < source->facilities_count; i++) {
            if (candidates[i] && has_authority(&source->facilities[i],
                                               certificate->chain_sha256[j]))
            {
                return i;
            }
        }
    }
    return POLICY_NO_FACILITY;
}

/* Can nothing tell these two apart on one prefix? */
static inline bool
reference_conflict(const policy_source_facility_t *a,
                   const policy_source_facility_t *b)
{
    if (a->device != POLICY_DEVICE_REQUIRED &&
        b->device != POLICY_DEVICE_REQUIRED) {
        return true;
    }
    for (size_t i = 0; i < a->pins_count; i++) {
        if (has_pin(b, a->pins[i].sha256)) {
            return true;
        }
    }
    for (size_t i = 0; i < a->authorities_count; i++) {
        if (has_authority(b, a->authorities[i].sha256)) {
            return true;
        }
    }
    return false;
}

/* ---- The decision ------------------------------------------------------- */

static inline policy_reason_t
reference_device(const policy_source_t *source, uint32_t number,
                 const policy_request_t *request)
{
    const policy_source_facility_t *facility = &source->facilities[number];
    const policy_certificate_t *shown = request->certificate;
    bool mine = false;

    if (facility->device == POLICY_DEVICE_NONE) {
        return POLICY_OK;
    }
    if (request->service != POLICY_SERVICE_WEB || shown == NULL) {
        return facility->device == POLICY_DEVICE_REQUIRED
                   ? POLICY_DEVICE_MISSING
                   : POLICY_OK;
    }
    mine = has_pin(facility, shown->sha256);
    for (int i = 0; shown->verified && i < shown->chain_count; i++) {
        mine = mine || has_authority(facility, shown->chain_sha256[i]);
    }
    return mine && shown->not_before <= request->now &&
                   request->now <= shown->not_after
               ? POLICY_OK
               : POLICY_DEVICE_UNKNOWN;
}

static inline policy_reason_t
reference_conditions(const policy_source_t *source, uint32_t number,
                     const policy_request_t *request,
                     policy_obligations_t *owed)
{
    const policy_source_facility_t *facility = &source->facilities[number];
    int64_t wall = request->now +
                   reference_offset(facility->zone, request->now);
    int64_t today = floor_divided(wall, 86400);
    policy_reason_t reason;
    bool found;

    if (today < facility->valid_from || today > facility->valid_to) {
        return POLICY_NOT_VALID;
    }
    if (request->service < POLICY_SERVICE_WEB ||
        request->service > POLICY_SERVICE_DESKTOP ||
        (facility->services & 1u << request->service) == 0)
    {
        return POLICY_SERVICE_NOT_ALLOWED;
    }

    found = facility->via_count == 0;
    for (size_t i = 0; i < facility->via_count; i++) {
        found = found || address_equal(&facility->via[i], &request->local);
    }
    if (!found) {
        return POLICY_WRONG_INGRESS;
    }

    if (request->service == POLICY_SERVICE_WEB &&
        request->transport != POLICY_TRANSPORT_ENCRYPTED &&
        request->transport != POLICY_TRANSPORT_WAIVED)
    {
        return POLICY_PLAINTEXT;
    }
    reason = reference_device(source, number, request);
    if (reason != POLICY_OK) {
        return reason;
    }

    if (facility->countries_count > 0) {
        char code[2];

        found = false;
        if (request->country != NULL &&
            request->country(request->country_context, &request->address, code))
        {
            for (size_t i = 0; i < facility->countries_count; i++) {
                found = found || memcmp(facility->countries[i], code, 2) == 0;
            }
        }
        if (!found) {
            return POLICY_WRONG_COUNTRY;
        }
    }

    reason = reference_opening(facility, wall);
    if (reason != POLICY_OK) {
        if (!facility->off_hours_factor) {
            return reason;
        }
        if (request->factor == POLICY_FACTOR_LATER) {
            owed->factor_fresh = true;
        } else if (request->factor != POLICY_FACTOR_FRESH) {
            return POLICY_FACTOR_MISSING;
        }
    }

    if (request->action != ACTION_NONE &&
        (request->action >= ACTION_COUNT ||
         (facility->actions & 1u << request->action) == 0))
    {
        return POLICY_ACTION_NOT_ALLOWED;
    }

    if (facility->has_users && request->user_state == POLICY_USER_LATER) {
        owed->users_pending = true;
    } else if (facility->has_users) {
        found = false;
        for (size_t i = 0; i < facility->users_count; i++) {
            found = found || slice_equal(facility->users[i], request->user);
        }
        if (!found || request->user_state != POLICY_USER_NAMED) {
            return POLICY_USER_NOT_LISTED;
        }
    }
    return POLICY_OK;
}

/* `candidates` has room for all facilities. */
static inline reference_t
reference_decide(const policy_source_t *source, const policy_request_t *request,
                 bool *candidates)
{
    reference_t answer = {
        .verdict = POLICY_DENY, .facility = POLICY_NO_FACILITY, .bits = -1};
    const policy_certificate_t *shown = request->service == POLICY_SERVICE_WEB
                                            ? request->certificate
                                            : NULL;
    uint32_t count = 0, only = POLICY_NO_FACILITY, open = POLICY_NO_FACILITY;
    bool all_dry = true, any = false;
    const policy_source_facility_t *facility;
    policy_reason_t reason;

    for (uint32_t i = 0; i < source->facilities_count; i++) {
        facility = &source->facilities[i];
        for (size_t j = 0; j < facility->networks_count; j++) {
            const prefix_t *prefix = &facility->networks[j].prefix;

            if (prefix->bits > answer.bits &&
                reference_contains(prefix, &request->address)) {
                answer.bits = prefix->bits;
            }
        }
    }
    any = answer.bits < 0 && (request->address.family == ADDRESS_IPV4 ||
                              request->address.family == ADDRESS_IPV6);
    for (uint32_t i = 0; i < source->facilities_count; i++) {
        facility = &source->facilities[i];
        candidates[i] = any ? facility->any
                            : request->address.family == ADDRESS_LOCAL &&
                                  facility->local;
        for (size_t j = 0; answer.bits >= 0 && j < facility->networks_count;
             j++) {
            candidates[i] = candidates[i] ||
                            (facility->networks[j].prefix.bits == answer.bits &&
                             reference_contains(&facility->networks[j].prefix,
                                                &request->address));
        }
        if (candidates[i]) {
            count++;
            only = i;
            all_dry = all_dry && facility->dry_run;
            if (facility->device != POLICY_DEVICE_REQUIRED) {
                open = i;
            }
        }
    }
    if (count == 0 || (any && shown == NULL)) {
        answer.reason = POLICY_UNKNOWN_NETWORK;
        return answer;
    }

    if (count == 1 && !any) {
        answer.facility = only;
    } else if (shown != NULL) {
        answer.facility = reference_owner(source, candidates, shown);
    }
    if (answer.facility == POLICY_NO_FACILITY && !any) {
        answer.facility = open;
    }
    if (answer.facility == POLICY_NO_FACILITY) {
        answer.reason = shown == NULL ? POLICY_DEVICE_MISSING
                                      : POLICY_DEVICE_UNKNOWN;
        if (all_dry && !any) {
            answer.verdict = POLICY_ALLOW;
            answer.dry_run_reason = answer.reason;
            answer.reason = POLICY_DRY_RUN;
            answer.owed.actions = ACTION_ALL;
        }
        return answer;
    }

    facility = &source->facilities[answer.facility];
    reason = reference_conditions(source, answer.facility, request,
                                  &answer.owed);
    answer.reason = reason;
    if (reason != POLICY_OK && !facility->dry_run) {
        answer.owed = (policy_obligations_t){0};
        return answer;
    }
    if (reason != POLICY_OK) {
        answer.dry_run_reason = reason;
        answer.reason = POLICY_DRY_RUN;
    }
    answer.verdict = POLICY_ALLOW;
    answer.owed.second_factor = facility->second_factor;
    answer.owed.idle_seconds = facility->idle_seconds;
    answer.owed.max_seconds = facility->max_seconds;
    answer.owed.actions = facility->actions;
    return answer;
}

#endif
