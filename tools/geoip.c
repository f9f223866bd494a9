/* The country of an address, from a MaxMind DB file: errors in words. */

#include "policy_tools.h"

#include <errno.h>


int
geoip_open(const char *command, const char *path, geoip_t **geoip)
{
    geoip_result_t result = geoip_load(path, geoip);

    if (result == GEOIP_SYSTEM) {
        return fail(command, "%s: %s", path, strerror(errno));
    }
    if (result != GEOIP_OK) {
        return fail(command, "%s: it %s", path, geoip_strerror(result));
    }
    return STATUS_OK;
}


void
geoip_close(geoip_t *geoip)
{
    geoip_free(geoip);
}
