#include "tile.h"

#include <stdio.h>

#include "../base/endian.h"

size_t
tile_path(const tile_t *tile, char path[TILE_PATH_MAX])
{
    unsigned groups[7];
    unsigned count = 0;
    uint64_t rest = tile->index;
    size_t used;

    do {
        groups[count++] = (unsigned) (rest % 1000);
        rest /= 1000;
    } while (rest > 0);
    if (tile->entries) {
        used = (size_t) snprintf(path, TILE_PATH_MAX, "tile/entries");
    } else {
        used = (size_t) snprintf(path, TILE_PATH_MAX, "tile/%u",
                                 (unsigned) tile->level);
    }
    while (count > 0) {
        count--;
        used += (size_t) snprintf(path + used, TILE_PATH_MAX - used, "/%s%03u",
                                  count > 0 ? "x" : "", groups[count] % 1000);
    }
    if (tile->width < TILE_WIDTH) {
        used += (size_t) snprintf(path + used, TILE_PATH_MAX - used, ".p/%u",
                                  (unsigned) tile->width);
    }
    return used;
}

/* A decimal number without leading zeros, at most `max`. */
static bool
take_number(slice_t *text, unsigned max, unsigned *number)
{
    size_t used = 0;

    *number = 0;
    while (used < text->size && text->data[used] >= '0' &&
           text->data[used] <= '9') {
        *number = *number * 10 + (unsigned) (text->data[used] - '0');
        used++;
        if (*number > max || (used > 1 && text->data[0] == '0')) {
            return false;
        }
    }
    *text = slice_from(*text, used);
    return used > 0;
}

bool
tile_path_parse(slice_t path, tile_t *tile)
{
    char again[TILE_PATH_MAX];
    unsigned number, groups = 0;
    bool last = false;

    *tile = (tile_t){0, TILE_WIDTH, 0, false};
    if (!slice_starts(path, SLICE("tile/"))) {
        return false;
    }
    slice_t rest = slice_from(path, 5);
    if (slice_starts(rest, SLICE("entries"))) {
        tile->entries = true;
        rest = slice_from(rest, 7);
    } else {
        if (!take_number(&rest, TILE_LEVEL_MAX, &number)) {
            return false;
        }
        tile->level = (uint8_t) number;
    }
    while (!last) {
        unsigned k, group = 0;

        if (rest.size < 4 || rest.data[0] != '/' || groups++ == 7) {
            return false;
        }
        rest = slice_from(rest, 1);
        last = rest.data[0] != 'x';
        if (!last) {
            rest = slice_from(rest, 1);
        }
        if (rest.size < 3) {
            return false;
        }
        for (k = 0; k < 3; k++) {
            if (rest.data[k] < '0' || rest.data[k] > '9') {
                return false;
            }
            group = group * 10 + (unsigned) (rest.data[k] - '0');
        }
        rest = slice_from(rest, 3);
        if (tile->index > (UINT64_MAX - group) / 1000) {
            return false;
        }
        tile->index = tile->index * 1000 + group;
    }
    if (rest.size > 0) {
        if (!slice_starts(rest, SLICE(".p/"))) {
            return false;
        }
        rest = slice_from(rest, 3);
        if (!take_number(&rest, TILE_WIDTH - 1, &number) || number == 0 ||
            rest.size > 0)
        {
            return false;
        }
        tile->width = (uint16_t) number;
    }
    /* one path per tile: a leading "x000/" is no other way to write it */
    return slice_equal(path, (slice_t){again, tile_path(tile, again)});
}

uint64_t
tile_hashes(uint64_t size, unsigned level)
{
    return level < TILE_LEVELS ? size >> (level * MERKLE_TILE_BITS) : 0;
}

uint16_t
tile_width(uint64_t size, unsigned level, uint64_t index)
{
    uint64_t hashes = tile_hashes(size, level);

    if (index > hashes / TILE_WIDTH) {
        return 0;
    }
    if (index < hashes / TILE_WIDTH) {
        return TILE_WIDTH;
    }
    return (uint16_t) (hashes % TILE_WIDTH);
}

bool
tile_entry_next(slice_t *rest, slice_t *entry)
{
    size_t size;

    if (rest->size < 2) {
        return false;
    }
    size = load_be16(rest->data);
    if (rest->size - 2 < size) {
        return false;
    }
    *entry = (slice_t){rest->data + 2, size};
    *rest = slice_from(*rest, 2 + size);
    return true;
}

size_t
tile_entry_put(slice_t entry, uint8_t *at)
{
    store_be16(at, (uint16_t) entry.size);
    if (entry.size > 0) {
        memcpy(at + 2, entry.data, entry.size);
    }
    return 2 + entry.size;
}
