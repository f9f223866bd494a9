/*
 * Records on their way.
 *
 * They are numbered from 1 and lie in a ring until they are settled: by an
 * acknowledgement, which covers all numbers up to its own, or by a refusal,
 * which comes before the acknowledgement that covers it and leaves a hole.
 */

#include "ngx_http_sekisho_connection_internal.h"

#define NGX_HTTP_SEKISHO_ORDINARY 4096 /* bytes of a record, mostly */

static uint64_t ngx_http_sekisho_skipped(ngx_http_sekisho_connection_t *sc,
                                         uint64_t number);
static void ngx_http_sekisho_note_latency(ngx_http_sekisho_connection_t *sc,
                                          uint64_t since);
static ngx_http_sekisho_entry_t **
ngx_http_sekisho_find(ngx_http_sekisho_connection_t *sc, uint64_t tag);

const ngx_uint_t ngx_http_sekisho_latencies[NGX_HTTP_SEKISHO_LATENCIES] = {
    100,   250,   500,    1000,   2500,   5000,    10000,
    25000, 50000, 100000, 250000, 500000, 1000000, 2500000};


static ngx_http_sekisho_entry_t *
ngx_http_sekisho_entry(ngx_http_sekisho_connection_t *sc, uint64_t number)
{
    return &sc->entries[number & (NGX_HTTP_SEKISHO_PENDING_MAX - 1)];
}


