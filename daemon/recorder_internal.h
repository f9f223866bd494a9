/* Between the recorder*.c files alone. */

#ifndef SEKISHO_DAEMON_RECORDER_INTERNAL_H
#define SEKISHO_DAEMON_RECORDER_INTERNAL_H

#include "../lib/base/clock.h"
#include "../lib/trail/writer.h"
#include "opening.h"
#include "recorder.h"
#include "table.h"

#define BATCH_ENTRIES_MAX 4096
#define BATCH_BYTES_MAX   (4u << 20)
#define BATCH_LINE_SPARE  40 /* for ,"skipped":18446744073709551615} */
#define BATCH_LINE_MAX    (4 * (RECORD_SIZE_MAX + BATCH_LINE_SPARE))

typedef struct {
    char *line;
    size_t size;
    front_t *front;
    uint64_t number;
    uint64_t skipped;
    bool privileged;
} entry_t;

/* The last time that a front end sent, and what was read in it: most come more
 * than once. */
typedef struct {
    char text[24];
    int64_t seconds;
    bool read;
} time_read_t;

struct recorder_s {
    const config_t *config;
    trail_writer_t *writer;
    char host[256];
    size_t host_size;
    time_read_t time_read;
    table_t *fronts;
    openings_t openings;
    uint64_t next;       /* index of the batch's first entry */
    uint64_t read_back;  /* records that the next start reads at least */
    uint64_t remembered; /* entries when openings_file was written; 0: none */
    bool forgetful;      /* that it cannot be written is told in the log */
    front_t own;         /* the daemon's own records */

    entry_t entries[BATCH_ENTRIES_MAX + 4];
    size_t entries_count;
    slice_t slices[BATCH_ENTRIES_MAX + 4];
    char *lines; /* BATCH_BYTES_MAX */
    size_t lines_size;
    size_t lines_max; /* what one append to the journal can take, too */
    bool answers_due;
    bool security;            /* a record in the batch asks for a checkpoint */
    uint64_t since_heartbeat; /* records */

    int64_t times_ms; /* --accept-times: the latest time so far; 0: off */

    int64_t limited_until; /* ordinary records are refused; 0: no */
    int64_t heartbeat;     /* ms, the last one */
    char reason[800];      /* of the last refusals */

    uint64_t received, refused, commits;
    uint64_t own_refused; /* of them, the daemon's own */
};

/* Numbers of a front end are missing: recorded and logged. */
void recorder_gap(recorder_t *recorder, const front_t *front, uint64_t from,
                  uint64_t missing, const char *reason, int64_t now_ms);

/* A number that is to be told as refused; numbers come in order. */
void recorder_refused(front_t *front, uint64_t number);
/* Forgets the first of them. */
void recorder_drop_refused(front_t *front, size_t count);

/* NULL: out of memory. */
front_t *recorder_new_front(recorder_t *recorder,
                            const uint8_t id[MESSAGE_FRONT_SIZE],
                            slice_t source);

/* Reads the end of the trail that the writer has just opened. */
bool recorder_replay(recorder_t *recorder, int64_t now_ms);

/* The digits at the start of a text; 0 if there are none. */
uint64_t recorder_number(slice_t text);

#endif
