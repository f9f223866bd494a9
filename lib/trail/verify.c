#define _GNU_SOURCE
#include "verify.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "checkpoint.h"
#include "journal.h"
#include "proof.h"
#include "reader.h"
#include "store.h"
#include "verify_internal.h"

/* A live writer removes partial tiles between our reading the checkpoint and
 * them. */
#define TRIES 16

/* A batch that is being written becomes whole within milliseconds. */
#define TORN_TRIES 4

void
verify_found(verify_t *verify, verify_kind_t kind, uint64_t index,
             const char *format, ...)
{
    verify_report_t *report = verify->report;
    verify_finding_t finding = {kind, index, ""};
    va_list arguments;
    size_t kept, at;

    va_start(arguments, format);
    (void) vsnprintf(finding.text, sizeof(finding.text), format, arguments);
    va_end(arguments);

    (void) pthread_mutex_lock(&verify->mutex);
    kept = report->findings_count < VERIFY_FINDINGS_MAX
               ? (size_t) report->findings_count
               : VERIFY_FINDINGS_MAX;
    report->findings_count++;
    /* threads find them in any order: kept are the first by index */
    for (at = kept; at > 0 && report->findings[at - 1].index > index; at--) {
        if (at < VERIFY_FINDINGS_MAX) {
            report->findings[at] = report->findings[at - 1];
        }
    }
    if (at < VERIFY_FINDINGS_MAX) {
        report->findings[at] = finding;
    }
    (void) pthread_mutex_unlock(&verify->mutex);
}

void
verify_fail(verify_t *verify, int error, const char *what)
{
    (void) pthread_mutex_lock(&verify->mutex);
    if (verify->error == 0) {
        verify->error = error;
        trail_problem_set(&verify->report->problem, "%s: %s", what,
                          strerror(-error));
    }
    (void) pthread_cond_broadcast(&verify->joined_more);
    (void) pthread_mutex_unlock(&verify->mutex);
}

/* The checkpoint, and the partial files of just that checkpoint. */
static int
take_edge(verify_t *verify, trail_reader_t *reader)
{
    trail_problem_t problem;
    uint64_t size;
    unsigned tries;
    int result = -ENOENT;

    for (tries = 0; tries < TRIES; tries++) {
        const checkpoint_t *checkpoint = trail_reader_checkpoint(reader);

        size = checkpoint->size;
        result = edge_load(&verify->edge, verify->folder, size,
                           &checkpoint->root, &problem);
        verify->size = size;
        verify->report->sealed = size;
        verify->report->root = checkpoint->root;
        if (result == 0) {
            verify->edge_good = true;
            return 0;
        }
        if (trail_reader_refresh(reader) != 0 ||
            trail_reader_checkpoint(reader)->size == size)
        {
            break;
        }
    }
    if (result != -EBADMSG && result != -ENOENT) {
        trail_problem_set(&verify->report->problem, "%s", problem.text);
        return result;
    }
    verify_found(verify, result == -ENOENT ? VERIFY_MISSING : VERIFY_TILE,
                 size == 0 ? 0 : size - 1, "%.300s", problem.text);
    return 0;
}

