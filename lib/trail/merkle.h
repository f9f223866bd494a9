/*
 * The Merkle tree of RFC 6962 section 2.1 over SHA-256.
 */

#ifndef SEKISHO_TRAIL_MERKLE_H
#define SEKISHO_TRAIL_MERKLE_H

#include <openssl/evp.h>
#include <stdint.h>

#include "../base/slice.h"

#define MERKLE_HASH_SIZE 32
#define MERKLE_TILE_BITS 8 /* a tile is 8 levels of the tree high */
#define MERKLE_TOPS_MAX  8 /* tile levels of a tree of 2^64 leaves */

typedef struct {
    uint8_t bytes[MERKLE_HASH_SIZE];
} merkle_hash_t;

/* One per thread: 3 million hashes of 400 bytes a second and core, and twice as
 * many of merkle_leaves() where the processor has instructions for it. */
typedef struct {
    EVP_MD *digest;
    EVP_MD_CTX *context;
    bool pairs;  /* two hashes side by side: sha256_pair.h */
    bool failed; /* OpenSSL refused once: no hash since then is to be trusted.
                  * Look before anything is signed, written or believed. */
} merkle_hasher_t;

/* -ENOMEM, or -EIO if OpenSSL has no SHA-256.  Freed in any case by
 * merkle_hasher_free(), which takes a zeroed one as well. */
int merkle_hasher_init(merkle_hasher_t *hasher);
void merkle_hasher_free(merkle_hasher_t *hasher);

/* SHA-256 of two pieces, one behind the other. */
void merkle_sha256(merkle_hasher_t *hasher, slice_t first, slice_t second,
                   merkle_hash_t *hash);

/* SHA-256(0x00 || entry). */
void merkle_leaf(merkle_hasher_t *hasher, slice_t entry, merkle_hash_t *hash);

/* The same of `count` entries, which takes half of the time. */
void merkle_leaves(merkle_hasher_t *hasher, const slice_t *entries,
                   size_t count, merkle_hash_t *hashes);

/* SHA-256(0x01 || left || right); `hash` may be one of the two. */
void merkle_node(merkle_hasher_t *hasher, const merkle_hash_t *left,
                 const merkle_hash_t *right, merkle_hash_t *hash);

/* SHA-256 of nothing: the root of an empty tree. */
void merkle_empty(merkle_hasher_t *hasher, merkle_hash_t *hash);

bool merkle_equal(const merkle_hash_t *a, const merkle_hash_t *b);

/*
 * Root of a row of 1 to 256 hashes, as if they were the leaves' hashes of a
 * tree of their own; `hashes` is destroyed and holds the root at [0].
 */
void merkle_fold(merkle_hasher_t *hasher, merkle_hash_t *hashes, size_t count);

/*
 * The right edge of a tree: the roots of its complete subtrees, one per set bit
 * of the size.  Zeroed is the empty tree.
 */
typedef struct {
    uint64_t size;           /* leaves */
    merkle_hash_t nodes[64]; /* [h]: the subtree of 2^h leaves, if bit h of
                                * size is set */
} merkle_frontier_t;

/*
 * Appends a leaf's hash.  Where a subtree of height 8, 16, … is completed its
 * root is given as tops[0], tops[1], …: the hashes that belong into tiles of
 * level 1, 2, ….  Returns how many (0 to 8).
 */
unsigned merkle_append(merkle_hasher_t *hasher, merkle_frontier_t *frontier,
                       const merkle_hash_t *leaf,
                       merkle_hash_t tops[MERKLE_TOPS_MAX]);

/* The same for the 256 leaves of a full tile, whose root is given: tops[0] is
 * that of height 16.  The size must be a multiple of 256. */
unsigned merkle_append_tile(merkle_hasher_t *hasher,
                            merkle_frontier_t *frontier,
                            const merkle_hash_t *root,
                            merkle_hash_t tops[MERKLE_TOPS_MAX]);

/* Appends a complete subtree of 2^height leaves; false (and nothing done)
 * unless the size is a multiple of that and stays below 2^63. */
bool merkle_append_subtree(merkle_hasher_t *hasher, merkle_frontier_t *frontier,
                           unsigned height, const merkle_hash_t *root);

/* The root at this size. */
void merkle_root(merkle_hasher_t *hasher, const merkle_frontier_t *frontier,
                 merkle_hash_t *root);

#endif
