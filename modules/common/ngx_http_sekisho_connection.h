/*
 * A worker's connection to sekishod: records go out in the order in which they
 * were handed over, and each is settled once, whatever happens to the
 * connection in between.  Never waits; the client for programs that may is
 * lib/ipc/client.h.
 */

#ifndef NGX_HTTP_SEKISHO_CONNECTION_H
#define NGX_HTTP_SEKISHO_CONNECTION_H

#include "ngx_http_sekisho.h"
#include "../../lib/ipc/message.h"

/* Records that a worker keeps until they are settled: a power of two, below
 * the daemon's FRONT_PENDING_MAX. */
#define NGX_HTTP_SEKISHO_PENDING_MAX   8192
#define NGX_HTTP_SEKISHO_PENDING_BYTES (8 * 1024 * 1024)

/* Of these, as many are kept free of records that somebody waits for. */
#define NGX_HTTP_SEKISHO_SPARE 1024

/* Bounds of the histogram, and one more for what took longer. */
#define NGX_HTTP_SEKISHO_LATENCIES 14

/* Zeroed memory is no record on disk. */
typedef enum {
    NGX_HTTP_SEKISHO_UNSETTLED = 0,
    NGX_HTTP_SEKISHO_RECORDED,
    NGX_HTTP_SEKISHO_REFUSED
} ngx_http_sekisho_result_e;

/* In shared memory: all workers add to it. */
typedef struct {
    ngx_atomic_t sent; /* handed over */
    ngx_atomic_t recorded;
    ngx_atomic_t refused;
    ngx_atomic_t turned_away; /* the queue was full */
    ngx_atomic_t connects;
    ngx_atomic_t latencies[NGX_HTTP_SEKISHO_LATENCIES + 1];
    ngx_atomic_t latency_us; /* sum */
} ngx_http_sekisho_stats_t;

/* What a record is about; `tag` 0: it need not be found again. */
typedef struct {
    uint64_t tag;
    uint64_t key[2]; /* the owner's own */
} ngx_http_sekisho_subject_t;

typedef struct ngx_http_sekisho_connection_s ngx_http_sekisho_connection_t;
typedef struct ngx_http_sekisho_waiter_s ngx_http_sekisho_waiter_t;

/* Told of each settled record that had a tag.  Must not send records. */
typedef void (*ngx_http_sekisho_settled_pt)(
    void *data, const ngx_http_sekisho_subject_t *subject,
    ngx_http_sekisho_result_e result);

/* Somebody who waits for a record; owned by who waits. */
struct ngx_http_sekisho_waiter_s {
    ngx_queue_t queue;
    ngx_http_sekisho_result_e result;
    void (*handler)(ngx_http_sekisho_waiter_t *waiter);
    void *data;
    unsigned queued : 1;
};

typedef struct {
    struct sockaddr_un address;
    const char *path; /* NUL-terminated, for the log */
    uint8_t instance[MESSAGE_INSTANCE_SIZE];
    ngx_http_sekisho_stats_t *stats;
    ngx_http_sekisho_settled_pt settled;
    void *data;
} ngx_http_sekisho_connection_conf_t;

/*
 * Begins to connect; `conf` is copied.  Once per worker.  NULL when out of
 * memory.
 */
ngx_http_sekisho_connection_t *
ngx_http_sekisho_connect(ngx_cycle_t *cycle,
                         const ngx_http_sekisho_connection_conf_t *conf);

/* At the end of a worker: hands over what is pending.  That, and what the
 * disconnection hands over, takes two seconds at most, one if nginx is
 * terminated. */
void ngx_http_sekisho_hand_over(ngx_http_sekisho_connection_t *sc);
/* Hands over what is pending, and closes. */
void ngx_http_sekisho_disconnect(ngx_http_sekisho_connection_t *sc);

/*
 * Hands a record over; its values are copied.  `subject` may be NULL, and so
 * may `waiter`, whose handler is called when the record is settled.  NGX_OK;
 * NGX_BUSY: no room, nothing was done; NGX_ERROR: out of memory.
 */
ngx_int_t ngx_http_sekisho_send(ngx_http_sekisho_connection_t *sc,
                                const record_t *record,
                                const ngx_http_sekisho_subject_t *subject,
                                ngx_http_sekisho_waiter_t *waiter);

/* Waits for the record with that tag, if one is under way: NGX_OK, else
 * NGX_DECLINED. */
ngx_int_t ngx_http_sekisho_wait(ngx_http_sekisho_connection_t *sc, uint64_t tag,
                                ngx_http_sekisho_waiter_t *waiter);
void ngx_http_sekisho_forget(ngx_http_sekisho_waiter_t *waiter);

/* Whether so many more records, of up to 4 KB each, have room. */
ngx_uint_t ngx_http_sekisho_room(ngx_http_sekisho_connection_t *sc,
                                 ngx_uint_t records);

/* The daemon answers. */
ngx_uint_t ngx_http_sekisho_is_up(ngx_http_sekisho_connection_t *sc);

/* It makes sense to wait for a record: the daemon answers, or it did a moment
 * ago. */
ngx_uint_t ngx_http_sekisho_is_hopeful(ngx_http_sekisho_connection_t *sc);

/* Records that are not settled yet. */
ngx_uint_t ngx_http_sekisho_pending(ngx_http_sekisho_connection_t *sc);

/* Unix seconds from which on a review is overdue, as the daemon told last; 0:
 * not known. */
int64_t ngx_http_sekisho_review_due(const ngx_http_sekisho_connection_t *sc);

/* 16 random bytes. */
void ngx_http_sekisho_random_id(ngx_http_sekisho_connection_t *sc,
                                uint8_t id[16]);

/* Fills with random bytes; NGX_OK or NGX_ERROR. */
ngx_int_t ngx_http_sekisho_random(void *bytes, size_t size);

/* Upper bounds of the histogram, microseconds. */
extern const ngx_uint_t ngx_http_sekisho_latencies[NGX_HTTP_SEKISHO_LATENCIES];

#endif
