/* Taking in the next entries of the trail. */

#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>

#include "../trail/base64.h"
#include "index_internal.h"

/* From so many on a thread reads ahead; and an empty database goes without its
 * indexes until the end is reached. */
#define THREAD_FROM 16384
#define FAST_FROM   65536

#define ROOT_TEXT_MAX 48

static slice_t
root_text(const merkle_hash_t *root, char text[ROOT_TEXT_MAX])
{
    size_t size = base64_encode(root->bytes, sizeof(root->bytes), text);

    return (slice_t){text, size};
}


int
index_belongs(review_index_t *index, trail_reader_t *reader)
{
    _cleanup_(cleanup_free) char *origin = meta_text(index, "origin");
    _cleanup_(cleanup_free) char *root = meta_text(index, "root");
    const checkpoint_t *checkpoint;
    char text[ROOT_TEXT_MAX];
    merkle_hash_t now;
    int error;

    if (index->size == 0) {
        return 0;
    }
    error = trail_root(reader, index->size, &now);
    checkpoint = trail_reader_checkpoint(reader);
    if (origin == NULL || root == NULL ||
        !slice_equal(slice_of(origin), checkpoint->origin))
    {
        return index_error(index, -ESTALE, "%s: it is of another trail",
                           index->path);
    }
    if (error == -ERANGE) {
        return index_error(index, -ESTALE,
                           "%s: it holds %llu entries, and the trail has "
                           "fewer: the trail was rolled back, or this is an "
                           "older copy of it",
                           index->path, (unsigned long long) index->size);
    }
    if (error < 0) {
        return index_error(index, error, "%s", trail_reader_problem(reader));
    }
    if (!slice_equal(slice_of(root), root_text(&now, text))) {
        return index_error(index, -ESTALE,
                           "%s: the trail's first %llu entries are not those "
                           "that it holds: another trail, or a changed one",
                           index->path, (unsigned long long) index->size);
    }
    return 0;
}


/* ---- Transactions --------------------------------------------------------*/

static int
begin(review_index_t *index)
{
    return index_run(index, "BEGIN IMMEDIATE");
}


static int
commit(review_index_t *index, const batch_t *batch)
{
    char text[ROOT_TEXT_MAX];
    int error = accesses_flush(index);

    if (error == 0) {
        error = meta_set_number(index, "size", (int64_t) batch->next);
    }
    if (error == 0) {
        error = meta_set_text(index, "root", root_text(&batch->root, text));
    }
    if (error == 0) {
        error = index_run(index, "COMMIT");
    }
    if (error == 0) {
        index->size = batch->next;
    }
    return error;
}


static int
add_batch(review_index_t *index, const batch_t *batch)
{
    int error = 0;

    for (size_t i = 0; error == 0 && i < batch->count; i++) {
        /* studies are what is not in the processor's cache */
        if (i + 16 < batch->count) {
            words_expect(&index->words,
                         batch->rows[i + 16].hashes[COLUMN_STUDY]);
            words_expect_next(&index->words,
                              batch->rows[i + 8].hashes[COLUMN_STUDY]);
        }
        error = tables_add(index, &batch->rows[i]);
    }
    return error;
}


typedef struct {
    index_told_fn told;
    void *context;
    uint64_t all;
} telling_t;

/* Batches until there is nothing more; stopped between transactions only, so
 * that what was done is kept. */
static int
take_rows(review_index_t *index, rows_t *rows, const telling_t *telling)
{
    const batch_t *batch;
    bool open = false, stop = false;
    int error = 0;

    do {
        batch = rows_next(rows);
        if (batch->result < 0 && batch->count == 0) {
            error = batch->result;
            break;
        }
        if (!open && (batch->count > 0 || batch->has_root)) {
            error = begin(index);
            open = error == 0;
        }
        if (error == 0) {
            error = add_batch(index, batch);
        }
        if (error == 0 && batch->has_root) {
            error = commit(index, batch);
            open = open && error < 0;
            stop = telling->told != NULL &&
                   !telling->told(telling->context, batch->next, telling->all);
        } else if (error == 0 && telling->told != NULL) {
            stop |= !telling->told(telling->context, batch->next, telling->all);
        }
        error = error == 0 && batch->result < 0 ? batch->result : error;
    } while (error == 0 && batch->result == 1 && !(stop && !open));
    if (open) {
        (void) sqlite3_exec(index->database, "ROLLBACK", NULL, NULL, NULL);
    }
    if (error < 0 || open) {
        tables_end(index); /* they may hold what was rolled back */
    }
    return error;
}


static int
take(review_index_t *index, trail_reader_t *reader, uint64_t most,
     const telling_t *telling)
{
    uint64_t sealed = trail_reader_checkpoint(reader)->size;
    uint64_t due = sealed > index->size ? sealed - index->size : 0;
    uint64_t end = most == 0 || UINT64_MAX - most < index->size
                       ? UINT64_MAX
                       : index->size + most;
    rows_t rows;
    int error = tables_begin(index);

    if (error < 0) {
        return error;
    }
    due = most != 0 && most < due ? most : due;
    if (due < FAST_FROM && !schema_is_finished(index)) {
        error = schema_finish(index);
        if (error < 0) {
            return error;
        }
    }
    error = rows_open(&rows, reader, index->words.key, index->size, end,
                      due >= THREAD_FROM);
    if (error == 0) {
        error = take_rows(index, &rows, telling);
    }
    rows_close(&rows);
    if (error < 0 && index->error[0] == '\0') {
        const char *problem = trail_reader_problem(reader);

        (void) index_error(index, error, "%s",
                           problem[0] != '\0' ? problem : strerror(-error));
    }
    return error;
}


/* The trail that the tables are of; made anew if it is another one. */
static int
know(review_index_t *index, trail_reader_t *reader)
{
    char told[sizeof(index->error) + 16] = "";
    int error;

    if (index->known) {
        return 0;
    }
    error = index_belongs(index, reader);
    if (error == -ESTALE) {
        (void) snprintf(told, sizeof(told), "%.200s; made anew", index->error);
        error = index_remake(index);
    }
    if (error == 0) {
        error = meta_set_text(index, "origin",
                              trail_reader_checkpoint(reader)->origin);
    }
    if (error == 0) {
        index->known = true;
        memcpy(index->error, told, sizeof(index->error));
    }
    return error;
}


int
index_update(review_index_t *index, trail_reader_t *reader, uint64_t most,
             index_told_fn told, void *context, uint64_t *taken)
{
    telling_t telling = {.told = told, .context = context};
    uint64_t before;
    int error;

    *taken = 0;
    if (index->mode != INDEX_WRITE) {
        return -EBADF;
    }
    index->error[0] = '\0';
    error = trail_reader_refresh(reader);
    if (error < 0) {
        return index_error(index, error, "%s", trail_reader_problem(reader));
    }
    error = know(index, reader);
    before = index->size;
    telling.all = trail_reader_checkpoint(reader)->size;
    if (error == 0) {
        error = take(index, reader, most, &telling);
    }
    *taken = index->size - before;
    if (error == 0 && !schema_is_finished(index) &&
        index->size >= trail_reader_checkpoint(reader)->size)
    {
        error = schema_finish(index);
    }
    return error;
}
