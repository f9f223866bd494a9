/*
 * Checks that the suite's modules stand where they have to among nginx's.
 *
 * The order decides: a gate that runs before realip takes the proxy for the
 * client, and a header filter that runs before add_header is undone by it.
 * ./config sees to it, for every way of building; if somebody's build does not
 * honour it, nginx must not start.
 */

#include "ngx_http_sekisho.h"

typedef struct {
    const char *name;
    const char *neighbour; /* if nginx has it */
    ngx_uint_t behind;     /* name stands behind it; else before it */
} ngx_http_sekisho_order_t;

static ngx_int_t ngx_http_sekisho_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_sekisho_position(ngx_conf_t *cf, const char *name);

static ngx_http_module_t ngx_http_sekisho_module_ctx = {
    NULL,                  /* preconfiguration */
    ngx_http_sekisho_init, /* postconfiguration */

    NULL, /* create main configuration */
    NULL, /* init main configuration */

    NULL, /* create server configuration */
    NULL, /* merge server configuration */

    NULL, /* create location configuration */
    NULL  /* merge location configuration */
};

ngx_module_t ngx_http_sekisho_module = {
    NGX_MODULE_V1,
    &ngx_http_sekisho_module_ctx, /* module context */
    NULL,                         /* module directives */
    NGX_HTTP_MODULE,              /* module type */
    NULL,                         /* init master */
    NULL,                         /* init module */
    NULL,                         /* init process */
    NULL,                         /* init thread */
    NULL,                         /* exit thread */
    NULL,                         /* exit process */
    NULL,                         /* exit master */
    NGX_MODULE_V1_PADDING};

/* Handlers run from the last module to the first, and so do filters. */
static const ngx_http_sekisho_order_t ngx_http_sekisho_order[] = {
    {"ngx_http_audit_module", "ngx_http_facility_module", 0},
    {"ngx_http_audit_module", "ngx_http_try_files_module", 1},
    {"ngx_http_audit_module", "ngx_http_mirror_module", 1},
    {"ngx_http_facility_module", "ngx_http_realip_module", 0},
    {"ngx_http_facility_module", "ngx_http_access_module", 0},
    {"ngx_http_facility_module", "ngx_http_try_files_module", 1},
    {"ngx_http_facility_module", "ngx_http_mirror_module", 1},
    {"ngx_http_facility_residue_module", "ngx_http_header_filter_module", 1},
    {"ngx_http_facility_residue_module", "ngx_http_v2_filter_module", 1},
    {"ngx_http_facility_residue_module", "ngx_http_v3_filter_module", 1},
    {"ngx_http_facility_residue_module", "ngx_http_headers_filter_module", 0},
    {"ngx_http_facility_filter_module", "ngx_http_headers_filter_module", 1},
};


static ngx_int_t
ngx_http_sekisho_init(ngx_conf_t *cf)
{
    size_t i;
    ngx_int_t ours, theirs;
    const ngx_http_sekisho_order_t *order;

    for (i = 0; i < sizeof(ngx_http_sekisho_order) / sizeof(*order); i++) {
        order = &ngx_http_sekisho_order[i];

        ours = ngx_http_sekisho_position(cf, order->name);
        theirs = ngx_http_sekisho_position(cf, order->neighbour);

        if (ours == NGX_DECLINED || theirs == NGX_DECLINED) {
            continue;
        }

        if (order->behind != (ours > theirs)) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "module \"%s\" stands on the wrong side of \"%s\": "
                          "build Sekisho with its own modules/config",
                          order->name, order->neighbour);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_sekisho_position(ngx_conf_t *cf, const char *name)
{
    ngx_int_t i;

    for (i = 0; cf->cycle->modules[i]; i++) {
        if (ngx_strcmp(cf->cycle->modules[i]->name, name) == 0) {
            return i;
        }
    }

    return NGX_DECLINED;
}
