/* Accesses that wait for their close, by the id of their opening; for this
 * folder only. */

#ifndef SEKISHO_REVIEW_INDEX_OPENINGS_H
#define SEKISHO_REVIEW_INDEX_OPENINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OPENING_ID_SIZE 16

/*
 * The daemon knows at most 200,000 open ones and closes the oldest beyond that;
 * a trail without closes must not fill the memory.  Where more wait, the older
 * half is forgotten: their closes become rows of their own.
 */
#define OPENINGS_WAITING_MAX ((size_t) 1 << 20)

typedef struct {
    uint8_t id[OPENING_ID_SIZE];
    uint64_t number;         /* of the opening entry */
    uint32_t patient, study; /* words; 0: not said */
    uint32_t others;         /* a hash of its other words */
    bool used;
} waiting_t;

typedef struct {
    waiting_t *slots;
    size_t mask; /* slots - 1 */
    size_t count;
} waiting_table_t;

/* Zeroed is the empty table. */
void waiting_free(waiting_table_t *table);
/* False: out of memory.  An id that is there already stays as it is. */
bool waiting_add(waiting_table_t *table, const waiting_t *opening);
waiting_t *waiting_find(const waiting_table_t *table,
                        const uint8_t id[OPENING_ID_SIZE]);
/* Takes out what waiting_find() gave. */
void waiting_remove(waiting_table_t *table, waiting_t *opening);

#endif
