/* Random policies and requests: policy_decide() and the reference agree. */

#include <errno.h>

#include "policy_decided.h"
#include "policy_reference.h"
#include "random_numbers.h"

#define FACILITIES_MAX 60
#define NETWORKS_MAX   300
#define POLICIES       150
#define REQUESTS       2500  /* of each policy */
#define COMPILED       1500  /* policies that are only compiled */
#define TODAY          20781 /* 2026-11-24 */

/* A policy, with room for all that its facilities may have. */
typedef struct {
    policy_source_t source;
    policy_source_facility_t facilities[FACILITIES_MAX];
    char ids[FACILITIES_MAX][8];
    policy_source_network_t networks[FACILITIES_MAX][NETWORKS_MAX];
    address_t via[FACILITIES_MAX][2];
    char countries[FACILITIES_MAX][2][2];
    policy_fingerprint_t pins[FACILITIES_MAX][3];
    policy_fingerprint_t authorities[FACILITIES_MAX][2];
    policy_window_t hours[FACILITIES_MAX][6];
    policy_days_t closed[FACILITIES_MAX][8];
    slice_t users[FACILITIES_MAX][6];
    prefix_t all[NETWORKS_MAX]; /* of all facilities */
    uint32_t all_count;
    const char *zones[2]; /* few: each costs the compiler milliseconds */
} random_policy_t;

static const char *const zones[] = {
    "UTC",           "Asia/Tokyo",        "Asia/Kolkata",
    "Europe/Berlin", "America/New_York",  "Australia/Lord_Howe",
    "Etc/GMT+12",    "Pacific/Kiritimati"};
static const char *const names[] = {"abe", "ito", "kato", "mori", "sato"};
static const char *const locals[] = {"10.8.0.1", "10.8.0.2", "2001:db8::7",
                                     "::1"};
static const char codes[][2] = {{'J', 'P'}, {'K', 'R'}, {'D', 'E'}};

static void
fingerprint(uint8_t sha256[32], unsigned number)
{
    memset(sha256, (int) (number * 37 % 256), 32);
    sha256[0] = (uint8_t) (number % 3); /* many begin alike */
    sha256[31] = (uint8_t) number;
}

/* ---- Prefixes ----------------------------------------------------------- */

