/* Prefixes -> what a look-up of IPv6 searches. */

#include <errno.h>
#include <stdlib.h>

#include "../base/wipe.h"
#include "compile_parts.h"

/* In place of a set: a group of LOWS. */
#define DEEP 0x80000000u

static void
cleanup_segments(compile_segments_t *segments)
{
    free(segments->segments);
}

static int
put_low(compile_buffer_t *out, uint64_t key, uint32_t set)
{
    uint8_t bytes[LOW_SIZE];

    store_le64(bytes, key);
    store_le32(bytes + 8, set);
    return compile_put(out, bytes, sizeof(bytes));
}

/* Segments of 128 bits -> those of the upper 64, and groups of the lower. */
static int
split_segments(compile_t *compile, const compile_segments_t *segments,
               compile_segments_t *highs)
{
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
            result = compile_begin_segment(highs, high, 0, set);
            continue;
        }
        result = compile_begin_segment(
            highs, high, 0, DEEP | compile_count(compile, SECTION_DEEP));
        if (result == 0) {
            result = compile_put32(deep, compile_count(compile, SECTION_LOWS));
        }
        if (result == 0 && all[i].low != 0) {
            result = put_low(lows, 0, set);
        }
        for (; i < segments->count && all[i].high == high && result == 0; i++) {
            set = all[i].set;
            result = put_low(lows, all[i].low, set);
        }
        /* What holds at the end of the group holds behind it. */
        if (result == 0 && high != UINT64_MAX &&
            (i == segments->count || all[i].high != high + 1))
        {
            result = compile_begin_segment(highs, high + 1, 0, set);
        }
    }
    if (result == 0) {
        result = compile_put32(deep, compile_count(compile, SECTION_LOWS));
    }
    return result;
}

/*
 * Prefixes above /64 -> one of the /64 that they are in, with what the segments
 * say of it; it takes the place of that /64's own.
 */
static size_t
shorten(const compile_prefix_t *prefixes, size_t count,
        const compile_segments_t *highs, compile_prefix_t *shortened)
{
    size_t kept = 0, segment = 0;
    uint64_t high;

    for (size_t i = 0; i < count; i++) {
        if (prefixes[i].bits <= 64) {
            shortened[kept++] = prefixes[i];
            continue;
        }
        high = prefixes[i].high;
        if (kept == 0 || shortened[kept - 1].bits != 64 ||
            shortened[kept - 1].high != high)
        {
            kept++;
        }
        while (segment + 1 < highs->count &&
               highs->segments[segment + 1].high <= high) {
            segment++;
        }
        shortened[kept - 1] = (compile_prefix_t){
            high, highs->segments[segment].set, 64};
    }
    return kept;
}

/* The smallest block with all prefixes in it, as far as that helps. */
static void
find_block(compile_t *compile, const compile_prefix_t *prefixes, size_t count)
{
    uint32_t bits = BLOCK6_BITS_MAX;
    uint64_t block = count == 0 ? 0 : prefixes[0].high;

    for (size_t i = 0; i < count; i++) {
        bits = prefixes[i].bits < bits ? prefixes[i].bits : bits;
        while (bits > 0 && (prefixes[i].high ^ block) >> (64 - bits) != 0) {
            bits--;
        }
    }
    compile->block6_bits = bits;
    compile->block6 = bits == 0 ? 0 : block >> (64 - bits) << (64 - bits);
}

/* What a word has for a set, or for a group of LOWS. */
static uint64_t
value(const compile_t *compile, uint32_t set)
{
    return (set & DEEP) == 0
               ? set
               : (uint64_t) compile->facilities +
                     compile_count(compile, SECTION_SETS) + (set & ~DEEP);
}

static void
put_words(const compile_t *compile, const compile_prefix_t *prefixes,
          size_t count, uint32_t bits, uint32_t set, uint8_t *line)
{
    uint32_t at = LINE6_WORDS, outer;

    outer = compile->block6_bits + compile->lines6_bits;
    for (size_t i = count; i-- > 0;) {
        if (prefixes[i].bits > bits) {
            store_le64(line + 8 * (size_t) --at,
                       prefixes[i].high << outer |
                           LINE6_WHOLE >> (prefixes[i].bits - outer) |
                           value(compile, prefixes[i].set));
        }
    }
    while (at > 0) {
        store_le64(line + 8 * (size_t) --at, LINE6_WHOLE | value(compile, set));
    }
}

static void
put_branch(const compile_t *compile, uint64_t high, uint32_t outer,
           uint32_t inner, uint32_t first, uint32_t set, uint8_t *line)
{
    uint32_t bits = compile->block6_bits + compile->lines6_bits;
    uint32_t skip = outer - bits;
    uint64_t mask = skip == 0 ? 0 : UINT64_MAX << (64 - skip);

    store_le64(line, LINE6_WHOLE | LINE6_SET_MASK(bits));
    store_le32(line + BRANCH6_FIRST, first);
    line[BRANCH6_SKIP] = (uint8_t) skip;
    line[BRANCH6_BITS] = (uint8_t) inner;
    store_le64(line + BRANCH6_KEY, high << bits & mask);
    store_le64(line + BRANCH6_MASK, mask);
    store_le64(line + BRANCH6_SET, value(compile, set));
}

int
compile_put_lines6(compile_t *compile, const compile_prefix_t *prefixes,
                   size_t count, const compile_segments_t *segments)
{
    _cleanup_(cleanup_segments) compile_segments_t highs = {0};
    _cleanup_(cleanup_free) compile_prefix_t *shortened = NULL;
    compile_lines_t lines = {
        .section = SECTION_LINES6,
        .words = LINE6_WORDS,
        .few = 3,
        .many = 4,
        .size = 64,
        .put_words = put_words,
        .put_branch = put_branch,
    };
    uint32_t bits = LINES6_BITS_MIN;
    uint64_t values;
    int result = split_segments(compile, segments, &highs);

    if (result < 0) {
        return result;
    }
    shortened = calloc(count + 1, sizeof(*shortened));
    if (shortened == NULL) {
        return -ENOMEM;
    }
    count = shorten(prefixes, count, &highs, shortened);
    find_block(compile, shortened, count);
    lines.outer = compile->block6_bits;

    /* A set or a group must fit, and not be all ones. */
    values = (uint64_t) compile->facilities +
             compile_count(compile, SECTION_SETS) +
             compile_count(compile, SECTION_DEEP) - 1;
    while (values > LINE6_SET_MASK(compile->block6_bits + bits)) {
        if (bits++ == LINES_BITS_MAX) {
            return -EFBIG;
        }
    }
    bits = compile_line_bits(&lines, shortened, count, bits);
    compile->lines6_bits = bits;
    return compile_put_lines(compile, &lines, shortened, count, bits);
}
