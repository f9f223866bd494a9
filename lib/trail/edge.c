#define _GNU_SOURCE
#include "edge.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/wipe.h"
#include "tile_file.h"

int
edge_init(edge_t *edge)
{
    memset(edge, 0, sizeof(*edge));
    return merkle_hasher_init(&edge->hasher);
}

void
edge_free(edge_t *edge)
{
    merkle_hasher_free(&edge->hasher);
    free(edge->bundle);
    edge->bundle = NULL;
}

static void
reset(edge_t *edge)
{
    memset(&edge->frontier, 0, sizeof(edge->frontier));
    memset(edge->counts, 0, sizeof(edge->counts));
    edge->bundle_size = 0;
    edge->written.count = 0;
    edge->written.many = false;
}

static int
reserve(edge_t *edge, size_t size)
{
    size_t capacity = edge->bundle_capacity;
    uint8_t *bundle;

    if (size <= capacity) {
        return 0;
    }
    while (capacity < size) {
        capacity = capacity == 0 ? 64 * 1024 : capacity * 2;
    }
    bundle = realloc(edge->bundle, capacity);
    if (bundle == NULL) {
        return -ENOMEM;
    }
    edge->bundle = bundle;
    edge->bundle_capacity = capacity;
    return 0;
}

static int
read_problem(int error, const char *path, uint64_t size,
             trail_problem_t *problem)
{
    trail_problem_set(problem,
                      "%s: %s: the checkpoint of %llu entries needs it; "
                      "restore it from a copy of the trail",
                      path,
                      error == -ENOENT  ? "it is missing"
                      : error == -EFBIG ? "it is larger than any such file"
                                        : strerror(-error),
                      (unsigned long long) size);
    return error == -EFBIG ? -EBADMSG : error;
}

static int
load_level(edge_t *edge, int folder, uint64_t size, unsigned level,
           tile_buffer_t *buffer, trail_problem_t *problem)
{
    char path[TILE_PATH_MAX];
    tile_t tile = {tile_hashes(size, level) / TILE_WIDTH, 0, (uint8_t) level,
                   false};
    size_t bytes;
    int result;

    tile.width = tile_width(size, level, tile.index);
    if (tile.width == 0) {
        return 0;
    }
    result = tile_file_read(folder, &tile, buffer, path);
    if (result != 0) {
        return read_problem(result, path, size, problem);
    }
    bytes = (size_t) tile.width * MERKLE_HASH_SIZE;
    /* the full tile that stands in for a partial one holds more */
    if (strstr(path, ".p/") != NULL ? buffer->size != bytes
                                    : buffer->size != TILE_BYTES)
    {
        trail_problem_set(problem,
                          "%s: it has %zu bytes and should have %d: restore "
                          "it from a copy of the trail",
                          path, buffer->size, tile.width * MERKLE_HASH_SIZE);
        return -EBADMSG;
    }
    memcpy(edge->hashes[level], buffer->bytes, bytes);
    edge->counts[level] = tile.width;
    return 0;
}

static void load_frontier(edge_t *edge, uint64_t size);

/* A hash of the tile and its entry differ: the checkpoint's root says which of
 * the two was changed. */
static void
name_changed(edge_t *edge, uint64_t size, const merkle_hash_t *root,
             const merkle_hash_t *leaves, unsigned entry, const char *path,
             trail_problem_t *problem)
{
    tile_t tile = {size / TILE_WIDTH, edge->counts[0], 0, false};
    char tile_name[TILE_PATH_MAX];
    merkle_hash_t hash;

    memcpy(edge->hashes[0], leaves, edge->counts[0] * sizeof(leaves[0]));
    load_frontier(edge, size);
    merkle_root(&edge->hasher, &edge->frontier, &hash);
    (void) tile_path(&tile, tile_name);
    if (merkle_equal(&hash, root)) {
        trail_problem_set(problem,
                          "%s: hash %u was changed; the entries are those of "
                          "the checkpoint",
                          tile_name, entry);
    } else {
        trail_problem_set(
            problem, "%s: entry %llu is not the one that the checkpoint covers",
            path, (unsigned long long) tile.index * TILE_WIDTH + entry);
    }
}

