/*
 * Countries from a MaxMind DB, a second opinion on an address.  The copy of it
 * in memory is shared by all workers; a new database comes in with a reload.
 */

#include "ngx_http_facility.h"
#include "../../lib/policy/geoip.h"

struct ngx_http_facility_country_s {
    ngx_str_t path;
    geoip_t *geoip;
};

static ngx_int_t
ngx_http_facility_country_open(ngx_conf_t *cf,
                               ngx_http_facility_country_t *country);
static void ngx_http_facility_country_cleanup(void *data);


ngx_http_facility_country_t *
ngx_http_facility_country_add(ngx_conf_t *cf, ngx_str_t *path)
{
    ngx_uint_t i;
    ngx_pool_cleanup_t *cln;
    ngx_http_facility_country_t *country, **added;
    ngx_http_facility_main_conf_t *fmcf;

    if (ngx_conf_full_name(cf->cycle, path, 1) != NGX_OK) {
        return NULL;
    }

    fmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_facility_module);

    added = fmcf->countries.elts;

    for (i = 0; i < fmcf->countries.nelts; i++) {
        if (added[i]->path.len == path->len &&
            ngx_strncmp(added[i]->path.data, path->data, path->len) == 0)
        {
            return added[i];
        }
    }

    cln = ngx_pool_cleanup_add(cf->pool, sizeof(ngx_http_facility_country_t));
    if (cln == NULL) {
        return NULL;
    }

    country = cln->data;
    ngx_memzero(country, sizeof(ngx_http_facility_country_t));
    country->path = *path;

    cln->handler = ngx_http_facility_country_cleanup;

    added = ngx_array_push(&fmcf->countries);
    if (added == NULL) {
        return NULL;
    }

    *added = country;

    if (ngx_process != NGX_PROCESS_SIGNALLER &&
        ngx_http_facility_country_open(cf, country) != NGX_OK)
    {
        return NULL;
    }

    return country;
}


static ngx_int_t
ngx_http_facility_country_open(ngx_conf_t *cf,
                               ngx_http_facility_country_t *country)
{
    geoip_result_t result;

    result = geoip_load((const char *) country->path.data, &country->geoip);

    if (result != GEOIP_OK) {
        ngx_conf_log_error(
            NGX_LOG_EMERG, cf, result == GEOIP_SYSTEM ? ngx_errno : 0,
            "facility_geoip \"%V\" %s", &country->path, geoip_strerror(result));
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_http_facility_country_cleanup(void *data)
{
    ngx_http_facility_country_t *country = data;

    geoip_free(country->geoip);
    country->geoip = NULL;
}


bool
ngx_http_facility_country(void *context, const address_t *address, char code[2])
{
    ngx_http_facility_country_t *country = context;

    return country->geoip != NULL &&
           geoip_country(country->geoip, address, code);
}
