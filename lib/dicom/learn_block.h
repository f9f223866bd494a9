/*
 * 64 bytes at a time: which of them are in strings, and which of the others
 * are brackets.  That is most of what there is to do.
 */

#ifndef SEKISHO_DICOM_LEARN_BLOCK_H
#define SEKISHO_DICOM_LEARN_BLOCK_H

#include "learn_scan.h"

#define LEARN_BLOCK 64

/* A bit for each byte of a block. */
typedef struct {
    uint64_t quotes;
    uint64_t brackets; /* round ones excepted */
    uint64_t controls;
    uint64_t escapes; /* backslashes */
} learn_block_t;

#if defined(__SSE2__)

static inline uint64_t
learn_bits(__m128i a, __m128i b, __m128i c, __m128i d)
{
    uint32_t low = (uint32_t) _mm_movemask_epi8(a) |
                   (uint32_t) _mm_movemask_epi8(b) << 16;
    uint32_t high = (uint32_t) _mm_movemask_epi8(c) |
                    (uint32_t) _mm_movemask_epi8(d) << 16;

    return (uint64_t) high << 32 | low;
}


static inline __m128i
learn_brackets(__m128i bytes)
{
    /* [ and ] are { and } without that bit */
    bytes = _mm_or_si128(bytes, _mm_set1_epi8(0x20));

    return _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('{')),
                        _mm_cmpeq_epi8(bytes, _mm_set1_epi8('}')));
}


static inline learn_block_t
learn_block(const uint8_t *p)
{
    const __m128i quote = _mm_set1_epi8('"'), escape = _mm_set1_epi8('\\');
    __m128i a = learn_load(p), b = learn_load(p + 16);
    __m128i c = learn_load(p + 32), d = learn_load(p + 48);

    return (learn_block_t){
        .quotes = learn_bits(_mm_cmpeq_epi8(a, quote), _mm_cmpeq_epi8(b, quote),
                             _mm_cmpeq_epi8(c, quote),
                             _mm_cmpeq_epi8(d, quote)),
        .brackets = learn_bits(learn_brackets(a), learn_brackets(b),
                               learn_brackets(c), learn_brackets(d)),
        .controls = learn_bits(learn_controls(a), learn_controls(b),
                               learn_controls(c), learn_controls(d)),
        .escapes = learn_bits(
            _mm_cmpeq_epi8(a, escape), _mm_cmpeq_epi8(b, escape),
            _mm_cmpeq_epi8(c, escape), _mm_cmpeq_epi8(d, escape))};
}

#else

static inline learn_block_t
learn_block(const uint8_t *p)
{
    learn_block_t block = {0};

    for (unsigned i = 0; i < LEARN_BLOCK; i++) {
        uint64_t bit = UINT64_C(1) << i;

        block.quotes |= p[i] == '"' ? bit : 0;
        block.escapes |= p[i] == '\\' ? bit : 0;
        block.controls |= p[i] < 0x20 ? bit : 0;
        block.brackets |= (p[i] | 0x20) == '{' || (p[i] | 0x20) == '}' ? bit
                                                                       : 0;
    }

    return block;
}

#endif

/* From each quotation mark, itself too, to the next. */
static inline uint64_t
learn_between(uint64_t quotes)
{
    quotes ^= quotes << 1;
    quotes ^= quotes << 2;
    quotes ^= quotes << 4;
    quotes ^= quotes << 8;
    quotes ^= quotes << 16;

    return quotes ^ quotes << 32;
}

#endif
