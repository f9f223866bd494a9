#define _GNU_SOURCE
#include "journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/wipe.h"
#include "journal_internal.h"
#include "tile.h"

static void
segment_path(uint32_t file, const char *folder, char path[24])
{
    (void) snprintf(path, 24, "%s/%u", folder, file);
}

static int
write_zeros(int fd, uint64_t from, uint64_t to)
{
    char zeros[4096] = {0};
    int result = 0;

    while (from < to && result == 0) {
        size_t size = to - from < sizeof(zeros) ? (size_t) (to - from)
                                                : sizeof(zeros);

        result = store_pwrite(fd, (slice_t){zeros, size}, from);
        from += size;
    }
    return result;
}

/* One file of the ring, all of it really written: fallocate() alone leaves
 * extents whose first write changes metadata, which fdatasync would wait for. */
static int
create_segment(const store_t *store, const char *path,
               const journal_shape_t *shape, const uint8_t *header)
{
    int fd, result = store_step(store, "allocate", path);

    if (result != 0) {
        return result;
    }
    fd = openat(store->folder, path,
                O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
                STORE_FILE_MODE);
    if (fd < 0) {
        return -errno;
    }
    result = -posix_fallocate(fd, 0, (off_t) shape->segment_bytes);
    if (result == 0) {
        result = write_zeros(fd, 0, shape->segment_bytes);
    }
    if (result == 0 && header != NULL) {
        result = store_pwrite(
            fd, (slice_t){(const char *) header, JOURNAL_HEADER_SIZE}, 0);
    }
    if (result == 0 && fsync(fd) < 0) {
        result = -errno;
    }
    if (close(fd) < 0 && result == 0) {
        result = -errno;
    }
    if (result == 0) {
        (void) store_step(store, "synced", path);
    }
    return result;
}

static int
create_segments(const store_t *store, const journal_shape_t *shape,
                uint8_t headers[2][JOURNAL_HEADER_SIZE])
{
    uint32_t i;
    int result = 0;

    for (i = 0; i < shape->segments && result == 0; i++) {
        char path[24];

        segment_path(i, "journal.new", path);
        /* Generation 0 stays empty.  It is there so that a ring whose first
         * used file was cut within its header still tells its shape. */
        result = create_segment(store, path, shape, i < 2 ? headers[i] : NULL);
    }
    if (result == 0) {
        result = store_sync_folder(store, "journal.new");
    }
    return result;
}

