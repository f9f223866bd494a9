/*
 * The one writer of a trail.
 *
 * An append is a batch in the journal, synced: then its entries have their
 * indices and are acknowledged.  A thread of the writer's own reads the journal
 * behind it, puts the entries into bundles and tiles, and makes checkpoints.
 *
 * The order of operations, so that the program or the machine may stop
 * anywhere:
 *
 *   1  journal: pwrite, fdatasync                     (entries acknowledged)
 *   2  full bundles and tiles are written, unsynced, each once
 *   3  for a checkpoint of n entries: the partial bundle and tiles of n
 *   4  fsync of all files of 2 and 3 since the last checkpoint and of their
 *      folders (syncfs when they are many)
 *   5  checkpoint.new is written and fsynced, renamed, the folder fsynced
 *   6  partial files that only the checkpoint before needed are removed
 *   7  journal segments whose entries are all below n may be written over
 *
 * So what the checkpoint on the disk covers is on the disk in tiles, and what
 * it does not cover is in the journal.  Opening takes up the tiles of exactly
 * the checkpoint's size, and replays the journal from there: tiles beyond the
 * checkpoint, whole or not, are written again with the same bytes.  After a
 * failed sync (4) nothing written since the last checkpoint is trusted: the
 * same replay is done without a restart.
 */

#ifndef SEKISHO_TRAIL_WRITER_H
#define SEKISHO_TRAIL_WRITER_H

#include "journal.h"
#include "merkle.h"
#include "note.h"
#include "store.h"
#include "trail.h"

#define TRAIL_SIGNERS_MAX 4

/* Fits a gate: 64 MiB of journal, a quarter of it for privileged records. */
#define TRAIL_SEGMENT_BYTES (16u * 1024 * 1024)
#define TRAIL_SEGMENTS      4
#define TRAIL_RESERVE_BYTES (16u * 1024 * 1024)

typedef struct trail_writer_s trail_writer_t;

typedef struct {
    /* Copied.  All have the trail's origin as their name; each signs every
     * checkpoint: after a rotation the old and the new key for a while. */
    const note_signer_t *signers;
    size_t signers_count;
    /* Further keys that may have signed the checkpoint found at opening. */
    const note_verifier_t *verifiers;
    size_t verifiers_count;
    /* Of a new journal; zeros: the values above.  An existing one keeps its
     * shape. */
    journal_shape_t shape;
    uint32_t reserve_bytes; /* of the journal, for privileged batches; at most
                             * all but two segments */
    uint64_t disk_reserve_bytes; /* with less free on the file system only
                                  * privileged batches are taken; 0: off */
    bool journal_lost; /* open although the journal's folder is gone */
    store_hook_t hook; /* for tests */
    void *hook_argument;
} trail_writer_options_t;

typedef enum {
    TRAIL_STOPPED = 0,
    TRAIL_RUNNING,
    TRAIL_LIMITED, /* privileged batches only, while they fit: see `error` */
    TRAIL_FAILED   /* the last append could not be made durable; the next one
                    * is tried all the same */
} trail_state_t;

typedef struct {
    trail_state_t state;
    int error;               /* negative errno of a state but TRAIL_RUNNING */
    trail_problem_t problem; /* and in words */
    uint64_t size;           /* entries acknowledged: the next index */
    uint64_t integrated; /* of these in bundles and tiles (perhaps unsynced) */
    uint64_t sealed;     /* of these under the checkpoint on the disk */
    merkle_hash_t sealed_root;
    uint64_t batches;      /* appended since opening, each one fdatasync */
    uint64_t checkpoints;  /* written since opening */
    uint64_t refused;      /* batches refused since opening */
    uint64_t journal_used; /* bytes of the ring not yet free */
    uint64_t journal_bytes;
    uint64_t replayed; /* entries found in the journal at opening */
    journal_cut_t cut; /* at opening: to be told in a record */
    bool journal_lost; /* a new journal was made at opening */
} trail_status_t;

/*
 * Makes a new trail in `folder` (made if missing, its parent must exist): the
 * journal, then the checkpoint of no entries.  -EEXIST if there is a
 * checkpoint.  An interrupted creation can be repeated.
 */
int trail_create(const char *folder, const trail_writer_options_t *options,
                 trail_problem_t *problem);

/*
 * Opens a trail and starts the writer's thread.  -ENOENT: no checkpoint;
 * -EBUSY: another writer has it; -ENOKEY or -EBADMSG: it is not ours, or does
 * not fit its checkpoint; `problem` names the place and what to do.
 */
int trail_writer_open(const char *folder, const trail_writer_options_t *options,
                      trail_writer_t **writer, trail_problem_t *problem);

/* For trail_writer_append(): may eat into the reserves. */
#define TRAIL_PRIVILEGED 1u

/*
 * Appends 1 or more entries (each at most TRAIL_ENTRY_MAX bytes) as one batch.
 * 0: they are durable and have the indices *first, *first + 1, ….  Waits for
 * the other thread if the journal is full and that is working.
 * -ENOSPC: the disk is full (TRAIL_LIMITED) and the batch not privileged, or
 * the reserve is used up too; -EMSGSIZE: larger than trail_writer_batch_max();
 * -EINVAL; -EIO and others as the system says.  Of a failed batch nothing is
 * acknowledged.  From one thread at a time.
 */
int trail_writer_append(trail_writer_t *writer, const slice_t *entries,
                        size_t count, unsigned flags, uint64_t *first);

/* Bytes of a batch at most, each entry counted with TRAIL_ENTRY_OVERHEAD more:
 * one of TRAIL_ENTRY_MAX always fits. */
#define TRAIL_ENTRY_OVERHEAD JOURNAL_ENTRY_OVERHEAD
uint32_t trail_writer_batch_max(const trail_writer_t *writer);

/*
 * Asks for a checkpoint of what is acknowledged by now and does not wait; call
 * it once a second and after a security event.  It is also what makes a
 * limited writer try again.
 */
void trail_writer_checkpoint(trail_writer_t *writer);

/* Asks for a checkpoint and waits until it is on the disk; 0, or the error that
 * prevents it. */
int trail_writer_wait(trail_writer_t *writer);

/* From any thread. */
void trail_writer_status(trail_writer_t *writer, trail_status_t *status);

/*
 * Integrates the rest, makes a last checkpoint, and frees the writer in any
 * case.  Negative errno if that checkpoint could not be made: then the next
 * opening finds the rest in the journal.
 */
int trail_writer_close(trail_writer_t *writer);

#endif
