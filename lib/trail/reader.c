#define _GNU_SOURCE
#include "reader.h"

#include <errno.h>
#include <stdlib.h>

#include "journal.h"
#include "store.h"
#include "tile_file.h"

/* A live writer removes partial files when a new checkpoint is there: read that
 * and try again, but not for ever. */
#define TRIES 16

struct trail_reader_s {
    store_t store;
    note_verifier_t *keys;
    size_t keys_count;
    char *note; /* NOTE_SIZE_MAX bytes */
    size_t note_size;
    checkpoint_t checkpoint;
    trail_problem_t problem;
    merkle_hasher_t hasher;
    tile_buffer_t bundle; /* of trail_reader_entry() */
    uint64_t bundle_index;
    uint16_t bundle_width; /* 0: none */
    tile_buffer_t tiles[TILE_LEVELS];
    uint64_t tile_index[TILE_LEVELS];
    uint16_t tile_width[TILE_LEVELS]; /* 0: none */
    trail_scan_t *unsealed; /* of trail_reader_entry(), behind the checkpoint */
};

struct trail_scan_s {
    trail_reader_t *reader;
    uint64_t next;
    slice_t rest;  /* of the bundle or batch in hand */
    uint64_t left; /* entries of it still to give */
    tile_buffer_t bundle;
    tile_stream_t stream;
    bool streaming;
    journal_reader_t journal;
    bool journal_open;
    bool placed; /* `place` is that of entry `next` */
    journal_place_t place;
};

static int
read_checkpoint(trail_reader_t *reader)
{
    trail_problem_t detail;
    size_t size;
    char *bytes = malloc(NOTE_SIZE_MAX);
    checkpoint_t checkpoint;
    int result;

    if (bytes == NULL) {
        trail_problem_set(&reader->problem, "out of memory");
        return -ENOMEM;
    }
    result = store_read(reader->store.folder, "checkpoint", bytes,
                        NOTE_SIZE_MAX, &size);
    if (result != 0) {
        trail_problem_set(&reader->problem, "checkpoint: %s%s",
                          strerror(-result),
                          result == -ENOENT ? ": this folder is no trail" : "");
        free(bytes);
        return result;
    }
    result = checkpoint_open((slice_t){bytes, size}, reader->keys,
                             reader->keys_count, &checkpoint, NULL, &detail);
    if (result != 0) {
        trail_problem_set(&reader->problem, "checkpoint: %s", detail.text);
        free(bytes);
        return result;
    }
    free(reader->note);
    reader->note = bytes;
    reader->note_size = size;
    reader->checkpoint = checkpoint;
    return 0;
}

int
trail_reader_open(const char *folder, const note_verifier_t *keys,
                  size_t keys_count, trail_reader_t **opened,
                  trail_problem_t *problem)
{
    trail_reader_t *reader = calloc(1, sizeof(*reader));
    int result;

    *opened = NULL;
    if (reader == NULL) {
        return -ENOMEM;
    }
    result = store_open(&reader->store, folder, NULL, NULL);
    if (result != 0) {
        trail_problem_set(&reader->problem, "%s: %s", folder,
                          strerror(-result));
    } else if (keys_count > 0) {
        reader->keys = calloc(keys_count, sizeof(keys[0]));
        if (reader->keys == NULL) {
            result = -ENOMEM;
        } else {
            memcpy(reader->keys, keys, keys_count * sizeof(keys[0]));
            reader->keys_count = keys_count;
        }
    }
    if (result == 0) {
        result = merkle_hasher_init(&reader->hasher);
    }
    if (result == 0) {
        result = read_checkpoint(reader);
    }
    if (result != 0) {
        trail_problem_set(problem, "%s",
                          reader->problem.text[0] != '\0' ? reader->problem.text
                                                          : strerror(-result));
        trail_reader_free(reader);
        return result;
    }
    *opened = reader;
    return 0;
}

