/*
 * Prefixes -> segments.  Sorted by address and length, a prefix comes before
 * those within it, so that one pass with a stack finds where which set of
 * candidates begins to hold.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/wipe.h"
#include "compile_parts.h"

/* IPv4 addresses are the upper 32 bits of `high`. */
typedef struct {
    uint64_t high, low;
    uint32_t facility;
    uint8_t bits;
} item_t;

typedef struct {
    uint64_t high, low; /* first address behind it */
    bool last;          /* there is none */
    uint32_t set;
} open_t;

static void
cleanup_segments(compile_segments_t *segments)
{
    free(segments->segments);
}

/* ---- Sorting ---- */

/* A bit field of a 64-bit key, for a pass of the radix sort. */
typedef struct {
    unsigned shift, bits;
} digit_t;

/* Least significant digit first, so that the order of equal keys stays. */
static void
sort_keys(uint64_t *keys, uint64_t *other, size_t count)
{
    /* Length, then address: the facility is below, and ascending already. */
    static const digit_t digits[] = {{17, 6}, {23, 11}, {34, 11}, {45, 10}};
    size_t counts[1 << 11], sum, n, mask;
    uint64_t *swap;

    for (size_t i = 0; i < sizeof(digits) / sizeof(digits[0]); i++) {
        mask = ((size_t) 1 << digits[i].bits) - 1;
        memset(counts, 0, sizeof(counts));
        for (size_t j = 0; j < count; j++) {
            counts[keys[j] >> digits[i].shift & mask]++;
        }
        sum = 0;
        for (size_t j = 0; j <= mask; j++) {
            n = counts[j];
            counts[j] = sum;
            sum += n;
        }
        for (size_t j = 0; j < count; j++) {
            other[counts[keys[j] >> digits[i].shift & mask]++] = keys[j];
        }
        swap = keys;
        keys = other;
        other = swap;
    }
}

_Static_assert(POLICY_FACILITIES_MAX < 1 << 17, "a facility fits the key");

static int
by_address(const void *a, const void *b)
{
    const item_t *x = a, *y = b;

    if (x->high != y->high) {
        return x->high < y->high ? -1 : 1;
    }
    if (x->low != y->low) {
        return x->low < y->low ? -1 : 1;
    }
    if (x->bits != y->bits) {
        return x->bits < y->bits ? -1 : 1;
    }
    return x->facility < y->facility ? -1 : x->facility > y->facility;
}

static bool
same_item(const item_t *a, const item_t *b)
{
    return a->high == b->high && a->low == b->low && a->bits == b->bits;
}

/* All prefixes of one family, sorted, each once for a facility. */
static int
collect(const compile_t *compile, address_family_t family, item_t **items,
        size_t *count)
{
    _cleanup_(cleanup_free) uint64_t *keys = NULL;
    const policy_source_t *source = compile->source;
    const policy_source_facility_t *facility;
    const prefix_t *prefix;
    size_t total = 0, n = 0, kept = 0;
    item_t *all;

    for (size_t i = 0; i < source->facilities_count; i++) {
        facility = &source->facilities[i];
        for (size_t j = 0; j < facility->networks_count; j++) {
            total += facility->networks[j].prefix.address.family == family;
        }
    }
    if (total > POLICY_IMAGE_SIZE_MAX) {
        return -EFBIG;
    }
    *count = 0;
    *items = all = calloc(total + 1, sizeof(*all));
    if (all == NULL) {
        return -ENOMEM;
    }
    if (family == ADDRESS_IPV4) {
        keys = calloc(2 * total + 1, sizeof(*keys));
        if (keys == NULL) {
            return -ENOMEM;
        }
    }
    for (size_t i = 0; i < source->facilities_count; i++) {
        facility = &source->facilities[i];
        for (size_t j = 0; j < facility->networks_count; j++) {
            prefix = &facility->networks[j].prefix;
            if (prefix->address.family != family) {
                continue;
            }
            if (family == ADDRESS_IPV4) {
                keys[n++] = (uint64_t) load_be32(prefix->address.bytes) << 23 |
                            (uint64_t) prefix->bits << 17 | i;
            } else {
                all[n++] = (item_t){load_be64(prefix->address.bytes),
                                    load_be64(prefix->address.bytes + 8),
                                    (uint32_t) i, prefix->bits};
            }
        }
    }
    if (family == ADDRESS_IPV4) {
        sort_keys(keys, keys + total, total);
        for (size_t i = 0; i < total; i++) {
            all[i] = (item_t){keys[i] >> 23 << 32, 0,
                              (uint32_t) (keys[i] & ((1u << 17) - 1)),
                              (uint8_t) (keys[i] >> 17 & 63)};
        }
    } else {
        qsort(all, total, sizeof(*all), by_address);
    }
    for (size_t i = 0; i < total; i++) {
        if (kept == 0 || !same_item(&all[kept - 1], &all[i]) ||
            all[kept - 1].facility != all[i].facility)
        {
            all[kept++] = all[i];
        }
    }
    *count = kept;
    return 0;
}

