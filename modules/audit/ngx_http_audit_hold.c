/*
 * The hold: in PRECONTENT, behind the gate's `users` rule.
 *
 * NGX_DECLINED means "recorded, go on" here, and nothing else may lead to it
 * but the configuration's own word.
 */

#include "ngx_http_audit.h"
#include "../common/ngx_http_sekisho_headers.h"

static ngx_http_audit_ctx_t *ngx_http_audit_create_ctx(ngx_http_request_t *r);
static void ngx_http_audit_cleanup(void *data);
static ngx_int_t ngx_http_audit_begin(ngx_http_request_t *r,
                                      ngx_http_audit_ctx_t *ctx,
                                      ngx_http_audit_loc_conf_t *alcf);
static ngx_int_t ngx_http_audit_begin_access(ngx_http_request_t *r,
                                             ngx_http_audit_ctx_t *ctx,
                                             ngx_http_audit_loc_conf_t *alcf);
static ngx_int_t ngx_http_audit_begin_request(ngx_http_request_t *r,
                                              ngx_http_audit_ctx_t *ctx,
                                              ngx_http_audit_loc_conf_t *alcf);
static ngx_int_t ngx_http_audit_send(ngx_http_request_t *r,
                                     ngx_http_audit_ctx_t *ctx,
                                     record_event_t event);
static ngx_int_t ngx_http_audit_hold(ngx_http_request_t *r,
                                     ngx_http_audit_ctx_t *ctx,
                                     ngx_http_audit_loc_conf_t *alcf);
static void ngx_http_audit_settled_handler(ngx_http_sekisho_waiter_t *waiter);
static void ngx_http_audit_resume(ngx_http_request_t *r);
static ngx_int_t ngx_http_audit_pass(ngx_http_request_t *r,
                                     ngx_http_audit_ctx_t *ctx,
                                     ngx_http_audit_loc_conf_t *alcf);
static ngx_int_t ngx_http_audit_fail(ngx_http_request_t *r,
                                     ngx_http_audit_ctx_t *ctx,
                                     ngx_http_audit_loc_conf_t *alcf,
                                     const char *why);
static ngx_uint_t ngx_http_audit_error_page(ngx_http_request_t *r);
static ngx_int_t ngx_http_audit_id_header(ngx_http_request_t *r,
                                          ngx_http_audit_ctx_t *ctx);


