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

ALWAYS_INLINE uint32_t
find_set4(const policy_image_t *image, uint32_t address)
{
    uint32_t bits = image->lines4_bits, mask = LINE4_SET_MASK(bits);
    const uint8_t *lines = image->section[SECTION_LINES4];
    const uint8_t *line = lines +
                          LINE4_SIZE * (size_t) (address >> (32 - bits));
    uint32_t key = address << bits;

    while (load_le32(line) == (LINE4_WHOLE | mask)) {
        if (((key ^ load_le32(line + BRANCH4_KEY)) &
             load_le32(line + BRANCH4_MASK)) != 0)
        {
            return load_le32(line + BRANCH4_SET);
        }
        line = lines + LINE4_SIZE * ((size_t) load_le32(line + BRANCH4_FIRST) +
                                     (key << line[BRANCH4_SKIP] >>
                                      (32 - line[BRANCH4_BITS])));
    }
    return search_line4(line, key, mask) & mask;
}

/* As for IPv4. */
ALWAYS_INLINE uint64_t
search_line6(const uint8_t *line, uint64_t key, uint64_t mask)
{
#ifdef __SSE2__
    const __m128i keys = _mm_set1_epi64x((long long) key);
    const __m128i masks = _mm_set1_epi64x((long long) mask);
    const __m128i one = _mm_set1_epi64x(1), zero = _mm_setzero_si128();
    __m128i in[4], word, below;
    uint32_t all;

#pragma GCC unroll 4
    for (unsigned i = 0; i < 4; i++) {
        word = _mm_load_si128((const __m128i *) (const void *) line + i);
        word = _mm_andnot_si128(masks, word);
        below = _mm_xor_si128(word, _mm_sub_epi64(word, one));
        in[i] = _mm_cmpeq_epi32(
            _mm_andnot_si128(below, _mm_xor_si128(word, keys)), zero);
    }
    /* Two bits a word, one of each half: both must be. */
    all = (uint32_t) _mm_movemask_epi8(_mm_packs_epi16(
        _mm_packs_epi32(in[0], in[1]), _mm_packs_epi32(in[2], in[3])));
    all &= all >> 1 & 0x5555;
    return load_le64(line + 4 * (31 - (unsigned) __builtin_clz(all | 1)));
#else
    uint64_t word;
    uint32_t found = 0;

    for (unsigned i = 0; i < LINE6_WORDS; i++) {
        word = load_le64(line + 8 * i) & ~mask;
        found = ((word ^ key) & ~(word ^ (word - 1))) == 0 ? i : found;
    }
    return load_le64(line + 8 * found);
#endif
}

/* The set of the last segment of a group that does not begin behind `low`. */
static uint32_t
find_low(const policy_image_t *image, uint32_t group, uint64_t low)
{
    const uint8_t *index = image_element(image, SECTION_DEEP, 4, group);
    uint32_t first = load_le32(index), count = load_le32(index + 4) - first;
    const uint8_t *lows = image_element(image, SECTION_LOWS, LOW_SIZE, first);
    size_t at = 0, half;

    while (count > 0) {
        half = ((size_t) count + 1) / 2;
        at += half &
              -(size_t) (load_le64(lows + LOW_SIZE * (at + half - 1)) <= low);
        count -= (uint32_t) half;
    }
    return load_le32(lows + LOW_SIZE * (at - 1) + 8);
}

ALWAYS_INLINE uint32_t
find_set6(const policy_image_t *image, uint64_t high, uint64_t low)
{
    uint32_t outer = image->block6_bits, bits = image->lines6_bits;
    uint64_t mask = LINE6_SET_MASK(outer + bits), key = high << (outer + bits);
    const uint8_t *lines = image->section[SECTION_LINES6];
    const uint8_t *line = lines +
                          LINE6_SIZE * (size_t) (high << outer >> (64 - bits));
    uint64_t set;

    if (((high ^ image->block6) & image->block6_mask) != 0) {
        return image->count[SECTION_FACILITIES] + SET_ANY;
    }
    for (;;) {
        if (load_le64(line) != (LINE6_WHOLE | mask)) {
            set = search_line6(line, key, mask) & mask;
            break;
        }
        if (((key ^ load_le64(line + BRANCH6_KEY)) &
             load_le64(line + BRANCH6_MASK)) != 0)
        {
            set = load_le64(line + BRANCH6_SET);
            break;
        }
        line = lines + LINE6_SIZE * ((size_t) load_le32(line + BRANCH6_FIRST) +
                                     (size_t) (key << line[BRANCH6_SKIP] >>
                                               (64 - line[BRANCH6_BITS])));
    }
    return set < image->sets
               ? (uint32_t) set
               : find_low(image, (uint32_t) set - image->sets, low);
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