static int
load_bundle(edge_t *edge, int folder, uint64_t size, const merkle_hash_t *root,
            tile_buffer_t *buffer, trail_problem_t *problem)
{
    tile_t tile = {size / TILE_WIDTH, edge->counts[0], 0, true};
    merkle_hash_t leaves[TILE_WIDTH];
    char path[TILE_PATH_MAX];
    unsigned differs = TILE_WIDTH, i;
    slice_t rest, entry;
    int result;

    if (tile.width == 0) {
        return 0;
    }
    result = tile_file_read(folder, &tile, buffer, path);
    if (result != 0) {
        return read_problem(result, path, size, problem);
    }
    rest = (slice_t){(const char *) buffer->bytes, buffer->size};
    for (i = 0; i < tile.width; i++) {
        if (!tile_entry_next(&rest, &entry)) {
            trail_problem_set(problem,
                              "%s: entry %llu is missing or cut: the bundle "
                              "should have %u",
                              path,
                              (unsigned long long) tile.index * TILE_WIDTH + i,
                              tile.width);
            return -EBADMSG;
        }
        merkle_leaf(&edge->hasher, entry, &leaves[i]);
        if (differs == TILE_WIDTH &&
            !merkle_equal(&leaves[i], &edge->hashes[0][i])) {
            differs = i;
        }
    }
    if (differs < TILE_WIDTH) {
        name_changed(edge, size, root, leaves, differs, path, problem);
        return -EBADMSG;
    }
    if (rest.size > 0 && strstr(path, ".p/") != NULL) {
        trail_problem_set(problem, "%s: %zu bytes follow behind its %u entries",
                          path, rest.size, tile.width);
        return -EBADMSG;
    }
    edge->bundle_size = buffer->size - rest.size;
    result = reserve(edge, edge->bundle_size);
    if (result == 0) {
        memcpy(edge->bundle, buffer->bytes, edge->bundle_size);
    }
    return result;
}

/* The subtrees of a partial tile, by the bits of its width. */
static void
load_subtrees(edge_t *edge, unsigned level)
{
    unsigned width = edge->counts[level], at = 0, bit;
    merkle_hash_t hashes[TILE_WIDTH];

    for (bit = MERKLE_TILE_BITS; bit-- > 0;) {
        unsigned leaves = 1u << bit;

        if ((width & leaves) == 0) {
            continue;
        }
        memcpy(hashes, &edge->hashes[level][at], leaves * sizeof(hashes[0]));
        merkle_fold(&edge->hasher, hashes, leaves);
        edge->frontier.nodes[level * MERKLE_TILE_BITS + bit] = hashes[0];
        at += leaves;
    }
}

static void
load_frontier(edge_t *edge, uint64_t size)
{
    unsigned level;

    edge->frontier.size = size;
    for (level = 0; level < TILE_LEVELS; level++) {
        load_subtrees(edge, level);
    }
}

/* Names the level that does not fit the one below. */
static void
name_misfit(edge_t *edge, int folder, uint64_t size, tile_buffer_t *buffer,
            trail_problem_t *problem)
{
    merkle_hash_t hashes[TILE_WIDTH];
    unsigned level;

    for (level = 1; level < TILE_LEVELS; level++) {
        tile_t below = {tile_hashes(size, level) - 1, TILE_WIDTH,
                        (uint8_t) (level - 1), false};
        char path[TILE_PATH_MAX], above[TILE_PATH_MAX];
        tile_t tile = {tile_hashes(size, level) / TILE_WIDTH,
                       edge->counts[level], (uint8_t) level, false};

        if (edge->counts[level] == 0) {
            continue;
        }
        if (tile_file_read(folder, &below, buffer, path) != 0 ||
            buffer->size != TILE_BYTES)
        {
            trail_problem_set(problem, "%s: missing or not %d bytes", path,
                              TILE_BYTES);
            return;
        }
        memcpy(hashes, buffer->bytes, TILE_BYTES);
        merkle_fold(&edge->hasher, hashes, TILE_WIDTH);
        (void) tile_path(&tile, above);
        if (!merkle_equal(&hashes[0],
                          &edge->hashes[level][edge->counts[level] - 1])) {
            trail_problem_set(problem, "%s and %s above it do not fit", path,
                              above);
            return;
        }
    }
    trail_problem_set(problem,
                      "checkpoint: the last tiles do not give its root of "
                      "%llu entries: find the place with \"sekisho audit "
                      "verify\", restore a copy of the trail",
                      (unsigned long long) size);
}

