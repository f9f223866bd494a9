/* The root of a trail as it was at some size: what tells whether tables are of
 * this trail. */

#include <errno.h>

#include "index_internal.h"

#define HEIGHT_MAX 62

/* Appends the leaves from frontier->size on, up to `size`, one by one. */
static int
append_leaves(trail_reader_t *reader, merkle_hasher_t *hasher, uint64_t size,
              merkle_frontier_t *frontier)
{
    trail_scan_t *scan = NULL;
    merkle_hash_t leaf, tops[MERKLE_TOPS_MAX];
    uint64_t index;
    slice_t entry;
    int result = trail_scan_open(reader, frontier->size, &scan);

    while (result >= 0 && frontier->size < size) {
        result = trail_scan_next(scan, &index, &entry);
        if (result == 1) {
            merkle_leaf(hasher, entry, &leaf);
            (void) merkle_append(hasher, frontier, &leaf, tops);
        } else if (result == 0) {
            result = -ERANGE;
        }
    }
    trail_scan_free(scan);
    return result < 0 ? result : 0;
}


int
trail_root(trail_reader_t *reader, uint64_t size, merkle_hash_t *root)
{
    merkle_frontier_t frontier = {0};
    merkle_hasher_t hasher;
    merkle_hash_t node;
    uint64_t sealed;
    int result = merkle_hasher_init(&hasher);

    if (result == 0) {
        result = trail_reader_refresh(reader);
    }
    sealed = result < 0 ? 0 : trail_reader_checkpoint(reader)->size;
    sealed = sealed < size ? sealed : size;
    for (int height = HEIGHT_MAX; result == 0 && height >= 0; height--) {
        if ((sealed >> height & 1) == 0) {
            continue;
        }
        result = trail_reader_node(reader, (unsigned) height,
                                   frontier.size >> height, &node);
        if (result == 0 && !merkle_append_subtree(&hasher, &frontier,
                                                  (unsigned) height, &node))
        {
            result = -EBADMSG;
        }
    }
    if (result == 0 && sealed < size) {
        result = append_leaves(reader, &hasher, size, &frontier);
    }
    if (result == 0) {
        merkle_root(&hasher, &frontier, root);
        result = hasher.failed ? -EIO : 0;
    }
    merkle_hasher_free(&hasher);
    return result;
}
