/* Segments -> what a look-up searches: words, groups, indexes. */

#include <errno.h>
#include <stdlib.h>

#include "../base/wipe.h"
#include "compile_parts.h"

/* Prefixes in a line of IPv4, on average and at most: some lines then have more
 * than fit.  Fewer make the image larger, and larger than a cache. */
#define LINE4_PREFIXES 13

/* Segments that a look-up of IPv6 searches in one bucket of the index, on
 * average. */
#define BUCKET_SEGMENTS6_BITS 2

/* An index above this is slower than the steps it saves. */
#define INDEX_BITS_GOOD 18

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

/* Bits of an index for that many segments. */
static uint32_t
index_bits(size_t segments, uint32_t bucket_bits)
{
    uint32_t bits = 0;

    while (bits < INDEX_BITS_GOOD && segments >> (bits + bucket_bits) > 0) {
        bits++;
    }
    return bits;
}

/* How many bits of an address choose a line, or 0 if it cannot be. */
static uint32_t
lines4_bits(uint64_t sets, const compile_prefix4_t *prefixes, size_t count)
{
    uint32_t bits = LINES4_BITS_MIN;
    size_t longer;

    /* A set must fit, and not be all ones. */
    while (sets > LINE4_SET_MASK(bits)) {
        if (bits++ == LINES4_BITS_MAX) {
            return 0;
        }
    }
    for (; bits < LINES4_BITS_MAX; bits++) {
        longer = 0;
        for (size_t i = 0; i < count; i++) {
            longer += prefixes[i].bits > bits;
        }
        if (longer <= (size_t) LINE4_PREFIXES << bits) {
            break;
        }
    }
    return bits;
}

/* The set that holds where no prefix within a line does: that of the longest
 * which is the line, or larger. */
static void
spread_sets(const compile_prefix4_t *prefixes, size_t count, uint32_t bits,
            uint32_t *sets)
{
    for (size_t i = 0; i < count; i++) {
        if (prefixes[i].bits <= bits) {
            uint32_t first = prefixes[i].address >> (32 - bits);
            for (uint32_t j = 0; j < 1u << (bits - prefixes[i].bits); j++) {
                sets[first + j] = prefixes[i].set;
            }
        }
    }
}

/* The segments of one line, in MORE4; segment *next is the first that begins
 * behind the line before. */
static int
put_more4(compile_t *compile, const compile_segments_t *segments, uint32_t line,
          size_t next, uint8_t *list)
{
    compile_buffer_t *more = &compile->sections[SECTION_MORE4];
    uint32_t bits = compile->lines4_bits, first, address;
    int result = 0;

    first = compile_count(compile, SECTION_MORE4);
    address = next < segments->count
                  ? (uint32_t) (segments->segments[next].high >> 32)
                  : UINT32_MAX;
    if (next == segments->count || address != line << (32 - bits)) {
        result = compile_put32(more, segments->segments[next - 1].set);
    }
    for (; next < segments->count && result == 0; next++) {
        address = (uint32_t) (segments->segments[next].high >> 32);
        if (address >> (32 - bits) != line) {
            break;
        }
        result = compile_put32(more,
                               address << bits | segments->segments[next].set);
    }
    compile_store_list(list, first,
                       compile_count(compile, SECTION_MORE4) - first);
    return result;
}

int
compile_put_lines4(compile_t *compile, const compile_prefix4_t *prefixes,
                   size_t prefixes_count, const compile_segments_t *segments)
{
    _cleanup_(cleanup_free) uint32_t *sets = NULL;
    compile_buffer_t *lines = &compile->sections[SECTION_LINES4];
    uint32_t bits, whole, words[LINE4_WORDS], count;
    size_t next = 0, segment = 0;
    uint8_t *line;
    int result;

    bits = lines4_bits((uint64_t) compile->facilities +
                           compile_count(compile, SECTION_SETS),
                       prefixes, prefixes_count);
    if (bits == 0) {
        return -EFBIG;
    }
    compile->lines4_bits = bits;
    sets = calloc((size_t) 1 << bits, sizeof(*sets));
    if (sets == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < 1u << bits; i++) {
        sets[i] = compile->facilities + SET_ANY;
    }
    spread_sets(prefixes, prefixes_count, bits, sets);

    result = compile_extend(lines, (size_t) LINE4_SIZE << bits);
    for (uint32_t i = 0; i < 1u << bits && result == 0; i++) {
        line = lines->data + (size_t) LINE4_SIZE * i;
        whole = LINE4_WHOLE | sets[i];
        count = 0;
        for (; next < prefixes_count &&
               prefixes[next].address >> (32 - bits) == i;
             next++)
        {
            if (prefixes[next].bits <= bits) {
                continue;
            }
            if (count < LINE4_WORDS - 1) {
                words[count] = prefixes[next].address << bits |
                               1u << (31 - (prefixes[next].bits - bits)) |
                               prefixes[next].set;
            }
            count++;
        }
        while (segment < segments->count && segments->segments[segment].high >>
                                                32 <
                                                (uint64_t) i << (32 - bits))
        {
            segment++;
        }
        if (count > LINE4_WORDS - 1) {
            store_le32(line, LINE4_WHOLE | LINE4_SET_MASK(bits));
            result = put_more4(compile, segments, i, segment, line + 4);
            continue;
        }
        for (uint32_t j = 0; j < LINE4_WORDS; j++) {
            store_le32(line + 4 * (size_t) j,
                       j < LINE4_WORDS - count
                           ? whole
                           : words[j - (LINE4_WORDS - count)]);
        }
    }
    return result;
}

