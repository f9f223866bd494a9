#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tile_file.h"
#include "verify_internal.h"

#define RANGE_TILES (VERIFY_RANGE / TILE_WIDTH)

/* One thread's own. */
typedef struct {
    verify_t *verify;
    merkle_hasher_t hasher;
    tile_buffer_t bundle;
    tile_buffer_t tile;
    tile_buffer_t above;
    void *state; /* the hook's */
    uint64_t bytes;
    uint64_t gaps;
} worker_t;

static const char *
reason(int error)
{
    return error == -ENOENT  ? "it is missing"
           : error == -EFBIG ? "it is larger than any such file"
                             : strerror(-error);
}

/* Which of a bundle and its tile was changed: the tile above knows. */
static void
name_difference(worker_t *worker, uint64_t number, unsigned at,
                const merkle_hash_t *derived, const merkle_hash_t *above)
{
    merkle_hash_t stored[TILE_WIDTH];
    tile_t tile = {number, TILE_WIDTH, 0, false};
    char entries_path[TILE_PATH_MAX], path[TILE_PATH_MAX];

    (void) tile_path(&tile, path);
    tile.entries = true;
    (void) tile_path(&tile, entries_path);
    if (above != NULL && merkle_equal(derived, above)) {
        verify_found(worker->verify, VERIFY_TILE, number * TILE_WIDTH + at,
                     "%s: hash %u was changed; the entries are intact", path,
                     at);
        return;
    }
    memcpy(stored, worker->tile.bytes, sizeof(stored));
    merkle_fold(&worker->hasher, stored, TILE_WIDTH);
    if (above == NULL || merkle_equal(&stored[0], above)) {
        verify_found(worker->verify, VERIFY_ENTRY, number * TILE_WIDTH + at,
                     "%s: entry %llu is not the one that was signed",
                     entries_path,
                     (unsigned long long) number * TILE_WIDTH + at);
        return;
    }
    verify_found(worker->verify, VERIFY_ENTRY, number * TILE_WIDTH + at,
                 "%s and %s: entry %llu is not the one that was signed, and "
                 "its tile was changed as well",
                 entries_path, path,
                 (unsigned long long) number * TILE_WIDTH + at);
}

/* Hashes of the entries of the bundle in hand; false if it has not 256. */
static bool
derive_leaves(worker_t *worker, uint64_t number, const char *path,
              merkle_hash_t leaves[TILE_WIDTH])
{
    const verify_hook_t *hook = worker->verify->options->hook;
    slice_t rest = {(const char *) worker->bundle.bytes, worker->bundle.size};
    uint64_t index = number * TILE_WIDTH;
    slice_t entries[TILE_WIDTH];
    unsigned count = 0, i;

    while (count < TILE_WIDTH && tile_entry_next(&rest, &entries[count])) {
        count++;
    }
    merkle_leaves(&worker->hasher, entries, count, leaves);
    for (i = 0; i < count; i++) {
        if (hook != NULL && hook->entry != NULL) {
            int result = hook->entry(hook->argument, worker->state, index + i,
                                     entries[i]);

            if (result < 0) {
                verify_fail(worker->verify, result, path);
                return false;
            }
            worker->gaps += (uint64_t) result;
        }
    }
    if (i < TILE_WIDTH) {
        verify_found(worker->verify, VERIFY_ENTRY, index + i,
                     "%s: entry %llu is missing or cut: it should have 256 "
                     "entries",
                     path, (unsigned long long) index + i);
        return false;
    }
    if (rest.size > 0) {
        verify_found(worker->verify, VERIFY_ENTRY, index + i - 1,
                     "%s: %zu bytes follow behind its 256 entries", path,
                     rest.size);
    }
    return true;
}

/*
 * One bundle and its tile of level 0.  `above` is its hash in the tile of level
 * 1, NULL if that cannot be read.  *root is what goes up: the derived hash, or
 * after a finding the stored one, so that one change is not told at each level.
 */
