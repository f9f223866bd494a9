#include "proof.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base64.h"
#include "decimal.h"

/* The largest power of two below n (n at least 2), as its exponent. */
static unsigned
split_height(uint64_t n)
{
    return 63u - (unsigned) __builtin_clzll(n - 1);
}

/*
 * The hash of leaves [from, to): complete subtrees from the left, joined from
 * the right.  `from` is a multiple of the first one's size.
 */
static int
range_hash(trail_reader_t *reader, uint64_t from, uint64_t to,
           merkle_hash_t *hash)
{
    merkle_hasher_t *hasher = trail_reader_hasher(reader);
    merkle_frontier_t frontier;
    uint64_t at = from;
    int bit;

    frontier.size = to - from;
    for (bit = 63; bit >= 0; bit--) {
        unsigned height = (unsigned) bit;
        int result;

        if ((frontier.size >> height & 1) == 0) {
            continue;
        }
        result = trail_reader_node(reader, height, at >> height,
                                   &frontier.nodes[height]);
        if (result != 0) {
            return result;
        }
        at += UINT64_C(1) << height;
    }
    merkle_root(hasher, &frontier, hash);
    return hasher->failed ? -EIO : 0;
}

static void
reverse(proof_t *proof)
{
    size_t i;

    for (i = 0; i < proof->count / 2; i++) {
        merkle_hash_t other = proof->hashes[proof->count - 1 - i];

        proof->hashes[proof->count - 1 - i] = proof->hashes[i];
        proof->hashes[i] = other;
    }
}

int
proof_inclusion(trail_reader_t *reader, uint64_t index, uint64_t size,
                proof_t *proof)
{
    uint64_t from = 0, to = size;

    proof->count = 0;
    if (index >= size || size > trail_reader_checkpoint(reader)->size) {
        return -ERANGE;
    }
    while (to - from > 1) { /* from the root down */
        uint64_t middle = from + (UINT64_C(1) << split_height(to - from));
        bool left = index < middle;
        int result = range_hash(reader, left ? middle : from,
                                left ? to : middle,
                                &proof->hashes[proof->count++]);

        if (result != 0) {
            return result;
        }
        from = left ? from : middle;
        to = left ? middle : to;
    }
    reverse(proof);
    return 0;
}

int
proof_consistency(trail_reader_t *reader, uint64_t old, uint64_t size,
                  proof_t *proof)
{
    uint64_t from = 0, to = size;
    bool known = true; /* the whole old tree: its root needs no proof */
    int result;

    proof->count = 0;
    if (old > size || size > trail_reader_checkpoint(reader)->size) {
        return -ERANGE;
    }
    if (old == 0 || old == size) {
        return 0;
    }
    while (to != old) {
        uint64_t middle = from + (UINT64_C(1) << split_height(to - from));
        bool left = old <= middle;

        result = range_hash(reader, left ? middle : from, left ? to : middle,
                            &proof->hashes[proof->count++]);
        if (result != 0) {
            return result;
        }
        known = known && left;
        from = left ? from : middle;
        to = left ? middle : to;
    }
    if (!known) {
        result = range_hash(reader, from, to, &proof->hashes[proof->count++]);
        if (result != 0) {
            return result;
        }
    }
    reverse(proof);
    return 0;
}

int
proof_root(trail_reader_t *reader, uint64_t size, merkle_hash_t *root)
{
    return size > trail_reader_checkpoint(reader)->size
               ? -ERANGE
               : range_hash(reader, 0, size, root);
}

bool
proof_verify_inclusion(merkle_hasher_t *hasher, const merkle_hash_t *leaf,
                       uint64_t index, uint64_t size, const merkle_hash_t *root,
                       const proof_t *proof)
{
    merkle_hash_t hash = *leaf;
    uint64_t fn = index, sn = size - 1;
    size_t i;

    if (index >= size || proof->count > PROOF_HASHES_MAX) {
        return false;
    }
    for (i = 0; i < proof->count; i++) {
        const merkle_hash_t *sibling = &proof->hashes[i];

        if (sn == 0) {
            return false;
        }
        if ((fn & 1) != 0 || fn == sn) {
            merkle_node(hasher, sibling, &hash, &hash);
            while ((fn & 1) == 0 && fn != 0) {
                fn >>= 1;
                sn >>= 1;
            }
        } else {
            merkle_node(hasher, &hash, sibling, &hash);
        }
        fn >>= 1;
        sn >>= 1;
    }
    return sn == 0 && !hasher->failed && merkle_equal(&hash, root);
}

bool
proof_verify_consistency(merkle_hasher_t *hasher, uint64_t old,
                         const merkle_hash_t *old_root, uint64_t size,
                         const merkle_hash_t *root, const proof_t *proof)
{
    merkle_hash_t fr, sr;
    uint64_t fn = old - 1, sn = size - 1;
    size_t i = 0;

    if (old > size || proof->count > PROOF_HASHES_MAX) {
        return false;
    }
    if (old == 0) {
        merkle_empty(hasher, &fr);
        return proof->count == 0 && !hasher->failed &&
               merkle_equal(&fr, old_root);
    }
    if (old == size) {
        return proof->count == 0 && merkle_equal(old_root, root);
    }
    /* an old tree that is a complete subtree begins the path itself */
    if ((old & (old - 1)) == 0) {
        fr = *old_root;
    } else if (proof->count > 0) {
        fr = proof->hashes[i++];
    } else {
        return false;
    }
    sr = fr;
    while ((fn & 1) != 0) {
        fn >>= 1;
        sn >>= 1;
    }
    for (; i < proof->count; i++) {
        const merkle_hash_t *c = &proof->hashes[i];

        if (sn == 0) {
            return false;
        }
        if ((fn & 1) != 0 || fn == sn) {
            merkle_node(hasher, c, &fr, &fr);
            merkle_node(hasher, c, &sr, &sr);
            while ((fn & 1) == 0 && fn != 0) {
                fn >>= 1;
                sn >>= 1;
            }
        } else {
            merkle_node(hasher, &sr, c, &sr);
        }
        fn >>= 1;
        sn >>= 1;
    }
    return sn == 0 && !hasher->failed && merkle_equal(&fr, old_root) &&
           merkle_equal(&sr, root);
}