/* ---- Candidate sets ---- */

static int
put_set(compile_t *compile, uint32_t first, const uint32_t *members,
        uint32_t count)
{
    const policy_source_facility_t *facility;
    uint8_t record[SET_SIZE];
    uint32_t open = IMAGE_NONE;
    bool dry_run = count > 0;

    for (uint32_t i = 0; i < count; i++) {
        facility = &compile->source->facilities[members[i]];
        if (facility->device != POLICY_DEVICE_REQUIRED) {
            open = members[i];
        }
        dry_run = dry_run && facility->dry_run;
    }
    compile_store_list(record + SET_MEMBERS, first, count);
    store_le32(record + SET_OPEN, open);
    store_le32(record + SET_DRY_RUN, dry_run);
    return compile_put(&compile->sections[SECTION_SETS], record,
                       sizeof(record));
}

/* The set of `network any`, or that of `network local`. */
static int
put_fixed_set(compile_t *compile, bool local)
{
    _cleanup_(cleanup_free) uint32_t *members = NULL;
    const policy_source_facility_t *facility;
    uint32_t first = compile_count(compile, SECTION_MEMBERS), count = 0;
    int result, check;

    members = calloc((size_t) compile->facilities + 1, sizeof(*members));
    if (members == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < compile->facilities; i++) {
        facility = &compile->source->facilities[i];
        if (local ? facility->local : facility->any) {
            members[count++] = i;
            result = compile_put32(&compile->sections[SECTION_MEMBERS], i);
            if (result < 0) {
                return result;
            }
        }
    }
    check = compile_check_set(compile, members, count, NULL,
                              local ? "\"network local\"" : "\"network any\"");
    result = put_set(compile, first, members, count);
    return result < 0 ? result : check;
}

static prefix_t
item_prefix(const item_t *item, address_family_t family)
{
    prefix_t prefix = {.address.family = (uint8_t) family, .bits = item->bits};

    if (family == ADDRESS_IPV4) {
        store_be32(prefix.address.bytes, (uint32_t) (item->high >> 32));
    } else {
        store_be64(prefix.address.bytes, item->high);
        store_be64(prefix.address.bytes + 8, item->low);
    }
    return prefix;
}

/* The set of the facilities that have one prefix.  -EINVAL: of no use, but
 * reported; the others are still to be looked at. */
static int
find_set(compile_t *compile, const item_t *items, uint32_t count,
         address_family_t family, uint32_t *set)
{
    _cleanup_(cleanup_free) uint32_t *members = NULL;
    uint32_t first, number, known;
    prefix_t prefix;
    int result, check = 0;

    *set = items[0].facility;
    if (count == 1) {
        return 0;
    }
    members = calloc(2 * (size_t) count, sizeof(*members));
    if (members == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < count; i++) {
        members[i] = items[i].facility;
        store_le32(&members[count + i], members[i]);
    }
    known = compile_count(compile, SECTION_SETS) - SETS_FIXED;
    result = compile_list(compile, SECTION_MEMBERS, members + count, count,
                          &first, &number);
    if (result < 0) {
        return result;
    }
    *set = compile->facilities + SETS_FIXED + number - 1;
    if (number > known) {
        prefix = item_prefix(&items[0], family);
        check = compile_check_set(compile, members, count, &prefix, NULL);
        result = put_set(compile, first, members, count);
    }
    return result < 0 ? result : check;
}

/* ---- Segments ---- */

int
compile_begin_segment(compile_segments_t *segments, uint64_t high, uint64_t low,
                      uint32_t set)
{
    compile_segment_t *last = segments->segments + segments->count, *grown;
    size_t capacity;

    if (segments->count > 0 && last[-1].high == high && last[-1].low == low) {
        last[-1].set = set;
        if (segments->count > 1 && last[-2].set == set) {
            segments->count--;
        }
        return 0;
    }
    if (segments->count > 0 && last[-1].set == set) {
        return 0;
    }
    if (segments->count == segments->capacity) {
        capacity = segments->capacity == 0 ? 1024 : 2 * segments->capacity;
        grown = reallocarray(segments->segments, capacity, sizeof(*grown));
        if (grown == NULL) {
            return -ENOMEM;
        }
        segments->segments = grown;
        segments->capacity = capacity;
    }
    segments->segments[segments->count++] = (compile_segment_t){high, low, set};
    return 0;
}

