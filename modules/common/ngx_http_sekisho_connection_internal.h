/* Between the two ngx_http_sekisho_connection files alone. */

#ifndef NGX_HTTP_SEKISHO_CONNECTION_INTERNAL_H
#define NGX_HTTP_SEKISHO_CONNECTION_INTERNAL_H

#include "ngx_http_sekisho_connection.h"

#define NGX_HTTP_SEKISHO_TAGS 1024 /* lists; a power of two */
#define NGX_HTTP_SEKISHO_IDS  64   /* fetched from the kernel at once */

typedef struct ngx_http_sekisho_entry_s ngx_http_sekisho_entry_t;

struct ngx_http_sekisho_entry_s {
    uint8_t *bytes; /* encoded; NULL: a hole */
    size_t size;
    uint64_t time; /* microseconds, when it was handed over */
    ngx_http_sekisho_subject_t subject;
    ngx_http_sekisho_entry_t *next; /* of the same list of tags */
    ngx_queue_t waiters;
};

struct ngx_http_sekisho_connection_s {
    ngx_http_sekisho_connection_conf_t conf;
    uint8_t front[MESSAGE_FRONT_SIZE];

    ngx_connection_t *connection; /* NULL: none */
    ngx_event_t timer;            /* reconnect, or too long without welcome */
    ngx_event_t flush;            /* posted: records are to be written */
    ngx_msec_t backoff;
    ngx_msec_t since;    /* when it was welcomed */
    ngx_msec_t down;     /* when it went down */
    ngx_msec_t progress; /* when the daemon last settled anything */
    time_t complained;   /* of a refusal */
    uint64_t end; /* milliseconds: until when it may wait; 0: no end yet */

    uint64_t first;    /* lowest number that may be unsettled */
    uint64_t next;     /* to be written */
    uint64_t last;     /* given away; 0: none yet */
    uint64_t recorded; /* the last one known to be on disk */

    ngx_uint_t pending;
    size_t pending_bytes;

    size_t ids_left;
    uint8_t ids[NGX_HTTP_SEKISHO_IDS][16];

    ngx_http_sekisho_entry_t *entries;
    ngx_http_sekisho_entry_t *tags[NGX_HTTP_SEKISHO_TAGS];

    int64_t review_due; /* Unix seconds, as the daemon told last; 0: unknown */

    unsigned welcomed : 1;
    unsigned proved : 1; /* it settled a record since */
    unsigned told : 1;   /* the log knows that it is down */

    uint8_t packet[MESSAGE_SIZE_MAX];
};

/* ---- ngx_http_sekisho_pending.c ---- */

/* The next packet, of consecutive numbers, into sc->packet; `after` is the
 * number behind them.  Its size, 0 if there is nothing to be sent. */
size_t ngx_http_sekisho_packet(ngx_http_sekisho_connection_t *sc,
                               uint64_t *after);
/* All up to this number are on disk, but for those that were refused. */
void ngx_http_sekisho_settle_up_to(ngx_http_sekisho_connection_t *sc,
                                   uint64_t number);
void ngx_http_sekisho_settle(ngx_http_sekisho_connection_t *sc, uint64_t number,
                             ngx_http_sekisho_result_e result);
/* Frees what is not settled, without a word to anybody. */
void ngx_http_sekisho_drop(ngx_http_sekisho_connection_t *sc);
uint64_t ngx_http_sekisho_microseconds(void);

#endif
