/*
 * When a request is done: it is counted in its access, its end is recorded,
 * or, if nothing could hold it, that it happened at all.
 */

#include "ngx_http_audit.h"

static void ngx_http_audit_log_rest(ngx_http_request_t *r,
                                    ngx_http_audit_main_conf_t *amcf,
                                    ngx_http_facility_ctx_t *fctx,
                                    ngx_http_audit_ctx_t *ctx,
                                    ngx_uint_t counted, const char *reason);
static void ngx_http_audit_count_verdict(ngx_http_audit_main_conf_t *amcf,
                                         ngx_http_facility_ctx_t *fctx,
                                         ngx_http_audit_ctx_t *ctx);
static ngx_http_audit_place_t *
ngx_http_audit_find_place(ngx_http_audit_main_conf_t *amcf, slice_t id);
static ngx_uint_t ngx_http_audit_is_on(ngx_http_request_t *r,
                                       ngx_http_facility_ctx_t *fctx);
static ngx_uint_t ngx_http_audit_was_on(ngx_http_request_t *r);
static void ngx_http_audit_note(void *data);


ngx_int_t
ngx_http_audit_log_handler(ngx_http_request_t *r)
{
    ngx_uint_t counted;
    const char *reason;
    ngx_http_audit_ctx_t *ctx;
    ngx_http_facility_ctx_t *fctx;
    ngx_http_audit_main_conf_t *amcf;

    if (r != r->main) {
        return NGX_OK;
    }

    amcf = ngx_http_get_module_main_conf(r, ngx_http_audit_module);

    if (amcf->connection == NULL) {
        return NGX_OK;
    }

    fctx = ngx_http_facility_get_ctx(r);
    ctx = ngx_http_audit_get_ctx(r);

    if (fctx) {
        ngx_http_audit_count_verdict(amcf, fctx, ctx);
    }

    counted = 0;
    reason = NULL;

    if (ctx) {
        if (ctx->begun) {
            ngx_http_audit_end(r, ctx, NULL);
            counted = 1;

        } else if (ctx->serial) {
            if (ngx_http_audit_leave(ctx, ngx_http_audit_answer_status(r),
                                     r->connection->sent) == NGX_OK)
            {
                counted = 1;

            } else {
                /* it outlasted its access */
                reason = "access-closed";
            }
        }
    }

    if (!counted || ctx->step != NGX_HTTP_AUDIT_PASSED ||
        (fctx && fctx->denied)) {
        ngx_http_audit_log_rest(r, amcf, fctx, ctx, counted, reason);
    }

    return NGX_OK;
}


/* What an access or a `request` does not tell, or not alone. */

static void
ngx_http_audit_log_rest(ngx_http_request_t *r, ngx_http_audit_main_conf_t *amcf,
                        ngx_http_facility_ctx_t *fctx,
                        ngx_http_audit_ctx_t *ctx, ngx_uint_t counted,
                        const char *reason)
{
    slice_t facility;
    ngx_uint_t status;
    record_event_t event;
    const ngx_http_audit_what_t *what;

    if (!ngx_http_audit_is_on(r, fctx)) {
        return;
    }

    facility = fctx ? ngx_http_audit_facility(&fctx->first) : SLICE("");
    what = ctx ? &ctx->what : NULL;
    status = ngx_http_audit_answer_status(r);
    event = EVENT_DENIED;

    if (fctx && fctx->denied) {
        reason = policy_reason_name(fctx->first.decision.reason);

    } else if (ctx && ctx->step == NGX_HTTP_AUDIT_DENIED) {
        reason = policy_reason_name(POLICY_AUDIT_UNAVAILABLE);

    } else if (ctx && reason == NULL &&
               (counted || ctx->step == NGX_HTTP_AUDIT_PASSED))
    {
        /* an aborted one is counted; a loss was counted as such */
        return;

    } else if (ctx == NULL && status == NGX_HTTP_FORBIDDEN) {
        reason = "forbidden";

    } else if (ctx == NULL && status == NGX_HTTP_UNAUTHORIZED &&
               r->headers_in.authorization)
    {
        /* a name or password was given; without one nobody was denied yet */
        reason = "unauthorized";

    } else {
        event = EVENT_UNRECORDED;

        if (reason == NULL) {
            reason = "not-held";
        }
    }

    ngx_http_audit_fold(r, amcf, event, reason, facility, what);
}


/* Where the request is now, or where the gate decided about it. */

static ngx_uint_t
ngx_http_audit_is_on(ngx_http_request_t *r, ngx_http_facility_ctx_t *fctx)
{
    ngx_http_audit_loc_conf_t *alcf;

    alcf = ngx_http_get_module_loc_conf(r, ngx_http_audit_module);

    if (alcf->on) {
        return 1;
    }

    if (ngx_http_audit_was_on(r)) {
        return 1;
    }

    if (fctx == NULL || fctx->loc_conf == NULL) {
        return 0;
    }

    alcf = fctx->loc_conf[ngx_http_audit_module.ctx_index];

    return alcf->on != 0;
}


/* ---- Audit that was on before an error page ---- */

