/*
 * The writer's other thread: journal -> tiles -> checkpoint.  Internal to
 * lib/trail; writer.h has the order of operations.
 */

#ifndef SEKISHO_TRAIL_SEALER_H
#define SEKISHO_TRAIL_SEALER_H

#include <pthread.h>

#include "edge.h"
#include "journal.h"
#include "note.h"
#include "writer.h"

/* Entries that are acknowledged and not integrated, until the thread is woken
 * for them without a checkpoint being wanted: a full tile.  For fewer it would
 * only be in the way of who waits for an acknowledgement. */
#define SEALER_LOT 256

typedef struct {
    store_t store;
    note_signer_t signers[TRAIL_SIGNERS_MAX];
    size_t signers_count;
    uint64_t disk_reserve_bytes;

    pthread_mutex_t mutex;
    pthread_cond_t work; /* something for the thread */
    pthread_cond_t done; /* something for who waits: sealed, error, attempts */
    pthread_t thread;
    bool usable; /* mutex and conditions are initialised */
    bool started;

    /* under the mutex */
    journal_place_t acked; /* the journal's end: read up to here */
    bool wanted;           /* a checkpoint */
    bool stop;
    uint64_t integrated;
    uint64_t integrated_generation; /* of the journal */
    uint64_t sealed;
    merkle_hash_t sealed_root;
    bool resign;    /* the checkpoint lacks one of our signatures */
    int error;      /* ordinary batches are refused for it */
    int stop_error; /* of the last attempt, if it failed */
    int append_error;
    trail_problem_t problem;
    uint64_t attempts; /* rounds that ended, well or not */
    uint64_t batches;
    uint64_t checkpoints;
    uint64_t refused;
    uint64_t journal_used;
    uint64_t replayed;
    journal_cut_t cut;
    bool journal_lost;

    /* the thread's own */
    edge_t edge;
    journal_reader_t reader;
    journal_place_t place;       /* of the next batch to integrate */
    uint64_t sealed_generation;  /* where `place` was at the checkpoint */
    slice_t rest;                /* of the batch in hand */
    const merkle_hash_t *leaves; /* of that rest */
    uint64_t attempted; /* size of a checkpoint that failed half-way, or 0 */
    bool rewind;        /* what was written since the checkpoint is in doubt */
    unsigned flushes;
} sealer_t;

/* Under the mutex: whether the thread is to be woken for what was appended. */
static inline bool
sealer_has_lot(const sealer_t *sealer)
{
    return sealer->acked.index - sealer->integrated >= SEALER_LOT ||
           sealer->acked.generation != sealer->integrated_generation;
}

int sealer_init(sealer_t *sealer, const note_signer_t *signers, size_t count,
                uint64_t disk_reserve_bytes);
/* After sealed, sealed_root, edge, place and acked are set. */
int sealer_start(sealer_t *sealer, trail_problem_t *problem);
/* Seals the rest; the error if that fails.  sealer_free() follows. */
int sealer_stop(sealer_t *sealer);
void sealer_free(sealer_t *sealer);

/* Signs and writes the checkpoint file, durably. */
int sealer_publish(const store_t *store, const note_signer_t *signers,
                   size_t count, uint64_t size, const merkle_hash_t *root);

#endif
