/*
 * From an address to its candidates, with thousands of prefixes: at both ends
 * of every prefix, and one address beyond them.  The reference looks for each
 * length in a sorted list, the longest first.
 */

#include "policy_decided.h"
#include "random_numbers.h"

#define OPEN       1000 /* facilities that ask for no certificate */
#define PINNED     200  /* that do; their numbers follow */
#define FACILITIES (OPEN + PINNED)
#define PREFIXES   20000
#define NONE       UINT32_MAX

/* A prefix and its candidates. */
typedef struct {
    prefix_t prefix;
    uint32_t open;      /* or NONE */
    uint32_t pinned[2]; /* or NONE */
} entry_t;

typedef struct {
    entry_t *entries; /* sorted by length and bytes, each prefix once */
    size_t count;
} table_t;

typedef prefix_t (*make_fn)(random_t *random);

/* ---- Shapes of policies ------------------------------------------------- */

static void
clear_host_bits(prefix_t *prefix)
{
    for (unsigned i = prefix->bits; i < 128; i++) {
        prefix->address.bytes[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
    }
}

static prefix_t
make(random_t *random, address_family_t family, const char *base,
     unsigned base_bytes, unsigned bits_from, unsigned bits_to)
{
    prefix_t prefix = {.address.family = (uint8_t) family};

    for (size_t i = base_bytes; i < 16; i++) {
        prefix.address.bytes[i] = (uint8_t) random_next(random);
    }
    memcpy(prefix.address.bytes, base, base_bytes);
    prefix.bits = (uint8_t) (bits_from +
                             random_below(random, bits_to - bits_from + 1));
    clear_host_bits(&prefix);
    return prefix;
}

/* All over IPv4, as a table of countries' networks. */
static prefix_t
wide4(random_t *random)
{
    return random_percent(random, 10)
               ? make(random, ADDRESS_IPV4, "", 0, 0, 15)
               : make(random, ADDRESS_IPV4, "", 0, 16, 32);
}

/* A few networks full of hosts and halves of hosts' networks. */
static prefix_t
dense4(random_t *random)
{
    static const char *const bases[] = {"\x0a\x00", "\x0a\x01", "\xff\xff",
                                        "\x00\x00"};
    const char *base = RANDOM_OF(random, bases);

    return random_percent(random, 20)
               ? make(random, ADDRESS_IPV4, base, 1, 0, 24)
               : make(random, ADDRESS_IPV4, base, 2, 24, 32);
}

static prefix_t
wide6(random_t *random)
{
    return random_percent(random, 5) ? make(random, ADDRESS_IPV6, "", 0, 0, 20)
           : random_percent(random, 50)
               ? make(random, ADDRESS_IPV6, "\x20\x01", 2, 24, 64)
               : make(random, ADDRESS_IPV6, "\x2a", 1, 16, 128);
}

/* One provider's block, so that all of it has much in common. */
static prefix_t
block6(random_t *random)
{
    return make(random, ADDRESS_IPV6, "\x20\x01\x0d\xb8\x00\x10", 6, 48, 64);
}

/* Some /64 with many hosts each, and the ends of all space. */
static prefix_t
hosts6(random_t *random)
{
    static const char *const bases[] = {
        "\x20\x01\x0d\xb8\x00\x10\x00\x00", "\x20\x01\x0d\xb8\x00\x10\x00\x01",
        "\x20\x01\x0d\xb8\x00\x10\x00\x02", "\xff\xff\xff\xff\xff\xff\xff\xff",
        "\x00\x00\x00\x00\x00\x00\x00\x00"};

    return make(random, ADDRESS_IPV6, RANDOM_OF(random, bases), 8, 64, 128);
}

/* All in each other, up to everything: chains as long as there can be. */
static prefix_t
chains(random_t *random)
{
    static const char base[17] = "\x20\x01\x0d\xb8\x00\x10\xff\x00"
                                 "\x00\x00\xff\xff\x5a\x5a\x00\x01";
    bool ipv4 = random_percent(random, 50);
    prefix_t prefix = make(random, ipv4 ? ADDRESS_IPV4 : ADDRESS_IPV6, base, 16,
                           0, ipv4 ? 32 : 128);
    unsigned i = random_below(random, 128);

    if (random_percent(random, 60)) { /* to the side of the chain */
        prefix.address.bytes[i / 8] ^= (uint8_t) (0x80 >> i % 8);
        clear_host_bits(&prefix);
    }
    return prefix;
}

/* ---- The reference ------------------------------------------------------ */

static int
by_prefix(const void *a, const void *b)
{
    const prefix_t *x = &((const entry_t *) a)->prefix;
    const prefix_t *y = &((const entry_t *) b)->prefix;

    if (x->address.family != y->address.family) {
        return x->address.family < y->address.family ? -1 : 1;
    }
    if (x->bits != y->bits) {
        return x->bits < y->bits ? -1 : 1;
    }
    return memcmp(x->address.bytes, y->address.bytes, 16);
}

/* The longest prefix around an address, or NULL. */
static const entry_t *
longest(const table_t *table, const address_t *address)
{
    entry_t key = {.prefix.address = *address};
    const entry_t *found = NULL;

    key.prefix.bits = address->family == ADDRESS_IPV4 ? 32 : 128;
    for (;;) {
        clear_host_bits(&key.prefix);
        found = bsearch(&key, table->entries, table->count, sizeof(key),
                        by_prefix);
        if (found != NULL || key.prefix.bits == 0) {
            return found;
        }
        key.prefix.bits--;
    }
}

static void
make_table(random_t *random, make_fn make_one, size_t count, table_t *table)
{
    size_t kept = 0;

    table->entries = calloc(count, sizeof(*table->entries));
    assert_non_null(table->entries);
    for (size_t i = 0; i < count; i++) {
        entry_t *entry = &table->entries[i];
        uint32_t kind = random_below(random, 100);

        *entry = (entry_t){make_one(random), NONE, {NONE, NONE}};
        if (kind < 80) {
            entry->open = random_below(random, OPEN);
        }
        if (kind >= 60) {
            entry->pinned[0] = OPEN + random_below(random, PINNED / 2);
        }
        if (kind >= 90) {
            entry->pinned[1] = OPEN + PINNED / 2 +
                               random_below(random, PINNED / 2);
        }
    }
    qsort(table->entries, count, sizeof(*table->entries), by_prefix);
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 ||
            by_prefix(&table->entries[kept - 1], &table->entries[i]) != 0) {
            table->entries[kept++] = table->entries[i];
        }
    }
    table->count = kept;
}

