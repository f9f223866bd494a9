#define _GNU_SOURCE
#include "tile_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/wipe.h"
#include "store.h"

static int
open_file(int folder, const char *path)
{
    int fd = openat(folder, path,
                    O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    return fd < 0 ? -errno : fd;
}

static int
read_open(int fd, bool entries, tile_buffer_t *buffer)
{
    size_t max = entries ? (size_t) TILE_BUNDLE_MAX : (size_t) TILE_BYTES;
    struct stat st;

    buffer->size = 0;
    if (fstat(fd, &st) < 0) {
        return -errno;
    }
    if (!S_ISREG(st.st_mode)) {
        return -EINVAL;
    }
    if (st.st_size < 0 || (uint64_t) st.st_size > max) {
        return -EFBIG;
    }
    if (buffer->capacity < (size_t) st.st_size || buffer->bytes == NULL) {
        size_t capacity = (size_t) st.st_size * 5 / 4 + 4096;
        uint8_t *bytes = realloc(buffer->bytes, capacity);

        if (bytes == NULL) {
            return -ENOMEM;
        }
        buffer->bytes = bytes;
        buffer->capacity = capacity;
    }
    return store_pread(fd, buffer->bytes, (size_t) st.st_size, 0,
                       &buffer->size);
}

int
tile_file_read(int folder, const tile_t *tile, tile_buffer_t *buffer,
               char path[TILE_PATH_MAX])
{
    _cleanup_(cleanup_close) int fd = -1;

    (void) tile_path(tile, path);
    fd = open_file(folder, path);
    if (fd == -ENOENT && tile->width < TILE_WIDTH) {
        tile_t full = *tile;
        char full_path[TILE_PATH_MAX];

        full.width = TILE_WIDTH;
        (void) tile_path(&full, full_path);
        fd = open_file(folder, full_path);
        if (fd >= 0) {
            memcpy(path, full_path, TILE_PATH_MAX);
        }
    }
    return fd < 0 ? fd : read_open(fd, tile->entries, buffer);
}

void
tile_stream_open(tile_stream_t *stream, int folder, const tile_t *first,
                 uint64_t end)
{
    stream->folder = folder;
    stream->entries = first->entries;
    stream->level = first->level;
    stream->next = stream->ahead = first->index;
    stream->end = end;
}

void
tile_stream_close(tile_stream_t *stream)
{
    for (; stream->next < stream->ahead; stream->next++) {
        int fd = stream->files[stream->next % TILE_STREAM_AHEAD];

        if (fd >= 0) {
            (void) close(fd);
        }
    }
}

int
tile_stream_read(tile_stream_t *stream, tile_buffer_t *buffer,
                 char path[TILE_PATH_MAX])
{
    tile_t tile = {stream->next, TILE_WIDTH, stream->level, stream->entries};
    int *file, fd, result;

    if (stream->next >= stream->end) {
        return -ENODATA;
    }
    while (stream->ahead < stream->end &&
           stream->ahead < stream->next + TILE_STREAM_AHEAD)
    {
        file = &stream->files[stream->ahead % TILE_STREAM_AHEAD];
        tile.index = stream->ahead++;
        (void) tile_path(&tile, path);
        *file = open_file(stream->folder, path);
        if (*file >= 0) {
            (void) posix_fadvise(*file, 0, 0, POSIX_FADV_WILLNEED);
        }
    }
    tile.index = stream->next;
    (void) tile_path(&tile, path);
    fd = stream->files[stream->next++ % TILE_STREAM_AHEAD];
    if (fd < 0) {
        return fd;
    }
    result = read_open(fd, stream->entries, buffer);
    (void) close(fd);
    return result;
}
