/*
 * Tiles and entry bundles, C2SP tlog-tiles: where they lie and what is in them.
 */

#ifndef SEKISHO_TRAIL_TILE_H
#define SEKISHO_TRAIL_TILE_H

#include <stdint.h>

#include "../base/slice.h"
#include "merkle.h"

#define TILE_WIDTH      256
#define TILE_LEVELS     8  /* a tree of 2^63 leaves has levels 0 to 7 */
#define TILE_LEVEL_MAX  63 /* what the format allows */
#define TILE_BYTES      (TILE_WIDTH * MERKLE_HASH_SIZE)
#define TILE_BUNDLE_MAX (TILE_WIDTH * (2 + 65535)) /* bytes of a full bundle */

/* Room for any path with its NUL: "tile/entries/", seven groups, ".p/255". */
#define TILE_PATH_MAX 64

typedef struct {
    uint64_t index; /* N */
    uint16_t width; /* 1..256 hashes or entries; 256 is a full tile */
    uint8_t level;  /* 0..63; 0 for a bundle */
    bool entries;   /* a bundle of entries instead of hashes */
} tile_t;

/* "tile/0/x001/x234/067.p/8", NUL-terminated; returns the length. */
size_t tile_path(const tile_t *tile, char path[TILE_PATH_MAX]);

/* The inverse; false for whatever tile_path() would not write. */
bool tile_path_parse(slice_t path, tile_t *tile);

/* Hashes (level 0: leaves) of a tile in a tree of that size, 0 to 256. */
uint16_t tile_width(uint64_t size, unsigned level, uint64_t index);

/* How many hashes a level has in a tree of that size; 0 above level 7. */
uint64_t tile_hashes(uint64_t size, unsigned level);

/*
 * Takes the next entry off a bundle: *entry points into it, *rest moves on.
 * False at the end (rest->size is 0 then) and if what is left is no whole entry
 * (rest->size is not 0 and nothing moves).
 */
bool tile_entry_next(slice_t *rest, slice_t *entry);

/* Writes the length and the bytes at `at` (2 + entry.size bytes, at most
 * 65,537); returns how many. */
size_t tile_entry_put(slice_t entry, uint8_t *at);

#endif
