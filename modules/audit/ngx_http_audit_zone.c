/*
 * The accesses that are open, in memory that all workers share.
 *
 * Places are of one size and there is a fixed number of them: when none is
 * left, the access that was used longest ago is closed to make room.  Nothing
 * is dropped: what cannot be closed, because the daemon does not answer or
 * requests of it are under way, stays.
 */

#include "ngx_http_audit.h"

#define NGX_HTTP_AUDIT_MAGIC  UINT64_C(0x53656b6973686f31) /* "Sekisho1" */
#define NGX_HTTP_AUDIT_LAYOUT 4

/* Places for accesses whose close is on its way to the disk. */
#define NGX_HTTP_AUDIT_CLOSING_PART 8 /* of all, one in so many */
#define NGX_HTTP_AUDIT_CLOSING_MAX  1024

#define NGX_HTTP_AUDIT_TOUCH_MS 1000 /* the queue is no more exact */

static ngx_int_t ngx_http_audit_fill_zone(ngx_shm_zone_t *shm_zone,
                                          ngx_http_audit_zone_t *zone);
static ngx_http_audit_node_t *
ngx_http_audit_find(ngx_http_audit_shared_t *shared, const siphash_t *key,
                    uint64_t serial);
static ngx_int_t ngx_http_audit_join(ngx_http_audit_shared_t *shared,
                                     ngx_http_audit_ctx_t *ctx, int64_t now);
static void ngx_http_audit_touch(ngx_http_audit_shared_t *shared,
                                 ngx_http_audit_node_t *node, int64_t now);
static void ngx_http_audit_count_status(ngx_http_audit_node_t *node,
                                        ngx_uint_t status);
static void ngx_http_audit_count_instance(ngx_http_audit_node_t *node,
                                          uint64_t hash);


/* ---- The zone ---- */

