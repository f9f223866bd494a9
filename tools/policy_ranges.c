/*
 * Which addresses enter as which facility, before and after; IPv4 first.
 *
 * The prefixes of each policy are flattened into segments, each with the
 * facilities of the longest prefix that covers it; both lists are then walked
 * side by side.
 */

#include "policy_compare.h"

#include <errno.h>

#include "../lib/base/endian.h"
#include "../lib/base/wipe.h"

/* An address as a number; IPv4 in the lower 32 bits. */
typedef struct {
    uint64_t high, low;
} number_t;

/* A prefix of a facility. */
typedef struct {
    number_t first, last;
    uint8_t bits;  /* of 128 */
    uint32_t pair; /* the facility's place in comparison->pairs */
} entry_t;

/* Entries of one prefix. */
typedef struct {
    uint32_t first, count;
} group_t;

static const group_t nobody = {0, 0};

typedef struct {
    number_t first, last; /* inclusive */
    group_t group;
} segment_t;

typedef struct {
    address_family_t family;
    number_t end;     /* the last address of the family */
    entry_t *entries; /* sorted by address, the wider first, then by pair */
    size_t entries_count;
    segment_t *segments; /* sorted, covering everything */
    size_t segments_count;
    slice_t *any; /* ids of facilities with `network any`: a hint for people */
    size_t any_count;
} side_t;

static int
number_compare(number_t a, number_t b)
{
    if (a.high != b.high) {
        return a.high < b.high ? -1 : 1;
    }
    return (a.low > b.low) - (a.low < b.low);
}


static number_t
number_next(number_t a)
{
    a.low++;
    a.high += a.low == 0;
    return a;
}


static number_t
number_previous(number_t a)
{
    a.high -= a.low == 0;
    a.low--;
    return a;
}


static void
entry_of(const prefix_t *prefix, uint32_t pair, entry_t *entry)
{
    const uint8_t *bytes = prefix->address.bytes;
    unsigned bits = prefix->bits;
    number_t mask;

    if (prefix->address.family == ADDRESS_IPV4) {
        entry->first = (number_t){0, load_be32(bytes)};
        bits += 96;
    } else {
        entry->first = (number_t){load_be64(bytes), load_be64(bytes + 8)};
    }
    mask.high = bits >= 64 ? 0 : UINT64_MAX >> bits;
    mask.low = bits >= 128  ? 0
               : bits <= 64 ? UINT64_MAX
                            : UINT64_MAX >> (bits - 64);
    entry->last = (number_t){entry->first.high | mask.high,
                             entry->first.low | mask.low};
    entry->bits = (uint8_t) bits;
    entry->pair = pair;
}


static int
compare_entries(const void *left, const void *right)
{
    const entry_t *a = left, *b = right;
    int order = number_compare(a->first, b->first);

    if (order != 0) {
        return order;
    }
    if (a->bits != b->bits) {
        return a->bits < b->bits ? -1 : 1;
    }
    return (a->pair > b->pair) - (a->pair < b->pair);
}


static int
collect(const comparison_t *comparison, bool after, side_t *side)
{
    const policy_image_t *image = after ? comparison->after
                                        : comparison->before;
    policy_facility_t facility;
    size_t total = 0, count = 0;

    for (size_t i = 0; i < policy_facilities(image); i++) {
        if (policy_facility(image, (uint32_t) i, &facility)) {
            total += facility.networks_count;
        }
    }
    side->entries = calloc(total + 1, sizeof(*side->entries));
    side->any = calloc((size_t) policy_facilities(image) + 1,
                       sizeof(*side->any));
    side->segments = calloc(2 * total + 1, sizeof(*side->segments));
    if (side->entries == NULL || side->any == NULL || side->segments == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < comparison->pairs_count; i++) {
        const pair_t *pair = &comparison->pairs[i];
        uint32_t index = after ? pair->after : pair->before;

        if (index == POLICY_NO_FACILITY ||
            !policy_facility(image, index, &facility)) {
            continue;
        }
        if (facility.any) {
            side->any[side->any_count++] = facility.id;
        }
        for (uint32_t k = 0; k < facility.networks_count; k++) {
            prefix_t prefix;

            if (policy_facility_network(image, index, k, &prefix) &&
                prefix.address.family == side->family)
            {
                entry_of(&prefix, (uint32_t) i, &side->entries[count++]);
            }
        }
    }
    side->entries_count = count;
    qsort(side->entries, count, sizeof(*side->entries), compare_entries);
    return 0;
}


