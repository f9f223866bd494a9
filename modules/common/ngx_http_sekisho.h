/*
 * What every nginx source file of the suite begins with.
 */

#ifndef NGX_HTTP_SEKISHO_H
#define NGX_HTTP_SEKISHO_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "../../lib/base/slice.h"

/* The suite's module: it has no directives, and checks the order of others. */
extern ngx_module_t ngx_http_sekisho_module;

static inline slice_t
ngx_http_sekisho_slice(const ngx_str_t *text)
{
    return (slice_t){(const char *) text->data, text->len};
}

#endif
