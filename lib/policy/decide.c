/*
 * The decision.  Nothing here allocates, waits or writes to shared memory;
 * every bound was checked when the image was opened (image_check.c).
 *
 * What is not said to be allowed is denied: each condition passes on a value
 * that it knows, and fails on all others.
 */

#include "decide_parts.h"
#include "policy.h"

#define DAY_SECONDS INT64_C(86400)
#define DAY_MINUTES 1440

/* Moments beyond this (36 thousand million years) count as this one, so that
 * an offset can be added to any. */
#define NOW_MAX (INT64_C(1) << 60)

typedef struct {
    int64_t day;     /* since 1970-01-01, of the local calendar */
    uint32_t minute; /* of the local week, from Monday 00:00 */
} local_time_t;

/* ---- Conditions ---- */

ALWAYS_INLINE void
note(policy_trace_t *trace, policy_condition_t condition,
     policy_outcome_t outcome)
{
    if (trace != NULL) {
        trace->outcome[condition] = outcome;
    }
}

/* Fails the condition for that reason. */
ALWAYS_INLINE policy_reason_t
fail(policy_trace_t *trace, policy_condition_t condition,
     policy_reason_t reason)
{
    note(trace, condition, POLICY_FAILED);
    return reason;
}

ALWAYS_INLINE local_time_t
local_time(int64_t now, int32_t offset)
{
    int64_t seconds, rest, weekday;
    uint32_t few, day;
    local_time_t local;

    now = now > NOW_MAX ? NOW_MAX : now < -NOW_MAX ? -NOW_MAX : now;
    seconds = now + offset;
    if (__builtin_expect((uint64_t) seconds <= UINT32_MAX, 1)) {
        /* From 1970 to 2106 the same in half of the bits, in half of the
         * time. */
        few = (uint32_t) seconds;
        day = few / (uint32_t) DAY_SECONDS;
        local.day = day;
        local.minute = (day + 3) % 7 * DAY_MINUTES +
                       few % (uint32_t) DAY_SECONDS / 60;
        return local;
    }
    local.day = seconds / DAY_SECONDS;
    rest = seconds % DAY_SECONDS;
    if (rest < 0) {
        rest += DAY_SECONDS;
        local.day--;
    }
    weekday = (local.day + 3) % 7; /* day 0 was a Thursday */
    if (weekday < 0) {
        weekday += 7;
    }
    local.minute = (uint32_t) (weekday * DAY_MINUTES + rest / 60);
    return local;
}

ALWAYS_INLINE int32_t
clamp_day(int64_t day)
{
    return (int32_t) (day < INT32_MIN   ? INT32_MIN
                      : day > INT32_MAX ? INT32_MAX
                                        : day);
}

static __attribute__((noinline)) bool
is_closed_day(const policy_image_t *image, uint32_t calendar, int64_t day)
{
    uint32_t first = image_u32(image, SECTION_CALENDARS, calendar);
    uint32_t low = first, middle;
    uint32_t high = image_u32(image, SECTION_CALENDARS, calendar + 1);
    const uint8_t *range;

    /* The ranges before `low` begin on that day or before it. */
    while (low < high) {
        middle = low + (high - low) / 2;
        range = image_element(image, SECTION_CLOSED, 8, middle);
        if ((int32_t) load_le32(range) <= day) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == first) {
        return false;
    }
    range = image_element(image, SECTION_CLOSED, 8, low - 1);
    return day <= (int32_t) load_le32(range + 4);
}

/* What hours and calendar say of the moment: NONE, CLOSED or HOLIDAY. */
ALWAYS_INLINE policy_reason_t
opening(const policy_image_t *image, const uint8_t *record, local_time_t local)
{
    uint32_t calendar = load_le32(record + FACILITY_CALENDAR);
    uint32_t count = load_le32(record + FACILITY_HOURS + 4);
    uint32_t start, elapsed, days_ago, minute = local.minute % DAY_MINUTES;
    bool inside = false;
    const uint8_t *window;

    if ((record[FACILITY_FLAGS] & FACILITY_HAS_HOURS) == 0) {
        return is_closed_day(image, calendar, local.day) ? POLICY_HOLIDAY
                                                         : POLICY_REASON_NONE;
    }
    window = image_element(image, SECTION_WINDOWS, 4,
                           load_le32(record + FACILITY_HOURS));
    for (uint32_t i = 0; i < count; i++, window += 4) {
        start = load_le16(window);
        elapsed = local.minute - start;
        elapsed += elapsed >> 31 ? IMAGE_WEEK_MINUTES : 0;
        if (elapsed >= load_le16(window + 2) - start) {
            continue;
        }
        if (calendar == 0) {
            return POLICY_REASON_NONE;
        }
        inside = true;
        /* It belongs to the day it starts. */
        days_ago = elapsed <= minute
                       ? 0
                       : (elapsed - minute + DAY_MINUTES - 1) / DAY_MINUTES;
        if (!is_closed_day(image, calendar, local.day - days_ago)) {
            return POLICY_REASON_NONE;
        }
    }
    return inside || is_closed_day(image, calendar, local.day) ? POLICY_HOLIDAY
                                                               : POLICY_CLOSED;
}

