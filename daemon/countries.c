#define _GNU_SOURCE
#include "countries.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/policy/geoip.h"
#include "identity.h"
#include "log.h"

/* Slices of half a megabyte that one tick may take: some milliseconds. */
#define STEPS_AT_ONCE 20

struct countries_s {
    const config_t *config;
    geoip_t *geoip; /* NULL: none was good yet */
    geoip_loader_t *loader;
    identity_t identity; /* of what was last looked at */
    bool wanted_told;
};

static void
complain(const countries_t *countries, geoip_result_t result)
{
    log_line(LOG_ERROR, "geoip %s %s%s%s; %s", countries->config->geoip,
             geoip_strerror(result), result == GEOIP_SYSTEM ? ": " : "",
             result == GEOIP_SYSTEM ? strerror(errno) : "",
             countries->geoip == NULL
                 ? "\"country\" rules refuse everybody until it is there"
                 : "the database that was read before stays");
}

/* True while there is more to read. */
static bool
step(countries_t *countries)
{
    geoip_t *geoip = NULL;
    geoip_result_t result = geoip_loader_step(countries->loader, &geoip);

    if (result == GEOIP_AGAIN) {
        return true;
    }
    if (result != GEOIP_OK) {
        complain(countries, result);
    }
    geoip_loader_free(countries->loader);
    countries->loader = NULL;
    if (result == GEOIP_OK) {
        geoip_free(countries->geoip);
        countries->geoip = geoip;
        log_line(LOG_NOTICE, "countries are looked up in %s",
                 countries->config->geoip);
    }
    return false;
}

/* Begins to read the database if it is another one than the last time. */
static void
look(countries_t *countries)
{
    identity_t identity = identity_of(countries->config->geoip);
    geoip_result_t result;

    if (countries->config->geoip == NULL ||
        identity_same(&identity, &countries->identity))
    {
        return;
    }
    countries->identity = identity;
    geoip_loader_free(countries->loader);
    countries->loader = NULL;
    result = geoip_loader_start(countries->config->geoip, &countries->loader);
    if (result != GEOIP_AGAIN) {
        complain(countries, result);
    }
}

/* All at once: nobody is served yet, or an administrator asked for it. */
static void
load(countries_t *countries)
{
    memset(&countries->identity, 0, sizeof(countries->identity));
    look(countries);
    if (countries->config->geoip != NULL && !countries->identity.there) {
        errno = ENOENT;
        complain(countries, GEOIP_SYSTEM);
    }
    while (countries->loader != NULL && step(countries)) {
    }
}

countries_t *
countries_open(const config_t *config)
{
    countries_t *countries = calloc(1, sizeof(*countries));

    if (countries != NULL) {
        countries->config = config;
        load(countries);
    }
    return countries;
}

void
countries_free(countries_t *countries)
{
    if (countries != NULL) {
        geoip_loader_free(countries->loader);
        geoip_free(countries->geoip);
        free(countries);
    }
}

void
countries_configure(countries_t *countries, const config_t *config)
{
    const char *before = countries->config->geoip, *now = config->geoip;
    bool same = before == NULL || now == NULL ? before == now
                                              : strcmp(before, now) == 0;

    countries->config = config;
    if (!same) {
        geoip_loader_free(countries->loader);
        countries->loader = NULL;
        geoip_free(countries->geoip);
        countries->geoip = NULL;
        countries->wanted_told = false;
        load(countries);
    } else {
        /* also what was told to be bad, and is no other file since */
        memset(&countries->identity, 0, sizeof(countries->identity));
        countries_tick(countries);
    }
}

void
countries_tick(countries_t *countries)
{
    look(countries);
    for (unsigned i = 0; countries->loader != NULL && i < STEPS_AT_ONCE; i++) {
        if (!step(countries)) {
            break;
        }
    }
}

void
countries_wanted(countries_t *countries)
{
    if (countries->config->geoip == NULL && !countries->wanted_told) {
        log_line(LOG_WARNING,
                 "the policy has \"country\" rules, but no database is "
                 "configured: at doors they refuse everybody; write \"geoip "
                 "FILE;\" into sekishod.conf");
        countries->wanted_told = true;
    }
}

bool
countries_country(void *context, const address_t *address, char code[2])
{
    const countries_t *countries = context;

    return countries->geoip != NULL &&
           geoip_country(countries->geoip, address, code);
}
