/*
 * What a request touches, found out once for all modules of the suite.
 */

#ifndef NGX_HTTP_SEKISHO_DICOM_H
#define NGX_HTTP_SEKISHO_DICOM_H

#include "ngx_http_sekisho.h"
#include "../../lib/dicom/dicom.h"

/* As dicom_request_t, but only what is there; in the request's pool. */
typedef struct {
    dicom_api_t api;
    action_t action;
    slice_t patient;
    slice_t study;
    slice_t series;
    slice_t instance;
    unsigned certain : 1;
} ngx_http_sekisho_dicom_t;

/* By the client's own words, r->unparsed_uri.  NULL when out of memory. */
const ngx_http_sekisho_dicom_t *ngx_http_sekisho_dicom(ngx_http_request_t *r);

/* By r->uri and r->args, after a rewrite or an internal redirect; not kept.
 * NGX_OK or NGX_ERROR. */
ngx_int_t ngx_http_sekisho_dicom_current(ngx_http_request_t *r,
                                         ngx_http_sekisho_dicom_t *dicom);

#endif