int
journal_create(const store_t *store, const journal_shape_t *shape,
               uint64_t size)
{
    journal_segment_t segment = {0, 1, size, {0}, *shape};
    uint8_t headers[2][JOURNAL_HEADER_SIZE];
    merkle_hasher_t hasher;
    uint32_t i;
    int result;

    if (shape->segments < JOURNAL_SEGMENTS_MIN ||
        shape->segments > JOURNAL_SEGMENTS_MAX ||
        shape->segment_bytes < JOURNAL_SEGMENT_MIN ||
        shape->segment_bytes > JOURNAL_SEGMENT_MAX ||
        shape->segment_bytes % 4096 != 0)
    {
        return -EINVAL;
    }
    if (faccessat(store->folder, "journal", F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
        return -EEXIST;
    }
    result = merkle_hasher_init(&hasher);
    if (result == 0) {
        journal_segment_put(&hasher, &segment, headers[0]);
        segment.generation = 1;
        journal_segment_put(&hasher, &segment, headers[1]);
        if (hasher.failed) {
            result = -EIO;
        }
    }
    merkle_hasher_free(&hasher);
    if (result != 0) {
        return result;
    }
    if (mkdirat(store->folder, "journal.new", STORE_FOLDER_MODE) < 0 &&
        errno != EEXIST)
    {
        return -errno;
    }
    result = create_segments(store, shape, headers);
    if (result == 0) {
        result = store_step(store, "rename", "journal");
    }
    if (result == 0 &&
        renameat(store->folder, "journal.new", store->folder, "journal") < 0)
    {
        result = -errno;
    }
    if (result == 0) {
        return store_sync_folder(store, ".");
    }
    for (i = 0; i < shape->segments; i++) {
        char path[24];

        segment_path(i, "journal.new", path);
        (void) unlinkat(store->folder, path, 0);
    }
    (void) unlinkat(store->folder, "journal.new", AT_REMOVEDIR);
    return result;
}

/* Overwrites what is behind the end, so that no leftover of a cut batch can
 * ever be read again, and gives a shortened file its size back. */
static int
cut_segment(journal_t *journal, uint32_t file, uint64_t from)
{
    int result = write_zeros(journal->files[file], from,
                             journal->shape.segment_bytes);

    if (result == 0 && fsync(journal->files[file]) < 0) {
        result = -errno;
    }
    return result;
}

/* Files that were shortened where nothing is in them that is needed. */
static int
restore_sizes(journal_t *journal, journal_cut_t *cut)
{
    uint32_t i;

    for (i = 0; i < journal->shape.segments; i++) {
        struct stat st;
        int result;

        if (fstat(journal->files[i], &st) < 0) {
            return -errno;
        }
        if (st.st_size >= journal->shape.segment_bytes) {
            continue;
        }
        if (!cut->found) {
            cut->found = true;
            segment_path(i, "journal", cut->path);
            cut->offset = (uint64_t) st.st_size;
        }
        cut->missing += journal->shape.segment_bytes - (uint64_t) st.st_size;
        result = cut_segment(journal, i, (uint64_t) st.st_size);
        if (result != 0) {
            return result;
        }
    }
    return 0;
}

/* Follows the batches from the first unsealed one to the end. */
static int
find_end(journal_t *journal, journal_reader_t *reader, uint64_t sealed,
         journal_place_t *start, journal_cut_t *cut, trail_problem_t *problem)
{
    journal_place_t place;
    journal_batch_t batch;
    journal_result_t result = journal_find(reader, sealed, &place);
    uint32_t file;

    *start = place;
    while (result == JOURNAL_BATCH) {
        result = journal_next(reader, &place, &batch);
    }
    file = (uint32_t) (place.generation % reader->shape.segments);
    if (result == JOURNAL_FAILED) {
        trail_problem_set(problem, "journal/%u: %s", file,
                          strerror(-reader->error));
        return reader->error;
    }
    if (result == JOURNAL_GONE) {
        trail_problem_set(
            problem,
            "journal/%u: it begins at entry %llu, but the checkpoint ends at "
            "%llu: tiles or checkpoint are older than the journal; restore "
            "the newest copy of the whole folder",
            file, (unsigned long long) place.index,
            (unsigned long long) sealed);
        return -EBADMSG;
    }
    if (result == JOURNAL_BROKEN || journal_later(reader, &place, sealed)) {
        trail_problem_set(
            problem,
            "journal/%u: the batch at byte %u (entry %llu) is damaged and "
            "later batches follow: the disk or somebody changed it; restore "
            "this file, or set the folder aside and begin a new trail",
            file, place.offset, (unsigned long long) place.index);
        return -EBADMSG;
    }
    if (result == JOURNAL_TORN) {
        struct stat st;

        if (fstat(journal->files[file], &st) < 0) {
            return -errno;
        }
        cut->found = true;
        segment_path(file, "journal", cut->path);
        cut->offset = place.offset;
        cut->bytes = reader->torn_bytes;
    }
    journal->end = place;
    return 0;
}

static int
open_files(journal_t *journal, const store_t *store)
{
    uint32_t i;

    for (i = 0; i < journal->shape.segments; i++) {
        char path[24];

        segment_path(i, "journal", path);
        journal->files[i] = openat(store->folder, path,
                                   O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        if (journal->files[i] < 0) {
            return -errno;
        }
    }
    return 0;
}

/* Which generations are still needed, and where each begins. */
static int
find_oldest(journal_t *journal, uint64_t first)
{
    uint64_t generation;

    journal->oldest = first;
    for (generation = first; generation <= journal->end.generation;
         generation++) {
        uint32_t file = (uint32_t) (generation % journal->shape.segments);
        journal_segment_t segment;
        int result = journal_segment_read(&journal->hasher,
                                          journal->files[file], &segment);

        if (result != 1) {
            return result < 0 ? result : -EBADMSG;
        }
        journal->starts[file] = segment.index;
    }
    return 0;
}

static int
open_at(journal_t *journal, journal_reader_t *reader, uint64_t sealed,
        journal_place_t *start, journal_cut_t *cut, trail_problem_t *problem)
{
    int result = find_end(journal, reader, sealed, start, cut, problem);

    if (result != 0) {
        return result;
    }
    result = restore_sizes(journal, cut);
    if (result == 0 && cut->found) {
        uint32_t file = (uint32_t) (journal->end.generation %
                                    journal->shape.segments);

        result = cut_segment(journal, file, journal->end.offset);
    }
    if (result == 0) {
        result = find_oldest(journal, start->generation);
    }
    if (result != 0) {
        trail_problem_set(problem, "journal: %s", strerror(-result));
        return result;
    }
    if (journal->end.index < sealed) {
        /* batches that the checkpoint covers are gone from the end: go on in
         * a new segment, which can say where it begins */
        journal->end.index = sealed;
        journal->next_segment = true;
    }
    journal_release(journal, sealed);
    return 0;
}

int
journal_open(journal_t *journal, const store_t *store, uint64_t sealed,
             uint32_t reserve_bytes, journal_place_t *start, journal_cut_t *cut,
             trail_problem_t *problem)
{
    journal_reader_t reader;
    uint32_t i;
    int result;

    memset(journal, 0, sizeof(*journal));
    memset(cut, 0, sizeof(*cut));
    journal->store = store;
    journal->reserve_bytes = reserve_bytes;
    for (i = 0; i < JOURNAL_SEGMENTS_MAX; i++) {
        journal->files[i] = -1;
    }
    result = merkle_hasher_init(&journal->hasher);
    if (result != 0) {
        return result;
    }
    result = journal_reader_open(&reader, store->folder, problem);
    if (result == 0) {
        journal->shape = reader.shape;
        journal->buffer = malloc(journal->shape.segment_bytes);
        result = journal->buffer == NULL ? -ENOMEM : open_files(journal, store);
    }
    if (result == 0) {
        result = open_at(journal, &reader, sealed, start, cut, problem);
    }
    journal_reader_close(&reader);
    return result;
}

void
journal_close(journal_t *journal)
{
    uint32_t i;

    for (i = 0; i < journal->shape.segments; i++) {
        if (journal->files[i] >= 0) {
            (void) close(journal->files[i]);
        }
    }
    merkle_hasher_free(&journal->hasher);
    free(journal->buffer);
    memset(journal, 0, sizeof(*journal));
}

uint32_t
journal_batch_max(const journal_t *journal)
{
    return journal->shape.segment_bytes - 2 * JOURNAL_HEADER_SIZE;
}

/* Segments that a new generation may still take. */
static uint64_t
free_segments(const journal_t *journal)
{
    return journal->shape.segments -
           (journal->end.generation - journal->oldest + 1);
}

static bool
fits_here(const journal_t *journal, size_t bytes)
{
    return !journal->next_segment &&
           journal_batch_bytes(bytes) <=
               journal->shape.segment_bytes - journal->end.offset;
}

bool
journal_room(const journal_t *journal, size_t bytes, bool privileged)
{
    uint64_t segment = journal->shape.segment_bytes;
    uint64_t free = free_segments(journal), left;

    if (bytes > journal_batch_max(journal)) {
        return false;
    }
    if (fits_here(journal, bytes)) {
        left = segment - journal->end.offset;
    } else if (free == 0) {
        return false;
    } else {
        free--;
        left = segment - JOURNAL_HEADER_SIZE;
    }
    left -= journal_batch_bytes(bytes);
    return privileged || left + free * segment >= journal->reserve_bytes;
}

uint64_t
journal_used(const journal_t *journal)
{
    return (journal->end.generation - journal->oldest) *
               journal->shape.segment_bytes +
           journal->end.offset;
}

void
journal_release(journal_t *journal, uint64_t sealed)
{
    while (journal->oldest < journal->end.generation &&
           journal->starts[(journal->oldest + 1) % journal->shape.segments] <=
               sealed)
    {
        journal->oldest++;
    }
}

/* Puts leaf hashes and payload behind the two headers' room; returns the
 * payload's size, or 0 if it is all too large. */
static size_t
gather(journal_t *journal, const slice_t *entries, size_t count)
{
    size_t max = journal_batch_max(journal), used = 0, i;
    uint8_t *at = journal->buffer + (size_t) JOURNAL_HEADER_SIZE * 2;
    merkle_hash_t *leaves = (merkle_hash_t *) at;

    if (count > max / JOURNAL_ENTRY_OVERHEAD) {
        return 0;
    }
    max -= count * MERKLE_HASH_SIZE;
    at += count * MERKLE_HASH_SIZE;
    for (i = 0; i < count; i++) {
        if (entries[i].size > TRAIL_ENTRY_MAX ||
            max - used < 2 + entries[i].size) {
            return 0;
        }
        used += tile_entry_put(entries[i], at + used);
    }
    merkle_leaves(&journal->hasher, entries, count, leaves);
    return used;
}

int
journal_append(journal_t *journal, const slice_t *entries, size_t count,
               bool privileged, uint64_t *first)
{
    uint8_t *bytes = journal->buffer;
    journal_place_t place = journal->end;
    uint8_t check[JOURNAL_CHECK_SIZE];
    size_t payload, body, size;
    slice_t data;
    uint32_t file;
    char path[24];
    bool fresh;
    int result;

    if (count == 0 || count > UINT32_MAX ||
        place.index > INT64_MAX - (uint64_t) count)
    {
        return -EINVAL;
    }
    payload = gather(journal, entries, count);
    if (payload == 0) {
        return -EMSGSIZE;
    }
    body = count * MERKLE_HASH_SIZE + payload;
    if (!journal_room(journal, body, privileged)) {
        return -EAGAIN;
    }
    fresh = !fits_here(journal, body);
    size = journal_batch_bytes(body);
    memset(bytes + (size_t) 2 * JOURNAL_HEADER_SIZE + body, 0,
           size - JOURNAL_HEADER_SIZE - body);
    if (fresh) {
        journal_segment_t segment = {place.generation + 1,
                                     place.sequence,
                                     place.index,
                                     {0},
                                     journal->shape};

        memcpy(segment.previous, place.previous, JOURNAL_CHECK_SIZE);
        journal_segment_put(&journal->hasher, &segment, bytes);
        place.generation++;
        place.offset = JOURNAL_HEADER_SIZE;
    }
    journal_batch_put(&journal->hasher, &place, (uint32_t) count,
                      (uint32_t) payload, bytes + JOURNAL_HEADER_SIZE, check);
    if (journal->hasher.failed) {
        return -EIO;
    }
    file = (uint32_t) (place.generation % journal->shape.segments);
    segment_path(file, "journal", path);
    data = fresh ? (slice_t){(char *) bytes, JOURNAL_HEADER_SIZE + size}
                 : (slice_t){(char *) bytes + JOURNAL_HEADER_SIZE, size};
    result = store_step(journal->store, "append", path);
    if (result == 0) {
        result = store_pwrite(journal->files[file], data,
                              fresh ? 0 : place.offset);
    }
    if (result == 0) {
        result = store_step(journal->store, "sync", path);
    }
    if (result == 0 && fdatasync(journal->files[file]) < 0) {
        result = -errno;
    }
    if (result != 0) {
        return result;
    }
    (void) store_step(journal->store, "synced", path);
    *first = place.index;
    if (fresh) {
        journal->starts[file] = place.index;
        journal->next_segment = false;
    }
    place.sequence++;
    place.index += count;
    place.offset += (uint32_t) size;
    memcpy(place.previous, check, JOURNAL_CHECK_SIZE);
    journal->end = place;
    return 0;
}
