#define _GNU_SOURCE
#include "sealer.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/statvfs.h>

#include "checkpoint.h"

/* Full tiles between two looks at the free space: some 2 MiB of entries. */
#define FLUSHES_PER_LOOK 16

int
sealer_init(sealer_t *sealer, const note_signer_t *signers, size_t count,
            uint64_t disk_reserve_bytes)
{
    int result;

    sealer->store.folder = -1;
    memcpy(sealer->signers, signers, count * sizeof(signers[0]));
    sealer->signers_count = count;
    sealer->disk_reserve_bytes = disk_reserve_bytes;
    result = edge_init(&sealer->edge);
    if (result != 0) {
        return result;
    }
    /* with default attributes these cannot fail on Linux */
    if (pthread_mutex_init(&sealer->mutex, NULL) != 0 ||
        pthread_cond_init(&sealer->work, NULL) != 0 ||
        pthread_cond_init(&sealer->done, NULL) != 0)
    {
        return -ENOMEM;
    }
    sealer->usable = true;
    return 0;
}

void
sealer_free(sealer_t *sealer)
{
    if (sealer->usable) {
        (void) pthread_mutex_destroy(&sealer->mutex);
        (void) pthread_cond_destroy(&sealer->work);
        (void) pthread_cond_destroy(&sealer->done);
    }
    journal_reader_close(&sealer->reader);
    edge_free(&sealer->edge);
    store_close(&sealer->store);
    wipe_bytes(sealer->signers, sizeof(sealer->signers));
}

int
sealer_publish(const store_t *store, const note_signer_t *signers, size_t count,
               uint64_t size, const merkle_hash_t *root)
{
    char body[CHECKPOINT_BODY_MAX];
    char note[CHECKPOINT_BODY_MAX +
              TRAIL_SIGNERS_MAX * (NOTE_NAME_MAX + 8 + 100)];
    size_t used, body_size = checkpoint_format(
                     slice_of(signers[0].verifier.name), size, root, body);
    int result = note_sign((slice_t){body, body_size}, signers, count, note,
                           sizeof(note), &used);

    return result != 0
               ? result
               : store_replace(store, "checkpoint", (slice_t){note, used});
}

/* Less free than the reserve: ordinary batches are refused while there is
 * still room for the tiles of the privileged ones. */
static int
look_at_disk(sealer_t *sealer)
{
    struct statvfs fs;
    uint64_t free, least = sealer->disk_reserve_bytes;

    if (least == 0 || fstatvfs(sealer->store.folder, &fs) < 0) {
        return 0;
    }
    free = (uint64_t) fs.f_bavail * fs.f_frsize;
    (void) pthread_mutex_lock(&sealer->mutex);
    if (sealer->error != 0) {
        least += least / 8; /* do not flap */
    }
    if (free < least && sealer->error == 0) {
        sealer->error = -ENOSPC;
        trail_problem_set(&sealer->problem,
                          "the disk has %llu MiB free, less than the %llu "
                          "MiB kept for privileged records: make room",
                          (unsigned long long) free >> 20,
                          (unsigned long long) sealer->disk_reserve_bytes >>
                              20);
        (void) pthread_cond_broadcast(&sealer->done);
    }
    (void) pthread_mutex_unlock(&sealer->mutex);
    return free < least ? -ENOSPC : 0;
}

/* Puts the entries of the batch in hand into the edge. */
static int
integrate_rest(sealer_t *sealer)
{
    slice_t entry;
    int result = edge_flush(&sealer->edge, &sealer->store);

    while (result == 0) {
        slice_t rest = sealer->rest;

        if (!tile_entry_next(&rest, &entry)) {
            break;
        }
        result = edge_add(&sealer->edge, entry, sealer->leaves);
        if (result != 0) {
            break;
        }
        sealer->rest = rest;
        sealer->leaves++;
        if (edge_full(&sealer->edge)) {
            result = edge_flush(&sealer->edge, &sealer->store);
            if (++sealer->flushes % FLUSHES_PER_LOOK == 0) {
                (void) look_at_disk(sealer);
            }
        }
    }
    return result;
}

static bool
pressed(const sealer_t *sealer)
{
    return sealer->place.generation - sealer->sealed_generation >=
           sealer->reader.shape.segments / 2;
}