/* Calendar and hours, with the second factor that may stand in for them. */
ALWAYS_INLINE policy_reason_t
check_opening(const policy_image_t *image, const uint8_t *record,
              local_time_t local, const policy_request_t *request,
              policy_obligations_t *owed, policy_trace_t *trace)
{
    policy_reason_t reason = opening(image, record, local);

    if (load_le32(record + FACILITY_CALENDAR) != 0) {
        note(trace, POLICY_CONDITION_CALENDAR, POLICY_PASSED);
    }
    if (reason == POLICY_REASON_NONE) {
        if ((record[FACILITY_FLAGS] & FACILITY_HAS_HOURS) != 0) {
            note(trace, POLICY_CONDITION_HOURS, POLICY_PASSED);
        }
        return POLICY_REASON_NONE;
    }
    if ((record[FACILITY_FLAGS] & FACILITY_OFF_HOURS_FACTOR) == 0) {
        if (reason == POLICY_HOLIDAY) {
            return fail(trace, POLICY_CONDITION_CALENDAR, reason);
        }
        return fail(trace, POLICY_CONDITION_HOURS, reason);
    }
    switch (request->factor) {
    case POLICY_FACTOR_FRESH:
        note(trace, POLICY_CONDITION_HOURS, POLICY_PASSED);
        return POLICY_REASON_NONE;
    case POLICY_FACTOR_LATER:
        owed->factor_fresh = true;
        note(trace, POLICY_CONDITION_HOURS, POLICY_POSTPONED);
        return POLICY_REASON_NONE;
    case POLICY_FACTOR_MISSING_YET:
        break;
    }
    return fail(trace, POLICY_CONDITION_HOURS, POLICY_FACTOR_MISSING);
}

static bool
came_via(const policy_image_t *image, const uint8_t *record,
         const address_t *local)
{
    uint32_t count = load_le32(record + FACILITY_VIA + 4);
    const uint8_t *at = image_element(image, SECTION_VIA, VIA_SIZE,
                                      load_le32(record + FACILITY_VIA));

    for (uint32_t i = 0; i < count; i++, at += VIA_SIZE) {
        if (at[0] == local->family &&
            memcmp(at + 1, local->bytes,
                   local->family == ADDRESS_IPV4 ? 4 : 16) == 0)
        {
            return true;
        }
    }
    return false;
}

static bool
is_in_country(const policy_image_t *image, const uint8_t *record,
              const policy_request_t *request, policy_trace_t *trace)
{
    uint32_t count = load_le32(record + FACILITY_COUNTRIES + 4);
    const uint8_t *at = image_element(image, SECTION_COUNTRIES, 2,
                                      load_le32(record + FACILITY_COUNTRIES));
    char code[2];

    if (request->country == NULL ||
        !request->country(request->country_context, &request->address, code))
    {
        return false;
    }
    if (trace != NULL) {
        memcpy(trace->country, code, sizeof(code));
    }
    for (uint32_t i = 0; i < count; i++, at += 2) {
        if (memcmp(at, code, sizeof(code)) == 0) {
            return true;
        }
    }
    return false;
}

