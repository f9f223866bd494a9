/* Between verify.c (the checks around) and verify_ranges.c (the tree). */

#ifndef SEKISHO_TRAIL_VERIFY_INTERNAL_H
#define SEKISHO_TRAIL_VERIFY_INTERNAL_H

#include <pthread.h>

#include "edge.h"
#include "verify.h"

typedef struct {
    const verify_options_t *options;
    verify_report_t *report;
    int folder;
    uint64_t size;  /* of the checkpoint */
    edge_t edge;    /* its partial tiles and bundle, already verified */
    bool edge_good; /* or not: the report says so */

    pthread_mutex_t mutex; /* of everything below, and of the report */
    pthread_cond_t joined_more;
    uint64_t next;   /* range to be taken */
    uint64_t joined; /* ranges joined, in order */
    uint64_t ranges;
    uint64_t done;     /* entries, for progress */
    _Atomic int error; /* the first that stops everything; set under the
                        * mutex, looked at without it too */

    /* hashes of level 2 and above not yet in a full tile, as derived */
    merkle_hasher_t hasher;
    uint16_t counts[TILE_LEVELS];
    merkle_hash_t hashes[TILE_LEVELS][TILE_WIDTH];
} verify_t;

/* Adds a finding; takes the mutex itself. */
void verify_found(verify_t *verify, verify_kind_t kind, uint64_t index,
                  const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Stops everything; takes the mutex itself. */
void verify_fail(verify_t *verify, int error, const char *what);

/* The full tiles, by threads, against each other and against the edge. */
int verify_ranges(verify_t *verify, unsigned threads);

#endif
