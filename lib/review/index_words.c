/*
 * Words: two generations of what was met lately.  When the younger one is full
 * the older one is dropped and the younger becomes the older; what is met again
 * moves up.  The directory, where it is complete, knows the numbers of all: a
 * text that it does not know is new, and the table need not be asked.  So the
 * first filling goes without the table's index, which is cheaper to make at the
 * end.
 */

#define _GNU_SOURCE
#include "index_words.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/random.h>

#define BUCKETS_MIN 4096
#define LOAD_MAX    65536 /* words */
#define BLOCK_SIZE  ((size_t) 1 << 18)

typedef struct block_s {
    struct block_s *next;
    size_t size;
    char bytes[];
} block_t;

static void
generation_free(words_generation_t *generation)
{
    block_t *block = generation->blocks;

    while (block != NULL) {
        block_t *next = block->next;

        free(block);
        block = next;
    }
    free(generation->buckets);
    *generation = (words_generation_t){0};
}


static bool
generation_grow(words_generation_t *generation)
{
    size_t size = generation->buckets == NULL ? BUCKETS_MIN
                                              : 2 * (generation->mask + 1);
    word_t **buckets = calloc(size, sizeof(*buckets));

    if (buckets == NULL) {
        return false;
    }
    for (size_t i = 0; generation->buckets != NULL && i <= generation->mask;
         i++) {
        word_t *word = generation->buckets[i];

        while (word != NULL) {
            word_t *next = word->next;
            word_t **place = &buckets[word->hash.low & (size - 1)];

            word->next = *place;
            *place = word;
            word = next;
        }
    }
    free(generation->buckets);
    generation->buckets = buckets;
    generation->mask = size - 1;
    return true;
}


static size_t
generation_bytes(const words_generation_t *generation)
{
    return generation->bytes + (generation->mask + 1) * sizeof(word_t *);
}


static word_t *
generation_find(const words_generation_t *generation, siphash_t hash,
                slice_t text)
{
    word_t *word;

    if (generation->buckets == NULL) {
        return NULL;
    }
    word = generation->buckets[hash.low & generation->mask];
    while (word != NULL &&
           (word->hash.low != hash.low || word->size != text.size ||
            memcmp(word->text, text.data, text.size) != 0))
    {
        word = word->next;
    }
    return word;
}


/* Memory for a word, from the newest block. */
static void *
generation_take(words_generation_t *generation, size_t size)
{
    block_t *block = generation->blocks;

    size = (size + 15) & ~(size_t) 15;
    if (block == NULL || block->size - generation->used < size) {
        size_t room = size > BLOCK_SIZE ? size : BLOCK_SIZE;

        block = malloc(sizeof(*block) + room);
        if (block == NULL) {
            return NULL;
        }
        block->next = generation->blocks;
        block->size = room;
        generation->blocks = block;
        generation->used = 0;
        generation->bytes += room;
    }
    generation->used += size;
    return block->bytes + generation->used - size;
}


/* Puts a word into the younger generation. */
static word_t *
remember(words_t *words, siphash_t hash, slice_t text, uint32_t id)
{
    words_generation_t *young = &words->young;
    word_t *word, **place;

    if (generation_bytes(young) >= words->bytes_max / 2) {
        generation_free(&words->old);
        words->old = *young;
        *young = (words_generation_t){0};
    }
    if ((young->buckets == NULL || young->count > young->mask) &&
        !generation_grow(young))
    {
        return NULL;
    }
    word = generation_take(young, sizeof(*word) + text.size);
    if (word == NULL) {
        return NULL;
    }
    *word = (word_t){.hash = hash, .id = id, .size = (uint32_t) text.size};
    memcpy(word->text, text.data, text.size);
    place = &young->buckets[hash.low & young->mask];
    word->next = *place;
    *place = word;
    young->count++;
    return word;
}


/* Full, it is of no more use: the table is asked from then on. */
static void
enter(words_t *words, siphash_t hash, uint32_t id)
{
    if (words->complete && !directory_add(&words->directory, hash, id)) {
        directory_free(&words->directory);
        words->complete = false;
    }
}


/* A table of few words is read whole: a new text is then known to be new. */
static int
load(words_t *words)
{
    sqlite3_stmt *all = NULL;
    int result;

    if (words->next > LOAD_MAX) {
        return 0;
    }
    if (sqlite3_prepare_v2(words->database, "SELECT id, text FROM word", -1,
                           &all, NULL) != SQLITE_OK)
    {
        return -EIO;
    }
    words->complete = true;
    while ((result = sqlite3_step(all)) == SQLITE_ROW) {
        slice_t text = {(const char *) sqlite3_column_text(all, 1),
                        (size_t) sqlite3_column_bytes(all, 1)};

        enter(words, words_hash(words->key, text),
              (uint32_t) sqlite3_column_int64(all, 0));
    }
    (void) sqlite3_finalize(all);
    return result == SQLITE_DONE ? 0 : -EIO;
}