static int
check_kept(verify_t *verify, trail_reader_t *reader, slice_t note)
{
    const checkpoint_t *now = trail_reader_checkpoint(reader);
    trail_problem_t detail;
    checkpoint_t kept;
    merkle_hash_t root;
    int result = checkpoint_open(note, verify->options->keys,
                                 verify->options->keys_count, &kept, NULL,
                                 &detail);

    if (result == -EIO) {
        verify->report->problem = detail;
        return result;
    }
    if (result != 0) {
        verify_found(verify, VERIFY_BAD_KEPT, UINT64_MAX,
                     "the checkpoint kept elsewhere: %.200s", detail.text);
        return 0;
    }
    if (!slice_equal(kept.origin, now->origin)) {
        verify_found(verify, VERIFY_REPLACED, UINT64_MAX,
                     "this trail's origin is \"%.*s\"; the checkpoint kept "
                     "elsewhere is of \"%.*s\"",
                     (int) (now->origin.size < 100 ? now->origin.size : 100),
                     now->origin.data,
                     (int) (kept.origin.size < 100 ? kept.origin.size : 100),
                     kept.origin.data);
        return 0;
    }
    if (kept.size > verify->size) {
        verify_found(verify, VERIFY_ROLLED_BACK, verify->size,
                     "the trail was rolled back or replaced: a checkpoint "
                     "kept elsewhere covers %llu entries, this trail's %llu",
                     (unsigned long long) kept.size,
                     (unsigned long long) verify->size);
        return 0;
    }
    result = proof_root(reader, kept.size, &root);
    if (result != 0 && result != -ENOENT && result != -EBADMSG &&
        result != -EFBIG) {
        trail_problem_set(&verify->report->problem, "%s",
                          trail_reader_problem(reader));
        return result;
    }
    if (result != 0 || !merkle_equal(&root, &kept.root)) {
        verify_found(verify, VERIFY_REPLACED, UINT64_MAX,
                     "the trail was replaced: its first %llu entries are not "
                     "those of the checkpoint kept elsewhere",
                     (unsigned long long) kept.size);
    }
    return 0;
}

/* ---- The partial bundle and the journal: in the calling thread -------------*/

typedef struct {
    verify_t *verify;
    void *state;
    uint64_t first; /* of the range in hand */
    uint64_t count;
} tail_t;

static int
tail_join(tail_t *tail)
{
    const verify_hook_t *hook = tail->verify->options->hook;
    int result = 0;

    if (tail->count > 0 && hook != NULL && hook->join != NULL) {
        result = hook->join(hook->argument, tail->state, tail->first,
                            tail->count);
        if (result > 0) {
            tail->verify->report->gaps += (uint64_t) result;
            result = 0;
        }
    }
    tail->first += tail->count;
    tail->count = 0;
    if (tail->state != NULL) {
        memset(tail->state, 0, hook->state_bytes);
    }
    return result;
}

static int
tail_entry(tail_t *tail, slice_t entry)
{
    const verify_hook_t *hook = tail->verify->options->hook;
    int result = 0;

    if (hook != NULL && hook->entry != NULL) {
        result = hook->entry(hook->argument, tail->state,
                             tail->first + tail->count, entry);
        if (result > 0) {
            tail->verify->report->gaps += (uint64_t) result;
            result = 0;
        }
    }
    if (result == 0 && ++tail->count == VERIFY_RANGE) {
        result = tail_join(tail);
    }
    return result;
}

static int
tail_payload(tail_t *tail, slice_t rest, uint64_t skip)
{
    slice_t entry;
    int result = 0;

    while (result == 0 && tile_entry_next(&rest, &entry)) {
        if (skip > 0) {
            skip--;
            continue;
        }
        result = tail_entry(tail, entry);
    }
    return result;
}

static void
tell_torn(verify_t *verify, const journal_reader_t *reader,
          const journal_place_t *place)
{
    verify->report->torn_bytes = reader->torn_bytes;
    (void) snprintf(verify->report->torn_place,
                    sizeof(verify->report->torn_place), "journal/%u at byte %u",
                    (unsigned) (place->generation % reader->shape.segments),
                    place->offset);
}

static void
tell_gone(verify_t *verify, const journal_place_t *place)
{
    verify_found(verify, VERIFY_JOURNAL, verify->size,
                 "the trail was rolled back, or its end removed: the "
                 "checkpoint covers %llu entries, the journal begins at entry "
                 "%llu",
                 (unsigned long long) verify->size,
                 (unsigned long long) place->index);
}

