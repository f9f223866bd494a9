/*
 * Alerts of one kind that come again and again are counted, and told once a
 * minute: whoever floods a door does not fill the disk.
 */

#ifndef SEKISHO_DAEMON_FOLDING_H
#define SEKISHO_DAEMON_FOLDING_H

#include "recorder.h"

#define FOLDING_MAX     256
#define FOLDING_SECONDS 60
#define FOLDING_TEXT    256 /* bytes of each text that is kept */

typedef struct {
    char text[FOLDING_TEXT];
    size_t size;
} fold_text_t;

typedef struct {
    record_event_t event; /* EVENT_NONE: free */
    const char *reason;   /* a literal */
    fold_text_t key;      /* user or address */
    fold_text_t user, address, service;
    uint64_t count; /* since the one that was recorded */
    int64_t first, last;
    int64_t since; /* ms: the one that was recorded */
} fold_t;

/* Refusals of one source that are recorded each by itself, in a minute; and of
 * all sources together. */
#define FOLDING_ALONE     30
#define FOLDING_ALONE_ALL 1000

typedef struct {
    fold_text_t source;
    int64_t since; /* ms: its minute began */
    unsigned spent;
} fold_source_t;

typedef struct {
    fold_t folds[FOLDING_MAX];
    fold_source_t sources[FOLDING_MAX];
    int64_t since;
    unsigned spent;
} folding_t;

typedef struct {
    record_event_t event;
    const char *reason; /* a literal */
    bool by_user;       /* else by address */
    slice_t user, address, service;
} fold_what_t;

/*
 * True: one more refusal of this source is recorded by itself.  What the answer
 * depends upon is the source and how often it asked: never whom it asked for,
 * or why that was refused, since a record takes its time.
 */
bool folding_alone(folding_t *folding, slice_t source, int64_t now_ms);

/* True: record it.  False: it was counted. */
bool folding_take(folding_t *folding, recorder_t *recorder,
                  const fold_what_t *what, int64_t now_ms);
/* Tells the counts that are due; all of them if `all`. */
void folding_tell(folding_t *folding, recorder_t *recorder, bool all,
                  int64_t now_ms);

#endif
