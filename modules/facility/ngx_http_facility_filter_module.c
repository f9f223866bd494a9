/*
 * A filter upon what is about to be answered, where third-party filters run.
 *
 * It closes what the gate in PREACCESS cannot see: content that `return` and
 * other rewrite directives give before it, and an upstream that answers with
 * more than was asked for.
 */

#include "ngx_http_facility.h"

static ngx_int_t ngx_http_facility_header_filter(ngx_http_request_t *r);
static ngx_uint_t ngx_http_facility_unguarded(ngx_http_request_t *r);
static ngx_uint_t ngx_http_facility_takes_away(const ngx_str_t *type);
static ngx_int_t ngx_http_facility_filter_init(ngx_conf_t *cf);

static ngx_http_module_t ngx_http_facility_filter_module_ctx = {
    NULL,                          /* preconfiguration */
    ngx_http_facility_filter_init, /* postconfiguration */

    NULL, /* create main configuration */
    NULL, /* init main configuration */

    NULL, /* create server configuration */
    NULL, /* merge server configuration */

    NULL, /* create location configuration */
    NULL  /* merge location configuration */
};

ngx_module_t ngx_http_facility_filter_module = {
    NGX_MODULE_V1,
    &ngx_http_facility_filter_module_ctx, /* module context */
    NULL,                                 /* module directives */
    NGX_HTTP_MODULE,                      /* module type */
    NULL,                                 /* init master */
    NULL,                                 /* init module */
    NULL,                                 /* init process */
    NULL,                                 /* init thread */
    NULL,                                 /* exit thread */
    NULL,                                 /* exit process */
    NULL,                                 /* exit master */
    NGX_MODULE_V1_PADDING};

static ngx_http_output_header_filter_pt ngx_http_next_header_filter;


static ngx_int_t
ngx_http_facility_header_filter(ngx_http_request_t *r)
{
    ngx_int_t rc;
    policy_user_state_t users;
    ngx_http_facility_ctx_t *ctx;
    ngx_http_facility_loc_conf_t *flcf;

    if (r != r->main) {
        return ngx_http_next_header_filter(r);
    }

    flcf = ngx_http_get_module_loc_conf(r, ngx_http_facility_module);
    ctx = ngx_http_facility_get_ctx(r);

    if (ctx && ctx->denied) {
        return ngx_http_next_header_filter(r);
    }

    if (flcf->access != NGX_HTTP_FACILITY_OFF &&
        (ctx == NULL || ctx->conf != flcf) && ngx_http_facility_unguarded(r))
    {
        /* nobody can have been signed in that early, but before a redirect */
        users = ctx && ctx->user.len ? POLICY_USER_NAMED : POLICY_USER_UNKNOWN;

        rc = ngx_http_facility_decide(r, flcf, users);

        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        if (rc == NGX_DECLINED) {
            return ngx_http_facility_filter_deny(r, flcf);
        }

        ctx = ngx_http_facility_get_ctx(r);
    }

    if (ctx == NULL ||
        (ctx->last.decision.obligations.actions &
         ACTION_BIT(ACTION_DOWNLOAD)) ||
        ctx->last.decision.verdict != POLICY_ALLOW ||
        !ngx_http_facility_takes_away(&r->headers_out.content_type))
    {
        return ngx_http_next_header_filter(r);
    }

    ctx->last.action = ACTION_DOWNLOAD;

    if (ngx_http_facility_overrule(r, ctx, POLICY_ACTION_NOT_ALLOWED) ==
        NGX_DECLINED)
    {
        return ngx_http_facility_filter_deny(r, ctx->conf);
    }

    return ngx_http_next_header_filter(r);
}


/*
 * Is this content that came past the gate?  nginx's own error pages (400, 414,
 * 503 of limit_req …) and redirects may come before it, and have nothing of
 * anybody's in them.
 */

static ngx_uint_t
ngx_http_facility_unguarded(ngx_http_request_t *r)
{
    if (r->err_status) {
        return 0;
    }

    switch (r->headers_out.status) {
    case NGX_HTTP_MOVED_PERMANENTLY:
    case NGX_HTTP_MOVED_TEMPORARILY:
    case NGX_HTTP_SEE_OTHER:
    case NGX_HTTP_TEMPORARY_REDIRECT:
    case NGX_HTTP_PERMANENT_REDIRECT:
        return 0;

    default:
        return 1;
    }
}


/*
 * DICOM and ZIP files are downloads, whatever the request looked like:
 * application/dicom, application/zip, and multipart/related of the former.
 * application/dicom+json and the like are not.
 */

static ngx_uint_t
ngx_http_facility_takes_away(const ngx_str_t *type)
{
    size_t size;
    u_char *p, *last;

    static const ngx_str_t multipart = ngx_string("multipart/related");
    static const ngx_str_t dicom = ngx_string("application/dicom");
    static const ngx_str_t zip = ngx_string("application/zip");

    for (size = 0; size < type->len; size++) {
        if (type->data[size] == ';' || type->data[size] == ' ' ||
            type->data[size] == '\t' || type->data[size] == ',')
        {
            break;
        }
    }

    if ((size == dicom.len &&
         ngx_strncasecmp(type->data, dicom.data, size) == 0) ||
        (size == zip.len && ngx_strncasecmp(type->data, zip.data, size) == 0))
    {
        return 1;
    }

    if (size != multipart.len ||
        ngx_strncasecmp(type->data, multipart.data, size) != 0)
    {
        return 0;
    }

    /* anywhere in the parameters, quoted or not: better once too often */

    p = type->data + size;
    last = type->data + type->len;

    while ((size_t) (last - p) >= dicom.len) {
        p = ngx_strlcasestrn(p, last, dicom.data, dicom.len - 1);
        if (p == NULL) {
            return 0;
        }

        p += dicom.len;

        if (p == last || *p != '+') {
            return 1;
        }
    }

    return 0;
}


static ngx_int_t
ngx_http_facility_filter_init(ngx_conf_t *cf)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_facility_header_filter;

    return NGX_OK;
}
