/* The bytes of the journal, for its reader and its writer. */

#ifndef SEKISHO_TRAIL_JOURNAL_INTERNAL_H
#define SEKISHO_TRAIL_JOURNAL_INTERNAL_H

#include "journal.h"

typedef struct {
    uint64_t generation;
    uint64_t sequence;
    uint64_t index;
    uint8_t previous[JOURNAL_CHECK_SIZE];
    journal_shape_t shape;
} journal_segment_t;

void journal_segment_put(merkle_hasher_t *hasher,
                         const journal_segment_t *segment,
                         uint8_t bytes[JOURNAL_HEADER_SIZE]);
bool journal_segment_get(merkle_hasher_t *hasher,
                         const uint8_t bytes[JOURNAL_HEADER_SIZE],
                         journal_segment_t *segment);

/* Fills a batch's header in front of its leaf hashes; `check` comes back. */
void journal_batch_put(merkle_hasher_t *hasher, const journal_place_t *place,
                       uint32_t entries, uint32_t payload,
                       uint8_t header[JOURNAL_HEADER_SIZE],
                       uint8_t check[JOURNAL_CHECK_SIZE]);

/* Reads the header of a ring's file: 1 valid, 0 not, or negative errno. */
int journal_segment_read(merkle_hasher_t *hasher, int fd,
                         journal_segment_t *segment);

/* Bytes of a batch in its segment: of its leaf hashes and payload. */
static inline size_t
journal_batch_bytes(size_t body)
{
    return JOURNAL_HEADER_SIZE + (body + 7) / 8 * 8;
}

#define JOURNAL_SEGMENT_MAGIC "SKJSEG\xff\1"
#define JOURNAL_BATCH_MAGIC   "\xffSKJ\0\1\r\n"

#endif
