/*
 * What all parts of the trail share: its limits, what went wrong in words, and
 * the folder's layout.
 *
 *   checkpoint              the last signed checkpoint (a signed note)
 *   tile/<L>/<N>[.p/<W>]    hashes, C2SP tlog-tiles
 *   tile/entries/<N>[.p/…]  entries
 *   journal/<K>             the write-ahead ring (journal.h)
 *   lock                    held by the one writer
 */

#ifndef SEKISHO_TRAIL_TRAIL_H
#define SEKISHO_TRAIL_TRAIL_H

#include <stddef.h>
#include <stdint.h>

/* Of one entry, bytes: the length in a bundle is a uint16. */
#define TRAIL_ENTRY_MAX 65535

/* An error in words: what is wrong, where, and what to do.  One line. */
typedef struct {
    char text[640];
} trail_problem_t;

/* printf into it; `problem` may be NULL. */
void trail_problem_set(trail_problem_t *problem, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
