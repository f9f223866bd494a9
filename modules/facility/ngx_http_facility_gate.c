/*
 * The gate in PREACCESS, and the `users` rule in PRECONTENT.
 *
 * NGX_DECLINED means "admitted, go on" here, and nothing else may lead to it:
 * what is missing or fails ends in a denial or an error.
 */

#include "ngx_http_facility.h"
#include "../common/ngx_http_sekisho_headers.h"

static ngx_int_t ngx_http_facility_drop_conditions(ngx_http_request_t *r);
static ngx_uint_t ngx_http_facility_denial_page(ngx_http_request_t *r);


ngx_int_t
ngx_http_facility_handler(ngx_http_request_t *r)
{
    ngx_int_t rc;
    ngx_http_facility_ctx_t *ctx;
    ngx_http_facility_loc_conf_t *flcf;

    if (r != r->main) {
        return NGX_DECLINED;
    }

    flcf = ngx_http_get_module_loc_conf(r, ngx_http_facility_module);

    if (flcf->block &&
        (r->headers_in.if_modified_since || r->headers_in.if_none_match) &&
        ngx_http_facility_drop_conditions(r) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (flcf->access == NGX_HTTP_FACILITY_OFF) {
        return NGX_DECLINED;
    }

    ctx = ngx_http_facility_get_ctx(r);

    if (ctx && ctx->denied) {
        /* an internal redirect after a denial: error_page */

        if (ngx_http_facility_denial_page(r)) {
            return NGX_DECLINED;
        }

        return ngx_http_facility_deny(r, flcf, 1);
    }

    rc = ngx_http_facility_decide(r, flcf, POLICY_USER_LATER);

    if (rc == NGX_OK) {
        return NGX_DECLINED;
    }

    if (rc == NGX_DECLINED) {
        return ngx_http_facility_deny(r, flcf, 0);
    }

    return NGX_HTTP_INTERNAL_SERVER_ERROR;
}


ngx_int_t
ngx_http_facility_users_handler(ngx_http_request_t *r)
{
    ngx_int_t rc;
    policy_user_state_t users;
    ngx_http_facility_ctx_t *ctx;
    ngx_http_facility_loc_conf_t *flcf;

    if (r != r->main) {
        return NGX_DECLINED;
    }

    flcf = ngx_http_get_module_loc_conf(r, ngx_http_facility_module);

    if (flcf->access == NGX_HTTP_FACILITY_OFF) {
        return NGX_DECLINED;
    }

    ctx = ngx_http_facility_get_ctx(r);

    if (ctx == NULL || (ctx->conf != flcf && !ctx->denied)) {
        ngx_log_error(NGX_LOG_ALERT, r->connection->log, 0,
                      "facility: the gate was not asked before the content");
        return NGX_HTTP_FORBIDDEN;
    }

    if (ctx->denied || !ctx->last.decision.obligations.users_pending) {
        return NGX_DECLINED;
    }

    if (ngx_http_facility_name(r, flcf, ctx, &users) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_facility_decide(r, flcf, users);

    if (rc == NGX_OK) {
        return NGX_DECLINED;
    }

    if (rc == NGX_DECLINED) {
        return ngx_http_facility_deny(r, flcf, 0);
    }

    return NGX_HTTP_INTERNAL_SERVER_ERROR;
}


/*
 * What leaves no residue has no validators, so an answer "not modified" could
 * only speak of what should not be there; and it would have no Content-Type to
 * judge.  Neither nginx nor the upstream shall see the conditions.
 */

static ngx_int_t
ngx_http_facility_drop_conditions(ngx_http_request_t *r)
{
    static const ngx_str_t names[] = {
        ngx_string("if-modified-since"),
        ngx_string("if-none-match"),
    };

    r->headers_in.if_modified_since = NULL;
    r->headers_in.if_none_match = NULL;

    return ngx_http_sekisho_remove_headers_in(r, names, 2);
}


/*
 * A page that error_page names for the denial may be shown though the gate is
 * on in its location: a static file, by its own URI.  What has a handler
 * (proxy_pass …), and a named location, which keeps the client's URI, would be
 * an entrance.
 */

static ngx_uint_t
ngx_http_facility_denial_page(ngx_http_request_t *r)
{
    ngx_http_core_loc_conf_t *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    return r->internal && !clcf->named && clcf->handler == NULL &&
           r->content_handler == NULL &&
           (r->method == NGX_HTTP_GET || r->method == NGX_HTTP_HEAD);
}