ngx_int_t
ngx_http_sekisho_send(ngx_http_sekisho_connection_t *sc, const record_t *record,
                      const ngx_http_sekisho_subject_t *subject,
                      ngx_http_sekisho_waiter_t *waiter)
{
    size_t size;
    uint64_t used;
    uint8_t bytes[RECORD_SIZE_MAX];
    ngx_uint_t spare;
    ngx_http_sekisho_entry_t *entry, **list;

    /* holes count: a number has its place in the ring */
    used = sc->last + 1 - sc->first;
    spare = waiter ? NGX_HTTP_SEKISHO_SPARE : 0;

    size = record_encode(record, bytes, sizeof(bytes));

    if (used + spare >= NGX_HTTP_SEKISHO_PENDING_MAX ||
        sc->pending_bytes + size + spare * NGX_HTTP_SEKISHO_ORDINARY / 4 >
            NGX_HTTP_SEKISHO_PENDING_BYTES)
    {
        (void) ngx_atomic_fetch_add(&sc->conf.stats->turned_away, 1);
        return NGX_BUSY;
    }

    entry = ngx_http_sekisho_entry(sc, sc->last + 1);

    entry->bytes = ngx_alloc(size, sc->timer.log);
    if (entry->bytes == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(entry->bytes, bytes, size);

    entry->size = size;
    entry->time = ngx_http_sekisho_microseconds();
    ngx_queue_init(&entry->waiters);
    ngx_memzero(&entry->subject, sizeof(ngx_http_sekisho_subject_t));

    if (subject && subject->tag) {
        entry->subject = *subject;
        list = &sc->tags[subject->tag & (NGX_HTTP_SEKISHO_TAGS - 1)];
        entry->next = *list;
        *list = entry;
    }

    if (waiter) {
        waiter->result = NGX_HTTP_SEKISHO_UNSETTLED;
        waiter->queued = 1;
        ngx_queue_insert_tail(&entry->waiters, &waiter->queue);
    }

    if (sc->pending == 0) {
        sc->progress = ngx_current_msec;
    }

    sc->last++;
    sc->pending++;
    sc->pending_bytes += size;

    (void) ngx_atomic_fetch_add(&sc->conf.stats->sent, 1);

    if (sc->welcomed && sc->connection->write->ready) {
        ngx_post_event(&sc->flush, &ngx_posted_events);
    }

    return NGX_OK;
}


size_t
ngx_http_sekisho_packet(ngx_http_sekisho_connection_t *sc, uint64_t *after)
{
    char text[NGX_INT64_LEN + 1];
    uint64_t number, skipped;
    record_t record;
    message_batch_t batch;
    ngx_http_sekisho_entry_t *entry;

    number = ngx_max(sc->next, sc->first);

    while (number <= sc->last &&
           ngx_http_sekisho_entry(sc, number)->bytes == NULL) {
        number++;
    }

    message_batch_begin(&batch, sc->packet, sizeof(sc->packet), number);

    skipped = number <= sc->last ? ngx_http_sekisho_skipped(sc, number) : 0;

    for (/* void */; number <= sc->last; number++) {
        entry = ngx_http_sekisho_entry(sc, number);

        if (entry->bytes == NULL) {
            break;
        }

        if (!record_decode(entry->bytes, entry->size, &record)) {
            ngx_log_error(NGX_LOG_ALERT, sc->timer.log, 0,
                          "audit: a record cannot be read back");
            ngx_http_sekisho_settle(sc, number, NGX_HTTP_SEKISHO_REFUSED);
            break;
        }

        if (skipped) {
            record.values[RECORD_SKIPPED] = (slice_t){
                text, (size_t) (ngx_sprintf((u_char *) text, "%uL", skipped) -
                                (u_char *) text)};
            skipped = 0;
        }

        if (!message_batch_add(&batch, &record)) {
            break;
        }
    }

    *after = number;

    return message_batch_end(&batch);
}


/* How many numbers directly before this one were refused: they are neither
 * pending nor known to be recorded. */

static uint64_t
ngx_http_sekisho_skipped(ngx_http_sekisho_connection_t *sc, uint64_t number)
{
    uint64_t before;

    for (before = number - 1; before >= sc->first; before--) {
        if (ngx_http_sekisho_entry(sc, before)->bytes) {
            return number - 1 - before;
        }
    }

    return number - 1 - ngx_min(sc->recorded, number - 1);
}


/* ---- Settling ---- */

void
ngx_http_sekisho_settle_up_to(ngx_http_sekisho_connection_t *sc,
                              uint64_t number)
{
    uint64_t n;

    for (n = sc->first; n <= number && n <= sc->last; n++) {
        if (ngx_http_sekisho_entry(sc, n)->bytes) {
            sc->recorded = n;
            ngx_http_sekisho_settle(sc, n, NGX_HTTP_SEKISHO_RECORDED);
        }
    }

    while (sc->first <= sc->last &&
           ngx_http_sekisho_entry(sc, sc->first)->bytes == NULL)
    {
        sc->first++;
    }
}


void
ngx_http_sekisho_settle(ngx_http_sekisho_connection_t *sc, uint64_t number,
                        ngx_http_sekisho_result_e result)
{
    ngx_queue_t *q;
    ngx_http_sekisho_entry_t *entry, **link;
    ngx_http_sekisho_waiter_t *waiter;

    entry = ngx_http_sekisho_entry(sc, number);

    if (entry->bytes == NULL) {
        return;
    }

    ngx_free(entry->bytes);
    entry->bytes = NULL;

    sc->pending--;
    sc->pending_bytes -= entry->size;

    if (result == NGX_HTTP_SEKISHO_RECORDED) {
        (void) ngx_atomic_fetch_add(&sc->conf.stats->recorded, 1);
        ngx_http_sekisho_note_latency(sc, entry->time);

    } else {
        (void) ngx_atomic_fetch_add(&sc->conf.stats->refused, 1);
    }

    if (entry->subject.tag) {
        link = &sc->tags[entry->subject.tag & (NGX_HTTP_SEKISHO_TAGS - 1)];

        while (*link != entry) {
            link = &(*link)->next;
        }

        *link = entry->next;

        sc->conf.settled(sc->conf.data, &entry->subject, result);
    }

    while (!ngx_queue_empty(&entry->waiters)) {
        q = ngx_queue_head(&entry->waiters);
        waiter = ngx_queue_data(q, ngx_http_sekisho_waiter_t, queue);

        ngx_http_sekisho_forget(waiter);
        waiter->result = result;
        waiter->handler(waiter);
    }
}


void
ngx_http_sekisho_drop(ngx_http_sekisho_connection_t *sc)
{
    uint64_t number;
    ngx_http_sekisho_entry_t *entry;

    for (number = sc->first; number <= sc->last; number++) {
        entry = ngx_http_sekisho_entry(sc, number);

        if (entry->bytes) {
            ngx_free(entry->bytes);
            entry->bytes = NULL;
        }
    }

    sc->pending = 0;
    sc->pending_bytes = 0;
}


static void
ngx_http_sekisho_note_latency(ngx_http_sekisho_connection_t *sc, uint64_t since)
{
    uint64_t us;
    ngx_uint_t i;

    us = ngx_http_sekisho_microseconds() - since;

    for (i = 0; i < NGX_HTTP_SEKISHO_LATENCIES; i++) {
        if (us <= ngx_http_sekisho_latencies[i]) {
            break;
        }
    }

    (void) ngx_atomic_fetch_add(&sc->conf.stats->latencies[i], 1);
    (void) ngx_atomic_fetch_add(&sc->conf.stats->latency_us,
                                (ngx_atomic_int_t) us);
}


/* ---- Waiting ---- */

ngx_int_t
ngx_http_sekisho_wait(ngx_http_sekisho_connection_t *sc, uint64_t tag,
                      ngx_http_sekisho_waiter_t *waiter)
{
    ngx_http_sekisho_entry_t *entry;

    entry = *ngx_http_sekisho_find(sc, tag);

    if (entry == NULL) {
        return NGX_DECLINED;
    }

    waiter->result = NGX_HTTP_SEKISHO_UNSETTLED;
    waiter->queued = 1;
    ngx_queue_insert_tail(&entry->waiters, &waiter->queue);

    return NGX_OK;
}


void
ngx_http_sekisho_forget(ngx_http_sekisho_waiter_t *waiter)
{
    if (waiter->queued) {
        waiter->queued = 0;
        ngx_queue_remove(&waiter->queue);
    }
}


static ngx_http_sekisho_entry_t **
ngx_http_sekisho_find(ngx_http_sekisho_connection_t *sc, uint64_t tag)
{
    ngx_http_sekisho_entry_t **link;

    link = &sc->tags[tag & (NGX_HTTP_SEKISHO_TAGS - 1)];

    while (*link && (*link)->subject.tag != tag) {
        link = &(*link)->next;
    }

    return link;
}


ngx_uint_t
ngx_http_sekisho_room(ngx_http_sekisho_connection_t *sc, ngx_uint_t records)
{
    return sc->last + 1 - sc->first + records < NGX_HTTP_SEKISHO_PENDING_MAX &&
           sc->pending_bytes + records * NGX_HTTP_SEKISHO_ORDINARY <
               NGX_HTTP_SEKISHO_PENDING_BYTES;
}


uint64_t
ngx_http_sekisho_microseconds(void)
{
    struct timespec ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000 + (uint64_t) ts.tv_nsec / 1000;
}
