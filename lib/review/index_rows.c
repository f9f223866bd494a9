/* Reading ahead: lines of the trail become rows, whose texts are copied. */

#define _GNU_SOURCE
#include "index_rows.h"

#include <errno.h>
#include <stdlib.h>

#include "../base/clock.h"
#include "index_internal.h"

static const record_field_t word_fields[ROW_WORDS] = {
    [COLUMN_EVENT] = RECORD_EVENT,       [COLUMN_REASON] = RECORD_REASON,
    [COLUMN_USER] = RECORD_USER,         [COLUMN_FACILITY] = RECORD_FACILITY,
    [COLUMN_ADDRESS] = RECORD_ADDRESS,   [COLUMN_SERVICE] = RECORD_SERVICE,
    [COLUMN_ACTION] = RECORD_ACTION,     [COLUMN_PATIENT] = RECORD_PATIENT,
    [COLUMN_STUDY] = RECORD_STUDY,       [COLUMN_SESSION] = RECORD_SESSION,
    [COLUMN_PURPOSE] = RECORD_PURPOSE,   [COLUMN_ISSUER] = RECORD_ISSUER,
    [COLUMN_NAME] = RECORD_NAME,         [COLUMN_SERIES] = RECORD_SERIES,
    [COLUMN_INSTANCE] = RECORD_INSTANCE,
};

static const record_field_t number_fields[ROW_NUMBERS] = {
    [COLUMN_REQUESTS] = RECORD_REQUESTS,
    [COLUMN_BYTES] = RECORD_BYTES,
    [COLUMN_INSTANCES] = RECORD_INSTANCES,
    [COLUMN_DURATION] = RECORD_DURATION_MS,
    [COLUMN_COUNT] = RECORD_COUNT_FOLDED,
};

/* "2026-11-24T06:09:02.123Z" -> Unix milliseconds; 0 for what is no time. */
static int64_t
time_ms(slice_t text)
{
    int64_t seconds;
    unsigned ms = 0;
    bool local;

    if (!clock_parse(text, &seconds, &local) || local) {
        return 0;
    }
    if (text.size == 24 && text.data[19] == '.') {
        for (size_t i = 20; i < 23; i++) {
            ms = ms * 10 + (unsigned) (text.data[i] - '0') % 10;
        }
    }
    return seconds * 1000 + ms;
}


static int64_t
number_of(slice_t text)
{
    int64_t number = 0;

    if (text.size == 0 || text.size > 18) {
        return -1;
    }
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return -1;
        }
        number = number * 10 + (text.data[i] - '0');
    }
    return number;
}


static bool
id_of(slice_t text, uint8_t id[OPENING_ID_SIZE])
{
    if (text.size != 2 * OPENING_ID_SIZE) {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        uint8_t digit;

        if (c >= '0' && c <= '9') {
            digit = (uint8_t) (c - '0');
        } else if (c >= 'a' && c <= 'f') {
            digit = (uint8_t) (c - 'a' + 10);
        } else {
            return false;
        }
        id[i / 2] = (uint8_t) (i % 2 == 0 ? digit << 4 : id[i / 2] | digit);
    }
    return true;
}


/* Series and instances are many, and say nothing more where the study or the
 * patient is known. */
static bool
needs_parts(const record_t *record, record_event_t event)
{
    return record->values[RECORD_PATIENT].size == 0 &&
           (record->values[RECORD_STUDY].size == 0 ||
            event == EVENT_PATIENT_LEARNED);
}


/* Appends the row of a record; the batch has room for all of a line. */
static void
add_row(batch_t *batch, const uint8_t *key, uint64_t number,
        const record_t *record)
{
    row_t *row = &batch->rows[batch->count++];
    int64_t outcome = number_of(record->values[RECORD_OUTCOME]);
    unsigned words = ROW_WORDS;

    row->number = number;
    row->time = time_ms(record->values[RECORD_TIME]);
    row->first = record->values[RECORD_FIRST].size == 0
                     ? 0
                     : time_ms(record->values[RECORD_FIRST]);
    row->event = record_event_find(record->values[RECORD_EVENT]);
    row->outcome = outcome < 0 || outcome > 12 ? 12 : (uint8_t) outcome;
    row->interrupted = slice_is(record->values[RECORD_REASON], "interrupted");
    row->has_id = id_of(record->values[RECORD_ID], row->id);
    row->has_open = id_of(record->values[RECORD_OPEN], row->open);
    for (unsigned i = 0; i < ROW_NUMBERS; i++) {
        row->numbers[i] = number_of(record->values[number_fields[i]]);
    }
    if (!needs_parts(record, row->event)) {
        words = COLUMN_SERIES;
        row->words[COLUMN_SERIES] = (slice_t){NULL, 0};
        row->words[COLUMN_INSTANCE] = (slice_t){NULL, 0};
    }
    for (unsigned i = 0; i < words; i++) {
        slice_t text = record->values[word_fields[i]];

        row->words[i] = (slice_t){batch->bytes + batch->used, text.size};
        if (text.size > 0) {
            memcpy(batch->bytes + batch->used, text.data, text.size);
            batch->used += text.size;
            row->hashes[i] = words_hash(key, row->words[i]);
        }
    }
}