ngx_int_t
ngx_http_audit_handler(ngx_http_request_t *r)
{
    ngx_http_audit_ctx_t *ctx;
    ngx_http_audit_what_t what;
    ngx_http_facility_ctx_t *fctx;
    ngx_http_audit_loc_conf_t *alcf;
    ngx_http_audit_main_conf_t *amcf;

    if (r != r->main) {
        return NGX_DECLINED;
    }

    alcf = ngx_http_get_module_loc_conf(r, ngx_http_audit_module);

    if (!alcf->on) {
        return NGX_DECLINED;
    }

    fctx = ngx_http_facility_get_ctx(r);
    ctx = ngx_http_audit_get_ctx(r);

    if (ctx && ctx->step == NGX_HTTP_AUDIT_DENIED) {
        return ngx_http_audit_error_page(r) ? NGX_DECLINED
                                            : NGX_HTTP_SERVICE_UNAVAILABLE;
    }

    if (fctx && fctx->denied) {
        /* the gate sees to it that this is no more than its own page */
        return NGX_DECLINED;
    }

    if (ctx && ctx->step == NGX_HTTP_AUDIT_ASKED) {
        switch (ctx->waiter.result) {
        case NGX_HTTP_SEKISHO_RECORDED:
            return ngx_http_audit_pass(r, ctx, alcf);

        case NGX_HTTP_SEKISHO_REFUSED:
            return ngx_http_audit_fail(r, ctx, alcf,
                                       "sekishod refused the record");

        default:
            return ngx_http_audit_fail(r, ctx, alcf,
                                       "sekishod did not answer in time");
        }
    }

    amcf = ngx_http_get_module_main_conf(r, ngx_http_audit_module);

    if (amcf->connection == NULL) {
        ngx_log_error(NGX_LOG_ALERT, r->connection->log, 0,
                      "audit: this process has no connection to sekishod");
        return NGX_HTTP_SERVICE_UNAVAILABLE;
    }

    if (ctx == NULL) {
        ctx = ngx_http_audit_create_ctx(r);
        if (ctx == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        ctx->main_conf = amcf;

        if (ngx_http_audit_what(r, amcf, alcf, fctx, &ctx->what) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        if (fctx) {
            ctx->image = fctx->last.image;
            ctx->facility = fctx->last.decision.facility;
        }

        return ngx_http_audit_begin(r, ctx, alcf);
    }

    /* an internal redirect: is it still the same that is asked for? */

    if (ngx_http_audit_what(r, amcf, alcf, fctx, &what) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ctx->step == NGX_HTTP_AUDIT_PASSED &&
        what.key.low == ctx->what.key.low &&
        what.key.high == ctx->what.key.high)
    {
        return NGX_DECLINED;
    }

    if (ctx->begun) {
        ngx_http_audit_end(r, ctx,
                           "redirected within nginx to what another "
                           "record tells");

    } else if (ctx->serial) {
        (void) ngx_http_audit_leave(ctx, 0, 0);
    }

    ctx->what = what;
    ctx->image = NULL;
    ctx->step = NGX_HTTP_AUDIT_NEW;
    ctx->named = 0;

    return ngx_http_audit_begin(r, ctx, alcf);
}


/* ---- The context ---- */

ngx_http_audit_ctx_t *
ngx_http_audit_get_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t *cln;
    ngx_http_audit_ctx_t *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_audit_module);

    if (ctx == NULL && (r->internal || r->filter_finalize)) {
        /*
         * if module context was reset, the original one
         * can still be found in the cleanup handler
         */

        for (cln = r->pool->cleanup; cln; cln = cln->next) {
            if (cln->handler == ngx_http_audit_cleanup) {
                ctx = cln->data;
                ngx_http_set_ctx(r, ctx, ngx_http_audit_module);
                break;
            }
        }
    }

    return ctx;
}


static ngx_http_audit_ctx_t *
ngx_http_audit_create_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t *cln;
    ngx_http_audit_ctx_t *ctx;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_audit_ctx_t));
    if (cln == NULL) {
        return NULL;
    }

    ctx = cln->data;
    ngx_memzero(ctx, sizeof(ngx_http_audit_ctx_t));

    ctx->request = r;
    ctx->waiter.handler = ngx_http_audit_settled_handler;
    ctx->waiter.data = ctx;

    cln->handler = ngx_http_audit_cleanup;

    ngx_http_set_ctx(r, ctx, ngx_http_audit_module);

    return ctx;
}


static void
ngx_http_audit_cleanup(void *data)
{
    ngx_http_audit_ctx_t *ctx = data;

    ngx_http_sekisho_forget(&ctx->waiter);

    if (ctx->step == NGX_HTTP_AUDIT_WAITING && ctx->main_conf->worker) {
        ctx->main_conf->worker->held--;
    }
}


/* ---- The record goes out ---- */

static ngx_int_t
ngx_http_audit_begin(ngx_http_request_t *r, ngx_http_audit_ctx_t *ctx,
                     ngx_http_audit_loc_conf_t *alcf)
{
    /* what is searched for may stand in a body that nobody has read yet: no
     * two of them are the same */

    if (alcf->detail == NGX_HTTP_AUDIT_REQUEST ||
        (ctx->what.action == ACTION_QUERY &&
         !(r->method & (NGX_HTTP_GET | NGX_HTTP_HEAD))))
    {
        return ngx_http_audit_begin_request(r, ctx, alcf);
    }

    return ngx_http_audit_begin_access(r, ctx, alcf);
}