/* The mutex is held. */
static void
tell_integrated(sealer_t *sealer)
{
    sealer->integrated = sealer->edge.frontier.size;
    sealer->integrated_generation = sealer->place.generation;
}

/* Follows the journal to its acknowledged end, or until it is half full. */
static int
integrate(sealer_t *sealer, uint64_t sequence)
{
    int result = integrate_rest(sealer);

    while (result == 0 && sealer->place.sequence < sequence && !pressed(sealer))
    {
        journal_batch_t batch;

        switch (journal_next(&sealer->reader, &sealer->place, &batch)) {
        case JOURNAL_BATCH:
            sealer->rest = batch.payload;
            sealer->leaves = batch.leaves;
            result = integrate_rest(sealer);
            break;
        case JOURNAL_FAILED:
            result = sealer->reader.error;
            break;
        default:
            /* acknowledged, but not there any more: somebody has written to
             * our file */
            result = -EBADMSG;
            break;
        }
        (void) pthread_mutex_lock(&sealer->mutex);
        tell_integrated(sealer);
        (void) pthread_mutex_unlock(&sealer->mutex);
    }
    return result;
}

static int
checkpoint(sealer_t *sealer)
{
    uint64_t size = sealer->edge.frontier.size;
    uint64_t sealed = sealer->sealed; /* only this thread changes it */
    merkle_hash_t root;
    int result = 0;

    if (sealer->attempted != 0) {
        /* nothing of the failed attempt may pile up, and the list of files
         * written is no longer one of files that exist */
        (void) edge_remove_partial(&sealer->store, sealer->attempted, sealed,
                                   size);
        sealer->attempted = 0;
        sealer->edge.written.many = true;
    }
    if (size != sealed) {
        sealer->attempted = size;
        result = edge_write_partial(&sealer->edge, &sealer->store, sealed);
        if (result == 0) {
            result = edge_sync(&sealer->edge, &sealer->store);
            /* pages that could not be written may be dropped by now */
            sealer->rewind = result != 0;
        }
        if (result != 0) {
            return result;
        }
    }
    edge_root(&sealer->edge, &root);
    if (sealer->edge.hasher.failed) {
        return -EIO;
    }
    result = sealer_publish(&sealer->store, sealer->signers,
                            sealer->signers_count, size, &root);
    if (result != 0) {
        return result;
    }
    sealer->attempted = 0;
    /* what stays behind when this fails is only in the way */
    (void) edge_remove_partial(&sealer->store, sealed, size, size);
    sealer->sealed_generation = sealer->place.generation;
    (void) pthread_mutex_lock(&sealer->mutex);
    sealer->sealed = size;
    sealer->sealed_root = root;
    sealer->resign = false;
    sealer->checkpoints++;
    if (sealer->stop_error != 0) {
        /* whoever waits for this must find it healed */
        sealer->stop_error = 0;
        sealer->error = 0;
    }
    (void) pthread_cond_broadcast(&sealer->done);
    (void) pthread_mutex_unlock(&sealer->mutex);
    return 0;
}

/* Back to the checkpoint: everything since is written again. */
static int
rewind_edge(sealer_t *sealer)
{
    trail_problem_t problem;
    journal_result_t found;
    int result = edge_load(&sealer->edge, sealer->store.folder, sealer->sealed,
                           &sealer->sealed_root, &problem);

    if (result != 0) {
        return result;
    }
    found = journal_find(&sealer->reader, sealer->sealed, &sealer->place);
    if (found == JOURNAL_FAILED) {
        return sealer->reader.error;
    }
    if (found != JOURNAL_BATCH && sealer->place.index != sealer->sealed) {
        return -EBADMSG;
    }
    sealer->rest = (slice_t){"", 0};
    if (found == JOURNAL_BATCH && sealer->place.index < sealer->sealed) {
        /* the checkpoint ended within this batch */
        journal_batch_t batch;
        uint64_t skip = sealer->sealed - sealer->place.index;
        slice_t entry;

        if (journal_next(&sealer->reader, &sealer->place, &batch) !=
            JOURNAL_BATCH) {
            return -EBADMSG;
        }
        sealer->rest = batch.payload;
        sealer->leaves = batch.leaves + skip;
        while (skip > 0 && tile_entry_next(&sealer->rest, &entry)) {
            skip--;
        }
    }
    sealer->rewind = false;
    return 0;
}

