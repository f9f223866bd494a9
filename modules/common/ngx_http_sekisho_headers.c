/* Header lines of requests and answers. */

#include "ngx_http_sekisho_headers.h"

static ngx_int_t ngx_http_sekisho_remove_element(ngx_http_request_t *r,
                                                 ngx_list_t *list,
                                                 ngx_list_part_t *before,
                                                 ngx_list_part_t *part,
                                                 ngx_uint_t i);


ngx_table_elt_t *
ngx_http_sekisho_push_header(ngx_http_request_t *r, const char *name,
                             size_t name_len, const char *value,
                             size_t value_len)
{
    ngx_table_elt_t *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NULL;
    }

    h->hash = 1;
#if (nginx_version >= 1023000)
    h->next = NULL;
#endif
    h->key.len = name_len;
    h->key.data = (u_char *) name;
    h->value.len = value_len;
    h->value.data = (u_char *) value;
    h->lowcase_key = NULL;

    return h;
}


void
ngx_http_sekisho_forget_cache_control(ngx_http_request_t *r)
{
#if (nginx_version >= 1023000)
    r->headers_out.cache_control = NULL;
#else
    r->headers_out.cache_control.nelts = 0;
#endif
}


ngx_int_t
ngx_http_sekisho_remove_headers_in(ngx_http_request_t *r,
                                   const ngx_str_t *names, ngx_uint_t count)
{
    ngx_uint_t i, n;
    ngx_list_part_t *part, *before;
    ngx_table_elt_t *h;

again:

    before = NULL;

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            for (n = 0; n < count; n++) {
                if (h[i].key.len == names[n].len &&
                    ngx_strncasecmp(h[i].key.data, names[n].data,
                                    names[n].len) == 0)
                {
                    if (ngx_http_sekisho_remove_element(
                            r, &r->headers_in.headers, before, part, i) !=
                        NGX_OK)
                    {
                        return NGX_ERROR;
                    }

                    /* parts may have been split: begin again */
                    goto again;
                }
            }
        }

        before = part;
    }

    return NGX_OK;
}


/*
 * Elements must not move, r->headers_in has pointers to them: a part is split
 * around the element.  No part but the first may become empty, as nginx reads
 * the first element of a next part without looking at its count.
 */

static ngx_int_t
ngx_http_sekisho_remove_element(ngx_http_request_t *r, ngx_list_t *list,
                                ngx_list_part_t *before, ngx_list_part_t *part,
                                ngx_uint_t i)
{
    ngx_list_part_t *rest;

    if (part->nelts == 1 && before != NULL) {
        before->next = part->next;

        if (list->last == part) {
            list->last = before;

            /* `before` counts as full; a list must have room for one */
            list->nalloc = ngx_max(before->nelts, 1);
        }

        return NGX_OK;
    }

    if (i == part->nelts - 1) {
        part->nelts--;
        return NGX_OK;
    }

    if (i == 0) {
        part->elts = (u_char *) part->elts + list->size;
        part->nelts--;

        if (list->last == part) {
            list->nalloc--;
        }

        return NGX_OK;
    }

    rest = ngx_palloc(r->pool, sizeof(ngx_list_part_t));
    if (rest == NULL) {
        return NGX_ERROR;
    }

    rest->elts = (u_char *) part->elts + (i + 1) * list->size;
    rest->nelts = part->nelts - i - 1;
    rest->next = part->next;

    part->nelts = i;
    part->next = rest;

    if (list->last == part) {
        list->last = rest;
        list->nalloc -= i + 1;
    }

    return NGX_OK;
}