int
edge_load(edge_t *edge, int folder, uint64_t size, const merkle_hash_t *root,
          trail_problem_t *problem)
{
    _cleanup_(tile_buffer_free) tile_buffer_t buffer = {NULL, 0, 0};
    merkle_hash_t hash;
    unsigned level;
    int result = 0;

    reset(edge);
    for (level = 0; level < TILE_LEVELS && result == 0; level++) {
        result = load_level(edge, folder, size, level, &buffer, problem);
    }
    if (result == 0) {
        result = load_bundle(edge, folder, size, root, &buffer, problem);
    }
    if (result != 0) {
        return result;
    }
    load_frontier(edge, size);
    merkle_root(&edge->hasher, &edge->frontier, &hash);
    if (edge->hasher.failed) {
        trail_problem_set(problem, "OpenSSL cannot hash");
        return -EIO;
    }
    if (!merkle_equal(&hash, root)) {
        name_misfit(edge, folder, size, &buffer, problem);
        return -EBADMSG;
    }
    return 0;
}

bool
edge_full(const edge_t *edge)
{
    return edge->counts[0] == TILE_WIDTH;
}

/* The nodes of a full tile, all at once, which takes half of the time that one
 * by one would; and those above it. */
static void
fold_tile(edge_t *edge)
{
    merkle_hash_t hashes[TILE_WIDTH], tops[MERKLE_TOPS_MAX];
    unsigned count, level;

    memcpy(hashes, edge->hashes[0], sizeof(hashes));
    merkle_fold(&edge->hasher, hashes, TILE_WIDTH);
    edge->frontier.size -= TILE_WIDTH;
    count = merkle_append_tile(&edge->hasher, &edge->frontier, &hashes[0],
                               tops);
    edge->hashes[1][edge->counts[1]++] = hashes[0];
    for (level = 2; level < count + 2 && level < TILE_LEVELS; level++) {
        edge->hashes[level][edge->counts[level]++] = tops[level - 2];
    }
}

int
edge_add(edge_t *edge, slice_t entry, const merkle_hash_t *leaf)
{
    int result;

    if (edge_full(edge) || entry.size > TRAIL_ENTRY_MAX) {
        return -EINVAL;
    }
    result = reserve(edge, edge->bundle_size + 2 + entry.size);
    if (result != 0) {
        return result;
    }
    edge->bundle_size += tile_entry_put(entry,
                                        edge->bundle + edge->bundle_size);
    edge->hashes[0][edge->counts[0]++] = *leaf;
    edge->frontier.size++;
    if (edge_full(edge)) {
        fold_tile(edge);
    }
    return edge->hasher.failed ? -EIO : 0;
}

void
edge_root(edge_t *edge, merkle_hash_t *root)
{
    load_subtrees(edge, 0);
    merkle_root(&edge->hasher, &edge->frontier, root);
}

static int
write_tile(edge_t *edge, const store_t *store, const tile_t *tile, slice_t data)
{
    char path[TILE_PATH_MAX];
    int result;

    (void) tile_path(tile, path);
    result = store_write(store, path, data);
    if (result != 0) {
        return result;
    }
    if (edge->written.count < EDGE_FILES_MAX) {
        edge->written.files[edge->written.count++] = *tile;
    } else {
        edge->written.many = true;
    }
    return 0;
}