static const char first_line[] = "c2sp.org/tlog-proof@v1\n";

static bool
put(char *bytes, size_t capacity, size_t *used, slice_t text)
{
    if (text.size > capacity - *used) {
        return false;
    }
    if (text.size > 0) {
        memcpy(bytes + *used, text.data, text.size);
    }
    *used += text.size;
    return true;
}

int
proof_file_format(const proof_file_t *file, char *bytes, size_t capacity,
                  size_t *size)
{
    char line[64];
    size_t used = 0, i;
    bool fits = put(bytes, capacity, &used, slice_of(first_line));

    if (file->proof.count > PROOF_HASHES_MAX) {
        return -EINVAL;
    }
    if (file->extra.size > 0) {
        fits = fits && put(bytes, capacity, &used, SLICE("extra ")) &&
               put(bytes, capacity, &used, file->extra) &&
               put(bytes, capacity, &used, SLICE("\n"));
    }
    (void) snprintf(line, sizeof(line), "index %" PRIu64 "\n", file->index);
    fits = fits && put(bytes, capacity, &used, slice_of(line));
    for (i = 0; i < file->proof.count; i++) {
        size_t n = base64_encode(file->proof.hashes[i].bytes, MERKLE_HASH_SIZE,
                                 line);

        line[n++] = '\n';
        fits = fits && put(bytes, capacity, &used, (slice_t){line, n});
    }
    fits = fits && put(bytes, capacity, &used, SLICE("\n")) &&
           put(bytes, capacity, &used, file->checkpoint);
    *size = used;
    return fits ? 0 : -ENOSPC;
}

static bool
take_line(slice_t *rest, slice_t *line)
{
    const char *end = rest->size == 0 ? NULL
                                      : memchr(rest->data, '\n', rest->size);

    if (end == NULL) {
        return false;
    }
    *line = (slice_t){rest->data, (size_t) (end - rest->data)};
    *rest = slice_from(*rest, line->size + 1);
    return true;
}

/* Any length of it, so in pieces of four characters. */
static bool
base64_valid(slice_t text)
{
    uint8_t piece[3];
    size_t i, size = 3;

    for (i = 0; i + 4 <= text.size; i += 4) {
        if (size != 3 ||
            !base64_decode((slice_t){text.data + i, 4}, piece, 3, &size)) {
            return false;
        }
    }
    return text.size > 0 && i == text.size;
}

bool
proof_file_parse(slice_t bytes, proof_file_t *file)
{
    slice_t rest, line;
    size_t size;

    memset(file, 0, sizeof(*file));
    if (bytes.size > PROOF_FILE_MAX ||
        !slice_starts(bytes, slice_of(first_line))) {
        return false;
    }
    rest = slice_from(bytes, sizeof(first_line) - 1);
    if (!take_line(&rest, &line)) {
        return false;
    }
    if (slice_starts(line, SLICE("extra "))) {
        file->extra = slice_from(line, 6);
        if (!base64_valid(file->extra) || !take_line(&rest, &line)) {
            return false;
        }
    }
    if (!slice_starts(line, SLICE("index ")) ||
        !decimal_parse(slice_from(line, 6), &file->index))
    {
        return false;
    }
    for (;;) {
        if (!take_line(&rest, &line)) {
            return false;
        }
        if (line.size == 0) {
            break;
        }
        if (file->proof.count == PROOF_HASHES_MAX ||
            !base64_decode(line, file->proof.hashes[file->proof.count].bytes,
                           MERKLE_HASH_SIZE, &size) ||
            size != MERKLE_HASH_SIZE)
        {
            return false;
        }
        file->proof.count++;
    }
    file->checkpoint = rest;
    return rest.size > 0;
}

int
proof_file_verify(merkle_hasher_t *hasher, const proof_file_t *file,
                  slice_t entry, const note_verifier_t *keys, size_t count,
                  checkpoint_t *checkpoint, trail_problem_t *problem)
{
    checkpoint_t opened;
    merkle_hash_t leaf;
    int result;

    if (count == 0) {
        trail_problem_set(problem, "a proof needs the log's verifier key");
        return -ENOKEY;
    }
    result = checkpoint_open(file->checkpoint, keys, count, &opened, NULL,
                             problem);
    if (result != 0) {
        return result;
    }
    merkle_leaf(hasher, entry, &leaf);
    if (!proof_verify_inclusion(hasher, &leaf, file->index, opened.size,
                                &opened.root, &file->proof))
    {
        trail_problem_set(problem,
                          "the entry is not the one at index %llu of the log "
                          "of %llu entries",
                          (unsigned long long) file->index,
                          (unsigned long long) opened.size);
        return -EBADMSG;
    }
    if (checkpoint != NULL) {
        *checkpoint = opened;
    }
    return 0;
}