static bool
is_listed(const policy_image_t *image, const uint8_t *record, slice_t user)
{
    uint32_t list = load_le32(record + FACILITY_USER_LIST), middle;
    uint32_t low = image_u32(image, SECTION_USER_LISTS, list);
    uint32_t high = image_u32(image, SECTION_USER_LISTS, list + 1);
    int order;

    while (low < high) {
        middle = low + (high - low) / 2;
        order = image_compare(user, image_user(image, middle));
        if (order == 0) {
            return true;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return false;
}

static policy_reason_t
check_device(const policy_image_t *image, uint32_t facility, uint8_t device,
             const policy_request_t *request, policy_trace_t *trace)
{
    const policy_certificate_t *certificate = request->certificate;
    uint8_t candidate[4];

    if (request->service != POLICY_SERVICE_WEB) {
        /* No other door shows a certificate: closed, if one is required. */
        return device == POLICY_DEVICE_REQUIRED
                   ? fail(trace, POLICY_CONDITION_DEVICE, POLICY_DEVICE_MISSING)
                   : POLICY_REASON_NONE;
    }
    if (certificate == NULL) {
        if (device == POLICY_DEVICE_REQUIRED) {
            return fail(trace, POLICY_CONDITION_DEVICE, POLICY_DEVICE_MISSING);
        }
        note(trace, POLICY_CONDITION_DEVICE, POLICY_PASSED);
        return POLICY_REASON_NONE;
    }
    store_le32(candidate, facility);
    if (device_owner(image, certificate, candidate, 1) == POLICY_NO_FACILITY ||
        request->now < certificate->not_before ||
        request->now > certificate->not_after)
    {
        return fail(trace, POLICY_CONDITION_DEVICE, POLICY_DEVICE_UNKNOWN);
    }
    note(trace, POLICY_CONDITION_DEVICE, POLICY_PASSED);
    return POLICY_REASON_NONE;
}

/* All conditions behind the network, in their order: NONE, or the reason. */
ALWAYS_INLINE policy_reason_t
check_facility(const policy_image_t *image, uint32_t facility,
               const policy_request_t *request, policy_obligations_t *owed,
               policy_trace_t *trace)
{
    const uint8_t *record = image_facility(image, facility);
    int32_t valid_from = (int32_t) load_le32(record + FACILITY_VALID_FROM);
    int32_t valid_to = (int32_t) load_le32(record + FACILITY_VALID_TO);
    uint8_t flags = record[FACILITY_FLAGS], device = record[FACILITY_DEVICE];
    bool timed = (flags & FACILITY_HAS_HOURS) != 0 ||
                 load_le32(record + FACILITY_CALENDAR) != 0;
    local_time_t local;
    policy_reason_t reason;
    int32_t offset;

    if (trace != NULL) {
        for (unsigned i = POLICY_CONDITION_VALID; i < POLICY_CONDITION_COUNT;
             i++) {
            trace->outcome[i] = POLICY_NOT_ASKED;
        }
    }
    offset = image_zone_offset(image, load_le32(record + FACILITY_ZONE),
                               request->now);
    local = local_time(request->now, offset);
    if (trace != NULL) {
        trace->offset = offset;
    }

    /* An open end is the end of all days. */
    if (clamp_day(local.day) < valid_from || clamp_day(local.day) > valid_to) {
        return fail(trace, POLICY_CONDITION_VALID, POLICY_NOT_VALID);
    }
    if (valid_from != INT32_MIN || valid_to != INT32_MAX) {
        note(trace, POLICY_CONDITION_VALID, POLICY_PASSED);
    }

    if ((unsigned) request->service >= POLICY_SERVICE_COUNT ||
        (record[FACILITY_SERVICES] & POLICY_SERVICE_BIT(request->service)) == 0)
    {
        return fail(trace, POLICY_CONDITION_SERVICES,
                    POLICY_SERVICE_NOT_ALLOWED);
    }
    note(trace, POLICY_CONDITION_SERVICES, POLICY_PASSED);

    if (load_le32(record + FACILITY_VIA + 4) > 0) {
        if (!came_via(image, record, &request->local)) {
            return fail(trace, POLICY_CONDITION_VIA, POLICY_WRONG_INGRESS);
        }
        note(trace, POLICY_CONDITION_VIA, POLICY_PASSED);
    }

    if (request->service == POLICY_SERVICE_WEB) {
        if (request->transport != POLICY_TRANSPORT_ENCRYPTED &&
            request->transport != POLICY_TRANSPORT_WAIVED)
        {
            return fail(trace, POLICY_CONDITION_TRANSPORT, POLICY_PLAINTEXT);
        }
        note(trace, POLICY_CONDITION_TRANSPORT, POLICY_PASSED);
    }

    if (device != POLICY_DEVICE_NONE) {
        reason = check_device(image, facility, device, request, trace);
        if (reason != POLICY_REASON_NONE) {
            return reason;
        }
    }

    if (load_le32(record + FACILITY_COUNTRIES + 4) > 0) {
        if (!is_in_country(image, record, request, trace)) {
            return fail(trace, POLICY_CONDITION_COUNTRY, POLICY_WRONG_COUNTRY);
        }
        note(trace, POLICY_CONDITION_COUNTRY, POLICY_PASSED);
    }

    if (timed) {
        reason = check_opening(image, record, local, request, owed, trace);
        if (reason != POLICY_REASON_NONE) {
            return reason;
        }
    }

    if (request->action != ACTION_NONE) {
        if ((unsigned) request->action >= ACTION_COUNT ||
            (record[FACILITY_ACTIONS] & ACTION_BIT(request->action)) == 0)
        {
            return fail(trace, POLICY_CONDITION_ACTIONS,
                        POLICY_ACTION_NOT_ALLOWED);
        }
        note(trace, POLICY_CONDITION_ACTIONS, POLICY_PASSED);
    }

    if ((flags & FACILITY_HAS_USERS) != 0) {
        if (request->user_state == POLICY_USER_LATER) {
            owed->users_pending = true;
            note(trace, POLICY_CONDITION_USERS, POLICY_POSTPONED);
        } else if (request->user_state == POLICY_USER_NAMED &&
                   is_listed(image, record, request->user))
        {
            note(trace, POLICY_CONDITION_USERS, POLICY_PASSED);
        } else {
            return fail(trace, POLICY_CONDITION_USERS, POLICY_USER_NOT_LISTED);
        }
    }
    return POLICY_REASON_NONE;
}

/* ---- The whole ---- */

/* How a request came to its facility. */
typedef struct {
    uint32_t facility; /* or POLICY_NO_FACILITY, and then: */
    policy_reason_t reason;
    bool dry_run;           /* of all candidates */
    uint32_t any_candidate; /* for the trace; or POLICY_NO_FACILITY */
} choice_t;

/* Chooses among the candidates of a set that is not one facility alone. */
static __attribute__((noinline)) choice_t
choose(const policy_image_t *image, uint32_t set,
       const policy_request_t *request)
{
    const policy_certificate_t *certificate = request->service ==
                                                      POLICY_SERVICE_WEB
                                                  ? request->certificate
                                                  : NULL;
    choice_t choice = {POLICY_NO_FACILITY, POLICY_UNKNOWN_NETWORK, false,
                       POLICY_NO_FACILITY};
    const uint8_t *record, *members;
    uint32_t count;

    if (set == IMAGE_NONE) {
        return choice;
    }
    record = image_element(image, SECTION_SETS, SET_SIZE,
                           set - image->count[SECTION_FACILITIES]);
    count = load_le32(record + SET_MEMBERS + 4);
    if (count == 0) {
        return choice;
    }
    members = image_element(image, SECTION_MEMBERS, 4,
                            load_le32(record + SET_MEMBERS));
    if (set == image->count[SECTION_FACILITIES] + SET_ANY) {
        /* Matches by a certificate of the facility's or not at all: who shows
         * none is a stranger, also where nothing is enforced yet. */
        if (certificate != NULL) {
            choice.facility = device_owner(image, certificate, members, count);
            choice.any_candidate = load_le32(members);
            choice.reason = POLICY_DEVICE_UNKNOWN;
        }
        return choice;
    }
    choice.any_candidate = load_le32(members);
    if (count == 1) {
        choice.facility = choice.any_candidate;
        return choice;
    }
    if (certificate != NULL) {
        choice.facility = device_owner(image, certificate, members, count);
    }
    if (choice.facility == POLICY_NO_FACILITY) {
        choice.facility = load_le32(record + SET_OPEN);
    }
    choice.reason = certificate != NULL ? POLICY_DEVICE_UNKNOWN
                                        : POLICY_DEVICE_MISSING;
    choice.dry_run = load_le32(record + SET_DRY_RUN) != 0;
    return choice;
}

/* The longest prefix of the facility with the address in it: the one that
 * matched, because no other facility has a longer one. */
static void
trace_network(const policy_image_t *image, uint32_t set, uint32_t facility,
              const address_t *address, policy_trace_t *trace)
{
    uint32_t facilities = image->count[SECTION_FACILITIES];
    prefix_t prefix;

    note(trace, POLICY_CONDITION_NETWORK, POLICY_PASSED);
    trace->network_any = set == facilities + SET_ANY;
    trace->network_local = set == facilities + SET_LOCAL;
    if (trace->network_any || trace->network_local) {
        return;
    }
    for (uint32_t i = 0; policy_facility_network(image, facility, i, &prefix);
         i++) {
        if (prefix_contains(&prefix, address) &&
            (trace->network.address.family == ADDRESS_NONE ||
             prefix.bits > trace->network.bits))
        {
            trace->network = prefix;
        }
    }
}

/* Those behind the one that failed were not tried. */
static void
trace_end(policy_trace_t *trace)
{
    unsigned i = 0;

    while (i < POLICY_CONDITION_COUNT && trace->outcome[i] != POLICY_FAILED) {
        i++;
    }
    while (++i < POLICY_CONDITION_COUNT) {
        trace->outcome[i] = POLICY_NOT_TRIED;
    }
}

/* Allowed because nothing is enforced yet: what it would have been is kept. */
static void
allow_dry(policy_decision_t *decision)
{
    decision->verdict = POLICY_ALLOW;
    decision->dry_run_reason = decision->reason;
    decision->reason = POLICY_DRY_RUN;
}

ALWAYS_INLINE void
decide(const policy_image_t *image, const policy_request_t *request,
       policy_decision_t *decision, policy_trace_t *trace)
{
    uint32_t set = find_set(image, &request->address);
    policy_reason_t reason;
    const uint8_t *record;
    choice_t choice = {set, POLICY_REASON_NONE, false, set};

    if (set == image->count[SECTION_FACILITIES] + SET_ANY && image->nobody_any)
    {
        /* The way of scanners: as short as can be. */
        decision->reason = fail(trace, POLICY_CONDITION_NETWORK,
                                POLICY_UNKNOWN_NETWORK);
        return;
    }
    if (set >= image->count[SECTION_FACILITIES]) {
        choice = choose(image, set, request);
    }
    if (trace != NULL && choice.any_candidate != POLICY_NO_FACILITY) {
        trace_network(image, set,
                      choice.facility != POLICY_NO_FACILITY
                          ? choice.facility
                          : choice.any_candidate,
                      &request->address, trace);
    }
    if (choice.facility == POLICY_NO_FACILITY) {
        decision->reason = choice.reason;
        if (choice.reason == POLICY_UNKNOWN_NETWORK) {
            note(trace, POLICY_CONDITION_NETWORK, POLICY_FAILED);
            return;
        }
        /* What lies between cannot be asked: of whom? */
        for (unsigned i = POLICY_CONDITION_VALID; i < POLICY_CONDITION_DEVICE;
             i++) {
            note(trace, i, POLICY_NOT_ASKED);
        }
        note(trace, POLICY_CONDITION_DEVICE, POLICY_FAILED);
        if (choice.dry_run) {
            allow_dry(decision);
            decision->obligations.actions = ACTION_ALL;
        }
        return;
    }

    decision->facility = choice.facility;
    reason = check_facility(image, choice.facility, request,
                            &decision->obligations, trace);
    record = image_facility(image, choice.facility);
    if (reason == POLICY_REASON_NONE) {
        decision->verdict = POLICY_ALLOW;
        decision->reason = POLICY_OK;
    } else {
        decision->reason = reason;
        if ((record[FACILITY_FLAGS] & FACILITY_DRY_RUN) == 0) {
            decision->obligations = (policy_obligations_t){0};
            return;
        }
        allow_dry(decision);
    }
    decision->obligations.second_factor = (record[FACILITY_FLAGS] &
                                           FACILITY_SECOND_FACTOR) != 0;
    decision->obligations.idle_seconds = load_le32(record + FACILITY_IDLE);
    decision->obligations.max_seconds = load_le32(record + FACILITY_MAX);
    decision->obligations.actions = record[FACILITY_ACTIONS];
}

/* Of its own, so that the way without a trace holds no trace of it. */
static __attribute__((noinline)) void
decide_traced(const policy_image_t *image, const policy_request_t *request,
              policy_decision_t *decision, policy_trace_t *trace)
{
    *trace = (policy_trace_t){0};
    if (image != NULL) {
        decide(image, request, decision, trace);
        trace_end(trace);
    }
}

void
policy_decide(const policy_image_t *image, const policy_request_t *request,
              policy_decision_t *decision, policy_trace_t *trace)
{
    *decision = (policy_decision_t){
        .verdict = POLICY_DENY,
        .reason = POLICY_POLICY_MISSING,
        .facility = POLICY_NO_FACILITY,
    };
    if (trace != NULL) {
        decide_traced(image, request, decision, trace);
    } else if (image != NULL) {
        decide(image, request, decision, NULL);
    }
}