static void
verify_bundle(worker_t *worker, tile_stream_t *bundles, tile_stream_t *tiles,
              const merkle_hash_t *above, merkle_hash_t *root)
{
    verify_t *verify = worker->verify;
    uint64_t number = bundles->next;
    merkle_hash_t leaves[TILE_WIDTH];
    char path[TILE_PATH_MAX], tile_name[TILE_PATH_MAX];
    int bundle = tile_stream_read(bundles, &worker->bundle, path);
    int tile = tile_stream_read(tiles, &worker->tile, tile_name);
    unsigned i;

    if (above != NULL) {
        *root = *above;
    } else {
        memset(root, 0, sizeof(*root));
    }
    if (tile != 0 || worker->tile.size != TILE_BYTES) {
        if (tile != 0) {
            verify_found(verify, tile == -ENOENT ? VERIFY_MISSING : VERIFY_TILE,
                         number * TILE_WIDTH, "%s: %s", tile_name,
                         reason(tile));
        } else {
            verify_found(verify, VERIFY_TILE, number * TILE_WIDTH,
                         "%s: it has %zu bytes instead of %d", tile_name,
                         worker->tile.size, TILE_BYTES);
        }
        worker->tile.size = 0;
    }
    if (bundle != 0) {
        verify_found(verify, bundle == -ENOENT ? VERIFY_MISSING : VERIFY_ENTRY,
                     number * TILE_WIDTH, "%s: %s", path, reason(bundle));
        return;
    }
    worker->bytes += worker->bundle.size;
    if (!derive_leaves(worker, number, path, leaves)) {
        return;
    }
    if (worker->tile.size == TILE_BYTES &&
        memcmp(leaves, worker->tile.bytes, TILE_BYTES) == 0)
    {
        merkle_fold(&worker->hasher, leaves, TILE_WIDTH);
        *root = leaves[0];
        return;
    }
    for (i = 0; i < TILE_WIDTH - 1 && worker->tile.size == TILE_BYTES; i++) {
        if (memcmp(leaves[i].bytes,
                   worker->tile.bytes + (size_t) i * MERKLE_HASH_SIZE,
                   MERKLE_HASH_SIZE) != 0)
        {
            break;
        }
    }
    merkle_fold(&worker->hasher, leaves, TILE_WIDTH);
    if (worker->tile.size == TILE_BYTES) {
        name_difference(worker, number, i, &leaves[0], above);
    } else if (above != NULL && !merkle_equal(&leaves[0], above)) {
        verify_found(verify, VERIFY_ENTRY, number * TILE_WIDTH,
                     "%s: these are not the entries that were signed", path);
    }
}

/* The tile of level 1 over a range: a full one from the disk, the last one
 * from the edge.  NULL if there is none to compare with. */
static const merkle_hash_t *
tile_above(worker_t *worker, uint64_t range, unsigned bundles)
{
    verify_t *verify = worker->verify;
    tile_t tile = {range, TILE_WIDTH, 1, false};
    char path[TILE_PATH_MAX];
    int result;

    if (bundles < RANGE_TILES) {
        return verify->edge_good ? verify->edge.hashes[1] : NULL;
    }
    result = tile_file_read(verify->folder, &tile, &worker->above, path);
    if (result == 0 && worker->above.size == TILE_BYTES) {
        return (const merkle_hash_t *) worker->above.bytes;
    }
    verify_found(verify, result == -ENOENT ? VERIFY_MISSING : VERIFY_TILE,
                 range * VERIFY_RANGE, "%s: %s", path,
                 result != 0 ? reason(result) : "it has not 8192 bytes");
    return NULL;
}