ngx_int_t
ngx_http_audit_init_zone(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_http_audit_zone_t *zone = shm_zone->data;
    ngx_http_audit_zone_t *old = data;

    if (old == NULL && !shm_zone->shm.exists) {
        return ngx_http_audit_fill_zone(shm_zone, zone);
    }

    zone->shpool = old ? old->shpool : (ngx_slab_pool_t *) shm_zone->shm.addr;
    zone->shared = zone->shpool->data;

    if (zone->shared->magic != NGX_HTTP_AUDIT_MAGIC ||
        zone->shared->layout != NGX_HTTP_AUDIT_LAYOUT ||
        zone->shared->node_size != NGX_HTTP_AUDIT_NODE)
    {
        ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                      "the audit zone \"%V\" has the layout of another version "
                      "of this module: restart nginx",
                      &shm_zone->shm.name);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_audit_fill_zone(ngx_shm_zone_t *shm_zone, ngx_http_audit_zone_t *zone)
{
    size_t size;
    u_char *nodes;
    ngx_uint_t i, n, buckets;
    ngx_slab_pool_t *shpool;
    ngx_http_audit_node_t *node;
    ngx_http_audit_shared_t *shared;

    shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    shared = ngx_slab_calloc(shpool, sizeof(ngx_http_audit_shared_t));
    if (shared == NULL) {
        return NGX_ERROR;
    }

    shared->magic = NGX_HTTP_AUDIT_MAGIC;
    shared->layout = NGX_HTTP_AUDIT_LAYOUT;
    shared->node_size = NGX_HTTP_AUDIT_NODE;
    shared->places = -1;

    if (ngx_http_sekisho_random(shared->instance, sizeof(shared->instance)) !=
            NGX_OK ||
        ngx_http_sekisho_random(shared->secret, sizeof(shared->secret)) !=
            NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_queue_init(&shared->used);
    ngx_queue_init(&shared->free);

    shared->folds = ngx_slab_calloc(shpool, (NGX_HTTP_AUDIT_FOLDS + 2) *
                                                sizeof(ngx_http_audit_fold_t));
    shared->facilities = ngx_slab_calloc(
        shpool, NGX_HTTP_AUDIT_PLACES * sizeof(ngx_http_audit_place_t));

    for (buckets = 64; buckets * NGX_HTTP_AUDIT_NODE < shm_zone->shm.size;
         buckets *= 2)
    {
        /* void */
    }

    shared->mask = buckets - 1;
    shared->buckets = ngx_slab_calloc(shpool,
                                      buckets * sizeof(*shared->buckets));

    if (shared->folds == NULL || shared->facilities == NULL ||
        shared->buckets == NULL ||
        ngx_http_audit_learn_init(shpool, shared, shm_zone->shm.size) != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* all that is left but a page, which the slab may have set aside */
    size = (shpool->pfree - 1) * ngx_pagesize;
    nodes = ngx_slab_calloc(shpool, size);
    if (nodes == NULL) {
        return NGX_ERROR;
    }

    n = size / NGX_HTTP_AUDIT_NODE;
    shared->capacity = n - ngx_min(n / NGX_HTTP_AUDIT_CLOSING_PART,
                                   NGX_HTTP_AUDIT_CLOSING_MAX);

    for (i = 0; i < n; i++) {
        node = (ngx_http_audit_node_t *) (nodes + i * NGX_HTTP_AUDIT_NODE);
        ngx_queue_insert_tail(&shared->free, &node->queue);
    }

    shpool->data = shared;

    zone->shpool = shpool;
    zone->shared = shared;

    return NGX_OK;
}


/*
 * A zone that the new configuration does not have any more has no other
 * workers to come.  If none of its places is under audit that is told by the
 * workers that leave.
 */

ngx_int_t
ngx_http_audit_init_module(ngx_cycle_t *cycle)
{
    ngx_uint_t i;
    ngx_shm_zone_t *zone;
    ngx_list_part_t *part;
    ngx_http_audit_zone_t *old;
    ngx_http_audit_shared_t *shared;
    ngx_http_audit_main_conf_t *amcf;

    amcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_audit_module);

    shared = amcf && amcf->shm_zone ? amcf->zone->shared : NULL;

    if (shared) {
        amcf->configured = ++shared->configured;
    }

    part = &cycle->old_cycle->shared_memory.part;

    for (/* void */; part; part = part->next) {
        zone = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (zone[i].init != ngx_http_audit_init_zone) {
                continue;
            }

            old = zone[i].data;

            if (old->shared == NULL || old->shared == shared) {
                continue;
            }

            if (shared == NULL || amcf->places == 0) {
                old->shared->given_up = 1;

            } else {
                /* the other zone's workers tell of it */
                old->shared->configured++;
            }
        }
    }

    return NGX_OK;
}


/* ---- Of a request ---- */

ngx_int_t
ngx_http_audit_enter(ngx_http_request_t *r, ngx_http_audit_ctx_t *ctx)
{
    int64_t now;
    size_t size;
    uint8_t kept[NGX_HTTP_AUDIT_RECORD_MAX], id[NGX_HTTP_AUDIT_ID_SIZE];
    ngx_int_t rc;
    ngx_uint_t close;
    ngx_slab_pool_t *shpool;
    ngx_http_audit_node_t *node, **bucket;
    ngx_http_audit_taken_t taken;
    ngx_http_audit_record_t record;
    ngx_http_audit_shared_t *shared;
    ngx_http_audit_main_conf_t *amcf;

    amcf = ctx->main_conf;
    shared = amcf->zone->shared;
    shpool = amcf->zone->shpool;
    now = ngx_http_audit_now();

    ngx_shmtx_lock(&shpool->mutex);
    rc = ngx_http_audit_join(shared, ctx, now);
    ngx_shmtx_unlock(&shpool->mutex);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    /* prepared outside of the lock, and not for what is open already */

    ngx_http_sekisho_random_id(amcf->connection, id);
    ngx_http_audit_record_init(&record, EVENT_ACCESS, id, now, 0);
    ngx_http_audit_record_request(&record, r, &ctx->what);
    size = ngx_http_audit_encode_kept(&record.record, kept);
    close = 0;

    ngx_shmtx_lock(&shpool->mutex);

    rc = ngx_http_audit_join(shared, ctx, now);

    if (rc == NGX_DECLINED) {
        node = ngx_http_audit_make_room(amcf, &taken, &close);

        if (node) {
            ngx_memzero((u_char *) node + offsetof(ngx_http_audit_node_t, next),
                        NGX_HTTP_AUDIT_NODE -
                            offsetof(ngx_http_audit_node_t, next));

            node->key = ctx->what.key;
            node->serial = ++shared->serial;
            ngx_memcpy(node->id, id, NGX_HTTP_AUDIT_ID_SIZE);
            node->opened = now;
            node->last = now;
            node->touched = now;
            node->record_size = (uint32_t) size;
            ngx_memcpy(node->record, kept, size);

            bucket = ngx_http_audit_bucket(shared, &node->key);
            node->next = *bucket;
            *bucket = node;

            ngx_queue_insert_head(&shared->used, &node->queue);
            shared->count++;

            rc = ngx_http_audit_join(shared, ctx, now);

        } else {
            rc = NGX_BUSY;
        }
    }

    ngx_shmtx_unlock(&shpool->mutex);

    if (close) {
        ngx_http_audit_close(amcf, &taken.node, "zone-full");
    }

    return rc;
}


/* Under the lock.  NGX_DECLINED if there is no such access. */

static ngx_int_t
ngx_http_audit_join(ngx_http_audit_shared_t *shared, ngx_http_audit_ctx_t *ctx,
                    int64_t now)
{
    ngx_http_audit_node_t *node;

    node = ngx_http_audit_find(shared, &ctx->what.key, 0);

    if (node == NULL) {
        return NGX_DECLINED;
    }

    if (now - node->opened > (int64_t) ctx->main_conf->age) {
        /* closed when those that are under way are done */
        node->superseded = 1;
        return NGX_DECLINED;
    }

    node->refs++;
    node->last = now;
    ngx_http_audit_touch(shared, node, now);

    ctx->serial = node->serial;
    ngx_memcpy(ctx->id, node->id, NGX_HTTP_AUDIT_ID_SIZE);

    return node->state == NGX_HTTP_AUDIT_OPEN ? NGX_OK : NGX_AGAIN;
}


void
ngx_http_audit_opening(ngx_http_audit_ctx_t *ctx)
{
    ngx_http_audit_node_t *node;
    ngx_http_audit_zone_t *zone;

    zone = ctx->main_conf->zone;

    ngx_shmtx_lock(&zone->shpool->mutex);

    /* the request holds it, so it is there */
    node = ngx_http_audit_find(zone->shared, &ctx->what.key, ctx->serial);

    if (node) {
        node->refs++;
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);
}


void
ngx_http_audit_settled(void *data, const ngx_http_sekisho_subject_t *subject,
                       ngx_http_sekisho_result_e result)
{
    ngx_http_audit_main_conf_t *amcf = data;

    siphash_t key;
    ngx_http_audit_node_t *node;

    key.low = subject->key[0];
    key.high = subject->key[1];

    ngx_shmtx_lock(&amcf->zone->shpool->mutex);

    if (subject->tag == NGX_HTTP_AUDIT_TAG_LOST) {
        ngx_http_audit_lost_told(amcf->zone->shared, subject->key[0],
                                 subject->key[1], result);

    } else if (subject->tag & NGX_HTTP_AUDIT_TAG_LEARN) {
        ngx_http_audit_learn_settled(amcf->zone->shared, subject, result);

    } else if (subject->tag & NGX_HTTP_AUDIT_TAG_FOLD) {
        ngx_http_audit_fold_told(amcf->zone->shared, subject, result);

    } else if (subject->tag & NGX_HTTP_AUDIT_TAG_CLOSE) {
        node = ngx_http_audit_find(amcf->zone->shared, &key,
                                   subject->tag & ~NGX_HTTP_AUDIT_TAG_CLOSE);

        if (node && node->state == NGX_HTTP_AUDIT_CLOSING) {
            ngx_http_audit_closed(amcf->zone->shared, node, result);
        }

    } else {
        node = ngx_http_audit_find(amcf->zone->shared, &key, subject->tag);

        if (node && node->refs) {
            node->refs--;
        }

        if (node && node->state == NGX_HTTP_AUDIT_OPENING &&
            result == NGX_HTTP_SEKISHO_RECORDED)
        {
            node->state = NGX_HTTP_AUDIT_OPEN;
        }
    }

    ngx_shmtx_unlock(&amcf->zone->shpool->mutex);
}


ngx_int_t
ngx_http_audit_leave(ngx_http_audit_ctx_t *ctx, ngx_uint_t status, off_t bytes)
{
    int64_t now;
    ngx_http_audit_node_t *node;
    ngx_http_audit_zone_t *zone;

    zone = ctx->main_conf->zone;
    now = ngx_http_audit_now();

    ngx_shmtx_lock(&zone->shpool->mutex);

    node = ngx_http_audit_find(zone->shared, &ctx->what.key, ctx->serial);

    if (node && node->refs) {
        node->refs--;
    }

    if (node && node->state == NGX_HTTP_AUDIT_CLOSING) {
        /* its totals are told already */
        node = NULL;
    }

    if (node) {
        node->requests++;
        node->bytes += (uint64_t) bytes;
        node->last = now;
        ngx_http_audit_touch(zone->shared, node, now);
        ngx_http_audit_count_status(node, status);

        if (ctx->what.instance_hash) {
            ngx_http_audit_count_instance(node, ctx->what.instance_hash);
        }
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);

    ctx->serial = 0;

    return node ? NGX_OK : NGX_DECLINED;
}


/* Serial 0: the one that takes requests. */

static ngx_http_audit_node_t *
ngx_http_audit_find(ngx_http_audit_shared_t *shared, const siphash_t *key,
                    uint64_t serial)
{
    ngx_http_audit_node_t *node;

    for (node = *ngx_http_audit_bucket(shared, key); node; node = node->next) {
        if (node->key.low == key->low && node->key.high == key->high &&
            (serial ? node->serial == serial : !node->superseded))
        {
            return node;
        }
    }

    return NULL;
}


static void
ngx_http_audit_touch(ngx_http_audit_shared_t *shared,
                     ngx_http_audit_node_t *node, int64_t now)
{
    /* also if the clock was put back */

    if ((uint64_t) (now - node->touched) >= NGX_HTTP_AUDIT_TOUCH_MS) {
        node->touched = now;
        ngx_queue_remove(&node->queue);
        ngx_queue_insert_head(&shared->used, &node->queue);
    }
}


static void
ngx_http_audit_count_status(ngx_http_audit_node_t *node, ngx_uint_t status)
{
    ngx_uint_t i;

    node->last_status = (uint16_t) status;

    for (i = 0; i < NGX_HTTP_AUDIT_STATUSES; i++) {
        if (node->statuses[i].count == 0) {
            node->statuses[i].status = (uint16_t) status;
        }

        if (node->statuses[i].status == status) {
            node->statuses[i].count++;
            return;
        }
    }

    node->other_statuses++;
}


/* Hashes as long as there is room for them, then bits. */

static void
ngx_http_audit_count_instance(ngx_http_audit_node_t *node, uint64_t hash)
{
    uint64_t bits[NGX_HTTP_AUDIT_INSTANCES];
    ngx_uint_t i, bit;

    if (node->instances_count <= NGX_HTTP_AUDIT_INSTANCES) {
        for (i = 0; i < node->instances_count; i++) {
            if (node->instances[i] == hash) {
                return;
            }
        }

        node->instances_count++;

        if (i < NGX_HTTP_AUDIT_INSTANCES) {
            node->instances[i] = hash;
            return;
        }

        ngx_memzero(bits, sizeof(bits));

        for (i = 0; i < NGX_HTTP_AUDIT_INSTANCES; i++) {
            bit = (node->instances[i] >> 8) & (NGX_HTTP_AUDIT_ESTIMATE - 1);
            bits[bit / 64] |= UINT64_C(1) << (bit % 64);
        }

        ngx_memcpy(node->instances, bits, sizeof(bits));
    }

    bit = (hash >> 8) & (NGX_HTTP_AUDIT_ESTIMATE - 1);
    node->instances[bit / 64] |= UINT64_C(1) << (bit % 64);
}


/*
 * With so many bits still unset, how many were drawn: linear counting (Whang
 * et al., 1990), m ln(m / unset), as a sum instead of a logarithm.
 */

uint64_t
ngx_http_audit_instances(const ngx_http_audit_node_t *node, ngx_uint_t *exact)
{
    double sum;
    ngx_uint_t i, unset;

    *exact = 1;

    if (node->instances_count <= NGX_HTTP_AUDIT_INSTANCES) {
        return node->instances_count;
    }

    *exact = 0;
    unset = NGX_HTTP_AUDIT_ESTIMATE;

    for (i = 0; i < NGX_HTTP_AUDIT_INSTANCES; i++) {
        unset -= (ngx_uint_t) __builtin_popcountll(node->instances[i]);
    }

    sum = 0;

    for (i = unset + 1; i <= NGX_HTTP_AUDIT_ESTIMATE; i++) {
        sum += 1.0 / (double) i;
    }

    return ngx_max((uint64_t) (sum * NGX_HTTP_AUDIT_ESTIMATE + 0.5),
                   node->instances_count);
}
