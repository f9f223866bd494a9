#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/endian.h"
#include "journal_internal.h"
#include "tile.h"

#define SEGMENT_CHECKED 56
#define BATCH_CHECKED   48

void
journal_segment_put(merkle_hasher_t *hasher, const journal_segment_t *segment,
                    uint8_t bytes[JOURNAL_HEADER_SIZE])
{
    merkle_hash_t hash;

    memcpy(bytes, JOURNAL_SEGMENT_MAGIC, 8);
    store_le64(bytes + 8, segment->generation);
    store_le64(bytes + 16, segment->sequence);
    store_le64(bytes + 24, segment->index);
    memcpy(bytes + 32, segment->previous, JOURNAL_CHECK_SIZE);
    store_le32(bytes + 48, segment->shape.segment_bytes);
    store_le32(bytes + 52, segment->shape.segments);
    merkle_sha256(hasher, (slice_t){(char *) bytes, SEGMENT_CHECKED},
                  (slice_t){"", 0}, &hash);
    memcpy(bytes + 56, hash.bytes, 8);
}

bool
journal_segment_get(merkle_hasher_t *hasher,
                    const uint8_t bytes[JOURNAL_HEADER_SIZE],
                    journal_segment_t *segment)
{
    merkle_hash_t hash;

    if (memcmp(bytes, JOURNAL_SEGMENT_MAGIC, 8) != 0) {
        return false;
    }
    merkle_sha256(hasher, (slice_t){(const char *) bytes, SEGMENT_CHECKED},
                  (slice_t){"", 0}, &hash);
    if (hasher->failed || memcmp(bytes + 56, hash.bytes, 8) != 0) {
        return false;
    }
    segment->generation = load_le64(bytes + 8);
    segment->sequence = load_le64(bytes + 16);
    segment->index = load_le64(bytes + 24);
    memcpy(segment->previous, bytes + 32, JOURNAL_CHECK_SIZE);
    segment->shape.segment_bytes = load_le32(bytes + 48);
    segment->shape.segments = load_le32(bytes + 52);
    return segment->shape.segments >= JOURNAL_SEGMENTS_MIN &&
           segment->shape.segments <= JOURNAL_SEGMENTS_MAX &&
           segment->shape.segment_bytes >= JOURNAL_SEGMENT_MIN &&
           segment->shape.segment_bytes <= JOURNAL_SEGMENT_MAX &&
           segment->generation <= INT64_MAX && segment->sequence <= INT64_MAX &&
           segment->index <= INT64_MAX;
}

void
journal_batch_put(merkle_hasher_t *hasher, const journal_place_t *place,
                  uint32_t entries, uint32_t payload,
                  uint8_t header[JOURNAL_HEADER_SIZE],
                  uint8_t check[JOURNAL_CHECK_SIZE])
{
    merkle_hash_t hash;

    memcpy(header, JOURNAL_BATCH_MAGIC, 8);
    store_le64(header + 8, place->sequence);
    store_le64(header + 16, place->index);
    store_le32(header + 24, payload);
    store_le32(header + 28, entries);
    memcpy(header + 32, place->previous, JOURNAL_CHECK_SIZE);
    merkle_sha256(hasher, (slice_t){(char *) header, BATCH_CHECKED},
                  (slice_t){(char *) header + JOURNAL_HEADER_SIZE,
                            (size_t) entries * MERKLE_HASH_SIZE},
                  &hash);
    memcpy(header + 48, hash.bytes, JOURNAL_CHECK_SIZE);
    memcpy(check, hash.bytes, JOURNAL_CHECK_SIZE);
}

int
journal_segment_read(merkle_hasher_t *hasher, int fd,
                     journal_segment_t *segment)
{
    uint8_t bytes[JOURNAL_HEADER_SIZE];
    size_t got;
    int result = store_pread(fd, bytes, sizeof(bytes), 0, &got);

    if (result != 0) {
        return result;
    }
    return got == sizeof(bytes) && journal_segment_get(hasher, bytes, segment);
}