/* Level 2 and above; the mutex is held and ranges come in order. */
static void
push_up(verify_t *verify, uint64_t range, const merkle_hash_t *root)
{
    merkle_hash_t hash = *root;
    uint64_t number = range; /* of the hash in its level */
    unsigned level;

    for (level = 2; level < TILE_LEVELS; level++) {
        tile_t tile = {number / TILE_WIDTH, TILE_WIDTH, (uint8_t) level, false};
        merkle_hash_t *hashes = verify->hashes[level];
        tile_buffer_t buffer = {NULL, 0, 0};
        char path[TILE_PATH_MAX];
        int result;

        hashes[verify->counts[level]++] = hash;
        if (verify->counts[level] < TILE_WIDTH) {
            return;
        }
        verify->counts[level] = 0;
        result = tile_file_read(verify->folder, &tile, &buffer, path);
        if (result != 0 || buffer.size != TILE_BYTES ||
            memcmp(buffer.bytes, hashes, TILE_BYTES) != 0)
        {
            (void) pthread_mutex_unlock(&verify->mutex);
            verify_found(
                verify, result == -ENOENT ? VERIFY_MISSING : VERIFY_TILE,
                tile.index << (MERKLE_TILE_BITS * (level + 1)), "%s: %s", path,
                result != 0 ? reason(result)
                            : "it does not hold the hashes of the "
                              "tiles below it");
            (void) pthread_mutex_lock(&verify->mutex);
        }
        tile_buffer_free(&buffer);
        merkle_fold(&verify->hasher, hashes, TILE_WIDTH);
        hash = hashes[0];
        number /= TILE_WIDTH;
    }
}

/* Waits for the ranges before this one, and joins it. */
static void
join(worker_t *worker, uint64_t range, unsigned bundles,
     const merkle_hash_t *root)
{
    verify_t *verify = worker->verify;
    const verify_hook_t *hook = verify->options->hook;
    uint64_t count = (uint64_t) bundles * TILE_WIDTH;
    int result = 0;

    (void) pthread_mutex_lock(&verify->mutex);
    while (verify->joined != range && verify->error == 0) {
        (void) pthread_cond_wait(&verify->joined_more, &verify->mutex);
    }
    if (verify->error == 0) {
        if (bundles == RANGE_TILES) {
            push_up(verify, range, root);
        }
        if (hook != NULL && hook->join != NULL) {
            result = hook->join(hook->argument, worker->state,
                                range * VERIFY_RANGE, count);
        }
        verify->done += count;
        verify->report->bytes += worker->bytes;
        verify->report->gaps += worker->gaps;
        if (result > 0) {
            verify->report->gaps += (uint64_t) result;
        }
        worker->bytes = worker->gaps = 0;
        if (verify->options->progress != NULL) {
            verify->options->progress(verify->options->progress_argument,
                                      verify->done, verify->size);
        }
        verify->joined++;
        (void) pthread_cond_broadcast(&verify->joined_more);
    }
    (void) pthread_mutex_unlock(&verify->mutex);
    if (result < 0) {
        verify_fail(verify, result, "the check of the entries");
    }
}

/* A bundle agrees with its own tile, but not with the one above. */
static void
name_misfit(verify_t *verify, uint64_t range, unsigned bundles, uint64_t number)
{
    tile_t tile = {number, TILE_WIDTH, 0, true}, upper;
    char path[TILE_PATH_MAX], above[TILE_PATH_MAX];

    upper = (tile_t){range, (uint16_t) bundles, 1, false};
    (void) tile_path(&tile, path);
    (void) tile_path(&upper, above);
    verify_found(verify, VERIFY_TILE, number * TILE_WIDTH,
                 "%s and its tile do not fit %s: these entries with their "
                 "tile were changed, or that tile",
                 path, above);
}

static void
verify_range(worker_t *worker, uint64_t range)
{
    verify_t *verify = worker->verify;
    uint64_t first = range * RANGE_TILES;
    uint64_t end = verify->size / TILE_WIDTH;
    unsigned bundles = end - first < RANGE_TILES ? (unsigned) (end - first)
                                                 : RANGE_TILES,
             i;
    tile_t from = {first, TILE_WIDTH, 0, true};
    tile_stream_t entries, tiles;
    merkle_hash_t roots[RANGE_TILES];
    const merkle_hash_t *above = tile_above(worker, range, bundles);

    tile_stream_open(&entries, verify->folder, &from, first + bundles);
    from.entries = false;
    tile_stream_open(&tiles, verify->folder, &from, first + bundles);
    for (i = 0; i < bundles && verify->error == 0; i++) {
        verify_bundle(worker, &entries, &tiles,
                      above == NULL ? NULL : &above[i], &roots[i]);
        if (above != NULL && !merkle_equal(&roots[i], &above[i])) {
            name_misfit(verify, range, bundles, first + i);
            roots[i] = above[i];
        }
    }
    tile_stream_close(&entries);
    tile_stream_close(&tiles);
    merkle_fold(&worker->hasher, roots, bundles);
    join(worker, range, bundles, &roots[0]);
}

