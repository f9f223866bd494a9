/*
 * Who touches what, and by which key requests belong to one access.
 */

#include "ngx_http_audit.h"

/* Parts of a key that are longer are hashed first. */
#define NGX_HTTP_AUDIT_PART_MAX 256
#define NGX_HTTP_AUDIT_PARTS    5

static ngx_int_t ngx_http_audit_value(ngx_http_request_t *r,
                                      ngx_http_complex_value_t *cv,
                                      slice_t *value);
static ngx_int_t ngx_http_audit_user(ngx_http_request_t *r,
                                     ngx_http_audit_loc_conf_t *alcf,
                                     ngx_http_facility_ctx_t *fctx,
                                     slice_t *user);
static siphash_t ngx_http_audit_key(ngx_http_request_t *r,
                                    ngx_http_audit_main_conf_t *amcf,
                                    const ngx_http_audit_what_t *what,
                                    dicom_api_t api);


ngx_int_t
ngx_http_audit_what(ngx_http_request_t *r, ngx_http_audit_main_conf_t *amcf,
                    ngx_http_audit_loc_conf_t *alcf,
                    ngx_http_facility_ctx_t *fctx, ngx_http_audit_what_t *what)
{
    char *p;
    slice_t value;
    const uint8_t *secret;
    ngx_http_sekisho_dicom_t current;
    const ngx_http_sekisho_dicom_t *dicom;

    dicom = ngx_http_sekisho_dicom(r);
    if (dicom == NULL) {
        return NGX_ERROR;
    }

    what->action = dicom->action;

    if (fctx && fctx->last.status != NGX_HTTP_FACILITY_NOT_ASKED) {
        what->action = fctx->last.action;
    }

    if (!r->valid_unparsed_uri) {
        /* a rewrite or an internal redirect: what is asked for now */

        if (ngx_http_sekisho_dicom_current(r, &current) != NGX_OK) {
            return NGX_ERROR;
        }

        if (current.certain) {
            dicom = &current;

            if (fctx == NULL || fctx->conf->action == NULL) {
                what->action = current.action;
            }
        }
    }

    if (what->action == ACTION_NONE) {
        what->action = ACTION_ADMIN;
    }

    what->patient = dicom->patient;
    what->study = dicom->study;
    what->series = dicom->series;
    what->instance = dicom->instance;
    what->purpose = SLICE("");
    what->facility = SLICE("");

    if (fctx) {
        /* the policy's image may go before the request does */
        value = ngx_http_audit_facility(&fctx->last);
        p = ngx_pnalloc(r->pool, value.size + 1);
        if (p == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(p, value.data, value.size);
        what->facility = (slice_t){p, value.size};
    }

    /* what was searched for is known by its terms alone */
    what->query = what->action == ACTION_QUERY
                      ? ngx_http_sekisho_slice(&r->args)
                      : SLICE("");

    address_from_sockaddr(r->connection->sockaddr, r->connection->socklen,
                          &what->address);

    if (ngx_http_audit_user(r, alcf, fctx, &what->user) != NGX_OK) {
        return NGX_ERROR;
    }

    if (alcf->patient) {
        if (ngx_http_audit_value(r, alcf->patient, &value) != NGX_OK) {
            return NGX_ERROR;
        }

        if (value.size) {
            what->patient = value;
        }
    }

    if (alcf->study) {
        if (ngx_http_audit_value(r, alcf->study, &value) != NGX_OK) {
            return NGX_ERROR;
        }

        if (value.size) {
            what->study = value;
        }
    }

    if (alcf->purpose &&
        ngx_http_audit_value(r, alcf->purpose, &what->purpose) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (alcf->learn && what->study.size == 0 &&
        (what->series.size || what->instance.size) &&
        ngx_http_audit_learn_resolve(r, amcf, what) != NGX_OK)
    {
        return NGX_ERROR;
    }

    secret = amcf->zone->shared->secret;

    what->key = ngx_http_audit_key(r, amcf, what, dicom->api);
    what->instance_hash = 0;

    if (what->instance.size) {
        what->instance_hash =
            siphash(secret, what->instance.data, what->instance.size).low | 1;
    }

    return NGX_OK;
}


slice_t
ngx_http_audit_facility(ngx_http_facility_entry_t *entry)
{
    return entry->image ? policy_facility_id(entry->image->policy,
                                             entry->decision.facility)
                        : SLICE("");
}


static ngx_int_t
ngx_http_audit_value(ngx_http_request_t *r, ngx_http_complex_value_t *cv,
                     slice_t *value)
{
    ngx_str_t text;

    if (ngx_http_complex_value(r, cv, &text) != NGX_OK) {
        return NGX_ERROR;
    }

    *value = ngx_http_sekisho_slice(&text);

    return NGX_OK;
}


static ngx_int_t
ngx_http_audit_user(ngx_http_request_t *r, ngx_http_audit_loc_conf_t *alcf,
                    ngx_http_facility_ctx_t *fctx, slice_t *user)
{
    policy_user_state_t users;
    ngx_http_facility_loc_conf_t *flcf;

    if (alcf->user) {
        return ngx_http_audit_value(r, alcf->user, user);
    }

    *user = SLICE("");

    if (fctx == NULL) {
        return NGX_OK;
    }

    flcf = ngx_http_get_module_loc_conf(r, ngx_http_facility_module);

    if (fctx->user.len == 0 && flcf->user &&
        ngx_http_facility_name(r, flcf, fctx, &users) != NGX_OK)
    {
        return NGX_ERROR;
    }

    *user = ngx_http_sekisho_slice(&fctx->user);

    return NGX_OK;
}


/*
 * (user, facility, address, purpose, action, study), and without a study what
 * is named instead: one image is not another.  Searches are told apart by
 * their terms.  The session will stand here too.
 *
 * A connection mostly asks for one image of a study after the other: the text
 * that was hashed last is compared first, all of it.
 */

static siphash_t
ngx_http_audit_key(ngx_http_request_t *r, ngx_http_audit_main_conf_t *amcf,
                   const ngx_http_audit_what_t *what, dicom_api_t api)
{
    u_char text[sizeof(address_t) + 8 +
                NGX_HTTP_AUDIT_PARTS * (NGX_HTTP_AUDIT_PART_MAX + 2)];
    u_char *p;
    size_t i, size;
    u_char level;
    slice_t named;
    siphash_t hash;
    const uint8_t *secret;
    ngx_http_audit_memo_t *memo;

    secret = amcf->zone->shared->secret;

    if (what->study.size) {
        level = 1;
        named = what->study;

    } else if (what->patient.size) {
        level = 2;
        named = what->patient;

    } else if (what->series.size) {
        level = 3;
        named = what->series;

    } else if (what->instance.size) {
        level = 4;
        named = what->instance;

    } else {
        level = 0;
        named = SLICE("");
    }

    const slice_t parts[NGX_HTTP_AUDIT_PARTS] = {
        what->user, what->facility, what->purpose, named, what->query};

    p = text;
    *p++ = what->address.family;
    p = ngx_cpymem(p, what->address.bytes, sizeof(what->address.bytes));
    *p++ = (u_char) what->action;
    *p++ = level;
    *p++ = what->action == ACTION_QUERY ? (u_char) api : 0;

    for (i = 0; i < NGX_HTTP_AUDIT_PARTS; i++) {
        if (parts[i].size > NGX_HTTP_AUDIT_PART_MAX) {
            /* no length is that long */
            *p++ = 0xff;
            *p++ = 0xff;
            hash = siphash(secret, parts[i].data, parts[i].size);
            p = ngx_cpymem(p, &hash, sizeof(hash));
            continue;
        }

        *p++ = (u_char) (parts[i].size >> 8);
        *p++ = (u_char) parts[i].size;

        if (parts[i].size) {
            p = ngx_cpymem(p, parts[i].data, parts[i].size);
        }
    }

    size = (size_t) (p - text);

    if (size > NGX_HTTP_AUDIT_MEMO_MAX) {
        return siphash(secret, text, size);
    }

    memo = &amcf->memos[(ngx_uint_t) r->connection->fd % NGX_HTTP_AUDIT_MEMOS];

    if (memo->size != size || ngx_memcmp(memo->text, text, size) != 0) {
        memo->key = siphash(secret, text, size);
        memo->size = size;
        ngx_memcpy(memo->text, text, size);
    }

    return memo->key;
}
