#include "sha256_pair.h"

#include <string.h>

#include "../base/endian.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>

#define WITH_SHA __attribute__((target("sha,sse4.1,ssse3")))
#define INLINE   static inline __attribute__((always_inline)) WITH_SHA

/* FIPS 180-4, 4.2.2 */
static const uint32_t constants[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1,
    0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
    0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
    0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
    0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
    0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
    0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
    0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
    0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

/* 5.3.3, in the order that the instructions keep a state in: the words A, B, E,
 * F in one register and C, D, G, H in the other, the first one highest. */
typedef struct {
    __m128i abef, cdgh;
} state_t;

/* The sixteen words of the schedule that the next ones are made of, oldest
 * first. */
typedef struct {
    __m128i w0, w1, w2, w3;
} schedule_t;

INLINE state_t
initial_state(void)
{
    return (state_t){
        _mm_set_epi32(0x6a09e667, (int) 0xbb67ae85, 0x510e527f,
                      (int) 0x9b05688c),
        _mm_set_epi32(0x3c6ef372, (int) 0xa54ff53a, 0x1f83d9ab, 0x5be0cd19)};
}

/* Four words, big-endian. */
INLINE __m128i
load_words(const uint8_t *at)
{
    const __m128i swap = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7,
                                      0, 1, 2, 3);

    return _mm_shuffle_epi8(
        _mm_loadu_si128((const __m128i *) (const void *) at), swap);
}

INLINE schedule_t
load_block(const uint8_t *at)
{
    return (schedule_t){load_words(at), load_words(at + 16),
                        load_words(at + 32), load_words(at + 48)};
}

/* Four rounds with the oldest words of the schedule; 6.2.2, step 3. */
INLINE void
four_rounds(state_t *state, __m128i words, unsigned round)
{
    __m128i sum = _mm_add_epi32(
        words,
        _mm_load_si128((const __m128i *) (const void *) &constants[round]));

    state->cdgh = _mm_sha256rnds2_epu32(state->cdgh, state->abef, sum);
    sum = _mm_shuffle_epi32(sum, 0x0e);
    state->abef = _mm_sha256rnds2_epu32(state->abef, state->cdgh, sum);
}

/* Four new words in place of the oldest; step 1. */
INLINE void
extend(schedule_t *schedule)
{
    __m128i next = _mm_sha256msg1_epu32(schedule->w0, schedule->w1);

    next = _mm_add_epi32(next, _mm_alignr_epi8(schedule->w3, schedule->w2, 4));
    next = _mm_sha256msg2_epu32(next, schedule->w3);
    *schedule = (schedule_t){schedule->w1, schedule->w2, schedule->w3, next};
}

/* Blocks at two places, each into its state. */
INLINE void
two_blocks(state_t *a, const uint8_t *block_a, state_t *b,
           const uint8_t *block_b)
{
    const state_t old_a = *a, old_b = *b;
    schedule_t words_a = load_block(block_a), words_b = load_block(block_b);

#define BOTH(round)                                                            \
    four_rounds(a, words_a.w0, round);                                         \
    four_rounds(b, words_b.w0, round);                                         \
    extend(&words_a);                                                          \
    extend(&words_b);
    BOTH(0)
    BOTH(4)
    BOTH(8)
    BOTH(12)
    BOTH(16)
    BOTH(20)
    BOTH(24)
    BOTH(28)
    BOTH(32)
    BOTH(36)
    BOTH(40)
    BOTH(44)
#undef BOTH
    /* there are words for the last sixteen rounds already */
    four_rounds(a, words_a.w0, 48);
    four_rounds(b, words_b.w0, 48);
    four_rounds(a, words_a.w1, 52);
    four_rounds(b, words_b.w1, 52);
    four_rounds(a, words_a.w2, 56);
    four_rounds(b, words_b.w2, 56);
    four_rounds(a, words_a.w3, 60);
    four_rounds(b, words_b.w3, 60);

    a->abef = _mm_add_epi32(a->abef, old_a.abef);
    a->cdgh = _mm_add_epi32(a->cdgh, old_a.cdgh);
    b->abef = _mm_add_epi32(b->abef, old_b.abef);
    b->cdgh = _mm_add_epi32(b->cdgh, old_b.cdgh);
}

