/* Bundles and tile paths: what is taken apart goes together again. */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "../../lib/trail/tile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    slice_t rest = {(const char *) data, size}, entry;
    uint8_t *again = malloc(size + 1);
    char path[TILE_PATH_MAX];
    size_t used = 0;
    tile_t tile;

    if (again == NULL) {
        return 0;
    }
    while (tile_entry_next(&rest, &entry)) {
        used += tile_entry_put(entry, again + used);
    }
    if (used + rest.size != size || memcmp(again, data, used) != 0) {
        abort();
    }
    if (tile_path_parse((slice_t){(const char *) data, size}, &tile)) {
        used = tile_path(&tile, path);
        if (used != size || memcmp(path, data, size) != 0) {
            abort();
        }
    }
    free(again);
    return 0;
}