int
words_init(words_t *words, sqlite3 *database, size_t bytes_max)
{
    sqlite3_stmt *last = NULL;
    int error;

    *words = (words_t){.database = database, .bytes_max = bytes_max};
    if (getrandom(words->key, sizeof(words->key), 0) !=
        (ssize_t) sizeof(words->key))
    {
        return -EIO;
    }
    if (sqlite3_prepare_v2(database, "SELECT max(id) FROM word", -1, &last,
                           NULL) != SQLITE_OK ||
        sqlite3_step(last) != SQLITE_ROW)
    {
        (void) sqlite3_finalize(last);
        return -EIO;
    }
    words->next = (uint32_t) sqlite3_column_int64(last, 0) + 1;
    (void) sqlite3_finalize(last);
    error = load(words);
    if (error < 0) {
        return error;
    }
    return sqlite3_prepare_v3(
               database, "INSERT INTO word (id, text) VALUES (?, ?)", -1,
               SQLITE_PREPARE_PERSISTENT, &words->insert, NULL) == SQLITE_OK
               ? 0
               : -EIO;
}


void
words_free(words_t *words)
{
    (void) sqlite3_finalize(words->insert);
    (void) sqlite3_finalize(words->find);
    generation_free(&words->young);
    generation_free(&words->old);
    directory_free(&words->directory);
    *words = (words_t){0};
}


/* In the table; *id is 0 if it is not. */
static int
look_up(words_t *words, slice_t text, uint32_t *id)
{
    int result;

    *id = 0;
    if (words->find == NULL &&
        (sqlite3_exec(words->database,
                      "CREATE UNIQUE INDEX IF NOT EXISTS word_text "
                      "ON word (text)",
                      NULL, NULL, NULL) != SQLITE_OK ||
         sqlite3_prepare_v3(
             words->database, "SELECT id FROM word WHERE text = ?", -1,
             SQLITE_PREPARE_PERSISTENT, &words->find, NULL) != SQLITE_OK))
    {
        return -EIO;
    }
    (void) sqlite3_bind_text(words->find, 1, text.data, (int) text.size,
                             SQLITE_STATIC);
    result = sqlite3_step(words->find);
    if (result == SQLITE_ROW) {
        *id = (uint32_t) sqlite3_column_int64(words->find, 0);
    }
    (void) sqlite3_reset(words->find);
    return result == SQLITE_ROW || result == SQLITE_DONE ? 0 : -EIO;
}


static int
make_new(words_t *words, slice_t text, uint32_t *id)
{
    int result;

    if (words->next == UINT32_MAX) {
        return -EOVERFLOW;
    }
    (void) sqlite3_bind_int64(words->insert, 1, words->next);
    (void) sqlite3_bind_text(words->insert, 2, text.data, (int) text.size,
                             SQLITE_STATIC);
    result = sqlite3_step(words->insert);
    (void) sqlite3_reset(words->insert);
    if (result != SQLITE_DONE) {
        return -EIO;
    }
    *id = words->next++;
    return 0;
}


int
words_get(words_t *words, slice_t text, siphash_t hash, word_t **found)
{
    word_t *word = generation_find(&words->young, hash, text), *older;
    uint32_t id = 0;
    int error = 0;

    if (word != NULL) {
        *found = word;
        return 0;
    }
    older = generation_find(&words->old, hash, text);
    if (older != NULL) {
        uint32_t patient = older->patient;
        bool learned = older->learned;

        /* `text` may be in no block of ours: remember() may drop the older */
        word = remember(words, hash, text, older->id);
        if (word != NULL) {
            word->patient = patient;
            word->learned = learned;
        }
        *found = word;
        return word == NULL ? -ENOMEM : 0;
    }
    if (words->complete) {
        id = directory_find(&words->directory, hash);
    } else {
        error = look_up(words, text, &id);
    }
    if (error == 0 && id == 0) {
        error = make_new(words, text, &id);
        if (error == 0) {
            enter(words, hash, id);
        }
    }
    if (error < 0) {
        return error;
    }
    *found = remember(words, hash, text, id);
    return *found == NULL ? -ENOMEM : 0;
}
