/*
 * A worker under audit: its connection, its place in the status, what it does
 * every second, and its end.
 */

#include "ngx_http_audit.h"

#define NGX_HTTP_AUDIT_TICK      1000 /* milliseconds */
#define NGX_HTTP_AUDIT_TICK_MORE 50   /* if there is more to be done */

static void ngx_http_audit_take_place(ngx_http_audit_main_conf_t *amcf);
static ngx_uint_t ngx_http_audit_leave_place(ngx_http_audit_main_conf_t *amcf);
static void ngx_http_audit_tell_switch(ngx_http_audit_main_conf_t *amcf);
static void ngx_http_audit_tell_end(ngx_http_audit_main_conf_t *amcf);
static void ngx_http_audit_tick(ngx_event_t *ev);


ngx_int_t
ngx_http_audit_init_process(ngx_cycle_t *cycle)
{
    ngx_http_audit_main_conf_t *amcf;
    ngx_http_sekisho_connection_conf_t conf;

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    amcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_audit_module);

    if (amcf == NULL || amcf->shm_zone == NULL ||
        amcf->address.sun_family != AF_UNIX)
    {
        return NGX_OK;
    }

    ngx_memzero(&conf, sizeof(ngx_http_sekisho_connection_conf_t));

    conf.address = amcf->address;
    conf.path = (const char *) amcf->trail.data;
    conf.stats = &amcf->zone->shared->stats;
    conf.settled = ngx_http_audit_settled;
    conf.data = amcf;
    ngx_memcpy(conf.instance, amcf->zone->shared->instance,
               MESSAGE_INSTANCE_SIZE);

    amcf->memos = ngx_pcalloc(cycle->pool, NGX_HTTP_AUDIT_MEMOS *
                                               sizeof(ngx_http_audit_memo_t));
    if (amcf->memos == NULL) {
        return NGX_ERROR;
    }

    amcf->connection = ngx_http_sekisho_connect(cycle, &conf);
    if (amcf->connection == NULL) {
        return NGX_ERROR;
    }

    ngx_http_audit_take_place(amcf);
    ngx_http_audit_tell_switch(amcf);

    amcf->tick.handler = ngx_http_audit_tick;
    amcf->tick.data = amcf;
    amcf->tick.log = cycle->log;
    amcf->tick.cancelable = 1;

    ngx_add_timer(&amcf->tick, NGX_HTTP_AUDIT_TICK);

    return NGX_OK;
}


void
ngx_http_audit_exit_process(ngx_cycle_t *cycle)
{
    ngx_http_audit_main_conf_t *amcf;

    amcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_audit_module);

    if (amcf == NULL || amcf->connection == NULL) {
        return;
    }

    if (ngx_http_sekisho_is_up(amcf->connection)) {
        (void) ngx_http_audit_fold_sweep(amcf, 1);
        ngx_http_audit_tell_lost(amcf);
    }

    /* so that the last word of all is the last one's */

    ngx_http_sekisho_hand_over(amcf->connection);

    if (ngx_http_audit_leave_place(amcf)) {
        /* what it does not tell nobody will */
        (void) ngx_http_audit_fold_sweep(amcf, 1);
        ngx_http_audit_tell_lost(amcf);
        ngx_http_audit_tell_end(amcf);
    }

    ngx_http_sekisho_disconnect(amcf->connection);
}


/* A place in the status: a free one, or of a worker that is gone. */

static void
ngx_http_audit_take_place(ngx_http_audit_main_conf_t *amcf)
{
    ngx_uint_t i;
    ngx_http_audit_worker_t *worker;

    ngx_shmtx_lock(&amcf->zone->shpool->mutex);

    amcf->zone->shared->started = ngx_max(amcf->zone->shared->started,
                                          amcf->configured);

    for (i = 0; i < NGX_HTTP_AUDIT_WORKERS; i++) {
        worker = &amcf->zone->shared->workers[i];

        if (worker->pid == 0 ||
            (kill((ngx_pid_t) worker->pid, 0) == -1 && ngx_errno == NGX_ESRCH))
        {
            ngx_memzero((void *) worker, sizeof(ngx_http_audit_worker_t));
            worker->pid = (ngx_atomic_uint_t) ngx_pid;
            amcf->worker = worker;
            break;
        }
    }

    ngx_shmtx_unlock(&amcf->zone->shpool->mutex);
}


/* Whether it was the last one, and none is to come: nginx stops, or goes on
 * without an audit. */

static ngx_uint_t
ngx_http_audit_leave_place(ngx_http_audit_main_conf_t *amcf)
{
    ngx_uint_t i, last;
    ngx_http_audit_shared_t *shared;
    ngx_http_audit_worker_t *worker;

    shared = amcf->zone->shared;

    ngx_shmtx_lock(&amcf->zone->shpool->mutex);

    if (amcf->worker) {
        ngx_memzero((void *) amcf->worker, sizeof(ngx_http_audit_worker_t));
        amcf->worker = NULL;
    }

    last = shared->started == shared->configured;

    for (i = 0; last && i < NGX_HTTP_AUDIT_WORKERS; i++) {
        worker = &shared->workers[i];

        last = worker->pid == 0 ||
               ngx_http_audit_is_gone((ngx_pid_t) worker->pid);
    }

    ngx_shmtx_unlock(&amcf->zone->shpool->mutex);

    return last;
}


