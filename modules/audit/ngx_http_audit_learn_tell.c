/*
 * What the trail is told of studies and patients, until it has it.
 *
 * Two tables of a fixed size in the zone.  One has hashes of what was
 * acknowledged: that is never told again, and the new replaces the old.  The
 * other has records that are on their way, were refused, or could not go out
 * because sekishod was away: some are tried again every second, by whichever
 * worker comes by.  What finds no place there goes out all the same, if it can;
 * if it is not acknowledged, it is told when an answer says it next.
 */

#include "ngx_http_audit.h"

#define NGX_HTTP_AUDIT_LEARN_WAY 4 /* places where one may lie */

/* Records that wait for the daemon; those that somebody waits for go first. */
#define NGX_HTTP_AUDIT_LEARN_PENDING 2048

/* Bytes of a record that is kept: one with long names of all kinds is more. */
#define NGX_HTTP_AUDIT_LEARN_RECORD 464

/* Each time, records that are told again, and places that are looked at. */
#define NGX_HTTP_AUDIT_LEARN_AGAIN 64
#define NGX_HTTP_AUDIT_LEARN_LOOK  1024

#define NGX_HTTP_AUDIT_LEARN_TRIES 8 /* that were refused */

/* Milliseconds without a try, after one that was refused. */
#define NGX_HTTP_AUDIT_LEARN_PAUSE_MIN 1000
#define NGX_HTTP_AUDIT_LEARN_PAUSE_MAX 60000

/* A record that the trail may not have yet. */
struct ngx_http_audit_untold_s {
    uint64_t hash; /* 0: free */
    uint64_t also;
    ngx_pid_t teller; /* who has it on its way; 0: nobody */
    uint16_t size;
    uint8_t tries; /* that were refused */
    uint8_t bytes[NGX_HTTP_AUDIT_LEARN_RECORD];
};

static void ngx_http_audit_learn_note(ngx_http_audit_shared_t *shared,
                                      uint64_t hash);
static ngx_http_audit_untold_t *
ngx_http_audit_learn_find(ngx_http_audit_shared_t *shared, uint64_t hash,
                          ngx_uint_t make);
static ngx_int_t ngx_http_audit_learn_send(ngx_http_audit_main_conf_t *amcf,
                                           const record_t *record,
                                           uint64_t hash, uint64_t also);
static ngx_uint_t ngx_http_audit_learn_pauses(ngx_http_audit_shared_t *shared);
static void ngx_http_audit_learn_unsent(ngx_http_audit_main_conf_t *amcf,
                                        uint64_t hash);
static ngx_http_audit_untold_t *
ngx_http_audit_learn_next(ngx_http_audit_shared_t *shared);


ngx_int_t
ngx_http_audit_learn_tell_init(ngx_slab_pool_t *shpool,
                               ngx_http_audit_shared_t *shared, size_t size)
{
    shared->told_mask = ngx_http_audit_learn_power(size / 64,
                                                   sizeof(uint64_t)) -
                        1;
    shared->untold_mask = ngx_http_audit_learn_power(
                              size / 32, sizeof(ngx_http_audit_untold_t)) -
                          1;

    shared->told = ngx_slab_calloc(shpool,
                                   (shared->told_mask + 1) * sizeof(uint64_t));
    shared->untold = ngx_slab_calloc(
        shpool, (shared->untold_mask + 1) * sizeof(ngx_http_audit_untold_t));

    return shared->told && shared->untold ? NGX_OK : NGX_ERROR;
}


ngx_uint_t
ngx_http_audit_learn_power(size_t size, size_t of)
{
    ngx_uint_t n;

    for (n = NGX_HTTP_AUDIT_LEARN_WAY; 2 * n * of <= size; n *= 2) {
        /* void */
    }

    return n;
}


/* ---- What the trail has ---- */

uint64_t
ngx_http_audit_learn_hash(ngx_http_audit_shared_t *shared, u_char kind,
                          const slice_t *parts, ngx_uint_t n)
{
    u_char text[2048], *p;
    siphash_t hash;
    ngx_uint_t i;

    p = text;
    *p++ = kind;

    for (i = 0; i < n; i++) {
        if (parts[i].size > 320) {
            /* no length is that long */
            *p++ = 0xff;
            *p++ = 0xff;
            hash = siphash(shared->secret, parts[i].data, parts[i].size);
            p = ngx_cpymem(p, &hash, sizeof(hash));
            continue;
        }

        *p++ = (u_char) (parts[i].size >> 8);
        *p++ = (u_char) parts[i].size;

        if (parts[i].size) {
            p = ngx_cpymem(p, parts[i].data, parts[i].size);
        }
    }

    return siphash(shared->secret, text, (size_t) (p - text)).low | 1;
}


/* Without the lock: a place is written in one go, and one that is missed is
 * told twice at worst. */

