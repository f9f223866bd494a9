/*
 * Countries of addresses from a MaxMind DB, for `country` rules: a second
 * opinion on an address, asked by nginx, sekishod and the tools alike.
 *
 * libmaxminddb maps its file, and a mapped file that is edited in place is a
 * SIGBUS.  It is given a sealed copy in memory instead: the file may be
 * replaced or edited at any time.
 */

#ifndef SEKISHO_POLICY_GEOIP_H
#define SEKISHO_POLICY_GEOIP_H

#include <stdbool.h>

#include "../base/address.h"

/* Bytes: a city database has 60 MB, a country database 8. */
#define GEOIP_SIZE_MAX (512u * 1024 * 1024)

typedef enum {
    GEOIP_RESULT_NONE = 0,
    GEOIP_OK,
    GEOIP_AGAIN,  /* of a loader: step once more */
    GEOIP_SYSTEM, /* errno */
    GEOIP_TOO_LARGE,
    GEOIP_CHANGED, /* while it was read */
    GEOIP_FORMAT
} geoip_result_t;

typedef struct geoip_s geoip_t;

/* Reads a database whole.  *geoip is freed by geoip_free(), which takes NULL;
 * NULL unless GEOIP_OK. */
geoip_result_t geoip_load(const char *path, geoip_t **geoip);
void geoip_free(geoip_t *geoip);

/* For an event loop that must not wait: each step copies half a megabyte, until
 * the answer is something else than GEOIP_AGAIN. */
typedef struct geoip_loader_s geoip_loader_t;
geoip_result_t geoip_loader_start(const char *path, geoip_loader_t **loader);
geoip_result_t geoip_loader_step(geoip_loader_t *loader, geoip_t **geoip);
void geoip_loader_free(geoip_loader_t *loader); /* takes NULL */

/* What is wrong, as the end of "FILE …"; never NULL. */
const char *geoip_strerror(geoip_result_t result);

/*
 * A policy_country_fn; the context is a geoip_t.  Upper-case ISO 3166 code of
 * the address into code[0..1]; false: the database does not know.  Allocates
 * nothing and reads memory alone.
 */
bool geoip_country(void *context, const address_t *address, char code[2]);

#endif