void
trail_reader_free(trail_reader_t *reader)
{
    unsigned level;

    if (reader == NULL) {
        return;
    }
    trail_scan_free(reader->unsealed);
    for (level = 0; level < TILE_LEVELS; level++) {
        tile_buffer_free(&reader->tiles[level]);
    }
    tile_buffer_free(&reader->bundle);
    merkle_hasher_free(&reader->hasher);
    store_close(&reader->store);
    free(reader->keys);
    free(reader->note);
    free(reader);
}

int
trail_reader_refresh(trail_reader_t *reader)
{
    return read_checkpoint(reader);
}

const checkpoint_t *
trail_reader_checkpoint(const trail_reader_t *reader)
{
    return &reader->checkpoint;
}

slice_t
trail_reader_note(const trail_reader_t *reader)
{
    return (slice_t){reader->note, reader->note_size};
}

const char *
trail_reader_problem(const trail_reader_t *reader)
{
    return reader->problem.text;
}

merkle_hasher_t *
trail_reader_hasher(trail_reader_t *reader)
{
    return &reader->hasher;
}

/* A tile of the checkpoint's tree, with at least `least` hashes or entries. */
static int
read_tile(trail_reader_t *reader, unsigned level, bool entries, uint64_t index,
          unsigned least, tile_buffer_t *buffer, uint16_t *width)
{
    char path[TILE_PATH_MAX];
    unsigned tries;
    int result = -ENOENT;

    for (tries = 0; tries < TRIES; tries++) {
        tile_t tile = {index, 0, (uint8_t) level, entries};

        tile.width = tile_width(reader->checkpoint.size, level, index);
        if (tile.width < least) {
            trail_problem_set(&reader->problem,
                              "the checkpoint of %llu entries does not reach "
                              "that far",
                              (unsigned long long) reader->checkpoint.size);
            return -ERANGE;
        }
        result = tile_file_read(reader->store.folder, &tile, buffer, path);
        *width = tile.width;
        if (result != -ENOENT) {
            break;
        }
        result = read_checkpoint(reader);
        if (result != 0) {
            return result;
        }
        result = -ENOENT;
    }
    if (result == 0 && !entries &&
        buffer->size < (size_t) *width * MERKLE_HASH_SIZE)
    {
        result = -EBADMSG;
    }
    if (result != 0) {
        trail_problem_set(&reader->problem, "%s: %s", path,
                          result == -EBADMSG ? "it is too short"
                                             : strerror(-result));
    }
    return result;
}

static int
skip_entries(trail_reader_t *reader, slice_t *rest, uint64_t count,
             uint64_t first)
{
    slice_t entry;
    uint64_t i;

    for (i = 0; i < count; i++) {
        if (!tile_entry_next(rest, &entry)) {
            trail_problem_set(&reader->problem,
                              "entry %llu is missing or cut in its bundle",
                              (unsigned long long) (first + i));
            return -EBADMSG;
        }
    }
    return 0;
}

/* An entry that is still in the journal. */
static int
unsealed_entry(trail_reader_t *reader, uint64_t index, slice_t *entry)
{
    uint64_t at = 0;
    int result;

    /* forwards from where the last search stopped, or from the start */
    if (reader->unsealed != NULL && reader->unsealed->next > index) {
        trail_scan_free(reader->unsealed);
        reader->unsealed = NULL;
    }
    if (reader->unsealed == NULL) {
        result = trail_scan_open(reader, index, &reader->unsealed);
        if (result != 0) {
            return result;
        }
    }
    do {
        result = trail_scan_next(reader->unsealed, &at, entry);
    } while (result == 1 && at < index);
    if (result == 0) {
        trail_problem_set(&reader->problem, "there is no entry %llu yet",
                          (unsigned long long) index);
        return -ERANGE;
    }
    return result < 0 ? result : 0;
}