static void
add_segment(side_t *side, number_t first, number_t last, group_t group)
{
    side->segments[side->segments_count++] = (segment_t){first, last, group};
}


/* Prefixes nest or are apart: a stack of those that are open is enough. */
static void
flatten(side_t *side)
{
    const entry_t *entries = side->entries;
    group_t stack[129]; /* one of each length */
    size_t depth = 0;
    number_t cursor = {0, 0};
    bool done = false; /* the cursor ran over the last address */
    size_t i = 0;

    while (i < side->entries_count || depth > 0) {
        const entry_t *next = i < side->entries_count ? &entries[i] : NULL;
        group_t top = depth > 0 ? stack[depth - 1] : nobody;

        if (depth > 0 &&
            (next == NULL ||
             number_compare(entries[top.first].last, next->first) < 0))
        {
            number_t last = entries[top.first].last;

            if (!done && number_compare(cursor, last) <= 0) {
                add_segment(side, cursor, last, top);
                done = number_compare(last, side->end) == 0;
                cursor = number_next(last);
            }
            depth--;
            continue;
        }
        if (next == NULL) {
            break;
        }
        if (number_compare(cursor, next->first) < 0) {
            add_segment(side, cursor, number_previous(next->first), top);
            cursor = next->first;
        }
        stack[depth] = (group_t){(uint32_t) i, 0};
        while (i < side->entries_count &&
               number_compare(entries[i].first, next->first) == 0 &&
               entries[i].bits == next->bits)
        {
            i++;
            stack[depth].count++;
        }
        depth++;
    }
    if (!done) {
        add_segment(side, cursor, side->end, nobody);
    }
}


static void
cleanup_side(side_t *side)
{
    free(side->entries);
    free(side->segments);
    free(side->any);
}


/* The same facilities, in whatever policy. */
static bool
same_group(const side_t *a, group_t x, const side_t *b, group_t y)
{
    if (x.count != y.count) {
        return false;
    }
    for (uint32_t i = 0; i < x.count; i++) {
        if (a->entries[x.first + i].pair != b->entries[y.first + i].pair) {
            return false;
        }
    }
    return true;
}


/* ---- Telling ------------------------------------------------------------ */

static void
address_of(address_family_t family, number_t number, address_t *address)
{
    memset(address, 0, sizeof(*address));
    address->family = (uint8_t) family;
    if (family == ADDRESS_IPV4) {
        store_be32(address->bytes, (uint32_t) number.low);
        return;
    }
    store_be64(address->bytes, number.high);
    store_be64(address->bytes + 8, number.low);
}


/* Length of the prefix that is exactly this range, or -1. */
static int
range_bits(number_t first, number_t last)
{
    number_t differs = {first.high ^ last.high, first.low ^ last.low};
    int zeros = differs.high != 0  ? __builtin_clzll(differs.high)
                : differs.low != 0 ? 64 + __builtin_clzll(differs.low)
                                   : 128;
    number_t mask = {zeros >= 64 ? 0 : UINT64_MAX >> zeros,
                     zeros >= 128  ? 0
                     : zeros <= 64 ? UINT64_MAX
                                   : UINT64_MAX >> (zeros - 64)};

    if (differs.high != mask.high || differs.low != mask.low ||
        (first.high & mask.high) != 0 || (first.low & mask.low) != 0)
    {
        return -1;
    }
    return zeros;
}