/* The tile or bundle of a level as it is now. */
static int
write_level(edge_t *edge, const store_t *store, unsigned level, bool entries)
{
    tile_t tile = {0, edge->counts[level], (uint8_t) level, entries};
    uint64_t hashes = tile_hashes(edge->frontier.size, level);

    tile.index = (hashes - 1) / TILE_WIDTH;
    if (entries) {
        return write_tile(
            edge, store, &tile,
            (slice_t){(const char *) edge->bundle, edge->bundle_size});
    }
    return write_tile(edge, store, &tile,
                      (slice_t){(const char *) edge->hashes[level],
                                (size_t) tile.width * MERKLE_HASH_SIZE});
}

int
edge_flush(edge_t *edge, const store_t *store)
{
    unsigned level;
    int result;

    if (!edge_full(edge)) {
        return 0;
    }
    if (edge->hasher.failed) {
        return -EIO;
    }
    result = write_level(edge, store, 0, true);
    for (level = 0; level < TILE_LEVELS && result == 0; level++) {
        if (edge->counts[level] == TILE_WIDTH) {
            result = write_level(edge, store, level, false);
        }
    }
    if (result != 0) {
        return result;
    }
    for (level = 0; level < TILE_LEVELS; level++) {
        if (edge->counts[level] == TILE_WIDTH) {
            edge->counts[level] = 0;
        }
    }
    edge->bundle_size = 0;
    return 0;
}

/* Whether the last tile of a level is partial, and not that of `sealed`. */
static bool
is_new_partial(const edge_t *edge, unsigned level, uint64_t sealed)
{
    uint64_t index = tile_hashes(edge->frontier.size, level) / TILE_WIDTH;

    return edge->counts[level] > 0 &&
           edge->counts[level] != tile_width(sealed, level, index);
}

int
edge_write_partial(edge_t *edge, const store_t *store, uint64_t sealed)
{
    unsigned level;
    int result = edge_flush(edge, store);

    if (edge->hasher.failed) {
        return -EIO;
    }
    if (result == 0 && is_new_partial(edge, 0, sealed)) {
        result = write_level(edge, store, 0, true);
    }
    for (level = 0; level < TILE_LEVELS && result == 0; level++) {
        if (is_new_partial(edge, level, sealed)) {
            result = write_level(edge, store, level, false);
        }
    }
    return result;
}

/* The folder a path lies in; false at the top, whose name is ".". */
static bool
parent(char path[TILE_PATH_MAX])
{
    char *slash = strrchr(path, '/');

    if (slash == NULL) {
        memcpy(path, ".", 2);
        return false;
    }
    *slash = '\0';
    return true;
}

/* Each folder once: those of the files just synced, up to the trail's own. */
static int
sync_folders(const edge_t *edge, const store_t *store)
{
    char done[EDGE_FILES_MAX][TILE_PATH_MAX];
    size_t count = 0, i, k;

    for (i = 0; i < edge->written.count; i++) {
        char path[TILE_PATH_MAX];
        bool more = true;

        (void) tile_path(&edge->written.files[i], path);
        while (more) {
            int result;

            more = parent(path);
            for (k = 0; k < count && strcmp(done[k], path) != 0; k++) {
            }
            if (k < count) {
                break; /* and so were all above it */
            }
            result = store_sync_folder(store, path);
            if (result != 0) {
                return result;
            }
            if (count < EDGE_FILES_MAX) {
                memcpy(done[count++], path, sizeof(path));
            }
        }
    }
    return 0;
}

int
edge_sync(edge_t *edge, const store_t *store)
{
    size_t i;
    int result = 0;

    if (edge->written.many) {
        result = store_sync_all(store);
    } else {
        for (i = 0; i < edge->written.count && result == 0; i++) {
            char path[TILE_PATH_MAX];

            (void) tile_path(&edge->written.files[i], path);
            result = store_sync(store, path);
        }
        if (result == 0) {
            result = sync_folders(edge, store);
        }
    }
    if (result == 0) {
        edge->written.count = 0;
        edge->written.many = false;
    }
    return result;
}

