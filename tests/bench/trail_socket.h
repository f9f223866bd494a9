/* The way to disk through sekishod's socket, as front ends go it. */

#ifndef SEKISHO_BENCH_TRAIL_SOCKET_H
#define SEKISHO_BENCH_TRAIL_SOCKET_H

#include <stdbool.h>

#define SOCKET_PRODUCERS 4

typedef struct {
    double records;                /* durable, per second, of all producers */
    double line;                   /* bytes of an entry */
    double daemon_us, producer_us; /* of CPU time, per record */
    double index_us;               /* … of the child that fills audit.db */
    /* one record at a time with pauses, microseconds; `bare` is a pwrite and
     * fdatasync of the same size, in turn with them, beside the trail */
    double ack50, ack99, bare50, bare99;
    /* the commands, as people run them, on the trail that came out of it */
    double verify; /* sekisho audit verify: records per second */
    double search; /* sekisho audit search: GB of entries per second */
} socket_figures_t;

/*
 * Starts `bin`/sekishod on a new trail in `folder`, which it leaves there, and
 * measures; then `bin`/sekisho on that trail.  False with a reason on stderr.
 */
bool bench_socket(const char *folder, const char *bin,
                  unsigned producer_records, unsigned singles,
                  socket_figures_t *figures);

#endif
