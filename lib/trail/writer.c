#define _GNU_SOURCE
#include "writer.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checkpoint.h"
#include "sealer.h"

#define CHECKPOINT_MAX NOTE_SIZE_MAX

struct trail_writer_s {
    sealer_t sealer;   /* the other thread and what is shared with it */
    journal_t journal; /* the appending thread's own */
    int lock;          /* the lock file */
};

static int
take_lock(const store_t *store, int *lock, trail_problem_t *problem)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    *lock = openat(store->folder, "lock",
                   O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, STORE_FILE_MODE);
    if (*lock < 0) {
        int result = -errno;

        trail_problem_set(problem, "lock: %s", strerror(-result));
        return result;
    }
    /* of the open file, not of the process: two writers in one process are
     * kept apart as well */
    if (fcntl(*lock, F_OFD_SETLK, &whole) < 0) {
        int result = errno == EAGAIN || errno == EACCES ? -EBUSY : -errno;

        trail_problem_set(problem,
                          result == -EBUSY
                              ? "lock: another sekishod writes this trail"
                              : "lock: cannot lock the trail");
        return result;
    }
    return 0;
}

static int
check_options(const trail_writer_options_t *options, trail_problem_t *problem)
{
    size_t i;

    if (options->signers_count == 0 ||
        options->signers_count > TRAIL_SIGNERS_MAX ||
        options->signers_count + options->verifiers_count > NOTE_KEYS_MAX)
    {
        trail_problem_set(problem, "a trail needs one to %d signing keys",
                          TRAIL_SIGNERS_MAX);
        return -EINVAL;
    }
    for (i = 1; i < options->signers_count; i++) {
        if (strcmp(options->signers[i].verifier.name,
                   options->signers[0].verifier.name) != 0)
        {
            trail_problem_set(problem,
                              "the signing keys have different names (%s, "
                              "%s): all must be the trail's origin",
                              options->signers[0].verifier.name,
                              options->signers[i].verifier.name);
            return -EINVAL;
        }
    }
    return 0;
}

static journal_shape_t
shape_of(const trail_writer_options_t *options)
{
    journal_shape_t shape = options->shape;

    if (shape.segment_bytes == 0) {
        shape.segment_bytes = TRAIL_SEGMENT_BYTES;
    }
    if (shape.segments == 0) {
        shape.segments = TRAIL_SEGMENTS;
    }
    return shape;
}

/* A journal that an interrupted creation left is as good as a new one; one with
 * batches in it means that the checkpoint was lost. */
static int
create_journal(const store_t *store, const trail_writer_options_t *options,
               trail_problem_t *problem)
{
    journal_shape_t shape = shape_of(options);
    journal_place_t start;
    journal_cut_t cut;
    journal_t journal;
    int result = journal_create(store, &shape, 0);

    if (result != -EEXIST) {
        if (result != 0) {
            trail_problem_set(problem, "journal: %s", strerror(-result));
        }
        return result;
    }
    result = journal_open(&journal, store, 0, 0, &start, &cut, problem);
    if (result == 0 && journal.end.sequence > 1) {
        trail_problem_set(problem,
                          "journal: it holds records, but there is no "
                          "checkpoint: restore the checkpoint, or set the "
                          "whole folder aside");
        result = -EEXIST;
    }
    journal_close(&journal);
    return result;
}