static void
write_range(FILE *out, address_family_t family, number_t first, number_t last)
{
    int bits = range_bits(first, last);
    char text[PREFIX_TEXT_MAX];
    address_t address;
    prefix_t prefix;

    address_of(family, first, &address);
    if (bits >= 0) {
        prefix.address = address;
        prefix.bits = (uint8_t) (family == ADDRESS_IPV4 ? bits - 96 : bits);
        prefix_format(&prefix, text);
        fputs(text, out);
        return;
    }
    address_format(&address, text);
    fprintf(out, "%s - ", text);
    address_of(family, last, &address);
    address_format(&address, text);
    fputs(text, out);
}


static void
write_group(FILE *out, const comparison_t *comparison, const side_t *side,
            group_t group)
{
    if (group.count == 0) {
        for (size_t i = 0; i < side->any_count && i < 3; i++) {
            fputs(i == 0 ? "" : " or ", out);
            write_id(out, side->any[i]);
        }
        fputs(side->any_count == 0 ? "nobody" : " from any network", out);
        return;
    }
    for (uint32_t i = 0; i < group.count; i++) {
        fputs(i == 0 ? "" : " or ", out);
        if (i == 10) {
            fprintf(out, "%u more", group.count - i);
            break;
        }
        write_id(out,
                 comparison->pairs[side->entries[group.first + i].pair].id);
    }
}


/* Neighbours with the same answer, not told yet. */
typedef struct {
    bool open;
    number_t first, last;
    group_t before, after;
} pending_t;


static void
tell_pending(comparison_t *comparison, const side_t *before,
             const side_t *after, pending_t *pending)
{
    bool gain = pending->before.count == 0;
    bool loss = pending->after.count == 0;
    FILE *out;

    if (!pending->open ||
        same_group(before, pending->before, after, pending->after))
    {
        return;
    }
    out = text_begin(&comparison->text);
    write_range(out, before->family, pending->first, pending->last);
    if (loss) {
        fputs(" may no longer enter", out);
        if (after->any_count > 0) {
            fputs(" but as ", out);
            write_group(out, comparison, after, pending->after);
        }
    } else {
        fputs(gain ? " may now enter as " : " now enters as ", out);
        write_group(out, comparison, after, pending->after);
    }
    fputs(" (was: ", out);
    write_group(out, comparison, before, pending->before);
    fputc(')', out);
    comparison_tell(comparison,
                    gain   ? EFFECT_GAIN
                    : loss ? EFFECT_LOSS
                           : EFFECT_OTHER,
                    "network", SLICE(""));
}


static void
walk(comparison_t *comparison, const side_t *before, const side_t *after)
{
    pending_t pending = {.open = false};
    number_t cursor = {0, 0};
    size_t i = 0, j = 0;

    while (i < before->segments_count && j < after->segments_count) {
        const segment_t *b = &before->segments[i];
        const segment_t *a = &after->segments[j];
        int order = number_compare(b->last, a->last);
        number_t last = order <= 0 ? b->last : a->last;

        if (pending.open &&
            same_group(before, pending.before, before, b->group) &&
            same_group(after, pending.after, after, a->group))
        {
            pending.last = last;
        } else {
            tell_pending(comparison, before, after, &pending);
            pending = (pending_t){true, cursor, last, b->group, a->group};
        }
        cursor = number_next(last);
        i += order <= 0;
        j += order >= 0;
    }
    tell_pending(comparison, before, after, &pending);
}


static int
compare_family(comparison_t *comparison, address_family_t family)
{
    number_t end = family == ADDRESS_IPV4 ? (number_t){0, UINT32_MAX}
                                          : (number_t){UINT64_MAX, UINT64_MAX};
    _cleanup_(cleanup_side) side_t before = {.family = family, .end = end};
    _cleanup_(cleanup_side) side_t after = {.family = family, .end = end};

    if (collect(comparison, false, &before) < 0 ||
        collect(comparison, true, &after) < 0)
    {
        return -ENOMEM;
    }
    flatten(&before);
    flatten(&after);
    walk(comparison, &before, &after);
    return 0;
}


int
compare_ranges(comparison_t *comparison)
{
    int result = compare_family(comparison, ADDRESS_IPV4);

    return result < 0 ? result : compare_family(comparison, ADDRESS_IPV6);
}