/* ---- The policy --------------------------------------------------------- */

typedef struct {
    policy_source_t source;
    policy_source_facility_t facilities[FACILITIES];
    policy_fingerprint_t pins[PINNED];
    char ids[FACILITIES][8];
} large_policy_t;

static void
pin_of(uint32_t facility, uint8_t sha256[32])
{
    memset(sha256, 0x5a, 32);
    sha256[30] = (uint8_t) (facility >> 8);
    sha256[31] = (uint8_t) facility;
}

static void
give(large_policy_t *policy, uint32_t facility, const prefix_t *prefix)
{
    policy_source_facility_t *to;

    if (facility == NONE) {
        return;
    }
    to = &policy->facilities[facility];
    if ((to->networks_count & (to->networks_count - 1)) == 0) {
        to->networks = realloc(to->networks, (2 * to->networks_count + 1) *
                                                 sizeof(*to->networks));
        assert_non_null(to->networks);
    }
    to->networks[to->networks_count++] = (policy_source_network_t){
        *prefix, {"large", 1, 1}};
}

static large_policy_t *
make_policy(random_t *random, const table_t *table)
{
    large_policy_t *policy = calloc(1, sizeof(*policy));
    uint32_t *order = calloc(table->count, sizeof(*order));

    assert_non_null(policy);
    assert_non_null(order);
    policy->source = (policy_source_t){policy->facilities, FACILITIES};
    for (uint32_t i = 0; i < FACILITIES; i++) {
        policy_source_facility_t *facility = &policy->facilities[i];
        int size = snprintf(policy->ids[i], sizeof(policy->ids[i]), "f%u", i);

        *facility = (policy_source_facility_t){
            .id = {policy->ids[i], (size_t) size},
            .name = SLICE(""),
            .contact = SLICE(""),
            .zone = SLICE("UTC"),
            .device = POLICY_DEVICE_NONE,
            .services = POLICY_SERVICE_BIT(POLICY_SERVICE_WEB),
            .actions = ACTION_ALL,
            .valid_from = INT32_MIN,
            .valid_to = INT32_MAX,
        };
        if (i >= OPEN) {
            facility->device = POLICY_DEVICE_REQUIRED;
            facility->pins = &policy->pins[i - OPEN];
            facility->pins_count = 1;
            pin_of(i, facility->pins[0].sha256);
        }
    }
    /* in no order that would help */
    for (uint32_t i = 0; i < table->count; i++) {
        uint32_t j = random_below(random, i + 1);

        order[i] = order[j];
        order[j] = i;
    }
    for (size_t i = 0; i < table->count; i++) {
        const entry_t *entry = &table->entries[order[i]];

        give(policy, entry->open, &entry->prefix);
        give(policy, entry->pinned[0], &entry->prefix);
        give(policy, entry->pinned[1], &entry->prefix);
    }
    free(order);
    return policy;
}

