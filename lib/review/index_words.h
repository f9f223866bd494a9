/* Repeated texts of the index and their numbers; for this folder only. */

#ifndef SEKISHO_REVIEW_INDEX_WORDS_H
#define SEKISHO_REVIEW_INDEX_WORDS_H

#include <stdbool.h>
#include <stdint.h>

#include "../base/slice.h"
#include "index_directory.h"

struct sqlite3;
struct sqlite3_stmt;

/* Memory for the texts of words that were met lately, and their table. */
#define WORDS_BYTES_MAX ((size_t) 64 << 20)

typedef struct word_s word_t;
struct word_s {
    word_t *next; /* of its bucket */
    siphash_t hash;
    uint32_t id;
    uint32_t size;
    uint32_t patient; /* as a study: whose it is, where that is in the table;
                         0: not known here */
    bool learned;     /* … from an answer, not from a request */
    char text[];
};

typedef struct {
    word_t **buckets;
    size_t mask; /* buckets - 1 */
    size_t count;
    struct block_s *blocks; /* the words' memory, newest first */
    size_t used;            /* bytes of the newest */
    size_t bytes;           /* of all */
} words_generation_t;

typedef struct {
    struct sqlite3 *database;
    struct sqlite3_stmt *insert, *find;
    uint8_t key[SIPHASH_KEY_SIZE];
    words_generation_t young, old;
    directory_t directory;
    bool complete; /* all words of the table are in `directory` */
    size_t bytes_max;
    uint32_t next; /* id of the next new word */
} words_t;

/* 0 or negative errno.  words_free() in any case. */
int words_init(words_t *words, struct sqlite3 *database, size_t bytes_max);
void words_free(words_t *words);

/* The word of a text, made if it is new; the word stays valid until the second
 * next call only.  -EIO: SQLite has the reason. */
int words_get(words_t *words, slice_t text, siphash_t hash, word_t **word);

/* The hash of a text, which another thread may compute. */
static inline siphash_t
words_hash(const uint8_t key[SIPHASH_KEY_SIZE], slice_t text)
{
    return siphash(key, text.data, text.size);
}

/* The text of this hash will be asked for soon. */
static inline void
words_expect(const words_t *words, siphash_t hash)
{
    if (words->young.buckets != NULL) {
        __builtin_prefetch(&words->young.buckets[hash.low & words->young.mask]);
    }
    directory_expect(&words->directory, hash);
}

static inline void
words_expect_next(const words_t *words, siphash_t hash)
{
    if (words->young.buckets != NULL) {
        __builtin_prefetch(words->young.buckets[hash.low & words->young.mask]);
    }
}

#endif
