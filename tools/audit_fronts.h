/* The front ends of a range of entries, and the numbers of their records. */

#ifndef SEKISHO_AUDIT_FRONTS_H
#define SEKISHO_AUDIT_FRONTS_H

#include <stdbool.h>
#include <stdint.h>

#define FRONT_SIZE 32 /* hexadecimal digits */

/* The numbers of one front end in a range, or in all ranges joined. */
typedef struct {
    char front[FRONT_SIZE];
    uint64_t first;        /* number of its first record; 0: no record yet */
    uint64_t first_before; /* numbers accounted for before that */
    uint64_t first_index;
    uint64_t last;
    uint64_t last_index;
    uint64_t gap;   /* told by gap records since the last record */
    uint64_t claim; /* the largest that a heartbeat counts */
    uint64_t claim_index;
} sequence_t;

/* All front ends of a range; grows. */
typedef struct fronts_s fronts_t;

struct fronts_s {
    fronts_t *next; /* of all that exist */
    sequence_t *sequences;
    uint32_t count;
    uint32_t capacity;
    uint32_t *slots;      /* index, or NO_SEQUENCE */
    uint32_t slots_count; /* a power of 2 */
    uint32_t recent;
};

fronts_t *fronts_new(void);         /* NULL when out of memory */
void fronts_free(fronts_t *fronts); /* NULL is fine */

/* The sequence of a front end (FRONT_SIZE digits), a new one if need be, until
 * the next call; NULL when out of memory. */
sequence_t *fronts_take(fronts_t *fronts, const char *front);

#endif
