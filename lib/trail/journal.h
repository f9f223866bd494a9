/*
 * The write-ahead journal: what is acknowledged is in here and synced before
 * anybody is told, and stays until a checkpoint covers it.
 *
 * A ring of N files, journal/0 … N-1, of equal size, written once at creation,
 * so that an append changes no metadata: one pwrite and one fdatasync.
 * Generation g of the ring lies in file g % N:
 *
 *   segment header, 64 bytes
 *      0  magic               8  generation       16  sequence of first batch
 *     24  index of its first entry                32  check of batch before, 16
 *     48  bytes of a segment 52  segments         56  SHA-256 of 0..55, 8 bytes
 *   batch header, 64 bytes, at a multiple of 8
 *      0  magic               8  sequence         16  index of first entry
 *     24  bytes of payload   28  entries          32  check of batch before, 16
 *     48  SHA-256 of 0..47 and the leaf hashes, the first 16 bytes: the check
 *   leaf hashes of the entries, 32 bytes each (RFC 6962): they are needed for
 *     the tree anyway, so that each entry is hashed once for both
 *   payload: entries as in a bundle (big-endian uint16 length, bytes)
 *
 * Numbers are little-endian but for the lengths in the payload.  Each batch has
 * a sequence number that is never used again and names the check of the one
 * before: bytes left from an earlier turn of the ring, or of a batch that was
 * replaced, fit nowhere.
 */

#ifndef SEKISHO_TRAIL_JOURNAL_H
#define SEKISHO_TRAIL_JOURNAL_H

#include "merkle.h"
#include "store.h"
#include "trail.h"

#define JOURNAL_HEADER_SIZE  64 /* of a segment and of a batch */
#define JOURNAL_CHECK_SIZE   16
#define JOURNAL_SEGMENTS_MIN 3
#define JOURNAL_SEGMENTS_MAX 64
#define JOURNAL_SEGMENT_MIN  (128u * 1024)
#define JOURNAL_SEGMENT_MAX  (256u * 1024 * 1024)

typedef struct {
    uint32_t segment_bytes; /* a multiple of 4096 */
    uint32_t segments;
} journal_shape_t;

/* Where a batch is or will be. */
typedef struct {
    uint64_t generation;
    uint64_t sequence;
    uint64_t index;  /* of its first entry */
    uint32_t offset; /* bytes into the segment */
    uint8_t previous[JOURNAL_CHECK_SIZE];
} journal_place_t;

/* ---- Reading -------------------------------------------------------------*/

typedef enum {
    JOURNAL_FAILED = 0, /* an error of the system: reader->error */
    JOURNAL_BATCH,
    JOURNAL_END,   /* nothing is written here yet */
    JOURNAL_TORN,  /* a batch begins here but is not whole */
    JOURNAL_GONE,  /* the ring has gone over this place, or never had it */
    JOURNAL_BROKEN /* not whole, and later batches are there: damage */
} journal_result_t;

typedef struct {
    journal_place_t place; /* its own */
    uint32_t entries;
    uint8_t check[JOURNAL_CHECK_SIZE];
    slice_t payload; /* in the reader's buffer, until its next call */
    const merkle_hash_t *leaves; /* so are the entries' leaf hashes */
} journal_batch_t;

typedef struct {
    int files[JOURNAL_SEGMENTS_MAX];
    journal_shape_t shape;
    merkle_hasher_t hasher;
    uint8_t *buffer;
    size_t capacity;
    int error;           /* negative errno of JOURNAL_FAILED */
    uint64_t torn_bytes; /* of JOURNAL_TORN: what there is of the batch */
    /* Set by the writer for what it has checked or written itself: leaf hashes
     * are not computed again.  An entry changed in between no longer fits its
     * leaf, which verifying finds. */
    bool trusting;
} journal_reader_t;

/* -ENOENT if the trail has no journal, -EBADMSG if no segment has a header
 * that is whole.  journal_reader_close() in any case; that takes a zeroed one
 * too.  `folder` is the trail's. */
int journal_reader_open(journal_reader_t *reader, int folder,
                        trail_problem_t *problem);
