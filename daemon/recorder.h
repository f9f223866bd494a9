/*
 * The recorder: numbers, duplicates, gaps, openings; batches for the trail.
 *
 * It owns the one writer of the trail.  The server gives it records as they
 * come and asks it to commit; after a commit each front end's `durable` says
 * what may be acknowledged.
 */

#ifndef SEKISHO_DAEMON_RECORDER_H
#define SEKISHO_DAEMON_RECORDER_H

#include <stdint.h>
#include <sys/types.h>

#include "../lib/ipc/message.h"
#include "../lib/ipc/daemon_config.h"

typedef struct recorder_s recorder_t;

/* Records that one front end may have under way, unanswered. */
#define FRONT_PENDING_MAX 65536

/* A front end, connected or not, as long as it is remembered. */
typedef struct front_s {
    uint8_t id[MESSAGE_FRONT_SIZE];
    char id_text[33]; /* "" until a record needed it */
    char source[17];
    uint64_t taken;    /* last number seen */
    uint64_t durable;  /* all up to this one are on disk, or refused */
    uint64_t skipped;  /* numbers since its last record that have none */
    uint64_t trailing; /* of those, while a commit sorts out refusals */
    unsigned connections;
    int64_t seen; /* Unix seconds */
    /* numbers that were refused, in order; those that were told to its
     * present connection stay until it cannot wait for them any more, as it
     * may never have read that */
    uint64_t *refused;
    size_t refused_count;
    size_t refused_told;
    size_t refused_capacity;
} front_t;

typedef enum {
    RECORDER_BAD = 0, /* no record of ours: the peer is to be cut off */
    RECORDER_TAKEN,   /* in the batch: acknowledge after the next commit */
    RECORDER_KNOWN    /* a repetition of a number: nothing to do */
} recorder_result_t;

/*
 * Opens the trail and reads its end, so that duplicates are known and openings
 * that nobody closed are not forgotten.  `now` is Unix milliseconds.  NULL,
 * with what to do on stderr through the log.
 *
 * `times_from_ms` is 0, or, for made-up trails alone (--accept-times), when the
 * records' own clock begins: front ends' times are then taken as they are, and
 * the daemon's own records bear the latest of them.  Heartbeats say so.
 */
recorder_t *recorder_open(const config_t *config, int64_t now_ms,
                          int64_t times_from_ms, uint64_t read_back);

/* Records the stop, commits, signs a last checkpoint and frees everything. */
void recorder_close(recorder_t *recorder, int64_t now_ms);

/* A front end says hello: `acknowledged` is the last of its numbers that it
 * was told to be on disk (not: refused).  NULL when out of memory. */
front_t *recorder_hello(recorder_t *recorder, const message_hello_t *hello,
                        uint64_t acknowledged, int64_t now_ms);
void recorder_goodbye(recorder_t *recorder, front_t *front, int64_t now_ms);

/* `record` is completed (host, source, number…); its values need to last for
 * the call only. */
recorder_result_t recorder_take(recorder_t *recorder, front_t *front,
                                uint64_t number, record_t *record,
                                int64_t now_ms);

/* A record of the daemon itself; completed and put into the batch, which is
 * written before if it is full. */
void recorder_own(recorder_t *recorder, record_event_t event, record_t *record,
                  int64_t now_ms);

/* How many of those were refused so far: what is the same before and after a
 * commit says that all between are on disk. */
uint64_t recorder_own_refused(const recorder_t *recorder);

/* Whether something waits for a commit, and whether it must not wait longer:
 * commit before the next recorder_take(). */
bool recorder_pending(const recorder_t *recorder);
bool recorder_full(const recorder_t *recorder);

/* Writes the batch; 0, or the error for which records were refused. */
int recorder_commit(recorder_t *recorder, int64_t now_ms);

/* Once a second: heartbeat, checkpoint, interrupted openings. */
void recorder_tick(recorder_t *recorder, int64_t now_ms);

/* A checkpoint over everything, now.  0 or negative errno. */
int recorder_checkpoint(recorder_t *recorder);

/* The reason for the last refusals, for people. */
const char *recorder_reason(const recorder_t *recorder);

/* State as JSON members of an open object. */
void recorder_report(const recorder_t *recorder, json_t *json, int64_t now_ms);

/* The new configuration: intervals and policy; trail and key stay. */
void recorder_configure(recorder_t *recorder, const config_t *config);

#endif
