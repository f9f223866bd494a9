/*
 * SHA-256 of two texts side by side.
 *
 * The instructions that x86 has for it wait for each other: two hashes take
 * little longer than one.  OpenSSL has no interface for that.
 */

#ifndef SEKISHO_TRAIL_SHA256_PAIR_H
#define SEKISHO_TRAIL_SHA256_PAIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHA256_PAIR_SIZE  32
#define SHA256_PAIR_BLOCK 64

/* One of the two: `bytes` has room for SHA256_PAIR_ROOM(size) bytes, of which
 * the first `size` are to be hashed; those behind them are written over. */
typedef struct {
    uint8_t *bytes;
    size_t size;
} sha256_pair_text_t;

#define SHA256_PAIR_ROOM(size) ((size) + 8 + SHA256_PAIR_BLOCK)

/* Whether this processor can do it; asks it, so better not for each hash. */
bool sha256_pair_usable(void);

/* FIPS 180-4, 6.2, of both.  Only where sha256_pair_usable(). */
void sha256_pair(const sha256_pair_text_t *first,
                 const sha256_pair_text_t *second,
                 uint8_t first_hash[SHA256_PAIR_SIZE],
                 uint8_t second_hash[SHA256_PAIR_SIZE]);

#endif