static int
put_segment6(compile_buffer_t *out, uint64_t key, uint32_t set)
{
    uint8_t bytes[SEGMENT6_SIZE];

    store_le64(bytes, key);
    store_le32(bytes + 8, set);
    return compile_put(out, bytes, sizeof(bytes));
}

/* Segments of 128 bits -> those of the upper 64, and groups of the lower. */
static int
split_segments6(compile_t *compile, const compile_segments_t *segments)
{
    compile_buffer_t *highs = &compile->sections[SECTION_SEGMENTS6];
    compile_buffer_t *lows = &compile->sections[SECTION_LOWS];
    compile_buffer_t *deep = &compile->sections[SECTION_DEEP];
    const compile_segment_t *all = segments->segments;
    uint32_t set = all[0].set; /* that holds before segment i */
    uint64_t high;
    size_t i = 0;
    int result = 0;

    while (i < segments->count && result == 0) {
        high = all[i].high;
        if (all[i].low == 0 &&
            (i + 1 == segments->count || all[i + 1].high != high)) {
            set = all[i++].set;
            result = put_segment6(highs, high, set);
            continue;
        }
        result = put_segment6(
            highs, high, SEGMENT6_DEEP | compile_count(compile, SECTION_DEEP));
        if (result == 0) {
            result = compile_put32(deep, compile_count(compile, SECTION_LOWS));
        }
        if (result == 0 && all[i].low != 0) {
            result = put_segment6(lows, 0, set);
        }
        for (; i < segments->count && all[i].high == high && result == 0; i++) {
            set = all[i].set;
            result = put_segment6(lows, all[i].low, set);
        }
        /* What holds at the end of the group holds behind it. */
        if (result == 0 && high != UINT64_MAX &&
            (i == segments->count || all[i].high != high + 1))
        {
            result = put_segment6(highs, high + 1, set);
        }
    }
    if (result == 0) {
        result = compile_put32(deep, compile_count(compile, SECTION_LOWS));
    }
    return result;
}

int
compile_put_segments6(compile_t *compile, const compile_segments_t *segments)
{
    compile_buffer_t *index = &compile->sections[SECTION_INDEX6];
    const uint8_t *keys;
    uint64_t base = 0, top = 0, bucket = 0;
    uint32_t count, bits = 0, shift = 0;
    int result = split_segments6(compile, segments);

    if (result < 0) {
        return result;
    }
    count = compile_count(compile, SECTION_SEGMENTS6);
    keys = compile->sections[SECTION_SEGMENTS6].data;
    if (count > 1) {
        base = load_le64(keys + SEGMENT6_SIZE);
        top = load_le64(keys + (size_t) SEGMENT6_SIZE * (count - 1));
        bits = index_bits(count, BUCKET_SEGMENTS6_BITS);
        while ((top - base) >> shift >= UINT64_C(1) << bits) {
            shift++;
        }
    }
    compile->index6_base = base;
    compile->index6_bits = bits;
    compile->index6_shift = shift;
    result = compile_extend(index, 4 * (((size_t) 1 << bits) + 1));
    if (result < 0) {
        return result;
    }
    store_le32(index->data, 1);
    for (uint32_t i = 1; i < count; i++) {
        uint64_t key = load_le64(keys + (size_t) SEGMENT6_SIZE * i);
        for (; bucket < (key - base) >> shift; bucket++) {
            store_le32(index->data + 4 * (bucket + 1), i);
        }
    }
    for (; bucket < UINT64_C(1) << bits; bucket++) {
        store_le32(index->data + 4 * (bucket + 1), count);
    }
    return 0;
}