static void
clear_host_bits(prefix_t *prefix)
{
    for (unsigned i = prefix->bits; i < 128; i++) {
        prefix->address.bytes[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
    }
}

static uint8_t
bits_of(const prefix_t *prefix)
{
    return prefix->address.family == ADDRESS_IPV4 ? 32 : 128;
}

static prefix_t
fresh_prefix(random_t *random)
{
    static const uint8_t bits4[] = {0,  1,  2,  3,  7,  8,  12, 16, 20, 22,
                                    23, 24, 25, 28, 29, 30, 31, 32, 32, 32};
    static const uint8_t bits6[] = {0,  1,  2,  3,  16,  20,  32,  44,
                                    48, 56, 60, 61, 62,  63,  64,  64,
                                    65, 66, 80, 96, 126, 127, 128, 128};
    prefix_t prefix = {.address.family = ADDRESS_IPV4};

    for (size_t i = 0; i < 16; i++) {
        prefix.address.bytes[i] = (uint8_t) random_next(random);
    }
    if (random_percent(random, 50)) {
        memset(prefix.address.bytes + 1, 0, 2);
        memset(prefix.address.bytes + 4, 0, 4);
    }
    if (random_percent(random, 50)) {
        prefix.address.family = ADDRESS_IPV6;
        if (random_percent(random, 70)) { /* most are of one block */
            memcpy(prefix.address.bytes, "\x20\x01\x0d\xb8", 4);
        }
        prefix.bits = RANDOM_OF(random, bits6);
    } else {
        prefix.bits = RANDOM_OF(random, bits4);
    }
    clear_host_bits(&prefix);
    return prefix;
}

/* Often one that has to do with another. */
static prefix_t
random_prefix(random_t *random, const random_policy_t *policy)
{
    prefix_t prefix;
    unsigned bits;

    if (policy->all_count == 0 || random_percent(random, 25)) {
        return fresh_prefix(random);
    }
    prefix = policy->all[random_below(random, policy->all_count)];
    bits = bits_of(&prefix);
    switch (random_below(random, 5)) {
    case 0: /* the same */
        break;
    case 1: /* around it */
        prefix.bits = (uint8_t) random_below(random, prefix.bits + 1u);
        break;
    case 2: /* its neighbour */
        if (prefix.bits > 0) {
            unsigned i = prefix.bits - 1u;
            prefix.address.bytes[i / 8] ^= (uint8_t) (0x80 >> i % 8);
        }
        break;
    case 3: /* within it, near */
        bits = prefix.bits + 9u < bits ? prefix.bits + 9u : bits;
        /* fall through */
    default: /* within it, at its beginning or anywhere */
        if (random_percent(random, 70)) {
            for (unsigned i = prefix.bits; i < bits; i++) {
                prefix.address.bytes[i / 8] |=
                    (uint8_t) (random_below(random, 2) << (7 - i % 8));
            }
        }
        prefix.bits += (uint8_t) random_below(random, bits - prefix.bits + 1u);
        break;
    }
    clear_host_bits(&prefix);
    return prefix;
}

/* Would the compiler refuse these two with this in common? */
static bool
is_taken(const random_policy_t *policy, size_t facility, const prefix_t *prefix)
{
    for (size_t i = 0; i < policy->source.facilities_count; i++) {
        const policy_source_facility_t *other = &policy->facilities[i];

        for (size_t j = 0; i != facility && j < other->networks_count; j++) {
            if (reference_same_prefix(&other->networks[j].prefix, prefix) &&
                reference_conflict(other, &policy->facilities[facility]))
            {
                return true;
            }
        }
    }
    return false;
}

static void
add_network(random_t *random, random_policy_t *policy, bool in_conflict)
{
    size_t facility = random_below(random,
                                   (uint32_t) policy->source.facilities_count);
    policy_source_facility_t *to = &policy->facilities[facility];
    prefix_t prefix = random_prefix(random, policy);

    if (in_conflict || !is_taken(policy, facility, &prefix)) {
        to->networks[to->networks_count++] = (policy_source_network_t){
            prefix, {"random", 1, 1}};
        policy->all[policy->all_count++] = prefix;
    }
}

/* ---- Facilities --------------------------------------------------------- */

static void
random_times(random_t *random, random_policy_t *policy, size_t number)
{
    policy_source_facility_t *facility = &policy->facilities[number];
    int32_t day = TODAY - 15;

    facility->valid_from = INT32_MIN;
    facility->valid_to = INT32_MAX;
    if (random_percent(random, 20)) {
        facility->valid_from = TODAY - 10 + (int32_t) random_below(random, 20);
    }
    if (random_percent(random, 20)) {
        facility->valid_to = TODAY - 2 + (int32_t) random_below(random, 20);
    }
    facility->has_hours = random_percent(random, 45);
    for (uint32_t i = 1 + random_below(random, 6); facility->has_hours && i > 0;
         i--)
    {
        uint32_t start = random_below(random, 10080);
        uint32_t length = 1 + random_below(random, 1440);

        if (random_percent(random, 40)) {
            start -= start % 60;
        }
        if (random_percent(random, 5)) {
            length = 1 + random_below(random, 10080);
        }
        facility->hours[facility->hours_count++] = (policy_window_t){
            (uint16_t) start, (uint16_t) (start + length)};
    }
    if (random_percent(random, 40)) {
        for (uint32_t i = 1 + random_below(random, 8); i > 0; i--) {
            int32_t last = day + (int32_t) random_below(random, 4);

            facility->closed[facility->closed_count++] = (policy_days_t){day,
                                                                         last};
            day = last + 1 + (int32_t) random_below(random, 7);
        }
    }
}

static void
random_devices(random_t *random, random_policy_t *policy, size_t number)
{
    policy_source_facility_t *facility = &policy->facilities[number];
    uint32_t kind = random_below(random, 10);
    uint32_t pin = random_below(random, 60),
             authority = random_below(random, 40);

    facility->device = kind < 4   ? POLICY_DEVICE_NONE
                       : kind < 5 ? POLICY_DEVICE_OPTIONAL
                                  : POLICY_DEVICE_REQUIRED;
    if (facility->device == POLICY_DEVICE_NONE && random_percent(random, 80)) {
        return;
    }
    for (uint32_t i = random_below(random, 4); i > 0; i--) {
        fingerprint(facility->pins[facility->pins_count++].sha256, pin++);
    }
    for (uint32_t i = random_below(random, 3); i > 0; i--) {
        fingerprint(facility->authorities[facility->authorities_count++].sha256,
                    authority++);
    }
}

static void
random_facility(random_t *random, random_policy_t *policy, size_t number)
{
    policy_source_facility_t *facility = &policy->facilities[number];
    int size = snprintf(policy->ids[number], sizeof(policy->ids[number]),
                        "f%zu", number);

    *facility = (policy_source_facility_t){
        .id = {policy->ids[number], (size_t) size},
        .place = {"random", 1, 1},
        .name = SLICE(""),
        .contact = SLICE(""),
        .zone = slice_of(RANDOM_OF(random, policy->zones)),
        .local = random_percent(random, 10),
        .dry_run = random_percent(random, 25),
        .second_factor = random_percent(random, 50),
        .off_hours_factor = random_percent(random, 30),
        .has_users = random_percent(random, 25),
        .services = random_percent(random, 70) ? 14u
                                               : 2 * random_below(random, 8),
        .actions = random_percent(random, 60) ? ACTION_ALL
                                              : 2 * random_below(random, 64),
        .idle_seconds = random_below(random, 1000),
        .max_seconds = random_below(random, 100000),
        .networks = policy->networks[number],
        .via = policy->via[number],
        .countries = policy->countries[number],
        .pins = policy->pins[number],
        .authorities = policy->authorities[number],
        .hours = policy->hours[number],
        .closed = policy->closed[number],
        .users = policy->users[number],
    };
    random_devices(random, policy, number);
    facility->any = facility->device == POLICY_DEVICE_REQUIRED &&
                    random_percent(random, 15);
    random_times(random, policy, number);
    if (random_percent(random, 20)) {
        facility->via[facility->via_count++] = address_of(
            RANDOM_OF(random, locals));
    }
    if (random_percent(random, 20)) {
        memcpy(facility->countries[facility->countries_count++],
               RANDOM_OF(random, codes), 2);
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (facility->has_users && random_percent(random, 40)) {
            facility->users[facility->users_count++] = slice_of(names[i]);
        }
    }
}

/* Those of `any` and `local` are one candidate set each. */
static void
part(random_policy_t *policy)
{
    for (size_t i = 0; i < policy->source.facilities_count; i++) {
        policy_source_facility_t *facility = &policy->facilities[i];

        for (size_t j = 0; j < i; j++) {
            const policy_source_facility_t *other = &policy->facilities[j];

            if (reference_conflict(facility, other)) {
                facility->any = facility->any && !other->any;
                facility->local = facility->local && !other->local;
            }
        }
    }
}

static void
random_policy(random_t *random, random_policy_t *policy, uint32_t networks,
              bool in_conflict)
{
    policy->source.facilities = policy->facilities;
    policy->source.facilities_count = 1 + random_below(random, FACILITIES_MAX);
    policy->all_count = 0;
    for (size_t i = 0; i < 2; i++) {
        policy->zones[i] = in_conflict ? "UTC" : RANDOM_OF(random, zones);
    }
    for (size_t i = 0; i < policy->source.facilities_count; i++) {
        random_facility(random, policy, i);
    }
    if (!in_conflict) {
        part(policy);
    }
    while (networks-- > 0) {
        add_network(random, policy, in_conflict);
    }
}

/* ---- Requests ----------------------------------------------------------- */

static void
step(address_t *address, bool up)
{
    int i = address->family == ADDRESS_IPV4 ? 3 : 15;

    for (; i >= 0; i--) {
        address->bytes[i] = (uint8_t) (address->bytes[i] + (up ? 1 : -1));
        if (address->bytes[i] != (up ? 0 : 255)) {
            break;
        }
    }
}

/* At the ends of a prefix, one beyond them, within it; or anything. */
static address_t
random_address(random_t *random, const random_policy_t *policy)
{
    uint32_t kind = random_below(random, 100);
    prefix_t prefix;
    address_t address;

    if (kind < 3) {
        return address_of(kind < 2 ? "local" : NULL);
    }
    if (kind < 15 || policy->all_count == 0) {
        address = fresh_prefix(random).address;
        return address;
    }
    prefix = policy->all[random_below(random, policy->all_count)];
    address = prefix.address;
    for (unsigned i = prefix.bits; kind >= 35 && i < bits_of(&prefix); i++) {
        if (kind < 55 || random_percent(random, 50)) {
            address.bytes[i / 8] |= (uint8_t) (0x80 >> i % 8);
        }
    }
    if (kind < 55 && random_percent(random, 50)) {
        step(&address, kind >= 35);
    }
    return address;
}

static int64_t
random_now(random_t *random)
{
    static const int64_t changes[] = {1792890000, 1806195600, 1805007600,
                                      1825567200, 1791041400, 1806764400};
    uint32_t kind = random_below(random, 10);
    int64_t now;

    if (kind == 0) { /* 2020 to 2069 */
        return 1577836800 +
               (int64_t) (random_next(random) % UINT64_C(1577836800));
    }
    if (kind == 1) { /* where summer time begins or ends */
        return RANDOM_OF(random, changes) - 7200 + random_below(random, 14400);
    }
    now = (int64_t) (TODAY - 18) * 86400 + random_below(random, 36 * 86400);
    if (kind < 7) { /* the end or the beginning of a minute */
        now = now - now % 60 - random_below(random, 2);
    }
    return now;
}

static bool
look_up(void *context, const address_t *address, char code[2])
{
    unsigned country = address->bytes[1] % 4u;

    (void) context;
    if (country == 3) {
        return false;
    }
    memcpy(code, codes[country], 2);
    return true;
}

static policy_request_t
random_request(random_t *random, const random_policy_t *policy,
               policy_certificate_t *certificate)
{
    policy_request_t request = {
        .address = random_address(random, policy),
        .local = address_of(
            random_percent(random, 90) ? RANDOM_OF(random, locals) : NULL),
        .now = random_now(random),
        .service = random_percent(random, 75)
                       ? POLICY_SERVICE_WEB
                       : (policy_service_t) random_below(
                             random, POLICY_SERVICE_COUNT + 1),
        .action = random_percent(random, 60)
                      ? ACTION_NONE
                      : (action_t) random_below(random, ACTION_COUNT + 1),
        .transport = random_percent(random, 85)
                         ? POLICY_TRANSPORT_ENCRYPTED
                         : (policy_transport_t) random_below(random, 4),
        .factor = (policy_factor_t) random_below(random, 4),
        .user_state = (policy_user_state_t) random_below(random, 4),
        .user = slice_of(RANDOM_OF(random, names)),
        .country = random_percent(random, 90) ? look_up : NULL,
    };

    if (random_percent(random, 75)) {
        *certificate = (policy_certificate_t){
            .not_before = request.now - random_below(random, 50),
            .not_after = request.now - 2 + random_below(random, 50),
            .verified = random_percent(random, 80),
            .chain_count = (uint8_t) random_below(random, POLICY_CHAIN_MAX + 1),
        };
        fingerprint(certificate->sha256, random_below(random, 66));
        for (size_t i = 0; i < POLICY_CHAIN_MAX; i++) {
            fingerprint(certificate->chain_sha256[i], random_below(random, 60));
        }
        request.certificate = certificate;
    }
    return request;
}

/* ---- The comparison ----------------------------------------------------- */

static policy_condition_t
condition_of(policy_reason_t reason)
{
    switch (reason) {
    case POLICY_UNKNOWN_NETWORK:
        return POLICY_CONDITION_NETWORK;
    case POLICY_NOT_VALID:
        return POLICY_CONDITION_VALID;
    case POLICY_SERVICE_NOT_ALLOWED:
        return POLICY_CONDITION_SERVICES;
    case POLICY_WRONG_INGRESS:
        return POLICY_CONDITION_VIA;
    case POLICY_PLAINTEXT:
        return POLICY_CONDITION_TRANSPORT;
    case POLICY_DEVICE_MISSING:
    case POLICY_DEVICE_UNKNOWN:
        return POLICY_CONDITION_DEVICE;
    case POLICY_WRONG_COUNTRY:
        return POLICY_CONDITION_COUNTRY;
    case POLICY_HOLIDAY:
        return POLICY_CONDITION_CALENDAR;
    case POLICY_CLOSED:
    case POLICY_FACTOR_MISSING:
        return POLICY_CONDITION_HOURS;
    case POLICY_ACTION_NOT_ALLOWED:
        return POLICY_CONDITION_ACTIONS;
    case POLICY_USER_NOT_LISTED:
        return POLICY_CONDITION_USERS;
    default:
        return POLICY_CONDITION_COUNT;
    }
}

static bool
same_obligations(const policy_obligations_t *a, const policy_obligations_t *b)
{
    return a->second_factor == b->second_factor &&
           a->factor_fresh == b->factor_fresh &&
           a->users_pending == b->users_pending &&
           a->idle_seconds == b->idle_seconds &&
           a->max_seconds == b->max_seconds && a->actions == b->actions;
}

static bool
agree(const policy_decision_t *got, const reference_t *expected)
{
    return got->verdict == expected->verdict &&
           got->reason == expected->reason &&
           got->dry_run_reason == expected->dry_run_reason &&
           got->facility == expected->facility &&
           same_obligations(&got->obligations, &expected->owed);
}

/* The trace tells the same story: what matched, and what failed. */
static bool
trace_agrees(const policy_trace_t *trace, const policy_request_t *request,
             const reference_t *expected)
{
    policy_reason_t reason = expected->reason == POLICY_DRY_RUN
                                 ? expected->dry_run_reason
                                 : expected->reason;
    unsigned failed = condition_of(reason);

    if (expected->bits >= 0 &&
        (trace->network.bits != expected->bits ||
         !reference_contains(&trace->network, &request->address)))
    {
        return false;
    }
    for (unsigned i = 0; i < POLICY_CONDITION_COUNT; i++) {
        if ((trace->outcome[i] == POLICY_FAILED) != (i == failed) ||
            (trace->outcome[i] == POLICY_NOT_TRIED) != (i > failed))
        {
            return false;
        }
    }
    return true;
}

static void
compare(const random_policy_t *policy, const policy_image_t *image,
        const policy_request_t *request, unsigned seed, unsigned number)
{
    bool candidates[FACILITIES_MAX];
    reference_t expected = reference_decide(&policy->source, request,
                                            candidates);
    char address[ADDRESS_TEXT_MAX];
    policy_decision_t got, traced;
    policy_trace_t trace;

    memset(&got, 0xa5, sizeof(got));
    memset(&traced, 0xa5, sizeof(traced));
    memset(&trace, 0xa5, sizeof(trace));
    policy_decide(image, request, &got, NULL);
    policy_decide(image, request, &traced, &trace);
    if (agree(&got, &expected) && agree(&traced, &expected) &&
        trace_agrees(&trace, request, &expected))
    {
        return;
    }
    (void) address_format(&request->address, address);
    fail_msg("policy %u, request %u from \"%s\" at %lld: %s %s (%s) %d, "
             "traced %s %s (%s) %d /%d, the reference %s %s (%s) %d /%d",
             seed, number, address, (long long) request->now,
             policy_verdict_name(got.verdict), policy_reason_name(got.reason),
             policy_reason_name(got.dry_run_reason), (int) got.facility,
             policy_verdict_name(traced.verdict),
             policy_reason_name(traced.reason),
             policy_reason_name(traced.dry_run_reason), (int) traced.facility,
             trace.network.bits, policy_verdict_name(expected.verdict),
             policy_reason_name(expected.reason),
             policy_reason_name(expected.dry_run_reason),
             (int) expected.facility, expected.bits);
}

static void
random_policies_are_decided_as_by_the_reference(void **state)
{
    random_policy_t *policy = calloc(1, sizeof(*policy));
    unsigned reasons[POLICY_REASON_COUNT] = {0};
    policy_certificate_t certificate;
    policy_decision_t decision;

    (void) state;
    assert_non_null(policy);
    for (unsigned seed = 0; seed < POLICIES; seed++) {
        random_t random = {seed};
        policy_image_t *image;

        random_policy(&random, policy, random_below(&random, NETWORKS_MAX + 1),
                      false);
        image = compiled(&policy->source);
        for (unsigned i = 0; i < REQUESTS; i++) {
            policy_request_t request = random_request(&random, policy,
                                                      &certificate);

            compare(policy, image, &request, seed, i);
            policy_decide(image, &request, &decision, NULL);
            reasons[decision.reason]++;
        }
        policy_image_free(image);
    }
    free(policy);
    /* and every reason was tried, often */
    for (unsigned i = POLICY_OK; i < POLICY_POLICY_MISSING; i++) {
        if (reasons[i] < 500) {
            fail_msg("only %u times %s", reasons[i],
                     policy_reason_name((policy_reason_t) i));
        }
    }
}

/* ---- What the compiler refuses ------------------------------------------ */

static bool
has_conflict(const random_policy_t *policy)
{
    size_t count = policy->source.facilities_count;

    for (size_t i = 0; i < count; i++) {
        const policy_source_facility_t *a = &policy->facilities[i];

        for (size_t j = 0; j < i; j++) {
            const policy_source_facility_t *b = &policy->facilities[j];
            bool together = (a->any && b->any) || (a->local && b->local);

            for (size_t k = 0; !together && k < a->networks_count; k++) {
                for (size_t m = 0; m < b->networks_count; m++) {
                    together = together ||
                               reference_same_prefix(&a->networks[k].prefix,
                                                     &b->networks[m].prefix);
                }
            }
            if (together && reference_conflict(a, b)) {
                return true;
            }
        }
    }
    return false;
}

static void
random_conflicts_are_refused_as_by_the_reference(void **state)
{
    random_policy_t *policy = calloc(1, sizeof(*policy));
    unsigned refused = 0;

    (void) state;
    assert_non_null(policy);
    for (unsigned seed = 0; seed < COMPILED; seed++) {
        random_t random = {UINT64_C(1) << 32 | seed};
        report_t *report = report_new();
        uint8_t *bytes;
        size_t size;
        bool conflict;
        int result;

        random_policy(&random, policy, random_below(&random, 12), true);
        conflict = has_conflict(policy);
        refused += conflict;
        result = policy_compile(&policy->source, report, &bytes, &size);
        if (result != (conflict ? -EINVAL : 0) ||
            (report_errors(report) > 0) != conflict ||
            (bytes != NULL) == conflict || (size > 0) == conflict)
        {
            fail_msg("policy %u: %d, %u errors, the reference %s", seed, result,
                     report_errors(report), conflict ? "refuses" : "accepts");
        }
        free(bytes);
        report_free(report);
    }
    free(policy);
    assert_in_range(refused, COMPILED / 5, COMPILED * 4 / 5);
}

UNIT_TESTS(cmocka_unit_test(random_policies_are_decided_as_by_the_reference),
           cmocka_unit_test(random_conflicts_are_refused_as_by_the_reference))
