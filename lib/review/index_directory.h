/* The numbers of all words by their hashes, for a first filling; for this
 * folder only. */

#ifndef SEKISHO_REVIEW_INDEX_DIRECTORY_H
#define SEKISHO_REVIEW_INDEX_DIRECTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/siphash.h"

/*
 * A text is known by 96 bits of a keyed hash: among 27 million words two share
 * one with a probability of 1 to 2^47, and nobody without the key can make them.
 */
typedef struct {
    uint64_t hash;
    uint32_t more; /* 32 bits of the hash's other half */
    uint32_t id;   /* 0: free */
} directory_slot_t;

/* 512 MiB, for 27 million words; while it grows half as much again. */
#define DIRECTORY_SLOTS_MAX ((size_t) 1 << 25)

/* Zeroed is the empty directory. */
typedef struct {
    directory_slot_t *slots;
    size_t mask; /* slots - 1 */
    size_t count;
} directory_t;

void directory_free(directory_t *directory);

/* 0: it is not there. */
uint32_t directory_find(const directory_t *directory, siphash_t hash);

/* Of a hash that is not there.  False: there is no room for more. */
bool directory_add(directory_t *directory, siphash_t hash, uint32_t id);

/* The number of this hash will be asked for soon. */
static inline void
directory_expect(const directory_t *directory, siphash_t hash)
{
    if (directory->slots != NULL) {
        __builtin_prefetch(&directory->slots[hash.low & directory->mask]);
    }
}

#endif