/* A batch that is not whole, or is not there, and whole ones follow. */
static void
tell_changed(verify_t *verify, const journal_reader_t *reader,
             const journal_place_t *place, journal_result_t found, int later)
{
    unsigned files = reader->shape.segments;
    unsigned file = (unsigned) (place->generation % files);

    if (later == 2 && found == JOURNAL_END) {
        verify_found(verify, VERIFY_JOURNAL, place->index,
                     "journal/%u: its header was changed, or the batch at byte "
                     "%u of journal/%u (entry %llu): whole batches follow",
                     (file + 1) % files, place->offset, file,
                     (unsigned long long) place->index);
        return;
    }
    verify_found(verify, VERIFY_JOURNAL, place->index,
                 "journal/%u: the batch at byte %u (entry %llu) was changed: "
                 "whole batches follow it",
                 file, place->offset, (unsigned long long) place->index);
}

/* The entries of a batch that the checkpoint does not cover. */
static int
read_batch(verify_t *verify, const journal_batch_t *batch, tail_t *tail)
{
    uint64_t skip = batch->place.index < verify->size
                        ? verify->size - batch->place.index
                        : 0;
    int result = tail_payload(tail, batch->payload, skip);

    if (result == 0) {
        verify->report->unsealed += batch->entries - skip;
    }
    return result;
}

/* Entries of the journal from the checkpoint's size on. */
static int
read_journal(verify_t *verify, journal_reader_t *reader, tail_t *tail)
{
    const struct timespec moment = {0, 1000 * 1000};
    journal_place_t place;
    journal_batch_t batch;
    journal_result_t found = journal_find(reader, verify->size, &place);
    unsigned tries = 0;
    int later = 0;

    while (found != JOURNAL_FAILED && found != JOURNAL_GONE) {
        bool suspected = later != 0;

        found = journal_next(reader, &place, &batch);
        if (found == JOURNAL_BATCH) {
            int result = read_batch(verify, &batch, tail);

            if (result != 0) {
                return result;
            }
            later = 0;
            tries = 0;
            continue;
        }
        /* a live writer may be at it just now */
        if (found == JOURNAL_TORN && tries < TORN_TRIES) {
            (void) nanosleep(&moment, NULL);
            tries++;
            continue;
        }
        if (found == JOURNAL_FAILED || found == JOURNAL_GONE) {
            break;
        }
        later = found == JOURNAL_BROKEN
                    ? 1
                    : journal_later(reader, &place, verify->size);
        /* a live writer may have ended this batch, and written those that
         * follow, after it was read: it is read once more */
        if (later == 0 || suspected) {
            break;
        }
    }
    switch (found) {
    case JOURNAL_FAILED:
        trail_problem_set(&verify->report->problem, "journal: %s",
                          strerror(-reader->error));
        return reader->error;
    case JOURNAL_GONE:
        /* perhaps a live writer was faster */
        return place.index > verify->size ? -EAGAIN : 0;
    default:
        break;
    }
    if (later != 0) {
        tell_changed(verify, reader, &place, found, later);
    } else if (found == JOURNAL_TORN) {
        tell_torn(verify, reader, &place);
    }
    return 0;
}

static int
verify_tail(verify_t *verify, trail_reader_t *reader)
{
    const verify_hook_t *hook = verify->options->hook;
    _cleanup_(journal_reader_close) journal_reader_t journal;
    _cleanup_(cleanup_free) void *state = NULL;
    tail_t tail = {verify, NULL, 0, 0};
    trail_problem_t problem;
    journal_place_t place;
    int result;

    memset(&journal, 0, sizeof(journal));
    if (hook != NULL && hook->state_bytes > 0) {
        state = calloc(1, hook->state_bytes);
        if (state == NULL) {
            return -ENOMEM;
        }
    }
    tail.state = state;
    tail.first = verify->size - verify->size % TILE_WIDTH;
    if (verify->edge_good) {
        result = tail_payload(&tail,
                              (slice_t){(const char *) verify->edge.bundle,
                                        verify->edge.bundle_size},
                              0);
        if (result != 0) {
            return result;
        }
        verify->report->bytes += verify->edge.bundle_size;
    }
    result = journal_reader_open(&journal, verify->folder, &problem);
    if (result == -ENOENT) {
        verify->report->journal_missing = true;
        return tail_join(&tail);
    }
    if (result == -EBADMSG) {
        verify_found(verify, VERIFY_JOURNAL, verify->size, "%.300s",
                     problem.text);
        return tail_join(&tail);
    }
    if (result != 0) {
        verify->report->problem = problem;
    }
    if (result == 0) {
        result = read_journal(verify, &journal, &tail);
    }
    if (result == -EAGAIN) {
        result = 0;
        /* A live writer has sealed those meanwhile: this report is of our
         * checkpoint.  Otherwise they are nowhere. */
        (void) journal_find(&journal, verify->size, &place);
        if (trail_reader_refresh(reader) != 0 ||
            trail_reader_checkpoint(reader)->size < place.index)
        {
            tell_gone(verify, &place);
        }
    }
    return result != 0 ? result : tail_join(&tail);
}

