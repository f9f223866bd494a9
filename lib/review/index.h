/*
 * audit.db: the trail as tables, for search and reports.  Derived from the
 * trail alone: deleting it loses nothing.  docs/audit-db.md describes the
 * tables for whoever wants to use sqlite3 or any SQL tool on them.
 *
 * One process writes (the daemon, or `sekisho audit index` without one), any
 * number read.  Its answers hold at a tree size: index_size().
 */

#ifndef SEKISHO_REVIEW_INDEX_H
#define SEKISHO_REVIEW_INDEX_H

#include <stdint.h>

#include "../base/slice.h"
#include "../trail/reader.h"
#include "../trail/record.h"

#define INDEX_SCHEMA_VERSION 2
#define INDEX_APPLICATION_ID 0x53454b31 /* "SEK1", in SQLite's header */

/*
 * A close more than so many entries behind its opening is in `entry`, too: who
 * looks for the closes from an entry on need not look at all accesses.
 */
#define INDEX_CLOSE_DISTANCE 1048576

_Static_assert(INDEX_CLOSE_DISTANCE == 1048576, "the queries below say so");

/* SQL: how many records of the trail are in the tables from an entry on. */
#define INDEX_RECORDS_FROM(number)                                             \
    INDEX_RECORDS_WHERE(number, "number >= " number, "closed >= " number)

/* The same of those that fulfil a condition, written for a row of its own, and
 * for the close of an access (`closed`, `ended`, `end_outcome`). */
#define INDEX_RECORDS_WHERE(first, record, close)                              \
    "((SELECT count(*) FROM access WHERE " record                              \
    ") + (SELECT count(*) FROM access WHERE closed > number AND " close        \
    " AND number >= " first " - 1048576 AND closed - number < 1048576)"        \
    " + (SELECT count(*) FROM entry WHERE " record                             \
    " AND (event > 4 OR number - opened >= 1048576)))"

/* SQL: the time of the first record in the tables; NULL: there is none. */
#define INDEX_FIRST_TIME                                                       \
    "(SELECT time FROM (SELECT * FROM (SELECT number, time FROM entry "        \
    "ORDER BY number LIMIT 1) UNION ALL SELECT * FROM (SELECT number, time "   \
    "FROM access ORDER BY number LIMIT 1)) ORDER BY number LIMIT 1)"

struct sqlite3;
typedef struct review_index_s review_index_t;

typedef enum {
    INDEX_READ = 1, /* -ENOENT if there is none */
    INDEX_WRITE     /* made if there is none; made anew if it is damaged, of
                       another schema, or of another trail (its origin, or a
                       root that this trail never had) */
} index_mode_t;

/* 0 or negative errno, one line for people in `error`. */
int index_open(const char *path, index_mode_t mode, review_index_t **index,
               char error[256]);
void index_close(review_index_t *index); /* takes NULL */
const char *index_strerror(const review_index_t *index);

/* Entries that are in it: 0 .. size - 1. */
uint64_t index_size(const review_index_t *index);

/*
 * Takes in the next entries of the trail, at most `most` of them (0: all),
 * sealed or not.  Durable is not needed: after a crash they are taken again.
 * `told` may be NULL; false from it ends early.  0 or negative errno; *taken
 * says how many.
 */
typedef bool (*index_told_fn)(void *context, uint64_t done, uint64_t all);
int index_update(review_index_t *index, trail_reader_t *reader, uint64_t most,
                 index_told_fn told, void *context, uint64_t *taken);

/*
 * Whether the tables are of this trail: 0, or -ESTALE where they are of another
 * one, or the trail was rolled back (index_strerror() says which), or another
 * negative errno.  index_update() asks by itself, a reader should.
 */
int index_belongs(review_index_t *index, trail_reader_t *reader);

/* Empties it (INDEX_WRITE): what comes next is made from nothing. */
int index_clear(review_index_t *index);

/* For queries of one's own: reports, findings. */
struct sqlite3 *index_handle(review_index_t *index);

#endif
