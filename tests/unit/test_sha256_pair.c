/* Two hashes side by side against OpenSSL's one, which is another
 * implementation; where the processor has no instructions for it, what
 * lib/trail makes of that. */

#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "../../lib/trail/merkle.h"
#include "../../lib/trail/sha256_pair.h"
#include "../../lib/trail/tile.h"

#define SIZE_MAX_TRIED 330 /* more than five blocks */

static void
of_openssl(const uint8_t *bytes, size_t size, uint8_t hash[SHA256_PAIR_SIZE])
{
    assert_int_equal(EVP_Digest(bytes, size, hash, NULL, EVP_sha256(), NULL),
                     1);
}

/* Exactly as much room as is asked for, so that a sanitizer sees one byte
 * more. */
static uint8_t *
room_for(size_t size, uint8_t seed)
{
    uint8_t *bytes = malloc(SHA256_PAIR_ROOM(size));

    assert_non_null(bytes);
    memset(bytes, 0xee, SHA256_PAIR_ROOM(size));
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t) (i * 131 + seed + (i >> 3));
    }
    return bytes;
}

static void
compare_pair(size_t first, size_t second)
{
    uint8_t expected[2][SHA256_PAIR_SIZE], got[2][SHA256_PAIR_SIZE];
    sha256_pair_text_t a = {room_for(first, (uint8_t) second), first};
    sha256_pair_text_t b = {room_for(second, (uint8_t) (first + 7)), second};

    of_openssl(a.bytes, first, expected[0]);
    of_openssl(b.bytes, second, expected[1]);
    sha256_pair(&a, &b, got[0], got[1]);
    assert_memory_equal(got, expected, sizeof(got));
    free(a.bytes);
    free(b.bytes);
}

static void
agrees_with_openssl_for_all_pairs_of_sizes(void **state)
{
    (void) state;
    if (!sha256_pair_usable()) {
        skip();
    }
    for (size_t first = 0; first <= SIZE_MAX_TRIED; first++) {
        for (size_t second = first % 3; second <= SIZE_MAX_TRIED; second += 3) {
            compare_pair(first, second);
        }
    }
}

static void
agrees_where_one_is_much_longer(void **state)
{
    (void) state;
    if (!sha256_pair_usable()) {
        skip();
    }
    compare_pair(0, 100000);
    compare_pair(100000, 1);
    compare_pair(65535, 65536);
}

/* Hashers with and without, so that both ways are gone on every machine that
 * has both. */
static void
with_each_way(void (*check)(merkle_hasher_t *hasher))
{
    merkle_hasher_t hasher;

    assert_int_equal(merkle_hasher_init(&hasher), 0);
    assert_int_equal(hasher.pairs, sha256_pair_usable());
    check(&hasher);
    hasher.pairs = false;
    check(&hasher);
    assert_false(hasher.failed);
    merkle_hasher_free(&hasher);
}

static void
check_leaves(merkle_hasher_t *hasher)
{
    /* some are hashed where they lie; alone at the end, or before a long one */
    static const size_t sizes[] = {0,    1,    54,   55,   56,  63,  64,
                                   1023, 400,  1024, 1022, 399, 401, 5000,
                                   1023, 1023, 119,  120,  200};
    static char bytes[5000];
    slice_t entries[sizeof(sizes) / sizeof(sizes[0])];
    merkle_hash_t got[sizeof(sizes) / sizeof(sizes[0])], expected;
    size_t all = sizeof(sizes) / sizeof(sizes[0]);

    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (char) (i * 7 + i / 256);
    }
    for (size_t i = 0; i < all; i++) {
        entries[i] = (slice_t){bytes + (5000 - sizes[i]), sizes[i]};
    }
    for (size_t count = 0; count <= all; count++) {
        memset(got, 0, sizeof(got));
        merkle_leaves(hasher, entries, count, got);
        for (size_t i = 0; i < count; i++) {
            merkle_sha256(hasher, (slice_t){"\0", 1}, entries[i], &expected);
            assert_true(merkle_equal(&got[i], &expected));
        }
        if (count < all) {
            memset(&expected, 0, sizeof(expected));
            assert_true(merkle_equal(&got[count], &expected));
        }
    }
}

static void
leaves_are_those_of_one_by_one(void **state)
{
    (void) state;
    with_each_way(check_leaves);
}

/* RFC 6962, 2.1: split at the largest power of two below the count. */
static void
plain_root(merkle_hasher_t *hasher, const merkle_hash_t *hashes, size_t count,
           merkle_hash_t *root)
{
    merkle_frontier_t frontier = {0};
    merkle_hash_t tops[MERKLE_TOPS_MAX];

    for (size_t i = 0; i < count; i++) {
        (void) merkle_append(hasher, &frontier, &hashes[i], tops);
    }
    merkle_root(hasher, &frontier, root);
}

static void
check_fold(merkle_hasher_t *hasher)
{
    merkle_hash_t hashes[TILE_WIDTH], row[TILE_WIDTH], expected;

    for (unsigned i = 0; i < TILE_WIDTH; i++) {
        hashes[i] = (merkle_hash_t){{(uint8_t) i, 1, 2, (uint8_t) (i * 3)}};
    }
    for (size_t count = 1; count <= TILE_WIDTH; count++) {
        memcpy(row, hashes, sizeof(row));
        merkle_fold(hasher, row, count);
        plain_root(hasher, hashes, count, &expected);
        assert_true(merkle_equal(&row[0], &expected));
    }
}

static void
folding_a_row_gives_the_root_of_its_tree(void **state)
{
    (void) state;
    with_each_way(check_fold);
}

static void
check_tiles(merkle_hasher_t *hasher)
{
    merkle_frontier_t leaves = {0}, tiles = {0};
    merkle_hash_t tops[MERKLE_TOPS_MAX], above[MERKLE_TOPS_MAX], hash;

    for (unsigned i = 0; i < 65536 + 512; i++) {
        unsigned count;

        hash = (merkle_hash_t){{(uint8_t) i, (uint8_t) (i >> 8)}};
        count = merkle_append(hasher, &leaves, &hash, tops);
        if (count > 0) {
            assert_int_equal(
                merkle_append_tile(hasher, &tiles, &tops[0], above), count - 1);
            assert_memory_equal(above, tops + 1, (count - 1) * sizeof(tops[0]));
        }
    }
    assert_int_equal(tiles.size, leaves.size);
    merkle_root(hasher, &leaves, &hash);
    merkle_root(hasher, &tiles, &tops[0]);
    assert_true(merkle_equal(&hash, &tops[0]));
}

static void
full_tiles_make_the_same_tree_as_their_leaves(void **state)
{
    (void) state;
    with_each_way(check_tiles);
}

UNIT_TESTS(cmocka_unit_test(agrees_with_openssl_for_all_pairs_of_sizes),
           cmocka_unit_test(agrees_where_one_is_much_longer),
           cmocka_unit_test(leaves_are_those_of_one_by_one),
           cmocka_unit_test(folding_a_row_gives_the_root_of_its_tree),
           cmocka_unit_test(full_tiles_make_the_same_tree_as_their_leaves))
