/*
 * An access is one line in the answers for people: its opening, with what its
 * close says.  Records of the trail go in, in its order; lines come out, in the
 * same order.
 */

#ifndef SEKISHO_AUDIT_ACCESS_H
#define SEKISHO_AUDIT_ACCESS_H

#include "audit_index.h"

typedef struct accesses_s accesses_t;

/*
 * For one answer.  What is given must outlive it; `index` may be NULL and only
 * saves reading.  Errors are told, here and below: STATUS_OK or STATUS_ERROR.
 * accesses_free() in any case, which prints nothing.
 */
int accesses_make(const char *command, const place_t *place, printer_t *printer,
                  review_index_t *index, accesses_t **accesses);
void accesses_free(accesses_t *accesses); /* NULL is fine */

/*
 * Takes a record that matches.  *line: it is a line of the answer, printed now
 * or later; false for the close of an access that is one.
 */
int accesses_take(accesses_t *accesses, uint64_t number, slice_t entry,
                  const record_t *record, bool *line);

/* Passes a record that does not match: it may be the close that an access of
 * the answer waits for. */
int accesses_pass(accesses_t *accesses, uint64_t number, slice_t entry);

/* All entries before this one, as far as they were to be looked at without an
 * index, were given to the two above. */
void accesses_seen(accesses_t *accesses, uint64_t number);

/*
 * Prints what still waits, after looking for its closes in the rest of the
 * trail.  *size grows to the size of the trail at which the answer holds.
 */
int accesses_end(accesses_t *accesses, uint64_t *size);

/* ---- Closes that were found ahead of their time (audit_later.c) ---------- */

/* Numbers of entries, a heap: the least is first.  Zeroed is the empty one. */
typedef struct {
    uint64_t *numbers;
    size_t count, capacity;
} later_t;

void later_free(later_t *later);
/* False when out of memory.  Of more than a million the last is forgotten. */
bool later_add(later_t *later, uint64_t number);
/* Whether it was added.  Asked about ascending numbers, lower ones go. */
bool later_is(later_t *later, uint64_t number);

#endif
