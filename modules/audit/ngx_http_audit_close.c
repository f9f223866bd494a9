/*
 * Accesses come to their end: when they were idle, or when their place is
 * needed.
 */

#include "ngx_http_audit.h"

#define NGX_HTTP_AUDIT_SLICE       32 /* accesses looked at in one go */
#define NGX_HTTP_AUDIT_STALE_TIMES 4  /* idle times; a worker was killed */
#define NGX_HTTP_AUDIT_STALE_MIN   60000

static void ngx_http_audit_closing(ngx_http_audit_shared_t *shared,
                                   ngx_http_audit_node_t *node, int64_t now);
static void ngx_http_audit_free(ngx_http_audit_shared_t *shared,
                                ngx_http_audit_node_t *node);


ngx_http_audit_node_t *
ngx_http_audit_make_room(ngx_http_audit_main_conf_t *amcf,
                         ngx_http_audit_taken_t *taken, ngx_uint_t *close)
{
    ngx_uint_t i;
    ngx_queue_t *q, *prev;
    ngx_http_audit_node_t *node;
    ngx_http_audit_shared_t *shared;

    shared = amcf->zone->shared;

    q = ngx_queue_last(&shared->used);

    for (i = 0; shared->count >= shared->capacity; i++) {
        if (i == NGX_HTTP_AUDIT_SLICE || q == ngx_queue_sentinel(&shared->used))
        {
            return NULL;
        }

        node = ngx_queue_data(q, ngx_http_audit_node_t, queue);
        prev = ngx_queue_prev(q);

        if (node->refs || node->state == NGX_HTTP_AUDIT_CLOSING) {
            q = prev;
            continue;
        }

        if (node->state == NGX_HTTP_AUDIT_OPENING) {
            /* its record was refused, there is nothing to close */
            ngx_http_audit_free(shared, node);
            break;
        }

        if (ngx_queue_empty(&shared->free) ||
            !ngx_http_sekisho_is_up(amcf->connection) ||
            !ngx_http_sekisho_room(amcf->connection, 2))
        {
            return NULL;
        }

        ngx_http_audit_closing(shared, node, ngx_http_audit_now());
        ngx_memcpy(taken, node, NGX_HTTP_AUDIT_NODE);
        *close = 1;
        break;
    }

    if (ngx_queue_empty(&shared->free)) {
        return NULL;
    }

    q = ngx_queue_head(&shared->free);
    ngx_queue_remove(q);

    return ngx_queue_data(q, ngx_http_audit_node_t, queue);
}


/* Under the lock: it takes no requests any more, and its place is needed until
 * its close is on disk. */

static void
ngx_http_audit_closing(ngx_http_audit_shared_t *shared,
                       ngx_http_audit_node_t *node, int64_t now)
{
    if (node->state != NGX_HTTP_AUDIT_CLOSING) {
        shared->count--;
    }

    if (node->state == NGX_HTTP_AUDIT_OPENING) {
        node->unopened = 1;
    }

    node->state = NGX_HTTP_AUDIT_CLOSING;
    node->superseded = 1;

    /* if nothing comes of it, it has its turn again */
    node->touched = now;
    ngx_queue_remove(&node->queue);
    ngx_queue_insert_head(&shared->used, &node->queue);
}


void
ngx_http_audit_closed(ngx_http_audit_shared_t *shared,
                      ngx_http_audit_node_t *node,
                      ngx_http_sekisho_result_e result)
{
    if (result == NGX_HTTP_SEKISHO_RECORDED) {
        ngx_http_audit_free(shared, node);

    } else {
        /* it is open, and closed when it has its turn again */
        node->state = NGX_HTTP_AUDIT_OPEN;
        shared->count++;
    }
}


/* Under the lock. */

static void
ngx_http_audit_free(ngx_http_audit_shared_t *shared,
                    ngx_http_audit_node_t *node)
{
    ngx_http_audit_node_t **link;

    link = ngx_http_audit_bucket(shared, &node->key);

    while (*link != node) {
        link = &(*link)->next;
    }

    *link = node->next;

    if (node->state != NGX_HTTP_AUDIT_CLOSING) {
        shared->count--;
    }

    ngx_queue_remove(&node->queue);
    ngx_queue_insert_head(&shared->free, &node->queue);
}


