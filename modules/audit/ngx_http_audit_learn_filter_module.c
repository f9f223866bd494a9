/*
 * Reads answers while they pass by, and leaves them as they are.
 *
 * It runs where third-party filters do: on what the upstream or the handler
 * said, before nginx compresses or cuts it.  What lies in a temporary file is
 * read by nginx's own copy filter, piece by piece in its output_buffers, as it
 * would be for gzip or sub_filter: there is no other copy, and none of it is
 * kept.
 */

#include "ngx_http_audit.h"
#include "../common/ngx_http_sekisho_headers.h"

static ngx_int_t ngx_http_audit_learn_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_audit_learn_body_filter(ngx_http_request_t *r,
                                                  ngx_chain_t *in);
static unsigned ngx_http_audit_learn_flags(ngx_http_request_t *r,
                                           ngx_http_audit_ctx_t *ctx);
static ngx_int_t ngx_http_audit_learn_filter_init(ngx_conf_t *cf);

static ngx_http_module_t ngx_http_audit_learn_filter_module_ctx = {
    NULL,                             /* preconfiguration */
    ngx_http_audit_learn_filter_init, /* postconfiguration */

    NULL, /* create main configuration */
    NULL, /* init main configuration */

    NULL, /* create server configuration */
    NULL, /* merge server configuration */

    NULL, /* create location configuration */
    NULL  /* merge location configuration */
};

ngx_module_t ngx_http_audit_learn_filter_module = {
    NGX_MODULE_V1,
    &ngx_http_audit_learn_filter_module_ctx, /* module context */
    NULL,                                    /* module directives */
    NGX_HTTP_MODULE,                         /* module type */
    NULL,                                    /* init master */
    NULL,                                    /* init module */
    NULL,                                    /* init process */
    NULL,                                    /* init thread */
    NULL,                                    /* exit thread */
    NULL,                                    /* exit process */
    NULL,                                    /* exit master */
    NGX_MODULE_V1_PADDING};

static ngx_http_output_header_filter_pt ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt ngx_http_next_body_filter;


/*
 * In PRECONTENT, behind the hold: is the answer to be read?  Then the upstream
 * must not compress it.  The lines are taken out of the request alone: what
 * nginx knows of the client's Accept-Encoding stays, and gzip works.
 */