static void
conclude(verify_report_t *report)
{
    if (report->findings_count > 0) {
        report->result = VERIFY_TAMPERED;
    } else if (report->gaps > 0) {
        report->result = VERIFY_GAP;
    } else if (report->unsealed > 0 || report->torn_place[0] != '\0') {
        report->result = VERIFY_UNSEALED;
    } else {
        report->result = VERIFY_OK;
    }
}

static int
verify_all(verify_t *verify, trail_reader_t *reader)
{
    const verify_options_t *options = verify->options;
    unsigned threads = options->threads;
    size_t i;
    int result = take_edge(verify, reader);

    if (threads == 0) {
        long processors = sysconf(_SC_NPROCESSORS_ONLN);

        threads = processors < 1 ? 1 : (unsigned) processors;
    }
    if (threads > VERIFY_THREADS_MAX) {
        threads = VERIFY_THREADS_MAX;
    }
    if (result == 0) {
        result = verify_ranges(verify, threads);
    }
    for (i = 0; i < options->kept_count && result == 0; i++) {
        result = check_kept(verify, reader, options->kept[i]);
    }
    if (result == 0) {
        result = verify_tail(verify, reader);
    }
    if (result == 0 && verify->hasher.failed) {
        result = -EIO;
    }
    return result;
}

int
trail_verify(const char *folder, const verify_options_t *options,
             verify_report_t *report)
{
    trail_reader_t *reader = NULL;
    verify_t *verify;
    store_t store = {-1, NULL, NULL};
    int result;

    memset(report, 0, sizeof(*report));
    verify = calloc(1, sizeof(*verify));
    if (verify == NULL || options->kept_count > VERIFY_KEPT_MAX) {
        free(verify);
        return verify == NULL ? -ENOMEM : -EINVAL;
    }
    verify->options = options;
    verify->report = report;
    /* with default attributes these cannot fail on Linux */
    (void) pthread_mutex_init(&verify->mutex, NULL);
    (void) pthread_cond_init(&verify->joined_more, NULL);
    result = store_open(&store, folder, NULL, NULL);
    if (result != 0) {
        trail_problem_set(&report->problem, "%s: %s", folder,
                          strerror(-result));
    }
    verify->folder = store.folder;
    if (result == 0) {
        result = merkle_hasher_init(&verify->hasher);
    }
    if (result == 0) {
        result = edge_init(&verify->edge);
    }
    if (result == 0) {
        result = trail_reader_open(folder, options->keys, options->keys_count,
                                   &reader, &report->problem);
        if (result == -EBADMSG || result == -ENOKEY || result == -EFBIG) {
            verify_found(verify, VERIFY_CHECKPOINT, UINT64_MAX, "%.300s",
                         report->problem.text);
        }
    }
    if (result == 0) {
        result = verify_all(verify, reader);
    }
    if (result == 0 || report->findings_count > 0) {
        conclude(report);
        result = 0;
    }
    if (result != 0 && report->problem.text[0] == '\0') {
        trail_problem_set(&report->problem, "%s", strerror(-result));
    }
    trail_reader_free(reader);
    edge_free(&verify->edge);
    merkle_hasher_free(&verify->hasher);
    store_close(&store);
    (void) pthread_mutex_destroy(&verify->mutex);
    (void) pthread_cond_destroy(&verify->joined_more);
    free(verify);
    return result;
}
