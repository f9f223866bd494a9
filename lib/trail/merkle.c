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

#include "sha256_pair.h"

/* Longer entries are hashed where they lie. */
#define COPIED_MAX 1024

int
merkle_hasher_init(merkle_hasher_t *hasher)
{
    *hasher = (merkle_hasher_t){.pairs = sha256_pair_usable()};
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
    *hasher = (merkle_hasher_t){.digest = NULL};
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
    char prefixed[COPIED_MAX];

    if (entry.size > 0 && entry.size < sizeof(prefixed)) {
        prefixed[0] = 0;
        memcpy(prefixed + 1, entry.data, entry.size);
        short_sha256(hasher, prefixed, 1 + entry.size, hash);
        return;
    }
    merkle_sha256(hasher, (slice_t){"\0", 1}, entry, hash);
}

/* With 0x00 before it. */
static sha256_pair_text_t
prefixed(slice_t entry, uint8_t bytes[SHA256_PAIR_ROOM(COPIED_MAX)])
{
    bytes[0] = 0;
    if (entry.size > 0) {
        memcpy(bytes + 1, entry.data, entry.size);
    }
    return (sha256_pair_text_t){bytes, 1 + entry.size};
}

void
merkle_leaves(merkle_hasher_t *hasher, const slice_t *entries, size_t count,
              merkle_hash_t *hashes)
{
    uint8_t one[SHA256_PAIR_ROOM(COPIED_MAX)];
    uint8_t other[SHA256_PAIR_ROOM(COPIED_MAX)];
    size_t i = 0;

    while (i < count) {
        sha256_pair_text_t first, second;

        if (!hasher->pairs || count - i < 2 || entries[i].size >= COPIED_MAX ||
            entries[i + 1].size >= COPIED_MAX)
        {
            merkle_leaf(hasher, entries[i], &hashes[i]);
            i++;
            continue;
        }
        first = prefixed(entries[i], one);
        second = prefixed(entries[i + 1], other);
        sha256_pair(&first, &second, hashes[i].bytes, hashes[i + 1].bytes);
        i += 2;
    }
}

#define NODE_SIZE (1 + 2 * MERKLE_HASH_SIZE)

/* Two nodes whose four children lie in a row. */
static void
two_nodes(const merkle_hash_t children[4], merkle_hash_t hashes[2])
{
    uint8_t one[SHA256_PAIR_ROOM(NODE_SIZE)];
    uint8_t other[SHA256_PAIR_ROOM(NODE_SIZE)];
    const sha256_pair_text_t first = {one, NODE_SIZE};
    const sha256_pair_text_t second = {other, NODE_SIZE};

    one[0] = other[0] = 1;
    memcpy(one + 1, children, (size_t) 2 * MERKLE_HASH_SIZE);
    memcpy(other + 1, children + 2, (size_t) 2 * MERKLE_HASH_SIZE);
    sha256_pair(&first, &second, hashes[0].bytes, hashes[1].bytes);
}

void
merkle_node(merkle_hasher_t *hasher, const merkle_hash_t *left,
            const merkle_hash_t *right, merkle_hash_t *hash)
{
    char both[NODE_SIZE];

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
        size_t i = 0;

        for (; hasher->pairs && i + 3 < count; i += 4) {
            two_nodes(&hashes[i], &hashes[i / 2]);
        }
        for (; i + 1 < count; i += 2) {
            merkle_node(hasher, &hashes[i], &hashes[i + 1], &hashes[i / 2]);
        }
        if (count % 2 == 1) {
            hashes[count / 2] = hashes[count - 1];
        }
        count = (count + 1) / 2;
    }
}

static unsigned
append(merkle_hasher_t *hasher, merkle_frontier_t *frontier, unsigned height,
       const merkle_hash_t *root, merkle_hash_t tops[MERKLE_TOPS_MAX])
{
    uint64_t leaves = UINT64_C(1) << height;
    merkle_hash_t hash = *root;
    unsigned count = 0;

    while (frontier->size >> height & 1) {
        merkle_node(hasher, &frontier->nodes[height], &hash, &hash);
        height++;
        if (height % MERKLE_TILE_BITS == 0) {
            tops[count++] = hash;
        }
    }
    frontier->nodes[height] = hash;
    frontier->size += leaves;
    return count;
}

unsigned
merkle_append(merkle_hasher_t *hasher, merkle_frontier_t *frontier,
              const merkle_hash_t *leaf, merkle_hash_t tops[MERKLE_TOPS_MAX])
{
    return append(hasher, frontier, 0, leaf, tops);
}

unsigned
merkle_append_tile(merkle_hasher_t *hasher, merkle_frontier_t *frontier,
                   const merkle_hash_t *root,
                   merkle_hash_t tops[MERKLE_TOPS_MAX])
{
    return append(hasher, frontier, MERKLE_TILE_BITS, root, tops);
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
