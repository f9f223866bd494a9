/* What a request touches. */

#include "ngx_http_sekisho_dicom.h"

static ngx_int_t ngx_http_sekisho_classify(ngx_http_request_t *r,
                                           const ngx_str_t *uri,
                                           ngx_http_sekisho_dicom_t *dicom);
static void ngx_http_sekisho_dicom_headers(ngx_http_request_t *r,
                                           slice_t *accept,
                                           ngx_uint_t *overridden);
static ngx_uint_t ngx_http_sekisho_is_override(const ngx_str_t *name);


const ngx_http_sekisho_dicom_t *
ngx_http_sekisho_dicom(ngx_http_request_t *r)
{
    ngx_http_sekisho_dicom_t *dicom;

    /* an internal redirect forgets it: the same is found out again */
    dicom = ngx_http_get_module_ctx(r, ngx_http_sekisho_module);

    if (dicom) {
        return dicom;
    }

    dicom = ngx_palloc(r->pool, sizeof(ngx_http_sekisho_dicom_t));
    if (dicom == NULL) {
        return NULL;
    }

    if (ngx_http_sekisho_classify(r, &r->unparsed_uri, dicom) != NGX_OK) {
        return NULL;
    }

    ngx_http_set_ctx(r, dicom, ngx_http_sekisho_module);

    return dicom;
}


ngx_int_t
ngx_http_sekisho_dicom_current(ngx_http_request_t *r,
                               ngx_http_sekisho_dicom_t *dicom)
{
    u_char *p;
    ngx_str_t uri;
    uintptr_t escape;

    escape = 2 * ngx_escape_uri(NULL, r->uri.data, r->uri.len, NGX_ESCAPE_URI);

    p = ngx_pnalloc(r->pool, r->uri.len + escape + 1 + r->args.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    uri.data = p;

    if (escape) {
        p = (u_char *) ngx_escape_uri(p, r->uri.data, r->uri.len,
                                      NGX_ESCAPE_URI);

    } else {
        p = ngx_cpymem(p, r->uri.data, r->uri.len);
    }

    if (r->args.len) {
        *p++ = '?';
        p = ngx_cpymem(p, r->args.data, r->args.len);
    }

    uri.len = (size_t) (p - uri.data);

    return ngx_http_sekisho_classify(r, &uri, dicom);
}


static ngx_int_t
ngx_http_sekisho_classify(ngx_http_request_t *r, const ngx_str_t *uri,
                          ngx_http_sekisho_dicom_t *dicom)
{
    char *p;
    size_t i, size;
    slice_t accept;
    ngx_uint_t overridden;
    dicom_request_t request;

    ngx_http_sekisho_dicom_headers(r, &accept, &overridden);

    dicom_classify(ngx_http_sekisho_slice(&r->method_name),
                   ngx_http_sekisho_slice(uri), accept, &request);

    dicom->api = request.api;
    dicom->action = request.action;
    dicom->certain = request.certain;

    if (overridden) {
        dicom->action = ACTION_ADMIN;
        dicom->certain = 1;
    }

    const dicom_id_t *from[] = {&request.patient, &request.study,
                                &request.series, &request.instance};
    slice_t *to[] = {&dicom->patient, &dicom->study, &dicom->series,
                     &dicom->instance};

    size = 0;

    for (i = 0; i < sizeof(to) / sizeof(to[0]); i++) {
        size += from[i]->size;
    }

    p = NULL;

    if (size) {
        p = ngx_pnalloc(r->pool, size);
        if (p == NULL) {
            return NGX_ERROR;
        }
    }

    for (i = 0; i < sizeof(to) / sizeof(to[0]); i++) {
        *to[i] = (slice_t){p, from[i]->size};

        if (from[i]->size) {
            ngx_memcpy(p, from[i]->data, from[i]->size);
            p += from[i]->size;
        }
    }

    return NGX_OK;
}


/*
 * Headers that make the same target another request for some PACS.
 *
 * More than one Accept line: some read all of them, some the first; no one
 * reading is safe, so it counts as none at all, which is the strictest.  And
 * Orthanc does what X-HTTP-Method-Override says instead of the method.
 */

static void
ngx_http_sekisho_dicom_headers(ngx_http_request_t *r, slice_t *accept,
                               ngx_uint_t *overridden)
{
    ngx_uint_t i, lines;
    ngx_list_part_t *part;
    ngx_table_elt_t *h;

    *accept = SLICE("");
    *overridden = 0;
    lines = 0;

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (h[i].key.len == sizeof("Accept") - 1 &&
                ngx_strncasecmp(h[i].key.data, (u_char *) "accept",
                                sizeof("Accept") - 1) == 0)
            {
                *accept = lines++ ? SLICE("")
                                  : ngx_http_sekisho_slice(&h[i].value);

            } else if (h[i].key.len >= sizeof("X-HTTP-Method") - 1 &&
                       (h[i].key.data[0] | 0x20) == 'x' &&
                       ngx_http_sekisho_is_override(&h[i].key))
            {
                *overridden = 1;
            }
        }
    }
}


static ngx_uint_t
ngx_http_sekisho_is_override(const ngx_str_t *name)
{
    static const ngx_str_t names[] = {
        ngx_string("x-http-method-override"),
        ngx_string("x-http-method"),
        ngx_string("x-method-override"),
    };

    ngx_uint_t i;

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (name->len == names[i].len &&
            ngx_strncasecmp(name->data, names[i].data, name->len) == 0)
        {
            return 1;
        }
    }

    return 0;
}