/* What is behind a prefix; of IPv4 that is said in 64 bits too. */
static open_t
open_item(const item_t *item, uint32_t set)
{
    open_t open = {item->high, item->low, false, set};
    uint64_t step;

    if (item->bits > 64) {
        step = UINT64_C(1) << (128 - item->bits);
        open.low += step;
        if (open.low < step) {
            open.high++;
            open.last = open.high == 0;
        }
        return open;
    }
    if (item->bits == 0) {
        open.last = true;
        return open;
    }
    step = UINT64_C(1) << (64 - item->bits);
    open.high += step;
    open.last = open.high < step;
    return open;
}

static bool
ends_before(const open_t *open, const item_t *item)
{
    return !open->last &&
           (open->high < item->high ||
            (open->high == item->high && open->low <= item->low));
}

static int
sweep(compile_t *compile, address_family_t family, const item_t *items,
      size_t count, compile_segments_t *segments, compile_prefix_t *prefixes,
      size_t *prefixes_count)
{
    open_t stack[129]; /* prefixes within each other: one of each length */
    uint32_t any = compile->facilities + SET_ANY, set;
    size_t depth = 0, next;
    unsigned limit = REPORT_MESSAGES_MAX;
    int result = compile_begin_segment(segments, 0, 0, any), failed = 0;

    for (size_t i = 0; i < count && result == 0; i = next) {
        next = i + 1;
        while (next < count && same_item(&items[i], &items[next])) {
            next++;
        }
        result = find_set(compile, &items[i], (uint32_t) (next - i), family,
                          &set);
        if (result == -EINVAL && report_errors(compile->report) < limit) {
            failed = result;
            result = 0;
        }
        while (depth > 0 && ends_before(&stack[depth - 1], &items[i]) &&
               result == 0) {
            depth--;
            result = compile_begin_segment(
                segments, stack[depth].high, stack[depth].low,
                depth > 0 ? stack[depth - 1].set : any);
        }
        if (result == 0) {
            result = compile_begin_segment(segments, items[i].high,
                                           items[i].low, set);
        }
        prefixes[(*prefixes_count)++] = (compile_prefix_t){items[i].high, set,
                                                           items[i].bits};
        stack[depth++] = open_item(&items[i], set);
    }
    while (depth > 0 && result == 0) {
        depth--;
        if (!stack[depth].last) {
            result = compile_begin_segment(
                segments, stack[depth].high, stack[depth].low,
                depth > 0 ? stack[depth - 1].set : any);
        }
    }
    return result < 0 ? result : failed;
}

/* ---- Sections ---- */

/* Which of the three kinds of lists a prefix goes to. */
typedef enum { NETWORK4, NETWORK6, NETWORK6_LONG, NETWORK_KINDS } network_t;

typedef struct {
    image_section_t section, bits;
    size_t detail;
} network_kind_t;

static const network_kind_t network_kinds[NETWORK_KINDS] = {
    [NETWORK4] = {SECTION_NETWORKS4, SECTION_NETWORKS4_BITS, DETAIL_NETWORKS4},
    [NETWORK6] = {SECTION_NETWORKS6, SECTION_NETWORKS6_BITS, DETAIL_NETWORKS6},
    [NETWORK6_LONG] = {SECTION_NETWORKS6_LONG, SECTION_NETWORKS6_LONG_BITS,
                       DETAIL_NETWORKS6_LONG},
};

static bool
is_of_kind(const item_t *item, network_t kind)
{
    return kind == NETWORK4 || (item->bits > 64) == (kind == NETWORK6_LONG);
}

/* Puts the prefixes of one kind into the lists of their facilities. */
static int
put_networks(compile_t *compile, network_t kind, const item_t *items,
             size_t count)
{
    _cleanup_(cleanup_free) uint32_t *next = NULL;
    const network_kind_t *of = &network_kinds[kind];
    compile_buffer_t *section = &compile->sections[of->section];
    compile_buffer_t *bits = &compile->sections[of->bits];
    uint32_t total = 0, n;
    uint8_t *at;
    int result;

    next = calloc((size_t) compile->facilities + 1, sizeof(*next));
    if (next == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        next[items[i].facility] += is_of_kind(&items[i], kind);
    }
    for (uint32_t i = 0; i < compile->facilities; i++) {
        n = next[i];
        compile_store_list(compile_detail(compile, i) + of->detail, total, n);
        next[i] = total;
        total += n;
    }
    result = compile_extend(section,
                            (size_t) image_element_size[of->section] * total);
    if (result == 0) {
        result = compile_extend(bits, total);
    }
    if (result < 0) {
        return result;
    }
    for (size_t i = 0; i < count; i++) {
        if (!is_of_kind(&items[i], kind)) {
            continue;
        }
        n = next[items[i].facility]++;
        bits->data[n] = items[i].bits;
        at = section->data + (size_t) image_element_size[of->section] * n;
        if (kind == NETWORK4) {
            store_le32(at, (uint32_t) (items[i].high >> 32));
        } else {
            store_le64(at, items[i].high);
        }
        if (kind == NETWORK6_LONG) {
            store_le64(at + 8, items[i].low);
        }
    }
    return 0;
}

