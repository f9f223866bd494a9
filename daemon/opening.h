/*
 * Openings that nobody has closed yet: by id, and by the program (instance)
 * that opened them, so that a close can be written when it is gone.
 */

#ifndef SEKISHO_DAEMON_OPENING_H
#define SEKISHO_DAEMON_OPENING_H

#include "../lib/ipc/message.h"
#include "table.h"

#define OPENINGS_MAX 200000 /* beyond it the oldest is closed as interrupted */

#define OPENINGS_QUERY_MAX 512 /* bytes of it that the close repeats */

typedef struct instance_s instance_t;
typedef struct opening_s opening_t;

struct opening_s {
    uint8_t id[TABLE_KEY_SIZE];
    instance_t *instance;
    opening_t *next, *previous; /* of its instance, newest first */
    opening_t *newer, *older;   /* of all */
    uint64_t index;             /* of its record in the tree */
    size_t size;
    uint8_t record[]; /* encoded: what its close repeats */
};

struct instance_s {
    uint8_t id[TABLE_KEY_SIZE]; /* 8 bytes, then zeros */
    unsigned connections;
    int64_t gone; /* Unix milliseconds since when it has none */
    opening_t *openings;
};

/* Openings that were closed, the newest of them: a worker that takes over from
 * a dead one may send the same opening or close once more. */
#define OPENINGS_CLOSED 65536

typedef struct {
    uint8_t id[TABLE_KEY_SIZE];
    bool interrupted; /* by the daemon: the front end's close tells more */
    uint64_t index;   /* of the opening */
} closed_t;

typedef struct {
    table_t *by_id;
    table_t *instances;
    opening_t *newest, *oldest;
    table_t *closed; /* by id, to its place below */
    closed_t *ring;  /* OPENINGS_CLOSED, used in turn */
    size_t ring_next;
} openings_t;

bool openings_init(openings_t *openings);
void openings_free(openings_t *openings);

/* The instance of a front end; made if it is new.  NULL: out of memory. */
instance_t *openings_instance(openings_t *openings,
                              const uint8_t front[MESSAGE_FRONT_SIZE],
                              int64_t now_ms);

#define OPENING_INDEX_UNKNOWN UINT64_MAX

/* False when out of memory.  The id must not be there yet. */
bool openings_add(openings_t *openings, instance_t *instance,
                  const uint8_t id[TABLE_KEY_SIZE], const record_t *record,
                  uint64_t index);
opening_t *openings_find(const openings_t *openings,
                         const uint8_t id[TABLE_KEY_SIZE]);
void openings_remove(openings_t *openings, opening_t *opening);

/* Notes that it is closed, and removes it if it is there; forgets that again,
 * and gives the opening's index; what is noted, or NULL. */
void openings_close(openings_t *openings, const uint8_t id[TABLE_KEY_SIZE],
                    bool interrupted);
uint64_t openings_reopen(openings_t *openings,
                         const uint8_t id[TABLE_KEY_SIZE]);
const closed_t *openings_closed(const openings_t *openings,
                                const uint8_t id[TABLE_KEY_SIZE]);

/* 32 lower-case hexadecimal digits <-> 16 bytes. */
bool opening_id_parse(slice_t text, uint8_t id[TABLE_KEY_SIZE]);
void opening_id_format(const uint8_t id[TABLE_KEY_SIZE], char text[33]);

#endif
