/* Reading tiles and bundles from a trail's folder.  Internal to lib/trail. */

#ifndef SEKISHO_TRAIL_TILE_FILE_H
#define SEKISHO_TRAIL_TILE_FILE_H

#include <stdlib.h>

#include "tile.h"

/* A buffer that grows to the largest file read with it; zeroed is empty. */
typedef struct {
    uint8_t *bytes;
    size_t size; /* of the file in it */
    size_t capacity;
} tile_buffer_t;

static inline void
tile_buffer_free(tile_buffer_t *buffer)
{
    free(buffer->bytes);
    *buffer = (tile_buffer_t){NULL, 0, 0};
}

/*
 * Reads a tile's file; if a partial one is absent, the full one in its place.
 * `path` is the one read, or tried first.  -ENOENT; -EFBIG above what a tile
 * or bundle can have; -ENOMEM and others.
 */
int tile_file_read(int folder, const tile_t *tile, tile_buffer_t *buffer,
                   char path[TILE_PATH_MAX]);

#define TILE_STREAM_AHEAD 8

/*
 * Full tiles or bundles one after the other: the next ones are opened and asked
 * of the disk while one is worked upon.
 */
typedef struct {
    int folder;
    bool entries;
    uint8_t level;
    uint64_t next;  /* index of the tile that the next read gives */
    uint64_t ahead; /* opened up to here */
    uint64_t end;
    int files[TILE_STREAM_AHEAD]; /* or the negative errno of opening it */
} tile_stream_t;

/* Tiles first to end - 1; tile_stream_close() in any case. */
void tile_stream_open(tile_stream_t *stream, int folder, const tile_t *first,
                      uint64_t end);
void tile_stream_close(tile_stream_t *stream);
/* The next one; as tile_file_read(), -ENODATA behind the last. */
int tile_stream_read(tile_stream_t *stream, tile_buffer_t *buffer,
                     char path[TILE_PATH_MAX]);

#endif