static int
remove_partial(const store_t *store, const tile_t *tile, bool folder_too)
{
    char path[TILE_PATH_MAX];
    int result;

    (void) tile_path(tile, path);
    result = store_remove(store, path);
    if (result == 0 && folder_too) {
        (void) parent(path);
        result = store_remove(store, path);
        if (result == -ENOTEMPTY || result == -EEXIST) {
            result = 0; /* somebody's leftover: not ours to judge */
        }
    }
    return result;
}

int
edge_remove_partial(const store_t *store, uint64_t old, uint64_t keep,
                    uint64_t next)
{
    unsigned level;
    int result = 0;

    for (level = 0; level < TILE_LEVELS && result == 0; level++) {
        tile_t tile = {tile_hashes(old, level) / TILE_WIDTH, 0, (uint8_t) level,
                       false};
        uint16_t kept = tile_width(keep, level, tile.index);
        uint16_t now = tile_width(next, level, tile.index);
        bool full = kept == TILE_WIDTH && now == TILE_WIDTH;

        tile.width = tile_width(old, level, tile.index);
        if (tile.width == 0 || tile.width == now || tile.width == kept) {
            continue;
        }
        result = remove_partial(store, &tile, full);
        if (result == 0 && level == 0) {
            tile.entries = true;
            result = remove_partial(store, &tile, full);
        }
    }
    return result;
}

/* Empties the folder of one tile's partial files, but for width `keep`. */
static void
clean_partials(const store_t *store, const char *path, unsigned keep)
{
    char kept[8], file[STORE_PATH_MAX];
    struct dirent *entry;
    DIR *folder;
    int fd = openat(store->folder, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0) {
        return;
    }
    folder = fdopendir(fd);
    if (folder == NULL) {
        (void) close(fd);
        return;
    }
    (void) snprintf(kept, sizeof(kept), "%u", keep);
    while ((entry = readdir(folder)) != NULL) {
        if (entry->d_name[0] < '1' || entry->d_name[0] > '9' ||
            strlen(entry->d_name) > 3 || strcmp(entry->d_name, kept) == 0)
        {
            continue;
        }
        (void) snprintf(file, sizeof(file), "%.70s/%.3s", path, entry->d_name);
        (void) store_remove(store, file);
    }
    (void) closedir(folder);
    if (keep == 0) {
        (void) store_remove(store, path);
    }
}

static void
clean_level(const store_t *store, uint64_t size, unsigned level, bool entries)
{
    tile_t tile = {tile_hashes(size, level) / TILE_WIDTH, TILE_WIDTH,
                   (uint8_t) level, entries};
    char path[TILE_PATH_MAX], own[8], partial[STORE_PATH_MAX];
    struct dirent *entry;
    DIR *folder;
    int fd;

    (void) tile_path(&tile, path);
    (void) snprintf(own, sizeof(own), "%03u.p", (unsigned) (tile.index % 1000));
    (void) parent(path);
    fd = openat(store->folder, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return;
    }
    folder = fdopendir(fd);
    if (folder == NULL) {
        (void) close(fd);
        return;
    }
    while ((entry = readdir(folder)) != NULL) {
        if (strlen(entry->d_name) != 5 || strcmp(entry->d_name + 3, ".p") != 0)
        {
            continue;
        }
        (void) snprintf(partial, sizeof(partial), "%.64s/%.5s", path,
                        entry->d_name);
        clean_partials(store, partial,
                       strcmp(entry->d_name, own) == 0
                           ? tile_width(size, level, tile.index)
                           : 0);
    }
    (void) closedir(folder);
}

void
edge_clean(const store_t *store, uint64_t size)
{
    unsigned level;

    clean_level(store, size, 0, true);
    for (level = 0; level < TILE_LEVELS; level++) {
        clean_level(store, size, level, false);
    }
}