static void
free_policy(large_policy_t *policy)
{
    for (size_t i = 0; i < FACILITIES; i++) {
        free(policy->facilities[i].networks);
    }
    free(policy);
}

/* ---- The comparison ----------------------------------------------------- */

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

static void
assert_facility(const policy_image_t *image, const policy_request_t *request,
                policy_reason_t reason, uint32_t facility)
{
    char text[ADDRESS_TEXT_MAX];
    policy_decision_t got;

    policy_decide(image, request, &got, NULL);
    if (got.reason != reason || got.facility != facility) {
        (void) address_format(&request->address, text);
        fail_msg("%s: %s %d, the reference %s %d", text,
                 policy_reason_name(got.reason), (int) got.facility,
                 policy_reason_name(reason), (int) facility);
    }
}

/* Whoever is a candidate there is found: with each certificate, and without. */
static void
compare(const table_t *table, const policy_image_t *image,
        const address_t *address)
{
    const entry_t *entry = longest(table, address);
    policy_certificate_t certificate = certificate_of(0);
    policy_request_t request = request_from(NULL);

    request.address = *address;
    if (entry == NULL) {
        assert_facility(image, &request, POLICY_UNKNOWN_NETWORK, NONE);
        return;
    }
    if (entry->open != NONE) {
        assert_facility(image, &request, POLICY_OK, entry->open);
    } else {
        assert_facility(image, &request, POLICY_DEVICE_MISSING,
                        entry->pinned[1] == NONE ? entry->pinned[0] : NONE);
    }
    for (size_t i = 0; i < 2; i++) {
        if (entry->pinned[i] != NONE) {
            pin_of(entry->pinned[i], certificate.sha256);
            request.certificate = &certificate;
            assert_facility(image, &request, POLICY_OK, entry->pinned[i]);
        }
    }
}

static void
check(make_fn make_one, size_t count)
{
    random_t random = {count};
    policy_image_t *image;
    large_policy_t *policy;
    table_t table;

    make_table(&random, make_one, count, &table);
    policy = make_policy(&random, &table);
    image = compiled(&policy->source);
    for (size_t i = 0; i < table.count; i++) {
        const prefix_t *prefix = &table.entries[i].prefix;
        unsigned size = prefix->address.family == ADDRESS_IPV4 ? 32 : 128;
        address_t address = prefix->address;

        compare(&table, image, &address);
        step(&address, false); /* from 0 it steps to the end of all */
        compare(&table, image, &address);
        address = prefix->address;
        for (unsigned bit = prefix->bits; bit < size; bit++) {
            address.bytes[bit / 8] |= (uint8_t) (0x80 >> bit % 8);
        }
        compare(&table, image, &address);
        step(&address, true);
        compare(&table, image, &address);
    }
    policy_image_free(image);
    free_policy(policy);
    free(table.entries);
}

static void
networks_all_over_ipv4(void **state)
{
    (void) state;
    check(wide4, PREFIXES);
}

static void
networks_dense_in_a_corner_of_ipv4(void **state)
{
    (void) state;
    check(dense4, PREFIXES);
}

static void
networks_all_over_ipv6(void **state)
{
    (void) state;
    check(wide6, PREFIXES);
}

static void
networks_of_one_block_of_ipv6(void **state)
{
    (void) state;
    check(block6, PREFIXES);
}

static void
hosts_of_few_networks_of_ipv6(void **state)
{
    (void) state;
    check(hosts6, PREFIXES);
}

static void
networks_within_each_other(void **state)
{
    (void) state;
    check(chains, PREFIXES);
}

/* Every number of prefixes within a line, and whatever else the table has, is
 * passed by on the way from one to some hundreds. */
static void
few_networks(void **state)
{
    static const make_fn shapes[] = {wide4,  dense4, wide6,
                                     block6, hosts6, chains};

    (void) state;
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        for (size_t count = 1; count < 300; count += 1 + count / 8) {
            check(shapes[i], count);
        }
    }
}

UNIT_TESTS(cmocka_unit_test(networks_all_over_ipv4),
           cmocka_unit_test(networks_dense_in_a_corner_of_ipv4),
           cmocka_unit_test(networks_all_over_ipv6),
           cmocka_unit_test(networks_of_one_block_of_ipv6),
           cmocka_unit_test(hosts_of_few_networks_of_ipv6),
           cmocka_unit_test(networks_within_each_other),
           cmocka_unit_test(few_networks))
