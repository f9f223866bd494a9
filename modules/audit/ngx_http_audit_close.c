/*
 * Accesses come to their end: when they were idle, or when their place is
 * needed.
 */

#include "ngx_http_audit.h"

#define NGX_HTTP_AUDIT_SLICE       32 /* accesses looked at in one go */
#define NGX_HTTP_AUDIT_STALE_TIMES 4  /* idle times; a worker was killed */
#define NGX_HTTP_AUDIT_STALE_MIN   60000

static void ngx_http_audit_take(ngx_http_audit_shared_t *shared,
                                ngx_http_audit_node_t *node,
                                ngx_http_audit_taken_t *taken);


ngx_http_audit_node_t *
ngx_http_audit_make_room(ngx_http_audit_main_conf_t *amcf,
                         ngx_http_audit_taken_t *taken, ngx_uint_t *close)
{
    ngx_uint_t i;
    ngx_queue_t *q;
    ngx_http_audit_node_t *node;
    ngx_http_audit_shared_t *shared;

    shared = amcf->zone->shared;

    q = ngx_queue_last(&shared->used);

    for (i = 0; ngx_queue_empty(&shared->free); i++) {
        if (i == NGX_HTTP_AUDIT_SLICE || q == ngx_queue_sentinel(&shared->used))
        {
            return NULL;
        }

        node = ngx_queue_data(q, ngx_http_audit_node_t, queue);
        q = ngx_queue_prev(q);

        if (node->refs) {
            continue;
        }

        if (node->state == NGX_HTTP_AUDIT_OPEN) {
            if (!ngx_http_sekisho_is_up(amcf->connection) ||
                !ngx_http_sekisho_room(amcf->connection, 2))
            {
                return NULL;
            }

            *close = 1;
        }

        /* else: its record was refused, there is nothing to close */

        ngx_http_audit_take(shared, node, taken);
    }

    q = ngx_queue_head(&shared->free);
    ngx_queue_remove(q);

    return ngx_queue_data(q, ngx_http_audit_node_t, queue);
}


/* Under the lock. */

static void
ngx_http_audit_take(ngx_http_audit_shared_t *shared,
                    ngx_http_audit_node_t *node, ngx_http_audit_taken_t *taken)
{
    ngx_http_audit_node_t **link;

    ngx_memcpy(taken, node, NGX_HTTP_AUDIT_NODE);

    link = ngx_http_audit_bucket(shared, &node->key);

    while (*link != node) {
        link = &(*link)->next;
    }

    *link = node->next;

    ngx_queue_remove(&node->queue);
    ngx_queue_insert_head(&shared->free, &node->queue);
    shared->count--;
}


ngx_uint_t
ngx_http_audit_close_idle(ngx_http_audit_main_conf_t *amcf)
{
    int64_t now, idle, stale;
    ngx_uint_t i, close;
    ngx_queue_t *q;
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

        if (now - node->last < (node->refs ? stale : idle)) {
            /* used since, or under way: it has its turn again */
            node->touched = now;
            ngx_queue_remove(q);
            ngx_queue_insert_head(&shared->used, q);

        } else {
            close = node->state == NGX_HTTP_AUDIT_OPEN || node->refs;
            ngx_http_audit_take(shared, node, &taken);
        }

        ngx_shmtx_unlock(&amcf->zone->shpool->mutex);

        if (close) {
            ngx_http_audit_close(amcf, &taken.node,
                                 taken.node.superseded ? "age" : "idle");
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

    now = ngx_http_audit_now();

    if (node->state != NGX_HTTP_AUDIT_OPEN &&
        record_decode(node->record, node->record_size, &kept))
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

    rc = ngx_http_sekisho_send(amcf->connection, &record.record, NULL, NULL);

    if (rc != NGX_OK) {
        ngx_log_error(NGX_LOG_CRIT, ngx_cycle->log, 0,
                      "audit: the close of an access could not be recorded");
    }
}