static ngx_int_t
ngx_http_audit_begin_access(ngx_http_request_t *r, ngx_http_audit_ctx_t *ctx,
                            ngx_http_audit_loc_conf_t *alcf)
{
    ngx_int_t rc;
    ngx_http_sekisho_connection_t *sc;

    sc = ctx->main_conf->connection;

    switch (ngx_http_audit_enter(r, ctx)) {
    case NGX_OK:
        (void) ngx_atomic_fetch_add(&ctx->main_conf->zone->shared->counted, 1);
        return ngx_http_audit_pass(r, ctx, alcf);

    case NGX_AGAIN:
        break;

    default:
        return ngx_http_audit_fail(r, ctx, alcf,
                                   "the audit zone is full, and no access in "
                                   "it can be closed now");
    }

    if (!ngx_http_sekisho_is_hopeful(sc)) {
        return ngx_http_audit_fail(r, ctx, alcf, "sekishod is not there");
    }

    /* this worker's own opening, or one more of the same */

    if (ngx_http_sekisho_wait(sc, ctx->serial, &ctx->waiter) != NGX_OK) {
        rc = ngx_http_audit_send(r, ctx, EVENT_ACCESS);

        if (rc != NGX_OK) {
            return ngx_http_audit_fail(r, ctx, alcf,
                                       "too many records wait for sekishod");
        }

        ngx_http_audit_opening(ctx);
    }

    return ngx_http_audit_hold(r, ctx, alcf);
}


static ngx_int_t
ngx_http_audit_begin_request(ngx_http_request_t *r, ngx_http_audit_ctx_t *ctx,
                             ngx_http_audit_loc_conf_t *alcf)
{
    ctx->serial = 0;

    if (!ngx_http_sekisho_is_hopeful(ctx->main_conf->connection)) {
        return ngx_http_audit_fail(r, ctx, alcf, "sekishod is not there");
    }

    ngx_http_sekisho_random_id(ctx->main_conf->connection, ctx->id);

    if (ngx_http_audit_send(r, ctx, EVENT_REQUEST) != NGX_OK) {
        return ngx_http_audit_fail(r, ctx, alcf,
                                   "too many records wait for sekishod");
    }

    ctx->begun = 1;

    return ngx_http_audit_hold(r, ctx, alcf);
}


static ngx_int_t
ngx_http_audit_send(ngx_http_request_t *r, ngx_http_audit_ctx_t *ctx,
                    record_event_t event)
{
    ngx_http_audit_record_t record;
    ngx_http_sekisho_subject_t subject;

    subject.tag = ctx->serial;
    subject.key[0] = ctx->what.key.low;
    subject.key[1] = ctx->what.key.high;

    ngx_http_audit_record_init(&record, event, ctx->id, ngx_http_audit_now(),
                               0);
    ngx_http_audit_record_request(&record, r, &ctx->what);

    return ngx_http_sekisho_send(ctx->main_conf->connection, &record.record,
                                 &subject, &ctx->waiter);
}


/* ---- Waiting, as limit_req does it ---- */