void journal_reader_close(journal_reader_t *reader);

/*
 * The batch at `place`; moves `place` behind it.  Whatever else it returns,
 * `place` is at most moved to the start of the next segment.  Safe while a
 * writer appends: half a batch is JOURNAL_TORN for that moment.
 */
journal_result_t journal_next(journal_reader_t *reader, journal_place_t *place,
                              journal_batch_t *batch);

/*
 * The place of the batch that holds entry `index`, or the end of the journal
 * (JOURNAL_END, also if that is before `index`; see place->index), or
 * JOURNAL_TORN at the end, JOURNAL_GONE if the journal begins behind it
 * (place->index is where), JOURNAL_FAILED.
 */
journal_result_t journal_find(journal_reader_t *reader, uint64_t index,
                              journal_place_t *place);

/* Whether whole batches with entries from `sealed` on follow behind a place
 * where journal_next() found no more: then it is damage, not a torn end.  0:
 * none; 1: in the same file; 2: in the next, which has no whole header. */
int journal_later(journal_reader_t *reader, const journal_place_t *place,
                  uint64_t sealed);

/* ---- Writing -------------------------------------------------------------*/

typedef struct {
    bool found;
    char path[24];    /* "journal/2" */
    uint64_t offset;  /* of the first byte not kept */
    uint64_t bytes;   /* cut: of a batch that nobody was told of */
    uint64_t missing; /* bytes that the file was too short */
} journal_cut_t;

typedef struct {
    const store_t *store;
    int files[JOURNAL_SEGMENTS_MAX];
    journal_shape_t shape;
    uint32_t reserve_bytes;
    merkle_hasher_t hasher;
    journal_place_t end;                   /* of the next batch */
    uint64_t oldest;                       /* generation still needed */
    uint64_t starts[JOURNAL_SEGMENTS_MAX]; /* first index, per file */
    uint8_t *buffer;                       /* one segment */
    bool next_segment; /* the end is not where it can be appended to */
} journal_t;

/* Makes the ring for a trail of `size` entries, synced.  -EINVAL for a shape
 * out of bounds, -EEXIST if there is one. */
int journal_create(const store_t *store, const journal_shape_t *shape,
                   uint64_t size);

/*
 * Opens the ring of a trail whose checkpoint covers `sealed` entries.  A torn
 * end is cut (zeros are written over it) and told in `cut`.  -EBADMSG with the
 * place in `problem` if batches are damaged that the checkpoint does not cover.
 * `*start` is the place of entry `sealed`, or the end.
 */
int journal_open(journal_t *journal, const store_t *store, uint64_t sealed,
                 uint32_t reserve_bytes, journal_place_t *start,
                 journal_cut_t *cut, trail_problem_t *problem);
void journal_close(journal_t *journal);

/* What an entry takes up in a batch besides its bytes. */
#define JOURNAL_ENTRY_OVERHEAD (2 + MERKLE_HASH_SIZE)

/* Bytes that one batch can have, each entry with its overhead. */
uint32_t journal_batch_max(const journal_t *journal);

/* Whether a batch of so many bytes, each entry with its overhead, finds room.  Only a privileged
 * one may eat into the last `reserve_bytes`. */
bool journal_room(const journal_t *journal, size_t bytes, bool privileged);

/*
 * Appends a batch and syncs it.  0: it is on disk and has the indices from
 * *first on.  -EMSGSIZE if it is larger than journal_batch_max(), -EAGAIN if
 * there is no room until a checkpoint frees a segment; or the error of pwrite
 * or fdatasync: then nothing is acknowledged, the next append takes the same
 * place, and only if the program ends before that may a replay find the batch.
 * One thread.
 */
int journal_append(journal_t *journal, const slice_t *entries, size_t count,
                   bool privileged, uint64_t *first);

/* A checkpoint covers `sealed` entries: segments below are free. */
void journal_release(journal_t *journal, uint64_t sealed);

/* Bytes of the ring in use, of all. */
uint64_t journal_used(const journal_t *journal);

#endif