static int
sync_parent(const char *folder)
{
    _cleanup_(cleanup_free) char *path = NULL;
    _cleanup_(cleanup_close) int fd = -1;

    if (asprintf(&path, "%s/..", folder) < 0) {
        path = NULL;
        return -ENOMEM;
    }
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

int
trail_create(const char *folder, const trail_writer_options_t *options,
             trail_problem_t *problem)
{
    _cleanup_(cleanup_close) int lock = -1;
    store_t store;
    merkle_hasher_t hasher = {.digest = NULL};
    merkle_hash_t root;
    int result = check_options(options, problem);

    if (result != 0) {
        return result;
    }
    if (mkdir(folder, STORE_FOLDER_MODE) < 0 && errno != EEXIST) {
        result = -errno;
        trail_problem_set(problem, "%s: %s", folder, strerror(-result));
        return result;
    }
    result = store_open(&store, folder, options->hook, options->hook_argument);
    if (result != 0) {
        trail_problem_set(problem, "%s: %s", folder, strerror(-result));
        return result;
    }
    result = take_lock(&store, &lock, problem);
    if (result == 0 &&
        faccessat(store.folder, "checkpoint", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
    {
        trail_problem_set(problem, "%s: there is a trail already", folder);
        result = -EEXIST;
    }
    if (result == 0) {
        result = create_journal(&store, options, problem);
    }
    if (result == 0) {
        result = merkle_hasher_init(&hasher);
        if (result == 0) {
            merkle_empty(&hasher, &root);
            result = sealer_publish(&store, options->signers,
                                    options->signers_count, 0, &root);
        }
        if (result == 0) {
            result = sync_parent(folder);
        }
        if (result != 0) {
            trail_problem_set(problem, "%s: %s", folder, strerror(-result));
        }
    }
    merkle_hasher_free(&hasher);
    store_close(&store);
    return result;
}

/* The checkpoint on the disk, signed by any of our keys. */
static int
read_checkpoint(trail_writer_t *writer, const trail_writer_options_t *options,
                trail_problem_t *problem)
{
    _cleanup_(cleanup_free) char *bytes = malloc(CHECKPOINT_MAX);
    note_verifier_t keys[NOTE_KEYS_MAX];
    trail_problem_t detail;
    checkpoint_t checkpoint;
    uint32_t verified, all;
    size_t size, i, count = 0;
    int result;

    if (bytes == NULL) {
        return -ENOMEM;
    }
    result = store_read(writer->sealer.store.folder, "checkpoint", bytes,
                        CHECKPOINT_MAX, &size);
    if (result != 0) {
        trail_problem_set(problem, "checkpoint: %s: %s", strerror(-result),
                          result == -ENOENT
                              ? "this is no trail, or its checkpoint was "
                                "removed: restore it, or make a new trail"
                              : "restore it from a copy");
        return result;
    }
    for (i = 0; i < options->signers_count; i++) {
        keys[count++] = options->signers[i].verifier;
    }
    for (i = 0; i < options->verifiers_count; i++) {
        keys[count++] = options->verifiers[i];
    }
    result = checkpoint_open((slice_t){bytes, size}, keys, count, &checkpoint,
                             &verified, &detail);
    if (result != 0) {
        trail_problem_set(problem,
                          "checkpoint: %s: restore it from a copy, or give "
                          "the key it was signed with",
                          detail.text);
        return result;
    }
    /* The origin decides who may go on: never append to another trail. */
    if (!slice_is(checkpoint.origin, options->signers[0].verifier.name)) {
        trail_problem_set(
            problem,
            "checkpoint: its origin is \"%.*s\", the signing "
            "key is for \"%s\"",
            (int) (checkpoint.origin.size < 200 ? checkpoint.origin.size : 200),
            checkpoint.origin.data, options->signers[0].verifier.name);
        return -ENOKEY;
    }
    all = (uint32_t) ((UINT64_C(1) << options->signers_count) - 1);
    writer->sealer.sealed = checkpoint.size;
    writer->sealer.sealed_root = checkpoint.root;
    /* after a rotation the new key signs the present size at once */
    writer->sealer.resign = (verified & all) != all;
    return 0;
}

static int
open_journal(trail_writer_t *writer, const trail_writer_options_t *options,
             trail_problem_t *problem)
{
    sealer_t *sealer = &writer->sealer;
    journal_shape_t shape = shape_of(options);
    int result;

    if (options->journal_lost &&
        faccessat(sealer->store.folder, "journal", F_OK, AT_SYMLINK_NOFOLLOW) <
            0 &&
        errno == ENOENT)
    {
        result = journal_create(&sealer->store, &shape, sealer->sealed);
        if (result != 0) {
            trail_problem_set(problem, "journal: %s", strerror(-result));
            return result;
        }
        sealer->journal_lost = true;
    }
    result = journal_open(&writer->journal, &sealer->store, sealer->sealed,
                          options->reserve_bytes, &sealer->place, &sealer->cut,
                          problem);
    if (result != 0) {
        return result;
    }
    if (options->reserve_bytes >
        (uint64_t) (writer->journal.shape.segments - 2) *
            writer->journal.shape.segment_bytes)
    {
        trail_problem_set(problem,
                          "the reserve of %u bytes is more than all but two "
                          "of the journal's %u segments of %u bytes",
                          options->reserve_bytes,
                          writer->journal.shape.segments,
                          writer->journal.shape.segment_bytes);
        return -EINVAL;
    }
    sealer->acked = writer->journal.end;
    sealer->replayed = writer->journal.end.index - sealer->sealed;
    sealer->journal_used = journal_used(&writer->journal);
    return 0;
}

static int
open_all(trail_writer_t *writer, const char *folder,
         const trail_writer_options_t *options, trail_problem_t *problem)
{
    sealer_t *sealer = &writer->sealer;
    int result = store_open(&sealer->store, folder, options->hook,
                            options->hook_argument);

    if (result != 0) {
        trail_problem_set(problem, "%s: %s", folder, strerror(-result));
        return result;
    }
    result = take_lock(&sealer->store, &writer->lock, problem);
    if (result == 0) {
        result = read_checkpoint(writer, options, problem);
    }
    if (result == 0) {
        result = edge_load(&sealer->edge, sealer->store.folder, sealer->sealed,
                           &sealer->sealed_root, problem);
        if (result == -ENOENT) {
            result = -EBADMSG; /* there is a trail, but not all of it */
        }
    }
    if (result == 0) {
        result = open_journal(writer, options, problem);
    }
    if (result == 0) {
        result = sealer_start(sealer, problem);
    }
    return result;
}

static void
free_writer(trail_writer_t *writer)
{
    journal_close(&writer->journal);
    sealer_free(&writer->sealer);
    if (writer->lock >= 0) {
        (void) close(writer->lock); /* after everything else is closed */
    }
    free(writer);
}

int
trail_writer_open(const char *folder, const trail_writer_options_t *options,
                  trail_writer_t **opened, trail_problem_t *problem)
{
    trail_writer_t *writer;
    int result = check_options(options, problem);

    *opened = NULL;
    if (result != 0) {
        return result;
    }
    writer = calloc(1, sizeof(*writer));
    if (writer == NULL) {
        return -ENOMEM;
    }
    writer->lock = -1;
    result = sealer_init(&writer->sealer, options->signers,
                         options->signers_count, options->disk_reserve_bytes);
    if (result == 0) {
        result = open_all(writer, folder, options, problem);
    } else {
        trail_problem_set(problem, "cannot start: %s", strerror(-result));
    }
    if (result != 0) {
        free_writer(writer);
        return result;
    }
    *opened = writer;
    return 0;
}

/* Waits until the batch finds room; the mutex is held. */
static int
wait_for_room(trail_writer_t *writer, size_t bytes, bool privileged)
{
    sealer_t *sealer = &writer->sealer;

    for (;;) {
        journal_release(&writer->journal, sealer->sealed);
        if (sealer->error != 0 && !privileged) {
            return -ENOSPC;
        }
        if (journal_room(&writer->journal, bytes, privileged)) {
            return 0;
        }
        if (sealer->stop_error != 0) {
            return -ENOSPC; /* nothing will be freed before the next try */
        }
        sealer->wanted = true;
        (void) pthread_cond_signal(&sealer->work);
        (void) pthread_cond_wait(&sealer->done, &sealer->mutex);
    }
}

int
trail_writer_append(trail_writer_t *writer, const slice_t *entries,
                    size_t count, unsigned flags, uint64_t *first)
{
    sealer_t *sealer = &writer->sealer;
    bool privileged = (flags & TRAIL_PRIVILEGED) != 0;
    size_t bytes = 0, i;
    int result;

    for (i = 0; i < count; i++) {
        if (entries[i].size > TRAIL_ENTRY_MAX) {
            return -EMSGSIZE;
        }
        bytes += JOURNAL_ENTRY_OVERHEAD + entries[i].size;
    }
    if (bytes > journal_batch_max(&writer->journal)) {
        return -EMSGSIZE;
    }
    (void) pthread_mutex_lock(&sealer->mutex);
    result = wait_for_room(writer, bytes, privileged);
    (void) pthread_mutex_unlock(&sealer->mutex);
    if (result == 0) {
        result = journal_append(&writer->journal, entries, count, privileged,
                                first);
    }

    (void) pthread_mutex_lock(&sealer->mutex);
    if (result == 0) {
        sealer->acked = writer->journal.end;
        sealer->batches++;
        sealer->append_error = 0;
        if (sealer_has_lot(sealer)) {
            (void) pthread_cond_signal(&sealer->work);
        }
    } else if (result == -ENOSPC && sealer->error != 0) {
        sealer->refused++;
    } else if (result != -EINVAL) {
        sealer->refused++;
        sealer->append_error = result;
    }
    sealer->journal_used = journal_used(&writer->journal);
    (void) pthread_mutex_unlock(&sealer->mutex);
    return result;
}

uint32_t
trail_writer_batch_max(const trail_writer_t *writer)
{
    return journal_batch_max(&writer->journal);
}

void
trail_writer_checkpoint(trail_writer_t *writer)
{
    sealer_t *sealer = &writer->sealer;

    (void) pthread_mutex_lock(&sealer->mutex);
    sealer->wanted = true;
    (void) pthread_cond_signal(&sealer->work);
    (void) pthread_mutex_unlock(&sealer->mutex);
}

int
trail_writer_wait(trail_writer_t *writer)
{
    sealer_t *sealer = &writer->sealer;
    uint64_t size, attempts;
    int result = 0;

    (void) pthread_mutex_lock(&sealer->mutex);
    size = sealer->acked.index;
    attempts = sealer->attempts;
    /* an attempt that was under way may have begun before the last append */
    while ((sealer->sealed < size || sealer->resign) && result == 0) {
        sealer->wanted = true;
        (void) pthread_cond_signal(&sealer->work);
        (void) pthread_cond_wait(&sealer->done, &sealer->mutex);
        if (sealer->stop_error != 0 && sealer->attempts > attempts + 1) {
            result = sealer->stop_error;
        }
    }
    (void) pthread_mutex_unlock(&sealer->mutex);
    return result;
}

void
trail_writer_status(trail_writer_t *writer, trail_status_t *status)
{
    sealer_t *sealer = &writer->sealer;

    memset(status, 0, sizeof(*status));
    (void) pthread_mutex_lock(&sealer->mutex);
    status->state = TRAIL_RUNNING;
    if (sealer->append_error != 0) {
        status->state = TRAIL_FAILED;
        status->error = sealer->append_error;
        trail_problem_set(&status->problem, "journal: %s",
                          strerror(-sealer->append_error));
    } else if (sealer->error != 0) {
        status->state = TRAIL_LIMITED;
        status->error = sealer->error;
        status->problem = sealer->problem;
    }
    status->size = sealer->acked.index;
    status->integrated = sealer->integrated;
    status->sealed = sealer->sealed;
    status->sealed_root = sealer->sealed_root;
    status->batches = sealer->batches;
    status->checkpoints = sealer->checkpoints;
    status->refused = sealer->refused;
    status->journal_used = sealer->journal_used;
    status->journal_bytes = (uint64_t) writer->journal.shape.segments *
                            writer->journal.shape.segment_bytes;
    status->replayed = sealer->replayed;
    status->cut = sealer->cut;
    status->journal_lost = sealer->journal_lost;
    (void) pthread_mutex_unlock(&sealer->mutex);
}

int
trail_writer_close(trail_writer_t *writer)
{
    int result = sealer_stop(&writer->sealer);

    free_writer(writer);
    return result;
}
