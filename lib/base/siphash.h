/*
 * SipHash-1-3 with a result of 128 bits (Aumasson, Bernstein, 2012): a keyed
 * hash for tables, that nobody without the key can find two texts of one value
 * for.  It proves nothing to others, as SHA-256 does.
 */

#ifndef SEKISHO_BASE_SIPHASH_H
#define SEKISHO_BASE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

#define SIPHASH_KEY_SIZE 16 /* random bytes */

typedef struct {
    uint64_t low, high; /* the first eight bytes of the result, the others */
} siphash_t;

siphash_t siphash(const uint8_t key[SIPHASH_KEY_SIZE], const void *data,
                  size_t size);

#endif
