/*
 * The first byte of a kind, 16 at a time: where nearly all of the time that an
 * answer takes is spent.
 */

#ifndef SEKISHO_DICOM_LEARN_SCAN_H
#define SEKISHO_DICOM_LEARN_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* As many bytes may be read without a look at the end. */
#define LEARN_MARGIN 32

#if defined(__SSE2__)
#include <emmintrin.h>

static inline __m128i
learn_load(const uint8_t *p)
{
    return _mm_loadu_si128((const __m128i *) (const void *) p);
}

/* Bytes that are white space: all ones. */
static inline __m128i
learn_spaces(__m128i bytes)
{
    return _mm_or_si128(
        _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(' ')),
                     _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\n'))),
        _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('\r')),
                     _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\t'))));
}


/* Bytes up to 0x1f: all ones. */
static inline __m128i
learn_controls(__m128i bytes)
{
    return _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
}
#endif

/* The first quotation mark, backslash or control character. */
static inline const uint8_t *
learn_string_end(const uint8_t *p, const uint8_t *end)
{
#if defined(__SSE2__)
    const __m128i quote = _mm_set1_epi8('"'), escape = _mm_set1_epi8('\\');

    while (end - p >= 16) {
        __m128i bytes = learn_load(p);
        __m128i found = _mm_or_si128(
            _mm_or_si128(_mm_cmpeq_epi8(bytes, quote),
                         _mm_cmpeq_epi8(bytes, escape)),
            learn_controls(bytes));
        int mask = _mm_movemask_epi8(found);

        if (mask != 0) {
            return p + __builtin_ctz((unsigned) mask);
        }
        p += 16;
    }
#endif
    while (p < end && *p != '"' && *p != '\\' && *p >= 0x20) {
        p++;
    }

    return p;
}


static inline bool
learn_is_space(uint8_t c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}


/* The first of 16 bytes that is no white space; NULL if there is none. */
static inline const uint8_t *
learn_space_end_16(const uint8_t *p)
{
#if defined(__SSE2__)
    unsigned other = 0xffff ^
                     (unsigned) _mm_movemask_epi8(learn_spaces(learn_load(p)));

    return other == 0 ? NULL : p + __builtin_ctz(other);
#else
    for (unsigned i = 0; i < 16; i++) {
        if (!learn_is_space(p[i])) {
            return p + i;
        }
    }

    return NULL;
#endif
}


/* The first byte that is no white space. */
static inline const uint8_t *
learn_space_end(const uint8_t *p, const uint8_t *end)
{
    const uint8_t *found;

    if (p<end && * p> ' ') {
        return p;
    }
    while (end - p >= 16) {
        found = learn_space_end_16(p);
        if (found != NULL) {
            return found;
        }
        p += 16;
    }
    while (p < end && learn_is_space(*p)) {
        p++;
    }

    return p;
}

#endif