/* One round; the mutex is not held. */
static int
seal(sealer_t *sealer, uint64_t sequence, bool wanted)
{
    int result = sealer->rewind ? rewind_edge(sealer) : 0;

    while (result == 0) {
        result = integrate(sealer, sequence);
        if (result != 0 || (!wanted && !pressed(sealer))) {
            break;
        }
        if (sealer->edge.frontier.size != sealer->sealed || sealer->resign) {
            result = checkpoint(sealer);
        } else {
            sealer->sealed_generation = sealer->place.generation;
        }
        if (result != 0 || sealer->place.sequence >= sequence) {
            break;
        }
    }
    return result;
}

static void
tell_error(sealer_t *sealer, int error)
{
    sealer->error = error;
    trail_problem_set(&sealer->problem,
                      "the trail's tiles or checkpoint cannot be written: %s; "
                      "records wait in the journal (%llu bytes used)%s",
                      strerror(-error),
                      (unsigned long long) sealer->journal_used,
                      error == -ENOSPC ? ": make room on the disk" : "");
}

static void *
run(void *argument)
{
    sealer_t *sealer = argument;

    (void) pthread_mutex_lock(&sealer->mutex);
    for (;;) {
        uint64_t sequence;
        bool wanted, stop;
        int result, disk;

        while (!sealer->stop && !sealer->wanted &&
               (sealer->stop_error != 0 ||
                sealer->acked.sequence == sealer->place.sequence ||
                !sealer_has_lot(sealer)))
        {
            (void) pthread_cond_wait(&sealer->work, &sealer->mutex);
        }
        stop = sealer->stop;
        wanted = sealer->wanted || stop;
        sealer->wanted = false;
        sequence = sealer->acked.sequence;
        (void) pthread_mutex_unlock(&sealer->mutex);

        result = seal(sealer, sequence, wanted);
        disk = look_at_disk(sealer);

        (void) pthread_mutex_lock(&sealer->mutex);
        sealer->stop_error = result;
        tell_integrated(sealer);
        sealer->attempts++;
        if (result != 0) {
            tell_error(sealer, result);
        } else if (disk == 0) {
            sealer->error = 0;
        }
        (void) pthread_cond_broadcast(&sealer->done);
        if (stop) {
            break;
        }
    }
    (void) pthread_mutex_unlock(&sealer->mutex);
    return NULL;
}

int
sealer_start(sealer_t *sealer, trail_problem_t *problem)
{
    sigset_t all, before;
    int result;

    result = journal_reader_open(&sealer->reader, sealer->store.folder,
                                 problem);
    if (result != 0) {
        return result;
    }
    sealer->reader.trusting = true;
    edge_clean(&sealer->store, sealer->sealed);
    sealer->sealed_generation = sealer->place.generation;
    sealer->integrated = sealer->sealed;
    sealer->rest = (slice_t){"", 0};
    sealer->wanted = sealer->resign;
    if (sealer->acked.index > sealer->sealed) {
        sealer->rewind = true; /* finds the place within a batch as well */
    } else {
        sealer->place = sealer->acked;
    }
    sealer->integrated_generation = sealer->place.generation;
    /* signals are the main thread's */
    (void) sigfillset(&all);
    (void) pthread_sigmask(SIG_SETMASK, &all, &before);
    result = -pthread_create(&sealer->thread, NULL, run, sealer);
    (void) pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (result != 0) {
        trail_problem_set(problem, "cannot start a thread: %s",
                          strerror(-result));
        return result;
    }
    sealer->started = true;
    return 0;
}

int
sealer_stop(sealer_t *sealer)
{
    if (!sealer->started) {
        return 0;
    }
    (void) pthread_mutex_lock(&sealer->mutex);
    sealer->stop = true;
    (void) pthread_cond_signal(&sealer->work);
    (void) pthread_mutex_unlock(&sealer->mutex);
    (void) pthread_join(sealer->thread, NULL);
    sealer->started = false;
    return sealer->stop_error;
}