static void *
work(void *argument)
{
    worker_t *worker = argument;
    verify_t *verify = worker->verify;

    for (;;) {
        uint64_t range;

        (void) pthread_mutex_lock(&verify->mutex);
        range = verify->next;
        if (range < verify->ranges && verify->error == 0) {
            verify->next++;
        } else {
            range = UINT64_MAX;
        }
        (void) pthread_mutex_unlock(&verify->mutex);
        if (range == UINT64_MAX) {
            break;
        }
        if (worker->state != NULL) {
            memset(worker->state, 0, verify->options->hook->state_bytes);
        }
        verify_range(worker, range);
    }
    if (worker->hasher.failed) {
        verify_fail(verify, -EIO, "OpenSSL");
    }
    return NULL;
}

static int
worker_init(worker_t *worker, verify_t *verify)
{
    const verify_hook_t *hook = verify->options->hook;

    memset(worker, 0, sizeof(*worker));
    worker->verify = verify;
    if (hook != NULL && hook->state_bytes > 0) {
        worker->state = malloc(hook->state_bytes);
        if (worker->state == NULL) {
            return -ENOMEM;
        }
    }
    return merkle_hasher_init(&worker->hasher);
}

static void
worker_free(worker_t *worker)
{
    merkle_hasher_free(&worker->hasher);
    tile_buffer_free(&worker->bundle);
    tile_buffer_free(&worker->tile);
    tile_buffer_free(&worker->above);
    free(worker->state);
}

/* What the full tiles give must be what the partial ones say. */
static void
compare_edge(verify_t *verify)
{
    unsigned level;

    if (!verify->edge_good) {
        return;
    }
    for (level = 2; level < TILE_LEVELS; level++) {
        tile_t tile = {tile_hashes(verify->size, level) / TILE_WIDTH,
                       verify->edge.counts[level], (uint8_t) level, false};
        char path[TILE_PATH_MAX];

        if (tile.width == 0 ||
            (verify->counts[level] == tile.width &&
             memcmp(verify->hashes[level], verify->edge.hashes[level],
                    (size_t) tile.width * MERKLE_HASH_SIZE) == 0))
        {
            continue;
        }
        (void) tile_path(&tile, path);
        verify_found(
            verify, VERIFY_TILE, tile.index << (MERKLE_TILE_BITS * (level + 1)),
            "%s: it does not hold the hashes of the tiles below it", path);
    }
}

int
verify_ranges(verify_t *verify, unsigned threads)
{
    worker_t workers[VERIFY_THREADS_MAX];
    pthread_t ids[VERIFY_THREADS_MAX];
    unsigned made = 0, started = 0, i;
    int result = 0;

    verify->ranges = (verify->size / TILE_WIDTH + RANGE_TILES - 1) /
                     RANGE_TILES;
    if (threads > verify->ranges) {
        threads = verify->ranges > 0 ? (unsigned) verify->ranges : 1;
    }
    for (made = 0; made < threads && result == 0; made++) {
        result = worker_init(&workers[made], verify);
    }
    /* the calling thread is one of them */
    for (i = 1; i < made && result == 0; i++) {
        if (pthread_create(&ids[i], NULL, work, &workers[i]) != 0) {
            break; /* fewer then */
        }
        started = i;
    }
    if (result == 0) {
        (void) work(&workers[0]);
    }
    for (i = 1; i <= started; i++) {
        (void) pthread_join(ids[i], NULL);
    }
    for (i = 0; i < made; i++) {
        worker_free(&workers[i]);
    }
    if (result == 0) {
        result = verify->error;
    }
    if (result == 0) {
        compare_edge(verify);
    }
    return result;
}