/* The first worker of a configuration tells whether recording is on. */

static void
ngx_http_audit_tell_switch(ngx_http_audit_main_conf_t *amcf)
{
    u_char note[128], *p;
    uint8_t id[NGX_HTTP_AUDIT_ID_SIZE];
    ngx_int_t before;
    ngx_http_audit_record_t record;
    ngx_http_audit_shared_t *shared;

    shared = amcf->zone->shared;

    ngx_shmtx_lock(&amcf->zone->shpool->mutex);

    before = shared->places;
    shared->places = amcf->places;

    ngx_shmtx_unlock(&amcf->zone->shpool->mutex);

    if (before == amcf->places || (before == -1 && amcf->places == 0)) {
        return;
    }

    if (before <= 0) {
        p = ngx_sprintf(note, "audit is on in %i places%Z", amcf->places);

    } else {
        p = ngx_sprintf(note, "audit is on in %i places, and was in %i%Z",
                        amcf->places, before);
    }

    ngx_http_sekisho_random_id(amcf->connection, id);
    ngx_http_audit_record_init(
        &record, amcf->places ? EVENT_RECORDING_ON : EVENT_RECORDING_OFF, id,
        ngx_http_audit_now(), 0);
    record.record.values[RECORD_SERVICE] = SLICE("web");
    record.record.values[RECORD_VERSION] = SLICE(NGINX_VER);
    record.record.values[RECORD_NOTE] = (slice_t){(char *) note,
                                                  (size_t) (p - note) - 1};

    (void) ngx_http_sekisho_send(amcf->connection, &record.record, NULL, NULL);
}


/* Once: the last word of this nginx, or of its audit. */

static void
ngx_http_audit_tell_end(ngx_http_audit_main_conf_t *amcf)
{
    u_char note[128], *p;
    uint8_t id[NGX_HTTP_AUDIT_ID_SIZE];
    ngx_int_t before;
    ngx_uint_t given_up;
    ngx_http_audit_record_t record;
    ngx_http_audit_shared_t *shared;

    shared = amcf->zone->shared;

    ngx_shmtx_lock(&amcf->zone->shpool->mutex);

    before = shared->places;
    shared->places = -1;
    given_up = shared->given_up;

    ngx_shmtx_unlock(&amcf->zone->shpool->mutex);

    if (before <= 0) {
        return;
    }

    if (given_up) {
        p = ngx_sprintf(note, "audit is on in 0 places, and was in %i", before);

    } else {
        p = ngx_sprintf(note, "audit was on in %i places", before);
    }

    ngx_http_sekisho_random_id(amcf->connection, id);
    ngx_http_audit_record_init(&record,
                               given_up ? EVENT_RECORDING_OFF : EVENT_STOP, id,
                               ngx_http_audit_now(), 0);
    record.record.values[RECORD_SERVICE] = SLICE("web");
    record.record.values[RECORD_VERSION] = SLICE(NGINX_VER);
    record.record.values[RECORD_NOTE] = (slice_t){(char *) note,
                                                  (size_t) (p - note)};

    if (ngx_http_sekisho_send(amcf->connection, &record.record, NULL, NULL) !=
        NGX_OK)
    {
        ngx_log_error(
            NGX_LOG_CRIT, ngx_cycle->log, 0,
            "audit: \"%s\" could not be recorded",
            record_event_name(given_up ? EVENT_RECORDING_OFF : EVENT_STOP));
    }
}


static void
ngx_http_audit_tick(ngx_event_t *ev)
{
    ngx_uint_t more;
    ngx_http_audit_main_conf_t *amcf;
    ngx_http_sekisho_connection_t *sc;

    amcf = ev->data;
    sc = amcf->connection;
    more = 0;

    if (!ngx_http_sekisho_is_up(sc)) {
        amcf->was_up = 0;

    } else {
        more = ngx_http_audit_close_idle(amcf);
        more |= ngx_http_audit_learn_sweep(amcf);

        /* what was counted while nobody could be told does not wait for its
         * minute to end */

        if (ngx_http_audit_fold_sweep(amcf, !amcf->was_up)) {
            amcf->was_up = 1;
        }

        ngx_http_audit_tell_lost(amcf);

        if (amcf->zone->shared->given_up) {
            ngx_http_audit_tell_end(amcf);
        }
    }

    if (amcf->worker) {
        amcf->worker->up = ngx_http_sekisho_is_up(sc);
        amcf->worker->pending = ngx_http_sekisho_pending(sc);
    }

    ngx_add_timer(&amcf->tick,
                  more ? NGX_HTTP_AUDIT_TICK_MORE : NGX_HTTP_AUDIT_TICK);
}
