/* Entries of the trail as rows for the index, read ahead by a thread; for this
 * folder only. */

#ifndef SEKISHO_REVIEW_INDEX_ROWS_H
#define SEKISHO_REVIEW_INDEX_ROWS_H

#include <pthread.h>
#include <stdint.h>

#include "../base/siphash.h"
#include "../trail/reader.h"
#include "../trail/record.h"
#include "index_openings.h"

/* The columns of `entry` that are words, in the order of the table, then what
 * only `study` and `part` have. */
enum {
    COLUMN_EVENT = 0,
    COLUMN_REASON,
    COLUMN_USER,
    COLUMN_FACILITY,
    COLUMN_ADDRESS,
    COLUMN_SERVICE,
    COLUMN_ACTION,
    COLUMN_PATIENT,
    COLUMN_STUDY,
    COLUMN_SESSION,
    COLUMN_PURPOSE,
    ENTRY_WORDS,
    COLUMN_ISSUER = ENTRY_WORDS,
    COLUMN_NAME,
    COLUMN_SERIES, /* where it matters: without study and patient, and where
                      what is a part of what is told */
    COLUMN_INSTANCE,
    ROW_WORDS
};

/* The columns that are numbers. */
enum {
    COLUMN_REQUESTS = 0,
    COLUMN_BYTES,
    COLUMN_INSTANCES,
    COLUMN_DURATION,
    COLUMN_COUNT,
    ROW_NUMBERS
};

typedef struct {
    uint64_t number; /* index in the tree */
    int64_t time;    /* Unix milliseconds; 0: it cannot be read */
    int64_t first;   /* of a close: when its access began; 0: not said */
    record_event_t event;
    uint8_t outcome;
    bool interrupted;
    bool has_id;
    bool has_open;
    uint8_t id[OPENING_ID_SIZE];
    uint8_t open[OPENING_ID_SIZE]; /* what it closes or joins */
    int64_t numbers[ROW_NUMBERS];  /* -1: not there */
    slice_t words[ROW_WORDS];      /* size 0: not there; the batch's */
    siphash_t hashes[ROW_WORDS];   /* of those that are there */
} row_t;

#define ROWS_MAX   2048 /* of a batch */
#define ROWS_BYTES ((size_t) 512 << 10)
#define ROWS_AHEAD 4      /* batches */
#define ROOT_EVERY 262144 /* entries: where the tables may be committed */

typedef struct {
    row_t rows[ROWS_MAX];
    size_t count;
    char *bytes; /* ROWS_BYTES */
    size_t used;
    uint64_t next; /* entries below it are in this batch or before it */
    bool has_root;
    merkle_hash_t root; /* of the first `next` entries */
    int result; /* 1: more may follow; 0: the end at present; or an error */
} batch_t;

typedef struct {
    trail_reader_t *reader;
    trail_scan_t *scan;
    uint64_t rooted;    /* entries below it had a root */
    char *buffer;       /* for record_parse() */
    const uint8_t *key; /* of words_hash() */
    uint64_t next;      /* first entry that is not in a batch yet */
    uint64_t end;       /* do not read that one */
    batch_t *batches;
    size_t batches_count;
    pthread_t thread;
    bool threaded;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    size_t made, used; /* batches; made - used are ready */
    bool in_hand;      /* the batch that rows_next() gave */
    bool stop;
} rows_t;

/*
 * Rows of the entries from .. end - 1; with `threaded` a thread reads ahead,
 * and the reader is its own until rows_close().  0 or negative errno;
 * rows_close() in any case.
 */
int rows_open(rows_t *rows, trail_reader_t *reader, const uint8_t *key,
              uint64_t from, uint64_t end, bool threaded);
void rows_close(rows_t *rows);

/* The next batch, valid until the next call. */
const batch_t *rows_next(rows_t *rows);

#endif
