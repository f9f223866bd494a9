/*
 * Parts of the decision that have a file of their own: from an address to its
 * candidate set (here, to be inlined), and certificates (decide_device.c).
 */

#ifndef SEKISHO_POLICY_DECIDE_PARTS_H
#define SEKISHO_POLICY_DECIDE_PARTS_H

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "decide.h"
#include "image_layout.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/*
 * Which of `count` candidates (ascending facilities, as in the image) does the
 * certificate belong to: by the pin, which is trusted by itself; else by an
 * authority in its chain, the nearest to the leaf first, if the chain was
 * verified.  POLICY_NO_FACILITY: to none.
 */
uint32_t device_owner(const policy_image_t *image,
                      const policy_certificate_t *certificate,
                      const uint8_t *candidates, uint32_t count);

/*
 * Searches have no branch on what is compared: it could not be predicted.
 */

/*
 * The last word of a line with `key` in its prefix; the first one always has.
 * From the 1 behind the prefix on, word ^ (word - 1), nothing is compared.
 */
ALWAYS_INLINE uint32_t
search_line4(const uint8_t *line, uint32_t key, uint32_t mask)
{
#ifdef __SSE2__
    const __m128i keys = _mm_set1_epi32((int) key);
    const __m128i masks = _mm_set1_epi32((int) mask);
    const __m128i one = _mm_set1_epi32(1), zero = _mm_setzero_si128();
    __m128i in[4], word, below;
    uint32_t all;

#pragma GCC unroll 4
    for (unsigned i = 0; i < 4; i++) {
        word = _mm_load_si128((const __m128i *) (const void *) line + i);
        word = _mm_andnot_si128(masks, word);
        below = _mm_xor_si128(word, _mm_sub_epi32(word, one));
        in[i] = _mm_cmpeq_epi32(
            _mm_andnot_si128(below, _mm_xor_si128(word, keys)), zero);
    }
    all = (uint32_t) _mm_movemask_epi8(_mm_packs_epi16(
        _mm_packs_epi32(in[0], in[1]), _mm_packs_epi32(in[2], in[3])));
    return load_le32(line + 4 * (31 - (unsigned) __builtin_clz(all | 1)));
#else
    uint32_t found = 0, word;

    for (unsigned i = 0; i < LINE4_WORDS; i++) {
        word = load_le32(line + 4 * i) & ~mask;
        found = ((word ^ key) & ~(word ^ (word - 1))) == 0 ? i : found;
    }
    return load_le32(line + 4 * found);
#endif
}

/* The position behind the last of ascending segments that is not above `key`. */
static size_t
search4(const uint8_t *segments, size_t count, uint32_t key)
{
    size_t first = 0, half;

    while (count > 0) {
        half = (count + 1) / 2;
        first += half & -(size_t) (load_le32(segments +
                                             4 * (first + half - 1)) <= key);
        count -= half;
    }
    return first;
}

ALWAYS_INLINE uint32_t
find_set4(const policy_image_t *image, uint32_t address)
{
    uint32_t bits = image->lines4_bits, mask = LINE4_SET_MASK(bits);
    const uint8_t *line = image->section[SECTION_LINES4] +
                          LINE4_SIZE * (size_t) (address >> (32 - bits));
    const uint8_t *more;
    uint32_t key = address << bits;

    if (load_le32(line) != (LINE4_WHOLE | mask)) {
        return search_line4(line, key, mask) & mask;
    }
    mask = (1u << bits) - 1;
    key |= mask;
    more = image_element(image, SECTION_MORE4, 4, load_le32(line + 4));
    return load_le32(more + 4 * (search4(more, load_le32(line + 8), key) - 1)) &
           mask;
}

/*
 * Halves until few are left, and counts those in one go, which a good index
 * makes the only thing to do.  So up to FEW6 segments behind the last are
 * compared, and not counted: they are in the image, because sections with at
 * least one element follow (image_check.c, counts_ok).
 */
#define FEW6 8

_Static_assert(FEW6 *SEGMENT6_SIZE <= 2 * IMAGE_ALIGNMENT,
               "what is read behind the segments is in the image");

ALWAYS_INLINE size_t
search6(const uint8_t *segments, size_t first, size_t count, uint64_t key)
{
    size_t half, sum = 0;

    while (count > FEW6) {
        half = (count + 1) / 2;
        first += half &
                 -(size_t) (load_le64(segments + SEGMENT6_SIZE * (first + half -
                                                                  1)) <= key);
        count -= half;
    }
#pragma GCC unroll 8
    for (size_t i = 0; i < FEW6; i++) {
        sum += (i < count) &
               (load_le64(segments + SEGMENT6_SIZE * (first + i)) <= key);
    }
    return first + sum;
}

ALWAYS_INLINE uint32_t
find_set6(const policy_image_t *image, uint64_t high, uint64_t low)
{
    const uint8_t *index, *segments = image->section[SECTION_SEGMENTS6];
    uint64_t bucket, last;
    uint32_t set, first, end;
    size_t at = 1;

    if (high >= image->index6_base) {
        last = (UINT64_C(1) << image->index6_bits) - 1;
        bucket = (high - image->index6_base) >> image->index6_shift;
        bucket = bucket > last ? last : bucket;
        index = image->section[SECTION_INDEX6] + 4 * bucket;
        first = load_le32(index);
        end = load_le32(index + 4);
        at = search6(segments, first, end - first, high);
    }
    set = load_le32(segments + SEGMENT6_SIZE * (at - 1) + 8);
    if ((set & SEGMENT6_DEEP) == 0) {
        return set;
    }
    index = image->section[SECTION_DEEP] + 4 * (size_t) (set & ~SEGMENT6_DEEP);
    segments = image->section[SECTION_LOWS];
    first = load_le32(index);
    end = load_le32(index + 4);
    at = search6(segments, first, end - first, low);
    return load_le32(segments + SEGMENT6_SIZE * (at - 1) + 8);
}

/* IMAGE_NONE for an address that cannot be in any. */
ALWAYS_INLINE uint32_t
find_set(const policy_image_t *image, const address_t *address)
{
    switch (address->family) {
    case ADDRESS_IPV4:
        return find_set4(image, load_be32(address->bytes));
    case ADDRESS_IPV6:
        return find_set6(image, load_be64(address->bytes),
                         load_be64(address->bytes + 8));
    case ADDRESS_LOCAL:
        return image->count[SECTION_FACILITIES] + SET_LOCAL;
    default:
        return IMAGE_NONE;
    }
}

#endif