int
journal_reader_open(journal_reader_t *reader, int folder,
                    trail_problem_t *problem)
{
    journal_segment_t segment;
    uint32_t i, count = 0;
    bool known = false;
    int result;

    memset(reader, 0, sizeof(*reader));
    for (i = 0; i < JOURNAL_SEGMENTS_MAX; i++) {
        reader->files[i] = -1;
    }
    result = merkle_hasher_init(&reader->hasher);
    if (result != 0) {
        return result;
    }
    for (i = 0; i < JOURNAL_SEGMENTS_MAX; i++) {
        char path[24];

        (void) snprintf(path, sizeof(path), "journal/%u", i);
        reader->files[i] = openat(folder, path,
                                  O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (reader->files[i] < 0) {
            if (errno != ENOENT) {
                result = -errno;
                trail_problem_set(problem, "%s: %s", path, strerror(-result));
                return result;
            }
            continue;
        }
        count = i + 1;
        result = journal_segment_read(&reader->hasher, reader->files[i],
                                      &segment);
        if (result < 0) {
            trail_problem_set(problem, "%s: %s", path, strerror(-result));
            return result;
        }
        if (result == 1 && segment.generation % segment.shape.segments == i &&
            !known) {
            reader->shape = segment.shape;
            known = true;
        }
    }
    if (count == 0) {
        trail_problem_set(problem, "journal: the write-ahead files are "
                                   "missing: put them back");
        return -ENOENT;
    }
    if (!known) {
        trail_problem_set(problem,
                          "journal: no segment has a whole header: restore "
                          "the folder, or set it aside and accept the loss");
        return -EBADMSG;
    }
    for (i = 0; i < reader->shape.segments; i++) {
        if (reader->files[i] < 0) {
            trail_problem_set(problem,
                              "journal/%u is missing (of %u write-ahead "
                              "files): put it back",
                              i, reader->shape.segments);
            return -EBADMSG;
        }
    }
    reader->capacity = reader->shape.segment_bytes;
    reader->buffer = malloc(reader->capacity);
    return reader->buffer == NULL ? -ENOMEM : 0;
}

void
journal_reader_close(journal_reader_t *reader)
{
    uint32_t i;

    /* a zeroed reader was never opened: its zeros are no descriptors */
    if (reader->hasher.digest != NULL) {
        for (i = 0; i < JOURNAL_SEGMENTS_MAX; i++) {
            if (reader->files[i] >= 0) {
                (void) close(reader->files[i]);
            }
        }
    }
    merkle_hasher_free(&reader->hasher);
    free(reader->buffer);
    memset(reader, 0, sizeof(*reader));
}

static int
file_of(const journal_reader_t *reader, uint64_t generation)
{
    return reader->files[generation % reader->shape.segments];
}

/* The header of a generation: 1 it is there, 0 another one is, or negative. */
static int
generation_read(journal_reader_t *reader, uint64_t generation,
                journal_segment_t *segment)
{
    int result = journal_segment_read(&reader->hasher,
                                      file_of(reader, generation), segment);

    if (result == 1 &&
        segment->shape.segment_bytes != reader->shape.segment_bytes) {
        return 0;
    }
    return result == 1 ? segment->generation == generation : result;
}

/* The entries are those of the leaf hashes. */
static bool
payload_valid(merkle_hasher_t *hasher, const journal_batch_t *batch)
{
    slice_t rest = batch->payload, entry;
    uint32_t count = 0;

    while (count < batch->entries && tile_entry_next(&rest, &entry)) {
        merkle_hash_t leaf;

        merkle_leaf(hasher, entry, &leaf);
        if (!merkle_equal(&leaf, &batch->leaves[count])) {
            return false;
        }
        count++;
    }
    return rest.size == 0 && count == batch->entries;
}

/* Bytes behind the header, at most `max`; false if the numbers are nonsense. */
static bool
body_size(const uint8_t *header, size_t max, size_t *size)
{
    size_t payload = load_le32(header + 24), entries = load_le32(header + 28);

    if (payload > max || entries == 0 || entries > max / MERKLE_HASH_SIZE) {
        return false;
    }
    *size = entries * MERKLE_HASH_SIZE + payload;
    return *size <= max;
}

/* A batch whose bytes agree with its own check, wherever it belongs.  `body`
 * has as many bytes as body_size() says. */
static bool
batch_whole(merkle_hasher_t *hasher, const uint8_t *header, const uint8_t *body,
            bool trusting, journal_batch_t *batch)
{
    merkle_hash_t hash;
    size_t leaves;

    batch->entries = load_le32(header + 28);
    leaves = (size_t) batch->entries * MERKLE_HASH_SIZE;
    batch->leaves = (const merkle_hash_t *) body;
    batch->payload = (slice_t){(const char *) body + leaves,
                               load_le32(header + 24)};
    memcpy(batch->check, header + BATCH_CHECKED, JOURNAL_CHECK_SIZE);
    merkle_sha256(hasher, (slice_t){(const char *) header, BATCH_CHECKED},
                  (slice_t){(const char *) body, leaves}, &hash);
    return memcmp(hash.bytes, batch->check, JOURNAL_CHECK_SIZE) == 0 &&
           (trusting || payload_valid(hasher, batch)) && !hasher->failed;
}

/* It names the check of the batch before the place, if there is one. */
static bool
follows(const uint8_t *header, const journal_place_t *place)
{
    static const uint8_t none[JOURNAL_CHECK_SIZE] = {0};

    return memcmp(place->previous, none, JOURNAL_CHECK_SIZE) != 0 &&
           memcmp(header + 32, place->previous, JOURNAL_CHECK_SIZE) == 0;
}

/* What is at the place in this segment. */
static journal_result_t
batch_read(journal_reader_t *reader, const journal_place_t *place,
           journal_batch_t *batch)
{
    int fd = file_of(reader, place->generation);
    uint32_t end = reader->shape.segment_bytes;
    uint8_t header[JOURNAL_HEADER_SIZE];
    struct stat st;
    size_t got, size;

    reader->torn_bytes = 0;
    if (fstat(fd, &st) < 0) {
        reader->error = -errno;
        return JOURNAL_FAILED;
    }
    if ((uint64_t) st.st_size < place->offset) {
        return JOURNAL_TORN;
    }
    reader->error = store_pread(fd, header, sizeof(header), place->offset,
                                &got);
    if (reader->error != 0) {
        return JOURNAL_FAILED;
    }
    if (place->offset > end - JOURNAL_HEADER_SIZE && st.st_size >= end) {
        return JOURNAL_END;
    }
    if (got < sizeof(header)) {
        reader->torn_bytes = got;
        return JOURNAL_TORN;
    }
    /* leftovers of earlier turns do not name the batch before this place: a
     * header that does is damaged in its first bytes */
    if ((memcmp(header, JOURNAL_BATCH_MAGIC, 8) != 0 ||
         load_le64(header + 8) != place->sequence) &&
        !follows(header, place))
    {
        if (st.st_size < end) {
            reader->torn_bytes = (uint64_t) st.st_size - place->offset;
            return JOURNAL_TORN;
        }
        return JOURNAL_END;
    }
    reader->torn_bytes = JOURNAL_HEADER_SIZE;
    if (!body_size(header, end - JOURNAL_HEADER_SIZE - place->offset, &size)) {
        return JOURNAL_TORN;
    }
    reader->error = store_pread(fd, reader->buffer, size,
                                place->offset + JOURNAL_HEADER_SIZE, &got);
    if (reader->error != 0) {
        return JOURNAL_FAILED;
    }
    reader->torn_bytes += got;
    batch->place = *place;
    if (got < size || memcmp(header, JOURNAL_BATCH_MAGIC, 8) != 0 ||
        load_le64(header + 8) != place->sequence ||
        load_le64(header + 16) != place->index ||
        memcmp(header + 32, place->previous, JOURNAL_CHECK_SIZE) != 0 ||
        !batch_whole(&reader->hasher, header, reader->buffer, reader->trusting,
                     batch))
    {
        return JOURNAL_TORN;
    }
    return JOURNAL_BATCH;
}

journal_result_t
journal_next(journal_reader_t *reader, journal_place_t *place,
             journal_batch_t *batch)
{
    journal_segment_t segment;
    journal_result_t result;
    int next = generation_read(reader, place->generation + 1, &segment);

    if (next < 0) {
        reader->error = next;
        return JOURNAL_FAILED;
    }
    /* Before what stands here: an append that failed may have left a batch
     * behind that was never acknowledged, while the next one went on there. */
    if (next == 1 && segment.sequence == place->sequence) {
        if (segment.index != place->index ||
            memcmp(segment.previous, place->previous, JOURNAL_CHECK_SIZE) != 0)
        {
            return JOURNAL_BROKEN;
        }
        place->generation++;
        place->offset = JOURNAL_HEADER_SIZE;
    }
    result = batch_read(reader, place, batch);
    if ((result == JOURNAL_END || result == JOURNAL_TORN) && next == 1 &&
        segment.generation > place->generation)
    {
        result = JOURNAL_BROKEN; /* it went on elsewhere, later than this */
    }
    if (result == JOURNAL_BATCH) {
        place->sequence++;
        place->index += batch->entries;
        place->offset += (uint32_t) journal_batch_bytes(
            batch->entries * (size_t) MERKLE_HASH_SIZE + batch->payload.size);
        memcpy(place->previous, batch->check, JOURNAL_CHECK_SIZE);
    }
    if (result == JOURNAL_FAILED) {
        return result;
    }
    /* the ring may have come round while this was read */
    next = generation_read(reader, place->generation, &segment);
    if (next < 0) {
        reader->error = next;
        return JOURNAL_FAILED;
    }
    return next == 0 ? JOURNAL_GONE : result;
}

journal_result_t
journal_find(journal_reader_t *reader, uint64_t index, journal_place_t *place)
{
    journal_segment_t segment, start;
    uint64_t newest = 0, generation;
    bool any = false;
    uint32_t i;
    int result;

    memset(place, 0, sizeof(*place));
    for (i = 0; i < reader->shape.segments; i++) {
        result = journal_segment_read(&reader->hasher, reader->files[i],
                                      &segment);
        if (result < 0) {
            reader->error = result;
            return JOURNAL_FAILED;
        }
        if (result == 1 && segment.generation % reader->shape.segments == i &&
            (!any || segment.generation > newest))
        {
            newest = segment.generation;
            start = segment;
            any = true;
        }
    }
    if (!any) {
        return JOURNAL_GONE;
    }
    for (generation = newest; start.index > index && generation > 0;) {
        generation--;
        result = generation_read(reader, generation, &segment);
        if (result < 0) {
            reader->error = result;
            return JOURNAL_FAILED;
        }
        if (result == 0) {
            break;
        }
        start = segment;
    }
    place->generation = start.generation;
    place->sequence = start.sequence;
    place->index = start.index;
    place->offset = JOURNAL_HEADER_SIZE;
    memcpy(place->previous, start.previous, JOURNAL_CHECK_SIZE);
    if (start.index > index) {
        return JOURNAL_GONE;
    }
    for (;;) {
        journal_place_t before = *place;
        journal_batch_t batch;
        journal_result_t found = journal_next(reader, place, &batch);

        if (found != JOURNAL_BATCH) {
            return found;
        }
        if (place->index > index) {
            /* where the batch really lies: perhaps a segment further */
            before.generation = batch.place.generation;
            before.offset = batch.place.offset;
            *place = before;
            return JOURNAL_BATCH;
        }
    }
}

/* Looks for whole batches not older than `sequence` in one file. */
static bool
later_in(journal_reader_t *reader, int fd, uint64_t offset, uint64_t sequence,
         uint64_t sealed)
{
    uint8_t *bytes = reader->buffer;
    size_t got, at;

    if (offset >= reader->capacity ||
        store_pread(fd, bytes, reader->capacity - offset, offset, &got) != 0)
    {
        return false;
    }
    for (at = 0; at + JOURNAL_HEADER_SIZE <= got; at += 8) {
        const uint8_t *header = bytes + at;
        journal_batch_t batch;
        uint64_t number;
        size_t size;

        if (memcmp(header, JOURNAL_BATCH_MAGIC, 8) != 0) {
            continue;
        }
        number = load_le64(header + 8);
        if (number >= sequence && number <= INT64_MAX &&
            load_le64(header + 16) + load_le32(header + 28) > sealed &&
            body_size(header, got - at - JOURNAL_HEADER_SIZE, &size) &&
            batch_whole(&reader->hasher, header, header + JOURNAL_HEADER_SIZE,
                        false, &batch))
        {
            return true;
        }
    }
    return false;
}

int
journal_later(journal_reader_t *reader, const journal_place_t *place,
              uint64_t sealed)
{
    if (later_in(reader, file_of(reader, place->generation), place->offset + 8,
                 place->sequence, sealed))
    {
        return 1;
    }
    return later_in(reader, file_of(reader, place->generation + 1), 0,
                    place->sequence, sealed)
               ? 2
               : 0;
}