ngx_int_t
ngx_http_audit_learn_handler(ngx_http_request_t *r)
{
    ngx_str_t target;
    ngx_http_audit_ctx_t *ctx;
    ngx_http_sekisho_dicom_t current;
    ngx_http_audit_loc_conf_t *alcf;
    const ngx_http_sekisho_dicom_t *dicom;

    static const ngx_str_t names[] = {ngx_string("accept-encoding")};

    alcf = ngx_http_get_module_loc_conf(r, ngx_http_audit_module);

    if (r != r->main || !alcf->learn || !alcf->on) {
        return NGX_DECLINED;
    }

    ctx = ngx_http_audit_get_ctx(r);

    if (ctx == NULL || ctx->step != NGX_HTTP_AUDIT_PASSED ||
        r->method == NGX_HTTP_HEAD)
    {
        return NGX_DECLINED;
    }

    /* metadata of a study that is known has nothing to tell; searches are
     * always read, so a correction is seen */

    if (r->method == NGX_HTTP_GET && ngx_http_audit_learn_is_known(r, ctx)) {
        ctx->learn = 0;
        return NGX_DECLINED;
    }

    if (r->valid_unparsed_uri) {
        target = r->unparsed_uri;
        dicom = ngx_http_sekisho_dicom(r);

    } else {
        target = r->uri;
        dicom = ngx_http_sekisho_dicom_current(r, &current) == NGX_OK ? &current
                                                                      : NULL;
    }

    if (dicom == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->learn = dicom->certain &&
                 dicom_learn_expects(ngx_http_sekisho_slice(&target),
                                     dicom->api, dicom->action);

    if (ctx->learn) {
        ctx->learn_stored = dicom->action == ACTION_STORE;

        if (ngx_http_sekisho_remove_headers_in(r, names, 1) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_audit_learn_header_filter(ngx_http_request_t *r)
{
    ngx_http_audit_ctx_t *ctx;
    ngx_http_audit_shared_t *shared;
    ngx_http_audit_loc_conf_t *alcf;

    alcf = ngx_http_get_module_loc_conf(r, ngx_http_audit_module);

    if (!alcf->learn || r != r->main) {
        return ngx_http_next_header_filter(r);
    }

    ctx = ngx_http_audit_get_ctx(r);

    if (ctx == NULL || !ctx->learn || r->header_only ||
        ctx->step != NGX_HTTP_AUDIT_PASSED ||
        (r->headers_out.status != NGX_HTTP_OK &&
         r->headers_out.status != NGX_HTTP_ACCEPTED) ||
        !dicom_learn_reads(
            ngx_http_sekisho_slice(&r->headers_out.content_type)))
    {
        return ngx_http_next_header_filter(r);
    }

    shared = ctx->main_conf->zone->shared;

    if (r->headers_out.content_encoding &&
        r->headers_out.content_encoding->value.len)
    {
        (void) ngx_atomic_fetch_add(&shared->learn_unread, 1);
        return ngx_http_next_header_filter(r);
    }

    ctx->scan = ngx_palloc(r->pool, sizeof(dicom_learn_t));

    if (ctx->scan == NULL) {
        return NGX_ERROR;
    }

    dicom_learn_start(ctx->scan, ngx_http_audit_learn_flags(r, ctx),
                      ngx_http_audit_learned, r);

    (void) ngx_atomic_fetch_add(&shared->learn_answers, 1);

    r->filter_need_in_memory = 1;

    return ngx_http_next_header_filter(r);
}


static unsigned
ngx_http_audit_learn_flags(ngx_http_request_t *r, ngx_http_audit_ctx_t *ctx)
{
    slice_t *study;
    unsigned flags;
    ngx_http_audit_loc_conf_t *alcf;

    alcf = ngx_http_get_module_loc_conf(r, ngx_http_audit_module);
    flags = 0;
    study = &ctx->what.study;

    if (alcf->learn_names) {
        flags |= DICOM_LEARN_NAMES;
    }

    if (ctx->learn_stored) {
        flags |= DICOM_LEARN_STORED;
    }

    /* a query may name several */

    if (study->size ? memchr(study->data, ',', study->size) == NULL
                    : ctx->what.series.size || ctx->what.instance.size)
    {
        flags |= DICOM_LEARN_ONE_STUDY;
    }

    return flags;
}


static ngx_int_t
ngx_http_audit_learn_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_buf_t *b;
    ngx_chain_t *cl;
    ngx_http_audit_ctx_t *ctx;
    dicom_learn_result_t rc;

    if (in == NULL || r != r->main) {
        return ngx_http_next_body_filter(r, in);
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_audit_module);

    if (ctx == NULL || ctx->scan == NULL) {
        return ngx_http_next_body_filter(r, in);
    }

    for (cl = in; cl; cl = cl->next) {
        b = cl->buf;

        if (ngx_buf_special(b)) {
            continue;
        }

        /* a piece that is not there leaves what follows without its meaning */
        rc = ngx_buf_in_memory(b)
                 ? dicom_learn_feed(ctx->scan, b->pos,
                                    (size_t) (b->last - b->pos))
                 : DICOM_LEARN_GAVE_UP;

        if (rc == DICOM_LEARN_MORE) {
            continue;
        }

        if (rc == DICOM_LEARN_GAVE_UP) {
            (void) ngx_atomic_fetch_add(
                &ctx->main_conf->zone->shared->learn_unread, 1);
        }

        ctx->scan = NULL;
        break;
    }

    return ngx_http_next_body_filter(r, in);
}


static ngx_int_t
ngx_http_audit_learn_filter_init(ngx_conf_t *cf)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_audit_learn_header_filter;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_audit_learn_body_filter;

    return NGX_OK;
}
