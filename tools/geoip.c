/* The country of an address, from a MaxMind DB file. */

#include "policy_tools.h"

#include <maxminddb.h>
#include <netinet/in.h>

struct geoip_s {
    MMDB_s database;
};


int
geoip_open(const char *command, const char *path, geoip_t **geoip)
{
    int status;

    *geoip = calloc(1, sizeof(**geoip));
    if (*geoip == NULL) {
        return fail(command, "out of memory");
    }
    status = MMDB_open(path, MMDB_MODE_MMAP, &(*geoip)->database);
    if (status != MMDB_SUCCESS) {
        free(*geoip);
        *geoip = NULL;
        return fail(command, "%s: %s", path, MMDB_strerror(status));
    }
    return STATUS_OK;
}


void
geoip_close(geoip_t *geoip)
{
    if (geoip != NULL) {
        MMDB_close(&geoip->database);
        free(geoip);
    }
}


bool
geoip_country(void *context, const address_t *address, char code[2])
{
    geoip_t *geoip = context;
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    const struct sockaddr *sockaddr = (const struct sockaddr *) &v4;
    MMDB_lookup_result_s found;
    MMDB_entry_data_s data;
    int error;

    if (address->family == ADDRESS_IPV4) {
        memcpy(&v4.sin_addr, address->bytes, 4);
    } else if (address->family == ADDRESS_IPV6) {
        memcpy(&v6.sin6_addr, address->bytes, 16);
        sockaddr = (const struct sockaddr *) &v6;
    } else {
        return false;
    }
    found = MMDB_lookup_sockaddr(&geoip->database, sockaddr, &error);
    if (error != MMDB_SUCCESS || !found.found_entry ||
        MMDB_get_value(&found.entry, &data, "country", "iso_code", NULL) !=
            MMDB_SUCCESS ||
        !data.has_data || data.type != MMDB_DATA_TYPE_UTF8_STRING ||
        data.data_size != 2)
    {
        return false;
    }
    memcpy(code, data.utf8_string, 2);
    return true;
}