ngx_uint_t
ngx_http_audit_learn_knows(ngx_http_audit_shared_t *shared, uint64_t hash)
{
    ngx_uint_t i, first;

    first = (hash >> 8) & shared->told_mask &
            ~(ngx_uint_t) (NGX_HTTP_AUDIT_LEARN_WAY - 1);

    for (i = first; i < first + NGX_HTTP_AUDIT_LEARN_WAY; i++) {
        if (__atomic_load_n(&shared->told[i], __ATOMIC_RELAXED) == hash) {
            return 1;
        }
    }

    return 0;
}


/* Under the lock. */

static void
ngx_http_audit_learn_note(ngx_http_audit_shared_t *shared, uint64_t hash)
{
    ngx_uint_t i, first;

    first = (hash >> 8) & shared->told_mask &
            ~(ngx_uint_t) (NGX_HTTP_AUDIT_LEARN_WAY - 1);

    for (i = first; i < first + NGX_HTTP_AUDIT_LEARN_WAY; i++) {
        if (shared->told[i] == 0 || shared->told[i] == hash) {
            break;
        }
    }

    if (i == first + NGX_HTTP_AUDIT_LEARN_WAY) {
        i = first + shared->learn_turn++ % NGX_HTTP_AUDIT_LEARN_WAY;
    }

    __atomic_store_n(&shared->told[i], hash, __ATOMIC_RELAXED);
}


/* ---- What it does not have yet ---- */

/* Under the lock.  NULL: it is not there, and there is no place for it. */

static ngx_http_audit_untold_t *
ngx_http_audit_learn_find(ngx_http_audit_shared_t *shared, uint64_t hash,
                          ngx_uint_t make)
{
    ngx_uint_t i;
    ngx_http_audit_untold_t *untold, *free;

    untold = &shared->untold[(hash >> 8) & shared->untold_mask &
                             ~(ngx_uint_t) (NGX_HTTP_AUDIT_LEARN_WAY - 1)];
    free = NULL;

    for (i = 0; i < NGX_HTTP_AUDIT_LEARN_WAY; i++) {
        if (untold[i].hash == hash) {
            return &untold[i];
        }

        if (untold[i].hash == 0) {
            free = &untold[i];
        }
    }

    return make ? free : NULL;
}


