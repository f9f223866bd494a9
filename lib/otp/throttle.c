#include <openssl/rand.h>

#include "../base/address.h"
#include "../base/endian.h"
#include "otp_internal.h"

/*
 * Sources live in memory alone, in a table of fixed size: a flood of addresses
 * costs no more than it.  A set has eight places; in a full one the source
 * whose last failure is the oldest gives way.  Which set a source falls in is
 * keyed, so nobody can choose whom to push out.
 */
#define SETS 8192
#define WAYS 8

typedef struct {
    uint64_t tag; /* 0: free */
    int64_t last_ms;
    uint32_t failures;
} source_t;

struct throttle_sources_s {
    uint8_t key[SIPHASH_KEY_SIZE];
    source_t sets[SETS][WAYS];
};

int64_t
throttle_wait(uint32_t failures, uint32_t from, uint32_t max)
{
    uint32_t doublings;

    if (from == 0 || failures < from) {
        return 0;
    }
    doublings = failures - from;
    if (doublings >= 31 || UINT32_C(1) << doublings > max) {
        return max;
    }
    return INT64_C(1) << doublings;
}

throttle_sources_t *
throttle_sources_new(void)
{
    throttle_sources_t *sources = calloc(1, sizeof(*sources));

    if (sources != NULL && RAND_bytes(sources->key, SIPHASH_KEY_SIZE) != 1) {
        free(sources);
        return NULL;
    }
    return sources;
}

void
throttle_sources_free(throttle_sources_t *sources)
{
    free(sources);
}

/*
 * The console and the seats are one source for all users: whoever sits there
 * could shut everybody out.  Users have their own throttling there.
 */
static bool
exempt(slice_t source)
{
    return slice_is(source, "local");
}

static source_t *
set_of(const throttle_sources_t *sources, slice_t source, uint64_t *tag)
{
    uint8_t bytes[17] = {0};
    address_t address;
    siphash_t hash;

    if (address_parse(source, &address)) {
        bytes[0] = address.family;
        /* a /64 is one customer, who has all addresses of it */
        memcpy(bytes + 1, address.bytes,
               address.family == ADDRESS_IPV6 ? 8 : sizeof(address.bytes));
        hash = siphash(sources->key, bytes, sizeof(bytes));
    } else {
        hash = siphash(sources->key, source.data, source.size);
    }
    *tag = hash.high | 1;
    return (source_t *) sources->sets[hash.low % SETS];
}

static bool
forgotten(const otp_rules_t *rules, const source_t *source, int64_t now_ms)
{
    return now_ms - source->last_ms >=
           (int64_t) rules->source_forget_seconds * 1000;
}

/*
 * Many people come from one address, and three of them mistype in a minute:
 * the growing wait begins at a third of what locks the source.
 */
static int64_t
wait_after(const otp_rules_t *rules, uint32_t failures)
{
    uint32_t from = rules->source_lock_at / 3;

    if (failures >= rules->source_lock_at) {
        return rules->source_forget_seconds;
    }
    return throttle_wait(failures, from == 0 ? 1 : from,
                         rules->wait_seconds_max);
}

int64_t
throttle_source_wait(const throttle_sources_t *sources,
                     const otp_rules_t *rules, slice_t source, int64_t now_ms)
{
    uint64_t tag;
    const source_t *set;
    int64_t left_ms;
    unsigned i;

    if (exempt(source)) {
        return 0;
    }
    set = set_of(sources, source, &tag);
    for (i = 0; i < WAYS; i++) {
        if (set[i].tag != tag || forgotten(rules, &set[i], now_ms)) {
            continue;
        }
        left_ms = set[i].last_ms + wait_after(rules, set[i].failures) * 1000 -
                  now_ms;
        return left_ms <= 0 ? 0 : (left_ms + 999) / 1000;
    }
    return 0;
}

void
throttle_source_failed(throttle_sources_t *sources, const otp_rules_t *rules,
                       slice_t source, int64_t now_ms)
{
    uint64_t tag;
    source_t *set, *place;
    unsigned i;

    if (exempt(source)) {
        return;
    }
    place = set = set_of(sources, source, &tag);
    for (i = 0; i < WAYS; i++) {
        if (set[i].tag == tag) {
            place = &set[i];
            break;
        }
        if (set[i].tag == 0
                ? place->tag != 0
                : place->tag != 0 && set[i].last_ms < place->last_ms)
        {
            place = &set[i];
        }
    }
    if (place->tag != tag || forgotten(rules, place, now_ms)) {
        *place = (source_t){.tag = tag};
    }
    place->last_ms = now_ms;
    if (place->failures < UINT32_MAX) {
        place->failures++;
    }
}
