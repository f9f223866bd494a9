/*
 * Short inputs go through SHA256_Init() and its like, which OpenSSL 3 calls
 * deprecated: its EVP_DigestInit_ex2() allocates and frees a state for each
 * hash even on a reused context, a quarter of the time of a leaf and half of
 * that of a node.  Where the old calls are gone EVP does it all.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "merkle.h"

#include <errno.h>
#include <openssl/opensslv.h>
#include <openssl/sha.h>

int
merkle_hasher_init(merkle_hasher_t *hasher)
{
    *hasher = (merkle_hasher_t){NULL, NULL, false};
    hasher->digest = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (hasher->digest == NULL) {
        return -EIO;
    }
    hasher->context = EVP_MD_CTX_new();
    return hasher->context == NULL ? -ENOMEM : 0;
}

void
merkle_hasher_free(merkle_hasher_t *hasher)
{
    EVP_MD_CTX_free(hasher->context);
    EVP_MD_free(hasher->digest);
    *hasher = (merkle_hasher_t){NULL, NULL, false};
}

void
merkle_sha256(merkle_hasher_t *hasher, slice_t first, slice_t second,
              merkle_hash_t *hash)
{
    EVP_MD_CTX *context = hasher->context;

    if (EVP_DigestInit_ex2(context, hasher->digest, NULL) != 1 ||
        EVP_DigestUpdate(context, first.data, first.size) != 1 ||
        (second.size > 0 &&
         EVP_DigestUpdate(context, second.data, second.size) != 1) ||
        EVP_DigestFinal_ex(context, hash->bytes, NULL) != 1)
    {
        hasher->failed = true;
        *hash = (merkle_hash_t){{0}};
    }
}

static void
short_sha256(merkle_hasher_t *hasher, const char *bytes, size_t size,
             merkle_hash_t *hash)
{
#if OPENSSL_VERSION_MAJOR == 3 && !defined(OPENSSL_NO_DEPRECATED_3_0)
    SHA256_CTX state;

    if (SHA256_Init(&state) != 1 || SHA256_Update(&state, bytes, size) != 1 ||
        SHA256_Final(hash->bytes, &state) != 1)
    {
        hasher->failed = true;
        *hash = (merkle_hash_t){{0}};
    }
#else
    merkle_sha256(hasher, (slice_t){bytes, size}, (slice_t){"", 0}, hash);
#endif
}

void
merkle_leaf(merkle_hasher_t *hasher, slice_t entry, merkle_hash_t *hash)
{
    char prefixed[1024];

    if (entry.size > 0 && entry.size < sizeof(prefixed)) {
        prefixed[0] = 0;
        memcpy(prefixed + 1, entry.data, entry.size);
        short_sha256(hasher, prefixed, 1 + entry.size, hash);
        return;
    }
    merkle_sha256(hasher, (slice_t){"\0", 1}, entry, hash);
}

void
merkle_node(merkle_hasher_t *hasher, const merkle_hash_t *left,
            const merkle_hash_t *right, merkle_hash_t *hash)
{
    char both[1 + 2 * MERKLE_HASH_SIZE];

    both[0] = 1;
    memcpy(both + 1, left->bytes, MERKLE_HASH_SIZE);
    memcpy(both + 1 + MERKLE_HASH_SIZE, right->bytes, MERKLE_HASH_SIZE);
    short_sha256(hasher, both, sizeof(both), hash);
}

void
merkle_empty(merkle_hasher_t *hasher, merkle_hash_t *hash)
{
    merkle_sha256(hasher, (slice_t){"", 0}, (slice_t){"", 0}, hash);
}

bool
merkle_equal(const merkle_hash_t *a, const merkle_hash_t *b)
{
    return memcmp(a->bytes, b->bytes, MERKLE_HASH_SIZE) == 0;
}

void
merkle_fold(merkle_hasher_t *hasher, merkle_hash_t *hashes, size_t count)
{
    /* An odd one out goes up as it is: in the end that is the same tree as
     * RFC 6962's, whose left part is always the largest power of two. */
    while (count > 1) {
        size_t i;

        for (i = 0; i + 1 < count; i += 2) {
            merkle_node(hasher, &hashes[i], &hashes[i + 1], &hashes[i / 2]);
        }
        if (count % 2 == 1) {
            hashes[count / 2] = hashes[count - 1];
        }
        count = (count + 1) / 2;
    }
}

unsigned
merkle_append(merkle_hasher_t *hasher, merkle_frontier_t *frontier,
              const merkle_hash_t *leaf, merkle_hash_t tops[MERKLE_TOPS_MAX])
{
    merkle_hash_t hash = *leaf;
    unsigned height = 0, count = 0;

    while (frontier->size >> height & 1) {
        merkle_node(hasher, &frontier->nodes[height], &hash, &hash);
        height++;
        if (height % MERKLE_TILE_BITS == 0) {
            tops[count++] = hash;
        }
    }
    frontier->nodes[height] = hash;
    frontier->size++;
    return count;
}

bool
merkle_append_subtree(merkle_hasher_t *hasher, merkle_frontier_t *frontier,
                      unsigned height, const merkle_hash_t *root)
{
    merkle_hash_t hash = *root;
    uint64_t leaves;

    if (height > 62) {
        return false;
    }
    leaves = UINT64_C(1) << height;
    if ((frontier->size & (leaves - 1)) != 0 ||
        frontier->size > INT64_MAX - leaves) {
        return false;
    }
    while (frontier->size >> height & 1) {
        merkle_node(hasher, &frontier->nodes[height], &hash, &hash);
        height++;
    }
    frontier->nodes[height] = hash;
    frontier->size += leaves;
    return true;
}

void
merkle_root(merkle_hasher_t *hasher, const merkle_frontier_t *frontier,
            merkle_hash_t *root)
{
    bool any = false;
    unsigned height;

    if (frontier->size == 0) {
        merkle_empty(hasher, root);
        return;
    }
    for (height = 0; height < 64; height++) {
        if ((frontier->size >> height & 1) == 0) {
            continue;
        }
        if (any) {
            merkle_node(hasher, &frontier->nodes[height], root, root);
        } else {
            *root = frontier->nodes[height];
            any = true;
        }
    }
}