ngx_int_t
ngx_http_audit_learn_tell(ngx_http_audit_main_conf_t *amcf,
                          const record_t *record, uint64_t hash, uint64_t also)
{
    size_t size;
    uint8_t bytes[NGX_HTTP_AUDIT_LEARN_RECORD];
    ngx_uint_t sent, kept, waits;
    ngx_http_audit_shared_t *shared;
    ngx_http_audit_untold_t *untold;

    shared = amcf->zone->shared;
    size = record_encode(record, bytes, sizeof(bytes));

    ngx_shmtx_lock(&amcf->zone->shpool->mutex);

    untold = ngx_http_audit_learn_find(shared, hash, size != 0);
    waits = untold && untold->hash == hash;
    kept = untold != NULL;

    if (kept && !waits) {
        shared->untold_count++;
        untold->hash = hash;
        untold->also = also;
        untold->teller = ngx_pid;
        untold->size = (uint16_t) size;
        untold->tries = 0;
        ngx_memcpy(untold->bytes, bytes, size);
    }

    ngx_shmtx_unlock(&amcf->zone->shpool->mutex);

    if (waits) {
        return NGX_OK;
    }

    sent = !ngx_http_audit_learn_pauses(shared) &&
           ngx_http_audit_learn_send(amcf, record, hash, also) == NGX_OK;

    if (kept && !sent) {
        ngx_http_audit_learn_unsent(amcf, hash);

    } else if (!sent) {
        (void) ngx_atomic_fetch_add(&shared->learned_lost, 1);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_http_audit_learn_pauses(ngx_http_audit_shared_t *shared)
{
    return (ngx_msec_int_t) (shared->learn_pause_end - ngx_current_msec) > 0;
}


/* Nobody waits for these, and they must not take the room of those that
 * somebody waits for. */

static ngx_int_t
ngx_http_audit_learn_send(ngx_http_audit_main_conf_t *amcf,
                          const record_t *record, uint64_t hash, uint64_t also)
{
    ngx_http_sekisho_subject_t subject;

    /* tags are looked up by their lower bits */
    subject.tag = NGX_HTTP_AUDIT_TAG_LEARN | (hash & 0xffffffff) >> 1;
    subject.key[0] = hash;
    subject.key[1] = also;

    return ngx_http_sekisho_is_hopeful(amcf->connection) &&
                   ngx_http_sekisho_pending(amcf->connection) <
                       NGX_HTTP_AUDIT_LEARN_PENDING &&
                   ngx_http_sekisho_send(amcf->connection, record, &subject,
                                         NULL) == NGX_OK
               ? NGX_OK
               : NGX_ERROR;
}


/* It stays for another time. */

static void
ngx_http_audit_learn_unsent(ngx_http_audit_main_conf_t *amcf, uint64_t hash)
{
    ngx_http_audit_untold_t *untold;

    ngx_shmtx_lock(&amcf->zone->shpool->mutex);

    untold = ngx_http_audit_learn_find(amcf->zone->shared, hash, 0);

    if (untold && untold->teller == ngx_pid) {
        untold->teller = 0;
    }

    ngx_shmtx_unlock(&amcf->zone->shpool->mutex);
}


void
ngx_http_audit_learn_settled(ngx_http_audit_shared_t *shared,
                             const ngx_http_sekisho_subject_t *subject,
                             ngx_http_sekisho_result_e result)
{
    ngx_uint_t over;
    ngx_http_audit_untold_t *untold;

    untold = ngx_http_audit_learn_find(shared, subject->key[0], 0);

    if (result == NGX_HTTP_SEKISHO_RECORDED) {
        ngx_http_audit_learn_note(shared, subject->key[0]);

        if (subject->key[1]) {
            ngx_http_audit_learn_note(shared, subject->key[1]);
        }

        (void) ngx_atomic_fetch_add(&shared->learned, 1);
        shared->learn_pause = 0;
        shared->learn_pause_end = ngx_current_msec;
        over = 1;

    } else {
        over = untold == NULL;

        if (untold) {
            untold->teller = 0;

            /* refused while others are not: it will hardly ever be taken.
             * If all are, the disk is full, and that may last */

            if (shared->learn_pause == 0) {
                over = ++untold->tries == NGX_HTTP_AUDIT_LEARN_TRIES;
            }
        }

        if (over) {
            (void) ngx_atomic_fetch_add(&shared->learned_lost, 1);
        }

        if (!ngx_http_audit_learn_pauses(shared)) {
            shared->learn_pause = ngx_min(
                ngx_max(2 * shared->learn_pause,
                        NGX_HTTP_AUDIT_LEARN_PAUSE_MIN),
                NGX_HTTP_AUDIT_LEARN_PAUSE_MAX);
            shared->learn_pause_end = ngx_current_msec + shared->learn_pause;
        }
    }

    if (untold && over) {
        untold->hash = 0;
        shared->untold_count--;
    }
}


/* Under the lock: the next one that nobody has on its way. */

static ngx_http_audit_untold_t *
ngx_http_audit_learn_next(ngx_http_audit_shared_t *shared)
{
    ngx_pid_t alive;
    ngx_uint_t i;
    ngx_http_audit_untold_t *untold;

    alive = ngx_pid;

    for (i = 0; i <= shared->untold_mask && i < NGX_HTTP_AUDIT_LEARN_LOOK; i++)
    {
        untold = &shared->untold[shared->untold_turn++ & shared->untold_mask];

        if (untold->hash == 0 || untold->teller == alive) {
            continue;
        }

        if (untold->teller == 0 ||
            (kill(untold->teller, 0) == -1 && ngx_errno == NGX_ESRCH))
        {
            return untold;
        }

        alive = untold->teller;
    }

    return NULL;
}


ngx_uint_t
ngx_http_audit_learn_sweep(ngx_http_audit_main_conf_t *amcf)
{
    uint8_t id[NGX_HTTP_AUDIT_ID_SIZE];
    u_char text[2 * NGX_HTTP_AUDIT_ID_SIZE];
    record_t record;
    ngx_uint_t n;
    ngx_http_audit_shared_t *shared;
    ngx_http_audit_untold_t *found, untold;

    shared = amcf->zone->shared;

    if (shared->untold_count == 0) {
        return 0;
    }

    for (n = 0; n < NGX_HTTP_AUDIT_LEARN_AGAIN; n++) {
        if (ngx_http_audit_learn_pauses(shared)) {
            return 0;
        }

        ngx_shmtx_lock(&amcf->zone->shpool->mutex);

        found = ngx_http_audit_learn_next(shared);

        if (found) {
            found->teller = ngx_pid;
            untold = *found;
        }

        ngx_shmtx_unlock(&amcf->zone->shpool->mutex);

        if (found == NULL) {
            return 0;
        }

        /* the trail may have it, and nobody lived to hear of it: an id is there
         * once */

        if (!record_decode(untold.bytes, untold.size, &record)) {
            ngx_log_error(NGX_LOG_ALERT, amcf->tick.log, 0,
                          "audit: a record cannot be read back");
            continue;
        }

        ngx_http_sekisho_random_id(amcf->connection, id);
        ngx_http_audit_hex(text, id, sizeof(id));
        record.values[RECORD_ID] = (slice_t){(char *) text, sizeof(text)};

        if (ngx_http_audit_learn_send(amcf, &record, untold.hash,
                                      untold.also) != NGX_OK)
        {
            ngx_http_audit_learn_unsent(amcf, untold.hash);
            return 0;
        }
    }

    return 1;
}