INLINE void
store_state(const state_t *state, uint8_t hash[SHA256_PAIR_SIZE])
{
    uint32_t abef[4], cdgh[4];

    _mm_storeu_si128((__m128i *) (void *) abef, state->abef);
    _mm_storeu_si128((__m128i *) (void *) cdgh, state->cdgh);
    store_be32(hash, abef[3]);
    store_be32(hash + 4, abef[2]);
    store_be32(hash + 8, cdgh[3]);
    store_be32(hash + 12, cdgh[2]);
    store_be32(hash + 16, abef[1]);
    store_be32(hash + 20, abef[0]);
    store_be32(hash + 24, cdgh[1]);
    store_be32(hash + 28, cdgh[0]);
}

/* 5.1.1; the number of blocks that it becomes. */
static size_t
pad(const sha256_pair_text_t *text)
{
    size_t blocks = (text->size + 8) / SHA256_PAIR_BLOCK + 1;
    uint8_t *end = text->bytes + blocks * SHA256_PAIR_BLOCK - 8;

    text->bytes[text->size] = 0x80;
    memset(text->bytes + text->size + 1, 0,
           (size_t) (end - text->bytes) - text->size - 1);
    store_be64(end, (uint64_t) text->size * 8);
    return blocks;
}

WITH_SHA void
sha256_pair(const sha256_pair_text_t *first, const sha256_pair_text_t *second,
            uint8_t first_hash[SHA256_PAIR_SIZE],
            uint8_t second_hash[SHA256_PAIR_SIZE])
{
    size_t blocks_a = pad(first), blocks_b = pad(second);
    size_t both = blocks_a < blocks_b ? blocks_a : blocks_b;
    const uint8_t *at_a = first->bytes, *at_b = second->bytes;
    state_t a = initial_state(), b = initial_state(), idle = initial_state();
    size_t i;

    for (i = 0; i < both; i++) {
        two_blocks(&a, at_a, &b, at_b);
        at_a += SHA256_PAIR_BLOCK;
        at_b += SHA256_PAIR_BLOCK;
    }
    /* the rest of the longer one, beside work that nobody wants */
    for (i = both; i < blocks_a; i++) {
        two_blocks(&a, at_a, &idle, at_a);
        at_a += SHA256_PAIR_BLOCK;
    }
    for (i = both; i < blocks_b; i++) {
        two_blocks(&b, at_b, &idle, at_b);
        at_b += SHA256_PAIR_BLOCK;
    }
    store_state(&a, first_hash);
    store_state(&b, second_hash);
}


/* What a processor says of itself is believed only if it does it, too. */
static bool
answers_right(void)
{
    /* FIPS 180-4, SHA-256 of "abc" */
    static const uint8_t expected[SHA256_PAIR_SIZE] = {
        0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40,
        0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17,
        0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad};
    uint8_t one[SHA256_PAIR_ROOM(3)] = "abc",
            other[SHA256_PAIR_ROOM(3)] = "abc";
    uint8_t hashes[2][SHA256_PAIR_SIZE];

    sha256_pair(&(sha256_pair_text_t){one, 3}, &(sha256_pair_text_t){other, 3},
                hashes[0], hashes[1]);
    return memcmp(hashes[0], expected, sizeof(expected)) == 0 &&
           memcmp(hashes[1], expected, sizeof(expected)) == 0;
}


bool
sha256_pair_usable(void)
{
    unsigned a, b, c, d;

    return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_SSSE3) != 0 &&
           (c & bit_SSE4_1) != 0 && __get_cpuid_count(7, 0, &a, &b, &c, &d) &&
           (b & bit_SHA) != 0 && answers_right();
}

#else

bool
sha256_pair_usable(void)
{
    return false;
}

void
sha256_pair(const sha256_pair_text_t *first, const sha256_pair_text_t *second,
            uint8_t first_hash[SHA256_PAIR_SIZE],
            uint8_t second_hash[SHA256_PAIR_SIZE])
{
    (void) first;
    (void) second;
    memset(first_hash, 0, SHA256_PAIR_SIZE);
    memset(second_hash, 0, SHA256_PAIR_SIZE);
}

#endif