/* The root at the batch's end.  A scan keeps the reader to itself, so it is
 * ended and begun again. */
static int
take_root(rows_t *rows, batch_t *batch)
{
    int error;

    trail_scan_free(rows->scan);
    rows->scan = NULL;
    error = trail_root(rows->reader, rows->next, &batch->root);
    if (error == 0) {
        error = trail_scan_open(rows->reader, rows->next, &rows->scan);
    }
    batch->has_root = error == 0;
    rows->rooted = rows->next;
    return error;
}


static void
fill(rows_t *rows, batch_t *batch)
{
    int error;

    record_t record;
    slice_t entry;
    uint64_t index;

    batch->count = 0;
    batch->used = 0;
    batch->has_root = false;
    batch->result = rows->next < rows->end ? 1 : 0;
    while (rows->next < rows->end && batch->count < ROWS_MAX &&
           ROWS_BYTES - batch->used >= TRAIL_ENTRY_MAX)
    {
        batch->result = trail_scan_next(rows->scan, &index, &entry);
        if (batch->result != 1) {
            break;
        }
        rows->next = index + 1;
        if (record_parse(entry, &record, rows->buffer)) {
            add_row(batch, rows->key, index, &record);
        }
    }
    if (batch->result == 1 && rows->next >= rows->end) {
        batch->result = 0;
    }
    batch->next = rows->next;
    if (batch->result >= 0 && rows->next > rows->rooted &&
        (batch->result == 0 || rows->next - rows->rooted >= ROOT_EVERY))
    {
        error = take_root(rows, batch);
        batch->result = error < 0 ? error : batch->result;
    }
}


static void *
read_ahead(void *context)
{
    rows_t *rows = context;
    bool more = true;

    while (more) {
        batch_t *batch;

        pthread_mutex_lock(&rows->mutex);
        while (!rows->stop && rows->made - rows->used == rows->batches_count) {
            pthread_cond_wait(&rows->changed, &rows->mutex);
        }
        more = !rows->stop;
        batch = &rows->batches[rows->made % rows->batches_count];
        pthread_mutex_unlock(&rows->mutex);
        if (!more) {
            break;
        }
        fill(rows, batch);
        more = batch->result == 1;
        pthread_mutex_lock(&rows->mutex);
        rows->made++;
        pthread_cond_broadcast(&rows->changed);
        pthread_mutex_unlock(&rows->mutex);
    }
    return NULL;
}


int
rows_open(rows_t *rows, trail_reader_t *reader, const uint8_t *key,
          uint64_t from, uint64_t end, bool threaded)
{
    int error;

    *rows = (rows_t){
        .reader = reader, .key = key, .next = from, .rooted = from, .end = end};
    pthread_mutex_init(&rows->mutex, NULL);
    pthread_cond_init(&rows->changed, NULL);
    rows->batches_count = threaded ? ROWS_AHEAD : 1;
    rows->batches = calloc(rows->batches_count, sizeof(*rows->batches));
    rows->buffer = malloc(TRAIL_ENTRY_MAX);
    if (rows->batches == NULL || rows->buffer == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < rows->batches_count; i++) {
        rows->batches[i].bytes = malloc(ROWS_BYTES);
        if (rows->batches[i].bytes == NULL) {
            return -ENOMEM;
        }
    }
    error = trail_scan_open(reader, from, &rows->scan);
    if (error == 0 && threaded) {
        error = -pthread_create(&rows->thread, NULL, read_ahead, rows);
        rows->threaded = error == 0;
    }
    return error;
}


void
rows_close(rows_t *rows)
{
    if (rows->threaded) {
        pthread_mutex_lock(&rows->mutex);
        rows->stop = true;
        pthread_cond_broadcast(&rows->changed);
        pthread_mutex_unlock(&rows->mutex);
        (void) pthread_join(rows->thread, NULL);
    }
    for (size_t i = 0; rows->batches != NULL && i < rows->batches_count; i++) {
        free(rows->batches[i].bytes);
    }
    trail_scan_free(rows->scan);
    free(rows->batches);
    free(rows->buffer);
    pthread_cond_destroy(&rows->changed);
    pthread_mutex_destroy(&rows->mutex);
    *rows = (rows_t){0};
}


const batch_t *
rows_next(rows_t *rows)
{
    batch_t *batch;

    if (!rows->threaded) {
        fill(rows, &rows->batches[0]);
        return &rows->batches[0];
    }
    /* `used` counts those given back: the one in hand is given back now, and
     * the first call has none in hand */
    pthread_mutex_lock(&rows->mutex);
    if (rows->in_hand) {
        rows->used++;
        pthread_cond_broadcast(&rows->changed);
    }
    rows->in_hand = true;
    while (rows->made == rows->used) {
        pthread_cond_wait(&rows->changed, &rows->mutex);
    }
    batch = &rows->batches[rows->used % rows->batches_count];
    pthread_mutex_unlock(&rows->mutex);
    return batch;
}
