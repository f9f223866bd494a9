/*
 * No residue: what was looked at must not stay on the terminal.
 *
 * A filter of its own, as add_header skips some statuses and a child
 * location's add_header drops the parent's.  It runs after all filters that
 * add header lines, and before those that write them.
 */

#include "ngx_http_facility.h"
#include "../common/ngx_http_sekisho_headers.h"

static ngx_int_t ngx_http_facility_residue_filter(ngx_http_request_t *r);
static ngx_uint_t ngx_http_facility_is_residue(const ngx_table_elt_t *h,
                                               ngx_uint_t download);
static ngx_uint_t ngx_http_facility_is_inline(const ngx_str_t *value);
static ngx_int_t ngx_http_facility_residue_init(ngx_conf_t *cf);

static ngx_http_module_t ngx_http_facility_residue_module_ctx = {
    NULL,                           /* preconfiguration */
    ngx_http_facility_residue_init, /* postconfiguration */

    NULL, /* create main configuration */
    NULL, /* init main configuration */

    NULL, /* create server configuration */
    NULL, /* merge server configuration */

    NULL, /* create location configuration */
    NULL  /* merge location configuration */
};

ngx_module_t ngx_http_facility_residue_module = {
    NGX_MODULE_V1,
    &ngx_http_facility_residue_module_ctx, /* module context */
    NULL,                                  /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING};

static ngx_http_output_header_filter_pt ngx_http_next_header_filter;


static ngx_int_t
ngx_http_facility_residue_filter(ngx_http_request_t *r)
{
    ngx_uint_t i, download;
    ngx_list_part_t *part;
    ngx_table_elt_t *h;
    ngx_http_facility_ctx_t *ctx;
    ngx_http_facility_loc_conf_t *flcf;

    if (r != r->main) {
        return ngx_http_next_header_filter(r);
    }

    flcf = ngx_http_get_module_loc_conf(r, ngx_http_facility_module);
    ctx = ngx_http_facility_get_ctx(r);

    /* also for what X-Accel-Redirect or error_page took elsewhere */

    if (!flcf->block && (ctx == NULL || !ctx->residue)) {
        return ngx_http_next_header_filter(r);
    }

    download = ctx && (ctx->last.decision.obligations.actions &
                       ACTION_BIT(ACTION_DOWNLOAD));

    part = &r->headers_out.headers.part;
    h = part->elts;

    for (i = 0; /* void */; i++) {
        if (i >= part->nelts) {
            if (part->next == NULL) {
                break;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        if (h[i].hash != 0 && ngx_http_facility_is_residue(&h[i], download)) {
            h[i].hash = 0;
        }
    }

    r->headers_out.etag = NULL;
    r->headers_out.expires = NULL;
    r->headers_out.last_modified = NULL;
    r->headers_out.last_modified_time = -1;
    ngx_http_sekisho_forget_cache_control(r);

    if (ngx_http_sekisho_add_header(r, "Cache-Control", "no-store") == NULL ||
        ngx_http_sekisho_add_header(r, "Referrer-Policy", "no-referrer") ==
            NULL)
    {
        return NGX_ERROR;
    }

    return ngx_http_next_header_filter(r);
}


/* Header lines that let a browser keep something, or say how. */

static ngx_uint_t
ngx_http_facility_is_residue(const ngx_table_elt_t *h, ngx_uint_t download)
{
    u_char first;
    const char *name;

    first = h->key.len ? h->key.data[0] | 0x20 : '\0';

    /* by length and first letter at most one is left to be compared */

    switch (h->key.len) {
    case sizeof("etag") - 1:
        name = "etag";
        break;

    case sizeof("pragma") - 1:
        name = "pragma";
        break;

    case sizeof("expires") - 1:
        name = "expires";
        break;

    case sizeof("cache-control") - 1: /* and last-modified */
        name = first == 'c' ? "cache-control" : "last-modified";
        break;

    case sizeof("referrer-policy") - 1:
        name = "referrer-policy";
        break;

    case sizeof("content-disposition") - 1:
        if (download || ngx_http_facility_is_inline(&h->value)) {
            return 0;
        }

        name = "content-disposition";
        break;

    default:
        return 0;
    }

    return first == (u_char) name[0] &&
           ngx_strncasecmp(h->key.data, (u_char *) name, h->key.len) == 0;
}


/* RFC 6266: what is not known is handled as "attachment", so all but "inline"
 * is. */

static ngx_uint_t
ngx_http_facility_is_inline(const ngx_str_t *value)
{
    size_t size;
    u_char *p;

    p = value->data;
    size = value->len;

    while (size && (*p == ' ' || *p == '\t')) {
        p++;
        size--;
    }

    return size >= 6 && ngx_strncasecmp(p, (u_char *) "inline", 6) == 0 &&
           (size == 6 || p[6] == ';' || p[6] == ' ' || p[6] == '\t');
}


static ngx_int_t
ngx_http_facility_residue_init(ngx_conf_t *cf)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_facility_residue_filter;

    return NGX_OK;
}