/* `prefixes` are malloc'ed. */
static int
put_family(compile_t *compile, address_family_t family,
           compile_segments_t *segments, compile_prefix_t **prefixes,
           size_t *prefixes_count)
{
    _cleanup_(cleanup_free) item_t *items = NULL;
    size_t count;
    int result = collect(compile, family, &items, &count);

    if (result == 0) {
        *prefixes = calloc(count + 1, sizeof(**prefixes));
        result = *prefixes == NULL ? -ENOMEM : 0;
    }
    if (result == 0) {
        result = sweep(compile, family, items, count, segments, *prefixes,
                       prefixes_count);
    }
    if (result < 0 || family == ADDRESS_IPV4) {
        return result < 0 ? result
                          : put_networks(compile, NETWORK4, items, count);
    }
    result = put_networks(compile, NETWORK6, items, count);
    return result < 0 ? result
                      : put_networks(compile, NETWORK6_LONG, items, count);
}

/* Bits beyond the length are 0: prefixes are disjoint, or within each other. */
static bool
is_prefix(const prefix_t *prefix)
{
    unsigned size = prefix->address.family == ADDRESS_IPV4   ? 32
                    : prefix->address.family == ADDRESS_IPV6 ? 128
                                                             : 0;
    const uint8_t *bytes = prefix->address.bytes;

    if (size == 0 || prefix->bits > size) {
        return false;
    }
    for (unsigned i = prefix->bits; i < size; i = (i / 8 + 1) * 8) {
        if ((bytes[i / 8] & (0xff >> i % 8)) != 0) {
            return false;
        }
    }
    return true;
}

/* Is every prefix one that the sections can hold? */
static int
check_prefixes(compile_t *compile)
{
    const policy_source_facility_t *facility;
    size_t total = 0;

    for (uint32_t i = 0; i < compile->facilities; i++) {
        facility = &compile->source->facilities[i];
        total += facility->networks_count;
        for (size_t j = 0; j < facility->networks_count; j++) {
            if (!is_prefix(&facility->networks[j].prefix)) {
                report_add(compile->report, REPORT_ERROR,
                           facility->networks[j].place,
                           "this network is no IPv4 or IPv6 prefix");
                return -EINVAL;
            }
        }
    }
    if (total > POLICY_NETWORKS_MAX) {
        report_add(compile->report, REPORT_ERROR,
                   compile->source->facilities[0].place,
                   "%zu networks are more than %d: write larger prefixes",
                   total, POLICY_NETWORKS_MAX);
        return -EINVAL;
    }
    return 0;
}

int
compile_networks(compile_t *compile)
{
    _cleanup_(cleanup_segments) compile_segments_t segments4 = {0};
    _cleanup_(cleanup_segments) compile_segments_t segments6 = {0};
    _cleanup_(cleanup_free) compile_prefix_t *prefixes4 = NULL;
    _cleanup_(cleanup_free) compile_prefix_t *prefixes6 = NULL;
    size_t prefixes4_count = 0, prefixes6_count = 0;
    int results[4], failed = 0;

    results[0] = check_prefixes(compile);
    if (results[0] < 0) {
        return results[0];
    }
    /* All that cannot be told apart is reported before giving up. */
    for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
        switch (i) {
        case 0:
            results[i] = put_fixed_set(compile, false);
            break;
        case 1:
            results[i] = put_fixed_set(compile, true);
            break;
        case 2:
            results[i] = put_family(compile, ADDRESS_IPV4, &segments4,
                                    &prefixes4, &prefixes4_count);
            break;
        default:
            results[i] = put_family(compile, ADDRESS_IPV6, &segments6,
                                    &prefixes6, &prefixes6_count);
            break;
        }
        if (results[i] < 0 && results[i] != -EINVAL) {
            return results[i];
        }
        failed = results[i] < 0 ? results[i] : failed;
    }
    if (failed < 0) {
        return failed;
    }
    failed = compile_put_lines4(compile, prefixes4, prefixes4_count);
    return failed < 0 ? failed
                      : compile_put_lines6(compile, prefixes6, prefixes6_count,
                                           &segments6);
}