ngx_uint_t
ngx_http_audit_close_idle(ngx_http_audit_main_conf_t *amcf)
{
    int64_t now, idle, stale;
    ngx_uint_t i, close;
    ngx_queue_t *q;
    const char *reason;
    ngx_http_audit_node_t *node;
    ngx_http_audit_taken_t taken;
    ngx_http_audit_shared_t *shared;

    shared = amcf->zone->shared;
    now = ngx_http_audit_now();
    idle = (int64_t) amcf->idle;
    stale = ngx_max(idle * NGX_HTTP_AUDIT_STALE_TIMES,
                    NGX_HTTP_AUDIT_STALE_MIN);

    for (i = 0; i < NGX_HTTP_AUDIT_SLICE; i++) {
        if (!ngx_http_sekisho_room(amcf->connection, 2)) {
            return 0;
        }

        close = 0;
        reason = "idle";

        ngx_shmtx_lock(&amcf->zone->shpool->mutex);

        q = ngx_queue_last(&shared->used);

        if (q == ngx_queue_sentinel(&shared->used)) {
            ngx_shmtx_unlock(&amcf->zone->shpool->mutex);
            return 0;
        }

        node = ngx_queue_data(q, ngx_http_audit_node_t, queue);

        if (now - node->touched < idle) {
            ngx_shmtx_unlock(&amcf->zone->shpool->mutex);
            return 0;
        }

        if (node->state != NGX_HTTP_AUDIT_CLOSING &&
            now - node->last < (node->refs ? stale : idle))
        {
            /* used since, or under way: it has its turn again */
            node->touched = now;
            ngx_queue_remove(q);
            ngx_queue_insert_head(&shared->used, q);

        } else if (node->state == NGX_HTTP_AUDIT_OPENING && node->refs == 0) {
            ngx_http_audit_free(shared, node);

        } else {
            if (node->superseded && node->state != NGX_HTTP_AUDIT_CLOSING) {
                reason = "age";
            }

            close = 1;
            ngx_http_audit_closing(shared, node, now);
            ngx_memcpy(&taken, node, NGX_HTTP_AUDIT_NODE);
        }

        ngx_shmtx_unlock(&amcf->zone->shpool->mutex);

        if (close) {
            ngx_http_audit_close(amcf, &taken.node, reason);
        }
    }

    return 1;
}


void
ngx_http_audit_close(ngx_http_audit_main_conf_t *amcf,
                     const ngx_http_audit_node_t *node, const char *reason)
{
    int64_t now;
    uint8_t id[NGX_HTTP_AUDIT_ID_SIZE];
    record_t kept;
    ngx_int_t rc;
    ngx_http_audit_record_t record;
    ngx_http_sekisho_subject_t subject;

    now = ngx_http_audit_now();

    subject.tag = node->serial | NGX_HTTP_AUDIT_TAG_CLOSE;
    subject.key[0] = node->key.low;
    subject.key[1] = node->key.high;

    if (node->unopened && record_decode(node->record, node->record_size, &kept))
    {
        ngx_http_audit_record_init(&record, EVENT_ACCESS, node->id, now, 0);
        kept.values[RECORD_ID] = record.record.values[RECORD_ID];
        kept.values[RECORD_TIME] = record.record.values[RECORD_TIME];
        kept.values[RECORD_EVENT] = record.record.values[RECORD_EVENT];
        kept.values[RECORD_OUTCOME] = record.record.values[RECORD_OUTCOME];

        (void) ngx_http_sekisho_send(amcf->connection, &kept, NULL, NULL);
    }

    ngx_http_sekisho_random_id(amcf->connection, id);
    ngx_http_audit_record_close(&record, node, id, now, reason);

    rc = ngx_http_sekisho_send(amcf->connection, &record.record, &subject,
                               NULL);

    if (rc != NGX_OK) {
        ngx_log_error(NGX_LOG_CRIT, ngx_cycle->log, 0,
                      "audit: the close of an access could not be recorded, "
                      "and is tried again");
    }
}