ngx_int_t
ngx_http_audit_note_handler(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t *cln;
    ngx_http_core_loc_conf_t *clcf;
    ngx_http_audit_loc_conf_t *alcf;

    alcf = ngx_http_get_module_loc_conf(r, ngx_http_audit_module);
    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (!alcf->on || clcf->error_pages == NULL || r != r->main ||
        ngx_http_audit_was_on(r))
    {
        return NGX_DECLINED;
    }

    cln = ngx_pool_cleanup_add(r->pool, 0);
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln->handler = ngx_http_audit_note;

    return NGX_DECLINED;
}


static void
ngx_http_audit_note(void *data)
{
    /* it is there to be found */
}


static ngx_uint_t
ngx_http_audit_was_on(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t *cln;

    if (!r->internal) {
        return 0;
    }

    for (cln = r->pool->cleanup; cln; cln = cln->next) {
        if (cln->handler == ngx_http_audit_note) {
            return 1;
        }
    }

    return 0;
}


void
ngx_http_audit_end(ngx_http_request_t *r, ngx_http_audit_ctx_t *ctx,
                   const char *note)
{
    uint8_t id[NGX_HTTP_AUDIT_ID_SIZE];
    ngx_uint_t status;
    ngx_http_audit_record_t record;
    ngx_http_audit_main_conf_t *amcf;

    amcf = ctx->main_conf;
    status = ngx_http_audit_answer_status(r);
    ctx->begun = 0;

    ngx_http_sekisho_random_id(amcf->connection, id);
    ngx_http_audit_record_init(&record, EVENT_REQUEST_END, id,
                               ngx_http_audit_now(),
                               ngx_http_audit_outcome(status));
    ngx_http_audit_record_request(&record, r, &ctx->what);
    ngx_http_audit_record_answer(&record, r);
    ngx_http_audit_record_open(&record, ctx->id);

    /* the opening has them */
    record.record.values[RECORD_AGENT] = SLICE("");
    record.record.values[RECORD_URI] = SLICE("");
    record.record.values[RECORD_QUERY] = SLICE("");

    if (note) {
        ngx_http_audit_record_text(&record, RECORD_NOTE, note);
    }

    if (ctx->step == NGX_HTTP_AUDIT_DENIED) {
        ngx_http_audit_record_text(
            &record, RECORD_REASON,
            policy_reason_name(POLICY_AUDIT_UNAVAILABLE));
    }

    if (ngx_http_sekisho_send(amcf->connection, &record.record, NULL, NULL) !=
        NGX_OK)
    {
        ngx_http_audit_lose(amcf, 1);
    }
}


/* ---- Verdicts by facility and reason ---- */

static void
ngx_http_audit_count_verdict(ngx_http_audit_main_conf_t *amcf,
                             ngx_http_facility_ctx_t *fctx,
                             ngx_http_audit_ctx_t *ctx)
{
    slice_t id;
    ngx_uint_t verdict;
    ngx_http_audit_place_t *place;
    ngx_http_facility_entry_t *entry;

    entry = &fctx->first;

    if (entry->status == NGX_HTTP_FACILITY_NOT_ASKED) {
        return;
    }

    verdict = (ngx_uint_t) entry->status - 1;

    if (verdict >= NGX_HTTP_AUDIT_VERDICTS ||
        (ngx_uint_t) entry->decision.reason >= POLICY_REASON_COUNT)
    {
        return;
    }

    /* mostly nothing has changed since it was held */

    if (ctx && ctx->image == entry->image &&
        ctx->facility == entry->decision.facility)
    {
        id = ctx->what.facility;

    } else {
        id = ngx_http_audit_facility(entry);
    }

    place = ngx_http_audit_find_place(amcf, id);

    (void) ngx_atomic_fetch_add(&place->counts[verdict][entry->decision.reason],
                                1);
}


/* The first place is for no facility, and for those that find none. */

static ngx_http_audit_place_t *
ngx_http_audit_find_place(ngx_http_audit_main_conf_t *amcf, slice_t id)
{
    uint64_t hash;
    ngx_uint_t i, n;
    ngx_http_audit_place_t *place, *places;

    places = amcf->zone->shared->facilities;

    if (id.size == 0 || id.size >= sizeof(place->id)) {
        return places;
    }

    place = amcf->place;

    if (place && ngx_memcmp(place->id, id.data, id.size) == 0 &&
        place->id[id.size] == '\0')
    {
        return place;
    }

    hash = 5381;

    for (i = 0; i < id.size; i++) {
        hash = hash * 33 + (u_char) id.data[i];
    }

    for (n = 0; n < NGX_HTTP_AUDIT_PLACES - 1; n++) {
        place = &places[1 + (hash + n) % (NGX_HTTP_AUDIT_PLACES - 1)];

        if (ngx_memcmp(place->id, id.data, id.size) == 0 &&
            place->id[id.size] == '\0') {
            amcf->place = place;
            return place;
        }

        if (place->id[0] != '\0') {
            continue;
        }

        ngx_shmtx_lock(&amcf->zone->shpool->mutex);

        if (place->id[0] == '\0') {
            /* the first byte last: readers do not lock */
            ngx_memcpy(place->id + 1, id.data + 1, id.size - 1);
            ngx_memory_barrier();
            place->id[0] = id.data[0];
        }

        ngx_shmtx_unlock(&amcf->zone->shpool->mutex);

        n--;
    }

    return places;
}
