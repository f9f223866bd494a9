/*
 * Countries from a MaxMind DB, a second opinion on an address.
 *
 * libmaxminddb maps its file, and a mapped file that is edited in place is a
 * SIGBUS.  It is given a sealed copy in memory instead, shared by all workers.
 * A new database comes in with a reload.
 */

/* memfd_create() */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "ngx_http_facility.h"
#include "../../lib/base/file.h"

#include <fcntl.h>
#include <maxminddb.h>
#include <netinet/in.h>
#include <sys/mman.h>

/* A city database has 60 MB, a country database 8. */
#define NGX_HTTP_FACILITY_COUNTRY_SIZE_MAX (512u * 1024 * 1024)

struct ngx_http_facility_country_s {
    ngx_str_t path;
    MMDB_s mmdb;
    ngx_uint_t open;
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
    int fd, rc;
    char *data, name[sizeof("/proc/self/fd/") + NGX_INT32_LEN];
    size_t size, done;
    ssize_t n;

    rc = file_read((const char *) country->path.data,
                   NGX_HTTP_FACILITY_COUNTRY_SIZE_MAX, &data, &size);
    if (rc < 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, -rc,
                           "facility_geoip \"%V\" cannot be read",
                           &country->path);
        return NGX_ERROR;
    }

    fd = memfd_create("facility_geoip", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd == -1) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           "memfd_create() failed");
        free(data);
        return NGX_ERROR;
    }

    for (done = 0; done < size; done += (size_t) n) {
        n = write(fd, data + done, size - done);

        if (n <= 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                               "cannot copy facility_geoip \"%V\" into memory",
                               &country->path);
            free(data);
            (void) close(fd);
            return NGX_ERROR;
        }
    }

    free(data);

    (void) fcntl(fd, F_ADD_SEALS,
                 F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);

    (void) ngx_sprintf((u_char *) name, "/proc/self/fd/%d%Z", fd);

    rc = MMDB_open(name, MMDB_MODE_MMAP, &country->mmdb);

    (void) close(fd);

    if (rc != MMDB_SUCCESS) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "facility_geoip \"%V\" is no usable MaxMind DB: %s",
                           &country->path, MMDB_strerror(rc));
        return NGX_ERROR;
    }

    country->open = 1;

    return NGX_OK;
}


static void
ngx_http_facility_country_cleanup(void *data)
{
    ngx_http_facility_country_t *country = data;

    if (country->open) {
        MMDB_close(&country->mmdb);
        country->open = 0;
    }
}


bool
ngx_http_facility_country(void *context, const address_t *address, char code[2])
{
    ngx_http_facility_country_t *country = context;

    int rc;
    MMDB_entry_data_s data;
    struct sockaddr_in sin;
    struct sockaddr_in6 sin6;
    MMDB_lookup_result_s result;
    const struct sockaddr *sockaddr;

    if (!country->open) {
        return false;
    }

    switch (address->family) {
    case ADDRESS_IPV4:
        ngx_memzero(&sin, sizeof(sin));
        sin.sin_family = AF_INET;
        ngx_memcpy(&sin.sin_addr, address->bytes, 4);
        sockaddr = (const struct sockaddr *) &sin;
        break;

    case ADDRESS_IPV6:
        ngx_memzero(&sin6, sizeof(sin6));
        sin6.sin6_family = AF_INET6;
        ngx_memcpy(&sin6.sin6_addr, address->bytes, 16);
        sockaddr = (const struct sockaddr *) &sin6;
        break;

    default:
        return false;
    }

    result = MMDB_lookup_sockaddr(&country->mmdb, sockaddr, &rc);

    if (rc != MMDB_SUCCESS || !result.found_entry) {
        return false;
    }

    if (MMDB_get_value(&result.entry, &data, "country", "iso_code", NULL) !=
            MMDB_SUCCESS ||
        !data.has_data || data.type != MMDB_DATA_TYPE_UTF8_STRING ||
        data.data_size != 2)
    {
        return false;
    }

    code[0] = (char) ngx_toupper(data.utf8_string[0]);
    code[1] = (char) ngx_toupper(data.utf8_string[1]);

    return true;
}
