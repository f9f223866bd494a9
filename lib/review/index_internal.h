/* Between the index*.c files alone. */

#ifndef SEKISHO_REVIEW_INDEX_INTERNAL_H
#define SEKISHO_REVIEW_INDEX_INTERNAL_H

#include <sqlite3.h>

#include "index.h"
#include "index_openings.h"
#include "index_rows.h"
#include "index_words.h"

/* An access whose row is not written yet: its close may come within the same
 * transaction. */
typedef struct {
    uint64_t number, closed; /* closed 0: not yet (entry 0 closes nothing) */
    int64_t time, ended;
    uint32_t words[ENTRY_WORDS];                  /* 0: not said */
    uint32_t end_reason;                          /* word */
    int64_t requests, bytes, instances, duration; /* -1: not said */
    uint8_t outcome, end_outcome;
    bool interrupted, has_id;
    uint8_t id[OPENING_ID_SIZE];
} access_t;

typedef enum {
    STATEMENT_ENTRY = 0,
    STATEMENT_ACCESS,
    STATEMENT_CLOSE,
    STATEMENT_DAY,
    STATEMENT_LEARNED,
    STATEMENT_REQUESTED,
    STATEMENT_PART,
    STATEMENT_PARTS,
    STATEMENTS
} statement_t;

struct review_index_s {
    sqlite3 *database;
    char *path;
    index_mode_t mode;
    int lock; /* fd of PATH-lock */
    uint64_t size;
    char error[256];

    /* of a writer */
    bool ready; /* what follows fits the tables */
    bool known; /* this trail is the one that the tables are of */
    bool fast;  /* filling: no index but the primary ones */
    words_t words;
    waiting_table_t waiting;
    sqlite3_stmt *statements[STATEMENTS];
    access_t *accesses; /* ACCESSES_MAX */
    size_t accesses_count;
    int64_t last_day;
    bool any_parts; /* rows in `part` */
};

#define ACCESSES_MAX 131072

/* Keeps "what: SQLite's reason"; returns -EIO, or -ENOSPC, -ENOMEM, -EBUSY. */
int index_failed(review_index_t *index, const char *what);
int index_error(review_index_t *index, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Runs SQL without a result. */
int index_run(review_index_t *index, const char *sql);

/* ---- index_file.c ---- */

#define INDEX_FILE_MODE 0640

typedef enum {
    FILE_ABSENT = 1, /* or empty */
    FILE_OURS,
    FILE_FOREIGN
} file_kind_t;

/* 0 or negative errno; -EINVAL for what is no regular file. */
int index_file_kind(const char *path, file_kind_t *kind);
/* What root makes belongs to whom its folder belongs. */
void index_give_to_owner(const char *path, int fd);
/* -EBUSY: somebody else writes it. */
int index_lock(review_index_t *index);
int index_remove_files(review_index_t *index);
int index_set_aside(review_index_t *index);
/* Whether everything is in the file itself, and nobody is writing it. */
bool index_is_whole(const review_index_t *index);
/* "file:PATH?immutable=1", to be freed; NULL: out of memory. */
char *index_immutable_uri(const char *path);

/* ---- index_schema.c ---- */

/* All tables and views, in an empty database. */
int schema_create(review_index_t *index);
/* The indexes that a first filling goes without; nothing if they are there. */
int schema_finish(review_index_t *index);
bool schema_is_finished(review_index_t *index);
/* Text of a name in `meta`, to be freed; NULL if it is not there. */
char *meta_text(review_index_t *index, const char *name);
int meta_set_text(review_index_t *index, const char *name, slice_t text);
int meta_set_number(review_index_t *index, const char *name, int64_t number);
int64_t meta_number(review_index_t *index, const char *name);

/* ---- index_root.c ---- */

/* Root of the trail's first `size` entries, sealed or not; -ERANGE if there
 * are not so many. */
int trail_root(trail_reader_t *reader, uint64_t size, merkle_hash_t *root);

/* ---- index_accesses.c ---- */

int waiting_load(review_index_t *index);
/* What opens, closes or joins.  *own: it needs a row of `entry` as well.
 * *opened: number of the opening that it closes or joins; or UINT64_MAX. */
int accesses_note(review_index_t *index, const row_t *row,
                  const uint32_t words[ENTRY_WORDS], bool *own,
                  uint64_t *opened);
/* Writes the rows that wait for their close within the transaction. */
int accesses_flush(review_index_t *index);

/* ---- index_studies.c ---- */

int parts_load(review_index_t *index);
/* Whose study it is, and what is a part of what. */
int studies_note(review_index_t *index, const row_t *row,
                 word_t *const words[ROW_WORDS]);

/* ---- index_tables.c ---- */

void bind_word(struct sqlite3_stmt *statement, int column, uint32_t word);
void bind_number(struct sqlite3_stmt *statement, int column, int64_t number);
/* Steps and resets a statement without rows. */
int statement_run(review_index_t *index, struct sqlite3_stmt *statement);

/* Statements, words and waiting openings of the tables as they are. */
int tables_begin(review_index_t *index);
/* Forgets them: after an error they may say more than the tables. */
void tables_end(review_index_t *index);
int tables_add(review_index_t *index, const row_t *row);

/* Readers may come: after the first filling. */
int index_share(review_index_t *index);

/* Deletes the file's tables and makes them anew. */
int index_remake(review_index_t *index);

#endif
