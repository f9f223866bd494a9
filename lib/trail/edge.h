/*
 * The right edge of the growing tree: the tiles and the bundle that are not
 * full yet, in memory, and how they get onto the disk.
 */

#ifndef SEKISHO_TRAIL_EDGE_H
#define SEKISHO_TRAIL_EDGE_H

#include "merkle.h"
#include "store.h"
#include "tile.h"
#include "trail.h"

/* Up to this many written files are synced one by one; above that the whole
 * file system is, in one go. */
#define EDGE_FILES_MAX 48

typedef struct {
    tile_t files[EDGE_FILES_MAX];
    size_t count;
    bool many; /* more than that */
} edge_written_t;

typedef struct {
    merkle_hasher_t hasher;
    merkle_frontier_t frontier;   /* its subtrees below a tile: edge_root() */
    uint16_t counts[TILE_LEVELS]; /* hashes at each level not in a full tile */
    merkle_hash_t hashes[TILE_LEVELS][TILE_WIDTH];
    uint8_t *bundle; /* counts[0] entries */
    size_t bundle_size;
    size_t bundle_capacity;
    edge_written_t written; /* since the last edge_sync() */
} edge_t;

int edge_init(edge_t *edge);
void edge_free(edge_t *edge);

/*
 * Takes up the edge of a tree of `size` entries from its tiles and checks that
 * they give `root`.  -EBADMSG with the file (and entry) that does not fit,
 * -ENOENT with the file that is missing, or another error.
 */
int edge_load(edge_t *edge, int folder, uint64_t size,
              const merkle_hash_t *root, trail_problem_t *problem);

/* A tile is full: edge_flush() before the next edge_add(). */
bool edge_full(const edge_t *edge);

/* Appends one entry with its leaf hash, in memory.  -ENOMEM; -EIO if hashing
 * failed. */
int edge_add(edge_t *edge, slice_t entry, const merkle_hash_t *leaf);

/* The root of all that was added. */
void edge_root(edge_t *edge, merkle_hash_t *root);

/* Writes the full tiles, unsynced; nothing to do is success.  An error leaves
 * the edge as it is: call it again. */
int edge_flush(edge_t *edge, const store_t *store);

/*
 * Writes the partial tiles and bundle of the present size, unsynced, but for
 * those that the checkpoint of `sealed` entries has as well: they say the same,
 * and are needed at every moment, by readers and after a crash.
 */
int edge_write_partial(edge_t *edge, const store_t *store, uint64_t sealed);

/* Makes everything written since the last time last: files, then folders. */
int edge_sync(edge_t *edge, const store_t *store);

/* Removes the partial files of a tree of `old` entries, but for those that
 * trees of `keep` or `next` entries have as well. */
int edge_remove_partial(const store_t *store, uint64_t old, uint64_t keep,
                        uint64_t next);

/* Removes what a crash has left of partial files beside those of a tree of
 * `size` entries, in the folders of its right edge.  Errors are of no
 * consequence: such files are only in the way. */
void edge_clean(const store_t *store, uint64_t size);

#endif