int
trail_reader_entry(trail_reader_t *reader, uint64_t index, slice_t *entry)
{
    uint64_t number = index / TILE_WIDTH;
    unsigned within = (unsigned) (index % TILE_WIDTH);
    slice_t rest;
    int result;

    if (index >= reader->checkpoint.size) {
        result = read_checkpoint(reader);
        if (result != 0) {
            return result;
        }
        if (index >= reader->checkpoint.size) {
            return unsealed_entry(reader, index, entry);
        }
    }
    if (reader->bundle_width <= within || reader->bundle_index != number) {
        reader->bundle_width = 0;
        result = read_tile(reader, 0, true, number, within + 1, &reader->bundle,
                           &reader->bundle_width);
        if (result != 0) {
            reader->bundle_width = 0;
            return result;
        }
        reader->bundle_index = number;
    }
    rest = (slice_t){(const char *) reader->bundle.bytes, reader->bundle.size};
    result = skip_entries(reader, &rest, within, number * TILE_WIDTH);
    if (result == 0 && !tile_entry_next(&rest, entry)) {
        result = skip_entries(reader, &rest, 1, index);
    }
    return result;
}

int
trail_reader_node(trail_reader_t *reader, unsigned height, uint64_t number,
                  merkle_hash_t *hash)
{
    unsigned level = height / MERKLE_TILE_BITS, count, at;
    merkle_hash_t hashes[TILE_WIDTH];
    uint64_t first, index;
    int result;

    if (level >= TILE_LEVELS || number >= reader->checkpoint.size >> height) {
        trail_problem_set(&reader->problem, "beyond the checkpoint");
        return -ERANGE;
    }
    count = 1u << height % MERKLE_TILE_BITS;
    first = number * count;
    index = first / TILE_WIDTH;
    at = (unsigned) (first % TILE_WIDTH);
    if (reader->tile_width[level] < at + count ||
        reader->tile_index[level] != index)
    {
        reader->tile_width[level] = 0;
        result = read_tile(reader, level, false, index, at + count,
                           &reader->tiles[level], &reader->tile_width[level]);
        if (result != 0) {
            reader->tile_width[level] = 0;
            return result;
        }
        reader->tile_index[level] = index;
    }
    memcpy(hashes, reader->tiles[level].bytes + (size_t) at * MERKLE_HASH_SIZE,
           (size_t) count * MERKLE_HASH_SIZE);
    merkle_fold(&reader->hasher, hashes, count);
    *hash = hashes[0];
    return reader->hasher.failed ? -EIO : 0;
}

int
trail_scan_open(trail_reader_t *reader, uint64_t from, trail_scan_t **opened)
{
    trail_scan_t *scan = calloc(1, sizeof(*scan));

    *opened = scan;
    if (scan == NULL) {
        return -ENOMEM;
    }
    scan->reader = reader;
    scan->next = from;
    scan->rest = (slice_t){"", 0};
    return 0;
}

void
trail_scan_free(trail_scan_t *scan)
{
    if (scan == NULL) {
        return;
    }
    if (scan->streaming) {
        tile_stream_close(&scan->stream);
    }
    if (scan->journal_open) {
        journal_reader_close(&scan->journal);
    }
    tile_buffer_free(&scan->bundle);
    free(scan);
}

