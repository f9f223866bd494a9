/*
 * Header lines, the same for nginx before and since 1.23.0, which links those
 * of one name to each other.
 */

#ifndef NGX_HTTP_SEKISHO_HEADERS_H
#define NGX_HTTP_SEKISHO_HEADERS_H

#include "ngx_http_sekisho.h"

/*
 * Adds a header line to the answer.  `name` is a string literal or lives as
 * long as the request, as does `value`'s data.  NULL when out of memory.
 */
ngx_table_elt_t *ngx_http_sekisho_push_header(ngx_http_request_t *r,
                                              const char *name, size_t name_len,
                                              const char *value,
                                              size_t value_len);

/* Inline for the sake of literals, whose lengths are known then. */
static inline ngx_table_elt_t *
ngx_http_sekisho_add_header(ngx_http_request_t *r, const char *name,
                            const char *value)
{
    return ngx_http_sekisho_push_header(r, name, ngx_strlen(name), value,
                                        ngx_strlen(value));
}

/* Forgets all Cache-Control lines that filters know of; the lines themselves
 * are the caller's matter. */
void ngx_http_sekisho_forget_cache_control(ngx_http_request_t *r);

/*
 * Takes out of the request all lines with one of the lower-case `names`, so
 * that no upstream sees them either.  NGX_OK, or NGX_ERROR when out of memory.
 */
ngx_int_t ngx_http_sekisho_remove_headers_in(ngx_http_request_t *r,
                                             const ngx_str_t *names,
                                             ngx_uint_t count);

#endif
