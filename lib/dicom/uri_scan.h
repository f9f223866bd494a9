/*
 * Sixteen bytes of a target at once: where it may have to be cut or looked at,
 * and whether a segment is a UID.
 *
 * Written with the compiler's vectors, which become SSE2, NEON or plain
 * arithmetic; only the step from a vector of results to a set of bits has an
 * instruction of its own on x86.
 */

#ifndef SEKISHO_DICOM_URI_SCAN_H
#define SEKISHO_DICOM_URI_SCAN_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define SCAN_WIDTH 16

typedef uint8_t scan_vector_t __attribute__((vector_size(SCAN_WIDTH)));

/* Results of a comparison (0 or 0xff each) -> bits, without any instruction
 * that only some machines have. */
static inline unsigned
scan_bits_portable(scan_vector_t found)
{
    unsigned bits = 0;

    for (unsigned half = 0; half < 2; half++) {
        uint64_t word;

        memcpy(&word, (const uint8_t *) &found + half * 8, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        word = __builtin_bswap64(word);
#endif
        /* one bit a byte; the product gathers them in its highest byte */
        word &= UINT64_C(0x0101010101010101);
        bits |= (unsigned) (word * UINT64_C(0x0102040810204080) >> 56)
                << half * 8;
    }

    return bits;
}


static inline unsigned
scan_bits(scan_vector_t found)
{
#if defined(__SSE2__)
    typedef char bytes_t __attribute__((vector_size(SCAN_WIDTH)));

    return (unsigned) __builtin_ia32_pmovmskb128((bytes_t) found);
#else
    return scan_bits_portable(found);
#endif
}


static inline scan_vector_t
scan_load(const char *at)
{
    scan_vector_t bytes;

    memcpy(&bytes, at, SCAN_WIDTH);

    return bytes;
}


/* Bit i: byte i is one of / ? NUL % ; \ # or of a few that mean nothing.
 * These take fewer comparisons than those alone: NUL, # and % are among the
 * first 38 of ASCII, and / ? ; are one but for two bits, as + is. */
static inline unsigned
scan_marks(scan_vector_t bytes)
{
    return scan_bits((scan_vector_t) (bytes <= '%') |
                     (scan_vector_t) ((bytes | 0x14) == '?') |
                     (scan_vector_t) (bytes == '\\'));
}


/* Whether there are only digits and dots in `size` bytes without a slash, at
 * least SCAN_WIDTH of them. */
static inline bool
scan_is_uid(const char *at, size_t size)
{
    const char *last = at + size - SCAN_WIDTH;
    /* the slash is between the dot and the digits */
    scan_vector_t others = (scan_vector_t) (scan_load(last) - (uint8_t) '.' >
                                            11);

    for (; at < last; at += SCAN_WIDTH) {
        others |= (scan_vector_t) (scan_load(at) - (uint8_t) '.' > 11);
    }

    return scan_bits(others) == 0;
}

#endif