/* The bundle that holds entry `next`, which is sealed. */
static int
load_bundle(trail_scan_t *scan)
{
    trail_reader_t *reader = scan->reader;
    tile_t tile = {scan->next / TILE_WIDTH, TILE_WIDTH, 0, true};
    uint64_t full = reader->checkpoint.size / TILE_WIDTH;
    uint64_t within = scan->next % TILE_WIDTH;
    char path[TILE_PATH_MAX];
    int result;

    if (tile.index < full) {
        if (!scan->streaming || scan->stream.next != tile.index ||
            scan->stream.end <= tile.index)
        {
            if (scan->streaming) {
                tile_stream_close(&scan->stream);
            }
            tile_stream_open(&scan->stream, reader->store.folder, &tile, full);
            scan->streaming = true;
        }
        result = tile_stream_read(&scan->stream, &scan->bundle, path);
        if (result != 0) {
            trail_problem_set(&reader->problem, "%s: %s", path,
                              strerror(-result));
        }
    } else {
        result = read_tile(reader, 0, true, tile.index, (unsigned) within + 1,
                           &scan->bundle, &tile.width);
    }
    if (result != 0) {
        return result;
    }
    scan->rest = (slice_t){(const char *) scan->bundle.bytes,
                           scan->bundle.size};
    scan->left = tile.width - within;
    return skip_entries(reader, &scan->rest, within, tile.index * TILE_WIDTH);
}

static int
open_journal(trail_scan_t *scan)
{
    trail_reader_t *reader = scan->reader;
    int result = journal_reader_open(&scan->journal, reader->store.folder,
                                     &reader->problem);

    scan->journal_open = result == 0;
    if (result != 0) {
        journal_reader_close(&scan->journal);
    }
    return result;
}

/* 1: a batch with entry `next` is in hand; 0: none yet; -EAGAIN: the ring has
 * gone on, look at the checkpoint again. */
static int
load_batch(trail_scan_t *scan)
{
    trail_reader_t *reader = scan->reader;
    journal_batch_t batch;
    journal_result_t found;
    int result;

    if (!scan->journal_open) {
        result = open_journal(scan);
        if (result != 0) {
            return result == -ENOENT ? 0 : result; /* a copy without one */
        }
    }
    if (!scan->placed) {
        found = journal_find(&scan->journal, scan->next, &scan->place);
        if (found == JOURNAL_GONE) {
            return -EAGAIN;
        }
        if (found != JOURNAL_BATCH) {
            return found == JOURNAL_FAILED ? scan->journal.error : 0;
        }
        scan->placed = true;
    }
    found = journal_next(&scan->journal, &scan->place, &batch);
    switch (found) {
    case JOURNAL_BATCH:
        break;
    case JOURNAL_FAILED:
        return scan->journal.error;
    case JOURNAL_GONE:
    case JOURNAL_BROKEN:
        scan->placed = false;
        return -EAGAIN;
    default:
        return 0; /* the end, or a batch being written just now */
    }
    scan->rest = batch.payload;
    scan->left = batch.entries;
    if (batch.place.index < scan->next) {
        scan->left -= scan->next - batch.place.index;
        result = skip_entries(reader, &scan->rest,
                              scan->next - batch.place.index,
                              batch.place.index);
        if (result != 0) {
            return result;
        }
    }
    return 1;
}

int
trail_scan_next(trail_scan_t *scan, uint64_t *index, slice_t *entry)
{
    trail_reader_t *reader = scan->reader;
    unsigned tries = 0;
    int result;

    while (scan->left == 0) {
        if (scan->next < reader->checkpoint.size) {
            scan->placed = false;
            result = load_bundle(scan);
            if (result != 0) {
                return result;
            }
            continue;
        }
        result = load_batch(scan);
        if (result == 1) {
            continue;
        }
        if (result != -EAGAIN) {
            if (result < 0) {
                trail_problem_set(&reader->problem, "journal: %s",
                                  strerror(-result));
            }
            return result;
        }
        if (++tries == TRIES) {
            trail_problem_set(&reader->problem,
                              "the journal does not go on where the "
                              "checkpoint of %llu entries ends",
                              (unsigned long long) reader->checkpoint.size);
            return -EBADMSG;
        }
        result = read_checkpoint(reader);
        if (result != 0) {
            return result;
        }
    }
    if (!tile_entry_next(&scan->rest, entry)) {
        return skip_entries(reader, &scan->rest, 1, scan->next);
    }
    scan->left--;
    *index = scan->next++;
    return 1;
}