static ngx_int_t
ngx_http_audit_hold(ngx_http_request_t *r, ngx_http_audit_ctx_t *ctx,
                    ngx_http_audit_loc_conf_t *alcf)
{
    ngx_connection_t *c;

    c = r->connection;

    ctx->step = NGX_HTTP_AUDIT_WAITING;

    (void) ngx_atomic_fetch_add(&ctx->main_conf->zone->shared->holds, 1);

    if (ctx->main_conf->worker) {
        ctx->main_conf->worker->held++;
    }

    if (c->read->ready) {
        ngx_post_event(c->read, &ngx_posted_events);

    } else if (ngx_handle_read_event(c->read, 0) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_audit_resume;

    c->write->delayed = 1;
    ngx_add_timer(c->write, alcf->timeout);

    return NGX_AGAIN;
}


static void
ngx_http_audit_settled_handler(ngx_http_sekisho_waiter_t *waiter)
{
    ngx_http_audit_ctx_t *ctx = waiter->data;

    /* not here: what follows may hand over new records */
    ngx_post_event(ctx->request->connection->write, &ngx_posted_events);
}


static void
ngx_http_audit_resume(ngx_http_request_t *r)
{
    ngx_event_t *wev;
    ngx_http_audit_ctx_t *ctx;

    wev = r->connection->write;
    ctx = ngx_http_get_module_ctx(r, ngx_http_audit_module);

    if (ctx->waiter.result == NGX_HTTP_SEKISHO_UNSETTLED && wev->delayed) {
        if (ngx_handle_write_event(wev, 0) != NGX_OK) {
            ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        }

        return;
    }

    ngx_http_sekisho_forget(&ctx->waiter);
    ctx->step = NGX_HTTP_AUDIT_ASKED;

    if (ctx->main_conf->worker) {
        ctx->main_conf->worker->held--;
    }

    if (wev->timer_set) {
        ngx_del_timer(wev);
    }

    wev->delayed = 0;
    wev->timedout = 0;

    if (ngx_handle_read_event(r->connection->read, 0) != NGX_OK) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    r->read_event_handler = ngx_http_block_reading;
    r->write_event_handler = ngx_http_core_run_phases;

    ngx_http_core_run_phases(r);
}


/* ---- What comes of it ---- */

static ngx_int_t
ngx_http_audit_pass(ngx_http_request_t *r, ngx_http_audit_ctx_t *ctx,
                    ngx_http_audit_loc_conf_t *alcf)
{
    ctx->step = NGX_HTTP_AUDIT_PASSED;
    ctx->named = 1;

    if (alcf->id_header && ngx_http_audit_id_header(r, ctx) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_audit_fail(ngx_http_request_t *r, ngx_http_audit_ctx_t *ctx,
                    ngx_http_audit_loc_conf_t *alcf, const char *why)
{
    ngx_str_t ticket;
    ngx_http_facility_ctx_t *fctx;

    if (ngx_http_facility_ticket(r, &ticket) != NGX_OK) {
        ngx_str_set(&ticket, "-");
    }

    if (alcf->fail == NGX_HTTP_AUDIT_ALLOW) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "audit: served without a record: %s, ticket: %V", why,
                      &ticket);

        ctx->step = NGX_HTTP_AUDIT_PASSED;
        ngx_http_audit_lose(ctx->main_conf, 0);

        return NGX_DECLINED;
    }

    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "audit: denied, reason: audit-unavailable: %s, ticket: %V",
                  why, &ticket);

    ctx->step = NGX_HTTP_AUDIT_DENIED;
    (void) ngx_atomic_fetch_add(&ctx->main_conf->zone->shared->denials, 1);

    /* the gate tells the reason, and admits it nowhere else any more */

    fctx = ngx_http_facility_get_ctx(r);

    if (fctx && fctx->conf) {
        (void) ngx_http_facility_overrule(r, fctx, POLICY_AUDIT_UNAVAILABLE);
    }

    return ngx_http_facility_unrecorded(r);
}


/* A page of error_page may be shown without a record if it is a static file
 * with a URI of its own, as in the gate. */

static ngx_uint_t
ngx_http_audit_error_page(ngx_http_request_t *r)
{
    ngx_http_core_loc_conf_t *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    return r->internal && !clcf->named && clcf->handler == NULL &&
           r->content_handler == NULL &&
           (r->method == NGX_HTTP_GET || r->method == NGX_HTTP_HEAD);
}


/* What the upstream is told; the client's own line of that name goes. */

static ngx_int_t
ngx_http_audit_id_header(ngx_http_request_t *r, ngx_http_audit_ctx_t *ctx)
{
    ngx_table_elt_t *h;

    static const ngx_str_t names[] = {ngx_string("x-request-audit-id")};

    ngx_http_audit_hex(ctx->id_text, ctx->id, NGX_HTTP_AUDIT_ID_SIZE);

    if (ngx_http_sekisho_remove_headers_in(r, names, 1) != NGX_OK) {
        return NGX_ERROR;
    }

    h = ngx_list_push(&r->headers_in.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(h, sizeof(ngx_table_elt_t));

    h->hash = ngx_hash_key(names[0].data, names[0].len);
    ngx_str_set(&h->key, "X-Request-Audit-Id");
    h->lowcase_key = names[0].data;
    h->value.data = ctx->id_text;
    h->value.len = sizeof(ctx->id_text);

    return NGX_OK;
}
